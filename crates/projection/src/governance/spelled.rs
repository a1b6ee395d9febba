//! The check index: from the names of subject, resource and role to the grants, in one step.

use countersign_core::id::{Principal, Resource, Role};

use super::derived::Derived;
use super::live::Grant;
use super::people::People;
use super::things::Things;
use crate::cow::{HintedIndex, Names};

/// Where the names stand that spell a grant: it has their numbers.
#[derive(Clone, Copy)]
pub(crate) struct Spelling<'a> {
    pub(crate) people: &'a Names,
    pub(crate) things: &'a Names,
    pub(crate) roles: &'a Names,
}

impl<'a> Spelling<'a> {
    pub(crate) fn new(people: &'a People, things: &'a Things, roles: &'a Names) -> Self {
        Self { people: people.spellings(), things: things.spellings(), roles }
    }

    fn hash_of(&self, grant: &Grant) -> u64 {
        joint(
            self.people.hash(self.people.name(grant.subject)),
            self.things.hash(self.things.name(grant.resource)),
            self.roles.hash(self.roles.name(grant.role)),
        )
    }

    /// Whether every number of a grant is that of a name.
    fn knows(&self, grant: &Grant) -> bool {
        (grant.subject as usize) < self.people.len()
            && (grant.resource as usize) < self.things.len()
            && (grant.role as usize) < self.roles.len()
    }
}

/// Slots of grants by the names of subject, resource and role: some 11 bytes a grant.
///
/// Looking a name up and then its number would be one search after another, each in memory that the processor has to fetch.
/// Here the hashes of the names together lead to the grant, and its numbers are compared with the names last.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Spelled(Derived<HintedIndex<Hint>>);

/// Where the names of subject and resource start, for [`Names::is_at`].
type Hint = [[u8; 2]; 2];

impl Spelled {
    /// The index of all these grants; none where one has a number that is no name's.
    pub(crate) fn of<'a>(
        grants: impl Iterator<Item = (u32, &'a Grant)>,
        spelling: Spelling<'_>,
    ) -> Option<Self> {
        let all = |names: &Names| -> Vec<(u64, [u8; 2])> {
            (0..).zip(names.iter()).map(|(no, name)| (names.hash(name), names.hint(no))).collect()
        };
        let (people, things, roles) = (all(spelling.people), all(spelling.things), all(spelling.roles));
        let entries = grants.map(|(slot, grant)| {
            let (subject, subject_hint) = people.get(grant.subject as usize)?;
            let (resource, resource_hint) = things.get(grant.resource as usize)?;
            let (role, _) = roles.get(grant.role as usize)?;
            Some((joint(*subject, *resource, *role), slot, [*subject_hint, *resource_hint]))
        });
        Some(Self(Derived(HintedIndex::from_hinted(entries.collect::<Option<Vec<_>>>()?))))
    }

    pub(crate) fn insert<'a>(
        &mut self,
        slot: u32,
        grant: &Grant,
        spelling: Spelling<'_>,
        known: impl Fn(u32) -> Option<&'a Grant>,
    ) {
        debug_assert!(spelling.knows(grant), "INVARIANT: a grant has numbers of names");
        let hint = [spelling.people.hint(grant.subject), spelling.things.hint(grant.resource)];
        self.0.0.insert_hinted(spelling.hash_of(grant), slot, hint, |slot| {
            known(slot).map_or(0, |grant| spelling.hash_of(grant))
        });
    }

    pub(crate) fn remove(&mut self, slot: u32, grant: &Grant, spelling: Spelling<'_>) {
        self.0.0.remove(spelling.hash_of(grant), slot);
    }

    /// The grants of exactly this entitlement to exactly this subject.
    pub(crate) fn find<'a>(
        &'a self,
        subject: &'a Principal,
        resource: &'a Resource,
        role: &'a Role,
        spelling: Spelling<'a>,
        known: impl Fn(u32) -> Option<&'a Grant> + 'a,
    ) -> impl Iterator<Item = &'a Grant> {
        let (subject, resource, role) = (subject.as_str(), resource.as_str(), role.as_str());
        let Spelling { people, things, roles } = spelling;
        let hash = joint(people.hash(subject), things.hash(resource), roles.hash(role));
        self.0.0.candidates(hash).filter_map(move |(slot, [subject_hint, resource_hint])| {
            let grant = known(slot)?;
            let same = people.is_at(grant.subject, subject_hint, subject)
                && things.is_at(grant.resource, resource_hint, resource)
                && roles.get(grant.role) == Some(role);
            same.then_some(grant)
        })
    }
}

/// One hash of three. Each is uniform by itself (SipHash), so that a product spreads them; see [`SlotIndex`] for what an author
/// of names gains who searches for equal ones.
fn joint(subject: u64, resource: u64, role: u64) -> u64 {
    fold(fold(subject, resource.rotate_left(32) | 1) ^ role, 0x9e37_79b9_7f4a_7c15)
}

fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    (product as u64) ^ ((product >> 64) as u64)
}
