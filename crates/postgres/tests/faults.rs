//! What databases do to a ledger, on a real server.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use countersign_core::entry::Head;
use countersign_postgres::{AppendedIn, OpenError, SCHEMA_VERSION, roles_sql};
use countersign_store::conformance::Author;
use countersign_store::{AppendError, Store as _, StoreError};
use support::{cluster, count, everything, new_schema, open, options, pool, run, server};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_at_the_commit_itself_is_not_acknowledged() {
    let Some(server) = server("what_fails_at_the_commit_itself_is_not_acknowledged") else { return };
    let (pool, schema) = (pool(server.url()).await, new_schema());
    let store = open(&pool, &schema).await;
    let fail = "CREATE FUNCTION {schema}.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$; \
        CREATE CONSTRAINT TRIGGER late AFTER INSERT ON {schema}.entries DEFERRABLE INITIALLY DEFERRED \
        FOR EACH ROW EXECUTE FUNCTION {schema}.fail()";
    run(&pool, &schema, fail).await;
    let batch = Author::new(1).batch(Head::EMPTY, 3);
    let answer = store.append(batch.clone()).await;
    assert!(matches!(answer, Err(AppendError::NotStored(StoreError::Unavailable(_)))), "{answer:?}");
    assert_eq!(store.head().await.unwrap(), Head::EMPTY);
    run(&pool, &schema, "DROP TRIGGER late ON {schema}.entries").await;
    assert_eq!(store.append(batch.clone()).await.unwrap(), batch.head());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_transaction_that_holds_the_head_is_waited_for_within_a_limit() {
    let Some(server) = server("a_foreign_transaction_that_holds_the_head_is_waited_for_within_a_limit")
    else {
        return;
    };
    let (pool, schema) = (pool(server.url()).await, new_schema());
    let store = options(&schema).lock_timeout(Duration::from_millis(50)).open(&pool, "kit").await.unwrap();
    let batch = Author::new(1).batch(Head::EMPTY, 2);
    let mut foreign = pool.begin().await.unwrap();
    assert_eq!(store.append_in(&mut foreign, &batch).await.unwrap(), AppendedIn::Now(batch.head()));
    let other = store.append(Author::new(2).batch(Head::EMPTY, 1)).await;
    assert!(matches!(other, Err(AppendError::NotStored(StoreError::Unavailable(_)))), "{other:?}");
    assert_eq!(store.head().await.unwrap(), Head::EMPTY, "nobody sees what is not committed");
    foreign.rollback().await.unwrap();
    let other = Author::new(2).batch(Head::EMPTY, 1);
    assert_eq!(store.append(other.clone()).await.unwrap(), other.head());
    // The same in a transaction is a lost race now, and after a commit it stands.
    let mut foreign = pool.begin().await.unwrap();
    let lost = store.append_in(&mut foreign, &batch).await;
    assert!(matches!(lost, Err(AppendError::Conflict { .. })), "{lost:?}");
    let next = Author::new(3).batch(other.head(), 1);
    assert_eq!(store.append_in(&mut foreign, &next).await.unwrap(), AppendedIn::Now(next.head()));
    foreign.commit().await.unwrap();
    let mut again = pool.begin().await.unwrap();
    assert_eq!(store.append_in(&mut again, &next).await.unwrap(), AppendedIn::Before(next.head()));
    assert_eq!(everything(&store).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asked_to_be_notified_hears_of_entries_long_before_the_next_poll() {
    let Some(server) = server("who_asked_to_be_notified_hears_of_entries_long_before_the_next_poll") else {
        return;
    };
    let (pool, schema) = (pool(server.url()).await, new_schema());
    let rarely = || options(&schema).poll(Duration::from_secs(3_600));
    let writer = rarely().notify().open(&pool, "kit").await.unwrap();
    let silent = rarely().open(&pool, "kit").await.unwrap();
    let listener = rarely().notify().open_for_reading(&pool, "kit").await.unwrap();
    let deaf = rarely().open_for_reading(&pool, "kit").await.unwrap();
    let hears = |size: u64| tokio::time::timeout(Duration::from_secs(60), listener.wait(size));
    // It begins to listen when it comes to it: what was told before is for polling to find.
    let mut author = Author::new(1);
    let mut head = Head::EMPTY;
    let mut told = false;
    while !told {
        head = writer.append(author.batch(head, 1)).await.unwrap();
        told = tokio::time::timeout(Duration::from_millis(500), listener.wait(head.size - 1)).await.is_ok();
        assert!(head.size < 100, "nothing is heard");
    }
    for _ in 0..3 {
        let (heard, appended) = tokio::join!(hears(head.size), writer.append(author.batch(head, 2)));
        head = appended.unwrap();
        heard.expect("it is told");
    }
    // Nobody else is, and what is told of another ledger wakes nobody.
    assert!(tokio::time::timeout(Duration::from_millis(300), deaf.wait(0)).await.is_err());
    let other = rarely().notify().open(&pool, "other").await.unwrap();
    other.append(Author::new(2).batch(Head::EMPTY, 1)).await.unwrap();
    head = silent.append(author.batch(head, 1)).await.unwrap();
    let unheard = tokio::time::timeout(Duration::from_millis(300), listener.wait(head.size - 1)).await;
    assert!(unheard.is_err());
    // Its connection is ended, and it listens again.
    let ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'";
    assert!(count(&pool, &schema, ended).await > 0);
    let mut told = false;
    while !told {
        head = writer.append(author.batch(head, 1)).await.unwrap();
        told = tokio::time::timeout(Duration::from_millis(500), listener.wait(head.size - 1)).await.is_ok();
        assert!(head.size < 200, "nothing is heard again");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_ended_is_replaced_and_a_retry_settles_what_is_unknown() {
    let Some(server) = server("a_session_that_is_ended_is_replaced_and_a_retry_settles_what_is_unknown")
    else {
        return;
    };
    let (pool, schema) = (pool(server.url()).await, new_schema());
    let store = open(&pool, &schema).await;
    let mut author = Author::new(1);
    let mut head = Head::EMPTY;
    for round in 0..5 {
        let batch = author.batch(head, 2);
        let ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
            WHERE query LIKE '%{schema}%' AND pid <> pg_backend_pid() AND query LIKE 'WITH head%'";
        count(&pool, &schema, ended).await;
        match store.append(batch.clone()).await {
            Ok(_) | Err(AppendError::OutcomeUnknown(_)) => {}
            other => panic!("round {round}: {other:?}"),
        }
        assert_eq!(store.append(batch.clone()).await.unwrap(), batch.head());
        head = batch.head();
    }
    assert_eq!(everything(&store).await.len(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_outlives_an_immediate_stop() {
    let Some(cluster) = cluster("what_was_acknowledged_outlives_an_immediate_stop") else { return };
    let (pool, schema) = (pool(&cluster.url()).await, new_schema());
    let store = open(&pool, &schema).await;
    let mut author = Author::new(1);
    let first = author.batch(Head::EMPTY, 3);
    assert_eq!(store.append(first.clone()).await.unwrap(), first.head());
    cluster.stop_immediately();
    cluster.start();
    let next = author.batch(first.head(), 1);
    let _ = store.append(next.clone()).await;
    assert_eq!(store.append(next.clone()).await.unwrap(), next.head());
    assert_eq!(everything(&store).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_whose_place_was_taken_is_fenced() {
    let Some(server) = server("a_writer_whose_place_was_taken_is_fenced") else { return };
    let (pool, schema) = (pool(server.url()).await, new_schema());
    let old = open(&pool, &schema).await;
    let mut author = Author::new(1);
    let first = author.batch(Head::EMPTY, 1);
    old.append(first.clone()).await.unwrap();
    let new = options(&schema).take_over().open(&pool, "kit").await.unwrap();
    let next = author.batch(first.head(), 1);
    let refused = old.append(next.clone()).await;
    let fenced = AppendError::NotStored(StoreError::Fenced { own: 0, current: 1 });
    assert_eq!(format!("{refused:?}"), format!("{:?}", Err::<Head, _>(fenced)));
    assert_eq!(old.append(first.clone()).await.unwrap(), first.head(), "what stands is still told");
    assert_eq!(new.append(next.clone()).await.unwrap(), next.head());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_and_older_copies_are_named() {
    let Some(server) = server("damage_and_older_copies_are_named") else { return };
    let pool = pool(server.url()).await;
    let last =
        "UPDATE {schema}.ledgers l SET size = 3, leaf = (SELECT leaf FROM {schema}.entries WHERE seq = 2)";
    let cases = [
        ("a restored backup", format!("DELETE FROM {{schema}}.entries WHERE seq >= 3; {last}"), 3),
        ("a head put back", last.to_owned(), 3),
        (
            "a head of another entry",
            "UPDATE {schema}.ledgers SET leaf = decode(repeat('11', 32), 'hex')".into(),
            4,
        ),
        ("a last entry that is gone", "DELETE FROM {schema}.entries WHERE seq = 4".into(), 4),
    ];
    for (name, sql, seq) in cases {
        let schema = new_schema();
        let store = open(&pool, &schema).await;
        let mut author = Author::new(1);
        let batch = author.batch(Head::EMPTY, 5);
        store.append(batch.clone()).await.unwrap();
        run(&pool, &schema, &sql).await;
        let head = store.head().await;
        assert!(
            matches!(head, Err(StoreError::Damaged { seq: at, .. }) if at == seq),
            "case: {name}: {head:?}"
        );
        let next = store.append(author.batch(Head { size: 9, leaf: batch.head().leaf }, 1)).await;
        let damaged = matches!(next, Err(AppendError::NotStored(StoreError::Damaged { .. })));
        assert!(damaged, "case: {name}: {next:?}");
    }
    let cases = [
        ("other bytes", "UPDATE {schema}.entries SET entry = entry || '\\x20' WHERE seq = 2", 2),
        ("a gap", "DELETE FROM {schema}.entries WHERE seq = 2", 2),
        ("nothing at the start", "DELETE FROM {schema}.entries WHERE seq < 4", 0),
    ];
    for (name, sql, seq) in cases {
        let schema = new_schema();
        let store = open(&pool, &schema).await;
        store.append(Author::new(1).batch(Head::EMPTY, 5)).await.unwrap();
        run(&pool, &schema, sql).await;
        let read = store.read(0, 9).await;
        assert!(
            matches!(read, Err(StoreError::Damaged { seq: at, .. }) if at == seq),
            "case: {name}: {read:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_roles_can_do_what_they_are_for_and_nothing_else() {
    let Some(server) = server("the_roles_can_do_what_they_are_for_and_nothing_else") else { return };
    let (pool, schema) = (pool(server.url()).await, new_schema());
    open(&pool, &schema).await.append(Author::new(1).batch(Head::EMPTY, 2)).await.unwrap();
    let (append, read) = (format!("{schema}_append"), format!("{schema}_read"));
    run(&pool, &schema, &roles_sql(&schema, &append, &read).unwrap()).await;
    let refused = [
        (&append, "UPDATE {schema}.entries SET author = 'x'"),
        (&append, "DELETE FROM {schema}.entries"),
        (&append, "TRUNCATE {schema}.entries"),
        (&append, "DELETE FROM {schema}.ledgers"),
        (&append, "UPDATE {schema}.ledgers SET name = 'x'"),
        (&append, "DELETE FROM {schema}.checkpoints"),
        (&read, "UPDATE {schema}.ledgers SET size = 0"),
        (&read, "INSERT INTO {schema}.ledgers (name) VALUES ('x')"),
    ];
    for (role, sql) in refused {
        let sql = format!("SET LOCAL ROLE \"{role}\"; {}", sql.replace("{schema}", schema.as_str()));
        let error = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&pool).await.unwrap_err();
        let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default();
        assert_eq!(code, "42501", "case: {role}: {error}");
    }
    let login = format!("CREATE ROLE \"{schema}_app\" LOGIN IN ROLE \"{append}\"");
    run(&pool, &schema, &login).await;
    let app = (*pool.connect_options()).clone().username(&format!("{schema}_app"));
    let app = sqlx::PgPool::connect_with(app).await.unwrap();
    let store = options(&schema).without_migration().open(&app, "of-the-app").await.unwrap();
    let batch = Author::new(1).batch(Head::EMPTY, 2);
    assert_eq!(store.append(batch.clone()).await.unwrap(), batch.head());
    assert_eq!(
        count(&app, &schema, "SELECT count(*) FROM {schema}.log WHERE ledger = 'of-the-app'").await,
        2
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_of_another_version_is_refused_and_many_may_make_one_at_once() {
    let Some(server) = server("a_schema_of_another_version_is_refused_and_many_may_make_one_at_once") else {
        return;
    };
    let (pool, schema) = (pool(server.url()).await, new_schema());
    let none = options(&schema).without_migration().open(&pool, "kit").await.unwrap_err();
    assert!(matches!(none, OpenError::Schema { found: 0, known: SCHEMA_VERSION }), "{none:?}");
    let opening: Vec<_> = (0..6)
        .map(|_| {
            let (pool, options) = (pool.clone(), options(&schema));
            tokio::spawn(async move { options.open(&pool, "kit").await.map(drop) })
        })
        .collect();
    for opened in opening {
        opened.await.unwrap().unwrap();
    }
    run(&pool, &schema, "INSERT INTO {schema}.migrations (number) VALUES (1000)").await;
    let newer = options(&schema).open(&pool, "kit").await.unwrap_err();
    assert!(matches!(newer, OpenError::Schema { found: 1000, .. }), "{newer:?}");
}
