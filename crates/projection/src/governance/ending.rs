//! How grants end: by a statement, or derived from one, or by time alone.

use countersign_core::digest::StatementDigest;
use countersign_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Why a grant ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EndCause {
    /// Its time was over.
    Expired,
    /// It was revoked.
    Revoked,
    /// Another grant replaced it.
    Replaced,
    /// Its subject departed.
    SubjectDeparted,
    /// Its resource was retired.
    ResourceRetired,
    /// Its standing class was closed, or lapsed with effect `end`.
    ClassClosed,
    /// The personal exception it rests on was ended.
    ExceptionEnded,
    /// A capacity that its approval rests on was withdrawn, and its path declares that cascade.
    OwnerGone,
    /// A delegation that its approval rests on was withdrawn, and its path declares that cascade.
    DelegationEnded,
}

impl EndCause {
    /// The word that reports print.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Replaced => "replaced",
            Self::SubjectDeparted => "subject_departed",
            Self::ResourceRetired => "resource_retired",
            Self::ClassClosed => "class_closed",
            Self::ExceptionEnded => "exception_ended",
            Self::OwnerGone => "owner_gone",
            Self::DelegationEnded => "delegation_ended",
        }
    }
}

impl std::fmt::Display for EndCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// A grant that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ending {
    /// The grant.
    pub grant: StatementDigest,
    /// The first instant at which it held no longer: when its time was over, or when the entry was recorded.
    pub at: Timestamp,
    /// Why.
    pub cause: EndCause,
}
