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
use countersign_store::{AppendError, Batch, Store, StoreError};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::Instant;

use crate::clock::StepGuard;
use crate::error::{CheckpointError, ReplayError, SubmitError};
use crate::rebuilding::Rebuilt;
use crate::receipt::Receipt;
use crate::recorder::BYTES_AN_ENTRY;
use crate::recording::Recording;
use crate::replica::more;
use crate::shared::{EndOnDrop, Shared};
use crate::view::View;
use crate::watch::Reply;

/// How often a batch whose outcome is unknown is appended before its authors are told so.
const ATTEMPTS: u32 = 6;
/// For how long a batch whose outcome is unknown is appended again: no further attempt begins after that, and its authors are told so.
///
/// An append that fails after longer than this fails for all who wait behind it, too.
pub const RETRY_FOR: Duration = Duration::from_secs(5);
/// How long before the second attempt; every further one waits twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// How many lost races in a row a batch is judged again after.
const MAX_RACES: u32 = 256;
/// After how many bytes of statements no more are taken into a batch.
const MAX_BATCH_LEN: usize = 4 << 20;
/// Snapshots of fewer bytes are written at every close.
const SMALL_SNAPSHOT: u64 = 4 << 20;

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
    pub(crate) reply: Reply,
    /// Its place in the queue, given back with the answer.
    pub(crate) permit: OwnedSemaphorePermit,
    /// Its place in the order of arrival.
    pub(crate) arrival: u64,
}

impl Submission {
    fn answer(self, answer: Result<Receipt, SubmitError>) {
        drop(self.permit);
        self.reply.send(answer);
    }
}

/// Where the writer's work comes from.
pub(crate) struct Intake {
    jobs: mpsc::UnboundedReceiver<Job>,
    rebuilt: mpsc::Receiver<Rebuilt>,
    /// What has to wait until no append is under way.
    chores: Vec<Chore>,
    closing: Option<oneshot::Sender<Result<SignedNote, CheckpointError>>>,
    /// Whether no more comes.
    is_over: bool,
}

enum Chore {
    Refresh(oneshot::Sender<()>),
    Install(Box<Rebuilt>),
}

impl Intake {
    pub(crate) fn new(jobs: mpsc::UnboundedReceiver<Job>, rebuilt: mpsc::Receiver<Rebuilt>) -> Self {
        Self { jobs, rebuilt, chores: Vec::new(), closing: None, is_over: false }
    }

    /// The next statement, if there is one at once.
    fn try_next(&mut self) -> Option<Submission> {
        while !self.is_over {
            let job = self.jobs.try_recv().ok()?;
            if let Some(submission) = self.take(Some(job)) {
                return Some(submission);
            }
        }
        None
    }

    /// The next statement, once there is one; none where something else has come.
    async fn next(&mut self) -> Option<Submission> {
        tokio::select! {
            biased;
            job = self.jobs.recv() => self.take(job),
            Some(rebuilt) = self.rebuilt.recv() => {
                self.chores.push(Chore::Install(Box::new(rebuilt)));
                None
            }
        }
    }

    fn take(&mut self, job: Option<Job>) -> Option<Submission> {
        match job {
            Some(Job::Submit(submission)) => return Some(*submission),
            Some(Job::Refresh(done)) => self.chores.push(Chore::Refresh(done)),
            Some(Job::Close(reply)) => {
                self.closing = Some(reply);
                self.is_over = true;
            }
            // All handles are gone.
            None => self.is_over = true,
        }
        None
    }
}

pub(crate) struct Writer<S> {
    pub(crate) recording: Arc<Recording<S>>,
    pub(crate) guard: Arc<StepGuard>,
    pub(crate) failure: Arc<OnceLock<ReplayError>>,
    pub(crate) max_batch: usize,
    pub(crate) poll_interval: Duration,
    pub(crate) snapshots_at_close: bool,
    /// Batches that may stand already, or still land behind their head, since nobody knows what became of them. Of a statement in one,
    /// nobody is told that it is not recorded.
    pub(crate) unsettled: Vec<Batch>,
    /// How many statements have come so far.
    pub(crate) arrivals: u64,
}

impl<S: Store> Writer<S> {
    pub(crate) async fn run(mut self, mut intake: Intake) {
        // However this task ends: nobody may wait for a view that nobody makes any more.
        let _end = EndOnDrop(self.shared().clone());
        let mut hints = true;
        while !intake.is_over {
            let first = tokio::select! {
                biased;
                first = intake.next() => first,
                () = more(self.shared(), hints, self.poll_interval) => {
                    hints = self.follow().await.unwrap_or(false);
                    continue;
                }
            };
            if let Some(first) = first {
                self.commit(vec![first], &mut intake).await;
            }
            self.do_chores(&mut intake).await;
        }
        let last = self.recording.checkpoint(async { drop(self.follow().await) }).await;
        if self.snapshots_at_close && self.is_snapshot_due() {
            // Where it fails, the next opening takes longer.
            let _ = self.recording.snapshot(async { drop(self.follow().await) }).await;
        }
        self.shared().end();
        if let Some(reply) = intake.closing {
            let _ = reply.send(last);
        }
    }

    fn shared(&self) -> &Arc<Shared<S>> {
        &self.recording.shared
    }

    /// Whether reading what is new since the last snapshots takes longer than writing others.
    fn is_snapshot_due(&self) -> bool {
        let status = self.recording.status();
        let new = self.shared().with_view(View::head).size.saturating_sub(status.size);
        new > 0 && (status.bytes < SMALL_SNAPSHOT || new >= status.bytes / BYTES_AN_ENTRY)
    }

    /// Follows what other recorders have stored. Remembers if that is impossible.
    async fn follow(&self) -> Result<bool, Arc<ReplayError>> {
        self.shared().catch_up().await.map_err(|error| {
            if let ReplayError::Entry { seq, cause } = &error {
                let _ = self.failure.set(ReplayError::Entry { seq: *seq, cause: cause.clone() });
                self.shared().stick();
            }
            Arc::new(error)
        })
    }

    /// Does what had to wait until no append was under way.
    async fn do_chores(&self, intake: &mut Intake) {
        for chore in std::mem::take(&mut intake.chores) {
            match chore {
                Chore::Refresh(done) => {
                    let _ = self.follow().await;
                    let _ = done.send(());
                }
                Chore::Install(rebuilt) => self.shared().install(*rebuilt).await,
            }
        }
    }

    /// Records statements, and whatever comes while it does: what is judged next is judged while the disk is busy with what was judged
    /// before, on top of it. Nobody sees or hears of either before it is durable.
    async fn commit(&mut self, mut pending: Vec<Submission>, intake: &mut Intake) {
        // Judged on top of the batch that was appended last.
        let mut staged: Option<Judged> = None;
        // A refusal counts against the store's newest state only, not against one that another recorder has moved on from.
        let mut is_newest = false;
        let mut races = 0;
        loop {
            if !intake.chores.is_empty() {
                pending.extend(staged.take().into_iter().flat_map(Judged::into_submissions));
                self.do_chores(intake).await;
            }
            let mut judged = match staged.take() {
                Some(judged) => judged,
                None if pending.is_empty() => return,
                None => {
                    let mut judged = Judged::new(&self.shared().view());
                    pending.sort_by_key(|submission| submission.arrival);
                    let mut waiting = std::mem::take(&mut pending).into_iter();
                    while judged.has_room(self.max_batch)
                        && let Some(submission) = waiting.next()
                    {
                        self.judge(submission, &mut judged);
                    }
                    pending.extend(waiting);
                    judged
                }
            };
            while pending.is_empty() && judged.has_room(self.max_batch) {
                let Some(submission) = intake.try_next() else { break };
                self.judge(submission, &mut judged);
                // Nothing was read since it came. Where entries go with it, their append shows whether that matters.
                is_newest &= !judged.entries.is_empty();
            }
            if !judged.refused.is_empty() && !is_newest {
                match self.follow().await {
                    Ok(true) => {
                        is_newest = true;
                        pending.extend(judged.into_submissions());
                        continue;
                    }
                    Ok(false) => {}
                    Err(error) => {
                        pending.extend(judged.into_submissions());
                        return self.answer_not_recorded(pending, &SubmitError::Store(error));
                    }
                }
            }
            if judged.entries.is_empty() {
                self.answer_refused(judged.refused);
                continue;
            }
            let (started, began) = (self.shared().clock.monotonic(), Instant::now());
            // Who arrived before goes first.
            let is_open = pending.is_empty();
            let (appended, next) = self.append_and_judge_on(&judged, intake, is_open).await;
            match appended {
                Appended::Stored => {
                    let durability = self.shared().store.durability();
                    self.shared().publish(judged.view);
                    self.shared().confirm(started);
                    self.shared().watch.appended(judged.entries.len(), started);
                    self.settle();
                    for (entry, submissions) in judged.entries.iter().zip(judged.waiting) {
                        let receipt = Receipt::of(entry.entry(), durability);
                        for submission in submissions {
                            submission.answer(Ok(receipt));
                        }
                    }
                    self.answer_refused(judged.refused);
                    // That append showed what the newest state was when it was made. Whether what was judged on top of it still is shows the
                    // next one; where there is none, the store has to be asked before a refusal is final.
                    is_newest = next.as_ref().is_some_and(|next| !next.entries.is_empty());
                    (staged, races) = (next, 0);
                }
                Appended::LostRace(unknown) => {
                    self.shared().watch.lost_race();
                    // The first entries of it may stand, with another recorder's behind them.
                    self.unsettled.extend(unknown);
                    pending.extend(judged.into_submissions());
                    pending.extend(next.into_iter().flat_map(Judged::into_submissions));
                    races += 1;
                    if races == MAX_RACES {
                        return self.answer_not_recorded(pending, &SubmitError::Busy);
                    }
                    if let Err(error) = self.follow().await {
                        return self.answer_not_recorded(pending, &SubmitError::Store(error));
                    }
                    self.settle();
                    is_newest = true;
                }
                Appended::NotStored(error) => {
                    self.answer_not_recorded(judged.into_submissions(), &error);
                    pending.extend(next.into_iter().flat_map(Judged::into_submissions));
                    is_newest = false;
                    if began.elapsed() >= RETRY_FOR {
                        // The store is away: who waits would wait as long again, batch behind batch.
                        pending.extend(std::iter::from_fn(|| intake.try_next()));
                        return self.answer_not_recorded(pending, &error);
                    }
                }
                Appended::Unknown(batch) => {
                    self.unsettled.push(batch);
                    for submission in judged.waiting.into_iter().flatten() {
                        let digest = submission.statement.digest();
                        submission.answer(Err(SubmitError::OutcomeUnknown { digest }));
                    }
                    // These were refused in view of entries of which nobody knows whether they stand.
                    let refused = judged.refused.into_iter().map(|(submission, _)| submission).collect();
                    self.answer_not_recorded(refused, &SubmitError::Busy);
                    pending.extend(next.into_iter().flat_map(Judged::into_submissions));
                    is_newest = false;
                }
            }
        }
    }

    /// Appends a batch, and judges what comes meanwhile on top of it.
    async fn append_and_judge_on(
        &mut self,
        judged: &Judged,
        intake: &mut Intake,
        is_open: bool,
    ) -> (Appended, Option<Judged>) {
        let shared = self.shared().clone();
        let first = judged.entries[0].entry().seq();
        let append = append(&shared, &judged.entries);
        let append = shared.watch.append(first, judged.entries.len(), append);
        tokio::pin!(append);
        let mut next: Option<Judged> = None;
        loop {
            let has_room = next.as_ref().is_none_or(|next| next.has_room(self.max_batch));
            let submission = tokio::select! {
                biased;
                appended = &mut append => return (appended, next),
                submission = intake.next(), if is_open && has_room && !intake.is_over => submission,
            };
            if let Some(submission) = submission {
                self.judge(submission, next.get_or_insert_with(|| Judged::new(&judged.view)));
            }
        }
    }

    /// Judges a statement against what `judged` leaves, at the time that it is now.
    fn judge(&mut self, mut submission: Submission, judged: &mut Judged) {
        if submission.arrival == 0 {
            self.arrivals += 1;
            submission.arrival = self.arrivals;
        }
        match self.guard.read(&self.shared().clock) {
            Ok(now) => judged.take(submission, now),
            Err(step) => self.answer_not_recorded(vec![submission], &SubmitError::ClockStepped(step)),
        }
    }

    /// Once the view has gone past where an unsettled batch would stand, the batch is in it or can never stand.
    fn settle(&mut self) {
        let size = self.shared().with_view(|view| view.head().size);
        self.unsettled.retain(|batch| size <= batch.expected().size);
    }

    fn is_unsettled(&self, digest: StatementDigest) -> bool {
        let entries = self.unsettled.iter().flat_map(Batch::entries);
        entries.map(|entry| entry.signed().digest()).any(|unsettled| unsettled == digest)
    }

    /// Answers that this attempt recorded nothing; where an earlier one may have, that nobody knows.
    fn answer_not_recorded(&self, submissions: Vec<Submission>, error: &SubmitError) {
        for submission in submissions {
            let digest = submission.statement.digest();
            let error = if self.is_unsettled(digest) {
                SubmitError::OutcomeUnknown { digest }
            } else {
                error.clone()
            };
            submission.answer(Err(error));
        }
    }

    /// Answers what was refused: with the first receipt where the statement is recorded already.
    fn answer_refused(&mut self, refused: Vec<(Submission, Verdict)>) {
        if refused.is_empty() {
            return;
        }
        self.settle();
        let digests = refused.iter().map(|(submission, _)| submission.statement.digest());
        let unsettled: Vec<StatementDigest> = digests.filter(|digest| self.is_unsettled(*digest)).collect();
        let shared = self.shared().clone();
        // Not in the writer's own time: the verdicts stand, and looking up may take a while.
        tokio::spawn(async move {
            let mut waiting = Vec::new();
            for (submission, verdict) in refused {
                let digest = submission.statement.digest();
                let error = match first_entry(&shared, digest).await {
                    Ok(Some(entry)) => {
                        waiting.push((entry, digest, submission.reply));
                        continue;
                    }
                    Ok(None) | Err(_) if unsettled.contains(&digest) => {
                        SubmitError::OutcomeUnknown { digest }
                    }
                    Ok(None) => verdict.into(),
                    Err(error) => SubmitError::Store(Arc::new(error)),
                };
                submission.answer(Err(error));
            }
            // These hold no place any more: `close` does not wait for who only waits for the view.
            for (entry, digest, reply) in waiting {
                let receipt = match shared.at_least(entry.head().size).await {
                    Ok(_) => Ok(Receipt::of(&entry, shared.store.durability())),
                    // It stands in the store, behind what is not followed here.
                    Err(_) => Err(SubmitError::OutcomeUnknown { digest }),
                };
                reply.send(receipt);
            }
        });
    }
}

/// Appends, and where the outcome is unknown, appends the very same batch again until it is known.
async fn append<S: Store>(shared: &Shared<S>, entries: &[JudgedEntry]) -> Appended {
    let entries: Vec<Entry> = entries.iter().map(|entry| entry.entry().clone()).collect();
    let batch = Batch::new(entries).expect("sealed one behind the other, and at least one");
    let began = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut is_unknown = false;
    for attempt in 1..=ATTEMPTS {
        match shared.store.append(batch.clone()).await {
            Ok(_) => return Appended::Stored,
            // Whatever the first attempt did, it is in the store's history by now, or never will be.
            Err(AppendError::Conflict { .. }) => return Appended::LostRace(is_unknown.then_some(batch)),
            Err(AppendError::NotStored(StoreError::Poisoned)) => {
                shared.poison();
                if is_unknown {
                    break;
                }
                return Appended::NotStored(SubmitError::MustReopen);
            }
            Err(AppendError::NotStored(error)) if !is_unknown => {
                return Appended::NotStored(SubmitError::Store(Arc::new(error.into())));
            }
            // What this attempt did not store, the first one may have.
            Err(AppendError::NotStored(_)) => {}
            Err(_) => is_unknown = true,
        }
        if attempt == ATTEMPTS || began.elapsed() >= RETRY_FOR {
            break;
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    Appended::Unknown(batch)
}

/// The entry of a statement that is recorded. The view may not have it yet: another recorder may have stored it a moment ago.
async fn first_entry<S: Store>(
    shared: &Shared<S>,
    digest: StatementDigest,
) -> Result<Option<Entry>, ReplayError> {
    let Some(found) = shared.store.find(digest).await? else { return Ok(None) };
    let entry = Entry::parse(found.bytes)
        .map_err(|fault| ReplayError::Entry { seq: found.seq, cause: fault.into() })?;
    if entry.seq() != found.seq || entry.signed().digest() != digest {
        let detail = "it is not the entry that was looked for".to_owned();
        return Err(countersign_store::StoreError::Damaged { seq: found.seq, detail }.into());
    }
    Ok(Some(entry))
}

/// What came of an append.
enum Appended {
    Stored,
    /// With the batch, where an attempt before may have stored the first entries of it.
    LostRace(Option<Batch>),
    NotStored(SubmitError),
    Unknown(Batch),
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
    /// How many statements were taken, and how long they are.
    taken: usize,
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
            taken: 0,
            length: 0,
        }
    }

    fn has_room(&self, max: usize) -> bool {
        self.taken < max && self.length < MAX_BATCH_LEN
    }

    fn take(&mut self, submission: Submission, now: Timestamp) {
        self.taken += 1;
        self.length += submission.statement.signed().bytes().len();
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
                self.places.insert(digest, self.entries.len());
                self.entries.push(entry);
                self.waiting.push(vec![submission]);
            }
            Ok(Err(fault)) => self.refused.push((submission, Verdict::Malformed(fault))),
            Err(refusal) => self.refused.push((submission, Verdict::Refused(refusal))),
        }
    }

    /// Everybody, in no order.
    fn into_submissions(self) -> Vec<Submission> {
        let refused = self.refused.into_iter().map(|(submission, _)| submission);
        self.waiting.into_iter().flatten().chain(refused).collect()
    }
}
