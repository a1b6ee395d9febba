//! What follows from the rest of a state, and is kept because it finds things.

use crate::cow::{Names, SlotIndex};

/// Something derived from the rest of a state: two states are equal when the rest is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Derived<T>(pub(crate) T);

impl<T> PartialEq for Derived<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// Finds, among interned names, those that are the same in lower case.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Twins(Derived<SlotIndex>);

impl Twins {
    /// The index of all `names`.
    pub(crate) fn of(names: &Names) -> Self {
        let hashes = (0..).zip(names.iter()).map(|(no, name)| (lower_hash(names, name), no));
        Self(Derived(SlotIndex::from_hashes(hashes)))
    }

    /// Adds the name with number `no`, which is new.
    pub(crate) fn add(&mut self, no: u32, names: &Names) {
        let hash_of = |no| lower_hash(names, names.name(no));
        self.0.0.insert(hash_of(no), no, hash_of);
    }

    /// The numbers, ascending, of all names that differ from `name` in case only; its own is not one.
    pub(crate) fn find(&self, name: &str, names: &Names) -> Vec<u32> {
        let is_twin = |no: &u32| {
            let other = names.name(*no);
            other != name && other.eq_ignore_ascii_case(name)
        };
        let candidates = self.0.0.candidates(lower_hash(names, name));
        let mut twins: Vec<u32> = candidates.map(|(no, ())| no).filter(is_twin).collect();
        twins.sort_unstable();
        twins
    }
}

fn lower_hash(names: &Names, name: &str) -> u64 {
    names.hash(&name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cow::HashKey;

    #[test]
    fn twins_are_found_however_the_index_was_made() {
        let mut names = Names::new(HashKey([3; 16]));
        let mut twins = Twins::default();
        for name in ["user:ann", "user:ANN", "user:bob", "User:Ann", "user:an"] {
            let no = names.intern(name);
            twins.add(no, &names);
        }
        for index in [twins, Twins::of(&names)] {
            assert_eq!(index.find("user:ann", &names), [1, 3]);
            assert_eq!(index.find("USER:ANN", &names), [0, 1, 3]);
            assert_eq!(index.find("user:bob", &names), [0; 0]);
            assert_eq!(index.find("user:new", &names), [0; 0]);
        }
    }
}
