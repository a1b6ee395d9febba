//! F-23: positions beyond 2^32 bytes, and seq near what 32 bits hold.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::os::unix::fs::FileExt as _;

use common::{TempDir, batch, bytes, entries, entries_of, everything, lines};
use countersign_core::digest::LeafHash;
use countersign_core::entry::Head;
use countersign_store::file::{FileReader, FileStore, OpenError, Options, inspect};
use countersign_store::{Store as _, StoreError};

/// More than 32 bits count.
const HOLE: u64 = (5 << 30) + 4_096;

/// A segment that is a hole but for its first and last lines: it takes no space, and is not read when it is opened.
fn sparse(dir: &TempDir, first_lines: &[u8], last_line: &[u8]) {
    fs::create_dir_all(dir.ledger().join("entries")).unwrap();
    let file = fs::File::create(dir.segment(0)).unwrap();
    file.write_all_at(first_lines, 0).unwrap();
    file.write_all_at(b"\n", HOLE - 1).unwrap();
    file.write_all_at(last_line, HOLE).unwrap();
}

#[tokio::test]
async fn f23_positions_near_and_beyond_32_bits_are_appended_read_and_found() {
    let dir = TempDir::new("seq");
    for last in [u64::from(u32::MAX) - 3, u64::from(u32::MAX), 1 << 40] {
        let _ = fs::remove_dir_all(dir.ledger());
        let before = Head { size: last, leaf: LeafHash::new([1; 32]) };
        let known = entries_of(1, before, 1, 1);
        sparse(&dir, &lines(&entries(1)), &lines(&known));
        fs::write(dir.segment(last + 1), b"").unwrap();
        let more = entries_of(1, known[0].head(), 8, 1);
        {
            let store = Options::new().segment_size(2_000).open(dir.ledger()).unwrap();
            assert_eq!(store.head_now(), known[0].head());
            for part in more.chunks(2) {
                store.append(batch(part)).await.unwrap();
            }
        }
        let store = FileStore::open(dir.ledger()).unwrap();
        let reader = FileReader::open(dir.ledger()).unwrap();
        assert_eq!(store.head_now(), more[7].head());
        for (index, entry) in more.iter().enumerate() {
            assert_eq!(store.read(entry.seq(), 1).await.unwrap(), bytes(&more[index..=index]));
            assert_eq!(reader.read(entry.seq(), 1).await.unwrap(), bytes(&more[index..=index]));
        }
        assert_eq!(store.append(batch(&more)).await.unwrap(), more[7].head(), "a retry");
        let next = entries_of(1, more[7].head(), 1, 1);
        store.append(batch(&next)).await.unwrap();
        assert_eq!(reader.head().await.unwrap(), next[0].head());
        assert_eq!(inspect(dir.ledger()).unwrap().entries, next[0].seq() + 1);
    }
}

#[tokio::test]
async fn f23_a_line_beyond_four_gibibytes_is_found_where_it_is() {
    // Of every 64th line the place is remembered, so that this one is found without reading what is before it.
    let all = entries(65);
    let dir = TempDir::new("offset");
    sparse(&dir, &lines(&all[..63]), &lines(&all[64..]));
    fs::write(dir.segment(65), b"").unwrap();
    let store = FileStore::open(dir.ledger()).unwrap();
    assert_eq!(store.read(64, 10).await.unwrap(), bytes(&all[64..]));
    assert_eq!(store.read(0, 63).await.unwrap(), bytes(&all[..63]));
    assert!(matches!(store.read(63, 1).await, Err(StoreError::Damaged { seq: 63, .. })));
}

#[tokio::test]
async fn f23_a_tail_beyond_four_gibibytes_is_looked_at_in_pieces() {
    if std::env::var_os("COUNTERSIGN_SOAK").is_none() {
        countersign_notices::skip(
            "f23_a_tail_beyond_four_gibibytes_is_looked_at_in_pieces",
            "4 GiB are read in soak only",
        );
        return;
    }
    let all = entries(2);
    let dir = TempDir::new("tail");
    {
        let store = FileStore::open(dir.ledger()).unwrap();
        store.append(batch(&all)).await.unwrap();
    }
    let file = fs::OpenOptions::new().write(true).open(dir.segment(0)).unwrap();
    // A line feed far behind: all of it is a line that is wrong, and stays where it is.
    file.write_all_at(b"\n", HOLE).unwrap();
    match FileStore::open(dir.ledger()) {
        Err(OpenError::Unproven { seq: 2, offset, .. }) => assert_eq!(offset, lines(&all).len() as u64),
        other => panic!("{other:?}"),
    }
    file.set_len(lines(&all).len() as u64).unwrap();
    assert_eq!(everything(&FileStore::open(dir.ledger()).unwrap()).await, bytes(&all));
}
