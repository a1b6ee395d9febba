//! Many at once: submitters, recorders, futures dropped anywhere, and stores that do not say what they did.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use countersign_core::digest::StatementDigest;
use countersign_core::entry::{Entry, Head};
use countersign_core::event::{AccessRequested, AccessWithdrawn};
use countersign_core::id::Role;
use countersign_core::statement::SignedStatement;
use countersign_ledger::testing::recorder;
use countersign_ledger::*;
use countersign_store::*;
use support::*;

/// The same test in both flavours of the runtime.
macro_rules! both {
    ($($name:ident)*) => {
        mod in_one_thread {
            $(#[tokio::test] async fn $name() { super::$name().await; })*
        }
        mod in_many_threads {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $name() { super::$name().await; })*
        }
    };
}

both! {
    sixty_four_submitters_make_one_chain_and_one_feed
    two_recorders_on_one_store_lose_nothing
    a_dropped_future_loses_nothing_and_repeats_nothing
    close_drains_what_was_submitted
    the_writer_ends_by_itself_when_all_handles_are_gone
}

fn spawn<S: Store>(
    ledger: &Ledger<S>,
    signed: SignedStatement,
) -> tokio::task::JoinHandle<Result<Receipt, SubmitError>> {
    let ledger = ledger.clone();
    tokio::spawn(async move { ledger.submit(signed).await })
}

async fn sixty_four_submitters_make_one_chain_and_one_feed() {
    let company = Company::in_memory().await;
    let ledger = company.founded.ledger.clone();
    let before = ledger.head();
    let mut feed = ledger.subscribe(Head::EMPTY);
    let reading = tokio::spawn(async move {
        let mut head = Head::EMPTY;
        let mut leaves = Vec::new();
        while leaves.len() as u64 != before.size + 640 {
            let entry = feed.next().await.unwrap().unwrap();
            assert_eq!(Head { size: entry.seq(), leaf: entry.prev() }, head);
            head = entry.head();
            leaves.push(entry.leaf());
        }
        leaves
    });
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let (ledger, alice) = (ledger.clone(), company.alice.clone());
            tokio::spawn(async move {
                let mut receipts = Vec::new();
                for _ in 0..10 {
                    let receipt = ledger.submit(alice.state(ask()).sign().unwrap()).await.unwrap();
                    assert!(ledger.current().head().size > receipt.seq);
                    receipts.push(receipt);
                }
                receipts
            })
        })
        .collect();
    let mut receipts = Vec::new();
    for task in tasks {
        receipts.extend(task.await.unwrap());
    }
    let leaves = reading.await.unwrap();
    let places: BTreeSet<u64> = receipts.iter().map(|receipt| receipt.seq).collect();
    assert_eq!(places, (before.size..before.size + 640).collect());
    assert!(receipts.iter().all(|receipt| leaves[receipt.seq as usize] == receipt.leaf));
    assert_recorded(&company.founded.store, &receipts).await;
}

async fn two_recorders_on_one_store_lose_nothing() {
    let company = Company::in_memory().await;
    let first = company.founded.ledger.clone();
    let second = Ledger::open(company.founded.store.clone(), recorder(&company.founded.clock)).await.unwrap();
    assert_eq!(second.head(), first.head());
    let tasks: Vec<_> = (0..40)
        .map(|index| {
            let ledger = if index % 2 == 0 { first.clone() } else { second.clone() };
            let alice = company.alice.clone();
            tokio::spawn(async move {
                let mut receipts = Vec::new();
                for _ in 0..5 {
                    receipts.push(ledger.submit(alice.state(ask()).sign().unwrap()).await.unwrap());
                    tokio::task::yield_now().await;
                }
                receipts
            })
        })
        .collect();
    let mut receipts = Vec::new();
    for task in tasks {
        receipts.extend(task.await.unwrap());
    }
    assert_recorded(&company.founded.store, &receipts).await;
    let size = company.founded.store.head_now().size;
    let (one, other) = (first.at_least(size).await.unwrap(), second.at_least(size).await.unwrap());
    assert_eq!((one.head(), one.root()), (other.head(), other.root()));
    assert_eq!(one.state().digest(), other.state().digest());
    // What one recorded, the other gives the same receipt for.
    let signed = company.alice.state(ask()).sign().unwrap();
    assert_eq!(first.submit(signed.clone()).await.unwrap(), second.submit(signed).await.unwrap());
    // The same key signs for both, and no size gets two roots.
    let (one, other) = (first.checkpoint().await.unwrap(), second.checkpoint().await.unwrap());
    assert_eq!(one.untrusted_text(), other.untrusted_text());
}

/// A recorder that does not look for entries of others before it has to.
fn patient<S: Store>(company: &Company<S>) -> Recorder {
    recorder(&company.founded.clock).poll_interval(Duration::from_secs(86_400))
}

#[tokio::test]
async fn a_statement_that_rests_on_another_recorders_entry_is_not_refused_for_lack_of_it() {
    let company = Company::in_store(Told::new(), |recorder| recorder).await;
    let founded = &company.founded;
    // Never hears of anything by itself.
    let second = Ledger::open(deaf(founded.store.clone()), patient(&company)).await.unwrap();
    let request = company.request().await;
    let approval = company.approval(request.statement);
    assert_eq!(second.head().size, request.seq);
    let receipt = second.submit(approval).await.unwrap();
    assert_eq!(receipt.seq, request.seq + 1);
    // And one by a key that it has not heard of.
    let eve = {
        let first = Ledger::open(founded.store.clone(), patient(&company)).await.unwrap();
        let alice_again = Author::new(
            company.alice.principal().clone(),
            testing::key("alice's second"),
            first.ledger_id().unwrap(),
        )
        .clock(founded.clock.clone());
        let enrolled = countersign_core::event::KeyEnrolled {
            enrolment: countersign_core::event::Enrolment::Further,
            key: alice_again.key_bytes(),
            principal: company.alice.principal().clone(),
        };
        let signed = company.alice.state(enrolled).proved_by([&alice_again]).sign().unwrap();
        first.submit(signed).await.unwrap();
        alice_again
    };
    second.submit(eve.state(ask()).sign().unwrap()).await.unwrap();
}

/// Polls a future at most `polls` times, letting other tasks have their turn in between, then drops it.
async fn poll_and_drop<T>(future: impl Future<Output = T>, polls: usize) -> Option<T> {
    let mut future = pin!(future);
    for _ in 0..polls {
        let polled = std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
        if let Poll::Ready(done) = polled {
            return Some(done);
        }
        tokio::task::yield_now().await;
    }
    None
}

async fn a_dropped_future_loses_nothing_and_repeats_nothing() {
    let told = Told::new();
    let company = Company::in_store(told.clone(), |recorder| recorder).await;
    let ledger = company.founded.ledger.clone();
    let mut statements = Vec::new();
    let mut answered = 0;
    // A fixed sequence that looks like chance.
    let mut chance = 1_u32;
    for _ in 0..200 {
        chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let signed = company.alice.state(ask()).sign().unwrap();
        statements.push(signed.clone());
        let polls = (chance >> 24) as usize % 12;
        answered += usize::from(poll_and_drop(ledger.submit(signed), polls).await.is_some());
        // The others that can be dropped: what they do for the next caller is tested by all that follows.
        let size = ledger.head().size;
        poll_and_drop(ledger.at_least(size + 5), polls % 3).await;
        if chance.is_multiple_of(16) {
            poll_and_drop(ledger.checkpoint(), polls).await;
        }
    }
    assert!(answered < 200);
    let mut receipts = Vec::new();
    for signed in &statements {
        receipts.push(ledger.submit(signed.clone()).await.unwrap());
    }
    assert_recorded(told.kept(), &receipts).await;
    let places: BTreeSet<u64> = receipts.iter().map(|receipt| receipt.seq).collect();
    assert_eq!(places.len(), 200);
    assert_eq!(ledger.head(), told.kept().head_now());
    // A feed whose futures are dropped skips nothing.
    let mut feed = ledger.subscribe(Head::EMPTY);
    let mut read = 0;
    for polls in (0..4).cycle() {
        if let Some(entry) = poll_and_drop(feed.next(), polls).await {
            assert_eq!(entry.unwrap().unwrap().seq(), read);
            read += 1;
        }
        if read == ledger.head().size {
            break;
        }
    }
    // And a ledger whose first closer went away can be closed by another.
    poll_and_drop(ledger.close(), 1).await;
    let refused = ledger.submit(company.alice.state(ask()).sign().unwrap()).await;
    assert!(matches!(refused, Err(SubmitError::Closed)), "{refused:?}");
    ledger.close().await.unwrap();
}

async fn close_drains_what_was_submitted() {
    let told = Told::new();
    let company = Company::in_store(told.clone(), |recorder| recorder).await;
    let ledger = company.founded.ledger.clone();
    told.hold();
    let tasks: Vec<_> = (0..20).map(|_| spawn(&ledger, company.alice.state(ask()).sign().unwrap())).collect();
    while !format!("{ledger:?}").contains("waiting: 20") {
        tokio::task::yield_now().await;
    }
    let mut feed = ledger.subscribe(ledger.head());
    let closing = tokio::spawn({
        let ledger = ledger.clone();
        async move { ledger.close().await.unwrap() }
    });
    while !format!("{ledger:?}").contains("closing: true") {
        tokio::task::yield_now().await;
    }
    let late = ledger.submit(company.alice.state(ask()).sign().unwrap()).await;
    assert!(matches!(late, Err(SubmitError::Closed)), "{late:?}");
    assert!(!closing.is_finished());
    told.release();
    let mut receipts = Vec::new();
    for task in tasks {
        receipts.push(task.await.unwrap().unwrap());
    }
    let note = closing.await.unwrap();
    assert_recorded(told.kept(), &receipts).await;
    // The last checkpoint is over everything, is kept, and stays the last.
    let size = ledger.head().size;
    assert!(note.untrusted_text().contains(&format!("\n{size}\n")), "{note}");
    assert_eq!(told.kept().checkpoint_now().unwrap()[..], *note.to_string().as_bytes());
    assert_eq!(ledger.close().await.unwrap(), note);
    for _ in 0..20 {
        feed.next().await.unwrap().unwrap();
    }
    assert!(feed.next().await.is_none());
    assert_eq!(ledger.at_least(size + 1).await.unwrap_err(), Ended { size });
    // Another recorder can take over.
    let again = Ledger::open(told.clone(), recorder(&company.founded.clock)).await.unwrap();
    again.submit(company.alice.state(ask()).sign().unwrap()).await.unwrap();
}

async fn the_writer_ends_by_itself_when_all_handles_are_gone() {
    let told = Told::new();
    let company = Company::in_store(told.clone(), |recorder| recorder).await;
    let ledger = company.founded.ledger.clone();
    let mut feed = ledger.subscribe(ledger.head());
    told.hold();
    let signed = company.alice.state(ask()).sign().unwrap();
    poll_and_drop(ledger.submit(signed.clone()), 1).await;
    drop(ledger);
    let Company { founded, .. } = company;
    drop(founded);
    told.release();
    let entry = feed.next().await.unwrap().unwrap();
    assert_eq!(entry.signed().digest(), signed.digest());
    assert!(feed.next().await.is_none());
    assert!(told.kept().checkpoint_now().is_some());
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_is_settled_by_trying_the_same_again() {
    // What the store does, and how many entries are recorded then.
    let cases: [&[Act]; 6] = [
        &[Act::UnknownStored],
        &[Act::UnknownLost],
        &[Act::UnknownCut],
        &[Act::UnknownStored, Act::UnknownStored, Act::UnknownLost, Act::Fail],
        &[Act::UnknownLost, Act::Fail, Act::Fail, Act::UnknownLost, Act::UnknownCut],
        &[Act::UnknownLate],
    ];
    for acts in cases {
        let told = Told::new();
        let company = Company::in_store(told.clone(), |recorder| recorder).await;
        let ledger = company.founded.ledger.clone();
        let before = ledger.head().size;
        told.act(acts);
        let signed: Vec<_> = (0..3).map(|_| company.alice.state(ask()).sign().unwrap()).collect();
        let tasks: Vec<_> = signed.iter().map(|signed| spawn(&ledger, signed.clone())).collect();
        let mut receipts = Vec::new();
        for task in tasks {
            receipts.push(task.await.unwrap().unwrap());
        }
        told.land().await;
        assert_eq!(told.kept().head_now().size, before + 3, "acts: {acts:?}");
        assert_recorded(told.kept(), &receipts).await;
        for (signed, receipt) in signed.iter().zip(&receipts) {
            assert_eq!(ledger.submit(signed.clone()).await.unwrap(), *receipt, "acts: {acts:?}");
        }
    }
}

// The second submission got the plain failure of its own append, documented as "not recorded", while the first one was on its way.
#[tokio::test(start_paused = true)]
async fn nobody_is_told_not_recorded_of_a_statement_that_may_stand() {
    let told = Told::new();
    let company = Company::in_store(told.clone(), |recorder| recorder).await;
    let ledger = company.founded.ledger.clone();
    told.act(&[Act::UnknownLate, Act::Fail, Act::Fail, Act::Fail, Act::Fail, Act::Fail, Act::Fail]);
    let (signed, other) =
        (company.alice.state(ask()).sign().unwrap(), company.alice.state(ask()).sign().unwrap());
    for attempt in 0..2 {
        let outcome = ledger.submit(signed.clone()).await;
        assert!(matches!(outcome, Err(SubmitError::OutcomeUnknown { .. })), "attempt {attempt}: {outcome:?}");
    }
    told.act(&[Act::Fail]);
    let outcome = ledger.submit(other).await;
    assert!(matches!(outcome, Err(SubmitError::Store(_))), "of another one it is known: {outcome:?}");
    assert_eq!(told.land().await, 1);
    let receipt = ledger.submit(signed).await.unwrap();
    assert_recorded(told.kept(), &[receipt]).await;
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_stays_unknown_is_said_to_be_and_the_same_statement_settles_it() {
    for (first, lands) in [
        (Act::UnknownStored, false),
        (Act::UnknownLost, false),
        (Act::UnknownLate, false),
        (Act::UnknownLate, true),
    ] {
        let told = Told::new();
        let company = Company::in_store(told.clone(), |recorder| recorder).await;
        let ledger = company.founded.ledger.clone();
        let before = ledger.head().size;
        let mut acts = vec![first];
        acts.extend([Act::UnknownLost; 5]);
        told.act(&acts);
        let signed = company.alice.state(ask()).sign().unwrap();
        let outcome = ledger.submit(signed.clone()).await;
        assert!(
            matches!(outcome, Err(SubmitError::OutcomeUnknown { digest }) if digest == signed.digest()),
            "{first:?}: {outcome:?}"
        );
        assert_eq!(ledger.head().size, before, "{first:?}: nothing is shown that may not stand");
        if lands {
            assert_eq!(told.land().await, 1);
        }
        // Sealed at another time it is another entry, so that the straggler can not pass for it.
        company.founded.clock.advance(Duration::from_secs(1));
        let receipt = ledger.submit(signed.clone()).await.unwrap();
        assert_eq!(receipt.seq, before, "{first:?}");
        // A straggler finds its place taken.
        assert_eq!(told.land().await, 0, "{first:?}");
        let next = company.request().await;
        assert_eq!(next.seq, before + 1);
        assert_recorded(told.kept(), &[receipt, next]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn all_who_submitted_the_same_statement_hear_the_same_of_it() {
    let told = Told::new();
    let company = Company::in_store(told.clone(), |recorder| recorder).await;
    let ledger = company.founded.ledger.clone();
    told.hold();
    let mut acts = vec![Act::Work];
    acts.extend([Act::UnknownLost; 100]);
    told.act(&acts);
    let appends = told.appends();
    let blocker = spawn(&ledger, company.alice.state(ask()).sign().unwrap());
    while told.appends() == appends {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let signed = company.alice.state(ask()).sign().unwrap();
    let tasks = [signed.clone(), signed.clone(), signed].map(|signed| spawn(&ledger, signed));
    while !format!("{ledger:?}").contains("waiting: 4") {
        tokio::task::yield_now().await;
    }
    // Long enough for the signatures: they are verified elsewhere.
    std::thread::sleep(Duration::from_millis(100));
    told.release();
    blocker.await.unwrap().unwrap();
    for task in tasks {
        let outcome = task.await.unwrap();
        assert!(matches!(outcome, Err(SubmitError::OutcomeUnknown { .. })), "{outcome:?}");
    }
}

// Each of six attempts waited for a server that was away, and their author for all of them.
#[tokio::test(start_paused = true)]
async fn who_waits_for_a_store_that_is_away_is_told_in_time_that_nobody_knows() {
    let told = Told::new();
    let company = Company::in_store(told.clone(), |recorder| recorder).await;
    let ledger = company.founded.ledger.clone();
    let (before, appends) = (ledger.head().size, told.appends());
    let short = RETRY_FOR / 2;
    told.act(&[Act::UnknownAfter(short), Act::FailAfter(short), Act::FailAfter(short)]);
    let signed = company.alice.state(ask()).sign().unwrap();
    let outcome = ledger.submit(signed.clone()).await;
    assert!(matches!(outcome, Err(SubmitError::OutcomeUnknown { .. })), "{outcome:?}");
    assert_eq!(told.appends() - appends, 2, "no attempt begins after {RETRY_FOR:?}");
    told.act(&[]);
    let receipt = ledger.submit(signed).await.unwrap();
    assert_eq!(receipt.seq, before, "it was recorded by the first");
    assert_recorded(told.kept(), &[receipt]).await;
}

// Who waited behind a batch that failed waited as long again, once for each batch in front.
#[tokio::test(start_paused = true)]
async fn what_fails_after_long_fails_for_all_who_wait_and_what_fails_at_once_does_not() {
    for (time, recorded) in [(RETRY_FOR, 0), (Duration::ZERO, 4)] {
        let told = Told::new();
        let company = Company::in_store(told.clone(), |recorder| recorder.batch(1)).await;
        let ledger = company.founded.ledger.clone();
        told.hold();
        told.act(&[Act::FailAfter(time)]);
        let (before, appends) = (ledger.head().size, told.appends());
        let submit = || spawn(&ledger, company.alice.state(ask()).sign().unwrap());
        let first = submit();
        while told.appends() == appends {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let others: Vec<_> = (0..4).map(|_| submit()).collect();
        while !format!("{ledger:?}").contains("waiting: 5") {
            tokio::task::yield_now().await;
        }
        // Long enough for the signatures: they are verified elsewhere.
        std::thread::sleep(Duration::from_millis(100));
        told.release();
        let failed = first.await.unwrap();
        assert!(matches!(failed, Err(SubmitError::Store(_))), "{time:?}: {failed:?}");
        for other in others {
            let outcome = other.await.unwrap();
            assert_eq!(outcome.is_ok(), recorded > 0, "{time:?}: {outcome:?}");
            assert!(matches!(outcome, Ok(_) | Err(SubmitError::Store(_))), "{time:?}: {outcome:?}");
        }
        assert_eq!(told.appends() - appends, 1 + recorded, "{time:?}");
        // It goes on where the store does.
        assert_eq!(company.request().await.seq, before + recorded);
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_still_land_is_not_refused_before_that_is_settled() {
    let told = Told::new();
    let company = Company::in_store(told.clone(), |recorder| recorder).await;
    let ledger = company.founded.ledger.clone();
    told.act(&[
        Act::UnknownLate,
        Act::UnknownLost,
        Act::UnknownLost,
        Act::UnknownLost,
        Act::UnknownLost,
        Act::UnknownLost,
    ]);
    let signed = company.alice.state(ask()).sign().unwrap();
    assert!(matches!(ledger.submit(signed.clone()).await, Err(SubmitError::OutcomeUnknown { .. })));
    // By now the rules would refuse it as too old, but the first attempt is still under way.
    company.founded.clock.advance(Duration::from_secs(2 * 3_600));
    let again = ledger.submit(signed.clone()).await;
    assert!(matches!(again, Err(SubmitError::OutcomeUnknown { .. })), "{again:?}");
    // Something else takes the place; then the verdict is final.
    company.request().await;
    assert_eq!(told.land().await, 0);
    let verdict = ledger.submit(signed.clone()).await;
    assert!(
        matches!(&verdict, Err(SubmitError::Refused(refusal)) if refusal.code.as_str() == "backdated"),
        "{verdict:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_records_nothing_and_says_so() {
    let told = Told::new();
    let company = Company::in_store(told.clone(), |recorder| recorder).await;
    let ledger = company.founded.ledger.clone();
    let before = ledger.head();
    told.act(&[Act::Fail]);
    let signed = company.alice.state(ask()).sign().unwrap();
    let outcome = ledger.submit(signed.clone()).await;
    assert!(matches!(outcome, Err(SubmitError::Store(_))), "{outcome:?}");
    assert_eq!(ledger.head(), before);
    assert_eq!(ledger.submit(signed).await.unwrap().seq, before.size);
}

/// A statement of Alice under a serial.
fn asked(company: &Company<Told>, serial: u64, role: &str) -> SignedStatement {
    let asked = AccessRequested { role: Role::new(role).unwrap(), ..ask() };
    company.alice.clone().after_serial(serial - 1).state(asked).sign().unwrap()
}

#[tokio::test]
async fn what_comes_while_the_store_is_busy_is_judged_then_and_seen_by_nobody_before() {
    let store = Told::new();
    let company = Company::in_store(store.clone(), |recorder| recorder).await;
    let ledger = &company.founded.ledger;
    let (size, before) = (ledger.head().size, store.appends());
    store.hold();
    let first = tokio::spawn(submitting(ledger, asked(&company, 101, "reader")));
    while store.appends() == before {
        tokio::task::yield_now().await;
    }
    // Refused in view of the first, which is not durable yet.
    let again = tokio::spawn(submitting(ledger, asked(&company, 101, "writer")));
    let second = tokio::spawn(submitting(ledger, asked(&company, 102, "reader")));
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert!(!first.is_finished() && !second.is_finished() && !again.is_finished());
    assert_eq!((ledger.head().size, store.appends()), (size, before + 1));
    store.release();
    assert_eq!(first.await.unwrap().unwrap().seq, size);
    assert_eq!(second.await.unwrap().unwrap().seq, size + 1);
    let error = again.await.unwrap().unwrap_err();
    assert!(matches!(error, SubmitError::SerialReused(_)), "{error:?}");
    assert_eq!(store.appends(), before + 2);
}

#[tokio::test]
async fn what_was_judged_on_top_of_a_batch_that_is_not_stored_is_judged_again() {
    for (act, is_unknown) in [(Act::Fail, false), (Act::UnknownLost, true)] {
        let store = Told::new();
        let company = Company::in_store(store.clone(), |recorder| recorder).await;
        let ledger = &company.founded.ledger;
        let (size, before) = (ledger.head().size, store.appends());
        store.act(&vec![act; if is_unknown { 6 } else { 1 }]);
        store.hold();
        let first = tokio::spawn(submitting(ledger, asked(&company, 101, "reader")));
        while store.appends() == before {
            tokio::task::yield_now().await;
        }
        // Under the serial of the first: refused on top of it, and not without it.
        let second = tokio::spawn(submitting(ledger, asked(&company, 101, "writer")));
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        store.release();
        let error = first.await.unwrap().unwrap_err();
        match error {
            SubmitError::Store(_) => assert!(!is_unknown),
            SubmitError::OutcomeUnknown { .. } => assert!(is_unknown),
            other => panic!("{other:?}"),
        }
        assert_eq!(second.await.unwrap().unwrap().seq, size, "{act:?}");
        assert_recorded(store.kept(), &[]).await;
    }
}

#[tokio::test]
async fn f03_a_poisoned_store_is_not_tried_again_and_has_to_be_opened_anew() {
    for (acts, is_unknown) in [(vec![Act::UnknownStored, Act::Poisoned], true), (vec![Act::Poisoned], false)]
    {
        let store = Told::new();
        let company = Company::in_store(store.clone(), |recorder| recorder).await;
        let ledger = &company.founded.ledger;
        let before = store.appends();
        store.act(&acts);
        let statement = asked(&company, 101, "reader");
        assert!(!ledger.must_reopen());
        let error = ledger.submit(statement.clone()).await.unwrap_err();
        match error {
            SubmitError::OutcomeUnknown { .. } => assert!(is_unknown),
            SubmitError::MustReopen => assert!(!is_unknown),
            other => panic!("{other:?}"),
        }
        assert!(ledger.must_reopen());
        assert_eq!(store.appends() - before, acts.len() as u64);
        let error = ledger.submit(asked(&company, 102, "reader")).await.unwrap_err();
        assert!(matches!(error, SubmitError::MustReopen), "{error:?}");
        assert_eq!(store.appends() - before, acts.len() as u64, "nothing more reaches the store");
        // What it was is settled by opening: the same statement has been recorded, or is now.
        let again = countersign_ledger::testing::recorder(&company.founded.clock);
        let again = Ledger::open(store.kept().clone(), again).await.unwrap();
        let head = again.head();
        let receipt = again.submit(statement).await.unwrap();
        assert_eq!(receipt.head().size <= head.size, is_unknown);
    }
}

fn submitting(
    ledger: &Ledger<Told>,
    statement: SignedStatement,
) -> impl Future<Output = Result<Receipt, SubmitError>> + 'static {
    let ledger = ledger.clone();
    async move { ledger.submit(statement).await }
}

fn withdrawal(statement: StatementDigest) -> AccessWithdrawn {
    AccessWithdrawn { reason: None, statement }
}

/// Gives up where nothing more happens: time stands still as long as anything does.
async fn in_the_end<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(3_600), future).await.expect("it waits for ever")
}

// The refusal came out of a view that was the newest when the append was made, and no longer when it was judged.
#[tokio::test]
async fn a_refusal_is_not_final_on_a_state_that_another_recorder_has_left() {
    let store = Told::new();
    let company =
        Company::in_store(store.clone(), |recorder| recorder.poll_interval(Duration::from_secs(86_400)))
            .await;
    let ledger = Ledger::open(deaf(store.clone()), patient(&company)).await.unwrap();
    company.founded.ledger.close().await.unwrap();
    let other = Ledger::open(store.kept().clone(), patient(&company)).await.unwrap();
    let [first, request] = [(); 2].map(|()| company.alice.state(ask()).sign().unwrap());
    let withdrawn = withdrawal(request.digest());
    let withdrawn = company.alice.state(withdrawn).sign().unwrap();
    store.after_append(async move {
        other.submit(request).await.unwrap();
    });
    store.hold();
    let before = store.appends();
    let first = spawn(&ledger, first);
    while store.appends() == before {
        tokio::task::yield_now().await;
    }
    let withdrawn = spawn(&ledger, withdrawn);
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    store.release();
    let first = first.await.unwrap().unwrap();
    let withdrawn = withdrawn.await.unwrap().unwrap();
    assert_eq!(withdrawn.seq, first.seq + 2);
}

#[tokio::test]
async fn beside_another_recorder_closing_follows_first_and_then_signs_and_writes() {
    let store = Shelf::default();
    let company = Company::in_store(store.clone(), |recorder| recorder.checkpoint_interval(None)).await;
    let open = async || {
        let patient = patient(&company).checkpoint_interval(None);
        Ledger::open(deaf(store.clone()), patient).await.unwrap()
    };
    let (closed, written) = (open().await, open().await);
    let receipt = company.request().await;
    company.founded.ledger.checkpoint().await.unwrap();
    assert_eq!((closed.head().size, written.head().size), (receipt.seq, receipt.seq));
    // Asked for snapshots, a ledger does the same.
    assert_eq!(written.snapshot().await.unwrap(), receipt.head().size);
    let receipt = company.request().await;
    company.founded.ledger.checkpoint().await.unwrap();
    let note = closed.close().await.unwrap();
    let size = receipt.head().size;
    assert!(note.untrusted_text().contains(&format!("\n{size}\n")), "{note}");
    assert_eq!(store.sets().pop().unwrap().size, size);
}

#[tokio::test(start_paused = true)]
async fn where_the_writer_ends_by_a_panic_nobody_waits_for_it() {
    let store = Told::new();
    let company = Company::in_store(store.clone(), |recorder| recorder).await;
    let ledger = &company.founded.ledger;
    let mut feed = ledger.subscribe(ledger.head());
    store.act(&[Act::Panic]);
    let signed = company.alice.state(ask()).sign().unwrap();
    let outcome = in_the_end(ledger.submit(signed)).await;
    assert!(matches!(outcome, Err(SubmitError::OutcomeUnknown { .. })), "{outcome:?}");
    let size = ledger.head().size;
    assert_eq!(in_the_end(ledger.at_least(size + 1)).await.unwrap_err(), Ended { size });
    assert!(in_the_end(feed.next()).await.is_none());
    in_the_end(ledger.close()).await.unwrap();
}

/// Another recorder's entries: one that the rules do not admit, and `signed` behind it.
fn behind_what_can_not_be_followed(
    company: &Company<Told>,
    signed: &SignedStatement,
) -> impl Future<Output = ()> + Send + 'static {
    let kept = company.founded.store.kept().clone();
    // A bot asks to withdraw what is not there.
    let nothing = withdrawal(signed.digest());
    let bad = company.bot.state(nothing).sign().unwrap();
    let (signed, at) = (signed.clone(), company.founded.clock.wall());
    async move {
        let head = kept.head_now();
        let bad = Entry::seal(head, at, &bad).unwrap();
        let good = Entry::seal(bad.head(), at, &signed).unwrap();
        kept.append(Batch::new(vec![bad, good]).unwrap()).await.unwrap();
    }
}

// The answer waited for a view that could not come, with its place, so that the ledger could not be closed either.
#[tokio::test(start_paused = true)]
async fn who_submits_what_stands_behind_an_entry_that_can_not_be_followed_hears_that_it_is_not_known() {
    let refused = |company: &Company<Told>| {
        let nothing = withdrawal(company.founded.ledger.ledger_id().unwrap().genesis());
        company.alice.state(nothing).sign().unwrap()
    };
    // Told by the store that there is more, it finds out.
    let store = Told::new();
    let company = Company::in_store(store.clone(), |recorder| recorder).await;
    let ledger = &company.founded.ledger;
    let signed = refused(&company);
    store.before_find(behind_what_can_not_be_followed(&company, &signed));
    let outcome = in_the_end(ledger.submit(signed)).await;
    assert!(matches!(outcome, Err(SubmitError::OutcomeUnknown { .. })), "{outcome:?}");
    assert!(matches!(ledger.failure(), Some(ReplayError::Entry { .. })), "{:?}", ledger.failure());
    let size = ledger.head().size;
    assert_eq!(in_the_end(ledger.at_least(size + 1)).await.unwrap_err(), Ended { size });

    // Told nothing, it is closed all the same.
    let store = Told::new();
    let company = Company::in_store(store.clone(), |recorder| recorder).await;
    let ledger = Ledger::open(deaf(store.clone()), patient(&company)).await.unwrap();
    company.founded.ledger.close().await.unwrap();
    let signed = refused(&company);
    let (looked, looking) = tokio::sync::oneshot::channel();
    let happening = behind_what_can_not_be_followed(&company, &signed);
    store.before_find(async move {
        happening.await;
        looked.send(()).unwrap();
    });
    let waiting = spawn(&ledger, signed);
    looking.await.unwrap();
    // It looks by itself once a day only.
    in_the_end(ledger.close()).await.unwrap();
    let outcome = in_the_end(waiting).await.unwrap();
    assert!(matches!(outcome, Err(SubmitError::OutcomeUnknown { .. })), "{outcome:?}");
}
