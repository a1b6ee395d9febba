//! The tables, how they came to be, and who may do what with them.

use std::fmt;
use std::str::FromStr;

use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use crate::error::OpenError;

/// The name of the schema that holds the tables: `[a-z_][a-z0-9_]{0,62}`, and not one of PostgreSQL's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaName(String);

impl SchemaName {
    /// What is used where nothing else is asked for.
    pub const DEFAULT: &str = "countersign";

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Puts the name in the place of `{schema}`.
    pub(crate) fn fill(&self, sql: &str) -> String {
        sql.replace("{schema}", &format!("\"{}\"", self.0))
    }
}

impl Default for SchemaName {
    fn default() -> Self {
        Self(Self::DEFAULT.to_owned())
    }
}

impl FromStr for SchemaName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        if is_name(name) { Ok(Self(name.to_owned())) } else { Err(NameError(name.to_owned())) }
    }
}

impl fmt::Display for SchemaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A name that is put into SQL has a character that this does not take, is too long, or is one of PostgreSQL's own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no name of the form [a-z_][a-z0-9_]{{0,62}} that PostgreSQL leaves to its users", .0.escape_debug())]
pub struct NameError(pub String);

/// A step from one version of the schema to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// The version that it leads to.
    pub number: i32,
    /// What it runs, in one transaction; `{schema}` stands for the quoted name of the schema.
    pub sql: &'static str,
}

/// All steps, from nothing to the version that this library knows. None is ever changed.
pub const MIGRATIONS: &[Migration] = &[Migration { number: 1, sql: include_str!("migrations/1.sql") }];

/// The version that this library knows.
pub const SCHEMA_VERSION: i32 = MIGRATIONS[MIGRATIONS.len() - 1].number;

/// The SQL that makes the roles, for an operator who owns the schema to run, once and after each migration.
///
/// Who is in `append` records: it adds entries and moves the head, and can not change or delete an entry. Who is in `read` reads
/// everything and changes nothing. Neither may log in by itself: grant them to those who do.
///
/// # Errors
/// [`NameError`] where a role's name is not as narrow as [`SchemaName`].
///
/// ```
/// let sql = countersign_postgres::roles_sql(&Default::default(), "countersign_append", "countersign_read")?;
/// assert!(sql.contains(r#"GRANT INSERT ON "countersign".entries"#));
/// # Ok::<(), countersign_postgres::NameError>(())
/// ```
pub fn roles_sql(schema: &SchemaName, append: &str, read: &str) -> Result<String, NameError> {
    for name in [append, read] {
        if !is_name(name) {
            return Err(NameError(name.to_owned()));
        }
    }
    let sql = include_str!("roles.sql").replace("{append}", append).replace("{read}", read);
    Ok(schema.fill(&sql))
}

/// The version of the schema; 0 where there is none.
pub(crate) async fn version(connection: &mut PgConnection, schema: &SchemaName) -> Result<i32, OpenError> {
    let there = sqlx::query_scalar::<_, bool>("SELECT to_regclass($1) IS NOT NULL")
        .bind(schema.fill("{schema}.migrations"))
        .fetch_one(&mut *connection)
        .await?;
    if !there {
        return Ok(0);
    }
    let sql = schema.fill("SELECT max(number) FROM {schema}.migrations");
    let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(connection).await?;
    Ok(row.try_get::<Option<i32>, _>(0)?.unwrap_or(0))
}

/// Brings the schema up to the version that this library knows. Who loses a race against another finds its work done.
pub(crate) async fn migrate(connection: &mut PgConnection, schema: &SchemaName) -> Result<(), OpenError> {
    // Each attempt that fails is a step that another one took.
    let mut attempts = MIGRATIONS.len() + 1;
    loop {
        let found = version(connection, schema).await?;
        let Some(next) = MIGRATIONS.iter().find(|migration| migration.number > found) else { return Ok(()) };
        let there =
            sqlx::query_scalar::<_, bool>("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)")
                .bind(schema.as_str())
                .fetch_one(&mut *connection)
                .await?;
        let make = if there { "" } else { "CREATE SCHEMA {schema};\n" };
        // Several statements in one message are one transaction.
        let sql = schema.fill(&format!("{make}{}", next.sql));
        match sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *connection).await {
            Ok(_) => {}
            Err(sqlx::Error::Database(error)) if attempts > 0 && is_taken(error.code().as_deref()) => {
                attempts -= 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether something could not be made because it is there.
fn is_taken(code: Option<&str>) -> bool {
    matches!(code, Some("23505" | "42P06" | "42P07" | "42710"))
}

fn is_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=63).contains(&name.len())
        && name.bytes().all(inner)
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.starts_with("pg_")
        && name != "information_schema"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_go_into_sql_are_narrow() {
        let long = "a".repeat(64);
        for name in ["", "1a", "pg_x", "information_schema", "A", "a-b", "a\"b", "a.b", "a b", "ä", &long] {
            assert_eq!(name.parse::<SchemaName>(), Err(NameError(name.to_owned())), "case: {name}");
            assert!(roles_sql(&SchemaName::default(), name, "r").is_err(), "case: {name}");
            assert!(roles_sql(&SchemaName::default(), "r", name).is_err(), "case: {name}");
        }
        for name in ["a", "_a1", "public", &long[1..]] {
            assert_eq!(name.parse::<SchemaName>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn migrations_are_numbered_without_a_gap() {
        for (index, migration) in (1..).zip(MIGRATIONS) {
            assert_eq!(migration.number, index);
            let told = format!("INSERT INTO {{schema}}.migrations (number) VALUES ({index});");
            assert!(migration.sql.trim_end().ends_with(&told), "migration {index}");
        }
    }
}
