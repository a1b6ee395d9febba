//! Statements, canonical JSON, signatures, entries, chain, Merkle tree and checkpoints of countersign.
//!
//! Everything here is pure: no I/O, clock, randomness, async or state. The formats are written down in docs/format.md; whether a
//! ledger admits a statement is for the rules of `countersign-projection` to say.
//!
//! | to | see |
//! | --- | --- |
//! | say something | [`event`] has a type for each kind, [`id`] and [`time`] the names and instants in it, [`policy`] the documents |
//! | sign it, here or elsewhere | [`statement::Statement`], [`key`] |
//! | chain it | [`entry::Entry`], [`entry::Head`] |
//! | prove and anchor it | [`merkle`], [`checkpoint`], [`note`] |
//! | read what nobody trusts | [`wire::decode`], [`scan`]; what is wrong is a [`fault::Fault`] |
//! | keep a text out of it | [`text`] |
//!
//! # A statement's way into a chain
//!
//! ```
//! use countersign_core::checkpoint::Checkpoint;
//! use countersign_core::digest::StatementDigest;
//! use countersign_core::entry::{Entry, Head};
//! use countersign_core::event::AccessRevoked;
//! use countersign_core::id::{LedgerId, LedgerRef, Principal};
//! use countersign_core::key::{SecretKey, SignerKey as _};
//! use countersign_core::merkle::CompactRange;
//! use countersign_core::statement::{SignedStatement, Statement, Version};
//! use countersign_core::wire::{Set, Text};
//!
//! // Who states something signs it with his own key. Tests make keys from seeds; a service has them made, and kept.
//! let alice = SecretKey::from_seed(&[7; 32]);
//! let ledger: LedgerId = format!("acme.example/access/{}", "0".repeat(64)).parse()?;
//! let signed = Statement {
//!     author: Principal::new("user:alice")?,
//!     cosigners: Set::default(),
//!     event: AccessRevoked { grant: StatementDigest::new([1; 32]), reason: Text::new("left the team")? }.into(),
//!     issued_at: "2026-01-05T09:00:00.000Z".parse()?,
//!     key: alice.public_key().key_id(),
//!     ledger: LedgerRef::Id(ledger.clone()),
//!     seen: None,
//!     serial: 1,
//!     v: Version,
//! }
//! .sign(&alice)?;
//!
//! // What travels is bytes, and whoever gets them verifies them under a key that he knows from elsewhere.
//! let received = SignedStatement::parse(&signed.to_bytes())?;
//! let known = |key: &_| (*key == alice.public_key().key_id()).then(|| alice.public_key());
//! let verified = received.verify(known)?;
//!
//! // The recorder gives it its place and its time. Each entry names the hash of the one before.
//! let entry = Entry::seal(Head::EMPTY, "2026-01-05T09:00:01.000Z".parse()?, verified.signed())?;
//! let again = Entry::parse(entry.bytes().clone())?;
//! assert_eq!((again.leaf(), again.head().size), (entry.leaf(), 1));
//!
//! // And signs, from time to time, how many entries there are and the root of the tree over them.
//! let recorder = SecretKey::from_seed(&[8; 32]);
//! let tree: CompactRange = [entry.leaf()].into_iter().collect();
//! let note = Checkpoint::new(ledger.as_str(), tree.size(), tree.root())?.sign(&recorder)?;
//! assert!(note.to_string().starts_with(ledger.as_str()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![deny(clippy::wildcard_enum_match_arm)]

pub mod checkpoint;
pub mod digest;
pub mod dsse;
pub mod entry;
pub mod event;
pub mod fault;
pub mod id;
pub mod key;
pub mod merkle;
pub mod note;
pub mod policy;
pub mod scan;
pub mod statement;
pub mod text;
pub mod time;
pub mod wire;

mod b64;
#[cfg(test)]
mod shared_vectors;
mod stored;
