//! A recorder to be killed: opens the file store in a directory, or a SQLite database, founds the ledger if there is none, records
//! statements, and says on standard output what became of each, one line at a time, only after it knows.
//!
//! ```text
//! fault-recorder STORE RUN [--statements N] [--submitters N] [--segment BYTES] [--paced]
//! ```
//!
//! `STORE` is a database where its name ends in `.db`. `RUN` numbers the starts on one store, so that serials and names never repeat. With `--paced` it records a statement for each
//! line on standard input, and ends with it. Its lines are those of [`Told`], and `open SIZE`, `because REASON`, `closed`.

use std::io::{self, BufRead as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use countersign_core::event::{ResourceRegistered, Tier};
use countersign_core::id::Resource;
use countersign_core::statement::SignedStatement;
use countersign_faults::{BoxError, FAILED, Settings, in_databases, is_database, say, say_why};
use countersign_ledger::testing::{self, ManualClock};
use countersign_ledger::{Author, Clock as _, Ledger, Receipt, Recorder, SubmitError, SystemClock};
use countersign_store::AnyStore;
use countersign_store::conformance::Told;

#[tokio::main]
async fn main() -> ExitCode {
    let settings = match Settings::parse(std::env::args_os().skip(1)) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    match run(settings).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAILED),
        Err(error) => {
            say_why(&*error);
            ExitCode::from(FAILED)
        }
    }
}

/// Whether everything was recorded and the ledger closed.
async fn run(settings: Settings) -> Result<bool, BoxError> {
    let (ada, ben, ledger) = open(&settings).await?;
    say(&format_args!("open {}", ledger.head().size));
    let all_went_well = if settings.paced {
        let mut all = true;
        for (number, line) in io::stdin().lock().lines().enumerate() {
            line?;
            all &= record(&ledger, statement(&ada, &ben, settings.run, number as u64)?).await;
        }
        all
    } else {
        record_many(&settings, &ada, &ben, &ledger).await?
    };
    match ledger.close().await {
        Ok(_) => say(&"closed"),
        Err(error) => {
            say_why(&error);
            return Ok(false);
        }
    }
    Ok(all_went_well)
}

async fn open(settings: &Settings) -> Result<(Author, Author, Ledger<AnyStore>), BoxError> {
    let now = SystemClock::new().wall();
    let (genesis, [ada, ben, _]) = testing::genesis("faults", &ManualClock::new(now));
    let store = if is_database(&settings.store) {
        // Nobody else writes: a lock that is not had is one that a fault left behind.
        let options = countersign_sqlite::Options::new().busy_timeout(Duration::from_millis(500));
        AnyStore::new(options.open(&settings.store, &in_databases())?)
    } else {
        let mut options = countersign_store::file::Options::new();
        if let Some(bytes) = settings.segment {
            options = options.segment_size(bytes);
        }
        AnyStore::new(options.open(&settings.store)?)
    };
    let recorder = Recorder::new(testing::key("service:recorder"));
    let ledger = Ledger::open(store, recorder).await?;
    if ledger.head().size == 0 {
        record(&ledger, genesis).await;
    }
    let id = ledger.ledger_id().ok_or("there is no genesis")?;
    let [ada, ben] = [ada, ben].map(|author| {
        author.joined(id.clone()).clock(SystemClock::new()).after_serial(settings.run * 100_000 + 10)
    });
    Ok((ada, ben, ledger))
}

fn statement(ada: &Author, ben: &Author, run: u64, number: u64) -> Result<SignedStatement, BoxError> {
    let event = ResourceRegistered {
        environment: None,
        governed_by: None,
        process: None,
        resource: Resource::new(&format!("db:run-{run}/{number}"))?,
        tier: Tier::Low,
    };
    Ok(ada.state(event).cosigned_by([ben]).sign()?)
}

async fn record_many(
    settings: &Settings,
    ada: &Author,
    ben: &Author,
    ledger: &Ledger<AnyStore>,
) -> Result<bool, BoxError> {
    // Signed beforehand, in order: that is not what is tested.
    let signed: Vec<_> = (0..settings.statements)
        .map(|number| statement(ada, ben, settings.run, number))
        .collect::<Result<_, _>>()?;
    let (signed, next) = (Arc::new(signed), Arc::new(AtomicU64::new(0)));
    let submitters: Vec<_> = (0..settings.submitters)
        .map(|_| {
            let (signed, next, ledger) = (signed.clone(), next.clone(), ledger.clone());
            tokio::spawn(async move {
                let mut all = true;
                while let Some(statement) = signed.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                    all &= record(&ledger, statement.clone()).await;
                }
                all
            })
        })
        .collect();
    let mut all = true;
    for submitter in submitters {
        all &= submitter.await?;
    }
    Ok(all)
}

/// Whether it was acknowledged.
async fn record(ledger: &Ledger<AnyStore>, statement: SignedStatement) -> bool {
    let digest = statement.digest();
    say(&Told::Submitted(digest));
    let (told, error) = match ledger.submit(statement).await {
        Ok(Receipt { seq, leaf, .. }) => (Told::Acknowledged { digest, seq, leaf }, None),
        Err(error @ SubmitError::OutcomeUnknown { .. }) => (Told::Unknown(digest), Some(error)),
        Err(error) => (Told::NotStored(digest), Some(error)),
    };
    say(&told);
    if let Some(error) = &error {
        say_why(error);
    }
    error.is_none()
}
