//! A vector of chunks, copied on write.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A vector that clones in constant time; afterwards a change copies only the chunk it touches.
///
/// Elements stand in chunks of `CHUNK`, and the chunks in groups of 256, so that the first change after a clone copies
/// one chunk and two lists of pointers: at 10 million elements and `CHUNK` = 256, lists of 153 and 256. The elements
/// after the last full chunk stand in a tail of their own, at most `CHUNK` of them.
///
/// Zero-sized elements are refused at compile time: a serialised length would then cost nothing to claim.
pub struct CowVec<T, const CHUNK: usize = 256> {
    // INVARIANT: every chunk has exactly CHUNK elements, every group but the last exactly GROUP chunks, none is empty.
    groups: Arc<[Group<T>]>,
    // INVARIANT: equals the number of chunks in `groups`.
    full_chunks: usize,
    // INVARIANT: at most CHUNK elements.
    tail: Arc<Vec<T>>,
}

/// Slices and no vectors: on the way to an element there is nothing to load but one pointer a level.
type Group<T> = Arc<[Arc<[T]>]>;

impl<T, const CHUNK: usize> CowVec<T, CHUNK> {
    /// Returns an empty vector.
    pub fn new() -> Self {
        const { assert!(size_of::<T>() != 0 && CHUNK != 0) };
        Self { groups: Arc::from([]), full_chunks: 0, tail: Arc::default() }
    }

    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        self.full_chunks * CHUNK + self.tail.len()
    }

    /// Returns whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the element at `index`, or `None` at or past the end.
    pub fn get(&self, index: usize) -> Option<&T> {
        let chunk = index / CHUNK;
        if chunk < self.full_chunks {
            Some(&self.groups[chunk / GROUP][chunk % GROUP][index % CHUNK])
        } else {
            self.tail.get(index - self.full_chunks * CHUNK)
        }
    }

    /// Returns the last element.
    pub fn last(&self) -> Option<&T> {
        self.len().checked_sub(1).and_then(|index| self.get(index))
    }

    /// Returns the elements in order.
    pub fn iter(&self) -> Iter<'_, T> {
        self.iter_from(0)
    }

    /// Returns the elements from `index` on, in order; none when `index` is past the end.
    pub fn iter_from(&self, index: usize) -> Iter<'_, T> {
        let chunk = (index / CHUNK).min(self.full_chunks);
        let skipped = index - chunk * CHUNK;
        let mut iter = Iter {
            groups: &self.groups,
            next_chunk: chunk,
            full_chunks: self.full_chunks,
            slice: [].iter(),
            tail: &self.tail,
            left: self.len().saturating_sub(index),
        };
        if iter.left > 0 {
            iter.refill();
            iter.slice = iter.slice.as_slice()[skipped..].iter();
        }
        iter
    }
}

impl<T: Clone, const CHUNK: usize> CowVec<T, CHUNK> {
    /// Appends `value`.
    pub fn push(&mut self, value: T) {
        if self.tail.len() == CHUNK {
            self.seal_tail();
        }
        Arc::make_mut(&mut self.tail).push(value);
    }

    /// Returns the element at `index` for changing, or `None` at or past the end.
    ///
    /// Copies the chunk if a clone still shares it, whether or not the caller then changes the element.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        let chunk = index / CHUNK;
        if chunk < self.full_chunks {
            let group = &mut Arc::make_mut(&mut self.groups)[chunk / GROUP];
            let chunk = &mut Arc::make_mut(group)[chunk % GROUP];
            Some(&mut Arc::make_mut(chunk)[index % CHUNK])
        } else {
            let index = index - self.full_chunks * CHUNK;
            if index >= self.tail.len() {
                return None;
            }
            Arc::make_mut(&mut self.tail).get_mut(index)
        }
    }

    /// Removes the last element and returns it.
    pub fn pop(&mut self) -> Option<T> {
        if self.tail.is_empty() {
            self.open_last_chunk()?;
        }
        Arc::make_mut(&mut self.tail).pop()
    }

    /// Removes the element at `index`, puts the last one in its place, and returns what was removed; `None` at or past
    /// the end.
    pub fn swap_remove(&mut self, index: usize) -> Option<T> {
        if index >= self.len() {
            return None;
        }
        let last = self.pop()?;
        Some(match self.get_mut(index) {
            Some(place) => std::mem::replace(place, last),
            None => last,
        })
    }

    fn seal_tail(&mut self) {
        let chunk: Arc<[T]> = match Arc::get_mut(&mut self.tail) {
            Some(tail) => Arc::from(std::mem::take(tail)),
            None => {
                let chunk = Arc::from(self.tail.as_slice());
                self.tail = Arc::default();
                chunk
            }
        };
        match self.groups.last() {
            Some(group) if group.len() < GROUP => {
                let fuller = group.iter().cloned().chain([chunk]).collect();
                if let Some(last) = Arc::make_mut(&mut self.groups).last_mut() {
                    *last = fuller;
                }
            }
            Some(_) | None => {
                let added: Group<T> = Arc::new([chunk]);
                self.groups = self.groups.iter().cloned().chain([added]).collect();
            }
        }
        self.full_chunks += 1;
    }

    /// Turns the last full chunk into the tail, which is empty. `None` if there is no chunk.
    fn open_last_chunk(&mut self) -> Option<()> {
        let (last, others) = self.groups.split_last()?;
        let (chunk, kept) = last.split_last()?;
        let chunk = chunk.clone();
        if kept.is_empty() {
            self.groups = others.into();
        } else {
            let kept = kept.into();
            *Arc::make_mut(&mut self.groups).last_mut()? = kept;
        }
        self.full_chunks -= 1;
        self.tail = Arc::new(chunk.to_vec());
        Some(())
    }
}

// Not derived: that would ask for `T: Clone`.
impl<T, const CHUNK: usize> Clone for CowVec<T, CHUNK> {
    fn clone(&self) -> Self {
        Self { groups: Arc::clone(&self.groups), full_chunks: self.full_chunks, tail: Arc::clone(&self.tail) }
    }
}

impl<T, const CHUNK: usize> Default for CowVec<T, CHUNK> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: PartialEq, const CHUNK: usize> PartialEq for CowVec<T, CHUNK> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl<T: Eq, const CHUNK: usize> Eq for CowVec<T, CHUNK> {}

impl<T: fmt::Debug, const CHUNK: usize> fmt::Debug for CowVec<T, CHUNK> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T: Clone, const CHUNK: usize> Extend<T> for CowVec<T, CHUNK> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, values: I) {
        for value in values {
            self.push(value);
        }
    }
}

impl<T: Clone, const CHUNK: usize> FromIterator<T> for CowVec<T, CHUNK> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut vec = Self::new();
        vec.extend(values);
        vec
    }
}

impl<'a, T, const CHUNK: usize> IntoIterator for &'a CowVec<T, CHUNK> {
    type Item = &'a T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T: Serialize, const CHUNK: usize> Serialize for CowVec<T, CHUNK> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de, T: Clone + Deserialize<'de>, const CHUNK: usize> Deserialize<'de> for CowVec<T, CHUNK> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements<T, const CHUNK: usize>(PhantomData<T>);

        impl<'de, T: Clone + Deserialize<'de>, const CHUNK: usize> Visitor<'de> for Elements<T, CHUNK> {
            type Value = CowVec<T, CHUNK>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a sequence")
            }

            // The claimed length is not used: memory grows only with elements actually read.
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut vec = CowVec::new();
                while let Some(value) = seq.next_element()? {
                    vec.push(value);
                }
                Ok(vec)
            }
        }

        deserializer.deserialize_seq(Elements(PhantomData))
    }
}

/// The elements of a [`CowVec`], in order.
pub struct Iter<'a, T> {
    groups: &'a [Group<T>],
    next_chunk: usize,
    full_chunks: usize,
    slice: std::slice::Iter<'a, T>,
    tail: &'a [T],
    left: usize,
}

impl<'a, T> Iter<'a, T> {
    /// Points `slice` at the next chunk, or at the tail after the last one.
    fn refill(&mut self) {
        if self.next_chunk < self.full_chunks {
            self.slice = self.groups[self.next_chunk / GROUP][self.next_chunk % GROUP].iter();
            self.next_chunk += 1;
        } else {
            self.slice = std::mem::take(&mut self.tail).iter();
        }
    }
}

impl<'a, T> Iterator for Iter<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        if self.slice.len() == 0 {
            self.refill();
        }
        self.slice.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T> ExactSizeIterator for Iter<'_, T> {}

/// Chunks in a group.
const GROUP: usize = 256;
