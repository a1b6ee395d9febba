//! The state as of an instant and a size: what was so at T, as far as the first N entries tell.
//!
//! state(T, N) is the fold of the entries with seq < N and `recorded_at` <= T; conditions of time are then evaluated at T.
//! N says what was known, T says when. `recorded_at` never decreases, so both cut off a tail, and the fold stops at the
//! first entry beyond either.

use std::ops::ControlFlow;

use countersign_core::entry::{Entry, Head};
use countersign_core::time::Timestamp;

use crate::governance::State;
use crate::projection::Projection;
use crate::runner::{Projections, RunError, Runner, View};
use crate::snapshot::{PlacedSnapshot, SnapshotHeader};

/// Which entries count, and at which instant questions are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// N: only the first so many entries count; where absent, all that there are.
    pub size: Option<u64>,
    /// T: only entries recorded by then count, and conditions of time are evaluated then.
    pub at: Timestamp,
}

impl Cut {
    /// As of an instant, as far as all entries tell.
    #[must_use]
    pub const fn at(at: Timestamp) -> Self {
        Self { size: None, at }
    }

    /// As of an instant, as far as the first `size` entries tell.
    #[must_use]
    pub const fn known_by(at: Timestamp, size: u64) -> Self {
        Self { size: Some(size), at }
    }

    /// Whether an entry counts.
    #[must_use]
    pub fn takes(&self, entry: &Entry) -> bool {
        self.size.is_none_or(|size| entry.seq() < size) && entry.recorded_at() <= self.at
    }

    /// Whether everything in a snapshot counts, so that the fold can start from it.
    #[must_use]
    pub fn takes_snapshot(&self, header: &SnapshotHeader) -> bool {
        self.takes_head(header.head(), header.recorded_at())
    }

    /// The snapshots that the fold can start from. [`Runner::resume`] takes the newest usable one.
    #[must_use]
    pub fn usable(&self, snapshots: &[PlacedSnapshot]) -> Vec<PlacedSnapshot> {
        snapshots.iter().filter(|snapshot| self.takes_snapshot(snapshot.header())).cloned().collect()
    }

    /// Whether everything that a state has folded counts, so that the fold can start from it.
    #[must_use]
    pub fn takes_state(&self, state: &State) -> bool {
        self.takes_head(state.head(), state.recorded_at())
    }

    fn takes_head(&self, head: Head, recorded_at: Timestamp) -> bool {
        head.size == 0 || (self.size.is_none_or(|size| head.size <= size) && recorded_at <= self.at)
    }
}

/// The fold up to a cut. Entries are pushed, so that they may come from anywhere; each is verified and judged.
#[derive(Debug)]
pub struct AsOfFold<S> {
    runner: Runner<S>,
    cut: Cut,
    is_settled: bool,
    failure: Option<RunError>,
}

impl<S: Projections> AsOfFold<S> {
    /// Starts from a runner before the cut: at genesis, or resumed from a snapshot.
    ///
    /// # Errors
    /// [`AsOfError::StartsAfter`] where the runner has folded an entry beyond the cut.
    pub fn start(runner: Runner<S>, cut: Cut) -> Result<Self, AsOfError> {
        if !cut.takes_state(runner.state()) {
            return Err(AsOfError::StartsAfter { head: runner.head() });
        }
        let is_settled = cut.size == Some(runner.head().size);
        Ok(Self { runner, cut, is_settled, failure: None })
    }

    /// Takes the next entry; breaks where no later one can count.
    ///
    /// # Errors
    /// [`RunError`] where the entry is not the next one, is not admitted, or halts a projection; the fold then ends there.
    pub fn push(&mut self, entry: Entry) -> Result<ControlFlow<()>, RunError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let flow = self.take(entry);
        self.failure = flow.as_ref().err().cloned();
        flow
    }

    fn take(&mut self, entry: Entry) -> Result<ControlFlow<()>, RunError> {
        if self.is_settled {
            return Ok(ControlFlow::Break(()));
        }
        if !self.cut.takes(&entry) {
            // That the ledger went on after T is a fact about the answer, so this entry is judged as strictly as the others.
            self.runner.judge(entry)?;
            self.is_settled = true;
            return Ok(ControlFlow::Break(()));
        }
        self.runner.replay(entry)?;
        self.is_settled = self.cut.size == Some(self.runner.head().size);
        Ok(if self.is_settled { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    /// The state at the cut, after the last entry was pushed.
    ///
    /// # Errors
    /// [`AsOfError::Short`] where N counts more entries than there were; [`AsOfError::Run`] where one of them failed.
    pub fn finish(self) -> Result<AsOf<S>, AsOfError> {
        let Self { runner, cut, is_settled, failure } = self;
        if let Some(failure) = failure {
            return Err(failure.into());
        }
        match cut.size {
            Some(size) if !is_settled => Err(AsOfError::Short { size, found: runner.head().size }),
            Some(_) | None => Ok(AsOf { runner, at: cut.at, is_settled }),
        }
    }
}

/// Folds entries up to a cut.
///
/// ```
/// use countersign_projection::as_of::{Cut, as_of};
/// use countersign_projection::runner::Runner;
/// use countersign_projection::test_kit::Playground;
///
/// let ledger = Playground::small();
/// let middle = ledger.entries()[ledger.entries().len() / 2].recorded_at();
/// let then = as_of(Runner::<()>::new(), Cut::at(middle), ledger.entries().iter().cloned())?;
/// assert!(then.is_settled());
/// for grant in then.state().grants(then.at()) {
///     println!("{} has {} on {}", grant.subject, grant.role, grant.resource);
/// }
/// # Ok::<(), countersign_projection::as_of::AsOfError>(())
/// ```
///
/// # Errors
/// [`AsOfError`].
pub fn as_of<S: Projections>(
    start: Runner<S>,
    cut: Cut,
    entries: impl IntoIterator<Item = Entry>,
) -> Result<AsOf<S>, AsOfError> {
    let mut fold = AsOfFold::start(start, cut)?;
    for entry in entries {
        if fold.push(entry)?.is_break() {
            break;
        }
    }
    fold.finish()
}

/// The state as of a cut.
#[derive(Debug)]
pub struct AsOf<S> {
    // INVARIANT: has folded exactly the entries that the cut takes.
    runner: Runner<S>,
    at: Timestamp,
    is_settled: bool,
}

impl<S: Projections> AsOf<S> {
    /// T: the instant to ask questions at.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// Which entries it answers from.
    #[must_use]
    pub fn head(&self) -> Head {
        self.runner.head()
    }

    /// Whether no entry still to come can change the answer: N was given, or the ledger went on after T.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        self.is_settled
    }

    /// The governance state. Its questions take an instant: give them [`Self::at`].
    #[must_use]
    pub const fn state(&self) -> &State {
        self.runner.state()
    }

    /// The runner, to go on from here.
    #[must_use]
    pub fn into_runner(self) -> Runner<S> {
        self.runner
    }
}

impl<P: Projection> AsOf<P> {
    /// The projection with the state.
    #[must_use]
    pub fn view(&self) -> View<P> {
        self.runner.view().expect("a fold that failed gives no state as of a cut")
    }
}

/// Why there is no state as of a cut.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AsOfError {
    /// The fold was to start from a state beyond the cut.
    #[error("the fold can not start after {} entries: the cut lies before", head.size)]
    StartsAfter {
        /// The head of that state.
        head: Head,
    },
    /// There are fewer entries than the cut counts.
    #[error("there are {found} entries, not {size}")]
    Short {
        /// How many the cut counts.
        size: u64,
        /// How many there are.
        found: u64,
    },
    /// An entry can not be folded.
    #[error(transparent)]
    Run(#[from] RunError),
}
