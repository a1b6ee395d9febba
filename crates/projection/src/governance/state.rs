//! The governance state, and what time alone does to it.

use std::sync::Arc;

use countersign_core::digest::{Digest, KeyId, StatementDigest, sha256};
use countersign_core::entry::Head;
use countersign_core::event::{Charter, KeyHolder, PrincipalKind};
use countersign_core::id::{LedgerId, LedgerName, Person, Principal};
use countersign_core::key::PublicKey;
use countersign_core::policy::MissedReview;
use countersign_core::time::Timestamp;
use countersign_core::wire::{KeyBytes, Sorted};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::book::Book;
use super::clauses::Clauses;
use super::ending::{EndCause, Ending};
use super::keyring::{KeyNo, Keyring};
use super::live::{Due, Exceptions, Grants, Requests};
use super::people::{People, PrincipalNo, hash_key};
use super::rights::Rights;
use super::stored::{Hash, Millis, Stored, instant};
use super::things::{ResourceNo, Things};
use crate::cow::CowVec;

/// How many entries back a head may lie that a statement says it saw.
pub const MAX_SEEN_AGE: u64 = 65_536;
/// Leaf hashes that are remembered: one more than the age, since a head of that age ends right before.
pub(crate) const REMEMBERED_LEAVES: u64 = MAX_SEEN_AGE + 1;
/// The longest time a request is open, in seconds.
pub const MAX_REQUEST_SECONDS: u64 = 30 * 24 * 3_600;
/// How long what has ended is remembered for the sake of what was open then.
pub(crate) const MEMORY_MILLIS: Millis = (MAX_REQUEST_SECONDS + 24 * 3_600) * 1_000;

/// The governance state: the fold of the judged entries so far, and nothing else.
///
/// Cloning takes constant time, so that a writer publishes a batch by cloning once; readers keep what they have.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    pub(crate) head: Head,
    pub(crate) recorded_at: Millis,
    pub(crate) live: Option<Live>,
    /// Grants that ended with the last entry, or with the time that passed before it.
    pub(crate) endings: Arc<[Ending]>,
}

/// Everything that exists once there is a genesis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Live {
    pub(crate) ledger: Ledger,
    pub(crate) rules: u64,
    /// Time of recording of the last entry that another than the recorder signed.
    pub(crate) authored_at: Millis,
    /// Leaf hashes by seq modulo their number.
    pub(crate) leaves: CowVec<Hash>,
    pub(crate) charter: CharterState,
    pub(crate) frozen: Option<Freeze>,
    /// Who may not freeze alone, and until when.
    pub(crate) overruled: Vec<(PrincipalNo, Millis)>,
    pub(crate) recovery: Option<Arc<PendingRecovery>>,
    pub(crate) people: People,
    pub(crate) keys: Keyring,
    pub(crate) rights: Rights,
    pub(crate) things: Things,
    pub(crate) book: Book,
    pub(crate) requests: Requests,
    pub(crate) grants: Grants,
    pub(crate) exceptions: Exceptions,
    /// What `book` and `things` resolve to, as far as it was asked.
    #[serde(skip)]
    pub(crate) clauses: Clauses,
}

/// The charter in force, resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CharterState {
    pub(crate) text: Arc<Stored<Charter>>,
    // All that follows is derived.
    #[serde(skip)]
    pub(crate) governors: Vec<(PrincipalNo, KeyNo)>,
    #[serde(skip)]
    pub(crate) recorder: (PrincipalNo, KeyNo),
    #[serde(skip)]
    pub(crate) recovery: Vec<(PrincipalNo, KeyNo)>,
}

impl CharterState {
    /// A charter with the numbers of whom and what it names, if all of them are known.
    pub(crate) fn of(text: Arc<Stored<Charter>>, people: &People, keys: &Keyring) -> Option<Self> {
        let seat = |name: &Principal, key: &KeyBytes| Some((people.find(name)?, keys.find(&key.key_id())?));
        let seats = |list: &Sorted<KeyHolder>| -> Option<Vec<(PrincipalNo, KeyNo)>> {
            list.iter().map(|holder| seat(&holder.principal, &holder.key)).collect()
        };
        let governors = seats(&text.governors)?;
        let recorder = seat(&text.recorder.principal, &text.recorder.key)?;
        let recovery = text.recovery.as_ref().map_or(Some(Vec::new()), |recovery| seats(&recovery.keys))?;
        Some(Self { governors, recorder, recovery, text })
    }

    pub(crate) fn is_governor(&self, no: PrincipalNo) -> bool {
        self.governors.iter().any(|(governor, _)| *governor == no)
    }

    pub(crate) fn is_recovery(&self, no: PrincipalNo) -> bool {
        self.recovery.iter().any(|(holder, _)| *holder == no)
    }

    pub(crate) fn names(&self, no: PrincipalNo) -> bool {
        self.is_governor(no) || self.is_recovery(no) || self.recorder.0 == no
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Freeze {
    pub(crate) by: Vec<PrincipalNo>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PendingRecovery {
    pub(crate) digest: Hash,
    pub(crate) seq: u64,
    pub(crate) due: Millis,
    pub(crate) charter: Stored<Charter>,
}

/// What time alone does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Grant(u32),
    Exception(Due),
    Request(Hash),
    Policies,
    Recovery,
    Overruled,
    Memory(Hash),
}

/// A ledger id in a snapshot.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ledger(pub(crate) LedgerId);

impl Serialize for Ledger {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.0.name(), self.0.genesis().as_bytes()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Ledger {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (name, genesis) = <(String, Hash)>::deserialize(deserializer)?;
        let name = LedgerName::new(&name).map_err(serde::de::Error::custom)?;
        Ok(Self(LedgerId::new(&name, StatementDigest::new(genesis))))
    }
}

impl Default for State {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    /// The state before genesis.
    #[must_use]
    pub fn new() -> Self {
        Self { head: Head::EMPTY, recorded_at: 0, live: None, endings: Arc::from([]) }
    }

    /// How many entries were folded, and the leaf hash of the last one.
    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }

    /// When the last entry was recorded.
    #[must_use]
    pub fn recorded_at(&self) -> Timestamp {
        instant(self.recorded_at).unwrap_or(Timestamp::MAX)
    }

    /// The ledger's identity, once there is a genesis.
    #[must_use]
    pub fn ledger_id(&self) -> Option<&LedgerId> {
        self.live.as_ref().map(|live| &live.ledger.0)
    }

    /// The rules version in force; 0 before genesis.
    #[must_use]
    pub fn rules(&self) -> u64 {
        self.live.as_ref().map_or(0, |live| live.rules)
    }

    /// The public key with this id, if the ledger ever admitted it, live or not, or an announced charter names it.
    ///
    /// Whether it may sign is judged; but a charter can take effect by time alone, right before the entry that its key signs.
    #[must_use]
    pub fn public_key(&self, id: &KeyId) -> Option<PublicKey> {
        let live = self.live.as_ref()?;
        if let Some(no) = live.keys.find(id) {
            return live.keys.record(no).public.decoded();
        }
        let announced = live.recovery.as_ref()?.charter.keys();
        let key = announced.into_iter().find(|key| key.key_id() == *id)?;
        PublicKey::accept(&key.0).ok()
    }

    /// The key under which the recorder signs checkpoints.
    #[must_use]
    pub fn recorder_key(&self) -> Option<PublicKey> {
        let live = self.live.as_ref()?;
        live.keys.record(live.charter.recorder.1).public.decoded()
    }

    /// How many governors must sign together, and how many there are.
    #[must_use]
    pub fn governors_quorum(&self) -> Option<(u64, u64)> {
        let charter = &self.live.as_ref()?.charter;
        Some((charter.text.quorum, charter.governors.len() as u64))
    }

    /// Grants that ended with the last entry, by it or by the time that passed before it.
    #[must_use]
    pub fn endings(&self) -> &[Ending] {
        &self.endings
    }

    /// SHA-256 of the state's snapshot: equal for equal histories, on every machine.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::new(sha256(&[&self.to_snapshot()]))
    }

    /// The state as bytes.
    #[must_use]
    pub fn to_snapshot(&self) -> Vec<u8> {
        let parts = (self.head.size, self.head.leaf.as_bytes(), self.recorded_at, &self.live);
        postcard::to_stdvec(&parts).expect("the state holds nothing that postcard can not write")
    }

    /// The state as it stands at `at` if no entry comes until then: what time ends has ended.
    #[must_use]
    pub fn at(&self, at: Timestamp) -> Self {
        let mut later = self.clone();
        if let Some(live) = &mut later.live {
            let mut endings = Vec::new();
            live.advance(at.millis(), self.head.size, &mut endings);
            later.endings = endings.into();
        }
        later
    }
}

impl Live {
    pub(crate) fn new(ledger: LedgerId, rules: u64, charter: CharterState) -> Self {
        let key = hash_key(ledger.genesis().as_bytes());
        Self {
            ledger: Ledger(ledger),
            rules,
            authored_at: 0,
            leaves: CowVec::new(),
            charter,
            frozen: None,
            overruled: Vec::new(),
            recovery: None,
            people: People::new(key),
            keys: Keyring::default(),
            rights: Rights::new(key),
            things: Things::new(key),
            book: Book::default(),
            requests: Requests::default(),
            grants: Grants::new(key),
            exceptions: Exceptions::default(),
            clauses: Clauses::default(),
        }
    }

    /// The policies, to be changed: what they resolved to is forgotten.
    pub(crate) fn book_mut(&mut self) -> &mut Book {
        self.clauses.forget();
        &mut self.book
    }

    /// Whether k governors still stand in for registrar, policy owner and second person.
    pub(crate) fn is_bootstrap(&self) -> bool {
        !self.book.opened
    }

    /// The leaf hash of the entry with this seq, as long as it is remembered; `size` is how many entries there are.
    pub(crate) fn leaf(&self, seq: u64, size: u64) -> Option<&Hash> {
        if seq >= size || size - seq > REMEMBERED_LEAVES {
            return None;
        }
        self.leaves.get(usize::try_from(seq % REMEMBERED_LEAVES).ok()?)
    }

    pub(crate) fn remember_leaf(&mut self, seq: u64, leaf: Hash) {
        let place = usize::try_from(seq % REMEMBERED_LEAVES).unwrap_or(0);
        match self.leaves.get_mut(place) {
            Some(slot) => *slot = leaf,
            None => self.leaves.push(leaf),
        }
    }

    /// What falls due next, and when. Of things due at one instant the first kind of [`Next`] goes first.
    fn next_due(&self) -> Option<(Millis, Next)> {
        let grant = self.grants.next_due().map(|(due, slot)| (due, Next::Grant(slot)));
        let exception = self.exceptions.due.first().map(|((due, what), ())| (*due, Next::Exception(*what)));
        let request = self.requests.next_due().map(|(due, digest)| (due, Next::Request(digest)));
        let scheduled = self.book.iter().filter_map(|(_, versions)| versions.scheduled.as_ref());
        let policy = scheduled.map(|next| (next.from, Next::Policies)).min();
        let recovery = self.recovery.as_ref().map(|pending| (pending.due, Next::Recovery));
        let overruled = self.overruled.iter().map(|(_, until)| (*until, Next::Overruled)).min();
        let memory = self.rights.next_due().map(|(due, id)| (due, Next::Memory(id)));
        [grant, exception, request, policy, recovery, overruled, memory].into_iter().flatten().min()
    }

    /// Whether something falls due by `at`.
    pub(crate) fn is_due(&self, at: Millis) -> bool {
        self.next_due().is_some_and(|(due, _)| due <= at)
    }

    /// Does what time alone does until `at`: what is due takes effect, in order of time.
    pub(crate) fn advance(&mut self, at: Millis, seq: u64, endings: &mut Vec<Ending>) {
        while let Some((due, next)) = self.next_due().filter(|(due, _)| *due <= at) {
            match next {
                Next::Grant(slot) => self.end_grant(slot, due, EndCause::Expired, endings),
                Next::Exception(what) => {
                    self.exceptions.due.remove(&(due, what));
                    match what {
                        Due::Personal(digest) => {
                            self.exceptions.personal.remove(&digest);
                        }
                        Due::Class(slot) => self.lapse(slot, due, endings),
                    }
                }
                Next::Request(digest) => self.close_request(&digest),
                Next::Policies => self.book_mut().promote(due),
                Next::Recovery => {
                    if let Some(pending) = self.recovery.take() {
                        self.apply_charter(&pending.charter, seq);
                    }
                }
                Next::Overruled => self.overruled.retain(|(_, until)| *until > due),
                Next::Memory(id) => self.rights.forget(&id),
            }
        }
    }

    /// The review date of a class passed: nothing new comes under it, and what is held ends where the class says so.
    fn lapse(&mut self, slot: u32, due: Millis, endings: &mut Vec<Ending>) {
        let Some(class) = self.exceptions.classes.get(slot).filter(|class| class.until == due) else {
            return;
        };
        match class.definition.missed_review {
            MissedReview::Flag => {}
            MissedReview::End => self.close_class(slot, due, endings),
        }
    }

    /// Ends a class with everything held under it.
    pub(crate) fn close_class(&mut self, slot: u32, at: Millis, endings: &mut Vec<Ending>) {
        let held: Vec<u32> =
            self.grants.iter().filter(|(_, grant)| grant.class == slot).map(|(grant, _)| grant).collect();
        for grant in held {
            self.end_grant(grant, at, EndCause::ClassClosed, endings);
        }
        if let Some(class) = self.exceptions.classes.remove(slot) {
            self.exceptions.due.remove(&(class.until, Due::Class(slot)));
        }
    }

    pub(crate) fn end_grant(&mut self, slot: u32, at: Millis, cause: EndCause, endings: &mut Vec<Ending>) {
        if let Some(grant) = self.grants.remove(slot, &self.people, &self.things) {
            let at = instant(at).unwrap_or(Timestamp::MAX);
            endings.push(Ending { grant: StatementDigest::new(grant.digest), at, cause });
            if let Some(exception) = grant.rare.and_then(|rare| rare.exception) {
                self.end_personal(&exception);
            }
        }
    }

    /// Forgets a personal exception; what rests on it must have ended before.
    pub(crate) fn end_personal(&mut self, digest: &Hash) {
        if let Some(personal) = self.exceptions.personal.remove(digest) {
            self.exceptions.due.remove(&(personal.until, Due::Personal(*digest)));
        }
    }

    /// Closes a request without a grant; its exception goes with it.
    pub(crate) fn close_request(&mut self, digest: &Hash) {
        if let Some(request) = self.take_request(digest)
            && let Some(exception) = request.exception
        {
            self.end_personal(&exception);
        }
    }

    pub(crate) fn take_request(&mut self, digest: &Hash) -> Option<Arc<super::live::Request>> {
        let request = self.requests.close(digest)?;
        for person in &request.counted {
            let left = self.people.open_requests.get(person).copied().unwrap_or(0).saturating_sub(1);
            if left == 0 {
                self.people.open_requests.remove(person);
            } else {
                self.people.open_requests.insert(*person, left);
            }
        }
        Some(request)
    }

    /// Ends a right, with the grants whose path declares that cascade.
    pub(crate) fn end_right(&mut self, id: &Hash, at: Millis, endings: &mut Vec<Ending>) {
        let Some(right) = self.rights.get(id).filter(|right| right.ended_at.is_none()) else { return };
        let cause = if right.basis.is_some() { EndCause::DelegationEnded } else { EndCause::OwnerGone };
        self.rights.end(id, at);
        let hit: Vec<u32> = self
            .grants
            .iter()
            .filter(|(_, grant)| grant.rare.as_ref().is_some_and(|rare| rare.parents.contains(id)))
            .map(|(slot, _)| slot)
            .collect();
        for slot in hit {
            self.end_grant(slot, at, cause, endings);
        }
    }

    pub(crate) fn end_key(&mut self, no: KeyNo, seq: u64) {
        let key = self.keys.record_mut(no);
        if key.ended.is_none() {
            key.ended = Some(seq);
            let owner = key.owner;
            self.people.record_mut(owner).keys.retain(|live| *live != no);
        }
    }

    /// Ends everything on a resource.
    pub(crate) fn retire_resource(&mut self, no: ResourceNo, at: Millis, endings: &mut Vec<Ending>) {
        let name = self.things.resource(no);
        let grants: Vec<u32> = self.grants.on(no).map(|(slot, _)| slot).collect();
        for slot in grants {
            self.end_grant(slot, at, EndCause::ResourceRetired, endings);
        }
        let requests: Vec<Hash> = self
            .requests
            .iter()
            .filter(|(_, request)| request.resource == no)
            .map(|(digest, _)| *digest)
            .collect();
        for digest in requests {
            self.close_request(&digest);
        }
        let rights: Vec<Hash> = self.rights.on(&(&name).into()).map(|(id, _)| *id).collect();
        for id in rights {
            self.end_right(&id, at, endings);
        }
        self.clauses.forget();
        self.things.retire(no);
    }

    /// Ends a principal with everything it has.
    pub(crate) fn depart(&mut self, no: PrincipalNo, at: Millis, seq: u64, endings: &mut Vec<Ending>) {
        for key in self.people.record(no).keys.clone() {
            self.end_key(key, seq);
        }
        let mut grants: Vec<_> =
            self.grants.of(no).map(|(slot, grant)| (grant.resource, grant.role, slot)).collect();
        grants.sort_unstable();
        for (_, _, slot) in grants {
            self.end_grant(slot, at, EndCause::SubjectDeparted, endings);
        }
        let requests: Vec<Hash> = self
            .requests
            .iter()
            .filter(|(_, request)| request.requester == no || request.subject == no)
            .map(|(digest, _)| *digest)
            .collect();
        for digest in requests {
            self.close_request(&digest);
        }
        let rights: Vec<Hash> = self
            .rights
            .iter()
            .filter(|(_, right)| {
                right.holder == no || right.basis.as_ref().is_some_and(|(_, delegator)| *delegator == no)
            })
            .map(|(id, _)| *id)
            .collect();
        for id in rights {
            self.end_right(&id, at, endings);
        }
        self.people.record_mut(no).departed = true;
    }

    /// Distrusts a key from `from` on, with the keys and rights that rest on it from there.
    pub(crate) fn compromise(
        &mut self,
        no: KeyNo,
        from: u64,
        at: Millis,
        seq: u64,
        endings: &mut Vec<Ending>,
    ) {
        let mut found = vec![(no, from)];
        while let Some((no, from)) = found.pop() {
            let known = self.keys.record(no).distrusted_from;
            if known.is_some_and(|known| known <= from) {
                continue;
            }
            self.keys.record_mut(no).distrusted_from = Some(from);
            self.end_key(no, seq);
            let resting = self
                .keys
                .iter()
                .filter(|(_, key)| key.admitted >= from && key.rests_on.contains(&no))
                .map(|(other, key)| (other, key.admitted + 1));
            found.extend(resting.collect::<Vec<_>>());
            let rights: Vec<Hash> = self
                .rights
                .iter()
                .filter(|(_, right)| right.seq >= from && right.signed_by.contains(&no))
                .map(|(id, _)| *id)
                .collect();
            for id in rights {
                self.end_right(&id, at, endings);
            }
        }
    }

    /// Puts a charter in force. Principals it names hold exactly the keys it names; who is no longer named keeps none.
    pub(crate) fn apply_charter(&mut self, charter: &Stored<Charter>, seq: u64) {
        use countersign_core::event::PrincipalKind::{Automation, Human};
        let before: Vec<PrincipalNo> = self
            .charter
            .governors
            .iter()
            .chain(&self.charter.recovery)
            .chain([&self.charter.recorder])
            .map(|(no, _)| *no)
            .collect();
        let recovery = charter.recovery.iter().flat_map(|recovery| recovery.keys.iter());
        for holder in charter.governors.iter().chain(recovery) {
            self.seat(&holder.principal, &holder.key, Human, std::slice::from_ref(&holder.person), seq);
        }
        let named = &charter.recorder;
        self.seat(&named.principal, &named.key, Automation, named.controllers.as_slice(), seq);
        let text = Arc::new(Stored((**charter).clone()));
        self.charter =
            CharterState::of(text, &self.people, &self.keys).expect("everyone it names has a seat");
        for no in before {
            if !self.charter.names(no) {
                for key in self.people.record(no).keys.clone() {
                    self.end_key(key, seq);
                }
            }
        }
    }

    /// Gives a principal that the charter names exactly the key that it names.
    fn seat(&mut self, name: &Principal, key: &KeyBytes, kind: PrincipalKind, persons: &[Person], seq: u64) {
        let no = match self.people.find(name) {
            Some(no) => no,
            None => self.people.register(name, kind, persons),
        };
        let key_no = match self.keys.find(&key.key_id()) {
            Some(key_no) => key_no,
            None => self.keys.add(key.0, key.key_id(), no, seq, Vec::new(), Vec::new()),
        };
        for other in self.people.record(no).keys.clone() {
            if other != key_no {
                self.end_key(other, seq);
            }
        }
        let live = self.keys.record(key_no).ended.is_none();
        let record = self.people.record_mut(no);
        record.had_key = true;
        if live && !record.keys.contains(&key_no) {
            record.keys.push(key_no);
        }
    }
}
