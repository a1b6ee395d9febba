//! Fuzz targets of countersign, and what they start from. `fuzz/README.md` says how to run them.

pub mod damage;
pub mod recovery;
pub mod seeds;
pub mod snapshots;
pub mod targets;
pub mod verifying;
