//! `export` and `import`: ledgers from place to place, verified on the way. `copy`: their bytes alone. `checkpoint`: the note that is over them.

use std::io::BufReader;

use countersign_audit::{Damage, Progress};
use countersign_core::digest::LeafHash;
use countersign_core::entry::{Entry, Head};
use countersign_store::checkpoint_size;
use countersign_store::jsonl::{JsonlError, Lines};
use serde_json::json;

use crate::args::{self, Export, Import, Opening, Reading};
use crate::failure::Failure;
use crate::files::replace;
use crate::ledger::verified;
use crate::place::{BATCH, Place};
use crate::session::Session;
use crate::text::{count, safe};

/// A ledger that was verified, and is read a second time to be written: it may be larger than memory.
struct Copy<'r> {
    reading: &'r Reading,
    /// How many entries were verified.
    size: u64,
    /// The leaf hash of the last entry of each batch. It stands for all entries up to it, so nothing else is written, whatever
    /// becomes of the ledger meanwhile.
    ends: Vec<LeafHash>,
    checkpoint: Option<(u64, Vec<u8>)>,
}

impl<'r> Copy<'r> {
    fn verify(reading: &'r Reading, session: &mut Session<'_, '_>) -> Result<Self, Failure> {
        let (mut size, mut ends) = (0, Vec::new());
        let (_, note) = verified(session, reading, |judged, _| {
            let entry = judged.entry();
            if entry.seq() % BATCH as u64 == 0 {
                ends.push(entry.leaf());
            } else if let Some(end) = ends.last_mut() {
                *end = entry.leaf();
            }
            size = entry.seq() + 1;
        })?;
        let checkpoint = note.and_then(|note| Some((checkpoint_size(&note)?, note)));
        Ok(Self { reading, size, ends, checkpoint })
    }

    /// Hands out the entries that were verified, batch by batch.
    fn read(&self, mut take: impl FnMut(&[Entry]) -> Result<(), Failure>) -> Result<(), Failure> {
        let mut source = Place::of(&self.reading.path)?.source()?;
        let (mut ends, mut left) = (self.ends.iter(), self.size);
        let mut batch = Vec::with_capacity(BATCH);
        while let Some(segment) = source.next_segment()? {
            let mut lines = Lines::new(BufReader::new(segment.bytes));
            while left > 0
                && let Some(line) = lines.next().map_err(|_| changed())?
            {
                batch.push(Entry::parse(line.bytes).map_err(|_| changed())?);
                left -= 1;
                if batch.len() == BATCH || left == 0 {
                    let is_verified =
                        ends.next() == batch.last().map(Entry::leaf).as_ref() && is_chain(&batch);
                    if !is_verified {
                        return Err(changed());
                    }
                    take(&batch)?;
                    batch.clear();
                }
            }
        }
        if left > 0 { Err(changed()) } else { Ok(()) }
    }
}

/// Whether each entry names the one before it: then the last leaf hash is one of them all.
fn is_chain(entries: &[Entry]) -> bool {
    entries.windows(2).all(|pair| pair[1].prev() == pair[0].leaf())
}

fn changed() -> Failure {
    Failure::told("the ledger was changed while it was copied")
        .hint("try again: nothing was written that was not verified")
}

fn save(
    copy: &Copy<'_>,
    to: &Place,
    opening: Opening,
    json: bool,
    session: &mut Session<'_, '_>,
) -> Result<bool, Failure> {
    let mut writer = to.writer(opening, session)?;
    copy.read(|entries| writer.write(entries))?;
    let before = writer.finish(copy.size, copy.checkpoint.clone())?;
    let leaf = copy.ends.last().copied();
    let checkpoint = copy.checkpoint.as_ref().map(|(size, _)| *size);
    tell(&Copied { to, before, size: copy.size, leaf, checkpoint }, json, session)
}

/// What stands at a place once a ledger was copied there.
struct Copied<'p> {
    to: &'p Place,
    /// How many entries were there before.
    before: u64,
    size: u64,
    /// The leaf hash of the last entry.
    leaf: Option<LeafHash>,
    /// Over how many entries the checkpoint that came along is.
    checkpoint: Option<u64>,
}

fn tell(copied: &Copied<'_>, json: bool, session: &mut Session<'_, '_>) -> Result<bool, Failure> {
    let Copied { to, before, size, leaf, checkpoint } = *copied;
    let new = size - before;
    if json {
        let shown = to.shown();
        session.print_json(&json!({
            "to": shown, "entries": size, "new": new, "leaf": leaf, "checkpoint": checkpoint,
        }))?;
        return Ok(true);
    }
    let place = safe(&to.shown()).into_owned();
    let entries = |number| count(number, "entry", "entries");
    session.note(&match (before, new) {
        (0, new) => format!("wrote {} to {place}", entries(new)),
        (_, 0) => format!("no entry is new: {place} holds these {} already", entries(before)),
        (before, 1) => format!("wrote 1 new entry to {place}, behind the {before} that it had"),
        (before, new) => format!("wrote {new} new entries to {place}, behind the {before} that it had"),
    });
    Ok(true)
}

pub(super) fn export(args: Export, session: &mut Session<'_, '_>) -> Result<bool, Failure> {
    let to = Place::of(&args.to)?;
    let is_output = args.to.as_os_str() == "-";
    if is_output && args.json {
        return Err(Failure::told("--json and the entries can not both go to the output")
            .hint("the entries are JSON, one object a line"));
    }
    if !is_output {
        to.refuse_taken().map_err(|failure| {
            failure.hint("export writes a new ledger; `countersign import` continues one that is there")
        })?;
    }
    let copy = Copy::verify(&args.reading, session)?;
    if is_output {
        copy.read(|entries| {
            entries.iter().try_for_each(|entry| {
                session.print_bytes(entry.bytes())?;
                session.print_bytes(b"\n")
            })
        })?;
        return Ok(true);
    }
    save(&copy, &to, Opening::default(), args.json, session)
}

pub(super) fn import(args: Import, session: &mut Session<'_, '_>) -> Result<bool, Failure> {
    let copy = Copy::verify(&args.reading, session)?;
    save(&copy, &Place::of(&args.to)?, args.opening, args.json, session)
}

/// The checkpoint that lies with a ledger, once the ledger was verified against it.
pub(super) fn checkpoint(args: args::Checkpoint, session: &mut Session<'_, '_>) -> Result<bool, Failure> {
    if let Some(path) = args.out.as_deref().filter(|path| path.symlink_metadata().is_ok()) {
        return Err(Failure::told(format!("`{}` exists already", path.display())).hint(
            "choose another name: a checkpoint that was kept is evidence, and nothing is overwritten",
        ));
    }
    let (report, note) = verified(session, &args.reading, |_, _| {})?;
    let Some(note) = note else {
        return Err(Failure::refused("no checkpoint lies with the ledger")
            .hint("who records signs one, such as `countersign submit` behind what it recorded"));
    };
    match &args.out {
        None => session.print_bytes(&note)?,
        Some(path) => {
            let failed = |error| Failure::of(format!("`{}` can not be written", path.display()), &error);
            replace(path, &note).map_err(failed)?;
            let anchored = count(report.anchored, "entry", "entries");
            session.note(&format!(
                "wrote the checkpoint over {anchored} to {}",
                safe(&path.display().to_string())
            ));
        }
    }
    Ok(true)
}

/// Entry by entry, in memory that does not grow. What stands at `TO` is read and compared; nothing is written before all of it was found in
/// `FROM`.
pub(super) fn copy(args: args::Copy, session: &mut Session<'_, '_>) -> Result<bool, Failure> {
    let (from, to) = (Place::of(&args.from)?, Place::of(&args.to)?);
    let mut source = from.durable_source()?;
    let note = source.checkpoints()?.pop().map(|file| file.bytes);
    let mut writer = to.writer(args.opening, session)?;
    let (mut head, mut bytes) = (Head::EMPTY, 0);
    let total_bytes = source.total_bytes();
    let bar = session.progress();
    let mut batch = Vec::with_capacity(BATCH);
    while let Some(segment) = source.next_segment()? {
        let mut lines = Lines::new(BufReader::new(segment.bytes));
        while let Some(line) = lines.next().map_err(|error| unread(&from, error))? {
            bytes += line.bytes.len() as u64 + 1;
            let entry = Entry::parse(line.bytes).map_err(|fault| {
                Failure::of(format!("entry {} is none", head.size), &fault).into_refused()
            })?;
            if (Head { size: entry.seq(), leaf: entry.prev() }) != head {
                return Err(Failure::refused(format!("entry {} does not follow the one before", head.size)));
            }
            head = entry.head();
            batch.push(entry);
            if batch.len() == BATCH {
                writer.write(&batch)?;
                batch.clear();
                bar.show(Progress { bytes, total_bytes, entries: head.size });
            }
        }
    }
    writer.write(&batch)?;
    bar.finish();
    let checkpoint = note.and_then(|note| Some((checkpoint_size(&note)?, note)));
    let checkpoint = checkpoint.filter(|(size, _)| *size <= head.size);
    let covers = checkpoint.as_ref().map(|(size, _)| *size);
    let before = writer.finish(head.size, checkpoint)?;
    let leaf = (head.size > 0).then_some(head.leaf);
    tell(&Copied { to: &to, before, size: head.size, leaf, checkpoint: covers }, args.json, session)
}

fn unread(from: &Place, error: JsonlError) -> Failure {
    let what = format!("`{}` can not be read", from.shown());
    match error {
        JsonlError::Io(cause) => {
            let failure = Failure::of(what, &cause);
            let is_damage = cause.get_ref().is_some_and(|cause| cause.is::<Damage>());
            if is_damage { failure.into_refused() } else { failure }
        }
        error => Failure::of(what, &error).into_refused(),
    }
}
