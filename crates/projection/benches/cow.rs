//! What the copy-on-write structures cost: memory per entry, lookups beside `HashMap`, the first change after a clone.
//!
//! `cargo bench -p countersign-projection --features bench-internals --bench cow [-- ENTRIES]`, by default a million.
//! Times are medians of interleaved rounds. Memory is the growth of the resident set while a process of its own builds
//! one structure, and is printed where the system tells it (Linux).

use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use countersign_projection::cow::{Arena, CowVec, HashKey, Names, OrdMap, OrdSet, SlotIndex};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [flag, structure, entries] = arguments.as_slice()
        && flag == "--memory-of"
    {
        measure_memory(structure, entries.parse().expect("a number of entries"));
        return;
    }
    let entries =
        arguments.first().map_or(1_000_000, |entries| entries.parse().expect("a number of entries"));

    println!("{entries} entries");
    println!("\nmemory, bytes per entry");
    for (structure, about) in STRUCTURES {
        println!("  {:>6}  {about}", memory_per_entry(structure, entries));
    }
    println!("\ntime of one, in random order (ns)");
    lookups(entries);
    ordered(entries);
    println!("\ntime to fill, per entry (ns)");
    filling(entries);
    println!("\nfirst change after a clone that a reader holds (ns), beside a later one");
    first_changes(entries);
    println!("\nloading from serialised form, per entry (ns)");
    loading(entries);
}

const STRUCTURES: [(&str, &str); 9] = [
    ("vec", "CowVec<u64>"),
    ("arena", "Arena<[u32; 4]> as Option of 20 bytes"),
    ("map-ascending", "OrdSet of 16-byte keys, ascending"),
    ("map-random", "OrdSet of 16-byte keys, random order"),
    ("map-published", "OrdSet of 16-byte keys, random order, a clone taken every 64"),
    ("btree-random", "BTreeMap of 16-byte keys, random order"),
    ("index", "SlotIndex"),
    ("names", "Names, of 26 bytes each"),
    ("hashmap", "HashMap<String, u32>, of 26 bytes each"),
];

type Key = (u32, u32, u32, u32);

fn name(id: u32) -> String {
    format!("person:team-{:04}/n{:08}", id % 5000, id)
}

/// Spreads `id` over all numbers, the same way in every run.
fn spread(id: u32) -> u32 {
    let mixed = (id ^ (id >> 16)).wrapping_mul(0x85eb_ca6b);
    let mixed = (mixed ^ (mixed >> 13)).wrapping_mul(0xc2b2_ae35);
    mixed ^ (mixed >> 16)
}

fn random_key(id: u32) -> Key {
    (spread(id), spread(id + 1), id, 7)
}

fn hash(slot: u32) -> u64 {
    HashKey([1; 16]).hash(&slot.to_le_bytes())
}

fn index(entries: u32) -> SlotIndex {
    let mut index = SlotIndex::new();
    for slot in 0..entries {
        index.insert(hash(slot), slot, hash);
    }
    index
}

fn names(entries: u32) -> Names {
    let mut names = Names::new(HashKey([2; 16]));
    for id in 0..entries {
        names.intern(&name(id));
    }
    names
}

fn hash_map(entries: u32) -> HashMap<String, u32> {
    (0..entries).map(|id| (name(id), id)).collect()
}

/// Inserts one by one: collecting would sort first.
fn btree(entries: u32) -> BTreeMap<Key, ()> {
    let mut map = BTreeMap::new();
    for id in 0..entries {
        map.insert(random_key(id), ());
    }
    map
}

fn memory_per_entry(structure: &str, entries: u32) -> String {
    let program = std::env::current_exe().expect("the bench knows its own program");
    let output = Command::new(program).args(["--memory-of", structure, &entries.to_string()]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    match text.trim().parse::<f64>() {
        Ok(bytes) => format!("{:.1}", bytes / f64::from(entries)),
        Err(_) => "?".into(),
    }
}

fn measure_memory(structure: &str, entries: u32) {
    let ids = 0..entries;
    match structure {
        "vec" => growth(|| ids.map(u64::from).collect::<CowVec<u64>>()),
        "arena" => growth(|| {
            let mut arena = Arena::<[u32; 4]>::new();
            for id in ids {
                arena.insert([id; 4]);
            }
            arena
        }),
        "map-ascending" => growth(|| ids.map(|id| ((id / 10, id, 1, 7), ())).collect::<OrdSet<Key>>()),
        "map-random" => growth(|| ids.map(|id| (random_key(id), ())).collect::<OrdSet<Key>>()),
        "map-published" => growth(|| {
            let mut set = OrdSet::<Key>::new();
            let mut published = set.clone();
            for id in ids {
                set.insert(random_key(id), ());
                if id % 64 == 0 {
                    published = set.clone();
                }
            }
            (set, published)
        }),
        "btree-random" => growth(|| btree(entries)),
        "index" => growth(|| index(entries)),
        "names" => growth(|| names(entries)),
        "hashmap" => growth(|| hash_map(entries)),
        other => panic!("unknown structure `{other}`"),
    }
}

/// Prints by how many bytes the resident set grew for what `build` returns.
fn growth<T>(build: impl FnOnce() -> T) {
    let resident = || {
        let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
        statm.split(' ').nth(1)?.parse::<u64>().ok()
    };
    let before = resident();
    let built = build();
    if let (Some(before), Some(after)) = (before, resident()) {
        println!("{}", (after - before) * 4096);
    }
    black_box(&built);
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a bench measures; no rule sees this clock")]
    Instant::now()
}

fn per(elapsed: Duration, count: usize) -> f64 {
    elapsed.as_nanos() as f64 / count as f64
}

fn median(mut rounds: Vec<f64>) -> f64 {
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}

/// Runs the two in turn and prints the medians of their times per query, and the ratio.
fn compare<Q>(
    label: &str,
    queries: &[Q],
    ours: impl Fn(&Q) -> u64,
    theirs_label: &str,
    theirs: impl Fn(&Q) -> u64,
) {
    let (mut our_rounds, mut their_rounds) = (Vec::new(), Vec::new());
    for _ in 0..7 {
        let (time, sum) = run(queries, &ours);
        our_rounds.push(time);
        let (time, their_sum) = run(queries, &theirs);
        their_rounds.push(time);
        assert_eq!(sum, their_sum, "both sides find the same");
    }
    let (ours, theirs) = (median(our_rounds), median(their_rounds));
    println!("  {label:<34} {ours:>7.0}   {theirs_label:<24} {theirs:>7.0}   ratio {:.2}", ours / theirs);
}

/// Returns the time per query and the sum of the answers.
fn run<Q>(queries: &[Q], answer: &impl Fn(&Q) -> u64) -> (f64, u64) {
    let start = now();
    let (mut last, mut sum) = (0_u64, 0_u64);
    for index in 0..queries.len() {
        // The bit is always 0, but makes each query wait for the answer before, as it would in a service.
        last = answer(&queries[index + (last >> 63) as usize]);
        sum = sum.wrapping_add(last);
    }
    (per(start.elapsed(), queries.len()), sum)
}

fn lookups(entries: u32) {
    let (names, map) = (names(entries), hash_map(entries));
    let known: Vec<String> = (0..1_000_000_u32).map(|id| name(spread(id) % entries)).collect();
    let unknown: Vec<String> = (0..1_000_000_u32).map(|id| name(entries + spread(id) % entries)).collect();
    let found = |id: Option<u32>| id.map_or(0, u64::from);
    compare(
        "Names::lookup, known",
        &known,
        |query| found(names.lookup(query)),
        "HashMap<String, u32>",
        |query| found(map.get(query).copied()),
    );
    compare(
        "Names::lookup, unknown",
        &unknown,
        |query| found(names.lookup(query)),
        "HashMap<String, u32>",
        |query| found(map.get(query).copied()),
    );
    let ids: Vec<u32> = (0..1_000_000).map(|id| spread(id) % entries).collect();
    let strings: Vec<String> = (0..entries).map(name).collect();
    let size = |name: &str| name.as_bytes().iter().map(|byte| u64::from(*byte)).sum();
    compare(
        "Names::name",
        &ids,
        |id| size(names.name(*id)),
        "Vec<String>",
        |id| size(&strings[*id as usize]),
    );
    let vec: CowVec<u64> = (0..entries).map(u64::from).collect();
    let plain: Vec<u64> = (0..entries).map(u64::from).collect();
    compare(
        "CowVec::get",
        &ids,
        |id| *vec.get(*id as usize).expect("in range"),
        "Vec",
        |id| plain[*id as usize],
    );
}

fn ordered(entries: u32) {
    let set: OrdSet<Key> = (0..entries).map(|id| (random_key(id), ())).collect();
    let btree = btree(entries);
    let queries: Vec<Key> = (0..1_000_000_u32).map(|id| random_key(spread(id) % entries)).collect();
    compare(
        "OrdSet::contains",
        &queries,
        |key| u64::from(set.contains(key)),
        "BTreeMap",
        |key| u64::from(btree.contains_key(key)),
    );
    let following = |key: &Key| (*key, (key.0.saturating_add(50_000), 0, 0, 0));
    compare(
        "OrdSet::range",
        &queries[..200_000],
        |key| set.range(following(key).0..following(key).1).map(|(key, ())| u64::from(key.2)).sum(),
        "BTreeMap",
        |key| {
            let (start, end) = following(key);
            if start < end { btree.range(start..end).map(|(key, ())| u64::from(key.2)).sum() } else { 0 }
        },
    );
    compare(
        "OrdSet::iter, whole",
        &[()],
        |()| set.keys().map(|key| u64::from(key.2)).sum(),
        "BTreeMap",
        |()| btree.keys().map(|key| u64::from(key.2)).sum(),
    );
}

fn filling(entries: u32) {
    let timed = |label: &str, fill: &dyn Fn()| {
        let rounds = (0..3).map(|_| {
            let start = now();
            fill();
            per(start.elapsed(), entries as usize)
        });
        println!("  {label:<34} {:>7.0}", median(rounds.collect()));
    };
    let texts: Vec<String> = (0..entries).map(name).collect();
    timed("Names::intern", &|| {
        let mut names = Names::new(HashKey([2; 16]));
        for text in &texts {
            names.intern(text);
        }
        black_box(names);
    });
    timed("HashMap<String, u32>", &|| {
        black_box(texts.iter().zip(0_u32..).map(|(text, id)| (text.clone(), id)).collect::<HashMap<_, _>>());
    });
    timed("SlotIndex::insert", &|| drop(black_box(index(entries))));
    timed("OrdSet, random", &|| {
        black_box((0..entries).map(|id| (random_key(id), ())).collect::<OrdSet<Key>>());
    });
    timed("BTreeMap, random", &|| {
        black_box(btree(entries));
    });
    timed("OrdSet, ascending", &|| {
        black_box((0..entries).map(|id| ((id / 10, id, 1, 7), ())).collect::<OrdSet<Key>>());
    });
    timed("CowVec::push", &|| drop(black_box((0..entries).map(u64::from).collect::<CowVec<u64>>())));
}

fn first_changes(entries: u32) {
    let mut names = names(entries);
    after_clone("Names::intern", &mut names, |names, step| {
        names.intern(&format!("new:{step}"));
    });
    let mut set: OrdSet<Key> = (0..entries).map(|id| (random_key(id), ())).collect();
    after_clone("OrdSet::insert, random", &mut set, |set, step| {
        set.insert(random_key(entries + step), ());
    });
    let mut map: OrdMap<u32, u32> = (0..entries).map(|id| (id, id)).collect();
    after_clone("OrdMap::insert, ascending", &mut map, |map, step| {
        map.insert(entries + step, step);
    });
    let mut vec: CowVec<u64> = (0..entries).map(u64::from).collect();
    after_clone("CowVec::get_mut, random", &mut vec, |vec, step| {
        *vec.get_mut((spread(step) % entries) as usize).expect("in range") += 1;
    });
    let mut arena: Arena<[u32; 4]> = Arena::new();
    for id in 0..entries {
        arena.insert([id; 4]);
    }
    after_clone("Arena::remove and insert, random", &mut arena, |arena, step| {
        let removed = arena.remove(spread(step) % entries).expect("all slots are live");
        arena.insert(removed);
    });
}

/// Prints the median time of the first change after a clone that stays, and of the hundredth.
fn after_clone<T: Clone>(label: &str, value: &mut T, mut change: impl FnMut(&mut T, u32)) {
    let (mut first, mut later) = (Vec::new(), Vec::new());
    let mut step = 0;
    let mut published = value.clone();
    for _ in 0..1000 {
        for nth in 0..100 {
            let start = now();
            change(value, step);
            let elapsed = per(start.elapsed(), 1);
            step += 1;
            if nth == 0 {
                first.push(elapsed);
            } else if nth == 99 {
                later.push(elapsed);
            }
        }
        published = black_box(value.clone());
    }
    drop(published);
    println!("  {label:<34} {:>7.0}   later {:>7.0}", median(first), median(later));
}

fn loading(entries: u32) {
    let names = postcard::to_allocvec(&names(entries)).expect("names can be serialised");
    let set: OrdSet<Key> = (0..entries).map(|id| (random_key(id), ())).collect();
    let set = postcard::to_allocvec(&set).expect("a set can be serialised");
    let timed = |label: &str, bytes: &[u8], load: &dyn Fn(&[u8])| {
        let rounds = (0..3).map(|_| {
            let start = now();
            load(bytes);
            per(start.elapsed(), entries as usize)
        });
        println!("  {label:<34} {:>7.0}", median(rounds.collect()));
    };
    timed("Names", &names, &|bytes| {
        black_box(postcard::from_bytes::<Names>(bytes).expect("what was written loads"));
    });
    timed("OrdSet", &set, &|bytes| {
        black_box(postcard::from_bytes::<OrdSet<Key>>(bytes).expect("what was written loads"));
    });
}
