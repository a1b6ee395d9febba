//! What networks, services and slow writers do to a ledger in a bucket.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::everything;
use common::service::{Call, Fault, Random, Service};
use countersign_core::entry::{Entry, Head};
use countersign_core::statement::SignedStatement;
use countersign_core::time::Timestamp;
use countersign_object::object_store::memory::InMemory;
use countersign_object::object_store::path::Path;
use countersign_object::object_store::{ObjectStore, ObjectStoreExt as _};
use countersign_object::{BucketStore, Options};
use countersign_store::conformance::{Answers, Author};
use countersign_store::{AppendError, Batch, Store as _, StoreError};
use futures_util::{FutureExt as _, TryStreamExt as _};

async fn open(service: &Arc<Service>) -> BucketStore {
    Options::new().open(service.clone(), "acme").await.unwrap()
}

/// The names of the objects of entries, by the position of the first.
async fn objects(service: &Service) -> Vec<u64> {
    let listed = service.inner().list(Some(&"acme/entries".into()));
    let mut names: Vec<_> = listed.map_ok(|object| object.location.to_string()).try_collect().await.unwrap();
    names.sort();
    names.iter().map(|name| name["acme/entries/".len()..][..20].parse().unwrap()).collect()
}

/// What stands there, read by somebody who knows nothing; every object is on the chain, or opening refuses.
async fn standing(service: &Service) -> Vec<countersign_store::EntryBytes> {
    match Options::new().open_read_only(service.inner(), "acme").await {
        Ok(store) => everything(&store).await,
        Err(error) if error.is_absent() => Vec::new(),
        Err(error) => panic!("{error:?}"),
    }
}

fn sealed(head: Head, statements: &[SignedStatement]) -> Batch {
    let mut head = head;
    let entries: Vec<_> = (statements.iter())
        .map(|statement| {
            let entry = Entry::seal(head, Timestamp::MIN, statement).unwrap();
            head = entry.head();
            entry
        })
        .collect();
    Batch::new(entries).unwrap()
}

#[tokio::test]
async fn a_stale_writer_is_told_of_the_conflict_however_long_the_other_ones_batch_was() {
    for (others, mine) in [(3, 1), (1, 3), (3, 3), (2, 5)] {
        let service = Arc::new(Service::new());
        let (fast, stale) = (open(&service).await, open(&service).await);
        let mut author = Author::new(1);
        let first = author.batch(Head::EMPTY, 10);
        fast.append(first.clone()).await.unwrap();
        assert_eq!(stale.head().await.unwrap(), first.head());
        let second = author.batch(first.head(), others);
        fast.append(second.clone()).await.unwrap();
        // Behind what it knows; behind an entry within the other one's object, which it may have from elsewhere; behind nothing.
        let within = second.entries()[0].head();
        let ahead = Author::new(3).batch(second.head(), 4).head();
        for behind in [first.head(), within, ahead] {
            if behind == second.head() {
                continue;
            }
            let lost = stale.append(Author::new(2).batch(behind, mine)).await;
            let told = matches!(lost, Err(AppendError::Conflict { actual, .. }) if actual == second.head());
            assert!(told, "case: {others}, {mine}, {}: {lost:?}", behind.size);
        }
        assert_eq!(objects(&service).await, [0, 10]);
        // It goes on behind what it was told.
        let third = Author::new(2).batch(second.head(), mine);
        assert_eq!(stale.append(third.clone()).await.unwrap(), third.head());
        assert_eq!(standing(&service).await.len() as u64, third.head().size);
    }
}

#[tokio::test]
async fn a_commit_is_one_request_and_a_look_for_others_is_one() {
    let service = Arc::new(Service::new());
    let store = open(&service).await;
    let mut author = Author::new(1);
    let mut head = store.head().await.unwrap();
    for count in [1, 64, 3] {
        let (puts, gets, lists) = service.counts();
        head = store.append(author.batch(head, count)).await.unwrap();
        assert_eq!(service.counts(), (puts + 1, gets, lists));
        store.head().await.unwrap();
        assert_eq!(service.counts(), (puts + 1, gets + 1, lists));
        // What was appended here is read from memory.
        assert_eq!(store.read(0, 1_000).await.unwrap().len() as u64, head.size);
        assert_eq!(service.counts(), (puts + 1, gets + 1, lists));
    }
}

#[tokio::test]
async fn f21_a_reply_that_was_lost_is_settled_by_what_is_there() {
    let lost = Arc::new(Mutex::new(None));
    let plan = lost.clone();
    let service = Service::new().failing(move |_, call| {
        let mut plan = plan.lock().unwrap();
        (call == Call::Put).then(|| plan.take()).flatten()
    });
    let service = Arc::new(service);
    let store = open(&service).await;
    let other = open(&service).await;
    let mut author = Author::new(1);
    let fail = |fault| *lost.lock().unwrap() = Some(fault);
    // The same bytes are there: stored.
    let first = author.batch(Head::EMPTY, 2);
    fail(Fault::ReplyLost);
    assert_eq!(store.append(first.clone()).await.unwrap(), first.head());
    // Nothing is there: nobody knows, and the same again settles it.
    let second = author.batch(first.head(), 2);
    fail(Fault::Lost);
    let unknown = store.append(second.clone()).await;
    assert!(matches!(unknown, Err(AppendError::OutcomeUnknown(_))), "{unknown:?}");
    assert_eq!(store.append(second.clone()).await.unwrap(), second.head());
    // Others are there: a lost race.
    let third = Author::new(2).batch(second.head(), 3);
    other.append(third.clone()).await.unwrap();
    fail(Fault::Lost);
    let raced = store.append(author.batch(second.head(), 1)).await;
    assert!(
        matches!(raced, Err(AppendError::Conflict { actual, .. }) if actual == third.head()),
        "{raced:?}"
    );
    assert_eq!(objects(&service).await, [0, 2, 4]);
}

#[tokio::test]
async fn a_request_that_was_held_up_takes_a_free_name_or_none() {
    for decides_again in [false, true] {
        let late = Arc::new(Mutex::new(false));
        let plan = late.clone();
        let service = Arc::new(Service::new().failing(move |_, call| {
            let held = call == Call::Put && std::mem::take(&mut *plan.lock().unwrap());
            held.then_some(Fault::Late(1_000))
        }));
        let store = open(&service).await;
        let first = Author::new(1).batch(Head::EMPTY, 3);
        *late.lock().unwrap() = true;
        let unknown = store.append(first.clone()).await;
        assert!(matches!(unknown, Err(AppendError::OutcomeUnknown(_))), "{unknown:?}");
        let wanted = if decides_again {
            // It takes another name's place in vain: the one that it was for is taken.
            let other = Author::new(2).batch(Head::EMPTY, 1);
            store.append(other.clone()).await.unwrap();
            service.settle().await;
            other
        } else {
            // Nobody did anything: it is there after all, and who looks finds it.
            service.settle().await;
            assert_eq!(store.head().await.unwrap(), first.head());
            first
        };
        let bytes: Vec<_> = wanted.entries().iter().map(|entry| entry.bytes().clone()).collect();
        assert_eq!(standing(&service).await, bytes);
        assert_eq!(everything(&store).await, bytes);
    }
}

/// Two recorders take turns, one of whom always knows an old head; whatever is asked fails once, in every way.
#[tokio::test]
async fn f21_no_single_fault_of_any_request_loses_repeats_or_invents() {
    let calls = {
        let service = Arc::new(Service::new());
        turns(&service, false).await;
        service.calls()
    };
    assert!(calls > 30, "{calls}");
    let mut run = 0;
    for at in 0..calls {
        for fault in [
            Fault::Lost,
            Fault::ReplyLost,
            Fault::Late(1),
            Fault::Late(2),
            Fault::Late(5),
            Fault::Late(1_000),
        ] {
            for decides_again in [false, true] {
                let service = Arc::new(Service::new().failing(move |call, _| (call == at).then_some(fault)));
                turns(&service, decides_again).await;
                run += 1;
            }
        }
    }
    countersign_notices::count("faults_of_requests_to_a_bucket", &format!("{run} runs"));
}

async fn turns(service: &Arc<Service>, decides_again: bool) {
    let mut answers = Answers::new();
    let patient = async || loop {
        match Options::new().open(service.clone(), "acme").await {
            Ok(store) => break store,
            Err(error) => assert!(!error.is_damage(), "{error:?}"),
        }
    };
    let stores = [patient().await, patient().await];
    let mut authors = [Author::new(1), Author::new(2)];
    let mut heads = [Head::EMPTY; 2];
    for round in 0..4 {
        for who in 0..2 {
            let statements: Vec<_> = (0..=(round + who) % 3).map(|_| authors[who].statement()).collect();
            let mut batch = sealed(heads[who], &statements);
            let mut left = 20;
            loop {
                left -= 1;
                assert!(left > 0, "no end");
                answers.submitted(&batch);
                let answer = stores[who].append(batch.clone()).await;
                answers.answered(&batch, &answer);
                let head = match answer {
                    Ok(head) => {
                        heads[who] = head;
                        break;
                    }
                    Err(AppendError::Conflict { actual, .. }) => actual,
                    Err(AppendError::OutcomeUnknown(_)) if !decides_again => continue,
                    Err(AppendError::NotStored(StoreError::Unavailable(_))) => continue,
                    // Reads what is there, and decides again with that.
                    Err(AppendError::OutcomeUnknown(_)) => match stores[who].head().await {
                        Ok(head) => head,
                        Err(StoreError::Unavailable(_)) => continue,
                        Err(error) => panic!("{error:?}"),
                    },
                    Err(error) => panic!("{error:?}"),
                };
                // As a ledger does: a statement that stands already is not stated again.
                let found = loop {
                    match stores[who].find(statements[0].digest()).await {
                        Err(StoreError::Unavailable(_)) => {}
                        found => break found.unwrap(),
                    }
                };
                if found.is_some() {
                    break;
                }
                batch = sealed(head, &statements);
            }
        }
    }
    service.settle().await;
    let there = standing(service).await;
    assert_eq!(answers.check(&there), []);
    for store in &stores {
        assert_eq!(everything(store).await, there);
    }
}

/// Eight who race, each of whom is killed between any two steps again and again, while the requests that he made go on without him.
#[tokio::test]
async fn f11_eight_racing_writers_that_are_killed_lose_nothing_and_agree_on_one_chain() {
    let rounds = if countersign_notices::is_soak() { 400 } else { 40 };
    let first = std::env::var("COUNTERSIGN_SEED").ok().map(|seed| seed.parse::<u64>().unwrap());
    let (mut acknowledged, mut kills) = (0, 0);
    for seed in first.map_or(0..rounds, |seed| seed..seed + 1) {
        let (told, killed) = race(seed).await;
        acknowledged += told;
        kills += killed;
    }
    if first.is_none() {
        assert!(kills > 100 && acknowledged > 100, "{acknowledged} acknowledged, {kills} kills");
        let what = format!("{acknowledged} entries acknowledged, {kills} kills");
        countersign_notices::count("eight_racing_writers_in_a_bucket", &what);
    }
}

async fn race(seed: u64) -> (usize, u64) {
    const WRITERS: u8 = 8;
    const BATCHES: u64 = 4;
    let service = Arc::new(Service::new().chaotic(seed));
    let answers = Arc::new(Mutex::new(Answers::new()));
    let kills = Arc::new(Mutex::new(0));
    let writer = |number: u8| {
        let (service, answers, kills) = (service.clone(), answers.clone(), kills.clone());
        tokio::spawn(async move {
            let mut random = Random(seed.wrapping_mul(31).wrapping_add(u64::from(number)));
            let (mut author, mut store) = (Author::new(number), None);
            for _ in 0..BATCHES {
                let statements: Vec<_> = (0..=random.below(3)).map(|_| author.statement()).collect();
                loop {
                    // A process begins, and is killed at some step or gets through.
                    let steps = random.below(120);
                    let life = live(&service, store.take(), &statements, &answers);
                    match within(steps, life).await {
                        Some((open, true)) => {
                            store = open;
                            break;
                        }
                        Some((open, false)) => store = open,
                        None => *kills.lock().unwrap() += 1,
                    }
                }
            }
        })
    };
    for writer in (0..WRITERS).map(writer).collect::<Vec<_>>() {
        let patience = tokio::time::timeout(Duration::from_secs(60), writer).await;
        assert!(matches!(patience, Ok(Ok(()))), "COUNTERSIGN_SEED={seed}: {patience:?}");
    }
    // What is on its way arrives.
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    let there = standing(&service).await;
    let answers = answers.lock().unwrap();
    assert_eq!(answers.check(&there), [], "COUNTERSIGN_SEED={seed}");
    (answers.acknowledged(), *kills.lock().unwrap())
}

/// Opens if need be, and has the statements recorded: whether they are, as far as it knows.
async fn live(
    service: &Arc<Service>,
    store: Option<BucketStore>,
    statements: &[SignedStatement],
    answers: &Mutex<Answers>,
) -> (Option<BucketStore>, bool) {
    let store = match store {
        Some(store) => store,
        None => match Options::new().keep(2_000).bundle(3).open(service.clone(), "acme").await {
            Ok(store) => store,
            Err(error) if error.is_damage() => panic!("{error:?}"),
            // Its probe was in vain.
            Err(_) => return (None, false),
        },
    };
    // In this order: what a killed one asked for may arrive in between, and then the head is another one.
    let head = store.head().await.unwrap();
    if store.find(statements[0].digest()).await.unwrap().is_some() {
        return (Some(store), true);
    }
    let batch = sealed(head, statements);
    answers.lock().unwrap().submitted(&batch);
    let answer = store.append(batch.clone()).await;
    answers.lock().unwrap().answered(&batch, &answer);
    (Some(store), answer.is_ok())
}

/// What a future gives if it needs no more than so many steps; none where it is dropped before.
async fn within<T>(steps: u64, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = steps;
    std::future::poll_fn(|context| {
        if let std::task::Poll::Ready(done) = future.as_mut().poll(context) {
            return std::task::Poll::Ready(Some(done));
        }
        if left == 0 {
            return std::task::Poll::Ready(None);
        }
        left -= 1;
        std::task::Poll::Pending
    })
    .await
}

#[tokio::test]
async fn a_writer_that_is_killed_while_nobody_answers_leaves_all_or_nothing() {
    for effect in [false, true] {
        let silent = Arc::new(Mutex::new(false));
        let plan = silent.clone();
        let service = Arc::new(Service::new().failing(move |_, call| {
            (call == Call::Put && *plan.lock().unwrap()).then_some(Fault::Silence { effect })
        }));
        let store = open(&service).await;
        let batch = Author::new(1).batch(Head::EMPTY, 3);
        *silent.lock().unwrap() = true;
        let waited = tokio::time::timeout(Duration::from_millis(20), store.append(batch.clone())).await;
        assert!(waited.is_err());
        *silent.lock().unwrap() = false;
        let head = if effect { batch.head() } else { Head::EMPTY };
        assert_eq!(store.head().await.unwrap(), head, "the store is usable");
        assert_eq!(open(&service).await.append(batch.clone()).await.unwrap(), batch.head());
        assert_eq!(store.append(batch.clone()).await.unwrap(), batch.head());
        assert_eq!(standing(&service).await.len(), 3);
    }
}

#[tokio::test]
async fn a_batch_of_many_objects_is_one_history_or_an_unknown_outcome() {
    let long = |author: &mut Author, head| {
        let statements: Vec<_> = (0..200).map(|_| author.statement_of(48_000)).collect();
        sealed(head, &statements)
    };
    let service = Arc::new(Service::new());
    let store = open(&service).await;
    let batch = long(&mut Author::new(1), Head::EMPTY);
    assert_eq!(store.append(batch.clone()).await.unwrap(), batch.head());
    assert!(objects(&service).await.len() > 1, "an object has a limit");
    assert_eq!(standing(&service).await.len(), 200);
    let second = objects(&service).await[1];
    // The second object does not get there, and then another writer is first.
    let service = Arc::new(Service::new().failing(|call, kind| {
        // Two openings with their probes; the first object; then a request that is lost.
        (kind == Call::Put && call == 27).then_some(Fault::Lost)
    }));
    let (store, other) = (open(&service).await, open(&service).await);
    let batch = long(&mut Author::new(1), Head::EMPTY);
    let unknown = store.append(batch.clone()).await;
    assert!(matches!(unknown, Err(AppendError::OutcomeUnknown(_))), "{unknown:?}");
    let head = other.head().await.unwrap();
    assert_eq!(head.size, second);
    let next = Author::new(2).batch(head, 1);
    other.append(next.clone()).await.unwrap();
    let conflict = store.append(batch.clone()).await;
    let told = matches!(conflict, Err(AppendError::Conflict { actual, .. }) if actual == next.head());
    assert!(told, "{conflict:?}");
    assert_eq!(standing(&service).await.len() as u64, next.head().size);
    // It is first between the two: that nothing was stored by this call would not be true.
    let between = Arc::new(Mutex::new(Vec::<(Arc<InMemory>, Vec<u8>)>::new()));
    let plan = between.clone();
    let name: Path = format!("acme/entries/{second:020}.jsonl").into();
    let service = Arc::new(Service::new().failing(move |_, call| {
        let mut between = plan.lock().unwrap();
        if call == Call::Put
            && let Some((inner, bytes)) = between.pop()
            && !bytes.is_empty()
        {
            inner.put(&name, bytes.into()).now_or_never().unwrap().unwrap();
        }
        None
    }));
    let store = open(&service).await;
    let line = [&next.entries()[0].bytes()[..], b"\n"].concat();
    *between.lock().unwrap() = vec![(service.inner(), line), (service.inner(), Vec::new())];
    let unknown = store.append(batch.clone()).await;
    assert!(matches!(unknown, Err(AppendError::OutcomeUnknown(_))), "{unknown:?}");
    let conflict = store.append(batch).await;
    assert!(matches!(conflict, Err(AppendError::Conflict { .. })), "{conflict:?}");
    assert_eq!(standing(&service).await.len() as u64, next.head().size);
}

#[tokio::test]
async fn a_name_that_is_said_to_be_taken_and_has_nothing_is_no_acknowledgement() {
    let left = Arc::new(Mutex::new(0));
    let plan = left.clone();
    let service = Arc::new(Service::new().failing(move |_, call| {
        let mut left = plan.lock().unwrap();
        let fails = call == Call::Put && *left > 0;
        *left -= i32::from(fails);
        fails.then_some(Fault::SaidTaken)
    }));
    let store = open(&service).await;
    let batch = Author::new(1).batch(Head::EMPTY, 1);
    // As S3 answers where two try at once and neither is done: it is tried again.
    *left.lock().unwrap() = 1;
    assert_eq!(store.append(batch.clone()).await.unwrap(), batch.head());
    *left.lock().unwrap() = i32::MAX;
    let unknown = store.append(Author::new(1).batch(batch.head(), 1)).await;
    assert!(matches!(unknown, Err(AppendError::OutcomeUnknown(_))), "{unknown:?}");
    assert_eq!(standing(&service).await.len(), 1);
}

#[tokio::test]
async fn an_object_that_is_removed_under_a_writer_is_told_at_the_next_opening() {
    let service = Arc::new(Service::new());
    let store = open(&service).await;
    let batch = Author::new(1).batch(Head::EMPTY, 1);
    store.append(batch.clone()).await.unwrap();
    service.inner().delete(&"acme/entries/00000000000000000000.jsonl".into()).await.unwrap();
    store.append(Author::new(1).batch(batch.head(), 1)).await.unwrap();
    let refused = Options::new().open(service.clone(), "acme").await.unwrap_err();
    assert!(refused.is_damage(), "{refused:?}");
}
