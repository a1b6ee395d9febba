//! Why a command gave no positive answer, by the exit code that follows.

use std::error::Error;
use std::io;
use std::path::Path;

use countersign_audit::{Damage, SourceError};
use countersign_store::jsonl::JsonlError;

use crate::{EXIT_ERROR, EXIT_NO, EXIT_PIPE};

/// Why a command ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The reader of an output is gone. Nothing more is said.
    Pipe,
    /// Usage, input or output: exit 2.
    Told(Message),
    /// A negative answer that is not printed yet: exit 1.
    Refused(Message),
}

/// What is told on the error stream.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// What is wrong, with the causes behind it.
    pub(crate) lines: Vec<String>,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}

impl Failure {
    pub(crate) fn told(text: impl Into<String>) -> Self {
        Self::Told(Message { lines: vec![text.into()], hint: None })
    }

    pub(crate) fn refused(text: impl Into<String>) -> Self {
        Self::Refused(Message { lines: vec![text.into()], hint: None })
    }

    /// An error with its causes, in the context of what was tried.
    pub(crate) fn of(context: impl Into<String>, error: &(dyn Error + 'static)) -> Self {
        let mut lines = vec![context.into()];
        lines.extend(chain(error));
        Self::Told(Message { lines, hint: None })
    }

    pub(crate) fn hint(mut self, text: impl Into<String>) -> Self {
        if let Self::Told(message) | Self::Refused(message) = &mut self {
            message.hint = Some(text.into());
        }
        self
    }

    /// The same, as a negative answer: what was read is no sound ledger.
    pub(crate) fn into_refused(self) -> Self {
        match self {
            Self::Told(message) => Self::Refused(message),
            Self::Pipe | Self::Refused(_) => self,
        }
    }

    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::Pipe => EXIT_PIPE,
            Self::Told(_) => EXIT_ERROR,
            Self::Refused(_) => EXIT_NO,
        }
    }

    /// What could not be written to an output stream.
    pub(crate) fn writing(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Pipe,
            _ => Self::of("the output can not be written", error),
        }
    }
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        let failure = Self::of("the ledger can not be read", &error);
        match error {
            SourceError::NotAFile { path } | SourceError::NotADirectory { path } if path.is_symlink() => {
                failure.hint(link_hint(&path))
            }
            SourceError::Missing { .. } | SourceError::NotALedger { .. } => {
                failure.hint("a ledger is a directory with `entries` in it, or one file NAME.jsonl")
            }
            // A store held what it read against itself.
            SourceError::Read { source, .. }
                if source.get_ref().is_some_and(|cause| cause.is::<Damage>()) =>
            {
                failure.into_refused()
            }
            _ => failure,
        }
    }
}

impl From<JsonlError> for Failure {
    fn from(error: JsonlError) -> Self {
        let failure = Self::of("the ledger file can not be used", &error);
        match error {
            JsonlError::NotAFile { path } if path.is_symlink() => failure.hint(link_hint(&path)),
            JsonlError::OtherHistory { .. } => {
                failure.hint("another program has written to it: nothing was changed, try again")
            }
            _ => failure,
        }
    }
}

/// What to do where a path is a symbolic link.
fn link_hint(path: &Path) -> String {
    match path.read_link() {
        Ok(to) => format!("symbolic links are not followed: name what it leads to, `{}`", to.display()),
        Err(_) => "symbolic links are not followed: name what it leads to".into(),
    }
}

/// The texts of an error and of what caused it, without those that stand in the one before.
fn chain(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let line = error.to_string();
        if !lines.last().is_some_and(|last| last.contains(&line)) {
            lines.push(line);
        }
        next = error.source();
    }
    lines
}
