//! The entries of a store as a stream of lines, for an auditor: batch by batch, never all at once.

use std::io::{self, Read};
use std::sync::Arc;

use countersign_audit::{CheckpointFile, Segment, SegmentPlace, Source, SourceError};
use countersign_store::{AnyStore, Store as _, StoreError};
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
        let size = runtime.block_on(store.head()).map_err(unread)?.size;
        let checkpoint = checkpoint
            .map(|note| CheckpointFile { name: "the kept checkpoint".into(), bytes: note.to_vec() });
        let entries = Entries { store, runtime, next: 0, size, lines: Vec::new(), taken: 0 };
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

/// The lines that were not read yet.
struct Entries {
    store: AnyStore,
    runtime: Arc<Runtime>,
    next: u64,
    size: u64,
    /// Of one batch, and how many bytes of it were read.
    lines: Vec<u8>,
    taken: usize,
}

impl Read for Entries {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.lines.len() && self.next < self.size {
            let left = usize::try_from(self.size - self.next).unwrap_or(BATCH).min(BATCH);
            let read = self.runtime.block_on(self.store.read(self.next, left)).map_err(io::Error::other)?;
            if read.is_empty() {
                let detail = "the entry is not there".to_owned();
                return Err(io::Error::other(StoreError::Damaged { seq: self.next, detail }));
            }
            self.next += read.len() as u64;
            (self.lines, self.taken) = (Vec::new(), 0);
            for entry in read {
                self.lines.extend_from_slice(&entry);
                self.lines.push(b'\n');
            }
        }
        let read = (&self.lines[self.taken..]).read(buffer)?;
        self.taken += read;
        Ok(read)
    }
}
