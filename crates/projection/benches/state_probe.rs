//! What the governance state costs: memory per thing, time to publish a batch, and checks while writing.
//!
//! `cargo bench -p countersign-projection --features bench-internals --bench state_probe [-- STATEMENTS [GRANTS]]`, by
//! default 10 million statements with 1 million active grants. Statements are real ones, judged and folded; only their
//! signatures are taken on trust, through a door that exists for this alone. Memory is counted by the allocator, times are
//! of one run on a machine that may do other things: compare within a run, not across.
#![expect(clippy::disallowed_methods, reason = "a bench measures time")]

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use countersign_core::digest::{StatementDigest, sha256};
use countersign_core::event::*;
use countersign_core::id::*;
use countersign_core::key::Signature;
use countersign_core::policy::*;
use countersign_core::statement::{Seen, SignaturePart, Statement, VerifiedStatement, Version};
use countersign_core::time::{Seconds, Timestamp};
use countersign_core::wire::{KeyBytes, Sorted, Text};
use countersign_projection::cow::OrdSet;
use countersign_projection::governance::{State, judge};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const SUBJECTS_PER_GRANT: usize = 10;
const OWNERS: usize = 100;

fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let statements = numbers.first().copied().unwrap_or(10_000_000);
    let grants = numbers.get(1).copied().unwrap_or(1_000_000);
    let subjects = (grants / SUBJECTS_PER_GRANT).max(1);
    let resources = (grants / 100).max(1);
    println!("{statements} statements, {grants} grants of {subjects} subjects on {resources} resources");

    let mut probe = Probe::open();
    println!("\nmemory, bytes each (counted by the allocator, freed memory not counted)");
    let base = used();
    probe.register(subjects);
    let registered = used();
    report("principal, with its name and person", registered - base, subjects);
    probe.enrol(subjects);
    let enrolled = used();
    report("key", enrolled - registered, subjects);
    probe.resources(resources);
    probe.publish();
    let ready = used();
    report("resource", ready - enrolled, resources);
    let open = grants.min(100_000);
    let resource_of = |no: usize| (no / subjects * 37 + no) % resources;
    let mut waiting = Vec::new();
    probe.held.reserve_exact(grants);
    probe.grants.reserve_exact(grants);
    waiting.reserve_exact(open);
    let ready = used();
    for no in 0..open {
        probe.request(no % subjects, resource_of(no));
        waiting.extend(probe.last_request);
    }
    report("open request", used() - ready, open);
    for (no, request) in waiting.into_iter().enumerate() {
        probe.last_request = Some(request);
        probe.decide(no % subjects, resource_of(no));
    }
    let ready = ready.min(used());
    for no in open..grants {
        probe.request(no % subjects, resource_of(no));
        probe.decide(no % subjects, resource_of(no));
    }
    let granted = used();
    report("grant, everything it adds to the state", granted - ready, grants);
    check_index(&probe, grants);
    report("the whole state, per grant", granted, grants);

    println!("\njudge and fold, from decoded statements with {grants} active grants (us each)");
    let started = Instant::now();
    let before = probe.said;
    let mut next = 0;
    while probe.said < statements {
        probe.revoke(next);
        let (subject, resource) = probe.held[next];
        probe.request(subject, resource);
        probe.decide_as(next);
        next = (next + 104_729) % grants;
    }
    let cycles = probe.said - before;
    println!(
        "  {:8.2}  {cycles} statements of revoke, request, approve, grant; sealing and digests included",
        micros(started.elapsed(), cycles.max(1))
    );
    report("grant after that, everything", used() - ready, grants);

    publish(&mut probe, grants);
    checks(probe, subjects, resources);
}

fn used() -> usize {
    ALLOCATOR.current_usage()
}

fn report(what: &str, bytes: usize, count: usize) {
    println!("  {:8.1}  {what}", bytes as f64 / count as f64);
}

fn micros(elapsed: Duration, count: usize) -> f64 {
    elapsed.as_secs_f64() * 1e6 / count as f64
}

/// The check index alone: its 16-byte entries, and the names a check looks up.
fn check_index(probe: &Probe, grants: usize) {
    let before = used();
    let mut index = OrdSet::new();
    for (slot, (subject, resource)) in probe.held.iter().enumerate() {
        let (subject, resource) = (*subject as u32, *resource as u32);
        index.insert((subject, resource, 0_u32, slot as u32), ());
    }
    let entries = used() - before;
    report("of which the check index", entries, grants);
    drop(index);
}

/// A batch is published by one clone; the first changes after it copy what a reader still holds.
fn publish(probe: &mut Probe, grants: usize) {
    println!("\npublishing to readers (us)");
    let published = ArcSwap::from_pointee(probe.state.clone());
    for batch in [1_usize, 64] {
        let (mut clones, mut folds, mut plain) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..200 {
            let reader = published.load_full();
            let started = Instant::now();
            for no in 0..batch {
                probe.revoke((round * 7_919 + no * 104_729) % grants);
            }
            folds.push(started.elapsed());
            let started = Instant::now();
            published.store(Arc::new(probe.state.clone()));
            clones.push(started.elapsed());
            black_box(reader);
            // The same number again without a reader that holds the state before.
            for no in 0..batch {
                let index = (round * 7_919 + no * 104_729) % grants;
                let (subject, resource) = probe.held[index];
                probe.request(subject, resource);
                probe.decide_as(index);
            }
            published.store(Arc::new(State::new()));
            let started = Instant::now();
            for no in 0..batch {
                probe.revoke((round * 7_919 + no * 104_729) % grants);
            }
            plain.push(started.elapsed());
            for no in 0..batch {
                let index = (round * 7_919 + no * 104_729) % grants;
                let (subject, resource) = probe.held[index];
                probe.request(subject, resource);
                probe.decide_as(index);
            }
            published.store(Arc::new(probe.state.clone()));
        }
        println!(
            "  batch of {batch:3}: clone and swap {:.2}; judging and folding it {:.1}, {:.1} where no reader holds the state before",
            median(&mut clones),
            median(&mut folds),
            median(&mut plain),
        );
    }
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}

/// Checks from another thread, quiet and while the state is written and published, beside a map from names to grants.
fn checks(mut probe: Probe, subjects: usize, resources: usize) {
    const ROUNDS: usize = 200;
    const EACH: usize = 1_000;
    let names: Vec<(Principal, Resource)> = (0..100_003_usize)
        .map(|no| {
            let (subject, resource) = probe.held[no * 9_973 % probe.held.len()];
            debug_assert!(subject < subjects && resource < resources);
            (principal(&format!("user:subject-{subject}")), thing(resource))
        })
        .collect();
    let map: HashMap<String, usize> = probe
        .held
        .iter()
        .enumerate()
        .map(|(slot, (subject, resource))| {
            (format!("user:subject-{subject}|{}|reader", thing(*resource)), slot)
        })
        .collect();
    let keys: Vec<String> =
        names.iter().map(|(subject, resource)| format!("{subject}|{resource}|reader")).collect();
    let role = Role::new("reader").expect("a role");
    let at = probe.now;
    let published = Arc::new(ArcSwap::from_pointee(probe.state.clone()));
    let stop = Arc::new(AtomicBool::new(false));
    println!("\none check (ns, medians of {ROUNDS} interleaved rounds of {EACH})");
    for writing in [false, true] {
        let reader = {
            let (published, stop) = (published.clone(), stop.clone());
            let (names, keys, map, role) = (&names, &keys, &map, &role);
            move || {
                let (mut ours, mut theirs, mut place) = (Vec::new(), Vec::new(), 0);
                for _ in 0..ROUNDS {
                    let started = Instant::now();
                    for step in 0..EACH {
                        let (subject, resource) = &names[(place + step * 31) % names.len()];
                        let state = published.load();
                        black_box(state.check(subject, resource, role, at));
                    }
                    ours.push(started.elapsed());
                    let started = Instant::now();
                    for step in 0..EACH {
                        black_box(map.get(&keys[(place + step * 31) % keys.len()]));
                    }
                    theirs.push(started.elapsed());
                    place += EACH * 31;
                }
                stop.store(true, Ordering::Relaxed);
                (median(&mut ours), median(&mut theirs))
            }
        };
        stop.store(false, Ordering::Relaxed);
        let (ours, theirs) = std::thread::scope(|scope| {
            let reader = scope.spawn(reader);
            let mut next = 0;
            while writing && !stop.load(Ordering::Relaxed) {
                for _ in 0..16 {
                    let (subject, resource) = probe.held[next];
                    probe.revoke(next);
                    probe.request(subject, resource);
                    probe.decide_as(next);
                    next = (next + 104_729) % probe.held.len();
                }
                published.store(Arc::new(probe.state.clone()));
            }
            reader.join().expect("the reader ends")
        });
        let (ours, theirs) = (ours * 1e3 / EACH as f64, theirs * 1e3 / EACH as f64);
        let when = if writing { "while grants are written" } else { "quiet" };
        println!("  {when}: check {ours:.0}, HashMap<String, _> {theirs:.0}, ratio {:.2}", ours / theirs);
    }
}

fn principal(name: &str) -> Principal {
    Principal::new(name).expect("a principal")
}

fn person(name: &str) -> Person {
    Person::new(&format!("person:{name}")).expect("a person")
}

fn thing(no: usize) -> Resource {
    Resource::new(&format!("team:acme/unit-{}/team-{no}", no % 97)).expect("a resource")
}

fn text() -> Text {
    Text::new("for the work").expect("a text")
}

/// A public key that nobody holds: signatures are taken on trust here.
fn key(name: &str) -> KeyBytes {
    KeyBytes(sha256(&[name.as_bytes()]))
}

struct Probe {
    state: State,
    now: Timestamp,
    said: usize,
    serials: HashMap<String, u64>,
    role: Role,
    last_request: Option<StatementDigest>,
    grants: Vec<StatementDigest>,
    held: Vec<(usize, usize)>,
}

impl Probe {
    fn open() -> Self {
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
            role: Role::new("reader").expect("a role"),
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

    fn say(&mut self, author: &str, cosigners: &[&str], event: impl Into<Event>) -> StatementDigest {
        let event = event.into();
        let ledger = match &event {
            Event::LedgerOpened(event) => LedgerRef::Name(event.name.clone()),
            _ => LedgerRef::Id(self.state.ledger_id().expect("a ledger").clone()),
        };
        let head = self.state.head();
        let serial = self.serials.entry(author.to_owned()).or_insert(0);
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

    fn register(&mut self, subjects: usize) {
        for no in 0..subjects {
            self.register_one(&format!("user:subject-{no}"), PrincipalKind::Human, &format!("subject-{no}"));
        }
    }

    fn enrol(&mut self, subjects: usize) {
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

    fn resources(&mut self, resources: usize) {
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

    fn publish(&mut self) {
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

    fn request(&mut self, subject: usize, resource: usize) {
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
    fn decide(&mut self, subject: usize, resource: usize) {
        let request = self.last_request.take().expect("a request is open");
        let grant = self.approve_and_grant(request);
        self.grants.push(grant);
        self.held.push((subject, resource));
    }

    /// Grants the last request, in place of the grant with this number.
    fn decide_as(&mut self, no: usize) {
        let request = self.last_request.take().expect("a request is open");
        let grant = self.approve_and_grant(request);
        self.grants[no] = grant;
    }

    fn revoke(&mut self, no: usize) {
        let event = AccessRevoked { grant: self.grants[no], reason: text() };
        self.say("service:iam", &[], event);
    }
}
