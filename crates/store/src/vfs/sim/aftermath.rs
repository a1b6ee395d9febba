//! The disks that a loss of power may leave, each under a number.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use super::SimVfs;
use super::disk::Disk;

/// Most disks that are looked at after one loss of power. Where no more are possible, all are.
pub const MAX_STATES: u64 = 1 << 12;

/// What a loss of power may leave.
#[derive(Debug, Clone)]
pub struct Aftermath {
    disk: Disk,
    /// How many ways there are for each thing that may be one way or another.
    radices: Vec<u64>,
    /// All of them together; none where it is more than fits.
    possible: Option<u64>,
}

/// Which of the disks that a loss of power may leave: with the calls that were made, it names one disk for certain.
///
/// As text, `nth:7` or `seed:7`, which [`str::parse`] reads again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Choice {
    /// Counted through. 0 is the disk on which nothing survived that may be lost.
    Nth(u64),
    /// Drawn by lot. For 0 nothing survived, for 1 everything did.
    Seed(u64),
}

impl Aftermath {
    pub(super) fn new(disk: Disk) -> Self {
        let mut radices = Vec::new();
        disk.after_crash(&mut |radix| {
            radices.push(radix);
            0
        });
        let possible = radices.iter().try_fold(1_u64, |product, radix| product.checked_mul(*radix));
        Self { disk, radices, possible }
    }

    /// How many disks are possible, none where it is more than a `u64` holds. Some may be equal.
    #[must_use]
    pub fn possible(&self) -> Option<u64> {
        self.possible
    }

    /// The choices to look at: all of them up to [`MAX_STATES`], else as many seeds.
    pub fn choices(&self) -> impl Iterator<Item = Choice> + use<> {
        let all = self.possible.filter(|possible| *possible <= MAX_STATES);
        let choice: fn(u64) -> Choice = if all.is_some() { Choice::Nth } else { Choice::Seed };
        (0..all.unwrap_or(MAX_STATES)).map(choice)
    }

    /// The machine started again on the disk of this choice: nothing of it is in doubt, and nobody holds a lock.
    #[must_use]
    pub fn disk(&self, choice: Choice) -> SimVfs {
        let disk = match choice {
            Choice::Nth(mut number) => self.disk.after_crash(&mut |radix| {
                let digit = number % radix;
                number /= radix;
                digit
            }),
            Choice::Seed(0) => self.disk.after_crash(&mut |_| 0),
            Choice::Seed(1) => self.disk.after_crash(&mut |radix| radix - 1),
            Choice::Seed(seed) => {
                let mut draw = Draw(seed);
                // Some disks lose nearly all, some nearly nothing: mistakes show at the edges.
                let newest_of_8 = [1, 4, 7, 4][usize::try_from(seed % 4).unwrap_or(0)];
                self.disk.after_crash(&mut |radix| {
                    if draw.next() % 8 < newest_of_8 { radix - 1 } else { draw.next() % radix }
                })
            }
        };
        SimVfs::of(disk)
    }

    /// Every choice to look at, with its disk.
    pub fn disks(&self) -> impl Iterator<Item = (Choice, SimVfs)> + '_ {
        self.choices().map(|choice| (choice, self.disk(choice)))
    }

    /// How many things may be one way or another.
    #[must_use]
    pub fn in_doubt(&self) -> usize {
        self.radices.len()
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nth(number) => write!(f, "nth:{number}"),
            Self::Seed(seed) => write!(f, "seed:{seed}"),
        }
    }
}

impl FromStr for Choice {
    type Err = ParseChoiceError;

    fn from_str(text: &str) -> Result<Self, ParseChoiceError> {
        match text.split_once(':') {
            Some(("nth", number)) => Ok(Self::Nth(number.parse()?)),
            Some(("seed", number)) => Ok(Self::Seed(number.parse()?)),
            Some(_) | None => Err(ParseChoiceError::Form),
        }
    }
}

/// A text is no [`Choice`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseChoiceError {
    /// It is not of the form.
    #[error("a choice is written `nth:7` or `seed:7`")]
    Form,
    /// Its number is none.
    #[error("a choice has a number")]
    Number(#[from] ParseIntError),
}

/// The numbers of a seed: the generator SplitMix64, which is the same everywhere.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}
