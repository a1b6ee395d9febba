//! What is in a directory, told without changing anything.

use std::path::{Path, PathBuf};

use countersign_core::entry::Head;

use super::error::{OpenError, at};
use super::evidence::{Evidence, Known};
use super::index;
use super::io::{is_dir, open, uninterrupted};
use super::lines::{LineFault, Rest, scan};
use super::names::{self, ENTRIES, EntryName, INDEX, SNAPSHOTS};
use super::recover::{sealed, survey};
use super::snapshots::{self, SnapshotName};
use crate::vfs::{Access, FileKind, RealVfs, Vfs, VfsFile as _};

/// What is in a ledger directory, as far as opening it would look: the places where segments meet, and all of the last one. The rest is for
/// a verifier to read.
#[derive(Debug, Default)]
pub struct Report {
    /// The segments in order.
    pub segments: Vec<Segment>,
    /// How many good entries there are up to the first damage.
    pub entries: u64,
    /// How many of them are known to be durable, and who says so; none where nobody does.
    pub durable: Option<(u64, Evidence)>,
    /// How many entries the checkpoint is over; what it says is not verified.
    pub anchored: Option<u64>,
    /// Bytes behind the last line feed, which a writer will cut.
    pub torn: Option<Torn>,
    /// Why a writer will not open it.
    pub damage: Option<OpenError>,
    /// What recoveries cut.
    pub kept: Vec<Kept>,
    /// Kept snapshots: over how many entries, and of which projections.
    pub snapshots: Vec<(u64, Vec<String>)>,
    /// What a crash left that was not put in its place. It has no meaning, and a writer clears it away.
    pub unfinished: Vec<PathBuf>,
    /// What does not belong there.
    pub foreign: Vec<PathBuf>,
}

/// One segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The position of its first entry, as its name says.
    pub first: u64,
    /// The file.
    pub path: PathBuf,
    /// Its length in bytes.
    pub size: u64,
}

/// The beginning of a line that was cut off while it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// The segment.
    pub segment: PathBuf,
    /// Where it starts.
    pub offset: u64,
    /// How many bytes there are.
    pub size: u64,
}

/// Bytes that a recovery cut from a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Where they are kept.
    pub path: PathBuf,
    /// How many there are.
    pub size: u64,
}

/// Looks at a ledger directory, with or without a writer at work in it.
///
/// ```
/// # let dir = std::env::temp_dir().join(format!("countersign-doc-inspect-{}", std::process::id()));
/// # drop(countersign_store::file::FileStore::open(&dir)?);
/// let report = countersign_store::file::inspect(&dir)?;
/// assert_eq!((report.entries, report.segments.len()), (0, 1));
/// assert!(report.damage.is_none() && report.foreign.is_empty());
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`OpenError::NotALedger`], [`OpenError::Io`]. What is wrong with the entries is in the report.
pub fn inspect(dir: impl AsRef<Path>) -> Result<Report, OpenError> {
    inspect_in(&RealVfs, dir)
}

/// As [`inspect()`], in another file system.
///
/// # Errors
/// As there.
pub fn inspect_in<V: Vfs>(vfs: &V, dir: impl AsRef<Path>) -> Result<Report, OpenError> {
    let dir = dir.as_ref();
    let mut report = Report { foreign: survey(vfs, dir)?.foreign, ..Report::default() };
    for name in [names::CHECKPOINT, names::HEAD] {
        let path = names::unfinished(&dir.join(name));
        if uninterrupted(|| vfs.metadata(&path)).map_err(at(&path))?.is_some() {
            report.unfinished.push(path);
        }
    }
    let known = match Known::read(vfs, dir) {
        Ok(known) => known,
        Err(error @ OpenError::Checkpoint { .. }) => {
            report.damage = Some(error);
            Known::default()
        }
        Err(error) => return Err(error),
    };
    report.durable = known.floor();
    report.anchored = known.checkpoint.as_ref().map(|(size, _)| *size);
    list(vfs, dir, &mut report)?;
    let segments: Vec<u64> = report.segments.iter().map(|segment| segment.first).collect();
    let damage = match sealed(vfs, dir, &segments, 0, false) {
        Ok((_, before)) => last(vfs, before, &known, &mut report)?,
        Err(error @ OpenError::Damaged { seq, .. }) => {
            report.entries = seq;
            Some(error)
        }
        Err(error) => return Err(error),
    };
    let unknown = (report.foreign.iter()).find(|path| path.parent() == Some(&dir.join(ENTRIES)));
    let unknown = unknown.map(|path| OpenError::UnknownName { path: path.clone() });
    report.damage = report.damage.or(damage).or(unknown);
    Ok(report)
}

/// What does not belong in the folders beside the segments.
pub(super) fn foreign<V: Vfs>(vfs: &V, dir: &Path) -> Result<Vec<PathBuf>, OpenError> {
    let mut report = Report::default();
    list(vfs, dir, &mut report)?;
    Ok(report.foreign)
}

/// Sorts the names of all folders.
fn list<V: Vfs>(vfs: &V, dir: &Path, report: &mut Report) -> Result<(), OpenError> {
    for folder in [ENTRIES, SNAPSHOTS, INDEX] {
        let place = dir.join(folder);
        // What is none was told as foreign with the other names of the directory.
        if !is_dir(vfs, &place).unwrap_or(false) {
            continue;
        }
        let entries = match uninterrupted(|| vfs.read_dir(&place)) {
            // Nobody needs what is in it.
            Err(_) if folder != ENTRIES => {
                report.foreign.push(place);
                continue;
            }
            entries => entries.map_err(at(&place))?,
        };
        for entry in entries {
            let (path, size) = (place.join(&entry.name), entry.metadata.size);
            if entry.metadata.kind != FileKind::File {
                report.foreign.push(path);
                continue;
            }
            match folder {
                ENTRIES => match EntryName::parse(&entry.name) {
                    Some(EntryName::Segment { first }) => report.segments.push(Segment { first, path, size }),
                    Some(EntryName::Torn { .. }) => report.kept.push(Kept { path, size }),
                    Some(EntryName::Rewrite { .. } | EntryName::Unfinished) => report.unfinished.push(path),
                    None => report.foreign.push(path),
                },
                SNAPSHOTS => match SnapshotName::parse(&entry.name) {
                    Some(SnapshotName::Snapshot { .. }) => {}
                    Some(SnapshotName::Unfinished) => report.unfinished.push(path),
                    None => report.foreign.push(path),
                },
                _ => {
                    if !entry.name.to_str().is_some_and(index::is_name) {
                        report.foreign.push(path);
                    }
                }
            }
        }
    }
    report.snapshots = snapshots::list(vfs, dir).unwrap_or_default().into_iter().collect();
    Ok(())
}

/// Looks at the last segment; returns what keeps a writer out.
fn last<V: Vfs>(
    vfs: &V,
    before: Head,
    known: &Known,
    report: &mut Report,
) -> Result<Option<OpenError>, OpenError> {
    let floor = |entries| {
        let floor = known.floor().filter(|(floor, _)| *floor > entries);
        floor.map(|(floor, evidence)| OpenError::BelowFloor { entries, floor, evidence })
    };
    let Some(Segment { path, .. }) = report.segments.last().cloned() else {
        return Ok(floor(0));
    };
    let file = open(vfs, &path, Access::Read).map_err(at(&path))?;
    let size = uninterrupted(|| file.size()).map_err(at(&path))?;
    let mut leaf = (known.head == Some(before)).then_some(before.leaf);
    let scanned = scan(&file, 0, size, before, u64::MAX, |entry, _| {
        if known.head.is_some_and(|known| known.size == entry.seq() + 1) {
            leaf = Some(entry.leaf());
        }
    });
    let scanned = scanned.map_err(at(&path))?;
    let (entries, offset) = (scanned.head.size, scanned.end);
    report.entries = entries;
    let damaged = |fault| OpenError::Damaged { segment: path.clone(), offset, seq: entries, fault };
    let below = floor(entries);
    Ok(match scanned.rest {
        Rest::Torn if below.is_none() => {
            report.torn = Some(Torn { segment: path, offset, size: size - offset });
            None
        }
        Rest::Torn => Some(damaged(LineFault::Missing)),
        Rest::Bad(fault) if below.is_none() => {
            Some(OpenError::Unproven { segment: path, offset, seq: entries, fault })
        }
        Rest::Bad(fault) => Some(damaged(fault)),
        Rest::Nothing => below,
    }
    .or_else(|| {
        let other = |known: &Head| known.size > 0 && known.size >= before.size && leaf != Some(known.leaf);
        known.head.filter(other).map(|known| OpenError::OtherHistory { seq: known.size - 1 })
    }))
}
