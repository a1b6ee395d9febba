//! Each structure against the standard one it imitates, and against clones taken on the way.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Arena, CowVec, HashKey, Names, OrdMap, OrdSet, SlotIndex};

type SmallVec = CowVec<u32, 4>;

fn reloaded<T: Serialize + DeserializeOwned>(value: &T) -> T {
    postcard::from_bytes(&postcard::to_allocvec(value).unwrap()).unwrap()
}

fn refused<T: DeserializeOwned>(content: &impl Serialize) -> bool {
    postcard::from_bytes::<T>(&postcard::to_allocvec(content).unwrap()).is_err()
}

#[derive(Debug, Clone)]
enum VecOp {
    Push(u32),
    Pop,
    Set(usize, u32),
    SwapRemove(usize),
    Clone,
}

fn vec_ops() -> impl Strategy<Value = Vec<VecOp>> {
    let op = prop_oneof![
        6 => any::<u32>().prop_map(VecOp::Push),
        2 => Just(VecOp::Pop),
        2 => (0..80_usize, any::<u32>()).prop_map(|(index, value)| VecOp::Set(index, value)),
        2 => (0..80_usize).prop_map(VecOp::SwapRemove),
        1 => Just(VecOp::Clone),
    ];
    proptest::collection::vec(op, 0..300)
}

#[derive(Debug, Clone)]
enum MapOp {
    Insert(u16),
    Remove(u16),
    Change(u16),
    PopFirst,
    PopLast,
    Clone,
}

fn map_ops(span: u16, removals: u32) -> impl Strategy<Value = Vec<MapOp>> {
    let op = prop_oneof![
        20 => (0..span).prop_map(MapOp::Insert),
        removals => (0..span).prop_map(MapOp::Remove),
        3 => (0..span).prop_map(MapOp::Change),
        removals / 4 + 1 => Just(MapOp::PopFirst),
        removals / 4 + 1 => Just(MapOp::PopLast),
        1 => Just(MapOp::Clone),
    ];
    proptest::collection::vec(op, 0..1500)
}

/// A value large enough that leaves hold 16.
type Wide = [u64; 16];

fn wide(seed: usize) -> Wide {
    [seed as u64; 16]
}

proptest! {
    #[test]
    fn vec_agrees_with_std_and_clones_stay(ops in vec_ops()) {
        let (mut vec, mut model) = (SmallVec::new(), Vec::new());
        let mut clones = Vec::new();
        for op in ops {
            match op {
                VecOp::Push(value) => {
                    vec.push(value);
                    model.push(value);
                }
                VecOp::Pop => prop_assert_eq!(vec.pop(), model.pop()),
                VecOp::Set(index, value) => {
                    prop_assert_eq!(vec.get_mut(index).map(|place| std::mem::replace(place, value)),
                        model.get_mut(index).map(|place| std::mem::replace(place, value)));
                }
                VecOp::SwapRemove(index) => {
                    let want = (index < model.len()).then(|| model.swap_remove(index));
                    prop_assert_eq!(vec.swap_remove(index), want);
                }
                VecOp::Clone => clones.push((vec.clone(), model.clone())),
            }
            prop_assert_eq!(vec.len(), model.len());
            prop_assert_eq!(vec.last(), model.last());
        }
        clones.push((vec.clone(), model));
        for (vec, model) in clones {
            prop_assert!(vec.iter().eq(model.iter()));
            prop_assert_eq!(vec.iter().len(), model.len());
            for index in 0..model.len() + 10 {
                prop_assert_eq!(vec.get(index), model.get(index));
                prop_assert!(vec.iter_from(index).eq(model.iter().skip(index)));
            }
            prop_assert_eq!(&reloaded(&vec), &vec);
        }
    }

    #[test]
    fn map_agrees_with_std_and_clones_stay(
        ops in prop_oneof![map_ops(2000, 4), map_ops(2000, 20), map_ops(300, 20)],
        bounds in proptest::collection::vec((0..2000_u16, 0..2000_u16), 8),
    ) {
        let (mut map, mut model) = (OrdMap::<u16, Wide>::new(), BTreeMap::new());
        let mut clones = Vec::new();
        for (step, op) in ops.into_iter().enumerate() {
            match op {
                MapOp::Insert(key) => prop_assert_eq!(map.insert(key, wide(step)), model.insert(key, wide(step))),
                MapOp::Remove(key) => prop_assert_eq!(map.remove(&key), model.remove(&key)),
                MapOp::Change(key) => {
                    prop_assert_eq!(map.get_mut(&key).map(|value| std::mem::replace(value, wide(step))),
                        model.get_mut(&key).map(|value| std::mem::replace(value, wide(step))));
                }
                MapOp::PopFirst => prop_assert_eq!(map.pop_first(), model.pop_first()),
                MapOp::PopLast => prop_assert_eq!(map.pop_last(), model.pop_last()),
                MapOp::Clone => clones.push((map.clone(), model.clone())),
            }
            prop_assert_eq!(map.len(), model.len());
            prop_assert_eq!(map.first(), model.first_key_value());
            prop_assert_eq!(map.last(), model.last_key_value());
        }
        clones.push((map.clone(), model));
        for (map, model) in clones {
            map.assert_invariants();
            prop_assert!(map.iter().eq(model.iter()));
            prop_assert!(map.iter().rev().eq(model.iter().rev()));
            for (low, high) in &bounds {
                prop_assert_eq!(map.get(low), model.get(low));
                prop_assert!(map.range(low..).eq(model.range(low..)));
                prop_assert!(map.range(..=high).rev().eq(model.range(..=high).rev()));
                if low <= high {
                    prop_assert!(map.range(low..high).eq(model.range(low..high)));
                    prop_assert!(map.range(low..=high).rev().eq(model.range(low..=high).rev()));
                } else {
                    prop_assert_eq!(map.range(low..high).count(), 0);
                }
            }
            prop_assert_eq!(&reloaded(&map), &map);
        }
    }

    #[test]
    fn arena_takes_the_lowest_free_slot(ops in proptest::collection::vec((any::<bool>(), 0..40_u32), 0..300)) {
        let mut arena = Arena::<u32, 4>::new();
        let mut model = BTreeMap::new();
        for (step, (insert, slot)) in ops.into_iter().enumerate() {
            let before = (arena.clone(), model.clone());
            if insert {
                let lowest = (0..).find(|slot| !model.contains_key(slot)).unwrap();
                prop_assert_eq!(arena.next_slot(), lowest);
                prop_assert_eq!(arena.insert(step as u32), lowest);
                model.insert(lowest, step as u32);
            } else {
                prop_assert_eq!(arena.get_mut(slot).copied(), model.get(&slot).copied());
                prop_assert_eq!(arena.remove(slot), model.remove(&slot));
            }
            prop_assert_eq!(arena.len(), model.len());
            prop_assert_eq!(arena.slot_bound(), model.last_key_value().map_or(0, |(slot, _)| slot + 1));
            prop_assert!(before.0.iter().eq(before.1.iter().map(|(slot, value)| (*slot, value))));
        }
        let mut again = reloaded(&arena);
        prop_assert!(again.iter().eq(model.iter().map(|(slot, value)| (*slot, value))));
        for _ in 0..50 {
            prop_assert_eq!(again.insert(0), arena.insert(0));
        }
    }

    #[test]
    fn index_agrees_with_std(
        ops in proptest::collection::vec((0..3_u8, 0..600_u32), 0..3000),
        weak in prop_oneof![Just(u64::MAX), Just(0), Just(0xffff), Just(0xffff << 48), Just(1 << 48)],
    ) {
        // A hash without some of its bits fills few pages, or pages of few tags.
        let hash = |slot: u32| HashKey([7; 16]).hash(&slot.to_be_bytes()) & weak;
        let (mut index, mut model) = (SlotIndex::new(), BTreeSet::new());
        let mut clone = (index.clone(), model.clone());
        for (step, (op, slot)) in ops.into_iter().enumerate() {
            if op == 0 {
                prop_assert_eq!(index.remove(hash(slot), slot), model.remove(&slot));
            } else if model.insert(slot) {
                index.insert(hash(slot), slot, |other| {
                    assert_ne!(other, slot);
                    hash(other)
                });
            }
            if step == 500 {
                clone = (index.clone(), model.clone());
            }
        }
        let built = SlotIndex::from_hashes(model.iter().map(|slot| (hash(*slot), *slot)));
        for (index, model) in [(&index, &model), (&built, &model), (&clone.0, &clone.1)] {
            prop_assert_eq!(index.len(), model.len());
            for slot in 0..600 {
                let want = model.contains(&slot).then_some(slot);
                prop_assert_eq!(index.find(hash(slot), |other| other == slot), want);
            }
        }
    }

    #[test]
    fn names_agree_with_std(words in proptest::collection::vec("[a-c]{0,6}|[à-ü]{1,3}", 0..600)) {
        let (mut names, mut model) = (Names::new(HashKey([3; 16])), HashMap::new());
        let mut clones = Vec::new();
        for word in &words {
            prop_assert_eq!(names.lookup(word), model.get(word).copied());
            let next = model.len() as u32;
            let id = *model.entry(word.clone()).or_insert(next);
            prop_assert_eq!(names.intern(word), id);
            prop_assert_eq!(names.name(id), word);
            if id % 50 == 0 {
                clones.push((names.clone(), model.clone()));
            }
        }
        clones.push((names.clone(), model));
        for (names, model) in &clones {
            prop_assert_eq!(names.len(), model.len());
            prop_assert_eq!(names.get(model.len() as u32), None);
            for word in &words {
                prop_assert_eq!(names.lookup(word), model.get(word).copied());
            }
            let again = reloaded(names);
            prop_assert_eq!(&again, names);
            prop_assert!(words.iter().all(|word| again.lookup(word) == names.lookup(word)));
        }
    }

    #[test]
    fn loading_hostile_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = postcard::from_bytes::<SmallVec>(&bytes);
        let _ = postcard::from_bytes::<Arena<u16, 4>>(&bytes);
        let _ = postcard::from_bytes::<OrdMap<u16, u8>>(&bytes);
        let _ = postcard::from_bytes::<Names>(&bytes);
    }
}

#[test]
fn ascending_inserts_fill_the_leaves() {
    let map: OrdSet<u64> = (0..100_000).map(|key| (key, ())).collect();
    map.assert_invariants();
    assert_eq!(map.leaf_count(), 100_000_usize.div_ceil(128));
}

#[test]
fn removals_leave_no_trail_of_small_leaves() {
    let mut map: OrdSet<u64> = (0..100_000).map(|key| (key * 7919 % 100_000, ())).collect();
    for key in 0..100_000 {
        if key % 100 != 0 {
            map.remove(&key);
        }
    }
    map.assert_invariants();
    assert_eq!(map.len(), 1000);
    assert!(map.leaf_count() <= 60, "{} leaves", map.leaf_count());
    while map.pop_first().is_some() {}
    assert_eq!(map.leaf_count(), 1);
}

#[test]
fn names_too_long_for_the_hint_are_found() {
    let long: Vec<String> = (0..300).map(|id| format!("{id:0width$}", width = 1000 + id % 7)).collect();
    let mut names = Names::new(HashKey::default());
    for name in &long {
        names.intern(name);
    }
    for names in [&names, &reloaded(&names)] {
        for (id, name) in (0..).zip(&long) {
            assert_eq!(names.lookup(name), Some(id));
            assert_eq!(names.lookup(&name[1..]), None);
            assert_eq!(names.name(id), name);
        }
    }
}

#[test]
fn loading_refuses_what_no_calls_could_make() {
    assert!(!refused::<OrdSet<u8>>(&vec![(1_u8, ()), (2, ())]));
    assert!(refused::<OrdSet<u8>>(&vec![(2_u8, ()), (1, ())]), "descending keys");
    assert!(refused::<OrdSet<u8>>(&vec![(1_u8, ()), (1, ())]), "equal keys");

    assert!(!refused::<Arena<u8>>(&vec![None, Some(1_u8)]));
    assert!(refused::<Arena<u8>>(&vec![Some(1_u8), None]), "last slot free");
    assert!(refused::<Arena<u8>>(&vec![None::<u8>]), "only slot free");

    let key = HashKey([1; 16]);
    assert!(!refused::<Names>(&(key, vec!["a", "b"])));
    assert!(refused::<Names>(&(key, vec!["a", "a"])), "a name twice");
    assert!(refused::<Names>(&(key, vec![[0xff_u8].as_slice()])), "not UTF-8");
}

#[test]
fn loading_does_not_believe_a_claimed_length() {
    // A sequence of 2^63 elements of which none follows.
    let claim = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01];
    assert!(postcard::from_bytes::<CowVec<u64>>(&claim).is_err());
    assert!(postcard::from_bytes::<Arena<u64>>(&claim).is_err());
    assert!(postcard::from_bytes::<OrdMap<u64, u64>>(&claim).is_err());
    let names = [[0; 16].as_slice(), &claim].concat();
    assert!(postcard::from_bytes::<Names>(&names).is_err());
}

#[test]
fn all_may_be_sent_and_shared() {
    fn shared<T: Send + Sync>() {}
    shared::<CowVec<u32>>();
    shared::<Arena<u32>>();
    shared::<OrdMap<u32, u32>>();
    shared::<SlotIndex>();
    shared::<Names>();
}

#[test]
fn readers_keep_their_version_while_the_writer_goes_on() {
    let mut names = Names::new(HashKey::default());
    names.intern("first");
    let reader = names.clone();
    let seen = std::thread::spawn(move || reader.lookup("second"));
    names.intern("second");
    assert_eq!(seen.join().unwrap(), None);
    assert_eq!(names.lookup("second"), Some(1));
}
