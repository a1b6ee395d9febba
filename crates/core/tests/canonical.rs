//! Canonical JSON: vectors, limits and laws of the scanner.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

#[allow(dead_code)]
#[path = "../src/shared_vectors.rs"]
mod shared_vectors;
mod support;

use std::time::Duration;

use base64::Engine as _;
use countersign_core::scan::{MAX_ENTRY_DEPTH, MAX_INTEGER, MAX_KEY_LEN, scan};
use countersign_core::wire::RawObject;
use proptest::prelude::*;
use support::{Value, is_bidi, quoted, value};

/// The code of the fault, or `ok`.
fn verdict(bytes: &[u8]) -> &'static str {
    scan(bytes, MAX_ENTRY_DEPTH).map_or_else(|fault| fault.code.as_str(), |()| "ok")
}

/// Every code by which the profile refuses this value, which is JSON and has no repeated member.
fn outside_profile(value: &serde_json::Value, found: &mut Vec<&'static str>) {
    let refused = |text: &str| text.contains(|c: char| c == '\0' || is_bidi(c));
    match value {
        serde_json::Value::Null => found.push("schema"),
        serde_json::Value::Bool(_) => {}
        serde_json::Value::Number(number) => {
            if number.as_i64().is_none_or(|number| number.unsigned_abs() > MAX_INTEGER) {
                found.push("number");
            }
        }
        serde_json::Value::String(text) => {
            if refused(text) {
                found.push("text");
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| outside_profile(item, found)),
        serde_json::Value::Object(members) => {
            for (key, value) in members {
                if refused(key) {
                    found.push("text");
                } else if !(1..=MAX_KEY_LEN).contains(&key.len())
                    || !key.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
                {
                    found.push("key_form");
                }
                outside_profile(value, found);
            }
        }
    }
}

/// The same value with names of the profile, and without characters that no string may have.
fn renamed(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Bool(false),
        serde_json::Value::Bool(value) => Value::Bool(*value),
        serde_json::Value::Number(number) => Value::Integer(number.as_i64().unwrap()),
        serde_json::Value::String(text) => {
            Value::String(text.chars().filter(|c| *c != '\0' && !is_bidi(*c)).collect())
        }
        serde_json::Value::Array(items) => Value::Array(items.iter().map(renamed).collect()),
        serde_json::Value::Object(members) => Value::Object(
            members.values().enumerate().map(|(nth, value)| (format!("m{nth:03}"), renamed(value))).collect(),
        ),
    }
}

#[test]
fn integer_documents_pass_in_canonical_form_only() {
    let Some(vectors) = shared_vectors::json("jcs/integer-docs.json") else { return };
    let docs = vectors["docs"].as_array().unwrap();
    let mut strings = Vec::new();
    for doc in docs {
        let (input, canonical) = (doc["input"].as_str().unwrap(), doc["canonical"].as_str().unwrap());
        let parsed: serde_json::Value = serde_json::from_str(canonical).unwrap();
        let mut refused_by = Vec::new();
        outside_profile(&parsed, &mut refused_by);
        for text in [input, canonical] {
            let want = if text == canonical { "ok" } else { "not_canonical" };
            let got = verdict(text.as_bytes());
            assert!(refused_by.contains(&got) || (refused_by.is_empty() && got == want), "{text}: {got}");
        }
        // These documents have names that the profile does not; their shape and strings are within it.
        let within = renamed(&parsed);
        assert_eq!(verdict(within.canonical().as_bytes()), "ok", "{canonical}");
        let parsed_again: serde_json::Value = serde_json::from_str(&within.canonical()).unwrap();
        let spread = serde_json::to_string_pretty(&parsed_again).unwrap();
        if spread.contains('\n') {
            assert_eq!(verdict(spread.as_bytes()), "not_canonical", "{spread}");
        }
        collect_strings(&parsed, &mut strings);
    }
    for text in &strings {
        let allowed = !text.contains(|c: char| c == '\0' || is_bidi(c));
        let spelled = quoted(text);
        assert_eq!(verdict(spelled.as_bytes()), if allowed { "ok" } else { "text" }, "{spelled}");
        assert_eq!(spelled, serde_json::to_string(text).unwrap());
    }
    assert!(docs.len() >= 200 && strings.len() > 1000);
}

fn collect_strings(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::String(text) => found.push(text.clone()),
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect_strings(item, found)),
        serde_json::Value::Object(members) => {
            for (key, value) in members {
                found.push(key.clone());
                collect_strings(value, found);
            }
        }
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => {}
    }
}

#[test]
fn what_must_be_rejected_is_rejected_with_its_code() {
    let Some(vectors) = shared_vectors::json("jcs/must-reject.json") else { return };
    let code = |why: &str| match why {
        "dup key" | "dup key escaped" => "duplicate_key",
        "float" | "float integral" | "exponent" | "neg zero" | "too big" | "too small" => "number",
        "leading zero" | "plus" | "trailing comma" | "BOM" | "raw control" | "comment" | "NaN"
        | "two values" | "single quotes" => "json",
        "space" | "trailing newline" | "leading space" | "unsorted" | "needless escape" | "upper hex"
        | "long form of \\n" | "escaped solidus" | "escaped pair" => "not_canonical",
        "lone high surrogate" | "lone low surrogate" => "text",
        // The profile has no such names at all.
        "utf16 order wrong (utf8/codepoint order)" => "key_form",
        "overlong UTF-8" | "CESU-8 surrogate" | "invalid UTF-8" | "truncated UTF-8" => "utf8",
        other => panic!("no expectation for {other}"),
    };
    for case in vectors["cases"].as_array().unwrap() {
        let why = case["why"].as_str().unwrap();
        assert_eq!(verdict(case["text"].as_str().unwrap().as_bytes()), code(why), "{why}");
    }
    for case in vectors["cases_hex"].as_array().unwrap() {
        let why = case["why"].as_str().unwrap();
        assert_eq!(verdict(&shared_vectors::hex(case["hex"].as_str().unwrap())), code(why), "{why}");
    }
    assert_eq!(verdict(vectors["utf16_order_right"].as_str().unwrap().as_bytes()), "key_form");
}

#[test]
fn published_documents_are_outside_the_profile_with_the_right_code() {
    let codes = [
        ("arrays", ["schema", "schema"]),
        ("structures", ["key_form", "key_form"]),
        ("unicode", ["key_form", "key_form"]),
        ("values", ["number", "schema"]),
    ];
    for (name, codes) in codes {
        for (folder, code) in ["input", "output"].into_iter().zip(codes) {
            let Some(text) = shared_vectors::read(&format!("jcs/{folder}/{name}.json")) else { return };
            assert_eq!(verdict(text.as_bytes()), code, "{folder}/{name}");
        }
    }
}

#[test]
fn the_json_test_suite_is_met() {
    let Some(vectors) = shared_vectors::json("json-test-suite/cases.json") else { return };
    let mut counts = std::collections::BTreeMap::<(char, &str), usize>::new();
    for case in vectors.as_array().unwrap() {
        let name = case[0].as_str().unwrap();
        let bytes = base64::engine::general_purpose::STANDARD.decode(case[1].as_str().unwrap()).unwrap();
        let got = verdict(&bytes);
        let class = name.chars().next().unwrap();
        *counts.entry((class, got)).or_default() += 1;
        match class {
            // Valid JSON: in the profile and canonical, or refused by a rule of the profile, never as no JSON.
            'y' => {
                let profile =
                    ["ok", "not_canonical", "number", "schema", "key_form", "text", "duplicate_key"];
                assert!(profile.contains(&got), "{name}: {got}");
                if got == "ok" {
                    let again: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
                    assert_eq!(again.to_string().as_bytes(), bytes, "{name}");
                }
            }
            // No JSON: another rule may see its own fault first, but it can not pass, nor pass as merely misspelled.
            'n' => assert!(got != "ok" && got != "not_canonical", "{name}: {got}"),
            // Left to the reader: always refused here, each group for its own reason.
            _ => {
                let want = if name.contains("utf16") {
                    &["json", "utf8"][..]
                } else if name.starts_with("i_number") {
                    &["number"]
                } else if name.contains("surrogate") && !name.contains("U+D800") {
                    &["text"]
                } else if name.contains("500_nested") {
                    &["depth"]
                } else if name.contains("BOM_empty") {
                    &["json"]
                } else {
                    &["utf8"]
                };
                assert!(want.contains(&got), "{name}: {got}, not {want:?}");
            }
        }
    }
    println!("{counts:?}");
}

fn nested(open: &str, close: &str, depth: usize, core: &str) -> String {
    format!("{}{core}{}", open.repeat(depth), close.repeat(depth))
}

#[test]
fn limits_hold_at_the_limit_and_break_one_above() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
        let levels = open.matches(['[', '{']).count();
        let at = nested(open, close, 32 / levels, "1");
        assert_eq!(scan(at.as_bytes(), 32), Ok(()), "{open}");
        let fault = scan(at.as_bytes(), 31).unwrap_err();
        assert_eq!((fault.code.as_str(), fault.offset), ("depth", at.rfind(['[', '{']).unwrap()), "{open}");
    }
    let key = |length: usize| format!("{{\"{}\":1}}", "k".repeat(length));
    assert_eq!(verdict(key(MAX_KEY_LEN).as_bytes()), "ok");
    assert_eq!(verdict(key(MAX_KEY_LEN + 1).as_bytes()), "key_form");
    assert_eq!(verdict(key(0).as_bytes()), "key_form");
    for sign in ["", "-"] {
        assert_eq!(verdict(format!("{sign}{MAX_INTEGER}").as_bytes()), "ok");
        assert_eq!(verdict(format!("{sign}{}", MAX_INTEGER + 1).as_bytes()), "number");
    }
    // The data of a custom event stands two levels down in a statement.
    assert!(RawObject::new(&nested("{\"a\":", "}", 29, "1")).is_ok());
    assert_eq!(RawObject::new(&nested("{\"a\":", "}", 30, "1")).unwrap_err().code.as_str(), "depth");
}

/// Nested objects that are not sorted were once scanned twice at every level: 2^31 times at the innermost.
#[test]
fn unsorted_objects_cost_no_more_than_their_length() {
    let hostile = [
        nested("{\"b\":", ",\"a\":1}", 32, "1"),
        nested("{\"c\":", ",\"b\":1,\"a\":1}", 32, "1"),
        nested(
            "[",
            "]",
            30,
            &format!("{{{}\"a\":1}}", (0..9000).rev().map(|i| format!("\"k{i:04}\":1,")).collect::<String>()),
        ),
        format!("[{}{{}}]", "{\"b\":{\"b\":{\"b\":1,\"a\":1},\"a\":1},\"a\":1},".repeat(1500)),
        format!("\"{}\"", "\\u0041".repeat(10_900)),
        format!("[{}1]", "[],".repeat(21_000)),
        format!("{}1", "-".repeat(65_000)),
        "9".repeat(65_000),
    ];
    for text in hostile {
        let (send, done) = std::sync::mpsc::channel();
        let short = text[..20].to_owned();
        std::thread::spawn(move || send.send(verdict(text.as_bytes())));
        let got =
            done.recv_timeout(Duration::from_secs(20)).unwrap_or_else(|_| panic!("takes too long: {short}"));
        assert!(["ok", "not_canonical", "json", "number"].contains(&got), "{short}: {got}");
    }
}

#[test]
fn an_unsorted_object_still_finds_every_repeat() {
    let cases = [
        ("{\"b\":1,\"a\":2,\"b\":3}", "duplicate_key", 13),
        ("{\"b\":1,\"a\":2,\"a\":3}", "duplicate_key", 13),
        ("{\"a\":1,\"c\":1,\"b\":2,\"c\":3}", "duplicate_key", 19),
        ("{\"b\":1,\"a\":2,\"c\":3,\"c\":4}", "duplicate_key", 19),
        ("{\"b\":1,\"a\":{\"b\":1},\"c\":3}", "not_canonical", 7),
        ("{\"b\":{\"d\":1,\"c\":1},\"a\":{\"b\":1},\"c\":3}", "not_canonical", 12),
        ("{\"b\":1,\"\\u0061\":2}", "not_canonical", 7),
        ("{\"a\":{\"b\":1},\"b\":{\"a\":1}}", "ok", 0),
    ];
    for (text, code, offset) in cases {
        assert_eq!(verdict(text.as_bytes()), code, "{text}");
        if let Err(fault) = scan(text.as_bytes(), MAX_ENTRY_DEPTH) {
            assert_eq!(fault.offset, offset, "{text}");
        }
    }
}

/// Writes a value canonically except at some places, and remembers where it deviates.
struct Speller {
    out: String,
    place: usize,
    odd_places: Vec<usize>,
    deviations: Vec<usize>,
}

impl Speller {
    fn spell(value: &Value, odd_places: Vec<usize>) -> Self {
        let mut speller = Self { out: String::new(), place: 0, odd_places, deviations: Vec::new() };
        speller.space();
        speller.value(value);
        speller.space();
        speller
    }

    /// Whether this place is to deviate; every place is asked about once.
    fn deviates(&mut self) -> bool {
        self.place += 1;
        self.odd_places.contains(&(self.place - 1))
    }

    fn space(&mut self) {
        if self.deviates() {
            self.deviations.push(self.out.len());
            self.out.push([' ', '\t', '\n', '\r'][self.place % 4]);
        }
    }

    fn separated<T>(&mut self, items: &[T], mut item: impl FnMut(&mut Self, &T)) {
        for (index, value) in items.iter().enumerate() {
            if index > 0 {
                self.out.push(',');
                self.space();
            }
            item(self, value);
            self.space();
        }
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Bool(_) | Value::Integer(_) => self.out.push_str(&value.canonical()),
            Value::String(text) => self.string(text),
            Value::Array(items) => {
                self.out.push('[');
                self.space();
                self.separated(items, |speller, item| speller.value(item));
                self.out.push(']');
            }
            Value::Object(members) => {
                self.out.push('{');
                self.space();
                let mut members: Vec<_> = members.iter().collect();
                let swap = members.len() > 1 && self.deviates();
                if swap {
                    members.swap(0, 1);
                }
                let mut nth = 0;
                self.separated(&members, |speller, (key, value)| {
                    if swap && nth == 1 {
                        speller.deviations.push(speller.out.len());
                    }
                    nth += 1;
                    speller.string(key);
                    speller.space();
                    speller.out.push(':');
                    speller.space();
                    speller.value(value);
                });
                self.out.push('}');
            }
        }
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            let canonical = quoted(&c.to_string());
            let canonical = &canonical[1..canonical.len() - 1];
            let mut units = [0; 2];
            let escaped: String =
                c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect();
            let other = match c {
                '/' => "\\/".to_owned(),
                _ if escaped != canonical => escaped,
                _ => escaped.to_uppercase().replace("\\U", "\\u"),
            };
            if other != canonical && self.deviates() {
                self.deviations.push(self.out.len());
                self.out.push_str(&other);
            } else {
                self.out.push_str(canonical);
            }
        }
        self.out.push('"');
    }
}

proptest! {
    #![proptest_config(support::config())]

    #[test]
    fn every_profile_value_passes_in_its_canonical_form(value in value(8)) {
        prop_assume!(value.depth() <= MAX_ENTRY_DEPTH);
        let text = value.canonical();
        prop_assert_eq!(scan(text.as_bytes(), MAX_ENTRY_DEPTH), Ok(()));
        // The independent writer of these tests agrees with serde_json's, whose members are sorted.
        let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(parsed.to_string(), text.clone());
        let shallow = scan(text.as_bytes(), value.depth().saturating_sub(1));
        prop_assert_eq!(shallow.is_ok(), value.depth() == 0);
    }

    #[test]
    fn every_other_spelling_of_the_value_is_not_canonical(value in value(5), places in proptest::collection::vec(0..100_000_usize, 1..4)) {
        let total = Speller::spell(&value, Vec::new()).place;
        let odd = Speller::spell(&value, places.iter().map(|place| place % total).collect());
        let parsed: serde_json::Value = serde_json::from_str(&odd.out).unwrap();
        prop_assert_eq!(parsed.to_string(), value.canonical());
        let fault = scan(odd.out.as_bytes(), MAX_ENTRY_DEPTH).unwrap_err();
        prop_assert_eq!(fault.code.as_str(), "not_canonical", "{}", odd.out);
        prop_assert_eq!(Some(&fault.offset), odd.deviations.iter().min(), "{}", odd.out);
    }

    #[test]
    fn what_passes_has_no_second_spelling(value in value(4), flips in proptest::collection::vec((0..10_000_usize, any::<u8>()), 1..3)) {
        let mut bytes = value.canonical().into_bytes();
        for (place, byte) in flips {
            let place = place % bytes.len();
            bytes[place] = byte;
        }
        if scan(&bytes, MAX_ENTRY_DEPTH).is_ok() {
            let parsed: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            prop_assert_eq!(parsed.to_string().into_bytes(), bytes);
        }
    }

    #[test]
    fn any_bytes_get_a_verdict_within_them(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Err(fault) = scan(&bytes, MAX_ENTRY_DEPTH) {
            prop_assert!(fault.offset <= bytes.len());
        }
    }

    #[test]
    fn any_json_like_text_gets_a_verdict_within_it(text in "[\\[\\]{}:,\"\\\\a-c0-2u8 \n.eE+-]{0,40}") {
        match scan(text.as_bytes(), MAX_ENTRY_DEPTH) {
            Ok(()) => prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap().to_string(), text),
            Err(fault) => prop_assert!(fault.offset <= text.len()),
        }
    }
}
