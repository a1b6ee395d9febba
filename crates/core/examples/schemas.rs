//! Writes the JSON Schema files: `cargo run -p countersign-core --example schemas -- docs/schema`.

use std::io;
use std::path::PathBuf;

#[allow(dead_code, reason = "shared with the tests")]
#[path = "../tests/support/schemas.rs"]
mod schemas;

fn main() -> io::Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap_or_else(|| "docs/schema".into()));
    std::fs::create_dir_all(&folder)?;
    for (name, text) in schemas::files() {
        std::fs::write(folder.join(name), text)?;
    }
    Ok(())
}
