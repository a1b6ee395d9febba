//! Texts that stay outside the ledger: what is written in their place, and how the text is held against it later.
//!
//! A ledger keeps what it was given for ever. A reason that names people may have to be deleted one day, so it can be kept
//! in a side store, and the statement carries a salted commitment to it. The salt hides the text: without it, whoever
//! guesses a short text could compare digests. Salt and text are deleted together, and what is left says nothing.

use std::fmt;

use crate::digest::{Digest, sha256};
use crate::fault::Fault;
use crate::wire::Text;

/// Opens what is hashed for a commitment; no other hash or signature of the format starts so.
const DOMAIN: &[u8] = b"countersign/text/v1\0";

/// What hides a text behind its commitment: 32 random bytes, drawn anew for each text and kept beside it.
///
/// They come from the caller, since this crate has no randomness. Whoever has them can confirm a guess of the text: they are
/// not printed by `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt([u8; Self::LEN]);

impl Salt {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// A salt of these bytes, which nobody can guess and no other text has.
    #[must_use]
    pub const fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(..)")
    }
}

impl Text {
    /// A commitment to `text`, which stays outside the ledger together with its `salt` (docs/format.md section 4).
    ///
    /// # Errors
    /// `text` where it could not stand in the clear: it is empty, or has U+0000 or a bidirectional control.
    ///
    /// ```
    /// use countersign_core::text::Salt;
    /// use countersign_core::wire::Text;
    ///
    /// // A program draws these from its system's generator, anew for each text.
    /// let salt = Salt::new([7; Salt::LEN]);
    /// let reason = Text::commit("on leave until May", &salt)?;
    /// assert_eq!(reason.as_str(), None);
    /// assert!(reason.matches("on leave until May", &salt));
    /// assert!(!reason.matches("on leave until June", &salt));
    /// # Ok::<(), countersign_core::fault::Fault>(())
    /// ```
    pub fn commit(text: &str, salt: &Salt) -> Result<Self, Fault> {
        Self::new(text)?;
        Ok(Self::Committed { commitment: commitment(text, salt), length: text.len() as u64 })
    }

    /// Whether this is what a statement with `text` says: the text itself, or the commitment to it under `salt`.
    ///
    /// False also where the length in the statement is not that of `text`, and for a text that could not stand in the clear.
    #[must_use]
    pub fn matches(&self, text: &str, salt: &Salt) -> bool {
        match self {
            Self::Plain(plain) => **plain == *text,
            Self::Committed { .. } => Self::commit(text, salt).is_ok_and(|made| made == *self),
        }
    }
}

fn commitment(text: &str, salt: &Salt) -> Digest {
    let length = |bytes: &[u8]| (bytes.len() as u64).to_be_bytes();
    let (salt, text) = (salt.as_bytes().as_slice(), text.as_bytes());
    Digest::new(sha256(&[DOMAIN, &length(salt), salt, &length(text), text]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::FaultCode;
    use crate::wire::encode;

    /// Salts count up from their first byte. The commitments were computed with Python's hashlib from docs/format.md section 4.
    const VECTORS: [(&str, u8, &str); 4] = [
        ("x", 0, "b99d4426e20f89c06c972d9e6b04f4ccb61b5dba2a953d95d6f69804d95fc66e"),
        ("on leave until May", 0, "189e6900f4151bc431d038ad2363961f7d9acb5130bf4f8b0e8280c131c3a675"),
        ("on leave until May", 1, "16e74e29299ee282f48913a7c98b42c0915eb61277d1b58baf9b2c50725fbd49"),
        (
            "Übergabe an das Team \u{2014} bis M\u{e4}rz",
            200,
            "7c47975d9a26c551ee74a345ee641df90509a711d171996cc0206874740b137e",
        ),
    ];

    fn counting(first: u8) -> Salt {
        Salt::new(std::array::from_fn(|index| first.wrapping_add(u8::try_from(index).unwrap())))
    }

    #[test]
    fn commitments_are_those_of_the_format() {
        for (text, first, want) in VECTORS {
            let made = Text::commit(text, &counting(first)).unwrap();
            let want = format!(r#"{{"commitment":"{want}","length":{}}}"#, text.len());
            assert_eq!(String::from_utf8(encode(&made)).unwrap(), want, "text: {text:?}");
        }
    }

    #[test]
    fn a_commitment_matches_one_text_under_one_salt() {
        let (text, salt) = ("leaves in May", counting(0));
        let made = Text::commit(text, &salt).unwrap();
        assert!(made.matches(text, &salt));
        let mut near = *salt.as_bytes();
        near[Salt::LEN - 1] ^= 1;
        let cases = [
            ("another text", "leaves in Mai", salt),
            ("a byte less", "leaves in Ma", salt),
            ("a byte more", "leaves in May.", salt),
            ("another salt", text, Salt::new(near)),
            ("empty", "", salt),
        ];
        for (name, text, salt) in cases {
            assert!(!made.matches(text, &salt), "case: {name}");
        }
    }

    #[test]
    fn a_commitment_with_another_length_matches_nothing() {
        let (text, salt) = ("leaves in May", counting(0));
        let commitment = commitment(text, &salt);
        let lying = Text::Committed { commitment, length: text.len() as u64 + 1 };
        assert!(!lying.matches(text, &salt));
    }

    #[test]
    fn only_what_could_stand_in_the_clear_is_committed_to() {
        let salt = counting(0);
        for (name, text) in [("empty", ""), ("a null", "a\0"), ("a bidirectional control", "a\u{202e}b")] {
            assert_eq!(
                Text::commit(text, &salt).map_err(|fault| fault.code),
                Err(FaultCode::Text),
                "case: {name}"
            );
            let forged = Text::Committed { commitment: commitment(text, &salt), length: text.len() as u64 };
            assert!(!forged.matches(text, &salt), "case: {name}");
        }
    }

    #[test]
    fn a_text_in_the_clear_matches_itself_whatever_the_salt() {
        let plain = Text::new("as it stands").unwrap();
        assert!(plain.matches("as it stands", &counting(0)) && plain.matches("as it stands", &counting(9)));
        assert!(!plain.matches("as it stood", &counting(0)));
    }

    #[test]
    fn a_salt_is_not_printed() {
        assert_eq!(format!("{:?}", counting(1)), "Salt(..)");
    }
}
