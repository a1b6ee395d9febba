//! The pipeline: one window is judged while the signatures of the next are verified and the one after that is read.

use std::collections::BTreeMap;

use countersign_core::digest::LeafHash;
use countersign_core::fault::FaultCode;
use countersign_core::id::LedgerId;
use countersign_core::time::Timestamp;
use countersign_projection::governance::{JudgedEntry, State};

use crate::chain::{Batch, Chain, ChainFault, Lines};
use crate::directory::Inventory;
use crate::judging::Judging;
use crate::notes::{Ledger, Mark, Notes};
use crate::report::{Finding, LedgerFault, Report, Warning, WarningCode, count};
use crate::rules::{Door, Governance};
use crate::source::{CheckpointFile, Source, SourceError};

/// What a verification is given beside the ledger.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The ledger that it must be, known from elsewhere. Without it nothing shows that the ledger is the one that was meant.
    pub ledger_id: Option<LedgerId>,
    /// Checkpoints beside those that lie with the ledger. All must hold.
    pub checkpoints: Vec<CheckpointFile>,
    /// Whether it is a fault that no checkpoint anchors anything.
    pub require_checkpoint: bool,
}

/// How far a verification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// How many bytes were read.
    pub bytes: u64,
    /// How many bytes there are, where that is known.
    pub total_bytes: Option<u64>,
    /// How many entries passed every check.
    pub entries: u64,
}

/// A moment of the past: the entries with a seq below `before`, recorded at `at` or earlier.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AsOf {
    /// The last instant that counts; where absent, every one.
    pub at: Option<Timestamp>,
    /// The first seq that does not count; where absent, every one does.
    pub before: Option<u64>,
}

/// Verifies a whole ledger: bytes, canonical form, chain, signatures, rules, checkpoints.
///
/// The source is read once, in memory that does not grow with it except for the governance state. All cores are used.
///
/// # Errors
/// [`SourceError`] where the bytes could not be had. A ledger that does not hold is no error: the report says so.
pub fn verify(source: &mut dyn Source, options: &Options) -> Result<Report, SourceError> {
    verify_with(source, options, |_, _| {}, |_| {})
}

/// As [`verify`], and shows each entry that passed with the state right after it, in order, and from time to time how far it is.
///
/// The report alone says whether the ledger holds: entries that were shown may stand in one that does not.
///
/// # Errors
/// As [`verify`].
pub fn verify_with(
    source: &mut dyn Source,
    options: &Options,
    mut on_entry: impl FnMut(&JudgedEntry, &State),
    mut on_progress: impl FnMut(Progress),
) -> Result<Report, SourceError> {
    let outcome = run::<Governance>(source, options, AsOf::default(), &mut on_entry, &mut on_progress)?;
    Ok(outcome.report)
}

/// As [`verify`], and gives the state of a ledger whose verdict is verified; of no other.
///
/// # Errors
/// As [`verify`].
pub fn load(
    source: &mut dyn Source,
    options: &Options,
    on_progress: impl FnMut(Progress),
) -> Result<(Report, Option<State>), SourceError> {
    state_at(source, options, AsOf::default(), on_progress)
}

/// As [`load`], and gives the state of a past moment. All of the ledger is verified, also what came after.
///
/// Conditions on time are for the caller to evaluate: a state answers questions as of an instant.
///
/// # Errors
/// As [`verify`].
pub fn state_at(
    source: &mut dyn Source,
    options: &Options,
    as_of: AsOf,
    on_progress: impl FnMut(Progress),
) -> Result<(Report, Option<State>), SourceError> {
    state_at_with(source, options, as_of, |_, _| {}, on_progress)
}

/// As [`state_at`], and shows each entry that passed with the state right after it, as [`verify_with`] does.
///
/// # Errors
/// As [`verify`].
pub fn state_at_with(
    source: &mut dyn Source,
    options: &Options,
    as_of: AsOf,
    mut on_entry: impl FnMut(&JudgedEntry, &State),
    mut on_progress: impl FnMut(Progress),
) -> Result<(Report, Option<State>), SourceError> {
    let outcome = run::<Governance>(source, options, as_of, &mut on_entry, &mut on_progress)?;
    Ok((outcome.report, outcome.state))
}

pub(crate) struct Outcome<D: Door> {
    pub(crate) report: Report,
    /// Of the moment asked for, where everything was verified.
    pub(crate) state: Option<D::State>,
}

/// The whole verification, with one set of rules.
pub(crate) fn run<D: Door>(
    source: &mut dyn Source,
    options: &Options,
    as_of: AsOf,
    on_entry: &mut dyn FnMut(&D::Judged, &D::State),
    on_progress: &mut dyn FnMut(Progress),
) -> Result<Outcome<D>, SourceError> {
    let files = [source.checkpoints()?, options.checkpoints.clone()].concat();
    let notes = Notes::read(&files);
    let (total_bytes, inventory) = (source.total_bytes(), source.inventory());
    let mut lines = Lines::new(source);
    let mut chain = Chain::default();
    let mut marks = notes.marks();
    if let Some((size, _)) = inventory.as_ref().and_then(Inventory::durable_head) {
        marks.entry(size).or_default();
    }
    let mut judging = Judging::<D>::new(marks, options.ledger_id.clone(), as_of);

    let mut read = Some(lines.next_batch()?);
    let mut batch = Batch::default();
    let fault = loop {
        // Entries are judged while signatures of those after them are verified, and the ones after those are read.
        let linked = read.take().map(|read| chain.link(read, &mut lines)).transpose()?;
        let goes_on = linked.as_ref().is_some_and(|linked| !linked.is_last());
        let (mut next_read, mut next) = (None, None);
        let Batch { entries, end: reached } = batch;
        let verdict = rayon::in_place_scope(|scope| {
            if goes_on {
                scope.spawn(|_| next_read = Some(lines.next_batch()));
            }
            if let Some(linked) = linked {
                scope.spawn(|_| next = Some(linked.verify(&chain)));
            }
            judging.take(entries, on_entry)
        });
        on_progress(Progress { bytes: reached.bytes_read, total_bytes, entries: judging.judged });
        if let Err(fault) = verdict {
            break Some(fault);
        }
        if let Some(stop) = reached.stop {
            break Some(decided(stop, &judging, &notes));
        }
        read = next_read.transpose()?;
        match next {
            Some(next) => batch = next,
            None => break None,
        }
    };
    Ok(conclude(fault, judging, &notes, options, inventory))
}

/// Adds to a fault between the last two entries what a checkpoint tells about it.
fn decided<D: Door>(stop: ChainFault, judging: &Judging<D>, notes: &Notes) -> LedgerFault {
    let root = judging.root_if_changed(&stop);
    let mut fault = stop.fault;
    if root.is_some_and(|root| notes.claims_root(fault.seq + 1, root)) {
        let before = fault.seq.saturating_sub(1);
        fault.detail +=
            &format!("; a checkpoint fits entry {} as it stands, so it was entry {before}", fault.seq);
    }
    fault
}

/// Checkpoints after all lines, and the report.
fn conclude<D: Door>(
    fault: Option<LedgerFault>,
    judging: Judging<D>,
    notes: &Notes,
    options: &Options,
    inventory: Option<Inventory>,
) -> Outcome<D> {
    let facts = D::facts(&judging.state);
    let good = fault.as_ref().map_or(judging.linked, |fault| fault.seq);
    let (anchored, wrong) = notes.hold(&Ledger {
        id: facts.ledger.as_ref(),
        marks: &judging.marks,
        entries: good,
        judged: judging.judged.min(good),
        recorder: D::recorder_key(&judging.state),
    });
    let is_of_a_line = fault.is_some();
    let fault = fault.or_else(|| nothing(good)).or(wrong).or_else(|| {
        let is_missing = options.require_checkpoint && anchored == 0;
        is_missing.then(|| {
            let detail = "a checkpoint was asked for, and none anchors any entry";
            LedgerFault::outside(good, FaultCode::CheckpointMissing, detail)
        })
    });
    // Where a line is wrong, that tells why fewer entries are good.
    let noted = inventory.as_ref().filter(|_| !is_of_a_line).and_then(Inventory::durable_head);
    let warnings = noted.and_then(|noted| contradiction(noted, good, &judging.marks)).into_iter().collect();
    let state = match (&fault, judging.needs_rules) {
        (None, None) => Some(judging.past.clone().unwrap_or_else(|| judging.state.clone())),
        (Some(_), _) | (_, Some(_)) => None,
    };
    let report = Report::new(Finding {
        entries: judging.judged.min(good),
        size: good,
        root: judging.root_at(good),
        facts,
        anchored,
        checkpoints: notes.len(),
        is_pinned: options.ledger_id.is_some(),
        needs_rules: judging.needs_rules,
        signatures: judging.signatures,
        withheld: judging.withheld,
        serial_gaps: judging.serial_gaps(),
        inventory,
        warnings,
        fault,
    });
    Outcome { report, state }
}

fn nothing(entries: u64) -> Option<LedgerFault> {
    let detail = "nothing was verified";
    (entries == 0).then(|| LedgerFault::outside(0, FaultCode::EmptyLedger, detail))
}

/// What the writer's own note says against the entries: how many were durable, and which was the last.
fn contradiction(
    (size, leaf): (u64, LeafHash),
    entries: u64,
    marks: &BTreeMap<u64, Mark>,
) -> Option<Warning> {
    let (code, detail) = if size > entries {
        (
            WarningCode::EntriesMissing,
            format!(
                "the writer noted in `head` that {} durable here, and there are {entries}: the rest was cut off, or an older \
                 copy was put back. Nobody signed that note, so it is no fault; do not rely on what is left before it is explained",
                count(size, "entry was", "entries were")
            ),
        )
    } else if marks.get(&size).and_then(|mark| mark.leaf).is_some_and(|found| found != leaf) {
        (
            WarningCode::OtherHistory,
            format!(
                "the writer noted in `head` another entry {} than the one here: another history was put in the place of this \
                 ledger's. Nobody signed that note, so it is no fault; do not rely on this history before it is explained",
                size - 1
            ),
        )
    } else {
        return None;
    };
    Some(Warning { code, detail })
}
