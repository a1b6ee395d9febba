//! The first thing that a newcomer runs: short, in words, and the same every time.

use std::path::PathBuf;
use std::process::Command;

/// Prints at most as many lines as a screen has.
const LINES: usize = 40;

/// The example, which `cargo test` without `--test` builds beside the tests.
fn example() -> PathBuf {
    let tests = std::env::current_exe().expect("a test knows where it is");
    let built =
        tests.parent().and_then(|deps| deps.parent()).expect("tests are built in a folder of their own");
    let example = built.join("examples/quickstart").with_extension(std::env::consts::EXE_EXTENSION);
    assert!(example.exists(), "not built: cargo build --workspace --all-features --example quickstart");
    example
}

fn run() -> String {
    let output = Command::new(example()).output().expect("the example runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty());
    String::from_utf8(output.stdout).expect("it prints text")
}

#[test]
fn the_quickstart_fits_on_a_screen_and_speaks_in_words() {
    let said = run();
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
    assert_eq!(run(), run());
}
