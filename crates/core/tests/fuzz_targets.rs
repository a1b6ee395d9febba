//! The bodies of the fuzz targets over their seeds and over simple changes of these, without a fuzzer.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod support;

#[allow(unreachable_pub, reason = "public in the fuzz package")]
#[path = "../../../fuzz/src/seeds.rs"]
mod seeds;
#[allow(unreachable_pub, reason = "public in the fuzz package")]
#[path = "../../../fuzz/src/targets.rs"]
mod targets;

use std::collections::BTreeSet;

/// A generator with a fixed start (xorshift64), so that every run is the same.
struct Steps(u64);

impl Steps {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % end.max(1)
    }

    /// One change: a byte set, put in or taken out, a stretch doubled, moved or cut off, or another seed's stretch put in.
    fn change(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        const TELLING: &[u8] = b"\"\\{}[]:,-+.eE0189uabf/ \n\x00\x7f\xc3\xe2\xff=";
        let at = self.below(bytes.len());
        let byte =
            if self.below(2) == 0 { TELLING[self.below(TELLING.len())] } else { self.below(256) as u8 };
        match self.below(7) {
            0 if !bytes.is_empty() => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            2 if !bytes.is_empty() => drop(bytes.remove(at)),
            3 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
            4 => bytes.truncate(at),
            5 => {
                let stretch = bytes[at..(at + self.below(40)).min(bytes.len())].to_vec();
                let to = self.below(bytes.len());
                bytes.splice(to..to, stretch);
            }
            _ => {
                let from = self.below(other.len());
                let stretch = other[from..(from + self.below(80)).min(other.len())].to_vec();
                bytes.splice(at..at, stretch);
            }
        }
    }
}

#[test]
fn fuzz_targets_hold_over_their_seeds_and_changes_of_them() {
    let all = seeds::seeds(&support::workspace().join("tests/golden")).unwrap();
    let mut steps = Steps(0x9e37_79b9_7f4a_7c15);
    let mut with_seeds = BTreeSet::new();
    for (name, run) in targets::ALL {
        let seeds: Vec<&[u8]> =
            all.iter().filter(|(target, ..)| *target == name).map(|(_, _, bytes)| &bytes[..]).collect();
        assert!(!seeds.is_empty(), "{name} has no seed");
        with_seeds.insert(name);
        run(b"");
        for seed in &seeds {
            run(seed);
        }
        for _ in 0..4_000 {
            let mut bytes = seeds[steps.below(seeds.len())].to_vec();
            for _ in 0..=steps.below(3) {
                let other = seeds[steps.below(seeds.len())];
                steps.change(&mut bytes, other);
            }
            run(&bytes);
        }
    }
    assert!(all.iter().all(|(target, ..)| with_seeds.contains(target)), "a seed of no target");
}
