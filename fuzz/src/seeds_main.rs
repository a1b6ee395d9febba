//! Writes the seed corpus: `cargo run --manifest-path fuzz/Cargo.toml --bin seeds`.

use std::io;
use std::path::Path;

fn main() -> io::Result<()> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (target, name, bytes) in countersign_fuzz::seeds::seeds(&fuzz.join("../tests/golden"))? {
        let folder = fuzz.join("corpus").join(target);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}
