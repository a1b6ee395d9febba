//! `test`: scenario files.

use std::collections::BTreeSet;

use countersign_scenario::{check, find, load, run};
use serde_json::json;

use crate::args::Test;
use crate::failure::Failure;
use crate::session::Session;
use crate::text::{count, safe, safe_lines};

pub(super) fn test(args: Test, session: &mut Session<'_, '_>) -> Result<bool, Failure> {
    let mut files = BTreeSet::new();
    for path in &args.paths {
        if !path.exists() {
            return Err(Failure::told(format!("no such file or folder: `{}`", path.display())));
        }
        if path.is_dir() {
            files.extend(find(path).map_err(|error| Failure::of("the scenarios can not be listed", &error))?);
        } else {
            files.insert(path.clone());
        }
    }
    if files.is_empty() {
        return Err(Failure::told("there are no scenario files there")
            .hint("a scenario is a file that ends in .json and is no setup: docs/scenarios.md"));
    }
    let mut failed = 0;
    for path in &files {
        let name = safe(&path.display().to_string()).into_owned();
        let scenario = load(path).map_err(|error| Failure::of(format!("`{name}` is no scenario"), &error))?;
        let problems = check(&scenario);
        let report = run(&scenario);
        let passed = report.passed() && problems.is_empty();
        failed += u64::from(!passed);
        if args.json {
            session.print_json(&json!({
                "file": path.display().to_string(),
                "title": report.title,
                "requirements": report.requirements,
                "passed": passed,
                "admitted": report.admitted,
                "refused": report.refused,
                "answered": report.answered,
                "problems": problems,
                "failures": report.failures.iter().map(|failure| json!({
                    "item": failure.item,
                    "expected": failure.expected.word,
                    "happened": failure.happened.word,
                    "detail": failure.happened.detail,
                    "meaning": failure.happened.meaning,
                    "requirements": failure.happened.requirements,
                })).collect::<Vec<_>>(),
            }))?;
            continue;
        }
        let verdict = if passed { "passed" } else { "FAILED" };
        session.print(&format!("{verdict}  {name}: {}", safe(&report.heading())))?;
        for problem in &problems {
            session.print(&format!("\n  {}", safe(problem)))?;
        }
        // What is wrong with the file as it is written would be told again as what went wrong with it.
        if problems.is_empty() {
            session.print(&safe_lines(&report.details()))?;
        }
        session.print("\n")?;
    }
    if !args.json {
        let total = files.len() as u64;
        session.print(&format!("{}, {failed} failed\n", count(total, "scenario", "scenarios")))?;
    }
    Ok(failed == 0)
}
