//! The ledger handle that services embed: submit signed statements, get receipts, ask.
//!
//! A [`Ledger`] sequences statements in a store. One task of it judges, seals and appends them, batch by batch; whoever asks
//! reads an immutable [`View`] without a lock. Nothing is visible before the store has acknowledged it. [`Replica`]s follow
//! the same store elsewhere, [`Feed`]s give every entry in order, an [`Enforcer`] grants what is approved.
//!
//! Cancellation: every future here can be dropped at any point. A dropped [`Ledger::submit`] leaves its statement recorded or
//! not, never partly, and submitting it again tells which.
//!
//! ```
//! use countersign_core::entry::Head;
//! use countersign_core::event::Capacity;
//! use countersign_ledger::testing::Founded;
//! use countersign_ledger::{Check, Ledger};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A ledger for tests: two governors, keys derived from names, and a clock that stands still.
//! let acme = Founded::in_memory().await?;
//! let rita = acme.enrol("user:rita").await?;
//! let receipt = acme.assign(Capacity::Registrar, &rita).await?; // durable, and in every view from here on
//!
//! // Lock-free, from one consistent state. A check may ask for a state that is new enough.
//! let state = acme.ledger.current();
//! assert_eq!(state.state().capacities(receipt.recorded_at).len(), 1);
//! let (books, reader) = ("db:books".parse()?, "reader".parse()?);
//! let answer = acme.ledger.check(&Check::new(rita.principal(), &books, &reader).min_seq(receipt.seq))?;
//! assert!(!answer.is_allowed());
//!
//! // Every entry in order, from wherever the consumer stands.
//! let mut feed = acme.ledger.subscribe(Head::EMPTY);
//! let genesis = feed.next().await.ok_or("an entry")??;
//! assert_eq!(genesis.seq(), 0);
//!
//! // The same questions on another machine that reads the store: verified and judged again, never believed.
//! let replica = Ledger::follow(acme.store.clone()).await?;
//! assert_eq!(replica.at_least(receipt.seq + 1).await?.head(), receipt.head());
//! # Ok(())
//! # }
//! ```

#![deny(clippy::wildcard_enum_match_arm)]

mod author;
mod check;
mod clock;
mod commitment;
mod enforcer;
mod error;
mod feed;
mod ledger;
pub mod metrics;
mod opening;
mod past;
mod rebuilding;
mod receipt;
mod recorder;
mod recording;
mod replica;
mod shared;
#[cfg(feature = "testing")]
pub mod testing;
mod view;
mod watch;
mod writer;

pub use author::{Author, Draft};
pub use check::{Check, Checked};
pub use clock::{Clock, ClockStep, MAX_CLOCK_STEP, SystemClock};
pub use countersign_projection::runner::View as ProjectionView;
pub use enforcer::Enforcer;
pub use error::{
    CheckpointError, Ended, EntryError, KeptCheckpointError, OpenError, PastError, ReplayError,
    SnapshotError, Stale, SubmitError,
};
pub use feed::Feed;
pub use ledger::Ledger;
pub use opening::{Opened, UnusedReason, UnusedSnapshot};
pub use receipt::Receipt;
pub use recorder::{Recorder, SNAPSHOT_ENTRIES};
pub use recording::SnapshotStatus;
pub use replica::{Follow, Replica};
pub use view::View;
pub use writer::RETRY_FOR;
