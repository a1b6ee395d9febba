//! Keys of the principals, and the statements that a setup stands for.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use countersign_core::digest::{KeyId, sha256};
use countersign_core::id::Principal;
use countersign_core::key::{SecretKey, SignerKey as _};
use countersign_core::time::Timestamp;

use crate::expand::Problem;
use crate::file::{Cast, Common, Setup, Step};
use crate::json::Json;
use crate::when::When;

/// Makes keys from names, so that a scenario is the same on every run. Anyone can make them: for tests only.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    ledger: String,
    made: RefCell<BTreeMap<KeyId, SecretKey>>,
}

impl Keys {
    pub(crate) fn new(setup: &Setup) -> Self {
        Self { ledger: ledger_name(setup), made: RefCell::default() }
    }

    /// The key that `principal`, `principal#label` or, where `owner` is known, `#label` names.
    pub(crate) fn find(
        &self,
        setup: &Setup,
        reference: &str,
        owner: Option<&str>,
    ) -> Result<SecretKey, Problem> {
        let (name, label) = reference.split_once('#').unwrap_or((reference, ""));
        let name = if name.is_empty() { owner.unwrap_or_default() } else { name };
        if setup.cast(name).is_none() {
            return Err(format!("`{name}` is none of the principals"));
        }
        let parts: [&[u8]; 7] = [
            b"countersign/scenario-key/v1",
            b"\0",
            self.ledger.as_bytes(),
            b"\0",
            name.as_bytes(),
            b"\0",
            label.as_bytes(),
        ];
        let key = SecretKey::from_seed(&sha256(&parts));
        self.made.borrow_mut().insert(key.public_key().key_id(), key.clone());
        Ok(key)
    }

    /// A key that was asked for before.
    pub(crate) fn known(&self, id: &KeyId) -> Option<SecretKey> {
        self.made.borrow().get(id).cloned()
    }
}

/// The bare name of the scenario's ledger.
pub(crate) fn ledger_name(setup: &Setup) -> String {
    setup.ledger.as_ref().map_or_else(|| "scenario".into(), ToString::to_string)
}

/// When the ledger is opened.
pub(crate) fn begins(setup: &Setup) -> Timestamp {
    let usual = Timestamp::from_millis(1_767_600_000_000).expect("2026-01-05T08:00Z is an instant");
    setup.begins.map_or(usual, |when| when.from(usual))
}

/// The statements that the setup stands for, in order: genesis, principals with their keys, resources, capacities, policies.
pub(crate) fn opening(setup: &Setup) -> Result<Vec<Step>, Problem> {
    let mut governors: Vec<&Principal> = setup.governors.iter().collect();
    governors.sort();
    let (first, recorder) = match (governors.first(), &setup.recorder) {
        (Some(first), Some(recorder)) => (first, recorder),
        // The timeline opens the ledger itself.
        (None, None) if is_bare(setup) => return Ok(Vec::new()),
        (_, _) => return Err("the setup needs `governors` and a `recorder`".into()),
    };
    let quorum = quorum(setup);
    let recovery: Vec<&Principal> = setup.recovery.iter().flat_map(|recovery| &recovery.keys).collect();
    let named: Vec<&Principal> = governors.iter().copied().chain([recorder]).chain(recovery).collect();
    let council = usize::try_from(quorum).unwrap_or(usize::MAX).min(governors.len());
    // Nobody signs for the own person, so governors whose second account it is stand back.
    let by_council = |id: String, about: Option<&Cast>, event: Json| {
        let is_own = |governor: &&&Principal| {
            about.is_some_and(|about| {
                setup.cast(governor.as_str()).is_some_and(|own| shares_person(own, about))
            })
        };
        let mut signers = governors.iter().filter(|governor| !is_own(governor)).take(council);
        let author = signers.next().unwrap_or(first);
        step(id, author, signers.map(ToString::to_string).collect(), event)
    };

    let others = named.iter().filter(|name| name != &first).map(ToString::to_string).collect();
    let mut steps = vec![step("genesis".into(), first, others, genesis(setup, quorum))];
    steps[0].common.at = Some(When::At(begins(setup)));
    steps[0].ledger = Some(ledger_name(setup));
    for cast in setup.principals.iter().filter(|cast| cast.registered && !named.contains(&&cast.name)) {
        let name = cast.name.as_str();
        let register = event("principal.registered", [("principal", name.into())]);
        steps.push(by_council(format!("principal:{name}"), Some(cast), register));
        let enrol = event("key.enrolled", [("enrolment", "first".into()), ("principal", name.into())]);
        steps.push(by_council(format!("key:{name}"), Some(cast), enrol));
    }
    for resource in &setup.resources {
        let name = word(resource, "resource");
        steps.push(by_council(format!("resource:{name}"), None, typed("resource.registered", resource)?));
    }
    for capacity in &setup.capacities {
        let id = format!("capacity:{}/{}", word(capacity, "holder"), word(capacity, "capacity"));
        let twin = steps.iter().filter(|step| step.common.id.as_deref() == Some(&*id)).count();
        let id = if twin == 0 { id } else { format!("{id}/{}", scope_of(capacity)) };
        let holder = setup.cast(word(capacity, "holder"));
        steps.push(by_council(id, holder, typed("capacity.assigned", capacity)?));
    }
    for (index, policy) in setup.policies.iter().enumerate() {
        let id = format!("policy:{}", word(policy, "name"));
        let published = typed("policy.published", policy)?;
        // Governors stand in for the policy owner until the first policy is in force.
        steps.push(if index == 0 {
            by_council(id, None, published)
        } else {
            let owner = policy_owner(setup, policy)
                .ok_or_else(|| format!("{id}: the setup has no policy owner whose scope holds it"))?;
            step(id, &owner, vec![first.to_string()], published)
        });
    }
    Ok(steps)
}

/// Whether the setup names principals only.
fn is_bare(setup: &Setup) -> bool {
    setup.resources.is_empty()
        && setup.capacities.is_empty()
        && setup.policies.is_empty()
        && setup.recovery.is_none()
}

fn shares_person(left: &Cast, right: &Cast) -> bool {
    let persons = |cast: &Cast| cast.person.iter().chain(&cast.controllers).cloned().collect::<BTreeSet<_>>();
    !persons(left).is_disjoint(&persons(right))
}

/// How many governors sign together.
fn quorum(setup: &Setup) -> u64 {
    let most = u64::try_from(setup.governors.len()).unwrap_or(u64::MAX);
    setup.quorum.unwrap_or_else(|| most.saturating_sub(1).max(1))
}

fn genesis(setup: &Setup, quorum: u64) -> Json {
    let names = |names: &[Principal]| Json::List(names.iter().map(|name| name.as_str().into()).collect());
    let count = |count: u64| Json::Integer(i64::try_from(count).unwrap_or(i64::MAX));
    let recorder = setup.recorder.as_ref().map_or("", Principal::as_str);
    let mut members = vec![
        ("governors", names(&setup.governors)),
        ("name", ledger_name(setup).as_str().into()),
        ("quorum", count(quorum)),
        ("recorder", recorder.into()),
        ("rules", Json::Integer(1)),
        ("suite", countersign_core::event::Suite::NAME.into()),
    ];
    if let Some(recovery) = &setup.recovery {
        let keys = [
            ("delay_seconds", count(recovery.delay)),
            ("keys", names(&recovery.keys)),
            ("quorum", count(recovery.quorum)),
        ];
        members.push((
            "recovery",
            Json::Object(keys.into_iter().map(|(name, value)| (name.into(), value)).collect()),
        ));
    }
    event("ledger.opened", members)
}

fn policy_owner(setup: &Setup, policy: &Json) -> Option<Principal> {
    let wanted = scope_of(policy);
    let fits = |capacity: &&Json| {
        let held = scope_of(capacity);
        word(capacity, "capacity") == "policy_owner" && (held == "*" || held == wanted)
    };
    setup.capacities.iter().find(fits).and_then(|capacity| word(capacity, "holder").parse().ok())
}

fn scope_of(json: &Json) -> &str {
    match json.member("scope") {
        None => "*",
        Some(scope) => scope.as_str().or_else(|| scope.member("on").and_then(Json::as_str)).unwrap_or("*"),
    }
}

fn word<'a>(json: &'a Json, member: &str) -> &'a str {
    json.member(member).and_then(Json::as_str).unwrap_or_default()
}

fn typed(kind: &str, json: &Json) -> Result<Json, Problem> {
    let Json::Object(members) = json else { return Err(format!("a {kind} is written as an object")) };
    Ok(event(kind, members.iter().map(|(name, value)| (name.as_str(), value.clone()))))
}

fn event<'a>(kind: &str, members: impl IntoIterator<Item = (&'a str, Json)>) -> Json {
    let members = members.into_iter().map(|(name, value)| (name.to_owned(), value));
    Json::Object(members.chain([("type".to_owned(), kind.into())]).collect())
}

fn step(id: String, by: &Principal, cosign: Vec<String>, event: Json) -> Step {
    Step {
        common: Common { id: Some(id), at: Some(When::After(1)), note: None },
        by: by.clone(),
        key: None,
        cosign,
        event,
        issued_at: None,
        serial: None,
        seen: None,
        ledger: None,
        sign: None,
        tamper: None,
        expect: "admitted".into(),
    }
}
