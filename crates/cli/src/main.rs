//! The `countersign` program. Everything it does is in the library of this package.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use countersign_cli::{Streams, run};

fn main() -> ExitCode {
    let mut stdin = std::io::stdin().lock();
    let mut stdout = std::io::BufWriter::new(std::io::stdout().lock());
    let mut stderr = std::io::stderr();
    let is_terminal = stderr.is_terminal();
    let asks = is_terminal && std::io::stdin().is_terminal();
    let mut streams =
        Streams { stdin: &mut stdin, stdout: &mut stdout, stderr: &mut stderr, is_terminal, asks };
    ExitCode::from(run(std::env::args_os(), &mut streams))
}
