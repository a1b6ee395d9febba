//! From an event as an author writes it to the event as it is signed: what is left out is filled in, what is short is written
//! out, sets are sorted. Nothing is judged here, so an attack can say whatever its author wants.

use std::collections::BTreeMap;

use countersign_core::digest::{ClauseDigest, StatementDigest};
use countersign_core::event::{AccessGranted, Event};
use countersign_core::fault::Fault;
use countersign_core::scan::MAX_STATEMENT_DEPTH;
use countersign_core::time::Timestamp;
use countersign_core::wire::{decode, encode};

use crate::file::Setup;
use crate::json::Json;
use crate::when::{When, duration};

/// Why an event can not be made: a mistake in the file, not a verdict.
pub(crate) type Problem = String;

/// What an event can refer to.
pub(crate) trait Resolve {
    /// The digest of the statement of a step.
    fn statement(&self, step: &str) -> Result<StatementDigest, Problem>;
    /// The place of a step's entry.
    fn seq(&self, step: &str) -> Result<u64, Problem>;
    /// The public key that a reference names, in base64. `owner` is whose it is where the reference only has a label.
    fn key(&self, reference: &str, owner: Option<&str>) -> Result<String, Problem>;
    /// What policy resolves to for the entitlement that `request` asks for: now, or right after a step.
    fn clause(&self, request: &StatementDigest, after: Option<&str>) -> Result<ClauseDigest, Problem>;
    /// The tier of a resource, as it is registered.
    fn tier(&self, resource: &str) -> Option<&'static str>;
    /// The grant that an enforcing automation would make of a request.
    fn grant(&self, request: &StatementDigest) -> AccessGranted;
    /// The instant of the step.
    fn at(&self) -> Timestamp;
}

/// The event that `json`, written by `author`, stands for.
///
/// The outer error is a mistake in the file; the inner one is what the strict reader says of the finished event.
pub(crate) fn event(
    json: &Json,
    author: &str,
    setup: &Setup,
    resolve: &impl Resolve,
) -> Result<Result<Event, Fault>, Problem> {
    let expanded = Expander { setup, resolve }.event(json, author)?;
    Ok(decode(expanded.canonical().as_bytes(), MAX_STATEMENT_DEPTH - 1))
}

/// The same event with members replaced, whatever they become.
pub(crate) fn replaced(
    event: &Event,
    members: &Json,
    setup: &Setup,
    resolve: &impl Resolve,
) -> Result<Result<Event, Fault>, Problem> {
    let text = encode(event);
    let Ok(Json::Object(mut all)) = serde_json::from_slice(&text) else {
        return Err("the event can not be read again".into());
    };
    let Json::Object(new) = Expander { setup, resolve }.value("", members, None)? else {
        return Err("`tamper` is an object of members".into());
    };
    all.extend(new);
    Ok(decode(Json::Object(all).canonical().as_bytes(), MAX_STATEMENT_DEPTH - 1))
}

struct Expander<'a, R> {
    setup: &'a Setup,
    resolve: &'a R,
}

type Members = BTreeMap<String, Json>;

impl<R: Resolve> Expander<'_, R> {
    fn event(&self, json: &Json, author: &str) -> Result<Json, Problem> {
        let Json::Object(written) = json else { return Err("an event is an object with a `type`".into()) };
        let kind = written.get("type").and_then(Json::as_str).unwrap_or_default().to_owned();
        let mut members = Members::new();
        for (name, value) in written {
            members.insert(name.clone(), self.value(name, value, Some(written))?);
        }
        self.fill(&kind, &mut members, written, author)?;
        Ok(Json::Object(members))
    }

    /// Adds what an author may leave out.
    fn fill(
        &self,
        kind: &str,
        members: &mut Members,
        written: &Members,
        author: &str,
    ) -> Result<(), Problem> {
        match kind {
            "principal.registered" => {
                let cast =
                    written.get("principal").and_then(Json::as_str).and_then(|name| self.setup.cast(name));
                let said = ["kind", "person", "controllers"].iter().any(|name| members.contains_key(*name));
                if let Some(cast) = cast.filter(|_| !said) {
                    members.insert("kind".into(), cast.kind.as_str().into());
                    if let Some(person) = &cast.person {
                        members.insert("person".into(), person.as_str().into());
                    }
                    if !cast.controllers.is_empty() {
                        let controllers = cast.controllers.iter().map(|person| person.as_str().into());
                        members.insert("controllers".into(), Json::List(controllers.collect()));
                    }
                }
            }
            "key.enrolled" | "key.retired" | "key.compromised" => {
                let owner = written.get("principal").and_then(Json::as_str);
                if let (Some(owner), false) = (owner, members.contains_key("key")) {
                    members.insert("key".into(), Json::Text(self.resolve.key(owner, None)?));
                }
            }
            "capacity.assigned" | "policy.published" => {
                members.entry("scope".into()).or_insert_with(|| scope("*"));
            }
            "access.requested" => {
                members.entry("subject".into()).or_insert_with(|| author.into());
                let tier =
                    written.get("resource").and_then(Json::as_str).and_then(|name| self.resolve.tier(name));
                if let Some(tier) = tier {
                    members.entry("tier".into()).or_insert_with(|| tier.into());
                }
            }
            "access.approved" | "access.denied" => self.fill_clause(members)?,
            "exception.granted" => {
                if let Some(Json::Object(covers)) = members.get_mut("covers")
                    && covers.contains_key("request")
                {
                    self.fill_clause(covers)?;
                }
            }
            "access.granted" => {
                if let Some(request) = digest(members.get("request")) {
                    let proposal = Event::from(self.resolve.grant(&request));
                    let Ok(Json::Object(proposed)) = serde_json::from_slice(&encode(&proposal)) else {
                        return Err("the proposed grant can not be read again".into());
                    };
                    for (name, value) in proposed {
                        members.entry(name).or_insert(value);
                    }
                    // An empty list says: leave the proposed one out.
                    members.retain(|_, value| *value != Json::List(Vec::new()));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn fill_clause(&self, members: &mut Members) -> Result<(), Problem> {
        let Some(request) = digest(members.get("request")) else { return Ok(()) };
        let written = members.get("clause").and_then(Json::as_str);
        let clause = match written.map(|text| text.strip_prefix('@')) {
            None => self.resolve.clause(&request, None)?,
            Some(Some(step)) => self.resolve.clause(&request, Some(step))?,
            Some(None) => return Ok(()),
        };
        members.insert("clause".into(), Json::Text(clause.to_string()));
        Ok(())
    }

    /// Writes one member out. `around` is the object it stands in, as written.
    fn value(&self, name: &str, value: &Json, around: Option<&Members>) -> Result<Json, Problem> {
        match value {
            Json::Text(text) => self.text(name, text, around),
            Json::List(items) => self.list(name, items),
            Json::Object(members) if name == "data" => Ok(Json::Object(members.clone())),
            Json::Object(members) => {
                let mut out = Members::new();
                for (name, value) in members {
                    out.insert(name.clone(), self.value(name, value, Some(members))?);
                }
                if matches!(name, "governors" | "keys" | "recorder") && !out.contains_key("key") {
                    let owner = members.get("principal").and_then(Json::as_str).unwrap_or_default();
                    out.insert("key".into(), Json::Text(self.resolve.key(owner, None)?));
                }
                Ok(Json::Object(out))
            }
            Json::Bool(_) | Json::Integer(_) => Ok(value.clone()),
        }
    }

    fn text(&self, name: &str, text: &str, around: Option<&Members>) -> Result<Json, Problem> {
        let verbatim = || Ok(Json::from(text));
        if let Some(step) = text.strip_prefix("@seq:") {
            let seq = self.resolve.seq(step)?;
            return i64::try_from(seq).map(Json::Integer).map_err(|_| "too many entries".into());
        }
        match name {
            // Which entitlement's clause it is follows from the request: `fill_clause` does it.
            "clause" => verbatim(),
            _ if text.starts_with('@') => {
                Ok(Json::Text(self.resolve.statement(text.trim_start_matches('@'))?.to_string()))
            }
            "need" | "reason" | "when" | "summary" => Ok(object([("text", text.into())])),
            "scope" => Ok(scope(text)),
            "path" | "all" | "any" | "of" | "stages" => Ok(object([("capacity", text.into())])),
            "hold" => Ok(object([("seconds", seconds(text)?)])),
            "from" | "until" | "expires" => {
                let when = When::parse(text).ok_or_else(|| format!("`{name}`: `{text}` is no instant"))?;
                Ok(Json::Text(when.from(self.resolve.at()).to_string()))
            }
            "key" if !text.ends_with('=') => {
                let owner = around.and_then(|around| around.get("principal")).and_then(Json::as_str);
                Ok(Json::Text(self.resolve.key(text, owner)?))
            }
            "governors" | "keys" | "recorder" => self.holder(text),
            _ if name.ends_with("seconds") => seconds(text),
            _ => verbatim(),
        }
    }

    /// A governor, recovery or recorder key of the charter, from `principal` or `principal#label`.
    fn holder(&self, reference: &str) -> Result<Json, Problem> {
        let (name, _) = reference.split_once('#').unwrap_or((reference, ""));
        let cast = self.setup.cast(name).ok_or_else(|| format!("`{name}` is none of the principals"))?;
        let whose = match &cast.person {
            Some(person) => ("person", person.as_str().into()),
            None => {
                let controllers = cast.controllers.iter().map(|person| person.as_str().into()).collect();
                ("controllers", Json::List(controllers))
            }
        };
        let key = Json::Text(self.resolve.key(reference, None)?);
        Ok(object([whose, ("key", key), ("principal", name.into())]))
    }

    fn list(&self, name: &str, items: &[Json]) -> Result<Json, Problem> {
        let mut out = Vec::new();
        for (index, item) in items.iter().enumerate() {
            out.push(match (name, item) {
                ("witness", Json::Text(_)) => {
                    let requirement = i64::try_from(index).map_err(|_| "too many approvals")?;
                    object([
                        ("approval", self.value("approval", item, None)?),
                        ("requirement", Json::Integer(requirement)),
                    ])
                }
                _ => self.value(name, item, None)?,
            });
        }
        let rank = match name {
            "classes" => Some("class"),
            "custom" => Some("namespace"),
            "sod" => Some("name"),
            "governors" | "keys" => Some("principal"),
            "tiers" if out.iter().any(|item| item.member("tier").is_some()) => Some("tier"),
            _ => None,
        };
        let is_set = matches!(
            name,
            "capacities"
                | "cascade"
                | "controllers"
                | "ends_on"
                | "except"
                | "left"
                | "on"
                | "right"
                | "roles"
                | "tiers"
        );
        if let Some(rank) = rank {
            out.sort_by(|a, b| {
                a.member(rank).and_then(Json::as_str).cmp(&b.member(rank).and_then(Json::as_str))
            });
        } else if is_set {
            out.sort_by_key(Json::canonical);
        }
        Ok(Json::List(out))
    }
}

fn digest(value: Option<&Json>) -> Option<StatementDigest> {
    value.and_then(Json::as_str).and_then(|text| text.parse().ok())
}

fn seconds(text: &str) -> Result<Json, Problem> {
    let count = duration(text).ok_or_else(|| format!("`{text}` is no duration like 90s, 5m, 8h or 30d"))?;
    i64::try_from(count).map(Json::Integer).map_err(|_| format!("`{text}` is too long"))
}

fn scope(on: &str) -> Json {
    object([("on", on.into())])
}

fn object<const N: usize>(members: [(&str, Json); N]) -> Json {
    Json::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}
