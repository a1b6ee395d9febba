//! A reader in a process of its own, beside a writer: says on standard output each entry that the store shows it.
//!
//! ```text
//! fault-reader STORE
//! ```
//!
//! It waits for the store to be there, looks all the time, and ends with its standard input, or where the store can not be read any more.
//! Its lines are those of [`Told`].

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use countersign_core::entry::leaf_hash;
use countersign_faults::{FAILED, in_databases, is_database, say};
use countersign_sqlite::Options;
use countersign_store::conformance::Told;
use countersign_store::file::FileReader;
use countersign_store::{AnyStore, Store as _};

/// Most entries of one look.
const LOOK: usize = 256;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1).map(PathBuf::from) else { return ExitCode::from(2) };
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    let store = loop {
        // Before the first entry there is nothing to open.
        match open(&path) {
            Some(store) => break store,
            None => std::thread::yield_now(),
        }
    };
    let mut seq = 0;
    while let Ok(read) = store.read(seq, LOOK).await {
        for bytes in read {
            say(&Told::Seen { seq, leaf: leaf_hash(&bytes) });
            seq += 1;
        }
        std::thread::yield_now();
    }
    ExitCode::from(FAILED)
}

fn open(path: &Path) -> Option<AnyStore> {
    if is_database(path) {
        let options = Options::new().existing().readers(1);
        return options.open_read_only(path, &in_databases()).ok().map(AnyStore::new);
    }
    FileReader::open(path).ok().map(AnyStore::new)
}
