//! The lines of a segment, read through a buffer and, where asked, strictly.

use std::io;

use countersign_core::digest::{HASH_LEN, LeafHash};
use countersign_core::entry::{Entry, Head, MAX_ENTRY_LEN, leaf_hash};
use countersign_core::fault::Fault;
use memchr::memchr;

use super::io::{read_exact, read_up_to};
use crate::vfs::VfsFile;

/// How much is read at first, where it may be for one line only, and at most.
const FIRST_LEN: usize = 8 << 10;
const BUFFER_LEN: usize = 256 << 10;

/// Why a line can not be the entry that belongs there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineFault {
    /// It is no entry.
    #[error("the line is no entry: {0}")]
    NoEntry(Fault),
    /// It is an entry that does not follow the one before, by position or by leaf hash.
    #[error("the entry does not follow the one before")]
    Unlinked,
    /// It is longer than an entry may be.
    #[error("the line is longer than {MAX_ENTRY_LEN} bytes")]
    TooLong,
    /// There is no line.
    #[error("the line is not there")]
    Missing,
}

/// What stands behind the last good line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rest {
    Nothing,
    /// Bytes without a line feed.
    Torn,
    /// A whole line that is wrong.
    Bad(LineFault),
}

/// How far a segment is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scanned {
    pub(super) head: Head,
    /// Where the good lines end.
    pub(super) end: u64,
    pub(super) rest: Rest,
}

/// Reads the lines between two offsets strictly, as entries behind `head`, until there are `most` entries in all; `found` gets
/// each with the offset of its end.
pub(super) fn scan(
    file: &impl VfsFile,
    start: u64,
    end: u64,
    mut head: Head,
    most: u64,
    mut found: impl FnMut(&Entry, u64),
) -> io::Result<Scanned> {
    let mut lines = Lines::new(file, start, end);
    loop {
        let at = lines.offset();
        if head.size >= most {
            return Ok(Scanned { head, end: at, rest: Rest::Nothing });
        }
        let rest = match lines.next()? {
            Next::End => Rest::Nothing,
            Next::Unfinished => Rest::Torn,
            Next::TooLong if has_line_feed(file, at, end)? => Rest::Bad(LineFault::TooLong),
            Next::TooLong => Rest::Torn,
            Next::Line(line) => match link(line, head) {
                Ok(entry) => {
                    head = entry.head();
                    found(&entry, lines.offset());
                    continue;
                }
                Err(fault) => Rest::Bad(fault),
            },
        };
        return Ok(Scanned { head, end: at, rest });
    }
}

/// Where the lines from the start of a file on end that lead from `head` to `known`, by their hashes alone; none where they do not.
///
/// Each line names the hash of the one before as its first member, so that the last leaf hash stands for every byte of them: what
/// was known to be good once need not be read strictly again. Whatever else is found is for [`scan`] to name.
pub(super) fn chained(
    file: &impl VfsFile,
    end: u64,
    head: Head,
    known: Head,
) -> io::Result<Option<Vec<u64>>> {
    const PREV: &[u8] = b"{\"prev\":\"";
    let mut lines = Lines::new(file, 0, end);
    let (mut ends, mut leaf) = (Vec::new(), head.leaf);
    for seq in head.size..known.size {
        let Next::Line(line) = lines.next()? else { return Ok(None) };
        let prev = line.strip_prefix(PREV).and_then(|rest| rest.get(..2 * HASH_LEN));
        let prev = prev.and_then(|hex| std::str::from_utf8(hex).ok()?.parse::<LeafHash>().ok());
        if prev != Some(leaf) || (seq + 1 == known.size && link(line, Head { size: seq, leaf }).is_err()) {
            return Ok(None);
        }
        leaf = leaf_hash(line);
        ends.push(lines.offset());
    }
    Ok((leaf == known.leaf).then_some(ends))
}

/// The entry that a line is, if it goes behind `head`.
pub(super) fn link(line: &[u8], head: Head) -> Result<Entry, LineFault> {
    let entry = Entry::parse(line).map_err(LineFault::NoEntry)?;
    if (Head { size: entry.seq(), leaf: entry.prev() }) == head {
        Ok(entry)
    } else {
        Err(LineFault::Unlinked)
    }
}

/// What comes next.
#[derive(Debug)]
pub(super) enum Next<'l> {
    /// A line, without its line feed.
    Line(&'l [u8]),
    /// Nothing.
    End,
    /// Bytes that no line feed follows.
    Unfinished,
    /// More bytes than a line may have.
    TooLong,
}

/// Lines one by one, in memory that does not grow with them.
#[derive(Debug)]
pub(super) struct Lines<'f, F> {
    file: &'f F,
    /// Where the buffer ends in the file.
    read: u64,
    /// Where reading stops.
    end: u64,
    buffer: Vec<u8>,
    /// Where the next line starts in the buffer.
    position: usize,
    /// How much is read next.
    ahead: usize,
}

impl<'f, F: VfsFile> Lines<'f, F> {
    pub(super) fn new(file: &'f F, start: u64, end: u64) -> Self {
        Self { file, read: start, end, buffer: Vec::new(), position: 0, ahead: FIRST_LEN }
    }

    /// Where the next line starts.
    pub(super) fn offset(&self) -> u64 {
        self.read - (self.buffer.len() - self.position) as u64
    }

    pub(super) fn next(&mut self) -> io::Result<Next<'_>> {
        loop {
            let rest = &self.buffer[self.position..];
            // Not one byte more is looked at, so that a line of the longest length and a longer one are told apart.
            let looked_at = &rest[..rest.len().min(MAX_ENTRY_LEN + 1)];
            if let Some(length) = memchr(b'\n', looked_at) {
                let start = self.position;
                self.position += length + 1;
                return Ok(Next::Line(&self.buffer[start..start + length]));
            }
            if looked_at.len() > MAX_ENTRY_LEN {
                return Ok(Next::TooLong);
            }
            if self.read >= self.end {
                return Ok(if rest.is_empty() { Next::End } else { Next::Unfinished });
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.position);
        self.position = 0;
        let held = self.buffer.len();
        let length = usize::try_from(self.end - self.read).map_or(self.ahead, |rest| rest.min(self.ahead));
        self.ahead = (2 * self.ahead).min(BUFFER_LEN);
        self.buffer.resize(held + length, 0);
        let read = read_up_to(self.file, self.read, &mut self.buffer[held..])?;
        self.buffer.truncate(held + read);
        self.read += read as u64;
        if read < length {
            // The file is shorter than it was said to be.
            self.end = self.read;
        }
        Ok(())
    }
}

/// The last line before `end`, which a line feed must end, and where it starts; none if there is no such line.
pub(super) fn last_line(file: &impl VfsFile, end: u64) -> io::Result<Option<(u64, Vec<u8>)>> {
    // Most entries are far shorter than the longest.
    for most in [4 << 10, MAX_ENTRY_LEN + 2] {
        let length = usize::try_from(end).map_or(most, |end| end.min(most));
        let mut bytes = read_exact(file, end - length as u64, length)?;
        if bytes.pop() != Some(b'\n') {
            return Ok(None);
        }
        let line = match memchr::memrchr(b'\n', &bytes) {
            Some(before) => bytes.split_off(before + 1),
            None if length as u64 == end => bytes,
            None => continue,
        };
        return Ok(Some((end - 1 - line.len() as u64, line)));
    }
    Ok(None)
}

fn has_line_feed(file: &impl VfsFile, start: u64, end: u64) -> io::Result<bool> {
    let mut at = start;
    while at < end {
        let length = usize::try_from(end - at).map_or(BUFFER_LEN, |rest| rest.min(BUFFER_LEN));
        let bytes = read_exact(file, at, length)?;
        if memchr(b'\n', &bytes).is_some() {
            return Ok(true);
        }
        at += length as u64;
    }
    Ok(false)
}
