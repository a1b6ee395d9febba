//! A full audit on all cores against strict verification of the same signatures, one by one on one core and on all of them; and a
//! ledger with one bad signature against a clean one.
//!
//! `cargo bench -p countersign-audit [-- ENTRIES [ROUNDS]]` prints both sides and their ratio; PERFORMANCE asks for at least
//! 0.9 x cores, and for at most 1.1 x the time of a clean audit. Processor times are beside wall times, since they say the same on
//! a machine that is busy with something else.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a bench measures time")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::time::{Duration, Instant};

use common::World;
use countersign_audit::{LedgerBytes, Options, verify};
use countersign_core::entry::Entry;
use rayon::prelude::*;

fn main() {
    let numbers: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let entries = numbers.first().copied().unwrap_or(20_000);
    let rounds = numbers.get(1).copied().unwrap_or(7);
    let world = World::story("acme", entries);
    let (bytes, pin) = (world.bytes(), world.pin());
    let bad = with_bad_signature(&world);
    let signatures: usize = world.entries.iter().map(|entry| entry.signed().signatures().len()).sum();
    let (mut audits, mut bads, mut stricts, mut shared) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let strict = |entry: &Entry| {
        let message = entry.signed().signed_bytes();
        for part in entry.signed().signatures() {
            let key = world.state.public_key(&part.keyid).unwrap();
            assert!(key.verify_strict(&message, &part.sig).is_ok());
        }
    };
    for _ in 0..rounds {
        audits.push(measure(|| assert!(audit(&bytes, &pin).is_none())));
        bads.push(measure(|| {
            let found = audit(&bad, &pin);
            assert_eq!(found, Some((entries as u64 - 1, "signature".to_owned())));
        }));
        stricts.push(measure(|| world.entries.iter().for_each(strict)));
        shared.push(measure(|| world.entries.par_iter().for_each(strict)));
    }
    let (audit, bad, strict, shared) = (median(audits), median(bads), median(stricts), median(shared));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{entries} entries, {signatures} signatures, {} bytes, {cores} cores", bytes.len());
    let times = [
        ("full audit", audit),
        ("one bad signature", bad),
        ("strict, one by one", strict),
        ("strict, on all cores", shared),
    ];
    for (name, time) in times {
        let each = |time: Duration| time.as_secs_f64() * 1e6 / entries as f64;
        println!("{name:<20} {:8.2} us an entry, {:8.2} us of processors", each(time.wall), each(time.cpu));
    }
    let over = |a: Duration, b: Duration| a.as_secs_f64() / b.as_secs_f64();
    println!(
        "rate {:.2} of {cores} x strict ({:.2} by processor time)",
        over(strict.wall, audit.wall) / cores as f64,
        over(strict.cpu, audit.cpu)
    );
    println!("rate {:.2} of strict on all cores", over(shared.wall, audit.wall));
    println!("one bad signature takes {:.2} of a clean audit", over(bad.wall, audit.wall));
}

fn audit(bytes: &[u8], pin: &Options) -> Option<(u64, String)> {
    let report = verify(&mut LedgerBytes::new(bytes), pin).unwrap();
    common::fault(&report)
}

/// The ledger with one bit changed in the signature of its last entry, which nothing else protects.
fn with_bad_signature(world: &World) -> Vec<u8> {
    let mut lines = world.lines();
    let last = lines.last_mut().unwrap();
    let at = String::from_utf8_lossy(last).find("\"sig\":\"").unwrap() + 7;
    last[at] = if last[at] == b'A' { b'B' } else { b'A' };
    common::join(&lines)
}

#[derive(Clone, Copy)]
struct Times {
    wall: Duration,
    cpu: Duration,
}

fn measure(work: impl FnOnce()) -> Times {
    let (start, before) = (Instant::now(), processor_time());
    work();
    Times { wall: start.elapsed(), cpu: processor_time().saturating_sub(before) }
}

/// Of all threads of this process, in steps of 10 ms; zero where the system does not tell.
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = text.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks =
        after_name.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>();
    Duration::from_millis(ticks * 10)
}

fn median(times: Vec<Times>) -> Times {
    let middle = |mut times: Vec<Duration>| {
        times.sort();
        times[times.len() / 2]
    };
    Times {
        wall: middle(times.iter().map(|times| times.wall).collect()),
        cpu: middle(times.iter().map(|times| times.cpu).collect()),
    }
}
