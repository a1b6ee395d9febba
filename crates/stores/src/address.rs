//! Addresses as text. What is printed of one never has a password in it.

use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use countersign_core::id::LedgerName;

/// Where a ledger is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// At a path: a directory, or one file `NAME.jsonl`. What stands there decides.
    Path(PathBuf),
    /// In a directory: `file:DIR`.
    Directory(PathBuf),
    /// In a SQLite database: `sqlite:FILE#LEDGER`.
    Sqlite {
        /// The database.
        file: PathBuf,
        /// The ledger's name in it.
        ledger: LedgerName,
    },
    /// In a PostgreSQL database: `postgres://...#LEDGER`, or `postgresql://...`.
    Postgres {
        /// How to connect.
        url: SecretUrl,
        /// The ledger's name in it.
        ledger: LedgerName,
    },
    /// In object storage: `s3://BUCKET/PREFIX`.
    Object {
        /// The bucket.
        bucket: String,
        /// What every name in it starts with; may be empty.
        prefix: String,
    },
    /// In this process: `memory:`.
    Memory,
}

impl Address {
    /// Reads what a user gave. Text that starts with no scheme is a path, in any encoding.
    ///
    /// # Errors
    /// [`ParseAddressError`].
    pub fn parse(text: &OsStr) -> Result<Self, ParseAddressError> {
        match text.to_str() {
            Some(text) => text.parse(),
            None => Ok(Self::Path(text.into())),
        }
    }
}

impl FromStr for Address {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(ParseAddressError::Empty);
        }
        let Some((scheme, rest)) = text.split_once(':').filter(|(scheme, _)| is_scheme(scheme)) else {
            return Ok(Self::Path(text.into()));
        };
        match scheme {
            "file" if rest.is_empty() => Err(ParseAddressError::NoPlace { scheme: "file" }),
            "file" => Ok(Self::Directory(rest.into())),
            "memory" if rest.is_empty() => Ok(Self::Memory),
            "memory" => Err(ParseAddressError::Memory),
            "sqlite" => {
                let (file, ledger) = named("sqlite", rest)?;
                if file.is_empty() || file == ":memory:" {
                    return Err(ParseAddressError::NoPlace { scheme: "sqlite" });
                }
                Ok(Self::Sqlite { file: file.into(), ledger })
            }
            "postgres" | "postgresql" => {
                let (url, ledger) = named("postgres", text)?;
                let place = url.split_once("://").map_or("", |(_, place)| place);
                if place.is_empty() {
                    return Err(ParseAddressError::NoPlace { scheme: "postgres" });
                }
                Ok(Self::Postgres { url: SecretUrl(url.to_owned()), ledger })
            }
            "s3" => {
                let place = rest.strip_prefix("//").unwrap_or("");
                let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
                if bucket.is_empty() {
                    return Err(ParseAddressError::NoPlace { scheme: "s3" });
                }
                Ok(Self::Object { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
            }
            // A path may have a colon in it; nobody means one by these.
            other if rest.starts_with("//") => Err(ParseAddressError::Scheme { scheme: other.to_owned() }),
            _ => Ok(Self::Path(text.into())),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Directory(path) => write!(f, "file:{}", path.display()),
            Self::Sqlite { file, ledger } => write!(f, "sqlite:{}#{}", file.display(), ledger.as_str()),
            Self::Postgres { url, ledger } => write!(f, "{url}#{}", ledger.as_str()),
            Self::Object { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::Object { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
            Self::Memory => f.write_str("memory:"),
        }
    }
}

/// A URL that may hold a password: printed without it, and without what follows a `?`, which may be one too.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretUrl(String);

impl SecretUrl {
    /// All of it, for the driver alone.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("", &self.0));
        // Up to the last `@`: a password that was not escaped may have others in it.
        let (user, place) = match rest.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, rest),
        };
        write!(f, "{scheme}://")?;
        match user.map(|user| user.split_once(':').unwrap_or((user, ""))) {
            // An `@` in a password that is a parameter, or something else that is no name.
            Some((user, _)) if user.contains(['/', '?', '&', '=']) => f.write_str("***@")?,
            Some((user, "")) => write!(f, "{user}@")?,
            Some((user, _)) => write!(f, "{user}:***@")?,
            None => {}
        }
        match place.split_once('?') {
            Some((place, _)) => write!(f, "{place}?***"),
            None => f.write_str(place),
        }
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Text is no address. Nothing of it is repeated but its scheme and a ledger's name: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseAddressError {
    /// There is no text.
    #[error("an address is not empty")]
    Empty,
    /// No such store is known.
    #[error("no store has addresses that start with `{scheme}://`")]
    Scheme {
        /// What stands before the colon.
        scheme: String,
    },
    /// It does not say where.
    #[error("an address that starts with `{scheme}:` goes on with a place")]
    NoPlace {
        /// The scheme.
        scheme: &'static str,
    },
    /// It does not say which ledger.
    #[error("an address that starts with `{scheme}:` ends in `#` and the name of a ledger")]
    NoLedger {
        /// The scheme.
        scheme: &'static str,
    },
    /// Something follows `memory:`.
    #[error("nothing follows `memory:`")]
    Memory,
}

/// What is before the last `#`, and the ledger behind it.
fn named<'t>(scheme: &'static str, text: &'t str) -> Result<(&'t str, LedgerName), ParseAddressError> {
    let (place, name) = text.rsplit_once('#').ok_or(ParseAddressError::NoLedger { scheme })?;
    // A part of a password may stand where a name should, so it is not repeated.
    let ledger = LedgerName::new(name).map_err(|_| ParseAddressError::NoLedger { scheme })?;
    Ok((place, ledger))
}

/// As in RFC 3986, in lower case: two letters at least.
fn is_scheme(text: &str) -> bool {
    text.len() > 1
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+.-".contains(&byte))
        && text.as_bytes()[0].is_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_meaning_and_is_written_as_it_was_read() {
        let access = LedgerName::new("acme/access").unwrap();
        let cases = [
            ("access.ledger", Address::Path("access.ledger".into())),
            ("/var/lib/a:b.jsonl", Address::Path("/var/lib/a:b.jsonl".into())),
            ("./sqlite:x", Address::Path("./sqlite:x".into())),
            ("note:x", Address::Path("note:x".into())),
            ("file:access.ledger", Address::Directory("access.ledger".into())),
            (
                "sqlite:/a#b/c.db#acme/access",
                Address::Sqlite { file: "/a#b/c.db".into(), ledger: access.clone() },
            ),
            (
                "postgres://db.example/x#acme/access",
                Address::Postgres { url: SecretUrl("postgres://db.example/x".into()), ledger: access },
            ),
            ("s3://bucket/a/b", Address::Object { bucket: "bucket".into(), prefix: "a/b".into() }),
            ("s3://bucket", Address::Object { bucket: "bucket".into(), prefix: String::new() }),
            ("memory:", Address::Memory),
        ];
        for (text, wanted) in cases {
            let read: Address = text.parse().unwrap();
            assert_eq!(read, wanted, "case: {text}");
            assert_eq!(read.to_string(), text, "case: {text}");
        }
    }

    #[test]
    fn near_misses_are_refused() {
        use ParseAddressError as Error;
        let cases = [
            ("", Error::Empty),
            ("file:", Error::NoPlace { scheme: "file" }),
            ("memory:x", Error::Memory),
            ("sqlite:access.db", Error::NoLedger { scheme: "sqlite" }),
            ("sqlite:access.db#", Error::NoLedger { scheme: "sqlite" }),
            ("sqlite:access.db#Access", Error::NoLedger { scheme: "sqlite" }),
            ("sqlite:#access", Error::NoPlace { scheme: "sqlite" }),
            ("sqlite::memory:#access", Error::NoPlace { scheme: "sqlite" }),
            ("postgres://db.example/x", Error::NoLedger { scheme: "postgres" }),
            ("postgres:db.example#access", Error::NoPlace { scheme: "postgres" }),
            ("postgresql://#access", Error::NoPlace { scheme: "postgres" }),
            ("s3:bucket", Error::NoPlace { scheme: "s3" }),
            ("s3:///prefix", Error::NoPlace { scheme: "s3" }),
            ("mysql://db.example/x", Error::Scheme { scheme: "mysql".into() }),
        ];
        for (text, wanted) in cases {
            assert_eq!(text.parse::<Address>(), Err(wanted), "case: {text}");
        }
    }

    #[test]
    fn no_password_is_printed() {
        for text in [
            "postgres://ann:hunter2@db.example/x#access",
            "postgres://ann:hunter2/a@b:hunter2@db.example/x#access",
            "postgres://ann:hunter2?x@db.example/x#access",
            "postgres://ann:hunter2#a@db.example/x#access",
            "postgresql://db.example/x?user=ann&password=hunter2#access",
        ] {
            let address: Address = text.parse().unwrap();
            for shown in [address.to_string(), format!("{address:?}")] {
                assert!(shown.contains("db.example/x") && !shown.contains("hunter2"), "{shown}");
            }
        }
        let address: Address = "postgresql://db.example/x?password=hunter2@1#access".parse().unwrap();
        assert!(!address.to_string().contains("hunter2"), "{address}");
        for text in ["postgres://ann:hunter2@db.example/x", "postgres://ann:x#hunter2@db.example/x"] {
            let error = text.parse::<Address>().unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }
}
