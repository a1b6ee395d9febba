//! What a newcomer runs: short, in words, and the same every time; and what the pages say about what it leaves.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

/// Prints at most as many lines as a screen has.
const LINES: usize = 40;

/// An example, which `cargo test` without `--test` builds beside the tests.
fn example(name: &str) -> PathBuf {
    let tests = std::env::current_exe().expect("a test knows where it is");
    let built =
        tests.parent().and_then(|deps| deps.parent()).expect("tests are built in a folder of their own");
    let example = built.join("examples").join(name).with_extension(std::env::consts::EXE_EXTENSION);
    assert!(example.exists(), "not built: cargo build --workspace --all-features --example {name}");
    example
}

fn run(name: &str, arguments: &[OsString]) -> String {
    let output = Command::new(example(name)).args(arguments).output().expect("the example runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty());
    String::from_utf8(output.stdout).expect("it prints text")
}

#[test]
fn the_quickstart_fits_on_a_screen_and_speaks_in_words() {
    let said = run("quickstart", &[]);
    let lines: Vec<&str> = said.lines().collect();
    assert!((10..=LINES).contains(&lines.len()), "{} lines", lines.len());
    // What `{:?}` leaves behind: braces, paths, variants, escaped quotes.
    for mark in ["{", "}", "::", "Some(", "None", "Ok(", "Err(", "\\\"", "\\n", "[\""] {
        let found = lines.iter().find(|line| line.contains(mark));
        assert!(found.is_none(), "debug formatting: {found:?}");
    }
    assert!(said.chars().all(|c| c == '\n' || !c.is_control()));
}

#[test]
fn the_quickstart_says_the_same_every_time() {
    assert_eq!(run("quickstart", &[]), run("quickstart", &[]));
}

/// What the program prints for people and on the error stream, and its exit code.
fn countersign(arguments: &[OsString]) -> (String, String, u8) {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let mut streams = countersign_cli::Streams {
        stdin: &mut std::io::empty(),
        stdout: &mut stdout,
        stderr: &mut stderr,
        is_terminal: false,
        asks: false,
    };
    let all = [OsString::from("countersign")].into_iter().chain(arguments.iter().cloned());
    let code = countersign_cli::run(all, &mut streams);
    (String::from_utf8_lossy(&stdout).into(), String::from_utf8_lossy(&stderr).into(), code)
}

#[test]
fn a_ledger_that_others_anchor_can_not_be_rewritten_by_all_who_run_it() {
    let folder = std::env::temp_dir().join(format!("countersign-test-anchored-{}", std::process::id()));
    let said = run("anchored_ledgers", &["--ledgers".into(), folder.clone().into()]);
    let at = |name: &str| folder.join(name).into_os_string();
    // As docs/growing.md says it.
    let (shown, _, code) = countersign(&["show".into(), at("south"), "7".into(), "--json".into()]);
    assert_eq!(code, 0);
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("one JSON object");
    let note = shown["entry"]["statement"]["event"]["data"]["checkpoint"].as_str().expect("it keeps a note");
    std::fs::write(folder.join("north.checkpoint"), note).expect("it can be written");
    let verify =
        |name| countersign(&["verify".into(), at(name), "--checkpoint".into(), at("north.checkpoint")]);
    let (honest, _, code) = verify("north");
    assert_eq!(code, 0, "{honest}");
    let (told, _, code) = verify("told");
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("checkpoint_root"), "{told}");
    // By itself the other story is flawless: this is what anchoring is for.
    let (alone, _, code) = countersign(&["verify".into(), at("told")]);
    assert_eq!(code, 0, "{alone}");
    std::fs::remove_dir_all(&folder).expect("what the example made can be removed");
    assert!(said.contains("caught     by what south kept: checkpoint_root"), "{said}");
}
