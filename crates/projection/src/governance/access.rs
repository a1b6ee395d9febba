//! Requests, decisions on them, grants and revocations.

use std::sync::Arc;

use countersign_core::digest::{ClauseDigest, StatementDigest};
use countersign_core::event::{
    AccessApproved, AccessDenied, AccessGranted, AccessRequested, AccessRevoked, AccessWithdrawn, Capacity,
    EndEvent, Hold, PrincipalKind, WitnessItem,
};
use countersign_core::id::{Label, Resource, Role};
use countersign_core::policy::{Clause, PathRule};
use countersign_core::time::{Seconds, Timestamp};
use countersign_core::wire::Set;

use super::book::{Resolved, Subject};
use super::change::{Change, NewGrant};
use super::judge::{Context, ensure, refuse};
use super::live::{Approval, Class, Rare, Request};
use super::path::{Best, Candidate, Rules, best, intersect, is_met};
use super::people::PrincipalNo;
use super::refusal::{Refusal, RefusalCode};
use super::state::{Live, MAX_REQUEST_SECONDS};
use super::stored::{FOREVER, Hash, Millis, Stored};
use super::things::ResourceNo;

/// Most open requests of one person.
pub const MAX_OPEN_REQUESTS: u32 = 4_096;

impl Context<'_> {
    pub(crate) fn access_requested(&self, event: &AccessRequested) -> Result<Change, Refusal> {
        self.alone()?;
        let subject = self.principal(&event.subject)?;
        let resource = self.resource(&event.resource)?;
        self.check_windows(&event.resource)?;
        let tier = *self.live.things.record(resource).tier;
        ensure(
            event.tier == tier,
            RefusalCode::TierMismatch,
            format_args!("{} is of tier {tier}", event.resource),
        )?;
        ensure(!event.need.is_blank(), RefusalCode::EmptyNeed, "the request does not say what for")?;
        let resolved = self.live.resolve(resource, &event.role)?;
        self.live.check_hold(&resolved, &event.hold, self.now)?;
        let replaced = self.replaced(event, subject)?;
        self.live.check_sod(subject, &event.resource, &event.role, replaced)?;
        let longest = self.live.book.windows(&event.resource).and_then(|windows| windows.request_seconds);
        let longest = longest.map_or(MAX_REQUEST_SECONDS, Seconds::count);
        let latest = self.at.saturating_plus_seconds(longest);
        let expires = event.expires.unwrap_or(latest);
        ensure(
            expires > self.at && expires <= latest,
            RefusalCode::BadWindow,
            format_args!("a request is open until {latest} at most"),
        )?;
        let counted = self.live.people.record(self.author).persons.to_vec();
        let full = counted.iter().any(|person| {
            self.live.people.open_requests.get(person).is_some_and(|open| *open >= MAX_OPEN_REQUESTS)
        });
        ensure(
            !full,
            RefusalCode::TooMany,
            format_args!("{MAX_OPEN_REQUESTS} requests of one person are open"),
        )?;
        Ok(Change::Request {
            request: Request {
                seq: self.seq,
                leaf: [0; 32],
                opened_at: self.now,
                expires: expires.millis(),
                requester: self.author,
                subject,
                resource,
                event: Arc::new(Stored(event.clone())),
                approvals: Vec::new(),
                exception: None,
                counted,
            },
        })
    }

    /// The active grant that a request is to replace.
    fn replaced(&self, event: &AccessRequested, subject: PrincipalNo) -> Result<Option<u32>, Refusal> {
        let Some(digest) = &event.replaces else { return Ok(None) };
        let slot = self.live.grants.find(digest.as_bytes());
        let same =
            slot.and_then(|slot| self.live.grants.get(slot)).is_some_and(|grant| grant.subject == subject);
        ensure(
            same,
            RefusalCode::ReplacesMismatch,
            "what is to be replaced is no active grant of the subject",
        )?;
        Ok(slot)
    }

    pub(crate) fn access_approved(&self, event: &AccessApproved) -> Result<Change, Refusal> {
        self.alone()?;
        let (digest, request) = self.open_request(&event.request)?;
        self.check_windows(&request.event.resource)?;
        self.saw(request.seq)?;
        ensure(!event.need.is_blank(), RefusalCode::EmptyNeed, "the approver does not say what for")?;
        let resolved = self.live.resolve(request.resource, &request.event.role)?;
        self.check_clause(&event.clause, &resolved)?;
        let path = require_path(&resolved, event.capacity)?;
        let right = self.may_decide(request, event.capacity, &resolved)?;
        self.live.check_sod(
            request.subject,
            &request.event.resource,
            &request.event.role,
            self.live.replaced_slot(request),
        )?;
        let approval = Approval {
            digest: self.hash(),
            seq: self.seq,
            author: self.author,
            key: self.author_key,
            capacity: Stored(event.capacity),
            clause: resolved.digest,
            seconds: event.seconds.map(Seconds::count),
            right,
        };
        self.check_progress(request, &resolved, path, &approval)?;
        Ok(Change::Approve { request: digest, approval })
    }

    pub(crate) fn access_denied(&self, event: &AccessDenied) -> Result<Change, Refusal> {
        self.alone()?;
        let (digest, request) = self.open_request(&event.request)?;
        self.check_windows(&request.event.resource)?;
        self.saw(request.seq)?;
        ensure(!event.reason.is_blank(), RefusalCode::EmptyNeed, "the denial does not say why")?;
        let resolved = self.live.resolve(request.resource, &request.event.role)?;
        self.check_clause(&event.clause, &resolved)?;
        let path = require_path(&resolved, event.capacity)?;
        let right = self.may_decide(request, event.capacity, &resolved)?;
        let persons = self.closure(self.author, request.opened_at);
        let decided = request.approvals.iter().any(|approval| {
            self.live.counts(approval)
                && intersect(&persons, &self.closure(approval.author, request.opened_at))
        });
        if decided {
            let (capacity, clause) = (Stored(event.capacity), resolved.digest);
            let (author, key) = (self.author, self.author_key);
            let other = Approval {
                digest: self.hash(),
                seq: self.seq,
                author,
                key,
                capacity,
                clause,
                seconds: None,
                right,
            };
            self.check_progress(request, &resolved, path, &other)?;
        }
        Ok(Change::CloseRequest { request: digest })
    }

    pub(crate) fn access_withdrawn(&self, event: &AccessWithdrawn) -> Result<Change, Refusal> {
        self.alone()?;
        let digest = *event.statement.as_bytes();
        if let Some(request) = self.live.requests.get(&digest) {
            ensure(request.requester == self.author, RefusalCode::NotAuthor, "another one's request")?;
            return Ok(Change::CloseRequest { request: digest });
        }
        let request =
            self.live.requests.with_approval(&digest).and_then(|open| self.live.requests.get(&open));
        let approval =
            request.and_then(|open| open.approvals.iter().find(|approval| approval.digest == digest));
        let Some(approval) = approval else {
            return refuse(RefusalCode::NothingToWithdraw, "neither an open request nor an approval on one");
        };
        ensure(approval.author == self.author, RefusalCode::NotAuthor, "another one's approval")?;
        Ok(Change::WithdrawApproval { approval: digest })
    }

    pub(crate) fn access_granted(&self, event: &AccessGranted) -> Result<Change, Refusal> {
        self.alone()?;
        let (digest, request) = self.open_request(&event.request)?;
        self.check_windows(&request.event.resource)?;
        // Who may not grant is told so first, also where no policy says anything.
        let resolved = match self.live.resolve(request.resource, &request.event.role) {
            Ok(resolved) => {
                self.require_over(self.author, Capacity::IamEnforcer, &resolved.chain)?;
                resolved
            }
            Err(refusal) => {
                self.require_over(self.author, Capacity::IamEnforcer, &self.live.chain(request.resource))?;
                return Err(refusal);
            }
        };
        self.check_clause(&event.clause, &resolved)?;
        let replaced = self.live.replaced_slot(request);
        ensure(
            event.replaces == request.event.replaces && replaced.is_some() == event.replaces.is_some(),
            RefusalCode::ReplacesMismatch,
            "the grant replaces what the request names, as long as that is active",
        )?;
        self.live.check_sod(request.subject, &request.event.resource, &request.event.role, replaced)?;
        let (deciders, parents) = match &event.exception {
            Some(exception) => self.by_exception(&digest, request, event, exception, &resolved)?,
            None => self.by_path(request, event, &resolved)?,
        };
        let terms = self.live.terms(request, &resolved, &deciders, event.exception.as_ref(), self.now)?;
        let automation = *self.live.people.record(self.author).kind == PrincipalKind::Automation;
        self.check_terms(event, &terms, automation)?;
        if !automation {
            self.check_enforcer(request, &deciders)?;
        }
        let until = match &event.hold {
            // Who agreed to a time agreed to no more than that, whatever the class allows.
            Hold::Class(_) => {
                let agreed = deciders.iter().filter_map(|approval| approval.seconds).min();
                agreed.map_or(FOREVER, |seconds| self.at.saturating_plus_seconds(seconds).millis())
            }
            Hold::Seconds(seconds) => self.at.saturating_plus_seconds(seconds.count()).millis(),
        };
        let exception = event.exception.map(|exception| *exception.as_bytes());
        let rare = (exception.is_some() || !parents.is_empty()).then_some(Rare { exception, parents });
        Ok(Change::Grant {
            grant: NewGrant {
                request: digest,
                replaces: replaced,
                subject: request.subject,
                resource: request.resource,
                role: request.event.role.clone(),
                // A grant that rests on an exception never outlasts it.
                until: until.min(terms.exception_until),
                class: terms.class,
                rare,
            },
        })
    }

    /// The approvals that a witness names, each of which has to count still; and the rights whose loss ends the grant.
    fn by_path<'r>(
        &self,
        request: &'r Request,
        event: &AccessGranted,
        resolved: &Resolved,
    ) -> Result<(Vec<&'r Approval>, Vec<Hash>), Refusal> {
        let Some(path) = &resolved.clause.path else {
            return refuse(RefusalCode::NoPolicy, "no path leads here: an exception is the only way");
        };
        let mut named = Vec::new();
        let mut items = Vec::new();
        for item in &event.witness {
            let found =
                request.approvals.iter().position(|approval| approval.digest == *item.approval.as_bytes());
            let Some(place) = found else {
                return refuse(
                    RefusalCode::ApprovalVoid,
                    format!("{} is no approval of the request", item.approval),
                );
            };
            let approval = &request.approvals[place];
            self.check_counts(approval, request, resolved)?;
            let Ok(requirement) = usize::try_from(item.requirement) else {
                return refuse(RefusalCode::WitnessMismatch, "there is no such requirement");
            };
            items.push((requirement, place));
            named.push(approval);
        }
        ensure(
            items.is_sorted_by(|a, b| a.0 < b.0),
            RefusalCode::WitnessMismatch,
            "a witness is in order of requirement, each once",
        )?;
        let known = path.path.requirements();
        ensure(
            items.iter().all(|(requirement, place)| {
                known.get(*requirement) == Some(&request.approvals[*place].capacity)
            }),
            RefusalCode::WitnessMismatch,
            "an approval stands at a requirement of another capacity",
        )?;
        let candidates: Vec<Candidate<'_>> = request
            .approvals
            .iter()
            .map(|approval| self.live.candidate(approval, request, self.now))
            .collect();
        ensure(
            is_met(&path.path, &candidates, &items, rules(path)),
            RefusalCode::ApprovalMissing,
            format_args!("the approvals do not meet path {}", path.name),
        )?;
        self.live.check_enrollers(&named, request, self.now)?;
        if *self.live.people.record(self.author).kind == PrincipalKind::Automation {
            let derived = self.live.witness(request, resolved, self.now)?;
            ensure(
                derived == event.witness,
                RefusalCode::WitnessMismatch,
                "an automation's witness is the derived one",
            )?;
        }
        let parents = self.live.parents(path, &named);
        Ok((named, parents))
    }

    /// The exception that stands in for approvals.
    fn by_exception(
        &self,
        digest: &Hash,
        request: &Request,
        event: &AccessGranted,
        exception: &StatementDigest,
        resolved: &Resolved,
    ) -> Result<(Vec<&Approval>, Vec<Hash>), Refusal> {
        ensure(
            event.witness.is_empty(),
            RefusalCode::WitnessMismatch,
            "an exception stands in for approvals: there is no witness",
        )?;
        let personal = self.live.exceptions.personal.get(exception.as_bytes());
        let Some(personal) = personal.filter(|personal| personal.request == *digest) else {
            if request.exception == Some(*exception.as_bytes()) {
                return refuse(RefusalCode::ExceptionOver, "the exception has run out");
            }
            return refuse(RefusalCode::NoSuchException, "no such exception stands for the request");
        };
        self.check_counts(&personal.approval, request, resolved)?;
        let deciders = vec![&personal.approval];
        self.live.check_enrollers(&deciders, request, self.now)?;
        Ok((deciders, Vec::new()))
    }

    /// An approval counts only while nothing it rests on was taken back, and only under the clause it signed.
    fn check_counts(
        &self,
        approval: &Approval,
        request: &Request,
        resolved: &Resolved,
    ) -> Result<(), Refusal> {
        let name = StatementDigest::new(approval.digest);
        ensure(
            self.live.counts(approval),
            RefusalCode::ApprovalVoid,
            format_args!("{name}: its author departed, lost the capacity, or the key is distrusted"),
        )?;
        ensure(
            approval.clause == resolved.digest,
            RefusalCode::ApprovalStale,
            format_args!("{name} signed another clause than the one in force"),
        )?;
        ensure(
            !self.live.is_party(approval.author, request, self.now),
            RefusalCode::SelfApproval,
            format_args!("{name} is by a party of the request"),
        )?;
        // The same words may have been published again since, by whoever approved under them.
        ensure(
            !self.live.wrote_policy(approval.author, request, resolved, self.now),
            RefusalCode::PolicyAuthor,
            format_args!("{name} is by who signed the policy that is relied on"),
        )
    }

    fn check_terms(&self, event: &AccessGranted, terms: &Terms, automation: bool) -> Result<(), Refusal> {
        let wrong = |what: &str| refuse(RefusalCode::GrantMismatch, format!("{what} is not what follows"));
        if event.policy != terms.policy {
            return wrong("the policy");
        }
        if event.ends_on != terms.ends_on {
            return wrong("what ends the grant");
        }
        match (&event.hold, &terms.hold) {
            (Hold::Class(given), Hold::Class(wanted)) if given == wanted => Ok(()),
            (Hold::Seconds(given), Hold::Seconds(most)) if given == most => Ok(()),
            (Hold::Seconds(given), Hold::Seconds(most)) if given < most && !automation => Ok(()),
            (Hold::Seconds(given), Hold::Seconds(most)) if given > most => {
                refuse(RefusalCode::AboveCeiling, format!("{given} where {most} is the most"))
            }
            (Hold::Class(_) | Hold::Seconds(_), Hold::Class(_) | Hold::Seconds(_)) => wrong("the duration"),
        }
    }

    /// Who enforces is another person than who decided, asked or receives; an automation's mechanical act has none.
    fn check_enforcer(&self, request: &Request, deciders: &[&Approval]) -> Result<(), Refusal> {
        let own = self.closure(self.author, request.opened_at);
        let decided = deciders
            .iter()
            .any(|approval| intersect(&own, &self.closure(approval.author, request.opened_at)));
        ensure(
            !decided && !self.live.is_party(self.author, request, self.now),
            RefusalCode::EnforcerIsParty,
            format_args!("{} decided, asked or receives", self.statement.author),
        )
    }

    pub(crate) fn access_revoked(&self, event: &AccessRevoked) -> Result<Change, Refusal> {
        self.alone()?;
        let slot = self.live.grants.find(event.grant.as_bytes());
        let Some((slot, grant)) = slot.and_then(|slot| Some((slot, self.live.grants.get(slot)?))) else {
            return refuse(RefusalCode::NoActiveGrant, format!("{} is no active grant", event.grant));
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
        let chain = self.live.chain(grant.resource);
        let may = grant.subject == self.author
            || self.live.charter.is_governor(self.author)
            || self.live.rights.of(self.author).any(|(_, right)| {
                capacities.contains(&right.capacity) && self.live.reaches(right, &chain, self.now)
            });
        if !may {
            let elsewhere = capacities
                .iter()
                .any(|capacity| self.lacks(self.author, *capacity) == RefusalCode::OutsideScope);
            let code = if elsewhere { RefusalCode::OutsideScope } else { RefusalCode::NoAuthority };
            return refuse(code, "only revoker, owner, subject, enforcer or governor ends a grant");
        }
        self.check_windows(&chain[0])?;
        Ok(Change::Revoke { slot })
    }

    // Shared by decisions.

    pub(crate) fn open_request(&self, digest: &StatementDigest) -> Result<(Hash, &Request), Refusal> {
        match self.live.requests.get(digest.as_bytes()) {
            Some(request) => Ok((*digest.as_bytes(), request)),
            None => refuse(RefusalCode::NoOpenRequest, format!("{digest} is no open request")),
        }
    }

    pub(crate) fn check_clause(&self, signed: &ClauseDigest, resolved: &Resolved) -> Result<(), Refusal> {
        ensure(
            *signed.as_bytes() == resolved.digest,
            RefusalCode::ClauseStale,
            format_args!("policy resolves to {} now", ClauseDigest::new(resolved.digest)),
        )
    }

    /// The right by which the author may decide on a request, as a person who is no party of it.
    pub(crate) fn may_decide(
        &self,
        request: &Request,
        capacity: Capacity,
        resolved: &Resolved,
    ) -> Result<Hash, Refusal> {
        let Some(right) = self.right_over_chain(self.author, capacity, &resolved.chain) else {
            let code = self.lacks(self.author, capacity);
            return refuse(code, format!("the author is not {capacity} over {}", request.event.resource));
        };
        ensure(
            !self.is_vendor(self.author),
            RefusalCode::VendorApprover,
            "a vendor's automation can not decide",
        )?;
        ensure(
            !self.live.is_party(self.author, request, self.now),
            RefusalCode::SelfApproval,
            "the author is requester or subject, or stands above or below one by delegation",
        )?;
        let wrote = self.live.wrote_policy(self.author, request, resolved, self.now);
        ensure(!wrote, RefusalCode::PolicyAuthor, "the author signed the policy that is relied on")?;
        Ok(right)
    }

    /// An approval has to bring the path further, together with those that count already.
    fn check_progress(
        &self,
        request: &Request,
        resolved: &Resolved,
        path: &PathRule,
        new: &Approval,
    ) -> Result<(), Refusal> {
        // An approval that is stale, or by somebody who has become a party or a policy author since, grants nothing, so it is
        // in nobody's way.
        let counting = |approval: &&Approval| self.live.supports(approval, request, resolved, self.now);
        let with: Vec<&Approval> = request.approvals.iter().filter(counting).chain([new]).collect();
        self.live.check_enrollers(&with, request, self.now)?;
        let candidates: Vec<Candidate<'_>> =
            with.iter().map(|approval| self.live.candidate(approval, request, self.now)).collect();
        let before = &candidates[..candidates.len() - 1];
        let furthers = |rules: Rules| -> bool {
            let (old, new) = (best(&path.path, before, rules), best(&path.path, &candidates, rules));
            old.witness.is_none() && (new.progress > old.progress || new.witness.is_some())
        };
        let strict = rules(path);
        if furthers(strict) {
            return Ok(());
        }
        if furthers(Rules { staged: false, ..strict }) {
            return refuse(RefusalCode::StageClosed, "an earlier stage is not met yet");
        }
        if furthers(Rules { distinct: false, ..strict }) {
            return refuse(RefusalCode::SamePerson, "the same person has met a requirement already");
        }
        refuse(
            RefusalCode::NotRequired,
            format!("path {} asks for nothing more of {}", path.name, *new.capacity),
        )
    }
}

fn require_path(resolved: &Resolved, capacity: Capacity) -> Result<&PathRule, Refusal> {
    let path = resolved.clause.path.as_ref();
    path.filter(|path| path.path.requirements().contains(&capacity)).ok_or_else(|| {
        Refusal::new(RefusalCode::NotRequired, format!("the path does not ask for {capacity}"))
    })
}

fn rules(path: &PathRule) -> Rules {
    Rules { distinct: path.distinct_persons, staged: true }
}

/// What follows for a grant from request, approvals and policy.
pub(crate) struct Terms {
    pub(crate) policy: StatementDigest,
    pub(crate) ends_on: Set<EndEvent>,
    /// For a time: the longest.
    pub(crate) hold: Hold,
    pub(crate) class: Option<u32>,
    pub(crate) exception_until: Millis,
}

impl Live {
    /// What the policies in force resolve to for an entitlement on a live resource.
    pub(crate) fn resolve(&self, resource: ResourceNo, role: &Role) -> Result<Arc<Resolved>, Refusal> {
        self.clauses.get_or_resolve(resource, role, || {
            let name = self.things.resource(resource);
            let record = self.things.record(resource);
            self.book.resolve(&Subject {
                resource: &name,
                role,
                tier: *record.tier,
                environment: record.environment.as_deref().map(|environment| &environment.0),
                process: record.process.as_deref().map(|process| &process.0),
                governed_by: self.things.chain(resource).skip(1).map(|no| self.things.resource(no)).collect(),
            })
        })
    }

    /// A resource and what governs it, nearest first, by name: never empty.
    pub(crate) fn chain(&self, resource: ResourceNo) -> Vec<Resource> {
        self.things.chain(resource).map(|no| self.things.resource(no)).collect()
    }

    /// The standing class of this name that applies to the entitlement, and that is open.
    pub(crate) fn open_class(
        &self,
        resolved: &Resolved,
        class: &Label,
        now: Millis,
    ) -> Result<(u32, &Class), Refusal> {
        let declared = resolved.clause.classes.find(class.as_str()).zip(resolved.class_policy.as_ref());
        let Some((declared, policy)) = declared else {
            return refuse(RefusalCode::NoSuchClass, format!("no class {class} applies here"));
        };
        let open = self.exceptions.class(&policy.event.name, declared);
        open.filter(|(_, open)| open.until > now && self.class_counts(open))
            .ok_or_else(|| Refusal::new(RefusalCode::ClassNotOpen, format!("class {class} is not open")))
    }

    fn class_counts(&self, class: &Class) -> bool {
        class.signed_by.iter().all(|key| !self.is_distrusted(*key, class.seq))
    }

    fn is_distrusted(&self, key: u32, seq: u64) -> bool {
        self.keys.record(key).distrusted_from.is_some_and(|from| seq >= from)
    }

    /// A time within the ceiling, or a class that is open.
    pub(crate) fn check_hold(&self, resolved: &Resolved, hold: &Hold, now: Millis) -> Result<(), Refusal> {
        match hold {
            Hold::Class(class) => self.open_class(resolved, class, now).map(drop),
            Hold::Seconds(seconds) => {
                let Some(most) = ceiling(&resolved.clause) else {
                    return refuse(
                        RefusalCode::AboveCeiling,
                        format!("policy sets no longest time for tier {}", resolved.clause.tier),
                    );
                };
                ensure(
                    *seconds <= most,
                    RefusalCode::AboveCeiling,
                    format_args!("{seconds} where {most} is the most"),
                )
            }
        }
    }

    /// No rule of separation of duties stands between the entitlement and what the subject's persons hold (R037).
    pub(crate) fn check_sod(
        &self,
        subject: PrincipalNo,
        resource: &Resource,
        role: &Role,
        leaving: Option<u32>,
    ) -> Result<(), Refusal> {
        let mut rules = self.book.sod(resource, role).peekable();
        if rules.peek().is_none() {
            return Ok(());
        }
        let rules: Vec<_> = rules.collect();
        for no in self.people.same_persons(subject) {
            for (_, grant) in self.grants.of(no).filter(|(slot, _)| Some(*slot) != leaving) {
                let held = self.things.resource(grant.resource);
                let Ok(held_role) = Role::new(self.grants.roles.name(grant.role)) else { continue };
                for (policy, rule) in &rules {
                    let clash = rule.separates((resource, role), (&held, &held_role));
                    // A policy speaks for its scope: at least one side has to lie in it.
                    let in_scope = policy.scope().names(resource) || policy.scope().names(&held);
                    ensure(
                        !(clash && in_scope),
                        RefusalCode::SodConflict,
                        format_args!(
                            "{} holds {held_role} on {held}: rule {}",
                            self.people.name(no),
                            rule.name
                        ),
                    )?;
                }
            }
        }
        Ok(())
    }

    /// Whether an approval still counts: nothing it rests on was withdrawn, its author is here, its key is trusted.
    pub(crate) fn counts(&self, approval: &Approval) -> bool {
        self.is_intact(&approval.right)
            && !self.people.record(approval.author).departed
            && !self.is_distrusted(approval.key, approval.seq)
    }

    /// Whether a principal is the same person as requester or subject, in either direction of delegation.
    pub(crate) fn is_party(&self, no: PrincipalNo, request: &Request, now: Millis) -> bool {
        let own = self.closure(no, request.opened_at, now);
        [request.requester, request.subject]
            .iter()
            .any(|party| intersect(&own, &self.closure(*party, request.opened_at, now)))
    }

    /// Whether a principal is the same person as one who signed a policy that is relied on (R007).
    fn wrote_policy(&self, no: PrincipalNo, request: &Request, resolved: &Resolved, now: Millis) -> bool {
        let own = self.closure(no, request.opened_at, now);
        let wrote = |author: &PrincipalNo| intersect(&own, &self.closure(*author, request.opened_at, now));
        resolved.authors.iter().any(wrote)
    }

    /// Whether an approval would carry a grant now: it counts, it is not stale, and its author may decide.
    fn supports(&self, approval: &Approval, request: &Request, resolved: &Resolved, now: Millis) -> bool {
        self.counts(approval)
            && approval.clause == resolved.digest
            && !self.is_party(approval.author, request, now)
            && !self.wrote_policy(approval.author, request, resolved, now)
    }

    pub(crate) fn candidate(&self, approval: &Approval, request: &Request, now: Millis) -> Candidate<'_> {
        Candidate {
            capacity: *approval.capacity,
            persons: self.closure(approval.author, request.opened_at, now),
            seq: approval.seq,
        }
    }

    /// No key that decides was enrolled by the requester, the subject or another who decides.
    pub(crate) fn check_enrollers(
        &self,
        approvals: &[&Approval],
        request: &Request,
        now: Millis,
    ) -> Result<(), Refusal> {
        let closure = |no: PrincipalNo| self.closure(no, request.opened_at, now);
        for approval in approvals {
            for enroller in &self.keys.record(approval.key).enrollers {
                let own = closure(*enroller);
                let deciders = approvals.iter().map(|other| other.author);
                let clash = [request.requester, request.subject].into_iter().chain(deciders).find(|no| {
                    // Two approvals by one person count as one person's; that is judged elsewhere.
                    *no != approval.author && intersect(&own, &closure(*no))
                });
                if let Some(no) = clash {
                    return refuse(
                        RefusalCode::Enroller,
                        format!(
                            "the key of {} was enrolled by {}, the same person as {}",
                            self.people.name(approval.author),
                            self.people.name(*enroller),
                            self.people.name(no)
                        ),
                    );
                }
            }
        }
        Ok(())
    }

    pub(crate) fn replaced_slot(&self, request: &Request) -> Option<u32> {
        let digest = request.event.replaces.as_ref()?;
        self.grants.find(digest.as_bytes())
    }

    /// The rights whose withdrawal ends a grant, where its path declares that cascade.
    fn parents(&self, path: &PathRule, approvals: &[&Approval]) -> Vec<Hash> {
        use countersign_core::policy::Cascade;
        let mut parents = Vec::new();
        for approval in approvals {
            let mut next = Some(approval.right);
            while let Some((id, right)) = next.and_then(|id| Some((id, self.rights.get(&id)?))) {
                let cascade = if right.basis.is_some() { Cascade::Delegation } else { Cascade::Owner };
                if path.cascade.contains(&cascade) {
                    parents.push(id);
                }
                next = right.basis.map(|(basis, _)| basis);
            }
        }
        parents.sort_unstable();
        parents.dedup();
        parents
    }

    /// The first smallest set of approvals that meets the path.
    pub(crate) fn witness(
        &self,
        request: &Request,
        resolved: &Resolved,
        now: Millis,
    ) -> Result<Vec<WitnessItem>, Refusal> {
        let Some(path) = &resolved.clause.path else {
            return refuse(RefusalCode::NoPolicy, "no path leads here: an exception is the only way");
        };
        let counting: Vec<&Approval> = request
            .approvals
            .iter()
            .filter(|approval| self.supports(approval, request, resolved, now))
            .collect();
        let candidates: Vec<Candidate<'_>> =
            counting.iter().map(|approval| self.candidate(approval, request, now)).collect();
        let Best { witness: Some(pairs), .. } = best(&path.path, &candidates, rules(path)) else {
            return refuse(
                RefusalCode::ApprovalMissing,
                format!("the approvals do not meet path {}", path.name),
            );
        };
        Ok(pairs
            .into_iter()
            .map(|(requirement, candidate)| WitnessItem {
                approval: StatementDigest::new(counting[candidate].digest),
                requirement: requirement as u64,
            })
            .collect())
    }

    /// What follows for a grant from the request, those who decided, and policy.
    pub(crate) fn terms(
        &self,
        request: &Request,
        resolved: &Resolved,
        deciders: &[&Approval],
        exception: Option<&StatementDigest>,
        now: Millis,
    ) -> Result<Terms, Refusal> {
        let event = &request.event;
        let mut ends_on: Vec<EndEvent> = event.ends_on.iter().copied().collect();
        ends_on.extend([EndEvent::Offboarding, EndEvent::ResourceRetired]);
        let policy = if exception.is_some() { &resolved.exception_policy } else { &resolved.path_policy };
        let Some(policy) = policy else {
            return refuse(RefusalCode::NoPolicy, "no policy in force says so");
        };
        if exception.is_some() {
            ends_on.push(EndEvent::ExceptionEnded);
        } else if let Some(path) = &resolved.clause.path {
            ends_on.extend(path.cascade.iter().map(|cascade| cascade.end_event()));
        }
        let mut class = None;
        let hold = match &event.hold {
            Hold::Class(label) => {
                ends_on.push(EndEvent::ClassClosed);
                class = Some(self.open_class(resolved, label, now)?.0);
                event.hold.clone()
            }
            Hold::Seconds(asked) => {
                self.check_ceiling_exists(resolved)?;
                let agreed = deciders.iter().filter_map(|approval| approval.seconds).filter_map(Seconds::new);
                let most = ceiling(&resolved.clause).into_iter().chain(agreed).chain([*asked]).min();
                Hold::Seconds(most.unwrap_or(*asked))
            }
        };
        let exception_until = exception
            .and_then(|digest| self.exceptions.personal.get(digest.as_bytes()))
            .map_or(FOREVER, |personal| personal.until);
        Ok(Terms {
            policy: StatementDigest::new(policy.digest),
            ends_on: ends_on.into_iter().collect(),
            hold,
            class,
            exception_until,
        })
    }

    fn check_ceiling_exists(&self, resolved: &Resolved) -> Result<(), Refusal> {
        ensure(
            ceiling(&resolved.clause).is_some(),
            RefusalCode::AboveCeiling,
            format_args!("policy sets no longest time for tier {}", resolved.clause.tier),
        )
    }

    /// The grant that an automation signs for a request that is ready.
    pub(crate) fn propose(&self, digest: &StatementDigest, at: Timestamp) -> Result<AccessGranted, Refusal> {
        let now = at.millis();
        let Some(request) = self.requests.get(digest.as_bytes()) else {
            return refuse(RefusalCode::NoOpenRequest, format!("{digest} is no open request"));
        };
        let resolved = self.resolve(request.resource, &request.event.role)?;
        let exception = request.exception.map(StatementDigest::new);
        let standing = exception.as_ref().and_then(|digest| self.exceptions.personal.get(digest.as_bytes()));
        let (witness, deciders, exception) = match (self.witness(request, &resolved, now), standing) {
            (Ok(witness), _) => {
                let named = |approval: &&Approval| {
                    witness.iter().any(|item| *item.approval.as_bytes() == approval.digest)
                };
                let deciders = request.approvals.iter().filter(named).collect::<Vec<_>>();
                (witness, deciders, None)
            }
            (Err(_), Some(personal)) => (Vec::new(), vec![&personal.approval], exception),
            (Err(refusal), None) => return Err(refusal),
        };
        let terms = self.terms(request, &resolved, &deciders, exception.as_ref(), now)?;
        Ok(AccessGranted {
            clause: ClauseDigest::new(resolved.digest),
            ends_on: terms.ends_on,
            exception,
            hold: terms.hold,
            policy: terms.policy,
            replaces: request.event.replaces,
            request: *digest,
            witness,
        })
    }
}

/// The longest time that policy allows; where an exception is the only way, that of the exception.
fn ceiling(clause: &Clause) -> Option<Seconds> {
    let exception = clause.exception.as_ref().filter(|_| clause.path.is_none()).map(|rule| rule.max_seconds);
    match (clause.max_seconds, exception) {
        (Some(most), Some(exception)) => Some(most.min(exception)),
        (most, exception) => most.or(exception),
    }
}
