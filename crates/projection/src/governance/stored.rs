//! How parts of the state are kept and written into snapshots.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use countersign_core::key::{PUBLIC_KEY_LEN, PublicKey};
use countersign_core::scan::MAX_ENTRY_DEPTH;
use countersign_core::time::Timestamp;
use countersign_core::wire::{Wire, decode, encode};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A SHA-256 value of whatever meaning.
pub(crate) type Hash = [u8; 32];
/// Milliseconds since 1970, as [`Timestamp::millis`]; [`FOREVER`] where there is no end.
pub(crate) type Millis = u64;
/// No end.
pub(crate) const FOREVER: Millis = Millis::MAX;
/// No slot, where most records have one.
pub(crate) const NO_SLOT: u32 = u32::MAX;

/// The instant of `millis`, none for [`FOREVER`].
pub(crate) fn instant(millis: Millis) -> Option<Timestamp> {
    Timestamp::from_millis(millis)
}

/// What keeps a state that was read from being one.
pub(crate) type Contradiction = &'static str;

/// Refuses a state that was read unless something holds of it.
pub(crate) fn sound(holds: bool, what: Contradiction) -> Result<(), Contradiction> {
    if holds { Ok(()) } else { Err(what) }
}

/// A core value, written into snapshots as its canonical JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored<T>(pub(crate) T);

impl<T> Deref for Stored<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Wire> Serialize for Stored<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&encode(&self.0))
    }
}

impl<'de, T: Wire> Deserialize<'de> for Stored<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = <&[u8]>::deserialize(deserializer)?;
        decode(bytes, MAX_ENTRY_DEPTH).map(Self).map_err(serde::de::Error::custom)
    }
}

/// A public key that is decoded when it is first needed, and then kept decoded.
#[derive(Debug, Clone)]
pub(crate) struct LazyKey(Arc<(Hash, OnceLock<Option<Box<PublicKey>>>)>);

impl LazyKey {
    pub(crate) fn new(bytes: [u8; PUBLIC_KEY_LEN]) -> Self {
        Self(Arc::new((bytes, OnceLock::new())))
    }

    pub(crate) fn bytes(&self) -> &[u8; PUBLIC_KEY_LEN] {
        &self.0.0
    }

    pub(crate) fn decoded(&self) -> Option<PublicKey> {
        self.0.1.get_or_init(|| PublicKey::accept(&self.0.0).ok().map(Box::new)).as_deref().copied()
    }
}

impl PartialEq for LazyKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.0 == other.0.0
    }
}

impl Serialize for LazyKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for LazyKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Hash::deserialize(deserializer).map(Self::new)
    }
}
