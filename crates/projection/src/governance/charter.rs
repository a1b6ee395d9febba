//! The charter, freeze, recovery and rules version.

use std::collections::BTreeSet;

use countersign_core::event::{Charter, CharterAmended, LedgerUpgraded, RecoveryProposed, RecoveryVetoed};
use countersign_core::id::{Person, Principal};

use super::change::Change;
use super::judge::{Context, ensure, refuse};
use super::refusal::{Refusal, RefusalCode};

/// How long who froze the ledger and was overruled may not freeze it alone, in seconds.
pub const OVERRULED_SECONDS: u64 = 7 * 24 * 3_600;

/// What a charter must fulfil whatever the state.
pub(crate) fn check_alone(charter: &Charter) -> Result<(), Refusal> {
    let invalid = |detail: &str| refuse(RefusalCode::CharterInvalid, detail);
    let governors = charter.governors.len() as u64;
    if charter.quorum == 0 || governors == 0 {
        return invalid("a charter needs a governor and a quorum of at least 1");
    }
    ensure(
        charter.quorum <= governors,
        RefusalCode::LockOut,
        format_args!("{governors} governors can never be {}", charter.quorum),
    )?;
    if let Some(recovery) = &charter.recovery
        && (recovery.quorum == 0 || recovery.quorum > recovery.keys.len() as u64)
    {
        return invalid("the recovery quorum does not fit the number of recovery keys");
    }
    if charter.recorder.controllers.is_empty() {
        return invalid("the recorder needs a controller");
    }
    let recovery = charter.recovery.iter().flat_map(|recovery| recovery.keys.iter());
    let holders = || charter.governors.iter().chain(recovery.clone());
    let persons: Vec<&Person> =
        holders().map(|holder| &holder.person).chain(&charter.recorder.controllers).collect();
    if persons.iter().collect::<BTreeSet<_>>().len() != persons.len() {
        return invalid("a person stands in the charter twice");
    }
    let lower: BTreeSet<String> = persons.iter().map(|person| person.as_str().to_ascii_lowercase()).collect();
    ensure(
        lower.len() == persons.len(),
        RefusalCode::CaseTwin,
        "two persons in the charter differ in case only",
    )?;
    let principals = charter.principals();
    if principals.iter().map(|(name, _)| name).collect::<BTreeSet<_>>().len() != principals.len() {
        return invalid("a principal stands in the charter twice");
    }
    if principals.iter().map(|(_, key)| key).collect::<BTreeSet<_>>().len() != principals.len() {
        return invalid("a key stands in the charter twice");
    }
    let lower: BTreeSet<String> =
        principals.iter().map(|(name, _)| name.as_str().to_ascii_lowercase()).collect();
    ensure(
        lower.len() == principals.len(),
        RefusalCode::CaseTwin,
        "two names in the charter differ in case only",
    )
}

impl Context<'_> {
    pub(crate) fn charter_amended(&self, event: &CharterAmended) -> Result<Change, Refusal> {
        self.governors()?;
        self.check_charter(&event.charter)?;
        Ok(Change::Amend { charter: event.charter.clone() })
    }

    pub(crate) fn ledger_upgraded(&self, event: &LedgerUpgraded) -> Result<Change, Refusal> {
        self.governors()?;
        ensure(
            event.rules > self.live.rules,
            RefusalCode::RulesVersion,
            format_args!("rules {} are in force", self.live.rules),
        )?;
        Ok(Change::Upgrade { rules: event.rules })
    }

    pub(crate) fn ledger_frozen(&self) -> Result<Change, Refusal> {
        let overruled = self.live.overruled.iter().any(|(no, _)| *no == self.author);
        let together = !self.cosigners.is_empty() && self.are_governors();
        ensure(
            self.live.charter.is_governor(self.author),
            RefusalCode::NoAuthority,
            format_args!("{} is no governor", self.statement.author),
        )?;
        ensure(self.live.frozen.is_none(), RefusalCode::AlreadyFrozen, "the ledger is frozen already")?;
        if overruled && !together {
            return refuse(
                RefusalCode::FreezeCooldown,
                format!("{} was overruled less than 7 days ago", self.statement.author),
            );
        }
        if !overruled {
            self.alone()?;
        }
        Ok(Change::Freeze { by: self.signers().collect() })
    }

    pub(crate) fn ledger_thawed(&self) -> Result<Change, Refusal> {
        self.governors()?;
        ensure(self.live.frozen.is_some(), RefusalCode::NotFrozen, "the ledger is not frozen")?;
        Ok(Change::Thaw { overruled_until: self.at.saturating_plus_seconds(OVERRULED_SECONDS).millis() })
    }

    pub(crate) fn recovery_proposed(&self, event: &RecoveryProposed) -> Result<Change, Refusal> {
        let Some(recovery) = &self.live.charter.text.recovery else {
            return refuse(RefusalCode::NoRecovery, "the charter names no recovery keys");
        };
        ensure(
            self.live.charter.is_recovery(self.author),
            RefusalCode::NoRecovery,
            format_args!("{} holds no recovery key", self.statement.author),
        )?;
        let holders = self.signers().filter(|no| self.live.charter.is_recovery(*no)).count() as u64;
        ensure(
            holders >= recovery.quorum,
            RefusalCode::Quorum,
            format_args!("{holders} recovery keys of {}", recovery.quorum),
        )?;
        ensure(
            holders == recovery.quorum && 1 + self.cosigners.len() as u64 == holders,
            RefusalCode::SignerSet,
            "more signers than the recovery quorum",
        )?;
        ensure(
            self.live.recovery.is_none(),
            RefusalCode::RecoveryPending,
            "a recovery is announced already",
        )?;
        self.check_charter(&event.amendment)?;
        let due = self.at.saturating_plus_seconds(recovery.delay_seconds.count()).millis();
        Ok(Change::Propose { due, charter: event.amendment.clone() })
    }

    pub(crate) fn recovery_vetoed(&self, event: &RecoveryVetoed) -> Result<Change, Refusal> {
        self.governors()?;
        let pending = self.live.recovery.as_ref();
        ensure(
            pending.is_some_and(|pending| pending.digest == *event.proposal.as_bytes()),
            RefusalCode::NoSuchRecovery,
            "no such recovery is announced",
        )?;
        Ok(Change::Veto)
    }

    /// What a charter must fulfil against the principals and keys that are known.
    fn check_charter(&self, charter: &Charter) -> Result<(), Refusal> {
        check_alone(charter)?;
        let recovery = charter.recovery.iter().flat_map(|recovery| recovery.keys.iter());
        for holder in charter.governors.iter().chain(recovery) {
            self.check_seat(&holder.principal, &[&holder.person])?;
        }
        self.check_seat(&charter.recorder.principal, &charter.recorder.controllers.iter().collect::<Vec<_>>())
    }

    fn check_seat(&self, name: &Principal, persons: &[&Person]) -> Result<(), Refusal> {
        let people = &self.live.people;
        match people.find(name) {
            None => self.check_new_name(name, persons),
            Some(no) => {
                let record = people.record(no);
                ensure(!record.departed, RefusalCode::NameDeparted, format_args!("{name} departed"))?;
                ensure(
                    people.known_persons(persons.iter().copied()).as_deref() == Some(&*record.persons),
                    RefusalCode::CharterInvalid,
                    format_args!("{name} is registered for other persons"),
                )
            }
        }
    }
}
