//! `init` and `keygen`: what there has to be before there are statements.

use std::path::{Path, PathBuf};

use countersign_core::entry::Entry;
use countersign_core::event::{KeyHolder, LedgerOpened, RecorderKey, Recovery, Suite};
use countersign_core::id::{LedgerRef, Person, Principal};
use countersign_core::key::{SecretKey, SignerKey as _};
use countersign_core::statement::{Statement, Version};
use countersign_core::time::Seconds;
use countersign_core::wire::{KeyBytes, Set, Sorted};
use countersign_ledger::Ledger;
use countersign_projection::governance::RULES;
use countersign_store::MemoryStore;
use serde_json::json;

use super::add::{not_opened, recorder};
use crate::args::{Init, Keygen, Opening};
use crate::failure::Failure;
use crate::keyfile;
use crate::place::Place;
use crate::session::Session;
use crate::text::{count, safe};
use crate::when::now;

/// Somebody whom the charter names, as given on the command line.
struct Seat {
    principal: Principal,
    persons: Vec<Person>,
    key: SecretKey,
}

impl Seat {
    /// Reads `PRINCIPAL=PERSON[,PERSON]:KEYFILE`.
    fn parse(option: &str, text: &str) -> Result<Self, Failure> {
        let wrong = || {
            Failure::told(format!("--{option} `{text}` is not PRINCIPAL=PERSON:KEYFILE"))
                .hint("like user:dana=person:dana:dana.key")
        };
        let (principal, rest) = text.split_once('=').ok_or_else(wrong)?;
        // A person is `person:NAME`, and no name has a colon.
        let are_persons = |text: &str| text.split(',').all(|person| person.parse::<Person>().is_ok());
        let persons_end =
            rest.match_indices(':').map(|(place, _)| place).find(|place| are_persons(&rest[..*place]));
        let end = persons_end.ok_or_else(wrong)?;
        let persons =
            rest[..end].split(',').map(str::parse).collect::<Result<_, _>>().map_err(|_| wrong())?;
        Ok(Self {
            principal: principal.parse().map_err(|_| wrong())?,
            persons,
            key: keyfile::read(Path::new(&rest[end + 1..]))?,
        })
    }

    fn holder(&self, option: &str) -> Result<KeyHolder, Failure> {
        let [person] = self.persons.as_slice() else {
            return Err(Failure::told(format!("--{option} {}: a human is one person", self.principal)));
        };
        Ok(KeyHolder { key: self.key_bytes(), person: person.clone(), principal: self.principal.clone() })
    }

    fn key_bytes(&self) -> KeyBytes {
        KeyBytes(*self.key.public_key().as_bytes())
    }
}

fn seats(option: &str, texts: &[String]) -> Result<Vec<Seat>, Failure> {
    let mut seats: Vec<Seat> =
        texts.iter().map(|text| Seat::parse(option, text)).collect::<Result<_, _>>()?;
    seats.sort_by(|a, b| a.principal.cmp(&b.principal));
    Ok(seats)
}

pub(super) fn init(args: Init, session: &mut Session<'_, '_>) -> Result<bool, Failure> {
    let place = Place::of(&args.path)?;
    place.refuse_taken().map_err(|failure| failure.hint("a ledger is opened once"))?;
    let governors = seats("governor", &args.governors)?;
    let recovery = seats("recovery", &args.recovery)?;
    let at_recorder = Seat::parse("recorder", &args.recorder)?;
    let holders = |option: &str, seats: &[Seat]| -> Result<Sorted<KeyHolder>, Failure> {
        seats.iter().map(|seat| seat.holder(option)).collect()
    };
    // All but one, so that a lost key does not stop them; and two where there are two, so that nobody acts alone.
    let number = governors.len() as u64;
    let quorum = args.quorum.unwrap_or_else(|| number.saturating_sub(1).max(number.min(2)));
    let delay_seconds =
        Seconds::new(args.recovery_delay).ok_or_else(|| Failure::told("--recovery-delay is at least 1"))?;
    let event = LedgerOpened {
        governors: holders("governor", &governors)?,
        name: args.name.clone(),
        quorum,
        recorder: RecorderKey {
            controllers: at_recorder.persons.iter().cloned().collect(),
            key: at_recorder.key_bytes(),
            principal: at_recorder.principal.clone(),
        },
        recovery: if recovery.is_empty() {
            None
        } else {
            Some(Recovery {
                delay_seconds,
                keys: holders("recovery", &recovery)?,
                quorum: args.recovery_quorum.unwrap_or(recovery.len() as u64),
            })
        },
        rules: RULES,
        suite: Suite,
    };
    let mut signers = governors.iter().chain([&at_recorder]).chain(&recovery);
    let first = signers.next().ok_or_else(|| Failure::told("a ledger needs a governor"))?;
    let cosigners: Set<Principal> = signers.clone().map(|seat| seat.principal.clone()).collect();
    let statement = Statement {
        author: first.principal.clone(),
        cosigners,
        event: event.into(),
        issued_at: now(args.clock.now),
        key: first.key.public_key().key_id(),
        ledger: LedgerRef::Name(args.name),
        seen: None,
        serial: 1,
        v: Version,
    };
    let unsigned =
        |error: &(dyn std::error::Error + 'static)| Failure::of("genesis can not be signed", error);
    let mut genesis = statement.sign(&first.key).map_err(|error| unsigned(&error))?;
    for seat in signers {
        genesis.cosign(&seat.key).map_err(|error| unsigned(&error))?;
    }

    // In memory first: a genesis that is refused leaves nothing on the disk.
    let store = MemoryStore::new();
    let recorder = recorder(at_recorder.key.clone(), args.clock.now);
    let (id, note) = super::runtime()?.block_on(async {
        let (ledger, _) = Ledger::create(store.clone(), recorder, genesis).await.map_err(not_opened)?;
        let note = ledger.close().await;
        let note = note.map_err(|error| Failure::of("the checkpoint can not be signed", &error))?;
        Ok::<_, Failure>((ledger.ledger_id(), note))
    })?;
    let entries: Result<Vec<Entry>, _> = store.entries_now().into_iter().map(Entry::parse).collect();
    let entries = entries.map_err(|fault| Failure::of("genesis can not be kept", &fault))?;
    let mut writer = place.writer(Opening::default(), session)?;
    writer.write(&entries)?;
    writer.finish(1, Some((1, note.to_string().into_bytes())))?;
    let id = id.map(|id| id.to_string()).unwrap_or_default();
    let files: Vec<PathBuf> = place.files();
    if args.json {
        let files: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
        session.print_json(&json!({"ledger": id, "files": files}))?;
    } else {
        session.print(&format!("ledger {id}\n"))?;
        let files: Vec<String> =
            files.iter().map(|path| safe(&path.display().to_string()).into_owned()).collect();
        session.note(&format!("wrote {}", files.join(" and ")));
        session.note(&alone(quorum, number, recovery.is_empty()));
        session.note("give the ledger id to whoever will verify it, by other ways than the ledger");
    }
    Ok(true)
}

/// What the number of governors who must sign means.
fn alone(quorum: u64, governors: u64, no_recovery: bool) -> String {
    let meaning = match quorum {
        1 => ": one of them alone can do everything governors can",
        _ if quorum == governors && no_recovery => {
            ": one lost key, and they can do nothing any more (see --recovery)"
        }
        _ => "",
    };
    format!(
        "{quorum} of {} must sign what governors do together{meaning}",
        count(governors, "governor", "governors")
    )
}

pub(super) fn keygen(args: Keygen, session: &mut Session<'_, '_>) -> Result<bool, Failure> {
    let key = if args.show { keyfile::read(&args.path)? } else { keyfile::create(&args.path)? };
    let public = key.public_key();
    if args.json {
        session.print_json(&json!({
            "file": args.path.display().to_string(),
            "key": public.to_string(),
            "keyid": public.key_id(),
        }))?;
    } else {
        session.print(&format!("key    {public}\nkeyid  {}\n", public.key_id()))?;
        if !args.show {
            session.note(&format!("wrote {}; keep it secret", safe(&args.path.display().to_string())));
        }
    }
    Ok(true)
}
