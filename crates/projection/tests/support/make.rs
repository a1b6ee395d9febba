//! Short ways to write values of core.

use std::cell::RefCell;
use std::collections::BTreeMap;

use countersign_core::digest::{KeyId, sha256};
use countersign_core::event::*;
use countersign_core::id::*;
use countersign_core::key::{SecretKey, SignerKey as _};
use countersign_core::policy::*;
use countersign_core::time::{Seconds, Timestamp};
use countersign_core::wire::{KeyBytes, Text};

pub fn secret(label: &str) -> SecretKey {
    SecretKey::from_seed(&sha256(&[b"test key\0", label.as_bytes()]))
}

thread_local! {
    static KEYS: RefCell<BTreeMap<String, (KeyBytes, KeyId)>> = const { RefCell::new(BTreeMap::new()) };
}

fn known(label: &str) -> (KeyBytes, KeyId) {
    KEYS.with_borrow_mut(|keys| {
        *keys.entry(label.to_owned()).or_insert_with(|| {
            let public = secret(label).public_key();
            (KeyBytes(*public.as_bytes()), public.key_id())
        })
    })
}

/// The public key that is derived from a label. A principal's first key has the principal's own name as its label.
pub fn key_bytes(label: &str) -> KeyBytes {
    known(label).0
}

pub fn key_id(label: &str) -> KeyId {
    known(label).1
}

pub fn principal(name: &str) -> Principal {
    Principal::new(name).unwrap()
}

pub fn person(name: &str) -> Person {
    Person::new(&format!("person:{name}")).unwrap()
}

pub fn text(words: &str) -> Text {
    Text::new(words).unwrap()
}

pub fn label(word: &str) -> Label {
    Label::new(word).unwrap()
}

pub fn role(word: &str) -> Role {
    Role::new(word).unwrap()
}

pub fn resource(name: &str) -> Resource {
    Resource::new(name).unwrap()
}

pub fn process(name: &str) -> Process {
    Process::new(name).unwrap()
}

pub fn pattern(text: &str) -> Pattern {
    Pattern::new(text).unwrap()
}

pub fn scope(on: &str) -> Scope {
    Scope::of(pattern(on))
}

pub fn scope_except(on: &str, except: &[&str]) -> Scope {
    Scope { except: except.iter().map(|text| pattern(text)).collect(), on: pattern(on) }
}

pub fn seconds(count: u64) -> Seconds {
    Seconds::new(count).unwrap()
}

pub fn instant(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis).unwrap()
}

pub fn holder(name: &str, of: &str) -> KeyHolder {
    KeyHolder { key: key_bytes(name), person: person(of), principal: principal(name) }
}

pub fn registered(name: &str, kind: PrincipalKind, persons: &[&str]) -> PrincipalRegistered {
    let human = kind == PrincipalKind::Human;
    PrincipalRegistered {
        controllers: persons.iter().filter(|_| !human).map(|name| person(name)).collect(),
        kind,
        person: persons.first().filter(|_| human).map(|name| person(name)),
        principal: principal(name),
    }
}

pub fn enrolled(name: &str, key: &str, enrolment: Enrolment) -> KeyEnrolled {
    KeyEnrolled { enrolment, key: key_bytes(key), principal: principal(name) }
}

pub fn assigned(capacity: Capacity, holder: &str, over: Scope) -> CapacityAssigned {
    CapacityAssigned { capacity, from: None, holder: principal(holder), scope: over, until: None }
}

pub fn placed(name: &str, tier: Tier, governed_by: Option<&str>) -> ResourceRegistered {
    ResourceRegistered {
        environment: None,
        governed_by: governed_by.map(resource),
        process: None,
        resource: resource(name),
        tier,
    }
}

pub fn empty_document() -> PolicyDocument {
    PolicyDocument {
        classes: Default::default(),
        custom: Default::default(),
        exceptions: Vec::new(),
        paths: Vec::new(),
        sod: Default::default(),
        summary: None,
        tiers: Default::default(),
        windows: None,
    }
}

pub fn path_rule(name: &str, path: Path) -> PathRule {
    PathRule {
        applies: None,
        cascade: Default::default(),
        distinct_persons: true,
        max_seconds: None,
        name: label(name),
        path,
    }
}

pub fn applies(on: &[&str], roles: &[&str], tiers: &[Tier]) -> Applies {
    Applies {
        on: on.iter().map(|text| pattern(text)).collect(),
        roles: roles.iter().map(|text| role(text)).collect(),
        tiers: tiers.iter().copied().collect(),
    }
}

pub fn tiers(max_seconds: u64) -> countersign_core::wire::Sorted<TierRule> {
    Tier::ALL.iter().map(|tier| TierRule { max_seconds: seconds(max_seconds), tier: *tier }).collect()
}

pub fn published(name: &str, over: Scope, document: PolicyDocument) -> PolicyPublished {
    PolicyPublished { document, from: None, name: label(name), scope: over }
}

pub fn need(capacity: Capacity) -> Path {
    Path::Capacity(capacity)
}

/// A request for `reader` on `on`, an hour long.
pub fn asked(subject: &str, on: &str, tier: Tier) -> AccessRequested {
    AccessRequested {
        ends_on: Default::default(),
        expires: None,
        hold: Hold::Seconds(seconds(3_600)),
        need: text("close the month"),
        purpose: process("billing"),
        replaces: None,
        resource: resource(on),
        role: role("reader"),
        subject: principal(subject),
        tier,
    }
}
