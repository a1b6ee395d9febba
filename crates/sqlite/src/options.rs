//! How a database is opened.

use std::io;
use std::path::Path;
use std::time::Duration;

use countersign_core::id::LedgerName;

use crate::opening::network_file_system;
use crate::{OpenError, SqliteStore};

/// How a ledger in a database is opened.
#[derive(Debug, Clone)]
pub struct Options {
    pub(crate) create: bool,
    pub(crate) readers: usize,
    pub(crate) max_read_size: usize,
    pub(crate) busy_timeout: Duration,
    pub(crate) network_file_system: bool,
    pub(crate) unchecked: bool,
    /// The network file system that a path is on.
    pub(crate) probe: fn(&Path) -> io::Result<Option<String>>,
}

/// One read returns at most this many bytes of entries, unless the first entry alone has more.
pub const MAX_READ_SIZE: usize = 8 << 20;

impl Default for Options {
    fn default() -> Self {
        Self {
            create: true,
            readers: 2,
            max_read_size: MAX_READ_SIZE,
            busy_timeout: Duration::from_secs(10),
            network_file_system: false,
            unchecked: false,
            probe: network_file_system,
        }
    }
}

impl Options {
    /// The defaults: what is not there is made, two connections read, and whoever finds the file locked waits for 10 seconds.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Refuses a file or a ledger that is not there, in place of making it.
    #[must_use]
    pub fn existing(mut self) -> Self {
        self.create = false;
        self
    }

    /// How many connections read, each on a thread of its own: at least one.
    #[must_use]
    pub fn readers(mut self, count: usize) -> Self {
        self.readers = count.max(1);
        self
    }

    /// How many bytes of entries one read returns at most, unless the first entry alone has more.
    #[must_use]
    pub fn max_read_size(mut self, bytes: usize) -> Self {
        self.max_read_size = bytes;
        self
    }

    /// How long to wait for others who are writing the same file. An append that waited in vain stored nothing.
    #[must_use]
    pub fn busy_timeout(mut self, time: Duration) -> Self {
        self.busy_timeout = time;
        self
    }

    /// Opens on a network file system too, where SQLite does not work unless one machine alone uses the file.
    #[must_use]
    pub fn allow_network_file_system(mut self) -> Self {
        self.network_file_system = true;
        self
    }

    /// For an auditor, who holds every entry against the others: [`Options::open_read_only`] takes a ledger too whose last entry or kept checkpoint
    /// is not what it should be. Reads name what they find all the same.
    #[must_use]
    pub fn unchecked(mut self) -> Self {
        self.unchecked = true;
        self
    }

    /// Opens a ledger of the database `path` for writing, and makes both if they are not there.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(self, path: impl AsRef<Path>, ledger: &LedgerName) -> Result<SqliteStore, OpenError> {
        SqliteStore::open_with(path.as_ref(), ledger, &self, true)
    }

    /// Opens a ledger of the database `path` for reading only. Nothing is made, and nothing in the database is changed.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_read_only(
        self,
        path: impl AsRef<Path>,
        ledger: &LedgerName,
    ) -> Result<SqliteStore, OpenError> {
        SqliteStore::open_with(path.as_ref(), ledger, &self.existing(), false)
    }
}
