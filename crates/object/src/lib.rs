//! The object store of countersign: a ledger in a bucket, one object a commit, for any service that creates an object only where
//! none of that name is (the `object_store` crate: S3 and what speaks like it, the local file system, memory).
//!
//! ```
//! use std::sync::Arc;
//!
//! use countersign_core::entry::Head;
//! use countersign_object::{Options, object_store::memory::InMemory};
//! use countersign_store::{Durability, Store as _};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let options = Options::new().acknowledging(Durability::Volatile);
//! let store = options.open(Arc::new(InMemory::new()), "acme/access").await?;
//! assert_eq!(store.head().await?, Head::EMPTY);
//! # Ok(())
//! # }
//! ```
//!
//! # Why no two writers fork it
//!
//! An object of entries is named by the position of its first entry, and is never changed or removed. From the first one on, each says
//! by its length what the next one is called: the names, too, are a chain, and what is on it stays on it. A writer makes an
//! object only at the name that this chain ends at, with entries that stand behind the last one by leaf hash, and the service lets one
//! of those who try have that name. So whoever was slow, slept, was killed or had his request held up on its way finds the name taken, or takes
//! it: there is no third way, and no lock, lease or clock that could fail. What lies under another name than the next was made by
//! nobody who keeps to this, and is named as damage.
//!
//! It is also why bundles, which hold the entries of many objects for those who read, never take their place: a name that is free again is
//! free for a writer that was held up.

#![deny(clippy::wildcard_enum_match_arm)]

mod bucket;
mod bundle;
mod error;
mod known;
mod names;
mod options;
mod piece;
mod probe;
#[cfg(feature = "s3")]
pub mod s3;
mod snapshots;
mod store;

pub use error::OpenError;
pub use object_store;
pub use options::Options;
pub use store::BucketStore;
