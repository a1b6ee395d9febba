//! Where a ledger's work is measured and told of ([`crate::metrics`]). Nothing depends on it.
#![cfg_attr(
    not(all(feature = "metrics", feature = "tracing")),
    allow(unused_variables, dead_code, reason = "nobody is told all of it")
)]

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use countersign_core::digest::StatementDigest;
use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::error::SubmitError;
#[cfg(feature = "metrics")]
use crate::metrics as names;
use crate::receipt::Receipt;
use crate::view::View;

pub(crate) type Answer = Result<Receipt, SubmitError>;

/// What is told of one ledger.
pub(crate) struct Watch {
    clock: Arc<dyn Clock>,
    /// Its name, once there is genesis.
    ledger: OnceLock<Arc<str>>,
}

impl Watch {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, ledger: OnceLock::new() }
    }

    pub(crate) fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    #[cfg(any(feature = "metrics", feature = "tracing"))]
    fn ledger(&self) -> Arc<str> {
        self.ledger.get().cloned().unwrap_or_default()
    }

    /// A batch was acknowledged that was handed over at `started`.
    pub(crate) fn appended(&self, entries: usize, started: Duration) {
        #[cfg(feature = "metrics")]
        {
            let took = self.now().saturating_sub(started);
            metrics::histogram!(names::APPEND_SECONDS, "ledger" => self.ledger()).record(took);
            metrics::histogram!(names::BATCH_ENTRIES, "ledger" => self.ledger()).record(entries as f64);
        }
    }

    /// Another recorder's entries stood where a batch was to stand.
    pub(crate) fn lost_race(&self) {
        #[cfg(feature = "metrics")]
        metrics::counter!(names::LOST_RACES_TOTAL, "ledger" => self.ledger()).increment(1);
        #[cfg(feature = "tracing")]
        tracing::debug!(ledger = &*self.ledger(), "lost a race");
    }

    /// A view is shown to readers.
    pub(crate) fn published(&self, view: &View) {
        // Before genesis there is nothing to tell of.
        let Some(id) = view.state().ledger_id() else { return };
        self.ledger.get_or_init(|| id.name().into());
        #[cfg(feature = "metrics")]
        {
            metrics::gauge!(names::VIEW_ENTRIES, "ledger" => self.ledger()).set(view.head().size as f64);
            metrics::gauge!(names::PROJECTIONS_DOWN, "ledger" => self.ledger())
                .set(view.down().count() as f64);
        }
    }

    /// The store had so many entries more than the view.
    pub(crate) fn behind(&self, entries: u64) {
        #[cfg(feature = "metrics")]
        metrics::gauge!(names::PROJECTION_LAG_ENTRIES, "ledger" => self.ledger()).set(entries as f64);
    }

    #[cfg(any(feature = "metrics", feature = "tracing"))]
    fn answered(&self, statement: StatementDigest, since: Duration, answer: &Answer) {
        let outcome = Outcome::of(answer);
        #[cfg(feature = "metrics")]
        {
            let ledger = self.ledger();
            metrics::counter!(names::STATEMENTS_TOTAL, "ledger" => ledger.clone(), "outcome" => outcome.word())
                .increment(1);
            if let Some(code) = outcome.code() {
                metrics::counter!(names::REFUSALS_TOTAL, "ledger" => ledger, "code" => code).increment(1);
            } else if answer.is_ok() {
                let took = self.now().saturating_sub(since);
                metrics::histogram!(names::DURABLE_LAG_SECONDS, "ledger" => ledger).record(took);
            }
        }
        #[cfg(feature = "tracing")]
        {
            let ledger = &*self.ledger();
            match (&outcome, outcome.code()) {
                (Outcome::Recorded, _) => {}
                (_, Some(code)) => tracing::debug!(ledger, %statement, code, "refused"),
                (Outcome::Unknown, _) => tracing::warn!(ledger, %statement, "outcome unknown"),
                (reason, _) => {
                    tracing::warn!(ledger, %statement, reason = reason.word(), "not recorded");
                }
            }
        }
    }

    /// An append, within its span.
    pub(crate) async fn append<T>(&self, first: u64, entries: usize, append: impl Future<Output = T>) -> T {
        #[cfg(feature = "tracing")]
        let append = {
            use tracing::Instrument as _;
            append.instrument(tracing::info_span!(
                "countersign.append",
                ledger = &*self.ledger(),
                first,
                entries
            ))
        };
        append.await
    }
}

/// Who waits for what becomes of a statement.
pub(crate) struct Reply {
    to: oneshot::Sender<Answer>,
    watch: Arc<Watch>,
    statement: StatementDigest,
    since: Duration,
}

impl Reply {
    pub(crate) fn new(watch: Arc<Watch>, statement: StatementDigest) -> (Self, oneshot::Receiver<Answer>) {
        let (to, answer) = oneshot::channel();
        let since = watch.now();
        (Self { to, watch, statement, since }, answer)
    }

    /// Nobody may be waiting any more; what became of it is told all the same.
    pub(crate) fn send(self, answer: Answer) {
        #[cfg(any(feature = "metrics", feature = "tracing"))]
        self.watch.answered(self.statement, self.since, &answer);
        let _ = self.to.send(answer);
    }
}

/// What became of a statement, in one word.
#[cfg(any(feature = "metrics", feature = "tracing"))]
enum Outcome {
    Recorded,
    /// With the code.
    Refused(&'static str),
    Malformed(&'static str),
    Unknown,
    Busy,
    ClockStepped,
    Closed,
    Store,
}

#[cfg(any(feature = "metrics", feature = "tracing"))]
impl Outcome {
    fn of(answer: &Answer) -> Self {
        match answer {
            Ok(_) => Self::Recorded,
            Err(SubmitError::Refused(refusal) | SubmitError::SerialReused(refusal)) => {
                Self::Refused(refusal.code.as_str())
            }
            Err(SubmitError::Malformed(fault)) => Self::Malformed(fault.code.as_str()),
            Err(SubmitError::OutcomeUnknown { .. }) => Self::Unknown,
            Err(SubmitError::Busy) => Self::Busy,
            Err(SubmitError::ClockStepped(_)) => Self::ClockStepped,
            Err(SubmitError::Closed) => Self::Closed,
            Err(SubmitError::MustReopen | SubmitError::Store(_)) => Self::Store,
        }
    }

    const fn word(&self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Refused(_) => "refused",
            Self::Malformed(_) => "malformed",
            Self::Unknown => "unknown",
            Self::Busy => "busy",
            Self::ClockStepped => "clock_stepped",
            Self::Closed => "closed",
            Self::Store => "store",
        }
    }

    const fn code(&self) -> Option<&'static str> {
        match self {
            Self::Refused(code) | Self::Malformed(code) => Some(code),
            Self::Recorded | Self::Unknown | Self::Busy | Self::ClockStepped | Self::Closed | Self::Store => {
                None
            }
        }
    }
}
