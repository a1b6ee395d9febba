//! The body of the fuzz target `recovery` over directories that are changed at random, without a fuzzer.

#![cfg(unix)]

#[allow(unreachable_pub, reason = "public in the fuzz package")]
#[path = "../../../fuzz/src/damage.rs"]
mod damage;
#[allow(unreachable_pub, reason = "public in the fuzz package")]
#[path = "../../../fuzz/src/recovery.rs"]
mod recovery;
#[allow(unreachable_pub, reason = "public in the fuzz package")]
#[path = "../../../fuzz/src/shaking.rs"]
mod shaking;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use countersign_notices::{count, is_soak};
use countersign_store::file::Options;
use peak_alloc::PeakAlloc;
use shaking::{Steps, run, runs_all};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// What opening, reading and writing on in a directory of some kilobytes may take, with the simulated disk and all its copies.
const MOST_BYTES: usize = 8 << 20;

/// Held by each test: what another one allocates is not counted.
static TURN: Mutex<()> = Mutex::new(());

/// A directory, and one to three changes of it.
fn inputs(count: usize) -> impl Iterator<Item = Vec<u8>> {
    let mut steps = Steps::new();
    (0..count).map(move |number| {
        let length = 1 + 12 * (1 + steps.below(3));
        let mut input: Vec<u8> = (0..length).map(|_| steps.below(256) as u8).collect();
        input[0] = number as u8;
        input
    })
}

#[test]
fn no_change_of_a_directory_makes_recovery_lose_or_invent_anything() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let unchanged = (0..recovery::shapes()).map(|shape| vec![shape as u8]);
    let seeds = unchanged.chain(recovery::seeds());
    let times = if is_soak() { 500_000 } else { 10_000 };
    let tally = run(seeds.chain(inputs(times)), recovery::shown, |input| {
        ALLOCATOR.reset_peak_usage();
        let before = ALLOCATOR.current_usage();
        let came_to = recovery::recover(input, Options::new);
        let most = ALLOCATOR.peak_usage().saturating_sub(before);
        assert!(most < MOST_BYTES, "{most} bytes at once");
        came_to
    });
    count("no_change_of_a_directory_makes_recovery_lose_or_invent_anything", &format!("{tally:?}"));
    if runs_all() {
        // Each verdict was met often enough that a mistake in one would show.
        for came_to in
            ["opened", "cut", "written again", "damaged", "unproven", "below the floor", "another history"]
        {
            assert!(tally.get(came_to).is_some_and(|times| *times >= 20), "{came_to}: {tally:?}");
        }
    }
}

#[test]
fn a_recovery_that_cuts_at_the_first_bad_line_is_caught_by_changes_of_a_directory() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let planted = || Options::new().plant_cut_at_the_first_bad_line();
    let caught = |input: Vec<u8>| {
        let panic = catch_unwind(AssertUnwindSafe(|| recovery::recover(&input, planted))).err();
        panic.is_some_and(|panic| {
            panic.downcast_ref::<String>().is_some_and(|why| why.contains(" acknowledged"))
        })
    };
    assert!(inputs(2_000).any(caught));
}
