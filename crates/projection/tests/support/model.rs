//! Plain lists of what was admitted. Nothing is indexed and nothing is undone by time: questions scan the lists as of an instant.

use std::sync::Arc;

use countersign_core::digest::{KeyId, LeafHash, StatementDigest};
use countersign_core::event::*;
use countersign_core::id::*;
use countersign_core::policy::*;
use countersign_core::statement::Statement;
use countersign_projection::governance::{MAX_REQUEST_SECONDS, OVERRULED_SECONDS};

/// No end.
pub const FOREVER: u64 = u64::MAX;
/// How long ended rights are remembered: a day longer than a request is open.
pub const MEMORY: u64 = (MAX_REQUEST_SECONDS + 86_400) * 1_000;

#[derive(Debug, Clone)]
pub struct Said {
    pub seq: u64,
    pub at: u64,
    pub digest: StatementDigest,
    pub leaf: LeafHash,
    pub statement: Arc<Statement>,
    pub signed_by: Vec<KeyId>,
}

#[derive(Debug, Clone)]
pub struct PrincipalFacts {
    pub name: Principal,
    pub kind: PrincipalKind,
    /// Whose it is, each with the instant until which it was.
    pub persons: Vec<(u64, Vec<Person>)>,
    pub had_key: bool,
    pub departed: bool,
}

#[derive(Debug, Clone)]
pub struct KeyFacts {
    pub id: KeyId,
    pub owner: Principal,
    pub admitted: u64,
    pub ended: bool,
    pub distrusted_from: Option<u64>,
    pub enrollers: Vec<Principal>,
    pub rests_on: Vec<KeyId>,
    pub serials: Vec<u64>,
}

#[derive(Debug, Clone)]
pub struct RightFacts {
    pub digest: StatementDigest,
    pub seq: u64,
    pub capacity: Capacity,
    pub holder: Principal,
    pub scope: Scope,
    pub from: u64,
    pub until: u64,
    pub ended: Option<u64>,
    pub basis: Option<(StatementDigest, Principal)>,
    pub depth: u64,
    pub signed_by: Vec<KeyId>,
}

#[derive(Debug, Clone)]
pub struct ResourceFacts {
    pub name: Resource,
    pub live: bool,
    pub tier: Tier,
    pub environment: Option<Label>,
    pub process: Option<Process>,
    pub governed_by: Option<Resource>,
}

#[derive(Debug, Clone)]
pub struct PolicyFacts {
    pub digest: StatementDigest,
    pub seq: u64,
    pub event: PolicyPublished,
    pub authors: Vec<Principal>,
    pub from: u64,
}

#[derive(Debug, Clone)]
pub enum BookStep {
    Published(Arc<PolicyFacts>),
    Withdrawn(StatementDigest),
}

/// A policy's name with the version in force and the scheduled one.
pub type Versions = (Label, Option<Arc<PolicyFacts>>, Option<Arc<PolicyFacts>>);

#[derive(Debug, Clone)]
pub struct Vote {
    pub digest: StatementDigest,
    pub seq: u64,
    pub author: Principal,
    pub key: KeyId,
    pub capacity: Capacity,
    pub clause: countersign_core::digest::ClauseDigest,
    pub seconds: Option<u64>,
    /// The right by which it was made.
    pub right: StatementDigest,
    pub withdrawn: bool,
}

#[derive(Debug, Clone)]
pub struct RequestFacts {
    pub digest: StatementDigest,
    pub seq: u64,
    pub at: u64,
    pub expires: u64,
    pub requester: Principal,
    pub event: AccessRequested,
    pub votes: Vec<Vote>,
    /// The exception granted last.
    pub exception: Option<StatementDigest>,
    pub closed: bool,
    pub granted: bool,
}

#[derive(Debug, Clone)]
pub struct GrantFacts {
    pub digest: StatementDigest,
    pub seq: u64,
    pub subject: Principal,
    pub resource: Resource,
    pub role: Role,
    pub until: u64,
    pub class: Option<usize>,
    pub exception: Option<StatementDigest>,
    /// Rights whose end ends it.
    pub parents: Vec<StatementDigest>,
    pub ended: bool,
}

#[derive(Debug, Clone)]
pub struct PersonalFacts {
    pub request: StatementDigest,
    pub vote: Vote,
    pub owner: Principal,
    pub resource: Resource,
    pub until: u64,
    pub ended: bool,
}

#[derive(Debug, Clone)]
pub struct ClassFacts {
    pub policy: Label,
    pub definition: StandingClass,
    pub exception: StatementDigest,
    pub signed_by: Vec<KeyId>,
    pub seq: u64,
    pub owner: Principal,
    pub until: u64,
    pub scope: Scope,
    pub closed: bool,
}

#[derive(Debug, Clone)]
pub struct Pending {
    pub digest: StatementDigest,
    pub due: u64,
    pub charter: Charter,
}

/// Everything that was admitted, as lists.
#[derive(Debug, Clone, Default)]
pub struct Model {
    pub ledger: Option<LedgerId>,
    pub entries: Vec<Said>,
    pub rules: u64,
    pub charter: Option<Charter>,
    pub frozen_by: Option<Vec<Principal>>,
    pub overruled: Vec<(Principal, u64)>,
    pub pending: Option<Pending>,
    pub principals: Vec<PrincipalFacts>,
    pub keys: Vec<KeyFacts>,
    pub rights: Vec<RightFacts>,
    pub resources: Vec<ResourceFacts>,
    pub book: Vec<(u64, BookStep)>,
    pub requests: Vec<RequestFacts>,
    pub grants: Vec<GrantFacts>,
    pub personal: Vec<PersonalFacts>,
    pub classes: Vec<ClassFacts>,
}

/// Whether a pattern takes in a name, segment by segment.
pub fn matches(pattern: &str, name: &str) -> bool {
    if pattern == "*" || pattern == name {
        return true;
    }
    let Some(root) = pattern.strip_suffix("/*") else { return false };
    let (root, name): (Vec<&str>, Vec<&str>) = (root.split('/').collect(), name.split('/').collect());
    name.len() > root.len() && name[..root.len()] == root[..]
}

pub fn excluded(scope: &Scope, name: &str) -> bool {
    scope.except.iter().any(|pattern| matches(pattern.as_str(), name))
}

pub fn named(scope: &Scope, name: &str) -> bool {
    matches(scope.on.as_str(), name) && !excluded(scope, name)
}

/// Names that stand for all others where these scopes are compared: of each pattern the root, and something new below it.
fn samples(scopes: &[&Scope]) -> Vec<String> {
    let mut names = vec!["other:thing".to_owned()];
    for scope in scopes {
        for pattern in scope.except.iter().chain([&scope.on]) {
            let root = pattern.as_str().strip_suffix("/*").unwrap_or(pattern.as_str());
            if root != "*" {
                names.extend([root.to_owned(), format!("{root}/new"), format!("{root}/new/newer")]);
            }
        }
    }
    names
}

pub fn overlap(left: &Scope, right: &Scope) -> bool {
    samples(&[left, right]).iter().any(|name| named(left, name) && named(right, name))
}

pub fn contains(outer: &Scope, inner: &Scope) -> bool {
    samples(&[outer, inner]).iter().all(|name| !named(inner, name) || named(outer, name))
}

pub fn share<T: PartialEq>(left: &[T], right: &[T]) -> bool {
    left.iter().any(|item| right.contains(item))
}

impl Model {
    pub fn seq(&self) -> u64 {
        self.entries.len() as u64
    }

    pub fn now(&self) -> u64 {
        self.entries.last().map_or(0, |entry| entry.at)
    }

    pub fn charter(&self) -> &Charter {
        self.charter.as_ref().expect("genesis comes first")
    }

    pub fn principal(&self, name: &str) -> Option<&PrincipalFacts> {
        self.principals.iter().find(|facts| facts.name.as_str() == name)
    }

    pub fn live_principal(&self, name: &str) -> Option<&PrincipalFacts> {
        self.principal(name).filter(|facts| !facts.departed)
    }

    pub fn key(&self, id: &KeyId) -> Option<&KeyFacts> {
        self.keys.iter().find(|key| key.id == *id)
    }

    pub fn live_keys(&self, owner: &str) -> impl Iterator<Item = &KeyFacts> {
        self.keys.iter().filter(move |key| key.owner.as_str() == owner && !key.ended)
    }

    /// Entry of the last statement that another than the recorder authored.
    pub fn authored_at(&self) -> u64 {
        let others =
            self.entries.iter().rev().find(|said| said.statement.author != self.charter().recorder.principal);
        others.or(self.entries.first()).map_or(0, |said| said.at)
    }

    pub fn is_governor(&self, name: &str) -> bool {
        self.charter().governors.iter().any(|holder| holder.principal.as_str() == name)
    }

    pub fn is_recovery(&self, name: &str) -> bool {
        let recovery = self.charter().recovery.as_ref();
        recovery.is_some_and(|recovery| recovery.keys.iter().any(|holder| holder.principal.as_str() == name))
    }

    pub fn in_charter(&self, name: &str) -> bool {
        self.charter().principals().iter().any(|(principal, _)| principal.as_str() == name)
    }

    pub fn bootstrap(&self) -> bool {
        !self.book.iter().any(|(_, step)| matches!(step, BookStep::Published(_)))
    }

    // Persons.

    pub fn persons(&self, name: &str) -> Vec<Person> {
        self.principal(name)
            .and_then(|facts| facts.persons.last())
            .map(|(_, all)| all.clone())
            .unwrap_or_default()
    }

    /// The persons behind a principal and behind everyone who delegated to it, at any time from `since` to `at`.
    pub fn closure(&self, name: &Principal, since: u64, at: u64) -> Vec<Person> {
        let mut all: Vec<Principal> = vec![name.clone()];
        let mut next = 0;
        while let Some(one) = all.get(next).cloned() {
            next += 1;
            for right in self.rights.iter().filter(|right| right.holder == one) {
                let Some((_, delegator)) = &right.basis else { continue };
                let held = self.chain_of_right(right).is_some_and(|links| {
                    links.iter().all(|link| {
                        link.from <= at && link.until > since && link.ended.is_none_or(|ended| ended >= since)
                    })
                });
                if held && !all.contains(delegator) {
                    all.push(delegator.clone());
                }
            }
        }
        let mut persons: Vec<Person> = Vec::new();
        for one in &all {
            for (until, whose) in &self.principal(one.as_str()).expect("registered").persons {
                if *until >= since {
                    persons.extend(whose.iter().cloned());
                }
            }
        }
        persons.sort();
        persons.dedup();
        persons
    }

    // Rights.

    pub fn right(&self, digest: &StatementDigest) -> Option<&RightFacts> {
        self.rights.iter().find(|right| right.digest == *digest)
    }

    /// A right that was not yet forgotten.
    pub fn remembered(&self, digest: &StatementDigest, at: u64) -> Option<&RightFacts> {
        self.right(digest).filter(|right| {
            let gone = |end: u64| end.saturating_add(MEMORY) <= at;
            (right.until == FOREVER || !gone(right.until)) && !right.ended.is_some_and(gone)
        })
    }

    /// The right and everything it rests on.
    pub fn chain_of_right<'a>(&'a self, right: &'a RightFacts) -> Option<Vec<&'a RightFacts>> {
        let mut links = vec![right];
        while let Some((basis, _)) = &links.last()?.basis {
            links.push(self.right(basis)?);
        }
        Some(links)
    }

    pub fn stands(&self, right: &RightFacts, at: u64) -> bool {
        let open = |link: &&RightFacts| link.ended.is_none() && link.from <= at && at < link.until;
        self.chain_of_right(right).is_some_and(|links| links.iter().all(open))
    }

    /// The names of a resource and of what governs it, nearest first.
    pub fn chain(&self, name: &Resource) -> Vec<Resource> {
        let mut chain = vec![name.clone()];
        while let Some(above) = self
            .resources
            .iter()
            .find(|facts| Some(&facts.name) == chain.last())
            .and_then(|facts| facts.governed_by.clone())
        {
            chain.push(above);
            assert!(chain.len() < 40, "a cycle of resources");
        }
        chain
    }

    pub fn reaches_chain(scope: &Scope, chain: &[Resource]) -> bool {
        let names = || chain.iter().map(|resource| resource.as_str());
        // What is left out stays out with all that it governs.
        names().any(|name| matches(scope.on.as_str(), name)) && !names().any(|name| excluded(scope, name))
    }

    /// Rights by which someone holds a capacity over a resource, given with what governs it.
    pub fn rights_over<'a>(
        &'a self,
        name: &'a str,
        capacity: Capacity,
        chain: &'a [Resource],
        at: u64,
    ) -> impl Iterator<Item = &'a RightFacts> {
        self.rights.iter().filter(move |right| {
            right.holder.as_str() == name
                && right.capacity == capacity
                && self.stands(right, at)
                && self
                    .chain_of_right(right)
                    .is_some_and(|links| links.iter().all(|link| Self::reaches_chain(&link.scope, chain)))
        })
    }

    pub fn holds(&self, name: &str, capacity: Capacity, resource: &Resource, at: u64) -> bool {
        let live = self.live_principal(name).is_some() && self.resource(resource).is_some();
        live && self.rights_over(name, capacity, &self.chain(resource), at).next().is_some()
    }

    pub fn holds_somewhere(&self, name: &str, capacity: Capacity, at: u64) -> bool {
        self.rights.iter().any(|right| {
            right.holder.as_str() == name && right.capacity == capacity && self.stands(right, at)
        })
    }

    pub fn holds_over_scope(&self, name: &str, capacity: Capacity, over: &Scope, at: u64) -> bool {
        let by_scope = self.rights.iter().any(|right| {
            right.holder.as_str() == name
                && right.capacity == capacity
                && self.stands(right, at)
                && contains(&right.scope, over)
        });
        let single = Resource::new(over.on.as_str()).ok();
        by_scope || single.is_some_and(|resource| self.holds(name, capacity, &resource, at))
    }

    // Resources and policies.

    pub fn resource(&self, name: &Resource) -> Option<&ResourceFacts> {
        self.resources.iter().find(|facts| facts.name == *name && facts.live)
    }

    /// The versions of each name in force and scheduled at an instant.
    pub fn policies(&self, at: u64) -> Vec<Versions> {
        let mut all: Vec<Versions> = Vec::new();
        let promote = |versions: &mut Versions, at: u64| {
            if versions.2.as_ref().is_some_and(|next| next.from <= at) {
                versions.1 = versions.2.take();
            }
        };
        for (when, step) in &self.book {
            all.iter_mut().for_each(|versions| promote(versions, *when));
            match step {
                BookStep::Published(policy) => {
                    if !all.iter().any(|(name, _, _)| *name == policy.event.name) {
                        all.push((policy.event.name.clone(), None, None));
                    }
                    let versions = all.iter_mut().find(|(name, _, _)| *name == policy.event.name).unwrap();
                    if policy.from <= *when {
                        *versions = (policy.event.name.clone(), Some(policy.clone()), None);
                    } else {
                        versions.2 = Some(policy.clone());
                    }
                }
                BookStep::Withdrawn(digest) => {
                    for (_, current, scheduled) in &mut all {
                        current.take_if(|policy| policy.digest == *digest);
                        scheduled.take_if(|policy| policy.digest == *digest);
                    }
                }
            }
        }
        all.iter_mut().for_each(|versions| promote(versions, at));
        all.retain(|(_, current, scheduled)| current.is_some() || scheduled.is_some());
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    pub fn in_force(&self, at: u64) -> Vec<Arc<PolicyFacts>> {
        self.policies(at).into_iter().filter_map(|(_, current, _)| current).collect()
    }

    // Requests, grants, exceptions.

    pub fn request(&self, digest: &StatementDigest) -> Option<&RequestFacts> {
        self.requests.iter().find(|request| request.digest == *digest)
    }

    pub fn is_open(&self, request: &RequestFacts, at: u64) -> bool {
        !request.closed && !request.granted && at < request.expires
    }

    pub fn open_requests(&self, at: u64) -> impl Iterator<Item = &RequestFacts> {
        self.requests.iter().filter(move |request| self.is_open(request, at))
    }

    pub fn open_request(&self, digest: &StatementDigest, at: u64) -> Option<&RequestFacts> {
        self.request(digest).filter(|request| self.is_open(request, at))
    }

    /// When time alone ends a grant.
    pub fn grant_until(&self, grant: &GrantFacts) -> u64 {
        match grant.class.map(|class| &self.classes[class]) {
            Some(class) if class.definition.missed_review == MissedReview::End => {
                grant.until.min(class.until)
            }
            Some(_) | None => grant.until,
        }
    }

    pub fn is_active(&self, grant: &GrantFacts, at: u64) -> bool {
        !grant.ended && at < self.grant_until(grant)
    }

    pub fn active(&self, at: u64) -> impl Iterator<Item = &GrantFacts> {
        self.grants.iter().filter(move |grant| self.is_active(grant, at))
    }

    pub fn active_grant(&self, digest: &StatementDigest, at: u64) -> Option<&GrantFacts> {
        self.active(at).find(|grant| grant.digest == *digest)
    }

    pub fn personal_stands(&self, personal: &PersonalFacts, at: u64) -> bool {
        let request = self.request(&personal.request).expect("an exception is on a request");
        let needed = if request.granted {
            self.active(at).any(|grant| grant.exception == Some(personal.vote.digest))
        } else {
            self.is_open(request, at)
        };
        !personal.ended && at < personal.until && needed
    }

    pub fn standing(&self, digest: &StatementDigest, at: u64) -> Option<&PersonalFacts> {
        self.personal
            .iter()
            .find(|personal| personal.vote.digest == *digest && self.personal_stands(personal, at))
    }

    /// Whether a class was neither closed nor lapsed for good.
    pub fn class_exists(&self, class: &ClassFacts, at: u64) -> bool {
        let lapsed = class.definition.missed_review == MissedReview::End && class.until <= at;
        !class.closed && !lapsed
    }

    pub fn class(&self, policy: &Label, definition: &StandingClass, at: u64) -> Option<usize> {
        self.classes.iter().position(|class| {
            class.policy == *policy && class.definition == *definition && self.class_exists(class, at)
        })
    }

    pub fn is_distrusted(&self, key: &KeyId, seq: u64) -> bool {
        self.key(key).and_then(|key| key.distrusted_from).is_some_and(|from| from <= seq)
    }

    /// Whether a decision still counts: author here, nothing it rests on withdrawn, key trusted.
    pub fn counts(&self, vote: &Vote, at: u64) -> bool {
        let intact = self
            .remembered(&vote.right, at)
            .and_then(|right| self.chain_of_right(right))
            .is_some_and(|links| links.iter().all(|link| link.ended.is_none()));
        !vote.withdrawn
            && intact
            && self.live_principal(vote.author.as_str()).is_some()
            && !self.is_distrusted(&vote.key, vote.seq)
    }

    // What admitted statements do.

    /// Puts a recovery in force that is due.
    pub fn settle(&mut self, at: u64) {
        if let Some(pending) = self.pending.take_if(|pending| pending.due <= at) {
            self.put_charter(pending.charter);
        }
    }

    fn put_charter(&mut self, charter: Charter) {
        let seq = self.seq();
        let before: Vec<Principal> =
            self.charter.iter().flat_map(|old| old.principals()).map(|(name, _)| name.clone()).collect();
        let people =
            charter.governors.iter().chain(charter.recovery.iter().flat_map(|recovery| recovery.keys.iter()));
        let mut seats: Vec<(Principal, KeyId, PrincipalKind, Vec<Person>)> = people
            .map(|holder| {
                (
                    holder.principal.clone(),
                    holder.key.key_id(),
                    PrincipalKind::Human,
                    vec![holder.person.clone()],
                )
            })
            .collect();
        seats.push((
            charter.recorder.principal.clone(),
            charter.recorder.key.key_id(),
            PrincipalKind::Automation,
            charter.recorder.controllers.iter().cloned().collect(),
        ));
        for (name, id, kind, persons) in seats {
            if self.principal(name.as_str()).is_none() {
                self.principals.push(PrincipalFacts {
                    name: name.clone(),
                    kind,
                    persons: vec![(FOREVER, persons)],
                    had_key: false,
                    departed: false,
                });
            }
            if self.key(&id).is_none() {
                self.add_key(id, name.clone(), seq, Vec::new(), Vec::new());
            }
            for key in self.keys.iter_mut().filter(|key| key.owner == name && key.id != id) {
                key.ended = true;
            }
            self.principals.iter_mut().find(|facts| facts.name == name).unwrap().had_key = true;
        }
        for name in before {
            if !charter.principals().iter().any(|(named, _)| **named == name) {
                self.keys.iter_mut().filter(|key| key.owner == name).for_each(|key| key.ended = true);
            }
        }
        self.charter = Some(charter);
    }

    fn add_key(
        &mut self,
        id: KeyId,
        owner: Principal,
        seq: u64,
        enrollers: Vec<Principal>,
        rests_on: Vec<KeyId>,
    ) {
        self.keys.push(KeyFacts {
            id,
            owner,
            admitted: seq,
            ended: false,
            distrusted_from: None,
            enrollers,
            rests_on,
            serials: Vec::new(),
        });
    }

    fn end_right(&mut self, digest: &StatementDigest, at: u64) {
        let Some(right) =
            self.rights.iter_mut().find(|right| right.digest == *digest && right.ended.is_none())
        else {
            return;
        };
        right.ended = Some(at);
        for grant in self.grants.iter_mut().filter(|grant| grant.parents.contains(digest)) {
            grant.ended = true;
        }
    }

    fn distrust(&mut self, id: &KeyId, from: u64, at: u64) {
        let key = self.keys.iter_mut().find(|key| key.id == *id).unwrap();
        if key.distrusted_from.is_some_and(|known| known <= from) {
            return;
        }
        key.distrusted_from = Some(from);
        key.ended = true;
        let keys: Vec<(KeyId, u64)> = self
            .keys
            .iter()
            .filter(|key| key.admitted >= from && key.rests_on.contains(id))
            .map(|key| (key.id, key.admitted + 1))
            .collect();
        let rights: Vec<StatementDigest> = self
            .rights
            .iter()
            .filter(|right| right.seq >= from && right.signed_by.contains(id))
            .map(|right| right.digest)
            .collect();
        rights.iter().for_each(|digest| self.end_right(digest, at));
        keys.iter().for_each(|(id, from)| self.distrust(id, *from, at));
    }

    fn close_requests(&mut self, which: impl Fn(&RequestFacts) -> bool) {
        self.requests.iter_mut().filter(|request| which(request)).for_each(|request| request.closed = true);
    }

    /// Takes what was admitted; `seconds` and the like come from the statement, everything derived is derived here again.
    pub fn apply(&mut self, said: Said) {
        let (seq, at, digest) = (said.seq, said.at, said.digest);
        assert_eq!(seq, self.seq());
        let statement = said.statement.clone();
        let author = statement.author.clone();
        let signers: Vec<Principal> =
            [author.clone()].into_iter().chain(statement.cosigners.iter().cloned()).collect();
        let admitted: Vec<KeyId> =
            said.signed_by.iter().filter(|id| self.key(id).is_some_and(|key| !key.ended)).copied().collect();
        self.settle(at);
        match &statement.event {
            Event::LedgerOpened(event) => {
                self.ledger = Some(LedgerId::new(&event.name, digest));
                self.rules = event.rules;
                self.put_charter(event.charter());
            }
            Event::CharterAmended(event) => self.put_charter(event.charter.clone()),
            Event::LedgerUpgraded(event) => self.rules = event.rules,
            Event::LedgerFrozen(_) => self.frozen_by = Some(signers),
            Event::LedgerThawed(_) => {
                for name in self.frozen_by.take().unwrap_or_default() {
                    self.overruled.push((name, at + OVERRULED_SECONDS * 1_000));
                }
            }
            Event::RecoveryProposed(event) => {
                let delay = self.charter().recovery.as_ref().unwrap().delay_seconds.count();
                self.pending =
                    Some(Pending { digest, due: at + delay * 1_000, charter: event.amendment.clone() });
            }
            Event::RecoveryVetoed(_) => self.pending = None,
            Event::PrincipalRegistered(event) => self.principals.push(PrincipalFacts {
                name: event.principal.clone(),
                kind: event.kind,
                persons: vec![(FOREVER, event.person.iter().chain(&event.controllers).cloned().collect())],
                had_key: false,
                departed: false,
            }),
            Event::PrincipalChanged(event) => {
                let facts = self.principals.iter_mut().find(|facts| facts.name == event.principal).unwrap();
                facts.persons.last_mut().unwrap().0 = at;
                facts
                    .persons
                    .push((FOREVER, event.person.iter().chain(&event.controllers).cloned().collect()));
            }
            Event::PrincipalDeparted(event) => {
                let name = &event.principal;
                self.keys.iter_mut().filter(|key| key.owner == *name).for_each(|key| key.ended = true);
                self.grants
                    .iter_mut()
                    .filter(|grant| grant.subject == *name)
                    .for_each(|grant| grant.ended = true);
                self.close_requests(|request| request.requester == *name || request.event.subject == *name);
                let theirs: Vec<StatementDigest> = self
                    .rights
                    .iter()
                    .filter(|right| {
                        right.holder == *name
                            || right.basis.as_ref().is_some_and(|(_, delegator)| delegator == name)
                    })
                    .map(|right| right.digest)
                    .collect();
                theirs.iter().for_each(|digest| self.end_right(digest, at));
                self.principals.iter_mut().find(|facts| facts.name == *name).unwrap().departed = true;
            }
            Event::KeyEnrolled(event) => {
                let enrollers = match event.enrolment {
                    Enrolment::First | Enrolment::AfterLoss => signers,
                    Enrolment::Further => self.key(&statement.key).unwrap().enrollers.clone(),
                };
                self.add_key(event.key.key_id(), event.principal.clone(), seq, enrollers, admitted);
                let name = &event.principal;
                self.principals.iter_mut().find(|facts| facts.name == *name).unwrap().had_key = true;
            }
            Event::KeyRetired(event) => {
                let id = event.key.key_id();
                self.keys.iter_mut().find(|key| key.id == id).unwrap().ended = true;
            }
            Event::KeyCompromised(event) => self.distrust(&event.key.key_id(), event.from.unwrap_or(seq), at),
            Event::CapacityAssigned(event) => self.rights.push(RightFacts {
                digest,
                seq,
                capacity: event.capacity,
                holder: event.holder.clone(),
                scope: event.scope.clone(),
                from: event.from.map_or(at, |from| from.millis().max(at)),
                until: event.until.map_or(FOREVER, |until| until.millis()),
                ended: None,
                basis: None,
                depth: 8,
                signed_by: admitted,
            }),
            Event::CapacityWithdrawn(event) => self.end_right(&event.assignment, at),
            Event::DelegationGranted(event) => {
                let capacity = self.right(&event.basis).unwrap().capacity;
                self.rights.push(RightFacts {
                    digest,
                    seq,
                    capacity,
                    holder: event.delegate.clone(),
                    scope: event.scope.clone(),
                    from: event.from.map_or(at, |from| from.millis().max(at)),
                    until: event.until.millis(),
                    ended: None,
                    basis: Some((event.basis, author)),
                    depth: event.depth,
                    signed_by: admitted,
                });
            }
            Event::DelegationWithdrawn(event) => self.end_right(&event.delegation, at),
            Event::ResourceRegistered(event) => {
                self.resources.retain(|facts| facts.name != event.resource);
                self.resources.push(ResourceFacts {
                    name: event.resource.clone(),
                    live: true,
                    tier: event.tier,
                    environment: event.environment.clone(),
                    process: event.process.clone(),
                    governed_by: event.governed_by.clone(),
                });
            }
            Event::ResourceChanged(event) => {
                let facts = self.resources.iter_mut().find(|facts| facts.name == event.resource).unwrap();
                facts.tier = event.tier;
                facts.environment = event.environment.clone();
                facts.process = event.process.clone();
                facts.governed_by = event.governed_by.clone();
            }
            Event::ResourceRetired(event) => {
                let name = &event.resource;
                self.grants
                    .iter_mut()
                    .filter(|grant| grant.resource == *name)
                    .for_each(|grant| grant.ended = true);
                self.close_requests(|request| request.event.resource == *name);
                let on: Vec<StatementDigest> = self
                    .rights
                    .iter()
                    .filter(|right| right.scope.on.as_str() == name.as_str())
                    .map(|right| right.digest)
                    .collect();
                on.iter().for_each(|digest| self.end_right(digest, at));
                let facts = self.resources.iter_mut().find(|facts| facts.name == *name).unwrap();
                facts.live = false;
                facts.governed_by = None;
            }
            Event::PolicyPublished(event) => {
                let policy = PolicyFacts {
                    digest,
                    seq,
                    event: event.clone(),
                    authors: signers,
                    from: event.from.map_or(at, |from| from.millis()),
                };
                self.book.push((at, BookStep::Published(Arc::new(policy))));
            }
            Event::PolicyWithdrawn(event) => self.book.push((at, BookStep::Withdrawn(event.policy))),
            Event::AccessRequested(event) => {
                let expires = event.expires.map_or_else(
                    || at.saturating_add(self.request_seconds(&event.resource, at) * 1_000),
                    |expires| expires.millis(),
                );
                self.requests.push(RequestFacts {
                    digest,
                    seq,
                    at,
                    expires,
                    requester: author,
                    event: event.clone(),
                    votes: Vec::new(),
                    exception: None,
                    closed: false,
                    granted: false,
                });
            }
            Event::AccessApproved(event) => {
                let request = self.request(&event.request).unwrap();
                let chain = self.chain(&request.event.resource);
                let right = self.first_right(&author, event.capacity, &chain, at).expect("judged");
                let vote = Vote {
                    digest,
                    seq,
                    author,
                    key: statement.key,
                    capacity: event.capacity,
                    clause: event.clause,
                    seconds: event.seconds.map(|seconds| seconds.count()),
                    right,
                    withdrawn: false,
                };
                let request =
                    self.requests.iter_mut().find(|request| request.digest == event.request).unwrap();
                request.votes.push(vote);
            }
            Event::AccessDenied(event) => self.close_requests(|request| request.digest == event.request),
            Event::AccessWithdrawn(event) => {
                self.close_requests(|request| request.digest == event.statement);
                let votes = self.requests.iter_mut().flat_map(|request| &mut request.votes);
                votes.filter(|vote| vote.digest == event.statement).for_each(|vote| vote.withdrawn = true);
            }
            Event::AccessGranted(event) => self.grant(event, digest, seq, at),
            Event::AccessRevoked(event) => {
                self.grants
                    .iter_mut()
                    .filter(|grant| grant.digest == event.grant)
                    .for_each(|grant| grant.ended = true);
            }
            Event::ExceptionGranted(event) => match &event.covers {
                ExceptionOf::Personal(personal) => {
                    let request = self.request(&personal.request).unwrap();
                    let resource = request.event.resource.clone();
                    let chain = self.chain(&resource);
                    let right =
                        self.first_right(&author, Capacity::ExceptionApprover, &chain, at).expect("judged");
                    let vote = Vote {
                        digest,
                        seq,
                        author,
                        key: statement.key,
                        capacity: Capacity::ExceptionApprover,
                        clause: personal.clause,
                        seconds: Some(personal.seconds.count()),
                        right,
                        withdrawn: false,
                    };
                    self.personal.push(PersonalFacts {
                        request: personal.request,
                        vote,
                        owner: event.owner.clone(),
                        resource,
                        until: at + personal.seconds.count() * 1_000,
                        ended: false,
                    });
                    let request =
                        self.requests.iter_mut().find(|request| request.digest == personal.request).unwrap();
                    request.exception = Some(digest);
                }
                ExceptionOf::Class(class) => {
                    let policy =
                        self.in_force(at).into_iter().find(|policy| policy.digest == class.policy).unwrap();
                    let definition =
                        policy.event.document.classes.find(class.class.as_str()).unwrap().clone();
                    let known = self.class(&policy.event.name, &definition, at);
                    let facts = ClassFacts {
                        policy: policy.event.name.clone(),
                        definition,
                        exception: digest,
                        signed_by: admitted,
                        seq,
                        owner: event.owner.clone(),
                        until: class.until.millis(),
                        scope: policy.event.scope.clone(),
                        closed: false,
                    };
                    match known {
                        Some(place) => self.classes[place] = facts,
                        None => self.classes.push(facts),
                    }
                }
            },
            Event::ExceptionEnded(event) => {
                for personal in
                    self.personal.iter_mut().filter(|personal| personal.vote.digest == event.exception)
                {
                    personal.ended = true;
                }
                let rests = |grant: &GrantFacts| grant.exception == Some(event.exception);
                self.grants.iter_mut().filter(|grant| rests(grant)).for_each(|grant| grant.ended = true);
                for request in &mut self.requests {
                    request.exception.take_if(|exception| *exception == event.exception);
                }
                let closed: Vec<usize> = (0..self.classes.len())
                    .filter(|place| {
                        let class = &self.classes[*place];
                        class.exception == event.exception && self.class_exists(class, at)
                    })
                    .collect();
                for place in closed {
                    self.classes[place].closed = true;
                    let held = self.grants.iter_mut().filter(|grant| grant.class == Some(place));
                    held.for_each(|grant| grant.ended = true);
                }
            }
            Event::ClockStepped(_) | Event::Custom(_) => {}
        }
        if let Some(key) = self.keys.iter_mut().find(|key| key.id == statement.key) {
            key.serials.push(statement.serial);
        }
        self.entries.push(said);
    }

    /// Of the rights by which someone holds a capacity over a resource, the one with the lowest digest carries a decision.
    pub fn first_right(
        &self,
        name: &Principal,
        capacity: Capacity,
        chain: &[Resource],
        at: u64,
    ) -> Option<StatementDigest> {
        self.rights_over(name.as_str(), capacity, chain, at).map(|right| right.digest).min()
    }

    /// The longest time that a request on a resource is open.
    pub fn request_seconds(&self, resource: &Resource, at: u64) -> u64 {
        let windows =
            self.in_force(at).into_iter().filter(|policy| named(&policy.event.scope, resource.as_str()));
        let shorter = windows.filter_map(|policy| policy.event.document.windows.clone()).next();
        shorter
            .and_then(|windows| windows.request_seconds)
            .map_or(MAX_REQUEST_SECONDS, |seconds| seconds.count())
    }

    fn grant(&mut self, event: &AccessGranted, digest: StatementDigest, seq: u64, at: u64) {
        let request = self.request(&event.request).unwrap().clone();
        let deciders: Vec<Vote> = match &event.exception {
            Some(exception) => vec![self.standing(exception, at).unwrap().vote.clone()],
            None => {
                let named = |vote: &&Vote| event.witness.iter().any(|item| item.approval == vote.digest);
                request.votes.iter().filter(named).cloned().collect()
            }
        };
        let resolved = super::rules::resolve(self, &request.event.resource, &request.event.role, at).unwrap();
        let mut parents = Vec::new();
        if let (None, Some(path)) = (&event.exception, &resolved.clause.path) {
            for vote in &deciders {
                for link in self.chain_of_right(self.right(&vote.right).unwrap()).unwrap() {
                    let cascade = if link.basis.is_some() { Cascade::Delegation } else { Cascade::Owner };
                    if path.cascade.contains(&cascade) {
                        parents.push(link.digest);
                    }
                }
            }
        }
        let exception_until =
            event.exception.and_then(|digest| self.standing(&digest, at)).map_or(FOREVER, |p| p.until);
        let (until, class) = match &event.hold {
            Hold::Seconds(seconds) => (at + seconds.count() * 1_000, None),
            Hold::Class(name) => {
                let policy = resolved.class_policy.as_ref().unwrap();
                let definition = resolved.clause.classes.find(name.as_str()).unwrap();
                // Who agreed to a time agreed to no more, whatever the class allows.
                let agreed =
                    deciders.iter().filter_map(|vote| vote.seconds).map(|seconds| at + seconds * 1_000).min();
                (agreed.unwrap_or(FOREVER), Some(self.class(&policy.event.name, definition, at).unwrap()))
            }
        };
        if let Some(replaced) = &event.replaces {
            self.grants
                .iter_mut()
                .filter(|grant| grant.digest == *replaced)
                .for_each(|grant| grant.ended = true);
        }
        self.requests.iter_mut().find(|open| open.digest == event.request).unwrap().granted = true;
        self.grants.push(GrantFacts {
            digest,
            seq,
            subject: request.event.subject.clone(),
            resource: request.event.resource.clone(),
            role: request.event.role.clone(),
            until: until.min(exception_until),
            class,
            exception: event.exception,
            parents,
            ended: false,
        });
    }
}
