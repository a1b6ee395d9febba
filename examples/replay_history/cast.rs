//! Who takes part: the offices of the replay, and one principal for every login; and the policy they act under.
//!
//! Every key is derived from the name of its principal, so that a replay gives the same bytes again. Whoever knows the name
//! has the key: this is for replays of public histories only, never for a ledger that anyone is to rely on.

use countersign::core::digest::sha256;
use countersign::core::event::{Capacity, KeyHolder, LedgerOpened, PrincipalKind, RecorderKey, Suite};
use countersign::core::id::{Label, LedgerName, Person, Principal};
use countersign::core::key::{SecretKey, SignerKey as _};
use countersign::core::policy::{ExceptionRule, MissedReview, Path, PathRule, PolicyDocument, StandingClass};
use countersign::core::time::{Seconds, Timestamp};
use countersign::core::wire::{KeyBytes, Text};

/// How many governors sign what governors do together: both.
const QUORUM: u64 = 2;

/// An office of the replay. No login has a slash or this prefix, so no office meets one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Office {
    GovernorA,
    GovernorB,
    Recorder,
    RegistrarA,
    RegistrarB,
    PolicyOwner,
    Enforcer,
    ExceptionApprover,
}

impl Office {
    /// The offices that the charter does not name, with the capacity that each holds over everything.
    pub(crate) const ASSIGNED: [(Self, Capacity); 5] = [
        (Self::RegistrarA, Capacity::Registrar),
        (Self::RegistrarB, Capacity::Registrar),
        (Self::PolicyOwner, Capacity::PolicyOwner),
        (Self::Enforcer, Capacity::IamEnforcer),
        (Self::ExceptionApprover, Capacity::ExceptionApprover),
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::GovernorA => "governor-a",
            Self::GovernorB => "governor-b",
            Self::Recorder => "recorder",
            Self::RegistrarA => "registrar-a",
            Self::RegistrarB => "registrar-b",
            Self::PolicyOwner => "policy-owner",
            Self::Enforcer => "enforcer",
            Self::ExceptionApprover => "exception-approver",
        }
    }

    pub(crate) const fn kind(self) -> PrincipalKind {
        match self {
            Self::Enforcer => PrincipalKind::Automation,
            Self::Recorder => PrincipalKind::Service,
            Self::GovernorA
            | Self::GovernorB
            | Self::RegistrarA
            | Self::RegistrarB
            | Self::PolicyOwner
            | Self::ExceptionApprover => PrincipalKind::Human,
        }
    }

    /// Its principal.
    pub(crate) fn principal(self) -> Principal {
        Principal::new(&format!("replay:{}", self.name())).expect("INVARIANT: names of offices fit")
    }

    /// The person who holds it; for the enforcer and the recorder, who controls it.
    pub(crate) fn person(self) -> Person {
        Person::new(&format!("person:replay/{}", self.name())).expect("INVARIANT: names of offices fit")
    }
}

/// The principal of a login, or why it can not have one.
pub(crate) fn login(login: &str) -> Result<Principal, String> {
    Principal::new(&format!("user:{login}")).map_err(|error| format!("login `{login}`: {error}"))
}

/// Whose login it is: logins that differ in case only are one person's.
pub(crate) fn person(login: &str) -> Result<Person, String> {
    let folded = login.to_ascii_lowercase();
    Person::new(&format!("person:{folded}")).map_err(|error| format!("login `{login}`: {error}"))
}

/// The key of a principal, derived from its name: for replays only.
pub(crate) fn key(principal: &Principal) -> SecretKey {
    SecretKey::from_seed(&sha256(&[
        b"countersign replay key, known to everyone\0",
        principal.as_str().as_bytes(),
    ]))
}

/// The public half of [`key`].
pub(crate) fn key_bytes(principal: &Principal) -> KeyBytes {
    KeyBytes(*key(principal).public_key().as_bytes())
}

/// What opens the ledger.
pub(crate) fn genesis() -> LedgerOpened {
    let governor = |office: Office| KeyHolder {
        key: key_bytes(&office.principal()),
        person: office.person(),
        principal: office.principal(),
    };
    LedgerOpened {
        governors: [Office::GovernorA, Office::GovernorB].map(governor).into_iter().collect(),
        name: LedgerName::new("replay").expect("a literal"),
        quorum: QUORUM,
        recorder: RecorderKey {
            controllers: [Office::Recorder.person()].into_iter().collect(),
            key: key_bytes(&Office::Recorder.principal()),
            principal: Office::Recorder.principal(),
        },
        recovery: None,
        rules: 1,
        suite: Suite,
    }
}

/// The name of the policy.
pub(crate) fn policy_name() -> Label {
    Label::new("membership").expect("a literal")
}

/// The standing class of the policy: a membership is held until somebody ends it.
pub(crate) fn class() -> Label {
    Label::new("standing").expect("a literal")
}

/// Until when the class is open, and exceptions last.
pub(crate) fn review_date() -> Timestamp {
    "2099-01-01T00:00:00.000Z".parse().expect("a literal")
}

/// From `at` to the review date; none once that is past.
pub(crate) fn until_review(at: Timestamp) -> Option<Seconds> {
    Seconds::new(review_date().millis().saturating_sub(at.millis()) / 1_000)
}

/// One owner of the resource, or of what governs it, agrees; where none may, an exception.
pub(crate) fn policy(longest: Seconds) -> PolicyDocument {
    let text = |words: &str| Text::new(words).expect("a literal");
    PolicyDocument {
        classes: [StandingClass {
            applies: None,
            class: class(),
            missed_review: MissedReview::Flag,
            review_seconds: longest,
        }]
        .into_iter()
        .collect(),
        custom: Default::default(),
        exceptions: vec![ExceptionRule {
            applies: None,
            max_seconds: longest,
            when: text("nobody owns the resource or what governs it but the requester and the subject"),
        }],
        paths: vec![PathRule {
            applies: None,
            cascade: Default::default(),
            distinct_persons: true,
            max_seconds: None,
            name: Label::new("owner").expect("a literal"),
            path: Path::Capacity(Capacity::BusinessOwner),
        }],
        sod: Default::default(),
        summary: Some(text("an owner agrees to every membership; it is held until it is revoked")),
        tiers: Default::default(),
        windows: None,
    }
}
