//! A small company's ledger under the real rules, written through `judge` with keys derived from names.
#![allow(dead_code, reason = "each test program uses a part")]
#![allow(clippy::unwrap_used, unreachable_pub, missing_docs, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use countersign_audit::{CheckpointFile, LedgerBytes, Options, Report, verify};
use countersign_core::checkpoint::Checkpoint;
use countersign_core::digest::{LeafHash, StatementDigest, sha256};
use countersign_core::entry::Entry;
use countersign_core::id::{Resource, Role};
use countersign_core::key::{SecretKey, SignerKey as _};
use countersign_core::merkle::CompactRange;
use countersign_core::statement::SignedStatement;
use countersign_core::time::Timestamp;
use countersign_core::wire::encode;
use countersign_projection::governance::{Refusal, State, judge};
use serde_json::{Value, json};

pub const RECORDER: &str = "service:recorder";
const GINA: &str = "user:gina";
const GUSTAV: &str = "user:gustav";
const START: u64 = 1_767_603_600_000;

/// The key of a principal, or of a name like `user:alice/2`.
pub fn key(name: &str) -> SecretKey {
    SecretKey::from_seed(&sha256(&[b"countersign audit tests/", name.as_bytes()]))
}

pub fn public(name: &str) -> String {
    key(name).public_key().to_string()
}

/// A ledger with the state that its entries leave.
#[derive(Clone)]
pub struct World {
    pub state: State,
    pub entries: Vec<Entry>,
    pub recorder: String,
    /// Who signs what governors do together: the author first.
    governors: &'static [&'static str],
    serials: BTreeMap<String, u64>,
    now: u64,
}

/// A statement in the making.
pub struct Draft<'a> {
    pub author: &'a str,
    /// The name of the signing key, where it is not the author's first.
    pub key: &'a str,
    pub cosigners: &'a [&'a str],
    /// Names of new keys that prove possession.
    pub new_keys: &'a [&'a str],
    pub event: Value,
    pub is_decision: bool,
}

impl World {
    /// Genesis only, of the ledger with this name; `quorum` of two governors sign what governors do together.
    pub fn open(name: &str, quorum: usize) -> Self {
        let mut world = Self {
            governors: &[GINA, GUSTAV][..quorum],
            state: State::new(),
            entries: Vec::new(),
            recorder: RECORDER.into(),
            serials: BTreeMap::new(),
            now: START,
        };
        let event = json!({
            "type": "ledger.opened", "name": name, "quorum": quorum, "rules": 1,
            "suite": "ed25519-strict+sha256+jcs-int",
            "governors": governors(),
            "recorder": {"controllers": ["person:rita"], "key": public(RECORDER), "principal": RECORDER},
        });
        world.post(GINA, &[RECORDER, GUSTAV], event);
        world
    }

    /// The first `entries`, 11 or more, of a story in which access is asked for, approved, granted and revoked, time and again.
    ///
    /// One governor signs alone, so that most entries have one signature: tests check very many.
    pub fn story(name: &str, entries: usize) -> Self {
        Self::story_of(name, entries, 1)
    }

    pub fn story_of(name: &str, entries: usize, quorum: usize) -> Self {
        let mut world = Self::open(name, quorum);
        let register = |name: &str, kind: &str| {
            let person = name.split_once(':').map(|(_, name)| format!("person:{name}"));
            match kind {
                "human" => {
                    json!({"type": "principal.registered", "kind": kind, "person": person, "principal": name})
                }
                _ => {
                    json!({"type": "principal.registered", "kind": kind, "controllers": ["person:paul"], "principal": name})
                }
            }
        };
        for (name, kind) in
            [("user:alice", "human"), ("user:olga", "human"), ("automation:gate", "automation")]
        {
            world.post_governed(register(name, kind));
        }
        for name in ["user:alice", "user:olga", "automation:gate"] {
            world.enrol(name);
        }
        world.post_governed(
            json!({"type": "resource.registered", "resource": "db:ledger", "tier": "low", "process": "billing"}),
        );
        world.assign("business_owner", "user:olga", "db:ledger");
        world.assign("iam_enforcer", "automation:gate", "*");
        world.publish(86_400);
        while world.entries.len() < entries {
            world.cycle(entries);
        }
        assert_eq!(world.entries.len(), entries);
        world
    }

    /// Request, approval, grant, revocation; as far as there is room.
    fn cycle(&mut self, limit: usize) {
        let request = self.request("reader");
        if self.entries.len() == limit {
            return;
        }
        self.approve(request);
        if self.entries.len() == limit {
            return;
        }
        let grant = self.grant(request);
        if self.entries.len() == limit {
            return;
        }
        self.revoke(grant);
    }

    pub fn enrol(&mut self, name: &str) {
        let event =
            json!({"type": "key.enrolled", "enrolment": "first", "key": public(name), "principal": name});
        let draft = Draft {
            author: GINA,
            key: GINA,
            cosigners: &self.governors[1..],
            new_keys: &[name],
            event,
            is_decision: false,
        };
        self.submit(draft).unwrap();
    }

    pub fn assign(&mut self, capacity: &str, holder: &str, on: &str) {
        self.post_governed(
            json!({"type": "capacity.assigned", "capacity": capacity, "holder": holder, "scope": {"on": on}}),
        );
    }

    /// Publishes the policy, before there is one: afterwards it takes policy owners.
    pub fn publish(&mut self, max_seconds: u64) {
        self.post_governed(policy(max_seconds));
    }

    pub fn request(&mut self, role: &str) -> StatementDigest {
        let event = json!({
            "type": "access.requested", "hold": {"seconds": 3_600}, "need": {"text": "close the month"},
            "purpose": "billing", "resource": "db:ledger", "role": role, "subject": "user:alice", "tier": "low",
        });
        self.post("user:alice", &[], event)
    }

    pub fn approve(&mut self, request: StatementDigest) -> StatementDigest {
        let (resource, role) = (Resource::new("db:ledger").unwrap(), Role::new("reader").unwrap());
        let clause = self.state.clause(&resource, &role, self.at()).unwrap().digest();
        let event = json!({
            "type": "access.approved", "capacity": "business_owner", "clause": clause.to_string(),
            "need": {"text": "alice closes the month"}, "request": request.to_string(),
        });
        let draft = Draft {
            author: "user:olga",
            key: "user:olga",
            cosigners: &[],
            new_keys: &[],
            event,
            is_decision: true,
        };
        self.submit(draft).unwrap()
    }

    pub fn grant(&mut self, request: StatementDigest) -> StatementDigest {
        let granted = self.state.propose_grant(&request, self.at()).unwrap();
        let mut event: Value = serde_json::from_slice(&encode(&granted)).unwrap();
        event["type"] = "access.granted".into();
        self.post("automation:gate", &[], event)
    }

    pub fn revoke(&mut self, grant: StatementDigest) -> StatementDigest {
        let event = json!({"type": "access.revoked", "grant": grant.to_string(), "reason": {"text": "done"}});
        self.post("user:olga", &[], event)
    }

    /// Moves to another key of the recorder.
    pub fn rotate(&mut self, name: &str) {
        let event = json!({
            "type": "charter.amended", "reason": {"text": "rotated"},
            "charter": {
                "governors": governors(), "quorum": self.governors.len(),
                "recorder": {"controllers": ["person:rita"], "key": public(name), "principal": RECORDER},
            },
        });
        let draft = Draft {
            author: GINA,
            key: GINA,
            cosigners: &self.governors[1..],
            new_keys: &[name],
            event,
            is_decision: false,
        };
        self.submit(draft).unwrap();
        self.recorder = name.into();
    }

    /// By both governors.
    pub fn post_governed(&mut self, event: Value) -> StatementDigest {
        self.post(GINA, &self.governors[1..], event)
    }

    pub fn post(&mut self, author: &str, cosigners: &[&str], event: Value) -> StatementDigest {
        let draft = Draft { author, key: author, cosigners, new_keys: &[], event, is_decision: false };
        self.submit(draft).unwrap()
    }

    /// The instant of the next entry.
    pub fn at(&self) -> Timestamp {
        Timestamp::from_millis(self.now).unwrap()
    }

    pub fn wait(&mut self, seconds: u64) {
        self.now += seconds * 1_000;
    }

    /// Signs a draft as the next statement of its author.
    pub fn sign(&mut self, draft: &Draft<'_>) -> SignedStatement {
        let serial = self.serials.entry(draft.key.to_owned()).or_default();
        *serial += 1;
        let serial = *serial;
        let ledger = match self.state.ledger_id() {
            Some(id) => id.to_string(),
            None => draft.event["name"].as_str().unwrap().to_owned(),
        };
        let mut statement = json!({
            "author": draft.author, "event": draft.event, "issued_at": self.at().to_string(),
            "key": key(draft.key).public_key().key_id().to_string(), "ledger": ledger, "serial": serial, "v": 1,
        });
        if !draft.cosigners.is_empty() {
            statement["cosigners"] = json!(draft.cosigners);
        }
        if draft.is_decision {
            let head = self.state.head();
            statement["seen"] = json!({"leaf": head.leaf.to_string(), "size": head.size});
        }
        // serde_json keeps members sorted, as canonical JSON has them.
        let bytes = json!({"signatures": [], "statement": statement, "v": 1}).to_string();
        let mut signed = SignedStatement::parse(bytes.as_bytes()).unwrap();
        for name in [&[draft.key], draft.cosigners, draft.new_keys].concat() {
            signed.cosign(&key(name)).unwrap();
        }
        signed
    }

    pub fn submit(&mut self, draft: Draft<'_>) -> Result<StatementDigest, Refusal> {
        let signed = self.sign(&draft);
        self.record(signed)
    }

    /// Judges and records a statement, as the ledger's own recorder does.
    pub fn record(&mut self, signed: SignedStatement) -> Result<StatementDigest, Refusal> {
        let verified = signed.verify(|key| self.state.public_key(key)).unwrap();
        let judged = judge(&self.state, &verified, self.at())?.seal().unwrap();
        self.state.fold(&judged);
        self.entries.push(judged.entry().clone());
        self.now += 60_000;
        Ok(verified.digest())
    }

    pub fn lines(&self) -> Vec<Vec<u8>> {
        self.entries.iter().map(|entry| entry.bytes().to_vec()).collect()
    }

    pub fn bytes(&self) -> Vec<u8> {
        join(&self.lines())
    }

    /// The recorder's checkpoint over the first `size` entries.
    pub fn checkpoint(&self, size: usize) -> String {
        self.checkpoint_by(size, &self.recorder)
    }

    pub fn checkpoint_by(&self, size: usize, recorder: &str) -> String {
        let leaves = self.entries[..size].iter().map(Entry::leaf);
        checkpoint(self.state.ledger_id().unwrap().as_str(), leaves, recorder)
    }

    pub fn pin(&self) -> Options {
        Options { ledger_id: self.state.ledger_id().cloned(), ..Options::default() }
    }
}

fn governors() -> Value {
    [GINA, GUSTAV]
        .map(|name| json!({"key": public(name), "person": name.replace("user", "person"), "principal": name}))
        .into()
}

/// The policy of the story: the business owner alone agrees.
pub fn policy(max_seconds: u64) -> Value {
    json!({
        "type": "policy.published", "name": "base", "scope": {"on": "*"},
        "document": {
            "paths": [{"distinct_persons": true, "name": "owner", "path": {"capacity": "business_owner"}}],
            "tiers": [{"max_seconds": max_seconds, "tier": "low"}],
        },
    })
}

pub fn checkpoint(origin: &str, leaves: impl Iterator<Item = LeafHash>, recorder: &str) -> String {
    let tree: CompactRange = leaves.collect();
    Checkpoint::new(origin, tree.size(), tree.root()).unwrap().sign(&key(recorder)).unwrap().to_string()
}

pub fn join(lines: &[Vec<u8>]) -> Vec<u8> {
    lines.iter().flat_map(|line| [line, &b"\n"[..]].concat()).collect()
}

pub fn audit(bytes: impl Into<Vec<u8>>, notes: &[&str], options: &Options) -> Report {
    let checkpoints =
        notes.iter().map(|note| CheckpointFile { name: "note".into(), bytes: note.as_bytes().to_vec() });
    let options = Options { checkpoints: checkpoints.collect(), ..options.clone() };
    verify(&mut LedgerBytes::new(bytes), &options).unwrap()
}

/// Seq and code of the first fault.
pub fn fault(report: &Report) -> Option<(u64, String)> {
    assert_eq!(report.is_verified(), report.fault.is_none());
    report.fault.as_ref().map(|fault| (fault.seq, fault.code.to_string()))
}

pub fn at(seq: u64, code: &str) -> Option<(u64, String)> {
    Some((seq, code.to_owned()))
}

/// A folder of its own that goes when the test is over.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("countersign-audit-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}
