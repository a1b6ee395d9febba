//! Writes the golden files: `cargo run -p countersign-core --example golden -- tests/golden`.
//!
//! A changed golden file is a changed format: look at each line of the difference, and give it a line in CHANGELOG.md.

use std::io;
use std::path::PathBuf;

#[allow(dead_code, reason = "shared with the tests")]
#[path = "../tests/support/examples.rs"]
mod examples;
#[path = "../tests/support/golden.rs"]
mod golden;

fn main() -> io::Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap_or_else(|| "tests/golden".into()));
    std::fs::create_dir_all(folder.join("events"))?;
    for (path, bytes) in golden::files() {
        std::fs::write(folder.join(path), bytes)?;
    }
    Ok(())
}
