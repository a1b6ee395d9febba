//! Keys: whose they are, from which seq to which, how they came to be, and which serials they used.

use countersign_core::digest::KeyId;
use countersign_core::key::PUBLIC_KEY_LEN;
use countersign_core::wire::KeyBytes;
use serde::{Deserialize, Serialize};

use super::derived::Derived;
use super::people::PrincipalNo;
use super::stored::{Contradiction, Hash, LazyKey, sound};
use crate::cow::{CowVec, SlotIndex};

/// Number of a key in the state.
pub(crate) type KeyNo = u32;

/// How far below a key's highest serial another one may still come.
pub(crate) const SERIAL_WINDOW: u64 = 1_024;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct KeyRecord {
    pub(crate) id: Hash,
    pub(crate) public: LazyKey,
    pub(crate) owner: PrincipalNo,
    /// The entry that admitted it: it signs from the next one on.
    pub(crate) admitted: u64,
    /// The entry that ended it: it may still have signed that one.
    pub(crate) ended: Option<u64>,
    /// The first seq whose signature by it is distrusted.
    pub(crate) distrusted_from: Option<u64>,
    /// Whoever enrolled it, other than its owner; inherited by keys enrolled with it.
    pub(crate) enrollers: Vec<PrincipalNo>,
    /// The keys that signed its enrolment, where a compromise of one ends it too. Empty for keys of the charter.
    pub(crate) rests_on: Vec<KeyNo>,
    pub(crate) serials: Serials,
}

/// Every key ever admitted.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Keyring {
    records: CowVec<KeyRecord>,
    by_id: Derived<SlotIndex>,
}

impl Serialize for Keyring {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.records.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Keyring {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let records = CowVec::<KeyRecord>::deserialize(deserializer)?;
        let by_id =
            SlotIndex::from_hashes((0..).zip(records.iter()).map(|(no, key)| (first_bytes(&key.id), no)));
        Ok(Self { records, by_id: Derived(by_id) })
    }
}

impl Keyring {
    /// Checks what was read, but for whose the keys are; `size` is how many entries there are.
    pub(crate) fn check(&self, people: usize, size: u64) -> Result<(), Contradiction> {
        for (_, key) in self.iter() {
            sound(
                *KeyBytes(*key.public.bytes()).key_id().as_bytes() == key.id,
                "a key has another one's id",
            )?;
            let entries = [Some(key.admitted), key.ended];
            sound(
                entries.iter().flatten().all(|seq| *seq < size),
                "a key began or ended after the last entry",
            )?;
            let known = key.enrollers.iter().all(|no| (*no as usize) < people)
                && key.rests_on.iter().all(|no| self.has(*no));
            sound(known, "a key rests on somebody or something that is not there")?;
            sound(key.serials.is_sound(), "serials that no key has used")?;
        }
        let same = |one, other| self.record(one).id == self.record(other).id;
        sound(self.by_id.0.is_injective(same), "a key is there twice")
    }

    pub(crate) fn has(&self, no: KeyNo) -> bool {
        (no as usize) < self.records.len()
    }

    pub(crate) fn find(&self, id: &KeyId) -> Option<KeyNo> {
        self.by_id.0.find(first_bytes(id.as_bytes()), |no| self.record(no).id == *id.as_bytes())
    }

    pub(crate) fn record(&self, no: KeyNo) -> &KeyRecord {
        self.records.get(no as usize).expect("INVARIANT: every number has a record")
    }

    pub(crate) fn record_mut(&mut self, no: KeyNo) -> &mut KeyRecord {
        self.records.get_mut(no as usize).expect("INVARIANT: every number has a record")
    }

    pub(crate) fn add(
        &mut self,
        bytes: [u8; PUBLIC_KEY_LEN],
        id: KeyId,
        owner: PrincipalNo,
        admitted: u64,
        enrollers: Vec<PrincipalNo>,
        rests_on: Vec<KeyNo>,
    ) -> KeyNo {
        let no = u32::try_from(self.records.len()).expect("fewer than 2^32 keys: each takes an entry");
        self.records.push(KeyRecord {
            id: *id.as_bytes(),
            public: LazyKey::new(bytes),
            owner,
            admitted,
            ended: None,
            distrusted_from: None,
            enrollers,
            rests_on,
            serials: Serials::default(),
        });
        let records = &self.records;
        self.by_id.0.insert(first_bytes(id.as_bytes()), no, |no| {
            records.get(no as usize).map_or(0, |key| first_bytes(&key.id))
        });
        no
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (KeyNo, &KeyRecord)> {
        (0..).zip(self.records.iter())
    }
}

/// Digests are uniform: their first bytes serve as a hash.
pub(crate) fn first_bytes(hash: &Hash) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash[..8]);
    u64::from_be_bytes(bytes)
}

/// Which serials a key used, as far as that can still matter: an unbroken run up to the highest, or a window of bits.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Serials {
    highest: Option<u64>,
    /// How many serials up to the highest were used without a gap, at most the window.
    run: u64,
    /// Where there are gaps: bit i is whether highest - i was used.
    gaps: Option<Box<[u64; 16]>>,
}

impl Serials {
    /// Whether `serial` may still be used.
    pub(crate) fn admits(&self, serial: u64) -> bool {
        let Some(highest) = self.highest else { return true };
        if serial > highest {
            return true;
        }
        let below = highest - serial;
        if below >= SERIAL_WINDOW {
            return false;
        }
        match &self.gaps {
            None => below >= self.run,
            Some(bits) => !bit(bits, below),
        }
    }

    pub(crate) fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// Whether some use of serials leads here.
    fn is_sound(&self) -> bool {
        let Some(highest) = self.highest else { return *self == Self::default() };
        let used = |below: u64| self.gaps.as_deref().is_some_and(|bits| bit(bits, below));
        let fits = (1..=SERIAL_WINDOW).contains(&self.run) && self.run - 1 <= highest;
        fits && match &self.gaps {
            None => true,
            Some(_) => {
                (0..self.run).all(used)
                    && !used(self.run)
                    && (self.run..SERIAL_WINDOW).any(used)
                    && !(highest.saturating_add(1)..SERIAL_WINDOW).any(used)
            }
        }
    }

    pub(crate) fn record(&mut self, serial: u64) {
        let Some(highest) = self.highest else {
            *self = Self { highest: Some(serial), run: 1, gaps: None };
            return;
        };
        if self.gaps.is_none() && serial == highest.saturating_add(1) {
            self.highest = Some(serial);
            self.run = (self.run + 1).min(SERIAL_WINDOW);
            return;
        }
        let used = |below: u64| match &self.gaps {
            None => below < self.run,
            Some(bits) => below < SERIAL_WINDOW && bit(bits, below),
        };
        let new_highest = highest.max(serial);
        let shift = new_highest - highest;
        let mut bits = Box::new([0_u64; 16]);
        for below in 0..SERIAL_WINDOW {
            let was_used = new_highest - below.min(new_highest) == serial && below <= new_highest
                || below >= shift && used(below - shift);
            if was_used {
                bits[(below / 64) as usize] |= 1 << (below % 64);
            }
        }
        let run = (0..SERIAL_WINDOW).take_while(|below| bit(&bits, *below)).count() as u64;
        let total: u32 = bits.iter().map(|word| word.count_ones()).sum();
        let unbroken = u64::from(total) == run;
        *self = Self { highest: Some(new_highest), run, gaps: (!unbroken).then_some(bits) };
    }
}

#[cfg(test)]
impl Serials {
    pub(crate) fn spoil(&mut self) {
        self.run = u64::MAX;
    }
}

fn bit(bits: &[u64; 16], index: u64) -> bool {
    bits.get((index / 64) as usize).is_some_and(|word| word >> (index % 64) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn serials_agree_with_a_plain_set(steps in prop::collection::vec(0_u64..5_000, 1..200), jump in 0_u64..3) {
            let (mut serials, mut used) = (Serials::default(), BTreeSet::new());
            let mut base = 0;
            for step in steps {
                let serial = if step % 3 == 0 { base + 1 } else { (base + step % 1_500).saturating_sub(700 * jump) };
                let highest = used.last().copied();
                let want = !used.contains(&serial)
                    && highest.is_none_or(|highest| serial + SERIAL_WINDOW > highest);
                prop_assert_eq!(serials.admits(serial), want, "serial {}", serial);
                if want {
                    serials.record(serial);
                    used.insert(serial);
                    base = base.max(serial);
                }
                prop_assert!(serials.is_sound(), "{:?}", serials);
            }
        }
    }

    #[test]
    fn serials_that_no_use_leads_to_are_told_from_others() {
        let gaps = |bits: &[u64]| {
            let mut all = Box::new([0; 16]);
            bits.iter().for_each(|bit| all[(bit / 64) as usize] |= 1 << (bit % 64));
            Some(all)
        };
        let cases = [
            ("none used, and a run", None, 1, None),
            ("one used, and no run", Some(9), 0, None),
            ("a run longer than the window", Some(9_999), SERIAL_WINDOW + 1, None),
            ("a run that begins below 0", Some(8), 10, None),
            ("a run that its bits do not show", Some(99), 2, gaps(&[0, 2, 5])),
            ("bits that show a longer run", Some(99), 1, gaps(&[0, 1, 5])),
            ("bits without a gap", Some(99), 2, gaps(&[0, 1])),
            ("bits below 0", Some(3), 1, gaps(&[0, 3, 4])),
        ];
        for (name, highest, run, gaps) in cases {
            assert!(!Serials { highest, run, gaps }.is_sound(), "case: {name}");
        }
        assert!(Serials { highest: Some(3), run: 1, gaps: gaps(&[0, 3]) }.is_sound());
        assert!(Serials { highest: Some(9), run: 10, gaps: None }.is_sound());
    }

    #[test]
    fn the_window_ends_exactly_1024_below_the_highest() {
        let mut serials = Serials::default();
        assert!(serials.admits(0));
        serials.record(5_000);
        assert!(!serials.admits(5_000));
        assert!(serials.admits(5_000 - 1_023));
        assert!(!serials.admits(5_000 - 1_024));
        assert!(serials.admits(u64::MAX));
    }
}
