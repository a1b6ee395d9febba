//! The statements that led to a grant and ended it, gathered while a ledger is verified.

use std::collections::{BTreeMap, HashMap};

use countersign_core::digest::{KeyId, StatementDigest};
use countersign_core::entry::Entry;
use countersign_core::event::{
    AccessApproved, AccessDenied, AccessGranted, AccessRequested, AccessWithdrawn, Event, ExceptionGranted,
    ExceptionOf,
};
use countersign_core::id::{Principal, Resource, Role};
use countersign_core::time::Timestamp;
use countersign_projection::governance::{CapacityView, Ending, JudgedEntry, KeyView, State};

use crate::describe::Known;

/// What a story is told of.
#[derive(Debug, Clone)]
pub(crate) enum Wanted {
    /// Everything that was asked for or granted to this principal, of this role on this resource.
    Access(Principal, Role, Resource),
    /// What this statement is a part of.
    Digest(StatementDigest),
    /// What this entry is a part of.
    Seq(u64),
}

/// An entry with the state right after it, and what its event says.
pub(crate) struct Step<E> {
    pub(crate) entry: Entry,
    pub(crate) state: State,
    pub(crate) event: E,
}

impl<E> Step<E> {
    fn digest(&self) -> StatementDigest {
        self.entry.signed().digest()
    }
}

/// What may be said to a request before it is granted.
pub(crate) enum Decision {
    Approved(AccessApproved),
    Denied(AccessDenied),
    Excepted(ExceptionGranted),
    Withdrawn(AccessWithdrawn),
}

/// One request, from when it was made to the end of what came of it.
pub(crate) struct Trail {
    pub(crate) request: Step<AccessRequested>,
    /// In order.
    pub(crate) decisions: Vec<Step<Decision>>,
    pub(crate) grant: Option<Step<AccessGranted>>,
    /// How the grant ended, and the entry with which it did.
    pub(crate) ended: Option<(Ending, Entry)>,
}

impl Trail {
    /// The statements of it up to the grant, and where they stand.
    fn parts(&self) -> impl Iterator<Item = (StatementDigest, u64)> {
        let request = std::iter::once((self.request.digest(), self.request.entry.seq()));
        let decisions = self.decisions.iter().map(|step| (step.digest(), step.entry.seq()));
        request.chain(decisions).chain(self.grant.iter().map(|step| (step.digest(), step.entry.seq())))
    }

    fn concerns(&self, wanted: &Wanted) -> bool {
        match wanted {
            Wanted::Access(subject, role, resource) => {
                let asked = &self.request.event;
                (&asked.subject, &asked.role, &asked.resource) == (subject, role, resource)
            }
            Wanted::Digest(digest) => self.parts().any(|(part, _)| part == *digest),
            Wanted::Seq(seq) => self.parts().any(|(_, part)| part == *seq),
        }
    }
}

/// Everything that a justification is told from.
pub(crate) struct Story {
    wanted: Wanted,
    /// Where every statement stands.
    pub(crate) known: Known,
    /// Entries that others rest on: identities, keys, capacities, resources, policies.
    base: BTreeMap<u64, Entry>,
    open: HashMap<StatementDigest, Trail>,
    /// Approvals and exceptions on open requests.
    parts: HashMap<StatementDigest, StatementDigest>,
    /// Requests whose grant is told of, by grant.
    granted: HashMap<StatementDigest, StatementDigest>,
    told: BTreeMap<u64, Trail>,
}

impl Story {
    pub(crate) fn new(wanted: Wanted) -> Self {
        Self {
            wanted,
            known: Known::default(),
            base: BTreeMap::new(),
            open: HashMap::new(),
            parts: HashMap::new(),
            granted: HashMap::new(),
            told: BTreeMap::new(),
        }
    }

    /// Takes the next entry, in order.
    pub(crate) fn see(&mut self, judged: &JudgedEntry, state: &State) {
        let entry = judged.entry();
        let digest = entry.signed().digest();
        let event = &entry.statement().event;
        self.known.see(entry.seq(), digest, event);
        match event {
            Event::AccessRequested(event) => {
                let request = step(judged, state, event.clone());
                let trail = Trail { request, decisions: Vec::new(), grant: None, ended: None };
                if !matches!(self.wanted, Wanted::Access(..)) || trail.concerns(&self.wanted) {
                    self.open.insert(digest, trail);
                }
            }
            Event::AccessApproved(event) => {
                self.decide(event.request, judged, state, || Decision::Approved(event.clone()));
            }
            Event::AccessDenied(event) => {
                self.decide(event.request, judged, state, || Decision::Denied(event.clone()));
                self.close(&event.request);
            }
            Event::AccessWithdrawn(event) => {
                let part_of = self.parts.get(&event.statement).copied();
                let request = part_of.unwrap_or(event.statement);
                self.decide(request, judged, state, || Decision::Withdrawn(event.clone()));
                if part_of.is_none() {
                    self.close(&event.statement);
                }
            }
            Event::ExceptionGranted(event) => match &event.covers {
                ExceptionOf::Personal(personal) => {
                    self.decide(personal.request, judged, state, || Decision::Excepted(event.clone()));
                }
                ExceptionOf::Class(_) => {
                    self.base.insert(entry.seq(), entry.clone());
                }
            },
            Event::AccessGranted(event) => {
                if let Some(trail) = self.open.get_mut(&event.request) {
                    trail.grant = Some(step(judged, state, event.clone()));
                    self.granted.insert(digest, event.request);
                    self.close(&event.request);
                }
            }
            Event::AccessRevoked(_) | Event::Custom(_) | Event::ClockStepped(_) => {}
            Event::LedgerOpened(_)
            | Event::CharterAmended(_)
            | Event::LedgerUpgraded(_)
            | Event::LedgerFrozen(_)
            | Event::LedgerThawed(_)
            | Event::RecoveryProposed(_)
            | Event::RecoveryVetoed(_)
            | Event::PrincipalRegistered(_)
            | Event::PrincipalChanged(_)
            | Event::PrincipalDeparted(_)
            | Event::KeyEnrolled(_)
            | Event::KeyRetired(_)
            | Event::KeyCompromised(_)
            | Event::CapacityAssigned(_)
            | Event::CapacityWithdrawn(_)
            | Event::DelegationGranted(_)
            | Event::DelegationWithdrawn(_)
            | Event::ResourceRegistered(_)
            | Event::ResourceChanged(_)
            | Event::ResourceRetired(_)
            | Event::PolicyPublished(_)
            | Event::PolicyWithdrawn(_)
            | Event::ExceptionEnded(_) => {
                self.base.insert(entry.seq(), entry.clone());
            }
        }
        for ending in state.endings() {
            self.end(*ending, entry);
        }
    }

    fn decide(
        &mut self,
        request: StatementDigest,
        judged: &JudgedEntry,
        state: &State,
        decision: impl FnOnce() -> Decision,
    ) {
        if let Some(trail) = self.open.get_mut(&request) {
            let step = step(judged, state, decision());
            self.parts.insert(step.digest(), request);
            trail.decisions.push(step);
        }
    }

    fn close(&mut self, request: &StatementDigest) {
        let Some(trail) = self.open.remove(request) else { return };
        for step in &trail.decisions {
            self.parts.remove(&step.digest());
        }
        if trail.concerns(&self.wanted) {
            self.told.insert(trail.request.entry.seq(), trail);
        } else if let Some(grant) = &trail.grant {
            self.granted.remove(&grant.digest());
        }
    }

    fn end(&mut self, ending: Ending, entry: &Entry) {
        let Some(request) = self.granted.get(&ending.grant) else { return };
        let told = self.told.values_mut().find(|trail| trail.request.digest() == *request);
        if let Some(trail) = told {
            trail.ended.get_or_insert((ending, entry.clone()));
        }
    }

    /// The trails that were wanted, in order of request; those still open too.
    pub(crate) fn trails(&self) -> Vec<&Trail> {
        let open = self.open.values().filter(|trail| trail.concerns(&self.wanted));
        let mut all: Vec<&Trail> = self.told.values().chain(open).collect();
        all.sort_by_key(|trail| trail.request.entry.seq());
        all
    }

    /// The entry at `seq`, where it is one that others rest on.
    pub(crate) fn base(&self, seq: u64) -> Option<&Entry> {
        self.base.get(&seq)
    }

    /// The entry of a statement that others rest on.
    pub(crate) fn based_on(&self, digest: &StatementDigest) -> Option<&Entry> {
        self.known.seq(digest).and_then(|seq| self.base(seq))
    }
}

/// A state shares what it can with the next one, so keeping one costs what has changed since.
fn step<E>(judged: &JudgedEntry, state: &State, event: E) -> Step<E> {
    Step { entry: judged.entry().clone(), state: state.clone(), event }
}

/// The key that `principal` signed an entry with, as the state right after it knows it.
pub(crate) fn key_of(state: &State, entry: &Entry, principal: &Principal) -> Option<KeyView> {
    let signed_by: Vec<KeyId> = entry.signed().signatures().iter().map(|part| part.keyid).collect();
    state.principal(principal)?.keys.into_iter().find(|key| signed_by.contains(&key.key_id))
}

/// A right and those that it rests on, from the one that was used to the assignment: a delegation names its basis.
pub(crate) fn chain(state: &State, right: &StatementDigest, at: Timestamp) -> Vec<CapacityView> {
    let all = state.capacities(at);
    let mut found: Vec<CapacityView> = Vec::new();
    let mut next = Some(*right);
    while let Some(digest) = next {
        let view = all.iter().find(|view| view.statement == digest).cloned();
        next = view.as_ref().and_then(|view| view.delegated_by.as_ref()).map(|(basis, _)| *basis);
        // A basis stands before what rests on it, so this ends.
        found.extend(view);
    }
    found
}
