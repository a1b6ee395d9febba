//! The handle: it hands what is to be written to one thread and what is to be read to others.

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use countersign_core::digest::StatementDigest;
use countersign_core::entry::Head;
use countersign_core::id::LedgerName;
use countersign_store::{
    AppendError, Batch, Durability, EntryBytes, Found, Growth, NoteBytes, SnapshotSet, Store, StoreError,
    reply,
};
use rusqlite::Connection;

use crate::error::{at, failed, io_at};
use crate::opening::{self, Identity, Opened};
use crate::rows::{self, Ledger};
use crate::threads::Threads;
use crate::writer::{Job, Writer};
use crate::{OpenError, Options};

/// A ledger in a SQLite database. A clone is another handle to the same; the last one closes it.
///
/// It acknowledges with [`Durability::LocalSync`]: the log is synced to this machine's disk before anybody sees an entry. Several stores,
/// here and in other processes, may write one file and one ledger: the head decides who was first. A thread of its own
/// writes, others read, and no future blocks.
///
/// A commit that fails leaves the store poisoned: the batch has an unknown outcome, and everything after is refused with
/// [`StoreError::Poisoned`] until the database is opened anew. [`Store::wait`] is woken by appends through this store; those of
/// others are found by looking.
#[derive(Clone)]
pub struct SqliteStore(Arc<Handle>);

struct Handle {
    // In this order: who closes last copies the log into the database and removes it, which a reader may not.
    readers: Threads<Question>,
    writer: Option<Threads<Job>>,
    ledger: Ledger,
    growth: Growth,
    max_read_size: usize,
    path: PathBuf,
    name: LedgerName,
}

type Question = Box<dyn FnOnce(&Connection) + Send>;

impl SqliteStore {
    /// Opens a ledger of the database `path` for writing with the default [`Options`], and makes both if they are not there.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(path: impl AsRef<Path>, ledger: &LedgerName) -> Result<Self, OpenError> {
        Options::new().open(path, ledger)
    }

    /// The database.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The ledger's name in it.
    #[must_use]
    pub fn ledger(&self) -> &LedgerName {
        &self.0.name
    }

    pub(crate) fn open_with(
        path: &Path,
        name: &LedgerName,
        options: &Options,
        writable: bool,
    ) -> Result<Self, OpenError> {
        let Opened { path, ledger, head, connection } = opening::open(path, name, options, writable)?;
        let growth = Growth::new(head.size);
        let mut connections = Vec::new();
        let writer = if writable {
            let identity = Identity::of(&path).map_err(io_at(&path))?;
            let connection = Some(connection);
            let mut writer =
                Writer { connection, ledger, path: path.clone(), identity, growth: growth.clone() };
            let work = move |job| writer.run(job);
            Some(Threads::start("countersign-sqlite", vec![work]).map_err(io_at(&path))?)
        } else {
            connections.push(connection);
            None
        };
        while connections.len() < options.readers {
            connections.push(opening::reader(&path, options)?);
        }
        let workers =
            connections.into_iter().map(|connection| move |ask: Question| ask(&connection)).collect();
        let readers = Threads::start("countersign-sqlite-reader", workers).map_err(io_at(&path))?;
        let max_read_size = options.max_read_size;
        Ok(Self(Arc::new(Handle {
            writer,
            readers,
            ledger,
            growth,
            max_read_size,
            path,
            name: name.clone(),
        })))
    }

    /// Asks a reader.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = reply::channel();
        let stopped = || StoreError::Unavailable("the reader stopped".into());
        if !self.0.readers.send(Box::new(move |connection| reply.send(question(connection)))) {
            return Err(stopped());
        }
        answer.await.unwrap_or_else(|| Err(stopped()))
    }

    /// Hands a job to the writer.
    fn send(&self, job: Job) -> Result<(), StoreError> {
        let writer = self.0.writer.as_ref().ok_or(StoreError::ReadOnly)?;
        if writer.send(job) { Ok(()) } else { Err(StoreError::Poisoned) }
    }
}

/// The names of the ledgers in a database, sorted.
///
/// # Errors
/// [`OpenError`].
pub fn ledgers(path: impl AsRef<Path>) -> Result<Vec<String>, OpenError> {
    let options = Options::new().existing();
    let path = opening::database(path.as_ref(), &options, false)?;
    let connection = opening::reader(&path, &options)?;
    let mut query = connection.prepare("SELECT name FROM ledgers ORDER BY name").map_err(at(&path))?;
    let names = query.query_map([], |row| row.get(0)).map_err(at(&path))?;
    names.collect::<rusqlite::Result<_>>().map_err(at(&path))
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Handle { path, name, .. } = &*self.0;
        f.debug_struct("SqliteStore").field("path", path).field("ledger", name).finish_non_exhaustive()
    }
}

impl Store for SqliteStore {
    fn durability(&self) -> Durability {
        Durability::LocalSync
    }

    async fn head(&self) -> Result<Head, StoreError> {
        let ledger = self.0.ledger;
        self.ask(move |connection| rows::head(connection, ledger)).await
    }

    async fn append(&self, batch: Batch) -> Result<Head, AppendError> {
        let (reply, answer) = reply::channel();
        self.send(Job::Append(batch, reply))?;
        answer.await.unwrap_or_else(|| Err(AppendError::OutcomeUnknown("the writer stopped".into())))
    }

    async fn read(&self, from: u64, max: usize) -> Result<Vec<EntryBytes>, StoreError> {
        let (ledger, max_size) = (self.0.ledger, self.0.max_read_size);
        self.ask(move |connection| rows::read(connection, ledger, from, max, max_size)).await
    }

    async fn find(&self, digest: StatementDigest) -> Result<Option<Found>, StoreError> {
        let ledger = self.0.ledger;
        self.ask(move |connection| rows::find(connection, ledger, &digest)).await
    }

    fn wait(&self, size: u64) -> impl Future<Output = ()> + Send {
        self.0.growth.beyond(size)
    }

    async fn checkpoint(&self) -> Result<Option<NoteBytes>, StoreError> {
        let ledger = self.0.ledger;
        self.ask(move |connection| Ok(rows::checkpoint(connection, ledger)?.map(|(_, note)| note))).await
    }

    async fn put_checkpoint(&self, size: u64, note: NoteBytes) -> Result<(), StoreError> {
        let (reply, answer) = reply::channel();
        self.send(Job::Checkpoint(size, note, reply))?;
        answer.await.unwrap_or(Err(StoreError::Poisoned))
    }

    async fn snapshots(&self, size: u64) -> Result<Option<SnapshotSet>, StoreError> {
        let ledger = self.0.ledger;
        self.ask(move |connection| rows::snapshots(connection, ledger, size).map_err(failed(size))).await
    }

    async fn put_snapshots(&self, set: SnapshotSet) -> Result<(), StoreError> {
        let (reply, answer) = reply::channel();
        self.send(Job::Snapshots(set, reply))?;
        answer.await.unwrap_or(Err(StoreError::Poisoned))
    }
}
