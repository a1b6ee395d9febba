//! The entries of a store as a stream of lines, for an auditor: batch by batch, never all at once.

use std::io::{self, Read};
use std::sync::Arc;

use countersign_audit::{CheckpointFile, Damage, Segment, SegmentPlace, Source, SourceError};
use countersign_core::entry::{Head, leaf_hash};
use countersign_store::{AnyStore, EntryBytes, Store as _, StoreError};
use tokio::runtime::Runtime;

use crate::failure::Failure;
use crate::place::BATCH;

/// A ledger in a store, as it stands when it is opened.
pub(crate) struct StoreSource {
    entries: Option<Entries>,
    checkpoint: Option<CheckpointFile>,
}

impl StoreSource {
    /// Looks up how far to read, and the checkpoint.
    pub(crate) fn open(store: AnyStore, runtime: Arc<Runtime>) -> Result<Self, Failure> {
        let unread = |error: StoreError| {
            let is_damage = matches!(error, StoreError::Damaged { .. });
            let failure = Failure::of("the ledger can not be read", &error);
            if is_damage { failure.into_refused() } else { failure }
        };
        // In this order: a checkpoint that is put after the head was looked up may be over entries that are not read.
        let checkpoint = runtime.block_on(store.checkpoint()).map_err(unread)?;
        let end = match runtime.block_on(store.head()) {
            Ok(head) => Ok(head),
            Err(StoreError::Damaged { seq, detail }) => Err(Damage { seq, detail }),
            Err(error) => return Err(unread(error)),
        };
        let checkpoint = checkpoint
            .map(|note| CheckpointFile { name: "the kept checkpoint".into(), bytes: note.to_vec() });
        let entries = Entries { store, runtime, read: Head::EMPTY, end, lines: Vec::new(), taken: 0 };
        Ok(Self { entries: Some(entries), checkpoint })
    }
}

impl Source for StoreSource {
    fn next_segment(&mut self) -> Result<Option<Segment>, SourceError> {
        let whole =
            |entries| Segment { name: None, place: SegmentPlace::Whole, bytes: Box::new(entries) as Box<_> };
        Ok(self.entries.take().map(whole))
    }

    fn checkpoints(&mut self) -> Result<Vec<CheckpointFile>, SourceError> {
        Ok(self.checkpoint.iter().cloned().collect())
    }
}

/// The lines that were not read yet. Where the store finds damage, they end with an error that holds a [`Damage`], behind all that is before it.
struct Entries {
    store: AnyStore,
    runtime: Arc<Runtime>,
    /// The head right after what was read of the store.
    read: Head,
    /// How far to read: the head, or what is wrong with it.
    end: Result<Head, Damage>,
    /// Of one batch, and how many bytes of it were read.
    lines: Vec<u8>,
    taken: usize,
}

impl Entries {
    /// The next entries, none at the end.
    fn next(&mut self) -> io::Result<Vec<EntryBytes>> {
        let seq = self.read.size;
        let mut most = match &self.end {
            Ok(end) => usize::try_from(end.size.saturating_sub(seq)).unwrap_or(BATCH).min(BATCH),
            Err(_) => BATCH,
        };
        let damage = |seq, detail: &str| Err(io::Error::other(Damage { seq, detail: detail.to_owned() }));
        while most > 0 {
            match self.runtime.block_on(self.store.read(seq, most)) {
                Ok(read) if !read.is_empty() => return Ok(read),
                Ok(_) => break,
                Err(StoreError::Damaged { seq: wrong, .. })
                    if (seq + 1..seq + most as u64).contains(&wrong) =>
                {
                    // What is before it is read first.
                    most = usize::try_from(wrong - seq).unwrap_or(BATCH);
                }
                Err(StoreError::Damaged { seq: wrong, detail }) => return damage(wrong, &detail),
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        match &self.end {
            Ok(end) if end.size > seq => damage(seq, "the entry is not there"),
            Ok(end) if *end != self.read => damage(seq, "the head that is kept is that of another entry"),
            Ok(_) => Ok(Vec::new()),
            Err(wrong) => Err(io::Error::other(wrong.clone())),
        }
    }
}

impl Read for Entries {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.lines.len() {
            let entries = self.next()?;
            (self.lines, self.taken) = (Vec::new(), 0);
            if let Some(last) = entries.last() {
                self.read = Head { size: self.read.size + entries.len() as u64, leaf: leaf_hash(last) };
            }
            for entry in entries {
                self.lines.extend_from_slice(&entry);
                self.lines.push(b'\n');
            }
        }
        let read = (&self.lines[self.taken..]).read(buffer)?;
        self.taken += read;
        Ok(read)
    }
}
