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
use crate::{Durability, Store};
use spawn::Spawn;

/// How to make a store, and what it is said to do.
pub struct Kit<S> {
    make: Box<dyn Fn() -> BoxFuture<'static, S> + Send + Sync>,
    reopen: Option<Reopen<S>>,
    spawn: Spawn,
    claim: Option<Durability>,
}

/// Closes a store and opens it anew.
type Reopen<S> = Box<dyn Fn(Arc<S>) -> BoxFuture<'static, S> + Send + Sync>;

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
