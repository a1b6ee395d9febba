//! Random histories, each statement judged by the rules and by the model.

use countersign_projection::governance::RefusalCode;

use crate::cover::{ENOUGH, refuse_everything};
use crate::support::cast::*;
use crate::support::desk::{Desk, Tally};
use crate::support::play::Player;

/// How many histories, and how many statements each.
const HISTORIES: u64 = 20_000;
const SOAK: u64 = 400_000;
const STATEMENTS: usize = 16;

/// `COUNTERSIGN_HISTORIES` gives another number, `COUNTERSIGN_SOAK` the large one.
fn histories() -> u64 {
    let given = std::env::var("COUNTERSIGN_HISTORIES").ok().and_then(|given| given.parse().ok());
    let soak = std::env::var_os("COUNTERSIGN_SOAK").is_some();
    given.unwrap_or(if soak { SOAK } else { HISTORIES })
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
    let share = tally.admitted * 100 / all;
    println!("{all} statements, {share} % admitted, {} refusals for one reason alone", tally.exact);
    println!("{} refusals for the first of several reasons", tally.ordered);
    assert!(tally.ordered * 20 > tally.refusals(), "{} refusals with several reasons", tally.ordered);
    assert!((30..=80).contains(&share), "{share} % were admitted");
    let by_chance = tally.clone();
    tally.add(&refuse_everything(&companies));
    println!("{:>8} {:>8} code", "by chance", "in all");
    let count = |tally: &Tally, code| tally.refused.get(code).copied().unwrap_or(0);
    for code in RefusalCode::ALL {
        println!("{:>9} {:>8} {code}", count(&by_chance, code), count(&tally, code));
    }
    for code in RefusalCode::ALL {
        assert!(count(&tally, code) >= ENOUGH, "{code} was seen {} times", count(&tally, code));
    }
}
