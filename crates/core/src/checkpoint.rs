//! Checkpoints (C2SP tlog-checkpoint): the size and Merkle root of a ledger, signed; and proofs that travel with one.
//!
//! Only a checkpoint commits anyone to a ledger. Its origin is the ledger id, and so is the name of the key that signs it.
//!
//! ```
//! use countersign_core::checkpoint::{self, Checkpoint};
//! use countersign_core::key::{SecretKey, SignerKey};
//! use countersign_core::merkle::{Tree, leaf_hash};
//! use countersign_core::note::{KeyKind, SignedNote, VerifierKey};
//!
//! let (origin, recorder) = ("ledger.example/acme", SecretKey::from_seed(&[1; 32]));
//! let tree: Tree = [leaf_hash(b"first"), leaf_hash(b"second")].into_iter().collect();
//! let note = Checkpoint::new(origin, tree.size(), tree.root())?.sign(&recorder)?.to_string();
//!
//! let known = VerifierKey::new(origin, KeyKind::Note, recorder.public_key())?;
//! let opened = checkpoint::open(&SignedNote::parse(note.as_bytes())?, origin, &[known])?;
//! assert_eq!(opened.checkpoint().root(), tree.root());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::str::FromStr;

use crate::b64;
use crate::digest::{LeafHash, NodeHash};
use crate::key::{Base64Error, SignerKey};
use crate::merkle::{EMPTY_ROOT, InclusionProof, MAX_PATH_LEN, MAX_SIZE, ProofError};
use crate::note::{KeyKind, NoteError, NoteSigner, OpenError, SignNoteError, SignedNote, VerifierKey};

/// What a checkpoint says: the tree of this ledger has this root at this size. Unsigned, so nobody's word yet.
///
/// As text it is three lines, each ended by a line feed: origin, size in decimal, root in base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    // INVARIANT: not empty, no character below U+0020.
    origin: String,
    // INVARIANT: at most MAX_SIZE; `root` is EMPTY_ROOT where it is 0.
    size: u64,
    root: NodeHash,
}

impl Checkpoint {
    /// The checkpoint of a tree.
    ///
    /// # Errors
    /// [`CheckpointError::Origin`], [`CheckpointError::Size`] or [`CheckpointError::EmptyRoot`].
    pub fn new(origin: &str, size: u64, root: NodeHash) -> Result<Self, CheckpointError> {
        if origin.is_empty() || origin.contains(|letter| letter < ' ') {
            return Err(CheckpointError::Origin);
        }
        if size > MAX_SIZE {
            return Err(CheckpointError::Size);
        }
        if size == 0 && root != EMPTY_ROOT {
            return Err(CheckpointError::EmptyRoot);
        }
        Ok(Self { origin: origin.to_owned(), size, root })
    }

    /// The identity of the log: for a ledger its full id.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// How many entries there are.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The root of the Merkle tree over them.
    #[must_use]
    pub const fn root(&self) -> NodeHash {
        self.root
    }

    /// Signs the checkpoint under the origin's name.
    ///
    /// # Errors
    /// [`SignNoteError`] if the origin has white space or a plus sign, so is no key name, or the signer fails.
    pub fn sign(&self, key: &(impl SignerKey + ?Sized)) -> Result<SignedNote, SignNoteError> {
        SignedNote::sign(&self.to_string(), &self.origin, key)
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.origin, self.size, b64::encode(self.root.as_bytes()))
    }
}

impl FromStr for Checkpoint {
    type Err = CheckpointError;

    /// Parses the text of a checkpoint note strictly; `Display` gives the same text again.
    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        let lines: Vec<&str> = text.strip_suffix('\n').ok_or(CheckpointError::Lines)?.split('\n').collect();
        let [origin, size, root, extensions @ ..] = &lines[..] else {
            return Err(CheckpointError::Lines);
        };
        let size = decimal(size).ok_or(CheckpointError::Size)?;
        let checkpoint = Self::new(origin, size, NodeHash::new(b64::decode_array(root.as_bytes())?))?;
        if extensions.is_empty() {
            return Ok(checkpoint);
        }
        Err(CheckpointError::Extensions { lines: extensions.iter().map(|line| (*line).to_owned()).collect() })
    }
}

/// A checkpoint that its log signed, with everyone known who did. Only [`open`] makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    // INVARIANT: one at least is of kind `Note` under the name of the origin.
    signers: Vec<NoteSigner>,
}

impl SignedCheckpoint {
    /// What was signed.
    #[must_use]
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The known keys that signed, each once: the log's, and those of witnesses.
    #[must_use]
    pub fn signers(&self) -> &[NoteSigner] {
        &self.signers
    }

    /// The known witnesses that cosigned. How many are enough is for the reader's policy to say.
    pub fn witnesses(&self) -> impl Iterator<Item = &NoteSigner> {
        self.signers.iter().filter(|signer| signer.kind == KeyKind::Cosignature)
    }
}

/// Opens the checkpoint of the log named `origin` with the keys of that log and of witnesses.
///
/// The log itself must have signed, with a known key under its own name; witnesses alone do not make a checkpoint.
/// Where the log's key was rotated, `known` may list the old and the new one: either is enough.
///
/// # Errors
/// [`OpenCheckpointError`]: the text is none, is of another log, or is not signed as it must be.
pub fn open(
    note: &SignedNote,
    origin: &str,
    known: &[VerifierKey],
) -> Result<SignedCheckpoint, OpenCheckpointError> {
    // The text is read before it is trusted only to name the fault: nothing of it is returned.
    let checkpoint: Checkpoint = note.untrusted_text().parse()?;
    if checkpoint.origin != origin {
        return Err(OpenCheckpointError::Origin { found: checkpoint.origin });
    }
    let signers = note.open(known)?.signers().to_vec();
    if !signers.iter().any(|signer| signer.kind == KeyKind::Note && signer.name == origin) {
        return Err(OpenCheckpointError::NotByLog);
    }
    Ok(SignedCheckpoint { checkpoint, signers })
}

/// An entry's place in a ledger, shown by a checkpoint: all that an offline reader needs beside entry and keys.
///
/// As text it is C2SP `tlog-proof@v1`, by convention in a file named `.tlog-proof`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointProof {
    /// Bytes for the application's own use. Nothing authenticates them.
    pub extra: Option<Vec<u8>>,
    /// The place of the entry, counted from 0.
    pub index: u64,
    /// The hashes from the entry's leaf up to the checkpoint's root.
    pub path: Vec<NodeHash>,
    /// The checkpoint, with all its signatures.
    pub note: SignedNote,
}

impl CheckpointProof {
    /// Checks that the entry with this leaf hash is in the ledger named `origin`, at [`CheckpointProof::index`].
    ///
    /// Returns the checkpoint that shows it, for the reader to ask for enough witnesses.
    ///
    /// # Errors
    /// [`CheckpointProofError`] if the checkpoint does not open, or the hashes do not lead to its root.
    pub fn verify(
        &self,
        leaf: LeafHash,
        origin: &str,
        known: &[VerifierKey],
    ) -> Result<SignedCheckpoint, CheckpointProofError> {
        let signed = open(&self.note, origin, known)?;
        let size = signed.checkpoint.size;
        let proof = InclusionProof { index: self.index, size, path: self.path.clone() };
        proof.verify(leaf, signed.checkpoint.root)?;
        Ok(signed)
    }

    /// Parses the text strictly; `Display` gives the same bytes again.
    ///
    /// # Errors
    /// [`ParseProofError`], by the first line that is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseProofError> {
        let mut rest = bytes;
        let mut line = next_line(&mut rest);
        if line != Some(PROOF_HEADER.as_bytes()) {
            return Err(ParseProofError::Header);
        }
        line = next_line(&mut rest);
        let extra = line.and_then(|line| line.strip_prefix(b"extra ")).map(b64::decode).transpose()?;
        if extra.is_some() {
            line = next_line(&mut rest);
        }
        let index = line
            .and_then(|line| decimal(str::from_utf8(line.strip_prefix(b"index ")?).ok()?))
            .ok_or(ParseProofError::Index)?;
        let mut path = Vec::new();
        loop {
            let line = next_line(&mut rest).ok_or(ParseProofError::Unterminated)?;
            if line.is_empty() {
                break;
            }
            if path.len() == MAX_PATH_LEN {
                return Err(ParseProofError::TooManyHashes);
            }
            path.push(NodeHash::new(b64::decode_array(line)?));
        }
        Ok(Self { extra, index, path, note: SignedNote::parse(rest)? })
    }
}

impl fmt::Display for CheckpointProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{PROOF_HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", b64::encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for hash in &self.path {
            writeln!(f, "{}", b64::encode(hash.as_bytes()))?;
        }
        write!(f, "\n{}", self.note)
    }
}

/// Why a text is not a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// It is not at least three lines, each ended by a line feed.
    #[error("a checkpoint has three lines: origin, size and root")]
    Lines,
    /// The origin is empty or has control characters.
    #[error("origin is empty or has control characters")]
    Origin,
    /// The size is not plain decimal without leading zeros, at most [`MAX_SIZE`].
    #[error("size is not a decimal number in range")]
    Size,
    /// The root is not strict base64 of 32 bytes.
    #[error("root is not a hash in base64")]
    Root(#[from] Base64Error),
    /// The size is 0 and the root is not that of the empty tree.
    #[error("a checkpoint of size 0 has the root of the empty tree")]
    EmptyRoot,
    /// There are lines after the root. Nobody can audit what they say, so a ledger's checkpoint has none.
    #[error("checkpoint has {} extension lines", lines.len())]
    Extensions {
        /// The lines, unverified, without their line feeds.
        lines: Vec<String>,
    },
}

/// Why a note is not a checkpoint of the log asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenCheckpointError {
    /// The text is no checkpoint.
    #[error(transparent)]
    Text(#[from] CheckpointError),
    /// It is of another log.
    #[error("checkpoint is of `{}`", found.escape_debug())]
    Origin {
        /// The origin it names, unverified.
        found: String,
    },
    /// No known key signed it, or a signature by one fails.
    #[error(transparent)]
    Signature(#[from] OpenError),
    /// Known keys signed it, but none of the log.
    #[error("checkpoint is not signed by its log")]
    NotByLog,
}

/// Why bytes are not a proof with a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseProofError {
    /// The first line is not `c2sp.org/tlog-proof@v1`.
    #[error("first line is not `{PROOF_HEADER}`")]
    Header,
    /// There is no line with the index where it belongs, or the index is not plain decimal, at most [`MAX_SIZE`].
    #[error("expected a line with the index")]
    Index,
    /// A hash, or the extra bytes, are not strict base64.
    #[error(transparent)]
    Base64(#[from] Base64Error),
    /// There are more hashes than [`MAX_PATH_LEN`].
    #[error("proof has more than {MAX_PATH_LEN} hashes")]
    TooManyHashes,
    /// No empty line ends the hashes.
    #[error("no empty line after the hashes")]
    Unterminated,
    /// What follows the hashes is no signed note.
    #[error(transparent)]
    Note(#[from] NoteError),
}

/// Why a proof with a checkpoint does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointProofError {
    /// The checkpoint does not open.
    #[error(transparent)]
    Checkpoint(#[from] OpenCheckpointError),
    /// The hashes do not lead from the entry to the checkpoint's root.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

/// The first line of a [`CheckpointProof`].
const PROOF_HEADER: &str = "c2sp.org/tlog-proof@v1";

/// A number as checkpoints write it: digits alone, no leading zero, at most [`MAX_SIZE`].
fn decimal(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if is_plain { text.parse().ok().filter(|number| *number <= MAX_SIZE) } else { None }
}

/// The bytes up to the next line feed, which is taken off `rest` with them.
fn next_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let (line, after) = rest.split_at(end);
    *rest = &after[1..];
    Some(line)
}

#[cfg(test)]
mod tests;
