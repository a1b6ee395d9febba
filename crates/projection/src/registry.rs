//! Many projections behind one runner: by type for services, by name for tools.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use countersign_core::digest::Digest;
use countersign_core::time::Timestamp;

use crate::governance::State;
use crate::projection::{CodecError, Projection, Step, is_name};
use crate::runner::{
    Compared, Fingerprint, Halt, Projections, Runner, SwapError, View, apply_guarded, compare,
};
use crate::snapshot::{PlacedSnapshot, Rebuild, RebuildReason};

/// Projections that share one pass, each under its name.
///
/// One that halts, or has to be built anew, gives no answers; the others and the state go on.
///
/// ```
/// use countersign_projection::periods::Holdings;
/// use countersign_projection::registry::Registry;
/// use countersign_projection::runner::Runner;
///
/// let runner = Runner::over(Registry::new().with::<Holdings>()?);
/// let holdings = runner.view::<Holdings>()?;
/// assert_eq!(holdings.head().size, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A clone shares every projection with its original until either folds an entry that changes it.
#[derive(Clone, Default)]
pub struct Registry {
    slots: BTreeMap<&'static str, Slot>,
}

struct Slot {
    version: u64,
    live: Box<dyn Live>,
    down: Option<Down>,
}

/// Why a projection gives no answers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    /// No projection of this type, or of this name, is registered.
    #[error("no projection `{name}` is registered")]
    Unknown {
        /// Its name.
        name: String,
    },
    /// It stopped at an entry that it could not fold.
    #[error("{0}")]
    Halted(Arc<str>),
    /// It waits to be built anew.
    #[error("projection `{name}` has to be built anew")]
    Rebuilding {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        reason: RebuildReason,
    },
}

/// Why a projection is not registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// There is one of this name already, or it is that of the governance state.
    #[error("there is a projection `{name}` already")]
    Duplicate {
        /// The name.
        name: &'static str,
    },
}

impl Registry {
    /// A registry without projections.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a projection.
    ///
    /// # Errors
    /// [`RegisterError::Duplicate`] where its name is taken.
    pub fn with<P: Projection>(mut self) -> Result<Self, RegisterError> {
        const { assert!(is_name(P::NAME), "NAME is not of the form that its documentation gives") };
        let name = P::NAME;
        if name == State::NAME || self.slots.contains_key(name) {
            return Err(RegisterError::Duplicate { name });
        }
        let live = Box::new(Typed(Arc::new(P::default())));
        self.slots.insert(name, Slot { version: P::VERSION, live, down: None });
        Ok(self)
    }

    /// The names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.slots.keys().copied()
    }

    /// A registry of the same projections, before genesis.
    #[must_use]
    pub fn fresh(&self) -> Self {
        self.fresh_where(|_| true)
    }

    /// A registry, before genesis, of those projections that wait to be built anew.
    #[must_use]
    pub fn rebuilding(&self) -> Self {
        self.fresh_where(|slot| matches!(slot.down, Some(Down::Rebuilding(_))))
    }

    /// Whether there are no projections.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    fn fresh_where(&self, is_taken: impl Fn(&Slot) -> bool) -> Self {
        let fresh = |slot: &Slot| Slot { version: slot.version, live: slot.live.fresh(), down: None };
        let taken = self.slots.iter().filter(|(_, slot)| is_taken(slot));
        Self { slots: taken.map(|(name, slot)| (*name, fresh(slot))).collect() }
    }

    fn view<P: Projection>(&self, state: &State) -> Result<View<P>, ViewError> {
        let shared = self.shared(P::NAME)?;
        // Another type may be registered under this name.
        let unknown = |_| ViewError::Unknown { name: P::NAME.into() };
        Ok(View::new(state.clone(), shared.typed.downcast::<P>().map_err(unknown)?))
    }

    fn shared(&self, name: &str) -> Result<Shared, ViewError> {
        let slot = self.slots.get(name).ok_or_else(|| ViewError::Unknown { name: name.into() })?;
        slot.shared(name)
    }

    fn views(&self, state: &State) -> Views {
        let view = |(name, slot): (&&'static str, &Slot)| (*name, slot.shared(name));
        Views { state: state.clone(), slots: self.slots.iter().map(view).collect() }
    }

    fn down(&self) -> impl Iterator<Item = (&'static str, ViewError)> {
        self.slots.iter().filter_map(|(name, slot)| slot.down.as_ref().map(|down| (*name, down.error(name))))
    }

    /// Puts projections that were built anew in the place of those registered under their names.
    fn replace(&mut self, fresh: Self) -> Result<Vec<Compared>, SwapError> {
        if let Some(name) = fresh.names().find(|name| !self.slots.contains_key(name)) {
            return Err(SwapError::Unknown { name });
        }
        let replaced = fresh.slots.into_iter().map(|(name, slot)| {
            let print = slot.fingerprint(name);
            let live = self.slots.insert(name, slot).map(|slot| slot.fingerprint(name));
            compare(live.into_iter().collect(), vec![print]).remove(0)
        });
        Ok(replaced.collect())
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.slots.keys()).finish()
    }
}

impl Runner<Registry> {
    /// The projection of this type, with the state, at the head.
    ///
    /// # Errors
    /// [`ViewError`] where it gives no answers.
    pub fn view<P: Projection>(&self) -> Result<View<P>, ViewError> {
        self.set().view(self.state())
    }

    /// All projections at the head, to keep while the runner goes on.
    ///
    /// Costs as much as counting references, but the next entry that changes a projection copies it first.
    #[must_use]
    pub fn views(&self) -> Views {
        self.set().views(self.state())
    }

    /// The projections that give no answers, and why.
    pub fn down(&self) -> impl Iterator<Item = (&'static str, ViewError)> {
        self.set().down()
    }

    /// Puts a projection that was built anew, beside this runner, in the place of the registered one.
    ///
    /// # Errors
    /// [`SwapError`] where it is not at the same head, halted, or is not registered: nothing has changed.
    pub fn install<P: Projection>(&mut self, fresh: Runner<P>) -> Result<Compared, SwapError> {
        let name = P::NAME;
        let head = fresh.head();
        let view = fresh.into_view()?;
        self.check_swap(head)?;
        let slot = self.set_mut().slots.get_mut(name).ok_or(SwapError::Unknown { name })?;
        let live = vec![slot.fingerprint(name)];
        let projection = view.into_projection();
        let compared = compare(live, vec![Fingerprint::of(&*projection)]).remove(0);
        slot.live = Box::new(Typed(projection));
        slot.down = None;
        Ok(compared)
    }
}

/// Projections that the pass itself needs, `A`, and beside them those that users registered.
impl<A: Projections> Runner<(A, Registry)> {
    /// The registered projection of this type, with the state, at the head.
    ///
    /// # Errors
    /// [`ViewError`] where it gives no answers.
    pub fn view<P: Projection>(&self) -> Result<View<P>, ViewError> {
        self.set().1.view(self.state())
    }

    /// All registered projections at the head.
    #[must_use]
    pub fn views(&self) -> Views {
        self.set().1.views(self.state())
    }

    /// The registered projections that give no answers, and why.
    pub fn down(&self) -> impl Iterator<Item = (&'static str, ViewError)> {
        self.set().1.down()
    }

    /// A runner of one registered projection alone that goes on from here.
    ///
    /// # Errors
    /// [`ViewError`] where it gives no answers.
    pub fn alone<P: Projection>(&self) -> Result<Runner<P>, ViewError> {
        let projection = P::clone(&*self.view::<P>()?.into_projection());
        Ok(Runner::at(self.state().clone(), projection))
    }

    /// The registered projections that wait to be built anew, before genesis.
    #[must_use]
    pub fn rebuilding(&self) -> Registry {
        self.set().1.rebuilding()
    }

    /// Puts registered projections that were built anew in their places. One that halted then gives its error as its answer.
    ///
    /// # Errors
    /// [`SwapError`] where they are not at the same head, or not registered: nothing has changed.
    pub fn install_all(&mut self, fresh: Runner<Registry>) -> Result<Vec<Compared>, SwapError> {
        self.check_swap(fresh.head())?;
        self.set_mut().1.replace(fresh.into_set())
    }
}

/// All projections of a registry and the governance state, at one head.
#[derive(Clone)]
pub struct Views {
    state: State,
    slots: BTreeMap<&'static str, Result<Shared, ViewError>>,
}

impl Views {
    /// The governance state.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// The projection of this type.
    ///
    /// # Errors
    /// [`ViewError`] where it gives no answers.
    pub fn view<P: Projection>(&self) -> Result<View<P>, ViewError> {
        let unknown = || ViewError::Unknown { name: P::NAME.into() };
        let shared = self.slots.get(P::NAME).ok_or_else(unknown)?.as_ref().map_err(Clone::clone)?;
        // Another type may be registered under this name.
        let projection = shared.typed.clone().downcast::<P>().map_err(|_| unknown())?;
        Ok(View::new(self.state.clone(), projection))
    }

    /// The projection of this name.
    ///
    /// # Errors
    /// [`ViewError`] where it gives no answers.
    pub fn any(&self, name: &str) -> Result<Arc<dyn AnyProjection>, ViewError> {
        let unknown = || ViewError::Unknown { name: name.into() };
        let shared = self.slots.get(name).ok_or_else(unknown)?.as_ref().map_err(Clone::clone)?;
        Ok(shared.untyped.clone())
    }

    /// The names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.slots.keys().copied()
    }
}

impl fmt::Debug for Views {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Views")
            .field("head", &self.state.head())
            .field("names", &self.slots.keys())
            .finish_non_exhaustive()
    }
}

/// What a tool can do with a projection whose type it does not know. Every [`Projection`] is one.
pub trait AnyProjection: Send + Sync {
    /// [`Projection::NAME`].
    fn name(&self) -> &'static str;

    /// [`Projection::VERSION`].
    fn version(&self) -> u64;

    /// [`Projection::encode`].
    ///
    /// # Errors
    /// [`CodecError`] where the state can not be written.
    fn bytes(&self) -> Result<Vec<u8>, CodecError>;

    /// [`Projection::digest`].
    ///
    /// # Errors
    /// [`CodecError`] where the state can not be written.
    fn state_digest(&self) -> Result<Digest, CodecError>;

    /// [`Projection::report`]: one JSON object a line.
    ///
    /// # Errors
    /// Those of `out`.
    fn report_lines(&self, state: &State, at: Timestamp, out: &mut dyn fmt::Write) -> fmt::Result;
}

impl<P: Projection> AnyProjection for P {
    fn name(&self) -> &'static str {
        P::NAME
    }

    fn version(&self) -> u64 {
        P::VERSION
    }

    fn bytes(&self) -> Result<Vec<u8>, CodecError> {
        self.encode()
    }

    fn state_digest(&self) -> Result<Digest, CodecError> {
        Projection::digest(self)
    }

    fn report_lines(&self, state: &State, at: Timestamp, out: &mut dyn fmt::Write) -> fmt::Result {
        self.report(state, at, out)
    }
}

impl Projections for Registry {
    fn looks_back(&self) -> bool {
        self.slots.values().any(|slot| slot.down.is_none() && slot.live.looks_back())
    }

    fn reset(&mut self) {
        for slot in self.slots.values_mut() {
            slot.live = slot.live.fresh();
            slot.down = None;
        }
    }

    fn apply(&mut self, step: &Step<'_>) -> Result<(), Halt> {
        for slot in self.slots.values_mut().filter(|slot| slot.down.is_none()) {
            slot.down = slot.live.apply(step).err().map(Down::Halted);
        }
        Ok(())
    }

    fn restore<'s>(
        &mut self,
        find: &mut dyn FnMut(&str) -> Option<&'s PlacedSnapshot>,
        rebuilds: &mut Vec<Rebuild>,
    ) -> bool {
        for (name, slot) in &mut self.slots {
            let restored = match find(name) {
                Some(snapshot) => slot.live.restore(snapshot),
                None => Err(RebuildReason::Missing),
            };
            if let Err(reason) = restored {
                slot.down = Some(Down::Rebuilding(reason.clone()));
                rebuilds.push(Rebuild { name: (*name).into(), reason });
            }
        }
        true
    }

    fn encode_each(&self, take: &mut dyn FnMut(&'static str, u64, Result<Vec<u8>, CodecError>)) {
        for (name, slot) in self.slots.iter().filter(|(_, slot)| slot.down.is_none()) {
            take(name, slot.version, slot.live.shared().untyped.bytes());
        }
    }

    fn fingerprints(&self, prints: &mut Vec<Fingerprint>) {
        prints.extend(self.slots.iter().map(|(name, slot)| slot.fingerprint(name)));
    }
}

impl Clone for Slot {
    fn clone(&self) -> Self {
        Self { version: self.version, live: self.live.share(), down: self.down.clone() }
    }
}

impl Slot {
    fn shared(&self, name: &str) -> Result<Shared, ViewError> {
        match &self.down {
            None => Ok(self.live.shared()),
            Some(down) => Err(down.error(name)),
        }
    }

    fn fingerprint(&self, name: &'static str) -> Fingerprint {
        let digest = match self.down {
            None => self.live.shared().untyped.state_digest().ok(),
            Some(_) => None,
        };
        Fingerprint { name, version: self.version, digest }
    }
}

/// Why a slot is not folded.
#[derive(Debug, Clone)]
enum Down {
    Halted(Halt),
    Rebuilding(RebuildReason),
}

impl Down {
    fn error(&self, name: &str) -> ViewError {
        match self {
            Self::Halted(halt) => ViewError::Halted(format!("{halt}: {}", halt.cause).into()),
            Self::Rebuilding(reason) => ViewError::Rebuilding { name: name.into(), reason: reason.clone() },
        }
    }
}

/// One projection under both its faces.
#[derive(Clone)]
struct Shared {
    typed: Arc<dyn Any + Send + Sync>,
    untyped: Arc<dyn AnyProjection>,
}

/// A projection that is folded without knowing its type.
trait Live: Send + Sync {
    fn looks_back(&self) -> bool;
    fn apply(&mut self, step: &Step<'_>) -> Result<(), Halt>;
    fn restore(&mut self, snapshot: &PlacedSnapshot) -> Result<(), RebuildReason>;
    fn fresh(&self) -> Box<dyn Live>;
    fn share(&self) -> Box<dyn Live>;
    fn shared(&self) -> Shared;
}

struct Typed<P>(Arc<P>);

impl<P: Projection> Live for Typed<P> {
    fn looks_back(&self) -> bool {
        P::LOOKS_BACK
    }

    fn apply(&mut self, step: &Step<'_>) -> Result<(), Halt> {
        apply_guarded(|| Arc::make_mut(&mut self.0), step)
    }

    fn restore(&mut self, snapshot: &PlacedSnapshot) -> Result<(), RebuildReason> {
        self.0 = Arc::new(snapshot.decode()?);
        Ok(())
    }

    fn fresh(&self) -> Box<dyn Live> {
        Box::new(Self(Arc::new(P::default())))
    }

    fn share(&self) -> Box<dyn Live> {
        Box::new(Self(self.0.clone()))
    }

    fn shared(&self) -> Shared {
        Shared { typed: self.0.clone(), untyped: self.0.clone() }
    }
}
