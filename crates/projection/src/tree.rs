//! The Merkle tree over the entries as a projection, so that its root comes back from snapshots too.

use std::convert::Infallible;

use countersign_core::digest::NodeHash;
use countersign_core::merkle::CompactRange;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::projection::{Projection, Step};

/// The RFC 6962 tree over the leaf hashes of all entries folded: as much of it as the root and the next leaf need.
///
/// ```
/// use countersign_projection::runner::Runner;
/// use countersign_projection::test_kit::Playground;
/// use countersign_projection::tree::MerkleRange;
///
/// let mut runner = Runner::<MerkleRange>::new();
/// for entry in Playground::small().entries() {
///     runner.replay(entry.clone())?;
/// }
/// assert_eq!(runner.projections()?.size(), runner.head().size);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MerkleRange(CompactRange);

impl MerkleRange {
    /// How many leaves there are.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.0.size()
    }

    /// The root: what a checkpoint over as many entries says.
    #[must_use]
    pub fn root(&self) -> NodeHash {
        self.0.root()
    }

    /// The roots of the full subtrees, from which core's tree goes on.
    #[must_use]
    pub const fn range(&self) -> &CompactRange {
        &self.0
    }
}

impl Projection for MerkleRange {
    const NAME: &'static str = "countersign.tree";
    const VERSION: u64 = 1;
    const LOOKS_BACK: bool = false;
    type Error = Infallible;

    fn apply(&mut self, step: &Step<'_>) -> Result<(), Infallible> {
        self.0.push(step.entry().leaf());
        Ok(())
    }
}

impl Serialize for MerkleRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let nodes: Vec<&[u8; 32]> = self.0.nodes().iter().map(NodeHash::as_bytes).collect();
        (self.0.size(), nodes).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for MerkleRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (size, nodes) = <(u64, Vec<[u8; 32]>)>::deserialize(deserializer)?;
        let nodes = nodes.into_iter().map(NodeHash::new).collect();
        CompactRange::from_parts(size, nodes).map(Self).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_kit::{self, Playground};

    #[test]
    fn the_tree_is_a_lawful_projection() {
        let checked = test_kit::check::<MerkleRange>(Playground::small().entries()).unwrap();
        assert_eq!(checked.changes, checked.entries, "every entry is a leaf");
    }

    #[test]
    fn bytes_of_no_tree_are_refused() {
        let node = [7; 32];
        for (size, nodes) in
            [(0_u64, vec![node]), (3, vec![node]), (4, vec![node, node]), (1 << 63, vec![node])]
        {
            let bytes = postcard::to_stdvec(&(size, &nodes)).unwrap();
            assert!(MerkleRange::decode(&bytes).is_err(), "size {size} with {} nodes", nodes.len());
        }
        let bytes = postcard::to_stdvec(&(3_u64, vec![node, node])).unwrap();
        assert_eq!(MerkleRange::decode(&bytes).unwrap().size(), 3);
    }
}
