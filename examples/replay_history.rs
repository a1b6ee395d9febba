//! Replays a real access history as signed statements, through the public API that a service uses.
//!
//! ```text
//! cargo run --release --example replay_history -- --changes changes.jsonl --owners owners.jsonl --ledger k8s.ledger
//! ```
//!
//! Recorded times are the history's. Keys are derived from names: the ledger shows what the history says, and proves nothing.

#[path = "replay_history/mod.rs"]
mod replay_history;

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use countersign::projection::governance::Refusal;
use countersign::store::{MemoryStore, Store};
use countersign::stores::{self, Address};
use indicatif::{ProgressBar, ProgressStyle};
use replay_history::driver::Pace;
use replay_history::plan::Step;
use replay_history::{BoxError, Tally, driver, history};

const USAGE: &str = "usage: replay_history --changes FILE [--owners FILE] (--ledger ADDRESS | --out FILE.jsonl)

Replays an access history as signed statements.

  --changes FILE  the events (tests/history/README.md tells their shape)
  --owners FILE   which scope governs an org or team; without it that of its org
  --ledger WHERE  a new ledger, durable while it is written: DIR, or an address like sqlite:FILE#NAME
  --out FILE      one JSON-lines file, written at the end with its checkpoint beside it; a ledger of the same history is
                  continued, any other is left alone";

/// How many refusals are printed one by one.
const SHOWN: u32 = 20;

struct Args {
    changes: PathBuf,
    owners: Option<PathBuf>,
    into: Into,
}

/// Where the ledger goes.
enum Into {
    Store(Address),
    File(PathBuf),
}

impl fmt::Display for Into {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(address) => address.fmt(f),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

impl Args {
    fn parse(mut args: impl Iterator<Item = std::ffi::OsString>) -> Option<Self> {
        let (mut changes, mut owners, mut out, mut ledger) = (None, None, None, None);
        while let Some(name) = args.next() {
            let place = match name.to_str()? {
                "--changes" => &mut changes,
                "--owners" => &mut owners,
                "--out" => &mut out,
                "--ledger" => &mut ledger,
                _ => return None,
            };
            if place.replace(PathBuf::from(args.next()?)).is_some() {
                return None;
            }
        }
        let into = match (ledger, out) {
            (Some(ledger), None) => Into::Store(Address::parse(ledger.as_os_str()).ok()?),
            (None, Some(file)) => Into::File(file),
            (Some(_), Some(_)) | (None, None) => return None,
        };
        Some(Self { changes: changes?, owners, into })
    }
}

fn main() -> ExitCode {
    let Some(args) = Args::parse(std::env::args_os().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(&args) {
        Ok(tally) if tally.refusals.is_empty() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("replay_history: {error}");
            ExitCode::from(2)
        }
    }
}

#[tokio::main(flavor = "current_thread")]
#[expect(
    clippy::disallowed_methods,
    reason = "it says how long the replay took; nothing recorded depends on it"
)]
async fn run(args: &Args) -> Result<Tally, BoxError> {
    let started = std::time::Instant::now();
    let sets = history::read(&args.changes, args.owners.as_deref())?;
    let bar = ProgressBar::new(sets.iter().map(|set| set.events.len() as u64).sum());
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} events  {msg}  {elapsed} (eta {eta})")?);
    let mut shown = 0;
    let mut done = |set: &history::ChangeSet| {
        bar.set_message(set.at.to_string()[..10].to_owned());
        bar.inc(set.events.len() as u64);
    };
    let mut refused = |set: &history::ChangeSet, step: &Step, refusal: &Refusal| {
        shown += 1;
        if shown <= SHOWN {
            bar.suspend(|| eprintln!("change {}: {refusal}\n  {step:?}", set.change));
        }
    };
    let bytes;
    let tally = match &args.into {
        Into::Store(address) => {
            let store = stores::open(address, &stores::Options::new()).await?;
            if store.head().await?.size > 0 {
                return Err(format!("{address} holds entries already").into());
            }
            let tally = driver::replay(&sets, store.clone(), Pace::InStages, &mut done, &mut refused).await?;
            bytes = size(&store).await?;
            tally
        }
        Into::File(path) => {
            let store = MemoryStore::new();
            let replayed = driver::replay(&sets, store.clone(), Pace::OneByOne, &mut done, &mut refused);
            let tally = replayed.await?;
            countersign::store::jsonl::save(&store, path)?;
            bytes = std::fs::metadata(path)?.len();
            tally
        }
    };
    bar.finish_and_clear();
    print(args, &tally, bytes, started.elapsed());
    Ok(tally)
}

/// How many bytes the entries have as lines.
async fn size(store: &impl Store) -> Result<u64, BoxError> {
    let (mut entries, mut bytes) = (0, 0);
    loop {
        let read = store.read(entries, 1_000).await?;
        if read.is_empty() {
            return Ok(bytes);
        }
        entries += read.len() as u64;
        bytes += read.iter().map(|entry| entry.len() as u64 + 1).sum::<u64>();
    }
}

fn print(args: &Args, tally: &Tally, bytes: u64, took: Duration) {
    let total: u64 = tally.statements.values().sum();
    println!("statements recorded: {total}");
    for (kind, count) in &tally.statements {
        println!("  {:<22} {count:>7}", kind.as_str());
    }
    println!("refusals: {}", tally.refusals.values().sum::<u64>());
    for (code, count) in &tally.refusals {
        println!("  {:<22} {count:>7}", code.as_str());
    }
    println!("grants by personal exception: {}", tally.exceptions);
    println!("seconds: {:.1}", took.as_secs_f64());
    println!("bytes: {bytes}");
    let place = &args.into;
    println!("ledger: {place}");
    if let Some(id) = &tally.ledger {
        println!("ledger id: {id}");
        println!("next: countersign verify {place} --ledger-id {id}");
    }
}
