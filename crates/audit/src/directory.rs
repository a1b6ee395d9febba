//! A ledger in a directory: segments `entries/<seq of the first entry, 20 digits>.jsonl`, `checkpoint`, and what lies beside.
//!
//! The layout is docs/format.md, section 10. It is read by code of its own, never by the store that wrote it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use countersign_core::digest::LeafHash;
use serde::Serialize;

use crate::source::{CheckpointFile, Segment, SegmentPlace, Source, SourceError, open};

/// A ledger in a directory.
///
/// What is there is listed once, when it is opened, the checkpoint first: a ledger that grows meanwhile is read as it stood
/// then. Segments are opened one by one, so that thousands of them cost a name each.
pub struct LedgerDir {
    checkpoint: Option<CheckpointFile>,
    segments: std::vec::IntoIter<Listed>,
    total_bytes: u64,
    inventory: Inventory,
}

/// What lies in a ledger's directory beside entries and checkpoint. Nobody has looked into it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Inventory {
    /// How many segments there are, well named or not.
    pub segments: u64,
    /// How many entries the last writer says it made durable, in its file `head`. Nothing proves it.
    pub durable: Option<u64>,
    /// The leaf hash of the last of them, as that file says.
    #[serde(skip)]
    pub durable_leaf: Option<LeafHash>,
    /// Ends of segments that a recovery cut off and kept, sorted by name.
    pub cut: Vec<CutTail>,
    /// Names of what does not belong there, sorted, at most [`Inventory::MAX_NAMES`].
    pub foreign: Vec<String>,
    /// How many more there are, of both.
    pub unnamed: u64,
}

/// A kept end of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CutTail {
    /// Its name in the directory.
    pub name: String,
    /// Its size.
    pub bytes: u64,
}

impl Inventory {
    /// How many names it holds of each list: a directory may have any number of files.
    pub const MAX_NAMES: usize = 1_000;

    /// What `head` says: how many entries, at least one, and the leaf hash of the last.
    pub(crate) fn durable_head(&self) -> Option<(u64, LeafHash)> {
        Some((self.durable.filter(|size| *size > 0)?, self.durable_leaf?))
    }
}

/// A segment that was seen and not read yet.
struct Listed {
    path: PathBuf,
    name: String,
    place: SegmentPlace,
    length: u64,
}

impl LedgerDir {
    /// Lists the directory. Symbolic links are not followed.
    ///
    /// # Errors
    /// [`SourceError`]; [`SourceError::NotALedger`] where nothing there is a ledger.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, SourceError> {
        let path = path.as_ref();
        if !is_directory(path)? {
            return Err(SourceError::NotADirectory { path: path.to_owned() });
        }
        let entries = path.join("entries");
        match is_directory(&entries) {
            Ok(true) => {}
            Ok(false) => return Err(SourceError::NotADirectory { path: entries }),
            Err(SourceError::Missing { .. }) => {
                return Err(SourceError::NotALedger { path: path.to_owned() });
            }
            Err(error) => return Err(error),
        }
        // Before the segments: a checkpoint written after they were listed may be over entries that are in none of them.
        let checkpoint = CheckpointFile::read_if_there(&path.join("checkpoint"))?;
        let mut listing = Listing { durable: durable(&path.join("head"))?, ..Listing::default() };
        list(&entries, |name, entry| listing.take_entry(name, entry))?;
        list(path, |name, entry| listing.take_beside(name, entry))?;
        Ok(listing.into_directory(checkpoint))
    }
}

impl Source for LedgerDir {
    fn next_segment(&mut self) -> Result<Option<Segment>, SourceError> {
        let Some(Listed { path, name, place, length }) = self.segments.next() else { return Ok(None) };
        let bytes: Box<dyn Read + Send> = match place {
            SegmentPlace::Misnamed => Box::new(io::empty()),
            SegmentPlace::Whole | SegmentPlace::From(_) => Box::new(AsListed::new(open(&path)?.0, length)),
        };
        Ok(Some(Segment { name: Some(name), place, bytes }))
    }

    fn checkpoints(&mut self) -> Result<Vec<CheckpointFile>, SourceError> {
        Ok(self.checkpoint.iter().cloned().collect())
    }

    fn total_bytes(&self) -> Option<u64> {
        Some(self.total_bytes)
    }

    fn inventory(&self) -> Option<Inventory> {
        Some(self.inventory.clone())
    }
}

/// What is found, as it is found: in no order.
#[derive(Default)]
struct Listing {
    segments: Vec<Listed>,
    durable: Option<(u64, LeafHash)>,
    cut: BTreeMap<String, u64>,
    foreign: BTreeSet<String>,
    unnamed: u64,
}

impl Listing {
    fn take_entry(&mut self, name: &OsStr, entry: &fs::DirEntry) -> Result<(), SourceError> {
        let path = entry.path();
        let shown = format!("entries/{}", name.display());
        let metadata = entry.metadata().map_err(|source| unreadable(&path, source))?;
        if !name.as_encoded_bytes().ends_with(b".jsonl") {
            self.take_other(shown, &metadata);
            return Ok(());
        }
        // A segment that can not be read is not absent, and one behind a link might be anything.
        if !metadata.is_file() {
            return Err(SourceError::NotAFile { path });
        }
        let place = first_seq(name).map_or(SegmentPlace::Misnamed, SegmentPlace::From);
        self.segments.push(Listed { path, name: shown, place, length: metadata.len() });
        Ok(())
    }

    fn take_beside(&mut self, name: &OsStr, entry: &fs::DirEntry) -> Result<(), SourceError> {
        let metadata = entry.metadata().map_err(|source| unreadable(&entry.path(), source))?;
        let belongs = match name.to_str() {
            Some("entries" | "snapshots" | "index") => metadata.is_dir(),
            Some("checkpoint" | "head" | "lock" | "checkpoint.new" | "head.new") => metadata.is_file(),
            _ => false,
        };
        if !belongs {
            self.take_other(name.display().to_string(), &metadata);
        }
        Ok(())
    }

    /// What is neither a segment nor one of the files that a store needs.
    fn take_other(&mut self, name: String, metadata: &fs::Metadata) {
        match EntryFile::parse(&name).filter(|_| metadata.is_file()) {
            Some(EntryFile::Cut) => {
                self.cut.insert(name, metadata.len());
            }
            Some(EntryFile::Unfinished) => {}
            None => {
                self.foreign.insert(name);
            }
        }
        // The first names stay, in whatever order they come.
        let too_many = [
            self.cut.len() > Inventory::MAX_NAMES && self.cut.pop_last().is_some(),
            self.foreign.len() > Inventory::MAX_NAMES && self.foreign.pop_last().is_some(),
        ];
        self.unnamed += too_many.map(u64::from).iter().sum::<u64>();
    }

    fn into_directory(mut self, checkpoint: Option<CheckpointFile>) -> LedgerDir {
        // Names of 20 digits sort as their numbers do; what has another name comes last.
        self.segments.sort_by(|a, b| {
            let key = |listed: &Listed| listed.place == SegmentPlace::Misnamed;
            key(a).cmp(&key(b)).then_with(|| a.path.cmp(&b.path))
        });
        LedgerDir {
            checkpoint,
            total_bytes: self.segments.iter().map(|segment| segment.length).sum(),
            inventory: Inventory {
                segments: self.segments.len() as u64,
                durable: self.durable.map(|(size, _)| size),
                durable_leaf: self.durable.map(|(_, leaf)| leaf),
                cut: self.cut.into_iter().map(|(name, bytes)| CutTail { name, bytes }).collect(),
                foreign: self.foreign.into_iter().collect(),
                unnamed: self.unnamed,
            },
            segments: self.segments.into_iter(),
        }
    }
}

/// The number that a segment's name is: 20 digits.
fn first_seq(name: &OsStr) -> Option<u64> {
    let digits = name.to_str()?.strip_suffix(".jsonl")?;
    let is_number = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

/// What else a writer puts beside its segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EntryFile {
    /// An end that was cut: a segment's name, `.torn-`, the offset, and a number where there were others.
    Cut,
    /// What was not put in its place yet, or is written again: without meaning.
    Unfinished,
}

impl EntryFile {
    fn parse(name: &str) -> Option<Self> {
        let name = name.strip_prefix("entries/")?;
        if let Some(name) = name.strip_suffix(".new") {
            return Self::parse(&format!("entries/{name}")).map(|_| Self::Unfinished);
        }
        let (segment, rest) = name.split_at_checked(26)?;
        first_seq(OsStr::new(segment))?;
        if let Some(offset) = rest.strip_prefix(".rewrite-") {
            return is_decimal(offset).then_some(Self::Unfinished);
        }
        let rest = rest.strip_prefix(".torn-")?;
        let (offset, copy) = rest.split_once('.').unwrap_or((rest, "2"));
        (is_decimal(offset) && is_decimal(copy) && !["0", "1"].contains(&copy)).then_some(Self::Cut)
    }
}

/// A number in its one spelling.
fn is_decimal(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'))
}

/// Size and leaf hash in the last whole good line of `head`: a size, a space, 64 hexadecimal digits, LF.
fn durable(path: &Path) -> Result<Option<(u64, LeafHash)>, SourceError> {
    const MAX_TAIL_LEN: u64 = 8 << 10;
    let (mut file, length) = match open(path) {
        Ok(opened) => opened,
        // It is not the ledger, so whatever stands in its place is no reason not to look at that.
        Err(SourceError::Missing { .. } | SourceError::NotAFile { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(length.saturating_sub(MAX_TAIL_LEN)))
        .and_then(|_| file.take(MAX_TAIL_LEN).read_to_end(&mut tail))
        .map_err(|source| unreadable(path, source))?;
    let size = |line: &[u8]| {
        let (size, leaf) = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?.split_once(' ')?;
        let size = Some(size).filter(|size| is_decimal(size))?;
        Some((size.parse().ok()?, leaf.parse().ok()?))
    };
    Ok(tail.split_inclusive(|byte| *byte == b'\n').rev().find_map(size))
}

fn is_directory(path: &Path) -> Result<bool, SourceError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(metadata.is_dir()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(SourceError::Missing { path: path.to_owned() })
        }
        Err(source) => Err(unreadable(path, source)),
    }
}

fn list(
    path: &Path,
    mut take: impl FnMut(&OsStr, &fs::DirEntry) -> Result<(), SourceError>,
) -> Result<(), SourceError> {
    for entry in fs::read_dir(path).map_err(|source| unreadable(path, source))? {
        let entry = entry.map_err(|source| unreadable(path, source))?;
        take(&entry.file_name(), &entry)?;
    }
    Ok(())
}

fn unreadable(path: &Path, source: io::Error) -> SourceError {
    SourceError::Read { name: path.display().to_string(), source }
}

/// A segment up to the length that it had when it was listed, and on to the end of the line that it was in the middle of.
///
/// Otherwise a writer that is faster than the reader would keep it from ever coming to an end.
struct AsListed {
    file: File,
    left: u64,
    is_in_line: bool,
}

impl AsListed {
    fn new(file: File, length: u64) -> Self {
        Self { file, left: length, is_in_line: false }
    }
}

impl Read for AsListed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !self.is_in_line {
            return Ok(0);
        }
        let most =
            if self.left > 0 { usize::try_from(self.left).unwrap_or(usize::MAX) } else { buffer.len() };
        let most = most.min(buffer.len());
        let mut read = self.file.read(&mut buffer[..most])?;
        if self.left == 0
            && let Some(end) = memchr::memchr(b'\n', &buffer[..read])
        {
            read = end + 1;
        }
        self.left = self.left.saturating_sub(read as u64);
        if let Some(last) = buffer[..read].last() {
            self.is_in_line = *last != b'\n';
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_segments_and_of_kept_ends() {
        let seq = |name: &str| first_seq(OsStr::new(name));
        assert_eq!(seq("00000000000000000000.jsonl"), Some(0));
        assert_eq!(seq("00000000004294967296.jsonl"), Some(1 << 32));
        assert_eq!(seq("18446744073709551615.jsonl"), Some(u64::MAX));
        for name in [
            "18446744073709551616.jsonl",
            "0000000000000000000.jsonl",
            "000000000000000000000.jsonl",
            "+0000000000000000001.jsonl",
            "0000000000000000000a.jsonl",
            "00000000000000000000.JSONL",
            "00000000000000000000",
        ] {
            assert_eq!(seq(name), None, "{name}");
        }
        let name = "entries/00000000000000000010.jsonl";
        for (rest, want) in [
            (".torn-4096", Some(EntryFile::Cut)),
            (".torn-0.2", Some(EntryFile::Cut)),
            (".torn-0.12", Some(EntryFile::Cut)),
            (".torn-4096.new", Some(EntryFile::Unfinished)),
            (".rewrite-4096", Some(EntryFile::Unfinished)),
            (".torn-", None),
            (".torn-01", None),
            (".torn-1.1", None),
            (".torn-1.2.3", None),
            (".rewrite-x", None),
            (".new", None),
            ("", None),
        ] {
            assert_eq!(EntryFile::parse(&format!("{name}{rest}")), want, "{rest}");
        }
        assert_eq!(EntryFile::parse("00000000000000000010.jsonl.torn-1"), None);
    }

    #[test]
    fn the_last_whole_good_line_of_head_counts() {
        let path = std::env::temp_dir().join(format!("countersign-head-{}", std::process::id()));
        let leaf = "0a".repeat(32);
        let (good, more) = (format!("7 {leaf}\n"), format!("19 {leaf}\n"));
        for (text, want) in [
            (good.clone(), Some(7)),
            (format!("{good}{more}"), Some(19)),
            (format!("{good}{}", more.trim_end()), Some(7)),
            (format!("{good}019 {leaf}\n19 {leaf}0\n19  {leaf}\n"), Some(7)),
            (format!("{}{more}\0\0\n", good.repeat(200)), Some(19)),
            (String::new(), None),
        ] {
            fs::write(&path, &text).unwrap();
            assert_eq!(durable(&path).unwrap().map(|(size, _)| size), want, "{text:.200}");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(durable(&path).unwrap(), None);
    }

    /// A writer goes on while the ledger is read: what is read ends with the line that stood at the end, whole.
    #[test]
    fn a_segment_that_grows_is_read_as_far_as_it_was_listed() {
        let path = std::env::temp_dir().join(format!("countersign-as-listed-{}", std::process::id()));
        fs::write(&path, "one\ntwo\nthree\nfour").unwrap();
        for (length, want) in [
            (0, ""),
            (1, "one\n"),
            (4, "one\n"),
            (5, "one\ntwo\n"),
            (8, "one\ntwo\n"),
            (15, "one\ntwo\nthree\nfour"),
            (99, "one\ntwo\nthree\nfour"),
        ] {
            for step in [1, 3, 64] {
                let mut read = Vec::new();
                let mut bytes = AsListed::new(File::open(&path).unwrap(), length);
                let mut buffer = vec![0; step];
                loop {
                    match bytes.read(&mut buffer).unwrap() {
                        0 => break,
                        length => read.extend_from_slice(&buffer[..length]),
                    }
                }
                assert_eq!(String::from_utf8(read).unwrap(), want, "length {length}, by {step}");
            }
        }
        fs::remove_file(&path).unwrap();
    }
}
