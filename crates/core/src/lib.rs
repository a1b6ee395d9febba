//! Statements, canonical JSON, signatures, entries, chain, Merkle tree and checkpoints of countersign.
//!
//! Everything here is pure: no I/O, clock, randomness, async or state.

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
