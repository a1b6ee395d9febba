//! The handle: it hands what is to be written to the writer's thread, and reads for itself.

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use countersign_core::digest::StatementDigest;
use countersign_core::entry::Head;

use super::error::{OpenError, at};
use super::index::Indexes;
use super::io::uninterrupted;
use super::options::Options;
use super::recover::{Opened, Recovery, recover};
use super::segment::unavailable;
use super::snapshots;
use super::view::{Shared, View};
use super::writer::Writer;
use crate::reply;
use crate::sync::thread::{self, JoinHandle};
use crate::sync::{Mutex, mpsc};
use crate::vfs::{RealVfs, Vfs};
use crate::{AppendError, Batch, Durability, EntryBytes, Found, NoteBytes, SnapshotSet, Store, StoreError};

/// A ledger in a directory, open for writing. A clone is another handle to the same store; the last one closes it.
///
/// It acknowledges with [`Durability::LocalSync`]: entries are synced to this machine's disk before anybody sees them. A
/// thread of its own writes; reading happens where it is asked for, which may block for as long as a disk takes.
///
/// A sync that fails leaves the store poisoned: the batch has an unknown outcome, and everything after is refused with
/// [`StoreError::Poisoned`] until the directory is opened anew, which finds out what is there.
///
/// ```
/// use countersign_store::{Durability, Store as _, file::FileStore};
///
/// # let dir = std::env::temp_dir().join(format!("countersign-doc-file-{}", std::process::id()));
/// let store = FileStore::open(&dir)?;
/// assert_eq!(store.durability(), Durability::LocalSync);
/// assert!(FileStore::open(&dir).is_err(), "one writer at a time");
/// # drop(store);
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FileStore<V: Vfs = RealVfs>(Arc<Handle<V>>);

struct Handle<V: Vfs> {
    shared: Arc<Shared<V>>,
    recovery: Recovery,
    lock: Arc<V::Lock>,
    /// Held by who writes snapshots.
    snapshots: Arc<Mutex<()>>,
    // INVARIANT: there until the handle is dropped, unless a test has it without a thread.
    jobs: Option<mpsc::Sender<Job>>,
    /// The writer's, and those that write snapshots.
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// The writer, where a test has it write on the thread of whoever asks.
    threadless: Option<Mutex<Writer<V>>>,
}

enum Job {
    Append(Batch, reply::Sender<Result<Head, AppendError>>),
    Checkpoint(u64, NoteBytes, reply::Sender<Result<(), StoreError>>),
}

impl Job {
    fn run<V: Vfs>(self, writer: &mut Writer<V>) {
        match self {
            Self::Append(batch, reply) => reply.send(writer.append(&batch)),
            Self::Checkpoint(size, note, reply) => reply.send(writer.put_checkpoint(size, note)),
        }
    }
}

impl FileStore {
    /// Opens the ledger directory `dir` for writing with the default [`Options`], and makes it if there is nothing.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, OpenError> {
        Options::new().open(dir)
    }
}

impl<V: Vfs> FileStore<V> {
    /// What opening found and did.
    #[must_use]
    pub fn recovery(&self) -> &Recovery {
        &self.0.recovery
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.0.shared.dir
    }

    /// The file system that it is in.
    #[must_use]
    pub fn vfs(&self) -> &V {
        &self.0.shared.vfs
    }

    /// The head, without a future.
    #[must_use]
    pub fn head_now(&self) -> Head {
        self.0.shared.view().head
    }

    pub(super) fn open_with(vfs: V, dir: &Path, options: Options) -> Result<Self, OpenError> {
        let opened = recover(&vfs, dir, &options)?;
        let Opened { lock, root, entries, sealed, active, head, head_file, checkpoint, recovery } = opened;
        let file = active.file.clone();
        let view = View::new(head, sealed, active, checkpoint);
        let Options { segment_size, max_read_size, hooks, .. } = options;
        let shared = Shared::new(vfs, dir.to_owned(), max_read_size, Indexes::new(true), view);
        let (shared, lock) = (Arc::new(shared), Arc::new(lock));
        let mut writer = Writer {
            shared: shared.clone(),
            segment_size,
            hooks,
            root,
            entries,
            file,
            head_file: Some(head_file),
            _lock: lock.clone(),
        };
        let snapshots = Arc::default();
        if hooks.without_a_thread {
            let (jobs, threads, threadless) = (None, Mutex::default(), Some(Mutex::new(writer)));
            return Ok(Self(Arc::new(Handle {
                shared,
                recovery,
                lock,
                snapshots,
                jobs,
                threads,
                threadless,
            })));
        }
        let (jobs, queue) = mpsc::channel::<Job>();
        let work = move || queue.into_iter().for_each(|job| job.run(&mut writer));
        let thread = thread::Builder::new().name("countersign-file".into()).spawn(work).map_err(at(dir))?;
        let (jobs, threads, threadless) = (Some(jobs), Mutex::new(vec![thread]), None);
        Ok(Self(Arc::new(Handle { shared, recovery, lock, snapshots, jobs, threads, threadless })))
    }

    fn send(&self, job: Job) -> bool {
        if let Some(writer) = &self.0.threadless {
            job.run(&mut writer.lock().unwrap_or_else(PoisonError::into_inner));
            return true;
        }
        self.0.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok())
    }
}

impl<V: Vfs> Clone for FileStore<V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<V: Vfs> fmt::Debug for FileStore<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore")
            .field("dir", &self.0.shared.dir)
            .field("head", &self.head_now())
            .finish_non_exhaustive()
    }
}

impl<V: Vfs> Drop for Handle<V> {
    fn drop(&mut self) {
        drop(self.jobs.take());
        let threads = std::mem::take(self.threads.get_mut().unwrap_or_else(PoisonError::into_inner));
        // The lock is given up when they are gone, so that the directory can be opened again as soon as this returns.
        // A waker that one of them calls may hold the last handle: it can not wait for itself, and ends soon after.
        for thread in threads.into_iter().filter(|thread| thread.thread().id() != thread::current().id()) {
            // A panic was told already, to whoever waited for the answer.
            let _ = thread.join();
        }
    }
}

impl<V: Vfs> Store for FileStore<V> {
    fn durability(&self) -> Durability {
        Durability::LocalSync
    }

    async fn head(&self) -> Result<Head, StoreError> {
        Ok(self.head_now())
    }

    async fn append(&self, batch: Batch) -> Result<Head, AppendError> {
        let (reply, answer) = reply::channel();
        if !self.send(Job::Append(batch, reply)) {
            return Err(StoreError::Poisoned.into());
        }
        answer.await.unwrap_or_else(|| Err(AppendError::OutcomeUnknown("the writer stopped".into())))
    }

    async fn read(&self, from: u64, max: usize) -> Result<Vec<EntryBytes>, StoreError> {
        self.0.shared.read(from, max)
    }

    async fn find(&self, digest: StatementDigest) -> Result<Option<Found>, StoreError> {
        self.0.shared.find(&digest)
    }

    fn wait(&self, size: u64) -> impl Future<Output = ()> + Send {
        self.0.shared.growth.beyond(size)
    }

    async fn checkpoint(&self) -> Result<Option<NoteBytes>, StoreError> {
        Ok(self.0.shared.view().checkpoint.as_ref().map(|(_, note)| note.clone()))
    }

    async fn put_checkpoint(&self, size: u64, note: NoteBytes) -> Result<(), StoreError> {
        let (reply, answer) = reply::channel();
        if !self.send(Job::Checkpoint(size, note, reply)) {
            return Err(StoreError::Poisoned);
        }
        answer.await.unwrap_or(Err(StoreError::Poisoned))
    }

    async fn snapshots(&self, size: u64) -> Result<Option<SnapshotSet>, StoreError> {
        snapshots::newest(&self.0.shared, size).map_err(unavailable)
    }

    /// On a thread of its own, since a set may be large and the writer has others to serve.
    async fn put_snapshots(&self, set: SnapshotSet) -> Result<(), StoreError> {
        let Handle { shared, lock, snapshots, threads, .. } = &*self.0;
        let (shared, lock, turn) = (shared.clone(), lock.clone(), snapshots.clone());
        let (reply, answer) = reply::channel();
        let work = move || {
            let kept = {
                let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
                let root = uninterrupted(|| shared.vfs.open_dir(&shared.dir));
                root.and_then(|root| snapshots::keep(&shared, &root, &set))
            };
            // Whoever is answered may close the store and open it anew.
            drop((shared, lock, turn, set));
            reply.send(kept.map_err(unavailable));
        };
        let thread = thread::Builder::new().name("countersign-snapshots".into()).spawn(work);
        {
            let mut threads = threads.lock().unwrap_or_else(PoisonError::into_inner);
            // Shuttle can not tell, and has few of them.
            #[cfg(not(shuttle))]
            threads.retain(|thread| !thread.is_finished());
            threads.push(thread.map_err(unavailable)?);
        }
        answer.await.unwrap_or_else(|| Err(StoreError::Unavailable("the snapshots were not written".into())))
    }
}
