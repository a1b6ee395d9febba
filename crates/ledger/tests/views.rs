//! Users' projections in the views of a ledger and its followers.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use countersign_core::entry::Head;
use countersign_ledger::testing::recorder;
use countersign_ledger::*;
use countersign_projection::projection::{Projection, Step};
use countersign_projection::registry::{Registry, ViewError};
use countersign_projection::snapshot::RebuildReason;
use countersign_store::Store as _;
use serde::{Deserialize, Serialize};
use support::*;

/// How many entries there are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Counted(u64);

impl Projection for Counted {
    const NAME: &'static str = "test.counted";
    const VERSION: u64 = 1;
    const LOOKS_BACK: bool = false;
    type Error = std::convert::Infallible;

    fn apply(&mut self, step: &Step<'_>) -> Result<(), Self::Error> {
        assert_eq!(self.0, step.seq());
        self.0 += 1;
        Ok(())
    }

    fn report(
        &self,
        _: &countersign_projection::governance::State,
        _: countersign_core::time::Timestamp,
        out: &mut dyn std::fmt::Write,
    ) -> std::fmt::Result {
        writeln!(out, "{{\"entries\":{}}}", self.0)
    }
}

/// What can not fold the seventh entry.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Brittle;

#[derive(Debug, thiserror::Error)]
#[error("seven")]
struct Seven;

impl Projection for Brittle {
    const NAME: &'static str = "test.brittle";
    const VERSION: u64 = 1;
    type Error = Seven;

    fn apply(&mut self, step: &Step<'_>) -> Result<(), Seven> {
        if step.seq() == 7 { Err(Seven) } else { Ok(()) }
    }
}

fn both() -> Registry {
    Registry::new().with::<Counted>().unwrap().with::<Brittle>().unwrap()
}

fn is_halted<T: std::fmt::Debug>(answer: &Result<T, ViewError>) -> bool {
    matches!(answer, Err(ViewError::Halted(text)) if text.contains("test.brittle") && text.contains("seven"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_are_consistent_with_their_head_while_entries_arrive() {
    let store = Shelf::default();
    let company = Company::in_store(store.clone(), |recorder| recorder.projections(both())).await;
    let ledger = &company.founded.ledger;
    let replica = Ledger::follow_with(store, Follow::new().projections(both())).await.unwrap();
    let size = ledger.head().size;
    let submitting: Vec<_> = (0..64)
        .map(|_| {
            let (ledger, signed) = (ledger.clone(), company.alice.state(ask()).sign().unwrap());
            tokio::spawn(async move {
                let receipt = ledger.submit(signed).await.unwrap();
                assert!(ledger.view::<Counted>().unwrap().0 > receipt.seq, "it reads what it wrote");
            })
        })
        .collect();
    while replica.head().size < size + 64 {
        for ledger in [&**ledger, &replica] {
            let view = ledger.current();
            let counted = view.projection::<Counted>().unwrap();
            assert_eq!((counted.head(), counted.0), (view.head(), view.head().size));
            assert_eq!(counted.state().head(), view.head());
        }
        tokio::task::yield_now().await;
    }
    for submitted in submitting {
        submitted.await.unwrap();
    }
    assert_eq!(replica.current().root(), ledger.current().root());
}

#[tokio::test]
async fn a_projection_that_halts_says_so_and_the_ledger_goes_on() {
    let store = Shelf::default();
    let company = Company::in_store(store.clone(), |recorder| recorder.projections(both())).await;
    let ledger = &company.founded.ledger;
    assert!(ledger.head().size > 7);
    assert!(is_halted(&ledger.view::<Brittle>()), "{:?}", ledger.view::<Brittle>());
    assert_eq!(ledger.current().down().map(|(name, _)| name).collect::<Vec<_>>(), ["test.brittle"]);
    let receipt = company.request().await;
    assert_eq!(ledger.view::<Counted>().unwrap().0, receipt.head().size);

    // A reopened ledger starts from snapshots, which have none of it; built anew, it halts at the same place.
    ledger.close().await.unwrap();
    let again = Ledger::open(store, recorder(&company.founded.clock).projections(both())).await.unwrap();
    assert_eq!(again.opened().from, ledger.head());
    let [unused] = &again.opened().unused[..] else { panic!("{:?}", again.opened().unused) };
    assert_eq!(unused.projection, "test.brittle");
    assert!(matches!(unused.reason, UnusedReason::Rebuild(RebuildReason::Missing)));
    assert_eq!(again.view::<Counted>().unwrap().0, ledger.head().size);
    let rebuilt = again.view_when_built::<Brittle>().await;
    assert!(is_halted(&rebuilt), "{rebuilt:?}");
}

#[tokio::test]
async fn a_projection_without_a_snapshot_is_built_anew_while_the_ledger_goes_on() {
    let store = Shelf::default();
    let company = Company::in_store(store.clone(), |recorder| recorder).await;
    company.founded.ledger.close().await.unwrap();
    let size = company.founded.ledger.head().size;
    let with = || Registry::new().with::<Counted>().unwrap();
    let ledger =
        Ledger::open(store.clone(), recorder(&company.founded.clock).projections(with())).await.unwrap();
    assert_eq!(ledger.opened().from.size, size);
    let waiting = ledger.view::<Counted>().unwrap_err();
    assert!(matches!(waiting, ViewError::Rebuilding { reason: RebuildReason::Missing, .. }), "{waiting:?}");
    // It is there in the end, whatever was recorded meanwhile, and goes on from there.
    let receipt = ledger.submit(company.alice.state(ask()).sign().unwrap()).await.unwrap();
    let counted = ledger.view_when_built::<Counted>().await.unwrap();
    assert!(counted.0 >= size && counted.head().size == counted.0);
    let next = ledger.submit(company.alice.state(ask()).sign().unwrap()).await.unwrap();
    assert_eq!((receipt.seq, ledger.view::<Counted>().unwrap().0), (size, next.head().size));
    // From here on snapshots have it.
    ledger.snapshot().await.unwrap();
    let follow = Follow::new().projections(with());
    let replica = Ledger::follow_with(store.clone(), follow).await.unwrap();
    assert!(replica.opened().unused.is_empty(), "{:?}", replica.opened().unused);
    assert_eq!(replica.view::<Counted>().unwrap().0, next.head().size);
    // A follower builds anew too.
    let early = store.with(store.sets().into_iter().take(1));
    let replica = Ledger::follow_with(early, Follow::new().projections(with())).await.unwrap();
    assert_eq!(replica.opened().from.size, size);
    assert_eq!(replica.view_when_built::<Counted>().await.unwrap().0, next.head().size);
}

#[tokio::test]
async fn tools_find_projections_by_name() {
    let store = Shelf::default();
    let company = Company::in_store(store.clone(), |recorder| recorder.projections(both())).await;
    let ledger = &company.founded.ledger;
    assert_eq!(ledger.current().names().collect::<Vec<_>>(), ["test.brittle", "test.counted"]);
    let any = ledger.any_view("test.counted").unwrap();
    let mut lines = String::new();
    any.report_lines(ledger.current().state(), start(), &mut lines).unwrap();
    assert_eq!(lines, format!("{{\"entries\":{}}}\n", ledger.head().size));
    assert_eq!(any.state_digest().unwrap(), Projection::digest(&Counted(ledger.head().size)).unwrap());
    assert!(is_halted(&ledger.any_view("test.brittle").map(|any| any.name())));
    let unknown = ledger.any_view("test.other").map(|any| any.name()).unwrap_err();
    assert!(matches!(unknown, ViewError::Unknown { .. }), "{unknown:?}");
    // One without projections knows none, and has no fewer entries.
    let plain = Ledger::follow(store.clone()).await.unwrap();
    assert!(matches!(plain.view::<Counted>(), Err(ViewError::Unknown { .. })));
    assert!(matches!(plain.view_when_built::<Counted>().await, Err(ViewError::Unknown { .. })));
    assert_ne!(store.head().await.unwrap(), Head::EMPTY);
}
