//! Statements, canonical JSON, signatures, entries, chain, Merkle tree and checkpoints of countersign.
//!
//! Everything here is pure: no I/O, clock, randomness, async or state.

pub mod digest;
pub mod dsse;
pub mod key;
pub mod merkle;
pub mod note;

mod b64;
#[cfg(test)]
mod shared_vectors;
