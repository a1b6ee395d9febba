//! Looks a scenario over without running it: references, principals, and the form of every event.

use std::collections::BTreeMap;

use countersign_core::digest::{ClauseDigest, StatementDigest, sha256};
use countersign_core::event::{AccessGranted, EndEvent, Hold};
use countersign_core::time::{Seconds, Timestamp};

use crate::cast::{Keys, begins, opening};
use crate::expand::{Problem, Resolve, event, replaced};
use crate::file::{Ask, Item, Scenario, Setup, Step};
use crate::run::name;
use countersign_core::key::SignerKey as _;

/// What is wrong with the scenario as it is written: a list of sentences, each naming its item. Empty where it can be run.
///
/// Whether the expectations hold is not looked at: that takes a run.
#[must_use]
pub fn check(scenario: &Scenario) -> Vec<String> {
    let steps = match opening(&scenario.setup) {
        Ok(steps) => steps,
        Err(problem) => return vec![format!("setup: {problem}")],
    };
    let mut dry = Dry {
        keys: Keys::new(&scenario.setup),
        setup: &scenario.setup,
        seen: BTreeMap::new(),
        at: begins(&scenario.setup),
    };
    let mut problems = Vec::new();
    let opening = steps
        .into_iter()
        .map(|step| (format!("setup: {}", step.common.id.clone().unwrap_or_default()), Item::Step(step)));
    let timeline =
        scenario.timeline.iter().enumerate().map(|(index, item)| (name(index, item), item.clone()));
    for (name, item) in opening.chain(timeline) {
        dry.item(&item).into_iter().for_each(|problem| problems.push(format!("{name}: {problem}")));
        if let Some(id) = &item.common().id {
            let digest = StatementDigest::new(sha256(&[id.as_bytes()]));
            if dry.seen.insert(id.clone(), digest).is_some() {
                problems.push(format!("{name}: the id stands twice"));
            }
        }
    }
    problems
}

struct Dry<'a> {
    keys: Keys,
    setup: &'a Setup,
    seen: BTreeMap<String, StatementDigest>,
    at: Timestamp,
}

impl Dry<'_> {
    fn item(&self, item: &Item) -> Vec<Problem> {
        let problems = match item {
            Item::Step(step) => self.step(step),
            Item::Resubmit(again) => self.statement(&again.step).map(|_| ()),
            Item::Question(question) => match &question.ask {
                Ask::Why(step) => self.statement(step).map(|_| ()),
                Ask::Check(_) | Ask::Who(_) | Ask::What(_) | Ask::Capacities(_) | Ask::Requests(_) => Ok(()),
            },
            Item::Fill(_) => Ok(()),
        };
        problems.err().into_iter().collect()
    }

    fn step(&self, step: &Step) -> Result<(), Problem> {
        let signers = step.cosign.iter().chain(step.sign.iter().flatten()).chain(&step.key);
        for reference in [&step.by.to_string()].into_iter().chain(signers) {
            self.key(reference, Some(step.by.as_str()))?;
        }
        if let Some(head) = step.seen.as_ref().and_then(|seen| seen.strip_prefix('@')) {
            self.statement(head)?;
        }
        let made = match event(&step.event, step.by.as_str(), self.setup, self)? {
            Ok(made) => made,
            Err(fault) if fault.code.as_str() == step.expect => return Ok(()),
            Err(fault) => return Err(format!("the event is not well-formed: {fault}")),
        };
        match step.tamper.as_ref().map(|members| replaced(&made, members, self.setup, self)).transpose()? {
            Some(Err(fault)) if fault.code.as_str() != step.expect => {
                Err(format!("the changed event is not well-formed: {fault}"))
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl Resolve for Dry<'_> {
    fn statement(&self, step: &str) -> Result<StatementDigest, Problem> {
        self.seen.get(step).copied().ok_or_else(|| format!("no step `@{step}` before this one"))
    }

    fn seq(&self, step: &str) -> Result<u64, Problem> {
        self.statement(step).map(|_| 0)
    }

    fn key(&self, reference: &str, owner: Option<&str>) -> Result<String, Problem> {
        Ok(self.keys.find(self.setup, reference, owner)?.public_key().to_string())
    }

    fn clause(&self, _: &StatementDigest, after: Option<&str>) -> Result<ClauseDigest, Problem> {
        after.map_or(Ok(()), |step| self.statement(step).map(|_| ()))?;
        Ok(ClauseDigest::new([0; 32]))
    }

    fn tier(&self, _: &str) -> Option<&'static str> {
        Some("low")
    }

    fn grant(&self, request: &StatementDigest) -> AccessGranted {
        let nothing = StatementDigest::new([0; 32]);
        AccessGranted {
            clause: ClauseDigest::new([0; 32]),
            ends_on: [EndEvent::Offboarding].into_iter().collect(),
            exception: None,
            hold: Hold::Seconds(Seconds::new(1).expect("1 is in range")),
            policy: nothing,
            replaces: None,
            request: *request,
            witness: Vec::new(),
        }
    }

    fn at(&self) -> Timestamp {
        self.at
    }
}
