//! The handle: it creates objects behind the last one, and reads those that are there.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use countersign_core::digest::{LeafHash, StatementDigest};
use countersign_core::entry::{Entry, Head, leaf_hash};
use countersign_core::note::MAX_NOTE_LEN;
use countersign_store::{
    AppendError, Batch, Durability, EntryBytes, Found, Growth, NoteBytes, SnapshotSet, Store, StoreError,
    checkpoint_size,
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path;
use tokio::runtime::Handle;
use tokio::time::sleep;

use crate::bucket::{Bucket, Created, Got};
use crate::bundle::{self, Index};
use crate::known::{Kind, Known, Located, Span};
use crate::names::Names;
use crate::options::AT_ONCE;
use crate::piece::{Piece, object_of};
use crate::{Options, snapshots};

/// How often something is looked for again that is there by its name and is gone when it is asked for.
const ATTEMPTS: u32 = 8;
/// How long to wait before a name is tried again that was said to be taken, and where nothing is.
const PAUSE: Duration = Duration::from_millis(50);

/// A ledger in a bucket. A clone is another handle to the same store.
///
/// Any number of stores, in this process and in others, may write to one ledger: the first to create the next object wins, and the others are
/// told [`AppendError::Conflict`]. What is acknowledged is an object that the service said it created, or that was read back;
/// [`Durability`] is what [`crate::Options::acknowledging`] was told.
///
/// It is to be used within a Tokio runtime: the clients of services and [`Store::wait`] need one.
#[derive(Clone)]
pub struct BucketStore(Arc<Shared>);

pub(crate) struct Shared {
    bucket: Bucket,
    options: Options,
    writable: bool,
    known: Mutex<Known>,
    /// How many entries the checkpoint is over that this store put or found.
    checkpoint: Mutex<Option<u64>>,
    growth: Growth,
    /// Whether a task makes bundles.
    bundling: AtomicBool,
}

impl Shared {
    pub(crate) fn new(bucket: Bucket, known: Known, options: Options, writable: bool) -> Self {
        let growth = Growth::new(known.head().size);
        let (known, checkpoint) = (Mutex::new(known), Mutex::new(None));
        Self { bucket, options, writable, known, checkpoint, growth, bundling: AtomicBool::new(false) }
    }

    /// Makes the bundles that are due.
    pub(crate) async fn bundle(&self) -> Result<(), StoreError> {
        loop {
            let Some(spans) = self.known().due(self.options.bundle) else { return Ok(()) };
            let mut pieces = Vec::with_capacity(spans.len());
            for span in spans {
                let held = self.known().piece(span);
                pieces.push(match held {
                    Some(piece) => piece,
                    None => self.fetch(span).await?,
                });
            }
            if let Some((bundle, index)) = bundle::make(&self.bucket, &pieces).await? {
                self.known().bundle(bundle, index);
            }
        }
    }

    /// The entries of an object that was read before.
    async fn fetch(&self, span: Span) -> Result<Piece, StoreError> {
        let piece = Piece::fetch(&self.bucket, span.after).await?;
        let piece = piece.ok_or_else(|| damaged(span.after.size, "its object is gone"))?;
        if piece.head != span.head {
            return Err(damaged(span.after.size, "its object is another one than before"));
        }
        Ok(piece)
    }

    /// Takes the objects again in place of a bundle that is not there, or is not what its name says.
    async fn unbundle(&self, bundle: Span) -> Result<(), StoreError> {
        let (mut objects, mut after) = (Vec::new(), bundle.after);
        while after.size < bundle.head.size {
            let piece = Piece::fetch(&self.bucket, after).await?;
            let piece = piece.ok_or_else(|| damaged(after.size, "its object is gone"))?;
            after = piece.head;
            objects.push(Span::of(&piece));
        }
        if after != bundle.head {
            return Err(damaged(bundle.after.size, "its objects are others than what stands behind them"));
        }
        self.known().unbundle(bundle, objects);
        Ok(())
    }

    /// Which statements are in a bundle.
    async fn index(&self, bundle: Span) -> Result<Arc<Index>, StoreError> {
        let index = match bundle::index(&self.bucket, bundle).await? {
            Some(index) => index,
            None => {
                let (mut digests, mut seq) = (Vec::new(), bundle.after.size);
                while seq < bundle.head.size {
                    let left = usize::try_from(bundle.head.size - seq).unwrap_or(usize::MAX);
                    for bytes in self.read(seq, left).await? {
                        let entry = Entry::parse(bytes)
                            .map_err(|fault| damaged(seq, &format!("it is no entry: {fault}")))?;
                        digests.push(entry.signed().digest());
                        seq += 1;
                    }
                }
                Index::of(&digests, bundle.after.size)
            }
        };
        let index = Arc::new(index);
        self.known().index(bundle, index.clone());
        Ok(index)
    }

    /// The first entry in a bundle whose statement has this digest.
    async fn find_bundled(
        &self,
        digest: StatementDigest,
        bundles: Vec<(Span, Option<Arc<Index>>)>,
    ) -> Result<Option<Found>, StoreError> {
        let mut indexes = stream::iter(bundles)
            .map(|(bundle, index)| async move {
                match index {
                    Some(index) => Ok(index),
                    None => self.index(bundle).await,
                }
            })
            .buffered(AT_ONCE);
        while let Some(index) = indexes.try_next().await? {
            for seq in index.candidates(&digest) {
                let found = self.found(seq).await?;
                if Entry::parse(found.bytes.clone()).is_ok_and(|entry| entry.signed().digest() == digest) {
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }

    async fn found(&self, seq: u64) -> Result<Found, StoreError> {
        let bytes = self.read(seq, 1).await?.into_iter().next();
        let bytes = bytes.ok_or_else(|| damaged(seq, "the entry is not there"))?;
        Ok(Found { seq, bytes })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing that can panic runs between two changes that belong together.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn learn(&self, piece: Piece) {
        let size = {
            let mut known = self.known();
            known.learn(piece, self.options.keep);
            known.head().size
        };
        // Outside the lock: a waker may run its task at once.
        self.growth.reached(size);
    }

    /// Reads on until there is no next object.
    async fn follow(&self) -> Result<Head, StoreError> {
        loop {
            let head = self.known().head();
            match Piece::fetch(&self.bucket, head).await? {
                Some(piece) => self.learn(piece),
                None => return Ok(head),
            }
        }
    }

    /// Makes sure that an object stands behind `after`, whosever it is.
    async fn create(&self, after: Head, entries: &[Entry], bytes: Bytes) -> Result<(), AppendError> {
        let name = self.bucket.names.entries_from(after.size);
        for attempt in 1.. {
            let created = self.bucket.create(&name, bytes.clone()).await;
            if let Ok(Created::Now) = created {
                self.learn(Piece::of(after, entries));
                return Ok(());
            }
            // Somebody was faster; or the reply was lost, and it is our own; or nobody knows. What is there decides: nothing changes it
            // any more.
            match Piece::fetch(&self.bucket, after).await {
                Ok(Some(piece)) => {
                    self.learn(piece);
                    return Ok(());
                }
                // The name has something else, and never ours.
                Err(error @ StoreError::Damaged { .. }) => return Err(error.into()),
                Err(error) => return Err(AppendError::OutcomeUnknown(error.into())),
                Ok(None) => {}
            }
            match created {
                Err(error) => return Err(AppendError::OutcomeUnknown(error.into())),
                Ok(_) if attempt == ATTEMPTS => break,
                // S3 says so of two who try at once before either is done.
                Ok(_) => sleep(PAUSE).await,
            }
        }
        let detail = format!("`{name}` is said to be taken, and nothing is there");
        Err(AppendError::OutcomeUnknown(detail.into()))
    }

    async fn leaf_at(&self, seq: u64) -> Result<LeafHash, StoreError> {
        Ok(leaf_hash(&self.found(seq).await?.bytes))
    }

    /// As [`Store::read`].
    async fn read(&self, from: u64, max: usize) -> Result<Vec<EntryBytes>, StoreError> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let mut followed = false;
        loop {
            let located = self.known().locate(from, max);
            match located {
                Located::Here(entries) => return Ok(entries),
                Located::Beyond if followed => return Ok(Vec::new()),
                Located::Beyond => {
                    self.follow().await?;
                    followed = true;
                }
                Located::In(span) => {
                    let piece = match span.kind {
                        Kind::Object => Some(self.fetch(span).await?),
                        Kind::Bundle => bundle::fetch(&self.bucket, span).await?,
                    };
                    match piece {
                        Some(piece) => self.known().remember(piece),
                        None => self.unbundle(span).await?,
                    }
                }
            }
        }
    }

    fn checkpoint(&self) -> MutexGuard<'_, Option<u64>> {
        self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn checkpoints(&self) -> Result<Vec<u64>, StoreError> {
        self.bucket.list(&self.bucket.names.checkpoints(), Names::checkpoint_size).await
    }

    fn for_writing(&self) -> Result<(), StoreError> {
        if self.writable { Ok(()) } else { Err(StoreError::ReadOnly) }
    }
}

fn damaged(seq: u64, detail: &str) -> StoreError {
    StoreError::Damaged { seq, detail: detail.to_owned() }
}

impl BucketStore {
    pub(crate) fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }

    /// Has the bundles that are due made by a task of its own: nobody waits for them, and who is cut off leaves nothing undone that matters.
    fn bundle_beside(&self) {
        let shared = self.0.clone();
        let Ok(runtime) = Handle::try_current() else { return };
        let is_due = shared.known().due(shared.options.bundle).is_some();
        if is_due && !shared.bundling.swap(true, Ordering::AcqRel) {
            drop(runtime.spawn(async move {
                // Without them everything is as true, and slower. The next append tries again.
                let _ = shared.bundle().await;
                shared.bundling.store(false, Ordering::Release);
            }));
        }
    }

    /// What the names of its objects start with.
    #[must_use]
    pub fn prefix(&self) -> &Path {
        self.0.bucket.names.prefix()
    }
}

impl fmt::Debug for BucketStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BucketStore")
            .field("prefix", &self.prefix().as_ref())
            .field("durability", &self.0.options.durability)
            .finish_non_exhaustive()
    }
}

impl Store for BucketStore {
    fn durability(&self) -> Durability {
        self.0.options.durability
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.0.follow().await
    }

    async fn append(&self, batch: Batch) -> Result<Head, AppendError> {
        let shared = &*self.0;
        shared.for_writing()?;
        let known = shared.known().head();
        if known != batch.expected() {
            shared.follow().await?;
        }
        let mut has_begun = false;
        loop {
            let head = shared.known().head();
            let Some(missing) = batch.missing_after(head) else {
                let last = batch.head().size - 1;
                // One leaf is enough: it commits to everything before it.
                if last < head.size && shared.leaf_at(last).await? == batch.head().leaf {
                    return Ok(batch.head());
                }
                // Where an object of it was created, it is not true that nothing was.
                return Err(match has_begun {
                    true => AppendError::OutcomeUnknown("another writer came between its objects".into()),
                    false => AppendError::Conflict { expected: batch.expected(), actual: head },
                });
            };
            if missing.is_empty() {
                self.bundle_beside();
                return Ok(batch.head());
            }
            let (entries, bytes) = object_of(missing);
            let created = shared.create(head, entries, bytes).await;
            created.map_err(|error| if has_begun { unknown(error) } else { error })?;
            has_begun |= entries.len() < missing.len();
        }
    }

    async fn read(&self, from: u64, max: usize) -> Result<Vec<EntryBytes>, StoreError> {
        self.0.read(from, max).await
    }

    async fn find(&self, digest: StatementDigest) -> Result<Option<Found>, StoreError> {
        let shared = &*self.0;
        let is_known = shared.known().place_of(digest).is_some();
        if !is_known {
            shared.follow().await?;
        }
        // At one moment: what is bundled meanwhile goes from the one to the other.
        let (place, bundles) = {
            let known = shared.known();
            (known.place_of(digest), known.bundles())
        };
        // A statement that stands twice, which no ledger makes, is in the bundles first.
        match (shared.find_bundled(digest, bundles).await?, place) {
            (Some(found), _) => Ok(Some(found)),
            (None, Some(seq)) => shared.found(seq).await.map(Some),
            (None, None) => Ok(None),
        }
    }

    async fn wait(&self, size: u64) {
        let shared = &*self.0;
        let looking = async {
            loop {
                sleep(shared.options.poll).await;
                // A hint: whoever waits for it looks for themselves, and is told what fails.
                let _ = shared.follow().await;
            }
        };
        tokio::select! {
            () = shared.growth.beyond(size) => {}
            () = looking => {}
        }
    }

    async fn checkpoint(&self) -> Result<Option<NoteBytes>, StoreError> {
        let bucket = &self.0.bucket;
        for _ in 0..ATTEMPTS {
            let Some(size) = self.0.checkpoints().await?.pop() else { return Ok(None) };
            match bucket.get(&bucket.names.checkpoint(size), MAX_NOTE_LEN as u64).await? {
                // One over more took its place meanwhile.
                Got::Nothing => {}
                Got::Bytes(note) if checkpoint_size(&note) == Some(size) => return Ok(Some(note[..].into())),
                Got::Bytes(_) | Got::TooLong => {
                    return Err(damaged(
                        size,
                        "what is kept as the checkpoint over the entries before is none",
                    ));
                }
            }
        }
        Err(StoreError::Unavailable("the checkpoint that is listed is not there".into()))
    }

    async fn put_checkpoint(&self, size: u64, note: NoteBytes) -> Result<(), StoreError> {
        let (shared, bucket) = (&*self.0, &self.0.bucket);
        shared.for_writing()?;
        let mut entries = shared.known().head().size;
        if size > entries {
            entries = shared.follow().await?.size;
        }
        if checkpoint_size(&note) != Some(size) || size > entries {
            return Err(StoreError::Checkpoint { size, entries });
        }
        let before = *shared.checkpoint();
        let there = match before {
            Some(before) => vec![before],
            None => shared.checkpoints().await?,
        };
        let largest = there.last().copied();
        if largest.is_none_or(|largest| largest <= size) {
            bucket.put(&bucket.names.checkpoint(size), Bytes::copy_from_slice(&note)).await?;
            let smaller = there.into_iter().filter(|before| *before < size);
            bucket.forget(smaller.map(|before| bucket.names.checkpoint(before))).await;
        }
        let mut kept = shared.checkpoint();
        *kept = (*kept).max(largest).max(Some(size));
        Ok(())
    }

    async fn snapshots(&self, size: u64) -> Result<Option<SnapshotSet>, StoreError> {
        let bucket = &self.0.bucket;
        let sizes = bucket.list(&bucket.names.snapshots(), Names::snapshot_size).await?;
        for size in sizes.into_iter().rev().filter(|there| *there <= size) {
            // What is gone or can not be read is passed over: it is a shortcut, never an answer.
            if let Got::Bytes(bytes) = bucket.get(&bucket.names.snapshot(size), snapshots::MAX_LEN).await?
                && let Some(set) = snapshots::read(size, &bytes)
            {
                return Ok(Some(set));
            }
        }
        Ok(None)
    }

    async fn put_snapshots(&self, set: SnapshotSet) -> Result<(), StoreError> {
        let bucket = &self.0.bucket;
        self.0.for_writing()?;
        let bytes = snapshots::write(&set);
        if bytes.len() as u64 > snapshots::MAX_LEN {
            return Err(StoreError::Unavailable("a set of snapshots that is too long for one object".into()));
        }
        bucket.put(&bucket.names.snapshot(set.size), bytes).await?;
        let sizes = bucket.list(&bucket.names.snapshots(), Names::snapshot_size).await?;
        let oldest = sizes.iter().rev().nth(SnapshotSet::KEPT - 1).copied().unwrap_or(0);
        // The one just made stays in any case: newer ones may be of no use to anybody.
        let older = sizes.into_iter().filter(|size| *size < oldest && *size != set.size);
        bucket.forget(older.map(|size| bucket.names.snapshot(size))).await;
        Ok(())
    }
}

/// The error of a later object of a batch whose first one was created.
fn unknown(error: AppendError) -> AppendError {
    if matches!(error, AppendError::OutcomeUnknown(_)) {
        error
    } else {
        AppendError::OutcomeUnknown(error.into())
    }
}
