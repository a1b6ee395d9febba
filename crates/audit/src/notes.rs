//! Checkpoints: which entries they anchor, and whether they all hold.

use std::collections::BTreeMap;

use countersign_core::checkpoint::{self, Checkpoint, CheckpointError, OpenCheckpointError};
use countersign_core::digest::{LeafHash, NodeHash};
use countersign_core::fault::FaultCode;
use countersign_core::id::LedgerId;
use countersign_core::key::PublicKey;
use countersign_core::note::{KeyKind, OpenError, SignedNote, VerifierKey};

use crate::report::LedgerFault;
use crate::source::CheckpointFile;

/// What must be remembered about a size that a checkpoint speaks of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mark {
    /// The root over that many entries.
    pub(crate) root: Option<NodeHash>,
    /// The leaf hash of the last of them.
    pub(crate) leaf: Option<LeafHash>,
    /// The recorder's keys in force at the last of them: where it rotates the key the old and the new one.
    pub(crate) recorder: Vec<PublicKey>,
}

/// The checkpoints of a run, read but not believed.
pub(crate) struct Notes(Vec<Note>);

/// A note with what it claims, or why it is none.
struct Note {
    name: String,
    read: Result<(SignedNote, Checkpoint), String>,
}

/// What the entries say, to hold checkpoints against.
pub(crate) struct Ledger<'a> {
    pub(crate) id: Option<&'a LedgerId>,
    pub(crate) marks: &'a BTreeMap<u64, Mark>,
    /// How many entries there are.
    pub(crate) entries: u64,
    /// How many of them were judged: the recorder's key is known up to there.
    pub(crate) judged: u64,
    /// The recorder's key at the end.
    pub(crate) recorder: Option<PublicKey>,
}

/// One checkpoint against the entries.
enum Held {
    /// Signed by the recorder over exactly these entries.
    Anchors(u64),
    /// Its root fits; who may sign it is beyond what could be judged.
    NotCheckable,
    Fails(LedgerFault),
}

impl Notes {
    pub(crate) fn read(files: &[CheckpointFile]) -> Self {
        Self(files.iter().map(|file| Note { name: file.name.clone(), read: read(&file.bytes) }).collect())
    }

    /// Every size that must be marked while reading.
    pub(crate) fn marks(&self) -> BTreeMap<u64, Mark> {
        // One of size 0 is signed by the first recorder, who is in force at the first entry.
        let sizes = self.checkpoints().map(|checkpoint| checkpoint.size().max(1));
        sizes.map(|size| (size, Mark::default())).collect()
    }

    /// The claimed root over `size` entries.
    pub(crate) fn claims_root(&self, size: u64, root: NodeHash) -> bool {
        self.checkpoints().any(|checkpoint| checkpoint.size() == size && checkpoint.root() == root)
    }

    fn checkpoints(&self) -> impl Iterator<Item = &Checkpoint> {
        self.0.iter().filter_map(|note| note.read.as_ref().ok()).map(|(_, checkpoint)| checkpoint)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// How many entries are anchored by those checkpoints that hold, and the fault of the first that does not.
    pub(crate) fn hold(&self, ledger: &Ledger<'_>) -> (u64, Option<LedgerFault>) {
        let (mut anchored, mut fault) = (0, None);
        for note in &self.0 {
            match hold(note, ledger) {
                Held::Anchors(size) => anchored = anchored.max(size),
                Held::NotCheckable => {}
                Held::Fails(found) => fault = fault.or(Some(found)),
            }
        }
        (anchored, fault)
    }
}

fn read(bytes: &[u8]) -> Result<(SignedNote, Checkpoint), String> {
    let note = SignedNote::parse(bytes).map_err(|error| error.to_string())?;
    let checkpoint = note.untrusted_text().parse().map_err(|error: CheckpointError| {
        match note.untrusted_text().starts_with("countersign-snapshot/") {
            true => "it is a snapshot's note, not a checkpoint".to_owned(),
            false => error.to_string(),
        }
    })?;
    Ok((note, checkpoint))
}

fn hold(note: &Note, ledger: &Ledger<'_>) -> Held {
    let name = &note.name;
    let end = |code, detail: &str| {
        Held::Fails(LedgerFault::outside(ledger.entries, code, &format!("{name}: {detail}")))
    };
    let (note, claimed) = match &note.read {
        Ok(note) => note,
        Err(error) => return end(FaultCode::Note, error),
    };
    let Some(id) = ledger.id else {
        return end(FaultCode::CheckpointOrigin, "the ledger has no id that it could name");
    };
    if claimed.origin() != id.as_str() {
        return end(FaultCode::CheckpointOrigin, "it is of another ledger");
    }
    let size = claimed.size();
    if size > ledger.entries {
        // The entry that its signer was in force at is not here, so a signature that fails says little.
        let what = match opens(note, id, ledger.recorder.as_slice()) {
            Opened::Yes => "the recorder signed it, so the ledger was cut",
            Opened::Forged => "the recorder's signature on it does not verify, so nobody vouches for it",
            Opened::Unsigned => {
                "no recorder known at their end signed it, so either the ledger was cut before the recorder's key changed, or \
                 the checkpoint is not genuine"
            }
        };
        let detail = format!("it is over {size} entries, and there are {}; {what}", ledger.entries);
        return end(FaultCode::CheckpointAhead, &detail);
    }
    let mark = ledger.marks.get(&size.max(1)).cloned().unwrap_or_default();
    // The position that a fault of this checkpoint has: the last entry under it.
    let last = |code, detail: String| match &mark.root {
        Some(_) if size > 0 => {
            Held::Fails(LedgerFault::outside(size - 1, code, &format!("{name}: {detail}")))
        }
        _ => end(code, &detail),
    };
    let is_judged = size <= ledger.judged;
    if is_judged {
        match opens(note, id, &mark.recorder) {
            Opened::Yes => {}
            Opened::Forged => {
                return last(
                    FaultCode::CheckpointSignature,
                    "the recorder's signature does not verify".into(),
                );
            }
            Opened::Unsigned => {
                return last(
                    FaultCode::CheckpointSignature,
                    format!("it is not signed by the recorder in force at its size, {size}"),
                );
            }
        }
    }
    if size == 0 {
        return Held::Anchors(0);
    }
    match &mark.root {
        Some(root) if *root == claimed.root() && is_judged => Held::Anchors(size),
        Some(root) if *root == claimed.root() => Held::NotCheckable,
        _ => last(
            FaultCode::CheckpointRoot,
            format!(
                "the root over {size} entries is another one; if only one of them was changed it is entry {}, since each earlier \
                 one is held by the entry after it",
                size - 1
            ),
        ),
    }
}

enum Opened {
    Yes,
    /// A line by a known key does not verify.
    Forged,
    /// No line by a known key.
    Unsigned,
}

fn opens(note: &SignedNote, id: &LedgerId, recorder: &[PublicKey]) -> Opened {
    let keys: Result<Vec<_>, _> =
        recorder.iter().map(|key| VerifierKey::new(id.as_str(), KeyKind::Note, *key)).collect();
    let Ok(keys) = keys else { return Opened::Unsigned };
    match checkpoint::open(note, id.as_str(), &keys) {
        Ok(_) => Opened::Yes,
        Err(OpenCheckpointError::Signature(OpenError::Signature { .. } | OpenError::Ambiguous { .. })) => {
            Opened::Forged
        }
        Err(
            OpenCheckpointError::Text(_)
            | OpenCheckpointError::Origin { .. }
            | OpenCheckpointError::Signature(OpenError::Unknown)
            | OpenCheckpointError::NotByLog,
        ) => Opened::Unsigned,
    }
}
