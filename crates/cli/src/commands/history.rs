//! `log` and `show`: entries as they were recorded.

use countersign_core::digest::StatementDigest;
use countersign_core::entry::Entry;
use countersign_core::event::EventKind;
use countersign_core::id::Principal;
use countersign_core::statement::Statement;
use countersign_projection::governance::State;
use serde_json::json;

use crate::args::{Log, Show};
use crate::describe::{Known, signers};
use crate::failure::Failure;
use crate::json::{pretty, value};
use crate::ledger::{Ledger, ask};
use crate::session::Session;
use crate::story::key_of;
use crate::text::{safe_json, safe_lines};
use crate::when::At;

/// Width of the longest kind, so that lines align whatever is filtered.
fn kind_width() -> usize {
    EventKind::ALL.iter().map(|kind| kind.as_str().len()).max().unwrap_or(0)
}

pub(super) fn log(args: Log, session: &mut Session<'_, '_>) -> Result<bool, Failure> {
    let mut known = Known::default();
    let mut out = String::new();
    let width = kind_width();
    let is_wanted = |statement: &Statement, seq: u64| {
        let kind = statement.event.kind();
        let by = |author: &Principal| statement.author == *author || statement.cosigners.contains(author);
        (args.kinds.is_empty() || args.kinds.contains(&kind))
            && args.author.as_ref().is_none_or(by)
            && seq >= args.from
            && args.to.is_none_or(|to| seq <= to)
    };
    let ledger = ask(session, &args.asking, At::End, |judged, _| {
        let entry = judged.entry();
        let statement = entry.statement();
        let kind = statement.event.kind();
        if is_wanted(statement, entry.seq()) {
            // Before the entry itself is known: nothing refers to what comes after it.
            let says = known.summary(&statement.event);
            if args.json {
                let line = json!({
                    "seq": entry.seq(),
                    "recorded_at": entry.recorded_at(),
                    "kind": kind.as_str(),
                    "author": statement.author,
                    "cosigners": statement.cosigners.as_slice(),
                    "statement": entry.signed().digest(),
                    "summary": says,
                });
                out.push_str(&safe_json(&line.to_string()));
            } else {
                out += &format!(
                    "#{:<5} {}  {:width$}  {}: {says}",
                    entry.seq(),
                    entry.recorded_at(),
                    kind.as_str(),
                    signers(statement)
                );
            }
            out.push('\n');
        }
        known.see(entry.seq(), entry.signed().digest(), &statement.event);
    })?;
    session.print(&out)?;
    Ok(ledger.is_verified)
}

/// What an entry is named by.
pub(super) enum Place {
    Seq(u64),
    Digest(StatementDigest),
}

/// Reads a seq, with or without `#`, or a whole digest. A beginning of a digest names nothing: many statements can have it.
pub(super) fn place(text: &str) -> Result<Place, Failure> {
    let digits = text.strip_prefix('#').unwrap_or(text);
    if let Ok(digest) = text.parse() {
        return Ok(Place::Digest(digest));
    }
    digits.parse().map(Place::Seq).map_err(|_| {
        Failure::told(format!("`{text}` names no statement"))
            .hint("a statement is named by its seq, like 17, or by all 64 digits of its digest")
    })
}

pub(super) fn no_entry(of: &str, ledger: &Ledger) -> Failure {
    Failure::refused(format!("there is no entry {of} {}", ledger.as_of()))
}

pub(super) fn show(args: Show, session: &mut Session<'_, '_>) -> Result<bool, Failure> {
    let place = place(&args.of)?;
    let mut known = Known::default();
    let mut found: Option<(Entry, State, String)> = None;
    let ledger = ask(session, &args.asking, At::End, |judged, state| {
        let entry = judged.entry();
        let is_it = match &place {
            Place::Seq(seq) => entry.seq() == *seq,
            Place::Digest(digest) => entry.signed().digest() == *digest,
        };
        if is_it && found.is_none() {
            found = Some((entry.clone(), state.clone(), known.summary(&entry.statement().event)));
        }
        known.see(entry.seq(), entry.signed().digest(), &entry.statement().event);
    })?;
    let Some((entry, state, says)) = found else {
        return Err(no_entry(&args.of, &ledger));
    };
    let statement = entry.statement();
    if args.json {
        session.print_json(&json!({
            "seq": entry.seq(),
            "leaf": entry.leaf(),
            "statement": entry.signed().digest(),
            "summary": says,
            "entry": value(entry.bytes()),
        }))?;
        return Ok(ledger.is_verified);
    }
    let mut out = format!("#{} {}\n  {says}\n\n", entry.seq(), statement.event.kind());
    let mut line = |name: &str, text: &str| out += &format!("  {name:<11} {text}\n");
    line("recorded", &entry.recorded_at().to_string());
    line("issued", &statement.issued_at.to_string());
    line("author", &format!("{}, serial {}", statement.author, statement.serial));
    for cosigner in statement.cosigners.iter() {
        line("cosigner", cosigner.as_str());
    }
    if let Some(seen) = &statement.seen {
        line("seen", &format!("{} entries, up to leaf {}", seen.size, seen.leaf));
    }
    let new: Vec<_> = statement.event.new_keys().iter().map(|key| key.key_id()).collect();
    for part in entry.signed().signatures() {
        let signers = std::iter::once(&statement.author).chain(statement.cosigners.iter());
        let named = signers
            .filter(|name| key_of(&state, &entry, name).is_some_and(|key| key.key_id == part.keyid))
            .map(|name| format!("of {name}"))
            .next();
        let whose = match named {
            Some(named) => named,
            // A key that ended with this entry is live no more in the state after it.
            None if part.keyid == statement.key => format!("of {}", statement.author),
            None if new.contains(&part.keyid) => "that this statement admits".into(),
            None => "of a signer".into(),
        };
        line("signed", &format!("by key {} {whose}", part.keyid));
    }
    line("statement", &entry.signed().digest().to_string());
    line("leaf", &entry.leaf().to_string());
    session.print(&safe_lines(&out))?;
    session.print(&format!("\n{}\n", safe_json(&pretty(entry.signed().bytes()))))?;
    Ok(ledger.is_verified)
}
