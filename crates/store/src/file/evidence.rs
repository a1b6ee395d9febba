//! What is known to be durable before a segment is read: the kept checkpoint, and the last word of the last writer.
//!
//! A writer appends a line to `head` after each sync of a segment. The file itself is never synced: a loss of power may take
//! lines away or leave rubbish behind them, and what remains was true. While the machine runs, it says of which bytes in
//! the page cache a sync has succeeded. This can not be asked again: after a sync that failed, another may succeed without
//! having saved anything (F-03), so what lies beyond is written again before anybody is shown it.

use std::fmt;
use std::io;
use std::path::Path;

use countersign_core::digest::LeafHash;
use countersign_core::entry::Head;
use countersign_core::note::MAX_NOTE_LEN;

use super::error::{OpenError, at};
use super::io::{append_all, open, open_if_there, read_exact, read_whole, remove_if_there, uninterrupted};
use super::names::{self, CHECKPOINT, HEAD};
use crate::vfs::{Access, Vfs, VfsFile as _};
use crate::{NoteBytes, checkpoint_size};

/// Longest `head` before it is started anew.
const MAX_HEAD_LEN: u64 = 64 << 10;
/// Longest line of it, with its line feed: 20 digits, a space, 64 hexadecimal digits.
const MAX_HEAD_LINE_LEN: usize = 20 + 1 + 64 + 1;
/// How much of its end is read: what a loss of power left behind the last good line may be a sector or more of rubbish.
const MAX_HEAD_TAIL_LEN: u64 = 8 << 10;

/// Who says that so many entries are durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// The kept checkpoint.
    Checkpoint,
    /// The last writer, in the file `head`.
    Head,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Checkpoint => "the kept checkpoint",
            Self::Head => "the last writer",
        })
    }
}

/// The two witnesses as they were found.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    pub(super) checkpoint: Option<(u64, NoteBytes)>,
    pub(super) head: Option<Head>,
}

impl Known {
    /// # Errors
    /// [`OpenError::Checkpoint`], [`OpenError::Io`].
    pub(super) fn read<V: Vfs>(vfs: &V, dir: &Path) -> Result<Self, OpenError> {
        Ok(Self { checkpoint: read_checkpoint(vfs, dir)?, head: read_head(vfs, dir)? })
    }

    /// How many entries are durable at least, and who says so.
    pub(super) fn floor(&self) -> Option<(u64, Evidence)> {
        let checkpoint = self.checkpoint.as_ref().map(|(size, _)| (*size, Evidence::Checkpoint));
        let head = self.head.map(|head| (head.size, Evidence::Head));
        [checkpoint, head].into_iter().flatten().max_by_key(|(size, _)| *size)
    }

    pub(super) fn size(&self) -> u64 {
        self.floor().map_or(0, |(size, _)| size)
    }
}

/// The kept note and the size that it is over.
pub(super) fn read_checkpoint<V: Vfs>(vfs: &V, dir: &Path) -> Result<Option<(u64, NoteBytes)>, OpenError> {
    let path = dir.join(CHECKPOINT);
    let Some(note) = read_whole(vfs, &path, MAX_NOTE_LEN as u64).map_err(at(&path))? else {
        return Ok(None);
    };
    let size = checkpoint_size(&note).ok_or(OpenError::Checkpoint { path })?;
    Ok(Some((size, note.into())))
}

/// The last good line of `head`; none where there is no such line.
pub(super) fn read_head<V: Vfs>(vfs: &V, dir: &Path) -> Result<Option<Head>, OpenError> {
    let path = dir.join(HEAD);
    let tail = || -> io::Result<Option<Vec<u8>>> {
        let Some(file) = open_if_there(vfs, &path, Access::Read)? else { return Ok(None) };
        let size = uninterrupted(|| file.size())?;
        let length = size.min(MAX_HEAD_TAIL_LEN);
        let mut tail = read_exact(&file, size - length, usize::try_from(length).unwrap_or(0))?;
        if length < size {
            // It starts within a line.
            tail.drain(..memchr::memchr(b'\n', &tail).map_or(tail.len(), |end| end + 1));
        }
        Ok(Some(tail))
    };
    let Some(tail) = tail().map_err(at(&path))? else { return Ok(None) };
    let whole = &tail[..memchr::memrchr(b'\n', &tail).unwrap_or(0)];
    Ok(whole.rsplit(|byte| *byte == b'\n').find_map(parse_head))
}

fn parse_head(line: &[u8]) -> Option<Head> {
    let (size, leaf) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    Some(Head { size: names::decimal(size)?, leaf: leaf.parse::<LeafHash>().ok()? })
}

/// The open `head` of a writer.
#[derive(Debug)]
pub(super) struct HeadFile<V: Vfs> {
    file: V::File,
    length: u64,
}

impl<V: Vfs> HeadFile<V> {
    /// Starts `head` anew with one line.
    pub(super) fn start(vfs: &V, dir: &Path, head: Head) -> io::Result<Self> {
        let path = dir.join(HEAD);
        let temporary = names::unfinished(&path);
        remove_if_there(vfs, &temporary)?;
        let file = open(vfs, &temporary, Access::CreateNew)?;
        let line = format_head(head);
        append_all(&file, &line)?;
        // In this order, so that other processes never see it without a line. Nothing here is synced: see above.
        vfs.rename(&temporary, &path)?;
        Ok(Self { file, length: line.len() as u64 })
    }

    /// Adds a line. Where somebody took the file away, it is put there again: without it, nobody knows what is durable.
    pub(super) fn push(&mut self, vfs: &V, dir: &Path, head: Head) -> io::Result<()> {
        let is_gone = uninterrupted(|| vfs.metadata(&dir.join(HEAD)))?.is_none();
        if is_gone || self.length + MAX_HEAD_LINE_LEN as u64 > MAX_HEAD_LEN {
            *self = Self::start(vfs, dir, head)?;
            return Ok(());
        }
        let line = format_head(head);
        append_all(&self.file, &line)?;
        self.length += line.len() as u64;
        Ok(())
    }
}

fn format_head(head: Head) -> Vec<u8> {
    format!("{} {}\n", head.size, head.leaf).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_head_has_one_spelling() {
        let head = Head { size: 70, leaf: LeafHash::new([10; 32]) };
        let line = format_head(head);
        assert_eq!(parse_head(&line[..line.len() - 1]), Some(head));
        let leaf = "0a".repeat(32);
        for near in
            [format!("070 {leaf}"), format!("70 {leaf}0"), format!("70  {leaf}"), format!("+70 {leaf}"), leaf]
        {
            assert_eq!(parse_head(near.as_bytes()), None, "case: {near}");
        }
    }
}
