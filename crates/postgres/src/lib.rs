//! The PostgreSQL store of countersign: many ledgers in a schema of its own, in the database that a service has already.
//!
//! Order comes from a compare-and-swap on the ledger's head, by position and leaf hash, in the one statement that stores the
//! entries: no sequence, no advisory lock, no isolation level is relied on. `docs/postgres.md` has the tables and how to operate them.
//!
//! ```no_run
//! # async fn open() -> Result<(), Box<dyn std::error::Error>> {
//! use countersign_postgres::PostgresStore;
//! use countersign_store::{Durability, Store as _};
//! use sqlx::PgPool;
//!
//! let pool = PgPool::connect("postgres://app@localhost/app").await?;
//! let store = PostgresStore::open(&pool, "access").await?;
//! assert!(store.durability() >= Durability::LocalSync);
//! # Ok(())
//! # }
//! ```

mod error;
mod ledger;
mod listener;
mod notify;
mod options;
mod schema;
mod session;
mod store;
mod url;
mod writer;

pub use error::OpenError;
pub use options::{Options, migrate_schema};
pub use schema::{MIGRATIONS, Migration, NameError, SCHEMA_VERSION, SchemaName, roles_sql};
pub use store::{AppendedIn, PostgresStore};
pub use url::UrlError;

/// The `server_version_num` of the oldest server that is supported.
pub const OLDEST_SERVER: i32 = 130_000;
