//! Faults of bytes: what is wrong with an input, where, under a stable code.

use std::fmt;

macro_rules! codes {
    ($(#[doc = $doc:literal])+ pub enum $name:ident {
        $($(#[doc = $variant_doc:literal])+ $variant:ident = $code:literal,)*
    }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[doc = $variant_doc])+ $variant,)* }

        impl $name {
            /// Every code, in the order of docs/format.md.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The code as reports print it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// What it means, in a sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($variant_doc),+),)* }
            }
        }
    };
}

codes! {
    /// Stable codes of what can be wrong with bytes (docs/format.md, "Faults"). Rules have codes of their own.
    pub enum FaultCode {
        /// The last line does not end in LF.
        TornTail = "torn_tail",
        /// A line is longer than an entry may be.
        LineTooLong = "line_too_long",
        /// A statement is longer than a statement may be.
        StatementTooLong = "statement_too_long",
        /// Not UTF-8.
        Utf8 = "utf8",
        /// Not JSON (RFC 8259), or bytes after the value.
        Json = "json",
        /// A number that is not an integer within ±(2^53-1), or has a second spelling; a negative one outside `custom.data`.
        Number = "number",
        /// An object has a member twice.
        DuplicateKey = "duplicate_key",
        /// A member name does not match `[a-z0-9_]{1,64}`.
        KeyForm = "key_form",
        /// Nested deeper than the limit.
        Depth = "depth",
        /// A string with U+0000, a lone surrogate or a bidirectional control, or an empty free text.
        Text = "text",
        /// Valid, but not in the one canonical spelling.
        NotCanonical = "not_canonical",
        /// A member is missing, unknown, or of the wrong form.
        Schema = "schema",
        /// The event's type is none that the rules version knows.
        UnknownKind = "unknown_kind",
        /// `seq` is not the position.
        Seq = "seq",
        /// `prev` is not the leaf hash of the entry before.
        Prev = "prev",
        /// Not an instant of the one accepted form.
        Time = "time",
        /// `recorded_at` is before that of the entry before.
        TimeBackwards = "time_backwards",
        /// The first entry is not a well-formed genesis, or a later one is.
        Genesis = "genesis",
        /// The ledger is not the one that was asked for.
        LedgerPin = "ledger_pin",
        /// A statement of another ledger.
        LedgerId = "ledger_id",
        /// A serial repeats, or fell out of the window.
        Serial = "serial",
        /// Base64 that is not strict, or of the wrong length.
        Base64 = "base64",
        /// `seen` is not a head of this ledger, or too old.
        Seen = "seen",
        /// A decision without `seen`, or with one from before what is decided on.
        SeenMissing = "seen_missing",
        /// No signatures.
        Unsigned = "unsigned",
        /// Signatures not sorted by keyid, not unique, or more than 64.
        SignatureOrder = "signature_order",
        /// A keyid that the ledger never admitted.
        UnknownKey = "unknown_key",
        /// A key that was retired, compromised or distrusted before this entry.
        KeyEnded = "key_ended",
        /// A public key that this ledger has admitted before.
        KeyReused = "key_reused",
        /// A key that is not canonical, of small order, or has torsion.
        WeakKey = "weak_key",
        /// A new key did not sign the statement that admits it.
        NoPossession = "no_possession",
        /// A signature does not verify.
        Signature = "signature",
        /// The signers are not exactly those that the kind asks for.
        SignerSet = "signer_set",
        /// A segment without entries that is not the last.
        EmptySegment = "empty_segment",
        /// A database, or a bucket, in which an entry is not what is kept beside it.
        Store = "store",
        /// A segment's name is not its first seq.
        SegmentName = "segment_name",
        /// Nothing to verify.
        EmptyLedger = "empty_ledger",
        /// A checkpoint that is not a well-formed signed note.
        Note = "note",
        /// No checkpoint where one was required.
        CheckpointMissing = "checkpoint_missing",
        /// A checkpoint whose recorder signature is absent or wrong.
        CheckpointSignature = "checkpoint_signature",
        /// A checkpoint of another ledger.
        CheckpointOrigin = "checkpoint_origin",
        /// A checkpoint over more entries than there are: the ledger was cut.
        CheckpointAhead = "checkpoint_ahead",
        /// A checkpoint whose root is not that of these entries.
        CheckpointRoot = "checkpoint_root",
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
