//! Resources and policies.

use super::{Scope, Tier};
use crate::digest::StatementDigest;
use crate::id::{Label, Process, Resource};
use crate::policy::PolicyDocument;
use crate::time::Timestamp;
use crate::wire::Text;

crate::record! {
    /// Admits a resource.
    pub struct ResourceRegistered {
        /// Where it runs, like `production`.
        pub environment: Option<Label>,
        /// The resource that governs it: whoever holds a capacity there holds it here.
        pub governed_by: Option<Resource>,
        /// The business process that it serves.
        pub process: Option<Process>,
        /// Its name.
        pub resource: Resource,
        /// How much harm entitlements on it can do.
        pub tier: Tier,
    }

    /// Restates all facts of a resource: what is left out is no longer so.
    pub struct ResourceChanged {
        /// Where it runs from here on.
        pub environment: Option<Label>,
        /// The resource that governs it from here on.
        pub governed_by: Option<Resource>,
        /// The business process that it serves from here on.
        pub process: Option<Process>,
        /// Why.
        pub reason: Text,
        /// Which resource.
        pub resource: Resource,
        /// How much harm entitlements on it can do from here on.
        pub tier: Tier,
    }

    /// Ends a resource, and every grant, request, capacity, delegation and exception on it.
    pub struct ResourceRetired {
        /// Why.
        pub reason: Text,
        /// Which resource.
        pub resource: Resource,
    }

    /// Puts a policy in force, or a new version of the one of this name.
    pub struct PolicyPublished {
        /// What it says.
        pub document: PolicyDocument,
        /// The first instant at which it is in force; where absent, at once.
        pub from: Option<Timestamp>,
        /// Its name.
        pub name: Label,
        /// The resources, by name, that it speaks of.
        pub scope: Scope,
    }

    /// Takes a policy out of force.
    pub struct PolicyWithdrawn {
        /// The statement that published the version in force, or the one that is scheduled.
        pub policy: StatementDigest,
        /// Why.
        pub reason: Text,
    }
}
