//! Random events of every kind, and random policy documents: well-formed, not always admissible.

use countersign_core::digest::*;
use countersign_core::event::*;
use countersign_core::id::*;
use countersign_core::key::Signature;
use countersign_core::policy::*;
use countersign_core::scan::MAX_INTEGER;
use countersign_core::statement::{Seen, SignaturePart, Statement, Version};
use countersign_core::time::{Seconds, Timestamp};
use countersign_core::wire::{KeyBytes, RawObject, Set, Sorted, Text, Wire};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

pub(crate) fn principal() -> impl Strategy<Value = Principal> {
    prop_oneof![
        4 => "user:[A-Za-z0-9._@+-]{1,6}",
        1 => "(service|agent|automation):[a-z/]{1,5}",
        1 => "spiffe://[a-z.]{1,6}(/[A-Za-z0-9_-]{1,4}){0,3}",
    ]
    .prop_map(|text| Principal::new(&text).unwrap())
}

pub(crate) fn person() -> impl Strategy<Value = Person> {
    "person:[a-z]{1,4}".prop_map(|text| Person::new(&text).unwrap())
}

pub(crate) fn resource() -> impl Strategy<Value = Resource> {
    "(team|org|db):[a-z]{1,4}(/[A-Za-z0-9_+@-]{1,4}){0,3}".prop_map(|text| Resource::new(&text).unwrap())
}

pub(crate) fn pattern() -> impl Strategy<Value = Pattern> {
    prop_oneof![
        Just(Pattern::everything()),
        resource().prop_map(|resource| Pattern::from(&resource)),
        resource().prop_map(|resource| Pattern::new(&format!("{resource}/*")).unwrap()),
    ]
}

pub(crate) fn role() -> impl Strategy<Value = Role> {
    "[a-z][a-z0-9_-]{0,5}".prop_map(|text| Role::new(&text).unwrap())
}

pub(crate) fn label() -> impl Strategy<Value = Label> {
    "[a-z][a-z0-9_-]{0,5}".prop_map(|text| Label::new(&text).unwrap())
}

fn process() -> impl Strategy<Value = Process> {
    "[a-z0-9][a-z0-9._/-]{0,5}".prop_map(|text| Process::new(&text).unwrap())
}

fn namespace() -> impl Strategy<Value = Namespace> {
    "[a-z0-9][a-z0-9._/-]{0,5}".prop_map(|text| Namespace::new(&text).unwrap())
}

fn ledger_name() -> impl Strategy<Value = LedgerName> {
    "[a-z0-9][a-z0-9._-]{0,5}(/[a-z]{1,3})?".prop_map(|text| LedgerName::new(&text).unwrap())
}

fn digest() -> impl Strategy<Value = StatementDigest> {
    any::<[u8; 32]>().prop_map(StatementDigest::new)
}

fn clause_digest() -> impl Strategy<Value = ClauseDigest> {
    any::<[u8; 32]>().prop_map(ClauseDigest::new)
}

fn key() -> impl Strategy<Value = KeyBytes> {
    any::<[u8; 32]>().prop_map(KeyBytes)
}

fn instant() -> impl Strategy<Value = Timestamp> {
    prop_oneof![Just(Timestamp::MIN), Just(Timestamp::MAX), (0..=Timestamp::MAX.millis()).prop_map(at)]
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis).unwrap()
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(MAX_INTEGER), 0..100_u64, 0..=MAX_INTEGER]
}

fn seconds() -> impl Strategy<Value = Seconds> {
    prop_oneof![Just(1), Just(MAX_INTEGER), 1..=MAX_INTEGER].prop_map(|count| Seconds::new(count).unwrap())
}

fn text() -> impl Strategy<Value = Text> {
    prop_oneof![
        3 => super::text().prop_filter("not empty", |text| !text.is_empty()).prop_map(|text| Text::new(text).unwrap()),
        1 => (any::<[u8; 32]>(), number())
            .prop_map(|(bytes, length)| Text::Committed { commitment: Digest::new(bytes), length }),
    ]
}

fn set<T: Wire + std::fmt::Debug>(item: impl Strategy<Value = T>) -> impl Strategy<Value = Set<T>> {
    vec(item, 0..4).prop_map(|items| items.into_iter().collect())
}

fn tier() -> impl Strategy<Value = Tier> {
    select(Tier::ALL)
}

fn capacity() -> impl Strategy<Value = Capacity> {
    select(Capacity::ALL)
}

fn scope() -> impl Strategy<Value = Scope> {
    (set(pattern()), pattern()).prop_map(|(except, on)| Scope { except, on })
}

fn hold() -> impl Strategy<Value = Hold> {
    prop_oneof![seconds().prop_map(Hold::Seconds), label().prop_map(Hold::Class)]
}

fn ends_on() -> impl Strategy<Value = Set<EndEvent>> {
    set(select(EndEvent::ALL))
}

fn holders() -> impl Strategy<Value = Sorted<KeyHolder>> {
    let holder = (key(), person(), principal()).prop_map(|(key, person, principal)| KeyHolder {
        key,
        person,
        principal,
    });
    vec(holder, 0..4).prop_map(|holders| holders.into_iter().collect())
}

fn charter() -> impl Strategy<Value = Charter> {
    let recorder = (set(person()), key(), principal())
        .prop_map(|(controllers, key, principal)| RecorderKey { controllers, key, principal });
    let recovery = (seconds(), holders(), number()).prop_map(|(delay_seconds, keys, quorum)| Recovery {
        delay_seconds,
        keys,
        quorum,
    });
    (holders(), number(), recorder, of(recovery))
        .prop_map(|(governors, quorum, recorder, recovery)| Charter { governors, quorum, recorder, recovery })
}

fn applies() -> impl Strategy<Value = Applies> {
    (set(pattern()), set(role()), set(tier())).prop_map(|(on, roles, tiers)| Applies { on, roles, tiers })
}

fn path() -> impl Strategy<Value = Path> {
    let approvers: Vec<_> = Capacity::ALL.iter().copied().filter(|capacity| capacity.may_approve()).collect();
    // Three levels of at most two above a lone capacity: depth 4, 8 requirements.
    select(approvers).prop_map(Path::Capacity).prop_recursive(3, 8, 2, |inner| {
        let parts = vec(inner, 1..=2);
        prop_oneof![
            parts.clone().prop_map(Path::All),
            parts.clone().prop_map(Path::Any),
            parts.clone().prop_map(|parts| Path::AtLeast(parts.len() as u64, parts)),
            parts.prop_map(Path::Stages),
        ]
    })
}

fn standing_class() -> impl Strategy<Value = StandingClass> {
    (of(applies()), label(), select(MissedReview::ALL), seconds()).prop_map(
        |(applies, class, missed_review, review_seconds)| StandingClass {
            applies,
            class,
            missed_review,
            review_seconds,
        },
    )
}

fn exception_rule() -> impl Strategy<Value = ExceptionRule> {
    (of(applies()), seconds(), text()).prop_map(|(applies, max_seconds, when)| ExceptionRule {
        applies,
        max_seconds,
        when,
    })
}

fn path_rule() -> impl Strategy<Value = PathRule> {
    (of(applies()), set(select(Cascade::ALL)), any::<bool>(), of(seconds()), label(), path()).prop_map(
        |(applies, cascade, distinct_persons, max_seconds, name, path)| PathRule {
            applies,
            cascade,
            distinct_persons,
            max_seconds,
            name,
            path,
        },
    )
}

fn sod_rule() -> impl Strategy<Value = SodRule> {
    let side = || set((pattern(), of(role())).prop_map(|(on, role)| Entitlements { on, role })).boxed();
    (side(), label(), side()).prop_map(|(left, name, right)| SodRule { left, name, right })
}

fn windows() -> impl Strategy<Value = Windows> {
    (of(seconds()), of(seconds()), of(seconds()), of(seconds())).prop_map(
        |(cosigned_seconds, decision_seconds, request_seconds, statement_seconds)| Windows {
            cosigned_seconds,
            decision_seconds,
            request_seconds,
            statement_seconds,
        },
    )
}

/// Any policy document.
pub(crate) fn policy_document() -> impl Strategy<Value = PolicyDocument> {
    let custom = (set(capacity()), namespace())
        .prop_map(|(capacities, namespace)| CustomRule { capacities, namespace });
    let tier_rule = (seconds(), tier()).prop_map(|(max_seconds, tier)| TierRule { max_seconds, tier });
    (
        vec(standing_class(), 0..3),
        vec(custom, 0..3),
        vec(exception_rule(), 0..3),
        vec(path_rule(), 0..3),
        vec(sod_rule(), 0..3),
        of(text()),
        vec(tier_rule, 0..4),
        of(windows()),
    )
        .prop_map(|(classes, custom, exceptions, paths, sod, summary, tiers, windows)| PolicyDocument {
            classes: classes.into_iter().collect(),
            custom: custom.into_iter().collect(),
            exceptions,
            paths,
            sod: sod.into_iter().collect(),
            summary,
            tiers: tiers.into_iter().collect(),
            windows,
        })
}

/// Any clause.
pub(crate) fn clause() -> impl Strategy<Value = Clause> {
    (
        vec(standing_class(), 0..2),
        of(label()),
        of(exception_rule()),
        vec(resource(), 0..3),
        of(seconds()),
        of(path_rule()),
        of(process()),
        resource(),
        role(),
        vec((label(), vec(sod_rule(), 1..3), scope()), 0..2),
        tier(),
    )
        .prop_map(
            |(
                classes,
                environment,
                exception,
                governed_by,
                max_seconds,
                path,
                process,
                resource,
                role,
                sod,
                tier,
            )| {
                Clause {
                    classes: classes.into_iter().collect(),
                    environment,
                    exception,
                    governed_by,
                    max_seconds,
                    path,
                    process,
                    resource,
                    role,
                    sod: sod
                        .into_iter()
                        .map(|(policy, rules, scope)| Separation {
                            policy,
                            rules: rules.into_iter().collect(),
                            scope,
                        })
                        .collect(),
                    tier,
                }
            },
        )
}

/// Any event of any kind.
pub(crate) fn event() -> impl Strategy<Value = Event> {
    select(EventKind::ALL).prop_flat_map(event_of)
}

/// Any event of this kind.
pub(crate) fn event_of(kind: EventKind) -> BoxedStrategy<Event> {
    match kind {
        EventKind::LedgerOpened => (charter(), ledger_name(), number())
            .prop_map(|(charter, name, rules)| {
                let Charter { governors, quorum, recorder, recovery } = charter;
                LedgerOpened { governors, name, quorum, recorder, recovery, rules, suite: Suite }.into()
            })
            .boxed(),
        EventKind::CharterAmended => (charter(), text())
            .prop_map(|(charter, reason)| CharterAmended { charter, reason }.into())
            .boxed(),
        EventKind::LedgerUpgraded => {
            (text(), number()).prop_map(|(reason, rules)| LedgerUpgraded { reason, rules }.into()).boxed()
        }
        EventKind::LedgerFrozen => text().prop_map(|reason| LedgerFrozen { reason }.into()).boxed(),
        EventKind::LedgerThawed => text().prop_map(|reason| LedgerThawed { reason }.into()).boxed(),
        EventKind::RecoveryProposed => (charter(), text())
            .prop_map(|(amendment, reason)| RecoveryProposed { amendment, reason }.into())
            .boxed(),
        EventKind::RecoveryVetoed => (digest(), text())
            .prop_map(|(proposal, reason)| RecoveryVetoed { proposal, reason }.into())
            .boxed(),
        EventKind::PrincipalRegistered => {
            (set(person()), select(PrincipalKind::ALL), of(person()), principal())
                .prop_map(|(controllers, kind, person, principal)| {
                    PrincipalRegistered { controllers, kind, person, principal }.into()
                })
                .boxed()
        }
        EventKind::PrincipalChanged => (set(person()), of(person()), principal(), text())
            .prop_map(|(controllers, person, principal, reason)| {
                PrincipalChanged { controllers, person, principal, reason }.into()
            })
            .boxed(),
        EventKind::PrincipalDeparted => (principal(), text())
            .prop_map(|(principal, reason)| PrincipalDeparted { principal, reason }.into())
            .boxed(),
        EventKind::KeyEnrolled => (select(Enrolment::ALL), key(), principal())
            .prop_map(|(enrolment, key, principal)| KeyEnrolled { enrolment, key, principal }.into())
            .boxed(),
        EventKind::KeyRetired => (key(), principal(), text())
            .prop_map(|(key, principal, reason)| KeyRetired { key, principal, reason }.into())
            .boxed(),
        EventKind::KeyCompromised => (of(number()), key(), principal(), text())
            .prop_map(|(from, key, principal, reason)| KeyCompromised { from, key, principal, reason }.into())
            .boxed(),
        EventKind::CapacityAssigned => (capacity(), of(instant()), principal(), scope(), of(instant()))
            .prop_map(|(capacity, from, holder, scope, until)| {
                CapacityAssigned { capacity, from, holder, scope, until }.into()
            })
            .boxed(),
        EventKind::CapacityWithdrawn => (digest(), text())
            .prop_map(|(assignment, reason)| CapacityWithdrawn { assignment, reason }.into())
            .boxed(),
        EventKind::DelegationGranted => (digest(), principal(), number(), of(instant()), scope(), instant())
            .prop_map(|(basis, delegate, depth, from, scope, until)| {
                DelegationGranted { basis, delegate, depth, from, scope, until }.into()
            })
            .boxed(),
        EventKind::DelegationWithdrawn => (digest(), text())
            .prop_map(|(delegation, reason)| DelegationWithdrawn { delegation, reason }.into())
            .boxed(),
        EventKind::ResourceRegistered => (of(label()), of(resource()), of(process()), resource(), tier())
            .prop_map(|(environment, governed_by, process, resource, tier)| {
                ResourceRegistered { environment, governed_by, process, resource, tier }.into()
            })
            .boxed(),
        EventKind::ResourceChanged => {
            (of(label()), of(resource()), of(process()), text(), resource(), tier())
                .prop_map(|(environment, governed_by, process, reason, resource, tier)| {
                    ResourceChanged { environment, governed_by, process, reason, resource, tier }.into()
                })
                .boxed()
        }
        EventKind::ResourceRetired => (text(), resource())
            .prop_map(|(reason, resource)| ResourceRetired { reason, resource }.into())
            .boxed(),
        EventKind::PolicyPublished => (policy_document(), of(instant()), label(), scope())
            .prop_map(|(document, from, name, scope)| PolicyPublished { document, from, name, scope }.into())
            .boxed(),
        EventKind::PolicyWithdrawn => {
            (digest(), text()).prop_map(|(policy, reason)| PolicyWithdrawn { policy, reason }.into()).boxed()
        }
        EventKind::AccessRequested => (
            ends_on(),
            of(instant()),
            hold(),
            text(),
            process(),
            of(digest()),
            resource(),
            role(),
            principal(),
            tier(),
        )
            .prop_map(|(ends_on, expires, hold, need, purpose, replaces, resource, role, subject, tier)| {
                AccessRequested {
                    ends_on,
                    expires,
                    hold,
                    need,
                    purpose,
                    replaces,
                    resource,
                    role,
                    subject,
                    tier,
                }
                .into()
            })
            .boxed(),
        EventKind::AccessApproved => (capacity(), clause_digest(), text(), digest(), of(seconds()))
            .prop_map(|(capacity, clause, need, request, seconds)| {
                AccessApproved { capacity, clause, need, request, seconds }.into()
            })
            .boxed(),
        EventKind::AccessDenied => (capacity(), clause_digest(), text(), digest())
            .prop_map(|(capacity, clause, reason, request)| {
                AccessDenied { capacity, clause, reason, request }.into()
            })
            .boxed(),
        EventKind::AccessWithdrawn => (of(text()), digest())
            .prop_map(|(reason, statement)| AccessWithdrawn { reason, statement }.into())
            .boxed(),
        EventKind::AccessGranted => {
            let item = (digest(), number())
                .prop_map(|(approval, requirement)| WitnessItem { approval, requirement });
            (
                clause_digest(),
                ends_on(),
                of(digest()),
                hold(),
                digest(),
                of(digest()),
                digest(),
                vec(item, 0..4),
            )
                .prop_map(|(clause, ends_on, exception, hold, policy, replaces, request, witness)| {
                    AccessGranted { clause, ends_on, exception, hold, policy, replaces, request, witness }
                        .into()
                })
                .boxed()
        }
        EventKind::AccessRevoked => {
            (digest(), text()).prop_map(|(grant, reason)| AccessRevoked { grant, reason }.into()).boxed()
        }
        EventKind::ExceptionGranted => {
            let personal = (clause_digest(), digest(), seconds()).prop_map(|(clause, request, seconds)| {
                ExceptionOf::Personal(PersonalException { clause, request, seconds })
            });
            let class = (label(), digest(), instant()).prop_map(|(class, policy, until)| {
                ExceptionOf::Class(ClassException { class, policy, until })
            });
            (prop_oneof![personal, class], text(), principal())
                .prop_map(|(covers, need, owner)| ExceptionGranted { covers, need, owner }.into())
                .boxed()
        }
        EventKind::ExceptionEnded => (digest(), text())
            .prop_map(|(exception, reason)| ExceptionEnded { exception, reason }.into())
            .boxed(),
        EventKind::ClockStepped => text().prop_map(|reason| ClockStepped { reason }.into()).boxed(),
        EventKind::Custom => {
            let data = super::value(6)
                .prop_filter("an object", |value| matches!(value, super::Value::Object(_)))
                .prop_map(|value| RawObject::new(&value.canonical()).unwrap());
            let data = prop_oneof![1 => Just(RawObject::new("{}").unwrap()), 3 => data];
            (data, label(), namespace())
                .prop_map(|(data, name, namespace)| Custom { data, name, namespace }.into())
                .boxed()
        }
    }
}

/// Any statement.
pub(crate) fn statement() -> impl Strategy<Value = Statement> {
    let ledger = prop_oneof![
        ledger_name().prop_map(LedgerRef::Name),
        (ledger_name(), digest()).prop_map(|(name, genesis)| LedgerRef::Id(LedgerId::new(&name, genesis))),
    ];
    let seen =
        (any::<[u8; 32]>(), number()).prop_map(|(leaf, size)| Seen { leaf: LeafHash::new(leaf), size });
    (principal(), set(principal()), event(), instant(), any::<[u8; 32]>(), ledger, of(seen), number())
        .prop_map(|(author, cosigners, event, issued_at, key, ledger, seen, serial)| Statement {
            author,
            cosigners,
            event,
            issued_at,
            key: KeyId::new(key),
            ledger,
            seen,
            serial,
            v: Version,
        })
}

/// Any list of signatures, well-formed one by one.
pub(crate) fn signatures() -> impl Strategy<Value = Vec<SignaturePart>> {
    let part = (any::<[u8; 32]>(), vec(any::<u8>(), 64)).prop_map(|(keyid, sig)| SignaturePart {
        keyid: KeyId::new(keyid),
        sig: Signature::new(sig.try_into().unwrap()),
    });
    vec(part, 0..4)
}
