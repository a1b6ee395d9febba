//! The memory store: volatile, and honest about it.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use countersign_core::digest::{LeafHash, StatementDigest};
use countersign_core::entry::{Entry, Head};

use crate::{
    AppendError, Batch, BatchError, Durability, EntryBytes, Found, Growth, NoteBytes, SnapshotSet, Store,
    StoreError,
};

/// A store in memory. A clone is another handle to the same entries, so several ledgers of one process can share them.
///
/// It is [`Durability::Volatile`]: everything is gone with the process, unless [`crate::jsonl::save`] wrote it to a file.
/// It takes the entries themselves and about 150 bytes beside each.
#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Mutex<Kept>>);

/// Most bytes of entries that one read returns, unless the first entry alone has more.
const MAX_READ_LEN: usize = 8 << 20;

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A store with these entries.
    ///
    /// # Errors
    /// [`BatchError::Unlinked`] where one does not follow the one before, or the first is not at position 0.
    pub fn from_entries(entries: impl IntoIterator<Item = Entry>) -> Result<Self, BatchError> {
        let mut kept = Kept::default();
        for entry in entries {
            if (Head { size: entry.seq(), leaf: entry.prev() }) != kept.head() {
                return Err(BatchError::Unlinked { seq: entry.seq() });
            }
            kept.push(&entry);
        }
        kept.growth.reached(kept.head().size);
        Ok(Self(Arc::new(Mutex::new(kept))))
    }

    /// The head, without a future: nothing here ever waits.
    #[must_use]
    pub fn head_now(&self) -> Head {
        self.lock().head()
    }

    /// The exact bytes of all entries as they stand now.
    #[must_use]
    pub fn entries_now(&self) -> Vec<EntryBytes> {
        self.lock().entries.clone()
    }

    /// The checkpoint that is kept, without a future.
    #[must_use]
    pub fn checkpoint_now(&self) -> Option<NoteBytes> {
        self.lock().checkpoint.as_ref().map(|(_, note)| note.clone())
    }

    pub(crate) fn with_checkpoint(self, size: u64, note: NoteBytes) -> Self {
        self.lock().checkpoint = Some((size, note));
        self
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Nothing that can panic runs between two writes that belong together, so a poisoned lock holds sound data.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("head", &self.head_now()).finish_non_exhaustive()
    }
}

impl Store for MemoryStore {
    fn durability(&self) -> Durability {
        Durability::Volatile
    }

    async fn head(&self) -> Result<Head, StoreError> {
        Ok(self.head_now())
    }

    async fn append(&self, batch: Batch) -> Result<Head, AppendError> {
        let growth = {
            let mut kept = self.lock();
            let missing = batch.missing_in(kept.head(), |seq| Ok(kept.leaves[seq as usize]))?;
            for entry in missing {
                kept.push(entry);
            }
            kept.growth.clone()
        };
        // Outside the lock: a waker may run its task at once.
        growth.reached(batch.head().size);
        Ok(batch.head())
    }

    async fn read(&self, from: u64, max: usize) -> Result<Vec<EntryBytes>, StoreError> {
        let kept = self.lock();
        let start = usize::try_from(from).map_or(kept.entries.len(), |from| from.min(kept.entries.len()));
        let mut length = 0;
        let fits = |entry: &&EntryBytes| {
            let first = length == 0;
            length += entry.len();
            first || length <= MAX_READ_LEN
        };
        Ok(kept.entries[start..].iter().take(max).take_while(fits).cloned().collect())
    }

    async fn find(&self, digest: StatementDigest) -> Result<Option<Found>, StoreError> {
        let kept = self.lock();
        let found = kept
            .places
            .get(&digest)
            .map(|place| Found { seq: *place as u64, bytes: kept.entries[*place].clone() });
        Ok(found)
    }

    fn wait(&self, size: u64) -> impl Future<Output = ()> + Send {
        self.lock().growth.beyond(size)
    }

    async fn checkpoint(&self) -> Result<Option<NoteBytes>, StoreError> {
        Ok(self.checkpoint_now())
    }

    async fn put_checkpoint(&self, size: u64, note: NoteBytes) -> Result<(), StoreError> {
        let mut kept = self.lock();
        if kept.checkpoint.as_ref().is_none_or(|(before, _)| *before <= size) {
            kept.checkpoint = Some((size, note));
        }
        Ok(())
    }

    async fn snapshots(&self, size: u64) -> Result<Option<SnapshotSet>, StoreError> {
        Ok(self.lock().snapshots.range(..=size).next_back().map(|(_, set)| set.clone()))
    }

    async fn put_snapshots(&self, set: SnapshotSet) -> Result<(), StoreError> {
        let mut kept = self.lock();
        kept.snapshots.insert(set.size, set);
        while kept.snapshots.len() > SnapshotSet::KEPT {
            kept.snapshots.pop_first();
        }
        Ok(())
    }
}

#[derive(Default)]
struct Kept {
    entries: Vec<EntryBytes>,
    // INVARIANT: as long as `entries`.
    leaves: Vec<LeafHash>,
    places: HashMap<StatementDigest, usize>,
    checkpoint: Option<(u64, NoteBytes)>,
    snapshots: BTreeMap<u64, SnapshotSet>,
    growth: Growth,
}

impl Kept {
    fn head(&self) -> Head {
        self.leaves.last().map_or(Head::EMPTY, |leaf| Head { size: self.leaves.len() as u64, leaf: *leaf })
    }

    fn push(&mut self, entry: &Entry) {
        self.places.entry(entry.signed().digest()).or_insert(self.entries.len());
        self.entries.push(entry.bytes().clone());
        self.leaves.push(entry.leaf());
    }
}
