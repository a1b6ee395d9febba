//! Store addresses: which store a ledger is in, by a line of configuration.
//!
//! | address | the ledger is |
//! | --- | --- |
//! | `DIR`, `NAME.jsonl` | at a path, in a directory or in one file: what stands there decides |
//! | `file:DIR` | in a directory |
//! | `sqlite:FILE#LEDGER` | in a SQLite database, under a name (feature `sqlite`) |
//! | `postgres://...#LEDGER` | in a PostgreSQL database, under a name (feature `postgres`) |
//! | `s3://BUCKET/PREFIX` | in object storage, in a bucket of S3 or of a service that speaks like it (feature `object`) |
//! | `memory:` | in this process, and gone with it |
//!
//! ```
//! use countersign_stores::Address;
//!
//! let address: Address = "postgres://ann:secret@db.example/access?sslmode=require#acme".parse()?;
//! assert_eq!(address.to_string(), "postgres://ann:***@db.example/access?***#acme");
//! # Ok::<(), countersign_stores::ParseAddressError>(())
//! ```

mod address;
mod open;

pub use address::{Address, ParseAddressError, SecretUrl};
pub use open::{OpenError, Options, open};
