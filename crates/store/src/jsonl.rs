//! A ledger in one file: the exact entry bytes, LF after each; `NAME.jsonl`, and `NAME.jsonl.checkpoint` beside it.
//!
//! Reading is strict and repairs nothing: a last line without LF is named a torn tail. Writing replaces the file as a
//! whole, and only by one that continues it, so that a checkpoint that was given away stays true.
//!
//! ```
//! use countersign_store::{MemoryStore, jsonl};
//!
//! # let dir = std::env::temp_dir().join(format!("countersign-doc-{}", std::process::id()));
//! # std::fs::create_dir_all(&dir)?;
//! let path = dir.join("access.jsonl");
//! let store = MemoryStore::new();
//! jsonl::save(&store, &path)?;
//! assert_eq!(jsonl::load(&path)?.head_now(), store.head_now());
//! # std::fs::remove_dir_all(&dir)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read as _, Write};
use std::path::{Path, PathBuf};

use countersign_core::entry::{Entry, Head, MAX_ENTRY_LEN};
use countersign_core::fault::Fault;
use countersign_core::note::MAX_NOTE_LEN;

use crate::{EntryBytes, MemoryStore, NoteBytes, checkpoint_size, sync_once};

/// Where the checkpoint of the ledger in `path` is: `.checkpoint` is added to its name.
#[must_use]
pub fn checkpoint_path(path: &Path) -> PathBuf {
    with_suffix(path, ".checkpoint")
}

/// Reads a ledger file, and its checkpoint where there is one.
///
/// Every line is read strictly and has to continue the chain. Signatures, rules and the checkpoint's root are for
/// whoever opens a ledger on the store: nothing is trusted for having been read.
///
/// # Errors
/// [`JsonlError`], by the first line that is wrong.
pub fn load(path: &Path) -> Result<MemoryStore, JsonlError> {
    let mut lines = Lines::new(BufReader::new(open(path)?));
    let mut head = Head::EMPTY;
    let mut entries = Vec::new();
    while let Some(line) = lines.next()? {
        let seq = head.size;
        let entry =
            Entry::parse(line.bytes).map_err(|fault| JsonlError::Line { seq, offset: line.offset, fault })?;
        if (Head { size: entry.seq(), leaf: entry.prev() }) != head {
            return Err(JsonlError::Unlinked { seq, offset: line.offset });
        }
        head = entry.head();
        entries.push(entry);
    }
    let store = MemoryStore::from_entries(entries).expect("each entry was found to follow the one before");
    match read_checkpoint(&checkpoint_path(path))? {
        Some((size, note)) => Ok(store.with_checkpoint(size, note)),
        None => Ok(store),
    }
}

/// Writes what the store holds now: first the entries, then the checkpoint, if there is one.
///
/// The file is replaced atomically (a temporary file, synced, renamed; then the directory is synced). A checkpoint that
/// lies there and is over more than the store's stays.
///
/// # Errors
/// [`JsonlError::OtherHistory`] if there is a file whose bytes are not a beginning of what would be written; [`JsonlError::Io`].
pub fn save(store: &MemoryStore, path: &Path) -> Result<(), JsonlError> {
    let (entries, note) = (store.entries_now(), store.checkpoint_now());
    let mut draft = Draft::new(path)?;
    entries.iter().try_for_each(|entry| draft.push(entry))?;
    draft.finish(note.as_deref())?;
    Ok(())
}

/// A ledger file that is written entry by entry, in memory that does not grow with it. Nothing is in its place before
/// [`Draft::finish`], and what stands there already has to be the beginning of what is written.
#[derive(Debug)]
pub struct Draft {
    path: PathBuf,
    file: Replacement,
    /// What stands in its place, as far as it was not compared yet.
    old: Option<BufReader<File>>,
    /// How many bytes of that were found to be the same.
    offset: u64,
    /// How many entries of it.
    kept: u64,
}

impl Draft {
    /// Begins a file, beside its place.
    ///
    /// # Errors
    /// [`JsonlError::NotAFile`], [`JsonlError::Io`].
    pub fn new(path: &Path) -> Result<Self, JsonlError> {
        let old = is_there(path)?.then(|| open(path)).transpose()?.map(BufReader::new);
        Ok(Self { path: path.into(), file: Replacement::new(path)?, old, offset: 0, kept: 0 })
    }

    /// Adds an entry: its bytes, without the line feed. They are not looked at.
    ///
    /// # Errors
    /// [`JsonlError::OtherHistory`] where another one stands at its place, [`JsonlError::Io`].
    pub fn push(&mut self, entry: &[u8]) -> Result<(), JsonlError> {
        let was_there = self.holds(entry)? && self.holds(b"\n")?;
        self.kept += u64::from(was_there);
        let file = self.file.writer();
        Ok(file.write_all(entry).and_then(|()| file.write_all(b"\n"))?)
    }

    /// Whether these bytes stand there next; not so behind the end.
    fn holds(&mut self, bytes: &[u8]) -> Result<bool, JsonlError> {
        let Some(old) = &mut self.old else { return Ok(false) };
        let mut rest = bytes;
        while !rest.is_empty() {
            let held = old.fill_buf()?;
            if held.is_empty() {
                return Ok(false);
            }
            let same = held.iter().zip(rest).take_while(|(old, new)| old == new).count();
            self.offset += same as u64;
            if same < held.len().min(rest.len()) {
                return Err(JsonlError::OtherHistory { path: self.path.clone(), offset: self.offset });
            }
            old.consume(same);
            rest = &rest[same..];
        }
        Ok(true)
    }

    /// Puts the file in its place, and then the checkpoint beside it, unless that there is over more. Tells how many of the
    /// entries stood there before.
    ///
    /// # Errors
    /// [`JsonlError::OtherHistory`] where more stand there than were written; [`JsonlError::Checkpoint`], [`JsonlError::Io`].
    pub fn finish(mut self, checkpoint: Option<&[u8]>) -> Result<u64, JsonlError> {
        if let Some(old) = &mut self.old
            && !old.fill_buf()?.is_empty()
        {
            return Err(JsonlError::OtherHistory { path: self.path.clone(), offset: self.offset });
        }
        self.file.put()?;
        // In this order, since a checkpoint over more entries than the file has means a file that was cut.
        if let Some(note) = checkpoint {
            let place = checkpoint_path(&self.path);
            let size = checkpoint_size(note).ok_or(JsonlError::Checkpoint)?;
            if read_checkpoint(&place)?.is_none_or(|(before, _)| before <= size) {
                let mut file = Replacement::new(&place)?;
                file.writer().write_all(note)?;
                file.put()?;
            }
        }
        Ok(self.kept)
    }
}

/// One line of a ledger file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Where it starts, in bytes from the beginning of the file.
    pub offset: u64,
    /// Its bytes without the line feed: 0 to [`MAX_ENTRY_LEN`] of them, not looked at.
    pub bytes: EntryBytes,
}

/// The lines of a ledger file one by one, in memory that does not grow with it.
#[derive(Debug)]
pub struct Lines<R> {
    source: R,
    offset: u64,
    seq: u64,
}

impl<R: BufRead> Lines<R> {
    /// The lines of `source`, from where it stands.
    pub fn new(source: R) -> Self {
        Self { source, offset: 0, seq: 0 }
    }

    /// The next line; none at the end.
    ///
    /// # Errors
    /// [`JsonlError::TornTail`], [`JsonlError::LineTooLong`] after reading at most one byte too many, [`JsonlError::Io`].
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator of results would invite going on after an error"
    )]
    pub fn next(&mut self) -> Result<Option<Line>, JsonlError> {
        let Self { offset, seq, .. } = *self;
        let mut bytes = Vec::new();
        (&mut self.source).take(MAX_ENTRY_LEN as u64 + 1).read_until(b'\n', &mut bytes)?;
        let length = bytes.len();
        match bytes.pop() {
            None => Ok(None),
            Some(b'\n') => {
                self.offset += length as u64;
                self.seq += 1;
                Ok(Some(Line { offset, bytes: bytes.into() }))
            }
            Some(_) if length > MAX_ENTRY_LEN => Err(JsonlError::LineTooLong { seq, offset }),
            Some(_) => Err(JsonlError::TornTail { seq, offset }),
        }
    }
}

/// A ledger file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JsonlError {
    /// The file system failed.
    #[error("the file can not be read or written")]
    Io(#[from] io::Error),
    /// It is a directory, a symbolic link or a device.
    #[error("`{}` is not a regular file", path.display())]
    NotAFile {
        /// What was asked for.
        path: PathBuf,
    },
    /// The last line does not end in LF: it was cut off while it was written. Nothing is repaired here.
    #[error("torn tail: the line of entry {seq} at byte {offset} does not end in a line feed")]
    TornTail {
        /// How many whole lines there are.
        seq: u64,
        /// Where the torn line starts.
        offset: u64,
    },
    /// A line is longer than an entry may be.
    #[error("the line of entry {seq} at byte {offset} is longer than {MAX_ENTRY_LEN} bytes")]
    LineTooLong {
        /// How many lines there are before it.
        seq: u64,
        /// Where the line starts.
        offset: u64,
    },
    /// A line is no entry.
    #[error("the line of entry {seq} at byte {offset} is no entry")]
    Line {
        /// How many lines there are before it.
        seq: u64,
        /// Where the line starts; the fault's own offset counts from there.
        offset: u64,
        /// What is wrong.
        #[source]
        fault: Fault,
    },
    /// An entry does not follow the one before.
    #[error("the entry {seq} at byte {offset} does not follow the one before")]
    Unlinked {
        /// How many lines there are before it.
        seq: u64,
        /// Where its line starts.
        offset: u64,
    },
    /// The file beside is no checkpoint.
    #[error("the checkpoint is not a well-formed signed checkpoint")]
    Checkpoint,
    /// There is a file whose entries are not the first ones of what would replace it.
    #[error("`{}` holds another history from byte {offset} on", path.display())]
    OtherHistory {
        /// The file.
        path: PathBuf,
        /// The first byte that differs.
        offset: u64,
    },
}

/// A file that is written anew, so that after a crash either the old or the new one is there, whole.
#[derive(Debug)]
struct Replacement {
    path: PathBuf,
    temporary: PathBuf,
    /// None once it is in its place.
    file: Option<BufWriter<File>>,
}

impl Replacement {
    fn new(path: &Path) -> Result<Self, JsonlError> {
        let temporary = with_suffix(path, ".new");
        match fs::remove_file(&temporary) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        let file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
        Ok(Self { path: path.into(), temporary, file: Some(BufWriter::new(file)) })
    }

    fn writer(&mut self) -> &mut BufWriter<File> {
        self.file.as_mut().expect("INVARIANT: it is put in its place once, and not written after")
    }

    fn put(&mut self) -> Result<(), JsonlError> {
        let Some(mut file) = self.file.take() else { return Ok(()) };
        file.flush()?;
        sync_once(file.get_ref())?;
        drop(file);
        fs::rename(&self.temporary, &self.path)?;
        // The rename itself is durable only once the directory is (F-05). Elsewhere than on Unix a directory can not be opened.
        #[cfg(unix)]
        {
            let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
            sync_once(&File::open(parent.unwrap_or(Path::new(".")))?)?;
        }
        Ok(())
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // What was given up is of no use, and the next one takes it away where this fails.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

fn is_there(path: &Path) -> Result<bool, JsonlError> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => Ok(true),
        Ok(_) => Err(JsonlError::NotAFile { path: path.into() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn open(path: &Path) -> Result<File, JsonlError> {
    is_there(path)?;
    Ok(File::open(path)?)
}

fn read_checkpoint(path: &Path) -> Result<Option<(u64, NoteBytes)>, JsonlError> {
    if !is_there(path)? {
        return Ok(None);
    }
    let mut note = Vec::new();
    open(path)?.take(MAX_NOTE_LEN as u64 + 1).read_to_end(&mut note)?;
    let size = checkpoint_size(&note).ok_or(JsonlError::Checkpoint)?;
    Ok(Some((size, note.into())))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
