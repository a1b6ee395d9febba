//! `sign` and `submit`: statements on their way into a ledger.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::time::Duration;

use countersign_core::digest::{KeyId, StatementDigest};
use countersign_core::event::Event;
use countersign_core::id::LedgerRef;
use countersign_core::key::{SecretKey, SignerKey as _};
use countersign_core::note::SignedNote;
use countersign_core::statement::{Seen, SignError, SignedStatement, Statement, Version};
use countersign_core::time::Timestamp;
use countersign_core::wire::encode;
use countersign_ledger::{
    Clock, Ledger, OpenError, Receipt, Recorder, ReplayError, SubmitError, SystemClock,
};
use countersign_projection::governance::{Refusal, State};
use countersign_scenario::Json;
use countersign_store::jsonl::{self, JsonlError};
use countersign_store::{Durability, Store};
use countersign_stores::Options;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::args::{Asking, Reading, Sign, Submit};
use crate::describe::{Known, signers};
use crate::failure::Failure;
use crate::files::replace;
use crate::json::{event, parse, pretty};
use crate::keyfile::{self, Serials};
use crate::ledger::ask;
use crate::place::{Place, open_store};
use crate::session::Session;
use crate::text::{count, safe, safe_json};
use crate::when::{At, now};

pub(super) fn sign(args: Sign, session: &mut Session<'_, '_>) -> Result<bool, Failure> {
    // Before anything is read or a serial is used up.
    if !args.yes && !session.asks() {
        return Err(Failure::told("nothing is signed unasked, and there is no terminal to ask on")
            .hint("--yes (-y) signs without asking"));
    }
    if args.json && args.target().is_none() {
        return Err(Failure::told("--json and the signed statement can not both go to the output")
            .hint("--out writes the statement to a file"));
    }
    match (&args.cosign, &args.path, &args.author) {
        (Some(submission), _, _) => cosign(&args, submission, session),
        (None, Some(path), Some(author)) => {
            let key = keyfile::read(&args.key)?;
            let (statement, says) = draft(&args, path, author.clone(), &key, session)?;
            show(session, &statement, &says);
            if !args.yes && !session.confirm("Sign this?") {
                return Err(Failure::refused("not signed"));
            }
            let signed = statement.sign(&key).map_err(|error| unsigned(&error))?;
            write(&signed, &args, says, None, session)
        }
        (None, _, _) => Err(Failure::told("give a ledger and --as, or --cosign")),
    }
}

fn unsigned(error: &SignError) -> Failure {
    Failure::of("the statement can not be signed", error)
}

/// The statement to be signed, and what it says in a line.
fn draft(
    args: &Sign,
    path: &Path,
    author: countersign_core::id::Principal,
    key: &SecretKey,
    session: &mut Session<'_, '_>,
) -> Result<(Statement, String), Failure> {
    let asking = asking(args, path);
    let text = session.read(&args.event)?;
    let mut json = parse(&text)?;
    let mut known = Known::default();
    let mut placed: Vec<StatementDigest> = Vec::new();
    let ledger = ask(session, &asking, At::End, |judged, _| {
        let entry = judged.entry();
        placed.push(entry.signed().digest());
        known.see(entry.seq(), entry.signed().digest(), &entry.statement().event);
    })?;
    let state = &ledger.state;
    let at = now(args.clock.now).max(state.recorded_at());
    replace_places(&mut json, &placed)?;
    let event = fill(json, state, at)?;

    let key_id = key.public_key().key_id();
    let held =
        state.principal(&author).and_then(|view| view.keys.into_iter().find(|key| key.key_id == key_id));
    let Some(held) = held else {
        return Err(Failure::told(format!("key {key_id} is no live key of {author} in this ledger"))
            .hint("`countersign what LEDGER PRINCIPAL --json` lists its keys"));
    };
    let Some(ledger_id) = state.ledger_id().cloned() else {
        return Err(Failure::told("the ledger is empty"));
    };
    let mut serials = Serials::read(&args.key)?;
    let next = serials.highest(&ledger_id).max(held.highest_serial.unwrap_or(0)) + 1;
    let serial = args.serial.unwrap_or(next);
    serials.remember(&ledger_id, serial)?;
    let head = state.head();
    let says = known.summary(&event);
    let decides =
        matches!(event, Event::AccessApproved(_) | Event::AccessDenied(_) | Event::ExceptionGranted(_));
    let statement = Statement {
        author,
        cosigners: args.cosigners.iter().cloned().collect(),
        event,
        issued_at: now(args.clock.now),
        key: key_id,
        ledger: LedgerRef::Id(ledger_id),
        // Who signs together need not have seen the same, but who decides has to say what was seen.
        seen: (decides || args.cosigners.is_empty()).then_some(Seen { leaf: head.leaf, size: head.size }),
        serial,
        v: Version,
    };
    Ok((statement, says))
}

fn asking(args: &Sign, path: &Path) -> Asking {
    let reading = Reading {
        path: path.to_owned(),
        ledger_id: args.ledger_id.clone(),
        checkpoints: Vec::new(),
        require_checkpoint: false,
    };
    Asking { reading, unsafe_despite_fault: false }
}

/// Members that name another statement.
const REFERENCES: [&str; 11] = [
    "approval",
    "assignment",
    "basis",
    "delegation",
    "exception",
    "grant",
    "policy",
    "proposal",
    "replaces",
    "request",
    "statement",
];

/// Puts the digest in place of `#17` where a statement is referred to.
fn replace_places(json: &mut Json, placed: &[StatementDigest]) -> Result<(), Failure> {
    match json {
        Json::Object(members) => {
            for (name, value) in members {
                let seq = value
                    .as_str()
                    .filter(|_| REFERENCES.contains(&name.as_str()))
                    .and_then(|text| text.strip_prefix('#'));
                match seq.map(str::to_owned) {
                    Some(seq) => {
                        let digest =
                            seq.parse().ok().and_then(|seq: usize| placed.get(seq)).ok_or_else(|| {
                                Failure::told(format!(
                                    "`{name}`: there is no entry #{} in this ledger",
                                    safe(&seq)
                                ))
                            })?;
                        *value = Json::Text(digest.to_string());
                    }
                    None => replace_places(value, placed)?,
                }
            }
        }
        Json::List(items) => {
            for item in items {
                replace_places(item, placed)?;
            }
        }
        Json::Bool(_) | Json::Integer(_) | Json::Text(_) => {}
    }
    Ok(())
}

/// The event, with what follows from the ledger filled in: the clause that a decision signs, and the grant of a request.
fn fill(mut json: Json, state: &State, at: Timestamp) -> Result<Event, Failure> {
    let refused = |refusal: Refusal| Failure::refused(format!("the ledger would not admit it: {refusal}"));
    let kind = json.member("type").and_then(Json::as_str).unwrap_or_default().to_owned();
    let request =
        |json: &Json| json.member("request").and_then(Json::as_str).and_then(|text| text.parse().ok());
    match kind.as_str() {
        "access.granted" => {
            if let (Json::Object(members), Some(request)) = (&json, request(&json))
                && members.len() == 2
            {
                return state.propose_grant(&request, at).map(Event::from).map_err(refused);
            }
        }
        "access.approved" | "access.denied" => fill_clause(&mut json, state, at).map_err(refused)?,
        "exception.granted" => {
            if let Json::Object(members) = &mut json
                && let Some(covers) = members.get_mut("covers")
            {
                fill_clause(covers, state, at).map_err(refused)?;
            }
        }
        _ => {}
    }
    event(&json)
}

fn fill_clause(json: &mut Json, state: &State, at: Timestamp) -> Result<(), Refusal> {
    let request = json.member("request").and_then(Json::as_str).and_then(|text| text.parse().ok());
    if let (Json::Object(members), Some(request)) = (json, request)
        && !members.contains_key("clause")
    {
        let clause = state.clause_of_request(&request, at)?;
        members.insert("clause".into(), Json::Text(clause.to_string()));
    }
    Ok(())
}

/// Shows what is to be signed, on the error stream, so that the output stays what is made.
fn show(session: &mut Session<'_, '_>, statement: &Statement, says: &str) {
    session.note(&format!("{} by {}: {says}", statement.event.kind(), signers(statement)));
    session.note(&safe_json(&pretty(&encode(statement))));
}

fn cosign(args: &Sign, submission: &Path, session: &mut Session<'_, '_>) -> Result<bool, Failure> {
    let key = keyfile::read(&args.key)?;
    let bytes = session.read(submission)?;
    let mut signed = statement(&bytes).map_err(|fault| not_a_statement(submission, &fault))?;
    let mut known = Known::default();
    let mut state = None;
    if let Some(path) = &args.path {
        let ledger = ask(session, &asking(args, path), At::End, |judged, _| {
            let entry = judged.entry();
            known.see(entry.seq(), entry.signed().digest(), &entry.statement().event);
        })?;
        let id = ledger.state.ledger_id().cloned().map(LedgerRef::Id);
        if id.as_ref() != Some(&signed.statement().ledger) {
            return Err(Failure::refused("the statement is for another ledger"));
        }
        state = Some(ledger.state);
    }
    let whose = whose(&signed, &key.public_key().key_id(), state.as_ref())?;
    let says = known.summary(&signed.statement().event);
    show(session, signed.statement(), &says);
    for part in signed.signatures() {
        session.note(&format!("signed before by key {}", part.keyid));
    }
    if !args.yes && !session.confirm("Add a signature?") {
        return Err(Failure::refused("not signed"));
    }
    signed.cosign(&key).map_err(|error| unsigned(&error))?;
    session.note(&format!("signed now by key {} {whose}", key.public_key().key_id()));
    write(&signed, args, says, state.as_ref(), session)
}

/// In whose name a key would sign, in words; refused where the statement asks for no signature of it, since one that is added
/// can not be taken away.
fn whose(signed: &SignedStatement, key: &KeyId, state: Option<&State>) -> Result<String, Failure> {
    let statement = signed.statement();
    let has_signed = |key: &KeyId| signed.signatures().iter().any(|part| part.keyid == *key);
    let new: Vec<KeyId> = statement.event.new_keys().iter().map(|key| key.key_id()).collect();
    if has_signed(key) {
        return Err(Failure::told(format!("key {key} has signed already")));
    }
    if new.contains(key) {
        return Ok("that this statement admits".into());
    }
    let names: Vec<&str> = statement.cosigners.iter().map(|name| name.as_str()).collect();
    let names = names.join(", ");
    if names.is_empty() {
        return Err(Failure::told(format!("this statement asks for no signature of key {key}"))
            .hint("who else signs is named when it is made: `countersign sign --cosigner`"));
    }
    let Some(state) = state else {
        let others = signed.signatures().iter().map(|part| part.keyid);
        let others = others.filter(|other| *other != statement.key && !new.contains(other)).count();
        if others >= statement.cosigners.len() {
            return Err(Failure::told(format!("as many keys have signed as there are cosigners ({names})"))
                .hint("if one of them is not theirs, the statement has to be made anew"));
        }
        return Ok(format!("as {names}: whether it is theirs, `countersign sign LEDGER --cosign` looks up"));
    };
    for name in statement.cosigners.iter() {
        let keys = state.principal(name).map(|view| view.keys).unwrap_or_default();
        if keys.iter().any(|live| live.key_id == *key) {
            return match keys.iter().find(|live| has_signed(&live.key_id)) {
                Some(other) => {
                    Err(Failure::told(format!("{name} has signed already, with key {}", other.key_id)))
                }
                None => Ok(format!("of {name}")),
            };
        }
    }
    Err(Failure::told(format!("key {key} is no live key of who has to sign this: {names}"))
        .hint("`countersign what LEDGER PRINCIPAL --json` lists keys"))
}

fn statement(line: &[u8]) -> Result<SignedStatement, countersign_core::fault::Fault> {
    SignedStatement::parse(line.strip_suffix(b"\n").unwrap_or(line))
}

fn not_a_statement(path: &Path, fault: &countersign_core::fault::Fault) -> Failure {
    Failure::of(format!("`{}` holds no signed statement", path.display()), fault)
        .hint("`countersign sign` makes one")
}

/// Whose signatures a statement waits for: new keys by their ids, cosigners by their names. Where there are signatures of which only
/// the ledger tells whose they are, and it is not at hand, every cosigner is named, as one of whom some are missing.
fn waits_for(signed: &SignedStatement, state: Option<&State>, missing: u64) -> String {
    let statement = signed.statement();
    let has_signed = |key: &KeyId| signed.signatures().iter().any(|part| part.keyid == *key);
    let keys_of =
        |name| state.and_then(|state| state.principal(name)).map(|view| view.keys).unwrap_or_default();
    let cosigners =
        statement.cosigners.iter().filter(|name| !keys_of(name).iter().any(|key| has_signed(&key.key_id)));
    let new = statement.event.new_keys().into_iter().map(|key| key.key_id()).filter(|key| !has_signed(key));
    let names: Vec<_> =
        new.map(|key| format!("key {key}")).chain(cosigners.map(ToString::to_string)).collect();
    names.join(if names.len() as u64 > missing { " or " } else { ", " })
}

/// Writes a signed statement as one line, and says what it says. A file that is there is only replaced where it is the statement's own.
fn write(
    signed: &SignedStatement,
    args: &Sign,
    says: String,
    state: Option<&State>,
    session: &mut Session<'_, '_>,
) -> Result<bool, Failure> {
    let statement = signed.statement();
    let wanted = 1 + statement.cosigners.len() + statement.event.new_keys().len();
    // A charter names keys that the ledger may have admitted before: how many have to sign is not known from it alone.
    let is_counted = !matches!(statement.event, Event::CharterAmended(_) | Event::RecoveryProposed(_));
    let missing = is_counted.then(|| wanted.saturating_sub(signed.signatures().len()) as u64);
    if let Some(missing) = missing.filter(|missing| *missing > 0) {
        let whose = waits_for(signed, state, missing);
        let missing = count(missing, "signature is", "signatures are");
        session.note(&format!("{missing} still missing, of {whose}: `countersign sign --cosign` adds one"));
    }
    let mut line = signed.to_bytes();
    line.push(b'\n');
    let Some(path) = args.target() else {
        session.print_bytes(&line)?;
        return Ok(true);
    };
    let replaces = args.out.is_none();
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Failure::told(format!("`{}` exists already", path.display()))
            .hint("choose another name: nothing is overwritten"),
        _ => Failure::of(format!("`{}` can not be written", path.display()), &error),
    };
    if !replaces && path.symlink_metadata().is_ok() {
        return Err(failed(std::io::ErrorKind::AlreadyExists.into()));
    }
    replace(path, &line).map_err(failed)?;
    if args.json {
        let keys: Vec<KeyId> = signed.signatures().iter().map(|part| part.keyid).collect();
        session.print_json(&json!({
            "file": path.display().to_string(),
            "statement": signed.digest(),
            "kind": statement.event.kind().as_str(),
            "author": statement.author,
            "cosigners": statement.cosigners.as_slice(),
            "serial": statement.serial,
            "summary": says,
            "signed_by": keys,
            "signatures_missing": missing,
        }))?;
    } else {
        session.note(&format!("wrote {}", safe(&path.display().to_string())));
    }
    Ok(true)
}

/// A clock that stands still.
struct Fixed(Timestamp);

impl Clock for Fixed {
    fn wall(&self) -> Timestamp {
        self.0
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// A recorder that keeps its ledger in memory until it is saved.
pub(super) fn recorder(key: SecretKey, at: Option<Timestamp>) -> Recorder {
    let recorder = Recorder::new(key).accepting(Durability::Volatile).checkpoint_interval(None);
    match at {
        Some(at) => recorder.clock(Fixed(at)),
        None => recorder.clock(SystemClock::new()),
    }
}

/// Why a ledger could not be opened: a negative answer where it does not hold.
pub(super) fn not_opened(error: OpenError) -> Failure {
    let refused = |error: &OpenError| {
        Failure::of("the ledger does not hold", error).into_refused().hint("`countersign verify` says more")
    };
    match &error {
        OpenError::Genesis(SubmitError::Refused(refusal)) => {
            Failure::refused(format!("genesis was refused: {refusal}")).hint(refusal.code.meaning().trim())
        }
        OpenError::Replay(ReplayError::Store(_)) => Failure::of("the ledger can not be opened", &error),
        OpenError::Floor(_) => refused(&error)
            .hint("this is an older copy, or another history, than the one that the checkpoint is of"),
        OpenError::Replay(_) | OpenError::Checkpoint(_) | OpenError::OtherLedger { .. } => refused(&error),
        _ => Failure::of("the ledger can not be opened", &error),
    }
}

/// What became of one statement.
enum Outcome {
    /// The receipt, and what was recorded.
    Recorded(Receipt, String),
    /// As JSON and as text.
    Refused(Value, String),
}

pub(super) fn submit(args: Submit, session: &mut Session<'_, '_>) -> Result<bool, Failure> {
    let key = keyfile::read(&args.key)?;
    let mut statements = Vec::new();
    for path in &args.submissions {
        let bytes = session.read(path)?;
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            statements.push(statement(line).map_err(|fault| not_a_statement(path, &fault))?);
        }
    }
    let place = Place::of(&args.path)?;
    place.require()?;
    let mut recorder = recorder(key, args.clock.now);
    if let Some(id) = args.ledger_id.clone() {
        recorder = recorder.ledger_id(id);
    }
    for path in &args.checkpoints {
        let note = SignedNote::parse(&session.read(path)?);
        let note = note
            .map_err(|error| Failure::of(format!("`{}` is no signed checkpoint", path.display()), &error))?;
        recorder = recorder.floor(note);
    }
    let runtime = super::runtime()?;
    let Recording { outcomes, failure, unkept } = match &place {
        Place::Directory(path) => {
            let store = open_store(path, args.opening, session)?;
            record(&runtime, store, recorder.accepting(Durability::LocalSync), statements)?
        }
        Place::Database(_) => {
            let store = place.store(&Options::new().existing(), args.opening, &runtime, session)?;
            record(&runtime, store, recorder.accepting(Durability::LocalSync), statements)?
        }
        Place::File(path) => {
            // Held until the end: two programs that record in one file would each undo the other's checkpoint.
            let _lock = lock(path)?;
            let store = jsonl::load(path).map_err(unreadable)?;
            let done = record(&runtime, store.clone(), recorder, statements)?;
            // A receipt is given only for what is on the disk.
            jsonl::save(&store, path).map_err(|error| match error {
                JsonlError::OtherHistory { .. } => error.into(),
                _ => Failure::of("it is not known whether the statements were recorded", &error)
                    .hint(SUBMIT_AGAIN),
            })?;
            done
        }
    };
    if let Some(size) = unkept {
        session.warn(&format!(
            "WARNING: this ledger had no checkpoint, so nothing showed whether its end was cut: a new one was signed over {}",
            count(size, "entry", "entries")
        ));
    }
    let mut all_recorded = true;
    for outcome in outcomes {
        match outcome {
            Outcome::Recorded(receipt, what) => {
                if args.json {
                    session.print_json(&json!({
                        "recorded": true,
                        "seq": receipt.seq,
                        "recorded_at": receipt.recorded_at,
                        "statement": receipt.statement,
                        "leaf": receipt.leaf,
                    }))?;
                } else {
                    session.print(&format!(
                        "recorded #{} {} {what}\n  statement  {}\n  leaf       {}\n",
                        receipt.seq, receipt.recorded_at, receipt.statement, receipt.leaf
                    ))?;
                }
            }
            Outcome::Refused(json, text) => {
                all_recorded = false;
                if args.json {
                    session.print_json(&json)?;
                } else {
                    session.print(&text)?;
                }
            }
        }
    }
    match failure {
        Some(failure) => Err(failure),
        None => Ok(all_recorded),
    }
}

/// What came of a submission.
struct Recording {
    outcomes: Vec<Outcome>,
    /// Why it stopped before the end, where that is no refusal.
    failure: Option<Failure>,
    /// Over how many entries the checkpoint is, where there was none before.
    unkept: Option<u64>,
}

/// Submits statements in order, up to the first that is not recorded, and signs a checkpoint. A store may have tasks on the runtime that it
/// was opened on, so this has to be that one.
fn record<S: Store>(
    runtime: &Runtime,
    store: S,
    recorder: Recorder,
    statements: Vec<SignedStatement>,
) -> Result<Recording, Failure> {
    runtime.block_on(async {
        let kept = store.checkpoint().await;
        let is_kept = kept.map_err(|error| Failure::of("the ledger can not be opened", &error))?.is_some();
        let ledger = Ledger::open(store, recorder).await.map_err(not_opened)?;
        let mut outcomes = Vec::new();
        let mut failure = None;
        for signed in statements {
            let what = format!("{} by {}", signed.statement().event.kind(), signers(signed.statement()));
            match ledger.submit(signed.clone()).await {
                Ok(receipt) => outcomes.push(Outcome::Recorded(receipt, what)),
                Err(error) => {
                    match refusal(&signed, error) {
                        Ok(refused) => outcomes.push(refused),
                        Err(other) => failure = Some(other),
                    }
                    break;
                }
            }
        }
        if let Err(error) = ledger.close().await {
            // What has a receipt is recorded all the same; and what failed before is why this failed.
            failure = failure.or_else(|| {
                let failure = Failure::of("the checkpoint could not be signed and kept", &error);
                Some(failure.hint("what has a receipt is recorded; the next submission signs a checkpoint"))
            });
        }
        let unkept = (!is_kept).then(|| ledger.head().size);
        Ok::<_, Failure>(Recording { outcomes, failure, unkept })
    })
}

/// What to do where nobody knows what became of a statement.
const SUBMIT_AGAIN: &str =
    "submit the same again: it gets its receipt if it was recorded, and is recorded if it was not";

/// A refusal as it is printed; what is none is a failure.
fn refusal(signed: &SignedStatement, error: SubmitError) -> Result<Outcome, Failure> {
    let (code, meaning, requirements, detail) = match &error {
        SubmitError::Refused(refusal) | SubmitError::SerialReused(refusal) => {
            let code = refusal.code;
            (code.as_str(), code.meaning(), code.requirements(), refusal.detail.clone())
        }
        SubmitError::Malformed(fault) => {
            (fault.code.as_str(), fault.code.meaning(), [].as_slice(), fault.detail.clone())
        }
        SubmitError::OutcomeUnknown { .. } => {
            let what = "the store did not say in time, or can not say, whether it keeps the statement";
            return Err(Failure::of(what, &error).hint(SUBMIT_AGAIN));
        }
        _ => return Err(Failure::of("the statement was not recorded", &error)),
    };
    let (meaning, kind) = (meaning.trim(), signed.statement().event.kind());
    let json = json!({
        "recorded": false,
        "statement": signed.digest(),
        "code": code,
        "detail": detail,
        "meaning": meaning,
        "requirements": requirements,
    });
    let mut text = format!(
        "refused {code}: {kind} by {}\n  meaning    {meaning}\n  detail     {}\n",
        signers(signed.statement()),
        safe(&detail)
    );
    if !requirements.is_empty() {
        text += &format!("  enforces   {}\n", requirements.join(", "));
    }
    text += &format!("  statement  {}\n", signed.digest());
    Ok(Outcome::Refused(json, text))
}

/// Keeps other programs of this kind from recording in the same file.
fn lock(path: &Path) -> Result<File, Failure> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let failed = |error: std::io::Error| Failure::of("the ledger can not be locked", &error);
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&name).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(Failure::told("another program is recording in this ledger")
                .hint("try again when it is done"))
        }
        Err(std::fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// A file that is no ledger is a negative answer; one that can not be read is none.
fn unreadable(error: JsonlError) -> Failure {
    let is_io = matches!(error, JsonlError::Io(_) | JsonlError::NotAFile { .. });
    let failure = Failure::from(error);
    if is_io { failure } else { failure.into_refused().hint("`countersign verify` says more") }
}
