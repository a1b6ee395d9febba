//! Writes the golden ledger from its scenario: `cargo run --example golden_ledger -- tests/golden`.
//!
//! A ledger that the rules admit, with every kind of statement. Its bytes are pinned: a changed byte is a changed format, or
//! changed rules, and gets a line in CHANGELOG.md.

use std::error::Error;
use std::path::PathBuf;

#[path = "../tests/golden_ledger/files.rs"]
mod files;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap_or_else(|| "tests/golden".into()));
    let recorded = files::recorded(&folder)?;
    if !recorded.report.passed() {
        return Err(recorded.report.to_string().into());
    }
    for (name, bytes) in files::files(&recorded) {
        std::fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}
