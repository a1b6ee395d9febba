use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use super::*;
use crate::periods::Holdings;
use crate::projection::Step;

/// Declares a projection that breaks one law.
macro_rules! broken {
    ($name:ident, $self:ident, $step:ident, $apply:expr) => {
        impl Projection for $name {
            const NAME: &'static str = "broken";
            const VERSION: u64 = 1;
            type Error = Infallible;

            fn apply(&mut $self, $step: &Step<'_>) -> Result<(), Infallible> {
                $apply;
                Ok(())
            }
        }
    };
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Unordered(HashMap<u64, u64>);
broken!(Unordered, self, step, self.0.insert(step.seq(), 1));

static CALLS: AtomicU64 = AtomicU64::new(0);

#[derive(Clone, Default, Serialize, Deserialize)]
struct Global(u64);
broken!(Global, self, _step, self.0 = CALLS.fetch_add(1, Ordering::Relaxed));

#[derive(Clone, Default, Serialize, Deserialize)]
struct Forgetful {
    kept: u64,
    #[serde(skip)]
    lost: u64,
}
broken!(Forgetful, self, step, {
    self.kept += self.lost;
    self.lost = step.seq();
});

#[derive(Clone, Default, Serialize, Deserialize)]
struct Sharing(Arc<Mutex<u64>>);
broken!(Sharing, self, step, *self.0.lock().unwrap() += step.seq());

#[derive(Default, Serialize, Deserialize)]
struct CloneCounting(u64);
broken!(CloneCounting, self, step, self.0 += step.seq());

impl Clone for CloneCounting {
    fn clone(&self) -> Self {
        Self(self.0 + 1)
    }
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Blind;
broken!(Blind, self, step, assert!(step.seq() < 1_000));

#[derive(Clone, Default, Serialize, Deserialize)]
struct Lenient(BTreeMap<u64, u64>);

impl Projection for Lenient {
    const NAME: &'static str = "lenient";
    const VERSION: u64 = 1;
    type Error = Infallible;

    fn apply(&mut self, step: &Step<'_>) -> Result<(), Infallible> {
        self.0.insert(step.seq(), 1);
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        postcard::from_bytes(bytes).map_err(CodecError::Decode)
    }
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Panicking(u64);
broken!(Panicking, self, step, {
    assert!(step.seq() < 5, "five is too much");
    self.0 += 1;
});

fn broken<P: Projection>() -> BrokenLaw {
    check::<P>(Playground::small().entries()).map(drop).unwrap_err()
}

#[test]
fn each_broken_law_is_found_and_named() {
    assert!(matches!(broken::<Unordered>(), BrokenLaw::Determinism { .. }));
    assert!(matches!(broken::<Global>(), BrokenLaw::Determinism { .. }));
    assert!(matches!(broken::<Forgetful>(), BrokenLaw::Snapshot { .. }));
    assert!(matches!(broken::<Sharing>(), BrokenLaw::Clone { .. }));
    assert!(matches!(broken::<CloneCounting>(), BrokenLaw::Clone { .. }));
    assert!(matches!(broken::<Blind>(), BrokenLaw::Idle));
    assert!(matches!(broken::<Lenient>(), BrokenLaw::Lenient { .. }));
    let BrokenLaw::Run(RunError::Halted(halt)) = broken::<Panicking>() else { panic!("not halted") };
    assert_eq!((halt.projection, halt.seq), ("broken", 5));
    assert_eq!(halt.cause.to_string(), "panicked: five is too much");
}

#[test]
fn the_projections_of_this_crate_keep_every_law() {
    let ledger = Playground::small();
    let checked = check::<Holdings>(ledger.entries()).unwrap();
    assert_eq!(checked.entries, ledger.entries().len());
    assert!(checked.changes >= 10, "{checked:?}");
}

#[test]
fn the_governance_state_is_a_projection_like_any_other() {
    let ledger = Playground::small();
    let mut runner = Runner::<State>::new();
    for entry in ledger.entries() {
        runner.replay(entry.clone()).unwrap();
        let beside = runner.projections().unwrap();
        assert_eq!(beside.digest(), runner.state().digest(), "after entry {}", entry.seq());
        assert_eq!(beside.head(), entry.head());
    }
    assert_eq!(runner.state().digest(), ledger.state().digest());
    let digest = Projection::digest(runner.state()).unwrap();
    assert_eq!(digest, ledger.state().digest());
}

#[test]
fn places_to_cut_at_reach_both_ends() {
    assert_eq!(places(0), [0]);
    assert_eq!(places(2), [0, 1, 2]);
    assert_eq!((places(1_000).len(), places(1_000).last()), (64, Some(&1_000)));
}
