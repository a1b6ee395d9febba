//! What a projection is: a deterministic fold of judged entries into a state that answers questions.
//!
//! A tool builder implements [`Projection`] for a type with a serde form, tests it with [`crate::test_kit`], and runs it
//! with [`crate::runner::Runner`], alone, or registered beside others in a [`crate::registry::Registry`].

use std::fmt;

use countersign_core::digest::{Digest, sha256};
use countersign_core::entry::Entry;
use countersign_core::event::Event;
use countersign_core::time::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::governance::{Ending, JudgedEntry, State};

/// Longest name of a projection in bytes.
pub const MAX_NAME_LEN: usize = 64;

/// A fold of judged entries, with its own state.
///
/// It starts from `Default`, without settings: what differs from one use to the next is a question to ask of it, not a
/// way to fold. That is what makes a snapshot mean the same to everyone who reads it.
///
/// It must be *pure*: the state after an entry follows from the state before and the [`Step`] alone. No clock, no
/// randomness, no global variable, nothing shared between clones. And its bytes must be *deterministic*: `BTreeMap` rather than
/// `HashMap`, whose order differs from one run to the next. [`crate::test_kit::check`] tests for both.
///
/// Clones should be cheap where views are taken while entries arrive: the first change after a view copies the projection.
///
/// ```
/// use countersign_core::event::EventKind;
/// use countersign_projection::projection::{Projection, Step};
/// use serde::{Deserialize, Serialize};
///
/// /// How many approvals there were.
/// #[derive(Debug, Clone, Default, Serialize, Deserialize)]
/// struct Approvals(u64);
///
/// impl Projection for Approvals {
///     const NAME: &'static str = "acme.approvals";
///     const VERSION: u64 = 1;
///     const LOOKS_BACK: bool = false;
///     type Error = std::convert::Infallible;
///
///     fn apply(&mut self, step: &Step<'_>) -> Result<(), Self::Error> {
///         self.0 += u64::from(step.event().kind() == EventKind::AccessApproved);
///         Ok(())
///     }
/// }
/// ```
pub trait Projection: Serialize + DeserializeOwned + Default + Clone + Send + Sync + 'static {
    /// Names the projection among all others: `[a-z0-9][a-z0-9._-]{0,63}`. Another form does not compile where it is run.
    const NAME: &'static str;

    /// Raised with every change of the fold or of the state's form: snapshots of other versions are not read.
    const VERSION: u64;

    /// Whether it asks [`Step::before`]. One that does not should say so: where all say so, an entry costs some 5 µs to fold, and
    /// else twenty times that, since the state before must be kept beside the one after.
    const LOOKS_BACK: bool = true;

    /// Why an entry can not be folded; [`std::convert::Infallible`] where every one can.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Folds one entry.
    ///
    /// # Errors
    /// Whatever makes it impossible to go on. It halts the projection here: it is never asked about a later entry, and
    /// gives no answers until it was built anew by a version that can fold this one.
    fn apply(&mut self, step: &Step<'_>) -> Result<(), Self::Error>;

    /// Writes what the projection says at `at` for tools that do not know its type: one JSON object a line, in an order
    /// that follows from the state. Nothing by default.
    ///
    /// # Errors
    /// Those of `out`.
    fn report(&self, state: &State, at: Timestamp, out: &mut dyn fmt::Write) -> fmt::Result {
        let _ = (state, at, out);
        Ok(())
    }

    /// The bytes of the state, from which [`Self::decode`] makes it again.
    ///
    /// # Errors
    /// [`CodecError`] where a value of its has no binary form.
    fn encode(&self) -> Result<Vec<u8>, CodecError> {
        postcard::to_stdvec(self).map_err(CodecError::Encode)
    }

    /// The state with these bytes.
    ///
    /// # Errors
    /// [`CodecError`] where they are none of its, or not all of them are.
    fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        read(bytes)
    }

    /// SHA-256 of [`Self::encode`]: equal for equal states, on every machine.
    ///
    /// # Errors
    /// Those of [`Self::encode`].
    fn digest(&self) -> Result<Digest, CodecError> {
        self.encode().map(|bytes| digest_of(&bytes))
    }
}

/// One entry on its way through the projections, with the governance state on both sides of it.
///
/// Facts that the entry ends are found before it, facts that it makes after it: a revocation's grant still stands in
/// [`Step::before`], a new grant's subject, resource and end stand in [`Step::after`].
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    judged: &'a JudgedEntry,
    before: Option<&'a State>,
    after: &'a State,
}

impl<'a> Step<'a> {
    pub(crate) const fn new(judged: &'a JudgedEntry, before: Option<&'a State>, after: &'a State) -> Self {
        Self { judged, before, after }
    }

    /// The step as `P` sees it: alone or beside others that look back, it must be the same to it.
    pub(crate) const fn seen_by<P: Projection>(self) -> Self {
        Self { before: if P::LOOKS_BACK { self.before } else { None }, ..self }
    }

    /// The entry with its verdict.
    #[must_use]
    pub const fn judged(&self) -> &'a JudgedEntry {
        self.judged
    }

    /// The entry.
    #[must_use]
    pub fn entry(&self) -> &'a Entry {
        self.judged.entry()
    }

    /// What the entry's statement says.
    #[must_use]
    pub fn event(&self) -> &'a Event {
        &self.entry().statement().event
    }

    /// The entry's place.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.entry().seq()
    }

    /// When the entry was recorded: the only time a projection may use.
    #[must_use]
    pub fn recorded_at(&self) -> Timestamp {
        self.entry().recorded_at()
    }

    /// The governance state right before the entry.
    ///
    /// # Panics
    /// Where [`Projection::LOOKS_BACK`] is false.
    #[must_use]
    pub const fn before(&self) -> &'a State {
        self.before.expect("a projection that asks for the state before an entry says so by LOOKS_BACK")
    }

    /// The governance state right after the entry.
    #[must_use]
    pub const fn after(&self) -> &'a State {
        self.after
    }

    /// The grants that ended with this entry, or by the time that passed before it.
    #[must_use]
    pub fn endings(&self) -> &'a [Ending] {
        self.after.endings()
    }
}

/// Why a state has no bytes, or bytes are no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// A value of the state has no binary form.
    #[error("the state can not be written")]
    Encode(#[source] postcard::Error),
    /// The bytes do not make a state.
    #[error("the bytes are no state of this projection")]
    Decode(#[source] postcard::Error),
    /// Bytes are left over after the state.
    #[error("{count} bytes are left over after the state")]
    Trailing {
        /// How many.
        count: usize,
    },
    /// The bytes make a state that no entries lead to: its parts do not fit together.
    #[error("the state contradicts itself: {what}")]
    Contradiction {
        /// What does not fit.
        what: &'static str,
    },
}

/// The value with these bytes.
pub(crate) fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, CodecError> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(CodecError::Trailing { count: rest.len() }),
        Err(error) => Err(CodecError::Decode(error)),
    }
}

/// The digest of a state with these bytes: SHA-256 over them, so that any tool can check a snapshot's payload.
pub(crate) fn digest_of(bytes: &[u8]) -> Digest {
    Digest::new(sha256(&[bytes]))
}

/// Whether a text is the name of a projection.
pub(crate) const fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut index = 0;
    while index < bytes.len() {
        let fits = match bytes[index] {
            b'a'..=b'z' | b'0'..=b'9' => true,
            b'.' | b'_' | b'-' => index > 0,
            _ => false,
        };
        if !fits {
            return false;
        }
        index += 1;
    }
    !bytes.is_empty() && bytes.len() <= MAX_NAME_LEN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_projections_fit_lines_and_file_names() {
        for name in ["governance", "acme.approvals_2-b", "0", &"a".repeat(MAX_NAME_LEN)] {
            assert!(is_name(name), "refused: {name:?}");
        }
        for name in ["", ".hidden", "-x", "_x", "a/b", "A", "a b", "a\n", "é", &"a".repeat(MAX_NAME_LEN + 1)]
        {
            assert!(!is_name(name), "accepted: {name:?}");
        }
    }
}
