//! A projection of one's own: how many requests each owner approved in each month, and how long they had waited.
//!
//! Run with `cargo run --release --example custom_projection`.

use std::collections::BTreeMap;

use countersign::core::digest::StatementDigest;
use countersign::core::event::Event;
use countersign::core::id::Principal;
use countersign::ledger::{Ledger, Recorder};
use countersign::projection::projection::{Projection, Step};
use countersign::projection::registry::Registry;
use countersign::projection::test_kit::{self, Playground};
use countersign::store::{Durability, MemoryStore};
use serde::{Deserialize, Serialize};

/// By owner and month, like `2026-01`: approvals, and the seconds that their requests had been open.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct ApprovalLoad(BTreeMap<(Principal, String), (u64, u64)>);

/// An approval of a request that is not open. The rules admit none, so this halts the projection and says where.
#[derive(Debug, thiserror::Error)]
#[error("approval of request {0}, which is not open")]
struct NotOpen(StatementDigest);

impl Projection for ApprovalLoad {
    const NAME: &'static str = "example.approval-load";
    const VERSION: u64 = 1;
    type Error = NotOpen;

    fn apply(&mut self, step: &Step<'_>) -> Result<(), NotOpen> {
        if let Event::AccessApproved(approval) = step.event() {
            // The state right before an entry knows what the entry decides on.
            let now = step.recorded_at();
            let request = step.before().request(&approval.request, now).ok_or(NotOpen(approval.request))?;
            let owner = step.entry().statement().author.clone();
            let month = now.to_string()[..7].to_owned();
            let (approvals, seconds) = self.0.entry((owner, month)).or_default();
            *approvals += 1;
            *seconds += (now.millis() - request.opened_at.millis()) / 1_000;
        }
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Fictional people on a ledger in memory.
    let mut company = Playground::small();
    let asked = company.request("user:worker-a", "app:billing", "reader", Playground::hold(3_600), None)?;
    company.pass(7_200);
    company.approve("user:owner-a", asked)?;

    // The laws that every projection keeps: the same state by whatever way it was folded.
    let checked = test_kit::check::<ApprovalLoad>(company.entries())?;
    println!("{} of {} entries changed the state; every law holds", checked.changes, checked.entries);

    // A ledger folds it with every entry that it verifies and judges; views are consistent with their head.
    let store = MemoryStore::from_entries(company.entries().iter().cloned())?;
    let recorder = || -> Result<Recorder, Box<dyn std::error::Error>> {
        let recorder = Recorder::new(Playground::recorder_key()).accepting(Durability::Volatile);
        Ok(recorder.projections(Registry::new().with::<ApprovalLoad>()?))
    };
    let ledger = Ledger::open(store.clone(), recorder()?).await?;
    let load = ledger.view::<ApprovalLoad>()?;
    println!("after {} entries:", load.head().size);
    for ((owner, month), (approvals, seconds)) in &load.0 {
        println!("  {month}  {owner}  {approvals} approved, {} s open on average", seconds / approvals);
    }

    // Signed by the recorder, kept beside the entries: the next start folds only what came after.
    ledger.close().await?;
    let again = Ledger::open(store, recorder()?).await?;
    println!("opened again from snapshots over {} entries", again.opened().from.size);
    Ok(())
}
