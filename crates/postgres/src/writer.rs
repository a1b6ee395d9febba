//! The one that writes: a task that nobody's dropped future stops, with a session of its own.

use std::sync::Arc;
use std::time::Duration;

use countersign_core::entry::Head;
use countersign_store::{AppendError, Batch, NoteBytes, StoreError, checkpoint_size};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout_at};

use crate::error::{OpenError, refused, unavailable};
use crate::ledger::{Terms, position};
use crate::notify::tell;
use crate::session::{Session, check_durability, connect};
use crate::store::Shared;

/// The pause after the first attempt to connect that fails; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

pub(crate) struct Job {
    pub(crate) work: Work,
    /// When whoever waits for it is told how it stands, at the latest.
    pub(crate) until: Instant,
}

pub(crate) enum Work {
    Append(Batch, oneshot::Sender<Result<Head, AppendError>>),
    Checkpoint(u64, NoteBytes, oneshot::Sender<Result<(), StoreError>>),
}

pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) options: PgConnectOptions,
    pub(crate) lock_timeout: Duration,
    pub(crate) epoch: i64,
    /// Whether to tell those who listen.
    pub(crate) notify: bool,
    /// None after it was lost, or something happened on it that nobody knows the end of.
    pub(crate) session: Option<Session>,
}

impl Writer {
    /// Works until all handles are gone. Each job is done to its end, whoever waits for it.
    pub(crate) async fn run(mut self, mut jobs: mpsc::UnboundedReceiver<Job>) {
        while let Some(Job { work, until }) = jobs.recv().await {
            match work {
                Work::Append(batch, reply) => {
                    let answer = self.append(&batch, until).await;
                    let is_stored = answer.is_ok();
                    if is_stored {
                        self.shared.acknowledge(batch.head());
                    }
                    let _ = reply.send(answer.map(|()| batch.head()));
                    if self.notify && is_stored {
                        self.tell().await;
                    }
                }
                Work::Checkpoint(size, note, reply) => {
                    let _ = reply.send(self.put_checkpoint(size, &note, until).await);
                }
            }
        }
        if let Some(session) = self.session {
            let _ = session.connection.close().await;
        }
    }

    async fn append(&mut self, batch: &Batch, until: Instant) -> Result<(), AppendError> {
        let mut session = self.connected(until).await?;
        let terms = Terms {
            epoch: self.epoch,
            least: self.shared.durability,
            acknowledged: self.shared.acknowledged(),
        };
        let appending = self.shared.table.append(&mut session.connection, batch, terms);
        let appending = async {
            match &session.listener {
                Some(listener) => listener.hear(appending).await,
                None => (appending.await, false),
            }
        };
        let (answer, is_warned) = match timeout_at(until, appending).await {
            Ok(answer) => answer,
            Err(late) => (Err(AppendError::OutcomeUnknown(late.into())), false),
        };
        // What is said next on a session that broke off might answer an earlier question.
        if is_whole(&answer) {
            self.session = Some(session);
        }
        if is_warned {
            // As where a wait for a standby is cancelled, and the server reports a commit that no standby has.
            answer?;
            return Err(AppendError::OutcomeUnknown("the server warned of something".into()));
        }
        answer
    }

    /// Tells those who listen of what is stored, after whoever waits for it has the answer.
    async fn tell(&mut self) {
        if let Some(mut session) = self.session.take()
            && tell(&mut session.connection, &self.shared).await
        {
            self.session = Some(session);
        }
    }

    /// As [`countersign_store::Store::put_checkpoint`].
    async fn put_checkpoint(&mut self, size: u64, note: &[u8], until: Instant) -> Result<(), StoreError> {
        let mut session = self.connected(until).await?;
        let putting = self.put(&mut session.connection, size, note);
        let answer = match timeout_at(until, putting).await {
            Ok(answer) => answer,
            Err(late) => return Err(StoreError::Unavailable(late.into())),
        };
        match answer {
            Ok(entries) => {
                self.session = Some(session);
                match entries {
                    Some(entries) => Err(StoreError::Checkpoint { size, entries }),
                    None => Ok(()),
                }
            }
            Err(error) => {
                if refused(&error).is_some() {
                    self.session = Some(session);
                }
                Err(unavailable(error))
            }
        }
    }

    /// The number of entries, where the note is none or is over more.
    async fn put(
        &self,
        connection: &mut PgConnection,
        size: u64,
        note: &[u8],
    ) -> Result<Option<u64>, sqlx::Error> {
        let sql = self.shared.schema.fill(
            "WITH there AS (SELECT id, size FROM {schema}.ledgers WHERE id = $1), kept AS ( \
                INSERT INTO {schema}.checkpoints AS c (ledger, size, note) \
                SELECT id, $2, $3 FROM there WHERE size >= $2 AND $4 \
                ON CONFLICT (ledger) DO UPDATE SET size = excluded.size, note = excluded.note \
                WHERE c.size <= excluded.size \
            ) SELECT size, size >= $2 AND $4 FROM there",
        );
        let row = sqlx::query(AssertSqlSafe(sql))
            .bind(self.shared.table.id())
            .bind(position(size))
            .bind(note)
            .bind(checkpoint_size(note) == Some(size))
            .fetch_one(connection)
            .await?;
        let (entries, taken): (i64, bool) = (row.try_get(0)?, row.try_get(1)?);
        Ok((!taken).then_some(entries.unsigned_abs()))
    }

    /// A session, a new one if need be. Nothing was sent where there is none.
    async fn connected(&mut self, until: Instant) -> Result<Session, StoreError> {
        if Instant::now() >= until {
            return Err(StoreError::Unavailable("what was to be written before took too long".into()));
        }
        if let Some(session) = self.session.take() {
            return Ok(session);
        }
        let mut pause = FIRST_PAUSE;
        loop {
            let connecting = async {
                let mut session = connect(&self.options, self.lock_timeout).await?;
                check_durability(&mut session, self.shared.durability).await?;
                Ok(session)
            };
            let error = match timeout_at(until, connecting).await {
                Ok(Ok(session)) => return Ok(session),
                Ok(Err(OpenError::Backend(error) | OpenError::Tls(error))) => {
                    StoreError::Unavailable(error.into())
                }
                // Waiting does not help.
                Ok(Err(OpenError::TooWeak(weak))) => return Err(StoreError::Unavailable(weak.into())),
                Ok(Err(error)) => return Err(StoreError::Unavailable(error.into())),
                Err(late) => return Err(StoreError::Unavailable(late.into())),
            };
            if Instant::now() + pause >= until {
                return Err(error);
            }
            sleep(pause).await;
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }
}

/// Whether the session's last word was about what was asked last.
fn is_whole(answer: &Result<(), AppendError>) -> bool {
    match answer {
        Ok(()) | Err(AppendError::Conflict { .. }) => true,
        Err(AppendError::NotStored(StoreError::Unavailable(cause))) => {
            cause.downcast_ref::<sqlx::Error>().is_none_or(|error| refused(error).is_some())
        }
        Err(AppendError::NotStored(_)) => true,
        Err(_) => false,
    }
}
