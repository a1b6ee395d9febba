//! Runs short workloads on a store in a simulated machine, loses the power at every step, and opens every disk that may be left.
//!
//! A crash state has a name that fits in a line: the operations, the call before which the power was lost, and the choice of
//! what survived. `COUNTERSIGN_CRASH='small,large@17/nth:5'` in front of the test command has a test look at this state alone.

#![allow(dead_code, reason = "each test that includes this uses a part of it")]

mod pool;

use std::collections::HashSet;
use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use countersign_core::entry::Head;
use countersign_store::conformance::Answers;
use countersign_store::vfs::sim::{CallKind, Choice, Fault, SimVfs};
use countersign_store::{AppendError, Batch, BoxError, EntryBytes, Store};

pub(crate) use pool::{Pool, pool};

/// A kind of store, and how it is opened.
pub(crate) trait Subject {
    type Store: Store;

    /// Opens what is on the disk of this machine, and makes it if there is nothing.
    fn open(&self, vfs: &SimVfs, how: How) -> Result<Self::Store, BoxError>;
}

/// How a store is opened.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct How {
    /// With the choice to cut what can not be proved to have been acknowledged.
    pub(crate) cut_unproven: bool,
    /// So that the next entry starts a new segment, where the store has segments.
    pub(crate) roll: bool,
}

/// What is done with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Op {
    /// One entry, in one or two sectors more.
    Small,
    /// Three entries at once.
    Large,
    /// A checkpoint over what is there.
    Checkpoint,
    /// Snapshots over what is there.
    Snapshots,
    /// One entry in a new segment.
    Roll,
    /// Closed and opened again, by another process on the same machine.
    Reopen,
    /// Closed.
    Close,
}

impl Op {
    pub(crate) const ALL: [Self; 7] =
        [Self::Small, Self::Large, Self::Checkpoint, Self::Snapshots, Self::Roll, Self::Reopen, Self::Close];

    const fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Large => "large",
            Self::Checkpoint => "checkpoint",
            Self::Snapshots => "snapshots",
            Self::Roll => "roll",
            Self::Reopen => "reopen",
            Self::Close => "close",
        }
    }
}

/// Whether no state was asked for by name.
pub(crate) fn looks_at_all() -> bool {
    std::env::var_os("COUNTERSIGN_CRASH").is_none()
}

/// Every workload of at most `most` operations, the shorter ones first; the first has none.
pub(crate) fn workloads(ops: &[Op], most: usize) -> Vec<Vec<Op>> {
    let mut all = vec![vec![]];
    let mut start = 0;
    for _ in 0..most {
        let end = all.len();
        for index in start..end {
            for op in ops {
                let longer = [&all[index][..], &[*op]].concat();
                all.push(longer);
            }
        }
        start = end;
    }
    all
}

/// One crash state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) ops: Vec<Op>,
    /// A fault before it, and at which call.
    pub(crate) fault: Option<(usize, Fault)>,
    /// The call before which the power was lost; none for after the last.
    pub(crate) cut: Option<usize>,
    pub(crate) choice: Choice,
    /// The recoveries that were stopped before a call of their own: by another loss of power, or killed.
    pub(crate) again: Vec<(usize, Option<Choice>)>,
    /// How many bytes a sector has.
    pub(crate) sector: usize,
}

impl Name {
    fn then(&self, cut: usize, choice: Option<Choice>) -> Self {
        let mut name = self.clone();
        name.again.push((cut, choice));
        name
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ops: Vec<_> = self.ops.iter().map(|op| op.name()).collect();
        f.write_str(&ops.join(","))?;
        if self.sector != 512 {
            write!(f, "%{}", self.sector)?;
        }
        if let Some((call, fault)) = &self.fault {
            write!(f, "!{call}:{fault:?}")?;
        }
        f.write_char('@')?;
        match self.cut {
            Some(cut) => write!(f, "{cut}/{}", self.choice)?,
            None => write!(f, "end/{}", self.choice)?,
        }
        for (cut, choice) in &self.again {
            match choice {
                Some(choice) => write!(f, "@{cut}/{choice}")?,
                None => write!(f, "@{cut}/killed")?,
            }
        }
        Ok(())
    }
}

/// What a look at many crash states came to. As text: a line with the numbers, and a line for each failure.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    /// Crash states: what may be left after a loss of power at some call, counted each time.
    pub(crate) states: u64,
    /// Those of them that were opened; the others are byte for byte as one that was, after the same calls and answers.
    pub(crate) opened: u64,
    /// Those that opened only with the choice to cut what is not proved.
    pub(crate) cut_unproven: u64,
    /// Those of them in which the power was lost in a recovery.
    pub(crate) in_recovery: u64,
    /// Recoveries that were killed, after which the power was lost once another had gone through.
    pub(crate) killed: u64,
    /// Acknowledged entries that were looked for, over all states that were opened.
    pub(crate) acknowledged: u64,
    /// Each with the state's name.
    pub(crate) failures: Vec<String>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        let Self { states, opened, cut_unproven, in_recovery, killed, acknowledged, failures } = other;
        self.states += states;
        self.opened += opened;
        self.cut_unproven += cut_unproven;
        self.in_recovery += in_recovery;
        self.killed += killed;
        self.acknowledged += acknowledged;
        self.failures.extend(failures);
    }

    /// # Panics
    /// If a store failed.
    pub(crate) fn assert_sound(&self) {
        println!("{self}");
        assert!(self.failures.is_empty(), "{self}");
    }

    /// Whether a failure says `what`.
    pub(crate) fn failed_with(&self, what: &str) -> bool {
        self.failures.iter().any(|failure| failure.contains(what))
    }

    pub(crate) fn numbers(&self) -> String {
        format!(
            "{} crash states, {} of them different, {} opened only by cutting what is not proved, {} in recoveries, \
             {} recoveries killed; {} times an acknowledged entry was looked for",
            self.states, self.opened, self.cut_unproven, self.in_recovery, self.killed, self.acknowledged
        )
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.numbers())?;
        for failure in self.failures.iter().take(20) {
            writeln!(f, "FAILED COUNTERSIGN_CRASH='{failure}")?;
        }
        writeln!(f, "{} failures", self.failures.len())
    }
}

/// At how many disks it is looked after a fault: that on which nothing survived, that on which everything did, and others.
const DISKS_AFTER_A_FAULT: u64 = 6;

/// Looks at crash states of one kind of store.
pub(crate) struct Explorer<'s, S> {
    subject: &'s S,
    pool: &'static Pool,
    /// The one state to look at, by name.
    only: Option<String>,
    /// How many bytes a sector has.
    pub(crate) sector: usize,
    pub(crate) tally: Tally,
}

impl<'s, S: Subject> Explorer<'s, S> {
    pub(crate) fn new(subject: &'s S) -> Self {
        let only = std::env::var("COUNTERSIGN_CRASH").ok();
        Self { subject, pool: pool(), only, sector: 512, tally: Tally::default() }
    }

    /// Loses the power at every step of the last operation, and of opening where there is none: every shorter workload is one of
    /// its own.
    pub(crate) fn explore(&mut self, ops: &[Op], crash_in_recovery: bool) {
        let whole = SimVfs::with_sectors(self.sector);
        let (mut answers, mut before) = (Answers::new(), 0);
        self.run(&whole, ops, &mut answers, &mut before);
        let calls = whole.calls();
        // Between two calls that change something, a later moment has the same disk and at least as many answers.
        let cuts = (before..calls.len()).filter(|call| calls[*call].kind.changes()).map(Some);
        for cut in cuts.chain([None]) {
            self.crash(&Run { cut, ..self.whole(ops) }, crash_in_recovery);
        }
    }

    /// Has one call fail and the rest go on, opens the store anew in the same machine, and loses the power before and after.
    /// Returns what the appends came to, and whether the fault happened.
    pub(crate) fn fault(&mut self, ops: &[Op], call: usize, fault: Fault) -> (Vec<Outcome>, bool) {
        let run = Run { fault: Some((call, fault)), ..self.whole(ops) };
        let (vfs, answers, outcomes) = self.run_anew(&run);
        let hit = vfs.faults_hit() > 0;
        let aftermath = vfs.aftermath();
        let mut judged = HashSet::new();
        for choice in (0..DISKS_AFTER_A_FAULT).map(Choice::Seed) {
            self.tally.states += 1;
            let name = run.name(choice);
            if self.is_wanted(&name) {
                self.judge(&aftermath.disk(choice), &answers, &name, &mut judged, None);
            }
        }
        // Once more without a loss of power: what is in memory is shown again, and must not be shown for saved. Without the last word
        // of the writer too, and where this recovery is killed and another follows (F-02, F-03).
        let name = run.name(Choice::Seed(1));
        if hit && fault == Fault::Io && vfs.calls().get(call).is_some_and(|call| call.kind == CallKind::Sync)
        {
            self.kill_recovery(&vfs, &answers, &name, None);
        }
        self.judge(&vfs, &answers, &name, &mut HashSet::new(), None);
        (outcomes, hit)
    }

    /// Looks at one state alone.
    pub(crate) fn look_at(&mut self, name: &str) {
        self.only = Some(name.to_owned());
    }

    /// Runs a workload without a fault on this machine. Returns how many calls there were before the last operation.
    pub(crate) fn run_on(&self, vfs: &SimVfs, ops: &[Op]) -> usize {
        let mut before = 0;
        self.run(vfs, ops, &mut Answers::new(), &mut before);
        before
    }

    /// How many calls a workload makes.
    pub(crate) fn calls(&self, ops: &[Op]) -> usize {
        self.run_anew(&self.whole(ops)).0.call_count()
    }

    fn whole<'o>(&self, ops: &'o [Op]) -> Run<'o> {
        Run { ops, fault: None, cut: None, sector: self.sector }
    }

    fn crash(&mut self, run: &Run<'_>, crash_in_recovery: bool) {
        let (vfs, answers, _) = self.run_anew(run);
        let aftermath = vfs.aftermath();
        let mut judged = HashSet::new();
        for (choice, disk) in aftermath.disks() {
            let name = run.name(choice);
            self.tally.states += 1;
            if self.is_wanted(&name) {
                let entries = self.judge(&disk, &answers, &name, &mut judged, None);
                if let Some(entries) = entries.filter(|_| crash_in_recovery) {
                    self.crash_in_recovery(|| aftermath.disk(choice), &answers, &name, &entries);
                }
            }
        }
    }

    /// Loses the power at every step of the recovery of a disk, and recovers again: it comes to the same (F-02).
    fn crash_in_recovery(
        &mut self,
        disk: impl Fn() -> SimVfs,
        answers: &Answers,
        name: &Name,
        entries: &[EntryBytes],
    ) {
        self.kill_recovery(&disk(), answers, name, Some(entries));
        let mut judged = HashSet::new();
        for cut in self.recovery_calls(&disk()) {
            let machine = disk();
            machine.cut_power_at(cut);
            drop(self.open(&machine));
            for (choice, disk) in machine.aftermath().disks() {
                let name = name.then(cut, Some(choice));
                self.tally.states += 1;
                self.tally.in_recovery += 1;
                if self.is_wanted(&name) {
                    self.judge(&disk, answers, &name, &mut judged, Some(entries));
                }
            }
        }
    }

    /// Kills the recovery of a machine before each of its calls, and has another go through: what that one shows, it has saved. Or has
    /// the other lose the power, at each call.
    fn kill_recovery(
        &mut self,
        machine: &SimVfs,
        answers: &Answers,
        name: &Name,
        entries: Option<&[EntryBytes]>,
    ) {
        let mut judged = HashSet::new();
        for cut in self.recovery_calls(&machine.killed()) {
            let name = name.then(cut, None);
            let killed = {
                let machine = machine.killed();
                machine.cut_power_at(cut);
                drop(self.open(&machine));
                machine.killed()
            };
            self.tally.killed += 1;
            if self.is_wanted(&name) {
                self.judge(&killed.killed(), answers, &name, &mut HashSet::new(), entries);
            }
            if killed.is_safe() {
                // It is as after a loss of power.
                continue;
            }
            for cut in self.recovery_calls(&killed.killed()) {
                let machine = killed.killed();
                machine.cut_power_at(cut);
                drop(self.open(&machine));
                let aftermath = machine.aftermath();
                for choice in (0..DISKS_AFTER_A_FAULT).map(Choice::Seed) {
                    let name = name.then(cut, Some(choice));
                    self.tally.states += 1;
                    self.tally.in_recovery += 1;
                    if self.is_wanted(&name) {
                        self.judge(&aftermath.disk(choice), answers, &name, &mut judged, entries);
                    }
                }
            }
        }
    }

    /// The calls of a recovery that change something.
    fn recovery_calls(&self, machine: &SimVfs) -> Vec<usize> {
        drop(self.open(machine));
        let calls = machine.calls();
        (0..calls.len()).filter(|call| calls[*call].kind.changes()).collect()
    }

    fn is_wanted(&self, name: &Name) -> bool {
        // A state of a recovery is reached through the state that is recovered from.
        self.only.as_ref().is_none_or(|only| {
            let name = name.to_string();
            *only == name || only.strip_prefix(&name).is_some_and(|rest| rest.starts_with('@'))
        })
    }

    fn run_anew(&self, run: &Run<'_>) -> (SimVfs, Answers, Vec<Outcome>) {
        let (vfs, mut answers) = (SimVfs::with_sectors(self.sector), Answers::new());
        if let Some(cut) = run.cut {
            vfs.cut_power_at(cut);
        }
        if let Some((call, fault)) = run.fault {
            vfs.fail(call, fault);
        }
        let outcomes = self.run(&vfs, run.ops, &mut answers, &mut 0);
        (vfs, answers, outcomes)
    }

    /// Runs a workload. `before` is how many calls there were before the last operation.
    fn run(&self, vfs: &SimVfs, ops: &[Op], answers: &mut Answers, before: &mut usize) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        let open = |how| self.subject.open(vfs, how).ok();
        let mut store = open(How::default());
        for op in ops {
            *before = vfs.call_count();
            match op {
                Op::Roll | Op::Reopen => {
                    drop(store.take());
                    store = open(How { roll: *op == Op::Roll, ..How::default() });
                }
                Op::Close => {
                    drop(store.take());
                    continue;
                }
                Op::Small | Op::Large | Op::Checkpoint | Op::Snapshots => {
                    store = store.or_else(|| open(How::default()));
                }
            }
            let Some(store) = &store else {
                outcomes.push(Outcome::NotOpened);
                continue;
            };
            let Ok(head) = block_on(store.head()) else { continue };
            match op {
                Op::Small | Op::Roll => outcomes.push(self.append(store, self.pool.batch(head, 1), answers)),
                Op::Large => outcomes.push(self.append(store, self.pool.batch(head, 3), answers)),
                Op::Checkpoint => {
                    let note = self.pool.note(head);
                    let put = block_on(store.put_checkpoint(head.size, note.clone()));
                    answers.checkpoint_put(head.size, note, put.is_ok());
                }
                // Whether it is kept is the store's business: what is given back is checked.
                Op::Snapshots => drop(block_on(store.put_snapshots(self.pool.snapshots(head)))),
                Op::Reopen | Op::Close => {}
            }
            if let Ok(entries) = read_all(store) {
                answers.seen(0, &entries);
            }
        }
        outcomes
    }

    fn append(&self, store: &S::Store, batch: Batch, answers: &mut Answers) -> Outcome {
        answers.submitted(&batch);
        let answer = block_on(store.append(batch.clone()));
        answers.answered(&batch, &answer);
        match answer {
            Ok(_) => Outcome::Acknowledged,
            Err(AppendError::NotStored(_)) => Outcome::NotStored,
            Err(AppendError::Conflict { .. }) => Outcome::Conflict,
            Err(AppendError::OutcomeUnknown(_)) => {
                let again = block_on(store.append(batch));
                // A store that answers after it lost track of what it has.
                if matches!(again, Err(AppendError::NotStored(_))) {
                    Outcome::Poisoned
                } else {
                    Outcome::Unknown
                }
            }
            Err(_) => Outcome::Unknown,
        }
    }

    fn open(&self, disk: &SimVfs) -> Result<(S::Store, bool), String> {
        match self.subject.open(disk, How::default()) {
            Ok(store) => Ok((store, false)),
            Err(first) => match self.subject.open(disk, How { cut_unproven: true, ..How::default() }) {
                Ok(store) => Ok((store, true)),
                Err(second) => Err(format!("does not open: {first}; nor with cutting: {second}")),
            },
        }
    }

    /// Opens a disk, and says what is wrong with it. Returns the entries that are there, unless it was looked at before.
    fn judge(
        &mut self,
        disk: &SimVfs,
        answers: &Answers,
        name: &Name,
        judged: &mut HashSet<u64>,
        wanted: Option<&[EntryBytes]>,
    ) -> Option<Vec<EntryBytes>> {
        if !judged.insert(fingerprint(disk, "", 0)) {
            return None;
        }
        self.tally.opened += 1;
        self.tally.acknowledged += answers.acknowledged() as u64;
        match catch_unwind(AssertUnwindSafe(|| self.look(disk, answers, judged, wanted))) {
            Ok(Ok((entries, cut))) => {
                self.tally.cut_unproven += u64::from(cut);
                Some(entries)
            }
            Ok(Err(what)) => {
                self.tally.failures.push(format!("{name}' {what}"));
                None
            }
            Err(_) => {
                self.tally.failures.push(format!("{name}' panicked"));
                None
            }
        }
    }

    fn look(
        &self,
        disk: &SimVfs,
        answers: &Answers,
        judged: &mut HashSet<u64>,
        wanted: Option<&[EntryBytes]>,
    ) -> Result<(Vec<EntryBytes>, bool), String> {
        let (store, cut) = self.open(disk)?;
        let entries = self.check(&store, answers)?;
        if wanted.is_some_and(|wanted| wanted != entries) {
            return Err(format!("{} entries after two recoveries, another number after one", entries.len()));
        }
        let mut answers = answers.clone();
        // Whatever is shown from here on must stay (F-04).
        answers.seen(0, &entries);
        self.lose_power_again(disk, "shown", &answers, judged)?;
        // It goes on: another entry than the one that may have been lost is taken, and kept.
        let head = block_on(store.head()).map_err(|error| error.to_string())?;
        let batch = self.pool.other(head);
        if self.append(&store, batch, &mut answers) != Outcome::Acknowledged {
            return Err("takes no entry after recovery".into());
        }
        self.lose_power_again(disk, "went on", &answers, judged)?;
        Ok((entries, cut))
    }

    /// Loses everything that is in doubt once more, and looks whether all that was promised is there.
    fn lose_power_again(
        &self,
        disk: &SimVfs,
        after: &str,
        answers: &Answers,
        judged: &mut HashSet<u64>,
    ) -> Result<(), String> {
        let disk = disk.aftermath().disk(Choice::Seed(0));
        if !judged.insert(fingerprint(&disk, after, answers.shown())) {
            return Ok(());
        }
        let again = |what| format!("after another loss of power: {what}");
        let (store, _) = self.open(&disk).map_err(again)?;
        self.check(&store, answers).map(drop).map_err(again)
    }

    fn check(&self, store: &S::Store, answers: &Answers) -> Result<Vec<EntryBytes>, String> {
        let entries = read_all(store)?;
        let mut findings = answers.check(&entries);
        let note = block_on(store.checkpoint()).map_err(|error| error.to_string())?;
        findings.extend(answers.check_checkpoint(note.as_deref(), entries.len() as u64));
        if let Some(finding) = findings.first() {
            return Err(finding.to_string());
        }
        let head = block_on(store.head()).map_err(|error| error.to_string())?;
        if head.size != entries.len() as u64 {
            return Err(format!("the head is at {}, and {} entries are read", head.size, entries.len()));
        }
        let snapshots = block_on(store.snapshots(head.size)).map_err(|error| error.to_string())?;
        if snapshots.is_some_and(|set| !self.pool.has_snapshots(&set)) {
            return Err("snapshots are there that nobody put".into());
        }
        Ok(entries)
    }
}

/// Loses the power at every step of each of these workloads, on all cores, until there were `enough` states.
pub(crate) fn explore_all<S: Subject + Sync>(
    subject: &S,
    sector: usize,
    workloads: &[Vec<Op>],
    crash_in_recovery: bool,
    enough: u64,
) -> Tally {
    let (next, states) = (AtomicUsize::new(0), AtomicU64::new(0));
    let explore = || {
        let mut explorer = Explorer::new(subject);
        explorer.sector = sector;
        while states.load(Ordering::Relaxed) < enough
            && let Some(ops) = workloads.get(next.fetch_add(1, Ordering::Relaxed))
        {
            let before = explorer.tally.states;
            explorer.explore(ops, crash_in_recovery);
            states.fetch_add(explorer.tally.states - before, Ordering::Relaxed);
        }
        explorer.tally
    };
    let mut tally = Tally::default();
    thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let explorers: Vec<_> = (0..cores).map(|_| scope.spawn(explore)).collect();
        for explorer in explorers {
            tally.add(explorer.join().expect("what panics is told in the tally"));
        }
    });
    tally.failures.sort();
    tally
}

/// What came of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Outcome {
    Acknowledged,
    NotStored,
    Conflict,
    /// The outcome is unknown, and the store went on.
    Unknown,
    /// The outcome is unknown, and the store takes nothing until it is opened anew.
    Poisoned,
    /// The store did not open.
    NotOpened,
}

struct Run<'o> {
    ops: &'o [Op],
    fault: Option<(usize, Fault)>,
    cut: Option<usize>,
    sector: usize,
}

impl Run<'_> {
    fn name(&self, choice: Choice) -> Name {
        Name {
            ops: self.ops.to_vec(),
            fault: self.fault,
            cut: self.cut,
            choice,
            again: Vec::new(),
            sector: self.sector,
        }
    }
}

fn read_all<S: Store>(store: &S) -> Result<Vec<EntryBytes>, String> {
    let mut all: Vec<EntryBytes> = Vec::new();
    loop {
        let part =
            block_on(store.read(all.len() as u64, usize::MAX)).map_err(|error| format!("{error:?}"))?;
        if part.is_empty() {
            return Ok(all);
        }
        all.extend(part);
    }
}

/// Of a disk and of what is expected of it.
fn fingerprint(disk: &SimVfs, after: &str, seen: usize) -> u64 {
    let mut hasher = DefaultHasher::new();
    (disk.tree_hash(), after, seen).hash(&mut hasher);
    hasher.finish()
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(done) => return done,
            Poll::Pending => thread::park(),
        }
    }
}

/// The head that a store starts with.
pub(crate) const EMPTY: Head = Head::EMPTY;
