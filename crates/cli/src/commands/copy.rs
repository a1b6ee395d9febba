//! `export` and `import`: ledgers from file to file, verified on the way.

use std::io;
use std::path::Path;

use countersign_audit::{CheckpointFile, LedgerBytes, LedgerFile, Source as _, verify_with};
use countersign_core::entry::Entry;
use countersign_core::note::SignedNote;
use countersign_store::jsonl::{self, JsonlError};
use countersign_store::{MemoryStore, Store as _};

use crate::args::{Export, Import, Reading};
use crate::failure::Failure;
use crate::ledger::{options, status, unverified};
use crate::session::Session;
use crate::text::{count, safe};

/// A ledger that was verified, entry by entry, with the checkpoint that lay beside it.
struct Copy {
    entries: Vec<Entry>,
    checkpoint: Option<(u64, Vec<u8>)>,
}

fn read(reading: &Reading, session: &mut Session<'_, '_>) -> Result<Copy, Failure> {
    let options = options(reading)?;
    // Read once: what is verified is what is written, whatever becomes of the file meanwhile.
    let mut bytes = Vec::new();
    let mut file = LedgerFile::open(&reading.path)?;
    if let Some(mut segment) = file.next_segment()? {
        io::Read::read_to_end(&mut segment.bytes, &mut bytes)
            .map_err(|error| Failure::of("the ledger can not be read", &error))?;
    }
    let beside = LedgerFile::checkpoint_path(&reading.path);
    let note = if beside.exists() { Some(CheckpointFile::read(&beside)?.bytes) } else { None };
    let mut source = LedgerBytes::new(bytes);
    if let Some(note) = &note {
        source = source.with_checkpoint(note.clone());
    }
    let mut entries = Vec::new();
    let bar = session.progress();
    let report = verify_with(
        &mut source,
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

fn save(copy: Copy, to: &Path, session: &mut Session<'_, '_>) -> Result<bool, Failure> {
    let number = copy.entries.len() as u64;
    let store = MemoryStore::from_entries(copy.entries)
        .map_err(|_| Failure::refused("the entries do not follow one another"))?;
    if let Some((size, note)) = copy.checkpoint {
        super::runtime()?
            .block_on(store.put_checkpoint(size, note.into()))
            .map_err(|error| Failure::of("the checkpoint can not be kept", &error))?;
    }
    jsonl::save(&store, to).map_err(|error| match error {
        JsonlError::OtherHistory { .. } => Failure::refused(format!(
            "`{}` holds entries that are not the first ones of this copy: it is newer, or another history",
            to.display()
        ))
        .hint("nothing was changed; `countersign verify` both, with the same --ledger-id"),
        other => other.into(),
    })?;
    session.note(&format!(
        "wrote {} to {}",
        count(number, "entry", "entries"),
        safe(&to.display().to_string())
    ));
    Ok(true)
}

pub(super) fn export(args: Export, session: &mut Session<'_, '_>) -> Result<bool, Failure> {
    let is_output = args.to.as_os_str() == "-";
    if !is_output && args.to.symlink_metadata().is_ok() {
        return Err(Failure::told(format!("`{}` exists", args.to.display()))
            .hint("export writes a new file; `countersign import` continues one that is there"));
    }
    let copy = read(&args.reading, session)?;
    if is_output {
        for entry in &copy.entries {
            session.print_bytes(entry.bytes())?;
            session.print_bytes(b"\n")?;
        }
        return Ok(true);
    }
    save(copy, &args.to, session)
}

pub(super) fn import(args: Import, session: &mut Session<'_, '_>) -> Result<bool, Failure> {
    let copy = read(&args.reading, session)?;
    save(copy, &args.to, session)
}
