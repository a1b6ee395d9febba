//! A follower in a process of its own: follows the file store in a directory, and says on standard output each entry that it is given.
//!
//! ```text
//! fault-follower DIR
//! ```
//!
//! It waits for a ledger to be there, and ends when standard input does, once it has seen all that was durable then. Its lines are
//! those of [`Told`], and `open SIZE`, `because REASON`, `closed`.

use std::io::Read as _;
use std::process::ExitCode;
use std::time::Duration;

use countersign_core::entry::Head;
use countersign_faults::{BoxError, FAILED, say, say_why};
use countersign_ledger::{Follow, Ledger};
use countersign_store::Store as _;
use countersign_store::conformance::Told;
use countersign_store::file::FileReader;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say_why(&*error);
            ExitCode::from(FAILED)
        }
    }
}

async fn run() -> Result<(), BoxError> {
    let dir = std::env::args_os().nth(1).ok_or("no directory")?;
    let interval = Duration::from_millis(5);
    let reader = loop {
        // Before genesis there is nothing to follow.
        match FileReader::open(&dir) {
            Ok(reader) if reader.head().await?.size > 0 => break reader,
            _ => tokio::time::sleep(interval).await,
        }
    };
    let replica = Ledger::follow_with(reader, Follow::new().poll_interval(interval)).await?;
    say(&format_args!("open {}", replica.head().size));
    let mut asked_to_end = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    let (mut feed, mut end) = (replica.subscribe(Head::EMPTY), None);
    while end != Some(feed.head().size) {
        let next = tokio::select! {
            next = feed.next() => next,
            asked = &mut asked_to_end, if end.is_none() => {
                asked??;
                end = Some(FileReader::open(&dir)?.head().await?.size);
                continue;
            }
        };
        let entry = next.ok_or("the feed ended")??;
        // What a feed gives is judged, and in the view.
        if replica.head().size <= entry.seq() {
            return Err(format!("entry {} before the view has it", entry.seq()).into());
        }
        say(&Told::Seen { seq: entry.seq(), leaf: entry.leaf() });
    }
    say(&"closed");
    Ok(())
}
