//! What an admitted statement changes, and the fold that applies it. Total: every change was judged.

use std::sync::Arc;

use countersign_core::event::{Charter, EventKind, PrincipalKind, Tier};
use countersign_core::id::{Label, LedgerId, Person, Principal, Process, Resource, Role};
use countersign_core::wire::KeyBytes;

use super::book::Policy;
use super::ending::EndCause;
use super::judge::JudgedEntry;
use super::keyring::KeyNo;
use super::live::{Approval, Class, Due, Grant, Personal, Rare, Request};
use super::people::PrincipalNo;
use super::rights::Right;
use super::state::{CharterState, Freeze, Live, PendingRecovery, State};
use super::stored::{Hash, Millis, NO_SLOT, Stored};
use super::things::{Facts, ResourceNo};

/// One statement's effect.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// A fact that changes nothing in this state.
    Nothing,
    Open {
        ledger: LedgerId,
        rules: u64,
        charter: Charter,
    },
    Amend {
        charter: Charter,
    },
    Upgrade {
        rules: u64,
    },
    Freeze {
        by: Vec<PrincipalNo>,
    },
    Thaw {
        overruled_until: Millis,
    },
    Propose {
        due: Millis,
        charter: Charter,
    },
    Veto,
    Register {
        principal: Principal,
        kind: PrincipalKind,
        persons: Vec<Person>,
    },
    Reassign {
        no: PrincipalNo,
        persons: Vec<Person>,
    },
    Depart {
        no: PrincipalNo,
    },
    Enrol {
        owner: PrincipalNo,
        key: KeyBytes,
        enrollers: Vec<PrincipalNo>,
        rests_on: Vec<KeyNo>,
    },
    Retire {
        key: KeyNo,
    },
    Compromise {
        key: KeyNo,
        from: u64,
    },
    Assign {
        right: Right,
    },
    EndRight {
        id: Hash,
    },
    PutResource {
        resource: Resource,
        tier: Tier,
        environment: Option<Label>,
        process: Option<Process>,
        governed_by: Option<Resource>,
    },
    RetireResource {
        no: ResourceNo,
    },
    Publish {
        policy: Box<Policy>,
    },
    Unpublish {
        name: Label,
        digest: Hash,
    },
    Request {
        request: Request,
    },
    Approve {
        request: Hash,
        approval: Approval,
    },
    WithdrawApproval {
        approval: Hash,
    },
    CloseRequest {
        request: Hash,
    },
    Grant {
        grant: NewGrant,
    },
    Revoke {
        slot: u32,
    },
    Permit {
        digest: Hash,
        personal: Personal,
    },
    OpenClass {
        class: Class,
        slot: Option<u32>,
    },
    EndPersonal {
        digest: Hash,
    },
    CloseClass {
        slot: u32,
    },
}

/// A grant before it has a slot.
#[derive(Debug, Clone)]
pub(crate) struct NewGrant {
    pub(crate) request: Hash,
    pub(crate) replaces: Option<u32>,
    pub(crate) subject: PrincipalNo,
    pub(crate) resource: ResourceNo,
    pub(crate) role: Role,
    pub(crate) until: Millis,
    pub(crate) class: Option<u32>,
    pub(crate) rare: Option<Rare>,
}

impl State {
    /// Folds the entry that was judged against this very state. It can not fail.
    ///
    /// # Panics
    /// If the entry was judged against another state: that is a mistake of the caller's, never of the entry's.
    pub fn fold(&mut self, judged: &JudgedEntry) {
        let entry = judged.entry();
        assert!(
            entry.seq() == self.head.size && entry.prev() == self.head.leaf,
            "an entry is folded by the state that it was judged against"
        );
        let (seq, at) = (entry.seq(), entry.recorded_at().millis());
        let digest = *entry.signed().digest().as_bytes();
        let mut endings = Vec::new();
        let live = if let Change::Open { ledger, rules, charter } = &judged.change {
            let empty = CharterState {
                text: Arc::new(Stored(charter.clone())),
                governors: Vec::new(),
                recorder: (0, 0),
                recovery: Vec::new(),
            };
            let mut live = Live::new(ledger.clone(), *rules, empty);
            live.apply_charter(&Stored(charter.clone()), seq);
            self.live.insert(live)
        } else {
            let Some(live) = self.live.as_mut() else {
                unreachable!("INVARIANT: only genesis is admitted before genesis");
            };
            live.advance(at, seq, &mut endings);
            live.apply(&judged.change, digest, seq, at, entry.leaf().as_bytes(), &mut endings);
            live
        };
        live.remember_leaf(seq, *entry.leaf().as_bytes());
        let statement = entry.statement();
        if let Some(key) = live.keys.find(&statement.key) {
            let owner = live.keys.record(key).owner;
            live.keys.record_mut(key).serials.record(statement.serial);
            if owner != live.charter.recorder.0 || statement.event.kind() == EventKind::LedgerOpened {
                live.authored_at = at;
            }
        }
        self.head = entry.head();
        self.recorded_at = at;
        self.endings = endings.into();
    }
}

impl Live {
    fn apply(
        &mut self,
        change: &Change,
        digest: Hash,
        seq: u64,
        at: Millis,
        leaf: &Hash,
        endings: &mut Vec<super::ending::Ending>,
    ) {
        match change {
            Change::Nothing | Change::Open { .. } => {}
            Change::Amend { charter } => self.apply_charter(&Stored(charter.clone()), seq),
            Change::Upgrade { rules } => self.rules = *rules,
            Change::Freeze { by } => self.frozen = Some(Freeze { by: by.clone() }),
            Change::Thaw { overruled_until } => {
                for no in self.frozen.take().into_iter().flat_map(|freeze| freeze.by) {
                    self.overruled.retain(|(known, _)| *known != no);
                    self.overruled.push((no, *overruled_until));
                }
            }
            Change::Propose { due, charter } => {
                let charter = Stored(charter.clone());
                self.recovery = Some(Arc::new(PendingRecovery { digest, seq, due: *due, charter }));
            }
            Change::Veto => self.recovery = None,
            Change::Register { principal, kind, persons } => {
                self.people.register(principal, *kind, persons);
            }
            Change::Reassign { no, persons } => {
                self.people.change_persons(*no, persons, at, at.saturating_sub(super::state::MEMORY_MILLIS));
            }
            Change::Depart { no } => self.depart(*no, at, seq, endings),
            Change::Enrol { owner, key, enrollers, rests_on } => {
                let no = self.keys.add(key.0, key.key_id(), *owner, seq, enrollers.clone(), rests_on.clone());
                let record = self.people.record_mut(*owner);
                record.had_key = true;
                record.keys.push(no);
            }
            Change::Retire { key } => self.end_key(*key, seq),
            Change::Compromise { key, from } => self.compromise(*key, *from, at, seq, endings),
            Change::Assign { right } => self.rights.insert(digest, right.clone()),
            Change::EndRight { id } => self.end_right(id, at, endings),
            Change::PutResource { resource, tier, environment, process, governed_by } => {
                let facts = Facts {
                    tier: *tier,
                    environment: environment.as_ref(),
                    process: process.as_ref(),
                    governed_by: governed_by.as_ref(),
                };
                // A new one too: clones may give its number to another.
                self.clauses.forget();
                self.things.put(resource, facts);
            }
            Change::RetireResource { no } => self.retire_resource(*no, at, endings),
            Change::Publish { policy } => {
                self.book.opened = true;
                let policy = Arc::new(Policy { leaf: *leaf, ..(**policy).clone() });
                let versions = self.book_mut().entry(&policy.event.name.clone());
                if policy.from <= at {
                    versions.scheduled = None;
                    versions.current = Some(policy);
                } else {
                    versions.scheduled = Some(policy);
                }
            }
            Change::Unpublish { name, digest } => {
                let versions = self.book_mut().entry(name);
                for version in [&mut versions.current, &mut versions.scheduled] {
                    version.take_if(|policy| policy.digest == *digest);
                }
                self.book.remove_if_empty(name);
            }
            Change::Request { request } => {
                self.people.count_request(&request.counted);
                self.requests.insert(digest, Request { leaf: *leaf, ..request.clone() });
            }
            Change::Approve { request, approval } => self.requests.approve(request, approval.clone()),
            Change::WithdrawApproval { approval } => self.requests.withdraw_approval(approval),
            Change::CloseRequest { request } => self.close_request(request),
            Change::Grant { grant } => {
                let request = self.take_request(&grant.request);
                let unused = request.and_then(|request| request.exception);
                let used = grant.rare.as_ref().and_then(|rare| rare.exception);
                if let Some(exception) = unused.filter(|exception| Some(*exception) != used) {
                    self.end_personal(&exception);
                }
                if let Some(slot) = grant.replaces {
                    self.end_grant(slot, at, EndCause::Replaced, endings);
                }
                let role = self.grants.roles.intern(grant.role.as_str());
                let grant = Grant {
                    digest,
                    seq,
                    until: grant.until,
                    subject: grant.subject,
                    resource: grant.resource,
                    role,
                    class: grant.class.unwrap_or(NO_SLOT),
                    rare: grant.rare.clone().map(Box::new),
                };
                self.grants.insert(grant, &self.people, &self.things);
            }
            Change::Revoke { slot } => self.end_grant(*slot, at, EndCause::Revoked, endings),
            Change::Permit { digest, personal } => {
                self.exceptions.due.insert((personal.until, Due::Personal(*digest)), ());
                self.exceptions.personal.insert(*digest, Arc::new(personal.clone()));
                if let Some(request) = self.requests.get_mut(&personal.request) {
                    request.exception = Some(*digest);
                }
            }
            Change::OpenClass { class, slot } => {
                let slot = match slot
                    .and_then(|slot| self.exceptions.classes.get_mut(slot).map(|old| (slot, old)))
                {
                    Some((slot, old)) => {
                        let before = std::mem::replace(old, class.clone());
                        self.exceptions.due.remove(&(before.until, Due::Class(slot)));
                        slot
                    }
                    None => self.exceptions.classes.insert(class.clone()),
                };
                self.exceptions.due.insert((class.until, Due::Class(slot)), ());
            }
            Change::EndPersonal { digest } => {
                let resting = self
                    .grants
                    .iter()
                    .find(|(_, grant)| {
                        grant.rare.as_ref().is_some_and(|rare| rare.exception.as_ref() == Some(digest))
                    })
                    .map(|(slot, _)| slot);
                match resting {
                    Some(slot) => self.end_grant(slot, at, EndCause::ExceptionEnded, endings),
                    None => {
                        let request = self.exceptions.personal.get(digest).map(|personal| personal.request);
                        if let Some(open) = request.and_then(|request| self.requests.get_mut(&request)) {
                            open.exception = None;
                        }
                        self.end_personal(digest);
                    }
                }
            }
            Change::CloseClass { slot } => self.close_class(*slot, at, endings),
        }
    }
}
