//! Runner, registry, snapshots, as-of and periods, as a tool builder uses them.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::collections::BTreeMap;

use countersign_core::checkpoint::{self, Checkpoint};
use countersign_core::digest::{LeafHash, StatementDigest};
use countersign_core::entry::{Entry, Head};
use countersign_core::event::{Event, EventKind, Hold};
use countersign_core::key::{SecretKey, SignerKey as _};
use countersign_core::merkle::Tree;
use countersign_core::note::{KeyKind, SignedNote, VerifierKey};
use countersign_core::time::Timestamp;
use countersign_projection::as_of::{AsOfError, Cut, as_of};
use countersign_projection::governance::EndCause;
use countersign_projection::periods::{Holdings, Period, Wanted};
use countersign_projection::projection::{Projection, Step};
use countersign_projection::registry::{RegisterError, Registry, ViewError};
use countersign_projection::runner::{HaltCause, Projections, RunError, Runner, SwapError};
use countersign_projection::snapshot::{
    OpenedSnapshot, PlacedSnapshot, RebuildReason, Snapshot, SnapshotError, SnapshotHeader, SnapshotTextError,
};
use countersign_projection::test_kit::{self, Playground};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

const DAY: u64 = 86_400;

/// How many entries there were of each kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Kinds(BTreeMap<String, u64>);

impl Projection for Kinds {
    const NAME: &'static str = "kinds";
    const VERSION: u64 = 1;
    const LOOKS_BACK: bool = false;
    type Error = std::convert::Infallible;

    fn apply(&mut self, step: &Step<'_>) -> Result<(), Self::Error> {
        *self.0.entry(step.event().kind().to_string()).or_default() += 1;
        Ok(())
    }
}

/// The same name and form, in a later version.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct LaterKinds(BTreeMap<String, u64>);

impl Projection for LaterKinds {
    const NAME: &'static str = "kinds";
    const VERSION: u64 = 2;
    type Error = std::convert::Infallible;

    fn apply(&mut self, step: &Step<'_>) -> Result<(), Self::Error> {
        *self.0.entry(step.event().kind().to_string()).or_default() += 1;
        Ok(())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("revocations are unheard of")]
struct Unheard;

/// Counts entries, and fails at the first revocation.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Brittle(u64);

impl Projection for Brittle {
    const NAME: &'static str = "brittle";
    const VERSION: u64 = 1;
    type Error = Unheard;

    fn apply(&mut self, step: &Step<'_>) -> Result<(), Unheard> {
        self.0 += 1;
        if step.event().kind() == EventKind::AccessRevoked { Err(Unheard) } else { Ok(()) }
    }
}

fn replayed<S: Projections + Default>(entries: &[Entry]) -> Runner<S> {
    let mut runner = Runner::new();
    entries.iter().for_each(|entry| drop(runner.replay(entry.clone()).unwrap()));
    runner
}

fn registered(entries: &[Entry]) -> Runner<Registry> {
    let registry = Registry::new().with::<Kinds>().unwrap().with::<Holdings>().unwrap();
    let mut runner = Runner::over(registry);
    entries.iter().for_each(|entry| drop(runner.replay(entry.clone()).unwrap()));
    runner
}

fn first_revocation(entries: &[Entry]) -> u64 {
    let is_it = |entry: &&Entry| entry.statement().event.kind() == EventKind::AccessRevoked;
    entries.iter().find(is_it).unwrap().seq()
}

#[test]
fn a_runner_takes_the_next_entry_and_no_other() {
    let ledger = Playground::new();
    let entries = ledger.entries();
    let mut runner = Runner::<Kinds>::new();
    let skipped = runner.replay(entries[1].clone()).unwrap_err();
    assert!(matches!(skipped, RunError::Seq { expected: 0, found: 1 }), "{skipped}");
    let genesis = runner.replay(entries[0].clone()).unwrap();
    let again = runner.apply(&genesis).unwrap_err();
    assert!(matches!(again, RunError::Seq { expected: 1, found: 0 }), "{again}");

    // The same statement, sealed behind a genesis of another history.
    let elsewhere = Head { size: 1, leaf: LeafHash::new([7; 32]) };
    let foreign = Entry::seal(elsewhere, entries[1].recorded_at(), entries[1].signed()).unwrap();
    let forked = runner.replay(foreign).unwrap_err();
    assert!(matches!(forked, RunError::Prev { seq: 1 }), "{forked}");

    let before = Timestamp::from_millis(entries[0].recorded_at().millis() - 1).unwrap();
    let early = Entry::seal(entries[0].head(), before, entries[1].signed()).unwrap();
    let backwards = runner.replay(early).unwrap_err();
    assert!(matches!(backwards, RunError::Time { seq: 1 }), "{backwards}");

    let unsigned = entries[1].statement().clone().prepare().unwrap();
    let unsigned = Entry::seal(entries[0].head(), entries[1].recorded_at(), &unsigned).unwrap();
    let fault = runner.replay(unsigned).unwrap_err();
    assert!(matches!(fault, RunError::Fault { seq: 1, .. } | RunError::Refused { seq: 1, .. }), "{fault}");
    assert_eq!(runner.head(), entries[0].head());
    runner.replay(entries[1].clone()).unwrap();
}

#[test]
fn a_failing_projection_halts_where_it_failed_and_never_answers_again() {
    let ledger = Playground::small();
    let at = first_revocation(ledger.entries());
    let mut runner = Runner::<(Kinds, Brittle)>::new();
    for entry in &ledger.entries()[..usize::try_from(at).unwrap()] {
        runner.replay(entry.clone()).unwrap();
    }
    for _ in 0..2 {
        let entry = ledger.entries()[usize::try_from(at).unwrap()].clone();
        let RunError::Halted(halt) = runner.replay(entry).unwrap_err() else { panic!("not halted") };
        assert_eq!((halt.projection, halt.seq), ("brittle", at));
        assert!(matches!(&halt.cause, HaltCause::Failed(error) if error.to_string() == Unheard.to_string()));
    }
    assert_eq!(runner.head().size, at + 1);
    assert!(runner.projections().is_err());
    assert!(matches!(runner.snapshots(&Playground::recorder_key()), Err(SnapshotError::Halted(_))));
    assert!(runner.fingerprints()[1..].iter().all(|print| print.digest.is_none()));
}

#[test]
fn in_a_registry_the_others_go_on() {
    let ledger = Playground::small();
    let registry = Registry::new().with::<Brittle>().unwrap().with::<Kinds>().unwrap();
    let mut runner = Runner::over(registry);
    ledger.entries().iter().for_each(|entry| drop(runner.replay(entry.clone()).unwrap()));
    assert_eq!(runner.head(), ledger.head());
    let ViewError::Halted(text) = runner.view::<Brittle>().unwrap_err() else { panic!("not halted") };
    let at = first_revocation(ledger.entries());
    assert_eq!(&*text, format!("projection `brittle` halted at seq {at}: {Unheard}"));
    let alone = replayed::<Kinds>(ledger.entries()).view().unwrap();
    assert_eq!(runner.view::<Kinds>().unwrap().projection(), alone.projection());
    assert_eq!(runner.view::<Kinds>().unwrap().head(), ledger.head());
    assert_eq!(runner.down().map(|(name, _)| name).collect::<Vec<_>>(), ["brittle"]);
}

/// Can not be copied beside a view that somebody holds.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Single(u64);

impl Clone for Single {
    fn clone(&self) -> Self {
        panic!("there is but one")
    }
}

impl Projection for Single {
    const NAME: &'static str = "single";
    const VERSION: u64 = 1;
    const LOOKS_BACK: bool = false;
    type Error = std::convert::Infallible;

    fn apply(&mut self, _: &Step<'_>) -> Result<(), Self::Error> {
        self.0 += 1;
        Ok(())
    }
}

#[test]
fn a_projection_that_panics_when_it_is_copied_halts_alone() {
    let ledger = Playground::new();
    let registry = Registry::new().with::<Single>().unwrap().with::<Kinds>().unwrap();
    let mut runner = Runner::over(registry);
    runner.replay(ledger.entries()[0].clone()).unwrap();
    let held = runner.view::<Single>().unwrap();
    for entry in &ledger.entries()[1..] {
        runner.replay(entry.clone()).unwrap();
    }
    assert_eq!((runner.head(), held.0), (ledger.head(), 1));
    assert!(matches!(runner.view::<Single>(), Err(ViewError::Halted(_))));
    assert_eq!(runner.view::<Kinds>().unwrap().head(), ledger.head());
}

#[test]
fn a_registry_refuses_a_name_twice_and_finds_by_type_and_by_name() {
    let registry = || Registry::new().with::<Kinds>().unwrap();
    assert_eq!(registry().with::<Kinds>().unwrap_err(), RegisterError::Duplicate { name: "kinds" });
    assert_eq!(registry().with::<LaterKinds>().unwrap_err(), RegisterError::Duplicate { name: "kinds" });
    let state = Registry::new().with::<countersign_projection::governance::State>();
    assert_eq!(state.unwrap_err(), RegisterError::Duplicate { name: "governance" });

    let runner = registered(Playground::small().entries());
    let views = runner.views();
    assert_eq!(views.names().collect::<Vec<_>>(), ["holdings", "kinds"]);
    let any = views.any("kinds").unwrap();
    assert_eq!((any.name(), any.version()), ("kinds", 1));
    let typed = views.view::<Kinds>().unwrap();
    assert_eq!(any.state_digest().unwrap(), Projection::digest(typed.projection()).unwrap());
    assert!(matches!(views.any("nobody"), Err(ViewError::Unknown { .. })));
    // A name alone does not make it the same type.
    assert!(matches!(views.view::<LaterKinds>(), Err(ViewError::Unknown { .. })));
    assert!(matches!(views.view::<Brittle>(), Err(ViewError::Unknown { .. })));
}

/// What it sees of the state before an entry; the second one has not said that it looks.
macro_rules! looking_back {
    ($name:ident, $text:literal, $looks_back:literal) => {
        #[derive(Debug, Clone, Default, Serialize, Deserialize)]
        struct $name(u64);

        impl Projection for $name {
            const NAME: &'static str = $text;
            const VERSION: u64 = 1;
            const LOOKS_BACK: bool = $looks_back;
            type Error = std::convert::Infallible;

            fn apply(&mut self, step: &Step<'_>) -> Result<(), Self::Error> {
                self.0 = step.before().head().size;
                assert_eq!(
                    (step.before().head().size, step.after().head().size),
                    (step.seq(), step.seq() + 1)
                );
                Ok(())
            }
        }
    };
}
looking_back!(Looking, "looking", true);
looking_back!(Peeking, "peeking", false);

#[test]
fn the_state_before_an_entry_is_seen_by_who_asked_for_it_and_by_no_other() {
    let ledger = Playground::new();
    let registry = Registry::new().with::<Looking>().unwrap().with::<Peeking>().unwrap();
    let mut runner = Runner::over(registry);
    ledger.entries().iter().for_each(|entry| drop(runner.replay(entry.clone()).unwrap()));
    assert_eq!(runner.view::<Looking>().unwrap().0, ledger.head().size - 1);
    assert!(matches!(runner.view::<Peeking>(), Err(ViewError::Halted(_))));
}

#[test]
fn a_view_stays_as_it_was_while_the_runner_goes_on() {
    let ledger = Playground::small();
    let (first, rest) = ledger.entries().split_at(ledger.entries().len() / 2);
    let mut runner = registered(first);
    let view = runner.view::<Kinds>().unwrap();
    rest.iter().for_each(|entry| drop(runner.replay(entry.clone()).unwrap()));
    assert_eq!(view.head(), first[first.len() - 1].head());
    assert_eq!(view.projection(), replayed::<Kinds>(first).view().unwrap().projection());
}

/// A ledger with its snapshots after `size` entries.
struct Saved {
    ledger: Playground,
    snapshots: Vec<Snapshot>,
}

impl Saved {
    fn new(size: usize) -> Self {
        let ledger = Playground::small();
        let snapshots = registered(&ledger.entries()[..size]).snapshots(&Playground::recorder_key()).unwrap();
        Self { ledger, snapshots }
    }

    fn open(&self, snapshot: &Snapshot) -> Result<OpenedSnapshot, RebuildReason> {
        self.open_bytes(snapshot.note().to_string().as_bytes(), snapshot.payload().to_vec())
    }

    fn open_bytes(&self, note: &[u8], payload: Vec<u8>) -> Result<OpenedSnapshot, RebuildReason> {
        let keys = [Playground::recorder_key().public_key()];
        OpenedSnapshot::open(note, payload, self.ledger.state().ledger_id().unwrap(), &keys)
    }

    fn last(&self, size: u64) -> Option<&Entry> {
        self.ledger.entries().get(usize::try_from(size - 1).unwrap())
    }

    fn placed(&self) -> Vec<PlacedSnapshot> {
        let place = |snapshot: &Snapshot| {
            let opened = self.open(snapshot).unwrap();
            let size = opened.header().head().size;
            opened.place(self.last(size)).unwrap()
        };
        self.snapshots.iter().map(place).collect()
    }
}

#[test]
fn a_runner_resumes_from_snapshots_and_ends_where_replay_ends() {
    let whole = registered(Playground::small().entries()).fingerprints();
    for size in [1, 20, Playground::small().entries().len()] {
        let saved = Saved::new(size);
        let registry = Registry::new().with::<Kinds>().unwrap().with::<Holdings>().unwrap();
        let (mut runner, rebuilds) = Runner::resume(registry, &saved.placed());
        assert_eq!((runner.head().size, &rebuilds[..]), (size as u64, &[][..]));
        saved.ledger.entries()[size..].iter().for_each(|entry| drop(runner.replay(entry.clone()).unwrap()));
        assert_eq!(runner.fingerprints(), whole);
    }
}

#[test]
fn any_flipped_bit_of_a_snapshot_makes_it_useless() {
    let saved = Saved::new(40);
    let snapshot = saved.snapshots.iter().find(|snapshot| snapshot.header().name() == "kinds").unwrap();
    let (note, payload) = (snapshot.note().to_string().into_bytes(), snapshot.payload().to_vec());
    assert!(saved.open_bytes(&note, payload.clone()).is_ok());
    for bit in 0..8 * note.len() {
        let mut flipped = note.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(saved.open_bytes(&flipped, payload.clone()).is_err(), "bit {bit} of the note");
    }
    for bit in 0..8 * payload.len() {
        let mut flipped = payload.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let reason = saved.open_bytes(&note, flipped).unwrap_err();
        assert_eq!(reason, RebuildReason::Payload, "bit {bit} of the payload");
    }
    let cut = saved.open_bytes(&note, payload[..payload.len() - 1].to_vec()).unwrap_err();
    assert_eq!(cut, RebuildReason::Payload);
}

#[test]
fn a_snapshot_that_is_foreign_unsigned_or_misplaced_is_refused_with_its_reason() {
    let saved = Saved::new(30);
    let snapshot = &saved.snapshots[0];
    let (note, payload) = (snapshot.note().to_string(), snapshot.payload().to_vec());
    let id = saved.ledger.state().ledger_id().unwrap();
    let key = Playground::recorder_key().public_key();

    let nobody = SecretKey::from_seed(&[9; 32]);
    let unsigned = OpenedSnapshot::open(note.as_bytes(), payload.clone(), id, &[nobody.public_key()]);
    assert!(matches!(unsigned, Err(RebuildReason::Signature(_))));
    let other_signer = SignedNote::sign(snapshot.note().untrusted_text(), id.as_str(), &nobody).unwrap();
    let forged = saved.open_bytes(other_signer.to_string().as_bytes(), payload.clone());
    assert!(matches!(forged, Err(RebuildReason::Signature(_))));

    let other_id = format!("other/{}", id.genesis()).parse().unwrap();
    let foreign = OpenedSnapshot::open(note.as_bytes(), payload.clone(), &other_id, &[key]);
    assert_eq!(foreign.map(drop), Err(RebuildReason::OtherLedger));

    let opened = || saved.open(snapshot).unwrap();
    assert_eq!(opened().place(None).map(drop), Err(RebuildReason::AheadOfLog { size: 30 }));
    for wrong in [29, 31] {
        let place = opened().place(saved.last(wrong)).map(drop);
        assert_eq!(place, Err(RebuildReason::OtherHistory { size: 30 }));
    }
    // The log was rewritten: the same statement at the same place behind another history.
    let last = saved.last(30).unwrap();
    let elsewhere = Head { size: 29, leaf: LeafHash::new([7; 32]) };
    let rewritten = Entry::seal(elsewhere, last.recorded_at(), last.signed()).unwrap();
    assert_eq!(opened().place(Some(&rewritten)).map(drop), Err(RebuildReason::OtherHistory { size: 30 }));

    let placed = saved.placed();
    let kinds = placed.iter().find(|snapshot| snapshot.header().name() == "kinds").unwrap();
    assert!(kinds.decode::<Kinds>().is_ok());
    let version = kinds.decode::<LaterKinds>().map(drop);
    assert_eq!(version, Err(RebuildReason::OtherVersion { expected: 2, found: 1 }));
    let other = kinds.decode::<Holdings>().map(drop);
    assert_eq!(other, Err(RebuildReason::OtherProjection { found: "kinds".into() }));
}

/// The first snapshot with the lines of another text, signed by `key`.
fn resigned(saved: &Saved, name: &str, lines: &[(usize, String)], key: &SecretKey) -> PlacedSnapshot {
    let id = saved.ledger.state().ledger_id().unwrap();
    let snapshot = saved.snapshots.iter().find(|snapshot| snapshot.header().name() == name).unwrap();
    let mut text: Vec<String> = snapshot.header().to_string().lines().map(str::to_owned).collect();
    lines.iter().for_each(|(number, line)| text[number - 1].clone_from(line));
    let text: String = text.iter().map(|line| format!("{line}\n")).collect();
    let note = SignedNote::sign(&text, id.as_str(), key).unwrap().to_string();
    let payload = snapshot.payload().to_vec();
    let opened = OpenedSnapshot::open(note.as_bytes(), payload, id, &[key.public_key()]).unwrap();
    let size = opened.header().head().size;
    opened.place(saved.last(size)).unwrap()
}

#[test]
fn a_snapshot_is_held_to_what_its_own_state_says() {
    let saved = Saved::new(30);
    let resume = |snapshots: &[PlacedSnapshot]| Runner::resume(Kinds::default(), snapshots);
    let reasons = |rebuilds: Vec<_>| -> Vec<RebuildReason> {
        rebuilds
            .into_iter()
            .map(|rebuild: countersign_projection::snapshot::Rebuild| rebuild.reason)
            .collect()
    };
    let (mut recorder, other) = (saved.placed(), SecretKey::from_seed(&[9; 32]));

    // A reader may know keys that were the recorder's once; the state says which one is.
    let once = resigned(&saved, "governance", &[], &other);
    let (runner, rebuilds) = resume(&[once]);
    assert_eq!((runner.head(), reasons(rebuilds)), (Head::EMPTY, vec![RebuildReason::NotByRecorder]));
    recorder.retain(|snapshot| snapshot.header().name() == "governance");
    let once = resigned(&saved, "kinds", &[], &other);
    let (runner, rebuilds) = resume(&[recorder[0].clone(), once]);
    assert_eq!((runner.head(), reasons(rebuilds)), (Head::EMPTY, vec![RebuildReason::Missing]));

    // The recorder's own mistake: the state of one head under the name of another.
    let next = saved.last(31).unwrap();
    let lines = [(5, "31".into()), (6, next.leaf().to_string()), (7, next.recorded_at().to_string())];
    let shifted = resigned(&saved, "governance", &lines, &Playground::recorder_key());
    let (runner, rebuilds) = resume(std::slice::from_ref(&shifted));
    assert_eq!((runner.head(), reasons(rebuilds)), (Head::EMPTY, vec![RebuildReason::OtherState]));
    // An older one that is usable stands in.
    let (runner, rebuilds) = resume(&[&saved.placed()[..], &[shifted]].concat());
    assert_eq!((runner.head().size, reasons(rebuilds)), (30, vec![RebuildReason::OtherState]));
}

#[test]
fn a_projection_without_a_usable_snapshot_is_rebuilt_beside_the_others() {
    let saved = Saved::new(40);
    let entries = saved.ledger.entries();
    let registry = Registry::new().with::<LaterKinds>().unwrap().with::<Holdings>().unwrap();
    let (mut runner, rebuilds) = Runner::resume(registry, &saved.placed());
    assert_eq!(runner.head().size, 40);
    assert_eq!(rebuilds.len(), 1);
    let reason = RebuildReason::OtherVersion { expected: 2, found: 1 };
    assert_eq!((rebuilds[0].name.as_str(), &rebuilds[0].reason), ("kinds", &reason));
    let waiting = runner.view::<LaterKinds>().map(drop).unwrap_err();
    assert_eq!(waiting, ViewError::Rebuilding { name: "kinds".into(), reason });
    assert!(runner.view::<Holdings>().is_ok());

    let mut beside = replayed::<LaterKinds>(&entries[..20]);
    let behind = runner.install(beside.clone()).unwrap_err();
    assert!(matches!(behind, SwapError::Head { .. }), "{behind}");
    entries[20..40].iter().for_each(|entry| drop(beside.replay(entry.clone()).unwrap()));
    let compared = runner.install(beside).unwrap();
    assert!(compared.live.is_none() && !compared.is_drift());
    assert_eq!(runner.view::<LaterKinds>().unwrap().head().size, 40);
    entries[40..].iter().for_each(|entry| drop(runner.replay(entry.clone()).unwrap()));
    let alone = replayed::<LaterKinds>(entries).fingerprints().remove(1);
    assert!(runner.fingerprints().contains(&alone));
    assert!(matches!(runner.install(replayed::<Brittle>(&entries[..5])), Err(SwapError::Head { .. })));
}

#[test]
fn without_the_states_snapshot_everything_starts_at_genesis() {
    let saved = Saved::new(40);
    let mut placed = saved.placed();
    placed.retain(|snapshot| snapshot.header().name() != "governance");
    let registry = Registry::new().with::<Kinds>().unwrap();
    let (runner, rebuilds) = Runner::resume(registry, &placed);
    assert_eq!((runner.head(), rebuilds.len()), (Head::EMPTY, 1));
    assert_eq!(rebuilds[0].reason, RebuildReason::Missing);
    assert!(runner.view::<Kinds>().is_ok());
    // Alone, a projection without a snapshot takes the state back to genesis with it.
    let (runner, rebuilds) = Runner::resume(Brittle::default(), &saved.placed());
    assert_eq!((runner.head(), rebuilds.len()), (Head::EMPTY, 1));
}

#[test]
fn only_the_recorder_makes_snapshots_and_only_of_entries() {
    let runner = Runner::<Kinds>::new();
    assert!(matches!(runner.snapshots(&Playground::recorder_key()), Err(SnapshotError::Empty)));
    let runner = replayed::<Kinds>(Playground::new().entries());
    let governor = Playground::key("user:governor-a");
    assert!(matches!(runner.snapshots(&governor), Err(SnapshotError::NotRecorder)));
}

#[test]
fn a_checkpoint_is_no_snapshot_and_a_snapshot_no_checkpoint() {
    let saved = Saved::new(30);
    let id = saved.ledger.state().ledger_id().unwrap();
    let recorder = Playground::recorder_key();
    let tree: Tree = saved.ledger.entries()[..30].iter().map(Entry::leaf).collect();
    let note = Checkpoint::new(id.as_str(), tree.size(), tree.root()).unwrap().sign(&recorder).unwrap();
    let known = VerifierKey::new(id.as_str(), KeyKind::Note, recorder.public_key()).unwrap();
    assert!(checkpoint::open(&note, id.as_str(), std::slice::from_ref(&known)).is_ok());

    let read = saved.open_bytes(note.to_string().as_bytes(), Vec::new()).map(drop);
    assert_eq!(read, Err(RebuildReason::Text(SnapshotTextError::Header)));
    for snapshot in &saved.snapshots {
        let read = checkpoint::open(snapshot.note(), id.as_str(), std::slice::from_ref(&known));
        assert!(read.is_err(), "{}", snapshot.header().name());
    }
}

#[test]
fn the_text_of_a_snapshot_has_one_spelling() {
    let saved = Saved::new(30);
    let text = saved.snapshots[0].header().to_string();
    assert_eq!(text.parse::<SnapshotHeader>().unwrap().to_string(), text);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines[0], lines[2], lines.len()), ("countersign-snapshot/v1", "governance", 9));
    let with = |number: usize, line: &str| {
        let mut lines = lines.clone();
        lines[number - 1] = line;
        lines.iter().map(|line| format!("{line}\n")).collect::<String>()
    };
    let header = SnapshotTextError::Header;
    let line = |number| SnapshotTextError::Line { number };
    let cases = [
        ("checkpoint", with(1, lines[1]), header),
        ("later form", with(1, "countersign-snapshot/v2"), header),
        ("empty", String::new(), header),
        ("ledger", with(2, "playground"), line(2)),
        ("name", with(3, "Governance"), line(3)),
        ("version", with(4, "01"), line(4)),
        ("sign", with(4, "+1"), line(4)),
        ("no entries", with(5, "0"), line(5)),
        ("size", with(5, "18446744073709551616"), line(5)),
        ("leaf", with(6, &lines[5].to_uppercase()), line(6)),
        ("instant", with(7, "2026-01-05T09:00:00Z"), line(7)),
        ("digest", with(8, &lines[7][1..]), line(8)),
        ("length", with(9, "1 "), line(9)),
        ("carriage return", text.replace('\n', "\r\n"), header),
        ("a line more", format!("{text}x\n"), SnapshotTextError::Lines { found: 10 }),
        (
            "a line less",
            lines[..8].iter().map(|line| format!("{line}\n")).collect(),
            SnapshotTextError::Lines { found: 8 },
        ),
        ("unterminated", text.trim_end().to_owned(), SnapshotTextError::Lines { found: 8 }),
    ];
    for (name, text, want) in cases {
        assert_eq!(text.parse::<SnapshotHeader>(), Err(want), "case: {name}");
    }
}

#[test]
fn a_runner_built_anew_takes_over_and_says_what_differed() {
    let ledger = Playground::small();
    let mut live = replayed::<Kinds>(ledger.entries());
    let behind = replayed::<Kinds>(&ledger.entries()[..10]);
    assert!(matches!(live.swap(behind), Err(SwapError::Head { .. })));
    let compared = live.swap(replayed::<Kinds>(ledger.entries())).unwrap();
    assert_eq!(compared.iter().map(|one| one.name).collect::<Vec<_>>(), ["governance", "kinds"]);
    assert!(compared.iter().all(|one| !one.is_drift() && one.live.is_some()));
}

/// Addresses, hash seeds and whatever else differs from one process to the next must not reach the bytes.
#[test]
fn another_process_finds_the_same_states() {
    const CHILD: &str = "COUNTERSIGN_PRINT_FINGERPRINTS";
    let runner = registered(Playground::small().entries());
    let lines: Vec<String> = runner.fingerprints().iter().map(|print| format!("print: {print}")).collect();
    if std::env::var_os(CHILD).is_some() {
        lines.iter().for_each(|line| println!("{line}"));
        return;
    }
    let arguments = ["--exact", "another_process_finds_the_same_states", "--nocapture"];
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    let output = child.args(arguments).env(CHILD, "1").output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let found: Vec<&str> = output.lines().filter_map(|line| Some(&line[line.find("print: ")?..])).collect();
    assert_eq!(found, lines);
    assert_eq!(found.len(), 3);
}

static FOLDS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

/// Depends on more than the entries.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Drifting(u64);

impl Projection for Drifting {
    const NAME: &'static str = "drifting";
    const VERSION: u64 = 1;
    const LOOKS_BACK: bool = false;
    type Error = std::convert::Infallible;

    fn apply(&mut self, _step: &Step<'_>) -> Result<(), Self::Error> {
        self.0 = FOLDS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }
}

#[test]
fn drift_shows_when_a_runner_built_anew_takes_over() {
    let ledger = Playground::small();
    let mut live = replayed::<(Kinds, Drifting)>(ledger.entries());
    let fresh = replayed::<(Kinds, Drifting)>(ledger.entries());
    let expected = fresh.fingerprints();
    let compared = live.swap(fresh).unwrap();
    let drifted: Vec<_> = compared.iter().filter(|one| one.is_drift()).map(|one| one.name).collect();
    assert_eq!(drifted, ["drifting"]);
    assert_eq!(live.fingerprints(), expected);

    let mut registered = registered(ledger.entries());
    let unknown = registered.install(replayed::<Drifting>(ledger.entries())).unwrap_err();
    assert!(matches!(unknown, SwapError::Unknown { name: "drifting" }), "{unknown}");
    let mut halted = Runner::<Brittle>::new();
    ledger.entries().iter().for_each(|entry| drop(halted.replay(entry.clone())));
    assert!(matches!(registered.install(halted), Err(SwapError::Halted(_))));
}

fn grants<S: Projections>(state: &countersign_projection::as_of::AsOf<S>) -> Vec<StatementDigest> {
    let mut grants: Vec<_> = state.state().grants(state.at()).into_iter().map(|grant| grant.grant).collect();
    grants.sort();
    grants
}

#[test]
fn as_of_cuts_on_both_axes() {
    let mut ledger = Playground::new();
    ledger.pass(DAY);
    let first = ledger.give("user:worker-a", "app:billing", "reader", 10 * DAY).unwrap();
    let (granted_at, granted) = (ledger.now(), ledger.head().size);
    ledger.pass(DAY);
    ledger.revoke("user:worker-a", first).unwrap();
    let (revoked_at, revoked) = (ledger.now(), ledger.head().size);
    let entries = || ledger.entries().iter().cloned();
    let fold = |cut| as_of(Runner::<()>::new(), cut, entries()).unwrap();
    let just_before = |at: Timestamp| Timestamp::from_millis(at.millis() - 1).unwrap();

    assert_eq!(grants(&fold(Cut::at(just_before(granted_at)))), []);
    assert_eq!(grants(&fold(Cut::at(granted_at))), [first]);
    assert_eq!(grants(&fold(Cut::at(just_before(revoked_at)))), [first]);
    assert_eq!(grants(&fold(Cut::at(revoked_at))), []);
    // What was known before the revocation: that it holds until its own end.
    let end = granted_at.plus_seconds(10 * DAY).unwrap();
    assert_eq!(grants(&fold(Cut::known_by(revoked_at, granted))), [first]);
    assert_eq!(grants(&fold(Cut::known_by(just_before(end), granted))), [first]);
    assert_eq!(grants(&fold(Cut::known_by(end, granted))), []);
    // A size does not reach past the instant.
    assert_eq!(fold(Cut::known_by(granted_at, revoked)).head().size, granted);

    assert!(fold(Cut::at(granted_at)).is_settled());
    assert!(!fold(Cut::at(revoked_at)).is_settled());
    assert!(fold(Cut::known_by(revoked_at, revoked)).is_settled());
    assert_eq!(fold(Cut::known_by(Timestamp::MAX, 0)).head(), Head::EMPTY);
    let short =
        as_of(Runner::<()>::new(), Cut::known_by(Timestamp::MAX, revoked + 1), entries()).unwrap_err();
    assert!(matches!(short, AsOfError::Short { size, found } if size == found + 1), "{short}");
}

#[test]
fn as_of_starts_from_a_snapshot_before_the_cut_and_from_no_other() {
    let saved = Saved::new(45);
    let (entries, placed) = (saved.ledger.entries(), saved.placed());
    let at = entries[44].recorded_at();
    let after = Cut::at(Timestamp::MAX);
    let (runner, rebuilds) = Runner::resume(Holdings::default(), &after.usable(&placed));
    assert_eq!((runner.head().size, rebuilds.len()), (45, 0));
    let quick = as_of(runner.clone(), after, entries[45..].iter().cloned()).unwrap();
    let slow = as_of(Runner::<Holdings>::new(), after, entries.iter().cloned()).unwrap();
    assert_eq!(quick.into_runner().fingerprints(), slow.into_runner().fingerprints());

    let before = Timestamp::from_millis(at.millis() - 1).unwrap();
    for cut in [Cut::at(before), Cut::known_by(Timestamp::MAX, 44)] {
        assert!(cut.usable(&placed).is_empty());
        let refused = as_of(runner.clone(), cut, entries[45..].iter().cloned()).unwrap_err();
        assert!(matches!(refused, AsOfError::StartsAfter { .. }), "{refused}");
    }
}

#[test]
fn a_fold_that_failed_gives_no_state() {
    let ledger = Playground::small();
    let skipping = ledger.entries().iter().filter(|entry| entry.seq() != 20).cloned();
    let refused = as_of(Runner::<()>::new(), Cut::at(Timestamp::MAX), skipping).unwrap_err();
    assert!(matches!(refused, AsOfError::Run(RunError::Seq { expected: 20, found: 21 })), "{refused}");
    let halted = as_of(Runner::<Brittle>::new(), Cut::at(Timestamp::MAX), ledger.entries().iter().cloned());
    assert!(matches!(halted, Err(AsOfError::Run(RunError::Halted(_)))));
    // That the ledger went on after T is only believed of an entry that the rules admit.
    let cut = Cut::at(ledger.entries()[20].recorded_at());
    let later = ledger.entries().iter().position(|entry| entry.recorded_at() > cut.at).unwrap();
    let forged = ledger.entries()[later].statement().clone().prepare().unwrap();
    let last = &ledger.entries()[later - 1];
    let forged = Entry::seal(last.head(), Timestamp::MAX, &forged).unwrap();
    let entries = ledger.entries()[..later].iter().cloned().chain([forged]);
    assert!(matches!(as_of(Runner::<()>::new(), cut, entries), Err(AsOfError::Run(_))));
}

#[test]
fn everyone_who_held_something_during_a_quarter() {
    let ledger = Playground::small();
    let view = replayed::<Holdings>(ledger.entries()).view().unwrap();
    let causes: Vec<_> =
        view.holdings().map(|holding| (holding.subject.to_string(), holding.cause)).collect();
    let who = |name: &str| format!("user:worker-{name}");
    assert_eq!(
        causes,
        [
            (who("a"), Some(EndCause::Replaced)),
            (who("b"), Some(EndCause::Expired)),
            (who("c"), Some(EndCause::ClassClosed)),
            (who("a"), Some(EndCause::Expired)),
            (who("d"), Some(EndCause::Revoked)),
            (who("d"), Some(EndCause::SubjectDeparted)),
            (who("b"), Some(EndCause::OwnerGone)),
            (who("b"), None),
        ]
    );

    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let quarter = Period::new(at("2026-01-01T00:00:00.000Z"), at("2026-04-01T00:00:00.000Z")).unwrap();
    let payroll = Wanted { resource: Some("app:payroll".parse().unwrap()), ..Wanted::default() };
    let population = view.population(&payroll, &quarter);
    assert_eq!((population.head, population.is_settled), (ledger.head(), true));
    let names: Vec<_> = population.holdings.iter().map(|holding| holding.subject.as_str()).collect();
    // The grant that was given back at the instant it was given stands in it: it could be used between the two entries.
    assert_eq!(names, ["user:worker-b", "user:worker-b", "user:worker-d", "user:worker-d"]);
    let nobody = Wanted { subject: Some("user:nobody".parse().unwrap()), ..Wanted::default() };
    assert!(view.population(&nobody, &quarter).holdings.is_empty());
    let future = Period::new(ledger.now(), Timestamp::MAX).unwrap();
    assert!(!view.population(&Wanted::default(), &future).is_settled);

    let json = population.holdings[0].to_string();
    assert!(
        json.starts_with("{\"cause\":\"expired\",\"from\":\"2026-01-06T10:00:00.000Z\",\"grant\":\""),
        "{json}"
    );
    assert!(
        json.ends_with("\"subject\":\"user:worker-b\",\"until\":\"2026-01-16T10:00:00.000Z\"}"),
        "{json}"
    );
}

#[test]
fn periods_and_holdings_are_half_open() {
    let at = |millis| Timestamp::from_millis(millis).unwrap();
    let period = Period::new(at(10), at(20)).unwrap();
    let cases = [
        ("ends as it begins", 5, Some(10), false),
        ("ends just inside", 5, Some(11), true),
        ("begins as it ends", 20, None, false),
        ("begins just inside", 19, None, true),
        ("around it", 0, None, true),
        ("within", 12, Some(13), true),
        ("an instant within", 12, Some(12), true),
        ("an instant at its beginning", 10, Some(10), true),
        ("an instant at its end", 20, Some(20), false),
        ("an instant before", 9, Some(9), false),
    ];
    for (name, from, until, want) in cases {
        assert_eq!(period.meets(at(from), until.map(at)), want, "case: {name}");
    }
    assert!(Period::new(at(10), at(10)).is_none());
    assert!(Period::new(at(11), at(10)).is_none());
}

/// One thing that may happen in a generated history.
#[derive(Debug, Clone, Copy)]
enum Act {
    Pass(u64),
    Give { worker: usize, app: usize, seconds: u64 },
    Hold { worker: usize, app: usize },
    OpenClass(u64),
    Revoke { nth: usize },
    Depart { worker: usize },
    WithdrawOwner { owner: usize },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let worker = 0..4_usize;
    let act = prop_oneof![
        4 => (0..2_000_u64).prop_map(Act::Pass),
        6 => (worker.clone(), 0..2_usize, 1..3_000_u64)
            .prop_map(|(worker, app, seconds)| Act::Give { worker, app, seconds }),
        3 => (worker.clone(), 0..2_usize).prop_map(|(worker, app)| Act::Hold { worker, app }),
        1 => (1..4_000_u64).prop_map(Act::OpenClass),
        2 => (0..20_usize).prop_map(|nth| Act::Revoke { nth }),
        1 => worker.prop_map(|worker| Act::Depart { worker }),
        1 => (0..2_usize).prop_map(|owner| Act::WithdrawOwner { owner }),
    ];
    proptest::collection::vec(act, 1..25)
}

const WORKERS: [&str; 4] = ["user:worker-a", "user:worker-b", "user:worker-c", "user:worker-d"];
const APPS: [&str; 2] = ["app:billing", "app:payroll"];
const OWNERS: [&str; 2] = ["user:owner-a", "user:owner-b"];

/// Plays the acts; what the rules refuse did not happen.
fn play(acts: &[Act]) -> Playground {
    let mut ledger = Playground::new();
    let mut given: Vec<(usize, StatementDigest)> = Vec::new();
    for act in acts {
        match *act {
            Act::Pass(seconds) => ledger.pass(seconds),
            Act::Give { worker, app, seconds } => {
                if let Ok(grant) = ledger.give(WORKERS[worker], APPS[app], "reader", seconds) {
                    given.push((worker, grant));
                }
            }
            Act::Hold { worker, app } => {
                let hold = Hold::Class("standing".parse().unwrap());
                let granted =
                    ledger.request(WORKERS[worker], APPS[app], "writer", hold, None).and_then(|request| {
                        ledger.approve(OWNERS[app], request)?;
                        ledger.grant(request)
                    });
                given.extend(granted.ok().map(|grant| (worker, grant)));
            }
            Act::OpenClass(seconds) => drop(ledger.open_class(seconds)),
            Act::Revoke { nth } => {
                if let Some((worker, grant)) = given.get(nth) {
                    drop(ledger.revoke(WORKERS[*worker], *grant));
                }
            }
            Act::Depart { worker } => drop(ledger.depart(WORKERS[worker])),
            Act::WithdrawOwner { owner } => drop(ledger.withdraw_owner(OWNERS[owner])),
        }
    }
    ledger
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Against a model that asks the state itself at every instant where something changes.
    #[test]
    fn populations_equal_those_of_a_model_that_rescans(acts in acts(), from in 0..20_000_u64, length in 1..8_000_u64) {
        let ledger = play(&acts);
        let view = replayed::<Holdings>(ledger.entries()).view().unwrap();
        let start = ledger.entries()[0].recorded_at();
        let period = Period::new(start.plus_seconds(from).unwrap(), start.plus_seconds(from + length).unwrap()).unwrap();

        // Whoever holds at an instant of the period holds at its beginning, or at an instant where an entry was recorded.
        let mut held = std::collections::BTreeSet::new();
        let mut runner = Runner::<()>::new();
        let mut entries = ledger.entries().iter().peekable();
        while let Some(entry) = entries.next() {
            runner.replay(entry.clone()).unwrap();
            let until = entries.peek().map_or(Timestamp::MAX, |next| next.recorded_at());
            let (first, last) = (period.from().max(entry.recorded_at()), period.until().min(until));
            let is_moment = first == entry.recorded_at() && first == until && first < period.until();
            if first < last || is_moment {
                held.extend(runner.state().grants(first).into_iter().map(|grant| grant.grant));
            }
        }
        let population = view.population(&Wanted::default(), &period);
        let found: std::collections::BTreeSet<_> = population.holdings.iter().map(|holding| holding.grant).collect();
        prop_assert_eq!(found, held);
    }

    #[test]
    fn laws_hold_on_any_history(acts in acts()) {
        let ledger = play(&acts);
        prop_assert!(test_kit::check::<Kinds>(ledger.entries()).is_ok());
        let held = ledger.entries().iter().any(|entry| matches!(entry.statement().event, Event::AccessGranted(_)));
        match test_kit::check::<Holdings>(ledger.entries()) {
            Ok(_) => prop_assert!(held),
            Err(test_kit::BrokenLaw::Idle) => prop_assert!(!held),
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}
