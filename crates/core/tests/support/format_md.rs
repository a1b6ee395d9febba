//! The parts of docs/format.md that the code writes: types, events, policy, codes, limits and a worked example.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_core::entry::{Entry, entry_schema};
use countersign_core::event::EventKind;
use countersign_core::fault::FaultCode;
use countersign_core::id::LedgerId;
use countersign_core::key::PublicKey;
use countersign_core::merkle::Tree;
use countersign_core::note::{KeyKind, VerifierKey};
use countersign_core::policy::Clause;
use countersign_core::wire::Wire as _;
use countersign_core::{entry, event, policy, scan, statement};
use serde_json::Value;

use super::examples::golden;
use super::schemas::document;

/// Puts the generated parts into the document: what stands between `<!-- generated: NAME -->` and `<!-- end -->`.
///
/// # Panics
/// If a part is missing in the document, stands twice, or is none of these.
pub(crate) fn render(text: &str) -> String {
    let mut parts = parts();
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, from)) = rest.split_once("<!-- generated: ") {
        let (name, from) = from.split_once(" -->").expect("a marker is closed");
        let (_, after) = from.split_once("<!-- end -->").expect("a generated part has an end");
        let part =
            parts.remove(name).unwrap_or_else(|| panic!("there is no part `{name}`, or it stands twice"));
        write!(out, "{before}<!-- generated: {name} -->\n{part}<!-- end -->")
            .expect("a string takes everything");
        rest = after;
    }
    assert!(parts.is_empty(), "not in the document: {:?}", parts.keys());
    out + rest
}

fn parts() -> BTreeMap<&'static str, String> {
    let definitions = definitions();
    BTreeMap::from([
        ("limits", limits()),
        ("names", names(&definitions)),
        ("envelope", envelope(&definitions)),
        ("values", values(&definitions)),
        ("events", events(&definitions)),
        ("policy", policy_members(&definitions)),
        ("codes", codes()),
        ("example", example()),
    ])
}

/// Every named type, by name.
fn definitions() -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for (name, schema) in [("Entry", entry_schema()), ("Clause", Clause::schema())] {
        let mut root = document(name, &schema);
        if let Some(Value::Object(inner)) = root.as_object_mut().and_then(|root| root.remove("$defs")) {
            all.extend(inner);
        }
        all.insert(name.to_owned(), root);
    }
    all
}

fn line(out: &mut String, text: impl std::fmt::Display) {
    writeln!(out, "{text}").expect("a string takes everything");
}

fn text<'a>(schema: &'a Value, member: &str) -> &'a str {
    schema.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// The type of a member in words.
fn kind(schema: &Value) -> String {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        return format!("`{}`", reference.trim_start_matches("#/$defs/"));
    }
    if let Some(value) = schema.get("const") {
        return format!("`{value}`");
    }
    match text(schema, "type") {
        "array" => {
            let item = kind(&schema["items"]);
            let comment = text(schema, "$comment");
            match comment.strip_prefix("sorted bytewise by ") {
                Some(member) => {
                    format!("list of {item}, sorted by {}", member.split(',').next().unwrap_or_default())
                }
                None if schema.get("uniqueItems").is_some() => format!("set of {item}"),
                None => format!("list of {item}"),
            }
        }
        "integer" => "integer".into(),
        "boolean" => "`true` or `false`".into(),
        "string" => "string".into(),
        other => panic!("no words for the type {other}: {schema}"),
    }
}

/// A cell of a table: a pattern may have a bar.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn member_table(out: &mut String, schema: &Value) {
    line(out, "| member | type | | meaning |");
    line(out, "| --- | --- | --- | --- |");
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, member) in schema["properties"].as_object().expect("an object has members") {
        // The text of `type` is in the heading.
        if name == "type" {
            continue;
        }
        let need = if required.contains(&name.as_str()) { "required" } else { "" };
        line(
            out,
            format!("| `{name}` | {} | {need} | {} |", kind(member), cell(text(member, "description"))),
        );
    }
}

fn word_table(out: &mut String, schema: &Value) {
    line(out, "| word | meaning |");
    line(out, "| --- | --- |");
    for word in schema["oneOf"].as_array().into_iter().flatten() {
        line(out, format!("| `{}` | {} |", text(word, "const"), cell(text(word, "description"))));
    }
}

fn record(out: &mut String, definitions: &BTreeMap<String, Value>, name: &str) {
    let schema = &definitions[name];
    line(out, format!("**`{name}`**: {}\n", text(schema, "description")));
    member_table(out, schema);
    line(out, "");
}

fn names(definitions: &BTreeMap<String, Value>) -> String {
    let mut out = String::from("| type | pattern | meaning |\n| --- | --- | --- |\n");
    let types = [
        "Principal",
        "Person",
        "Resource",
        "Pattern",
        "Role",
        "Label",
        "Process",
        "Namespace",
        "LedgerRef",
        "Timestamp",
        "KeyBytes",
        "Signature",
        "KeyId",
        "StatementDigest",
        "LeafHash",
        "ClauseDigest",
        "Digest",
    ];
    for name in types {
        let schema = &definitions[name];
        let mut patterns = Vec::new();
        pattern_cell(schema, &mut patterns);
        line(
            &mut out,
            format!(
                "| `{name}` | {} | {} |",
                cell(&patterns.join(" or ")),
                cell(text(schema, "description"))
            ),
        );
    }
    out
}

fn pattern_cell(schema: &Value, out: &mut Vec<String>) {
    for alternative in schema["anyOf"].as_array().into_iter().flatten() {
        pattern_cell(alternative, out);
    }
    let Some(pattern) = schema.get("pattern").and_then(Value::as_str) else { return };
    let mut words = format!("`{pattern}`");
    if let Some(not) = schema.get("not") {
        write!(words, ", not `{}`", text(not, "pattern")).expect("a string takes everything");
    }
    if let Some(longest) = schema.get("maxLength") {
        write!(words, ", at most {longest} bytes").expect("a string takes everything");
    }
    out.push(words);
}

fn envelope(definitions: &BTreeMap<String, Value>) -> String {
    let mut out = String::new();
    for name in ["Statement", "Seen", "SignaturePart"] {
        record(&mut out, definitions, name);
    }
    out
}

fn values(definitions: &BTreeMap<String, Value>) -> String {
    let mut out = String::new();
    for name in [
        "Charter",
        "KeyHolder",
        "RecorderKey",
        "Recovery",
        "Scope",
        "WitnessItem",
        "PersonalException",
        "ClassException",
    ] {
        record(&mut out, definitions, name);
    }
    for name in ["Capacity", "Tier", "PrincipalKind", "Enrolment", "EndEvent"] {
        let schema = &definitions[name];
        line(&mut out, format!("**`{name}`**: {}\n", text(schema, "description")));
        word_table(&mut out, schema);
        line(&mut out, "");
    }
    out
}

fn events(definitions: &BTreeMap<String, Value>) -> String {
    let golden = golden();
    let mut out = String::new();
    for kind in EventKind::ALL {
        let schema = &definitions[kind.as_str()];
        line(&mut out, format!("### `{kind}`\n\n{}\n", text(schema, "description")));
        member_table(&mut out, schema);
        let entry = golden.entries.iter().find(|entry| entry.statement().event.kind() == *kind);
        let bytes = entry.expect("there is an example of every kind").signed().bytes();
        let statement: Value = serde_json::from_slice(bytes).expect("a statement is JSON");
        line(&mut out, format!("\n```json\n{}\n```\n", spread(&statement["event"], 0)));
    }
    out
}

/// JSON for a reader: members on lines of their own, what is short on one line.
fn spread(value: &Value, indent: usize) -> String {
    let short = value.to_string();
    let pad = "  ".repeat(indent + 1);
    let list = |open: char, items: Vec<String>, close: char| {
        format!("{open}\n{}\n{}{close}", items.join(",\n"), "  ".repeat(indent))
    };
    match value {
        _ if short.len() + indent * 2 <= 90 && indent > 0 => short,
        Value::Object(members) if !members.is_empty() => list(
            '{',
            members
                .iter()
                .map(|(name, member)| format!("{pad}\"{name}\": {}", spread(member, indent + 1)))
                .collect(),
            '}',
        ),
        Value::Array(items) if !items.is_empty() => {
            list('[', items.iter().map(|item| format!("{pad}{}", spread(item, indent + 1))).collect(), ']')
        }
        Value::Object(_)
        | Value::Array(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_) => short,
    }
}

fn policy_members(definitions: &BTreeMap<String, Value>) -> String {
    let mut out = String::new();
    let records = [
        "PolicyDocument",
        "PathRule",
        "Applies",
        "ExceptionRule",
        "StandingClass",
        "TierRule",
        "SodRule",
        "Entitlements",
        "CustomRule",
        "Windows",
        "Clause",
        "Separation",
    ];
    for name in records {
        record(&mut out, definitions, name);
    }
    for name in ["Cascade", "MissedReview"] {
        let schema = &definitions[name];
        line(&mut out, format!("**`{name}`**: {}\n", text(schema, "description")));
        word_table(&mut out, schema);
        line(&mut out, "");
    }
    out
}

fn codes() -> String {
    let mut out = String::from("| code | meaning |\n| --- | --- |\n");
    for code in FaultCode::ALL {
        line(&mut out, format!("| `{code}` | {} |", cell(code.meaning().trim())));
    }
    out
}

fn limits() -> String {
    let rows = [
        ("an entry, without its line feed", entry::MAX_ENTRY_LEN.to_string(), "bytes", "line_too_long"),
        ("a statement", statement::MAX_STATEMENT_LEN.to_string(), "bytes", "statement_too_long"),
        (
            "depth of an entry or a submission, its own object being 1",
            scan::MAX_ENTRY_DEPTH.to_string(),
            "levels",
            "depth",
        ),
        ("depth of a statement alone", scan::MAX_STATEMENT_DEPTH.to_string(), "levels", "depth"),
        ("a member name", scan::MAX_KEY_LEN.to_string(), "bytes", "key_form"),
        ("an integer, either way from 0", scan::MAX_INTEGER.to_string(), "", "number"),
        ("signatures of one statement", statement::MAX_SIGNATURES.to_string(), "", "signature_order"),
        ("an approval path", policy::MAX_PATH_DEPTH.to_string(), "levels", "schema"),
        ("capacities in an approval path", policy::MAX_REQUIREMENTS.to_string(), "", "schema"),
        ("a note (checkpoint)", countersign_core::note::MAX_NOTE_LEN.to_string(), "bytes", "note"),
        ("signature lines of a note", countersign_core::note::MAX_SIGNATURES.to_string(), "", "note"),
        ("hashes in a Merkle proof", countersign_core::merkle::MAX_PATH_LEN.to_string(), "", ""),
    ];
    let mut out = String::from("| what | at most | | code above it |\n| --- | --- | --- | --- |\n");
    for (what, most, unit, code) in rows {
        let code = if code.is_empty() { String::new() } else { format!("`{code}`") };
        line(&mut out, format!("| {what} | {most} | {unit} | {code} |"));
    }
    out
}

fn example() -> String {
    let golden = golden();
    let genesis = &golden.entries[0];
    let event::Event::LedgerOpened(opened) = &genesis.statement().event else {
        panic!("the first example is genesis")
    };
    let id = LedgerId::new(&opened.name, genesis.signed().digest());
    let recorder = PublicKey::accept(&opened.recorder.key.0).expect("an example's key is acceptable");
    let vkey = VerifierKey::new(id.as_str(), KeyKind::Note, recorder).expect("a ledger id is a key name");
    let tree: Tree = golden.entries.iter().map(Entry::leaf).collect();
    let statement = genesis.signed().bytes();
    let pae = genesis.signed().signed_bytes();
    let header = String::from_utf8_lossy(&pae[..pae.len() - statement.len()]).into_owned();
    let root = |size: u64| tree.root_at(size).expect("the tree is that large");
    let rows = [
        ("entry 0, bytes".to_owned(), genesis.bytes().len().to_string()),
        ("its statement, bytes".to_owned(), statement.len().to_string()),
        ("what stands before the statement in the signed bytes".to_owned(), format!("{header:?}")),
        ("statement digest".to_owned(), genesis.signed().digest().to_string()),
        ("ledger id".to_owned(), id.to_string()),
        ("leaf hash of entry 0, and `prev` of entry 1".to_owned(), genesis.leaf().to_string()),
        ("leaf hash of entry 1".to_owned(), golden.entries[1].leaf().to_string()),
        ("root of size 1".to_owned(), root(1).to_string()),
        ("root of size 2".to_owned(), root(2).to_string()),
        ("root of size 3".to_owned(), root(3).to_string()),
        (format!("root of size {}", tree.size()), root(tree.size()).to_string()),
        (
            "the same in base64, as the checkpoint has it".to_owned(),
            STANDARD.encode(root(tree.size()).as_bytes()),
        ),
        ("vkey of the recorder".to_owned(), vkey.to_string()),
        ("clause digest of `clause.json`".to_owned(), super::examples::clause().digest().to_string()),
    ];
    let mut out = String::from("| value | in the golden files |\n| --- | --- |\n");
    for (name, value) in rows {
        line(&mut out, format!("| {name} | `{value}` |"));
    }
    out
}
