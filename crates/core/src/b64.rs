//! Base64 with one spelling: RFC 4648 section 4, padded, no line breaks, zero trailing bits.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Why a text is not strict base64 (RFC 4648 section 4 with padding and zero trailing bits).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Base64Error {
    /// The bytes decoded are not as many as the value has.
    #[error("expected {expected} bytes in base64, found {found}")]
    Length {
        /// How many bytes the value has.
        expected: usize,
        /// How many bytes the text stands for.
        found: usize,
    },
    /// A byte is not of the standard alphabet; white space and the URL-safe letters are not.
    #[error("byte {position} is not of the base64 alphabet")]
    Alphabet {
        /// 0-based position in the text.
        position: usize,
    },
    /// The text is not a whole number of 4-letter groups, padded with `=` where short.
    #[error("base64 is not padded to a multiple of 4")]
    Padding,
    /// The last letter carries bits that no byte holds, so the same bytes would have several spellings.
    #[error("base64 has non-zero trailing bits")]
    TrailingBits,
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(crate) fn decode(text: &[u8]) -> Result<Vec<u8>, Base64Error> {
    STANDARD.decode(text).map_err(reason)
}

/// Decodes exactly `N` bytes, without allocating.
pub(crate) fn decode_array<const N: usize>(text: &[u8]) -> Result<[u8; N], Base64Error> {
    let length = N.div_ceil(3) * 4;
    if text.len() != length {
        // The precise reason matters more than speed here: the text is wrong in any case.
        let found = if text.len() > 4 * length { text.len() / 4 * 3 } else { decode(text)?.len() };
        return Err(Base64Error::Length { expected: N, found });
    }
    let mut bytes = [0; N];
    match STANDARD.decode_slice(text, &mut bytes) {
        Ok(found) if found == N => Ok(bytes),
        Ok(found) => Err(Base64Error::Length { expected: N, found }),
        Err(base64::DecodeSliceError::DecodeError(error)) => Err(reason(error)),
        // As many letters but less padding: up to two bytes more than there is room for.
        Err(base64::DecodeSliceError::OutputSliceTooSmall) => {
            Err(Base64Error::Length { expected: N, found: decode(text)?.len() })
        }
    }
}

fn reason(error: base64::DecodeError) -> Base64Error {
    match error {
        // The decoder names a misplaced `=` as a wrong byte too.
        base64::DecodeError::InvalidByte(_, b'=') => Base64Error::Padding,
        base64::DecodeError::InvalidByte(position, _) => Base64Error::Alphabet { position },
        base64::DecodeError::InvalidLength(_) | base64::DecodeError::InvalidPadding => Base64Error::Padding,
        base64::DecodeError::InvalidLastSymbol { .. } => Base64Error::TrailingBits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_refuses_every_second_spelling() {
        let cases: [(&str, &str, Base64Error); 12] = [
            ("no padding", "AAA", Base64Error::Padding),
            ("short padding", "AA=", Base64Error::Padding),
            ("long padding", "AAA==", Base64Error::Padding),
            ("padding alone", "====", Base64Error::Padding),
            ("padding inside", "A=AA", Base64Error::Padding),
            ("trailing bits, 2 bytes", "AAB=", Base64Error::TrailingBits),
            ("trailing bits, 1 byte", "AB==", Base64Error::TrailingBits),
            ("url-safe minus", "A-A=", Base64Error::Alphabet { position: 1 }),
            ("url-safe underscore", "A_A=", Base64Error::Alphabet { position: 1 }),
            ("space inside", "A AA", Base64Error::Alphabet { position: 1 }),
            ("line feed at the end", "AAA=\n", Base64Error::Padding),
            ("not ASCII", "é00", Base64Error::Alphabet { position: 0 }),
        ];
        for (name, text, want) in cases {
            assert!(decode(text.as_bytes()).is_err(), "case: {name}");
            let got = decode_array::<2>(text.as_bytes()).unwrap_err();
            if text.len() == 4 {
                assert_eq!(got, want, "case: {name}");
            }
        }
        assert_eq!(decode_array::<2>(b"AAE="), Ok([0, 1]));
    }

    #[test]
    fn base64_arrays_have_exactly_their_length() {
        for found in (0..200).filter(|found| *found != 32) {
            let text = encode(&vec![7; found]);
            let error = decode_array::<32>(text.as_bytes()).unwrap_err();
            assert!(matches!(error, Base64Error::Length { expected: 32, .. }), "{found}: {error}");
        }
        assert_eq!(decode_array::<32>(encode(&[7; 32]).as_bytes()), Ok([7; 32]));
        assert_eq!(decode_array::<0>(b""), Ok([]));
    }
}
