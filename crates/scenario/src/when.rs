//! Instants and durations as authors write them.

use countersign_core::time::{Seconds, Timestamp};

/// An instant: written out, or as a distance from another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// `2026-01-05`, `2026-01-05T09:00Z`, `2026-01-05T09:00:00Z` or with milliseconds.
    At(Timestamp),
    /// `+8h`: so many seconds later.
    After(u64),
    /// `-8h`: so many seconds earlier.
    Before(u64),
}

impl When {
    /// Reads an instant.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(later) = text.strip_prefix('+') {
            return duration(later).map(Self::After);
        }
        if let Some(earlier) = text.strip_prefix('-') {
            return duration(earlier).map(Self::Before);
        }
        let full = match text.len() {
            10 => format!("{text}T00:00:00.000Z"),
            17 => format!("{}:00.000Z", text.strip_suffix('Z')?),
            20 => format!("{}.000Z", text.strip_suffix('Z')?),
            _ => text.to_owned(),
        };
        full.parse().ok().map(Self::At)
    }

    /// The instant, where `origin` is the one that distances are counted from.
    #[must_use]
    pub fn from(self, origin: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::After(seconds) => origin.saturating_plus_seconds(seconds),
            Self::Before(seconds) => origin.saturating_minus_seconds(seconds),
        }
    }
}

/// Reads `90s`, `5m`, `8h` or `30d` as a number of seconds; more than one part may follow each other, like `8h30m`.
#[must_use]
pub(crate) fn duration(text: &str) -> Option<u64> {
    let mut total: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let count: u64 = rest.get(..digits)?.parse().ok()?;
        let unit = match rest.get(digits..=digits)? {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return None,
        };
        total = total.checked_add(count.checked_mul(unit)?)?;
        rest = rest.get(digits + 1..)?;
    }
    Seconds::new(total).map(Seconds::count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_may_be_short() {
        let at = |text: &str| Some(When::At(text.parse().unwrap()));
        let cases = [
            ("2026-01-05", at("2026-01-05T00:00:00.000Z")),
            ("2026-01-05T09:00Z", at("2026-01-05T09:00:00.000Z")),
            ("2026-01-05T09:00:07Z", at("2026-01-05T09:00:07.000Z")),
            ("2026-01-05T09:00:07.001Z", at("2026-01-05T09:00:07.001Z")),
            ("+90s", Some(When::After(90))),
            ("-1d", Some(When::Before(86_400))),
            ("+8h30m", Some(When::After(30_600))),
            ("2026-02-30", None),
            ("2026-01-05T09:00", None),
            ("2026-01-05 09:00Z", None),
            ("+", None),
            ("+0s", None),
            ("+8", None),
            ("+8w", None),
            ("+é", None),
            ("8h", None),
            ("+99999999999999999999s", None),
        ];
        for (text, want) in cases {
            assert_eq!(When::parse(text), want, "{text}");
        }
    }
}
