//! An interner of strings, copied on write.

use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Error as _, SeqAccess, Visitor};
use serde::ser::SerializeSeq as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::CowVec;
use super::index::{HashKey, HintedIndex};

/// Strings numbered from 0 in the order of their first interning; clones in constant time.
///
/// A name costs its bytes and about 16 more. The names of a block of 128 stand in one string behind each other, each ended by
/// U+0000, which no name holds; only the last, unfinished block is ever copied. Names are never removed.
#[derive(Clone, Default)]
pub struct Names {
    key: HashKey,
    blocks: CowVec<Arc<str>, 256>,
    /// The names after the last full block.
    tail: Arc<String>,
    // INVARIANT: element i is where name i with its end mark ends in its block, and name i + 1 starts if it is in the same block.
    ends: CowVec<u32, 1024>,
    // INVARIANT: the hint of name i is `start_hint` of where it starts.
    index: HintedIndex<[u8; 2]>,
}

impl Names {
    /// Returns an empty interner whose index hashes with `key`.
    pub fn new(key: HashKey) -> Self {
        Self { key, ..Self::default() }
    }

    /// Returns the key that its index hashes with.
    pub fn key(&self) -> HashKey {
        self.key
    }

    /// Returns the number of names.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns whether there are no names.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Returns the hash of `name` in the index, whether it was interned or not.
    pub fn hash(&self, name: &str) -> u64 {
        self.key.hash(name.as_bytes())
    }

    /// Returns the number of `name` if it was interned.
    pub fn lookup(&self, name: &str) -> Option<u32> {
        self.find(self.key.hash(name.as_bytes()), name)
    }

    /// Returns the name with number `id`.
    ///
    /// # Panics
    /// If no name has this number. Numbers come from [`intern`](Self::intern) and are never taken back.
    pub fn name(&self, id: u32) -> &str {
        self.get(id).expect("a number that was given to a name")
    }

    /// Returns the name with number `id`, or `None` if no name has this number.
    pub fn get(&self, id: u32) -> Option<&str> {
        let end = *self.ends.get(id as usize)? as usize;
        Some(&self.block(id)[self.start(id)..end - 1])
    }

    /// Returns where in its block name `id`, which must be there, starts, as [`Self::is_at`] takes it.
    pub fn hint(&self, id: u32) -> [u8; 2] {
        start_hint(self.start(id))
    }

    /// Returns whether `name`, which holds no U+0000, has number `id`, given the [hint](Self::hint) of that number.
    pub fn is_at(&self, id: u32, hint: [u8; 2], name: &str) -> bool {
        if hint == UNKNOWN_START {
            return self.get(id) == Some(name);
        }
        // By the hint the bytes are all that is loaded; what is beside them is likely far from the processor.
        let start = usize::from(u16::from_le_bytes(hint));
        let end = start + name.len();
        let block = self.block(id).as_bytes();
        block.get(end) == Some(&END) && block.get(start..end) == Some(name.as_bytes())
    }

    /// Returns the names by ascending number.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len() as u32).map(|id| self.name(id))
    }

    /// Returns the number of `name`, which is the next one if it was not interned before.
    ///
    /// # Panics
    /// If the name holds U+0000, 128 names in a row take 4 GiB, or 2^32 are interned.
    pub fn intern(&mut self, name: &str) -> u32 {
        let hash = self.key.hash(name.as_bytes());
        if let Some(id) = self.find(hash, name) {
            return id;
        }
        assert!(!name.as_bytes().contains(&END), "names hold no U+0000");
        let id = self.push(name);
        let mut index = std::mem::take(&mut self.index);
        index.insert_hinted(hash, id, start_hint(self.start(id)), |id| {
            self.key.hash(self.name(id).as_bytes())
        });
        self.index = index;
        id
    }

    fn find(&self, hash: u64, name: &str) -> Option<u32> {
        self.index.find_hinted(hash, |id, hint| self.is_at(id, hint, name))
    }

    /// Returns the names of the block of name `id`, behind each other.
    fn block(&self, id: u32) -> &str {
        self.blocks.get(id as usize / BLOCK).map_or(self.tail.as_str(), |block| block)
    }

    /// Returns where in its block name `id`, which must be there, starts.
    fn start(&self, id: u32) -> usize {
        let id = id as usize;
        if id.is_multiple_of(BLOCK) {
            return 0;
        }
        *self.ends.get(id - 1).expect("the names before one are there") as usize
    }

    /// Appends `name` without looking whether it is there, and without indexing it.
    fn push(&mut self, name: &str) -> u32 {
        let id = u32::try_from(self.len()).expect("the number of names fits u32");
        let tail = Arc::make_mut(&mut self.tail);
        tail.push_str(name);
        tail.push(char::from(END));
        self.ends.push(u32::try_from(tail.len()).expect("a block is smaller than 4 GiB"));
        if self.ends.len().is_multiple_of(BLOCK) {
            self.blocks.push(Arc::from(tail.as_str()));
            tail.clear();
        }
        id
    }
}

impl PartialEq for Names {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl Eq for Names {}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// As the hash key and the sequence of names by ascending number.
impl Serialize for Names {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct InOrder<'a>(&'a Names);

        impl Serialize for InOrder<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut seq = serializer.serialize_seq(Some(self.0.len()))?;
                for name in self.0.iter() {
                    seq.serialize_element(name)?;
                }
                seq.end()
            }
        }

        (self.key, InOrder(self)).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (key, InOrder(mut names)) = Deserialize::deserialize(deserializer)?;
        names.key = key;
        let entries = (0..).zip(names.iter());
        let entries = entries.map(|(id, name)| (key.hash(name.as_bytes()), id, start_hint(names.start(id))));
        names.index = HintedIndex::from_hinted(entries);
        // Of two equal names the first is found.
        if (0..).zip(names.iter()).any(|(id, name)| names.lookup(name) != Some(id)) {
            return Err(D::Error::custom("a name is there twice"));
        }
        Ok(names)
    }
}

/// Names without their index.
struct InOrder(Names);

impl<'de> Deserialize<'de> for InOrder {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Sequence;

        impl<'de> Visitor<'de> for Sequence {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a sequence of names")
            }

            // The claimed length is not used: memory grows only with names actually read.
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Names, A::Error> {
                let mut names = Names::default();
                while seq.next_element_seed(Append(&mut names))?.is_some() {}
                Ok(names)
            }
        }

        deserializer.deserialize_seq(Sequence).map(Self)
    }
}

/// Appends one name as it is read, without a string of its own.
struct Append<'a>(&'a mut Names);

impl<'de> DeserializeSeed<'de> for Append<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Append<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<(), E> {
        if self.0.tail.len().saturating_add(name.len()) >= u32::MAX as usize
            || self.0.len() >= u32::MAX as usize
        {
            return Err(E::custom("more names than can be numbered"));
        }
        if name.as_bytes().contains(&END) {
            return Err(E::custom("a name holds U+0000"));
        }
        self.0.push(name);
        Ok(())
    }
}

/// Returns what the index keeps of where a name starts in its block.
fn start_hint(start: usize) -> [u8; 2] {
    u16::try_from(start).map_or(UNKNOWN_START, u16::to_le_bytes)
}

/// The hint that a name starts at or after byte 65,535 of its block.
const UNKNOWN_START: [u8; 2] = [0xff; 2];

/// What ends a name in its block.
const END: u8 = 0;

/// Names in a block.
const BLOCK: usize = 128;
