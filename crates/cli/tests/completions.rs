//! Completion scripts, tried in the shells that are there.

#![allow(clippy::unwrap_used, reason = "a test that can not go on panics")]

mod common;

use std::fs;
use std::io::ErrorKind;
use std::process::Command;

use common::{World, run};

/// Writes the script of a shell, and runs the shell with these arguments; none where there is no such shell.
fn try_in(shell: &str, world: &World, arguments: &[&str]) -> Option<(bool, String)> {
    let script = run(&["completions", shell], b"");
    assert_eq!((script.code, script.stderr.as_str()), (0, ""), "{shell}");
    assert!(script.stdout.contains("countersign"), "{shell}");
    let path = world.path(&format!("completion.{shell}"));
    fs::write(&path, script.stdout).unwrap();
    let output = Command::new(shell).args(arguments).arg(&path).output();
    match output {
        Ok(output) => {
            let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
            Some((output.status.success(), text))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            countersign_notices::skip(
                &format!("completions of {shell}"),
                "no such shell here: its script was written and not tried",
            );
            None
        }
        Err(error) => panic!("{shell}: {error}"),
    }
}

#[test]
fn bash_completes_commands_options_and_values() {
    let world = World::empty("completions-bash");
    let completes = |line: &str, cursor_at: usize| {
        let drive = format!(
            "source \"$0\"; complete -p countersign >/dev/null || exit 1; COMP_WORDS=({line}); COMP_CWORD={cursor_at}; \
             _countersign countersign \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"; \
             printf '%s ' \"${{COMPREPLY[@]}}\""
        );
        let (loads, text) = try_in("bash", &world, &["--norc", "-c", &drive])?;
        assert!(loads, "{line}: {text}");
        Some(text.trim().to_owned())
    };
    for (line, cursor_at, want) in [
        ("countersign ver", 1, "verify"),
        ("countersign s", 1, "sign submit state show"),
        ("countersign verify --ledger", 2, "--ledger-id"),
        ("countersign verify x.ledger --req", 3, "--require-checkpoint"),
        ("countersign state x.ledger --kind ow", 4, "owners"),
        ("countersign state x.ledger --format t", 4, "text tsv"),
        ("countersign completions z", 2, "zsh"),
    ] {
        let Some(got) = completes(line, cursor_at) else { return };
        assert_eq!(got, want, "{line}");
    }
}

#[test]
fn zsh_and_fish_read_their_scripts() {
    let world = World::empty("completions-others");
    for shell in ["zsh", "fish"] {
        if let Some((reads, text)) = try_in(shell, &world, &["-n"]) {
            assert!(reads, "{shell}: {text}");
        }
    }
}
