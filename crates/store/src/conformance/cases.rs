//! The cases. Each names the fault it looks for, and where the field had it.

use std::fmt::Debug;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use countersign_core::entry::{Entry, Head, MAX_ENTRY_LEN};

use super::chain::{Author, chain, note};
use super::spawn::{join, lock};
use super::{Answers, BoxFuture, Finding, Kit};
use crate::{AppendError, Batch, EntryBytes, KeptSnapshot, SnapshotSet, Store, StoreError};

/// Why a case did not pass.
pub(super) enum Stop {
    Skipped(&'static str),
    Failed(String),
}

type Outcome = Result<(), Stop>;
type Case<S> = for<'k> fn(&'k Kit<S>) -> BoxFuture<'k, Outcome>;

macro_rules! cases {
    ($($name:ident)*) => {
        /// Every case by name.
        pub(super) fn all<S: Store>() -> Vec<(&'static str, Case<S>)> {
            vec![$((stringify!($name), |kit| Box::pin($name(kit))),)*]
        }
    };
}

cases! {
    an_empty_store_is_empty
    durability_is_what_is_claimed
    exact_bytes_come_back
    the_longest_entries_fit
    a_stale_position_is_a_conflict
    the_same_position_with_another_leaf_is_a_conflict
    a_position_ahead_is_a_conflict
    a_refused_batch_leaves_no_trace
    a_retry_gives_the_outcome_of_the_first_attempt
    a_retry_after_others_gives_the_outcome_of_the_first_attempt
    a_retry_completes_what_was_cut_off
    a_cancelled_append_leaves_the_store_usable
    find_gives_place_and_bytes
    find_gives_the_first_of_several
    statements_of_one_serial_are_told_apart
    reads_keep_their_limits
    one_of_many_racing_batches_wins
    gapless_under_concurrent_writers
    readers_never_see_more_than_the_head
    who_follows_misses_nothing_that_is_committed_late
    what_others_do_in_the_database_holds_up_nothing
    a_torn_append_leaves_whole_entries
    the_checkpoint_over_most_entries_is_kept
    snapshots_are_the_newest_set_that_is_not_too_new
    what_was_acknowledged_is_there_after_a_kill
    a_retry_after_a_kill_gives_the_outcome_of_the_first_attempt
    what_was_kept_is_not_older_after_a_kill
    what_a_reader_was_shown_is_there_after_a_kill
}

/// A store that greets with something else than nothing.
async fn an_empty_store_is_empty<S: Store>(kit: &Kit<S>) -> Outcome {
    let store = kit.make().await;
    same("the head", &ok("head", store.head().await)?, &Head::EMPTY)?;
    same("entries read", &ok("read", store.read(0, 10).await)?.len(), &0)?;
    let digest = Author::new(1).statement().digest();
    same("found", &ok("find", store.find(digest).await)?, &None)?;
    same("the checkpoint", &ok("checkpoint", store.checkpoint().await)?, &None)
}

/// Acknowledging more weakly than documented: NATS 2.12.1 synced every two minutes by default and lost 131,418 messages.
async fn durability_is_what_is_claimed<S: Store>(kit: &Kit<S>) -> Outcome {
    let Some(claim) = kit.claim else {
        return Err(Stop::Skipped("the kit was not told what the store claims"));
    };
    same("the durability", &kit.make().await.durability(), &claim)
}

/// Bytes that went through a parser or a text type on their way: an auditor hashes what is stored, not what it means.
async fn exact_bytes_come_back<S: Store>(kit: &Kit<S>) -> Outcome {
    let store = kit.make().await;
    let mut author = Author::new(1);
    let mut entries = Vec::new();
    for count in [1, 3, 7] {
        let head = entries.last().map_or(Head::EMPTY, Entry::head);
        let batch = author.batch(head, count);
        entries.extend_from_slice(batch.entries());
        same("the head after an append", &ok("append", store.append(batch.clone()).await)?, &batch.head())?;
        same("the head", &ok("head", store.head().await)?, &batch.head())?;
    }
    same_entries(&everything(&*store).await?, &entries)
}

/// A column, a buffer or a message with a limit of its own below the format's.
async fn the_longest_entries_fit<S: Store>(kit: &Kit<S>) -> Outcome {
    let store = kit.make().await;
    let mut author = Author::new(1);
    let statements: Vec<_> = (0..40).map(|_| author.statement_of(48_000)).collect();
    let entries = chain(Head::EMPTY, &statements);
    if entries.iter().any(|entry| entry.bytes().len() > MAX_ENTRY_LEN) {
        return Err(Stop::Failed("the kit itself made entries that are too long".into()));
    }
    let batch = Batch::new(entries.clone()).map_err(|error| Stop::Failed(error.to_string()))?;
    ok("append", store.append(batch).await)?;
    same_entries(&everything(&*store).await?, &entries)
}

/// Two writers, one of which slept through the other's turn: Sunlight issue 11, Wolverine issue 2602.
async fn a_stale_position_is_a_conflict<S: Store>(kit: &Kit<S>) -> Outcome {
    let store = kit.make().await;
    let first = Author::new(1).batch(Head::EMPTY, 3);
    ok("append", store.append(first.clone()).await)?;
    conflict(&*store, Author::new(2).batch(Head::EMPTY, 3), first.head()).await?;
    conflict(&*store, Author::new(2).batch(first.entries()[0].head(), 1), first.head()).await
}

/// A store restored from a backup, and a writer that goes on from what it remembers: both sides have the same length, and
/// nothing in common. Certificate logs of Venafi and TrustAsia signed both.
async fn the_same_position_with_another_leaf_is_a_conflict<S: Store>(kit: &Kit<S>) -> Outcome {
    let (store, other) = (kit.make().await, Author::new(2).batch(Head::EMPTY, 3));
    let first = Author::new(1).batch(Head::EMPTY, 3);
    ok("append", store.append(first.clone()).await)?;
    conflict(&*store, Author::new(3).batch(other.head(), 2), first.head()).await
}

/// The other half of a restored backup: the writer is ahead of the store.
async fn a_position_ahead_is_a_conflict<S: Store>(kit: &Kit<S>) -> Outcome {
    let store = kit.make().await;
    let mut author = Author::new(1);
    let first = author.batch(Head::EMPTY, 2);
    ok("append", store.append(first.clone()).await)?;
    let lost = author.batch(first.head(), 2);
    conflict(&*store, author.batch(lost.head(), 1), first.head()).await
}

/// A refused batch that is partly there, or is found by digest although nobody can read it.
async fn a_refused_batch_leaves_no_trace<S: Store>(kit: &Kit<S>) -> Outcome {
    let store = kit.make().await;
    let mut author = Author::new(1);
    let standing = author.batch(Head::EMPTY, 4);
    ok("append", store.append(standing.clone()).await)?;
    // Agrees with what stands for two entries, then differs: neither a retry nor a continuation.
    let statements: Vec<_> = standing.entries()[..2]
        .iter()
        .map(|entry| (**entry.signed()).clone())
        .chain([author.statement(), author.statement()])
        .collect();
    let fork =
        Batch::new(chain(Head::EMPTY, &statements)).map_err(|error| Stop::Failed(error.to_string()))?;
    conflict(&*store, fork.clone(), standing.head()).await?;
    same_entries(&everything(&*store).await?, standing.entries())?;
    for entry in &fork.entries()[2..] {
        same(
            "a statement of a refused batch, found",
            &ok("find", store.find(entry.signed().digest()).await)?,
            &None,
        )?;
    }
    Ok(())
}

/// A lost reply at commit and a client that tries again: the first seed of FoundationDB's tests counted twice.
async fn a_retry_gives_the_outcome_of_the_first_attempt<S: Store>(kit: &Kit<S>) -> Outcome {
    let store = kit.make().await;
    let mut author = Author::new(1);
    let first = author.batch(Head::EMPTY, 1);
    let second = author.batch(first.head(), 5);
    for batch in [&first, &second] {
        for _ in 0..3 {
            same("the outcome", &ok("append", store.append(batch.clone()).await)?, &batch.head())?;
        }
    }
    same_entries(&everything(&*store).await?, &[first.entries(), second.entries()].concat())
}

/// As before, but somebody else appended between the attempts. A retry that is told of a conflict records it twice.
async fn a_retry_after_others_gives_the_outcome_of_the_first_attempt<S: Store>(kit: &Kit<S>) -> Outcome {
    let store = kit.make().await;
    let first = Author::new(1).batch(Head::EMPTY, 3);
    ok("append", store.append(first.clone()).await)?;
    let others = Author::new(2).batch(first.head(), 3);
    ok("append", store.append(others.clone()).await)?;
    same("the outcome", &ok("append", store.append(first.clone()).await)?, &first.head())?;
    same_entries(&everything(&*store).await?, &[first.entries(), others.entries()].concat())
}

/// A crash left the first entries of a batch. Trying again must neither repeat them nor give the rest up.
async fn a_retry_completes_what_was_cut_off<S: Store>(kit: &Kit<S>) -> Outcome {
    let whole = Author::new(1).batch(Head::EMPTY, 5);
    for cut in 1..5 {
        let store = kit.make().await;
        let part = whole.entries()[..cut].to_vec();
        ok("append", store.append(Batch::new(part).expect("chained, and not empty")).await)?;
        same("the outcome", &ok("append", store.append(whole.clone()).await)?, &whole.head())?;
        same_entries(&everything(&*store).await?, whole.entries())?;
    }
    Ok(())
}

/// A future dropped half-way: in sqlx 0.9 a cancelled `begin` leaves a transaction open, in Greptime 7670 a lock.
async fn a_cancelled_append_leaves_the_store_usable<S: Store>(kit: &Kit<S>) -> Outcome {
    let store = kit.make().await;
    let mut author = Author::new(1);
    let mut head = Head::EMPTY;
    for polls in 0..4 {
        let batch = author.batch(head, 3);
        {
            let mut append = pin!(store.append(batch.clone()));
            let mut left = polls;
            std::future::poll_fn(|context| {
                if left == 0 || append.as_mut().poll(context).is_ready() {
                    return std::task::Poll::Ready(());
                }
                left -= 1;
                context.waker().wake_by_ref();
                std::task::Poll::Pending
            })
            .await;
        }
        let standing = ok("head", store.head().await)?;
        if batch.missing_after(standing).is_none() {
            return Err(Stop::Failed(format!("after a dropped append the head is {standing:?}")));
        }
        same("the outcome", &ok("append", store.append(batch.clone()).await)?, &batch.head())?;
        head = batch.head();
    }
    same("entries", &everything(&*store).await?.len(), &12)
}

/// An index by digest that is off by one, or filled before the entry stands.
async fn find_gives_place_and_bytes<S: Store>(kit: &Kit<S>) -> Outcome {
    let store = kit.make().await;
    let mut author = Author::new(1);
    let first = author.batch(Head::EMPTY, 4);
    let second = author.batch(first.head(), 4);
    ok("append", store.append(first.clone()).await)?;
    for entry in second.entries() {
        same("not there yet", &ok("find", store.find(entry.signed().digest()).await)?, &None)?;
    }
    ok("append", store.append(second.clone()).await)?;
    for entry in first.entries().iter().chain(second.entries()) {
        match ok("find", store.find(entry.signed().digest()).await)? {
            Some(found) => {
                same("the position found", &found.seq, &entry.seq())?;
                same("the bytes found", &&found.bytes[..], &&entry.bytes()[..])?;
            }
            None => return Err(Stop::Failed(format!("entry {} is not found by its digest", entry.seq()))),
        }
    }
    Ok(())
}

/// One statement in two entries, which no ledger makes. A store refuses it by name, as one does that has the statement for a key, or
/// keeps it: an index that keeps the last, or that puts what is new before what is old. The receipt is for the first.
async fn find_gives_the_first_of_several<S: Store>(kit: &Kit<S>) -> Outcome {
    let store = kit.make().await;
    let statements = [(); 3].map(|()| Author::new(1).statement());
    for (index, statement) in statements.iter().enumerate() {
        let head = ok("head", store.head().await)?;
        let entries = chain(head, std::slice::from_ref(statement));
        match store.append(Batch::new(entries).expect("chained, and not empty")).await {
            Err(AppendError::NotStored(StoreError::Repeated { digest }))
                if index > 0 && digest == statement.digest() =>
            {
                same("the head", &ok("head", store.head().await)?, &head)?;
                same("entries after a refusal", &everything(&*store).await?.len(), &1)?;
            }
            appended => drop(ok("append", appended)?),
        }
        let found = ok("find", store.find(statement.digest()).await)?.map(|found| found.seq);
        same("the position found", &found, &Some(0))?;
    }
    Ok(())
}

/// A serial that was used again with other bytes, which a ledger refuses and a store knows nothing of: a key of (author, serial) in place of the
/// digest gives one statement out for the other.
async fn statements_of_one_serial_are_told_apart<S: Store>(kit: &Kit<S>) -> Outcome {
    let store = kit.make().await;
    let statements = [1, 2, 3].map(|length| Author::new(1).statement_of(length));
    let entries = chain(Head::EMPTY, &statements);
    for entry in &entries {
        let batch = Batch::new(vec![entry.clone()]).expect("chained, and not empty");
        ok("append", store.append(batch).await)?;
    }
    for entry in &entries {
        let found = ok("find", store.find(entry.signed().digest()).await)?.map(|found| found.seq);
        same("the position found", &found, &Some(entry.seq()))?;
    }
    same_entries(&everything(&*store).await?, &entries)
}

/// An empty answer where there is more, which a reader takes for the end; more than was asked for; a panic at the edge.
async fn reads_keep_their_limits<S: Store>(kit: &Kit<S>) -> Outcome {
    let store = kit.make().await;
    let batch = Author::new(1).batch(Head::EMPTY, 10);
    ok("append", store.append(batch.clone()).await)?;
    for from in [0, 1, 5, 9, 10, 11, u64::from(u32::MAX) + 1, u64::MAX] {
        for max in [0, 1, 3, 10, usize::MAX] {
            let read = ok("read", store.read(from, max).await)?;
            let rest = usize::try_from(from).map_or(0, |from| 10_usize.saturating_sub(from));
            if read.len() > max.min(rest) || (read.is_empty() && max.min(rest) > 0) {
                let what = format!("a read of at most {max} from {from} of 10 gives {}", read.len());
                return Err(Stop::Failed(what));
            }
            if !read.is_empty() {
                let start = 10 - rest;
                same_entries(&read, &batch.entries()[start..start + read.len()])?;
            }
        }
    }
    Ok(())
}

/// Two that both believe they won: exclusivity by a lock that was lost, Wolverine issue 2691, OpenBao issue 2100.
async fn one_of_many_racing_batches_wins<S: Store>(kit: &Kit<S>) -> Outcome {
    for round in 0..10 {
        let store = kit.make().await;
        let racer = |number: u8| -> BoxFuture<'static, _> {
            let (store, batch) = (store.clone(), Author::new(number).batch(Head::EMPTY, 2));
            Box::pin(async move { (store.append(batch.clone()).await, batch) })
        };
        let mut won = Vec::new();
        for racer in join(&kit.spawn, (0..8).map(racer)).await {
            match racer {
                Some((Ok(_), batch)) => won.push(batch),
                Some((Err(AppendError::Conflict { .. }), _)) => {}
                Some((Err(error), _)) => return Err(Stop::Failed(format!("append gave {error:?}"))),
                None => return Err(Stop::Failed("an append panicked".into())),
            }
        }
        let [winner] = &won[..] else {
            return Err(Stop::Failed(format!("{} of 8 were told that they won in round {round}", won.len())));
        };
        same_entries(&everything(&*store).await?, winner.entries())?;
    }
    Ok(())
}

/// Sequence numbers that were handed out and never used, entries that became visible late, writes of one that overwrote
/// another's: what sequences and timestamps do in databases with concurrent transactions. Twelve write, and as many looks as
/// [`Kit::polling`] says go on from where the last one stopped.
async fn gapless_under_concurrent_writers<S: Store>(kit: &Kit<S>) -> Outcome {
    const WRITERS: u8 = 12;
    const BATCHES: usize = 12;
    const READERS: usize = 3;
    let (store, answers) = (kit.make().await, Arc::new(Mutex::new(Answers::new())));
    let polls = kit.polls.div_ceil(READERS);
    let finished = Arc::new(AtomicBool::new(false));
    let reader = |_| -> BoxFuture<'static, Outcome> {
        let (store, answers, finished) = (store.clone(), answers.clone(), finished.clone());
        Box::pin(async move {
            let (mut seen, mut polled) = (0, 0);
            loop {
                let last_round = finished.load(Ordering::Acquire) && polled >= polls;
                let read = ok("read", store.read(seen, 50).await)?;
                lock(&answers).seen(seen, &read);
                (seen, polled) = (seen + read.len() as u64, polled + 1);
                if last_round && read.is_empty() {
                    return Ok(());
                }
                pause().await;
            }
        })
    };
    let writers = writing(kit, &store, &answers, WRITERS, BATCHES, &finished);
    for task in join(&kit.spawn, (0..READERS).map(reader).chain([writers])).await {
        task.ok_or_else(|| Stop::Failed("a task panicked".into()))??;
    }
    let answers = lock(&answers).clone();
    let read = kept(&*store, &answers).await?;
    same("the number of entries", &read.len(), &answers.acknowledged())?;
    same("the number of entries that readers were given", &read.len(), &answers.shown())
}

/// Entries that a reader saw and that are not there: Kafka KAFKA-10101. Here without crashes: what was read is a beginning of
/// what is read later, and never reaches beyond the head that is asked for afterwards.
async fn readers_never_see_more_than_the_head<S: Store>(kit: &Kit<S>) -> Outcome {
    let store = kit.make().await;
    let (finished, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Answers::new())));
    let reader = |_| -> BoxFuture<'static, Outcome> {
        let (store, finished) = (store.clone(), finished.clone());
        Box::pin(async move {
            let mut seen: Vec<EntryBytes> = Vec::new();
            loop {
                let last_round = finished.load(Ordering::Acquire);
                let from = seen.len().saturating_sub(3);
                let read = ok("read", store.read(from as u64, 50).await)?;
                let head = ok("head", store.head().await)?;
                if head.size < (from + read.len()) as u64 {
                    let what = format!("entry {} was read at a head of {}", from + read.len() - 1, head.size);
                    return Err(Stop::Failed(what));
                }
                for (offset, bytes) in read.into_iter().enumerate() {
                    match seen.get(from + offset) {
                        Some(before) if *before != bytes => {
                            return Err(Stop::Failed(format!("entry {} changed", from + offset)));
                        }
                        Some(_) => {}
                        None => seen.push(bytes),
                    }
                }
                check_chain(&seen)?;
                if last_round {
                    return Ok(());
                }
                pause().await;
            }
        })
    };
    let writers = writing(kit, &store, &answers, 4, 20, &finished);
    for task in join(&kit.spawn, (0..4).map(reader).chain([writers])).await {
        task.ok_or_else(|| Stop::Failed("a task panicked".into()))??;
    }
    let answers = lock(&answers).clone();
    kept(&*store, &answers).await.map(drop)
}

/// A transaction that got its place first and is committed last: who goes on from what was committed meanwhile never sees it. Every log that
/// is ordered by a database's sequence has it. Here followers go by the hint to look, too, which may come before the commit is visible.
async fn who_follows_misses_nothing_that_is_committed_late<S: Store>(kit: &Kit<S>) -> Outcome {
    let store = kit.make().await;
    let (finished, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Answers::new())));
    let follower = |_| -> BoxFuture<'static, Outcome> {
        let (store, answers, finished) = (store.clone(), answers.clone(), finished.clone());
        Box::pin(async move {
            let mut head = Head::EMPTY;
            loop {
                let last_round = finished.load(Ordering::Acquire);
                // A hint may never come.
                let mut hint = pin!(store.wait(head.size));
                std::future::poll_fn(|context| Poll::Ready(hint.as_mut().poll(context).is_ready())).await;
                let read = ok("read", store.read(head.size, 50).await)?;
                for bytes in &read {
                    let entry = Entry::parse(bytes.clone())
                        .map_err(|fault| Stop::Failed(format!("what is read is no entry: {fault}")))?;
                    same("what follows", &Head { size: entry.seq(), leaf: entry.prev() }, &head)?;
                    head = entry.head();
                }
                lock(&answers).seen(head.size - read.len() as u64, &read);
                if last_round && read.is_empty() {
                    return Ok(());
                }
                pause().await;
            }
        })
    };
    let writers = writing(kit, &store, &answers, 4, 20, &finished);
    for task in join(&kit.spawn, (0..2).map(follower).chain([writers])).await {
        task.ok_or_else(|| Stop::Failed("a task panicked".into()))??;
    }
    let answers = lock(&answers).clone();
    let read = kept(&*store, &answers).await?;
    same("the number of entries that followers were given", &answers.shown(), &read.len())
}

/// Somebody's report or backup, a transaction that stays open for hours: a reader who shows only what is older than every open transaction, which
/// is the usual cure for the case before, stands still meanwhile.
async fn what_others_do_in_the_database_holds_up_nothing<S: Store>(kit: &Kit<S>) -> Outcome {
    let Some(begin) = &kit.beside else {
        return Err(Stop::Skipped("the kit was not told what others do in the database"));
    };
    let store = kit.make().await;
    let (mut author, mut entries) = (Author::new(1), Vec::new());
    let mut others = Vec::new();
    for _ in 0..3 {
        let batch = author.batch(entries.last().map_or(Head::EMPTY, Entry::head), 3);
        ok("append", store.append(batch.clone()).await)?;
        entries.extend_from_slice(batch.entries());
        same("the head", &ok("head", store.head().await)?, &batch.head())?;
        same_entries(&everything(&*store).await?, &entries)?;
        let found =
            ok("find", store.find(batch.entries()[0].signed().digest()).await)?.map(|found| found.seq);
        same("the position found", &found, &Some(batch.expected().size))?;
        others.push(begin(store.clone()).await);
    }
    drop(others);
    same_entries(&everything(&*store).await?, &entries)
}

/// Half an entry behind the last whole one, after a crash in the middle of an append: etcd issues 5230 and 6515. It is not served, nothing that was
/// acknowledged is cut with it, and who tries again is not kept from it.
async fn a_torn_append_leaves_whole_entries<S: Store>(kit: &Kit<S>) -> Outcome {
    let Some(tear) = &kit.tear else {
        return Err(Stop::Skipped("the kit was not told what a crash leaves of an append"));
    };
    let mut store = kit.make().await;
    let (mut author, mut answers, mut head) = (Author::new(1), Answers::new(), Head::EMPTY);
    for count in [1, 2, 4] {
        let batch = author.batch(head, 2);
        answers.submitted(&batch);
        let answer = store.append(batch.clone()).await;
        answers.answered(&batch, &answer);
        ok("append", answer)?;
        let torn = author.batch(batch.head(), count);
        answers.submitted(&torn);
        store = Arc::new(tear(store, torn.clone()).await);
        kept(&*store, &answers).await?;
        let again = store.append(torn.clone()).await;
        answers.answered(&torn, &again);
        same("the outcome", &ok("append", again)?, &torn.head())?;
        kept(&*store, &answers).await?;
        head = torn.head();
    }
    Ok(())
}

/// The high-water mark against restored backups goes back, or is not what was handed over.
async fn the_checkpoint_over_most_entries_is_kept<S: Store>(kit: &Kit<S>) -> Outcome {
    let store = kit.make().await;
    let batch = Author::new(1).batch(Head::EMPTY, 7);
    ok("append", store.append(batch.clone()).await)?;
    let over = |size: usize, number| note(&batch.entries()[..size], number);
    // Size and number of what is put, and of what is kept then.
    let steps = [((3, 1), (3, 1)), ((7, 2), (7, 2)), ((5, 3), (7, 2)), ((7, 4), (7, 4))];
    for ((size, number), (kept_size, kept_number)) in steps {
        ok("put_checkpoint", store.put_checkpoint(size as u64, over(size, number)).await)?;
        let kept = ok("checkpoint", store.checkpoint().await)?;
        same("the checkpoint", &kept, &Some(over(kept_size, kept_number)))?;
    }
    same("the head", &ok("head", store.head().await)?, &batch.head())
}

/// A snapshot of another size than it is said to be over, or a set put together from two: etcd issue 13766 kept state and position
/// apart. A store may keep none.
async fn snapshots_are_the_newest_set_that_is_not_too_new<S: Store>(kit: &Kit<S>) -> Outcome {
    let mut store = kit.make().await;
    let batch = Author::new(1).batch(Head::EMPTY, 9);
    ok("append", store.append(batch.clone()).await)?;
    same("snapshots", &ok("snapshots", store.snapshots(9).await)?, &None)?;
    let set = |size: u64, names: &[&str], text: &str| SnapshotSet {
        size,
        snapshots: (names.iter())
            .map(|name| KeptSnapshot {
                name: (*name).to_owned(),
                note: format!("{name} {text} over {size}\n").into_bytes().into(),
                payload: [text.as_bytes(), &[0, 10, 255]].concat().into(),
            })
            .collect(),
    };
    let steps = [
        set(3, &["audit", "governance"], "first"),
        set(5, &["audit", "governance"], "second"),
        set(5, &["governance", "mine.own-2"], "again"),
        set(8, &["governance"], ""),
        set(9, &["governance"], "last"),
    ];
    let mut put: Vec<&SnapshotSet> = Vec::new();
    for step in &steps {
        ok("put_snapshots", store.put_snapshots(step.clone()).await)?;
        put.retain(|before| before.size != step.size);
        put.push(step);
        if let Some(reopen) = &kit.reopen {
            store = Arc::new(reopen(store).await);
        }
        for size in 0..=10 {
            let Some(found) = ok("snapshots", store.snapshots(size).await)? else { continue };
            let newest = put.iter().filter(|set| set.size <= size).max_by_key(|set| set.size);
            same("the newest snapshots", &Some(&&found), &newest)?;
        }
    }
    Ok(())
}

/// Acknowledged, and gone when the process is: the fault that all others lead to.
async fn what_was_acknowledged_is_there_after_a_kill<S: Store>(kit: &Kit<S>) -> Outcome {
    let Some(reopen) = &kit.reopen else { return Err(Stop::Skipped("the kit was not told how to reopen")) };
    let mut store = kit.make().await;
    let (mut author, mut answers) = (Author::new(1), Answers::new());
    let mut entries: Vec<Entry> = Vec::new();
    for count in [1, 4, 9] {
        let batch = author.batch(entries.last().map_or(Head::EMPTY, Entry::head), count);
        answers.submitted(&batch);
        let answer = store.append(batch.clone()).await;
        answers.answered(&batch, &answer);
        ok("append", answer)?;
        entries.extend_from_slice(batch.entries());
        let (size, checkpoint) = (batch.head().size, note(&entries, 1));
        ok("put_checkpoint", store.put_checkpoint(size, checkpoint.clone()).await)?;
        answers.checkpoint_put(size, checkpoint, true);
        store = Arc::new(reopen(store).await);
        let read = kept(&*store, &answers).await?;
        same("the number of entries", &read.len(), &entries.len())?;
        same("the head", &ok("head", store.head().await)?, &batch.head())?;
        let there = ok("checkpoint", store.checkpoint().await)?;
        none(&answers.check_checkpoint(there.as_deref(), read.len() as u64))?;
        let digest = batch.entries()[0].signed().digest();
        let found = ok("find", store.find(digest).await)?.map(|found| found.seq);
        same("the position found", &found, &Some(batch.entries()[0].seq()))?;
    }
    Ok(())
}

/// A reply that was lost with the process that waited for it: who tries again in another must learn of the first attempt.
async fn a_retry_after_a_kill_gives_the_outcome_of_the_first_attempt<S: Store>(kit: &Kit<S>) -> Outcome {
    let Some(reopen) = &kit.reopen else { return Err(Stop::Skipped("the kit was not told how to reopen")) };
    let mut store = kit.make().await;
    let mut author = Author::new(1);
    let batches = [author.batch(Head::EMPTY, 3)];
    let batches = [batches[0].clone(), author.batch(batches[0].head(), 2)];
    for (count, batch) in batches.iter().enumerate() {
        ok("append", store.append(batch.clone()).await)?;
        store = Arc::new(reopen(store).await);
        for earlier in &batches[..=count] {
            same("the outcome", &ok("append", store.append(earlier.clone()).await)?, &earlier.head())?;
        }
        conflict(&*store, Author::new(2).batch(Head::EMPTY, 1), batch.head()).await?;
    }
    same_entries(&everything(&*store).await?, &batches.map(|batch| batch.entries().to_vec()).concat())
}

/// The mark against restored backups in memory alone, or read back without its size: an older one takes its place.
async fn what_was_kept_is_not_older_after_a_kill<S: Store>(kit: &Kit<S>) -> Outcome {
    let Some(reopen) = &kit.reopen else { return Err(Stop::Skipped("the kit was not told how to reopen")) };
    let store = kit.make().await;
    let batch = Author::new(1).batch(Head::EMPTY, 7);
    ok("append", store.append(batch.clone()).await)?;
    let over = |size: usize| note(&batch.entries()[..size], 1);
    ok("put_checkpoint", store.put_checkpoint(7, over(7)).await)?;
    let store = Arc::new(reopen(store).await);
    ok("put_checkpoint", store.put_checkpoint(3, over(3)).await)?;
    same("the checkpoint", &ok("checkpoint", store.checkpoint().await)?, &Some(over(7)))
}

/// Given to a reader, and gone with the process that had not made it durable yet: Kafka KAFKA-10101.
async fn what_a_reader_was_shown_is_there_after_a_kill<S: Store>(kit: &Kit<S>) -> Outcome {
    let Some(reopen) = &kit.reopen else { return Err(Stop::Skipped("the kit was not told how to reopen")) };
    let mut store = kit.make().await;
    let (mut author, mut answers) = (Author::new(1), Answers::new());
    for polls in 0..6 {
        let batch = author.batch(ok("head", store.head().await)?, 3);
        answers.submitted(&batch);
        {
            let mut append = pin!(store.append(batch.clone()));
            for _ in 0..polls {
                let polled = std::future::poll_fn(|context| Poll::Ready(append.as_mut().poll(context))).await;
                answers.seen(0, everything(&*store).await?);
                if let Poll::Ready(answer) = polled {
                    answers.answered(&batch, &answer);
                    // What was asked for before the kill may have come first.
                    if !matches!(answer, Err(AppendError::Conflict { .. })) {
                        ok("append", answer)?;
                    }
                    break;
                }
                pause().await;
            }
        }
        store = Arc::new(reopen(store).await);
        kept(&*store, &answers).await?;
    }
    Ok(())
}

/// So many writers beside each other, under a task that tells when all are done.
fn writing<S: Store>(
    kit: &Kit<S>,
    store: &Arc<S>,
    answers: &Arc<Mutex<Answers>>,
    writers: u8,
    batches: usize,
    finished: &Arc<AtomicBool>,
) -> BoxFuture<'static, Outcome> {
    let (spawn, finished) = (kit.spawn.clone(), finished.clone());
    let writer = |number| -> BoxFuture<'static, Outcome> {
        Box::pin(write(store.clone(), answers.clone(), number, batches))
    };
    let writers: Vec<_> = (0..writers).map(writer).collect();
    Box::pin(async move {
        let written = join(&spawn, writers).await;
        finished.store(true, Ordering::Release);
        written
            .into_iter()
            .try_for_each(|written| written.unwrap_or_else(|| Err(Stop::Failed("a writer panicked".into()))))
    })
}

/// Appends as a recorder does: a lost race is followed by another attempt behind the head that won.
async fn write<S: Store>(store: Arc<S>, answers: Arc<Mutex<Answers>>, number: u8, batches: usize) -> Outcome {
    let mut author = Author::new(number);
    for round in 0..batches {
        let statements: Vec<_> = (0..=round % 3).map(|_| author.statement()).collect();
        let mut head = ok("head", store.head().await)?;
        loop {
            let batch = Batch::new(chain(head, &statements)).expect("chained, and not empty");
            lock(&answers).submitted(&batch);
            let answer = store.append(batch.clone()).await;
            lock(&answers).answered(&batch, &answer);
            match answer {
                Ok(_) => break,
                Err(AppendError::Conflict { actual, .. }) if actual == head => {
                    return Err(Stop::Failed(format!("a conflict names the very head {head:?} it refuses")));
                }
                Err(AppendError::Conflict { actual, .. }) => head = actual,
                Err(error) => return Err(Stop::Failed(format!("append gave {error:?}"))),
            }
            pause().await;
        }
        pause().await;
    }
    Ok(())
}

/// All that is there, where that is what the answers say.
async fn kept<S: Store>(store: &S, answers: &Answers) -> Result<Vec<EntryBytes>, Stop> {
    let read = everything(store).await?;
    none(&answers.check(&read))?;
    Ok(read)
}

fn none(findings: &[Finding]) -> Outcome {
    findings.first().map_or(Ok(()), |finding| Err(Stop::Failed(finding.to_string())))
}

/// Lets other tasks of a runtime have their turn.
async fn pause() {
    let mut paused = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut paused, true) {
            return std::task::Poll::Ready(());
        }
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

/// Reads from the start until an empty answer.
async fn everything(store: &impl Store) -> Result<Vec<EntryBytes>, Stop> {
    let mut all = Vec::new();
    loop {
        let part = ok("read", store.read(all.len() as u64, 100).await)?;
        if part.is_empty() {
            return Ok(all);
        }
        all.extend(part);
    }
}

async fn conflict<S: Store>(store: &S, batch: Batch, head: Head) -> Outcome {
    let before = everything(store).await?;
    match store.append(batch.clone()).await {
        Err(AppendError::Conflict { expected, actual }) => {
            same("the expected head of the conflict", &expected, &batch.expected())?;
            same("the actual head of the conflict", &actual, &head)?;
        }
        other => return Err(Stop::Failed(format!("wanted a conflict, and append gave {other:?}"))),
    }
    same("the head", &ok("head", store.head().await)?, &head)?;
    same("entries after a conflict", &everything(store).await?.len(), &before.len())
}

fn check_chain(read: &[EntryBytes]) -> Outcome {
    let mut head = Head::EMPTY;
    for (index, bytes) in read.iter().enumerate() {
        let entry = Entry::parse(bytes.clone())
            .map_err(|fault| Stop::Failed(format!("what is read at {index} is no entry: {fault}")))?;
        if (Head { size: entry.seq(), leaf: entry.prev() }) != head {
            return Err(Stop::Failed(format!("what is read at {index} does not follow what is before it")));
        }
        head = entry.head();
    }
    Ok(())
}

fn same_entries(read: &[EntryBytes], wanted: &[Entry]) -> Outcome {
    same("the number of entries", &read.len(), &wanted.len())?;
    match read.iter().zip(wanted).find(|(read, wanted)| read[..] != wanted.bytes()[..]) {
        Some((_, wanted)) => Err(Stop::Failed(format!("entry {} has other bytes", wanted.seq()))),
        None => Ok(()),
    }
}

fn same<T: PartialEq + Debug>(what: &str, found: &T, wanted: &T) -> Outcome {
    if found == wanted {
        return Ok(());
    }
    Err(Stop::Failed(format!("{what}: wanted {wanted:?}, found {found:?}")))
}

fn ok<T, E: Debug>(what: &str, result: Result<T, E>) -> Result<T, Stop> {
    result.map_err(|error| Stop::Failed(format!("{what} failed: {error:?}")))
}
