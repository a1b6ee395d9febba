//! Every file under `tests/scenarios`: well-formed, and its expectations hold.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use countersign_projection::governance::RefusalCode;
use countersign_scenario::{check, find, load, parse, run};

fn files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/scenarios");
    let files = find(&root).expect("the folder of scenarios can be listed");
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

/// Codes that a file can not bring about in reasonable length: bounds that take hundreds of statements to reach.
const ELSEWHERE: [&str; 1] = ["too_many"];

#[test]
fn every_scenario_goes_as_it_says() {
    let files = files();
    let next = AtomicUsize::new(0);
    // Who runs this for each of very many mutants (tests/soak) wants no more than the first failure.
    let is_one_enough = std::env::var_os("COUNTERSIGN_FAIL_FAST").is_some();
    let work = || {
        let (mut failed, mut refused) = (Vec::new(), BTreeSet::new());
        while let Some(path) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            match load(path).map(|scenario| run(&scenario)) {
                Ok(report) if report.passed() => refused.extend(report.refused),
                Ok(report) => failed.push(format!("{}\n{report}", path.display())),
                Err(error) => failed.push(error.to_string()),
            }
            if is_one_enough && !failed.is_empty() {
                next.store(files.len(), Ordering::Relaxed);
            }
        }
        (failed, refused)
    };
    let (mut failed, mut refused) = (Vec::new(), BTreeSet::new());
    std::thread::scope(|scope| {
        for worker in [scope.spawn(work), scope.spawn(work)] {
            let (more, codes) = worker.join().expect("a run does not panic");
            failed.extend(more);
            refused.extend(codes);
        }
    });
    failed.sort();
    assert!(failed.is_empty(), "{} of {} failed\n\n{}", failed.len(), files.len(), failed.join("\n\n"));
    let all = RefusalCode::ALL.iter().map(|code| code.as_str());
    let missing: Vec<&str> =
        all.filter(|code| !refused.contains(code) && !ELSEWHERE.contains(code)).collect();
    assert!(missing.is_empty(), "no scenario is refused for {}", missing.join(", "));
}

#[test]
fn the_example_of_the_documentation_goes_as_it_says() {
    let text = include_str!("../../../docs/scenarios.md");
    let example = text.split("```json\n").nth(1).and_then(|rest| rest.split("```").next());
    let scenario = parse(example.expect("docs/scenarios.md has an example")).unwrap();
    assert!(check(&scenario).is_empty());
    let report = run(&scenario);
    assert!(report.passed(), "{report}");
    // And a wrong expectation is told as the documentation tells it.
    let wrong = example.map(|text| text.replace("\"expect\": \"same_person\"", "\"expect\": \"admitted\""));
    let report = run(&parse(&wrong.unwrap_or_default()).unwrap()).to_string();
    let told = text.split("```text\n").nth(1).and_then(|rest| rest.split("```").next());
    assert_eq!(Some(format!("{report}\n")).as_deref(), told);
}

/// The policy that docs/policy.md explains is one that the rules admit, and it asks for whom the page says.
#[test]
fn the_policy_of_the_documentation_is_read_and_holds() {
    let text = include_str!("../../../docs/policy.md");
    let document = text.split("```json\n").nth(1).and_then(|rest| rest.split("```").next());
    let document = document.expect("docs/policy.md has an example");
    let scenario = format!(
        r#"{{
          "title": "the policy of the documentation",
          "setup": {{
            "governors": ["user:gail", "user:greg", "user:gwen"], "quorum": 2, "recorder": "automation:recorder",
            "principals": [
              "user:gail", "user:greg", "user:gwen", "user:olga", "user:cora", "user:rolf", "user:alice",
              {{ "name": "automation:recorder", "controllers": ["person:otto"] }},
              {{ "name": "automation:enforcer", "controllers": ["person:ed"] }}
            ],
            "resources": [
              {{ "resource": "team:acme/payments", "tier": "critical" }}, {{ "resource": "team:acme/web", "tier": "high" }}
            ],
            "capacities": [
              {{ "holder": "user:olga", "capacity": "business_owner" }},
              {{ "holder": "user:cora", "capacity": "control_owner" }},
              {{ "holder": "user:rolf", "capacity": "risk_owner" }},
              {{ "holder": "automation:enforcer", "capacity": "iam_enforcer" }}
            ],
            "policies": [{{ "name": "main", "scope": "team:acme/*", "document": {document} }}]
          }},
          "timeline": [
            {{ "id": "web", "by": "user:alice", "event": {{
              "type": "access.requested", "resource": "team:acme/web", "role": "member", "purpose": "web", "need": "a release",
              "hold": "24h" }} }},
            {{ "by": "user:cora", "expect": "stage_closed", "event": {{
              "type": "access.approved", "request": "@web", "capacity": "control_owner", "need": "too early" }} }},
            {{ "by": "user:alice", "expect": "above_ceiling", "event": {{
              "type": "access.requested", "resource": "team:acme/payments", "role": "preparer", "purpose": "pay", "need": "a run",
              "hold": "5h" }} }},
            {{ "id": "pay", "by": "user:alice", "event": {{
              "type": "access.requested", "resource": "team:acme/payments", "role": "preparer", "purpose": "pay", "need": "a run",
              "hold": "4h" }} }},
            {{ "by": "user:olga", "event": {{
              "type": "access.approved", "request": "@pay", "capacity": "business_owner", "need": "the run is due" }} }},
            {{ "by": "user:cora", "event": {{
              "type": "access.approved", "request": "@pay", "capacity": "control_owner", "need": "within limits" }} }},
            {{ "by": "automation:enforcer", "expect": "approval_missing", "event": {{
              "type": "access.granted", "request": "@pay" }} }},
            {{ "by": "user:rolf", "event": {{
              "type": "access.approved", "request": "@pay", "capacity": "risk_owner", "need": "worth it" }} }},
            {{ "by": "automation:enforcer", "event": {{ "type": "access.granted", "request": "@pay" }} }},
            {{ "by": "user:alice", "expect": "sod_conflict", "event": {{
              "type": "access.requested", "resource": "team:acme/payments", "role": "releaser", "purpose": "pay", "need": "a run",
              "hold": "1h" }} }},
            {{ "check": ["user:alice", "team:acme/payments", "preparer"], "answer": "allowed" }}
          ]
        }}"#
    );
    let report = run(&parse(&scenario).unwrap());
    assert!(report.passed(), "{report}");
}

/// One statement that goes another way takes what comes after it along: the first is told, and the rest counted.
#[test]
fn what_follows_from_a_failure_is_counted_and_not_told() {
    let text = include_str!("../../../docs/scenarios.md");
    let example = text.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    // The owner's approval is refused where another capacity is claimed: no grant follows, and no answer is as it was.
    let wrong = example.replace(
        "\"request\": \"@request\", \"capacity\": \"business_owner\"",
        "\"request\": \"@request\", \"capacity\": \"iam_enforcer\"",
    );
    let report = run(&parse(&wrong).unwrap());
    let (told, more) = report.first_failures();
    assert_eq!((told.len(), told.len() + more), (1, report.failures.len()), "{report}");
    assert!(more > 1 && told[0].item.starts_with("item 2 `need`: access.approved"), "{report}");
    let shown = report.to_string();
    assert!(shown.ends_with(&format!("and {more} items after it, which may follow from that")), "{shown}");
    // Questions leave the ledger as it is, so each wrong answer is told.
    let wrong = example
        .replace("\"answer\": \"allowed\"", "\"answer\": \"no_grant\"")
        .replace("\"answer\": \"no_grant\" }\n  ]", "\"answer\": \"allowed\" }\n  ]");
    let report = run(&parse(&wrong).unwrap());
    assert_eq!((report.failures.len(), report.first_failures().1), (2, 0), "{report}");
}

/// A file that is written wrong names its items as a run does: from 1 on, in the timeline.
#[test]
fn items_have_the_same_names_whether_checked_or_run() {
    let text = include_str!("../../../docs/scenarios.md");
    let example = text.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let wrong = example.replace("\"request\": \"@request\"", "\"request\": \"@reqest\"");
    let scenario = parse(&wrong).unwrap();
    let (problems, report) = (check(&scenario), run(&scenario));
    let first = &report.failures[0].item;
    assert!(
        first.starts_with("item 2 `need`: ") && problems[0].starts_with(first.as_str()),
        "{problems:?} {report}"
    );
}
