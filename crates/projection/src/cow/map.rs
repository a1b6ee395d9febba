//! A sorted map, copied on write.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::ser::SerializeSeq as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A sorted map that clones in constant time; afterwards a change copies one leaf and the short lists above it.
///
/// A B+ tree: leaves of up to 1 KiB, and above them nodes of up to 64 children, so that the first change after a
/// clone copies one leaf and some 40 pointers a level: 3 levels at a million entries of 16 bytes, 4 at ten million. Keys and
/// values stand in the leaves themselves, which have no spare room, so an entry costs its size and about 2 bytes. A leaf is
/// written anew for each insertion or removal; keys inserted in ascending order fill the leaves.
pub struct OrdMap<K, V> {
    root: Node<K, V>,
    len: usize,
}

/// A sorted set; see [`OrdMap`]. Its methods take `()` where the map takes a value.
pub type OrdSet<K> = OrdMap<K, ()>;

// INVARIANT: all leaves are at the same depth, and only the root may be empty.
enum Node<K, V> {
    Leaf(Arc<[(K, V)]>),
    // INVARIANT: a separator is not above any key of its child, and above every key of the child before. (It need not be a
    // key: removals leave it as it is.)
    Inner(Arc<Children<K, V>>),
}

type Children<K, V> = Vec<(K, Node<K, V>)>;

/// What became too much for a node: its right half, and the separator of that.
type Split<K, V> = Option<(K, Node<K, V>)>;

impl<K, V> OrdMap<K, V> {
    /// Returns an empty map.
    pub fn new() -> Self {
        Self { root: Node::empty(), len: 0 }
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
        let mut node = &self.root;
        while let Node::Inner(children) = node {
            node = &children.first()?.1;
        }
        node.entries().first().map(|(key, value)| (key, value))
    }

    /// Returns the entry with the highest key.
    pub fn last(&self) -> Option<(&K, &V)> {
        let mut node = &self.root;
        while let Node::Inner(children) = node {
            node = &children.last()?.1;
        }
        node.entries().last().map(|(key, value)| (key, value))
    }

    /// Returns the entries by ascending key.
    pub fn iter(&self) -> Iter<'_, K, V> {
        let (first, first_leaf) = self.root.descend(Path::default(), 0, |_| 0);
        let (last, last_leaf) = self.root.descend(Path::default(), 0, |children| children.len() - 1);
        Iter::new(&self.root, (first, first_leaf), (last, last_leaf))
    }

    /// Returns the keys, ascending.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// Returns the values by ascending key.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }
}

impl<K: Ord, V> OrdMap<K, V> {
    /// Returns the value of `key`.
    pub fn get(&self, key: &K) -> Option<&V> {
        let mut node = &self.root;
        while let Node::Inner(children) = node {
            node = &children[child_of(children, key)].1;
        }
        let entries = node.entries();
        let (other, value) = entries.get(lower_bound(entries, |other| other < key))?;
        (other == key).then_some(value)
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
        let (first, from_first) = match range.start_bound() {
            Bound::Unbounded => self.root.descend(Path::default(), 0, |_| 0),
            Bound::Included(key) => self.root.split_at(key, |other| other < key).1,
            Bound::Excluded(key) => self.root.split_at(key, |other| other <= key).1,
        };
        let inside = |key: &K| match range.end_bound() {
            Bound::Unbounded => true,
            Bound::Included(end) => key <= end,
            Bound::Excluded(end) => key < end,
        };
        // Most ranges are short and end in the leaf they start in, which then is the only one looked at.
        if from_first.last().is_some_and(|(last, _)| !inside(last)) {
            let until_end = &from_first[..lower_bound(from_first, inside)];
            return Iter::new(&self.root, (first, until_end), (first, until_end));
        }
        let (last, to_last) = match range.end_bound() {
            Bound::Unbounded => self.root.descend(Path::default(), 0, |children| children.len() - 1),
            Bound::Included(key) | Bound::Excluded(key) => self.root.split_at(key, inside).0,
        };
        if last < first {
            return Iter::new(&self.root, (first, &[]), (first, &[]));
        }
        if last == first {
            return Iter::new(&self.root, (first, from_first), (first, from_first));
        }
        Iter::new(&self.root, (first, from_first), (last, to_last))
    }
}

impl<K: Ord + Clone, V: Clone> OrdMap<K, V> {
    /// Returns the value of `key` for changing. Copies what a clone still shares, if the key is there.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.get(key)?;
        let mut node = &mut self.root;
        loop {
            match node {
                Node::Leaf(entries) => {
                    let entry = lower_bound(entries, |other| other < key);
                    return Some(&mut Arc::make_mut(entries)[entry].1);
                }
                Node::Inner(children) => {
                    let child = child_of(children, key);
                    node = &mut Arc::make_mut(children)[child].1;
                }
            }
        }
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
        if let Some(old) = self.get_mut(&key) {
            return Some(std::mem::replace(old, value));
        }
        self.len += 1;
        if let Some(right) = self.root.insert(key, value, true) {
            let lowest = self.first().map_or_else(|| right.0.clone(), |(key, _)| key.clone());
            let left = std::mem::replace(&mut self.root, Node::empty());
            self.root = Node::Inner(Arc::new(vec![(lowest, left), right]));
        }
        None
    }

    /// Removes `key` and returns its value. Copies nothing if the key is not there.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let value = self.get(key)?.clone();
        self.root.remove(key);
        self.len -= 1;
        while let Node::Inner(children) = &mut self.root
            && children.len() < 2
        {
            self.root = Arc::make_mut(children).pop().map_or_else(Node::empty, |(_, child)| child);
        }
        Some(value)
    }

    /// Removes the entry with the lowest key.
    pub fn pop_first(&mut self) -> Option<(K, V)> {
        let key = self.first()?.0.clone();
        let value = self.remove(&key)?;
        Some((key, value))
    }

    /// Removes the entry with the highest key.
    pub fn pop_last(&mut self) -> Option<(K, V)> {
        let key = self.last()?.0.clone();
        let value = self.remove(&key)?;
        Some((key, value))
    }

    /// Returns a map of entries that come by ascending key, or `None` where they do not.
    pub fn from_ascending(entries: impl IntoIterator<Item = (K, V)>) -> Option<Self> {
        let mut leaves = Leaves::default();
        entries.into_iter().try_for_each(|entry| leaves.push(entry))?;
        Some(leaves.into_map())
    }

    /// Returns a map of entries that come in any order, or `None` where two have the same key.
    pub fn from_unsorted(entries: impl IntoIterator<Item = (K, V)>) -> Option<Self> {
        let mut entries: Vec<(K, V)> = entries.into_iter().collect();
        entries.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        Self::from_ascending(entries)
    }

    /// Returns a map of leaves already sorted by key, without equal keys.
    fn from_sorted(leaves: Vec<Arc<[(K, V)]>>, len: usize) -> Self {
        let mut level: Children<K, V> =
            leaves.into_iter().map(|leaf| (leaf[0].0.clone(), Node::Leaf(leaf))).collect();
        while level.len() > 1 {
            let mut above = Vec::with_capacity(level.len().div_ceil(CHILDREN));
            let mut below = level.into_iter().peekable();
            while let Some((separator, _)) = below.peek() {
                let separator = separator.clone();
                let children: Children<K, V> = below.by_ref().take(CHILDREN).collect();
                above.push((separator, Node::Inner(Arc::new(children))));
            }
            level = above;
        }
        Self { root: level.pop().map_or_else(Node::empty, |(_, root)| root), len }
    }
}

impl<K, V> Node<K, V> {
    /// Entries a leaf holds at most.
    const LEAF: usize = {
        let size = if size_of::<(K, V)>() == 0 { 1 } else { size_of::<(K, V)>() };
        let entries = LEAF_BYTES / size;
        if entries < 16 {
            16
        } else if entries > 128 {
            128
        } else {
            entries
        }
    };

    fn empty() -> Self {
        Self::Leaf(Arc::new([]))
    }

    /// Returns the entries of a leaf.
    fn entries(&self) -> &[(K, V)] {
        match self {
            Self::Leaf(entries) => entries,
            Self::Inner(_) => &[],
        }
    }

    /// Returns the number of entries or children, and the most there may be.
    fn fill(&self) -> (usize, usize) {
        match self {
            Self::Leaf(entries) => (entries.len(), Self::LEAF),
            Self::Inner(children) => (children.len(), CHILDREN),
        }
    }

    /// Follows `path` for its first `levels` levels, and what `choose` says below; returns the path of the leaf and the leaf.
    fn descend(
        &self,
        mut path: Path,
        levels: usize,
        choose: impl Fn(&Children<K, V>) -> usize,
    ) -> (Path, &[(K, V)]) {
        let (mut node, mut level) = (self, 0);
        while let Self::Inner(children) = node {
            if level >= levels {
                path[level] = u8::try_from(choose(children)).expect("a node has at most 64 children");
            }
            node = &children[usize::from(path[level])].1;
            level += 1;
        }
        (path, node.entries())
    }

    /// Returns the path of the leaf after the one at `path`, and that leaf.
    fn after(&self, mut path: Path) -> Option<(Path, &[(K, V)])> {
        let (mut node, mut level, mut turn) = (self, 0, None);
        while let Self::Inner(children) = node {
            if usize::from(path[level]) + 1 < children.len() {
                turn = Some(level);
            }
            node = &children[usize::from(path[level])].1;
            level += 1;
        }
        let turn = turn?;
        path[turn] += 1;
        Some(self.descend(path, turn + 1, |_| 0))
    }

    /// Returns the path of the leaf before the one at `path`, and that leaf.
    fn before(&self, mut path: Path) -> Option<(Path, &[(K, V)])> {
        let turn = path.iter().rposition(|child| *child > 0)?;
        path[turn] -= 1;
        Some(self.descend(path, turn + 1, |children| children.len() - 1))
    }
}

/// The path of a leaf and some of its entries.
type Part<'a, K, V> = (Path, &'a [(K, V)]);

impl<K: Ord, V> Node<K, V> {
    /// Returns the leaf where `key` belongs, in two parts: the entries whose keys are `below`, and the others.
    fn split_at(&self, key: &K, below: impl Fn(&K) -> bool) -> (Part<'_, K, V>, Part<'_, K, V>) {
        let (path, leaf) = self.descend(Path::default(), 0, |children| child_of(children, key));
        let (left, right) = leaf.split_at(lower_bound(leaf, below));
        ((path, left), (path, right))
    }
}

impl<K: Ord + Clone, V: Clone> Node<K, V> {
    /// Adds an entry whose key is not there. `last` tells that this node is the last of its level.
    fn insert(&mut self, key: K, value: V, last: bool) -> Split<K, V> {
        match self {
            Self::Leaf(entries) => {
                let at = lower_bound(entries, |other| *other < key);
                let entry = (key, value);
                if entries.len() < Self::LEAF {
                    *entries = with(entries, at, entry);
                    return None;
                }
                // After the highest key of all a new leaf begins and this one stays full. Anywhere else it is halved,
                // which guarantees that no other leaf is small unless removals made it so.
                if last && at == entries.len() {
                    return Some((entry.0.clone(), Self::Leaf(Arc::new([entry]))));
                }
                let (left, right) = entries.split_at(entries.len() / 2);
                let (left, right) = match at.checked_sub(left.len()) {
                    None | Some(0) => (with(left, at, entry), Arc::from(right)),
                    Some(at) => (Arc::from(left), with(right, at, entry)),
                };
                *entries = left;
                Some((right[0].0.clone(), Self::Leaf(right)))
            }
            Self::Inner(children) => {
                let children = Arc::make_mut(children);
                let at = child_of(children, &key);
                let last_child = last && at + 1 == children.len();
                let (separator, child) = &mut children[at];
                if key < *separator {
                    separator.clone_from(&key);
                }
                let right = child.insert(key, value, last_child)?;
                children.insert(at + 1, right);
                if children.len() <= CHILDREN {
                    return None;
                }
                let right = children.split_off(if last_child { CHILDREN } else { CHILDREN / 2 });
                Some((right[0].0.clone(), Self::Inner(Arc::new(right))))
            }
        }
    }

    /// Removes `key`, which is there.
    fn remove(&mut self, key: &K) {
        match self {
            Self::Leaf(entries) => {
                let at = lower_bound(entries, |other| other < key);
                *entries = entries[..at].iter().chain(&entries[at + 1..]).cloned().collect();
            }
            Self::Inner(children) => {
                let at = child_of(children, key);
                let children = Arc::make_mut(children);
                children[at].1.remove(key);
                let (fill, full) = children[at].1.fill();
                if fill == 0 {
                    children.remove(at);
                } else if fill < full / 2 {
                    join_small(children, at);
                }
            }
        }
    }
}

/// Joins the child at `at` with a neighbour, if both together are well below full.
fn join_small<K: Clone, V: Clone>(children: &mut Children<K, V>, at: usize) {
    let (fill, full) = children[at].1.fill();
    let fits =
        |other: usize| children.get(other).is_some_and(|(_, other)| fill + other.fill().0 <= full / 4 * 3);
    let left = if fits(at + 1) {
        at
    } else if at > 0 && fits(at - 1) {
        at - 1
    } else {
        return;
    };
    let (_, right) = children.remove(left + 1);
    match (&mut children[left].1, right) {
        (Node::Leaf(left), Node::Leaf(right)) => *left = left.iter().chain(right.iter()).cloned().collect(),
        (Node::Inner(left), Node::Inner(right)) => Arc::make_mut(left).extend_from_slice(&right),
        (Node::Leaf(_), Node::Inner(_)) | (Node::Inner(_), Node::Leaf(_)) => {
            unreachable!("neighbours have the same depth")
        }
    }
}

/// Returns `entries` with `entry` inserted at `at`.
fn with<E: Clone>(entries: &[E], at: usize, entry: E) -> Arc<[E]> {
    let (before, after) = entries.split_at(at);
    before.iter().cloned().chain(std::iter::once(entry)).chain(after.iter().cloned()).collect()
}

/// Returns the child whose keys include `key`, if any does: the last whose separator is not above it, or else the first.
fn child_of<K: Ord, V>(children: &Children<K, V>, key: &K) -> usize {
    children.partition_point(|(separator, _)| separator <= key).saturating_sub(1)
}

/// Returns the first place in a leaf whose key is not `below`.
///
/// Not a binary search: its steps wait for each other, and in a leaf that is not in the processor's cache each costs a
/// load from memory. Here a sample of keys is loaded at once, and then the keys between two of them.
fn lower_bound<K, V>(leaf: &[(K, V)], below: impl Fn(&K) -> bool) -> usize {
    let samples = leaf.iter().skip(SAMPLE - 1).step_by(SAMPLE);
    let start = samples.filter(|(key, _)| below(key)).count() * SAMPLE;
    let end = leaf.len().min(start + SAMPLE);
    start + leaf[start..end].iter().filter(|(key, _)| below(key)).count()
}

#[cfg(test)]
impl<K: Ord, V> OrdMap<K, V> {
    pub(super) fn leaf_count(&self) -> usize {
        self.root.leaf_count()
    }

    pub(super) fn assert_invariants(&self) {
        if !self.is_empty() {
            self.root.assert_invariants(None, None);
        }
        assert_eq!(self.iter().count(), self.len);
        assert!(self.keys().is_sorted_by(|a, b| a < b));
    }
}

#[cfg(test)]
impl<K: Ord, V> Node<K, V> {
    fn leaf_count(&self) -> usize {
        match self {
            Self::Leaf(_) => 1,
            Self::Inner(children) => children.iter().map(|(_, child)| child.leaf_count()).sum(),
        }
    }

    /// Returns the depth; all keys must be from `low` on and below `high`.
    fn assert_invariants(&self, low: Option<&K>, high: Option<&K>) -> usize {
        let (fill, full) = self.fill();
        assert!(fill > 0 && fill <= full);
        match self {
            Self::Leaf(entries) => {
                assert!(low.is_none_or(|low| *low <= entries[0].0));
                assert!(high.is_none_or(|high| entries[fill - 1].0 < *high));
                0
            }
            Self::Inner(children) => {
                let depths = (0..fill).map(|at| {
                    let high = children.get(at + 1).map(|(separator, _)| separator).or(high);
                    children[at].1.assert_invariants(Some(&children[at].0), high)
                });
                let depths: Vec<usize> = depths.collect();
                assert!(depths.iter().all(|depth| *depth == depths[0]));
                depths[0] + 1
            }
        }
    }
}

impl<K, V> Clone for Node<K, V> {
    fn clone(&self) -> Self {
        match self {
            Self::Leaf(entries) => Self::Leaf(Arc::clone(entries)),
            Self::Inner(children) => Self::Inner(Arc::clone(children)),
        }
    }
}

impl<K, V> Clone for OrdMap<K, V> {
    fn clone(&self) -> Self {
        Self { root: self.root.clone(), len: self.len }
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
                let mut leaves = Leaves::default();
                while let Some(entry) = seq.next_element::<(K, V)>()? {
                    leaves.push(entry).ok_or_else(|| A::Error::custom("keys are not ascending"))?;
                }
                Ok(leaves.into_map())
            }
        }

        deserializer.deserialize_seq(Entries(PhantomData))
    }
}

/// Full leaves, and the last one under construction.
struct Leaves<K, V> {
    full: Vec<Arc<[(K, V)]>>,
    last: Vec<(K, V)>,
    len: usize,
}

impl<K, V> Default for Leaves<K, V> {
    fn default() -> Self {
        Self { full: Vec::new(), last: Vec::new(), len: 0 }
    }
}

impl<K: Ord + Clone, V: Clone> Leaves<K, V> {
    /// Appends an entry; `None` where its key is not above the one before.
    fn push(&mut self, entry: (K, V)) -> Option<()> {
        if self.last.last().is_some_and(|(last, _)| *last >= entry.0) {
            return None;
        }
        // Only now, so that the next key always finds the one before it.
        if self.last.len() == Node::<K, V>::LEAF {
            self.full.push(Arc::from(self.last.as_slice()));
            self.last.clear();
        }
        self.last.push(entry);
        self.len += 1;
        Some(())
    }

    fn into_map(mut self) -> OrdMap<K, V> {
        if !self.last.is_empty() {
            self.full.push(Arc::from(self.last));
        }
        OrdMap::from_sorted(self.full, self.len)
    }
}

/// The entries of an [`OrdMap`], or of a range of it, by ascending key.
pub struct Iter<'a, K, V> {
    root: &'a Node<K, V>,
    // INVARIANT: while both are in the same leaf, `front` holds all that is left and `back` nothing.
    front_path: Path,
    front: std::slice::Iter<'a, (K, V)>,
    back_path: Path,
    back: std::slice::Iter<'a, (K, V)>,
}

impl<'a, K, V> Iter<'a, K, V> {
    /// Returns what is left from one part to another; if both are in the same leaf, the first part is all of it.
    fn new(root: &'a Node<K, V>, front: Part<'a, K, V>, back: Part<'a, K, V>) -> Self {
        let back_entries = if front.0 == back.0 { &[] } else { back.1 };
        Self {
            root,
            front_path: front.0,
            front: front.1.iter(),
            back_path: back.0,
            back: back_entries.iter(),
        }
    }
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((key, value)) = self.front.next() {
                return Some((key, value));
            }
            if self.front_path == self.back_path {
                return None;
            }
            let (path, leaf) = self.root.after(self.front_path)?;
            self.front_path = path;
            self.front = if path == self.back_path { std::mem::take(&mut self.back) } else { leaf.iter() };
        }
    }
}

impl<K, V> DoubleEndedIterator for Iter<'_, K, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        while self.front_path != self.back_path {
            if let Some((key, value)) = self.back.next_back() {
                return Some((key, value));
            }
            let (path, leaf) = self.root.before(self.back_path)?;
            self.back_path = path;
            if path != self.front_path {
                self.back = leaf.iter();
            }
        }
        let (key, value) = self.front.next_back()?;
        Some((key, value))
    }
}

/// The way from the root to a leaf: which child at each level, 0 below the leaf. Paths order as their leaves do.
///
/// Eight levels are never needed: of two neighbours, unless at the right edge, at least three eighths are full.
type Path = [u8; 8];

/// Size of a leaf in bytes, at most: small enough to copy in a few dozen nanoseconds, large enough to make the reference
/// counts and lengths around it small beside it.
const LEAF_BYTES: usize = 1024;

/// Children a node holds at most.
const CHILDREN: usize = 64;

/// Distance of the keys that are compared first when a leaf is searched.
const SAMPLE: usize = 8;
