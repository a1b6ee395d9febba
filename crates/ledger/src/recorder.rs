//! The recorder: the role that sequences entries and signs checkpoints.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use countersign_core::id::LedgerId;
use countersign_core::key::{PublicKey, SignerKey};
use countersign_core::note::SignedNote;
use countersign_projection::registry::Registry;
use countersign_store::Durability;

use crate::clock::{Clock, SystemClock};
use crate::opening::Opening;

/// A key that signs from any thread.
pub(crate) type SharedKey = Arc<dyn SignerKey + Send + Sync>;

/// After how many entries snapshots are written where the recorder does not say otherwise.
///
/// An opening after a crash reads, verifies and judges about as many again, at most.
pub const SNAPSHOT_ENTRIES: u64 = 65_536;

/// Bytes of snapshots that take as long to write as an entry takes to record: larger ones are written less often, so that they
/// never cost more than a part of what recording costs.
pub(crate) const BYTES_AN_ENTRY: u64 = 4_096;

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
    opening: Opening,
    pub(crate) durability: Durability,
    pub(crate) queue: u32,
    pub(crate) batch: usize,
    pub(crate) checkpoint_interval: Option<Duration>,
    pub(crate) poll_interval: Duration,
    pub(crate) snapshot_entries: Option<u64>,
}

impl Recorder {
    /// A recorder with the key that the charter names, the system's clock, and the defaults that its methods state.
    pub fn new(key: impl SignerKey + Send + Sync + 'static) -> Self {
        Self {
            key: Arc::new(key),
            clock: Arc::new(SystemClock::new()),
            opening: Opening::default(),
            durability: Durability::LocalSync,
            queue: 4096,
            batch: 512,
            checkpoint_interval: Some(Duration::from_secs(1)),
            poll_interval: Duration::from_secs(1),
            snapshot_entries: Some(SNAPSHOT_ENTRIES),
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
        self.opening.ledger_id = Some(ledger_id);
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

    /// Projections that fold with the ledger: [`crate::Replica::view`] answers from them, and snapshots hold them too.
    ///
    /// One that lacks a usable snapshot is built anew from genesis while the ledger is open. One that halts gives its error as its
    /// answer, and the ledger goes on.
    #[must_use]
    pub fn projections(mut self, projections: Registry) -> Self {
        self.opening.projections = projections;
        self
    }

    /// After how many entries snapshots are written, at least 1; where they are large, after more. Without it, [`SNAPSHOT_ENTRIES`]. `None`
    /// writes them only when asked, and not at close either.
    #[must_use]
    pub fn snapshot_entries(mut self, entries: Option<u64>) -> Self {
        self.snapshot_entries = entries.map(|entries| entries.max(1));
        self
    }

    /// Opens by reading, verifying and judging every entry, whatever snapshots there are.
    #[must_use]
    pub fn from_genesis(mut self) -> Self {
        self.opening.from_genesis = true;
        self
    }

    /// A key that the recorder had before: snapshots that it signed are of use too. The key that genesis names is known without.
    #[must_use]
    pub fn earlier_key(mut self, key: PublicKey) -> Self {
        self.opening.recorder_keys.push(key);
        self
    }

    /// Opens only what continues this checkpoint, as an auditor, a follower or a witness holds one: a store that was put back to an older
    /// state is refused. More than one may be given.
    ///
    /// Where snapshots are newer than it, the entries up to it are read and hashed at opening, though not judged.
    #[must_use]
    pub fn floor(mut self, checkpoint: SignedNote) -> Self {
        self.opening.floors.push(checkpoint);
        self
    }

    pub(crate) fn opening(&self) -> Opening {
        let mut opening = self.opening.clone();
        opening.recorder_keys.push(self.key.public_key());
        opening
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("key", &self.key.public_key())
            .field("durability", &self.durability)
            .field("queue", &self.queue)
            .field("batch", &self.batch)
            .field("checkpoint_interval", &self.checkpoint_interval)
            .field("poll_interval", &self.poll_interval)
            .field("snapshot_entries", &self.snapshot_entries)
            .field("opening", &self.opening)
            .finish_non_exhaustive()
    }
}
