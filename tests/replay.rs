//! A replayed history gives exactly the states that a naive script computed from it.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

#[path = "../examples/replay_history/mod.rs"]
mod replay_history;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use countersign::audit::{LedgerFile, Options as AuditOptions, verify_with};
use countersign::core::entry::Entry;
use countersign::core::event::{Capacity, Event, EventKind, ExceptionOf};
use countersign::core::time::Timestamp;
use countersign::projection::governance::State;
use countersign::store::file::Options;
use countersign::store::{MemoryStore, Store, jsonl};
use replay_history::driver::Pace;
use replay_history::{Tally, driver, history};

/// A ledger that was replayed, saved, and read again from its file.
struct Replayed {
    tally: Tally,
    path: PathBuf,
    /// When each entry was recorded.
    times: Vec<Timestamp>,
}

async fn run<S: Store>(sets: &[history::ChangeSet], store: S, pace: Pace) -> Tally {
    let mut refused = Vec::new();
    let replayed = driver::replay(
        sets,
        store,
        pace,
        |_| {},
        |set, step, refusal| refused.push(format!("{}: {refusal}: {step:?}", set.change)),
    );
    let tally = replayed.await.unwrap();
    assert_eq!(refused, Vec::<String>::new());
    assert!(tally.refusals.is_empty());
    tally
}

/// Replays into a directory, in stages, and takes its segments, one behind the other, for the ledger.
fn replay_into_directory(name: &str, changes: &Path, owners: Option<&Path>) -> Replayed {
    let sets = history::read(changes, owners).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if path.exists() {
        std::fs::remove_dir_all(&path).unwrap();
    }
    // Small segments, so that the history rolls.
    let store = Options::new().segment_size(256 << 10).open(&path).unwrap();
    let tally = runtime.block_on(run(&sets, store, Pace::InStages));
    let mut segments: Vec<_> =
        std::fs::read_dir(path.join("entries")).unwrap().map(|segment| segment.unwrap().path()).collect();
    segments.sort();
    assert!(segments.len() > 1, "it rolled");
    let text: Vec<u8> = segments.iter().flat_map(|segment| std::fs::read(segment).unwrap()).collect();
    let file = path.with_extension("jsonl");
    std::fs::write(&file, &text).unwrap();
    std::fs::copy(path.join("checkpoint"), jsonl::checkpoint_path(&file)).unwrap();
    let entries = text.split_inclusive(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\n").unwrap());
    let times: Vec<_> = entries.map(|bytes| Entry::parse(bytes).unwrap().recorded_at()).collect();
    assert_eq!(times.len() as u64, tally.statements.values().sum::<u64>());
    Replayed { tally, path: file, times }
}

fn replay(name: &str, changes: &Path, owners: Option<&Path>) -> Replayed {
    let sets = history::read(changes, owners).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = MemoryStore::new();
    let tally = runtime.block_on(run(&sets, store.clone(), Pace::OneByOne));
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    for old in [path.clone(), jsonl::checkpoint_path(&path)] {
        if old.exists() {
            std::fs::remove_file(old).unwrap();
        }
    }
    jsonl::save(&store, &path).unwrap();
    let read = jsonl::load(&path).unwrap().entries_now();
    let times: Vec<_> = read.into_iter().map(|bytes| Entry::parse(bytes).unwrap().recorded_at()).collect();
    assert_eq!(times.len() as u64, tally.statements.values().sum::<u64>());
    Replayed { tally, path, times }
}

impl Replayed {
    fn count(&self, kind: EventKind) -> u64 {
        self.tally.statements.get(&kind).copied().unwrap_or_default()
    }

    /// Has the file verified as an auditor does, against its checkpoint, and shows the state after each entry.
    fn audit(&self, mut after: impl FnMut(&Entry, &State)) {
        let mut file = LedgerFile::open(&self.path).unwrap();
        let options = AuditOptions { require_checkpoint: true, ..AuditOptions::default() };
        let report =
            verify_with(&mut file, &options, |entry, state| after(entry.entry(), state), |_| {}).unwrap();
        assert!(report.is_verified(), "{report}");
        assert_eq!(report.anchored, self.times.len() as u64);
        assert_eq!(report.serial_gaps, []);
    }

    /// The state as of the end of each day; `HEAD` is after everything.
    fn states<'a>(&self, dates: &[&'a str]) -> BTreeMap<&'a str, (State, Timestamp)> {
        let last = *self.times.last().unwrap();
        let end = |date: &str| match date {
            "HEAD" => last,
            _ => format!("{date}T23:59:59.000Z").parse().unwrap(),
        };
        let sizes = dates.iter().map(|date| {
            let end = end(date);
            (self.times.partition_point(|at| *at <= end) as u64, *date, end)
        });
        let sizes: Vec<_> = sizes.collect();
        let mut states = BTreeMap::new();
        self.audit(|entry, state| {
            for (size, date, end) in &sizes {
                if entry.head().size == *size {
                    states.insert(*date, (state.clone(), *end));
                }
            }
        });
        states
    }

    /// Holds states and owners against the files beside the history.
    fn compare(&self, folder: &Path, dates: &[&str]) {
        let states = self.states(dates);
        for date in dates {
            let (state, at) = &states[date];
            let expected =
                |kind: &str| std::fs::read_to_string(folder.join(format!("{kind}-{date}.tsv"))).unwrap();
            assert_same(&format!("state {date}"), &memberships(state, *at), &expected("state"));
            assert_same(&format!("owners {date}"), &owners(state, *at), &expected("owners"));
        }
    }
}

fn memberships(state: &State, at: Timestamp) -> String {
    let grants = state.grants(at);
    tsv(grants.iter().map(|grant| {
        let login = grant.subject.as_str().strip_prefix("user:").unwrap();
        format!("{login}\t{}\t{}\n", grant.role, grant.resource)
    }))
}

fn owners(state: &State, at: Timestamp) -> String {
    let capacities = state.capacities(at);
    let owners = capacities.iter().filter(|held| held.capacity == Capacity::BusinessOwner);
    tsv(owners.map(|held| {
        let scope = held.scope.on.as_str();
        let scope = if scope == history::ROOT_SCOPE { "scope:/" } else { scope };
        format!("{scope}\t{}\n", held.holder.as_str().strip_prefix("user:").unwrap())
    }))
}

fn tsv(lines: impl Iterator<Item = String>) -> String {
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines.concat()
}

/// Names the first line that differs, where whole files would say little.
fn assert_same(what: &str, found: &str, expected: &str) {
    if found != expected {
        let differs = found.lines().zip(expected.lines()).find(|(found, expected)| found != expected);
        let (found, expected) = (found.lines().count(), expected.lines().count());
        panic!("{what}: {found} lines where {expected} are expected; the first that differs: {differs:?}");
    }
}

fn synthetic() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/history")
}

const SYNTHETIC_DATES: [&str; 5] = ["2020-06-30", "2021-06-30", "2022-06-30", "2023-06-30", "HEAD"];

#[test]
fn the_synthetic_history_gives_the_committed_states() {
    let folder = synthetic();
    let replayed =
        replay("synthetic.jsonl", &folder.join("changes.jsonl"), Some(&folder.join("owners.jsonl")));
    assert_eq!(replayed.tally.exceptions, 19);
    assert_eq!(replayed.count(EventKind::ExceptionGranted), 20); // One opens the class.
    assert_eq!(replayed.count(EventKind::AccessGranted), 281 + 31);
    assert_eq!(replayed.count(EventKind::AccessApproved), 281 + 31 - 19);
    assert_eq!(replayed.count(EventKind::AccessRevoked), 83);
    assert_eq!(replayed.count(EventKind::ResourceRetired), 12);
    assert_eq!(replayed.count(EventKind::ResourceChanged), 14);
    replayed.compare(&folder, &SYNTHETIC_DATES);
}

/// What the program prints for these arguments.
fn program(args: &[&str]) -> String {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let mut streams = countersign_cli::Streams {
        stdin: &mut std::io::empty(),
        stdout: &mut stdout,
        stderr: &mut stderr,
        is_terminal: false,
        asks: false,
    };
    let words = ["countersign"].into_iter().chain(args.iter().copied()).map(OsString::from);
    let code = countersign_cli::run(words, &mut streams);
    assert_eq!(code, countersign_cli::EXIT_YES, "{args:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

#[test]
fn the_program_prints_the_committed_states() {
    let folder = synthetic();
    let replayed = replay("asked.jsonl", &folder.join("changes.jsonl"), Some(&folder.join("owners.jsonl")));
    let path = replayed.path.to_str().unwrap();
    for date in SYNTHETIC_DATES {
        let at = format!("{date}T23:59:59Z");
        let at: &[&str] = if date == "HEAD" { &[] } else { &["--at", &at] };
        let ask = |rest: &[&str]| program(&[&["state", path, "--format", "tsv"], at, rest].concat());
        let held = ask(&[]);
        let logins = held.lines().map(|line| format!("{}\n", line.strip_prefix("user:").unwrap()));
        let expected =
            |kind: &str| std::fs::read_to_string(folder.join(format!("{kind}-{date}.tsv"))).unwrap();
        assert_same(&format!("state {date}"), &logins.collect::<String>(), &expected("state"));
        // `scope:root` stands for the data's `scope:/`, so that the lines are sorted anew.
        let held = ask(&["--kind", "owners"]).replace("scope:root\t", "scope:/\t");
        let mut owners: Vec<String> =
            held.lines().map(|line| format!("{}\n", line.replacen("\tuser:", "\t", 1))).collect();
        owners.sort();
        assert_same(&format!("owners {date}"), &owners.concat(), &expected("owners"));
    }
}

/// R035: the exact bytes of the policy that a past decision names are in the ledger, and are found by its digest.
#[test]
fn the_program_shows_the_exact_policy_of_a_decision() {
    let folder = synthetic();
    let replayed = replay("policy.jsonl", &folder.join("changes.jsonl"), Some(&folder.join("owners.jsonl")));
    let mut first = None;
    replayed.audit(|entry, _| {
        if let Event::AccessGranted(event) = &entry.statement().event {
            first.get_or_insert((entry.signed().digest(), event.policy));
        }
    });
    let (grant, policy) = first.unwrap();
    let path = replayed.path.to_str().unwrap();
    assert!(
        program(&["show", path, &grant.to_string(), "--json"]).contains(&format!("\"policy\":\"{policy}\""))
    );
    let shown = program(&["show", path, &policy.to_string(), "--json"]);
    let exact = shown.strip_prefix("{\"entry\":").and_then(|rest| rest.split_once(",\"leaf\":")).unwrap().0;
    let shown = Entry::parse(exact.as_bytes()).unwrap();
    // Parsing takes canonical bytes only, and the digest is over them as they stand.
    assert_eq!(shown.signed().digest(), policy);
    assert!(std::fs::read_to_string(&replayed.path).unwrap().lines().any(|line| line == exact));
}

#[test]
fn the_synthetic_history_gives_the_committed_states_in_a_directory() {
    let folder = synthetic();
    let (changes, owners) = (folder.join("changes.jsonl"), folder.join("owners.jsonl"));
    let replayed = replay_into_directory("synthetic-stages.ledger", &changes, Some(&owners));
    assert_eq!(replayed.tally.exceptions, 19);
    assert_eq!(replayed.count(EventKind::AccessGranted), 281 + 31);
    replayed.compare(&folder, &SYNTHETIC_DATES);
}

/// What goes together in stages is told apart by when the enforcer's grants come between, so this hands in one by one.
#[test]
fn a_replay_gives_the_same_bytes_and_the_same_checkpoint_in_every_store() {
    let folder = synthetic();
    let sets = history::read(&folder.join("changes.jsonl"), Some(&folder.join("owners.jsonl"))).unwrap();
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stores");
    let _ = std::fs::remove_dir_all(&place);
    std::fs::create_dir_all(&place).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let database = countersign_test_postgres::server("a_replay_gives_the_same_bytes_in_postgres")
        .map(|server| server.database());
    let addresses = [
        "memory:".to_owned(),
        format!("file:{}/access.ledger", place.display()),
        format!("sqlite:{}/access.db#access", place.display()),
    ];
    let postgres = database.iter().map(|database| format!("{}#access", database.url()));
    let ledgers = addresses.into_iter().chain(postgres).map(|address| {
        runtime.block_on(async {
            let options = countersign::stores::Options::new();
            let store = countersign::stores::open(&address.parse().unwrap(), &options).await.unwrap();
            run(&sets[..40], store.clone(), Pace::OneByOne).await;
            let mut entries = Vec::new();
            loop {
                let read = store.read(entries.len() as u64, 1_000).await.unwrap();
                if read.is_empty() {
                    break (entries, store.checkpoint().await.unwrap());
                }
                entries.extend(read);
            }
        })
    });
    let ledgers: Vec<_> = ledgers.collect();
    assert!(ledgers[0].0.len() > 100 && ledgers[0].1.is_some());
    assert!(ledgers.iter().all(|ledger| *ledger == ledgers[0]));
}

#[test]
fn the_synthetic_history_gives_the_same_states_without_owners() {
    let folder = synthetic();
    let replayed = replay("synthetic-bare.jsonl", &folder.join("changes.jsonl"), None);
    assert_eq!(replayed.count(EventKind::ResourceChanged), 0);
    replayed.compare(&folder, &SYNTHETIC_DATES);
}

#[test]
fn the_bytewise_first_eligible_owner_approves_and_an_exception_only_stands_in_for_none() {
    let folder = synthetic();
    let replayed = replay("decided.jsonl", &folder.join("changes.jsonl"), Some(&folder.join("owners.jsonl")));
    let (mut by_exception, mut by_governors, mut by_owner) = (BTreeMap::new(), 0, 0);
    replayed.audit(|entry, state| {
        let statement = entry.statement();
        if let Event::ResourceChanged(_) = &statement.event {
            by_governors += u32::from(statement.cosigners.len() == 3);
            by_owner += u32::from(statement.cosigners.len() == 2);
        }
        let (decided, approver) = if let Event::AccessApproved(event) = &statement.event {
            (event.request, Some(&statement.author))
        } else if let Event::ExceptionGranted(event) = &statement.event
            && let ExceptionOf::Personal(personal) = &event.covers
        {
            (personal.request, None)
        } else {
            return;
        };
        let at = entry.recorded_at();
        let request = state.request(&decided, at).unwrap();
        if approver.is_none() {
            *by_exception.entry(request.event.replaces.is_some()).or_insert(0) += 1;
        }
        let same = |left: &str, right: &str| left.eq_ignore_ascii_case(right);
        let capacities = state.capacities(at);
        let first = capacities
            .iter()
            .map(|held| &held.holder)
            .filter(|holder| state.holds(holder, Capacity::BusinessOwner, &request.event.resource, at))
            .filter(|holder| !same(holder.as_str(), request.requester.as_str()))
            .filter(|holder| !same(holder.as_str(), request.event.subject.as_str()))
            .min();
        assert_eq!(first, approver, "entry {}", entry.seq());
    });
    assert_eq!(by_exception, BTreeMap::from([(false, 16), (true, 3)]));
    // Four leave a scope without owners; one of the four teams has an owner of its own.
    assert_eq!((by_governors, by_owner), (3, 11));
}

#[test]
fn a_replay_gives_the_same_bytes_again() {
    let folder = synthetic();
    let run = |name| replay(name, &folder.join("changes.jsonl"), Some(&folder.join("owners.jsonl"))).path;
    let (first, second) = (run("first.jsonl"), run("second.jsonl"));
    let both = [first, second].map(|path| {
        let checkpoint = std::fs::read(jsonl::checkpoint_path(&path)).unwrap();
        (std::fs::read(path).unwrap(), checkpoint)
    });
    assert!(both[0] == both[1]);
}

#[test]
fn the_real_history_gives_its_states() {
    let shared = std::env::var_os("COUNTERSIGN_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let folder = shared.join("data/kubernetes-org");
    if !folder.join("changes.jsonl").exists() {
        countersign_notices::skip(
            "the_real_history_gives_its_states",
            "the history is not beside this repository",
        );
        return;
    }
    let (changes, owners) = (folder.join("changes.jsonl"), folder.join("owners.jsonl"));
    let dates = ["2018-08-21", "2019-06-30", "2021-06-30", "2023-06-30", "2025-06-30", "HEAD"];
    let in_file = replay("real.jsonl", &changes, Some(&owners));
    let in_directory = replay_into_directory("real-stages.ledger", &changes, Some(&owners));
    for replayed in [in_file, in_directory] {
        assert_eq!(replayed.tally.exceptions, 0);
        replayed.compare(&folder, &dates);
    }
}

/// An event: op, resource, and where it is about one, login and role.
type Line<'a> = (&'a str, &'a str, Option<(&'a str, &'a str)>);

/// What is said of a history that consists of these events, all of one change.
fn fault_of(lines: &[Line<'_>]) -> String {
    let quoted = |text: Option<&str>| text.map_or("null".to_owned(), |text| format!("\"{text}\""));
    let line = |(op, resource, subject): &Line<'_>| {
        let (login, role) = (subject.map(|(login, _)| login), subject.map(|(_, role)| role));
        format!(
            "{{\"at\":\"2020-01-06T09:00:00Z\",\"change\":\"0123456789\",\"pr\":null,\"requester\":\"dev-01\",\"op\":\"{op}\",\
             \"org\":\"acme\",\"resource\":\"{resource}\",\"role\":{},\"subject\":{},\"reason\":\"a test\"}}\n",
            quoted(role),
            quoted(login),
        )
    };
    fault_of_text(&lines.iter().map(line).collect::<String>())
}

fn fault_of_text(text: &str) -> String {
    let unique =
        countersign::core::digest::sha256(&[text.as_bytes()]).map(|byte| format!("{byte:02x}")).concat();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{unique}.jsonl"));
    std::fs::write(&path, text).unwrap();
    let sets = match history::read(&path, None) {
        Ok(sets) => sets,
        Err(error) => return error.to_string(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = MemoryStore::new();
    let replaying = driver::replay(&sets, store, Pace::OneByOne, |_| {}, |_, _, refusal| panic!("{refusal}"));
    runtime.block_on(replaying).expect_err("the history is faulty").to_string()
}

#[test]
fn a_history_that_contradicts_itself_is_not_replayed() {
    let team = ("resource_created", "team:acme/one", None);
    let member = Some(("dev-02", "member"));
    let cases: [(&str, &[Line<'_>], &str); 13] = [
        ("no history", &[], "is empty"),
        ("created twice", &[team, team], "created twice"),
        ("a grant on nothing", &[("grant", "team:acme/one", member)], "does not exist"),
        ("granted twice", &[team, ("grant", team.1, member), ("grant", team.1, member)], "holds something"),
        ("changed without a grant", &[team, ("role_change", team.1, member)], "holds nothing"),
        ("revoked without a grant", &[team, ("revoke", team.1, member)], "is not member"),
        (
            "revoked in another role",
            &[team, ("grant", team.1, Some(("dev-02", "maintainer"))), ("revoke", team.1, member)],
            "is not member",
        ),
        ("no such owner", &[team, ("owner_removed", team.1, Some(("dev-02", "approver")))], "is no owner"),
        ("removed, never created", &[("resource_removed", "team:acme/one", None)], "does not exist"),
        ("a grant to nobody", &[team, ("grant", team.1, None)], "line 2: a subject belongs"),
        ("a resource with a subject", &[("resource_created", "team:acme/one", member)], "a subject belongs"),
        ("an unknown op", &[("renamed", "team:acme/one", None)], "line 1: unknown variant"),
        ("an org that takes the root's name", &[("resource_created", "scope:root", None)], "stands for"),
    ];
    for (name, lines, expected) in cases {
        let found = fault_of(lines);
        assert!(found.contains(expected), "case: {name}: {found}");
    }
}

#[test]
fn a_line_of_another_shape_is_named() {
    let good = "{\"at\":\"2020-01-06T09:00:00Z\",\"change\":\"0123456789\",\"pr\":null,\"requester\":\"dev-01\",\
                \"op\":\"resource_created\",\"org\":\"acme\",\"resource\":\"org:acme\",\"role\":null,\"subject\":null,\
                \"reason\":\"a test\"}\n";
    let cases = [
        (
            "an unknown member",
            good.replace("\"org\":\"acme\"", "\"org\":\"acme\",\"more\":1"),
            "line 1: unknown field",
        ),
        ("no reason", good.replace(",\"reason\":\"a test\"", ""), "line 1: missing field"),
        ("milliseconds", good.replace("00Z", "00.000Z"), "line 1: `2020-01-06T09:00:00.000Z` is no instant"),
        ("no zone", good.replace("00Z", "00"), "is no instant"),
        ("cut off", good[..60].to_owned(), "line 1: EOF"),
        (
            "an earlier change",
            format!("{good}{}", good.replace("2020", "2019").replace("0123", "9123")),
            "line 2: an event is earlier",
        ),
        (
            "two times in one change",
            format!("{good}{}", good.replace("2020", "2021")),
            "line 2: events of one change",
        ),
        (
            "two requesters in one change",
            format!("{good}{}", good.replace("dev-01", "dev-02")),
            "line 2: events of one change",
        ),
        ("a login that is no name", good.replace("dev-01", "dev 01"), "login `dev 01`"),
        ("after the review date", good.replace("2020", "2099"), "begins after the review date"),
        ("a resource that is no name", good.replace("org:acme", "acme"), "`acme`: expected a resource"),
    ];
    for (name, text, expected) in cases {
        let found = fault_of_text(&text);
        assert!(found.contains(expected), "case: {name}: {found}");
    }
}
