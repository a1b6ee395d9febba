//! A company with everybody in it: who governs, registers, owns, enforces, and who merely works there.

use countersign_core::event::*;
use countersign_core::policy::*;

use super::desk::Desk;
use super::make::*;
use super::random::Random;

/// How a company is set up.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub quorum: u64,
    pub recovery: bool,
    pub policy: usize,
    pub real: bool,
}

pub const GOVERNORS: [&str; 4] = ["user:gov-a", "user:gov-b", "user:gov-c", "user:gov-d"];
pub const RECORDER: &str = "service:recorder";
pub const RECOVERY: [&str; 3] = ["user:safe-a", "user:safe-b", "user:safe-c"];

/// Everybody who is registered beside the charter: name, kind, persons.
pub const PEOPLE: &[(&str, PrincipalKind, &[&str])] = &[
    ("user:reg-a", PrincipalKind::Human, &["reg-a"]),
    ("user:reg-b", PrincipalKind::Human, &["reg-b"]),
    ("user:reg-team", PrincipalKind::Human, &["reg-team"]),
    ("user:pol-a", PrincipalKind::Human, &["pol-a"]),
    ("user:pol-b", PrincipalKind::Human, &["pol-b"]),
    ("user:pol-team", PrincipalKind::Human, &["pol-team"]),
    ("user:olga", PrincipalKind::Human, &["olga"]),
    ("user:otto", PrincipalKind::Human, &["otto"]),
    ("user:ora", PrincipalKind::Human, &["ora"]),
    ("user:app", PrincipalKind::Human, &["app"]),
    ("user:abe", PrincipalKind::Human, &["abe"]),
    ("user:plat", PrincipalKind::Human, &["plat"]),
    ("user:ctl", PrincipalKind::Human, &["ctl"]),
    ("user:cyd", PrincipalKind::Human, &["cyd"]),
    ("user:risk", PrincipalKind::Human, &["risk"]),
    ("user:exc", PrincipalKind::Human, &["exc"]),
    ("user:eve", PrincipalKind::Human, &["eve"]),
    ("user:enf", PrincipalKind::Human, &["enf"]),
    ("user:rev", PrincipalKind::Human, &["rev"]),
    ("user:alice", PrincipalKind::Human, &["alice"]),
    ("user:bob", PrincipalKind::Human, &["bob"]),
    ("user:carol", PrincipalKind::Human, &["carol"]),
    ("user:dan", PrincipalKind::Human, &["dan"]),
    // Second accounts, and accounts of machines.
    ("user:olga-admin", PrincipalKind::Human, &["olga"]),
    ("user:ALICE", PrincipalKind::Human, &["alice"]),
    ("service:ci", PrincipalKind::Service, &["bob", "olga"]),
    ("agent:triage", PrincipalKind::Agent, &["carol"]),
    ("service:iam", PrincipalKind::Automation, &["otto"]),
    ("service:vendor", PrincipalKind::VendorAutomation, &["vera"]),
    ("workload:batch", PrincipalKind::Workload, &["dan", "abe"]),
];

/// Who is expected to ask for things.
pub const STAFF: &[&str] = &[
    "user:alice",
    "user:bob",
    "user:carol",
    "user:dan",
    "user:ALICE",
    "service:ci",
    "agent:triage",
    "workload:batch",
    "user:abe",
];

/// Registered resources: name, tier, what governs it.
pub const RESOURCES: &[(&str, Tier, Option<&str>)] = &[
    ("scope:root", Tier::Critical, None),
    ("team:acme", Tier::Medium, Some("scope:root")),
    ("team:acme/pay", Tier::High, Some("team:acme")),
    ("team:acme/pay/eu", Tier::High, Some("team:acme/pay")),
    ("team:acme/web", Tier::Low, Some("team:acme")),
    ("team:lab", Tier::Low, None),
    ("db:books", Tier::High, Some("scope:root")),
    ("db:vault", Tier::Critical, Some("team:acme/pay")),
    ("app:wiki", Tier::Low, Some("team:lab")),
];

/// What people ask for.
pub const ASKED: &[&str] =
    &["team:acme/pay", "team:acme/pay/eu", "team:acme/web", "db:books", "db:vault", "app:wiki", "team:lab"];
pub const ROLES: &[&str] = &["reader", "writer", "admin", "payer"];

/// Capacities at the start: capacity, holder, scope.
pub const HELD: &[(Capacity, &str, &str)] = &[
    (Capacity::Registrar, "user:reg-a", "*"),
    (Capacity::Registrar, "user:reg-b", "*"),
    (Capacity::Registrar, "user:reg-team", "team:acme/*"),
    (Capacity::PolicyOwner, "user:pol-a", "*"),
    (Capacity::PolicyOwner, "user:pol-b", "*"),
    (Capacity::PolicyOwner, "user:pol-team", "team:acme/*"),
    (Capacity::BusinessOwner, "user:olga", "*"),
    (Capacity::BusinessOwner, "user:otto", "team:acme"),
    (Capacity::BusinessOwner, "user:ora", "scope:root"),
    (Capacity::BusinessOwner, "service:vendor", "team:acme/*"),
    (Capacity::BusinessOwner, "service:ci", "team:acme/*"),
    (Capacity::ApplicationOwner, "user:app", "*"),
    (Capacity::ApplicationOwner, "user:abe", "team:acme/*"),
    (Capacity::PlatformOwner, "user:plat", "*"),
    (Capacity::ControlOwner, "user:ctl", "*"),
    (Capacity::ControlOwner, "user:cyd", "team:acme/*"),
    (Capacity::ControlOwner, "user:olga", "db:books"),
    (Capacity::RiskOwner, "user:risk", "*"),
    (Capacity::ExceptionApprover, "user:exc", "*"),
    (Capacity::ExceptionApprover, "user:eve", "team:acme/*"),
    (Capacity::IamEnforcer, "service:iam", "*"),
    (Capacity::IamEnforcer, "user:enf", "*"),
    (Capacity::Revoker, "user:rev", "*"),
    (Capacity::Observer, "user:rev", "*"),
];

pub fn any(parts: Vec<Path>) -> Path {
    Path::Any(parts)
}

pub fn all(parts: Vec<Path>) -> Path {
    Path::All(parts)
}

pub fn paths(kind: usize) -> Path {
    let (biz, app, ctl, risk, plat) = (
        need(Capacity::BusinessOwner),
        need(Capacity::ApplicationOwner),
        need(Capacity::ControlOwner),
        need(Capacity::RiskOwner),
        need(Capacity::PlatformOwner),
    );
    match kind % 10 {
        0 => biz,
        1 => all(vec![biz, ctl]),
        2 => Path::Stages(vec![biz, ctl]),
        3 => Path::AtLeast(2, vec![biz.clone(), biz, app]),
        4 => any(vec![all(vec![biz, ctl]), all(vec![app, plat])]),
        5 => Path::Stages(vec![Path::AtLeast(1, vec![biz, app]), any(vec![ctl, risk])]),
        6 => all(vec![any(vec![biz, app]), ctl]),
        7 => all(vec![biz.clone(), biz]),
        8 => any(vec![Path::Stages(vec![biz.clone(), app]), all(vec![biz, ctl])]),
        _ => Path::AtLeast(2, vec![all(vec![biz, ctl]), app, plat]),
    }
}

pub fn exception_rule(max_seconds: u64) -> ExceptionRule {
    ExceptionRule {
        applies: None,
        max_seconds: seconds(max_seconds),
        when: text("nobody who could approve is there"),
    }
}

pub fn sod_rule(name: &str, left: &[(&str, Option<&str>)], right: &[(&str, Option<&str>)]) -> SodRule {
    let side = |items: &[(&str, Option<&str>)]| {
        items.iter().map(|(on, word)| Entitlements { on: pattern(on), role: word.map(role) }).collect()
    };
    SodRule { left: side(left), name: label(name), right: side(right) }
}

/// The company's main policy, of one of several shapes.
pub fn document(kind: usize) -> PolicyDocument {
    let mut low = path_rule("low", paths(kind));
    low.applies = Some(applies(&[], &[], &[Tier::Low]));
    low.distinct_persons = kind % 3 != 1;
    let mut high = path_rule("high", paths(kind + 3));
    high.applies = Some(applies(&[], &["reader", "writer"], &[Tier::High]));
    high.max_seconds = (kind.is_multiple_of(2)).then(|| seconds(7_200));
    high.cascade = match kind % 4 {
        0 => Default::default(),
        1 => [Cascade::Owner].into_iter().collect(),
        2 => [Cascade::Delegation].into_iter().collect(),
        _ => [Cascade::Owner, Cascade::Delegation].into_iter().collect(),
    };
    let mut rest = path_rule("rest", paths(kind + 5));
    rest.applies = Some(applies(&["team:acme/*", "team:lab", "db:books"], &[], &[]));
    rest.distinct_persons = kind.is_multiple_of(2);
    let class = |name: &str, missed_review, on: &[&str]| StandingClass {
        applies: (!on.is_empty()).then(|| applies(on, &[], &[])),
        class: label(name),
        missed_review,
        review_seconds: seconds(30 * 86_400),
    };
    PolicyDocument {
        classes: [
            class("baseline", MissedReview::Flag, &[]),
            class("strict", MissedReview::End, &["team:acme/*", "team:lab"]),
        ]
        .into_iter()
        .collect(),
        custom: [CustomRule {
            capacities: [Capacity::Observer].into_iter().collect(),
            namespace: countersign_core::id::Namespace::new("example.org/tickets").unwrap(),
        }]
        .into_iter()
        .collect(),
        exceptions: vec![exception_rule(3 * 3_600)],
        paths: vec![low, high, rest],
        sod: [sod_rule("pay-and-approve", &[("*", Some("payer"))], &[("*", Some("admin"))])]
            .into_iter()
            .collect(),
        summary: None,
        tiers: tiers(86_400),
        windows: None,
    }
}

/// A second policy that only names what may not be held together.
pub fn duties() -> PolicyDocument {
    PolicyDocument {
        sod: [sod_rule("books-or-vault", &[("db:books", Some("writer"))], &[("db:vault", None)])]
            .into_iter()
            .collect(),
        ..empty_document()
    }
}

pub fn charter(quorum: u64, governors: &[&str], recovery: bool) -> Charter {
    let bare = |name: &str| name.split_once(':').unwrap().1.to_owned();
    Charter {
        governors: governors.iter().map(|name| holder(name, &bare(name))).collect(),
        quorum,
        recorder: RecorderKey {
            controllers: [person("ops")].into_iter().collect(),
            key: key_bytes(RECORDER),
            principal: principal(RECORDER),
        },
        recovery: recovery.then(|| Recovery {
            delay_seconds: seconds(3 * 86_400),
            keys: RECOVERY.iter().map(|name| holder(name, &bare(name))).collect(),
            quorum: 2,
        }),
    }
}

/// Only genesis.
pub fn founded(shape: Shape) -> Desk {
    founded_in(Desk::new("2026-01-05T09:00:00.000Z"), shape)
}

fn founded_in(mut desk: Desk, shape: Shape) -> Desk {
    desk.real = shape.real;
    let charter = charter(shape.quorum, &GOVERNORS[..3], shape.recovery);
    let mut others = vec![RECORDER, GOVERNORS[1], GOVERNORS[2]];
    if shape.recovery {
        others.extend(RECOVERY);
    }
    let opened = LedgerOpened {
        governors: charter.governors.clone(),
        name: countersign_core::id::LedgerName::new("acme").unwrap(),
        quorum: charter.quorum,
        recorder: charter.recorder.clone(),
        recovery: charter.recovery.clone(),
        rules: 1,
        suite: Suite,
    };
    desk.must(GOVERNORS[0], &others, opened);
    desk
}

/// Everybody is here, everything is registered; there is no policy yet.
pub fn staffed(shape: Shape) -> Desk {
    staffed_in(Desk::new("2026-01-05T09:00:00.000Z"), shape)
}

fn staffed_in(desk: Desk, shape: Shape) -> Desk {
    let mut desk = founded_in(desk, shape);
    let k = usize::try_from(shape.quorum).unwrap();
    let beside = &GOVERNORS[1..k];
    for (name, kind, persons) in PEOPLE {
        desk.pass(1);
        desk.must(GOVERNORS[0], beside, registered(name, *kind, persons));
        // A registrar enrols together with a governor, once there is a registrar; before, governors do.
        desk.learn(name, name);
        if k == 1 {
            desk.must(GOVERNORS[0], &[], enrolled(name, name, Enrolment::First));
        } else {
            desk.must(GOVERNORS[0], beside, enrolled(name, name, Enrolment::First));
        }
    }
    for (name, tier, governed_by) in RESOURCES {
        desk.must(GOVERNORS[0], beside, placed(name, *tier, *governed_by));
    }
    for (capacity, holder, over) in HELD {
        desk.pass(1);
        desk.must(GOVERNORS[0], beside, assigned(*capacity, holder, scope(over)));
    }
    desk
}

/// A company at work: policies in force, classes open.
pub fn company(shape: Shape) -> Desk {
    company_in(Desk::new("2026-01-05T09:00:00.000Z"), shape)
}

/// The same on a desk that may sign for real, or keep entries.
pub fn company_in(desk: Desk, shape: Shape) -> Desk {
    let mut desk = staffed_in(desk, shape);
    desk.pass(60);
    let beside = &GOVERNORS[1..usize::try_from(shape.quorum).unwrap()];
    let main = if shape.policy % 4 == 3 {
        // One that policy owners sign, who then approve nothing under it.
        desk.must("user:pol-a", &["user:pol-b"], published("main", scope("*"), document(shape.policy)))
    } else {
        desk.must(GOVERNORS[0], beside, published("main", scope("*"), document(shape.policy)))
    };
    desk.must(
        "user:pol-a",
        &["user:pol-b"],
        published("duties", scope_except("*", &["team:lab", "app:wiki"]), duties()),
    );
    desk.pass(60);
    for class in ["baseline", "strict"] {
        let until = instant(desk.now + 20 * 86_400_000);
        desk.must(
            "user:exc",
            &["user:risk"],
            ExceptionGranted {
                covers: ExceptionOf::Class(ClassException { class: label(class), policy: main, until }),
                need: text("teams hold what they need"),
                owner: principal("user:risk"),
            },
        );
    }
    desk.pass(60);
    desk
}

/// A shape by number.
pub fn shape(number: usize) -> Shape {
    Shape { quorum: [2, 1, 3][number % 3], recovery: number.is_multiple_of(2), policy: number, real: false }
}

/// Somebody who may sign for a registrar, with a second person; governors stand in while there is no policy.
pub fn registrars(random: &mut Random) -> (&'static str, &'static str) {
    let pairs = [
        ("user:reg-a", "user:reg-b"),
        ("user:reg-b", "user:reg-a"),
        ("user:reg-a", "user:gov-a"),
        ("user:reg-b", "user:gov-c"),
    ];
    *random.pick(&pairs)
}

/// A company of two governors whose only path is this one; an exception lasts an hour, and there is one standing class.
pub fn with_path(path: Path) -> Desk {
    with_rule(path_rule("only", path))
}

/// The same with all that a path rule says.
pub fn with_rule(rule: PathRule) -> Desk {
    thread_local! {
        static BASE: Desk = staffed(Shape { quorum: 2, recovery: true, policy: 0, real: false });
    }
    let mut desk = BASE.with(Desk::clone);
    let document = PolicyDocument {
        paths: vec![rule],
        tiers: tiers(86_400),
        exceptions: vec![exception_rule(3_600)],
        classes: [StandingClass {
            applies: None,
            class: label("baseline"),
            missed_review: MissedReview::Flag,
            review_seconds: seconds(30 * 86_400),
        }]
        .into_iter()
        .collect(),
        ..empty_document()
    };
    desk.must("user:gov-a", &["user:gov-b"], published("main", scope("*"), document));
    desk
}
