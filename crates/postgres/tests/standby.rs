//! What an acknowledgement means: with a synchronous standby, without one, and where the server's settings promise less.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign_core::entry::Head;
use countersign_core::event::{ResourceRegistered, Tier};
use countersign_core::id::Resource;
use countersign_ledger::testing::{Founded, ManualClock};
use countersign_ledger::{Clock as _, Follow, Ledger, SystemClock};
use countersign_postgres::{AppendedIn, OpenError, Options, PostgresStore, SchemaName};
use countersign_store::conformance::{Answers, Author, Told};
use countersign_store::{AppendError, Batch, Durability, Store as _, StoreError, TooWeak};
use support::{Cluster, cluster, everything, new_schema, options, pool};

/// A server that waits for a standby before it says that a commit is done.
struct Two {
    primary: Cluster,
    standby: Cluster,
    schema: SchemaName,
}

impl Two {
    fn new(test: &str, synchronous_commit: &str) -> Option<Self> {
        let primary = cluster(test)?;
        let standby = primary.standby();
        primary.set("synchronous_commit", synchronous_commit);
        // Whatever others want to hear of the server.
        primary.set("client_min_messages", "error");
        primary.set("synchronous_standby_names", "ANY 1 (standby)");
        primary.wait_for("SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'quorum'");
        Some(Self { primary, standby, schema: new_schema() })
    }

    fn options(&self) -> Options {
        options(&self.schema).require(Durability::QuorumSync).patience(Duration::from_millis(700))
    }

    async fn open(&self) -> PostgresStore {
        self.options().open(&pool(&self.primary.url()).await, "kit").await.unwrap()
    }
}

fn registered(number: usize) -> ResourceRegistered {
    ResourceRegistered {
        environment: None,
        governed_by: None,
        process: None,
        resource: Resource::new(&format!("db:{number}")).unwrap(),
        tier: Tier::Low,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_with_a_standby_outlives_the_server_that_said_so() {
    for synchronous_commit in ["on", "remote_apply"] {
        let test = "what_was_acknowledged_with_a_standby_outlives_the_server";
        let Some(two) = Two::new(test, synchronous_commit) else { return };
        let patient = two.options().patience(Duration::from_secs(20));
        let store = patient.open(&pool(&two.primary.url()).await, "kit").await.unwrap();
        assert_eq!(store.durability(), Durability::QuorumSync);
        let clock = ManualClock::new(SystemClock::new().wall());
        let founded = Founded::found(store, clock, |recorder| recorder.accepting(Durability::QuorumSync))
            .await
            .unwrap();
        let founded = Arc::new(founded);
        // Four submit without a pause, until the server is gone.
        let answers = Arc::new(Mutex::new(Answers::new()));
        let acknowledged = || answers.lock().unwrap().acknowledged();
        let submitting: Vec<_> = (0..4)
            .map(|place| {
                tokio::spawn(submit_until_it_fails(founded.clone(), place * 1_000_000, answers.clone()))
            })
            .collect();
        while acknowledged() < 100 && submitting.iter().any(|task| !task.is_finished()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        two.primary.stop_immediately();
        two.standby.promote();
        // Who waits for an answer still will not have one.
        submitting.into_iter().for_each(|task| task.abort());
        assert!(acknowledged() >= 100);
        let by_standby = pool(&two.standby.url()).await;
        // It has no standby of its own, and says so.
        let weak = two.options().open(&by_standby, "kit").await;
        let weak = weak.err().unwrap();
        assert!(matches!(&weak, OpenError::TooWeak(weak) if weak.found == Durability::LocalSync), "{weak:?}");
        let promoted = options(&two.schema).open(&by_standby, "kit").await.unwrap();
        let there = everything(&promoted).await;
        let mut told = answers.lock().unwrap().clone();
        told.tell(Told::Submitted(there[0].signed().digest()));
        assert_eq!(told.check(there.iter().map(|entry| entry.bytes())), [], "{synchronous_commit}");
        // And it goes on, judged by whoever follows.
        let next = Author::new(1).batch(there.last().unwrap().head(), 1);
        let replica = Ledger::follow(promoted.clone()).await.unwrap();
        assert_eq!(replica.head().size, there.len() as u64);
        assert_eq!(promoted.append(next.clone()).await.unwrap(), next.head());
    }
}

async fn submit_until_it_fails(
    founded: Arc<Founded<PostgresStore>>,
    first: usize,
    answers: Arc<Mutex<Answers>>,
) {
    let [ada, ben] = &founded.governors;
    for number in first.. {
        let signed = ada.state(registered(number)).cosigned_by([ben]).sign().unwrap();
        let digest = signed.digest();
        answers.lock().unwrap().tell(Told::Submitted(digest));
        let Ok(receipt) = founded.ledger.submit(signed).await else { return };
        assert_eq!(receipt.durability, Durability::QuorumSync, "the receipt says what was promised");
        answers.lock().unwrap().tell(Told::Acknowledged { digest, seq: receipt.seq, leaf: receipt.leaf });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_standby_has_is_neither_acknowledged_nor_shown() {
    let Some(two) = Two::new("what_no_standby_has_is_neither_acknowledged_nor_shown", "remote_apply") else {
        return;
    };
    let (store, mut author) = (two.open().await, Author::new(1));
    let first = author.batch(Head::EMPTY, 2);
    assert_eq!(store.append(first.clone()).await.unwrap(), first.head());
    two.standby.stop_immediately();
    let batch = author.batch(first.head(), 2);
    for attempt in 0..3 {
        let answer = store.append(batch.clone()).await;
        // The first holds the head's row while it waits; the others wait for that.
        assert!(matches!(answer, Err(AppendError::OutcomeUnknown(_))), "attempt {attempt}: {answer:?}");
        assert_eq!(store.head().await.unwrap(), first.head(), "nobody sees it");
    }
    two.standby.start();
    settle(&store, &batch).await;
    // What is applied there is read there at once.
    let by_standby = pool(&two.standby.url()).await;
    let reader = options(&two.schema).open_for_reading(&by_standby, "kit").await.unwrap();
    assert_eq!((reader.head().await.unwrap(), everything(&reader).await.len()), (batch.head(), 4));
    let refused = options(&two.schema).open(&by_standby, "kit").await;
    assert!(matches!(refused.err().unwrap(), OpenError::Standby));
}

/// The same again, until somebody knows.
async fn settle(store: &PostgresStore, batch: &Batch) {
    for _ in 0..60 {
        match store.append(batch.clone()).await {
            Ok(head) => return assert_eq!(head, batch.head()),
            Err(AppendError::OutcomeUnknown(_)) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    panic!("nobody ever knew");
}

/// What an operator does whose standby is gone and whose writers hang.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_for_a_standby_that_an_operator_ends_is_no_acknowledgement() {
    let Some(two) = Two::new("a_wait_for_a_standby_that_an_operator_ends", "on") else { return };
    let (store, mut author) = (two.open().await, Author::new(1));
    let patient = two.options().patience(Duration::from_secs(60)).open(store.pool(), "kit").await.unwrap();
    let first = author.batch(Head::EMPTY, 1);
    assert_eq!(store.append(first.clone()).await.unwrap(), first.head());
    two.standby.stop_immediately();
    let mut head = first.head();
    let end_sessions = || {
        let waiting = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        two.primary.sql(&format!("SELECT pg_terminate_backend(pid) {waiting}"));
        two.primary.wait_for(&format!("SELECT count(*) = 0 {waiting}"));
    };
    let cancel = || {
        let waiting = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        two.primary.sql(&format!("SELECT pg_cancel_backend(pid) {waiting}"));
        two.primary.wait_for(&format!("SELECT count(*) = 0 {waiting}"));
    };
    let ends: [(&str, &dyn Fn()); 3] = [
        // The server says that it is done, and warns that no standby may have it.
        ("the statement is cancelled", &cancel),
        ("the session is ended", &end_sessions),
        ("the standby is taken out of the settings", &|| two.primary.set("synchronous_standby_names", "")),
    ];
    for (what, end) in ends {
        let batch = author.batch(head, 1);
        let appending = tokio::spawn({
            let (patient, batch) = (patient.clone(), batch.clone());
            async move { patient.append(batch).await }
        });
        two.primary.wait_for("SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
        end();
        let answer = appending.await.unwrap();
        assert!(matches!(answer, Err(AppendError::OutcomeUnknown(_))), "case: {what}: {answer:?}");
        // It stands here, and nowhere else: as long as that is so, no attempt is told that it is done.
        assert_eq!(store.head().await.unwrap(), batch.head(), "case: {what}");
        let again = store.append(batch.clone()).await;
        assert!(again.is_err(), "case: {what}: {again:?}");
        // That attempt waits still, and keeps others waiting.
        end_sessions();
        head = batch.head();
    }
    // Nothing new is taken on such terms either, and that is known.
    let next = author.batch(head, 1);
    let weak = store.append(next.clone()).await;
    assert_eq!(weakness(&weak), Some(Durability::LocalSync), "{weak:?}");
    two.standby.start();
    two.primary.set("synchronous_standby_names", "ANY 1 (standby)");
    settle(&store, &next).await;
    two.primary.stop_immediately();
    two.standby.promote();
    let promoted = options(&two.schema).open(&pool(&two.standby.url()).await, "kit").await.unwrap();
    assert_eq!(everything(&promoted).await.len(), 5);
}

/// `append_in` leaves the commit to the caller, and the server says of a wait that was ended that it is done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_committed_with_own_rows_is_acknowledged_by_appending_it_again() {
    let test = "what_was_committed_with_own_rows_is_acknowledged_by_appending_it_again";
    let Some(two) = Two::new(test, "on") else { return };
    let (store, mut author) = (two.open().await, Author::new(1));
    sqlx::raw_sql("CREATE TABLE own (batch bigint)").execute(store.pool()).await.unwrap();
    let append = async |batch: &Batch| {
        let mut transaction = store.pool().begin().await.unwrap();
        sqlx::raw_sql("INSERT INTO own VALUES (1)").execute(&mut *transaction).await.unwrap();
        let appended = store.append_in(&mut transaction, batch).await.unwrap();
        assert_eq!(appended, AppendedIn::Now(batch.head()));
        transaction
    };
    let first = author.batch(Head::EMPTY, 1);
    append(&first).await.commit().await.unwrap();
    settle(&store, &first).await;
    two.standby.stop_immediately();
    let batch = author.batch(first.head(), 1);
    let committing = tokio::spawn(append(&batch).await.commit());
    two.primary.wait_for("SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
    two.primary.set("synchronous_standby_names", "");
    committing.await.unwrap().unwrap();
    assert_eq!(two.primary.sql("SELECT count(*) FROM own"), "2\n");
    let unknown = store.append(batch.clone()).await;
    assert!(matches!(unknown, Err(AppendError::OutcomeUnknown(_))), "{unknown:?}");
    let weak = store.append(batch.clone()).await;
    assert_eq!(weakness(&weak), Some(Durability::LocalSync), "{weak:?}");
    two.standby.start();
    two.primary.set("synchronous_standby_names", "ANY 1 (standby)");
    settle(&store, &batch).await;
    assert_eq!(two.primary.sql("SELECT count(*) FROM own"), "2\n");
}

/// What the store found in place of what it was opened with, where that is why nothing was stored.
fn weakness(answer: &Result<Head, AppendError>) -> Option<Durability> {
    let Err(AppendError::NotStored(StoreError::Unavailable(cause))) = answer else { return None };
    cause.downcast_ref::<TooWeak>().map(|weak| weak.found)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_promise_less_are_named_at_opening_and_in_every_append() {
    let Some(cluster) = cluster("settings_that_promise_less") else { return };
    let (pool, schema) = (pool(&cluster.url()).await, new_schema());
    let open = |least| {
        let (options, pool) = (options(&schema).require(least), pool.clone());
        async move { options.open(&pool, "kit").await.map(|store| store.durability()) }
    };
    let found = async |least| match open(least).await {
        Err(OpenError::TooWeak(weak)) => Err(weak.found),
        Ok(found) => Ok(found),
        Err(error) => panic!("{error:?}"),
    };
    use Durability::{LocalSync, QuorumSync, Volatile};
    // The server's settings; what a store is given that asks for little, for synced, for replicated.
    let cases = [
        ("on", "on", "", [Ok(LocalSync), Ok(LocalSync), Err(LocalSync)]),
        // The store waits for the disk itself, whatever the server's default is.
        ("on", "off", "", [Ok(LocalSync), Ok(LocalSync), Err(LocalSync)]),
        ("on", "local", "nobody", [Ok(LocalSync), Ok(LocalSync), Err(LocalSync)]),
        ("on", "remote_write", "", [Ok(LocalSync), Ok(LocalSync), Err(LocalSync)]),
        ("off", "on", "", [Ok(Volatile), Err(Volatile), Err(Volatile)]),
        ("off", "remote_apply", "", [Ok(Volatile), Err(Volatile), Err(Volatile)]),
    ];
    assert_eq!(open(LocalSync).await.unwrap(), LocalSync);
    for (fsync, synchronous_commit, names, wanted) in cases {
        cluster.set("fsync", fsync);
        cluster.set("synchronous_commit", synchronous_commit);
        cluster.set("synchronous_standby_names", names);
        for (least, wanted) in [Volatile, LocalSync, QuorumSync].into_iter().zip(wanted) {
            let case = format!("fsync={fsync} synchronous_commit={synchronous_commit}: {least} wanted");
            assert_eq!(found(least).await, wanted, "case: {case}");
        }
    }
    // While it is open: refused, and taken again.
    cluster.set("synchronous_commit", "on");
    cluster.set("fsync", "on");
    let store = options(&schema).open(&pool, "kit").await.unwrap();
    let mut author = Author::new(1);
    let first = author.batch(Head::EMPTY, 1);
    cluster.set("fsync", "off");
    let weak = store.append(first.clone()).await;
    assert_eq!(weakness(&weak), Some(Volatile), "{weak:?}");
    cluster.set("fsync", "on");
    assert_eq!(store.append(first.clone()).await.unwrap(), first.head());
    // What stands already is not acknowledged on weaker terms.
    cluster.set("fsync", "off");
    let again = store.append(first.clone()).await;
    assert!(matches!(again, Err(AppendError::OutcomeUnknown(_))), "{again:?}");
}

/// Who follows reads on a standby, in another process than the recorder's as likely as not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_on_a_standby_sees_whole_entries_in_order() {
    let Some(two) = Two::new("a_follower_on_a_standby_sees_whole_entries_in_order", "remote_apply") else {
        return;
    };
    let clock = ManualClock::new(SystemClock::new().wall());
    let founded = Founded::found(two.open().await, clock, |recorder| recorder).await.unwrap();
    let by_standby = pool(&two.standby.url()).await;
    let reader = options(&two.schema).open_for_reading(&by_standby, "kit").await.unwrap();
    let how = Follow::new().poll_interval(Duration::from_millis(50));
    let replica = Ledger::follow_with(reader, how).await.unwrap();
    let mut feed = replica.subscribe(Head::EMPTY);
    for number in 0..40 {
        let receipt = founded.govern(registered(number)).await.unwrap();
        let view = replica.at_least(receipt.head().size).await.unwrap();
        assert_eq!((view.head(), view.root()), (receipt.head(), founded.ledger.current().root()));
    }
    let mut head = Head::EMPTY;
    while head != founded.ledger.head() {
        let entry = feed.next().await.unwrap().unwrap();
        assert_eq!(Head { size: entry.seq(), leaf: entry.prev() }, head);
        head = entry.head();
    }
}
