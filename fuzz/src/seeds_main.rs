//! Writes the seed corpus: `cargo run --manifest-path fuzz/Cargo.toml --bin seeds`.

use std::io;
use std::path::Path;

fn main() -> io::Result<()> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR"));
    let numbered = |target: &'static str, seeds: Vec<Vec<u8>>| {
        seeds.into_iter().enumerate().map(move |(number, bytes)| (target, number.to_string(), bytes))
    };
    let golden = countersign_fuzz::seeds::seeds(&fuzz.join("../tests/golden"))?;
    let recovery = numbered("recovery", countersign_fuzz::recovery::seeds());
    let verify = numbered("verify", countersign_fuzz::verifying::seeds());
    let snapshot = numbered("snapshot", countersign_fuzz::snapshots::seeds());
    for (target, name, bytes) in golden.into_iter().chain(recovery).chain(verify).chain(snapshot) {
        let folder = fuzz.join("corpus").join(target);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}
