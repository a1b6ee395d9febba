//! Hints by `NOTIFY`, where they are asked for: who appends tells those who listen, so that they look at once.

use std::sync::{Arc, Weak};
use std::time::Duration;

use sqlx::postgres::PgListener;
use sqlx::{PgConnection, PgPool};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use crate::store::Shared;

/// What everybody who asked for it listens to, whatever the ledger: a channel is of a database.
const CHANNEL: &str = "countersign";
/// How long the server may take for a hint; and between two attempts to listen, at least.
const PATIENCE: Duration = Duration::from_secs(1);

/// A task that looks for entries whenever somebody tells of them; ended with this.
pub(crate) struct Ears(AbortHandle);

impl Ears {
    /// Listens on a connection of the pool, until nobody holds the store. While there is no connection nothing is heard, and polling finds
    /// what there is.
    pub(crate) fn listening(pool: PgPool, shared: Weak<Shared>, pause: Duration) -> Self {
        let listening = async move {
            loop {
                if let Ok(mut listener) = PgListener::connect_with(&pool).await
                    && listener.listen(CHANNEL).await.is_ok()
                {
                    while let Ok(told) = listener.recv().await {
                        let Some(shared) = shared.upgrade() else { return };
                        if told.payload() == ledger(&shared) {
                            // A hint: whoever waits for it looks for themselves, and is told what fails.
                            let _ = shared.head().await;
                        }
                    }
                }
                // As on a standby, which lets nobody listen.
                sleep(pause.max(PATIENCE)).await;
            }
        };
        Self(tokio::spawn(listening).abort_handle())
    }
}

impl Drop for Ears {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Tells those who listen that there are more entries. Whether it was said, and the session can be used for something else.
pub(crate) async fn tell(connection: &mut PgConnection, shared: &Arc<Shared>) -> bool {
    // Nothing is lost with it, so that nothing waits for its commit to be synced, or to be on a standby.
    let sql = "SELECT pg_notify($1, $2) FROM set_config('synchronous_commit', 'off', true)";
    let telling = sqlx::query(sql).bind(CHANNEL).bind(ledger(shared)).execute(connection);
    matches!(timeout(PATIENCE, telling).await, Ok(Ok(_)))
}

/// Which ledger of the database is meant.
fn ledger(shared: &Shared) -> String {
    format!("{}/{}", shared.schema.as_str(), shared.table.id())
}
