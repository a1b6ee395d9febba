//! The usual statements about a request, as they follow from the state.

use countersign_core::digest::{ClauseDigest, StatementDigest};
use countersign_core::event::*;

use super::desk::Desk;
use super::make::*;

/// The clause that an approval of an open request signs now.
pub fn clause(desk: &Desk, request: &StatementDigest) -> ClauseDigest {
    desk.state.clause_of_request(request, desk.at()).unwrap_or(ClauseDigest::new([0; 32]))
}

pub fn approved(desk: &Desk, request: StatementDigest, capacity: Capacity) -> AccessApproved {
    AccessApproved {
        capacity,
        clause: clause(desk, &request),
        need: text("alice closes the books"),
        request,
        seconds: None,
    }
}

pub fn denied(desk: &Desk, request: StatementDigest, capacity: Capacity) -> AccessDenied {
    AccessDenied { capacity, clause: clause(desk, &request), reason: text("there is no need"), request }
}

pub fn permitted(desk: &Desk, request: StatementDigest, for_seconds: u64, owner: &str) -> ExceptionGranted {
    ExceptionGranted {
        covers: ExceptionOf::Personal(PersonalException {
            clause: clause(desk, &request),
            request,
            seconds: seconds(for_seconds),
        }),
        need: text("the incident is open"),
        owner: principal(owner),
    }
}

pub fn opened_class(class: &str, policy: StatementDigest, until: u64, owner: &str) -> ExceptionGranted {
    ExceptionGranted {
        covers: ExceptionOf::Class(ClassException { class: label(class), policy, until: instant(until) }),
        need: text("teams hold what they need"),
        owner: principal(owner),
    }
}

pub fn delegated(basis: StatementDigest, to: &str, over: Scope, until: u64, depth: u64) -> DelegationGranted {
    DelegationGranted {
        basis,
        delegate: principal(to),
        depth,
        from: None,
        scope: over,
        until: instant(until),
    }
}

pub fn revoked(grant: StatementDigest) -> AccessRevoked {
    AccessRevoked { grant, reason: text("done") }
}

/// The digest of the policy of this name in force.
pub fn policy(desk: &Desk, name: &str) -> StatementDigest {
    let found = desk.state.policies(desk.at()).into_iter().find(|view| view.name.as_str() == name);
    found.expect("it is in force").policy
}

/// The digest of a right: an assignment or a delegation.
pub fn right(desk: &Desk, capacity: Capacity, holder: &str, on: &str) -> StatementDigest {
    let found = desk.model.rights.iter().rev().find(|right| {
        right.capacity == capacity
            && right.holder.as_str() == holder
            && right.scope.on.as_str() == on
            && right.ended.is_none()
    });
    found.expect("it is held").digest
}

pub fn changed(desk: &Desk, name: &str) -> ResourceChanged {
    let facts = desk.model.resource(&resource(name)).expect("registered");
    ResourceChanged {
        environment: facts.environment.clone(),
        governed_by: facts.governed_by.clone(),
        process: facts.process.clone(),
        reason: text("it changed"),
        resource: resource(name),
        tier: facts.tier,
    }
}
