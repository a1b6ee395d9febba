//! Text that a ledger says, made safe to show: nothing it holds can move the cursor, colour, hide or reorder what is printed.

use std::borrow::Cow;
use std::fmt::Write as _;

use countersign_core::scan::is_refused_char;
use countersign_core::wire::Text;

/// Whether a character changes how others are shown, or is not shown at all. Joiners, which scripts need, are not among them.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || is_refused_char(c)
        || matches!(c, '\u{ad}' | '\u{180e}' | '\u{200b}' | '\u{2028}' | '\u{2029}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The text on one line, with every unsafe character as an escape.
pub(crate) fn safe(text: &str) -> Cow<'_, str> {
    escaped(text, is_unsafe)
}

/// As [`safe`], and lines stay lines.
pub(crate) fn safe_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c != '\n' && is_unsafe(c))
}

fn escaped(text: &str, is_unsafe: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            _ if !is_unsafe(c) => out.push(c),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            _ => {
                write!(out, "{}", c.escape_unicode()).expect("writing to a string does not fail");
            }
        }
    }
    Cow::Owned(out)
}

/// JSON with every unsafe character in its strings as a JSON escape. Between tokens there are line feeds and spaces only.
pub(crate) fn safe_json(json: &str) -> Cow<'_, str> {
    let is_unsafe = |c: char| c != '\n' && is_unsafe(c);
    if !json.contains(is_unsafe) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_unsafe(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}").expect("writing to a string does not fail");
            }
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// A free text as it is quoted in reports.
pub(crate) fn quoted(text: &Text) -> String {
    match text {
        Text::Plain(text) => format!("\"{}\"", safe(text)),
        Text::Committed { length, .. } => format!("(withheld, {length} bytes)"),
    }
}

/// `1 entry`, `2 entries`.
pub(crate) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Seconds as a person says them: the largest units that are whole.
pub(crate) fn duration(seconds: u64) -> String {
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (size, name) in units {
        if rest >= size {
            parts.push(count(rest / size, name, &format!("{name}s")));
            rest %= size;
        }
    }
    if parts.is_empty() { "0 seconds".into() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_changes_the_display_is_left() {
        let cases = [
            ("plain", "alice", "alice"),
            ("colour", "\u{1b}[31mred", "\\u{1b}[31mred"),
            ("line", "one\ntwo\ttabbed\r", "one\\ntwo\\ttabbed\\u{d}"),
            ("delete", "a\u{7f}b", "a\\u{7f}b"),
            ("C1", "a\u{9b}31m", "a\\u{9b}31m"),
            ("bidi override", "a\u{202e}b", "a\\u{202e}b"),
            ("isolate", "a\u{2066}b", "a\\u{2066}b"),
            ("invisible", "a\u{200b}\u{feff}\u{2060}b", "a\\u{200b}\\u{feff}\\u{2060}b"),
            ("tag", "a\u{e0041}", "a\\u{e0041}"),
            ("line separator", "a\u{2028}b", "a\\u{2028}b"),
            ("scripts", "Zoë Ω 張 \u{1f600}", "Zoë Ω 張 \u{1f600}"),
        ];
        for (name, text, want) in cases {
            assert_eq!(safe(text), want, "case: {name}");
        }
        assert_eq!(safe_lines("a\n\u{1b}b"), "a\n\\u{1b}b");
    }

    #[test]
    fn json_stays_json_and_says_the_same() {
        let text = "a\u{9b}\u{202e}\u{e0041}\u{1f600}ö\\";
        let json = serde_json::to_string_pretty(&[text]).unwrap();
        let safe = safe_json(&json);
        assert!(safe.is_char_boundary(0) && !safe.contains(|c| c != '\n' && is_unsafe(c)), "{safe}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&safe).unwrap(), [text]);
    }

    #[test]
    fn durations_are_said_in_whole_units() {
        let cases = [
            (1, "1 second"),
            (60, "1 minute"),
            (2_592_000, "30 days"),
            (90_061, "1 day 1 hour 1 minute 1 second"),
        ];
        for (seconds, want) in cases {
            assert_eq!(duration(seconds), want);
        }
    }
}
