//! A hash index of slots, copied on write.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use super::CowVec;

/// The key of SipHash 1-3, the hash of a [`SlotIndex`] over names from outside.
///
/// The key decides how fast lookups are, never what they find, and no byte of any output depends on it. It is derived
/// from public facts, so that every machine does the same work; an author of names who knows it can search for names that
/// share parts of their hashes. See [`SlotIndex`] for what that gains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HashKey(pub [u8; 16]);

impl HashKey {
    /// Returns the hash of `bytes`.
    pub fn hash(&self, bytes: &[u8]) -> u64 {
        SipHasher13::new_with_key(&self.0).hash(bytes)
    }
}

/// A hash index from something stored elsewhere to the number of its slot there; clones in constant time.
///
/// The index holds no keys: the caller brings the hash and tells which of the candidate slots is meant. Entries stand in
/// pages of about 128, and a page is chosen by the low bits of the hash, the number of pages growing by one at a time
/// (linear hashing, Litwin 1980): no insertion pays for a doubling, and the first change after a clone copies
/// one page. In its page an entry keeps 16 more bits of the hash, by which the page is sorted. An entry costs 6 bytes, and its
/// share of the page's header, about 1.
///
/// The worst case is a page full of equal 16 bits: to place n entries there, an author of names must search about
/// n * 2^16 * pages hashes for them and have every name admitted; each lookup in that page then compares n names. Pages
/// split as the index grows, not as one page does, so such a page costs others neither time nor memory.
///
/// Not serialised: what it indexes is, and `from_hashes` builds it again.
pub type SlotIndex = HintedIndex<()>;

/// A [`SlotIndex`] that keeps a hint with each slot: something that helps to decide whether it is the one meant.
#[derive(Clone)]
pub struct HintedIndex<H> {
    // INVARIANT: page p holds exactly the entries whose hash `page_of` maps to p, by ascending tag.
    pages: CowVec<Page<H>, 32>,
    len: usize,
}

type Page<H> = Arc<[Entry<H>]>;

/// Six bytes and the hint, without padding: arrays of bytes need no alignment.
#[derive(Clone, Copy)]
struct Entry<H> {
    tag: [u8; 2],
    slot: [u8; 4],
    hint: H,
}

impl SlotIndex {
    /// Returns an index of `entries`, each a hash and a slot.
    pub fn from_hashes(entries: impl IntoIterator<Item = (u64, u32)>) -> Self {
        Self::from_hinted(entries.into_iter().map(|(hash, slot)| (hash, slot, ())))
    }

    /// Returns the slot for which `is_it` holds among the entries that may have `hash`.
    ///
    /// `is_it` must compare the key itself: it is also asked about slots of other hashes.
    pub fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        self.find_hinted(hash, |slot, ()| is_it(slot))
    }

    /// Returns the slots of all entries that may have `hash`, and some of other hashes, in no order that means anything.
    /// Adds an entry. The caller has made sure that its key is not there yet.
    ///
    /// `rehash` returns the hash of the key in a slot; it is asked about slots already in the index, never `slot`.
    pub fn insert(&mut self, hash: u64, slot: u32, rehash: impl FnMut(u32) -> u64) {
        self.insert_hinted(hash, slot, (), rehash);
    }
}

impl<H> HintedIndex<H> {
    /// Returns an empty index.
    pub fn new() -> Self {
        Self { pages: CowVec::new(), len: 0 }
    }

    /// Returns the number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<H: Copy> HintedIndex<H> {
    /// As [`SlotIndex::from_hashes`], with a hint each.
    pub fn from_hinted(entries: impl IntoIterator<Item = (u64, u32, H)>) -> Self {
        let entries: Vec<(u64, u32, H)> = entries.into_iter().collect();
        let pages = entries.len().div_ceil(PAGE_MEAN);
        let mut buckets: Vec<Vec<Entry<H>>> =
            std::iter::repeat_with(|| Vec::with_capacity(PAGE_MEAN * 5 / 4)).take(pages).collect();
        for (hash, slot, hint) in &entries {
            buckets[page_of(*hash, pages)].push(Entry::new(*hash, *slot, *hint));
        }
        let sorted = buckets.into_iter().map(|mut bucket| {
            bucket.sort_by_key(Entry::tag);
            Page::from(bucket)
        });
        Self { pages: sorted.collect(), len: entries.len() }
    }

    /// As [`SlotIndex::find`]; `is_it` is also given the hint.
    pub fn find_hinted(&self, hash: u64, mut is_it: impl FnMut(u32, H) -> bool) -> Option<u32> {
        self.of_tag(hash).find(|entry| is_it(entry.slot(), entry.hint)).map(Entry::slot)
    }

    /// Returns slot and hint of all entries that may have `hash`, and some of other hashes, in no order that means anything.
    pub fn candidates(&self, hash: u64) -> impl Iterator<Item = (u32, H)> {
        self.of_tag(hash).map(|entry| (entry.slot(), entry.hint))
    }

    /// The entries in the page of `hash` that have its tag.
    fn of_tag(&self, hash: u64) -> impl Iterator<Item = &Entry<H>> {
        let page: &[Entry<H>] = self.pages.get(page_of(hash, self.pages.len())).map_or(&[], |page| page);
        let tag = tag_of(hash);
        page[lower_bound(page, tag)..].iter().take_while(move |entry| entry.tag() == tag)
    }

    /// Returns whether `same` holds of no two slots whose entries may have the same hash. Keys that are the same have the same hash, so this
    /// tells whether any is there twice.
    pub fn is_injective(&self, mut same: impl FnMut(u32, u32) -> bool) -> bool {
        self.pages.iter().all(|page| {
            page.chunk_by(|one, other| one.tag == other.tag).all(|run| {
                (1..run.len()).all(|at| run[..at].iter().all(|one| !same(one.slot(), run[at].slot())))
            })
        })
    }

    /// As [`SlotIndex::insert`], with a hint. A key may be there several times, for who asks for [all](Self::candidates).
    pub fn insert_hinted(&mut self, hash: u64, slot: u32, hint: H, rehash: impl FnMut(u32) -> u64) {
        if self.len >= self.pages.len() * PAGE_MEAN {
            self.split(rehash);
        }
        let page = self.page_mut(hash);
        let at = lower_bound(page, tag_of(hash));
        let (before, after) = page.split_at(at);
        let entry = std::iter::once(Entry::new(hash, slot, hint));
        *page = before.iter().copied().chain(entry).chain(after.iter().copied()).collect();
        self.len += 1;
    }

    /// Removes the entry of `hash` and `slot` and returns whether there was one.
    pub fn remove(&mut self, hash: u64, slot: u32) -> bool {
        let Some(page) = self.pages.get(page_of(hash, self.pages.len())) else { return false };
        let tag = tag_of(hash);
        let start = lower_bound(page, tag);
        let mut candidates = page[start..].iter().take_while(|entry| entry.tag() == tag);
        let Some(offset) = candidates.position(|entry| entry.slot() == slot) else { return false };
        let (before, after) = page.split_at(start + offset);
        let without = before.iter().chain(&after[1..]).copied().collect();
        *self.page_mut(hash) = without;
        self.len -= 1;
        if self.len < self.pages.len() * (PAGE_MEAN / 4) {
            self.unsplit();
        }
        true
    }

    fn page_mut(&mut self, hash: u64) -> &mut Page<H> {
        let page = page_of(hash, self.pages.len());
        self.pages.get_mut(page).expect("page_of is below the number of pages, and there is a page")
    }

    /// Adds a page, and moves there what now belongs there, all of it from one other page.
    fn split(&mut self, mut rehash: impl FnMut(u32) -> u64) {
        let added = self.pages.len();
        let Some(buddy) = buddy_of(added) else {
            self.pages.push(Arc::new([]));
            return;
        };
        let page = self.pages.get_mut(buddy).expect("the buddy is a lower page");
        let (moved, kept): (Vec<Entry<H>>, Vec<Entry<H>>) =
            page.iter().copied().partition(|entry| page_of(rehash(entry.slot()), added + 1) == added);
        *page = kept.into();
        self.pages.push(moved.into());
    }

    /// Takes the last page away, unless it is the only one, and puts its entries where they then belong.
    fn unsplit(&mut self) {
        let Some(buddy) = buddy_of(self.pages.len() - 1) else { return };
        let Some(removed) = self.pages.pop() else { return };
        let page = self.pages.get_mut(buddy).expect("the buddy is a lower page");
        let mut joined: Vec<Entry<H>> = page.iter().chain(removed.iter()).copied().collect();
        joined.sort_by_key(Entry::tag);
        *page = joined.into();
    }
}

impl<H> Default for HintedIndex<H> {
    fn default() -> Self {
        Self::new()
    }
}

impl<H> fmt::Debug for HintedIndex<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlotIndex").field("len", &self.len).field("pages", &self.pages.len()).finish()
    }
}

impl<H> Entry<H> {
    fn new(hash: u64, slot: u32, hint: H) -> Self {
        Self { tag: tag_of(hash).to_le_bytes(), slot: slot.to_le_bytes(), hint }
    }

    fn tag(&self) -> u16 {
        u16::from_le_bytes(self.tag)
    }

    fn slot(&self) -> u32 {
        u32::from_le_bytes(self.slot)
    }
}

/// Returns the bits of `hash` kept in the entry: the highest, since the lowest choose the page.
fn tag_of(hash: u64) -> u16 {
    (hash >> 48) as u16
}

/// Returns the page of `hash` among `pages`, and 0 when there are none.
fn page_of(hash: u64, pages: usize) -> usize {
    let mask = pages.next_power_of_two() - 1;
    let page = (hash as usize) & mask;
    if page < pages { page } else { page & (mask >> 1) }
}

/// Returns the page whose entries the page `added` shares when it is the last; `None` for page 0.
fn buddy_of(added: usize) -> Option<usize> {
    Some(added - (1 << added.checked_ilog2()?))
}

/// Returns the first place in a page whose tag is not below `tag`.
fn lower_bound<H>(page: &[Entry<H>], tag: u16) -> usize {
    // Tags are spread evenly, so the place is within a few of where proportion puts it. Those few are counted without a
    // branch: a processor that has to guess where a search ends waits for the page, and can not go on with what comes after.
    let guess = (usize::from(tag) * page.len()) >> 16;
    let start = guess.saturating_sub(WINDOW / 2).min(page.len().saturating_sub(WINDOW));
    let window = &page[start..page.len().min(start + WINDOW)];
    let below = window.iter().map(|entry| usize::from(entry.tag() < tag)).sum::<usize>();
    let mut at = start + below;
    if (below > 0 || start == 0) && (below < window.len() || at == page.len()) {
        return at;
    }
    while at > 0 && page[at - 1].tag() >= tag {
        at -= 1;
    }
    while at < page.len() && page[at].tag() < tag {
        at += 1;
    }
    at
}

/// Entries around the likely place that are looked at together: enough for all but a few in a hundred searches.
const WINDOW: usize = 16;

/// Entries a page holds on average before another is added.
const PAGE_MEAN: usize = 128;
