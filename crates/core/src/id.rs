//! Names: restricted ASCII, compared byte by byte, never folded (docs/format.md, "Names").

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::digest::StatementDigest;
use crate::fault::Fault;
use crate::wire::{Reader, Wire, Writer};

/// The text is not a name of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}")]
pub struct ParseNameError {
    /// The form of such a name, for a person.
    pub expected: &'static str,
}

macro_rules! names {
    ($($(#[doc = $doc:literal])+ $name:ident: $check:path, $expected:literal, $schema:expr;)*) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name with this text.
            ///
            /// # Errors
            /// [`ParseNameError`] where the text is not of this form.
            pub fn new(text: &str) -> Result<Self, ParseNameError> {
                if $check(text) { Ok(Self(text.into())) } else { Err(ParseNameError { expected: $expected }) }
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = ParseNameError;

            fn from_str(text: &str) -> Result<Self, ParseNameError> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Wire for $name {
            fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
                reader.parsed($expected, |text| Self::new(text).ok())
            }

            fn write(&self, out: &mut Writer) {
                out.string(&self.0);
            }

            fn schema() -> String {
                crate::wire::named_schema(stringify!($name), concat!($($doc),+), $schema)
            }
        }
    )*};
}

names! {
    /// Who acts: a human, service, workload, automation, vendor automation or agent, like `user:alice`, or a SPIFFE ID.
    Principal: is_principal, "a principal, like user:alice or spiffe://example.org/service", schemas::PRINCIPAL;
    /// Whom separation of duties counts, like `person:alice`. Never a signer.
    Person: is_person, "a person, like person:alice", schemas::PERSON;
    /// What access is to, like `team:acme/payments`.
    Resource: is_resource, "a resource, like team:acme/payments", schemas::RESOURCE;
    /// What may be done, like `member`. With a resource it makes an entitlement.
    Role: is_word, "a role, [a-z][a-z0-9_-]{0,63}", schemas::WORD;
    /// The name of a policy, of a rule in one, or of a standing class.
    Label: is_word, "a label, [a-z][a-z0-9_-]{0,63}", schemas::WORD;
    /// A business process, like `billing/month-end`.
    Process: is_path_word, "a process, [a-z0-9][a-z0-9._/-]{0,127}", schemas::PATH_WORD;
    /// The namespace of custom events, like `example.org/tickets`.
    Namespace: is_path_word, "a namespace, [a-z0-9][a-z0-9._/-]{0,127}", schemas::PATH_WORD;
    /// The bare name of a ledger, which genesis carries. Every later statement carries the [`LedgerId`].
    LedgerName: is_ledger_name, "a ledger name, [a-z0-9][a-z0-9._/-]{0,127}, not ending in / and 64 hexadecimal digits", schemas::LEDGER_NAME;
    /// Which things a scope takes in: `*`, a resource, or the subtree below one, like `team:acme/*`.
    Pattern: is_pattern, "*, a resource, or a subtree like team:acme/*", schemas::PATTERN;
}

impl Principal {
    /// Whether it is a SPIFFE ID.
    #[must_use]
    pub fn is_spiffe(&self) -> bool {
        self.0.starts_with(SPIFFE)
    }
}

impl Pattern {
    /// The pattern that takes in everything.
    #[must_use]
    pub fn everything() -> Self {
        Self("*".into())
    }

    /// The subtree's root with its slash, if it is a subtree.
    fn subtree(&self) -> Option<&str> {
        self.0.strip_suffix('*').filter(|root| !root.is_empty())
    }

    /// Whether it takes in `resource` by name. A subtree takes in what is below its root, by segment, not the root itself.
    ///
    /// ```
    /// use countersign_core::id::{Pattern, Resource};
    /// let below = Pattern::new("team:acme/*")?;
    /// assert!(below.matches(&Resource::new("team:acme/payments")?));
    /// assert!(!below.matches(&Resource::new("team:acme")?));
    /// assert!(!below.matches(&Resource::new("team:acme-labs/payments")?));
    /// # Ok::<(), countersign_core::id::ParseNameError>(())
    /// ```
    #[must_use]
    pub fn matches(&self, resource: &Resource) -> bool {
        match self.subtree() {
            Some(root) => resource.as_str().starts_with(root),
            None => &*self.0 == "*" || self.0 == resource.0,
        }
    }

    /// Whether everything that `other` takes in, this takes in too.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        &*self.0 == "*" || self.0 == other.0 || self.subtree().is_some_and(|root| other.0.starts_with(root))
    }

    /// Whether some resource could match both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other) || other.contains(self)
    }
}

impl From<&Resource> for Pattern {
    fn from(resource: &Resource) -> Self {
        Self(resource.0.clone())
    }
}

/// A ledger's identity: its name and the SHA-256 of its genesis statement, written `name/<64 hex>`.
///
/// It is the checkpoint origin, and the one thing an auditor must pin out of band.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LedgerId {
    text: Arc<str>,
    genesis: StatementDigest,
}

impl LedgerId {
    /// The identity of the ledger that this genesis statement opens.
    #[must_use]
    pub fn new(name: &LedgerName, genesis: StatementDigest) -> Self {
        Self { text: format!("{name}/{genesis}").into(), genesis }
    }

    /// The text `name/<64 hex>`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The digest of the genesis statement.
    #[must_use]
    pub fn genesis(&self) -> StatementDigest {
        self.genesis
    }

    /// The bare name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text.rsplit_once('/').map_or("", |(name, _)| name)
    }
}

impl FromStr for LedgerId {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, ParseNameError> {
        let error = ParseNameError { expected: "a ledger id, name/<64 hexadecimal digits>" };
        let (name, genesis) = text.rsplit_once('/').ok_or_else(|| error.clone())?;
        let genesis = genesis.parse().map_err(|_| error.clone())?;
        if is_ledger_name(name) { Ok(Self { text: text.into(), genesis }) } else { Err(error) }
    }
}

impl fmt::Display for LedgerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for LedgerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LedgerId({})", self.text)
    }
}

/// What the member `ledger` of a statement holds: the bare name in genesis, the id in every other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerRef {
    /// In genesis.
    Name(LedgerName),
    /// In every later statement.
    Id(LedgerId),
}

impl Wire for LedgerRef {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        reader.parsed("a ledger name or id", |text| {
            text.parse().map(Self::Id).or_else(|_| LedgerName::new(text).map(Self::Name)).ok()
        })
    }

    fn write(&self, out: &mut Writer) {
        match self {
            Self::Name(name) => out.string(name.as_str()),
            Self::Id(id) => out.string(id.as_str()),
        }
    }

    fn schema() -> String {
        let doc = "The bare ledger name in genesis; in every other statement the ledger id, `name/<64 hexadecimal digits>`.";
        crate::wire::named_schema("LedgerRef", doc, schemas::LEDGER_REF)
    }
}

const SPIFFE: &str = "spiffe://";

/// The forms as members of a JSON Schema. A test holds them against the functions below.
mod schemas {
    pub(super) const PRINCIPAL: &str = r#""type":"string","anyOf":[{"pattern":"^[a-z][a-z0-9_-]{0,31}:[A-Za-z0-9._@/+-]{1,255}$","not":{"pattern":"^(person|spiffe):"}},{"pattern":"^spiffe://[a-z0-9._-]{1,255}(/[A-Za-z0-9._-]+)*$","maxLength":2048,"not":{"pattern":"^spiffe://[^/]+(/[^/]+)*/\\.{1,2}(/|$)"}}]"#;
    pub(super) const PERSON: &str = r#""type":"string","pattern":"^person:[A-Za-z0-9._@/+-]{1,255}$""#;
    pub(super) const RESOURCE: &str = r#""type":"string","pattern":"^[a-z][a-z0-9_-]{0,31}:[A-Za-z0-9._@+-]{1,128}(/[A-Za-z0-9._@+-]{1,128}){0,15}$","not":{"pattern":"[:/]\\.{1,2}(/|$)"}"#;
    pub(super) const WORD: &str = r#""type":"string","pattern":"^[a-z][a-z0-9_-]{0,63}$""#;
    pub(super) const PATH_WORD: &str = r#""type":"string","pattern":"^[a-z0-9][a-z0-9._/-]{0,127}$""#;
    pub(super) const LEDGER_NAME: &str =
        r#""type":"string","pattern":"^[a-z0-9][a-z0-9._/-]{0,127}$","not":{"pattern":"/[0-9a-f]{64}$"}"#;
    pub(super) const LEDGER_REF: &str = r#""type":"string","pattern":"^[a-z0-9][a-z0-9._/-]{0,127}(/[0-9a-f]{64})?$","not":{"pattern":"/[0-9a-f]{64}/[0-9a-f]{64}$"}"#;
    pub(super) const PATTERN: &str = r#""type":"string","pattern":"^(\\*|[a-z][a-z0-9_-]{0,31}:[A-Za-z0-9._@+-]{1,128}(/[A-Za-z0-9._@+-]{1,128}){0,15}(/\\*)?)$","not":{"pattern":"[:/]\\.{1,2}(/|$)"}"#;
}

fn is_kind(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

fn is_principal(text: &str) -> bool {
    if text.starts_with(SPIFFE) {
        return is_spiffe(text);
    }
    is_kinded_name(text, |kind| kind != "spiffe" && kind != "person")
}

fn is_person(text: &str) -> bool {
    is_kinded_name(text, |kind| kind == "person")
}

fn is_kinded_name(text: &str, kind_fits: impl Fn(&str) -> bool) -> bool {
    let byte_fits =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'@' | b'/' | b'+' | b'-');
    text.split_once(':').is_some_and(|(kind, name)| {
        is_kind(kind) && kind_fits(kind) && (1..=255).contains(&name.len()) && name.bytes().all(byte_fits)
    })
}

/// SPIFFE-ID, section 2: scheme, trust domain, path; nothing else.
fn is_spiffe(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(SPIFFE).filter(|_| text.len() <= 2048) else { return false };
    let (domain, path) = match rest.split_once('/') {
        Some((domain, path)) => (domain, Some(path)),
        None => (rest, None),
    };
    let domain_fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    let segment_fits = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
    };
    (1..=255).contains(&domain.len())
        && domain.bytes().all(domain_fits)
        && path.is_none_or(|path| path.split('/').all(segment_fits))
}

fn is_resource(text: &str) -> bool {
    let segment_fits = |segment: &str| {
        (1..=128).contains(&segment.len())
            && !matches!(segment, "." | "..")
            && segment
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'@' | b'+' | b'-'))
    };
    text.split_once(':').is_some_and(|(kind, path)| {
        is_kind(kind) && path.split('/').count() <= 16 && path.split('/').all(segment_fits)
    })
}

fn is_pattern(text: &str) -> bool {
    text == "*" || is_resource(text) || text.strip_suffix("/*").is_some_and(is_resource)
}

fn is_word(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

fn is_path_word(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'/' | b'-'))
}

fn is_ledger_name(text: &str) -> bool {
    let ends_like_an_id =
        text.rsplit_once('/').is_some_and(|(_, tail)| tail.parse::<StatementDigest>().is_ok());
    is_path_word(text) && !ends_like_an_id
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(check: fn(&str) -> bool, texts: &[&str]) {
        for text in texts {
            assert!(check(text), "refused: {text:?}");
        }
    }

    fn refused(check: fn(&str) -> bool, texts: &[&str]) {
        for text in texts {
            assert!(!check(text), "accepted: {text:?}");
        }
    }

    #[test]
    fn names_are_restricted_ascii() {
        let long = |prefix: &str, n: usize| format!("{prefix}{}", "a".repeat(n));
        accepted(is_principal, &["user:alice", "user:Alice@example.org", "agent:a/b+c", &long("user:", 255)]);
        refused(
            is_principal,
            &[
                "",
                "alice",
                "user:",
                ":x",
                "User:a",
                "person:a",
                "spiffe:a",
                "user:a b",
                "user:\u{430}",
                "user:ro\u{200b}ot",
                "user:root ",
                &long("user:", 256),
                &format!("{}:a", "k".repeat(33)),
            ],
        );
        accepted(is_person, &["person:alice"]);
        refused(is_person, &["user:alice", "person:"]);
        accepted(is_resource, &["team:acme", "team:acme/a.b_c@d+e-f", &format!("t:{}", ["s"; 16].join("/"))]);
        refused(
            is_resource,
            &[
                "team:",
                "team:/",
                "team:a/",
                "team:a//b",
                "team:.",
                "team:a/..",
                "team:*",
                "*",
                &format!("t:{}", ["s"; 17].join("/")),
                &long("t:", 129),
            ],
        );
        accepted(is_pattern, &["*", "team:acme", "team:acme/*"]);
        refused(is_pattern, &["team:*", "team:acme/*/*", "team:ac*", "/*", "**", "team:acme*"]);
        accepted(is_word, &["member", "a", &"a".repeat(64)]);
        refused(is_word, &["", "Member", "1a", "_a", &"a".repeat(65)]);
    }

    #[test]
    fn spiffe_ids_follow_their_specification() {
        let domain = "d".repeat(255);
        let longest = format!("spiffe://d/{}", "p".repeat(2048 - 11));
        accepted(
            is_principal,
            &[
                "spiffe://example.org",
                "spiffe://example.org/a/B.c_d-e",
                &format!("spiffe://{domain}/x"),
                &longest,
            ],
        );
        refused(
            is_principal,
            &[
                "spiffe://",
                "spiffe:///a",
                "spiffe://Example.org/a",
                "spiffe://example.org/",
                "spiffe://example.org/a/",
                "spiffe://example.org//a",
                "spiffe://example.org/./a",
                "spiffe://example.org/..",
                "spiffe://example.org:80/a",
                "spiffe://u@example.org/a",
                "spiffe://example.org/a?b",
                "spiffe://example.org/a#b",
                "spiffe://example.org/%61",
                "SPIFFE://example.org/a",
                &format!("{longest}p"),
                &format!("spiffe://{domain}d/x"),
            ],
        );
    }

    #[test]
    fn ledger_ids_split_at_their_last_slash() {
        let hex = "ab".repeat(32);
        let id: LedgerId = format!("acme/access/{hex}").parse().unwrap();
        assert_eq!((id.name(), id.genesis().to_string()), ("acme/access", hex.clone()));
        refused(is_ledger_name, &[&format!("acme/{hex}"), "", "Acme", "/acme"]);
        for text in [hex.clone(), format!("/{hex}"), format!("acme/{}", hex.to_uppercase()), "acme".into()] {
            assert!(text.parse::<LedgerId>().is_err(), "{text}");
        }
        assert!(format!("acme/{hex}/{hex}").parse::<LedgerId>().is_err());
    }

    #[test]
    fn patterns_nest_by_segment() {
        let pattern = |text: &str| Pattern::new(text).unwrap();
        let cases = [
            ("*", "team:a/*", true),
            ("team:a/*", "*", false),
            ("team:a/*", "team:a/b/*", true),
            ("team:a/*", "team:a/b", true),
            ("team:a/*", "team:a", false),
            ("team:a", "team:a/*", false),
            ("team:a/*", "team:ab/c", false),
            ("team:a/*", "team:a/*", true),
            ("team:a/b/*", "team:a/*", false),
        ];
        for (outer, inner, want) in cases {
            assert_eq!(pattern(outer).contains(&pattern(inner)), want, "{outer} contains {inner}");
        }
        assert!(!pattern("team:a").overlaps(&pattern("team:a/*")));
        assert!(pattern("team:a/b/*").overlaps(&pattern("team:a/*")));
    }
}
