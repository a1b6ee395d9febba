//! Encrypted connections: to the right server, and to no other.
#![cfg(feature = "rustls")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use countersign_core::entry::Head;
use countersign_postgres::{OpenError, Options, PostgresStore, SchemaName};
use countersign_store::conformance::Author;
use countersign_store::{AppendError, Store as _, StoreError};
use countersign_test_postgres::Certificates;
use support::{Cluster, cluster, everything, new_schema, options};

/// An address of the server, by host and parameters.
fn at(cluster: &Cluster, host: &str, parameters: &str) -> String {
    format!("postgres://postgres@{host}:{}/postgres?application_name=encrypted&{parameters}", cluster.port())
}

fn trusting(authority: &Certificates, mode: &str) -> String {
    format!("sslmode={mode}&sslrootcert={}", authority.authority.display())
}

/// What comes of opening: for writing by an address, for reading by one, and in a pool of somebody's own.
async fn open_all(options: Options, url: &str) -> Vec<Result<PostgresStore, OpenError>> {
    let pool = sqlx::PgPool::connect_lazy(url).unwrap();
    vec![
        options.clone().connect(url, "kit").await,
        options.clone().connect_for_reading(url, "kit").await,
        options.open(&pool, "kit").await,
    ]
}

fn assert_refused(opened: Vec<Result<PostgresStore, OpenError>>, case: &str) {
    for opened in opened {
        let refused = opened.err();
        assert!(matches!(refused, Some(OpenError::Tls(_))), "case: {case}: {refused:?}");
    }
}

/// Whether each session of the address above is encrypted.
fn is_encrypted(cluster: &Cluster) -> String {
    let sessions = "pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'encrypted'";
    cluster.sql(&format!("SELECT DISTINCT ssl FROM {sessions}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_known_by_its_certificate_and_its_name() {
    let test = "a_server_is_known_by_its_certificate_and_its_name";
    let Some(cluster) = cluster(test) else { return };
    let schema = new_schema();
    let options = || options(&schema).patience(Duration::from_secs(20));
    // It has no encryption: who can do without goes on without, and nobody else.
    assert_refused(open_all(options(), &at(&cluster, "localhost", "sslmode=require")).await, "none");
    let open = options().connect(&at(&cluster, "localhost", "sslmode=prefer"), "kit").await.unwrap();
    assert_eq!(is_encrypted(&cluster), "f\n");
    drop(open);
    cluster.wait_for("SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'encrypted'");

    let Some(other) = cluster.encrypt(test) else { return };
    let right = cluster.encrypt(test).unwrap();
    let refused = [
        ("an authority that is not known", "localhost", "sslmode=verify-full".to_owned()),
        ("another authority", "localhost", trusting(&other, "verify-full")),
        ("another authority, any name", "localhost", trusting(&other, "verify-ca")),
        ("another name", "127.0.0.1", trusting(&right, "verify-full")),
    ];
    for (case, host, parameters) in refused {
        assert_refused(open_all(options(), &at(&cluster, host, &parameters)).await, case);
    }
    let taken = [
        ("the right one", "localhost", trusting(&right, "verify-full")),
        ("any name", "127.0.0.1", trusting(&right, "verify-ca")),
        // Encrypted, with whoever it is.
        ("whoever", "localhost", "sslmode=require".to_owned()),
        ("whoever has encryption", "localhost", "sslmode=prefer".to_owned()),
    ];
    let (mut author, mut head) = (Author::new(1), Head::EMPTY);
    for (case, host, parameters) in taken {
        for opened in open_all(options(), &at(&cluster, host, &parameters)).await {
            let store = opened.unwrap_or_else(|error| panic!("case: {case}: {error:?}"));
            let batch = author.batch(head, 1);
            match store.append(batch.clone()).await {
                Ok(_) => head = batch.head(),
                Err(AppendError::NotStored(StoreError::ReadOnly)) => {}
                Err(error) => panic!("case: {case}: {error:?}"),
            }
            assert_eq!(store.head().await.unwrap(), head, "case: {case}");
            assert_eq!(is_encrypted(&cluster), "t\n", "case: {case}");
        }
    }
    assert_eq!(head.size, 8);
}

/// Whoever puts a server of his own in the place of the right one gets no entry, and shows none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_becomes_another_one_is_written_to_no_more() {
    let test = "a_server_that_becomes_another_one_is_written_to_no_more";
    let Some(cluster) = cluster(test) else { return };
    let Some(right) = cluster.encrypt(test) else { return };
    let schema: SchemaName = new_schema();
    let url = at(&cluster, "localhost", &trusting(&right, "verify-full"));
    let options = options(&schema).patience(Duration::from_secs(2));
    let store = options.connect(&url, "kit").await.unwrap();
    let mut author = Author::new(1);
    let first = author.batch(Head::EMPTY, 1);
    assert_eq!(store.append(first.clone()).await.unwrap(), first.head());
    // Its sessions end, and those who come again find a certificate of another authority.
    let other = cluster.encrypt(test).unwrap();
    let end =
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'encrypted'";
    cluster.sql(end);
    let next = author.batch(first.head(), 1);
    let cut = store.append(next.clone()).await;
    assert!(matches!(cut, Err(AppendError::OutcomeUnknown(_))), "{cut:?}");
    let refused = store.append(next.clone()).await;
    assert!(matches!(refused, Err(AppendError::NotStored(StoreError::Unavailable(_)))), "{refused:?}");
    let unread = store.head().await;
    assert!(matches!(unread, Err(StoreError::Unavailable(_))), "{unread:?}");
    let url = at(&cluster, "localhost", &trusting(&other, "verify-full"));
    let by_other = support::options(&schema).connect(&url, "kit").await.unwrap();
    assert_eq!(everything(&by_other).await.len(), 1);
}
