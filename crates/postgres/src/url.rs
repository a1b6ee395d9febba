//! The address of a server as text: a small pool of its own for whoever has none.

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

/// The address of a server can not be used. Nothing of it is repeated: it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// It is not `postgres://USER:PASSWORD@HOST:PORT/DATABASE?NAME=VALUE&...`, or one of its values can not be read.
    #[error("the address of the server can not be read")]
    Syntax,
    /// A character stands where it means something else than was meant: the password would be taken for the name of a database.
    #[error(
        "the address of the server has a `#`, or an `@` behind a `/`: in a password they are `%23`, `%40` and `%2F`"
    )]
    Unescaped,
    /// There is a parameter that is not one of those that are known. The driver would pass over it, and what was asked for,
    /// like an encrypted connection, would not be.
    #[error("the address of the server has a parameter that is not one of: {}", PARAMETERS.join(", "))]
    Parameter,
}

/// The parameters that the driver knows, in the spelling of PostgreSQL's own programs.
const PARAMETERS: [&str; 11] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
];

/// Most sessions that read at once.
const READERS: u32 = 4;

/// A pool that connects when it is first used.
pub(crate) fn pool(url: &str, patience: Duration) -> Result<PgPool, UrlError> {
    let options = PgPoolOptions::new().max_connections(READERS).acquire_timeout(patience);
    Ok(options.connect_lazy_with(parse(url)?))
}

fn parse(url: &str) -> Result<PgConnectOptions, UrlError> {
    let (_, rest) = url.split_once("://").ok_or(UrlError::Syntax)?;
    let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let database = place.split_once('/').map_or("", |(_, database)| database);
    if url.contains('#') || database.contains('@') {
        return Err(UrlError::Unescaped);
    }
    let names = parameters.split('&').filter(|part| !part.is_empty());
    let mut names = names.map(|part| part.split_once('=').map_or(part, |(name, _)| name));
    if !names.all(|name| PARAMETERS.contains(&name)) {
        return Err(UrlError::Parameter);
    }
    url.parse().map_err(|_| UrlError::Syntax)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_or_refused_without_a_word_of_them() {
        for url in [
            "postgres://db.example/x",
            "postgresql://ann:hunter2@db.example:5433/x?sslmode=require&application_name=a%26b",
            "postgres://ann:hunter2%2F%40%23@db.example/x",
            "postgres:///x?host=/run/postgresql&user=ann&password=hunter2",
        ] {
            assert!(parse(url).is_ok(), "{url}");
        }
        for (url, wanted) in [
            ("db.example/x", UrlError::Syntax),
            ("postgres://ann:hunter2@db.example:hunter2/x", UrlError::Syntax),
            ("postgres://ann:hunter2@db.example/x?sslmode=hunter2", UrlError::Syntax),
            ("postgres://ann:1/hunter2@db.example/x", UrlError::Unescaped),
            ("postgres://ann:a#hunter2@db.example/x", UrlError::Unescaped),
            ("postgres://ann:a?hunter2@db.example/x", UrlError::Parameter),
            ("postgres://db.example/x?ssl_mode=require", UrlError::Parameter),
            ("postgres://db.example/x?user=ann&passwrd=hunter2", UrlError::Parameter),
        ] {
            let refused = parse(url).unwrap_err();
            assert_eq!(refused, wanted, "{url}");
            assert!(!format!("{refused} {refused:?}").contains("hunter2"), "{url}");
        }
    }
}
