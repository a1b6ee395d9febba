//! The `countersign` program as a function of its arguments and streams, so that tests see what a user sees.
//!
//! Exit codes: 0 verified or allowed, 1 failed, warned of, refused or denied, 2 usage, input or output, 141 the reader of the
//! output went away. Every command that reads a
//! ledger verifies all of it first and says so on the error stream; what a ledger says is printed with control and
//! bidirectional characters escaped.

#![deny(clippy::wildcard_enum_match_arm)]

mod args;
mod commands;
mod describe;
#[allow(clippy::wildcard_enum_match_arm, reason = "over errors: of events it matches none")]
mod failure;
mod files;
mod json;
#[allow(clippy::wildcard_enum_match_arm, reason = "over errors: of events it matches none")]
mod keyfile;
mod ledger;
#[allow(clippy::wildcard_enum_match_arm, reason = "over errors: of events it matches none")]
mod place;
mod session;
mod story;
mod stream;
mod table;
mod text;
mod when;

use std::ffi::OsString;
use std::io::{Read, Write};

use clap::Parser as _;

use crate::args::Cli;
use crate::failure::Failure;
use crate::session::Session;

/// Verified, allowed, recorded, done.
pub const EXIT_YES: u8 = 0;
/// Verification failed, access is denied, a statement was refused, a scenario did not go as it says.
pub const EXIT_NO: u8 = 1;
/// Nothing was decided: wrong usage, or something could not be read or written.
pub const EXIT_ERROR: u8 = 2;

/// Whoever read the output went away before its end: what a shell sees of a program that the closed pipe killed. Never a yes,
/// since an answer that nobody read is none.
pub const EXIT_PIPE: u8 = 141;

/// What the program reads from and writes to.
pub struct Streams<'a> {
    /// Where `-` reads from.
    pub stdin: &'a mut dyn Read,
    /// Answers.
    pub stdout: &'a mut dyn Write,
    /// Everything else.
    pub stderr: &'a mut dyn Write,
    /// Whether a person watches the error stream, who sees progress on long work.
    pub is_terminal: bool,
    /// Whether a person can be asked.
    pub asks: bool,
}

/// Runs the program with these arguments, its own name first, and returns its exit code.
pub fn run(args: impl IntoIterator<Item = OsString>, streams: &mut Streams<'_>) -> u8 {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let text = error.render().to_string();
            let text = text::safe_lines(&text);
            let (stream, code): (&mut dyn Write, u8) =
                if error.use_stderr() { (streams.stderr, EXIT_ERROR) } else { (streams.stdout, EXIT_YES) };
            // There is nobody left to tell where it can not be written.
            let _ = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
            return code;
        }
    };
    let mut session = Session::new(streams, cli.quiet);
    match commands::run(cli.command, &mut session).and_then(|answer| session.flush().map(|()| answer)) {
        Ok(true) => EXIT_YES,
        Ok(false) => EXIT_NO,
        Err(failure) => {
            // What was answered before the failure is answered.
            let _ = session.flush();
            let code = failure.exit_code();
            if let Failure::Told(message) | Failure::Refused(message) = &failure {
                session.complain(message);
            }
            code
        }
    }
}
