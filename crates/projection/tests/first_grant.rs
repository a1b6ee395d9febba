//! From genesis to a grant and its end, through `judge` alone.
#![expect(clippy::unwrap_used, reason = "a failed step of the set-up is a failed test")]

use countersign_core::digest::{StatementDigest, sha256};
use countersign_core::event::*;
use countersign_core::id::*;
use countersign_core::key::{SecretKey, SignerKey as _};
use countersign_core::policy::*;
use countersign_core::statement::{Seen, Statement, Version};
use countersign_core::time::{Seconds, Timestamp};
use countersign_core::wire::{KeyBytes, Text};
use countersign_projection::governance::{Answer, DenyReason, RefusalCode, State, judge};

fn key(name: &str) -> SecretKey {
    SecretKey::from_seed(&sha256(&[name.as_bytes()]))
}

fn key_bytes(name: &str) -> KeyBytes {
    KeyBytes(*key(name).public_key().as_bytes())
}

fn principal(name: &str) -> Principal {
    Principal::new(name).unwrap()
}

fn person(name: &str) -> Person {
    Person::new(&format!("person:{name}")).unwrap()
}

fn text(words: &str) -> Text {
    Text::new(words).unwrap()
}

struct Bench {
    state: State,
    now: Timestamp,
    serial: u64,
}

impl Bench {
    fn say(
        &mut self,
        author: &str,
        cosigners: &[&str],
        event: impl Into<Event>,
    ) -> Result<StatementDigest, RefusalCode> {
        let event = event.into();
        let ledger = match (&event, self.state.ledger_id()) {
            (Event::LedgerOpened(event), _) => LedgerRef::Name(event.name.clone()),
            (_, Some(id)) => LedgerRef::Id(id.clone()),
            (_, None) => panic!("no ledger"),
        };
        let head = self.state.head();
        self.serial += 1;
        let statement = Statement {
            author: principal(author),
            cosigners: cosigners.iter().map(|name| principal(name)).collect(),
            issued_at: self.now,
            key: key(author).public_key().key_id(),
            ledger,
            seen: (head.size > 0).then_some(Seen { leaf: head.leaf, size: head.size }),
            serial: self.serial,
            v: Version,
            event,
        };
        let proves = match &statement.event {
            Event::KeyEnrolled(event) => Some(event.principal.as_str().to_owned()),
            _ => None,
        };
        let mut signed = statement.sign(&key(author)).unwrap();
        for name in cosigners.iter().map(|name| (*name).to_owned()).chain(proves) {
            signed.cosign(&key(&name)).unwrap();
        }
        let digest = signed.digest();
        let verified = signed.verify(|id| self.state.public_key(id)).unwrap();
        let judged = judge(&self.state, &verified, self.now).map_err(|refusal| refusal.code)?.seal().unwrap();
        self.state.fold(&judged);
        Ok(digest)
    }

    fn enrol(&mut self, name: &str, kind: PrincipalKind, of: &str) {
        let human = kind == PrincipalKind::Human;
        self.say(
            "user:gov-a",
            &["user:gov-b"],
            PrincipalRegistered {
                controllers: (!human).then(|| person(of)).into_iter().collect(),
                kind,
                person: human.then(|| person(of)),
                principal: principal(name),
            },
        )
        .unwrap();
        self.say(
            "user:gov-a",
            &["user:gov-b"],
            KeyEnrolled { enrolment: Enrolment::First, key: key_bytes(name), principal: principal(name) },
        )
        .unwrap();
    }

    fn assign(&mut self, capacity: Capacity, holder: &str) -> StatementDigest {
        let assigned = CapacityAssigned {
            capacity,
            from: None,
            holder: principal(holder),
            scope: Scope::everything(),
            until: None,
        };
        self.say("user:gov-a", &["user:gov-b"], assigned).unwrap()
    }
}

fn opened() -> Bench {
    let holder = |name: &str| KeyHolder {
        key: key_bytes(&format!("user:{name}")),
        person: person(name),
        principal: principal(&format!("user:{name}")),
    };
    let mut bench =
        Bench { state: State::new(), now: "2026-01-05T09:00:00.000Z".parse().unwrap(), serial: 0 };
    bench
        .say(
            "user:gov-a",
            &["service:recorder", "user:gov-b"],
            LedgerOpened {
                governors: ["gov-a", "gov-b"].map(holder).into_iter().collect(),
                name: LedgerName::new("acme").unwrap(),
                quorum: 2,
                recorder: RecorderKey {
                    controllers: [person("ops")].into_iter().collect(),
                    key: key_bytes("service:recorder"),
                    principal: principal("service:recorder"),
                },
                recovery: None,
                rules: 1,
                suite: Suite,
            },
        )
        .unwrap();
    bench.enrol("user:alice", PrincipalKind::Human, "alice");
    bench.enrol("user:olga", PrincipalKind::Human, "olga");
    bench.enrol("user:pat", PrincipalKind::Human, "pat");
    bench.enrol("service:iam", PrincipalKind::Automation, "olga");
    bench.assign(Capacity::IamEnforcer, "service:iam");
    bench.assign(Capacity::PolicyOwner, "user:pat");
    bench.assign(Capacity::BusinessOwner, "user:olga");
    let resource = ResourceRegistered {
        environment: None,
        governed_by: None,
        process: None,
        resource: Resource::new("db:books").unwrap(),
        tier: Tier::Medium,
    };
    bench.say("user:gov-a", &["user:gov-b"], resource).unwrap();
    bench
}

fn publish(bench: &mut Bench) {
    let document = PolicyDocument {
        classes: Default::default(),
        custom: Default::default(),
        exceptions: Vec::new(),
        paths: vec![PathRule {
            applies: None,
            cascade: Default::default(),
            distinct_persons: true,
            max_seconds: None,
            name: Label::new("default").unwrap(),
            path: Path::Capacity(Capacity::BusinessOwner),
        }],
        sod: Default::default(),
        summary: None,
        tiers: [TierRule { max_seconds: Seconds::new(86_400).unwrap(), tier: Tier::Medium }]
            .into_iter()
            .collect(),
        windows: None,
    };
    let published = PolicyPublished {
        document,
        from: None,
        name: Label::new("main").unwrap(),
        scope: Scope::everything(),
    };
    bench.say("user:gov-a", &["user:gov-b"], published).unwrap();
}

fn ask(seconds: u64) -> AccessRequested {
    AccessRequested {
        ends_on: Default::default(),
        expires: None,
        hold: Hold::Seconds(Seconds::new(seconds).unwrap()),
        need: text("close the month"),
        purpose: Process::new("billing").unwrap(),
        replaces: None,
        resource: Resource::new("db:books").unwrap(),
        role: Role::new("reader").unwrap(),
        subject: principal("user:alice"),
        tier: Tier::Medium,
    }
}

#[test]
fn a_request_becomes_a_grant_and_ends() {
    let mut bench = opened();
    assert_eq!(bench.say("user:alice", &[], ask(60)), Err(RefusalCode::BeforePolicy));
    publish(&mut bench);
    assert_eq!(bench.say("user:alice", &[], ask(86_401)), Err(RefusalCode::AboveCeiling));
    let request = bench.say("user:alice", &[], ask(3_600)).unwrap();
    let clause = bench.state.clause_of_request(&request, bench.now).unwrap();
    assert_eq!(
        bench.state.propose_grant(&request, bench.now).unwrap_err().code,
        RefusalCode::ApprovalMissing
    );
    let approve = |capacity| AccessApproved {
        capacity,
        clause,
        need: text("alice closes the books"),
        request,
        seconds: None,
    };
    assert_eq!(bench.say("user:alice", &[], approve(Capacity::BusinessOwner)), Err(RefusalCode::NoAuthority));
    assert_eq!(bench.say("user:olga", &[], approve(Capacity::ControlOwner)), Err(RefusalCode::NotRequired));
    bench.say("user:olga", &[], approve(Capacity::BusinessOwner)).unwrap();
    let proposed = bench.state.propose_grant(&request, bench.now).unwrap();
    let grant = bench.say("service:iam", &[], proposed).unwrap();
    let check = |bench: &Bench, at: Timestamp| {
        bench.state.check(
            &principal("user:alice"),
            &Resource::new("db:books").unwrap(),
            &Role::new("reader").unwrap(),
            at,
        )
    };
    let end = bench.now.plus_seconds(3_600).unwrap();
    assert!(matches!(check(&bench, bench.now), Answer::Allowed { until: Some(until), .. } if until == end));
    assert_eq!(check(&bench, end), Answer::Denied { reason: DenyReason::NoGrant });
    bench.say("user:olga", &[], AccessRevoked { grant, reason: text("done") }).unwrap();
    assert_eq!(check(&bench, bench.now), Answer::Denied { reason: DenyReason::NoGrant });
    let again = bench.say("user:olga", &[], AccessRevoked { grant, reason: text("done") });
    assert_eq!(again, Err(RefusalCode::NoActiveGrant));
}
