//! SHA-256 values, one type per meaning, so that a leaf hash never stands where a key id is meant.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

/// Length in bytes of every SHA-256 value (FIPS 180-4).
pub const HASH_LEN: usize = 32;

/// SHA-256 over the concatenation of `parts`.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> [u8; HASH_LEN] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// Why a text is not a digest: it must be 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseDigestError {
    /// The text is not 64 bytes long.
    #[error("expected 64 hexadecimal digits, found {found} bytes")]
    Length {
        /// How many bytes there were.
        found: usize,
    },
    /// A byte is not one of `0-9a-f`.
    #[error("byte {position} is not a lower-case hexadecimal digit")]
    Digit {
        /// 0-based position of the first wrong byte.
        position: usize,
    },
}

pub(crate) fn write_hex(bytes: &[u8; HASH_LEN]) -> [u8; 2 * HASH_LEN] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = [0; 2 * HASH_LEN];
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    out
}

pub(crate) fn read_hex(text: &[u8]) -> Result<[u8; HASH_LEN], ParseDigestError> {
    if text.len() != 2 * HASH_LEN {
        return Err(ParseDigestError::Length { found: text.len() });
    }
    // Plain arithmetic over the whole text at once, which the compiler turns into a few wide instructions.
    let mut digits = [0; 2 * HASH_LEN];
    let mut all = 0;
    for (digit, byte) in digits.iter_mut().zip(text) {
        *digit = hex_value(*byte);
        all |= *digit;
    }
    if all >= 16 {
        let position = digits.iter().position(|digit| *digit >= 16).unwrap_or(0);
        return Err(ParseDigestError::Digit { position });
    }
    let mut out = [0; HASH_LEN];
    for (byte, [high, low]) in out.iter_mut().zip(digits.as_chunks::<2>().0) {
        *byte = high << 4 | low;
    }
    Ok(out)
}

/// What a byte is worth as a hexadecimal digit; 255 where it is none.
fn hex_value(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        _ => u8::MAX,
    }
}

macro_rules! hash_types {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; HASH_LEN]);

        impl $name {
            /// The value with these bytes.
            #[must_use]
            pub const fn new(bytes: [u8; HASH_LEN]) -> Self {
                Self(bytes)
            }

            /// The 32 bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; HASH_LEN] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(std::str::from_utf8(&write_hex(&self.0)).map_err(|_| fmt::Error)?)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = ParseDigestError;

            fn from_str(text: &str) -> Result<Self, ParseDigestError> {
                read_hex(text.as_bytes()).map(Self)
            }
        }
    )*};
}

hash_types! {
    /// Identifies a statement: SHA-256 of the DSSE pre-authentication encoding of its bytes. Statements refer to each other by it.
    StatementDigest;
    /// SHA-256(0x00 || entry bytes): the link of the chain and the RFC 6962 leaf, one value for both.
    LeafHash;
    /// SHA-256(0x01 || left || right), or the root of a whole tree (RFC 6962 section 2.1).
    NodeHash;
    /// SHA-256 of the 32 raw bytes of a public key. Names a key; never proves anything.
    KeyId;
    /// Names what a policy resolves to for one entitlement; an approval signs it.
    ClauseDigest;
    /// SHA-256 of outside material: salted text, a ticket, a state.
    Digest;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_refuses_text_that_is_not_canonical_hex() {
        let lower = "0a".repeat(32);
        let cases = [
            ("empty", String::new(), ParseDigestError::Length { found: 0 }),
            ("one digit short", lower[1..].into(), ParseDigestError::Length { found: 63 }),
            ("upper case", lower.to_uppercase(), ParseDigestError::Digit { position: 1 }),
            ("not hex", lower.replace('a', "g"), ParseDigestError::Digit { position: 1 }),
        ];
        for (name, text, want) in cases {
            assert_eq!(text.parse::<KeyId>(), Err(want), "case: {name}");
        }
        assert_eq!(lower.parse::<KeyId>().map(|id| id.to_string()), Ok(lower));
    }
}
