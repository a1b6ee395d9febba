//! Approval paths by trying everything: every way to put approvals to requirements, and every cut between stages.

use countersign_core::event::Capacity;
use countersign_core::policy::Path;

/// An approval, as far as paths look at it.
#[derive(Debug, Clone)]
pub struct Ballot {
    pub capacity: Capacity,
    pub persons: Vec<countersign_core::id::Person>,
    pub seq: u64,
}

/// How approvals combine.
#[derive(Debug, Clone, Copy)]
pub struct Strictness {
    pub distinct: bool,
    pub staged: bool,
}

/// Which ballot stands at each requirement.
type Chosen = Vec<Option<usize>>;

/// Every way to put ballots to requirements, earlier ballots first and nobody last.
fn assignments(needs: &[Capacity], ballots: &[Ballot], distinct: bool) -> Vec<Chosen> {
    let mut all: Vec<Chosen> = vec![Vec::new()];
    for need in needs {
        let mut longer = Vec::new();
        for chosen in &all {
            for (place, ballot) in ballots.iter().enumerate() {
                let taken = chosen.iter().flatten().any(|other| {
                    *other == place
                        || distinct && super::model::share(&ballots[*other].persons, &ballot.persons)
                });
                if ballot.capacity == *need && !taken {
                    longer.push(chosen.iter().copied().chain([Some(place)]).collect());
                }
            }
            longer.push(chosen.iter().copied().chain([None]).collect());
        }
        all = longer;
    }
    all
}

/// Whether what was chosen meets the path with ballots after `low` and up to `high` alone.
fn met(path: &Path, chosen: &[Option<u64>], low: u64, high: u64, staged: bool) -> bool {
    match path {
        Path::Capacity(_) => chosen[0].is_some_and(|seq| low < seq && seq <= high),
        Path::All(parts) => each(parts, chosen).all(|(part, chosen)| met(part, chosen, low, high, staged)),
        Path::Any(parts) => each(parts, chosen).any(|(part, chosen)| met(part, chosen, low, high, staged)),
        Path::AtLeast(k, parts) => {
            let done =
                each(parts, chosen).filter(|(part, chosen)| met(part, chosen, low, high, staged)).count();
            done as u64 >= *k
        }
        Path::Stages(parts) if !staged => {
            each(parts, chosen).all(|(part, chosen)| met(part, chosen, low, high, staged))
        }
        Path::Stages(parts) => {
            let mut starts = vec![low];
            for (part, chosen) in each(parts, chosen) {
                // Every instant at which this stage could have been done, given one at which the stage before was.
                let cuts = chosen.iter().flatten().copied();
                starts = cuts
                    .filter(|cut| starts.iter().any(|low| met(part, chosen, *low, *cut, staged)))
                    .collect();
            }
            starts.iter().any(|cut| *cut <= high)
        }
    }
}

/// The parts of a path, each with what was chosen for its requirements.
fn each<'a>(
    parts: &'a [Path],
    chosen: &'a [Option<u64>],
) -> impl Iterator<Item = (&'a Path, &'a [Option<u64>])> {
    let mut at = 0;
    parts.iter().map(move |part| {
        let start = at;
        at += part.requirements().len();
        (part, &chosen[start..at])
    })
}

/// How far what was chosen gets: requirements met, where a part that is met counts whole and closes.
fn value(path: &Path, chosen: &[Option<u64>], low: u64, staged: bool) -> usize {
    if met(path, chosen, low, u64::MAX, staged) {
        return path.requirements().len();
    }
    match path {
        Path::Capacity(_) => 0,
        Path::All(parts) | Path::Any(parts) | Path::AtLeast(_, parts) => {
            each(parts, chosen).map(|(part, chosen)| value(part, chosen, low, staged)).sum()
        }
        Path::Stages(parts) => {
            let (mut sum, mut low) = (0, low);
            for (part, chosen) in each(parts, chosen) {
                sum += value(part, chosen, low, staged);
                if staged {
                    let cut =
                        chosen.iter().flatten().filter(|cut| met(part, chosen, low, **cut, staged)).min();
                    match cut {
                        Some(cut) => low = *cut,
                        None => break,
                    }
                }
            }
            sum
        }
    }
}

fn seqs(chosen: &Chosen, ballots: &[Ballot]) -> Vec<Option<u64>> {
    // One more than the seq, so that nothing has to come before the first entry.
    chosen.iter().map(|place| place.map(|place| ballots[place].seq + 1)).collect()
}

/// How far these ballots get at best, and whether they meet the path.
pub fn reached(path: &Path, ballots: &[Ballot], how: Strictness) -> (usize, bool) {
    let needs = path.requirements();
    let mut best = (0, false);
    for chosen in assignments(&needs, ballots, how.distinct) {
        let seqs = seqs(&chosen, ballots);
        best.0 = best.0.max(value(path, &seqs, 0, how.staged));
        best.1 |= met(path, &seqs, 0, u64::MAX, how.staged);
    }
    best
}

/// Whether exactly these ballots at these requirements meet the path.
pub fn meets(path: &Path, ballots: &[Ballot], items: &[(usize, usize)], how: Strictness) -> bool {
    let mut wanted: Chosen = vec![None; path.requirements().len()];
    for (requirement, ballot) in items {
        wanted[*requirement] = Some(*ballot);
    }
    assignments(&path.requirements(), ballots, how.distinct)
        .iter()
        .any(|chosen| *chosen == wanted && met(path, &seqs(chosen, ballots), 0, u64::MAX, how.staged))
}

/// The first way to meet the path, with what it does not need left out from the right.
pub fn first_witness(path: &Path, ballots: &[Ballot], how: Strictness) -> Option<Vec<(usize, usize)>> {
    let fits = |chosen: &Chosen| met(path, &seqs(chosen, ballots), 0, u64::MAX, how.staged);
    let mut chosen =
        assignments(&path.requirements(), ballots, how.distinct).into_iter().find(|chosen| fits(chosen))?;
    for place in (0..chosen.len()).rev() {
        let kept = chosen[place].take();
        if !fits(&chosen) {
            chosen[place] = kept;
        }
    }
    Some(
        chosen
            .iter()
            .enumerate()
            .filter_map(|(place, ballot)| ballot.map(|ballot| (place, ballot)))
            .collect(),
    )
}
