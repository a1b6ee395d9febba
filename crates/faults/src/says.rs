//! How a process that is to be killed says what it knows.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write as _};

/// Says a line on standard output, in one write: whoever reads it knows that it was said whole.
pub fn say(line: &dyn Display) {
    let mut out = io::stdout().lock();
    // Nobody listens any more where it fails, and the outcome does not depend on it.
    let _ = out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush());
}

/// Says why something was not recorded: an error with its causes.
pub fn say_why(error: &(dyn Error + 'static)) {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    say(&format_args!("because {text}"));
}
