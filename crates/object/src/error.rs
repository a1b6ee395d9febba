//! Why a store is not opened.

use countersign_store::StoreError;

/// A store was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The prefix can not be the beginning of a name.
    #[error("`{}` can not be what names start with", .prefix.escape_debug())]
    Prefix {
        /// The prefix.
        prefix: String,
        /// Why.
        #[source]
        source: object_store::path::Error,
    },
    /// There is no ledger, and none is to be made.
    #[error("there is no ledger under `{}`", .prefix.escape_debug())]
    NotFound {
        /// What its names would start with.
        prefix: String,
    },
    /// The service lets more than one create the same object, or overwrites what is there: whoever writes there is not told that another was
    /// first, and the ledger forks.
    #[error("the service let {winners} of {racers} create the same object, so it can keep no ledger")]
    NotExclusive {
        /// How many were told that they created it.
        winners: usize,
        /// How many tried.
        racers: usize,
    },
    /// The service does not create objects on the condition that none of that name is there.
    #[error("the service does not create an object only where none is, so it can keep no ledger")]
    NoCondition(#[source] object_store::Error),
    /// Whether the service lets one alone create an object could not be found out.
    #[error("the service could not be probed")]
    Probe(#[source] object_store::Error),
    /// There are fewer entries than the kept checkpoint is over: an older copy, or entries that were removed.
    #[error("there are {entries} entries, and the kept checkpoint is over {floor}")]
    BelowFloor {
        /// How many there are.
        entries: u64,
        /// How many there were.
        floor: u64,
    },
    /// What is kept is not what was stored, or can not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system gives no random numbers, which the names of the probe are made of.
    #[error("the system gives no random numbers")]
    Random(#[source] getrandom::Error),
}

impl OpenError {
    /// Whether there is no ledger, and nothing else in its place.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether what is kept is not what was stored.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Store(StoreError::Damaged { .. }) | Self::BelowFloor { .. })
    }
}
