//! The golden ledger: made from its scenario, always the same bytes.

use std::path::Path;

use countersign_scenario::{ReadError, Recorded, load, record};

/// Seven days before the recorder's key rotates, to which the earlier checkpoint commits.
pub(crate) const EARLIER: usize = 40;

/// The ledger that the scenario in `folder` leaves.
///
/// # Errors
/// Where the scenario can not be read.
pub(crate) fn recorded(folder: &Path) -> Result<Recorded, ReadError> {
    load(&folder.join("ledger.scenario.json")).map(|scenario| record(&scenario))
}

/// The files by name: all entries, the checkpoint over them, one over the first [`EARLIER`], and the ledger id to pin.
pub(crate) fn files(recorded: &Recorded) -> Vec<(&'static str, Vec<u8>)> {
    let checkpoint =
        |size| recorded.checkpoint(size).expect("a ledger of that size with a recorder").into_bytes();
    let id = recorded.ledger_id().expect("a ledger with a genesis");
    vec![
        ("ledger.jsonl", recorded.jsonl()),
        ("ledger.jsonl.checkpoint", checkpoint(recorded.entries.len())),
        ("ledger.earlier.checkpoint", checkpoint(EARLIER)),
        ("ledger.id", format!("{id}\n").into_bytes()),
    ]
}
