//! A writer to be killed: appends to a ledger in a SQLite database, in competition with others, and says on standard output what became
//! of each batch, only after it knows.
//!
//! ```text
//! fault-sqlite-writer FILE NUMBER BATCHES
//! ```
//!
//! `NUMBER` tells writers apart. Its lines are those of [`Told`], and `because REASON` where it gives up.

use std::process::ExitCode;

use countersign_core::id::LedgerName;
use countersign_faults::{BoxError, FAILED, say};
use countersign_sqlite::SqliteStore;
use countersign_store::conformance::{Author, Told};
use countersign_store::{AppendError, Store as _};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format_args!("because {error}"));
            ExitCode::from(FAILED)
        }
    }
}

async fn run() -> Result<(), BoxError> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [file, number, batches] = &args[..] else { return Err("wanted: FILE NUMBER BATCHES".into()) };
    let (mut author, batches) = (Author::new(number.parse()?), batches.parse::<usize>()?);
    let store = SqliteStore::open(file, &LedgerName::new("access")?)?;
    let mut head = store.head().await?;
    for round in 0..batches {
        let batch = author.batch(head, round % 5 + 1);
        for entry in batch.entries() {
            say(&Told::Submitted(entry.signed().digest()));
        }
        let answer = store.append(batch.clone()).await;
        for entry in batch.entries() {
            let digest = entry.signed().digest();
            say(&match &answer {
                Ok(_) => Told::Acknowledged { digest, seq: entry.seq(), leaf: entry.leaf() },
                Err(AppendError::OutcomeUnknown(_)) => Told::Unknown(digest),
                Err(_) => Told::NotStored(digest),
            });
        }
        head = match answer {
            Ok(head) => head,
            Err(AppendError::Conflict { actual, .. }) => actual,
            Err(error) => return Err(error.into()),
        };
    }
    Ok(())
}
