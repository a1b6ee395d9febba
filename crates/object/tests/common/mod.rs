//! Buckets for the tests.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

pub mod service;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use countersign_store::{EntryBytes, Store};

/// A directory of one test, removed at its end.
#[derive(Debug)]
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new(name: &str) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("countersign-object-{name}-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Everything that a store shows.
pub async fn everything(store: &impl Store) -> Vec<EntryBytes> {
    let mut all: Vec<EntryBytes> = Vec::new();
    loop {
        let part = store.read(all.len() as u64, 1_000).await.unwrap();
        if part.is_empty() {
            return all;
        }
        all.extend(part);
    }
}
