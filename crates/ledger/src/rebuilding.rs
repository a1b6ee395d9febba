//! Projections that are built anew from genesis while the ledger goes on.

use std::sync::Arc;
use std::time::Duration;

use countersign_projection::registry::Registry;
use countersign_projection::runner::Runner;
use countersign_store::Store;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use crate::error::ReplayError;
use crate::shared::{CHUNK, Shared};
use crate::view::extend;

/// Projections that have folded as much as the view had when they were handed over.
pub(crate) struct Rebuilt {
    pub(crate) runner: Runner<Registry>,
    /// Told whether they are in the view now.
    pub(crate) installed: oneshot::Sender<bool>,
}

/// Builds what waits for it, and hands it to whoever lets the view grow.
///
/// The channel is closed at once where nothing waits.
pub(crate) fn start<S: Store>(shared: &Arc<Shared<S>>, pause: Duration) -> mpsc::Receiver<Rebuilt> {
    let (done, rebuilt) = mpsc::channel(1);
    let projections = shared.with_view(|view| view.folding().rebuilding());
    if !projections.is_empty() {
        let shared = shared.clone();
        tokio::spawn(async move {
            loop {
                let folding = fold_up_to_view(&shared, Runner::over(projections.clone()));
                let folded = tokio::select! {
                    () = done.closed() => return,
                    folded = folding => folded,
                };
                match folded {
                    Ok(runner) => {
                        let (installed, is_installed) = oneshot::channel();
                        if done.send(Rebuilt { runner, installed }).await.is_err()
                            || is_installed.await.unwrap_or(true)
                        {
                            return;
                        }
                    }
                    Err(ReplayError::Store(_)) => {}
                    // They go on waiting, and say so.
                    Err(ReplayError::Entry { .. } | ReplayError::OtherHistory { .. } | ReplayError::Lost) => {
                        return;
                    }
                }
                // The store may come back. What was folded so far is folded again.
                tokio::select! {
                    () = done.closed() => return,
                    () = tokio::time::sleep(pause) => {}
                }
            }
        });
    }
    rebuilt
}

/// Folds from where the runner stands up to the head of the view.
pub(crate) async fn fold_up_to_view<S: Store>(
    shared: &Shared<S>,
    mut runner: Runner<Registry>,
) -> Result<Runner<Registry>, ReplayError> {
    loop {
        let (from, to) = (runner.head(), shared.with_view(crate::view::View::head));
        if from.size >= to.size {
            return if from == to {
                Ok(runner)
            } else {
                Err(ReplayError::OtherHistory { known: from, found: to })
            };
        }
        let wanted = usize::try_from(to.size - from.size).unwrap_or(CHUNK).min(CHUNK);
        let chunk = shared.store.read(from.size, wanted).await?;
        if chunk.is_empty() {
            return Err(ReplayError::OtherHistory { known: to, found: shared.store.head().await? });
        }
        let folded = spawn_blocking(move || extend(&mut runner, &chunk, |_, _| {}).map(|()| runner));
        runner = folded.await.map_err(|_| ReplayError::Lost)??;
    }
}
