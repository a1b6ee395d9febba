//! Segments: the sealed ones, which never change again, and the active one at the end.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use countersign_core::digest::StatementDigest;
use countersign_core::entry::Entry;

use super::index::{Fanout, Record};
use super::io::{open, read_exact, read_up_to};
use super::lines::{Lines, Next};
use crate::vfs::{Access, Vfs};
use crate::{EntryBytes, StoreError};

/// Of every so many entries of a sealed segment one position is remembered.
const SPARSENESS: u64 = 64;
const CHUNK_LEN: usize = 256 << 10;

/// A segment that is full: at least one entry, and never written again.
#[derive(Debug)]
pub(super) struct Sealed {
    /// The position of its first entry.
    pub(super) first: u64,
    /// The position after its last entry.
    pub(super) next: u64,
    pub(super) path: PathBuf,
    /// Its length in bytes.
    pub(super) size: u64,
    /// Where entries `first`, `first` + [`SPARSENESS`], ... start. Made when somebody first reads the segment.
    positions: OnceLock<Arc<[u64]>>,
    /// Of its index, once that was looked at.
    pub(super) fanout: OnceLock<Fanout>,
}

impl Sealed {
    pub(super) fn new(first: u64, next: u64, path: PathBuf, size: u64) -> Self {
        Self { first, next, path, size, positions: OnceLock::new(), fanout: OnceLock::new() }
    }

    /// The entries from `from` on that this segment has: at most `max`, at least one, no more bytes than `max_size` unless the first
    /// alone has more. `from` is one of its positions, and `max` is not 0.
    pub(super) fn read<V: Vfs>(
        &self,
        vfs: &V,
        from: u64,
        max: usize,
        max_size: usize,
    ) -> Result<Vec<EntryBytes>, StoreError> {
        let file = open(vfs, &self.path, Access::Read).map_err(unavailable)?;
        let positions = match self.positions.get() {
            Some(positions) => positions.clone(),
            None => {
                let found = self.find_positions(&file)?;
                self.positions.get_or_init(|| found).clone()
            }
        };
        let index = from - self.first;
        let damaged =
            |seq| StoreError::Damaged { seq, detail: format!("no such line in `{}`", self.path.display()) };
        let start = usize::try_from(index / SPARSENESS).ok().and_then(|slot| positions.get(slot));
        let mut lines = Lines::new(&file, *start.ok_or_else(|| damaged(from))?, self.size);
        let mut seq = from - index % SPARSENESS;
        let (mut read, mut size) = (Vec::new(), 0);
        while seq < self.next && read.len() < max {
            let Next::Line(line) = lines.next().map_err(unavailable)? else { return Err(damaged(seq)) };
            if seq >= from {
                size += line.len();
                if size > max_size && !read.is_empty() {
                    break;
                }
                read.push(line.into());
            }
            seq += 1;
        }
        Ok(read)
    }

    /// One pass over the bytes, which also shows whether the segment has as many lines as its successor's name says.
    fn find_positions(&self, file: &impl crate::vfs::VfsFile) -> Result<Arc<[u64]>, StoreError> {
        let mut buffer = vec![0; CHUNK_LEN];
        let (mut positions, mut count, mut at) = (vec![0], 0, 0);
        loop {
            let read = read_up_to(file, at, &mut buffer).map_err(unavailable)?;
            if read == 0 {
                break;
            }
            for end in memchr::memchr_iter(b'\n', &buffer[..read]) {
                count += 1;
                if count % SPARSENESS == 0 {
                    positions.push(at + end as u64 + 1);
                }
            }
            at += read as u64;
        }
        if count != self.next - self.first || at != self.size {
            let detail = format!(
                "`{}` has {count} lines in {at} bytes instead of {} in {}",
                self.path.display(),
                self.next - self.first,
                self.size
            );
            return Err(StoreError::Damaged { seq: self.first + count.min(self.next - self.first), detail });
        }
        Ok(positions.into())
    }
}

/// What is durable of the segment at the end, with a position and a digest for each entry.
#[derive(Debug)]
pub(super) struct Active<V: Vfs> {
    /// The position of its first entry.
    pub(super) first: u64,
    pub(super) path: PathBuf,
    pub(super) file: Arc<V::File>,
    /// Where each entry ends, its line feed included.
    pub(super) ends: Vec<u64>,
    /// Which of the entries came first with a statement, those aside that are not read yet.
    places: HashMap<StatementDigest, u32>,
    /// How many entries at the start are only known by their hashes: nobody has looked for one by digest yet.
    unread: usize,
}

impl<V: Vfs> Active<V> {
    pub(super) fn new(first: u64, path: &Path, file: Arc<V::File>) -> Self {
        let (ends, places, unread) = (Vec::new(), HashMap::new(), 0);
        Self { first, path: path.to_owned(), file, ends, places, unread }
    }

    /// As [`Self::new`], with entries that end at these places, which only their hashes are known of.
    pub(super) fn chained(first: u64, path: &Path, file: Arc<V::File>, ends: Vec<u64>) -> Self {
        Self { unread: ends.len(), ends, ..Self::new(first, path, file) }
    }

    /// The digests of the entries that are not read yet, for [`Self::learn`]; none where all are.
    pub(super) fn unread(&self) -> Option<Unread<V>> {
        let last = self.unread.checked_sub(1)?;
        Some(Unread { first: self.first, file: self.file.clone(), count: self.unread, end: self.ends[last] })
    }

    /// Takes in what was read of the segment that starts at `first`.
    pub(super) fn learn(&mut self, first: u64, digests: &[StatementDigest]) {
        if self.first != first || self.unread != digests.len() {
            return;
        }
        // From the last to the first, and all of them are before what came since.
        for (place, digest) in digests.iter().enumerate().rev() {
            if let Ok(place) = u32::try_from(place) {
                self.places.insert(*digest, place);
            }
        }
        self.unread = 0;
    }

    pub(super) fn push(&mut self, entry: &Entry, end: u64) {
        // A segment with more entries than this would have more than two terabytes.
        if let Ok(place) = u32::try_from(self.ends.len()) {
            self.places.entry(entry.signed().digest()).or_insert(place);
        }
        self.ends.push(end);
    }

    /// Its length in bytes.
    pub(super) fn size(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Where the entry at `index` starts.
    pub(super) fn start(&self, index: usize) -> u64 {
        index.checked_sub(1).map_or(0, |before| self.ends[before])
    }

    pub(super) fn place(&self, digest: &StatementDigest) -> Option<u64> {
        self.places.get(digest).map(|place| self.first + u64::from(*place))
    }

    /// What is to be read for a call of [`crate::Store::read`]; `index` is that of an entry.
    pub(super) fn plan(&self, index: usize, max: usize, max_size: usize) -> Plan<V> {
        let start = self.start(index);
        let fits = |end: &&u64| usize::try_from(**end - start).is_ok_and(|size| size <= max_size);
        let count = self.ends[index..].iter().take(max).take_while(fits).count().max(1);
        Plan { file: self.file.clone(), start, ends: self.ends[index..index + count].to_vec() }
    }

    /// What its index says once it is sealed; none where not all of it is read.
    pub(super) fn records(&self) -> Option<Vec<Record>> {
        let record = |(digest, place): (&StatementDigest, &u32)| {
            Record::new(digest, *place, self.start(usize::try_from(*place).unwrap_or(0)))
        };
        (self.unread == 0).then(|| self.places.iter().map(record).collect())
    }

    /// The same as a sealed segment.
    pub(super) fn seal(&self) -> Sealed {
        let next = self.first + self.ends.len() as u64;
        let sealed = Sealed::new(self.first, next, self.path.clone(), self.size());
        let step = usize::try_from(SPARSENESS).unwrap_or(usize::MAX);
        let positions = (0..self.ends.len()).step_by(step).map(|index| self.start(index)).collect();
        sealed.positions.get_or_init(|| positions);
        sealed
    }
}

/// The entries of the active segment that are only known by their hashes.
#[derive(Debug)]
pub(super) struct Unread<V: Vfs> {
    pub(super) first: u64,
    file: Arc<V::File>,
    count: usize,
    end: u64,
}

impl<V: Vfs> Unread<V> {
    /// The digests of their statements, in order.
    pub(super) fn read(&self) -> Result<Vec<StatementDigest>, StoreError> {
        let mut lines = Lines::new(&*self.file, 0, self.end);
        let mut digests = Vec::with_capacity(self.count);
        for seq in (self.first..).take(self.count) {
            let damaged = |detail: String| StoreError::Damaged { seq, detail };
            let Next::Line(line) = lines.next().map_err(unavailable)? else {
                return Err(damaged("the line is not there".to_owned()));
            };
            let entry = Entry::parse(line).map_err(|fault| damaged(fault.to_string()))?;
            digests.push(entry.signed().digest());
        }
        Ok(digests)
    }
}

/// Lines of the active segment whose places are known: they can be read without holding up the writer.
#[derive(Debug)]
pub(super) struct Plan<V: Vfs> {
    file: Arc<V::File>,
    start: u64,
    ends: Vec<u64>,
}

impl<V: Vfs> Plan<V> {
    pub(super) fn read(&self) -> io::Result<Vec<EntryBytes>> {
        let end = self.ends.last().copied().unwrap_or(self.start);
        let length = usize::try_from(end - self.start).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let bytes = read_exact(&*self.file, self.start, length)?;
        let mut at = 0;
        let line = |end: &u64| {
            let start = std::mem::replace(&mut at, usize::try_from(end - self.start).unwrap_or(length));
            bytes[start..at - 1].into()
        };
        Ok(self.ends.iter().map(line).collect())
    }
}

pub(super) fn unavailable(error: io::Error) -> StoreError {
    StoreError::Unavailable(error.into())
}
