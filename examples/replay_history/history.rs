//! The reader: `changes.jsonl` and `owners.jsonl`, merged into change sets in order of time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use countersign::core::id::{Resource, Role};
use countersign::core::time::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// What the data calls the directory above all others.
const ROOT: &str = "scope:/";

/// What stands for it here: a resource has a path.
pub(crate) const ROOT_SCOPE: &str = "scope:root";

/// A file of the history is not of the shape that its README tells.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HistoryError {
    /// It can not be read.
    #[error("{file}: {error}")]
    Io { file: String, error: std::io::Error },
    /// A line is not one of this file.
    #[error("{file}, line {line}: {detail}")]
    Line { file: String, line: usize, detail: String },
}

/// Everything that one commit changed.
#[derive(Debug, Clone)]
pub(crate) struct ChangeSet {
    /// When.
    pub(crate) at: Timestamp,
    /// The commit.
    pub(crate) change: String,
    /// The pull request.
    pub(crate) pr: Option<u64>,
    /// Who asked for it; none where only what governs what has changed.
    pub(crate) requester: Option<String>,
    /// Why.
    pub(crate) reason: Option<String>,
    /// What happened, as listed.
    pub(crate) events: Vec<Event>,
    /// Which scope governs an org or team from here on; none where it is gone.
    pub(crate) governed: BTreeMap<Resource, Option<Resource>>,
}

/// One event of a change set.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) op: Op,
    pub(crate) resource: Resource,
    /// Login and role, where the event is about one.
    pub(crate) subject: Option<(String, Role)>,
}

/// What an event does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Op {
    ResourceCreated,
    OwnerRemoved,
    OwnerAdded,
    Revoke,
    RoleChange,
    Grant,
    ResourceRemoved,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeLine {
    at: String,
    change: String,
    pr: Option<u64>,
    requester: String,
    op: Op,
    #[serde(rename = "org")]
    _org: String,
    resource: String,
    role: Option<String>,
    subject: Option<String>,
    reason: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OwnersLine {
    Governed(GovernedLine),
    /// Who is eligible follows from the owner events.
    Scope(ScopeLine),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GovernedLine {
    at: String,
    change: String,
    resource: String,
    scope: Option<String>,
    #[serde(rename = "parent")]
    _parent: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScopeLine {
    at: String,
    change: String,
    #[serde(rename = "scope")]
    _scope: String,
    #[serde(rename = "approvers")]
    _approvers: Option<Vec<String>>,
    #[serde(rename = "direct")]
    _direct: Option<Vec<String>>,
}

/// Reads a history. What `owners` alone knows of stands at its own time.
pub(crate) fn read(changes: &Path, owners: Option<&Path>) -> Result<Vec<ChangeSet>, HistoryError> {
    let mut sets: Vec<ChangeSet> = Vec::new();
    each_line(changes, |line: ChangeLine| {
        let at = instant(&line.at)?;
        let requester = Some(line.requester);
        match sets.last() {
            Some(last) if last.change == line.change => {
                if (last.at, &last.requester) != (at, &requester) {
                    return Err("events of one change differ in time or requester".into());
                }
            }
            Some(last) if last.at > at => return Err("an event is earlier than the one before".into()),
            Some(_) | None => sets.push(ChangeSet {
                at,
                change: line.change,
                pr: line.pr,
                requester,
                reason: Some(line.reason),
                events: Vec::new(),
                governed: BTreeMap::new(),
            }),
        }
        let subject = match (line.subject, line.role) {
            (Some(subject), Some(role)) => {
                Some((subject, Role::new(&role).map_err(|error| error.to_string())?))
            }
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err("subject and role go together".into()),
        };
        let is_of_resource = matches!(line.op, Op::ResourceCreated | Op::ResourceRemoved);
        if is_of_resource == subject.is_some() {
            return Err("a subject belongs to every event but those of a resource".into());
        }
        let resource = resource(&line.resource)?;
        let last = sets.last_mut().expect("INVARIANT: one was found or added above");
        last.events.push(Event { op: line.op, resource, subject });
        Ok(())
    })?;
    if let Some(owners) = owners {
        merge(owners, &mut sets)?;
    }
    Ok(sets)
}

fn merge(owners: &Path, sets: &mut Vec<ChangeSet>) -> Result<(), HistoryError> {
    let mut places: BTreeMap<String, usize> =
        sets.iter().enumerate().map(|(place, set)| (set.change.clone(), place)).collect();
    each_line(owners, |line: OwnersLine| {
        let (at, change, governed) = match line {
            OwnersLine::Governed(line) => {
                let scope = line.scope.as_deref().map(resource).transpose()?;
                (line.at, line.change, Some((resource(&line.resource)?, scope)))
            }
            OwnersLine::Scope(line) => (line.at, line.change, None),
        };
        let at = instant(&at)?;
        let Some((name, scope)) = governed else { return Ok(()) };
        let place = *places.entry(change.clone()).or_insert_with(|| {
            sets.push(ChangeSet {
                at,
                change,
                pr: None,
                requester: None,
                reason: None,
                events: Vec::new(),
                governed: BTreeMap::new(),
            });
            sets.len() - 1
        });
        if sets[place].at != at {
            return Err("the change has another time in the other file".into());
        }
        sets[place].governed.insert(name, scope);
        Ok(())
    })?;
    sets.sort_by_key(|set| set.at);
    Ok(())
}

fn each_line<T: DeserializeOwned>(
    path: &Path,
    mut take: impl FnMut(T) -> Result<(), String>,
) -> Result<(), HistoryError> {
    let file = path.display().to_string();
    let failed = |error| HistoryError::Io { file: file.clone(), error };
    let source = BufReader::new(File::open(path).map_err(failed)?);
    for (index, line) in source.lines().enumerate() {
        let line = line.map_err(failed)?;
        let read = serde_json::from_str(&line).map_err(|error| error.to_string()).and_then(&mut take);
        read.map_err(|detail| HistoryError::Line { file: file.clone(), line: index + 1, detail })?;
    }
    Ok(())
}

/// A ledger's instants have milliseconds, the history's have none.
fn instant(text: &str) -> Result<Timestamp, String> {
    let whole = text.strip_suffix('Z').filter(|whole| !whole.contains('.'));
    let parsed = whole.and_then(|whole| format!("{whole}.000Z").parse().ok());
    parsed.ok_or_else(|| format!("`{text}` is no instant like 2018-06-21T01:58:35Z"))
}

fn resource(text: &str) -> Result<Resource, String> {
    match text {
        ROOT => Ok(Resource::new(ROOT_SCOPE).expect("a literal")),
        ROOT_SCOPE => Err(format!("`{ROOT_SCOPE}` stands for `{ROOT}`, and can not be an org's as well")),
        _ => Resource::new(text).map_err(|error| format!("`{text}`: {error}")),
    }
}
