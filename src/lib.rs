//! Access governance as a ledger of signed decisions. The parts live in the crates re-exported here.
pub use countersign_core as core;
pub use countersign_projection as projection;
