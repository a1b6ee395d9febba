//! Finds the test vectors kept beside the workspace; a test that misses them says so at the end of `./test`, and proves nothing.

use std::path::Path;

/// The text of `vectors/<path>`, or `None` after saying that it is skipped.
pub(crate) fn read(path: &str) -> Option<String> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let places = [
        std::env::var_os("COUNTERSIGN_SHARED").map(Into::into),
        Some(workspace.join("../shared")),
        Some(workspace.join("../../shared")),
    ];
    let found = places
        .into_iter()
        .flatten()
        .map(|shared| shared.join("vectors").join(path))
        .find(|file| file.exists());
    let Some(file) = found else {
        countersign_notices::skip(&format!("the vectors in {path}"), "they are not beside this repository");
        return None;
    };
    Some(std::fs::read_to_string(file).unwrap())
}

/// The JSON of `vectors/<path>`, or `None` after saying that it is skipped.
pub(crate) fn json(path: &str) -> Option<serde_json::Value> {
    read(path).map(|text| serde_json::from_str(&text).unwrap())
}

/// The bytes of hexadecimal text in a vector.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2));
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
