//! Two ledgers of one company that keep each other's checkpoints, so that whoever runs one of them can not rewrite it alone.
//!
//! Run it with `cargo run --release --example anchored_ledgers`; with `-- --ledgers DIR` behind it both ledgers stay there.
//! What it costs, and how ledgers are divided, is in docs/growing.md.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use countersign::audit::{CheckpointFile, LedgerDir, Options, Report, verify};
use countersign::core::event::*;
use countersign::core::id::*;
use countersign::core::note::SignedNote;
use countersign::core::policy::PolicyDocument;
use countersign::core::scan::MAX_STATEMENT_DEPTH;
use countersign::core::wire::{RawObject, decode};
use countersign::ledger::testing::{Founded, ManualClock, genesis, recorder};
use countersign::ledger::{Author, Ledger, Receipt};
use countersign::store::{Durability, FileStore};

/// Who may state which checkpoints were seen elsewhere.
const POLICY: &str = r#"{"custom":[{"capacities":["auditor"],"namespace":"acme.example/anchors"}],"paths":[{"distinct_persons":true,"name":"owner","path":{"capacity":"business_owner"}}],"summary":{"text":"Checkpoints of other ledgers are kept here"},"tiers":[{"max_seconds":28800,"tier":"high"}]}"#;

/// One division's ledger, and the service that keeps the checkpoints of others in it.
struct Division {
    founded: Founded<FileStore>,
    keeper: Author,
}

impl Division {
    async fn found(name: &str, path: &Path) -> Result<Self, Box<dyn Error>> {
        let clock = ManualClock::new("2026-01-05T09:00:00.000Z".parse()?);
        let (genesis, authors) = genesis(name, &clock);
        let store = FileStore::open(path)?;
        let recording = recorder(&clock).accepting(Durability::LocalSync);
        let (ledger, _) = Ledger::create(store.clone(), recording, genesis).await?;
        let id = ledger.ledger_id().ok_or("genesis was recorded")?;
        let [ada, ben, recorder] = authors.map(|author| author.joined(id.clone()));
        let founded = Founded { ledger, store, clock, governors: [ada, ben], recorder };
        let keeper = founded.enrol("automation:keeper").await?;
        founded.assign(Capacity::Auditor, &keeper).await?;
        let document: PolicyDocument = decode(POLICY.as_bytes(), MAX_STATEMENT_DEPTH)?;
        let (name, scope) = (Label::new("anchors")?, Scope::everything());
        founded.govern(PolicyPublished { document, from: None, name, scope }).await?;
        Ok(Self { founded, keeper })
    }

    /// Signs a checkpoint over all entries, which commits the division to them.
    async fn checkpoint(&self) -> Result<SignedNote, Box<dyn Error>> {
        Ok(self.founded.ledger.checkpoint().await?)
    }

    /// Records a checkpoint of another ledger. The statement is signed, chained and covered by this ledger's next checkpoint.
    async fn keep(&self, checkpoint: &SignedNote) -> Result<Receipt, Box<dyn Error>> {
        let data = serde_json::json!({ "checkpoint": checkpoint.to_string() });
        let seen = Custom {
            data: RawObject::new(&data.to_string())?,
            name: Label::new("checkpoint-seen")?,
            namespace: Namespace::new("acme.example/anchors")?,
        };
        Ok(self.founded.ledger.submit(self.keeper.state(seen).sign()?).await?)
    }

    /// Any work: an entry a day.
    async fn work(&self, days: std::ops::Range<u64>) -> Result<(), Box<dyn Error>> {
        for day in days {
            self.founded.clock.advance(Duration::from_secs(86_400));
            let data = RawObject::new(&format!("{{\"day\":{day}}}"))?;
            let (name, namespace) = (Label::new("report")?, Namespace::new("acme.example/anchors")?);
            let report = Custom { data, name, namespace };
            self.founded.ledger.submit(self.keeper.state(report).sign()?).await?;
        }
        Ok(())
    }

    /// Signs a last checkpoint, and closes.
    async fn close(self) -> Result<(), Box<dyn Error>> {
        self.founded.ledger.close().await?;
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let kept = match &arguments[..] {
        [] => None,
        [option, path] if option == "--ledgers" => Some(PathBuf::from(path)),
        _ => return Err("usage: anchored_ledgers [--ledgers DIR]".into()),
    };
    if let Some(path) = kept.as_ref().filter(|path| path.exists()) {
        return Err(format!("{} exists already", path.display()).into());
    }
    let temporary = || std::env::temp_dir().join(format!("countersign-anchored-{}", std::process::id()));
    let folder = kept.clone().unwrap_or_else(temporary);
    std::fs::create_dir_all(&folder)?;

    // Each division records by itself, and shows the other a few hundred bytes from time to time.
    let north = Division::found("acme/north", &folder.join("north")).await?;
    let south = Division::found("acme/south", &folder.join("south")).await?;
    north.work(1..4).await?;
    south.work(1..3).await?;
    let of_north = north.checkpoint().await?;
    let receipt = south.keep(&of_north).await?;
    println!("anchored   north's first {} entries, by entry {} of south", size(&of_north)?, receipt.seq);
    let of_south = south.checkpoint().await?;
    let receipt = north.keep(&of_south).await?;
    println!("anchored   south's first {} entries, by entry {} of north", size(&of_south)?, receipt.seq);
    north.work(4..5).await?;
    let checkpoint = north.checkpoint().await?;
    println!("north      {} entries, all covered by its own newest checkpoint", size(&checkpoint)?);

    // North's governors and its recorder, all of them together, tell another story of the same length.
    north.close().await?;
    south.close().await?;
    let told = Division::found("acme/north", &folder.join("told")).await?;
    told.work(11..16).await?;
    told.close().await?;
    let alone = check(&folder.join("told"), None)?;
    println!(
        "rewritten  by its own checkpoint it is {}: {} entries, every signature good",
        alone.verdict, alone.entries
    );

    // Whoever has both ledgers takes the checkpoint out of south, and holds it against what north shows.
    let witness = anchored_in(&folder.join("south"))?.ok_or("south kept one")?;
    let held = check(&folder.join("told"), Some(witness.clone()))?;
    let fault = held.fault.ok_or("a rewritten history does not hold")?;
    println!("caught     by what south kept: {}: {}", fault.code, fault.detail);
    let honest = check(&folder.join("north"), Some(witness))?;
    println!("honest     what north really recorded is {} against it", honest.verdict);
    if kept.is_none() {
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(())
}

fn size(note: &SignedNote) -> Result<u64, Box<dyn Error>> {
    let size = note.untrusted_text().lines().nth(1).ok_or("its size is the second line")?;
    Ok(size.parse()?)
}

/// Verifies a ledger, against a checkpoint from elsewhere where there is one.
fn check(path: &Path, witness: Option<CheckpointFile>) -> Result<Report, Box<dyn Error>> {
    let options = Options { checkpoints: witness.into_iter().collect(), ..Options::default() };
    Ok(verify(&mut LedgerDir::open(path)?, &options)?)
}

/// The newest checkpoint that a ledger keeps for others, of a ledger that is verified first.
fn anchored_in(path: &Path) -> Result<Option<CheckpointFile>, Box<dyn Error>> {
    let mut newest = None;
    let report = countersign::audit::verify_with(
        &mut LedgerDir::open(path)?,
        &Options::default(),
        |entry, _| {
            if let Event::Custom(seen) = &entry.entry().statement().event
                && seen.name.as_str() == "checkpoint-seen"
            {
                newest = serde_json::from_str::<serde_json::Value>(seen.data.as_str())
                    .ok()
                    .and_then(|data| Some(data.get("checkpoint")?.as_str()?.as_bytes().to_vec()));
            }
        },
        |_| {},
    )?;
    if let Some(fault) = report.fault {
        return Err(format!("{}: {}", fault.code, fault.detail).into());
    }
    Ok(newest.map(|bytes| CheckpointFile { name: "the checkpoint that south keeps".into(), bytes }))
}
