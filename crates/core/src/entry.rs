//! Entries: a signed statement at its place in the chain.

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::digest::{HASH_LEN, LeafHash, sha256};
use crate::fault::{Fault, FaultCode};
use crate::scan::MAX_ENTRY_DEPTH;
use crate::statement::{SignaturePart, Signatures, SignedStatement, Statement, Version, read_statement};
use crate::time::Timestamp;
use crate::wire::{MemberSchema, Wire as _, Writer, decode_with, named_schema, object_schema};

/// Longest entry in bytes, without the line feed that follows it in a file: the limit of a tile bundle.
pub const MAX_ENTRY_LEN: usize = 65_535;

/// `prev` of genesis.
pub const NO_PREV: LeafHash = LeafHash::new([0; HASH_LEN]);

/// How many entries there are, and the leaf hash of the last one. Together they name a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Head {
    /// How many entries there are.
    pub size: u64,
    /// The leaf hash of the last one; 32 zero bytes where there are none.
    pub leaf: LeafHash,
}

impl Head {
    /// The head of a ledger without entries.
    pub const EMPTY: Self = Self { size: 0, leaf: NO_PREV };
}

/// SHA-256(0x00 || entry bytes): link of the chain and RFC 6962 leaf.
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> LeafHash {
    LeafHash::new(sha256(&[&[0], entry]))
}

/// The JSON Schema of an entry.
#[must_use]
pub fn entry_schema() -> String {
    let own = [
        member("prev", "The leaf hash of the entry before; in genesis 64 zeros.", LeafHash::schema()),
        member(
            "recorded_at",
            "The recorder's clock. It never goes back, and is the only time rules use.",
            Timestamp::schema(),
        ),
        member("seq", "The 0-based place in the chain.", u64::schema()),
    ];
    let members: Vec<_> = own.into_iter().chain(submission_members()).collect();
    named_schema("Entry", "A signed statement at its place in the chain.", &object_schema(&members, None))
}

/// The JSON Schema of the submission form of a signed statement.
#[must_use]
pub fn submission_schema() -> String {
    let members = object_schema(&submission_members(), None);
    named_schema("Submission", "A signed statement as it is handed to a ledger.", &members)
}

fn submission_members() -> [MemberSchema; 3] {
    [
        member("signatures", "Sorted by `keyid`, which no two share.", Signatures::schema()),
        member("statement", "The statement: its exact bytes are what is signed.", Statement::schema()),
        member("v", "The format version.", Version::schema()),
    ]
}

fn member(name: &'static str, doc: &'static str, schema: String) -> MemberSchema {
    MemberSchema { name, doc, schema, optional: false }
}

/// A signed statement at its place in the chain: exact bytes and what they say.
///
/// Nothing about its place or its signatures is proved by having one.
#[derive(Debug, Clone)]
pub struct Entry {
    bytes: Arc<[u8]>,
    leaf: LeafHash,
    seq: u64,
    prev: LeafHash,
    recorded_at: Timestamp,
    signed: Arc<SignedStatement>,
}

impl Entry {
    /// Puts a statement behind `head`.
    ///
    /// # Errors
    /// `line_too_long` where the entry would be longer than [`MAX_ENTRY_LEN`].
    pub fn seal(head: Head, recorded_at: Timestamp, signed: &SignedStatement) -> Result<Self, Fault> {
        let mut out = Writer::default();
        let mut start = 0;
        out.object(|object| {
            object.member("prev", &head.leaf);
            object.member("recorded_at", &recorded_at);
            object.member("seq", &head.size);
            object.member("signatures", &Signatures(signed.signatures().to_vec()));
            start = object.raw_member_at("statement", signed.bytes());
            object.member("v", &Version);
        });
        let bytes: Arc<[u8]> = out.into_bytes().into();
        if bytes.len() > MAX_ENTRY_LEN {
            let detail = format!("an entry of {} bytes; at most {MAX_ENTRY_LEN}", bytes.len());
            return Err(Fault::new(FaultCode::LineTooLong, MAX_ENTRY_LEN, detail));
        }
        let signed = signed.moved(bytes.clone(), start);
        Ok(Self {
            leaf: leaf_hash(&bytes),
            seq: head.size,
            prev: head.leaf,
            recorded_at,
            signed: Arc::new(signed),
            bytes,
        })
    }

    /// Reads an entry from its exact bytes, without a line feed.
    ///
    /// # Errors
    /// The first fault of length, UTF-8, JSON, profile, canonical form and schemas. Place and signatures are not looked at.
    pub fn parse(bytes: impl Into<Arc<[u8]>>) -> Result<Self, Fault> {
        ParsedEntry::parse(bytes)?.into_entry()
    }

    /// The exact bytes.
    #[must_use]
    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }

    /// SHA-256(0x00 || bytes).
    #[must_use]
    pub fn leaf(&self) -> LeafHash {
        self.leaf
    }

    /// Its 0-based place.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The leaf hash of the entry before.
    #[must_use]
    pub fn prev(&self) -> LeafHash {
        self.prev
    }

    /// The recorder's clock when it was recorded: the only time that rules use.
    #[must_use]
    pub fn recorded_at(&self) -> Timestamp {
        self.recorded_at
    }

    /// The statement with its signatures.
    #[must_use]
    pub fn signed(&self) -> &Arc<SignedStatement> {
        &self.signed
    }

    /// The statement.
    #[must_use]
    pub fn statement(&self) -> &Statement {
        self.signed.statement()
    }

    /// The head right after it.
    #[must_use]
    pub fn head(&self) -> Head {
        Head { size: self.seq + 1, leaf: self.leaf }
    }
}

/// An entry read as far as its own schema: the statement's fault, if it has one, waits until the place was checked.
#[derive(Debug)]
pub struct ParsedEntry {
    bytes: Arc<[u8]>,
    /// Its claimed place.
    pub seq: u64,
    /// Its claimed predecessor.
    pub prev: LeafHash,
    /// Its time of recording.
    pub recorded_at: Timestamp,
    signatures: Vec<SignaturePart>,
    range: Range<usize>,
    statement: Result<Statement, Fault>,
}

impl ParsedEntry {
    /// Reads the entry's own members.
    ///
    /// # Errors
    /// The first fault of length, UTF-8, JSON, profile, canonical form and entry schema.
    pub fn parse(bytes: impl Into<Arc<[u8]>>) -> Result<Self, Fault> {
        let bytes = bytes.into();
        if bytes.len() > MAX_ENTRY_LEN {
            return Err(Fault::new(
                FaultCode::LineTooLong,
                MAX_ENTRY_LEN,
                "an entry has at most 65,535 bytes",
            ));
        }
        decode_with(&bytes, MAX_ENTRY_DEPTH, |reader| {
            reader.object(|object| {
                let prev = object.member("prev")?;
                let recorded_at = object.member("recorded_at")?;
                let seq = object.member("seq")?;
                let Signatures(signatures) = object.member("signatures")?;
                let (range, statement) = read_statement(object)?;
                let Version = object.member("v")?;
                Ok(Self { bytes: bytes.clone(), seq, prev, recorded_at, signatures, range, statement })
            })
        })
    }

    /// The entry, if its statement is well-formed.
    ///
    /// # Errors
    /// The statement's first fault.
    pub fn into_entry(self) -> Result<Entry, Fault> {
        let signed = SignedStatement::new(self.statement?, self.bytes.clone(), self.range, self.signatures);
        Ok(Entry {
            leaf: leaf_hash(&self.bytes),
            seq: self.seq,
            prev: self.prev,
            recorded_at: self.recorded_at,
            signed: Arc::new(signed),
            bytes: self.bytes,
        })
    }
}
