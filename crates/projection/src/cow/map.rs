//! A sorted map, copied on write.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::ser::SerializeSeq as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A sorted map that clones in constant time; afterwards a change copies one leaf and the two lists above it.
///
/// A B+ tree of fixed height 3: leaves of about 2 KiB, branches of up to 256 leaves, and the list of branches, which at
/// 10 million entries of 16 bytes has some 300 to 700. Keys and values stand in the leaves themselves, so entries should
/// be small; an entry then costs its size and about a tenth (16 to 18 bytes for 16). Keys inserted in ascending order
/// fill the leaves.
pub struct OrdMap<K, V> {
    // INVARIANT: no leaf or branch is empty. A separator is not above any key of its child, and above every key of the
    // child before. (It need not be a key: removals leave it as it is.)
    branches: Arc<Vec<(K, Branch<K, V>)>>,
    len: usize,
}

/// A sorted set; see [`OrdMap`]. Its methods take `()` where the map takes a value.
pub type OrdSet<K> = OrdMap<K, ()>;

type Branch<K, V> = Arc<Vec<(K, Leaf<K, V>)>>;
type Leaf<K, V> = Arc<Vec<(K, V)>>;

impl<K, V> OrdMap<K, V> {
    /// Entries a leaf holds at most.
    const LEAF: usize = {
        let size = if size_of::<(K, V)>() == 0 { 1 } else { size_of::<(K, V)>() };
        let entries = LEAF_BYTES / size;
        if entries < 16 {
            16
        } else if entries > 256 {
            256
        } else {
            entries
        }
    };

    /// Room added to a full leaf: a leaf's spare room is less than this.
    const STEP: usize = Self::LEAF / 8;

    /// Returns an empty map.
    pub fn new() -> Self {
        Self { branches: Arc::default(), len: 0 }
    }

    /// Returns the number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the entry with the lowest key.
    pub fn first(&self) -> Option<(&K, &V)> {
        let (key, value) = self.branches.first()?.1.first()?.1.first()?;
        Some((key, value))
    }

    /// Returns the entry with the highest key.
    pub fn last(&self) -> Option<(&K, &V)> {
        let (key, value) = self.branches.last()?.1.last()?.1.last()?;
        Some((key, value))
    }

    /// Returns the entries by ascending key.
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter { branches: &self.branches, front: Position::default(), back: self.end() }
    }

    /// Returns the keys, ascending.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// Returns the values by ascending key.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    fn end(&self) -> Position {
        Position { branch: self.branches.len(), leaf: 0, entry: 0 }
    }
}

impl<K: Ord, V> OrdMap<K, V> {
    /// Returns the value of `key`.
    pub fn get(&self, key: &K) -> Option<&V> {
        let (_, branch) = self.branches.get(child_of(&self.branches, key))?;
        let (_, leaf) = branch.get(child_of(branch, key))?;
        let entry = leaf.binary_search_by(|(other, _)| other.cmp(key)).ok()?;
        Some(&leaf[entry].1)
    }

    /// Returns whether `key` has a value.
    pub fn contains(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// Returns the entries whose keys lie in `range`, by ascending key; none if it ends before it starts.
    ///
    /// With keys that are tuples, all that share their first parts are a range:
    /// `map.range((subject, 0, 0)..=(subject, u32::MAX, u32::MAX))`.
    pub fn range(&self, range: impl RangeBounds<K>) -> Iter<'_, K, V> {
        let front = match range.start_bound() {
            Bound::Unbounded => Position::default(),
            Bound::Included(key) => self.position(key, |other| other < key),
            Bound::Excluded(key) => self.position(key, |other| other <= key),
        };
        let back = match range.end_bound() {
            Bound::Unbounded => self.end(),
            Bound::Included(key) => self.position(key, |other| other <= key),
            Bound::Excluded(key) => self.position(key, |other| other < key),
        };
        Iter { branches: &self.branches, front, back }
    }

    /// Returns the first position, in the leaf where `key` belongs or after it, whose key is not `below`.
    fn position(&self, key: &K, below: impl Fn(&K) -> bool) -> Position {
        if self.is_empty() {
            return Position::default();
        }
        let branch = child_of(&self.branches, key);
        let leaves = &self.branches[branch].1;
        let leaf = child_of(leaves, key);
        let entry = leaves[leaf].1.partition_point(|(other, _)| below(other));
        Position { branch, leaf, entry }.normalized(&self.branches)
    }
}

impl<K: Ord + Clone, V: Clone> OrdMap<K, V> {
    /// Returns the value of `key` for changing. Copies what a clone still shares, if the key is there.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let (branch, leaf, entry) = self.find(key)?;
        let leaves = Arc::make_mut(&mut Arc::make_mut(&mut self.branches)[branch].1);
        Some(&mut Arc::make_mut(&mut leaves[leaf].1)[entry].1)
    }

    /// Returns the value of `key` for changing, after giving it the value of `default` if it had none.
    pub fn get_or_insert_with(&mut self, key: &K, default: impl FnOnce() -> V) -> &mut V {
        if !self.contains(key) {
            self.insert(key.clone(), default());
        }
        self.get_mut(key).expect("the key is there")
    }

    /// Sets the value of `key` and returns the one it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let branches = Arc::make_mut(&mut self.branches);
        if branches.is_empty() {
            let leaf = Arc::new(vec![(key.clone(), value)]);
            branches.push((key.clone(), Arc::new(vec![(key, leaf)])));
            self.len = 1;
            return None;
        }
        let at_branch = child_of(branches, &key);
        let last_branch = at_branch + 1 == branches.len();
        let (separator, branch) = &mut branches[at_branch];
        lower(separator, &key);
        let leaves = Arc::make_mut(branch);
        let at_leaf = child_of(leaves, &key);
        let last_leaf = last_branch && at_leaf + 1 == leaves.len();
        let (separator, leaf) = &mut leaves[at_leaf];
        lower(separator, &key);
        let entry = match leaf.binary_search_by(|(other, _)| other.cmp(&key)) {
            Ok(entry) => return Some(std::mem::replace(&mut Arc::make_mut(leaf)[entry].1, value)),
            Err(entry) => entry,
        };
        self.len += 1;
        if leaf.len() < Self::LEAF {
            insert_at(leaf, entry, (key, value), Self::STEP);
            return None;
        }
        // A full leaf. After the highest key of all a new leaf begins and this one stays full; anywhere else it is
        // halved, which guarantees that no other leaf is small unless removals made it so.
        if last_leaf && entry == leaf.len() {
            leaves.push((key.clone(), Arc::new(vec![(key, value)])));
        } else {
            let half = leaf.len() / 2;
            let mut right = Arc::new(leaf[half..].to_vec());
            match Arc::get_mut(leaf) {
                Some(left) => {
                    left.truncate(half);
                    left.shrink_to(half + Self::STEP);
                }
                None => *leaf = Arc::new(leaf[..half].to_vec()),
            }
            if entry <= half {
                insert_at(leaf, entry, (key, value), Self::STEP);
            } else {
                insert_at(&mut right, entry - half, (key, value), Self::STEP);
            }
            leaves.insert(at_leaf + 1, (right[0].0.clone(), right));
        }
        if leaves.len() > BRANCH {
            let half = if last_leaf { BRANCH } else { BRANCH / 2 };
            let right = leaves.split_off(half);
            leaves.shrink_to_fit();
            branches.insert(at_branch + 1, (right[0].0.clone(), Arc::new(right)));
        }
        None
    }

    /// Removes `key` and returns its value. Copies nothing if the key is not there.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let (branch, leaf, entry) = self.find(key)?;
        Some(self.remove_at(branch, leaf, entry).1)
    }

    /// Removes the entry with the lowest key.
    pub fn pop_first(&mut self) -> Option<(K, V)> {
        if self.is_empty() { None } else { Some(self.remove_at(0, 0, 0)) }
    }

    /// Removes the entry with the highest key.
    pub fn pop_last(&mut self) -> Option<(K, V)> {
        let branch = self.branches.len().checked_sub(1)?;
        let leaves = &self.branches[branch].1;
        let leaf = leaves.len() - 1;
        let entry = leaves[leaf].1.len() - 1;
        Some(self.remove_at(branch, leaf, entry))
    }

    fn find(&self, key: &K) -> Option<(usize, usize, usize)> {
        let branch = child_of(&self.branches, key);
        let leaves = &self.branches.get(branch)?.1;
        let leaf = child_of(leaves, key);
        let entry = leaves.get(leaf)?.1.binary_search_by(|(other, _)| other.cmp(key)).ok()?;
        Some((branch, leaf, entry))
    }

    fn remove_at(&mut self, at_branch: usize, at_leaf: usize, entry: usize) -> (K, V) {
        self.len -= 1;
        let branches = Arc::make_mut(&mut self.branches);
        let leaves = Arc::make_mut(&mut branches[at_branch].1);
        let leaf = Arc::make_mut(&mut leaves[at_leaf].1);
        let removed = leaf.remove(entry);
        if leaf.capacity() - leaf.len() > 2 * Self::STEP {
            leaf.shrink_to(leaf.len() + Self::STEP);
        }
        if leaf.len() < Self::LEAF / 4 {
            merge_small(leaves, at_leaf, Self::LEAF);
            if leaves.len() < BRANCH / 4 {
                merge_small(branches, at_branch, BRANCH);
            }
        }
        removed
    }
}

#[cfg(test)]
impl<K: Ord, V> OrdMap<K, V> {
    pub(super) fn leaf_count(&self) -> usize {
        self.branches.iter().map(|(_, leaves)| leaves.len()).sum()
    }

    pub(super) fn assert_invariants(&self) {
        assert!(self.branches.iter().is_sorted_by(|(a, _), (b, _)| a < b));
        let mut last: Option<&K> = None;
        for (branch_separator, leaves) in self.branches.iter() {
            assert!(!leaves.is_empty() && leaves.len() <= BRANCH);
            assert!(last.is_none_or(|last| last < branch_separator));
            assert!(*branch_separator <= leaves[0].1[0].0);
            for (separator, leaf) in leaves.iter() {
                assert!(!leaf.is_empty() && leaf.len() <= Self::LEAF);
                assert!(leaf.capacity() - leaf.len() <= 2 * Self::STEP);
                assert!(last.is_none_or(|last| last < separator));
                assert!(*separator <= leaf[0].0);
                assert!(leaf.is_sorted_by(|(a, _), (b, _)| a < b));
                last = leaf.last().map(|(key, _)| key);
            }
        }
        assert_eq!(self.iter().count(), self.len);
    }
}

/// Returns the child whose keys include `key`, if any does: the last whose separator is not above it, or else the first.
fn child_of<K: Ord, C>(children: &[(K, C)], key: &K) -> usize {
    children.partition_point(|(separator, _)| separator <= key).saturating_sub(1)
}

/// Keeps the separator of the first child not above its keys.
fn lower<K: Ord + Clone>(separator: &mut K, key: &K) {
    if *key < *separator {
        separator.clone_from(key);
    }
}

fn insert_at<E: Clone>(leaf: &mut Arc<Vec<E>>, at: usize, entry: E, step: usize) {
    if let Some(own) = Arc::get_mut(leaf) {
        if own.len() == own.capacity() {
            own.reserve_exact(step);
        }
        own.insert(at, entry);
        return;
    }
    let mut copy = Vec::with_capacity(leaf.len() + step);
    copy.extend_from_slice(&leaf[..at]);
    copy.push(entry);
    copy.extend_from_slice(&leaf[at..]);
    *leaf = Arc::new(copy);
}

/// Drops the child at `at` if it is empty; else joins it with a neighbour if both together are well below `full`.
fn merge_small<K, E: Clone>(children: &mut Vec<(K, Arc<Vec<E>>)>, at: usize, full: usize) {
    let size = children[at].1.len();
    if size == 0 {
        children.remove(at);
        return;
    }
    let fits =
        |other: usize| children.get(other).is_some_and(|(_, other)| size + other.len() <= full / 4 * 3);
    let left = if fits(at + 1) {
        at
    } else if at > 0 && fits(at - 1) {
        at - 1
    } else {
        return;
    };
    let (_, right) = children.remove(left + 1);
    let left = Arc::make_mut(&mut children[left].1);
    left.reserve_exact(right.len());
    left.extend_from_slice(&right);
}

impl<K, V> Clone for OrdMap<K, V> {
    fn clone(&self) -> Self {
        Self { branches: Arc::clone(&self.branches), len: self.len }
    }
}

impl<K, V> Default for OrdMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for OrdMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl<K: Eq, V: Eq> Eq for OrdMap<K, V> {}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for OrdMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Ord + Clone, V: Clone> Extend<(K, V)> for OrdMap<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}

impl<K: Ord + Clone, V: Clone> FromIterator<(K, V)> for OrdMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::new();
        map.extend(entries);
        map
    }
}

impl<'a, K, V> IntoIterator for &'a OrdMap<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Iter<'a, K, V> {
        self.iter()
    }
}

/// As the sequence of its entries by ascending key.
impl<K: Serialize, V: Serialize> Serialize for OrdMap<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.len))?;
        for entry in self {
            seq.serialize_element(&entry)?;
        }
        seq.end()
    }
}

impl<'de, K, V> Deserialize<'de> for OrdMap<K, V>
where
    K: Ord + Clone + Deserialize<'de>,
    V: Clone + Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<K, V>(PhantomData<(K, V)>);

        impl<'de, K, V> Visitor<'de> for Entries<K, V>
        where
            K: Ord + Clone + Deserialize<'de>,
            V: Clone + Deserialize<'de>,
        {
            type Value = OrdMap<K, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a sequence of entries by ascending key")
            }

            // The claimed length is not used: memory grows only with entries actually read.
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut map = OrdMap::new();
                while let Some((key, value)) = seq.next_element::<(K, V)>()? {
                    if map.last().is_some_and(|(last, _)| *last >= key) {
                        return Err(A::Error::custom("keys are not ascending"));
                    }
                    map.insert(key, value);
                }
                Ok(map)
            }
        }

        deserializer.deserialize_seq(Entries(PhantomData))
    }
}

/// The entries of an [`OrdMap`], or of a range of it, by ascending key.
pub struct Iter<'a, K, V> {
    branches: &'a [(K, Branch<K, V>)],
    front: Position,
    back: Position,
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        if self.front >= self.back {
            return None;
        }
        let (key, value) = self.front.entry(self.branches);
        self.front.entry += 1;
        self.front = self.front.normalized(self.branches);
        Some((key, value))
    }
}

impl<K, V> DoubleEndedIterator for Iter<'_, K, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.front >= self.back {
            return None;
        }
        self.back = self.back.before(self.branches);
        let (key, value) = self.back.entry(self.branches);
        Some((key, value))
    }
}

/// A place in the tree. Normalized, it is that of an entry, or the end: one past the last branch.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    branch: usize,
    leaf: usize,
    entry: usize,
}

impl Position {
    fn entry<'a, K, V>(&self, branches: &'a [(K, Branch<K, V>)]) -> &'a (K, V) {
        &branches[self.branch].1[self.leaf].1[self.entry]
    }

    /// Moves from one past the end of a leaf to the start of the next.
    fn normalized<K, V>(mut self, branches: &[(K, Branch<K, V>)]) -> Self {
        let leaves = &branches[self.branch].1;
        if self.entry == leaves[self.leaf].1.len() {
            self.entry = 0;
            self.leaf += 1;
            if self.leaf == leaves.len() {
                self.leaf = 0;
                self.branch += 1;
            }
        }
        self
    }

    /// Returns the place before; there must be one.
    fn before<K, V>(mut self, branches: &[(K, Branch<K, V>)]) -> Self {
        if self.entry == 0 {
            if self.leaf == 0 {
                self.branch -= 1;
                self.leaf = branches[self.branch].1.len();
            }
            self.leaf -= 1;
            self.entry = branches[self.branch].1[self.leaf].1.len();
        }
        self.entry -= 1;
        self
    }
}

/// Size of a leaf in bytes, about: small enough to copy in a tenth of a microsecond, large enough to make the reference
/// counts and lengths around it negligible.
const LEAF_BYTES: usize = 2048;

/// Leaves a branch holds at most.
const BRANCH: usize = 256;
