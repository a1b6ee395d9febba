//! Runs a target over changes of its seeds without a fuzzer: the same ones every time.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// A generator with a fixed start (xorshift64), so that every run is the same.
pub struct Steps(u64);

impl Steps {
    /// The same steps as ever.
    #[must_use]
    pub const fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    /// One of so many, 0 where there are none.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % end.max(1)
    }
}

/// What so many inputs came to, and how often.
pub type Tally = BTreeMap<&'static str, usize>;

/// The input that is asked for by itself: `COUNTERSIGN_FUZZ`, in hexadecimal digits.
fn only() -> Option<Vec<u8>> {
    let text = std::env::var("COUNTERSIGN_FUZZ").ok()?;
    let byte = |at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(byte).collect()
}

/// Runs a target on the inputs. One that it fails on is printed as `shown` has it, and how to run it alone; the
/// others are not run then.
pub fn run(
    inputs: impl Iterator<Item = Vec<u8>>,
    shown: impl Fn(&[u8]) -> String,
    target: impl Fn(&[u8]) -> &'static str,
) -> Tally {
    let mut tally = Tally::new();
    let only = only();
    let chosen: Box<dyn Iterator<Item = Vec<u8>>> = match &only {
        Some(one) => Box::new(std::iter::once(one.clone())),
        None => Box::new(inputs),
    };
    for input in chosen {
        match catch_unwind(AssertUnwindSafe(|| target(&input))) {
            Ok(came_to) => *tally.entry(came_to).or_default() += 1,
            Err(panic) => {
                let digits: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
                eprintln!("{}", shown(&input));
                eprintln!("FAILED: COUNTERSIGN_FUZZ={digits} runs this input alone");
                resume_unwind(panic);
            }
        }
    }
    tally
}

/// Whether all inputs are run, and not one that was asked for.
#[must_use]
pub fn runs_all() -> bool {
    only().is_none()
}
