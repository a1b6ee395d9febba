//! JSON as authors write it: any order of members, but no member twice, no fractions, no null.

use std::collections::BTreeMap;
use std::fmt;

use countersign_core::wire::Writer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A JSON value of the profile that statements use. It exists to be expanded; statements are read by their own strict reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Self>),
    /// An object, its members in bytewise order.
    Object(BTreeMap<String, Self>),
}

impl Json {
    /// The string, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Bool(_) | Self::Integer(_) | Self::List(_) | Self::Object(_) => None,
        }
    }

    /// The member of this name, where it is an object that has one.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.get(name),
            Self::Bool(_) | Self::Integer(_) | Self::Text(_) | Self::List(_) => None,
        }
    }

    /// The canonical form: members sorted, nothing between tokens.
    #[must_use]
    pub fn canonical(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Integer(value) => out.push_str(&value.to_string()),
            Self::Text(text) => out.push_str(&quoted(text)),
            Self::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (index, (name, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    out.push_str(&quoted(name));
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// The string as canonical JSON.
fn quoted(text: &str) -> String {
    let mut out = Writer::default();
    out.string(text);
    String::from_utf8(out.into_bytes()).expect("the writer writes UTF-8")
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object, an array, a string, a whole number, true or false")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Integer(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Json, E> {
        i64::try_from(value).map(Json::Integer).map_err(|_| E::custom("a number above 2^63-1"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Json::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut members = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            if members.contains_key(&name) {
                return Err(de::Error::custom(format_args!("member `{name}` stands twice")));
            }
            let value = map.next_value()?;
            members.insert(name, value);
        }
        Ok(Json::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_out_sorted_and_escaped() {
        let json: Json = serde_json::from_str("{\"b\": [1, true, -2], \"a\": \"x\\u0009\\\"\"}").unwrap();
        assert_eq!(json.canonical(), "{\"a\":\"x\\t\\\"\",\"b\":[1,true,-2]}");
    }

    #[test]
    fn what_no_statement_can_hold_is_refused_with_its_place() {
        let cases = [
            ("twice", "{\"a\": 1,\n \"a\": 2}", "`a` stands twice at line 2 column 4"),
            ("twice, deep", "{\"x\": [{\"a\": 1, \"a\": 1}]}", "stands twice"),
            ("fraction", "{\"a\": 1.5}", "floating point"),
            ("null", "{\"a\": null}", "null"),
            ("too large", "{\"a\": 18446744073709551615}", "above 2^63-1"),
            ("cut off", "{\"a\": 1", "line 1"),
        ];
        for (name, text, want) in cases {
            let error = serde_json::from_str::<Json>(text).unwrap_err().to_string();
            assert!(error.contains(want), "case: {name}: {error}");
        }
    }
}
