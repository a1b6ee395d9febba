//! What tests of services need: a clock moved by hand, keys derived from names, and a ledger in memory with its first principals.
//!
//! Nothing here is for a ledger that counts: anyone can derive the same keys.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use countersign_core::digest::sha256;
use countersign_core::event::{
    Capacity, CapacityAssigned, Enrolment, Event, KeyEnrolled, KeyHolder, LedgerOpened, PolicyPublished,
    PrincipalKind, PrincipalRegistered, RecorderKey, ResourceRegistered, Scope, Suite, Tier,
};
use countersign_core::id::{Label, LedgerName, Person, Principal, Resource};
use countersign_core::key::SecretKey;
use countersign_core::policy::{Path, PathRule, PolicyDocument, TierRule};
use countersign_core::statement::SignedStatement;
use countersign_core::time::{Seconds, Timestamp};
use countersign_store::{Durability, MemoryStore, Store};

use crate::{Author, Clock, Ledger, OpenError, Receipt, Recorder, SubmitError};

/// A clock that stands still until it is moved. A clone is another handle to it.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Mutex<(Timestamp, Duration)>>);

impl ManualClock {
    /// A clock that says `wall`.
    #[must_use]
    pub fn new(wall: Timestamp) -> Self {
        Self(Arc::new(Mutex::new((wall, Duration::ZERO))))
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        self.with(|(wall, monotonic)| {
            let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
            *wall =
                wall.millis().checked_add(millis).and_then(Timestamp::from_millis).unwrap_or(Timestamp::MAX);
            *monotonic += by;
        });
    }

    /// Lets time pass until `wall`; does nothing where that is past.
    pub fn advance_to(&self, wall: Timestamp) {
        let now = self.wall();
        self.advance(Duration::from_millis(wall.millis().saturating_sub(now.millis())));
    }

    /// Sets the wall clock, as an administrator or a time server does, while no time passes.
    pub fn step_to(&self, wall: Timestamp) {
        self.with(|(now, _)| *now = wall);
    }

    fn with<T>(&self, change: impl FnOnce(&mut (Timestamp, Duration)) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Clock for ManualClock {
    fn wall(&self) -> Timestamp {
        self.with(|(wall, _)| *wall)
    }

    fn monotonic(&self) -> Duration {
        self.with(|(_, monotonic)| *monotonic)
    }
}

/// The key that belongs to a name in tests.
#[must_use]
pub fn key(name: &str) -> SecretKey {
    SecretKey::from_seed(&sha256(&[b"countersign/testing\0", name.as_bytes()]))
}

/// A ledger just founded: two governors of whom both must sign, and nothing else.
#[derive(Debug, Clone)]
pub struct Founded<S: Store = MemoryStore> {
    /// The ledger.
    pub ledger: Ledger<S>,
    /// Its store, for another handle.
    pub store: S,
    /// The clock of ledger and authors.
    pub clock: ManualClock,
    /// `user:ada` and `user:ben`.
    pub governors: [Author; 2],
    /// `service:recorder`.
    pub recorder: Author,
}

impl Founded {
    /// Founds a ledger in a new memory store, at `2026-01-05T09:00:00.000Z`.
    ///
    /// # Errors
    /// [`OpenError`] never, unless something is wrong with the crates themselves.
    pub async fn in_memory() -> Result<Self, OpenError> {
        let nine = Timestamp::from_millis(1_767_603_600_000).expect("before the year 10000");
        Self::found(MemoryStore::new(), ManualClock::new(nine), |recorder| recorder).await
    }
}

impl<S: Store + Clone> Founded<S> {
    /// Founds a ledger in `store`, recorded as `with` says on top of accepting any store and signing checkpoints only when asked.
    ///
    /// # Errors
    /// [`OpenError`] as [`Ledger::create`].
    pub async fn found(
        store: S,
        clock: ManualClock,
        with: impl FnOnce(Recorder) -> Recorder,
    ) -> Result<Self, OpenError> {
        let (genesis, authors) = genesis("acme", &clock);
        let recorder = with(recorder(&clock));
        let (ledger, _) = Ledger::create(store.clone(), recorder, genesis).await?;
        let id = ledger.ledger_id().expect("genesis was recorded");
        let [ada, ben, recorder] = authors.map(|author| author.joined(id.clone()));
        Ok(Self { ledger, store, clock, governors: [ada, ben], recorder })
    }

    /// Submits what the first governor states and the second cosigns.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn govern(&self, event: impl Into<Event> + Send) -> Result<Receipt, SubmitError> {
        let [ada, ben] = &self.governors;
        self.ledger.submit(ada.state(event).cosigned_by([ben]).sign().expect("keys in memory sign")).await
    }

    /// Registers a principal and enrols its first key. A human is of the person of its own name; anything else is controlled
    /// by the person of Olga.
    ///
    /// # Errors
    /// [`SubmitError`], such as once the first policy is published: then a registrar has to do it.
    pub async fn enrol(&self, name: &str) -> Result<Author, SubmitError> {
        let principal = Principal::new(name).expect("a name of the test");
        let (kind, short) = name.split_once(':').expect("principals have a kind");
        let is_human = kind == "user";
        let author = Author::new(principal.clone(), key(name), self.ledger.ledger_id().expect("founded"))
            .clock(self.clock.clone());
        let registered = PrincipalRegistered {
            controllers: (!is_human).then(|| person("olga")).into_iter().collect(),
            kind: if is_human { PrincipalKind::Human } else { PrincipalKind::Automation },
            person: is_human.then(|| person(short)),
            principal: principal.clone(),
        };
        self.govern(registered).await?;
        let enrolled = KeyEnrolled { enrolment: Enrolment::First, key: author.key_bytes(), principal };
        let [ada, ben] = &self.governors;
        let signed = ada.state(enrolled).cosigned_by([ben]).proved_by([&author]).sign();
        let receipt = self.ledger.submit(signed.expect("keys in memory sign")).await?;
        author.observe(receipt.head());
        Ok(author)
    }

    /// Assigns a capacity over everything.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn assign(&self, capacity: Capacity, holder: &Author) -> Result<Receipt, SubmitError> {
        let holder = holder.principal().clone();
        self.govern(CapacityAssigned {
            capacity,
            from: None,
            holder,
            scope: Scope::everything(),
            until: None,
        })
        .await
    }

    /// Registers a resource of medium tier and publishes a policy for everything: an approval by a business owner is enough, for a day
    /// at most. From then on governors enrol nobody.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn let_owners_decide(&self, resource: &str) -> Result<Receipt, SubmitError> {
        self.govern(ResourceRegistered {
            environment: None,
            governed_by: None,
            process: None,
            resource: Resource::new(resource).expect("a name of the test"),
            tier: Tier::Medium,
        })
        .await?;
        let name = |name| Label::new(name).expect("a label");
        let day = Seconds::new(86_400).expect("a day");
        self.govern(PolicyPublished {
            document: PolicyDocument {
                classes: Default::default(),
                custom: Default::default(),
                exceptions: Vec::new(),
                paths: vec![PathRule {
                    applies: None,
                    cascade: Default::default(),
                    distinct_persons: true,
                    max_seconds: None,
                    name: name("default"),
                    path: Path::Capacity(Capacity::BusinessOwner),
                }],
                sod: Default::default(),
                summary: None,
                tiers: [TierRule { max_seconds: day, tier: Tier::Medium }].into_iter().collect(),
                windows: None,
            },
            from: None,
            name: name("main"),
            scope: Scope::everything(),
        })
        .await
    }
}

/// The recorder of founded ledgers: accepts any store, and signs checkpoints only when asked.
#[must_use]
pub fn recorder(clock: &ManualClock) -> Recorder {
    Recorder::new(key("service:recorder"))
        .clock(clock.clone())
        .accepting(Durability::Volatile)
        .checkpoint_interval(None)
}

/// The genesis of founded ledgers under a name, with governors Ada and Ben and the recorder, before they have joined.
#[must_use]
pub fn genesis(name: &str, clock: &ManualClock) -> (SignedStatement, [Author; 3]) {
    let name = LedgerName::new(name).expect("a name of the test");
    let authors = ["user:ada", "user:ben", "service:recorder"].map(|principal| {
        let named = Principal::new(principal).expect("a valid name");
        Author::founding(named, key(principal), name.clone()).clock(clock.clone())
    });
    let [ada, ben, recorder] = &authors;
    let holder = |author: &Author, name: &str| KeyHolder {
        key: author.key_bytes(),
        person: person(name),
        principal: author.principal().clone(),
    };
    let opened = LedgerOpened {
        governors: [holder(ada, "ada"), holder(ben, "ben")].into_iter().collect(),
        name,
        quorum: 2,
        recorder: RecorderKey {
            controllers: [person("olga")].into_iter().collect(),
            key: recorder.key_bytes(),
            principal: recorder.principal().clone(),
        },
        recovery: None,
        rules: 1,
        suite: Suite,
    };
    let signed = ada.state(opened).cosigned_by([ben, recorder]).sign().expect("keys in memory sign");
    (signed, authors)
}

fn person(name: &str) -> Person {
    Person::new(&format!("person:{name}")).expect("a name of the test")
}
