//! The SQLite store of countersign: many ledgers in one file, read by other processes while one writes.
//!
//! ```
//! use countersign_core::id::LedgerName;
//! use countersign_sqlite::SqliteStore;
//! use countersign_store::{Durability, Store as _};
//!
//! # let dir = std::env::temp_dir().join(format!("countersign-doc-sqlite-{}", std::process::id()));
//! # std::fs::create_dir_all(&dir)?;
//! let store = SqliteStore::open(dir.join("access.db"), &LedgerName::new("access")?)?;
//! assert_eq!(store.durability(), Durability::LocalSync);
//! # drop(store);
//! # std::fs::remove_dir_all(&dir)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! docs/stores.md says what it promises, how to back it up, and how to read it with nothing but SQL.

mod error;
mod opening;
mod options;
mod rows;
mod schema;
mod store;
mod threads;
mod writer;

pub use error::OpenError;
pub use options::{MAX_READ_SIZE, Options};
pub use schema::{APPLICATION_ID, MIN_SQLITE_VERSION, SCHEMA_VERSION, check_version};
pub use store::{SqliteStore, ledgers};
