//! Requests, decisions, grants and exceptions.

use super::{Capacity, Tier};
use crate::digest::{ClauseDigest, StatementDigest};
use crate::fault::Fault;
use crate::id::{Label, Principal, Process, Resource, Role};
use crate::time::{Seconds, Timestamp};
use crate::wire::{Reader, Set, Text, Wire, Writer, lone_member_schema, named_schema};

crate::words! {
    /// What ends a grant besides its time (R046).
    pub enum EndEvent {
        /// The standing class it is held under is closed, or lapses with effect `end`.
        ClassClosed = "class_closed",
        /// A delegation that its approval rests on is withdrawn.
        DelegationEnded = "delegation_ended",
        /// The exception it rests on ends.
        ExceptionEnded = "exception_ended",
        /// The subject departs.
        Offboarding = "offboarding",
        /// A capacity that its approval rests on is withdrawn.
        OwnerGone = "owner_gone",
        /// The resource is retired.
        ResourceRetired = "resource_retired",
        /// The task is done: somebody revokes.
        TaskDone = "task_done",
        /// The ticket is closed: somebody revokes.
        TicketClosed = "ticket_closed",
    }
}

/// How long an entitlement is asked for or held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hold {
    /// `{"seconds":n}`: that long from the grant.
    Seconds(Seconds),
    /// `{"class":label}`: without end, under this standing class of the policy.
    Class(Label),
}

impl Wire for Hold {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let first = reader.peek_first_key()?;
        reader.object(|object| match first {
            "class" => object.member("class").map(Self::Class),
            _ => object.member("seconds").map(Self::Seconds),
        })
    }

    fn write(&self, out: &mut Writer) {
        out.object(|object| match self {
            Self::Seconds(seconds) => object.member("seconds", seconds),
            Self::Class(class) => object.member("class", class),
        });
    }

    fn schema() -> String {
        let forms = [
            lone_member_schema("class", &Label::schema()),
            lone_member_schema("seconds", &Seconds::schema()),
        ];
        let doc = "How long an entitlement is asked for or held: that many seconds from the grant, or without end under this standing \
                   class of the policy.";
        named_schema("Hold", doc, &format!("\"oneOf\":[{}]", forms.join(",")))
    }
}

/// What an exception permits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExceptionOf {
    /// One request, in place of its approval path.
    Personal(PersonalException),
    /// A standing class of a policy: opens it, or renews it.
    Class(ClassException),
}

impl Wire for ExceptionOf {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        match reader.peek_first_key()? {
            "class" => ClassException::read(reader).map(Self::Class),
            _ => PersonalException::read(reader).map(Self::Personal),
        }
    }

    fn write(&self, out: &mut Writer) {
        match self {
            Self::Personal(personal) => personal.write(out),
            Self::Class(class) => class.write(out),
        }
    }

    fn schema() -> String {
        let doc = "What an exception permits: one request, in place of its approval path; or a standing class, which it opens or renews.";
        let forms = [ClassException::schema(), PersonalException::schema()];
        named_schema("ExceptionOf", doc, &format!("\"oneOf\":[{}]", forms.join(",")))
    }
}

crate::record! {
    /// Asks for an entitlement (R015).
    pub struct AccessRequested {
        /// What is to end the grant besides what always does; may be left out.
        pub ends_on: Set<EndEvent>,
        /// The first instant at which the request is closed; where absent, and at most, 30 days after it was recorded.
        pub expires: Option<Timestamp>,
        /// How long.
        pub hold: Hold,
        /// The requester's words for the business need.
        pub need: Text,
        /// The business process it is for.
        pub purpose: Process,
        /// The grant of the same subject that it is to replace.
        pub replaces: Option<StatementDigest>,
        /// On which resource.
        pub resource: Resource,
        /// In which role.
        pub role: Role,
        /// For whom.
        pub subject: Principal,
        /// The resource's tier, as the requester knows it.
        pub tier: Tier,
    }

    /// Vouches for the need of a request.
    pub struct AccessApproved {
        /// The capacity in which the author decides.
        pub capacity: Capacity,
        /// What policy resolves to for the entitlement, as the author saw it.
        pub clause: ClauseDigest,
        /// The author's own words for the business need (R017).
        pub need: Text,
        /// The request.
        pub request: StatementDigest,
        /// The longest time the author agrees to, where shorter than asked.
        pub seconds: Option<Seconds>,
    }

    /// Refuses a request for good.
    pub struct AccessDenied {
        /// The capacity in which the author decides.
        pub capacity: Capacity,
        /// What policy resolves to for the entitlement, as the author saw it.
        pub clause: ClauseDigest,
        /// The business reason (R018).
        pub reason: Text,
        /// The request.
        pub request: StatementDigest,
    }

    /// Takes back an open request, or an approval on one.
    pub struct AccessWithdrawn {
        /// Why.
        pub reason: Option<Text>,
        /// The author's own request or approval.
        pub statement: StatementDigest,
    }

    /// Which approval met which requirement of the path.
    pub struct WitnessItem {
        /// The approval.
        pub approval: StatementDigest,
        /// The requirement: the 0-based place of its capacity in the path, read from left to right.
        pub requirement: u64,
    }

    /// Decides that policy is met, and grants (R002). Its digest names the grant.
    pub struct AccessGranted {
        /// What policy resolves to for the entitlement.
        pub clause: ClauseDigest,
        /// What ends the grant besides its time (R046): what the clause and the request say, and what always does.
        pub ends_on: Set<EndEvent>,
        /// The personal exception that stands in for the approval path.
        pub exception: Option<StatementDigest>,
        /// How long.
        pub hold: Hold,
        /// The policy statement whose path, or whose exception rule, was met.
        pub policy: StatementDigest,
        /// The grant that ends as this one begins; as the request says.
        pub replaces: Option<StatementDigest>,
        /// The request.
        pub request: StatementDigest,
        /// Which approval met which requirement, in order of requirement.
        pub witness: Vec<WitnessItem>,
    }

    /// Ends a grant.
    pub struct AccessRevoked {
        /// The grant.
        pub grant: StatementDigest,
        /// Why.
        pub reason: Text,
    }

    /// Permits one request in place of its approval path.
    pub struct PersonalException {
        /// What policy resolves to for the entitlement, as the author saw it.
        pub clause: ClauseDigest,
        /// The request.
        pub request: StatementDigest,
        /// How long the exception lasts from when it is recorded.
        pub seconds: Seconds,
    }

    /// Opens or renews a standing class.
    pub struct ClassException {
        /// The class.
        pub class: Label,
        /// The policy statement that declares it.
        pub policy: StatementDigest,
        /// The review date: the first instant at which the class is no longer open.
        pub until: Timestamp,
    }

    /// Permits what the ordinary path does not (R062).
    pub struct ExceptionGranted {
        /// What is permitted.
        pub covers: ExceptionOf,
        /// The author's words for the need.
        pub need: Text,
        /// Who answers for it while it lasts.
        pub owner: Principal,
    }

    /// Ends an exception, and the grants that rest on it.
    pub struct ExceptionEnded {
        /// The statement that granted it.
        pub exception: StatementDigest,
        /// Why.
        pub reason: Text,
    }
}
