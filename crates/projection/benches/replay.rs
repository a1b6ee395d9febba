//! Replay without signatures: entries read from bytes, judged and folded, beside reading alone and hashing alone.
//!
//! `cargo bench -p countersign-projection --features bench-internals --bench replay [-- GRANTS]`, by default 20,000 grants
//! requested, approved, granted, a quarter of them revoked and granted again. One thread, its processor time; every round of every
//! step goes over the same entries, the steps take turns, and medians are printed: compare within a run, not across.

use std::hint::black_box;
use std::time::Duration;

use countersign_core::digest::sha256;
use countersign_core::entry::Entry;
use countersign_core::statement::VerifiedStatement;
use countersign_projection::governance::{State, judge};

#[expect(dead_code, reason = "shared with other benches")]
mod probe;

use probe::Probe;
use probe::clock::Stopwatch;

const ROUNDS: usize = 9;

fn main() {
    let grants = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(20_000);
    let mut probe = Probe::ready(grants);
    let start = probe.state.clone();
    probe.log = Some(Vec::new());
    for no in 0..grants {
        probe.grant(no, grants);
    }
    for no in 0..grants / 4 {
        probe.renew(no * 4);
    }
    let lines: Vec<Vec<u8>> =
        probe.log.take().into_iter().flatten().map(|entry| entry.bytes().to_vec()).collect();
    let bytes: usize = lines.iter().map(Vec::len).sum();
    println!("{} entries of {} bytes on average, {grants} active grants", lines.len(), bytes / lines.len());

    let mut steps = Steps::default();
    for _ in 0..ROUNDS {
        hash(&lines, &mut steps.hash);
        parse(&lines, &mut steps.parse);
        replay(&lines, &start, &probe.state, &mut steps.replay);
        rules(&lines, &start, &mut steps.rules);
    }
    let rate = |times: &mut Vec<Duration>| lines.len() as f64 / probe::clock::median(times);
    let (hash, parse, replay) = (rate(&mut steps.hash), rate(&mut steps.parse), rate(&mut steps.replay));
    println!("  {:9.0} entries/s  SHA-256 of the entry alone", hash);
    println!("  {:9.0} entries/s  reading alone: canonical form, schema, both digests", parse);
    println!(
        "  {:9.0} entries/s  replay: reading, judging, folding; {:.2} of reading alone, {:.3} of SHA-256 alone",
        replay,
        replay / parse,
        replay / hash
    );
    println!("  {:9.0} entries/s  judging and folding alone", rate(&mut steps.rules));
}

#[derive(Default)]
struct Steps {
    hash: Vec<Duration>,
    parse: Vec<Duration>,
    replay: Vec<Duration>,
    rules: Vec<Duration>,
}

fn hash(lines: &[Vec<u8>], times: &mut Vec<Duration>) {
    let watch = Stopwatch::start();
    for line in lines {
        black_box(sha256(&[line]));
    }
    times.push(watch.stop());
}

fn parse(lines: &[Vec<u8>], times: &mut Vec<Duration>) {
    let watch = Stopwatch::start();
    for line in lines {
        black_box(Entry::parse(line.as_slice()).expect("an entry"));
    }
    times.push(watch.stop());
}

fn replay(lines: &[Vec<u8>], start: &State, end: &State, times: &mut Vec<Duration>) {
    let mut state = start.clone();
    let watch = Stopwatch::start();
    for line in lines {
        let entry = Entry::parse(line.as_slice()).expect("an entry");
        let statement = VerifiedStatement::assume_verified(entry.signed().clone());
        let admitted = judge(&state, &statement, entry.recorded_at()).expect("an admitted statement");
        state.fold(&admitted.confirm(entry).expect("the entry that was judged"));
    }
    times.push(watch.stop());
    assert_eq!(state.head(), end.head(), "the replay ends where the history ended");
}

/// Judging and folding alone, of entries that were read before.
fn rules(lines: &[Vec<u8>], start: &State, times: &mut Vec<Duration>) {
    let mut state = start.clone();
    let entries: Vec<Entry> =
        lines.iter().map(|line| Entry::parse(line.as_slice()).expect("an entry")).collect();
    let watch = Stopwatch::start();
    for entry in entries {
        let statement = VerifiedStatement::assume_verified(entry.signed().clone());
        let admitted = judge(&state, &statement, entry.recorded_at()).expect("an admitted statement");
        state.fold(&admitted.confirm(entry).expect("the entry that was judged"));
    }
    times.push(watch.stop());
}
