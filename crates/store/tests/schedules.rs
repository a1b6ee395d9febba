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
use countersign_store::conformance::{Answers, Told};
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

/// Appends so many entries of an author, each behind whatever stands then. What was asked, and what was answered.
async fn submit(store: &Sim, author: u8, count: u64) -> Vec<Told> {
    let mut told = Vec::new();
    for serial in 1..=count {
        loop {
            let entry = next(store.head().await.unwrap(), author, serial);
            let digest = entry.signed().digest();
            told.push(Told::Submitted(digest));
            match store.append(batch(std::slice::from_ref(&entry))).await {
                Ok(head) => {
                    assert_eq!(head, entry.head());
                    // Whoever was answered sees it.
                    assert!(store.head_now().size >= head.size);
                    told.push(Told::Acknowledged { digest, seq: entry.seq(), leaf: entry.leaf() });
                    break;
                }
                Err(AppendError::OutcomeUnknown(_)) => {
                    told.push(Told::Unknown(digest));
                    return told;
                }
                Err(AppendError::Conflict { actual, .. }) => assert!(actual.size >= entry.seq()),
                // A fault before anything was written.
                Err(AppendError::NotStored(StoreError::Unavailable(_))) => {}
                Err(AppendError::NotStored(StoreError::Poisoned)) => {
                    told.push(Told::NotStored(digest));
                    return told;
                }
                Err(other) => panic!("{other:?}"),
            }
            told.push(Told::NotStored(digest));
        }
    }
    told
}

fn answers(told: impl IntoIterator<Item = Told>) -> Answers {
    let mut answers = Answers::new();
    told.into_iter().for_each(|told| answers.tell(told));
    answers
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

/// Opens the directory anew: what is there is what the answers say. How many entries that is.
fn assert_kept(vfs: &SimVfs, answers: &Answers) -> usize {
    let entries = block_on(everything(&open(vfs, 1_000)));
    assert_eq!(answers.check(&entries), []);
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
        let answers = answers(submitting.into_iter().flat_map(|submitting| submitting.join().unwrap()));
        following.join().unwrap();
        drop(store);
        assert_eq!((answers.acknowledged(), assert_kept(&vfs, &answers)), (4, 4));
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
        let answers = answers(submitting.join().unwrap());
        following.join().unwrap();
        drop(store);
        assert_eq!((answers.acknowledged(), assert_kept(&vfs, &answers)), (4, 4));
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
        let submitted = submitting.into_iter().flat_map(|submitting| submitting.join().unwrap());
        let mut answers = answers(submitted.chain(first).chain(second));
        assert_eq!(vfs.faults_hit(), 1);
        // Nobody was shown what nobody was told.
        let told = answers.acknowledged();
        assert_eq!(store.head_now().size, told as u64);
        // Where one lost a race and the store looked why, the fault hits another call.
        let is_poisoned = vfs.calls()[fails].kind == CallKind::Sync;
        if is_poisoned {
            POISONED.fetch_add(1, Ordering::Relaxed);
            let more = batch(&[next(store.head_now(), 5, 1)]);
            answers.submitted(&more);
            let again = block_on(store.append(more.clone()));
            assert!(matches!(again, Err(AppendError::NotStored(StoreError::Poisoned))), "{again:?}");
            answers.answered(&more, &again);
        }
        drop(store);
        let kept = assert_kept(&vfs, &answers);
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
        let left = Told::Submitted(signed(1, 1).digest());
        let told = staying.join().unwrap();
        keeping.join().unwrap().unwrap();
        // The lock was given up by the last handle that went, with all its threads. What was asked for is there, unless it came too late.
        let Some(Told::Acknowledged { seq, .. }) = told.last().copied() else { panic!("{told:?}") };
        assert_eq!(assert_kept(&vfs, &answers(told.into_iter().chain([left]))) as u64, seq + 1);
        assert!(vfs.tree().keys().any(|path| path.starts_with(Path::new(DIR).join("snapshots"))));
    });
}
