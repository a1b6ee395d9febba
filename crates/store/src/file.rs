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
//! Only `entries` and `checkpoint` are the ledger; docs/format.md, section 10, says all of it. [`FileStore`] writes it, [`FileReader`] reads it
//! while another process writes, and [`inspect()`] tells what is there.

mod error;
mod evidence;
mod index;
mod inspect;
mod io;
mod lines;
mod names;
mod options;
mod reader;
mod recover;
mod segment;
mod snapshots;
mod store;
mod view;
mod writer;

pub use error::OpenError;
pub use evidence::Evidence;
pub use inspect::{Kept, Report, Segment, Torn, inspect, inspect_in};
pub use lines::LineFault;
pub use options::{MAX_READ_SIZE, Options, SEGMENT_SIZE};
pub use reader::FileReader;
pub use recover::{Cut, Recovery};
pub use store::FileStore;
