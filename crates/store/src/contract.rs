//! The contract between a ledger and what keeps its entries.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use countersign_core::checkpoint::Checkpoint;
use countersign_core::digest::StatementDigest;
use countersign_core::entry::Head;
use countersign_core::note::SignedNote;

use crate::{AppendError, Batch, StoreError};

/// The exact bytes of one entry, without a line feed.
pub type EntryBytes = Arc<[u8]>;

/// The exact bytes of a signed note: text and signatures.
pub type NoteBytes = Arc<[u8]>;

/// Where entries are kept: bytes in order, no rules.
///
/// Written with `async fn`; the futures must be `Send`. Nothing here names a runtime, and the kit in [`crate::conformance`]
/// shows whether an implementation keeps the contract. Where a store must be chosen at run time, [`crate::AnyStore`] holds
/// any of them.
///
/// Every method may be called from many tasks at once, by several writers too, here or in other processes. Dropping a
/// future before it is done leaves the store usable; a dropped append has an unknown outcome.
pub trait Store: Send + Sync + 'static {
    /// What an acknowledged append survives. It does not change while the store is open.
    fn durability(&self) -> Durability;

    /// How many entries there are, and the leaf hash of the last: those that an acknowledgement would count, no more.
    ///
    /// # Errors
    /// [`StoreError`].
    fn head(&self) -> impl Future<Output = Result<Head, StoreError>> + Send;

    /// Appends the batch if the head is the one it expects, by position and by leaf hash; returns the head right after it.
    ///
    /// - Idempotent: a batch that stands at its place already is not written again, and gives its head, whatever came after it.
    ///   Where a prefix of it stands and nothing after, what is missing is appended.
    /// - Prefix-atomic: after a crash a prefix of an unacknowledged batch may stand, never anything else, and never part of
    ///   an entry.
    /// - Returns only when all of it is as durable as [`Store::durability`] says. Nobody reads an entry that is not.
    /// - Comes back: a store whose disk or server is away says so within a time that it states.
    /// - A store may refuse a statement that stands in another entry already ([`StoreError::Repeated`]): no ledger makes a second one.
    ///
    /// # Errors
    /// [`AppendError`], by what is known about the batch afterwards.
    fn append(&self, batch: Batch) -> impl Future<Output = Result<Head, AppendError>> + Send;

    /// The entries from position `from` on, in order and without a gap: at most `max`, fewer where the store finds that
    /// more would be too much at once, at least one where `from` is below the head and `max` is not 0. Empty means that there is
    /// nothing at `from` yet.
    ///
    /// # Errors
    /// [`StoreError`].
    fn read(&self, from: u64, max: usize)
    -> impl Future<Output = Result<Vec<EntryBytes>, StoreError>> + Send;

    /// The first entry whose statement has this digest.
    ///
    /// # Errors
    /// [`StoreError`].
    fn find(&self, digest: StatementDigest)
    -> impl Future<Output = Result<Option<Found>, StoreError>> + Send;

    /// Completes when there may be more than `size` entries: a hint, which may come early, late, or (as here, where it is
    /// not overridden) never. Callers look for themselves from time to time.
    fn wait(&self, size: u64) -> impl Future<Output = ()> + Send {
        let _ = size;
        std::future::pending()
    }

    /// The bytes of the signed checkpoint over most entries that was handed to [`Store::put_checkpoint`].
    ///
    /// # Errors
    /// [`StoreError`].
    fn checkpoint(&self) -> impl Future<Output = Result<Option<NoteBytes>, StoreError>> + Send;

    /// Keeps a signed checkpoint over `size` entries, in place of the one before, unless that is over more.
    ///
    /// Returns when it is as durable as [`Store::durability`] says. A store may refuse what is no well-formed checkpoint over
    /// `size` entries, or over more than it has; signatures and root are not looked at.
    ///
    /// # Errors
    /// [`StoreError`].
    fn put_checkpoint(
        &self,
        size: u64,
        note: NoteBytes,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The newest kept set of snapshots over at most `size` entries, if there is one.
    ///
    /// A snapshot is a shortcut that its reader checks, never evidence: a store that keeps none, as here where it is not
    /// overridden, is slower to open and answers the same. Who finds a set useless asks again with a smaller size.
    ///
    /// # Errors
    /// [`StoreError`].
    fn snapshots(&self, size: u64) -> impl Future<Output = Result<Option<SnapshotSet>, StoreError>> + Send {
        let _ = size;
        std::future::ready(Ok(None))
    }

    /// Keeps a set of snapshots, in place of one over as many entries; may forget older ones.
    ///
    /// # Errors
    /// [`StoreError`].
    fn put_snapshots(&self, set: SnapshotSet) -> impl Future<Output = Result<(), StoreError>> + Send {
        let _ = set;
        std::future::ready(Ok(()))
    }
}

/// A signed snapshot of one projection as it is kept: bytes that nobody has looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptSnapshot {
    /// The projection's name, `[a-z0-9][a-z0-9._-]{0,63}`.
    pub name: String,
    /// The signed note.
    pub note: NoteBytes,
    /// The state that the note signs.
    pub payload: Arc<[u8]>,
}

/// Snapshots of several projections, taken together over the same entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotSet {
    /// How many entries they are over.
    pub size: u64,
    /// At most one a projection, sorted by name.
    pub snapshots: Vec<KeptSnapshot>,
}

impl SnapshotSet {
    /// How many sets a store keeps at least: the newest, and one to fall back to.
    pub const KEPT: usize = 2;
}

/// How many entries a signed checkpoint says that it is over; none where it is no well-formed checkpoint. Signatures and root are not
/// looked at.
#[must_use]
pub fn checkpoint_size(note: &[u8]) -> Option<u64> {
    let checkpoint: Checkpoint = SignedNote::parse(note).ok()?.untrusted_text().parse().ok()?;
    Some(checkpoint.size())
}

/// An entry that was found by the digest of its statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its position.
    pub seq: u64,
    /// Its exact bytes.
    pub bytes: EntryBytes,
}

/// What an acknowledgement survives. Ordered: a later one survives more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// Nothing but the life of the process: for tests, and for what is saved by other means.
    Volatile,
    /// The loss of power of this machine: it was synced to its disk.
    LocalSync,
    /// What a storage service promises for what it says it took: nothing here can look. Of this machine nothing is needed any more.
    Service,
    /// The loss of any one machine: it was synced on a quorum of them.
    QuorumSync,
}

impl Durability {
    /// Refuses where this is weaker than what is asked for.
    ///
    /// # Errors
    /// [`TooWeak`].
    pub fn require(self, asked: Self) -> Result<(), TooWeak> {
        if self < asked { Err(TooWeak { asked, found: self }) } else { Ok(()) }
    }

    /// The word that reports print: `volatile`, `local_sync`, `service` or `quorum_sync`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Volatile => "volatile",
            Self::LocalSync => "local_sync",
            Self::Service => "service",
            Self::QuorumSync => "quorum_sync",
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The store acknowledges less than what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store is {found}, and {asked} was asked for")]
pub struct TooWeak {
    /// What was asked for.
    pub asked: Durability,
    /// What the store does.
    pub found: Durability,
}

impl<S: Store> Store for Arc<S> {
    fn durability(&self) -> Durability {
        (**self).durability()
    }

    fn head(&self) -> impl Future<Output = Result<Head, StoreError>> + Send {
        (**self).head()
    }

    fn append(&self, batch: Batch) -> impl Future<Output = Result<Head, AppendError>> + Send {
        (**self).append(batch)
    }

    fn read(
        &self,
        from: u64,
        max: usize,
    ) -> impl Future<Output = Result<Vec<EntryBytes>, StoreError>> + Send {
        (**self).read(from, max)
    }

    fn find(
        &self,
        digest: StatementDigest,
    ) -> impl Future<Output = Result<Option<Found>, StoreError>> + Send {
        (**self).find(digest)
    }

    fn wait(&self, size: u64) -> impl Future<Output = ()> + Send {
        (**self).wait(size)
    }

    fn checkpoint(&self) -> impl Future<Output = Result<Option<NoteBytes>, StoreError>> + Send {
        (**self).checkpoint()
    }

    fn put_checkpoint(
        &self,
        size: u64,
        note: NoteBytes,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        (**self).put_checkpoint(size, note)
    }

    fn snapshots(&self, size: u64) -> impl Future<Output = Result<Option<SnapshotSet>, StoreError>> + Send {
        (**self).snapshots(size)
    }

    fn put_snapshots(&self, set: SnapshotSet) -> impl Future<Output = Result<(), StoreError>> + Send {
        (**self).put_snapshots(set)
    }
}
