//! The little of a file system that the file store needs, so that tests can put one in its place that loses power.
//!
//! [`RealVfs`] is the operating system's; with the feature `testing`, `sim` has the other. The contract says what a crash may take away, as POSIX does and no more kindly:
//! bytes written are lost until the file is synced; a name that was created, renamed or removed may be as before until its
//! directory is synced; of what was not synced, any part may survive, in any order, by sectors of 512 bytes.

#[cfg(feature = "testing")]
pub mod sim;

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

use crate::sync_once;

/// Files and directories. A clone is another handle to the same.
pub trait Vfs: Clone + fmt::Debug + Send + Sync + 'static {
    /// An open file.
    type File: VfsFile;
    /// An open directory.
    type Dir: VfsDir;
    /// A lock, held until it is dropped or the process ends.
    type Lock: fmt::Debug + Send + Sync + 'static;

    /// Opens a regular file. Symbolic links are not followed.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`]; [`io::ErrorKind::InvalidInput`] where it is no regular file; others.
    fn open(&self, path: &Path, access: Access) -> io::Result<Self::File>;

    /// Opens a directory. It stays open while names in it change, so that no write-back error is lost between.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] and others.
    fn open_dir(&self, path: &Path) -> io::Result<Self::Dir>;

    /// Creates a directory, whose parent must be there.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] and others.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// What is in a directory, sorted by name.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] and others.
    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>>;

    /// What stands at a path, itself and not where a link leads; none where nothing does.
    ///
    /// # Errors
    /// Whatever keeps it from being told.
    fn metadata(&self, path: &Path) -> io::Result<Option<Metadata>>;

    /// Puts a file in the place of whatever has the new name, at once.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] and others.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] and others.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Locks a file for this holder alone, creating it if need be; none where another holds it, in this process or elsewhere.
    ///
    /// # Errors
    /// Whatever keeps the file from being opened or locked.
    fn try_lock(&self, path: &Path) -> io::Result<Option<Self::Lock>>;

    /// The name of the network file system that a path is on; none where it is local, as far as can be told.
    ///
    /// # Errors
    /// Whatever keeps it from being told.
    fn network_file_system(&self, path: &Path) -> io::Result<Option<String>>;
}

/// An open file. Positions are in bytes.
pub trait VfsFile: fmt::Debug + Send + Sync + 'static {
    /// How long it is.
    ///
    /// # Errors
    /// Whatever keeps it from being told.
    fn size(&self) -> io::Result<u64>;

    /// Reads into `buffer` from `offset` on; returns how much, 0 only at the end (or into an empty buffer).
    ///
    /// # Errors
    /// Those of the device, [`io::ErrorKind::Interrupted`] among them.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes at the end; returns how much of `bytes` it took, which may be less than all.
    ///
    /// # Errors
    /// Those of the device, [`io::ErrorKind::Interrupted`] among them. Where it fails, nothing was taken.
    fn append(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Cuts the file to `size` bytes, no more than it has.
    ///
    /// # Errors
    /// Those of the device.
    fn truncate(&self, size: u64) -> io::Result<()>;

    /// Returns once what was written survives a loss of power, the file's size included, though not its name.
    ///
    /// # Errors
    /// Those of the device. After one, nothing is known of what was written since the last success, and another sync may succeed
    /// without having saved it.
    fn sync(&self) -> io::Result<()>;
}

/// An open directory.
pub trait VfsDir: fmt::Debug + Send + Sync + 'static {
    /// Returns once the names in it survive a loss of power.
    ///
    /// # Errors
    /// Those of the device, as for [`VfsFile::sync`].
    fn sync(&self) -> io::Result<()>;
}

/// What a file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To be read.
    Read,
    /// To be read, appended to and cut.
    Write,
    /// As [`Access::Write`], and it must not be there yet.
    CreateNew,
}

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// The name.
    pub name: OsString,
    /// What it names.
    pub metadata: Metadata,
}

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Metadata {
    /// What it is.
    pub kind: FileKind,
    /// How long it is in bytes, if it is a file.
    pub size: u64,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link, a device, a socket.
    Other,
}

/// The operating system's files.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealVfs;

impl Vfs for RealVfs {
    type File = RealFile;
    type Dir = RealDir;
    type Lock = RealLock;

    fn open(&self, path: &Path, access: Access) -> io::Result<RealFile> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
        match access {
            Access::Read => {}
            Access::Write => {
                options.append(true);
            }
            Access::CreateNew => {
                options.append(true).create_new(true);
            }
        }
        let file = options.open(path)?;
        if file.metadata()?.is_file() {
            Ok(RealFile(file))
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
        }
    }

    fn open_dir(&self, path: &Path) -> io::Result<RealDir> {
        let file = File::open(path)?;
        if file.metadata()?.is_dir() { Ok(RealDir(file)) } else { Err(io::ErrorKind::NotADirectory.into()) }
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            match entry.metadata() {
                Ok(metadata) => entries.push(DirEntry { name: entry.file_name(), metadata: metadata.into() }),
                // It went away since it was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        entries.sort();
        Ok(entries)
    }

    fn metadata(&self, path: &Path) -> io::Result<Option<Metadata>> {
        match fs::symlink_metadata(path) {
            Ok(metadata) => Ok(Some(metadata.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<RealLock>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(path)?;
        // `flock`: it belongs to the open file description, so neither closing another descriptor of the file (F-25) nor a
        // process started meanwhile, which does not inherit it, changes who holds it.
        match file.try_lock() {
            Ok(()) => Ok(Some(RealLock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn network_file_system(&self, path: &Path) -> io::Result<Option<String>> {
        network_file_system(path)
    }
}

/// A file of the operating system.
#[derive(Debug)]
pub struct RealFile(File);

impl VfsFile for RealFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        (&self.0).write(bytes)
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.0.set_len(size)
    }

    fn sync(&self) -> io::Result<()> {
        sync_data(&self.0)
    }
}

/// A directory of the operating system.
#[derive(Debug)]
pub struct RealDir(File);

impl VfsDir for RealDir {
    fn sync(&self) -> io::Result<()> {
        sync_once(&self.0)
    }
}

/// A lock on a file of the operating system.
#[derive(Debug)]
pub struct RealLock(#[expect(dead_code, reason = "the lock is held for as long as the file is open")] File);

impl From<fs::Metadata> for Metadata {
    fn from(metadata: fs::Metadata) -> Self {
        let kind = match metadata.file_type() {
            kind if kind.is_file() => FileKind::File,
            kind if kind.is_dir() => FileKind::Dir,
            _ => FileKind::Other,
        };
        Self { kind, size: metadata.len() }
    }
}

/// `fdatasync`: it writes the size, which is all the metadata that reading needs. Where a signal interrupts it, it fails: `File::sync_data`
/// would try again on the same descriptor.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn sync_data(file: &File) -> io::Result<()> {
    Ok(rustix::fs::fdatasync(file)?)
}

// Elsewhere the standard library knows what more a disk has to be told.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn sync_data(file: &File) -> io::Result<()> {
    file.sync_data()
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn network_file_system(path: &Path) -> io::Result<Option<String>> {
    // Those of statfs(2) and linux/magic.h whose locks or syncs are another machine's business.
    const NETWORK: [(u32, &str); 11] = [
        (0x6969, "nfs"),
        (0x517B, "smb"),
        (0xFF53_4D42, "cifs"),
        (0xFE53_4D42, "smb2"),
        (0x564C, "ncp"),
        (0x7375_7245, "coda"),
        (0x5346_414F, "afs"),
        (0x6B41_4653, "afs"),
        (0x0102_1997, "9p"),
        (0x00C3_6400, "ceph"),
        (0x0BD0_0BD0, "lustre"),
    ];
    // The magic numbers have 32 bits, whatever the type that the kernel's structure gives them.
    let found = rustix::fs::statfs(path)?.f_type as u32;
    Ok(NETWORK.iter().find(|(magic, _)| *magic == found).map(|(_, name)| (*name).to_owned()))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn network_file_system(_: &Path) -> io::Result<Option<String>> {
    // There is no portable way to tell.
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_file_appends_reads_and_is_cut() -> io::Result<()> {
        let dir = std::env::temp_dir().join(format!("countersign-vfs-{}", std::process::id()));
        fs::create_dir_all(&dir)?;
        let path = dir.join("file");
        let file = RealVfs.open(&path, Access::CreateNew)?;
        assert_eq!(file.append(b"abcdef")?, 6);
        file.truncate(3)?;
        assert_eq!(file.append(b"xyz")?, 3);
        file.sync()?;
        RealVfs.open_dir(&dir)?.sync()?;
        let mut buffer = [0; 8];
        assert_eq!((file.read_at(&mut buffer, 1)?, &buffer[..5]), (5, &b"bcxyz"[..]));
        assert_eq!(file.read_at(&mut buffer, 6)?, 0);
        let again = RealVfs.open(&path, Access::CreateNew).map_err(|error| error.kind());
        assert_eq!(again.err(), Some(io::ErrorKind::AlreadyExists));
        std::os::unix::fs::symlink(&path, dir.join("link"))?;
        assert!(RealVfs.open(&dir.join("link"), Access::Read).is_err(), "links are not followed");
        let kinds: Vec<_> = RealVfs.read_dir(&dir)?.into_iter().map(|entry| entry.metadata.kind).collect();
        assert_eq!(kinds, [FileKind::File, FileKind::Other]);
        fs::remove_dir_all(&dir)
    }

    #[test]
    fn a_lock_is_held_by_one_and_outlives_other_descriptors() -> io::Result<()> {
        let dir = std::env::temp_dir().join(format!("countersign-lock-{}", std::process::id()));
        fs::create_dir_all(&dir)?;
        let path = dir.join("lock");
        let held = RealVfs.try_lock(&path)?.expect("nobody holds it");
        // F-25: a POSIX lock would be gone once any descriptor of the file is closed.
        drop(File::open(&path)?);
        assert!(RealVfs.try_lock(&path)?.is_none());
        drop(held);
        assert!(RealVfs.try_lock(&path)?.is_some());
        fs::remove_dir_all(&dir)
    }
}
