//! The ledger that a scenario leaves.

use countersign_core::checkpoint::Checkpoint;
use countersign_core::entry::Entry;
use countersign_core::id::LedgerId;
use countersign_core::key::SecretKey;
use countersign_core::merkle::CompactRange;

use crate::report::Report;

/// What a run of a scenario recorded.
///
/// ```
/// use countersign_scenario::{parse, record};
///
/// let scenario = parse(r#"{
///     "title": "A ledger is opened",
///     "setup": {
///         "governors": ["user:gail"], "quorum": 1, "recorder": "automation:recorder",
///         "principals": ["user:gail", { "name": "automation:recorder", "controllers": ["person:otto"] }]
///     },
///     "timeline": []
/// }"#)?;
/// let recorded = record(&scenario);
/// assert!(recorded.report.passed());
/// assert_eq!(recorded.entries.len(), 1);
/// assert!(recorded.jsonl().ends_with(b"}\n"));
/// assert!(recorded.checkpoint(1).is_some_and(|note| note.starts_with("scenario/")));
/// # Ok::<(), countersign_scenario::ReadError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Recorded {
    /// What the run found.
    pub report: Report,
    /// The entries, from genesis on.
    pub entries: Vec<Entry>,
    /// The recorder's key after each of them.
    pub(crate) recorders: Vec<Option<SecretKey>>,
}

impl Recorded {
    /// The ledger's id, once there is a genesis.
    #[must_use]
    pub fn ledger_id(&self) -> Option<LedgerId> {
        let genesis = self.entries.first()?.signed();
        let countersign_core::event::Event::LedgerOpened(opened) = &genesis.statement().event else {
            return None;
        };
        Some(LedgerId::new(&opened.name, genesis.digest()))
    }

    /// The ledger as one file: each entry's bytes and a line feed (docs/format.md section 10).
    #[must_use]
    pub fn jsonl(&self) -> Vec<u8> {
        self.entries.iter().flat_map(|entry| [&**entry.bytes(), b"\n"].concat()).collect()
    }

    /// A checkpoint over the first `size` entries, by the recorder's key that was in force after them. None where there are
    /// not that many, or none.
    #[must_use]
    pub fn checkpoint(&self, size: usize) -> Option<String> {
        let entries = self.entries.get(..size)?;
        let recorder = self.recorders.get(size.checked_sub(1)?)?.as_ref()?;
        let tree: CompactRange = entries.iter().map(Entry::leaf).collect();
        let checkpoint = Checkpoint::new(self.ledger_id()?.as_str(), tree.size(), tree.root()).ok()?;
        Some(checkpoint.sign(recorder).ok()?.to_string())
    }
}
