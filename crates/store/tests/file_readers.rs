//! Readers beside a writer see whole, durable entries only: through rolls, recoveries and losses of power.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::io;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::{TempDir, add, batch, bytes, entries, entries_of, everything, lines, note};
use countersign_core::entry::{Entry, Head};
use countersign_store::file::{FileReader, FileStore, OpenError, Options};
use countersign_store::vfs::{Access, DirEntry, Metadata, RealVfs, Vfs};
use countersign_store::{AppendError, Store as _, StoreError};

#[tokio::test]
async fn a_reader_follows_a_writer_through_rolls() {
    let (dir, all) = (TempDir::new("follow"), entries(40));
    let store = Options::new().segment_size(2_000).open(dir.ledger()).unwrap();
    let reader = FileReader::open(dir.ledger()).unwrap();
    assert_eq!(everything(&reader).await, bytes(&[]));
    let mut at = 0;
    for count in [1, 2, 3, 5, 1, 8, 20] {
        store.append(batch(&all[at..at + count])).await.unwrap();
        at += count;
        assert_eq!(reader.head().await.unwrap(), all[at - 1].head());
        assert_eq!(everything(&reader).await, bytes(&all[..at]));
        let late = FileReader::open(dir.ledger()).unwrap();
        assert_eq!(everything(&late).await, bytes(&all[..at]));
        for entry in &all[..at] {
            let found = reader.find(entry.signed().digest()).await.unwrap().map(|found| found.seq);
            assert_eq!(found, Some(entry.seq()));
        }
    }
    assert!(fs::read_dir(dir.ledger().join("entries")).unwrap().count() > 4, "there were rolls");
    store.put_checkpoint(40, note(&all)).await.unwrap();
    assert_eq!(reader.checkpoint().await.unwrap(), Some(note(&all)));
}

#[tokio::test]
async fn f04_a_reader_does_not_see_what_is_written_and_not_synced() {
    let (dir, all) = (TempDir::new("unsynced"), entries(5));
    let store = FileStore::open(dir.ledger()).unwrap();
    store.append(batch(&all[..2])).await.unwrap();
    let early = FileReader::open(dir.ledger()).unwrap();
    // As a writer leaves them between its write and its sync, and one that is killed there for ever.
    let mut file = fs::OpenOptions::new().append(true).open(dir.segment(0)).unwrap();
    file.write_all(&lines(&all[2..])).unwrap();
    for reader in [early, FileReader::open(dir.ledger()).unwrap()] {
        assert_eq!(everything(&reader).await, bytes(&all[..2]));
        assert_eq!(reader.find(all[3].signed().digest()).await.unwrap(), None);
    }
    drop(store);
    // The next writer makes them durable, and then they are seen.
    let reader = FileReader::open(dir.ledger()).unwrap();
    let store = FileStore::open(dir.ledger()).unwrap();
    assert_eq!(store.recovery().rewritten, 3);
    assert_eq!(everything(&reader).await, bytes(&all));
}

#[tokio::test]
async fn a_reader_goes_on_through_a_recovery_and_through_a_new_file_in_the_place_of_an_empty_segment() {
    let (dir, all) = (TempDir::new("recovery"), entries(6));
    let reader = {
        let store = FileStore::open(dir.ledger()).unwrap();
        store.append(batch(&all[..2])).await.unwrap();
        FileReader::open(dir.ledger()).unwrap()
    };
    add(&dir.segment(0), b"torn");
    // An empty segment is removed and made anew by each writer that opens it.
    for part in [&all[2..3], &all[3..4], &all[4..5]] {
        let store = Options::new().segment_size(0).open(dir.ledger()).unwrap();
        store.append(batch(part)).await.unwrap();
        assert_eq!(everything(&reader).await.len() as u64, part[0].seq() + 1);
        fs::write(dir.segment(part[0].seq() + 1), b"").unwrap();
    }
    assert_eq!(everything(&reader).await, bytes(&all[..5]));
}

#[tokio::test]
async fn a_copy_without_the_word_of_a_writer_is_synced_and_shown_whole() {
    let (dir, all) = (TempDir::new("copy"), entries(9));
    {
        let store = Options::new().segment_size(2_000).open(dir.ledger()).unwrap();
        for entry in &all {
            store.append(batch(std::slice::from_ref(entry))).await.unwrap();
        }
        store.put_checkpoint(4, note(&all[..4])).await.unwrap();
    }
    fs::remove_file(dir.ledger().join("head")).unwrap();
    add(&last_segment(&dir), b"torn");
    let reader = FileReader::open(dir.ledger()).unwrap();
    assert_eq!(everything(&reader).await, bytes(&all));
}

#[tokio::test]
async fn f25_a_writer_puts_its_last_word_back_where_somebody_took_it_away() {
    let (dir, all) = (TempDir::new("taken"), entries(3));
    let head = dir.ledger().join("head");
    let store = FileStore::open(dir.ledger()).unwrap();
    store.append(batch(&all[..2])).await.unwrap();
    fs::remove_file(&head).unwrap();
    store.append(batch(&all[2..])).await.unwrap();
    assert_eq!(fs::read_to_string(head).unwrap(), format!("3 {}\n", all[2].leaf()));
}

#[tokio::test]
async fn a_reader_trusts_the_checkpoint_where_a_loss_of_power_took_lines_of_head_away() {
    let (dir, all) = (TempDir::new("stale"), entries(6));
    let head = dir.ledger().join("head");
    {
        let store = FileStore::open(dir.ledger()).unwrap();
        store.append(batch(&all[..2])).await.unwrap();
        let early = fs::read(&head).unwrap();
        store.append(batch(&all[2..])).await.unwrap();
        store.put_checkpoint(5, note(&all[..5])).await.unwrap();
        fs::write(&head, [&early[..], &[0; 512]].concat()).unwrap();
    }
    let reader = FileReader::open(dir.ledger()).unwrap();
    assert_eq!(everything(&reader).await, bytes(&all[..5]));
}

#[tokio::test]
async fn a_reader_refuses_what_is_less_or_other_than_was_durable() {
    let all = entries(4);
    let make = async |name| {
        let dir = TempDir::new(name);
        let store = FileStore::open(dir.ledger()).unwrap();
        store.append(batch(&all)).await.unwrap();
        (dir, store)
    };
    let (dir, _store) = make("less").await;
    let reader = FileReader::open(dir.ledger()).unwrap();
    fs::write(dir.segment(0), lines(&all[..3])).unwrap();
    assert!(matches!(
        FileReader::open(dir.ledger()),
        Err(OpenError::BelowFloor { entries: 3, floor: 4, .. })
    ));
    assert!(matches!(reader.read(0, 10).await, Err(StoreError::Unavailable(_))));
    let other = entries_of(2, all[2].head(), 1, 1);
    fs::write(dir.segment(0), lines(&[&all[..3], &other].concat())).unwrap();
    assert!(matches!(FileReader::open(dir.ledger()), Err(OpenError::OtherHistory { seq: 3 })));
}

#[tokio::test]
async fn a_reader_of_less_than_a_writer_made_durable_says_so() {
    let (dir, all) = (TempDir::new("gone"), entries(4));
    let store = FileStore::open(dir.ledger()).unwrap();
    store.append(batch(&all[..2])).await.unwrap();
    let reader = FileReader::open(dir.ledger()).unwrap();
    store.append(batch(&all[2..])).await.unwrap();
    let mut bytes = lines(&all);
    let third = lines(&all[..2]).len();
    bytes[third + 3] ^= 1;
    fs::write(dir.segment(0), bytes).unwrap();
    assert!(matches!(reader.head().await, Err(StoreError::Damaged { seq: 2, .. })));
}

/// Writers that roll, stop and recover, and readers that each open the directory for themselves.
#[test]
fn readers_beside_a_writer_see_a_beginning_of_what_is_there_at_last() {
    const READERS: usize = 4;
    let (dir, all) = (TempDir::new("beside"), entries(90));
    drop(FileStore::open(dir.ledger()).unwrap());
    /// Ends the readers, also where the writer panics.
    struct Done<'d>(&'d AtomicBool);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Release);
        }
    }
    let done = AtomicBool::new(false);
    let block_on = |future: std::pin::Pin<Box<dyn Future<Output = ()> + '_>>| {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future);
    };
    let read = |readers: usize| -> usize {
        let mut looks = 0;
        block_on(Box::pin(async {
            let mut reader = FileReader::open(dir.ledger()).unwrap();
            let mut seen: Vec<_> = Vec::new();
            loop {
                let last = done.load(Ordering::Acquire);
                let head = reader.head().await.unwrap();
                // Now and then once more what was read before. One read may end with a segment.
                let from = seen.len().saturating_sub(looks % 3);
                let part = reader.read(from as u64, 20).await.unwrap();
                let ends = last && part.is_empty();
                seen.truncate(from);
                seen.extend(part);
                assert_eq!(seen, bytes(&all[..seen.len()]), "a beginning, whole");
                assert_eq!(head, all[..head.size as usize].last().map_or(Head::EMPTY, Entry::head));
                looks += 1;
                if ends {
                    assert_eq!(seen.len(), all.len());
                    return;
                }
                if looks % 7 == readers {
                    reader = FileReader::open(dir.ledger()).unwrap();
                }
                std::thread::yield_now();
            }
        }));
        looks
    };
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS).map(|number| scope.spawn(move || read(number))).collect();
        let end = Done(&done);
        for session in all.chunks(15) {
            // Of the session before: a line that was cut off, as by a kill.
            let last = last_segment(&dir);
            fs::OpenOptions::new().append(true).open(last).unwrap().write_all(b"{\"prev\":").unwrap();
            block_on(Box::pin(async {
                let store = Options::new().segment_size(3_000).open(dir.ledger()).unwrap();
                for part in session.chunks(2) {
                    store.append(batch(part)).await.unwrap();
                }
            }));
        }
        drop(end);
        for reader in readers {
            assert!(reader.join().unwrap() > 1);
        }
    });
}

/// A file system in which the segments are not there when they are first opened: a writer is about to put new ones in their places.
#[derive(Debug, Clone)]
struct Replacing(Arc<AtomicUsize>);

impl Vfs for Replacing {
    type File = <RealVfs as Vfs>::File;
    type Dir = <RealVfs as Vfs>::Dir;
    type Lock = <RealVfs as Vfs>::Lock;

    fn open(&self, path: &Path, access: Access) -> io::Result<Self::File> {
        let is_segment = path.extension().is_some_and(|extension| extension == "jsonl");
        let left = |left: usize| left.checked_sub(1);
        if is_segment && self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).is_ok() {
            return Err(io::ErrorKind::NotFound.into());
        }
        RealVfs.open(path, access)
    }
    fn open_dir(&self, path: &Path) -> io::Result<Self::Dir> {
        RealVfs.open_dir(path)
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        RealVfs.create_dir(path)
    }
    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        RealVfs.read_dir(path)
    }
    fn metadata(&self, path: &Path) -> io::Result<Option<Metadata>> {
        RealVfs.metadata(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealVfs.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        RealVfs.remove_file(path)
    }
    fn try_lock(&self, path: &Path) -> io::Result<Option<Self::Lock>> {
        RealVfs.try_lock(path)
    }
    fn network_file_system(&self, path: &Path) -> io::Result<Option<String>> {
        RealVfs.network_file_system(path)
    }
}

#[test]
fn a_segment_that_is_just_being_replaced_is_looked_for_again_and_not_for_ever() {
    let dir = TempDir::new("replacing");
    drop(FileStore::open(dir.ledger()).unwrap());
    let open = |times| FileReader::open_in(Replacing(Arc::new(AtomicUsize::new(times))), dir.ledger());
    assert!(open(3).is_ok());
    match open(usize::MAX) {
        Err(OpenError::Io { path, source }) => {
            assert_eq!((path, source.kind()), (dir.segment(0), io::ErrorKind::NotFound));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_reader_changes_nothing() {
    let (dir, all) = (TempDir::new("quiet"), entries(3));
    drop(FileStore::open(dir.ledger()).unwrap());
    let before = tree(&dir);
    let reader = FileReader::open(dir.ledger()).unwrap();
    assert!(matches!(reader.append(batch(&all)).await, Err(AppendError::NotStored(StoreError::ReadOnly))));
    assert!(matches!(reader.put_checkpoint(0, note(&[])).await, Err(StoreError::ReadOnly)));
    assert_eq!(everything(&reader).await, bytes(&[]));
    assert_eq!(tree(&dir), before);
    assert!(FileReader::open(dir.path().join("none")).is_err());
    assert!(!dir.path().join("none").exists());
}

fn last_segment(dir: &TempDir) -> std::path::PathBuf {
    let mut paths: Vec<_> =
        fs::read_dir(dir.ledger().join("entries")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    paths.sort();
    paths.pop().unwrap()
}

/// Every file with its bytes.
fn tree(dir: &TempDir) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![dir.ledger()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push((path.clone(), fs::read(path).unwrap()));
            }
        }
    }
    files.sort();
    files
}
