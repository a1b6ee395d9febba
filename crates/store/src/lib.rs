//! The store contract of countersign, its memory and file stores and its conformance kit.
//!
//! A [`Store`] keeps the exact bytes of entries in order and knows no rules. Everything that a ledger promises rests on two
//! things a store does: it appends only behind the head that the writer expects, by position *and* leaf hash, and it
//! acknowledges only what it keeps for as long as its [`Durability`] says. [`conformance`] tests that it does.
//!
//! ```
//! # use countersign_core::entry::Head;
//! use countersign_store::{Durability, MemoryStore, Store, TooWeak};
//!
//! let store = MemoryStore::new();
//! assert_eq!(
//!     store.durability().require(Durability::LocalSync),
//!     Err(TooWeak { asked: Durability::LocalSync, found: Durability::Volatile }),
//! );
//! assert_eq!(store.head_now(), Head::EMPTY);
//! ```

#![deny(clippy::wildcard_enum_match_arm)]

mod any;
mod batch;
pub mod conformance;
mod contract;
mod error;
#[cfg(unix)]
pub mod file;
mod growth;
pub mod jsonl;
mod memory;
pub mod reply;
mod sync;
mod synced;
#[cfg(unix)]
pub mod vfs;

pub use any::AnyStore;
pub use batch::{Batch, BatchError};
pub use contract::{
    Durability, EntryBytes, Found, KeptSnapshot, NoteBytes, SnapshotSet, Store, TooWeak, checkpoint_size,
};
pub use error::{AppendError, BoxError, StoreError};
#[cfg(unix)]
pub use file::FileStore;
pub use growth::Growth;
pub use memory::MemoryStore;
pub use synced::sync_once;
