//! Opening, following, feeds, checkpoints and the enforcer.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use countersign_core::checkpoint;
use countersign_core::entry::{Entry, Head};
use countersign_core::event::*;
use countersign_core::key::SignerKey as _;
use countersign_core::note::{KeyKind, SignedNote, VerifierKey};
use countersign_core::wire::Set;
use countersign_ledger::testing::{Founded, ManualClock, genesis, key, recorder};
use countersign_ledger::*;
use countersign_projection::governance::RefusalCode;
use countersign_store::*;
use support::*;

fn follow(clock: &ManualClock) -> Follow {
    Follow::new().clock(clock.clone())
}

#[tokio::test]
async fn a_replica_follows_and_answers_what_the_ledger_answers() {
    let company = Company::in_memory().await;
    let founded = &company.founded;
    let replica = Ledger::follow_with(founded.store.clone(), follow(&founded.clock)).await.unwrap();
    assert_eq!(replica.head(), founded.ledger.head());
    let request = company.request().await;
    let approval = company.approve(request.statement).await;
    let view = replica.at_least(approval.head().size).await.unwrap();
    let event = view.state().propose_grant(&request.statement, start()).unwrap();
    let grant = founded.ledger.submit(company.iam.state(event).sign().unwrap()).await.unwrap();
    replica.at_least(grant.head().size).await.unwrap();
    let (here, there) = (check(&founded.ledger, |check| check), check(&replica, |check| check));
    assert_eq!(here, there);
    assert!(there.unwrap().is_allowed());
    assert_eq!(replica.current().root(), founded.ledger.current().root());
    assert!(replica.failure().is_none());
    // By the plain way, with the system's clock and its own task.
    let plain = Ledger::follow(founded.store.clone()).await.unwrap();
    assert_eq!(plain.head(), replica.head());
}

/// R092: how old the answering state is can be known, and bounded by the caller.
#[tokio::test]
async fn what_a_caller_demands_is_met_or_refused() {
    let company = Company::in_memory().await;
    let founded = &company.founded;
    let size = founded.ledger.head().size;
    let demanded = check(&founded.ledger, |check| check.min_seq(size - 1));
    assert_eq!(demanded.unwrap().head.size, size);
    let stale = check(&founded.ledger, |check| check.min_seq(size)).unwrap_err();
    assert_eq!(stale, Stale::Size { size, wanted: size + 1 });

    // A replica of a store that does not answer gets older.
    let never = follow(&founded.clock).poll_interval(Duration::from_secs(86_400));
    let replica = Ledger::follow_with(founded.store.clone(), never).await.unwrap();
    let max = Duration::from_secs(5);
    assert!(check(&replica, |check| check.max_age(max)).is_ok());
    founded.clock.advance(max);
    assert!(check(&replica, |check| check.max_age(max)).is_ok());
    founded.clock.advance(Duration::from_millis(1));
    let age = max + Duration::from_millis(1);
    assert_eq!(check(&replica, |check| check.max_age(max)), Err(Stale::Age { age, max }));
    assert!(check(&replica, |check| check).is_ok());
    // The next entry, of which the store gives a hint, makes it current.
    let request = company.request().await;
    replica.at_least(request.head().size).await.unwrap();
    assert!(check(&replica, |check| check.max_age(max)).is_ok());
    assert!(check(&founded.ledger, |check| check.max_age(max)).is_ok(), "so does an append of one's own");
}

#[tokio::test(start_paused = true)]
async fn an_idle_view_stays_current_as_long_as_the_store_answers() {
    let company = Company::in_memory().await;
    let founded = &company.founded;
    let replica = Ledger::follow_with(founded.store.clone(), follow(&founded.clock)).await.unwrap();
    for _ in 0..10 {
        founded.clock.advance(Duration::from_secs(60));
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(check(&replica, |check| check.max_age(Duration::from_secs(1))).is_ok());
        assert!(check(&founded.ledger, |check| check.max_age(Duration::from_secs(1))).is_ok());
    }
}

#[tokio::test]
async fn a_feed_starts_where_its_consumer_stands_and_notices_another_history() {
    let company = Company::in_memory().await;
    let ledger = &company.founded.ledger;
    let entries = company.founded.store.entries_now();
    let third = Entry::parse(entries[2].clone()).unwrap();
    let mut feed = ledger.subscribe(third.head());
    assert_eq!(feed.next().await.unwrap().unwrap().seq(), 3);
    assert_eq!(feed.head().size, 4);
    // Of the same length, and not of this ledger.
    for size in [3, ledger.head().size] {
        let mut feed =
            ledger.subscribe(Head { size, leaf: countersign_core::digest::LeafHash::new([9; 32]) });
        let error = feed.next().await.unwrap().unwrap_err();
        assert!(
            matches!(error, ReplayError::Entry { seq: 3, cause: EntryError::Unlinked })
                || matches!(error, ReplayError::OtherHistory { .. }),
            "{error:?}"
        );
        assert!(feed.next().await.is_none());
    }
}

#[tokio::test]
async fn a_store_that_was_cut_or_exchanged_stops_its_followers() {
    let company = Company::in_memory().await;
    let founded = &company.founded;
    let entries: Vec<Entry> =
        founded.store.entries_now().into_iter().map(|bytes| Entry::parse(bytes).unwrap()).collect();
    for kept in [entries.len() - 1, 1] {
        let swapped = Swap::new(founded.store.clone());
        let quick = follow(&founded.clock).poll_interval(Duration::from_millis(1));
        let replica = Ledger::follow_with(swapped.clone(), quick).await.unwrap();
        swapped.to(MemoryStore::from_entries(entries[..kept].to_vec()).unwrap());
        let size = replica.head().size;
        assert_eq!(replica.at_least(size + 1).await.unwrap_err(), Ended { size });
        assert!(
            matches!(replica.failure(), Some(ReplayError::OtherHistory { known, found })
                if known.size == size && found.size == kept as u64),
            "{:?}",
            replica.failure()
        );
        assert_eq!(replica.head().size, size, "it goes on answering from what it knows");
    }
}

#[tokio::test]
async fn a_feed_gives_no_entry_that_the_view_does_not_stand_on() {
    let company = Company::in_memory().await;
    let founded = &company.founded;
    let mut entries: Vec<Entry> =
        founded.store.entries_now().into_iter().map(|bytes| Entry::parse(bytes).unwrap()).collect();
    let swapped = Swap::new(founded.store.clone());
    let never = follow(&founded.clock).poll_interval(Duration::from_secs(86_400));
    let replica = Ledger::follow_with(swapped.clone(), never).await.unwrap();
    // The same statements, well chained, but the last one is sealed at another time than the one that was judged.
    let last = entries.pop().unwrap();
    let later = start().plus_seconds(1).unwrap();
    entries.push(Entry::seal(entries[entries.len() - 1].head(), later, last.signed()).unwrap());
    swapped.to(MemoryStore::from_entries(entries.clone()).unwrap());
    let mut feed = replica.subscribe(entries[2].head());
    let error = feed.next().await.unwrap().unwrap_err();
    assert!(
        matches!(error, ReplayError::OtherHistory { known, found }
            if known == replica.head() && found == entries[entries.len() - 1].head()),
        "{error:?}"
    );
    assert!(feed.next().await.is_none());
}

// Whoever waited for a view of a follower that had panicked waited for ever.
#[tokio::test]
async fn a_follower_that_panics_leaves_nobody_waiting() {
    let company = Company::in_memory().await;
    let founded = &company.founded;
    let swapped = Swap::new(founded.store.clone());
    let often = follow(&founded.clock).poll_interval(Duration::from_millis(5));
    let replica = Ledger::follow_with(swapped.clone(), often).await.unwrap();
    let head = replica.head();
    let waits = tokio::spawn({
        let replica = replica.clone();
        async move { replica.at_least(head.size + 1).await.map(drop) }
    });
    swapped.poison();
    let answer = tokio::time::timeout(Duration::from_secs(20), waits).await;
    assert_eq!(answer.expect("it ends").unwrap(), Err(Ended { size: head.size }));
    assert_eq!(replica.head(), head, "it goes on answering from what it knows");
}

#[test]
fn a_follower_whose_runtime_is_gone_leaves_nobody_waiting() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let its_own = runtime();
    let replica = its_own.block_on(async {
        let founded = Founded::in_memory().await.unwrap();
        Ledger::follow_with(founded.store.clone(), follow(&founded.clock)).await.unwrap()
    });
    drop(its_own);
    let head = replica.head();
    let waits =
        async { tokio::time::timeout(Duration::from_secs(20), replica.at_least(head.size + 1)).await };
    assert_eq!(runtime().block_on(waits).expect("it ends").map(drop), Err(Ended { size: head.size }));
}

/// A store that can be exchanged while it is followed.
#[derive(Clone)]
struct Swap(std::sync::Arc<std::sync::Mutex<MemoryStore>>);

impl Swap {
    fn new(store: MemoryStore) -> Self {
        Self(std::sync::Arc::new(std::sync::Mutex::new(store)))
    }
    fn to(&self, store: MemoryStore) {
        *self.0.lock().unwrap() = store;
    }
    /// Whoever asks it from now on panics.
    fn poison(&self) {
        let store = self.0.clone();
        let held = std::thread::spawn(move || {
            let _held = store.lock().unwrap();
            panic!("a store that panics");
        });
        assert!(held.join().is_err());
    }
    fn now(&self) -> MemoryStore {
        self.0.lock().unwrap().clone()
    }
}

impl Store for Swap {
    fn durability(&self) -> Durability {
        Durability::Volatile
    }
    async fn head(&self) -> Result<Head, StoreError> {
        self.now().head().await
    }
    async fn append(&self, batch: Batch) -> Result<Head, AppendError> {
        self.now().append(batch).await
    }
    async fn read(&self, from: u64, max: usize) -> Result<Vec<EntryBytes>, StoreError> {
        self.now().read(from, max).await
    }
    async fn find(
        &self,
        digest: countersign_core::digest::StatementDigest,
    ) -> Result<Option<Found>, StoreError> {
        self.now().find(digest).await
    }
    async fn checkpoint(&self) -> Result<Option<NoteBytes>, StoreError> {
        self.now().checkpoint().await
    }
    async fn put_checkpoint(&self, size: u64, note: NoteBytes) -> Result<(), StoreError> {
        self.now().put_checkpoint(size, note).await
    }
}

#[tokio::test]
async fn opening_refuses_what_is_not_as_asked() {
    let company = Company::in_memory().await;
    let founded = &company.founded;
    let (store, clock) = (founded.store.clone(), &founded.clock);

    let weak = Ledger::open(store.clone(), recorder(clock).accepting(Durability::LocalSync)).await;
    assert!(matches!(weak, Err(OpenError::TooWeak(TooWeak { found: Durability::Volatile, .. }))));
    let default = Ledger::open(store.clone(), Recorder::new(key("service:recorder"))).await;
    assert!(matches!(default, Err(OpenError::TooWeak(_))), "a memory store is opened only by who says so");

    let stranger = Recorder::new(key("stranger")).accepting(Durability::Volatile);
    let error = Ledger::open(store.clone(), stranger.clone()).await.unwrap_err();
    assert!(matches!(error, OpenError::NotTheRecorder { .. }), "{error:?}");
    let (genesis, _) = genesis("other", clock);
    let empty = MemoryStore::new();
    let error = Ledger::create(empty.clone(), stranger, genesis.clone()).await.unwrap_err();
    assert!(matches!(error, OpenError::NotTheRecorder { .. }), "{error:?}");
    assert_eq!(empty.head_now(), Head::EMPTY);

    let error = Ledger::create(store.clone(), recorder(clock), genesis).await.unwrap_err();
    assert!(
        matches!(&error, OpenError::Genesis(SubmitError::Refused(refusal)) if refusal.code == RefusalCode::Genesis),
        "{error:?}"
    );

    let other = format!("acme/{}", "0".repeat(64)).parse().unwrap();
    let found = founded.ledger.ledger_id().unwrap();
    let pinned = Ledger::open(store.clone(), recorder(clock).ledger_id(other)).await;
    assert!(matches!(pinned, Err(OpenError::OtherLedger { found: id }) if id == found));
    Ledger::open(store.clone(), recorder(clock).ledger_id(found)).await.unwrap();

    let error = Ledger::follow(MemoryStore::new()).await.unwrap_err();
    assert!(matches!(error, OpenError::Empty), "{error:?}");
}

#[tokio::test]
async fn an_entry_that_the_rules_do_not_admit_is_named() {
    let company = Company::in_memory().await;
    let founded = &company.founded;
    let mut entries: Vec<Entry> =
        founded.store.entries_now().into_iter().map(|bytes| Entry::parse(bytes).unwrap()).collect();
    let (size, head) = (entries.len() as u64, founded.ledger.head());
    // An operator writes past the rules: a revocation of a grant that never was, and a statement nobody signed.
    let revoked = AccessRevoked { grant: entries[0].signed().digest(), reason: text("none") };
    let refused = company.olga.state(revoked).sign().unwrap();
    let unsigned = company.alice.state(ask()).statement().prepare().unwrap();
    for signed in [refused, unsigned] {
        entries.truncate(size as usize);
        entries.push(Entry::seal(head, start(), &signed).unwrap());
        let store = MemoryStore::from_entries(entries.clone()).unwrap();
        let error = Ledger::open(store, recorder(&founded.clock)).await.unwrap_err();
        assert!(
            matches!(&error, OpenError::Replay(ReplayError::Entry { seq, .. }) if *seq == size),
            "{error:?}"
        );
    }
    // While a ledger runs, another writer does the same: what it submits is not recorded on top of that.
    founded.store.append(Batch::new(entries[size as usize..].to_vec()).unwrap()).await.unwrap();
    let outcome = founded.ledger.submit(company.alice.state(ask()).sign().unwrap()).await;
    let Err(SubmitError::Store(error)) = outcome else { panic!("{outcome:?}") };
    assert!(matches!(&*error, ReplayError::Entry { seq, .. } if *seq == size), "{error:?}");
    assert!(founded.ledger.failure().is_some());
    assert_eq!(founded.store.head_now().size, size + 1);
}

fn open_note(bytes: &[u8], id: &str) -> checkpoint::SignedCheckpoint {
    let known = VerifierKey::new(id, KeyKind::Note, key("service:recorder").public_key()).unwrap();
    checkpoint::open(&SignedNote::parse(bytes).unwrap(), id, &[known]).unwrap()
}

#[tokio::test(start_paused = true)]
async fn checkpoints_come_within_the_interval_and_one_root_a_size() {
    let store = MemoryStore::new();
    let interval = Duration::from_secs(1);
    let company =
        Company::in_store(store.clone(), |recorder| recorder.checkpoint_interval(Some(interval))).await;
    let ledger = &company.founded.ledger;
    let id = ledger.ledger_id().unwrap();
    tokio::time::sleep(interval * 3).await;
    let kept = store.checkpoint_now().unwrap();
    let opened = open_note(&kept, id.as_str());
    assert_eq!(
        (opened.checkpoint().size(), opened.checkpoint().root()),
        (ledger.head().size, ledger.current().root())
    );
    assert_eq!(ledger.checkpoint().await.unwrap().to_string().as_bytes(), &kept[..], "asked again, the same");
    let request = company.request().await;
    tokio::time::sleep(interval * 3).await;
    let later = open_note(&store.checkpoint_now().unwrap(), id.as_str());
    assert_eq!(later.checkpoint().size(), request.head().size);
}

#[tokio::test]
async fn the_kept_checkpoint_is_held_against_the_entries() {
    let company = Company::in_memory().await;
    let founded = &company.founded;
    let entries: Vec<Entry> =
        founded.store.entries_now().into_iter().map(|bytes| Entry::parse(bytes).unwrap()).collect();
    let (size, id) = (entries.len() as u64, founded.ledger.ledger_id().unwrap());
    let note = founded.ledger.checkpoint().await.unwrap().to_string();
    let with = async |entries: &[Entry], size: u64, note: &str| {
        let store = MemoryStore::from_entries(entries.to_vec()).unwrap();
        store.put_checkpoint(size, note.as_bytes().into()).await.unwrap();
        Ledger::open(store, recorder(&founded.clock)).await
    };
    with(&entries, size, &note).await.unwrap();
    let cut = with(&entries[..entries.len() - 1], size, &note).await.unwrap_err();
    assert!(
        matches!(&cut, OpenError::Checkpoint(KeptCheckpointError::Ahead { size: over, held }) if *over == size && *held == size - 1),
        "{cut:?}"
    );
    let sign = |size, root, by: &str| {
        let checkpoint = checkpoint::Checkpoint::new(id.as_str(), size, root).unwrap();
        checkpoint.sign(&key(by)).unwrap().to_string()
    };
    let root = countersign_core::merkle::EMPTY_ROOT;
    let other = with(&entries, 3, &sign(3, root, "service:recorder")).await.unwrap_err();
    assert!(matches!(other, OpenError::Checkpoint(KeptCheckpointError::Root { size: 3 })), "{other:?}");
    let stranger = sign(size, founded.ledger.current().root(), "stranger");
    let stranger = with(&entries, size, &stranger).await.unwrap_err();
    assert!(matches!(stranger, OpenError::Checkpoint(KeptCheckpointError::Open(_))), "{stranger:?}");
    let garbage = with(&entries, size, "garbage").await.unwrap_err();
    assert!(matches!(garbage, OpenError::Checkpoint(KeptCheckpointError::Note(_))), "{garbage:?}");
    // A follower holds it against them too.
    let store = MemoryStore::from_entries(entries[..3].to_vec()).unwrap();
    store.put_checkpoint(size, note.as_bytes().into()).await.unwrap();
    assert!(matches!(Ledger::follow(store).await, Err(OpenError::Checkpoint(_))));
}

#[tokio::test]
async fn an_empty_ledger_has_no_checkpoint_and_takes_a_genesis_only() {
    let clock = ManualClock::new(start());
    let ledger = Ledger::open(MemoryStore::new(), recorder(&clock)).await.unwrap();
    assert!(matches!(ledger.checkpoint().await, Err(CheckpointError::Empty)));
    assert_eq!((ledger.head(), ledger.ledger_id()), (Head::EMPTY, None));
    assert!(!check(&ledger, |check| check).unwrap().is_allowed());
    let (genesis, authors) = genesis("acme", &clock);
    let early = authors[0].state(LedgerFrozen { reason: text("early") }).sign().unwrap();
    assert!(ledger.submit(early).await.is_err());
    let receipt = ledger.submit(genesis).await.unwrap();
    assert_eq!((receipt.seq, ledger.head()), (0, receipt.head()));
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn the_enforcer_grants_what_is_approved_and_nothing_else() {
    let company = Company::in_memory().await;
    let ledger = &company.founded.ledger;
    // Approved before anybody is there to grant.
    let early = company.request().await;
    company.approve(early.statement).await;
    let enforcer = Enforcer::attach(ledger, company.iam.clone());
    let late = company.request().await;
    let left = company.request().await;
    let approval = company.approve(late.statement).await;
    let denied = company.request().await;
    let view = ledger.current();
    let denial = AccessDenied {
        capacity: Capacity::BusinessOwner,
        clause: view.state().clause_of_request(&denied.statement, start()).unwrap(),
        reason: text("not this year"),
        request: denied.statement,
    };
    let denial = ledger.submit(company.olga.state(denial).seen(view.head()).sign().unwrap()).await.unwrap();
    enforcer.dealt_with(approval.head().size.max(denial.head().size)).await.unwrap();
    assert_eq!((enforcer.granted(), enforcer.refused()), (2, 0), "{:?}", enforcer.last_refusal());
    let grants = ledger.current().state().grants(start());
    assert_eq!(grants.len(), 2);
    let open: Vec<_> =
        ledger.current().state().requests(start()).into_iter().map(|request| request.request).collect();
    assert_eq!(open, [left.statement]);
    assert!(check(ledger, |check| check).unwrap().is_allowed());
    enforcer.stop().await;
    // After that nobody grants.
    company.approve(left.statement).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(ledger.current().state().grants(start()).len(), 2);
}

#[tokio::test]
async fn an_enforcer_without_the_capacity_is_refused_like_anyone() {
    let company = Company::in_memory().await;
    let ledger = &company.founded.ledger;
    let enforcer = Enforcer::attach(ledger, company.bot.clone());
    let request = company.request().await;
    let approval = company.approve(request.statement).await;
    enforcer.dealt_with(approval.head().size).await.unwrap();
    assert_eq!((enforcer.granted(), enforcer.refused()), (0, 1));
    let (refused, refusal) = enforcer.last_refusal().unwrap();
    assert_eq!((refused, refusal.code), (request.statement, RefusalCode::NoAuthority));
    ledger.close().await.unwrap();
    // It ends with the ledger.
    assert!(enforcer.dealt_with(u64::MAX).await.is_err());
}

#[tokio::test]
async fn an_enforcer_does_not_grant_again_what_is_on_its_way() {
    let told = Told::new();
    let company = Company::in_store(told.clone(), |recorder| recorder).await;
    let ledger = company.founded.ledger.clone();
    let enforcer = Enforcer::attach(&ledger, company.iam.clone());
    let first = company.request().await;
    let approval = company.approve(first.statement).await;
    enforcer.dealt_with(approval.head().size).await.unwrap();
    let grant = ledger.current().state().grants(start())[0].grant;
    let second = company.request().await;
    // Both make the second request worth a look, the revocation since it could have stood in its way, and both come at once.
    let revoked = AccessRevoked { grant, reason: text("no longer needed") };
    let statements = [company.approval(second.statement), company.olga.state(revoked).sign().unwrap()];
    told.hold();
    let appends = told.appends();
    let spawn = |signed| {
        let ledger = ledger.clone();
        tokio::spawn(async move { ledger.submit(signed).await.unwrap() })
    };
    let blocker = spawn(company.alice.state(ask()).sign().unwrap());
    while told.appends() == appends {
        tokio::task::yield_now().await;
    }
    let tasks = statements.map(spawn);
    tokio::time::sleep(Duration::from_millis(100)).await;
    told.release();
    blocker.await.unwrap();
    for task in tasks {
        let receipt = task.await.unwrap();
        enforcer.dealt_with(receipt.head().size).await.unwrap();
    }
    assert_eq!((enforcer.granted(), enforcer.refused()), (2, 0), "{:?}", enforcer.last_refusal());
}

#[tokio::test(start_paused = true)]
async fn an_enforcer_grants_once_though_the_store_loses_replies() {
    let told = Told::new();
    let company = Company::in_store(told.clone(), |recorder| recorder).await;
    let ledger = &company.founded.ledger;
    let request = company.request().await;
    company.approve(request.statement).await;
    let mut acts = vec![Act::UnknownStored];
    acts.extend([Act::UnknownLost; 6]);
    told.act(&acts);
    let enforcer = Enforcer::attach(ledger, company.iam.clone());
    while enforcer.granted() == 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(ledger.current().state().grants(start()).len(), 1);
    assert_recorded(told.kept(), &[]).await;
}

#[tokio::test]
async fn a_key_that_is_no_longer_the_recorders_signs_no_checkpoint() {
    let founded = Founded::in_memory().await.unwrap();
    let [ada, ben] = &founded.governors;
    let successor = Author::new(
        founded.recorder.principal().clone(),
        key("the next recorder"),
        founded.ledger.ledger_id().unwrap(),
    );
    let charter = Charter {
        governors: [(ada, "ada"), (ben, "ben")]
            .into_iter()
            .map(|(author, name)| KeyHolder {
                key: author.key_bytes(),
                person: countersign_core::id::Person::new(&format!("person:{name}")).unwrap(),
                principal: author.principal().clone(),
            })
            .collect(),
        quorum: 2,
        recorder: RecorderKey {
            controllers: [countersign_core::id::Person::new("person:olga").unwrap()]
                .into_iter()
                .collect::<Set<_>>(),
            key: successor.key_bytes(),
            principal: successor.principal().clone(),
        },
        recovery: None,
    };
    let amended = CharterAmended { charter, reason: text("a new machine") };
    let signed = ada.state(amended).cosigned_by([ben]).proved_by([&successor]).sign().unwrap();
    founded.ledger.submit(signed).await.unwrap();
    let error = founded.ledger.checkpoint().await.unwrap_err();
    assert!(matches!(error, CheckpointError::NotTheRecorder { .. }), "{error:?}");
    let frozen = ada.state(LedgerFrozen { reason: text("it still sequences") }).sign().unwrap();
    founded.ledger.submit(frozen).await.unwrap();
    let old = Ledger::open(founded.store.clone(), recorder(&founded.clock)).await.unwrap_err();
    assert!(matches!(old, OpenError::NotTheRecorder { .. }), "{old:?}");
    let next = Recorder::new(key("the next recorder")).accepting(Durability::Volatile);
    let next = Ledger::open(founded.store.clone(), next.clock(founded.clock.clone())).await.unwrap();
    next.checkpoint().await.unwrap();
}
