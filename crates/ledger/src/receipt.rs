//! Receipts.

use countersign_core::digest::{LeafHash, StatementDigest};
use countersign_core::entry::{Entry, Head};
use countersign_core::time::Timestamp;
use countersign_store::Durability;

/// That a statement was recorded, where and when. Whoever keeps it can show later that an entry was dropped or changed.
///
/// The same statement always has the same receipt, however often it is submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Receipt {
    /// The position of its entry.
    pub seq: u64,
    /// The leaf hash of its entry, which commits to everything before.
    pub leaf: LeafHash,
    /// The statement.
    pub statement: StatementDigest,
    /// The recorder's clock when it was recorded.
    pub recorded_at: Timestamp,
    /// What the acknowledgement survives.
    pub durability: Durability,
}

impl Receipt {
    pub(crate) fn of(entry: &Entry, durability: Durability) -> Self {
        Self {
            seq: entry.seq(),
            leaf: entry.leaf(),
            statement: entry.signed().digest(),
            recorded_at: entry.recorded_at(),
            durability,
        }
    }

    /// The head right after its entry: what its author has seen by now.
    #[must_use]
    pub fn head(&self) -> Head {
        Head { size: self.seq + 1, leaf: self.leaf }
    }
}
