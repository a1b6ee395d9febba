//! What a store shows: durable entries only.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use countersign_core::digest::StatementDigest;
use countersign_core::entry::Head;

use super::index::Indexes;
use super::segment::{Active, Sealed, unavailable};
use crate::growth::Growth;
use crate::sync::{Mutex, MutexGuard};
use crate::vfs::Vfs;
use crate::{EntryBytes, Found, NoteBytes, StoreError};

/// What the handles of a store share with its writer.
#[derive(Debug)]
pub(super) struct Shared<V: Vfs> {
    pub(super) vfs: V,
    pub(super) dir: PathBuf,
    pub(super) max_read_size: usize,
    /// Wakes those who wait for entries.
    pub(super) growth: Growth,
    indexes: Indexes,
    view: Mutex<View<V>>,
}

/// Everything here is durable. It changes at once, after a sync.
#[derive(Debug)]
pub(super) struct View<V: Vfs> {
    pub(super) head: Head,
    /// Sorted, without a gap up to the active one.
    pub(super) sealed: Vec<Arc<Sealed>>,
    pub(super) active: Active<V>,
    pub(super) checkpoint: Option<(u64, NoteBytes)>,
    /// The writer takes nothing more.
    pub(super) poisoned: bool,
}

impl<V: Vfs> View<V> {
    pub(super) fn new(
        head: Head,
        sealed: Vec<Sealed>,
        active: Active<V>,
        checkpoint: Option<(u64, NoteBytes)>,
    ) -> Self {
        let sealed = sealed.into_iter().map(Arc::new).collect();
        Self { head, sealed, active, checkpoint, poisoned: false }
    }
}

impl<V: Vfs> Shared<V> {
    pub(super) fn new(vfs: V, dir: PathBuf, max_read_size: usize, indexes: Indexes, view: View<V>) -> Self {
        let growth = Growth::new(view.head.size);
        Self { vfs, dir, max_read_size, growth, indexes, view: Mutex::new(view) }
    }

    pub(super) fn view(&self) -> MutexGuard<'_, View<V>> {
        // Nothing that can panic runs between two changes that belong together.
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many bytes the entries have that are shown.
    pub(super) fn entry_bytes(&self) -> u64 {
        let view = self.view();
        view.sealed.iter().map(|segment| segment.size).sum::<u64>() + view.active.size()
    }

    /// As [`crate::Store::read`].
    pub(super) fn read(&self, from: u64, max: usize) -> Result<Vec<EntryBytes>, StoreError> {
        let max_size = self.max_read_size;
        let (sealed, plan) = {
            let view = self.view();
            if from >= view.head.size || max == 0 {
                return Ok(Vec::new());
            }
            match from.checked_sub(view.active.first) {
                Some(index) => {
                    let index =
                        usize::try_from(index).map_err(|error| StoreError::Unavailable(error.into()))?;
                    (None, Some(view.active.plan(index, max, max_size)))
                }
                None => {
                    let place = view.sealed.partition_point(|segment| segment.next <= from);
                    (Some(view.sealed[place].clone()), None)
                }
            }
        };
        match (sealed, plan) {
            (Some(sealed), _) => sealed.read(&self.vfs, from, max, max_size),
            (None, Some(plan)) => plan.read().map_err(unavailable),
            (None, None) => Ok(Vec::new()),
        }
    }

    /// The entry at a position that the view has.
    pub(super) fn entry(&self, seq: u64) -> Result<EntryBytes, StoreError> {
        let mut read = self.read(seq, 1)?;
        read.pop().ok_or_else(|| StoreError::Damaged { seq, detail: "the entry is not there".into() })
    }

    /// As [`crate::Store::find`].
    pub(super) fn find(&self, digest: &StatementDigest) -> Result<Option<Found>, StoreError> {
        let unread = self.view().active.unread();
        if let Some(unread) = unread {
            let digests = unread.read()?;
            self.view().active.learn(unread.first, &digests);
        }
        let (place, sealed) = {
            let view = self.view();
            (view.active.place(digest), view.sealed.clone())
        };
        // The first entry with a statement is asked for, and older segments hold earlier ones.
        for segment in sealed {
            if let Some(found) = self.indexes.find(&self.vfs, &self.dir, &segment, digest)? {
                return Ok(Some(found));
            }
        }
        place.map(|seq| Ok(Found { seq, bytes: self.entry(seq)? })).transpose()
    }
}
