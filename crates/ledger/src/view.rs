//! Views, and how they grow by entries that were read.

use std::collections::HashMap;

use countersign_core::checkpoint::{self, Checkpoint};
use countersign_core::digest::{KeyId, NodeHash};
use countersign_core::entry::{Entry, Head};
use countersign_core::id::LedgerId;
use countersign_core::key::PublicKey;
use countersign_core::merkle::CompactRange;
use countersign_core::note::{KeyKind, SignedNote, VerifierKey};
use countersign_projection::governance::{JudgedEntry, State, judge};
use countersign_store::EntryBytes;
use rayon::prelude::*;

use crate::error::{EntryError, KeptCheckpointError, ReplayError};

/// One consistent state with its head. It never changes: what comes later is in later views.
#[derive(Debug, Clone, Default)]
pub struct View {
    // INVARIANT: both are of the same entries.
    state: State,
    tree: CompactRange,
}

impl View {
    /// The governance state.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The size and last leaf hash of the entries that the state is a fold of.
    #[must_use]
    pub fn head(&self) -> Head {
        self.state.head()
    }

    /// The Merkle root over the same entries.
    #[must_use]
    pub fn root(&self) -> NodeHash {
        self.tree.root()
    }

    pub(crate) fn push(&mut self, entry: &JudgedEntry) {
        self.state.fold(entry);
        self.tree.push(entry.entry().leaf());
    }

    /// The view after these entries too, each of them verified and judged.
    ///
    /// `visit` is called after each.
    pub(crate) fn extended(
        &self,
        chunk: &[EntryBytes],
        mut visit: impl FnMut(&State, &Self),
    ) -> Result<Self, ReplayError> {
        let mut view = self.clone();
        let first = view.head().size;
        let at = |index: usize, cause: EntryError| ReplayError::Entry { seq: first + index as u64, cause };
        let parsed: Vec<_> = chunk.par_iter().map(|bytes| Entry::parse(bytes.clone())).collect();
        let mut entries = Vec::with_capacity(parsed.len());
        for (index, entry) in parsed.into_iter().enumerate() {
            entries.push(entry.map_err(|fault| at(index, fault.into()))?);
        }
        // A signature proves that the key with this id signed, whenever the key was admitted: whether it was by then is judged.
        let admitted = |entry: &Entry| -> Vec<(KeyId, PublicKey)> {
            let new = entry.statement().event.new_keys();
            new.iter().filter_map(|key| Some((key.key_id(), PublicKey::accept(&key.0).ok()?))).collect()
        };
        let new_keys: HashMap<KeyId, PublicKey> = entries.par_iter().flat_map_iter(admitted).collect();
        let state = &self.state;
        let known = |key: &KeyId| state.public_key(key).or_else(|| new_keys.get(key).copied());
        let verified: Vec<_> =
            entries.par_iter().map(|entry| (**entry.signed()).clone().verify(known)).collect();
        for (index, (entry, verified)) in entries.into_iter().zip(verified).enumerate() {
            let head = view.head();
            if (Head { size: entry.seq(), leaf: entry.prev() }) != head {
                return Err(at(index, EntryError::Unlinked));
            }
            let verified = verified.map_err(|fault| at(index, fault.into()))?;
            let admitted = judge(&view.state, &verified, entry.recorded_at())
                .map_err(|refusal| at(index, refusal.into()))?;
            let judged = admitted.confirm(entry).ok_or_else(|| at(index, EntryError::Unlinked))?;
            let before = view.state.clone();
            view.push(&judged);
            visit(&before, &view);
        }
        Ok(view)
    }
}

/// A checkpoint that was kept with the entries, to be held against them while they are read.
#[derive(Debug)]
pub(crate) struct Kept {
    note: SignedNote,
    size: u64,
    matched: bool,
}

impl Kept {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, KeptCheckpointError> {
        let note = SignedNote::parse(bytes)?;
        let checkpoint: Checkpoint = note.untrusted_text().parse()?;
        // The empty tree commits to nothing.
        Ok(Self { size: checkpoint.size(), matched: checkpoint.size() == 0, note })
    }

    /// Holds the checkpoint against a view, if it is over as many entries.
    pub(crate) fn compare(&mut self, before: &State, view: &View) -> Result<(), KeptCheckpointError> {
        if view.head().size != self.size {
            return Ok(());
        }
        let Some(ledger_id) = view.state.ledger_id().map(LedgerId::as_str) else { return Ok(()) };
        // Where the last entry rotates the recorder's key, old or new may have signed.
        let keys: Vec<_> = [before.recorder_key(), view.state.recorder_key()]
            .into_iter()
            .flatten()
            .filter_map(|key| VerifierKey::new(ledger_id, KeyKind::Note, key).ok())
            .collect();
        let opened = checkpoint::open(&self.note, ledger_id, &keys)?;
        if opened.checkpoint().root() != view.root() {
            return Err(KeptCheckpointError::Root { size: self.size });
        }
        self.matched = true;
        Ok(())
    }

    /// Once everything was read.
    pub(crate) fn finish(&self, view: &View) -> Result<(), KeptCheckpointError> {
        if self.matched {
            Ok(())
        } else {
            Err(KeptCheckpointError::Ahead { size: self.size, held: view.head().size })
        }
    }
}
