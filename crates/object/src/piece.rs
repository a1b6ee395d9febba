//! The entries of one object, held against their place.

use bytes::Bytes;
use countersign_core::digest::StatementDigest;
use countersign_core::entry::{Entry, Head, MAX_ENTRY_LEN};
use countersign_store::{EntryBytes, StoreError};

use crate::bucket::{Bucket, Got};

/// Most bytes that are put into one object, unless the first entry alone has more.
pub(crate) const MAX_OBJECT_LEN: usize = 8 << 20;
/// Most bytes that are taken in of one.
pub(crate) const MAX_TAKEN: u64 = (MAX_OBJECT_LEN + MAX_ENTRY_LEN + 1) as u64;

/// Entries that stand one behind the other.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    /// The head that they stand behind.
    pub(crate) after: Head,
    /// The head right after the last.
    pub(crate) head: Head,
    pub(crate) entries: Vec<EntryBytes>,
    pub(crate) digests: Vec<StatementDigest>,
}

impl Piece {
    /// Of entries that are known to stand one behind the other.
    pub(crate) fn of(after: Head, entries: &[Entry]) -> Self {
        Self {
            after,
            head: entries.last().map_or(after, Entry::head),
            entries: entries.iter().map(|entry| entry.bytes().clone()).collect(),
            digests: entries.iter().map(|entry| entry.signed().digest()).collect(),
        }
    }

    /// Reads an object whose entries have to stand behind `after`.
    pub(crate) fn parse(bytes: &[u8], after: Head) -> Result<Self, StoreError> {
        let mut piece = Self { after, head: after, entries: Vec::new(), digests: Vec::new() };
        let damaged = |seq, detail: String| StoreError::Damaged { seq, detail };
        let Some((last, lines)) = bytes.split_last() else {
            return Err(damaged(after.size, "its object is empty".to_owned()));
        };
        if *last != b'\n' {
            return Err(damaged(after.size, "its object ends within a line".to_owned()));
        }
        for line in lines.split(|byte| *byte == b'\n') {
            let seq = piece.head.size;
            let entry =
                Entry::parse(line).map_err(|fault| damaged(seq, format!("it is no entry: {fault}")))?;
            if (Head { size: entry.seq(), leaf: entry.prev() }) != piece.head {
                return Err(damaged(seq, "it does not follow the entry before".to_owned()));
            }
            piece.head = entry.head();
            piece.digests.push(entry.signed().digest());
            piece.entries.push(entry.bytes().clone());
        }
        Ok(piece)
    }

    /// The object whose first entry stands behind `after`; none where there is none.
    pub(crate) async fn fetch(bucket: &Bucket, after: Head) -> Result<Option<Self>, StoreError> {
        let bytes = Self::bytes(bucket, after.size).await?;
        bytes.map(|bytes| Self::parse(&bytes, after)).transpose()
    }

    /// The bytes of the object whose first entry is said to be at `first`.
    pub(crate) async fn bytes(bucket: &Bucket, first: u64) -> Result<Option<Bytes>, StoreError> {
        match bucket.get(&bucket.names.entries_from(first), MAX_TAKEN).await? {
            Got::Nothing => Ok(None),
            Got::Bytes(bytes) => Ok(Some(bytes)),
            Got::TooLong => {
                Err(StoreError::Damaged { seq: first, detail: "its object is too long".to_owned() })
            }
        }
    }

    /// How many bytes of entries it has.
    pub(crate) fn size(&self) -> usize {
        self.entries.iter().map(|entry| entry.len()).sum()
    }
}

/// As many of the first entries as go into one object, and the bytes of that: each with a line feed behind.
pub(crate) fn object_of(entries: &[Entry]) -> (&[Entry], Bytes) {
    let mut bytes = Vec::new();
    let mut count = 0;
    for entry in entries {
        if count > 0 && bytes.len() + entry.bytes().len() + 1 > MAX_OBJECT_LEN {
            break;
        }
        bytes.extend_from_slice(entry.bytes());
        bytes.push(b'\n');
        count += 1;
    }
    (&entries[..count], bytes.into())
}
