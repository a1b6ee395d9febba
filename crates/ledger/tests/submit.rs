//! Submitting: receipts, refusals by type, the same statement again, and what is visible when.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use countersign_core::event::*;
use countersign_core::statement::SignedStatement;
use countersign_core::time::Timestamp;
use countersign_ledger::testing::{Founded, genesis, key, recorder};
use countersign_ledger::*;
use countersign_projection::governance::{Answer, DenyReason, RefusalCode};
use countersign_store::*;
use support::*;

fn code<T: std::fmt::Debug>(result: Result<T, SubmitError>) -> RefusalCode {
    match result.unwrap_err() {
        SubmitError::Refused(refusal) => refusal.code,
        other => panic!("wanted a refusal, got {other:?}"),
    }
}

#[tokio::test]
async fn from_genesis_to_a_grant_and_its_end() {
    let company = Company::in_memory().await;
    let ledger = &company.founded.ledger;
    let before = check(ledger, |check| check).unwrap();
    assert_eq!(before.answer, Answer::Denied { reason: DenyReason::NoGrant });
    let request = company.request().await;
    let approval = company.approve(request.statement).await;
    let view = ledger.current();
    assert_eq!(view.head(), approval.head(), "a view after a receipt includes what it is for");
    let event = view.state().propose_grant(&request.statement, start()).unwrap();
    let grant = ledger.submit(company.iam.state(event).sign().unwrap()).await.unwrap();
    let allowed = check(ledger, |check| check.min_seq(grant.seq)).unwrap();
    assert!(allowed.is_allowed() && allowed.head == grant.head() && allowed.at == start());
    let revoked = AccessRevoked { grant: grant.statement, reason: text("no longer needed") };
    let revocation = ledger.submit(company.olga.state(revoked).sign().unwrap()).await.unwrap();
    assert!(!check(ledger, |check| check.min_seq(revocation.seq)).unwrap().is_allowed());
    assert_recorded(&company.founded.store, &[request, approval, grant, revocation]).await;
    assert_eq!(
        [request.seq, approval.seq, grant.seq, revocation.seq],
        [request.seq, request.seq + 1, request.seq + 2, request.seq + 3]
    );
    assert_eq!(grant.durability, Durability::Volatile);
}

#[tokio::test]
async fn refusals_have_types() {
    let company = Company::in_memory().await;
    let ledger = &company.founded.ledger;
    let size = ledger.head().size;

    let request = company.alice.state(AccessRequested { tier: Tier::Low, ..ask() }).sign().unwrap();
    assert_eq!(code(ledger.submit(request).await), RefusalCode::TierMismatch);

    let mut statement = company.alice.state(ask()).statement();
    statement.serial = 0;
    let fresh = statement.clone().sign(&key("user:alice")).unwrap();
    ledger.submit(fresh).await.unwrap();
    statement.issued_at = start().plus_seconds(1).unwrap();
    let reused = ledger.submit(statement.sign(&key("user:alice")).unwrap()).await.unwrap_err();
    assert!(
        matches!(&reused, SubmitError::SerialReused(refusal) if refusal.code == RefusalCode::Serial),
        "{reused:?}"
    );

    let mut statement = company.alice.state(ask()).statement();
    statement.ledger =
        countersign_core::id::LedgerRef::Id(format!("other/{}", "0".repeat(64)).parse().unwrap());
    assert_eq!(code(ledger.submit(statement.sign(&key("user:alice")).unwrap()).await), RefusalCode::LedgerId);

    // By the right name, with a key that nobody enrolled.
    let mut statement = company.alice.state(ask()).statement();
    statement.key = countersign_core::key::SignerKey::public_key(&key("stranger")).key_id();
    let stranger = ledger.submit(statement.sign(&key("stranger")).unwrap()).await.unwrap_err();
    assert!(
        matches!(&stranger, SubmitError::Refused(refusal) if refusal.code == RefusalCode::UnknownKey)
            || matches!(&stranger, SubmitError::Malformed(fault) if fault.code.as_str() == "unknown_key"),
        "{stranger:?}"
    );

    // Somebody else's signature under Alice's key id.
    let signed = company.alice.state(ask()).sign().unwrap();
    let forged = forge(&signed);
    let error = ledger.submit(forged).await.unwrap_err();
    assert!(
        matches!(&error, SubmitError::Malformed(fault) if fault.code.as_str() == "signature"),
        "{error:?}"
    );

    let unsigned = company.alice.state(ask()).statement().prepare().unwrap();
    let error = ledger.submit(unsigned).await.unwrap_err();
    assert!(
        matches!(&error, SubmitError::Malformed(fault) if fault.code.as_str() == "unsigned")
            || matches!(&error, SubmitError::Refused(refusal) if refusal.code == RefusalCode::SignerSet),
        "{error:?}"
    );

    assert_eq!(ledger.head().size, size + 1, "nothing that was refused is recorded");
    ledger.close().await.unwrap();
    let closed = ledger.submit(company.alice.state(ask()).sign().unwrap()).await;
    assert!(matches!(closed, Err(SubmitError::Closed)));
}

/// The same statement, with a byte of the first signature turned.
fn forge(signed: &SignedStatement) -> SignedStatement {
    let mut bytes = signed.to_bytes();
    let at = bytes.windows(6).position(|window| window == b"\"sig\":").unwrap() + 7;
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    SignedStatement::parse(&bytes).unwrap()
}

#[tokio::test]
async fn the_same_statement_again_gets_the_first_receipt() {
    let company = Company::in_memory().await;
    let ledger = &company.founded.ledger;
    let signed = company.alice.state(ask()).sign().unwrap();
    let first = ledger.submit(signed.clone()).await.unwrap();
    for _ in 0..1_100 {
        // Until the serial has long left the window.
        company.founded.clock.advance(Duration::from_millis(1));
        company.request().await;
    }
    let size = ledger.head().size;
    assert_eq!(ledger.submit(signed.clone()).await.unwrap(), first);
    company.founded.clock.advance(Duration::from_secs(90 * 86_400));
    assert_eq!(ledger.submit(signed.clone()).await.unwrap(), first, "however late");
    let error = ledger.submit(forge(&signed)).await.unwrap_err();
    assert!(matches!(error, SubmitError::Malformed(_)), "a wrong signature gets no receipt: {error:?}");
    assert_eq!(ledger.head().size, size);
}

#[tokio::test]
async fn the_same_bytes_under_other_valid_signatures_get_the_first_receipt() {
    let founded = Founded::in_memory().await.unwrap();
    let [ada, ben] = &founded.governors;
    let frozen = ada.state(LedgerFrozen { reason: text("a drill") }).sign().unwrap();
    let first = founded.ledger.submit(frozen.clone()).await.unwrap();
    let mut with_more = frozen.clone();
    ben.cosign(&mut with_more).unwrap();
    assert_ne!(with_more.to_bytes(), frozen.to_bytes());
    assert_eq!(founded.ledger.submit(with_more).await.unwrap(), first);
    // Genesis is of the same kind, though a later one is refused for other reasons than its serial.
    let (genesis, _) = genesis("acme", &founded.clock);
    let receipt = founded.ledger.submit(genesis.clone()).await.unwrap();
    assert_eq!(receipt.seq, 0);
    let (again, receipt) =
        Ledger::create(founded.store.clone(), recorder(&founded.clock), genesis).await.unwrap();
    assert_eq!((receipt.seq, again.head()), (0, first.head()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_with_the_same_statement_make_one_entry() {
    let company = Company::in_memory().await;
    let ledger = company.founded.ledger.clone();
    let signed = company.alice.state(ask()).sign().unwrap();
    let tasks: Vec<_> = (0..32)
        .map(|_| {
            let (ledger, signed) = (ledger.clone(), signed.clone());
            tokio::spawn(async move { ledger.submit(signed).await.unwrap() })
        })
        .collect();
    let size = ledger.head().size;
    let mut receipts = Vec::new();
    for task in tasks {
        receipts.push(task.await.unwrap());
    }
    assert!(receipts.iter().all(|receipt| *receipt == receipts[0]));
    assert_eq!(ledger.head().size.max(size), receipts[0].seq + 1);
}

#[tokio::test]
async fn of_two_statements_with_one_serial_in_a_batch_one_is_recorded() {
    let told = Told::new();
    let company = Company::in_store(told.clone(), |recorder| recorder).await;
    let ledger = company.founded.ledger.clone();
    let one = company.alice.state(ask()).statement();
    let mut other = one.clone();
    other.issued_at = start().plus_seconds(1).unwrap();
    told.hold();
    let blocker = spawn(&ledger, company.alice.state(ask()).sign().unwrap());
    until(|| told.appends() > 0 && !told.batches().is_empty()).await;
    let tasks = [one, other].map(|statement| spawn(&ledger, statement.sign(&key("user:alice")).unwrap()));
    until(|| format!("{ledger:?}").contains("waiting: 3")).await;
    told.release();
    blocker.await.unwrap().unwrap();
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.unwrap());
    }
    let recorded = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let reused =
        outcomes.iter().filter(|outcome| matches!(outcome, Err(SubmitError::SerialReused(_)))).count();
    assert_eq!((recorded, reused), (1, 1), "{outcomes:?}");
}

fn spawn<S: Store>(
    ledger: &Ledger<S>,
    signed: SignedStatement,
) -> tokio::task::JoinHandle<Result<Receipt, SubmitError>> {
    let ledger = ledger.clone();
    tokio::spawn(async move { ledger.submit(signed).await })
}

async fn until(mut condition: impl FnMut() -> bool) {
    for _ in 0..10_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("what was waited for did not come");
}

#[tokio::test]
async fn nothing_is_visible_or_answered_before_the_store_has_acknowledged() {
    let told = Told::new();
    let company = Company::in_store(told.clone(), |recorder| recorder).await;
    let ledger = company.founded.ledger.clone();
    let before = ledger.head();
    let mut feed = ledger.subscribe(before);
    told.hold();
    let task = spawn(&ledger, company.alice.state(ask()).sign().unwrap());
    let appends = told.appends();
    until(|| told.appends() > appends || told.batches().len() as u64 > appends).await;
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert_eq!(ledger.head(), before);
    assert!(!task.is_finished());
    assert!(tokio::time::timeout(Duration::from_millis(20), feed.next()).await.is_err());
    told.release();
    let receipt = task.await.unwrap().unwrap();
    assert_eq!(ledger.head(), receipt.head());
    assert_eq!(feed.next().await.unwrap().unwrap().leaf(), receipt.leaf);
}

#[tokio::test]
async fn statements_that_wait_together_are_appended_together_and_too_many_are_busy() {
    let told = Told::new();
    let company = Company::in_store(told.clone(), |recorder| recorder.queue(10)).await;
    let ledger = company.founded.ledger.clone();
    told.hold();
    let appends = told.batches().len();
    let first = spawn(&ledger, company.alice.state(ask()).sign().unwrap());
    until(|| told.batches().len() > appends).await;
    let rest: Vec<_> = (0..9).map(|_| spawn(&ledger, company.alice.state(ask()).sign().unwrap())).collect();
    until(|| format!("{ledger:?}").contains("waiting: 10")).await;
    // One more than the bound.
    let busy = ledger.submit(company.alice.state(ask()).sign().unwrap()).await;
    assert!(matches!(busy, Err(SubmitError::Busy)), "{busy:?}");
    tokio::time::sleep(Duration::from_millis(50)).await;
    told.release();
    first.await.unwrap().unwrap();
    for task in rest {
        task.await.unwrap().unwrap();
    }
    assert_eq!(told.batches()[appends..], [1, 9]);
    company.request().await;
}

#[tokio::test]
async fn time_never_goes_back_and_a_jump_stops_the_recorder() {
    let company = Company::in_memory().await;
    let (ledger, clock) = (&company.founded.ledger, &company.founded.clock);
    let first = company.request().await;
    // Half an hour back: recorded at the last entry's time.
    clock.step_to(start().saturating_minus_seconds(1_800));
    let second = company.request().await;
    assert_eq!(second.recorded_at, first.recorded_at);
    // Much time passes, on both clocks: no jump.
    clock.advance(Duration::from_secs(40 * 86_400));
    let third = company.request().await;
    assert!(third.recorded_at > second.recorded_at);
    for (hours, sign) in [(2_u64, 1_i64), (2, -1)] {
        let here = clock.wall();
        let there = if sign > 0 {
            here.saturating_plus_seconds(hours * 3_600)
        } else {
            here.saturating_minus_seconds(hours * 3_600)
        };
        clock.step_to(there);
        let stopped = ledger.submit(company.alice.state(ask()).issued_at(here).sign().unwrap()).await;
        let Err(SubmitError::ClockStepped(step)) = stopped else { panic!("{stopped:?}") };
        assert_eq!(step.wall, there);
        assert_eq!(step.seconds.signum(), sign);
        // Setting it back does not undo that it was set.
        clock.step_to(here);
        let still = ledger.submit(company.alice.state(ask()).sign().unwrap()).await;
        assert!(matches!(still, Err(SubmitError::ClockStepped(_))));
        assert_eq!(ledger.acknowledge_clock_step(), Some(step));
        assert_eq!(ledger.acknowledge_clock_step(), None);
        company.request().await;
    }
}

#[tokio::test]
async fn a_step_of_an_hour_is_none_and_one_more_millisecond_is() {
    for (millis, is_step) in [(3_600_000_u64, false), (3_600_001, true)] {
        let founded = Founded::in_memory().await.unwrap();
        let there = Timestamp::from_millis(founded.clock.wall().millis() + millis).unwrap();
        founded.clock.step_to(there);
        let frozen = founded.governors[0].state(LedgerFrozen { reason: text("a drill") }).sign().unwrap();
        let outcome = founded.ledger.submit(frozen).await;
        assert_eq!(outcome.is_ok(), !is_step);
        assert_eq!(matches!(outcome, Err(SubmitError::ClockStepped(_))), is_step, "{millis}: {outcome:?}");
    }
}

#[test]
fn authors_count_by_ones_and_witness_what_they_saw() {
    let clock = testing::ManualClock::new(start());
    let id: countersign_core::id::LedgerId = format!("acme/{}", "0".repeat(64)).parse().unwrap();
    let author = |name: &str| {
        Author::new(countersign_core::id::Principal::new(name).unwrap(), key(name), id.clone())
            .clock(clock.clone())
    };
    let (ada, ben) = (author("user:ada"), author("user:ben"));
    let first = ada.state(ask()).statement();
    assert_eq!((first.serial, first.seen.is_none(), first.issued_at), (1, true, start()));
    let head =
        countersign_core::entry::Head { size: 7, leaf: countersign_core::digest::LeafHash::new([7; 32]) };
    ada.observe(head);
    ada.observe(countersign_core::entry::Head { size: 3, ..head });
    let second = ada.clone().state(ask()).statement();
    assert_eq!((second.serial, second.seen.map(|seen| seen.size)), (2, Some(7)));
    let together = ada.state(ask()).cosigned_by([&ben]).sign().unwrap();
    assert!(together.statement().seen.is_none());
    assert_eq!(together.signatures().len(), 2);
    assert_eq!(together.statement().cosigners.iter().collect::<Vec<_>>(), [ben.principal()]);
    assert!(ada.state(ask()).unseen().statement().seen.is_none());
    assert_eq!(ada.last_serial(), 4);
    ada.take_back(2);
    assert_eq!(ada.last_serial(), 4, "only the last can be taken back");
    ada.take_back(4);
    assert_eq!(ada.state(ask()).statement().serial, 4);
    assert_eq!(ben.after_serial(41).state(ask()).statement().serial, 42);
}
