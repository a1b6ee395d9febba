//! A store in object storage by its address.
#![cfg(feature = "object")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use countersign_core::entry::Head;
use countersign_store::conformance::Author;
use countersign_store::{AnyStore, AppendError, Durability, Store as _, StoreError};
use countersign_stores::{OpenError, Options, open};
use countersign_test_s3::with_bucket;

async fn open_at(address: &str, options: Options) -> Result<AnyStore, OpenError> {
    open(&address.parse().unwrap(), &options).await
}

#[test]
fn a_store_in_a_bucket_is_opened_by_its_address() {
    with_bucket("a_store_in_a_bucket_is_opened_by_its_address", |bucket| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let address = format!("s3://{}/acme/access", bucket.name());
            for options in [Options::new().existing(), Options::new().read_only()] {
                let refused = open_at(&address, options).await.unwrap_err();
                assert!(refused.is_absent() && !refused.is_damage(), "{refused:?}");
            }
            let store = open_at(&address, Options::new()).await.unwrap();
            assert_eq!(store.durability(), Durability::Service);
            let batch = Author::new(1).batch(Head::EMPTY, 3);
            assert_eq!(store.append(batch.clone()).await.unwrap(), batch.head());
            let reader = open_at(&address, Options::new().read_only()).await.unwrap();
            assert_eq!(reader.read(0, 9).await.unwrap().len(), 3);
            let refused = reader.append(batch.clone()).await;
            assert!(matches!(refused, Err(AppendError::NotStored(StoreError::ReadOnly))), "{refused:?}");
            // With a slash behind it is the same place, and without a prefix another.
            let same = open_at(&format!("{address}/"), Options::new().existing()).await.unwrap();
            assert_eq!(same.head().await.unwrap(), batch.head());
            let whole = open_at(&format!("s3://{}", bucket.name()), Options::new().read_only()).await;
            assert!(whole.unwrap_err().is_absent());
            bucket.put("acme/access/entries/00000000000000000003.jsonl", b"{}\n");
            let damaged = open_at(&address, Options::new().read_only()).await.unwrap_err();
            assert!(damaged.is_damage() && !damaged.is_absent(), "{damaged:?}");
            let refused = open_at(&format!("s3://{}/a//b", bucket.name()), Options::new()).await.unwrap_err();
            assert!(!refused.is_damage() && !refused.is_absent(), "{refused:?}");
        });
    });
}
