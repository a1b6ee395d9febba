//! Laws of `judge` and of the fold, and what must follow when a history is bent.

use std::process::Command;

use countersign_core::digest::Digest;
use countersign_core::entry::Entry;
use countersign_core::event::*;
use countersign_core::id::*;
use countersign_core::statement::VerifiedStatement;
use countersign_projection::governance::{CapacityView, GrantView, State, judge};
use countersign_projection::projection::Projection as _;

use crate::histories::companies;
use crate::support::act::*;
use crate::support::cast::*;
use crate::support::desk::Desk;
use crate::support::make::*;
use crate::support::play::Player;
use crate::support::questions::turns;
use crate::support::random::Random;

/// A company and what happened there, with every entry.
pub(crate) fn history(seed: u64, statements: usize) -> Desk {
    let mut desk = Desk::new("2026-01-05T09:00:00.000Z");
    desk.keep_entries = true;
    let mut desk = company_in(desk, shape(usize::try_from(seed).unwrap()));
    let mut player = Player::new(&mut desk, seed);
    for _ in 0..statements {
        player.step();
    }
    desk
}

/// Judges entries anew from their bytes alone.
fn replay(entries: &[Entry], mut each: impl FnMut(&State)) -> State {
    let mut state = State::new();
    for entry in entries {
        let read = Entry::parse(entry.bytes().to_vec()).unwrap();
        let statement = VerifiedStatement::assume_verified((**read.signed()).clone());
        let judged = judge(&state, &statement, read.recorded_at()).unwrap().confirm(read).unwrap();
        state.fold(&judged);
        each(&state);
    }
    state
}

#[test]
fn the_same_history_gives_the_same_digest_at_every_entry() {
    for seed in 0..6 {
        let desk = history(seed, 60);
        let (mut first, mut second) = (Vec::new(), Vec::new());
        let state = replay(&desk.entries, |state| first.push(state.digest()));
        replay(&desk.entries, |state| second.push(state.digest()));
        assert_eq!(first, second);
        assert_eq!(state.digest(), desk.state.digest());
        assert_eq!(state, desk.state);
    }
}

const CHILD: &str = "COUNTERSIGN_PRINT_DIGESTS";

fn digests() -> Vec<Digest> {
    (0..6).map(|seed| history(seed, 60).state.digest()).collect()
}

/// Also what the other process of the next test runs.
#[test]
fn digests_are_printed_when_asked_for() {
    if std::env::var_os(CHILD).is_some() {
        for digest in digests() {
            println!("digest {digest}");
        }
    }
}

#[test]
fn another_process_finds_the_same_digests() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "laws::digests_are_printed_when_asked_for", "--nocapture", "--test-threads", "1"])
        .env(CHILD, "1")
        .env("TZ", "Pacific/Chatham")
        .env("LANG", "tr_TR.UTF-8")
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let found: Vec<&str> = printed.lines().filter_map(|line| line.split("digest ").nth(1)).collect();
    assert_eq!(found, digests().iter().map(Digest::to_string).collect::<Vec<_>>());
}

#[test]
fn a_clone_taken_earlier_never_changes() {
    for seed in 0..4 {
        let mut desk = history(seed, 0);
        let mut taken: Vec<(State, Digest, Vec<GrantView>, Vec<CapacityView>)> = Vec::new();
        let look = |state: &State| {
            let at = state.recorded_at();
            (state.digest(), state.grants(at), state.capacities(at))
        };
        for step in 0..80 {
            Player::new(&mut desk, seed * 1_000 + step).step();
            let (digest, grants, capacities) = look(&desk.state);
            taken.push((desk.state.clone(), digest, grants, capacities));
        }
        for (state, digest, grants, capacities) in taken {
            assert_eq!(look(&state), (digest, grants, capacities));
        }
    }
}

#[test]
fn a_snapshot_is_read_back_to_the_same_bytes_and_judges_alike() {
    for seed in 0..6 {
        let desk = history(seed, 60);
        let bytes = desk.state.to_snapshot();
        let read: State = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(read.to_snapshot(), bytes);
        // All that is derived too; only what ended with the last entry is not kept.
        assert_eq!(read, desk.state.at(desk.state.recorded_at()));
        assert_eq!(read.digest(), desk.state.digest());
        // From here on both go on alike: what is judged, and what it leads to.
        let (mut kept, mut resumed) = (desk.clone(), Desk { state: read, ..desk.clone() });
        for step in 0..40 {
            Player::new(&mut kept, step).step();
            Player::new(&mut resumed, step).step();
            assert_eq!(resumed.state.digest(), kept.state.digest(), "step {step}");
        }
    }
}

#[test]
fn every_state_that_entries_lead_to_is_read_back() {
    for seed in 0..60 {
        let mut desk = history(seed, 0);
        for step in 0..40 {
            Player::new(&mut desk, seed * 1_000 + step).step();
            let read = State::decode(&desk.state.to_snapshot()).unwrap();
            assert_eq!(read, desk.state.at(desk.state.recorded_at()), "seed {seed}, step {step}");
        }
    }
}

#[test]
fn time_that_passes_is_the_same_in_one_step_or_in_many() {
    for seed in 0..12 {
        let desk = history(seed, 40);
        let turns = turns(&desk.model, desk.model.now());
        let Some(last) = turns.last().copied() else { continue };
        let at_once = desk.state.at(instant(last));
        let mut in_steps = desk.state.clone();
        for turn in &turns {
            let later = desk.state.at(instant(*turn));
            in_steps = in_steps.at(instant(*turn));
            assert_eq!(in_steps.digest(), later.digest(), "at {}", instant(*turn));
            assert_eq!(later.head(), desk.state.head());
            assert_eq!(later.grants(instant(*turn)), desk.state.grants(instant(*turn)));
            assert_eq!(later.requests(instant(*turn)), desk.state.requests(instant(*turn)));
            assert_eq!(later.capacities(instant(*turn)), desk.state.capacities(instant(*turn)));
        }
        assert_eq!(in_steps.digest(), at_once.digest());
        assert_eq!(desk.state.at(desk.state.recorded_at()).digest(), desk.state.digest());
    }
}

#[test]
fn judging_later_is_judging_the_state_as_it_is_later() {
    for seed in 0..12 {
        let desk = history(seed, 40);
        for step in 0..30 {
            let mut here = desk.clone();
            here.pass(Random::new(step).between(0, 10 * 86_400));
            let mut there = Desk { state: here.state.at(here.at()), ..here.clone() };
            Player::new(&mut here, step).step();
            Player::new(&mut there, step).step();
            let (at, same) = (here.at(), here.now == there.now);
            assert!(same && here.state.at(at).digest() == there.state.at(at).digest());
            assert_eq!(here.tally.refused, there.tally.refused);
        }
    }
}

#[test]
fn a_really_signed_history_is_verified_and_judged_again_from_its_bytes() {
    for (number, seed) in [(0, 7), (2, 8)] {
        let mut desk = signed_company(shape(number));
        let mut player = Player::new(&mut desk, seed);
        for _ in 0..60 {
            player.step();
        }
        let mut state = State::new();
        for entry in &desk.entries {
            let read = Entry::parse(entry.bytes().to_vec()).unwrap();
            let signed = (**read.signed()).clone();
            let statement = signed.verify(|id| state.public_key(id)).unwrap();
            let judged = judge(&state, &statement, read.recorded_at()).unwrap().confirm(read).unwrap();
            state.fold(&judged);
        }
        assert_eq!(state.digest(), desk.state.digest());
    }
}

fn signed_company(shape: Shape) -> Desk {
    let mut desk = Desk::new("2026-01-05T09:00:00.000Z");
    desk.real = true;
    desk.keep_entries = true;
    company_in(desk, Shape { real: true, ..shape })
}

// What must follow when a history is bent (metamorphic).

fn rights(desk: &Desk) -> Vec<(Principal, Capacity, Resource)> {
    let (state, at) = (&desk.state, desk.at());
    let mut all = Vec::new();
    for who in state.principals() {
        for facts in state.resources(at) {
            for capacity in
                [Capacity::BusinessOwner, Capacity::Registrar, Capacity::ControlOwner, Capacity::Reviewer]
            {
                if state.holds(&who, capacity, &facts.resource, at) {
                    all.push((who.clone(), capacity, facts.resource.clone()));
                }
            }
        }
    }
    all
}

fn within<T: PartialEq>(part: &[T], whole: &[T]) -> bool {
    part.iter().all(|item| whole.contains(item))
}

/// Random histories whose ledger still takes everything.
fn grown(count: u64) -> impl Iterator<Item = (Desk, Random)> {
    let companies = companies();
    (0..count).filter_map(move |seed| {
        let mut desk = companies[usize::try_from(seed).unwrap() % companies.len()].clone();
        let mut player = Player::new(&mut desk, seed + 777_000);
        for _ in 0..25 {
            player.step();
        }
        (!desk.state.is_frozen()).then(|| (desk, Random::new(seed)))
    })
}

#[test]
fn inv_10_adding_a_right_removes_nothing() {
    let mut changed = 0;
    for (mut desk, mut random) in grown(150) {
        let (before, grants) = (rights(&desk), desk.state.grants(desk.at()));
        let capacity =
            *random.pick(&[Capacity::BusinessOwner, Capacity::Reviewer, Capacity::OperationsOwner]);
        let over = scope_except(random.pick::<&str>(&["*", "team:acme/*", "db:books"]), &["team:acme/web"]);
        let who = random.pick(&desk.model.principals).name.to_string();
        if desk.say("user:reg-a", &["user:reg-b"], assigned(capacity, &who, over)).is_err() {
            continue;
        }
        changed += 1;
        assert!(within(&before, &rights(&desk)));
        assert_eq!(desk.state.grants(desk.at()), grants);
    }
    assert!(changed > 40, "{changed}");
}

#[test]
fn inv_10_removing_a_right_adds_nothing() {
    let mut changed = 0;
    for (mut desk, mut random) in grown(150) {
        let (before, grants) = (rights(&desk), desk.state.grants(desk.at()));
        let one = random.pick(&desk.model.rights).clone();
        let said = match &one.basis {
            Some((_, delegator)) => {
                let event = DelegationWithdrawn { delegation: one.digest, reason: text("back") };
                desk.say(delegator.clone().as_str(), &[], event)
            }
            None => {
                let event = CapacityWithdrawn { assignment: one.digest, reason: text("moved on") };
                desk.say(one.holder.as_str(), &[], event)
            }
        };
        if said.is_err() {
            continue;
        }
        changed += 1;
        assert!(within(&rights(&desk), &before));
        assert!(within(&desk.state.grants(desk.at()), &grants));
    }
    assert!(changed > 40, "{changed}");
}

#[test]
fn inv_10_placing_a_resource_below_another_removes_nothing() {
    let mut changed = 0;
    for (mut desk, mut random) in grown(200) {
        let free: Vec<_> = desk
            .model
            .resources
            .iter()
            .filter(|facts| facts.live && facts.governed_by.is_none())
            .cloned()
            .collect();
        let Some(one) = random.pick_some(&free).cloned() else { continue };
        let above = random.pick(&desk.model.resources).name.clone();
        let (before, grants) = (rights(&desk), desk.state.grants(desk.at()));
        let event = ResourceChanged {
            governed_by: Some(above),
            ..crate::support::act::changed(&desk, one.name.as_str())
        };
        if desk.say("user:reg-a", &["user:pol-a", "user:olga"], event).is_err() {
            continue;
        }
        changed += 1;
        // What a scope leaves out may come in between: who holds with no exceptions loses nothing.
        let plain = |who: &Principal| {
            desk.model.rights.iter().all(|right| right.holder != *who || right.scope.except.is_empty())
        };
        let before: Vec<_> = before.into_iter().filter(|(who, _, _)| plain(who)).collect();
        assert!(within(&before, &rights(&desk)));
        assert_eq!(desk.state.grants(desk.at()), grants);
    }
    assert!(changed > 15, "{changed}");
}

#[test]
fn inv_1_one_more_approval_never_keeps_a_request_from_its_grant() {
    let mut more = 0;
    for (mut desk, mut random) in grown(400) {
        for _ in 0..6 {
            let ready: Vec<_> = desk
                .model
                .open_requests(desk.now)
                .map(|request| request.digest)
                .filter(|request| desk.state.propose_grant(request, desk.at()).is_ok())
                .collect();
            let open: Vec<_> = desk.model.open_requests(desk.now).map(|request| request.digest).collect();
            let Some(request) = random.pick_some(&open).copied() else { break };
            let event = approved(
                &desk,
                request,
                *random.pick(&[Capacity::BusinessOwner, Capacity::ControlOwner, Capacity::ApplicationOwner]),
            );
            let who =
                *random.pick(&["user:olga", "user:ora", "user:app", "user:ctl", "user:otto", "user:cyd"]);
            if desk.say(who, &[], event).is_ok() {
                more += 1;
                for request in ready {
                    assert!(desk.state.propose_grant(&request, desk.at()).is_ok());
                }
            }
        }
    }
    assert!(more > 50, "{more}");
}

/// After a revocation every way to ask says no, and nothing brings the grant back (INV-6).
#[test]
fn inv_6_what_was_revoked_stays_revoked() {
    let mut revocations = 0;
    for (mut desk, mut random) in grown(600) {
        let active: Vec<GrantView> = desk.state.grants(desk.at());
        let Some(one) = random.pick_some(&active).cloned() else { continue };
        if desk.say("user:rev", &[], revoked(one.grant)).is_err() {
            continue;
        }
        revocations += 1;
        let request =
            desk.model.entries.iter().find(|said| said.digest == one.grant).map(|said| &said.statement.event);
        let Some(Event::AccessGranted(event)) = request.cloned() else { panic!("a grant") };
        assert!(desk.say("service:iam", &[], event.clone()).is_err(), "the same grant again");
        assert!(
            desk.say("user:olga", &[], approved(&desk.clone(), event.request, Capacity::BusinessOwner))
                .is_err()
        );
        for _ in 0..15 {
            Player::new(&mut desk, random.next()).step();
            let at = desk.at();
            assert!(desk.state.grant(&one.grant).is_none());
            assert!(!desk.state.grants(at).iter().any(|view| view.grant == one.grant));
            assert!(!desk.state.grants_of(&one.subject, at).iter().any(|view| view.grant == one.grant));
            assert!(!desk.state.grants_on(&one.resource, at).iter().any(|view| view.grant == one.grant));
        }
    }
    assert!(revocations > 50, "{revocations}");
}
