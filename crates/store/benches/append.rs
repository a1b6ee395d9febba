//! Appending batches of 64 entries to the file store against writing and syncing the same bytes, in turns.
//!
//! `cargo bench -p countersign-store --bench append` prints both sides, and the median of the ratios of neighbours.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a bench measures time")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant};

use common::{TempDir, batch, entries, lines};
use countersign_store::Store as _;
use countersign_store::file::FileStore;

const BATCH: usize = 64;
const ROUNDS: usize = 200;

fn main() {
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
