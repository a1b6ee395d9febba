//! Numbered slots, copied on write.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{CowVec, OrdSet};

/// Values in numbered slots; clones in constant time.
///
/// A new value takes the lowest free slot, so slot numbers follow from the order of insertions and removals alone, and
/// which slots are free follows from which are live: the arena's content is its live slots and nothing else. Free slots
/// at the end are given back at once; a free slot in between keeps its room, which the next value takes.
///
/// A slot is an `Option<T>`: choose a `T` with a niche (a reference count, a `NonZero`, an enum) where size matters.
pub struct Arena<T, const CHUNK: usize = 256> {
    // INVARIANT: the last slot, if any, is live.
    slots: CowVec<Option<T>, CHUNK>,
    // INVARIANT: exactly the slots that hold `None`.
    free: OrdSet<u32>,
}

impl<T, const CHUNK: usize> Arena<T, CHUNK> {
    /// Returns an empty arena.
    pub fn new() -> Self {
        Self { slots: CowVec::new(), free: OrdSet::new() }
    }

    /// Returns the number of live slots.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Returns whether no slot is live.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Returns one more than the highest live slot, or 0.
    pub fn slot_bound(&self) -> u32 {
        u32::try_from(self.slots.len()).expect("slots are numbered by u32")
    }

    /// Returns the value in `slot`, or `None` if the slot is free.
    pub fn get(&self, slot: u32) -> Option<&T> {
        self.slots.get(slot as usize)?.as_ref()
    }

    /// Returns whether `slot` is live.
    pub fn contains(&self, slot: u32) -> bool {
        self.get(slot).is_some()
    }

    /// Returns the live slots with their values, by ascending slot.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..).zip(self.slots.iter()).filter_map(|(slot, value)| Some((slot, value.as_ref()?)))
    }
}

impl<T: Clone, const CHUNK: usize> Arena<T, CHUNK> {
    /// Returns an arena of these slots, where the last one must be live; `None` where it is not, or there are too many.
    pub fn from_slots(slots: impl IntoIterator<Item = Option<T>>) -> Option<Self> {
        let mut arena = Self::new();
        let mut free = Vec::new();
        for value in slots {
            if value.is_none() {
                free.push((u32::try_from(arena.slots.len()).ok()?, ()));
            }
            arena.slots.push(value);
        }
        if matches!(arena.slots.last(), Some(None)) || arena.slots.len() >= u32::MAX as usize {
            return None;
        }
        arena.free = OrdSet::from_ascending(free)?;
        Some(arena)
    }

    /// Returns the slot that the next [`insert`](Self::insert) takes: the lowest free one.
    pub fn next_slot(&self) -> u32 {
        self.free.first().map_or_else(|| self.slot_bound(), |(slot, ())| *slot)
    }

    /// Puts `value` into the lowest free slot and returns its number.
    ///
    /// # Panics
    /// If 2^32 - 1 slots are live, for which no machine of today has the memory.
    pub fn insert(&mut self, value: T) -> u32 {
        match self.free.pop_first() {
            Some((slot, ())) => {
                *self.slots.get_mut(slot as usize).expect("free slots are below the bound") = Some(value);
                slot
            }
            None => {
                let slot = self.slot_bound();
                assert!(slot < u32::MAX, "the number of slots fits u32");
                self.slots.push(Some(value));
                slot
            }
        }
    }

    /// Returns the value in `slot` for changing, or `None` if the slot is free.
    pub fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        // Looked up first, so that asking for a free slot copies nothing.
        self.get(slot)?;
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// Frees `slot` and returns its value, or `None` if it was free.
    pub fn remove(&mut self, slot: u32) -> Option<T> {
        self.get(slot)?;
        if slot + 1 < self.slot_bound() {
            let value = self.slots.get_mut(slot as usize)?.take();
            self.free.insert(slot, ());
            return value;
        }
        let value = self.slots.pop()?;
        while let Some(None) = self.slots.last() {
            self.slots.pop();
            self.free.pop_last();
        }
        value
    }
}

impl<T, const CHUNK: usize> Clone for Arena<T, CHUNK> {
    fn clone(&self) -> Self {
        Self { slots: self.slots.clone(), free: self.free.clone() }
    }
}

impl<T, const CHUNK: usize> Default for Arena<T, CHUNK> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: PartialEq, const CHUNK: usize> PartialEq for Arena<T, CHUNK> {
    fn eq(&self, other: &Self) -> bool {
        // The free slots follow from the slots.
        self.slots == other.slots
    }
}

impl<T: Eq, const CHUNK: usize> Eq for Arena<T, CHUNK> {}

impl<T: fmt::Debug, const CHUNK: usize> fmt::Debug for Arena<T, CHUNK> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// As the sequence of all slots, a free one as `None`.
impl<T: Serialize, const CHUNK: usize> Serialize for Arena<T, CHUNK> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.slots.serialize(serializer)
    }
}

impl<'de, T: Clone + Deserialize<'de>, const CHUNK: usize> Deserialize<'de> for Arena<T, CHUNK> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Slots<T, const CHUNK: usize>(PhantomData<T>);

        impl<'de, T: Clone + Deserialize<'de>, const CHUNK: usize> Visitor<'de> for Slots<T, CHUNK> {
            type Value = Arena<T, CHUNK>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a sequence of slots")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut arena = Arena::new();
                while let Some(value) = seq.next_element::<Option<T>>()? {
                    let slot = arena.slot_bound();
                    if slot == u32::MAX {
                        return Err(A::Error::custom("more slots than can be numbered"));
                    }
                    if value.is_none() {
                        arena.free.insert(slot, ());
                    }
                    arena.slots.push(value);
                }
                if let Some(None) = arena.slots.last() {
                    return Err(A::Error::custom("the last slot is free"));
                }
                Ok(arena)
            }
        }

        deserializer.deserialize_seq(Slots(PhantomData))
    }
}
