//! Questions to the state. All are asked as of an instant: what has run out by then does not hold.

use std::borrow::Cow;

use countersign_core::digest::{ClauseDigest, KeyId, StatementDigest};
use countersign_core::event::{AccessGranted, AccessRequested, Capacity, PrincipalKind, Scope, Tier};
use countersign_core::id::{Label, Person, Principal, Process, Resource, Role};
use countersign_core::key::PublicKey;
use countersign_core::policy::Clause;
use countersign_core::time::Timestamp;

use super::live::{Approval, Grant};
use super::refusal::Refusal;
use super::state::{Live, State};
use super::stored::{Millis, instant};

/// The answer to "may this principal do this now?".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Yes.
    Allowed {
        /// The grant that allows it: of several the one that lasts longest.
        grant: StatementDigest,
        /// The entry of the grant.
        seq: u64,
        /// The first instant at which it allows it no longer, by time alone; none for a standing grant.
        until: Option<Timestamp>,
    },
    /// No.
    Denied {
        /// Why not.
        reason: DenyReason,
    },
}

impl Answer {
    /// Whether it is a yes.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed { .. })
    }
}

/// Why a check says no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DenyReason {
    /// No such principal was ever registered.
    UnknownPrincipal,
    /// The principal departed.
    PrincipalDeparted,
    /// No such resource is registered.
    UnknownResource,
    /// No grant of this role on this resource is active.
    NoGrant,
    /// The question is about an instant before the state's last entry, which only an earlier state can answer.
    BeforeState,
}

impl DenyReason {
    /// The word that reports print.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownPrincipal => "unknown_principal",
            Self::PrincipalDeparted => "principal_departed",
            Self::UnknownResource => "unknown_resource",
            Self::NoGrant => "no_grant",
            Self::BeforeState => "before_state",
        }
    }
}

impl std::fmt::Display for DenyReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// An active grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantView {
    /// The statement that granted it.
    pub grant: StatementDigest,
    /// Its entry.
    pub seq: u64,
    /// Who holds it.
    pub subject: Principal,
    /// On what.
    pub resource: Resource,
    /// In which role.
    pub role: Role,
    /// The first instant at which it holds no longer; none for a standing grant.
    pub until: Option<Timestamp>,
    /// The standing class it is held under.
    pub class: Option<Label>,
    /// The personal exception it rests on.
    pub exception: Option<StatementDigest>,
}

/// A capacity that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapacityView {
    /// The statement that gave it.
    pub statement: StatementDigest,
    /// Its entry.
    pub seq: u64,
    /// Which capacity.
    pub capacity: Capacity,
    /// Who holds it.
    pub holder: Principal,
    /// Over what.
    pub scope: Scope,
    /// The first instant at which it is held.
    pub from: Timestamp,
    /// The first instant at which it is held no longer; none until withdrawn.
    pub until: Option<Timestamp>,
    /// For a delegation: what it rests on, and who made it.
    pub delegated_by: Option<(StatementDigest, Principal)>,
}

/// An open request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestView {
    /// The statement.
    pub request: StatementDigest,
    /// Its entry.
    pub seq: u64,
    /// Who asks.
    pub requester: Principal,
    /// What it says.
    pub event: AccessRequested,
    /// When it was recorded.
    pub opened_at: Timestamp,
    /// The first instant at which it is closed.
    pub expires: Timestamp,
    /// The approvals on it.
    pub approvals: Vec<ApprovalView>,
    /// The personal exception on it.
    pub exception: Option<StatementDigest>,
}

/// An approval on an open request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalView {
    /// The statement.
    pub approval: StatementDigest,
    /// Its entry.
    pub seq: u64,
    /// Who approves.
    pub author: Principal,
    /// In which capacity.
    pub capacity: Capacity,
    /// Whether it counts as things stand: not void, and not stale.
    pub counts: bool,
}

/// A policy in force or scheduled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyView {
    /// The statement that published it.
    pub policy: StatementDigest,
    /// Its entry.
    pub seq: u64,
    /// Its name.
    pub name: Label,
    /// Over what.
    pub scope: Scope,
    /// Since when, or from when, it is in force.
    pub from: Timestamp,
}

/// A standing class that was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassView {
    /// The exception that opened or last renewed it.
    pub exception: StatementDigest,
    /// The policy that declares it, by name.
    pub policy: Label,
    /// The class.
    pub class: Label,
    /// Who answers for it.
    pub owner: Principal,
    /// Its review date.
    pub until: Timestamp,
    /// How many grants are held under it.
    pub grants: usize,
}

/// A personal exception that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExceptionView {
    /// The statement.
    pub exception: StatementDigest,
    /// The request that it permits.
    pub request: StatementDigest,
    /// Who permitted it.
    pub approver: Principal,
    /// Who answers for it.
    pub owner: Principal,
    /// The first instant at which it is over.
    pub until: Timestamp,
}

/// A registered principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrincipalView {
    /// Its name.
    pub principal: Principal,
    /// What it is.
    pub kind: PrincipalKind,
    /// The persons it counts as.
    pub persons: Vec<Person>,
    /// Whether it departed.
    pub departed: bool,
    /// Its live keys.
    pub keys: Vec<KeyView>,
}

/// A live key, and how it came to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyView {
    /// Its id.
    pub key_id: KeyId,
    /// The entry that admitted it.
    pub admitted: u64,
    /// Who enrolled it, where that was not its owner alone; inherited by keys enrolled with it.
    pub enrolled_by: Vec<Principal>,
    /// The highest serial recorded under it.
    pub highest_serial: Option<u64>,
}

/// A live resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceView {
    /// Its name.
    pub resource: Resource,
    /// Its tier.
    pub tier: Tier,
    /// Where it runs.
    pub environment: Option<Label>,
    /// The business process that it serves.
    pub process: Option<Process>,
    /// What governs it, nearest first.
    pub governed_by: Vec<Resource>,
    /// Whether nobody holds an owner capacity over it (R095).
    pub unowned: bool,
}

impl State {
    fn live_at(&self, at: Timestamp) -> Option<Cow<'_, Live>> {
        let live = self.live.as_ref()?;
        if !live.is_due(at.millis()) {
            return Some(Cow::Borrowed(live));
        }
        let mut later = live.clone();
        later.advance(at.millis(), self.head.size, &mut Vec::new());
        Some(Cow::Owned(later))
    }

    /// Answers whether `subject` holds `role` on `resource` at `at`, without allocating.
    ///
    /// It answers from this state, whose [`Self::head`] says which entries it knows; `at` may lie after the last of them, and
    /// then what runs out by itself has run out.
    #[must_use]
    pub fn check(&self, subject: &Principal, resource: &Resource, role: &Role, at: Timestamp) -> Answer {
        let denied = |reason| Answer::Denied { reason };
        if at.millis() < self.recorded_at {
            return denied(DenyReason::BeforeState);
        }
        let Some(live) = &self.live else { return denied(DenyReason::UnknownPrincipal) };
        let found = live
            .grants
            .exactly(subject, resource, role, &live.people, &live.things)
            .filter(|grant| live.holds(grant, at.millis()))
            .max_by_key(|grant| (live.effective_until(grant), grant.seq));
        match found {
            Some(grant) => Answer::Allowed {
                grant: StatementDigest::new(grant.digest),
                seq: grant.seq,
                until: instant(live.effective_until(grant)),
            },
            None => denied(live.reason(subject, resource)),
        }
    }

    /// Active grants at `at`, sorted by subject, resource and role.
    #[must_use]
    pub fn grants(&self, at: Timestamp) -> Vec<GrantView> {
        self.collect(at, |live| live.grants.iter().map(|(_, grant)| grant).collect())
    }

    /// What `subject` holds at `at`.
    #[must_use]
    pub fn grants_of(&self, subject: &Principal, at: Timestamp) -> Vec<GrantView> {
        self.collect(at, |live| {
            let no = live.people.find(subject);
            no.into_iter().flat_map(|no| live.grants.of(no)).map(|(_, grant)| grant).collect()
        })
    }

    /// Who holds something on `resource` at `at`.
    #[must_use]
    pub fn grants_on(&self, resource: &Resource, at: Timestamp) -> Vec<GrantView> {
        self.collect(at, |live| {
            let no = live.things.find(resource);
            no.into_iter().flat_map(|no| live.grants.on(no)).map(|(_, grant)| grant).collect()
        })
    }

    /// The active grant with this digest.
    #[must_use]
    pub fn grant(&self, digest: &StatementDigest) -> Option<GrantView> {
        let live = self.live.as_ref()?;
        let slot = live.grants.find(digest.as_bytes())?;
        live.grants.get(slot).map(|grant| live.view(grant))
    }

    /// How many grants are active, those included that ran out since the last entry.
    #[must_use]
    pub fn grant_count(&self) -> usize {
        self.live.as_ref().map_or(0, |live| live.grants.len())
    }

    fn collect<'a>(&'a self, at: Timestamp, pick: impl Fn(&'a Live) -> Vec<&'a Grant>) -> Vec<GrantView> {
        let Some(live) = &self.live else { return Vec::new() };
        let mut views: Vec<GrantView> = pick(live)
            .into_iter()
            .filter(|grant| live.holds(grant, at.millis()))
            .map(|grant| live.view(grant))
            .collect();
        views.sort_by(|a, b| {
            (&a.subject, &a.resource, &a.role, a.seq).cmp(&(&b.subject, &b.resource, &b.role, b.seq))
        });
        views
    }

    /// Capacities and delegations held at `at`, sorted by holder and entry.
    #[must_use]
    pub fn capacities(&self, at: Timestamp) -> Vec<CapacityView> {
        let Some(live) = &self.live else { return Vec::new() };
        let mut views: Vec<CapacityView> = live
            .rights
            .iter()
            .filter(|(_, right)| live.stands(right, at.millis()))
            .map(|(id, right)| CapacityView {
                statement: StatementDigest::new(*id),
                seq: right.seq,
                capacity: *right.capacity,
                holder: live.people.principal(right.holder),
                scope: (**right.scope).clone(),
                from: instant(right.from).unwrap_or(Timestamp::MAX),
                until: instant(right.until),
                delegated_by: right.basis.map(|(basis, delegator)| {
                    (StatementDigest::new(basis), live.people.principal(delegator))
                }),
            })
            .collect();
        views.sort_by(|a, b| (&a.holder, a.seq).cmp(&(&b.holder, b.seq)));
        views
    }

    /// Whether `holder` holds `capacity` over `resource` at `at`, by name or through what governs it.
    #[must_use]
    pub fn holds(&self, holder: &Principal, capacity: Capacity, resource: &Resource, at: Timestamp) -> bool {
        let Some(live) = &self.live else { return false };
        let found = live.people.live(holder).zip(live.things.live(resource));
        found.is_some_and(|(no, resource)| {
            let chain: Vec<Resource> =
                live.things.chain(resource).map(|no| live.things.resource(no)).collect();
            live.rights
                .of(no)
                .any(|(_, right)| *right.capacity == capacity && live.reaches(right, &chain, at.millis()))
        })
    }

    /// The assignment or delegation by which `holder` acts in `capacity` over `resource` at `at`: the one that judge relies on.
    #[must_use]
    pub fn authority(
        &self,
        holder: &Principal,
        capacity: Capacity,
        resource: &Resource,
        at: Timestamp,
    ) -> Option<StatementDigest> {
        let live = self.live.as_ref()?;
        let (no, resource) = live.people.live(holder).zip(live.things.live(resource))?;
        let chain: Vec<Resource> = live.things.chain(resource).map(|no| live.things.resource(no)).collect();
        let found = live
            .rights
            .of(no)
            .find(|(_, right)| *right.capacity == capacity && live.reaches(right, &chain, at.millis()));
        found.map(|(id, _)| StatementDigest::new(*id))
    }

    /// Open requests at `at`, in order of entry.
    #[must_use]
    pub fn requests(&self, at: Timestamp) -> Vec<RequestView> {
        let Some(live) = self.live_at(at) else { return Vec::new() };
        let mut views: Vec<RequestView> =
            live.requests.iter().map(|(digest, request)| live.request_view(digest, request)).collect();
        views.sort_by_key(|view| view.seq);
        views
    }

    /// The open request with this digest, as of `at`.
    #[must_use]
    pub fn request(&self, digest: &StatementDigest, at: Timestamp) -> Option<RequestView> {
        let live = self.live_at(at)?;
        live.requests.get(digest.as_bytes()).map(|request| live.request_view(digest.as_bytes(), request))
    }

    /// What the policies in force at `at` resolve to for an entitlement: what approvals sign, by [`Clause::digest`].
    ///
    /// # Errors
    /// `unknown_resource`, or `no_policy` where neither a path nor an exception rule applies.
    pub fn clause(&self, resource: &Resource, role: &Role, at: Timestamp) -> Result<Clause, Refusal> {
        let unknown =
            || Refusal::new(super::RefusalCode::UnknownResource, format!("{resource} is not registered"));
        let live = self.live_at(at).ok_or_else(unknown)?;
        let no = live.things.live(resource).ok_or_else(unknown)?;
        live.resolve(no, role).map(|resolved| resolved.clause.clone())
    }

    /// The grant that an automation signs for a request that is fully approved: witness, endings and time as judge derives them.
    ///
    /// # Errors
    /// What keeps the request from being granted at `at`.
    pub fn propose_grant(&self, request: &StatementDigest, at: Timestamp) -> Result<AccessGranted, Refusal> {
        let live = self.live_at(at).ok_or_else(|| {
            Refusal::new(super::RefusalCode::NoOpenRequest, format!("{request} is no open request"))
        })?;
        live.propose(request, at)
    }

    /// Policies in force and scheduled at `at`, by name.
    #[must_use]
    pub fn policies(&self, at: Timestamp) -> Vec<PolicyView> {
        let Some(live) = self.live_at(at) else { return Vec::new() };
        let all = live.book.iter().flat_map(|(_, versions)| versions.all());
        all.map(|policy| PolicyView {
            policy: StatementDigest::new(policy.digest),
            seq: policy.seq,
            name: policy.event.name.clone(),
            scope: policy.scope().clone(),
            from: instant(policy.from).unwrap_or(Timestamp::MAX),
        })
        .collect()
    }

    /// Standing classes that were opened and have neither lapsed with effect `end` nor been closed.
    #[must_use]
    pub fn classes(&self, at: Timestamp) -> Vec<ClassView> {
        let Some(live) = self.live_at(at) else { return Vec::new() };
        live.exceptions
            .classes
            .iter()
            .map(|(slot, class)| ClassView {
                exception: StatementDigest::new(class.exception),
                policy: class.policy_name.0.clone(),
                class: class.definition.class.clone(),
                owner: live.people.principal(class.owner),
                until: instant(class.until).unwrap_or(Timestamp::MAX),
                grants: live.grants.iter().filter(|(_, grant)| grant.class == slot).count(),
            })
            .collect()
    }

    /// Personal exceptions that stand at `at`.
    #[must_use]
    pub fn exceptions(&self, at: Timestamp) -> Vec<ExceptionView> {
        let Some(live) = self.live_at(at) else { return Vec::new() };
        live.exceptions
            .personal
            .iter()
            .map(|(digest, personal)| ExceptionView {
                exception: StatementDigest::new(*digest),
                request: StatementDigest::new(personal.request),
                approver: live.people.principal(personal.approval.author),
                owner: live.people.principal(personal.owner),
                until: instant(personal.until).unwrap_or(Timestamp::MAX),
            })
            .collect()
    }

    /// A registered principal, with its live keys and how they came to be.
    #[must_use]
    pub fn principal(&self, name: &Principal) -> Option<PrincipalView> {
        let live = self.live.as_ref()?;
        let no = live.people.find(name)?;
        let record = live.people.record(no);
        Some(PrincipalView {
            principal: name.clone(),
            kind: *record.kind,
            persons: record
                .persons
                .iter()
                .filter_map(|person| Person::new(live.people.person_name(*person)).ok())
                .collect(),
            departed: record.departed,
            keys: record
                .keys
                .iter()
                .map(|key| {
                    let key = live.keys.record(*key);
                    KeyView {
                        key_id: KeyId::new(key.id),
                        admitted: key.admitted,
                        enrolled_by: key.enrollers.iter().map(|no| live.people.principal(*no)).collect(),
                        highest_serial: key.serials.highest(),
                    }
                })
                .collect(),
        })
    }

    /// Every principal ever registered, in order of registration.
    #[must_use]
    pub fn principals(&self) -> Vec<Principal> {
        let names = self.live.iter().flat_map(|live| live.people.names());
        names.filter_map(|(_, name)| Principal::new(name).ok()).collect()
    }

    /// How many principals were ever registered.
    #[must_use]
    pub fn principal_count(&self) -> usize {
        self.live.as_ref().map_or(0, |live| live.people.len())
    }

    /// Live resources, in order of first registration.
    #[must_use]
    pub fn resources(&self, at: Timestamp) -> Vec<ResourceView> {
        let Some(live) = self.live_at(at) else { return Vec::new() };
        live.things
            .iter()
            .filter(|(_, _, record)| record.live)
            .map(|(no, _, record)| ResourceView {
                resource: live.things.resource(no),
                tier: *record.tier,
                environment: record.environment.as_deref().map(|environment| environment.0.clone()),
                process: record.process.as_deref().map(|process| process.0.clone()),
                governed_by: live.things.chain(no).skip(1).map(|no| live.things.resource(no)).collect(),
                unowned: !live.has_owner(no, at.millis()),
            })
            .collect()
    }

    /// The facts of one live resource, as of `at`.
    #[must_use]
    pub fn resource(&self, name: &Resource, at: Timestamp) -> Option<ResourceView> {
        let live = self.live_at(at)?;
        let no = live.things.live(name)?;
        let record = live.things.record(no);
        Some(ResourceView {
            resource: name.clone(),
            tier: *record.tier,
            environment: record.environment.as_deref().map(|environment| environment.0.clone()),
            process: record.process.as_deref().map(|process| process.0.clone()),
            governed_by: live.things.chain(no).skip(1).map(|no| live.things.resource(no)).collect(),
            unowned: !live.has_owner(no, at.millis()),
        })
    }

    /// Whether the ledger is frozen.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.frozen.is_some())
    }

    /// The governors, in the order of the charter in force at `at`.
    #[must_use]
    pub fn governors(&self, at: Timestamp) -> Vec<Principal> {
        let Some(live) = self.live_at(at) else { return Vec::new() };
        live.charter.governors.iter().map(|(no, _)| live.people.principal(*no)).collect()
    }

    /// Every public key that the ledger ever admitted, with whether it is live.
    #[must_use]
    pub fn keys(&self) -> Vec<(PublicKey, bool)> {
        let keys = self.live.iter().flat_map(|live| live.keys.iter());
        keys.filter_map(|(_, key)| Some((key.public.decoded()?, key.ended.is_none()))).collect()
    }

    /// The digest of the clause in force for an open request: what an approval of it has to sign.
    ///
    /// # Errors
    /// `no_open_request`, or as [`Self::clause`].
    pub fn clause_of_request(
        &self,
        request: &StatementDigest,
        at: Timestamp,
    ) -> Result<ClauseDigest, Refusal> {
        let open = self.request(request, at).ok_or_else(|| {
            Refusal::new(super::RefusalCode::NoOpenRequest, format!("{request} is no open request"))
        })?;
        self.clause(&open.event.resource, &open.event.role, at).map(|clause| clause.digest())
    }
}

impl Live {
    /// Why there is no grant.
    fn reason(&self, subject: &Principal, resource: &Resource) -> DenyReason {
        match self.people.find(subject) {
            None => DenyReason::UnknownPrincipal,
            Some(no) if self.people.record(no).departed => DenyReason::PrincipalDeparted,
            Some(_) if self.things.live(resource).is_none() => DenyReason::UnknownResource,
            Some(_) => DenyReason::NoGrant,
        }
    }

    /// When time alone ends a grant: its own time, or the review date of its class where a missed review ends.
    fn effective_until(&self, grant: &Grant) -> Millis {
        use countersign_core::policy::MissedReview;
        let class = grant.class().and_then(|slot| self.exceptions.classes.get(slot));
        match class {
            Some(class) if class.definition.missed_review == MissedReview::End => {
                grant.until.min(class.until)
            }
            Some(_) | None => grant.until,
        }
    }

    fn holds(&self, grant: &Grant, at: Millis) -> bool {
        at < self.effective_until(grant)
    }

    fn view(&self, grant: &Grant) -> GrantView {
        GrantView {
            grant: StatementDigest::new(grant.digest),
            seq: grant.seq,
            subject: self.people.principal(grant.subject),
            resource: self.things.resource(grant.resource),
            role: Role::new(self.grants.roles.name(grant.role))
                .expect("INVARIANT: only parsed roles are granted"),
            until: instant(self.effective_until(grant)),
            class: grant
                .class()
                .and_then(|slot| self.exceptions.classes.get(slot))
                .map(|class| class.definition.class.clone()),
            exception: grant.rare.as_ref().and_then(|rare| rare.exception).map(StatementDigest::new),
        }
    }

    fn request_view(&self, digest: &[u8; 32], request: &super::live::Request) -> RequestView {
        let clause = self.resolve(request.resource, &request.event.role).map(|resolved| resolved.digest).ok();
        let view = |approval: &Approval| ApprovalView {
            approval: StatementDigest::new(approval.digest),
            seq: approval.seq,
            author: self.people.principal(approval.author),
            capacity: *approval.capacity,
            counts: self.counts(approval) && Some(approval.clause) == clause,
        };
        RequestView {
            request: StatementDigest::new(*digest),
            seq: request.seq,
            requester: self.people.principal(request.requester),
            event: request.event.0.clone(),
            opened_at: instant(request.opened_at).unwrap_or(Timestamp::MAX),
            expires: instant(request.expires).unwrap_or(Timestamp::MAX),
            approvals: request.approvals.iter().map(view).collect(),
            // One that ran out is remembered, but stands no longer.
            exception: request
                .exception
                .filter(|known| self.exceptions.personal.get(known).is_some())
                .map(StatementDigest::new),
        }
    }
}
