//! What the objects of a ledger are called.

use object_store::path::Path;

/// The names below the prefix of one ledger. Positions have 20 digits, so that names sort as positions do.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    prefix: Path,
}

const ENTRIES: (&str, &str) = ("entries", ".jsonl");
const CHECKPOINTS: (&str, &str) = ("checkpoints", ".checkpoint");
const SNAPSHOTS: (&str, &str) = ("snapshots", ".snapshots");

impl Names {
    pub(crate) fn below(prefix: Path) -> Self {
        Self { prefix }
    }

    /// All that the ledger has.
    pub(crate) fn prefix(&self) -> &Path {
        &self.prefix
    }

    /// Where the objects of entries are.
    pub(crate) fn entries(&self) -> Path {
        self.folder(ENTRIES)
    }

    /// The object whose first entry has this position.
    pub(crate) fn entries_from(&self, seq: u64) -> Path {
        self.numbered(ENTRIES, seq)
    }

    /// The position in the name of an object of entries; none where it is no such name.
    pub(crate) fn first_entry(&self, name: &Path) -> Option<u64> {
        self.number(ENTRIES, name)
    }

    /// Where the checkpoints are.
    pub(crate) fn checkpoints(&self) -> Path {
        self.folder(CHECKPOINTS)
    }

    /// The checkpoint over so many entries.
    pub(crate) fn checkpoint(&self, size: u64) -> Path {
        self.numbered(CHECKPOINTS, size)
    }

    /// How many entries the checkpoint of this name is over.
    pub(crate) fn checkpoint_size(&self, name: &Path) -> Option<u64> {
        self.number(CHECKPOINTS, name)
    }

    /// Where the snapshots are.
    pub(crate) fn snapshots(&self) -> Path {
        self.folder(SNAPSHOTS)
    }

    /// The set of snapshots over so many entries.
    pub(crate) fn snapshot(&self, size: u64) -> Path {
        self.numbered(SNAPSHOTS, size)
    }

    /// How many entries the snapshots of this name are over.
    pub(crate) fn snapshot_size(&self, name: &Path) -> Option<u64> {
        self.number(SNAPSHOTS, name)
    }

    /// An object of the probe.
    pub(crate) fn probe(&self, nonce: u128) -> Path {
        self.prefix.clone().join("probes").join(format!("{nonce:032x}"))
    }

    fn folder(&self, (folder, _): (&str, &str)) -> Path {
        self.prefix.clone().join(folder)
    }

    fn numbered(&self, kind: (&str, &str), number: u64) -> Path {
        self.folder(kind).join(format!("{number:020}{}", kind.1))
    }

    fn number(&self, kind: (&str, &str), name: &Path) -> Option<u64> {
        let digits = name.filename()?.strip_suffix(kind.1)?;
        let number = digits.parse().ok()?;
        // One spelling, in this place.
        (self.numbered(kind, number) == *name).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_meaning_and_near_misses_have_none() {
        let names = Names::below(Path::from("acme/access"));
        let made = names.entries_from(1_234);
        assert_eq!(made.as_ref(), "acme/access/entries/00000000000000001234.jsonl");
        for number in [0, 7, 1_234, u64::MAX] {
            assert_eq!(names.first_entry(&names.entries_from(number)), Some(number));
            assert_eq!(names.checkpoint_size(&names.checkpoint(number)), Some(number));
            assert_eq!(names.snapshot_size(&names.snapshot(number)), Some(number));
        }
        for near in [
            "acme/access/entries/1234.jsonl",
            "acme/access/entries/+0000000000000001234.jsonl",
            "acme/access/entries/00000000000000001234.JSONL",
            "acme/access/entries/00000000000000001234.jsonl/a",
            "acme/access/entries/99999999999999999999.jsonl",
            "acme/access/checkpoints/00000000000000001234.jsonl",
            "acme/entries/00000000000000001234.jsonl",
        ] {
            assert_eq!(names.first_entry(&Path::from(near)), None, "case: {near}");
        }
    }

    #[test]
    fn names_sort_as_positions_do() {
        let names = Names::below(Path::ROOT);
        for pair in [0, 1, 9, 10, 99, 100, u64::from(u32::MAX), u64::MAX].windows(2) {
            assert!(names.entries_from(pair[0]) < names.entries_from(pair[1]), "{pair:?}");
        }
    }
}
