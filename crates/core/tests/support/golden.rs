//! The files of `tests/golden`: what they are named and what is in them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use countersign_core::wire::encode;

use super::examples::{clause, golden, policy};

/// Every file by its path below `tests/golden`.
pub(crate) fn files() -> BTreeMap<String, Vec<u8>> {
    let golden = golden();
    let mut files = BTreeMap::new();
    let mut lines = Vec::new();
    let mut pins = String::from("seq\tkind\tstatement digest\tleaf hash\n");
    for entry in &golden.entries {
        let kind = entry.statement().event.kind();
        files.insert(format!("events/{kind}.json"), entry.signed().bytes().to_vec());
        lines.extend_from_slice(entry.bytes());
        lines.push(b'\n');
        writeln!(pins, "{}\t{kind}\t{}\t{}", entry.seq(), entry.signed().digest(), entry.leaf())
            .expect("a string takes everything");
    }
    writeln!(pins, "-\tclause\t{}\t-", clause().digest()).expect("a string takes everything");
    files.insert("entries.jsonl".into(), lines);
    files.insert("entries.jsonl.checkpoint".into(), golden.checkpoint.into_bytes());
    files.insert("pins.tsv".into(), pins.into_bytes());
    files.insert("policy.json".into(), encode(&policy()));
    files.insert("clause.json".into(), encode(&clause()));
    files
}
