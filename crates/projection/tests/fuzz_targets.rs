//! The body of the fuzz target `snapshot` over snapshots that are changed at random, without a fuzzer.

#[allow(unreachable_pub, reason = "public in the fuzz package")]
#[path = "../../../fuzz/src/damage.rs"]
mod damage;
#[allow(unreachable_pub, reason = "public in the fuzz package")]
#[path = "../../../fuzz/src/shaking.rs"]
mod shaking;
#[allow(unreachable_pub, reason = "public in the fuzz package")]
#[path = "../../../fuzz/src/snapshots.rs"]
mod snapshots;

use peak_alloc::PeakAlloc;
use shaking::{Steps, run, runs_all};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// What reading a snapshot of some kilobytes and asking its state may take.
const MOST_BYTES: usize = 4 << 20;

#[test]
fn f09_no_change_of_a_snapshot_is_taken_for_signed_or_makes_reading_it_panic() {
    let mut steps = Steps::new();
    let times = if std::env::var_os("COUNTERSIGN_SOAK").is_some() { 2_000_000 } else { 4_000 };
    let random = (0..times).map(move |number: usize| {
        let length = 1 + 12 * (1 + steps.below(3));
        let mut input: Vec<u8> = (0..length).map(|_| steps.below(256) as u8).collect();
        // States that are changed before they are signed reach furthest.
        input[0] = [4, 4, 4, 2, 3, 0, 1, 4][number % 8];
        input
    });
    let tally = run(
        snapshots::seeds().into_iter().chain(random),
        |_| String::new(),
        |input| {
            ALLOCATOR.reset_peak_usage();
            let before = ALLOCATOR.current_usage();
            let came_to = snapshots::reads(input);
            let most = ALLOCATOR.peak_usage().saturating_sub(before);
            assert!(most < MOST_BYTES, "{most} bytes at once");
            came_to
        },
    );
    println!("{tally:?}");
    if runs_all() {
        for (came_to, least) in [("a header", 1), ("a state", 50), ("no state", 500), ("refused", 500)] {
            assert!(tally.get(came_to).is_some_and(|times| *times >= least), "{came_to}: {tally:?}");
        }
    }
}
