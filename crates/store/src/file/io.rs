//! Whole reads and writes over a [`Vfs`], and files that are replaced at once.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::names::unfinished;
use crate::vfs::{Access, FileKind, Vfs, VfsDir as _, VfsFile};

/// How much is copied at a time.
const CHUNK_LEN: usize = 256 << 10;

/// Makes a call until no signal interrupts it. Never for a sync: what one that failed has saved is not known.
pub(super) fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

pub(super) fn open<V: Vfs>(vfs: &V, path: &Path, access: Access) -> io::Result<V::File> {
    uninterrupted(|| vfs.open(path, access))
}

/// As [`open`], where it may not be there.
pub(super) fn open_if_there<V: Vfs>(vfs: &V, path: &Path, access: Access) -> io::Result<Option<V::File>> {
    match open(vfs, path, access) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads up to a full buffer; returns how much there was.
pub(super) fn read_up_to(file: &impl VfsFile, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match uninterrupted(|| file.read_at(&mut buffer[read..], offset + read as u64))? {
            0 => break,
            more => read += more,
        }
    }
    Ok(read)
}

/// Reads exactly `length` bytes.
pub(super) fn read_exact(file: &impl VfsFile, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(length).map_err(|_| io::Error::from(ErrorKind::OutOfMemory))?;
    buffer.resize(length, 0);
    if read_up_to(file, offset, &mut buffer)? < length {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(buffer)
}

/// Reads a whole file of at most `max` bytes; none where it is not there.
pub(super) fn read_whole<V: Vfs>(vfs: &V, path: &Path, max: u64) -> io::Result<Option<Vec<u8>>> {
    let Some(file) = open_if_there(vfs, path, Access::Read)? else { return Ok(None) };
    let size = uninterrupted(|| file.size())?;
    match usize::try_from(size) {
        Ok(length) if size <= max => read_exact(&file, 0, length).map(Some),
        _ => Err(ErrorKind::FileTooLarge.into()),
    }
}

/// Appends all of `bytes`.
pub(super) fn append_all(file: &impl VfsFile, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match uninterrupted(|| file.append(bytes))? {
            0 => return Err(ErrorKind::WriteZero.into()),
            taken => bytes = &bytes[taken..],
        }
    }
    Ok(())
}

/// Appends the bytes of `from` between two offsets to `to`.
pub(super) fn copy(from: &impl VfsFile, start: u64, end: u64, to: &impl VfsFile) -> io::Result<()> {
    let mut at = start;
    while at < end {
        let length = usize::try_from(end - at).map_or(CHUNK_LEN, |rest| rest.min(CHUNK_LEN));
        append_all(to, &read_exact(from, at, length)?)?;
        at += length as u64;
    }
    Ok(())
}

/// Whether the bytes of `file` from `start` on, as far as `other` goes, are those of `other`, and `other` goes to `end`.
pub(super) fn same(file: &impl VfsFile, start: u64, end: u64, other: &impl VfsFile) -> io::Result<bool> {
    Ok(uninterrupted(|| other.size())? == end - start && begins_with(other, file, start, end)?)
}

/// Whether `other`, which is as long at least, begins with the bytes of `file` between two offsets.
pub(super) fn begins_with(
    other: &impl VfsFile,
    file: &impl VfsFile,
    start: u64,
    end: u64,
) -> io::Result<bool> {
    let mut at = start;
    while at < end {
        let length = usize::try_from(end - at).map_or(CHUNK_LEN, |rest| rest.min(CHUNK_LEN));
        if read_exact(file, at, length)? != read_exact(other, at - start, length)? {
            return Ok(false);
        }
        at += length as u64;
    }
    Ok(true)
}

pub(super) fn remove_if_there<V: Vfs>(vfs: &V, path: &Path) -> io::Result<()> {
    match vfs.remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// A file was not replaced durably.
#[derive(Debug)]
pub(super) enum ReplaceError {
    /// The old one stands as before.
    Unchanged(io::Error),
    /// The old one stands or the new one, and which of them a loss of power leaves is not known.
    Unknown(io::Error),
}

impl From<ReplaceError> for io::Error {
    fn from(error: ReplaceError) -> Self {
        match error {
            ReplaceError::Unchanged(error) | ReplaceError::Unknown(error) => error,
        }
    }
}

/// Puts a file in its place so that after a crash either the old or the new one is there, whole; returns once it is
/// durable. `dir` is the open directory that it lies in (F-24).
pub(super) fn replace<V: Vfs>(
    vfs: &V,
    dir: &V::Dir,
    path: &Path,
    write: impl FnOnce(&V::File) -> io::Result<()>,
) -> Result<(), ReplaceError> {
    let temporary = unfinished(path);
    let written = || -> io::Result<()> {
        remove_if_there(vfs, &temporary)?;
        let file = open(vfs, &temporary, Access::CreateNew)?;
        write(&file)?;
        file.sync()
    };
    written().map_err(ReplaceError::Unchanged)?;
    vfs.rename(&temporary, path).and_then(|()| dir.sync()).map_err(ReplaceError::Unknown)
}

/// Whether a directory stands at a path, itself and not where a link leads.
///
/// # Errors
/// [`ErrorKind::NotADirectory`] where something else does; those of the file system.
pub(super) fn is_dir<V: Vfs>(vfs: &V, path: &Path) -> io::Result<bool> {
    match uninterrupted(|| vfs.metadata(path))? {
        Some(found) if found.kind == FileKind::Dir => Ok(true),
        Some(_) => Err(ErrorKind::NotADirectory.into()),
        None => Ok(false),
    }
}

/// Makes a directory where there is none. Another process may do the same at the same time.
pub(super) fn ensure_dir<V: Vfs>(vfs: &V, path: &Path) -> io::Result<()> {
    if is_dir(vfs, path)? {
        return Ok(());
    }
    match uninterrupted(|| vfs.create_dir(path)) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => is_dir(vfs, path).map(drop),
        done => done,
    }
}

/// The directory that a path lies in.
pub(super) fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}
