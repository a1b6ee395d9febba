//! Replicas: everything that can be asked of a ledger without writing to it.

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use countersign_core::entry::Head;
use countersign_core::id::LedgerId;
use countersign_store::Store;
use tokio::sync::mpsc;

use crate::check::{Check, Checked};
use crate::clock::{Clock, SystemClock};
use crate::error::{Ended, OpenError, ReplayError, Stale};
use crate::feed::Feed;
use crate::shared::Shared;
use crate::view::{Kept, View};

/// A read-only ledger: a view that follows a store, and everything that can be asked of it. A clone is another handle.
///
/// Made by [`crate::Ledger::follow`], here or on another machine. Every entry is verified and judged before it shows. The
/// follower runs as a task of its own until the last handle is dropped, or the store holds what can not be followed.
pub struct Replica<S> {
    pub(crate) shared: Arc<Shared<S>>,
    failure: Arc<OnceLock<ReplayError>>,
    /// Ends the follower when the last handle goes. None in a ledger, which follows by itself.
    life: Option<mpsc::Sender<Infallible>>,
}

impl<S> Clone for Replica<S> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), failure: self.failure.clone(), life: self.life.clone() }
    }
}

/// How to follow a store.
#[derive(Clone)]
pub struct Follow {
    ledger_id: Option<LedgerId>,
    clock: Arc<dyn Clock>,
    poll_interval: Duration,
}

impl Follow {
    /// Follows whatever ledger is there, by the system's clock, and asks at least once a second for more.
    #[must_use]
    pub fn new() -> Self {
        Self { ledger_id: None, clock: Arc::new(SystemClock::new()), poll_interval: Duration::from_secs(1) }
    }

    /// Follows no other ledger than this.
    #[must_use]
    pub fn ledger_id(mut self, ledger_id: LedgerId) -> Self {
        self.ledger_id = Some(ledger_id);
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
}

impl Default for Follow {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Follow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follow")
            .field("ledger_id", &self.ledger_id)
            .field("poll_interval", &self.poll_interval)
            .finish_non_exhaustive()
    }
}

impl<S: Store> Replica<S> {
    /// The newest view. Its answers belong together, however the ledger goes on. Takes no lock.
    ///
    /// After a receipt of the same ledger it includes the statement.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        self.shared.view()
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

    pub(crate) fn of_ledger(shared: Arc<Shared<S>>, failure: Arc<OnceLock<ReplayError>>) -> Self {
        Self { shared, failure, life: None }
    }

    pub(crate) async fn follow(store: S, follow: Follow) -> Result<Self, OpenError> {
        let shared = Arc::new(Shared::new(store, follow.clock));
        open(&shared, follow.ledger_id.as_ref()).await?;
        if shared.with_view(View::head) == Head::EMPTY {
            return Err(OpenError::Empty);
        }
        let (life, mut handles) = mpsc::channel(1);
        let failure = Arc::new(OnceLock::new());
        let (followed, failed) = (shared.clone(), failure.clone());
        tokio::spawn(async move {
            let mut hints = true;
            loop {
                tokio::select! {
                    _ = handles.recv() => break,
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
            followed.end();
        });
        Ok(Self { shared, failure, life: Some(life) })
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

/// Reads, verifies and judges everything in the store, and holds it against the checkpoint that lies there.
pub(crate) async fn open<S: Store>(
    shared: &Arc<Shared<S>>,
    ledger_id: Option<&LedgerId>,
) -> Result<(), OpenError> {
    let kept = shared.store.checkpoint().await.map_err(ReplayError::from)?;
    let kept = kept.map(|bytes| Kept::parse(&bytes)).transpose()?;
    let compared = Arc::new(std::sync::Mutex::new((kept, None)));
    let comparing = compared.clone();
    let _ = shared
        .catch_up_visiting(move |before, view| {
            let mut compared = comparing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if let (Some(kept), failed @ None) = &mut *compared {
                *failed = kept.compare(before, view).err();
            }
        })
        .await?;
    let mut compared = compared.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(error) = compared.1.take() {
        return Err(error.into());
    }
    let view = shared.view();
    if let Some(kept) = &compared.0 {
        kept.finish(&view)?;
    }
    match (view.state().ledger_id(), ledger_id) {
        (Some(found), Some(wanted)) if found != wanted => {
            Err(OpenError::OtherLedger { found: found.clone() })
        }
        _ => Ok(()),
    }
}
