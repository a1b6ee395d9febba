//! Directories and entries for the tests of the file store.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use countersign_core::checkpoint::Checkpoint;
use countersign_core::digest::StatementDigest;
use countersign_core::entry::{Entry, Head};
use countersign_core::event::Custom;
use countersign_core::id::{Label, LedgerId, LedgerName, LedgerRef, Namespace, Principal};
use countersign_core::key::{SecretKey, SignerKey as _};
use countersign_core::merkle::Tree;
use countersign_core::statement::{SignedStatement, Statement, Version};
use countersign_core::time::Timestamp;
use countersign_core::wire::{RawObject, Set};
use countersign_store::{Batch, EntryBytes, NoteBytes, Store};

/// A directory of one test, removed at its end.
#[derive(Debug)]
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new(name: &str) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("countersign-{name}-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where a ledger goes.
    pub fn ledger(&self) -> PathBuf {
        self.0.join("access.ledger")
    }

    pub fn segment(&self, first: u64) -> PathBuf {
        self.ledger().join("entries").join(format!("{first:020}.jsonl"))
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn statement(author: u8, serial: u64, letters: usize) -> SignedStatement {
    let key = SecretKey::from_seed(&[author; 32]);
    Statement {
        author: Principal::new("user:ann").unwrap(),
        cosigners: Set::default(),
        event: Custom {
            data: RawObject::new(&format!("{{\"x\":\"{}\"}}", "x".repeat(letters))).unwrap(),
            name: Label::new("note").unwrap(),
            namespace: Namespace::new("test").unwrap(),
        }
        .into(),
        issued_at: Timestamp::MIN,
        key: key.public_key().key_id(),
        ledger: LedgerRef::Id(LedgerId::new(
            &LedgerName::new("test").unwrap(),
            StatementDigest::new([0; 32]),
        )),
        seen: None,
        serial,
        v: Version,
    }
    .sign(&key)
    .unwrap()
}

/// `count` entries of an author behind `head`.
pub fn entries_of(author: u8, mut head: Head, count: u64, letters: usize) -> Vec<Entry> {
    let serials = head.size + 1..=head.size + count;
    let entry = |serial| {
        let entry = Entry::seal(head, Timestamp::MIN, &statement(author, serial, letters)).unwrap();
        head = entry.head();
        entry
    };
    serials.map(entry).collect()
}

/// The first `count` entries of a ledger.
pub fn entries(count: u64) -> Vec<Entry> {
    entries_of(1, Head::EMPTY, count, 1)
}

pub fn batch(entries: &[Entry]) -> Batch {
    Batch::new(entries.to_vec()).unwrap()
}

/// The file of these entries.
pub fn lines(entries: &[Entry]) -> Vec<u8> {
    entries.iter().flat_map(|entry| [&entry.bytes()[..], b"\n"].concat()).collect()
}

pub fn note(entries: &[Entry]) -> NoteBytes {
    let tree: Tree = entries.iter().map(Entry::leaf).collect();
    let checkpoint = Checkpoint::new("test", tree.size(), tree.root()).unwrap();
    checkpoint.sign(&SecretKey::from_seed(&[7; 32])).unwrap().to_string().into_bytes().into()
}

/// Everything that a store shows.
pub async fn everything(store: &impl Store) -> Vec<EntryBytes> {
    let mut all: Vec<EntryBytes> = Vec::new();
    loop {
        let part = store.read(all.len() as u64, 100).await.unwrap();
        if part.is_empty() {
            return all;
        }
        all.extend(part);
    }
}

pub fn bytes(entries: &[Entry]) -> Vec<EntryBytes> {
    entries.iter().map(|entry| entry.bytes().clone()).collect()
}

/// The names in a folder, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(name).collect();
    names.sort();
    names
}

/// Adds bytes to a file.
pub fn add(path: &Path, bytes: &[u8]) {
    let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
    std::io::Write::write_all(&mut file, bytes).unwrap();
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}
