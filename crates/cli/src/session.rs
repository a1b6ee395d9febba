//! The streams of one run, and how things are said on them.

use std::io::Read as _;

use countersign_audit::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::Streams;
use crate::failure::{Failure, Message};
use crate::text::{safe, safe_json};

/// Longest input that is read from a file or a stream: enough for a thousand statements.
const MAX_INPUT: u64 = 64 << 20;

/// One run of the program.
pub(crate) struct Session<'s, 'a> {
    streams: &'s mut Streams<'a>,
    quiet: bool,
}

impl<'s, 'a> Session<'s, 'a> {
    pub(crate) fn new(streams: &'s mut Streams<'a>, quiet: bool) -> Self {
        Self { streams, quiet }
    }

    /// Writes to the output, as it is: the caller has made it safe.
    pub(crate) fn print(&mut self, text: &str) -> Result<(), Failure> {
        self.print_bytes(text.as_bytes())
    }

    pub(crate) fn print_bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.streams.stdout.write_all(bytes).map_err(|error| Failure::writing(&error))
    }

    /// Nothing is answered before it has reached the output.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.streams.stdout.flush().map_err(|error| Failure::writing(&error))
    }

    /// One line of JSON.
    pub(crate) fn print_json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let json =
            serde_json::to_string(value).expect("text and numbers with fixed names can be written as JSON");
        self.print(&format!("{}\n", safe_json(&json)))
    }

    /// Says something beside the answer, unless told to be quiet.
    pub(crate) fn note(&mut self, text: &str) {
        if !self.quiet {
            self.warn(text);
        }
    }

    /// Says something beside the answer that has to be said.
    pub(crate) fn warn(&mut self, text: &str) {
        // Where the error stream is gone, the exit code still tells.
        let _ = writeln!(self.streams.stderr, "{text}");
    }

    pub(crate) fn complain(&mut self, message: &Message) {
        let mut lines = message.lines.iter();
        if let Some(first) = lines.next() {
            self.warn(&format!("countersign: {}", safe(first)));
        }
        for cause in lines {
            self.warn(&format!("  because {}", safe(cause)));
        }
        if let Some(hint) = &message.hint {
            self.warn(&format!("  hint: {}", safe(hint)));
        }
    }

    /// Whether there is a person to ask.
    pub(crate) fn asks(&self) -> bool {
        self.streams.asks
    }

    /// Asks a person for a yes. Where there is nobody to ask, the answer is no.
    pub(crate) fn confirm(&mut self, question: &str) -> bool {
        if !self.streams.asks {
            return false;
        }
        let _ = write!(self.streams.stderr, "{question} [y/N] ");
        let _ = self.streams.stderr.flush();
        let mut answer = Vec::new();
        let mut byte = [0];
        while matches!(self.streams.stdin.read(&mut byte), Ok(1)) && byte[0] != b'\n' && answer.len() < 16 {
            answer.push(byte[0]);
        }
        answer.trim_ascii().eq_ignore_ascii_case(b"y")
    }

    /// Reads a file, or the input for `-`.
    pub(crate) fn read(&mut self, path: &std::path::Path) -> Result<Vec<u8>, Failure> {
        let name = safe(&path.display().to_string()).into_owned();
        let failed = |error: std::io::Error| Failure::of(format!("`{name}` can not be read"), &error);
        let mut bytes = Vec::new();
        if path.as_os_str() == "-" {
            (&mut *self.streams.stdin).take(MAX_INPUT + 1).read_to_end(&mut bytes).map_err(failed)?;
        } else {
            let file = std::fs::File::open(path).map_err(failed)?;
            file.take(MAX_INPUT + 1).read_to_end(&mut bytes).map_err(failed)?;
        }
        if bytes.len() as u64 > MAX_INPUT {
            return Err(Failure::told(format!("`{name}` is longer than {MAX_INPUT} bytes")));
        }
        Ok(bytes)
    }

    /// Shows how far a long work is, where a person watches.
    pub(crate) fn progress(&self) -> Bar {
        if !self.streams.is_terminal || self.quiet {
            return Bar(None);
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) =
            ProgressStyle::with_template("verifying {bar:30} {bytes}/{total_bytes} {msg} {elapsed}")
        {
            bar.set_style(style);
        }
        Bar(Some(bar))
    }
}

/// A progress bar, or none.
pub(crate) struct Bar(Option<ProgressBar>);

impl Bar {
    pub(crate) fn show(&self, progress: Progress) {
        if let Some(bar) = &self.0 {
            if let Some(total) = progress.total_bytes {
                bar.set_length(total);
            }
            bar.set_message(format!("{} entries", progress.entries));
            bar.set_position(progress.bytes);
        }
    }

    pub(crate) fn finish(self) {
        if let Some(bar) = self.0 {
            bar.finish_and_clear();
        }
    }
}
