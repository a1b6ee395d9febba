//! A small HTTP service with a ledger in it: checks, and an endpoint that takes signed statements.
//!
//! ```console
//! $ cargo run -p axum_service -- --store postgres://acme@db.example/access#acme --key recorder.key
//! $ cargo run -p axum_service -- --store postgres://acme@db.example/access#acme --follow --listen 127.0.0.1:8081
//! $ curl --data-binary @books.signed http://127.0.0.1:8080/statements
//! $ curl --data '{"subject":{"type":"user","id":"alice"},"action":{"name":"reader"},"resource":{"type":"db","id":"books"}}' \
//!     http://127.0.0.1:8081/access/v1/evaluation?min_seq=17
//! ```
//!
//! The first one records: it alone has the recorder's key. Any number of others follow the same store, verify and judge every entry
//! themselves, and answer checks. `countersign init` makes the ledger, `countersign sign` the statements.
//!
//! Statements prove who made them, whoever brings them. Questions prove nothing: put the service behind what authenticates those who may
//! ask, encrypts, and limits how slowly they may send.

mod keyfile;
mod service;

use std::error::Error;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use countersign::core::id::LedgerId;
use countersign::core::note::SignedNote;
use countersign::ledger::{Follow, Ledger, Recorder};
use countersign::store::Store as _;
use countersign::stores::{Address, Options, open};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::service::{Service, router};

/// How long requests may take that are under way when the service is told to stop.
const GRACE: Duration = Duration::from_secs(10);

#[derive(Parser)]
#[command(about = "Answers checks and records signed statements over HTTP")]
struct Args {
    /// Where the ledger is: postgres://...#LEDGER, sqlite:FILE#LEDGER or file:DIR
    // As text: where it is no address, clap would print it, and with it the password.
    #[arg(long)]
    store: OsString,
    /// Where to listen; port 0 takes any that is free
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The recorder's key, as `countersign keygen` makes it
    #[arg(long, required_unless_present = "follow")]
    key: Option<PathBuf>,
    /// Answer checks only, from what others record in the store
    #[arg(long, conflicts_with = "key")]
    follow: bool,
    /// Answer checks from no state that is older, in seconds: the store may say more by now
    #[arg(long, default_value = "10")]
    max_age: u64,
    /// Serve no other ledger than this
    #[arg(long)]
    ledger_id: Option<LedgerId>,
    /// Serve only what continues this checkpoint, which is kept elsewhere: a store that was put back to an older state is refused
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log(&*error);
            ExitCode::FAILURE
        }
    }
}

/// Says what went wrong, and what caused it, to whoever runs the service.
fn log(error: &(dyn Error + 'static)) {
    eprintln!("axum_service: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("  because {error}");
        cause = error.source();
    }
}

async fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let stop = told_to_stop()?;
    let service = start(&args).await?;
    let listener = TcpListener::bind(args.listen).await?;
    println!("listening on http://{}", listener.local_addr()?);

    let (told, stopping) = oneshot::channel();
    let stop = async move {
        stop.await;
        let _ = told.send(());
    };
    let grace_is_over = async {
        let _ = stopping.await;
        tokio::time::sleep(GRACE).await;
    };
    let serving = axum::serve(listener, router(service.clone())).with_graceful_shutdown(stop);
    tokio::select! {
        served = serving.into_future() => served?,
        () = grace_is_over => eprintln!("axum_service: some requests are left unanswered after {GRACE:?}"),
    }
    // What was submitted is recorded still, and a checkpoint over it signed and kept, whether or not anybody waits for the answer.
    if let Some(ledger) = &service.ledger {
        tokio::time::timeout(GRACE, ledger.close())
            .await
            .map_err(|_| "the store did not take the last of it")??;
    }
    Ok(())
}

async fn start(args: &Args) -> Result<Service, Box<dyn Error>> {
    let address = Address::parse(&args.store)?;
    let max_age = Duration::from_secs(args.max_age);
    let floor = args.checkpoint.as_deref().map(read_checkpoint).transpose()?;
    let Some(key) = &args.key else {
        let store = open(&address, &Options::new().existing().read_only()).await?;
        let durability = store.durability();
        let mut follow = Follow::new();
        if let Some(id) = &args.ledger_id {
            follow = follow.ledger_id(id.clone());
        }
        if let Some(floor) = floor {
            follow = follow.floor(floor);
        }
        let replica = Ledger::follow_with(store, follow).await?;
        return Ok(Service { replica, ledger: None, durability, max_age });
    };
    let store = open(&address, &Options::new().existing()).await?;
    let durability = store.durability();
    let mut recorder = Recorder::new(keyfile::read(key)?);
    if let Some(id) = &args.ledger_id {
        recorder = recorder.ledger_id(id.clone());
    }
    if let Some(floor) = floor {
        recorder = recorder.floor(floor);
    }
    let ledger = Ledger::open(store, recorder).await?;
    Ok(Service { replica: (*ledger).clone(), ledger: Some(ledger), durability, max_age })
}

fn read_checkpoint(path: &Path) -> Result<SignedNote, Box<dyn Error>> {
    let name = path.display();
    let bytes = std::fs::read(path).map_err(|error| format!("`{name}` can not be read: {error}"))?;
    SignedNote::parse(&bytes).map_err(|error| format!("`{name}` is no checkpoint: {error}").into())
}

/// Completes at ctrl-c or SIGTERM. From this call on neither ends the process by itself.
#[cfg(unix)]
fn told_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Completes at ctrl-c.
#[cfg(not(unix))]
fn told_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    Ok(async { drop(tokio::signal::ctrl_c().await) })
}
