//! Why a ledger directory is not opened.

use std::io;
use std::path::{Path, PathBuf};

use super::evidence::Evidence;
use super::lines::LineFault;

/// A ledger directory was not opened. Nothing of what it holds was changed, unless it says so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another store has it open for writing, in this process or in another.
    #[error("`{}` is locked by another writer", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// It is on a network file system, whose locks and syncs are another machine's word.
    #[error("`{}` is on the network file system {name}", path.display())]
    NetworkFileSystem {
        /// The directory.
        path: PathBuf,
        /// The kind of file system.
        name: String,
    },
    /// There are files, and no ledger.
    #[error("`{}` is no ledger directory: it holds `{}`", path.display(), found.display())]
    NotALedger {
        /// The directory.
        path: PathBuf,
        /// The first name that does not belong to one.
        found: PathBuf,
    },
    /// Something stands among the segments that does not belong there.
    #[error("`{}` does not belong among the segments", path.display())]
    UnknownName {
        /// What.
        path: PathBuf,
    },
    /// A line that was durable is wrong, or is not there. This is never repaired.
    #[error("damaged at entry {seq}, byte {offset} of `{}`", segment.display())]
    Damaged {
        /// The segment.
        segment: PathBuf,
        /// Where the line starts.
        offset: u64,
        /// Which entry belongs there.
        seq: u64,
        /// What is wrong.
        #[source]
        fault: LineFault,
    },
    /// A whole line at the end is wrong, and nothing proves that it was ever acknowledged, nor that it was not.
    /// [`super::Options::cut_unproven`] cuts from it on.
    #[error("entry {seq}, byte {offset} of `{}`, is no entry and may have been acknowledged", segment.display())]
    Unproven {
        /// The last segment.
        segment: PathBuf,
        /// Where the line starts.
        offset: u64,
        /// Which entry belongs there.
        seq: u64,
        /// What is wrong.
        #[source]
        fault: LineFault,
    },
    /// Fewer entries than there were: an older copy was put in the place of a newer one, or what was durable is gone.
    #[error("there are {entries} entries, and {evidence} says that {floor} were durable")]
    BelowFloor {
        /// How many there are.
        entries: u64,
        /// How many there were at least.
        floor: u64,
        /// Who says so.
        evidence: Evidence,
    },
    /// The entries are others than those that the last writer made durable.
    #[error("entry {seq} is not the one that the last writer made durable")]
    OtherHistory {
        /// The last entry that the writer had.
        seq: u64,
    },
    /// The kept checkpoint is none.
    #[error("`{}` is not a well-formed signed checkpoint", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
    },
    /// The file system failed. A recovery may be half done: opening again goes on with it.
    #[error("`{}` can not be read or written", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What happened.
        #[source]
        source: io::Error,
    },
}

impl OpenError {
    /// Whether what is there is not what was durable: a negative answer about a ledger, where other errors are none.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. }
            | Self::Unproven { .. }
            | Self::BelowFloor { .. }
            | Self::OtherHistory { .. }
            | Self::Checkpoint { .. } => true,
            Self::Locked { .. }
            | Self::NetworkFileSystem { .. }
            | Self::NotALedger { .. }
            | Self::UnknownName { .. }
            | Self::Io { .. } => false,
        }
    }
}

/// Adds the place to an error of the file system.
pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> OpenError + '_ {
    move |source| OpenError::Io { path: path.to_owned(), source }
}
