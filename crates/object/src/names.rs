//! What the objects of a ledger are called.

use countersign_core::entry::Head;
use object_store::path::Path;

/// The names below the prefix of one ledger. Positions have 20 digits, so that names sort as positions do.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    prefix: Path,
}

const ENTRIES: (&str, &str) = ("entries", ".jsonl");
const BUNDLES: &str = "bundles";
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

    /// Where the bundles are.
    pub(crate) fn bundles(&self) -> Path {
        self.prefix.clone().join(BUNDLES)
    }

    /// The bundle of the entries from a position up to a head.
    pub(crate) fn bundle(&self, first: u64, head: Head) -> Path {
        self.bundle_with(first, head, ".jsonl")
    }

    /// Its index.
    pub(crate) fn index(&self, first: u64, head: Head) -> Path {
        self.bundle_with(first, head, ".index")
    }

    fn bundle_with(&self, first: u64, head: Head, suffix: &str) -> Path {
        self.bundles().join(format!("{first:020}-{:020}-{}{suffix}", head.size, head.leaf))
    }

    /// What the name of a bundle or of its index says: the position of the first entry and the head right after the last one; and of which of
    /// the two it is the name.
    pub(crate) fn bundled(&self, name: &Path) -> Option<(u64, Head, bool)> {
        let file = name.filename()?;
        let (stem, is_bundle) = match (file.strip_suffix(".jsonl"), file.strip_suffix(".index")) {
            (Some(stem), _) => (stem, true),
            (None, stem) => (stem?, false),
        };
        let mut parts = stem.split('-');
        let first = parts.next()?.parse().ok()?;
        let head = Head { size: parts.next()?.parse().ok()?, leaf: parts.next()?.parse().ok()? };
        let made = if is_bundle { self.bundle(first, head) } else { self.index(first, head) };
        (made == *name && first < head.size).then_some((first, head, is_bundle))
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
    fn the_name_of_a_bundle_has_one_meaning_and_near_misses_have_none() {
        let names = Names::below(Path::ROOT);
        let leaf = "0123456789abcdef".repeat(4);
        let head = Head { size: 12, leaf: leaf.parse().unwrap() };
        assert_eq!(names.bundled(&names.bundle(5, head)), Some((5, head, true)));
        assert_eq!(names.bundled(&names.index(5, head)), Some((5, head, false)));
        let (five, twelve) = ("00000000000000000005", "00000000000000000012");
        for near in [
            format!("bundles/{five}-{twelve}-{leaf}"),
            format!("bundles/{five}-{twelve}-{}.jsonl", leaf.to_uppercase()),
            format!("bundles/{five}-{twelve}-{leaf}-.jsonl"),
            format!("bundles/{twelve}-{twelve}-{leaf}.jsonl"),
            format!("bundles/5-12-{leaf}.jsonl"),
            format!("entries/{five}-{twelve}-{leaf}.jsonl"),
        ] {
            assert_eq!(names.bundled(&Path::from(near.as_str())), None, "case: {near}");
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
