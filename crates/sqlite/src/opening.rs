//! Opening: what is at a path, whose it is, and whether it can be trusted with entries.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use countersign_core::entry::{Entry, Head};
use countersign_core::id::LedgerName;
use countersign_store::{checkpoint_size, sync_once};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _};

use crate::error::{at, io_at, read_at};
use crate::rows::{self, Ledger};
use crate::schema::{self, Kind};
use crate::{OpenError, Options, check_version};

/// Which file it is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity(pub(crate) u64, pub(crate) u64);

/// A ledger whose database is open.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) path: PathBuf,
    pub(crate) ledger: Ledger,
    pub(crate) head: Head,
    pub(crate) connection: Connection,
}

/// How often the change to WAL mode is tried again while others make the same database.
const WAL_ATTEMPTS: u32 = 50;
const WAL_PAUSE: Duration = Duration::from_millis(20);

/// Opens a database and a ledger in it.
pub(crate) fn open(
    path: &Path,
    name: &LedgerName,
    options: &Options,
    writable: bool,
) -> Result<Opened, OpenError> {
    let path = database(path, options, writable)?;
    let connection = if writable { writer(&path, options)? } else { reader(&path, options)? };
    let id = || {
        let sql = "SELECT id FROM ledgers WHERE name = ?1";
        connection.query_row(sql, [name.as_str()], |row| row.get(0)).optional().map_err(at(&path))
    };
    let ledger = match id()? {
        Some(id) => Ledger(id),
        None if options.create => {
            let sql = "INSERT OR IGNORE INTO ledgers (name) VALUES (?1)";
            connection.execute(sql, [name.as_str()]).map_err(at(&path))?;
            Ledger(id()?.ok_or_else(|| no_ledger(&path, name))?)
        }
        None => return Err(no_ledger(&path, name)),
    };
    let head = if options.unchecked && !writable {
        rows::head(&connection, ledger).unwrap_or(Head::EMPTY)
    } else {
        check(&connection, &path, ledger)?
    };
    if !writable {
        sync_log(&path)?;
    }
    Ok(Opened { path, ledger, head, connection })
}

fn no_ledger(path: &Path, ledger: &LedgerName) -> OpenError {
    OpenError::NoLedger { path: path.to_owned(), ledger: ledger.clone() }
}

/// Opens a database for reading.
pub(crate) fn reader(path: &Path, options: &Options) -> Result<Connection, OpenError> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY, options)?;
    match schema::kind(&connection).map_err(at(path))? {
        Kind::Empty => Err(OpenError::Foreign { path: path.to_owned() }),
        kind => ours(path, kind).map(|()| connection),
    }
}

fn writer(path: &Path, options: &Options) -> Result<Connection, OpenError> {
    let made = if options.create { OpenFlags::SQLITE_OPEN_CREATE } else { OpenFlags::empty() };
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | made, options)?;
    let kind = schema::kind(&connection).map_err(at(path))?;
    let is_new = kind == Kind::Empty;
    if is_new && !options.create {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    if !is_new {
        ours(path, kind)?;
    }
    wal(&connection, path)?;
    // FULL: a commit is synced before it is over. What is shown to others is what was synced.
    for (name, value) in [("synchronous", "FULL"), ("fullfsync", "ON"), ("checkpoint_fullfsync", "ON")] {
        connection.pragma_update(None, name, value).map_err(at(path))?;
    }
    if is_new {
        make(&connection, path)?;
    }
    // What a killed process wrote and did not sync is shown by whoever opens after it. Copying it into the database syncs it, and writes
    // it again, which is the only cure after a sync that failed (F-03). Where others have it open, they synced it.
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).map_err(at(path))?;
    Ok(connection)
}

fn connect(path: &Path, flags: OpenFlags, options: &Options) -> Result<Connection, OpenError> {
    // No URI: a name is a name. One thread has a connection at a time, by its type.
    let connection =
        Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(at(path))?;
    let set = || {
        connection.busy_timeout(options.busy_timeout)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        connection.pragma_update(None, "cell_size_check", true)
    };
    set().map_err(at(path))?;
    Ok(connection)
}

fn ours(path: &Path, kind: Kind) -> Result<(), OpenError> {
    let path = path.to_owned();
    match kind {
        Kind::Ours => Ok(()),
        Kind::Version(found) => Err(OpenError::Version { path, found }),
        Kind::Altered(object) => Err(OpenError::Altered { path, object }),
        Kind::Empty | Kind::Foreign => Err(OpenError::Foreign { path }),
    }
}

fn wal(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let mut attempt = 1;
    let mode = loop {
        match connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0)) {
            // The change needs the file alone, and does not always wait for it.
            Err(error)
                if attempt < WAL_ATTEMPTS && error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) =>
            {
                attempt += 1;
                thread::sleep(WAL_PAUSE);
            }
            mode => break mode.map_err(at(path))?,
        }
    };
    if mode == "wal" { Ok(()) } else { Err(OpenError::JournalMode { path: path.to_owned(), mode }) }
}

/// Makes the tables, unless somebody else did meanwhile.
fn make(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let transaction =
        rusqlite::Transaction::new_unchecked(connection, rusqlite::TransactionBehavior::Immediate)
            .map_err(at(path))?;
    let is_empty = transaction
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))
        .map_err(at(path))?
        == 0;
    if is_empty {
        schema::create(&transaction).map_err(at(path))?;
    }
    transaction.commit().map_err(at(path))?;
    ours(path, schema::kind(connection).map_err(at(path))?)?;
    // SQLite syncs the directory for the log that lies beside; the name of the database is for us.
    #[cfg(unix)]
    if let Some(parent) = path.parent() {
        File::open(parent).and_then(|parent| sync_once(&parent)).map_err(io_at(parent))?;
    }
    Ok(())
}

/// Holds the last entry against its row, and the checkpoint against the entries.
fn check(connection: &Connection, path: &Path, ledger: Ledger) -> Result<Head, OpenError> {
    let last = rows::last(connection, ledger).map_err(read_at(path))?;
    let head = match last {
        None => Head::EMPTY,
        Some((head, bytes)) => {
            let belongs = Entry::parse(bytes).is_ok_and(|entry| entry.head() == head);
            if !belongs {
                let detail = "the last entry is none, or is another one".to_owned();
                return Err(OpenError::Damaged { path: path.to_owned(), seq: head.size - 1, detail });
            }
            head
        }
    };
    if let Some((size, note)) = rows::checkpoint(connection, ledger).map_err(read_at(path))? {
        if checkpoint_size(&note) != Some(size) {
            return Err(OpenError::Checkpoint { path: path.to_owned() });
        }
        if size > head.size {
            return Err(OpenError::BelowFloor { entries: head.size, floor: size });
        }
    }
    Ok(head)
}

/// What a killed writer wrote and did not sync is synced before it is shown.
fn sync_log(path: &Path) -> Result<(), OpenError> {
    let log = log(path);
    match File::open(&log).and_then(|log| sync_once(&log)) {
        Err(error)
            if !matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::ReadOnlyFilesystem | ErrorKind::InvalidInput
            ) =>
        {
            Err(io_at(&log)(error))
        }
        _ => Ok(()),
    }
}

/// Where the log of a database is. SQLite locks the file of shared memory and the database, never this one: to open and close it takes no
/// lock away (F-25).
pub(crate) fn log(path: &Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}

/// The database file at a path: regular, with one name, on a local disk.
pub(crate) fn database(path: &Path, options: &Options, writable: bool) -> Result<PathBuf, OpenError> {
    check_version(rusqlite::version_number())?;
    let name = path.to_string_lossy();
    if name.is_empty() || name == ":memory:" || name.starts_with("file:") {
        return Err(OpenError::NotAFileName { name: name.into_owned() });
    }
    let not_found = || OpenError::NotFound { path: path.to_owned() };
    let not_a_file = || OpenError::NotAFile { path: path.to_owned() };
    let (found, near) = match fs::metadata(path) {
        Ok(metadata) => {
            if !metadata.is_file() {
                return Err(not_a_file());
            }
            refuse_links(path, &metadata)?;
            let found = fs::canonicalize(path).map_err(io_at(path))?;
            (found.clone(), found)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if fs::symlink_metadata(path).is_ok() {
                return Err(not_a_file());
            }
            if !(writable && options.create) {
                return Err(not_found());
            }
            let absolute = std::path::absolute(path).map_err(io_at(path))?;
            let (Some(parent), Some(name)) = (absolute.parent(), absolute.file_name()) else {
                return Err(not_a_file());
            };
            let parent = fs::canonicalize(parent).map_err(io_at(parent))?;
            (parent.join(name), parent)
        }
        Err(error) => return Err(io_at(path)(error)),
    };
    if !options.network_file_system
        && let Some(name) = (options.probe)(&near).map_err(io_at(&near))?
    {
        return Err(OpenError::NetworkFileSystem { path: found, name });
    }
    Ok(found)
}

#[cfg(unix)]
fn refuse_links(path: &Path, metadata: &fs::Metadata) -> Result<(), OpenError> {
    use std::os::unix::fs::MetadataExt as _;
    match metadata.nlink() {
        0 | 1 => Ok(()),
        links => Err(OpenError::Linked { path: path.to_owned(), links }),
    }
}

#[cfg(not(unix))]
fn refuse_links(_: &Path, _: &fs::Metadata) -> Result<(), OpenError> {
    Ok(())
}

#[cfg(unix)]
pub(crate) fn network_file_system(path: &Path) -> std::io::Result<Option<String>> {
    use countersign_store::vfs::{RealVfs, Vfs as _};
    RealVfs.network_file_system(path)
}

#[cfg(not(unix))]
pub(crate) fn network_file_system(_: &Path) -> std::io::Result<Option<String>> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f12_a_database_on_a_network_file_system_is_refused_unless_it_was_asked_for() {
        let dir = std::env::temp_dir().join(format!("countersign-sqlite-network-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a directory for temporary files");
        let (file, name) = (dir.join("access.db"), LedgerName::new("access").expect("a name"));
        // Where nothing is made yet, the folder is asked.
        let options = Options {
            probe: |path| Ok((!path.ends_with("local.db")).then(|| "nfs".to_owned())),
            ..Options::default()
        };
        let opened = options.clone().open(&file, &name);
        assert!(matches!(opened, Err(OpenError::NetworkFileSystem { name, .. }) if name == "nfs"));
        assert!(!file.exists());
        drop(options.clone().allow_network_file_system().open(&file, &name).expect("it was asked for"));
        for opened in [options.clone().open(&file, &name), options.clone().open_read_only(&file, &name)] {
            assert!(matches!(opened, Err(OpenError::NetworkFileSystem { name, .. }) if name == "nfs"));
        }
        let local = dir.join("local.db");
        fs::copy(&file, &local).expect("a closed database is one file");
        options.open_read_only(&local, &name).expect("it is on a local disk");
        fs::remove_dir_all(&dir).expect("a directory");
    }
}
