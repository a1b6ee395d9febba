//! The names in a ledger directory (docs/format.md, section 10).

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The folder of the segments.
pub(super) const ENTRIES: &str = "entries";
/// The latest signed note.
pub(super) const CHECKPOINT: &str = "checkpoint";
/// Sets of snapshots.
pub(super) const SNAPSHOTS: &str = "snapshots";
/// Derived files that find entries by digest.
pub(super) const INDEX: &str = "index";
/// What a writer holds.
pub(super) const LOCK: &str = "lock";
/// What the writer last made durable.
pub(super) const HEAD: &str = "head";
/// Added to the name of a file that is not in its place yet.
pub(super) const UNFINISHED: &str = ".new";

const DIGITS: usize = 20;

/// What a name in `entries` stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryName {
    /// The segment whose first entry is `first`.
    Segment { first: u64 },
    /// Bytes that a recovery cut from a segment at `offset`.
    Torn { first: u64, offset: u64 },
    /// Entries from `offset` on that a recovery is writing again.
    Rewrite { first: u64, offset: u64 },
    /// What was not put in its place before a crash.
    Unfinished,
}

impl EntryName {
    /// What a name means; none where it does not belong there.
    pub(super) fn parse(name: &OsStr) -> Option<Self> {
        let name = name.to_str()?;
        if let Some(rest) = name.strip_suffix(UNFINISHED) {
            return match Self::parse(OsStr::new(rest))? {
                Self::Torn { .. } | Self::Rewrite { .. } => Some(Self::Unfinished),
                Self::Segment { .. } | Self::Unfinished => None,
            };
        }
        let (first, rest) = name.split_at_checked(DIGITS)?;
        let first = digits(first)?;
        let rest = rest.strip_prefix(".jsonl")?;
        if rest.is_empty() {
            return Some(Self::Segment { first });
        }
        if let Some(offset) = rest.strip_prefix(".rewrite-") {
            return Some(Self::Rewrite { first, offset: decimal(offset)? });
        }
        let rest = rest.strip_prefix(".torn-")?;
        let (offset, copy) = rest.split_once('.').unwrap_or((rest, "2"));
        (decimal(copy)? >= 2).then_some(Self::Torn { first, offset: decimal(offset)? })
    }
}

pub(super) fn segment(dir: &Path, first: u64) -> PathBuf {
    dir.join(ENTRIES).join(format!("{first:020}.jsonl"))
}

/// Where what is cut from a segment is kept: `copy` counts from 1 where other bytes were cut at the same place before.
pub(super) fn torn(dir: &Path, first: u64, offset: u64, copy: u64) -> PathBuf {
    let number = if copy == 1 { String::new() } else { format!(".{copy}") };
    dir.join(ENTRIES).join(format!("{first:020}.jsonl.torn-{offset}{number}"))
}

pub(super) fn rewrite(dir: &Path, first: u64, offset: u64) -> PathBuf {
    dir.join(ENTRIES).join(format!("{first:020}.jsonl.rewrite-{offset}"))
}

/// The name of a file while it is written.
pub(super) fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(UNFINISHED);
    name.into()
}

/// Exactly 20 decimal digits.
pub(super) fn digits(text: &str) -> Option<u64> {
    (text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// A number in its one spelling.
pub(super) fn decimal(text: &str) -> Option<u64> {
    let spelled = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if spelled { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_entries_has_one_meaning_and_near_misses_have_none() {
        let parse = |name: &str| EntryName::parse(OsStr::new(name));
        let dir = Path::new("ledger");
        let made = |path: PathBuf| parse(path.file_name().unwrap().to_str().unwrap());
        assert_eq!(made(segment(dir, 7)), Some(EntryName::Segment { first: 7 }));
        assert_eq!(made(segment(dir, u64::MAX)), Some(EntryName::Segment { first: u64::MAX }));
        assert_eq!(made(torn(dir, 7, 19, 1)), Some(EntryName::Torn { first: 7, offset: 19 }));
        assert_eq!(made(torn(dir, 7, 19, 3)), Some(EntryName::Torn { first: 7, offset: 19 }));
        assert_eq!(made(rewrite(dir, 7, 0)), Some(EntryName::Rewrite { first: 7, offset: 0 }));
        assert_eq!(made(unfinished(&torn(dir, 7, 19, 1))), Some(EntryName::Unfinished));
        for name in [
            "7.jsonl",
            "0000000000000000007.jsonl",
            "000000000000000000007.jsonl",
            "+0000000000000000007.jsonl",
            "99999999999999999999.jsonl",
            "00000000000000000007",
            "00000000000000000007.json",
            "00000000000000000007.jsonl.new",
            "00000000000000000007.jsonl.torn-07",
            "00000000000000000007.jsonl.torn-7.1",
            "00000000000000000007.jsonl.torn-",
            "00000000000000000007.jsonl.rewrite-x",
            "00000000000000000007.jsonl~",
        ] {
            assert_eq!(parse(name), None, "case: {name}");
        }
    }
}
