//! The `countersign` program, to be interrupted: a test reaches the programs of its own package alone.

use std::io::BufWriter;
use std::process::ExitCode;

fn main() -> ExitCode {
    let (mut stdin, mut stderr) = (std::io::stdin().lock(), std::io::stderr());
    let mut stdout = BufWriter::new(std::io::stdout().lock());
    let mut streams = countersign_cli::Streams {
        stdin: &mut stdin,
        stdout: &mut stdout,
        stderr: &mut stderr,
        is_terminal: false,
        asks: false,
    };
    ExitCode::from(countersign_cli::run(std::env::args_os(), &mut streams))
}
