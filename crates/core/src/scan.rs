//! One pass over bytes that nobody trusts: JSON, the integer profile of RFC 8785, and canonical form.
//!
//! A value that passes has exactly one spelling, so that reading it with [`crate::wire`] and writing it again gives the same
//! bytes (docs/format.md, "Canonical JSON"). Faults are reported in the order of that document: UTF-8, then JSON and profile,
//! then canonical form, each with the offset of the first wrong byte.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::fault::{Fault, FaultCode};

/// Deepest nesting of an entry, its own object being 1.
pub const MAX_ENTRY_DEPTH: usize = 32;
/// Deepest nesting of a statement that stands alone, its own object being 1.
pub const MAX_STATEMENT_DEPTH: usize = MAX_ENTRY_DEPTH - 1;
/// Longest member name in bytes.
pub const MAX_KEY_LEN: usize = 64;
/// Largest integer: 2^53-1 (RFC 7493 section 2.2).
pub const MAX_INTEGER: u64 = (1 << 53) - 1;

/// Checks that `bytes` is one canonical value of the profile, nested at most `max_depth` deep.
///
/// Time grows with the length, times its logarithm where members are not sorted; the stack grows with `max_depth`.
///
/// # Errors
/// The first fault in the documented order: `utf8`; then the first of `json`, `number`, `duplicate_key`, `key_form`, `depth`,
/// `text` and `schema` (for `null`) by offset; then `not_canonical`.
///
/// ```
/// use countersign_core::scan::{MAX_ENTRY_DEPTH, scan};
/// assert!(scan(br#"{"a":1,"b":[true,"x"]}"#, MAX_ENTRY_DEPTH).is_ok());
/// let fault = scan(br#"{"b":1, "a":2}"#, MAX_ENTRY_DEPTH).unwrap_err();
/// assert_eq!((fault.code.as_str(), fault.offset), ("not_canonical", 7));
/// ```
pub fn scan(bytes: &[u8], max_depth: usize) -> Result<(), Fault> {
    Scanner::new(bytes, max_depth)?.whole()
}

/// Whether a character may not stand in any string: U+0000 and the bidirectional controls, which make text display as
/// something else than it says.
#[must_use]
pub const fn is_refused_char(c: char) -> bool {
    matches!(c, '\0' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A cursor over text that nobody trusts. [`crate::wire::Reader`] steps with it too, so that a token has one meaning.
#[derive(Debug, Clone)]
pub(crate) struct Scanner<'a> {
    bytes: &'a [u8],
    pub(crate) text: &'a str,
    pub(crate) at: usize,
    max_depth: usize,
    depth: usize,
    /// The member names of the objects that are open here, outermost first: one list for all, so that none is scanned twice.
    keys: Vec<Cow<'a, str>>,
    not_canonical: Option<(usize, &'static str)>,
}

impl<'a> Scanner<'a> {
    /// A cursor at the start of `bytes`.
    ///
    /// # Errors
    /// `utf8`.
    pub(crate) fn new(bytes: &'a [u8], max_depth: usize) -> Result<Self, Fault> {
        let text = std::str::from_utf8(bytes)
            .map_err(|error| Fault::new(FaultCode::Utf8, error.valid_up_to(), "not UTF-8"))?;
        Ok(Self { bytes, text, at: 0, max_depth, depth: 0, keys: Vec::new(), not_canonical: None })
    }

    /// Checks that the text is one canonical value.
    fn whole(mut self) -> Result<(), Fault> {
        self.space();
        self.value()?;
        self.space();
        if self.at < self.bytes.len() {
            return Err(self.fault(FaultCode::Json, "bytes after the value"));
        }
        match self.not_canonical {
            None => Ok(()),
            Some((offset, detail)) => Err(Fault::new(FaultCode::NotCanonical, offset, detail)),
        }
    }

    /// Whether everything up to here is in canonical form, as far as it was stepped over here.
    pub(crate) fn is_canonical(&self) -> bool {
        self.not_canonical.is_none()
    }

    pub(crate) fn fault(&self, code: FaultCode, detail: impl Into<String>) -> Fault {
        Fault::new(code, self.at, detail)
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn odd(&mut self, offset: usize, detail: &'static str) {
        // A member out of order is known only behind its name, which may have an odd escape itself.
        if self.not_canonical.is_none_or(|(first, _)| offset < first) {
            self.not_canonical = Some((offset, detail));
        }
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.odd(self.at, "white space between tokens");
            self.at += 1;
        }
    }

    /// Steps over a value of any form.
    pub(crate) fn value(&mut self) -> Result<(), Fault> {
        match self.peek() {
            Some(b'{') => self.object(),
            Some(b'[') => self.array(),
            Some(b'"') => self.string().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => {
                let start = self.at;
                self.literal("null")?;
                Err(Fault::new(FaultCode::Schema, start, "null never occurs: leave the member out"))
            }
            Some(_) => Err(self.fault(FaultCode::Json, "expected a value")),
            None => Err(self.fault(FaultCode::Json, "the value is cut off")),
        }
    }

    fn literal(&mut self, word: &str) -> Result<(), Fault> {
        if self.bytes[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(())
        } else {
            Err(self.fault(FaultCode::Json, "expected a value"))
        }
    }

    /// Steps over the bracket that opens an object or an array.
    pub(crate) fn deeper(&mut self) -> Result<(), Fault> {
        if self.depth == self.max_depth {
            return Err(self.fault(FaultCode::Depth, format!("nested deeper than {}", self.max_depth)));
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    fn array(&mut self) -> Result<(), Fault> {
        self.deeper()?;
        self.space();
        if self.peek() == Some(b']') {
            self.closed();
            return Ok(());
        }
        loop {
            self.value()?;
            if self.next_item(b']')? {
                self.closed();
                return Ok(());
            }
        }
    }

    /// Steps over the bracket that closes an object or an array.
    pub(crate) fn closed(&mut self) {
        self.at += 1;
        self.depth -= 1;
    }

    /// Steps over a comma; true in front of `close`.
    fn next_item(&mut self, close: u8) -> Result<bool, Fault> {
        self.space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.space();
                Ok(false)
            }
            Some(byte) if byte == close => Ok(true),
            Some(_) => Err(self.fault(FaultCode::Json, "expected a comma or the end of the list")),
            None => Err(self.fault(FaultCode::Json, "the value is cut off")),
        }
    }

    fn object(&mut self) -> Result<(), Fault> {
        self.deeper()?;
        self.space();
        if self.peek() == Some(b'}') {
            self.closed();
            return Ok(());
        }
        let own = self.keys.len();
        let mut unsorted: Option<BTreeSet<Cow<'a, str>>> = None;
        loop {
            let start = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.fault(FaultCode::Json, "expected a member name"));
            }
            let key = self.key(start)?;
            self.admit_key(own, &mut unsorted, key, start)?;
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.fault(FaultCode::Json, "expected a colon"));
            }
            self.at += 1;
            self.space();
            self.value()?;
            if self.next_item(b'}')? {
                self.keys.truncate(own);
                self.closed();
                return Ok(());
            }
        }
    }

    fn key(&mut self, start: usize) -> Result<Cow<'a, str>, Fault> {
        let key = self.string()?;
        let form = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
        if key.is_empty() || key.len() > MAX_KEY_LEN || !key.bytes().all(form) {
            return Err(Fault::new(FaultCode::KeyForm, start, "member names match [a-z0-9_]{1,64}"));
        }
        Ok(key)
    }

    /// Members stand in ascending order, so a repeated one stands beside its twin; only an unsorted object needs a set.
    ///
    /// The object's own names are `self.keys[own..]` as long as they are sorted, and `unsorted` from then on.
    fn admit_key(
        &mut self,
        own: usize,
        unsorted: &mut Option<BTreeSet<Cow<'a, str>>>,
        key: Cow<'a, str>,
        start: usize,
    ) -> Result<(), Fault> {
        let twin = || Fault::new(FaultCode::DuplicateKey, start, "a member stands twice in its object");
        if let Some(set) = unsorted {
            return if set.insert(key) { Ok(()) } else { Err(twin()) };
        }
        match self.keys[own..].last() {
            Some(before) if *before == key => Err(twin()),
            Some(before) if *before > key => {
                let mut set: BTreeSet<_> = self.keys.drain(own..).collect();
                self.odd(start, "members are not sorted");
                if !set.insert(key) {
                    return Err(twin());
                }
                *unsorted = Some(set);
                Ok(())
            }
            Some(_) | None => {
                self.keys.push(key);
                Ok(())
            }
        }
    }

    /// Steps over a number.
    pub(crate) fn number(&mut self) -> Result<(), Fault> {
        let start = self.at;
        let negative = self.peek() == Some(b'-');
        if negative {
            self.at += 1;
        }
        let digits = self.at;
        let whole = self.digits()?;
        if self.bytes[digits] == b'0' && whole > 1 {
            return Err(Fault::new(FaultCode::Json, digits, "a number has a leading zero"));
        }
        let integer_end = self.at;
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        let value = self.text[digits..integer_end].parse::<u64>();
        let integer = self.at == integer_end && !(negative && value == Ok(0));
        if integer && value.is_ok_and(|value| value <= MAX_INTEGER) {
            Ok(())
        } else {
            Err(Fault::new(FaultCode::Number, start, "numbers are integers within 2^53-1, in one spelling"))
        }
    }

    fn digits(&mut self) -> Result<usize, Fault> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.fault(FaultCode::Json, "expected a digit"));
        }
        Ok(self.at - start)
    }

    /// Steps over a string, whose quotation mark was seen. Most are ASCII without an escape, and returned as they stand.
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        self.at += 1;
        let start = self.at;
        self.at += plain_len(&self.bytes[start..]);
        if self.peek() == Some(b'"') {
            self.at += 1;
            return Ok(Cow::Borrowed(&self.text[start..self.at - 1]));
        }
        self.rest_of_string(start)
    }

    /// Steps over the rest of a string whose content began at `start` and is plain up to here.
    fn rest_of_string(&mut self, start: usize) -> Result<Cow<'a, str>, Fault> {
        let mut unescaped: Option<String> = None;
        let mut copied = start;
        loop {
            match self.peek() {
                None => return Err(self.fault(FaultCode::Json, "the string is cut off")),
                Some(b'"') => {
                    let tail = &self.text[copied..self.at];
                    self.at += 1;
                    return Ok(match unescaped {
                        None => Cow::Borrowed(tail),
                        Some(mut text) => {
                            text.push_str(tail);
                            Cow::Owned(text)
                        }
                    });
                }
                Some(b'\\') => {
                    let text = unescaped.get_or_insert_default();
                    text.push_str(&self.text[copied..self.at]);
                    let c = self.escape()?;
                    unescaped.get_or_insert_default().push(c);
                    copied = self.at;
                }
                Some(0..0x20) => return Err(self.fault(FaultCode::Json, "a control character in a string")),
                Some(0x20..0x80) => self.at += 1,
                Some(_) => {
                    let c = self.text[self.at..].chars().next().unwrap_or('\0');
                    if is_refused_char(c) {
                        return Err(self.fault(FaultCode::Text, "a bidirectional control in a string"));
                    }
                    self.at += c.len_utf8();
                }
            }
            self.at += plain_len(&self.bytes[self.at..]);
        }
    }

    fn escape(&mut self) -> Result<char, Fault> {
        let start = self.at;
        self.at += 1;
        let Some(kind) = self.peek() else {
            return Err(self.fault(FaultCode::Json, "the string is cut off"));
        };
        self.at += 1;
        let c = match kind {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b't' => '\t',
            b'n' => '\n',
            b'f' => '\u{c}',
            b'r' => '\r',
            b'u' => self.unicode_escape(start)?,
            _ => return Err(Fault::new(FaultCode::Json, start, "an unknown escape")),
        };
        if is_refused_char(c) {
            return Err(Fault::new(FaultCode::Text, start, "U+0000 or a bidirectional control in a string"));
        }
        let mut canonical = Vec::with_capacity(6);
        write_char(c, &mut canonical);
        if canonical != self.bytes[start..self.at] {
            self.odd(start, "an escape that is not the canonical spelling");
        }
        Ok(c)
    }

    fn unicode_escape(&mut self, start: usize) -> Result<char, Fault> {
        let lone = || Fault::new(FaultCode::Text, start, "a lone surrogate");
        let unit = self.hex4()?;
        match unit {
            0xd800..=0xdbff => {
                if !self.bytes[self.at..].starts_with(b"\\u") {
                    return Err(lone());
                }
                self.at += 2;
                let low = self.hex4()?;
                if !(0xdc00..=0xdfff).contains(&low) {
                    return Err(lone());
                }
                char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)).ok_or_else(lone)
            }
            _ => char::from_u32(unit).ok_or_else(lone),
        }
    }

    fn hex4(&mut self) -> Result<u32, Fault> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else {
                return Err(self.fault(FaultCode::Json, "expected four hexadecimal digits"));
            };
            unit = unit << 4 | digit;
            self.at += 1;
        }
        Ok(unit)
    }
}

/// How many bytes from the start on are ASCII that stands for itself in a string: no quotation mark, no backslash, no control
/// character. Nearly all bytes of a statement are, so eight are looked at together.
pub(crate) fn plain_len(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    // The lowest marked byte is right: a borrow only reaches bytes above one that is marked rightly.
    let marks = |word: u64, below: u64| word.wrapping_sub(ONES * below) & !word & HIGH;
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let quote = marks(word ^ (ONES * u64::from(b'"')), 1);
        let backslash = marks(word ^ (ONES * u64::from(b'\\')), 1);
        let odd = quote | backslash | marks(word, 0x20) | (word & HIGH);
        if odd != 0 {
            return index * 8 + odd.trailing_zeros() as usize / 8;
        }
    }
    let plain = |byte: &&u8| matches!(byte, 0x20..0x80) && **byte != b'"' && **byte != b'\\';
    words.len() * 8 + rest.iter().take_while(plain).count()
}

/// Appends the canonical spelling of one character of a string.
pub(crate) fn write_char(c: char, out: &mut Vec<u8>) {
    match c {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\u{8}' => out.extend_from_slice(b"\\b"),
        '\t' => out.extend_from_slice(b"\\t"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\u{c}' => out.extend_from_slice(b"\\f"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\0'..='\u{1f}' => {
            const DIGITS: &[u8; 16] = b"0123456789abcdef";
            let code = c as usize;
            out.extend_from_slice(b"\\u00");
            out.push(DIGITS[code >> 4]);
            out.push(DIGITS[code & 15]);
        }
        _ => {
            let mut buffer = [0; 4];
            out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_bytes_are_counted_one_by_one_or_eight_at_once() {
        let plain = |byte: u8| (0x20..0x80).contains(&byte) && byte != b'"' && byte != b'\\';
        for odd in 0..=u8::MAX {
            for place in 0..19 {
                let mut bytes = *b"0123456789abcdef~ !";
                bytes[place] = odd;
                // What follows the first odd byte does not matter, whatever it is.
                if let Some(next) = bytes.get_mut(place + 1) {
                    *next = odd.wrapping_add(0x81);
                }
                let want = bytes.iter().take_while(|byte| plain(**byte)).count();
                assert_eq!(plain_len(&bytes), want, "{odd:#x} at {place}");
            }
        }
    }
}
