//! Projections of a countersign ledger, and the governance rules with their state.

pub mod as_of;
#[cfg(feature = "bench-internals")]
#[doc(hidden)]
pub mod cow;
#[cfg(not(feature = "bench-internals"))]
#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "structures of general use, public only to benches"
)]
pub(crate) mod cow;
pub mod governance;
pub mod periods;
pub mod projection;
pub mod registry;
pub mod runner;
pub mod snapshot;
pub mod test_kit;
pub mod tree;

mod state;
