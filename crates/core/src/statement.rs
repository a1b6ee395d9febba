//! Statements: an event with its envelope, the thing that is signed.

use std::ops::Range;
use std::sync::Arc;

use crate::digest::{KeyId, LeafHash, StatementDigest};
use crate::dsse;
use crate::event::Event;
use crate::fault::{Fault, FaultCode};
use crate::id::{LedgerRef, Principal};
use crate::key::{PublicKey, Signature, SignerKey};
use crate::scan::{MAX_ENTRY_DEPTH, MAX_STATEMENT_DEPTH};
use crate::time::Timestamp;
use crate::wire::{ObjectReader, Reader, Set, Wire, Writer, decode, decode_with, encode};

/// Longest statement in bytes.
pub const MAX_STATEMENT_LEN: usize = 49_152;
/// Most signatures on one statement.
pub const MAX_SIGNATURES: usize = 64;

/// The format version of statements and entries: the integer 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Version;

impl Wire for Version {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let offset = reader.offset();
        match reader.integer()? {
            1 => Ok(Self),
            _ => Err(Fault::new(FaultCode::Schema, offset, "the version is not 1")),
        }
    }

    fn write(&self, out: &mut Writer) {
        out.integer(1);
    }

    fn schema() -> String {
        "{\"const\":1}".into()
    }
}

crate::record! {
    /// A head that an author saw: whoever signs it witnesses all history before.
    pub struct Seen {
        /// The leaf hash of the last of these entries.
        pub leaf: LeafHash,
        /// How many entries there were: at least 1.
        pub size: u64,
    }

    /// One signature of a statement.
    pub struct SignaturePart {
        /// The key that made it.
        pub keyid: KeyId,
        /// Ed25519 over the statement's pre-authentication encoding.
        pub sig: Signature,
    }

    /// An event with its envelope. What is signed is its one canonical form.
    pub struct Statement {
        /// Who makes the statement.
        pub author: Principal,
        /// Who else signs it, where the kind asks for more than one person.
        pub cosigners: Set<Principal>,
        /// What it says.
        pub event: Event,
        /// When the author says it was made. Rules only compare it with the time of recording.
        pub issued_at: Timestamp,
        /// The author's signing key.
        pub key: KeyId,
        /// Which ledger it is for: the bare name in genesis, the ledger id in every other.
        pub ledger: LedgerRef,
        /// A head that the author saw. Required in decisions.
        pub seen: Option<Seen>,
        /// The author's count for this key. It never repeats.
        pub serial: u64,
        /// The format version.
        pub v: Version,
    }
}

impl Statement {
    /// The canonical bytes, ready to be signed here or elsewhere.
    ///
    /// # Errors
    /// `statement_too_long` above [`MAX_STATEMENT_LEN`], else the fault that reading the bytes would give.
    pub fn prepare(self) -> Result<SignedStatement, Fault> {
        let bytes: Arc<[u8]> = encode(&self).into();
        if bytes.len() > MAX_STATEMENT_LEN {
            return Err(too_long(bytes.len()));
        }
        // Values built in code can say what bytes could not (an empty text, a path without requirements); bytes decide.
        decode::<Self>(&bytes, MAX_STATEMENT_DEPTH)?;
        Ok(SignedStatement::new(self, bytes.clone(), 0..bytes.len(), Vec::new()))
    }

    /// The statement with signatures that were collected elsewhere. Nothing about them is proved.
    ///
    /// # Errors
    /// As [`Self::prepare`].
    pub fn assemble(self, signatures: Vec<SignaturePart>) -> Result<SignedStatement, Fault> {
        let mut signed = self.prepare()?;
        signed.signatures = signatures;
        Ok(signed)
    }

    /// Signs with the author's key.
    ///
    /// # Errors
    /// As [`Self::prepare`] and [`SignedStatement::cosign`].
    pub fn sign(self, key: &impl SignerKey) -> Result<SignedStatement, SignError> {
        let mut signed = self.prepare()?;
        signed.cosign(key)?;
        Ok(signed)
    }
}

fn too_long(found: usize) -> Fault {
    Fault::new(
        FaultCode::StatementTooLong,
        MAX_STATEMENT_LEN,
        format!("a statement of {found} bytes; at most {MAX_STATEMENT_LEN}"),
    )
}

/// A statement could not be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The statement is not one that any ledger admits.
    #[error("the statement can not be signed")]
    Statement(#[from] Fault),
    /// The signer failed.
    #[error("the signer failed")]
    Signer(#[from] signature::Error),
    /// The signer's signature does not verify under its public key.
    #[error("the signature by key {key_id} does not verify")]
    Signature {
        /// The key.
        key_id: KeyId,
    },
    /// The key has signed already.
    #[error("key {key_id} has signed already")]
    Twice {
        /// The key.
        key_id: KeyId,
    },
    /// There is no room for one more signature.
    #[error("a statement has at most {MAX_SIGNATURES} signatures")]
    TooMany,
}

/// A statement's exact bytes with the signatures collected so far. Nothing about them is proved yet.
#[derive(Clone)]
pub struct SignedStatement {
    statement: Statement,
    source: Arc<[u8]>,
    range: Range<usize>,
    digest: StatementDigest,
    signatures: Vec<SignaturePart>,
}

impl SignedStatement {
    pub(crate) fn new(
        statement: Statement,
        source: Arc<[u8]>,
        range: Range<usize>,
        signatures: Vec<SignaturePart>,
    ) -> Self {
        let digest = dsse::statement_digest(&source[range.clone()]);
        Self { statement, source, range, digest, signatures }
    }

    /// The same statement where its bytes stand in a larger buffer from `start` on.
    pub(crate) fn moved(&self, source: Arc<[u8]>, start: usize) -> Self {
        let range = start..start + self.range.len();
        debug_assert_eq!(&source[range.clone()], self.bytes());
        Self { source, range, ..self.clone() }
    }

    /// Reads the submission form `{"signatures":[...],"statement":{...},"v":1}`.
    ///
    /// # Errors
    /// The first fault, in the order of docs/format.md.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        if bytes.len() > crate::entry::MAX_ENTRY_LEN {
            return Err(Fault::new(
                FaultCode::LineTooLong,
                crate::entry::MAX_ENTRY_LEN,
                "longer than an entry may be",
            ));
        }
        let (signatures, range, statement) = decode_with(bytes, MAX_ENTRY_DEPTH, |reader| {
            reader.object(|object| {
                let Signatures(signatures) = object.member("signatures")?;
                let (range, statement) = read_statement(object)?;
                let Version = object.member("v")?;
                Ok((signatures, range, statement))
            })
        })?;
        Ok(Self::new(statement?, bytes.into(), range, signatures))
    }

    /// The submission form, canonical.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.object(|object| {
            object.member("signatures", &Signatures(self.signatures.clone()));
            object.raw_member("statement", self.bytes());
            object.member("v", &Version);
        });
        out.into_bytes()
    }

    /// The statement.
    #[must_use]
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// Its exact bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.source[self.range.clone()]
    }

    /// What signers sign: the DSSE pre-authentication encoding of [`Self::bytes`].
    #[must_use]
    pub fn signed_bytes(&self) -> Vec<u8> {
        dsse::statement_pae(self.bytes())
    }

    /// By which other statements refer to it.
    #[must_use]
    pub fn digest(&self) -> StatementDigest {
        self.digest
    }

    /// The signatures, sorted by key id once they are well-formed.
    #[must_use]
    pub fn signatures(&self) -> &[SignaturePart] {
        &self.signatures
    }

    /// Adds a signature by `key`: a cosigner's, or a new key's proof of possession.
    ///
    /// # Errors
    /// [`SignError`] if the signer fails, or the key has signed already.
    pub fn cosign(&mut self, key: &impl SignerKey) -> Result<(), SignError> {
        let public = key.public_key();
        let signature = key.sign(&self.signed_bytes())?;
        self.attach(&public, signature)
    }

    /// Adds a signature that was made elsewhere: by a KMS, an HSM, an agent or another machine.
    ///
    /// # Errors
    /// [`SignError`] if it does not verify, or the key has signed already.
    pub fn attach(&mut self, key: &PublicKey, signature: Signature) -> Result<(), SignError> {
        let key_id = key.key_id();
        key.verify_strict(&self.signed_bytes(), &signature).map_err(|_| SignError::Signature { key_id })?;
        if self.signatures.len() == MAX_SIGNATURES {
            return Err(SignError::TooMany);
        }
        match self.signatures.binary_search_by(|part| part.keyid.cmp(&key_id)) {
            Ok(_) => Err(SignError::Twice { key_id }),
            Err(place) => {
                self.signatures.insert(place, SignaturePart { keyid: key_id, sig: signature });
                Ok(())
            }
        }
    }

    /// Checks the form of the signature set: at least one, at most 64, sorted by key id, unique.
    ///
    /// # Errors
    /// `unsigned` or `signature_order`.
    pub fn check_signature_set(&self) -> Result<(), Fault> {
        if self.signatures.is_empty() {
            return Err(Fault::new(FaultCode::Unsigned, 0, "no signatures"));
        }
        let sorted = self.signatures.windows(2).all(|pair| pair[0].keyid < pair[1].keyid);
        if !sorted || self.signatures.len() > MAX_SIGNATURES {
            return Err(Fault::new(
                FaultCode::SignatureOrder,
                0,
                "signatures are sorted by keyid, unique, and at most 64",
            ));
        }
        Ok(())
    }

    /// Verifies every signature, under the keys that `known` finds and those that the event itself admits.
    ///
    /// What it proves is that each key signed exactly these bytes. Whether the keys may speak for the signers is judged.
    ///
    /// # Errors
    /// In this order: `unsigned`, `signature_order`, `unknown_key`, `signature`, `weak_key`.
    pub fn verify(self, known: impl Fn(&KeyId) -> Option<PublicKey>) -> Result<VerifiedStatement, Fault> {
        Arc::new(self).verify_shared(known)
    }

    /// As [`Self::verify`], for a statement that is shared with its entry: nothing is copied.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub fn verify_shared(
        self: &Arc<Self>,
        known: impl Fn(&KeyId) -> Option<PublicKey>,
    ) -> Result<VerifiedStatement, Fault> {
        self.check_signatures(known)?;
        Ok(VerifiedStatement(self.clone()))
    }

    /// As [`Self::verify`], without taking the statement.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub fn check_signatures(&self, known: impl Fn(&KeyId) -> Option<PublicKey>) -> Result<(), Fault> {
        self.check_signature_set()?;
        let new: Vec<_> = self.statement.event.new_keys().iter().map(|key| (key.key_id(), key.0)).collect();
        let admitted: Vec<_> = new.iter().map(|(key_id, key)| (*key_id, PublicKey::accept(key))).collect();
        let find = |key_id: &KeyId| match admitted.iter().find(|(new, _)| new == key_id) {
            Some((_, key)) => Some(*key),
            None => known(key_id).map(Ok),
        };
        let message = self.signed_bytes();
        let mut weak = admitted.iter().find_map(|(_, key)| key.as_ref().err());
        for part in &self.signatures {
            let Some(key) = find(&part.keyid) else {
                return Err(Fault::new(
                    FaultCode::UnknownKey,
                    0,
                    format!("key {} was never admitted", part.keyid),
                ));
            };
            if let Ok(key) = key {
                key.verify_strict(&message, &part.sig).map_err(|_| {
                    Fault::new(
                        FaultCode::Signature,
                        0,
                        format!("the signature by key {} does not verify", part.keyid),
                    )
                })?;
            }
        }
        match weak.take() {
            Some(error) => Err(Fault::new(FaultCode::WeakKey, 0, error.to_string())),
            None => Ok(()),
        }
    }
}

impl std::fmt::Debug for SignedStatement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignedStatement")
            .field("digest", &self.digest)
            .field("statement", &self.statement)
            .field("signatures", &self.signatures)
            .finish_non_exhaustive()
    }
}

/// A statement whose every signature is valid over its exact bytes. There is no other way to make one than to verify.
///
/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct VerifiedStatement(Arc<SignedStatement>);

impl VerifiedStatement {
    /// The statement with its bytes and signatures.
    #[must_use]
    pub fn signed(&self) -> &SignedStatement {
        &self.0
    }

    /// The statement.
    #[must_use]
    pub fn statement(&self) -> &Statement {
        &self.0.statement
    }

    /// By which other statements refer to it.
    #[must_use]
    pub fn digest(&self) -> StatementDigest {
        self.0.digest
    }

    /// Takes signatures on trust: for probes and benches that measure the rules alone, never for a ledger.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn assume_verified(signed: impl Into<Arc<SignedStatement>>) -> Self {
        Self(signed.into())
    }
}

/// The member `signatures`. An empty list is well-formed here, so that a stripped entry is named `unsigned`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signatures(pub(crate) Vec<SignaturePart>);

impl Wire for Signatures {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let mut parts = Vec::new();
        reader.array(|reader| {
            parts.push(SignaturePart::read(reader)?);
            Ok(())
        })?;
        Ok(Self(parts))
    }

    fn write(&self, out: &mut Writer) {
        out.array(&self.0, |out, part| part.write(out));
    }

    fn schema() -> String {
        format!(
            "{{\"type\":\"array\",\"minItems\":1,\"maxItems\":{MAX_SIGNATURES},\"items\":{}}}",
            SignaturePart::schema()
        )
    }
}

/// The member `statement`: where it stands, and what it says. The length goes first, since reading costs in proportion.
pub(crate) fn read_statement(
    object: &mut ObjectReader<'_, '_>,
) -> Result<(Range<usize>, Result<Statement, Fault>), Fault> {
    let (range, statement) = object.raw_member("statement", Statement::read)?;
    let length = range.len();
    Ok((range, if length > MAX_STATEMENT_LEN { Err(too_long(length)) } else { statement }))
}
