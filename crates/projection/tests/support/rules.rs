//! Which rules a statement breaks, judged from the lists of [`Model`] alone. All that are broken are named, in no order; where
//! `judge` refuses, its code has to be one of them, and where it admits there must be none.

use std::collections::BTreeSet;
use std::sync::Arc;

use countersign_core::digest::{KeyId, StatementDigest};
use countersign_core::event::*;
use countersign_core::id::*;
use countersign_core::policy::*;
use countersign_core::statement::Statement;
use countersign_core::wire::Set;
use countersign_projection::governance::RefusalCode;

use super::model::*;
use super::paths::{Ballot, Strictness, first_witness, meets, reached};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// What policy says of an entitlement.
#[derive(Debug, Clone)]
pub struct Resolved {
    pub clause: Clause,
    pub path_policy: Option<Arc<PolicyFacts>>,
    pub exception_policy: Option<Arc<PolicyFacts>>,
    pub class_policy: Option<Arc<PolicyFacts>>,
    pub authors: Vec<Principal>,
}

/// What the policies in force say, or none where neither path nor exception applies.
pub fn resolve(model: &Model, resource: &Resource, role: &Role, at: u64) -> Option<Resolved> {
    let facts = model.resource(resource)?;
    let fits = |applies: &Option<Applies>| {
        applies.as_ref().is_none_or(|applies| {
            (applies.on.is_empty()
                || applies.on.iter().any(|pattern| matches(pattern.as_str(), resource.as_str())))
                && (applies.roles.is_empty() || applies.roles.contains(role))
                && (applies.tiers.is_empty() || applies.tiers.contains(&facts.tier))
        })
    };
    let all = model.in_force(at);
    let with = |has: &dyn Fn(&PolicyDocument) -> bool| {
        let found: Vec<_> = all
            .iter()
            .filter(|p| has(&p.event.document) && named(&p.event.scope, resource.as_str()))
            .collect();
        assert!(found.len() <= 1, "two policies claim one section");
        found.first().map(|policy| Arc::clone(policy))
    };
    let path_policy = with(&|document| !document.paths.is_empty());
    let exception_policy = with(&|document| !document.exceptions.is_empty());
    let class_policy = with(&|document| !document.classes.is_empty());
    let tier_policy = with(&|document| !document.tiers.is_empty());
    let path =
        path_policy.iter().flat_map(|p| &p.event.document.paths).find(|rule| fits(&rule.applies)).cloned();
    let exception = exception_policy
        .iter()
        .flat_map(|p| &p.event.document.exceptions)
        .find(|rule| fits(&rule.applies))
        .cloned();
    if path.is_none() && exception.is_none() {
        return None;
    }
    let tier = tier_policy.iter().flat_map(|p| &p.event.document.tiers).find(|rule| rule.tier == facts.tier);
    let longest = [tier.map(|rule| rule.max_seconds), path.as_ref().and_then(|rule| rule.max_seconds)];
    let sod = all.iter().filter_map(|policy| {
        let PolicyPublished { document, name, scope, .. } = &policy.event;
        let reaches = |side: &Entitlements| overlap(scope, &Scope::of(side.on.clone()));
        let concerns = |own: &Set<Entitlements>, other: &Set<Entitlements>| {
            let here = named(scope, resource.as_str());
            own.iter().any(|side| includes(side, resource, role)) && (here || other.iter().any(reaches))
        };
        let both = |rule: &&SodRule| concerns(&rule.left, &rule.right) || concerns(&rule.right, &rule.left);
        let rules: Vec<SodRule> = document.sod.iter().filter(both).cloned().collect();
        let rules = (!rules.is_empty()).then(|| rules.into_iter().collect())?;
        Some(Separation { policy: name.clone(), rules, scope: scope.clone() })
    });
    let classes = class_policy.iter().flat_map(|p| &p.event.document.classes);
    let clause = Clause {
        classes: classes.filter(|class| fits(&class.applies)).cloned().collect(),
        environment: facts.environment.clone(),
        exception,
        governed_by: model.chain(resource).into_iter().skip(1).collect(),
        max_seconds: longest.into_iter().flatten().min(),
        path,
        process: facts.process.clone(),
        resource: resource.clone(),
        role: role.clone(),
        sod: sod.collect(),
        tier: facts.tier,
    };
    let relied_on = [&path_policy, &exception_policy, &class_policy, &tier_policy];
    let authors = relied_on.into_iter().flatten().flat_map(|policy| policy.authors.iter().cloned()).collect();
    Some(Resolved { clause, path_policy, exception_policy, class_policy, authors })
}

pub fn includes(side: &Entitlements, resource: &Resource, role: &Role) -> bool {
    matches(side.on.as_str(), resource.as_str()) && side.role.as_ref().is_none_or(|wanted| wanted == role)
}

/// The longest time for a grant; where an exception is the only way, that of the exception too.
pub fn ceiling(clause: &Clause) -> Option<u64> {
    let exception =
        clause.exception.as_ref().filter(|_| clause.path.is_none()).map(|rule| rule.max_seconds.count());
    [clause.max_seconds.map(|seconds| seconds.count()), exception].into_iter().flatten().min()
}

/// A statement as it is submitted.
pub struct Submitted<'a> {
    pub statement: &'a Statement,
    pub digest: StatementDigest,
    pub signed_by: &'a [KeyId],
    pub at: u64,
}

/// The rules that a statement breaks.
pub fn broken(model: &Model, submitted: &Submitted<'_>) -> BTreeSet<RefusalCode> {
    let mut judge = Judge {
        m: model,
        st: submitted.statement,
        digest: submitted.digest,
        at: submitted.at,
        seq: model.seq(),
        author: submitted.statement.author.clone(),
        cosigners: submitted.statement.cosigners.iter().cloned().collect(),
        broken: BTreeSet::new(),
    };
    judge.envelope(submitted.signed_by);
    if judge.broken.is_empty() {
        judge.ledger();
    }
    if judge.broken.is_empty() {
        judge.kind();
    }
    judge.broken
}

struct Judge<'a> {
    m: &'a Model,
    st: &'a Statement,
    digest: StatementDigest,
    at: u64,
    seq: u64,
    author: Principal,
    cosigners: Vec<Principal>,
    broken: BTreeSet<RefusalCode>,
}

use RefusalCode as Code;

impl Judge<'_> {
    fn need(&mut self, holds: bool, code: Code) {
        if !holds {
            self.broken.insert(code);
        }
    }

    fn add(&mut self, code: Code) {
        self.broken.insert(code);
    }

    fn envelope(&mut self, signed_by: &[KeyId]) {
        let (m, st) = (self.m, self.st);
        self.need(self.at >= m.now(), Code::TimeBackwards);
        if matches!(st.event, Event::LedgerOpened(_)) {
            self.add(Code::Genesis);
            return;
        }
        if m.rules != 1 {
            self.add(Code::NeedsRules);
            return;
        }
        self.need(matches!(&st.ledger, LedgerRef::Id(id) if Some(id) == m.ledger.as_ref()), Code::LedgerId);
        if let Some(highest) = m.key(&st.key).and_then(|key| key.serials.iter().max()) {
            let used = m.key(&st.key).is_some_and(|key| key.serials.contains(&st.serial));
            self.need(!used && st.serial + 1_024 > *highest, Code::Serial);
        }
        if let Some(seen) = &st.seen {
            let entry = m.entries.iter().find(|entry| entry.seq + 1 == seen.size);
            let fits = entry.is_some_and(|entry| entry.leaf == seen.leaf);
            let young = self.seq.saturating_sub(seen.size) <= 65_536;
            let decided = entry.is_some_and(|entry| Some(entry.digest) == decided_on(&st.event));
            self.need(fits && (young || decided), Code::Seen);
        }
        self.signers(signed_by);
    }

    fn signers(&mut self, signed_by: &[KeyId]) {
        let m = self.m;
        let reserved = |id: &KeyId| {
            m.pending.as_ref().is_some_and(|p| p.charter.keys().iter().any(|key| key.key_id() == *id))
        };
        let charter = match &self.st.event {
            Event::CharterAmended(event) => Some(&event.charter),
            Event::RecoveryProposed(event) => Some(&event.amendment),
            _ => None,
        };
        let mut proofs: Vec<KeyId> = Vec::new();
        if let Some(charter) = charter {
            for (name, key) in charter.principals() {
                let id = key.key_id();
                match m.key(&id) {
                    Some(known) if known.owner == *name && !known.ended => {}
                    None if !reserved(&id) => proofs.push(id),
                    Some(_) | None => self.add(Code::KeyReused),
                }
            }
        } else {
            for key in self.st.event.new_keys() {
                let id = key.key_id();
                self.need(m.key(&id).is_none() && !reserved(&id), Code::KeyReused);
                proofs.push(id);
            }
        }
        self.need(proofs.iter().all(|id| signed_by.contains(id)), Code::NoPossession);
        let others: Vec<&KeyId> = signed_by.iter().filter(|id| !proofs.contains(id)).collect();
        self.need(others.iter().all(|id| m.key(id).is_some()), Code::UnknownKey);
        self.need(others.iter().all(|id| m.key(id).is_none_or(|key| !key.ended)), Code::KeyEnded);
        let mut owners: Vec<Principal> =
            others.iter().filter_map(|id| m.key(id)).map(|key| key.owner.clone()).collect();
        owners.sort();
        let mut wanted: Vec<Principal> =
            [self.author.clone()].into_iter().chain(self.cosigners.clone()).collect();
        wanted.sort();
        let authors_own =
            others.contains(&&self.st.key) && m.key(&self.st.key).is_some_and(|key| key.owner == self.author);
        let twice = wanted.windows(2).any(|pair| pair[0] == pair[1]);
        self.need(owners == wanted && authors_own && !twice, Code::SignerSet);
    }

    fn ledger(&mut self) {
        let (m, kind) = (self.m, self.st.event.kind());
        self.skew(match self.lag() {
            Lag::Ordinary => HOUR,
            Lag::Decision => 72 * HOUR,
            Lag::Patient => 30 * DAY,
        });
        if self.author == m.charter().recorder.principal {
            self.need(self.at <= m.authored_at() + DAY, Code::ClockDrift);
        }
        use EventKind::*;
        let frozen_may = removes(kind)
            || [AccessDenied, ClockStepped, CharterAmended, LedgerThawed, RecoveryProposed, RecoveryVetoed]
                .contains(&kind);
        self.need(m.frozen_by.is_none() || frozen_may, Code::Frozen);
        let word = kind.as_str();
        let early = [
            "ledger.",
            "charter.",
            "recovery.",
            "principal.",
            "key.",
            "capacity.",
            "resource.",
            "policy.",
            "clock.",
        ];
        self.need(!m.bootstrap() || early.iter().any(|start| word.starts_with(start)), Code::BeforePolicy);
    }

    fn lag(&self) -> Lag {
        let kind = self.st.event.kind();
        let decision = [EventKind::AccessApproved, EventKind::AccessDenied, EventKind::ExceptionGranted];
        if !self.cosigners.is_empty() || removes(kind) {
            Lag::Patient
        } else if decision.contains(&kind) {
            Lag::Decision
        } else {
            Lag::Ordinary
        }
    }

    fn skew(&mut self, most: u64) {
        let issued = self.st.issued_at.millis();
        self.need(issued <= self.at + 5 * MINUTE, Code::Postdated);
        self.need(self.at <= issued + most, Code::Backdated);
    }

    /// The shorter times that policy sets for statements on a resource.
    fn windows(&mut self, resource: &Resource) {
        let all = self.m.in_force(self.at);
        let windows = all
            .iter()
            .filter(|policy| named(&policy.event.scope, resource.as_str()))
            .find_map(|policy| policy.event.document.windows.as_ref());
        let Some(windows) = windows else { return };
        let most = match self.lag() {
            Lag::Ordinary => windows.statement_seconds,
            Lag::Decision => windows.decision_seconds,
            Lag::Patient => windows.cosigned_seconds,
        };
        if let Some(most) = most {
            self.skew(most.count() * 1_000);
        }
    }

    // Signers and persons.

    fn alone(&mut self) {
        self.need(self.cosigners.is_empty(), Code::SignerSet);
    }

    fn signing(&self) -> Vec<Principal> {
        [self.author.clone()].into_iter().chain(self.cosigners.clone()).collect()
    }

    fn closure(&self, name: &Principal, since: u64) -> Vec<Person> {
        self.m.closure(name, since, self.at)
    }

    fn exactly_governors(&self) -> bool {
        let signing = self.signing();
        signing.iter().all(|name| self.m.is_governor(name.as_str()))
            && signing.len() as u64 == self.m.charter().quorum
    }

    fn governors(&mut self) {
        let governs = self.m.is_governor(self.author.as_str());
        let count = self.signing().iter().filter(|name| self.m.is_governor(name.as_str())).count() as u64;
        self.need(governs, Code::NoAuthority);
        self.need(count >= self.m.charter().quorum, Code::Quorum);
        if count >= self.m.charter().quorum {
            self.need(self.exactly_governors(), Code::SignerSet);
        }
    }

    fn different(&mut self, left: &Principal, right: &Principal) {
        let shared = share(&self.closure(left, self.at), &self.closure(right, self.at));
        self.need(!shared, Code::SamePerson);
    }

    fn two_persons(&mut self, first: Option<Code>, second: impl Fn(&Principal) -> bool) {
        if self.m.bootstrap() && self.exactly_governors() {
            return;
        }
        first.into_iter().for_each(|code| self.add(code));
        match &self.cosigners.clone()[..] {
            [] => self.add(Code::SecondPerson),
            [one] => {
                self.need(second(one), Code::SecondPerson);
                self.different(&self.author.clone(), one);
            }
            _ => self.add(Code::SignerSet),
        }
    }

    fn not_own(&mut self, persons: &[Person]) {
        let own = self.signing().iter().any(|name| share(&self.closure(name, self.at), persons));
        self.need(!own, Code::OwnPerson);
    }

    fn lacks(&self, name: &Principal, capacity: Capacity) -> Code {
        if self.m.holds_somewhere(name.as_str(), capacity, self.at) {
            Code::OutsideScope
        } else {
            Code::NoAuthority
        }
    }

    fn everywhere(&self, name: &Principal, capacity: Capacity) -> bool {
        self.m.rights.iter().any(|right| {
            right.holder == *name
                && right.capacity == capacity
                && self.m.stands(right, self.at)
                && right.scope.on.as_str() == "*"
                && right.scope.except.is_empty()
        })
    }

    fn registrar_everywhere(&self) -> Option<Code> {
        let holds = self.everywhere(&self.author, Capacity::Registrar);
        (!holds).then(|| self.lacks(&self.author, Capacity::Registrar))
    }

    fn registrars(&mut self) {
        let (m, at) = (self.m, self.at);
        let second = |name: &Principal| {
            m.is_governor(name.as_str())
                || m.rights.iter().any(|right| {
                    right.holder == *name
                        && right.capacity == Capacity::Registrar
                        && m.stands(right, at)
                        && right.scope == Scope::everything()
                })
        };
        self.two_persons(self.registrar_everywhere(), second);
    }

    fn over_chain(&self, name: &Principal, capacity: Capacity, chain: &[Resource]) -> bool {
        self.m.rights_over(name.as_str(), capacity, chain, self.at).next().is_some()
    }

    fn require_over(&mut self, capacity: Capacity, chain: &[Resource]) {
        if !self.over_chain(&self.author, capacity, chain) {
            let code = self.lacks(&self.author, capacity);
            self.add(code);
        }
    }

    // Kinds.

    fn kind(&mut self) {
        match &self.st.event {
            Event::LedgerOpened(_) => self.add(Code::Genesis),
            Event::CharterAmended(event) => {
                self.governors();
                self.charter(&event.charter);
            }
            Event::LedgerUpgraded(event) => {
                self.governors();
                self.need(event.rules > self.m.rules, Code::RulesVersion);
            }
            Event::LedgerFrozen(_) => self.freeze(),
            Event::LedgerThawed(_) => {
                self.governors();
                self.need(self.m.frozen_by.is_some(), Code::NotFrozen);
            }
            Event::RecoveryProposed(event) => self.propose_recovery(event),
            Event::RecoveryVetoed(event) => {
                self.governors();
                let known = self.m.pending.as_ref().is_some_and(|pending| pending.digest == event.proposal);
                self.need(known, Code::NoSuchRecovery);
            }
            Event::PrincipalRegistered(event) => {
                self.persons_form(event.kind, event.person.as_ref(), event.controllers.as_slice());
                self.registrars();
                let persons: Vec<Person> = event.person.iter().chain(&event.controllers).cloned().collect();
                match self.m.principal(event.principal.as_str()) {
                    Some(known) => {
                        let code = if known.departed { Code::NameDeparted } else { Code::NameTaken };
                        self.add(code);
                    }
                    None => self.new_name(&event.principal, &persons),
                }
                self.not_own(&persons);
            }
            Event::PrincipalChanged(event) => self.change_principal(event),
            Event::PrincipalDeparted(event) => {
                self.alone();
                if !self.m.is_governor(self.author.as_str()) {
                    self.registrar_everywhere().into_iter().for_each(|code| self.add(code));
                }
                self.need(self.m.live_principal(event.principal.as_str()).is_some(), Code::UnknownPrincipal);
                self.outside_charter(&event.principal);
            }
            Event::KeyEnrolled(event) => self.enrol(event),
            Event::KeyRetired(event) => self.retire_key(event),
            Event::KeyCompromised(event) => self.compromise(event),
            Event::CapacityAssigned(event) => self.assign(event),
            Event::CapacityWithdrawn(event) => self.withdraw_capacity(event),
            Event::DelegationGranted(event) => self.delegate(event),
            Event::DelegationWithdrawn(event) => {
                self.alone();
                let right = self.m.remembered(&event.delegation, self.at);
                match right.filter(|right| right.ended.is_none() && right.basis.is_some()) {
                    None => self.add(Code::NoSuchDelegation),
                    Some(right) => {
                        let own =
                            right.basis.as_ref().is_some_and(|(_, delegator)| *delegator == self.author);
                        let registrar = self.over_scope(&self.author, Capacity::Registrar, &right.scope);
                        if !own && !registrar {
                            let code = self.lacks(&self.author, Capacity::Registrar);
                            self.add(code);
                        }
                    }
                }
            }
            Event::ResourceRegistered(event) => self.register_resource(event),
            Event::ResourceChanged(event) => self.change_resource(event),
            Event::ResourceRetired(event) => {
                self.alone();
                let Some(facts) = self.m.resource(&event.resource) else {
                    return self.add(Code::UnknownResource);
                };
                let chain = self.m.chain(&facts.name);
                self.require_over(Capacity::Registrar, &chain);
                let governs = self
                    .m
                    .resources
                    .iter()
                    .any(|other| other.live && other.governed_by == Some(facts.name.clone()));
                self.need(!governs, Code::GovernsOthers);
            }
            Event::PolicyPublished(event) => self.publish(event),
            Event::PolicyWithdrawn(event) => {
                let known =
                    self.m.policies(self.at).into_iter().flat_map(|(_, current, next)| [current, next]);
                match known.flatten().find(|policy| policy.digest == event.policy) {
                    Some(policy) => self.policy_owners(std::slice::from_ref(&policy.event.scope)),
                    None => self.add(Code::NoSuchPolicy),
                }
            }
            Event::AccessRequested(event) => self.request(event),
            Event::AccessApproved(event) => self.approve(event),
            Event::AccessDenied(event) => self.deny(event),
            Event::AccessWithdrawn(event) => self.withdraw(event),
            Event::AccessGranted(event) => self.grant(event),
            Event::AccessRevoked(event) => self.revoke(event),
            Event::ExceptionGranted(event) => {
                self.need(!event.need.is_blank(), Code::EmptyNeed);
                match &event.covers {
                    ExceptionOf::Personal(personal) => self.permit(event, personal),
                    ExceptionOf::Class(class) => self.open_class(event, class),
                }
            }
            Event::ExceptionEnded(event) => self.end_exception(event),
            Event::ClockStepped(_) => {
                self.alone();
                self.need(self.author == self.m.charter().recorder.principal, Code::NoAuthority);
            }
            Event::Custom(event) => {
                self.alone();
                let rules = self.m.in_force(self.at);
                let rule = rules
                    .iter()
                    .find_map(|policy| policy.event.document.custom.find(event.namespace.as_str()));
                let may = rule
                    .is_some_and(|rule| rule.capacities.iter().any(|c| self.everywhere(&self.author, *c)));
                self.need(may, Code::NotPermitted);
            }
        }
    }

    fn freeze(&mut self) {
        let governs = self.m.is_governor(self.author.as_str());
        self.need(governs, Code::NoAuthority);
        self.need(self.m.frozen_by.is_none(), Code::AlreadyFrozen);
        let overruled = self.m.overruled.iter().any(|(name, until)| *name == self.author && self.at < *until);
        if overruled {
            let together = self.exactly_governors() && !self.cosigners.is_empty();
            self.need(together, Code::FreezeCooldown);
        } else {
            self.alone();
        }
    }

    fn propose_recovery(&mut self, event: &RecoveryProposed) {
        let Some(recovery) = &self.m.charter().recovery else { return self.add(Code::NoRecovery) };
        self.need(self.m.is_recovery(self.author.as_str()), Code::NoRecovery);
        let signing = self.signing();
        let count = signing.iter().filter(|name| self.m.is_recovery(name.as_str())).count() as u64;
        self.need(count >= recovery.quorum, Code::Quorum);
        if count >= recovery.quorum {
            self.need(count == recovery.quorum && signing.len() as u64 == count, Code::SignerSet);
        }
        self.need(self.m.pending.is_none(), Code::RecoveryPending);
        self.charter(&event.amendment);
    }

    fn charter(&mut self, charter: &Charter) {
        let governors = charter.governors.len() as u64;
        self.need(charter.quorum > 0 && governors > 0, Code::CharterInvalid);
        self.need(charter.quorum <= governors, Code::LockOut);
        if let Some(recovery) = &charter.recovery {
            self.need((1..=recovery.keys.len() as u64).contains(&recovery.quorum), Code::CharterInvalid);
        }
        self.need(!charter.recorder.controllers.is_empty(), Code::CharterInvalid);
        let holders: Vec<&KeyHolder> = charter
            .governors
            .iter()
            .chain(charter.recovery.iter().flat_map(|recovery| recovery.keys.iter()))
            .collect();
        let mut seats: Vec<(&Principal, Vec<Person>)> =
            holders.iter().map(|holder| (&holder.principal, vec![holder.person.clone()])).collect();
        seats.push((&charter.recorder.principal, charter.recorder.controllers.iter().cloned().collect()));
        let persons: Vec<String> =
            seats.iter().flat_map(|(_, all)| all).map(|person| person.to_string()).collect();
        self.need(unique(&persons), Code::CharterInvalid);
        let folded: Vec<String> = persons.iter().map(|name| name.to_ascii_lowercase()).collect();
        self.need(unique(&folded) || !unique(&persons), Code::CaseTwin);
        let names: Vec<String> = seats.iter().map(|(name, _)| name.to_string()).collect();
        self.need(unique(&names), Code::CharterInvalid);
        let keys: Vec<String> = charter.keys().iter().map(|key| key.key_id().to_string()).collect();
        self.need(unique(&keys), Code::CharterInvalid);
        let folded: Vec<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        self.need(unique(&folded) || !unique(&names), Code::CaseTwin);
        for (name, persons) in seats {
            match self.m.principal(name.as_str()) {
                Some(facts) => {
                    self.need(!facts.departed, Code::NameDeparted);
                    self.need(same_set(&self.m.persons(name.as_str()), &persons), Code::CharterInvalid);
                }
                None => self.new_name(name, &persons),
            }
        }
    }

    fn persons_form(&mut self, kind: PrincipalKind, person: Option<&Person>, controllers: &[Person]) {
        let human = kind == PrincipalKind::Human;
        let fits = if human {
            person.is_some() && controllers.is_empty()
        } else {
            person.is_none() && !controllers.is_empty()
        };
        self.need(fits, Code::PersonForm);
        self.need(controllers.len() <= 64, Code::TooMany);
    }

    /// The pending recovery's charter names it.
    fn announced(&self, fits: impl Fn(&str) -> bool) -> bool {
        let pending = self.m.pending.as_ref();
        pending
            .is_some_and(|pending| pending.charter.principals().iter().any(|(name, _)| fits(name.as_str())))
    }

    fn outside_charter(&mut self, name: &Principal) {
        let announced = self.announced(|other| other == name.as_str());
        self.need(!self.m.in_charter(name.as_str()) && !announced, Code::CharterOnly);
    }

    fn new_name(&mut self, name: &Principal, persons: &[Person]) {
        let announced = self.announced(|other| other.eq_ignore_ascii_case(name.as_str()));
        self.need(!announced, Code::NameTaken);
        self.twins(name, persons);
    }

    fn twins(&mut self, name: &Principal, persons: &[Person]) {
        let known: Vec<&Person> = self
            .m
            .principals
            .iter()
            .flat_map(|facts| facts.persons.iter().flat_map(|(_, all)| all))
            .collect();
        for person in persons {
            let twin = known.iter().any(|other| other.as_str().eq_ignore_ascii_case(person.as_str()));
            self.need(known.contains(&person) || !twin, Code::CaseTwin);
        }
        let twins: Vec<&PrincipalFacts> = self
            .m
            .principals
            .iter()
            .filter(|facts| facts.name != *name && facts.name.as_str().eq_ignore_ascii_case(name.as_str()))
            .collect();
        for twin in twins {
            self.need(!twin.departed, Code::NameDeparted);
            self.need(same_set(&self.m.persons(twin.name.as_str()), persons), Code::CaseTwin);
        }
    }

    fn change_principal(&mut self, event: &PrincipalChanged) {
        let Some(facts) = self.m.live_principal(event.principal.as_str()) else {
            return self.add(Code::UnknownPrincipal);
        };
        let persons: Vec<Person> = event.person.iter().chain(&event.controllers).cloned().collect();
        self.persons_form(facts.kind, event.person.as_ref(), event.controllers.as_slice());
        self.registrars();
        self.outside_charter(&event.principal);
        self.twins(&event.principal, &persons);
        self.not_own(&self.m.persons(event.principal.as_str()));
        self.not_own(&persons);
    }

    fn enrol(&mut self, event: &KeyEnrolled) {
        let Some(facts) = self.m.live_principal(event.principal.as_str()) else {
            return self.add(Code::UnknownPrincipal);
        };
        self.outside_charter(&event.principal);
        let live = self.m.live_keys(event.principal.as_str()).count();
        self.need(live < 64, Code::TooMany);
        match event.enrolment {
            Enrolment::Further => {
                self.need(event.principal == self.author, Code::EnrolmentForm);
                self.alone();
            }
            Enrolment::First => {
                self.registrars();
                self.need(!facts.had_key, Code::EnrolmentForm);
            }
            Enrolment::AfterLoss => {
                self.registrars();
                self.need(facts.had_key && live == 0, Code::EnrolmentForm);
            }
        }
    }

    fn owned_key(&self, owner: &Principal, key: &countersign_core::wire::KeyBytes) -> Option<KeyFacts> {
        self.m.key(&key.key_id()).filter(|key| key.owner == *owner).cloned()
    }

    fn retire_key(&mut self, event: &KeyRetired) {
        self.alone();
        let Some(key) = self.owned_key(&event.principal, &event.key) else {
            return self.add(Code::NoSuchKey);
        };
        let own = event.principal == self.author;
        if self.m.in_charter(event.principal.as_str()) {
            self.need(own, Code::CharterOnly);
            let others = self.m.charter().governors.iter().filter(|holder| {
                holder.principal != event.principal
                    && self.m.key(&holder.key.key_id()).is_some_and(|key| !key.ended)
            });
            let enough = others.count() as u64 >= self.m.charter().quorum;
            self.need(enough || !self.m.is_governor(event.principal.as_str()), Code::LockOut);
        } else {
            if !own && !self.m.is_governor(self.author.as_str()) {
                self.registrar_everywhere().into_iter().for_each(|code| self.add(code));
            }
            // An announced charter counts on the keys that it names.
            let counted = self
                .m
                .pending
                .as_ref()
                .is_some_and(|p| p.charter.keys().iter().any(|k| k.key_id() == key.id));
            self.need(!counted, Code::CharterOnly);
        }
        self.need(!key.ended, Code::KeyNotLive);
    }

    fn compromise(&mut self, event: &KeyCompromised) {
        let Some(key) = self.owned_key(&event.principal, &event.key) else {
            return self.add(Code::NoSuchKey);
        };
        let from = event.from.unwrap_or(self.seq);
        let earlier = from < self.seq;
        let owner = event.principal.as_str();
        let (m, at, signing) = (self.m, self.at, self.signing());
        let registrar = |name: &Principal| {
            m.rights.iter().any(|right| {
                right.holder == *name
                    && right.capacity == Capacity::Registrar
                    && m.stands(right, at)
                    && right.scope == Scope::everything()
            })
        };
        let second = |name: &Principal| m.is_governor(name.as_str()) || registrar(name);
        if m.is_governor(owner) || m.is_recovery(owner) {
            let count = signing.len() as u64;
            let least = |wanted: u64| if earlier { wanted.max(2) } else { wanted };
            let by_holder =
                self.author == event.principal && count == least(1) && self.cosigners.iter().all(second);
            let quorum = m.charter().quorum;
            let by_governors = quorum > 1
                && count == least(quorum - 1)
                && signing.iter().all(|name| *name != event.principal && m.is_governor(name.as_str()));
            let by_recovery = m.charter().recovery.as_ref().is_some_and(|recovery| {
                count == least(recovery.quorum) && signing.iter().all(|name| m.is_recovery(name.as_str()))
            });
            if by_holder {
                for second in self.cosigners.clone() {
                    self.different(&self.author.clone(), &second);
                }
            } else if !(by_governors || by_recovery) {
                let party = self.author == event.principal || m.is_governor(self.author.as_str());
                let lonely = earlier && self.cosigners.is_empty() && party;
                self.add(if lonely { Code::SecondPerson } else { Code::CharterOnly });
            }
        } else {
            if self.author != event.principal && !m.is_governor(self.author.as_str()) {
                self.registrar_everywhere().into_iter().for_each(|code| self.add(code));
            }
            match (&self.cosigners.clone()[..], earlier) {
                ([], false) => {}
                ([], true) => self.add(Code::SecondPerson),
                ([one], true) => {
                    self.need(second(one), Code::SecondPerson);
                    self.different(&self.author.clone(), one);
                }
                (_, _) => self.add(Code::SignerSet),
            }
        }
        self.need(from > key.admitted && from <= self.seq, Code::FromTooEarly);
        self.need(key.distrusted_from.is_none_or(|known| from < known), Code::KeyNotLive);
    }

    fn over_scope(&self, name: &Principal, capacity: Capacity, over: &Scope) -> bool {
        self.m.holds_over_scope(name.as_str(), capacity, over, self.at)
    }

    fn new_holder(&mut self, name: &Principal) {
        self.need(self.m.live_principal(name.as_str()).is_some(), Code::UnknownPrincipal);
        let (m, at) = (self.m, self.at);
        let held = m.rights.iter().filter(|right| {
            right.holder == *name && right.ended.is_none() && m.remembered(&right.digest, at).is_some()
        });
        self.need(held.count() < 1_024, Code::TooMany);
    }

    fn live_scope(&mut self, over: &Scope) {
        if let Ok(single) = Resource::new(over.on.as_str()) {
            self.need(self.m.resource(&single).is_some(), Code::UnknownResource);
        }
    }

    fn window(&mut self, from: Option<u64>, until: Option<u64>) {
        let from = from.unwrap_or(0).max(self.at);
        self.need(until.is_none_or(|until| until > from), Code::BadWindow);
    }

    fn assign(&mut self, event: &CapacityAssigned) {
        let capacity = event.capacity;
        if matches!(capacity, Capacity::Governor | Capacity::Recorder) {
            return self.add(Code::CharterOnly);
        }
        self.new_holder(&event.holder);
        let business = [
            Capacity::BusinessOwner,
            Capacity::ApplicationOwner,
            Capacity::PlatformOwner,
            Capacity::OperationsOwner,
            Capacity::Reviewer,
            Capacity::Executor,
        ];
        if business.contains(&capacity) {
            let holds = self.over_scope(&self.author, Capacity::Registrar, &event.scope);
            let first = (!holds).then(|| self.lacks(&self.author, Capacity::Registrar));
            let (m, at) = (self.m, self.at);
            self.two_persons(first, |name| {
                [Capacity::Registrar, Capacity::PolicyOwner]
                    .into_iter()
                    .any(|capacity| m.holds_over_scope(name.as_str(), capacity, &event.scope, at))
            });
        } else {
            self.governors();
        }
        self.not_own(&self.m.persons(event.holder.as_str()));
        self.live_scope(&event.scope);
        self.window(event.from.map(|from| from.millis()), event.until.map(|until| until.millis()));
    }

    fn withdraw_capacity(&mut self, event: &CapacityWithdrawn) {
        self.alone();
        let right = self.m.remembered(&event.assignment, self.at);
        let Some(right) = right.filter(|right| right.ended.is_none() && right.basis.is_none()) else {
            return self.add(Code::NoSuchCapacity);
        };
        if right.holder == self.author {
            return;
        }
        let governs = self.m.is_governor(self.author.as_str());
        if right.capacity.is_business() {
            let registrar = self.over_scope(&self.author, Capacity::Registrar, &right.scope);
            let stands_in = governs && self.m.bootstrap();
            if !registrar && !stands_in {
                let code = self.lacks(&self.author, Capacity::Registrar);
                self.add(code);
            }
        } else {
            self.need(governs, Code::NoAuthority);
        }
    }

    fn delegate(&mut self, event: &DelegationGranted) {
        self.alone();
        let basis = self.m.right(&event.basis).filter(|right| self.m.stands(right, self.at));
        let Some(basis) = basis else { return self.add(Code::NoSuchCapacity) };
        self.need(basis.holder == self.author, Code::NoAuthority);
        let may = [
            Capacity::BusinessOwner,
            Capacity::ApplicationOwner,
            Capacity::PlatformOwner,
            Capacity::OperationsOwner,
            Capacity::Reviewer,
        ];
        self.need(may.contains(&basis.capacity), Code::NotDelegable);
        self.need(event.depth < basis.depth, Code::TooDeep);
        self.new_holder(&event.delegate);
        self.need(event.delegate != self.author, Code::OwnPerson);
        self.window(event.from.map(|from| from.millis()), Some(event.until.millis()));
        let single =
            Resource::new(event.scope.on.as_str()).ok().filter(|name| self.m.resource(name).is_some());
        let governed = single.is_some_and(|name| Model::reaches_chain(&basis.scope, &self.m.chain(&name)));
        let within = contains(&basis.scope, &event.scope) || governed;
        self.need(within && event.until.millis() <= basis.until, Code::OutsideBasis);
        self.live_scope(&event.scope);
    }

    fn height(&self, name: &Resource) -> usize {
        let below = self.m.resources.iter().filter(|other| other.live);
        below
            .filter_map(|other| self.m.chain(&other.name).iter().position(|above| above == name))
            .max()
            .unwrap_or(0)
    }

    /// The chain that a resource would have, or none where what governs it is unknown.
    fn future_chain(&mut self, name: &Resource, governed_by: Option<&Resource>) -> Option<Vec<Resource>> {
        let mut chain = vec![name.clone()];
        if let Some(above) = governed_by {
            if self.m.resource(above).is_none() {
                self.add(Code::UnknownResource);
                return None;
            }
            chain.extend(self.m.chain(above));
        }
        if chain[1..].contains(name) {
            self.add(Code::GovernedCycle);
            return None;
        }
        self.need(chain.len() + self.height(name) <= 16, Code::TooMany);
        Some(chain)
    }

    fn register_resource(&mut self, event: &ResourceRegistered) {
        self.need(self.m.resource(&event.resource).is_none(), Code::NameTaken);
        let known = self.m.resources.iter().any(|facts| facts.name == event.resource);
        let twin = |facts: &ResourceFacts| facts.name.as_str().eq_ignore_ascii_case(event.resource.as_str());
        self.need(known || !self.m.resources.iter().any(twin), Code::CaseTwin);
        let Some(chain) = self.future_chain(&event.resource, event.governed_by.as_ref()) else { return };
        let holds = self.over_chain(&self.author, Capacity::Registrar, &chain);
        let first = (!holds).then(|| self.lacks(&self.author, Capacity::Registrar));
        let (m, at) = (self.m, self.at);
        self.two_persons(first, |name| {
            m.rights_over(name.as_str(), Capacity::PolicyOwner, &chain, at).next().is_some()
        });
    }

    fn change_resource(&mut self, event: &ResourceChanged) {
        let Some(facts) = self.m.resource(&event.resource) else { return self.add(Code::UnknownResource) };
        let Some(after) = self.future_chain(&event.resource, event.governed_by.as_ref()) else { return };
        if self.m.bootstrap() && self.exactly_governors() {
            return;
        }
        let before = self.m.chain(&facts.name);
        self.require_over(Capacity::Registrar, &before);
        self.require_over(Capacity::Registrar, &after);
        let weighty = facts.governed_by != event.governed_by
            || facts.process != event.process
            || event.tier < facts.tier;
        let owners = [
            Capacity::BusinessOwner,
            Capacity::ApplicationOwner,
            Capacity::PlatformOwner,
            Capacity::OperationsOwner,
        ];
        let owns = |name: &Principal| owners.iter().any(|owner| self.over_chain(name, *owner, &before));
        let owned = self.m.principals.iter().any(|one| owns(&one.name));
        let policy = |name: &Principal| {
            self.over_chain(name, Capacity::PolicyOwner, &before)
                && self.over_chain(name, Capacity::PolicyOwner, &after)
        };
        let quorum = usize::try_from(self.m.charter().quorum).unwrap();
        let wanted = if !weighty {
            1
        } else if owned {
            2
        } else {
            1 + quorum
        };
        let count = self.cosigners.len();
        if count < wanted {
            self.add(if weighty && !owned { Code::Quorum } else { Code::SecondPerson });
        } else if count > wanted {
            self.add(Code::SignerSet);
        } else {
            let fits = (0..count).any(|place| {
                policy(&self.cosigners[place])
                    && self.cosigners.iter().enumerate().filter(|(other, _)| *other != place).all(
                        |(_, name)| {
                            if owned { owns(name) } else { self.m.is_governor(name.as_str()) }
                        },
                    )
            });
            self.need(fits, Code::SecondPerson);
            let signing = self.signing();
            for (place, left) in signing.iter().enumerate() {
                for right in &signing[place + 1..] {
                    self.different(left, right);
                }
            }
        }
    }

    fn policy_owners(&mut self, scopes: &[Scope]) {
        let (m, at) = (self.m, self.at);
        let owns = |name: &Principal| {
            scopes.iter().all(|over| m.holds_over_scope(name.as_str(), Capacity::PolicyOwner, over, at))
        };
        let first = (!owns(&self.author)).then(|| self.lacks(&self.author, Capacity::PolicyOwner));
        self.two_persons(first, |name| owns(name) || m.is_governor(name.as_str()));
    }

    fn publish(&mut self, event: &PolicyPublished) {
        let known = self.m.policies(self.at);
        let mut scopes = vec![event.scope.clone()];
        for (name, current, next) in &known {
            if *name == event.name {
                scopes.extend([current, next].into_iter().flatten().map(|policy| policy.event.scope.clone()));
            }
        }
        self.policy_owners(&scopes);
        self.document(&event.document);
        self.need(event.from.is_none_or(|from| from.millis() >= self.at), Code::BadWindow);
        for (_, current, next) in known.iter().filter(|(name, _, _)| *name != event.name) {
            for other in [current, next].into_iter().flatten() {
                let (new, old) = (&event.document, &other.event.document);
                let sections = !new.paths.is_empty() && !old.paths.is_empty()
                    || !new.tiers.is_empty() && !old.tiers.is_empty()
                    || !new.exceptions.is_empty() && !old.exceptions.is_empty()
                    || !new.classes.is_empty() && !old.classes.is_empty()
                    || new.windows.is_some() && old.windows.is_some();
                self.need(!(sections && overlap(&event.scope, &other.event.scope)), Code::PolicyOverlap);
                let namespace =
                    new.custom.iter().any(|rule| old.custom.iter().any(|o| o.namespace == rule.namespace));
                self.need(!namespace, Code::PolicyOverlap);
            }
        }
    }

    fn document(&mut self, document: &PolicyDocument) {
        let names: Vec<String> = document.paths.iter().map(|rule| rule.name.to_string()).collect();
        self.need(unique(&names), Code::PolicyInvalid);
        self.need(document.paths.iter().all(|rule| owner_needed(&rule.path)), Code::NoOwnerInPath);
        self.need(
            document.sod.iter().all(|rule| !rule.left.is_empty() && !rule.right.is_empty()),
            Code::PolicyInvalid,
        );
        self.need(document.custom.iter().all(|rule| !rule.capacities.is_empty()), Code::PolicyInvalid);
        self.need(document.exceptions.iter().all(|rule| !rule.when.is_blank()), Code::PolicyInvalid);
        if let Some(windows) = &document.windows {
            let most = [
                (windows.cosigned_seconds, 30 * DAY),
                (windows.decision_seconds, 72 * HOUR),
                (windows.request_seconds, 30 * DAY),
                (windows.statement_seconds, HOUR),
            ];
            let fits =
                most.iter().all(|(given, most)| given.is_none_or(|given| given.count() * 1_000 <= *most));
            self.need(fits, Code::PolicyInvalid);
        }
    }

    // Access.

    fn request(&mut self, event: &AccessRequested) {
        self.alone();
        self.need(self.m.live_principal(event.subject.as_str()).is_some(), Code::UnknownPrincipal);
        let Some(facts) = self.m.resource(&event.resource) else { return self.add(Code::UnknownResource) };
        self.windows(&event.resource);
        self.need(facts.tier == event.tier, Code::TierMismatch);
        self.need(!event.need.is_blank(), Code::EmptyNeed);
        let most = self.at + self.m.request_seconds(&event.resource, self.at) * 1_000;
        let expires = event.expires.map_or(most, |expires| expires.millis());
        self.need(expires > self.at && expires <= most, Code::BadWindow);
        let (m, at) = (self.m, self.at);
        let full = m.persons(self.author.as_str()).iter().any(|person| {
            let counted = m.open_requests(at).filter(|request| {
                // Whose the requester was when it asked.
                let facts = m.principal(request.requester.as_str()).expect("registered");
                facts
                    .persons
                    .iter()
                    .find(|(until, _)| *until > request.at)
                    .is_some_and(|(_, all)| all.contains(person))
            });
            counted.count() >= 4_096
        });
        self.need(!full, Code::TooMany);
        let replaced = event.replaces.map(|digest| self.m.active_grant(&digest, self.at));
        self.need(
            replaced.is_none_or(|grant| grant.is_some_and(|grant| grant.subject == event.subject)),
            Code::ReplacesMismatch,
        );
        self.sod(&event.subject, &event.resource, &event.role, event.replaces);
        match resolve(self.m, &event.resource, &event.role, self.at) {
            None => self.add(Code::NoPolicy),
            Some(resolved) => self.hold(&resolved, &event.hold),
        }
    }

    fn hold(&mut self, resolved: &Resolved, hold: &Hold) {
        match hold {
            Hold::Seconds(seconds) => {
                self.need(
                    ceiling(&resolved.clause).is_some_and(|most| seconds.count() <= most),
                    Code::AboveCeiling,
                );
            }
            Hold::Class(name) => {
                let Some(definition) = resolved.clause.classes.find(name.as_str()) else {
                    return self.add(Code::NoSuchClass);
                };
                let policy = &resolved.class_policy.as_ref().expect("it declares the class").event.name;
                let open = self.m.class(policy, definition, self.at).is_some_and(|place| {
                    let class = &self.m.classes[place];
                    class.until > self.at
                        && class.signed_by.iter().all(|key| !self.m.is_distrusted(key, class.seq))
                });
                self.need(open, Code::ClassNotOpen);
            }
        }
    }

    fn sod(
        &mut self,
        subject: &Principal,
        resource: &Resource,
        role: &Role,
        leaving: Option<StatementDigest>,
    ) {
        let persons = self.m.persons(subject.as_str());
        for grant in self.m.active(self.at).filter(|grant| Some(grant.digest) != leaving) {
            let same = grant.subject == *subject || share(&persons, &self.m.persons(grant.subject.as_str()));
            if !same {
                continue;
            }
            for policy in self.m.in_force(self.at) {
                let scope = &policy.event.scope;
                let speaks = named(scope, resource.as_str()) || named(scope, grant.resource.as_str());
                for rule in &policy.event.document.sod {
                    let on = |sides: &countersign_core::wire::Set<Entitlements>,
                              resource: &Resource,
                              role: &Role| {
                        sides.iter().any(|side| includes(side, resource, role))
                    };
                    let clash = on(&rule.left, resource, role)
                        && on(&rule.right, &grant.resource, &grant.role)
                        || on(&rule.right, resource, role) && on(&rule.left, &grant.resource, &grant.role);
                    self.need(!(clash && speaks), Code::SodConflict);
                }
            }
        }
    }

    fn saw(&mut self, seq: u64) {
        self.need(self.st.seen.as_ref().is_some_and(|seen| seen.size > seq), Code::SeenMissing);
    }

    fn is_party(&self, name: &Principal, request: &RequestFacts) -> bool {
        let own = self.closure(name, request.at);
        [&request.requester, &request.event.subject]
            .into_iter()
            .any(|party| share(&own, &self.closure(party, request.at)))
    }

    fn wrote(&self, name: &Principal, request: &RequestFacts, resolved: &Resolved) -> bool {
        let own = self.closure(name, request.at);
        resolved.authors.iter().any(|author| share(&own, &self.closure(author, request.at)))
    }

    /// Whether an approval would carry a grant now.
    fn supports(&self, vote: &Vote, request: &RequestFacts, resolved: &Resolved) -> bool {
        self.m.counts(vote, self.at)
            && vote.clause == resolved.clause.digest()
            && !self.is_party(&vote.author, request)
            && !self.wrote(&vote.author, request, resolved)
    }

    /// The right by which the author decides; what keeps him from deciding is noted.
    fn decider(
        &mut self,
        request: &RequestFacts,
        capacity: Capacity,
        resolved: &Resolved,
    ) -> Option<StatementDigest> {
        let chain = self.m.chain(&request.event.resource);
        let right = self.m.first_right(&self.author, capacity, &chain, self.at);
        if right.is_none() {
            let code = self.lacks(&self.author, capacity);
            self.add(code);
        }
        let vendor =
            self.m.principal(self.author.as_str()).is_some_and(|p| p.kind == PrincipalKind::VendorAutomation);
        self.need(!vendor, Code::VendorApprover);
        self.need(!self.is_party(&self.author, request), Code::SelfApproval);
        self.need(!self.wrote(&self.author, request, resolved), Code::PolicyAuthor);
        right
    }

    fn ballot(&self, vote: &Vote, request: &RequestFacts) -> Ballot {
        Ballot { capacity: vote.capacity, persons: self.closure(&vote.author, request.at), seq: vote.seq }
    }

    /// No key that decides was enrolled by a party of the request or by another who decides.
    fn enrollers(&mut self, votes: &[Vote], request: &RequestFacts) {
        for vote in votes {
            let others = votes.iter().filter(|other| other.digest != vote.digest).map(|other| &other.author);
            let interested = others
                .chain([&request.requester, &request.event.subject])
                .filter(|name| **name != vote.author);
            for name in interested {
                let theirs = self.closure(name, request.at);
                for enroller in &self.m.key(&vote.key).expect("it signed").enrollers {
                    let clash = share(&self.closure(enroller, request.at), &theirs);
                    if clash {
                        self.broken.insert(Code::Enroller);
                    }
                }
            }
        }
    }

    fn new_vote(
        &self,
        capacity: Capacity,
        clause: countersign_core::digest::ClauseDigest,
        right: Option<StatementDigest>,
    ) -> Vote {
        Vote {
            digest: self.digest,
            seq: self.seq,
            author: self.author.clone(),
            key: self.st.key,
            capacity,
            clause,
            seconds: None,
            right: right.unwrap_or(self.digest),
            withdrawn: false,
        }
    }

    /// An approval has to bring the path further than those that count under the same clause.
    fn progress(&mut self, request: &RequestFacts, resolved: &Resolved, path: &PathRule, new: &Vote) {
        let mut votes: Vec<Vote> =
            request.votes.iter().filter(|vote| self.supports(vote, request, resolved)).cloned().collect();
        votes.push(new.clone());
        self.enrollers(&votes, request);
        let ballots: Vec<Ballot> = votes.iter().map(|vote| self.ballot(vote, request)).collect();
        let furthers = |how: Strictness| {
            let (old, new) =
                (reached(&path.path, &ballots[..ballots.len() - 1], how), reached(&path.path, &ballots, how));
            !old.1 && (new.0 > old.0 || new.1)
        };
        let distinct = path.distinct_persons;
        if furthers(Strictness { distinct, staged: true }) {
        } else if furthers(Strictness { distinct, staged: false }) {
            self.add(Code::StageClosed);
        } else if furthers(Strictness { distinct: false, staged: true }) {
            self.add(Code::SamePerson);
        } else {
            self.add(Code::NotRequired);
        }
    }

    fn approve(&mut self, event: &AccessApproved) {
        self.alone();
        let Some(request) = self.m.open_request(&event.request, self.at) else {
            return self.add(Code::NoOpenRequest);
        };
        self.windows(&request.event.resource);
        self.saw(request.seq);
        self.need(!event.need.is_blank(), Code::EmptyNeed);
        let Some(resolved) = resolve(self.m, &request.event.resource, &request.event.role, self.at) else {
            return self.add(Code::NoPolicy);
        };
        self.need(event.clause == resolved.clause.digest(), Code::ClauseStale);
        let right = self.decider(request, event.capacity, &resolved);
        self.sod(
            &request.event.subject,
            &request.event.resource,
            &request.event.role,
            request.event.replaces,
        );
        match &resolved.clause.path {
            Some(path) if path.path.requirements().contains(&event.capacity) => {
                let vote = self.new_vote(event.capacity, event.clause, right);
                self.progress(request, &resolved, path, &vote);
            }
            Some(_) | None => self.add(Code::NotRequired),
        }
    }

    fn deny(&mut self, event: &AccessDenied) {
        self.alone();
        let Some(request) = self.m.open_request(&event.request, self.at) else {
            return self.add(Code::NoOpenRequest);
        };
        self.windows(&request.event.resource);
        self.saw(request.seq);
        self.need(!event.reason.is_blank(), Code::EmptyNeed);
        let Some(resolved) = resolve(self.m, &request.event.resource, &request.event.role, self.at) else {
            return self.add(Code::NoPolicy);
        };
        self.need(event.clause == resolved.clause.digest(), Code::ClauseStale);
        let right = self.decider(request, event.capacity, &resolved);
        let Some(path) =
            resolved.clause.path.as_ref().filter(|path| path.path.requirements().contains(&event.capacity))
        else {
            return self.add(Code::NotRequired);
        };
        let own = self.closure(&self.author, request.at);
        let decided = request
            .votes
            .iter()
            .any(|vote| self.m.counts(vote, self.at) && share(&own, &self.closure(&vote.author, request.at)));
        if decided {
            let vote = self.new_vote(event.capacity, event.clause, right);
            self.progress(request, &resolved, path, &vote);
        }
    }

    fn withdraw(&mut self, event: &AccessWithdrawn) {
        self.alone();
        if let Some(request) = self.m.open_request(&event.statement, self.at) {
            return self.need(request.requester == self.author, Code::NotAuthor);
        }
        let mut votes = self.m.open_requests(self.at).flat_map(|request| &request.votes);
        match votes.find(|vote| vote.digest == event.statement && !vote.withdrawn) {
            Some(vote) => self.need(vote.author == self.author, Code::NotAuthor),
            None => self.add(Code::NothingToWithdraw),
        }
    }

    /// What keeps a decision from counting for a grant.
    fn still_counts(&mut self, vote: &Vote, request: &RequestFacts, resolved: &Resolved) {
        self.need(self.m.counts(vote, self.at), Code::ApprovalVoid);
        self.need(vote.clause == resolved.clause.digest(), Code::ApprovalStale);
        self.need(!self.is_party(&vote.author, request), Code::SelfApproval);
        self.need(!self.wrote(&vote.author, request, resolved), Code::PolicyAuthor);
    }

    fn grant(&mut self, event: &AccessGranted) {
        self.alone();
        let Some(request) = self.m.open_request(&event.request, self.at) else {
            return self.add(Code::NoOpenRequest);
        };
        let asked = &request.event;
        self.windows(&asked.resource);
        self.require_over(Capacity::IamEnforcer, &self.m.chain(&asked.resource));
        let Some(resolved) = resolve(self.m, &asked.resource, &asked.role, self.at) else {
            return self.add(Code::NoPolicy);
        };
        self.need(event.clause == resolved.clause.digest(), Code::ClauseStale);
        let active = asked.replaces.is_none_or(|digest| self.m.active_grant(&digest, self.at).is_some());
        self.need(event.replaces == asked.replaces && active, Code::ReplacesMismatch);
        self.sod(&asked.subject, &asked.resource, &asked.role, asked.replaces);
        let automation =
            self.m.principal(self.author.as_str()).is_some_and(|p| p.kind == PrincipalKind::Automation);
        let deciders = match &event.exception {
            Some(exception) => self.by_exception(event, exception, request, &resolved),
            None => self.by_path(event, request, &resolved, automation),
        };
        let Some(deciders) = deciders else { return };
        self.terms(event, request, &resolved, &deciders, automation);
        if !automation {
            let own = self.closure(&self.author, request.at);
            let decided = deciders.iter().any(|vote| share(&own, &self.closure(&vote.author, request.at)));
            self.need(!decided && !self.is_party(&self.author, request), Code::EnforcerIsParty);
        }
    }

    fn by_exception(
        &mut self,
        event: &AccessGranted,
        exception: &StatementDigest,
        request: &RequestFacts,
        resolved: &Resolved,
    ) -> Option<Vec<Vote>> {
        self.need(event.witness.is_empty(), Code::WitnessMismatch);
        let standing =
            self.m.standing(exception, self.at).filter(|personal| personal.request == request.digest);
        let Some(personal) = standing else {
            let over = request.exception == Some(*exception);
            self.add(if over { Code::ExceptionOver } else { Code::NoSuchException });
            return None;
        };
        let vote = personal.vote.clone();
        self.still_counts(&vote, request, resolved);
        self.enrollers(std::slice::from_ref(&vote), request);
        Some(vec![vote])
    }

    fn by_path(
        &mut self,
        event: &AccessGranted,
        request: &RequestFacts,
        resolved: &Resolved,
        automation: bool,
    ) -> Option<Vec<Vote>> {
        let Some(path) = &resolved.clause.path else {
            self.add(Code::NoPolicy);
            return None;
        };
        let how = Strictness { distinct: path.distinct_persons, staged: true };
        let needs = path.path.requirements();
        let votes: Vec<&Vote> = request.votes.iter().filter(|vote| !vote.withdrawn).collect();
        let mut items = Vec::new();
        let mut deciders = Vec::new();
        for item in &event.witness {
            let Some(place) = votes.iter().position(|vote| vote.digest == item.approval) else {
                self.add(Code::ApprovalVoid);
                return None;
            };
            self.still_counts(votes[place], request, resolved);
            let requirement = usize::try_from(item.requirement).unwrap_or(usize::MAX);
            if needs.get(requirement) != Some(&votes[place].capacity) {
                self.add(Code::WitnessMismatch);
                return None;
            }
            items.push((requirement, place));
            deciders.push(votes[place].clone());
        }
        if items.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
            self.add(Code::WitnessMismatch);
            return None;
        }
        let ballots: Vec<Ballot> = votes.iter().map(|vote| self.ballot(vote, request)).collect();
        self.need(meets(&path.path, &ballots, &items, how), Code::ApprovalMissing);
        self.enrollers(&deciders, request);
        if automation {
            let good: Vec<&Vote> =
                votes.iter().copied().filter(|vote| self.supports(vote, request, resolved)).collect();
            let ballots: Vec<Ballot> = good.iter().map(|vote| self.ballot(vote, request)).collect();
            let derived = first_witness(&path.path, &ballots, how).map(|pairs| {
                let item = |(requirement, place): (usize, usize)| (requirement as u64, good[place].digest);
                pairs.into_iter().map(item).collect::<Vec<_>>()
            });
            let given: Vec<_> = event.witness.iter().map(|item| (item.requirement, item.approval)).collect();
            match derived {
                Some(derived) => self.need(derived == given, Code::WitnessMismatch),
                None => self.add(Code::ApprovalMissing),
            }
        }
        Some(deciders)
    }

    fn terms(
        &mut self,
        event: &AccessGranted,
        request: &RequestFacts,
        resolved: &Resolved,
        deciders: &[Vote],
        automation: bool,
    ) {
        let mut ends_on: Vec<EndEvent> = vec![EndEvent::Offboarding, EndEvent::ResourceRetired];
        ends_on.extend(request.event.ends_on.iter().copied());
        let policy =
            if event.exception.is_some() { &resolved.exception_policy } else { &resolved.path_policy };
        if event.exception.is_some() {
            ends_on.push(EndEvent::ExceptionEnded);
        } else if let Some(path) = &resolved.clause.path {
            for cascade in &path.cascade {
                ends_on.push(match cascade {
                    Cascade::Delegation => EndEvent::DelegationEnded,
                    Cascade::Owner => EndEvent::OwnerGone,
                });
            }
        }
        if matches!(request.event.hold, Hold::Class(_)) {
            ends_on.push(EndEvent::ClassClosed);
        }
        self.need(policy.as_ref().is_some_and(|policy| policy.digest == event.policy), Code::GrantMismatch);
        let given: Vec<EndEvent> = event.ends_on.iter().copied().collect();
        self.need(same_set(&given, &ends_on), Code::GrantMismatch);
        match (&request.event.hold, &event.hold) {
            (Hold::Class(_), _) => {
                self.hold(resolved, &request.event.hold);
                self.need(event.hold == request.event.hold, Code::GrantMismatch);
            }
            (Hold::Seconds(asked), Hold::Seconds(given)) => {
                let Some(most) = ceiling(&resolved.clause) else { return self.add(Code::AboveCeiling) };
                let agreed = deciders.iter().filter_map(|vote| vote.seconds);
                let most = agreed.chain([most, asked.count()]).min().unwrap();
                self.need(given.count() <= most, Code::AboveCeiling);
                self.need(given.count() == most || !automation, Code::GrantMismatch);
            }
            (Hold::Seconds(_), Hold::Class(_)) => self.add(Code::GrantMismatch),
        }
    }

    fn revoke(&mut self, event: &AccessRevoked) {
        self.alone();
        let Some(grant) = self.m.active_grant(&event.grant, self.at) else {
            return self.add(Code::NoActiveGrant);
        };
        let capacities = [
            Capacity::Revoker,
            Capacity::BusinessOwner,
            Capacity::ApplicationOwner,
            Capacity::PlatformOwner,
            Capacity::OperationsOwner,
            Capacity::IamEnforcer,
            Capacity::PamEnforcer,
        ];
        let chain = self.m.chain(&grant.resource);
        let may = grant.subject == self.author
            || self.m.is_governor(self.author.as_str())
            || capacities.iter().any(|capacity| self.over_chain(&self.author, *capacity, &chain));
        if !may {
            let elsewhere =
                capacities.iter().any(|c| self.m.holds_somewhere(self.author.as_str(), *c, self.at));
            self.add(if elsewhere { Code::OutsideScope } else { Code::NoAuthority });
        }
        self.windows(&grant.resource);
    }

    fn permit(&mut self, event: &ExceptionGranted, personal: &PersonalException) {
        self.alone();
        let Some(request) = self.m.open_request(&personal.request, self.at) else {
            return self.add(Code::NoOpenRequest);
        };
        self.windows(&request.event.resource);
        self.saw(request.seq);
        self.need(self.m.live_principal(event.owner.as_str()).is_some(), Code::UnknownPrincipal);
        let Some(resolved) = resolve(self.m, &request.event.resource, &request.event.role, self.at) else {
            return self.add(Code::NoPolicy);
        };
        self.need(personal.clause == resolved.clause.digest(), Code::ClauseStale);
        let Some(rule) = &resolved.clause.exception else { return self.add(Code::NoExceptionRule) };
        self.need(personal.seconds <= rule.max_seconds, Code::AboveCeiling);
        let right = self.decider(request, Capacity::ExceptionApprover, &resolved);
        self.sod(
            &request.event.subject,
            &request.event.resource,
            &request.event.role,
            request.event.replaces,
        );
        let standing = request.exception.is_some_and(|digest| self.m.standing(&digest, self.at).is_some());
        self.need(!standing, Code::NotRequired);
        let vote = self.new_vote(Capacity::ExceptionApprover, personal.clause, right);
        self.enrollers(std::slice::from_ref(&vote), request);
    }

    fn open_class(&mut self, event: &ExceptionGranted, class: &ClassException) {
        let policy = self.m.in_force(self.at).into_iter().find(|policy| policy.digest == class.policy);
        let Some(policy) = policy else { return self.add(Code::NoSuchPolicy) };
        self.saw(policy.seq);
        let Some(definition) = policy.event.document.classes.find(class.class.as_str()) else {
            return self.add(Code::NoSuchClass);
        };
        let over = &policy.event.scope;
        if !self.over_scope(&self.author, Capacity::ExceptionApprover, over) {
            let code = self.lacks(&self.author, Capacity::ExceptionApprover);
            self.add(code);
        }
        let vendor =
            self.m.principal(self.author.as_str()).is_some_and(|p| p.kind == PrincipalKind::VendorAutomation);
        self.need(!vendor, Code::VendorApprover);
        match &self.cosigners.clone()[..] {
            [] => self.add(Code::SecondPerson),
            [one] => {
                let fits = [Capacity::PolicyOwner, Capacity::RiskOwner]
                    .iter()
                    .any(|c| self.over_scope(one, *c, over));
                self.need(fits, Code::SecondPerson);
                self.different(&self.author.clone(), one);
            }
            _ => self.add(Code::SignerSet),
        }
        self.need(class.until.millis() > self.at, Code::BadWindow);
        self.need(
            class.until.millis() <= self.at + definition.review_seconds.count() * 1_000,
            Code::AboveCeiling,
        );
        self.need(self.m.live_principal(event.owner.as_str()).is_some(), Code::UnknownPrincipal);
    }

    fn end_exception(&mut self, event: &ExceptionEnded) {
        self.alone();
        let (holds, owner) = if let Some(personal) = self.m.standing(&event.exception, self.at) {
            let chain = self.m.chain(&personal.resource);
            (self.over_chain(&self.author, Capacity::ExceptionApprover, &chain), &personal.owner)
        } else {
            let class = self
                .m
                .classes
                .iter()
                .find(|c| c.exception == event.exception && self.m.class_exists(c, self.at));
            let Some(class) = class else { return self.add(Code::NoSuchException) };
            (self.over_scope(&self.author, Capacity::ExceptionApprover, &class.scope), &class.owner)
        };
        if !holds && *owner != self.author {
            let code = self.lacks(&self.author, Capacity::ExceptionApprover);
            self.add(code);
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Lag {
    Ordinary,
    Decision,
    Patient,
}

fn removes(kind: EventKind) -> bool {
    use EventKind::*;
    [
        LedgerFrozen,
        PrincipalDeparted,
        KeyRetired,
        KeyCompromised,
        CapacityWithdrawn,
        DelegationWithdrawn,
        ResourceRetired,
        AccessWithdrawn,
        AccessRevoked,
        ExceptionEnded,
    ]
    .contains(&kind)
}

/// What a decision decides on: the head right after it is never too old.
fn decided_on(event: &Event) -> Option<StatementDigest> {
    match event {
        Event::AccessApproved(event) => Some(event.request),
        Event::AccessDenied(event) => Some(event.request),
        Event::ExceptionGranted(event) => Some(match &event.covers {
            ExceptionOf::Personal(personal) => personal.request,
            ExceptionOf::Class(class) => class.policy,
        }),
        _ => None,
    }
}

/// Whether every way to meet a path has an owner in it: no set of other capacities meets it.
fn owner_needed(path: &Path) -> bool {
    let owners = [
        Capacity::BusinessOwner,
        Capacity::ApplicationOwner,
        Capacity::PlatformOwner,
        Capacity::OperationsOwner,
    ];
    let ballots: Vec<Ballot> = path
        .requirements()
        .into_iter()
        .enumerate()
        .filter(|(_, capacity)| !owners.contains(capacity))
        .map(|(seq, capacity)| Ballot { capacity, persons: Vec::new(), seq: seq as u64 })
        .collect();
    !reached(path, &ballots, Strictness { distinct: false, staged: false }).1
}

fn unique<T: Ord + Clone>(items: &[T]) -> bool {
    let mut sorted = items.to_vec();
    sorted.sort();
    sorted.windows(2).all(|pair| pair[0] != pair[1])
}

fn same_set<T: Ord + Clone>(left: &[T], right: &[T]) -> bool {
    let set = |items: &[T]| items.iter().cloned().collect::<BTreeSet<T>>();
    set(left) == set(right)
}
