//! The writer's own session with the server.

use std::time::Duration;

use countersign_store::Durability;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, PgConnection};

use crate::OLDEST_SERVER;
use crate::error::OpenError;
use crate::ledger::durability;
use crate::listener::Listener;

/// First supported version that ends idle sessions by itself where it is asked to.
const ENDS_IDLE_SESSIONS: i32 = 140_000;

/// A session that writes.
pub(crate) struct Session {
    pub(crate) connection: PgConnection,
    /// Where the server waits for standbys.
    pub(crate) listener: Option<Listener>,
}

/// Connects, with settings that entries rely on whatever those of the server, the database and the role are.
pub(crate) async fn connect(
    options: &PgConnectOptions,
    lock_timeout: Duration,
) -> Result<Session, OpenError> {
    let mut connection = options.connect().await?;
    let version = check_server(&mut connection).await?;
    let is_standby: bool =
        sqlx::query_scalar("SELECT pg_is_in_recovery()").fetch_one(&mut connection).await?;
    if is_standby {
        return Err(OpenError::Standby);
    }
    // A statement that a time limit ends while it waits for a standby counts as done: no limit but the writer's own. In other
    // isolation levels than READ COMMITTED a lost race is an error of its own.
    sqlx::query(
        "SELECT set_config('statement_timeout', '0', false), set_config('lock_timeout', $1, false), \
            set_config('default_transaction_isolation', 'read committed', false), \
            set_config('default_transaction_read_only', 'off', false), \
            set_config('client_min_messages', 'warning', false), \
            set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' \
                ELSE current_setting('synchronous_commit') END, false)",
    )
    .bind(lock_timeout.as_millis().to_string())
    .execute(&mut connection)
    .await?;
    if version >= ENDS_IDLE_SESSIONS {
        sqlx::query("SELECT set_config('idle_session_timeout', '0', false)").execute(&mut connection).await?;
    }
    Ok(Session { connection, listener: None })
}

/// Refuses servers that are too old; gives the version.
pub(crate) async fn check_server(connection: &mut PgConnection) -> Result<i32, OpenError> {
    let sql = "SELECT current_setting('server_version_num')::integer";
    let found: i32 = sqlx::query_scalar(sql).fetch_one(connection).await?;
    require_version(found).map(|()| found)
}

fn require_version(found: i32) -> Result<(), OpenError> {
    if found < OLDEST_SERVER { Err(OpenError::Server { found }) } else { Ok(()) }
}

/// What the session's acknowledgements survive, where that is enough.
pub(crate) async fn check_durability(
    session: &mut Session,
    least: Durability,
) -> Result<Durability, OpenError> {
    let mut found = durability(&mut session.connection).await?;
    if found == Durability::QuorumSync {
        let listener = Listener::new();
        // There is no transaction, of which the server warns. Where that is not heard (the build has warnings compiled out of `tracing`), neither
        // is that a wait for a standby was cancelled, and what nobody would know is not promised.
        let (done, hears) = listener.hear(sqlx::raw_sql("ROLLBACK").execute(&mut session.connection)).await;
        done?;
        session.listener = hears.then_some(listener);
        if !hears {
            found = Durability::LocalSync;
        }
    }
    found.require(least)?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_servers_are_refused() {
        for (version, taken) in [(90_600, false), (129_999, false), (130_000, true), (180_001, true)] {
            assert_eq!(require_version(version).is_ok(), taken, "case: {version}");
        }
    }
}
