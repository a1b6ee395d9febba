//! A projection of one's own: how many requests each owner approved in each month, and how long they had waited.
//!
//! Run with `cargo run --release --example custom_projection`.

use std::collections::BTreeMap;

use countersign::core::digest::StatementDigest;
use countersign::core::event::Event;
use countersign::core::id::Principal;
use countersign::projection::projection::{Projection, Step};
use countersign::projection::registry::Registry;
use countersign::projection::runner::Runner;
use countersign::projection::test_kit::{self, Playground};
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

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Fictional people on a ledger in memory; entries read from any store do as well.
    let mut ledger = Playground::small();
    let asked = ledger.request("user:worker-a", "app:billing", "reader", Playground::hold(3_600), None)?;
    ledger.pass(7_200);
    ledger.approve("user:owner-a", asked)?;

    // The laws that every projection keeps: the same state by whatever way it was folded.
    let checked = test_kit::check::<ApprovalLoad>(ledger.entries())?;
    println!("{} of {} entries changed the state; every law holds", checked.changes, checked.entries);

    // Every entry is verified and judged on its way in, so what comes out rests on no one's word.
    let mut runner = Runner::over(Registry::new().with::<ApprovalLoad>()?);
    for entry in ledger.entries() {
        runner.replay(entry.clone())?;
    }
    let load = runner.view::<ApprovalLoad>()?;
    println!("after {} entries:", load.head().size);
    for ((owner, month), (approvals, seconds)) in &load.0 {
        println!("  {month}  {owner}  {approvals} approved, {} s open on average", seconds / approvals);
    }

    // Signed by the recorder, kept beside the entries: the next start folds only what came after.
    for snapshot in runner.snapshots(&Playground::recorder_key())? {
        let header = snapshot.header();
        println!("snapshot of {}: {} bytes, SHA-256 {}", header.name(), header.length(), header.digest());
    }
    Ok(())
}
