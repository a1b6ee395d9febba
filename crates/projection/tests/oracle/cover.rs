//! For every code a statement that is refused with it, made in many variations.

use std::collections::BTreeMap;

use countersign_core::digest::{ClauseDigest, LeafHash, StatementDigest};
use countersign_core::event::*;
use countersign_core::id::*;
use countersign_core::policy::*;
use countersign_projection::governance::RefusalCode as Code;

use crate::support::act::*;
use crate::support::cast::*;
use crate::support::desk::{Desk, Draft, Tally};
use crate::support::make::*;
use crate::support::random::Random;

/// How often each code has to be seen.
pub(crate) const ENOUGH: u64 = 50;
const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

/// Makes every code that `judge` can give at least [`ENOUGH`] times; statements that are not refused as meant fail.
pub(crate) fn refuse_everything(companies: &[Desk]) -> Tally {
    let mut tally = Tally::default();
    let mut seen: BTreeMap<Code, u64> = BTreeMap::new();
    for code in Code::ALL {
        for round in 0..ENOUGH {
            let mut random = Random::new(round * 1_000 + *code as u64);
            let company = random.pick(companies);
            let mut scene = Scene { desk: company.clone(), random };
            scene.desk.pass(scene.random.between(0, 3_000));
            let found = scene.provoke(*code);
            assert_eq!(found, Err(*code), "round {round}");
            *seen.entry(*code).or_default() += 1;
            tally.add(&scene.desk.tally);
        }
    }
    assert_eq!(seen.len(), Code::ALL.len());
    tally
}

struct Scene {
    desk: Desk,
    random: Random,
}

type Verdict = Result<StatementDigest, Code>;

impl Scene {
    fn k(&self) -> usize {
        usize::try_from(self.desk.model.charter().quorum).unwrap()
    }

    fn governors(&self) -> Vec<&'static str> {
        GOVERNORS[..self.k()].to_vec()
    }

    fn govern(&mut self, event: impl Into<Event>) -> Verdict {
        let signers = self.governors();
        self.desk.say(signers[0], &signers[1..], event)
    }

    fn must_govern(&mut self, event: impl Into<Event>) -> StatementDigest {
        self.govern(event).unwrap()
    }

    /// Something harmless that everybody may say.
    fn plain(&mut self) -> Draft {
        self.desk.draft("user:alice", &[], asked("user:alice", "team:acme/web", Tier::Low))
    }

    /// Puts another company in place whose only path is this one.
    fn only(&mut self, path: Path) {
        let tally = self.desk.tally.clone();
        self.desk = with_path(path);
        self.desk.tally = tally;
        self.desk.pass(self.random.between(0, 3_000));
    }

    fn bootstrap(&mut self) {
        self.desk = staffed(shape(self.random.below(6)));
        self.desk.tally = Tally::default();
    }

    fn with_recovery(&mut self) {
        self.only(need(Capacity::BusinessOwner));
    }

    fn request(&mut self) -> StatementDigest {
        let (who, on) = (
            *self.random.pick(&["user:alice", "user:carol"]),
            *self.random.pick(&["db:books", "team:acme/pay"]),
        );
        self.desk.must(who, &[], asked(who, on, Tier::High))
    }

    fn approve(&mut self, who: &str, request: StatementDigest, capacity: Capacity) -> Verdict {
        let event = approved(&self.desk, request, capacity);
        self.desk.say(who, &[], event)
    }

    fn must_approve(&mut self, who: &str, request: StatementDigest, capacity: Capacity) -> StatementDigest {
        self.approve(who, request, capacity).unwrap()
    }

    /// A request that is approved, and the grant that follows.
    fn ready(&mut self) -> (StatementDigest, AccessGranted) {
        self.only(need(Capacity::BusinessOwner));
        let request = self.request();
        self.must_approve("user:olga", request, Capacity::BusinessOwner);
        (request, self.desk.state.propose_grant(&request, self.desk.at()).unwrap())
    }

    fn granted(&mut self) -> StatementDigest {
        let (_, grant) = self.ready();
        self.desk.must("service:iam", &[], grant)
    }

    fn enforcer(&mut self) -> &'static str {
        self.random.pick::<&str>(&["service:iam", "user:enf"])
    }

    fn recovery(&mut self, next: &[&str]) -> RecoveryProposed {
        RecoveryProposed { amendment: charter(2, next, true), reason: text("they are gone") }
    }

    fn amend(&mut self, charter: Charter) -> Verdict {
        self.govern(CharterAmended { charter, reason: text("as agreed") })
    }

    fn provoke(&mut self, code: Code) -> Verdict {
        match code {
            Code::LedgerId
            | Code::Genesis
            | Code::TimeBackwards
            | Code::Serial
            | Code::Seen
            | Code::SeenMissing
            | Code::UnknownKey
            | Code::KeyEnded
            | Code::KeyReused
            | Code::NoPossession
            | Code::SignerSet
            | Code::Backdated
            | Code::Postdated
            | Code::ClockDrift
            | Code::NeedsRules => self.envelope(code),
            Code::RulesVersion
            | Code::BeforePolicy
            | Code::Frozen
            | Code::NotFrozen
            | Code::AlreadyFrozen
            | Code::FreezeCooldown
            | Code::Quorum
            | Code::CharterInvalid
            | Code::LockOut
            | Code::CharterOnly
            | Code::NoRecovery
            | Code::RecoveryPending
            | Code::NoSuchRecovery => self.charter(code),
            Code::NoAuthority
            | Code::OutsideScope
            | Code::SecondPerson
            | Code::SamePerson
            | Code::OwnPerson
            | Code::NameTaken
            | Code::NameDeparted
            | Code::CaseTwin
            | Code::UnknownPrincipal
            | Code::PersonForm
            | Code::NoSuchKey
            | Code::KeyNotLive
            | Code::EnrolmentForm
            | Code::TooMany
            | Code::BadWindow
            | Code::FromTooEarly
            | Code::NoSuchCapacity
            | Code::NotDelegable
            | Code::NoSuchDelegation
            | Code::OutsideBasis
            | Code::TooDeep => self.people(code),
            Code::UnknownResource
            | Code::GovernedCycle
            | Code::GovernsOthers
            | Code::PolicyInvalid
            | Code::PolicyOverlap
            | Code::NoOwnerInPath
            | Code::NoSuchPolicy
            | Code::NoPolicy => self.resources(code),
            Code::TierMismatch
            | Code::EmptyNeed
            | Code::AboveCeiling
            | Code::NoSuchClass
            | Code::ClassNotOpen
            | Code::SodConflict
            | Code::ReplacesMismatch
            | Code::NoOpenRequest
            | Code::ClauseStale
            | Code::SelfApproval
            | Code::PolicyAuthor
            | Code::Enroller
            | Code::VendorApprover
            | Code::NotRequired
            | Code::StageClosed
            | Code::NotAuthor
            | Code::NothingToWithdraw => self.deciding(code),
            Code::ApprovalMissing
            | Code::ApprovalStale
            | Code::ApprovalVoid
            | Code::WitnessMismatch
            | Code::EnforcerIsParty
            | Code::GrantMismatch
            | Code::NoActiveGrant
            | Code::NoExceptionRule
            | Code::NoSuchException
            | Code::ExceptionOver
            | Code::NotPermitted => self.granting(code),
        }
    }

    fn envelope(&mut self, code: Code) -> Verdict {
        let mut draft = self.plain();
        let now = self.desk.now;
        match code {
            Code::LedgerId => {
                let other = LedgerName::new("other").unwrap();
                let genesis = StatementDigest::new([u8::try_from(self.random.below(256)).unwrap(); 32]);
                draft.ledger = Some(if self.random.chance(50) {
                    LedgerRef::Name(LedgerName::new("acme").unwrap())
                } else {
                    LedgerRef::Id(LedgerId::new(&other, genesis))
                });
            }
            Code::Genesis => {
                if self.random.chance(50) {
                    // Before there is anything, only a genesis is admitted.
                    self.desk = Desk { compared: false, ..Desk::new("2026-01-05T09:00:00.000Z") };
                    return match self.random.below(3) {
                        0 => self.desk.say("user:alice", &[], asked("user:alice", "db:books", Tier::Low)),
                        1 => {
                            self.desk.say(GOVERNORS[1], &[], genesis(1, &charter(1, &GOVERNORS[..1], false)))
                        }
                        _ => {
                            self.desk.say(GOVERNORS[0], &[], genesis(0, &charter(1, &GOVERNORS[..1], false)))
                        }
                    };
                }
                draft.event = genesis(1, &charter(2, &GOVERNORS[..2], false)).into();
            }
            Code::TimeBackwards => {
                self.desk.must("user:alice", &[], asked("user:alice", "team:acme/web", Tier::Low));
                self.desk.now -= self.random.between(1, 5_000);
            }
            Code::Serial => {
                let first = self.desk.draft("user:bob", &[], asked("user:bob", "team:acme/web", Tier::Low));
                let high = first.serial + 5_000;
                self.desk.put(Draft { serial: high, ..first.clone() }).unwrap();
                let below = *self.random.pick(&[0, 1_024, 1_025, 4_999]);
                draft = Draft { serial: high - below, ..first };
            }
            Code::Seen => {
                let size = self.desk.model.seq();
                let (leaf, _) = draft.seen.unwrap();
                let wrong = LeafHash::new([1; 32]);
                draft.seen =
                    Some(*self.random.pick(&[(wrong, size), (leaf, size - 1), (leaf, size + 1), (leaf, 0)]));
            }
            Code::SeenMissing => {
                self.only(need(Capacity::BusinessOwner));
                let before = self.desk.state.head();
                let request = self.request();
                let event: Event = if self.random.chance(50) {
                    approved(&self.desk, request, Capacity::BusinessOwner).into()
                } else {
                    denied(&self.desk, request, Capacity::BusinessOwner).into()
                };
                draft = self.desk.draft("user:olga", &[], event);
                draft.seen = self.random.chance(50).then_some((before.leaf, before.size));
            }
            Code::UnknownKey => {
                draft.signed_by.push("user:nobody".into());
                if self.random.chance(50) {
                    draft.signed_by = vec!["user:nobody".into()];
                }
            }
            Code::KeyEnded => {
                let event = KeyRetired {
                    key: key_bytes("user:alice"),
                    principal: principal("user:alice"),
                    reason: text("old"),
                };
                self.desk.must(
                    self.random.pick::<&str>(&["user:alice", "user:reg-a", "user:gov-c"]),
                    &[],
                    event,
                );
            }
            Code::KeyReused => {
                let event = enrolled(
                    "user:bob",
                    self.random.pick::<&str>(&["user:alice", "user:bob", RECORDER]),
                    Enrolment::Further,
                );
                draft = self.desk.draft("user:bob", &[], event);
                draft.signed_by = vec!["user:bob".into()];
            }
            Code::NoPossession => {
                draft = self.desk.draft("user:bob", &[], enrolled("user:bob", "another", Enrolment::Further));
                draft.signed_by = vec!["user:bob".into()];
            }
            Code::SignerSet => match self.random.below(4) {
                0 => draft.signed_by.push("user:bob".into()),
                1 => draft.cosigners.push("user:bob".into()),
                2 => {
                    draft.cosigners.push("user:bob".into());
                    draft.signed_by.push("user:bob".into());
                }
                _ => draft.signed_by = vec!["user:bob".into()],
            },
            Code::Backdated => draft.issued_at = now - HOUR - self.random.between(1, DAY),
            Code::Postdated => draft.issued_at = now + 300_000 + self.random.between(1, DAY),
            Code::ClockDrift => {
                self.desk.must("user:alice", &[], asked("user:alice", "team:acme/web", Tier::Low));
                self.desk.now += DAY + self.random.between(1, DAY);
                draft = self.desk.draft(RECORDER, &[], ClockStepped { reason: text("set") });
            }
            Code::NeedsRules => {
                if self.random.chance(30) {
                    self.desk = Desk { compared: false, ..Desk::new("2026-01-05T09:00:00.000Z") };
                    return self.desk.say(GOVERNORS[0], &[], genesis(2, &charter(1, &GOVERNORS[..1], false)));
                }
                let rules = self.random.between(2, 9);
                self.must_govern(LedgerUpgraded { reason: text("new rules"), rules });
                draft = self.plain();
            }
            other => panic!("{other} is not of the envelope"),
        }
        self.desk.put(draft)
    }

    fn charter(&mut self, code: Code) -> Verdict {
        let frozen = LedgerFrozen { reason: text("look into it") };
        let thawed = LedgerThawed { reason: text("looked into") };
        match code {
            Code::RulesVersion => {
                let rules = self.random.between(0, 1);
                self.govern(LedgerUpgraded { reason: text("old rules"), rules })
            }
            Code::BeforePolicy => {
                self.bootstrap();
                let draft = if self.random.chance(50) {
                    self.plain()
                } else {
                    let basis = right(&self.desk, Capacity::BusinessOwner, "user:olga", "*");
                    let event = delegated(basis, "user:bob", scope("*"), self.desk.now + DAY, 0);
                    self.desk.draft("user:olga", &[], event)
                };
                self.desk.put(draft)
            }
            Code::Frozen => {
                self.desk.must(GOVERNORS[0], &[], frozen);
                match self.random.below(3) {
                    0 => {
                        let draft = self.plain();
                        self.desk.put(draft)
                    }
                    1 => self.govern(LedgerUpgraded { reason: text("new rules"), rules: 2 }),
                    _ => self.desk.say(
                        "user:reg-a",
                        &["user:reg-b"],
                        registered("user:x", PrincipalKind::Human, &["x"]),
                    ),
                }
            }
            Code::NotFrozen => self.govern(thawed),
            Code::AlreadyFrozen => {
                self.desk.must(GOVERNORS[0], &[], frozen.clone());
                let who = *self.random.pick(&GOVERNORS[..3]);
                self.desk.say(who, &[], frozen)
            }
            Code::FreezeCooldown => {
                self.desk.must(GOVERNORS[0], &[], frozen.clone());
                self.must_govern(thawed);
                self.desk.now += self.random.between(0, 7 * DAY - 1);
                self.desk.say(GOVERNORS[0], &[], frozen)
            }
            Code::Quorum => {
                if self.random.chance(50) {
                    self.with_recovery();
                    let event = self.recovery(&GOVERNORS[..2]);
                    return self.desk.say(RECOVERY[0], &[], event);
                }
                self.desk = company(Shape { quorum: 2, ..shape(self.random.below(4)) });
                let capacity =
                    *self.random.pick(&[Capacity::Auditor, Capacity::Registrar, Capacity::PolicyOwner]);
                let cosigners: &[&str] = if self.random.chance(50) { &["user:alice"] } else { &[] };
                self.desk.say(GOVERNORS[0], cosigners, assigned(capacity, "user:bob", scope("*")))
            }
            Code::CharterInvalid => {
                let k = self.k() as u64;
                let mut next = charter(k, &GOVERNORS[..3], true);
                match self.random.below(5) {
                    0 => next.quorum = 0,
                    1 => next.recovery.as_mut().unwrap().quorum = *self.random.pick(&[0, 4]),
                    2 => next.recorder.controllers = [person("gov-a")].into_iter().collect(),
                    3 => {
                        let changed =
                            KeyHolder { person: person("someone"), ..holder(GOVERNORS[1], "gov-b") };
                        next.governors =
                            [holder(GOVERNORS[0], "gov-a"), changed, holder(GOVERNORS[2], "gov-c")]
                                .into_iter()
                                .collect();
                    }
                    _ => next.recorder.controllers = Default::default(),
                }
                self.amend(next)
            }
            Code::LockOut => {
                if self.random.chance(50) {
                    let next = charter(self.random.between(4, 9), &GOVERNORS[..3], false);
                    return self.amend(next);
                }
                let k = self.k() as u64;
                self.amend(charter(k, &GOVERNORS[..self.k()], false)).unwrap();
                let event = KeyRetired {
                    key: key_bytes(GOVERNORS[0]),
                    principal: principal(GOVERNORS[0]),
                    reason: text("tired"),
                };
                self.desk.say(GOVERNORS[0], &[], event)
            }
            Code::CharterOnly => match self.random.below(5) {
                0 => self.govern(assigned(
                    *self.random.clone().pick(&[Capacity::Governor, Capacity::Recorder]),
                    "user:bob",
                    scope("*"),
                )),
                1 => self.desk.say(
                    "user:reg-a",
                    &[],
                    PrincipalDeparted { principal: principal(GOVERNORS[1]), reason: text("left") },
                ),
                2 => {
                    let event = KeyRetired {
                        key: key_bytes(RECORDER),
                        principal: principal(RECORDER),
                        reason: text("old"),
                    };
                    self.desk.say(GOVERNORS[0], &[], event)
                }
                3 => {
                    let event = KeyCompromised {
                        from: None,
                        key: key_bytes(GOVERNORS[1]),
                        principal: principal(GOVERNORS[1]),
                        reason: text("stolen"),
                    };
                    self.desk.say("user:reg-a", &[], event)
                }
                _ => {
                    self.with_recovery();
                    let event = self.recovery(&["user:gov-a", "user:bob"]);
                    self.desk.must(RECOVERY[0], &[RECOVERY[1]], event);
                    let event = KeyRetired {
                        key: key_bytes("user:bob"),
                        principal: principal("user:bob"),
                        reason: text("old"),
                    };
                    self.desk.say("user:bob", &[], event)
                }
            },
            Code::NoRecovery => {
                if self.random.chance(50) {
                    self.with_recovery();
                } else {
                    self.desk = company(Shape { recovery: false, ..shape(0) });
                }
                let event = self.recovery(&GOVERNORS[..2]);
                self.desk.say(GOVERNORS[0], &[GOVERNORS[1]], event)
            }
            Code::RecoveryPending => {
                self.with_recovery();
                let event = self.recovery(&GOVERNORS[..2]);
                self.desk.must(RECOVERY[0], &[RECOVERY[1]], event.clone());
                self.desk.now += self.random.between(0, 3 * DAY - 1);
                self.desk.say(RECOVERY[1], &[RECOVERY[2]], event)
            }
            Code::NoSuchRecovery => {
                self.with_recovery();
                let proposal = if self.random.chance(50) {
                    let event = self.recovery(&GOVERNORS[..2]);
                    let proposal = self.desk.must(RECOVERY[0], &[RECOVERY[1]], event);
                    self.desk.now += 3 * DAY;
                    proposal
                } else {
                    StatementDigest::new([4; 32])
                };
                self.govern(RecoveryVetoed { proposal, reason: text("we are here") })
            }
            other => panic!("{other} is not of the charter"),
        }
    }

    fn people(&mut self, code: Code) -> Verdict {
        let registrars: &[&str] = &["user:reg-b"];
        let until = self.desk.now + DAY;
        let depart = |name: &str| PrincipalDeparted { principal: principal(name), reason: text("left") };
        match code {
            Code::NoAuthority => match self.random.below(5) {
                4 => {
                    self.only(need(Capacity::BusinessOwner));
                    let request = self.request();
                    let event = permitted(&self.desk, request, 60, "user:risk");
                    let exception = self.desk.must("user:exc", &[], event);
                    let who = *self.random.pick(&["user:bob", "user:rev", "user:reg-a"]);
                    self.desk.say(who, &[], ExceptionEnded { exception, reason: text("mischief") })
                }
                0 => self.desk.say(
                    "user:alice",
                    &["user:reg-b"],
                    registered("user:x", PrincipalKind::Human, &["x"]),
                ),
                1 => self.desk.say("user:bob", &[], depart("user:carol")),
                2 => self.desk.say(
                    "user:pol-a",
                    &[GOVERNORS[0]],
                    assigned(Capacity::Auditor, "user:bob", scope("*")),
                ),
                _ => self.desk.say("user:alice", &[], LedgerFrozen { reason: text("why not") }),
            },
            Code::OutsideScope => match self.random.below(3) {
                0 => self.desk.say(
                    "user:reg-team",
                    registrars,
                    registered("user:x", PrincipalKind::Human, &["x"]),
                ),
                1 => self.desk.say("user:reg-team", &["user:pol-a"], placed("db:new", Tier::Low, None)),
                _ => self.desk.say("user:pol-team", &["user:pol-a"], published("new", scope("*"), duties())),
            },
            Code::SecondPerson => {
                if self.random.chance(40) {
                    let key = self.desk.model.key(&key_id("user:bob")).unwrap();
                    let event = KeyCompromised {
                        from: Some(key.admitted + 1),
                        key: key_bytes("user:bob"),
                        principal: principal("user:bob"),
                        reason: text("stolen"),
                    };
                    let choices: [&[&str]; 3] = [&[], &["user:pol-a"], &["user:reg-team"]];
                    let beside = *self.random.pick(&choices);
                    return self.desk.say("user:reg-a", beside, event);
                }
                let cosigners: &[&str] = if self.random.chance(50) { &[] } else { &["user:pol-a"] };
                self.desk.say("user:reg-a", cosigners, registered("user:x", PrincipalKind::Human, &["x"]))
            }
            Code::SamePerson => {
                let name = "user:reg-b2";
                self.desk.must(
                    "user:reg-a",
                    &[GOVERNORS[0]],
                    registered(name, PrincipalKind::Human, &["reg-b"]),
                );
                self.desk.must("user:reg-a", &[GOVERNORS[0]], enrolled(name, name, Enrolment::First));
                self.must_govern(assigned(Capacity::Registrar, name, scope("*")));
                let pair = if self.random.chance(50) { ("user:reg-b", name) } else { (name, "user:reg-b") };
                self.desk.say(pair.0, &[pair.1], registered("user:x", PrincipalKind::Human, &["x"]))
            }
            Code::OwnPerson => match self.random.below(4) {
                0 => self.desk.say(
                    "user:reg-a",
                    registrars,
                    registered("user:x", PrincipalKind::Human, &["reg-a"]),
                ),
                1 => self.desk.say(
                    "user:reg-a",
                    registrars,
                    registered("service:x", PrincipalKind::Service, &["x", "reg-b"]),
                ),
                2 => self.desk.say(
                    "user:reg-a",
                    registrars,
                    assigned(Capacity::BusinessOwner, "user:reg-b", scope("*")),
                ),
                _ => self.govern(assigned(Capacity::Auditor, GOVERNORS[0], scope("*"))),
            },
            Code::NameTaken => match self.random.below(3) {
                0 => self.desk.say(
                    "user:reg-a",
                    registrars,
                    registered("user:alice", PrincipalKind::Human, &["x"]),
                ),
                1 => self.desk.say("user:reg-a", &["user:pol-a"], placed("team:acme/web", Tier::Low, None)),
                _ => {
                    self.with_recovery();
                    let event = self.recovery(&["user:gov-a", "user:gov-d"]);
                    self.desk.must(RECOVERY[0], &[RECOVERY[1]], event);
                    let name = *self.random.pick(&["user:gov-d", "user:GOV-D"]);
                    self.desk.say("user:reg-a", registrars, registered(name, PrincipalKind::Human, &["x"]))
                }
            },
            Code::NameDeparted => {
                self.desk.must("user:reg-a", &[], depart("user:bob"));
                if self.random.chance(30) {
                    let mut next = charter(1, &["user:gov-a"], false);
                    let back = KeyHolder { key: key_bytes("bob's new one"), ..holder("user:bob", "bob") };
                    next.governors = next.governors.iter().cloned().chain([back]).collect();
                    self.desk.learn("user:bob", "bob's new one");
                    return self.amend(next);
                }
                let name = *self.random.pick(&["user:bob", "user:BOB"]);
                self.desk.say("user:reg-a", registrars, registered(name, PrincipalKind::Human, &["bob"]))
            }
            Code::CaseTwin => match self.random.below(4) {
                0 => self.desk.say(
                    "user:reg-a",
                    registrars,
                    registered("user:Bob", PrincipalKind::Human, &["robert"]),
                ),
                1 => self.desk.say(
                    "user:reg-a",
                    registrars,
                    registered("user:x", PrincipalKind::Human, &["Bob"]),
                ),
                2 => self.desk.say("user:reg-a", &["user:pol-a"], placed("db:BOOKS", Tier::Low, None)),
                _ => {
                    let charter = charter(1, &["user:gov-a", "user:Gov-A"], false);
                    self.amend(charter)
                }
            },
            Code::UnknownPrincipal => match self.random.below(4) {
                0 => self.desk.say(
                    "user:reg-a",
                    registrars,
                    assigned(Capacity::Reviewer, "user:nobody", scope("*")),
                ),
                1 => self.desk.say("user:reg-a", &[], depart("user:nobody")),
                2 => self.desk.say("user:alice", &[], asked("user:nobody", "team:acme/web", Tier::Low)),
                _ => {
                    self.desk.must("user:reg-a", &[], depart("user:carol"));
                    self.desk.say("user:alice", &[], asked("user:carol", "team:acme/web", Tier::Low))
                }
            },
            Code::PersonForm => {
                let mut event = registered("user:x", PrincipalKind::Human, &["x"]);
                match self.random.below(4) {
                    0 => event.person = None,
                    1 => event.kind = *self.random.pick(&PrincipalKind::ALL[1..]),
                    2 => event.controllers = [person("y")].into_iter().collect(),
                    _ => event = PrincipalRegistered { kind: PrincipalKind::Service, person: None, ..event },
                }
                self.desk.say("user:reg-a", registrars, event)
            }
            Code::NoSuchKey => {
                let label = *self.random.pick(&["user:bob", "nobody's"]);
                let event = KeyRetired {
                    key: key_bytes(label),
                    principal: principal("user:alice"),
                    reason: text("old"),
                };
                self.desk.say("user:reg-a", &[], event)
            }
            Code::KeyNotLive => {
                let (key, name, reason) = (key_bytes("user:alice"), principal("user:alice"), text("old"));
                if self.random.chance(50) {
                    let event = KeyRetired { key, principal: name, reason };
                    self.desk.must("user:reg-a", &[], event.clone());
                    self.desk.say("user:reg-b", &[], event)
                } else {
                    let event = KeyCompromised { from: None, key, principal: name, reason };
                    self.desk.must("user:reg-a", &[], event.clone());
                    self.desk.say(self.random.clone().pick::<&str>(&["user:reg-b", GOVERNORS[0]]), &[], event)
                }
            }
            Code::EnrolmentForm => {
                let (form, author, beside): (_, _, &[&str]) = *self.random.pick(&[
                    (Enrolment::First, "user:reg-a", registrars),
                    (Enrolment::AfterLoss, "user:reg-a", registrars),
                    (Enrolment::Further, "user:bob", &[]),
                ]);
                self.desk.learn("user:alice", "another");
                self.desk.say(author, beside, enrolled("user:alice", "another", form))
            }
            Code::TooMany => match self.random.below(3) {
                0 => {
                    let all: Vec<String> = (0..65).map(|number| format!("many{number}")).collect();
                    let all: Vec<&str> = all.iter().map(String::as_str).collect();
                    self.desk.say(
                        "user:reg-a",
                        registrars,
                        registered("service:x", PrincipalKind::Service, &all),
                    )
                }
                1 => {
                    let mut draft = None;
                    for number in 0..64 {
                        let label = format!("alice#{number}");
                        let mut next = self.desk.draft(
                            "user:alice",
                            &[],
                            enrolled("user:alice", &label, Enrolment::Further),
                        );
                        next.signed_by = vec!["user:alice".into(), label];
                        if number < 63 {
                            self.desk.put(next).unwrap();
                        } else {
                            draft = Some(next);
                        }
                    }
                    self.desk.put(draft.unwrap())
                }
                _ => {
                    let mut above = "team:lab".to_owned();
                    for number in 1..16 {
                        let name = format!("team:lab/{number}");
                        self.desk.must("user:reg-a", &["user:pol-a"], placed(&name, Tier::Low, Some(&above)));
                        above = name;
                    }
                    self.desk.say(
                        "user:reg-a",
                        &["user:pol-a"],
                        placed("team:lab/16", Tier::Low, Some(&above)),
                    )
                }
            },
            Code::BadWindow => {
                let now = self.desk.now;
                match self.random.below(4) {
                    0 => {
                        let over = Some(instant(now - self.random.between(0, DAY)));
                        let event = CapacityAssigned {
                            until: over,
                            ..assigned(Capacity::Reviewer, "user:bob", scope("*"))
                        };
                        self.desk.say("user:reg-a", registrars, event)
                    }
                    1 => {
                        let basis = right(&self.desk, Capacity::BusinessOwner, "user:olga", "*");
                        let event = delegated(basis, "user:bob", scope("*"), now, 0);
                        self.desk.say("user:olga", &[], event)
                    }
                    2 => {
                        let expires = Some(instant(now + 30 * DAY + self.random.between(1, DAY)));
                        let event =
                            AccessRequested { expires, ..asked("user:alice", "team:acme/web", Tier::Low) };
                        self.desk.say("user:alice", &[], event)
                    }
                    _ => {
                        let from = Some(instant(now - self.random.between(1, DAY)));
                        let event = PolicyPublished { from, ..published("more", scope("*"), duties()) };
                        self.desk.say("user:pol-a", &["user:pol-b"], event)
                    }
                }
            }
            Code::FromTooEarly => {
                let admitted = self.desk.model.key(&key_id("user:alice")).unwrap().admitted;
                let from = *self.random.pick(&[0, admitted, self.desk.model.seq() + 1]);
                let event = KeyCompromised {
                    from: Some(from),
                    key: key_bytes("user:alice"),
                    principal: principal("user:alice"),
                    reason: text("stolen"),
                };
                let beside: &[&str] = if from < self.desk.model.seq() { registrars } else { &[] };
                self.desk.say("user:reg-a", beside, event)
            }
            Code::NoSuchCapacity => {
                let assignment = if self.random.chance(50) {
                    let held = right(&self.desk, Capacity::BusinessOwner, "user:olga", "*");
                    let event = CapacityWithdrawn { assignment: held, reason: text("moved on") };
                    self.desk.must("user:reg-a", &[], event);
                    held
                } else {
                    StatementDigest::new([2; 32])
                };
                if self.random.chance(50) {
                    let event = delegated(assignment, "user:bob", scope("*"), until, 0);
                    return self.desk.say("user:olga", &[], event);
                }
                self.desk.say("user:reg-a", &[], CapacityWithdrawn { assignment, reason: text("moved on") })
            }
            Code::NotDelegable => {
                let (capacity, who) = *self.random.pick(&[
                    (Capacity::ControlOwner, "user:ctl"),
                    (Capacity::Registrar, "user:reg-a"),
                    (Capacity::IamEnforcer, "user:enf"),
                    (Capacity::ExceptionApprover, "user:exc"),
                ]);
                let basis = right(&self.desk, capacity, who, "*");
                self.desk.say(who, &[], delegated(basis, "user:bob", scope("*"), until, 0))
            }
            Code::NoSuchDelegation => {
                let basis = right(&self.desk, Capacity::BusinessOwner, "user:olga", "*");
                let delegation = match self.random.below(3) {
                    0 => basis,
                    1 => StatementDigest::new([2; 32]),
                    _ => {
                        let delegation = self.desk.must(
                            "user:olga",
                            &[],
                            delegated(basis, "user:bob", scope("*"), until, 0),
                        );
                        self.desk.must(
                            "user:olga",
                            &[],
                            DelegationWithdrawn { delegation, reason: text("back") },
                        );
                        delegation
                    }
                };
                self.desk.say("user:olga", &[], DelegationWithdrawn { delegation, reason: text("back") })
            }
            Code::OutsideBasis => {
                let basis = right(&self.desk, Capacity::ApplicationOwner, "user:abe", "team:acme/*");
                let first = delegated(basis, "user:bob", scope("team:acme/pay"), until, 3);
                let basis = self.desk.must("user:abe", &[], first);
                let (over, end) = *self.random.pick(&[
                    ("team:acme/*", until),
                    ("team:acme/web", until),
                    ("team:acme/pay", until + 1),
                    ("*", until),
                ]);
                self.desk.say("user:bob", &[], delegated(basis, "user:carol", scope(over), end, 0))
            }
            Code::TooDeep => {
                let basis = right(&self.desk, Capacity::BusinessOwner, "user:olga", "*");
                if self.random.chance(50) {
                    let deep = self.random.between(8, 40);
                    return self.desk.say(
                        "user:olga",
                        &[],
                        delegated(basis, "user:bob", scope("*"), until, deep),
                    );
                }
                let depth = self.random.between(0, 7);
                let basis =
                    self.desk.must("user:olga", &[], delegated(basis, "user:bob", scope("*"), until, depth));
                self.desk.say("user:bob", &[], delegated(basis, "user:carol", scope("*"), until, depth))
            }
            other => panic!("{other} is not of people"),
        }
    }

    fn resources(&mut self, code: Code) -> Verdict {
        let owner: &[&str] = &["user:pol-b"];
        let document = |edit: &dyn Fn(&mut PolicyDocument)| {
            let mut document = empty_document();
            edit(&mut document);
            published("new", scope("other:thing"), document)
        };
        match code {
            Code::UnknownResource => match self.random.below(4) {
                0 => self.desk.say("user:alice", &[], asked("user:alice", "db:unheard-of", Tier::Low)),
                1 => self.desk.say(
                    "user:reg-a",
                    &[],
                    ResourceRetired { reason: text("gone"), resource: resource("db:unheard-of") },
                ),
                2 => self.desk.say(
                    "user:reg-a",
                    &["user:reg-b"],
                    assigned(Capacity::Reviewer, "user:bob", scope("db:unheard-of")),
                ),
                _ => self.desk.say(
                    "user:reg-a",
                    &["user:pol-a"],
                    placed("db:new", Tier::Low, Some("db:unheard-of")),
                ),
            },
            Code::GovernedCycle => {
                let above =
                    *self.random.pick(&["team:acme", "team:acme/pay", "team:acme/pay/eu", "db:vault"]);
                let event = ResourceChanged {
                    governed_by: Some(resource(above)),
                    ..changed(&self.desk, "team:acme")
                };
                self.desk.say("user:reg-a", &["user:pol-a", "user:otto"], event)
            }
            Code::GovernsOthers => {
                let name = *self.random.pick(&["scope:root", "team:acme", "team:acme/pay", "team:lab"]);
                self.desk.say(
                    "user:reg-a",
                    &[],
                    ResourceRetired { reason: text("gone"), resource: resource(name) },
                )
            }
            Code::PolicyInvalid => {
                let event = match self.random.below(5) {
                    0 => document(&|it| {
                        it.paths = vec![path_rule("twice", paths(0)), path_rule("twice", paths(1))]
                    }),
                    1 => document(&|it| {
                        it.sod = [sod_rule("empty", &[], &[("*", None)])].into_iter().collect()
                    }),
                    2 => document(&|it| {
                        let rule = CustomRule {
                            capacities: Default::default(),
                            namespace: Namespace::new("example.org/x").unwrap(),
                        };
                        it.custom = [rule].into_iter().collect();
                    }),
                    3 => document(&|it| {
                        it.exceptions = vec![ExceptionRule { when: text(" "), ..exception_rule(60) }]
                    }),
                    _ => document(&|it| {
                        it.windows = Some(Windows {
                            cosigned_seconds: None,
                            decision_seconds: None,
                            request_seconds: None,
                            statement_seconds: Some(seconds(3_601)),
                        });
                    }),
                };
                self.desk.say("user:pol-a", owner, event)
            }
            Code::PolicyOverlap => {
                let over = *self.random.pick(&["*", "team:acme/*", "db:books"]);
                let mut event = document(&|it| it.tiers = tiers(60));
                match self.random.below(4) {
                    0 => event.document.paths = vec![path_rule("local", paths(0))],
                    1 => event.document.exceptions = vec![exception_rule(60)],
                    2 => {
                        event.document.tiers = Default::default();
                        event.document.custom = document_custom();
                    }
                    _ => {}
                }
                self.desk.say("user:pol-a", owner, PolicyPublished { scope: scope(over), ..event })
            }
            Code::NoOwnerInPath => {
                let ctl = need(Capacity::ControlOwner);
                let path = match self.random.below(4) {
                    0 => ctl,
                    1 => any(vec![need(Capacity::BusinessOwner), ctl]),
                    2 => all(vec![ctl, need(Capacity::RiskOwner)]),
                    _ => {
                        Path::AtLeast(2, vec![ctl, need(Capacity::BusinessOwner), need(Capacity::RiskOwner)])
                    }
                };
                self.desk.say(
                    "user:pol-a",
                    owner,
                    document(&|it| it.paths = vec![path_rule("unowned", path.clone())]),
                )
            }
            Code::NoSuchPolicy => {
                let mut policy = StatementDigest::new([6; 32]);
                if self.random.chance(50) {
                    policy = self.desk.must("user:pol-a", owner, published("more", scope("*"), duties()));
                    self.desk.must(
                        "user:pol-b",
                        &["user:pol-a"],
                        PolicyWithdrawn { policy, reason: text("no longer") },
                    );
                }
                if self.random.chance(50) {
                    let event = opened_class("baseline", policy, self.desk.now + DAY, "user:risk");
                    return self.desk.say("user:exc", &["user:risk"], event);
                }
                self.desk.say("user:pol-a", owner, PolicyWithdrawn { policy, reason: text("no longer") })
            }
            Code::NoPolicy => {
                self.only(need(Capacity::BusinessOwner));
                let request = self.request();
                let main = policy(&self.desk, "main");
                self.desk.must(
                    "user:pol-a",
                    owner,
                    PolicyWithdrawn { policy: main, reason: text("no longer") },
                );
                if self.random.chance(50) {
                    return self.approve("user:olga", request, Capacity::BusinessOwner);
                }
                let draft = self.plain();
                self.desk.put(draft)
            }
            other => panic!("{other} is not of resources"),
        }
    }

    fn deciding(&mut self, code: Code) -> Verdict {
        let biz = Capacity::BusinessOwner;
        match code {
            Code::TierMismatch => {
                let tier = *self.random.pick(&[Tier::Medium, Tier::High, Tier::Critical]);
                self.desk.say("user:alice", &[], asked("user:alice", "team:acme/web", tier))
            }
            Code::EmptyNeed => {
                let blank = *self.random.pick(&[" ", "\t", "  \n "]);
                if self.random.chance(50) {
                    let event = AccessRequested {
                        need: text(blank),
                        ..asked("user:alice", "team:acme/web", Tier::Low)
                    };
                    return self.desk.say("user:alice", &[], event);
                }
                self.only(need(biz));
                let request = self.request();
                let event: Event = match self.random.below(3) {
                    0 => AccessApproved { need: text(blank), ..approved(&self.desk, request, biz) }.into(),
                    1 => AccessDenied { reason: text(blank), ..denied(&self.desk, request, biz) }.into(),
                    _ => ExceptionGranted {
                        need: text(blank),
                        ..permitted(&self.desk, request, 60, "user:risk")
                    }
                    .into(),
                };
                let who = if matches!(event, Event::ExceptionGranted(_)) { "user:exc" } else { "user:olga" };
                self.desk.say(who, &[], event)
            }
            Code::AboveCeiling => {
                let long = self.random.between(86_401, 10_000_000);
                let hold = Hold::Seconds(seconds(long));
                if self.random.chance(60) {
                    let event = AccessRequested { hold, ..asked("user:alice", "team:acme/web", Tier::Low) };
                    return self.desk.say("user:alice", &[], event);
                }
                if self.random.chance(50) {
                    // Policy no longer says how long, and who approved knew it.
                    self.only(need(biz));
                    let request = self.request();
                    let words = self.desk.model.in_force(self.desk.now);
                    let words = words.into_iter().find(|p| p.event.name.as_str() == "main").unwrap();
                    let mut event = words.event.clone();
                    event.document.tiers = Default::default();
                    self.desk.must("user:pol-a", &["user:pol-b"], event);
                    let approval = self.must_approve("user:olga", request, biz);
                    let grant = AccessGranted {
                        clause: clause(&self.desk, &request),
                        ends_on: [EndEvent::Offboarding, EndEvent::ResourceRetired].into_iter().collect(),
                        exception: None,
                        hold: Hold::Seconds(seconds(3_600)),
                        policy: policy(&self.desk, "main"),
                        replaces: None,
                        request,
                        witness: vec![WitnessItem { approval, requirement: 0 }],
                    };
                    let who = self.enforcer();
                    return self.desk.say(who, &[], grant);
                }
                let (_, grant) = self.ready();
                let who = self.enforcer();
                self.desk.say(who, &[], AccessGranted { hold, ..grant })
            }
            Code::NoSuchClass => {
                let hold = Hold::Class(label("unheard-of"));
                let event = AccessRequested { hold, ..asked("user:alice", "team:acme/web", Tier::Low) };
                self.desk.say("user:alice", &[], event)
            }
            Code::ClassNotOpen => {
                self.only(need(biz));
                if self.random.chance(50) {
                    let event = opened_class(
                        "baseline",
                        policy(&self.desk, "main"),
                        self.desk.now + DAY,
                        "user:risk",
                    );
                    self.desk.must("user:exc", &["user:risk"], event);
                    self.desk.now += DAY + self.random.between(0, DAY);
                }
                let hold = Hold::Class(label("baseline"));
                let event = AccessRequested { hold, ..asked("user:alice", "team:acme/web", Tier::Low) };
                self.desk.say("user:alice", &[], event)
            }
            Code::SodConflict => {
                self.only(need(biz));
                let rule = sod_rule("pay", &[("*", Some("payer"))], &[("*", Some("reader"))]);
                let document = PolicyDocument { sod: [rule].into_iter().collect(), ..empty_document() };
                self.desk.must("user:pol-a", &["user:pol-b"], published("sod", scope("*"), document));
                let reader = asked("user:alice", "db:books", Tier::High);
                let payer = AccessRequested {
                    role: role("payer"),
                    ..asked("user:ALICE", "team:acme/pay", Tier::High)
                };
                let (first, second) = if self.random.chance(50) { (reader, payer) } else { (payer, reader) };
                let late = self.random.chance(50);
                let waiting = late.then(|| self.desk.must("user:carol", &[], second.clone()));
                let request = self.desk.must("user:alice", &[], first);
                self.must_approve("user:olga", request, biz);
                let ahead = waiting.filter(|_| self.random.chance(50));
                let ready = ahead.map(|request| {
                    self.must_approve("user:ora", request, biz);
                    self.desk.state.propose_grant(&request, self.desk.at()).unwrap()
                });
                let grant = self.desk.state.propose_grant(&request, self.desk.at()).unwrap();
                self.desk.must("service:iam", &[], grant);
                match (ready, waiting) {
                    (Some(grant), _) => self.desk.say("service:iam", &[], grant),
                    (None, Some(request)) => self.approve("user:ora", request, biz),
                    (None, None) => self.desk.say("user:carol", &[], second),
                }
            }
            Code::ReplacesMismatch => {
                let grant = self.granted();
                let event = AccessRequested {
                    replaces: Some(grant),
                    ..asked("user:bob", "team:acme/web", Tier::Low)
                };
                if self.random.chance(50) {
                    return self.desk.say("user:bob", &[], event);
                }
                let who = self.desk.state.grant(&grant).unwrap().subject.to_string();
                let event = AccessRequested { subject: principal(&who), ..event };
                let request = self.desk.must(&who, &[], event);
                self.must_approve("user:olga", request, biz);
                let proposed = self.desk.state.propose_grant(&request, self.desk.at()).unwrap();
                if self.random.chance(50) {
                    self.desk.must("user:rev", &[], revoked(grant));
                    return self.desk.say("service:iam", &[], proposed);
                }
                self.desk.say("service:iam", &[], AccessGranted { replaces: None, ..proposed })
            }
            Code::NoOpenRequest => {
                self.only(need(biz));
                let request = self.request();
                let event: Event = match self.random.below(3) {
                    0 => approved(&self.desk, request, biz).into(),
                    1 => denied(&self.desk, request, biz).into(),
                    _ => approved(&self.desk, StatementDigest::new([5; 32]), biz).into(),
                };
                match self.random.below(3) {
                    0 => drop(self.desk.must("user:olga", &[], denied(&self.desk.clone(), request, biz))),
                    1 => self.desk.now += 30 * DAY,
                    _ => {
                        let who = self.desk.model.request(&request).unwrap().requester.to_string();
                        self.desk.must(&who, &[], AccessWithdrawn { reason: None, statement: request });
                    }
                }
                self.desk.say("user:ora", &[], event)
            }
            Code::ClauseStale => {
                self.only(need(biz));
                let request = self.request();
                let before = approved(&self.desk, request, biz);
                let on = self.desk.model.request(&request).unwrap().event.resource.to_string();
                let event =
                    ResourceChanged { environment: Some(label("production")), ..changed(&self.desk, &on) };
                self.desk.must("user:reg-a", &["user:pol-a"], event);
                let clause = if self.random.chance(50) { before.clause } else { ClauseDigest::new([8; 32]) };
                self.desk.say("user:olga", &[], AccessApproved { clause, ..before })
            }
            Code::SelfApproval => {
                self.only(need(biz));
                if self.random.chance(30) {
                    // Who approved becomes one person with the requester by a delegation, before the grant.
                    let request =
                        self.desk.must("user:ora", &[], asked("user:carol", "db:books", Tier::High));
                    self.must_approve("user:olga", request, biz);
                    let proposed = self.desk.state.propose_grant(&request, self.desk.at()).unwrap();
                    let (from, to, on) = *self
                        .random
                        .pick(&[("user:ora", "user:olga", "scope:root"), ("user:olga", "user:ora", "*")]);
                    let basis = right(&self.desk, biz, from, on);
                    let end = self.desk.now + self.random.between(1, DAY);
                    self.desk.must(from, &[], delegated(basis, to, scope("db:books"), end, 0));
                    // That it is over does not make it never have been.
                    self.desk.now += self.random.between(0, 2 * DAY);
                    let who = self.enforcer();
                    return self.desk.say(who, &[], proposed);
                }
                let (by, subject) = *self.random.pick(&[
                    ("user:olga", "user:alice"),
                    ("user:alice", "user:olga"),
                    ("user:olga-admin", "user:alice"),
                    ("user:alice", "service:ci"),
                    ("service:ci", "user:carol"),
                ]);
                let request = self.desk.must(by, &[], asked(subject, "db:books", Tier::High));
                self.approve("user:olga", request, biz)
            }
            Code::PolicyAuthor => {
                self.only(need(biz));
                self.must_govern(assigned(Capacity::PolicyOwner, "user:olga", scope("*")));
                let words = self
                    .desk
                    .model
                    .in_force(self.desk.now)
                    .into_iter()
                    .find(|p| p.event.name.as_str() == "main");
                let words = words.unwrap().event.clone();
                let pair = if self.random.chance(50) {
                    ("user:olga", "user:pol-b")
                } else {
                    ("user:pol-b", "user:olga")
                };
                self.desk.must(pair.0, &[pair.1], words);
                let request = self.request();
                self.approve("user:olga", request, biz)
            }
            Code::Enroller => {
                self.only(all(vec![need(biz), need(Capacity::ControlOwner)]));
                let new = "user:fresh";
                self.desk.must(
                    "user:reg-a",
                    &["user:reg-b"],
                    registered(new, PrincipalKind::Human, &["fresh"]),
                );
                self.desk.must("user:reg-a", &["user:reg-b"], enrolled(new, new, Enrolment::First));
                if self.random.chance(50) {
                    // A key enrolled with such a key is no better.
                    self.desk.learn(new, "fresh#2");
                    let mut draft = self.desk.draft(new, &[], enrolled(new, "fresh#2", Enrolment::Further));
                    draft.key = new.into();
                    draft.signed_by = vec![new.into(), "fresh#2".into()];
                    self.desk.put(draft).unwrap();
                }
                self.desk.must("user:reg-a", &["user:pol-a"], assigned(biz, new, scope("*")));
                if self.random.chance(50) {
                    let by = *self.random.pick(&["user:reg-a", "user:reg-b"]);
                    let request = self.desk.must(by, &[], asked("user:alice", "db:books", Tier::High));
                    return self.approve(new, request, biz);
                }
                self.must_govern(assigned(Capacity::ControlOwner, "user:reg-b", scope("*")));
                let request = self.request();
                if self.random.chance(50) {
                    self.must_approve(new, request, biz);
                    self.approve("user:reg-b", request, Capacity::ControlOwner)
                } else {
                    self.must_approve("user:reg-b", request, Capacity::ControlOwner);
                    self.approve(new, request, biz)
                }
            }
            Code::VendorApprover => {
                self.only(need(biz));
                if self.random.chance(40) {
                    self.must_govern(assigned(Capacity::ExceptionApprover, "service:vendor", scope("*")));
                    if self.random.chance(50) {
                        let event = opened_class(
                            "baseline",
                            policy(&self.desk, "main"),
                            self.desk.now + DAY,
                            "user:risk",
                        );
                        return self.desk.say("service:vendor", &["user:risk"], event);
                    }
                    let request = self.request();
                    let event = permitted(&self.desk, request, 60, "user:risk");
                    return self.desk.say("service:vendor", &[], event);
                }
                let on = *self.random.pick(&["team:acme/pay", "team:acme/pay/eu"]);
                let request = self.desk.must("user:alice", &[], asked("user:alice", on, Tier::High));
                if self.random.chance(50) {
                    let event = denied(&self.desk, request, biz);
                    return self.desk.say("service:vendor", &[], event);
                }
                self.approve("service:vendor", request, biz)
            }
            Code::NotRequired => {
                self.only(need(biz));
                let request = self.request();
                match self.random.below(3) {
                    0 => self.approve("user:ctl", request, Capacity::ControlOwner),
                    1 => {
                        self.must_approve("user:olga", request, biz);
                        self.approve("user:ora", request, biz)
                    }
                    _ => {
                        let event = permitted(&self.desk, request, 60, "user:risk");
                        self.desk.must("user:exc", &[], event.clone());
                        self.desk.say("user:exc", &[], event)
                    }
                }
            }
            Code::StageClosed => {
                self.only(Path::Stages(vec![
                    need(biz),
                    need(Capacity::ControlOwner),
                    need(Capacity::RiskOwner),
                ]));
                let request = self.request();
                if self.random.chance(50) {
                    self.must_approve("user:olga", request, biz);
                    return self.approve("user:risk", request, Capacity::RiskOwner);
                }
                self.approve("user:ctl", request, Capacity::ControlOwner)
            }
            Code::NotAuthor => {
                self.only(all(vec![need(biz), need(Capacity::ControlOwner)]));
                let request = self.request();
                let approval = self.must_approve("user:olga", request, biz);
                let statement = if self.random.chance(50) { request } else { approval };
                self.desk.say("user:bob", &[], AccessWithdrawn { reason: None, statement })
            }
            Code::NothingToWithdraw => {
                self.only(need(biz));
                let request = self.request();
                let approval = self.must_approve("user:olga", request, biz);
                let (statement, who) = match self.random.below(3) {
                    0 => (approval, "user:olga"),
                    1 => (StatementDigest::new([5; 32]), "user:alice"),
                    _ => {
                        let proposed = self.desk.state.propose_grant(&request, self.desk.at()).unwrap();
                        self.desk.must("service:iam", &[], proposed);
                        (request, "user:alice")
                    }
                };
                if statement == approval {
                    self.desk.must(who, &[], AccessWithdrawn { reason: None, statement });
                }
                self.desk.say(who, &[], AccessWithdrawn { reason: None, statement })
            }
            other => panic!("{other} is not of deciding"),
        }
    }

    fn granting(&mut self, code: Code) -> Verdict {
        let biz = Capacity::BusinessOwner;
        match code {
            Code::ApprovalMissing => {
                self.only(all(vec![need(biz), need(Capacity::ControlOwner)]));
                let request = self.request();
                self.must_approve("user:olga", request, biz);
                let control = self.must_approve("user:ctl", request, Capacity::ControlOwner);
                let proposed = self.desk.state.propose_grant(&request, self.desk.at()).unwrap();
                let mut witness = proposed.witness.clone();
                match self.random.below(3) {
                    0 => witness.retain(|item| item.approval == control),
                    1 => drop(witness.pop()),
                    _ => witness.clear(),
                }
                let who = self.enforcer();
                self.desk.say(who, &[], AccessGranted { witness, ..proposed })
            }
            Code::ApprovalStale => {
                let (request, proposed) = self.ready();
                let on = self.desk.model.request(&request).unwrap().event.resource.to_string();
                let mut event = changed(&self.desk, &on);
                if self.random.chance(50) {
                    event.environment = Some(label("production"));
                } else {
                    event.tier = Tier::Critical;
                }
                self.desk.must("user:reg-a", &["user:pol-a"], event);
                let who = self.enforcer();
                let clause = clause(&self.desk, &request);
                self.desk.say(who, &[], AccessGranted { clause, ..proposed })
            }
            Code::ApprovalVoid => {
                let (_, proposed) = self.ready();
                let who = self.enforcer();
                match self.random.below(4) {
                    0 => {
                        let held = right(&self.desk, biz, "user:olga", "*");
                        self.desk.must(
                            "user:reg-a",
                            &[],
                            CapacityWithdrawn { assignment: held, reason: text("moved on") },
                        );
                    }
                    1 => drop(self.desk.must(
                        "user:reg-a",
                        &[],
                        PrincipalDeparted { principal: principal("user:olga"), reason: text("left") },
                    )),
                    2 => {
                        let from = Some(self.desk.model.key(&key_id("user:olga")).unwrap().admitted + 1);
                        let event = KeyCompromised {
                            from,
                            key: key_bytes("user:olga"),
                            principal: principal("user:olga"),
                            reason: text("stolen"),
                        };
                        self.desk.must("user:reg-a", &["user:reg-b"], event);
                    }
                    _ => drop(self.desk.must(
                        "user:olga",
                        &[],
                        AccessWithdrawn { reason: None, statement: proposed.witness[0].approval },
                    )),
                }
                self.desk.say(who, &[], proposed)
            }
            Code::WitnessMismatch => {
                if self.random.chance(25) {
                    // As good as what is derived, but an automation has no choice.
                    self.only(all(vec![need(biz), need(biz)]));
                    let request = self.request();
                    self.must_approve("user:olga", request, biz);
                    self.must_approve("user:ora", request, biz);
                    let proposed = self.desk.state.propose_grant(&request, self.desk.at()).unwrap();
                    let places = [1, 0].map(|place: usize| proposed.witness[place].approval);
                    let items = places.into_iter().zip(0..);
                    let witness =
                        items.map(|(approval, requirement)| WitnessItem { approval, requirement }).collect();
                    let other = AccessGranted { witness, ..proposed };
                    let mut fork = self.desk.clone();
                    fork.must("user:enf", &[], other.clone());
                    return self.desk.say("service:iam", &[], other);
                }
                if self.random.chance(20) {
                    // An exception stands in for approvals.
                    let (request, proposed) = self.ready();
                    let event = permitted(&self.desk, request, 600, "user:risk");
                    let exception = self.desk.must("user:exc", &[], event);
                    let who = self.enforcer();
                    return self.desk.say(who, &[], AccessGranted { exception: Some(exception), ..proposed });
                }
                self.only(all(vec![need(biz), need(Capacity::ControlOwner)]));
                let request = self.request();
                self.must_approve("user:olga", request, biz);
                self.must_approve("user:ctl", request, Capacity::ControlOwner);
                let proposed = self.desk.state.propose_grant(&request, self.desk.at()).unwrap();
                let mut witness = proposed.witness.clone();
                match self.random.below(3) {
                    0 => witness.reverse(),
                    1 => witness[0].requirement = 1,
                    _ => witness[1].requirement = self.random.between(2, 1 << 50),
                }
                let who = self.enforcer();
                self.desk.say(who, &[], AccessGranted { witness, ..proposed })
            }
            Code::EnforcerIsParty => {
                self.only(need(biz));
                self.must_govern(assigned(Capacity::IamEnforcer, "user:olga-admin", scope("*")));
                self.must_govern(assigned(Capacity::IamEnforcer, "user:ALICE", scope("*")));
                let request = self.desk.must("user:alice", &[], asked("user:alice", "db:books", Tier::High));
                self.must_approve("user:olga", request, biz);
                let proposed = self.desk.state.propose_grant(&request, self.desk.at()).unwrap();
                let who = *self.random.pick(&["user:olga-admin", "user:ALICE"]);
                self.desk.say(who, &[], proposed)
            }
            Code::GrantMismatch => {
                let (_, mut proposed) = self.ready();
                let who = self.enforcer();
                match self.random.below(4) {
                    0 => proposed.policy = StatementDigest::new([5; 32]),
                    1 => proposed.ends_on = [EndEvent::Offboarding].into_iter().collect(),
                    2 => proposed.hold = Hold::Class(label("baseline")),
                    _ => {
                        proposed.hold = Hold::Seconds(seconds(self.random.between(1, 3_599)));
                        return self.desk.say("service:iam", &[], proposed);
                    }
                }
                self.desk.say(who, &[], proposed)
            }
            Code::NoActiveGrant => {
                let grant = self.granted();
                match self.random.below(3) {
                    0 => drop(self.desk.must("user:rev", &[], revoked(grant))),
                    1 => self.desk.now += HOUR + self.random.between(0, DAY),
                    _ => return self.desk.say("user:rev", &[], revoked(StatementDigest::new([5; 32]))),
                }
                self.desk.say("user:rev", &[], revoked(grant))
            }
            Code::NoExceptionRule => {
                self.bootstrap();
                let document = PolicyDocument {
                    paths: vec![path_rule("only", paths(0))],
                    tiers: tiers(86_400),
                    ..empty_document()
                };
                self.must_govern(published("main", scope("*"), document));
                let request = self.request();
                let event = permitted(&self.desk, request, self.random.between(1, 90), "user:risk");
                self.desk.say("user:exc", &[], event)
            }
            Code::NoSuchException => {
                self.only(need(biz));
                let request = self.request();
                let other = self.desk.must("user:dan", &[], asked("user:dan", "db:books", Tier::High));
                let event = permitted(&self.desk, request, 60, "user:risk");
                let exception = self.desk.must("user:exc", &[], event);
                let mut proposed = self.desk.state.propose_grant(&request, self.desk.at()).unwrap();
                match self.random.below(3) {
                    0 => proposed.exception = Some(request),
                    1 => {
                        self.desk.must("user:risk", &[], ExceptionEnded { exception, reason: text("over") });
                        if self.random.chance(50) {
                            return self.desk.say(
                                "user:risk",
                                &[],
                                ExceptionEnded { exception, reason: text("over") },
                            );
                        }
                    }
                    _ => {
                        let event = permitted(&self.desk, other, 60, "user:risk");
                        proposed.exception = Some(self.desk.must("user:exc", &[], event));
                    }
                }
                let who = self.enforcer();
                self.desk.say(who, &[], proposed)
            }
            Code::ExceptionOver => {
                self.only(need(biz));
                let request = self.request();
                let long = self.random.between(1, 600);
                let event = permitted(&self.desk, request, long, "user:risk");
                self.desk.must("user:exc", &[], event);
                let proposed = self.desk.state.propose_grant(&request, self.desk.at()).unwrap();
                self.desk.now += long * 1_000 + self.random.between(0, HOUR);
                let who = self.enforcer();
                self.desk.say(who, &[], proposed)
            }
            Code::NotPermitted => {
                let (who, space) = *self.random.pick(&[
                    ("user:alice", "example.org/tickets"),
                    ("user:rev", "example.org/other"),
                    ("user:reg-a", "example.org/tickets"),
                ]);
                let event = Custom {
                    data: countersign_core::wire::RawObject::new("{}").unwrap(),
                    name: label("opened"),
                    namespace: Namespace::new(space).unwrap(),
                };
                self.desk.say(who, &[], event)
            }
            other => panic!("{other} is not of granting"),
        }
    }
}

fn document_custom() -> countersign_core::wire::Sorted<CustomRule> {
    document(0).custom
}

fn genesis(rules: u64, charter: &Charter) -> LedgerOpened {
    LedgerOpened {
        governors: charter.governors.clone(),
        name: LedgerName::new("acme").unwrap(),
        quorum: charter.quorum,
        recorder: charter.recorder.clone(),
        recovery: charter.recovery.clone(),
        rules,
        suite: Suite,
    }
}
