//! Feeds: every entry in order, from a head that the consumer knows.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use countersign_core::entry::{Entry, Head};
use countersign_store::{Store, StoreError};
use tokio::sync::watch;

use crate::error::{EntryError, ReplayError};
use crate::shared::{Progress, Shared};

/// Most entries that are read ahead of a consumer.
const READ_AHEAD: usize = 256;

/// A feed of entries, each once, in order, without a gap, and each checked to follow the one before.
///
/// Made by [`crate::Replica::subscribe`]. What it gives is durable, judged and in the view by then.
pub struct Feed<S> {
    shared: Arc<Shared<S>>,
    progress: watch::Receiver<Progress>,
    /// Right after the last entry that was given.
    given: Head,
    /// Right after the last entry that was read.
    read: Head,
    ahead: VecDeque<Entry>,
    // Nothing comes after an error.
    failed: bool,
}

impl<S: Store> Feed<S> {
    pub(crate) fn new(shared: Arc<Shared<S>>, after: Head) -> Self {
        let progress = shared.progress();
        Self { shared, progress, given: after, read: after, ahead: VecDeque::new(), failed: false }
    }

    /// The head right after the last entry that this feed has given: where to subscribe again.
    #[must_use]
    pub fn head(&self) -> Head {
        self.given
    }

    /// The next entry, once there is one. None when the ledger is closed and all was given, and after an error.
    ///
    /// Dropping the future loses nothing: the next call gives the same entry.
    ///
    /// # Errors
    /// [`ReplayError`]: the store failed, or what it gives does not continue the consumer's history.
    pub async fn next(&mut self) -> Option<Result<Entry, ReplayError>> {
        if self.failed {
            return None;
        }
        loop {
            if let Some(entry) = self.ahead.pop_front() {
                self.given = entry.head();
                return Some(Ok(entry));
            }
            let now = *self.progress.borrow_and_update();
            if now.head.size > self.read.size {
                if let Err(error) = self.read_ahead(now.head).await {
                    self.failed = !matches!(error, ReplayError::Store(StoreError::Unavailable(_)));
                    return Some(Err(error));
                }
                continue;
            }
            // A replica may be behind its consumer for a while, but never beside it.
            if now.head.size == self.read.size && now.head != self.read {
                self.failed = true;
                return Some(Err(ReplayError::OtherHistory { known: self.read, found: now.head }));
            }
            // The sender lives in `shared`, so waiting can not fail.
            if now.ended || self.progress.changed().await.is_err() {
                return None;
            }
        }
    }

    async fn read_ahead(&mut self, published: Head) -> Result<(), ReplayError> {
        let wanted = usize::try_from(published.size - self.read.size).unwrap_or(READ_AHEAD).min(READ_AHEAD);
        let chunk = self.shared.store.read(self.read.size, wanted).await?;
        if chunk.is_empty() {
            let found = self.shared.store.head().await?;
            return Err(ReplayError::OtherHistory { known: published, found });
        }
        let mut head = self.read;
        let mut entries = VecDeque::with_capacity(chunk.len());
        for bytes in chunk {
            let at = |cause| ReplayError::Entry { seq: head.size, cause };
            let entry = Entry::parse(bytes).map_err(|fault| at(EntryError::Fault(fault)))?;
            if (Head { size: entry.seq(), leaf: entry.prev() }) != head {
                return Err(at(EntryError::Unlinked));
            }
            head = entry.head();
            entries.push_back(entry);
        }
        // The view's leaf commits to everything before it, so at the latest here a feed that went astray is found out.
        if head.size == published.size && head != published {
            return Err(ReplayError::OtherHistory { known: published, found: head });
        }
        // Nothing is awaited from here on, so a dropped future has changed nothing or all.
        self.read = head;
        self.ahead = entries;
        Ok(())
    }
}

impl<S> fmt::Debug for Feed<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed")
            .field("given", &self.given)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}
