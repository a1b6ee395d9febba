//! The governance state as a projection like any other, and the one that every runner folds.

use std::convert::Infallible;

use countersign_core::digest::LeafHash;
use countersign_core::entry::Head;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::governance::State;
use crate::projection::{Projection, Step};

impl Projection for State {
    const NAME: &'static str = "governance";
    const VERSION: u64 = 2;
    const LOOKS_BACK: bool = false;
    type Error = Infallible;

    fn apply(&mut self, step: &Step<'_>) -> Result<(), Infallible> {
        self.fold(step.judged());
        Ok(())
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
        let (size, leaf, recorded_at, live) = Deserialize::deserialize(deserializer)?;
        let head = Head { size, leaf: LeafHash::new(leaf) };
        Self::restored(head, recorded_at, live)
            .ok_or_else(|| D::Error::custom("a grant has a number that is no name's"))
    }
}
