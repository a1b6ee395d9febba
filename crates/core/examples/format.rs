//! Writes the generated parts of docs/format.md: `cargo run -p countersign-core --example format -- docs/format.md`.

use std::io;

#[allow(dead_code, reason = "shared with the tests")]
#[path = "../tests/support"]
mod support {
    pub(crate) mod examples;
    pub(crate) mod format_md;
    pub(crate) mod schemas;
}

fn main() -> io::Result<()> {
    let path = std::env::args_os().nth(1).unwrap_or_else(|| "docs/format.md".into());
    let text = std::fs::read_to_string(&path)?;
    std::fs::write(path, support::format_md::render(&text))
}
