//! What is known of a ledger: which objects its chain of names goes through, and the entries that were read last.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use countersign_core::digest::StatementDigest;
use countersign_core::entry::Head;
use countersign_store::EntryBytes;

use crate::bundle::Index;
use crate::piece::{MAX_OBJECT_LEN, Piece};

/// Most bytes of entries that one read returns, unless the first entry alone has more.
const MAX_READ_LEN: usize = 8 << 20;
/// Most bytes of objects that were fetched again and are kept, beside the last one: those who read in order come back for the rest.
const FETCHED_LEN: usize = 16 << 20;

/// Grows, and never takes back what it said.
#[derive(Debug, Default)]
pub(crate) struct Known {
    // INVARIANT: in order and without a gap from 0 to the head.
    spans: Vec<Span>,
    // INVARIANT: in order and without a gap from 0 on.
    bundles: Vec<(Span, Option<Arc<Index>>)>,
    /// Of the statements behind the bundles.
    places: HashMap<StatementDigest, u64>,
    /// The newest entries, in memory.
    newest: VecDeque<Piece>,
    newest_size: usize,
    fetched: VecDeque<Piece>,
}

/// Where entries are that stand behind `after` and end at `head`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) kind: Kind,
    pub(crate) after: Head,
    pub(crate) head: Head,
    /// How many bytes of entries an object has; of a bundle it is not known.
    pub(crate) size: usize,
}

/// What they are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One object of the chain of names.
    Object,
    /// A bundle of several.
    Bundle,
}

impl Span {
    /// Of the object that a piece is from.
    pub(crate) fn of(piece: &Piece) -> Self {
        Self { kind: Kind::Object, after: piece.after, head: piece.head, size: piece.size() }
    }
}

/// Where the entries from a position on are.
pub(crate) enum Located {
    /// Nowhere that is known.
    Beyond,
    /// Here.
    Here(Vec<EntryBytes>),
    /// In something that has to be fetched.
    In(Span),
}

impl Known {
    /// Of bundles that stand one behind the other from 0 on.
    pub(crate) fn of(bundles: Vec<Span>) -> Self {
        let indexed = bundles.iter().map(|bundle| (*bundle, None)).collect();
        Self { spans: bundles, bundles: indexed, ..Self::default() }
    }

    pub(crate) fn head(&self) -> Head {
        self.spans.last().map_or(Head::EMPTY, |span| span.head)
    }

    pub(crate) fn place_of(&self, digest: StatementDigest) -> Option<u64> {
        self.places.get(&digest).copied()
    }

    /// Takes in what stands behind the head, and keeps so many bytes of the newest entries in memory. Whoever comes second with the same
    /// object brings nothing new.
    pub(crate) fn learn(&mut self, piece: Piece, keep: usize) {
        if piece.after != self.head() {
            return;
        }
        self.spans.push(Span::of(&piece));
        for (digest, seq) in piece.digests.iter().zip(piece.after.size..) {
            self.places.entry(*digest).or_insert(seq);
        }
        self.newest_size += piece.size();
        self.newest.push_back(piece);
        while self.newest_size > keep
            && let Some(oldest) = self.newest.pop_front()
        {
            self.newest_size -= oldest.size();
        }
    }

    /// Keeps what was fetched again for a while.
    pub(crate) fn remember(&mut self, piece: Piece) {
        self.fetched.push_back(piece);
        while self.fetched.len() > 1 && self.fetched.iter().map(Piece::size).sum::<usize>() > FETCHED_LEN {
            self.fetched.pop_front();
        }
    }

    /// The objects behind the bundles: where the ledger itself says what it is.
    pub(crate) fn tail(&self) -> &[Span] {
        let bundled = self.bundled();
        &self.spans[self.spans.partition_point(|span| span.after.size < bundled)..]
    }

    /// How many entries are in bundles.
    fn bundled(&self) -> u64 {
        self.bundles.last().map_or(0, |(bundle, _)| bundle.head.size)
    }

    /// The objects that make the next bundle, once there are as many as go into one. The last object of all never does: by what it stands
    /// behind it holds the bundles to the ledger. None ever, where none go into one.
    pub(crate) fn due(&self, most: usize) -> Option<Vec<Span>> {
        if most == 0 {
            return None;
        }
        let (_, candidates) = self.tail().split_last()?;
        let mut size = 0;
        for (count, span) in candidates.iter().enumerate() {
            if count == most || (count > 0 && size + span.size > MAX_OBJECT_LEN) {
                return Some(candidates[..count].to_vec());
            }
            size += span.size;
        }
        (candidates.len() == most).then(|| candidates.to_vec())
    }

    /// A bundle was made of the first objects behind the bundles.
    pub(crate) fn bundle(&mut self, bundle: Span, index: Index) {
        if bundle.after.size != self.bundled() {
            return;
        }
        let begins = |end: u64| self.spans.partition_point(|span| span.after.size < end);
        let range = begins(bundle.after.size)..begins(bundle.head.size);
        self.spans.splice(range, [bundle]);
        self.places.retain(|_, seq| *seq >= bundle.head.size);
        self.bundles.push((bundle, Some(Arc::new(index))));
    }

    /// A bundle is not there, or is not what its name says: its entries are read from these objects again.
    pub(crate) fn unbundle(&mut self, bundle: Span, objects: Vec<Span>) {
        if let Some(at) = self.spans.iter().position(|span| *span == bundle) {
            self.spans.splice(at..=at, objects);
        }
    }

    /// What is bundled, with the indexes that are known.
    pub(crate) fn bundles(&self) -> Vec<(Span, Option<Arc<Index>>)> {
        self.bundles.clone()
    }

    /// The index of a bundle was read.
    pub(crate) fn index(&mut self, bundle: Span, index: Arc<Index>) {
        if let Some((_, known)) = self.bundles.iter_mut().find(|(known, _)| *known == bundle) {
            *known = Some(index);
        }
    }

    /// The entries of an object, if they are in memory.
    pub(crate) fn piece(&self, span: Span) -> Option<Piece> {
        self.newest.iter().find(|piece| piece.after == span.after && piece.head == span.head).cloned()
    }

    /// At most `max` entries from a position on.
    pub(crate) fn locate(&self, from: u64, max: usize) -> Located {
        if from >= self.head().size {
            return Located::Beyond;
        }
        let begun = |piece: &Piece| piece.after.size <= from;
        let held = self.newest.partition_point(begun).checked_sub(1);
        if let Some(first) = held {
            return Located::Here(gather(self.newest.range(first..), from, max));
        }
        let again = self.fetched.iter().find(|piece| begun(piece) && from < piece.head.size);
        if let Some(piece) = again {
            return Located::Here(gather([piece], from, max));
        }
        // One that begins no later is there: the first begins at 0.
        let index = self.spans.partition_point(|span| span.after.size <= from) - 1;
        Located::In(self.spans[index])
    }
}

fn gather<'p>(pieces: impl IntoIterator<Item = &'p Piece>, from: u64, max: usize) -> Vec<EntryBytes> {
    let mut size = 0;
    let fits = |entry: &&EntryBytes| {
        let is_first = size == 0;
        size += entry.len();
        is_first || size <= MAX_READ_LEN
    };
    let from_there = |piece: &'p Piece| {
        let skipped = usize::try_from(from.saturating_sub(piece.after.size)).unwrap_or(usize::MAX);
        piece.entries.iter().skip(skipped)
    };
    pieces.into_iter().flat_map(from_there).take(max).take_while(fits).cloned().collect()
}

#[cfg(test)]
mod tests {
    use countersign_store::conformance::Author;

    use super::*;

    fn known(keep: usize) -> (Known, Vec<EntryBytes>) {
        let (mut known, mut author, mut all) = (Known::default(), Author::new(1), Vec::new());
        for count in [3, 1, 4] {
            let batch = author.batch(known.head(), count);
            all.extend(batch.entries().iter().map(|entry| entry.bytes().clone()));
            known.learn(Piece::of(batch.expected(), batch.entries()), keep);
        }
        (known, all)
    }

    #[test]
    fn what_is_not_in_memory_is_in_the_object_that_its_position_is_in() {
        let (known, _) = known(0);
        for (from, first, end) in [(0, 0, 3), (2, 0, 3), (3, 3, 4), (4, 4, 8), (7, 4, 8)] {
            let Located::In(span) = known.locate(from, 9) else { panic!("case: {from}") };
            assert_eq!((span.after.size, span.head.size), (first, end), "case: {from}");
        }
        assert!(matches!(known.locate(8, 9), Located::Beyond));
    }

    #[test]
    fn what_is_in_memory_is_given_across_objects() {
        let (known, all) = known(usize::MAX);
        for from in 0..8 {
            for max in [1, 3, 9] {
                let Located::Here(entries) = known.locate(from as u64, max) else { panic!("case: {from}") };
                assert_eq!(entries[..], all[from..(from + max).min(8)], "case: {from}, {max}");
            }
        }
    }

    #[test]
    fn a_bundle_is_of_as_many_objects_as_go_into_one_and_never_of_the_last() {
        let (mut known, _) = known(0);
        assert_eq!(known.due(3), None);
        assert_eq!(known.due(2).unwrap(), known.tail()[..2]);
        assert_eq!(known.due(1).unwrap(), known.tail()[..1]);
        let [first, second, _] = known.tail() else { panic!("{:?}", known.tail()) };
        let (first, second) = (*first, *second);
        let bundle = Span { kind: Kind::Bundle, after: first.after, head: second.head, size: 0 };
        let digests = known.places.len();
        known.bundle(bundle, Index::default());
        assert_eq!((known.spans.len(), known.tail().len(), known.due(1)), (2, 1, None));
        assert_eq!((digests, known.places.len()), (8, 4));
        for from in 0..4 {
            assert!(matches!(known.locate(from, 9), Located::In(span) if span == bundle), "case: {from}");
        }
        // It is not what it was to be.
        known.unbundle(bundle, vec![first, second]);
        assert!(matches!(known.locate(3, 9), Located::In(span) if span == second));
        assert_eq!((known.tail().len(), known.bundles().len()), (1, 1));
    }

    #[test]
    fn a_bundle_has_a_limit_in_bytes() {
        let mut known = Known::default();
        let mut author = Author::new(1);
        for _ in 0..4 {
            let batch = author.batch(known.head(), 1);
            known.learn(Piece::of(batch.expected(), batch.entries()), 0);
        }
        for (sizes, wanted) in [
            ([MAX_OBJECT_LEN, 1, 1], Some(1)),
            ([1, MAX_OBJECT_LEN, 1], Some(1)),
            ([1, 1, MAX_OBJECT_LEN], Some(2)),
            ([1, 1, MAX_OBJECT_LEN - 2], None),
        ] {
            for (span, size) in known.spans.iter_mut().zip(sizes) {
                span.size = size;
            }
            assert_eq!(known.due(9).map(|spans| spans.len()), wanted, "case: {sizes:?}");
        }
    }

    #[test]
    fn the_same_object_again_or_one_that_stands_elsewhere_changes_nothing() {
        let (mut known, _) = known(usize::MAX);
        let head = known.head();
        for other in [Head::EMPTY, Head { size: head.size, leaf: Head::EMPTY.leaf }] {
            known.learn(Piece::of(other, Author::new(2).batch(other, 2).entries()), usize::MAX);
            assert_eq!(known.head(), head);
        }
    }
}
