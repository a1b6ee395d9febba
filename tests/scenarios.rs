//! Every file under `tests/scenarios`: well-formed, and its expectations hold.

use std::path::{Path, PathBuf};

use countersign_scenario::{check, find, load};

fn files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let files = find(&root).unwrap();
    assert!(files.len() >= 100, "only {} scenario files", files.len());
    files
}

#[test]
fn every_scenario_is_well_formed() {
    let mut problems = Vec::new();
    for path in files() {
        match load(&path) {
            Ok(scenario) => {
                problems.extend(
                    check(&scenario).into_iter().map(|problem| format!("{}: {problem}", path.display())),
                );
            }
            Err(error) => problems.push(error.to_string()),
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
