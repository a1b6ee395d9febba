//! Reading a ledger: all of it is verified before anything is answered from it.

use countersign_audit::{AsOf, CheckpointFile, Options, Report, state_at_with, verify_with};
use countersign_core::time::Timestamp;
use countersign_projection::governance::{JudgedEntry, State};

use crate::args::{Asking, Reading};
use crate::failure::Failure;
use crate::place::Place;
use crate::session::Session;
use crate::text::{count, safe, safe_lines};
use crate::when::{At, now};

/// A ledger that was read, as of a moment.
pub(crate) struct Ledger {
    /// What verification found.
    pub(crate) report: Report,
    /// The state of the moment asked about.
    pub(crate) state: State,
    /// That moment.
    pub(crate) at: Timestamp,
    /// Whether it was verified: false only where the user asked for an answer despite a fault.
    pub(crate) is_verified: bool,
}

impl Ledger {
    /// Says on the output which moment is answered for, and from how much.
    pub(crate) fn as_of(&self) -> String {
        let unverified = if self.is_verified { "" } else { ", NOT VERIFIED" };
        format!("as of {} ({}{unverified})", self.at, count(self.state.head().size, "entry", "entries"))
    }
}

/// What the auditor holds the ledger against.
pub(crate) fn options(reading: &Reading) -> Result<Options, Failure> {
    let checkpoints = reading.checkpoints.iter().map(|path| {
        // A checkpoint that is not there says nothing about the ledger.
        CheckpointFile::read(path).map_err(|error| Failure::of("the checkpoint can not be read", &error))
    });
    Ok(Options {
        ledger_id: reading.ledger_id.clone(),
        checkpoints: checkpoints.collect::<Result<_, _>>()?,
        require_checkpoint: reading.require_checkpoint,
    })
}

/// Verifies the ledger and gives the state of a moment; `on_entry` sees each entry that was recorded by then, and the state right after.
///
/// What `on_entry` saw counts only where this returns a ledger.
pub(crate) fn ask(
    session: &mut Session<'_, '_>,
    asking: &Asking,
    at: At,
    mut on_entry: impl FnMut(&JudgedEntry, &State),
) -> Result<Ledger, Failure> {
    let reading = &asking.reading;
    let cut = match at {
        At::Instant(at) => Some(at),
        At::End | At::Now => None,
    };
    let options = options(reading)?;
    let mut source = Place::of(&reading.path)?.source()?;
    let bar = session.progress();
    let mut last = State::new();
    let outcome = state_at_with(
        &mut *source,
        &options,
        AsOf { at: cut, before: None },
        |judged, state| {
            if cut.is_none_or(|cut| judged.entry().recorded_at() <= cut) {
                on_entry(judged, state);
                if asking.unsafe_despite_fault {
                    last = state.clone();
                }
            }
        },
        |progress| bar.show(progress),
    );
    bar.finish();
    let (report, state) = outcome?;
    let is_verified = report.is_sound();
    let state = match state {
        Some(state) if is_verified => {
            session.note(&status(&report, reading.ledger_id.is_some()));
            state
        }
        state if asking.unsafe_despite_fault => {
            session.warn(&format!(
                "WARNING: {}; the answer rests on {} and is not to be relied on",
                safe(&in_short(&report)),
                count(report.entries, "good entry", "good entries"),
            ));
            state.unwrap_or(last)
        }
        _ => return Err(unverified(session, &report)),
    };
    let at = match at {
        At::Instant(at) => at,
        At::End => state.recorded_at(),
        At::Now => now(None).max(state.recorded_at()),
    };
    Ok(Ledger { report, state, at, is_verified })
}

/// Verifies a ledger, shows each entry that passed, and gives what was found and the checkpoint that lies with the ledger.
pub(crate) fn verified(
    session: &mut Session<'_, '_>,
    reading: &Reading,
    on_entry: impl FnMut(&JudgedEntry, &State),
) -> Result<(Report, Option<Vec<u8>>), Failure> {
    let options = options(reading)?;
    let mut source = Place::of(&reading.path)?.source()?;
    let note = source.checkpoints()?.pop().map(|file| file.bytes);
    let bar = session.progress();
    let report = verify_with(&mut *source, &options, on_entry, |progress| bar.show(progress));
    bar.finish();
    let report = report?;
    if !report.is_sound() {
        return Err(unverified(session, &report));
    }
    session.note(&status(&report, reading.ledger_id.is_some()));
    Ok((report, note))
}

/// What keeps a ledger from being relied on, in a line.
fn in_short(report: &Report) -> String {
    match (&report.fault, report.warnings.first()) {
        (Some(fault), _) => {
            let at = fault.place().map(|_| format!(" at entry {}", fault.seq)).unwrap_or_default();
            format!("this ledger does not verify ({}{at})", fault.code)
        }
        (None, Some(warning)) => {
            format!("the writer's own note contradicts this ledger ({})", warning.code.as_str())
        }
        (None, None) => "this ledger could not be verified to its end".into(),
    }
}

/// Says that nothing is answered, and why.
pub(crate) fn unverified(session: &mut Session<'_, '_>, report: &Report) -> Failure {
    let text = report.to_string();
    let is_long = report.fault.is_some() || !report.warnings.is_empty();
    let head: Vec<&str> = text.split("\n\n").take(if is_long { 2 } else { 1 }).collect();
    session.warn(&safe_lines(&head.join("\n")));
    Failure::refused(format!("{}, so nothing is answered from it", in_short(report)))
        .hint("`countersign verify` says what was checked and what not")
}

/// One line on what was verified.
pub(crate) fn status(report: &Report, is_pinned: bool) -> String {
    let anchored = match report.anchored {
        0 => "not anchored by any checkpoint".to_owned(),
        anchored if anchored == report.entries => "all anchored by a checkpoint".to_owned(),
        anchored => format!("the first {anchored} anchored by a checkpoint"),
    };
    let pinned = if is_pinned { "" } else { " (id not pinned: --ledger-id)" };
    let ledger = report.ledger.as_ref().map(ToString::to_string).unwrap_or_default();
    format!("verified {}, {anchored}; ledger {ledger}{pinned}", count(report.entries, "entry", "entries"))
}
