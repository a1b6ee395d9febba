//! What a user sees: output, error stream and exit code of every command, over a small company's ledger.

#![allow(clippy::unwrap_used, reason = "a test that can not go on panics")]

mod common;

use std::fs;
use std::path::Path;

use common::{REQUEST, World, run};

/// Pins everything that a run shows.
macro_rules! shows {
    ($name:literal, $world:expr, $($output:expr),+ $(,)?) => {
        let shown: Vec<String> = vec![$($output.shown(&$world)),+];
        insta::assert_snapshot!($name, shown.join("\n=====\n"));
    };
}

const ALICE: [&str; 3] = ["user:alice", "reader", "db:acme/payroll"];
/// Between the first grant's end and the second grant.
const BETWEEN: &str = "2026-01-05T12:00:00Z";

fn with<'a>(first: &[&'a str], rest: &[&'a str]) -> Vec<&'a str> {
    [first, rest].concat()
}

#[test]
fn a_sound_ledger_is_verified() {
    let world = World::history("verify");
    let id = world.ledger_id();
    shows!("verify", world, world.ask("verify", &[]));
    shows!(
        "verify_pinned_json",
        world,
        world.ask("verify", &["--json", "--require-checkpoint", "--ledger-id", &id])
    );
    fs::remove_file(world.path("access.jsonl.checkpoint")).unwrap();
    shows!("verify_without_checkpoint", world, world.ask("verify", &["--json"]));
    shows!("verify_requires_checkpoint", world, world.ask("verify", &["--require-checkpoint"]));
}

#[test]
fn a_ledger_that_was_changed_fails_and_answers_nothing() {
    let world = World::history("tampered");
    let text = fs::read_to_string(world.ledger()).unwrap();
    fs::write(
        world.ledger(),
        text.replacen("Alice moved to another team.", "Alice moved to another town.", 1),
    )
    .unwrap();
    shows!("tampered_verify", world, world.ask("verify", &[]));
    shows!("tampered_who", world, world.ask("who", &["db:acme/payroll"]));
    let despite = world.ask("check", &with(&ALICE, &["--at", "end", "--unsafe-despite-fault"]));
    shows!("tampered_check_despite_fault", world, despite);
    for command in [
        vec!["state"],
        vec!["what", "user:alice"],
        with(&["check"], &ALICE),
        with(&["why"], &ALICE),
        vec!["log"],
        vec!["show", "1"],
    ] {
        let output = world.ask(command[0], &command[1..]);
        assert_eq!((output.code, output.stdout.as_str()), (1, ""), "{command:?}");
    }
}

#[test]
fn another_ledger_than_the_pinned_one_fails() {
    let world = World::company("pinned");
    let other = format!("acme/access/{}", "0".repeat(64));
    shows!("pinned", world, world.ask("verify", &["--ledger-id", &other]));
    assert_eq!(world.ask("who", &["org:acme", "--ledger-id", &other]).code, 1);
}

#[test]
fn what_is_no_ledger_is_no_verdict_but_an_error() {
    let world = World::empty("usage");
    fs::write(world.path("empty.jsonl"), "").unwrap();
    shows!("no_such_ledger", world, run(&["verify", &world.path("missing.jsonl")], b""));
    shows!("a_folder", world, run(&["verify", &world.dir.display().to_string()], b""));
    shows!("empty_ledger", world, run(&["verify", &world.path("empty.jsonl")], b""));
    let usage = [
        vec!["verify"],
        vec!["nonsense"],
        vec!["check", "x.jsonl", "alice", "reader", "db:x"],
        vec!["state", "x.jsonl", "--at", "2025-06-30"],
        vec!["log", "x.jsonl", "--kind", "access.taken"],
        vec!["log", "x.jsonl", "--kind", "nope"],
        vec!["submit", "x.jsonl", "y.signed", "--key", "z.key", "--now", "now"],
        vec!["check", "x.jsonl", "user:\u{1b}[31m", "reader", "db:x"],
    ];
    for args in &usage {
        assert_eq!(run(args, b"").code, 2, "{args:?}");
    }
    let outputs: Vec<String> = usage.iter().map(|args| run(args, b"").shown(&world)).collect();
    insta::assert_snapshot!("usage", outputs.join("\n=====\n"));
}

#[test]
fn state_lists_every_kind_in_every_form() {
    let mut world = World::history("state");
    world.state(&["user:alice"], &[], &REQUEST.replace("2592000", "3600"));
    let kinds = [
        "grants",
        "capacities",
        "owners",
        "requests",
        "resources",
        "principals",
        "policies",
        "classes",
        "exceptions",
    ];
    for format in ["text", "tsv", "json"] {
        let listed: Vec<String> = kinds
            .iter()
            .map(|kind| world.ask("state", &["-q", "--kind", kind, "--format", format]).shown(&world))
            .collect();
        insta::assert_snapshot!(format!("state_{format}"), listed.join("\n=====\n"));
    }
    // The state of a past moment, by the entries recorded up to then and it too.
    let at = |at| world.ask("state", &["-q", "--format", "tsv", "--at", at]).stdout;
    let line = "user:alice\treader\tdb:acme/payroll\n";
    assert_eq!(at("2026-01-05T09:23:59.999Z"), "");
    assert_eq!(at("2026-01-05T09:24:00Z"), line);
    assert_eq!(at("2026-01-05T09:24:59.999Z"), line);
    assert_eq!(at("2026-01-05T09:25:00Z"), "");
    // What runs out after the last entry has run out, to the millisecond.
    assert_eq!(at("2026-01-13T09:28:59.999Z"), line);
    assert_eq!(at("2026-01-13T09:29:00Z"), "");
    assert_eq!(at("1999-01-01T00:00:00Z"), "");
}

#[test]
fn who_and_what_answer_from_both_sides() {
    let world = World::history("who");
    shows!(
        "who",
        world,
        world.ask("who", &["db:acme/payroll"]),
        world.ask("who", &["db:acme/payroll", "--json"])
    );
    shows!(
        "who_nobody",
        world,
        world.ask("who", &["db:acme/payroll", "--at", BETWEEN]),
        world.ask("who", &["db:other"])
    );
    shows!(
        "what",
        world,
        world.ask("what", &["user:alice"]),
        world.ask("what", &["user:ben"]),
        world.ask("what", &["user:dana"])
    );
    shows!(
        "what_nobody",
        world,
        world.ask("what", &["user:nobody"]),
        world.ask("what", &["user:ben", "--json"])
    );
}

#[test]
fn check_says_no_and_why() {
    let mut world = World::history("check");
    shows!("check_allowed", world, world.ask("check", &with(&ALICE, &["--at", "end"])));
    shows!("check_allowed_json", world, world.ask("check", &with(&ALICE, &["--at", "end", "--json"])));
    shows!("check_revoked", world, world.ask("check", &with(&ALICE, &["--at", BETWEEN])));
    shows!("check_revoked_json", world, world.ask("check", &with(&ALICE, &["--at", BETWEEN, "--json"])));
    shows!("check_expired", world, world.ask("check", &with(&ALICE, &["--at", "2026-03-05T12:00:00Z"])));
    let unknown = [
        ["user:zoe", "reader", "db:acme/payroll"],
        ["user:alice", "writer", "db:acme/payroll"],
        ["user:alice", "reader", "db:x"],
    ];
    let ask =
        |args: &[&'static str; 3]| world.ask("check", &with(args, &["-q", "--at", "end"])).shown(&world);
    insta::assert_snapshot!("check_unknown", unknown.iter().map(ask).collect::<Vec<_>>().join("\n=====\n"));
    // By default it is asked of now: long after the grant has run out.
    assert_eq!(world.ask("check", &ALICE).code, 1);
    world.state(&["user:alice"], &[], &REQUEST.replace("reader", "writer"));
    shows!(
        "check_open_request",
        world,
        world.ask("check", &["user:alice", "writer", "db:acme/payroll", "--at", "end"])
    );
}

#[test]
fn why_tells_the_whole_justification() {
    let world = World::history("why");
    shows!("why", world, world.ask("why", &ALICE));
    shows!("why_json", world, world.ask("why", &["24", "--json"]));
    let by_part = [21, 22, 23, 24].map(|seq: u64| world.ask("why", &["-q", &seq.to_string()]).stdout);
    assert!(by_part.iter().all(|text| *text == by_part[0]), "each part leads to the same story");
    shows!("why_before_the_end", world, world.ask("why", &["24", "--at", "2026-01-05T09:24:30Z"]));
    shows!("why_open", world, world.ask("why", &["21", "--at", "2026-01-05T09:22:30Z"]));
    shows!(
        "why_nothing",
        world,
        world.ask("why", &["1"]),
        world.ask("why", &["99"]),
        world.ask("why", &["24", "--at", "2026-01-05T09:22:30Z"]),
        world.ask("why", &[&"0".repeat(64)]),
        world.ask("why", &["user:bob", "reader", "db:acme/payroll"])
    );
    shows!("why_usage", world, world.ask("why", &["24", "25"]), world.ask("why", &["de152b01"]));
}

/// A policy with a standing class, and with an exception where no path leads.
const WIDER: &str = "{
  \"type\": \"policy.published\", \"name\": \"wider\", \"scope\": {\"on\": \"*\"},
  \"document\": {
    \"classes\": [{\"class\": \"staff\", \"missed_review\": \"flag\", \"review_seconds\": 31536000}],
    \"exceptions\": [{\"max_seconds\": 86400, \"when\": {\"text\": \"An outage, or a close that can not wait.\"}}],
    \"paths\": [{
      \"applies\": {\"roles\": [\"reader\", \"writer\"]}, \"name\": \"owner\", \"distinct_persons\": true,
      \"cascade\": [\"owner\"], \"path\": {\"capacity\": \"business_owner\"}
    }],
    \"sod\": [{
      \"left\": [{\"on\": \"db:acme/payroll\", \"role\": \"writer\"}], \"name\": \"write-and-release\",
      \"right\": [{\"on\": \"app:acme/bank\"}, {\"on\": \"db:acme/*\", \"role\": \"releaser\"}]
    }],
    \"tiers\": [{\"tier\": \"high\", \"max_seconds\": 2592000}]
  }
}";

#[test]
fn why_tells_how_else_access_begins_and_ends() {
    let mut world = World::founded("stories");
    world.assign("exception_approver", "user:rex", "*");
    world.assign("policy_owner", "user:fern", "*");
    world.govern(WIDER);
    let policy = world.size() - 1;
    world.state(
        &["user:rex", "user:fern"],
        &[],
        &format!(
            "{{\"type\": \"exception.granted\", \"owner\": \"user:bob\", \"need\": {{\"text\": \"Staff read payroll all year.\"}},
               \"covers\": {{\"class\": \"staff\", \"policy\": \"#{policy}\", \"until\": \"2026-12-31T00:00:00.000Z\"}}}}"
        ),
    );
    let standing = REQUEST.replace("{\"seconds\": 2592000}", "{\"class\": \"staff\"}");
    let approve = |at: usize| {
        format!(
            "{{\"type\": \"access.approved\", \"request\": \"#{at}\", \"capacity\": \"business_owner\",
               \"need\": {{\"text\": \"Agreed.\"}}}}"
        )
    };
    let grant = |at: usize| format!("{{\"type\": \"access.granted\", \"request\": \"#{at}\"}}");
    // Held under a class, then replaced by a role for a time, which ends as the subject departs.
    world.state(&["user:alice"], &[], &standing);
    let first = world.size() - 1;
    world.state(&["user:bob"], &[], &approve(first));
    world.state(&["service:iam"], &[], &grant(first));
    let held = world.size() - 1;
    let wider = REQUEST
        .replace("reader", "writer")
        .replace("\"subject\"", &format!("\"replaces\": \"#{held}\", \"subject\""));
    world.state(&["user:alice"], &[], &wider);
    let second = world.size() - 1;
    world.state(&["user:bob"], &[], &approve(second));
    world.state(&["service:iam"], &[], &grant(second));
    // An exception where no path leads, for less than a day.
    world.state(
        &["user:ben"],
        &[],
        &REQUEST.replace("reader", "admin").replace("alice", "ben").replace("2592000", "86400"),
    );
    let third = world.size() - 1;
    world.state(
        &["user:rex"],
        &[],
        &format!(
            "{{\"type\": \"exception.granted\", \"owner\": \"user:bob\", \"need\": {{\"text\": \"The close can not wait.\"}},
               \"covers\": {{\"request\": \"#{third}\", \"seconds\": 3600}}}}"
        ),
    );
    world.state(&["service:iam"], &[], &grant(third));
    // One denied, one withdrawn.
    world.state(&["user:ben"], &[], &REQUEST.replace("alice", "ben"));
    let denied = world.size() - 1;
    world.state(
        &["user:bob"],
        &[],
        &format!(
            "{{\"type\": \"access.denied\", \"request\": \"#{denied}\", \"capacity\": \"business_owner\",
               \"reason\": {{\"text\": \"Ben does not run the close.\"}}}}"
        ),
    );
    world.state(&["user:ben"], &[], &REQUEST.replace("alice", "ben").replace("reader", "writer"));
    let withdrawn = world.size() - 1;
    world.state(
        &["user:ben"],
        &[],
        &format!("{{\"type\": \"access.withdrawn\", \"statement\": \"#{withdrawn}\"}}"),
    );
    world.state(
        &["user:dana"],
        &[],
        "{\"type\": \"principal.departed\", \"principal\": \"user:alice\", \"reason\": {\"text\": \"Left the company.\"}}",
    );
    shows!("why_class_replaced", world, world.ask("why", &["-q", &held.to_string()]));
    shows!("why_departed", world, world.ask("why", &["-q", &second.to_string()]));
    let later = ["-q", &third.to_string(), "--at", "2026-01-06T00:00:00Z"];
    shows!("why_exception_expired", world, world.ask("why", &later));
    shows!("why_denied", world, world.ask("why", &["-q", &denied.to_string()]));
    shows!("why_withdrawn", world, world.ask("why", &["-q", &withdrawn.to_string()]));
    shows!(
        "check_departed",
        world,
        world.ask("check", &["-q", "user:alice", "writer", "db:acme/payroll", "--at", "end"])
    );
    shows!(
        "state_classes_and_exceptions",
        world,
        world.ask("state", &["-q", "--kind", "classes"]),
        world.ask("state", &["-q", "--kind", "exceptions"])
    );
    shows!("log_stories", world, world.ask("log", &["-q", "--from", &policy.to_string()]));
}

#[test]
fn log_and_show_print_entries() {
    let world = World::history("log");
    shows!("log", world, world.ask("log", &[]));
    shows!(
        "log_filtered",
        world,
        world.ask("log", &["--kind", "access.granted", "--kind", "access.revoked", "--json"])
    );
    shows!("log_by", world, world.ask("log", &["--author", "user:erik", "--from", "17", "--to", "19"]));
    shows!("show", world, world.ask("show", &["2"]));
    shows!("show_json", world, world.ask("show", &["#21", "--json"]));
    shows!("show_missing", world, world.ask("show", &["99"]), world.ask("show", &["nonsense"]));
}

#[test]
fn nothing_a_ledger_says_moves_the_cursor() {
    let mut world = World::company("hostile");
    let hostile = "\\u001b[2J\\u001b[31mDENIED\\r\\n#99 granted\\u009b1A\\u200b\\ufeff\\u007f";
    world.state(&["user:alice"], &[], &REQUEST.replace("Month-end close for January", hostile));
    let outputs = [
        world.ask("log", &["--from", "20"]),
        world.ask("show", &["20"]),
        world.ask("why", &["20"]),
        world.ask("log", &["--from", "20", "--json"]),
        world.ask("state", &["--kind", "requests", "--json"]),
        world.ask("why", &["20", "--json"]),
    ];
    for output in &outputs {
        let bad = |c: char| c != '\n' && (c.is_control() || "\u{200b}\u{feff}".contains(c));
        assert!(
            !output.stdout.contains(bad) && !output.stderr.contains(bad),
            "{}",
            output.stdout.escape_debug()
        );
    }
    shows!("hostile", world, outputs[0], outputs[1], outputs[2]);
    let said: serde_json::Value = serde_json::from_str(&outputs[4].stdout).unwrap();
    assert_eq!(
        said["requests"][0]["need"],
        "\u{1b}[2J\u{1b}[31mDENIED\r\n#99 granted\u{9b}1A\u{200b}\u{feff}\u{7f}"
    );
    // Bidirectional controls do not even get in.
    let bidi =
        world.sign(&["user:alice"], &[], &REQUEST.replace("Month-end", "Month\\u202eend")).unwrap_err();
    shows!("hostile_bidi", world, bidi);
    // Bytes that are no ledger are quoted just as safely.
    fs::write(world.path("bad.jsonl"), "{\"\u{1b}[31m\":\u{202e}1}\n").unwrap();
    let output = run(&["verify", &world.path("bad.jsonl")], b"");
    assert!(
        output.code == 1 && !output.stdout.contains(['\u{1b}', '\u{202e}']),
        "{}",
        output.stdout.escape_debug()
    );
}

#[test]
fn a_ledger_is_opened_once_and_its_id_is_printed() {
    let world = World::empty("init");
    shows!("init", world, world.init(), world.init());
    let usage = [
        vec!["init", "x.jsonl", "--name", "acme"],
        vec!["init", "x.jsonl", "--name", "acme", "--governor", "user:dana", "--recorder", "r"],
    ];
    for args in &usage {
        assert_eq!(run(args, b"").code, 2, "{args:?}");
    }
    let twice = format!("user:dana=person:dana:{}", world.key("user:dana"));
    let recorder = format!("user:dana=person:dana:{}", world.key("user:dana"));
    let path = world.path("bad.jsonl");
    let refused = run(&["init", &path, "--name", "acme", "--governor", &twice, "--recorder", &recorder], b"");
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(!Path::new(&path).exists());
    let (governor, now) = (twice, world.now.to_string());
    let recorder = format!("service:r=person:olga:{}", world.key("service:r"));
    let too_many =
        ["--name", "acme", "--governor", &governor, "--recorder", &recorder, "--quorum", "2", "--now", &now];
    shows!("init_refused", world, run(&with(&["init", &path], &too_many), b""));
    assert!(!Path::new(&path).exists());
}

#[test]
fn a_key_is_made_for_its_owner_alone() {
    let world = World::empty("keygen");
    let path = world.path("new.key");
    let made = run(&["keygen", &path], b"");
    assert_eq!(made.code, 0, "{}", made.stderr);
    assert_eq!(run(&["keygen", "--show", &path], b"").stdout, made.stdout);
    let again = run(&["keygen", &path], b"");
    assert!(
        again.code == 2 && again.stderr.contains("exists already") && !again.stderr.contains("os error"),
        "{}",
        again.stderr
    );
    let other = run(&["keygen", &world.path("other.key")], b"");
    assert_ne!(other.stdout, made.stdout);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &str| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        shows!("keygen_open", world, run(&["keygen", "--show", &path], b""));
    }
    shows!("keygen_json", world, run(&["keygen", "--show", "--json", &world.key("user:dana")], b""));
}

#[test]
fn signing_shows_what_is_signed() {
    let mut world = World::company("sign");
    let (ledger, key, now) = (world.ledger(), world.key("user:alice"), world.now.to_string());
    let unasked = ["sign", &ledger, "--as", "user:alice", "--key", &key, "--now", &now];
    let refused = run(&unasked, REQUEST.as_bytes());
    assert_eq!((refused.code, refused.stdout.as_str()), (2, ""), "nobody said yes");
    shows!("sign_unasked", world, refused);
    // And no serial is used up: the statement that is signed next has the first one.
    let args = ["sign", "-y", &ledger, "--as", "user:alice", "--key", &key, "--now", &now];
    shows!("sign", world, run(&args, REQUEST.as_bytes()));
    // A serial is never used twice, whatever becomes of the statement.
    let next = run(&args, REQUEST.as_bytes()).stdout;
    assert!(next.contains("\"serial\":2"), "{next}");
    let wrong_key = world.key("user:bob");
    shows!(
        "sign_refused",
        world,
        run(
            &["sign", "-y", &ledger, "--as", "user:alice", "--key", &wrong_key, "--now", &now],
            REQUEST.as_bytes()
        ),
        run(&args, REQUEST.replace("\"subject\"", "\"subjects\"").as_bytes()),
        run(&args, REQUEST.replace("2592000", "1.5").as_bytes()),
        run(&args, REQUEST.replace("\"tier\": \"high\"", "\"role\": \"x\"").as_bytes()),
        run(&args, b"{\"type\": \"access.approved\", \"request\": \"#99\"}"),
        run(&args, b"{\"type\": \"access.granted\", \"request\": \"#3\"}"),
    );
    world.tick(1);
    let submission = world.sign(
        &["user:dana", "user:erik"],
        &[],
        "{\"type\": \"ledger.frozen\", \"reason\": {\"text\": \"Drill\"}}",
    );
    let twice = run(&["sign", "-y", "--cosign", &submission.unwrap(), "--key", &world.key("user:erik")], b"");
    assert!(twice.code == 2 && twice.stderr.contains("has signed already"), "{}", twice.stderr);
    // With the ledger at hand a cosigner reads what the digests stand for; a statement for another ledger is not signed.
    let withdraw =
        "{\"type\": \"capacity.withdrawn\", \"assignment\": \"#15\", \"reason\": {\"text\": \"Bob moves.\"}}";
    let both = ["user:dana", "user:erik"];
    let name = world.path("withdraw.signed");
    let (dana, erik, now) = (world.key(both[0]), world.key(both[1]), world.now.to_string());
    let args = [
        "sign",
        "-y",
        &ledger,
        "--as",
        both[0],
        "--key",
        &dana,
        "--cosigner",
        both[1],
        "--now",
        &now,
        "--out",
        &name,
    ];
    let drafted = run(&args, withdraw.as_bytes());
    shows!(
        "sign_with_cosigner",
        world,
        drafted,
        run(&["sign", "-y", &ledger, "--cosign", &name, "--key", &erik], b"")
    );
    let third = world.path("third.signed");
    let mut json: Vec<&str> =
        args.iter().map(|part| if *part == name { third.as_str() } else { part }).collect();
    json.push("--json");
    shows!(
        "sign_json",
        world,
        run(&json, withdraw.as_bytes()),
        run(&["sign", "-yq", &ledger, "--cosign", &third, "--key", &erik, "--json"], b""),
        run(&["sign", "-y", &ledger, "--as", "user:dana", "--key", both[1], "--json"], withdraw.as_bytes())
    );
    let other = World::empty("sign-other");
    assert_eq!(run(&["keygen", &other.path("x.key")], b"").code, 0);
    let recorder = format!("service:r=person:olga:{}", other.path("x.key"));
    let governor = format!("user:dana=person:dana:{}", world.key("user:dana"));
    let init = ["init", &other.ledger(), "--name", "other", "--governor", &governor, "--recorder", &recorder];
    assert_eq!(run(&init, b"").code, 0);
    let fern = world.key("user:fern");
    assert_eq!(run(&["sign", "-y", &other.ledger(), "--cosign", &name, "--key", &fern], b"").code, 1);
}

/// A signature too many makes a statement worthless, and can not be taken away.
#[test]
fn nobody_adds_a_signature_that_is_not_asked_for() {
    let world = World::founded("cosign");
    let (ledger, now) = (world.ledger(), world.now.to_string());
    let [dana, erik, fern] = ["user:dana", "user:erik", "user:fern"].map(|name| world.key(name));
    let make = |name: &str, event: &str, cosigners: &[&str]| {
        let path = world.path(name);
        let mut args =
            vec!["sign", "-yq", &ledger, "--as", "user:dana", "--key", &dana, "--now", &now, "--out", &path];
        cosigners.iter().for_each(|name| args.extend(["--cosigner", name]));
        let made = run(&args, event.as_bytes());
        assert_eq!(made.code, 0, "{}", made.stderr);
        path
    };
    let frozen = "{\"type\": \"ledger.frozen\", \"reason\": {\"text\": \"Drill\"}}";
    let cosign = |path: &str, key: &str| run(&["sign", "-y", "--cosign", path, "--key", key], b"");
    let checked = |path: &str, key: &str| run(&["sign", "-y", &ledger, "--cosign", path, "--key", key], b"");
    let alone = make("alone.signed", frozen, &[]);
    let registered = "{\"type\": \"resource.registered\", \"resource\": \"db:books\", \"tier\": \"low\"}";
    let together = make("together.signed", registered, &["user:erik"]);
    let bytes = |path: &str| fs::read(path).unwrap();
    let before = [&alone, &together].map(|path| bytes(path));
    let mut refused = vec![cosign(&alone, &erik), checked(&together, &fern), checked(&alone, &erik)];
    assert_eq!([&alone, &together].map(|path| bytes(path)), before, "what is refused changes nothing");
    let added = cosign(&together, &erik);
    refused.extend([cosign(&together, &fern), checked(&together, &fern), cosign(&together, &dana)]);
    assert!(refused.iter().all(|output| output.code == 2), "{refused:?}");
    let shown: Vec<String> = refused.iter().map(|output| output.shown(&world)).collect();
    insta::assert_snapshot!("cosign_refused", shown.join("\n=====\n"));
    assert!(added.code == 0 && added.stderr.contains("signed now by key"), "{}", added.stderr);
    assert_eq!(world.submit(&together).code, 0);
    // Whose signature is missing, as far as it can be told.
    let other = registered.replace("books", "other");
    for (name, with_ledger, says) in
        [("third.signed", false, "user:erik or user:fern"), ("fourth.signed", true, "user:fern")]
    {
        let path = make(name, &other, &["user:erik", "user:fern"]);
        let added = if with_ledger { checked(&path, &erik) } else { cosign(&path, &erik) };
        let says = format!("1 signature is still missing, of {says}: ");
        assert!(added.code == 0 && added.stderr.contains(&says), "{}", added.stderr);
    }
}

#[test]
fn an_output_that_nobody_reads_is_no_reason_to_shout() {
    let world = World::company("pipe");
    let program = env!("CARGO_BIN_EXE_countersign");
    let mut child = std::process::Command::new(program)
        .args(["log", &world.ledger()])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(141));
    assert!(said.starts_with("verified 20 entries") && said.lines().count() == 1, "{said}");
    let denied =
        std::process::Command::new(program).args(["check", &world.ledger()]).args(ALICE).output().unwrap();
    assert_eq!(denied.status.code(), Some(1));
}

#[test]
fn submitting_gives_a_receipt_or_a_refusal() {
    let world = World::company("submit");
    let good = world.sign(&["user:alice"], &[], REQUEST).unwrap();
    shows!("submit", world, world.submit(&good));
    shows!("submit_again", world, world.submit(&good));
    let size = world.size();
    let request = size - 1;
    let approve = format!(
        "{{\"type\": \"access.approved\", \"request\": \"#{request}\", \"capacity\": \"business_owner\", \"need\": {{\"text\": \"Yes\"}}}}"
    );
    let own = world.sign(&["user:alice"], &[], &approve).unwrap();
    shows!("submit_refused", world, world.submit(&own));
    let (ledger, key, now) = (world.ledger(), world.key("service:recorder"), world.now.to_string());
    shows!(
        "submit_refused_json",
        world,
        run(&["submit", &ledger, &own, "--key", &key, "--now", &now, "--json"], b"")
    );
    let unsigned = world
        .sign(
            &["user:dana", "user:erik"],
            &[],
            "{\"type\": \"ledger.thawed\", \"reason\": {\"text\": \"x\"}}",
        )
        .unwrap();
    let text = fs::read_to_string(&unsigned).unwrap();
    let forged = world.path("forged.signed");
    fs::write(&forged, text.replace("\"sig\":\"", "\"sig\":\"AAAA")).unwrap();
    let edited = world.path("edited.signed");
    fs::write(&edited, text.replace("{\"text\":\"x\"}", "{\"text\":\"y\"}")).unwrap();
    shows!("submit_forged", world, world.submit(&forged), world.submit(&edited));
    let other_key = world.key("user:dana");
    shows!(
        "submit_not_the_recorder",
        world,
        run(&["submit", &ledger, &good, "--key", &other_key, "--now", &now], b"")
    );
    // Nothing that was refused left a trace.
    assert_eq!(world.size(), size);
    assert_eq!(world.ask("verify", &["--require-checkpoint"]).code, 0);
    let lock = fs::OpenOptions::new().write(true).open(world.path("access.jsonl.lock")).unwrap();
    lock.lock().unwrap();
    let busy = world.submit(&good);
    assert!(busy.code == 2 && busy.stderr.contains("another program"), "{}", busy.stderr);
}

#[test]
fn a_checkpoint_is_printed_once_the_ledger_was_held_against_it() {
    let world = World::company("checkpoint");
    let (ledger, kept) = (world.ledger(), world.path("kept.checkpoint"));
    let note = fs::read_to_string(format!("{ledger}.checkpoint")).unwrap();
    let printed = run(&["checkpoint", &ledger, "-q"], b"");
    assert_eq!((printed.code, printed.stdout), (0, note.clone()));
    let written = || run(&["checkpoint", &ledger, "--out", &kept], b"");
    shows!("checkpoint", world, written(), written());
    assert_eq!(fs::read_to_string(&kept).unwrap(), note);
    assert_eq!(run(&["verify", &ledger, "--checkpoint", &kept], b"").code, 0);
    // One that does not hold is handed on to nobody, and neither is one that is not there.
    let longer = note.replacen("\n20\n", "\n21\n", 1);
    assert_ne!(longer, note);
    fs::write(format!("{ledger}.checkpoint"), longer).unwrap();
    let wrong = run(&["checkpoint", &ledger], b"");
    assert_eq!((wrong.code, wrong.stdout.as_str()), (1, ""), "{}", wrong.stderr);
    fs::remove_file(format!("{ledger}.checkpoint")).unwrap();
    let none = run(&["checkpoint", &ledger], b"");
    assert_eq!((none.code, none.stdout.as_str()), (1, ""), "{}", none.stderr);
    assert!(none.stderr.contains("no checkpoint lies with the ledger"), "{}", none.stderr);
}

#[test]
fn copies_are_verified_and_continue_what_is_there() {
    let mut world = World::company("copy");
    let (ledger, copy, backup) = (world.ledger(), world.path("copy.jsonl"), world.path("backup.jsonl"));
    shows!("export", world, run(&["export", &ledger, &copy], b""), run(&["export", &ledger, &copy], b""));
    assert_eq!(fs::read(&copy).unwrap(), fs::read(&ledger).unwrap());
    assert_eq!(run(&["verify", &copy, "--require-checkpoint"], b"").code, 0);
    assert_eq!(run(&["export", &ledger, "-"], b"").stdout, fs::read_to_string(&ledger).unwrap());
    assert_eq!(run(&["import", &copy, &backup], b"").code, 0);
    world.state(&["user:alice"], &[], REQUEST);
    shows!("import", world, run(&["import", &ledger, &backup], b""));
    assert_eq!(fs::read(&backup).unwrap(), fs::read(&ledger).unwrap());
    shows!("import_again", world, run(&["import", &ledger, &backup], b""));
    // An older copy does not undo a newer one, and another ledger does not take its place.
    shows!("import_older", world, run(&["import", &copy, &backup], b""));
    let other = World::empty("copy-other");
    assert_eq!(other.init().code, 0);
    assert_eq!(run(&["import", &other.ledger(), &backup], b"").code, 1);
    assert_eq!(fs::read(&backup).unwrap(), fs::read(&ledger).unwrap());
    let third = world.path("third.jsonl");
    shows!(
        "copies_json",
        world,
        run(&["export", "--json", &ledger, &third], b""),
        run(&["import", "--json", &ledger, &third], b""),
        run(&["copy", "--json", &copy, &world.path("fourth.ledger")], b""),
        run(&["copy", "--json", &ledger, &world.path("fourth.ledger")], b""),
        run(&["export", "--json", &ledger, "-"], b"")
    );
    let broken = world.path("broken.jsonl");
    fs::write(&broken, &fs::read(&ledger).unwrap()[..5000]).unwrap();
    let refused = run(&["import", &broken, &world.path("new.jsonl")], b"");
    assert!(refused.code == 1 && !Path::new(&world.path("new.jsonl")).exists(), "{}", refused.stderr);
}

/// Entries are written in batches, whatever their number is.
#[test]
fn a_copy_of_many_entries_is_the_same_bytes() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/ledger.jsonl");
    let world = World::empty("copy-many");
    let ledger = golden.display().to_string();
    for copy in [world.path("copy.jsonl"), world.path("copy.ledger")] {
        assert_eq!(run(&["-q", "export", &ledger, &copy], b"").code, 0);
        assert_eq!(run(&["-q", "export", &copy, "-"], b"").stdout.into_bytes(), fs::read(&golden).unwrap());
    }
}

/// A checkpoint that went away takes with it what it showed.
#[test]
fn a_missing_checkpoint_is_not_made_anew_silently() {
    for (name, world) in [
        ("file", World::company("unkept")),
        ("directory", World::empty_for_directory("unkept-directory").found()),
    ] {
        let ledger = Path::new(&world.ledger()).to_owned();
        let note = if ledger.is_dir() {
            ledger.join("checkpoint")
        } else {
            ledger.with_extension("jsonl.checkpoint")
        };
        let submission = world.sign(&["user:alice"], &[], &REQUEST.replace("high", "low")).unwrap();
        fs::remove_file(&note).unwrap();
        let output = world.submit(&submission);
        assert!(
            note.exists() && output.stderr.contains("this ledger had no checkpoint"),
            "{name}: {}",
            output.stderr
        );
        assert!(!world.submit(&submission).stderr.contains("had no checkpoint"), "{name}");
    }
}

/// As many as can sign without one of them, and two where there are two.
#[test]
fn nobody_governs_alone_unless_it_is_asked_for() {
    let world = World::empty("quorum");
    for (governors, want) in [(1, 1), (2, 2), (3, 2), (4, 3)] {
        let ledger = world.path(&format!("{governors}.jsonl"));
        let seats: Vec<String> = (0..governors)
            .map(|number| {
                format!("user:g{number}=person:g{number}:{}", world.key(&format!("user:g{number}")))
            })
            .collect();
        let recorder = format!("service:r=person:olga:{}", world.key("service:r"));
        let mut args = vec!["init", &ledger, "--name", "acme", "--recorder", &recorder];
        seats.iter().for_each(|seat| args.extend(["--governor", seat.as_str()]));
        let output = run(&args, b"");
        let said = format!("{want} of {governors} governor");
        assert!(output.code == 0 && output.stderr.contains(&said), "{governors}: {}", output.stderr);
        let report: serde_json::Value =
            serde_json::from_str(&run(&["verify", "--json", &ledger], b"").stdout).unwrap();
        assert_eq!(report["governors_quorum"]["quorum"], want, "{governors}");
    }
}

#[cfg(unix)]
#[test]
fn a_link_to_a_ledger_is_refused_and_its_end_named() {
    let world = World::empty_for_directory("link").found();
    let link = world.path("link.ledger");
    std::os::unix::fs::symlink(world.ledger(), &link).unwrap();
    let submission = world.sign(&["user:alice"], &[], REQUEST).unwrap();
    let key = world.key("service:recorder");
    shows!(
        "link",
        world,
        run(&["verify", &link], b""),
        run(&["submit", &link, &submission, "--key", &key], b"")
    );
}

#[test]
fn scenarios_are_run_and_failures_are_readable() {
    let world = World::empty("test");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/scenarios");
    let file = fs::read_to_string(root.join("attacks/approval_replayed.json")).unwrap();
    fs::create_dir(world.dir.join("attacks")).unwrap();
    fs::copy(root.join("company.setup.json"), world.path("company.setup.json")).unwrap();
    fs::write(world.path("attacks/good.json"), &file).unwrap();
    let good = run(&["test", &world.path("attacks")], b"");
    assert_eq!((good.code, good.stdout.lines().last()), (0, Some("1 scenario, 0 failed")), "{}", good.stdout);
    let (before, after) = file.split_once("\"expect\": \"").unwrap();
    let (_, after) = after.split_once('"').unwrap();
    fs::write(world.path("attacks/wrong.json"), format!("{before}\"expect\": \"quorum\"{after}")).unwrap();
    shows!("test_failed", world, run(&["test", &world.path("attacks")], b""));
    shows!("test_failed_json", world, run(&["test", "--json", &world.path("attacks/wrong.json")], b""));
    fs::write(world.path("attacks/wrong.json"), "{").unwrap();
    shows!("test_unreadable", world, run(&["test", &world.path("attacks/wrong.json")], b""));
    fs::create_dir(world.dir.join("empty")).unwrap();
    shows!(
        "test_missing",
        world,
        run(&["test", &world.path("none")], b""),
        run(&["test", &world.path("empty")], b"")
    );
}

#[test]
fn help_has_examples_and_shells_have_completions() {
    let world = World::empty("help");
    shows!("help", world, run(&["--help"], b""));
    for command in [
        "init",
        "keygen",
        "sign",
        "submit",
        "verify",
        "state",
        "who",
        "what",
        "why",
        "check",
        "log",
        "show",
        "export",
        "import",
        "test",
        "completions",
    ] {
        let help = run(&[command, "--help"], b"");
        assert!(help.code == 0 && help.stdout.contains("Example"), "{command}: {}", help.stdout);
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&["completions", shell], b"");
        assert!(script.code == 0 && script.stdout.contains("countersign"), "{shell}");
    }
}
