//! Reading a directory that another process may be writing: no lock, and nothing that is not durable.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use countersign_core::digest::StatementDigest;
use countersign_core::entry::Head;

use super::error::{OpenError, at};
use super::evidence::Known;
use super::index::Indexes;
use super::io::{open, uninterrupted};
use super::lines::{LineFault, Rest, scan};
use super::names::{self, ENTRIES, EntryName};
use super::options::MAX_READ_SIZE;
use super::recover::{sealed, survey};
use super::segment::{Active, unavailable};
use super::snapshots;
use super::view::{Shared, View};
use crate::vfs::{Access, FileKind, RealVfs, Vfs, VfsDir as _, VfsFile as _};
use crate::{AppendError, Batch, Durability, EntryBytes, Found, NoteBytes, SnapshotSet, Store, StoreError};

/// A ledger in a directory, open for reading, whoever writes it meanwhile. A clone is another handle to the same.
///
/// It takes no lock and changes nothing. It shows the entries that a writer is known to have made durable, which it looks up anew at
/// each call: those that the file `head` names, and those under the checkpoint. After a loss of power the last of them may stay
/// hidden until a writer opens the directory. Where there is no `head`, as in a copy, it syncs what is there before it shows it.
///
/// [`Store::wait`] never completes: there is nobody to wake it.
///
/// ```
/// use countersign_store::{Store as _, file::{FileReader, FileStore}};
///
/// # let dir = std::env::temp_dir().join(format!("countersign-doc-reader-{}", std::process::id()));
/// let store = FileStore::open(&dir)?;
/// let reader = FileReader::open(&dir)?;
/// assert_eq!(reader.durability(), store.durability());
/// # drop(store);
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FileReader<V: Vfs = RealVfs> {
    shared: Arc<Shared<V>>,
    /// Held while the view is brought up to what is durable.
    turn: Arc<Mutex<()>>,
    foreign: Arc<[PathBuf]>,
}

/// How often a segment that is not there is looked for.
const MAX_LOOKS: u32 = 100;
/// How many entries are taken in at once.
const MAX_STEP: u64 = 4_096;

impl FileReader {
    /// Opens the ledger directory `dir` for reading.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_in(RealVfs, dir)
    }
}

impl<V: Vfs> FileReader<V> {
    /// As [`FileReader::open`], in another file system.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_in(vfs: V, dir: impl AsRef<Path>) -> Result<Self, OpenError> {
        let dir = dir.as_ref();
        let is_gone = |path: &Path, source: &std::io::Error| {
            source.kind() == ErrorKind::NotFound && path.parent() == Some(&dir.join(ENTRIES))
        };
        let mut looks = 1;
        loop {
            match Self::look(vfs.clone(), dir) {
                // A writer that found its last segment empty takes it away and puts a new one there: it is there in a moment.
                Err(OpenError::Io { path, source }) if looks < MAX_LOOKS && is_gone(&path, &source) => {
                    looks += 1;
                    std::thread::yield_now();
                }
                done => return done,
            }
        }
    }

    /// Opens it as it is at this moment.
    fn look(vfs: V, dir: &Path) -> Result<Self, OpenError> {
        let mut foreign = survey(&vfs, dir)?.foreign;
        // Before the segments: what it says stands in them by the time that they are listed.
        let known = Known::read(&vfs, dir)?;
        let most = known.head.map(|_| known.size());
        let (mut segments, others) = list(&vfs, dir)?;
        foreign.extend(others);
        // One that starts where the known entries end may be about to be written.
        segments.retain(|first| most.is_none_or(|most| *first < most) || *first == 0);
        let (sealed, before) = sealed(&vfs, dir, &segments, known.size(), false)?;
        let first = segments.last().copied().unwrap_or(0);
        let path = names::segment(dir, first);
        let missing = |entries| match known.floor().filter(|(floor, _)| *floor > 0) {
            Some((floor, evidence)) => OpenError::BelowFloor { entries, floor, evidence },
            None => at(&path)(ErrorKind::NotFound.into()),
        };
        if segments.is_empty() {
            return Err(missing(0));
        }
        let file = Arc::new(open(&vfs, &path, Access::Read).map_err(at(&path))?);
        let size = uninterrupted(|| file.size()).map_err(at(&path))?;
        if most.is_none() {
            // Nobody has written since the machine started: a sync tells the truth.
            for segment in &sealed {
                let file = open(&vfs, &segment.path, Access::Read).map_err(at(&segment.path))?;
                synced(file.sync()).map_err(at(&segment.path))?;
            }
            synced(file.sync()).map_err(at(&path))?;
            let place = dir.join(ENTRIES);
            let entries = uninterrupted(|| vfs.open_dir(&place)).map_err(at(&place))?;
            synced(entries.sync()).map_err(at(&place))?;
        }
        let mut active = Active::new(first, &path, file.clone());
        let until = most.unwrap_or(u64::MAX);
        let scanned = scan(&*file, 0, size, before, until, |entry, end| active.push(entry, end));
        let scanned = scanned.map_err(at(&path))?;
        if scanned.head.size < known.size() {
            return Err(match scanned.rest {
                Rest::Nothing => missing(scanned.head.size),
                Rest::Torn => damaged(&path, scanned.end, scanned.head.size, LineFault::Missing),
                Rest::Bad(fault) => damaged(&path, scanned.end, scanned.head.size, fault),
            });
        }
        if known.head.is_some_and(|head| head.size == scanned.head.size && head != scanned.head) {
            return Err(OpenError::OtherHistory { seq: scanned.head.size.saturating_sub(1) });
        }
        let view = View::new(scanned.head, sealed, active, None);
        let shared = Shared::new(vfs, dir.to_owned(), MAX_READ_SIZE, Indexes::new(false), view);
        Ok(Self { shared: Arc::new(shared), turn: Arc::default(), foreign: foreign.into() })
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.shared.dir
    }

    /// What did not belong in the directory when it was opened.
    #[must_use]
    pub fn foreign(&self) -> &[PathBuf] {
        &self.foreign
    }

    /// Brings the view up to what is durable now; returns its head.
    fn refresh(&self) -> Result<Head, StoreError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let Shared { vfs, dir, .. } = &*self.shared;
        let known = Known::read(vfs, dir).map_err(|error| StoreError::Unavailable(error.into()))?;
        loop {
            let shown = self.shared.view().head;
            if known.head.is_some_and(|known| known.size == shown.size && known != shown) {
                let detail = "it is not the one that the writer made durable".to_owned();
                return Err(StoreError::Damaged { seq: shown.size.saturating_sub(1), detail });
            }
            if shown.size >= known.size() {
                return Ok(shown);
            }
            self.advance(known.size())?;
        }
    }

    /// Goes on in the active segment, or at its end to the next, towards `most` entries.
    fn advance(&self, most: u64) -> Result<(), StoreError> {
        let Shared { vfs, dir, .. } = &*self.shared;
        let (head, first, start, path) = {
            let view = self.shared.view();
            (view.head, view.active.first, view.active.size(), view.active.path.clone())
        };
        // By its name: a writer that found it empty has put a new one there.
        let file = open(vfs, &path, Access::Read).map_err(unavailable)?;
        let size = uninterrupted(|| file.size()).map_err(unavailable)?;
        let mut found = Vec::new();
        let most = most.min(head.size + MAX_STEP);
        let scanned = scan(&file, start, size, head, most, |entry, end| found.push((entry.clone(), end)));
        let scanned = scanned.map_err(unavailable)?;
        let mut view = self.shared.view();
        if view.active.ends.is_empty() {
            view.active.file = Arc::new(file);
        }
        for (entry, end) in &found {
            view.active.push(entry, *end);
        }
        view.head = scanned.head;
        if scanned.head.size >= most {
            return Ok(());
        }
        let seq = scanned.head.size;
        let fault = match scanned.rest {
            Rest::Nothing if seq > first => {
                let path = names::segment(dir, seq);
                if let Ok(file) = open(vfs, &path, Access::Read) {
                    let sealed = view.active.seal();
                    view.sealed.push(Arc::new(sealed));
                    view.active = Active::new(seq, &path, Arc::new(file));
                    return Ok(());
                }
                LineFault::Missing
            }
            Rest::Nothing | Rest::Torn => LineFault::Missing,
            Rest::Bad(fault) => fault,
        };
        Err(StoreError::Damaged { seq, detail: fault.to_string() })
    }
}

impl<V: Vfs> Clone for FileReader<V> {
    fn clone(&self) -> Self {
        let Self { shared, turn, foreign } = self;
        Self { shared: shared.clone(), turn: turn.clone(), foreign: foreign.clone() }
    }
}

impl<V: Vfs> fmt::Debug for FileReader<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileReader").field("dir", &self.shared.dir).finish_non_exhaustive()
    }
}

impl<V: Vfs> Store for FileReader<V> {
    fn durability(&self) -> Durability {
        Durability::LocalSync
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.refresh()
    }

    /// # Errors
    /// [`StoreError::ReadOnly`], always.
    async fn append(&self, _: Batch) -> Result<Head, AppendError> {
        Err(StoreError::ReadOnly.into())
    }

    async fn read(&self, from: u64, max: usize) -> Result<Vec<EntryBytes>, StoreError> {
        self.refresh()?;
        self.shared.read(from, max)
    }

    async fn find(&self, digest: StatementDigest) -> Result<Option<Found>, StoreError> {
        self.refresh()?;
        self.shared.find(&digest)
    }

    async fn checkpoint(&self) -> Result<Option<NoteBytes>, StoreError> {
        let known = Known::read(&self.shared.vfs, &self.shared.dir);
        let known = known.map_err(|error| StoreError::Unavailable(error.into()))?;
        Ok(known.checkpoint.map(|(_, note)| note))
    }

    /// # Errors
    /// [`StoreError::ReadOnly`], always.
    async fn put_checkpoint(&self, _: u64, _: NoteBytes) -> Result<(), StoreError> {
        Err(StoreError::ReadOnly)
    }

    async fn snapshots(&self, size: u64) -> Result<Option<SnapshotSet>, StoreError> {
        snapshots::newest(&self.shared, size).map_err(unavailable)
    }

    /// # Errors
    /// [`StoreError::ReadOnly`], always.
    async fn put_snapshots(&self, _: SnapshotSet) -> Result<(), StoreError> {
        Err(StoreError::ReadOnly)
    }
}

/// The first positions of the segments, sorted, and what does not belong beside them.
pub(super) fn list<V: Vfs>(vfs: &V, dir: &Path) -> Result<(Vec<u64>, Vec<PathBuf>), OpenError> {
    let place = dir.join(ENTRIES);
    let (mut segments, mut foreign) = (Vec::new(), Vec::new());
    for entry in uninterrupted(|| vfs.read_dir(&place)).map_err(at(&place))? {
        match EntryName::parse(&entry.name).filter(|_| entry.metadata.kind == FileKind::File) {
            Some(EntryName::Segment { first }) => segments.push(first),
            Some(EntryName::Torn { .. } | EntryName::Rewrite { .. } | EntryName::Unfinished) => {}
            None => foreign.push(place.join(entry.name)),
        }
    }
    Ok((segments, foreign))
}

fn damaged(segment: &Path, offset: u64, seq: u64, fault: LineFault) -> OpenError {
    OpenError::Damaged { segment: segment.to_owned(), offset, seq, fault }
}

/// What can not be written can not be lost either: not every such file system lets it be synced.
fn synced(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::ReadOnlyFilesystem) => {
            Ok(())
        }
        done => done,
    }
}
