//! A generated company whose statements are real ones, judged and folded; only their signatures are taken on trust, through
//! a door that exists for benches alone.

pub(crate) mod clock;

use std::collections::HashMap;
use std::path::Path as FilePath;

use countersign_core::digest::{StatementDigest, sha256};
use countersign_core::entry::Entry;
use countersign_core::event::*;
use countersign_core::id::*;
use countersign_core::key::Signature;
use countersign_core::policy::*;
use countersign_core::statement::{Seen, SignaturePart, Statement, VerifiedStatement, Version};
use countersign_core::time::{Seconds, Timestamp};
use countersign_core::wire::{KeyBytes, Sorted, Text};
use countersign_projection::governance::{State, judge};
use countersign_projection::projection::Projection as _;

/// Grants that a subject holds.
pub(crate) const GRANTS_PER_SUBJECT: usize = 10;
/// Grants on a resource.
pub(crate) const GRANTS_PER_RESOURCE: usize = 100;
/// Who approves.
pub(crate) const OWNERS: usize = 100;
/// The role that everybody holds.
pub(crate) const ROLE: &str = "reader";

pub(crate) fn principal(name: &str) -> Principal {
    Principal::new(name).expect("a principal")
}

fn person(name: &str) -> Person {
    Person::new(&format!("person:{name}")).expect("a person")
}

pub(crate) fn thing(no: usize) -> Resource {
    Resource::new(&format!("team:acme/unit-{}/team-{no}", no % 97)).expect("a resource")
}

pub(crate) fn role() -> Role {
    Role::new(ROLE).expect("a role")
}

fn text() -> Text {
    Text::new("for the work").expect("a text")
}

/// A public key that nobody holds: signatures are taken on trust here.
fn key(name: &str) -> KeyBytes {
    KeyBytes(sha256(&[name.as_bytes()]))
}

/// How many subjects and resources there are for so many grants.
pub(crate) fn sizes(grants: usize) -> (usize, usize) {
    ((grants / GRANTS_PER_SUBJECT).max(1), (grants / GRANTS_PER_RESOURCE).max(1))
}

/// Subject and resource of grant number `no`.
pub(crate) fn entitlement(no: usize, grants: usize) -> (usize, usize) {
    let (subjects, resources) = sizes(grants);
    (no % subjects, (no / subjects * 37 + no) % resources)
}

/// The company so far.
pub(crate) struct Probe {
    pub(crate) state: State,
    pub(crate) now: Timestamp,
    /// Statements so far.
    pub(crate) said: usize,
    /// Where entries are kept as they are said, if they are.
    pub(crate) log: Option<Vec<Entry>>,
    pub(crate) last_request: Option<StatementDigest>,
    /// The active grants, each with its subject and resource beside.
    pub(crate) grants: Vec<StatementDigest>,
    pub(crate) held: Vec<(usize, usize)>,
    serials: HashMap<String, u64>,
    role: Role,
}

impl Probe {
    pub(crate) fn open() -> Self {
        let holder = |name: &str| KeyHolder {
            key: key(&format!("user:{name}")),
            person: person(name),
            principal: principal(&format!("user:{name}")),
        };
        let mut probe = Self {
            state: State::new(),
            now: "2026-01-05T09:00:00.000Z".parse().expect("an instant"),
            said: 0,
            serials: HashMap::new(),
            log: None,
            role: role(),
            last_request: None,
            grants: Vec::new(),
            held: Vec::new(),
        };
        let governors: Sorted<KeyHolder> = ["gov-a", "gov-b"].map(holder).into_iter().collect();
        probe.say(
            "user:gov-a",
            &["service:recorder", "user:gov-b"],
            LedgerOpened {
                governors,
                name: LedgerName::new("probe").expect("a name"),
                quorum: 2,
                recorder: RecorderKey {
                    controllers: [person("ops")].into_iter().collect(),
                    key: key("service:recorder"),
                    principal: principal("service:recorder"),
                },
                recovery: None,
                rules: 1,
                suite: Suite,
            },
        );
        probe
    }

    /// A company of so many grants, ready to hold them: everybody is enrolled, every resource registered, a policy published.
    pub(crate) fn ready(grants: usize) -> Self {
        let (subjects, resources) = sizes(grants);
        let mut probe = Self::open();
        probe.register(subjects);
        probe.enrol(subjects);
        probe.resources(resources);
        probe.publish();
        probe
    }

    /// Goes on with a state that [`Self::save`] wrote.
    pub(crate) fn load(file: &FilePath) -> Self {
        let bytes = std::fs::read(file).expect("a readable file");
        let state = State::decode(&bytes).expect("a state of this version");
        let mut probe = Self { now: state.recorded_at(), state, said: 0, ..Self::open() };
        for grant in probe.state.grants(probe.now) {
            let number = |name: &str| name.rsplit_once('-').and_then(|(_, no)| no.parse().ok());
            let subject = number(grant.subject.as_str()).expect("a generated name");
            let resource = number(grant.resource.as_str()).expect("a generated name");
            probe.held.push((subject, resource));
            probe.grants.push(grant.grant);
        }
        probe.serials.clear();
        probe
    }

    /// Writes the state, for [`Self::load`].
    pub(crate) fn save(&self, file: &FilePath) {
        std::fs::write(file, self.state.to_snapshot()).expect("a writable file");
    }

    /// Requests, approves and grants grant number `no` of `grants`.
    pub(crate) fn grant(&mut self, no: usize, grants: usize) {
        let (subject, resource) = entitlement(no, grants);
        self.request(subject, resource);
        self.decide(subject, resource);
    }

    /// Revokes a grant, and grants the same again: four statements.
    pub(crate) fn renew(&mut self, no: usize) {
        self.revoke(no);
        let (subject, resource) = self.held[no];
        self.request(subject, resource);
        self.decide_as(no);
    }

    fn say(&mut self, author: &str, cosigners: &[&str], event: impl Into<Event>) -> StatementDigest {
        let event = event.into();
        let ledger = match &event {
            Event::LedgerOpened(event) => LedgerRef::Name(event.name.clone()),
            _ => LedgerRef::Id(self.state.ledger_id().expect("a ledger").clone()),
        };
        let head = self.state.head();
        let serial = match self.serials.get_mut(author) {
            Some(serial) => serial,
            None => {
                let known = self.state.principal(&principal(author));
                let used = known.and_then(|known| known.keys.first()?.highest_serial);
                self.serials.entry(author.to_owned()).or_insert(used.unwrap_or(0))
            }
        };
        *serial += 1;
        let mut signers: Vec<_> = [author]
            .iter()
            .chain(cosigners)
            .map(|name| key(name).key_id())
            .chain(event.new_keys().iter().map(|key| key.key_id()))
            .collect();
        signers.sort_unstable();
        signers.dedup();
        let statement = Statement {
            author: principal(author),
            cosigners: cosigners.iter().map(|name| principal(name)).collect(),
            issued_at: self.now,
            key: key(author).key_id(),
            ledger,
            seen: (head.size > 0).then_some(Seen { leaf: head.leaf, size: head.size }),
            serial: *serial,
            v: Version,
            event,
        };
        let parts = signers.into_iter().map(|keyid| SignaturePart { keyid, sig: Signature::new([0; 64]) });
        let signed = statement.assemble(parts.collect()).expect("a statement within limits");
        let digest = signed.digest();
        let judged = judge(&self.state, &VerifiedStatement::assume_verified(signed), self.now)
            .unwrap_or_else(|refusal| panic!("{author}: {refusal}"))
            .seal()
            .expect("an entry within limits");
        self.state.fold(&judged);
        if let Some(log) = &mut self.log {
            log.push(judged.entry().clone());
        }
        self.said += 1;
        digest
    }

    fn register_one(&mut self, name: &str, kind: PrincipalKind, of: &str) {
        let human = kind == PrincipalKind::Human;
        let event = PrincipalRegistered {
            controllers: (!human).then(|| person(of)).into_iter().collect(),
            kind,
            person: human.then(|| person(of)),
            principal: principal(name),
        };
        self.say("user:gov-a", &["user:gov-b"], event);
    }

    fn enrol_one(&mut self, name: &str) {
        let event = KeyEnrolled { enrolment: Enrolment::First, key: key(name), principal: principal(name) };
        self.say("user:gov-a", &["user:gov-b"], event);
    }

    pub(crate) fn register(&mut self, subjects: usize) {
        for no in 0..subjects {
            self.register_one(&format!("user:subject-{no}"), PrincipalKind::Human, &format!("subject-{no}"));
        }
    }

    pub(crate) fn enrol(&mut self, subjects: usize) {
        for no in 0..subjects {
            self.enrol_one(&format!("user:subject-{no}"));
        }
    }

    fn assign(&mut self, capacity: Capacity, holder: &str) {
        let event = CapacityAssigned {
            capacity,
            from: None,
            holder: principal(holder),
            scope: Scope::everything(),
            until: None,
        };
        self.say("user:gov-a", &["user:gov-b"], event);
    }

    pub(crate) fn resources(&mut self, resources: usize) {
        for no in 0..resources {
            let event = ResourceRegistered {
                environment: None,
                governed_by: None,
                process: None,
                resource: thing(no),
                tier: Tier::Medium,
            };
            self.say("user:gov-a", &["user:gov-b"], event);
        }
        self.register_one("service:iam", PrincipalKind::Automation, "ops");
        self.enrol_one("service:iam");
        self.assign(Capacity::IamEnforcer, "service:iam");
        for no in 0..OWNERS {
            let name = format!("user:owner-{no}");
            self.register_one(&name, PrincipalKind::Human, &format!("owner-{no}"));
            self.enrol_one(&name);
            self.assign(Capacity::BusinessOwner, &name);
        }
    }

    pub(crate) fn publish(&mut self) {
        let document = PolicyDocument {
            classes: Sorted::default(),
            custom: Sorted::default(),
            exceptions: Vec::new(),
            paths: vec![PathRule {
                applies: None,
                cascade: std::iter::empty().collect(),
                distinct_persons: true,
                max_seconds: None,
                name: Label::new("default").expect("a label"),
                path: Path::Capacity(Capacity::BusinessOwner),
            }],
            sod: Sorted::default(),
            summary: None,
            tiers: [TierRule {
                max_seconds: Seconds::new(86_400 * 90).expect("seconds"),
                tier: Tier::Medium,
            }]
            .into_iter()
            .collect(),
            windows: None,
        };
        let event = PolicyPublished {
            document,
            from: None,
            name: Label::new("main").expect("a label"),
            scope: Scope::everything(),
        };
        self.say("user:gov-a", &["user:gov-b"], event);
    }

    pub(crate) fn request(&mut self, subject: usize, resource: usize) {
        let name = format!("user:subject-{subject}");
        let event = AccessRequested {
            ends_on: std::iter::empty().collect(),
            expires: None,
            hold: Hold::Seconds(Seconds::new(86_400 * 90).expect("seconds")),
            need: text(),
            purpose: Process::new("work").expect("a process"),
            replaces: None,
            resource: thing(resource),
            role: self.role.clone(),
            subject: principal(&name),
            tier: Tier::Medium,
        };
        self.last_request = Some(self.say(&name, &[], event));
    }

    fn approve_and_grant(&mut self, request: StatementDigest) -> StatementDigest {
        let clause = self.state.clause_of_request(&request, self.now).expect("a clause");
        let owner = format!("user:owner-{}", self.said % OWNERS);
        let event = AccessApproved {
            capacity: Capacity::BusinessOwner,
            clause,
            need: text(),
            request,
            seconds: None,
        };
        self.say(&owner, &[], event);
        let proposed = self.state.propose_grant(&request, self.now).expect("ready to grant");
        self.say("service:iam", &[], proposed)
    }

    /// Grants the last request.
    pub(crate) fn decide(&mut self, subject: usize, resource: usize) {
        let request = self.last_request.take().expect("a request is open");
        let grant = self.approve_and_grant(request);
        self.grants.push(grant);
        self.held.push((subject, resource));
    }

    /// Grants the last request, in place of the grant with this number.
    pub(crate) fn decide_as(&mut self, no: usize) {
        let request = self.last_request.take().expect("a request is open");
        let grant = self.approve_and_grant(request);
        self.grants[no] = grant;
    }

    pub(crate) fn revoke(&mut self, no: usize) {
        let event = AccessRevoked { grant: self.grants[no], reason: text() };
        self.say("service:iam", &[], event);
    }
}
