//! Ed25519 keys and signatures, accepted and verified strictly, so that every implementation reaches the same verdict.
//!
//! A [`PublicKey`] exists only once it was found canonical, on the curve, not of small order and free of torsion.
//! With such keys a signature that [`PublicKey::verify_strict`] accepts has one meaning in every implementation.
//! Plain and batch verification are not offered: their verdicts differ between libraries on crafted input.
//!
//! ```
//! use countersign_core::key::{PublicKey, SecretKey, SignerKey};
//!
//! let key = SecretKey::from_seed(&[7; 32]);
//! let signature = key.sign(b"statement")?;
//! let public: PublicKey = key.public_key().to_string().parse()?;
//! assert!(public.verify_strict(b"statement", &signature).is_ok());
//! assert!(public.verify_strict(b"another statement", &signature).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use curve25519_dalek::edwards::CompressedEdwardsY;
use ed25519_dalek::VerifyingKey;
/// The crates whose types the signing traits speak, in the versions meant here.
pub use {ed25519_dalek, signature};

use crate::b64;
pub use crate::b64::Base64Error;
use crate::digest::{KeyId, sha256};

/// Length in bytes of an encoded public key (RFC 8032 section 5.1.5).
pub const PUBLIC_KEY_LEN: usize = 32;

/// Length in bytes of a signature (RFC 8032 section 5.1.6).
pub const SIGNATURE_LEN: usize = 64;

/// Length in bytes of the seed that a secret key is made from (RFC 8032 section 5.1.5).
pub const SEED_LEN: usize = 32;

/// An Ed25519 public key that may be enrolled: canonical, on the curve, not of small order, torsion-free.
///
/// As text it is strict base64 of its 32 bytes. It is kept decoded (192 bytes) so that verifying does not decode it again.
#[derive(Clone, Copy)]
pub struct PublicKey(
    // INVARIANT: encodes canonically, and its point is of prime order: made by `accept`, or from a secret scalar.
    VerifyingKey,
);

impl PublicKey {
    /// The key with this encoding, if it may be used at all.
    ///
    /// # Errors
    /// One [`KeyError`] for each reason to refuse; where several apply, the first in their order.
    ///
    /// ```
    /// use countersign_core::key::{KeyError, PublicKey};
    ///
    /// let mut identity = [0; 32];
    /// identity[0] = 1;
    /// assert_eq!(PublicKey::accept(&identity), Err(KeyError::SmallOrder));
    /// ```
    pub fn accept(bytes: &[u8; PUBLIC_KEY_LEN]) -> Result<Self, KeyError> {
        if !is_reduced(bytes) {
            return Err(KeyError::NotCanonical);
        }
        let point = CompressedEdwardsY(*bytes).decompress().ok_or(KeyError::NotOnCurve)?;
        // The other alias: x = 0 has no negative, but its sign bit can be set.
        if point.compress().as_bytes() != bytes {
            return Err(KeyError::NotCanonical);
        }
        if point.is_small_order() {
            return Err(KeyError::SmallOrder);
        }
        if !point.is_torsion_free() {
            return Err(KeyError::Torsion);
        }
        Ok(Self(VerifyingKey::from(point)))
    }

    /// The 32 bytes of the encoding.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; PUBLIC_KEY_LEN] {
        self.0.as_bytes()
    }

    /// The name of this key: SHA-256 of its 32 bytes.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        KeyId::new(sha256(&[self.as_bytes()]))
    }

    /// Accepts a signature of `message` only by the strict rule.
    ///
    /// That is: S is below the group order, R decodes, neither R nor the key is of small order, and R's bytes equal the
    /// recomputed ones without clearing the cofactor (ed25519-dalek's `verify_strict`).
    ///
    /// # Errors
    /// [`SignatureError`], which never says why.
    pub fn verify_strict(&self, message: &[u8], signature: &Signature) -> Result<(), SignatureError> {
        verify_strict(&self.0, message, signature)
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for PublicKey {}

impl PartialOrd for PublicKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PublicKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for PublicKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&b64::encode(self.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl FromStr for PublicKey {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        Ok(Self::accept(&b64::decode_array(text.as_bytes())?)?)
    }
}

/// An Ed25519 signature as bytes; whether it is one of anything is for [`PublicKey::verify_strict`] to say.
///
/// As text it is strict base64 of its 64 bytes. A signature never identifies what it signs.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature([u8; SIGNATURE_LEN]);

impl Signature {
    /// The signature with these bytes, unchecked.
    #[must_use]
    pub const fn new(bytes: [u8; SIGNATURE_LEN]) -> Self {
        Self(bytes)
    }

    /// The 64 bytes: R, then S.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; SIGNATURE_LEN] {
        &self.0
    }
}

impl From<ed25519_dalek::Signature> for Signature {
    fn from(signature: ed25519_dalek::Signature) -> Self {
        Self(signature.to_bytes())
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&b64::encode(&self.0))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({self})")
    }
}

impl FromStr for Signature {
    type Err = Base64Error;

    fn from_str(text: &str) -> Result<Self, Base64Error> {
        b64::decode_array(text.as_bytes()).map(Self)
    }
}

/// Something that signs with one Ed25519 key and knows its public half: a key in memory, a token, a remote service.
///
/// For any signer of the RustCrypto traits, [`WithPublicKey`] adds the public half.
pub trait SignerKey {
    /// The key that verifies what [`SignerKey::sign`] returns.
    fn public_key(&self) -> PublicKey;

    /// A signature of exactly these bytes (RFC 8032, neither prehashed nor with a context).
    ///
    /// # Errors
    /// Whatever the signer reports; a key in memory never fails.
    fn sign(&self, message: &[u8]) -> Result<Signature, signature::Error>;
}

impl<K: SignerKey + ?Sized> SignerKey for &K {
    fn public_key(&self) -> PublicKey {
        (**self).public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Signature, signature::Error> {
        (**self).sign(message)
    }
}

impl SignerKey for ed25519_dalek::SigningKey {
    fn public_key(&self) -> PublicKey {
        // A clamped scalar is a multiple of 8 below 8 times the group order, so its point has exactly that prime order.
        PublicKey(self.verifying_key())
    }

    fn sign(&self, message: &[u8]) -> Result<Signature, signature::Error> {
        signature::Signer::<ed25519_dalek::Signature>::try_sign(self, message).map(Signature::from)
    }
}

/// A signer of the RustCrypto `signature` traits together with the public key it signs for.
///
/// The two are not checked against each other here: a signature by another key is refused where it is verified.
#[derive(Debug, Clone)]
pub struct WithPublicKey<S> {
    /// The key under which the signatures verify.
    pub public_key: PublicKey,
    /// What makes the signatures.
    pub signer: S,
}

impl<S: signature::Signer<ed25519_dalek::Signature>> SignerKey for WithPublicKey<S> {
    fn public_key(&self) -> PublicKey {
        self.public_key
    }

    fn sign(&self, message: &[u8]) -> Result<Signature, signature::Error> {
        self.signer.try_sign(message).map(Signature::from)
    }
}

/// An Ed25519 secret key in memory, wiped when dropped and never shown.
#[derive(Clone)]
pub struct SecretKey(ed25519_dalek::SigningKey);

impl SecretKey {
    /// The key made from this seed (RFC 8032 section 5.1.5), which must come from a cryptographic source of randomness.
    ///
    /// The caller wipes its own copy of the seed.
    #[must_use]
    pub fn from_seed(seed: &[u8; SEED_LEN]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// The seed, for storing it. Whoever has it can sign.
    #[must_use]
    pub fn expose_seed(&self) -> &[u8; SEED_LEN] {
        self.0.as_bytes()
    }
}

impl SignerKey for SecretKey {
    fn public_key(&self) -> PublicKey {
        self.0.public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Signature, signature::Error> {
        SignerKey::sign(&self.0, message)
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(redacted, public {})", self.public_key())
    }
}

/// Why a public key is refused at enrolment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not the one spelling of its point: y is not below the field prime, or x is zero and marked negative.
    #[error("public key is not in canonical form")]
    NotCanonical,
    /// The bytes name no point of the curve.
    #[error("public key is not on the curve")]
    NotOnCurve,
    /// The point has order 1, 2, 4 or 8: signatures that hold for many messages could be made for it.
    #[error("public key is of small order")]
    SmallOrder,
    /// The point has a part of small order, so verifiers with and without a cofactor disagree about its signatures.
    #[error("public key is not torsion-free")]
    Torsion,
}

/// Why a text is not an acceptable public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseKeyError {
    /// The text is not strict base64 of 32 bytes.
    #[error(transparent)]
    Base64(#[from] Base64Error),
    /// The 32 bytes are no acceptable key.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// The signature does not hold under this key for these bytes. Why is never said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("signature does not verify")]
pub struct SignatureError;

fn verify_strict(key: &VerifyingKey, message: &[u8], signature: &Signature) -> Result<(), SignatureError> {
    key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(&signature.0))
        .map_err(|_| SignatureError)
}

/// Whether y, the encoding without its sign bit, is below the field prime 2^255 - 19.
fn is_reduced(bytes: &[u8; PUBLIC_KEY_LEN]) -> bool {
    let high_bits_set = bytes[31] & 0x7f == 0x7f && bytes[1..31].iter().all(|byte| *byte == 0xff);
    !(high_bits_set && bytes[0] >= 0xed)
}

#[cfg(test)]
mod tests;
