//! What tests say beside that they passed. Cargo hides what a passing test prints, so it is also added to files that the test command
//! names and shows at its end: `COUNTERSIGN_SKIPS` for what was not tested, `COUNTERSIGN_COUNTS` for how much was.

use std::fs::OpenOptions;
use std::io::Write as _;

/// Says that a test, or a part of it, is skipped, so that nobody takes it for one that passed.
pub fn skip(test: &str, why: &str) {
    eprintln!("SKIPPED {test}: {why}");
    add("COUNTERSIGN_SKIPS", test, why);
}

/// Says how much a test went through: `count("losses_of_power", "60 on ext4")`.
pub fn count(test: &str, what: &str) {
    println!("{test}: {what}");
    add("COUNTERSIGN_COUNTS", test, what);
}

/// Whether the long tests are asked for: `COUNTERSIGN_SOAK=1`.
#[must_use]
pub fn is_soak() -> bool {
    std::env::var_os("COUNTERSIGN_SOAK").is_some()
}

/// Adds a line to the file that a variable names, if it is set.
fn add(variable: &str, test: &str, what: &str) {
    let Some(path) = std::env::var_os(variable) else { return };
    // One write for one line: tests of several processes write here at once.
    let line = format!("{test}: {what}\n");
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the test command reads this file");
}
