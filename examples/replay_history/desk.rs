//! Where statements are handed in: a ledger, its clock in the replay's hands, and an enforcer that follows it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use countersign::core::digest::StatementDigest;
use countersign::core::entry::Head;
use countersign::core::event::EventKind;
use countersign::core::statement::SignedStatement;
use countersign::core::time::Timestamp;
use countersign::ledger::{Author, Clock, Enforcer, Ledger, Receipt, Recorder, SubmitError};
use countersign::projection::governance::{Refusal, State};
use countersign::store::{Durability, Store};

use super::cast::{self, Office};
use super::{BoxError, Tally};

/// A clock that says what the history says: both readings move together, so that no time is missing.
#[derive(Debug)]
pub(crate) struct ReplayClock {
    start: u64,
    now: AtomicU64,
}

impl ReplayClock {
    pub(crate) fn new(start: Timestamp) -> Self {
        Self { start: start.millis(), now: AtomicU64::new(start.millis()) }
    }

    /// Lets time pass.
    pub(crate) fn set(&self, now: Timestamp) {
        self.now.fetch_max(now.millis(), Ordering::Relaxed);
    }
}

impl Clock for ReplayClock {
    fn wall(&self) -> Timestamp {
        Timestamp::from_millis(self.now.load(Ordering::Relaxed)).expect("INVARIANT: set from instants only")
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.now.load(Ordering::Relaxed) - self.start)
    }
}

/// Takes statements and counts them.
pub(crate) struct Desk<S: Store> {
    ledger: Ledger<S>,
    enforcer: Option<Enforcer>,
    tally: Tally,
}

/// A statement was not recorded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeskError {
    /// The rules do not admit it.
    #[error(transparent)]
    Refused(Refusal),
    /// The replay can not go on.
    #[error(transparent)]
    Fatal(#[from] BoxError),
}

impl<S: Store> Desk<S> {
    /// Opens a ledger in `store` with this first statement.
    pub(crate) async fn open(
        store: S,
        genesis: SignedStatement,
        clock: Arc<ReplayClock>,
    ) -> Result<Self, BoxError> {
        // A checkpoint at the end alone, so that a replay gives the same bytes however long it takes.
        let recorder = Recorder::new(cast::key(&Office::Recorder.principal()))
            .clock(clock)
            .accepting(Durability::Volatile)
            .checkpoint_interval(None);
        let kind = genesis.statement().event.kind();
        let (ledger, _) = Ledger::create(store, recorder, genesis).await?;
        let mut tally = Tally::default();
        tally.statements.insert(kind, 1);
        Ok(Self { ledger, enforcer: None, tally })
    }

    /// From here on what is fully approved is granted, by an automation that signs as `author`.
    pub(crate) fn attach(&mut self, author: Author) {
        self.enforcer = Some(Enforcer::attach(&self.ledger, author));
    }

    /// The state as it stands. Cheap: nothing is copied.
    pub(crate) fn state(&self) -> State {
        self.ledger.current().state().clone()
    }

    /// Has statements recorded, in this order and together. Returns for each the head right after it.
    pub(crate) async fn submit(&mut self, signed: Vec<SignedStatement>) -> Vec<Result<Head, DeskError>> {
        let kinds: Vec<_> = signed.iter().map(|signed| signed.statement().event.kind()).collect();
        let answers = self.ledger.submit_all(signed).await;
        let answer = |(kind, answer)| match answer {
            Ok(receipt) => {
                *self.tally.statements.entry(kind).or_default() += 1;
                Ok(Receipt::head(&receipt))
            }
            Err(SubmitError::Refused(refusal) | SubmitError::SerialReused(refusal)) => {
                Err(self.refused(refusal))
            }
            Err(error) => Err(DeskError::Fatal(error.into())),
        };
        kinds.into_iter().zip(answers).map(answer).collect()
    }

    /// Waits until the enforcer has dealt with the first `size` entries, the last of which completed a request: the grant then
    /// stands, or was refused. Returns the head by then.
    pub(crate) async fn granted(&mut self, request: &StatementDigest, size: u64) -> Result<Head, DeskError> {
        let enforcer = self.enforcer.as_ref().expect("INVARIANT: attached before anything is requested");
        enforcer.dealt_with(size).await.map_err(BoxError::from)?;
        let refusal = enforcer.last_refusal().filter(|(refused, _)| refused == request);
        // Not even proposed, where it is open still.
        let state = self.state();
        let proposed = state.propose_grant(request, state.recorded_at());
        let open = state.request(request, state.recorded_at()).is_some();
        match (refusal, proposed) {
            (Some((_, refusal)), _) => Err(self.refused(refusal)),
            (None, Err(refusal)) if open => Err(self.refused(refusal)),
            (None, Ok(_)) => Err(BoxError::from(format!("request {request} was not dealt with")).into()),
            (None, Err(_)) => Ok(state.head()),
        }
    }

    /// Counts a refusal.
    pub(crate) fn refused(&mut self, refusal: Refusal) -> DeskError {
        *self.tally.refusals.entry(refusal.code).or_default() += 1;
        DeskError::Refused(refusal)
    }

    /// Signs the last checkpoint and tells what became of the statements.
    pub(crate) async fn close(mut self) -> Result<Tally, BoxError> {
        if let Some(enforcer) = self.enforcer {
            *self.tally.statements.entry(EventKind::AccessGranted).or_default() += enforcer.granted();
            enforcer.stop().await;
        }
        self.ledger.close().await?;
        self.tally.ledger = self.ledger.ledger_id();
        Ok(self.tally)
    }
}
