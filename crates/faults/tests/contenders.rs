//! Eight recorders that contend for one ledger in PostgreSQL while they, their sessions, the network and the server are stopped, ended and
//! killed (F-11, F-16, F-21).
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use countersign_audit::LedgerBytes;
use countersign_core::digest::StatementDigest;
use countersign_core::entry::{Entry, Head};
use countersign_core::id::LedgerName;
use countersign_core::statement::SignedStatement;
use countersign_faults::crowd::{Outbox, RECORDER, genesis};
use countersign_faults::{Contenders, Folder, Said, assert_kept, count, is_soak};
use countersign_ledger::{Follow, Ledger, Recorder, ReplayError, testing};
use countersign_postgres::Options;
use countersign_store::conformance::Told;
use countersign_store::{Store as _, StoreError};
use countersign_test_postgres::{Cluster, Proxy, cluster};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

const CONTENDER: &str = env!("CARGO_BIN_EXE_fault-contender");
const SLOTS: usize = 8;
/// How often each kind of fault is tried on a ledger.
const TURNS: usize = 4;
/// So many entries are acknowledged between two faults.
const BETWEEN: usize = 30;

#[test]
fn eight_recorders_under_faults_of_every_kind_lose_nothing_and_agree_on_one_chain() {
    let name = "eight_recorders_under_faults";
    let Some(cluster) = cluster(name) else { return };
    // A ledger for each part of a long run: what one judges and keeps in memory stays small.
    let ledgers = if is_soak() { 160 } else { 3 };
    let mut all = Tally::default();
    for number in 0..ledgers {
        let folder = Folder::new(&format!("contenders-{number}"));
        all.add(contend(&cluster, &format!("access-{number}"), folder.path()));
    }
    let Tally { entries, acknowledged, races, doubts, settled, cut_off, lost, seen } = all;
    assert!(races > 0, "nobody lost a race");
    assert!(doubts > 0 && settled > 0, "{doubts} doubts, {settled} unknown outcomes: no outcome was unknown");
    assert!(lost > 0, "no reply was lost");
    let faults = ledgers * TURNS;
    let what = format!(
        "{faults} each of kills, ended sessions, sleeps, cut and silent networks and restarts of the server, {lost} replies lost; {acknowledged} \
         receipts for {entries} entries, {races} races lost, {doubts} appends in doubt, {settled} unknown outcomes and {cut_off} that nobody was \
         told of settled, {seen} entries followed"
    );
    count(name, &what);
}

/// How much happened.
#[derive(Default)]
struct Tally {
    entries: usize,
    acknowledged: usize,
    races: usize,
    doubts: usize,
    /// Statements of which a recorder was told that nobody knows, and that were settled.
    settled: usize,
    /// Statements that a kill left without an answer, and that were settled.
    cut_off: usize,
    /// Replies that the network lost.
    lost: usize,
    seen: usize,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.entries += other.entries;
        self.acknowledged += other.acknowledged;
        self.races += other.races;
        self.doubts += other.doubts;
        self.settled += other.settled;
        self.cut_off += other.cut_off;
        self.lost += other.lost;
        self.seen += other.seen;
    }
}

fn contend(cluster: &Cluster, ledger: &str, folder: &Path) -> Tally {
    let runtime = Runtime::new().unwrap();
    let url = cluster.url();
    let founded = runtime.block_on(found(&url, ledger));
    let (stop, stopped) = oneshot::channel();
    let follower = runtime.spawn(follow(url.clone(), ledger.to_owned(), stopped));
    let outbox = |slot: usize| folder.join(format!("outbox-{slot}"));
    let proxy = Proxy::to(cluster.port(), "WITH head");
    let by_proxy = cluster.url_at(proxy.port());
    let mut recorders = Contenders::start(SLOTS, |slot, _| {
        let url = if slot < SLOTS / 2 { &url } else { &by_proxy };
        // Three lose patience soon, and tell those who wait that they do not know.
        let patience = if matches!(slot, 0 | 1 | 4) { "200" } else { "5000" };
        let mut command = Command::new(CONTENDER);
        command.args([url, ledger, &slot.to_string()]).arg(outbox(slot)).arg(patience);
        command
    });
    for turn in 0..TURNS {
        let slot = turn % SLOTS;
        recorders.wait_for_acknowledged(BETWEEN);
        recorders.replace(SLOTS - 1 - slot);
        recorders.wait_for_acknowledged(BETWEEN);
        end_sessions(cluster, turn % 2);
        recorders.wait_for_acknowledged(BETWEEN);
        recorders.signal(slot, "STOP");
        recorders.wait_for_acknowledged(BETWEEN);
        recorders.signal(slot, "CONT");
        proxy.lose_replies(3);
        recorders.wait_for_acknowledged(BETWEEN);
        proxy.cut();
        recorders.wait_for_acknowledged(BETWEEN);
        proxy.hold();
        recorders.wait_for_acknowledged(BETWEEN);
        proxy.release();
        recorders.wait_for_acknowledged(BETWEEN);
        cluster.stop_immediately();
        recorders.wait_for_an_unknown_outcome();
        cluster.start();
    }
    recorders.wait_for_acknowledged(BETWEEN);
    let mut said = recorders.kill();
    said.push(founded);
    let outboxes: Vec<PathBuf> = (0..SLOTS).map(outbox).collect();
    let (settling, note) = runtime.block_on(settle(&url, ledger, &said, &outboxes));
    let cut_off = settling.acknowledged();
    said.push(settling);
    let entries = runtime.block_on(read_all(&url, ledger));
    stop.send(entries.len() as u64).unwrap();
    let seen = runtime.block_on(follower).unwrap();
    check(&said, &seen, &entries, &outboxes, note);
    let unknown = of(&said, |told| match told {
        Told::Unknown(digest) => Some(*digest),
        _ => None,
    });
    Tally {
        entries: entries.len(),
        acknowledged: said.iter().map(Said::acknowledged).sum(),
        races: said.iter().map(|said| said.races).sum(),
        doubts: said.iter().map(|said| said.doubts).sum(),
        settled: unknown.len(),
        cut_off,
        lost: proxy.lost(),
        seen: seen.len(),
    }
}

/// Ends every other session of the server, by an administrator's command.
fn end_sessions(cluster: &Cluster, parity: usize) {
    let ended = cluster.sql(&format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
        WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND pid % 2 = {parity}"
    ));
    assert_ne!(ended.trim(), "0", "there was no session to end");
}

fn recorder() -> Recorder {
    Recorder::new(testing::key(RECORDER))
}

async fn found(url: &str, ledger: &str) -> Said {
    let store = Options::new().connect(url, ledger).await.unwrap();
    let genesis = genesis(&LedgerName::new("faults").unwrap(), SLOTS).unwrap();
    let digest = genesis.digest();
    let (ledger, receipt) = Ledger::create(store, recorder(), genesis).await.unwrap();
    ledger.close().await.unwrap();
    let acknowledged = Told::Acknowledged { digest, seq: receipt.seq, leaf: receipt.leaf };
    Said { told: vec![Told::Submitted(digest), acknowledged], ..Said::default() }
}

/// Follows the ledger from its start, whatever becomes of the server meanwhile, until it is told how many entries there are: what it was
/// given, in order.
async fn follow(url: String, ledger: String, stopped: oneshot::Receiver<u64>) -> Vec<Told> {
    let store = Options::new().poll(Duration::from_millis(20)).connect_for_reading(&url, &ledger).await;
    let how = Follow::new().poll_interval(Duration::from_millis(100));
    let replica = Ledger::follow_with(store.unwrap(), how).await.unwrap();
    let mut feed = replica.subscribe(Head::EMPTY);
    let (mut seen, mut stopped, mut size) = (Vec::new(), Some(stopped), u64::MAX);
    while (seen.len() as u64) < size {
        let next = tokio::select! {
            next = feed.next() => next,
            told = async { stopped.as_mut().unwrap().await }, if stopped.is_some() => {
                (size, stopped) = (told.unwrap(), None);
                continue;
            }
        };
        match next.expect("the follower goes on") {
            Ok(entry) => {
                assert_eq!(entry.seq(), seen.len() as u64);
                seen.push(Told::Seen { seq: entry.seq(), leaf: entry.leaf() });
            }
            Err(ReplayError::Store(StoreError::Unavailable(_))) => tokio::task::yield_now().await,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(replica.failure().is_none(), "{:?}", replica.failure());
    seen
}

/// Submits again what nobody was given a receipt for, and a part of what somebody was.
async fn settle(url: &str, ledger: &str, said: &[Said], outboxes: &[PathBuf]) -> (Said, Vec<u8>) {
    let store = Options::new().connect(url, ledger).await.unwrap();
    let ledger = Ledger::open(store, recorder()).await.unwrap();
    let receipts = of(said, |told| match told {
        Told::Acknowledged { digest, .. } => Some(*digest),
        _ => None,
    });
    let mut settling = Said::default();
    for signed in outboxes.iter().flat_map(|path| kept(path)) {
        let (digest, has_receipt) = (signed.digest(), receipts.contains(&signed.digest()));
        // Every one is looked for below: here it is about the answer.
        if has_receipt && digest.as_bytes()[0] % 16 > 0 {
            continue;
        }
        let receipt = ledger.submit(signed).await.unwrap();
        let told = Told::Acknowledged { digest, seq: receipt.seq, leaf: receipt.leaf };
        if has_receipt {
            let first = said.iter().any(|said| said.told.contains(&told));
            assert!(first, "{told} is another receipt than the first");
        } else {
            settling.told.extend([Told::Submitted(digest), told]);
        }
    }
    let note = ledger.close().await.unwrap();
    (settling, note.to_string().into_bytes())
}

fn kept(outbox: &Path) -> Vec<SignedStatement> {
    Outbox::open(outbox).unwrap().statements().to_vec()
}

fn of(said: &[Said], which: impl Fn(&Told) -> Option<StatementDigest>) -> BTreeSet<StatementDigest> {
    said.iter().flat_map(|said| &said.told).filter_map(which).collect()
}

async fn read_all(url: &str, ledger: &str) -> Vec<Entry> {
    let store = Options::new().connect_for_reading(url, ledger).await.unwrap();
    let mut entries = Vec::new();
    loop {
        let read = store.read(entries.len() as u64, 1_000).await.unwrap();
        if read.is_empty() {
            return entries;
        }
        entries.extend(read.into_iter().map(|bytes| Entry::parse(bytes).unwrap()));
    }
}

/// Every statement of the outboxes stands once, at the place of every receipt that there is for it, and nothing else does.
fn check(said: &[Said], seen: &[Told], entries: &[Entry], outboxes: &[PathBuf], note: Vec<u8>) {
    assert_kept(said, seen, entries, "after the faults");
    assert_eq!(seen.len(), entries.len(), "the follower was given all");
    let places: HashMap<_, _> = entries.iter().map(|entry| (entry.signed().digest(), entry)).collect();
    let mut without = places.keys().copied().collect::<BTreeSet<_>>();
    for told in said.iter().flat_map(|said| &said.told) {
        if let Told::Acknowledged { digest, seq, leaf } = told {
            let entry = places.get(digest).unwrap_or_else(|| panic!("{told} is lost"));
            assert_eq!((entry.seq(), entry.leaf()), (*seq, *leaf), "{told} stands elsewhere");
            without.remove(digest);
        }
    }
    assert!(without.is_empty(), "nobody has a receipt for {without:?}");
    let statements: usize = outboxes.iter().map(|path| kept(path).len()).sum();
    assert_eq!(entries.len(), statements + 1, "genesis, and each statement once");
    let bytes: Vec<u8> = entries.iter().flat_map(|entry| [&**entry.bytes(), b"\n"].concat()).collect();
    let mut source = LedgerBytes::new(bytes).with_checkpoint(note);
    let report = countersign_audit::verify(&mut source, &Default::default()).unwrap();
    assert!(report.is_sound(), "{report}");
    assert_eq!((report.anchored, report.serial_gaps.len()), (entries.len() as u64, 0), "{report}");
}
