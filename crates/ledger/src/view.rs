//! Views, and how they grow by entries that were read.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use countersign_core::digest::{KeyId, NodeHash};
use countersign_core::entry::{Entry, Head};
use countersign_core::key::PublicKey;
use countersign_projection::governance::{JudgedEntry, State, judge};
use countersign_projection::projection::Projection;
use countersign_projection::registry::{AnyProjection, Registry, ViewError};
use countersign_projection::runner::{Projections, Runner, View as ProjectionView};
use countersign_projection::tree::MerkleRange;
use countersign_store::EntryBytes;
use rayon::prelude::*;

use crate::commitment::Commitments;
use crate::error::{EntryError, ReplayError};

/// What a ledger folds: the tree, which it can not do without, and the projections of whoever opened it.
pub(crate) type Folding = Runner<(MerkleRange, Registry)>;

/// One consistent state with its head: the governance state, the Merkle root and the projections over the same entries. It
/// never changes: what comes later is in later views.
///
/// Made by [`crate::Replica::current`]. A clone shares everything with its original.
#[derive(Clone)]
pub struct View(Folding);

impl View {
    /// The view before genesis.
    pub(crate) fn over(projections: Registry) -> Self {
        Self(Runner::over((MerkleRange::default(), projections)))
    }

    pub(crate) const fn of(folding: Folding) -> Self {
        Self(folding)
    }

    /// The governance state.
    #[must_use]
    pub fn state(&self) -> &State {
        self.0.state()
    }

    /// The size and last leaf hash of the entries that the state is a fold of.
    #[must_use]
    pub fn head(&self) -> Head {
        self.0.head()
    }

    /// The Merkle root over the same entries.
    #[must_use]
    pub fn root(&self) -> NodeHash {
        self.tree().root()
    }

    /// The projection of this type over the same entries, which stays as it is however the ledger goes on.
    ///
    /// # Errors
    /// [`ViewError`] where it is not registered with the ledger, halted, or is still being built anew.
    pub fn projection<P: Projection>(&self) -> Result<ProjectionView<P>, ViewError> {
        self.0.view()
    }

    /// The projection of this name, for tools that do not know its type.
    ///
    /// # Errors
    /// As [`View::projection`].
    pub fn any(&self, name: &str) -> Result<Arc<dyn AnyProjection>, ViewError> {
        self.0.views().any(name)
    }

    /// The names of the registered projections, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.registry().names()
    }

    /// The projections that give no answers, and why.
    pub fn down(&self) -> impl Iterator<Item = (&'static str, ViewError)> {
        self.0.down()
    }

    pub(crate) fn tree(&self) -> &MerkleRange {
        &self.set().0
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.set().1
    }

    fn set(&self) -> &(MerkleRange, Registry) {
        self.0.projections().expect("neither the tree nor a registry ever halts a runner")
    }

    pub(crate) const fn folding(&self) -> &Folding {
        &self.0
    }

    pub(crate) fn folding_mut(&mut self) -> &mut Folding {
        &mut self.0
    }

    /// Folds an entry that was judged against this very state, and sealed behind it.
    pub(crate) fn push(&mut self, entry: &JudgedEntry) {
        self.0.apply(entry).expect("a judged entry follows the state that it was judged against");
    }

    /// The view after these entries too, each of them verified and judged, and held against what was committed to.
    pub(crate) fn extended(&self, chunk: &[EntryBytes], held: &mut Commitments) -> Result<Self, ReplayError> {
        let mut view = self.clone();
        extend(&mut view.0, chunk, |before, after| held.compare(before, after))?;
        Ok(view)
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("head", &self.head())
            .field("projections", self.registry())
            .finish_non_exhaustive()
    }
}

/// Folds entries that nobody vouches for: signatures are verified on all cores, then each is judged where it stands.
///
/// `visit` is called after each, with the recorder's key right before.
pub(crate) fn extend<S: Projections>(
    runner: &mut Runner<S>,
    chunk: &[EntryBytes],
    mut visit: impl FnMut(Option<PublicKey>, &Runner<S>),
) -> Result<(), ReplayError> {
    let first = runner.head().size;
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
    let state = runner.state();
    let known = |key: &KeyId| state.public_key(key).or_else(|| new_keys.get(key).copied());
    let verified: Vec<_> = entries.par_iter().map(|entry| (**entry.signed()).clone().verify(known)).collect();
    for (index, (entry, verified)) in entries.into_iter().zip(verified).enumerate() {
        if (Head { size: entry.seq(), leaf: entry.prev() }) != runner.head() {
            return Err(at(index, EntryError::Unlinked));
        }
        let verified = verified.map_err(|fault| at(index, fault.into()))?;
        let admitted = judge(runner.state(), &verified, entry.recorded_at())
            .map_err(|refusal| at(index, refusal.into()))?;
        let judged = admitted.confirm(entry).ok_or_else(|| at(index, EntryError::Unlinked))?;
        let before = runner.state().recorder_key();
        runner.apply(&judged).map_err(|_| at(index, EntryError::Unlinked))?;
        visit(before, runner);
    }
    Ok(())
}
