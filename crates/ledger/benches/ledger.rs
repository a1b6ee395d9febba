//! What a ledger on a file store costs: many submitters, one submitter, opening, and an entry at growing sizes.
//!
//! `cargo bench -p countersign-ledger --all-features --bench ledger [-- PART [COUNT]]`, where PART is `many` (COUNT rounds, at
//! most 7), `one` (COUNT statements), `open` (COUNT grants) or `sizes` (up to COUNT entries); without it all of them at small
//! counts. Everything is measured beside what it is compared with, in turns; figures are medians.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a bench measures time, and may fail where it stands"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use countersign_core::entry::{Entry, Head};
use countersign_core::event::*;
use countersign_core::id::*;
use countersign_core::key::PublicKey;
use countersign_core::merkle::leaf_hash;
use countersign_core::statement::SignedStatement;
use countersign_ledger::testing::recorder;
use countersign_ledger::*;
use countersign_store::*;
use sha2::{Digest as _, Sha256};
use support::*;

const SUBMITTERS: usize = 64;
const EACH: usize = 8;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let count = |default: u64| arguments.get(1).map_or(default, |count| count.parse().expect("a number"));
    let part = arguments.first().map(String::as_str);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let is_wanted = |name| part.is_none_or(|part| part == name);
    if is_wanted("many") {
        runtime.block_on(many(count(7)));
    }
    if is_wanted("one") {
        runtime.block_on(one(count(300)));
    }
    if is_wanted("open") {
        runtime.block_on(open(count(5_000)));
    }
    if is_wanted("sizes") {
        runtime.block_on(sizes(count(20_000)));
    }
}

/// A folder that goes with the bench.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("countersign-bench-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn company(path: &Path) -> Company<FileStore> {
    let store = FileStore::open(path).unwrap();
    Company::in_store(store, |recorder| recorder.snapshot_entries(None)).await
}

fn asked(company: &Company<FileStore>, number: u64) -> SignedStatement {
    let role = Role::new(&format!("role-{number}")).unwrap();
    // Who asks for days saw what was recorded meanwhile.
    let head = company.founded.ledger.head();
    company.alice.state(AccessRequested { role, ..ask() }).seen(head).sign().unwrap()
}

/// What any recorder has to do, on one thread: check each signature strictly, seal behind the last entry, write, sync.
struct Serial {
    file: File,
    head: Head,
    known: Vec<PublicKey>,
}

impl Serial {
    fn new(path: &Path, company: &Company<FileStore>) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        Self { file, head: Head::EMPTY, known: vec![company.alice.public_key()] }
    }

    fn record(&mut self, statements: &[SignedStatement]) {
        let mut lines = Vec::new();
        for signed in statements {
            let known = |id: &_| self.known.iter().find(|key| key.key_id() == *id).copied();
            let verified = signed.clone().verify(known).unwrap();
            let entry = Entry::seal(self.head, start(), verified.signed()).unwrap();
            assert_eq!(leaf_hash(entry.bytes()), entry.leaf());
            self.head = entry.head();
            lines.extend_from_slice(entry.bytes());
            lines.push(b'\n');
        }
        self.file.write_all(&lines).unwrap();
        self.file.sync_data().unwrap();
    }
}

/// Processor time of all threads so far, to 10 ms, where the system tells it (Linux): what a busy machine changes less.
fn processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<u64> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse().ok())
        .collect();
    Duration::from_millis(fields.iter().sum::<u64>() * 10)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// 64 submitters at once, beside one thread that does the same work in batches of 64, and one that syncs each.
async fn many(rounds: u64) {
    let folder = Folder::new("many");
    let company = company(&folder.at("ledger")).await;
    let mut serial = Serial::new(&folder.at("serial"), &company);
    let (mut ledger, mut batched, mut each) = (Vec::new(), Vec::new(), Vec::new());
    let total = SUBMITTERS * EACH;
    let mut number = 0;
    let (mut spent, mut spent_serially) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..rounds {
        let statements: Vec<_> = (0..total)
            .map(|_| {
                number += 1;
                asked(&company, number)
            })
            .collect();
        let (started, before) = (Instant::now(), processor());
        statements.chunks(SUBMITTERS).for_each(|batch| serial.record(batch));
        batched.push(started.elapsed() / total as u32);
        spent_serially += processor() - before;
        let started = Instant::now();
        statements[..SUBMITTERS].iter().for_each(|one| serial.record(std::slice::from_ref(one)));
        each.push(started.elapsed() / SUBMITTERS as u32);
        let (started, before) = (Instant::now(), processor());
        // Serials of one key may come in any order within the window of 1,024.
        let submitting: Vec<_> = (0..SUBMITTERS)
            .map(|nth| {
                let ledger = company.founded.ledger.clone();
                let own: Vec<_> = statements.iter().skip(nth).step_by(SUBMITTERS).cloned().collect();
                tokio::spawn(async move {
                    for signed in own {
                        ledger.submit(signed).await.unwrap();
                    }
                })
            })
            .collect();
        for submitted in submitting {
            submitted.await.unwrap();
        }
        ledger.push(started.elapsed() / total as u32);
        spent += processor() - before;
    }
    let all = total as u32 * rounds as u32;
    let (ledger, batched, each) = (median(ledger), median(batched), median(each));
    println!("\n{SUBMITTERS} submitters, {EACH} statements each, {rounds} rounds (us a statement)");
    println!("  {:>9.1}  the ledger, durable", micros(ledger));
    println!(
        "  {:>9.1}  one thread, 64 a sync: the ledger is {:.2}x as fast",
        micros(batched),
        ratio(batched, ledger)
    );
    println!(
        "  {:>9.1}  one thread, each synced: the ledger is {:.1}x as fast",
        micros(each),
        ratio(each, ledger)
    );
    println!(
        "  processor time: {:.1} the ledger, {:.1} one thread: {:.2}x of it",
        micros(spent / all),
        micros(spent_serially / all),
        ratio(spent, spent_serially)
    );
}

fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}

/// One submitter, beside one strict check and one sync.
async fn one(count: u64) {
    let folder = Folder::new("one");
    let company = company(&folder.at("ledger")).await;
    let mut serial = Serial::new(&folder.at("serial"), &company);
    let (mut ledger, mut bare) = (Vec::new(), Vec::new());
    for number in 0..count {
        let signed = asked(&company, number);
        let started = Instant::now();
        serial.record(std::slice::from_ref(&signed));
        bare.push(started.elapsed());
        let started = Instant::now();
        company.founded.ledger.submit(signed).await.unwrap();
        ledger.push(started.elapsed());
    }
    let (ledger, bare) = (median(ledger), median(bare));
    println!("\none submitter, {count} statements (us, p50)");
    println!("  {:>9.1}  the ledger, durable", micros(ledger));
    println!("  {:>9.1}  one strict check and one sync: {:.2}x of it", micros(bare), ratio(ledger, bare));
}

/// Opening with so many active grants, beside reading and hashing the snapshots, and beside judging every entry.
async fn open(grants: u64) {
    let folder = Folder::new("open");
    let path = folder.at("ledger");
    let company = company(&path).await;
    let ledger = &company.founded.ledger;
    for wave in 0..grants.div_ceil(512) {
        let requests: Vec<_> =
            (wave * 512..grants.min((wave + 1) * 512)).map(|no| asked(&company, no)).collect();
        let receipts = ledger.submit_all(requests).await;
        let requests: Vec<_> = receipts.into_iter().map(|receipt| receipt.unwrap().statement).collect();
        let approvals = requests.iter().map(|request| company.approval(*request)).collect();
        for receipt in ledger.submit_all(approvals).await {
            receipt.unwrap();
        }
        let view = ledger.current();
        let proposed = requests.iter().map(|request| view.state().propose_grant(request, start()).unwrap());
        let granted = proposed.map(|event| company.iam.state(event).seen(view.head()).sign().unwrap());
        for receipt in ledger.submit_all(granted.collect()).await {
            receipt.unwrap();
        }
    }
    ledger.snapshot().await.unwrap();
    let (entries, bytes) = (ledger.head().size, ledger.snapshot_status().bytes);
    let clock = company.founded.clock.clone();
    ledger.close().await.unwrap();
    drop(company);
    let files: Vec<_> = walk(&path.join("snapshots"));
    let (mut opened, mut hashed, mut stores) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..7 {
        let started = Instant::now();
        for file in &files {
            std::hint::black_box(Sha256::digest(std::fs::read(file).unwrap()));
        }
        hashed.push(started.elapsed());
        let (store, ledger) = opening(&path, recorder(&clock), entries).await;
        stores.push(store);
        opened.push(ledger);
    }
    // Judging millions of entries again takes long, and no longer an entry than judging thousands.
    let whole = match entries {
        ..=100_000 => Some(opening(&path, recorder(&clock).from_genesis(), 0).await.1),
        _ => None,
    };
    let (opened, hashed, store) = (median(opened), median(hashed), median(stores));
    println!(
        "\nopening a ledger of {entries} entries and {grants} active grants; snapshots of {bytes} bytes (ms)"
    );
    println!("  {:>9.2}  opened from snapshots", micros(opened) / 1e3);
    println!("  {:>9.2}  the store itself, before that", micros(store) / 1e3);
    println!(
        "  {:>9.2}  read + SHA-256 of the snapshot files: {:.1}x of it",
        micros(hashed) / 1e3,
        ratio(opened, hashed)
    );
    if let Some(whole) = whole {
        println!("  {:>9.2}  opened from genesis: {:.1}x as long", micros(whole) / 1e3, ratio(whole, opened));
    }
}

/// How long the store took to open, and the ledger on it.
async fn opening(path: &Path, recorder: Recorder, from: u64) -> (Duration, Duration) {
    let waiting = Instant::now();
    let (store, opened_store) = loop {
        let started = Instant::now();
        // The handle before is closed, and its thread about to end.
        match FileStore::open(path) {
            Ok(store) => break (store, started.elapsed()),
            Err(_) if waiting.elapsed() < Duration::from_secs(20) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    };
    let started = Instant::now();
    let ledger = Ledger::open(store, recorder.snapshot_entries(None)).await.unwrap();
    let took = started.elapsed();
    assert_eq!(ledger.opened().from.size, from);
    ledger.close().await.unwrap();
    (opened_store, took)
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for item in std::fs::read_dir(folder).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() {
            files.extend(walk(&path));
        } else {
            files.push(path);
        }
    }
    files
}

/// What an entry costs as the ledger grows, in strict checks of the same statements.
async fn sizes(entries: u64) {
    let folder = Folder::new("sizes");
    let company = company(&folder.at("ledger")).await;
    let ledger = &company.founded.ledger;
    let known = |_: &_| Some(company.alice.public_key());
    let mut at = 10_000;
    println!("\nan entry at so many entries, 64 submitted together (in strict checks of the same statement)");
    while at <= entries {
        let (mut recorded, mut checked) = (Vec::new(), Vec::new());
        while ledger.head().size < at {
            // What is asked for is withdrawn, so that the state stays as large as it is.
            let asked: Vec<_> = (0..64).map(|number| asked(&company, number)).collect();
            let withdrawn: Vec<_> = asked
                .iter()
                .map(|asked| {
                    let withdrawn =
                        AccessWithdrawn { statement: asked.digest(), reason: Some(text("not needed")) };
                    company.alice.state(withdrawn).seen(ledger.head()).sign().unwrap()
                })
                .collect();
            let is_near = ledger.head().size + 6_400 > at;
            if is_near {
                let started = Instant::now();
                for signed in &asked {
                    std::hint::black_box(signed.clone().verify(known).unwrap());
                }
                checked.push(started.elapsed() / 64);
            }
            let started = Instant::now();
            for receipt in ledger.submit_all(asked).await {
                receipt.unwrap();
            }
            let took = started.elapsed() / 64;
            if is_near {
                recorded.push(took);
            }
            for receipt in ledger.submit_all(withdrawn).await {
                receipt.unwrap();
            }
        }
        let (recorded, checked) = (median(recorded), median(checked));
        println!(
            "  {at:>9}  {:.2}  ({:.1} us beside {:.1} us)",
            ratio(recorded, checked),
            micros(recorded),
            micros(checked)
        );
        at *= 10;
    }
}
