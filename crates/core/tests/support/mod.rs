//! What the tests of this folder share: random profile values with an independent writer, and random events of every kind.
#![allow(dead_code, reason = "each test file uses its own part")]

pub(crate) mod events;
pub(crate) mod examples;
pub(crate) mod format_md;
pub(crate) mod golden;
pub(crate) mod schemas;

use std::collections::BTreeMap;
use std::path::PathBuf;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// The root of the workspace.
pub(crate) fn workspace() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The same cases in every run, 256 of each.
pub(crate) fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, rng_seed: RngSeed::Fixed(8785), ..ProptestConfig::default() }
}

/// Any value of the profile.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Bool(bool),
    Integer(i64),
    String(String),
    Array(Vec<Self>),
    Object(BTreeMap<String, Self>),
}

impl Value {
    /// The canonical form, written without any code of the crate.
    pub(crate) fn canonical(&self) -> String {
        match self {
            Self::Bool(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::String(text) => quoted(text),
            Self::Array(items) => format!("[{}]", joined(items.iter().map(Self::canonical))),
            Self::Object(members) => {
                let members = members.iter().map(|(key, value)| format!("\"{key}\":{}", value.canonical()));
                format!("{{{}}}", joined(members))
            }
        }
    }

    /// How deep it nests, a scalar being 0.
    pub(crate) fn depth(&self) -> usize {
        match self {
            Self::Bool(_) | Self::Integer(_) | Self::String(_) => 0,
            Self::Array(items) => 1 + items.iter().map(Self::depth).max().unwrap_or(0),
            Self::Object(members) => 1 + members.values().map(Self::depth).max().unwrap_or(0),
        }
    }
}

fn joined(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(",")
}

/// A string in its one spelling, from the sentence of RFC 8785 and nothing else.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

pub(crate) fn is_bidi(c: char) -> bool {
    "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}"
        .contains(c)
}

/// Text that may stand in a string, with everything in it that has an escape or looks like something else.
pub(crate) fn text() -> impl Strategy<Value = String> {
    let odd = proptest::sample::select(
        "\"\\/\u{1}\u{7}\u{8}\t\n\u{b}\u{c}\r\u{1f} \u{7f}\u{80}\u{e9}e\u{301}\u{200b}\u{200c}\u{200d}\u{2028}\u{2029}\u{e000}\u{feff}\u{fffd}\u{ffff}\u{10000}\u{1f600}\u{10ffff}"
            .chars()
            .collect::<Vec<_>>(),
    );
    let any = any::<char>().prop_filter("allowed", |c| *c != '\0' && !is_bidi(*c));
    let letter = prop_oneof![4 => proptest::char::range('a', 'z'), 2 => odd, 1 => any];
    proptest::collection::vec(letter, 0..12).prop_map(|letters| letters.into_iter().collect())
}

pub(crate) fn integer() -> impl Strategy<Value = i64> {
    const MAX: i64 = (1 << 53) - 1;
    prop_oneof![Just(0), Just(MAX), Just(-MAX), Just(-1), -1000..1000_i64, -MAX..=MAX]
}

pub(crate) fn key() -> impl Strategy<Value = String> {
    prop_oneof![8 => "[a-z0-9_]{1,4}", 1 => "[a-z0-9_]{64}"]
}

/// Any profile value that nests at most `depth` deep.
pub(crate) fn value(depth: u32) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        integer().prop_map(Value::Integer),
        text().prop_map(Value::String),
    ];
    leaf.prop_recursive(depth, 48, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            proptest::collection::btree_map(key(), inner, 0..5).prop_map(Value::Object),
        ]
    })
}
