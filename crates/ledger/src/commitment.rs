//! What was committed to before: checkpoints that entries are held against while they are read.

use countersign_core::checkpoint::{self, Checkpoint};
use countersign_core::id::LedgerId;
use countersign_core::key::PublicKey;
use countersign_core::merkle::{self, CompactRange};
use countersign_core::note::{KeyKind, SignedNote, VerifierKey};
use countersign_store::EntryBytes;

use crate::error::{KeptCheckpointError, OpenError};
use crate::view::{Folding, View};

/// Where a checkpoint comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// It lies with the entries.
    Kept,
    /// Whoever opens the ledger knows it from elsewhere.
    Floor,
}

/// A checkpoint that the entries have to agree with.
#[derive(Debug, Clone)]
struct Commitment {
    origin: Origin,
    note: SignedNote,
    checkpoint: Checkpoint,
    is_met: bool,
    failure: Option<KeptCheckpointError>,
}

/// Every checkpoint that the entries have to agree with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Commitments(Vec<Commitment>);

impl Commitments {
    /// Adds the checkpoint that lies with the entries.
    pub(crate) fn kept(&mut self, bytes: &[u8]) -> Result<(), OpenError> {
        let note = SignedNote::parse(bytes).map_err(KeptCheckpointError::Note)?;
        self.add(Origin::Kept, note)
    }

    /// Adds a checkpoint that is known from elsewhere.
    pub(crate) fn floor(&mut self, note: SignedNote) -> Result<(), OpenError> {
        self.add(Origin::Floor, note)
    }

    fn add(&mut self, origin: Origin, note: SignedNote) -> Result<(), OpenError> {
        let checkpoint: Checkpoint = note
            .untrusted_text()
            .parse()
            .map_err(|error| origin.refused(KeptCheckpointError::Text(error)))?;
        // The empty tree commits to nothing.
        let is_met = checkpoint.size() == 0;
        self.0.push(Commitment { origin, note, checkpoint, is_met, failure: None });
        Ok(())
    }

    /// Refuses at once what is over more entries than there are.
    pub(crate) fn reach(&self, held: u64) -> Result<(), OpenError> {
        let ahead = |one: &&Commitment| !one.is_met && one.checkpoint.size() > held;
        match self.0.iter().find(ahead) {
            Some(one) => {
                Err(one.origin.refused(KeptCheckpointError::Ahead { size: one.checkpoint.size(), held }))
            }
            None => Ok(()),
        }
    }

    /// How many of the first `size` entries have to be hashed in order to compare what is committed to before that.
    pub(crate) fn below(&self, size: u64) -> Option<u64> {
        let sizes = self.0.iter().filter(|one| !one.is_met).map(|one| one.checkpoint.size());
        sizes.filter(|found| *found < size).max()
    }

    /// Compares what is over as many entries as the runner has folded. `before` is the recorder's key before the last of them: where
    /// that entry rotates the key, old or new may have signed.
    pub(crate) fn compare(&mut self, before: Option<PublicKey>, folding: &Folding) {
        let size = folding.head().size;
        if self.0.iter().all(|one| one.is_met || one.checkpoint.size() != size) {
            return;
        }
        let keys: Vec<_> = [before, folding.state().recorder_key()].into_iter().flatten().collect();
        let root = folding.projections().map(|(tree, _)| tree.range().clone());
        if let (Some(ledger), Ok(tree)) = (folding.state().ledger_id().cloned(), root) {
            self.compare_tree(&ledger, &keys, &tree);
        }
    }

    /// As [`Self::compare`], where a view starts from snapshots: any of `keys` may have signed.
    pub(crate) fn compare_start(&mut self, view: &View, keys: &[PublicKey]) {
        if let Some(ledger) = view.state().ledger_id() {
            self.compare_tree(ledger, keys, view.tree().range());
        }
    }

    /// Adds the next entries, which nobody judges, to a tree, and compares what is committed to on the way.
    pub(crate) fn hash(
        &mut self,
        tree: &mut CompactRange,
        chunk: &[EntryBytes],
        ledger: &LedgerId,
        keys: &[PublicKey],
    ) {
        for bytes in chunk {
            tree.push(merkle::leaf_hash(bytes));
            self.compare_tree(ledger, keys, tree);
        }
    }

    fn compare_tree(&mut self, ledger: &LedgerId, keys: &[PublicKey], tree: &CompactRange) {
        for one in &mut self.0 {
            if one.is_met || one.failure.is_some() || one.checkpoint.size() != tree.size() {
                continue;
            }
            match one.check(ledger, keys, tree) {
                Ok(()) => one.is_met = true,
                Err(error) => one.failure = Some(error),
            }
        }
    }

    /// Once all entries were read, of which there are `held`.
    pub(crate) fn finish(self, held: u64) -> Result<(), OpenError> {
        for one in self.0 {
            if let Some(failure) = one.failure {
                return Err(one.origin.refused(failure));
            }
            if !one.is_met {
                let size = one.checkpoint.size();
                return Err(one.origin.refused(KeptCheckpointError::Ahead { size, held }));
            }
        }
        Ok(())
    }

    /// The first that does not hold so far.
    pub(crate) fn failure(&self) -> Option<&KeptCheckpointError> {
        self.0.iter().find_map(|one| one.failure.as_ref())
    }
}

impl Commitment {
    fn check(
        &self,
        ledger: &LedgerId,
        keys: &[PublicKey],
        tree: &CompactRange,
    ) -> Result<(), KeptCheckpointError> {
        let known = verifiers(ledger, keys);
        let opened = checkpoint::open(&self.note, ledger.as_str(), &known)?;
        if opened.checkpoint().root() == tree.root() {
            Ok(())
        } else {
            Err(KeptCheckpointError::Root { size: tree.size() })
        }
    }
}

impl Origin {
    fn refused(self, error: KeptCheckpointError) -> OpenError {
        match self {
            Self::Kept => OpenError::Checkpoint(error),
            Self::Floor => OpenError::Floor(error),
        }
    }
}

/// Whether a checkpoint that lies with the entries leaves room for one over `view`: it is over fewer entries, or is the same.
///
/// # Errors
/// How it differs: [`KeptCheckpointError::Ahead`] where it is over more.
pub(crate) fn leaves_room(kept: &[u8], ledger: &LedgerId, view: &View) -> Result<(), KeptCheckpointError> {
    let note = SignedNote::parse(kept)?;
    let checkpoint: Checkpoint = note.untrusted_text().parse()?;
    let held = view.head().size;
    if checkpoint.size() < held || checkpoint.size() == 0 {
        return Ok(());
    }
    let keys: Vec<_> = view.state().recorder_key().into_iter().collect();
    let opened = checkpoint::open(&note, ledger.as_str(), &verifiers(ledger, &keys))?;
    if checkpoint.size() > held {
        return Err(KeptCheckpointError::Ahead { size: checkpoint.size(), held });
    }
    if opened.checkpoint().root() == view.root() {
        Ok(())
    } else {
        Err(KeptCheckpointError::Root { size: held })
    }
}

fn verifiers(ledger: &LedgerId, keys: &[PublicKey]) -> Vec<VerifierKey> {
    keys.iter().filter_map(|key| VerifierKey::new(ledger.as_str(), KeyKind::Note, *key).ok()).collect()
}
