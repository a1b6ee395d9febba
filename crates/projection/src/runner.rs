//! Running projections over entries, in order, together with the governance state that they read.

use std::any::Any;
use std::fmt;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use countersign_core::digest::{Digest, StatementDigest};
use countersign_core::entry::{Entry, Head};
use countersign_core::fault::Fault;
use countersign_core::key::SignerKey;

use crate::governance::{self, JudgedEntry, Refusal, State};
use crate::projection::{CodecError, Projection, Step, is_name};
use crate::snapshot::{PlacedSnapshot, Rebuild, RebuildReason, Snapshot, SnapshotError, newest_state};

/// Folds entries into the governance state and into projections beside it: one pass, one truth.
///
/// `S` is a [`Projection`], a tuple of up to six, `()` for the state alone, or a [`crate::registry::Registry`]. An
/// entry that does not follow the head is refused, and nothing changes. Where a projection fails, the state has folded
/// the entry, but the runner folds no other and its projections answer no more; only in a registry the others go on.
#[derive(Debug, Clone)]
pub struct Runner<S> {
    // INVARIANT: without a halt, every projection in `set` that is live has folded exactly the entries that `state` has.
    state: State,
    set: S,
    halt: Option<Halt>,
}

impl<S: Projections + Default> Runner<S> {
    /// A runner before genesis.
    #[must_use]
    pub fn new() -> Self {
        Self::over(S::default())
    }
}

impl<S: Projections + Default> Default for Runner<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: Projections> Runner<S> {
    /// A runner before genesis over these projections, which start anew.
    #[must_use]
    pub fn over(mut set: S) -> Self {
        set.reset();
        Self { state: State::new(), set, halt: None }
    }

    /// A runner that goes on where the newest usable snapshots of `set` were taken; before genesis where there are none.
    ///
    /// The second value says what has to be built anew, and why. In a registry a projection without a snapshot beside the
    /// state's waits for [`Runner::install`], and the others go on; otherwise everything starts at genesis.
    #[must_use]
    pub fn resume(mut set: S, snapshots: &[PlacedSnapshot]) -> (Self, Vec<Rebuild>) {
        set.reset();
        let (state, mut rebuilds) = newest_state(snapshots);
        let Some(state) = state else { return (Self::over(set), rebuilds) };
        let mut find = |name: &str| {
            snapshots.iter().find(|snapshot| snapshot.header().name() == name && snapshot.is_beside(&state))
        };
        if set.restore(&mut find, &mut rebuilds) {
            (Self { state, set, halt: None }, rebuilds)
        } else {
            (Self::over(set), rebuilds)
        }
    }

    /// How many entries are folded, and the leaf hash of the last one.
    #[must_use]
    pub fn head(&self) -> Head {
        self.state.head()
    }

    /// The governance state at the head.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// The projections at the head.
    ///
    /// # Errors
    /// Where the runner halted: what is left of the projections is no answer.
    pub fn projections(&self) -> Result<&S, Halt> {
        self.halt.clone().map_or(Ok(&self.set), Err)
    }

    /// Where and why the runner halted, if it did.
    #[must_use]
    pub const fn halt(&self) -> Option<&Halt> {
        self.halt.as_ref()
    }

    /// A runner of the state alone that goes on from here.
    #[must_use]
    pub fn state_alone(&self) -> Runner<()> {
        Runner::at(self.state.clone(), ())
    }

    /// A runner at the head of `state`, where `set` must stand too.
    pub(crate) const fn at(state: State, set: S) -> Self {
        Self { state, set, halt: None }
    }

    pub(crate) const fn set(&self) -> &S {
        &self.set
    }

    pub(crate) fn into_set(self) -> S {
        self.set
    }

    pub(crate) const fn set_mut(&mut self) -> &mut S {
        &mut self.set
    }

    /// Folds an entry that was judged against the state at the head.
    ///
    /// # Errors
    /// [`RunError::Seq`], [`RunError::Prev`] or [`RunError::Time`] where the entry does not follow the head: nothing has changed.
    /// [`RunError::Halted`] where a projection fails, and ever after.
    pub fn apply(&mut self, judged: &JudgedEntry) -> Result<(), RunError> {
        self.check_place(judged.entry())?;
        let before = self.set.looks_back().then(|| self.state.clone());
        self.state.fold(judged);
        self.set.apply(&Step::new(judged, before.as_ref(), &self.state)).map_err(|halt| {
            self.halt = Some(halt.clone());
            RunError::Halted(halt)
        })
    }

    /// Verifies and judges an entry that nobody vouches for against the state at the head, and folds it.
    ///
    /// # Errors
    /// Those of [`Self::apply`]; [`RunError::Fault`] and [`RunError::Refused`] where the entry is not one that the rules admit here.
    pub fn replay(&mut self, entry: Entry) -> Result<JudgedEntry, RunError> {
        let judged = self.judge(entry)?;
        self.apply(&judged)?;
        Ok(judged)
    }

    /// Verifies and judges an entry against the state at the head, without folding it.
    ///
    /// # Errors
    /// As [`Self::replay`], but for those of projections.
    pub fn judge(&self, entry: Entry) -> Result<JudgedEntry, RunError> {
        self.check_place(&entry)?;
        let (seq, recorded_at) = (entry.seq(), entry.recorded_at());
        let refused = |refusal| RunError::Refused { seq, refusal };
        governance::check_envelope(&self.state, entry.signed(), recorded_at).map_err(refused)?;
        let statement = entry
            .signed()
            .as_ref()
            .clone()
            .verify(|key| self.state.public_key(key))
            .map_err(|fault| RunError::Fault { seq, fault })?;
        let admitted = governance::judge(&self.state, &statement, recorded_at).map_err(refused)?;
        admitted.confirm(entry).ok_or(RunError::NotConfirmed { seq })
    }

    /// Signed snapshots of the state and of every live projection, at the head.
    ///
    /// # Errors
    /// [`SnapshotError`]: there is no entry yet, `key` is not the recorder's, the runner halted, or a projection can not be written.
    pub fn snapshots(&self, key: &(impl SignerKey + ?Sized)) -> Result<Vec<Snapshot>, SnapshotError> {
        let set = self.projections()?;
        let mut states = vec![(State::NAME, State::VERSION, Projection::encode(&self.state))];
        set.encode_each(&mut |name, version, bytes| states.push((name, version, bytes)));
        let sign = |(name, version, bytes): (_, _, Result<_, _>)| {
            let bytes = bytes.map_err(|source| SnapshotError::Codec { name, source })?;
            Snapshot::sign(&self.state, name, version, bytes, key)
        };
        states.into_iter().map(sign).collect()
    }

    /// Name, version and digest of the state and of every projection.
    #[must_use]
    pub fn fingerprints(&self) -> Vec<Fingerprint> {
        let mut prints = vec![Fingerprint::of(&self.state)];
        self.set.fingerprints(&mut prints);
        if self.halt.is_some() {
            prints[1..].iter_mut().for_each(|print| print.digest = None);
        }
        prints
    }

    /// Puts a runner that was built anew from the entries in the place of this one.
    ///
    /// The one built anew is right by construction, so it takes over whatever the comparison shows.
    ///
    /// # Errors
    /// [`SwapError`] where it is not at the same head: nothing has changed.
    pub fn swap(&mut self, fresh: Self) -> Result<Vec<Compared>, SwapError> {
        if let Some(halt) = fresh.halt {
            return Err(SwapError::Halted(halt));
        }
        self.check_swap(fresh.head())?;
        let compared = compare(self.fingerprints(), fresh.fingerprints());
        *self = fresh;
        Ok(compared)
    }

    pub(crate) fn check_swap(&self, fresh: Head) -> Result<(), SwapError> {
        let live = self.head();
        if live == fresh { Ok(()) } else { Err(SwapError::Head { live, fresh }) }
    }

    fn check_place(&self, entry: &Entry) -> Result<(), RunError> {
        if let Some(halt) = &self.halt {
            return Err(RunError::Halted(halt.clone()));
        }
        let head = self.head();
        let seq = entry.seq();
        if seq != head.size {
            return Err(RunError::Seq { expected: head.size, found: seq });
        }
        if entry.prev() != head.leaf {
            return Err(RunError::Prev { seq });
        }
        if entry.recorded_at() < self.state.recorded_at() {
            return Err(RunError::Time { seq });
        }
        Ok(())
    }
}

impl<P: Projection> Runner<P> {
    /// The projection and the state at the head, to keep while the runner goes on.
    ///
    /// # Errors
    /// Where the runner halted.
    pub fn view(&self) -> Result<View<P>, Halt> {
        let projection = Arc::new(self.projections()?.clone());
        Ok(View { state: self.state.clone(), projection })
    }

    /// The projection and the state at the head, for good.
    ///
    /// # Errors
    /// Where the runner halted.
    pub fn into_view(self) -> Result<View<P>, Halt> {
        match self.halt {
            None => Ok(View { state: self.state, projection: Arc::new(self.set) }),
            Some(halt) => Err(halt),
        }
    }
}

/// A projection together with the governance state at the same head. Dereferences to the projection.
#[derive(Debug)]
pub struct View<P> {
    // INVARIANT: both have folded the same entries.
    state: State,
    projection: Arc<P>,
}

impl<P> View<P> {
    pub(crate) const fn new(state: State, projection: Arc<P>) -> Self {
        Self { state, projection }
    }

    /// Which entries it answers from.
    #[must_use]
    pub fn head(&self) -> Head {
        self.state.head()
    }

    /// The governance state.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// The projection.
    #[must_use]
    pub fn projection(&self) -> &P {
        &self.projection
    }

    pub(crate) fn into_projection(self) -> Arc<P> {
        self.projection
    }
}

impl<P> Clone for View<P> {
    fn clone(&self) -> Self {
        Self { state: self.state.clone(), projection: self.projection.clone() }
    }
}

impl<P> Deref for View<P> {
    type Target = P;

    fn deref(&self) -> &P {
        &self.projection
    }
}

/// One or more projections that share a pass. Implemented for every [`Projection`], for tuples, and for the registry.
///
/// Users name it in bounds; only [`Runner`] calls it.
pub trait Projections {
    /// Whether one of them asks for the state before an entry.
    #[doc(hidden)]
    fn looks_back(&self) -> bool;

    /// Starts every projection anew.
    #[doc(hidden)]
    fn reset(&mut self);

    /// Folds an entry.
    ///
    /// # Errors
    /// Where and why the pass must halt.
    #[doc(hidden)]
    fn apply(&mut self, step: &Step<'_>) -> Result<(), Halt>;

    /// Takes the states of snapshots that all stand at one head, and notes which projections have none. Whether the pass can go
    /// on from there: what has no state is built anew apart from the others, or not needed.
    #[doc(hidden)]
    fn restore<'s>(
        &mut self,
        find: &mut dyn FnMut(&str) -> Option<&'s PlacedSnapshot>,
        rebuilds: &mut Vec<Rebuild>,
    ) -> bool;

    /// Calls `take` with name, version and bytes of every live projection.
    #[doc(hidden)]
    fn encode_each(&self, take: &mut dyn FnMut(&'static str, u64, Result<Vec<u8>, CodecError>));

    /// Adds the fingerprint of every projection.
    #[doc(hidden)]
    fn fingerprints(&self, prints: &mut Vec<Fingerprint>);
}

impl<P: Projection> Projections for P {
    fn looks_back(&self) -> bool {
        const { assert!(is_name(P::NAME), "NAME is not of the form that its documentation gives") };
        P::LOOKS_BACK
    }

    fn reset(&mut self) {
        *self = P::default();
    }

    fn apply(&mut self, step: &Step<'_>) -> Result<(), Halt> {
        apply_guarded(|| self, step)
    }

    fn restore<'s>(
        &mut self,
        find: &mut dyn FnMut(&str) -> Option<&'s PlacedSnapshot>,
        rebuilds: &mut Vec<Rebuild>,
    ) -> bool {
        let found = find(P::NAME).ok_or(RebuildReason::Missing).and_then(PlacedSnapshot::decode);
        match found {
            Ok(state) => *self = state,
            Err(reason) => {
                rebuilds.push(Rebuild { name: P::NAME.into(), reason });
                return false;
            }
        }
        true
    }

    fn encode_each(&self, take: &mut dyn FnMut(&'static str, u64, Result<Vec<u8>, CodecError>)) {
        take(P::NAME, P::VERSION, self.encode());
    }

    fn fingerprints(&self, prints: &mut Vec<Fingerprint>) {
        prints.push(Fingerprint::of(self));
    }
}

macro_rules! tuples {
    ($(($($member:ident),*))*) => {$(
        #[allow(non_snake_case, unused_variables, reason = "members are named like their types")]
        impl<$($member: Projections),*> Projections for ($($member,)*) {
            fn looks_back(&self) -> bool {
                let ($($member,)*) = self;
                false $(|| $member.looks_back())*
            }

            fn reset(&mut self) {
                let ($($member,)*) = self;
                $($member.reset();)*
            }

            fn apply(&mut self, step: &Step<'_>) -> Result<(), Halt> {
                let ($($member,)*) = self;
                $($member.apply(step)?;)*
                Ok(())
            }

            fn restore<'s>(
                &mut self,
                find: &mut dyn FnMut(&str) -> Option<&'s PlacedSnapshot>,
                rebuilds: &mut Vec<Rebuild>,
            ) -> bool {
                let ($($member,)*) = self;
                // Every one is asked, so that all that is missing is named.
                true $(& $member.restore(find, rebuilds))*
            }

            fn encode_each(&self, take: &mut dyn FnMut(&'static str, u64, Result<Vec<u8>, CodecError>)) {
                let ($($member,)*) = self;
                $($member.encode_each(take);)*
            }

            fn fingerprints(&self, prints: &mut Vec<Fingerprint>) {
                let ($($member,)*) = self;
                $($member.fingerprints(prints);)*
            }
        }
    )*};
}

tuples! {
    ()
    (A)
    (A, B)
    (A, B, C)
    (A, B, C, D)
    (A, B, C, D, E)
    (A, B, C, D, E, F)
}

/// Name, version and state digest of a projection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: u64,
    /// The digest of its state; none where it gives no answers or has no bytes.
    pub digest: Option<Digest>,
}

impl Fingerprint {
    pub(crate) fn of<P: Projection>(projection: &P) -> Self {
        let digest = Projection::digest(projection).ok();
        Self { name: P::NAME, version: P::VERSION, digest }
    }
}

/// What comparing a projection with the same one built anew showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// Its name.
    pub name: &'static str,
    /// The digest of the one that was live; none where it gave no answers.
    pub live: Option<Digest>,
    /// The digest of the one built anew.
    pub fresh: Option<Digest>,
}

impl Compared {
    /// Whether the live one had gone wrong: it gave answers, and they were not those that the entries give.
    #[must_use]
    pub fn is_drift(&self) -> bool {
        self.live.is_some() && self.live != self.fresh
    }
}

pub(crate) fn compare(live: Vec<Fingerprint>, fresh: Vec<Fingerprint>) -> Vec<Compared> {
    let digest_of = |name| live.iter().find(|print| print.name == name).and_then(|print| print.digest);
    fresh
        .into_iter()
        .map(|print| Compared { name: print.name, live: digest_of(print.name), fresh: print.digest })
        .collect()
}

/// Where and why a projection stopped, for good.
#[derive(Debug, Clone, thiserror::Error)]
#[error("projection `{projection}` halted at seq {seq}")]
pub struct Halt {
    /// Which projection.
    pub projection: &'static str,
    /// The entry that it could not fold.
    pub seq: u64,
    /// The statement in that entry.
    pub statement: StatementDigest,
    /// Why.
    #[source]
    pub cause: HaltCause,
}

/// Why a projection stopped.
#[derive(Debug, Clone, thiserror::Error)]
pub enum HaltCause {
    /// It said that it can not fold the entry.
    #[error("{0}")]
    Failed(Arc<dyn std::error::Error + Send + Sync>),
    /// It panicked.
    #[error("panicked: {0}")]
    Panicked(Arc<str>),
}

/// Why an entry was not folded.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RunError {
    /// The entry is not the next one.
    #[error("expected the entry with seq {expected}, found {found}")]
    Seq {
        /// The seq of the next entry.
        expected: u64,
        /// The seq of this one.
        found: u64,
    },
    /// The entry follows another entry than the last one folded.
    #[error("entry {seq} does not follow the one before")]
    Prev {
        /// Its seq.
        seq: u64,
    },
    /// The entry was recorded before the last one folded.
    #[error("entry {seq} was recorded before the one before")]
    Time {
        /// Its seq.
        seq: u64,
    },
    /// A signature of the entry does not hold.
    #[error("entry {seq} is not verified")]
    Fault {
        /// Its seq.
        seq: u64,
        /// What is wrong.
        #[source]
        fault: Fault,
    },
    /// The rules do not admit the entry here.
    #[error("entry {seq} is not admitted")]
    Refused {
        /// Its seq.
        seq: u64,
        /// The rule.
        #[source]
        refusal: Refusal,
    },
    /// The entry is not the one that was judged.
    #[error("entry {seq} is not the one that was judged")]
    NotConfirmed {
        /// Its seq.
        seq: u64,
    },
    /// A projection halted, here or earlier.
    #[error(transparent)]
    Halted(#[from] Halt),
}

/// Why a runner built anew does not take over.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SwapError {
    /// It stands elsewhere. Fold the entries that it lacks, and try again; where the sizes are equal, it is of another history.
    #[error("the live one is at size {}, the one built anew at {}", live.size, fresh.size)]
    Head {
        /// The head of the live one.
        live: Head,
        /// The head of the one built anew.
        fresh: Head,
    },
    /// It halted.
    #[error(transparent)]
    Halted(#[from] Halt),
    /// The registry has no such projection.
    #[error("no projection `{name}` is registered")]
    Unknown {
        /// Its name.
        name: &'static str,
    },
}

/// Applies a step, and turns a failure or a panic into a halt: neither may take the others down.
///
/// `projection` may have to clone it first, which is its own code too.
pub(crate) fn apply_guarded<'a, P: Projection>(
    projection: impl FnOnce() -> &'a mut P,
    step: &Step<'_>,
) -> Result<(), Halt> {
    // A projection that panicked may be torn; it is never asked again, so nobody sees it.
    let apply = || Projection::apply(projection(), &step.seen_by::<P>());
    let cause = match catch_unwind(AssertUnwindSafe(apply)) {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => HaltCause::Failed(Arc::new(error)),
        Err(payload) => HaltCause::Panicked(panic_text(&*payload).into()),
    };
    Err(Halt { projection: P::NAME, seq: step.seq(), statement: step.entry().signed().digest(), cause })
}

fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.digest {
            Some(digest) => write!(f, "{} v{} {digest}", self.name, self.version),
            None => write!(f, "{} v{} -", self.name, self.version),
        }
    }
}
