//! The one that writes: entries behind the last, checkpoints in place of the last.

use std::io;
use std::sync::Arc;

use countersign_core::entry::{Entry, Head, leaf_hash};
use countersign_core::note::MAX_NOTE_LEN;

use super::evidence::HeadFile;
use super::index;
use super::io::{ReplaceError, append_all, open, read_exact, read_whole, replace, uninterrupted};
use super::names::{self, CHECKPOINT};
use super::options::Hooks;
use super::segment::{Active, unavailable};
use super::view::Shared;
use crate::vfs::{Access, FileKind, Vfs, VfsDir as _, VfsFile as _};
use crate::{AppendError, Batch, NoteBytes, StoreError, checkpoint_size};

/// Owns the lock, the directories and the end of the last segment.
#[derive(Debug)]
pub(super) struct Writer<V: Vfs> {
    pub(super) shared: Arc<Shared<V>>,
    pub(super) segment_size: u64,
    pub(super) hooks: Hooks,
    pub(super) root: V::Dir,
    pub(super) entries: V::Dir,
    /// The active segment.
    pub(super) file: Arc<V::File>,
    /// None after it could not be written; then it is started anew.
    pub(super) head_file: Option<HeadFile<V>>,
    /// Held until the writer is gone.
    pub(super) _lock: Arc<V::Lock>,
}

/// What the writer relies on at the end. A copy of what the view says, which only the writer changes.
struct End<V: Vfs> {
    head: Head,
    /// The position of the first entry of the active segment.
    first: u64,
    /// Where the last entry of it starts and ends; both 0 where it has none.
    last: (u64, u64),
    /// The segment before it, where it was begun for this very batch.
    left: Option<(Arc<V::File>, u64)>,
}

impl<V: Vfs> Writer<V> {
    /// As [`crate::Store::append`].
    pub(super) fn append(&mut self, batch: &Batch) -> Result<Head, AppendError> {
        let end = self.end()?;
        let missing = batch.missing_in(end.head, |seq| Ok(leaf_hash(&self.shared.entry(seq)?)))?;
        if missing.is_empty() {
            return Ok(batch.head());
        }
        if let Some(what) = self.disturbed(&end, &[end.head.size]).map_err(unavailable)? {
            return Err(self.poison_disturbed(end.head.size, what).into());
        }
        let size = missing.iter().map(|entry| entry.bytes().len() as u64 + 1).sum::<u64>();
        let end =
            if end.last.1 > 0 && end.last.1 + size > self.segment_size { self.roll(&end)? } else { end };
        let ends = self.write(&end, missing, size)?;
        self.publish(missing, &ends);
        Ok(batch.head())
    }

    fn end(&self) -> Result<End<V>, StoreError> {
        let view = self.shared.view();
        if view.poisoned {
            return Err(StoreError::Poisoned);
        }
        let active = &view.active;
        let last = active.ends.len().checked_sub(1).map_or(0, |index| active.start(index));
        Ok(End { head: view.head, first: active.first, last: (last, active.size()), left: None })
    }

    /// What another writer did, if there is one in spite of the lock. `successors` are where it may have begun a segment.
    ///
    /// Each of two looks at what the other changes before it writes, and again after it has: whoever acknowledges was first, and
    /// the other finds out.
    fn disturbed(&self, end: &End<V>, successors: &[u64]) -> io::Result<Option<Disturbance>> {
        let (start, size) = end.last;
        if uninterrupted(|| self.file.size())? != size {
            return Ok(Some(Disturbance::Length));
        }
        if let Some((file, size)) = &end.left
            && uninterrupted(|| file.size())? != *size
        {
            return Ok(Some(Disturbance::Left));
        }
        let path = names::segment(&self.shared.dir, end.first);
        let found = uninterrupted(|| self.shared.vfs.metadata(&path))?;
        if !found.is_some_and(|found| found.kind == FileKind::File && found.size == size) {
            return Ok(Some(Disturbance::Replaced));
        }
        for successor in successors.iter().filter(|successor| **successor != end.first) {
            let path = names::segment(&self.shared.dir, *successor);
            if uninterrupted(|| self.shared.vfs.metadata(&path))?.is_some() {
                return Ok(Some(Disturbance::Successor(*successor)));
            }
        }
        if size == 0 {
            return Ok(None);
        }
        let length = usize::try_from(size - start - 1).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let line = read_exact(&*self.file, start, length)?;
        Ok((leaf_hash(&line) != end.head.leaf).then_some(Disturbance::LastEntry))
    }

    /// Begins the next segment. The one before is synced: nothing is acknowledged, nor is anything shown, before that.
    fn roll(&mut self, end: &End<V>) -> Result<End<V>, StoreError> {
        let first = end.head.size;
        let path = names::segment(&self.shared.dir, first);
        let file = open(&self.shared.vfs, &path, Access::CreateNew).map_err(unavailable)?;
        if let Err(error) = file.sync().and_then(|()| self.entries.sync()) {
            // The name may be there or not; what is opened anew looks.
            return Err(self.poison(error));
        }
        let left = Some((std::mem::replace(&mut self.file, Arc::new(file)), end.last.1));
        let (sealed, records) = {
            let mut view = self.shared.view();
            let (sealed, records) = (Arc::new(view.active.seal()), view.active.records());
            view.sealed.push(sealed.clone());
            view.active = Active::new(first, &path, self.file.clone());
            (sealed, records)
        };
        // Where it can not be written, it is made when somebody looks for it.
        if let Some(mut records) = records {
            let _ = index::write(&self.shared.vfs, &self.shared.dir, &sealed, end.head.leaf, &mut records);
        }
        Ok(End { head: end.head, first, last: (0, 0), left })
    }

    /// Writes entries behind the end and syncs them; returns where each ends.
    fn write(&mut self, end: &End<V>, entries: &[Entry], size: u64) -> Result<Vec<u64>, AppendError> {
        let mut buffer = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        let mut ends = Vec::with_capacity(entries.len());
        for entry in entries {
            buffer.extend_from_slice(entry.bytes());
            buffer.push(b'\n');
            ends.push(end.last.1 + buffer.len() as u64);
        }
        if let Some(change) = self.hooks.before_write {
            change(&mut buffer);
        }
        if let Err(error) = append_all(&*self.file, &buffer) {
            return Err(self.cut_back(end.last.1, &buffer, StoreError::Unavailable(error.into())));
        }
        // F-14: what was judged and what was written are compared once more before anybody builds on it.
        if let Some(seq) = first_difference(&buffer, entries) {
            let detail = "the bytes changed in memory before they were written".to_owned();
            return Err(self.cut_back(end.last.1, &buffer, StoreError::Damaged { seq, detail }));
        }
        if let Err(error) = self.file.sync() {
            self.set_poisoned();
            return Err(AppendError::OutcomeUnknown(error.into()));
        }
        let start = entries.len().checked_sub(2).map_or(end.last.1, |before| ends[before]);
        let after = End {
            head: entries[entries.len() - 1].head(),
            first: end.first,
            last: (start, ends[ends.len() - 1]),
            left: end.left.clone(),
        };
        // Behind this batch first: whoever began a segment there has taken it for durable, and it stays.
        let cause = match self.disturbed(&after, &[after.head.size, end.head.size]) {
            Ok(None) => return Ok(ends),
            Ok(Some(what)) => {
                if matches!(what, Disturbance::Successor(seq) if seq == end.head.size) {
                    // Nobody goes on from here, and nothing but this batch is behind the end that the other goes on from.
                    let _ = self.file.truncate(end.last.1).and_then(|()| self.file.sync());
                }
                what.into()
            }
            Err(error) => error.into(),
        };
        self.set_poisoned();
        Err(AppendError::OutcomeUnknown(cause))
    }

    /// Takes back what a failed write of `written` left behind `start`, if that can be proved.
    fn cut_back(&mut self, start: u64, written: &[u8], cause: StoreError) -> AppendError {
        let cut = || -> io::Result<()> {
            let size = uninterrupted(|| self.file.size())?;
            let length =
                usize::try_from(size.saturating_sub(start)).map_err(|_| io::ErrorKind::FileTooLarge)?;
            // Nothing is cut but bytes of this batch, whatever another writer did meanwhile.
            if length > written.len() || !written.starts_with(&read_exact(&*self.file, start, length)?) {
                return Err(io::ErrorKind::ResourceBusy.into());
            }
            uninterrupted(|| self.file.truncate(start))?;
            self.file.sync()
        };
        match cut() {
            Ok(()) => AppendError::NotStored(cause),
            Err(_) => {
                self.set_poisoned();
                AppendError::OutcomeUnknown(cause.into())
            }
        }
    }

    fn publish(&mut self, entries: &[Entry], ends: &[u64]) {
        let head = entries[entries.len() - 1].head();
        let Shared { vfs, dir, .. } = &*self.shared;
        // Failing is no harm: other processes see these entries later.
        let told = match self.head_file.as_mut() {
            Some(file) => file.push(vfs, dir, head),
            None => HeadFile::start(vfs, dir, head).map(|file| self.head_file = Some(file)),
        };
        if told.is_err() {
            self.head_file = None;
        }
        {
            let mut view = self.shared.view();
            for (entry, end) in entries.iter().zip(ends) {
                view.active.push(entry, *end);
            }
            view.head = head;
        }
        // Outside the lock: a waker may run its task at once.
        self.shared.growth.reached(head.size);
    }

    /// As [`crate::Store::put_checkpoint`].
    pub(super) fn put_checkpoint(&mut self, size: u64, note: NoteBytes) -> Result<(), StoreError> {
        let (head, kept) = {
            let view = self.shared.view();
            if view.poisoned {
                return Err(StoreError::Poisoned);
            }
            (view.head, view.checkpoint.clone())
        };
        if checkpoint_size(&note) != Some(size) || size > head.size {
            return Err(StoreError::Checkpoint { size, entries: head.size });
        }
        if kept.as_ref().is_some_and(|(before, _)| *before > size) {
            return Ok(());
        }
        let path = self.shared.dir.join(CHECKPOINT);
        let there = read_whole(&self.shared.vfs, &path, MAX_NOTE_LEN as u64).map_err(unavailable)?;
        if there.as_deref() != kept.as_ref().map(|(_, note)| &note[..]) {
            return Err(self.poison_disturbed(head.size, Disturbance::Checkpoint));
        }
        match replace(&self.shared.vfs, &self.root, &path, |file| append_all(file, &note)) {
            Ok(()) => {}
            Err(ReplaceError::Unchanged(error)) => return Err(unavailable(error)),
            Err(ReplaceError::Unknown(error)) => return Err(self.poison(error)),
        }
        self.shared.view().checkpoint = Some((size, note));
        Ok(())
    }

    fn set_poisoned(&self) {
        self.shared.view().poisoned = true;
    }

    fn poison(&self, error: io::Error) -> StoreError {
        self.set_poisoned();
        unavailable(error)
    }

    fn poison_disturbed(&self, seq: u64, what: Disturbance) -> StoreError {
        self.set_poisoned();
        StoreError::Damaged { seq, detail: what.to_string() }
    }
}

/// The position of the first entry whose bytes in the buffer are not those that its leaf hash is of.
fn first_difference(buffer: &[u8], entries: &[Entry]) -> Option<u64> {
    let mut rest = buffer;
    entries.iter().find_map(|entry| {
        let (line, behind) = rest.split_at_checked(entry.bytes().len() + 1).unwrap_or((&[], &[]));
        rest = behind;
        let same = line.strip_suffix(b"\n").is_some_and(|bytes| leaf_hash(bytes) == entry.leaf());
        (!same).then_some(entry.seq())
    })
}

/// There is another writer in spite of the lock.
#[derive(Debug, thiserror::Error)]
enum Disturbance {
    #[error("another writer wrote into the last segment")]
    Length,
    #[error("another writer wrote into the segment that was left")]
    Left,
    #[error("another file is in the place of the last segment")]
    Replaced,
    #[error("another writer began the next segment")]
    Successor(u64),
    #[error("another writer changed the last entry")]
    LastEntry,
    #[error("another writer replaced the checkpoint")]
    Checkpoint,
}
