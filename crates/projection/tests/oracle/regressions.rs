//! What judge once decided wrongly. Each test opens with what went wrong.

use countersign_core::event::*;
use countersign_projection::governance::{RefusalCode as Code, State};

use crate::support::act::*;
use crate::support::cast::*;
use crate::support::desk::Desk;
use crate::support::make::*;

fn approve(
    desk: &mut Desk,
    who: &str,
    request: countersign_core::digest::StatementDigest,
    capacity: Capacity,
) -> Result<(), Code> {
    let event = approved(desk, request, capacity);
    desk.say(who, &[], event).map(drop)
}

/// One branch of an alternative, once begun, shut the other: its approvals "made no progress", and a request whose first
/// branch nobody could complete was stuck.
#[test]
fn a_branch_begun_leaves_the_other_branch_open() {
    let pair = |left, right| all(vec![need(left), need(right)]);
    let mut desk = with_path(any(vec![
        pair(Capacity::BusinessOwner, Capacity::ControlOwner),
        pair(Capacity::ApplicationOwner, Capacity::PlatformOwner),
    ]));
    let request = desk.must("user:alice", &[], asked("user:alice", "db:books", Tier::High));
    approve(&mut desk, "user:olga", request, Capacity::BusinessOwner).unwrap();
    approve(&mut desk, "user:app", request, Capacity::ApplicationOwner).unwrap();
    assert_eq!(approve(&mut desk, "user:ora", request, Capacity::BusinessOwner), Err(Code::NotRequired));
    approve(&mut desk, "user:plat", request, Capacity::PlatformOwner).unwrap();
    assert_eq!(approve(&mut desk, "user:ctl", request, Capacity::ControlOwner), Err(Code::NotRequired));
    let grant = desk.state.propose_grant(&request, desk.at()).unwrap();
    desk.must("service:iam", &[], grant);
}

/// Persons that a principal had until the very instant of the request were forgotten, though entries of one batch share their
/// instant: a requester changed hands right after the request, and his former person approved it.
#[test]
fn persons_of_the_instant_of_the_request_count() {
    let mut desk = with_path(need(Capacity::BusinessOwner));
    desk.must("user:reg-a", &["user:reg-b"], registered("service:bot", PrincipalKind::Service, &["olga"]));
    desk.must("user:reg-a", &["user:reg-b"], enrolled("service:bot", "service:bot", Enrolment::First));
    let request = desk.must("service:bot", &[], asked("user:alice", "db:books", Tier::High));
    let changed = PrincipalChanged {
        controllers: [person("bob")].into_iter().collect(),
        person: None,
        principal: principal("service:bot"),
        reason: text("it has another owner"),
    };
    desk.must("user:reg-a", &["user:reg-b"], changed);
    assert_eq!(approve(&mut desk, "user:olga", request, Capacity::BusinessOwner), Err(Code::SelfApproval));
    approve(&mut desk, "user:ora", request, Capacity::BusinessOwner).unwrap();
}

/// A delegation whose basis was withdrawn long ago went on making delegator and delegate one person until its own end.
#[test]
fn a_delegation_without_its_basis_makes_nobody_one_person() {
    let mut desk = with_path(need(Capacity::BusinessOwner));
    let basis = right(&desk, Capacity::ApplicationOwner, "user:app", "*");
    let until = desk.now + 400 * 86_400_000;
    desk.must("user:app", &[], delegated(basis, "user:olga", scope("team:lab"), until, 0));
    let request = desk.must("user:app", &[], asked("user:app", "db:books", Tier::High));
    assert_eq!(approve(&mut desk, "user:olga", request, Capacity::BusinessOwner), Err(Code::SelfApproval));
    desk.must("user:reg-a", &[], CapacityWithdrawn { assignment: basis, reason: text("app moved on") });
    assert_eq!(approve(&mut desk, "user:olga", request, Capacity::BusinessOwner), Err(Code::SelfApproval));
    for days in [1, 40] {
        desk.pass(days * 86_400);
        let request = desk.must("user:app", &[], asked("user:app", "db:books", Tier::High));
        approve(&mut desk, "user:olga", request, Capacity::BusinessOwner).unwrap();
    }
}

/// An approval for an hour became a standing grant where the request was for a standing class (INV-13).
#[test]
fn an_approval_for_a_time_bounds_a_standing_grant() {
    let mut desk = with_path(need(Capacity::BusinessOwner));
    let event = opened_class("baseline", policy(&desk, "main"), desk.now + 86_400_000, "user:risk");
    desk.must("user:exc", &["user:risk"], event);
    let ask = AccessRequested {
        hold: Hold::Class(label("baseline")),
        ..asked("user:alice", "db:books", Tier::High)
    };
    for (agreed, held) in [(Some(3_600), Some(3_600)), (None, None)] {
        let request = desk.must("user:alice", &[], ask.clone());
        let event = AccessApproved {
            seconds: agreed.map(seconds),
            ..approved(&desk, request, Capacity::BusinessOwner)
        };
        desk.must("user:olga", &[], event);
        let proposed = desk.state.propose_grant(&request, desk.at()).unwrap();
        let grant = desk.must("service:iam", &[], proposed);
        let until = held.map(|held: u64| instant(desk.now + held * 1_000));
        assert_eq!(desk.state.grant(&grant).unwrap().until, until);
    }
}

/// An exception that a request did not need stood on after its grant, for a request that was no more.
#[test]
fn an_exception_that_was_not_needed_ends_with_its_request() {
    let mut desk = with_path(need(Capacity::BusinessOwner));
    let request = desk.must("user:alice", &[], asked("user:alice", "db:books", Tier::High));
    let exception = permitted(&desk, request, 3_600, "user:risk");
    let exception = desk.must("user:exc", &[], exception);
    approve(&mut desk, "user:olga", request, Capacity::BusinessOwner).unwrap();
    let proposed = desk.state.propose_grant(&request, desk.at()).unwrap();
    assert_eq!(proposed.exception, None);
    desk.must("service:iam", &[], proposed);
    assert_eq!(desk.state.exceptions(desk.at()), []);
    let ended = ExceptionEnded { exception, reason: text("over") };
    assert_eq!(desk.say("user:exc", &[], ended), Err(Code::NoSuchException));
}

/// A key that an announced charter names could be retired before the charter took effect, so that a seat came without a key.
#[test]
fn a_key_of_an_announced_charter_is_not_retired() {
    let mut desk = with_path(need(Capacity::BusinessOwner));
    let amendment = charter(2, &["user:gov-a", "user:olga"], true);
    let signers = ["user:safe-b"];
    desk.must("user:safe-a", &signers, RecoveryProposed { amendment, reason: text("governors are gone") });
    let retired =
        |name: &str| KeyRetired { key: key_bytes(name), principal: principal(name), reason: text("old") };
    for author in ["user:olga", "user:reg-a", "user:gov-b"] {
        assert_eq!(desk.say(author, &[], retired("user:olga")), Err(Code::CharterOnly), "{author}");
    }
    desk.must("user:otto", &[], retired("user:otto"));
    desk.pass(3 * 86_400);
    let frozen = LedgerFrozen { reason: text("look into it") };
    desk.must("user:olga", &[], frozen);
    assert_eq!(desk.state.governors(desk.at()), [principal("user:gov-a"), principal("user:olga")]);
}

/// Somebody approved, and then published the same words again: the clause was the same, and the policy that the grant cites was
/// the approver's own (R007).
#[test]
fn who_publishes_the_same_words_again_no_longer_counts_as_approver() {
    let mut desk = with_path(need(Capacity::BusinessOwner));
    desk.must("user:gov-a", &["user:gov-b"], assigned(Capacity::PolicyOwner, "user:olga", scope("*")));
    let request = desk.must("user:alice", &[], asked("user:alice", "db:books", Tier::High));
    approve(&mut desk, "user:olga", request, Capacity::BusinessOwner).unwrap();
    let words = desk
        .model
        .in_force(desk.now)
        .into_iter()
        .find(|policy| policy.event.name.as_str() == "main")
        .unwrap();
    desk.must("user:olga", &["user:pol-b"], words.event.clone());
    let proposed = desk.state.propose_grant(&request, desk.at());
    assert_eq!(proposed.unwrap_err().code, Code::ApprovalMissing);
    let approval = desk.model.request(&request).unwrap().votes[0].digest;
    let grant = AccessGranted {
        clause: clause(&desk, &request),
        ends_on: [EndEvent::Offboarding, EndEvent::ResourceRetired].into_iter().collect(),
        exception: None,
        hold: Hold::Seconds(seconds(3_600)),
        policy: policy(&desk, "main"),
        replaces: None,
        request,
        witness: vec![WitnessItem { approval, requirement: 0 }],
    };
    assert_eq!(desk.say("service:iam", &[], grant), Err(Code::PolicyAuthor));
    approve(&mut desk, "user:ora", request, Capacity::BusinessOwner).unwrap();
    let proposed = desk.state.propose_grant(&request, desk.at()).unwrap();
    desk.must("service:iam", &[], proposed);
}

/// Clones of a state share what clauses resolved to. Two that each registered a resource gave both the same number, and each
/// found the clause of the other's.
#[test]
fn forks_that_register_different_resources_resolve_each_their_own() {
    let mut desk = with_path(need(Capacity::BusinessOwner));
    desk.compared = false;
    let before = desk.state.clone();
    desk.must("user:reg-a", &["user:pol-a"], placed("db:left", Tier::High, None));
    let left = std::mem::replace(&mut desk.state, before);
    desk.must("user:reg-a", &["user:pol-a"], placed("db:right", Tier::High, None));
    let of = |state: &State, name: &str| {
        state.clause(&resource(name), &role("reader"), desk.at()).map(|clause| clause.resource)
    };
    assert_eq!(of(&left, "db:left"), Ok(resource("db:left")));
    assert_eq!(of(&desk.state, "db:right"), Ok(resource("db:right")));
}
