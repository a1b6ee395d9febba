//! Faults of bytes: what is wrong with an input, where, under a stable code.

use std::fmt;

/// Stable codes of what can be wrong with bytes (docs/format.md, "Verdict"). Rules have codes of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultCode {
    /// The last line does not end in LF.
    TornTail,
    /// A line is longer than an entry may be.
    LineTooLong,
    /// A statement is longer than a statement may be.
    StatementTooLong,
    /// Not UTF-8.
    Utf8,
    /// Not JSON (RFC 8259), or bytes after the value.
    Json,
    /// A number that is not an integer within ±(2^53-1), or has a second spelling; a negative one outside `custom.data`.
    Number,
    /// An object has a member twice.
    DuplicateKey,
    /// A member name does not match `[a-z0-9_]{1,64}`.
    KeyForm,
    /// Nested deeper than the limit.
    Depth,
    /// A string with U+0000, a lone surrogate or a bidirectional control, or an empty free text.
    Text,
    /// Valid, but not in the one canonical spelling.
    NotCanonical,
    /// A member is missing, unknown, or of the wrong form.
    Schema,
    /// The event's type is none that the rules version knows.
    UnknownKind,
    /// `seq` is not the position.
    Seq,
    /// `prev` is not the leaf hash of the entry before.
    Prev,
    /// Not an instant of the one accepted form.
    Time,
    /// `recorded_at` is before that of the entry before.
    TimeBackwards,
    /// The first entry is not a well-formed genesis, or a later one is.
    Genesis,
    /// The ledger is not the one that was asked for.
    LedgerPin,
    /// A statement of another ledger.
    LedgerId,
    /// A serial repeats, or fell out of the window.
    Serial,
    /// Base64 that is not strict, or of the wrong length.
    Base64,
    /// `seen` is not a head of this ledger, or too old.
    Seen,
    /// A decision without `seen`, or with one from before what is decided on.
    SeenMissing,
    /// No signatures.
    Unsigned,
    /// Signatures not sorted by keyid, not unique, or more than 64.
    SignatureOrder,
    /// A keyid that the ledger never admitted.
    UnknownKey,
    /// A key that was retired, compromised or distrusted before this entry.
    KeyEnded,
    /// A public key that this ledger has admitted before.
    KeyReused,
    /// A key that is not canonical, of small order, or has torsion.
    WeakKey,
    /// A new key did not sign the statement that admits it.
    NoPossession,
    /// A signature does not verify.
    Signature,
    /// The signers are not exactly those that the kind asks for.
    SignerSet,
    /// A segment without entries that is not the last.
    EmptySegment,
    /// A segment's name is not its first seq.
    SegmentName,
    /// Nothing to verify.
    EmptyLedger,
    /// A checkpoint that is not a well-formed signed note.
    Note,
    /// No checkpoint where one was required.
    CheckpointMissing,
    /// A checkpoint whose recorder signature is absent or wrong.
    CheckpointSignature,
    /// A checkpoint of another ledger.
    CheckpointOrigin,
    /// A checkpoint over more entries than there are: the ledger was cut.
    CheckpointAhead,
    /// A checkpoint whose root is not that of these entries.
    CheckpointRoot,
}

impl FaultCode {
    /// The code as reports print it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TornTail => "torn_tail",
            Self::LineTooLong => "line_too_long",
            Self::StatementTooLong => "statement_too_long",
            Self::Utf8 => "utf8",
            Self::Json => "json",
            Self::Number => "number",
            Self::DuplicateKey => "duplicate_key",
            Self::KeyForm => "key_form",
            Self::Depth => "depth",
            Self::Text => "text",
            Self::NotCanonical => "not_canonical",
            Self::Schema => "schema",
            Self::UnknownKind => "unknown_kind",
            Self::Seq => "seq",
            Self::Prev => "prev",
            Self::Time => "time",
            Self::TimeBackwards => "time_backwards",
            Self::Genesis => "genesis",
            Self::LedgerPin => "ledger_pin",
            Self::LedgerId => "ledger_id",
            Self::Serial => "serial",
            Self::Base64 => "base64",
            Self::Seen => "seen",
            Self::SeenMissing => "seen_missing",
            Self::Unsigned => "unsigned",
            Self::SignatureOrder => "signature_order",
            Self::UnknownKey => "unknown_key",
            Self::KeyEnded => "key_ended",
            Self::KeyReused => "key_reused",
            Self::WeakKey => "weak_key",
            Self::NoPossession => "no_possession",
            Self::Signature => "signature",
            Self::SignerSet => "signer_set",
            Self::EmptySegment => "empty_segment",
            Self::SegmentName => "segment_name",
            Self::EmptyLedger => "empty_ledger",
            Self::Note => "note",
            Self::CheckpointMissing => "checkpoint_missing",
            Self::CheckpointSignature => "checkpoint_signature",
            Self::CheckpointOrigin => "checkpoint_origin",
            Self::CheckpointAhead => "checkpoint_ahead",
            Self::CheckpointRoot => "checkpoint_root",
        }
    }
}

impl fmt::Display for FaultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What is wrong with an input and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code} at byte {offset}: {detail}")]
pub struct Fault {
    /// The stable code.
    pub code: FaultCode,
    /// 0-based offset of the first wrong byte where it is known, else of the start of the value.
    pub offset: usize,
    /// One sentence for a person; its wording is not stable.
    pub detail: String,
}

impl Fault {
    /// A fault of `code` at `offset`.
    #[must_use]
    pub fn new(code: FaultCode, offset: usize, detail: impl Into<String>) -> Self {
        Self { code, offset, detail: detail.into() }
    }

    /// The same fault `by` bytes further on, for an input that stands inside a larger one.
    #[must_use]
    pub fn shifted(mut self, by: usize) -> Self {
        self.offset += by;
        self
    }
}
