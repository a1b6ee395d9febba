//! The writer's thread, its handles and their futures under many orders of execution: every waiter gets one answer, nobody sleeps
//! through a wake, and what is acknowledged is there for whoever looks later.
//!
//! `RUSTFLAGS="--cfg shuttle" cargo test -p countersign-store --features testing --test schedules --target-dir target/shuttle`.
//! Shuttle prints the schedule that failed, and `shuttle::replay` runs it again.

#![cfg(shuttle)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};
use std::task::{Context, Poll, Waker};

use common::{batch, everything, statement};
use countersign_core::entry::{Entry, Head};
use countersign_core::statement::SignedStatement;
use countersign_core::time::Timestamp;
use countersign_notices::{count, is_soak};
use countersign_store::file::{FileStore, Options};
use countersign_store::vfs::sim::{CallKind, Fault, SimVfs};
use countersign_store::{AppendError, KeptSnapshot, SnapshotSet, Store as _, StoreError};
use shuttle::future::block_on;
use shuttle::thread;

const DIR: &str = "/access.ledger";
const SCHEDULES: usize = 2_500;
const SOAK: usize = 250_000;
/// How many threads change their order at most, where orders are tried by priority.
const DEPTH: usize = 4;

/// Tries orders at random, and by priorities.
fn check(name: &str, test: impl Fn() + Send + Sync + Clone + 'static) {
    let schedules = if is_soak() { SOAK } else { SCHEDULES };
    shuttle::check_random(test.clone(), schedules);
    shuttle::check_pct(test, schedules, DEPTH);
    count(name, &format!("{schedules} schedules at random, and as many by priorities"));
}

type Sim = FileStore<SimVfs>;

fn open(vfs: &SimVfs, segment_size: u64) -> Sim {
    Options::new().segment_size(segment_size).open_in(vfs.clone(), DIR).unwrap()
}

/// An author's statement. Signing takes longer than a schedule, so each is signed once.
fn signed(author: u8, serial: u64) -> SignedStatement {
    static SIGNED: LazyLock<Mutex<BTreeMap<(u8, u64), SignedStatement>>> = LazyLock::new(Mutex::default);
    let mut signed = SIGNED.lock().unwrap();
    signed.entry((author, serial)).or_insert_with(|| statement(author, serial, 1)).clone()
}

fn next(head: Head, author: u8, serial: u64) -> Entry {
    Entry::seal(head, Timestamp::MIN, &signed(author, serial)).unwrap()
}

/// Appends so many entries of an author, each behind whatever stands then. Those that were acknowledged.
async fn submit(store: &Sim, author: u8, count: u64) -> Vec<Entry> {
    let mut acknowledged = Vec::new();
    for serial in 1..=count {
        loop {
            let entry = next(store.head().await.unwrap(), author, serial);
            match store.append(batch(std::slice::from_ref(&entry))).await {
                Ok(head) => {
                    assert_eq!(head, entry.head());
                    // Whoever was answered sees it.
                    assert!(store.head_now().size >= head.size);
                    acknowledged.push(entry);
                    break;
                }
                Err(AppendError::Conflict { actual, .. }) => assert!(actual.size >= entry.seq()),
                // A fault before anything was written.
                Err(AppendError::NotStored(StoreError::Unavailable(_))) => {}
                Err(AppendError::NotStored(StoreError::Poisoned) | AppendError::OutcomeUnknown(_)) => {
                    return acknowledged;
                }
                Err(other) => panic!("{other:?}"),
            }
        }
    }
    acknowledged
}

/// Follows until there are so many entries; what it sees only ever grows.
async fn follow(store: &Sim, until: u64) {
    let mut seen: Vec<_> = Vec::new();
    while (seen.len() as u64) < until {
        store.wait(seen.len() as u64).await;
        let shown = everything(store).await;
        assert!(shown.len() > seen.len() && shown.starts_with(&seen));
        let last = Entry::parse(shown[shown.len() - 1].clone()).unwrap();
        let found = store.find(last.signed().digest()).await.unwrap();
        assert_eq!(found.map(|found| found.seq), Some(last.seq()));
        seen = shown;
    }
}

/// Opens the directory anew: a chain, in which each acknowledged entry stands once.
fn assert_kept(vfs: &SimVfs, acknowledged: &[Entry]) -> usize {
    let store = open(vfs, 1_000);
    let entries: Vec<Entry> =
        block_on(everything(&store)).into_iter().map(|bytes| Entry::parse(bytes).unwrap()).collect();
    let mut head = Head::EMPTY;
    for entry in &entries {
        assert_eq!(Head { size: entry.seq(), leaf: entry.prev() }, head);
        head = entry.head();
    }
    for entry in acknowledged {
        assert_eq!(entries.get(entry.seq() as usize).map(Entry::leaf), Some(entry.leaf()));
    }
    entries.len()
}

fn spawn<T: Send + 'static>(
    store: &Sim,
    work: impl AsyncFnOnce(&Sim) -> T + Send + 'static,
) -> thread::JoinHandle<T> {
    let store = store.clone();
    thread::spawn(move || block_on(work(&store)))
}

#[test]
fn two_submit_while_one_follows_and_another_signs() {
    check("two_submit_while_one_follows_and_another_signs", || {
        let vfs = SimVfs::new();
        let store = open(&vfs, 1_000_000);
        let submitting =
            [1, 2].map(|author| spawn(&store, async move |store: &Sim| submit(store, author, 2).await));
        let following = spawn(&store, async |store: &Sim| follow(store, 4).await);
        let acknowledged: Vec<Entry> =
            submitting.into_iter().flat_map(|submitting| submitting.join().unwrap()).collect();
        following.join().unwrap();
        drop(store);
        assert_eq!((acknowledged.len(), assert_kept(&vfs, &acknowledged)), (4, 4));
    });
}

#[test]
fn segments_roll_while_one_reads() {
    check("segments_roll_while_one_reads", || {
        let vfs = SimVfs::new();
        // Each entry begins a segment.
        let store = open(&vfs, 100);
        let submitting = spawn(&store, async |store: &Sim| submit(store, 1, 4).await);
        let following = spawn(&store, async |store: &Sim| follow(store, 4).await);
        let acknowledged = submitting.join().unwrap();
        following.join().unwrap();
        drop(store);
        assert_eq!((acknowledged.len(), assert_kept(&vfs, &acknowledged)), (4, 4));
    });
}

#[test]
fn a_sync_that_fails_answers_everybody_who_waits() {
    static POISONED: AtomicUsize = AtomicUsize::new(0);
    check("a_sync_that_fails_answers_everybody_who_waits", || {
        let vfs = SimVfs::new();
        let store = open(&vfs, 1_000_000);
        let first = block_on(submit(&store, 3, 1));
        let before = vfs.call_count();
        let second = block_on(submit(&store, 4, 1));
        // The sync of an append, in the one after the next.
        let syncs = vfs.calls()[before..].iter().position(|call| call.kind == CallKind::Sync).unwrap();
        let length = vfs.call_count() - before;
        let fails = vfs.call_count() + length + syncs;
        vfs.fail(fails, Fault::Io);
        let submitting =
            [1, 2].map(|author| spawn(&store, async move |store: &Sim| submit(store, author, 2).await));
        let mut acknowledged: Vec<Entry> =
            submitting.into_iter().flat_map(|submitting| submitting.join().unwrap()).collect();
        assert_eq!(vfs.faults_hit(), 1);
        acknowledged.extend(first.into_iter().chain(second));
        // Nobody was shown what nobody was told.
        let told = acknowledged.len();
        assert_eq!(store.head_now().size, told as u64);
        // Where one lost a race and the store looked why, the fault hits another call.
        let is_poisoned = vfs.calls()[fails].kind == CallKind::Sync;
        if is_poisoned {
            POISONED.fetch_add(1, Ordering::Relaxed);
            let again = block_on(store.append(batch(&[next(store.head_now(), 5, 1)])));
            assert!(matches!(again, Err(AppendError::NotStored(StoreError::Poisoned))), "{again:?}");
        }
        drop(store);
        let kept = assert_kept(&vfs, &acknowledged);
        assert!(if is_poisoned { (told..=told + 1).contains(&kept) } else { kept == 6 }, "{kept} of {told}");
    });
    assert!(POISONED.load(Ordering::Relaxed) > SCHEDULES / 10, "few schedules met the fault");
}

/// Asks once, then goes away.
fn ask_and_leave(future: impl Future<Output = Result<Head, AppendError>>) {
    let mut future = pin!(future);
    let waker = Waker::noop();
    let polled = future.as_mut().poll(&mut Context::from_waker(waker));
    let too_late = matches!(polled, Poll::Ready(Err(AppendError::Conflict { .. })));
    assert!(too_late || !matches!(polled, Poll::Ready(Err(_))), "{polled:?}");
}

#[test]
fn handles_go_away_while_work_is_under_way() {
    check("handles_go_away_while_work_is_under_way", || {
        let vfs = SimVfs::new();
        let store = open(&vfs, 1_000_000);
        let leaving = {
            let store = store.clone();
            thread::spawn(move || {
                ask_and_leave(store.append(batch(&[next(Head::EMPTY, 1, 1)])));
                // The last handle may be this one.
                drop(store);
            })
        };
        let staying = spawn(&store, async |store: &Sim| submit(store, 2, 1).await);
        let keeping = spawn(&store, async |store: &Sim| {
            let payload = vec![7; 3].into();
            let kept = KeptSnapshot { name: "acme.test".into(), note: vec![1].into(), payload };
            store.put_snapshots(SnapshotSet { size: 1, snapshots: vec![kept] }).await
        });
        // Its future is dropped while others are woken.
        let waiting = {
            let store = store.clone();
            thread::spawn(move || {
                let mut waiting = pin!(store.wait(0));
                let _ = waiting.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            })
        };
        drop(store);
        leaving.join().unwrap();
        waiting.join().unwrap();
        let acknowledged = staying.join().unwrap();
        keeping.join().unwrap().unwrap();
        // The lock was given up by the last handle that went, with all its threads. What was asked for is there, unless it came too late.
        let [stayed] = &acknowledged[..] else { panic!("{acknowledged:?}") };
        assert_eq!(assert_kept(&vfs, &acknowledged) as u64, stayed.seq() + 1);
        assert!(vfs.tree().keys().any(|path| path.starts_with(Path::new(DIR).join("snapshots"))));
    });
}
