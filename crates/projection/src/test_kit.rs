//! Laws that every projection keeps, as a test that a tool builder can run on his own; and a small ledger to run it on.
//!
//! ```
//! use countersign_projection::periods::Holdings;
//! use countersign_projection::test_kit::{self, Playground};
//!
//! let checked = test_kit::check::<Holdings>(Playground::small().entries())?;
//! // The digest may be pinned, so that other machines and later versions are held to it.
//! println!("{} of {} entries changed the state, to {}", checked.changes, checked.entries, checked.digest);
//! # Ok::<(), test_kit::BrokenLaw>(())
//! ```

mod playground;

use std::thread;

use countersign_core::digest::Digest;
use countersign_core::entry::Entry;
use countersign_core::time::Timestamp;

use crate::governance::{JudgedEntry, State};
use crate::projection::{CodecError, Projection};
use crate::registry::Registry;
use crate::runner::{Halt, RunError, Runner};

pub use playground::Playground;

/// What a check that found nothing wrong did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// How many entries were folded.
    pub entries: usize,
    /// How many of them changed the state.
    pub changes: usize,
    /// The digest of the state after all of them.
    pub digest: Digest,
}

/// Folds the entries in many ways and compares: every way must give the same states, byte for byte.
///
/// The laws: folding again, in another thread, gives the same; a prefix, then the rest, gives the whole; the same through a snapshot at
/// any place; where batches end and views are taken does not matter; clones share nothing that changes; bytes that
/// are cut or go on are refused. Up to 64 places are tried.
///
/// # Errors
/// The first [`BrokenLaw`].
pub fn check<P: Projection>(entries: &[Entry]) -> Result<Checked, BrokenLaw> {
    let judged = judge_all(entries)?;
    let states = fold_all::<P>(&judged)?;
    let digest_at = |size: usize| states[size];
    let changes = states.windows(2).filter(|pair| pair[0] != pair[1]).count();
    if changes == 0 {
        return Err(BrokenLaw::Idle);
    }
    let again = thread::scope(|scope| scope.spawn(|| fold_all::<P>(&judged)).join());
    let again = again.map_err(|_| BrokenLaw::Determinism { size: 0 })??;
    if let Some(size) = states.iter().zip(&again).position(|(first, second)| first != second) {
        return Err(BrokenLaw::Determinism { size });
    }
    let last = digest_at(judged.len());
    for size in places(judged.len()) {
        let mut prefix = Runner::<P>::new();
        fold(&mut prefix, &judged[..size])?;
        check_codec(&prefix, size)?;
        let (state, projection) = (Projection::encode(prefix.state())?, prefix.projections()?.encode()?);
        let mut restored = Runner::at(<State as Projection>::decode(&state)?, P::decode(&projection)?);
        fold(&mut restored, &judged[size..])?;
        if digest(&restored)? != last {
            return Err(BrokenLaw::Snapshot { size });
        }
        let mut clone = prefix.clone();
        fold(&mut clone, &judged[size..])?;
        if digest(&prefix)? != digest_at(size) || digest(&clone)? != last {
            return Err(BrokenLaw::Clone { size });
        }
    }
    for batch in [1, 2, 3, 7, judged.len().max(1)] {
        let registry =
            Registry::new().with::<P>().expect("an empty registry has room for any name but `governance`");
        let mut runner = Runner::over(registry);
        let mut views = vec![(0, runner.view::<P>())];
        for part in judged.chunks(batch) {
            for entry in part {
                runner.apply(entry)?;
            }
            views.push((views[views.len() - 1].0 + part.len(), runner.view::<P>()));
        }
        for (size, view) in views {
            let seen = view.map_err(|_| BrokenLaw::Batches { batch, size })?;
            if Projection::digest(seen.projection())? != digest_at(size) {
                return Err(BrokenLaw::Batches { batch, size });
            }
        }
    }
    Ok(Checked { entries: judged.len(), changes, digest: last })
}

/// Which law a projection breaks.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BrokenLaw {
    /// No entry changed the state, so that nothing was tested.
    #[error("no entry changes the state: the test tests nothing")]
    Idle,
    /// The entries are not a ledger, or the projection halts on one.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The projection has no bytes, or does not read them back.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Folding the same entries again gave another state.
    #[error("folding {size} entries twice gives two states: something depends on more than the entries")]
    Determinism {
        /// After how many entries.
        size: usize,
    },
    /// A state that was written and read is another, or says something else.
    #[error("the state after {size} entries does not survive its snapshot")]
    RoundTrip {
        /// After how many entries.
        size: usize,
    },
    /// Bytes that are cut, or go on, were read.
    #[error("bytes that are cut or go on are read as a state after {size} entries")]
    Lenient {
        /// After how many entries.
        size: usize,
    },
    /// A snapshot and the entries after it gave another state than all entries.
    #[error("a snapshot after {size} entries and the rest give another state than the whole")]
    Snapshot {
        /// After how many entries.
        size: usize,
    },
    /// Folding a clone changed the original, or gave another state.
    #[error("a clone made after {size} entries is not independent")]
    Clone {
        /// After how many entries.
        size: usize,
    },
    /// Where batches end, and views are taken, made a difference.
    #[error("batches of {batch} give another state after {size} entries")]
    Batches {
        /// How many entries a batch had.
        batch: usize,
        /// After how many entries.
        size: usize,
    },
}

impl From<Halt> for BrokenLaw {
    fn from(halt: Halt) -> Self {
        Self::Run(halt.into())
    }
}

fn judge_all(entries: &[Entry]) -> Result<Vec<JudgedEntry>, RunError> {
    let mut runner = Runner::<()>::new();
    entries.iter().map(|entry| runner.replay(entry.clone())).collect()
}

fn fold<P: Projection>(runner: &mut Runner<P>, judged: &[JudgedEntry]) -> Result<(), RunError> {
    judged.iter().try_for_each(|entry| runner.apply(entry))
}

fn digest<P: Projection>(runner: &Runner<P>) -> Result<Digest, BrokenLaw> {
    Ok(Projection::digest(runner.projections()?)?)
}

/// The digest before the first entry and after each one.
fn fold_all<P: Projection>(judged: &[JudgedEntry]) -> Result<Vec<Digest>, BrokenLaw> {
    let mut runner = Runner::<P>::new();
    let mut digests = vec![digest(&runner)?];
    for entry in judged {
        runner.apply(entry)?;
        digests.push(digest(&runner)?);
    }
    Ok(digests)
}

fn check_codec<P: Projection>(runner: &Runner<P>, size: usize) -> Result<(), BrokenLaw> {
    let projection = runner.projections()?;
    let bytes = projection.encode()?;
    let read = P::decode(&bytes)?;
    let report = |projection: &P| {
        let mut text = String::new();
        projection.report(runner.state(), Timestamp::MAX, &mut text).ok().map(|()| text)
    };
    if read.encode()? != bytes || report(&read) != report(projection) {
        return Err(BrokenLaw::RoundTrip { size });
    }
    let longer = [&bytes[..], &[0]].concat();
    let is_cut_read = bytes.split_last().is_some_and(|(_, cut)| P::decode(cut).is_ok());
    if is_cut_read || P::decode(&longer).is_ok() {
        return Err(BrokenLaw::Lenient { size });
    }
    Ok(())
}

/// Up to 64 places to cut at, both ends among them.
fn places(len: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..64).map(|nth| len * nth / 63).collect();
    places.dedup();
    places
}

#[cfg(test)]
mod tests;
