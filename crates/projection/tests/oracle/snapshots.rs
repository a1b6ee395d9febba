//! States that a recorder signed by mistake: read, they are refused, or answer every question, and go on.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use countersign_core::time::Timestamp;
use countersign_projection::governance::State;
use countersign_projection::projection::{CodecError, Projection as _};

use crate::laws::history;
use crate::support::desk::Desk;
use crate::support::play::Player;
use crate::support::random::Random;
use crate::support::spoil::Tree;

const HISTORIES: u64 = 12;
/// How many spoilt states are made of each.
const SPOILT: u64 = 300;
const SOAK: u64 = 30_000;
/// How many at least are not refused, so that there is somebody to ask; and how many are.
const ENOUGH: u64 = 1_000;

#[test]
fn the_tree_is_what_postcard_writes() {
    for seed in 0..HISTORIES {
        let state = history(seed, 40).state;
        assert!(Tree::of(&state).bytes() == state.to_snapshot(), "seed {seed}");
    }
}

#[test]
fn f09_a_spoilt_state_is_refused_or_answers_and_goes_on() {
    let spoilt = if std::env::var_os("COUNTERSIGN_SOAK").is_some() { SOAK } else { SPOILT };
    let (mut taken, mut contradictions) = (0_u64, 0_u64);
    for seed in 0..HISTORIES {
        let desk = history(seed, 40);
        let whole = Tree::of(&desk.state);
        for number in 0..spoilt {
            let mut random = Random::new(seed << 32 | number);
            let mut tree = whole.clone();
            for _ in 0..=random.below(3) {
                tree.spoil(&mut random);
            }
            let bytes = tree.bytes();
            let went = catch_unwind(AssertUnwindSafe(|| match State::decode(&bytes) {
                Ok(state) => {
                    assert!(state.to_snapshot() == bytes, "another state than the one that was written");
                    ask_everything(&state);
                    go_on(&desk, state, number);
                    (1, 0)
                }
                Err(CodecError::Contradiction { .. }) => (0, 1),
                Err(_) => (0, 0),
            }));
            match went {
                Ok((one_taken, contradiction)) => {
                    taken += one_taken;
                    contradictions += contradiction;
                }
                Err(panic) => {
                    println!("history {seed}, spoilt state {number}");
                    resume_unwind(panic);
                }
            }
        }
    }
    println!("{taken} taken, {contradictions} contradict themselves, of {}", HISTORIES * spoilt);
    assert!(taken >= ENOUGH && contradictions >= ENOUGH, "{taken} taken, {contradictions} contradictions");
}

#[test]
fn f09_no_changed_byte_of_a_state_makes_reading_it_panic() {
    let bytes = history(1, 40).state.to_snapshot();
    for at in 0..bytes.len() {
        for change in [1, 0x7f] {
            let mut changed = bytes.clone();
            changed[at] ^= change;
            if let Ok(state) = State::decode(&changed) {
                drop(state.at(Timestamp::MAX));
            }
        }
        assert!(State::decode(&bytes[..at]).is_err(), "cut at {at}");
    }
}

fn ask_everything(state: &State) {
    let soon = state.recorded_at().saturating_plus_seconds(3_600);
    for at in [state.recorded_at(), soon, Timestamp::MAX] {
        drop(state.capacities(at));
        drop(state.policies(at));
        drop(state.classes(at));
        drop(state.exceptions(at));
        drop(state.governors(at));
        for grant in state.grants(at) {
            let _ = state.check(&grant.subject, &grant.resource, &grant.role, at);
            drop(state.grants_on(&grant.resource, at));
            let _ = state.clause(&grant.resource, &grant.role, at);
        }
        for request in state.requests(at) {
            let _ = state.propose_grant(&request.request, at);
        }
        drop(state.resources(at));
        let later = state.at(at);
        assert!(later.endings().iter().all(|ending| ending.at <= at));
        assert_eq!(later.at(at).digest(), later.digest());
    }
    for principal in state.principals() {
        drop(state.principal(&principal));
        drop(state.grants_of(&principal, soon));
    }
    drop((state.keys(), state.recorder_key(), state.governors_quorum(), state.is_frozen()));
}

/// Says what comes to mind, whatever becomes of it. The model knows nothing of what was spoilt.
fn go_on(desk: &Desk, state: State, seed: u64) {
    let mut desk = Desk { state, compared: false, ..desk.clone() };
    let mut player = Player::new(&mut desk, seed);
    for _ in 0..8 {
        player.step();
    }
}
