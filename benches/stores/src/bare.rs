//! The stores without a ledger: bytes that are durable when a write returns, and nothing else.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use countersign_store::EntryBytes;
use object_store::{ObjectStore, PutMode, PutOptions, PutPayload};
use sqlx::{Connection as _, PgConnection};

use crate::BoxError;

/// A bare store, and how many entries it has.
pub(crate) struct Bare {
    kind: Kind,
    size: i64,
}

enum Kind {
    File(File),
    Sqlite(rusqlite::Connection),
    Postgres(PgConnection),
    Bucket(Arc<dyn ObjectStore>, String),
}

impl Bare {
    pub(crate) fn file(path: &Path) -> Result<Self, BoxError> {
        Ok(Self::of(Kind::File(OpenOptions::new().create(true).append(true).open(path)?)))
    }

    pub(crate) fn sqlite(path: &Path) -> Result<Self, BoxError> {
        let connection = rusqlite::Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        connection
            .execute_batch("CREATE TABLE bare (seq INTEGER PRIMARY KEY, entry BLOB NOT NULL) STRICT")?;
        Ok(Self::of(Kind::Sqlite(connection)))
    }

    pub(crate) async fn postgres(url: &str, name: &str) -> Result<Self, BoxError> {
        let mut connection = PgConnection::connect(url).await?;
        let sql = format!(
            "CREATE SCHEMA bare_{name}; SET search_path = bare_{name}; \
                CREATE TABLE bare (seq bigint PRIMARY KEY, entry bytea NOT NULL)"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await?;
        Ok(Self::of(Kind::Postgres(connection)))
    }

    pub(crate) fn bucket(objects: Arc<dyn ObjectStore>, prefix: &str) -> Self {
        Self::of(Kind::Bucket(objects, prefix.to_owned()))
    }

    fn of(kind: Kind) -> Self {
        Self { kind, size: 0 }
    }

    /// Writes entries in one commit.
    pub(crate) async fn write(&mut self, entries: &[EntryBytes]) -> Result<(), BoxError> {
        let first = self.size;
        self.size += i64::try_from(entries.len())?;
        match &mut self.kind {
            Kind::File(file) => {
                file.write_all(&lines(entries))?;
                file.sync_data()?;
            }
            Kind::Sqlite(connection) => {
                let transaction = connection.transaction()?;
                {
                    let mut insert = transaction.prepare_cached("INSERT INTO bare VALUES (?1, ?2)")?;
                    for (seq, entry) in (first..).zip(entries) {
                        insert.execute((seq, &entry[..]))?;
                    }
                }
                transaction.commit()?;
            }
            Kind::Postgres(connection) => match entries {
                [entry] => {
                    let insert = sqlx::query("INSERT INTO bare VALUES ($1, $2)").bind(first).bind(&entry[..]);
                    insert.execute(connection).await?;
                }
                _ => {
                    sqlx::query("INSERT INTO bare SELECT * FROM unnest($1::bigint[], $2::bytea[])")
                        .bind((first..self.size).collect::<Vec<_>>())
                        .bind(entries.iter().map(|entry| &entry[..]).collect::<Vec<_>>())
                        .execute(connection)
                        .await?;
                }
            },
            Kind::Bucket(objects, prefix) => {
                let name = format!("{prefix}/{first:020}").into();
                let create = PutOptions::from(PutMode::Create);
                objects.put_opts(&name, PutPayload::from(lines(entries)), create).await?;
            }
        }
        Ok(())
    }
}

fn lines(entries: &[EntryBytes]) -> Vec<u8> {
    entries.iter().flat_map(|entry| [&entry[..], b"\n"].concat()).collect()
}
