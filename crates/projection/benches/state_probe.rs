//! What the governance state costs: memory per thing, time to publish a batch, and checks while writing.
//!
//! `cargo bench -p countersign-projection --features bench-internals --bench state_probe [-- STATEMENTS [GRANTS]]`, by
//! default 10 million statements with 1 million active grants. Statements are real ones, judged and folded; only their
//! signatures are taken on trust, through a door that exists for this alone. Memory is counted by the allocator, times are
//! of one run: compare within a run, not across.

use std::collections::HashMap;
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use countersign_core::id::{Principal, Resource};
use countersign_projection::cow::{HashKey, HintedIndex, Names, OrdSet};
use countersign_projection::governance::State;
use peak_alloc::PeakAlloc;

#[expect(dead_code, reason = "shared with other benches")]
mod probe;

use probe::clock::{self, Stopwatch};
use probe::{Probe, ROLE, entitlement, principal, role, sizes, thing};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Vec<usize> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    let statements = numbers.first().copied().unwrap_or(10_000_000);
    let grants = numbers.get(1).copied().unwrap_or(1_000_000);
    let keep = arguments.iter().find_map(|argument| argument.strip_prefix("--keep=")).map(PathBuf::from);
    let mut probe = match keep {
        Some(file) if file.exists() => Probe::load(&file),
        keep => {
            let probe = memory(statements, grants);
            keep.inspect(|file| probe.save(file));
            probe
        }
    };
    if !arguments.iter().any(|argument| argument == "--checks") {
        publish(&mut probe);
    }
    checks(probe);
}

/// Folds the history, and prints what it costs.
fn memory(statements: usize, grants: usize) -> Probe {
    let (subjects, resources) = sizes(grants);
    println!("{statements} statements, {grants} grants of {subjects} subjects on {resources} resources");

    let mut probe = Probe::open();
    println!("\nmemory, bytes each (counted by the allocator, freed memory not counted)");
    let base = used();
    probe.register(subjects);
    let registered = used();
    report("principal, with its name and person", registered - base, subjects);
    probe.enrol(subjects);
    let enrolled = used();
    report("key", enrolled - registered, subjects);
    probe.resources(resources);
    probe.publish();
    let ready = used();
    report("resource", ready - enrolled, resources);
    let open = grants.min(100_000);
    let mut waiting = Vec::new();
    probe.held.reserve_exact(grants);
    probe.grants.reserve_exact(grants);
    waiting.reserve_exact(open);
    let ready = used();
    for no in 0..open {
        let (subject, resource) = entitlement(no, grants);
        probe.request(subject, resource);
        waiting.extend(probe.last_request);
    }
    report("open request", used() - ready, open);
    for (no, request) in waiting.into_iter().enumerate() {
        probe.last_request = Some(request);
        let (subject, resource) = entitlement(no, grants);
        probe.decide(subject, resource);
    }
    let ready = ready.min(used());
    for no in open..grants {
        probe.grant(no, grants);
    }
    let granted = used();
    report("grant, everything it adds to the state", granted - ready, grants);
    check_index(&probe, grants);
    report("the whole state, per grant", granted, grants);

    println!("\njudge and fold, from decoded statements with {grants} active grants (us each)");
    let watch = Stopwatch::start();
    let before = probe.said;
    let mut next = 0;
    while probe.said < statements {
        probe.renew(next);
        next = (next + 104_729) % grants;
    }
    let cycles = probe.said - before;
    println!(
        "  {:8.2}  {cycles} statements of revoke, request, approve, grant; sealing and digests included",
        micros(watch.stop(), cycles.max(1))
    );
    report("grant after that, everything", used() - ready, grants);
    probe
}

fn used() -> usize {
    ALLOCATOR.current_usage()
}

fn report(what: &str, bytes: usize, count: usize) {
    println!("  {:8.1}  {what}", bytes as f64 / count as f64);
}

fn micros(elapsed: Duration, count: usize) -> f64 {
    elapsed.as_secs_f64() * 1e6 / count as f64
}

/// The check index alone: its entries, the list of grants by subject, and the names of subjects and resources.
fn check_index(probe: &Probe, grants: usize) {
    let (subjects, resources) = sizes(grants);
    let before = used();
    let key = HashKey([7; 16]);
    let (mut people, mut things) = (Names::new(key), Names::new(key));
    for no in 0..subjects {
        people.intern(&format!("user:subject-{no}"));
    }
    for no in 0..resources {
        things.intern(thing(no).as_str());
    }
    let mut index = HintedIndex::new();
    let mut of = OrdSet::new();
    let hash = |slot: usize| key.hash(&slot.to_le_bytes());
    for (slot, (subject, _)) in probe.held.iter().enumerate() {
        index.insert_hinted(hash(slot), slot as u32, [[0_u8; 2]; 2], |slot| hash(slot as usize));
        of.insert((*subject as u32, slot as u32), ());
    }
    report("of which the check index, names included", used() - before, grants);
    drop((people, things, index, of));
}

/// A batch is published by one clone; the first changes after it copy what a reader still holds.
fn publish(probe: &mut Probe) {
    let grants = probe.grants.len();
    println!("\npublishing to readers (us)");
    let published = ArcSwap::from_pointee(probe.state.clone());
    for batch in [1_usize, 64] {
        let (mut clones, mut folds, mut plain) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..200 {
            let reader = published.load_full();
            let watch = Stopwatch::short();
            for no in 0..batch {
                probe.revoke((round * 7_919 + no * 104_729) % grants);
            }
            folds.push(watch.stop());
            let watch = Stopwatch::short();
            published.store(Arc::new(probe.state.clone()));
            clones.push(watch.stop());
            black_box(reader);
            // The same number again without a reader that holds the state before.
            for no in 0..batch {
                let index = (round * 7_919 + no * 104_729) % grants;
                let (subject, resource) = probe.held[index];
                probe.request(subject, resource);
                probe.decide_as(index);
            }
            published.store(Arc::new(State::new()));
            let watch = Stopwatch::short();
            for no in 0..batch {
                probe.revoke((round * 7_919 + no * 104_729) % grants);
            }
            plain.push(watch.stop());
            for no in 0..batch {
                let index = (round * 7_919 + no * 104_729) % grants;
                let (subject, resource) = probe.held[index];
                probe.request(subject, resource);
                probe.decide_as(index);
            }
            published.store(Arc::new(probe.state.clone()));
        }
        println!(
            "  batch of {batch:3}: clone and swap {:.2}; judging and folding it {:.1}, {:.1} where no reader holds the state before",
            median(&mut clones),
            median(&mut folds),
            median(&mut plain),
        );
    }
}

fn median(times: &mut [Duration]) -> f64 {
    clock::median(times) * 1e6
}

/// Checks from another thread, quiet and while the state is written and published, beside a map from names to grants.
fn checks(mut probe: Probe) {
    const ROUNDS: usize = 10_000;
    const EACH: usize = 50;
    let names: Vec<(Principal, Resource)> = (0..100_003_usize)
        .map(|no| {
            let (subject, resource) = probe.held[no * 9_973 % probe.held.len()];
            (principal(&format!("user:subject-{subject}")), thing(resource))
        })
        .collect();
    let map: HashMap<String, usize> = probe
        .held
        .iter()
        .enumerate()
        .map(|(slot, (subject, resource))| {
            (format!("user:subject-{subject}|{}|{ROLE}", thing(*resource)), slot)
        })
        .collect();
    let keys: Vec<String> =
        names.iter().map(|(subject, resource)| format!("{subject}|{resource}|{ROLE}")).collect();
    let role = role();
    let at = probe.now;
    let published = Arc::new(ArcSwap::from_pointee(probe.state.clone()));
    let stop = Arc::new(AtomicBool::new(false));
    println!("\none check (ns, medians of {ROUNDS} interleaved rounds of {EACH})");
    for writing in [false, true] {
        let reader = {
            let (published, stop) = (published.clone(), stop.clone());
            let (names, keys, map, role) = (&names, &keys, &map, &role);
            move || {
                let (mut ours, mut theirs, mut joined, mut place) = (Vec::new(), Vec::new(), Vec::new(), 0);
                let mut key = String::with_capacity(256);
                for _ in 0..ROUNDS {
                    let watch = Stopwatch::short();
                    for step in 0..EACH {
                        let (subject, resource) = &names[(place + step * 31) % names.len()];
                        let state = published.load();
                        black_box(state.check(subject, resource, role, at));
                    }
                    ours.push(watch.stop());
                    let watch = Stopwatch::short();
                    for step in 0..EACH {
                        black_box(map.get(&keys[(place + step * 31) % keys.len()]));
                    }
                    theirs.push(watch.stop());
                    let watch = Stopwatch::short();
                    for step in 0..EACH {
                        // Other names than those above, which the processor still has at hand.
                        let (subject, resource) = &names[(place + step * 31 + names.len() / 2) % names.len()];
                        key.clear();
                        for part in [subject.as_str(), "|", resource.as_str(), "|", role.as_str()] {
                            key.push_str(part);
                        }
                        black_box(map.get(&key));
                    }
                    joined.push(watch.stop());
                    place += EACH * 31;
                }
                stop.store(true, Ordering::Relaxed);
                [ours, theirs, joined].map(|mut times| median(&mut times) * 1e3 / EACH as f64)
            }
        };
        stop.store(false, Ordering::Relaxed);
        let [ours, theirs, joined] = std::thread::scope(|scope| {
            let reader = scope.spawn(reader);
            let mut next = 0;
            while writing && !stop.load(Ordering::Relaxed) {
                for _ in 0..16 {
                    probe.renew(next);
                    next = (next + 104_729) % probe.held.len();
                }
                published.store(Arc::new(probe.state.clone()));
            }
            reader.join().expect("the reader ends")
        });
        let when = if writing { "while grants are written" } else { "quiet" };
        println!(
            "  {when}: check {ours:.0}; HashMap<String, _> by a key at hand {theirs:.0}, ratio {:.2}; by a key joined of the same names {joined:.0}, ratio {:.2}",
            ours / theirs,
            ours / joined
        );
    }
}
