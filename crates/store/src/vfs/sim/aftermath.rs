//! The disks that a loss of power may leave, each under a number.

use std::collections::btree_map::Entry as MapEntry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;
use std::sync::Arc;

use super::SimVfs;
use super::disk::{Disk, Names, NodeId};

/// Most disks that are looked at after one loss of power. Where no more are possible, all are.
pub const MAX_STATES: u64 = 1 << 12;
/// Where names or one file may be left in more ways than this, the disks that differ are not counted.
const MAX_WAYS: u64 = 1 << 12;

/// What a loss of power may leave.
#[derive(Debug, Clone)]
pub struct Aftermath {
    disk: Disk,
    /// None where there are too many.
    possible: Option<Possible>,
}

/// Every disk that may be left, each once.
#[derive(Debug, Clone)]
struct Possible {
    /// What may be left of each file, the oldest first.
    contents: BTreeMap<NodeId, Vec<Arc<Vec<u8>>>>,
    names: Vec<NamesLeft>,
    count: u64,
}

/// One way in which the names may be left.
#[derive(Debug, Clone)]
struct NamesLeft {
    names: BTreeMap<NodeId, Names>,
    files: BTreeSet<NodeId>,
    /// How many disks have these names.
    count: u64,
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
        let possible = Possible::of(&disk);
        Self { disk, possible }
    }

    /// How many different disks are possible; none where there are too many to count.
    #[must_use]
    pub fn possible(&self) -> Option<u64> {
        self.possible.as_ref().map(|possible| possible.count)
    }

    /// The choices to look at: all of them up to [`MAX_STATES`], no two of which give the same disk; else as many seeds.
    pub fn choices(&self) -> impl Iterator<Item = Choice> + use<> {
        let all = self.possible().filter(|possible| *possible <= MAX_STATES);
        let choice: fn(u64) -> Choice = if all.is_some() { Choice::Nth } else { Choice::Seed };
        (0..all.unwrap_or(MAX_STATES)).map(choice)
    }

    /// The machine started again on the disk of this choice: nothing of it is in doubt, and nobody holds a lock.
    ///
    /// A number beyond those that are possible counts from the start again; where they were not counted, it is a seed.
    #[must_use]
    pub fn disk(&self, choice: Choice) -> SimVfs {
        SimVfs::of(match (choice, &self.possible) {
            (Choice::Nth(number), Some(possible)) => possible.disk(&self.disk, number % possible.count),
            (Choice::Nth(seed), None) | (Choice::Seed(seed), _) => self.drawn(seed),
        })
    }

    fn drawn(&self, seed: u64) -> Disk {
        match seed {
            0 => self.disk.after_crash(&mut |_| 0),
            1 => self.disk.after_crash(&mut |radix| radix - 1),
            _ => {
                let mut draw = Draw(seed);
                // Some disks lose nearly all, some nearly nothing: mistakes show at the edges.
                let newest_of_8 = [1, 4, 7, 4][usize::try_from(seed % 4).unwrap_or(0)];
                self.disk.after_crash(&mut |radix| {
                    if draw.next() % 8 < newest_of_8 { radix - 1 } else { draw.next() % radix }
                })
            }
        }
    }

    /// Every choice to look at, with its disk.
    pub fn disks(&self) -> impl Iterator<Item = (Choice, SimVfs)> + '_ {
        self.choices().map(|choice| (choice, self.disk(choice)))
    }
}

impl Possible {
    fn of(disk: &Disk) -> Option<Self> {
        let changes = disk.name_changes();
        let ways = u32::try_from(changes).ok().and_then(|changes| 1_u64.checked_shl(changes));
        let ways = ways.filter(|ways| *ways <= MAX_WAYS)?;
        let mut possible = Self { contents: BTreeMap::new(), names: Vec::new(), count: 0 };
        let mut seen = BTreeSet::new();
        for number in 0..ways {
            let kept: Vec<bool> = (0..changes).map(|change| number >> change & 1 == 1).collect();
            let names = disk.names_after(&kept);
            if !seen.insert(names.clone()) {
                continue;
            }
            let files = disk.files(&names);
            let mut count = 1_u64;
            for id in &files {
                let contents = match possible.contents.entry(*id) {
                    MapEntry::Occupied(there) => there.into_mut(),
                    MapEntry::Vacant(place) => place.insert(disk.contents_after(*id, MAX_WAYS)?),
                };
                count = count.checked_mul(contents.len() as u64)?;
            }
            possible.count = possible.count.checked_add(count)?;
            possible.names.push(NamesLeft { names, files, count });
        }
        Some(possible)
    }

    fn disk(&self, disk: &Disk, mut number: u64) -> Disk {
        let mut left = self.names.iter();
        let names = loop {
            match left.next() {
                Some(names) if number < names.count => break names,
                Some(names) => number -= names.count,
                // `number` is below the count of all.
                None => break &self.names[0],
            }
        };
        let mut picked = BTreeMap::new();
        for id in &names.files {
            let contents = &self.contents[id];
            let index = number % contents.len() as u64;
            number /= contents.len() as u64;
            picked.insert(*id, contents[usize::try_from(index).unwrap_or(0)].clone());
        }
        disk.rebuilt(&names.names, |id| picked.remove(&id).unwrap_or_default())
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
