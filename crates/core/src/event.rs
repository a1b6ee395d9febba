//! The typed facts that statements carry: one closed schema a kind (docs/format.md, "Events").
//!
//! Who may author which, and who must sign beside, is the business of the rules; here is only what they say.

mod access;
mod charter;
mod identity;
mod resource;
mod shared;

pub use access::{
    AccessApproved, AccessDenied, AccessGranted, AccessRequested, AccessRevoked, AccessWithdrawn,
    ClassException, EndEvent, ExceptionEnded, ExceptionGranted, ExceptionOf, Hold, PersonalException,
    WitnessItem,
};
pub use charter::{
    Charter, CharterAmended, ClockStepped, Custom, KeyHolder, LedgerFrozen, LedgerOpened, LedgerThawed,
    LedgerUpgraded, RecorderKey, Recovery, RecoveryProposed, RecoveryVetoed, Suite,
};
pub use identity::{
    CapacityAssigned, CapacityWithdrawn, DelegationGranted, DelegationWithdrawn, Enrolment, KeyCompromised,
    KeyEnrolled, KeyRetired, PrincipalChanged, PrincipalDeparted, PrincipalKind, PrincipalRegistered,
};
pub use resource::{PolicyPublished, PolicyWithdrawn, ResourceChanged, ResourceRegistered, ResourceRetired};
pub use shared::{Capacity, Scope, Tier};

use crate::id::{Principal, Resource};
use crate::wire::KeyBytes;

crate::tagged! {
    /// What a statement says.
    pub enum Event / EventKind, unknown UnknownKind {
        /// Genesis: names the ledger, its governors, its recorder and its rules.
        LedgerOpened = "ledger.opened",
        /// Replaces the charter.
        CharterAmended = "charter.amended",
        /// Raises the rules version.
        LedgerUpgraded = "ledger.upgraded",
        /// Admits only what removes power from here on.
        LedgerFrozen = "ledger.frozen",
        /// Ends a freeze.
        LedgerThawed = "ledger.thawed",
        /// Announces a charter that takes effect after the recovery delay.
        RecoveryProposed = "recovery.proposed",
        /// Stops an announced recovery.
        RecoveryVetoed = "recovery.vetoed",
        /// Admits a principal.
        PrincipalRegistered = "principal.registered",
        /// Corrects whose principal it is.
        PrincipalChanged = "principal.changed",
        /// Ends a principal for ever.
        PrincipalDeparted = "principal.departed",
        /// Admits a key.
        KeyEnrolled = "key.enrolled",
        /// Ends a key.
        KeyRetired = "key.retired",
        /// Distrusts a key from a position on.
        KeyCompromised = "key.compromised",
        /// Gives a right to decide or act, within a scope.
        CapacityAssigned = "capacity.assigned",
        /// Takes it back.
        CapacityWithdrawn = "capacity.withdrawn",
        /// Lets another decide in the author's place for a time.
        DelegationGranted = "delegation.granted",
        /// Ends a delegation.
        DelegationWithdrawn = "delegation.withdrawn",
        /// Admits a resource.
        ResourceRegistered = "resource.registered",
        /// Restates the facts of a resource.
        ResourceChanged = "resource.changed",
        /// Ends a resource and everything on it.
        ResourceRetired = "resource.retired",
        /// Puts a policy in force, or a new version of one.
        PolicyPublished = "policy.published",
        /// Takes a policy out of force.
        PolicyWithdrawn = "policy.withdrawn",
        /// Asks for an entitlement.
        AccessRequested = "access.requested",
        /// Vouches for the need.
        AccessApproved = "access.approved",
        /// Refuses a request for good.
        AccessDenied = "access.denied",
        /// Takes back an open request, or an approval on one.
        AccessWithdrawn = "access.withdrawn",
        /// Decides that policy is met, and grants.
        AccessGranted = "access.granted",
        /// Ends a grant.
        AccessRevoked = "access.revoked",
        /// Permits what policy's ordinary path does not.
        ExceptionGranted = "exception.granted",
        /// Ends an exception.
        ExceptionEnded = "exception.ended",
        /// Says that the recorder's clock was set.
        ClockStepped = "clock.stepped",
        /// A fact of a tool builder's own.
        Custom = "custom",
    }
}

impl Event {
    /// The public keys that the event admits. Each must sign the statement that carries it.
    #[must_use]
    pub fn new_keys(&self) -> Vec<&KeyBytes> {
        match self {
            Self::LedgerOpened(event) => {
                charter::keys(&event.governors, &event.recorder, event.recovery.as_ref())
            }
            Self::CharterAmended(event) => event.charter.keys(),
            Self::RecoveryProposed(event) => event.amendment.keys(),
            Self::KeyEnrolled(event) => vec![&event.key],
            Self::LedgerUpgraded(_)
            | Self::LedgerFrozen(_)
            | Self::LedgerThawed(_)
            | Self::RecoveryVetoed(_)
            | Self::PrincipalRegistered(_)
            | Self::PrincipalChanged(_)
            | Self::PrincipalDeparted(_)
            | Self::KeyRetired(_)
            | Self::KeyCompromised(_)
            | Self::CapacityAssigned(_)
            | Self::CapacityWithdrawn(_)
            | Self::DelegationGranted(_)
            | Self::DelegationWithdrawn(_)
            | Self::ResourceRegistered(_)
            | Self::ResourceChanged(_)
            | Self::ResourceRetired(_)
            | Self::PolicyPublished(_)
            | Self::PolicyWithdrawn(_)
            | Self::AccessRequested(_)
            | Self::AccessApproved(_)
            | Self::AccessDenied(_)
            | Self::AccessWithdrawn(_)
            | Self::AccessGranted(_)
            | Self::AccessRevoked(_)
            | Self::ExceptionGranted(_)
            | Self::ExceptionEnded(_)
            | Self::ClockStepped(_)
            | Self::Custom(_) => Vec::new(),
        }
    }

    /// The principal that the event is about, where it names one. An event that refers to another statement is about what that one names.
    #[must_use]
    pub fn subject(&self) -> Option<&Principal> {
        match self {
            Self::PrincipalRegistered(event) => Some(&event.principal),
            Self::PrincipalChanged(event) => Some(&event.principal),
            Self::PrincipalDeparted(event) => Some(&event.principal),
            Self::KeyEnrolled(event) => Some(&event.principal),
            Self::KeyRetired(event) => Some(&event.principal),
            Self::KeyCompromised(event) => Some(&event.principal),
            Self::CapacityAssigned(event) => Some(&event.holder),
            Self::DelegationGranted(event) => Some(&event.delegate),
            Self::AccessRequested(event) => Some(&event.subject),
            Self::LedgerOpened(_)
            | Self::CharterAmended(_)
            | Self::LedgerUpgraded(_)
            | Self::LedgerFrozen(_)
            | Self::LedgerThawed(_)
            | Self::RecoveryProposed(_)
            | Self::RecoveryVetoed(_)
            | Self::CapacityWithdrawn(_)
            | Self::DelegationWithdrawn(_)
            | Self::ResourceRegistered(_)
            | Self::ResourceChanged(_)
            | Self::ResourceRetired(_)
            | Self::PolicyPublished(_)
            | Self::PolicyWithdrawn(_)
            | Self::AccessApproved(_)
            | Self::AccessDenied(_)
            | Self::AccessWithdrawn(_)
            | Self::AccessGranted(_)
            | Self::AccessRevoked(_)
            | Self::ExceptionGranted(_)
            | Self::ExceptionEnded(_)
            | Self::ClockStepped(_)
            | Self::Custom(_) => None,
        }
    }

    /// The resource that the event is about, where it names one. A scope is none.
    #[must_use]
    pub fn resource(&self) -> Option<&Resource> {
        match self {
            Self::ResourceRegistered(event) => Some(&event.resource),
            Self::ResourceChanged(event) => Some(&event.resource),
            Self::ResourceRetired(event) => Some(&event.resource),
            Self::AccessRequested(event) => Some(&event.resource),
            Self::LedgerOpened(_)
            | Self::CharterAmended(_)
            | Self::LedgerUpgraded(_)
            | Self::LedgerFrozen(_)
            | Self::LedgerThawed(_)
            | Self::RecoveryProposed(_)
            | Self::RecoveryVetoed(_)
            | Self::PrincipalRegistered(_)
            | Self::PrincipalChanged(_)
            | Self::PrincipalDeparted(_)
            | Self::KeyEnrolled(_)
            | Self::KeyRetired(_)
            | Self::KeyCompromised(_)
            | Self::CapacityAssigned(_)
            | Self::CapacityWithdrawn(_)
            | Self::DelegationGranted(_)
            | Self::DelegationWithdrawn(_)
            | Self::PolicyPublished(_)
            | Self::PolicyWithdrawn(_)
            | Self::AccessApproved(_)
            | Self::AccessDenied(_)
            | Self::AccessWithdrawn(_)
            | Self::AccessGranted(_)
            | Self::AccessRevoked(_)
            | Self::ExceptionGranted(_)
            | Self::ExceptionEnded(_)
            | Self::ClockStepped(_)
            | Self::Custom(_) => None,
        }
    }
}
