//! Directories and names for the tests.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use countersign_core::checkpoint::Checkpoint;
use countersign_core::entry::Entry;
use countersign_core::id::LedgerName;
use countersign_core::key::SecretKey;
use countersign_core::merkle::Tree;
use countersign_sqlite::SqliteStore;
use countersign_store::{EntryBytes, NoteBytes, Store as _};

/// A directory of one test, removed at its end.
#[derive(Debug)]
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new(name: &str) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("countersign-sqlite-{name}-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where a database goes.
    pub fn file(&self) -> PathBuf {
        self.0.join("access.db")
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn name(text: &str) -> LedgerName {
    LedgerName::new(text).unwrap()
}

/// The ledger that most tests use.
pub fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path, &name("access")).unwrap()
}

/// Everything that a store shows.
pub async fn everything(store: &SqliteStore) -> Vec<EntryBytes> {
    let mut all: Vec<EntryBytes> = Vec::new();
    loop {
        let part = store.read(all.len() as u64, 1_000).await.unwrap();
        if part.is_empty() {
            return all;
        }
        all.extend(part);
    }
}

/// A signed checkpoint over these entries, which are all there are.
pub fn note(entries: &[Entry]) -> NoteBytes {
    let tree: Tree = entries.iter().map(Entry::leaf).collect();
    let checkpoint = Checkpoint::new("test", tree.size(), tree.root()).unwrap();
    checkpoint.sign(&SecretKey::from_seed(&[7; 32])).unwrap().to_string().into_bytes().into()
}
