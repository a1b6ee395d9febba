//! The kit passes every store of this crate, and fails a store for each fault that is planted in it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use countersign_core::digest::{LeafHash, StatementDigest};
use countersign_core::entry::{Entry, Head};
use countersign_store::conformance::Kit;
use countersign_store::*;

#[tokio::test]
async fn the_memory_store_keeps_the_contract() {
    let kit = Kit::new(async || MemoryStore::new())
        .claiming(Durability::Volatile)
        .reopening(async |store| MemoryStore::clone(&store))
        .tearing(async |store, _| MemoryStore::clone(&store))
        .beside(async |_| ());
    let report = kit.run().await;
    report.assert_conforms();
    assert_eq!(report.skipped(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_store_keeps_the_contract_in_tasks_of_a_runtime() {
    Kit::new(async || MemoryStore::new())
        .spawning(|task| drop(tokio::spawn(task)))
        .run()
        .await
        .assert_conforms();
}

#[tokio::test]
async fn a_store_chosen_at_run_time_keeps_the_contract() {
    Kit::new(async || AnyStore::new(MemoryStore::new()))
        .claiming(Durability::Volatile)
        .run()
        .await
        .assert_conforms();
}

#[tokio::test]
async fn what_the_kit_was_not_told_is_reported_as_skipped() {
    let report = Kit::new(async || MemoryStore::new()).run().await;
    let skipped = [
        "durability_is_what_is_claimed",
        "what_others_do_in_the_database_holds_up_nothing",
        "a_torn_append_leaves_whole_entries",
        "what_was_acknowledged_is_there_after_a_kill",
        "a_retry_after_a_kill_gives_the_outcome_of_the_first_attempt",
        "what_was_kept_is_not_older_after_a_kill",
        "what_a_reader_was_shown_is_there_after_a_kill",
    ];
    assert_eq!(report.skipped(), skipped);
    assert_eq!(report.to_string().matches("SKIPPED").count(), skipped.len());
}

// On one thread, where tasks change places only where they wait: whether a planted race is lost is not left to chance.
#[tokio::test]
async fn the_kit_catches_every_planted_fault() {
    let sound = planted(None).run().await;
    sound.assert_conforms();
    let mut caught: BTreeMap<&str, Vec<Fault>> =
        sound.outcomes.iter().map(|(name, _)| (*name, Vec::new())).collect();
    for (fault, case) in FAULTS {
        let report = planted(Some(*fault)).run().await;
        assert!(report.failed().contains(case), "{fault:?} was to fail {case}:\n{report}");
        for name in report.failed() {
            caught.get_mut(name).unwrap().push(*fault);
        }
    }
    for (case, faults) in caught {
        assert!(!faults.is_empty(), "no planted fault shows that {case} can fail");
    }
}

/// What happened elsewhere, the case that is there for it, and a fault that it alone finds: as the kit's documentation has it.
const FIELD: [(&str, &str, Fault); 12] = [
    (
        "a commit that comes late under concurrent writers, and is passed over",
        "who_follows_misses_nothing_that_is_committed_late",
        Fault::CommitsLate,
    ),
    (
        "a foreign transaction that stays open for long",
        "what_others_do_in_the_database_holds_up_nothing",
        Fault::WaitsForOthers,
    ),
    (
        "a `begin` that was cancelled",
        "a_cancelled_append_leaves_the_store_usable",
        Fault::CancelledAppendKeepsTheLock,
    ),
    (
        "a reply that was lost at commit",
        "a_retry_after_a_kill_gives_the_outcome_of_the_first_attempt",
        Fault::RetryAfterAKillIsAConflict,
    ),
    (
        "a backup that was put back",
        "the_same_position_with_another_leaf_is_a_conflict",
        Fault::IgnoresTheLeaf,
    ),
    ("a partial tail", "a_torn_append_leaves_whole_entries", Fault::ServesHalfAnEntry),
    (
        "a serial that was used again with other bytes",
        "statements_of_one_serial_are_told_apart",
        Fault::IndexesBySerial,
    ),
    (
        "opened anew after a kill",
        "what_was_acknowledged_is_there_after_a_kill",
        Fault::ForgetsTheIndexWhenKilled,
    ),
    ("a conditional create that lets two win", "one_of_many_racing_batches_wins", Fault::LetsTwoWin),
    (
        "a reader ahead of what is durable",
        "what_a_reader_was_shown_is_there_after_a_kill",
        Fault::ShowsWhatIsNotDurable,
    ),
    (
        "entries lost under 12 writers and 30,000 looks",
        "gapless_under_concurrent_writers",
        Fault::DropsUnderLoad,
    ),
    (
        "a snapshot newer than the log",
        "snapshots_are_the_newest_set_that_is_not_too_new",
        Fault::SnapshotsAreTooNew,
    ),
];

#[tokio::test]
async fn each_bug_of_the_field_has_a_case_that_alone_finds_a_fault_like_it() {
    let documented = include_str!("../src/conformance.rs");
    for (bug, case, fault) in FIELD {
        let report = planted(Some(fault)).run().await;
        assert_eq!(report.failed(), [case], "{fault:?}:\n{report}");
        let row = format!("//! | {bug} | `{case}` | `{fault:?}` |\n");
        assert!(documented.contains(&row), "not documented: {row}");
    }
    assert_eq!(documented.matches("` |\n").count(), FIELD.len(), "nothing else is documented");
}

fn planted(fault: Option<Fault>) -> Kit<Planted> {
    let state = State {
        finds_the_last: fault == Some(Fault::FindsTheLast),
        finds_by_serial: fault == Some(Fault::IndexesBySerial),
        ..State::default()
    };
    let make = move || {
        let state = Mutex::new(state.clone());
        async move { Planted { fault, state, ..Planted::default() } }
    };
    Kit::new(make)
        .claiming(Durability::Volatile)
        .reopening(async |store: Arc<Planted>| store.reopened())
        .tearing(async |store: Arc<Planted>, batch: Batch| store.torn(&batch))
        .beside(async |store: Arc<Planted>| store.begun())
        .polling(600)
        .spawning(|task| drop(tokio::spawn(task)))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    StartsSomewhere,
    ClaimsMore,
    ReformatsBytes,
    CutsLongEntries,
    IgnoresTheCondition,
    IgnoresTheLeaf,
    ConflictNamesTheExpectedHead,
    FillsGaps,
    IndexesBeforeTheCondition,
    WritesWhatAgrees,
    RetryIsAConflict,
    RetryAppendsAgain,
    RetryLooksOnlyAtTheHead,
    PrefixIsAConflict,
    CancelledAppendKeepsTheLock,
    FindsThePlaceAfter,
    FindsNothing,
    FindsTheLast,
    KeepsTheRepeatedStatementThatItRefuses,
    ReadsBeyondMax,
    ReadsNothingWhereMuchIsAsked,
    ReadsPastTheEndFromTheStart,
    ChecksThenActs,
    ShowsBeforeItCounts,
    CheckpointGoesBack,
    CheckpointIsLost,
    SnapshotsAreTooNew,
    SnapshotSetsAreMixed,
    LosesTheLastEntryWhenKilled,
    RetryAfterAKillIsAConflict,
    ForgetsTheSizeOfTheCheckpoint,
    CommitsLate,
    WaitsForOthers,
    ServesHalfAnEntry,
    IndexesBySerial,
    ForgetsTheIndexWhenKilled,
    LetsTwoWin,
    ShowsWhatIsNotDurable,
    DropsUnderLoad,
}

/// Each fault, and the case that is there to find it.
const FAULTS: &[(Fault, &str)] = &[
    (Fault::StartsSomewhere, "an_empty_store_is_empty"),
    (Fault::ClaimsMore, "durability_is_what_is_claimed"),
    (Fault::ReformatsBytes, "exact_bytes_come_back"),
    (Fault::CutsLongEntries, "the_longest_entries_fit"),
    (Fault::IgnoresTheCondition, "a_stale_position_is_a_conflict"),
    (Fault::ConflictNamesTheExpectedHead, "a_stale_position_is_a_conflict"),
    (Fault::IgnoresTheLeaf, "the_same_position_with_another_leaf_is_a_conflict"),
    (Fault::FillsGaps, "a_position_ahead_is_a_conflict"),
    (Fault::IndexesBeforeTheCondition, "a_refused_batch_leaves_no_trace"),
    (Fault::WritesWhatAgrees, "a_refused_batch_leaves_no_trace"),
    (Fault::RetryIsAConflict, "a_retry_gives_the_outcome_of_the_first_attempt"),
    (Fault::RetryAppendsAgain, "a_retry_gives_the_outcome_of_the_first_attempt"),
    (Fault::RetryLooksOnlyAtTheHead, "a_retry_after_others_gives_the_outcome_of_the_first_attempt"),
    (Fault::PrefixIsAConflict, "a_retry_completes_what_was_cut_off"),
    (Fault::CancelledAppendKeepsTheLock, "a_cancelled_append_leaves_the_store_usable"),
    (Fault::FindsThePlaceAfter, "find_gives_place_and_bytes"),
    (Fault::FindsNothing, "find_gives_place_and_bytes"),
    (Fault::FindsTheLast, "find_gives_the_first_of_several"),
    (Fault::KeepsTheRepeatedStatementThatItRefuses, "find_gives_the_first_of_several"),
    (Fault::ReadsBeyondMax, "reads_keep_their_limits"),
    (Fault::ReadsNothingWhereMuchIsAsked, "reads_keep_their_limits"),
    (Fault::ReadsPastTheEndFromTheStart, "reads_keep_their_limits"),
    (Fault::ChecksThenActs, "one_of_many_racing_batches_wins"),
    (Fault::ChecksThenActs, "gapless_under_concurrent_writers"),
    (Fault::ShowsBeforeItCounts, "readers_never_see_more_than_the_head"),
    (Fault::CheckpointGoesBack, "the_checkpoint_over_most_entries_is_kept"),
    (Fault::CheckpointIsLost, "the_checkpoint_over_most_entries_is_kept"),
    (Fault::SnapshotsAreTooNew, "snapshots_are_the_newest_set_that_is_not_too_new"),
    (Fault::SnapshotSetsAreMixed, "snapshots_are_the_newest_set_that_is_not_too_new"),
    (Fault::LosesTheLastEntryWhenKilled, "what_was_acknowledged_is_there_after_a_kill"),
    (Fault::RetryAfterAKillIsAConflict, "a_retry_after_a_kill_gives_the_outcome_of_the_first_attempt"),
    (Fault::ForgetsTheSizeOfTheCheckpoint, "what_was_kept_is_not_older_after_a_kill"),
    (Fault::CommitsLate, "who_follows_misses_nothing_that_is_committed_late"),
    (Fault::WaitsForOthers, "what_others_do_in_the_database_holds_up_nothing"),
    (Fault::ServesHalfAnEntry, "a_torn_append_leaves_whole_entries"),
    (Fault::IndexesBySerial, "statements_of_one_serial_are_told_apart"),
    (Fault::ForgetsTheIndexWhenKilled, "what_was_acknowledged_is_there_after_a_kill"),
    (Fault::LetsTwoWin, "one_of_many_racing_batches_wins"),
    (Fault::ShowsWhatIsNotDurable, "what_a_reader_was_shown_is_there_after_a_kill"),
    (Fault::DropsUnderLoad, "gapless_under_concurrent_writers"),
];

/// The simplest store there is, with a place for a fault at each step.
#[derive(Default)]
struct Planted {
    fault: Option<Fault>,
    state: Mutex<State>,
    locked: AtomicBool,
    /// Appends that are under way.
    under_way: AtomicUsize,
    /// Followers were told of entries that are not all visible.
    is_late: AtomicBool,
    /// How many entries a transaction of somebody else hides what is behind.
    hidden_behind: Arc<Mutex<Option<usize>>>,
}

#[derive(Default, Clone)]
struct State {
    entries: Vec<Entry>,
    /// How many of them count.
    size: usize,
    index: BTreeMap<StatementDigest, u64>,
    checkpoint: Option<(u64, NoteBytes)>,
    snapshots: BTreeMap<u64, SnapshotSet>,
    reopened: bool,
    finds_the_last: bool,
    finds_by_serial: bool,
    /// How many entries a kill leaves, where it is fewer than there are.
    durable: Option<usize>,
    half: Option<EntryBytes>,
}

impl State {
    fn head(&self) -> Head {
        self.entries[..self.size].last().map_or(Head::EMPTY, Entry::head)
    }

    fn push(&mut self, entries: &[Entry]) {
        for entry in entries {
            if self.finds_the_last {
                self.index.remove(&entry.signed().digest());
            }
            let same = |other: &Entry| {
                let (one, next) = (other.signed().statement(), entry.signed().statement());
                (&one.key, one.serial) == (&next.key, next.serial)
            };
            let of_serial = self.entries.iter().position(same).filter(|_| self.finds_by_serial);
            let place = of_serial.unwrap_or(self.entries.len()) as u64;
            self.index.entry(entry.signed().digest()).or_insert(place);
            self.entries.push(entry.clone());
        }
        self.size = self.entries.len();
    }
}

impl Planted {
    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn reopened(&self) -> Self {
        let mut state = self.state.lock().unwrap().clone();
        if self.has(Fault::LosesTheLastEntryWhenKilled) {
            state.entries.pop();
            state.size = state.entries.len();
        }
        if self.has(Fault::ForgetsTheSizeOfTheCheckpoint) {
            state.checkpoint = state.checkpoint.map(|(_, note)| (0, note));
        }
        if self.has(Fault::ForgetsTheIndexWhenKilled) {
            state.index.clear();
        }
        if let Some(durable) = state.durable.take() {
            state.entries.truncate(durable);
            state.size = durable;
        }
        state.reopened = true;
        Self { fault: self.fault, state: Mutex::new(state), ..Self::default() }
    }

    /// Opened after a crash that left all of a batch but the half of its last entry.
    fn torn(&self, batch: &Batch) -> Self {
        let torn = self.reopened();
        {
            let mut state = torn.state.lock().unwrap();
            let (last, whole) = batch.entries().split_last().unwrap();
            state.push(whole);
            if self.has(Fault::ServesHalfAnEntry) {
                state.half = Some(last.bytes()[..last.bytes().len() / 2].into());
            }
        }
        torn
    }

    /// A transaction of somebody else's.
    fn begun(&self) -> Other {
        if self.has(Fault::WaitsForOthers) {
            let size = self.state.lock().unwrap().size;
            self.hidden_behind.lock().unwrap().get_or_insert(size);
        }
        Other(self.hidden_behind.clone())
    }

    /// The head against which a batch is compared, or the outcome that is clear already.
    fn decide(&self, batch: &Batch) -> Result<(usize, Vec<Entry>), AppendError> {
        let mut state = self.state.lock().unwrap();
        let (head, expected) = (state.head(), batch.expected());
        let actual = if self.has(Fault::ConflictNamesTheExpectedHead) { expected } else { head };
        let conflict = Err(AppendError::Conflict { expected, actual });
        if self.has(Fault::IndexesBeforeTheCondition) {
            for entry in batch.entries() {
                state.index.entry(entry.signed().digest()).or_insert(entry.seq());
            }
        }
        if self.has(Fault::IgnoresTheCondition) {
            return Ok((state.entries.len(), batch.entries().to_vec()));
        }
        if self.has(Fault::RetryAfterAKillIsAConflict) && state.reopened && head == batch.head() {
            return conflict;
        }
        let missing = batch.missing_after(head);
        let same_size = head.size == expected.size;
        match missing {
            Some(missing) if missing.len() == batch.entries().len() => {
                return Ok((state.entries.len(), missing.to_vec()));
            }
            Some(_) if self.has(Fault::RetryIsAConflict) => return conflict,
            Some(_) if self.has(Fault::RetryAppendsAgain) => {
                return Ok((state.entries.len(), batch.entries().to_vec()));
            }
            Some([]) => return Ok((state.entries.len(), vec![])),
            Some(_) if self.has(Fault::PrefixIsAConflict) => return conflict,
            Some(missing) => return Ok((state.entries.len(), missing.to_vec())),
            None => {}
        }
        if self.has(Fault::IgnoresTheLeaf) && same_size
            || self.has(Fault::FillsGaps) && head.size < expected.size
        {
            return Ok((state.entries.len(), batch.entries().to_vec()));
        }
        let last = (batch.head().size - 1) as usize;
        let stands = state.entries.get(last).map(Entry::leaf) == Some(batch.head().leaf);
        if stands && !self.has(Fault::RetryLooksOnlyAtTheHead) && !self.has(Fault::RetryIsAConflict) {
            return Ok((state.entries.len(), vec![]));
        }
        if self.has(Fault::WritesWhatAgrees) && state.entries.first().map(Entry::leaf) == Some(first(batch)) {
            let agreeing = batch.entries()[0].clone();
            state.push(&[agreeing]);
        }
        conflict
    }
}

/// A transaction that ends when it is dropped.
struct Other(Arc<Mutex<Option<usize>>>);

impl Drop for Other {
    fn drop(&mut self) {
        *self.0.lock().unwrap() = None;
    }
}

/// An append that is under way.
struct UnderWay<'s>(&'s AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn first(batch: &Batch) -> LeafHash {
    batch.entries()[0].leaf()
}

async fn turn() {
    let mut had = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut had, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl Store for Planted {
    fn durability(&self) -> Durability {
        if self.has(Fault::ClaimsMore) { Durability::QuorumSync } else { Durability::Volatile }
    }

    async fn head(&self) -> Result<Head, StoreError> {
        let head = self.state.lock().unwrap().head();
        if self.has(Fault::StartsSomewhere) && head == Head::EMPTY {
            return Ok(Head { size: 0, leaf: LeafHash::new([1; 32]) });
        }
        Ok(head)
    }

    async fn append(&self, batch: Batch) -> Result<Head, AppendError> {
        if self.has(Fault::CancelledAppendKeepsTheLock) {
            let mut turns = 0;
            while self.locked.swap(true, Ordering::SeqCst) {
                if turns == 50 {
                    return Err(StoreError::Unavailable("locked".into()).into());
                }
                turns += 1;
                turn().await;
            }
            turn().await;
            self.locked.store(false, Ordering::SeqCst);
        }
        if self.has(Fault::DropsUnderLoad) {
            let before = self.under_way.fetch_add(1, Ordering::SeqCst);
            let _under_way = UnderWay(&self.under_way);
            turn().await;
            // Its queue has eight places.
            if before > 8 {
                return Ok(batch.head());
            }
        }
        let (length, missing) = self.decide(&batch)?;
        if self.has(Fault::LetsTwoWin) && length == 0 && missing.len() == 2 {
            turn().await;
            let mut state = self.state.lock().unwrap();
            if state.entries.is_empty() {
                state.push(&missing);
            }
            return Ok(batch.head());
        }
        if self.has(Fault::ShowsWhatIsNotDurable) && !missing.is_empty() {
            {
                let mut state = self.state.lock().unwrap();
                if state.entries.len() != length {
                    return Err(AppendError::Conflict { expected: batch.expected(), actual: state.head() });
                }
                state.durable.get_or_insert(length);
                state.push(&missing);
            }
            turn().await;
            self.state.lock().unwrap().durable = None;
            return Ok(batch.head());
        }
        if self.has(Fault::ChecksThenActs) {
            turn().await;
            let mut state = self.state.lock().unwrap();
            state.entries.truncate(length);
            state.push(&missing);
            return Ok(batch.head());
        }
        if self.has(Fault::ShowsBeforeItCounts) {
            {
                let mut state = self.state.lock().unwrap();
                if state.entries.len() != length {
                    return Err(AppendError::Conflict { expected: batch.expected(), actual: state.head() });
                }
                state.entries.extend_from_slice(&missing);
            }
            for _ in 0..3 {
                turn().await;
            }
            let mut state = self.state.lock().unwrap();
            state.entries.truncate(length);
            state.push(&missing);
            return Ok(batch.head());
        }
        let mut state = self.state.lock().unwrap();
        if state.entries.len() != length {
            return Err(AppendError::Conflict { expected: batch.expected(), actual: state.head() });
        }
        let mut repeated = missing.iter().map(|entry| entry.signed().digest());
        let repeated = repeated.rfind(|digest| state.index.contains_key(digest));
        state.push(&missing);
        match repeated {
            Some(digest) if self.has(Fault::KeepsTheRepeatedStatementThatItRefuses) => {
                Err(StoreError::Repeated { digest }.into())
            }
            _ => Ok(batch.head()),
        }
    }

    async fn read(&self, from: u64, max: usize) -> Result<Vec<EntryBytes>, StoreError> {
        let state = self.state.lock().unwrap();
        let mut from = usize::try_from(from).unwrap_or(usize::MAX);
        if self.has(Fault::ReadsNothingWhereMuchIsAsked) && max > 1000 {
            return Ok(vec![]);
        }
        if self.has(Fault::ReadsPastTheEndFromTheStart) && from > state.entries.len() {
            from = 0;
        }
        let max = if self.has(Fault::ReadsBeyondMax) { max.max(2) } else { max };
        if self.is_late.swap(false, Ordering::SeqCst) {
            from += 1;
        }
        let visible = self.hidden_behind.lock().unwrap().unwrap_or(usize::MAX);
        let exact = |entry: &Entry| -> EntryBytes {
            let bytes = entry.bytes();
            if self.has(Fault::ReformatsBytes) {
                return String::from_utf8_lossy(bytes).replace(",\"seq\"", ", \"seq\"").into_bytes().into();
            }
            if self.has(Fault::CutsLongEntries) {
                return bytes[..bytes.len().min(32_767)].into();
            }
            bytes.clone()
        };
        let shown = state.entries.iter().take(visible).map(exact);
        Ok(shown.chain(state.half.clone()).skip(from).take(max).collect())
    }

    async fn find(&self, digest: StatementDigest) -> Result<Option<Found>, StoreError> {
        let state = self.state.lock().unwrap();
        if self.has(Fault::FindsNothing) {
            return Ok(None);
        }
        let found = state.index.get(&digest).map(|seq| {
            let bytes = state.entries.get(*seq as usize).map_or([].into(), |entry| entry.bytes().clone());
            Found { seq: seq + u64::from(self.has(Fault::FindsThePlaceAfter)), bytes }
        });
        Ok(found)
    }

    async fn wait(&self, size: u64) {
        if !self.has(Fault::CommitsLate) || self.state.lock().unwrap().size as u64 <= size + 1 {
            return std::future::pending().await;
        }
        self.is_late.store(true, Ordering::SeqCst);
    }

    async fn checkpoint(&self) -> Result<Option<NoteBytes>, StoreError> {
        Ok(self.state.lock().unwrap().checkpoint.clone().map(|(_, note)| note))
    }

    async fn put_checkpoint(&self, size: u64, note: NoteBytes) -> Result<(), StoreError> {
        let mut state = self.state.lock().unwrap();
        let newer = state.checkpoint.as_ref().is_none_or(|(before, _)| *before <= size);
        if (newer || self.has(Fault::CheckpointGoesBack)) && !self.has(Fault::CheckpointIsLost) {
            state.checkpoint = Some((size, note));
        }
        Ok(())
    }

    async fn snapshots(&self, size: u64) -> Result<Option<SnapshotSet>, StoreError> {
        let size = if self.has(Fault::SnapshotsAreTooNew) { u64::MAX } else { size };
        let state = self.state.lock().unwrap();
        Ok(state.snapshots.range(..=size).next_back().map(|(_, set)| set.clone()))
    }

    async fn put_snapshots(&self, mut set: SnapshotSet) -> Result<(), StoreError> {
        let mut state = self.state.lock().unwrap();
        if self.has(Fault::SnapshotSetsAreMixed)
            && let Some(before) = state.snapshots.remove(&set.size)
        {
            set.snapshots.extend(before.snapshots);
            set.snapshots.sort_by(|one, next| one.name.cmp(&next.name));
            set.snapshots.dedup_by(|next, one| one.name == next.name);
        }
        state.snapshots.insert(set.size, set);
        Ok(())
    }
}
