//! Opening for writing: what a crash left is found, and made durable before anybody is shown it.
//!
//! Each step may be cut off by another crash; opening again then comes to the same end.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use countersign_core::entry::{Entry, Head};

use super::error::{OpenError, at};
use super::evidence::{HeadFile, Known};
use super::inspect;
use super::io::{
    append_all, begins_with, copy, ensure_dir, open, open_if_there, parent, remove_if_there, replace, same,
    uninterrupted,
};
use super::lines::{LineFault, Lines, Next, Rest, Scanned, chained, last_line, link, scan};
use super::names::{self, CHECKPOINT, ENTRIES, EntryName, LOCK};
use super::options::Options;
use super::segment::{Active, Sealed};
use crate::NoteBytes;
use crate::vfs::{Access, FileKind, Vfs, VfsDir as _, VfsFile};

/// What opening found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// What was cut from the end of the last segment.
    pub cut: Option<Cut>,
    /// How many entries stood in the last segment without anybody to say that they were durable. They are now.
    pub rewritten: u64,
    /// What does not belong in the directory, and is left alone.
    pub foreign: Vec<PathBuf>,
}

/// Bytes that a recovery cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The segment.
    pub segment: PathBuf,
    /// Where they started in it.
    pub offset: u64,
    /// How many there were.
    pub size: u64,
    /// The file where they are kept.
    pub kept: PathBuf,
    /// What was wrong with the first whole line of them; none where no line feed was among them.
    pub fault: Option<LineFault>,
}

/// A directory that is open for writing, all that is shown of it durable.
#[derive(Debug)]
pub(super) struct Opened<V: Vfs> {
    pub(super) lock: V::Lock,
    pub(super) root: V::Dir,
    pub(super) entries: V::Dir,
    pub(super) sealed: Vec<Sealed>,
    pub(super) active: Active<V>,
    pub(super) head: Head,
    pub(super) head_file: HeadFile<V>,
    pub(super) checkpoint: Option<(u64, NoteBytes)>,
    pub(super) recovery: Recovery,
}

/// Opens `dir` for writing, and makes it if there is nothing.
pub(super) fn recover<V: Vfs>(vfs: &V, dir: &Path, options: &Options) -> Result<Opened<V>, OpenError> {
    let parent = parent(dir);
    let is_there = uninterrupted(|| vfs.metadata(dir)).map_err(at(dir))?.is_some();
    if !options.network_file_system {
        let path = if is_there { dir } else { &parent };
        if let Some(name) = uninterrupted(|| vfs.network_file_system(path)).map_err(at(path))? {
            return Err(OpenError::NetworkFileSystem { path: dir.to_owned(), name });
        }
    }
    // Others may make the same ledger at the same moment: the lock says whose it is.
    if !is_there {
        ensure_dir(vfs, dir).map_err(at(dir))?;
    }
    let Survey { has_entries, mut foreign } = survey(vfs, dir)?;
    let lock = uninterrupted(|| vfs.try_lock(&dir.join(LOCK))).map_err(at(dir))?;
    let lock = lock.ok_or_else(|| OpenError::Locked { path: dir.to_owned() })?;
    let root = uninterrupted(|| vfs.open_dir(dir)).map_err(at(dir))?;
    let place = dir.join(ENTRIES);
    if !has_entries {
        ensure_dir(vfs, &place).map_err(at(&place))?;
    }
    // Always: who made the directories may have been killed before it synced them, or may have copied them.
    root.sync().map_err(at(dir))?;
    match uninterrupted(|| vfs.open_dir(&parent)) {
        Ok(above) => above.sync().map_err(at(&parent))?,
        // Whoever may not look at it has not made a name in it either.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && is_there => {}
        Err(error) => return Err(at(&parent)(error)),
    }
    let entries = uninterrupted(|| vfs.open_dir(&place)).map_err(at(&place))?;
    let known = Known::read(vfs, dir)?;
    foreign.extend(inspect::foreign(vfs, dir)?);
    let mut work =
        Work { vfs, dir, options, entries, known, recovery: Recovery { foreign, ..Recovery::default() } };
    let names = work.list()?;
    let (sealed, before) = sealed(vfs, dir, &names.segments, work.known.size(), true)?;
    let (active, head) = {
        let last = names.segments.last().copied();
        for (first, offset, kept) in &names.rewrites {
            work.resume(*first, *offset, kept, (Some(*first) == last).then_some(before))?;
        }
        work.active(last, before)?
    };
    let Work { entries, known, recovery, .. } = work;
    if let Some((_, note)) = &known.checkpoint {
        // What is shown must stay, and a sync of the directory by whoever put it there may have failed.
        let path = dir.join(CHECKPOINT);
        let written = replace(vfs, &root, &path, |file| append_all(file, note));
        written.map_err(|error| at(&path)(error.into()))?;
    }
    // In the same way as for the checkpoint: from here on, who opens this knows what is durable.
    let head_file = HeadFile::start(vfs, dir, head).map_err(at(dir))?;
    let checkpoint = known.checkpoint;
    Ok(Opened { lock, root, entries, sealed, active, head, head_file, checkpoint, recovery })
}

/// What stands in the directory itself.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) has_entries: bool,
    pub(super) foreign: Vec<PathBuf>,
}

/// # Errors
/// [`OpenError::NotALedger`] where nothing of a ledger is there and something else is.
pub(super) fn survey<V: Vfs>(vfs: &V, dir: &Path) -> Result<Survey, OpenError> {
    let (mut has_entries, mut foreign) = (false, Vec::new());
    for entry in uninterrupted(|| vfs.read_dir(dir)).map_err(at(dir))? {
        let name = entry.name.to_str().unwrap_or("");
        let belongs = match entry.metadata.kind {
            FileKind::Dir => [ENTRIES, names::SNAPSHOTS, names::INDEX].contains(&name),
            FileKind::File => {
                let finished = name.strip_suffix(names::UNFINISHED).unwrap_or(name);
                name == LOCK || [CHECKPOINT, names::HEAD].contains(&finished)
            }
            FileKind::Other => false,
        };
        has_entries |= entry.name == ENTRIES && belongs;
        if !belongs {
            foreign.push(dir.join(entry.name));
        }
    }
    match foreign.first() {
        Some(found) if !has_entries => {
            Err(OpenError::NotALedger { path: dir.to_owned(), found: found.clone() })
        }
        Some(_) | None => Ok(Survey { has_entries, foreign }),
    }
}

/// Checks where the sealed segments meet, and returns them with the head that the last segment goes behind.
///
/// Only the first and the last line of each are read. With `sync`, those that are not known to be durable to `known` entries are synced.
pub(super) fn sealed<V: Vfs>(
    vfs: &V,
    dir: &Path,
    segments: &[u64],
    known: u64,
    sync: bool,
) -> Result<(Vec<Sealed>, Head), OpenError> {
    let mut head = Head::EMPTY;
    let mut sealed = Vec::new();
    if let Some(first) = segments.first().filter(|first| **first != 0) {
        return Err(missing(dir, 0, 0, *first));
    }
    for pair in segments.windows(2) {
        let (first, next) = (pair[0], pair[1]);
        let path = names::segment(dir, first);
        let damaged = |offset, seq, fault| OpenError::Damaged { segment: path.clone(), offset, seq, fault };
        let file = open(vfs, &path, Access::Read).map_err(at(&path))?;
        let size = uninterrupted(|| file.size()).map_err(at(&path))?;
        match Lines::new(&file, 0, size).next().map_err(at(&path))? {
            Next::Line(line) => link(line, head).map_err(|fault| damaged(0, first, fault))?,
            Next::End | Next::Unfinished | Next::TooLong => {
                return Err(damaged(0, first, LineFault::Missing));
            }
        };
        let Some((offset, line)) = last_line(&file, size).map_err(at(&path))? else {
            return Err(damaged(size, next - 1, LineFault::Missing));
        };
        let last =
            Entry::parse(line).map_err(|fault| damaged(offset, next - 1, LineFault::NoEntry(fault)))?;
        head = last.head();
        if head.size < next {
            return Err(missing(dir, head.size, first, next));
        }
        if head.size != next {
            return Err(damaged(offset, next - 1, LineFault::Unlinked));
        }
        if sync && next > known {
            file.sync().map_err(at(&path))?;
        }
        sealed.push(Sealed::new(first, next, path, size));
    }
    Ok((sealed, head))
}

/// Nothing has the entries from `seq` on, of which `next` is the first that is there again.
fn missing(dir: &Path, seq: u64, before: u64, next: u64) -> OpenError {
    let segment = names::segment(dir, if next == seq { before } else { seq });
    OpenError::Damaged { segment, offset: 0, seq, fault: LineFault::Missing }
}

/// The names in `entries` that matter: the first positions of segments, sorted, and entries that are being written again.
#[derive(Debug, Default)]
struct Names {
    segments: Vec<u64>,
    /// Segment, offset and path of each, sorted.
    rewrites: Vec<(u64, u64, PathBuf)>,
}

struct Work<'w, V: Vfs> {
    vfs: &'w V,
    dir: &'w Path,
    options: &'w Options,
    entries: V::Dir,
    known: Known,
    recovery: Recovery,
}

impl<V: Vfs> Work<'_, V> {
    fn list(&self) -> Result<Names, OpenError> {
        let place = self.dir.join(ENTRIES);
        let mut names = Names::default();
        for entry in uninterrupted(|| self.vfs.read_dir(&place)).map_err(at(&place))? {
            let path = place.join(&entry.name);
            let name = EntryName::parse(&entry.name).filter(|_| entry.metadata.kind == FileKind::File);
            match name {
                Some(EntryName::Segment { first }) => names.segments.push(first),
                Some(EntryName::Torn { .. }) => {}
                Some(EntryName::Rewrite { first, offset }) => {
                    names.rewrites.push((first, offset, path));
                }
                Some(EntryName::Unfinished) => remove_if_there(self.vfs, &path).map_err(at(&path))?,
                None => return Err(OpenError::UnknownName { path }),
            }
        }
        names.rewrites.sort();
        Ok(names)
    }

    /// The last segment, in which all of what is left is durable, and the head after it.
    fn active(&mut self, last: Option<u64>, before: Head) -> Result<(Active<V>, Head), OpenError> {
        let Some(first) = last else {
            if let Some((floor, evidence)) = self.known.floor().filter(|(floor, _)| *floor > 0) {
                return Err(OpenError::BelowFloor { entries: 0, floor, evidence });
            }
            let path = names::segment(self.dir, 0);
            let file = self.create(&path)?;
            return Ok((Active::new(0, &path, file.into()), Head::EMPTY));
        };
        let before = if first == 0 { Head::EMPTY } else { before };
        let path = names::segment(self.dir, first);
        let file = open(self.vfs, &path, Access::Write).map_err(at(&path))?;
        let file = Arc::new(file);
        let size = uninterrupted(|| file.size()).map_err(at(&path))?;
        let mut leaf_of_known = (self.known.head == Some(before)).then_some(before.leaf);
        let (mut active, start) = match self.known.head.filter(|known| known.size > before.size) {
            Some(known) => match chained(&*file, size, before, known).map_err(at(&path))? {
                Some(ends) => {
                    leaf_of_known = Some(known.leaf);
                    (Active::chained(first, &path, file.clone(), ends), known)
                }
                None => (Active::new(first, &path, file.clone()), before),
            },
            None => (Active::new(first, &path, file.clone()), before),
        };
        let scanned = {
            let known = self.known.head;
            let from = active.size();
            let found = |entry: &Entry, end| {
                if known.is_some_and(|known| known.size == entry.head().size) {
                    leaf_of_known = Some(entry.leaf());
                }
                active.push(entry, end);
            };
            scan(&*file, from, size, start, u64::MAX, found).map_err(at(&path))?
        };
        self.judge(&path, &scanned)?;
        if let Some(known) = self.known.head
            && known.size >= before.size
            && known.size > 0
            && leaf_of_known != Some(known.leaf)
        {
            return Err(OpenError::OtherHistory { seq: known.size - 1 });
        }
        if scanned.end < size {
            self.cut(&file, &path, first, &scanned, size)?;
        }
        if active.ends.is_empty() {
            // The directory may not have been synced by whoever made it, and to sync it again would not help if that had failed.
            remove_if_there(self.vfs, &path).map_err(at(&path))?;
            active.file = self.create(&path)?.into();
        } else {
            let proven = self.known.size();
            if proven < scanned.head.size {
                self.write_again(&file, &path, &active, proven.max(first), scanned.head, before)?;
            } else {
                file.sync().map_err(at(&path))?;
            }
            self.entries.sync().map_err(at(&path))?;
        }
        Ok((active, scanned.head))
    }

    fn create(&self, path: &Path) -> Result<V::File, OpenError> {
        let file = open(self.vfs, path, Access::CreateNew).map_err(at(path))?;
        file.sync().map_err(at(path))?;
        self.entries.sync().map_err(at(path))?;
        Ok(file)
    }

    /// Refuses what no recovery repairs.
    fn judge(&self, segment: &Path, scanned: &Scanned) -> Result<(), OpenError> {
        if self.options.hooks.cuts_at_the_first_bad_line {
            return Ok(());
        }
        let (entries, offset, segment) = (scanned.head.size, scanned.end, segment.to_owned());
        let floor = self.known.floor().filter(|(floor, _)| *floor > entries);
        match (&scanned.rest, floor) {
            (Rest::Nothing, Some((floor, evidence))) => {
                Err(OpenError::BelowFloor { entries, floor, evidence })
            }
            (Rest::Torn, Some(_)) => {
                Err(OpenError::Damaged { segment, offset, seq: entries, fault: LineFault::Missing })
            }
            (Rest::Bad(fault), Some(_)) => {
                Err(OpenError::Damaged { segment, offset, seq: entries, fault: fault.clone() })
            }
            (Rest::Bad(fault), None) if !self.options.cut_unproven => {
                Err(OpenError::Unproven { segment, offset, seq: entries, fault: fault.clone() })
            }
            (Rest::Nothing | Rest::Torn | Rest::Bad(_), None) => Ok(()),
        }
    }

    /// Cuts what is behind the good lines, once it is durably kept aside.
    fn cut(
        &mut self,
        file: &V::File,
        path: &Path,
        first: u64,
        scanned: &Scanned,
        size: u64,
    ) -> Result<(), OpenError> {
        let offset = scanned.end;
        let mut number = 1;
        let kept = loop {
            let kept = names::torn(self.dir, first, offset, number);
            match open_if_there(self.vfs, &kept, Access::Read).map_err(at(&kept))? {
                // Other bytes were cut at this place before.
                Some(other) if !same(file, offset, size, &other).map_err(at(&kept))? => number += 1,
                Some(_) | None => break kept,
            }
        };
        let written = replace(self.vfs, &self.entries, &kept, |to| copy(file, offset, size, to));
        written.map_err(|error| at(&kept)(error.into()))?;
        self.truncate(file, path, size, offset)?;
        file.sync().map_err(at(path))?;
        let fault = match &scanned.rest {
            Rest::Bad(fault) => Some(fault.clone()),
            Rest::Nothing | Rest::Torn => None,
        };
        self.recovery.cut = Some(Cut { segment: path.to_owned(), offset, size: size - offset, kept, fault });
        Ok(())
    }

    /// Writes the entries from `proven` on again, so that a sync saves them.
    fn write_again(
        &mut self,
        file: &V::File,
        path: &Path,
        active: &Active<V>,
        proven: u64,
        head: Head,
        before: Head,
    ) -> Result<(), OpenError> {
        let index = usize::try_from(proven - active.first).unwrap_or(usize::MAX).min(active.ends.len());
        let (start, end) = (active.start(index), active.size());
        let kept = names::rewrite(self.dir, active.first, start);
        let written = replace(self.vfs, &self.entries, &kept, |to| copy(file, start, end, to));
        written.map_err(|error| at(&kept)(error.into()))?;
        self.truncate(file, path, end, start)?;
        self.restore(file, path, &kept)?;
        // The bytes went through memory once more. What is shown is what was verified.
        let size = uninterrupted(|| file.size()).map_err(at(path))?;
        let again = scan(file, 0, size, before, u64::MAX, |_, _| {}).map_err(at(path))?;
        if again != (Scanned { head, end, rest: Rest::Nothing }) {
            let (offset, seq) = (again.end, again.head.size);
            return Err(OpenError::Damaged {
                segment: path.to_owned(),
                offset,
                seq,
                fault: LineFault::Missing,
            });
        }
        self.recovery.rewritten = head.size - proven;
        remove_if_there(self.vfs, &kept).map_err(at(&kept))
    }

    /// Goes on with a recovery that was cut off while it wrote entries of the last segment again. `before` is what that one goes
    /// behind; none for a segment that is not the last.
    fn resume(&self, first: u64, offset: u64, kept: &Path, before: Option<Head>) -> Result<(), OpenError> {
        let path = names::segment(self.dir, first);
        let there = open(self.vfs, kept, Access::Read).map_err(at(kept))?;
        let length = uninterrupted(|| there.size()).map_err(at(kept))?;
        let foreign = || OpenError::UnknownName { path: kept.to_owned() };
        let file =
            open_if_there(self.vfs, &path, if before.is_some() { Access::Write } else { Access::Read });
        let file = file.map_err(at(&path))?.ok_or_else(foreign)?;
        let size = uninterrupted(|| file.size()).map_err(at(&path))?;
        let end = offset.saturating_add(length);
        let is_same = size >= end && same(&file, offset, end, &there).map_err(at(&path))?;
        if let Some(before) = before.filter(|_| (offset..=end).contains(&size)) {
            // Where the segment was cut, the copy was durable before. Where it has the same bytes, nothing is proved: it may not have been
            // cut, and the copy's name never synced; or it may be restored, and never synced (F-02). So both are written once more, the copy
            // first, and it goes after a sync that succeeded.
            if !is_same {
                let before = match offset {
                    0 => Some(before),
                    _ => head_before(&file, offset).map_err(at(&path))?,
                };
                let before = before.ok_or_else(foreign)?;
                let copied = scan(&there, 0, length, before, u64::MAX, |_, _| {}).map_err(at(kept))?;
                if copied.rest != Rest::Nothing {
                    return Err(foreign());
                }
                // What was cut off in being restored is entries of the copy, and rubbish behind them. Other entries are another history, and
                // nobody knows which of the two was shown.
                let restored = scan(&file, offset, size, before, u64::MAX, |_, _| {}).map_err(at(&path))?.end;
                if !begins_with(&there, &file, offset, restored).map_err(at(kept))? {
                    return Err(foreign());
                }
            }
            let written = replace(self.vfs, &self.entries, kept, |to| copy(&there, 0, length, to));
            written.map_err(|error| at(kept)(error.into()))?;
            self.truncate(&file, &path, size, offset)?;
            self.restore(&file, &path, kept)?;
        } else if !is_same {
            return Err(foreign());
        }
        remove_if_there(self.vfs, kept).map_err(at(kept))?;
        self.entries.sync().map_err(at(&path))
    }

    fn restore(&self, file: &V::File, path: &Path, kept: &Path) -> Result<(), OpenError> {
        let from = open(self.vfs, kept, Access::Read).map_err(at(kept))?;
        let length = uninterrupted(|| from.size()).map_err(at(kept))?;
        copy(&from, 0, length, file).and_then(|()| file.sync()).map_err(at(path))
    }

    /// Cuts a file that has still the size that it was judged by.
    fn truncate(&self, file: &V::File, path: &Path, size: u64, to: u64) -> Result<(), OpenError> {
        let cut = || -> io::Result<()> {
            if uninterrupted(|| file.size())? != size {
                // Somebody writes who holds no lock.
                return Err(io::ErrorKind::ResourceBusy.into());
            }
            uninterrupted(|| file.truncate(to))
        };
        cut().map_err(at(path))
    }
}

/// The head that the line at an offset goes behind, by the line before it; none where that is no entry.
fn head_before(file: &impl VfsFile, offset: u64) -> io::Result<Option<Head>> {
    let line = last_line(file, offset)?;
    Ok(line.and_then(|(_, line)| Some(Entry::parse(line).ok()?.head())))
}
