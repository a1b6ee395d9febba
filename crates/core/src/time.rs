//! Instants and durations as statements spell them.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike as _, NaiveDate, Timelike as _};

use crate::fault::{Fault, FaultCode};
use crate::scan::MAX_INTEGER;
use crate::wire::{Reader, Wire, Writer, named_schema};

/// An instant in UTC with millisecond precision, 1970-01-01 to 9999-12-31, written `YYYY-MM-DDTHH:MM:SS.mmmZ`.
///
/// There is one spelling: no offset, no other number of decimals, no leap second.
///
/// ```
/// use countersign_core::time::Timestamp;
/// let at: Timestamp = "2026-01-05T09:00:00.000Z".parse()?;
/// assert_eq!(at.plus_seconds(60).map(|at| at.to_string()).as_deref(), Some("2026-01-05T09:01:00.000Z"));
/// assert!("2026-01-05T09:00:60.000Z".parse::<Timestamp>().is_err());
/// # Ok::<(), countersign_core::time::ParseTimestampError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// 1970-01-01T00:00:00.000Z.
    pub const MIN: Self = Self(0);
    /// 9999-12-31T23:59:59.999Z.
    pub const MAX: Self = Self(253_402_300_799_999);

    /// The instant `millis` milliseconds after 1970-01-01T00:00:00Z, leap seconds not counted; none after [`Self::MAX`].
    #[must_use]
    pub const fn from_millis(millis: u64) -> Option<Self> {
        if millis <= Self::MAX.0 { Some(Self(millis)) } else { None }
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// The instant `seconds` later, or none where that is after [`Self::MAX`].
    #[must_use]
    pub const fn plus_seconds(self, seconds: u64) -> Option<Self> {
        match seconds.checked_mul(1000) {
            Some(millis) => match self.0.checked_add(millis) {
                Some(sum) => Self::from_millis(sum),
                None => None,
            },
            None => None,
        }
    }

    /// The instant `seconds` later, at most [`Self::MAX`].
    #[must_use]
    pub const fn saturating_plus_seconds(self, seconds: u64) -> Self {
        match self.plus_seconds(seconds) {
            Some(sum) => sum,
            None => Self::MAX,
        }
    }

    /// The instant `seconds` earlier, at least [`Self::MIN`].
    #[must_use]
    pub const fn saturating_minus_seconds(self, seconds: u64) -> Self {
        Self(self.0.saturating_sub(seconds.saturating_mul(1000)))
    }
}

/// The text is not an instant of the one accepted form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an instant like 2026-01-05T09:00:00.000Z")]
pub struct ParseTimestampError;

const FORM: &[u8; 24] = b"0000-00-00T00:00:00.000Z";

impl FromStr for Timestamp {
    type Err = ParseTimestampError;

    fn from_str(text: &str) -> Result<Self, ParseTimestampError> {
        let bytes = text.as_bytes();
        let fits =
            |(byte, form): (&u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { byte == form };
        if bytes.len() != FORM.len() || !bytes.iter().zip(FORM).all(fits) {
            return Err(ParseTimestampError);
        }
        let number = |from: usize, to: usize| {
            bytes[from..to].iter().fold(0_u32, |value, byte| value * 10 + u32::from(byte - b'0'))
        };
        let year = i32::try_from(number(0, 4)).map_err(|_| ParseTimestampError)?;
        let instant = NaiveDate::from_ymd_opt(year, number(5, 7), number(8, 10))
            .and_then(|date| {
                date.and_hms_milli_opt(number(11, 13), number(14, 16), number(17, 19), number(20, 23))
            })
            .ok_or(ParseTimestampError)?;
        let millis = instant.and_utc().timestamp_millis();
        u64::try_from(millis).ok().and_then(Self::from_millis).ok_or(ParseTimestampError)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instant =
            i64::try_from(self.0).ok().and_then(DateTime::from_timestamp_millis).ok_or(fmt::Error)?;
        // Every statement and entry carries instants: digits are put in place rather than formatted.
        let mut text = *FORM;
        let mut put = |from: usize, to: usize, mut value: u32| {
            for place in text[from..to].iter_mut().rev() {
                *place = b'0' + u8::try_from(value % 10).unwrap_or(0);
                value /= 10;
            }
        };
        put(0, 4, instant.year().unsigned_abs());
        put(5, 7, instant.month());
        put(8, 10, instant.day());
        put(11, 13, instant.hour());
        put(14, 16, instant.minute());
        put(17, 19, instant.second());
        put(20, 23, instant.timestamp_subsec_millis());
        f.pad(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Wire for Timestamp {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let (text, start) = reader.plain_str()?;
        text.parse()
            .map_err(|error: ParseTimestampError| Fault::new(FaultCode::Time, start, error.to_string()))
    }

    fn write(&self, out: &mut Writer) {
        out.string(&self.to_string());
    }

    fn schema() -> String {
        let doc = "An instant in UTC with three decimals, 1970 to 9999, no leap second.";
        let pattern = r#""type":"string","format":"date-time","pattern":"^(19[7-9][0-9]|[2-9][0-9]{3})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\\.[0-9]{3}Z$""#;
        named_schema("Timestamp", doc, pattern)
    }
}

/// A length of time in whole seconds, 1 to 2^53-1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seconds(u64);

impl Seconds {
    /// `seconds`, unless it is 0 or above 2^53-1.
    #[must_use]
    pub const fn new(seconds: u64) -> Option<Self> {
        if seconds >= 1 && seconds <= MAX_INTEGER { Some(Self(seconds)) } else { None }
    }

    /// How many seconds.
    #[must_use]
    pub const fn count(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0)
    }
}

impl Wire for Seconds {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let start = reader.offset();
        let seconds = reader.integer()?;
        Self::new(seconds).ok_or_else(|| Fault::new(FaultCode::Schema, start, "a duration of 0 seconds"))
    }

    fn write(&self, out: &mut Writer) {
        out.integer(self.0);
    }

    fn schema() -> String {
        let schema = format!("\"type\":\"integer\",\"minimum\":1,\"maximum\":{MAX_INTEGER}");
        named_schema("Seconds", "A length of time in whole seconds.", &schema)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_have_one_spelling() {
        for text in ["1970-01-01T00:00:00.000Z", "2024-02-29T23:59:59.999Z", "9999-12-31T23:59:59.999Z"] {
            assert_eq!(text.parse::<Timestamp>().map(|at| at.to_string()).as_deref(), Ok(text));
        }
        let refused = [
            ("before 1970", "1969-12-31T23:59:59.999Z"),
            ("leap second", "2016-12-31T23:59:60.000Z"),
            ("hour 24", "2026-01-01T24:00:00.000Z"),
            ("no such day", "2026-02-29T00:00:00.000Z"),
            ("month 0", "2026-00-01T00:00:00.000Z"),
            ("offset", "2026-01-01T00:00:00.000+00:00"),
            ("no decimals", "2026-01-01T00:00:00Z"),
            ("six decimals", "2026-01-01T00:00:00.000000Z"),
            ("lower case", "2026-01-01t00:00:00.000z"),
            ("space", "2026-01-01 00:00:00.000Z"),
            ("sign", "+026-01-01T00:00:00.000Z"),
            ("five-digit year", "10000-01-01T00:00:00.000Z"),
            ("empty", ""),
        ];
        for (name, text) in refused {
            assert_eq!(text.parse::<Timestamp>(), Err(ParseTimestampError), "case: {name}");
        }
    }

    #[test]
    fn sums_stop_at_the_last_instant() {
        assert_eq!(Timestamp::MAX.plus_seconds(1), None);
        assert_eq!(Timestamp::MIN.plus_seconds(u64::MAX), None);
        assert_eq!(Timestamp::MIN.saturating_minus_seconds(1), Timestamp::MIN);
        assert_eq!(Timestamp::from_millis(Timestamp::MAX.millis() + 1), None);
    }
}
