//! Whatever bytes a verifier is given, it takes no more memory than it may have, and says what is wrong with them.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use countersign_faults::{Folder, count, has, skip};

const PROGRAM: &str = env!("CARGO_BIN_EXE_fault-countersign");
/// Of address space, thread stacks and the program itself included.
const MOST_MIB: u64 = 256;
/// More than that, of every input.
const INPUT_MIB: usize = 320;

#[test]
fn no_bytes_make_a_verifier_take_more_memory_than_it_may_have() {
    let name = "no_bytes_make_a_verifier_take_more_memory";
    if !has("prlimit") {
        return skip(name, "prlimit is not installed");
    }
    let folder = Folder::new("memory");
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/ledger.jsonl");
    let genesis = std::fs::read_to_string(golden).unwrap().lines().next().unwrap().to_owned();
    let longest = format!("{{\"a\":\"{}\"}}", "x".repeat(65_500));
    let repeated = |piece: &str| (piece.to_owned(), INPUT_MIB * (1 << 20) / piece.len());
    let cases = [
        ("nested", "torn_tail", repeated("[[[[[[[[")),
        ("opened", "torn_tail", repeated("{\"a\":")),
        ("nested lines", "depth", repeated(&format!("{}\n", "[".repeat(60_000)))),
        ("empty lines", "json", repeated("\n")),
        ("long lines", "schema", repeated(&format!("{longest}\n"))),
        ("genesis for ever", "seq", repeated(&format!("{genesis}\n"))),
    ];
    let count_of = cases.len() + 1;
    for (what, code, (piece, times)) in cases {
        let path = folder.path().join("hostile.jsonl");
        let mut file = BufWriter::with_capacity(1 << 20, File::create(&path).unwrap());
        for _ in 0..times {
            file.write_all(piece.as_bytes()).unwrap();
        }
        file.flush().unwrap();
        drop(file);
        refuses(&path, what, code);
    }
    // Zeros that take no space on the disk.
    let path = folder.path().join("sparse.jsonl");
    File::create(&path).unwrap().write_all_at(b"\n", 4 << 30).unwrap();
    refuses(&path, "a hole of four gibibytes", "line_too_long");
    count(
        name,
        &format!(
            "{count_of} hostile inputs of {INPUT_MIB} MiB and more verified in {MOST_MIB} MiB of address space"
        ),
    );
}

fn refuses(path: &Path, what: &str, code: &str) {
    let limit = format!("--as={}", MOST_MIB << 20);
    let args = ["verify".as_ref(), path.as_os_str(), "--json".as_ref()];
    let done =
        Command::new("prlimit").arg(limit).arg(PROGRAM).args(args).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    let errors = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(1), "{what}: {:?}: {said}{errors}", done.status);
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(report["fault"]["code"], code, "{what}: {said}");
}
