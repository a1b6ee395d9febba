//! The recorder: the role that sequences entries and signs checkpoints.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use countersign_core::id::LedgerId;
use countersign_core::key::SignerKey;
use countersign_store::Durability;

use crate::clock::{Clock, SystemClock};

/// A key that signs from any thread.
pub(crate) type SharedKey = Arc<dyn SignerKey + Send + Sync>;

/// Who sequences: the recorder's key, its clock, and how it goes about it.
///
/// ```
/// use countersign_core::key::SecretKey;
/// use countersign_ledger::Recorder;
/// use countersign_store::Durability;
///
/// // A memory store keeps nothing, and a ledger on one is opened only by who says so.
/// let recorder = Recorder::new(SecretKey::from_seed(&[1; 32])).accepting(Durability::Volatile);
/// ```
#[derive(Clone)]
pub struct Recorder {
    pub(crate) key: SharedKey,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ledger_id: Option<LedgerId>,
    pub(crate) durability: Durability,
    pub(crate) queue: u32,
    pub(crate) batch: usize,
    pub(crate) checkpoint_interval: Option<Duration>,
    pub(crate) poll_interval: Duration,
}

impl Recorder {
    /// A recorder with the key that the charter names, the system's clock, and the defaults that its methods state.
    pub fn new(key: impl SignerKey + Send + Sync + 'static) -> Self {
        Self {
            key: Arc::new(key),
            clock: Arc::new(SystemClock::new()),
            ledger_id: None,
            durability: Durability::LocalSync,
            queue: 4096,
            batch: 512,
            checkpoint_interval: Some(Duration::from_secs(1)),
            poll_interval: Duration::from_secs(1),
        }
    }

    /// Takes time from `clock`.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Opens no other ledger than this. Without it, whatever ledger the store holds is taken for the right one.
    #[must_use]
    pub fn ledger_id(mut self, ledger_id: LedgerId) -> Self {
        self.ledger_id = Some(ledger_id);
        self
    }

    /// The least that an acknowledgement must survive; a store that does less is refused. Without it, [`Durability::LocalSync`].
    #[must_use]
    pub fn accepting(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// How many statements may wait for an answer at once, at least 1; more are refused as busy. Without it, 4,096. Each
    /// takes up to 64 KiB while it waits.
    #[must_use]
    pub fn queue(mut self, statements: u32) -> Self {
        self.queue = statements.max(1);
        self
    }

    /// How many entries are appended at once at most, at least 1. Without it, 512.
    #[must_use]
    pub fn batch(mut self, entries: usize) -> Self {
        self.batch = entries.max(1);
        self
    }

    /// How long after an entry a checkpoint is signed at the latest; under load it is signed as often. Without it, 1 second. `None` signs
    /// only when asked and at close.
    #[must_use]
    pub fn checkpoint_interval(mut self, interval: Option<Duration>) -> Self {
        self.checkpoint_interval = interval;
        self
    }

    /// How often the store is asked for entries of other recorders where no hint comes. Without it, 1 second.
    #[must_use]
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("key", &self.key.public_key())
            .field("ledger_id", &self.ledger_id)
            .field("durability", &self.durability)
            .field("queue", &self.queue)
            .field("batch", &self.batch)
            .field("checkpoint_interval", &self.checkpoint_interval)
            .field("poll_interval", &self.poll_interval)
            .finish_non_exhaustive()
    }
}
