//! How a store is opened.

use std::sync::Arc;
use std::time::Duration;

use countersign_core::entry::Head;
use countersign_store::{Durability, Growth};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, PgPool};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::error::OpenError;
use crate::ledger::{LedgerTable, durability};
use crate::notify::Ears;
use crate::schema::{SCHEMA_VERSION, SchemaName, migrate, version};
use crate::session::{check_durability, check_server, connect};
use crate::store::{PostgresStore, Shared, WriterHandle};
use crate::url::pool;
use crate::writer::Writer;

/// How a store is opened.
///
/// ```no_run
/// # async fn open() -> Result<(), Box<dyn std::error::Error>> {
/// use countersign_postgres::Options;
/// use sqlx::PgPool;
///
/// let pool = PgPool::connect("postgres://app@localhost/app").await?;
/// let store = Options::new().schema("audit".parse()?).open(&pool, "access").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Options {
    schema: SchemaName,
    migrate: bool,
    make: bool,
    take_over: bool,
    unchecked: bool,
    notify: bool,
    least: Durability,
    limits: Limits,
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// A write, with its turn and a connection for it; a question.
    pub(crate) patience: Duration,
    /// Waiting for a row that another transaction holds.
    pub(crate) lock_timeout: Duration,
    /// Between two looks for entries of other processes.
    pub(crate) poll: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            schema: SchemaName::default(),
            migrate: true,
            make: true,
            take_over: false,
            unchecked: false,
            notify: false,
            least: Durability::LocalSync,
            limits: Limits {
                patience: Duration::from_secs(30),
                lock_timeout: Duration::from_secs(10),
                poll: Duration::from_millis(200),
            },
        }
    }
}

impl Options {
    /// The schema `countersign`, made or brought up to date if need be; an append waits for at most 30 seconds.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The schema that holds the tables.
    #[must_use]
    pub fn schema(mut self, schema: SchemaName) -> Self {
        self.schema = schema;
        self
    }

    /// Refuses a schema that is older than this library instead of migrating it: where an operator runs [`crate::MIGRATIONS`].
    #[must_use]
    pub fn without_migration(mut self) -> Self {
        self.migrate = false;
        self
    }

    /// Refuses a ledger that is not there instead of making it, and makes no schema for it.
    #[must_use]
    pub fn existing(mut self) -> Self {
        self.make = false;
        self
    }

    /// Fences every writer that has the ledger open: what they append from now on is refused with
    /// [`countersign_store::StoreError::Fenced`]. Without it, several recorders share the ledger, and the first to append wins.
    #[must_use]
    pub fn take_over(mut self) -> Self {
        self.take_over = true;
        self
    }

    /// For an auditor, who holds every entry against the others: [`Options::open_for_reading`] takes a ledger too whose head or last entry is not what
    /// it should be. Reads name what they find all the same.
    #[must_use]
    pub fn unchecked(mut self) -> Self {
        self.unchecked = true;
        self
    }

    /// Refuses a server whose acknowledgements survive less, at opening and before each append. [`Durability::QuorumSync`] asks for a
    /// synchronous standby.
    #[must_use]
    pub fn require(mut self, durability: Durability) -> Self {
        self.least = durability;
        self
    }

    /// Takes a server with `fsync=off` too, whose entries may be gone after a loss of power: for tests.
    #[must_use]
    pub fn allow_volatile(mut self) -> Self {
        self.least = Durability::Volatile;
        self
    }

    /// How long an append or a checkpoint may take in all, its turn behind others and a new connection included, and how long a question
    /// may take. After that an append that was sent is an unknown outcome, and one that was not sent stored nothing. Snapshots may
    /// take longer: nothing waits for them. Without it, 30 seconds.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.limits.patience = patience;
        self
    }

    /// How long an append waits while another transaction holds the head: then nothing is stored. Whole milliseconds, at least one.
    #[must_use]
    pub fn lock_timeout(mut self, lock_timeout: Duration) -> Self {
        self.limits.lock_timeout = lock_timeout.max(Duration::from_millis(1));
        self
    }

    /// How often [`countersign_store::Store::wait`] looks for entries of other processes.
    #[must_use]
    pub fn poll(mut self, poll: Duration) -> Self {
        self.limits.poll = poll;
        self
    }

    /// Tells of appended entries by `NOTIFY`, and listens for what others tell on one connection of the pool, so that
    /// [`countersign_store::Store::wait`] looks at once and not at the next poll. Off by default: transactions that notify are committed one
    /// after the other, in all databases of the server. Hints alone, which only those give and hear who asked for them; polling finds what is
    /// missed, as on a standby, where nobody can listen. `append_in` tells nobody.
    #[must_use]
    pub fn notify(mut self) -> Self {
        self.notify = true;
        self
    }

    /// Opens the ledger `ledger` for writing. The writer has a session of its own, with the pool's connection options.
    ///
    /// To be called within a Tokio runtime, which is to live as long as the store.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(self, pool: &PgPool, ledger: &str) -> Result<PostgresStore, OpenError> {
        check_name(ledger)?;
        let options = (*pool.connect_options()).clone();
        let connecting = connect(&options, self.limits.lock_timeout);
        let mut session = within(self.limits.patience, connecting).await?;
        let durability = check_durability(&mut session, self.least).await?;
        let connection = &mut session.connection;
        if self.migrate {
            let found = version(connection, &self.schema).await?;
            // Nobody who asks for what is there already has it made in a database of others.
            if found < SCHEMA_VERSION && (self.make || found > 0) {
                migrate(connection, &self.schema).await?;
            }
        }
        self.check_schema(connection).await?;
        if self.make {
            let sql = "INSERT INTO {schema}.ledgers (name) SELECT $1 \
                WHERE NOT EXISTS (SELECT FROM {schema}.ledgers WHERE name = $1) ON CONFLICT (name) DO NOTHING";
            sqlx::query(AssertSqlSafe(self.schema.fill(sql))).bind(ledger).execute(&mut *connection).await?;
        }
        let table = self.find_ledger(connection, ledger).await?;
        if self.take_over {
            let sql = self.schema.fill("UPDATE {schema}.ledgers SET epoch = epoch + 1 WHERE id = $1");
            sqlx::query(AssertSqlSafe(sql)).bind(table.id()).execute(&mut *connection).await?;
        }
        let (head, epoch) = check(&table, connection).await?;
        let shared = self.share(pool, table, durability, head);
        let (jobs, queue) = mpsc::unbounded_channel();
        let writer = Writer {
            shared: shared.clone(),
            options,
            lock_timeout: self.limits.lock_timeout,
            epoch,
            notify: self.notify,
            session: Some(session),
        };
        tokio::spawn(writer.run(queue));
        Ok(PostgresStore { shared, writer: Some(WriterHandle { jobs, epoch }) })
    }

    /// As [`Options::open`], with a small pool of its own for reading: `postgres://USER:PASSWORD@HOST:PORT/DATABASE?NAME=VALUE&...`.
    ///
    /// What the address leaves open is taken from the environment and the password file, as PostgreSQL's own programs do (`PGHOST`,
    /// `PGUSER`, `PGPASSWORD`, `~/.pgpass`, ...).
    ///
    /// # Errors
    /// [`OpenError`], which says nothing of the address.
    pub async fn connect(self, url: &str, ledger: &str) -> Result<PostgresStore, OpenError> {
        let pool = pool(url, self.limits.patience)?;
        self.open(&pool, ledger).await
    }

    /// As [`Options::open_for_reading`], with a small pool of its own.
    ///
    /// # Errors
    /// As for [`Options::connect`].
    pub async fn connect_for_reading(self, url: &str, ledger: &str) -> Result<PostgresStore, OpenError> {
        let pool = pool(url, self.limits.patience)?;
        // A pool tries again and again where nobody listens, and tells at the end that it took too long.
        let probing = async { Ok(pool.connect_options().connect().await?.close().await?) };
        within(self.limits.patience, probing).await?;
        self.open_for_reading(&pool, ledger).await
    }

    /// Opens the ledger `ledger` for reading only, on a standby too, with no more rights than `SELECT`. Nothing is made or migrated.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open_for_reading(self, pool: &PgPool, ledger: &str) -> Result<PostgresStore, OpenError> {
        check_name(ledger)?;
        let mut connection = pool.acquire().await?;
        check_server(&mut connection).await?;
        self.check_schema(&mut connection).await?;
        let table = self.find_ledger(&mut connection, ledger).await?;
        let durability = durability(&mut connection).await?;
        let head = match check(&table, &mut connection).await {
            Err(OpenError::Store(countersign_store::StoreError::Damaged { .. })) if self.unchecked => {
                Head::EMPTY
            }
            checked => checked?.0,
        };
        drop(connection);
        Ok(PostgresStore { shared: self.share(pool, table, durability, head), writer: None })
    }

    async fn check_schema(&self, connection: &mut PgConnection) -> Result<(), OpenError> {
        match version(connection, &self.schema).await? {
            SCHEMA_VERSION => Ok(()),
            found => Err(OpenError::Schema { found, known: SCHEMA_VERSION }),
        }
    }

    async fn find_ledger(&self, connection: &mut PgConnection, name: &str) -> Result<LedgerTable, OpenError> {
        let sql = self.schema.fill("SELECT id FROM {schema}.ledgers WHERE name = $1");
        let id: Option<i32> =
            sqlx::query_scalar(AssertSqlSafe(sql)).bind(name).fetch_optional(connection).await?;
        let id = id.ok_or_else(|| OpenError::NoLedger(name.to_owned()))?;
        Ok(LedgerTable::new(&self.schema, id))
    }

    fn share(&self, pool: &PgPool, table: LedgerTable, durability: Durability, head: Head) -> Arc<Shared> {
        Arc::new_cyclic(|shared| Shared {
            _ears: self.notify.then(|| Ears::listening(pool.clone(), shared.clone(), self.limits.poll)),
            pool: pool.clone(),
            schema: self.schema.clone(),
            table,
            durability,
            limits: self.limits,
            growth: Growth::new(head.size),
            acknowledged: std::sync::Mutex::new(Head::EMPTY),
        })
    }
}

/// Brings a schema up to the version that this library knows, and makes it where there is none: what opening for writing does too.
///
/// # Errors
/// [`OpenError`].
pub async fn migrate_schema(pool: &PgPool, schema: &SchemaName) -> Result<(), OpenError> {
    // Not the pool's: nothing is left behind in it, whatever becomes of this future.
    let mut connection = pool.acquire().await?.detach();
    check_server(&mut connection).await?;
    migrate(&mut connection, schema).await?;
    connection.close().await?;
    Ok(())
}

/// Head and epoch, where what stands at the end holds together.
async fn check(table: &LedgerTable, connection: &mut PgConnection) -> Result<(Head, i64), OpenError> {
    let found = table.look(&mut *connection, 0, Head::EMPTY).await.map_err(OpenError::Store)?;
    table.check_last(connection).await.map_err(OpenError::Store)?;
    Ok((found.head, found.epoch))
}

async fn within<T>(
    patience: Duration,
    doing: impl Future<Output = Result<T, OpenError>>,
) -> Result<T, OpenError> {
    timeout(patience, doing).await.unwrap_or(Err(OpenError::Late { patience }))
}

fn check_name(name: &str) -> Result<(), OpenError> {
    if (1..=255).contains(&name.len()) && !name.chars().any(char::is_control) {
        return Ok(());
    }
    Err(OpenError::LedgerName(name.to_owned()))
}
