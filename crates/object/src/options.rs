//! How a store is opened.

use std::sync::Arc;
use std::time::Duration;

use countersign_store::{Durability, StoreError};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::ObjectStore;
use object_store::path::Path;

use crate::bucket::Bucket;
use crate::known::Known;
use crate::names::Names;
use crate::piece::Piece;
use crate::store::Shared;
use crate::{BucketStore, OpenError, bundle, probe};

/// How many objects are asked for at once.
pub(crate) const AT_ONCE: usize = 16;

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct Options {
    pub(crate) durability: Durability,
    existing: bool,
    pub(crate) poll: Duration,
    pub(crate) keep: usize,
    pub(crate) bundle: usize,
}

impl Options {
    /// The defaults: what is not there is made with its first entry, and an acknowledgement is the word of the service
    /// ([`Durability::Service`]).
    #[must_use]
    pub fn new() -> Self {
        Self {
            durability: Durability::Service,
            existing: false,
            poll: Duration::from_secs(1),
            keep: 16 << 20,
            bundle: 512,
        }
    }

    /// What it survives that the service took an object. The store can not find out: it says what it is told here.
    #[must_use]
    pub fn acknowledging(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Refuses a ledger that is not there, in place of making it.
    #[must_use]
    pub fn existing(mut self) -> Self {
        self.existing = true;
        self
    }

    /// How often [`countersign_store::Store::wait`] asks the service whether others appended: a request each time. Without it, every second.
    #[must_use]
    pub fn poll(mut self, poll: Duration) -> Self {
        self.poll = poll;
        self
    }

    /// How many bytes of the newest entries are kept in memory, so that those who follow need not ask for them. Without it, 16 MiB.
    #[must_use]
    pub fn keep(mut self, bytes: usize) -> Self {
        self.keep = bytes;
        self
    }

    /// Of how many objects a writer makes a bundle, so that readers need not get each of them: at least one. Without it, of 512, or of fewer that have 8 MiB.
    #[must_use]
    pub fn bundle(mut self, objects: usize) -> Self {
        self.bundle = objects.max(1);
        self
    }

    /// Opens the ledger whose objects are below `prefix` for writing, once the service has shown that it lets one alone create an object.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(&self, objects: Arc<dyn ObjectStore>, prefix: &str) -> Result<BucketStore, OpenError> {
        self.open_with(objects, prefix, true).await
    }

    /// Opens it for reading: nothing is written, not even to probe.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open_read_only(
        &self,
        objects: Arc<dyn ObjectStore>,
        prefix: &str,
    ) -> Result<BucketStore, OpenError> {
        self.open_with(objects, prefix, false).await
    }

    async fn open_with(
        &self,
        objects: Arc<dyn ObjectStore>,
        prefix: &str,
        writable: bool,
    ) -> Result<BucketStore, OpenError> {
        let path =
            Path::parse(prefix).map_err(|source| OpenError::Prefix { prefix: prefix.to_owned(), source })?;
        let bucket = Bucket { objects, names: Names::below(path) };
        // Before the entries: what is put after they were listed may be over more.
        let checkpoints = bucket.list(&bucket.names.checkpoints(), Names::checkpoint_size).await?;
        let (known, bundles_fit) = known(&bucket, self.keep).await?;
        let entries = known.head().size;
        if let Some(floor) = checkpoints.last().copied().filter(|floor| *floor > entries) {
            return Err(OpenError::BelowFloor { entries, floor });
        }
        if entries == 0 && (self.existing || !writable) {
            return Err(OpenError::NotFound { prefix: prefix.to_owned() });
        }
        if writable {
            probe::probe(&bucket).await?;
        }
        let mut options = self.clone();
        if !bundles_fit {
            // More of them would not make it better.
            options.bundle = 0;
        }
        let shared = Shared::new(bucket, known, options, writable);
        if writable {
            // Those who never stay open long have no other time for it. Without bundles everything is as true, and slower.
            let _ = shared.bundle().await;
        }
        Ok(BucketStore::new(shared))
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

/// Follows the chain of names to its end, from the last bundle on; and whether bundles and objects fit together. Where they do not, the objects
/// decide.
async fn known(bucket: &Bucket, keep: usize) -> Result<(Known, bool), StoreError> {
    let listed = bucket.list(&bucket.names.bundles(), Names::bundled).await?;
    let bundles: Vec<_> = (listed.into_iter())
        .filter_map(|(first, head, is_bundle)| is_bundle.then_some((first, head)))
        .collect();
    let bundles = bundle::path(&bundles);
    let are_sound = bundles.is_some();
    if let Some(bundles) = bundles.filter(|bundles| !bundles.is_empty()) {
        match read(bucket, Known::of(bundles), keep).await {
            // An object that stands behind the last bundle shows by its leaf hash that this one is of this ledger.
            Ok(known) if !known.tail().is_empty() => return Ok((known, true)),
            Ok(_) | Err(StoreError::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
        return Ok((read(bucket, Known::default(), keep).await?, false));
    }
    Ok((read(bucket, Known::default(), keep).await?, are_sound))
}

/// Reads the objects behind what is known; refused where one is not on the chain.
async fn read(bucket: &Bucket, mut known: Known, keep: usize) -> Result<Known, StoreError> {
    let behind = known.head().size.checked_sub(1).map(|last| bucket.names.entries_from(last));
    let listed = bucket.list_behind(&bucket.names.entries(), behind.as_ref(), Names::first_entry).await?;
    // The objects come ahead of their turn, and are held against their place when it comes.
    let mut ahead = stream::iter(listed.iter().copied())
        .map(|first| async move { Piece::bytes(bucket, first).await.map(|bytes| (first, bytes)) })
        .buffered(AT_ONCE);
    while let Some((first, bytes)) = ahead.try_next().await? {
        // A listing that is not of one moment may miss what was made before what it has.
        while known.head().size < first
            && let Some(piece) = Piece::fetch(bucket, known.head()).await?
        {
            known.learn(piece, keep);
        }
        if known.head().size != first {
            return Err(off_the_chain(bucket, &known, first));
        }
        // Gone since it was listed: whoever looks next tells.
        let Some(bytes) = bytes else { continue };
        known.learn(Piece::parse(&bytes, known.head())?, keep);
    }
    Ok(known)
}

/// What it means that an object is called by `first`, which is not where the chain ends.
fn off_the_chain(bucket: &Bucket, known: &Known, first: u64) -> StoreError {
    let name = bucket.names.entries_from(first);
    if first < known.head().size {
        let detail = format!("`{name}` lies within another object of entries");
        return StoreError::Damaged { seq: first, detail };
    }
    let detail = format!("it is not there, and `{name}` stands behind it");
    StoreError::Damaged { seq: known.head().size, detail }
}
