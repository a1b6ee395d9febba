#![doc = include_str!("../README.md")]
//!
//! The parts, each a crate of its own:

pub use countersign_audit as audit;
pub use countersign_core as core;
pub use countersign_ledger as ledger;
pub use countersign_projection as projection;
pub use countersign_store as store;
pub use countersign_stores as stores;
