//! Every window and every limit, exactly at it and one step beyond.

use countersign_core::digest::StatementDigest;
use countersign_core::event::*;
use countersign_core::id::*;
use countersign_core::policy::*;
use countersign_projection::governance::{
    Answer, DenyReason, MAX_AHEAD_SECONDS, MAX_CONTROLLERS, MAX_COSIGNED_LAG_SECONDS,
    MAX_DECISION_LAG_SECONDS, MAX_KEYS, MAX_LAG_SECONDS, MAX_OPEN_REQUESTS, MAX_RECORDER_DRIFT_SECONDS,
    MAX_REQUEST_SECONDS, MAX_SEEN_AGE, OVERRULED_SECONDS, RefusalCode as Code,
};

use crate::support::act::*;
use crate::support::cast::*;
use crate::support::desk::{Desk, Draft};
use crate::support::make::*;

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
const BIZ: Capacity = Capacity::BusinessOwner;

type Verdict = Result<StatementDigest, Code>;

/// What would be said of it at an instant, with nothing recorded.
fn at(desk: &Desk, now: u64, say: impl FnOnce(&mut Desk) -> Verdict) -> Result<(), Code> {
    let mut fork = desk.clone();
    fork.now = now;
    say(&mut fork).map(drop)
}

fn approve(who: &str, request: StatementDigest, capacity: Capacity) -> impl FnOnce(&mut Desk) -> Verdict {
    move |desk| {
        let event = approved(desk, request, capacity);
        desk.say(who, &[], event)
    }
}

fn ask(desk: &mut Desk) -> StatementDigest {
    desk.must("user:alice", &[], asked("user:alice", "db:books", Tier::High))
}

/// A grant that follows from what was approved.
fn grant(desk: &mut Desk, request: StatementDigest) -> Verdict {
    match desk.state.propose_grant(&request, desk.at()) {
        Ok(proposed) => desk.say("service:iam", &[], proposed),
        Err(refusal) => Err(refusal.code),
    }
}

fn policy_of(desk: &Desk, name: &str) -> PolicyPublished {
    let found = desk.model.in_force(desk.now).into_iter().find(|policy| policy.event.name.as_str() == name);
    found.unwrap().event.clone()
}

#[test]
fn inv_14_a_delegation_counts_from_its_start_until_right_before_its_end() {
    let mut desk = with_path(need(BIZ));
    let (from, until) = (desk.now + HOUR, desk.now + 5 * HOUR);
    let basis = right(&desk, BIZ, "user:ora", "scope:root");
    let event = delegated(basis, "user:bob", scope("db:books"), until, 0);
    let delegation = desk.must("user:ora", &[], DelegationGranted { from: Some(instant(from)), ..event });
    let request = ask(&mut desk);
    let cases = [
        (from - 1, Err(Code::NoAuthority)),
        (from, Ok(())),
        (until - 1, Ok(())),
        (until, Err(Code::NoAuthority)),
        (until + 1, Err(Code::NoAuthority)),
    ];
    for (now, want) in cases {
        assert_eq!(at(&desk, now, approve("user:bob", request, BIZ)), want, "at {}", instant(now));
        let holds = desk.state.holds(&principal("user:bob"), BIZ, &resource("db:books"), instant(now));
        assert_eq!(holds, want.is_ok());
    }
    // What was approved within it counts after it ran out; not once it, or what it rests on, was withdrawn.
    desk.now = from;
    approve("user:bob", request, BIZ)(&mut desk).unwrap();
    desk.now = until + DAY;
    assert_eq!(at(&desk, until + DAY, |desk| grant(desk, request)), Ok(()));
    let back = DelegationWithdrawn { delegation, reason: text("back") };
    let gone = CapacityWithdrawn { assignment: basis, reason: text("moved on") };
    let withdrawals: [(&str, Event); 2] = [("user:ora", back.into()), ("user:reg-a", gone.into())];
    for (author, event) in withdrawals {
        let mut fork = desk.clone();
        fork.must(author, &[], event);
        assert_eq!(grant(&mut fork, request), Err(Code::ApprovalMissing), "{author}");
    }
}

#[test]
fn a_capacity_is_held_from_its_start_until_right_before_its_end() {
    let mut desk = with_path(need(BIZ));
    let (from, until) = (desk.now + HOUR, desk.now + 5 * HOUR);
    let event = CapacityAssigned {
        from: Some(instant(from)),
        until: Some(instant(until)),
        ..assigned(BIZ, "user:bob", scope("db:books"))
    };
    desk.must("user:reg-a", &["user:reg-b"], event);
    let request = ask(&mut desk);
    let cases = [(from - 1, false), (from, true), (until - 1, true), (until, false)];
    for (now, want) in cases {
        assert_eq!(at(&desk, now, approve("user:bob", request, BIZ)).is_ok(), want, "at {}", instant(now));
    }
    let now = desk.now;
    let windows = [
        (None, Some(now), Err(Code::BadWindow)),
        (None, Some(now + 1), Ok(())),
        (Some(now + 5), Some(now + 5), Err(Code::BadWindow)),
        (Some(now + 5), Some(now + 6), Ok(())),
        (Some(now - HOUR), None, Ok(())),
        (Some(now - HOUR), Some(now), Err(Code::BadWindow)),
    ];
    for (from, until, want) in windows {
        let event = CapacityAssigned {
            from: from.map(instant),
            until: until.map(instant),
            ..assigned(BIZ, "user:bob", scope("*"))
        };
        let say = |desk: &mut Desk| desk.say("user:reg-a", &["user:reg-b"], event);
        assert_eq!(at(&desk, now, say), want, "{from:?} {until:?}");
    }
}

#[test]
fn inv_13_a_request_is_open_until_right_before_it_expires() {
    let mut desk = with_path(need(BIZ));
    let now = desk.now;
    let longest = now + MAX_REQUEST_SECONDS * 1_000;
    for (expires, want) in [
        (now - 1, Err(Code::BadWindow)),
        (now, Err(Code::BadWindow)),
        (now + 1, Ok(())),
        (longest, Ok(())),
        (longest + 1, Err(Code::BadWindow)),
    ] {
        let event = AccessRequested {
            expires: Some(instant(expires)),
            ..asked("user:alice", "db:books", Tier::High)
        };
        assert_eq!(at(&desk, now, |desk| desk.say("user:alice", &[], event)), want, "{expires}");
    }
    let request = ask(&mut desk);
    assert_eq!(at(&desk, longest - 1, approve("user:olga", request, BIZ)), Ok(()));
    assert_eq!(at(&desk, longest, approve("user:olga", request, BIZ)), Err(Code::NoOpenRequest));
    approve("user:olga", request, BIZ)(&mut desk).unwrap();
    assert_eq!(at(&desk, longest - 1, |desk| grant(desk, request)), Ok(()));
    assert_eq!(at(&desk, longest, |desk| grant(desk, request)), Err(Code::NoOpenRequest));
    assert!(desk.state.request(&request, instant(longest - 1)).is_some());
    assert!(desk.state.request(&request, instant(longest)).is_none());
}

#[test]
fn a_grant_holds_until_right_before_its_end() {
    let mut desk = with_path(need(BIZ));
    let request = ask(&mut desk);
    approve("user:olga", request, BIZ)(&mut desk).unwrap();
    let digest = grant(&mut desk, request).unwrap();
    let until = desk.now + HOUR;
    let check = |now| {
        desk.state.check(&principal("user:alice"), &resource("db:books"), &role("reader"), instant(now))
    };
    assert!(matches!(check(until - 1), Answer::Allowed { until: Some(end), .. } if end == instant(until)));
    assert_eq!(check(until), Answer::Denied { reason: DenyReason::NoGrant });
    assert_eq!(check(desk.now - 1), Answer::Denied { reason: DenyReason::BeforeState });
    assert_eq!(at(&desk, until - 1, |desk| desk.say("user:rev", &[], revoked(digest))), Ok(()));
    assert_eq!(at(&desk, until, |desk| desk.say("user:rev", &[], revoked(digest))), Err(Code::NoActiveGrant));
}

#[test]
fn a_ceiling_is_met_exactly() {
    let desk = with_path(need(BIZ));
    for (long, want) in [(86_400, Ok(())), (86_401, Err(Code::AboveCeiling))] {
        let event = AccessRequested {
            hold: Hold::Seconds(seconds(long)),
            ..asked("user:alice", "db:books", Tier::High)
        };
        assert_eq!(at(&desk, desk.now, |desk| desk.say("user:alice", &[], event)), want);
    }
}

#[test]
fn a_human_enforcer_may_grant_less_and_an_automation_exactly() {
    let mut desk = with_path(need(BIZ));
    let request = ask(&mut desk);
    let event = AccessApproved { seconds: Some(seconds(600)), ..approved(&desk, request, BIZ) };
    desk.must("user:olga", &[], event);
    let proposed = desk.state.propose_grant(&request, desk.at()).unwrap();
    assert_eq!(proposed.hold, Hold::Seconds(seconds(600)));
    for (who, long, want) in [
        ("service:iam", 599, Err(Code::GrantMismatch)),
        ("service:iam", 600, Ok(())),
        ("service:iam", 601, Err(Code::AboveCeiling)),
        ("user:enf", 599, Ok(())),
        ("user:enf", 600, Ok(())),
        ("user:enf", 601, Err(Code::AboveCeiling)),
    ] {
        let event = AccessGranted { hold: Hold::Seconds(seconds(long)), ..proposed.clone() };
        assert_eq!(at(&desk, desk.now, |desk| desk.say(who, &[], event)), want, "{who} {long}");
    }
}

#[test]
fn what_was_seen_may_be_65_536_entries_old_and_the_entry_decided_on_of_any_age() {
    let mut desk = with_path(need(BIZ));
    let request = ask(&mut desk);
    let first = desk.state.head();
    let own = desk.must("user:bob", &[], asked("user:bob", "team:acme/web", Tier::Low));
    let second = desk.state.head();
    let event = approved(&desk, request, BIZ);
    desk.compared = false;
    // The next entry has this seq; the head that was seen is so many entries below it.
    let fill = |desk: &mut Desk, seq: u64| {
        while desk.state.head().size < seq {
            let mut draft = desk.draft(RECORDER, &[], ClockStepped { reason: text("set") });
            draft.seen = None;
            desk.put(draft).unwrap();
        }
    };
    let withdrawn = |desk: &mut Desk, seen: countersign_core::entry::Head| {
        let mut draft = desk.draft("user:bob", &[], AccessWithdrawn { reason: None, statement: own });
        draft.seen = Some((seen.leaf, seen.size));
        desk.clone().put(draft).map(drop)
    };
    fill(&mut desk, second.size + MAX_SEEN_AGE);
    assert_eq!(withdrawn(&mut desk, second), Ok(()));
    assert_eq!(withdrawn(&mut desk, first), Err(Code::Seen), "one entry older");
    fill(&mut desk, second.size + MAX_SEEN_AGE + 1);
    assert_eq!(withdrawn(&mut desk, second), Err(Code::Seen));
    for (seen, want) in [(first, Ok(())), (second, Err(Code::Seen))] {
        let mut draft = desk.draft("user:olga", &[], event.clone());
        draft.seen = Some((seen.leaf, seen.size));
        assert_eq!(desk.clone().put(draft).map(drop), want, "size {}", seen.size);
    }
}

#[test]
fn a_serial_may_be_1_023_below_the_highest_and_once() {
    let mut desk = with_path(need(BIZ));
    let mut say = |serial: u64| {
        let mut draft = desk.draft("user:alice", &[], asked("user:alice", "db:books", Tier::High));
        draft.serial = serial;
        desk.put(draft).map(drop)
    };
    let high = (1 << 53) - 1;
    for (serial, want) in [
        (10_000, Ok(())),
        (10_000, Err(Code::Serial)),
        (10_000 - 1_024, Err(Code::Serial)),
        (10_000 - 1_023, Ok(())),
        (10_000 - 1_023, Err(Code::Serial)),
        (10_001, Ok(())),
        (10_000 - 1_022, Ok(())),
        (high, Ok(())),
        (high - 1_023, Ok(())),
        (high - 1_024, Err(Code::Serial)),
        (10_002, Err(Code::Serial)),
    ] {
        assert_eq!(say(serial), want, "{serial}");
    }
}

#[test]
fn the_time_from_issue_to_recording_depends_on_what_is_said() {
    let mut desk = with_path(need(BIZ));
    let request = ask(&mut desk);
    let own = desk.must("user:bob", &[], asked("user:bob", "team:acme/web", Tier::Low));
    let (ordinary, decision, patient) = (MAX_LAG_SECONDS, MAX_DECISION_LAG_SECONDS, MAX_COSIGNED_LAG_SECONDS);
    assert_eq!((ordinary, decision, patient, MAX_AHEAD_SECONDS), (3_600, 72 * 3_600, 30 * 86_400, 300));
    let cases: Vec<(&str, Vec<&str>, Event, u64)> = vec![
        ("user:alice", vec![], asked("user:alice", "db:books", Tier::High).into(), ordinary),
        (RECORDER, vec![], ClockStepped { reason: text("set") }.into(), ordinary),
        ("user:olga", vec![], approved(&desk, request, BIZ).into(), decision),
        ("user:olga", vec![], denied(&desk, request, BIZ).into(), decision),
        ("user:exc", vec![], permitted(&desk, request, 60, "user:risk").into(), decision),
        ("user:bob", vec![], AccessWithdrawn { reason: None, statement: own }.into(), patient),
        (GOVERNORS[0], vec![], LedgerFrozen { reason: text("look") }.into(), patient),
        (
            "user:reg-a",
            vec![],
            PrincipalDeparted { principal: principal("user:dan"), reason: text("left") }.into(),
            patient,
        ),
        (
            "user:reg-a",
            vec!["user:reg-b"],
            registered("user:x", PrincipalKind::Human, &["x"]).into(),
            patient,
        ),
    ];
    for (author, cosigners, event, most) in cases {
        let kind = event.kind();
        let now = desk.now;
        for (issued, want) in [
            (now - most * 1_000, Ok(())),
            (now - most * 1_000 - 1, Err(Code::Backdated)),
            (now + 300_000, Ok(())),
            (now + 300_001, Err(Code::Postdated)),
        ] {
            let mut fork = desk.clone();
            let mut draft = fork.draft(author, &cosigners, event.clone());
            draft.issued_at = issued;
            assert_eq!(fork.put(draft).map(drop), want, "{kind} issued {}", instant(issued));
        }
    }
}

#[test]
fn policy_may_shorten_the_windows() {
    let mut desk = with_path(need(BIZ));
    let windows = Windows {
        cosigned_seconds: Some(seconds(400)),
        decision_seconds: Some(seconds(300)),
        request_seconds: Some(seconds(200)),
        statement_seconds: Some(seconds(100)),
    };
    let document = PolicyDocument { windows: Some(windows), ..empty_document() };
    desk.must("user:pol-a", &["user:pol-b"], published("windows", scope("db:books"), document));
    let request = ask(&mut desk);
    assert_eq!(at(&desk, desk.now + 199_999, approve("user:olga", request, BIZ)), Ok(()));
    assert_eq!(at(&desk, desk.now + 200_000, approve("user:olga", request, BIZ)), Err(Code::NoOpenRequest));
    let cases: [(&str, Event, u64); 2] = [
        ("user:alice", asked("user:alice", "db:books", Tier::High).into(), 100_000),
        ("user:olga", approved(&desk, request, BIZ).into(), 300_000),
    ];
    for (author, event, most) in cases {
        for (lag, want) in [(most, Ok(())), (most + 1, Err(Code::Backdated))] {
            let mut fork = desk.clone();
            let mut draft = fork.draft(author, &[], event.clone());
            draft.issued_at = fork.now - lag;
            assert_eq!(fork.put(draft).map(drop), want, "{author} {lag}");
        }
    }
    // Elsewhere the ledger's own windows hold.
    let mut draft = desk.draft("user:alice", &[], asked("user:alice", "app:wiki", Tier::Low));
    draft.issued_at = desk.now - HOUR;
    desk.put(draft).unwrap();
}

#[test]
fn a_recovery_takes_effect_when_its_delay_has_passed() {
    let mut desk = with_path(need(BIZ));
    let event =
        RecoveryProposed { amendment: charter(1, &["user:bob"], true), reason: text("they are gone") };
    let proposal = desk.must(RECOVERY[0], &[RECOVERY[1]], event);
    let due = desk.now + 3 * DAY;
    let frozen = || LedgerFrozen { reason: text("look into it") };
    let veto = || RecoveryVetoed { proposal, reason: text("we are here") };
    assert_eq!(at(&desk, due - 1, |desk| desk.say(GOVERNORS[0], &[GOVERNORS[1]], veto())), Ok(()));
    assert_eq!(at(&desk, due, |desk| desk.say(GOVERNORS[0], &[GOVERNORS[1]], veto())), Err(Code::KeyEnded));
    assert_eq!(at(&desk, due - 1, |desk| desk.say("user:bob", &[], frozen())), Err(Code::NoAuthority));
    assert_eq!(at(&desk, due, |desk| desk.say("user:bob", &[], frozen())), Ok(()));
    assert_eq!(desk.state.governors(instant(due - 1)).len(), 3);
    assert_eq!(desk.state.governors(instant(due)), [principal("user:bob")]);
}

#[test]
fn who_was_overruled_may_freeze_alone_again_after_seven_days() {
    let mut desk = with_path(need(BIZ));
    let frozen = || LedgerFrozen { reason: text("look into it") };
    desk.must(GOVERNORS[0], &[], frozen());
    desk.must(GOVERNORS[1], &[GOVERNORS[2]], LedgerThawed { reason: text("nothing") });
    let over = desk.now + OVERRULED_SECONDS * 1_000;
    assert_eq!(OVERRULED_SECONDS, 7 * 86_400);
    assert_eq!(at(&desk, over - 1, |desk| desk.say(GOVERNORS[0], &[], frozen())), Err(Code::FreezeCooldown));
    assert_eq!(at(&desk, over, |desk| desk.say(GOVERNORS[0], &[], frozen())), Ok(()));
    assert_eq!(at(&desk, over - 1, |desk| desk.say(GOVERNORS[1], &[], frozen())), Ok(()), "another one");
    assert_eq!(
        at(&desk, over - 1, |desk| desk.say(GOVERNORS[0], &[GOVERNORS[1]], frozen())),
        Ok(()),
        "together"
    );
}

#[test]
fn the_recorder_alone_moves_time_by_a_day_at_most() {
    let mut desk = with_path(need(BIZ));
    ask(&mut desk);
    let last = desk.now;
    let set = |desk: &mut Desk| desk.say(RECORDER, &[], ClockStepped { reason: text("set") });
    let day = MAX_RECORDER_DRIFT_SECONDS * 1_000;
    assert_eq!(at(&desk, last + day, set), Ok(()));
    assert_eq!(at(&desk, last + day + 1, set), Err(Code::ClockDrift));
    // Its own entries do not count as somebody else's.
    desk.now = last + day;
    set(&mut desk).unwrap();
    assert_eq!(at(&desk, last + day + 1, set), Err(Code::ClockDrift));
    desk.now = last + day + 1;
    ask(&mut desk);
    assert_eq!(at(&desk, last + 2 * day + 1, set), Ok(()));
    assert_eq!(at(&desk, last + 2 * day + 2, set), Err(Code::ClockDrift));
}

#[test]
fn inv_10_a_chain_of_delegations_is_eight_long_and_breaks_anywhere() {
    let mut desk = with_path(need(BIZ));
    let staff: Vec<String> = (0..10).map(|number| format!("user:link{number}")).collect();
    for name in &staff {
        let bare = name.strip_prefix("user:").unwrap();
        desk.must("user:reg-a", &["user:reg-b"], registered(name, PrincipalKind::Human, &[bare]));
        desk.must("user:reg-a", &["user:reg-b"], enrolled(name, name, Enrolment::First));
    }
    let until = desk.now + DAY;
    let mut links = vec![right(&desk, BIZ, "user:ora", "scope:root")];
    let mut holder = "user:ora".to_owned();
    for depth in [8, 9] {
        let event = delegated(links[0], &staff[0], scope("db:books"), until, depth);
        assert_eq!(at(&desk, desk.now, |desk| desk.say(&holder, &[], event)), Err(Code::TooDeep));
    }
    for (number, name) in staff[..8].iter().enumerate() {
        let left = 7 - number as u64;
        // Nobody gives on as much as was given.
        if number > 0 {
            let event = delegated(*links.last().unwrap(), name, scope("db:books"), until, left + 1);
            assert_eq!(at(&desk, desk.now, |desk| desk.say(&holder, &[], event)), Err(Code::TooDeep));
        }
        let event = delegated(*links.last().unwrap(), name, scope("db:books"), until, left);
        links.push(desk.must(&holder, &[], event));
        holder.clone_from(name);
    }
    let event = delegated(*links.last().unwrap(), &staff[8], scope("db:books"), until, 0);
    assert_eq!(at(&desk, desk.now, |desk| desk.say(&holder, &[], event)), Err(Code::TooDeep), "the ninth");
    let request = ask(&mut desk);
    approve(&holder, request, BIZ)(&mut desk).unwrap();
    assert_eq!(at(&desk, desk.now, |desk| grant(desk, request)), Ok(()));
    for (place, link) in links.iter().enumerate() {
        let mut fork = desk.clone();
        let delegator = if place < 2 { "user:ora".to_owned() } else { staff[place - 2].clone() };
        if place == 0 {
            fork.must("user:reg-a", &[], CapacityWithdrawn { assignment: *link, reason: text("moved on") });
        } else {
            fork.must(&delegator, &[], DelegationWithdrawn { delegation: *link, reason: text("back") });
        }
        assert!(
            !fork.state.holds(&principal(&holder), BIZ, &resource("db:books"), fork.at()),
            "link {place}"
        );
        assert_eq!(grant(&mut fork, request), Err(Code::ApprovalMissing), "link {place}");
    }
    // Everybody in the chain is one person with its end (R030).
    for name in staff[..8].iter().map(String::as_str).chain(["user:ora"]) {
        let mut fork = desk.clone();
        let request = fork.must(name, &[], asked(name, "db:books", Tier::High));
        assert_eq!(approve(&holder, request, BIZ)(&mut fork), Err(Code::SelfApproval), "{name}");
    }
}

#[test]
fn a_delegation_of_no_depth_goes_no_further() {
    let mut desk = with_path(need(BIZ));
    let basis = right(&desk, BIZ, "user:olga", "*");
    let until = desk.now + DAY;
    for depth in [0, 1] {
        let mut fork = desk.clone();
        let given = fork.must("user:olga", &[], delegated(basis, "user:bob", scope("*"), until, depth));
        let further =
            fork.say("user:bob", &[], delegated(given, "user:carol", scope("*"), until, 0)).map(drop);
        assert_eq!(further, if depth == 0 { Err(Code::TooDeep) } else { Ok(()) });
    }
    desk.must("user:olga", &[], delegated(basis, "user:bob", scope("*"), until, 0));
}

#[test]
fn sixteen_resources_stand_above_one_another_and_none_above_itself() {
    let mut desk = with_path(need(BIZ));
    let by = |desk: &mut Desk, event: ResourceRegistered| desk.say("user:reg-a", &["user:pol-a"], event);
    let names: Vec<String> = (1..=17).map(|number| format!("tree:{number}")).collect();
    by(&mut desk, placed(&names[0], Tier::Low, None)).unwrap();
    for number in 1..16 {
        by(&mut desk, placed(&names[number], Tier::Low, Some(&names[number - 1]))).unwrap();
    }
    let last = placed(&names[16], Tier::Low, Some(&names[15]));
    assert_eq!(by(&mut desk, last), Err(Code::TooMany));
    // A capacity on the highest reaches the lowest.
    desk.must("user:reg-a", &["user:reg-b"], assigned(BIZ, "user:bob", scope(&names[0])));
    assert!(desk.state.holds(&principal("user:bob"), BIZ, &resource(&names[15]), desk.at()));
    let moved = |desk: &Desk, name: &str, above: &str| ResourceChanged {
        governed_by: Some(resource(above)),
        ..changed(desk, name)
    };
    // A tree moved below another counts with its height: 15 below one, and 2 more.
    by(&mut desk, placed("tree:a", Tier::Low, None)).unwrap();
    by(&mut desk, placed("tree:b", Tier::Low, Some("tree:a"))).unwrap();
    let move_it = |desk: &mut Desk, name: &str, above: &str| {
        let event = moved(desk, name, above);
        desk.say("user:reg-a", &["user:pol-a", "user:olga"], event).map(drop)
    };
    for (above, want) in [(&names[13], Ok(())), (&names[14], Err(Code::TooMany))] {
        assert_eq!(move_it(&mut desk.clone(), "tree:a", above), want, "{above}");
    }
    for (name, above) in
        [("tree:1", "tree:1"), ("tree:1", "tree:2"), ("tree:1", "tree:16"), ("tree:8", "tree:9")]
    {
        assert_eq!(move_it(&mut desk.clone(), name, above), Err(Code::GovernedCycle), "{name} below {above}");
    }
    let own = placed("tree:self", Tier::Low, Some("tree:self"));
    assert_eq!(by(&mut desk, own), Err(Code::UnknownResource));
}

#[test]
fn an_exception_and_a_class_last_as_long_as_policy_says() {
    let mut desk = with_path(need(BIZ));
    let request = ask(&mut desk);
    for (long, want) in [(3_600, Ok(())), (3_601, Err(Code::AboveCeiling))] {
        let event = permitted(&desk, request, long, "user:risk");
        assert_eq!(at(&desk, desk.now, |desk| desk.say("user:exc", &[], event)), want);
    }
    let event = permitted(&desk, request, 3_600, "user:risk");
    desk.must("user:exc", &[], event.clone());
    let over = desk.now + HOUR;
    assert_eq!(at(&desk, over - 1, |desk| grant(desk, request)), Ok(()));
    let proposed = desk.state.propose_grant(&request, instant(over - 1)).unwrap();
    assert_eq!(at(&desk, over, |desk| desk.say("service:iam", &[], proposed)), Err(Code::ExceptionOver));
    assert_eq!(at(&desk, over - 1, |desk| desk.say("user:exc", &[], event.clone())), Err(Code::NotRequired));
    assert_eq!(at(&desk, over, |desk| desk.say("user:exc", &[], event.clone())), Ok(()));
    // A grant that rests on it never outlasts it.
    let mut fork = desk.clone();
    fork.now = over - 60_000;
    let digest = grant(&mut fork, request).unwrap();
    assert_eq!(fork.state.grant(&digest).unwrap().until, Some(instant(over)));

    let main = policy(&desk, "main");
    let longest = desk.now + 30 * DAY;
    for (until, want) in [
        (desk.now, Err(Code::BadWindow)),
        (desk.now + 1, Ok(())),
        (longest, Ok(())),
        (longest + 1, Err(Code::AboveCeiling)),
    ] {
        let event = opened_class("baseline", main, until, "user:risk");
        assert_eq!(at(&desk, desk.now, |desk| desk.say("user:exc", &["user:risk"], event)), want, "{until}");
    }
    desk.must("user:exc", &["user:risk"], opened_class("baseline", main, longest, "user:risk"));
    let standing = || AccessRequested {
        hold: Hold::Class(label("baseline")),
        ..asked("user:bob", "app:wiki", Tier::Low)
    };
    assert_eq!(at(&desk, longest - 1, |desk| desk.say("user:bob", &[], standing())), Ok(()));
    assert_eq!(at(&desk, longest, |desk| desk.say("user:bob", &[], standing())), Err(Code::ClassNotOpen));
}

#[test]
fn a_class_that_lapses_ends_what_is_held_under_it_where_it_says_so() {
    for missed_review in [MissedReview::Flag, MissedReview::End] {
        let mut desk = with_path(need(BIZ));
        let mut event = policy_of(&desk, "main");
        event.document.classes = [StandingClass {
            applies: None,
            class: label("baseline"),
            missed_review,
            review_seconds: seconds(30 * 86_400),
        }]
        .into_iter()
        .collect();
        let main = desk.must("user:pol-a", &["user:pol-b"], event);
        let until = desk.now + DAY;
        desk.must("user:exc", &["user:risk"], opened_class("baseline", main, until, "user:risk"));
        let event = AccessRequested {
            hold: Hold::Class(label("baseline")),
            ..asked("user:bob", "app:wiki", Tier::Low)
        };
        let request = desk.must("user:bob", &[], event);
        approve("user:olga", request, BIZ)(&mut desk).unwrap();
        let digest = grant(&mut desk, request).unwrap();
        let goes_on = missed_review == MissedReview::Flag;
        let held = |desk: &Desk, now| {
            desk.state
                .check(&principal("user:bob"), &resource("app:wiki"), &role("reader"), instant(now))
                .is_allowed()
        };
        assert!(held(&desk, until - 1));
        assert_eq!(held(&desk, until), goes_on);
        let revoke = |desk: &mut Desk| desk.say("user:rev", &[], revoked(digest));
        assert_eq!(at(&desk, until, revoke).is_ok(), goes_on);
        // Renewed in time, it goes on; opened again too late, nothing comes back.
        let mut fork = desk.clone();
        fork.now = until - 1;
        fork.must("user:exc", &["user:pol-a"], opened_class("baseline", main, until + DAY, "user:risk"));
        assert!(held(&fork, until + DAY - 1));
        desk.now = until;
        desk.must("user:exc", &["user:pol-a"], opened_class("baseline", main, until + DAY, "user:risk"));
        assert_eq!(held(&desk, until + 1), goes_on);
    }
}

#[test]
fn a_scheduled_policy_is_in_force_from_its_instant_on() {
    let mut desk = with_path(need(BIZ));
    let request = ask(&mut desk);
    let from = desk.now + DAY;
    let mut event = policy_of(&desk, "main");
    event.document.paths = vec![path_rule("other", need(Capacity::ControlOwner))];
    event.document.paths[0].path = all(vec![need(BIZ), need(Capacity::ControlOwner)]);
    event.from = Some(instant(from));
    desk.must("user:pol-a", &["user:pol-b"], event.clone());
    let control = |desk: &mut Desk| approve("user:ctl", request, Capacity::ControlOwner)(desk);
    assert_eq!(at(&desk, from - 1, control), Err(Code::NotRequired));
    assert_eq!(at(&desk, from, control), Ok(()));
    approve("user:olga", request, BIZ)(&mut desk).unwrap();
    assert_eq!(at(&desk, from - 1, |desk| grant(desk, request)), Ok(()));
    assert_eq!(at(&desk, from, |desk| grant(desk, request)), Err(Code::ApprovalMissing));
    for (from, want) in [(desk.now - 1, Err(Code::BadWindow)), (desk.now, Ok(()))] {
        let event = PolicyPublished { from: Some(instant(from)), ..event.clone() };
        assert_eq!(at(&desk, desk.now, |desk| desk.say("user:pol-a", &["user:pol-b"], event)), want);
    }
}

#[test]
fn a_person_has_4_096_requests_open_whichever_account_made_them() {
    let mut desk = with_path(need(BIZ));
    desk.compared = false;
    let mut last = None;
    for number in 0..MAX_OPEN_REQUESTS {
        let who = if number % 2 == 0 { "user:alice" } else { "user:ALICE" };
        last = Some(desk.must(who, &[], asked("user:carol", "app:wiki", Tier::Low)));
    }
    let more = |who: &'static str| {
        move |desk: &mut Desk| desk.say(who, &[], asked("user:carol", "app:wiki", Tier::Low))
    };
    assert_eq!(at(&desk, desk.now, more("user:alice")), Err(Code::TooMany));
    assert_eq!(at(&desk, desk.now, more("user:ALICE")), Err(Code::TooMany));
    assert_eq!(at(&desk, desk.now, more("user:bob")), Ok(()));
    let mut fork = desk.clone();
    fork.must("user:ALICE", &[], AccessWithdrawn { reason: None, statement: last.unwrap() });
    more("user:alice")(&mut fork).unwrap();
    assert_eq!(more("user:alice")(&mut fork), Err(Code::TooMany));
    let expired = desk.now + MAX_REQUEST_SECONDS * 1_000;
    assert_eq!(at(&desk, expired, more("user:alice")), Ok(()));
}

#[test]
fn a_service_counts_its_requests_against_each_controller() {
    let mut desk = with_path(need(BIZ));
    desk.compared = false;
    for _ in 0..MAX_OPEN_REQUESTS {
        desk.must("workload:batch", &[], asked("user:carol", "app:wiki", Tier::Low));
    }
    for (who, want) in
        [("user:dan", Err(Code::TooMany)), ("user:abe", Err(Code::TooMany)), ("user:bob", Ok(()))]
    {
        let say = |desk: &mut Desk| desk.say(who, &[], asked("user:carol", "app:wiki", Tier::Low));
        assert_eq!(at(&desk, desk.now, say), want, "{who}");
    }
}

#[test]
fn controllers_keys_and_capacities_are_bounded() {
    let mut desk = with_path(need(BIZ));
    for (count, want) in [(MAX_CONTROLLERS, Ok(())), (MAX_CONTROLLERS + 1, Err(Code::TooMany))] {
        let all: Vec<String> = (0..count).map(|number| format!("many{number}")).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let event = registered("service:many", PrincipalKind::Service, &all);
        assert_eq!(at(&desk, desk.now, |desk| desk.say("user:reg-a", &["user:reg-b"], event)), want);
    }
    let mut fork = desk.clone();
    for number in 1..=MAX_KEYS {
        let label = format!("alice#{number}");
        let mut draft = fork.draft("user:alice", &[], enrolled("user:alice", &label, Enrolment::Further));
        draft.signed_by = vec!["user:alice".into(), label];
        assert_eq!(fork.put(draft).map(drop), if number < MAX_KEYS { Ok(()) } else { Err(Code::TooMany) });
    }
    desk.compared = false;
    for number in 1..=1_025 {
        let said =
            desk.say("user:reg-a", &["user:reg-b"], assigned(Capacity::Reviewer, "user:bob", scope("*")));
        assert_eq!(said.map(drop), if number <= 1_024 { Ok(()) } else { Err(Code::TooMany) }, "{number}");
    }
}

#[test]
fn names_of_resources_are_matched_by_segment() {
    let mut desk = with_path(need(BIZ));
    for name in ["db:acme", "db:acme/pay", "db:acme-labs/pay", "db:acme/pay/eu"] {
        desk.must("user:reg-a", &["user:pol-a"], placed(name, Tier::Low, None));
    }
    let over = scope_except("db:acme/*", &["db:acme/pay/*"]);
    desk.must("user:reg-a", &["user:reg-b"], assigned(BIZ, "user:bob", over));
    for (name, want) in
        [("db:acme", false), ("db:acme/pay", true), ("db:acme-labs/pay", false), ("db:acme/pay/eu", false)]
    {
        assert_eq!(desk.state.holds(&principal("user:bob"), BIZ, &resource(name), desk.at()), want, "{name}");
        let request = desk.must("user:alice", &[], asked("user:alice", name, Tier::Low));
        let approved = at(&desk, desk.now, approve("user:bob", request, BIZ));
        assert_eq!(approved, if want { Ok(()) } else { Err(Code::OutsideScope) }, "{name}");
    }
    // What is left out stays out, though something above it is taken in.
    let event =
        ResourceChanged { governed_by: Some(resource("db:acme/pay")), ..changed(&desk, "db:acme/pay/eu") };
    desk.must("user:reg-a", &["user:pol-a", "user:olga"], event);
    assert!(!desk.state.holds(&principal("user:bob"), BIZ, &resource("db:acme/pay/eu"), desk.at()));
    let _ = Scope::everything();
}

type Bend = Box<dyn Fn(&mut Draft, &mut LedgerOpened)>;

#[test]
fn genesis_is_refused_unless_everybody_whom_it_names_signs_what_holds_together() {
    let charter = charter(2, &GOVERNORS[..2], true);
    let opened = LedgerOpened {
        governors: charter.governors.clone(),
        name: LedgerName::new("acme").unwrap(),
        quorum: charter.quorum,
        recorder: charter.recorder.clone(),
        recovery: charter.recovery,
        rules: 1,
        suite: Suite,
    };
    let say = |bend: &dyn Fn(&mut Draft, &mut LedgerOpened)| {
        let mut desk = Desk { compared: false, ..Desk::new("2026-01-05T09:00:00.000Z") };
        let mut opened = opened.clone();
        let others: Vec<&str> = [RECORDER, GOVERNORS[1]].into_iter().chain(RECOVERY).collect();
        let mut draft = desk.draft(GOVERNORS[0], &others, opened.clone());
        bend(&mut draft, &mut opened);
        draft.event = opened.into();
        desk.put(draft).map(drop)
    };
    let month = 30 * DAY;
    let seat = |name: &str, of: &str| [holder(GOVERNORS[0], "gov-a"), holder(name, of)].into_iter().collect();
    let cases: Vec<(&str, Bend, Result<(), Code>)> = vec![
        ("as it should be", Box::new(|_, _| ()), Ok(())),
        ("a month old", Box::new(move |draft, _| draft.issued_at -= month), Ok(())),
        ("older", Box::new(move |draft, _| draft.issued_at -= month + 1), Err(Code::Backdated)),
        ("from the future", Box::new(|draft, _| draft.issued_at += 300_001), Err(Code::Postdated)),
        ("of rules to come", Box::new(|_, opened| opened.rules = 2), Err(Code::NeedsRules)),
        ("of no rules", Box::new(|_, opened| opened.rules = 0), Err(Code::Genesis)),
        ("under another name", Box::new(|_, opened| opened.name = LedgerName::new("other").unwrap()), Ok(())),
        (
            "for another ledger",
            Box::new(|draft, _| draft.ledger = Some(LedgerRef::Name(LedgerName::new("other").unwrap()))),
            Err(Code::Genesis),
        ),
        (
            "after something",
            Box::new(|draft, _| draft.seen = Some((countersign_core::digest::LeafHash::new([0; 32]), 1))),
            Err(Code::Genesis),
        ),
        (
            "by another governor",
            Box::new(|draft, _| {
                draft.author = GOVERNORS[1].into();
                draft.key = GOVERNORS[1].into();
            }),
            Err(Code::Genesis),
        ),
        ("with another key", Box::new(|draft, _| draft.key = GOVERNORS[1].into()), Err(Code::Genesis)),
        ("one cosigner short", Box::new(|draft, _| drop(draft.cosigners.pop())), Err(Code::SignerSet)),
        ("one signature short", Box::new(|draft, _| drop(draft.signed_by.pop())), Err(Code::NoPossession)),
        (
            "one signature too many",
            Box::new(|draft, _| draft.signed_by.push("user:x".into())),
            Err(Code::SignerSet),
        ),
        ("no quorum", Box::new(|_, opened| opened.quorum = 0), Err(Code::CharterInvalid)),
        ("a quorum nobody reaches", Box::new(|_, opened| opened.quorum = 3), Err(Code::LockOut)),
        (
            "no recovery quorum",
            Box::new(|_, opened| opened.recovery.as_mut().unwrap().quorum = 0),
            Err(Code::CharterInvalid),
        ),
        (
            "a recovery quorum nobody reaches",
            Box::new(|_, opened| opened.recovery.as_mut().unwrap().quorum = 4),
            Err(Code::CharterInvalid),
        ),
        (
            "a recorder of nobody's",
            Box::new(|_, opened| opened.recorder.controllers = Default::default()),
            Err(Code::CharterInvalid),
        ),
        (
            "a governor who controls the recorder",
            Box::new(|_, opened| opened.recorder.controllers = [person("gov-a")].into_iter().collect()),
            Err(Code::CharterInvalid),
        ),
        (
            "one person in two seats",
            Box::new(move |_, opened| opened.governors = seat(GOVERNORS[1], "gov-a")),
            Err(Code::CharterInvalid),
        ),
        (
            "one principal in two seats",
            Box::new(|draft, opened| {
                opened.recorder.principal = principal(GOVERNORS[1]);
                draft.cosigners.retain(|name| name != RECORDER);
            }),
            Err(Code::SignerSet),
        ),
        (
            "one key in two seats",
            Box::new(|draft, opened| {
                opened.recorder.key = key_bytes(GOVERNORS[1]);
                draft.signed_by.retain(|label| label != RECORDER);
            }),
            Err(Code::CharterInvalid),
        ),
        (
            "persons that differ in case",
            Box::new(move |_, opened| opened.governors = seat(GOVERNORS[1], "Gov-A")),
            Err(Code::CaseTwin),
        ),
        (
            "names that differ in case",
            Box::new(move |draft, opened| {
                opened.governors = seat("user:gov-A", "gov-b");
                // The bytewise first one is another now.
                draft.author = "user:gov-A".into();
                draft.key = "user:gov-A".into();
                draft.cosigners[1] = GOVERNORS[0].into();
                draft.signed_by.retain(|label| label != GOVERNORS[1]);
                draft.signed_by.push("user:gov-A".into());
            }),
            Err(Code::CaseTwin),
        ),
    ];
    for (name, bend, want) in cases {
        assert_eq!(say(&*bend), want, "{name}");
    }
}

/// One signature proves a key, for however many seats it is named; that was called a new key that did not sign.
#[test]
fn a_charter_that_seats_two_with_one_new_key_is_invalid_and_not_unproved() {
    let mut desk = with_path(need(BIZ));
    let of_two = |name: &str, of: &str| KeyHolder { key: key_bytes("user:new-a"), ..holder(name, of) };
    let (keep_a, keep_b) = (holder(GOVERNORS[0], "gov-a"), holder(GOVERNORS[1], "gov-b"));
    let mut next = charter(2, &GOVERNORS[..2], true);
    next.governors =
        [keep_a, keep_b, of_two("user:new-a", "new-a"), of_two("user:new-b", "new-b")].into_iter().collect();
    let event = CharterAmended { charter: next, reason: text("two seats, one key") };
    let mut draft = desk.draft(GOVERNORS[0], &[GOVERNORS[1]], event);
    draft.signed_by.retain(|label| label != "user:new-b");
    assert!(draft.signed_by.iter().any(|label| label == "user:new-a"));
    assert_eq!(desk.put(draft), Err(Code::CharterInvalid));
}
