//! Copy-on-write structures that the governance state is built from.
//!
//! All of them clone in constant time and share what neither side has changed since, so that the single writer
//! publishes a batch by cloning the state once, and readers keep the version they hold for as long as they like.
//! The first change to a part after a clone copies that part (a chunk, a leaf, a page, and the two short lists of
//! pointers above it), never the whole.
//!
//! Nothing here depends on randomness, addresses or the order of a hash table: iteration follows positions or keys.
//! Serialised forms are the logical content, in order; what can be derived is built again on loading, and content
//! that no sequence of calls could have produced is refused.
//!
//! | structure | is | order |
//! | --- | --- | --- |
//! | [`CowVec`] | a vector of chunks | position |
//! | [`Arena`] | numbered slots, the lowest free one used first | slot |
//! | [`OrdMap`], [`OrdSet`] | a sorted map or set | key |
//! | [`SlotIndex`] | a hash index from something stored elsewhere to its slot | none; never iterated |
//! | [`Names`] | an interner of strings | first interning |

mod arena;
mod index;
mod map;
mod names;
mod vec;

pub use arena::Arena;
pub use index::{HashKey, HintedIndex, SlotIndex};
pub use map::{OrdMap, OrdSet};
pub use names::Names;
pub use vec::CowVec;

#[cfg(test)]
mod tests;
