//! What can go wrong, by what the caller can do about it.

use std::sync::Arc;
use std::time::Duration;

use countersign_core::checkpoint::{CheckpointError as CheckpointTextError, OpenCheckpointError};
use countersign_core::digest::{KeyId, StatementDigest};
use countersign_core::entry::Head;
use countersign_core::fault::Fault;
use countersign_core::id::LedgerId;
use countersign_core::note::{NoteError, SignNoteError};
use countersign_projection::governance::Refusal;
use countersign_store::{StoreError, TooWeak};

use crate::clock::ClockStep;

/// A statement was not recorded, or it is not known whether it was.
///
/// "Not recorded" speaks of this submission. [`SubmitError::Busy`], [`SubmitError::Closed`] and [`SubmitError::MustReopen`] can be given before
/// anybody looks at the statement: after an earlier [`SubmitError::OutcomeUnknown`] for it, they settle nothing.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The rules do not admit it. Submitting it again makes sense only where the code speaks of time or of state.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// The key has used the serial, or gone past it, with another statement than this. Sign again, with a new serial.
    #[error("serial reused: {0}")]
    SerialReused(Refusal),
    /// The statement is too long, or a signature is missing, wrong or by an unknown key.
    #[error("malformed: {0}")]
    Malformed(Fault),
    /// It may have been recorded, or still be. Submit the very same statement again: it gets the first receipt if it was, and a
    /// verdict if it was not.
    #[error("it is not known whether statement {digest} was recorded")]
    OutcomeUnknown {
        /// The statement.
        digest: StatementDigest,
    },
    /// Not recorded: too many statements are waiting, or other recorders keep winning. Submit it again later.
    #[error("too much is waiting to be recorded")]
    Busy,
    /// Not recorded: the clock jumped, and nothing is recorded until [`crate::Ledger::acknowledge_clock_step`].
    #[error(transparent)]
    ClockStepped(ClockStep),
    /// Not recorded: the ledger was closed.
    #[error("the ledger is closed")]
    Closed,
    /// Not recorded: an earlier write failed in a way that only opening the ledger anew can settle. Until then it records nothing more.
    #[error("the ledger must be opened anew before it records more")]
    MustReopen,
    /// Not recorded: the store failed, or holds what can not be followed.
    #[error("not recorded")]
    Store(#[source] Arc<ReplayError>),
}

/// The store's entries could not be read or followed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An entry is not one that this ledger admits at its place. Nothing after it is looked at.
    #[error("entry {seq} is not admissible")]
    Entry {
        /// Its position.
        seq: u64,
        /// What is wrong.
        #[source]
        cause: EntryError,
    },
    /// The store no longer holds the history that was followed so far: it was cut, or another one took its place.
    #[error("the store has {} entries and does not continue the history of {} that is known", found.size, known.size)]
    OtherHistory {
        /// What was followed.
        known: Head,
        /// What the store says.
        found: Head,
    },
    /// The thread that judged the entries ended without an answer: it panicked, or the runtime is shutting down.
    #[error("the thread that judged the entries gave no answer")]
    Lost,
}

/// What is wrong with an entry of the store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// Its bytes, or a signature.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// It does not follow the entry before it.
    #[error("it does not follow the entry before it")]
    Unlinked,
    /// The rules do not admit it.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// There is no state as of a cut.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PastError {
    /// The entries could not be read.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// They do not reach the cut, or can not be folded.
    #[error(transparent)]
    AsOf(#[from] countersign_projection::as_of::AsOfError),
}

/// A ledger could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The store acknowledges less than was asked for.
    #[error(transparent)]
    TooWeak(#[from] TooWeak),
    /// The store's entries can not be read or followed.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The store holds another ledger than the one asked for.
    #[error("the store holds ledger {found}")]
    OtherLedger {
        /// Which.
        found: LedgerId,
    },
    /// There is no ledger to follow yet: the store is empty.
    #[error("the store is empty")]
    Empty,
    /// The charter names another key as the recorder's.
    #[error("the recorder of this ledger is key {expected}, not {found}")]
    NotTheRecorder {
        /// The key in force.
        expected: KeyId,
        /// The key at hand.
        found: KeyId,
    },
    /// The checkpoint that lies with the entries does not hold.
    #[error("the checkpoint of the store does not hold")]
    Checkpoint(#[from] KeptCheckpointError),
    /// A checkpoint that the caller knows does not hold: the store was put back to an older state, or holds another history.
    #[error("the store does not continue a checkpoint that is known")]
    Floor(#[source] KeptCheckpointError),
    /// Genesis was not recorded.
    #[error("genesis was not recorded")]
    Genesis(#[source] SubmitError),
}

/// Why a checkpoint does not hold: one that lies with the entries, or one that the caller knows from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeptCheckpointError {
    /// It is no signed note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// It is no checkpoint.
    #[error(transparent)]
    Text(#[from] CheckpointTextError),
    /// It is of another ledger, or the recorder did not sign it.
    #[error(transparent)]
    Open(#[from] OpenCheckpointError),
    /// It is over more entries than there are: the store was cut, or is an old backup.
    #[error("it is over {size} entries, and the store has {held}")]
    Ahead {
        /// How many entries it is over.
        size: u64,
        /// How many there are.
        held: u64,
    },
    /// Its root is not that of these entries: the store holds another history than the one that was committed to.
    #[error("the first {size} entries have another root")]
    Root {
        /// How many entries it is over.
        size: u64,
    },
}

impl CheckpointError {
    /// Whether another recorder has stored more than the view has, and committed to it.
    pub(crate) const fn is_ahead(&self) -> bool {
        matches!(self, Self::Kept { source: KeptCheckpointError::Ahead { .. }, .. })
    }
}

/// No checkpoint was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// There are no entries to commit to.
    #[error("the ledger has no entries")]
    Empty,
    /// The charter names another key by now.
    #[error("the recorder of this ledger is key {expected}, not {found}")]
    NotTheRecorder {
        /// The key in force.
        expected: KeyId,
        /// The key at hand.
        found: KeyId,
    },
    /// One that is kept with the entries leaves no room for this one: it is over more entries, which another recorder may have stored,
    /// or has another root. Nobody signs two histories.
    #[error("a checkpoint that is kept leaves no room for one over {size} entries")]
    Kept {
        /// How many entries the new one would have been over.
        size: u64,
        /// What the one that is kept says against it.
        #[source]
        source: KeptCheckpointError,
    },
    /// The signer failed.
    #[error("the checkpoint could not be signed")]
    Sign(#[from] SignNoteError),
    /// The signer's thread ended without an answer.
    #[error("the signer gave no answer")]
    SignerLost,
    /// The store could not say which one it keeps, or not keep this one.
    #[error("the checkpoint could not be kept")]
    Keep(#[from] StoreError),
}

/// No snapshots were written. Nothing depends on them but the time it takes to open the ledger.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// A checkpoint over as many entries comes first, and was not made.
    #[error("the checkpoint before the snapshots was not made")]
    Checkpoint(#[from] CheckpointError),
    /// They could not be made.
    #[error("the snapshots could not be made")]
    Make(#[from] countersign_projection::snapshot::SnapshotError),
    /// The thread that made them ended without an answer.
    #[error("the thread that makes snapshots gave no answer")]
    Lost,
    /// The store could not keep them.
    #[error("the snapshots could not be kept")]
    Keep(#[from] StoreError),
}

/// A view does not meet what the caller demands of it. It is refused rather than answered from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Stale {
    /// It has fewer entries than demanded.
    #[error("the view has {size} entries, and {wanted} were demanded")]
    Size {
        /// How many it has.
        size: u64,
        /// How many were demanded.
        wanted: u64,
    },
    /// It is longer ago that it was known to be the store's newest state.
    #[error("the view was last known to be current {} ms ago, and at most {} ms were demanded", age.as_millis(), max.as_millis())]
    Age {
        /// How long ago it was.
        age: Duration,
        /// What was demanded.
        max: Duration,
    },
}

/// The ledger is closed, or the follower stopped, before what was waited for came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the ledger ended at {size} entries")]
pub struct Ended {
    /// How many entries it had.
    pub size: u64,
}
