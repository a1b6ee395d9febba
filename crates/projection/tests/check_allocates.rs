//! A check costs no memory: its allocator counts.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use countersign_projection::governance::Answer;
use countersign_projection::test_kit::Playground;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// The least memory that `work` needed above what was in use before it, over several times: another thread of the test program may
/// have allocated in one of them, but what `work` itself allocates is in each.
fn most_at_once(work: impl Fn()) -> usize {
    let times = (0..10).map(|_| {
        ALLOCATOR.reset_peak_usage();
        let before = ALLOCATOR.current_usage();
        work();
        ALLOCATOR.peak_usage().saturating_sub(before)
    });
    times.min().unwrap_or(usize::MAX)
}

#[test]
fn a_check_allocates_nothing_whatever_it_answers() {
    let mut ledger = Playground::new();
    let (alice, billing, reader) = ("user:worker-a", "app:billing", "reader");
    let request = ledger.request(alice, billing, reader, Playground::hold(8 * 3_600), None).unwrap();
    ledger.approve("user:owner-a", request).unwrap();
    ledger.grant(request).unwrap();

    let (state, now) = (ledger.state(), ledger.now());
    let later = now.plus_seconds(9 * 3_600).unwrap();
    let early = countersign_core::time::Timestamp::MIN;
    let questions = [
        ("held", alice, billing, reader, now, true),
        ("run out", alice, billing, reader, later, false),
        ("before the state", alice, billing, reader, early, false),
        ("another role", alice, billing, "writer", now, false),
        ("another subject", "user:owner-a", billing, reader, now, false),
        ("an unknown subject", "user:nobody", billing, reader, now, false),
        ("an unknown resource", alice, "app:nothing", reader, now, false),
    ];
    for (name, subject, resource, role, at, allowed) in questions {
        let (subject, resource, role) =
            (subject.parse().unwrap(), resource.parse().unwrap(), role.parse().unwrap());
        let answer: Answer = state.check(&subject, &resource, &role, at);
        assert_eq!(answer.is_allowed(), allowed, "case: {name}");
        let bytes = most_at_once(|| {
            std::hint::black_box(state.check(&subject, &resource, &role, at));
        });
        assert_eq!(bytes, 0, "case: {name}");
    }
    // The count is no constant: a question that gives names back does allocate.
    let subject = alice.parse().unwrap();
    let listed = most_at_once(|| {
        std::hint::black_box(state.grants_of(&subject, now));
    });
    assert!(listed > 0);
}
