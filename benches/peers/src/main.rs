//! countersign beside decern-ledger, Cedar and the bare disk, interleaved in one run.
//!
//! ```text
//! cargo run --release --manifest-path benches/peers/Cargo.toml [-- ENTRIES]
//! ```
//!
//! What is compared is not the same work, and the table says so: decern-ledger signs each record with the ledger's one key
//! and checks no author's signature; countersign verifies the author's, judges the statement by the rules, and signs checkpoints.
//! Cedar decides by policies over facts that it is handed; countersign looks up the grant, and names it. Everything is written to the directory for temporary files: put that on a disk, not in memory.

mod checks;

use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use countersign_audit::{LedgerFile, Options};
use countersign_core::entry::Entry;
use countersign_core::event::{AccessRequested, Hold, Tier};
use countersign_core::id::{Process, Resource, Role};
use countersign_core::key::PublicKey;
use countersign_core::statement::SignedStatement;
use countersign_core::time::{Seconds, Timestamp};
use countersign_core::wire::Text;
use countersign_ledger::testing::{Founded, ManualClock};
use countersign_ledger::{Author, Ledger};
use countersign_store::{FileStore, MemoryStore, Store, jsonl};

type BoxError = Box<dyn Error + Send + Sync>;

const ROUNDS: usize = 5;
const BATCH: usize = 64;
const RESOURCE: &str = "db:books";

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let entries = std::env::args().nth(1).map_or(Ok(50_000), |count| count.parse())?;
    let dir = std::env::temp_dir().join(format!("countersign-peers-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    let done = compare(&dir, entries).await;
    fs::remove_dir_all(&dir)?;
    done
}

async fn compare(dir: &Path, entries: usize) -> Result<(), BoxError> {
    for (submitters, appends) in [(BATCH, 40), (1, 200)] {
        append(dir, submitters, appends).await?;
    }
    verify(dir, entries).await?;
    checks::compare().await
}

/// Appends that are durable when they return, `submitters` at a time.
async fn append(dir: &Path, submitters: usize, appends: usize) -> Result<(), BoxError> {
    let count = submitters * appends;
    let (mut ours, mut theirs, mut raw) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let place = |name: &str| dir.join(format!("{name}-{submitters}-{round}"));
        let (founded, statements) = prepared(Arc::new(FileStore::open(place("ours"))?), count).await?;
        let start = Instant::now();
        submit_all(&founded.ledger, statements, submitters).await?;
        ours.push(start.elapsed());
        founded.ledger.close().await?;
        let lines = last_lines(&*founded.store, count).await?;

        let key = decern_crypto::SigningKey::from_bytes(&[7; 32]);
        let mut ledger = decern_ledger::Ledger::open(&place("theirs"), key)?;
        ledger.set_sync(true);
        let records: Vec<_> = (0..count).map(record).collect();
        let start = Instant::now();
        for chunk in records.chunks(submitters) {
            ledger.append_all(chunk.to_vec())?;
        }
        theirs.push(start.elapsed());

        let mut file = OpenOptions::new().append(true).create(true).open(place("raw"))?;
        let start = Instant::now();
        for chunk in lines.chunks(submitters) {
            write_durably(&mut file, chunk)?;
        }
        raw.push(start.elapsed());
    }
    println!("append, {submitters} at a time, {count} entries, durable, median of {ROUNDS}:");
    let raw = median(raw);
    for (name, time) in [
        ("countersign: verified, judged, chained", median(ours)),
        ("decern-ledger: signed, chained", median(theirs)),
        ("write and fdatasync of the same lines", raw),
    ] {
        let each = time.as_secs_f64() * 1e6 / count as f64;
        println!(
            "  {name:<42} {each:>9.1} us an entry   {:>5.2} x raw rate",
            raw.as_secs_f64() / time.as_secs_f64()
        );
    }
    Ok(())
}

fn write_durably(file: &mut File, lines: &[Vec<u8>]) -> Result<(), BoxError> {
    file.write_all(&lines.concat())?;
    Ok(file.sync_data()?)
}

/// Verification of a whole ledger that lies in one file.
async fn verify(dir: &Path, entries: usize) -> Result<(), BoxError> {
    let path = dir.join("ours.jsonl");
    let (founded, statements) = prepared(MemoryStore::new(), entries).await?;
    submit_all(&founded.ledger, statements, BATCH).await?;
    founded.ledger.close().await?;
    jsonl::save(&founded.store, &path)?;
    let view = founded.ledger.current();
    let stored = founded.store.entries_now();
    let signed: Vec<(Vec<u8>, Vec<(PublicKey, _)>)> = stored
        .into_iter()
        .map(|bytes| {
            let entry = Entry::parse(bytes)?;
            let key = |id: &_| view.state().public_key(id).ok_or("a key of the ledger");
            let parts = entry.signed().signatures().iter();
            let parts =
                parts.map(|part| Ok((key(&part.keyid)?, part.sig))).collect::<Result<_, BoxError>>()?;
            Ok((entry.signed().signed_bytes(), parts))
        })
        .collect::<Result<_, BoxError>>()?;

    let other = dir.join("theirs");
    let key = decern_crypto::SigningKey::from_bytes(&[7; 32]);
    let public = key.verifying_key();
    decern_ledger::Ledger::open(&other, key)?.append_all((0..entries).map(record).collect())?;

    let (mut ours, mut theirs, mut strict) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let report = countersign_audit::verify(&mut LedgerFile::open(&path)?, &Options::default())?;
        ours.push(start.elapsed());
        assert!(report.is_verified(), "{report}");

        let start = Instant::now();
        let report = decern_ledger::verify(&other, Some(&public))?;
        theirs.push(start.elapsed());
        assert!(report.signatures_checked && report.entries == entries as u64);

        let start = Instant::now();
        for (message, parts) in &signed {
            for (key, signature) in parts {
                assert!(key.verify_strict(message, signature).is_ok());
            }
        }
        strict.push(start.elapsed());
    }
    println!("verify, {entries} entries, median of {ROUNDS}:");
    let strict = median(strict);
    for (name, time) in [
        ("countersign: every rule again, all cores", median(ours)),
        ("decern-ledger: chain and its signatures", median(theirs)),
        ("strict signatures alone, one core", strict),
    ] {
        let each = time.as_secs_f64() * 1e6 / entries as f64;
        println!(
            "  {name:<42} {each:>9.1} us an entry   {:>5.2} x strict",
            strict.as_secs_f64() / time.as_secs_f64()
        );
    }
    Ok(())
}

/// A founded ledger with a policy, and requests for it, one signature each.
async fn prepared<S: Store + Clone>(
    store: S,
    count: usize,
) -> Result<(Founded<S>, Vec<SignedStatement>), BoxError> {
    let founded = Founded::found(store, ManualClock::new(at()?), |recorder| recorder).await?;
    let mut requesters = Vec::new();
    // A person has at most 4,096 open requests.
    for number in 0..=count / 4_000 {
        requesters.push(founded.enrol(&format!("user:requester-{number}")).await?);
    }
    founded.let_owners_decide(RESOURCE).await?;
    let role = Role::new("reader")?;
    let statements =
        (0..count).map(|number| request(&requesters[number / 4_000], &role)).collect::<Result<_, _>>()?;
    Ok((founded, statements))
}

fn at() -> Result<Timestamp, BoxError> {
    Ok("2026-01-05T09:00:00.000Z".parse()?)
}

fn request(author: &Author, role: &Role) -> Result<SignedStatement, BoxError> {
    let requested = AccessRequested {
        ends_on: Default::default(),
        expires: None,
        hold: Hold::Seconds(Seconds::new(3_600).ok_or("a duration")?),
        need: Text::new("the books have to be closed")?,
        purpose: Process::new("billing/month-end")?,
        replaces: None,
        resource: Resource::new(RESOURCE)?,
        role: role.clone(),
        subject: author.principal().clone(),
        tier: Tier::Medium,
    };
    Ok(author.state(requested).unseen().sign()?)
}

/// Submits all of them, each submitter one after the other.
async fn submit_all<S: Store>(
    ledger: &Ledger<S>,
    statements: Vec<SignedStatement>,
    submitters: usize,
) -> Result<(), BoxError> {
    let queue = Arc::new(Mutex::new(statements.into_iter()));
    let submit = |_| {
        let (queue, ledger) = (queue.clone(), ledger.clone());
        tokio::spawn(async move {
            loop {
                let next = queue.lock().map_err(|_| "a submitter panicked")?.next();
                let Some(statement) = next else { return Ok::<(), BoxError>(()) };
                ledger.submit(statement).await?;
            }
        })
    };
    let tasks: Vec<_> = (0..submitters).map(submit).collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}

/// The last `count` entries as lines.
async fn last_lines(store: &impl Store, count: usize) -> Result<Vec<Vec<u8>>, BoxError> {
    let size = store.head().await?.size;
    let mut lines = Vec::new();
    while lines.len() < count {
        let from = size - (count - lines.len()) as u64;
        for entry in store.read(from, count).await? {
            lines.push([&entry[..], b"\n"].concat());
        }
    }
    Ok(lines)
}

/// What decern-ledger records of a like request.
fn record(number: usize) -> decern_ledger::Entry {
    decern_ledger::Entry {
        ts_ms: 1_767_603_600_000,
        subject_type: "user".into(),
        subject_id: format!("requester-{}", number / 4_000),
        action: "reader".into(),
        resource_type: "db".into(),
        resource_id: "books".into(),
        context: serde_json::json!({"need": "the books have to be closed", "purpose": "billing/month-end"}),
        decision: true,
        reasons: vec!["the policy allows it".into()],
        ..Default::default()
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
