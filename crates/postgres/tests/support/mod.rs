//! Pools, schemas and entries on the servers of `countersign-test-postgres`.

#![allow(dead_code, unused_imports, reason = "each test has its own use of it")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use countersign_core::entry::{Entry, Head};
use countersign_postgres::{Options, PostgresStore, SchemaName};
use countersign_store::Store as _;
pub(crate) use countersign_test_postgres::{Cluster, cluster, server};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgPool};

pub(crate) async fn pool(url: &str) -> PgPool {
    let options = PgPoolOptions::new().max_connections(8).acquire_timeout(Duration::from_secs(120));
    options.connect(url).await.unwrap()
}

/// A schema that no other test has.
pub(crate) fn new_schema() -> SchemaName {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("countersign_{}_{number}", std::process::id()).parse().unwrap()
}

pub(crate) fn options(schema: &SchemaName) -> Options {
    Options::new().schema(schema.clone()).poll(Duration::from_millis(20))
}

pub(crate) async fn open(pool: &PgPool, schema: &SchemaName) -> PostgresStore {
    options(schema).open(pool, "kit").await.unwrap()
}

/// Runs SQL, with the schema's name in the place of `{schema}`.
pub(crate) async fn run(pool: &PgPool, schema: &SchemaName, sql: &str) {
    let sql = sql.replace("{schema}", schema.as_str());
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await.unwrap();
}

pub(crate) async fn count(pool: &PgPool, schema: &SchemaName, sql: &str) -> i64 {
    let sql = sql.replace("{schema}", schema.as_str());
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(pool).await.unwrap()
}

/// All entries, each behind the one before.
pub(crate) async fn everything(store: &PostgresStore) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let read = store.read(entries.len() as u64, 1_000).await.unwrap();
        if read.is_empty() {
            return entries;
        }
        for bytes in read {
            let entry = Entry::parse(bytes).unwrap();
            let before = entries.last().map_or(Head::EMPTY, Entry::head);
            assert_eq!(Head { size: entry.seq(), leaf: entry.prev() }, before);
            entries.push(entry);
        }
    }
}
