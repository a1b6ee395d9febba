//! Verification of countersign ledgers that nobody trusts.
//!
//! [`verify`] reads a ledger once and checks everything that bytes alone can show: framing, canonical form, chain, every
//! signature under the keys in force at its seq, every rule judged again, and checkpoints. The [`Report`] says claim by claim
//! what was shown, and what could not be. With the writer it shares core's strict reader and `judge`; framing, chain and tree
//! are checked by code of its own.
//!
//! ```
//! use countersign_audit::{LedgerBytes, Options, Verdict, verify};
//! use countersign_projection::test_kit::Playground;
//!
//! // The bytes of a ledger, from wherever: each entry and a line feed.
//! let entries = Playground::small().entries().to_vec();
//! let mut bytes: Vec<u8> = entries.iter().flat_map(|entry| [&**entry.bytes(), b"\n"].concat()).collect();
//! let report = verify(&mut LedgerBytes::new(bytes.clone()), &Options::default())?;
//! assert_eq!((report.verdict, report.entries), (Verdict::Verified, entries.len() as u64));
//! assert_eq!(report.anchored, 0); // Nobody gave a checkpoint, so nothing shows that the end was not cut.
//!
//! // One bit in the middle, and where it was.
//! let middle = bytes.len() / 2;
//! bytes[middle] ^= 1;
//! let report = verify(&mut LedgerBytes::new(bytes), &Options::default())?;
//! let fault = report.fault.ok_or("a fault")?;
//! println!("{} at {}", fault.code, fault.place().ok_or("in a line")?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A file, its checkpoint beside it, and the id that it must have, which is pinned from elsewhere:
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

#![deny(clippy::wildcard_enum_match_arm)]

mod chain;
mod claims;
mod directory;
mod framing;
mod judging;
mod notes;
#[allow(clippy::wildcard_enum_match_arm, reason = "over codes and errors: of events it matches none")]
mod report;
mod rules;
#[allow(clippy::wildcard_enum_match_arm, reason = "over codes and errors: of events it matches none")]
mod source;
mod tree;
mod verify;

pub use claims::{Claim, ClaimName};
pub use directory::{CutTail, Inventory, LedgerDir};
pub use report::{Code, LedgerFault, Report, SerialGap, Verdict, Warning, WarningCode};
pub use source::{
    CheckpointFile, Damage, LedgerBytes, LedgerFile, Segment, SegmentPlace, Source, SourceError,
};
pub use verify::{AsOf, Options, Progress, load, state_at, state_at_with, verify, verify_with};

#[cfg(test)]
#[allow(clippy::wildcard_enum_match_arm, reason = "rules made up for tests")]
mod tests;
