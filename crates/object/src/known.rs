//! What is known of a ledger: which objects its chain of names goes through, and the entries that were read last.

use std::collections::{HashMap, VecDeque};

use countersign_core::digest::StatementDigest;
use countersign_core::entry::Head;
use countersign_store::EntryBytes;

use crate::piece::Piece;

/// Most bytes of entries that one read returns, unless the first entry alone has more.
const MAX_READ_LEN: usize = 8 << 20;
/// How many objects that were fetched again are kept: those who read in order come back for the rest.
const FETCHED: usize = 4;

/// Grows, and never takes back what it said.
#[derive(Debug, Default)]
pub(crate) struct Known {
    // INVARIANT: in order and without a gap from 0 to the head.
    spans: Vec<Span>,
    places: HashMap<StatementDigest, u64>,
    /// The newest entries, in memory.
    newest: VecDeque<Piece>,
    newest_size: usize,
    fetched: VecDeque<Piece>,
}

/// One object of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) after: Head,
    pub(crate) head: Head,
}

/// Where the entries from a position on are.
pub(crate) enum Located {
    /// Nowhere that is known.
    Beyond,
    /// Here.
    Here(Vec<EntryBytes>),
    /// In an object that has to be fetched.
    In(Span),
}

impl Known {
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
        self.spans.push(Span { after: piece.after, head: piece.head });
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

    /// Keeps an object that was fetched again for a while.
    pub(crate) fn remember(&mut self, piece: Piece) {
        self.fetched.push_back(piece);
        if self.fetched.len() > FETCHED {
            self.fetched.pop_front();
        }
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
    fn the_same_object_again_or_one_that_stands_elsewhere_changes_nothing() {
        let (mut known, _) = known(usize::MAX);
        let head = known.head();
        for other in [Head::EMPTY, Head { size: head.size, leaf: Head::EMPTY.leaf }] {
            known.learn(Piece::of(other, Author::new(2).batch(other, 2).entries()), usize::MAX);
            assert_eq!(known.head(), head);
        }
    }
}
