//! Histories at random, most of whose statements are meant to be admitted.

use countersign_core::digest::{LeafHash, StatementDigest};
use countersign_core::event::*;
use countersign_core::id::*;
use countersign_core::policy::*;

use super::act::*;
use super::cast::*;
use super::desk::{Desk, Draft};
use super::make::*;
use super::model::{Model, RequestFacts};
use super::questions;
use super::random::Random;
use super::rules;

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

/// Who makes the statements of a history.
pub struct Player<'a> {
    pub desk: &'a mut Desk,
    pub random: Random,
    fresh: u64,
}

impl<'a> Player<'a> {
    pub fn new(desk: &'a mut Desk, seed: u64) -> Self {
        Self { desk, random: Random::new(seed), fresh: 0 }
    }

    /// Makes one statement, after some time.
    pub fn step(&mut self) {
        let seconds = match self.random.below(100) {
            0..30 => 0,
            30..80 => self.random.between(1, 600),
            80..94 => self.random.between(600, 5 * 3_600),
            94..99 => self.random.between(3_600, 3 * 86_400),
            _ => self.random.between(86_400, 40 * 86_400),
        };
        self.desk.pass(seconds);
        if self.random.chance(20) {
            self.desk.now += self.random.between(0, 999);
        }
        self.desk.model.settle(self.desk.now);
        if let Some(mut draft) = self.draft() {
            if self.random.chance(5) {
                self.bend(&mut draft);
            }
            let _ = self.desk.put(draft);
        }
    }

    /// Asks the state everything, as of the last entry and as of an instant before the next one.
    pub fn ask(&mut self) {
        let last = self.desk.model.now();
        questions::compare(self.desk, last, &mut self.random);
        let between = last + self.random.between(0, 2 * HOUR);
        questions::compare(self.desk, between, &mut self.random);
    }

    /// Asks about what is to come by itself: at, right before and right after such instants.
    pub fn ask_ahead(&mut self) {
        let turns = questions::turns(&self.desk.model, self.desk.model.now());
        for _ in 0..3 {
            let Some(turn) = self.random.pick_some(&turns).copied() else { return };
            let at = (turn + self.random.between(0, 2)).saturating_sub(1);
            questions::compare(self.desk, at.max(self.desk.model.now()), &mut self.random);
        }
    }

    fn draft(&mut self) -> Option<Draft> {
        let frozen = self.desk.model.frozen_by.is_some();
        if frozen && self.random.chance(50) {
            return self.thaw();
        }
        let ready = self.ready();
        if !ready.is_empty() && self.random.chance(40) {
            return self.grant(&ready);
        }
        let open = self.desk.model.open_requests(self.desk.now).count();
        if open > 0 && self.random.chance(40) {
            return self.approve();
        }
        match self.random.below(100) {
            0..22 => self.request(),
            22..26 => self.deny(),
            26..30 => self.withdraw(),
            30..35 => self.revoke(),
            35..41 => self.permit(),
            41..43 => self.end_exception(),
            43..46 => self.open_class(),
            46..56 => self.delegate(),
            56..59 => self.end_delegation(),
            59..63 => self.end_capacity(),
            63..68 => self.assign(),
            68..73 => self.people(),
            73..81 => self.keys(),
            81..88 => self.resources(),
            88..93 => self.policies(),
            93..98 => self.charter(),
            _ => self.other(),
        }
    }

    // Choosing.

    fn someone(&mut self) -> String {
        let all: Vec<String> =
            self.desk.model.principals.iter().map(|facts| facts.name.to_string()).collect();
        self.random.pick(&all).clone()
    }

    fn staff(&mut self) -> String {
        if self.random.chance(6) { self.someone() } else { (*self.random.pick(STAFF)).to_owned() }
    }

    fn holder_over(&mut self, capacity: Capacity, name: &Resource) -> String {
        let model = &self.desk.model;
        let chain = model.chain(name);
        let holders: Vec<String> = model
            .principals
            .iter()
            .map(|facts| facts.name.to_string())
            .filter(|who| model.rights_over(who, capacity, &chain, self.desk.now).next().is_some())
            .collect();
        if holders.is_empty() || self.random.chance(6) {
            self.someone()
        } else {
            self.random.pick(&holders).clone()
        }
    }

    fn open(&mut self) -> Option<RequestFacts> {
        let open: Vec<&RequestFacts> = self.desk.model.open_requests(self.desk.now).collect();
        let recent = &open[open.len().saturating_sub(3)..];
        if self.random.chance(4) {
            let all = &self.desk.model.requests;
            return self.random.pick_some(all).cloned();
        }
        self.random.pick_some(recent).map(|request| (*request).clone())
    }

    fn ready(&self) -> Vec<(StatementDigest, AccessGranted)> {
        let (state, at) = (&self.desk.state, self.desk.at());
        let open = self.desk.model.open_requests(self.desk.now);
        let decided = open.filter(|request| !request.votes.is_empty() || request.exception.is_some());
        decided
            .filter_map(|request| Some((request.digest, state.propose_grant(&request.digest, at).ok()?)))
            .collect()
    }

    fn resource(&mut self) -> Resource {
        if self.random.chance(85) {
            return resource(self.random.pick::<&str>(ASKED));
        }
        let all = &self.desk.model.resources;
        self.random.pick(all).name.clone()
    }

    fn scope_within(&mut self, over: &Scope) -> Scope {
        let choices =
            ["*", "team:acme/*", "team:acme/pay", "team:acme/pay/*", "db:books", "team:lab", "scope:root"];
        if self.random.chance(35) {
            return over.clone();
        }
        for _ in 0..6 {
            let choice = scope(self.random.pick::<&str>(&choices));
            if super::model::contains(over, &choice) {
                let left_out =
                    ["team:acme/web", "team:acme/pay", "team:acme/*", "scope:root", "db:books", "team:acme"];
                let left_out = pattern(self.random.pick::<&str>(&left_out));
                // A scope that leaves out all that it takes in is nobody's.
                return if !left_out.contains(&choice.on) && self.random.chance(35) {
                    Scope { except: [left_out].into_iter().collect(), ..choice }
                } else {
                    choice
                };
            }
        }
        scope(self.random.pick::<&str>(&choices))
    }

    fn tier_of(&self, name: &Resource) -> Tier {
        self.desk
            .model
            .resources
            .iter()
            .find(|facts| facts.name == *name)
            .map_or(Tier::Low, |facts| facts.tier)
    }

    fn governors(&mut self, extra: usize) -> Vec<String> {
        let charter = self.desk.model.charter();
        let k = usize::try_from(charter.quorum).unwrap() + extra;
        let mut all: Vec<String> =
            charter.governors.iter().map(|holder| holder.principal.to_string()).collect();
        let turn = self.random.below(all.len());
        all.rotate_left(turn);
        all.truncate(k);
        all
    }

    fn by(&mut self, signers: &[String], event: impl Into<Event>) -> Draft {
        let cosigners: Vec<&str> = signers[1..].iter().map(String::as_str).collect();
        self.desk.draft(&signers[0], &cosigners, event)
    }

    fn by_governors(&mut self, event: impl Into<Event>) -> Option<Draft> {
        let mut extra = 0;
        if self.random.chance(4) {
            extra = 1;
        }
        let mut signers = self.governors(extra);
        if signers.len() > 1 && self.random.chance(5) {
            signers.pop();
        }
        Some(self.by(&signers, event))
    }

    fn by_registrars(&mut self, event: impl Into<Event>) -> Option<Draft> {
        let (first, second) = registrars(&mut self.random);
        let cosigners: Vec<&str> = match self.random.below(20) {
            0 => vec![],
            1 => vec![second, "user:pol-a"],
            2 => vec!["user:alice"],
            _ => vec![second],
        };
        let first = if self.random.chance(4) { "user:reg-team" } else { first };
        Some(self.desk.draft(first, &cosigners, event))
    }

    /// Bends something about the envelope.
    fn bend(&mut self, draft: &mut Draft) {
        let now = self.desk.now;
        match self.random.below(12) {
            0 => draft.issued_at = now + 5 * 60_000 + self.random.between(0, 2),
            1 => draft.issued_at = now - HOUR - self.random.between(0, 2),
            2 => draft.issued_at = now - 72 * HOUR - self.random.between(0, 2),
            3 => draft.issued_at = now - 30 * DAY - self.random.between(0, 2),
            4 => {
                let used = self
                    .desk
                    .model
                    .entries
                    .iter()
                    .filter(|said| said.statement.author.as_str() == draft.author);
                let used: Vec<u64> = used.map(|said| said.statement.serial).collect();
                draft.serial = self.random.pick_some(&used).copied().unwrap_or(0);
            }
            5 => draft.seen = draft.seen.map(|(_, size)| (LeafHash::new([7; 32]), size)),
            6 => draft.seen = None,
            7 => {
                let size = self.random.between(1, self.desk.model.seq());
                let leaf = self.desk.model.entries[usize::try_from(size - 1).unwrap()].leaf;
                draft.seen = Some((leaf, size));
            }
            8 => draft.ledger = Some(LedgerRef::Name(LedgerName::new("acme").unwrap())),
            9 => {
                draft.signed_by.pop();
                if draft.signed_by.is_empty() {
                    draft.signed_by.push("user:bob".into());
                }
            }
            10 => draft.signed_by.push("user:dan".into()),
            _ => draft.cosigners.push("user:dan".into()),
        }
        draft.cosigners.sort();
        draft.cosigners.dedup();
    }

    // Access.

    fn request(&mut self) -> Option<Draft> {
        let who = self.staff();
        let subject = if self.random.chance(65) { who.clone() } else { self.staff() };
        let on = self.resource();
        let hold = match self.random.below(20) {
            0..6 => Hold::Class(label(self.random.pick::<&str>(&["baseline", "strict"]))),
            6 => Hold::Class(label("unheard-of")),
            7 => Hold::Seconds(seconds(90_000)),
            8..10 => Hold::Seconds(seconds(7_200)),
            _ => Hold::Seconds(seconds(self.random.between(60, 3_600))),
        };
        let tier = if self.random.chance(97) { self.tier_of(&on) } else { Tier::Medium };
        let mine: Vec<StatementDigest> = self
            .desk
            .model
            .grants
            .iter()
            .filter(|grant| grant.subject.as_str() == subject || self.desk.model.grants.len() == 1)
            .map(|grant| grant.digest)
            .collect();
        let replaces = if self.random.chance(12) { self.random.pick_some(&mine).copied() } else { None };
        let expires =
            self.random.chance(15).then(|| instant(self.desk.now + self.random.between(0, 31) * DAY));
        let mut ends_on = Vec::new();
        if self.random.chance(20) {
            ends_on.push(EndEvent::TaskDone);
        }
        let event = AccessRequested {
            ends_on: ends_on.into_iter().collect(),
            expires,
            hold,
            need: text(if self.random.chance(2) { "  " } else { "close the month" }),
            replaces,
            role: role(self.random.pick::<&str>(ROLES)),
            tier,
            ..asked(&subject, on.as_str(), tier)
        };
        Some(self.desk.draft(&who, &[], event))
    }

    fn needs(&self, request: &RequestFacts) -> Vec<Capacity> {
        let resolved =
            rules::resolve(&self.desk.model, &request.event.resource, &request.event.role, self.desk.now);
        resolved
            .and_then(|resolved| resolved.clause.path)
            .map(|path| path.path.requirements())
            .unwrap_or_default()
    }

    fn decide(&mut self) -> Option<(RequestFacts, Capacity, String)> {
        let request = self.open()?;
        let needs = self.needs(&request);
        let capacity = match self.random.pick_some(&needs) {
            Some(capacity) if self.random.chance(96) => *capacity,
            Some(_) | None => Capacity::ControlOwner,
        };
        let who = self.holder_over(capacity, &request.event.resource);
        Some((request, capacity, who))
    }

    fn approve(&mut self) -> Option<Draft> {
        let (request, capacity, mut who) = self.decide()?;
        // Those who decided already are asked again now and then only.
        for _ in 0..3 {
            let again = request.votes.iter().any(|vote| vote.author.as_str() == who);
            if again && self.random.chance(80) {
                who = self.holder_over(capacity, &request.event.resource);
            }
        }
        let stale = self.random.chance(2);
        let event = AccessApproved {
            seconds: self.random.chance(15).then(|| seconds(self.random.between(60, 4_000))),
            clause: if stale {
                countersign_core::digest::ClauseDigest::new([1; 32])
            } else {
                clause(self.desk, &request.digest)
            },
            need: text(if self.random.chance(2) { " " } else { "the books" }),
            ..approved(self.desk, request.digest, capacity)
        };
        Some(self.desk.draft(&who, &[], event))
    }

    fn deny(&mut self) -> Option<Draft> {
        let (request, capacity, who) = self.decide()?;
        let event = denied(self.desk, request.digest, capacity);
        Some(self.desk.draft(&who, &[], event))
    }

    fn withdraw(&mut self) -> Option<Draft> {
        let request = self.open()?;
        let (statement, mut author) = match self.random.pick_some(&request.votes) {
            Some(vote) if self.random.chance(70) => (vote.digest, vote.author.to_string()),
            Some(_) | None => (request.digest, request.requester.to_string()),
        };
        if self.random.chance(10) {
            author = self.someone();
        }
        Some(self.desk.draft(&author, &[], AccessWithdrawn { reason: None, statement }))
    }

    fn grant(&mut self, ready: &[(StatementDigest, AccessGranted)]) -> Option<Draft> {
        let (_, mut event) = self.random.pick(ready).clone();
        let automation = self.random.chance(60);
        let who = if self.random.chance(4) {
            self.someone()
        } else if automation {
            "service:iam".into()
        } else {
            "user:enf".to_owned()
        };
        if self.random.chance(20) {
            match self.random.below(10) {
                9 => {
                    // Two approvals change places: as good for a human, but not what is derived.
                    if let [first, .., last] = &mut event.witness[..] {
                        std::mem::swap(&mut first.approval, &mut last.approval);
                    }
                }
                0 => event.hold = Hold::Seconds(seconds(self.random.between(1, 100_000))),
                1 => event.ends_on = [EndEvent::Offboarding].into_iter().collect(),
                2 => event.policy = StatementDigest::new([3; 32]),
                3 => drop(event.witness.pop()),
                4 => event.witness.reverse(),
                5 => event.witness.iter_mut().for_each(|item| item.requirement += 1),
                6 => {
                    if let Some(first) = event.witness.first().cloned() {
                        event.witness.insert(0, first);
                    }
                }
                7 => {
                    // Another one's approval, or one that was withdrawn.
                    let all: Vec<StatementDigest> = self
                        .desk
                        .model
                        .requests
                        .iter()
                        .flat_map(|r| &r.votes)
                        .map(|vote| vote.digest)
                        .collect();
                    if let (Some(other), Some(item)) =
                        (self.random.pick_some(&all), event.witness.first_mut())
                    {
                        item.approval = *other;
                    }
                }
                _ => {
                    // Every approval that there is, wherever its capacity stands first.
                    let request = self.desk.model.request(&event.request)?.clone();
                    let needs = self.needs(&request);
                    let mut items: Vec<WitnessItem> = Vec::new();
                    for (place, need) in needs.iter().enumerate() {
                        let free = request.votes.iter().find(|vote| {
                            vote.capacity == *need && !items.iter().any(|item| item.approval == vote.digest)
                        });
                        items.extend(
                            free.map(|vote| WitnessItem { approval: vote.digest, requirement: place as u64 }),
                        );
                    }
                    event.witness = items;
                }
            }
        }
        Some(self.desk.draft(&who, &[], event))
    }

    fn revoke(&mut self) -> Option<Draft> {
        let grants = &self.desk.model.grants;
        let recent = &grants[grants.len().saturating_sub(4)..];
        let grant = self.random.pick_some(recent)?.clone();
        let who = match self.random.below(5) {
            0 => "user:rev".to_owned(),
            1 => "user:gov-a".to_owned(),
            2 => grant.subject.to_string(),
            3 => self.holder_over(Capacity::BusinessOwner, &grant.resource),
            _ => self.someone(),
        };
        Some(self.desk.draft(&who, &[], revoked(grant.digest)))
    }

    fn permit(&mut self) -> Option<Draft> {
        let request = self.open()?;
        let who = self.holder_over(Capacity::ExceptionApprover, &request.event.resource);
        let owner = if self.random.chance(95) { "user:risk" } else { "user:nobody" };
        let long = self.random.between(60, 12_000);
        let event = permitted(self.desk, request.digest, long, owner);
        Some(self.desk.draft(&who, &[], event))
    }

    fn end_exception(&mut self) -> Option<Draft> {
        let personal = self.desk.model.personal.iter().map(|p| (p.vote.digest, p.owner.clone()));
        let classes = self.desk.model.classes.iter().map(|class| (class.exception, class.owner.clone()));
        let all: Vec<_> = personal.chain(classes).collect();
        let (exception, owner) = self.random.pick_some(&all)?.clone();
        let who = match self.random.below(4) {
            0 => owner.to_string(),
            1 => self.someone(),
            _ => "user:exc".to_owned(),
        };
        Some(self.desk.draft(&who, &[], ExceptionEnded { exception, reason: text("over") }))
    }

    fn open_class(&mut self) -> Option<Draft> {
        let policies = self.desk.state.policies(self.desk.at());
        let policy = self.random.pick_some(&policies)?.policy;
        let until = self.desk.now + self.random.between(0, 32) * DAY;
        let class = if self.random.chance(90) { *self.random.pick(&["baseline", "strict"]) } else { "other" };
        let event = opened_class(class, policy, until, "user:risk");
        let first = if self.random.chance(90) { "user:exc" } else { "user:eve" };
        let second: &[&str] = match self.random.below(10) {
            0 => &[],
            1 => &["user:alice"],
            2 => &["user:pol-b", "user:risk"],
            3..6 => &["user:pol-a"],
            _ => &["user:risk"],
        };
        Some(self.desk.draft(first, second, event))
    }

    // Rights.

    fn delegate(&mut self) -> Option<Draft> {
        let now = self.desk.now;
        let model = &self.desk.model;
        let fit: Vec<_> = model
            .rights
            .iter()
            .filter(|right| right.capacity.may_delegate() && model.stands(right, now))
            .cloned()
            .collect();
        let basis = if self.random.chance(5) {
            self.random.pick(&model.rights).clone()
        } else {
            self.random.pick_some(&fit)?.clone()
        };
        // Prefer to delegate further what was delegated, so that chains come about.
        let chained: Vec<_> = fit.iter().filter(|right| right.basis.is_some()).cloned().collect();
        let basis = match self.random.pick_some(&chained) {
            Some(further) if self.random.chance(40) => further.clone(),
            Some(_) | None => basis,
        };
        let to = self.someone();
        let over = self.scope_within(&basis.scope);
        let most = basis.until.min(now + 40 * DAY);
        let until = if self.random.chance(90) {
            now + self.random.between(1, (most.saturating_sub(now)).max(1))
        } else {
            most + 1_000
        };
        let depth = if self.random.chance(90) {
            self.random.between(0, basis.depth.saturating_sub(1))
        } else {
            basis.depth
        };
        let mut event = delegated(basis.digest, &to, over, until, depth);
        if self.random.chance(15) {
            event.from = Some(instant(now + self.random.between(0, 2 * DAY)));
        }
        let who = if self.random.chance(95) { basis.holder.to_string() } else { self.someone() };
        Some(self.desk.draft(&who, &[], event))
    }

    fn end_delegation(&mut self) -> Option<Draft> {
        let all: Vec<_> =
            self.desk.model.rights.iter().filter(|right| right.basis.is_some()).cloned().collect();
        let right = self.random.pick_some(&all)?.clone();
        let who = match self.random.below(6) {
            0 => self.someone(),
            1 => "user:reg-a".to_owned(),
            _ => right.basis.as_ref()?.1.to_string(),
        };
        Some(self.desk.draft(
            &who,
            &[],
            DelegationWithdrawn { delegation: right.digest, reason: text("back") },
        ))
    }

    fn end_capacity(&mut self) -> Option<Draft> {
        let right = self.random.pick(&self.desk.model.rights).clone();
        let who = match self.random.below(6) {
            0 => self.someone(),
            1 => right.holder.to_string(),
            2 => "user:reg-team".to_owned(),
            _ if right.capacity.is_business() => "user:reg-a".to_owned(),
            _ => "user:gov-a".to_owned(),
        };
        Some(self.desk.draft(
            &who,
            &[],
            CapacityWithdrawn { assignment: right.digest, reason: text("moved on") },
        ))
    }

    fn assign(&mut self) -> Option<Draft> {
        let capacity = *self.random.pick(Capacity::ALL);
        let to = self.someone();
        let over = self.scope_within(&Scope::everything());
        let now = self.desk.now;
        let event = CapacityAssigned {
            from: self.random.chance(20).then(|| instant(now + self.random.between(0, 2 * DAY))),
            until: self.random.chance(25).then(|| instant(now + self.random.between(0, 20 * DAY))),
            ..assigned(capacity, &to, over)
        };
        if !capacity.is_business() {
            return self.by_governors(event);
        }
        if self.random.chance(30) {
            return Some(self.desk.draft("user:reg-team", &["user:pol-team"], event));
        }
        self.by_registrars(event)
    }

    fn people(&mut self) -> Option<Draft> {
        let someone = self.someone();
        let persons = ["olga", "alice", "bob", "newcomer", "zoe", "Alice"];
        let one = *self.random.pick(&persons);
        self.fresh += 1;
        match self.random.below(10) {
            0..4 => {
                let kind = *self.random.pick(PrincipalKind::ALL);
                let names = [
                    format!("user:new{}-{}", self.fresh, self.desk.model.seq()),
                    "user:Olga".into(),
                    "USER:bob".to_lowercase(),
                    "user:aLICE".into(),
                ];
                let name =
                    if self.random.chance(75) { names[0].clone() } else { self.random.pick(&names).clone() };
                self.by_registrars(registered(&name, kind, &[one]))
            }
            4..8 => {
                let facts = self.desk.model.principal(&someone)?.clone();
                let human = facts.kind == PrincipalKind::Human;
                let event = PrincipalChanged {
                    controllers: (!human).then(|| person(one)).into_iter().collect(),
                    person: human.then(|| person(one)),
                    principal: facts.name,
                    reason: text("as the register says"),
                };
                self.by_registrars(event)
            }
            _ => {
                let who = if self.random.chance(60) { "user:reg-a" } else { "user:gov-b" };
                let event = PrincipalDeparted { principal: principal(&someone), reason: text("left") };
                Some(self.desk.draft(who, &[], event))
            }
        }
    }

    fn keys(&mut self) -> Option<Draft> {
        let someone = self.someone();
        let name = principal(&someone);
        self.fresh += 1;
        let fresh = format!("{someone}#{}-{}", self.desk.model.seq(), self.fresh);
        let used = self.desk.keys.get(&someone).cloned().unwrap_or_else(|| vec![someone.clone()]);
        let key = self.random.pick(&used).clone();
        match self.random.below(12) {
            0..4 => {
                self.desk.learn(&someone, &fresh);
                let author = if self.random.chance(92) { someone.clone() } else { self.someone() };
                let old = used
                    .iter()
                    .rev()
                    .find(|label| self.desk.model.key(&key_id(label)).is_some_and(|key| !key.ended));
                let old = old.cloned().unwrap_or_else(|| someone.clone());
                let mut draft = self.desk.draft(&author, &[], enrolled(&someone, &fresh, Enrolment::Further));
                if author == someone {
                    draft.key = old.clone();
                    draft.signed_by = vec![old, fresh];
                }
                Some(draft)
            }
            4..6 => {
                self.desk.learn(&someone, &fresh);
                let had = self.desk.model.principal(&someone)?.had_key;
                let enrolment = if had { Enrolment::AfterLoss } else { Enrolment::First };
                self.by_registrars(enrolled(&someone, &fresh, enrolment))
            }
            6..9 => {
                let author = match self.random.below(4) {
                    0 => "user:reg-a".to_owned(),
                    1 => "user:gov-b".to_owned(),
                    2 => self.someone(),
                    _ => someone,
                };
                Some(self.desk.draft(
                    &author,
                    &[],
                    KeyRetired { key: key_bytes(&key), principal: name, reason: text("old") },
                ))
            }
            _ => {
                let seq = self.desk.model.seq();
                let from =
                    self.random.chance(50).then(|| self.random.between(seq.saturating_sub(30), seq + 1));
                let event =
                    KeyCompromised { from, key: key_bytes(&key), principal: name, reason: text("stolen") };
                let author = match self.random.below(4) {
                    0 => "user:reg-a".to_owned(),
                    1 => "user:gov-b".to_owned(),
                    2 => self.someone(),
                    _ => someone,
                };
                let earlier = from.is_some_and(|from| from < seq);
                let second: &[&str] = if earlier && self.random.chance(80) { &["user:reg-b"] } else { &[] };
                let second = if second.first() == Some(&author.as_str()) { &["user:gov-c"] } else { second };
                Some(self.desk.draft(&author, second, event))
            }
        }
    }

    // Resources and policies.

    fn resources(&mut self) -> Option<Draft> {
        let all: Vec<Resource> = self.desk.model.resources.iter().map(|facts| facts.name.clone()).collect();
        let name = self.random.pick(&all).clone();
        let above = self.random.pick(&all).clone();
        self.fresh += 1;
        match self.random.below(10) {
            0..3 => {
                let new = format!("team:acme/new{}-{}", self.fresh, self.desk.model.seq());
                let new = match self.random.below(10) {
                    0 => name.to_string(),
                    1 => name
                        .as_str()
                        .to_uppercase()
                        .replacen("TEAM:", "team:", 1)
                        .replacen("DB:", "db:", 1)
                        .replacen("APP:", "app:", 1)
                        .replacen("SCOPE:", "scope:", 1),
                    _ => new,
                };
                let event = placed(&new, Tier::Low, self.random.chance(70).then(|| above.as_str()));
                let pair: (&str, &[&str]) = match self.random.below(8) {
                    0 => ("user:reg-a", &[]),
                    1 => ("user:alice", &["user:pol-a"]),
                    2 => ("user:reg-a", &["user:pol-a", "user:pol-b"]),
                    3 => ("user:reg-team", &["user:pol-team"]),
                    _ => ("user:reg-b", &["user:pol-a"]),
                };
                Some(self.desk.draft(pair.0, pair.1, event))
            }
            3..8 => {
                let facts = self.desk.model.resource(&name)?.clone();
                let mut event = changed(self.desk, facts.name.as_str());
                match self.random.below(4) {
                    0 => event.environment = Some(label("production")),
                    1 => event.tier = *self.random.pick(Tier::ALL),
                    2 => event.governed_by = self.random.chance(80).then_some(above),
                    _ => event.process = Some(process("billing")),
                }
                let weighty = event.governed_by != facts.governed_by
                    || event.process != facts.process
                    || event.tier < facts.tier;
                let mut cosigners = vec!["user:pol-a".to_owned()];
                if weighty && self.random.chance(90) {
                    let owned =
                        self.desk.state.resource(&name, self.desk.at()).is_some_and(|view| !view.unowned);
                    if owned {
                        let capacity =
                            *self.random.pick(&[Capacity::BusinessOwner, Capacity::ApplicationOwner]);
                        cosigners.push(self.holder_over(capacity, &name));
                    } else {
                        cosigners.extend(self.governors(0));
                    }
                }
                let cosigners: Vec<&str> = cosigners.iter().map(String::as_str).collect();
                Some(self.desk.draft("user:reg-a", &cosigners, event))
            }
            _ => {
                let who = if self.random.chance(85) { "user:reg-b" } else { "user:reg-team" };
                Some(self.desk.draft(who, &[], ResourceRetired { reason: text("gone"), resource: name }))
            }
        }
    }

    fn policies(&mut self) -> Option<Draft> {
        let now = self.desk.now;
        let (first, second): (&str, &[&str]) = match self.random.below(10) {
            0 => ("user:pol-a", &[]),
            1 => ("user:pol-team", &["user:pol-a"]),
            2 => ("user:pol-a", &["user:alice"]),
            3 => ("user:pol-b", &["user:gov-a"]),
            _ => ("user:pol-a", &["user:pol-b"]),
        };
        let views = self.desk.state.policies(self.desk.at());
        match self.random.below(10) {
            0..5 => {
                let kind = self.random.below(12);
                let mut event = published("main", scope("*"), document(kind));
                if self.random.chance(30) {
                    event.from = Some(instant(now + self.random.between(0, 3 * DAY)));
                }
                if self.random.chance(30) {
                    // The same words again.
                    let main =
                        self.desk.model.in_force(now).into_iter().find(|p| p.event.name.as_str() == "main");
                    if let Some(main) = main {
                        event.document = main.event.document.clone();
                    }
                }
                if self.random.chance(15) {
                    event.document.windows = Some(Windows {
                        cosigned_seconds: None,
                        decision_seconds: Some(seconds(self.random.between(60, 300_000))),
                        request_seconds: Some(seconds(self.random.between(60, 30 * 86_400))),
                        statement_seconds: Some(seconds(self.random.between(1, 3_700))),
                    });
                }
                Some(self.desk.draft(first, second, event))
            }
            5..7 => {
                let local = PolicyDocument {
                    paths: vec![path_rule("web", paths(self.random.below(10)))],
                    ..empty_document()
                };
                let over = scope(self.random.pick::<&str>(&["team:acme/web", "team:lab", "team:acme/*"]));
                let event = published("local", over, local);
                Some(self.desk.draft(first, second, event))
            }
            7 => {
                let event = published("more-duties", scope("*"), duties());
                Some(self.desk.draft(first, second, event))
            }
            _ => {
                let policy = self.random.pick_some(&views)?.policy;
                Some(self.desk.draft(first, second, PolicyWithdrawn { policy, reason: text("no longer") }))
            }
        }
    }

    // The charter.

    fn thaw(&mut self) -> Option<Draft> {
        self.by_governors(LedgerThawed { reason: text("looked into") })
    }

    fn charter(&mut self) -> Option<Draft> {
        let recovery = self.desk.model.charter().recovery.is_some();
        let quorum = self.desk.model.charter().quorum;
        let governors: Vec<String> =
            self.desk.model.charter().governors.iter().map(|holder| holder.principal.to_string()).collect();
        match self.random.below(10) {
            0..3 => {
                let one = self.random.pick(&governors).clone();
                Some(self.desk.draft(&one, &[], LedgerFrozen { reason: text("look into it") }))
            }
            3..5 => self.thaw(),
            5..7 => {
                let mut next: Vec<&str> = governors.iter().map(String::as_str).collect();
                match self.random.below(4) {
                    0 => next.push(GOVERNORS[3]),
                    1 => drop(next.pop()),
                    2 => next.push("user:carol"),
                    _ => {}
                }
                let quorum = if self.random.chance(80) { quorum } else { self.random.between(0, 4) };
                let charter = charter(quorum, &next, recovery);
                self.by_governors(CharterAmended { charter, reason: text("as agreed") })
            }
            7..9 => {
                let mut next: Vec<&str> = GOVERNORS[..2].to_vec();
                if self.random.chance(50) {
                    next.push("user:carol");
                }
                let amendment = charter(self.random.between(1, 2), &next, true);
                let second: &[&str] = match self.random.below(6) {
                    0 => &[],
                    1 => &["user:safe-b", "user:safe-c"],
                    _ => &["user:safe-c"],
                };
                Some(self.desk.draft(
                    "user:safe-a",
                    second,
                    RecoveryProposed { amendment, reason: text("they are gone") },
                ))
            }
            _ => {
                let proposal =
                    self.desk.model.pending.as_ref().map_or(StatementDigest::new([9; 32]), |p| p.digest);
                self.by_governors(RecoveryVetoed { proposal, reason: text("we are here") })
            }
        }
    }

    fn other(&mut self) -> Option<Draft> {
        if self.random.chance(50) {
            let who = if self.random.chance(80) { RECORDER } else { "user:alice" };
            return Some(self.desk.draft(who, &[], ClockStepped { reason: text("set") }));
        }
        let who = if self.random.chance(70) { "user:rev" } else { "user:alice" };
        let event = Custom {
            data: countersign_core::wire::RawObject::new("{\"ticket\":7}").unwrap(),
            name: label("opened"),
            namespace: Namespace::new("example.org/tickets").unwrap(),
        };
        Some(self.desk.draft(who, &[], event))
    }
}

/// The names that a model knows of, for questions.
pub fn names(model: &Model) -> Vec<Principal> {
    model.principals.iter().map(|facts| facts.name.clone()).collect()
}
