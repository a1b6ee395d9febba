use super::*;
use crate::b64;
use crate::digest::sha256;
use crate::shared_vectors::{hex, json};

fn leaf(index: u64) -> LeafHash {
    leaf_hash(format!("leaf {index}").as_bytes())
}

fn tree(size: u64) -> Tree {
    (0..size).map(leaf).collect()
}

/// RFC 6962 section 2.1 word for word, as the oracle for roots.
fn naive_root(leaves: &[LeafHash]) -> NodeHash {
    match leaves {
        [] => NodeHash::new(sha256(&[])),
        [leaf] => as_node(*leaf),
        _ => {
            let mut k = 1;
            while k * 2 < leaves.len() {
                k *= 2;
            }
            node_hash(naive_root(&leaves[..k]), naive_root(&leaves[k..]))
        }
    }
}

/// RFC 9162 section 2.1.3.2 word for word, as the oracle for inclusion.
fn naive_inclusion(proof: &InclusionProof, leaf: LeafHash, root: NodeHash) -> bool {
    if proof.index >= proof.size {
        return false;
    }
    let (mut f, mut s, mut r) = (proof.index, proof.size - 1, as_node(leaf));
    for p in &proof.path {
        if s == 0 {
            return false;
        }
        if f % 2 == 1 || f == s {
            r = node_hash(*p, r);
            while f % 2 == 0 && f != 0 {
                f >>= 1;
                s >>= 1;
            }
        } else {
            r = node_hash(r, *p);
        }
        f >>= 1;
        s >>= 1;
    }
    s == 0 && r == root
}

/// RFC 9162 section 2.1.4.2 word for word, as the oracle for consistency with 0 < old < new.
fn naive_consistency(proof: &ConsistencyProof, old_root: NodeHash, new_root: NodeHash) -> bool {
    assert!(0 < proof.old_size && proof.old_size < proof.new_size);
    let mut path = proof.path.clone();
    if path.is_empty() {
        return false;
    }
    if proof.old_size.is_power_of_two() {
        path.insert(0, old_root);
    }
    let (mut f, mut s) = (proof.old_size - 1, proof.new_size - 1);
    while f % 2 == 1 {
        f >>= 1;
        s >>= 1;
    }
    let (mut fr, mut sr) = (path[0], path[0]);
    for p in &path[1..] {
        if s == 0 {
            return false;
        }
        if f % 2 == 1 || f == s {
            fr = node_hash(*p, fr);
            sr = node_hash(*p, sr);
            while f % 2 == 0 && f != 0 {
                f >>= 1;
                s >>= 1;
            }
        } else {
            sr = node_hash(sr, *p);
        }
        f >>= 1;
        s >>= 1;
    }
    fr == old_root && sr == new_root && s == 0
}

/// Every proof that differs from `path` by one bit, and every one with a hash less, more or out of place.
fn near_misses(path: &[NodeHash]) -> Vec<Vec<NodeHash>> {
    let mut misses = Vec::new();
    for at in 0..path.len() {
        for bit in 0..256 {
            let mut bytes = *path[at].as_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let mut flipped = path.to_vec();
            flipped[at] = NodeHash::new(bytes);
            misses.push(flipped);
        }
        let mut removed = path.to_vec();
        removed.remove(at);
        misses.push(removed);
        if at > 0 {
            let mut swapped = path.to_vec();
            swapped.swap(at - 1, at);
            misses.push(swapped);
        }
    }
    for extra in [EMPTY_ROOT, NodeHash::new([0; 32])] {
        for at in 0..=path.len() {
            let mut longer = path.to_vec();
            longer.insert(at, extra);
            misses.push(longer);
        }
    }
    misses
}

#[test]
fn hashes_of_leaves_and_nodes_are_separated() {
    assert_eq!(EMPTY_ROOT.as_bytes(), &sha256(&[]));
    let known = [
        (leaf_hash(b"").to_string(), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
        (
            leaf_hash(b"L123456").to_string(),
            "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56",
        ),
    ];
    for (got, want) in known {
        assert_eq!(got, want);
    }
    // Two 32-byte children hash otherwise than a leaf of the same 64 bytes.
    let (left, right) = (NodeHash::new([1; 32]), NodeHash::new([2; 32]));
    let both = [[1; 32], [2; 32]].concat();
    assert_ne!(node_hash(left, right).as_bytes(), leaf_hash(&both).as_bytes());
    assert_ne!(node_hash(left, right), node_hash(right, left));
}

#[test]
fn roots_agree_with_the_definition_at_every_size() {
    let leaves: Vec<LeafHash> = (0..200).map(leaf).collect();
    let tree: Tree = leaves.iter().copied().collect();
    let mut range = CompactRange::new();
    for size in 0..=200 {
        let want = naive_root(&leaves[..size]);
        assert_eq!((range.size(), range.root()), (size as u64, want), "size {size}");
        assert_eq!(tree.root_at(size as u64), Ok(want), "size {size}");
        assert_eq!(CompactRange::from_parts(range.size(), range.nodes().to_vec()).as_ref(), Ok(&range));
        if let Some(next) = leaves.get(size) {
            assert_eq!(tree.leaf(size as u64), Some(*next));
            range.push(*next);
        }
    }
    assert_eq!(tree.leaf(200), None);
    assert_eq!(tree.node(7, 1), None, "leaves 128..256 are not all there");
    assert_eq!(tree.node(6, 2), Some(naive_root(&leaves[128..192])));
    assert_eq!(tree.node(usize::MAX, u64::MAX), None);
    assert_eq!(Tree::new().root(), EMPTY_ROOT);
}

#[test]
fn compact_range_refuses_parts_that_cannot_be() {
    let node = NodeHash::new([1; 32]);
    for size in (0..70).chain([MAX_SIZE - 1, MAX_SIZE]) {
        let expected = u64::count_ones(size) as usize;
        assert!(CompactRange::from_parts(size, vec![node; expected]).is_ok());
        for found in (0..66).filter(|found| *found != expected) {
            let error = CompactRange::from_parts(size, vec![node; found]);
            assert_eq!(error, Err(PartsError::Nodes { expected, found }), "size {size}");
        }
    }
    for size in [MAX_SIZE + 1, u64::MAX] {
        let parts = CompactRange::from_parts(size, vec![node; size.count_ones() as usize]);
        assert_eq!(parts, Err(PartsError::Size { size }));
    }
    // A tree read back at the largest size still takes leaves without failing.
    let mut largest = CompactRange::from_parts(MAX_SIZE, vec![node; 63]).unwrap();
    largest.extend([leaf(0), leaf(1)]);
    assert_eq!((largest.size(), largest.nodes().len()), (MAX_SIZE + 2, 2));
}

#[test]
fn inclusion_holds_for_every_leaf_of_every_small_tree_and_nowhere_else() {
    let tree = tree(256);
    for size in 1..=256 {
        let root = tree.root_at(size).unwrap();
        for index in 0..size {
            let proof = tree.prove_inclusion(index, size).unwrap();
            assert_eq!(proof.verify(leaf(index), root), Ok(()), "{index} of {size}");
            assert!(naive_inclusion(&proof, leaf(index), root));
            if size > 64 {
                continue;
            }
            let moved = InclusionProof { index: (index + 1) % size, ..proof.clone() };
            for other in (0..64).filter(|other| *other != index) {
                assert!(proof.verify(leaf(other), root).is_err(), "{other} for {index} of {size}");
                // Another index, as far as the length allows, leads to another root.
                let moved = InclusionProof { index: other, ..moved.clone() };
                assert!(moved.verify(leaf(index), root).is_err(), "{index} at {other} of {size}");
            }
            assert_eq!(proof.verify(leaf(index), EMPTY_ROOT), Err(ProofError::Root));
        }
    }
}

#[test]
fn inclusion_refuses_every_near_miss() {
    let tree = tree(32);
    for size in 1..=32 {
        let root = tree.root_at(size).unwrap();
        for index in 0..size {
            let proof = tree.prove_inclusion(index, size).unwrap();
            let expected = proof.path.len();
            for path in near_misses(&proof.path) {
                let found = path.len();
                let want =
                    if found == expected { ProofError::Root } else { ProofError::Length { expected, found } };
                let miss = InclusionProof { path, ..proof.clone() };
                assert_eq!(miss.verify(leaf(index), root), Err(want), "{index} of {size}");
                assert!(!naive_inclusion(&miss, leaf(index), root));
            }
            for bit in 0..256 {
                let flip = |bytes: &[u8; 32]| {
                    let mut bytes = *bytes;
                    bytes[bit / 8] ^= 1 << (bit % 8);
                    bytes
                };
                let other_root = NodeHash::new(flip(root.as_bytes()));
                assert_eq!(proof.verify(leaf(index), other_root), Err(ProofError::Root));
                let other_leaf = LeafHash::new(flip(leaf(index).as_bytes()));
                assert_eq!(proof.verify(other_leaf, root), Err(ProofError::Root));
            }
        }
    }
}

#[test]
fn inclusion_refuses_an_index_or_size_that_cannot_be() {
    let mut proof = InclusionProof { index: 0, size: 0, path: Vec::new() };
    assert_eq!(proof.verify(leaf(0), EMPTY_ROOT), Err(ProofError::Index { index: 0, size: 0 }));
    (proof.index, proof.size) = (5, 5);
    assert_eq!(proof.verify(leaf(0), EMPTY_ROOT), Err(ProofError::Index { index: 5, size: 5 }));
    proof.size = MAX_SIZE + 1;
    assert_eq!(proof.verify(leaf(0), EMPTY_ROOT), Err(ProofError::Size { size: MAX_SIZE + 1 }));

    // At the limit a proof has just as many hashes as may be, and is worked through.
    for index in [0, MAX_SIZE - 2, 0x3555_5555_5555_5555] {
        let mut proof = InclusionProof { index, size: MAX_SIZE, path: vec![EMPTY_ROOT; MAX_PATH_LEN] };
        let root = proof.root(leaf(0)).unwrap();
        assert!(naive_inclusion(&proof, leaf(0), root));
        proof.path.push(EMPTY_ROOT);
        let (expected, found) = (MAX_PATH_LEN, MAX_PATH_LEN + 1);
        assert_eq!(proof.root(leaf(0)), Err(ProofError::Length { expected, found }));
    }
}

#[test]
fn consistency_holds_between_all_small_sizes_and_for_no_other_roots() {
    let tree = tree(256);
    let roots: Vec<NodeHash> = (0..=256).map(|size| tree.root_at(size).unwrap()).collect();
    for new in 1..=256 {
        for old in 1..=new {
            let proof = tree.prove_consistency(old, new).unwrap();
            let (old_root, new_root) = (roots[old as usize], roots[new as usize]);
            assert_eq!(proof.verify(old_root, new_root), Ok(()), "{old} to {new}");
            assert_eq!(proof.verify_from_any(old_root, new_root), Ok(()), "{old} to {new}");
            assert!(old == new || naive_consistency(&proof, old_root, new_root));
            if new > 64 {
                continue;
            }
            for other in (0..=64).filter(|other| *other != old) {
                assert!(proof.verify(roots[other as usize], new_root).is_err(), "{other} for {old} to {new}");
            }
            for other in (0..=64).filter(|other| *other != new) {
                assert!(proof.verify(old_root, roots[other as usize]).is_err(), "{old} to {other} for {new}");
            }
        }
    }
}

#[test]
fn consistency_refuses_every_near_miss() {
    let tree = tree(32);
    for new in 1..=32 {
        for old in 1..=new {
            let proof = tree.prove_consistency(old, new).unwrap();
            let (old_root, new_root) = (tree.root_at(old).unwrap(), tree.root_at(new).unwrap());
            for path in near_misses(&proof.path) {
                let miss = ConsistencyProof { path, ..proof.clone() };
                let error = miss.verify(old_root, new_root).unwrap_err();
                let is_length = matches!(error, ProofError::Length { .. });
                assert_eq!(is_length, miss.path.len() != proof.path.len(), "{old} to {new}: {error}");
                assert!(old == new || !naive_consistency(&miss, old_root, new_root));
            }
        }
    }
}

#[test]
fn consistency_refuses_sizes_that_cannot_be() {
    let (one, two) = (tree(1).root(), tree(2).root());
    let proof = |old_size, new_size| ConsistencyProof { old_size, new_size, path: Vec::new() };
    assert_eq!(proof(2, 1).verify(two, one), Err(ProofError::Shrunk { old_size: 2, new_size: 1 }));
    assert_eq!(proof(2, 2).verify(two, one), Err(ProofError::Root));
    let size = MAX_SIZE + 1;
    assert_eq!(proof(1, size).verify(one, two), Err(ProofError::Size { size }));
    assert_eq!(proof(0, size).verify_from_any(EMPTY_ROOT, two), Err(ProofError::Size { size }));
    assert_eq!(
        ConsistencyProof { path: vec![one], ..proof(2, 2) }.verify(two, two),
        Err(ProofError::Length { expected: 0, found: 1 })
    );
}

#[test]
fn growth_from_nothing_holds_only_by_the_witness_rule() {
    let two = tree(2).root();
    let proof = tree(2).prove_consistency(0, 2).unwrap();
    assert_eq!(proof.path, []);
    assert_eq!(proof.verify(EMPTY_ROOT, two), Err(ProofError::OldEmpty));
    assert_eq!(proof.verify_from_any(EMPTY_ROOT, two), Ok(()));
    assert_eq!(proof.verify_from_any(two, two), Err(ProofError::OldRoot));
    let longer = ConsistencyProof { path: vec![two], ..proof };
    assert_eq!(longer.verify_from_any(EMPTY_ROOT, two), Err(ProofError::Length { expected: 0, found: 1 }));

    let nothing = ConsistencyProof { old_size: 0, new_size: 0, path: Vec::new() };
    assert_eq!(nothing.verify_from_any(EMPTY_ROOT, EMPTY_ROOT), Ok(()));
    assert_eq!(nothing.verify_from_any(EMPTY_ROOT, two), Err(ProofError::Root));
}

#[test]
fn tree_proves_nothing_about_what_it_does_not_hold() {
    let tree = tree(5);
    assert_eq!(tree.root_at(6), Err(ProveError::Size { size: 6, held: 5 }));
    assert_eq!(tree.prove_inclusion(0, 6), Err(ProveError::Size { size: 6, held: 5 }));
    assert_eq!(tree.prove_inclusion(3, 3), Err(ProveError::Index { index: 3, size: 3 }));
    assert_eq!(tree.prove_inclusion(0, 0), Err(ProveError::Index { index: 0, size: 0 }));
    assert_eq!(tree.prove_consistency(1, 6), Err(ProveError::Size { size: 6, held: 5 }));
    assert_eq!(tree.prove_consistency(4, 3), Err(ProveError::Shrunk { old_size: 4, new_size: 3 }));
}

/// The hash in a vector, if it is one: those of another length are refused before any proof is looked at.
fn hash(value: &serde_json::Value) -> Option<[u8; 32]> {
    b64::decode_array(value.as_str().unwrap_or_default().as_bytes()).ok()
}

fn hashes(value: &serde_json::Value) -> Option<Vec<NodeHash>> {
    value.as_array().map_or(&[][..], Vec::as_slice).iter().map(|node| hash(node).map(NodeHash::new)).collect()
}

#[test]
fn inclusion_vectors_are_met() {
    let Some(cases) = json("merkle/inclusion.json") else { return };
    for case in cases.as_array().unwrap() {
        let verdict = || {
            let proof = InclusionProof {
                index: case["leafIdx"].as_u64()?,
                size: case["treeSize"].as_u64()?,
                path: hashes(&case["proof"])?,
            };
            let (leaf, root) = (LeafHash::new(hash(&case["leafHash"])?), NodeHash::new(hash(&case["root"])?));
            let verdict = proof.verify(leaf, root).is_ok();
            assert_eq!(verdict, naive_inclusion(&proof, leaf, root), "{}", case["id"]);
            verdict.then_some(())
        };
        assert_eq!(verdict().is_none(), case["wantErr"], "{}", case["id"]);
    }
}

#[test]
fn consistency_vectors_are_met() {
    let Some(cases) = json("merkle/consistency.json") else { return };
    for case in cases.as_array().unwrap() {
        let verdict = || {
            let proof = ConsistencyProof {
                old_size: case["size1"].as_u64()?,
                new_size: case["size2"].as_u64()?,
                path: hashes(&case["proof"])?,
            };
            let (old, new) = (NodeHash::new(hash(&case["root1"])?), NodeHash::new(hash(&case["root2"])?));
            proof.verify(old, new).ok()
        };
        assert_eq!(verdict().is_none(), case["wantErr"], "{}", case["id"]);
    }
}

#[test]
fn generated_proofs_are_met_and_made_alike() {
    let Some(suite) = json("merkle/generated.json") else { return };
    let tree = tree(20);
    let roots = hashes(&suite["roots_b64"]).unwrap();
    for (size, root) in (1..).zip(&roots) {
        assert_eq!(tree.root_at(size), Ok(*root));
    }
    for case in suite["proofs"].as_array().unwrap() {
        let number = |member: &str| case[member].as_u64().unwrap();
        let path = hashes(&case["proof"]).unwrap();
        if case["kind"] == "inclusion" {
            let (index, size) = (number("leafIdx"), number("treeSize"));
            let proof = InclusionProof { index, size, path };
            assert_eq!(tree.prove_inclusion(index, size).as_ref(), Ok(&proof));
            assert_eq!(proof.verify(leaf(index), roots[size as usize - 1]), Ok(()));
        } else {
            let (old_size, new_size) = (number("size1"), number("size2"));
            let proof = ConsistencyProof { old_size, new_size, path };
            assert_eq!(tree.prove_consistency(old_size, new_size).as_ref(), Ok(&proof));
            let (old, new) = (roots[old_size as usize - 1], roots[new_size as usize - 1]);
            assert_eq!(proof.verify(old, new), Ok(()));
        }
    }
}

#[test]
fn reference_tree_of_certificate_transparency_is_met() {
    let Some(suite) = json("merkle/ct-reference-tree.json") else { return };
    let leaves = suite["leaves_hex"].as_array().unwrap();
    let tree: Tree = leaves.iter().map(|leaf| leaf_hash(&hex(leaf.as_str().unwrap()))).collect();
    for (size, root) in (0..).zip(suite["root_hex"].as_array().unwrap()) {
        assert_eq!(tree.root_at(size).unwrap().to_string(), root.as_str().unwrap());
    }
    assert_eq!(tree.size(), 8);
}
