//! Appending batches of 64 entries to the SQLite store against writing and syncing the same bytes, in turns; and scanning what was
//! appended against parsing and verifying it as an auditor does at least: hash, canonical form, signature.
//!
//! `cargo bench -p countersign-sqlite --bench append` prints both sides, and the median of the ratios of neighbours.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a bench measures time")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant};

use common::{TempDir, open};
use countersign_core::entry::{Entry, Head};
use countersign_core::key::{SecretKey, SignerKey as _};
use countersign_store::conformance::Author;
use countersign_store::{Batch, Store as _};

const BATCH: usize = 64;
const ROUNDS: usize = 200;

fn main() {
    let entries = Author::new(1).entries(Head::EMPTY, BATCH * ROUNDS);
    let dir = TempDir::new("bench");
    let store = open(&dir.file());
    let mut raw = File::create(dir.path().join("raw")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (mut raws, mut appends, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for part in entries.chunks(BATCH) {
        let lines: Vec<u8> = part.iter().flat_map(|entry| [&entry.bytes()[..], b"\n"].concat()).collect();
        let start = Instant::now();
        raw.write_all(&lines).unwrap();
        raw.sync_data().unwrap();
        let written = start.elapsed();

        let batch = Batch::new(part.to_vec()).unwrap();
        let start = Instant::now();
        runtime.block_on(store.append(batch)).unwrap();
        let appended = start.elapsed();
        raws.push(written);
        appends.push(appended);
        ratios.push(written.as_secs_f64() / appended.as_secs_f64());
    }
    let each = |time: Duration| time.as_secs_f64() * 1e6 / BATCH as f64;
    println!("{ROUNDS} batches of {BATCH} entries of {} bytes", entries[0].bytes().len());
    println!("write and sync   {:8.2} us an entry", each(median(raws)));
    println!("append           {:8.2} us an entry", each(median(appends)));
    println!("rate of append to that of write and sync {:.2}", middle(ratios));
    scanning(&store, &runtime, entries.len());
}

fn scanning(store: &countersign_sqlite::SqliteStore, runtime: &tokio::runtime::Runtime, count: usize) {
    const AUDITED: usize = 1_000;
    let key = SecretKey::from_seed(&[1; 32]).public_key();
    let (mut scans, mut audits, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..11 {
        let start = Instant::now();
        let mut entries = Vec::with_capacity(count);
        while entries.len() < count {
            entries.extend(runtime.block_on(store.read(entries.len() as u64, 4_096)).unwrap());
        }
        let scanned = start.elapsed() / u32::try_from(count).unwrap();

        let start = Instant::now();
        for bytes in &entries[..AUDITED] {
            let entry = Entry::parse(bytes.clone()).unwrap();
            entry.signed().check_signatures(|_| Some(key)).unwrap();
        }
        let audited = start.elapsed() / u32::try_from(AUDITED).unwrap();
        scans.push(scanned);
        audits.push(audited);
        ratios.push(audited.as_secs_f64() / scanned.as_secs_f64());
    }
    println!("scan             {:8.2} us an entry", median(scans).as_secs_f64() * 1e6);
    println!("parse and verify {:8.2} us an entry, on one core", median(audits).as_secs_f64() * 1e6);
    println!("rate of the scan to that of parsing and verifying {:.1}", middle(ratios));
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn middle(mut ratios: Vec<f64>) -> f64 {
    ratios.sort_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}
