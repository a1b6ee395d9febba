//! The bodies of the fuzz targets over their seeds and over simple changes of these, without a fuzzer.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod support;

#[allow(unreachable_pub, reason = "public in the fuzz package")]
#[path = "../../../fuzz/src/seeds.rs"]
mod seeds;
#[allow(dead_code, unreachable_pub, reason = "for tests of other packages too")]
#[path = "../../../fuzz/src/shaking.rs"]
mod shaking;
#[allow(unreachable_pub, reason = "public in the fuzz package")]
#[path = "../../../fuzz/src/targets.rs"]
mod targets;

use std::collections::BTreeSet;

use shaking::Steps;

/// One change: a byte set, put in or taken out, a stretch doubled, moved or cut off, or another seed's stretch put in.
fn change(steps: &mut Steps, bytes: &mut Vec<u8>, other: &[u8]) {
    const TELLING: &[u8] = b"\"\\{}[]:,-+.eE0189uabf/ \n\x00\x7f\xc3\xe2\xff=";
    let at = steps.below(bytes.len());
    let byte = if steps.below(2) == 0 { TELLING[steps.below(TELLING.len())] } else { steps.below(256) as u8 };
    match steps.below(7) {
        0 if !bytes.is_empty() => bytes[at] = byte,
        1 => bytes.insert(at, byte),
        2 if !bytes.is_empty() => drop(bytes.remove(at)),
        3 if !bytes.is_empty() => bytes[at] ^= 1 << steps.below(8),
        4 => bytes.truncate(at),
        5 => {
            let stretch = bytes[at..(at + steps.below(40)).min(bytes.len())].to_vec();
            let to = steps.below(bytes.len());
            bytes.splice(to..to, stretch);
        }
        _ => {
            let from = steps.below(other.len());
            let stretch = other[from..(from + steps.below(80)).min(other.len())].to_vec();
            bytes.splice(at..at, stretch);
        }
    }
}

#[test]
fn fuzz_targets_hold_over_their_seeds_and_changes_of_them() {
    let all = seeds::seeds(&support::workspace().join("tests/golden")).unwrap();
    let mut steps = Steps::new();
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
                change(&mut steps, &mut bytes, other);
            }
            run(&bytes);
        }
    }
    assert!(all.iter().all(|(target, ..)| with_seeds.contains(target)), "a seed of no target");
}
