//! How much memory the audit of a ledger directory takes, and whether its time an entry stays the same.
//!
//! `cargo bench -p countersign-audit --bench memory [-- ENTRIES...]` writes a ledger of each size into a temporary directory and
//! audits it in a process of its own, whose peak it prints; PERFORMANCE asks for at most 64 MiB beside the state, whatever the
//! length. The state of this ledger stays small: every grant is revoked.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a bench measures time")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use common::{Folder, World, key};
use countersign_audit::{LedgerDir, Options, verify};
use countersign_core::checkpoint::Checkpoint;
use countersign_core::merkle::CompactRange;

const AUDIT: &str = "COUNTERSIGN_BENCH_AUDIT";
const SEGMENT: u64 = 100_000;

fn main() {
    if let Some(path) = std::env::var_os(AUDIT) {
        return audit(Path::new(&path));
    }
    let sizes: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![10_000, 100_000] } else { sizes };
    for size in sizes {
        let folder = Folder::new(&format!("bench-{size}"));
        write(&folder.0, size);
        let status = Command::new(std::env::current_exe().unwrap()).env(AUDIT, &folder.0).status();
        assert!(status.unwrap().success());
    }
}

fn audit(path: &Path) {
    let start = Instant::now();
    let report = verify(&mut LedgerDir::open(path).unwrap(), &Options::default()).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    assert!(report.is_verified() && report.anchored == report.entries, "{report}");
    let memory = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = memory.lines().find_map(|line| line.strip_prefix("VmHWM:")).map_or("unknown", str::trim);
    let each = seconds * 1e6 / report.entries as f64;
    println!("{:>9} entries: peak {peak}, {each:.1} us an entry", report.entries);
}

/// Writes a ledger piece by piece: access is asked for, approved, granted and revoked, time and again.
fn write(path: &Path, size: u64) {
    fs::create_dir_all(path.join("entries")).unwrap();
    let mut world = World::story("acme", 12);
    let mut tree = CompactRange::new();
    let mut segment = None;
    loop {
        for entry in world.entries.drain(..) {
            if entry.seq() % SEGMENT == 0 {
                let name = format!("entries/{:020}.jsonl", entry.seq());
                segment = Some(BufWriter::new(File::create(path.join(name)).unwrap()));
            }
            let file = segment.as_mut().unwrap();
            file.write_all(entry.bytes()).and_then(|()| file.write_all(b"\n")).unwrap();
            tree.push(entry.leaf());
        }
        if tree.size() >= size {
            break;
        }
        for _ in 0..1_000 {
            let request = world.request("reader");
            world.approve(request);
            let grant = world.grant(request);
            world.revoke(grant);
        }
    }
    segment.unwrap().flush().unwrap();
    let ledger = world.state.ledger_id().unwrap();
    let checkpoint = Checkpoint::new(ledger.as_str(), tree.size(), tree.root()).unwrap();
    fs::write(path.join("checkpoint"), checkpoint.sign(&key(common::RECORDER)).unwrap().to_string()).unwrap();
}
