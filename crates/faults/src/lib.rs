//! What the fault tests share: the recorder that is made to fail, what it said, and what is there afterwards.
//!
//! The tests work on real processes, file systems and clocks. Where a machine lacks what one needs, it is skipped loudly.

mod contenders;
pub mod crowd;
pub mod disks;
mod says;
pub mod strace;

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

pub use contenders::Contenders;
use countersign_core::entry::{Entry, Head};
use countersign_core::id::LedgerName;
pub use countersign_notices::{count, is_soak, skip};
use countersign_store::Store as _;
use countersign_store::conformance::{Answers, Told};
use countersign_store::file::FileReader;
use rusqlite::{Connection, OpenFlags};
pub use says::{say, say_why};

/// Any error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The recorder's exit code where something was not acknowledged.
pub const FAILED: u8 = 3;

/// The ledger that is kept in databases.
const IN_DATABASES: &str = "access";

/// Whether a recorder keeps its ledger in a SQLite database at this path, and not in a directory: by the ending of its name.
#[must_use]
pub fn is_database(store: &Path) -> bool {
    store.extension().is_some_and(|extension| extension == "db")
}

/// The name of the ledger that is kept in databases.
///
/// # Panics
/// Never.
#[must_use]
pub fn in_databases() -> LedgerName {
    LedgerName::new(IN_DATABASES).expect("a name")
}

/// What the recorder is to do.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The file store's directory, or a SQLite database.
    pub store: PathBuf,
    /// Which start on this store it is.
    pub run: u64,
    /// How many statements it records.
    pub statements: u64,
    /// How many tasks submit at once.
    pub submitters: u64,
    /// The size at which segments roll, in bytes, if not the store's own.
    pub segment: Option<u64>,
    /// Whether it records one statement for each line of its standard input.
    pub paced: bool,
}

impl Settings {
    /// Reads the command line.
    ///
    /// # Errors
    /// In words, what is wrong with it.
    pub fn parse(args: impl Iterator<Item = OsString>) -> Result<Self, BoxError> {
        let mut args = args;
        let store = args.next().ok_or("no store")?.into();
        let run = number(args.next())?;
        let mut settings = Self { store, run, statements: 0, submitters: 1, segment: None, paced: false };
        while let Some(name) = args.next() {
            match name.to_str() {
                Some("--statements") => settings.statements = number(args.next())?,
                Some("--submitters") => settings.submitters = number(args.next())?,
                Some("--segment") => settings.segment = Some(number(args.next())?),
                Some("--paced") => settings.paced = true,
                _ => return Err(format!("unknown argument {}", name.display()).into()),
            }
        }
        Ok(settings)
    }
}

fn number(text: Option<OsString>) -> Result<u64, BoxError> {
    let text = text.ok_or("a number is missing")?;
    Ok(text.to_str().ok_or("not a number")?.parse()?)
}

/// What a recorder said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// How many entries there were when it had opened the store; none where it did not come so far.
    pub opened: Option<u64>,
    /// What became of its statements, in the order in which it said so.
    pub told: Vec<Told>,
    /// Why something was not recorded.
    pub reasons: Vec<String>,
    /// How often another writer's entries came before its own.
    pub races: usize,
    /// How often the store did not know what became of a batch.
    pub doubts: usize,
    /// Whether it closed in order.
    pub closed: bool,
}

impl Said {
    /// Reads what it printed. A last line that is not whole was never said.
    ///
    /// # Panics
    /// At a line that it can not have printed.
    #[must_use]
    pub fn parse(printed: &[u8]) -> Self {
        let printed = std::str::from_utf8(printed).expect("it prints UTF-8");
        let whole = printed.rfind('\n').map_or("", |end| &printed[..end]);
        let mut said = Self::default();
        for line in whole.lines() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "open" => said.opened = rest.parse().ok(),
                "because" => said.reasons.push(rest.to_owned()),
                "race" => said.races += 1,
                "doubt" => said.doubts += 1,
                "closed" => said.closed = true,
                _ => said.told.push(line.parse().unwrap_or_else(|_| panic!("the recorder said `{line}`"))),
            }
        }
        said
    }

    /// How many statements it acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.told.iter().filter(|told| matches!(told, Told::Acknowledged { .. })).count()
    }

    /// Whether it failed to record something, or to say whether it did.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        !self.reasons.is_empty() || self.told.iter().any(|told| matches!(told, Told::Unknown(_)))
    }
}

/// Holds what several recorders said, and what readers were shown, against the entries that are there.
///
/// # Panics
/// Where one is missing that was acknowledged or shown, stands that nobody submitted, or stands twice.
pub fn assert_kept<'a>(
    told: impl IntoIterator<Item = &'a Said>,
    seen: &[Told],
    entries: &[Entry],
    what: &str,
) {
    let mut answers = Answers::new();
    let told: Vec<_> = told.into_iter().flat_map(|said| &said.told).chain(seen).collect();
    for told in &told {
        answers.tell(**told);
    }
    let findings = answers.check(entries.iter().map(Entry::bytes));
    assert!(findings.is_empty(), "{what}: {findings:?}, of {} entries, after {told:?}", entries.len());
}

/// What a test measures by how long it runs or waits.
#[expect(clippy::disallowed_methods, reason = "how long a test takes is no business of the rules")]
#[must_use]
pub fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// A directory for one test, removed when it is dropped.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// A new, empty one below the system's directory for temporary files.
    ///
    /// # Panics
    /// Where it can not be made.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("countersign-faults-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a directory for temporary files");
        Self(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Whether a program can be started.
#[must_use]
pub fn has(program: &str) -> bool {
    let quiet = Command::new(program)
        .arg("-V")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    quiet.is_ok()
}

/// The entries of a store as they lie there, in the segments of a directory (whole lines alone) or in a SQLite database; read without the
/// store.
///
/// # Panics
/// Where a whole line or a row is no entry, or does not follow the one before: nothing that happened may leave that behind.
#[must_use]
pub fn entries_in(store: &Path) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for (place, bytes) in if is_database(store) { rows_in(store) } else { lines_in(store) } {
        let entry = Entry::parse(bytes).unwrap_or_else(|fault| panic!("in {place}: {fault}"));
        let head = entries.last().map_or(Head::EMPTY, Entry::head);
        assert_eq!(Head { size: entry.seq(), leaf: entry.prev() }, head, "in {place}");
        entries.push(entry);
    }
    entries
}

/// Each whole line of the segments, and where it is.
fn lines_in(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut names: Vec<_> = match std::fs::read_dir(dir.join("entries")) {
        Ok(found) => found.map(|entry| entry.expect("a readable directory").path()).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => panic!("{error}"),
    };
    names.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    names.sort();
    let mut lines = Vec::new();
    for path in names {
        let bytes = std::fs::read(&path).expect("a readable segment");
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let in_segment = bytes[..whole].split_inclusive(|byte| *byte == b'\n');
        lines.extend(in_segment.map(|line| (path.display().to_string(), line[..line.len() - 1].to_vec())));
    }
    lines
}

/// The bytes in each row of a database, and where it is.
fn rows_in(file: &Path) -> Vec<(String, Vec<u8>)> {
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("a database");
    let sql =
        "SELECT seq, bytes FROM entries WHERE ledger = (SELECT id FROM ledgers WHERE name = ?1) ORDER BY seq";
    let mut query = connection.prepare(sql).expect("the table of entries");
    let rows = query.query_map([IN_DATABASES], |row| {
        Ok((format!("row {} of {}", row.get::<_, i64>(0)?, file.display()), row.get(1)?))
    });
    rows.and_then(Iterator::collect).expect("readable rows")
}

/// A recorder that records a statement when it is asked to.
#[derive(Debug)]
pub struct Paced {
    child: Child,
    asks: Option<ChildStdin>,
    says: BufReader<ChildStdout>,
    heard: Vec<u8>,
}

impl Paced {
    /// Starts one and waits until it has opened the store.
    ///
    /// # Panics
    /// Where it does not.
    #[must_use]
    pub fn start(program: &str, store: &Path, run: u64) -> Self {
        Self::start_with(Command::new(program).arg(store).arg(run.to_string()))
    }

    /// As [`Paced::start`], with a command that ends in the recorder's own.
    ///
    /// # Panics
    /// Where it does not open the store.
    #[must_use]
    pub fn start_with(command: &mut Command) -> Self {
        let command = command.arg("--paced").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the recorder starts");
        let asks = child.stdin.take();
        let says = BufReader::new(child.stdout.take().expect("piped"));
        let mut recorder = Self { child, asks, says, heard: Vec::new() };
        while !recorder.listen().starts_with("open") {}
        recorder
    }

    /// Asks for a statement, and waits for what became of it.
    ///
    /// # Panics
    /// Where it ends instead.
    pub fn record(&mut self) {
        self.ask();
        while self.listen().starts_with("submitted") {}
    }

    /// Asks for a statement.
    ///
    /// # Panics
    /// Where it has ended.
    pub fn ask(&mut self) {
        let asks = self.asks.as_mut().expect("not asked to end yet");
        asks.write_all(b"\n").and_then(|()| asks.flush()).expect("it listens");
    }

    fn listen(&mut self) -> String {
        let mut line = Vec::new();
        self.says.read_until(b'\n', &mut line).expect("a pipe");
        assert!(!line.is_empty(), "it ended, having said: {}", String::from_utf8_lossy(&self.heard));
        self.heard.extend_from_slice(&line);
        String::from_utf8(line).expect("it prints UTF-8")
    }

    /// Sends it a signal, by its process id.
    ///
    /// # Panics
    /// Where that is impossible.
    pub fn signal(&mut self, name: &str) {
        signal(&self.child, name);
    }

    /// Asks it to close, waits for its end however that comes, and returns all that it said.
    ///
    /// # Panics
    /// Where the pipe breaks.
    #[must_use]
    pub fn said(mut self) -> Said {
        self.asks = None;
        self.says.read_to_end(&mut self.heard).expect("a pipe");
        let _ = self.child.wait();
        Said::parse(&self.heard)
    }
}

impl Drop for Paced {
    fn drop(&mut self) {
        // It has ended already where the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All entries that a reader beside the writer is shown.
///
/// # Panics
/// Where it is refused, or is shown what is no entry.
#[must_use]
pub fn read_all(dir: &Path) -> Vec<Entry> {
    let reader = FileReader::open(dir).expect("a directory that can be read");
    let mut entries = Vec::new();
    loop {
        let read = block_on(reader.read(entries.len() as u64, 1_024)).expect("readable entries");
        if read.is_empty() {
            return entries;
        }
        entries.extend(read.into_iter().map(|bytes| Entry::parse(bytes).expect("an entry")));
    }
}

/// Sends a signal to a process, by its id.
fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status();
    assert!(sent.expect("kill starts").success());
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(future)
}
