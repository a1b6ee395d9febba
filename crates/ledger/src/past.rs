//! States of the past: as of an instant, as far as the first so many entries tell.

use std::ops::ControlFlow;

use countersign_core::entry::{Entry, Head};
use countersign_core::note::SignedNote;
use countersign_projection::as_of::{AsOf, AsOfError, AsOfFold, Cut};
use countersign_projection::governance::State;
use countersign_projection::projection::Projection;
use countersign_projection::runner::{Projections, Runner};
use countersign_projection::snapshot::SnapshotHeader;
use countersign_store::{EntryBytes, SnapshotSet, Store};
use tokio::task::spawn_blocking;

use crate::error::{PastError, ReplayError};
use crate::opening::{Sets, place};
use crate::replica::Replica;
use crate::shared::CHUNK;
use crate::view::View;

impl<S: Store> Replica<S> {
    /// The state as of a cut, among the entries that the newest view has. Folds from the nearest usable snapshot before it, or from
    /// genesis; every entry after that is verified and judged.
    ///
    /// # Errors
    /// [`PastError`]: the cut counts more entries than there are, or the store can not be read.
    pub async fn as_of(&self, cut: Cut) -> Result<AsOf<()>, PastError> {
        let view = self.current();
        let start = cut.takes_state(view.state()).then(|| view.folding().state_alone());
        self.fold_to(cut, &view, start, None).await
    }

    /// As [`Replica::as_of`], with a projection, registered or not.
    ///
    /// # Errors
    /// As [`Replica::as_of`]; also where the projection halts before the cut.
    pub async fn as_of_with<P: Projection>(&self, cut: Cut) -> Result<AsOf<P>, PastError> {
        let view = self.current();
        let live = if cut.takes_state(view.state()) { view.folding().alone::<P>().ok() } else { None };
        self.fold_to(cut, &view, live, Some(P::NAME)).await
    }

    async fn fold_to<P: Projections + Default + Send + 'static>(
        &self,
        cut: Cut,
        view: &View,
        start: Option<Runner<P>>,
        name: Option<&str>,
    ) -> Result<AsOf<P>, PastError> {
        if let Some(runner) = start {
            return self.fold_from(runner, cut, view).await;
        }
        let mut sets = Sets::below(cut.size.map_or(view.head().size, |size| size.min(view.head().size)));
        loop {
            let runner = self.nearest(&mut sets, cut, view, name).await?;
            let is_from_genesis = runner.head() == Head::EMPTY;
            match self.fold_from(runner, cut, view).await {
                // Entries that do not continue the state of a snapshot, or take down who tries: an older one may do, and genesis does.
                Err(
                    PastError::Replay(ReplayError::Lost | ReplayError::Entry { .. })
                    | PastError::AsOf(AsOfError::Run(_)),
                ) if !is_from_genesis => {}
                answer => return answer,
            }
        }
    }

    async fn fold_from<P: Projections + Default + Send + 'static>(
        &self,
        runner: Runner<P>,
        cut: Cut,
        view: &View,
    ) -> Result<AsOf<P>, PastError> {
        let mut next = runner.head().size;
        let mut fold = AsOfFold::start(runner, cut)?;
        let until = cut.size.map_or(view.head().size, |size| size.min(view.head().size));
        while next < until {
            let wanted = usize::try_from(until - next).unwrap_or(CHUNK).min(CHUNK);
            let chunk = self.shared.store.read(next, wanted).await.map_err(ReplayError::from)?;
            if chunk.is_empty() {
                let found = self.shared.store.head().await.map_err(ReplayError::from)?;
                return Err(ReplayError::OtherHistory { known: view.head(), found }.into());
            }
            let from = next;
            next += chunk.len() as u64;
            let folded = spawn_blocking(move || push(&mut fold, chunk, from).map(|flow| (fold, flow)));
            let (folded, flow) = folded.await.map_err(|_| ReplayError::Lost)??;
            fold = folded;
            if flow.is_break() {
                break;
            }
        }
        Ok(fold.finish()?)
    }

    /// A runner that starts from the next usable snapshots before the cut, or at genesis.
    async fn nearest<P: Projections + Default + Send + 'static>(
        &self,
        sets: &mut Sets,
        cut: Cut,
        view: &View,
        name: Option<&str>,
    ) -> Result<Runner<P>, PastError> {
        let Some(ledger_id) = view.state().ledger_id() else { return Ok(Runner::new()) };
        let keys: Vec<_> =
            self.shared.recorder_keys().into_iter().chain(view.state().recorder_key()).collect();
        // Why one is of no use was told at opening; here only time is lost.
        let mut unused = Vec::new();
        while let Some(mut set) = sets.next(&self.shared.store, &mut unused).await {
            set.snapshots.retain(|kept| kept.name == State::NAME || Some(&*kept.name) == name);
            if !says_before(&set, &cut) {
                continue;
            }
            let placed = place(&self.shared.store, set, ledger_id, &keys).await;
            let (placed, _) = placed.map_err(ReplayError::from)?;
            let placed = cut.usable(&placed);
            let resumed = spawn_blocking(move || Runner::resume(P::default(), &placed).0);
            if let Ok(runner) = resumed.await
                && runner.head().size > 0
            {
                return Ok(runner);
            }
        }
        Ok(Runner::new())
    }
}

/// Whether a set says of itself that it lies before the cut, so that it is worth to be looked at.
fn says_before(set: &SnapshotSet, cut: &Cut) -> bool {
    set.snapshots.iter().any(|kept| {
        let header = SignedNote::parse(&kept.note).ok();
        let header: Option<SnapshotHeader> = header.and_then(|note| note.untrusted_text().parse().ok());
        header.is_some_and(|header| cut.takes_snapshot(&header))
    })
}

fn push<P: Projections>(
    fold: &mut AsOfFold<P>,
    chunk: Vec<EntryBytes>,
    from: u64,
) -> Result<ControlFlow<()>, PastError> {
    for (index, bytes) in chunk.into_iter().enumerate() {
        let seq = from + index as u64;
        let entry = Entry::parse(bytes).map_err(|fault| ReplayError::Entry { seq, cause: fault.into() })?;
        if fold.push(entry).map_err(AsOfError::Run)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}
