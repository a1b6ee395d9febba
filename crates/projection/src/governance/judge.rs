//! The door: envelope, then the rules of the event's area, then the change that the fold applies.

use std::borrow::Cow;

use countersign_core::digest::StatementDigest;
use countersign_core::entry::Entry;
use countersign_core::event::{Capacity, Event, EventKind};
use countersign_core::fault::Fault;
use countersign_core::id::{LedgerRef, Principal, Resource};
use countersign_core::statement::{SignedStatement, Statement, VerifiedStatement};
use countersign_core::time::Timestamp;

use super::change::Change;
use super::keyring::KeyNo;
use super::path::intersect;
use super::people::{PersonNo, PrincipalNo};
use super::refusal::{Refusal, RefusalCode};
use super::rights::Right;
use super::state::{Live, MAX_SEEN_AGE, State};
use super::stored::{Hash, Millis};
use super::things::ResourceNo;

/// The rules version that this build judges by.
pub const RULES: u64 = 1;

/// How much later than its recording a statement may claim to be issued, in seconds.
pub const MAX_AHEAD_SECONDS: u64 = 5 * 60;
/// From issue to recording, in seconds: an ordinary statement.
pub const MAX_LAG_SECONDS: u64 = 3_600;
/// From issue to recording, in seconds: a decision.
pub const MAX_DECISION_LAG_SECONDS: u64 = 72 * 3_600;
/// From issue to recording, in seconds: with cosigners, or only removing power.
pub const MAX_COSIGNED_LAG_SECONDS: u64 = 30 * 24 * 3_600;
/// How far an entry of the recorder's own may move time past the last one of another author, in seconds.
pub const MAX_RECORDER_DRIFT_SECONDS: u64 = 24 * 3_600;

/// A statement that [`judge`] admitted against one state.
#[derive(Debug, Clone)]
pub struct Admitted {
    statement: VerifiedStatement,
    recorded_at: Timestamp,
    head: countersign_core::entry::Head,
    change: Change,
}

impl Admitted {
    /// Puts the statement behind the head of the state that it was judged against.
    ///
    /// # Errors
    /// `line_too_long` where the entry would be too long.
    pub fn seal(self) -> Result<JudgedEntry, Fault> {
        let entry = Entry::seal(self.head, self.recorded_at, self.statement.signed())?;
        Ok(JudgedEntry { entry, change: self.change })
    }

    /// Takes an entry that was read, if it carries this statement at this place and time; none otherwise.
    #[must_use]
    pub fn confirm(self, entry: Entry) -> Option<JudgedEntry> {
        let same = entry.seq() == self.head.size
            && entry.prev() == self.head.leaf
            && entry.recorded_at() == self.recorded_at
            && entry.signed().digest() == self.statement.digest();
        same.then_some(JudgedEntry { entry, change: self.change })
    }
}

/// An entry whose statement [`judge`] admitted at its place. Only the state that it was judged against can fold it, and nothing else
/// makes one:
///
/// ```compile_fail,E0451
/// use countersign_core::entry::Entry;
/// use countersign_projection::governance::JudgedEntry;
///
/// fn forged(entry: Entry, judged: JudgedEntry) -> JudgedEntry {
///     JudgedEntry { entry, ..judged }
/// }
/// ```
#[derive(Debug, Clone)]
pub struct JudgedEntry {
    entry: Entry,
    pub(crate) change: Change,
}

impl JudgedEntry {
    /// The entry.
    #[must_use]
    pub fn entry(&self) -> &Entry {
        &self.entry
    }
}

/// Decides whether a statement may be recorded at `recorded_at` behind the state's head. Pure and total: the same inputs
/// give the same verdict on every machine.
///
/// # Errors
/// The first rule that the statement breaks.
pub fn judge(
    state: &State,
    statement: &VerifiedStatement,
    recorded_at: Timestamp,
) -> Result<Admitted, Refusal> {
    let admitted = |change| Admitted { statement: statement.clone(), recorded_at, head: state.head, change };
    check_time(state, recorded_at)?;
    let Some(now) = effective(state, recorded_at) else {
        return judge_genesis(statement.signed(), recorded_at).map(admitted);
    };
    let context = Context::new(&now, state.head.size, statement.signed(), recorded_at)?;
    context.decide().map(admitted)
}

/// Checks the envelope alone: ledger, time order, serial, `seen`, set of signers. [`judge`] checks it too; an auditor asks for it
/// before looking at the signatures themselves, to name the first fault.
///
/// # Errors
/// The first fault.
pub fn check_envelope(
    state: &State,
    signed: &SignedStatement,
    recorded_at: Timestamp,
) -> Result<(), Refusal> {
    check_time(state, recorded_at)?;
    match effective(state, recorded_at) {
        None => genesis(signed).map(drop),
        Some(now) => Context::new(&now, state.head.size, signed, recorded_at).map(drop),
    }
}

fn check_time(state: &State, recorded_at: Timestamp) -> Result<(), Refusal> {
    if recorded_at.millis() < state.recorded_at {
        return refuse(RefusalCode::TimeBackwards, "recorded before the entry before it");
    }
    Ok(())
}

/// The state as it stands at the moment of recording.
fn effective(state: &State, at: Timestamp) -> Option<Cow<'_, Live>> {
    let live = state.live.as_ref()?;
    if !live.is_due(at.millis()) {
        return Some(Cow::Borrowed(live));
    }
    let mut later = live.clone();
    later.advance(at.millis(), state.head.size, &mut Vec::new());
    Some(Cow::Owned(later))
}

pub(crate) fn refuse<T>(code: RefusalCode, detail: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::new(code, detail))
}

/// Refuses unless `holds`. The detail is put into words only then: nearly every rule is kept, and most details are long.
pub(crate) fn ensure(holds: bool, code: RefusalCode, detail: impl std::fmt::Display) -> Result<(), Refusal> {
    if holds { Ok(()) } else { refuse(code, detail.to_string()) }
}

fn genesis(signed: &SignedStatement) -> Result<&countersign_core::event::LedgerOpened, Refusal> {
    let statement = signed.statement();
    let (Event::LedgerOpened(event), LedgerRef::Name(name)) = (&statement.event, &statement.ledger) else {
        return refuse(RefusalCode::Genesis, "the first entry opens the ledger under its bare name");
    };
    ensure(
        event.rules <= RULES,
        RefusalCode::NeedsRules,
        format_args!("genesis names rules {}, this build knows {RULES}", event.rules),
    )?;
    let charter = event.charter();
    let first = event.governors.iter().next();
    let fits =
        first.is_some_and(|first| first.principal == statement.author && first.key.key_id() == statement.key);
    ensure(
        name == &event.name && fits && statement.seen.is_none() && event.rules == RULES,
        RefusalCode::Genesis,
        "genesis is by the first governor, under the name it gives, and saw nothing before",
    )?;
    let mut others: Vec<&Principal> = charter
        .principals()
        .iter()
        .map(|(principal, _)| *principal)
        .filter(|name| **name != statement.author)
        .collect();
    others.sort();
    let mut cosigners: Vec<&Principal> = statement.cosigners.iter().collect();
    cosigners.sort();
    ensure(
        others == cosigners,
        RefusalCode::SignerSet,
        "everyone else whom the charter names cosigns genesis",
    )?;
    let mut wanted: Vec<_> = charter.keys().iter().map(|key| key.key_id()).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let mut signed_by: Vec<_> = signed.signatures().iter().map(|part| part.keyid).collect();
    signed_by.sort_unstable();
    if let Some(missing) = wanted.iter().find(|key| !signed_by.contains(key)) {
        return refuse(RefusalCode::NoPossession, format!("key {missing} did not sign"));
    }
    ensure(
        wanted == signed_by,
        RefusalCode::SignerSet,
        "a signature by a key that the charter does not name",
    )?;
    Ok(event)
}

fn judge_genesis(signed: &SignedStatement, recorded_at: Timestamp) -> Result<Change, Refusal> {
    let event = genesis(signed)?;
    check_skew(signed.statement(), recorded_at, MAX_COSIGNED_LAG_SECONDS)?;
    super::charter::check_alone(&event.charter())?;
    let ledger = countersign_core::id::LedgerId::new(&event.name, signed.digest());
    Ok(Change::Open { ledger, rules: event.rules, charter: event.charter() })
}

fn check_skew(statement: &Statement, at: Timestamp, max_lag: u64) -> Result<(), Refusal> {
    let issued = statement.issued_at;
    if issued > at.saturating_plus_seconds(MAX_AHEAD_SECONDS) {
        return refuse(RefusalCode::Postdated, format!("issued {issued}, recorded {at}"));
    }
    ensure(
        at <= issued.saturating_plus_seconds(max_lag),
        RefusalCode::Backdated,
        format_args!("issued {issued}, recorded {at}: more than {max_lag} s later"),
    )
}

/// Everything that rules look at: the state at the moment of recording, the statement, and its signers resolved.
pub(crate) struct Context<'a> {
    pub(crate) live: &'a Live,
    pub(crate) signed: &'a SignedStatement,
    pub(crate) statement: &'a Statement,
    pub(crate) at: Timestamp,
    pub(crate) now: Millis,
    pub(crate) seq: u64,
    pub(crate) author: PrincipalNo,
    pub(crate) author_key: KeyNo,
    pub(crate) cosigners: Vec<PrincipalNo>,
    /// The keys of author and cosigners.
    pub(crate) keys: Vec<KeyNo>,
}

impl<'a> Context<'a> {
    fn new(live: &'a Live, seq: u64, signed: &'a SignedStatement, at: Timestamp) -> Result<Self, Refusal> {
        let statement = signed.statement();
        // Before everything else of the envelope: a second genesis names keys that are enrolled already.
        if matches!(statement.event, Event::LedgerOpened(_)) {
            return refuse(RefusalCode::Genesis, "a ledger is opened once");
        }
        ensure(
            live.rules == RULES,
            RefusalCode::NeedsRules,
            format_args!("rules {} are in force, this build knows {RULES}", live.rules),
        )?;
        match &statement.ledger {
            LedgerRef::Id(id) if *id == live.ledger.0 => {}
            LedgerRef::Id(_) | LedgerRef::Name(_) => {
                return refuse(RefusalCode::LedgerId, "the statement is for another ledger");
            }
        }
        let known_key = live.keys.find(&statement.key);
        if let Some(key) = known_key {
            ensure(
                live.keys.record(key).serials.admits(statement.serial),
                RefusalCode::Serial,
                format_args!("serial {} was used, or is too far below the highest", statement.serial),
            )?;
        }
        check_seen(live, statement, seq)?;
        let (author_key, cosigners, keys) = check_signers(live, signed)?;
        Ok(Self {
            live,
            signed,
            statement,
            at,
            now: at.millis(),
            seq,
            author: live.keys.record(author_key).owner,
            author_key,
            cosigners,
            keys,
        })
    }

    pub(crate) fn digest(&self) -> StatementDigest {
        self.signed.digest()
    }

    pub(crate) fn hash(&self) -> Hash {
        *self.digest().as_bytes()
    }

    fn decide(&self) -> Result<Change, Refusal> {
        self.check_ledger()?;
        match &self.statement.event {
            Event::LedgerOpened(_) => refuse(RefusalCode::Genesis, "a ledger is opened once"),
            Event::CharterAmended(event) => self.charter_amended(event),
            Event::LedgerUpgraded(event) => self.ledger_upgraded(event),
            Event::LedgerFrozen(_) => self.ledger_frozen(),
            Event::LedgerThawed(_) => self.ledger_thawed(),
            Event::RecoveryProposed(event) => self.recovery_proposed(event),
            Event::RecoveryVetoed(event) => self.recovery_vetoed(event),
            Event::PrincipalRegistered(event) => self.principal_registered(event),
            Event::PrincipalChanged(event) => self.principal_changed(event),
            Event::PrincipalDeparted(event) => self.principal_departed(event),
            Event::KeyEnrolled(event) => self.key_enrolled(event),
            Event::KeyRetired(event) => self.key_retired(event),
            Event::KeyCompromised(event) => self.key_compromised(event),
            Event::CapacityAssigned(event) => self.capacity_assigned(event),
            Event::CapacityWithdrawn(event) => self.capacity_withdrawn(event),
            Event::DelegationGranted(event) => self.delegation_granted(event),
            Event::DelegationWithdrawn(event) => self.delegation_withdrawn(event),
            Event::ResourceRegistered(event) => self.resource_registered(event),
            Event::ResourceChanged(event) => self.resource_changed(event),
            Event::ResourceRetired(event) => self.resource_retired(event),
            Event::PolicyPublished(event) => self.policy_published(event),
            Event::PolicyWithdrawn(event) => self.policy_withdrawn(event),
            Event::AccessRequested(event) => self.access_requested(event),
            Event::AccessApproved(event) => self.access_approved(event),
            Event::AccessDenied(event) => self.access_denied(event),
            Event::AccessWithdrawn(event) => self.access_withdrawn(event),
            Event::AccessGranted(event) => self.access_granted(event),
            Event::AccessRevoked(event) => self.access_revoked(event),
            Event::ExceptionGranted(event) => self.exception_granted(event),
            Event::ExceptionEnded(event) => self.exception_ended(event),
            Event::ClockStepped(_) => self.clock_stepped(),
            Event::Custom(event) => self.custom(event),
        }
    }

    /// Rules that every statement meets: its time, the freeze, and what may come before the first policy.
    fn check_ledger(&self) -> Result<(), Refusal> {
        let kind = self.statement.event.kind();
        check_skew(self.statement, self.at, max_lag(kind, !self.cosigners.is_empty()))?;
        if self.author == self.live.charter.recorder.0 {
            let limit = self.live.authored_at.saturating_add(MAX_RECORDER_DRIFT_SECONDS * 1_000);
            ensure(self.now <= limit, RefusalCode::ClockDrift, "the recorder moves time by itself")?;
        }
        if self.live.frozen.is_some() && !admitted_while_frozen(kind) {
            return refuse(RefusalCode::Frozen, format!("{kind} has to wait until the ledger is thawed"));
        }
        ensure(
            !self.live.is_bootstrap() || admitted_before_policy(kind),
            RefusalCode::BeforePolicy,
            format_args!("{kind} has to wait for the first policy"),
        )
    }

    /// Shorter times that policy asks for, for statements on a resource.
    pub(crate) fn check_windows(&self, resource: &Resource) -> Result<(), Refusal> {
        let Some(windows) = self.live.book.windows(resource) else { return Ok(()) };
        let kind = self.statement.event.kind();
        let limit = match lag_class(kind, !self.cosigners.is_empty()) {
            Lag::Ordinary => windows.statement_seconds,
            Lag::Decision => windows.decision_seconds,
            Lag::Cosigned => windows.cosigned_seconds,
        };
        limit.map_or(Ok(()), |limit| check_skew(self.statement, self.at, limit.count()))
    }

    fn clock_stepped(&self) -> Result<Change, Refusal> {
        self.alone()?;
        ensure(
            self.author == self.live.charter.recorder.0,
            RefusalCode::NoAuthority,
            "only the recorder speaks of its clock",
        )?;
        Ok(Change::Nothing)
    }

    fn custom(&self, event: &countersign_core::event::Custom) -> Result<Change, Refusal> {
        self.alone()?;
        let capacities = self.live.book.custom(&event.namespace);
        let permitted = capacities.iter().any(|capacity| self.holds_everywhere(self.author, *capacity));
        ensure(
            permitted,
            RefusalCode::NotPermitted,
            format_args!("no policy names the author for {}", event.namespace),
        )?;
        Ok(Change::Nothing)
    }

    // Signers.

    pub(crate) fn signers(&self) -> impl Iterator<Item = PrincipalNo> + '_ {
        [self.author].into_iter().chain(self.cosigners.iter().copied())
    }

    /// One signature is all that the kind asks for.
    pub(crate) fn alone(&self) -> Result<(), Refusal> {
        ensure(self.cosigners.is_empty(), RefusalCode::SignerSet, "the author signs alone")
    }

    /// Whether the signers are exactly as many governors as the charter asks for.
    pub(crate) fn are_governors(&self) -> bool {
        let all = self.signers().all(|no| self.live.charter.is_governor(no));
        all && (1 + self.cosigners.len()) as u64 == self.live.charter.text.quorum
    }

    /// The author and cosigners are exactly k governors.
    pub(crate) fn governors(&self) -> Result<(), Refusal> {
        ensure(
            self.live.charter.is_governor(self.author),
            RefusalCode::NoAuthority,
            format_args!("{} is no governor", self.statement.author),
        )?;
        let quorum = self.live.charter.text.quorum;
        let governors = self.signers().filter(|no| self.live.charter.is_governor(*no)).count() as u64;
        ensure(
            governors >= quorum,
            RefusalCode::Quorum,
            format_args!("{governors} governors of {quorum} signed"),
        )?;
        ensure(self.are_governors(), RefusalCode::SignerSet, "more signers than the quorum")
    }

    /// The author has `first`, and the one cosigner has `second` and is another person; or k governors stand in.
    pub(crate) fn two_persons(
        &self,
        first: impl Fn(PrincipalNo) -> Result<(), Refusal>,
        second: impl Fn(PrincipalNo) -> bool,
    ) -> Result<(), Refusal> {
        if self.live.is_bootstrap() && self.are_governors() {
            return Ok(());
        }
        first(self.author)?;
        let [cosigner] = self.cosigners[..] else {
            let code =
                if self.cosigners.is_empty() { RefusalCode::SecondPerson } else { RefusalCode::SignerSet };
            return refuse(code, "exactly one second person signs");
        };
        ensure(
            second(cosigner),
            RefusalCode::SecondPerson,
            format_args!("{} can not be the second person here", self.live.people.name(cosigner)),
        )?;
        self.different_persons(self.author, cosigner)
    }

    pub(crate) fn different_persons(&self, left: PrincipalNo, right: PrincipalNo) -> Result<(), Refusal> {
        let overlap = intersect(&self.closure(left, self.now), &self.closure(right, self.now));
        ensure(
            !overlap,
            RefusalCode::SamePerson,
            format_args!(
                "{} and {} are not two persons",
                self.live.people.name(left),
                self.live.people.name(right)
            ),
        )
    }

    /// No signer's person is among `persons`.
    pub(crate) fn not_own(&self, persons: &[PersonNo]) -> Result<(), Refusal> {
        let own = self.signers().find(|no| intersect(&self.closure(*no, self.now), persons));
        match own {
            Some(no) => refuse(
                RefusalCode::OwnPerson,
                format!("{} acts on a principal of the same person", self.live.people.name(no)),
            ),
            None => Ok(()),
        }
    }

    // Persons.

    /// The persons behind a principal, with those of every delegator above it, at any time from `since` to now.
    pub(crate) fn closure(&self, no: PrincipalNo, since: Millis) -> Cow<'_, [PersonNo]> {
        self.live.closure(no, since, self.now)
    }

    // Rights.

    pub(crate) fn is_registrar_everywhere(&self, no: PrincipalNo) -> bool {
        self.holds_everywhere(no, Capacity::Registrar)
    }

    pub(crate) fn holds_everywhere(&self, no: PrincipalNo, capacity: Capacity) -> bool {
        self.live.rights.of(no).any(|(_, right)| {
            *right.capacity == capacity && right.scope.is_everything() && self.live.stands(right, self.now)
        })
    }

    /// The author is a registrar on everything.
    pub(crate) fn registrar_everywhere(&self, no: PrincipalNo) -> Result<(), Refusal> {
        if self.is_registrar_everywhere(no) {
            return Ok(());
        }
        refuse(self.lacks(no, Capacity::Registrar), "the author is no registrar on everything")
    }

    /// `outside_scope` for a holder of the capacity somewhere, else `no_authority`.
    pub(crate) fn lacks(&self, no: PrincipalNo, capacity: Capacity) -> RefusalCode {
        let holds = self
            .live
            .rights
            .of(no)
            .any(|(_, right)| *right.capacity == capacity && self.live.stands(right, self.now));
        if holds { RefusalCode::OutsideScope } else { RefusalCode::NoAuthority }
    }

    /// The right by which a principal holds a capacity over a resource now.
    pub(crate) fn right_over(
        &self,
        no: PrincipalNo,
        capacity: Capacity,
        resource: ResourceNo,
    ) -> Option<Hash> {
        self.right_over_chain(no, capacity, &self.live.chain(resource))
    }

    /// The same for a resource given by name and by what governs it, nearest first.
    pub(crate) fn right_over_chain(
        &self,
        no: PrincipalNo,
        capacity: Capacity,
        chain: &[Resource],
    ) -> Option<Hash> {
        self.live
            .rights
            .of(no)
            .find(|(_, right)| *right.capacity == capacity && self.live.reaches(right, chain, self.now))
            .map(|(id, _)| *id)
    }

    pub(crate) fn require_over(
        &self,
        no: PrincipalNo,
        capacity: Capacity,
        chain: &[Resource],
    ) -> Result<(), Refusal> {
        if self.right_over_chain(no, capacity, chain).is_some() {
            return Ok(());
        }
        let what = chain.first().map_or("it", |resource| resource.as_str());
        refuse(
            self.lacks(no, capacity),
            format!("{} is not {capacity} over {what}", self.live.people.name(no)),
        )
    }

    /// Whether a principal holds a capacity over a whole scope.
    pub(crate) fn holds_over_scope(
        &self,
        no: PrincipalNo,
        capacity: Capacity,
        scope: &countersign_core::event::Scope,
    ) -> bool {
        let single = Resource::new(scope.on.as_str()).ok().and_then(|name| self.live.things.live(&name));
        self.live.rights.of(no).any(|(_, right)| {
            *right.capacity == capacity && self.live.stands(right, self.now) && right.scope.contains(scope)
        }) || single.is_some_and(|resource| self.right_over(no, capacity, resource).is_some())
    }

    pub(crate) fn resource(&self, name: &Resource) -> Result<ResourceNo, Refusal> {
        self.live
            .things
            .live(name)
            .ok_or_else(|| Refusal::new(RefusalCode::UnknownResource, format!("{name} is not registered")))
    }

    pub(crate) fn principal(&self, name: &Principal) -> Result<PrincipalNo, Refusal> {
        self.live.people.live(name).ok_or_else(|| {
            Refusal::new(RefusalCode::UnknownPrincipal, format!("{name} is not registered, or departed"))
        })
    }

    /// Refuses a decision that did not see what it decides on.
    pub(crate) fn saw(&self, seq: u64) -> Result<(), Refusal> {
        let seen = self.statement.seen.as_ref();
        ensure(
            seen.is_some_and(|seen| seen.size > seq),
            RefusalCode::SeenMissing,
            format_args!("the author has to have seen entry {seq}"),
        )
    }

    /// What a right records of the statement that gives it.
    pub(crate) fn right(
        &self,
        capacity: Capacity,
        holder: PrincipalNo,
        scope: &countersign_core::event::Scope,
    ) -> Right {
        use super::stored::{FOREVER, Stored};
        Right {
            capacity: Stored(capacity),
            holder,
            scope: std::sync::Arc::new(Stored(scope.clone())),
            from: self.now,
            until: FOREVER,
            seq: self.seq,
            ended_at: None,
            basis: None,
            depth: super::rights::MAX_DEPTH,
            signed_by: self.keys.clone(),
        }
    }
}

impl Live {
    /// The persons behind a principal and everyone who delegated to it, at any time from `since` to `now`; sorted.
    pub(crate) fn closure(&self, no: PrincipalNo, since: Millis, now: Millis) -> Cow<'_, [PersonNo]> {
        let record = self.people.record(no);
        if record.past.is_empty() && self.rights.delegated_to(no).next().is_none() {
            return Cow::Borrowed(&record.persons);
        }
        let (mut persons, mut seen, mut open) = (Vec::new(), vec![no], vec![no]);
        while let Some(no) = open.pop() {
            let record = self.people.record(no);
            persons.extend_from_slice(&record.persons);
            for (until, past) in &record.past {
                // Entries of one batch share their instant: what ended at it may have been so after the request was opened.
                if *until >= since {
                    persons.extend_from_slice(past);
                }
            }
            for right in self.rights.delegated_to(no) {
                if let Some((_, delegator)) = right.basis
                    && !seen.contains(&delegator)
                    && self.was_held(right, since, now)
                {
                    seen.push(delegator);
                    open.push(delegator);
                }
            }
        }
        persons.sort_unstable();
        persons.dedup();
        Cow::Owned(persons)
    }

    /// Whether a right was held at some moment from `since` to `now`: what it rests on too.
    fn was_held(&self, right: &Right, since: Millis, now: Millis) -> bool {
        self.every_link(right, |link| link.held_since(since, now))
    }

    /// Whether a right's window is open, and that of everything it rests on.
    pub(crate) fn stands(&self, right: &Right, now: Millis) -> bool {
        self.every_link(right, |link| link.is_open(now))
    }

    /// Whether nothing that the right rests on was withdrawn; windows that merely ran out do not matter.
    pub(crate) fn is_intact(&self, id: &Hash) -> bool {
        self.rights.get(id).is_some_and(|right| self.every_link(right, |link| link.ended_at.is_none()))
    }

    /// Whether something holds of the right and of what it rests on, up to the assignment; not where a link is gone.
    fn every_link(&self, right: &Right, holds: impl Fn(&Right) -> bool) -> bool {
        let mut link = right;
        while holds(link) {
            match link.basis.map(|(basis, _)| self.rights.get(&basis)) {
                None => return true,
                Some(Some(below)) => link = below,
                Some(None) => return false,
            }
        }
        false
    }

    /// Whether a right stands and reaches a resource, given with what governs it, nearest first.
    pub(crate) fn reaches(&self, right: &Right, chain: &[Resource], now: Millis) -> bool {
        self.every_link(right, |link| link.is_open(now) && scope_reaches(&link.scope, chain))
    }
}

/// Whether a scope takes in a resource by its name or by the name of what governs it. What it leaves out stays out with all
/// that it governs, whatever that is named.
pub(crate) fn scope_reaches(scope: &countersign_core::event::Scope, chain: &[Resource]) -> bool {
    chain.iter().any(|resource| scope.on.matches(resource))
        && !chain.iter().any(|resource| scope.excludes(resource))
}

fn check_seen(live: &Live, statement: &Statement, seq: u64) -> Result<(), Refusal> {
    let Some(seen) = &statement.seen else { return Ok(()) };
    ensure(
        seen.size >= 1 && seen.size <= seq,
        RefusalCode::Seen,
        format_args!("seen size {} at entry {seq}", seen.size),
    )?;
    let leaf = *seen.leaf.as_bytes();
    let known = if seq - seen.size <= MAX_SEEN_AGE {
        live.leaf(seen.size - 1, seq).copied()
    } else {
        live.decided_leaf(&statement.event, seen.size - 1)
    };
    match known {
        Some(known) if known == leaf => Ok(()),
        Some(_) => refuse(RefusalCode::Seen, format!("entry {} has another leaf hash", seen.size - 1)),
        None => refuse(
            RefusalCode::Seen,
            format!("seen size {} is more than {MAX_SEEN_AGE} entries old", seen.size),
        ),
    }
}

impl Live {
    /// The leaf of the entry decided on, if it is the one with this seq: such a head is never too old.
    fn decided_leaf(&self, event: &Event, seq: u64) -> Option<Hash> {
        use countersign_core::event::ExceptionOf;
        let request = |digest: &StatementDigest| {
            self.requests
                .get(digest.as_bytes())
                .filter(|request| request.seq == seq)
                .map(|request| request.leaf)
        };
        if let Event::AccessApproved(event) = event {
            return request(&event.request);
        }
        if let Event::AccessDenied(event) = event {
            return request(&event.request);
        }
        let Event::ExceptionGranted(event) = event else { return None };
        match &event.covers {
            ExceptionOf::Personal(personal) => request(&personal.request),
            ExceptionOf::Class(class) => {
                let policy = self.book.find(class.policy.as_bytes()).filter(|policy| policy.seq == seq)?;
                Some(policy.leaf)
            }
        }
    }
}

/// The signatures are exactly: the author's key, one live key of each cosigner, and every new key.
fn check_signers(
    live: &Live,
    signed: &SignedStatement,
) -> Result<(KeyNo, Vec<PrincipalNo>, Vec<KeyNo>), Refusal> {
    let statement = signed.statement();
    let mut unclaimed: Vec<_> = statement.cosigners.iter().collect();
    let mut new_keys = live.new_keys(&statement.event)?;
    let mut author_key = None;
    let (mut cosigners, mut keys) = (Vec::new(), Vec::new());
    for part in signed.signatures() {
        if let Some(place) = new_keys.iter().position(|key| *key == part.keyid) {
            new_keys.swap_remove(place);
            continue;
        }
        let Some(no) = live.keys.find(&part.keyid) else {
            return refuse(RefusalCode::UnknownKey, format!("key {} was never admitted", part.keyid));
        };
        let key = live.keys.record(no);
        ensure(key.ended.is_none(), RefusalCode::KeyEnded, format_args!("key {} has ended", part.keyid))?;
        let owner = live.people.name(key.owner);
        if part.keyid == statement.key {
            ensure(
                owner == statement.author.as_str(),
                RefusalCode::SignerSet,
                format_args!("key {} is not of {}", part.keyid, statement.author),
            )?;
            author_key = Some(no);
        } else if let Some(place) = unclaimed.iter().position(|name| name.as_str() == owner) {
            unclaimed.swap_remove(place);
            cosigners.push(key.owner);
        } else {
            return refuse(
                RefusalCode::SignerSet,
                format!("key {} of {owner} is one signature too many", part.keyid),
            );
        }
        keys.push(no);
    }
    if let Some(missing) = new_keys.first() {
        return refuse(RefusalCode::NoPossession, format!("the new key {missing} did not sign"));
    }
    let Some(author_key) = author_key else {
        return refuse(RefusalCode::SignerSet, format!("the author's key {} did not sign", statement.key));
    };
    if let Some(missing) = unclaimed.first() {
        return refuse(RefusalCode::SignerSet, format!("{missing} is named as cosigner and did not sign"));
    }
    let author = live.keys.record(author_key).owner;
    ensure(!cosigners.contains(&author), RefusalCode::SignerSet, "the author is no cosigner")?;
    cosigners.sort_unstable();
    Ok((author_key, cosigners, keys))
}

impl Live {
    /// Keys that the event admits and that must sign it. A charter may also name the key that its principal has already.
    fn new_keys(&self, event: &Event) -> Result<Vec<countersign_core::digest::KeyId>, Refusal> {
        let charter = if let Event::CharterAmended(event) = event {
            Some(&event.charter)
        } else if let Event::RecoveryProposed(event) = event {
            Some(&event.amendment)
        } else {
            None
        };
        let reserved = |id: &countersign_core::digest::KeyId| {
            self.recovery
                .as_ref()
                .is_some_and(|pending| pending.charter.keys().iter().any(|key| key.key_id() == *id))
        };
        let mut new = Vec::new();
        let named: Vec<_> = match charter {
            Some(charter) => charter.principals().into_iter().map(|(name, key)| (Some(name), key)).collect(),
            None => event.new_keys().into_iter().map(|key| (None, key)).collect(),
        };
        for (name, key) in named {
            let id = key.key_id();
            match self.keys.find(&id) {
                // One signature proves a key, however many of a charter it is named for: that is for the rules to refuse.
                None if new.contains(&id) => {}
                None if !reserved(&id) => new.push(id),
                Some(no)
                    if name.is_some_and(|name| {
                        let record = self.keys.record(no);
                        record.ended.is_none() && self.people.name(record.owner) == name.as_str()
                    }) => {}
                None | Some(_) => {
                    return refuse(RefusalCode::KeyReused, format!("key {id} was admitted before"));
                }
            }
        }
        Ok(new)
    }
}

enum Lag {
    Ordinary,
    Decision,
    Cosigned,
}

fn lag_class(kind: EventKind, cosigned: bool) -> Lag {
    if cosigned || only_removes_power(kind) {
        Lag::Cosigned
    } else if matches!(
        kind,
        EventKind::AccessApproved | EventKind::AccessDenied | EventKind::ExceptionGranted
    ) {
        Lag::Decision
    } else {
        Lag::Ordinary
    }
}

fn max_lag(kind: EventKind, cosigned: bool) -> u64 {
    match lag_class(kind, cosigned) {
        Lag::Ordinary => MAX_LAG_SECONDS,
        Lag::Decision => MAX_DECISION_LAG_SECONDS,
        Lag::Cosigned => MAX_COSIGNED_LAG_SECONDS,
    }
}

/// Kinds that can only take power away.
const fn only_removes_power(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::LedgerFrozen
            | EventKind::PrincipalDeparted
            | EventKind::KeyRetired
            | EventKind::KeyCompromised
            | EventKind::CapacityWithdrawn
            | EventKind::DelegationWithdrawn
            | EventKind::ResourceRetired
            | EventKind::AccessWithdrawn
            | EventKind::AccessRevoked
            | EventKind::ExceptionEnded
    )
}

const fn admitted_while_frozen(kind: EventKind) -> bool {
    only_removes_power(kind)
        || matches!(
            kind,
            EventKind::AccessDenied
                | EventKind::ClockStepped
                | EventKind::CharterAmended
                | EventKind::LedgerThawed
                | EventKind::RecoveryProposed
                | EventKind::RecoveryVetoed
        )
}

const fn admitted_before_policy(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::LedgerOpened
            | EventKind::CharterAmended
            | EventKind::LedgerUpgraded
            | EventKind::LedgerFrozen
            | EventKind::LedgerThawed
            | EventKind::RecoveryProposed
            | EventKind::RecoveryVetoed
            | EventKind::PrincipalRegistered
            | EventKind::PrincipalChanged
            | EventKind::PrincipalDeparted
            | EventKind::KeyEnrolled
            | EventKind::KeyRetired
            | EventKind::KeyCompromised
            | EventKind::CapacityAssigned
            | EventKind::CapacityWithdrawn
            | EventKind::ResourceRegistered
            | EventKind::ResourceChanged
            | EventKind::ResourceRetired
            | EventKind::PolicyPublished
            | EventKind::PolicyWithdrawn
            | EventKind::ClockStepped
    )
}
