//! The body of the fuzz target `verify` over directories that are changed at random, without a fuzzer, and what the program says of them.

#![allow(clippy::unwrap_used, reason = "a test that can not go on panics")]

mod common;
#[allow(unreachable_pub, reason = "public in the fuzz package")]
#[path = "../../../fuzz/src/damage.rs"]
mod damage;
#[allow(unreachable_pub, reason = "public in the fuzz package")]
#[path = "../../../fuzz/src/shaking.rs"]
mod shaking;
#[allow(unreachable_pub, reason = "public in the fuzz package")]
#[path = "../../../fuzz/src/verifying.rs"]
mod verifying;

use std::path::Path;

use countersign_notices::{count, is_soak};
use shaking::{Steps, run, runs_all};

/// A directory, and one to three changes of it.
fn inputs(count: usize) -> impl Iterator<Item = Vec<u8>> {
    let mut steps = Steps::new();
    (0..count).map(move |number| {
        let length = 1 + 12 * (1 + steps.below(3));
        let mut input: Vec<u8> = (0..length).map(|_| steps.below(256) as u8).collect();
        input[0] = number as u8;
        input
    })
}

#[test]
fn no_change_of_a_directory_makes_verify_pass_what_was_not_signed_or_say_two_things() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli-fuzz-verify");
    let unchanged = (0..4).map(|shape| vec![shape]);
    let times = if is_soak() { 10_000 } else { 400 };
    let inputs = unchanged.chain(verifying::seeds()).chain(inputs(times));
    let tally = run(inputs, verifying::shown, |input| {
        let Some(report) = verifying::verifies(input, &dir) else { return "nothing" };
        let path = dir.to_str().unwrap();
        let json = common::run(&["verify", path, "--json"], b"");
        let text = common::run(&["verify", path], b"");
        assert_eq!(json.code, text.code, "{}", text.stdout);
        for said in [&json.stdout, &json.stderr, &text.stdout, &text.stderr] {
            let is_plain = |c: char| c == '\n' || !(c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c));
            assert!(said.chars().all(is_plain), "{said:?}");
        }
        match report {
            Ok(report) => {
                assert_eq!(json.code, u8::from(!report.is_sound()), "{report}");
                let said: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
                assert_eq!(said["entries"], report.entries);
                if report.is_sound() { "sound" } else { "not sound" }
            }
            Err(error) => {
                assert_eq!((json.code, json.stdout.as_str()), (2, ""), "{error}");
                "not read"
            }
        }
    });
    count("no_change_of_a_directory_makes_verify_pass_what_was_not_signed", &format!("{tally:?}"));
    if runs_all() {
        for came_to in ["sound", "not sound", "not read"] {
            assert!(tally.get(came_to).is_some_and(|times| *times >= 10), "{came_to}: {tally:?}");
        }
    }
}
