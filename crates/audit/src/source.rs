//! Where the bytes come from: a file, a directory, bytes in memory, or anything that yields segments.

use std::fs::{self, File};
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};

use countersign_core::note::MAX_NOTE_LEN;

use crate::directory::Inventory;

/// What a ledger is read from. Nothing that it gives is believed.
pub trait Source: Send {
    /// The next segment in order, or none after the last. A ledger in one file is one segment.
    ///
    /// # Errors
    /// [`SourceError`] where it can not be read.
    fn next_segment(&mut self) -> Result<Option<Segment>, SourceError>;

    /// The checkpoints that lie beside the ledger, in a fixed order.
    ///
    /// # Errors
    /// [`SourceError`] where one is there and can not be read: what can not be read is never taken to be absent.
    fn checkpoints(&mut self) -> Result<Vec<CheckpointFile>, SourceError>;

    /// How many bytes all segments have, where that is known beforehand: for progress alone.
    fn total_bytes(&self) -> Option<u64> {
        None
    }

    /// What else lies with the segments, where they are files of a directory: for the report, which does not judge it.
    fn inventory(&self) -> Option<Inventory> {
        None
    }
}

/// Consecutive entries, each followed by a line feed.
pub struct Segment {
    /// What a report calls it; none where the ledger is one file.
    pub name: Option<String>,
    /// Where it says that it stands.
    pub place: SegmentPlace,
    /// The bytes.
    pub bytes: Box<dyn Read + Send>,
}

/// What a store says of an entry that is not what it keeps beside it: the bytes of a [`Segment`] end with an [`io::Error`] that holds this, right
/// before that entry. It is a fault of the ledger there ([`FaultCode::Store`]), and none of the source.
///
/// [`FaultCode::Store`]: countersign_core::fault::FaultCode::Store
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store is damaged at entry {seq}: {detail}")]
pub struct Damage {
    /// The entry's position.
    pub seq: u64,
    /// What was found, in words.
    pub detail: String,
}

/// What the name of a segment says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentPlace {
    /// Nothing: there is one, and it is the whole ledger.
    Whole,
    /// The seq of its first entry.
    From(u64),
    /// It is no name that a segment may have. Such a one comes after all others, and is never read.
    Misnamed,
}

/// The bytes of a file that claims to be a checkpoint.
#[derive(Debug, Clone)]
pub struct CheckpointFile {
    /// What a report calls it.
    pub name: String,
    /// At most [`MAX_NOTE_LEN`] and one more, so that a longer one is seen to be too long.
    pub bytes: Vec<u8>,
}

impl CheckpointFile {
    /// Reads a file; at most one byte more than a note may have.
    ///
    /// # Errors
    /// [`SourceError`]
    pub fn read(path: &Path) -> Result<Self, SourceError> {
        let (file, _) = open(path)?;
        let mut bytes = Vec::new();
        file.take(MAX_NOTE_LEN as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(|source| SourceError::Read { name: path.display().to_string(), source })?;
        Ok(Self { name: path.display().to_string(), bytes })
    }

    /// As [`Self::read`]; none where there is no such file. What is there and can not be read is never taken to be absent.
    pub(crate) fn read_if_there(path: &Path) -> Result<Option<Self>, SourceError> {
        match Self::read(path) {
            Ok(file) => Ok(Some(file)),
            Err(SourceError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A ledger in one file `NAME.jsonl`, with `NAME.jsonl.checkpoint` beside it where there is one.
pub struct LedgerFile {
    checkpoint: Option<CheckpointFile>,
    file: Option<File>,
    length: u64,
}

impl LedgerFile {
    /// Reads the checkpoint and opens the file. Symbolic links are not followed.
    ///
    /// # Errors
    /// [`SourceError`]
    pub fn open(path: impl AsRef<Path>) -> Result<Self, SourceError> {
        let path = path.as_ref();
        // In this order: a checkpoint that is written after the file was opened may be over entries that are not in it.
        let checkpoint = CheckpointFile::read_if_there(&Self::checkpoint_path(path));
        let (file, length) = open(path)?;
        Ok(Self { checkpoint: checkpoint?, file: Some(file), length })
    }

    /// Where the checkpoint of the ledger at `path` lies: the same name with `.checkpoint` behind.
    #[must_use]
    pub fn checkpoint_path(path: &Path) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(".checkpoint");
        name.into()
    }
}

impl Source for LedgerFile {
    fn next_segment(&mut self) -> Result<Option<Segment>, SourceError> {
        Ok(self.file.take().map(|file| Segment {
            name: None,
            place: SegmentPlace::Whole,
            bytes: Box::new(file),
        }))
    }

    fn checkpoints(&mut self) -> Result<Vec<CheckpointFile>, SourceError> {
        Ok(self.checkpoint.iter().cloned().collect())
    }

    fn total_bytes(&self) -> Option<u64> {
        Some(self.length)
    }
}

/// A ledger in memory.
#[derive(Debug, Clone, Default)]
pub struct LedgerBytes {
    entries: Option<Vec<u8>>,
    checkpoints: Vec<CheckpointFile>,
    length: u64,
}

impl LedgerBytes {
    /// The entries, each followed by a line feed, without checkpoint.
    #[must_use]
    pub fn new(entries: impl Into<Vec<u8>>) -> Self {
        let entries = entries.into();
        Self { length: entries.len() as u64, entries: Some(entries), checkpoints: Vec::new() }
    }

    /// With this checkpoint beside it.
    #[must_use]
    pub fn with_checkpoint(mut self, note: impl Into<Vec<u8>>) -> Self {
        self.checkpoints.push(CheckpointFile { name: "checkpoint".into(), bytes: note.into() });
        self
    }
}

impl Source for LedgerBytes {
    fn next_segment(&mut self) -> Result<Option<Segment>, SourceError> {
        Ok(self.entries.take().map(|bytes| Segment {
            name: None,
            place: SegmentPlace::Whole,
            bytes: Box::new(Cursor::new(bytes)),
        }))
    }

    fn checkpoints(&mut self) -> Result<Vec<CheckpointFile>, SourceError> {
        Ok(self.checkpoints.clone())
    }

    fn total_bytes(&self) -> Option<u64> {
        Some(self.length)
    }
}

/// The bytes could not be had. Nothing is said about the ledger.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// There is no such file.
    #[error("no such file: `{}`", path.display())]
    Missing {
        /// Which.
        path: PathBuf,
    },
    /// It is no regular file: a directory, a device, or a symbolic link, which is not followed.
    #[error("not a regular file: `{}`", path.display())]
    NotAFile {
        /// Which.
        path: PathBuf,
    },
    /// It is no directory, or a symbolic link to one, which is not followed.
    #[error("not a directory: `{}`", path.display())]
    NotADirectory {
        /// Which.
        path: PathBuf,
    },
    /// The directory is none of a ledger: `entries` is missing in it.
    #[error("not a ledger: `{}` has no directory `entries`", path.display())]
    NotALedger {
        /// Which.
        path: PathBuf,
    },
    /// Reading failed; the source says how.
    #[error("`{name}` can not be read")]
    Read {
        /// Which.
        name: String,
        /// Why.
        source: io::Error,
    },
}

/// Opens a regular file for reading and tells its length in bytes.
pub(crate) fn open(path: &Path) -> Result<(File, u64), SourceError> {
    let read = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => SourceError::Missing { path: path.to_owned() },
        _ => SourceError::Read { name: path.display().to_string(), source },
    };
    // Before opening, since opening a pipe would wait for its writer.
    let metadata = fs::symlink_metadata(path).map_err(read)?;
    if !metadata.is_file() {
        return Err(SourceError::NotAFile { path: path.to_owned() });
    }
    Ok((File::open(path).map_err(read)?, metadata.len()))
}
