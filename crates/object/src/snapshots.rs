//! Sets of snapshots as objects: each set is one, so that it is whole or not there.
//!
//! For each snapshot the line `countersign-kept-snapshot/v1 NAME NOTE PAYLOAD`, the last two the lengths in bytes of the note and of the
//! payload, which follow. Nothing in them is looked at here.

use bytes::Bytes;
use countersign_core::note::MAX_NOTE_LEN;
use countersign_store::{KeptSnapshot, SnapshotSet};

const MAGIC: &str = "countersign-kept-snapshot/v1";
/// Longest object that is made, and taken in.
pub(crate) const MAX_LEN: u64 = 1 << 30;

/// The bytes of a set.
pub(crate) fn write(set: &SnapshotSet) -> Bytes {
    let mut bytes = Vec::new();
    for KeptSnapshot { name, note, payload } in &set.snapshots {
        let header = format!("{MAGIC} {name} {} {}\n", note.len(), payload.len());
        for part in [header.as_bytes(), note, payload] {
            bytes.extend_from_slice(part);
        }
    }
    bytes.into()
}

/// The set over `size` entries with these bytes; none where they are no set.
pub(crate) fn read(size: u64, mut bytes: &[u8]) -> Option<SnapshotSet> {
    let mut snapshots = Vec::new();
    while !bytes.is_empty() {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let mut parts = std::str::from_utf8(&bytes[..end]).ok()?.split(' ');
        (parts.next() == Some(MAGIC)).then_some(())?;
        let name = parts.next()?.to_owned();
        let (note, payload) = (decimal(parts.next()?)?, decimal(parts.next()?)?);
        let rest = &bytes[end + 1..];
        if parts.next().is_some() || note > MAX_NOTE_LEN {
            return None;
        }
        let (note, rest) = rest.split_at_checked(note)?;
        let (payload, rest) = rest.split_at_checked(payload)?;
        snapshots.push(KeptSnapshot { name, note: note.into(), payload: payload.into() });
        bytes = rest;
    }
    Some(SnapshotSet { size, snapshots })
}

fn decimal(text: &str) -> Option<usize> {
    let number: usize = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_read_as_it_was_written_and_near_misses_are_none() {
        let snapshot = |name: &str, payload: &[u8]| KeptSnapshot {
            name: name.to_owned(),
            note: format!("{name}\n").into_bytes().into(),
            payload: payload.into(),
        };
        let set =
            SnapshotSet { size: 7, snapshots: vec![snapshot("a", b"\n\0\xff"), snapshot("b.c-d", b"")] };
        let bytes = write(&set);
        assert_eq!(read(7, &bytes), Some(set));
        let first = MAGIC.len() + " a 2 3\n".len() + 2 + 3;
        for cut in (1..bytes.len()).filter(|cut| *cut != first) {
            assert_eq!(read(7, &bytes[..cut]), None, "case: {cut}");
        }
        for near in [
            "countersign-kept-snapshot/v1 a +2 0\na\n",
            "countersign-kept-snapshot/v1 a 02 0\na\n",
            "countersign-kept-snapshot/v1 a 2 0 \na\n",
            "countersign-kept-snapshot/v2 a 2 0\na\n",
            "countersign-kept-snapshot/v1 a 18446744073709551615 0\na\n",
        ] {
            assert_eq!(read(7, near.as_bytes()), None, "case: {near}");
        }
    }
}
