//! The handle: it hands what is to be written to the writer's task, and reads from the user's pool.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use countersign_core::digest::StatementDigest;
use countersign_core::entry::Head;
use countersign_store::{
    AppendError, Batch, Durability, EntryBytes, Found, Growth, KeptSnapshot, NoteBytes, SnapshotSet, Store,
    StoreError,
};
use sqlx::{AssertSqlSafe, PgPool, Postgres, Row as _, Transaction};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

use crate::error::{OpenError, reading, unavailable};
use crate::ledger::{Appended, LedgerTable, Terms, position};
use crate::notify::Ears;
use crate::options::{Limits, Options};
use crate::schema::SchemaName;
use crate::writer::{Job, Work};

/// A ledger in PostgreSQL. A clone is another handle to the same store.
///
/// It reads from the pool that it was opened with, and writes on a session of its own, in a task that a dropped future does not stop. Any
/// number of stores, in this process and in others, may write to one ledger: the first to append behind a head wins, and the
/// others are told [`AppendError::Conflict`].
///
/// What it acknowledges is [`Durability::LocalSync`], or [`Durability::QuorumSync`] where the server waits for synchronous standbys
/// (`synchronous_standby_names` is set, and `synchronous_commit` is `on` or `remote_apply`) and warnings of `tracing` are not compiled out,
/// by which alone it learns that such a wait was cancelled. It never acknowledges less: where the server's settings are weakened while it is
/// open, appends are refused.
#[derive(Clone)]
pub struct PostgresStore {
    pub(crate) shared: Arc<Shared>,
    pub(crate) writer: Option<WriterHandle>,
}

#[derive(Clone)]
pub(crate) struct WriterHandle {
    pub(crate) jobs: mpsc::UnboundedSender<Job>,
    pub(crate) epoch: i64,
}

pub(crate) struct Shared {
    pub(crate) pool: PgPool,
    pub(crate) schema: SchemaName,
    pub(crate) table: LedgerTable,
    pub(crate) durability: Durability,
    pub(crate) limits: Limits,
    pub(crate) growth: Growth,
    /// The longest history that was acknowledged here: what stands must continue it.
    pub(crate) acknowledged: Mutex<Head>,
    /// Hears of entries that others append, where that was asked for.
    pub(crate) _ears: Option<Ears>,
}

impl Shared {
    pub(crate) fn acknowledged(&self) -> Head {
        *self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn acknowledge(&self, head: Head) {
        {
            let mut acknowledged = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
            if acknowledged.size < head.size {
                *acknowledged = head;
            }
        }
        self.growth.reached(head.size);
    }

    pub(crate) async fn head(&self) -> Result<Head, StoreError> {
        let head = self.table.look(&self.pool, 0, self.acknowledged()).await?.head;
        self.growth.reached(head.size);
        Ok(head)
    }

    /// Gives up a question that is not answered in time, as where the network fell silent.
    async fn within<T>(&self, asking: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let answer = timeout(self.limits.patience, asking).await;
        answer.unwrap_or_else(|late| Err(StoreError::Unavailable(late.into())))
    }

    fn sql(&self, sql: &str) -> AssertSqlSafe<String> {
        AssertSqlSafe(self.schema.fill(sql))
    }
}

/// What became of a batch in a transaction that is not committed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendedIn {
    /// It stands when the transaction is committed.
    Now(Head),
    /// It stands already: an earlier transaction with it was committed, and with it whatever else was in that one.
    Before(Head),
}

impl PostgresStore {
    /// Opens the ledger `ledger` for writing with the default [`Options`].
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(pool: &PgPool, ledger: &str) -> Result<Self, OpenError> {
        Options::new().open(pool, ledger).await
    }

    /// The pool that it reads from.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.shared.pool
    }

    /// Appends the batch in a transaction of the caller's, so that the entries and the caller's own rows stand together or not at all.
    /// The transaction must be on the database of the store.
    ///
    /// From here to the end of the transaction every other writer of this ledger waits, or is refused after its own time limit:
    /// append last, and commit at once. A commit whose answer is lost leaves the outcome of all of it unknown: begin anew with the same
    /// batch, and [`AppendedIn::Before`] says that it stands. In other isolation levels than READ COMMITTED a lost race may be an error of the
    /// server in place of a conflict.
    ///
    /// The commit is the caller's, and so nobody looks behind it whether it waited for the disk and the standbys: settings can be changed while it
    /// does. [`Store::append`] of the same batch does, once it is committed: it finds that the batch stands, commits once behind it, looks at the settings,
    /// and then acknowledges it as it does any other, and wakes who waits for it in this process.
    ///
    /// ```no_run
    /// # use countersign_postgres::PostgresStore;
    /// # use countersign_store::{Batch, Store as _};
    /// # async fn both(store: PostgresStore, batch: Batch) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut transaction = store.pool().begin().await?;
    /// sqlx::query("INSERT INTO tickets (number) VALUES (7)").execute(&mut *transaction).await?;
    /// store.append_in(&mut transaction, &batch).await?;
    /// transaction.commit().await?;
    /// let head = store.append(batch).await?; // as durable as `store.durability()` says
    /// # let _ = head;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`AppendError`]; after [`AppendError::Conflict`] and [`StoreError::Fenced`] the transaction can go on.
    pub async fn append_in(
        &self,
        transaction: &mut Transaction<'_, Postgres>,
        batch: &Batch,
    ) -> Result<AppendedIn, AppendError> {
        let epoch = self.writer.as_ref().ok_or(StoreError::ReadOnly)?.epoch;
        let (least, acknowledged) = (self.shared.durability, self.shared.acknowledged());
        let terms = Terms { epoch, least, acknowledged };
        let appended = self.shared.table.append_within(&mut *transaction, batch, terms).await?;
        Ok(match appended {
            Appended::Now => AppendedIn::Now(batch.head()),
            Appended::Before => AppendedIn::Before(batch.head()),
        })
    }

    fn send(&self, work: Work) -> Result<(), StoreError> {
        let writer = self.writer.as_ref().ok_or(StoreError::ReadOnly)?;
        let job = Job { work, until: Instant::now() + self.shared.limits.patience };
        // It ends before its handles only with the runtime.
        writer.jobs.send(job).map_err(|_| StoreError::Poisoned)
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("schema", &self.shared.schema)
            .field("ledger", &self.shared.table.id())
            .field("durability", &self.shared.durability)
            .finish_non_exhaustive()
    }
}

impl Store for PostgresStore {
    fn durability(&self) -> Durability {
        self.shared.durability
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.shared.within(self.shared.head()).await
    }

    async fn append(&self, batch: Batch) -> Result<Head, AppendError> {
        let (reply, answer) = oneshot::channel();
        self.send(Work::Append(batch, reply))?;
        answer.await.unwrap_or_else(|_| Err(AppendError::OutcomeUnknown("the writer stopped".into())))
    }

    async fn read(&self, from: u64, max: usize) -> Result<Vec<EntryBytes>, StoreError> {
        let Shared { pool, table, .. } = &*self.shared;
        let reading = async {
            let read = table.read(pool, from, max).await?;
            if !read.is_empty() || max == 0 || from >= self.shared.head().await?.size {
                return Ok(read);
            }
            // The head may have come to be after the read.
            let read = table.read(pool, from, max).await?;
            if read.is_empty() {
                return Err(StoreError::Damaged { seq: from, detail: "the entry is not there".to_owned() });
            }
            Ok(read)
        };
        self.shared.within(reading).await
    }

    async fn find(&self, digest: StatementDigest) -> Result<Option<Found>, StoreError> {
        self.shared.within(self.shared.table.find(&self.shared.pool, &digest)).await
    }

    async fn wait(&self, size: u64) {
        let looking = async {
            loop {
                sleep(self.shared.limits.poll).await;
                // A hint: whoever waits for it looks for themselves, and is told what fails.
                let _ = self.shared.head().await;
            }
        };
        tokio::select! {
            () = self.shared.growth.beyond(size) => {}
            () = looking => {}
        }
    }

    async fn checkpoint(&self) -> Result<Option<NoteBytes>, StoreError> {
        let asking = async {
            sqlx::query(self.shared.sql("SELECT note FROM {schema}.checkpoints WHERE ledger = $1"))
                .bind(self.shared.table.id())
                .fetch_optional(&self.shared.pool)
                .await
                .map_err(|error| reading(error, 0))
        };
        let row = self.shared.within(asking).await?;
        row.map(|row| row.try_get::<&[u8], _>(0).map(NoteBytes::from)).transpose().map_err(unavailable)
    }

    async fn put_checkpoint(&self, size: u64, note: NoteBytes) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.send(Work::Checkpoint(size, note, reply))?;
        answer.await.unwrap_or_else(|_| Err(StoreError::Unavailable("the writer stopped".into())))
    }

    async fn snapshots(&self, size: u64) -> Result<Option<SnapshotSet>, StoreError> {
        let sql = "SELECT size, names, notes, payloads FROM {schema}.snapshots \
            WHERE ledger = $1 AND size <= $2 ORDER BY size DESC LIMIT 1";
        let row = sqlx::query(self.shared.sql(sql))
            .bind(self.shared.table.id())
            .bind(position(size))
            .fetch_optional(&self.shared.pool)
            .await
            .map_err(unavailable)?;
        let Some(row) = row else { return Ok(None) };
        let size: i64 = row.try_get(0).map_err(unavailable)?;
        let names: Vec<String> = row.try_get(1).map_err(unavailable)?;
        let notes: Vec<Vec<u8>> = row.try_get(2).map_err(unavailable)?;
        let payloads: Vec<Vec<u8>> = row.try_get(3).map_err(unavailable)?;
        let snapshots = names
            .into_iter()
            .zip(notes)
            .zip(payloads)
            .map(|((name, note), payload)| KeptSnapshot { name, note: note.into(), payload: payload.into() });
        Ok(Some(SnapshotSet { size: size.unsigned_abs(), snapshots: snapshots.collect() }))
    }

    async fn put_snapshots(&self, set: SnapshotSet) -> Result<(), StoreError> {
        if self.writer.is_none() {
            return Err(StoreError::ReadOnly);
        }
        // A set is a row, so it is whole or not there. Of the others the newest stay, beside the one that comes.
        let sql = "WITH forgotten AS ( \
                DELETE FROM {schema}.snapshots WHERE ledger = $1 AND size <> $2 AND size < \
                    (SELECT min(size) FROM (SELECT size FROM {schema}.snapshots WHERE ledger = $1 AND size <> $2 \
                        ORDER BY size DESC LIMIT $6) AS newest) \
            ) INSERT INTO {schema}.snapshots (ledger, size, names, notes, payloads) VALUES ($1, $2, $3, $4, $5) \
            ON CONFLICT (ledger, size) DO UPDATE \
            SET names = excluded.names, notes = excluded.notes, payloads = excluded.payloads";
        let each = || set.snapshots.iter();
        sqlx::query(self.shared.sql(sql))
            .bind(self.shared.table.id())
            .bind(position(set.size))
            .bind(each().map(|snapshot| &snapshot.name[..]).collect::<Vec<_>>())
            .bind(each().map(|snapshot| &snapshot.note[..]).collect::<Vec<_>>())
            .bind(each().map(|snapshot| &snapshot.payload[..]).collect::<Vec<_>>())
            .bind(position((SnapshotSet::KEPT - 1) as u64))
            .execute(&self.shared.pool)
            .await
            .map(drop)
            .map_err(unavailable)
    }
}
