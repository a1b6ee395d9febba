//! A small ledger in memory, of fictional people, whose keys anyone can derive.

use std::collections::BTreeMap;

use countersign_core::digest::{StatementDigest, sha256};
use countersign_core::entry::{Entry, Head};
use countersign_core::event::{
    AccessApproved, AccessRequested, AccessRevoked, Capacity, CapacityAssigned, CapacityWithdrawn,
    ClassException, Enrolment, Event, ExceptionGranted, ExceptionOf, Hold, KeyEnrolled, KeyHolder,
    LedgerOpened, PolicyPublished, PrincipalDeparted, PrincipalKind, PrincipalRegistered, RecorderKey,
    ResourceRegistered, Scope, Suite, Tier,
};
use countersign_core::id::{LedgerName, LedgerRef, Pattern, Person, Principal, Resource, Role};
use countersign_core::key::{SecretKey, SignerKey as _};
use countersign_core::policy::{
    Cascade, CustomRule, MissedReview, Path, PathRule, PolicyDocument, StandingClass, TierRule,
};
use countersign_core::statement::{Seen, Statement, Version};
use countersign_core::time::{Seconds, Timestamp};
use countersign_core::wire::{KeyBytes, Set, Sorted, Text};

use crate::governance::{Refusal, State, judge};
use crate::runner::Runner;

/// A small ledger in memory, to test projections on: fictional people, keys derived from their names, a clock that stands still
/// until it is told to pass.
///
/// The cast: governors `user:governor-a` and `user:governor-b`, `service:recorder`, `user:registrar`, `user:policy-owner`,
/// `user:exception-approver`, `automation:enforcer`, and the business owners `user:owner-a` of `app:billing` and
/// `user:owner-b` of `app:payroll`. The subjects are `user:worker-a` to `user:worker-d`. One approval of a business
/// owner is enough, and a grant ends with the capacity that it was approved in; the class `standing` ends at its review date.
///
/// Nothing here is secret, and nothing signed here is worth anything elsewhere.
#[derive(Debug, Clone)]
pub struct Playground {
    runner: Runner<()>,
    entries: Vec<Entry>,
    serials: BTreeMap<Principal, u64>,
    policy: Option<StatementDigest>,
    assignments: BTreeMap<Principal, StatementDigest>,
    now: Timestamp,
}

const GOVERNORS: [&str; 2] = ["user:governor-a", "user:governor-b"];
const RECORDER: &str = "service:recorder";
const ENFORCER: &str = "automation:enforcer";
const DAY: u64 = 86_400;

impl Playground {
    /// A ledger with cast, resources and policy, where nothing was requested yet.
    ///
    /// # Panics
    /// Never, on a build whose rules admit what they should.
    #[must_use]
    pub fn new() -> Self {
        let mut ledger = Self {
            runner: Runner::new(),
            entries: Vec::new(),
            serials: BTreeMap::new(),
            policy: None,
            assignments: BTreeMap::new(),
            now: "2026-01-05T09:00:00.000Z".parse().expect("an instant"),
        };
        ledger.open().expect("the rules admit the ledger that this module describes");
        ledger
    }

    /// A ledger with some months of history: grants that are held, that ran out, and that ended for every common cause.
    ///
    /// # Panics
    /// Never, on a build whose rules admit what they should.
    #[must_use]
    pub fn small() -> Self {
        let mut ledger = Self::new();
        ledger.live().expect("the rules admit the history that this module describes");
        ledger
    }

    /// The entries so far.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The governance state after them.
    #[must_use]
    pub const fn state(&self) -> &State {
        self.runner.state()
    }

    /// The head after them.
    #[must_use]
    pub fn head(&self) -> Head {
        self.runner.head()
    }

    /// The time at which the next statement is recorded.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Lets time pass.
    pub fn pass(&mut self, seconds: u64) {
        self.now = self.now.saturating_plus_seconds(seconds);
    }

    /// The key of a principal, derived from its name.
    ///
    /// # Panics
    /// If `principal` is not the name of one.
    #[must_use]
    pub fn key(principal: &str) -> SecretKey {
        SecretKey::from_seed(&sha256(&[b"countersign/playground/v1\0", name(principal).as_str().as_bytes()]))
    }

    /// The recorder's key, which signs snapshots and checkpoints.
    #[must_use]
    pub fn recorder_key() -> SecretKey {
        Self::key(RECORDER)
    }

    /// A hold of so many seconds, as requests ask for.
    ///
    /// # Panics
    /// If `seconds` is 0, or above 2^53-1.
    #[must_use]
    pub fn hold(seconds: u64) -> Hold {
        Hold::Seconds(self::seconds(seconds))
    }

    /// Signs, judges and records a statement. New keys in the event prove possession; without cosigners it says what was seen.
    ///
    /// # Errors
    /// Where the rules refuse it; nothing was recorded.
    ///
    /// # Panics
    /// If a name is not that of a principal, or the statement is too long to be one.
    pub fn submit(
        &mut self,
        author: &str,
        cosigners: &[&str],
        event: impl Into<Event>,
    ) -> Result<StatementDigest, Refusal> {
        self.submit_with(author, cosigners, event.into(), &[])
    }

    /// Registers a person with a principal and a first key, if he is new.
    ///
    /// # Errors
    /// Where the rules refuse it.
    pub fn register(&mut self, principal: &str) -> Result<(), Refusal> {
        let kind =
            if principal.starts_with("user:") { PrincipalKind::Human } else { PrincipalKind::Automation };
        let person = |who: &str| Person::new(&format!("person:{who}")).expect("a name without odd letters");
        let (controllers, own) = match principal.split_once(':') {
            Some(("user", who)) => (Set::default(), Some(person(who))),
            _ => ([person("operator")].into_iter().collect(), None),
        };
        let registered = PrincipalRegistered { controllers, kind, person: own, principal: name(principal) };
        self.administer(registered, &[])?;
        let key = Self::key(principal);
        let enrolled =
            KeyEnrolled { enrolment: Enrolment::First, key: key_bytes(&key), principal: name(principal) };
        self.administer(enrolled, &[key]).map(|_| ())
    }

    /// A request by its own subject.
    ///
    /// # Errors
    /// Where the rules refuse it.
    ///
    /// # Panics
    /// If a name is of another form.
    pub fn request(
        &mut self,
        subject: &str,
        resource: &str,
        role: &str,
        hold: Hold,
        replaces: Option<StatementDigest>,
    ) -> Result<StatementDigest, Refusal> {
        let event = AccessRequested {
            ends_on: Set::default(),
            expires: None,
            hold,
            need: text("month-end closing"),
            purpose: "month-end".parse().expect("a process"),
            replaces,
            resource: resource.parse().expect("a resource"),
            role: role.parse().expect("a role"),
            subject: name(subject),
            tier: Tier::Low,
        };
        self.submit(subject, &[], event)
    }

    /// A business owner's approval of a request.
    ///
    /// # Errors
    /// Where the rules refuse it.
    ///
    /// # Panics
    /// If there is no such request.
    pub fn approve(&mut self, owner: &str, request: StatementDigest) -> Result<StatementDigest, Refusal> {
        let (resource, role) = self.asked(request);
        let clause = self.state().clause(&resource, &role, self.now)?.digest();
        let (capacity, need) = (Capacity::BusinessOwner, text("needed for the closing"));
        self.submit(owner, &[], AccessApproved { capacity, clause, need, request, seconds: None })
    }

    /// The enforcer's grant of a request that is fully approved. Its digest names the grant.
    ///
    /// # Errors
    /// Where the rules refuse it.
    pub fn grant(&mut self, request: StatementDigest) -> Result<StatementDigest, Refusal> {
        let event = self.state().propose_grant(&request, self.now)?;
        self.submit(ENFORCER, &[], event)
    }

    /// Request, approval by the resource's owner and grant, for so many seconds.
    ///
    /// # Errors
    /// Where the rules refuse one of them.
    ///
    /// # Panics
    /// If a name is of another form, or `seconds` is 0.
    pub fn give(
        &mut self,
        subject: &str,
        resource: &str,
        role: &str,
        seconds: u64,
    ) -> Result<StatementDigest, Refusal> {
        let request = self.request(subject, resource, role, Self::hold(seconds), None)?;
        self.approve(owner_of(resource), request)?;
        self.grant(request)
    }

    /// The subject gives a grant back.
    ///
    /// # Errors
    /// Where the rules refuse it.
    pub fn revoke(&mut self, subject: &str, grant: StatementDigest) -> Result<StatementDigest, Refusal> {
        self.submit(subject, &[], AccessRevoked { grant, reason: text("no longer needed") })
    }

    /// A principal departs.
    ///
    /// # Errors
    /// Where the rules refuse it.
    ///
    /// # Panics
    /// If the name is not that of a principal.
    pub fn depart(&mut self, principal: &str) -> Result<StatementDigest, Refusal> {
        let event = PrincipalDeparted { principal: name(principal), reason: text("left") };
        self.submit("user:registrar", &[], event)
    }

    /// An owner's capacity is withdrawn, and with it what was approved in it.
    ///
    /// # Errors
    /// Where the rules refuse it.
    ///
    /// # Panics
    /// If he is no owner.
    pub fn withdraw_owner(&mut self, owner: &str) -> Result<StatementDigest, Refusal> {
        let assignment = self.assignments[&name(owner)];
        self.submit("user:registrar", &[], CapacityWithdrawn { assignment, reason: text("moved on") })
    }

    /// Opens the class `standing`, or renews it, for so many seconds.
    ///
    /// # Errors
    /// Where the rules refuse it.
    ///
    /// # Panics
    /// Never: the playground has a policy.
    pub fn open_class(&mut self, seconds: u64) -> Result<StatementDigest, Refusal> {
        let policy = self.policy.expect("the playground has published its policy");
        let until = self.now.saturating_plus_seconds(seconds);
        let class = "standing".parse().expect("a label");
        let event = ExceptionGranted {
            covers: ExceptionOf::Class(ClassException { class, policy, until }),
            need: text("standing entitlements of the teams"),
            owner: name("user:policy-owner"),
        };
        self.submit_seen("user:exception-approver", &["user:policy-owner"], event.into(), &[])
    }

    fn open(&mut self) -> Result<(), Refusal> {
        let person = |name: &str| Person::new(&format!("person:{name}")).expect("a person");
        let holder = |principal: &str, who: &str| KeyHolder {
            key: key_bytes(&Self::key(principal)),
            person: person(who),
            principal: name(principal),
        };
        let genesis = LedgerOpened {
            governors: [holder(GOVERNORS[0], "governor-a"), holder(GOVERNORS[1], "governor-b")]
                .into_iter()
                .collect(),
            name: LedgerName::new("playground").expect("a ledger name"),
            quorum: 2,
            recorder: RecorderKey {
                controllers: [person("recorder-operator")].into_iter().collect(),
                key: key_bytes(&Self::recorder_key()),
                principal: name(RECORDER),
            },
            recovery: None,
            rules: 1,
            suite: Suite,
        };
        self.submit(GOVERNORS[0], &[GOVERNORS[1], RECORDER], genesis)?;
        let governing = [
            ("user:registrar", Capacity::Registrar),
            ("user:policy-owner", Capacity::PolicyOwner),
            ("user:exception-approver", Capacity::ExceptionApprover),
            (ENFORCER, Capacity::IamEnforcer),
        ];
        for (holder, capacity) in governing {
            self.register(holder)?;
            self.assign(holder, capacity, Scope::everything())?;
        }
        for (owner, resource) in [("user:owner-a", "app:billing"), ("user:owner-b", "app:payroll")] {
            let resource: Resource = resource.parse().expect("a resource");
            let registered = ResourceRegistered {
                environment: None,
                governed_by: None,
                process: None,
                resource: resource.clone(),
                tier: Tier::Low,
            };
            self.administer(registered, &[])?;
            self.register(owner)?;
            self.assign(owner, Capacity::BusinessOwner, Scope::of(Pattern::from(&resource)))?;
        }
        for worker in ["user:worker-a", "user:worker-b", "user:worker-c", "user:worker-d"] {
            self.register(worker)?;
        }
        let published = PolicyPublished {
            document: policy(),
            from: None,
            name: "owners".parse().expect("a label"),
            scope: Scope::everything(),
        };
        self.policy = Some(self.administer(published, &[])?);
        Ok(())
    }

    fn live(&mut self) -> Result<(), Refusal> {
        self.pass(DAY);
        self.open_class(90 * DAY)?;
        let first = self.give("user:worker-a", "app:billing", "reader", 30 * DAY)?;
        self.pass(3_600);
        self.give("user:worker-b", "app:payroll", "reader", 10 * DAY)?;
        let standing = Hold::Class("standing".parse().expect("a label"));
        let request = self.request("user:worker-c", "app:billing", "writer", standing.clone(), None)?;
        self.approve("user:owner-a", request)?;
        self.grant(request)?;
        self.pass(12 * DAY);
        // The ten days are over, and the next entry finds it.
        let request =
            self.request("user:worker-a", "app:billing", "writer", Self::hold(20 * DAY), Some(first))?;
        self.approve("user:owner-a", request)?;
        self.grant(request)?;
        self.pass(DAY);
        let short = self.give("user:worker-d", "app:payroll", "writer", 60 * DAY)?;
        self.revoke("user:worker-d", short)?;
        self.give("user:worker-d", "app:payroll", "reader", 60 * DAY)?;
        self.give("user:worker-b", "app:payroll", "reader", 60 * DAY)?;
        self.pass(30 * DAY);
        self.depart("user:worker-d")?;
        self.pass(DAY);
        self.withdraw_owner("user:owner-b")?;
        self.pass(60 * DAY);
        // The class has lapsed by now; renewed or not, what was held under it stays ended.
        self.open_class(90 * DAY)?;
        let request = self.request("user:worker-b", "app:billing", "writer", standing, None)?;
        self.approve("user:owner-a", request)?;
        self.grant(request)?;
        self.request("user:worker-a", "app:billing", "reader", Self::hold(DAY), None)?;
        Ok(())
    }

    /// Governors stand in for registrar and second person throughout: before the policy they must, and after it they may.
    fn administer(&mut self, event: impl Into<Event>, new: &[SecretKey]) -> Result<StatementDigest, Refusal> {
        let author = if self.policy.is_none() { GOVERNORS[0] } else { "user:registrar" };
        self.submit_with(author, &[GOVERNORS[1]], event.into(), new)
    }

    fn assign(&mut self, holder: &str, capacity: Capacity, scope: Scope) -> Result<(), Refusal> {
        let event = CapacityAssigned { capacity, from: None, holder: name(holder), scope, until: None };
        let assignment = self.administer(event, &[])?;
        self.assignments.insert(name(holder), assignment);
        Ok(())
    }

    fn asked(&self, request: StatementDigest) -> (Resource, Role) {
        let entry = self.entries.iter().find(|entry| entry.signed().digest() == request);
        match entry.map(|entry| &entry.statement().event) {
            Some(Event::AccessRequested(event)) => (event.resource.clone(), event.role.clone()),
            other => panic!("not a request: {other:?}"),
        }
    }

    fn submit_with(
        &mut self,
        author: &str,
        cosigners: &[&str],
        event: Event,
        new: &[SecretKey],
    ) -> Result<StatementDigest, Refusal> {
        let saw = cosigners.is_empty();
        self.record(author, cosigners, event, new, saw)
    }

    fn submit_seen(
        &mut self,
        author: &str,
        cosigners: &[&str],
        event: Event,
        new: &[SecretKey],
    ) -> Result<StatementDigest, Refusal> {
        self.record(author, cosigners, event, new, true)
    }

    fn record(
        &mut self,
        author: &str,
        cosigners: &[&str],
        event: Event,
        new: &[SecretKey],
        saw: bool,
    ) -> Result<StatementDigest, Refusal> {
        let state = self.runner.state();
        let key = Self::key(author);
        let author = name(author);
        let ledger = match (state.ledger_id(), &event) {
            (Some(id), _) => LedgerRef::Id(id.clone()),
            (None, Event::LedgerOpened(genesis)) => LedgerRef::Name(genesis.name.clone()),
            (None, other) => panic!("the first statement is genesis, not {}", other.kind()),
        };
        let head = state.head();
        let serial = self.serials.get(&author).copied().unwrap_or(0);
        let statement = Statement {
            author: author.clone(),
            cosigners: cosigners.iter().map(|cosigner| name(cosigner)).collect(),
            event,
            issued_at: self.now,
            key: key.public_key().key_id(),
            ledger,
            seen: (saw && head.size > 0).then_some(Seen { leaf: head.leaf, size: head.size }),
            serial,
            v: Version,
        };
        let mut signed = statement.sign(&key).expect("a statement of its form");
        for other in cosigners.iter().map(|cosigner| Self::key(cosigner)).chain(new.iter().cloned()) {
            signed.cosign(&other).expect("each key signs once");
        }
        let verified =
            signed.verify(|key| state.public_key(key)).expect("the cast signs with keys that are enrolled");
        let digest = verified.digest();
        let judged = judge(state, &verified, self.now)?.seal().expect("an entry of its length");
        self.runner.apply(&judged).expect("what was judged against the head follows it");
        self.entries.push(judged.entry().clone());
        self.serials.insert(author, serial + 1);
        Ok(digest)
    }
}

impl Default for Playground {
    fn default() -> Self {
        Self::new()
    }
}

fn policy() -> PolicyDocument {
    PolicyDocument {
        classes: [StandingClass {
            applies: None,
            class: "standing".parse().expect("a label"),
            missed_review: MissedReview::End,
            review_seconds: seconds(365 * DAY),
        }]
        .into_iter()
        .collect(),
        custom: [CustomRule {
            capacities: [Capacity::Registrar].into_iter().collect(),
            namespace: "example.org/notes".parse().expect("a namespace"),
        }]
        .into_iter()
        .collect(),
        exceptions: Vec::new(),
        paths: vec![PathRule {
            applies: None,
            cascade: [Cascade::Owner].into_iter().collect(),
            distinct_persons: true,
            max_seconds: None,
            name: "owner".parse().expect("a label"),
            path: Path::Capacity(Capacity::BusinessOwner),
        }],
        sod: Sorted::default(),
        summary: Some(text("The business owner of an application says who needs it.")),
        tiers: [TierRule { max_seconds: seconds(365 * DAY), tier: Tier::Low }].into_iter().collect(),
        windows: None,
    }
}

fn owner_of(resource: &str) -> &'static str {
    if resource == "app:payroll" { "user:owner-b" } else { "user:owner-a" }
}

fn name(principal: &str) -> Principal {
    principal.parse().expect("the name of a principal")
}

fn text(words: &str) -> Text {
    Text::new(words).expect("plain words")
}

fn seconds(count: u64) -> Seconds {
    Seconds::new(count).expect("more than no time")
}

fn key_bytes(key: &SecretKey) -> KeyBytes {
    KeyBytes(*key.public_key().as_bytes())
}
