//! The store over the wire of S3, against `moto_server`; see docs/stores.md for what that server can show and what not.

#![cfg(feature = "s3")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use common::everything;
use common::service::Random;
use countersign_object::object_store::ObjectStore;
use countersign_object::object_store::aws::AmazonS3Builder;
use countersign_object::{BucketStore, OpenError, Options, s3};
use countersign_store::conformance::{Answers, Author, Kit};
use countersign_store::{AppendError, Durability, Store as _};
use countersign_test_s3::{Fate, Proxy, Request, Server, server};

/// A client of a new bucket, by way of `port`.
fn client(server: &Server, port: u16) -> Arc<dyn ObjectStore> {
    let bucket = server.bucket();
    let builder = AmazonS3Builder::new()
        .with_bucket_name(bucket.name())
        .with_endpoint(format!("http://127.0.0.1:{port}"))
        .with_allow_http(true)
        .with_access_key_id("kit")
        .with_secret_access_key("kit");
    s3::client(builder).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_over_the_wire_of_s3_keeps_the_contract() {
    let Some(server) = server("a_bucket_over_the_wire_of_s3_keeps_the_contract") else { return };
    let proxy = Proxy::new(server.port(), |_| Fate::Answered);
    let objects = client(&server, proxy.port());
    let (next, again) = (AtomicU64::new(0), objects.clone());
    let report = Kit::new(move || {
        let prefix = format!("kit/{}", next.fetch_add(1, Ordering::Relaxed));
        let objects = objects.clone();
        async move { Options::new().open(objects, &prefix).await.unwrap() }
    })
    .claiming(Durability::Service)
    .reopening(move |store: Arc<BucketStore>| {
        let objects = again.clone();
        async move { Options::new().open(objects, store.prefix().as_ref()).await.unwrap() }
    })
    // Each look is a request, and that server takes its time.
    .polling(300)
    .beside(async |_| ())
    .spawning(|task| drop(tokio::spawn(task)))
    .run()
    .await;
    report.assert_conforms();
    // An object is there, or it is not.
    assert_eq!(report.skipped(), ["a_torn_append_leaves_whole_entries"]);
}

/// Requests and replies that go missing on a real connection, while eight writers race.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f21_eight_writers_whose_replies_are_lost_on_the_wire_agree_on_one_chain() {
    let name = "f21_eight_writers_whose_replies_are_lost_on_the_wire_agree_on_one_chain";
    let Some(server) = server(name) else { return };
    let lost = Arc::new(Mutex::new([0_u64; 2]));
    let (counted, mut random) = (lost.clone(), Random(1));
    let proxy = Proxy::new(server.port(), move |request: &Request| {
        if request.method != "PUT" || !request.path.contains("/entries/") {
            return Fate::Answered;
        }
        match random.below(5) {
            0 => {
                counted.lock().unwrap()[0] += 1;
                Fate::Lost
            }
            1 => {
                counted.lock().unwrap()[1] += 1;
                Fate::ReplyLost
            }
            _ => Fate::Answered,
        }
    });
    let objects = client(&server, proxy.port());
    let answers = Arc::new(Mutex::new(Answers::new()));
    let unknown = Arc::new(AtomicU64::new(0));
    let writer = |number: u8| {
        let (objects, answers, unknown) = (objects.clone(), answers.clone(), unknown.clone());
        tokio::spawn(async move {
            let store = Options::new().open(objects, "acme").await.unwrap();
            let mut author = Author::new(number);
            for round in 0..4 {
                let mut head = store.head().await.unwrap();
                let mut batch = author.batch(head, 1 + round % 3);
                loop {
                    answers.lock().unwrap().submitted(&batch);
                    let answer = store.append(batch.clone()).await;
                    answers.lock().unwrap().answered(&batch, &answer);
                    match answer {
                        Ok(_) => break,
                        Err(AppendError::Conflict { actual, .. }) => {
                            head = actual;
                            batch = author.batch(head, 1 + round % 3);
                        }
                        // The same again gives the outcome of the first attempt.
                        Err(AppendError::OutcomeUnknown(_)) => {
                            unknown.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => panic!("{error:?}"),
                    }
                }
            }
        })
    };
    for writer in (0..8).map(writer).collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let reader = Options::new().open_read_only(objects, "acme").await.unwrap();
    let there = everything(&reader).await;
    assert_eq!(answers.lock().unwrap().check(&there), []);
    let [requests, replies] = *lost.lock().unwrap();
    assert!(requests > 0 && replies > 0, "{requests} requests and {replies} replies were lost");
    let what = format!(
        "{} entries acknowledged, {requests} requests and {replies} replies lost, {} outcomes unknown at first",
        there.len(),
        unknown.load(Ordering::Relaxed)
    );
    countersign_notices::count("a_bucket_over_the_wire", &what);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_is_not_there_or_whose_service_is_gone_is_told() {
    let Some(server) = server("a_bucket_that_is_not_there_or_whose_service_is_gone_is_told") else { return };
    let builder = |port: u16| {
        AmazonS3Builder::new()
            .with_bucket_name("nobody-made-this")
            .with_endpoint(format!("http://127.0.0.1:{port}"))
            .with_allow_http(true)
            .with_access_key_id("kit")
            .with_secret_access_key("hunter2")
    };
    for port in [server.port(), countersign_test_s3::free_port()] {
        let objects = s3::client(builder(port)).unwrap();
        for opened in [
            Options::new().open(objects.clone(), "acme").await,
            Options::new().open_read_only(objects.clone(), "acme").await,
        ] {
            let error = opened.unwrap_err();
            assert!(!error.is_absent() && !error.is_damage(), "{error:?}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_was_told_to_make_no_conditions_is_refused() {
    use countersign_object::object_store::aws::S3ConditionalPut;
    let Some(server) = server("a_client_that_was_told_to_make_no_conditions_is_refused") else { return };
    let bucket = server.bucket();
    let builder = AmazonS3Builder::new()
        .with_bucket_name(bucket.name())
        .with_endpoint(format!("http://127.0.0.1:{}", server.port()))
        .with_allow_http(true)
        .with_access_key_id("kit")
        .with_secret_access_key("kit")
        .with_conditional_put(S3ConditionalPut::Disabled);
    let refused = Options::new().open(s3::client(builder).unwrap(), "acme").await.unwrap_err();
    assert!(matches!(refused, OpenError::NoCondition(_)), "{refused:?}");
}
