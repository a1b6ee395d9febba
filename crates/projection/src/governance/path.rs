//! Approval paths: which approvals meet which requirements, and how far they get.
//!
//! Pure: it knows capacities, persons and order, nothing of the state. Each approval meets at most one requirement.

use std::borrow::Cow;

use countersign_core::event::Capacity;
use countersign_core::policy::Path;

/// An approval that counts.
#[derive(Debug, Clone)]
pub(crate) struct Candidate<'a> {
    pub(crate) capacity: Capacity,
    /// The persons behind it, sorted.
    pub(crate) persons: Cow<'a, [u32]>,
    pub(crate) seq: u64,
}

/// Which candidate stands at each requirement.
type Assignment = [Option<usize>];

/// What a set of candidates achieves at best.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Best {
    /// How many requirements are met; a part of the path that is met counts whole, so that nothing in it is open any more.
    pub(crate) progress: usize,
    /// A smallest set of (requirement, candidate) that meets the path, if one does: the first in order.
    pub(crate) witness: Option<Vec<(usize, usize)>>,
}

/// How strictly candidates are combined.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// Persons must differ.
    pub(crate) distinct: bool,
    /// A stage counts only what came after the stage before was met.
    pub(crate) staged: bool,
}

/// Steps after which the search for a better combination ends. Paths have at most 12 requirements, and interchangeable
/// ones are tried in one order only, so that honest policies stay far below; the bound keeps contrived ones finite, and
/// being a count it gives the same verdict everywhere.
const MAX_STEPS: usize = 200_000;

/// Finds what `candidates` achieve at best.
pub(crate) fn best(path: &Path, candidates: &[Candidate<'_>], rules: Rules) -> Best {
    let mut leaves = Vec::new();
    collect(path, &mut leaves);
    let clash =
        |a: usize, b: usize| rules.distinct && intersect(&candidates[a].persons, &candidates[b].persons);
    let mut search = Search {
        path,
        candidates,
        rules,
        leaves: &leaves,
        clash: &clash,
        chosen: vec![None; leaves.len()],
        steps: 0,
        best: Best { progress: 0, witness: None },
    };
    search.go(0);
    search.best
}

/// Whether exactly this assignment meets the path.
pub(crate) fn is_met(
    path: &Path,
    candidates: &[Candidate<'_>],
    items: &[(usize, usize)],
    rules: Rules,
) -> bool {
    let requirements = path.requirements();
    let mut chosen = vec![None; requirements.len()];
    for (requirement, candidate) in items {
        let (Some(place), Some(found)) = (chosen.get_mut(*requirement), candidates.get(*candidate)) else {
            return false;
        };
        if place.is_some() || requirements[*requirement] != found.capacity {
            return false;
        }
        *place = Some(*candidate);
    }
    let used: Vec<usize> = chosen.iter().flatten().copied().collect();
    for (index, left) in used.iter().enumerate() {
        for right in &used[index + 1..] {
            let same = left == right;
            if same || rules.distinct && intersect(&candidates[*left].persons, &candidates[*right].persons) {
                return false;
            }
        }
    }
    met_at(path, &mut 0, &chosen, candidates, None, rules).is_some()
}

/// Whether two sorted lists share an item.
pub(crate) fn intersect(left: &[u32], right: &[u32]) -> bool {
    let (mut i, mut j) = (0, 0);
    while let (Some(a), Some(b)) = (left.get(i), right.get(j)) {
        match a.cmp(b) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => return true,
        }
    }
    false
}

struct Leaf {
    capacity: Capacity,
    /// The leaf before it is its like: same capacity, same list, no order between them.
    like_before: bool,
}

fn collect(path: &Path, leaves: &mut Vec<Leaf>) {
    match path {
        Path::Capacity(capacity) => leaves.push(Leaf { capacity: *capacity, like_before: false }),
        Path::All(parts) | Path::Any(parts) | Path::AtLeast(_, parts) | Path::Stages(parts) => {
            let free = !matches!(path, Path::Stages(_));
            for (place, part) in parts.iter().enumerate() {
                let twin =
                    place > 0 && free && matches!(part, Path::Capacity(_)) && parts[place - 1] == *part;
                collect(part, leaves);
                if twin && let Some(leaf) = leaves.last_mut() {
                    leaf.like_before = true;
                }
            }
        }
    }
}

struct Search<'a> {
    path: &'a Path,
    candidates: &'a [Candidate<'a>],
    rules: Rules,
    leaves: &'a [Leaf],
    clash: &'a dyn Fn(usize, usize) -> bool,
    chosen: Vec<Option<usize>>,
    steps: usize,
    best: Best,
}

impl Search<'_> {
    fn go(&mut self, leaf: usize) {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return;
        }
        let Some(Leaf { capacity, like_before }) = self.leaves.get(leaf) else {
            return self.score();
        };
        let before = if *like_before { self.chosen[leaf - 1] } else { None };
        // Of two like requirements the first takes the earlier approval; where it took none, so does the second.
        let first = match (like_before, before) {
            (true, None) => self.candidates.len(),
            (true, Some(before)) => before + 1,
            (false, _) => 0,
        };
        for candidate in first..self.candidates.len() {
            let free = self.candidates[candidate].capacity == *capacity
                && !self
                    .chosen
                    .iter()
                    .take(leaf)
                    .flatten()
                    .any(|taken| *taken == candidate || (self.clash)(*taken, candidate));
            if free {
                self.chosen[leaf] = Some(candidate);
                self.go(leaf + 1);
                self.chosen[leaf] = None;
            }
        }
        self.go(leaf + 1);
    }

    fn score(&mut self) {
        let progress = progress(self.path, &mut 0, &self.chosen, self.candidates, None, self.rules);
        self.best.progress = self.best.progress.max(progress);
        let is_met = |chosen: &Assignment| {
            met_at(self.path, &mut 0, chosen, self.candidates, None, self.rules).is_some()
        };
        if self.best.witness.is_none() && is_met(&self.chosen) {
            let mut chosen = self.chosen.clone();
            for leaf in (0..chosen.len()).rev() {
                let kept = chosen[leaf].take();
                if kept.is_some() && !is_met(&chosen) {
                    chosen[leaf] = kept;
                }
            }
            let pairs =
                chosen.iter().enumerate().filter_map(|(leaf, taken)| taken.map(|taken| (leaf, taken)));
            self.best.witness = Some(pairs.collect());
        }
    }
}

/// The seq at which the path was met, counting only what came after `after`.
fn met_at(
    path: &Path,
    leaf: &mut usize,
    chosen: &Assignment,
    candidates: &[Candidate<'_>],
    after: Option<u64>,
    rules: Rules,
) -> Option<u64> {
    let mut each = |parts: &[Path]| -> Vec<Option<u64>> {
        parts.iter().map(|part| met_at(part, leaf, chosen, candidates, after, rules)).collect()
    };
    match path {
        Path::Capacity(_) => {
            let taken = chosen.get(*leaf).copied().flatten();
            *leaf += 1;
            let seq = candidates.get(taken?)?.seq;
            (after.is_none_or(|after| seq > after)).then_some(seq)
        }
        Path::All(parts) => each(parts).into_iter().try_fold(0, |latest, seq| Some(latest.max(seq?))),
        Path::Any(parts) => each(parts).into_iter().flatten().min(),
        Path::AtLeast(k, parts) => {
            let mut met: Vec<u64> = each(parts).into_iter().flatten().collect();
            met.sort_unstable();
            met.get(usize::try_from(*k).ok()?.checked_sub(1)?).copied()
        }
        Path::Stages(parts) => {
            let mut done = Some(after);
            for part in parts {
                // Every part is walked, so that `leaf` stays in step.
                let from = done.unwrap_or(after);
                let met =
                    met_at(part, leaf, chosen, candidates, if rules.staged { from } else { after }, rules);
                done = match (done, met) {
                    (Some(_), Some(seq)) => Some(Some(seq)),
                    _ => None,
                };
            }
            done.flatten()
        }
    }
}

/// How far the path is met. Parts that only together lead on, or one of which would do, are all open until the whole is met.
fn progress(
    path: &Path,
    leaf: &mut usize,
    chosen: &Assignment,
    candidates: &[Candidate<'_>],
    after: Option<u64>,
    rules: Rules,
) -> usize {
    let start = *leaf;
    if met_at(path, leaf, chosen, candidates, after, rules).is_some() {
        return *leaf - start;
    }
    *leaf = start;
    match path {
        Path::Capacity(_) => {
            *leaf += 1;
            0
        }
        Path::All(parts) | Path::Any(parts) | Path::AtLeast(_, parts) => {
            parts.iter().map(|part| progress(part, leaf, chosen, candidates, after, rules)).sum()
        }
        Path::Stages(parts) => {
            let mut open = Some(after);
            let mut sum = 0;
            for part in parts {
                // Every part is walked, so that `leaf` stays in step.
                let from = if rules.staged { open.unwrap_or(after) } else { after };
                let met = met_at(part, &mut leaf.clone(), chosen, candidates, from, rules);
                let count = progress(part, leaf, chosen, candidates, from, rules);
                if open.is_some() || !rules.staged {
                    sum += count;
                }
                open = open.and(met).map(Some);
            }
            sum
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Capacity::{ApplicationOwner as App, BusinessOwner as Biz, ControlOwner as Ctl};

    fn leaf(capacity: Capacity) -> Path {
        Path::Capacity(capacity)
    }

    fn candidate(capacity: Capacity, person: u32, seq: u64) -> Candidate<'static> {
        Candidate { capacity, persons: vec![person].into(), seq }
    }

    const STRICT: Rules = Rules { distinct: true, staged: true };

    #[test]
    fn one_approval_meets_one_requirement() {
        let path = Path::All(vec![leaf(Biz), leaf(Biz)]);
        let one = [candidate(Biz, 1, 10)];
        assert_eq!(best(&path, &one, STRICT), Best { progress: 1, witness: None });
        let two = [candidate(Biz, 1, 10), candidate(Biz, 2, 11)];
        assert_eq!(best(&path, &two, STRICT).witness, Some(vec![(0, 0), (1, 1)]));
        let same = [candidate(Biz, 1, 10), candidate(Biz, 1, 11)];
        assert_eq!(best(&path, &same, STRICT), Best { progress: 1, witness: None });
        let loose = Rules { distinct: false, staged: true };
        assert!(best(&path, &same, loose).witness.is_some());
        assert!(!is_met(&path, &two, &[(0, 0), (1, 0)], loose));
        assert!(!is_met(&path, &two, &[(0, 0), (0, 1)], STRICT));
    }

    #[test]
    fn a_stage_counts_only_what_came_after_the_one_before() {
        let path = Path::Stages(vec![leaf(Biz), leaf(Ctl)]);
        let early = [candidate(Ctl, 2, 10), candidate(Biz, 1, 11)];
        assert_eq!(best(&path, &early, STRICT), Best { progress: 1, witness: None });
        let again = [candidate(Ctl, 2, 10), candidate(Biz, 1, 11), candidate(Ctl, 2, 12)];
        assert_eq!(best(&path, &again, STRICT).witness, Some(vec![(0, 1), (1, 2)]));
        let unstaged = Rules { distinct: true, staged: false };
        assert_eq!(best(&path, &early, unstaged).progress, 2);
    }

    #[test]
    fn a_requirement_that_no_longer_matters_makes_no_progress() {
        let path = Path::All(vec![Path::Any(vec![leaf(Biz), leaf(App)]), leaf(Ctl)]);
        let one = [candidate(Biz, 1, 1)];
        let both = [candidate(Biz, 1, 1), candidate(App, 2, 2)];
        assert_eq!(best(&path, &one, STRICT).progress, best(&path, &both, STRICT).progress);
        let done = [candidate(Biz, 1, 1), candidate(App, 2, 2), candidate(Ctl, 3, 3)];
        assert_eq!(best(&path, &done, STRICT).witness, Some(vec![(0, 0), (2, 2)]));
    }

    #[test]
    fn one_branch_begun_leaves_the_other_open() {
        let path =
            Path::Any(vec![Path::All(vec![leaf(Biz), leaf(Ctl)]), Path::All(vec![leaf(App), leaf(Ctl)])]);
        let one = [candidate(Biz, 1, 1)];
        let other = [candidate(Biz, 1, 1), candidate(App, 2, 2)];
        assert!(best(&path, &other, STRICT).progress > best(&path, &one, STRICT).progress);
        let path = Path::AtLeast(2, vec![Path::All(vec![leaf(Biz), leaf(Ctl)]), leaf(App), leaf(App)]);
        assert!(best(&path, &other, STRICT).progress > best(&path, &one, STRICT).progress);
    }

    #[test]
    fn k_of_n_asks_for_k() {
        let path = Path::AtLeast(2, vec![leaf(Biz), leaf(App), leaf(Ctl)]);
        let two = [candidate(Ctl, 1, 1), candidate(App, 2, 2)];
        assert_eq!(best(&path, &two, STRICT).witness, Some(vec![(1, 1), (2, 0)]));
        assert!(best(&path, &two[..1], STRICT).witness.is_none());
    }

    #[test]
    fn the_search_finds_the_branch_that_fits() {
        let path =
            Path::Any(vec![Path::All(vec![leaf(Biz), leaf(Ctl)]), Path::All(vec![leaf(Biz), leaf(App)])]);
        let given = [candidate(Biz, 1, 1), candidate(App, 2, 2)];
        assert_eq!(best(&path, &given, STRICT).witness, Some(vec![(2, 0), (3, 1)]));
    }

    #[test]
    fn twelve_like_requirements_stay_cheap() {
        let path = Path::AtLeast(12, vec![leaf(Biz); 12]);
        let given: Vec<_> = (0..12).map(|n| candidate(Biz, n, u64::from(n))).collect();
        assert_eq!(best(&path, &given, STRICT).progress, 12);
        assert_eq!(best(&path, &given[..11], STRICT), Best { progress: 11, witness: None });
    }
}
