//! Why a database is not opened, and what SQLite's errors mean to who uses the store.

use std::io;
use std::path::{Path, PathBuf};

use countersign_core::id::LedgerName;
use countersign_store::{BoxError, StoreError};
use rusqlite::ErrorCode;

use crate::schema::{APPLICATION_ID, MIN_SQLITE_VERSION, SCHEMA_VERSION};

/// A ledger in a database was not opened. Nothing that the database holds was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The SQLite library in this program is too old to be trusted with a file.
    #[error("the SQLite library is {}, and {} or newer is needed", dotted(*found), dotted(MIN_SQLITE_VERSION))]
    Library {
        /// Its `SQLITE_VERSION_NUMBER`.
        found: i32,
    },
    /// The name stands for a database in memory, a temporary one, or a URI.
    #[error("`{name}` does not name a file")]
    NotAFileName {
        /// What was asked for.
        name: String,
    },
    /// There is no such file, and none was to be made.
    #[error("`{}` does not exist", path.display())]
    NotFound {
        /// The file.
        path: PathBuf,
    },
    /// It is a directory, a device, or a link to nothing.
    #[error("`{}` is not a regular file", path.display())]
    NotAFile {
        /// What was asked for.
        path: PathBuf,
    },
    /// The file has another name too: SQLite keeps what was written last beside the name, so who opens the other one corrupts it.
    #[error("`{}` has {links} names", path.display())]
    Linked {
        /// The file.
        path: PathBuf,
        /// How many hard links there are.
        links: u64,
    },
    /// It is on a network file system, whose locks and syncs are another machine's word.
    #[error("`{}` is on the network file system {name}", path.display())]
    NetworkFileSystem {
        /// The file.
        path: PathBuf,
        /// The kind of file system.
        name: String,
    },
    /// It is no SQLite database.
    #[error("`{}` is no SQLite database", path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// It is a database of something else: its `application_id` is not [`APPLICATION_ID`].
    #[error("`{}` is a database, and holds no ledgers", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Another version of this library made the tables.
    #[error("`{}` has tables of version {found}, and this program knows {SCHEMA_VERSION}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its `user_version`.
        found: i32,
    },
    /// Somebody changed the tables, or added a trigger.
    #[error("`{object}` in `{}` is not as it was made", path.display())]
    Altered {
        /// The file.
        path: PathBuf,
        /// The table, index or trigger.
        object: String,
    },
    /// The database can not be kept in WAL mode, on which everything here relies.
    #[error("`{}` stays in journal mode `{mode}`", path.display())]
    JournalMode {
        /// The file.
        path: PathBuf,
        /// The mode that it is in.
        mode: String,
    },
    /// There is no ledger of that name, and none was to be made.
    #[error("`{}` holds no ledger `{ledger}`", path.display())]
    NoLedger {
        /// The file.
        path: PathBuf,
        /// The name.
        ledger: LedgerName,
    },
    /// What is kept is not what was stored. This is never repaired.
    #[error("`{}` is damaged at entry {seq}: {detail}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where it was noticed.
        seq: u64,
        /// What was found, in words.
        detail: String,
    },
    /// Fewer entries than there were: what was durable is gone.
    #[error("there are {entries} entries, and the kept checkpoint says that {floor} were durable")]
    BelowFloor {
        /// How many there are.
        entries: u64,
        /// How many there were at least.
        floor: u64,
    },
    /// The kept checkpoint is none.
    #[error("the checkpoint in `{}` is not a well-formed signed checkpoint", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
    },
    /// Others kept it locked for longer than [`crate::Options::busy_timeout`].
    #[error("`{}` is locked by another program", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// SQLite or the file system failed.
    #[error("`{}` can not be opened", path.display())]
    Unavailable {
        /// The file.
        path: PathBuf,
        /// What happened.
        #[source]
        source: BoxError,
    },
}

const _: () =
    assert!(APPLICATION_ID != 0, "0 is what every database has to whose maker this does not matter");

fn dotted(version: i32) -> String {
    format!("{}.{}.{}", version / 1_000_000, version / 1_000 % 1_000, version % 1_000)
}

/// What an error of SQLite says about a database that is being opened.
pub(crate) fn at(path: &Path) -> impl Fn(rusqlite::Error) -> OpenError + '_ {
    move |error| {
        let path = path.to_owned();
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => OpenError::NotADatabase { path },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::Busy { path },
            Some(ErrorCode::DatabaseCorrupt) => {
                OpenError::Damaged { path, seq: 0, detail: error.to_string() }
            }
            _ => OpenError::Unavailable { path, source: error.into() },
        }
    }
}

/// Adds the place to an error of the file system.
pub(crate) fn io_at(path: &Path) -> impl FnOnce(io::Error) -> OpenError + '_ {
    move |error| OpenError::Unavailable { path: path.to_owned(), source: error.into() }
}

/// Adds the place to an error of reading.
pub(crate) fn read_at(path: &Path) -> impl FnOnce(StoreError) -> OpenError + '_ {
    move |error| match error {
        StoreError::Damaged { seq, detail } => OpenError::Damaged { path: path.to_owned(), seq, detail },
        error => OpenError::Unavailable { path: path.to_owned(), source: error.into() },
    }
}

/// What an error of SQLite says about a database that is open, when it was asked for the entry at `seq`.
pub(crate) fn failed(seq: u64) -> impl Fn(rusqlite::Error) -> StoreError {
    move |error| {
        let is_damage =
            matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
                || matches!(
                    error,
                    rusqlite::Error::InvalidColumnType(..)
                        | rusqlite::Error::FromSqlConversionFailure(..)
                        | rusqlite::Error::IntegralValueOutOfRange(..)
                );
        if is_damage {
            StoreError::Damaged { seq, detail: error.to_string() }
        } else {
            StoreError::Unavailable(error.into())
        }
    }
}
