//! Kept snapshots: a file for each, and a set is whole or is not looked at.
//!
//! A file starts with the line `countersign-kept-snapshot/v1 COUNT NOTE PAYLOAD` in decimal: how many snapshots the set has,
//! and the lengths in bytes of the note and of the payload, which follow and end the file. Nothing in it is looked at here.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use countersign_core::note::MAX_NOTE_LEN;

use super::io::{
    append_all, ensure_dir, is_dir, open, read_exact, read_up_to, remove_if_there, replace, uninterrupted,
};
use super::names::{SNAPSHOTS, UNFINISHED, decimal, digits};
use super::view::Shared;
use crate::vfs::{Access, FileKind, Vfs, VfsDir as _, VfsFile as _};
use crate::{KeptSnapshot, SnapshotSet};

const MAGIC: &str = "countersign-kept-snapshot/v1";
const SUFFIX: &str = ".snapshot";
/// Longest first line, with its line feed.
const MAX_HEADER_LEN: usize = MAGIC.len() + 3 * (1 + 20) + 1;

/// What a name in `snapshots` stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SnapshotName {
    /// The snapshot of one projection over so many entries.
    Snapshot { size: u64, name: String },
    /// What was not put in its place before a crash.
    Unfinished,
}

impl SnapshotName {
    /// What a name means; none where it does not belong there.
    pub(super) fn parse(file: &OsStr) -> Option<Self> {
        let file = file.to_str()?;
        if let Some(rest) = file.strip_suffix(UNFINISHED) {
            return Self::parse(OsStr::new(rest)).map(|_| Self::Unfinished);
        }
        let (size, name) = file.strip_suffix(SUFFIX)?.split_once('.')?;
        let size = digits(size)?;
        is_name(name).then(|| Self::Snapshot { size, name: name.to_owned() })
    }
}

/// The newest whole set over at most `size` entries. What can not be read is passed over: it is a shortcut, never an answer.
///
/// # Errors
/// Whatever keeps the folder from being listed.
pub(super) fn newest<V: Vfs>(shared: &Shared<V>, size: u64) -> io::Result<Option<SnapshotSet>> {
    let sets = list(&shared.vfs, &shared.dir)?;
    Ok(sets.range(..=size).rev().find_map(|(size, names)| read_set(shared, *size, names).ok()))
}

/// How many bytes the payload of a snapshot may have beside entries of so many bytes. One that has more saves nobody anything, and its
/// length may be anything: a file system takes a file of terabytes without a block of it.
const fn max_payload(entries: u64) -> u64 {
    (64 << 20) + entries.saturating_mul(4)
}

/// The names of what is kept, by the size that it is over.
pub(super) fn list<V: Vfs>(vfs: &V, dir: &Path) -> io::Result<BTreeMap<u64, Vec<String>>> {
    let place = dir.join(SNAPSHOTS);
    let mut sets = BTreeMap::<u64, Vec<String>>::new();
    if !is_dir(vfs, &place)? {
        return Ok(sets);
    }
    for entry in uninterrupted(|| vfs.read_dir(&place))? {
        if entry.metadata.kind == FileKind::File
            && let Some(SnapshotName::Snapshot { size, name }) = SnapshotName::parse(&entry.name)
        {
            sets.entry(size).or_default().push(name);
        }
    }
    for names in sets.values_mut() {
        names.sort();
    }
    Ok(sets)
}

/// Keeps a set durably, file by file, and forgets all but the newest.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] where a name is none or the set is not sorted by names; [`ErrorKind::FileTooLarge`]; those of the
/// file system.
pub(super) fn keep<V: Vfs>(shared: &Shared<V>, root: &V::Dir, set: &SnapshotSet) -> io::Result<()> {
    let Shared { vfs, dir, .. } = shared;
    let sorted = set.snapshots.is_sorted_by(|one, next| one.name < next.name);
    let named =
        set.snapshots.iter().all(|snapshot| is_name(&snapshot.name) && snapshot.note.len() <= MAX_NOTE_LEN);
    if set.snapshots.is_empty() || !sorted || !named {
        return Err(io::Error::new(ErrorKind::InvalidInput, "no set of snapshots with names of their own"));
    }
    let most = max_payload(shared.entry_bytes());
    if set.snapshots.iter().any(|snapshot| snapshot.payload.len() as u64 > most) {
        return Err(io::Error::new(ErrorKind::FileTooLarge, "a snapshot far longer than the entries"));
    }
    let place = dir.join(SNAPSHOTS);
    if !is_dir(vfs, &place)? {
        ensure_dir(vfs, &place)?;
        root.sync()?;
    }
    let folder = uninterrupted(|| vfs.open_dir(&place))?;
    for KeptSnapshot { name, note, payload } in &set.snapshots {
        let header = format!("{MAGIC} {} {} {}\n", set.snapshots.len(), note.len(), payload.len());
        replace(vfs, &folder, &path(dir, set.size, name), |file| {
            append_all(file, header.as_bytes())?;
            append_all(file, note)?;
            append_all(file, payload)
        })?;
    }
    for entry in uninterrupted(|| vfs.read_dir(&place))? {
        if SnapshotName::parse(&entry.name) == Some(SnapshotName::Unfinished) {
            remove_if_there(vfs, &place.join(entry.name))?;
        }
    }
    let sets = list(vfs, dir)?;
    let oldest = sets.keys().rev().nth(SnapshotSet::KEPT - 1).copied().unwrap_or(0);
    for (size, names) in sets {
        for name in names {
            // The one just made stays in any case: newer ones may be of no use to anybody.
            let kept = match size == set.size {
                true => set.snapshots.iter().any(|snapshot| snapshot.name == name),
                false => size >= oldest,
            };
            if !kept {
                remove_if_there(vfs, &path(dir, size, &name))?;
            }
        }
    }
    folder.sync()
}

fn read_set<V: Vfs>(shared: &Shared<V>, size: u64, names: &[String]) -> io::Result<SnapshotSet> {
    let mut snapshots = Vec::with_capacity(names.len());
    for name in names {
        let (count, note, payload) = read(shared, &path(&shared.dir, size, name))?;
        if count != names.len() as u64 {
            return Err(ErrorKind::InvalidData.into());
        }
        snapshots.push(KeptSnapshot { name: name.clone(), note: note.into(), payload });
    }
    Ok(SnapshotSet { size, snapshots })
}

fn read<V: Vfs>(shared: &Shared<V>, path: &Path) -> io::Result<(u64, Vec<u8>, Arc<[u8]>)> {
    let invalid = || io::Error::from(ErrorKind::InvalidData);
    let file = open(&shared.vfs, path, Access::Read)?;
    let mut start = [0; MAX_HEADER_LEN];
    let read = read_up_to(&file, 0, &mut start)?;
    let line = start[..read].split(|byte| *byte == b'\n').next().unwrap_or(&[]);
    let text = std::str::from_utf8(line).map_err(|_| invalid())?;
    let mut parts =
        text.strip_prefix(MAGIC).and_then(|rest| rest.strip_prefix(' ')).ok_or_else(invalid)?.split(' ');
    let mut number = || parts.next().and_then(decimal).ok_or_else(invalid);
    let (count, note, payload) = (number()?, number()?, number()?);
    let header = line.len() as u64 + 1;
    let whole = header.checked_add(note).and_then(|sum| sum.checked_add(payload));
    // No more memory is asked for than there are bytes.
    let fits = note <= MAX_NOTE_LEN as u64 && payload <= max_payload(shared.entry_bytes());
    if parts.next().is_some() || !fits || whole != Some(uninterrupted(|| file.size())?) {
        return Err(invalid());
    }
    let length = |length| usize::try_from(length).map_err(|_| invalid());
    let kept = read_exact(&file, header, length(note)?)?;
    let mut bytes: Arc<[u8]> = std::iter::repeat_n(0, length(payload)?).collect();
    let buffer = Arc::get_mut(&mut bytes).expect("nobody else has it yet");
    if read_up_to(&file, header + note, buffer)? < buffer.len() {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok((count, kept, bytes))
}

fn path(dir: &Path, size: u64, name: &str) -> PathBuf {
    dir.join(SNAPSHOTS).join(format!("{size:020}.{name}{SUFFIX}"))
}

/// `[a-z0-9][a-z0-9._-]{0,63}`
fn is_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    (1..=64).contains(&name.len())
        && name.bytes().all(inner)
        && name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_snapshots_has_one_meaning_and_near_misses_have_none() {
        let parse = |name: &str| SnapshotName::parse(OsStr::new(name));
        let made = path(Path::new("ledger"), 7, "a.jsonl");
        let wanted = SnapshotName::Snapshot { size: 7, name: "a.jsonl".into() };
        assert_eq!(SnapshotName::parse(made.file_name().unwrap()), Some(wanted));
        assert_eq!(parse("00000000000000000007.a.snapshot.new"), Some(SnapshotName::Unfinished));
        for name in [
            "00000000000000000007.snapshot",
            "00000000000000000007..snapshot",
            "00000000000000000007.A.snapshot",
            "00000000000000000007.-a.snapshot",
            "00000000000000000007.a",
            "7.a.snapshot",
        ] {
            assert_eq!(parse(name), None, "case: {name}");
        }
    }
}
