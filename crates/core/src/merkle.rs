//! The Merkle tree over a ledger's entries (RFC 6962 section 2.1, the same in RFC 9162): roots, proofs and their verification.
//!
//! [`CompactRange`] keeps just enough to append and to tell the root; [`Tree`] keeps every hash and makes proofs for any
//! earlier size. Proofs are plain data that anyone may hand over: only `verify` gives them meaning.
//!
//! ```
//! use countersign_core::merkle::{Tree, leaf_hash};
//!
//! let tree: Tree = ["a", "b", "c"].iter().map(|entry| leaf_hash(entry.as_bytes())).collect();
//! let proof = tree.prove_inclusion(1, tree.size())?;
//! assert!(proof.verify(leaf_hash(b"b"), tree.root()).is_ok());
//! assert!(proof.verify(leaf_hash(b"x"), tree.root()).is_err());
//!
//! let grown = tree.prove_consistency(2, 3)?;
//! assert!(grown.verify(tree.root_at(2)?, tree.root()).is_ok());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::digest::{LeafHash, NodeHash, sha256};

/// The root of the tree without leaves: SHA-256 of nothing.
pub const EMPTY_ROOT: NodeHash = NodeHash::new([
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27,
    0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
]);

/// The most leaves a tree may have, 2^63 - 1: the largest size that every checkpoint reader can hold, and no proof has more
/// than [`MAX_PATH_LEN`] hashes.
pub const MAX_SIZE: u64 = (1 << 63) - 1;

/// The most hashes a proof may have (C2SP tlog-witness).
pub const MAX_PATH_LEN: usize = 63;

/// The leaf hash of an entry, SHA-256(0x00 || entry): its leaf in the tree and its link in the chain.
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> LeafHash {
    LeafHash::new(sha256(&[&[0], entry]))
}

/// The hash of an inner node, SHA-256(0x01 || left || right).
#[must_use]
pub fn node_hash(left: NodeHash, right: NodeHash) -> NodeHash {
    NodeHash::new(sha256(&[&[1], left.as_bytes(), right.as_bytes()]))
}

/// A growing tree reduced to the roots of its largest full subtrees: at most 64 hashes, whatever its size.
///
/// Appending costs two hashes on average, the root at most 63, a clone one small allocation. It is written and read back as
/// [`CompactRange::size`] and [`CompactRange::nodes`].
///
/// ```
/// use countersign_core::merkle::{CompactRange, EMPTY_ROOT, leaf_hash};
///
/// let mut range = CompactRange::new();
/// assert_eq!(range.root(), EMPTY_ROOT);
/// range.push(leaf_hash(b"first"));
/// range.push(leaf_hash(b"second"));
/// let again = CompactRange::from_parts(range.size(), range.nodes().to_vec())?;
/// assert_eq!(again.root(), range.root());
/// # Ok::<(), countersign_core::merkle::PartsError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CompactRange {
    size: u64,
    // INVARIANT: one root for each bit set in `size`, the largest subtree first.
    nodes: Vec<NodeHash>,
}

impl CompactRange {
    /// The tree without leaves.
    #[must_use]
    pub const fn new() -> Self {
        Self { size: 0, nodes: Vec::new() }
    }

    /// The tree whose size and subtree roots were kept. That they belong together is not checked, only that they can.
    ///
    /// # Errors
    /// [`PartsError`] if there is not one node for each bit set in `size`, or `size` is above [`MAX_SIZE`].
    pub fn from_parts(size: u64, nodes: Vec<NodeHash>) -> Result<Self, PartsError> {
        if size > MAX_SIZE {
            return Err(PartsError::Size { size });
        }
        let expected = size.count_ones() as usize;
        if nodes.len() != expected {
            return Err(PartsError::Nodes { expected, found: nodes.len() });
        }
        Ok(Self { size, nodes })
    }

    /// How many leaves there are.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the full subtrees that make up the tree, the largest and leftmost first.
    #[must_use]
    pub fn nodes(&self) -> &[NodeHash] {
        &self.nodes
    }

    /// Appends a leaf.
    pub fn push(&mut self, leaf: LeafHash) {
        let mut node = as_node(leaf);
        for _ in 0..self.size.trailing_ones() {
            let left = self.nodes.pop().expect("each bit set in the size has a node");
            node = node_hash(left, node);
        }
        self.nodes.push(node);
        self.size += 1;
    }

    /// The root over all leaves so far; [`EMPTY_ROOT`] over none.
    #[must_use]
    pub fn root(&self) -> NodeHash {
        let right_to_left = self.nodes.iter().rev().copied();
        right_to_left.reduce(|right, left| node_hash(left, right)).unwrap_or(EMPTY_ROOT)
    }
}

impl Extend<LeafHash> for CompactRange {
    fn extend<I: IntoIterator<Item = LeafHash>>(&mut self, leaves: I) {
        leaves.into_iter().for_each(|leaf| self.push(leaf));
    }
}

impl FromIterator<LeafHash> for CompactRange {
    fn from_iter<I: IntoIterator<Item = LeafHash>>(leaves: I) -> Self {
        let mut range = Self::new();
        range.extend(leaves);
        range
    }
}

/// A tree that keeps the hash of every full subtree, so that it proves anything about any size it has had.
///
/// Takes 64 bytes a leaf; every proof costs a logarithmic number of hashes.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    // INVARIANT: `levels[l][i]` is the root of leaves i * 2^l .. (i + 1) * 2^l, and there is one for each full such range.
    levels: Vec<Vec<NodeHash>>,
}

impl Tree {
    /// The tree without leaves.
    #[must_use]
    pub const fn new() -> Self {
        Self { levels: Vec::new() }
    }

    /// How many leaves there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u64)
    }

    /// Appends a leaf.
    pub fn push(&mut self, leaf: LeafHash) {
        let mut node = as_node(leaf);
        for level in 0.. {
            if level == self.levels.len() {
                self.levels.push(Vec::new());
            }
            let nodes = &mut self.levels[level];
            nodes.push(node);
            if nodes.len() % 2 == 1 {
                return;
            }
            node = node_hash(nodes[nodes.len() - 2], node);
        }
    }

    /// The hash of leaf `index`, counted from 0.
    #[must_use]
    pub fn leaf(&self, index: u64) -> Option<LeafHash> {
        self.node(0, index).map(|node| LeafHash::new(*node.as_bytes()))
    }

    /// The root of the full subtree over leaves `index * 2^level .. (index + 1) * 2^level`, once they are all there.
    #[must_use]
    pub fn node(&self, level: usize, index: u64) -> Option<NodeHash> {
        self.levels.get(level)?.get(usize::try_from(index).ok()?).copied()
    }

    /// The root over all leaves.
    #[must_use]
    pub fn root(&self) -> NodeHash {
        self.range_root(0, self.size())
    }

    /// The root over the first `size` leaves.
    ///
    /// # Errors
    /// [`ProveError::Size`] if there are fewer.
    pub fn root_at(&self, size: u64) -> Result<NodeHash, ProveError> {
        self.check_size(size)?;
        Ok(self.range_root(0, size))
    }

    /// The proof that leaf `index` is in the tree over the first `size` leaves.
    ///
    /// # Errors
    /// [`ProveError::Size`] if there are fewer leaves, [`ProveError::Index`] if `index` is not below `size`.
    pub fn prove_inclusion(&self, index: u64, size: u64) -> Result<InclusionProof, ProveError> {
        self.check_size(size)?;
        if index >= size {
            return Err(ProveError::Index { index, size });
        }
        let mut path = Vec::new();
        let (mut start, mut end) = (0, size);
        while end - start > 1 {
            let middle = start + split(end - start);
            if index < middle {
                path.push(self.range_root(middle, end));
                end = middle;
            } else {
                path.push(self.range_root(start, middle));
                start = middle;
            }
        }
        path.reverse();
        Ok(InclusionProof { index, size, path })
    }

    /// The proof that the tree over the first `new_size` leaves only appends to the one over the first `old_size`.
    ///
    /// From the empty tree, and from a tree to itself, the proof has no hashes.
    ///
    /// # Errors
    /// [`ProveError::Size`] if there are fewer leaves, [`ProveError::Shrunk`] if `old_size` is above `new_size`.
    pub fn prove_consistency(&self, old_size: u64, new_size: u64) -> Result<ConsistencyProof, ProveError> {
        self.check_size(new_size)?;
        if old_size > new_size {
            return Err(ProveError::Shrunk { old_size, new_size });
        }
        let mut path = Vec::new();
        if old_size > 0 {
            // Descends to the last full subtree of the old tree; the verifier knows its root if it is the whole old tree.
            let (mut start, mut end) = (0, new_size);
            while end > old_size {
                let middle = start + split(end - start);
                if old_size <= middle {
                    path.push(self.range_root(middle, end));
                    end = middle;
                } else {
                    path.push(self.range_root(start, middle));
                    start = middle;
                }
            }
            if start > 0 {
                path.push(self.range_root(start, end));
            }
            path.reverse();
        }
        Ok(ConsistencyProof { old_size, new_size, path })
    }

    fn check_size(&self, size: u64) -> Result<(), ProveError> {
        let held = self.size();
        if size > held { Err(ProveError::Size { size, held }) } else { Ok(()) }
    }

    /// The root over leaves `start..end`, where the range is a subtree of some earlier tree: `start` is a multiple of the
    /// power of two that covers its length. Only the nodes on its right edge are hashed anew.
    fn range_root(&self, start: u64, end: u64) -> NodeHash {
        let size = end - start;
        if size == 0 {
            return EMPTY_ROOT;
        }
        if size.is_power_of_two() {
            let level = size.trailing_zeros();
            return self.node(level as usize, start >> level).expect("every full subtree is kept");
        }
        let middle = start + split(size);
        node_hash(self.range_root(start, middle), self.range_root(middle, end))
    }
}

impl Extend<LeafHash> for Tree {
    fn extend<I: IntoIterator<Item = LeafHash>>(&mut self, leaves: I) {
        leaves.into_iter().for_each(|leaf| self.push(leaf));
    }
}

impl FromIterator<LeafHash> for Tree {
    fn from_iter<I: IntoIterator<Item = LeafHash>>(leaves: I) -> Self {
        let mut tree = Self::new();
        tree.extend(leaves);
        tree
    }
}

/// The claim that a leaf stands at `index` of the tree with `size` leaves, with the hashes that show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InclusionProof {
    /// The place of the leaf, counted from 0.
    pub index: u64,
    /// How many leaves the tree has.
    pub size: u64,
    /// The sibling hashes from the leaf up to below the root (RFC 9162 section 2.1.3).
    pub path: Vec<NodeHash>,
}

impl InclusionProof {
    /// Checks that `leaf` stands at `index` in the tree with this root.
    ///
    /// `root` must come with `size` from a source that is trusted, such as a checkpoint: a proof shows nothing without.
    ///
    /// # Errors
    /// [`ProofError`]: a size, index or path length that cannot be, or [`ProofError::Root`].
    pub fn verify(&self, leaf: LeafHash, root: NodeHash) -> Result<(), ProofError> {
        if self.root(leaf)? == root { Ok(()) } else { Err(ProofError::Root) }
    }

    /// The root that the tree must have if this proof holds for `leaf`.
    ///
    /// # Errors
    /// [`ProofError`] for a size, index or path length that cannot be.
    pub fn root(&self, leaf: LeafHash) -> Result<NodeHash, ProofError> {
        let Self { index, size, ref path } = *self;
        check_max(size)?;
        if index >= size {
            return Err(ProofError::Index { index, size });
        }
        let (inner, border) = path_parts(index, size);
        check_len(inner + border, path)?;
        Ok(fold(as_node(leaf), index, inner, path).1)
    }
}

/// The claim that a tree only grew from `old_size` to `new_size` leaves, with the hashes that show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsistencyProof {
    /// How many leaves the tree had.
    pub old_size: u64,
    /// How many leaves the tree has.
    pub new_size: u64,
    /// The hashes that lead to both roots (RFC 9162 section 2.1.4).
    pub path: Vec<NodeHash>,
}

impl ConsistencyProof {
    /// Checks that the tree with `new_root` starts with all leaves of the tree with `old_root`, unchanged and in order.
    ///
    /// # Errors
    /// [`ProofError`]: sizes or a path length that cannot be, [`ProofError::OldEmpty`] where there is nothing to prove, or
    /// [`ProofError::OldRoot`] or [`ProofError::Root`] where the hashes do not lead to a root.
    pub fn verify(&self, old_root: NodeHash, new_root: NodeHash) -> Result<(), ProofError> {
        let Self { old_size, new_size, ref path } = *self;
        check_max(new_size)?;
        if old_size > new_size {
            return Err(ProofError::Shrunk { old_size, new_size });
        }
        if old_size == new_size {
            check_len(0, path)?;
            return if old_root == new_root { Ok(()) } else { Err(ProofError::Root) };
        }
        if old_size == 0 {
            return Err(ProofError::OldEmpty);
        }

        // The way up starts at the last full subtree of the old tree. If that is the whole old tree, its root is known.
        let skipped = old_size.trailing_zeros();
        let (inner, border) = path_parts(old_size - 1, new_size);
        let inner = inner - skipped as usize;
        let known = old_size.is_power_of_two();
        check_len(inner + border + usize::from(!known), path)?;
        let (seed, path) = match path.split_first() {
            Some((first, rest)) if !known => (*first, rest),
            Some(_) | None => (old_root, &path[..]),
        };
        let (old, new) = fold(seed, (old_size - 1) >> skipped, inner, path);
        if old != old_root {
            return Err(ProofError::OldRoot);
        }
        if new == new_root { Ok(()) } else { Err(ProofError::Root) }
    }

    /// As [`ConsistencyProof::verify`], where growth from nothing holds too (C2SP tlog-witness).
    ///
    /// From size 0 the path must be empty and `old_root` be [`EMPTY_ROOT`]; any new tree then extends it.
    ///
    /// # Errors
    /// As for [`ConsistencyProof::verify`], but never [`ProofError::OldEmpty`].
    pub fn verify_from_any(&self, old_root: NodeHash, new_root: NodeHash) -> Result<(), ProofError> {
        if self.old_size > 0 || self.new_size == 0 {
            return self.verify(old_root, new_root);
        }
        check_max(self.new_size)?;
        check_len(0, &self.path)?;
        if old_root == EMPTY_ROOT { Ok(()) } else { Err(ProofError::OldRoot) }
    }
}

/// Why a proof does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The tree is larger than [`MAX_SIZE`].
    #[error("tree of {size} leaves is too large")]
    Size {
        /// The claimed number of leaves.
        size: u64,
    },
    /// The leaf would stand behind the last one.
    #[error("leaf {index} is not in a tree of {size} leaves")]
    Index {
        /// The claimed place of the leaf, counted from 0.
        index: u64,
        /// The claimed number of leaves.
        size: u64,
    },
    /// The new tree would be smaller than the old one.
    #[error("tree of {new_size} leaves does not extend one of {old_size}")]
    Shrunk {
        /// The claimed number of leaves before.
        old_size: u64,
        /// The claimed number of leaves after.
        new_size: u64,
    },
    /// Everything extends the empty tree, so there is nothing that a proof could show.
    #[error("a proof from the empty tree shows nothing")]
    OldEmpty,
    /// The sizes and the index fix how many hashes there must be.
    #[error("expected {expected} hashes in the proof, found {found}")]
    Length {
        /// How many the proof must have.
        expected: usize,
        /// How many it has.
        found: usize,
    },
    /// The hashes do not lead to the old root.
    #[error("proof does not lead to the old root")]
    OldRoot,
    /// The hashes do not lead to the root.
    #[error("proof does not lead to the root")]
    Root,
}

/// Why a tree cannot make a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProveError {
    /// The tree does not reach that size yet.
    #[error("asked about {size} leaves, the tree has {held}")]
    Size {
        /// The size asked about.
        size: u64,
        /// How many leaves there are.
        held: u64,
    },
    /// The leaf is not in the tree of that size.
    #[error("leaf {index} is not in a tree of {size} leaves")]
    Index {
        /// The leaf asked about, counted from 0.
        index: u64,
        /// The size asked about.
        size: u64,
    },
    /// The old size is above the new one.
    #[error("tree of {new_size} leaves does not extend one of {old_size}")]
    Shrunk {
        /// The old size asked about.
        old_size: u64,
        /// The new size asked about.
        new_size: u64,
    },
}

/// Why parts do not make a [`CompactRange`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PartsError {
    /// The tree is larger than [`MAX_SIZE`].
    #[error("tree of {size} leaves is too large")]
    Size {
        /// The number of leaves given.
        size: u64,
    },
    /// The size fixes how many nodes there must be.
    #[error("expected {expected} nodes, found {found}")]
    Nodes {
        /// One for each bit set in the size.
        expected: usize,
        /// How many were given.
        found: usize,
    },
}

fn as_node(leaf: LeafHash) -> NodeHash {
    NodeHash::new(*leaf.as_bytes())
}

/// The largest power of two below `size`, which is at least 2: how many leaves go to the left.
fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

/// How many hashes lead from leaf `index` up to where its way joins that of the last leaf, and how many from there on.
///
/// On the second stretch every sibling is on the left: to the right there is nothing more.
fn path_parts(index: u64, size: u64) -> (usize, usize) {
    // Both numbers are below MAX_SIZE, so at most 63 bits are shifted out.
    let inner = u64::BITS - (index ^ (size - 1)).leading_zeros();
    let border = (index >> inner).count_ones();
    (inner as usize, border as usize)
}

/// Climbs from `seed` along `path`; bit b of `index` says whether the way comes from the right at inner step b.
///
/// Returns the root of what is to the left of the way, the way included, and the root of everything.
fn fold(seed: NodeHash, index: u64, inner: usize, path: &[NodeHash]) -> (NodeHash, NodeHash) {
    let (mut left, mut all) = (seed, seed);
    for (step, sibling) in path.iter().enumerate() {
        if step >= inner || index >> step & 1 == 1 {
            left = node_hash(*sibling, left);
            all = node_hash(*sibling, all);
        } else {
            all = node_hash(all, *sibling);
        }
    }
    (left, all)
}

fn check_max(size: u64) -> Result<(), ProofError> {
    if size > MAX_SIZE { Err(ProofError::Size { size }) } else { Ok(()) }
}

fn check_len(expected: usize, path: &[NodeHash]) -> Result<(), ProofError> {
    let found = path.len();
    if found == expected { Ok(()) } else { Err(ProofError::Length { expected, found }) }
}

#[cfg(test)]
mod tests;
