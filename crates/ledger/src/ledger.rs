//! The handle that services embed.

use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use countersign_core::entry::Head;
use countersign_core::event::Event;
use countersign_core::key::PublicKey;
use countersign_core::note::SignedNote;
use countersign_core::statement::{SignedStatement, VerifiedStatement};
use countersign_projection::governance::{RefusalCode, check_envelope};
use countersign_store::Store;
use rayon::prelude::*;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::clock::{ClockStep, StepGuard};
use crate::error::{CheckpointError, OpenError, SnapshotError, SubmitError};
use crate::opening::{Opened, open};
use crate::rebuilding;
use crate::receipt::Receipt;
use crate::recorder::{BYTES_AN_ENTRY, Recorder};
use crate::recording::{Recording, SnapshotStatus};
use crate::replica::{Follow, Replica};
use crate::shared::Shared;
use crate::view::View;
use crate::watch::Reply;
use crate::writer::{Intake, Job, Submission, Writer};

/// How many signatures are checked at most in the thread of the future that submits, where nobody else waits: some 0.1 ms.
const MAX_CHECKED_HERE: usize = 3;

/// A ledger that this process records in. A clone is another handle to it.
///
/// Everything that a [`Replica`] answers, a ledger answers; it also takes statements. Several ledgers, here or on other
/// machines, may record in one store: each follows what the others record.
///
/// It runs on tokio, of either flavour, with time enabled. When the last handle is dropped, what was submitted is still
/// recorded and a last checkpoint signed, as long as the runtime lives; [`Ledger::close`] waits for that.
///
/// ```
/// use countersign_core::key::SecretKey;
/// use countersign_ledger::{Ledger, Recorder};
/// use countersign_store::{Durability, MemoryStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let recorder = Recorder::new(SecretKey::from_seed(&[1; 32])).accepting(Durability::Volatile);
/// let ledger = Ledger::open(MemoryStore::new(), recorder).await?;
/// assert_eq!(ledger.ledger_id(), None); // Its first statement has to be a genesis.
/// # Ok(())
/// # }
/// ```
pub struct Ledger<S> {
    replica: Replica<S>,
    recording: Arc<Recording<S>>,
    guard: Arc<StepGuard>,
    jobs: mpsc::UnboundedSender<Job>,
    queue: Arc<Semaphore>,
    capacity: u32,
    closing: Arc<AtomicBool>,
}

impl<S> Clone for Ledger<S> {
    fn clone(&self) -> Self {
        Self {
            replica: self.replica.clone(),
            recording: self.recording.clone(),
            guard: self.guard.clone(),
            jobs: self.jobs.clone(),
            queue: self.queue.clone(),
            capacity: self.capacity,
            closing: self.closing.clone(),
        }
    }
}

impl<S> Deref for Ledger<S> {
    type Target = Replica<S>;

    fn deref(&self) -> &Replica<S> {
        &self.replica
    }
}

impl<S: Store> Ledger<S> {
    /// Opens the ledger in `store`: starts from the newest usable snapshots that its recorder signed, reads what came after, verifies every
    /// signature of that and judges every statement again. Without usable snapshots it does so from genesis, which
    /// [`Recorder::from_genesis`] asks for; [`Replica::opened`] says which it was.
    ///
    /// An empty store is a ledger whose first statement has to be a genesis; [`Ledger::create`] does both.
    ///
    /// # Errors
    /// [`OpenError`]: the store is weaker than asked, damaged or cut, or holds another ledger, or the recorder is not its.
    pub async fn open(store: S, recorder: Recorder) -> Result<Self, OpenError> {
        store.durability().require(recorder.durability)?;
        let shared = Arc::new(Shared::new(store, recorder.clock.clone()));
        let opened = open(&shared, recorder.opening()).await?;
        let found = recorder.key.public_key();
        if let Some(expected) = shared.with_view(|view| view.state().recorder_key())
            && expected != found
        {
            return Err(OpenError::NotTheRecorder { expected: expected.key_id(), found: found.key_id() });
        }
        Ok(Self::start(shared, &recorder, opened))
    }

    /// Creates a ledger: opens `store` and submits `genesis`. On a store that begins with this very genesis, the same as to open it.
    ///
    /// # Errors
    /// [`OpenError`], as [`Ledger::open`]; [`OpenError::Genesis`] where the rules do not admit it, or another one stands.
    pub async fn create(
        store: S,
        recorder: Recorder,
        genesis: SignedStatement,
    ) -> Result<(Self, Receipt), OpenError> {
        if let Event::LedgerOpened(event) = &genesis.statement().event {
            // Found out afterwards, the ledger would be one that nobody here can sign a checkpoint of.
            let (expected, found) = (event.recorder.key.key_id(), recorder.key.public_key().key_id());
            if expected != found {
                return Err(OpenError::NotTheRecorder { expected, found });
            }
        }
        let ledger = Self::open(store, recorder).await?;
        let receipt = ledger.submit(genesis).await.map_err(OpenError::Genesis)?;
        Ok((ledger, receipt))
    }

    /// Follows the ledger in `store` without recording, by [`Follow::new`].
    ///
    /// # Errors
    /// [`OpenError`]: the store is empty, damaged or cut.
    pub async fn follow(store: S) -> Result<Replica<S>, OpenError> {
        Replica::follow(store, Follow::new()).await
    }

    /// As [`Ledger::follow`], with more said about how.
    ///
    /// # Errors
    /// [`OpenError`]: the store is empty, damaged or cut, or holds another ledger than asked for.
    pub async fn follow_with(store: S, follow: Follow) -> Result<Replica<S>, OpenError> {
        Replica::follow(store, follow).await
    }

    /// Submits a statement. When it returns a receipt, the statement is recorded as durably as the receipt says, and in every view
    /// from there on.
    ///
    /// The very same statement again, with these or other valid signatures, gets the first receipt.
    ///
    /// Dropping the future loses nothing and leaves nothing half done: the statement goes its way, and is recorded or not. Who wants to
    /// know submits it again.
    ///
    /// Where the store is away, the answer comes when the store gives up: once for the append that is under way already, once for this
    /// one, and [`RETRY_FOR`](crate::RETRY_FOR) besides where an outcome is unknown. How long a store takes to give up is for the store to say.
    ///
    /// # Errors
    /// [`SubmitError`]. Only [`SubmitError::OutcomeUnknown`] leaves open whether it was recorded.
    pub async fn submit(&self, signed: SignedStatement) -> Result<Receipt, SubmitError> {
        let mut answers = self.submit_all(vec![signed]).await;
        answers.pop().expect("one answer a statement")
    }

    /// Submits statements together: they are verified on all cores, judged in this order, and recorded in as few batches as possible.
    /// The answers are in the same order, each with its own verdict: one that is refused does not hold up the others.
    ///
    /// A statement that is signed with a key which an earlier one of them enrols has to wait for that one's receipt.
    ///
    /// Dropping the future loses nothing, as with [`Ledger::submit`].
    pub async fn submit_all(&self, statements: Vec<SignedStatement>) -> Vec<Result<Receipt, SubmitError>> {
        if statements.iter().any(|signed| self.lacks_a_key(signed)) {
            // Another recorder may have recorded it.
            self.refresh().await;
        }
        let mut unverified = Vec::with_capacity(statements.len());
        let mut answers = Vec::with_capacity(statements.len());
        for signed in statements {
            let digest = signed.digest();
            let (reply, answer) = Reply::new(self.recording.shared.watch.clone(), digest);
            answers.push((digest, answer));
            match self.place() {
                Ok(permit) => unverified.push(Unverified { signed, reply, permit }),
                Err(error) => reply.send(Err(error)),
            }
        }
        self.verify_and_hand_in(unverified);
        let mut told = Vec::with_capacity(answers.len());
        for (digest, answer) in answers {
            // Without an answer the writer is gone, with its runtime, and what it was about to do with it.
            told.push(answer.await.unwrap_or(Err(SubmitError::OutcomeUnknown { digest })));
        }
        told
    }

    /// A place among what waits for an answer.
    fn place(&self) -> Result<OwnedSemaphorePermit, SubmitError> {
        if self.closing.load(Ordering::Acquire) {
            return Err(SubmitError::Closed);
        }
        if self.must_reopen() {
            return Err(SubmitError::MustReopen);
        }
        self.queue.clone().try_acquire_owned().map_err(|_| SubmitError::Busy)
    }

    fn verify_and_hand_in(&self, unverified: Vec<Unverified>) {
        let (view, jobs, clock) = (self.current(), self.jobs.clone(), self.clock().clone());
        // INVARIANT: from here to the writer nothing waits for this future, so who holds a permit will give it back. `close` waits for that.
        let check = move |Unverified { signed, reply, permit }| {
            (verify(&view, signed, || clock.wall()), reply, permit)
        };
        let hand_in = move |verified: Vec<(Result<VerifiedStatement, SubmitError>, _, _)>| {
            for (verified, reply, permit) in verified {
                match verified {
                    Ok(statement) => {
                        let submission = Submission { statement, reply, permit, arrival: 0 };
                        let _ = jobs.send(Job::Submit(Box::new(submission)));
                    }
                    Err(error) => {
                        drop(permit);
                        reply.send(Err(error));
                    }
                }
            }
        };
        let signatures: usize = unverified.iter().map(|one| one.signed.signatures().len()).sum();
        let taken = unverified.len() + self.queue.available_permits();
        let others = (self.capacity as usize).saturating_sub(taken);
        if others == 0 && signatures <= MAX_CHECKED_HERE {
            // Nobody else waits: handing it to another thread would take longer than what there is to do.
            hand_in(unverified.into_iter().map(check).collect());
        } else {
            rayon::spawn(move || hand_in(unverified.into_par_iter().map(check).collect()));
        }
    }

    /// Signs a checkpoint over the newest view, and keeps it in the store. Under the same size, the same one.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub async fn checkpoint(&self) -> Result<SignedNote, CheckpointError> {
        self.recording.checkpoint(self.refresh()).await
    }

    /// Writes snapshots of the newest view into the store, from which the next opening starts. Returns how many entries they are over.
    ///
    /// The recorder does it by itself from time to time ([`Recorder::snapshot_entries`]).
    ///
    /// # Errors
    /// [`SnapshotError`]. Nothing depends on snapshots but the time that opening takes.
    pub async fn snapshot(&self) -> Result<u64, Arc<SnapshotError>> {
        self.recording.snapshot(self.refresh()).await
    }

    /// What became of the snapshots that this ledger writes.
    #[must_use]
    pub fn snapshot_status(&self) -> SnapshotStatus {
        self.recording.status()
    }

    /// Whether an earlier write failed in a way that only opening the ledger anew can settle. It records nothing until then, and goes on
    /// answering from what is known to be recorded.
    #[must_use]
    pub fn must_reopen(&self) -> bool {
        self.recording.shared.is_poisoned()
    }

    /// Takes the wall clock for right from here on, after [`SubmitError::ClockStepped`]. Returns the jump, if there was one.
    ///
    /// Time in the ledger never goes back: what follows is recorded at the last entry's time until the clock has passed it. The recorder
    /// should state what happened (`clock.stepped`).
    pub fn acknowledge_clock_step(&self) -> Option<ClockStep> {
        self.guard.acknowledge(self.clock())
    }

    /// Closes the ledger: takes no more statements, records what was submitted, signs the last checkpoint, ends the feeds.
    ///
    /// Views still answer. Dropping the future leaves the ledger closing; calling it again goes on waiting.
    ///
    /// # Errors
    /// [`CheckpointError`] where the last checkpoint could not be made. The ledger is closed all the same.
    pub async fn close(&self) -> Result<SignedNote, CheckpointError> {
        self.closing.store(true, Ordering::Release);
        // Every statement that waits holds a permit, and new ones get none.
        let drained = self.queue.acquire_many(self.capacity).await;
        let (reply, closed) = oneshot::channel();
        let last = match self.jobs.send(Job::Close(reply)) {
            Ok(()) => closed.await.ok(),
            Err(_) => None,
        };
        drop(drained);
        match last {
            Some(last) => last,
            // Closed before. Nothing was recorded since, so this is the last one still.
            None => self.recording.checkpoint(async {}).await,
        }
    }

    /// Reads what other recorders have stored.
    async fn refresh(&self) {
        let (done, refreshed) = oneshot::channel();
        if self.jobs.send(Job::Refresh(done)).is_ok() {
            let _ = refreshed.await;
        }
    }

    fn start(shared: Arc<Shared<S>>, recorder: &Recorder, opened: Opened) -> Self {
        let failure = Arc::new(OnceLock::new());
        let guard = Arc::new(StepGuard::new(&recorder.clock));
        let status = SnapshotStatus { size: opened.from.size, bytes: opened.bytes, failure: None };
        let recording = Arc::new(Recording::new(shared.clone(), recorder.key.clone(), status));
        let (jobs, queued) = mpsc::unbounded_channel();
        let rebuilt = rebuilding::start(&shared, recorder.poll_interval);
        let writer = Writer {
            recording: recording.clone(),
            guard: guard.clone(),
            failure: failure.clone(),
            max_batch: recorder.batch,
            poll_interval: recorder.poll_interval,
            snapshots_at_close: recorder.snapshot_entries.is_some(),
            unsettled: Vec::new(),
            arrivals: 0,
        };
        tokio::spawn(writer.run(Intake::new(queued, rebuilt)));
        if let Some(entries) = recorder.snapshot_entries {
            tokio::spawn(snapshot_from_time_to_time(recording.clone(), entries));
        }
        if let Some(interval) = recorder.checkpoint_interval {
            let recording = recording.clone();
            let mut progress = shared.progress();
            tokio::spawn(async move {
                let mut signed = Head::EMPTY;
                loop {
                    let due = progress.wait_for(|progress| progress.ended || progress.head != signed).await;
                    // The writer signs the last one.
                    let Some(now) = due.ok().map(|progress| *progress).filter(|now| !now.ended) else {
                        return;
                    };
                    tokio::select! {
                        () = tokio::time::sleep(interval) => {}
                        _ = progress.wait_for(|progress| progress.ended) => return,
                    }
                    // Where it fails, the next entry or the close is the next occasion; who asks for one is told why.
                    let _ = recording.checkpoint(async {}).await;
                    signed = now.head;
                }
            });
        }
        Self {
            replica: Replica::of_ledger(shared, failure, opened),
            recording,
            guard,
            jobs,
            queue: Arc::new(Semaphore::new(recorder.queue as usize)),
            capacity: recorder.queue,
            closing: Arc::default(),
        }
    }

    fn lacks_a_key(&self, signed: &SignedStatement) -> bool {
        let new: Vec<_> = signed.statement().event.new_keys().iter().map(|key| key.key_id()).collect();
        self.shared.with_view(|view| {
            let known = |key| new.contains(key) || view.state().public_key(key).is_some();
            !signed.signatures().iter().all(|part| known(&part.keyid))
        })
    }
}

/// A statement that nobody has verified yet, and who waits for what becomes of it.
struct Unverified {
    signed: SignedStatement,
    reply: Reply,
    permit: OwnedSemaphorePermit,
}

impl<S> fmt::Debug for Ledger<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger")
            .field("waiting", &(self.capacity as usize).saturating_sub(self.queue.available_permits()))
            .field("closing", &self.closing.load(Ordering::Relaxed))
            .finish_non_exhaustive()
    }
}

/// Writes snapshots after so many entries, or more where they are large. The writer does so at the end.
async fn snapshot_from_time_to_time<S: Store>(recording: Arc<Recording<S>>, entries: u64) {
    let mut progress = recording.shared.progress();
    // After an attempt that failed, the next one is due as much later as after one that did not.
    let mut tried = recording.status().size;
    loop {
        let due = tried + entries.max(recording.status().bytes / BYTES_AN_ENTRY);
        let reached = progress.wait_for(|progress| progress.ended || progress.head.size >= due).await;
        match reached.map(|progress| *progress) {
            Ok(now) if !now.ended => tried = now.head.size,
            _ => return,
        }
        let _ = recording.snapshot(async {}).await;
    }
}

/// Verifies the signatures. Where they do not hold, what is wrong with the envelope is named first, as an auditor would.
fn verify(
    view: &View,
    signed: SignedStatement,
    now: impl FnOnce() -> countersign_core::time::Timestamp,
) -> Result<VerifiedStatement, SubmitError> {
    let known = |key: &_| -> Option<PublicKey> { view.state().public_key(key) };
    signed.clone().verify(known).map_err(|fault| {
        match check_envelope(view.state(), &signed, now().max(view.state().recorded_at())) {
            // What has a used serial may be recorded already, but nobody gets a receipt for a signature that does not hold.
            Err(refusal) if refusal.code != RefusalCode::Serial => SubmitError::Refused(refusal),
            Err(_) | Ok(()) => SubmitError::Malformed(fault),
        }
    })
}
