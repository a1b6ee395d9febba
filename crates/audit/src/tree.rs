//! The Merkle tree over the leaves (RFC 6962 section 2.1), reduced to what its root needs.
//!
//! Written apart from core's on purpose: a mistake in the code that made a root must not hide itself when the root is checked.

use countersign_core::digest::{LeafHash, NodeHash, sha256};

/// The roots of the full subtrees that make up a tree, the largest and leftmost first, each with its number of leaves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Frontier {
    // INVARIANT: the counts are powers of two and strictly fall, so there are at most 64.
    subtrees: Vec<(u64, NodeHash)>,
}

impl Frontier {
    /// Appends a leaf, then joins subtrees of equal size from the right.
    pub(crate) fn push(&mut self, leaf: LeafHash) {
        let mut added = (1, NodeHash::new(*leaf.as_bytes()));
        while let Some((leaves, left)) = self.subtrees.pop_if(|(leaves, _)| *leaves == added.0) {
            added = (leaves + added.0, join(left, added.1));
        }
        self.subtrees.push(added);
    }

    /// The root over all leaves so far.
    pub(crate) fn root(&self) -> NodeHash {
        let hashes = self.subtrees.iter().map(|(_, hash)| *hash);
        hashes.rev().reduce(|right, left| join(left, right)).unwrap_or_else(|| NodeHash::new(sha256(&[])))
    }

    /// The root that it would have with these leaves more.
    pub(crate) fn root_with(&self, leaves: &[LeafHash]) -> NodeHash {
        let mut longer = self.clone();
        leaves.iter().for_each(|leaf| longer.push(*leaf));
        longer.root()
    }
}

fn join(left: NodeHash, right: NodeHash) -> NodeHash {
    NodeHash::new(sha256(&[&[1], left.as_bytes(), right.as_bytes()]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_core::merkle;

    fn leaf(index: u16) -> LeafHash {
        merkle::leaf_hash(&index.to_be_bytes())
    }

    #[test]
    fn roots_are_those_of_rfc_6962() {
        let mut frontier = Frontier::default();
        assert_eq!(frontier.root(), merkle::EMPTY_ROOT);
        let mut theirs = merkle::CompactRange::new();
        for index in 0..1_100 {
            assert_eq!(frontier.root_with(&[leaf(index)]), {
                theirs.push(leaf(index));
                theirs.root()
            });
            frontier.push(leaf(index));
            assert_eq!(frontier.root(), theirs.root(), "size {}", index + 1);
        }
    }

    /// Section 2.1 word for word, for sizes that are no power of two too.
    #[test]
    fn roots_are_those_of_the_definition() {
        fn root(leaves: &[LeafHash]) -> NodeHash {
            match leaves {
                [] => NodeHash::new(sha256(&[])),
                [leaf] => NodeHash::new(*leaf.as_bytes()),
                _ => {
                    let middle = leaves.len().next_power_of_two() / 2;
                    join(root(&leaves[..middle]), root(&leaves[middle..]))
                }
            }
        }
        let leaves: Vec<_> = (0..70).map(leaf).collect();
        for size in 0..=leaves.len() {
            assert_eq!(Frontier::default().root_with(&leaves[..size]), root(&leaves[..size]), "size {size}");
        }
    }
}
