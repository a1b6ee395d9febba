//! The recorder's signing hand: checkpoints.

use std::sync::Arc;

use countersign_core::checkpoint::Checkpoint;
use countersign_core::note::SignNoteError;
use countersign_core::note::SignedNote;
use countersign_store::Store;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use crate::error::CheckpointError;
use crate::recorder::SharedKey;
use crate::shared::Shared;

/// Signs checkpoints, one after the other.
pub(crate) struct Recording<S> {
    pub(crate) shared: Arc<Shared<S>>,
    key: SharedKey,
    /// The last one signed and kept. Whoever holds the lock takes its view after it was taken, so sizes never go back, and since
    /// a view is only ever replaced by one that continues it, no size gets two roots.
    last: Mutex<Option<(u64, SignedNote)>>,
}

impl<S: Store> Recording<S> {
    pub(crate) fn new(shared: Arc<Shared<S>>, key: SharedKey) -> Self {
        Self { shared, key, last: Mutex::new(None) }
    }

    /// A checkpoint over the newest view, kept by the store.
    pub(crate) async fn checkpoint(&self) -> Result<SignedNote, CheckpointError> {
        let mut last = self.last.lock().await;
        let view = self.shared.view();
        let size = view.head().size;
        if let Some((before, note)) = &*last
            && *before == size
        {
            return Ok(note.clone());
        }
        let (Some(ledger_id), Some(expected)) = (view.state().ledger_id(), view.state().recorder_key())
        else {
            return Err(CheckpointError::Empty);
        };
        let found = self.key.public_key();
        if found != expected {
            return Err(CheckpointError::NotTheRecorder {
                expected: expected.key_id(),
                found: found.key_id(),
            });
        }
        let checkpoint =
            Checkpoint::new(ledger_id.as_str(), size, view.root()).expect("a ledger id is a valid origin");
        let key = self.key.clone();
        // A signer may be a device or a service far away.
        let signed = spawn_blocking(move || -> Result<SignedNote, SignNoteError> { checkpoint.sign(&*key) });
        let note = signed.await.map_err(|_| CheckpointError::SignerLost)??;
        self.shared.store.put_checkpoint(size, note.to_string().into_bytes().into()).await?;
        *last = Some((size, note.clone()));
        Ok(note)
    }
}
