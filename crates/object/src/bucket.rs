//! What is asked of the service: to give, list, create, put and remove objects.

use std::sync::Arc;

use bytes::Bytes;
use countersign_store::StoreError;
use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions};

use crate::names::Names;

/// A ledger's objects, and what they are called.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    pub(crate) objects: Arc<dyn ObjectStore>,
    pub(crate) names: Names,
}

/// What stands at a name.
pub(crate) enum Got {
    Nothing,
    Bytes(Bytes),
    /// More than was asked for: nobody who put more there makes a reader take it in.
    TooLong,
}

/// What became of a creation.
pub(crate) enum Created {
    Now,
    /// The name was taken, or another attempt at it was under way.
    Taken,
}

impl Bucket {
    pub(crate) async fn get(&self, name: &Path, max: u64) -> Result<Got, StoreError> {
        let object = match self.objects.get(name).await {
            Ok(object) => object,
            Err(Error::NotFound { .. }) => return Ok(Got::Nothing),
            Err(error) => return Err(unavailable(error)),
        };
        if object.meta.size > max {
            return Ok(Got::TooLong);
        }
        match object.bytes().await {
            Ok(bytes) => Ok(Got::Bytes(bytes)),
            Err(Error::NotFound { .. }) => Ok(Got::Nothing),
            Err(error) => Err(unavailable(error)),
        }
    }

    /// Creates an object where none of that name is. An error says nothing about whether it was created.
    pub(crate) async fn create(&self, name: &Path, bytes: Bytes) -> object_store::Result<Created> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.objects.put_opts(name, bytes.into(), options).await {
            Ok(_) => Ok(Created::Now),
            Err(Error::AlreadyExists { .. }) => Ok(Created::Taken),
            Err(error) => Err(error),
        }
    }

    /// Puts an object in the place of whatever is there.
    pub(crate) async fn put(&self, name: &Path, bytes: Bytes) -> Result<(), StoreError> {
        self.objects.put(name, bytes.into()).await.map(drop).map_err(unavailable)
    }

    /// Removes objects that nobody needs any more. Whoever may not remove anything leaves them.
    pub(crate) async fn forget(&self, names: impl IntoIterator<Item = Path>) {
        for name in names {
            let _ = self.objects.delete(&name).await;
        }
    }

    /// The names in a folder, sorted, and what each says to `read`.
    pub(crate) async fn list<T>(
        &self,
        folder: &Path,
        read: impl Fn(&Names, &Path) -> Option<T>,
    ) -> Result<Vec<T>, StoreError> {
        self.list_behind(folder, None, read).await
    }

    /// The same, of the names that sort behind one.
    pub(crate) async fn list_behind<T>(
        &self,
        folder: &Path,
        behind: Option<&Path>,
        read: impl Fn(&Names, &Path) -> Option<T>,
    ) -> Result<Vec<T>, StoreError> {
        let listed = match behind {
            None => self.objects.list(Some(folder)),
            Some(behind) => self.objects.list_with_offset(Some(folder), behind),
        };
        let mut names: Vec<_> =
            listed.map_ok(|object| object.location).try_collect().await.map_err(unavailable)?;
        names.sort();
        let read = |name: Path| {
            read(&self.names, &name).ok_or_else(|| StoreError::Damaged {
                seq: 0,
                detail: format!("`{}` does not belong there", name.as_ref().escape_debug()),
            })
        };
        names.into_iter().map(read).collect()
    }
}

pub(crate) fn unavailable(error: Error) -> StoreError {
    StoreError::Unavailable(error.into())
}
