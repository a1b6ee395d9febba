//! Two writers: the second is refused, and where the lock lied each finds out about the other before it acknowledges anything.

#![cfg(all(unix, feature = "testing"))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use common::{TempDir, batch, block_on, bytes, entries, entries_of, everything, note};
use countersign_core::entry::Entry;
use countersign_store::file::{FileStore, OpenError, Options};
use countersign_store::vfs::sim::SimVfs;
use countersign_store::vfs::{Access, DirEntry, Metadata, Vfs, VfsFile};
use countersign_store::{AppendError, KeptSnapshot, SnapshotSet, Store as _, StoreError};

const DIR: &str = "/ledger";

#[test]
fn f11_a_second_writer_is_refused_at_once_in_this_process_and_after_another_handle_was_closed() {
    let dir = TempDir::new("second");
    let store = FileStore::open(dir.ledger()).unwrap();
    for _ in 0..3 {
        assert!(matches!(FileStore::open(dir.ledger()), Err(OpenError::Locked { .. })));
        // F-25: a lock of POSIX would be gone with this.
        drop(std::fs::File::open(dir.ledger().join("lock")).unwrap());
    }
    let clone = store.clone();
    drop(store);
    assert!(matches!(FileStore::open(dir.ledger()), Err(OpenError::Locked { .. })));
    drop(clone);
    FileStore::open(dir.ledger()).unwrap();
}

#[test]
fn f12_a_process_that_is_started_meanwhile_does_not_keep_the_lock() {
    let dir = TempDir::new("child");
    let store = FileStore::open(dir.ledger()).unwrap();
    let mut child = std::process::Command::new("cat")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    drop(store);
    let opened = FileStore::open(dir.ledger());
    drop(child.stdin.take());
    child.wait().unwrap();
    opened.unwrap();
}

#[test]
fn f12_a_network_file_system_is_refused_unless_it_was_asked_for() {
    let vfs = Hooked { network: Some("nfs"), ..Hooked::default() };
    match Options::new().open_in(vfs.clone(), DIR) {
        Err(OpenError::NetworkFileSystem { name, .. }) => assert_eq!(name, "nfs"),
        other => panic!("{other:?}"),
    }
    assert!(vfs.inner.tree().is_empty(), "nothing was made");
    Options::new().allow_network_file_system().open_in(vfs, DIR).unwrap();
}

/// A writer with two entries, and what another appends behind them.
async fn two(segment_size: u64) -> (Hooked, FileStore<Hooked>, FileStore<Hooked>, Vec<Entry>, Vec<Entry>) {
    let vfs = Hooked::default();
    let all = entries(4);
    let first = Options::new().open_in(vfs.clone(), DIR).unwrap();
    first.append(batch(&all[..2])).await.unwrap();
    vfs.break_lock();
    let second = Options::new().segment_size(segment_size).open_in(vfs.clone(), DIR).unwrap();
    let others = entries_of(2, all[1].head(), 2, 1);
    (vfs, first, second, all, others)
}

/// The first writer stops, the other goes on, and what that one acknowledged stands alone.
async fn stopped(vfs: Hooked, first: FileStore<Hooked>, second: FileStore<Hooked>, wanted: &[Entry]) {
    let again = first.append(batch(&entries_of(1, wanted[1].head(), 1, 1))).await;
    assert!(matches!(again, Err(AppendError::NotStored(StoreError::Poisoned))), "{again:?}");
    drop((first, second));
    let store = Options::new().cut_unproven().open_in(vfs, DIR).unwrap();
    assert_eq!(everything(&store).await, bytes(wanted));
}

#[tokio::test]
async fn f11_a_writer_that_slept_through_the_turn_of_another_writes_nothing() {
    // In the same segment, and in a new one.
    for segment_size in [1 << 20, 0] {
        let (vfs, first, second, all, others) = two(segment_size).await;
        second.append(batch(&others)).await.unwrap();
        let late = first.append(batch(&all[2..])).await;
        assert!(matches!(late, Err(AppendError::NotStored(StoreError::Damaged { seq: 2, .. }))), "{late:?}");
        let more = entries_of(2, others[1].head(), 1, 1);
        second.append(batch(&more)).await.unwrap();
        stopped(vfs, first, second, &[&all[..2], &others, &more].concat()).await;
    }
}

#[tokio::test]
async fn f11_a_writer_that_sleeps_between_looking_and_writing_acknowledges_nothing() {
    // The other writes into the same segment, or begins one.
    for segment_size in [1 << 20, 0] {
        let (vfs, first, second, all, others) = two(segment_size).await;
        let turn = {
            let (second, others) = (second.clone(), others.clone());
            move || {
                block_on(second.append(batch(&others))).unwrap();
            }
        };
        vfs.before(When::Append, turn);
        let late = first.append(batch(&all[2..])).await;
        assert!(matches!(late, Err(AppendError::OutcomeUnknown(_))), "{late:?}");
        let more = entries_of(2, others[1].head(), 1, 1);
        let next = second.append(batch(&more)).await;
        if segment_size > 0 {
            // What the first wrote lies where the second would go on.
            assert!(matches!(next, Err(AppendError::NotStored(StoreError::Damaged { .. }))), "{next:?}");
            stopped(vfs, first, second, &[&all[..2], &others].concat()).await;
        } else {
            next.unwrap();
            stopped(vfs, first, second, &[&all[..2], &others, &more].concat()).await;
        }
    }
}

#[tokio::test]
async fn f11_what_another_took_for_durable_and_went_on_behind_is_not_cut() {
    let vfs = Hooked::default();
    let all = entries(4);
    let first = Options::new().open_in(vfs.clone(), DIR).unwrap();
    first.append(batch(&all[..2])).await.unwrap();
    let more = entries_of(2, all[3].head(), 1, 1);
    // After the first has synced its batch, and before it looks again.
    let second = Arc::new(Mutex::new(None));
    let turn = {
        let (vfs, second, more) = (vfs.clone(), second.clone(), more.clone());
        move || {
            vfs.break_lock();
            let store = Options::new().segment_size(0).open_in(vfs, DIR).unwrap();
            block_on(store.append(batch(&more))).unwrap();
            *second.lock().unwrap() = Some(store);
        }
    };
    vfs.before(When::Synced, turn);
    let late = first.append(batch(&all[2..])).await;
    assert!(matches!(late, Err(AppendError::OutcomeUnknown(_))), "{late:?}");
    let second = second.lock().unwrap().take().unwrap();
    stopped(vfs, first, second, &[&all[..], &more].concat()).await;
}

#[tokio::test]
async fn f11_two_that_make_the_same_ledger_at_once_do_not_fail() {
    // Before the first makes the directory, and before it takes the lock.
    for when in [When::CreateDir, When::TryLock] {
        let vfs = Hooked::default();
        let other = vfs.clone();
        vfs.before(when, move || drop(Options::new().open_in(other, DIR).unwrap()));
        let store = Options::new().open_in(vfs.clone(), DIR).unwrap();
        assert!(store.recovery().foreign.is_empty(), "{when:?}");
        assert!(vfs.turn.lock().unwrap().is_none(), "{when:?}: the other had its turn");
    }
}

#[tokio::test]
async fn f11_closing_waits_for_whoever_still_holds_the_lock() {
    let vfs = Hooked::default();
    let store = Options::new().open_in(vfs.clone(), DIR).unwrap();
    store.append(batch(&entries(1))).await.unwrap();
    let (go, gone) = std::sync::mpsc::channel();
    vfs.before(When::Rename, move || gone.recv().unwrap());
    let snapshot =
        KeptSnapshot { name: "a".into(), note: b"note".to_vec().into(), payload: b"state".to_vec().into() };
    {
        let put = std::pin::pin!(store.put_snapshots(SnapshotSet { size: 1, snapshots: vec![snapshot] }));
        // Begun, and nobody waits for it.
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(put.poll(&mut context).is_pending());
    }
    let goes = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(50));
        go.send(()).unwrap();
    });
    drop(store);
    let store = Options::new().open_in(vfs, DIR).unwrap();
    assert_eq!(store.snapshots(1).await.unwrap().map(|set| set.snapshots.len()), Some(1));
    goes.join().unwrap();
}

#[tokio::test]
async fn f11_what_another_acknowledged_is_not_cut_with_what_a_full_disk_left() {
    let (vfs, first, second, all, others) = two(1 << 20).await;
    let turn = {
        let (second, others, disk) = (second.clone(), others.clone(), vfs.inner.clone());
        move || {
            block_on(second.append(batch(&others))).unwrap();
            disk.limit_space(Some(10));
        }
    };
    vfs.before(When::Append, turn);
    let late = first.append(batch(&all[2..])).await;
    assert!(matches!(late, Err(AppendError::OutcomeUnknown(_))), "{late:?}");
    vfs.inner.limit_space(None);
    stopped(vfs, first, second, &[&all[..2], &others].concat()).await;
}

#[tokio::test]
async fn f11_a_writer_that_sleeps_before_it_begins_a_segment_acknowledges_nothing() {
    let vfs = Hooked::default();
    let all = entries(4);
    let first = Options::new().segment_size(0).open_in(vfs.clone(), DIR).unwrap();
    first.append(batch(&all[..2])).await.unwrap();
    vfs.break_lock();
    let second = Options::new().open_in(vfs.clone(), DIR).unwrap();
    let others = entries_of(2, all[1].head(), 2, 1);
    let turn = {
        let (second, others) = (second.clone(), others.clone());
        move || {
            block_on(second.append(batch(&others))).unwrap();
        }
    };
    vfs.before(When::Create, turn);
    let late = first.append(batch(&all[2..])).await;
    assert!(matches!(late, Err(AppendError::OutcomeUnknown(_))), "{late:?}");
    let more = second.append(batch(&entries_of(2, others[1].head(), 1, 1))).await;
    assert!(more.is_err() || second.head_now().size == 5);
}

#[tokio::test]
async fn f11_a_recovery_cuts_nothing_from_a_segment_that_grew_meanwhile() {
    let vfs = Hooked::default();
    let all = entries(4);
    let path = Path::new(DIR).join("entries").join(format!("{:020}.jsonl", 0));
    {
        let store = Options::new().open_in(vfs.clone(), DIR).unwrap();
        store.append(batch(&all[..2])).await.unwrap();
    }
    let torn = &common::lines(&all[2..3])[..50];
    vfs.inner.open(&path, Access::Write).unwrap().append(torn).unwrap();
    // Who holds no lock goes on with the line that the recovery takes for torn.
    let (disk, place) = (vfs.inner.clone(), path.clone());
    let rest = common::lines(&all[2..3])[50..].to_vec();
    vfs.before(When::Rename, move || {
        disk.open(&place, Access::Write).unwrap().append(&rest).unwrap();
    });
    assert!(matches!(Options::new().open_in(vfs.clone(), DIR), Err(OpenError::Io { .. })));
    let store = Options::new().open_in(vfs, DIR).unwrap();
    assert_eq!(everything(&store).await, bytes(&all[..3]));
}

#[tokio::test]
async fn f11_another_file_in_the_place_of_the_segment_is_noticed() {
    let vfs = Hooked::default();
    let all = entries(4);
    let store = Options::new().open_in(vfs.clone(), DIR).unwrap();
    store.append(batch(&all[..2])).await.unwrap();
    // As a copy that is put back: the same bytes, and a file that the writer does not have open.
    let path = Path::new(DIR).join("entries").join(format!("{:020}.jsonl", 0));
    let held = Path::new(DIR).join("held");
    vfs.inner.put(&held, &common::lines(&all[..2]));
    vfs.inner.rename(&held, &path).unwrap();
    let lost = store.append(batch(&all[2..])).await;
    assert!(matches!(lost, Err(AppendError::OutcomeUnknown(_))), "{lost:?}");
}

#[tokio::test]
async fn f11_a_checkpoint_of_another_writer_is_not_replaced() {
    let (vfs, first, second, all, _) = two(1 << 20).await;
    second.put_checkpoint(2, note(&all[..2])).await.unwrap();
    let late = first.put_checkpoint(1, note(&all[..1])).await;
    assert!(matches!(late, Err(StoreError::Damaged { .. })), "{late:?}");
    assert_eq!(second.checkpoint().await.unwrap(), Some(note(&all[..2])));
    stopped(vfs, first, second, &all[..2]).await;
}

/// Waits for a future on this thread.
type Turn = Box<dyn FnOnce() + Send>;

/// Before which call somebody else has a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// A write into a segment.
    Append,
    /// The making of a segment.
    Create,
    /// The putting of a file into its place.
    Rename,
    /// What follows a sync of a segment.
    Synced,
    /// The making of a directory.
    CreateDir,
    /// The taking of the lock.
    TryLock,
}

/// A machine on which somebody else has a turn.
#[derive(Clone, Default)]
struct Hooked {
    inner: SimVfs,
    turn: Arc<Mutex<Option<(When, Turn)>>>,
    network: Option<&'static str>,
}

impl Hooked {
    fn before(&self, when: When, turn: impl FnOnce() + Send + 'static) {
        *self.turn.lock().unwrap() = Some((when, Box::new(turn)));
    }

    fn take_turn(&self, now: When) {
        let turn = self.turn.lock().unwrap().take_if(|(when, _)| *when == now);
        if let Some((_, turn)) = turn {
            turn();
        }
    }

    /// As an administrator does who thinks that it is stale.
    fn break_lock(&self) {
        self.inner.remove_file(&Path::new(DIR).join("lock")).unwrap();
    }
}

impl fmt::Debug for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[derive(Debug)]
struct HookedFile {
    inner: <SimVfs as Vfs>::File,
    vfs: Hooked,
    is_segment: bool,
}

impl VfsFile for HookedFile {
    fn size(&self) -> io::Result<u64> {
        self.inner.size()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buffer, offset)
    }

    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_segment {
            self.vfs.take_turn(When::Append);
        }
        self.inner.append(bytes)
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.inner.truncate(size)
    }

    fn sync(&self) -> io::Result<()> {
        self.inner.sync()?;
        if self.is_segment {
            self.vfs.take_turn(When::Synced);
        }
        Ok(())
    }
}

impl Vfs for Hooked {
    type File = HookedFile;
    type Dir = <SimVfs as Vfs>::Dir;
    type Lock = <SimVfs as Vfs>::Lock;

    fn open(&self, path: &Path, access: Access) -> io::Result<HookedFile> {
        let is_segment = path.extension().is_some_and(|extension| extension == "jsonl");
        if is_segment && access == Access::CreateNew {
            self.take_turn(When::Create);
        }
        Ok(HookedFile { inner: self.inner.open(path, access)?, vfs: self.clone(), is_segment })
    }

    fn open_dir(&self, path: &Path) -> io::Result<Self::Dir> {
        self.inner.open_dir(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.take_turn(When::CreateDir);
        self.inner.create_dir(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.inner.read_dir(path)
    }

    fn metadata(&self, path: &Path) -> io::Result<Option<Metadata>> {
        self.inner.metadata(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.take_turn(When::Rename);
        self.inner.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_file(path)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<Self::Lock>> {
        self.take_turn(When::TryLock);
        self.inner.try_lock(path)
    }

    fn network_file_system(&self, _: &Path) -> io::Result<Option<String>> {
        Ok(self.network.map(str::to_owned))
    }
}
