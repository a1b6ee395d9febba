//! A company small enough for tests, and a store that does what it is told.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test fails by panicking, and no one else uses this"
)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign_core::digest::StatementDigest;
use countersign_core::entry::Head;
use countersign_core::event::*;
use countersign_core::id::*;
use countersign_core::statement::SignedStatement;
use countersign_core::time::{Seconds, Timestamp};
use countersign_core::wire::Text;
use countersign_ledger::testing::{Founded, ManualClock};
use countersign_ledger::{Author, Check, Checked, Receipt, Recorder, Replica, Stale};
use countersign_store::{
    AppendError, Batch, Durability, EntryBytes, Found, MemoryStore, NoteBytes, SnapshotSet, Store, StoreError,
};

pub fn start() -> Timestamp {
    "2026-01-05T09:00:00.000Z".parse().unwrap()
}

pub fn text(words: &str) -> Text {
    Text::new(words).unwrap()
}

/// A founded ledger with people, one resource and a policy: an approval by a business owner is enough.
pub struct Company<S: Store = MemoryStore> {
    pub founded: Founded<S>,
    /// Asks.
    pub alice: Author,
    /// Owns the business.
    pub olga: Author,
    /// An automation that may grant.
    pub iam: Author,
    /// An automation that may not.
    pub bot: Author,
}

impl<S: Store + Clone> Company<S> {
    pub async fn in_store(store: S, with: impl FnOnce(Recorder) -> Recorder) -> Self {
        Self::prepared(store, with, async |_| {}).await
    }

    /// As [`Company::in_store`], with something done by the governors before the first policy takes that from them.
    pub async fn prepared(
        store: S,
        with: impl FnOnce(Recorder) -> Recorder,
        prepare: impl AsyncFnOnce(&Founded<S>),
    ) -> Self {
        let founded = Founded::found(store, ManualClock::new(start()), with).await.unwrap();
        prepare(&founded).await;
        let alice = founded.enrol("user:alice").await.unwrap();
        let olga = founded.enrol("user:olga").await.unwrap();
        let iam = founded.enrol("service:iam").await.unwrap();
        let bot = founded.enrol("service:bot").await.unwrap();
        founded.assign(Capacity::IamEnforcer, &iam).await.unwrap();
        founded.assign(Capacity::BusinessOwner, &olga).await.unwrap();
        let receipt = founded.let_owners_decide("db:books").await.unwrap();
        for author in [&alice, &olga, &iam, &bot] {
            author.observe(receipt.head());
        }
        Self { founded, alice, olga, iam, bot }
    }

    pub async fn approve(&self, request: StatementDigest) -> Receipt {
        self.founded.ledger.submit(self.approval(request)).await.unwrap()
    }

    pub fn approval(&self, request: StatementDigest) -> SignedStatement {
        let view = self.founded.ledger.current();
        let at = view.state().recorded_at();
        let approved = AccessApproved {
            capacity: Capacity::BusinessOwner,
            clause: view.state().clause_of_request(&request, at).unwrap(),
            need: text("the books have to be closed"),
            request,
            seconds: None,
        };
        self.olga.state(approved).seen(view.head()).sign().unwrap()
    }

    pub async fn request(&self) -> Receipt {
        self.founded.ledger.submit(self.alice.state(ask()).sign().unwrap()).await.unwrap()
    }
}

impl Company {
    pub async fn in_memory() -> Self {
        Self::in_store(MemoryStore::new(), |recorder| recorder).await
    }
}

/// A request of Alice for an hour.
pub fn ask() -> AccessRequested {
    AccessRequested {
        ends_on: Default::default(),
        expires: None,
        hold: Hold::Seconds(Seconds::new(3_600).unwrap()),
        need: text("close the month"),
        purpose: Process::new("billing").unwrap(),
        replaces: None,
        resource: Resource::new("db:books").unwrap(),
        role: Role::new("reader").unwrap(),
        subject: Principal::new("user:alice").unwrap(),
        tier: Tier::Medium,
    }
}

/// May Alice read the books?
pub fn check<S: Store>(
    replica: &Replica<S>,
    with: impl FnOnce(Check<'_>) -> Check<'_>,
) -> Result<Checked, Stale> {
    let (alice, books) = (Principal::new("user:alice").unwrap(), Resource::new("db:books").unwrap());
    let reader = Role::new("reader").unwrap();
    replica.check(&with(Check::new(&alice, &books, &reader)))
}

/// What the next appends do, one after the other; then everything works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// As it should.
    Work,
    /// Says that the outcome is unknown, and has stored all.
    UnknownStored,
    /// Says that the outcome is unknown, and has stored the first entry only.
    UnknownCut,
    /// Says that the outcome is unknown, and has stored nothing.
    UnknownLost,
    /// Says that nothing was stored, and it is true.
    Fail,
    /// Says that the outcome is unknown; the batch lands when [`Told::land`] says so, if the head still fits.
    UnknownLate,
    /// Says after so long that the outcome is unknown, and has stored all.
    UnknownAfter(Duration),
    /// Says after so long that nothing was stored, and it is true.
    FailAfter(Duration),
    /// Says that it takes nothing more until it is opened anew.
    Poisoned,
    /// Takes down who asked.
    Panic,
}

/// What happens at a certain moment.
type Happening = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// A memory store that obeys a list of acts, and can be held.
#[derive(Clone, Default)]
pub struct Told(Arc<Inner>);

#[derive(Default)]
struct Inner {
    kept: MemoryStore,
    acts: Mutex<Vec<Act>>,
    late: Mutex<Vec<Batch>>,
    appends: AtomicU64,
    batches: Mutex<Vec<usize>>,
    after_append: Mutex<Option<Happening>>,
    before_find: Mutex<Option<Happening>>,
    gate: Gate,
}

impl Told {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn act(&self, acts: &[Act]) {
        let mut list = self.0.acts.lock().unwrap();
        *list = acts.iter().rev().copied().collect();
    }

    pub fn kept(&self) -> &MemoryStore {
        &self.0.kept
    }

    /// Lets something happen once, when an append is stored and nobody has heard of it yet.
    pub fn after_append(&self, happening: impl Future<Output = ()> + Send + 'static) {
        *self.0.after_append.lock().unwrap() = Some(Box::pin(happening));
    }

    /// Lets something happen once, right before a statement is looked for.
    pub fn before_find(&self, happening: impl Future<Output = ()> + Send + 'static) {
        *self.0.before_find.lock().unwrap() = Some(Box::pin(happening));
    }

    /// Lets every batch land that is still under way; how many could.
    pub async fn land(&self) -> usize {
        let late = std::mem::take(&mut *self.0.late.lock().unwrap());
        let mut landed = 0;
        for batch in late {
            landed += usize::from(self.0.kept.append(batch).await.is_ok());
        }
        landed
    }

    /// How many entries each append so far had.
    pub fn batches(&self) -> Vec<usize> {
        self.0.batches.lock().unwrap().clone()
    }

    pub fn appends(&self) -> u64 {
        self.0.appends.load(Ordering::SeqCst)
    }

    /// Lets no append go on until [`Told::release`].
    pub fn hold(&self) {
        self.0.gate.0.send_replace(true);
    }

    pub fn release(&self) {
        self.0.gate.0.send_replace(false);
    }
}

struct Gate(tokio::sync::watch::Sender<bool>);

impl Default for Gate {
    fn default() -> Self {
        Self(tokio::sync::watch::channel(false).0)
    }
}

impl Store for Told {
    fn durability(&self) -> Durability {
        Durability::Volatile
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.0.kept.head().await
    }

    async fn append(&self, batch: Batch) -> Result<Head, AppendError> {
        self.0.appends.fetch_add(1, Ordering::SeqCst);
        self.0.batches.lock().unwrap().push(batch.entries().len());
        let _ = self.0.gate.0.subscribe().wait_for(|held| !held).await;
        let act = self.0.acts.lock().unwrap().pop().unwrap_or(Act::Work);
        let unknown = || AppendError::OutcomeUnknown("the reply was lost".into());
        match act {
            Act::Work => {
                let appended = self.0.kept.append(batch).await;
                let happening = self.0.after_append.lock().unwrap().take();
                if let Some(happening) = happening {
                    happening.await;
                }
                appended
            }
            Act::Panic => panic!("told to"),
            Act::UnknownStored => {
                self.0.kept.append(batch).await?;
                Err(unknown())
            }
            Act::UnknownCut => {
                let first = batch.entries()[..1].to_vec();
                self.0.kept.append(Batch::new(first).unwrap()).await?;
                Err(unknown())
            }
            Act::UnknownLost => Err(unknown()),
            Act::Fail => Err(StoreError::Unavailable("no".into()).into()),
            Act::UnknownAfter(time) => {
                tokio::time::sleep(time).await;
                self.0.kept.append(batch).await?;
                Err(unknown())
            }
            Act::FailAfter(time) => {
                tokio::time::sleep(time).await;
                Err(StoreError::Unavailable("away".into()).into())
            }
            Act::Poisoned => Err(StoreError::Poisoned.into()),
            Act::UnknownLate => {
                self.0.late.lock().unwrap().push(batch);
                Err(unknown())
            }
        }
    }

    async fn read(&self, from: u64, max: usize) -> Result<Vec<EntryBytes>, StoreError> {
        self.0.kept.read(from, max).await
    }

    async fn find(&self, digest: StatementDigest) -> Result<Option<Found>, StoreError> {
        let happening = self.0.before_find.lock().unwrap().take();
        if let Some(happening) = happening {
            happening.await;
        }
        self.0.kept.find(digest).await
    }

    fn wait(&self, size: u64) -> impl Future<Output = ()> + Send {
        self.0.kept.wait(size)
    }

    async fn checkpoint(&self) -> Result<Option<NoteBytes>, StoreError> {
        self.0.kept.checkpoint().await
    }

    async fn put_checkpoint(&self, size: u64, note: NoteBytes) -> Result<(), StoreError> {
        self.0.kept.put_checkpoint(size, note).await
    }
}

/// A store that lacks something of another one.
#[derive(Clone)]
pub struct Lacking<S> {
    kept: S,
    lacks: Lack,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Lack {
    Hints,
    Snapshots,
}

/// The store without hints: it never says that there may be more.
pub fn deaf<S>(kept: S) -> Lacking<S> {
    Lacking { kept, lacks: Lack::Hints }
}

/// The store with snapshots that can not be read.
pub fn torn<S>(kept: S) -> Lacking<S> {
    Lacking { kept, lacks: Lack::Snapshots }
}

impl<S: Store> Store for Lacking<S> {
    fn durability(&self) -> Durability {
        self.kept.durability()
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.kept.head().await
    }

    async fn append(&self, batch: Batch) -> Result<Head, AppendError> {
        self.kept.append(batch).await
    }

    async fn read(&self, from: u64, max: usize) -> Result<Vec<EntryBytes>, StoreError> {
        self.kept.read(from, max).await
    }

    async fn find(&self, digest: StatementDigest) -> Result<Option<Found>, StoreError> {
        self.kept.find(digest).await
    }

    async fn wait(&self, size: u64) {
        match self.lacks {
            Lack::Hints => std::future::pending().await,
            Lack::Snapshots => self.kept.wait(size).await,
        }
    }

    async fn checkpoint(&self) -> Result<Option<NoteBytes>, StoreError> {
        self.kept.checkpoint().await
    }

    async fn put_checkpoint(&self, size: u64, note: NoteBytes) -> Result<(), StoreError> {
        self.kept.put_checkpoint(size, note).await
    }

    async fn snapshots(&self, size: u64) -> Result<Option<SnapshotSet>, StoreError> {
        match self.lacks {
            Lack::Hints => self.kept.snapshots(size).await,
            Lack::Snapshots => Err(StoreError::Unavailable("a bad sector".into())),
        }
    }

    async fn put_snapshots(&self, set: SnapshotSet) -> Result<(), StoreError> {
        self.kept.put_snapshots(set).await
    }
}

/// A memory store that keeps whatever snapshots it is told to, and counts what is read from it.
#[derive(Clone, Default)]
pub struct Shelf(Arc<Shelved>);

#[derive(Default)]
struct Shelved {
    kept: MemoryStore,
    sets: Mutex<BTreeMap<u64, SnapshotSet>>,
    read: AtomicU64,
    is_full: AtomicBool,
}

impl Shelf {
    pub fn over(kept: MemoryStore) -> Self {
        Self(Arc::new(Shelved { kept, ..Shelved::default() }))
    }

    pub fn kept(&self) -> &MemoryStore {
        &self.0.kept
    }

    /// The same entries and checkpoint, with these snapshots.
    pub fn with(&self, sets: impl IntoIterator<Item = SnapshotSet>) -> Self {
        let shelf = Self::over(self.0.kept.clone());
        shelf.0.sets.lock().unwrap().extend(sets.into_iter().map(|set| (set.size, set)));
        shelf
    }

    pub fn sets(&self) -> Vec<SnapshotSet> {
        self.0.sets.lock().unwrap().values().cloned().collect()
    }

    /// How many entries were read so far.
    pub fn read_so_far(&self) -> u64 {
        self.0.read.load(Ordering::SeqCst)
    }

    /// Whether it has no room for snapshots.
    pub fn full(&self, is_full: bool) {
        self.0.is_full.store(is_full, Ordering::SeqCst);
    }
}

impl Store for Shelf {
    fn durability(&self) -> Durability {
        Durability::Volatile
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.0.kept.head().await
    }

    async fn append(&self, batch: Batch) -> Result<Head, AppendError> {
        self.0.kept.append(batch).await
    }

    async fn read(&self, from: u64, max: usize) -> Result<Vec<EntryBytes>, StoreError> {
        let read = self.0.kept.read(from, max).await?;
        self.0.read.fetch_add(read.len() as u64, Ordering::SeqCst);
        Ok(read)
    }

    async fn find(&self, digest: StatementDigest) -> Result<Option<Found>, StoreError> {
        self.0.kept.find(digest).await
    }

    fn wait(&self, size: u64) -> impl Future<Output = ()> + Send {
        self.0.kept.wait(size)
    }

    async fn checkpoint(&self) -> Result<Option<NoteBytes>, StoreError> {
        self.0.kept.checkpoint().await
    }

    async fn put_checkpoint(&self, size: u64, note: NoteBytes) -> Result<(), StoreError> {
        self.0.kept.put_checkpoint(size, note).await
    }

    async fn snapshots(&self, size: u64) -> Result<Option<SnapshotSet>, StoreError> {
        Ok(self.0.sets.lock().unwrap().range(..=size).next_back().map(|(_, set)| set.clone()))
    }

    async fn put_snapshots(&self, set: SnapshotSet) -> Result<(), StoreError> {
        if self.0.is_full.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("no room".into()));
        }
        self.0.sets.lock().unwrap().insert(set.size, set);
        Ok(())
    }
}

/// Checks that a store holds a chain of judged entries in which each of these receipts is true and no statement stands twice.
pub async fn assert_recorded(store: &impl Store, receipts: &[Receipt]) {
    let mut entries = Vec::new();
    loop {
        let chunk = store.read(entries.len() as u64, 500).await.unwrap();
        if chunk.is_empty() {
            break;
        }
        entries.extend(chunk);
    }
    let mut head = Head::EMPTY;
    let mut digests = std::collections::BTreeSet::new();
    let entries: Vec<_> = entries
        .into_iter()
        .map(|bytes| {
            let entry = countersign_core::entry::Entry::parse(bytes).unwrap();
            assert_eq!(Head { size: entry.seq(), leaf: entry.prev() }, head);
            assert!(digests.insert(entry.signed().digest()), "entry {} stands twice", entry.seq());
            head = entry.head();
            entry
        })
        .collect();
    for receipt in receipts {
        let entry = &entries[receipt.seq as usize];
        assert_eq!(
            (entry.leaf(), entry.signed().digest(), entry.recorded_at()),
            (receipt.leaf, receipt.statement, receipt.recorded_at)
        );
    }
}
