//! The commands, one module each or a few that are alike.

#[allow(clippy::wildcard_enum_match_arm, reason = "over errors: of events it matches none")]
mod add;
mod answer;
#[allow(clippy::wildcard_enum_match_arm, reason = "over errors: of events it matches none")]
mod copy;
mod history;
mod make;
mod scenarios;
mod state;
mod why;

use countersign_audit::verify_with;

use crate::args::{Cli, Command, Verify};
use crate::failure::Failure;
use crate::ledger::options;
use crate::place::Place;
use crate::session::Session;
use crate::text::{safe_json, safe_lines};

/// Runs a command. The answer is whether it is a yes.
pub(crate) fn run(command: Command, session: &mut Session<'_, '_>) -> Result<bool, Failure> {
    match command {
        Command::Init(args) => make::init(args, session),
        Command::Keygen(args) => make::keygen(args, session),
        Command::Sign(args) => add::sign(args, session),
        Command::Submit(args) => add::submit(args, session),
        Command::Verify(args) => verify(args, session),
        Command::State(args) => state::state(args, session),
        Command::Who(args) => answer::who(args, session),
        Command::What(args) => answer::what(args, session),
        Command::Why(args) => why::why(args, session),
        Command::Check(args) => answer::check(args, session),
        Command::Log(args) => history::log(args, session),
        Command::Show(args) => history::show(args, session),
        Command::Checkpoint(args) => copy::checkpoint(args, session),
        Command::Export(args) => copy::export(args, session),
        Command::Copy(args) => copy::copy(args, session),
        Command::Import(args) => copy::import(args, session),
        Command::Test(args) => scenarios::test(args, session),
        Command::Completions(args) => {
            let mut script = Vec::new();
            let mut command = <Cli as clap::CommandFactory>::command();
            clap_complete::generate(args.shell, &mut command, "countersign", &mut script);
            session.print_bytes(&script)?;
            Ok(true)
        }
    }
}

/// What drives the ledger handle and stores: one thread, since one program makes one change.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::of("no runtime can be had", &error))
}

fn verify(args: Verify, session: &mut Session<'_, '_>) -> Result<bool, Failure> {
    let options = options(&args.reading)?;
    let mut source = Place::of(&args.reading.path)?.source()?;
    let bar = session.progress();
    let report = verify_with(&mut *source, &options, |_, _| {}, |progress| bar.show(progress));
    bar.finish();
    let report = report?;
    if args.json {
        session.print(&format!("{}\n", safe_json(&report.to_json())))?;
    } else {
        session.print(&safe_lines(&report.to_string()))?;
    }
    Ok(report.is_sound())
}
