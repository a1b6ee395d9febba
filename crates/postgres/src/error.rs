//! Why a store is not opened, and what the errors of the driver mean for entries.

use std::time::Duration;

use countersign_core::digest::{HASH_LEN, StatementDigest};
use countersign_store::{AppendError, StoreError, TooWeak};
use sqlx::postgres::{PgDatabaseError, PgSeverity};

use crate::url::UrlError;

/// A store was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The server is older than what is supported.
    #[error("the server has version {found}, and {} is the oldest that is supported", crate::OLDEST_SERVER)]
    Server {
        /// Its `server_version_num`.
        found: i32,
    },
    /// The server is a standby, which takes no entries.
    #[error("the server is a standby: it takes no entries")]
    Standby,
    /// It acknowledges less than what is asked for. A server with `fsync=off` can be opened with
    /// [`crate::Options::allow_volatile`].
    #[error(transparent)]
    TooWeak(#[from] TooWeak),
    /// The schema is newer than this library, or older (or not there) and not to be changed.
    #[error("the schema has version {found}, and version {known} is wanted")]
    Schema {
        /// Its version; 0 where there is none.
        found: i32,
        /// The version that this library knows.
        known: i32,
    },
    /// The name of a ledger is empty, has more than 255 bytes, or has control characters.
    #[error("`{}` is no name of a ledger", .0.escape_debug())]
    LedgerName(String),
    /// There is no ledger of that name, and none is to be made.
    #[error("there is no ledger `{}`", .0.escape_debug())]
    NoLedger(String),
    /// What is kept is not what was stored, or can not be read.
    #[error(transparent)]
    Store(StoreError),
    /// The address of the server can not be used.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The server does not answer in time.
    #[error("the server does not answer within {} seconds", .patience.as_secs_f32())]
    Late {
        /// How long it was waited for.
        patience: Duration,
    },
    /// No encrypted connection comes about: the server has none, its certificate is of no authority that is trusted or of another host, or
    /// this library was built without the feature `rustls`.
    #[error("there is no encrypted connection to the right server")]
    Tls(#[source] sqlx::Error),
    /// The server can not be reached, or refuses.
    #[error("the server can not be used")]
    Backend(#[source] sqlx::Error),
}

impl From<sqlx::Error> for OpenError {
    fn from(error: sqlx::Error) -> Self {
        if is_about_tls(&error) { Self::Tls(error) } else { Self::Backend(error) }
    }
}

impl OpenError {
    /// Whether there is no such ledger, in tables that are in order or not there at all.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::NoLedger(_) | Self::Schema { found: 0, .. })
    }

    /// Whether what is kept is not what was stored.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Store(StoreError::Damaged { .. }))
    }
}

/// Whether the ends did not agree on an encrypted connection. What the library for it finds wrong is told as an error of the connection.
fn is_about_tls(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Tls(_) => true,
        #[cfg(feature = "rustls")]
        sqlx::Error::Io(error) => error.get_ref().is_some_and(|cause| cause.is::<rustls::Error>()),
        _ => false,
    }
}

/// What an error of a statement that only reads means.
pub(crate) fn reading(error: sqlx::Error, seq: u64) -> StoreError {
    match damage(&error) {
        Some(detail) => StoreError::Damaged { seq, detail },
        None => StoreError::Unavailable(error.into()),
    }
}

/// What an error of the statement that stores entries behind `seq` means for them.
pub(crate) fn storing(error: sqlx::Error, seq: u64) -> AppendError {
    match refused(&error) {
        Some(refused) => AppendError::NotStored(meaning(refused, seq).unwrap_or_else(|| unavailable(error))),
        // The statement may be under way still, or done: the answer is what was lost.
        None => AppendError::OutcomeUnknown(error.into()),
    }
}

/// What an error of that statement means inside a transaction, which stores nothing before its commit.
pub(crate) fn storing_within(error: sqlx::Error, seq: u64) -> AppendError {
    let known = refused(&error).and_then(|refused| meaning(refused, seq));
    AppendError::NotStored(known.unwrap_or_else(|| unavailable(error)))
}

pub(crate) fn unavailable(error: sqlx::Error) -> StoreError {
    StoreError::Unavailable(error.into())
}

/// The server's own word that the statement was undone. An end of the session, or a cancelled wait for a standby, can be
/// told after the commit: those prove nothing.
pub(crate) fn refused(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    let refused = error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()?;
    (refused.severity() == PgSeverity::Error && !refused.code().starts_with("57")).then_some(refused)
}

fn meaning(refused: &PgDatabaseError, seq: u64) -> Option<StoreError> {
    match (refused.code(), refused.constraint()) {
        ("23505", Some("entries_digest")) => {
            refused.detail().and_then(digest_in).map(|digest| StoreError::Repeated { digest })
        }
        // The head row was as expected, and an entry stands behind it.
        ("23505", Some("entries_seq" | "entries_prev")) => {
            let detail = "an entry stands where the head says that there is none".to_owned();
            Some(StoreError::Damaged { seq, detail })
        }
        ("XX001" | "XX002", _) => Some(StoreError::Damaged { seq, detail: refused.message().to_owned() }),
        _ => None,
    }
}

fn damage(error: &sqlx::Error) -> Option<String> {
    let refused = refused(error)?;
    matches!(refused.code(), "XX001" | "XX002").then(|| refused.message().to_owned())
}

/// The digest in `Key (ledger, digest)=(1, \xab..) already exists.`, whose words depend on the server's language.
fn digest_in(detail: &str) -> Option<StatementDigest> {
    let (_, rest) = detail.split_once("\\x")?;
    rest.get(..2 * HASH_LEN)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repeated_statement_is_read_from_what_the_server_says() {
        let digest = StatementDigest::new([0xab; 32]);
        assert_eq!(
            digest_in(&format!("Key (ledger, digest)=(1, \\x{digest}) already exists.")),
            Some(digest)
        );
        assert_eq!(digest_in("Key (ledger, digest)=(1, \\xabab) already exists."), None);
        assert_eq!(digest_in("no key"), None);
    }
}
