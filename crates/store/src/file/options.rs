//! How a ledger directory is opened.

use std::path::Path;

use super::error::OpenError;
use super::store::FileStore;
use crate::vfs::{RealVfs, Vfs};

/// How a ledger directory is opened for writing.
///
/// ```
/// use countersign_store::file::Options;
///
/// # let dir = std::env::temp_dir().join(format!("countersign-doc-options-{}", std::process::id()));
/// let store = Options::new().segment_size(16 << 20).open(&dir)?;
/// assert!(store.recovery().cut.is_none());
/// # drop(store);
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Options {
    pub(super) segment_size: u64,
    pub(super) max_read_size: usize,
    pub(super) network_file_system: bool,
    pub(super) cut_unproven: bool,
    pub(super) hooks: Hooks,
}

/// Mistakes that a test plants, to see that other tests find them; and what makes a million openings quick.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Hooks {
    /// A recovery cuts at the first bad line, whatever is behind it and whoever knows of it.
    pub(super) cuts_at_the_first_bad_line: bool,
    /// Changes the bytes between the moment they are put together and the moment they are written.
    pub(super) before_write: Option<fn(&mut [u8])>,
    /// The writer has no thread of its own.
    pub(super) without_a_thread: bool,
}

/// Segments are rolled before they would grow beyond this many bytes.
pub const SEGMENT_SIZE: u64 = 64 << 20;
/// One read returns at most this many bytes of entries, unless the first entry alone has more.
pub const MAX_READ_SIZE: usize = 8 << 20;

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_size: SEGMENT_SIZE,
            max_read_size: MAX_READ_SIZE,
            network_file_system: false,
            cut_unproven: false,
            hooks: Hooks::default(),
        }
    }
}

impl Options {
    /// The defaults: segments of [`SEGMENT_SIZE`], reads of [`MAX_READ_SIZE`], no network file system, and a recovery that
    /// cuts nothing but bytes after the last line feed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How large a segment may become, in bytes. A batch is never spread over two, so one that is larger has a
    /// segment of its own; 0 gives each batch its own.
    #[must_use]
    pub fn segment_size(mut self, bytes: u64) -> Self {
        self.segment_size = bytes;
        self
    }

    /// How many bytes of entries one read returns at most, unless the first entry alone has more.
    #[must_use]
    pub fn max_read_size(mut self, bytes: usize) -> Self {
        self.max_read_size = bytes;
        self
    }

    /// Opens on a network file system too. Its locks may not hold, and what it calls synced may be in another machine's
    /// memory; a second writer is then found by what it wrote.
    #[must_use]
    pub fn allow_network_file_system(mut self) -> Self {
        self.network_file_system = true;
        self
    }

    /// Cuts from the first whole line on that is no entry, in place of [`OpenError::Unproven`]: a loss of power can leave
    /// such lines of a batch that nobody was told of, and damage can look the same. What is cut is kept aside, and nothing is
    /// cut that the checkpoint or the last writer knows of.
    #[must_use]
    pub fn cut_unproven(mut self) -> Self {
        self.cut_unproven = true;
        self
    }

    /// Plants a mistake: recovery cuts at the first bad line. For tests of tests.
    #[cfg(feature = "testing")]
    #[doc(hidden)]
    #[must_use]
    pub fn plant_cut_at_the_first_bad_line(mut self) -> Self {
        self.hooks.cuts_at_the_first_bad_line = true;
        self
    }

    /// Plants a flipped bit between putting a batch together and writing it. For tests of tests.
    #[cfg(feature = "testing")]
    #[doc(hidden)]
    #[must_use]
    pub fn plant_before_write(mut self, change: fn(&mut [u8])) -> Self {
        self.hooks.before_write = Some(change);
        self
    }

    /// Writes on the thread of whoever asks. For tests that open a store a million times: what is written, and in which
    /// order, is the same.
    #[cfg(feature = "testing")]
    #[doc(hidden)]
    #[must_use]
    pub fn without_a_thread(mut self) -> Self {
        self.hooks.without_a_thread = true;
        self
    }

    /// Opens the ledger directory `dir` for writing, and makes it if there is nothing.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(self, dir: impl AsRef<Path>) -> Result<FileStore, OpenError> {
        self.open_in(RealVfs, dir)
    }

    /// As [`Self::open`], in another file system.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_in<V: Vfs>(self, vfs: V, dir: impl AsRef<Path>) -> Result<FileStore<V>, OpenError> {
        FileStore::open_with(vfs, dir.as_ref(), self)
    }
}
