//! A file system in memory that loses power, fills up and fails, wherever and however a test wants it to.
//!
//! What it promises is what POSIX does, and no more:
//!
//! - Bytes that were appended or cut are **lost until the file is synced**. Of the sectors (of 512 bytes, unless a test says
//!   otherwise) that were written since, any may be as they were at any time since, whatever became of others; the size may
//!   be any of those since, or end with a sector within an append; where it counts sectors that were not written, they are zero.
//! - A name that was created, renamed or removed is **as before until its directory is synced**; each such change may survive
//!   or not, whatever became of others, but a rename does so as a whole. A synced file without a synced name may vanish, and so may
//!   a directory with all that is in it.
//! - A sync that **fails** leaves what it went over either way, and takes it for saved: programs still read it, later syncs succeed
//!   without saving it, and the loss of power takes it away. What is written again is saved by the next sync. (But for the name of
//!   a new directory, which the next sync does save: nobody can write that again.)
//! - Until the power is lost, everybody reads what was written last, synced or not.
//!
//! Every call is counted. A test stops the machine before any of them ([`SimVfs::cut_power_at`]), looks at the disks that may
//! be left ([`SimVfs::aftermath`]) and goes on with one of them. A loss of power inside a call needs no case of its own: what it
//! may leave is among what it may leave before the call, or after it and unsynced. Calls may fail ([`SimVfs::fail`]), and the
//! disk may be full at any byte ([`SimVfs::limit_space`]).
//!
//! Nothing here depends on time, chance or the order of a map: the same calls and the same [`Choice`] give the same disk.
//! Times, permissions, links and devices are left out, and so is the damage of what was synced.
//!
//! ```
//! use std::path::Path;
//! use countersign_store::vfs::{Access, Vfs as _, VfsFile as _, sim::SimVfs};
//!
//! let vfs = SimVfs::new();
//! let file = vfs.open(Path::new("/a"), Access::CreateNew)?;
//! file.append(b"kept")?;
//! file.sync()?;
//! // The directory was not synced: the file is there after the loss of power, or it is not.
//! let kept: Vec<bool> = vfs.aftermath().disks().map(|(_, disk)| disk.metadata(Path::new("/a")).unwrap().is_some()).collect();
//! assert_eq!(kept, [false, true]);
//! # Ok::<(), std::io::Error>(())
//! ```

mod aftermath;
mod content;
mod disk;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt;
use std::hash::{DefaultHasher, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

pub use aftermath::{Aftermath, Choice, MAX_STATES};
use disk::{Disk, Names, NodeId};

use super::{Access, DirEntry, FileKind, Metadata, Vfs, VfsDir, VfsFile};

/// A simulated machine with a disk. A clone is another handle to the same.
#[derive(Clone)]
pub struct SimVfs(Arc<Mutex<Machine>>);

struct Machine {
    disk: Disk,
    calls: Vec<Call>,
    /// The call before which the power is lost.
    cut: Option<usize>,
    off: bool,
    faults: BTreeMap<usize, Fault>,
    hits: usize,
    /// Most bytes that files may have together.
    capacity: Option<u64>,
    locks: BTreeSet<NodeId>,
}

/// One call that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Which.
    pub kind: CallKind,
    /// On what: for an open file, the path that it was opened at.
    pub path: Arc<Path>,
}

/// Which call of [`Vfs`], [`VfsFile`] or [`VfsDir`] it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "named after the methods")]
pub enum CallKind {
    Open,
    Create,
    OpenDir,
    CreateDir,
    ReadDir,
    Metadata,
    Rename,
    RemoveFile,
    TryLock,
    Size,
    ReadAt,
    Append,
    Truncate,
    Sync,
    SyncDir,
}

impl CallKind {
    /// Whether it changes what is on the disk, or what of it is safe.
    #[must_use]
    pub const fn changes(self) -> bool {
        match self {
            Self::Create
            | Self::CreateDir
            | Self::Rename
            | Self::RemoveFile
            | Self::TryLock
            | Self::Append
            | Self::Truncate
            | Self::Sync
            | Self::SyncDir => true,
            Self::Open | Self::OpenDir | Self::ReadDir | Self::Metadata | Self::Size | Self::ReadAt => false,
        }
    }
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `EIO`, and nothing was done. A sync gives up what it went over, as the module says.
    Io,
    /// `EIO`, although it was done. An append fails as with [`Fault::Io`], since the contract says that it took nothing.
    IoAfter,
    /// `ENOSPC`, and nothing was done; as for [`Fault::Io`].
    NoSpace,
    /// `EINTR`, and nothing was done. A sync gives nothing up.
    Interrupted,
    /// At most so many bytes are read or appended, which is no error. Other calls are not touched.
    Short(usize),
}

impl SimVfs {
    /// A machine with an empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::with_sectors(512)
    }

    /// As [`SimVfs::new`], with sectors of so many bytes: of smaller ones a short file has more, and is torn in more ways.
    ///
    /// # Panics
    /// If it is 0.
    #[must_use]
    pub fn with_sectors(bytes: usize) -> Self {
        assert!(bytes > 0, "a sector has bytes");
        Self::of(Disk::new(bytes))
    }

    fn of(disk: Disk) -> Self {
        Self(Arc::new(Mutex::new(Machine {
            disk,
            calls: Vec::new(),
            cut: None,
            off: false,
            faults: BTreeMap::new(),
            hits: 0,
            capacity: None,
            locks: BTreeSet::new(),
        })))
    }

    /// A machine of its own with the disk as this one sees it, all of it safe: nothing is lost, as where a process ends and
    /// the system takes its time to write everything, or a folder is copied.
    #[must_use]
    pub fn saved(&self) -> Self {
        let mut disk = self.lock().disk.clone();
        disk.save_all();
        Self::of(disk)
    }

    /// A machine of its own in the same state, where every process was killed and the power was not lost: what was written and not
    /// synced is in its memory still.
    #[must_use]
    pub fn killed(&self) -> Self {
        Self::of(self.lock().disk.clone())
    }

    /// Loses the power before the call with this index, counted from 0 since the machine was made. That call and every later
    /// one fail, change nothing and are not counted.
    pub fn cut_power_at(&self, call: usize) {
        self.lock().cut = Some(call);
    }

    /// Loses the power now.
    pub fn cut_power(&self) {
        self.lock().off = true;
    }

    /// Whether the power is there.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.lock().off
    }

    /// Has the call with this index fail, counted as for [`SimVfs::cut_power_at`].
    pub fn fail(&self, call: usize, fault: Fault) {
        self.lock().faults.insert(call, fault);
    }

    /// How many of the planned faults happened. A fault that a call can not have does not count.
    #[must_use]
    pub fn faults_hit(&self) -> usize {
        self.lock().hits
    }

    /// Leaves so many bytes for files to grow: an append takes what fits, and the next fails with `ENOSPC`. None lifts the
    /// limit. What is cut or removed can be used again.
    pub fn limit_space(&self, free: Option<u64>) {
        let mut machine = self.lock();
        machine.capacity = free.map(|free| machine.disk.used() + free);
    }

    /// The calls so far, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    /// How many calls there were so far.
    #[must_use]
    pub fn call_count(&self) -> usize {
        self.lock().calls.len()
    }

    /// What a loss of power at this moment may leave.
    #[must_use]
    pub fn aftermath(&self) -> Aftermath {
        Aftermath::new(self.lock().disk.clone())
    }

    /// Whether a loss of power at this moment would change nothing.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        self.lock().disk.is_safe()
    }

    /// Every file with its bytes and every directory with none, as programs see them, but for the root. It is no call.
    #[must_use]
    pub fn tree(&self) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        let machine = self.lock();
        machine.disk.tree().into_iter().map(|(path, bytes)| (path, bytes.map(<[u8]>::to_vec))).collect()
    }

    /// A number that stands for what [`SimVfs::tree`] gives: for equal trees it is equal, for others most likely another.
    #[must_use]
    pub fn tree_hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.lock().disk.hash_tree(&mut hasher);
        hasher.finish()
    }

    /// Puts a file on the disk, with the directories above it, in place of one that is there; all of it is safe at once. It is no
    /// call.
    ///
    /// # Panics
    /// If a file stands where a directory is wanted, or the reverse.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        let machine = &mut *self.lock();
        let names: Vec<_> = path.iter().filter(|part| *part != OsStr::new("/")).collect();
        let Some((name, above)) = names.split_last() else { panic!("the root is no file") };
        let mut dir = disk::ROOT;
        for name in above {
            let there = machine.disk.names(dir).expect("a directory").get(*name).copied();
            dir = there.unwrap_or_else(|| machine.disk.create_dir(dir, name));
        }
        let there = machine.disk.names(dir).expect("a directory").get(*name).copied();
        let file = there.unwrap_or_else(|| machine.disk.create_file(dir, name));
        assert!(machine.disk.file(file).is_some(), "a directory stands there");
        machine.disk.truncate(file, 0);
        machine.disk.append(file, bytes);
        machine.disk.save_all();
    }

    fn lock(&self) -> MutexGuard<'_, Machine> {
        // Every change of a machine is made after all that can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes one call: `act` does it, unless it is to fail. The fault is given along where `act` has to mind it.
    fn call<T>(
        &self,
        kind: CallKind,
        path: &Arc<Path>,
        act: impl FnOnce(&mut Machine, Option<Fault>) -> io::Result<T>,
    ) -> io::Result<T> {
        let machine = &mut *self.lock();
        let index = machine.calls.len();
        machine.off |= machine.cut.is_some_and(|cut| index >= cut);
        if machine.off {
            return Err(io::Error::other("the power is off"));
        }
        machine.calls.push(Call { kind, path: path.clone() });
        let moves_bytes = matches!(kind, CallKind::ReadAt | CallKind::Append);
        let fault = match machine.faults.remove(&index) {
            Some(Fault::Short(_)) if !moves_bytes => None,
            fault => fault,
        };
        machine.hits += usize::from(fault.is_some());
        let syncs = matches!(kind, CallKind::Sync | CallKind::SyncDir);
        match fault {
            None | Some(Fault::Short(_)) => act(machine, fault),
            Some(Fault::Interrupted) => Err(Errno::INTR.into()),
            Some(Fault::IoAfter) if !moves_bytes => {
                act(machine, None)?;
                Err(Errno::IO.into())
            }
            Some(Fault::Io | Fault::IoAfter | Fault::NoSpace) => {
                if syncs {
                    act(machine, fault)?;
                }
                Err(if fault == Some(Fault::NoSpace) { Errno::NOSPC.into() } else { Errno::IO.into() })
            }
        }
    }

    fn call_at<T>(
        &self,
        kind: CallKind,
        path: &Path,
        act: impl FnOnce(&mut Machine) -> io::Result<T>,
    ) -> io::Result<T> {
        self.call(kind, &path.into(), |machine, _| act(machine))
    }
}

impl Default for SimVfs {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SimVfs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machine = self.lock();
        f.debug_struct("SimVfs")
            .field("calls", &machine.calls.len())
            .field("off", &machine.off)
            .finish_non_exhaustive()
    }
}

impl Machine {
    fn find(&self, path: &Path) -> io::Result<NodeId> {
        self.disk.resolve(path).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The directory and the name that a path ends with.
    fn place<'p>(&self, path: &'p Path) -> io::Result<(NodeId, &'p OsStr)> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let dir = self.find(parent)?;
        match self.disk.names(dir) {
            Some(_) => Ok((dir, name)),
            None => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn names(&self, path: &Path) -> io::Result<(NodeId, &Names)> {
        let id = self.find(path)?;
        let names = self.disk.names(id).ok_or(io::ErrorKind::NotADirectory)?;
        Ok((id, names))
    }

    fn metadata(&self, id: NodeId) -> Metadata {
        match self.disk.file(id) {
            Some(content) => Metadata { kind: FileKind::File, size: content.seen().len() as u64 },
            None => Metadata { kind: FileKind::Dir, size: 0 },
        }
    }

    fn bytes(&self, id: NodeId) -> &[u8] {
        self.disk.file(id).map_or(&[], |content| content.seen())
    }

    fn sync(&mut self, id: NodeId, fault: Option<Fault>) -> io::Result<()> {
        if fault.is_some() {
            self.disk.fail_sync(id);
        } else {
            self.disk.sync(id);
        }
        Ok(())
    }
}

impl Vfs for SimVfs {
    type File = SimFile;
    type Dir = SimDir;
    type Lock = SimLock;

    fn open(&self, path: &Path, access: Access) -> io::Result<SimFile> {
        let kind = match access {
            Access::Read | Access::Write => CallKind::Open,
            Access::CreateNew => CallKind::Create,
        };
        let id = self.call_at(kind, path, |machine| {
            if access == Access::CreateNew {
                let (dir, name) = machine.place(path)?;
                if machine.disk.names(dir).is_some_and(|names| names.contains_key(name)) {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                return Ok(machine.disk.create_file(dir, name));
            }
            let id = machine.find(path)?;
            match machine.disk.file(id) {
                Some(_) => Ok(id),
                None => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
            }
        })?;
        Ok(SimFile { vfs: self.clone(), id, path: path.into(), access })
    }

    fn open_dir(&self, path: &Path) -> io::Result<SimDir> {
        let id = self.call_at(CallKind::OpenDir, path, |machine| Ok(machine.names(path)?.0))?;
        Ok(SimDir { vfs: self.clone(), id, path: path.into() })
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.call_at(CallKind::CreateDir, path, |machine| {
            let (dir, name) = machine.place(path)?;
            if machine.disk.names(dir).is_some_and(|names| names.contains_key(name)) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            machine.disk.create_dir(dir, name);
            Ok(())
        })
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.call_at(CallKind::ReadDir, path, |machine| {
            let (_, names) = machine.names(path)?;
            let entry =
                |(name, id): (&_, &_)| DirEntry { name: Clone::clone(name), metadata: machine.metadata(*id) };
            Ok(names.iter().map(entry).collect())
        })
    }

    fn metadata(&self, path: &Path) -> io::Result<Option<Metadata>> {
        self.call_at(CallKind::Metadata, path, |machine| {
            Ok(machine.disk.resolve(path).map(|id| machine.metadata(id)))
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call_at(CallKind::Rename, from, |machine| {
            let id = machine.find(from)?;
            let (from, to_place) = (machine.place(from)?, machine.place(to)?);
            if machine.disk.file(id).is_none() {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            match machine.disk.resolve(to) {
                Some(there) if machine.disk.file(there).is_none() => Err(io::ErrorKind::IsADirectory.into()),
                // Two names of one file: nothing is done.
                Some(there) if there == id => Ok(()),
                Some(_) | None => {
                    machine.disk.rename(from, to_place, id);
                    Ok(())
                }
            }
        })
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.call_at(CallKind::RemoveFile, path, |machine| {
            let id = machine.find(path)?;
            if machine.disk.file(id).is_none() {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            let (dir, name) = machine.place(path)?;
            machine.disk.remove(dir, name);
            Ok(())
        })
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<SimLock>> {
        let id = self.call_at(CallKind::TryLock, path, |machine| {
            let id = match machine.disk.resolve(path) {
                Some(id) => id,
                None => {
                    let (dir, name) = machine.place(path)?;
                    machine.disk.create_file(dir, name)
                }
            };
            Ok(id)
        })?;
        // Not within the call: a lock that was taken in vain is given up with the descriptor.
        Ok(self.lock().locks.insert(id).then(|| SimLock { vfs: self.clone(), id }))
    }

    fn network_file_system(&self, _: &Path) -> io::Result<Option<String>> {
        Ok(None)
    }
}

/// An open file of a [`SimVfs`].
#[derive(Debug)]
pub struct SimFile {
    vfs: SimVfs,
    id: NodeId,
    path: Arc<Path>,
    access: Access,
}

impl SimFile {
    fn writable(&self) -> io::Result<()> {
        match self.access {
            Access::Read => Err(Errno::BADF.into()),
            Access::Write | Access::CreateNew => Ok(()),
        }
    }
}

impl VfsFile for SimFile {
    fn size(&self) -> io::Result<u64> {
        self.vfs.call(CallKind::Size, &self.path, |machine, _| Ok(machine.bytes(self.id).len() as u64))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.vfs.call(CallKind::ReadAt, &self.path, |machine, fault| {
            let bytes = machine.bytes(self.id);
            let from = usize::try_from(offset).map_or(bytes.len(), |offset| offset.min(bytes.len()));
            let count = shortened(fault, (bytes.len() - from).min(buffer.len()));
            buffer[..count].copy_from_slice(&bytes[from..from + count]);
            Ok(count)
        })
    }

    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        self.vfs.call(CallKind::Append, &self.path, |machine, fault| {
            self.writable()?;
            let mut count = shortened(fault, bytes.len());
            if let Some(capacity) = machine.capacity {
                let free = capacity.saturating_sub(machine.disk.used());
                count = count.min(usize::try_from(free).unwrap_or(usize::MAX));
                if count == 0 && !bytes.is_empty() {
                    return Err(Errno::NOSPC.into());
                }
            }
            machine.disk.append(self.id, &bytes[..count]);
            Ok(count)
        })
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.vfs.call(CallKind::Truncate, &self.path, |machine, _| {
            self.writable()?;
            match usize::try_from(size) {
                Ok(size) if size <= machine.bytes(self.id).len() => {
                    machine.disk.truncate(self.id, size);
                    Ok(())
                }
                Ok(_) | Err(_) => Err(io::ErrorKind::InvalidInput.into()),
            }
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.vfs.call(CallKind::Sync, &self.path, |machine, fault| machine.sync(self.id, fault))
    }
}

/// At least one byte where there is one to move: no byte at all would be the end of the file, or a full disk.
fn shortened(fault: Option<Fault>, count: usize) -> usize {
    match fault {
        Some(Fault::Short(most)) => count.min(most.max(1)),
        Some(Fault::Io | Fault::IoAfter | Fault::NoSpace | Fault::Interrupted) | None => count,
    }
}

/// An open directory of a [`SimVfs`].
#[derive(Debug)]
pub struct SimDir {
    vfs: SimVfs,
    id: NodeId,
    path: Arc<Path>,
}

impl VfsDir for SimDir {
    fn sync(&self) -> io::Result<()> {
        self.vfs.call(CallKind::SyncDir, &self.path, |machine, fault| machine.sync(self.id, fault))
    }
}

/// A lock of a [`SimVfs`]. It is gone with the machine's power.
#[derive(Debug)]
pub struct SimLock {
    vfs: SimVfs,
    id: NodeId,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.vfs.lock().locks.remove(&self.id);
    }
}
