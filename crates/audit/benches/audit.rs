//! A full audit on all cores against strict verification of the same signatures, one by one on one core.
//!
//! `cargo bench -p countersign-audit` prints both sides and their ratio; PERFORMANCE asks for at least 0.9 x cores.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a bench measures time")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::time::{Duration, Instant};

use common::World;
use countersign_audit::{LedgerBytes, verify};

const ENTRIES: usize = 20_000;
const ROUNDS: usize = 7;

fn main() {
    let world = World::story("acme", ENTRIES);
    let bytes = world.bytes();
    let signatures: usize = world.entries.iter().map(|entry| entry.signed().signatures().len()).sum();
    let (mut audits, mut stricts) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let report = verify(&mut LedgerBytes::new(bytes.clone()), &world.pin()).unwrap();
        audits.push(start.elapsed());
        assert!(report.is_verified());

        let start = Instant::now();
        for entry in &world.entries {
            let message = entry.signed().signed_bytes();
            for part in entry.signed().signatures() {
                let key = world.state.public_key(&part.keyid).unwrap();
                assert!(key.verify_strict(&message, &part.sig).is_ok());
            }
        }
        stricts.push(start.elapsed());
    }
    let (audit, strict) = (median(audits), median(stricts));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let each = |time: Duration| time.as_secs_f64() * 1e6 / ENTRIES as f64;
    println!("{ENTRIES} entries, {signatures} signatures, {} bytes, {cores} cores", bytes.len());
    println!("full audit          {:8.2} us an entry", each(audit));
    println!("strict, one by one  {:8.2} us an entry", each(strict));
    println!("ratio {:.2} of {cores} x strict", strict.as_secs_f64() / audit.as_secs_f64() / cores as f64);
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
