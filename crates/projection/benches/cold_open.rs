//! Opening from a snapshot beside reading and hashing its bytes, which whoever trusts its signature has to do in any case.
//!
//! `cargo bench -p countersign-projection --features bench-internals --bench cold_open [-- GRANTS] [--keep=FILE]`, by default a
//! million active grants. With `--keep` the state is kept in FILE, which `state_probe` reads too. Steps take turns, medians of
//! elapsed time are printed, since a state is made by two threads: run it on an idle machine.

use std::hint::black_box;
use std::path::PathBuf;

use countersign_core::digest::sha256;
use countersign_projection::governance::State;
use countersign_projection::projection::Projection as _;

#[expect(dead_code, reason = "shared with other benches")]
mod probe;

use probe::Probe;
use probe::clock::{Stopwatch, median};

const ROUNDS: usize = 7;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let grants = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(1_000_000);
    let keep = arguments.iter().find_map(|argument| argument.strip_prefix("--keep=")).map(PathBuf::from);
    let file = keep.unwrap_or_else(|| std::env::temp_dir().join(format!("cold-open-{}", std::process::id())));
    if !file.exists() {
        let mut probe = Probe::ready(grants);
        for no in 0..grants {
            probe.grant(no, grants);
        }
        probe.save(&file);
    }
    let (mut reading, mut decoding, mut writing) = (Vec::new(), Vec::new(), Vec::new());
    let (mut size, mut active) = (0, 0);
    for _ in 0..ROUNDS {
        let watch = Stopwatch::short();
        let bytes = std::fs::read(&file).expect("a readable file");
        black_box(sha256(&[&bytes]));
        reading.push(watch.stop());
        let watch = Stopwatch::short();
        let state = State::decode(&bytes).expect("a state of this version");
        decoding.push(watch.stop());
        (size, active) = (bytes.len(), state.grant_count());
        let watch = Stopwatch::short();
        let again = state.to_snapshot();
        writing.push(watch.stop());
        assert!(again == bytes, "a state that was read has the bytes that it was read from");
    }
    if arguments.iter().all(|argument| !argument.starts_with("--keep=")) {
        std::fs::remove_file(&file).expect("the file that was written");
    }
    let [reading, decoding, writing] = [reading, decoding, writing].map(|mut times| median(&mut times) * 1e3);
    println!("a snapshot of {size} bytes, {active} active grants (ms)");
    println!("  {reading:8.0}  reading the file and SHA-256 over it");
    println!("  {decoding:8.0}  making the state of the bytes");
    println!("  {writing:8.0}  writing them");
    println!(
        "  opening (all but the last) is {:.2} times reading and hashing",
        (reading + decoding) / reading
    );
}
