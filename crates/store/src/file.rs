//! The file store: a ledger in a directory of JSON-lines segments, durable before it is visible.
//!
//! ```text
//! access.ledger/
//!   entries/00000000000000000000.jsonl   the exact bytes of each entry and a line feed
//!   entries/00000000000000104771.jsonl   named after the first entry in it
//!   checkpoint                           the latest signed note
//!   snapshots/                           what saves a reader the fold from the start
//!   head                                 how far the last writer came, never synced
//!   index/                               finds entries by digest; may be deleted
//!   lock                                 held by the one writer
//! ```
//!
//! Only `entries` and `checkpoint` are the ledger; docs/format.md, section 10, says all of it. [`FileStore`] writes it.

mod error;
mod evidence;
mod io;
mod lines;
mod names;
mod options;
mod recover;
mod reply;
mod segment;
mod snapshots;
mod store;
mod view;
mod writer;

pub use error::OpenError;
pub use evidence::Evidence;
pub use lines::LineFault;
pub use options::{MAX_READ_SIZE, Options, SEGMENT_SIZE};
pub use recover::{Cut, Recovery};
pub use store::FileStore;
