//! Dead Simple Signing Envelope v1 (DSSE 1.0.2): what a statement's signature covers, and its export for other tools.
//!
//! A signature covers the pre-authentication encoding of the statement's exact bytes: length-prefixed, nothing in base64,
//! with the payload type in front, so that a signature never holds for bytes of another kind.
//!
//! ```
//! use countersign_core::dsse;
//!
//! assert_eq!(dsse::pae("text/plain", b"hello"), b"DSSEv1 10 text/plain 5 hello");
//! ```

use crate::b64;
use crate::digest::{KeyId, StatementDigest, sha256};
use crate::key::Signature;

/// The payload type under which every statement is signed.
pub const STATEMENT_PAYLOAD_TYPE: &str = "application/vnd.countersign.statement.v1+json";

/// The pre-authentication encoding `DSSEv1 LEN(type) type LEN(body) body`: the bytes that are signed.
///
/// Lengths count bytes, in decimal.
#[must_use]
pub fn pae(payload_type: &str, body: &[u8]) -> Vec<u8> {
    let header = pae_header(payload_type, body.len());
    let mut bytes = Vec::with_capacity(header.len() + body.len());
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// What [`pae`] puts before a body of `body_len` bytes, for hashing the encoding without copying the body.
#[must_use]
pub fn pae_header(payload_type: &str, body_len: usize) -> String {
    // Joined rather than formatted: every statement that is read is hashed behind this.
    ["DSSEv1 ", &payload_type.len().to_string(), " ", payload_type, " ", &body_len.to_string(), " "].concat()
}

/// The bytes that the signers of a statement sign: [`pae`] under [`STATEMENT_PAYLOAD_TYPE`].
#[must_use]
pub fn statement_pae(statement: &[u8]) -> Vec<u8> {
    pae(STATEMENT_PAYLOAD_TYPE, statement)
}

/// The digest by which other statements refer to this one: SHA-256 of [`statement_pae`], without building it.
///
/// ```
/// use countersign_core::digest::sha256;
/// use countersign_core::dsse;
///
/// let statement = br#"{"v":1}"#;
/// assert_eq!(dsse::statement_digest(statement).as_bytes(), &sha256(&[&dsse::statement_pae(statement)]));
/// ```
#[must_use]
pub fn statement_digest(statement: &[u8]) -> StatementDigest {
    let header = pae_header(STATEMENT_PAYLOAD_TYPE, statement.len());
    StatementDigest::new(sha256(&[header.as_bytes(), statement]))
}

/// A DSSE envelope as JSON, which in-toto and sigstore tools verify: canonical, signatures in order of key id.
///
/// Each signature carries its key id in lower-case hexadecimal: some readers need it to be present and unique. They are to
/// be given the same id with the key, since their own default names keys otherwise.
///
/// # Errors
/// [`EnvelopeError`] if what comes out would not verify elsewhere.
///
/// ```
/// use countersign_core::dsse;
/// use countersign_core::key::{SecretKey, SignerKey};
///
/// let (key, statement) = (SecretKey::from_seed(&[1; 32]), br#"{"v":1}"#);
/// let signature = key.sign(&dsse::statement_pae(statement))?;
/// let signed_by = [(key.public_key().key_id(), signature)];
/// let envelope = dsse::envelope(dsse::STATEMENT_PAYLOAD_TYPE, statement, &signed_by)?;
/// assert!(envelope.starts_with(r#"{"payload":"eyJ2IjoxfQ==","payloadType":"application/vnd."#));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn envelope(
    payload_type: &str,
    body: &[u8],
    signatures: &[(KeyId, Signature)],
) -> Result<String, EnvelopeError> {
    // A media type has none of what JSON would have to escape, and readers disagree on the length of non-ASCII text.
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    if payload_type.is_empty() || !payload_type.bytes().all(is_plain) {
        return Err(EnvelopeError::PayloadType);
    }
    let mut signatures = signatures.to_vec();
    signatures.sort_unstable_by_key(|(key_id, _)| *key_id);
    if signatures.is_empty() {
        return Err(EnvelopeError::Unsigned);
    }
    if let Some(pair) = signatures.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(EnvelopeError::DuplicateKey { key_id: pair[0].0 });
    }
    let signatures: Vec<String> =
        signatures.iter().map(|(key_id, sig)| format!(r#"{{"keyid":"{key_id}","sig":"{sig}"}}"#)).collect();
    Ok(format!(
        r#"{{"payload":"{}","payloadType":"{payload_type}","signatures":[{}]}}"#,
        b64::encode(body),
        signatures.join(",")
    ))
}

/// Why an envelope is not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// The payload type is empty, not printable ASCII, or has a space, a quotation mark or a backslash.
    #[error("payload type is not a media type")]
    PayloadType,
    /// There is no signature: no reader would accept it.
    #[error("an envelope needs a signature")]
    Unsigned,
    /// Two signatures by one key: readers count keys, and some refuse the envelope.
    #[error("two signatures by key {key_id}")]
    DuplicateKey {
        /// The key that signed twice.
        key_id: KeyId,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{SecretKey, SignerKey as _};
    use crate::shared_vectors::{hex, json};

    #[test]
    fn pae_counts_bytes_and_separates_its_fields() {
        assert_eq!(pae("", b""), b"DSSEv1 0  0 ");
        assert_eq!(pae("té", "€".as_bytes()), "DSSEv1 3 té 3 €".as_bytes());
        // Bytes moved over the border of two fields are other bytes.
        let moved = [pae("a", b"b 1 c"), pae("a 5 b", b"c"), pae("a", b"b"), pae("", b"ab"), pae("ab", b"")];
        for (index, left) in moved.iter().enumerate() {
            assert!(moved[index + 1..].iter().all(|right| left != right));
        }
    }

    #[test]
    fn statement_digest_differs_from_the_plain_hash() {
        let body = br#"{"v":1}"#;
        assert_eq!(statement_digest(body).as_bytes(), &sha256(&[&pae(STATEMENT_PAYLOAD_TYPE, body)]));
        assert_ne!(statement_digest(body).as_bytes(), &sha256(&[body]));
    }

    #[test]
    fn envelope_refuses_what_readers_would_refuse() {
        let signature = Signature::new([0; 64]);
        let (one, two) = (KeyId::new([1; 32]), KeyId::new([2; 32]));
        for payload_type in ["", "a b", "a\"b", "a\\b", "té", "a\n"] {
            let error = envelope(payload_type, b"", &[(one, signature)]);
            assert_eq!(error, Err(EnvelopeError::PayloadType), "{payload_type:?}");
        }
        assert_eq!(envelope("a/b", b"", &[]), Err(EnvelopeError::Unsigned));
        let twice = [(one, signature), (two, signature), (one, Signature::new([3; 64]))];
        assert_eq!(envelope("a/b", b"", &twice), Err(EnvelopeError::DuplicateKey { key_id: one }));

        let (forth, back) = ([(one, signature), (two, signature)], [(two, signature), (one, signature)]);
        assert_eq!(envelope("a/b", b"", &forth), envelope("a/b", b"", &back));
    }

    #[test]
    fn dsse_vectors_are_met() {
        let Some(vectors) = json("dsse/dsse.json") else { return };
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        for case in vectors["pae"].as_array().unwrap() {
            let got = pae(&text(&case["type"]), text(&case["body_utf8"]).as_bytes());
            assert_eq!(got, text(&case["pae_utf8"]).into_bytes());
        }

        // The signature of this one is ECDSA; only what it covers is ours to check.
        let ecdsa = &vectors["ecdsa_p256_protocol_md"];
        let body = b64::decode(text(&ecdsa["payload"]).as_bytes()).unwrap();
        let want = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world";
        assert_eq!(pae(&text(&ecdsa["payloadType"]), &body), want);

        let ours = &vectors["ed25519"];
        let key = SecretKey::from_seed(&hex(&text(&ours["seed_hex"])).try_into().unwrap());
        assert_eq!(key.public_key().as_bytes()[..], hex(&text(&ours["pub_hex"])));
        let payload_type = text(&ours["envelope"]["payloadType"]);
        let body = b64::decode(text(&ours["envelope"]["payload"]).as_bytes()).unwrap();
        let signed = pae(&payload_type, &body);
        assert_eq!(signed, hex(&text(&ours["pae_hex"])));
        let signature = key.sign(&signed).unwrap();
        assert_eq!(key.public_key().verify_strict(&signed, &signature), Ok(()));
        let got = envelope(&payload_type, &body, &[(key.public_key().key_id(), signature)]).unwrap();
        // serde_json keeps object members sorted, as canonical JSON has them.
        assert_eq!(got, ours["envelope"].to_string());
    }
}
