//! Opening from snapshots and against what is known from elsewhere: the same answers as from genesis, or a refusal.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use countersign_core::checkpoint::Checkpoint;
use countersign_core::digest::{Digest, NodeHash};
use countersign_core::entry::{Entry, Head};
use countersign_core::note::SignedNote;
use countersign_ledger::testing::{key, recorder};
use countersign_ledger::*;
use countersign_projection::as_of::{AsOfError, Cut};
use countersign_projection::periods::Holdings;
use countersign_projection::projection::{Projection, Step};
use countersign_projection::registry::Registry;
use countersign_projection::snapshot::RebuildReason;
use countersign_store::*;
use serde::{Deserialize, Deserializer, Serialize};
use support::*;

/// A company that wrote snapshots after 3 entries, after 9, and at its head.
async fn shelved() -> Company<Shelf> {
    let store = Shelf::default();
    let company = Company::in_store(store.clone(), |recorder| recorder.snapshot_entries(None)).await;
    let request = company.request().await;
    company.approve(request.statement).await;
    for size in [3, 9] {
        let early = prefix(store.kept(), size);
        store.put_snapshots(snapshot_of(early, &company).await).await.unwrap();
    }
    company.founded.ledger.snapshot().await.unwrap();
    company
}

fn plain(company: &Company<Shelf>) -> Recorder {
    recorder(&company.founded.clock).snapshot_entries(None)
}

async fn snapshot_of(entries: MemoryStore, company: &Company<Shelf>) -> SnapshotSet {
    let shelf = Shelf::over(entries);
    let ledger = Ledger::open(shelf.clone(), plain(company)).await.unwrap();
    ledger.snapshot().await.unwrap();
    shelf.sets().pop().unwrap()
}

fn prefix(store: &MemoryStore, size: usize) -> MemoryStore {
    let entries = store.entries_now().into_iter().take(size);
    MemoryStore::from_entries(entries.map(|bytes| Entry::parse(bytes).unwrap())).unwrap()
}

fn answers<S: Store>(ledger: &Replica<S>) -> (Head, Digest, NodeHash) {
    let view = ledger.current();
    (view.head(), view.state().digest(), view.root())
}

#[tokio::test]
async fn opening_starts_from_the_newest_snapshots_and_reads_only_what_came_after() {
    let company = shelved().await;
    let store = &company.founded.store;
    let whole = Ledger::open(store.clone(), plain(&company).from_genesis()).await.unwrap();
    assert_eq!(whole.opened().from, Head::EMPTY);
    let size = whole.head().size;

    // Genesis is read, and the last entry under the snapshots.
    let fresh = store.with(store.sets());
    let ledger = Ledger::open(fresh.clone(), plain(&company)).await.unwrap();
    assert_eq!((ledger.opened().from.size, fresh.read_so_far()), (size, 2));
    assert!(ledger.opened().unused.is_empty(), "{:?}", ledger.opened().unused);
    assert_eq!(answers(&ledger), answers(&whole));

    // A tail is read, verified and judged.
    let fresh = store.with(store.sets().into_iter().filter(|set| set.size <= 9));
    let replica = Ledger::follow_with(fresh.clone(), Follow::new()).await.unwrap();
    assert_eq!((replica.opened().from.size, fresh.read_so_far()), (9, 2 + size - 9));
    assert_eq!(answers(&replica), answers(&whole));

    // And recorded upon.
    let request = ledger.submit(company.alice.state(ask()).sign().unwrap()).await.unwrap();
    assert_eq!(request.seq, size);
}

#[tokio::test]
async fn f09_snapshots_of_every_size_lead_to_what_all_entries_say() {
    let company = shelved().await;
    let store = &company.founded.store;
    let whole = answers(&company.founded.ledger);
    for size in 1..=store.kept().head_now().size as usize {
        let early = prefix(store.kept(), size);
        let set = snapshot_of(early.clone(), &company).await;
        let at = Ledger::open(Shelf::over(early).with([set.clone()]), plain(&company)).await.unwrap();
        let ledger = Ledger::open(store.with([set]), plain(&company)).await.unwrap();
        assert_eq!((ledger.opened().from, at.opened().from), (at.head(), at.head()), "size {size}");
        assert_eq!(answers(&ledger), whole, "size {size}");
    }
}

/// The set with one snapshot's note written anew, with other lines, by another key.
fn resigned(set: &SnapshotSet, name: &str, lines: &[(usize, &str)], signer: &str) -> SnapshotSet {
    let mut set = set.clone();
    let kept = set.snapshots.iter_mut().find(|kept| kept.name == name).unwrap();
    let note = SignedNote::parse(&kept.note).unwrap();
    let mut text: Vec<String> = note.untrusted_text().lines().map(str::to_owned).collect();
    let ledger = text[1].clone();
    for (number, line) in lines {
        text[number - 1] = (*line).to_owned();
    }
    let note = SignedNote::sign(&(text.join("\n") + "\n"), &ledger, &key(signer)).unwrap();
    kept.note = note.to_string().into_bytes().into();
    set
}

/// The set with another state for one projection, which its recorder signed all the same.
fn mistaken(set: &SnapshotSet, name: &str, payload: Vec<u8>) -> SnapshotSet {
    let digest = Digest::new(countersign_core::digest::sha256(&[&payload])).to_string();
    let length = payload.len().to_string();
    let mut set = resigned(set, name, &[(8, &digest), (9, &length)], "service:recorder");
    set.snapshots.iter_mut().find(|kept| kept.name == name).unwrap().payload = payload.into();
    set
}

fn payload<'a>(set: &'a SnapshotSet, name: &str) -> &'a [u8] {
    &set.snapshots.iter().find(|kept| kept.name == name).unwrap().payload
}

#[tokio::test]
async fn f09_a_snapshot_that_its_recorder_signed_by_mistake_gives_no_wrong_answer() {
    let company = shelved().await;
    let store = &company.founded.store;
    let [_, nine, newest] = <[SnapshotSet; 3]>::try_from(store.sets()).unwrap();
    let request = company.request().await;
    // Taken now: a ledger that stays open follows what others append.
    let before = Ledger::open(store.kept().clone(), plain(&company)).await.unwrap().current();
    let open = snapshot_of(store.kept().clone(), &company).await;
    company.approve(request.statement).await;
    let whole = answers(&company.founded.ledger);

    // Of the same head, but the request that is approved next has run out in it.
    let late = before.state().at(start().plus_seconds(32 * 86_400).unwrap());
    let late = mistaken(&open, "governance", Projection::encode(&late).unwrap());
    let ledger = Ledger::open(store.with([late]), plain(&company)).await.unwrap();
    let [unused] = &ledger.opened().unused[..] else { panic!("{:?}", ledger.opened().unused) };
    assert!(matches!(unused.reason, UnusedReason::Tail(_)), "{unused:?}");
    assert_eq!((ledger.opened().from, answers(&ledger)), (Head::EMPTY, whole));

    // A tree over another number of entries.
    let small = mistaken(&newest, "countersign.tree", payload(&nine, "countersign.tree").to_vec());
    let ledger = Ledger::open(store.with([small, nine.clone()]), plain(&company)).await.unwrap();
    assert_eq!(rebuild(&ledger.opened().unused[0].reason), Some(&RebuildReason::OtherState));
    assert_eq!((ledger.opened().from.size, answers(&ledger)), (9, whole));

    // A tree that is not the one that the checkpoint commits to.
    let mut bytes = payload(&newest, "countersign.tree").to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let other = mistaken(&newest, "countersign.tree", bytes);
    let ledger = Ledger::open(store.with([other, nine]), plain(&company)).await.unwrap();
    assert!(matches!(ledger.opened().unused[0].reason, UnusedReason::Checkpoint(_)));
    assert_eq!((ledger.opened().from.size, answers(&ledger)), (9, whole));
}

fn rebuild(reason: &UnusedReason) -> Option<&RebuildReason> {
    match reason {
        UnusedReason::Rebuild(reason) => Some(reason),
        _ => None,
    }
}

#[tokio::test]
async fn f09_snapshots_that_are_of_no_use_are_named_and_the_entries_answer() {
    let company = shelved().await;
    let store = &company.founded.store;
    let whole = answers(&company.founded.ledger);
    let [_, nine, newest] = <[SnapshotSet; 3]>::try_from(store.sets()).unwrap();
    let without = |name: &str| {
        let mut set = newest.clone();
        set.snapshots.retain(|kept| kept.name != name);
        set
    };
    let swapped = {
        let mut set = newest.clone();
        let payload = set.snapshots[0].payload.clone();
        set.snapshots[0].payload = std::mem::replace(&mut set.snapshots[1].payload, payload);
        set
    };
    let relabelled = {
        let mut set = nine.clone();
        set.size = newest.size;
        set
    };
    let ahead = {
        let mut set = newest.clone();
        set.size += 1;
        set
    };
    let foreign = {
        let other = Shelf::default();
        let other = Company::in_store(other, |recorder| recorder.snapshot_entries(None)).await;
        other.founded.clock.advance(std::time::Duration::from_secs(5));
        other.founded.ledger.submit(other.alice.state(ask()).sign().unwrap()).await.unwrap();
        let mut set = snapshot_of(other.founded.store.kept().clone(), &other).await;
        set.size = newest.size;
        set
    };
    type Matches = fn(&RebuildReason) -> bool;
    let cases: Vec<(&str, SnapshotSet, &str, Matches)> = vec![
        ("no state", without("governance"), "governance", |reason| *reason == RebuildReason::Missing),
        ("no tree", without("countersign.tree"), "countersign.tree", |reason| {
            *reason == RebuildReason::Missing
        }),
        ("payloads exchanged", swapped, "governance", |reason| *reason == RebuildReason::Payload),
        ("of another size than it says", relabelled, "governance", |reason| {
            *reason == RebuildReason::OtherState
        }),
        ("ahead of the log", ahead, "governance", |reason| *reason == RebuildReason::OtherState),
        ("of another history", foreign, "governance", |reason| {
            matches!(reason, RebuildReason::OtherHistory { .. } | RebuildReason::OtherState)
        }),
        ("by a stranger", resigned(&newest, "governance", &[], "stranger"), "governance", |reason| {
            matches!(reason, RebuildReason::Signature(_))
        }),
        (
            "of another ledger",
            resigned(&newest, "governance", &[(2, &format!("acme/{}", "0".repeat(64)))], "service:recorder"),
            "governance",
            |reason| *reason == RebuildReason::OtherLedger,
        ),
        (
            "of another version",
            resigned(&newest, "governance", &[(4, "4711")], "service:recorder"),
            "governance",
            |reason| matches!(reason, RebuildReason::OtherVersion { found: 4711, .. }),
        ),
        (
            "a tree of another version",
            resigned(&newest, "countersign.tree", &[(4, "4711")], "service:recorder"),
            "countersign.tree",
            |reason| matches!(reason, RebuildReason::OtherVersion { found: 4711, .. }),
        ),
        (
            "under another name",
            resigned(&newest, "countersign.tree", &[(3, "acme.tree")], "service:recorder"),
            "countersign.tree",
            |reason| matches!(reason, RebuildReason::OtherProjection { .. }),
        ),
        (
            "of another time",
            resigned(&newest, "governance", &[(7, "2026-01-05T09:00:00.001Z")], "service:recorder"),
            "governance",
            |reason| matches!(reason, RebuildReason::OtherHistory { .. }),
        ),
        (
            "of another leaf",
            resigned(&newest, "governance", &[(6, &"0".repeat(64))], "service:recorder"),
            "governance",
            |reason| matches!(reason, RebuildReason::OtherHistory { .. }),
        ),
    ];
    for (name, bad, projection, matches) in cases {
        for older in [None, Some(nine.clone())] {
            let from = older.as_ref().map_or(0, |set| set.size);
            let fresh = store.with([bad.clone()].into_iter().chain(older));
            let ledger = Ledger::open(fresh, plain(&company)).await.unwrap();
            let opened = ledger.opened();
            assert_eq!(opened.from.size, from, "{name}: {:?}", opened.unused);
            let named = opened.unused.iter().find(|one| one.projection == projection);
            let reason = named.and_then(|one| rebuild(&one.reason));
            assert!(reason.is_some_and(matches), "{name}: {:?}", opened.unused);
            assert_eq!(answers(&ledger), whole, "{name}");
        }
    }
}

#[tokio::test]
async fn f09_no_flipped_bit_of_a_snapshot_reaches_an_answer() {
    let company = shelved().await;
    let store = &company.founded.store;
    let whole = answers(&company.founded.ledger);
    let newest = store.sets().pop().unwrap();
    for index in 0..newest.snapshots.len() {
        let (note, payload) = (newest.snapshots[index].note.len(), newest.snapshots[index].payload.len());
        let places = (0..note).map(|at| (true, at)).chain((0..payload).step_by(997).map(|at| (false, at)));
        for (is_note, at) in places {
            let mut set = newest.clone();
            let kept = &mut set.snapshots[index];
            let bytes = if is_note { &mut kept.note } else { &mut kept.payload };
            let mut flipped = bytes.to_vec();
            flipped[at] ^= 1 << (at % 8);
            *bytes = flipped.into();
            let replica = Ledger::follow(store.with([set])).await.unwrap();
            assert_eq!(answers(&replica), whole, "snapshot {index}, note {is_note}, byte {at}");
            assert_eq!(replica.opened().from, Head::EMPTY, "snapshot {index}, note {is_note}, byte {at}");
        }
    }
}

#[tokio::test]
async fn f09_snapshots_newer_than_the_log_are_not_used() {
    let company = shelved().await;
    let store = &company.founded.store;
    let newest = store.sets().pop().unwrap();
    let cut = prefix(store.kept(), newest.size as usize - 1);
    let ledger = Ledger::open(Shelf::over(cut.clone()).with(store.sets()), plain(&company)).await.unwrap();
    assert_eq!(ledger.opened().from.size, 9);
    let named = ledger.opened().unused.iter().filter(|one| one.size == newest.size);
    assert!(
        named.clone().count() > 0
            && named.clone().all(|one| matches!(
                rebuild(&one.reason),
                Some(RebuildReason::AheadOfLog { .. } | RebuildReason::Missing)
            )),
        "{:?}",
        ledger.opened().unused
    );
    let whole = Ledger::open(cut, plain(&company).from_genesis()).await.unwrap();
    assert_eq!(answers(&ledger), answers(&whole));
}

/// A checkpoint as its recorder would sign it, or somebody else.
async fn sign(company: &Company<Shelf>, size: u64, root: NodeHash, signer: &str) -> SignedNote {
    let id = company.founded.ledger.ledger_id().unwrap();
    Checkpoint::new(id.as_str(), size, root).unwrap().sign(&key(signer)).unwrap()
}

#[tokio::test]
async fn f15_an_older_backup_is_refused_by_a_newer_checkpoint() {
    let company = shelved().await;
    let store = &company.founded.store;
    let size = store.kept().head_now().size;
    let auditors = company.founded.ledger.checkpoint().await.unwrap();
    let backup = prefix(store.kept(), size as usize - 1);
    let error = Ledger::open(backup.clone(), plain(&company).floor(auditors.clone())).await.unwrap_err();
    let is_ahead = |error: &OpenError| {
        matches!(error, OpenError::Floor(KeptCheckpointError::Ahead { size: over, held })
            if *over == size && *held == size - 1)
    };
    assert!(is_ahead(&error), "{error:?}");
    let error = Ledger::follow_with(backup, Follow::new().floor(auditors.clone())).await.unwrap_err();
    assert!(is_ahead(&error), "{error:?}");
    let empty = Ledger::open(MemoryStore::new(), plain(&company).floor(auditors.clone())).await.unwrap_err();
    assert!(matches!(empty, OpenError::Floor(KeptCheckpointError::Ahead { held: 0, .. })), "{empty:?}");

    // What continues it opens, from snapshots and without.
    for sets in [store.sets(), Vec::new()] {
        let fresh = store.with(sets);
        assert!(Ledger::open(fresh.clone(), plain(&company).floor(auditors.clone())).await.is_ok());
        assert!(Ledger::follow_with(fresh, Follow::new().floor(auditors.clone())).await.is_ok());
    }
}

#[tokio::test]
async fn f15_a_floor_is_compared_wherever_it_lies() {
    let company = shelved().await;
    let store = &company.founded.store;
    let size = store.kept().head_now().size;
    for over in [1, 5, 9, 10, size] {
        let early = Ledger::open(prefix(store.kept(), over as usize), plain(&company)).await.unwrap();
        let right = sign(&company, over, early.current().root(), "service:recorder").await;
        let wrong = sign(&company, over, NodeHash::new([7; 32]), "service:recorder").await;
        let stranger = sign(&company, over, early.current().root(), "stranger").await;
        for sets in [store.sets(), Vec::new()] {
            let from = sets.last().map_or(0, |set| set.size);
            let open = |floor: &SignedNote| {
                Ledger::open(store.with(sets.clone()), plain(&company).floor(floor.clone()))
            };
            let ledger = open(&right).await.unwrap();
            assert_eq!(ledger.opened().from.size, from, "over {over}: {:?}", ledger.opened().unused);
            let error = open(&wrong).await.unwrap_err();
            assert!(
                matches!(error, OpenError::Floor(KeptCheckpointError::Root { size }) if size == over),
                "over {over}: {error:?}"
            );
            let error = open(&stranger).await.unwrap_err();
            assert!(
                matches!(error, OpenError::Floor(KeptCheckpointError::Open(_))),
                "over {over}: {error:?}"
            );
        }
    }
}

#[tokio::test]
async fn f15_a_recorder_signs_nothing_smaller_than_what_is_kept_and_nothing_different() {
    let company = shelved().await;
    let ledger = &company.founded.ledger;
    let put = async |size, root| {
        let note = sign(&company, size, root, "service:recorder").await;
        let bytes = note.to_string().into_bytes();
        company.founded.store.put_checkpoint(size, bytes.into()).await.unwrap();
    };
    company.request().await;
    let size = ledger.head().size;
    put(size, NodeHash::new([7; 32])).await;
    let error = ledger.checkpoint().await.unwrap_err();
    assert!(
        matches!(error, CheckpointError::Kept { source: KeptCheckpointError::Root { .. }, .. }),
        "{error:?}"
    );
    put(size + 1, NodeHash::new([7; 32])).await;
    let error = ledger.checkpoint().await.unwrap_err();
    assert!(
        matches!(error, CheckpointError::Kept { source: KeptCheckpointError::Ahead { .. }, .. }),
        "{error:?}"
    );
    // Nor does it write snapshots that no checkpoint covers.
    let error = ledger.snapshot().await.unwrap_err();
    assert!(matches!(*error, SnapshotError::Checkpoint(CheckpointError::Kept { .. })), "{error:?}");
}

#[tokio::test]
async fn snapshots_are_written_after_so_many_entries_and_at_close() {
    let store = Shelf::default();
    let company = Company::in_store(store.clone(), |recorder| recorder.snapshot_entries(Some(5))).await;
    let ledger = &company.founded.ledger;
    while ledger.snapshot_status().size == 0 {
        tokio::task::yield_now().await;
    }
    assert!(ledger.snapshot_status().size >= 5);
    company.request().await;
    ledger.close().await.unwrap();
    let newest = store.sets().pop().unwrap();
    assert_eq!(newest.size, ledger.head().size);
    assert_eq!(ledger.snapshot_status().size, newest.size);
    let again = Ledger::open(store.clone(), plain(&company)).await.unwrap();
    assert_eq!(again.opened().from, ledger.head());
    again.close().await.unwrap();
    assert_eq!(store.sets().pop().unwrap(), newest, "nothing was new, and none were wanted");
}

#[tokio::test]
async fn snapshots_that_can_not_be_written_hinder_nobody_and_show() {
    let store = Shelf::default();
    store.full(true);
    let company = Company::in_store(store.clone(), |recorder| recorder.snapshot_entries(Some(1))).await;
    let ledger = &company.founded.ledger;
    while ledger.snapshot_status().failure.is_none() {
        tokio::task::yield_now().await;
    }
    company.request().await;
    let failure = ledger.snapshot().await.unwrap_err();
    assert!(matches!(*failure, SnapshotError::Keep(StoreError::Unavailable(_))), "{failure:?}");
    store.full(false);
    assert_eq!(ledger.snapshot().await.unwrap(), ledger.head().size);
    assert!(ledger.snapshot_status().failure.is_none());
    store.full(true);
    company.request().await;
    ledger.close().await.unwrap();
    assert!(ledger.snapshot_status().failure.is_some());
}

#[tokio::test]
async fn the_past_is_folded_from_the_nearest_snapshots() {
    let store = Shelf::default();
    let company = Company::in_store(store.clone(), |recorder| recorder.snapshot_entries(None)).await;
    let ledger = &company.founded.ledger;
    let mut moments = Vec::new();
    for _ in 0..4 {
        company.founded.clock.advance(std::time::Duration::from_secs(60));
        company.request().await;
        moments.push((company.founded.clock.wall(), ledger.head()));
        ledger.snapshot().await.unwrap();
        company.request().await;
    }
    let size = ledger.head().size;
    for (at, head) in &moments {
        for store in [store.clone(), store.with([])] {
            let from_snapshots = !store.sets().is_empty();
            let ledger = Ledger::open(store.clone(), plain(&company)).await.unwrap();
            let read = store.read_so_far();
            // Both requests of a minute were recorded in it: the instant takes both, the size only the first.
            let then = ledger.as_of(Cut::known_by(*at, head.size)).await.unwrap();
            assert_eq!((then.head(), then.is_settled()), (*head, true));
            let early = Ledger::open(prefix(store.kept(), head.size as usize), plain(&company));
            assert_eq!(then.state().digest(), early.await.unwrap().current().state().digest());
            assert_eq!(store.read_so_far() - read == 1, from_snapshots, "{head:?}");
            let then = ledger.as_of(Cut::at(*at)).await.unwrap();
            assert_eq!(then.head().size, head.size + 1);
            let held = ledger.as_of_with::<Holdings>(Cut::at(*at)).await.unwrap();
            assert_eq!(held.view().head(), then.head());
        }
    }
    // From the newest view itself nothing has to be read.
    let read = store.read_so_far();
    let now = ledger.as_of(Cut::at(company.founded.clock.wall())).await.unwrap();
    assert_eq!((now.head(), now.is_settled(), store.read_so_far()), (ledger.head(), false, read));
    let error = ledger.as_of(Cut::known_by(company.founded.clock.wall(), size + 1)).await.unwrap_err();
    assert!(matches!(error, PastError::AsOf(AsOfError::Short { .. })), "{error:?}");
}

#[tokio::test]
async fn a_store_that_can_not_give_snapshots_is_read_from_genesis() {
    let company = shelved().await;
    let store = torn(company.founded.store.kept().clone());
    let ledger = Ledger::open(store, plain(&company)).await.unwrap();
    assert_eq!(ledger.opened().from, Head::EMPTY);
    assert!(matches!(ledger.opened().unused[0].reason, UnusedReason::Store(_)));
    assert_eq!(answers(&ledger), answers(&company.founded.ledger));
}

/// Counts entries, and can not be read.
#[derive(Debug, Clone, Default, Serialize)]
struct Count(u64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("what the author of a projection forgot")
    }
}

impl Projection for Count {
    const NAME: &'static str = "acme.count";
    const VERSION: u64 = 1;
    const LOOKS_BACK: bool = false;
    type Error = std::convert::Infallible;

    fn apply(&mut self, _: &Step<'_>) -> Result<(), Self::Error> {
        self.0 += 1;
        Ok(())
    }
}

#[tokio::test]
async fn a_snapshot_that_takes_its_reader_down_is_of_no_use_and_harms_nobody() {
    let store = Shelf::default();
    let counting = || Registry::new().with::<Count>().unwrap();
    let company = Company::in_store(store.clone(), |recorder| recorder.projections(counting())).await;
    let ledger = &company.founded.ledger;
    ledger.snapshot().await.unwrap();
    let early = ledger.head();
    company.request().await;
    ledger.snapshot().await.unwrap();
    let again = Ledger::open(store.clone(), plain(&company).projections(counting())).await.unwrap();
    assert_eq!((again.opened().from, answers(&again)), (Head::EMPTY, answers(ledger)));
    let unused = &again.opened().unused;
    assert!(
        unused.len() >= 2 && unused.iter().all(|one| matches!(one.reason, UnusedReason::Lost)),
        "{unused:?}"
    );
    assert_eq!(again.view::<Count>().unwrap().0, ledger.head().size);
    // The past too.
    company.founded.clock.advance(std::time::Duration::from_secs(60));
    let cut = Cut::known_by(company.founded.clock.wall(), early.size);
    let then = again.as_of_with::<Count>(cut).await.unwrap();
    assert_eq!((then.view().head(), then.view().0), (early, early.size));
}

#[tokio::test]
async fn the_past_is_folded_from_an_older_snapshot_where_the_entries_do_not_continue_a_newer_one() {
    let company = shelved().await;
    let store = &company.founded.store;
    let [_, nine, newest] = <[SnapshotSet; 3]>::try_from(store.sets()).unwrap();
    let request = company.request().await;
    let open = snapshot_of(store.kept().clone(), &company).await;
    let before = Ledger::open(store.kept().clone(), plain(&company)).await.unwrap().current();
    company.approve(request.statement).await;
    let size = company.founded.ledger.head().size;
    // So that the state as of then is not that of the view.
    company.founded.clock.advance(std::time::Duration::from_secs(60));
    let moment = company.founded.clock.wall();
    company.founded.clock.advance(std::time::Duration::from_secs(60));
    company.request().await;
    let late = before.state().at(start().plus_seconds(32 * 86_400).unwrap());
    let late = mistaken(&open, "governance", Projection::encode(&late).unwrap());
    let ledger = Ledger::open(store.with([nine, newest, late]), plain(&company)).await.unwrap();
    let then = ledger.as_of(Cut::known_by(moment, size)).await.unwrap();
    let early =
        Ledger::open(prefix(store.kept(), size as usize), plain(&company).from_genesis()).await.unwrap();
    assert_eq!(then.state().digest(), early.current().state().digest());
}

/// What a mistake made of a snapshot: a byte that is another, a run of bytes that stands elsewhere too, or is missing.
fn spoilt(payload: &[u8], random: &mut u64) -> Vec<u8> {
    let mut next = |below: usize| {
        // SplitMix64.
        *random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (*random ^ (*random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((z ^ (z >> 27)) % below as u64) as usize
    };
    let mut payload = payload.to_vec();
    for _ in 0..=next(2) {
        let (at, from, length) = (next(payload.len()), next(payload.len()), 1 + next(8));
        let run = payload[from..payload.len().min(from + length)].to_vec();
        let end = payload.len().min(at + run.len());
        match next(4) {
            0 => payload[at] = payload[at].wrapping_add(1),
            1 => payload[at] = next(256) as u8,
            2 => payload[at..end].copy_from_slice(&run[..end - at]),
            _ => drop(payload.splice(at..end, run[..next(run.len())].iter().copied())),
        }
    }
    payload
}

#[tokio::test]
async fn f09_a_snapshot_that_was_spoilt_before_it_was_signed_is_refused_or_leads_on() {
    let company = shelved().await;
    let store = &company.founded.store;
    let nine = store.sets().into_iter().find(|set| set.size == 9).unwrap();
    let whole = answers(&company.founded.ledger);
    let mut random = 1;
    let (mut used, mut refused) = (0, 0);
    for number in 0..300 {
        let name = if number % 8 == 0 { "countersign.tree" } else { "governance" };
        let spoilt = mistaken(&nine, name, spoilt(payload(&nine, name), &mut random));
        let ledger = Ledger::open(store.with([spoilt]), plain(&company)).await.unwrap();
        let opened = ledger.opened();
        assert_eq!(ledger.head(), whole.0, "case {number}");
        if opened.from == Head::EMPTY {
            assert!(!opened.unused.is_empty(), "case {number}");
            assert_eq!(answers(&ledger), whole, "case {number}");
            refused += 1;
        } else {
            // The entries go on from it: whatever it says of facts is its signer's word. Its root is held against the checkpoint.
            assert_eq!(ledger.current().root(), whole.2, "case {number}");
            used += 1;
        }
    }
    assert!(used > 3 && refused > 200, "{used} used, {refused} refused");
}
