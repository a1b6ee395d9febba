//! A recorder to be killed while others record in the same ledger in PostgreSQL: it states one group of statements after another, submits each
//! again until it knows what became of it, and says so on standard output.
//!
//! ```text
//! fault-contender URL LEDGER SLOT OUTBOX PATIENCE
//! ```
//!
//! `OUTBOX` is the file of the slot's statements: what the one before it may not have settled is submitted first. `PATIENCE` is the
//! store's, in milliseconds. Its lines are those of [`Told`], `open SIZE`, `race` and `doubt` for the store's answers, and `because REASON`
//! where it gives up, which it never should. It ends with its standard input.

use std::convert::Infallible;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use countersign_core::digest::StatementDigest;
use countersign_core::entry::Head;
use countersign_core::statement::SignedStatement;
use countersign_faults::crowd::{Outbox, RECORDER, Voice};
use countersign_faults::{BoxError, FAILED, say, say_why};
use countersign_ledger::{Ledger, Recorder, ReplayError, SubmitError, testing};
use countersign_postgres::{Options, PostgresStore};
use countersign_store::conformance::Told;
use countersign_store::{
    AppendError, Batch, Durability, EntryBytes, Found, NoteBytes, SnapshotSet, Store, StoreError,
};

/// Most statements that are submitted together.
const GROUP: u64 = 5;
const PAUSE: Duration = Duration::from_millis(10);
/// How often opening is tried, with what was said last, while the server is away.
const OPENINGS: u32 = 600;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    std::thread::spawn(|| {
        // Who started it may be killed as well.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(FAILED.into());
    });
    match run().await {
        Ok(never) => match never {},
        Err(error) => {
            say_why(&*error);
            ExitCode::from(FAILED)
        }
    }
}

async fn run() -> Result<Infallible, BoxError> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, ledger, slot, outbox, patience] = &args[..] else {
        return Err("wanted: URL LEDGER SLOT OUTBOX PATIENCE".into());
    };
    let mut outbox = Outbox::open(&PathBuf::from(outbox))?;
    let ledger = open(url, ledger, Duration::from_millis(patience.parse()?)).await?;
    say(&format_args!("open {}", ledger.head().size));
    let id = ledger.ledger_id().ok_or("there is no genesis")?;
    let voice = Voice::new(&id, slot.parse()?, outbox.last_serial())?;
    let left = outbox.statements();
    settle(&ledger, left[left.len().saturating_sub(GROUP as usize)..].to_vec()).await?;
    for round in 0.. {
        let mut group = Vec::new();
        for _ in 0..=round % GROUP {
            let signed = voice.next()?;
            outbox.keep(&signed)?;
            group.push(signed);
        }
        settle(&ledger, group).await?;
    }
    Err("no numbers are left".into())
}

async fn open(url: &str, name: &str, patience: Duration) -> Result<Ledger<Telling>, BoxError> {
    let mut attempt = 0;
    loop {
        let opening = async {
            let options = Options::new().patience(patience).poll(Duration::from_millis(50));
            let store = Telling(options.connect(url, name).await?);
            let recorder = Recorder::new(testing::key(RECORDER)).poll_interval(Duration::from_millis(100));
            Ok::<_, BoxError>(Ledger::open(store, recorder).await?)
        };
        match opening.await {
            Ok(ledger) => return Ok(ledger),
            Err(error) if attempt == OPENINGS => return Err(error),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
        attempt += 1;
    }
}

/// Submits statements, again and again, until each has its receipt.
async fn settle(ledger: &Ledger<Telling>, statements: Vec<SignedStatement>) -> Result<(), BoxError> {
    let mut left = statements;
    while !left.is_empty() {
        for signed in &left {
            say(&Told::Submitted(signed.digest()));
        }
        let answers = ledger.submit_all(left.clone()).await;
        let mut again = Vec::new();
        for (signed, answer) in left.into_iter().zip(answers) {
            let digest = signed.digest();
            match answer {
                Ok(receipt) => {
                    say(&Told::Acknowledged { digest, seq: receipt.seq, leaf: receipt.leaf });
                    continue;
                }
                Err(SubmitError::OutcomeUnknown { .. }) => say(&Told::Unknown(digest)),
                Err(error) => {
                    say(&Told::NotStored(digest));
                    if !passes(&error) {
                        return Err(error.into());
                    }
                }
            }
            again.push(signed);
        }
        if !again.is_empty() {
            tokio::time::sleep(PAUSE).await;
        }
        left = again;
    }
    Ok(())
}

/// Whether it may be another answer later.
fn passes(error: &SubmitError) -> bool {
    match error {
        SubmitError::Busy => true,
        SubmitError::Store(cause) => matches!(**cause, ReplayError::Store(StoreError::Unavailable(_))),
        _ => false,
    }
}

/// The store, whose lost races and unknown outcomes are told.
struct Telling(PostgresStore);

impl Store for Telling {
    fn durability(&self) -> Durability {
        self.0.durability()
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.0.head().await
    }

    async fn append(&self, batch: Batch) -> Result<Head, AppendError> {
        let answer = self.0.append(batch).await;
        match &answer {
            Err(AppendError::Conflict { .. }) => say(&"race"),
            Err(AppendError::OutcomeUnknown(_)) => say(&"doubt"),
            Ok(_) | Err(_) => {}
        }
        answer
    }

    async fn read(&self, from: u64, max: usize) -> Result<Vec<EntryBytes>, StoreError> {
        self.0.read(from, max).await
    }

    async fn find(&self, digest: StatementDigest) -> Result<Option<Found>, StoreError> {
        self.0.find(digest).await
    }

    async fn wait(&self, size: u64) {
        self.0.wait(size).await;
    }

    async fn checkpoint(&self) -> Result<Option<NoteBytes>, StoreError> {
        self.0.checkpoint().await
    }

    async fn put_checkpoint(&self, size: u64, note: NoteBytes) -> Result<(), StoreError> {
        self.0.put_checkpoint(size, note).await
    }

    async fn snapshots(&self, size: u64) -> Result<Option<SnapshotSet>, StoreError> {
        self.0.snapshots(size).await
    }

    async fn put_snapshots(&self, set: SnapshotSet) -> Result<(), StoreError> {
        self.0.put_snapshots(set).await
    }
}
