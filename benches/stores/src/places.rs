//! Where the stores are: one directory, and one server.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use countersign_core::id::LedgerName;
use countersign_object::Options as BucketOptions;
use countersign_postgres::PostgresStore;
use countersign_sqlite::SqliteStore;
use countersign_store::{AnyStore, FileStore};
use countersign_test_postgres::{Cluster, cluster};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use sqlx::postgres::PgPoolOptions;

use crate::bare::Bare;
use crate::{BoxError, Named};

/// The directory and the server of a run. They go when this is dropped.
pub(crate) struct Places {
    dir: PathBuf,
    cluster: Cluster,
    objects: Arc<dyn ObjectStore>,
}

impl Places {
    /// None where no server is installed.
    pub(crate) fn new() -> Result<Option<Self>, BoxError> {
        let Some(cluster) = cluster("benches/stores") else { return Ok(None) };
        let dir = std::env::temp_dir().join(format!("countersign-bench-stores-{}", std::process::id()));
        let bucket = dir.join("bucket");
        std::fs::create_dir_all(&bucket)?;
        let objects = Arc::new(LocalFileSystem::new_with_prefix(bucket)?.with_fsync(true));
        Ok(Some(Self { dir, cluster, objects }))
    }

    pub(crate) fn url(&self) -> String {
        self.cluster.url()
    }

    /// A store of each kind, with their names.
    pub(crate) async fn open(&self, name: &str) -> Result<Named<AnyStore>, BoxError> {
        // The server's connections are for all that is measured.
        let pool = PgPoolOptions::new().max_connections(4).acquire_timeout(Duration::from_secs(120));
        let pool = pool.connect(&self.url()).await?;
        let ledger = LedgerName::new(name)?;
        Ok(vec![
            ("file", AnyStore::new(FileStore::open(self.at(&format!("{name}.ledger")))?)),
            ("SQLite", AnyStore::new(SqliteStore::open(self.at("access.db"), &ledger)?)),
            ("PostgreSQL", AnyStore::new(PostgresStore::open(&pool, name).await?)),
            ("bucket", AnyStore::new(BucketOptions::new().open(self.objects.clone(), name).await?)),
        ])
    }

    /// The bucket opened anew for reading, with nothing of it in memory.
    pub(crate) async fn bucket(&self, name: &str) -> Result<AnyStore, BoxError> {
        let bucket = BucketOptions::new().keep(0);
        Ok(AnyStore::new(bucket.open_read_only(self.objects.clone(), name).await?))
    }

    /// The same kinds, bare.
    pub(crate) async fn bare(&self, name: &str) -> Result<Vec<Bare>, BoxError> {
        Ok(vec![
            Bare::file(&self.at(&format!("{name}.bare")))?,
            Bare::sqlite(&self.at(&format!("{name}.db")))?,
            Bare::postgres(&self.url(), name).await?,
            Bare::bucket(self.objects.clone(), &format!("bare-{name}")),
        ])
    }

    fn at(&self, name: &str) -> PathBuf {
        Path::new(&self.dir).join(name)
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
