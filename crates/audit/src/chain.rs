//! The front of the pipeline: lines are read and checked in parallel, their chain in order, their signatures in parallel.
//!
//! Nothing here depends on how the bytes fall into windows.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use countersign_core::digest::{KeyId, LeafHash, sha256};
use countersign_core::entry::{Entry, NO_PREV, ParsedEntry};
use countersign_core::fault::{Fault, FaultCode};
use countersign_core::key::{PUBLIC_KEY_LEN, PublicKey};
use countersign_core::statement::VerifiedStatement;
use countersign_core::time::Timestamp;
use rayon::prelude::*;

use crate::framing::{Framer, Place, Window};
use crate::report::{Code, LedgerFault};
use crate::source::{Source, SourceError};

/// An entry whose place in the chain is right. What its statement is worth is for judging to say.
pub(crate) struct Linked {
    pub(crate) seq: u64,
    pub(crate) place: Place,
    pub(crate) leaf: LeafHash,
    pub(crate) recorded_at: Timestamp,
    /// How many texts are replaced by commitments.
    pub(crate) withheld: u64,
    /// The fault of the statement's own schema, or the entry with the verdict on its signatures.
    pub(crate) checked: Result<(Entry, Result<VerifiedStatement, Fault>), Fault>,
}

/// Consecutive entries, and what ends them.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) entries: Vec<Linked>,
    pub(crate) end: BatchEnd,
}

/// Where a batch ends, and with what.
#[derive(Default)]
pub(crate) struct BatchEnd {
    /// The fault right after its entries. It counts once they all are good.
    pub(crate) stop: Option<ChainFault>,
    /// Whether nothing follows.
    pub(crate) is_last: bool,
    pub(crate) bytes_read: u64,
}

/// The first fault of framing, form or chain.
pub(crate) struct ChainFault {
    pub(crate) fault: LedgerFault,
    /// Where the last two entries contradict each other and none after them decides which one was changed: the leaf hash that
    /// the last one names, and its own.
    pub(crate) undecided: Option<(LeafHash, LeafHash)>,
}

impl From<LedgerFault> for ChainFault {
    fn from(fault: LedgerFault) -> Self {
        Self { fault, undecided: None }
    }
}

/// Lines of a source, read and checked as far as their own bytes go.
pub(crate) struct Lines<'s>(Framer<'s>);

/// Consecutive lines.
pub(crate) struct LineBatch {
    window: Window,
    lines: Vec<Result<Line, Fault>>,
}

impl<'s> Lines<'s> {
    pub(crate) fn new(source: &'s mut dyn Source) -> Self {
        Self(Framer::new(source))
    }

    /// The next lines. After the last ones it gives none.
    pub(crate) fn next_batch(&mut self) -> Result<LineBatch, SourceError> {
        let window = self.0.next_window()?;
        let lines = (0..window.len())
            .into_par_iter()
            .map(|index| window.line(index).map_or_else(|| read_line(&[]), |(bytes, _)| read_line(bytes)))
            .collect();
        Ok(LineBatch { window, lines })
    }

    /// What the next entry names as the one before it, if there is one that can be read.
    fn peek(&mut self) -> Result<Option<LeafHash>, SourceError> {
        let window = self.0.next_window()?;
        Ok(window.line(0).and_then(|(bytes, _)| read_line(bytes).ok()).map(|line| line.prev))
    }
}

/// The chain up to its end or its first fault.
#[derive(Default)]
pub(crate) struct Chain {
    /// The last good link.
    last: Option<Link>,
    keys: KeyDirectory,
}

/// Entries whose place in the chain is right, and whose signatures are not looked at yet.
pub(crate) struct Unverified {
    lines: Vec<PlacedLine>,
    end: BatchEnd,
}

impl Unverified {
    pub(crate) fn is_last(&self) -> bool {
        self.end.is_last
    }

    /// Verifies every signature, on all cores.
    pub(crate) fn verify(self, chain: &Chain) -> Batch {
        let entries = self.lines.into_par_iter().map(|line| line.verify(&chain.keys)).collect();
        Batch { entries, end: self.end }
    }
}

struct Link {
    seq: u64,
    leaf: LeafHash,
    recorded_at: Timestamp,
    place: Place,
}

impl Chain {
    /// Holds lines against the chain before them. What comes after them is read where it has to decide about them.
    pub(crate) fn link(
        &mut self,
        batch: LineBatch,
        after: &mut Lines<'_>,
    ) -> Result<Unverified, SourceError> {
        let LineBatch { mut window, lines } = batch;
        let mut good = Vec::with_capacity(lines.len());
        let mut stop = self.link_lines(lines, &window, after, &mut good)?;
        if let (None, Some(unframed)) = (&stop, window.stop.take()) {
            let code = Code::Fault(unframed.code);
            let seq = self.position();
            stop =
                Some(LedgerFault::at(seq, &unframed.place, unframed.offset, code, &unframed.detail).into());
        }
        let end = BatchEnd { is_last: window.is_last || stop.is_some(), stop, bytes_read: window.bytes_read };
        Ok(Unverified { lines: good, end })
    }

    /// How many entries are good so far.
    fn position(&self) -> u64 {
        self.last.as_ref().map_or(0, |last| last.seq + 1)
    }

    /// Moves the lines that continue the chain to `good`, up to the first that does not.
    fn link_lines(
        &mut self,
        read: Vec<Result<Line, Fault>>,
        window: &Window,
        after: &mut Lines<'_>,
        good: &mut Vec<PlacedLine>,
    ) -> Result<Option<ChainFault>, SourceError> {
        let mut lines = read.into_iter().enumerate().peekable();
        while let Some((index, line)) = lines.next() {
            let seq = self.position();
            let place = window.line(index).map(|(_, place)| place.clone()).unwrap_or_default();
            let line = match line {
                Ok(line) => line,
                Err(fault) => return Ok(Some(LedgerFault::of(seq, &place, &fault).into())),
            };
            if line.seq != seq {
                let detail = format!("the entry says that its seq is {}; its position is {seq}", line.seq);
                return Ok(Some(
                    LedgerFault::at(seq, &place, 0, Code::Fault(FaultCode::Seq), &detail).into(),
                ));
            }
            if line.prev != self.last.as_ref().map_or(NO_PREV, |last| last.leaf) {
                let next = match lines.next() {
                    Some((_, next)) => next.ok().map(|next| next.prev),
                    None => after.peek()?,
                };
                return Ok(Some(self.locate(&line, &place, next)));
            }
            if let Some(last) = &self.last
                && line.recorded_at < last.recorded_at
            {
                let detail = format!(
                    "recorded at {}, before the entry ahead of it at {}",
                    line.recorded_at, last.recorded_at
                );
                let code = Code::Fault(FaultCode::TimeBackwards);
                return Ok(Some(LedgerFault::at(seq, &place, 0, code, &detail).into()));
            }
            self.keys.announce(seq, &line.keys);
            self.last =
                Some(Link { seq, leaf: line.leaf, recorded_at: line.recorded_at, place: place.clone() });
            good.push(PlacedLine { line, place });
        }
        Ok(None)
    }

    /// Names the changed one of two entries that do not fit: `line` does not name the last good one.
    ///
    /// The entry after them decides: if it names `line` as it stands, then `line` is as it was, and the one before was changed.
    fn locate(&self, line: &Line, place: &Place, next: Option<LeafHash>) -> ChainFault {
        let at = |seq, place, detail: &str| {
            ChainFault::from(LedgerFault::at(seq, place, 0, Code::Fault(FaultCode::Prev), detail))
        };
        let seq = line.seq;
        let Some(last) = &self.last else {
            return at(seq, place, "the first entry names an entry before it");
        };
        let before = last.seq;
        match next {
            Some(prev) if prev == line.leaf => at(
                before,
                &last.place,
                &format!(
                    "entry {seq} does not name this entry as it stands, and entry {} names entry {seq} as it stands: this one \
                     was changed",
                    seq + 1
                ),
            ),
            Some(_) => at(
                seq,
                place,
                &format!(
                    "`prev` is not the leaf hash of entry {before}, and entry {} does not name this entry as it stands",
                    seq + 1
                ),
            ),
            None => ChainFault {
                undecided: Some((line.prev, line.leaf)),
                ..at(
                    seq,
                    place,
                    &format!(
                        "`prev` is not the leaf hash of entry {before}: entry {before} or entry {seq} was changed, and no entry \
                         after them tells which"
                    ),
                )
            },
        }
    }
}

/// One line, read as far as its own bytes go.
struct Line {
    seq: u64,
    prev: LeafHash,
    recorded_at: Timestamp,
    leaf: LeafHash,
    withheld: u64,
    statement: Result<Entry, Fault>,
    /// The keys that the event announces.
    keys: Vec<[u8; PUBLIC_KEY_LEN]>,
}

fn read_line(bytes: &[u8]) -> Result<Line, Fault> {
    let shared: Arc<[u8]> = bytes.into();
    let parsed = ParsedEntry::parse(shared)?;
    let (seq, prev, recorded_at) = (parsed.seq, parsed.prev, parsed.recorded_at);
    let statement = parsed.into_entry();
    let keys = statement.iter().flat_map(|entry| entry.statement().event.new_keys()).map(|key| key.0);
    Ok(Line {
        seq,
        prev,
        recorded_at,
        leaf: LeafHash::new(sha256(&[&[0], bytes])),
        withheld: statement.as_ref().map_or(0, withheld_texts),
        keys: keys.collect(),
        statement,
    })
}

/// How many texts of the event are replaced by commitments. In canonical bytes nothing else is spelled so, strings included,
/// except what a tool builder puts into a custom event.
fn withheld_texts(entry: &Entry) -> u64 {
    if matches!(entry.statement().event, countersign_core::event::Event::Custom(_)) {
        return 0;
    }
    memchr::memmem::find_iter(entry.signed().bytes(), b"{\"commitment\":\"").count() as u64
}

struct PlacedLine {
    line: Line,
    place: Place,
}

impl PlacedLine {
    fn verify(self, keys: &KeyDirectory) -> Linked {
        let Self { line, place } = self;
        let checked = line.statement.map(|entry| {
            let verified = entry.signed().verify_shared(|key| keys.find(key, line.seq));
            (entry, verified)
        });
        Linked {
            seq: line.seq,
            place,
            leaf: line.leaf,
            recorded_at: line.recorded_at,
            withheld: line.withheld,
            checked,
        }
    }
}

/// Every key that an event announced. A key id has one key for ever, so signatures can be checked before it is judged whether
/// the key was admitted; that is for the rules to say.
#[derive(Default)]
struct KeyDirectory(HashMap<KeyId, Announced>);

struct Announced {
    seq: u64,
    bytes: [u8; PUBLIC_KEY_LEN],
    /// Decoded where it is first needed; none where it is not acceptable, which is named where it was announced.
    key: OnceLock<Option<PublicKey>>,
}

impl KeyDirectory {
    fn announce(&mut self, seq: u64, keys: &[[u8; PUBLIC_KEY_LEN]]) {
        for bytes in keys {
            let announced = || Announced { seq, bytes: *bytes, key: OnceLock::new() };
            self.0.entry(KeyId::new(sha256(&[bytes]))).or_insert_with(announced);
        }
    }

    /// Only keys that were announced before: otherwise a verdict would depend on how far the windows run ahead.
    fn find(&self, key_id: &KeyId, seq: u64) -> Option<PublicKey> {
        let known = self.0.get(key_id).filter(|known| known.seq < seq)?;
        *known.key.get_or_init(|| PublicKey::accept(&known.bytes).ok())
    }
}
