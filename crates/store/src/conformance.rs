//! A test kit for stores: what a ledger relies on, case by case, each named after a bug that stores of this kind had.
//!
//! It uses the contract alone and knows no runtime. A store that needs one is tested inside it, and the kit is told how to
//! run tasks there.
//!
//! ```
//! use countersign_store::{MemoryStore, conformance::Kit};
//!
//! # fn block_on(future: impl Future) {
//! #     let mut context = std::task::Context::from_waker(std::task::Waker::noop());
//! #     let mut future = std::pin::pin!(future);
//! #     while future.as_mut().poll(&mut context).is_pending() { std::thread::yield_now() }
//! # }
//! # block_on(async {
//! Kit::new(async || MemoryStore::new()).run().await.assert_conforms();
//! # });
//! ```
//!
//! Most cases need nothing but a way to make a store. For some the kit has to be told how a fault comes about, and says `SKIPPED` where it was not:
//! [`Kit::reopening`] (a process that is killed), [`Kit::tearing`] (what a crash leaves of an append), [`Kit::beside`] (somebody else's
//! transaction), [`Kit::claiming`]. [`Kit::polling`] makes the longest case shorter where each look takes long.
//!
//! # The field's own bugs
//!
//! Each has a case that is there for it, and a fault that was planted in a sound store and that this case alone finds (`tests/conformance.rs`).
//!
//! | what happened elsewhere | the case | the planted fault |
//! | --- | --- | --- |
//! | a commit that comes late under concurrent writers, and is passed over | `who_follows_misses_nothing_that_is_committed_late` | `CommitsLate` |
//! | a foreign transaction that stays open for long | `what_others_do_in_the_database_holds_up_nothing` | `WaitsForOthers` |
//! | a `begin` that was cancelled | `a_cancelled_append_leaves_the_store_usable` | `CancelledAppendKeepsTheLock` |
//! | a reply that was lost at commit | `a_retry_after_a_kill_gives_the_outcome_of_the_first_attempt` | `RetryAfterAKillIsAConflict` |
//! | a backup that was put back | `the_same_position_with_another_leaf_is_a_conflict` | `IgnoresTheLeaf` |
//! | a partial tail | `a_torn_append_leaves_whole_entries` | `ServesHalfAnEntry` |
//! | a serial that was used again with other bytes | `statements_of_one_serial_are_told_apart` | `IndexesBySerial` |
//! | opened anew after a kill | `what_was_acknowledged_is_there_after_a_kill` | `ForgetsTheIndexWhenKilled` |
//! | a conditional create that lets two win | `one_of_many_racing_batches_wins` | `LetsTwoWin` |
//! | a reader ahead of what is durable | `what_a_reader_was_shown_is_there_after_a_kill` | `ShowsWhatIsNotDurable` |
//! | entries lost under 12 writers and 30,000 looks | `gapless_under_concurrent_writers` | `DropsUnderLoad` |
//! | a snapshot newer than the log | `snapshots_are_the_newest_set_that_is_not_too_new` | `SnapshotsAreTooNew` |
//!
//! Tests of their own that crash a store, kill its process or cut its connection, tell [`Answers`] what was asked and answered, and
//! are told what was lost.
//!
//! With tokio, inside a test of its multi-threaded flavour: `Kit::new(..).spawning(|task| { tokio::spawn(task); })`.

mod answers;
mod cases;
mod chain;
mod spawn;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

pub use answers::{Answers, Finding, ParseToldError, Told};
pub use chain::Author;

use crate::any::BoxFuture;
use crate::{Batch, Durability, Store};
use spawn::Spawn;

/// How to make a store, and what it is said to do.
pub struct Kit<S> {
    make: Box<dyn Fn() -> BoxFuture<'static, S> + Send + Sync>,
    reopen: Option<Reopen<S>>,
    tear: Option<Tear<S>>,
    beside: Option<Beside<S>>,
    polls: usize,
    spawn: Spawn,
    claim: Option<Durability>,
}

/// Closes a store and opens it anew.
type Reopen<S> = Box<dyn Fn(Arc<S>) -> BoxFuture<'static, S> + Send + Sync>;

/// Leaves a part of an append that a crash cut off, and opens the store anew.
type Tear<S> = Box<dyn Fn(Arc<S>, Batch) -> BoxFuture<'static, S> + Send + Sync>;

/// Begins what somebody else does, until what it gives is dropped.
type Beside<S> = Box<dyn Fn(Arc<S>) -> BoxFuture<'static, Box<dyn Send>> + Send + Sync>;

/// How many looks the case under twelve writers takes.
const POLLS: usize = 30_000;

/// A task of the kit, to be run to its end.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

impl<S: Store> Kit<S> {
    /// A kit for the stores that `make` makes: new and empty, each with a place of its own.
    pub fn new<F>(make: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = S> + Send + 'static,
    {
        Self {
            make: Box::new(move || Box::pin(make())),
            reopen: None,
            tear: None,
            beside: None,
            polls: POLLS,
            spawn: spawn::on_threads(),
            claim: None,
        }
    }

    /// What the store is documented to survive. Without it, what it says of itself is not compared with anything.
    #[must_use]
    pub fn claiming(mut self, durability: Durability) -> Self {
        self.claim = Some(durability);
        self
    }

    /// How to run a task beside others. Without it, each has a thread of its own.
    #[must_use]
    pub fn spawning(mut self, spawn: impl Fn(Task) + Send + Sync + 'static) -> Self {
        self.spawn = Arc::new(spawn);
        self
    }

    /// How to leave a store without closing it, as a killed process does, and open what it left. Without it, what is
    /// to survive that is not tested, and the report says so.
    #[must_use]
    pub fn reopening<F>(mut self, reopen: impl Fn(Arc<S>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = S> + Send + 'static,
    {
        self.reopen = Some(Box::new(move |store| Box::pin(reopen(store))));
        self
    }

    /// How to leave what a crash in the middle of appending a batch may leave, and open the store anew: the first entries of it and half of the
    /// next one, or a part of its last write. It is not acknowledged, and the store need not keep any of it. Without it, that is not tested, and
    /// the report says so.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use countersign_store::{MemoryStore, conformance::Kit};
    ///
    /// // A store in memory: all of an append is there, or nothing of it.
    /// let kit = Kit::new(async || MemoryStore::new())
    ///     .tearing(async |store: Arc<MemoryStore>, _batch| MemoryStore::clone(&store));
    /// ```
    #[must_use]
    pub fn tearing<F>(mut self, tear: impl Fn(Arc<S>, Batch) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = S> + Send + 'static,
    {
        self.tear = Some(Box::new(move |store, batch| Box::pin(tear(store, batch))));
        self
    }

    /// How somebody else begins a transaction in the same database that reads what is there, and leaves it open until what this gives is
    /// dropped. A store without transactions gives `()`. Without it, that is not tested, and the report says so.
    #[must_use]
    pub fn beside<F, G>(mut self, begin: impl Fn(Arc<S>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = G> + Send + 'static,
        G: Send + 'static,
    {
        self.beside = Some(Box::new(move |store| {
            let beginning = begin(store);
            Box::pin(async move { Box::new(beginning.await) as Box<dyn Send> })
        }));
        self
    }

    /// How many looks readers take while twelve write; 30,000 where nothing is said. For stores in which each one takes long.
    #[must_use]
    pub fn polling(mut self, polls: usize) -> Self {
        self.polls = polls;
        self
    }

    /// Runs every case, each on a new store.
    pub async fn run(&self) -> Report {
        let mut report = Report { outcomes: Vec::new() };
        for (name, case) in cases::all() {
            let outcome = match case(self).await {
                Ok(()) => Outcome::Passed,
                Err(cases::Stop::Skipped(why)) => Outcome::Skipped(why),
                Err(cases::Stop::Failed(what)) => Outcome::Failed(what),
            };
            report.outcomes.push((name, outcome));
        }
        report
    }

    async fn make(&self) -> Arc<S> {
        Arc::new((self.make)().await)
    }
}

impl<S> fmt::Debug for Kit<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kit").field("claim", &self.claim).finish_non_exhaustive()
    }
}

/// What came of one case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The store does as it should.
    Passed,
    /// The kit was not told how to do it.
    Skipped(&'static str),
    /// The store does something else, in words.
    Failed(String),
}

/// What came of each case. As text: a line for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The cases by name, in the order in which they ran.
    pub outcomes: Vec<(&'static str, Outcome)>,
}

impl Report {
    /// The names of the cases that failed.
    #[must_use]
    pub fn failed(&self) -> Vec<&'static str> {
        let failed = |(name, outcome): &(_, Outcome)| matches!(outcome, Outcome::Failed(_)).then_some(*name);
        self.outcomes.iter().filter_map(failed).collect()
    }

    /// The names of the cases that were skipped.
    #[must_use]
    pub fn skipped(&self) -> Vec<&'static str> {
        let skipped =
            |(name, outcome): &(_, Outcome)| matches!(outcome, Outcome::Skipped(_)).then_some(*name);
        self.outcomes.iter().filter_map(skipped).collect()
    }

    /// Prints the report, so that what was skipped is seen.
    ///
    /// # Panics
    /// If a case failed: for use in tests.
    pub fn assert_conforms(&self) {
        println!("{self}");
        assert!(self.failed().is_empty(), "the store does not keep the contract:\n{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, outcome) in &self.outcomes {
            match outcome {
                Outcome::Passed => writeln!(f, "passed   {name}")?,
                Outcome::Skipped(why) => writeln!(f, "SKIPPED  {name}: {why}")?,
                Outcome::Failed(what) => writeln!(f, "FAILED   {name}: {what}")?,
            }
        }
        Ok(())
    }
}
