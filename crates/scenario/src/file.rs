//! Scenario files: what they may hold (docs/scenarios.md). Reading them is strict: an unknown or repeated member is an error.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use countersign_core::event::PrincipalKind;
use countersign_core::id::{LedgerName, Person, Principal};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor, value::MapAccessDeserializer};

use crate::json::Json;
use crate::when::{When, duration};

/// A scenario: who there is, what happens, and what is expected of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it shows, in one line.
    pub title: String,
    /// The requirements that it tests, like `R006`.
    #[serde(default, deserialize_with = "requirements")]
    pub requirements: Vec<String>,
    /// More words.
    #[serde(default)]
    pub note: Option<String>,
    /// Who and what there is before the timeline begins.
    #[serde(default)]
    pub setup: Setup,
    /// What happens, in order.
    pub timeline: Vec<Item>,
}

/// Who and what there is before the timeline begins. The runner states all of it as signed statements.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// A file with a setup that this one adds to, relative to the scenario's own.
    #[serde(default)]
    pub file: Option<String>,
    /// The bare name of the ledger; `scenario` where absent.
    #[serde(default, deserialize_with = "optional")]
    pub ledger: Option<LedgerName>,
    /// When the ledger is opened; 2026-01-05T08:00Z where absent.
    #[serde(default, deserialize_with = "instant")]
    pub begins: Option<When>,
    /// The governors.
    #[serde(default, deserialize_with = "each")]
    pub governors: Vec<Principal>,
    /// How many of them must sign together; all but one, and at least one, where absent.
    #[serde(default)]
    pub quorum: Option<u64>,
    /// The recorder.
    #[serde(default, deserialize_with = "optional")]
    pub recorder: Option<Principal>,
    /// The recovery keys.
    #[serde(default)]
    pub recovery: Option<RecoverySetup>,
    /// All principals. Those outside the charter are registered, each with its first key, unless they say otherwise.
    #[serde(default)]
    pub principals: Vec<Cast>,
    /// Resources: each a `resource.registered` without its type.
    #[serde(default)]
    pub resources: Vec<Json>,
    /// Capacities: each a `capacity.assigned` without its type; the scope is `*` where absent.
    #[serde(default)]
    pub capacities: Vec<Json>,
    /// Policies: each a `policy.published` without its type; the scope is `*` where absent.
    #[serde(default)]
    pub policies: Vec<Json>,
}

/// The recovery keys of the charter.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoverySetup {
    /// Who holds them.
    #[serde(deserialize_with = "each")]
    pub keys: Vec<Principal>,
    /// How many must sign.
    pub quorum: u64,
    /// How long a proposal waits, in seconds; written like `7d`.
    #[serde(deserialize_with = "seconds")]
    pub delay: u64,
}

/// A principal that takes part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cast {
    /// Its name.
    pub name: Principal,
    /// What it is.
    pub kind: PrincipalKind,
    /// For a human: the person.
    pub person: Option<Person>,
    /// For a non-human: who controls it.
    pub controllers: BTreeSet<Person>,
    /// Whether the setup registers it and enrols its first key.
    pub registered: bool,
}

/// One thing that happens, or is asked.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "RawItem")]
#[allow(clippy::large_enum_variant, reason = "a timeline has a few dozen of them")]
pub enum Item {
    /// A statement is made, signed and submitted.
    Step(Step),
    /// The very bytes of an earlier statement are submitted again.
    Resubmit(Resubmit),
    /// So many entries of the recorder are appended, to let a head grow old.
    Fill(Fill),
    /// A question is asked.
    Question(Question),
}

/// What every item may say of itself.
#[derive(Debug, Clone)]
pub struct Common {
    /// The name by which other items refer to it.
    pub id: Option<String>,
    /// Its instant: absolute, or from the item before; a minute later where absent.
    pub at: Option<When>,
    /// Words for the reader.
    pub note: Option<String>,
}

/// A statement, as it is to be made.
#[derive(Debug, Clone)]
pub struct Step {
    /// Name, instant, note.
    pub common: Common,
    /// The author.
    pub by: Principal,
    /// The author's key where it is not the first: `#label`, or another's: `user:bob`, `user:bob#label`.
    pub key: Option<String>,
    /// Who else signs, each `principal` or `principal#label`.
    pub cosign: Vec<String>,
    /// The event.
    pub event: Json,
    /// When the author says it was made, where not at the instant of recording.
    pub issued_at: Option<When>,
    /// Another serial than the next one of the key.
    pub serial: Option<u64>,
    /// Another head than the present one: `@step`, `none`, `fork` or `future`.
    pub seen: Option<String>,
    /// Another ledger's name or id.
    pub ledger: Option<String>,
    /// Exactly who signs, instead of author, cosigners and new keys.
    pub sign: Option<Vec<String>>,
    /// Members of the event that are changed after signing.
    pub tamper: Option<Json>,
    /// What is expected: `admitted`, or a code.
    pub expect: String,
}

/// The same bytes again.
#[derive(Debug, Clone)]
pub struct Resubmit {
    /// Name, instant, note.
    pub common: Common,
    /// The step whose statement it is.
    pub step: String,
    /// What is expected: `admitted`, or a code.
    pub expect: String,
}

/// Entries that only let time pass by count.
#[derive(Debug, Clone)]
pub struct Fill {
    /// Name, instant, note.
    pub common: Common,
    /// How many.
    pub count: u64,
}

/// A question about the state as it is, at the item's instant.
#[derive(Debug, Clone)]
pub struct Question {
    /// Name, instant, note.
    pub common: Common,
    /// What is asked.
    pub ask: Ask,
    /// The answer that is expected.
    pub answer: Answer,
}

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Whether a subject has a role on a resource: `allowed`, or the reason for no.
    Check([String; 3]),
    /// Who has a role on a resource: a list of principals.
    Who([String; 2]),
    /// What a subject has: a list of `role resource`.
    What(String),
    /// What a principal may decide: a list of `capacity scope`.
    Capacities(String),
    /// Which requests are open on a resource, or on any for `*`: a list of `@step`.
    Requests(String),
    /// What a grant rests on: an object of `subject`, `resource`, `role`, `request`, `policy`, `approvals` and `until`.
    Why(String),
}

/// An answer that is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// One word.
    Word(String),
    /// A list; its order does not matter.
    List(BTreeSet<String>),
    /// Some facts by name.
    Facts(Json),
}

/// A scenario file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file system said no.
    #[error("can not read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What it said.
        #[source]
        source: std::io::Error,
    },
    /// The text is no scenario. The message ends with line and column.
    #[error("{}{source}", path.as_ref().map(|path| format!("{}: ", path.display())).unwrap_or_default())]
    Form {
        /// The file, where it came from one.
        path: Option<PathBuf>,
        /// What is wrong, and where.
        source: serde_json::Error,
    },
    /// The setup file names another one.
    #[error("{}: a setup file can not add to another one", path.display())]
    Nested {
        /// The file.
        path: PathBuf,
    },
}

/// Reads a scenario from text. A setup file that it names is not looked at: see [`load`].
///
/// # Errors
/// [`ReadError::Form`] with line and column.
///
/// ```
/// let error = countersign_scenario::parse("{\n  \"titel\": \"a typo\"\n}").unwrap_err();
/// assert!(error.to_string().contains("unknown field `titel`"));
/// assert!(error.to_string().contains("line 2"));
/// ```
pub fn parse(text: &str) -> Result<Scenario, ReadError> {
    serde_json::from_str(text).map_err(|source| ReadError::Form { path: None, source })
}

/// Reads a scenario file, and the setup file that it names, if it does.
///
/// # Errors
/// [`ReadError`], naming the file.
pub fn load(path: &Path) -> Result<Scenario, ReadError> {
    let mut scenario: Scenario = read(path)?;
    if let Some(file) = scenario.setup.file.take() {
        let base = path.parent().unwrap_or(Path::new("")).join(file);
        let setup: Setup = read(&base)?;
        if setup.file.is_some() {
            return Err(ReadError::Nested { path: base });
        }
        scenario.setup = setup.with(scenario.setup);
    }
    Ok(scenario)
}

/// The scenario files at `path`: itself where it is a file, else all `.json` below it in order of name, less setup files
/// (`.setup.json`).
///
/// # Errors
/// [`ReadError::File`] where the path is not there, or can not be listed.
pub fn find(path: &Path) -> Result<Vec<PathBuf>, ReadError> {
    let fail = |source| ReadError::File { path: path.into(), source };
    if !std::fs::metadata(path).map_err(fail)?.is_dir() {
        return Ok(vec![path.into()]);
    }
    let mut found = Vec::new();
    let mut inside: Vec<PathBuf> = std::fs::read_dir(path)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(fail)?;
    inside.sort();
    for path in inside {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            found.extend(find(&path)?);
        } else if name.ends_with(".json") && !name.ends_with(".setup.json") {
            found.push(path);
        }
    }
    Ok(found)
}

fn read<T: de::DeserializeOwned>(path: &Path) -> Result<T, ReadError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| ReadError::File { path: path.into(), source })?;
    serde_json::from_str(&text).map_err(|source| ReadError::Form { path: Some(path.into()), source })
}

impl Setup {
    /// This setup with another on top: single values are replaced, lists grow, and an item of the same name is replaced.
    #[must_use]
    fn with(mut self, top: Self) -> Self {
        let named = |member: &'static str| {
            move |item: &Json| item.member(member).and_then(Json::as_str).map(str::to_owned)
        };
        self.ledger = top.ledger.or(self.ledger);
        self.begins = top.begins.or(self.begins);
        if !top.governors.is_empty() {
            self.governors = top.governors;
        }
        self.quorum = top.quorum.or(self.quorum);
        self.recorder = top.recorder.or(self.recorder);
        self.recovery = top.recovery.or(self.recovery);
        lay(&mut self.principals, top.principals, |cast| Some(cast.name.to_string()));
        lay(&mut self.resources, top.resources, named("resource"));
        self.capacities.extend(top.capacities);
        lay(&mut self.policies, top.policies, named("name"));
        self
    }

    /// What is known of a principal.
    #[must_use]
    pub fn cast(&self, name: &str) -> Option<&Cast> {
        self.principals.iter().find(|cast| cast.name.as_str() == name)
    }
}

fn lay<T>(below: &mut Vec<T>, top: Vec<T>, name: impl Fn(&T) -> Option<String>) {
    for item in top {
        match below.iter_mut().find(|other| name(other).is_some() && name(other) == name(&item)) {
            Some(place) => *place = item,
            None => below.push(item),
        }
    }
}

impl Item {
    /// What the item says of itself.
    #[must_use]
    pub fn common(&self) -> &Common {
        match self {
            Self::Step(step) => &step.common,
            Self::Resubmit(again) => &again.common,
            Self::Fill(fill) => &fill.common,
            Self::Question(question) => &question.common,
        }
    }
}

/// All members of all items; which belong together is decided in one place, below.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawItem {
    id: Option<String>,
    note: Option<String>,
    #[serde(default, deserialize_with = "instant")]
    at: Option<When>,
    #[serde(default, deserialize_with = "optional")]
    by: Option<Principal>,
    key: Option<String>,
    #[serde(default)]
    cosign: Vec<String>,
    event: Option<Json>,
    #[serde(default, deserialize_with = "instant")]
    issued_at: Option<When>,
    serial: Option<u64>,
    seen: Option<String>,
    ledger: Option<String>,
    sign: Option<Vec<String>>,
    tamper: Option<Json>,
    expect: Option<String>,
    resubmit: Option<String>,
    fill: Option<u64>,
    check: Option<[String; 3]>,
    who: Option<[String; 2]>,
    what: Option<String>,
    capacities: Option<String>,
    requests: Option<String>,
    why: Option<String>,
    answer: Option<Json>,
}

impl RawItem {
    /// The names of the members it has, less those that every item may have.
    fn members(&self) -> Vec<&'static str> {
        let present = [
            ("by", self.by.is_some()),
            ("key", self.key.is_some()),
            ("cosign", !self.cosign.is_empty()),
            ("event", self.event.is_some()),
            ("issued_at", self.issued_at.is_some()),
            ("serial", self.serial.is_some()),
            ("seen", self.seen.is_some()),
            ("ledger", self.ledger.is_some()),
            ("sign", self.sign.is_some()),
            ("tamper", self.tamper.is_some()),
            ("expect", self.expect.is_some()),
            ("resubmit", self.resubmit.is_some()),
            ("fill", self.fill.is_some()),
            ("check", self.check.is_some()),
            ("who", self.who.is_some()),
            ("what", self.what.is_some()),
            ("capacities", self.capacities.is_some()),
            ("requests", self.requests.is_some()),
            ("why", self.why.is_some()),
            ("answer", self.answer.is_some()),
        ];
        present.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect()
    }
}

impl TryFrom<RawItem> for Item {
    type Error = String;

    fn try_from(raw: RawItem) -> Result<Self, String> {
        const STEP: &[&str] = &[
            "by",
            "key",
            "cosign",
            "event",
            "issued_at",
            "serial",
            "seen",
            "ledger",
            "sign",
            "tamper",
            "expect",
        ];
        let members = raw.members();
        let name = raw.id.clone().map(|id| format!("item `{id}`: ")).unwrap_or_default();
        let only = |what: &str, allowed: &[&str]| match members.iter().find(|name| !allowed.contains(name)) {
            Some(odd) => Err(format!("{name}`{odd}` does not belong to {what}")),
            None => Ok(()),
        };
        let common = Common { id: raw.id, at: raw.at, note: raw.note };
        let expect = raw.expect.unwrap_or_else(|| "admitted".into());
        if let Some(event) = raw.event {
            only("a step", STEP)?;
            let by = raw.by.ok_or_else(|| format!("{name}a step says who makes it: `by` is missing"))?;
            return Ok(Self::Step(Step {
                common,
                by,
                key: raw.key,
                cosign: raw.cosign,
                event,
                issued_at: raw.issued_at,
                serial: raw.serial,
                seen: raw.seen,
                ledger: raw.ledger,
                sign: raw.sign,
                tamper: raw.tamper,
                expect,
            }));
        }
        if let Some(step) = raw.resubmit {
            only("a resubmission", &["resubmit", "expect"])?;
            return Ok(Self::Resubmit(Resubmit { common, step: reference(&step, &name)?, expect }));
        }
        if let Some(count) = raw.fill {
            only("a filling", &["fill"])?;
            return Ok(Self::Fill(Fill { common, count }));
        }
        let asked = [
            raw.check.map(Ask::Check),
            raw.who.map(Ask::Who),
            raw.what.map(Ask::What),
            raw.capacities.map(Ask::Capacities),
            raw.requests.map(Ask::Requests),
            raw.why.map(|step| reference(&step, &name)).transpose()?.map(Ask::Why),
        ];
        let mut asked = asked.into_iter().flatten();
        let Some(ask) = asked.next() else {
            return Err(format!(
                "{name}neither a step (`event`), nor a question (`check`, `who`, `what`, `capacities`, `requests`, `why`), nor `resubmit` or `fill`"
            ));
        };
        if asked.next().is_some() {
            return Err(format!("{name}one question at a time"));
        }
        only("a question", &["check", "who", "what", "capacities", "requests", "why", "answer"])?;
        let answer = raw.answer.ok_or_else(|| format!("{name}a question has an `answer`"))?;
        let answer = match (&ask, answer) {
            (Ask::Check(_), Json::Text(word)) => Answer::Word(word),
            (Ask::Why(_), facts @ Json::Object(_)) => Answer::Facts(facts),
            (Ask::Who(_) | Ask::What(_) | Ask::Capacities(_) | Ask::Requests(_), Json::List(items)) => {
                let texts = items.iter().map(|item| item.as_str().map(str::to_owned));
                Answer::List(
                    texts
                        .collect::<Option<_>>()
                        .ok_or_else(|| format!("{name}the answer is a list of strings"))?,
                )
            }
            (Ask::Check(_), _) => return Err(format!("{name}the answer is `allowed` or a reason")),
            (Ask::Why(_), _) => return Err(format!("{name}the answer is an object")),
            (Ask::Who(_) | Ask::What(_) | Ask::Capacities(_) | Ask::Requests(_), _) => {
                return Err(format!("{name}the answer is a list"));
            }
        };
        Ok(Self::Question(Question { common, ask, answer }))
    }
}

/// The step that `@step` names.
fn reference(text: &str, name: &str) -> Result<String, String> {
    text.strip_prefix('@').map(str::to_owned).ok_or_else(|| format!("{name}a step is named like `@{text}`"))
}

/// A principal written as its name alone, or as an object.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCast {
    #[serde(deserialize_with = "one")]
    name: Principal,
    kind: Option<String>,
    #[serde(default, deserialize_with = "optional")]
    person: Option<Person>,
    #[serde(default, deserialize_with = "each")]
    controllers: Vec<Person>,
    registered: Option<bool>,
}

impl TryFrom<RawCast> for Cast {
    type Error = String;

    /// What is left out follows from the name: `user:alice` is a human, the person `person:alice`.
    fn try_from(raw: RawCast) -> Result<Self, String> {
        let name = raw.name;
        let (prefix, own) = name.as_str().split_once(':').unwrap_or_default();
        let word = raw.kind.as_deref().unwrap_or(match prefix {
            "user" => "human",
            "spiffe" => "workload",
            "vendor" => "vendor_automation",
            other => other,
        });
        let kind = PrincipalKind::from_word(word)
            .ok_or_else(|| format!("`{name}` has no `kind`, and `{word}` is none"))?;
        let human = kind == PrincipalKind::Human;
        let person = match raw.person {
            None if human && raw.controllers.is_empty() => Some(
                Person::new(&format!("person:{own}"))
                    .map_err(|_| format!("`{name}` needs a `person`: none follows from its name"))?,
            ),
            given => given,
        };
        Ok(Self {
            name,
            kind,
            person,
            controllers: raw.controllers.into_iter().collect(),
            registered: raw.registered.unwrap_or(true),
        })
    }
}

impl<'de> Deserialize<'de> for Cast {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CastVisitor;
        impl<'de> Visitor<'de> for CastVisitor {
            type Value = Cast;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a principal's name, or an object with its `name`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Cast, E> {
                let name = named(text)?;
                let raw =
                    RawCast { name, kind: None, person: None, controllers: Vec::new(), registered: None };
                raw.try_into().map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Cast, A::Error> {
                let raw = RawCast::deserialize(MapAccessDeserializer::new(map))?;
                raw.try_into().map_err(de::Error::custom)
            }
        }
        deserializer.deserialize_any(CastVisitor)
    }
}

fn named<T: FromStr<Err: fmt::Display>, E: de::Error>(text: &str) -> Result<T, E> {
    text.parse().map_err(|error| E::custom(format_args!("`{text}`: {error}")))
}

fn one<'de, D: Deserializer<'de>, T: FromStr<Err: fmt::Display>>(deserializer: D) -> Result<T, D::Error> {
    named(&String::deserialize(deserializer)?)
}

fn optional<'de, D: Deserializer<'de>, T: FromStr<Err: fmt::Display>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    one(deserializer).map(Some)
}

fn each<'de, D: Deserializer<'de>, T: FromStr<Err: fmt::Display>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    Vec::<String>::deserialize(deserializer)?.iter().map(|text| named(text)).collect()
}

fn requirements<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let numbers = Vec::<String>::deserialize(deserializer)?;
    let fits = |text: &String| {
        text.len() == 4 && text.starts_with('R') && text.bytes().skip(1).all(|byte| byte.is_ascii_digit())
    };
    match numbers.iter().find(|text| !fits(text)) {
        Some(odd) => Err(de::Error::custom(format_args!("`{odd}` is no requirement like R006"))),
        None => Ok(numbers),
    }
}

fn instant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<When>, D::Error> {
    let text = String::deserialize(deserializer)?;
    When::parse(&text).map(Some).ok_or_else(|| {
        de::Error::custom(format_args!(
            "`{text}` is no instant like 2026-01-05T09:00Z, and no distance like +8h"
        ))
    })
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    duration(&text)
        .ok_or_else(|| de::Error::custom(format_args!("`{text}` is no duration like 90s, 5m, 8h or 30d")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_item(item: &str) -> String {
        parse(&format!("{{\"title\": \"t\", \"timeline\": [\n{item}\n]}}")).unwrap_err().to_string()
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_place() {
        let cases = [
            ("unknown member", "{\"by\": \"user:a\", \"evnt\": {}}", "unknown field `evnt`"),
            ("repeated member", "{\"by\": \"user:a\", \"by\": \"user:a\"}", "duplicate field `by`"),
            (
                "repeated member of an event",
                "{\"by\": \"user:a\", \"event\": {\"a\": 1, \"a\": 2}}",
                "stands twice",
            ),
            ("nobody", "{\"event\": {\"type\": \"custom\"}}", "`by` is missing"),
            ("nothing", "{\"id\": \"x\", \"by\": \"user:a\"}", "item `x`: neither a step"),
            ("no name", "{\"by\": \"Alice\", \"event\": {}}", "`Alice`: expected a principal"),
            ("no instant", "{\"fill\": 1, \"at\": \"tomorrow\"}", "`tomorrow` is no instant"),
            ("a filling that expects", "{\"fill\": 1, \"expect\": \"seen\"}", "`expect` does not belong"),
            ("a question without answer", "{\"what\": \"user:a\"}", "a question has an `answer`"),
            ("two questions", "{\"what\": \"user:a\", \"requests\": \"*\"}", "one question at a time"),
            (
                "a list for a word",
                "{\"check\": [\"a\", \"b\", \"c\"], \"answer\": []}",
                "`allowed` or a reason",
            ),
            ("a word for a list", "{\"what\": \"user:a\", \"answer\": \"x\"}", "the answer is a list"),
            ("no reference", "{\"resubmit\": \"step\"}", "a step is named like `@step`"),
        ];
        for (name, item, want) in cases {
            let error = with_item(item);
            // What is missing is only known behind the item.
            let placed = error.contains("line 2") || error.contains("line 3 column 1");
            assert!(error.contains(want) && placed, "case: {name}: {error}");
        }
        let error = parse("{\"title\": \"t\", \"requirements\": [\"6\"], \"timeline\": []}").unwrap_err();
        assert!(error.to_string().contains("`6` is no requirement like R006"), "{error}");
    }

    #[test]
    fn what_is_left_out_of_a_principal_follows_from_its_name() {
        let cast = |text: &str| serde_json::from_str::<Cast>(text).map_err(|error| error.to_string());
        let alice = cast("\"user:alice\"").unwrap();
        assert_eq!((alice.kind, alice.person.unwrap().as_str()), (PrincipalKind::Human, "person:alice"));
        let worker =
            cast("{\"name\": \"spiffe://example.org/w\", \"controllers\": [\"person:carol\"]}").unwrap();
        assert_eq!((worker.kind, worker.registered), (PrincipalKind::Workload, true));
        assert!(cast("\"robot:r2\"").unwrap_err().contains("has no `kind`"));
        assert!(cast("{\"name\": \"user:a\", \"kid\": \"human\"}").unwrap_err().contains("unknown field"));
    }

    #[test]
    fn a_scenario_adds_to_its_setup_file() {
        let setup = |text: &str| serde_json::from_str::<Setup>(text).unwrap();
        let below = setup(
            "{\"quorum\": 2, \"principals\": [\"user:a\", \"user:b\"], \"policies\": [{\"name\": \"main\"}]}",
        );
        let top = setup(
            "{\"principals\": [{\"name\": \"user:b\", \"registered\": false}, \"user:c\"], \"policies\": [{\"name\": \"main\", \"scope\": \"app:x\"}]}",
        );
        let both = below.with(top);
        let names: Vec<&str> = both.principals.iter().map(|cast| cast.name.as_str()).collect();
        assert_eq!((names, both.quorum), (vec!["user:a", "user:b", "user:c"], Some(2)));
        assert!(!both.principals[1].registered);
        assert_eq!((both.policies.len(), both.policies[0].member("scope")), (1, Some(&Json::from("app:x"))));
    }
}
