//! Principals, keys, capacities and delegations.

use super::{Capacity, Scope};
use crate::digest::StatementDigest;
use crate::id::{Person, Principal};
use crate::time::Timestamp;
use crate::wire::{KeyBytes, Set, Text};

crate::words! {
    /// What a principal is (R082).
    pub enum PrincipalKind {
        /// A person's own account.
        Human = "human",
        /// A service account.
        Service = "service",
        /// A workload, such as one with a SPIFFE ID.
        Workload = "workload",
        /// An automation of the organisation, such as an enforcer.
        Automation = "automation",
        /// An automation that a vendor runs. It can not approve.
        VendorAutomation = "vendor_automation",
        /// An autonomous agent.
        Agent = "agent",
    }

    /// How a key comes to be.
    pub enum Enrolment {
        /// The principal's first, enrolled by a registrar and a second person.
        First = "first",
        /// One more, enrolled by the principal with a live key.
        Further = "further",
        /// A new one for a principal that has no live key, enrolled by a registrar and a second person.
        AfterLoss = "after_loss",
    }
}

crate::record! {
    /// Admits a principal. Its name is never admitted again.
    pub struct PrincipalRegistered {
        /// For a non-human: the persons who control it, at least one.
        pub controllers: Set<Person>,
        /// What it is.
        pub kind: PrincipalKind,
        /// For a human: the person.
        pub person: Option<Person>,
        /// Its name.
        pub principal: Principal,
    }

    /// Restates whose principal it is.
    pub struct PrincipalChanged {
        /// For a non-human: the persons who control it from here on, at least one.
        pub controllers: Set<Person>,
        /// For a human: the person from here on.
        pub person: Option<Person>,
        /// Which principal.
        pub principal: Principal,
        /// Why.
        pub reason: Text,
    }

    /// Ends a principal for ever, with its keys, capacities, delegations, requests and grants.
    pub struct PrincipalDeparted {
        /// Which principal.
        pub principal: Principal,
        /// Why.
        pub reason: Text,
    }

    /// Admits a key. It signs the statement as proof of possession, and others from the next entry on.
    pub struct KeyEnrolled {
        /// How the key comes to be.
        pub enrolment: Enrolment,
        /// The public key.
        pub key: KeyBytes,
        /// Whose key it is.
        pub principal: Principal,
    }

    /// Ends a key. What it signed stands.
    pub struct KeyRetired {
        /// The public key.
        pub key: KeyBytes,
        /// Whose key it is.
        pub principal: Principal,
        /// Why.
        pub reason: Text,
    }

    /// Distrusts a key from a position on. Earlier verdicts stand; what rests on the key from there ends.
    pub struct KeyCompromised {
        /// The first seq whose signature by the key is distrusted; where absent, this statement's own.
        pub from: Option<u64>,
        /// The public key.
        pub key: KeyBytes,
        /// Whose key it is.
        pub principal: Principal,
        /// What is known.
        pub reason: Text,
    }

    /// Gives a capacity within a scope.
    pub struct CapacityAssigned {
        /// Which capacity.
        pub capacity: Capacity,
        /// The first instant at which it is held; where absent, at once.
        pub from: Option<Timestamp>,
        /// Who holds it.
        pub holder: Principal,
        /// Over which resources.
        pub scope: Scope,
        /// The first instant at which it is held no longer; where absent, until withdrawn.
        pub until: Option<Timestamp>,
    }

    /// Takes a capacity back. Approvals that rest on it no longer count.
    pub struct CapacityWithdrawn {
        /// The statement that assigned it.
        pub assignment: StatementDigest,
        /// Why.
        pub reason: Text,
    }

    /// Lets another act in an owner or reviewer capacity that the author holds.
    pub struct DelegationGranted {
        /// The statement that gives it to the author: an assignment, or a delegation that allows another.
        pub basis: StatementDigest,
        /// Who may act.
        pub delegate: Principal,
        /// How many further delegations may follow this one: 0 for none; fewer than its basis allows, and an assignment allows 8.
        pub depth: u64,
        /// The first instant at which it holds; where absent, at once.
        pub from: Option<Timestamp>,
        /// Over which resources: within the basis.
        pub scope: Scope,
        /// The first instant at which it holds no longer.
        pub until: Timestamp,
    }

    /// Ends a delegation, and those made from it.
    pub struct DelegationWithdrawn {
        /// The statement that granted it.
        pub delegation: StatementDigest,
        /// Why.
        pub reason: Text,
    }
}
