//! The ledger handle that services embed: submit signed statements, get receipts, ask.
//!
//! A [`Ledger`] sequences statements in a store. One task of it judges, seals and appends them, batch by batch; whoever asks
//! reads an immutable [`View`] without a lock. Nothing is visible before the store has acknowledged it. [`Replica`]s follow
//! the same store elsewhere, [`Feed`]s give every entry in order, an [`Enforcer`] grants what is approved.
//!
//! Cancellation: every future here can be dropped at any point. A dropped [`Ledger::submit`] leaves its statement recorded or
//! not, never partly, and submitting it again tells which.

mod author;
mod check;
mod clock;
mod commitment;
mod enforcer;
mod error;
mod feed;
mod ledger;
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
