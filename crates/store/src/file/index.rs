//! Finding entries of sealed segments by digest, without memory for each: a derived file a segment.
//!
//! `index/<first seq, 20 digits>.index` starts with the line `countersign-index/v1 FIRST ENTRIES SIZE LEAF RECORDS`, which binds it to
//! the segment: its first position, how many entries it has, its length in bytes, the leaf hash of its last entry. RECORDS records
//! follow, sorted, big-endian: the first 8 bytes of the digest, the entry's index in the segment in 4, where its line starts in 8;
//! at last SHA-256 over all that is before. It is never synced and nobody trusts it: what is bound to something else or does not hash
//! is made anew, and a hit is an entry only once the segment says so.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use countersign_core::digest::{HASH_LEN, LeafHash, StatementDigest, sha256};
use countersign_core::entry::{Entry, Head, leaf_hash};

use super::io::{append_all, ensure_dir, open, read_exact, read_whole, remove_if_there};
use super::lines::{LineFault, Lines, Next, last_line, link};
use super::names::{INDEX, unfinished};
use super::segment::{Sealed, unavailable};
use crate::sync::Mutex;
use crate::vfs::{Access, Vfs};
use crate::{Found, StoreError};

const MAGIC: &str = "countersign-index/v1";
const RECORD_LEN: usize = 8 + 4 + 8;

/// Where the records of an index are that start with each byte.
#[derive(Debug, Clone)]
pub(super) struct Fanout {
    /// Where the first record is in the file.
    start: u64,
    /// How many records are before those that start with a byte; and how many there are.
    // INVARIANT: 257 numbers that do not fall.
    before: Arc<[u32]>,
}

/// One record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Record {
    prefix: u64,
    index: u32,
    offset: u64,
}

impl Record {
    /// Of the entry at `index` of its segment, whose line starts at `offset`.
    pub(super) fn new(digest: &StatementDigest, index: u32, offset: u64) -> Self {
        Self { prefix: prefix(digest), index, offset }
    }

    fn to_bytes(self) -> [u8; RECORD_LEN] {
        let mut bytes = [0; RECORD_LEN];
        bytes[..8].copy_from_slice(&self.prefix.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.index.to_be_bytes());
        bytes[12..].copy_from_slice(&self.offset.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (prefix, rest) = bytes.split_first_chunk()?;
        let (index, rest) = rest.split_first_chunk()?;
        let offset = rest.try_into().ok()?;
        Some(Self {
            prefix: u64::from_be_bytes(*prefix),
            index: u32::from_be_bytes(*index),
            offset: u64::from_be_bytes(offset),
        })
    }
}

/// The indexes of a directory.
#[derive(Debug)]
pub(super) struct Indexes {
    /// Held by who makes one; none where nothing may be written.
    writing: Option<Mutex<()>>,
}

impl Indexes {
    pub(super) fn new(writes: bool) -> Self {
        Self { writing: writes.then(Mutex::default) }
    }

    /// The first entry of the segment whose statement has this digest.
    pub(super) fn find<V: Vfs>(
        &self,
        vfs: &V,
        dir: &Path,
        segment: &Sealed,
        digest: &StatementDigest,
    ) -> Result<Option<Found>, StoreError> {
        if let Some(fanout) = segment.fanout.get()
            && let Ok(records) = read_records(vfs, dir, segment, fanout, digest)
        {
            return confirm(vfs, segment, digest, &records);
        }
        if let Ok(fanout) = load(vfs, dir, segment)
            && let Ok(records) = read_records(vfs, dir, segment, &fanout, digest)
        {
            let _ = segment.fanout.set(fanout);
            return confirm(vfs, segment, digest, &records);
        }
        let (mut records, leaf) = scan(vfs, segment)?;
        if let Some(writing) = &self.writing {
            let _turn = writing.lock().unwrap_or_else(PoisonError::into_inner);
            // Where it can not be written, the next one who asks looks through the segment again.
            let _ = write(vfs, dir, segment, leaf, &mut records);
        }
        records.retain(|record| record.prefix == prefix(digest));
        records.sort_unstable();
        confirm(vfs, segment, digest, &records)
    }
}

/// Makes the index of a segment. `records` are in any order.
pub(super) fn write<V: Vfs>(
    vfs: &V,
    dir: &Path,
    segment: &Sealed,
    leaf: LeafHash,
    records: &mut [Record],
) -> io::Result<()> {
    records.sort_unstable();
    let mut bytes = header(segment, leaf, records.len() as u64).into_bytes();
    bytes.reserve(records.len() * RECORD_LEN + HASH_LEN);
    for record in records {
        bytes.extend_from_slice(&record.to_bytes());
    }
    let hash = sha256(&[&bytes]);
    bytes.extend_from_slice(&hash);
    let place = dir.join(INDEX);
    ensure_dir(vfs, &place)?;
    let path = path(dir, segment.first);
    let temporary = unfinished(&path);
    remove_if_there(vfs, &temporary)?;
    append_all(&open(vfs, &temporary, Access::CreateNew)?, &bytes)?;
    vfs.rename(&temporary, &path)
}

/// Whether a name belongs in `index`.
pub(super) fn is_name(name: &str) -> bool {
    let name = name.strip_suffix(super::names::UNFINISHED).unwrap_or(name);
    name.strip_suffix(".index").and_then(super::names::digits).is_some()
}

fn path(dir: &Path, first: u64) -> PathBuf {
    dir.join(INDEX).join(format!("{first:020}.index"))
}

fn prefix(digest: &StatementDigest) -> u64 {
    let (start, _) = digest.as_bytes().split_first_chunk().expect("a digest has 32 bytes");
    u64::from_be_bytes(*start)
}

fn header(segment: &Sealed, leaf: LeafHash, records: u64) -> String {
    let entries = segment.next - segment.first;
    format!("{MAGIC} {} {entries} {} {leaf} {records}\n", segment.first, segment.size)
}

/// Reads an index whole, and checks that it is of this segment and as it was written.
fn load<V: Vfs>(vfs: &V, dir: &Path, segment: &Sealed) -> io::Result<Fanout> {
    let invalid = || io::Error::from(ErrorKind::InvalidData);
    let entries = segment.next - segment.first;
    // Longer than a header with all its numbers.
    let most = entries.saturating_mul(RECORD_LEN as u64).saturating_add(512);
    let bytes = read_whole(vfs, &path(dir, segment.first), most)?.ok_or(ErrorKind::NotFound)?;
    let file = open(vfs, &segment.path, Access::Read)?;
    let (_, line) = last_line(&file, segment.size)?.ok_or_else(invalid)?;
    let start = memchr::memchr(b'\n', &bytes).ok_or_else(invalid)? + 1;
    let (content, hash) = bytes.split_last_chunk::<HASH_LEN>().ok_or_else(invalid)?;
    let records = content.get(start..).ok_or_else(invalid)?;
    let count = records.len() / RECORD_LEN;
    let bound = bytes[..start] == *header(segment, leaf_hash(&line), count as u64).as_bytes();
    if !bound || records.len() % RECORD_LEN != 0 || sha256(&[content]) != *hash {
        return Err(invalid());
    }
    let mut before = Vec::with_capacity(257);
    for byte in 0..=256_u16 {
        let smaller = |record: &[u8]| u16::from(record[0]) < byte;
        let (chunks, _) = records.as_chunks::<RECORD_LEN>();
        let place = chunks.partition_point(|record| smaller(record));
        before.push(u32::try_from(place).map_err(|_| invalid())?);
    }
    Ok(Fanout { start: start as u64, before: before.into() })
}

/// The records that a digest may be in.
fn read_records<V: Vfs>(
    vfs: &V,
    dir: &Path,
    segment: &Sealed,
    fanout: &Fanout,
    digest: &StatementDigest,
) -> io::Result<Vec<Record>> {
    let byte = usize::from(digest.as_bytes()[0]);
    let (from, to) = (fanout.before[byte], fanout.before[byte + 1]);
    if from == to {
        return Ok(Vec::new());
    }
    let file = open(vfs, &path(dir, segment.first), Access::Read)?;
    let offset = fanout.start + u64::from(from) * RECORD_LEN as u64;
    let bytes = read_exact(&file, offset, (to - from) as usize * RECORD_LEN)?;
    let records = bytes.chunks(RECORD_LEN).filter_map(Record::from_bytes);
    Ok(records.filter(|record| record.prefix == prefix(digest)).collect())
}

/// The first of these records that the segment itself agrees with.
fn confirm<V: Vfs>(
    vfs: &V,
    segment: &Sealed,
    digest: &StatementDigest,
    records: &[Record],
) -> Result<Option<Found>, StoreError> {
    if records.is_empty() {
        return Ok(None);
    }
    let file = open(vfs, &segment.path, Access::Read).map_err(unavailable)?;
    for record in records {
        let seq = segment.first + u64::from(record.index);
        let mut lines = Lines::new(&file, record.offset.min(segment.size), segment.size);
        if let Next::Line(line) = lines.next().map_err(unavailable)?
            && let Ok(entry) = Entry::parse(line)
            && entry.seq() == seq
            && entry.signed().digest() == *digest
        {
            return Ok(Some(Found { seq, bytes: entry.bytes().clone() }));
        }
    }
    Ok(None)
}

/// Reads a segment strictly; returns a record for each statement, of the first entry that has it, and the last leaf hash.
fn scan<V: Vfs>(vfs: &V, segment: &Sealed) -> Result<(Vec<Record>, LeafHash), StoreError> {
    let file = open(vfs, &segment.path, Access::Read).map_err(unavailable)?;
    let mut lines = Lines::new(&file, 0, segment.size);
    let mut records = Vec::new();
    let mut head: Option<Head> = None;
    for seq in segment.first..segment.next {
        let damaged = |fault: LineFault| StoreError::Damaged { seq, detail: fault.to_string() };
        let offset = lines.offset();
        let Next::Line(line) = lines.next().map_err(unavailable)? else {
            return Err(damaged(LineFault::Missing));
        };
        let entry = match head {
            Some(head) => link(line, head),
            // What is before it was held against it when the directory was opened.
            None => Entry::parse(line)
                .map_err(LineFault::NoEntry)
                .and_then(|entry| if entry.seq() == seq { Ok(entry) } else { Err(LineFault::Unlinked) }),
        };
        let entry = entry.map_err(damaged)?;
        head = Some(entry.head());
        if let Ok(index) = u32::try_from(seq - segment.first) {
            records.push((entry.signed().digest(), index, offset));
        }
    }
    // An entry behind those that its successor's name leaves it would be looked for in vain.
    if lines.offset() != segment.size {
        let detail =
            format!("`{}` has more lines than {}", segment.path.display(), segment.next - segment.first);
        return Err(StoreError::Damaged { seq: segment.next, detail });
    }
    records.sort_unstable();
    records.dedup_by_key(|(digest, ..)| *digest);
    let records =
        records.iter().map(|(digest, index, offset)| Record::new(digest, *index, *offset)).collect();
    Ok((records, head.unwrap_or(Head::EMPTY).leaf))
}
