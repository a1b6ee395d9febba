//! Principals and keys.

use countersign_core::event::{
    Enrolment, KeyCompromised, KeyEnrolled, KeyRetired, PrincipalChanged, PrincipalDeparted, PrincipalKind,
    PrincipalRegistered,
};
use countersign_core::id::{Person, Principal};
use countersign_core::wire::{KeyBytes, Set};

use super::change::Change;
use super::judge::{Context, ensure, refuse};
use super::keyring::KeyNo;
use super::people::PrincipalNo;
use super::refusal::{Refusal, RefusalCode};

/// Most live keys of one principal.
pub const MAX_KEYS: usize = 64;
/// Most persons who control one principal.
pub const MAX_CONTROLLERS: usize = 64;

impl Context<'_> {
    pub(crate) fn principal_registered(&self, event: &PrincipalRegistered) -> Result<Change, Refusal> {
        let persons = persons(event.kind, event.person.as_ref(), &event.controllers)?;
        self.registrars()?;
        if let Some(no) = self.live.people.find(&event.principal) {
            let departed = self.live.people.record(no).departed;
            let code = if departed { RefusalCode::NameDeparted } else { RefusalCode::NameTaken };
            return refuse(code, format!("{} was registered before", event.principal));
        }
        self.check_new_name(&event.principal, &persons)?;
        self.check_not_own(&persons)?;
        Ok(Change::Register {
            principal: event.principal.clone(),
            kind: event.kind,
            persons: persons.into_iter().cloned().collect(),
        })
    }

    pub(crate) fn principal_changed(&self, event: &PrincipalChanged) -> Result<Change, Refusal> {
        let no = self.principal(&event.principal)?;
        let record = self.live.people.record(no);
        let persons = persons(*record.kind, event.person.as_ref(), &event.controllers)?;
        self.registrars()?;
        self.outside_charter(no)?;
        self.check_person_twins(&persons)?;
        let twins = self.live.people.twins(&event.principal);
        self.check_twins(twins, &event.principal, &persons)?;
        self.not_own(&record.persons)?;
        self.check_not_own(&persons)?;
        Ok(Change::Reassign { no, persons: persons.into_iter().cloned().collect() })
    }

    pub(crate) fn principal_departed(&self, event: &PrincipalDeparted) -> Result<Change, Refusal> {
        self.alone()?;
        if !self.live.charter.is_governor(self.author) {
            self.registrar_everywhere(self.author)?;
        }
        let no = self.principal(&event.principal)?;
        self.outside_charter(no)?;
        Ok(Change::Depart { no })
    }

    pub(crate) fn key_enrolled(&self, event: &KeyEnrolled) -> Result<Change, Refusal> {
        let owner = self.principal(&event.principal)?;
        self.outside_charter(owner)?;
        let record = self.live.people.record(owner);
        ensure(
            record.keys.len() < MAX_KEYS,
            RefusalCode::TooMany,
            format_args!("{} has {MAX_KEYS} keys", event.principal),
        )?;
        let enrollers = match event.enrolment {
            Enrolment::Further => {
                ensure(
                    owner == self.author,
                    RefusalCode::EnrolmentForm,
                    "a further key is enrolled by its principal",
                )?;
                self.alone()?;
                self.live.keys.record(self.author_key).enrollers.clone()
            }
            Enrolment::First | Enrolment::AfterLoss => {
                self.registrars()?;
                let first = event.enrolment == Enrolment::First;
                ensure(
                    first != record.had_key && record.keys.is_empty(),
                    RefusalCode::EnrolmentForm,
                    format_args!(
                        "{} has a live key, or the enrolment is not {}",
                        event.principal, event.enrolment
                    ),
                )?;
                self.signers().collect()
            }
        };
        Ok(Change::Enrol { owner, key: event.key, enrollers, rests_on: self.keys.clone() })
    }

    pub(crate) fn key_retired(&self, event: &KeyRetired) -> Result<Change, Refusal> {
        self.alone()?;
        let (owner, key) = self.key_of(&event.principal, &event.key)?;
        if self.live.charter.names(owner) {
            ensure(
                owner == self.author,
                RefusalCode::CharterOnly,
                format_args!("{} is named by the charter", event.principal),
            )?;
            self.check_lock_out(owner)?;
        } else {
            if owner != self.author && !self.live.charter.is_governor(self.author) {
                self.registrar_everywhere(self.author)?;
            }
            // It would take its seat with a key that can not sign.
            let announced = self.live.recovery.as_ref().is_some_and(|pending| {
                pending.charter.keys().iter().any(|named| named.key_id() == event.key.key_id())
            });
            ensure(!announced, RefusalCode::CharterOnly, "an announced charter names the key")?;
        }
        ensure(
            self.live.keys.record(key).ended.is_none(),
            RefusalCode::KeyNotLive,
            "the key has ended already",
        )?;
        Ok(Change::Retire { key })
    }

    pub(crate) fn key_compromised(&self, event: &KeyCompromised) -> Result<Change, Refusal> {
        let (owner, key) = self.key_of(&event.principal, &event.key)?;
        let from = event.from.unwrap_or(self.seq);
        let charter = &self.live.charter;
        if charter.is_governor(owner) || charter.is_recovery(owner) {
            self.may_distrust_charter_key(owner, from < self.seq)?;
        } else {
            if owner != self.author && !charter.is_governor(self.author) {
                self.registrar_everywhere(self.author)?;
            }
            if from < self.seq {
                let [second] = self.cosigners[..] else {
                    let none = self.cosigners.is_empty();
                    let code = if none { RefusalCode::SecondPerson } else { RefusalCode::SignerSet };
                    return refuse(code, "an earlier position needs exactly one second person");
                };
                ensure(
                    charter.is_governor(second) || self.is_registrar_everywhere(second),
                    RefusalCode::SecondPerson,
                    "the second person is a registrar on everything or a governor",
                )?;
                self.different_persons(self.author, second)?;
            } else {
                self.alone()?;
            }
        }
        let record = self.live.keys.record(key);
        ensure(
            from > record.admitted && from <= self.seq,
            RefusalCode::FromTooEarly,
            format_args!("the key was admitted by entry {}, this is entry {}", record.admitted, self.seq),
        )?;
        ensure(
            record.distrusted_from.is_none_or(|known| from < known),
            RefusalCode::KeyNotLive,
            "the key is distrusted from there already",
        )?;
        Ok(Change::Compromise { key, from })
    }

    /// The holder, or k-1 other governors, or the recovery quorum; for an earlier position in any case two persons.
    fn may_distrust_charter_key(&self, owner: PrincipalNo, earlier: bool) -> Result<(), Refusal> {
        let charter = &self.live.charter;
        let signers: Vec<PrincipalNo> = self.signers().collect();
        let count = signers.len() as u64;
        let at_least = |wanted: u64| if earlier { wanted.max(2) } else { wanted };
        let second = |no: PrincipalNo| charter.is_governor(no) || self.is_registrar_everywhere(no);
        let by_holder =
            self.author == owner && count == at_least(1) && self.cosigners.iter().all(|no| second(*no));
        let by_governors = charter.text.quorum > 1
            && count == at_least(charter.text.quorum - 1)
            && signers.iter().all(|no| *no != owner && charter.is_governor(*no));
        let by_recovery = charter.text.recovery.as_ref().is_some_and(|recovery| {
            count == at_least(recovery.quorum) && signers.iter().all(|no| charter.is_recovery(*no))
        });
        if by_holder {
            return self.cosigners.iter().try_for_each(|second| self.different_persons(self.author, *second));
        }
        if by_governors || by_recovery {
            return Ok(());
        }
        if earlier && self.cosigners.is_empty() && (self.author == owner || charter.is_governor(self.author))
        {
            return refuse(RefusalCode::SecondPerson, "an earlier position needs a second person");
        }
        refuse(RefusalCode::CharterOnly, "by the holder, k-1 other governors, or the recovery quorum")
    }

    /// Refuses what would leave fewer live governors than the quorum.
    fn check_lock_out(&self, leaving: PrincipalNo) -> Result<(), Refusal> {
        let charter = &self.live.charter;
        let left = charter
            .governors
            .iter()
            .filter(|(no, key)| *no != leaving && self.live.keys.record(*key).ended.is_none())
            .count() as u64;
        ensure(
            !charter.is_governor(leaving) || left >= charter.text.quorum,
            RefusalCode::LockOut,
            format_args!("{left} live governors would remain of {}", charter.text.quorum),
        )
    }

    fn key_of(&self, name: &Principal, key: &KeyBytes) -> Result<(PrincipalNo, KeyNo), Refusal> {
        let found = self.live.people.find(name).zip(self.live.keys.find(&key.key_id()));
        match found {
            Some((owner, no)) if self.live.keys.record(no).owner == owner => Ok((owner, no)),
            Some(_) | None => refuse(RefusalCode::NoSuchKey, format!("{name} has no such key")),
        }
    }

    /// A registrar on everything, and a second person who is one or a governor.
    fn registrars(&self) -> Result<(), Refusal> {
        self.two_persons(
            |no| self.registrar_everywhere(no),
            |no| self.is_registrar_everywhere(no) || self.live.charter.is_governor(no),
        )
    }

    /// Principals that the charter names, or that an announced charter will name, change by it alone.
    fn outside_charter(&self, no: PrincipalNo) -> Result<(), Refusal> {
        let name = self.live.people.name(no);
        let pending = self.live.recovery.as_ref();
        let named = pending.is_some_and(|pending| {
            pending.charter.principals().iter().any(|(principal, _)| principal.as_str() == name)
        });
        ensure(
            !self.live.charter.names(no) && !named,
            RefusalCode::CharterOnly,
            format_args!("{name} is named by the charter"),
        )
    }

    fn check_not_own(&self, persons: &[&Person]) -> Result<(), Refusal> {
        let mut known: Vec<_> =
            persons.iter().filter_map(|person| self.live.people.find_person(person)).collect();
        known.sort_unstable();
        self.not_own(&known)
    }

    /// A name that was never registered, nor one that differs from it in case only, unless for the same persons.
    pub(crate) fn check_new_name(&self, name: &Principal, persons: &[&Person]) -> Result<(), Refusal> {
        let reserved = self.live.recovery.as_ref().is_some_and(|pending| {
            let taken = |other: &Principal| other.as_str().eq_ignore_ascii_case(name.as_str());
            pending.charter.principals().iter().any(|(other, _)| taken(other))
        });
        ensure(!reserved, RefusalCode::NameTaken, format_args!("an announced charter names {name}"))?;
        self.check_person_twins(persons)?;
        self.check_twins(self.live.people.twins(name), name, persons)
    }

    fn check_person_twins(&self, persons: &[&Person]) -> Result<(), Refusal> {
        match persons.iter().find(|person| self.live.people.is_person_twin(person)) {
            Some(person) => {
                refuse(RefusalCode::CaseTwin, format!("{person} differs from a known person in case only"))
            }
            None => Ok(()),
        }
    }

    fn check_twins(
        &self,
        twins: Vec<PrincipalNo>,
        name: &Principal,
        persons: &[&Person],
    ) -> Result<(), Refusal> {
        let people = &self.live.people;
        let numbers = people.known_persons(persons.iter().copied());
        for twin in twins {
            let record = people.record(twin);
            let spelled = people.name(twin);
            ensure(
                !record.departed,
                RefusalCode::NameDeparted,
                format_args!("{name} differs in case only from {spelled}, who departed"),
            )?;
            ensure(
                numbers.as_deref() == Some(&*record.persons),
                RefusalCode::CaseTwin,
                format_args!("{name} differs in case only from {spelled}, another person's"),
            )?;
        }
        Ok(())
    }

    /// Whether a vendor runs the principal.
    pub(crate) fn is_vendor(&self, no: PrincipalNo) -> bool {
        *self.live.people.record(no).kind == PrincipalKind::VendorAutomation
    }
}

/// The persons that a registration names, in the form that its kind asks for.
fn persons<'a>(
    kind: PrincipalKind,
    person: Option<&'a Person>,
    controllers: &'a Set<Person>,
) -> Result<Vec<&'a Person>, Refusal> {
    let wrong = || refuse(RefusalCode::PersonForm, "a human names its person, a non-human its controllers");
    match (kind, person) {
        (PrincipalKind::Human, Some(person)) if controllers.is_empty() => Ok(vec![person]),
        (PrincipalKind::Human, _) | (_, Some(_)) => wrong(),
        (
            PrincipalKind::Service
            | PrincipalKind::Workload
            | PrincipalKind::Automation
            | PrincipalKind::VendorAutomation
            | PrincipalKind::Agent,
            None,
        ) => match controllers.len() {
            0 => wrong(),
            1..=MAX_CONTROLLERS => Ok(controllers.iter().collect()),
            _ => refuse(RefusalCode::TooMany, format!("at most {MAX_CONTROLLERS} controllers")),
        },
    }
}
