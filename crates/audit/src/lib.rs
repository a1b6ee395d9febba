//! Verification of countersign ledgers that nobody trusts.
//!
//! [`verify`] reads a ledger once and checks everything that bytes alone can show: framing, canonical form, chain, every
//! signature under the keys in force at its seq, every rule judged again, and checkpoints. The [`Report`] says claim by claim
//! what was shown, and what could not be. With the writer it shares core's strict reader and `judge`; framing, chain and tree
//! are checked by code of its own.
//!
//! ```no_run
//! use countersign_audit::{LedgerFile, Options, verify};
//!
//! let mut file = LedgerFile::open("access.jsonl")?;
//! let options = Options { ledger_id: Some("acme/access/0000…".parse()?), ..Options::default() };
//! let report = verify(&mut file, &options)?;
//! println!("{report}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod chain;
mod claims;
mod directory;
mod framing;
mod judging;
mod notes;
mod report;
mod rules;
mod source;
mod tree;
mod verify;

pub use claims::{Claim, ClaimName};
pub use directory::{CutTail, Inventory, LedgerDir};
pub use report::{Code, LedgerFault, Report, SerialGap, Verdict};
pub use source::{CheckpointFile, LedgerBytes, LedgerFile, Segment, SegmentPlace, Source, SourceError};
pub use verify::{AsOf, Options, Progress, load, state_at, state_at_with, verify, verify_with};

#[cfg(test)]
mod tests;
