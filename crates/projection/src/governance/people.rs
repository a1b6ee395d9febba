//! Principals and the persons behind them.

use std::sync::Arc;

use countersign_core::event::PrincipalKind;
use countersign_core::id::{Person, Principal};
use serde::{Deserialize, Serialize};

use super::derived::Twins;
use super::keyring::Keyring;
use super::stored::{Contradiction, Hash, Millis, Stored, sound};
use crate::cow::{CowVec, HashKey, Names, OrdMap, OrdSet};

/// Number of a principal in the state.
pub(crate) type PrincipalNo = u32;
/// Number of a person in the state.
pub(crate) type PersonNo = u32;

/// Persons, sorted.
pub(crate) type Persons = Arc<[PersonNo]>;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PrincipalRecord {
    pub(crate) kind: Stored<PrincipalKind>,
    pub(crate) persons: Persons,
    /// Whose it was before, with the instant until which it was.
    pub(crate) past: Vec<(Millis, Persons)>,
    /// Numbers of its live keys, ascending. Derived.
    #[serde(skip)]
    pub(crate) keys: Vec<u32>,
    /// Whether a key was ever its own. Derived.
    #[serde(skip)]
    pub(crate) had_key: bool,
    pub(crate) departed: bool,
}

/// Everybody who was ever registered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct People {
    names: Names,
    records: CowVec<PrincipalRecord>,
    persons: Names,
    // All that follows is derived.
    #[serde(skip)]
    twins: Twins,
    #[serde(skip)]
    person_twins: Twins,
    #[serde(skip)]
    by_person: OrdSet<(PersonNo, PrincipalNo)>,
    /// Open requests counted against each person who made them.
    #[serde(skip)]
    pub(crate) open_requests: OrdMap<PersonNo, u32>,
}

impl People {
    pub(crate) fn new(key: HashKey) -> Self {
        Self {
            names: Names::new(key),
            records: CowVec::new(),
            persons: Names::new(key),
            twins: Twins::default(),
            person_twins: Twins::default(),
            by_person: OrdSet::new(),
            open_requests: OrdMap::new(),
        }
    }

    /// Derives what reading leaves out, but for what requests count, and checks the rest.
    pub(crate) fn index(&mut self, key: HashKey, keys: &Keyring) -> Result<(), Contradiction> {
        sound(self.names.key() == key && self.persons.key() == key, "people are hashed with another key")?;
        sound(
            self.names.len() == self.records.len(),
            "there are more or fewer principals than names of them",
        )?;
        let are_names = self.persons.iter().all(|name| Person::new(name).is_ok());
        sound(are_names, "a person has a name that none has")?;
        let mut by_person = Vec::new();
        for ((no, name), record) in (0..).zip(self.names.iter()).zip(&self.records) {
            sound(Principal::new(name).is_ok(), "a principal has a name that none has")?;
            let past = record.past.iter().map(|(_, persons)| persons);
            let all_known = past.chain([&record.persons]).all(|persons| self.are_persons(persons));
            sound(all_known, "the persons of a principal are none, or out of order")?;
            by_person.extend(record.persons.iter().map(|person| ((*person, no), ())));
        }
        self.twins = Twins::of(&self.names);
        self.person_twins = Twins::of(&self.persons);
        self.by_person = OrdSet::from_unsorted(by_person).expect("nobody's persons are equal");
        for (no, key) in keys.iter() {
            let owner = self.records.get_mut(key.owner as usize).ok_or("a key is nobody's")?;
            owner.had_key = true;
            if key.ended.is_none() {
                owner.keys.push(no);
            }
        }
        Ok(())
    }

    pub(crate) fn has(&self, no: PrincipalNo) -> bool {
        (no as usize) < self.records.len()
    }

    /// Whether these are numbers of persons, ascending.
    pub(crate) fn are_persons(&self, persons: &[PersonNo]) -> bool {
        persons.is_sorted_by(|one, other| one < other)
            && persons.last().is_none_or(|last| (*last as usize) < self.persons.len())
    }

    /// Counts an open request against those who made it.
    pub(crate) fn count_request(&mut self, persons: &[PersonNo]) {
        for person in persons {
            *self.open_requests.get_or_insert_with(person, || 0) += 1;
        }
    }

    /// Names of principals, by number.
    pub(crate) fn spellings(&self) -> &Names {
        &self.names
    }

    pub(crate) fn find(&self, name: &Principal) -> Option<PrincipalNo> {
        self.names.lookup(name.as_str())
    }

    /// A registered principal that has not departed.
    pub(crate) fn live(&self, name: &Principal) -> Option<PrincipalNo> {
        self.find(name).filter(|no| !self.record(*no).departed)
    }

    pub(crate) fn name(&self, no: PrincipalNo) -> &str {
        self.names.name(no)
    }

    pub(crate) fn principal(&self, no: PrincipalNo) -> Principal {
        Principal::new(self.names.name(no)).expect("INVARIANT: only parsed principals are registered")
    }

    pub(crate) fn record(&self, no: PrincipalNo) -> &PrincipalRecord {
        self.records.get(no as usize).expect("INVARIANT: every number has a record")
    }

    pub(crate) fn record_mut(&mut self, no: PrincipalNo) -> &mut PrincipalRecord {
        self.records.get_mut(no as usize).expect("INVARIANT: every number has a record")
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn find_person(&self, person: &Person) -> Option<PersonNo> {
        self.persons.lookup(person.as_str())
    }

    pub(crate) fn person_name(&self, no: PersonNo) -> &str {
        self.persons.name(no)
    }

    /// Whether a new person's name differs from a known one's in case only.
    pub(crate) fn is_person_twin(&self, person: &Person) -> bool {
        self.find_person(person).is_none()
            && !self.person_twins.find(person.as_str(), &self.persons).is_empty()
    }

    /// Principals ever registered whose names differ from `name` in case only, itself left out.
    pub(crate) fn twins(&self, name: &Principal) -> Vec<PrincipalNo> {
        self.twins.find(name.as_str(), &self.names)
    }

    /// Numbers of these persons, sorted, where all are known; none where one is new.
    pub(crate) fn known_persons<'a>(
        &self,
        persons: impl IntoIterator<Item = &'a Person>,
    ) -> Option<Vec<PersonNo>> {
        let mut numbers =
            persons.into_iter().map(|person| self.find_person(person)).collect::<Option<Vec<_>>>()?;
        numbers.sort_unstable();
        Some(numbers)
    }

    fn intern_persons<'a>(&mut self, persons: impl IntoIterator<Item = &'a Person>) -> Persons {
        let mut numbers: Vec<PersonNo> = persons
            .into_iter()
            .map(|person| {
                let known = self.persons.len();
                let no = self.persons.intern(person.as_str());
                if self.persons.len() > known {
                    self.person_twins.add(no, &self.persons);
                }
                no
            })
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.into()
    }

    pub(crate) fn register<'a>(
        &mut self,
        name: &Principal,
        kind: PrincipalKind,
        persons: impl IntoIterator<Item = &'a Person>,
    ) -> PrincipalNo {
        let persons = self.intern_persons(persons);
        let no = self.names.intern(name.as_str());
        self.twins.add(no, &self.names);
        for person in persons.iter() {
            self.by_person.insert((*person, no), ());
        }
        self.records.push(PrincipalRecord {
            kind: Stored(kind),
            persons,
            past: Vec::new(),
            keys: Vec::new(),
            had_key: false,
            departed: false,
        });
        no
    }

    pub(crate) fn change_persons<'a>(
        &mut self,
        no: PrincipalNo,
        persons: impl IntoIterator<Item = &'a Person>,
        at: Millis,
        forget_before: Millis,
    ) {
        let persons = self.intern_persons(persons);
        for person in self.record(no).persons.clone().iter() {
            self.by_person.remove(&(*person, no));
        }
        for person in persons.iter() {
            self.by_person.insert((*person, no), ());
        }
        let record = self.record_mut(no);
        let before = std::mem::replace(&mut record.persons, persons);
        record.past.retain(|(until, _)| *until >= forget_before);
        record.past.push((at, before));
    }

    /// Principals that share a person with `no`, itself included (entitlement separation of duties counts so).
    pub(crate) fn same_persons(&self, no: PrincipalNo) -> Vec<PrincipalNo> {
        let mut all: Vec<PrincipalNo> = vec![no];
        for person in self.record(no).persons.iter() {
            all.extend(self.by_person.range((*person, 0)..=(*person, u32::MAX)).map(|((_, no), ())| *no));
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = (PrincipalNo, &str)> {
        (0..).zip(self.names.iter())
    }
}

#[cfg(test)]
impl People {
    pub(crate) fn spoil_key(&mut self) {
        self.names = Names::new(HashKey([7; 16]));
    }

    pub(crate) fn spoil_persons(&mut self) {
        self.persons.intern("no person");
    }

    pub(crate) fn spoil_names(&mut self, spoil: impl FnOnce(HashKey, &Names) -> Names) {
        self.names = spoil(self.names.key(), &self.names);
    }
}

/// Distinguishes hash tables of one ledger from those of another; nothing is ever read in their order.
pub(crate) fn hash_key(genesis: &Hash) -> HashKey {
    let mut key = [0; 16];
    key.copy_from_slice(&genesis[..16]);
    HashKey(key)
}
