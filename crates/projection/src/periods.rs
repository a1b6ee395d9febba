//! Who held what over a period: every grant with the interval in which it held.
//!
//! A grant holds from the `recorded_at` of its entry, included, until its end, excluded. Its end may have no entry: it may
//! be an instant that the grant names, or the loss of something it rests on; [`crate::governance::Ending`] lists either.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use countersign_core::digest::StatementDigest;
use countersign_core::entry::Head;
use countersign_core::event::Event;
use countersign_core::id::{Principal, Resource, Role};
use countersign_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cow::{CowVec, Names, OrdMap};
use crate::governance::{EndCause, State};
use crate::projection::{Projection, Step};
use crate::runner::View;

/// Every grant there ever was, with the interval in which it held. Clones in constant time; 80 bytes a grant, and each name once.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Holdings {
    names: Names,
    // INVARIANT: by seq, which is by `from` too. Names that they point to are names of their kind.
    records: CowVec<Record, 128>,
    // INVARIANT: the places in `records` of exactly those without an end.
    open: OrdMap<StatementDigest, u32>,
}

/// What a snapshot keeps: the rest follows.
#[derive(Serialize, Deserialize)]
struct Stored {
    names: Names,
    records: CowVec<Record, 128>,
}

impl From<Holdings> for Stored {
    fn from(Holdings { names, records, open: _ }: Holdings) -> Self {
        Self { names, records }
    }
}

impl TryFrom<Stored> for Holdings {
    type Error = &'static str;

    fn try_from(Stored { names, records }: Stored) -> Result<Self, Self::Error> {
        let mut holdings = Self { names, records, open: OrdMap::default() };
        let mut last = None;
        for (place, record) in (0..).zip(&holdings.records) {
            if last.is_some_and(|(seq, from)| record.seq <= seq || record.from < from) {
                return Err("holdings are not in order");
            }
            last = Some((record.seq, record.from));
            holdings.names_of(record).ok_or("a name of a holding is none")?;
            if record.end.is_none() && holdings.open.insert(record.grant, place).is_some() {
                return Err("a grant is held twice");
            }
        }
        Ok(holdings)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    grant: StatementDigest,
    seq: u64,
    subject: u32,
    resource: u32,
    role: u32,
    from: Timestamp,
    end: Option<(Timestamp, EndCause)>,
}

/// A period of time [from, until): its first instant belongs to it, its last bound does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    // INVARIANT: from < until.
    from: Timestamp,
    until: Timestamp,
}

impl Period {
    /// The period from `from`, included, until `until`, excluded; none where that has no instant.
    #[must_use]
    pub fn new(from: Timestamp, until: Timestamp) -> Option<Self> {
        (from < until).then_some(Self { from, until })
    }

    /// Its first instant.
    #[must_use]
    pub const fn from(&self) -> Timestamp {
        self.from
    }

    /// The first instant after it.
    #[must_use]
    pub const fn until(&self) -> Timestamp {
        self.until
    }

    /// Whether something that holds in [from, until) holds at an instant of the period.
    ///
    /// What begins and ends at one instant of the recorder's clock held between two entries. It could be used there, so it
    /// counts as held at that instant.
    #[must_use]
    pub fn meets(&self, from: Timestamp, until: Option<Timestamp>) -> bool {
        from < self.until
            && until.is_none_or(|until| self.from < until || (from == until && self.from <= from))
    }
}

/// Which holdings are asked for. What is left out does not narrow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Of this principal.
    pub subject: Option<Principal>,
    /// On this resource.
    pub resource: Option<Resource>,
    /// In this role.
    pub role: Option<Role>,
}

/// One grant, with the interval [from, until) in which it held.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holding {
    /// Who held it.
    pub subject: Principal,
    /// On which resource.
    pub resource: Resource,
    /// In which role.
    pub role: Role,
    /// The place of the grant in the ledger.
    pub seq: u64,
    /// The grant: the digest of the statement that created it.
    pub grant: StatementDigest,
    /// The first instant at which it held.
    pub from: Timestamp,
    /// The first instant at which it no longer held, or will no longer hold as things stand; none where that is after the
    /// time asked for, or no end is set.
    pub until: Option<Timestamp>,
    /// Why it ended; none where it had not, by the last entry.
    pub cause: Option<EndCause>,
}

impl fmt::Display for Holding {
    /// One JSON object without a line feed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, resource, role, seq, grant, from, until, cause } = self;
        // Names, digests and instants have no character that JSON escapes.
        f.write_char('{')?;
        if let Some(cause) = cause {
            write!(f, "\"cause\":\"{cause}\",")?;
        }
        write!(
            f,
            "\"from\":\"{from}\",\"grant\":\"{grant}\",\"resource\":\"{resource}\",\"role\":\"{role}\","
        )?;
        write!(f, "\"seq\":{seq},\"subject\":\"{subject}\"")?;
        if let Some(until) = until {
            write!(f, ",\"until\":\"{until}\"")?;
        }
        f.write_char('}')
    }
}

/// Everyone who held something at an instant of a period, as far as a ledger of this head tells.
///
/// The head commits to every entry before it, so whoever has a checkpoint of this size can show that nobody is left out:
/// the fold of exactly these entries gives exactly this list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Population {
    /// Which entries it was answered from.
    pub head: Head,
    /// The holdings, sorted by subject, resource, role and seq.
    pub holdings: Vec<Holding>,
    /// Whether no entry still to come can change who is in it: the period was over when the last entry was recorded.
    pub is_settled: bool,
}

impl Projection for Holdings {
    const NAME: &'static str = "holdings";
    const VERSION: u64 = 1;
    const LOOKS_BACK: bool = false;
    type Error = HoldingsError;

    fn apply(&mut self, step: &Step<'_>) -> Result<(), HoldingsError> {
        for ending in step.endings() {
            let grant = ending.grant;
            let place = self.open.remove(&grant).ok_or(HoldingsError::NotHeld { grant })?;
            let record = self.records.get_mut(place as usize).ok_or(HoldingsError::NotHeld { grant })?;
            record.end = Some((ending.at, ending.cause));
        }
        if let Event::AccessGranted(_) = step.event() {
            let grant = step.entry().signed().digest();
            let view = step.after().grant(&grant).ok_or(HoldingsError::NotGranted { grant })?;
            let place = u32::try_from(self.records.len()).map_err(|_| HoldingsError::Full)?;
            self.records.push(Record {
                grant,
                seq: step.seq(),
                subject: self.names.intern(view.subject.as_str()),
                resource: self.names.intern(view.resource.as_str()),
                role: self.names.intern(view.role.as_str()),
                from: step.recorded_at(),
                end: None,
            });
            self.open.insert(grant, place);
        }
        Ok(())
    }

    fn report(&self, state: &State, at: Timestamp, out: &mut dyn fmt::Write) -> fmt::Result {
        let ends = ends_by(state, at);
        let began = self.records.iter().take_while(|record| record.from <= at);
        let mut holdings: Vec<_> = began.map(|record| self.holding(record, &ends)).collect();
        holdings.retain(|holding| holding.until.is_none_or(|until| at < until));
        holdings.sort();
        holdings.iter().try_for_each(|holding| writeln!(out, "{holding}"))
    }
}

impl Holdings {
    /// How many grants there were.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there was no grant.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    fn names_of(&self, record: &Record) -> Option<(Principal, Resource, Role)> {
        let subject = self.names.get(record.subject)?.parse().ok()?;
        let resource = self.names.get(record.resource)?.parse().ok()?;
        let role = self.names.get(record.role)?.parse().ok()?;
        Some((subject, resource, role))
    }

    fn holding(&self, record: &Record, ends: &BTreeMap<StatementDigest, Timestamp>) -> Holding {
        let until = record.end.map(|(until, _)| until).or_else(|| ends.get(&record.grant).copied());
        let (subject, resource, role) = self.names_of(record).expect("checked when interned, and when read");
        let (seq, grant, from) = (record.seq, record.grant, record.from);
        Holding {
            subject,
            resource,
            role,
            seq,
            grant,
            from,
            until,
            cause: record.end.map(|(_, cause)| cause),
        }
    }
}

impl View<Holdings> {
    /// Every grant there was, by seq, with its end if it came or is set.
    pub fn holdings(&self) -> impl Iterator<Item = Holding> {
        let ends = ends_by(self.state(), Timestamp::MAX);
        self.projection().records.iter().map(move |record| self.projection().holding(record, &ends))
    }

    /// Everyone who held what is wanted at an instant of the period.
    #[must_use]
    pub fn population(&self, wanted: &Wanted, period: &Period) -> Population {
        let number = |name: Option<&str>| name.map(|name| self.projection().names.lookup(name));
        let Wanted { subject, resource, role } = wanted;
        let subject = number(subject.as_ref().map(Principal::as_str));
        let resource = number(resource.as_ref().map(Resource::as_str));
        let role = number(role.as_ref().map(Role::as_str));
        let fits = |wanted: Option<Option<u32>>, found| wanted.is_none_or(|wanted| wanted == Some(found));
        let ends = ends_by(self.state(), period.until);
        let mut holdings: Vec<_> = self
            .projection()
            .records
            .iter()
            // They are sorted by their beginning.
            .take_while(|record| record.from < period.until)
            .filter(|record| {
                fits(subject, record.subject) && fits(resource, record.resource) && fits(role, record.role)
            })
            .map(|record| self.projection().holding(record, &ends))
            .filter(|holding| period.meets(holding.from, holding.until))
            .collect();
        holdings.sort();
        Population { head: self.head(), holdings, is_settled: period.until <= self.state().recorded_at() }
    }
}

/// The ends by `at` that time alone will bring about, as things stand. They have no entry yet, so only the state knows them.
fn ends_by(state: &State, at: Timestamp) -> BTreeMap<StatementDigest, Timestamp> {
    if at <= state.recorded_at() {
        return BTreeMap::new();
    }
    state.at(at).endings().iter().map(|ending| (ending.grant, ending.at)).collect()
}

/// Why the holdings can not go on: governance and they disagree about what is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HoldingsError {
    /// A grant ended that was not held.
    #[error("grant {grant} ended, but was not held")]
    NotHeld {
        /// The grant.
        grant: StatementDigest,
    },
    /// A grant was admitted, but the state does not know it.
    #[error("grant {grant} was admitted, but is not in the state")]
    NotGranted {
        /// The grant.
        grant: StatementDigest,
    },
    /// There are 2^32 grants.
    #[error("there are too many grants")]
    Full,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::Runner;
    use crate::test_kit::Playground;

    fn stored() -> Holdings {
        let ledger = Playground::small();
        let mut runner = Runner::<Holdings>::new();
        ledger.entries().iter().for_each(|entry| drop(runner.replay(entry.clone()).unwrap()));
        runner.projections().unwrap().clone()
    }

    #[test]
    fn bytes_that_no_fold_could_have_written_are_refused() {
        assert!(Holdings::decode(&stored().encode().unwrap()).is_ok());
        let spoil = |spoil: fn(&mut Vec<Record>)| {
            let mut holdings = stored();
            let mut records: Vec<Record> = holdings.records.iter().cloned().collect();
            spoil(&mut records);
            holdings.records = records.into_iter().collect();
            Holdings::decode(&holdings.encode().unwrap()).map(drop).is_err()
        };
        assert!(!spoil(|_| ()));
        assert!(spoil(|records| records.swap(0, 1)), "out of order");
        assert!(spoil(|records| records[1].seq = records[0].seq), "two in one entry");
        assert!(spoil(|records| records[0].from = Timestamp::MAX), "time runs backwards");
        assert!(spoil(|records| records[0].resource = records[0].role), "a role as resource");
        assert!(spoil(|records| records[0].role = u32::MAX), "a name that is not there");
        let twice = spoil(|records| {
            records[0].end = None;
            records[1].end = None;
            records[1].grant = records[0].grant;
        });
        assert!(twice, "a grant that is held twice");
    }

    #[test]
    fn a_clone_of_the_open_ones_follows_from_the_records() {
        let holdings = stored();
        let read = Holdings::decode(&holdings.encode().unwrap()).unwrap();
        assert_eq!(read.open, holdings.open);
        assert_eq!(read.len(), holdings.len());
        assert!(!read.is_empty());
    }
}
