//! What a ledger, its replicas, feeds and tasks share: the store, and the view that readers see.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use countersign_core::entry::Head;
use countersign_core::key::PublicKey;
use countersign_projection::registry::Registry;
use countersign_store::Store;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use crate::clock::Clock;
use crate::commitment::Commitments;
use crate::error::{Ended, ReplayError};
use crate::rebuilding::{Rebuilt, fold_up_to_view};
use crate::view::View;
use crate::watch::Watch;

/// Most entries that are read and judged in one go.
pub(crate) const CHUNK: usize = 1024;

pub(crate) struct Shared<S> {
    pub(crate) store: S,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) watch: Arc<Watch>,
    view: ArcSwap<View>,
    progress: watch::Sender<Progress>,
    /// The monotonic clock, in milliseconds, when the view was last known to be the store's newest state.
    confirmed: AtomicU64,
    /// Whether the store takes nothing more until it is opened anew.
    poisoned: AtomicBool,
    /// Keys of the recorder that were known at opening.
    recorder_keys: OnceLock<Vec<PublicKey>>,
}

/// How far the view has come. It is sent after the view was published, never before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) head: Head,
    /// Whether no more will come.
    pub(crate) ended: bool,
    /// Whether an entry stands in the way that can not be followed. The writer goes on, since it alone ends when it is told to.
    pub(crate) stuck: bool,
}

impl<S: Store> Shared<S> {
    pub(crate) fn new(store: S, clock: Arc<dyn Clock>) -> Self {
        let view = View::over(Registry::new());
        let (progress, _) = watch::channel(Progress { head: view.head(), ended: false, stuck: false });
        Self {
            store,
            watch: Arc::new(Watch::new(clock.clone())),
            clock,
            view: ArcSwap::from_pointee(view),
            progress,
            confirmed: AtomicU64::new(0),
            poisoned: AtomicBool::new(false),
            recorder_keys: OnceLock::new(),
        }
    }

    pub(crate) fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    pub(crate) fn with_view<T>(&self, answer: impl FnOnce(&View) -> T) -> T {
        answer(&self.view.load())
    }

    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Shows a view to readers, then wakes who waits for it. Only what the store acknowledged is ever shown.
    pub(crate) fn publish(&self, view: View) {
        let head = view.head();
        self.watch.published(&view);
        self.view.store(Arc::new(view));
        self.progress.send_modify(|progress| progress.head = head);
    }

    pub(crate) fn recorder_keys(&self) -> Vec<PublicKey> {
        self.recorder_keys.get().cloned().unwrap_or_default()
    }

    pub(crate) fn know_recorder_keys(&self, keys: Vec<PublicKey>) {
        let _ = self.recorder_keys.set(keys);
    }

    pub(crate) fn poison(&self) {
        self.poisoned.store(true, Ordering::Release);
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }

    /// Says that what the store holds next can not be followed.
    pub(crate) fn stick(&self) {
        self.progress.send_modify(|progress| progress.stuck = true);
    }

    pub(crate) fn end(&self) {
        self.progress.send_modify(|progress| progress.ended = true);
    }

    /// Notes that the view was the store's newest state at this reading of the monotonic clock.
    pub(crate) fn confirm(&self, at: Duration) {
        let millis = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
        self.confirmed.fetch_max(millis, Ordering::Relaxed);
    }

    pub(crate) fn age(&self) -> Duration {
        let confirmed = Duration::from_millis(self.confirmed.load(Ordering::Relaxed));
        self.clock.monotonic().saturating_sub(confirmed)
    }

    /// The view once it has at least `size` entries.
    pub(crate) async fn at_least(&self, size: u64) -> Result<Arc<View>, Ended> {
        let mut progress = self.progress();
        let reached = progress
            .wait_for(|progress| progress.head.size >= size || progress.ended || progress.stuck)
            .await;
        let view = self.view();
        // The sender lives in `self`, so waiting itself can not fail.
        if reached.is_ok() && view.head().size >= size {
            Ok(view)
        } else {
            Err(Ended { size: view.head().size })
        }
    }

    /// Follows what other recorders have stored. Whether there was anything.
    ///
    /// Called by one task at a time: the writer of a ledger, the follower of a replica, or who opens either.
    pub(crate) async fn catch_up(&self) -> Result<bool, ReplayError> {
        let mut grew = false;
        loop {
            let started = self.clock.monotonic();
            let view = self.view();
            let known = view.head();
            let chunk = self.store.read(known.size, CHUNK).await?;
            if chunk.is_empty() {
                let found = self.store.head().await?;
                if found == known {
                    self.confirm(started);
                    self.watch.behind(0);
                    return Ok(grew);
                }
                if found.size <= known.size {
                    return Err(ReplayError::OtherHistory { known, found });
                }
                continue;
            }
            self.watch.behind(chunk.len() as u64);
            let extended = spawn_blocking(move || view.extended(&chunk, &mut Commitments::default()));
            self.publish(extended.await.map_err(|_| ReplayError::Lost)??);
            grew = true;
        }
    }

    /// Puts projections that were built anew in their places, once they have folded as much as the view.
    ///
    /// Called by whoever lets the view grow, like [`Self::catch_up`].
    pub(crate) async fn install(&self, rebuilt: Rebuilt) {
        let Rebuilt { runner, installed } = rebuilt;
        let is_installed = match fold_up_to_view(self, runner).await {
            Ok(runner) => {
                let mut view = View::clone(&self.view());
                let is_installed = view.folding_mut().install_all(runner).is_ok();
                self.publish(view);
                is_installed
            }
            Err(_) => false,
        };
        let _ = installed.send(is_installed);
    }
}

/// Says that no more will come when the task that lets the view grow ends, also where it panics or is dropped with its runtime.
pub(crate) struct EndOnDrop<S: Store>(pub(crate) Arc<Shared<S>>);

impl<S: Store> Drop for EndOnDrop<S> {
    fn drop(&mut self) {
        self.0.end();
    }
}
