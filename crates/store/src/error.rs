//! What can go wrong with a store, by what the caller can do about it.

use countersign_core::digest::StatementDigest;
use countersign_core::entry::Head;

/// A cause from below: a database driver, the file system.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A store could not answer. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The backend failed. Another attempt may succeed.
    #[error("the store is not available")]
    Unavailable(#[source] BoxError),
    /// What is kept is not what was stored. No attempt will succeed.
    #[error("the store is damaged at entry {seq}: {detail}")]
    Damaged {
        /// The position.
        seq: u64,
        /// What was found, in words.
        detail: String,
    },
    /// What was handed over as a checkpoint is none, or not over so many entries, or over more than there are.
    #[error("no checkpoint over {size} of the {entries} entries")]
    Checkpoint {
        /// How many entries it was said to be over.
        size: u64,
        /// How many there are.
        entries: u64,
    },
    /// The store was opened for reading only.
    #[error("the store is open for reading only")]
    ReadOnly,
    /// A statement of the batch stands already, in another entry, and the store keeps a statement once only.
    #[error("statement {digest} stands already")]
    Repeated {
        /// The statement.
        digest: StatementDigest,
    },
    /// Another writer took the store over: this one writes nothing more until it is opened anew.
    #[error("a writer of epoch {current} took the store over from epoch {own}")]
    Fenced {
        /// The epoch of the writer that is refused.
        own: u64,
        /// The epoch that is let in.
        current: u64,
    },
    /// An earlier write failed in a way that only opening the store anew can settle.
    #[error("the store must be opened anew before it takes more")]
    Poisoned,
}

/// A batch was not acknowledged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The head is another one: another writer appended first. Nothing of the batch was written by this call. Read the new entries, decide
    /// again, retry.
    #[error("the head is at {} entries, not at {}, or has another leaf", actual.size, expected.size)]
    Conflict {
        /// The head that the batch goes behind.
        expected: Head,
        /// The head at the time of the refusal.
        actual: Head,
    },
    /// The batch may stand, wholly or the first entries of it, now or later. The way out: append the same batch again, which
    /// gives the outcome of the first attempt if there was one; or read from the expected head, and decide again with what
    /// is there. Whichever is done, the condition on the head keeps the batch from standing twice.
    #[error("it is not known whether the entries were stored")]
    OutcomeUnknown(#[source] BoxError),
    /// Nothing was written.
    #[error("nothing was stored")]
    NotStored(#[from] StoreError),
}
