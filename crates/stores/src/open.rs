//! From an address to a store.

use std::path::{Path, PathBuf};

use countersign_store::{AnyStore, MemoryStore};

use crate::Address;

/// How a store is opened.
#[derive(Debug, Clone, Default)]
pub struct Options {
    existing: bool,
    read_only: bool,
    #[cfg_attr(
        not(any(feature = "sqlite", feature = "postgres")),
        expect(dead_code, reason = "for databases")
    )]
    unchecked: bool,
}

impl Options {
    /// The defaults: for writing, and what is not there is made.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Refuses a ledger that is not there, in place of making it.
    #[must_use]
    pub fn existing(mut self) -> Self {
        self.existing = true;
        self
    }

    /// For reading only: nothing is made and nothing is changed.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// For an auditor who reads all of it: a database is opened for reading too where its end is not what it should be.
    #[must_use]
    pub fn unchecked(mut self) -> Self {
        self.unchecked = true;
        self
    }
}

/// Opens the store at an address.
///
/// A store in PostgreSQL or in object storage is to be used within the Tokio runtime that it was opened in.
///
/// # Errors
/// [`OpenError`].
pub async fn open(address: &Address, options: &Options) -> Result<AnyStore, OpenError> {
    match address {
        Address::Path(path) if is_one_file(path) => Err(OpenError::OneFile { path: path.clone() }),
        Address::Path(path) | Address::Directory(path) => directory(path, options),
        Address::Memory => Ok(AnyStore::new(MemoryStore::new())),
        #[cfg(feature = "sqlite")]
        Address::Sqlite { file, ledger } => {
            let mut how = countersign_sqlite::Options::new();
            if options.existing {
                how = how.existing();
            }
            if options.unchecked {
                how = how.unchecked();
            }
            let opened =
                if options.read_only { how.open_read_only(file, ledger) } else { how.open(file, ledger) };
            Ok(AnyStore::new(opened?))
        }
        #[cfg(not(feature = "sqlite"))]
        Address::Sqlite { .. } => Err(OpenError::NotBuiltIn { scheme: "sqlite" }),
        #[cfg(feature = "postgres")]
        Address::Postgres { url, ledger } => {
            let mut how = countersign_postgres::Options::new();
            if options.existing {
                how = how.existing();
            }
            if options.unchecked {
                how = how.unchecked();
            }
            let (url, ledger) = (url.expose(), ledger.as_str());
            let opened = if options.read_only {
                how.connect_for_reading(url, ledger).await
            } else {
                how.connect(url, ledger).await
            };
            Ok(AnyStore::new(opened?))
        }
        #[cfg(not(feature = "postgres"))]
        Address::Postgres { .. } => Err(OpenError::NotBuiltIn { scheme: "postgres" }),
        #[cfg(feature = "object")]
        Address::Object { bucket, prefix } => {
            let mut how = countersign_object::Options::new();
            if options.existing {
                how = how.existing();
            }
            let objects = countersign_object::s3::bucket(bucket)
                .map_err(|source| OpenError::Bucket { bucket: bucket.clone(), source })?;
            let opened = if options.read_only {
                how.open_read_only(objects, prefix).await
            } else {
                how.open(objects, prefix).await
            };
            Ok(AnyStore::new(opened?))
        }
        #[cfg(not(feature = "object"))]
        Address::Object { .. } => Err(OpenError::NotBuiltIn { scheme: "s3" }),
    }
}

#[cfg(unix)]
fn directory(path: &Path, options: &Options) -> Result<AnyStore, OpenError> {
    use countersign_store::file::{FileReader, FileStore};
    if options.read_only {
        return Ok(AnyStore::new(FileReader::open(path)?));
    }
    if options.existing && !path.join("entries").is_dir() {
        return Err(OpenError::NotFound { path: path.to_owned() });
    }
    Ok(AnyStore::new(FileStore::open(path)?))
}

#[cfg(not(unix))]
fn directory(_: &Path, _: &Options) -> Result<AnyStore, OpenError> {
    Err(OpenError::NotBuiltIn { scheme: "file" })
}

/// Whether a path is one file of lines: by what stands there, and by its name where nothing does.
fn is_one_file(path: &Path) -> bool {
    match path.symlink_metadata() {
        Ok(metadata) => !metadata.is_dir(),
        Err(_) => path.extension().is_some_and(|extension| extension == "jsonl"),
    }
}

/// No store was opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// This program was built without that store.
    #[error("stores with addresses that start with `{scheme}:` are not built into this program")]
    NotBuiltIn {
        /// How its addresses start.
        scheme: &'static str,
    },
    /// A ledger in one file is read and written as a whole ([`countersign_store::jsonl`]), and is no store.
    #[error("`{}` is a ledger in one file, which is no store", path.display())]
    OneFile {
        /// The file.
        path: PathBuf,
    },
    /// There is no ledger, and none was to be made.
    #[error("`{}` is no ledger directory", path.display())]
    NotFound {
        /// The directory.
        path: PathBuf,
    },
    /// The directory can not be opened.
    #[cfg(unix)]
    #[error(transparent)]
    File(#[from] countersign_store::file::OpenError),
    /// The SQLite database can not be opened.
    #[cfg(feature = "sqlite")]
    #[error(transparent)]
    Sqlite(#[from] countersign_sqlite::OpenError),
    /// The PostgreSQL database can not be opened.
    #[cfg(feature = "postgres")]
    #[error(transparent)]
    Postgres(#[from] countersign_postgres::OpenError),
    /// What the environment says of the service can not be.
    #[cfg(feature = "object")]
    #[error("the bucket `{}` can not be asked for", .bucket.escape_debug())]
    Bucket {
        /// The bucket.
        bucket: String,
        /// Why.
        #[source]
        source: countersign_object::object_store::Error,
    },
    /// The ledger in object storage can not be opened.
    #[cfg(feature = "object")]
    #[error(transparent)]
    Object(#[from] countersign_object::OpenError),
}

impl OpenError {
    /// Whether there is no ledger at the address, and nothing else in its place.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        match self {
            Self::NotFound { .. } => true,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(error) => matches!(
                error,
                countersign_sqlite::OpenError::NotFound { .. }
                    | countersign_sqlite::OpenError::NoLedger { .. }
            ),
            #[cfg(feature = "postgres")]
            Self::Postgres(error) => error.is_absent(),
            #[cfg(feature = "object")]
            Self::Object(error) => error.is_absent(),
            _ => false,
        }
    }

    /// Whether what is there is damaged: a negative answer about a ledger, where other errors are none.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            #[cfg(unix)]
            Self::File(error) => error.is_damage(),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(error) => matches!(
                error,
                countersign_sqlite::OpenError::Damaged { .. }
                    | countersign_sqlite::OpenError::BelowFloor { .. }
                    | countersign_sqlite::OpenError::Checkpoint { .. }
            ),
            #[cfg(feature = "postgres")]
            Self::Postgres(error) => error.is_damage(),
            #[cfg(feature = "object")]
            Self::Object(error) => error.is_damage(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_not_built_in_is_refused_by_name() {
        let cases: &[(&str, &str)] = &[
            #[cfg(not(feature = "postgres"))]
            ("postgres://ann:hunter2@db.example/x#access", "postgres"),
            #[cfg(not(feature = "object"))]
            ("s3://bucket/a", "s3"),
        ];
        for (text, wanted) in cases {
            let refused = open(&text.parse().unwrap(), &Options::new()).await.unwrap_err();
            assert!(matches!(refused, OpenError::NotBuiltIn { scheme } if scheme == *wanted), "{refused:?}");
        }
        let refused = open(&"/nowhere/access.jsonl".parse().unwrap(), &Options::new()).await;
        assert!(matches!(refused, Err(OpenError::OneFile { .. })));
        assert!(open(&Address::Memory, &Options::new()).await.is_ok());
    }
}
