//! A fictional company from genesis to a grant, its end, and proof of all of it.
//!
//! Run it with `cargo run --release --example quickstart`; with `-- --ledger acme.ledger` behind it the ledger stays there. Keys come from fixed seeds and the clock is moved by hand, so that
//! every run prints the same; a service takes its keys from a KMS or a file, and the system's clock.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use countersign::audit::{LedgerBytes, LedgerDir, Options, verify};
use countersign::core::event::*;
use countersign::core::id::*;
use countersign::core::key::SecretKey;
use countersign::core::policy::PolicyDocument;
use countersign::core::scan::MAX_STATEMENT_DEPTH;
use countersign::core::time::Seconds;
use countersign::core::wire::{Set, Text, decode};
use countersign::ledger::testing::ManualClock;
use countersign::ledger::{Author, Check, Enforcer, Ledger, Recorder};
use countersign::projection::governance::Answer;
use countersign::store::FileStore;

/// What the policy owner publishes: business owner and security agree, for at most eight hours.
const POLICY: &str = r#"{"paths":[{"distinct_persons":true,"name":"books","path":{"all":[{"capacity":"business_owner"},{"capacity":"control_owner"}]}}],"summary":{"text":"Access to Acme's books"},"tiers":[{"max_seconds":28800,"tier":"high"}]}"#;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let kept = match &arguments[..] {
        [] => None,
        [option, path] if option == "--ledger" => Some(PathBuf::from(path)),
        _ => return Err("usage: quickstart [--ledger DIR]".into()),
    };
    if let Some(path) = kept.as_ref().filter(|path| path.exists()) {
        return Err(format!("{} exists already", path.display()).into());
    }
    println!(
        "countersign quickstart: Acme gives Alice access to its books, takes it back, and can prove both."
    );

    // Two governors found the ledger together. Everyone has a key of their own; the operator holds only the recorder's.
    let clock = ManualClock::new("2026-01-05T09:00:00.000Z".parse()?);
    let name = LedgerName::new("acme/access")?;
    let founding = |principal: &str, seed| -> Result<Author, ParseNameError> {
        Ok(Author::founding(Principal::new(principal)?, SecretKey::from_seed(&[seed; 32]), name.clone())
            .clock(clock.clone()))
    };
    let (ada, ben) = (founding("user:ada", 1)?, founding("user:ben", 2)?);
    let recorder = founding("service:recorder", 3)?;
    let governor = |author: &Author, person: &str| -> Result<KeyHolder, ParseNameError> {
        Ok(KeyHolder {
            key: author.key_bytes(),
            person: Person::new(person)?,
            principal: author.principal().clone(),
        })
    };
    let genesis = LedgerOpened {
        governors: [governor(&ada, "person:ada")?, governor(&ben, "person:ben")?].into_iter().collect(),
        name: name.clone(),
        quorum: 2,
        recorder: RecorderKey {
            controllers: [Person::new("person:otto")?].into_iter().collect(),
            key: recorder.key_bytes(),
            principal: recorder.principal().clone(),
        },
        recovery: None,
        rules: 1,
        suite: Suite,
    };
    let genesis = ada.state(genesis).cosigned_by([&ben, &recorder]).sign()?;
    // One directory is all that a ledger needs; what is acknowledged survives a loss of power.
    let temporary = || std::env::temp_dir().join(format!("countersign-quickstart-{}", std::process::id()));
    let directory = kept.clone().unwrap_or_else(temporary);
    let recording = Recorder::new(SecretKey::from_seed(&[3; 32])).clock(clock.clone());
    let (ledger, _) = Ledger::create(FileStore::open(&directory)?, recording, genesis).await?;
    let id = ledger.ledger_id().ok_or("genesis was recorded")?;
    let (ada, ben) = (ada.joined(id.clone()), ben.joined(id.clone()));
    println!("ledger     {}…, opened by user:ada and user:ben: governors act by two", &id.as_str()[..24]);

    // Until the first policy the governors stand in: they admit people and keys, name owners, register the books.
    let mut people = Vec::new();
    for (seed, principal) in [(4, "user:alice"), (5, "user:olga"), (6, "user:cora"), (7, "automation:iam")] {
        let principal = Principal::new(principal)?;
        let author = Author::new(principal.clone(), SecretKey::from_seed(&[seed; 32]), id.clone())
            .clock(clock.clone());
        let own = Person::new(&format!("person:{}", principal.as_str().replace(':', "-")))?;
        let human = principal.as_str().starts_with("user:");
        let registered = PrincipalRegistered {
            controllers: if human { Set::default() } else { [own.clone()].into_iter().collect() },
            kind: if human { PrincipalKind::Human } else { PrincipalKind::Automation },
            person: human.then_some(own),
            principal: principal.clone(),
        };
        ledger.submit(ada.state(registered).cosigned_by([&ben]).sign()?).await?;
        let enrolled = KeyEnrolled { enrolment: Enrolment::First, key: author.key_bytes(), principal };
        ledger.submit(ada.state(enrolled).cosigned_by([&ben]).proved_by([&author]).sign()?).await?;
        people.push(author);
    }
    let [alice, olga, cora, iam] = &people[..] else { return Err("four people".into()) };
    let books = Resource::new("db:books")?;
    let registered = ResourceRegistered {
        environment: None,
        governed_by: None,
        process: Some(Process::new("accounting")?),
        resource: books.clone(),
        tier: Tier::High,
    };
    ledger.submit(ada.state(registered).cosigned_by([&ben]).sign()?).await?;
    for (capacity, holder) in
        [(Capacity::BusinessOwner, olga), (Capacity::ControlOwner, cora), (Capacity::IamEnforcer, iam)]
    {
        let assigned = CapacityAssigned {
            capacity,
            from: None,
            holder: holder.principal().clone(),
            scope: Scope::of(Pattern::from(&books)),
            until: None,
        };
        ledger.submit(ada.state(assigned).cosigned_by([&ben]).sign()?).await?;
    }
    println!(
        "people     olga answers for the need, cora for security, an enforcer carries out, alice works here"
    );
    let document: PolicyDocument = decode(POLICY.as_bytes(), MAX_STATEMENT_DEPTH)?;
    let published =
        PolicyPublished { document, from: None, name: Label::new("books")?, scope: Scope::everything() };
    let receipt = ledger.submit(ada.state(published).cosigned_by([&ben]).sign()?).await?;
    println!(
        "policy     entry {}: business owner and security agree, two persons, eight hours at most",
        receipt.seq
    );

    // From here on everyone acts in their own capacity, and nobody else's.
    let enforcer = Enforcer::attach(&ledger, iam.clone());
    let reader = Role::new("reader")?;
    let requested = AccessRequested {
        ends_on: Set::default(),
        expires: None,
        hold: Hold::Seconds(Seconds::new(3_600).ok_or("an hour")?),
        need: Text::new("close the books for December")?,
        purpose: Process::new("accounting")?,
        replaces: None,
        resource: books.clone(),
        role: reader.clone(),
        subject: alice.principal().clone(),
        tier: Tier::High,
    };
    let request = ledger.submit(alice.state(requested).sign()?).await?;
    println!("request    entry {}: alice asks to read the books for an hour", request.seq);
    let clause = ledger.current().state().clause(&books, &reader, request.recorded_at)?.digest();
    let approval = |capacity, need: &str| -> Result<AccessApproved, Box<dyn Error>> {
        Ok(AccessApproved {
            capacity,
            clause,
            need: Text::new(need)?,
            request: request.statement,
            seconds: None,
        })
    };
    let own = alice.state(approval(Capacity::BusinessOwner, "I need it")?).seen(request.head()).sign()?;
    match ledger.submit(own).await {
        Ok(_) => return Err("nobody approves for himself".into()),
        Err(refused) => println!("refused    alice tries to approve it herself: {refused}"),
    }
    for (author, capacity, need) in [
        (olga, Capacity::BusinessOwner, "she closes the books"),
        (cora, Capacity::ControlOwner, "reading only, on a managed device"),
    ] {
        clock.advance(Duration::from_secs(60));
        let signed = author.state(approval(capacity, need)?).seen(request.head()).sign()?;
        let receipt = ledger.submit(signed).await?;
        println!("approval   entry {}: {} as {capacity}: {need}", receipt.seq, author.principal());
    }
    enforcer.dealt_with(request.seq + 3).await?;
    enforcer.stop().await;

    let question = Check::new(alice.principal(), &books, &reader);
    let Answer::Allowed { grant, seq, until: Some(until) } = ledger.check(&question)?.answer else {
        return Err("the enforcer grants what is approved".into());
    };
    println!("check      yes: granted by entry {seq}, until {until}");
    clock.advance(Duration::from_secs(600));
    let revoked = AccessRevoked { grant, reason: Text::new("December is closed")? };
    let receipt = ledger.submit(olga.state(revoked).sign()?).await?;
    println!("revocation entry {}: olga takes it back", receipt.seq);
    match ledger.check(&question)?.answer {
        Answer::Allowed { .. } => return Err("a revocation bites at once".into()),
        Answer::Denied { reason } => println!("check      no: {reason}"),
    }
    ledger.close().await?;

    // Anyone with the directory and the ledger id tells the same story, and notices if somebody else told another.
    println!("why        from the directory alone (lines about keys and names left out here):");
    let mut told = Vec::new();
    let why =
        ["countersign".into(), "why".into(), directory.clone().into_os_string(), grant.to_string().into()];
    let mut streams = countersign_cli::Streams {
        stdin: &mut std::io::empty(),
        stdout: &mut told,
        stderr: &mut std::io::sink(),
        is_terminal: false,
        asks: false,
    };
    countersign_cli::run(why, &mut streams);
    let told = String::from_utf8(told)?;
    let left_out = ["  key ", "  as ", "  grant ", "  resource ", "  at most ", "  clause "];
    for line in
        told.lines().filter(|line| !line.is_empty() && !left_out.iter().any(|start| line.starts_with(start)))
    {
        println!("  {line}");
    }
    let options = Options { ledger_id: Some(id), ..Options::default() };
    let report = verify(&mut LedgerDir::open(&directory)?, &options)?;
    println!(
        "verify     {}: {} entries, anchored by a checkpoint to {}",
        report.verdict, report.entries, report.anchored
    );
    let mut bytes = std::fs::read(directory.join("entries/00000000000000000000.jsonl"))?;
    let half = bytes.len() / 2;
    bytes[half] ^= 1;
    let report = verify(&mut LedgerBytes::new(bytes), &options)?;
    let fault = report.fault.ok_or("a flipped bit is noticed")?;
    println!("one bit    flipped at byte {half}: entry {}, {}: {}", fault.seq, fault.code, fault.detail);
    let Some(path) = kept else {
        return Ok(std::fs::remove_dir_all(&directory)?);
    };
    let path = path.display();
    println!("next       countersign verify {path} --ledger-id {}", options.ledger_id.ok_or("pinned above")?);
    Ok(())
}
