//! Capacities and delegations: who may decide or act, over what, and on whose authority.

use std::sync::Arc;

use countersign_core::event::{Capacity, Scope};
use countersign_core::id::{Pattern, Resource};
use serde::{Deserialize, Serialize};

use super::keyring::{KeyNo, Keyring};
use super::people::{People, PrincipalNo};
use super::state::MEMORY_MILLIS;
use super::stored::{Contradiction, FOREVER, Hash, Millis, Stored, sound};
use crate::cow::{HashKey, Names, OrdMap, OrdSet};

/// Deepest chain of delegations.
pub(crate) const MAX_DEPTH: u64 = 8;
/// Most capacities and delegations that a principal holds at once.
pub(crate) const MAX_RIGHTS: usize = 1_024;

/// An assignment, or a delegation made from one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Right {
    pub(crate) capacity: Stored<Capacity>,
    pub(crate) holder: PrincipalNo,
    pub(crate) scope: Arc<Stored<Scope>>,
    pub(crate) from: Millis,
    pub(crate) until: Millis,
    pub(crate) seq: u64,
    /// When it was withdrawn or ended with something else. It is kept a while for what was open then.
    pub(crate) ended_at: Option<Millis>,
    /// What a delegation rests on, and who made it.
    pub(crate) basis: Option<(Hash, PrincipalNo)>,
    /// How many further delegations may follow.
    pub(crate) depth: u64,
    /// The keys that signed it.
    pub(crate) signed_by: Vec<KeyNo>,
}

impl Right {
    /// Whether it stands and its window is open.
    pub(crate) fn is_open(&self, at: Millis) -> bool {
        self.ended_at.is_none() && self.from <= at && at < self.until
    }

    /// When nothing open can rest on it any more.
    fn forgotten_at(&self) -> Option<Millis> {
        let end = self.until.min(self.ended_at.unwrap_or(FOREVER));
        (end != FOREVER).then(|| end.saturating_add(MEMORY_MILLIS))
    }

    /// Whether it held at some moment from `since` to `at`.
    pub(crate) fn held_since(&self, since: Millis, at: Millis) -> bool {
        self.from <= at && self.until > since && self.ended_at.is_none_or(|ended| ended >= since)
    }
}

/// Every right that stands, and those that ended a short while ago.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rights {
    records: OrdMap<Hash, Right>,
    // All that follows is derived.
    #[serde(skip)]
    by_holder: OrdSet<(PrincipalNo, Hash)>,
    /// Those of `by_holder` that are delegations: few hold any, and whom a principal counts as is asked all the time.
    #[serde(skip)]
    delegated: OrdSet<(PrincipalNo, Hash)>,
    /// When each that has an end is forgotten.
    #[serde(skip)]
    due: OrdSet<(Millis, Hash)>,
    #[serde(skip)]
    patterns: Patterns,
}

/// Rights by the pattern that their scope is on.
#[derive(Debug, Clone, Default)]
struct Patterns {
    names: Names,
    rights: OrdSet<(u32, Hash)>,
}

/// Which number a pattern has says nothing.
impl PartialEq for Patterns {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Rights {
    pub(crate) fn new(key: HashKey) -> Self {
        Self {
            records: OrdMap::new(),
            by_holder: OrdSet::new(),
            delegated: OrdSet::new(),
            due: OrdSet::new(),
            patterns: Patterns { names: Names::new(key), rights: OrdSet::new() },
        }
    }

    /// Derives what reading leaves out, and checks the rest.
    pub(crate) fn index(
        &mut self,
        key: HashKey,
        people: &People,
        keys: &Keyring,
        size: u64,
    ) -> Result<(), Contradiction> {
        let mut rights = Self::new(key);
        for (id, right) in &self.records {
            let known = people.has(right.holder)
                && right.basis.is_none_or(|(_, delegator)| people.has(delegator))
                && right.signed_by.iter().all(|no| keys.has(*no));
            sound(known && right.seq < size, "a right is of somebody who is not there, or is yet to come")?;
            // Each rests on an earlier one: none on itself.
            let basis = right.basis.and_then(|(basis, _)| self.records.get(&basis));
            sound(
                basis.is_none_or(|basis| basis.seq < right.seq),
                "a right rests on one that came after it",
            )?;
            rights.find_by_all(*id, right);
        }
        *self = Self { records: std::mem::take(&mut self.records), ..rights };
        Ok(())
    }

    pub(crate) fn get(&self, id: &Hash) -> Option<&Right> {
        self.records.get(id)
    }

    pub(crate) fn insert(&mut self, id: Hash, right: Right) {
        self.find_by_all(id, &right);
        self.records.insert(id, right);
    }

    /// Lets a right be found by everything but its id.
    fn find_by_all(&mut self, id: Hash, right: &Right) {
        self.by_holder.insert((right.holder, id), ());
        if right.basis.is_some() {
            self.delegated.insert((right.holder, id), ());
        }
        if let Some(at) = right.forgotten_at() {
            self.due.insert((at, id), ());
        }
        let pattern = self.patterns.names.intern(right.scope.on.as_str());
        self.patterns.rights.insert((pattern, id), ());
    }

    /// Ends a right; it no longer counts, but is remembered.
    pub(crate) fn end(&mut self, id: &Hash, at: Millis) {
        if let Some(right) = self.records.get_mut(id) {
            let before = right.forgotten_at();
            right.ended_at.get_or_insert(at);
            let after = right.forgotten_at();
            if let Some(before) = before {
                self.due.remove(&(before, *id));
            }
            if let Some(after) = after {
                self.due.insert((after, *id), ());
            }
        }
    }

    /// Which right is forgotten next, and when.
    pub(crate) fn next_due(&self) -> Option<(Millis, Hash)> {
        self.due.first().map(|(due, ())| *due)
    }

    /// Forgets a right that nothing open can rest on any more.
    pub(crate) fn forget(&mut self, id: &Hash) {
        if let Some(right) = self.records.remove(id) {
            self.by_holder.remove(&(right.holder, *id));
            self.delegated.remove(&(right.holder, *id));
            if let Some(at) = right.forgotten_at() {
                self.due.remove(&(at, *id));
            }
            if let Some(pattern) = self.patterns.names.lookup(right.scope.on.as_str()) {
                self.patterns.rights.remove(&(pattern, *id));
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Hash, &Right)> {
        self.records.iter()
    }

    pub(crate) fn of(&self, holder: PrincipalNo) -> impl Iterator<Item = (&Hash, &Right)> {
        self.by_holder
            .range((holder, [0; 32])..=(holder, [0xff; 32]))
            .filter_map(|((_, id), ())| self.records.get(id).map(|right| (id, right)))
    }

    /// Delegations to a principal.
    pub(crate) fn delegated_to(&self, holder: PrincipalNo) -> impl Iterator<Item = &Right> {
        self.delegated
            .range((holder, [0; 32])..=(holder, [0xff; 32]))
            .filter_map(|((_, id), ())| self.records.get(id))
    }

    /// Rights whose scope is on exactly this pattern.
    pub(crate) fn on<'a>(&'a self, pattern: &Pattern) -> impl Iterator<Item = (&'a Hash, &'a Right)> + 'a {
        let pattern = self.patterns.names.lookup(pattern.as_str());
        pattern
            .into_iter()
            .flat_map(|pattern| self.patterns.rights.range((pattern, [0; 32])..=(pattern, [0xff; 32])))
            .filter_map(|((_, id), ())| self.records.get(id).map(|right| (id, right)))
    }

    /// Rights that could reach `resource` by name: on it, on a subtree above it, or on everything.
    pub(crate) fn naming<'a>(
        &'a self,
        resource: &Resource,
    ) -> impl Iterator<Item = (&'a Hash, &'a Right)> + 'a {
        let text = resource.as_str();
        let above = text.match_indices('/').map(|(at, _)| format!("{}/*", &text[..at]));
        let patterns: Vec<Pattern> = [text.to_owned(), "*".into()]
            .into_iter()
            .chain(above)
            .filter_map(|text| Pattern::new(&text).ok())
            .collect();
        patterns.into_iter().flat_map(move |pattern| self.on(&pattern).collect::<Vec<_>>())
    }
}

#[cfg(test)]
impl Rights {
    /// Changes the first right, and not what finds it.
    pub(crate) fn spoil(&mut self, spoil: impl FnOnce(&mut Right)) {
        let id = *self.records.iter().next().expect("a right").0;
        spoil(self.records.get_mut(&id).expect("that right"));
    }
}
