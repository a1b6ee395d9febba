//! JSON on its way in: as a person writes it, made canonical; and on its way out: indented.

use countersign_core::event::Event;
use countersign_core::fault::Fault;
use countersign_core::scan::MAX_STATEMENT_DEPTH;
use countersign_core::wire::decode;
use countersign_scenario::Json;

use crate::failure::Failure;

/// Reads ordinary JSON text. A member that stands twice, a fraction and `null` are refused.
pub(crate) fn parse(text: &[u8]) -> Result<Json, Failure> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    serde_json::from_slice(text)
        .map_err(|error| Failure::of("the event is no JSON that a statement can hold", &error))
}

/// The event that the JSON says, read by the strict reader from its canonical form.
pub(crate) fn event(json: &Json) -> Result<Event, Failure> {
    let canonical = json.canonical();
    decode(canonical.as_bytes(), MAX_STATEMENT_DEPTH - 1).map_err(|fault: Fault| {
        let near: String =
            String::from_utf8_lossy(&canonical.as_bytes()[fault.offset.min(canonical.len())..])
                .chars()
                .take(40)
                .collect();
        let near = if near.is_empty() { String::new() } else { format!(", at `{near}`") };
        Failure::told(format!("the event is not well-formed: {} ({}){near}", fault.detail, fault.code))
            .hint("docs/format.md lists the members of every kind")
    })
}

/// Canonical JSON that was verified, indented for a person. Not safe to show as it is.
pub(crate) fn pretty(canonical: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(canonical).expect("verified bytes are JSON");
    serde_json::to_string_pretty(&value).expect("JSON can be written as JSON")
}

/// Canonical JSON that was verified, as a part of another JSON value.
pub(crate) fn value(canonical: &[u8]) -> serde_json::Value {
    serde_json::from_slice(canonical).expect("verified bytes are JSON")
}
