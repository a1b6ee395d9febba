//! One ledger in the tables: the statements that read and store its entries.

use countersign_core::digest::{HASH_LEN, LeafHash, StatementDigest};
use countersign_core::entry::{Entry, Head, leaf_hash};
use countersign_store::{AppendError, Batch, Durability, EntryBytes, Found, StoreError, TooWeak};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, PgExecutor, Row as _};

use crate::error::{reading, storing, storing_within, unavailable};
use crate::schema::SchemaName;

/// Most bytes of entries that one read returns, unless the first entry alone has more.
const MAX_READ_LEN: i64 = 8 << 20;
/// Most entries that one read returns.
const MAX_READ: usize = 8_192;
/// How often an append looks again where the head moves between its statements.
const ATTEMPTS: u32 = 16;

/// What the server's settings make of an acknowledgement: the place in [`LEVELS`].
const LEVEL: &str = "(CASE \
    WHEN current_setting('fsync') = 'off' OR current_setting('synchronous_commit') = 'off' THEN 0 \
    WHEN current_setting('synchronous_standby_names') <> '' \
        AND current_setting('synchronous_commit') IN ('on', 'remote_apply') THEN 2 \
    ELSE 1 END)";
const LEVELS: [Durability; 3] = [Durability::Volatile, Durability::LocalSync, Durability::QuorumSync];

/// A ledger's place in the tables.
#[derive(Debug)]
pub(crate) struct LedgerTable {
    id: i32,
    look: String,
    store: String,
    touch: String,
    read: String,
    find: String,
    last: String,
}

/// What stands, at one moment.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) head: Head,
    pub(crate) epoch: i64,
    pub(crate) durability: Durability,
    /// The leaf hash of the entry that was asked for.
    at: Option<LeafHash>,
}

/// Who appends, and what must hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) epoch: i64,
    /// What an acknowledgement has to survive.
    pub(crate) least: Durability,
    /// What this process was told before.
    pub(crate) acknowledged: Head,
}

/// What an append found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Appended {
    Now,
    Before,
}

impl LedgerTable {
    pub(crate) fn new(schema: &SchemaName, id: i32) -> Self {
        let look = format!(
            "SELECT l.size, l.leaf, l.epoch, {LEVEL}, \
                (SELECT e.leaf FROM {{schema}}.entries e WHERE e.ledger = l.id AND e.seq = l.size - 1), \
                EXISTS (SELECT FROM {{schema}}.entries e WHERE e.ledger = l.id AND e.seq >= l.size), \
                (SELECT e.leaf FROM {{schema}}.entries e WHERE e.ledger = l.id AND e.seq = $2), \
                (SELECT e.leaf FROM {{schema}}.entries e WHERE e.ledger = l.id AND e.seq = $3) \
            FROM {{schema}}.ledgers l WHERE l.id = $1"
        );
        // The condition is part of the statement that stores, and whoever waits for the head's row finds it changed: in READ
        // COMMITTED it is looked at again.
        let store = format!(
            "WITH head AS ( \
                UPDATE {{schema}}.ledgers SET size = $2, leaf = $3 \
                WHERE id = $1 AND size = $4 AND leaf = $5 AND epoch = $6 AND {LEVEL} >= $7 \
                RETURNING id \
            ), stored AS ( \
                INSERT INTO {{schema}}.entries \
                    (ledger, seq, prev, leaf, digest, recorded_at, author, kind, subject, resource, entry) \
                SELECT head.id, e.seq, e.prev, e.leaf, e.digest, \
                    timestamptz 'epoch' + e.recorded_at * interval '1 millisecond', \
                    e.author, e.kind, e.subject, e.resource, e.entry \
                FROM head, unnest($8::bigint[], $9::bytea[], $10::bytea[], $11::bytea[], $12::bigint[], \
                    $13::text[], $14::text[], $15::text[], $16::text[], $17::bytea[]) \
                    AS e (seq, prev, leaf, digest, recorded_at, author, kind, subject, resource, entry) \
                RETURNING 1 \
            ) SELECT count(*) FROM stored"
        );
        let touch = "UPDATE {schema}.ledgers SET size = size WHERE id = $1";
        let read = "SELECT seq, leaf, entry FROM ( \
                SELECT e.seq, e.leaf, e.entry, sum(octet_length(e.entry)) \
                    OVER (ORDER BY e.seq ROWS UNBOUNDED PRECEDING) - octet_length(e.entry) AS before \
                FROM {schema}.entries e \
                WHERE e.ledger = $1 AND e.seq >= $2 AND e.seq < $3 \
                    AND e.seq < (SELECT size FROM {schema}.ledgers WHERE id = $1) \
            ) AS part WHERE before < $4 ORDER BY seq";
        let find = "SELECT e.seq, e.leaf, e.entry FROM {schema}.entries e \
            JOIN {schema}.ledgers l ON l.id = e.ledger \
            WHERE e.ledger = $1 AND e.digest = $2 AND e.seq < l.size";
        let last = "SELECT e.seq, e.leaf, e.entry FROM {schema}.entries e \
            JOIN {schema}.ledgers l ON l.id = e.ledger WHERE e.ledger = $1 AND e.seq = l.size - 1";
        Self {
            id,
            look: schema.fill(&look),
            store: schema.fill(&store),
            touch: schema.fill(touch),
            read: schema.fill(read),
            find: schema.fill(find),
            last: schema.fill(last),
        }
    }

    pub(crate) fn id(&self) -> i32 {
        self.id
    }

    /// What stands now; refused where the head's row contradicts the entries, or what was acknowledged is not there.
    pub(crate) async fn look(
        &self,
        executor: impl PgExecutor<'_>,
        at: u64,
        acknowledged: Head,
    ) -> Result<Look, StoreError> {
        let last = acknowledged.size.checked_sub(1);
        let row = sqlx::query(AssertSqlSafe(self.look.clone()))
            .bind(self.id)
            .bind(position(at))
            .bind(last.map(position))
            .fetch_optional(executor)
            .await
            .map_err(|error| reading(error, 0))?;
        let damaged = |seq, detail: &str| StoreError::Damaged { seq, detail: detail.to_owned() };
        let row = row.ok_or_else(|| damaged(0, "the row of the ledger is gone"))?;
        let head = Head { size: count(&row, 0)?, leaf: leaf(&row, 1)? };
        let before = head.size.saturating_sub(1);
        if head.size == 0 && head != Head::EMPTY {
            return Err(damaged(0, "the head names an entry where there is none"));
        }
        if head.size > 0 && optional_leaf(&row, 4)? != Some(head.leaf) {
            return Err(damaged(before, "the head names another entry"));
        }
        if row.try_get::<bool, _>(5).map_err(unavailable)? {
            return Err(damaged(head.size, "an entry stands behind the head"));
        }
        if head.size < acknowledged.size {
            return Err(damaged(
                head.size,
                "it was acknowledged and is gone: an older copy was put in its place",
            ));
        }
        if let Some(last) = last
            && optional_leaf(&row, 7)? != Some(acknowledged.leaf)
        {
            return Err(damaged(last, "it is not the entry that was acknowledged"));
        }
        let level = row.try_get::<i32, _>(3).map_err(unavailable)?;
        let durability = usize::try_from(level).ok().and_then(|level| LEVELS.get(level)).copied();
        Ok(Look {
            head,
            epoch: row.try_get(2).map_err(unavailable)?,
            durability: durability.unwrap_or(Durability::Volatile),
            at: optional_leaf(&row, 6)?,
        })
    }

    /// Appends in a session of the writer's own, where each statement is a transaction.
    pub(crate) async fn append(
        &self,
        connection: &mut PgConnection,
        batch: &Batch,
        terms: Terms,
    ) -> Result<(), AppendError> {
        let appended = self.put(connection, batch, terms, storing).await?;
        if appended == Appended::Before {
            // Somebody else's commit, perhaps one whose wait for the disk or for a standby was cut off: behind a commit of our own it is
            // as durable as that one.
            let touched =
                sqlx::query(AssertSqlSafe(self.touch.clone())).bind(self.id).execute(&mut *connection).await;
            touched.map_err(|error| AppendError::OutcomeUnknown(error.into()))?;
        }
        if appended == Appended::Before || terms.least == Durability::QuorumSync {
            // Whoever takes the standbys out of the settings while a commit waits for one ends the wait, and the commit counts as done. What
            // stands already was not compared with the settings at all.
            let found = durability(connection).await;
            let found = found.map_err(|error| AppendError::OutcomeUnknown(error.into()))?;
            let kept = found.require(terms.least);
            kept.map_err(|weak: TooWeak| AppendError::OutcomeUnknown(weak.into()))?;
        }
        Ok(())
    }

    /// Appends in somebody's transaction.
    pub(crate) async fn append_within(
        &self,
        connection: &mut PgConnection,
        batch: &Batch,
        terms: Terms,
    ) -> Result<Appended, AppendError> {
        // Who commits with the settings of a session where commits are not synced would break what the receipt says.
        sqlx::query(
            "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'",
        )
        .execute(&mut *connection)
        .await
        .map_err(unavailable)?;
        self.put(connection, batch, terms, storing_within).await
    }

    async fn put(
        &self,
        connection: &mut PgConnection,
        batch: &Batch,
        terms: Terms,
        failed: fn(sqlx::Error, u64) -> AppendError,
    ) -> Result<Appended, AppendError> {
        let (mut head, mut missing) = (batch.expected(), batch.entries());
        for _ in 0..ATTEMPTS {
            let stored = self.store(connection, head, missing, terms).await;
            if stored.map_err(|error| failed(error, head.size))? {
                return Ok(Appended::Now);
            }
            let found = self.look(&mut *connection, batch.head().size - 1, terms.acknowledged).await?;
            missing = batch.missing_in(found.head, |seq| {
                let detail = "the entry is not there".to_owned();
                found.at.ok_or(StoreError::Damaged { seq, detail })
            })?;
            if missing.is_empty() {
                return Ok(Appended::Before);
            }
            if found.epoch != terms.epoch {
                let (own, current) = (terms.epoch.unsigned_abs(), found.epoch.unsigned_abs());
                return Err(StoreError::Fenced { own, current }.into());
            }
            found
                .durability
                .require(terms.least)
                .map_err(|weak: TooWeak| StoreError::Unavailable(weak.into()))?;
            head = found.head;
        }
        Err(StoreError::Unavailable("the head moves too fast".into()).into())
    }

    /// Whether the entries were stored: behind this head, or not at all.
    async fn store(
        &self,
        connection: &mut PgConnection,
        expected: Head,
        entries: &[Entry],
        terms: Terms,
    ) -> Result<bool, sqlx::Error> {
        let Some(last) = entries.last() else { return Ok(false) };
        let each = || entries.iter();
        let statements = || each().map(Entry::statement);
        let digests: Vec<StatementDigest> = each().map(|entry| entry.signed().digest()).collect();
        let stored: i64 = sqlx::query_scalar(AssertSqlSafe(self.store.clone()))
            .bind(self.id)
            .bind(position(last.head().size))
            .bind(&last.leaf().as_bytes()[..])
            .bind(position(expected.size))
            .bind(&expected.leaf.as_bytes()[..])
            .bind(terms.epoch)
            .bind(level(terms.least))
            .bind(each().map(|entry| position(entry.seq())).collect::<Vec<_>>())
            .bind(each().map(|entry| entry.prev().as_bytes().to_vec()).collect::<Vec<_>>())
            .bind(each().map(|entry| entry.leaf().as_bytes().to_vec()).collect::<Vec<_>>())
            .bind(digests.iter().map(|digest| &digest.as_bytes()[..]).collect::<Vec<_>>())
            .bind(each().map(|entry| position(entry.recorded_at().millis())).collect::<Vec<_>>())
            .bind(statements().map(|statement| statement.author.as_str()).collect::<Vec<_>>())
            .bind(statements().map(|statement| statement.event.kind().as_str()).collect::<Vec<_>>())
            .bind(statements().map(|said| said.event.subject().map(|name| name.as_str())).collect::<Vec<_>>())
            .bind(
                statements().map(|said| said.event.resource().map(|name| name.as_str())).collect::<Vec<_>>(),
            )
            .bind(each().map(|entry| &entry.bytes()[..]).collect::<Vec<_>>())
            .fetch_one(connection)
            .await?;
        Ok(stored > 0)
    }

    /// As [`countersign_store::Store::read`]. Empty where nothing is at `from`, be that right or not.
    pub(crate) async fn read(
        &self,
        executor: impl PgExecutor<'_>,
        from: u64,
        max: usize,
    ) -> Result<Vec<EntryBytes>, StoreError> {
        let until = from.saturating_add(max.min(MAX_READ) as u64);
        let rows = sqlx::query(AssertSqlSafe(self.read.clone()))
            .bind(self.id)
            .bind(position(from))
            .bind(position(until))
            .bind(MAX_READ_LEN)
            .fetch_all(executor)
            .await
            .map_err(|error| reading(error, from))?;
        rows.iter().zip(from..).map(|(row, seq)| entry(row, Some(seq)).map(|found| found.bytes)).collect()
    }

    pub(crate) async fn find(
        &self,
        executor: impl PgExecutor<'_>,
        digest: &StatementDigest,
    ) -> Result<Option<Found>, StoreError> {
        let row = sqlx::query(AssertSqlSafe(self.find.clone()))
            .bind(self.id)
            .bind(&digest.as_bytes()[..])
            .fetch_optional(executor)
            .await
            .map_err(|error| reading(error, 0))?;
        row.map(|row| entry(&row, None)).transpose()
    }

    /// Refuses where the last entry's bytes are not those that its leaf hash is of.
    pub(crate) async fn check_last(&self, executor: impl PgExecutor<'_>) -> Result<(), StoreError> {
        let row = sqlx::query(AssertSqlSafe(self.last.clone()))
            .bind(self.id)
            .fetch_optional(executor)
            .await
            .map_err(|error| reading(error, 0))?;
        row.map(|row| entry(&row, None)).transpose().map(drop)
    }
}

/// What a session's settings make of an acknowledgement.
pub(crate) async fn durability(connection: &mut PgConnection) -> Result<Durability, sqlx::Error> {
    let found: i32 =
        sqlx::query_scalar(AssertSqlSafe(format!("SELECT {LEVEL}"))).fetch_one(connection).await?;
    let found = usize::try_from(found).ok().and_then(|found| LEVELS.get(found));
    Ok(found.copied().unwrap_or(Durability::Volatile))
}

fn level(durability: Durability) -> i32 {
    match durability {
        Durability::Volatile => 0,
        Durability::LocalSync => 1,
        // No setting is a service's word: asked for, it takes what is more.
        Durability::Service | Durability::QuorumSync => 2,
    }
}

/// A position or count as PostgreSQL has it. What is beyond its numbers is beyond every entry too.
pub(crate) fn position(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A row of position, leaf hash and bytes, compared with each other and with the position that belongs there.
fn entry(row: &PgRow, wanted: Option<u64>) -> Result<Found, StoreError> {
    let seq = count(row, 0)?;
    if let Some(wanted) = wanted.filter(|wanted| *wanted != seq) {
        return Err(StoreError::Damaged { seq: wanted, detail: "the entry is not there".to_owned() });
    }
    let bytes: &[u8] = row.try_get(2).map_err(unavailable)?;
    if leaf_hash(bytes) != leaf(row, 1)? {
        let detail = "its bytes are not those that its leaf hash is of".to_owned();
        return Err(StoreError::Damaged { seq, detail });
    }
    Ok(Found { seq, bytes: bytes.into() })
}

fn count(row: &PgRow, column: usize) -> Result<u64, StoreError> {
    let found: i64 = row.try_get(column).map_err(unavailable)?;
    let negative = |_| StoreError::Damaged { seq: 0, detail: format!("a position of {found}") };
    u64::try_from(found).map_err(negative)
}

fn leaf(row: &PgRow, column: usize) -> Result<LeafHash, StoreError> {
    optional_leaf(row, column)?
        .ok_or_else(|| StoreError::Damaged { seq: 0, detail: "a leaf hash is missing".to_owned() })
}

fn optional_leaf(row: &PgRow, column: usize) -> Result<Option<LeafHash>, StoreError> {
    let found: Option<&[u8]> = row.try_get(column).map_err(unavailable)?;
    let length = |_| StoreError::Damaged { seq: 0, detail: "a leaf hash of another length".to_owned() };
    found.map(|bytes| <[u8; HASH_LEN]>::try_from(bytes).map(LeafHash::new).map_err(length)).transpose()
}
