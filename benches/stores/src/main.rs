//! What a ledger costs on each store, beside the bare stores and cqrs-es with postgres-es, in turns, in one run.
//!
//! ```text
//! cargo run --release --manifest-path benches/stores/Cargo.toml [-- PART [COUNT]]
//! ```
//!
//! PART is `many` (64 submitters, COUNT rounds), `one` (one submitter, COUNT statements), `append` (COUNT batches of 64 to the store alone, and a
//! scan of them) or `sizes` (up to COUNT entries); without it all of them at small counts. Figures are medians; a ratio is the median of
//! the ratios of neighbours.
//!
//! What is compared is not the same work:
//!
//! - **The ledger** checks the author's signature strictly, judges by the rules, seals, appends, and shows the new state; it keeps the whole
//!   order of all entries.
//! - **One thread** checks the same signatures, seals, and writes the bytes as the bare store does, 64 a commit or one: it judges nothing.
//! - **A bare store** writes bytes that are there already: file, one write and one `fdatasync`; SQLite, one transaction that inserts
//!   rows of number and bytes (WAL, `synchronous = FULL`); PostgreSQL, one `INSERT` from `UNNEST`, or of one row; bucket, one object, created once.
//! - **cqrs-es** keeps an order within an aggregate alone, and checks no signature. A command loads its aggregate, decides, and inserts one event in
//!   a transaction of three round trips. Commands on one aggregate have to come one after the other (a second one that
//!   overlaps is refused); on many they run at once, 64 connections here. The event holds the same JSON as the entry.
//!
//! The server is a private one of the PostgreSQL that is installed, with `fsync` on, on the same machine and its processors, as the bucket is
//! a directory with `fsync` on: a service elsewhere costs its way besides. What is scanned is in the system's memory, not in the store's. Everything is written to the directory for temporary
//! files: put that on a disk, not in memory.

mod bare;
mod figures;
mod peer;
mod places;
mod work;

use std::error::Error;
use std::time::Instant;

use countersign_core::entry::{Entry, Head};
use countersign_core::key::{SecretKey, SignerKey as _};
use countersign_ledger::Ledger;
use countersign_store::conformance::Author;
use countersign_store::{AnyStore, Batch, Store as _};

use crate::figures::Figures;
use crate::peer::Peer;
use crate::places::Places;
use crate::work::{Company, Serial, submit_all};

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// One of each kind of store, with its name.
pub(crate) type Named<T> = Vec<(&'static str, T)>;

/// How many submit at once, and how many entries a commit has.
const BATCH: usize = 64;
/// Statements of each submitter in a round.
const EACH: usize = 8;
/// The place of PostgreSQL among the stores.
const POSTGRES: usize = 2;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), BoxError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let part = arguments.first().map(String::as_str);
    let count = |default: usize| arguments.get(1).map_or(Ok(default), |count| count.parse());
    let Some(places) = Places::new()? else { return Err("no PostgreSQL server is installed".into()) };
    let is_wanted = |name| part.is_none_or(|part| part == name);
    if is_wanted("many") {
        many(&places, count(7)?).await?;
    }
    if is_wanted("one") {
        one(&places, count(200)?).await?;
    }
    if is_wanted("append") {
        append(&places, count(100)?).await?;
    }
    if is_wanted("sizes") {
        sizes(&places, count(10_000)?).await?;
    }
    Ok(())
}

/// 64 submitters on each store, one thread that does the like, the bare stores, and the peer on PostgreSQL.
async fn many(places: &Places, rounds: usize) -> Result<(), BoxError> {
    let total = BATCH * EACH;
    let stores = places.open("many").await?;
    let (company, ledgers) = Company::on(&stores, rounds * total).await?;
    let mut bare = places.bare("many").await?;
    let mut serials: Vec<_> = bare.iter().map(|_| Serial::new(&company)).collect();
    let mut peer = Peer::new(places).await?;
    let mut figures = Figures::new();
    for round in 0..rounds {
        let statements = company.requests(round * total, total)?;
        let mut entries = Vec::new();
        for (nth, (name, ledger)) in ledgers.iter().enumerate() {
            let start = Instant::now();
            for part in statements.chunks(BATCH) {
                serials[nth].record(part, &mut bare[nth]).await?;
            }
            figures.add(name, "one thread, 64 a commit", start, total);
            let start = Instant::now();
            for part in statements[..BATCH].chunks(1) {
                serials[nth].record(part, &mut bare[nth]).await?;
            }
            figures.add(name, "one thread, one a commit", start, BATCH);
            let before = ledger.head();
            let start = Instant::now();
            submit_all(ledger, statements.clone(), BATCH).await?;
            figures.add(name, "the ledger, 64 submitters", start, total);
            entries = work::read(&stores[nth].1, before.size, total).await?;
            let start = Instant::now();
            for part in entries.chunks(BATCH) {
                bare[nth].write(part).await?;
            }
            figures.add(name, "bare, 64 a commit", start, total);
            let start = Instant::now();
            for part in entries[..BATCH].chunks(1) {
                bare[nth].write(part).await?;
            }
            figures.add(name, "bare, one a commit", start, BATCH);
        }
        peer.round(&entries, &mut figures, ledgers[POSTGRES].0).await?;
    }
    close(ledgers).await?;
    println!("\n{BATCH} submitters, {total} statements a round, {rounds} rounds (us a statement)");
    figures.print("the ledger, 64 submitters");
    Ok(())
}

/// One submitter on each store, beside one strict check and one commit of the bare store.
async fn one(places: &Places, count: usize) -> Result<(), BoxError> {
    let (company, ledgers) = Company::on(&places.open("one").await?, count).await?;
    let mut bare = places.bare("one").await?;
    let mut serials: Vec<_> = bare.iter().map(|_| Serial::new(&company)).collect();
    let mut figures = Figures::new();
    for statement in company.requests(0, count)? {
        for (nth, (name, ledger)) in ledgers.iter().enumerate() {
            let start = Instant::now();
            serials[nth].record(std::slice::from_ref(&statement), &mut bare[nth]).await?;
            figures.add(name, "one strict check and one bare commit", start, 1);
            let start = Instant::now();
            ledger.submit(statement.clone()).await?;
            figures.add(name, "the ledger, one submitter", start, 1);
        }
    }
    close(ledgers).await?;
    println!("\none submitter, {count} statements (us a statement)");
    figures.print("one strict check and one bare commit");
    Ok(())
}

/// Appends to the store alone beside the bare file and the bare store, and a scan of all beside parsing and verifying.
async fn append(places: &Places, batches: usize) -> Result<(), BoxError> {
    const AUDITED: usize = 1_000;
    let stores = places.open("append").await?;
    let mut bare = places.bare("append").await?;
    let entries = Author::new(1).entries(Head::EMPTY, batches * BATCH);
    let mut figures = Figures::new();
    for part in entries.chunks(BATCH) {
        let bytes: Vec<_> = part.iter().map(|entry| entry.bytes().clone()).collect();
        for (nth, (name, store)) in stores.iter().enumerate() {
            // The disk as it is now, beside each.
            let start = Instant::now();
            bare[0].write(&bytes).await?;
            figures.add(name, "bare file, 64 a commit", start, BATCH);
            if nth > 0 {
                let start = Instant::now();
                bare[nth].write(&bytes).await?;
                figures.add(name, "bare store, 64 a commit", start, BATCH);
            }
            let batch = Batch::new(part.to_vec())?;
            let start = Instant::now();
            store.append(batch).await?;
            figures.add(name, "the store, 64 a commit", start, BATCH);
        }
    }
    println!("\n{batches} batches of {BATCH} entries of {} bytes (us an entry)", entries[0].bytes().len());
    figures.print("the store, 64 a commit");

    let key = SecretKey::from_seed(&[1; 32]).public_key();
    let mut figures = Figures::new();
    for _ in 0..7 {
        for (name, store) in &stores {
            let anew = places.bucket("append").await?;
            let store = if *name == "bucket" { &anew } else { store };
            let start = Instant::now();
            let read = work::read(store, 0, entries.len()).await?;
            figures.add(name, "scan through the store", start, read.len());
            let sample = &read[..AUDITED.min(read.len())];
            let start = Instant::now();
            for bytes in sample {
                Entry::parse(bytes.clone())?.signed().check_signatures(|_| Some(key))?;
            }
            figures.add(name, "parse and verify, one core", start, sample.len());
        }
    }
    println!("\nscan of {} entries, 7 rounds (us an entry)", entries.len());
    figures.print("scan through the store");
    Ok(())
}

/// What an append and a scan of the last entries cost as each ledger grows, beside the bare file at that moment.
async fn sizes(places: &Places, most: usize) -> Result<(), BoxError> {
    /// So many batches are measured at each size.
    const MEASURED: usize = 50;
    let stores = places.open("sizes").await?;
    let mut bare = places.bare("sizes").await?;
    let (mut author, mut head, mut size) = (Author::new(1), Head::EMPTY, 0);
    let mut next = 1_000.min(most);
    println!("\nappend and scan at so many entries (us an entry)");
    while size < most {
        let measured = next.saturating_sub(MEASURED * BATCH);
        while size < measured {
            let batch = author.batch(head, 512.min(measured - size));
            for (_, store) in &stores {
                store.append(batch.clone()).await?;
            }
            (head, size) = (batch.head(), size + batch.entries().len());
        }
        let (from, mut figures) = (size, Figures::new());
        while size < next {
            let batch = author.batch(head, BATCH.min(next - size));
            let bytes: Vec<_> = batch.entries().iter().map(|entry| entry.bytes().clone()).collect();
            for (name, store) in &stores {
                let start = Instant::now();
                bare[0].write(&bytes).await?;
                figures.add(name, "bare file, 64 a commit", start, bytes.len());
                let copy = batch.clone();
                let start = Instant::now();
                store.append(copy).await?;
                figures.add(name, "the store, 64 a commit", start, bytes.len());
            }
            (head, size) = (batch.head(), size + bytes.len());
        }
        for _ in 0..5 {
            for (name, store) in &stores {
                let anew = places.bucket("sizes").await?;
                let store = if *name == "bucket" { &anew } else { store };
                let start = Instant::now();
                let read = work::read(store, from as u64, size - from).await?;
                figures.add(name, "scan of the last entries", start, read.len());
            }
        }
        println!("{size} entries");
        figures.print("bare file, 64 a commit");
        next = (next * 10).min(most);
    }
    Ok(())
}

async fn close(ledgers: Named<Ledger<AnyStore>>) -> Result<(), BoxError> {
    for (_, ledger) in ledgers {
        ledger.close().await?;
    }
    Ok(())
}
