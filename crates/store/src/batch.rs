//! Batches: what is appended at once.

use std::sync::Arc;

use countersign_core::digest::LeafHash;
use countersign_core::entry::{Entry, Head};

use crate::{AppendError, StoreError};

/// Entries that stand one behind the other: at least one, and each names the one before by position and leaf hash.
///
/// The head that they are to be appended behind is [`Batch::expected`]: it follows from the first entry, so a batch and
/// the condition it is appended under can not come apart. A clone is cheap, so that it can be kept for a retry.
#[derive(Debug, Clone)]
pub struct Batch(
    // INVARIANT: not empty, chained, and no position overflows.
    Arc<[Entry]>,
);

impl Batch {
    /// The batch of these entries.
    ///
    /// # Errors
    /// [`BatchError`] where there are none, or one does not follow the one before.
    pub fn new(entries: impl Into<Arc<[Entry]>>) -> Result<Self, BatchError> {
        let entries = entries.into();
        let Some(last) = entries.last() else { return Err(BatchError::Empty) };
        if last.seq() == u64::MAX {
            return Err(BatchError::Unlinked { seq: last.seq() });
        }
        match entries
            .windows(2)
            .find(|pair| (Head { size: pair[1].seq(), leaf: pair[1].prev() }) != pair[0].head())
        {
            Some(pair) => Err(BatchError::Unlinked { seq: pair[1].seq() }),
            None => Ok(Self(entries)),
        }
    }

    /// The head that the store must have: it names what stands before the first entry.
    #[must_use]
    pub fn expected(&self) -> Head {
        Head { size: self.0[0].seq(), leaf: self.0[0].prev() }
    }

    /// The head right after the last entry.
    #[must_use]
    pub fn head(&self) -> Head {
        self.0[self.0.len() - 1].head()
    }

    /// The entries in order, at least one.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// The entries that are not there yet in a store whose head is `head`, if `head` is one that this batch goes through.
    ///
    /// All of them at [`Batch::expected`]; fewer where an attempt that was cut off left a prefix standing; none at
    /// [`Batch::head`]. A store that finds `None` here still has to look whether the whole batch stands further back.
    #[must_use]
    pub fn missing_after(&self, head: Head) -> Option<&[Entry]> {
        if head == self.expected() {
            return Some(&self.0);
        }
        let behind = head.size.checked_sub(self.expected().size)?;
        let behind = usize::try_from(behind).ok().filter(|behind| (1..=self.0.len()).contains(behind))?;
        (self.0[behind - 1].leaf() == head.leaf).then(|| &self.0[behind..])
    }

    /// The entries that a store whose head is `head` has to add: none where the batch stands already, whatever came after it. `leaf_at`
    /// gives the leaf hash of the entry at a position below that head.
    ///
    /// # Errors
    /// [`AppendError::Conflict`]; those of `leaf_at`.
    pub fn missing_in(
        &self,
        head: Head,
        leaf_at: impl FnOnce(u64) -> Result<LeafHash, StoreError>,
    ) -> Result<&[Entry], AppendError> {
        if let Some(missing) = self.missing_after(head) {
            return Ok(missing);
        }
        let last = self.head().size - 1;
        // One leaf is enough: it commits to everything before it.
        if last < head.size && leaf_at(last)? == self.head().leaf {
            return Ok(&[]);
        }
        Err(AppendError::Conflict { expected: self.expected(), actual: head })
    }
}

/// Why entries are not a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// There are none.
    #[error("a batch has at least one entry")]
    Empty,
    /// An entry does not follow the one before.
    #[error("entry {seq} does not follow the entry before")]
    Unlinked {
        /// The position that the entry claims.
        seq: u64,
    },
}
