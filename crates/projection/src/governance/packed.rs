//! Active grants in snapshots: 64 bytes each, in one run, so that reading them costs little more than copying.
//!
//! Nearly all of a large state is its grants. They are written as the names of roles, the number of slots, the free slots,
//! the records of the others by ascending slot, and the rare parts of those that have any. A record is the digest (32 bytes), seq
//! and end (8 each), and the numbers of subject, resource, role and class (4 each), all integers with the lowest byte first.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::live::{Grant, Grants, Rare};
use crate::cow::{Arena, Names};

/// Bytes of a record.
const RECORD: usize = 64;

impl Serialize for Grants {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (roles, arena) = self.parts();
        let mut records = Vec::with_capacity(arena.len() * RECORD);
        let (mut free, mut rare) = (Vec::new(), Vec::new());
        for slot in 0..arena.slot_bound() {
            match arena.get(slot) {
                None => free.push(slot),
                Some(grant) => {
                    write(grant, &mut records);
                    rare.extend(grant.rare.as_deref().map(|rare| (slot, rare)));
                }
            }
        }
        (roles, arena.slot_bound(), free, Bytes(&records), rare).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Grants {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        type Parts<'a> = (Names, u32, Vec<u32>, &'a [u8], Vec<(u32, Rare)>);
        let (roles, bound, free, records, rare) = Parts::deserialize(deserializer)?;
        let arena = read(bound, &free, records, rare);
        let arena = arena.ok_or_else(|| serde::de::Error::custom("grants that no state has"))?;
        Ok(Self::of_parts(roles, arena))
    }
}

fn write(grant: &Grant, out: &mut Vec<u8>) {
    let Grant { digest, seq, until, subject, resource, role, class, rare: _ } = grant;
    out.extend_from_slice(digest);
    for number in [seq, until] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    for number in [subject, resource, role, class] {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

/// The slots; none where numbers do not fit together.
fn read(bound: u32, free: &[u32], records: &[u8], rare: Vec<(u32, Rare)>) -> Option<Arena<Grant>> {
    let (chunks, rest) = records.as_chunks::<RECORD>();
    let live = usize::try_from(bound).ok()?.checked_sub(free.len())?;
    if !rest.is_empty() || chunks.len() != live {
        return None;
    }
    let (mut free, mut chunks, mut rare) =
        (free.iter().peekable(), chunks.iter(), rare.into_iter().peekable());
    let slots = (0..bound).map_while(|slot| {
        if free.next_if_eq(&&slot).is_some() {
            return Some(None);
        }
        let rare = rare.next_if(|(of, _)| *of == slot).map(|(_, rare)| Box::new(rare));
        Some(Some(record(chunks.next()?, rare)))
    });
    let arena = Arena::from_slots(slots)?;
    // Whatever is left over was out of order, or named a slot that is not there. Nothing is, unless every slot was made: there
    // are as many records and free slots as slots.
    let all_used = free.next().is_none() && chunks.next().is_none() && rare.next().is_none();
    all_used.then_some(arena)
}

fn record(bytes: &[u8; RECORD], rare: Option<Box<Rare>>) -> Grant {
    fn part<const N: usize>(bytes: &[u8; RECORD], from: usize) -> [u8; N] {
        let mut part = [0; N];
        part.copy_from_slice(&bytes[from..from + N]);
        part
    }
    let long = |from| u64::from_le_bytes(part(bytes, from));
    let short = |from| u32::from_le_bytes(part(bytes, from));
    Grant {
        digest: part(bytes, 0),
        seq: long(32),
        until: long(40),
        subject: short(48),
        resource: short(52),
        role: short(56),
        class: short(60),
        rare,
    }
}

/// Bytes as bytes, not as a sequence of numbers.
struct Bytes<'a>(&'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(seq: u64, rare: Option<Rare>) -> Grant {
        let number = u32::try_from(seq).unwrap();
        Grant {
            digest: [number as u8; 32],
            seq,
            until: seq + 1_000,
            subject: number + 1,
            resource: number + 2,
            role: number + 3,
            class: number + 4,
            rare: rare.map(Box::new),
        }
    }

    fn packed(grants: &[Grant]) -> Vec<u8> {
        let mut records = Vec::new();
        grants.iter().for_each(|grant| write(grant, &mut records));
        records
    }

    #[test]
    fn grants_come_back_in_their_slots() {
        let rare = Rare { exception: Some([7; 32]), parents: vec![[8; 32]] };
        let (first, second) = (grant(1, None), grant(2, Some(rare.clone())));
        let records = packed(&[first.clone(), second.clone()]);
        let arena = read(4, &[0, 2], &records, vec![(3, rare)]).unwrap();
        let slots: Vec<_> = arena.iter().map(|(slot, grant)| (slot, grant.clone())).collect();
        assert_eq!(slots, [(1, first), (3, second)]);
        assert_eq!(arena.next_slot(), 0);
    }

    #[test]
    fn grants_that_no_state_has_are_refused() {
        let two = packed(&[grant(1, None), grant(2, None)]);
        let rare = || Rare { exception: None, parents: vec![[8; 32]] };
        type Case<'a> = (&'a str, u32, &'a [u32], &'a [u8], Vec<(u32, Rare)>);
        let cases: [Case<'_>; 9] = [
            ("a record too few", 3, &[], &two, vec![]),
            ("a record too many", 2, &[0], &two, vec![]),
            ("a record cut off", 2, &[], &two[..127], vec![]),
            ("the last slot free", 3, &[2], &two, vec![]),
            ("a free slot twice", 4, &[0, 0], &two, vec![]),
            ("free slots out of order", 4, &[1, 0], &two, vec![]),
            ("a free slot out of range", 3, &[9], &two, vec![]),
            ("a rare part of a free slot", 3, &[0], &two, vec![(0, rare())]),
            ("rare parts out of order", 2, &[], &two, vec![(1, rare()), (0, rare())]),
        ];
        assert!(read(2, &[], &two, vec![(0, rare()), (1, rare())]).is_some());
        for (name, bound, free, records, rare) in cases {
            assert!(read(bound, free, records, rare).is_none(), "case: {name}");
        }
    }
}
