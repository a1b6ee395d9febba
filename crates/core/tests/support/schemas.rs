//! The files of `docs/schema`: what they are named and what is in them.

use std::collections::BTreeMap;

use countersign_core::entry::{entry_schema, submission_schema};
use countersign_core::event::EventKind;
use countersign_core::policy::{Clause, PolicyDocument};
use countersign_core::statement::Statement;
use countersign_core::wire::Wire as _;
use serde_json::{Map, Value};

/// Every file by its name below `docs/schema`.
pub(crate) fn files() -> BTreeMap<String, String> {
    let whole = [
        ("statement", Statement::schema()),
        ("submission", submission_schema()),
        ("entry", entry_schema()),
        ("policy_document", PolicyDocument::schema()),
        ("clause", Clause::schema()),
    ];
    let kinds = EventKind::ALL.iter().map(|kind| (kind.as_str(), kind.schema()));
    whole
        .into_iter()
        .chain(kinds)
        .map(|(name, schema)| (format!("{name}.schema.json"), pretty(document(name, &schema))))
        .collect()
}

/// One file: the definitions of a schema are moved to its root, and the schema that it is for stands there itself.
pub(crate) fn document(title: &str, schema: &str) -> Value {
    let mut schema: Value = serde_json::from_str(schema).expect("the code writes JSON");
    let mut definitions = BTreeMap::new();
    hoist(&mut schema, &mut definitions);
    let reference = schema.get("$ref").and_then(Value::as_str).expect("a named schema");
    let name = reference.trim_start_matches("#/$defs/").to_owned();
    let mut root = definitions.remove(&name).expect("a reference has its definition");
    let is_used = definitions
        .values()
        .chain([&root])
        .any(|schema| schema.to_string().contains(&format!("\"{reference}\"")));
    assert!(!is_used, "{name} refers to itself: it can not stand at the root");
    let members = root.as_object_mut().expect("a schema is an object");
    members.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
    members.insert("title".into(), title.into());
    if !definitions.is_empty() {
        members.insert("$defs".into(), Value::Object(definitions.into_iter().collect()));
    }
    root
}

fn hoist(schema: &mut Value, definitions: &mut BTreeMap<String, Value>) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::Object(inner)) = members.remove("$defs") {
                for (name, mut definition) in inner {
                    hoist(&mut definition, definitions);
                    let before = definitions.insert(name.clone(), definition.clone());
                    assert!(before.is_none_or(|before| before == definition), "two things are called {name}");
                }
            }
            members.values_mut().for_each(|member| hoist(member, definitions));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| hoist(item, definitions)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Indented JSON with sorted members, whatever other crates make serde_json do.
fn pretty(value: Value) -> String {
    let text = serde_json::to_string_pretty(&sorted(value)).expect("a JSON value is JSON");
    text + "\n"
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members: BTreeMap<String, Value> =
                members.into_iter().map(|(name, value)| (name, sorted(value))).collect();
            Value::Object(members.into_iter().collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        scalar @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => scalar,
    }
}
