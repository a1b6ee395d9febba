//! A store chosen at run time.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use countersign_core::digest::StatementDigest;
use countersign_core::entry::Head;

use crate::{AppendError, Batch, Durability, EntryBytes, Found, NoteBytes, SnapshotSet, Store, StoreError};

/// Any store behind one type, at the cost of one allocation a call. A clone is another handle to the same store.
///
/// ```
/// use countersign_store::{AnyStore, Durability, MemoryStore, Store as _};
///
/// let stores = vec![AnyStore::new(MemoryStore::new())];
/// assert_eq!(stores[0].durability(), Durability::Volatile);
/// ```
#[derive(Clone)]
pub struct AnyStore(Arc<dyn ObjectSafe>);

impl AnyStore {
    /// Takes a store in.
    #[must_use]
    pub fn new(store: impl Store) -> Self {
        Self(Arc::new(store))
    }
}

impl fmt::Debug for AnyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyStore").field("durability", &self.0.durability()).finish_non_exhaustive()
    }
}

impl Store for AnyStore {
    fn durability(&self) -> Durability {
        self.0.durability()
    }

    fn head(&self) -> impl Future<Output = Result<Head, StoreError>> + Send {
        self.0.head()
    }

    fn append(&self, batch: Batch) -> impl Future<Output = Result<Head, AppendError>> + Send {
        self.0.append(batch)
    }

    fn read(
        &self,
        from: u64,
        max: usize,
    ) -> impl Future<Output = Result<Vec<EntryBytes>, StoreError>> + Send {
        self.0.read(from, max)
    }

    fn find(
        &self,
        digest: StatementDigest,
    ) -> impl Future<Output = Result<Option<Found>, StoreError>> + Send {
        self.0.find(digest)
    }

    fn wait(&self, size: u64) -> impl Future<Output = ()> + Send {
        self.0.wait(size)
    }

    fn checkpoint(&self) -> impl Future<Output = Result<Option<NoteBytes>, StoreError>> + Send {
        self.0.checkpoint()
    }

    fn put_checkpoint(
        &self,
        size: u64,
        note: NoteBytes,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        self.0.put_checkpoint(size, note)
    }

    fn snapshots(&self, size: u64) -> impl Future<Output = Result<Option<SnapshotSet>, StoreError>> + Send {
        self.0.snapshots(size)
    }

    fn put_snapshots(&self, set: SnapshotSet) -> impl Future<Output = Result<(), StoreError>> + Send {
        self.0.put_snapshots(set)
    }
}

pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The contract in a form that a `dyn` can have. Every store has it.
trait ObjectSafe: Send + Sync {
    fn durability(&self) -> Durability;
    fn head(&self) -> BoxFuture<'_, Result<Head, StoreError>>;
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Head, AppendError>>;
    fn read(&self, from: u64, max: usize) -> BoxFuture<'_, Result<Vec<EntryBytes>, StoreError>>;
    fn find(&self, digest: StatementDigest) -> BoxFuture<'_, Result<Option<Found>, StoreError>>;
    fn wait(&self, size: u64) -> BoxFuture<'_, ()>;
    fn checkpoint(&self) -> BoxFuture<'_, Result<Option<NoteBytes>, StoreError>>;
    fn put_checkpoint(&self, size: u64, note: NoteBytes) -> BoxFuture<'_, Result<(), StoreError>>;
    fn snapshots(&self, size: u64) -> BoxFuture<'_, Result<Option<SnapshotSet>, StoreError>>;
    fn put_snapshots(&self, set: SnapshotSet) -> BoxFuture<'_, Result<(), StoreError>>;
}

impl<S: Store> ObjectSafe for S {
    fn durability(&self) -> Durability {
        Store::durability(self)
    }

    fn head(&self) -> BoxFuture<'_, Result<Head, StoreError>> {
        Box::pin(Store::head(self))
    }

    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Head, AppendError>> {
        Box::pin(Store::append(self, batch))
    }

    fn read(&self, from: u64, max: usize) -> BoxFuture<'_, Result<Vec<EntryBytes>, StoreError>> {
        Box::pin(Store::read(self, from, max))
    }

    fn find(&self, digest: StatementDigest) -> BoxFuture<'_, Result<Option<Found>, StoreError>> {
        Box::pin(Store::find(self, digest))
    }

    fn wait(&self, size: u64) -> BoxFuture<'_, ()> {
        Box::pin(Store::wait(self, size))
    }

    fn checkpoint(&self) -> BoxFuture<'_, Result<Option<NoteBytes>, StoreError>> {
        Box::pin(Store::checkpoint(self))
    }

    fn put_checkpoint(&self, size: u64, note: NoteBytes) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(Store::put_checkpoint(self, size, note))
    }

    fn snapshots(&self, size: u64) -> BoxFuture<'_, Result<Option<SnapshotSet>, StoreError>> {
        Box::pin(Store::snapshots(self, size))
    }

    fn put_snapshots(&self, set: SnapshotSet) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(Store::put_snapshots(self, set))
    }
}
