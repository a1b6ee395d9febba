//! Replicas: everything that can be asked of a ledger without writing to it.

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use countersign_core::entry::Head;
use countersign_core::id::LedgerId;
use countersign_core::key::PublicKey;
use countersign_core::note::SignedNote;
use countersign_projection::projection::Projection;
use countersign_projection::registry::{AnyProjection, Registry, ViewError};
use countersign_projection::runner::View as ProjectionView;
use countersign_store::Store;
use tokio::sync::mpsc;

use crate::check::{Check, Checked};
use crate::clock::{Clock, SystemClock};
use crate::error::{Ended, OpenError, ReplayError, Stale};
use crate::feed::Feed;
use crate::opening::{Opened, Opening, open};
use crate::rebuilding;
use crate::shared::{EndOnDrop, Shared};
use crate::view::View;

/// A read-only ledger: a view that follows a store, and everything that can be asked of it. A clone is another handle.
///
/// Made by [`crate::Ledger::follow`], here or on another machine. Every entry is verified and judged before it shows. The
/// follower runs as a task of its own until the last handle is dropped, or the store holds what can not be followed.
pub struct Replica<S> {
    pub(crate) shared: Arc<Shared<S>>,
    failure: Arc<OnceLock<ReplayError>>,
    opened: Arc<Opened>,
    /// Ends the follower when the last handle goes. None in a ledger, which follows by itself.
    life: Option<mpsc::Sender<Infallible>>,
}

impl<S> Clone for Replica<S> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            failure: self.failure.clone(),
            opened: self.opened.clone(),
            life: self.life.clone(),
        }
    }
}

/// How to follow a store.
#[derive(Clone)]
pub struct Follow {
    opening: Opening,
    clock: Arc<dyn Clock>,
    poll_interval: Duration,
}

impl Follow {
    /// Follows whatever ledger is there, by the system's clock, and asks at least once a second for more.
    #[must_use]
    pub fn new() -> Self {
        Self {
            opening: Opening::default(),
            clock: Arc::new(SystemClock::new()),
            poll_interval: Duration::from_secs(1),
        }
    }

    /// Follows no other ledger than this.
    #[must_use]
    pub fn ledger_id(mut self, ledger_id: LedgerId) -> Self {
        self.opening.ledger_id = Some(ledger_id);
        self
    }

    /// Takes time from `clock`: for questions as of now, and for the age of a view.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// How often the store is asked for more where no hint comes.
    #[must_use]
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }

    /// Projections that fold with the ledger: [`Replica::view`] answers from them.
    #[must_use]
    pub fn projections(mut self, projections: Registry) -> Self {
        self.opening.projections = projections;
        self
    }

    /// Opens by reading, verifying and judging every entry, whatever snapshots there are.
    #[must_use]
    pub fn from_genesis(mut self) -> Self {
        self.opening.from_genesis = true;
        self
    }

    /// A key that the recorder has or had: snapshots that it signed are of use. The key that genesis names is known without; where
    /// it was changed since, and nobody names the new one here, every entry is read.
    #[must_use]
    pub fn recorder_key(mut self, key: PublicKey) -> Self {
        self.opening.recorder_keys.push(key);
        self
    }

    /// Follows only what continues this checkpoint: a store that was put back to an older state is refused. More than one may be given.
    ///
    /// Where snapshots are newer than it, the entries up to it are read and hashed at opening, though not judged.
    #[must_use]
    pub fn floor(mut self, checkpoint: SignedNote) -> Self {
        self.opening.floors.push(checkpoint);
        self
    }
}

impl Default for Follow {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Follow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follow")
            .field("poll_interval", &self.poll_interval)
            .field("opening", &self.opening)
            .finish_non_exhaustive()
    }
}

impl<S: Store> Replica<S> {
    /// The newest view: state, root and projections at one head. Its answers belong together, however the ledger goes on. Takes no lock.
    ///
    /// After a receipt of the same ledger it includes the statement.
    #[must_use]
    pub fn current(&self) -> Arc<View> {
        self.shared.view()
    }

    /// The projection of this type in the newest view, with the state at the same head. Takes no lock.
    ///
    /// ```
    /// use countersign_ledger::testing::{Founded, recorder};
    /// use countersign_ledger::{Ledger, Recorder};
    /// use countersign_projection::periods::Holdings;
    /// use countersign_projection::registry::Registry;
    /// use countersign_store::MemoryStore;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let Founded { ledger, store, clock, .. } = Founded::in_memory().await?;
    /// let recorder = recorder(&clock).projections(Registry::new().with::<Holdings>()?);
    /// let ledger = Ledger::open(store, recorder).await?;
    /// let holdings = ledger.view::<Holdings>()?;
    /// assert_eq!(holdings.head(), ledger.head());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ViewError`] where it was not registered at opening, halted, or is still being built anew.
    pub fn view<P: Projection>(&self) -> Result<ProjectionView<P>, ViewError> {
        self.shared.with_view(|view| view.projection())
    }

    /// The projection of this name in the newest view, for tools that do not know its type.
    ///
    /// # Errors
    /// As [`Replica::view`].
    pub fn any_view(&self, name: &str) -> Result<Arc<dyn AnyProjection>, ViewError> {
        self.shared.with_view(|view| view.any(name))
    }

    /// As [`Replica::view`], once the projection is built, where it is still being built anew.
    ///
    /// # Errors
    /// [`ViewError`] where it is not registered or halted, or the ledger ended before.
    pub async fn view_when_built<P: Projection>(&self) -> Result<ProjectionView<P>, ViewError> {
        let mut progress = self.shared.progress();
        loop {
            let is_ended = progress.borrow_and_update().ended;
            match self.view() {
                Err(ViewError::Rebuilding { .. }) if !is_ended => {}
                answer => return answer,
            }
            // The sender lives in `self`, so waiting itself can not fail.
            let _ = progress.changed().await;
        }
    }

    /// From which snapshots it was opened, and which were of no use and why.
    #[must_use]
    pub fn opened(&self) -> &Opened {
        &self.opened
    }

    /// The head of the newest view.
    #[must_use]
    pub fn head(&self) -> Head {
        self.shared.with_view(View::head)
    }

    /// The ledger's id; none before genesis.
    #[must_use]
    pub fn ledger_id(&self) -> Option<LedgerId> {
        self.shared.with_view(|view| view.state().ledger_id().cloned())
    }

    /// The clock that questions as of now are asked by.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.shared.clock
    }

    /// Whether a subject may act in a role on a resource. Answers in process, from the newest view, without a lock.
    ///
    /// # Errors
    /// [`Stale`] where the view does not meet what the question demands of it.
    pub fn check(&self, question: &Check<'_>) -> Result<Checked, Stale> {
        self.shared.with_view(|view| question.answer(view, &*self.shared.clock, || self.shared.age()))
    }

    /// The view once it has at least `size` entries: with the head of a receipt, a replica answers from what its holder wrote.
    ///
    /// # Errors
    /// [`Ended`] if the ledger is closed, or the follower stopped, before.
    pub async fn at_least(&self, size: u64) -> Result<Arc<View>, Ended> {
        self.shared.at_least(size).await
    }

    /// Every entry after `head`, from there on for ever: contiguous, and each checked to follow the one before.
    ///
    /// `head` is the one after the last entry that the consumer has dealt with; [`Head::EMPTY`] starts at genesis. Entries come
    /// when they are durable and in the view, never before.
    #[must_use]
    pub fn subscribe(&self, after: Head) -> Feed<S> {
        Feed::new(self.shared.clone(), after)
    }

    /// Why the follower stopped, if it did. A replica goes on answering from its last view, whose age grows.
    #[must_use]
    pub fn failure(&self) -> Option<&ReplayError> {
        self.failure.get()
    }

    pub(crate) fn of_ledger(
        shared: Arc<Shared<S>>,
        failure: Arc<OnceLock<ReplayError>>,
        opened: Opened,
    ) -> Self {
        Self { shared, failure, opened: Arc::new(opened), life: None }
    }

    pub(crate) async fn follow(store: S, follow: Follow) -> Result<Self, OpenError> {
        let shared = Arc::new(Shared::new(store, follow.clock.clone()));
        let opened = Arc::new(open(&shared, follow.opening).await?);
        if shared.with_view(View::head) == Head::EMPTY {
            return Err(OpenError::Empty);
        }
        let (life, mut handles) = mpsc::channel(1);
        let failure = Arc::new(OnceLock::new());
        let (followed, failed) = (shared.clone(), failure.clone());
        let mut rebuilt = rebuilding::start(&shared, follow.poll_interval);
        // However the task ends: nobody may wait for a view that nobody makes any more.
        let end = EndOnDrop(shared.clone());
        tokio::spawn(async move {
            let _end = end;
            let mut hints = true;
            loop {
                tokio::select! {
                    _ = handles.recv() => break,
                    Some(rebuilt) = rebuilt.recv() => {
                        followed.install(rebuilt).await;
                        continue;
                    }
                    () = more(&followed, hints, follow.poll_interval) => {}
                }
                match followed.catch_up().await {
                    Ok(grew) => hints = grew,
                    // The store may come back.
                    Err(ReplayError::Store(_)) => hints = false,
                    Err(error) => {
                        let _ = failed.set(error);
                        break;
                    }
                }
            }
        });
        Ok(Self { shared, failure, opened, life: Some(life) })
    }
}

impl<S> fmt::Debug for Replica<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica").field("failure", &self.failure.get()).finish_non_exhaustive()
    }
}

/// Completes when there may be more in the store: by its hint, or after the interval.
///
/// After a hint that led to nothing, hints are not listened to until the interval has passed: a store that hints all
/// the time must not keep a processor busy.
pub(crate) async fn more<S: Store>(shared: &Shared<S>, hints: bool, interval: Duration) {
    let size = shared.with_view(|view| view.head().size);
    tokio::select! {
        () = shared.store.wait(size), if hints => {}
        () = tokio::time::sleep(interval) => {}
    }
}
