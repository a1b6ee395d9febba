//! Random histories, each statement judged by the rules and by the model.

use crate::support::cast::*;
use crate::support::desk::{Desk, Tally};
use crate::support::play::Player;

/// How many histories, and how many statements each.
const HISTORIES: u64 = 20_000;
const SOAK: u64 = 400_000;
const STATEMENTS: usize = 16;

pub(crate) fn histories() -> u64 {
    if std::env::var_os("COUNTERSIGN_SOAK").is_some() { SOAK } else { HISTORIES }
}

pub(crate) fn companies() -> Vec<Desk> {
    (0..12)
        .map(|number| {
            let mut desk = company(shape(number));
            assert_eq!(desk.tally.refusals(), 0);
            desk.tally = Tally::default();
            desk
        })
        .collect()
}

#[test]
fn judge_agrees_with_the_model_on_random_histories() {
    let companies = companies();
    let mut tally = Tally::default();
    for seed in 0..histories() {
        let mut desk = companies[usize::try_from(seed).unwrap() % companies.len()].clone();
        let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut player = Player::new(&mut desk, seed);
            // Questions take longer than statements, so they are asked in every fourth history.
            let asks = seed % 4 == 0;
            for _ in 0..STATEMENTS {
                player.step();
                if asks && player.random.chance(30) {
                    player.ask();
                }
            }
            if asks {
                player.ask_ahead();
            }
        }));
        if let Err(panic) = played {
            println!("history {seed} failed");
            std::panic::resume_unwind(panic);
        }
        tally.add(&desk.tally);
    }
    let all = tally.admitted + tally.refusals();
    println!("{all} statements, {} admitted, {} refusals with one rule broken", tally.admitted, tally.exact);
    for (code, count) in &tally.refused {
        println!("{count:>8} {code}");
    }
    let share = tally.admitted * 100 / all;
    assert!((30..=80).contains(&share), "{share} % were admitted");
}
