//! What a user sees of a ledger in a directory: the same answers as of one in a file, and what the directory adds.

#![allow(clippy::unwrap_used, reason = "a test that can not go on panics")]

mod common;

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use common::{REQUEST, World, assert_same, run};
use countersign_store::file::FileStore;

macro_rules! shows {
    ($name:literal, $world:expr, $($output:expr),+ $(,)?) => {
        let shown: Vec<String> = vec![$($output.shown(&$world)),+];
        insta::assert_snapshot!($name, shown.join("\n=====\n"));
    };
}

fn history(name: &str) -> World {
    World::empty_for_directory(name).found().live_on()
}

fn append(path: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

#[test]
fn a_directory_is_answered_from_as_a_file_is() {
    let (file, directory) = (World::history("twin-file"), history("twin-directory"));
    assert_same(&file, &directory);
    assert_eq!(fs::read_to_string(directory.segment()).unwrap(), fs::read_to_string(file.ledger()).unwrap());
}

#[test]
fn a_ledger_is_opened_in_a_directory_and_added_to() {
    let world = World::empty_for_directory("directory-init");
    // An empty directory is as good as none.
    fs::create_dir(world.ledger()).unwrap();
    shows!("directory_init", world, world.init(), world.init());
    let world = history("directory-submit");
    let submission = world.sign(&["user:alice"], &[], &REQUEST.replace("2592000", "3600")).unwrap();
    shows!("directory_submit", world, world.submit(&submission), world.submit(&submission));
    let missing = world.path("none.ledger");
    let key = world.key("service:recorder");
    shows!("directory_submit_missing", world, run(&["submit", &missing, &submission, "--key", &key], b""));
    assert!(!Path::new(&missing).exists());
    // One writer at a time.
    let held = FileStore::open(world.ledger()).unwrap();
    shows!("directory_submit_locked", world, world.submit(&submission));
    drop(held);
    assert_eq!(world.submit(&submission).code, 0);
}

#[test]
fn a_directory_is_verified_and_what_lies_in_it_reported() {
    let world = history("directory-verify");
    shows!("directory_verify", world, world.ask("verify", &[]));
    let ledger = Path::new(&world.ledger()).to_owned();
    fs::write(ledger.join("notes.txt"), "?").unwrap();
    fs::write(ledger.join("entries/copy"), "?").unwrap();
    shows!("directory_verify_foreign", world, world.ask("verify", &[]), world.ask("verify", &["--json"]));
    // Among the segments it keeps a writer out.
    let submission = world.sign(&["user:alice"], &[], REQUEST).unwrap();
    shows!("directory_submit_foreign", world, world.submit(&submission));
    fs::remove_file(ledger.join("entries/copy")).unwrap();
    assert_eq!(world.submit(&submission).code, 0);
}

/// docs/verify.md has every member of the report, and no other; each is there whatever was found.
#[test]
fn the_report_has_the_members_that_are_documented() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/verify.md");
    let page = fs::read_to_string(page).unwrap();
    let members = |part: &str| -> Vec<String> {
        let rows = part.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        rows.map(str::to_owned).collect()
    };
    let parts: Vec<Vec<String>> = page.split("| member |").skip(1).map(members).collect();
    let keys =
        |json: &serde_json::Value| -> Vec<String> { json.as_object().unwrap().keys().cloned().collect() };
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names
    };
    let world = history("directory-report");
    append(&world.segment(), b"no entry\n");
    let torn: serde_json::Value = serde_json::from_str(&world.ask("verify", &["--json"]).stdout).unwrap();
    let file = World::history("file-report");
    let good: serde_json::Value = serde_json::from_str(&file.ask("verify", &["--json"]).stdout).unwrap();
    fs::write(file.path("empty.jsonl"), "").unwrap();
    let empty = run(&["verify", "--json", &file.path("empty.jsonl")], b"").stdout;
    let empty: serde_json::Value = serde_json::from_str(&empty).unwrap();
    for report in [&torn, &good, &empty] {
        assert_eq!(sorted(keys(report)), sorted(parts[0].clone()));
    }
    for fault in [&torn["fault"], &empty["fault"]] {
        assert_eq!(sorted(keys(fault)), sorted(parts[1].clone()));
    }
    assert_eq!(sorted(keys(&torn["directory"])), sorted(parts[2].clone()));
    let claims: Vec<&str> =
        good["claims"].as_array().unwrap().iter().map(|claim| claim["name"].as_str().unwrap()).collect();
    assert!(page.contains(&format!("`{}`", claims.join("`, `"))), "{claims:?}");
}

/// Entries and checkpoint were cut, and the writer's own note still tells.
#[test]
fn entries_that_the_writer_had_are_missed_loudly() {
    let world = history("directory-cut");
    let text = fs::read_to_string(world.segment()).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let submission = world.sign(&["user:alice"], &[], REQUEST).unwrap();
    fs::write(world.segment(), lines[..24].concat()).unwrap();
    fs::remove_file(Path::new(&world.ledger()).join("checkpoint")).unwrap();
    let alice = ["user:alice", "reader", "db:acme/payroll", "--at", "end"];
    shows!(
        "directory_cut",
        world,
        world.ask("verify", &[]),
        world.ask("check", &alice),
        world.ask("check", &[&alice[..], &["--unsafe-despite-fault"]].concat()),
        world.submit(&submission),
        world.ask("export", &[&world.path("cut.jsonl")]),
    );
    assert!(!Path::new(&world.path("cut.jsonl")).exists());
    let json: serde_json::Value = serde_json::from_str(&world.ask("verify", &["--json"]).stdout).unwrap();
    assert_eq!(
        (&json["verdict"], &json["warnings"][0]["code"]),
        (&"verified".into(), &"entries_missing".into())
    );
    // Without the note nothing tells: that is what a checkpoint kept elsewhere is for.
    fs::remove_file(Path::new(&world.ledger()).join("head")).unwrap();
    assert_eq!(world.ask("verify", &[]).code, 0);
}

#[test]
fn a_torn_tail_fails_until_a_writer_cuts_it_and_says_so() {
    let world = history("directory-torn");
    append(&world.segment(), b"{\"prev\":\"0000");
    shows!("directory_torn_verify", world, world.ask("verify", &[]));
    let submission = world.sign(&["user:alice"], &[], REQUEST);
    assert_eq!(
        submission.map_err(|output| output.code),
        Err(1),
        "nothing is signed over what does not verify"
    );
    shows!("directory_torn_submit", world, world.submit(&sign_elsewhere(&world)));
    shows!("directory_torn_verify_after", world, world.ask("verify", &[]));
}

/// What a loss of power can leave and what nothing proves is cut by whoever looked at it, and an older copy is not gone on with.
#[test]
fn a_writer_is_told_to_cut_and_what_to_continue() {
    let world = history("directory-opening");
    let ledger = Path::new(&world.ledger()).to_owned();
    let (old, new) = (world.path("old.ledger"), world.path("new.checkpoint"));
    copy_folder(&ledger, Path::new(&old));
    let [first, second] = ["3600", "7200"].map(|seconds| REQUEST.replace("2592000", seconds));
    let submission = world.sign(&["user:alice"], &[], &first).unwrap();
    let other = world.sign(&["user:alice"], &[], &second).unwrap();
    assert_eq!(world.submit(&submission).code, 0);
    fs::copy(ledger.join("checkpoint"), &new).unwrap();
    let (key, now) = (world.key("service:recorder"), world.now.to_string());
    let submit = |ledger: &str, more: &[&str]| {
        run(&[&["submit", ledger, &other, "--key", &key, "--now", &now], more].concat(), b"")
    };
    append(&world.segment(), b"no entry\n");
    shows!(
        "directory_opening",
        world,
        submit(&world.ledger(), &[]),
        submit(&world.ledger(), &["--cut-unproven", "--checkpoint", &new]),
        submit(&old, &["--checkpoint", &new]),
        submit(&old, &["--checkpoint", &key]),
    );
    assert_eq!(world.ask("verify", &["--require-checkpoint"]).code, 0);
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            fs::copy(&path, target).unwrap();
        }
    }
}

/// A statement for this ledger, signed against a copy without the torn tail.
fn sign_elsewhere(world: &World) -> String {
    let copy = world.path("copy.jsonl");
    let text = fs::read_to_string(world.segment()).unwrap();
    fs::write(&copy, &text[..=text.rfind('\n').unwrap()]).unwrap();
    let (out, key) = (world.path("request.signed"), world.key("user:alice"));
    let now = world.now.to_string();
    let args = ["-q", "sign", "-y", &copy, "--as", "user:alice", "--key", &key, "--now", &now, "--out", &out];
    let output = run(&args, REQUEST.as_bytes());
    assert_eq!(output.code, 0, "{}", output.stderr);
    out
}

#[test]
fn a_changed_directory_fails_by_segment_and_answers_nothing() {
    let world = history("directory-tampered");
    let text = fs::read_to_string(world.segment()).unwrap();
    fs::write(
        world.segment(),
        text.replacen("Alice moved to another team.", "Alice moved to another town.", 1),
    )
    .unwrap();
    shows!("directory_tampered", world, world.ask("verify", &[]), world.ask("who", &["db:acme/payroll"]));
    let segment = world.segment();
    fs::rename(&segment, segment.with_file_name("00000000000000000001.jsonl")).unwrap();
    shows!("directory_renamed", world, world.ask("verify", &[]));
}

#[test]
fn what_is_no_ledger_directory_is_an_error() {
    let world = World::empty_for_directory("directory-none");
    fs::create_dir(world.ledger()).unwrap();
    fs::write(world.path("file.ledger"), "").unwrap();
    shows!(
        "directory_none",
        world,
        world.ask("verify", &[]),
        run(&["verify", &world.path("none.ledger")], b""),
        run(&["verify", &world.path("file.ledger")], b""),
    );
}

#[test]
fn copies_go_from_directory_to_file_and_back() {
    let mut world = history("directory-copies");
    let (file, second) = (world.path("copy.jsonl"), world.path("second.ledger"));
    shows!(
        "directory_export",
        world,
        world.ask("export", &[&file]),
        run(&["import", &file, &second], b""),
        run(&["verify", &second, "-q"], b""),
        world.ask("export", &[&second]),
    );
    // It goes on, and the copy is brought up to it; the way back is none.
    world.state(&["user:alice"], &[], REQUEST);
    let ledger = world.ledger();
    let size = |path: &str| -> u64 {
        let output = run(&["verify", path, "--json"], b"");
        let json: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
        assert_eq!(json["verdict"], "verified");
        assert_eq!(json["anchored"], json["entries"]);
        json["entries"].as_u64().unwrap()
    };
    let before = size(&second);
    assert_eq!(run(&["import", &ledger, &second], b"").code, 0);
    assert_eq!(size(&second), before + 1);
    shows!("directory_import_older", world, run(&["import", &file, &second], b""));
    assert_eq!(size(&second), before + 1);
    let stranger = World::founded("directory-stranger");
    let output = run(&["import", &stranger.ledger(), &second], b"");
    assert_eq!((output.code, size(&second)), (1, before + 1), "{}", output.stderr);
}
