//! The tables, and what tells a database of ours from others.

use rusqlite::Connection;

use crate::OpenError;

/// `application_id` of a database of ledgers: the letters `csgn`.
pub const APPLICATION_ID: i32 = i32::from_be_bytes(*b"csgn");
/// `user_version`: the version of the tables.
pub const SCHEMA_VERSION: i32 = 1;
/// The oldest SQLite that may write, as `SQLITE_VERSION_NUMBER`. Before 3.51.3, a checkpoint beside a writer could corrupt the file.
pub const MIN_SQLITE_VERSION: i32 = 3_051_003;

/// By name, as `sqlite_schema` has them.
const OBJECTS: [(&str, &str); 5] = [
    (
        "checkpoints",
        "CREATE TABLE checkpoints (
  ledger INTEGER PRIMARY KEY REFERENCES ledgers (id),
  size INTEGER NOT NULL,
  note BLOB NOT NULL
) STRICT",
    ),
    (
        "entries",
        "CREATE TABLE entries (
  ledger INTEGER NOT NULL REFERENCES ledgers (id),
  seq INTEGER NOT NULL,
  leaf BLOB NOT NULL,
  digest BLOB NOT NULL,
  bytes BLOB NOT NULL,
  UNIQUE (ledger, seq)
) STRICT",
    ),
    ("entries_by_digest", "CREATE UNIQUE INDEX entries_by_digest ON entries (ledger, digest)"),
    (
        "ledgers",
        "CREATE TABLE ledgers (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE
) STRICT",
    ),
    (
        "snapshots",
        "CREATE TABLE snapshots (
  ledger INTEGER NOT NULL REFERENCES ledgers (id),
  size INTEGER NOT NULL,
  name TEXT NOT NULL,
  note BLOB NOT NULL,
  payload BLOB NOT NULL,
  UNIQUE (ledger, size, name)
) STRICT",
    ),
];

/// Refuses a library whose `SQLITE_VERSION_NUMBER` is below [`MIN_SQLITE_VERSION`].
///
/// # Errors
/// [`OpenError::Library`].
pub fn check_version(found: i32) -> Result<(), OpenError> {
    if found < MIN_SQLITE_VERSION { Err(OpenError::Library { found }) } else { Ok(()) }
}

/// What a database is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing was ever put into it.
    Empty,
    /// Ours, in the version that we know.
    Ours,
    /// Ours, in another version.
    Version(i32),
    /// Ours, and this object of it is not what we made, or does not belong to it.
    Altered(String),
    /// Somebody else's.
    Foreign,
}

/// Looks at a database without changing it.
pub(crate) fn kind(connection: &Connection) -> rusqlite::Result<Kind> {
    // In one transaction: others may be making the tables.
    let reading = connection.unchecked_transaction()?;
    let pragma = |name| reading.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let (id, version) = (pragma("application_id")?, pragma("user_version")?);
    let mut query = reading.prepare(
        "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name",
    )?;
    let found = query
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
        .collect::<rusqlite::Result<Vec<(String, String, String, Option<String>)>>>()?;
    if id != APPLICATION_ID {
        let is_empty = id == 0 && version == 0 && found.is_empty();
        return Ok(if is_empty { Kind::Empty } else { Kind::Foreign });
    }
    if version != SCHEMA_VERSION {
        return Ok(Kind::Version(version));
    }
    for (name, sql) in OBJECTS {
        if !found.iter().any(|(_, found, _, as_made)| found == name && as_made.as_deref() == Some(sql)) {
            return Ok(Kind::Altered(name.to_owned()));
        }
    }
    // Tables, views and indexes of the user's own do no harm; what runs when an entry is written would.
    let trigger = found.into_iter().find(|(kind, ..)| kind == "trigger");
    Ok(trigger.map_or(Kind::Ours, |(_, name, ..)| Kind::Altered(name)))
}

/// Makes the tables, inside a transaction of the caller's.
pub(crate) fn create(connection: &Connection) -> rusqlite::Result<()> {
    for (_, sql) in OBJECTS.iter().filter(|(_, sql)| sql.starts_with("CREATE TABLE")) {
        connection.execute_batch(sql)?;
    }
    for (_, sql) in OBJECTS.iter().filter(|(_, sql)| !sql.starts_with("CREATE TABLE")) {
        connection.execute_batch(sql)?;
    }
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", SCHEMA_VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_below_the_limit_is_refused() {
        for (found, is_refused) in
            [(3_046_000, true), (3_051_002, true), (3_051_003, false), (3_054_001, false)]
        {
            let refused =
                matches!(check_version(found), Err(OpenError::Library { found: named }) if named == found);
            assert_eq!(refused, is_refused, "case: {found}");
        }
        assert!(check_version(rusqlite::version_number()).is_ok(), "the library that is built in");
    }
}
