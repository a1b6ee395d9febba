//! Inputs that somebody might send on purpose, each with the code under which it is refused; and their harmless twins.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod support;

use std::collections::BTreeSet;

use countersign_core::entry::{Entry, MAX_ENTRY_LEN};
use countersign_core::event::{Event, EventKind};
use countersign_core::fault::{Fault, FaultCode};
use countersign_core::policy::{MAX_PATH_DEPTH, MAX_REQUIREMENTS, PolicyDocument};
use countersign_core::scan::{MAX_ENTRY_DEPTH, MAX_STATEMENT_DEPTH, scan};
use countersign_core::statement::{MAX_SIGNATURES, MAX_STATEMENT_LEN, SignedStatement};
use countersign_core::wire::{decode, encode};

/// A name, the bytes, and the code; `ok` where nothing is wrong with them.
type Row = (String, Vec<u8>, &'static str);

fn row(name: impl Into<String>, bytes: impl AsRef<[u8]>, code: &'static str) -> Row {
    (name.into(), bytes.as_ref().to_vec(), code)
}

fn code<T>(result: Result<T, Fault>) -> &'static str {
    result.map_or_else(|fault| fault.code.as_str(), |_| "ok")
}

/// `{"a":"` bytes `"}`.
fn in_string(bytes: &[u8]) -> Vec<u8> {
    [b"{\"a\":\"", bytes, b"\"}"].concat()
}

const BIDI: [char; 12] = [
    '\u{61c}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}',
    '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}',
];

fn not_utf8() -> Vec<Row> {
    let sequences: [(&str, &[u8]); 18] = [
        ("overlong solidus", b"\xc0\xaf"),
        ("overlong quotation mark", b"\xc0\xa2"),
        ("overlong of U+007F", b"\xc1\xbf"),
        ("overlong in three bytes", b"\xe0\x80\xaf"),
        ("overlong in four bytes", b"\xf0\x80\x80\xaf"),
        ("overlong NUL", b"\xc0\x80"),
        ("five bytes", b"\xf8\x88\x80\x80\x80"),
        ("six bytes", b"\xfc\x84\x80\x80\x80\x80"),
        ("CESU-8 pair", b"\xed\xa0\xbd\xed\xb8\x80"),
        ("high surrogate", b"\xed\xa0\x80"),
        ("low surrogate", b"\xed\xbf\xbf"),
        ("above U+10FFFF", b"\xf4\x90\x80\x80"),
        ("FE", b"\xfe"),
        ("FF", b"\xff"),
        ("lone continuation", b"\x80"),
        ("lone start of two", b"\xc3"),
        ("cut in three", b"\xe2\x82"),
        ("Latin-1 letter", b"\xe9"),
    ];
    let mut rows = Vec::new();
    for (name, bytes) in sequences {
        rows.push(row(format!("utf8: {name} in a string"), in_string(bytes), "utf8"));
        rows.push(row(format!("utf8: {name} in a name"), [b"{\"", bytes, b"\":1}"].concat(), "utf8"));
        rows.push(row(format!("utf8: {name} behind the value"), [b"{\"a\":1}", bytes].concat(), "utf8"));
    }
    rows.push(row("utf8: UTF-16 big-endian", b"\xfe\xff\x00{\x00}", "utf8"));
    rows.push(row("utf8: UTF-16 little-endian", b"\xff\xfe{\x00}\x00", "utf8"));
    rows.push(row("utf8: UTF-16 without a mark", b"\x00{\x00}", "json"));
    rows.push(row("utf8: UTF-32", b"{\x00\x00\x00}\x00\x00\x00", "json"));
    // A JSON fault before it does not hide it: encoding is checked first, over all bytes.
    rows.push(row("utf8: behind a JSON fault", b"{,}\xff", "utf8"));
    rows
}

fn characters() -> Vec<Row> {
    let mut rows = Vec::new();
    for c in BIDI {
        let unit = u32::from(c);
        rows.push(row(format!("text: U+{unit:04X}"), in_string(c.to_string().as_bytes()), "text"));
        rows.push(row(
            format!("text: U+{unit:04X} escaped"),
            in_string(format!("\\u{unit:04x}").as_bytes()),
            "text",
        ));
        rows.push(row(format!("text: U+{unit:04X} in a name"), format!("{{\"a{c}\":1}}"), "text"));
    }
    let escapes = [
        ("U+0000", "\\u0000", "text"),
        ("high surrogate alone", "\\ud800", "text"),
        ("low surrogate alone", "\\udc00", "text"),
        ("high surrogate at the end of a word", "\\udbffa", "text"),
        ("two high surrogates", "\\ud800\\ud800", "text"),
        ("surrogates the wrong way round", "\\udc00\\ud800", "text"),
        ("high surrogate and a letter", "\\ud800\\u0061", "text"),
        ("high surrogate and another escape", "\\ud800\\n", "text"),
        ("high surrogate and a cut escape", "\\ud800\\u00", "json"),
        ("a pair", "\\ud83d\\ude00", "not_canonical"),
        ("a pair in upper case", "\\uD83D\\uDE00", "not_canonical"),
        ("a letter", "\\u0061", "not_canonical"),
        ("a quotation mark", "\\u0022", "not_canonical"),
        ("a reverse solidus", "\\u005c", "not_canonical"),
        ("a solidus", "\\/", "not_canonical"),
        ("a line feed in full", "\\u000a", "not_canonical"),
        ("upper-case digits", "\\u001F", "not_canonical"),
        ("upper-case U", "\\U0001f600", "json"),
        ("x", "\\x41", "json"),
        ("octal", "\\012", "json"),
        ("a new line", "\\\n", "json"),
        ("an apostrophe", "\\'", "json"),
        ("three digits", "\\u041", "json"),
        ("no digits", "\\u", "json"),
        ("braces", "\\u{41}", "json"),
        ("a sign", "\\u+041", "json"),
        ("full-width digits", "\\u\u{ff10}\u{ff10}\u{ff14}\u{ff11}", "json"),
        ("nothing", "\\", "json"),
        ("the right one for U+0001", "\\u0001", "ok"),
        ("the right one for U+001F", "\\u001f", "ok"),
        ("all short ones", "\\\"\\\\\\b\\t\\n\\f\\r", "ok"),
    ];
    rows.extend(
        escapes.map(|(name, text, code)| row(format!("escape: {name}"), in_string(text.as_bytes()), code)),
    );
    for byte in [0x00, 0x01, 0x08, 0x09, 0x0a, 0x0d, 0x1b, 0x1f] {
        rows.push(row(format!("control: {byte:02x} raw in a string"), in_string(&[byte]), "json"));
    }
    let allowed = [
        ("U+007F", "\u{7f}"),
        ("C1 control", "\u{85}"),
        ("line separator", "\u{2028}"),
        ("zero-width joiner", "a\u{200d}b"),
        ("zero-width non-joiner", "a\u{200c}b"),
        ("zero-width space", "a\u{200b}b"),
        ("byte-order mark inside", "a\u{feff}b"),
        ("private use", "\u{e000}"),
        ("not a character", "\u{ffff}"),
        ("last code point", "\u{10ffff}"),
        ("precomposed", "\u{e9}"),
        ("decomposed", "e\u{301}"),
        ("Arabic without controls", "\u{627}\u{644}"),
        ("Cyrillic that looks Latin", "\u{430}\u{440}\u{440}\u{43b}\u{435}"),
        ("many marks on one letter", "a\u{301}\u{302}\u{303}\u{304}"),
        ("tags", "\u{e0041}"),
    ];
    rows.extend(
        allowed.map(|(name, text)| row(format!("allowed: {name}"), in_string(text.as_bytes()), "ok")),
    );
    rows
}

fn numbers() -> Vec<Row> {
    let long = "9".repeat(400);
    let cases = [
        (
            "number",
            &[
                "-0", "0.0", "-0.0", "1.0", "1.5", "1e0", "1E2", "1e+2", "1e-2", "1e999", "-1e999", "1e-999",
                "0e0",
            ][..],
        ),
        (
            "number",
            &[
                "9007199254740992",
                "-9007199254740992",
                "9007199254740993",
                "18446744073709551615",
                "18446744073709551616",
                "-9223372036854775808",
                &long,
            ],
        ),
        (
            "json",
            &[
                "01",
                "00",
                "-01",
                "-00",
                "+1",
                ".5",
                "-.5",
                "1.",
                "1.e1",
                "1e",
                "1e+",
                "-",
                "--1",
                "-a",
                "0x10",
                "0b1",
                "0o7",
                "1_000",
                "1,000.0.0",
                "1a",
                "1 2",
            ],
        ),
        (
            "json",
            &["NaN", "nan", "Infinity", "-Infinity", "inf", "\u{ff11}", "\u{661}", "\u{2212}1", "1\u{a0}"],
        ),
        ("ok", &["0", "1", "-1", "9007199254740991", "-9007199254740991"]),
    ];
    let rows = cases.iter().flat_map(|(code, texts)| {
        texts.iter().map(|text| {
            let short: String = text.chars().take(24).collect();
            row(format!("number: {short}"), format!("{{\"a\":{text}}}"), code)
        })
    });
    rows.collect()
}

fn structures() -> Vec<Row> {
    let cases = [
        (
            "json",
            &[
                "",
                " ",
                "\n",
                "{",
                "[",
                "}",
                "]",
                "\"",
                "\"a",
                "{\"a\"",
                "{\"a\":",
                "{\"a\":1",
                "[1",
                "[1,",
                "{\"a\":1,",
            ][..],
        ),
        (
            "json",
            &[
                "{\"a\":1,}",
                "[1,]",
                "[,1]",
                "[1,,2]",
                "{,}",
                "{\"a\"}",
                "{\"a\":}",
                "{:1}",
                "{\"a\" 1}",
                "{\"a\"=1}",
                "{\"a\":1;\"b\":2}",
            ],
        ),
        (
            "json",
            &[
                "{a:1}",
                "{'a':1}",
                "{1:1}",
                "{null:1}",
                "[1 2]",
                "[1:2]",
                "{\"a\":1 \"b\":2}",
                "[1}",
                "{\"a\":1]",
                "([1])",
            ],
        ),
        (
            "json",
            &[
                "{\"a\":1}}",
                "[1]]",
                "{}{}",
                "{\"a\":1}\0",
                "{\"a\":1}x",
                "{} //",
                "{\"a\":1}/**/",
                "// x\n{}",
                "/* x */{}",
                "#\n{}",
                "{\"a\":/**/1}",
            ],
        ),
        (
            "json",
            &[
                "tru",
                "True",
                "TRUE",
                "truex",
                "fals",
                "nul",
                "undefined",
                "None",
                "yes",
                "{\"a\":tru}",
                "{\"a\":true1}",
            ],
        ),
        ("schema", &["null", "[null]", "{\"a\":null}", "{\"a\":[1,{\"b\":null}]}"]),
        (
            "json",
            &[
                "\u{feff}{}",
                "{\u{feff}}",
                "{}\u{feff}",
                "\u{a0}{}",
                "{\u{2028}}",
                "{}\u{b}",
                "\u{c}{}",
                "{}\u{85}",
                "\u{200b}{}",
                "\u{3000}{}",
            ],
        ),
        (
            "not_canonical",
            &[
                "{}\n",
                "{}\r\n",
                "{} ",
                "\t{}",
                "{ }",
                "[ ]",
                "{\"a\": 1}",
                "{\"a\" :1}",
                "{\"a\":1 }",
                "[1, 2]",
                "[1 ,2]",
                "{\"a\":\n1}",
                "{\"b\":1,\"a\":1}",
            ],
        ),
        ("ok", &["{}", "[]", "true", "false", "\"\"", "[[],{}]", "{\"a\":[{}]}"]),
    ];
    let mut rows: Vec<Row> = cases
        .iter()
        .flat_map(|(code, texts)| texts.iter().map(|text| row(format!("structure: {text:?}"), text, code)))
        .collect();
    const DEEP: usize = 1_000_000;
    let nested =
        |open: &str, close: &str, depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
    rows.extend([
        row("depth: a million arrays", "[".repeat(DEEP), "depth"),
        row("depth: a million closed arrays", nested("[", "]", DEEP), "depth"),
        row("depth: a million objects", "{\"a\":".repeat(DEEP), "depth"),
        row("depth: a million of both", nested("[{\"a\":", "}]", DEEP / 2), "depth"),
        row("depth: a million closings", "]".repeat(DEEP), "json"),
        row("depth: 33", nested("[", "]", 33), "depth"),
        row("depth: 33 without an end", "[".repeat(33), "depth"),
        row("depth: 32 without an end", "[".repeat(32), "json"),
        row("depth: 32", nested("[", "]", 32), "ok"),
        row("depth: 33 with a fault inside", format!("{}x", "[".repeat(33)), "depth"),
        row("depth: wide, not deep", format!("[{}[]]", "[],".repeat(20_000)), "ok"),
        row("length: a long string", format!("\"{}\"", "x".repeat(1_000_000)), "ok"),
        row("length: a long string without an end", format!("\"{}", "x".repeat(1_000_000)), "json"),
        row("length: a long run of reverse solidi", format!("\"{}\"", "\\".repeat(65_000)), "ok"),
        row("length: an odd run of reverse solidi", format!("\"{}\"", "\\".repeat(65_001)), "json"),
    ]);
    rows
}

fn names() -> Vec<Row> {
    let forms = [
        (
            "key_form",
            &[
                "",
                "A",
                "a-b",
                "a.b",
                "a b",
                "a/b",
                "aA",
                "\u{e9}",
                "e\u{301}",
                "\u{430}",
                "a\u{200b}",
                "a\\n",
                "$a",
                "@type",
                "\u{1f600}",
                "a\u{7f}",
            ][..],
        ),
        ("ok", &["a", "0", "_", "__proto__", "constructor", "a_b", "toString_", "9a"]),
    ];
    let mut rows = Vec::new();
    for (code, texts) in forms {
        for text in texts {
            let code = if *text == "toString_" { "key_form" } else { code };
            rows.push(row(format!("name: {text:?}"), format!("{{\"{text}\":1}}"), code));
        }
    }
    let repeats = [
        ("duplicate_key", "beside", "{\"a\":1,\"a\":1}"),
        ("duplicate_key", "with another value", "{\"a\":1,\"a\":2}"),
        ("duplicate_key", "at a distance", "{\"a\":1,\"b\":2,\"a\":3}"),
        ("duplicate_key", "second spelled with an escape", "{\"a\":1,\"\\u0061\":2}"),
        ("duplicate_key", "first spelled with an escape", "{\"\\u0061\":1,\"a\":2}"),
        ("duplicate_key", "both spelled with escapes", "{\"\\u0061\":1,\"\\u0061\":2}"),
        ("duplicate_key", "in an inner object", "{\"x\":{\"a\":1,\"a\":1}}"),
        ("duplicate_key", "behind an inner object", "{\"a\":{\"a\":1},\"a\":2}"),
        ("duplicate_key", "behind unsorted ones", "{\"c\":1,\"b\":2,\"a\":3,\"b\":4}"),
        ("duplicate_key", "before a JSON fault", "{\"a\":1,\"a\":2,}"),
        ("json", "behind a JSON fault", "{\"a\":1,,\"a\":2}"),
        ("duplicate_key", "three times", "{\"a\":1,\"a\":2,\"a\":3}"),
        ("ok", "one in each of two", "[{\"a\":1},{\"a\":2}]"),
        ("ok", "one inside the other", "{\"a\":{\"a\":{\"a\":1}}}"),
        ("ok", "prefixes", "{\"a\":1,\"a_\":2,\"aa\":3}"),
        ("not_canonical", "prefixes the wrong way", "{\"aa\":1,\"a\":2}"),
        ("not_canonical", "digits by value", "{\"9\":1,\"10\":2}"),
        ("not_canonical", "an escaped name", "{\"\\u0061\":1}"),
    ];
    rows.extend(repeats.map(|(code, name, text)| row(format!("repeat: {name}"), text, code)));
    let many = |last: &str| {
        let members: String = (0..5000).rev().map(|nth| format!("\"k{nth:04}\":1,")).collect();
        format!("{{{members}\"{last}\":1}}")
    };
    rows.push(row("repeat: the first of five thousand unsorted ones", many("k4999"), "duplicate_key"));
    rows.push(row("repeat: none among five thousand unsorted ones", many("k5000"), "not_canonical"));
    rows
}

#[test]
fn hostile_values_are_refused_each_with_its_code() {
    let rows: Vec<Row> =
        [not_utf8(), characters(), numbers(), structures(), names()].into_iter().flatten().collect();
    let mut names = BTreeSet::new();
    let mut failed = Vec::new();
    for (name, bytes, want) in &rows {
        assert!(names.insert(name), "two rows are called {name}");
        let result = scan(bytes, MAX_ENTRY_DEPTH);
        if let Err(fault) = &result {
            assert!(fault.offset <= bytes.len(), "{name}: offset {}", fault.offset);
        }
        let got = code(result);
        if got != *want {
            failed.push(format!("{name}: {got}, not {want}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(rows.len() >= 200, "{} rows", rows.len());
}

/// The submission of the golden example of a kind, as text.
fn submission(kind: EventKind) -> String {
    let golden = support::examples::golden();
    let entry = golden.entries.iter().find(|entry| entry.statement().event.kind() == kind).unwrap();
    String::from_utf8(support::examples::submission(entry)).unwrap()
}

/// Reading and checking the form are one pass. It accepts what the scan alone accepts, and what it refuses is told in the
/// documented order.
#[test]
fn hostile_insertions_are_refused_by_their_form_before_their_schema() {
    let pieces = [
        " ",
        "0",
        ",",
        "\"",
        "\\",
        "\\u0061",
        "{}",
        "[]",
        "\"a\":1,",
        ",\"zz\":1",
        "\"type\":\"custom\",",
        "\u{1}",
        "\u{202e}",
        "\u{e9}",
    ];
    for entry in &support::examples::golden().entries {
        let text = std::str::from_utf8(entry.bytes()).unwrap();
        for place in (0..=text.len()).filter(|place| text.is_char_boundary(*place)) {
            for piece in [pieces[place % pieces.len()], "\\u0061", " "] {
                let edited = format!("{}{piece}{}", &text[..place], &text[place..]);
                let read = Entry::parse(edited.as_bytes());
                match (scan(edited.as_bytes(), MAX_ENTRY_DEPTH), read) {
                    (Ok(()), Ok(entry)) => {
                        assert_eq!(encode(entry.statement()), entry.signed().bytes(), "{edited}");
                    }
                    (Ok(()), Err(fault)) => assert_ne!(fault.code, FaultCode::NotCanonical, "{edited}"),
                    (Err(form), read) => assert_eq!(read.map(drop), Err(form), "{edited}"),
                }
            }
        }
    }
}

/// Text of an example, what it is replaced by, and the code.
type Edit = (&'static str, String, &'static str);

fn check_edits(kind: EventKind, edits: &[Edit]) {
    let text = submission(kind);
    let mut failed = Vec::new();
    for (from, to, want) in edits {
        assert!(text.contains(from), "{kind}: no {from} in {text}");
        let edited = text.replacen(from, to, 1);
        let got = code(SignedStatement::parse(edited.as_bytes()));
        if got != *want {
            failed.push(format!("{kind}: {from} -> {to}: {got}, not {want}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn hostile_requests_are_refused_each_with_its_code() {
    let subject = "\"subject\":\"user:alice\"";
    let names = [
        "user:",
        "alice",
        "User:alice",
        "user:al ice",
        "user: alice",
        "user:alice ",
        "user:\u{430}lice",
        "user:ali\u{200d}ce",
        "user:alic\u{e9}",
        "person:alice",
        "spiffe:alice",
        "spiffe://",
        "spiffe://acme.example/../root",
        "spiffe://acme.example/a?b",
        "user:alice\\n",
        "user:alice\\\\",
        "user:*",
        "*",
        "",
    ];
    let mut edits: Vec<Edit> =
        names.iter().map(|name| (subject, format!("\"subject\":\"{name}\""), "schema")).collect();
    edits.push((subject, "\"subject\":\"user:ali\u{202e}ce\"".into(), "text"));
    edits.push((subject, format!("\"subject\":\"user:{}\"", "a".repeat(256)), "schema"));
    edits.push((subject, format!("\"subject\":\"user:{}\"", "a".repeat(255)), "ok"));
    edits.push((subject, "\"subject\":\"spiffe://acme.example/alice\"".into(), "ok"));
    edits.push((subject, "\"subject\":[\"user:alice\"]".into(), "schema"));
    edits.push((subject, "\"subject\":{\"user\":\"alice\"}".into(), "schema"));
    edits.push((subject, "\"subject\":1".into(), "schema"));
    edits.push((subject, "\"subject\":true".into(), "schema"));
    for name in
        ["db:acme/../root", "db:acme//x", "db:/acme", "db:acme/", "db:*", "db:acme/*", "*", "db", "DB:acme"]
    {
        edits.push(("\"resource\":\"db:acme/ledger\"", format!("\"resource\":\"{name}\""), "schema"));
    }
    for role in ["Reader", "re ader", "1reader", "", "reader*", "r\u{e9}ader"] {
        edits.push(("\"role\":\"reader\"", format!("\"role\":\"{role}\""), "schema"));
    }
    for at in [
        "2026-01-12T09:00:00Z",
        "2026-01-12T09:00:00.0Z",
        "2026-01-12T09:00:00.000000Z",
        "2026-01-12T09:00:00.000+00:00",
        "2026-01-12t09:00:00.000z",
        "2026-01-12 09:00:00.000Z",
        "2026-01-12T09:00:60.000Z",
        "2026-01-12T24:00:00.000Z",
        "2026-02-30T09:00:00.000Z",
        "2025-02-29T09:00:00.000Z",
        "2026-13-01T09:00:00.000Z",
        "1969-12-31T23:59:59.999Z",
        "+10000-01-01T00:00:00.000Z",
        "",
    ] {
        edits.push(("\"expires\":\"2026-01-12T09:00:00.000Z\"", format!("\"expires\":\"{at}\""), "time"));
    }
    edits.push(("\"expires\":\"2026-01-12T09:00:00.000Z\"", "\"expires\":1768208400000".into(), "schema"));
    let hold = "\"hold\":{\"seconds\":1209600}";
    for (text, want) in [
        ("{\"seconds\":0}", "schema"),
        ("{\"seconds\":-1}", "number"),
        ("{\"seconds\":1.5}", "number"),
        ("{\"seconds\":9007199254740991}", "ok"),
        ("{\"seconds\":9007199254740992}", "number"),
        ("{\"seconds\":\"1209600\"}", "schema"),
        ("{\"class\":\"standing\"}", "ok"),
        ("{\"class\":\"Standing\"}", "schema"),
        ("{\"class\":\"standing\",\"seconds\":1}", "schema"),
        ("{\"seconds\":1,\"unit\":\"days\"}", "schema"),
        ("{\"days\":1}", "schema"),
        ("{}", "schema"),
        ("[]", "schema"),
        ("1209600", "schema"),
    ] {
        edits.push((hold, format!("\"hold\":{text}"), want));
    }
    let need = "\"need\":{\"text\":\"Close the June accounts.\\n\\\"Month end\\\" needs the raw postings.\"}";
    let hex = "0a".repeat(32);
    for (text, want) in [
        ("{\"text\":\"\"}".into(), "text"),
        ("{\"text\":\" \"}".into(), "ok"),
        ("\"text\"".into(), "schema"),
        ("{}".into(), "schema"),
        (format!("{{\"commitment\":\"{hex}\",\"length\":12}}"), "ok"),
        (format!("{{\"commitment\":\"{hex}\",\"length\":12,\"text\":\"both\"}}"), "schema"),
        (format!("{{\"commitment\":\"{hex}\"}}"), "schema"),
        ("{\"length\":12}".into(), "schema"),
        (format!("{{\"commitment\":\"{}\",\"length\":12}}", hex.to_uppercase()), "schema"),
        (format!("{{\"commitment\":\"{}\",\"length\":12}}", &hex[2..]), "schema"),
        (format!("{{\"commitment\":\"0x{}\",\"length\":12}}", &hex[2..]), "schema"),
    ] {
        edits.push((need, format!("\"need\":{text}"), want));
    }
    let ends = "\"ends_on\":[\"ticket_closed\"]";
    for (list, want) in [
        ("[]", "schema"),
        ("[\"offboarding\",\"ticket_closed\"]", "ok"),
        ("[\"ticket_closed\",\"offboarding\"]", "schema"),
        ("[\"ticket_closed\",\"ticket_closed\"]", "schema"),
        ("[\"never\"]", "schema"),
        ("[1]", "schema"),
        ("\"ticket_closed\"", "schema"),
        ("{\"ticket_closed\":true}", "schema"),
    ] {
        edits.push((ends, format!("\"ends_on\":{list}"), want));
    }
    for kind in [
        "access.requeste",
        "Access.requested",
        "access.requested ",
        "access",
        "",
        "*",
        "access\\u002erequested",
    ] {
        let want = if kind.contains("u002e") { "not_canonical" } else { "unknown_kind" };
        edits.push(("\"type\":\"access.requested\"", format!("\"type\":\"{kind}\""), want));
    }
    for (text, want) in [
        ("\"type\":1", "schema"),
        ("\"type\":[\"access.requested\"]", "schema"),
        ("\"typo\":\"access.requested\"", "schema"),
    ] {
        edits.push(("\"type\":\"access.requested\"", text.into(), want));
    }
    // The same members under another kind.
    edits.push(("\"type\":\"access.requested\"", "\"type\":\"access.granted\"".into(), "schema"));
    edits.push(("\"tier\":\"high\"", "\"tier\":\"highest\"".into(), "schema"));
    edits.push(("\"tier\":\"high\",", String::new(), "schema"));
    edits.push(("\"tier\":\"high\"", "\"tier\":\"high\",\"tierr\":1".into(), "schema"));
    edits.push(("\"author\":\"user:alice\"", "\"author\":\"user:alice\",\"cosigners\":[]".into(), "schema"));
    edits.push((
        "\"author\":\"user:alice\"",
        "\"author\":\"user:alice\",\"cosigners\":[\"user:b\",\"user:a\"]".into(),
        "schema",
    ));
    edits.push((
        "\"author\":\"user:alice\"",
        "\"author\":\"user:alice\",\"cosigners\":[\"user:a\",\"user:a\"]".into(),
        "schema",
    ));
    edits.push((
        "\"author\":\"user:alice\"",
        "\"author\":\"user:alice\",\"cosigners\":[\"user:a\",\"user:b\"]".into(),
        "ok",
    ));
    edits.push(("\"serial\":1", "\"serial\":\"1\"".into(), "schema"));
    edits.push(("\"serial\":1", "\"serial\":-1".into(), "number"));
    edits.push(("\"serial\":1,\"v\":1}", "\"serial\":1,\"v\":2}".into(), "schema"));
    edits.push(("\"serial\":1,\"v\":1}", "\"serial\":1,\"v\":\"1\"}".into(), "schema"));
    edits.push(("\"serial\":1,\"v\":1}", "\"serial\":1}".into(), "schema"));
    edits.push(("\"serial\":1,\"v\":1}", "\"serial\":1,\"v\":1,\"w\":1}".into(), "schema"));
    let ledger = "\"ledger\":\"ledger.example/acme/";
    edits.push((ledger, "\"ledger\":\"Ledger.example/acme/".into(), "schema"));
    edits.push((ledger, "\"ledger\":\"".into(), "ok"));
    edits.push((ledger, format!("\"ledger\":\"{hex}/"), "ok"));
    edits.push((ledger, format!("\"ledger\":\"acme/{hex}/"), "schema"));
    check_edits(EventKind::AccessRequested, &edits);
}

#[test]
fn hostile_signatures_are_refused_each_with_its_code() {
    let text = submission(EventKind::AccessRequested);
    let from = text.find("\"sig\":\"").unwrap() + 7;
    let sig = &text[from..from + 88];
    assert!(sig.ends_with("=="));
    let stem = &sig[..85];
    let last = sig.as_bytes()[85];
    let twin = char::from(if last == b'Q' || last == b'A' { last + 1 } else { last.wrapping_sub(1) });
    let cases = [
        (sig.to_owned(), "ok"),
        (format!("{stem}{twin}=="), "base64"),
        (sig.trim_end_matches('=').to_owned(), "base64"),
        (format!("{}=", sig.trim_end_matches('=')), "base64"),
        (format!("{sig}="), "base64"),
        (format!("{sig}AAAA"), "base64"),
        (format!("{} ==", &sig[..85]), "base64"),
        (format!("{}\\n", sig), "base64"),
        (format!("-{}", &sig[1..]), "base64"),
        (format!("_{}", &sig[1..]), "base64"),
        (format!("\u{ff21}{}", &sig[1..]), "base64"),
        (String::new(), "base64"),
        ("A".repeat(88), "base64"),
        ("00".repeat(64), "base64"),
        (format!("{}Q==", "A".repeat(85)), "ok"),
    ];
    for (text_of_sig, want) in &cases {
        let edited = text.replacen(sig, text_of_sig, 1);
        assert_eq!(code(SignedStatement::parse(edited.as_bytes())), *want, "{text_of_sig}");
    }
    let list_end = text.find("],\"statement\"").unwrap();
    let part = &text[text.find('[').unwrap() + 1..list_end];
    let keyid = &part[10..74];
    let with = |list: &str| text.replacen(part, list, 1);
    let cases = [
        // Form alone: an empty list, a repeat and a wrong order are found when the set is checked, by their own codes.
        (String::new(), "ok"),
        (format!("{part},{part}"), "ok"),
        (part.replace(keyid, &keyid.to_uppercase()), "schema"),
        (part.replace(keyid, &keyid[1..]), "schema"),
        (part.replace("\"keyid\"", "\"key\""), "schema"),
        (part.replace("\"sig\":", "\"alg\":\"none\",\"sig\":"), "not_canonical"),
        (format!("{part},1"), "schema"),
        (format!("{part},\"{part}\"").replace('"', "'"), "json"),
    ];
    for (list, want) in cases {
        let got = code(SignedStatement::parse(with(&list).as_bytes()));
        assert_eq!(got, want, "{list}");
    }
    for (list, want) in [(String::new(), "unsigned"), (format!("{part},{part}"), "signature_order")] {
        let parsed = SignedStatement::parse(with(&list).as_bytes()).unwrap();
        assert_eq!(code(parsed.verify(|_| None)), want);
    }
    for (count, want) in [(MAX_SIGNATURES, "unknown_key"), (MAX_SIGNATURES + 1, "signature_order")] {
        let parts: Vec<_> = (0..count).map(|nth| part.replace(keyid, &format!("{nth:064x}"))).collect();
        let parsed = SignedStatement::parse(with(&parts.join(",")).as_bytes()).unwrap();
        assert_eq!(code(parsed.verify(|_| None)), want, "{count} signatures");
    }
}

#[test]
fn hostile_entries_are_refused_each_with_its_code() {
    let golden = support::examples::golden();
    let entry = golden.entries.last().unwrap();
    let text = String::from_utf8(entry.bytes().to_vec()).unwrap();
    let seq = format!("\"seq\":{}", entry.seq());
    let prev = format!("\"prev\":\"{}\"", entry.prev());
    let recorded = format!("\"recorded_at\":\"{}\"", entry.recorded_at());
    let cases = [
        (seq.clone(), "\"seq\":-1".to_owned(), "number"),
        (seq.clone(), "\"seq\":9007199254740992".into(), "number"),
        (seq.clone(), "\"seq\":\"31\"".into(), "schema"),
        (seq.clone(), "\"seq\":031".into(), "json"),
        (prev.clone(), "\"prev\":\"\"".into(), "schema"),
        (prev.clone(), prev.to_uppercase().replace("PREV", "prev"), "schema"),
        (format!("{prev},"), String::new(), "schema"),
        (prev, "\"prev\":[]".into(), "schema"),
        (recorded.clone(), "\"recorded_at\":\"2026-01-05T09:00:00Z\"".into(), "time"),
        (recorded, "\"recorded_at\":\"now\"".into(), "time"),
        ("\"statement\":{".into(), "\"statement\":[{".into(), "json"),
        ("\"v\":1}".into(), "\"v\":1}\n".into(), "not_canonical"),
        ("{\"prev\"".into(), "{\"note\":1,\"prev\"".into(), "schema"),
        ("\"seq\"".into(), "\"seqq\"".into(), "schema"),
        ("\"type\":\"custom\"".into(), "\"type\":\"customs\"".into(), "unknown_kind"),
        ("\"balance\":-5".into(), "\"balance\":-0".into(), "number"),
        ("\"balance\":-5".into(), "\"balance\":null".into(), "schema"),
        ("\"balance\":-5".into(), "\"Balance\":-5".into(), "key_form"),
        ("\"balance\":-5".into(), "\"balance\":-6".into(), "ok"),
        ("\"data\":{".into(), "\"data\":[{".into(), "json"),
    ];
    for (from, to, want) in cases {
        assert!(text.contains(&from), "no {from} in {text}");
        let got = code(Entry::parse(text.replacen(&from, &to, 1).into_bytes()));
        assert_eq!(got, want, "{from} -> {to}");
    }
    for (name, bytes, want) in [
        ("a line feed behind", format!("{text}\n"), "not_canonical"),
        ("a line feed inside", text.replacen(",\"seq\"", ",\n\"seq\"", 1), "not_canonical"),
        ("a carriage return behind", format!("{text}\r"), "not_canonical"),
        ("two entries", format!("{text}{text}"), "json"),
        ("two entries on two lines", format!("{text}\n{text}"), "json"),
        ("a mark in front", format!("\u{feff}{text}"), "json"),
        ("cut", text[..text.len() - 1].to_owned(), "json"),
        ("nothing", String::new(), "json"),
    ] {
        assert_eq!(code(Entry::parse(bytes.into_bytes())), want, "{name}");
    }
    // A statement's own fault waits until the entry's members are read, even if it stands in front of them.
    let both =
        text.replacen("\"type\":\"custom\"", "\"type\":\"customs\"", 1).replacen("\"v\":1}", "\"v\":2}", 2);
    assert_eq!(code(Entry::parse(both.into_bytes())), "schema");
}

#[test]
fn lengths_hold_at_the_limit_and_break_one_above() {
    let text = submission(EventKind::LedgerFrozen);
    let reason = "A governor's laptop was stolen.";
    let at = |statement: usize| {
        let parsed = SignedStatement::parse(text.as_bytes()).unwrap();
        let fill = statement - (parsed.bytes().len() - reason.len());
        text.replacen(reason, &"x".repeat(fill), 1)
    };
    assert_eq!(code(SignedStatement::parse(at(MAX_STATEMENT_LEN).as_bytes())), "ok");
    assert_eq!(code(SignedStatement::parse(at(MAX_STATEMENT_LEN + 1).as_bytes())), "statement_too_long");
    // A statement that is too long is named so before anything in it is looked at.
    let wrong = at(MAX_STATEMENT_LEN + 1).replacen("ledger.frozen", "ledger.brozen", 1);
    assert_eq!(code(SignedStatement::parse(wrong.as_bytes())), "statement_too_long");

    let part = &text[text.find('[').unwrap() + 1..text.find("],\"statement\"").unwrap()];
    let base = at(MAX_STATEMENT_LEN - 400);
    let longer = |length: usize| {
        let mut longer = base.clone();
        while longer.len() + part.len() < length {
            longer = longer.replacen(part, &format!("{part},{part}"), 1);
        }
        let rest = length - longer.len();
        longer.replacen("xxx", &format!("xxx{}", "x".repeat(rest)), 1)
    };
    assert_eq!(longer(MAX_ENTRY_LEN).len(), MAX_ENTRY_LEN);
    assert_eq!(code(SignedStatement::parse(longer(MAX_ENTRY_LEN).as_bytes())), "ok");
    assert_eq!(code(SignedStatement::parse(longer(MAX_ENTRY_LEN + 1).as_bytes())), "line_too_long");
    assert_eq!(code(Entry::parse(vec![b'['; MAX_ENTRY_LEN + 1])), "line_too_long");
    assert_eq!(code(Entry::parse(vec![b'['; MAX_ENTRY_LEN])), "depth");
}

#[test]
fn depths_hold_at_the_limit_and_break_one_above() {
    let text = submission(EventKind::Custom);
    let data = "{\"balance\":-5,\"labels\":[\"urgent\"],\"ticket\":\"FIN-1024\"}";
    let at =
        |depth: usize| text.replacen(data, &format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth)), 1);
    // Entry or submission 1, statement 2, event 3, data from 4 on.
    assert_eq!(code(SignedStatement::parse(at(29).as_bytes())), "ok");
    assert_eq!(code(SignedStatement::parse(at(30).as_bytes())), "depth");
    let statement = SignedStatement::parse(at(29).as_bytes()).unwrap();
    assert_eq!(code(scan(statement.bytes(), MAX_STATEMENT_DEPTH)), "ok");
    assert_eq!(code(scan(statement.bytes(), MAX_STATEMENT_DEPTH - 1)), "depth");
}

#[test]
fn hostile_policies_are_refused_each_with_its_code() {
    let with_path = |path: &str| {
        let rule = format!("{{\"distinct_persons\":true,\"name\":\"p\",\"path\":{path}}}");
        decode::<PolicyDocument>(format!("{{\"paths\":[{rule}]}}").as_bytes(), MAX_STATEMENT_DEPTH)
    };
    let owner = "{\"capacity\":\"business_owner\"}";
    let list = |count: usize| vec![owner; count].join(",");
    let deep = |levels: usize| format!("{}{owner}{}", "{\"all\":[".repeat(levels), "]}".repeat(levels));
    let cases = [
        (owner.to_owned(), "ok"),
        (format!("{{\"all\":[{}]}}", list(MAX_REQUIREMENTS)), "ok"),
        (format!("{{\"all\":[{}]}}", list(MAX_REQUIREMENTS + 1)), "schema"),
        (format!("{{\"any\":[{{\"all\":[{}]}},{{\"all\":[{}]}}]}}", list(6), list(6)), "ok"),
        (format!("{{\"any\":[{{\"all\":[{}]}},{{\"all\":[{}]}}]}}", list(6), list(7)), "schema"),
        (deep(MAX_PATH_DEPTH - 1), "ok"),
        (deep(MAX_PATH_DEPTH), "schema"),
        (deep(13), "schema"),
        (deep(14), "depth"),
        ("{\"all\":[]}".into(), "schema"),
        ("{\"any\":[]}".into(), "schema"),
        ("{\"stages\":[]}".into(), "schema"),
        ("{}".into(), "schema"),
        ("[]".into(), "schema"),
        ("\"business_owner\"".into(), "schema"),
        (format!("{{\"at_least\":0,\"of\":[{owner}]}}"), "schema"),
        (format!("{{\"at_least\":1,\"of\":[{owner}]}}"), "ok"),
        (format!("{{\"at_least\":2,\"of\":[{owner}]}}"), "schema"),
        (format!("{{\"at_least\":2,\"of\":[{}]}}", list(2)), "ok"),
        (format!("{{\"at_least\":9007199254740991,\"of\":[{owner}]}}"), "schema"),
        (format!("{{\"at_least\":-1,\"of\":[{owner}]}}"), "number"),
        ("{\"at_least\":1,\"of\":[]}".into(), "schema"),
        ("{\"at_least\":1}".into(), "schema"),
        (format!("{{\"of\":[{owner}]}}"), "schema"),
        (format!("{{\"all\":[{owner}],\"any\":[{owner}]}}"), "schema"),
        (format!("{{\"all\":{owner}}}"), "schema"),
        (format!("{{\"none\":[{owner}]}}"), "schema"),
        ("{\"capacity\":\"governor\"}".into(), "schema"),
        ("{\"capacity\":\"iam_enforcer\"}".into(), "schema"),
        ("{\"capacity\":\"executor\"}".into(), "schema"),
        ("{\"capacity\":\"Business_owner\"}".into(), "schema"),
        ("{\"capacity\":[\"business_owner\"]}".into(), "schema"),
    ];
    for (path, want) in cases {
        assert_eq!(code(with_path(&path)), want, "{path}");
    }
    let documents = [
        ("{}", "ok"),
        ("[]", "schema"),
        ("{\"paths\":[]}", "schema"),
        ("{\"path\":[]}", "schema"),
        ("{\"summary\":\"words\"}", "schema"),
        ("{\"tiers\":[{\"max_seconds\":1,\"tier\":\"high\"},{\"max_seconds\":1,\"tier\":\"low\"}]}", "ok"),
        (
            "{\"tiers\":[{\"max_seconds\":1,\"tier\":\"low\"},{\"max_seconds\":1,\"tier\":\"high\"}]}",
            "schema",
        ),
        ("{\"tiers\":[{\"max_seconds\":1,\"tier\":\"low\"},{\"max_seconds\":2,\"tier\":\"low\"}]}", "schema"),
        ("{\"tiers\":[{\"max_seconds\":0,\"tier\":\"low\"}]}", "schema"),
        ("{\"windows\":{}}", "ok"),
        ("{\"windows\":{\"statement_seconds\":0}}", "schema"),
        ("{\"sod\":[{\"name\":\"a\"}]}", "ok"),
        ("{\"sod\":[{\"left\":[{\"on\":\"db:a*\"}],\"name\":\"a\"}]}", "schema"),
    ];
    for (document, want) in documents {
        let got = code(decode::<PolicyDocument>(document.as_bytes(), MAX_STATEMENT_DEPTH));
        assert_eq!(got, want, "{document}");
    }
}

/// Two spellings of one letter are two names to the ledger, never folded into one.
#[test]
fn twins_by_normalisation_stay_two_texts() {
    let text = submission(EventKind::LedgerFrozen);
    let reason = "A governor's laptop was stolen.";
    let [composed, decomposed] = ["caf\u{e9}", "cafe\u{301}"]
        .map(|word| SignedStatement::parse(text.replacen(reason, word, 1).as_bytes()).unwrap());
    assert_ne!(composed.digest(), decomposed.digest());
    let Event::LedgerFrozen(frozen) = &decomposed.statement().event else { panic!("another kind") };
    assert_eq!(frozen.reason.as_str(), Some("cafe\u{301}"));
}
