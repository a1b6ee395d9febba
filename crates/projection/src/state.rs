//! The governance state as a projection like any other, and the one that every runner folds.

use std::convert::Infallible;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::governance::State;
use crate::projection::{CodecError, Projection, Step, read};

impl Projection for State {
    const NAME: &'static str = "governance";
    const VERSION: u64 = 3;
    const LOOKS_BACK: bool = false;
    type Error = Infallible;

    fn apply(&mut self, step: &Step<'_>) -> Result<(), Infallible> {
        self.fold(step.judged());
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        Self::restored(read(bytes)?).map_err(|what| CodecError::Contradiction { what })
    }
}

/// The form of [`State::to_snapshot`], whose digest is [`State::digest`].
impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.head.size, self.head.leaf.as_bytes(), self.recorded_at, &self.live).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for State {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::restored(Deserialize::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
