//! F-11: a writer is stopped (SIGSTOP), its lock is broken, another writer takes over and acknowledges, and the first wakes up (SIGCONT).
//! It must stop by itself, and what either was told is recorded must stand in one chain.
//!
//! This is no libtest target, since it starts itself as the first writer. 10 takeovers, 200 with `COUNTERSIGN_SOAK=1`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(not(unix))]
fn main() {}

#[cfg(unix)]
mod common;

#[cfg(unix)]
fn main() {
    match std::env::var_os(takeover::CHILD) {
        Some(dir) => takeover::write_until_stopped(dir.as_ref()),
        None => takeover::run(),
    }
}

#[cfg(unix)]
mod takeover {
    use std::hint::black_box;
    use std::io::{BufRead as _, BufReader, Write as _, stdout};
    use std::path::Path;
    use std::process::{Child, Command, Stdio, exit};

    use countersign_notices::{count, is_soak};
    use countersign_store::conformance::{Answers, Author, Told};
    use countersign_store::file::{FileStore, Options};
    use countersign_store::{Batch, Store as _};
    use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

    use crate::common::{TempDir, block_on, everything};

    /// Set for the writer that is stopped: its directory.
    pub(crate) const CHILD: &str = "COUNTERSIGN_TAKEOVER_DIR";
    /// How many batches the first writer appends at most before it gives up being stopped.
    const MOST: usize = 20_000;
    const SEGMENT_SIZE: u64 = 20_000;

    pub(crate) fn run() {
        let rounds = if is_soak() { 200 } else { 10 };
        let mut acknowledged = 0;
        for round in 0..rounds {
            acknowledged += take_over(round);
        }
        let what =
            format!("{rounds} of a stopped writer, {acknowledged} acknowledged entries: no fork, none lost");
        count("takeovers", &what);
    }

    /// The first writer: says what it asks and what it is answered, until it is refused.
    pub(crate) fn write_until_stopped(dir: &Path) {
        let store = open(dir);
        let mut author = Author::new(1);
        for round in 0..MOST {
            let batch = author.batch(store.head_now(), 1 + round % 3);
            for entry in batch.entries() {
                say(Told::Submitted(entry.signed().digest()));
            }
            let answer = block_on(store.append(batch.clone()));
            let mut answers = Vec::new();
            tell(
                &batch,
                answer.is_ok(),
                matches!(answer, Err(countersign_store::AppendError::OutcomeUnknown(_))),
                |told| {
                    answers.push(told);
                },
            );
            answers.into_iter().for_each(say);
            if answer.is_err() {
                exit(0);
            }
        }
        exit(3);
    }

    fn tell(batch: &Batch, stored: bool, unknown: bool, mut told: impl FnMut(Told)) {
        for entry in batch.entries() {
            let digest = entry.signed().digest();
            told(match (stored, unknown) {
                (true, _) => Told::Acknowledged { digest, seq: entry.seq(), leaf: entry.leaf() },
                (false, true) => Told::Unknown(digest),
                (false, false) => Told::NotStored(digest),
            });
        }
    }

    fn say(told: Told) {
        let mut out = stdout().lock();
        writeln!(out, "{told}").unwrap();
        out.flush().unwrap();
    }

    fn open(dir: &Path) -> FileStore {
        Options::new().segment_size(SEGMENT_SIZE).open(dir).unwrap()
    }

    /// Returns how many entries were acknowledged.
    fn take_over(round: usize) -> usize {
        let dir = TempDir::new("takeover");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(CHILD, dir.ledger())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut answers = Answers::new();
        let mut left = 1 + round % 7;
        while left > 0 {
            let told: Told = lines.next().unwrap().unwrap().parse().unwrap();
            answers.tell(told);
            left -= usize::from(matches!(told, Told::Acknowledged { .. }));
        }
        // A different moment each time: nothing here depends on which.
        for turn in 0..round * 20_000 {
            black_box(turn);
        }
        stop(&child);
        // As an administrator does who thinks that the lock is stale.
        std::fs::remove_file(dir.ledger().join("lock")).unwrap();
        let second = open(&dir.ledger());
        let mut author = Author::new(2);
        let mut append = |store: &FileStore, answers: &mut Answers| {
            let batch = author.batch(store.head_now(), 2);
            answers.submitted(&batch);
            let answer = block_on(store.append(batch.clone()));
            answers.answered(&batch, &answer);
            answer.is_ok()
        };
        assert!(append(&second, &mut answers), "round {round}: the second writer was alone");
        signal(&child, Signal::CONT);
        for line in lines {
            answers.tell(line.unwrap().parse().unwrap());
        }
        let ended = child.wait().unwrap();
        assert_eq!(ended.code(), Some(0), "round {round}: the first writer did not find out");
        // The second may have found what the first wrote before that one found out.
        append(&second, &mut answers);
        drop(second);
        let third = Options::new().cut_unproven().open(dir.ledger());
        let third = third.unwrap_or_else(|error| panic!("round {round}: {error:?}"));
        assert!(append(&third, &mut answers));
        let there = block_on(everything(&third));
        assert_eq!(answers.check(&there), [], "round {round}");
        answers.acknowledged()
    }

    /// Stops the writer, and returns when it stands still.
    fn stop(child: &Child) {
        signal(child, Signal::STOP);
        let (_, status) = waitpid(Some(pid(child)), WaitOptions::UNTRACED).unwrap().unwrap();
        assert!(status.stopped(), "it ended instead: {status:?}");
    }

    fn signal(child: &Child, signal: Signal) {
        kill_process(pid(child), signal).unwrap();
    }

    fn pid(child: &Child) -> Pid {
        Pid::from_raw(child.id().cast_signed()).unwrap()
    }
}
