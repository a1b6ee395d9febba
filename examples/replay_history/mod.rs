//! The replay of an access history as signed statements: shared by the example and the tests of it.

pub(crate) mod cast;
pub(crate) mod desk;
pub(crate) mod driver;
pub(crate) mod history;
pub(crate) mod plan;

use std::collections::BTreeMap;

use countersign::core::event::EventKind;
use countersign::core::id::LedgerId;
use countersign::projection::governance::RefusalCode;

/// Anything that ends the replay.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What became of the statements.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Recorded ones.
    pub(crate) statements: BTreeMap<EventKind, u64>,
    /// Refused ones.
    pub(crate) refusals: BTreeMap<RefusalCode, u64>,
    /// Grants, among the recorded ones, that rest on a personal exception.
    pub(crate) exceptions: u64,
    /// The ledger that they are in.
    pub(crate) ledger: Option<LedgerId>,
}
