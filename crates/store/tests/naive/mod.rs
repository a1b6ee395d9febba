//! A store of one file, as short as it can be and still right; and the mistakes that a store can make.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use countersign_core::digest::StatementDigest;
use countersign_core::entry::{Entry, Head};
use countersign_store::vfs::sim::SimVfs;
use countersign_store::vfs::{Access, Vfs, VfsDir as _, VfsFile as _};
use countersign_store::{
    AppendError, Batch, BoxError, Durability, EntryBytes, Found, NoteBytes, Store, StoreError,
};

use crate::explorer::{How, Subject};

/// A mistake in the store itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slip {
    None,
    SkipsDirectorySyncAfterCreate,
    SkipsDirectorySyncAfterRename,
    AcknowledgesBeforeSync,
    RetriesFailedSync,
    CutsAtFirstBadLine,
    RenamesBeforeSync,
    ShowsWhatIsNotSynced,
    TrustsMemoryAfterFailedSync,
}

/// How naive stores are opened.
pub(crate) struct Naive(pub(crate) Slip);

impl Subject for Naive {
    type Store = NaiveStore<SimVfs>;

    fn open(&self, vfs: &SimVfs, how: How) -> Result<Self::Store, BoxError> {
        NaiveStore::open(vfs.clone(), self.0, how.cut_unproven)
    }
}

pub(crate) struct NaiveStore<V: Vfs>(Mutex<Inner<V>>);

struct Inner<V: Vfs> {
    vfs: V,
    root: V::Dir,
    file: V::File,
    slip: Slip,
    entries: Vec<Entry>,
    checkpoint: Option<NoteBytes>,
    poisoned: bool,
    _lock: V::Lock,
}

const LOG: &str = "/log";
const NOTE: &str = "/note";
const UNFINISHED: &str = "/unfinished";

impl<V: Vfs> NaiveStore<V> {
    pub(crate) fn open(vfs: V, slip: Slip, cut_unproven: bool) -> Result<Self, BoxError> {
        let root = vfs.open_dir(Path::new("/"))?;
        let lock = vfs.try_lock(Path::new("/lock"))?.ok_or("locked")?;
        let old = if vfs.metadata(Path::new(LOG))?.is_some() {
            let file = vfs.open(Path::new(LOG), Access::Read)?;
            read(&file)?
        } else {
            Vec::new()
        };
        let mut entries: Vec<Entry> = Vec::new();
        let mut at = 0;
        while let Some(length) = old[at..].iter().position(|byte| *byte == b'\n') {
            let head = entries.last().map_or(Head::EMPTY, Entry::head);
            let entry = Entry::parse(&old[at..at + length])
                .ok()
                .filter(|entry| Head { size: entry.seq(), leaf: entry.prev() } == head);
            match entry {
                Some(entry) => entries.push(entry),
                None if cut_unproven || slip == Slip::CutsAtFirstBadLine => break,
                None => return Err(format!("line {} is no entry", entries.len()).into()),
            }
            at += length + 1;
        }
        // What is in memory may be what a failed sync left there: everything is written again, to a file of its own.
        let file = if slip == Slip::TrustsMemoryAfterFailedSync && at == old.len() && at > 0 {
            let file = vfs.open(Path::new(LOG), Access::Write)?;
            file.sync()?;
            file
        } else {
            put(&vfs, LOG, &old[..at], slip)?
        };
        if slip != Slip::SkipsDirectorySyncAfterCreate {
            root.sync()?;
        }
        let mut checkpoint = None;
        if vfs.metadata(Path::new(NOTE))?.is_some() {
            let note = read(&vfs.open(Path::new(NOTE), Access::Read)?)?;
            put(&vfs, NOTE, &note, slip)?;
            root.sync()?;
            checkpoint = Some(note.into());
        }
        Ok(Self(Mutex::new(Inner {
            vfs,
            root,
            file,
            slip,
            entries,
            checkpoint,
            poisoned: false,
            _lock: lock,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner<V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A whole file in the place of another. The directory is for the caller to sync.
fn put<V: Vfs>(vfs: &V, path: &str, bytes: &[u8], slip: Slip) -> Result<V::File, BoxError> {
    if vfs.metadata(Path::new(UNFINISHED))?.is_some() {
        vfs.remove_file(Path::new(UNFINISHED))?;
    }
    let file = vfs.open(Path::new(UNFINISHED), Access::CreateNew)?;
    write(&file, bytes)?;
    if slip == Slip::RenamesBeforeSync {
        vfs.rename(Path::new(UNFINISHED), Path::new(path))?;
        file.sync()?;
    } else {
        file.sync()?;
        vfs.rename(Path::new(UNFINISHED), Path::new(path))?;
    }
    Ok(file)
}

fn write(file: &impl countersign_store::vfs::VfsFile, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        let taken = file.append(bytes)?;
        bytes = &bytes[taken..];
    }
    Ok(())
}

fn read(file: &impl countersign_store::vfs::VfsFile) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(file.size()?).unwrap_or(0)];
    let mut at = 0;
    while at < bytes.len() {
        match file.read_at(&mut bytes[at..], at as u64)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => at += count,
        }
    }
    Ok(bytes)
}

impl<V: Vfs> Inner<V> {
    fn head(&self) -> Head {
        self.entries.last().map_or(Head::EMPTY, Entry::head)
    }

    fn append(&mut self, batch: &Batch) -> Result<Head, AppendError> {
        if self.poisoned {
            return Err(StoreError::Poisoned.into());
        }
        let head = self.head();
        let Some(missing) = batch.missing_after(head) else {
            return Err(AppendError::Conflict { expected: batch.expected(), actual: head });
        };
        let bytes: Vec<u8> =
            missing.iter().flat_map(|entry| entry.bytes().iter().copied().chain([b'\n'])).collect();
        if self.slip == Slip::ShowsWhatIsNotSynced {
            self.entries.extend_from_slice(missing);
        }
        if let Err(error) = write(&self.file, &bytes).and_then(|()| self.sync()) {
            self.poisoned = true;
            return Err(AppendError::OutcomeUnknown(error.into()));
        }
        if self.slip != Slip::ShowsWhatIsNotSynced {
            self.entries.extend_from_slice(missing);
        }
        Ok(batch.head())
    }

    fn sync(&self) -> std::io::Result<()> {
        match self.slip {
            Slip::AcknowledgesBeforeSync => Ok(()),
            Slip::RetriesFailedSync => self.file.sync().or_else(|_| self.file.sync()),
            _ => self.file.sync(),
        }
    }

    fn put_checkpoint(&mut self, note: NoteBytes) -> Result<(), BoxError> {
        if self.poisoned {
            return Err(StoreError::Poisoned.into());
        }
        put(&self.vfs, NOTE, &note, self.slip)?;
        if self.slip != Slip::SkipsDirectorySyncAfterRename {
            self.root.sync()?;
        }
        self.checkpoint = Some(note);
        Ok(())
    }
}

impl<V: Vfs> Store for NaiveStore<V> {
    fn durability(&self) -> Durability {
        Durability::LocalSync
    }

    async fn head(&self) -> Result<Head, StoreError> {
        Ok(self.lock().head())
    }

    async fn append(&self, batch: Batch) -> Result<Head, AppendError> {
        self.lock().append(&batch)
    }

    async fn read(&self, from: u64, max: usize) -> Result<Vec<EntryBytes>, StoreError> {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let inner = self.lock();
        Ok(inner.entries.iter().skip(from).take(max).map(|entry| entry.bytes().clone()).collect())
    }

    async fn find(&self, digest: StatementDigest) -> Result<Option<Found>, StoreError> {
        let inner = self.lock();
        let found = inner.entries.iter().find(|entry| entry.signed().digest() == digest);
        Ok(found.map(|entry| Found { seq: entry.seq(), bytes: entry.bytes().clone() }))
    }

    async fn checkpoint(&self) -> Result<Option<NoteBytes>, StoreError> {
        Ok(self.lock().checkpoint.clone())
    }

    async fn put_checkpoint(&self, _: u64, note: NoteBytes) -> Result<(), StoreError> {
        self.lock().put_checkpoint(note).map_err(StoreError::Unavailable)
    }
}
