//! Opening: from the newest usable snapshots, or from genesis, to the store's head.

use std::fmt;
use std::sync::Arc;

use countersign_core::entry::{Entry, Head};
use countersign_core::id::LedgerId;
use countersign_core::key::PublicKey;
use countersign_core::merkle::CompactRange;
use countersign_core::note::SignedNote;
use countersign_projection::governance::State;
use countersign_projection::projection::Projection as _;
use countersign_projection::registry::Registry;
use countersign_projection::runner::Runner;
use countersign_projection::snapshot::{OpenedSnapshot, PlacedSnapshot, RebuildReason};
use countersign_projection::tree::MerkleRange;
use countersign_store::{EntryBytes, KeptSnapshot, SnapshotSet, Store, StoreError};
use tokio::task::spawn_blocking;

use crate::commitment::Commitments;
use crate::error::{KeptCheckpointError, OpenError, ReplayError};
use crate::shared::{CHUNK, Shared};
use crate::view::{View, extend};

/// How a ledger was opened: from which snapshots, and which were of no use and why.
///
/// A snapshot saves time and nothing else. Whatever was wrong with one, the answers are those of the entries.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The head of the snapshots that folding started from; [`Head::EMPTY`] where every entry was read, verified and judged.
    pub from: Head,
    /// How many bytes of state those snapshots hold.
    pub bytes: u64,
    /// The head at which the ledger was open.
    pub head: Head,
    /// The snapshots that were of no use, the newest first. A projection that is named here beside a `from` that has its size is
    /// being built anew while the ledger is open.
    pub unused: Vec<UnusedSnapshot>,
}

/// A snapshot that was of no use.
#[derive(Debug, Clone)]
pub struct UnusedSnapshot {
    /// How many entries its set is over.
    pub size: u64,
    /// The projection, `governance` for the state itself.
    pub projection: String,
    /// What is wrong with it.
    pub reason: UnusedReason,
}

/// What is wrong with a snapshot.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum UnusedReason {
    /// It is not what it must be, or not there.
    #[error(transparent)]
    Rebuild(#[from] RebuildReason),
    /// The store could not give it.
    #[error("the store could not give the snapshots")]
    Store(#[source] Arc<StoreError>),
    /// The entries after it do not continue its state.
    #[error("the entries after it do not continue its state")]
    Tail(#[source] Arc<ReplayError>),
    /// The thread that read it, or that judged the entries after it, ended without an answer.
    #[error("the thread that read it gave no answer")]
    Lost,
    /// Its tree is not what a checkpoint commits to.
    #[error("it does not agree with a checkpoint")]
    Checkpoint(#[source] Arc<KeptCheckpointError>),
}

impl UnusedSnapshot {
    /// The set as a whole, for the sake of its state.
    fn whole(size: u64, reason: UnusedReason) -> Self {
        Self { size, projection: State::NAME.to_owned(), reason }
    }
}

impl fmt::Display for UnusedSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "snapshot of `{}` over {} entries: {}", self.projection, self.size, self.reason)
    }
}

/// How to open: what recorders and followers say of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Opening {
    pub(crate) ledger_id: Option<LedgerId>,
    pub(crate) projections: Registry,
    pub(crate) from_genesis: bool,
    /// Keys of the recorder, known beside the one that genesis names.
    pub(crate) recorder_keys: Vec<PublicKey>,
    pub(crate) floors: Vec<SignedNote>,
}

/// Opens what the store holds, holds it against every checkpoint, and shows it.
pub(crate) async fn open<S: Store>(shared: &Arc<Shared<S>>, opening: Opening) -> Result<Opened, OpenError> {
    let mut held = Commitments::default();
    if let Some(kept) = shared.store.checkpoint().await.map_err(ReplayError::from)? {
        held.kept(&kept)?;
    }
    for floor in &opening.floors {
        held.floor(floor.clone())?;
    }
    let head = shared.store.head().await.map_err(ReplayError::from)?;
    let Some(founding) = founding(&shared.store).await? else {
        held.reach(head.size)?;
        shared.publish(View::over(opening.projections));
        return Ok(Opened { from: Head::EMPTY, bytes: 0, head, unused: Vec::new() });
    };
    let ledger_id = founding.ledger_id().expect("only a genesis stands first").clone();
    if opening.ledger_id.as_ref().is_some_and(|wanted| *wanted != ledger_id) {
        return Err(OpenError::OtherLedger { found: ledger_id });
    }
    held.reach(head.size)?;
    let mut keys = opening.recorder_keys.clone();
    keys.extend(founding.recorder_key());
    shared.know_recorder_keys(keys.clone());
    let mut unused = Vec::new();
    if !opening.from_genesis {
        let start = Start { shared, ledger_id: &ledger_id, keys: &keys, projections: &opening.projections };
        if let Some((from, bytes, view)) = start.newest(&held, &mut unused).await? {
            let opened = Opened { from, bytes, head: view.head(), unused };
            shared.publish(view);
            return Ok(opened);
        }
    }
    let start = View::over(opening.projections);
    let (view, held) = catch_up(shared, start, held).await?;
    held.finish(view.head().size)?;
    let opened = Opened { from: Head::EMPTY, bytes: 0, head: view.head(), unused };
    shared.publish(view);
    Ok(opened)
}

/// The state after genesis, verified and judged; none in an empty store.
async fn founding<S: Store>(store: &S) -> Result<Option<State>, ReplayError> {
    let first = store.read(0, 1).await?;
    let mut runner = Runner::<()>::new();
    extend(&mut runner, &first, |_, _| {})?;
    Ok((!first.is_empty()).then(|| runner.state().clone()))
}

/// Reads, verifies and judges what comes after `view`, up to the store's head.
async fn catch_up<S: Store>(
    shared: &Shared<S>,
    mut view: View,
    mut held: Commitments,
) -> Result<(View, Commitments), ReplayError> {
    let mut started = shared.clock.monotonic();
    let mut chunk = shared.store.read(view.head().size, CHUNK).await?;
    while !chunk.is_empty() {
        let next = view.head().size + chunk.len() as u64;
        let folded = spawn_blocking(move || {
            let extended = view.extended(&chunk, &mut held);
            (extended, held)
        });
        let reading = shared.clock.monotonic();
        // The store reads on while this chunk is judged.
        let (folded, read) = tokio::join!(folded, shared.store.read(next, CHUNK));
        let (extended, compared) = folded.map_err(|_| ReplayError::Lost)?;
        (view, held) = (extended?, compared);
        (started, chunk) = (reading, read?);
    }
    let (known, found) = (view.head(), shared.store.head().await?);
    if found.size < known.size || (found.size == known.size && found != known) {
        return Err(ReplayError::OtherHistory { known, found });
    }
    if found == known {
        shared.confirm(started);
    }
    Ok((view, held))
}

/// What snapshots are looked for with.
struct Start<'a, S> {
    shared: &'a Arc<Shared<S>>,
    ledger_id: &'a LedgerId,
    keys: &'a [PublicKey],
    projections: &'a Registry,
}

impl<S: Store> Start<'_, S> {
    /// The view at the store's head by the newest set of snapshots that leads there; before it head and bytes of that set.
    async fn newest(
        &self,
        held: &Commitments,
        unused: &mut Vec<UnusedSnapshot>,
    ) -> Result<Option<(Head, u64, View)>, OpenError> {
        let mut sets = Sets::below(u64::MAX);
        while let Some(set) = sets.next(&self.shared.store, unused).await {
            let size = set.size;
            let bytes = set.snapshots.iter().map(|snapshot| snapshot.payload.len() as u64).sum();
            let whole = |reason| UnusedSnapshot::whole(size, reason);
            let (placed, useless) =
                place(&self.shared.store, set, self.ledger_id, self.keys).await.map_err(ReplayError::from)?;
            unused.extend(useless);
            let Some(view) = self.resume(size, placed, unused).await else { continue };
            let from = view.head();
            let held = self.compare_up_to(&view, held.clone()).await?;
            match catch_up(self.shared, view, held).await {
                Ok((view, held)) => match held.failure() {
                    Some(failure) => unused.push(whole(UnusedReason::Checkpoint(Arc::new(failure.clone())))),
                    None => {
                        held.finish(view.head().size)?;
                        return Ok(Some((from, bytes, view)));
                    }
                },
                Err(error @ (ReplayError::Entry { .. } | ReplayError::OtherHistory { .. })) => {
                    unused.push(whole(UnusedReason::Tail(Arc::new(error))));
                }
                Err(ReplayError::Lost) => unused.push(whole(UnusedReason::Lost)),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// The view that placed snapshots make, if those of state and tree are good.
    async fn resume(
        &self,
        size: u64,
        placed: Vec<PlacedSnapshot>,
        unused: &mut Vec<UnusedSnapshot>,
    ) -> Option<View> {
        let registry = self.projections.fresh();
        let resumed = spawn_blocking(move || {
            let (runner, rebuilds) = Runner::resume((MerkleRange::default(), registry), &placed);
            (View::of(runner), rebuilds)
        });
        // A snapshot that takes a thread down is of no use either.
        let Ok((view, rebuilds)) = resumed.await else {
            unused.push(UnusedSnapshot::whole(size, UnusedReason::Lost));
            return None;
        };
        let known: Vec<String> =
            unused.iter().filter(|one| one.size == size).map(|one| one.projection.clone()).collect();
        // What failed to be placed is missing here, and its reason is known already.
        let new = rebuilds.into_iter().filter(|rebuild| !known.contains(&rebuild.name));
        unused.extend(new.map(|rebuild| UnusedSnapshot {
            size,
            projection: rebuild.name,
            reason: rebuild.reason.into(),
        }));
        if view.head().size != size {
            return None;
        }
        if view.tree().size() != size {
            let reason = RebuildReason::OtherState.into();
            unused.push(UnusedSnapshot { size, projection: MerkleRange::NAME.to_owned(), reason });
            return None;
        }
        Some(view)
    }

    /// Compares what is committed to up to where `view` starts. Where that is before its start, the entries up to there
    /// are hashed, though not judged.
    async fn compare_up_to(&self, view: &View, mut held: Commitments) -> Result<Commitments, ReplayError> {
        let keys: Vec<_> = self.keys.iter().copied().chain(view.state().recorder_key()).collect();
        held.compare_start(view, &keys);
        let Some(until) = held.below(view.head().size) else { return Ok(held) };
        let mut tree = CompactRange::new();
        while tree.size() < until {
            let wanted = usize::try_from(until - tree.size()).unwrap_or(CHUNK).min(CHUNK);
            let chunk = self.shared.store.read(tree.size(), wanted).await?;
            if chunk.is_empty() {
                let found = self.shared.store.head().await?;
                return Err(ReplayError::OtherHistory { known: view.head(), found });
            }
            held.hash(&mut tree, &chunk, self.ledger_id, &keys);
        }
        Ok(held)
    }
}

/// The sets of snapshots of a store, from the newest on.
pub(crate) struct Sets {
    at_most: Option<u64>,
}

impl Sets {
    /// Those over at most `size` entries.
    pub(crate) const fn below(size: u64) -> Self {
        Self { at_most: Some(size) }
    }

    pub(crate) async fn next<S: Store>(
        &mut self,
        store: &S,
        unused: &mut Vec<UnusedSnapshot>,
    ) -> Option<SnapshotSet> {
        let at_most = self.at_most?;
        match store.snapshots(at_most).await {
            // A store that gives another set than asked for would be asked for ever.
            Ok(set) => {
                let set = set.filter(|set| set.size <= at_most);
                self.at_most = set.as_ref().and_then(|set| set.size.checked_sub(1));
                set
            }
            Err(error) => {
                self.at_most = None;
                unused.push(UnusedSnapshot::whole(at_most, UnusedReason::Store(Arc::new(error))));
                None
            }
        }
    }
}

/// Opens and places the snapshots of a set; says which are of no use.
pub(crate) async fn place<S: Store>(
    store: &S,
    set: SnapshotSet,
    ledger_id: &LedgerId,
    keys: &[PublicKey],
) -> Result<(Vec<PlacedSnapshot>, Vec<UnusedSnapshot>), StoreError> {
    let last: Option<EntryBytes> = match set.size.checked_sub(1) {
        Some(seq) => store.read(seq, 1).await?.into_iter().next(),
        None => None,
    };
    let (ledger_id, keys, size) = (ledger_id.clone(), keys.to_vec(), set.size);
    let placed = spawn_blocking(move || {
        let last = last.and_then(|bytes| Entry::parse(bytes).ok());
        let (mut placed, mut unused) = (Vec::new(), Vec::new());
        for kept in set.snapshots {
            let projection = kept.name.clone();
            match place_one(kept, size, last.as_ref(), &ledger_id, &keys) {
                Ok(snapshot) => placed.push(snapshot),
                Err(reason) => unused.push(UnusedSnapshot { size, projection, reason: reason.into() }),
            }
        }
        (placed, unused)
    });
    Ok(placed.await.unwrap_or_else(|_| (Vec::new(), vec![UnusedSnapshot::whole(size, UnusedReason::Lost)])))
}

fn place_one(
    kept: KeptSnapshot,
    size: u64,
    last: Option<&Entry>,
    ledger_id: &LedgerId,
    keys: &[PublicKey],
) -> Result<PlacedSnapshot, RebuildReason> {
    let opened = OpenedSnapshot::open(&kept.note, kept.payload, ledger_id, keys)?;
    if opened.header().name() != kept.name {
        return Err(RebuildReason::OtherProjection { found: opened.header().name().to_owned() });
    }
    if opened.header().head().size != size {
        return Err(RebuildReason::OtherState);
    }
    opened.place(last)
}
