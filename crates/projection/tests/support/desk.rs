//! A ledger and, beside it, the naive model of what was admitted. Every statement is judged by both.

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign_core::digest::{KeyId, LeafHash, StatementDigest};
use countersign_core::entry::Entry;
use countersign_core::event::*;
use countersign_core::id::*;
use countersign_core::statement::{Seen, SignedStatement, Statement, VerifiedStatement, Version};
use countersign_core::time::Timestamp;
use countersign_projection::governance::{RefusalCode, State, judge};

use super::make::*;
use super::model::{Model, Said};
use super::order::comes_before;
use super::rules::{Submitted, broken};

/// How often each verdict was given.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    pub admitted: u64,
    pub refused: BTreeMap<RefusalCode, u64>,
    /// Refusals where the model finds exactly one rule broken, so that the code is compared too.
    pub exact: u64,
    /// Refusals where it finds several, so that their order is compared with docs/rules.md.
    pub ordered: u64,
}

impl Tally {
    pub fn refusals(&self) -> u64 {
        self.refused.values().sum()
    }

    pub fn add(&mut self, other: &Self) {
        self.admitted += other.admitted;
        self.exact += other.exact;
        self.ordered += other.ordered;
        for (code, count) in &other.refused {
            *self.refused.entry(*code).or_default() += count;
        }
    }
}

/// A statement to be made, with everything about its envelope that a test may bend.
#[derive(Debug, Clone)]
pub struct Draft {
    pub author: String,
    pub cosigners: Vec<String>,
    pub event: Event,
    /// The label of the author's signing key.
    pub key: String,
    /// Labels of all keys that sign.
    pub signed_by: Vec<String>,
    pub issued_at: u64,
    pub seen: Option<(LeafHash, u64)>,
    pub serial: u64,
    pub ledger: Option<LedgerRef>,
}

/// A ledger in the making.
#[derive(Clone)]
pub struct Desk {
    pub state: State,
    pub model: Model,
    /// The recorder's clock.
    pub now: u64,
    /// Which keys each principal signs with: the labels of the live ones, the preferred one last.
    pub keys: BTreeMap<String, Vec<String>>,
    pub serial: u64,
    pub tally: Tally,
    /// Whether to sign for real; if not, signatures are taken on trust.
    pub real: bool,
    /// Whether the model judges too; genesis and the longest histories go without.
    pub compared: bool,
    pub entries: Vec<Entry>,
    pub keep_entries: bool,
}

impl Desk {
    pub fn new(now: &str) -> Self {
        let now: Timestamp = now.parse().unwrap();
        Self {
            state: State::new(),
            model: Model::default(),
            now: now.millis(),
            keys: BTreeMap::new(),
            serial: 0,
            tally: Tally::default(),
            real: false,
            compared: true,
            entries: Vec::new(),
            keep_entries: false,
        }
    }

    pub fn at(&self) -> Timestamp {
        instant(self.now)
    }

    pub fn pass(&mut self, seconds: u64) {
        self.now += seconds * 1_000;
    }

    /// The label of a key that the principal can sign with: a live one, else its first.
    pub fn key_of(&self, name: &str) -> String {
        let known = self.keys.get(name);
        let live = known.and_then(|labels| {
            labels.iter().rev().find(|label| self.model.key(&key_id(label)).is_some_and(|key| !key.ended))
        });
        live.cloned().unwrap_or_else(|| name.to_owned())
    }

    /// A statement in its usual envelope.
    pub fn draft(&mut self, author: &str, cosigners: &[&str], event: impl Into<Event>) -> Draft {
        let event = event.into();
        self.serial += 1;
        let mut signed_by: Vec<String> =
            [author].iter().chain(cosigners).map(|name| self.key_of(name)).collect();
        match &event {
            Event::KeyEnrolled(new) => {
                // Labels of new keys are those that a test derived them from.
                signed_by.push(self.label_of(&new.key.key_id()).unwrap_or_else(|| new.principal.to_string()));
            }
            Event::CharterAmended(new) => signed_by.extend(self.proofs(&new.charter)),
            Event::RecoveryProposed(new) => signed_by.extend(self.proofs(&new.amendment)),
            _ => {}
        }
        signed_by.sort();
        signed_by.dedup();
        let head = self.state.head();
        Draft {
            author: author.to_owned(),
            cosigners: cosigners.iter().map(|name| (*name).to_owned()).collect(),
            key: self.key_of(author),
            signed_by,
            issued_at: self.now,
            seen: (head.size > 0).then_some((head.leaf, head.size)),
            serial: self.serial,
            ledger: None,
            event,
        }
    }

    fn label_of(&self, id: &KeyId) -> Option<String> {
        self.keys.values().flatten().find(|label| key_id(label) == *id).cloned()
    }

    fn proofs(&self, charter: &Charter) -> Vec<String> {
        charter
            .principals()
            .into_iter()
            .filter(|(_, key)| self.model.key(&key.key_id()).is_none())
            .map(|(name, key)| self.label_of(&key.key_id()).unwrap_or_else(|| name.to_string()))
            .collect()
    }

    /// Remembers the label from which a key was derived, so that drafts can sign with it.
    pub fn learn(&mut self, name: &str, label: &str) {
        let labels = self.keys.entry(name.to_owned()).or_default();
        labels.retain(|known| known != label);
        labels.push(label.to_owned());
    }

    /// States a draft: both judge, and have to agree.
    pub fn put(&mut self, draft: Draft) -> Result<StatementDigest, RefusalCode> {
        let ledger = draft.ledger.clone().unwrap_or_else(|| match (&draft.event, self.state.ledger_id()) {
            (Event::LedgerOpened(event), _) => LedgerRef::Name(event.name.clone()),
            (_, Some(id)) => LedgerRef::Id(id.clone()),
            (_, None) => LedgerRef::Name(LedgerName::new("none").unwrap()),
        });
        let statement = Statement {
            author: principal(&draft.author),
            cosigners: draft.cosigners.iter().map(|name| principal(name)).collect(),
            issued_at: instant(draft.issued_at),
            key: key_id(&draft.key),
            ledger,
            seen: draft.seen.map(|(leaf, size)| Seen { leaf, size }),
            serial: draft.serial,
            v: Version,
            event: draft.event.clone(),
        };
        let mut signed_by: Vec<KeyId> = draft.signed_by.iter().map(|label| key_id(label)).collect();
        signed_by.sort();
        signed_by.dedup();
        let signed = if self.real { sign(statement, &draft) } else { assume_signed(statement, &signed_by) };
        let digest = signed.digest();
        let verified = if self.real {
            signed.verify(|id| self.state.public_key(id)).unwrap()
        } else {
            VerifiedStatement::assume_verified(signed)
        };
        let at = self.at();
        let verdict = judge(&self.state, &verified, at);
        if self.compared && self.state.head().size > 0 {
            self.model.settle(self.now);
            let submitted =
                Submitted { statement: verified.statement(), digest, signed_by: &signed_by, at: self.now };
            let broken = broken(&self.model, &submitted);
            let agree = match &verdict {
                Ok(_) => broken.is_empty(),
                Err(refusal) => broken.contains(&refusal.code),
            };
            assert!(
                agree,
                "judge and model differ at entry {} ({at}):\n{draft:#?}\njudge: {:?}\nmodel: {broken:?}",
                self.state.head().size,
                verdict.as_ref().map(|_| "admitted"),
            );
            if let Err(refusal) = &verdict {
                let kind = draft.event.kind();
                let earlier = comes_before(kind, refusal.code, &broken);
                assert!(
                    earlier.is_none(),
                    "docs/rules.md has {earlier:?} before {} of {kind}, and both rules are broken:\n{draft:#?}",
                    refusal.code,
                );
                self.tally.exact += u64::from(broken.len() == 1);
                self.tally.ordered += u64::from(broken.len() > 1);
            }
        }
        match verdict {
            Ok(admitted) => {
                let judged = admitted.seal().unwrap();
                self.state.fold(&judged);
                self.tally.admitted += 1;
                let entry = judged.entry();
                if self.compared {
                    self.model.apply(Said {
                        seq: entry.seq(),
                        at: self.now,
                        digest,
                        leaf: entry.leaf(),
                        statement: Arc::new(verified.statement().clone()),
                        signed_by,
                    });
                }
                if self.keep_entries {
                    self.entries.push(entry.clone());
                }
                Ok(digest)
            }
            Err(refusal) => {
                *self.tally.refused.entry(refusal.code).or_default() += 1;
                Err(refusal.code)
            }
        }
    }

    /// States something in its usual envelope.
    pub fn say(
        &mut self,
        author: &str,
        cosigners: &[&str],
        event: impl Into<Event>,
    ) -> Result<StatementDigest, RefusalCode> {
        let draft = self.draft(author, cosigners, event);
        self.put(draft)
    }

    /// States what has to be admitted.
    pub fn must(&mut self, author: &str, cosigners: &[&str], event: impl Into<Event>) -> StatementDigest {
        let event = event.into();
        let shown = format!("{event:?}");
        self.say(author, cosigners, event)
            .unwrap_or_else(|code| panic!("refused {code}: {author}, {cosigners:?}: {shown}"))
    }
}

fn sign(statement: Statement, draft: &Draft) -> SignedStatement {
    let mut signed = statement.prepare().unwrap();
    let mut labels = draft.signed_by.clone();
    labels.sort();
    labels.dedup();
    for label in labels {
        signed.cosign(&secret(&label)).unwrap();
    }
    signed
}

/// The statement as if these keys had signed it, by way of its bytes, so that it was read strictly.
fn assume_signed(statement: Statement, signed_by: &[KeyId]) -> SignedStatement {
    let prepared = statement.prepare().unwrap();
    let nothing = "A".repeat(86) + "==";
    let parts: Vec<String> =
        signed_by.iter().map(|id| format!("{{\"keyid\":\"{id}\",\"sig\":\"{nothing}\"}}")).collect();
    let mut bytes = format!("{{\"signatures\":[{}],\"statement\":", parts.join(",")).into_bytes();
    bytes.extend_from_slice(prepared.bytes());
    bytes.extend_from_slice(b",\"v\":1}");
    SignedStatement::parse(&bytes).unwrap()
}
