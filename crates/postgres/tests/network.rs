//! What a network does to a ledger: requests that do not arrive, or late, and replies that are lost (F-21).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use countersign_core::entry::Head;
use countersign_core::event::{ResourceRegistered, Tier};
use countersign_core::id::Resource;
use countersign_ledger::testing::{Founded, ManualClock};
use countersign_ledger::{Clock as _, Ledger, SubmitError, SystemClock};
use countersign_postgres::PostgresStore;
use countersign_store::conformance::Author;
use countersign_store::{AppendError, Batch, Store as _, StoreError};
use countersign_test_postgres::Proxy;
use support::{Cluster, cluster, everything, new_schema, open, options, pool};

/// A ledger by way of a network, and the same one without.
struct Far {
    proxy: Proxy,
    far: PostgresStore,
    near: PostgresStore,
    author: Author,
}

impl Far {
    async fn new(cluster: &Cluster) -> Self {
        // How a statement begins that appends.
        let proxy = Proxy::to(cluster.port(), "WITH head");
        let schema = new_schema();
        let near = open(&pool(&cluster.url()).await, &schema).await;
        let by_proxy = pool(&cluster.url_at(proxy.port())).await;
        let far = options(&schema).patience(Duration::from_secs(20)).open(&by_proxy, "kit").await.unwrap();
        let mut all = Self { proxy, far, near, author: Author::new(1) };
        // The statement is known to the server from here on: an append is one request.
        let first = all.next().await;
        assert_eq!(all.far.append(first.clone()).await.unwrap(), first.head());
        all
    }

    async fn next(&mut self) -> Batch {
        self.author.batch(self.near.head().await.unwrap(), 2)
    }

    /// Of a batch whose outcome is unknown, another attempt says what became of it, and it stands once.
    async fn settle(&self, batch: &Batch) {
        assert_eq!(self.far.append(batch.clone()).await.unwrap(), batch.head());
        assert_eq!(self.near.head().await.unwrap(), batch.head());
        assert_eq!(everything(&self.near).await.len() as u64, batch.head().size);
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

fn assert_unknown(answer: Result<Head, AppendError>) {
    assert!(matches!(answer, Err(AppendError::OutcomeUnknown(_))), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f21_a_reply_that_is_lost_after_the_commit_is_an_unknown_outcome_that_a_retry_settles() {
    let Some(cluster) = cluster("f21_a_reply_that_is_lost_after_the_commit") else { return };
    let mut far = Far::new(&cluster).await;
    for round in 1..=8 {
        let batch = far.next().await;
        far.proxy.lose_replies(1);
        assert_unknown(far.far.append(batch.clone()).await);
        assert_eq!(far.proxy.lost(), round);
        assert_eq!(far.near.head().await.unwrap(), batch.head(), "it was stored, and nobody was told");
        if round % 2 == 0 {
            // What comes behind it does not change what it comes to.
            let next = far.next().await;
            far.near.append(next).await.unwrap();
            assert_eq!(far.far.append(batch.clone()).await.unwrap(), batch.head());
        } else {
            far.settle(&batch).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f21_a_request_that_is_cut_anywhere_stores_nothing_that_a_retry_does_not_settle() {
    let Some(cluster) = cluster("f21_a_request_that_is_cut_anywhere") else { return };
    let mut far = Far::new(&cluster).await;
    let batch = far.next().await;
    far.far.append(batch).await.unwrap();
    let length = far.proxy.last_request();
    // The last five bytes say that the statement is to be done and committed.
    for bytes in [0, 1, 4, 5, length / 4, length / 2, length - 6, length - 5, length - 4, length - 1] {
        let batch = far.next().await;
        far.proxy.cut_request_after(bytes);
        assert_unknown(far.far.append(batch.clone()).await);
        assert_eq!(far.near.head().await.unwrap(), batch.expected(), "{bytes} of {length} bytes did it");
        far.settle(&batch).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f21_a_request_that_arrives_after_it_was_given_up_stands_once_or_not_at_all() {
    let Some(cluster) = cluster("f21_a_request_that_arrives_after_it_was_given_up") else { return };
    let mut all = Far::new(&cluster).await;
    let by_proxy = all.far.pool().clone();
    let schema = new_schema();
    let near = open(all.near.pool(), &schema).await;
    for round in 0..4 {
        let far = options(&schema).patience(Duration::from_secs(20)).open(&by_proxy, "kit").await.unwrap();
        let head = near.head().await.unwrap();
        let first = all.author.batch(head, 1);
        far.append(first.clone()).await.unwrap();
        let batch = all.author.batch(first.head(), 2);
        all.proxy.hold();
        let appending = tokio::time::timeout(Duration::from_millis(200), far.append(batch.clone())).await;
        assert!(appending.is_err(), "nobody answers: {appending:?}");
        // Its runtime goes on with it: what was given up is the wait alone. Meanwhile others append, the same or something else.
        let other = if round % 2 == 0 { batch.clone() } else { all.author.batch(first.head(), 1) };
        near.append(other.clone()).await.unwrap();
        all.proxy.release();
        let late = far.append(batch.clone()).await;
        match late {
            Ok(head) if round % 2 == 0 => assert_eq!(head, batch.head()),
            Err(AppendError::Conflict { actual, .. }) if round % 2 == 1 => assert_eq!(actual, other.head()),
            late => panic!("round {round}: {late:?}"),
        }
        assert_eq!(near.head().await.unwrap(), other.head());
        assert_eq!(everything(&near).await.len() as u64, other.head().size);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_falls_silent_is_waited_for_within_a_limit() {
    let Some(cluster) = cluster("a_network_that_falls_silent") else { return };
    let proxy = Proxy::to(cluster.port(), "WITH head");
    let (schema, patience) = (new_schema(), Duration::from_millis(300));
    let near = open(&pool(&cluster.url()).await, &schema).await;
    let by_proxy = pool(&cluster.url_at(proxy.port())).await;
    let far = options(&schema).patience(patience).open(&by_proxy, "kit").await.unwrap();
    let mut author = Author::new(1);
    let first = author.batch(Head::EMPTY, 1);
    far.append(first.clone()).await.unwrap();
    let batch = author.batch(first.head(), 2);
    proxy.hold();
    assert_unknown(far.append(batch.clone()).await);
    // No connection comes about any more: that attempt stores nothing.
    let again = far.append(batch.clone()).await;
    assert!(matches!(again, Err(AppendError::NotStored(_))), "{again:?}");
    // Neither are questions, and whoever comes while others wait has the same time, not that of those in front besides.
    let asking = async {
        let statement = batch.entries()[0].signed().digest();
        [
            far.head().await.map(drop),
            far.read(0, 1).await.map(drop),
            far.find(statement).await.map(drop),
            far.checkpoint().await.map(drop),
        ]
    };
    let asked = tokio::time::timeout(Duration::from_secs(30), asking).await.expect("answers");
    assert!(asked.iter().all(|answer| matches!(answer, Err(StoreError::Unavailable(_)))), "{asked:?}");
    let all = (0..5).map(|_| {
        let (far, batch) = (far.clone(), batch.clone());
        async move { far.append(batch).await }
    });
    let all: Vec<_> = all.map(tokio::spawn).collect();
    let mut answers = Vec::new();
    for appending in all {
        answers.push(appending.await.unwrap());
    }
    let Err(AppendError::NotStored(StoreError::Unavailable(cause))) = &answers[4] else {
        panic!("{answers:?}")
    };
    assert_eq!(cause.to_string(), "what was to be written before took too long");
    proxy.release();
    // The first request is on its way now. Whoever is first, it stands once.
    let settled = loop {
        match far.append(batch.clone()).await {
            Ok(head) => break head,
            Err(AppendError::OutcomeUnknown(_) | AppendError::NotStored(_)) => {}
            Err(error) => panic!("{error:?}"),
        }
    };
    assert_eq!((settled, near.head().await.unwrap()), (batch.head(), batch.head()));
    assert_eq!(everything(&near).await.len(), 3);
}

/// A restart that takes longer than anybody wants to wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_submits_while_the_server_is_away_is_told_in_time_and_gets_the_receipt_once_it_is_back() {
    let Some(cluster) = cluster("who_submits_while_the_server_is_away") else { return };
    let (pool, schema, patience) = (pool(&cluster.url()).await, new_schema(), Duration::from_secs(2));
    let store = options(&schema).patience(patience).open(&pool, "kit").await.unwrap();
    let clock = ManualClock::new(SystemClock::new().wall());
    let founded = Founded::found(store.clone(), clock, |recorder| recorder).await.unwrap();
    let [ada, ben] = &founded.governors;
    let statements: Vec<_> =
        (0..4).map(|number| ada.state(registered(number)).cosigned_by([ben]).sign().unwrap()).collect();
    cluster.stop_immediately();
    for round in 0..3 {
        let submitting: Vec<_> = statements
            .iter()
            .map(|signed| {
                let (ledger, signed) = (founded.ledger.clone(), signed.clone());
                tokio::spawn(async move { ledger.submit(signed).await })
            })
            .collect();
        for submitted in submitting {
            // Far more than the bound, and far less than for ever: the machine may be busy.
            let outcome = tokio::time::timeout(Duration::from_secs(120), submitted).await;
            let outcome = outcome.expect("an answer").unwrap();
            assert!(
                matches!(outcome, Err(SubmitError::OutcomeUnknown { .. } | SubmitError::Store(_))),
                "round {round}: {outcome:?}"
            );
        }
    }
    assert_eq!(founded.ledger.head().size, 1, "nothing is shown that may not stand");
    cluster.start();
    for (signed, seq) in statements.iter().zip(1..) {
        let receipt = loop {
            match founded.ledger.submit(signed.clone()).await {
                Ok(receipt) => break receipt,
                Err(SubmitError::OutcomeUnknown { .. } | SubmitError::Store(_)) => {}
                Err(error) => panic!("{error:?}"),
            }
        };
        assert_eq!((receipt.seq, receipt.statement), (seq, signed.digest()));
    }
    assert_eq!(everything(&store).await.len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f21_a_service_whose_replies_are_lost_gets_its_receipts_all_the_same() {
    let Some(cluster) = cluster("f21_a_service_whose_replies_are_lost") else { return };
    let Far { proxy, near, .. } = Far::new(&cluster).await;
    let schema = new_schema();
    let by_proxy = pool(&cluster.url_at(proxy.port())).await;
    let store = options(&schema).open(&by_proxy, "kit").await.unwrap();
    let clock = ManualClock::new(SystemClock::new().wall());
    let founded = Founded::found(store, clock, |recorder| recorder).await.unwrap();
    for number in 0..12 {
        match number % 3 {
            0 => proxy.lose_replies(1 + number / 3),
            1 => proxy.cut_request_after(100 * number),
            _ => proxy.cut(),
        }
        let receipt = founded.govern(registered(number)).await.unwrap();
        assert_eq!(receipt.seq, number as u64 + 1);
    }
    assert!(proxy.lost() >= 4, "{} replies were lost", proxy.lost());
    let near = open(near.pool(), &schema).await;
    let replica = Ledger::follow(near.clone()).await.unwrap();
    assert_eq!((everything(&near).await.len(), replica.head()), (13, founded.ledger.head()));
}
