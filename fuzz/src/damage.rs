//! Files changed as bytes say: by what disks and copies do to them, and by what somebody does who knows their lines.
//!
//! Any bytes are a list of changes, so that a fuzzer that changes bytes changes what is done, and each change can be taken out by
//! itself.

use std::collections::BTreeMap;

/// Files by their path below a folder, with slashes.
pub type Files = BTreeMap<String, Vec<u8>>;

/// What is put in beside what stands there.
#[derive(Debug, Clone, Default)]
pub struct Others {
    /// Lines, without their line feeds: of other histories, of entries that were never there.
    pub lines: Vec<Vec<u8>>,
    /// Whole files with their names: older ones, newer ones, those of others.
    pub files: Vec<(String, Vec<u8>)>,
    /// Names that files are moved to.
    pub names: Vec<String>,
}

/// The bytes as they are used up; zeros behind their end.
struct Bytes<'b>(&'b [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        self.0.split_off_first().copied().unwrap_or(0)
    }

    /// One of so many, 0 where there are none.
    fn below(&mut self, end: usize) -> usize {
        let high = if end > 256 { usize::from(self.next()) << 8 } else { 0 };
        (high | usize::from(self.next())) % end.max(1)
    }

    fn take(&mut self, most: usize) -> Vec<u8> {
        let length = self.below(most + 1).min(self.0.len());
        self.0.split_off(..length).unwrap_or(&[]).to_vec()
    }
}

/// How many changes are made at most.
const MAX_CHANGES: usize = 8;
/// How many kinds of change there are.
pub const KINDS: u8 = 22;
/// What a disk writes at once.
const SECTOR_LEN: usize = 512;

/// Makes the changes that `bytes` name.
pub fn apply(files: &mut Files, others: &Others, bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    for _ in 0..MAX_CHANGES {
        if bytes.0.is_empty() || files.is_empty() {
            return;
        }
        change(files, others, &mut bytes);
    }
}

fn change(files: &mut Files, others: &Others, bytes: &mut Bytes<'_>) {
    let kind = bytes.next() % KINDS;
    let mut names: Vec<String> = files.keys().cloned().collect();
    // Every other time the entries themselves: in other files most damage has the same effect.
    if bytes.next().is_multiple_of(2) && names.iter().any(|name| is_among_entries(name)) {
        names.retain(|name| is_among_entries(name));
    }
    let name = &names[bytes.below(names.len())];
    if kind >= 17 {
        return change_names(files, others, bytes, kind, name);
    }
    let donor = files[&names[bytes.below(names.len())]].clone();
    let file = files.get_mut(name).expect("it was listed");
    match kind {
        0..=8 => change_bytes(file, bytes, kind),
        9..=14 => change_lines(file, others, &donor, bytes, kind),
        _ => change_sectors(file, &donor, bytes, kind),
    }
}

fn is_among_entries(name: &str) -> bool {
    name.starts_with("entries/")
}

fn change_bytes(file: &mut Vec<u8>, bytes: &mut Bytes<'_>, kind: u8) {
    let at = bytes.below(file.len() + 1);
    let byte = bytes.next();
    let end = file.len().min(at + 1 + usize::from(byte));
    match kind {
        0 if at < file.len() => file[at] = byte,
        1 if at < file.len() => file[at] ^= 1 << (byte % 8),
        2 => drop(file.splice(at..at, bytes.take(64))),
        3 => drop(file.drain(at..end)),
        4 => file.truncate(at),
        5 => file[at..].fill(0),
        6 => file.extend(std::iter::repeat_n(0, usize::from(byte) * 64)),
        7 => file.extend(bytes.take(255)),
        // A digit, so that numbers become other numbers.
        _ => {
            let digits: Vec<usize> = (0..file.len()).filter(|at| file[*at].is_ascii_digit()).collect();
            if let Some(at) = digits.get(bytes.below(digits.len())) {
                file[*at] = b'0' + byte % 10;
            }
        }
    }
}

/// Of lines, each with its line feed, and what is behind the last.
fn change_lines(file: &mut Vec<u8>, others: &Others, donor: &[u8], bytes: &mut Bytes<'_>, kind: u8) {
    let mut lines: Vec<Vec<u8>> = file.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let (one, other) = (bytes.below(lines.len() + 1), bytes.below(lines.len() + 1));
    match kind {
        9 => lines.truncate(one),
        10 if one.max(other) < lines.len() => lines.swap(one, other),
        11 if one < lines.len() => drop(lines.remove(one)),
        12 if one < lines.len() => lines.insert(other, lines[one].clone()),
        13 if !others.lines.is_empty() => {
            let mut line = others.lines[bytes.below(others.lines.len())].clone();
            line.push(b'\n');
            // In the place of a line, or before it.
            let replaced = usize::from(other.is_multiple_of(2) && one < lines.len());
            lines.splice(one..one + replaced, [line]);
        }
        14 => {
            let foreign: Vec<&[u8]> = donor.split_inclusive(|byte| *byte == b'\n').collect();
            if let Some(line) = foreign.get(bytes.below(foreign.len())) {
                lines.insert(one, line.to_vec());
            }
        }
        _ => {}
    }
    *file = lines.concat();
}

/// Sectors that were not written, or are those of another place.
fn change_sectors(file: &mut [u8], donor: &[u8], bytes: &mut Bytes<'_>, kind: u8) {
    let mut sectors: Vec<&mut [u8]> = file.chunks_mut(SECTOR_LEN).collect();
    let one = bytes.below(sectors.len());
    let from: Vec<&[u8]> = donor.chunks(SECTOR_LEN).collect();
    let (Some(to), Some(from)) = (sectors.get_mut(one), from.get(bytes.below(from.len()))) else { return };
    if kind == 15 {
        to.fill(0);
    } else {
        let length = to.len().min(from.len());
        to[..length].copy_from_slice(&from[..length]);
    }
}

fn change_names(files: &mut Files, others: &Others, bytes: &mut Bytes<'_>, kind: u8, name: &str) {
    let to = others.names.get(bytes.below(others.names.len())).cloned();
    match (kind, to) {
        (17, _) => drop(files.remove(name)),
        (18, Some(to)) => {
            let file = files.remove(name).expect("it was listed");
            put(files, to, file);
        }
        (19, Some(to)) => {
            let copy = files[name].clone();
            put(files, to, copy);
        }
        (20, Some(to)) => put(files, to, bytes.take(255)),
        _ => {
            if let Some((name, file)) = others.files.get(bytes.below(others.files.len())) {
                put(files, name.clone(), file.clone());
            }
        }
    }
}

/// A file stands in no other's place: neither below it nor above it.
fn put(files: &mut Files, name: String, file: Vec<u8>) {
    let below =
        |lower: &str, upper: &str| lower.strip_prefix(upper).is_some_and(|rest| rest.starts_with('/'));
    files.retain(|other, _| !below(other, &name) && !below(&name, other));
    files.insert(name, file);
}
