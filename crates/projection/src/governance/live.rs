//! What is open or active: requests with their approvals, grants, exceptions and standing classes.

use std::sync::Arc;

use countersign_core::event::{AccessRequested, Capacity};
use countersign_core::id::{Label, Principal, Resource, Role};
use countersign_core::policy::StandingClass;
use serde::{Deserialize, Serialize};

use super::derived::Derived;
use super::keyring::{KeyNo, first_bytes};
use super::people::{People, PrincipalNo};
use super::spelled::{Spelled, Spelling};
use super::stored::{Contradiction, FOREVER, Hash, Millis, NO_SLOT, Stored, sound};
use super::things::{ResourceNo, Things};
use crate::cow::{Arena, HashKey, Names, OrdMap, OrdSet, SlotIndex};

/// An approval on an open request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Approval {
    pub(crate) digest: Hash,
    pub(crate) seq: u64,
    pub(crate) author: PrincipalNo,
    pub(crate) key: KeyNo,
    pub(crate) capacity: Stored<Capacity>,
    pub(crate) clause: Hash,
    pub(crate) seconds: Option<u64>,
    /// The right it rests on.
    pub(crate) right: Hash,
}

/// A personal exception on an open request, or under an active grant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Personal {
    pub(crate) request: Hash,
    pub(crate) approval: Approval,
    pub(crate) owner: PrincipalNo,
    pub(crate) resource: ResourceNo,
    pub(crate) until: Millis,
}

/// An open request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) seq: u64,
    pub(crate) leaf: Hash,
    pub(crate) opened_at: Millis,
    pub(crate) expires: Millis,
    pub(crate) requester: PrincipalNo,
    pub(crate) subject: PrincipalNo,
    pub(crate) resource: ResourceNo,
    pub(crate) event: Arc<Stored<AccessRequested>>,
    pub(crate) approvals: Vec<Approval>,
    pub(crate) exception: Option<Hash>,
    /// The persons against whom it counts while it is open.
    pub(crate) counted: Vec<u32>,
}

/// An active grant: 80 bytes and what its rare parts take.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Grant {
    pub(crate) digest: Hash,
    pub(crate) seq: u64,
    pub(crate) until: Millis,
    pub(crate) subject: PrincipalNo,
    pub(crate) resource: ResourceNo,
    pub(crate) role: u32,
    /// The standing class it is held under.
    pub(crate) class: u32,
    pub(crate) rare: Option<Box<Rare>>,
}

/// What few grants have.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rare {
    /// The personal exception it rests on.
    pub(crate) exception: Option<Hash>,
    /// Rights whose withdrawal ends it, where its path declares that cascade.
    pub(crate) parents: Vec<Hash>,
}

/// A standing class that was opened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Class {
    pub(crate) policy_name: Stored<Label>,
    pub(crate) definition: Stored<StandingClass>,
    pub(crate) exception: Hash,
    pub(crate) key: KeyNo,
    pub(crate) signed_by: Vec<KeyNo>,
    pub(crate) seq: u64,
    pub(crate) owner: PrincipalNo,
    pub(crate) until: Millis,
    pub(crate) scope: Arc<Stored<countersign_core::event::Scope>>,
}

/// Open requests, by digest.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Requests {
    open: OrdMap<Hash, Arc<Request>>,
    // All that follows is derived.
    #[serde(skip)]
    by_approval: OrdMap<Hash, Hash>,
    #[serde(skip)]
    due: OrdSet<(Millis, Hash)>,
}

impl Requests {
    /// Derives what reading leaves out.
    pub(crate) fn index(&mut self) -> Result<(), Contradiction> {
        let due = self.open.iter().map(|(digest, request)| ((request.expires, *digest), ()));
        self.due = OrdSet::from_unsorted(due).expect("each request is there once");
        let approvals = self.open.iter().flat_map(|(digest, request)| {
            request.approvals.iter().map(|approval| (approval.digest, *digest))
        });
        self.by_approval = OrdMap::from_unsorted(approvals).ok_or("an approval is there twice")?;
        Ok(())
    }

    pub(crate) fn get(&self, digest: &Hash) -> Option<&Arc<Request>> {
        self.open.get(digest)
    }

    pub(crate) fn get_mut(&mut self, digest: &Hash) -> Option<&mut Request> {
        self.open.get_mut(digest).map(Arc::make_mut)
    }

    pub(crate) fn with_approval(&self, approval: &Hash) -> Option<Hash> {
        self.by_approval.get(approval).copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Hash, &Arc<Request>)> {
        self.open.iter()
    }

    pub(crate) fn insert(&mut self, digest: Hash, request: Request) {
        self.due.insert((request.expires, digest), ());
        self.open.insert(digest, Arc::new(request));
    }

    pub(crate) fn approve(&mut self, request: &Hash, approval: Approval) {
        self.by_approval.insert(approval.digest, *request);
        if let Some(open) = self.get_mut(request) {
            open.approvals.push(approval);
        }
    }

    pub(crate) fn withdraw_approval(&mut self, approval: &Hash) {
        if let Some(request) = self.by_approval.remove(approval)
            && let Some(open) = self.get_mut(&request)
        {
            open.approvals.retain(|kept| kept.digest != *approval);
        }
    }

    pub(crate) fn close(&mut self, digest: &Hash) -> Option<Arc<Request>> {
        let request = self.open.remove(digest)?;
        self.due.remove(&(request.expires, *digest));
        for approval in &request.approvals {
            self.by_approval.remove(&approval.digest);
        }
        Some(request)
    }

    pub(crate) fn next_due(&self) -> Option<(Millis, Hash)> {
        self.due.first().map(|(due, ())| *due)
    }
}

/// Active grants, and what finds them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Grants {
    arena: Arena<Grant>,
    by_digest: Derived<SlotIndex>,
    by_names: Spelled,
    by_subject: OrdSet<(PrincipalNo, u32)>,
    by_resource: OrdSet<(ResourceNo, u32)>,
    due: OrdSet<(Millis, u32)>,
    pub(crate) roles: Names,
}

/// Grants by subject, by resource and by end.
pub(crate) type Ordered = (OrdSet<(PrincipalNo, u32)>, OrdSet<(ResourceNo, u32)>, OrdSet<(Millis, u32)>);

impl Grants {
    pub(crate) fn new(key: HashKey) -> Self {
        Self {
            arena: Arena::new(),
            by_digest: Derived::default(),
            by_names: Spelled::default(),
            by_subject: OrdSet::new(),
            by_resource: OrdSet::new(),
            due: OrdSet::new(),
            roles: Names::new(key),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.arena.len()
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&Grant> {
        self.arena.get(slot)
    }

    pub(crate) fn find(&self, digest: &Hash) -> Option<u32> {
        self.by_digest.0.find(first_bytes(digest), |slot| {
            self.arena.get(slot).is_some_and(|grant| grant.digest == *digest)
        })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Grant)> {
        self.arena.iter()
    }

    pub(crate) fn of(&self, subject: PrincipalNo) -> impl Iterator<Item = (u32, &Grant)> {
        self.by_subject
            .range((subject, 0)..=(subject, u32::MAX))
            .filter_map(|((_, slot), ())| self.arena.get(*slot).map(|grant| (*slot, grant)))
    }

    pub(crate) fn on(&self, resource: ResourceNo) -> impl Iterator<Item = (u32, &Grant)> {
        self.by_resource
            .range((resource, 0)..=(resource, u32::MAX))
            .filter_map(|((_, slot), ())| self.arena.get(*slot).map(|grant| (*slot, grant)))
    }

    /// Grants of exactly this entitlement to this subject.
    pub(crate) fn exactly<'a>(
        &'a self,
        subject: &'a Principal,
        resource: &'a Resource,
        role: &'a Role,
        people: &'a People,
        things: &'a Things,
    ) -> impl Iterator<Item = &'a Grant> {
        let spelling = Spelling::new(people, things, &self.roles);
        self.by_names.find(subject, resource, role, spelling, |slot| self.arena.get(slot))
    }

    /// Adds a grant, whose numbers are those of names in `people`, `things` and `roles`.
    pub(crate) fn insert(&mut self, grant: Grant, people: &People, things: &Things) -> u32 {
        let (digest, until) = (grant.digest, grant.until);
        let (subject, resource) = (grant.subject, grant.resource);
        let (slot, arena) = (self.arena.next_slot(), &self.arena);
        let spelling = Spelling::new(people, things, &self.roles);
        self.by_names.insert(slot, &grant, spelling, |slot| arena.get(slot));
        self.by_digest.0.insert(first_bytes(&digest), slot, |slot| {
            arena.get(slot).map_or(0, |grant| first_bytes(&grant.digest))
        });
        self.arena.insert(grant);
        self.by_subject.insert((subject, slot), ());
        self.by_resource.insert((resource, slot), ());
        if until != FOREVER {
            self.due.insert((until, slot), ());
        }
        slot
    }

    pub(crate) fn remove(&mut self, slot: u32, people: &People, things: &Things) -> Option<Grant> {
        let grant = self.arena.remove(slot)?;
        self.by_names.remove(slot, &grant, Spelling::new(people, things, &self.roles));
        self.by_digest.0.remove(first_bytes(&grant.digest), slot);
        self.by_subject.remove(&(grant.subject, slot));
        self.by_resource.remove(&(grant.resource, slot));
        self.due.remove(&(grant.until, slot));
        Some(grant)
    }

    /// Derives what keeps grants in order, for [`Self::index`]: half of the work, for which nothing else has to be known.
    pub(crate) fn ordered(&self) -> Ordered {
        let by = |number: fn(&Grant) -> u32| {
            // As one number each, pairs are sorted in half the time.
            let pair = |(slot, grant)| u64::from(number(grant)) << 32 | u64::from(slot);
            let mut pairs: Vec<u64> = self.iter().map(pair).collect();
            pairs.sort_unstable();
            let parts = |pair| (((pair >> 32) as u32, pair as u32), ());
            OrdSet::from_ascending(pairs.into_iter().map(parts)).expect("each slot is there once")
        };
        let ends = self.iter().filter(|(_, grant)| grant.until != FOREVER);
        let due = OrdSet::from_unsorted(ends.map(|(slot, grant)| ((grant.until, slot), ())));
        (by(|grant| grant.subject), by(|grant| grant.resource), due.expect("each slot is there once"))
    }

    /// Derives what else reading leaves out, and checks the rest.
    pub(crate) fn index(
        &mut self,
        ordered: Ordered,
        key: HashKey,
        people: &People,
        things: &Things,
    ) -> Result<(), Contradiction> {
        sound(self.roles.key() == key, "roles are hashed with another key")?;
        sound(self.roles.iter().all(|role| Role::new(role).is_ok()), "a role has a name that none has")?;
        let grants = || self.arena.iter();
        let hashes = grants().map(|(slot, grant)| (first_bytes(&grant.digest), slot));
        self.by_digest = Derived(SlotIndex::from_hashes(hashes));
        let digest = |slot| self.arena.get(slot).map(|grant| grant.digest);
        let same = |one, other| digest(one) == digest(other);
        sound(self.by_digest.0.is_injective(same), "a grant is there twice")?;
        let spelling = Spelling::new(people, things, &self.roles);
        let by_names = Spelled::of(grants(), spelling);
        self.by_names = by_names.ok_or("a grant has a number that is no name's")?;
        (self.by_subject, self.by_resource, self.due) = ordered;
        Ok(())
    }

    /// The slots and the names of roles: all that is not derived.
    pub(crate) fn parts(&self) -> (&Names, &Arena<Grant>) {
        (&self.roles, &self.arena)
    }

    /// Grants that were read, which are not found before [`Self::index`].
    pub(crate) fn of_parts(roles: Names, arena: Arena<Grant>) -> Self {
        Self { roles, arena, ..Self::new(HashKey::default()) }
    }

    pub(crate) fn next_due(&self) -> Option<(Millis, u32)> {
        self.due.first().map(|(due, ())| *due)
    }
}

#[cfg(test)]
impl Grants {
    /// Changes every grant, and not what finds it.
    pub(crate) fn spoil(&mut self, spoil: impl Fn(&mut Grant)) {
        let slots: Vec<u32> = self.arena.iter().map(|(slot, _)| slot).collect();
        slots.into_iter().for_each(|slot| spoil(self.arena.get_mut(slot).expect("a live slot")));
    }
}

impl Grant {
    pub(crate) fn class(&self) -> Option<u32> {
        (self.class != NO_SLOT).then_some(self.class)
    }
}

/// Exceptions that stand.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Exceptions {
    pub(crate) personal: OrdMap<Hash, Arc<Personal>>,
    pub(crate) classes: Arena<Class, 16>,
    /// When personal exceptions run out, and when classes are due for review. Derived.
    #[serde(skip)]
    pub(crate) due: OrdSet<(Millis, Due)>,
}

/// Something that falls due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// A personal exception runs out.
    Personal(Hash),
    /// A class's review date.
    Class(u32),
}

impl Exceptions {
    /// Derives what reading leaves out: at the time of the last entry, classes whose review was due before have been reviewed or not.
    pub(crate) fn index(&mut self, recorded_at: Millis) {
        let personal =
            self.personal.iter().map(|(digest, personal)| (personal.until, Due::Personal(*digest)));
        let classes = self.classes.iter().map(|(slot, class)| (class.until, Due::Class(slot)));
        let due = personal.chain(classes.filter(|(until, _)| *until > recorded_at));
        self.due = OrdSet::from_unsorted(due.map(|due| (due, ()))).expect("each exception is there once");
    }

    /// The class that was opened for this declaration of a policy of this name. A policy that is published again with the
    /// same words keeps its classes; other words need another exception.
    pub(crate) fn class(&self, policy: &Label, declared: &StandingClass) -> Option<(u32, &Class)> {
        self.classes.iter().find(|(_, known)| *known.policy_name == *policy && *known.definition == *declared)
    }

    pub(crate) fn class_by_exception(&self, exception: &Hash) -> Option<(u32, &Class)> {
        self.classes.iter().find(|(_, class)| class.exception == *exception)
    }
}
