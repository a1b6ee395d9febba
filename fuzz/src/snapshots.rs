//! Snapshots changed before or after they were signed, and any bytes in their place: refused, or a state that answers.

use std::sync::OnceLock;

use countersign_core::digest::sha256;
use countersign_core::id::LedgerId;
use countersign_core::key::SignerKey as _;
use countersign_core::note::SignedNote;
use countersign_core::time::Timestamp;
use countersign_projection::governance::State;
use countersign_projection::projection::Projection;
use countersign_projection::snapshot::{OpenedSnapshot, SnapshotHeader};
use countersign_projection::test_kit::Playground;

use crate::damage::{Files, KINDS, Others, apply};

/// The first byte says what the others are: any state, any text, any note, or changes of a state that is signed then, or of its
/// note. Returns in a word what it came to.
///
/// # Panics
/// Where a reader of snapshots breaks a promise.
pub fn reads(bytes: &[u8]) -> &'static str {
    let Some((first, rest)) = bytes.split_first() else { return "nothing" };
    let world = World::get();
    let change = |what: &[u8]| {
        let mut files = Files::from([("it".to_owned(), what.to_vec())]);
        apply(&mut files, &world.others, rest);
        files.remove("it").unwrap_or_default()
    };
    match first % 5 {
        0 => answers(State::decode(rest).ok(), rest),
        1 => {
            let header = std::str::from_utf8(rest).ok().and_then(|text| text.parse::<SnapshotHeader>().ok());
            let is_header = header.is_some_and(|header| header.to_string().as_bytes() == rest);
            if is_header { "a header" } else { "refused" }
        }
        2 => opened(&change(&world.note), &world.payload, rest.is_empty()),
        3 => opened(&world.note, &change(&world.payload), rest.is_empty()),
        _ => {
            let payload = change(&world.payload);
            let state =
                opened_state(&sign(&world.ledger, &payload), &payload).expect("it is signed as it is");
            answers(state, &payload)
        }
    }
}

/// What fuzzing starts from: each of what the first byte says, with one change of each kind.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let world = World::get();
    let text = header(&world.ledger, &world.payload).into_bytes();
    let whole = [(0, &world.payload[..]), (1, &text), (2, b""), (3, b""), (4, b"")];
    let whole = whole.map(|(first, rest)| [&[first], rest].concat());
    let changes = (0..KINDS).map(|kind| [kind, 0, kind, 7 * kind, 60, kind, 1, kind]);
    let changes = changes.flat_map(|change| [2, 3, 4].map(|first| [&[first], &change[..]].concat()));
    whole.into_iter().chain(changes).collect()
}

/// What was signed opens as it was signed alone.
fn opened(note: &[u8], payload: &[u8], is_unchanged: bool) -> &'static str {
    let world = World::get();
    let state = opened_state(note, payload);
    // Signatures of others beside the recorder's do no harm.
    let text = |note: &[u8]| SignedNote::parse(note).ok().map(|note| note.untrusted_text().to_owned());
    let is_as_it_was = text(note) == text(&world.note) && payload == world.payload;
    assert!(is_as_it_was || state.is_none(), "what nobody signed is taken for signed");
    assert!(!is_unchanged || matches!(state, Some(Some(_))), "what was signed opens");
    match state {
        Some(state) => answers(state, payload),
        None => "refused",
    }
}

/// None where it is not the recorder's snapshot of this ledger; the state, if it is one.
fn opened_state(note: &[u8], payload: &[u8]) -> Option<Option<State>> {
    let world = World::get();
    let keys = [Playground::recorder_key().public_key()];
    let opened = OpenedSnapshot::open(note, payload.to_vec(), &world.ledger, &keys).ok()?;
    let placed = opened.place(world.playground.entries().last()).expect("it is of the last entry");
    Some(placed.decode::<State>().ok())
}

/// A state that is read is written alike, and every question to it has an answer. Numbers alone have longer spellings that are read:
/// with zeros in front, which say the same.
fn answers(state: Option<State>, bytes: &[u8]) -> &'static str {
    let Some(state) = state else { return "no state" };
    let again = state.to_snapshot();
    let is_longer =
        || bytes.len() > again.len() && State::decode(&again).is_ok_and(|same| same.to_snapshot() == again);
    assert!(again == bytes || is_longer(), "another state than the one that was written");
    for at in [state.recorded_at(), Timestamp::MAX] {
        for grant in state.grants(at) {
            let _ = state.check(&grant.subject, &grant.resource, &grant.role, at);
        }
        for request in state.requests(at) {
            let _ = state.propose_grant(&request.request, at);
        }
        drop((state.capacities(at), state.policies(at), state.exceptions(at), state.governors(at)));
        let _ = state.at(at).digest();
    }
    for principal in state.principals() {
        drop(state.principal(&principal));
    }
    "a state"
}

struct World {
    playground: Playground,
    ledger: LedgerId,
    payload: Vec<u8>,
    note: Vec<u8>,
    others: Others,
}

impl World {
    fn get() -> &'static Self {
        static WORLD: OnceLock<World> = OnceLock::new();
        WORLD.get_or_init(|| {
            let playground = Playground::small();
            let state = playground.state();
            let ledger = state.ledger_id().expect("it has begun").clone();
            let payload = state.to_snapshot();
            let header = header_of(&playground, &ledger, &payload);
            let note = signed(&header, &ledger);
            let others = Others { lines: vec![header.into_bytes()], ..Others::default() };
            Self { ledger, payload, note, others, playground }
        })
    }
}

fn header(ledger: &LedgerId, payload: &[u8]) -> String {
    header_of(&World::get().playground, ledger, payload)
}

/// The nine lines of a snapshot of the governance state at the last entry, as docs/format.md has them.
fn header_of(playground: &Playground, ledger: &LedgerId, payload: &[u8]) -> String {
    let (head, at) = (playground.head(), playground.state().recorded_at());
    let digest: String = sha256(&[payload]).iter().map(|byte| format!("{byte:02x}")).collect();
    let (name, version) = (State::NAME, State::VERSION);
    format!(
        "countersign-snapshot/v1\n{ledger}\n{name}\n{version}\n{}\n{}\n{at}\n{digest}\n{}\n",
        head.size,
        head.leaf,
        payload.len()
    )
}

fn sign(ledger: &LedgerId, payload: &[u8]) -> Vec<u8> {
    signed(&header(ledger, payload), ledger)
}

fn signed(header: &str, ledger: &LedgerId) -> Vec<u8> {
    let note = SignedNote::sign(header, ledger.as_str(), &Playground::recorder_key());
    note.expect("a key in memory signs any text").to_string().into_bytes()
}
