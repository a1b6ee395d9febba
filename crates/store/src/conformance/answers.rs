//! Whether a store kept what it acknowledged: the question that every crash test ends with.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::str::FromStr;

use countersign_core::digest::{LeafHash, StatementDigest};
use countersign_core::entry::{Entry, Head, leaf_hash};

use crate::{AppendError, Batch, NoteBytes};

/// What was asked of a store, and what it answered; compared with what is there once it was opened anew.
///
/// It is told by whoever talks to the store, before each call and after each answer. A call that was cut off has no answer, and
/// nothing need be told. Tests in which the writer is killed have it print a line for each [`Told`], and read them.
///
/// ```
/// use countersign_core::entry::Head;
/// use countersign_store::conformance::{Answers, Author, Finding};
///
/// let batch = Author::new(1).batch(Head::EMPTY, 2);
/// let mut answers = Answers::new();
/// answers.submitted(&batch);
/// // A crash before any answer: nothing of it may be there, or the first entries of it, or all.
/// let there = [batch.entries()[0].bytes()];
/// assert_eq!(answers.check(there), []);
/// answers.answered(&batch, &Ok(batch.head()));
/// let lost = Finding::Lost { seq: 1, leaf: batch.head().leaf };
/// assert_eq!(answers.check(there), [lost]);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Answers {
    attempts: HashMap<StatementDigest, Attempts>,
    acknowledged: BTreeMap<u64, Vec<LeafHash>>,
    seen: BTreeMap<u64, Vec<LeafHash>>,
    notes: Vec<KeptNote>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Attempts {
    submitted: u64,
    /// Those that were answered with the certainty that nothing was stored.
    refused: u64,
}

#[derive(Debug, Clone)]
struct KeptNote {
    size: u64,
    note: NoteBytes,
    acknowledged: bool,
}

/// One thing to know about a store. As text, a line without a line feed, which [`str::parse`] reads again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// A statement is about to be given to the store.
    Submitted(StatementDigest),
    /// The store says that it keeps a statement as this entry.
    Acknowledged {
        /// The statement.
        digest: StatementDigest,
        /// The entry's position.
        seq: u64,
        /// The entry's leaf hash.
        leaf: LeafHash,
    },
    /// The store does not know whether it keeps it.
    Unknown(StatementDigest),
    /// The store says that this attempt stored nothing.
    NotStored(StatementDigest),
    /// A reader was given this entry.
    Seen {
        /// Its position.
        seq: u64,
        /// Its leaf hash.
        leaf: LeafHash,
    },
}

/// Something that a store did wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// An entry was acknowledged and is not there.
    Lost {
        /// Its position.
        seq: u64,
        /// Its leaf hash.
        leaf: LeafHash,
    },
    /// An entry was acknowledged, and another one is at its place.
    Forked {
        /// The position.
        seq: u64,
        /// The leaf hash that was acknowledged.
        acknowledged: LeafHash,
        /// The leaf hash that is there.
        found: LeafHash,
    },
    /// A reader was given an entry that is gone since (F-04).
    Vanished {
        /// Its position.
        seq: u64,
        /// Its leaf hash.
        leaf: LeafHash,
    },
    /// An entry is there whose statement nobody submitted, or only in attempts that are said to have stored nothing.
    Invented {
        /// Its position.
        seq: u64,
        /// Its statement.
        digest: StatementDigest,
    },
    /// A statement is there twice.
    Duplicate {
        /// The statement.
        digest: StatementDigest,
        /// Where it is first.
        first: u64,
        /// Where it is again.
        again: u64,
    },
    /// An entry claims another position than it has.
    Gap {
        /// The position that it has.
        index: u64,
        /// The position that it claims.
        claimed: u64,
    },
    /// An entry does not name the one before it.
    Unlinked {
        /// Its position.
        seq: u64,
    },
    /// What is there is no entry.
    Unreadable {
        /// Its position.
        index: u64,
        /// Why, in words.
        detail: String,
    },
    /// An acknowledged checkpoint is not there, nor one that was put later.
    CheckpointLost {
        /// Over how many entries it was.
        size: u64,
    },
    /// A checkpoint is there that nobody put.
    CheckpointInvented,
    /// A checkpoint is there over more entries than are there.
    CheckpointAhead {
        /// Over how many entries it is.
        size: u64,
        /// How many there are.
        entries: u64,
    },
}

impl Answers {
    /// Nothing asked, nothing answered.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes note of one thing.
    pub fn tell(&mut self, told: Told) {
        match told {
            Told::Submitted(digest) => self.attempts.entry(digest).or_default().submitted += 1,
            Told::Acknowledged { digest: _, seq, leaf } => add(&mut self.acknowledged, seq, leaf),
            // It was submitted: that is all that is known still.
            Told::Unknown(_) => {}
            Told::NotStored(digest) => self.attempts.entry(digest).or_default().refused += 1,
            Told::Seen { seq, leaf } => add(&mut self.seen, seq, leaf),
        }
    }

    /// The batch is about to be appended.
    pub fn submitted(&mut self, batch: &Batch) {
        for entry in batch.entries() {
            self.tell(Told::Submitted(entry.signed().digest()));
        }
    }

    /// What came of it.
    pub fn answered(&mut self, batch: &Batch, answer: &Result<Head, AppendError>) {
        for entry in batch.entries() {
            let digest = entry.signed().digest();
            self.tell(match answer {
                Ok(_) => Told::Acknowledged { digest, seq: entry.seq(), leaf: entry.leaf() },
                Err(AppendError::OutcomeUnknown(_)) => Told::Unknown(digest),
                Err(AppendError::Conflict { .. } | AppendError::NotStored(_)) => Told::NotStored(digest),
            });
        }
    }

    /// A reader was given these entries, the first of them at position `from`.
    pub fn seen<B: AsRef<[u8]>>(&mut self, from: u64, entries: impl IntoIterator<Item = B>) {
        for (seq, bytes) in (from..).zip(entries) {
            self.tell(Told::Seen { seq, leaf: leaf_hash(bytes.as_ref()) });
        }
    }

    /// A checkpoint over `size` entries was put, and the store said that it is kept, or not (yet).
    pub fn checkpoint_put(&mut self, size: u64, note: NoteBytes, acknowledged: bool) {
        self.notes.push(KeptNote { size, note, acknowledged });
    }

    /// How many entries were acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }

    /// How many entries readers were given.
    #[must_use]
    pub fn shown(&self) -> usize {
        self.seen.len()
    }

    /// Everything that is wrong with the entries that are there, in order of position for each kind of fault.
    #[must_use]
    pub fn check<B: AsRef<[u8]>>(&self, there: impl IntoIterator<Item = B>) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut leaves = Vec::new();
        let mut places = HashMap::new();
        for (index, bytes) in (0_u64..).zip(there) {
            let bytes = bytes.as_ref();
            let before = leaves.last().copied().unwrap_or(Head::EMPTY.leaf);
            leaves.push(leaf_hash(bytes));
            let entry = match Entry::parse(bytes) {
                Ok(entry) => entry,
                Err(fault) => {
                    findings.push(Finding::Unreadable { index, detail: fault.to_string() });
                    continue;
                }
            };
            if entry.seq() != index {
                findings.push(Finding::Gap { index, claimed: entry.seq() });
            }
            if entry.prev() != before {
                findings.push(Finding::Unlinked { seq: index });
            }
            let digest = entry.signed().digest();
            if self.attempts.get(&digest).is_none_or(|made| made.submitted <= made.refused) {
                findings.push(Finding::Invented { seq: index, digest });
            }
            match places.get(&digest) {
                Some(first) => findings.push(Finding::Duplicate { digest, first: *first, again: index }),
                None => drop(places.insert(digest, index)),
            }
        }
        let found = |seq: &u64| usize::try_from(*seq).ok().and_then(|seq| leaves.get(seq)).copied();
        for (seq, acknowledged) in each(&self.acknowledged) {
            match found(&seq) {
                None => findings.push(Finding::Lost { seq, leaf: acknowledged }),
                Some(found) if found != acknowledged => {
                    findings.push(Finding::Forked { seq, acknowledged, found });
                }
                Some(_) => {}
            }
        }
        for (seq, leaf) in each(&self.seen) {
            if found(&seq) != Some(leaf) {
                findings.push(Finding::Vanished { seq, leaf });
            }
        }
        findings
    }

    /// Everything that is wrong with the checkpoint that is there, beside so many entries.
    #[must_use]
    pub fn check_checkpoint(&self, there: Option<&[u8]>, entries: u64) -> Vec<Finding> {
        let Some(note) = there else {
            let kept = self.notes.iter().filter(|put| put.acknowledged).map(|put| put.size).max();
            return kept.map(|size| Finding::CheckpointLost { size }).into_iter().collect();
        };
        let Some(at) = self.notes.iter().rposition(|put| *put.note == *note) else {
            return vec![Finding::CheckpointInvented];
        };
        let mut findings = Vec::new();
        let size = self.notes[at].size;
        // One over more entries stays, and one over as many takes the place of the one before.
        let in_place_of_it = |(index, put): &(usize, &KeptNote)| {
            put.acknowledged && (put.size > size || (put.size == size && *index > at))
        };
        let lost = self.notes.iter().enumerate().filter(in_place_of_it).map(|(_, put)| put.size).max();
        findings.extend(lost.map(|size| Finding::CheckpointLost { size }));
        if size > entries {
            findings.push(Finding::CheckpointAhead { size, entries });
        }
        findings
    }
}

fn add(places: &mut BTreeMap<u64, Vec<LeafHash>>, seq: u64, leaf: LeafHash) {
    let leaves = places.entry(seq).or_default();
    if !leaves.contains(&leaf) {
        leaves.push(leaf);
    }
}

fn each(places: &BTreeMap<u64, Vec<LeafHash>>) -> impl Iterator<Item = (u64, LeafHash)> + '_ {
    places.iter().flat_map(|(seq, leaves)| leaves.iter().map(|leaf| (*seq, *leaf)))
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Submitted(digest) => write!(f, "submitted {digest}"),
            Self::Acknowledged { digest, seq, leaf } => write!(f, "acknowledged {digest} {seq} {leaf}"),
            Self::Unknown(digest) => write!(f, "unknown {digest}"),
            Self::NotStored(digest) => write!(f, "not-stored {digest}"),
            Self::Seen { seq, leaf } => write!(f, "seen {seq} {leaf}"),
        }
    }
}

/// A line says nothing that can be told to [`Answers`]: perhaps it was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a line about what a store was asked or answered")]
pub struct ParseToldError;

impl FromStr for Told {
    type Err = ParseToldError;

    fn from_str(line: &str) -> Result<Self, ParseToldError> {
        fn read<T: FromStr>(word: &str) -> Result<T, ParseToldError> {
            word.parse().map_err(|_| ParseToldError)
        }
        match *line.split(' ').collect::<Vec<_>>() {
            ["submitted", digest] => Ok(Self::Submitted(read(digest)?)),
            ["acknowledged", digest, seq, leaf] => {
                Ok(Self::Acknowledged { digest: read(digest)?, seq: read(seq)?, leaf: read(leaf)? })
            }
            ["unknown", digest] => Ok(Self::Unknown(read(digest)?)),
            ["not-stored", digest] => Ok(Self::NotStored(read(digest)?)),
            ["seen", seq, leaf] => Ok(Self::Seen { seq: read(seq)?, leaf: read(leaf)? }),
            _ => Err(ParseToldError),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { seq, .. } => write!(f, "entry {seq} was acknowledged and is not there"),
            Self::Forked { seq, acknowledged, found } => {
                write!(f, "entry {seq} was acknowledged as {acknowledged}, and {found} is there")
            }
            Self::Vanished { seq, .. } => write!(f, "a reader was given entry {seq}, which is gone"),
            Self::Invented { seq, digest } => {
                write!(f, "entry {seq} has statement {digest}, which was not stored")
            }
            Self::Duplicate { digest, first, again } => {
                write!(f, "statement {digest} is at {first} and again at {again}")
            }
            Self::Gap { index, claimed } => write!(f, "the entry at {index} claims to be entry {claimed}"),
            Self::Unlinked { seq } => write!(f, "entry {seq} does not name the entry before"),
            Self::Unreadable { index, detail } => write!(f, "what is at {index} is no entry: {detail}"),
            Self::CheckpointLost { size } => {
                write!(f, "the checkpoint over {size} entries was acknowledged and is not there")
            }
            Self::CheckpointInvented => write!(f, "a checkpoint is there that nobody put"),
            Self::CheckpointAhead { size, entries } => {
                write!(f, "the checkpoint is over {size} entries, and {entries} are there")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use countersign_core::entry::Entry;

    use super::super::Author;
    use super::*;
    use crate::StoreError;

    fn bytes(entries: &[Entry]) -> Vec<&[u8]> {
        entries.iter().map(|entry| &entry.bytes()[..]).collect()
    }

    /// Three entries that were acknowledged, and two that were not answered.
    fn told() -> (Answers, Vec<Entry>) {
        let mut author = Author::new(1);
        let first = author.batch(Head::EMPTY, 3);
        let second = author.batch(first.head(), 2);
        let mut answers = Answers::new();
        for batch in [&first, &second] {
            answers.submitted(batch);
        }
        answers.answered(&first, &Ok(first.head()));
        (answers, [first.entries(), second.entries()].concat())
    }

    #[test]
    fn a_prefix_of_what_was_not_answered_may_stand() {
        let (answers, entries) = told();
        for count in 3..=5 {
            assert_eq!(answers.check(bytes(&entries[..count])), [], "{count} entries");
        }
    }

    #[test]
    fn what_was_acknowledged_and_is_gone_is_lost() {
        let (answers, entries) = told();
        for count in 0..3 {
            let lost =
                entries[count..3].iter().map(|entry| Finding::Lost { seq: entry.seq(), leaf: entry.leaf() });
            assert_eq!(answers.check(bytes(&entries[..count])), lost.collect::<Vec<_>>(), "{count} entries");
        }
    }

    #[test]
    fn another_entry_where_one_was_acknowledged_is_a_fork_and_invented() {
        let (answers, entries) = told();
        let other = Author::new(2).entries(entries[1].head(), 1).remove(0);
        let findings = answers.check([entries[0].bytes(), entries[1].bytes(), other.bytes()]);
        let digest = other.signed().digest();
        let (acknowledged, found) = (entries[2].leaf(), other.leaf());
        assert_eq!(
            findings,
            [Finding::Invented { seq: 2, digest }, Finding::Forked { seq: 2, acknowledged, found }]
        );
    }

    #[test]
    fn two_answers_for_one_place_can_not_both_be_kept() {
        let (mut answers, entries) = told();
        let other = Author::new(2).batch(entries[2].head(), 1);
        answers.submitted(&other);
        answers.answered(&other, &Ok(other.head()));
        answers.tell(Told::Acknowledged {
            digest: entries[3].signed().digest(),
            seq: 3,
            leaf: entries[3].leaf(),
        });
        let findings = answers.check(bytes(&entries));
        assert!(matches!(findings[..], [Finding::Forked { seq: 3, .. }]), "{findings:?}");
    }

    #[test]
    fn gaps_and_broken_links_and_repeated_statements_are_found() {
        let (answers, entries) = told();
        let without_the_second = answers.check([entries[0].bytes(), entries[2].bytes()]);
        assert!(without_the_second.contains(&Finding::Gap { index: 1, claimed: 2 }));
        assert!(without_the_second.contains(&Finding::Unlinked { seq: 1 }));
        let twice = answers.check(bytes(&[&entries[..3], &entries[2..3]].concat()));
        let digest = entries[2].signed().digest();
        assert!(twice.contains(&Finding::Duplicate { digest, first: 2, again: 3 }));
    }

    #[test]
    fn what_is_no_entry_is_unreadable_and_lost() {
        let (answers, entries) = told();
        let findings = answers.check([&entries[0].bytes()[..], b"{}", entries[2].bytes()]);
        assert!(findings.iter().any(|finding| matches!(finding, Finding::Unreadable { index: 1, .. })));
        assert!(findings.iter().any(|finding| matches!(finding, Finding::Forked { seq: 1, .. })));
    }

    #[test]
    fn what_is_said_not_to_be_stored_may_not_stand() {
        let (mut answers, entries) = told();
        let rest = Batch::new(entries[3..].to_vec()).expect("chained");
        answers.answered(&rest, &Err(AppendError::NotStored(StoreError::Poisoned)));
        let findings = answers.check(bytes(&entries));
        assert!(matches!(findings[..], [Finding::Invented { seq: 3, .. }, Finding::Invented { seq: 4, .. }]));
        // Another attempt, of which nothing is known.
        answers.submitted(&rest);
        answers.answered(&rest, &Err(AppendError::OutcomeUnknown("cut off".into())));
        assert_eq!(answers.check(bytes(&entries)), []);
    }

    #[test]
    fn what_a_reader_saw_may_not_vanish() {
        let (mut answers, entries) = told();
        answers.seen(0, bytes(&entries[..4]));
        assert_eq!(answers.check(bytes(&entries[..4])), []);
        let vanished = Finding::Vanished { seq: 3, leaf: entries[3].leaf() };
        assert_eq!(answers.check(bytes(&entries[..3])), [vanished]);
    }

    #[test]
    fn checkpoints_are_kept_or_replaced_by_later_ones() {
        let (mut answers, _) = told();
        let note = |text: &str| NoteBytes::from(text.as_bytes());
        answers.checkpoint_put(2, note("two"), true);
        answers.checkpoint_put(3, note("three"), false);
        for (there, entries, findings) in [
            (Some(&b"two"[..]), 3, vec![]),
            (Some(b"three"), 3, vec![]),
            (Some(b"three"), 2, vec![Finding::CheckpointAhead { size: 3, entries: 2 }]),
            (None, 3, vec![Finding::CheckpointLost { size: 2 }]),
            (Some(b"tw"), 3, vec![Finding::CheckpointInvented]),
        ] {
            assert_eq!(answers.check_checkpoint(there, entries), findings);
        }
        answers.checkpoint_put(3, note("three"), true);
        answers.checkpoint_put(2, note("late"), true);
        assert_eq!(answers.check_checkpoint(Some(b"two"), 3), [Finding::CheckpointLost { size: 3 }]);
        assert_eq!(answers.check_checkpoint(Some(b"late"), 3), [Finding::CheckpointLost { size: 3 }]);
        assert_eq!(answers.check_checkpoint(Some(b"three"), 3), []);
        answers.checkpoint_put(3, note("again"), true);
        assert_eq!(answers.check_checkpoint(Some(b"three"), 3), [Finding::CheckpointLost { size: 3 }]);
    }

    #[test]
    fn lines_are_read_as_they_were_written() {
        let (_, entries) = told();
        let (digest, seq, leaf) = (entries[0].signed().digest(), 7, entries[0].leaf());
        for told in [
            Told::Submitted(digest),
            Told::Acknowledged { digest, seq, leaf },
            Told::Unknown(digest),
            Told::NotStored(digest),
            Told::Seen { seq, leaf },
        ] {
            let line = told.to_string();
            assert_eq!(line.parse(), Ok(told));
            assert_eq!(line[..line.len() - 1].parse::<Told>(), Err(ParseToldError), "cut off: {line}");
        }
    }
}
