//! The JSON Schema files: current, closed, and of one mind with the code about names.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod support;

use std::collections::BTreeSet;

use countersign_core::event::EventKind;
use countersign_core::id::*;
use countersign_core::key::Signature;
use countersign_core::time::Timestamp;
use countersign_core::wire::{KeyBytes, Text, Wire, decode};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use regex::Regex;
use serde_json::Value;
use support::quoted;

#[test]
fn schema_files_are_what_the_code_writes() {
    let folder = support::workspace().join("docs/schema");
    let files = support::schemas::files();
    for (name, want) in &files {
        let found = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        let hint = "cargo run -p countersign-core --example schemas -- docs/schema";
        assert!(&found == want, "docs/schema/{name} is not current: {hint}");
    }
    let found: BTreeSet<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".schema.json"))
        .collect();
    assert_eq!(found, files.keys().cloned().collect(), "a schema file of nothing");
    assert_eq!(files.len(), EventKind::ALL.len() + 5);
}

/// Every object is closed, every reference has its definition, every definition is used, every member is described.
#[test]
fn schemas_are_closed_and_complete() {
    for (name, text) in support::schemas::files() {
        let root: Value = serde_json::from_str(&text).unwrap();
        let mut references = BTreeSet::new();
        walk(&name, &root, &mut references);
        let no_definitions = serde_json::Map::new();
        let definitions = root.get("$defs").map_or(&no_definitions, |found| found.as_object().unwrap());
        assert_eq!(references, definitions.keys().cloned().collect(), "{name}");
        for (defined, schema) in definitions {
            assert!(schema["description"].as_str().is_some_and(|text| text.len() > 10), "{name}: {defined}");
        }
    }
}

fn walk(file: &str, schema: &Value, references: &mut BTreeSet<String>) {
    let Some(members) = schema.as_object() else {
        if let Some(items) = schema.as_array() {
            items.iter().for_each(|item| walk(file, item, references));
        }
        return;
    };
    if let Some(reference) = members.get("$ref") {
        references.insert(reference.as_str().unwrap().strip_prefix("#/$defs/").unwrap().to_owned());
    }
    if let Some(properties) = members.get("properties") {
        assert_eq!(members["additionalProperties"], false, "{file}: an open object");
        let properties = properties.as_object().unwrap();
        for required in members["required"].as_array().unwrap() {
            assert!(properties.contains_key(required.as_str().unwrap()), "{file}: {required}");
        }
    }
    members.values().for_each(|member| walk(file, member, references));
}

/// Judges a string by the part of JSON Schema that the schemas of strings use.
fn allows(schema: &Value, text: &str) -> bool {
    schema.as_object().unwrap().iter().all(|(keyword, value)| match keyword.as_str() {
        "pattern" => Regex::new(value.as_str().unwrap()).unwrap().is_match(text),
        "not" => !allows(value, text),
        "anyOf" => value.as_array().unwrap().iter().any(|schema| allows(schema, text)),
        "maxLength" => text.chars().count() as u64 <= value.as_u64().unwrap(),
        "type" => value == "string",
        "description" | "$comment" | "format" => true,
        other => panic!("the test does not know the keyword {other}"),
    })
}

/// The schema of a type without its name.
fn schema_of<T: Wire>() -> Value {
    let mut named: Value = serde_json::from_str(&T::schema()).unwrap();
    let name = named["$ref"].as_str().unwrap().trim_start_matches("#/$defs/").to_owned();
    named["$defs"][name].take()
}

/// Texts on both sides of every border of a name's form.
fn names() -> Vec<String> {
    let long = |prefix: &str, unit: &str, n: usize| format!("{prefix}{}", unit.repeat(n));
    let hex = "ab".repeat(32);
    let mut texts: Vec<String> = [
        "",
        "*",
        "a",
        "A",
        "0",
        "_",
        "-",
        "a_-0",
        "aB",
        "a b",
        "a\n",
        "a.b",
        "a/b",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "a:",
        ":a",
        "a:b",
        "A:b",
        "1:b",
        "user:alice",
        "user:Al_ice@x.y+z-1/2",
        "user:a:b",
        "user:al ice",
        "user:\u{e9}",
        "user:*",
        "person:alice",
        "person:",
        "persons:a",
        "spiffe:a",
        "spiffe:/a",
        "spiffe://",
        "spiffe:///a",
        "spiffe://a",
        "spiffe://a/",
        "spiffe://a/b",
        "spiffe://a/b/",
        "spiffe://a//b",
        "spiffe://a/./b",
        "spiffe://a/..",
        "spiffe://a/...",
        "spiffe://a/.b",
        "spiffe://A/b",
        "spiffe://a/B",
        "spiffe://a:1/b",
        "spiffe://u@a/b",
        "spiffe://a/b?c",
        "spiffe://./a",
        "spiffe://../a",
        "spiffe://.",
        "db:a/.",
        "db:./a",
        "db:..",
        "db:a/../b",
        "db:...",
        "db:.a",
        "db:a.",
        "db:a/*",
        "db:a/*/*",
        "db:*",
        "db:a*",
        "db:/*",
        "**",
        "*/*",
        "\u{430}:b",
        "db:\u{430}",
        "db:a\u{200b}",
    ]
    .map(String::from)
    .to_vec();
    for n in [31, 32, 33, 63, 64, 65, 127, 128, 129, 254, 255, 256] {
        texts.extend([long("", "a", n), long("user:", "a", n), long("person:", "a", n), long("db:", "a", n)]);
        texts.extend([long("spiffe://", "a", n), format!("{}:a", "k".repeat(n)), long("db:b/", "a", n)]);
    }
    for n in [14, 15, 16, 17] {
        texts.extend([long("db:s", "/s", n), format!("{}/*", long("db:s", "/s", n))]);
    }
    texts.extend([2047, 2048, 2049].map(|n| long("spiffe://d/", "p", n - 11)));
    for name in [
        "acme",
        "a/b",
        "Acme",
        "",
        &"n".repeat(62),
        &"n".repeat(63),
        &"n".repeat(128),
        &"n".repeat(129),
        &hex,
    ] {
        texts.extend([
            format!("{name}/{hex}"),
            format!("{name}/{}", &hex[1..]),
            format!("{name}/{hex}0"),
            format!("{name}/{}", hex.to_uppercase()),
            format!("{name}/{hex}/{hex}"),
            format!("{name}/{hex}/x"),
        ]);
    }
    texts
}

fn check<T: Wire>(texts: &[String]) {
    let schema = schema_of::<T>();
    let agrees = |text: &str| decode::<T>(quoted(text).as_bytes(), 1).is_ok() == allows(&schema, text);
    let (mut good, mut bad) = (0, 0);
    for text in texts {
        assert!(agrees(text), "{} and its schema disagree on {text:?}", std::any::type_name::<T>());
        if allows(&schema, text) { good += 1 } else { bad += 1 }
    }
    assert!(good > 0 && bad > 0, "{}: {good} good, {bad} bad", std::any::type_name::<T>());
    // One change to a good or a bad one, drawn from the letters that matter.
    let texts = texts.to_vec();
    let changes = (
        proptest::sample::select(texts),
        any::<proptest::sample::Index>(),
        "[a-cA-C0-9._@/+:*\\- \u{e9}]{0,2}",
    );
    TestRunner::new(support::config())
        .run(&changes, |(text, place, insert)| {
            let place = place.index(text.chars().count() + 1);
            let changed: String =
                text.chars().take(place).chain(insert.chars()).chain(text.chars().skip(place)).collect();
            prop_assert!(agrees(&changed), "{changed:?}");
            Ok(())
        })
        .unwrap();
}

#[test]
fn patterns_of_names_say_what_the_code_says() {
    let texts = names();
    check::<Principal>(&texts);
    check::<Person>(&texts);
    check::<Resource>(&texts);
    check::<Role>(&texts);
    check::<Label>(&texts);
    check::<Process>(&texts);
    check::<Namespace>(&texts);
    check::<LedgerName>(&texts);
    check::<LedgerRef>(&texts);
    check::<Pattern>(&texts);
}

#[test]
fn patterns_of_base64_and_instants_say_what_the_code_says() {
    use base64::Engine as _;
    let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let mut texts = vec![String::new(), "=".into()];
    for length in [31, 32, 33, 63, 64, 65] {
        for byte in 0..=255_u8 {
            let text = encode(&vec![byte; length]);
            texts.extend([text.trim_end_matches('=').to_owned(), text.replace('+', "-"), text]);
        }
    }
    // Every last letter before the padding, so that trailing bits are all seen.
    let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    texts.extend(letters.chars().map(|letter| format!("{}{letter}=", "A".repeat(42))));
    texts.extend(letters.chars().map(|letter| format!("{}{letter}==", "A".repeat(85))));
    check::<KeyBytes>(&texts);
    check::<Signature>(&texts);

    let instants = [
        "1970-01-01T00:00:00.000Z",
        "9999-12-31T23:59:59.999Z",
        "2024-02-29T23:59:59.999Z",
        "1969-12-31T23:59:59.999Z",
        "2026-01-01T24:00:00.000Z",
        "2026-01-01T00:60:00.000Z",
        "2026-01-01T00:00:60.000Z",
        "2026-13-01T00:00:00.000Z",
        "2026-00-01T00:00:00.000Z",
        "2026-01-00T00:00:00.000Z",
        "2026-01-32T00:00:00.000Z",
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00.000+00:00",
        "2026-01-01t00:00:00.000z",
        "",
    ];
    let schema = schema_of::<Timestamp>();
    for text in instants {
        assert_eq!(text.parse::<Timestamp>().is_ok(), allows(&schema, text), "{text}");
    }
    // What a pattern can not say: how long a month is.
    assert!(
        allows(&schema, "2026-02-30T00:00:00.000Z")
            && "2026-02-30T00:00:00.000Z".parse::<Timestamp>().is_err()
    );
}

#[test]
fn the_pattern_of_texts_says_what_the_code_says() {
    let schema: Value = serde_json::from_str(&Text::schema()).unwrap();
    let plain = &schema["$defs"]["Text"]["oneOf"][0]["properties"]["text"];
    for text in [
        "",
        " ",
        "a\nb",
        "\u{61c}",
        "a\u{202e}b",
        "\u{2065}",
        "\u{2066}",
        "\u{2069}",
        "\u{206a}",
        "\u{200d}",
        "\0",
    ] {
        assert_eq!(Text::new(text).is_ok(), allows(plain, text), "{text:?}");
    }
}
