//! Entries, notes and snapshots that are made once: the store under test is what takes the time.

use std::sync::OnceLock;

use countersign_core::checkpoint::Checkpoint;
use countersign_core::entry::{Entry, Head};
use countersign_core::key::SecretKey;
use countersign_core::merkle::Tree;
use countersign_store::conformance::Author;
use countersign_store::{Batch, KeptSnapshot, NoteBytes, SnapshotSet};

/// More than any workload appends.
const ENTRIES: usize = 24;

/// What workloads append and put.
pub(crate) struct Pool {
    chain: Vec<Entry>,
    /// Another entry behind each head of the chain.
    others: Vec<Entry>,
    notes: Vec<NoteBytes>,
}

/// The one pool.
pub(crate) fn pool() -> &'static Pool {
    static POOL: OnceLock<Pool> = OnceLock::new();
    POOL.get_or_init(|| {
        let chain = Author::new(1).entries(Head::EMPTY, ENTRIES);
        let heads: Vec<_> = [Head::EMPTY].into_iter().chain(chain.iter().map(Entry::head)).collect();
        let mut author = Author::new(2);
        let others = heads.iter().map(|head| author.entries(*head, 1).remove(0)).collect();
        let mut tree = Tree::default();
        let recorder = SecretKey::from_seed(&[3; 32]);
        let mut note = |size: usize| {
            if let Some(last) = size.checked_sub(1) {
                tree.push(chain[last].leaf());
            }
            let checkpoint = Checkpoint::new("kit", tree.size(), tree.root()).expect("made of valid parts");
            NoteBytes::from(checkpoint.sign(&recorder).expect("signs").to_string().into_bytes())
        };
        let notes = (0..heads.len()).map(&mut note).collect();
        Pool { chain, others, notes }
    })
}

impl Pool {
    /// The next `count` entries of the chain behind `head`.
    pub(crate) fn batch(&self, head: Head, count: usize) -> Batch {
        let start = self.place(head);
        Batch::new(self.chain[start..start + count].to_vec()).expect("chained, and not empty")
    }

    /// An entry behind `head` that is none of the chain.
    pub(crate) fn other(&self, head: Head) -> Batch {
        Batch::new(vec![self.others[self.place(head)].clone()]).expect("not empty")
    }

    /// A checkpoint over what is before `head`.
    pub(crate) fn note(&self, head: Head) -> NoteBytes {
        self.notes[self.place(head)].clone()
    }

    /// Snapshots over what is before `head`.
    pub(crate) fn snapshots(&self, head: Head) -> SnapshotSet {
        let snapshot = |name: &str, length: usize| KeptSnapshot {
            name: name.into(),
            note: format!("{name} over {}\n", head.size).into_bytes().into(),
            payload: vec![b'a' + u8::try_from(head.size % 26).expect("small"); length].into(),
        };
        SnapshotSet { size: head.size, snapshots: vec![snapshot("first", 700), snapshot("second", 3)] }
    }

    /// Whether this is a set that was put, or a part of it.
    pub(crate) fn has_snapshots(&self, set: &SnapshotSet) -> bool {
        let size = usize::try_from(set.size).unwrap_or(usize::MAX);
        let Some(entry) = size.checked_sub(1).and_then(|last| self.chain.get(last)) else {
            return set.size == 0;
        };
        let put = self.snapshots(entry.head());
        set.snapshots.iter().all(|snapshot| put.snapshots.contains(snapshot))
    }

    fn place(&self, head: Head) -> usize {
        let place = usize::try_from(head.size).expect("small");
        assert!(place == 0 || self.chain[place - 1].leaf() == head.leaf, "a head that nobody made: {head:?}");
        place
    }
}
