//! The writer: one task that judges, seals and appends, batch by batch.
//!
//! Whatever waits when an append ends is the next batch: under load batches grow by themselves, and a lone statement
//! waits for nobody. Nothing is published before the store has acknowledged it, and nobody gets an answer before it is published.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use countersign_core::digest::StatementDigest;
use countersign_core::entry::Entry;
use countersign_core::fault::Fault;
use countersign_core::note::SignedNote;
use countersign_core::statement::VerifiedStatement;
use countersign_core::time::Timestamp;
use countersign_projection::governance::{JudgedEntry, Refusal, RefusalCode, judge};
use countersign_store::{AppendError, Batch, Store};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use crate::clock::StepGuard;
use crate::error::{CheckpointError, ReplayError, SubmitError};
use crate::receipt::Receipt;
use crate::recording::Recording;
use crate::replica::more;
use crate::shared::Shared;
use crate::view::View;

/// How often a batch whose outcome is unknown is appended again before its authors are told so.
const ATTEMPTS: u32 = 6;
/// How long before the second attempt; every further one waits twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// How many lost races in a row a batch is judged again after.
const MAX_RACES: u32 = 256;
/// After how many bytes of statements no more are taken into a batch.
const MAX_BATCH_LEN: usize = 4 << 20;

/// What the writer is asked to do, in the order of asking.
pub(crate) enum Job {
    Submit(Box<Submission>),
    /// Reads what other recorders have stored.
    Refresh(oneshot::Sender<()>),
    /// Signs the last checkpoint and ends.
    Close(oneshot::Sender<Result<SignedNote, CheckpointError>>),
}

/// A verified statement and who waits for what becomes of it. It goes its way whether or not anybody still waits.
pub(crate) struct Submission {
    pub(crate) statement: VerifiedStatement,
    pub(crate) reply: oneshot::Sender<Result<Receipt, SubmitError>>,
    /// Its place in the queue, given back with the answer.
    pub(crate) permit: OwnedSemaphorePermit,
    /// Its place among those that arrived with it.
    pub(crate) arrival: usize,
}

impl Submission {
    fn answer(self, answer: Result<Receipt, SubmitError>) {
        drop(self.permit);
        // Nobody may be waiting any more; the statement is recorded all the same.
        let _ = self.reply.send(answer);
    }
}

pub(crate) struct Writer<S> {
    pub(crate) recording: Arc<Recording<S>>,
    pub(crate) guard: Arc<StepGuard>,
    pub(crate) failure: Arc<OnceLock<ReplayError>>,
    pub(crate) max_batch: usize,
    pub(crate) poll_interval: Duration,
    /// A batch that may still land behind its head, since nobody knows what became of it.
    pub(crate) unsettled: Option<Batch>,
}

impl<S: Store> Writer<S> {
    pub(crate) async fn run(mut self, mut jobs: mpsc::UnboundedReceiver<Job>) {
        let mut hints = true;
        let mut closing = None;
        loop {
            let job = tokio::select! {
                biased;
                job = jobs.recv() => job,
                () = more(self.shared(), hints, self.poll_interval) => {
                    hints = self.follow().await.unwrap_or(false);
                    continue;
                }
            };
            // Without a job all handles are gone.
            let Some(job) = job else { break };
            let mut next = Some(job);
            let (mut batch, mut length) = (Vec::new(), 0);
            while let Some(job) = next {
                match job {
                    Job::Submit(mut submission) => {
                        length += submission.statement.signed().bytes().len();
                        submission.arrival = batch.len();
                        batch.push(*submission);
                    }
                    Job::Refresh(done) => {
                        let _ = self.follow().await;
                        let _ = done.send(());
                    }
                    Job::Close(reply) => {
                        closing = Some(reply);
                        break;
                    }
                }
                let has_room = batch.len() < self.max_batch && length < MAX_BATCH_LEN;
                next = if has_room { jobs.try_recv().ok() } else { None };
            }
            if !batch.is_empty() {
                self.commit(batch).await;
            }
            if closing.is_some() {
                break;
            }
        }
        let last = self.recording.checkpoint().await;
        self.shared().end();
        if let Some(reply) = closing {
            let _ = reply.send(last);
        }
    }

    fn shared(&self) -> &Arc<Shared<S>> {
        &self.recording.shared
    }

    /// Follows what other recorders have stored. Remembers if that is impossible.
    async fn follow(&self) -> Result<bool, Arc<ReplayError>> {
        self.shared().catch_up().await.map_err(|error| {
            if let ReplayError::Entry { seq, cause } = &error {
                let _ = self.failure.set(ReplayError::Entry { seq: *seq, cause: cause.clone() });
            }
            Arc::new(error)
        })
    }

    async fn commit(&mut self, mut pending: Vec<Submission>) {
        // A refusal counts against the store's newest state only, not against one that another recorder has moved on from.
        let mut is_newest = false;
        for _ in 0..MAX_RACES {
            let now = match self.guard.read(&self.shared().clock) {
                Ok(now) => now,
                Err(step) => return answer_all(pending, &SubmitError::ClockStepped(step)),
            };
            let mut judged = Judged::new(&self.shared().view());
            for submission in pending {
                judged.take(submission, now);
            }
            if !judged.refused.is_empty() && !is_newest {
                match self.follow().await {
                    Ok(true) => {
                        is_newest = true;
                        pending = judged.into_submissions();
                        continue;
                    }
                    Ok(false) => {}
                    Err(error) => {
                        return answer_all(judged.into_submissions(), &SubmitError::Store(error));
                    }
                }
            }
            if judged.entries.is_empty() {
                return self.answer_refused(judged.refused);
            }
            let started = self.shared().clock.monotonic();
            match self.append(&judged.entries).await {
                Appended::Stored => {
                    let durability = self.shared().store.durability();
                    self.shared().publish(judged.view);
                    self.shared().confirm(started);
                    self.settle();
                    for (entry, submissions) in judged.entries.iter().zip(judged.waiting) {
                        let receipt = Receipt::of(entry.entry(), durability);
                        for submission in submissions {
                            submission.answer(Ok(receipt));
                        }
                    }
                    return self.answer_refused(judged.refused);
                }
                Appended::LostRace => {
                    pending = judged.into_submissions();
                    if let Err(error) = self.follow().await {
                        return answer_all(pending, &SubmitError::Store(error));
                    }
                    self.settle();
                    is_newest = true;
                }
                Appended::NotStored(error) => {
                    return answer_all(judged.into_submissions(), &SubmitError::Store(error));
                }
                Appended::Unknown => {
                    for submission in judged.waiting.into_iter().flatten() {
                        let digest = submission.statement.digest();
                        submission.answer(Err(SubmitError::OutcomeUnknown { digest }));
                    }
                    // These were refused in view of entries of which nobody knows whether they stand.
                    let refused = judged.refused.into_iter().map(|(submission, _)| submission).collect();
                    return answer_all(refused, &SubmitError::Busy);
                }
            }
        }
        answer_all(pending, &SubmitError::Busy);
    }

    /// Appends, and where the outcome is unknown, appends the very same batch again until it is known.
    async fn append(&mut self, entries: &[JudgedEntry]) -> Appended {
        let entries: Vec<Entry> = entries.iter().map(|entry| entry.entry().clone()).collect();
        let batch = Batch::new(entries).expect("sealed one behind the other, and at least one");
        let mut pause = FIRST_PAUSE;
        let mut is_unknown = false;
        for attempt in 1..=ATTEMPTS {
            match self.shared().store.append(batch.clone()).await {
                Ok(_) => return Appended::Stored,
                // Whatever the first attempt did, it is in the store's history by now, or never will be.
                Err(AppendError::Conflict { .. }) => return Appended::LostRace,
                Err(AppendError::NotStored(error)) if !is_unknown => {
                    return Appended::NotStored(Arc::new(error.into()));
                }
                // What this attempt did not store, the first one may have.
                Err(AppendError::NotStored(_)) => {}
                Err(_) => is_unknown = true,
            }
            if attempt < ATTEMPTS {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        }
        self.unsettled = Some(batch);
        Appended::Unknown
    }

    /// Once the view has gone past where an unsettled batch would stand, the batch is in it or can never stand.
    fn settle(&mut self) {
        let size = self.shared().with_view(|view| view.head().size);
        self.unsettled.take_if(|batch| size > batch.expected().size);
    }

    /// Answers what was refused: with the first receipt where the statement is recorded already.
    fn answer_refused(&mut self, refused: Vec<(Submission, Verdict)>) {
        if refused.is_empty() {
            return;
        }
        self.settle();
        let unsettled: Vec<StatementDigest> = self
            .unsettled
            .iter()
            .flat_map(|batch| batch.entries().iter().map(|entry| entry.signed().digest()))
            .collect();
        let shared = self.shared().clone();
        // Not in the writer's own time: the verdicts stand, and looking up may take a while.
        tokio::spawn(async move {
            for (submission, verdict) in refused {
                let digest = submission.statement.digest();
                let answer = match first_receipt(&shared, digest).await {
                    Ok(Some(receipt)) => Ok(receipt),
                    Ok(None) if unsettled.contains(&digest) => Err(SubmitError::OutcomeUnknown { digest }),
                    Ok(None) => Err(verdict.into()),
                    Err(error) => Err(SubmitError::Store(Arc::new(error))),
                };
                submission.answer(answer);
            }
        });
    }
}

/// The receipt of a statement that is recorded, once the view has it.
async fn first_receipt<S: Store>(
    shared: &Shared<S>,
    digest: StatementDigest,
) -> Result<Option<Receipt>, ReplayError> {
    let Some(found) = shared.store.find(digest).await? else { return Ok(None) };
    let entry = Entry::parse(found.bytes)
        .map_err(|fault| ReplayError::Entry { seq: found.seq, cause: fault.into() })?;
    if entry.seq() != found.seq || entry.signed().digest() != digest {
        let detail = "it is not the entry that was looked for".to_owned();
        return Err(countersign_store::StoreError::Damaged { seq: found.seq, detail }.into());
    }
    // Another recorder may have stored it a moment ago. If the ledger ends meanwhile, the entry stands all the same.
    let _ = shared.at_least(entry.head().size).await;
    Ok(Some(Receipt::of(&entry, shared.store.durability())))
}

/// What came of an append.
enum Appended {
    Stored,
    LostRace,
    NotStored(Arc<ReplayError>),
    Unknown,
}

/// Why a statement is not admitted.
enum Verdict {
    Refused(Refusal),
    Malformed(Fault),
}

impl From<Verdict> for SubmitError {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Malformed(fault) => Self::Malformed(fault),
            Verdict::Refused(refusal) if refusal.code == RefusalCode::Serial => Self::SerialReused(refusal),
            Verdict::Refused(refusal) => Self::Refused(refusal),
        }
    }
}

/// A batch while it is judged: each statement against the state that the ones before it leave.
struct Judged {
    view: View,
    entries: Vec<JudgedEntry>,
    // INVARIANT: as long as `entries`; the first of each is the one that the entry was made of.
    waiting: Vec<Vec<Submission>>,
    places: HashMap<StatementDigest, usize>,
    refused: Vec<(Submission, Verdict)>,
    length: usize,
}

impl Judged {
    fn new(view: &View) -> Self {
        Self {
            view: view.clone(),
            entries: Vec::new(),
            waiting: Vec::new(),
            places: HashMap::new(),
            refused: Vec::new(),
            length: 0,
        }
    }

    fn take(&mut self, submission: Submission, now: Timestamp) {
        let digest = submission.statement.digest();
        if let Some(place) = self.places.get(&digest) {
            self.waiting[*place].push(submission);
            return;
        }
        let state = self.view.state();
        let recorded_at = now.max(state.recorded_at());
        match judge(state, &submission.statement, recorded_at).map(|admitted| admitted.seal()) {
            Ok(Ok(entry)) => {
                self.view.push(&entry);
                self.length += entry.entry().bytes().len();
                self.places.insert(digest, self.entries.len());
                self.entries.push(entry);
                self.waiting.push(vec![submission]);
            }
            Ok(Err(fault)) => self.refused.push((submission, Verdict::Malformed(fault))),
            Err(refusal) => self.refused.push((submission, Verdict::Refused(refusal))),
        }
    }

    /// Everybody, in the order of arrival.
    fn into_submissions(self) -> Vec<Submission> {
        let refused = self.refused.into_iter().map(|(submission, _)| submission);
        let mut all: Vec<_> = self.waiting.into_iter().flatten().chain(refused).collect();
        all.sort_by_key(|submission| submission.arrival);
        all
    }
}

fn answer_all(submissions: Vec<Submission>, error: &SubmitError) {
    for submission in submissions {
        submission.answer(Err(error.clone()));
    }
}
