//! The one connection that writes.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use countersign_core::entry::Head;
use countersign_store::{
    AppendError, Batch, BoxError, Growth, NoteBytes, SnapshotSet, StoreError, checkpoint_size, reply,
};
use rusqlite::{Connection, ErrorCode};

use crate::error::failed;
use crate::opening::{Identity, log};
use crate::rows::{self, Ledger};

/// What it is asked to do.
pub(crate) enum Job {
    Append(Batch, reply::Sender<Result<Head, AppendError>>),
    Checkpoint(u64, NoteBytes, reply::Sender<Result<(), StoreError>>),
    Snapshots(SnapshotSet, reply::Sender<Result<(), StoreError>>),
}

/// Owns the connection that writes.
#[derive(Debug)]
pub(crate) struct Writer {
    /// None once it is poisoned: what a connection knows after a failed commit need not be what the file holds.
    pub(crate) connection: Option<Connection>,
    pub(crate) ledger: Ledger,
    pub(crate) path: PathBuf,
    pub(crate) identity: Identity,
    pub(crate) growth: Growth,
}

impl Writer {
    pub(crate) fn run(&mut self, job: Job) {
        match job {
            Job::Append(batch, reply) => {
                let answer = self.append(&batch);
                // Before the answer: whoever has it finds that nobody sleeps.
                if let Ok(head) = &answer {
                    self.growth.reached(head.size);
                }
                reply.send(answer);
            }
            Job::Checkpoint(size, note, reply) => reply.send(self.put_checkpoint(size, &note)),
            Job::Snapshots(set, reply) => {
                let ledger = self.ledger;
                let keep = |connection: &Connection| {
                    rows::put_snapshots(connection, ledger, &set).map_err(failed(set.size))
                };
                reply.send(self.transact(keep, StoreError::Unavailable));
            }
        }
    }

    fn append(&mut self, batch: &Batch) -> Result<Head, AppendError> {
        let ledger = self.ledger;
        let add = |connection: &Connection| -> Result<Head, AppendError> {
            let head = rows::head(connection, ledger)?;
            let missing = batch.missing_in(head, |seq| rows::leaf(connection, ledger, seq))?;
            for entry in missing {
                if let Err(error) = rows::insert(connection, ledger, entry) {
                    // Behind the head nothing but a statement can be in the way of another.
                    let digest = entry.signed().digest();
                    let is_taken = error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
                        && rows::find(connection, ledger, &digest)?.is_some();
                    let repeated = StoreError::Repeated { digest };
                    return Err(if is_taken { repeated } else { failed(entry.seq())(error) }.into());
                }
            }
            Ok(batch.head())
        };
        self.transact(add, AppendError::OutcomeUnknown)
    }

    fn put_checkpoint(&mut self, size: u64, note: &NoteBytes) -> Result<(), StoreError> {
        let ledger = self.ledger;
        let keep = |connection: &Connection| {
            let entries = rows::head(connection, ledger)?.size;
            if checkpoint_size(note) != Some(size) || size > entries {
                return Err(StoreError::Checkpoint { size, entries });
            }
            if rows::checkpoint(connection, ledger)?.is_some_and(|(before, _)| before > size) {
                return Ok(());
            }
            rows::put_checkpoint(connection, ledger, size, note).map_err(failed(size))
        };
        self.transact(keep, StoreError::Unavailable)
    }

    /// Does something in one transaction that nobody else writes beside. `unknown` makes the error of a commit that failed: before it
    /// nothing is stored, and after it the connection is thrown away.
    fn transact<T, E: From<StoreError>>(
        &mut self,
        work: impl FnOnce(&Connection) -> Result<T, E>,
        unknown: impl FnOnce(BoxError) -> E,
    ) -> Result<T, E> {
        let Some(connection) = &self.connection else { return Err(StoreError::Poisoned.into()) };
        if Identity::of(&self.path).ok() != Some(self.identity) {
            self.connection = None;
            let detail = "another file is in the place of the database".to_owned();
            return Err(StoreError::Damaged { seq: 0, detail }.into());
        }
        connection.execute_batch("BEGIN IMMEDIATE").map_err(failed(0))?;
        match work(connection) {
            Ok(done) => {
                let committed = connection.execute_batch("COMMIT").map_err(BoxError::from);
                if let Err(error) = committed.and_then(|()| Ok(look(&self.path)?)) {
                    self.connection = None;
                    return Err(unknown(error));
                }
                Ok(done)
            }
            Err(error) => {
                // SQLite may have done so by itself.
                let _ = connection.execute_batch("ROLLBACK");
                if !connection.is_autocommit() {
                    self.connection = None;
                }
                Err(error)
            }
        }
    }
}

/// Reads of the log after it was synced. Linux 6.18 lets a sync succeed under which ext4 gave up its journal, though what it was to save is
/// lost (F-24); a read fails on such a file system.
fn look(path: &Path) -> std::io::Result<()> {
    File::open(log(path))?.read_exact(&mut [0])
}

impl Identity {
    /// Which file stands at a path.
    #[cfg(unix)]
    pub(crate) fn of(path: &Path) -> std::io::Result<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let found = std::fs::metadata(path)?;
        Ok(Self(found.dev(), found.ino()))
    }

    /// Elsewhere an open file can not be moved.
    #[cfg(not(unix))]
    pub(crate) fn of(_: &Path) -> std::io::Result<Self> {
        Ok(Self(0, 0))
    }
}
