//! The command line: commands, their options, and help with examples.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use countersign_core::event::EventKind;
use countersign_core::id::{LedgerId, LedgerName, Principal, Resource, Role};
use countersign_core::time::Timestamp;

use crate::when::{At, instant};

/// Access decisions as a ledger of signed statements: verify it, ask it, add to it.
#[derive(Debug, Parser)]
#[command(
    name = "countersign",
    version,
    max_term_width = 100,
    after_help = "Exit codes: 0 verified or allowed, 1 failed, warned of, denied or refused, 2 usage, input or output,\n\
                  141 the reader of the output went away.\n\
                  Every command that reads a ledger verifies all of it first.\n\n\
                  Examples:\n  \
                  countersign verify access.ledger --ledger-id acme/access/3f5c...\n  \
                  countersign who access.ledger db:acme/payroll\n  \
                  countersign why access.ledger user:alice reader db:acme/payroll"
)]
pub(crate) struct Cli {
    /// Say nothing on the error stream but warnings and errors.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one of it, once")]
pub(crate) enum Command {
    /// Open a ledger: make and sign its genesis, and write its directory or file.
    Init(Init),
    /// Make a key, or show the public half of one.
    Keygen(Keygen),
    /// Make a statement of an event and sign it, or add a signature to one that was made.
    Sign(Sign),
    /// Record statements, and print a receipt for each.
    Submit(Submit),
    /// Verify a ledger: bytes, chain, signatures, every decision judged again, checkpoints.
    Verify(Verify),
    /// Print what holds: grants, capacities, owners, requests, resources, principals, policies, classes, exceptions.
    State(StateArgs),
    /// Print who holds something on a resource.
    Who(Who),
    /// Print what a principal holds.
    What(What),
    /// Print why somebody holds, or held, access: who asked, who agreed with which authority, under which policy.
    Why(Why),
    /// Answer whether a principal holds a role on a resource: exit code 0 for yes, 1 for no.
    Check(Check),
    /// Print the entries in order, one a line.
    Log(Log),
    /// Print one entry.
    Show(Show),
    /// Print the checkpoint that lies with a ledger, to be kept elsewhere.
    Checkpoint(Checkpoint),
    /// Write a verified copy of a ledger, with its checkpoint.
    Export(Export),
    /// Copy entries from store to store, exactly as they are, and go on where an earlier copy stopped.
    Copy(Copy),
    /// Take over a copy that somebody else made, if it verifies and continues what is there.
    Import(Import),
    /// Run scenario files: expectations of a policy's author, tested.
    Test(Test),
    /// Print the completion script of a shell.
    Completions(Completions),
}

/// Which ledger, and what it is held against.
#[derive(Debug, Args)]
pub(crate) struct Reading {
    /// The ledger: its directory, its file NAME.jsonl, or an address: sqlite:FILE#NAME, postgres://HOST/DATABASE#NAME or
    /// s3://BUCKET/PREFIX. The checkpoint that lies with it is checked too.
    #[arg(value_name = "LEDGER")]
    pub(crate) path: PathBuf,
    /// The id that the ledger must have, known from elsewhere: the one thing to pin.
    #[arg(long, value_name = "ID")]
    pub(crate) ledger_id: Option<LedgerId>,
    /// A checkpoint that the ledger must agree with; may be given more than once.
    #[arg(long = "checkpoint", value_name = "FILE")]
    pub(crate) checkpoints: Vec<PathBuf>,
    /// Fail where no checkpoint commits the recorder to anything.
    #[arg(long)]
    pub(crate) require_checkpoint: bool,
}

/// As [`Reading`], for commands that answer from what was verified.
#[derive(Debug, Args)]
pub(crate) struct Asking {
    #[command(flatten)]
    pub(crate) reading: Reading,
    /// Answer even where verification fails, from the entries before the first fault. The exit code is then never 0.
    #[arg(long)]
    pub(crate) unsafe_despite_fault: bool,
}

/// Of which moment.
#[derive(Debug, Args)]
pub(crate) struct AsOf {
    /// The moment asked about: an instant in UTC like 2025-06-30T23:59:59Z (milliseconds allowed, no bare dates), `now`, or
    /// `end` for the time of the last entry [default: end].
    #[arg(long, value_name = "T")]
    pub(crate) at: Option<At>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    countersign init access.ledger --name acme/access --quorum 2 \\\n    \
    --governor user:dana=person:dana:dana.key --governor user:erik=person:erik:erik.key \\\n    \
    --recorder service:recorder=person:olga:recorder.key\n\n\
    The ledger id that it prints is what auditors pin: hand it out by other ways than the ledger.")]
pub(crate) struct Init {
    /// Where it is to be; nothing may stand there. A name that ends in `.jsonl` is one file, sqlite:FILE#NAME and
    /// postgres://HOST/DATABASE#NAME are in a database, s3://BUCKET/PREFIX is in object storage, any other is a directory.
    #[arg(value_name = "LEDGER")]
    pub(crate) path: PathBuf,
    /// The bare name of the ledger.
    #[arg(long)]
    pub(crate) name: LedgerName,
    /// A governor, as PRINCIPAL=PERSON:KEYFILE; at least one.
    #[arg(long = "governor", value_name = "GOVERNOR", required = true)]
    pub(crate) governors: Vec<String>,
    /// The recorder, as PRINCIPAL=PERSON[,PERSON]:KEYFILE with the persons who control it.
    #[arg(long)]
    pub(crate) recorder: String,
    /// How many governors must sign what governors do together [default: all but one, and two of two].
    #[arg(long)]
    pub(crate) quorum: Option<u64>,
    /// A holder of a recovery key, as PRINCIPAL=PERSON:KEYFILE.
    #[arg(long = "recovery", value_name = "HOLDER")]
    pub(crate) recovery: Vec<String>,
    /// How many recovery keys must sign [default: all].
    #[arg(long, requires = "recovery")]
    pub(crate) recovery_quorum: Option<u64>,
    /// How many seconds a recovery waits, in which the governors can veto it.
    #[arg(long, default_value_t = 1_209_600, requires = "recovery")]
    pub(crate) recovery_delay: u64,
    #[command(flatten)]
    pub(crate) clock: Clock,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// The time of day, where it is not the machine's.
#[derive(Debug, Args)]
pub(crate) struct Clock {
    /// The time of day, instead of this machine's clock: for tests, and for histories that are written down later.
    #[arg(long, value_name = "T", value_parser = instant)]
    pub(crate) now: Option<Timestamp>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    countersign keygen alice.key\n  \
    countersign keygen --show alice.key\n\n\
    The file holds the secret seed in the clear, readable by its owner alone. Whoever can read it can sign.")]
pub(crate) struct Keygen {
    /// The key file to write; it must not exist.
    #[arg(value_name = "KEYFILE")]
    pub(crate) path: PathBuf,
    /// Make nothing: show the public half of a key file that is there.
    #[arg(long)]
    pub(crate) show: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    countersign sign access.ledger --as user:alice --key alice.key --event request.json --out request.signed\n  \
    countersign sign access.ledger --as user:dana --key dana.key --cosigner user:erik --event assign.json --out a.signed\n  \
    countersign sign access.ledger --cosign a.signed --key erik.key\n\n\
    The event is ordinary JSON, in any layout: docs/format.md lists the kinds. Left out, `clause` of an approval, a denial or a\n\
    personal exception is filled in from the ledger; so is all of access.granted but `request`. What is signed is shown\n\
    first, and on a terminal it is asked whether to sign. Without a terminal nothing is signed unless --yes is given.")]
pub(crate) struct Sign {
    /// The ledger that the statement is for: it is verified, and its head is what the author has seen.
    /// With --cosign it may be left out; where it is given, what is signed is shown in its words, and only a key of who is asked
    /// for signs.
    #[arg(value_name = "LEDGER", required_unless_present = "cosign")]
    pub(crate) path: Option<PathBuf>,
    /// Who makes the statement.
    #[arg(
        long = "as",
        value_name = "PRINCIPAL",
        required_unless_present = "cosign",
        conflicts_with = "cosign"
    )]
    pub(crate) author: Option<Principal>,
    /// The key file to sign with.
    #[arg(long, value_name = "KEYFILE")]
    pub(crate) key: PathBuf,
    /// Who else has to sign; may be given more than once.
    #[arg(long = "cosigner", value_name = "PRINCIPAL", conflicts_with = "cosign")]
    pub(crate) cosigners: Vec<Principal>,
    /// The event as JSON; `-` reads it from the input.
    #[arg(long, value_name = "FILE", default_value = "-", conflicts_with = "cosign")]
    pub(crate) event: PathBuf,
    /// Add a signature to this statement: a cosigner's, or that of a key it admits.
    #[arg(long, value_name = "SUBMISSION")]
    pub(crate) cosign: Option<PathBuf>,
    /// Where to write the signed statement [default: the output; with --cosign the same file].
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// The id that the ledger must have.
    #[arg(long, value_name = "ID", requires = "path")]
    pub(crate) ledger_id: Option<LedgerId>,
    /// The serial, instead of the next one that neither the ledger nor KEYFILE.serial has.
    #[arg(long, conflicts_with = "cosign")]
    pub(crate) serial: Option<u64>,
    /// Sign without asking; needed where there is no terminal.
    #[arg(short, long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) clock: Clock,
    /// Print one JSON object that says what was signed; the statement itself goes to a file then.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Sign {
    /// The file that the signed statement goes to; none where it goes to the output.
    pub(crate) fn target(&self) -> Option<&Path> {
        let path = self.out.as_deref().or(self.cosign.as_deref());
        path.filter(|path| path.as_os_str() != "-")
    }
}

/// How a directory is opened for writing, where the careful way refuses.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct Opening {
    /// Cut what a loss of power may have left: in the directory that is written, from the first whole line on that is no entry, where no
    /// checkpoint and no note of the writer proves that it was one. What is cut is kept aside.
    #[arg(long)]
    pub(crate) cut_unproven: bool,
    /// Write a directory on a network file system too, whose locks and syncs are another machine's word.
    #[arg(long)]
    pub(crate) allow_network_file_system: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    countersign submit access.ledger --key recorder.key request.signed approval.signed\n\n\
    Each file holds signed statements, one a line. The first refusal stops; what was recorded before it stays recorded, and\n\
    submitting the same again gives the same receipt.")]
pub(crate) struct Submit {
    /// The ledger: its directory, its file NAME.jsonl, or the address of a store.
    #[arg(value_name = "LEDGER")]
    pub(crate) path: PathBuf,
    /// Files of signed statements; `-` reads the input.
    #[arg(value_name = "SUBMISSION", required = true)]
    pub(crate) submissions: Vec<PathBuf>,
    /// The recorder's key file.
    #[arg(long, value_name = "KEYFILE")]
    pub(crate) key: PathBuf,
    /// The id that the ledger must have.
    #[arg(long, value_name = "ID")]
    pub(crate) ledger_id: Option<LedgerId>,
    /// A checkpoint that the ledger must continue, so that nothing is recorded in an older copy; may be given more than once.
    #[arg(long = "checkpoint", value_name = "FILE")]
    pub(crate) checkpoints: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) opening: Opening,
    #[command(flatten)]
    pub(crate) clock: Clock,
    /// Print one JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    countersign verify access.ledger --ledger-id acme/access/3f5c... --checkpoint from-last-year.checkpoint\n  \
    countersign verify access.ledger --require-checkpoint --json")]
pub(crate) struct Verify {
    #[command(flatten)]
    pub(crate) reading: Reading,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    countersign state access.ledger --at 2025-06-30T23:59:59Z --format tsv\n  \
    countersign state access.ledger --kind owners --format tsv\n  \
    countersign state access.ledger --kind requests --json\n\n\
    With --format tsv a line has, between tabs:\n  \
    grants      principal, role, resource\n  \
    owners      resource or scope, holder (owner capacities assigned directly, not delegated)\n  \
    capacities  scope, holder, capacity, until (- where it has no end), delegated by (- where it is not)\n  \
    others      the columns of the text form, in its order\n\
    Lines end in LF, are sorted bytewise, stand once, and have no heading.")]
pub(crate) struct StateArgs {
    #[command(flatten)]
    pub(crate) asking: Asking,
    #[command(flatten)]
    pub(crate) as_of: AsOf,
    /// What to print.
    #[arg(long, value_enum, default_value_t = Kind::Grants)]
    pub(crate) kind: Kind,
    /// In which form.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// Short for --format json.
    #[arg(long, conflicts_with = "format")]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    Grants,
    Capacities,
    Owners,
    Requests,
    Resources,
    Principals,
    Policies,
    Classes,
    Exceptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Tsv,
    Json,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign who access.ledger db:acme/payroll --at 2025-06-30T23:59:59Z")]
pub(crate) struct Who {
    #[command(flatten)]
    pub(crate) asking: Asking,
    /// The resource.
    pub(crate) resource: Resource,
    /// In this role only.
    #[arg(long)]
    pub(crate) role: Option<Role>,
    #[command(flatten)]
    pub(crate) as_of: AsOf,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign what access.ledger user:alice")]
pub(crate) struct What {
    #[command(flatten)]
    pub(crate) asking: Asking,
    /// The principal.
    pub(crate) subject: Principal,
    #[command(flatten)]
    pub(crate) as_of: AsOf,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    countersign why access.ledger user:alice reader db:acme/payroll\n  \
    countersign why access.ledger 17\n\n\
    One argument names a statement, by seq or digest: the grant, or the request, an approval or an exception that led to it.\n\
    Exit code 1 where there is nothing to justify.")]
pub(crate) struct Why {
    #[command(flatten)]
    pub(crate) asking: Asking,
    /// GRANT as seq or digest, or SUBJECT ROLE RESOURCE.
    #[arg(value_name = "GRANT | SUBJECT ROLE RESOURCE", required = true, num_args = 1..=3)]
    pub(crate) of: Vec<String>,
    #[command(flatten)]
    pub(crate) as_of: AsOf,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  countersign check access.ledger user:alice reader db:acme/payroll && run-report\n\n\
    Asked of now unless --at says otherwise; of a ledger whose last entry is later than this machine's clock, of that entry's time."
)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) asking: Asking,
    /// Who.
    pub(crate) subject: Principal,
    /// In which role.
    pub(crate) role: Role,
    /// On what.
    pub(crate) resource: Resource,
    /// The moment asked about: an instant in UTC like 2025-06-30T23:59:59Z (milliseconds allowed), `now`, or `end` for the time
    /// of the last entry [default: now].
    #[arg(long, value_name = "T")]
    pub(crate) at: Option<At>,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    countersign log access.ledger --kind access.granted --kind access.revoked\n  \
    countersign log access.ledger --author user:alice --from 100 --json")]
pub(crate) struct Log {
    #[command(flatten)]
    pub(crate) asking: Asking,
    /// Only entries of this kind, like access.granted; may be given more than once.
    #[arg(long = "kind", value_name = "KIND", value_parser = kind)]
    pub(crate) kinds: Vec<EventKind>,
    /// Only entries that this principal made or cosigned.
    #[arg(long, value_name = "PRINCIPAL")]
    pub(crate) author: Option<Principal>,
    /// Only from this seq on.
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    pub(crate) from: u64,
    /// Only up to this seq, and it too.
    #[arg(long, value_name = "SEQ")]
    pub(crate) to: Option<u64>,
    /// Print one JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign show access.ledger 17")]
pub(crate) struct Show {
    #[command(flatten)]
    pub(crate) asking: Asking,
    /// Which, by seq or by the digest of its statement.
    #[arg(value_name = "SEQ | DIGEST")]
    pub(crate) of: String,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    countersign export access.ledger copy.jsonl\n  \
    countersign export access.ledger - | gzip > copy.jsonl.gz")]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) reading: Reading,
    /// Where to write it: one file if its name ends in `.jsonl`, else a directory; `-` writes the entries to the output,
    /// without the checkpoint.
    #[arg(value_name = "TO")]
    pub(crate) to: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    countersign checkpoint access.ledger --out 2026-01-05.checkpoint\n  \
    countersign verify backup.ledger --checkpoint 2026-01-05.checkpoint\n\n\
    Whoever keeps one can show later that the ledger was cut or rewritten. The ledger is verified against it first.")]
pub(crate) struct Checkpoint {
    #[command(flatten)]
    pub(crate) reading: Reading,
    /// Write it to a new file instead of the output.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    countersign copy access.ledger sqlite:access.db#access\n  \
    countersign copy sqlite:access.db#access file:backup.ledger\n\n\
    The entries have to follow one another, and those that stand at TO have to be the first ones of FROM. Signatures and rules are not\n\
    looked at: `countersign verify` judges either side.")]
pub(crate) struct Copy {
    /// The ledger to copy, which may be written meanwhile.
    #[arg(value_name = "FROM")]
    pub(crate) from: PathBuf,
    /// Where to: nothing, or what an earlier copy of the same ledger left.
    #[arg(value_name = "TO")]
    pub(crate) to: PathBuf,
    #[command(flatten)]
    pub(crate) opening: Opening,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  countersign import copy.jsonl access.ledger --ledger-id acme/access/3f5c...\n\n\
    Where TO exists, the copy has to continue it, entry by entry."
)]
pub(crate) struct Import {
    /// The ledger to take over, and what it is held against.
    #[command(flatten)]
    pub(crate) reading: Reading,
    /// The ledger to write: its directory, its file NAME.jsonl, or the address of a store.
    #[arg(value_name = "TO")]
    pub(crate) to: PathBuf,
    #[command(flatten)]
    pub(crate) opening: Opening,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign test tests/scenarios\n\n\
    docs/scenarios.md says how scenarios are written.")]
pub(crate) struct Test {
    /// Scenario files, or folders of them.
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// Print one JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign completions bash > /etc/bash_completion.d/countersign")]
pub(crate) struct Completions {
    /// Which shell.
    pub(crate) shell: clap_complete::Shell,
}

fn kind(text: &str) -> Result<EventKind, String> {
    EventKind::ALL.iter().copied().find(|kind| kind.as_str() == text).ok_or_else(|| {
        let same = |kind: &&EventKind| kind.as_str().split('.').next() == text.split('.').next();
        let near: Vec<&str> = EventKind::ALL.iter().filter(same).map(|kind| kind.as_str()).collect();
        if near.is_empty() {
            let all: Vec<&str> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
            format!("no such kind; there are {}", all.join(", "))
        } else {
            format!("no such kind; there are {}", near.join(", "))
        }
    })
}
