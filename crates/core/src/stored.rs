//! Serde forms of names, digests, instants and words, so that projections can keep them in their snapshots.
//!
//! Statements and entries have no serde form: their bytes are canonical JSON, which only [`crate::wire`] reads and writes.
//! In readable formats a value is its text; in binary ones digests and instants are shorter. Reading refuses what is not
//! a value of the type.

use std::borrow::Cow;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::{ClauseDigest, Digest, HASH_LEN, KeyId, LeafHash, NodeHash, StatementDigest};
use crate::event::{Capacity, EndEvent, Enrolment, PrincipalKind, Tier};
use crate::id::{
    Label, LedgerId, LedgerName, Namespace, Pattern, Person, Principal, Process, Resource, Role,
};
use crate::time::{Seconds, Timestamp};

macro_rules! as_text {
    ($($name:ty),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }
    )*};
}

as_text!(Label, LedgerId, LedgerName, Namespace, Pattern, Person, Principal, Process, Resource, Role);

macro_rules! as_word {
    ($($name:ty),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = Cow::<'de, str>::deserialize(deserializer)?;
                Self::from_word(&word).ok_or_else(|| D::Error::custom("an unknown word"))
            }
        }
    )*};
}

as_word!(Capacity, EndEvent, Enrolment, PrincipalKind, Tier);

macro_rules! as_hash {
    ($($name:ty),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.as_bytes().serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = Cow::<'de, str>::deserialize(deserializer)?;
                    text.parse().map_err(D::Error::custom)
                } else {
                    <[u8; HASH_LEN]>::deserialize(deserializer).map(Self::new)
                }
            }
        }
    )*};
}

as_hash!(ClauseDigest, Digest, KeyId, LeafHash, NodeHash, StatementDigest);

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_u64(self.millis())
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = Cow::<'de, str>::deserialize(deserializer)?;
            text.parse().map_err(D::Error::custom)
        } else {
            let millis = u64::deserialize(deserializer)?;
            Self::from_millis(millis).ok_or_else(|| D::Error::custom("an instant after the year 9999"))
        }
    }
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.count())
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = u64::deserialize(deserializer)?;
        Self::new(seconds).ok_or_else(|| D::Error::custom("not a duration of 1 to 2^53-1 seconds"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_json<T: Serialize + for<'de> Deserialize<'de> + PartialEq + std::fmt::Debug>(
        value: &T,
        json: &str,
    ) {
        assert_eq!(serde_json::to_string(value).unwrap(), json);
        assert_eq!(&serde_json::from_str::<T>(json).unwrap(), value);
    }

    #[test]
    fn values_are_their_text_in_readable_formats() {
        in_json(&Principal::new("user:alice").unwrap(), "\"user:alice\"");
        in_json(&Capacity::BusinessOwner, "\"business_owner\"");
        in_json(&Timestamp::from_millis(1).unwrap(), "\"1970-01-01T00:00:00.001Z\"");
        in_json(&Digest::new([10; HASH_LEN]), &format!("\"{}\"", "0a".repeat(HASH_LEN)));
        in_json(&Seconds::new(60).unwrap(), "60");
    }

    #[test]
    fn what_is_no_value_of_the_type_is_refused() {
        assert!(serde_json::from_str::<Principal>("\"person:alice\"").is_err());
        assert!(serde_json::from_str::<Capacity>("\"owner\"").is_err());
        assert!(serde_json::from_str::<Timestamp>("\"1970-01-01T00:00:00Z\"").is_err());
        assert!(serde_json::from_str::<Digest>(&format!("\"{}\"", "0A".repeat(HASH_LEN))).is_err());
        assert!(serde_json::from_str::<Seconds>("0").is_err());
        assert!(serde_json::from_str::<LedgerId>("\"acme\"").is_err());
    }
}
