//! Runs scenarios: makes the statements, signs them, and submits them to the one door that ledgers use.

use std::collections::{BTreeMap, BTreeSet};

use countersign_core::digest::{ClauseDigest, KeyId, StatementDigest, sha256};
use countersign_core::entry::{Entry, Head};
use countersign_core::event::{
    AccessGranted, AccessRequested, ClockStepped, EndEvent, Event, EventKind, Hold, Tier,
};
use countersign_core::id::{LedgerId, LedgerName, LedgerRef, Principal, Resource, Role};
use countersign_core::key::{SecretKey, SignerKey as _};
use countersign_core::statement::{Seen, SignedStatement, Statement, Version};
use countersign_core::time::{Seconds, Timestamp};
use countersign_core::wire::{Set, Text, encode};
use countersign_projection::governance::{Answer as Verdict, State, check_envelope, judge};

use crate::cast::{Keys, begins, ledger_name, opening};
use crate::expand::{self, Problem, Resolve};
use crate::file::{Answer, Ask, Item, Scenario, Setup, Step};
use crate::json::Json;
use crate::recorded::Recorded;
use crate::report::{Failure, Finding, Report};
use crate::when::When;

/// Runs a scenario from its first statement to its last.
///
/// Everything goes through `judge`, as in a ledger: the setup too. The report says what did not go as expected; mistakes of
/// the file itself, like a reference to nothing, stand in it as failures.
#[must_use]
pub fn run(scenario: &Scenario) -> Report {
    record(scenario).report
}

/// Runs a scenario as [`run`] does, and gives the ledger that it leaves: every statement that was admitted, sealed.
#[must_use]
pub fn record(scenario: &Scenario) -> Recorded {
    let mut report = Report {
        title: scenario.title.clone(),
        requirements: scenario.requirements.clone(),
        admitted: 0,
        refused: Vec::new(),
        answered: 0,
        failures: Vec::new(),
    };
    let mut world = World::new(&scenario.setup);
    match opening(&scenario.setup) {
        Err(problem) => report.failures.push(mistake("setup".into(), problem)),
        Ok(steps) => {
            for step in steps {
                let id = step.common.id.clone().unwrap_or_default();
                world.item(&Item::Step(step), format!("setup: {id}"), &mut report);
                if !report.passed() {
                    return world.recorded(report);
                }
            }
        }
    }
    for (index, item) in scenario.timeline.iter().enumerate() {
        world.item(item, name(index, item), &mut report);
    }
    world.recorded(report)
}

/// What an item of the timeline is called, `index` counting from 0: its place from 1 on, its id, and what it is.
pub(crate) fn name(index: usize, item: &Item) -> String {
    let id = item.common().id.as_ref().map(|id| format!(" `{id}`")).unwrap_or_default();
    format!("item {}{id}: {}", index + 1, describe(item))
}

fn describe(item: &Item) -> String {
    match item {
        Item::Step(step) => {
            let kind = step.event.member("type").and_then(Json::as_str).unwrap_or("an event");
            format!("{kind} by {}", step.by)
        }
        Item::Resubmit(again) => format!("`{}` submitted again", again.step),
        Item::Fill(fill) => format!("{} entries", fill.count),
        Item::Question(question) => match &question.ask {
            Ask::Check([subject, resource, role]) => format!("may {subject} act as {role} on {resource}?"),
            Ask::Who([resource, role]) => format!("who is {role} on {resource}?"),
            Ask::What(subject) => format!("what does {subject} hold?"),
            Ask::Capacities(holder) => format!("what may {holder} decide?"),
            Ask::Requests(resource) => format!("which requests are open on {resource}?"),
            Ask::Why(step) => format!("why `{step}`?"),
        },
    }
}

fn mistake(item: String, problem: Problem) -> Failure {
    Failure {
        item,
        expected: Finding::plain("a scenario that can be run"),
        happened: Finding::plain(problem),
        diverges: true,
    }
}

/// What became of a statement that was made.
struct Placed {
    signed: SignedStatement,
    /// Its place, if it was admitted.
    seq: Option<u64>,
    /// The state right after it.
    after: State,
}

struct World<'a> {
    setup: &'a Setup,
    keys: Keys,
    at: Timestamp,
    state: State,
    /// The state after each entry, less those of fillings.
    history: Vec<State>,
    entries: Vec<Entry>,
    /// The recorder's key after each entry.
    recorders: Vec<Option<SecretKey>>,
    placed: BTreeMap<String, Placed>,
    requests: BTreeMap<StatementDigest, AccessRequested>,
    grants: BTreeMap<StatementDigest, AccessGranted>,
    serials: BTreeMap<KeyId, u64>,
}

impl<'a> World<'a> {
    fn new(setup: &'a Setup) -> Self {
        Self {
            setup,
            keys: Keys::new(setup),
            at: begins(setup),
            state: State::new(),
            history: Vec::new(),
            entries: Vec::new(),
            recorders: Vec::new(),
            placed: BTreeMap::new(),
            requests: BTreeMap::new(),
            grants: BTreeMap::new(),
            serials: BTreeMap::new(),
        }
    }

    fn item(&mut self, item: &Item, name: String, report: &mut Report) {
        self.at = item.common().at.unwrap_or(When::After(60)).from(self.at);
        let result = match item {
            Item::Step(step) => self.step(step).map(|happened| compare(&step.expect, happened, report)),
            Item::Resubmit(again) => {
                self.resubmit(&again.step).map(|happened| compare(&again.expect, happened, report))
            }
            Item::Fill(fill) => self.fill(fill.count).map(|()| {
                report.admitted += fill.count;
                None
            }),
            Item::Question(question) => self.ask(&question.ask, &question.answer).inspect(|failure| {
                report.answered += u64::from(failure.is_none());
            }),
        };
        match result {
            Ok(None) => {}
            Ok(Some((expected, happened))) => {
                let diverges = !matches!(item, Item::Question(_));
                report.failures.push(Failure { item: name, expected, happened, diverges });
            }
            Err(problem) => report.failures.push(mistake(name, problem)),
        }
    }

    /// Makes, signs and submits a statement. The inner error is the verdict.
    fn step(&mut self, step: &Step) -> Result<Result<u64, Finding>, Problem> {
        let event = match expand::event(&step.event, step.by.as_str(), self.setup, self)? {
            Ok(event) => event,
            Err(fault) => return Ok(Err(fault.into())),
        };
        let statement = match self.statement(step, event)?.prepare() {
            Ok(prepared) => prepared.statement().clone(),
            Err(fault) => return Ok(Err(fault.into())),
        };
        let mut signed = statement.clone().prepare().map_err(|fault| fault.to_string())?;
        for key in self.signers(step, &statement)? {
            signed.cosign(&key).map_err(|error| format!("signing: {error}"))?;
        }
        if let Some(members) = &step.tamper {
            let changed = match expand::replaced(&statement.event, members, self.setup, self)? {
                Ok(changed) => changed,
                Err(fault) => return Ok(Err(fault.into())),
            };
            signed = transplanted(&signed, Statement { event: changed, ..statement })?;
        }
        Ok(self.submit(signed, step.common.id.as_deref()))
    }

    fn statement(&self, step: &Step, event: Event) -> Result<Statement, Problem> {
        let by = step.by.as_str();
        let key = self.secret(step.key.as_deref().unwrap_or(by), Some(by))?.public_key().key_id();
        let mut cosigners = Vec::new();
        for reference in &step.cosign {
            let name = reference.split('#').next().unwrap_or_default();
            cosigners.push(Principal::new(name).map_err(|error| format!("`{name}`: {error}"))?);
        }
        let seen = match (step.seen.as_deref(), event.kind()) {
            (Some(seen), _) => self.seen(seen)?,
            (None, EventKind::AccessApproved | EventKind::AccessDenied | EventKind::ExceptionGranted) => {
                Some(seen(self.state.head()))
            }
            (None, _) => None,
        };
        Ok(Statement {
            author: step.by.clone(),
            cosigners: cosigners.into_iter().collect(),
            event,
            issued_at: step.issued_at.unwrap_or(When::At(self.at)).from(self.at),
            key,
            ledger: self.ledger(step)?,
            seen,
            serial: step.serial.unwrap_or_else(|| self.serials.get(&key).copied().unwrap_or(0) + 1),
            v: Version,
        })
    }

    fn seen(&self, word: &str) -> Result<Option<Seen>, Problem> {
        let head = self.state.head();
        match word {
            "none" => Ok(None),
            "fork" => Ok(Some(Seen {
                leaf: countersign_core::entry::leaf_hash(b"another history"),
                size: head.size,
            })),
            "future" => Ok(Some(Seen { leaf: head.leaf, size: head.size + 1 })),
            _ => match word.strip_prefix('@') {
                Some(step) => self.placed(step).map(|placed| Some(seen(placed.after.head()))),
                None => Err(format!("`seen` is @step, none, fork or future, not `{word}`")),
            },
        }
    }

    fn ledger(&self, step: &Step) -> Result<LedgerRef, Problem> {
        match (&step.ledger, self.state.ledger_id()) {
            (None, Some(id)) => Ok(LedgerRef::Id(id.clone())),
            (None, None) => {
                let name = LedgerName::new(&ledger_name(self.setup));
                name.map(LedgerRef::Name).map_err(|error| error.to_string())
            }
            (Some(text), _) => {
                if let Ok(id) = text.parse() {
                    return Ok(LedgerRef::Id(id));
                }
                let name = LedgerName::new(text).map_err(|error| format!("`{text}`: {error}"))?;
                let genesis = self.state.ledger_id().is_none();
                // Another ledger: of that name, and opened by a genesis that nobody here has seen.
                let other = || LedgerId::new(&name, StatementDigest::new(sha256(&[b"another genesis"])));
                Ok(if genesis { LedgerRef::Name(name) } else { LedgerRef::Id(other()) })
            }
        }
    }

    /// Author, cosigners and new keys; or exactly those whom the step names.
    fn signers(&self, step: &Step, statement: &Statement) -> Result<Vec<SecretKey>, Problem> {
        let by = step.by.as_str();
        let mut keys = BTreeMap::new();
        let mut add = |key: SecretKey| keys.insert(key.public_key().key_id(), key);
        if let Some(named) = &step.sign {
            for reference in named {
                add(self.secret(reference, Some(by))?);
            }
            return Ok(keys.into_values().collect());
        }
        add(self.secret(step.key.as_deref().unwrap_or(by), Some(by))?);
        for reference in &step.cosign {
            add(self.secret(reference, None)?);
        }
        for new in statement.event.new_keys() {
            let admitted = self.state.public_key(&new.key_id()).is_some();
            if let (false, Some(key)) = (admitted, self.keys.known(&new.key_id())) {
                add(key);
            }
        }
        Ok(keys.into_values().collect())
    }

    fn resubmit(&mut self, step: &str) -> Result<Result<u64, Finding>, Problem> {
        let signed = self.placed(step)?.signed.clone();
        Ok(self.submit(signed, None))
    }

    /// The order of a ledger: envelope, signatures, rules, place.
    fn submit(&mut self, signed: SignedStatement, id: Option<&str>) -> Result<u64, Finding> {
        let verdict = self.verdict(&signed);
        let event = &signed.statement().event;
        if let Event::AccessRequested(event) = event {
            self.requests.insert(signed.digest(), event.clone());
        }
        if let Event::AccessGranted(event) = event {
            self.grants.insert(signed.digest(), event.clone());
        }
        if verdict.is_ok() {
            let statement = signed.statement();
            let highest = self.serials.entry(statement.key).or_insert(0);
            *highest = statement.serial.max(*highest);
            self.history.push(self.state.clone());
        }
        if let Some(id) = id {
            let placed = Placed { signed, seq: verdict.as_ref().ok().copied(), after: self.state.clone() };
            self.placed.insert(id.to_owned(), placed);
        }
        verdict
    }

    fn verdict(&mut self, signed: &SignedStatement) -> Result<u64, Finding> {
        check_envelope(&self.state, signed, self.at)?;
        let verified = signed.clone().verify(|key| self.state.public_key(key))?;
        let judged = judge(&self.state, &verified, self.at)?.seal()?;
        self.state.fold(&judged);
        self.entries.push(judged.entry().clone());
        self.recorders.push(self.state.recorder_key().and_then(|key| self.keys.known(&key.key_id())));
        Ok(judged.entry().seq())
    }

    fn recorded(self, report: Report) -> Recorded {
        Recorded { report, entries: self.entries, recorders: self.recorders }
    }

    fn fill(&mut self, count: u64) -> Result<(), Problem> {
        let recorder = self.setup.recorder.clone().ok_or("there is no recorder")?;
        let key = self.secret(recorder.as_str(), None)?;
        let id = key.public_key().key_id();
        let reason = Text::new("time passes").map_err(|fault| fault.to_string())?;
        for _ in 0..count {
            let ledger = self.state.ledger_id().cloned().ok_or("there is no ledger yet")?;
            let serial = self.serials.entry(id).or_insert(0);
            *serial += 1;
            let statement = Statement {
                author: recorder.clone(),
                cosigners: Set::default(),
                event: ClockStepped { reason: reason.clone() }.into(),
                issued_at: self.at,
                key: id,
                ledger: LedgerRef::Id(ledger),
                seen: None,
                serial: *serial,
                v: Version,
            };
            let signed = statement.sign(&key).map_err(|error| error.to_string())?;
            self.verdict(&signed).map_err(|finding| format!("the filling is refused: {finding}"))?;
        }
        self.history.push(self.state.clone());
        Ok(())
    }

    fn placed(&self, step: &str) -> Result<&Placed, Problem> {
        self.placed.get(step).ok_or_else(|| format!("no statement `@{step}` before this item"))
    }

    fn secret(&self, reference: &str, owner: Option<&str>) -> Result<SecretKey, Problem> {
        self.keys.find(self.setup, reference, owner)
    }

    /// The state that knows all entries recorded up to now.
    fn as_of(&self) -> &State {
        let known = self.history.partition_point(|state| state.recorded_at() <= self.at);
        known.checked_sub(1).and_then(|last| self.history.get(last)).unwrap_or(&self.state)
    }

    fn ask(&self, ask: &Ask, wanted: &Answer) -> Result<Option<(Finding, Finding)>, Problem> {
        let state = self.as_of();
        let differ = |want: String, found: String| {
            (want != found).then(|| (Finding::plain(want), Finding::plain(found)))
        };
        let lists = |found: BTreeSet<String>| match wanted {
            Answer::List(want) => Ok(differ(listed(want), listed(&found))),
            Answer::Word(_) | Answer::Facts(_) => Err("the answer is a list".to_owned()),
        };
        match (ask, wanted) {
            (Ask::Check([subject, resource, role]), Answer::Word(want)) => {
                let verdict = state.check(&parsed(subject)?, &parsed(resource)?, &parsed(role)?, self.at);
                let found = match verdict {
                    Verdict::Allowed { .. } => "allowed",
                    Verdict::Denied { reason } => reason.as_str(),
                };
                Ok(differ(want.clone(), found.to_owned()))
            }
            (Ask::Who([resource, role]), _) => {
                let role: Role = parsed(role)?;
                let grants = state.grants_on(&parsed(resource)?, self.at);
                lists(
                    grants
                        .iter()
                        .filter(|grant| grant.role == role)
                        .map(|grant| grant.subject.to_string())
                        .collect(),
                )
            }
            (Ask::What(subject), _) => {
                let grants = state.grants_of(&parsed(subject)?, self.at);
                lists(grants.iter().map(|grant| format!("{} {}", grant.role, grant.resource)).collect())
            }
            (Ask::Capacities(holder), _) => {
                let holder: Principal = parsed(holder)?;
                let held = state.capacities(self.at).into_iter().filter(|view| view.holder == holder);
                lists(held.map(|view| format!("{} {}", view.capacity, view.scope.on)).collect())
            }
            (Ask::Requests(resource), _) => {
                let open = state.requests(self.at).into_iter();
                let open = open.filter(|view| resource == "*" || view.event.resource.as_str() == resource);
                lists(open.map(|view| self.name_of(&view.request)).collect())
            }
            (Ask::Why(step), Answer::Facts(Json::Object(wanted))) => {
                let facts = self.facts(state, step)?;
                let granted_at = self.placed(step)?.after.recorded_at();
                let line = |facts: &BTreeMap<String, Json>| {
                    let parts = facts.iter().map(|(name, value)| format!("{name} {}", value.canonical()));
                    parts.collect::<Vec<_>>().join(", ")
                };
                let mut want = wanted.clone();
                if let Some(when) = want.get("until").and_then(Json::as_str).and_then(When::parse) {
                    want.insert("until".into(), Json::Text(when.from(granted_at).to_string()));
                }
                let found = facts.into_iter().filter(|(name, _)| want.contains_key(name)).collect();
                Ok(differ(line(&want), line(&found)))
            }
            (Ask::Check(_) | Ask::Why(_), Answer::Word(_) | Answer::List(_) | Answer::Facts(_)) => {
                Err("the answer does not fit the question".into())
            }
        }
    }

    /// What a grant rests on, as far as the state and its own statement say.
    fn facts(&self, state: &State, step: &str) -> Result<BTreeMap<String, Json>, Problem> {
        let digest = self.placed(step)?.signed.digest();
        let mut facts = BTreeMap::new();
        let (Some(view), Some(event)) = (state.grant(&digest), self.grants.get(&digest)) else {
            return Ok(facts);
        };
        let mut put = |name: &str, value: Json| drop(facts.insert(name.to_owned(), value));
        put("subject", view.subject.as_str().into());
        put("resource", view.resource.as_str().into());
        put("role", view.role.as_str().into());
        put("request", Json::Text(self.name_of(&event.request)));
        put("policy", Json::Text(self.name_of(&event.policy)));
        let approvals = event.witness.iter().map(|item| Json::Text(self.name_of(&item.approval)));
        put("approvals", Json::List(approvals.collect()));
        if let Some(exception) = view.exception {
            put("exception", Json::Text(self.name_of(&exception)));
        }
        if let Some(class) = &view.class {
            put("class", class.as_str().into());
        }
        if let Some(until) = view.until {
            put("until", Json::Text(until.to_string()));
        }
        Ok(facts)
    }

    /// `@step`, where a step made the statement; else its digest.
    fn name_of(&self, digest: &StatementDigest) -> String {
        let step = self.placed.iter().find(|(_, placed)| placed.signed.digest() == *digest);
        step.map_or_else(|| digest.to_string(), |(step, _)| format!("@{step}"))
    }
}

impl Resolve for World<'_> {
    fn statement(&self, step: &str) -> Result<StatementDigest, Problem> {
        self.placed(step).map(|placed| placed.signed.digest())
    }

    fn seq(&self, step: &str) -> Result<u64, Problem> {
        self.placed(step)?.seq.ok_or_else(|| format!("`@{step}` was not admitted"))
    }

    fn key(&self, reference: &str, owner: Option<&str>) -> Result<String, Problem> {
        Ok(self.secret(reference, owner)?.public_key().to_string())
    }

    fn clause(&self, request: &StatementDigest, after: Option<&str>) -> Result<ClauseDigest, Problem> {
        let state = match after {
            Some(step) => &self.placed(step)?.after,
            None => &self.state,
        };
        let at = if after.is_some() { state.recorded_at() } else { self.at };
        let asked = self.requests.get(request);
        let clause = asked.and_then(|asked| state.clause(&asked.resource, &asked.role, at).ok());
        Ok(clause.map_or(ClauseDigest::new([0; 32]), |clause| clause.digest()))
    }

    fn tier(&self, resource: &str) -> Option<&'static str> {
        let resource = Resource::new(resource).ok()?;
        self.state.resource(&resource, self.at).map(|view| Tier::as_str(view.tier))
    }

    fn grant(&self, request: &StatementDigest) -> AccessGranted {
        if let Ok(proposal) = self.state.propose_grant(request, self.at) {
            return proposal;
        }
        // Nobody would propose it: what an attacker who has no approvals could say best.
        let asked = self.requests.get(request);
        let policies = self.state.policies(self.at);
        let policy = policies
            .iter()
            .rev()
            .find(|policy| asked.is_some_and(|asked| policy.scope.names(&asked.resource)));
        let mut ends_on: Vec<EndEvent> =
            asked.iter().flat_map(|asked| asked.ends_on.iter().copied()).collect();
        ends_on.extend([EndEvent::Offboarding, EndEvent::ResourceRetired]);
        AccessGranted {
            clause: Resolve::clause(self, request, None).unwrap_or(ClauseDigest::new([0; 32])),
            ends_on: ends_on.into_iter().collect(),
            exception: None,
            hold: asked.map_or_else(
                || Hold::Seconds(Seconds::new(3_600).expect("an hour is a duration")),
                |asked| asked.hold.clone(),
            ),
            policy: policy.map_or(StatementDigest::new([0; 32]), |policy| policy.policy),
            replaces: asked.and_then(|asked| asked.replaces),
            request: *request,
            witness: Vec::new(),
        }
    }

    fn at(&self) -> Timestamp {
        self.at
    }
}

/// The signatures of `signed` on another statement.
fn transplanted(signed: &SignedStatement, onto: Statement) -> Result<SignedStatement, Problem> {
    let bare = onto.prepare().map_err(|fault| fault.to_string())?;
    let signatures: Vec<String> =
        signed.signatures().iter().map(|part| String::from_utf8_lossy(&encode(part)).into_owned()).collect();
    let text = format!(
        "{{\"signatures\":[{}],\"statement\":{},\"v\":1}}",
        signatures.join(","),
        String::from_utf8_lossy(bare.bytes())
    );
    SignedStatement::parse(text.as_bytes()).map_err(|fault| fault.to_string())
}

fn compare(expect: &str, happened: Result<u64, Finding>, report: &mut Report) -> Option<(Finding, Finding)> {
    let Some(expected) = Finding::expected(expect) else {
        return Some((Finding::plain("admitted, or a code"), Finding::plain(format!("`{expect}` is none"))));
    };
    match happened {
        Ok(seq) => {
            report.admitted += 1;
            (expect != "admitted").then(|| (expected, Finding::plain(format!("admitted as entry {seq}"))))
        }
        Err(finding) if finding.word == expect => {
            let known = crate::report::code(expect);
            report.refused.extend(known);
            None
        }
        Err(finding) => Some((expected, finding)),
    }
}

fn seen(head: Head) -> Seen {
    Seen { leaf: head.leaf, size: head.size }
}

fn listed(items: &BTreeSet<String>) -> String {
    if items.is_empty() { "nothing".into() } else { items.iter().cloned().collect::<Vec<_>>().join(", ") }
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|error| format!("`{text}`: {error}"))
}
