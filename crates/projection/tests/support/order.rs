//! The order of checks, read from docs/rules.md: of several rules that a statement breaks, the first one there is named.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::LazyLock;

use countersign_core::event::EventKind;
use countersign_projection::governance::RefusalCode;

/// From which check to which a code can come, for one kind.
type Places = BTreeMap<RefusalCode, RangeInclusive<usize>>;

static ORDER: LazyLock<BTreeMap<String, Places>> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/rules.md");
    let page = fs::read_to_string(path).expect("docs/rules.md is there");
    let part = |title: &str| {
        let (_, rest) = page.split_once(title).expect("the chapter is there");
        rest.split("\n## ").next().expect("a first part").to_owned()
    };
    let all = part("\n## 1. How an entry is judged\n");
    let kinds = part("\n## 8. Checks by kind\n");
    let of_kind = |kind: &str| {
        let (name, checks) = kind.split_once('\n').expect("a heading is a line");
        (name.trim_matches('`').to_owned(), places(all.lines().chain(checks.lines())))
    };
    kinds.split("\n### ").skip(1).map(of_kind).collect()
});

fn places<'a>(lines: impl Iterator<Item = &'a str>) -> Places {
    let mut places = Places::new();
    for (place, row) in lines.filter(|line| line.starts_with("| ")).enumerate() {
        let cell = row.trim_end_matches(['|', ' ']).rsplit(" | ").next().unwrap_or_default();
        let words = cell.split('`').skip(1).step_by(2);
        for code in words.filter_map(|word| RefusalCode::ALL.iter().find(|code| code.as_str() == word)) {
            let first = places.get(code).map_or(place, |range| *range.start());
            places.insert(*code, first..=place);
        }
    }
    places
}

/// A code among `broken` that comes before `named` in every check that can give either.
pub fn comes_before(
    kind: EventKind,
    named: RefusalCode,
    broken: &BTreeSet<RefusalCode>,
) -> Option<RefusalCode> {
    let places = &ORDER[kind.as_str()];
    let named = places.get(&named)?;
    broken.iter().copied().find(|code| places.get(code).is_some_and(|place| place.end() < named.start()))
}
