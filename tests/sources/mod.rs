//! The tests of the workspace as they stand in its source files, for tests that keep pages about them true.

use std::fs;
use std::path::{Path, PathBuf};

/// A test as it is written.
#[derive(Debug)]
pub(crate) struct Test<'t> {
    /// The name of its function.
    pub(crate) name: &'t str,
    /// The lines of documentation since the function before it.
    #[allow(dead_code, reason = "not everybody asks for it")]
    pub(crate) documentation: Vec<&'t str>,
}

/// The source files below a folder, sorted; what was built aside.
pub(crate) fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the folder is there") {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() {
                folders.extend((!path.ends_with("target")).then_some(path));
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The functions with the attribute of a test.
pub(crate) fn tests_in(text: &str) -> Vec<Test<'_>> {
    let mut tests = Vec::new();
    let (mut documentation, mut is_test) = (Vec::new(), false);
    for line in text.lines().map(str::trim_start) {
        if let Some(text) = line.strip_prefix("/// ") {
            documentation.push(text);
        } else if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some(function) = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ") {
            let name = function.split(['(', '<']).next().unwrap_or_default();
            let documentation = std::mem::take(&mut documentation);
            tests.extend(std::mem::take(&mut is_test).then_some(Test { name, documentation }));
        }
    }
    tests
}
