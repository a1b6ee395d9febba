//! What a ledger on a file store costs: many submitters, one submitter, opening, and an entry at growing sizes.
//!
//! `cargo bench -p countersign-ledger --all-features --bench ledger [-- PART [COUNT] [--keep=DIR]]`, where PART is `many` (COUNT rounds,
//! at most 7), `one` (COUNT statements), `open` (COUNT grants) or `sizes` (up to COUNT entries); without it all of them at small
//! counts. Everything is measured beside what it is compared with, in turns; figures are medians. With `--keep` the ledger of `open`
//! and `sizes` stays in DIR; `open` uses the one that is there, since writing millions of entries takes minutes.

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
use countersign_core::time::Seconds;
use countersign_ledger::testing::{ManualClock, recorder};
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
    let kept = arguments.iter().find_map(|argument| argument.strip_prefix("--keep=")).map(Path::new);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let is_wanted = |name| part.is_none_or(|part| part == name);
    if is_wanted("many") {
        runtime.block_on(many(count(7)));
    }
    if is_wanted("one") {
        runtime.block_on(one(count(300)));
    }
    if is_wanted("open") {
        runtime.block_on(open(count(5_000), kept));
    }
    if is_wanted("sizes") {
        runtime.block_on(sizes(count(20_000), kept));
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

/// Subjects have ten grants each, on as many resources as a tenth of the subjects.
const EACH_SUBJECT: u64 = 10;

fn subject(number: u64) -> Principal {
    Principal::new(&format!("user:person-{number}")).unwrap()
}

fn resource(number: u64) -> Resource {
    Resource::new(&format!("app:unit-{}/service-{number}", number % 100)).unwrap()
}

/// A company with so many active grants, in a folder that may be there from another run.
async fn granted(path: &Path, grants: u64) {
    let store = FileStore::open(path).unwrap();
    let subjects = grants.div_ceil(EACH_SUBJECT);
    let resources = subjects.div_ceil(10);
    let company = Company::prepared(
        store,
        |recorder| recorder.snapshot_entries(None),
        async |founded| {
            let registered = (0..subjects).map(|number| {
                Event::from(PrincipalRegistered {
                    controllers: Default::default(),
                    kind: PrincipalKind::Human,
                    person: Some(Person::new(&format!("person:{number}")).unwrap()),
                    principal: subject(number),
                })
            });
            let known = (0..resources).map(|number| {
                Event::from(ResourceRegistered {
                    environment: None,
                    governed_by: None,
                    process: None,
                    resource: resource(number),
                    tier: Tier::Medium,
                })
            });
            let [ada, ben] = &founded.governors;
            let mut events = registered.chain(known).peekable();
            while events.peek().is_some() {
                let head = founded.ledger.head();
                let signed = events.by_ref().take(512);
                let signed =
                    signed.map(|event| ada.state(event).seen(head).cosigned_by([ben]).sign().unwrap());
                for receipt in founded.ledger.submit_all(signed.collect()).await {
                    receipt.unwrap();
                }
            }
        },
    )
    .await;
    let ledger = &company.founded.ledger;
    for wave in 0..grants.div_ceil(512) {
        let head = ledger.head();
        let requests: Vec<_> = (wave * 512..grants.min((wave + 1) * 512))
            .map(|number| {
                let asked = AccessRequested {
                    hold: Hold::Seconds(Seconds::new(86_400).unwrap()),
                    resource: resource(number % resources),
                    role: Role::new(&format!("role-{}", number / resources)).unwrap(),
                    subject: subject(number / EACH_SUBJECT),
                    ..ask()
                };
                company.alice.state(asked).seen(head).sign().unwrap()
            })
            .collect();
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
    ledger.close().await.unwrap();
}

/// Opening with so many active grants, beside reading and hashing the snapshots, and beside judging every entry.
async fn open(grants: u64, kept: Option<&Path>) {
    let folder = Folder::new("open");
    let path = kept.map_or_else(|| folder.at("ledger"), Path::to_path_buf);
    if !path.exists() {
        granted(&path, grants).await;
    }
    let clock = ManualClock::new(start());
    let files: Vec<_> = walk(&path.join("snapshots"));
    let bytes: u64 = files.iter().map(|file| std::fs::metadata(file).unwrap().len()).sum();
    let (mut opened, mut hashed, mut stores) = (Vec::new(), Vec::new(), Vec::new());
    let mut entries = 0;
    for _ in 0..7 {
        let started = Instant::now();
        for file in &files {
            std::hint::black_box(Sha256::digest(std::fs::read(file).unwrap()));
        }
        hashed.push(started.elapsed());
        let (store, ledger, from) = opening(&path, recorder(&clock)).await;
        assert!(from > 0, "opened from snapshots");
        entries = from;
        stores.push(store);
        opened.push(ledger);
    }
    // Judging millions of entries again takes long, and no longer an entry than judging thousands.
    let whole = match entries {
        ..=100_000 => Some(opening(&path, recorder(&clock).from_genesis()).await.1),
        _ => None,
    };
    let (opened, hashed, store) = (median(opened), median(hashed), median(stores));
    println!(
        "\nopening a ledger of {entries} entries and {grants} active grants; snapshot files of {bytes} bytes (ms)"
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

/// How long the store took to open, and the ledger on it; and how many entries the snapshots were over.
async fn opening(path: &Path, recorder: Recorder) -> (Duration, Duration, u64) {
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
    let from = ledger.opened().from.size;
    ledger.close().await.unwrap();
    (opened_store, took, from)
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

/// What an entry costs as the ledger grows, in strict checks of the same statements, and what a check does.
async fn sizes(entries: u64, kept: Option<&Path>) {
    let folder = Folder::new("sizes");
    let company = company(kept.unwrap_or(&folder.at("ledger"))).await;
    let ledger = &company.founded.ledger;
    let known = |_: &_| Some(company.alice.public_key());
    let request = company.request().await.statement;
    company.approve(request).await;
    let grant = ledger.current().state().propose_grant(&request, start()).unwrap();
    ledger.submit(company.iam.state(grant).seen(ledger.head()).sign().unwrap()).await.unwrap();
    let mut at = 10_000;
    println!(
        "\nan entry at so many entries, 64 submitted together (in strict checks of the same statement), and a check"
    );
    while at <= entries {
        let (mut recorded, mut checked) = (Vec::new(), Vec::new());
        while ledger.head().size < at {
            // Syncs are few on the way. What is asked for is withdrawn, so that the state stays as large as it is.
            let is_near = ledger.head().size + 6_400 > at;
            let together = if is_near { 64 } else { 512 };
            let asked: Vec<_> = (0..together).map(|number| asked(&company, number)).collect();
            let withdrawn: Vec<_> = asked
                .iter()
                .map(|asked| {
                    let withdrawn =
                        AccessWithdrawn { statement: asked.digest(), reason: Some(text("not needed")) };
                    company.alice.state(withdrawn).seen(ledger.head()).sign().unwrap()
                })
                .collect();
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
            "  {at:>9}  {:.2}  ({:.1} us beside {:.1} us), {:.0} ns a check",
            ratio(recorded, checked),
            micros(recorded),
            micros(checked),
            micros(looked_up(&company)) * 1e3
        );
        at *= 10;
    }
    ledger.checkpoint().await.unwrap();
    ledger.close().await.unwrap();
}

/// How long a check takes, of the grant that Alice has.
fn looked_up(company: &Company<FileStore>) -> Duration {
    let (alice, books, reader) = (ask().subject, ask().resource, ask().role);
    let rounds = (0..101).map(|_| {
        let started = Instant::now();
        for _ in 0..1_000 {
            let question = Check::new(&alice, &books, &reader);
            assert!(std::hint::black_box(company.founded.ledger.check(&question)).unwrap().is_allowed());
        }
        started.elapsed() / 1_000
    });
    median(rounds.collect())
}
