//! A PostgreSQL store by its address.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::error::Error as _;

use countersign_core::entry::Head;
use countersign_store::conformance::Author;
use countersign_store::{AnyStore, AppendError, Store as _, StoreError};
use countersign_stores::{OpenError, Options, open};
use countersign_test_postgres::{free_port, server};

async fn open_at(address: &str, options: Options) -> Result<AnyStore, OpenError> {
    open(&address.parse().unwrap(), &options).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_store_is_opened_by_its_address() {
    let Some(server) = server("a_postgres_store_is_opened_by_its_address") else { return };
    let database = server.database();
    let address = format!("{}#acme/access", database.url());
    for options in [Options::new().existing(), Options::new().read_only()] {
        let refused = open_at(&address, options).await.unwrap_err();
        assert!(refused.is_absent() && !refused.is_damage(), "{refused:?}");
    }
    assert_eq!(database.sql("SELECT to_regnamespace('countersign') IS NULL"), "t\n", "nothing was made");
    let store = open_at(&address, Options::new()).await.unwrap();
    let batch = Author::new(1).batch(Head::EMPTY, 3);
    assert_eq!(store.append(batch.clone()).await.unwrap(), batch.head());
    let reader = open_at(&address, Options::new().read_only()).await.unwrap();
    assert_eq!(reader.read(0, 9).await.unwrap().len(), 3);
    let refused = reader.append(batch.clone()).await;
    assert!(matches!(refused, Err(AppendError::NotStored(StoreError::ReadOnly))), "{refused:?}");
    let other = format!("{}#acme/other", database.url());
    for options in [Options::new().existing(), Options::new().read_only()] {
        assert!(open_at(&other, options).await.unwrap_err().is_absent());
    }
    database.sql("DELETE FROM countersign.entries WHERE seq = 2");
    let damaged = open_at(&address, Options::new().read_only()).await.unwrap_err();
    assert!(damaged.is_damage() && !damaged.is_absent(), "{damaged:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_error_has_the_password_of_an_address() {
    let mut places = vec![
        // Nobody listens, and what can not be read.
        format!("postgres://ann:hunter2@127.0.0.1:{}/x#access", free_port()),
        format!("postgres://127.0.0.1:{}/x?user=ann&password=hunter2#access", free_port()),
        "postgres://ann:hunter2@127.0.0.1:1x/x#access".to_owned(),
        "postgres://ann:1/hunter2@127.0.0.1/x#access".to_owned(),
        "postgres://127.0.0.1/x?passwrd=hunter2#access".to_owned(),
    ];
    let server = server("no_error_has_the_password_of_an_address");
    if let Some(server) = &server
        && let Some((_, place)) = server.url().split_once('@')
    {
        places.push(format!("postgres://nobody_of_that_name:hunter2@{place}#access"));
        places.push(format!("postgres://postgres:hunter2@{place}_that_is_not_there#access"));
    }
    for place in places {
        for options in [Options::new(), Options::new().existing(), Options::new().read_only()] {
            let error = open_at(&place, options).await.unwrap_err();
            assert!(!error.is_absent() && !error.is_damage(), "{error:?}");
            let mut told = format!("{error:?} {error}");
            let mut cause = error.source();
            while let Some(next) = cause {
                told += &format!(" {next:?} {next}");
                cause = next.source();
            }
            assert!(!told.contains("hunter2"), "{told}");
        }
    }
}
