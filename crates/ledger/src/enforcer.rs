//! An enforcer that grants what is fully approved.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use countersign_core::digest::StatementDigest;
use countersign_core::entry::Entry;
use countersign_core::event::{Event, ExceptionOf};
use countersign_projection::governance::Refusal;
use countersign_store::Store;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::author::Author;
use crate::error::{Ended, SubmitError};
use crate::ledger::Ledger;

/// How often every open request is looked at, since the passing of time alone can make one grantable.
const SWEEP: Duration = Duration::from_secs(60);
/// How long before a grant is submitted again of which the ledger could not say what became of it.
const PAUSE: Duration = Duration::from_millis(200);
/// Most grants that are on their way at once.
const MAX_UNDERWAY: usize = 64;

/// An automation that follows a ledger and grants every request as soon as it is fully approved.
///
/// It runs as a task of its own, sees only what is durable, and submits like everyone: its grants are judged, and what
/// it may not grant is refused. Its principal has to hold the enforcer's capacity. It keeps the ledger open until it is stopped
/// or the ledger closed.
pub struct Enforcer {
    shared: Arc<Tally>,
    dealt_with: watch::Receiver<u64>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Tally {
    granted: AtomicU64,
    refused: AtomicU64,
    last_refusal: Mutex<Option<(StatementDigest, Refusal)>>,
}

impl Enforcer {
    /// Attaches an enforcer that signs as `author`. It looks at every request that is open, then at what comes.
    #[must_use]
    pub fn attach<S: Store>(ledger: &Ledger<S>, author: Author) -> Self {
        let shared = Arc::new(Tally::default());
        let (stop, stopping) = watch::channel(false);
        let (progress, dealt_with) = watch::channel(0);
        let run = Run {
            ledger: ledger.clone(),
            author,
            tally: shared.clone(),
            stopping,
            progress,
            underway: HashMap::new(),
            tasks: JoinSet::new(),
        };
        Self { shared, dealt_with, stop, task: tokio::spawn(run.run()) }
    }

    /// How many grants of this enforcer were recorded.
    #[must_use]
    pub fn granted(&self) -> u64 {
        self.shared.granted.load(Ordering::Acquire)
    }

    /// How many of its grants the ledger refused: state had moved on, or the enforcer lacks the right.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Acquire)
    }

    /// The last request whose grant was refused, and why.
    #[must_use]
    pub fn last_refusal(&self) -> Option<(StatementDigest, Refusal)> {
        self.shared.last_refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it has looked at the first `size` entries, and what it granted upon them is recorded or refused.
    ///
    /// # Errors
    /// [`Ended`] if it stopped before.
    pub async fn dealt_with(&self, size: u64) -> Result<(), Ended> {
        let mut dealt_with = self.dealt_with.clone();
        let reached = dealt_with.wait_for(|dealt| *dealt >= size).await.map(|_| ());
        reached.map_err(|_| Ended { size: *self.dealt_with.borrow() })
    }

    /// Stops it, once every grant that is on its way is answered. Dropping it stops it too, without waiting.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        let _ = (&mut self.task).await;
    }
}

impl Drop for Enforcer {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
    }
}

impl fmt::Debug for Enforcer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enforcer")
            .field("granted", &self.granted())
            .field("refused", &self.refused())
            .finish_non_exhaustive()
    }
}

struct Run<S: Store> {
    ledger: Ledger<S>,
    author: Author,
    tally: Arc<Tally>,
    stopping: watch::Receiver<bool>,
    progress: watch::Sender<u64>,
    /// Requests with a grant on its way, and how many entries were dealt with when it was made.
    underway: HashMap<StatementDigest, u64>,
    tasks: JoinSet<StatementDigest>,
}

impl<S: Store> Run<S> {
    async fn run(mut self) {
        let mut feed = self.ledger.subscribe(self.ledger.head());
        self.consider_all(feed.head().size).await;
        loop {
            self.report(feed.head().size);
            tokio::select! {
                biased;
                // The sender lives in the handle: without it nobody could stop this any more.
                _ = self.stopping.changed() => break,
                Some(done) = self.tasks.join_next() => self.finished(done.ok()),
                next = feed.next() => match next {
                    Some(Ok(entry)) => self.consider(&entry).await,
                    // A store that comes back is read again; after any other error the feed ends.
                    Some(Err(_)) => tokio::time::sleep(PAUSE).await,
                    None => break,
                },
                () = tokio::time::sleep(SWEEP) => self.consider_all(feed.head().size).await,
            }
        }
        while let Some(done) = self.tasks.join_next().await {
            self.finished(done.ok());
        }
        self.report(feed.head().size);
    }

    fn report(&self, read: u64) {
        let dealt_with = self.underway.values().copied().min().unwrap_or(read);
        self.progress.send_if_modified(|before| {
            let newer = dealt_with > *before;
            *before = dealt_with.max(*before);
            newer
        });
    }

    fn finished(&mut self, request: Option<StatementDigest>) {
        match request {
            Some(request) => drop(self.underway.remove(&request)),
            // A task that panicked does not say which it was.
            None => self.underway.clear(),
        }
    }

    /// Looks at what an entry may have made grantable.
    async fn consider(&mut self, entry: &Entry) {
        let dealt_with = entry.seq();
        match &entry.statement().event {
            Event::AccessApproved(event) => self.grant(event.request, dealt_with).await,
            Event::ExceptionGranted(event) => match &event.covers {
                ExceptionOf::Personal(personal) => self.grant(personal.request, dealt_with).await,
                ExceptionOf::Class(_) => self.consider_all(dealt_with).await,
            },
            // These can lift what kept a request with all its approvals from being granted.
            Event::LedgerThawed(_)
            | Event::CharterAmended(_)
            | Event::PolicyPublished(_)
            | Event::PolicyWithdrawn(_)
            | Event::CapacityAssigned(_)
            | Event::ResourceRegistered(_)
            | Event::ResourceChanged(_)
            | Event::PrincipalChanged(_)
            | Event::AccessRevoked(_) => self.consider_all(dealt_with).await,
            Event::LedgerOpened(_)
            | Event::LedgerUpgraded(_)
            | Event::LedgerFrozen(_)
            | Event::RecoveryProposed(_)
            | Event::RecoveryVetoed(_)
            | Event::PrincipalRegistered(_)
            | Event::PrincipalDeparted(_)
            | Event::KeyEnrolled(_)
            | Event::KeyRetired(_)
            | Event::KeyCompromised(_)
            | Event::CapacityWithdrawn(_)
            | Event::DelegationGranted(_)
            | Event::DelegationWithdrawn(_)
            | Event::ResourceRetired(_)
            | Event::AccessRequested(_)
            | Event::AccessDenied(_)
            | Event::AccessWithdrawn(_)
            | Event::AccessGranted(_)
            | Event::ExceptionEnded(_)
            | Event::ClockStepped(_)
            | Event::Custom(_) => {}
        }
    }

    async fn consider_all(&mut self, dealt_with: u64) {
        let view = self.ledger.current();
        let at = self.ledger.clock().wall().max(view.state().recorded_at());
        for request in view.state().requests(at) {
            // Without either nothing is fully approved; asking would cost more than looking.
            if !request.approvals.is_empty() || request.exception.is_some() {
                self.grant(request.request, dealt_with).await;
            }
        }
    }

    /// Grants a request, if that is due and not on its way.
    async fn grant(&mut self, request: StatementDigest, dealt_with: u64) {
        if self.underway.contains_key(&request) {
            return;
        }
        let view = self.ledger.current();
        let at = self.ledger.clock().wall().max(view.state().recorded_at());
        let Ok(event) = view.state().propose_grant(&request, at) else { return };
        let Ok(signed) = self.author.state(event).seen(view.head()).sign() else { return };
        while self.tasks.len() >= MAX_UNDERWAY {
            let done = self.tasks.join_next().await.and_then(Result::ok);
            self.finished(done);
        }
        self.underway.insert(request, dealt_with);
        let (ledger, tally) = (self.ledger.clone(), self.tally.clone());
        let mut stopping = self.stopping.clone();
        self.tasks.spawn(async move {
            loop {
                match ledger.submit(signed.clone()).await {
                    Ok(_) => drop(tally.granted.fetch_add(1, Ordering::AcqRel)),
                    Err(SubmitError::Refused(refusal) | SubmitError::SerialReused(refusal)) => {
                        tally.refused.fetch_add(1, Ordering::AcqRel);
                        let mut last = tally.last_refusal.lock().unwrap_or_else(PoisonError::into_inner);
                        *last = Some((request, refusal));
                    }
                    Err(SubmitError::Malformed(_) | SubmitError::Closed) => {}
                    // The very same statement again: it is recorded once, whatever became of it before.
                    Err(_) if !*stopping.borrow() => {
                        tokio::select! {
                            () = tokio::time::sleep(PAUSE) => {}
                            _ = stopping.changed() => {}
                        }
                        continue;
                    }
                    Err(_) => {}
                }
                return request;
            }
        });
    }
}
