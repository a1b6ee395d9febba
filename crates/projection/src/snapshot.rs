//! Snapshots: the state of a projection at a head, signed by the recorder, so that a reader need not fold from genesis.
//!
//! A snapshot is a signed note and, beside it, the payload: the state's bytes. The note's text is nine lines, each ended
//! by a line feed:
//!
//! | line | is |
//! | --- | --- |
//! | 1 | `countersign-snapshot/v1` |
//! | 2 | the ledger id |
//! | 3 | the projection's name; that of the governance state is `governance` |
//! | 4 | the projection's version, in decimal |
//! | 5 | size: how many entries are folded, in decimal, at least 1 |
//! | 6 | the leaf hash of the last of them, 64 hexadecimal digits |
//! | 7 | its `recorded_at` |
//! | 8 | SHA-256 of the payload, 64 hexadecimal digits |
//! | 9 | the payload's length in bytes, in decimal |
//!
//! It is signed by the recorder's key under the ledger id as its name, as a checkpoint is; the first line, which is no ledger id,
//! keeps either from being read as the other.
//!
//! A snapshot is a shortcut and never evidence. Whatever is wrong with one is a [`RebuildReason`]: the state is
//! built anew from the entries, and the answers are the same. Reading goes through three types, so that no check can
//! be left out: [`OpenedSnapshot`] was signed for this ledger, [`PlacedSnapshot`] is of entries that the log has, and only that
//! gives a state.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use countersign_core::digest::Digest;
use countersign_core::entry::{Entry, Head};
use countersign_core::id::LedgerId;
use countersign_core::key::{PublicKey, SignerKey};
use countersign_core::merkle::MAX_SIZE;
use countersign_core::note::{KeyKind, NoteError, OpenError, SignNoteError, SignedNote, VerifierKey};
use countersign_core::time::Timestamp;

use crate::governance::State;
use crate::projection::{CodecError, Projection, digest_of, is_name};
use crate::runner::Halt;

/// The first line of a snapshot's note.
pub const SNAPSHOT_HEADER: &str = "countersign-snapshot/v1";

/// What a snapshot says of itself. Unsigned, so nobody's word yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotHeader {
    ledger: LedgerId,
    // INVARIANT: the name of a projection.
    name: String,
    version: u64,
    // INVARIANT: a size of 1 to MAX_SIZE.
    head: Head,
    recorded_at: Timestamp,
    digest: Digest,
    length: u64,
}

impl SnapshotHeader {
    /// Of which ledger.
    #[must_use]
    pub const fn ledger(&self) -> &LedgerId {
        &self.ledger
    }

    /// Of which projection.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Of which version of it.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// After which entries.
    #[must_use]
    pub const fn head(&self) -> Head {
        self.head
    }

    /// When the last of them was recorded.
    #[must_use]
    pub const fn recorded_at(&self) -> Timestamp {
        self.recorded_at
    }

    /// The SHA-256 of the payload.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The payload's length in bytes.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.length
    }
}

impl fmt::Display for SnapshotHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ledger, name, version, head: Head { size, leaf }, recorded_at, digest, length } = self;
        write!(
            f,
            "{SNAPSHOT_HEADER}\n{ledger}\n{name}\n{version}\n{size}\n{leaf}\n{recorded_at}\n{digest}\n{length}\n"
        )
    }
}

impl FromStr for SnapshotHeader {
    type Err = SnapshotTextError;

    /// Parses a note's text strictly; `Display` gives the same text again.
    fn from_str(text: &str) -> Result<Self, SnapshotTextError> {
        let lines: Vec<&str> = text.strip_suffix('\n').unwrap_or(text).split('\n').collect();
        if lines[0] != SNAPSHOT_HEADER {
            return Err(SnapshotTextError::Header);
        }
        let [_, ledger, name, version, size, leaf, recorded_at, digest, length] = lines[..] else {
            return Err(SnapshotTextError::Lines { found: lines.len() });
        };
        let line = |number| move || SnapshotTextError::Line { number };
        let head = Head {
            size: decimal(size).filter(|size| (1..=MAX_SIZE).contains(size)).ok_or_else(line(5))?,
            leaf: leaf.parse().ok().ok_or_else(line(6))?,
        };
        let header = Self {
            ledger: ledger.parse().ok().ok_or_else(line(2))?,
            name: Some(name).filter(|name| is_name(name)).ok_or_else(line(3))?.to_owned(),
            version: decimal(version).ok_or_else(line(4))?,
            head,
            recorded_at: recorded_at.parse().ok().ok_or_else(line(7))?,
            digest: digest.parse().ok().ok_or_else(line(8))?,
            length: decimal(length).ok_or_else(line(9))?,
        };
        if text.ends_with('\n') {
            Ok(header)
        } else {
            Err(SnapshotTextError::Lines { found: lines.len() - 1 })
        }
    }
}

/// Why a text is not that of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotTextError {
    /// The first line is another one: this is a checkpoint, or something else.
    #[error("first line is not `{SNAPSHOT_HEADER}`")]
    Header,
    /// There are not nine lines, each ended by a line feed.
    #[error("expected nine lines, found {found}")]
    Lines {
        /// How many there are.
        found: usize,
    },
    /// A line is not of its form.
    #[error("line {number} is malformed")]
    Line {
        /// Its 1-based number.
        number: usize,
    },
}

/// A snapshot as its recorder made it: the note, and the payload to be kept beside.
#[derive(Debug, Clone)]
pub struct Snapshot {
    header: SnapshotHeader,
    note: SignedNote,
    payload: Arc<[u8]>,
}

impl Snapshot {
    pub(crate) fn sign(
        state: &State,
        name: &'static str,
        version: u64,
        payload: Vec<u8>,
        key: &(impl SignerKey + ?Sized),
    ) -> Result<Self, SnapshotError> {
        let ledger = state.ledger_id().ok_or(SnapshotError::Empty)?.clone();
        if state.recorder_key().map(|key| key.key_id()) != Some(key.public_key().key_id()) {
            return Err(SnapshotError::NotRecorder);
        }
        let header = SnapshotHeader {
            ledger,
            name: name.to_owned(),
            version,
            head: state.head(),
            recorded_at: state.recorded_at(),
            digest: digest_of(&payload),
            length: payload.len() as u64,
        };
        let note = SignedNote::sign(&header.to_string(), header.ledger.as_str(), key)?;
        Ok(Self { header, note, payload: payload.into() })
    }

    /// What it says of itself.
    #[must_use]
    pub const fn header(&self) -> &SnapshotHeader {
        &self.header
    }

    /// The signed note.
    #[must_use]
    pub const fn note(&self) -> &SignedNote {
        &self.note
    }

    /// The state's bytes.
    #[must_use]
    pub fn payload(&self) -> &Arc<[u8]> {
        &self.payload
    }
}

/// Why no snapshot is made.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// There is no genesis yet.
    #[error("a ledger without entries has no snapshot")]
    Empty,
    /// The key is not the recorder's in force.
    #[error("the key is not that of the ledger's recorder")]
    NotRecorder,
    /// A projection halted.
    #[error(transparent)]
    Halted(#[from] Halt),
    /// The state of a projection can not be written.
    #[error("projection `{name}` can not be written")]
    Codec {
        /// Its name.
        name: &'static str,
        /// Why.
        source: CodecError,
    },
    /// The note is not signed.
    #[error(transparent)]
    Note(#[from] SignNoteError),
}

/// A snapshot that a recorder of this ledger signed, with the payload that it signed.
#[derive(Debug, Clone)]
pub struct OpenedSnapshot {
    header: SnapshotHeader,
    signers: Vec<PublicKey>,
    payload: Arc<[u8]>,
}

impl OpenedSnapshot {
    /// Opens a snapshot with the recorder's keys that the reader knows, the present one and perhaps earlier ones.
    ///
    /// # Errors
    /// The [`RebuildReason`] where it is not signed by one of them for this ledger, or the payload is another.
    pub fn open(
        note: &[u8],
        payload: impl Into<Arc<[u8]>>,
        ledger: &LedgerId,
        recorder_keys: &[PublicKey],
    ) -> Result<Self, RebuildReason> {
        let note = SignedNote::parse(note)?;
        let header: SnapshotHeader = note.untrusted_text().parse()?;
        if header.ledger != *ledger {
            return Err(RebuildReason::OtherLedger);
        }
        let known = |key: &PublicKey| {
            VerifierKey::new(ledger.as_str(), KeyKind::Note, *key)
                .expect("a ledger id has no space and no plus sign")
        };
        let known: Vec<_> = recorder_keys.iter().map(known).collect();
        let opened = note.open(&known)?;
        let payload = payload.into();
        let signers = opened.signers().iter().map(|signer| signer.key).collect();
        if header.length != payload.len() as u64 || header.digest != digest_of(&payload) {
            return Err(RebuildReason::Payload);
        }
        Ok(Self { header, signers, payload })
    }

    /// What it says of itself.
    #[must_use]
    pub const fn header(&self) -> &SnapshotHeader {
        &self.header
    }

    /// Compares it with the durable log: `last` is the entry with seq `header().head().size - 1`, none where the log ends before.
    ///
    /// # Errors
    /// [`RebuildReason::AheadOfLog`] or [`RebuildReason::OtherHistory`].
    pub fn place(self, last: Option<&Entry>) -> Result<PlacedSnapshot, RebuildReason> {
        let last = last.ok_or(RebuildReason::AheadOfLog { size: self.header.head.size })?;
        if last.head() != self.header.head || last.recorded_at() != self.header.recorded_at {
            return Err(RebuildReason::OtherHistory { size: self.header.head.size });
        }
        Ok(PlacedSnapshot(self))
    }
}

/// A snapshot of entries that the log has.
#[derive(Debug, Clone)]
pub struct PlacedSnapshot(OpenedSnapshot);

impl PlacedSnapshot {
    /// What it says of itself.
    #[must_use]
    pub const fn header(&self) -> &SnapshotHeader {
        &self.0.header
    }

    /// The state of a projection, if it is one of this projection and this version.
    ///
    /// # Errors
    /// [`RebuildReason::OtherProjection`], [`RebuildReason::OtherVersion`] or [`RebuildReason::Codec`].
    pub fn decode<P: Projection>(&self) -> Result<P, RebuildReason> {
        let SnapshotHeader { name, version, .. } = &self.0.header;
        if name != P::NAME {
            return Err(RebuildReason::OtherProjection { found: name.clone() });
        }
        if *version != P::VERSION {
            return Err(RebuildReason::OtherVersion { expected: P::VERSION, found: *version });
        }
        Ok(P::decode(&self.0.payload)?)
    }

    /// The governance state, if it is what its header says, and the recorder that it names signed it.
    fn decode_state(&self) -> Result<State, RebuildReason> {
        let state: State = self.decode()?;
        let SnapshotHeader { ledger, head, recorded_at, .. } = &self.0.header;
        let says = (state.ledger_id(), state.head(), state.recorded_at());
        if says != (Some(ledger), *head, *recorded_at) {
            return Err(RebuildReason::OtherState);
        }
        if self.is_beside(&state) { Ok(state) } else { Err(RebuildReason::NotByRecorder) }
    }

    /// Whether it was taken at the state's head, and signed by the recorder in force there.
    pub(crate) fn is_beside(&self, state: &State) -> bool {
        let recorder = state.recorder_key();
        let is_recorder =
            |key: &PublicKey| recorder.as_ref().is_some_and(|recorder| recorder.as_bytes() == key.as_bytes());
        self.0.header.head == state.head() && self.0.signers.iter().any(is_recorder)
    }
}

/// A projection that has to be built from the entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuild {
    /// Its name.
    pub name: String,
    /// Why its snapshot is of no use.
    pub reason: RebuildReason,
}

/// Why a snapshot is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RebuildReason {
    /// There is none at the head that the state's has.
    #[error("there is no snapshot")]
    Missing,
    /// The note is malformed.
    #[error("the snapshot is no signed note")]
    Note(#[from] NoteError),
    /// The text is not that of a snapshot.
    #[error("the note is no snapshot")]
    Text(#[from] SnapshotTextError),
    /// It is of another ledger.
    #[error("the snapshot is of another ledger")]
    OtherLedger,
    /// No known recorder key signed it, or a signature fails.
    #[error("the snapshot is not signed as it must be")]
    Signature(#[from] OpenError),
    /// The payload is not the one that was signed.
    #[error("the payload is not the one that was signed")]
    Payload,
    /// The log is shorter: entries that the snapshot counts were never durable, or were cut.
    #[error("the snapshot is of size {size}, ahead of the log")]
    AheadOfLog {
        /// Its size.
        size: u64,
    },
    /// The log's entry at its head is another one.
    #[error("the log has another entry at size {size}")]
    OtherHistory {
        /// Its size.
        size: u64,
    },
    /// It is of another projection.
    #[error("the snapshot is of projection `{found}`")]
    OtherProjection {
        /// Which one.
        found: String,
    },
    /// It is of another version of the projection.
    #[error("the snapshot is of version {found}, not {expected}")]
    OtherVersion {
        /// The version that reads it.
        expected: u64,
        /// The version that wrote it.
        found: u64,
    },
    /// The payload is no state of the projection.
    #[error("the payload is no state of the projection")]
    Codec(#[from] CodecError),
    /// The state stands at another head than the snapshot says.
    #[error("the state is not at the head that the snapshot names")]
    OtherState,
    /// The state names another recorder than the one who signed.
    #[error("the snapshot is not signed by the recorder of its own state")]
    NotByRecorder,
}

/// The governance state of the newest usable snapshot, and why newer ones are not.
pub(crate) fn newest_state(snapshots: &[PlacedSnapshot]) -> (Option<State>, Vec<Rebuild>) {
    let is_state = |snapshot: &&PlacedSnapshot| snapshot.header().name() == State::NAME;
    let mut candidates: Vec<_> = snapshots.iter().filter(is_state).collect();
    candidates.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.header().head().size));
    let mut rebuilds = Vec::new();
    let rebuild = |reason| Rebuild { name: State::NAME.to_owned(), reason };
    if candidates.is_empty() {
        rebuilds.push(rebuild(RebuildReason::Missing));
    }
    for candidate in candidates {
        match candidate.decode_state() {
            Ok(state) => return (Some(state), rebuilds),
            Err(reason) => rebuilds.push(rebuild(reason)),
        }
    }
    (None, rebuilds)
}

/// A number in its one spelling: digits alone, no leading zero.
fn decimal(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number: &u64| number.to_string() == text)
}
