//! One statement of every kind, as `tests/golden` and docs/format.md show them. Fictional people, keys from fixed seeds.
//!
//! They refer to each other as a real history would, but they are examples of bytes: nobody judged them.

use countersign_core::checkpoint::Checkpoint;
use countersign_core::digest::{Digest, StatementDigest};
use countersign_core::entry::{Entry, Head};
use countersign_core::event::*;
use countersign_core::id::*;
use countersign_core::key::{SecretKey, SignerKey as _};
use countersign_core::merkle::Tree;
use countersign_core::policy::*;
use countersign_core::statement::{Seen, SignedStatement, Statement, Version};
use countersign_core::time::{Seconds, Timestamp};
use countersign_core::wire::{KeyBytes, RawObject, Set, Sorted, Text};

/// The examples as entries of one chain, in the order of [`EventKind::ALL`], and a checkpoint over them.
pub(crate) struct Golden {
    pub(crate) entries: Vec<Entry>,
    pub(crate) checkpoint: String,
}

/// Who signs, by the seed of the key.
const GOVERNORS: [(&str, u8); 2] = [("user:dana", 1), ("user:erik", 2)];
const RECORDER: (&str, u8) = ("service:recorder", 3);
const RECOVERY: (&str, u8) = ("user:vera", 4);
const REGISTRAR: (&str, u8) = ("user:fatima", 5);
const POLICY_OWNER: (&str, u8) = ("user:goran", 6);
const ENFORCER: (&str, u8) = ("automation:enforcer", 7);
const REQUESTER: (&str, u8) = ("user:alice", 8);
const OWNER: (&str, u8) = ("user:bruno", 9);
const EXCEPTIONS: (&str, u8) = ("user:hana", 10);
const NEW_GOVERNOR: (&str, u8) = ("user:lena", 11);
/// Whose key ends; nobody else's does.
const FORMER: (&str, u8) = ("user:kim", 12);

/// Builds the examples; always the same ones.
pub(crate) fn golden() -> Golden {
    let mut chain = Chain { entries: Vec::new(), ledger: None, serials: [0; 256] };
    for kind in EventKind::ALL {
        chain.add(*kind);
    }
    let tree: Tree = chain.entries.iter().map(Entry::leaf).collect();
    let origin = chain.ledger.expect("genesis comes first").to_string();
    let checkpoint = Checkpoint::new(&origin, tree.size(), tree.root())
        .expect("a ledger id is an origin")
        .sign(&secret(RECORDER.1))
        .expect("a key in memory signs")
        .to_string();
    Golden { entries: chain.entries, checkpoint }
}

struct Chain {
    entries: Vec<Entry>,
    ledger: Option<LedgerId>,
    serials: [u64; 256],
}

impl Chain {
    fn add(&mut self, kind: EventKind) {
        let (event, signers) = self.example(kind);
        let [author, cosigners @ ..] = &signers[..] else { unreachable!("somebody signs") };
        let ledger = match &self.ledger {
            None => LedgerRef::Name(name(LedgerName::new("ledger.example/acme"))),
            Some(id) => LedgerRef::Id(id.clone()),
        };
        let decides =
            matches!(kind, EventKind::AccessApproved | EventKind::AccessDenied | EventKind::ExceptionGranted);
        let seen = self.entries.last().filter(|_| decides).map(Entry::head);
        let serial = &mut self.serials[usize::from(author.1)];
        *serial += 1;
        let recorded_at = instant(60_000 * self.entries.len() as u64);
        let new_keys: Vec<KeyBytes> = event.new_keys().into_iter().copied().collect();
        let statement = Statement {
            author: principal(author.0),
            cosigners: cosigners.iter().map(|(name, _)| principal(name)).collect(),
            event,
            issued_at: recorded_at.saturating_minus_seconds(2),
            key: secret(author.1).public_key().key_id(),
            ledger,
            seen: seen.map(|head| Seen { leaf: head.leaf, size: head.size }),
            serial: *serial,
            v: Version,
        };
        let mut signed = statement.prepare().expect("an example is well-formed");
        let mut seeds: Vec<u8> = signers.iter().map(|(_, seed)| *seed).collect();
        // New keys prove possession, whoever signs besides; a later charter names those of genesis again.
        let first_new = if kind == EventKind::LedgerOpened { 1 } else { RECOVERY.1 + 1 };
        seeds.extend((first_new..=NEW_GOVERNOR.1).filter(|seed| new_keys.contains(&public(*seed))));
        seeds.sort_unstable();
        seeds.dedup();
        for seed in seeds {
            signed.cosign(&secret(seed)).expect("a key in memory signs once");
        }
        let head = self.entries.last().map_or(Head::EMPTY, Entry::head);
        if self.ledger.is_none() {
            self.ledger = Some(LedgerId::new(&name(LedgerName::new("ledger.example/acme")), signed.digest()));
        }
        self.entries.push(Entry::seal(head, recorded_at, &signed).expect("an example is short"));
    }

    /// The digest of the first example of a kind that came before.
    fn of(&self, kind: EventKind) -> StatementDigest {
        let found = self.entries.iter().find(|entry| entry.statement().event.kind() == kind);
        found.map(|entry| entry.signed().digest()).expect("examples refer back")
    }

    /// The event of the example and who signs it, the author first.
    fn example(&self, kind: EventKind) -> (Event, Vec<(&'static str, u8)>) {
        let [dana, erik] = GOVERNORS;
        let (resource, role) = (resource("db:acme/ledger"), name(Role::new("reader")));
        match kind {
            EventKind::LedgerOpened => {
                let Charter { governors, quorum, recorder, recovery } = charter(&GOVERNORS);
                let event = LedgerOpened {
                    governors,
                    name: name(LedgerName::new("ledger.example/acme")),
                    quorum,
                    recorder,
                    recovery,
                    rules: 1,
                    suite: Suite,
                };
                (event.into(), vec![dana, erik, RECORDER, RECOVERY])
            }
            EventKind::CharterAmended => {
                let event = CharterAmended {
                    charter: charter(&[GOVERNORS[0], GOVERNORS[1], NEW_GOVERNOR]),
                    reason: text("A third governor, so that one may be away."),
                };
                (event.into(), vec![dana, erik])
            }
            EventKind::LedgerUpgraded => {
                let event = LedgerUpgraded { reason: text("Reviews come with rules 2."), rules: 2 };
                (event.into(), vec![dana, erik])
            }
            EventKind::LedgerFrozen => {
                let event = LedgerFrozen { reason: text("A governor's laptop was stolen.") };
                (event.into(), vec![dana])
            }
            EventKind::LedgerThawed => {
                let event = LedgerThawed { reason: text("Its key is retired.") };
                (event.into(), vec![dana, erik])
            }
            EventKind::RecoveryProposed => {
                let event = RecoveryProposed {
                    amendment: charter(&GOVERNORS),
                    reason: text("Both governors are unreachable."),
                };
                (event.into(), vec![RECOVERY])
            }
            EventKind::RecoveryVetoed => {
                let event = RecoveryVetoed {
                    proposal: self.of(EventKind::RecoveryProposed),
                    reason: text("We are here."),
                };
                (event.into(), vec![dana, erik])
            }
            EventKind::PrincipalRegistered => {
                let event = PrincipalRegistered {
                    controllers: Set::default(),
                    kind: PrincipalKind::Human,
                    person: Some(person("person:alice")),
                    principal: principal(REQUESTER.0),
                };
                (event.into(), vec![REGISTRAR, dana])
            }
            EventKind::PrincipalChanged => {
                let event = PrincipalChanged {
                    controllers: [person("person:bruno"), person("person:goran")].into_iter().collect(),
                    person: None,
                    principal: principal(ENFORCER.0),
                    reason: text("Bruno's team runs it now."),
                };
                (event.into(), vec![REGISTRAR, dana])
            }
            EventKind::PrincipalDeparted => {
                let event = PrincipalDeparted {
                    principal: principal("user:igor"),
                    // The text itself is kept elsewhere, and may be deleted.
                    reason: Text::Committed { commitment: Digest::new([0xc0; 32]), length: 31 },
                };
                (event.into(), vec![REGISTRAR])
            }
            EventKind::KeyEnrolled => {
                let event = KeyEnrolled {
                    enrolment: Enrolment::First,
                    key: public(REQUESTER.1),
                    principal: principal(REQUESTER.0),
                };
                (event.into(), vec![REGISTRAR, dana])
            }
            EventKind::KeyRetired => {
                let event = KeyRetired {
                    key: public(FORMER.1),
                    principal: principal(FORMER.0),
                    reason: text("A new phone."),
                };
                (event.into(), vec![FORMER])
            }
            EventKind::KeyCompromised => {
                let event = KeyCompromised {
                    from: Some(10),
                    key: public(FORMER.1),
                    principal: principal(FORMER.0),
                    reason: text("The old phone was sold unwiped."),
                };
                (event.into(), vec![REGISTRAR, dana])
            }
            EventKind::CapacityAssigned => {
                let event = CapacityAssigned {
                    capacity: Capacity::BusinessOwner,
                    from: None,
                    holder: principal(OWNER.0),
                    scope: Scope {
                        except: [pattern("db:acme/payroll/*")].into_iter().collect(),
                        on: pattern("db:acme/*"),
                    },
                    until: Some(instant(366 * 86_400_000)),
                };
                (event.into(), vec![REGISTRAR, POLICY_OWNER])
            }
            EventKind::CapacityWithdrawn => {
                let event = CapacityWithdrawn {
                    assignment: self.of(EventKind::CapacityAssigned),
                    reason: text("Bruno moved to another unit."),
                };
                (event.into(), vec![REGISTRAR])
            }
            EventKind::DelegationGranted => {
                let event = DelegationGranted {
                    basis: self.of(EventKind::CapacityAssigned),
                    delegate: principal("user:jana"),
                    depth: 0,
                    from: Some(instant(86_400_000)),
                    scope: Scope::of(pattern("db:acme/ledger")),
                    until: instant(15 * 86_400_000),
                };
                (event.into(), vec![OWNER])
            }
            EventKind::DelegationWithdrawn => {
                let event = DelegationWithdrawn {
                    delegation: self.of(EventKind::DelegationGranted),
                    reason: text("Back from holiday early."),
                };
                (event.into(), vec![OWNER])
            }
            EventKind::ResourceRegistered => {
                let event = ResourceRegistered {
                    environment: Some(name(Label::new("production"))),
                    governed_by: Some(name(Resource::new("team:acme/finance"))),
                    process: Some(name(Process::new("billing/month-end"))),
                    resource,
                    tier: Tier::Medium,
                };
                (event.into(), vec![REGISTRAR, POLICY_OWNER])
            }
            EventKind::ResourceChanged => {
                let event = ResourceChanged {
                    environment: Some(name(Label::new("production"))),
                    governed_by: Some(name(Resource::new("team:acme/finance"))),
                    process: Some(name(Process::new("billing/month-end"))),
                    reason: text("It holds customer data now."),
                    resource,
                    tier: Tier::High,
                };
                (event.into(), vec![REGISTRAR, POLICY_OWNER])
            }
            EventKind::ResourceRetired => {
                let event = ResourceRetired {
                    reason: text("Replaced."),
                    resource: name(Resource::new("db:acme/old")),
                };
                (event.into(), vec![REGISTRAR])
            }
            EventKind::PolicyPublished => {
                let event = PolicyPublished {
                    document: policy(),
                    from: None,
                    name: name(Label::new("finance")),
                    scope: Scope::of(pattern("db:acme/*")),
                };
                (event.into(), vec![POLICY_OWNER, erik])
            }
            EventKind::PolicyWithdrawn => {
                let event = PolicyWithdrawn {
                    policy: self.of(EventKind::PolicyPublished),
                    reason: text("Merged into another policy."),
                };
                (event.into(), vec![POLICY_OWNER, erik])
            }
            EventKind::AccessRequested => {
                let event = AccessRequested {
                    ends_on: [EndEvent::TicketClosed].into_iter().collect(),
                    expires: Some(instant(7 * 86_400_000)),
                    hold: Hold::Seconds(seconds(14 * 86_400)),
                    need: text("Close the June accounts.\n\"Month end\" needs the raw postings."),
                    purpose: name(Process::new("billing/month-end")),
                    replaces: None,
                    resource,
                    role,
                    subject: principal(REQUESTER.0),
                    tier: Tier::High,
                };
                (event.into(), vec![REQUESTER])
            }
            EventKind::AccessApproved => {
                let event = AccessApproved {
                    capacity: Capacity::BusinessOwner,
                    clause: clause().digest(),
                    need: text("Alice covers month end while Jana is away."),
                    request: self.of(EventKind::AccessRequested),
                    seconds: Some(seconds(7 * 86_400)),
                };
                (event.into(), vec![OWNER])
            }
            EventKind::AccessDenied => {
                let event = AccessDenied {
                    capacity: Capacity::BusinessOwner,
                    clause: clause().digest(),
                    reason: text("The monthly report has these figures."),
                    request: self.of(EventKind::AccessRequested),
                };
                (event.into(), vec![OWNER])
            }
            EventKind::AccessWithdrawn => {
                let event = AccessWithdrawn {
                    reason: Some(text("The ticket was closed.")),
                    statement: self.of(EventKind::AccessRequested),
                };
                (event.into(), vec![REQUESTER])
            }
            EventKind::AccessGranted => {
                let event = AccessGranted {
                    clause: clause().digest(),
                    ends_on: [
                        EndEvent::Offboarding,
                        EndEvent::OwnerGone,
                        EndEvent::ResourceRetired,
                        EndEvent::TicketClosed,
                    ]
                    .into_iter()
                    .collect(),
                    exception: None,
                    hold: Hold::Seconds(seconds(7 * 86_400)),
                    policy: self.of(EventKind::PolicyPublished),
                    replaces: None,
                    request: self.of(EventKind::AccessRequested),
                    witness: vec![WitnessItem {
                        approval: self.of(EventKind::AccessApproved),
                        requirement: 0,
                    }],
                };
                (event.into(), vec![ENFORCER])
            }
            EventKind::AccessRevoked => {
                let event = AccessRevoked {
                    grant: self.of(EventKind::AccessGranted),
                    reason: text("Month end is done."),
                };
                (event.into(), vec![OWNER])
            }
            EventKind::ExceptionGranted => {
                let event = ExceptionGranted {
                    covers: ExceptionOf::Class(ClassException {
                        class: name(Label::new("standing-readers")),
                        policy: self.of(EventKind::PolicyPublished),
                        until: instant(180 * 86_400_000),
                    }),
                    need: text("Finance reads its own ledger every day."),
                    owner: principal(OWNER.0),
                };
                (event.into(), vec![EXCEPTIONS, POLICY_OWNER])
            }
            EventKind::ExceptionEnded => {
                let event = ExceptionEnded {
                    exception: self.of(EventKind::ExceptionGranted),
                    reason: text("Readers come in by request now."),
                };
                (event.into(), vec![OWNER])
            }
            EventKind::ClockStepped => {
                let event =
                    ClockStepped { reason: text("The clock was two hours slow; it is set by NTP now.") };
                (event.into(), vec![RECORDER])
            }
            EventKind::Custom => {
                let data = "{\"balance\":-5,\"labels\":[\"urgent\"],\"ticket\":\"FIN-1024\"}";
                let event = Custom {
                    data: RawObject::new(data).expect("canonical JSON"),
                    name: name(Label::new("ticket-linked")),
                    namespace: name(Namespace::new("acme.example/tickets")),
                };
                (event.into(), vec![POLICY_OWNER])
            }
        }
    }
}

/// A personal exception, which [`golden`] has no place for: it shows the class form.
pub(crate) fn personal_exception() -> ExceptionGranted {
    ExceptionGranted {
        covers: ExceptionOf::Personal(PersonalException {
            clause: clause().digest(),
            request: StatementDigest::new([0x11; 32]),
            seconds: seconds(86_400),
        }),
        need: text("The owner is ill and the books close tonight."),
        owner: principal(OWNER.0),
    }
}

/// A policy document that has every section.
pub(crate) fn policy() -> PolicyDocument {
    PolicyDocument {
        classes: [standing_readers()].into_iter().collect(),
        custom: [CustomRule {
            capacities: [Capacity::PolicyOwner].into_iter().collect(),
            namespace: name(Namespace::new("acme.example/tickets")),
        }]
        .into_iter()
        .collect(),
        exceptions: vec![outage()],
        paths: vec![
            owner_alone(),
            PathRule {
                applies: None,
                cascade: [Cascade::Owner, Cascade::Delegation].into_iter().collect(),
                distinct_persons: true,
                max_seconds: Some(seconds(86_400)),
                name: name(Label::new("owner-then-security")),
                path: Path::Stages(vec![
                    Path::Any(vec![
                        Path::Capacity(Capacity::BusinessOwner),
                        Path::Capacity(Capacity::ApplicationOwner),
                    ]),
                    Path::AtLeast(
                        1,
                        vec![Path::Capacity(Capacity::ControlOwner), Path::Capacity(Capacity::RiskOwner)],
                    ),
                    Path::All(vec![Path::Capacity(Capacity::PlatformOwner)]),
                ]),
            },
        ],
        sod: [pay_and_approve()].into_iter().collect(),
        summary: Some(text("Who may read and post in finance, and who says so.")),
        tiers: [
            TierRule { max_seconds: seconds(90 * 86_400), tier: Tier::Low },
            TierRule { max_seconds: seconds(30 * 86_400), tier: Tier::High },
        ]
        .into_iter()
        .collect(),
        windows: Some(Windows {
            cosigned_seconds: Some(seconds(7 * 86_400)),
            decision_seconds: Some(seconds(86_400)),
            request_seconds: Some(seconds(14 * 86_400)),
            statement_seconds: None,
        }),
    }
}

/// What that policy resolves to for the entitlement that the examples ask for.
pub(crate) fn clause() -> Clause {
    Clause {
        classes: Sorted::default(),
        environment: Some(name(Label::new("production"))),
        exception: Some(outage()),
        governed_by: vec![name(Resource::new("team:acme/finance")), name(Resource::new("org:acme"))],
        max_seconds: Some(seconds(30 * 86_400)),
        path: Some(owner_alone()),
        process: Some(name(Process::new("billing/month-end"))),
        resource: resource("db:acme/ledger"),
        role: name(Role::new("reader")),
        sod: [Separation {
            policy: name(Label::new("finance")),
            rules: [pay_and_approve()].into_iter().collect(),
            scope: Scope::of(pattern("db:acme/*")),
        }]
        .into_iter()
        .collect(),
        tier: Tier::High,
    }
}

fn standing_readers() -> StandingClass {
    StandingClass {
        applies: Some(Applies {
            on: Set::default(),
            roles: [name(Role::new("reader"))].into_iter().collect(),
            tiers: [Tier::Low, Tier::Medium].into_iter().collect(),
        }),
        class: name(Label::new("standing-readers")),
        missed_review: MissedReview::Flag,
        review_seconds: seconds(180 * 86_400),
    }
}

fn outage() -> ExceptionRule {
    ExceptionRule {
        applies: None,
        max_seconds: seconds(86_400),
        when: text("An outage, or an owner who can not be reached in time."),
    }
}

fn owner_alone() -> PathRule {
    PathRule {
        applies: Some(Applies {
            on: [pattern("db:acme/*")].into_iter().collect(),
            roles: [name(Role::new("reader"))].into_iter().collect(),
            tiers: Set::default(),
        }),
        cascade: [Cascade::Owner].into_iter().collect(),
        distinct_persons: true,
        max_seconds: None,
        name: name(Label::new("owner-alone")),
        path: Path::Capacity(Capacity::BusinessOwner),
    }
}

fn pay_and_approve() -> SodRule {
    let side = |role: &str| {
        [Entitlements { on: pattern("db:acme/*"), role: Some(name(Role::new(role))) }].into_iter().collect()
    };
    SodRule { left: side("payer"), name: name(Label::new("pay-and-read")), right: side("reader") }
}

fn charter(governors: &[(&str, u8)]) -> Charter {
    let holder = |(name, seed): (&str, u8)| KeyHolder {
        key: public(seed),
        person: person(&name.replace("user:", "person:")),
        principal: principal(name),
    };
    Charter {
        governors: governors.iter().copied().map(holder).collect(),
        quorum: 2,
        recorder: RecorderKey {
            controllers: [person("person:olga")].into_iter().collect(),
            key: public(RECORDER.1),
            principal: principal(RECORDER.0),
        },
        recovery: Some(Recovery {
            delay_seconds: seconds(14 * 86_400),
            keys: [holder(RECOVERY)].into_iter().collect(),
            quorum: 1,
        }),
    }
}

fn secret(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

fn public(seed: u8) -> KeyBytes {
    KeyBytes(*secret(seed).public_key().as_bytes())
}

/// Milliseconds after the first instant of the examples.
fn instant(millis: u64) -> Timestamp {
    Timestamp::from_millis(1_767_603_600_000 + millis).expect("long before the year 10000")
}

fn seconds(count: u64) -> Seconds {
    Seconds::new(count).expect("not 0")
}

fn text(text: &str) -> Text {
    Text::new(text).expect("an ordinary text")
}

fn name<T>(name: Result<T, ParseNameError>) -> T {
    name.expect("a well-formed name")
}

fn principal(text: &str) -> Principal {
    name(Principal::new(text))
}

fn person(text: &str) -> Person {
    name(Person::new(text))
}

fn resource(text: &str) -> Resource {
    name(Resource::new(text))
}

fn pattern(text: &str) -> Pattern {
    name(Pattern::new(text))
}

/// The signed statement of an example in the form in which it is submitted.
pub(crate) fn submission(entry: &Entry) -> Vec<u8> {
    let signed: &SignedStatement = entry.signed();
    signed.to_bytes()
}
