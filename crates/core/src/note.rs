//! Signed notes (C2SP signed-note v1): short texts with signatures that anyone can check, here checkpoints above all.
//!
//! A [`SignedNote`] is well-formed and no more: its text is untrusted until [`SignedNote::open`] has found a signature by
//! a known key. Two kinds of signature are known: over the text alone, and over the text with the time it was seen.
//!
//! ```
//! use countersign_core::key::{SecretKey, SignerKey};
//! use countersign_core::note::{KeyKind, SignedNote, VerifierKey};
//!
//! let key = SecretKey::from_seed(&[1; 32]);
//! let note = SignedNote::sign("a short text\n", "example.com/notary", &key)?.to_string();
//!
//! let known = VerifierKey::new("example.com/notary", KeyKind::Note, key.public_key())?;
//! let opened = SignedNote::parse(note.as_bytes())?.open(&[known])?;
//! assert_eq!(opened.text(), "a short text\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use crate::b64;
use crate::digest::sha256;
use crate::key::{Base64Error, KeyError, PUBLIC_KEY_LEN, PublicKey, Signature, SignerKey, signature};

/// The most signatures a note may have. Every reader must take 16; those written in Go stop at 100.
pub const MAX_SIGNATURES: usize = 100;

/// The most bytes a note may have, as in readers written in Go.
pub const MAX_NOTE_LEN: usize = 1_000_000;

/// A kind of signature in a note: what is signed and how the signature is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// Type 0x01: Ed25519 over the text.
    Note,
    /// Type 0x04, `cosignature/v1`: Ed25519 over the text and the time at which a witness saw it as the latest checkpoint.
    Cosignature,
}

impl KeyKind {
    const fn type_byte(self) -> u8 {
        match self {
            Self::Note => 0x01,
            Self::Cosignature => 0x04,
        }
    }
}

/// A hint at the key of a signature: the first 4 bytes of SHA-256(name || LF || type || key). Not unique against malice.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct NoteKeyId([u8; 4]);

impl NoteKeyId {
    /// The id that a key has under a name.
    #[must_use]
    pub fn of(name: &str, kind: KeyKind, key: &PublicKey) -> Self {
        let hash = sha256(&[name.as_bytes(), b"\n", &[kind.type_byte()], key.as_bytes()]);
        Self([hash[0], hash[1], hash[2], hash[3]])
    }

    /// The 4 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 4] {
        &self.0
    }
}

impl fmt::Display for NoteKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Debug for NoteKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NoteKeyId({self})")
    }
}

/// A public key under the name it signs notes with. As text, a *vkey*: `name+id+base64(type || key)`.
///
/// ```
/// use countersign_core::note::VerifierKey;
///
/// let vkey = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
/// let key: VerifierKey = vkey.parse()?;
/// assert_eq!(key.name(), "example.com/foo");
/// assert_eq!(key.to_string(), vkey);
/// # Ok::<(), countersign_core::note::VerifierKeyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    // INVARIANT: `name` is a key name, and `id` is what `NoteKeyId::of` gives for the other three.
    name: String,
    kind: KeyKind,
    key: PublicKey,
    id: NoteKeyId,
}

impl VerifierKey {
    /// The key under this name.
    ///
    /// # Errors
    /// [`NameError`] if `name` is empty or has white space or a plus sign.
    pub fn new(name: &str, kind: KeyKind, key: PublicKey) -> Result<Self, NameError> {
        check_name(name)?;
        Ok(Self { name: name.to_owned(), kind, key, id: NoteKeyId::of(name, kind, &key) })
    }

    /// The name in front of its signatures.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its signatures cover.
    #[must_use]
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The public key.
    #[must_use]
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The id in its signatures.
    #[must_use]
    pub const fn id(&self) -> NoteKeyId {
        self.id
    }

    /// Whether the line claims to be by this key. Says nothing about its signature.
    fn is_named_by(&self, line: &SignatureLine) -> bool {
        self.id == line.id && self.name == line.name
    }

    /// The signer that a line proves, or `None` if its signature does not hold.
    fn verify(&self, text: &str, line: &SignatureLine) -> Option<NoteSigner> {
        let (time, raw) = match self.kind {
            KeyKind::Note => (None, &line.signature[..]),
            KeyKind::Cosignature => {
                let (time, raw) = line.signature.split_first_chunk()?;
                (Some(u64::from_be_bytes(*time)), raw)
            }
        };
        if time.is_some_and(|time| time > MAX_TIME) {
            return None;
        }
        let message = time.map_or(Cow::Borrowed(text), |time| Cow::Owned(cosignature_message(text, time)));
        let raw = Signature::new(raw.try_into().ok()?);
        self.key.verify_strict(message.as_bytes(), &raw).ok()?;
        Some(NoteSigner { name: self.name.clone(), key: self.key, kind: self.kind, time_seconds: time })
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![self.kind.type_byte()];
        bytes.extend_from_slice(self.key.as_bytes());
        write!(f, "{}+{}+{}", self.name, self.id, b64::encode(&bytes))
    }
}

impl FromStr for VerifierKey {
    type Err = VerifierKeyError;

    fn from_str(text: &str) -> Result<Self, VerifierKeyError> {
        // A name has no plus sign, but base64 may.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(VerifierKeyError::Shape);
        };
        let bytes: [u8; 1 + PUBLIC_KEY_LEN] = b64::decode_array(key.as_bytes())?;
        let (type_byte, key) = bytes.split_first_chunk::<1>().expect("the type byte is part of the length");
        let kind = [KeyKind::Note, KeyKind::Cosignature]
            .into_iter()
            .find(|kind| [kind.type_byte()] == *type_byte)
            .ok_or(VerifierKeyError::Type { found: type_byte[0] })?;
        let key = PublicKey::accept(key.try_into().expect("the rest of 33 bytes is 32"))?;
        let found = Self::new(name, kind, key)?;
        // Comparing the text also refuses upper-case digits and other lengths.
        if found.id.to_string() != id {
            return Err(VerifierKeyError::Id { expected: found.id });
        }
        Ok(found)
    }
}

/// A note in its exact form, text and signature lines. Nothing in it is verified.
///
/// `Display` gives the bytes it was parsed from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedNote {
    // INVARIANT: not empty, ends in a line feed, has no other control character below U+0020.
    text: String,
    // INVARIANT: 1 to MAX_SIGNATURES lines.
    signatures: Vec<SignatureLine>,
}

/// A signature in a note, as it stands there: whose it claims to be, and its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureLine {
    // INVARIANT: a key name.
    name: String,
    id: NoteKeyId,
    // INVARIANT: not empty.
    signature: Vec<u8>,
}

impl SignatureLine {
    /// The name of the key that is claimed to have signed.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id of that key.
    #[must_use]
    pub const fn id(&self) -> NoteKeyId {
        self.id
    }

    /// What follows the id: laid out as the kind of key prescribes, which only the verifier's key tells.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }
}

impl fmt::Display for SignatureLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blob = [&self.id.0[..], &self.signature].concat();
        writeln!(f, "{LINE_START}{} {}", self.name, b64::encode(&blob))
    }
}

impl FromStr for SignatureLine {
    type Err = LineError;

    /// Parses one line, with the line feed that ends it or without.
    fn from_str(line: &str) -> Result<Self, LineError> {
        let line = line.strip_suffix('\n').unwrap_or(line);
        let (name, blob) =
            line.strip_prefix(LINE_START).and_then(|rest| rest.split_once(' ')).ok_or(LineError::Shape)?;
        check_name(name)?;
        let blob = b64::decode(blob.as_bytes())?;
        match blob.split_first_chunk() {
            Some((id, signature)) if !signature.is_empty() => {
                Ok(Self { name: name.to_owned(), id: NoteKeyId(*id), signature: signature.to_vec() })
            }
            Some(_) | None => Err(LineError::Short),
        }
    }
}

impl SignedNote {
    /// Parses a note strictly; `Display` gives the same bytes again.
    ///
    /// The text is what stands before the last empty line, so it may have empty lines itself.
    ///
    /// # Errors
    /// [`NoteError`], by the first thing that is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > MAX_NOTE_LEN {
            return Err(NoteError::TooLong { found: bytes.len() });
        }
        let note =
            str::from_utf8(bytes).map_err(|error| NoteError::Utf8 { position: error.valid_up_to() })?;
        if let Some(position) = control_character(note) {
            return Err(NoteError::Control { position });
        }
        let separator = note.rfind("\n\n").ok_or(NoteError::NoSeparator)?;
        let (text, lines) = (&note[..=separator], &note[separator + 2..]);
        let lines = match lines.strip_suffix('\n') {
            Some(lines) => lines,
            None if lines.is_empty() => return Err(NoteError::NoSignatures),
            None => return Err(NoteError::Unterminated),
        };
        let mut signatures = Vec::new();
        for (index, line) in lines.split('\n').enumerate() {
            if index == MAX_SIGNATURES {
                return Err(NoteError::TooManySignatures);
            }
            signatures.push(line.parse().map_err(|source| NoteError::Line { index, source })?);
        }
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// A note over `text` with one signature of kind [`KeyKind::Note`], made under the name `name`.
    ///
    /// # Errors
    /// [`SignNoteError`] if `text` or `name` cannot stand in a note, or signing fails.
    pub fn sign(text: &str, name: &str, key: &(impl SignerKey + ?Sized)) -> Result<Self, SignNoteError> {
        if !text.ends_with('\n') {
            return Err(SignNoteError::Text);
        }
        if control_character(text).is_some() {
            return Err(SignNoteError::Text);
        }
        let mut note = Self { text: text.to_owned(), signatures: Vec::new() };
        note.add_signature(name, key)?;
        Ok(note)
    }

    /// Appends another signature over the text.
    ///
    /// # Errors
    /// [`SignNoteError`] if `name` is no key name, signing fails, or the note is full.
    pub fn add_signature(
        &mut self,
        name: &str,
        key: &(impl SignerKey + ?Sized),
    ) -> Result<(), SignNoteError> {
        let signature = key.sign(self.text.as_bytes())?;
        let id = NoteKeyId::of(name, KeyKind::Note, &key.public_key());
        self.add_line(name, id, signature.as_bytes().to_vec())
    }

    /// Appends a `cosignature/v1`: that the checkpoint was the latest consistent one a witness had seen at that time.
    ///
    /// The time is POSIX seconds, at most 2^63 - 1. The signature does not cover the name: a witness has a key of its own.
    ///
    /// # Errors
    /// [`SignNoteError`] if `name` is no key name, the time is too large, signing fails, or the note is full.
    pub fn add_cosignature(
        &mut self,
        name: &str,
        time_seconds: u64,
        key: &(impl SignerKey + ?Sized),
    ) -> Result<(), SignNoteError> {
        if time_seconds > MAX_TIME {
            return Err(SignNoteError::Time);
        }
        let signature = key.sign(cosignature_message(&self.text, time_seconds).as_bytes())?;
        let id = NoteKeyId::of(name, KeyKind::Cosignature, &key.public_key());
        self.add_line(name, id, [&time_seconds.to_be_bytes()[..], signature.as_bytes()].concat())
    }

    /// Appends a signature line that came from elsewhere, unverified.
    ///
    /// # Errors
    /// [`SignNoteError::Full`] if there are [`MAX_SIGNATURES`] already.
    pub fn push(&mut self, line: SignatureLine) -> Result<(), SignNoteError> {
        if self.signatures.len() >= MAX_SIGNATURES {
            return Err(SignNoteError::Full);
        }
        self.signatures.push(line);
        Ok(())
    }

    fn add_line(&mut self, name: &str, id: NoteKeyId, signature: Vec<u8>) -> Result<(), SignNoteError> {
        check_name(name)?;
        self.push(SignatureLine { name: name.to_owned(), id, signature })
    }

    /// The text, which anyone may have written.
    #[must_use]
    pub fn untrusted_text(&self) -> &str {
        &self.text
    }

    /// The signature lines in their order, which anyone may have written.
    #[must_use]
    pub fn signatures(&self) -> &[SignatureLine] {
        &self.signatures
    }

    /// Verifies the note with the keys that the reader knows.
    ///
    /// Lines by other keys are ignored. Every line by a known key must hold, a repeated one too, or the whole note is
    /// refused; repeated lines count once, the first.
    ///
    /// # Errors
    /// [`OpenError`] if a signature by a known key fails, or there is none.
    pub fn open(&self, known: &[VerifierKey]) -> Result<VerifiedNote, OpenError> {
        let mut signers: Vec<NoteSigner> = Vec::new();
        for (index, line) in self.signatures.iter().enumerate() {
            let mut keys = known.iter().filter(|key| key.is_named_by(line));
            let Some(key) = keys.next() else { continue };
            if keys.any(|other| other != key) {
                return Err(OpenError::Ambiguous { name: line.name.clone(), id: line.id });
            }
            let signer = key.verify(&self.text, line).ok_or(OpenError::Signature { index })?;
            if !signers
                .iter()
                .any(|seen| (seen.kind, &seen.key, &seen.name) == (key.kind, &key.key, &key.name))
            {
                signers.push(signer);
            }
        }
        if signers.is_empty() {
            return Err(OpenError::Unknown);
        }
        Ok(VerifiedNote { text: self.text.clone(), signers })
    }
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| line.fmt(f))
    }
}

/// The text of a note that at least one known key signed. Only [`SignedNote::open`] makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedNote {
    text: String,
    // INVARIANT: not empty, each key and name once.
    signers: Vec<NoteSigner>,
}

impl VerifiedNote {
    /// The text, with the line feed that ends it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The known keys that signed, each once, in the order of the note.
    #[must_use]
    pub fn signers(&self) -> &[NoteSigner] {
        &self.signers
    }
}

/// A known key whose signature on a note holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSigner {
    /// The name it signed under.
    pub name: String,
    /// The key.
    pub key: PublicKey,
    /// What its signature covers.
    pub kind: KeyKind,
    /// For a cosignature the time the witness states, in POSIX seconds. Nobody else vouches for it.
    pub time_seconds: Option<u64>,
}

/// The bytes that a `cosignature/v1` over a checkpoint's text signs (C2SP tlog-cosignature).
#[must_use]
pub fn cosignature_message(text: &str, time_seconds: u64) -> String {
    format!("cosignature/v1\ntime {time_seconds}\n{text}")
}

/// The name is empty, or has white space or a plus sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key name must not be empty nor have white space or a plus sign")]
pub struct NameError;

/// Why a text is not a verifier key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifierKeyError {
    /// It is not three parts joined by plus signs.
    #[error("expected name, id and key joined by plus signs")]
    Shape,
    /// The first part is no key name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The last part is not strict base64 of 33 bytes.
    #[error(transparent)]
    Base64(#[from] Base64Error),
    /// The type byte is neither 0x01 nor 0x04.
    #[error("unknown key type {found:#04x}")]
    Type {
        /// The type byte found.
        found: u8,
    },
    /// The key is not acceptable.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The id is not the one that name, type and key have, in 8 lower-case digits.
    #[error("key id does not match, expected {expected}")]
    Id {
        /// The id they have.
        expected: NoteKeyId,
    },
}

/// Why bytes are not a signed note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// More than [`MAX_NOTE_LEN`] bytes.
    #[error("note of {found} bytes is too long")]
    TooLong {
        /// How many bytes there are.
        found: usize,
    },
    /// Not UTF-8.
    #[error("note is not UTF-8 at byte {position}")]
    Utf8 {
        /// 0-based position of the first wrong byte.
        position: usize,
    },
    /// A character below U+0020 other than a line feed.
    #[error("note has a control character at byte {position}")]
    Control {
        /// 0-based position of the first one.
        position: usize,
    },
    /// No empty line between text and signatures.
    #[error("note has no empty line after its text")]
    NoSeparator,
    /// Nothing after the last empty line.
    #[error("note has no signatures")]
    NoSignatures,
    /// The last line does not end in a line feed.
    #[error("last line of the note is not ended")]
    Unterminated,
    /// More than [`MAX_SIGNATURES`] signature lines.
    #[error("note has too many signatures")]
    TooManySignatures,
    /// A line after the last empty line is no signature.
    #[error("signature line {index} is malformed")]
    Line {
        /// 0-based position among the signature lines.
        index: usize,
        /// What is wrong with it.
        source: LineError,
    },
}

/// Why a line is not a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// It is not an em dash, a key name and base64, each with one space between.
    #[error("expected an em dash, a key name and a signature")]
    Shape,
    /// The name is no key name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The last part is not strict base64.
    #[error(transparent)]
    Base64(#[from] Base64Error),
    /// There is nothing after the 4 bytes of the key id.
    #[error("signature is too short")]
    Short,
}

/// Why a note is not to be believed. Its text must be ignored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// No known key signed it.
    #[error("note is not signed by any known key")]
    Unknown,
    /// A line by a known key does not hold.
    #[error("signature line {index} does not verify")]
    Signature {
        /// 0-based position among the signature lines.
        index: usize,
    },
    /// Two of the known keys have the same name and id, so a line cannot be told to be by one.
    #[error("two known keys are named `{name}` with id {id}")]
    Ambiguous {
        /// The name of both.
        name: String,
        /// The id of both.
        id: NoteKeyId,
    },
}

/// Why a note is not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignNoteError {
    /// The text does not end in a line feed, or has another control character.
    #[error("the text of a note ends in a line feed and has no other control characters")]
    Text,
    /// The name is no key name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The time of a cosignature is above 2^63 - 1 seconds.
    #[error("time is out of range")]
    Time,
    /// There are [`MAX_SIGNATURES`] signatures already.
    #[error("note has no room for another signature")]
    Full,
    /// The signer failed; the source says how.
    #[error("signing failed")]
    Signer(#[from] signature::Error),
}

/// An em dash and a space.
const LINE_START: &str = "\u{2014} ";

/// The largest time that other readers can hold, in seconds.
const MAX_TIME: u64 = i64::MAX.unsigned_abs();

fn check_name(name: &str) -> Result<(), NameError> {
    let is_bad = |letter: char| letter.is_whitespace() || letter < ' ' || letter == '+';
    if name.is_empty() || name.contains(is_bad) { Err(NameError) } else { Ok(()) }
}

fn control_character(text: &str) -> Option<usize> {
    text.bytes().position(|byte| byte < 0x20 && byte != b'\n')
}

#[cfg(test)]
mod tests;
