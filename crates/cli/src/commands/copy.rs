//! `export` and `import`: ledgers from place to place, verified on the way.

use countersign_audit::verify_with;
use countersign_core::entry::Entry;
use countersign_core::note::SignedNote;

use crate::args::{Export, Import, Reading};
use crate::failure::Failure;
use crate::ledger::{options, status, unverified};
use crate::place::Place;
use crate::session::Session;
use crate::text::{count, safe};

/// A ledger that was verified, entry by entry, with the checkpoint that lay beside it.
struct Copy {
    entries: Vec<Entry>,
    checkpoint: Option<(u64, Vec<u8>)>,
}

/// Reads once: what is verified is what is written, whatever becomes of the ledger meanwhile.
fn read(reading: &Reading, session: &mut Session<'_, '_>) -> Result<Copy, Failure> {
    let options = options(reading)?;
    let mut source = Place::of(&reading.path).source()?;
    let note = source.checkpoints()?.pop().map(|file| file.bytes);
    let mut entries = Vec::new();
    let bar = session.progress();
    let report = verify_with(
        &mut *source,
        &options,
        |judged, _| entries.push(judged.entry().clone()),
        |progress| {
            bar.show(progress);
        },
    );
    bar.finish();
    let report = report?;
    if !report.is_verified() {
        return Err(unverified(session, &report));
    }
    session.note(&status(&report, reading.ledger_id.is_some()));
    let checkpoint = note.and_then(|note| Some((checkpoint_size(&note)?, note)));
    Ok(Copy { entries, checkpoint })
}

/// Over how many entries a checkpoint is that was verified.
fn checkpoint_size(note: &[u8]) -> Option<u64> {
    let checkpoint: countersign_core::checkpoint::Checkpoint =
        SignedNote::parse(note).ok()?.untrusted_text().parse().ok()?;
    Some(checkpoint.size())
}

fn save(copy: Copy, to: &Place, session: &mut Session<'_, '_>) -> Result<bool, Failure> {
    let number = copy.entries.len() as u64;
    to.save(copy.entries, copy.checkpoint, session)?;
    session.note(&format!(
        "wrote {} to {}",
        count(number, "entry", "entries"),
        safe(&to.path().display().to_string())
    ));
    Ok(true)
}

pub(super) fn export(args: Export, session: &mut Session<'_, '_>) -> Result<bool, Failure> {
    let to = Place::of(&args.to);
    let is_output = args.to.as_os_str() == "-";
    if !is_output {
        to.refuse_taken().map_err(|failure| {
            failure.hint("export writes a new ledger; `countersign import` continues one that is there")
        })?;
    }
    let copy = read(&args.reading, session)?;
    if is_output {
        for entry in &copy.entries {
            session.print_bytes(entry.bytes())?;
            session.print_bytes(b"\n")?;
        }
        return Ok(true);
    }
    save(copy, &to, session)
}

pub(super) fn import(args: Import, session: &mut Session<'_, '_>) -> Result<bool, Failure> {
    let copy = read(&args.reading, session)?;
    save(copy, &Place::of(&args.to), session)
}
