//! The recorder's signing hand: checkpoints and snapshots.

use std::sync::{Arc, PoisonError};

use countersign_core::checkpoint::Checkpoint;
use countersign_core::note::{SignNoteError, SignedNote};
use countersign_store::{KeptSnapshot, SnapshotSet, Store};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use crate::commitment;
use crate::error::{CheckpointError, SnapshotError};
use crate::recorder::SharedKey;
use crate::shared::Shared;
use crate::view::View;

/// Signs checkpoints, one after the other, and snapshots, likewise.
pub(crate) struct Recording<S> {
    pub(crate) shared: Arc<Shared<S>>,
    key: SharedKey,
    /// The last one signed and kept. Whoever holds the lock takes its view after it was taken, so sizes never go back, and since
    /// a view is only ever replaced by one that continues it, no size gets two roots.
    last: Mutex<Option<(u64, SignedNote)>>,
    /// Held while a set of snapshots is made.
    snapshots: Mutex<()>,
    status: std::sync::Mutex<SnapshotStatus>,
}

/// What became of the snapshots that a ledger writes.
#[derive(Debug, Clone, Default)]
pub struct SnapshotStatus {
    /// How many entries the newest set is over that was written, or that the ledger was opened from.
    pub size: u64,
    /// How many bytes its states take.
    pub bytes: u64,
    /// Why the last attempt failed, if it did. Nobody who submits is told: only the next opening takes longer.
    pub failure: Option<Arc<SnapshotError>>,
}

impl<S: Store> Recording<S> {
    pub(crate) fn new(shared: Arc<Shared<S>>, key: SharedKey, status: SnapshotStatus) -> Self {
        Self {
            shared,
            key,
            last: Mutex::new(None),
            snapshots: Mutex::new(()),
            status: std::sync::Mutex::new(status),
        }
    }

    /// A checkpoint over the newest view, kept by the store. `follow` is awaited first where another recorder has stored more, and committed
    /// to it.
    pub(crate) async fn checkpoint(
        &self,
        follow: impl Future<Output = ()>,
    ) -> Result<SignedNote, CheckpointError> {
        let mut made = self.checkpoint_of_view().await;
        if made.as_ref().is_err_and(CheckpointError::is_ahead) {
            // Nothing is locked meanwhile: whoever follows may want to sign too.
            follow.await;
            made = self.checkpoint_of_view().await;
        }
        made.map(|(note, _)| note)
    }

    async fn checkpoint_of_view(&self) -> Result<(SignedNote, Arc<View>), CheckpointError> {
        let mut last = self.last.lock().await;
        let view = self.shared.view();
        let size = view.head().size;
        if let Some((before, note)) = &*last
            && *before == size
        {
            return Ok((note.clone(), view));
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
        // Another recorder may have kept one since, or someone put the store back to an older state.
        if let Some(kept) = self.shared.store.checkpoint().await? {
            commitment::leaves_room(&kept, ledger_id, &view)
                .map_err(|source| CheckpointError::Kept { size, source })?;
        }
        let checkpoint =
            Checkpoint::new(ledger_id.as_str(), size, view.root()).expect("a ledger id is a valid origin");
        let key = self.key.clone();
        // A signer may be a device or a service far away.
        let signed = spawn_blocking(move || -> Result<SignedNote, SignNoteError> { checkpoint.sign(&*key) });
        let note = signed.await.map_err(|_| CheckpointError::SignerLost)??;
        self.shared.store.put_checkpoint(size, note.to_string().into_bytes().into()).await?;
        *last = Some((size, note.clone()));
        Ok((note, view))
    }

    /// Snapshots of the newest view, kept by the store. Returns how many entries they are over. `follow` as with [`Self::checkpoint`].
    ///
    /// Made of an immutable view on a thread of their own, so that nothing waits for them.
    pub(crate) async fn snapshot(&self, follow: impl Future<Output = ()>) -> Result<u64, Arc<SnapshotError>> {
        // Where it fails, it fails again below.
        let _ = self.checkpoint(follow).await;
        let making = self.snapshots.lock().await;
        let made = self.make_snapshot().await;
        drop(making);
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        match made {
            Ok((size, bytes)) => {
                *status = SnapshotStatus { size, bytes, failure: None };
                Ok(size)
            }
            Err(error) => {
                let error = Arc::new(error);
                status.failure = Some(error.clone());
                Err(error)
            }
        }
    }

    async fn make_snapshot(&self) -> Result<(u64, u64), SnapshotError> {
        // INVARIANT: a checkpoint over as many entries is kept first, so that whoever starts from the snapshots can hold them against it.
        let (_, view) = self.checkpoint_of_view().await?;
        let status = self.status();
        let size = view.head().size;
        if status.size == size && status.failure.is_none() {
            return Ok((size, status.bytes));
        }
        let key = self.key.clone();
        let made = spawn_blocking(move || view.folding().snapshots(&*key));
        let mut snapshots: Vec<KeptSnapshot> = made
            .await
            .map_err(|_| SnapshotError::Lost)??
            .into_iter()
            .map(|snapshot| KeptSnapshot {
                name: snapshot.header().name().to_owned(),
                note: snapshot.note().to_string().into_bytes().into(),
                payload: snapshot.payload().clone(),
            })
            .collect();
        snapshots.sort_by(|one, other| one.name.cmp(&other.name));
        let bytes = snapshots.iter().map(|snapshot| snapshot.payload.len() as u64).sum();
        self.shared.store.put_snapshots(SnapshotSet { size, snapshots }).await?;
        Ok((size, bytes))
    }

    pub(crate) fn status(&self) -> SnapshotStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
