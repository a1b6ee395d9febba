//! cqrs-es with postgres-es, and as many plain inserts at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign_store::EntryBytes;
use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use postgres_es::{PostgresCqrs, postgres_aggregate_cqrs, postgres_cqrs};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx_of_the_peer::postgres::PgPoolOptions;
use sqlx_of_the_peer::{Pool, Postgres};

use crate::figures::Figures;
use crate::places::Places;
use crate::{BATCH, BoxError};

/// What holds the requests of somebody; it counts them.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Requests {
    count: u64,
}

/// A request that was made, with the JSON of the entry that the ledger has for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Requested {
    entry: Value,
}

impl DomainEvent for Requested {
    fn event_type(&self) -> String {
        "Requested".to_owned()
    }

    fn event_version(&self) -> String {
        "1".to_owned()
    }
}

impl Aggregate for Requests {
    const TYPE: &'static str = "requests";
    type Command = Value;
    type Event = Requested;
    type Error = std::convert::Infallible;
    type Services = ();

    async fn handle(&mut self, entry: Value, (): &(), sink: &EventSink<Self>) -> Result<(), Self::Error> {
        sink.write(Requested { entry }, self).await;
        Ok(())
    }

    fn apply(&mut self, _: Requested) {
        self.count += 1;
    }
}

/// The peer, on tables of its own.
pub(crate) struct Peer {
    pool: Pool<Postgres>,
    many: Arc<PostgresCqrs<Requests>>,
    one: PostgresCqrs<Requests>,
    commands: usize,
}

impl Peer {
    pub(crate) async fn new(places: &Places) -> Result<Self, BoxError> {
        let pool = PgPoolOptions::new()
            .min_connections(BATCH as u32)
            .max_connections(BATCH as u32)
            .acquire_timeout(Duration::from_secs(120))
            .connect(&places.url())
            .await?;
        sqlx_of_the_peer::raw_sql(TABLES).execute(&pool).await?;
        let many = Arc::new(postgres_cqrs(pool.clone(), Vec::new(), ()));
        // With the state of the aggregate beside: otherwise each command would read all events before.
        let one = postgres_aggregate_cqrs(pool.clone(), Vec::new(), ());
        Ok(Self { pool, many, one, commands: 0 })
    }

    pub(crate) async fn round(
        &mut self,
        entries: &[EntryBytes],
        figures: &mut Figures,
        place: &'static str,
    ) -> Result<(), BoxError> {
        let values: Vec<Value> =
            entries.iter().map(|entry| serde_json::from_slice(entry)).collect::<Result<_, _>>()?;
        let first = self.commands;
        self.commands += values.len();

        let start = Instant::now();
        let submitting = |nth: usize| {
            let own: Vec<_> = values.iter().cloned().enumerate().skip(nth).step_by(BATCH).collect();
            let many = self.many.clone();
            tokio::spawn(async move {
                for (number, value) in own {
                    many.execute(&format!("many-{}", first + number), value).await?;
                }
                Ok::<(), BoxError>(())
            })
        };
        let tasks: Vec<_> = (0..BATCH).map(submitting).collect();
        for task in tasks {
            task.await??;
        }
        figures.add(place, "cqrs-es, many aggregates, 64 at once", start, values.len());

        let start = Instant::now();
        for value in values.iter().take(BATCH).cloned() {
            self.one.execute("one", value).await?;
        }
        figures.add(place, "cqrs-es, one aggregate, one at a time", start, BATCH);

        let start = Instant::now();
        let inserting = |nth: usize| {
            let own: Vec<_> = entries.iter().cloned().enumerate().skip(nth).step_by(BATCH).collect();
            let pool = self.pool.clone();
            tokio::spawn(async move {
                for (number, entry) in own {
                    sqlx_of_the_peer::query("INSERT INTO inserted VALUES ($1, $2)")
                        .bind(i64::try_from(first + number)?)
                        .bind(&entry[..])
                        .execute(&pool)
                        .await?;
                }
                Ok::<(), BoxError>(())
            })
        };
        let tasks: Vec<_> = (0..BATCH).map(inserting).collect();
        for task in tasks {
            task.await??;
        }
        figures.add(place, "bare, one a commit, 64 at once", start, entries.len());
        Ok(())
    }
}

/// As postgres-es has them, without its views.
const TABLES: &str = "
CREATE TABLE events (
    aggregate_type text NOT NULL, aggregate_id text NOT NULL, sequence bigint CHECK (sequence >= 0) NOT NULL,
    event_type text NOT NULL, event_version text NOT NULL, payload json NOT NULL, metadata json NOT NULL,
    PRIMARY KEY (aggregate_type, aggregate_id, sequence)
);
CREATE TABLE snapshots (
    aggregate_type text NOT NULL, aggregate_id text NOT NULL, last_sequence bigint CHECK (last_sequence >= 0) NOT NULL,
    current_snapshot bigint CHECK (current_snapshot >= 0) NOT NULL, payload json NOT NULL,
    PRIMARY KEY (aggregate_type, aggregate_id, last_sequence)
);
CREATE TABLE inserted (seq bigint PRIMARY KEY, entry bytea NOT NULL);
";
