//! Appending batches of 64 entries to the file store against writing and syncing the same bytes, in turns; and opening a full
//! segment against reading and hashing it.
//!
//! `cargo bench -p countersign-store --bench append` prints both sides, and the median of the ratios of neighbours.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a bench measures time")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant};

use common::{TempDir, batch, entries, lines};
use countersign_core::entry::Head;
use countersign_store::Store as _;
use countersign_store::file::{FileStore, Options};

const BATCH: usize = 64;
const ROUNDS: usize = 200;

fn main() {
    appending();
    opening();
}

/// A segment as large as they get: 64 MiB.
fn opening() {
    const COUNT: u64 = 100_000;
    let all = common::entries_of(1, Head::EMPTY, COUNT, 200);
    let dir = TempDir::new("bench-open");
    let store = Options::new().segment_size(u64::MAX).open(dir.ledger()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(store.append(batch(&all))).unwrap();
    drop(store);
    let (mut hashes, mut opens, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..11 {
        let start = Instant::now();
        let bytes = std::fs::read(dir.segment(0)).unwrap();
        std::hint::black_box(countersign_core::digest::sha256(&[&bytes]));
        let hashed = start.elapsed();
        drop(bytes);

        let start = Instant::now();
        let store = FileStore::open(dir.ledger()).unwrap();
        let opened = start.elapsed();
        assert_eq!(store.head_now().size, COUNT);
        hashes.push(hashed);
        opens.push(opened);
        ratios.push(opened.as_secs_f64() / hashed.as_secs_f64());
    }
    ratios.sort_by(f64::total_cmp);
    let size = std::fs::metadata(dir.segment(0)).unwrap().len();
    println!("a last segment of {COUNT} entries in {size} bytes");
    println!("read and SHA-256 {:8.1} ms", median(hashes).as_secs_f64() * 1e3);
    println!("open             {:8.1} ms", median(opens).as_secs_f64() * 1e3);
    println!("ratio {:.2}", ratios[ratios.len() / 2]);
}

fn appending() {
    let all = entries((BATCH * ROUNDS) as u64);
    let dir = TempDir::new("bench");
    let store = FileStore::open(dir.ledger()).unwrap();
    let mut raw = File::create(dir.path().join("raw")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (mut raws, mut appends, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for part in all.chunks(BATCH) {
        let bytes = lines(part);
        let start = Instant::now();
        raw.write_all(&bytes).unwrap();
        raw.sync_data().unwrap();
        let written = start.elapsed();

        let batch = batch(part);
        let start = Instant::now();
        runtime.block_on(store.append(batch)).unwrap();
        let appended = start.elapsed();
        raws.push(written);
        appends.push(appended);
        ratios.push(appended.as_secs_f64() / written.as_secs_f64());
    }
    ratios.sort_by(f64::total_cmp);
    let each = |time: Duration| time.as_secs_f64() * 1e6 / BATCH as f64;
    println!("{ROUNDS} batches of {BATCH} entries of {} bytes", all[0].bytes().len());
    println!("write and sync   {:8.2} us an entry", each(median(raws)));
    println!("append           {:8.2} us an entry", each(median(appends)));
    println!("ratio {:.2}", ratios[ratios.len() / 2]);
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
