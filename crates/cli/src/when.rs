//! Instants as a user types them.

use std::str::FromStr;

use countersign_core::time::Timestamp;
use countersign_ledger::{Clock as _, SystemClock};

/// Of which moment an answer is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// Right after the last entry.
    End,
    /// The clock of this machine, or the last entry where that is later.
    Now,
    /// What the entries recorded up to then, and including it, say of it.
    Instant(Timestamp),
}

impl FromStr for At {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "end" => Ok(Self::End),
            "now" => Ok(Self::Now),
            _ => instant(text).map(Self::Instant).map_err(|wanted| format!("{wanted}, or `now`, or `end`")),
        }
    }
}

/// Reads `2025-06-30T23:59:59Z`, or the same with milliseconds: UTC always. A bare date is refused, since a day is no instant.
pub(crate) fn instant(text: &str) -> Result<Timestamp, String> {
    let whole = text.strip_suffix('Z').filter(|rest| rest.len() == 19).map(|rest| format!("{rest}.000Z"));
    whole.as_deref().unwrap_or(text).parse().map_err(|_| {
        "expected an instant in UTC like 2025-06-30T23:59:59Z or 2025-06-30T23:59:59.250Z".to_owned()
    })
}

/// The time of day, unless it is given.
pub(crate) fn now(given: Option<Timestamp>) -> Timestamp {
    given.unwrap_or_else(|| SystemClock::new().wall())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_have_two_spellings_and_days_none() {
        let want: Timestamp = "2025-06-30T23:59:59.000Z".parse().unwrap();
        for text in ["2025-06-30T23:59:59Z", "2025-06-30T23:59:59.000Z"] {
            assert_eq!(text.parse(), Ok(At::Instant(want)));
        }
        assert_eq!(("end".parse(), "now".parse()), (Ok(At::End), Ok(At::Now)));
        for text in [
            "2025-06-30",
            "2025-06-30T23:59Z",
            "2025-06-30T23:59:59",
            "2025-06-30T23:59:59+00:00",
            "",
            "today",
        ] {
            assert!(text.parse::<At>().is_err(), "{text}");
        }
    }
}
