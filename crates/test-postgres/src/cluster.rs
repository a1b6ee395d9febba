//! A private server with its data.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use countersign_notices::skip;

use crate::certificates::Certificates;

/// The directory of the newest server's programs.
pub(crate) fn programs() -> Option<PathBuf> {
    let has = |dir: &Path| dir.join("initdb").exists() && dir.join("postgres").exists();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<_> =
        versions.map(|version| version.path().join("bin")).filter(|dir| has(dir)).collect();
    found.sort_by_key(|dir| {
        let version = dir.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        version.and_then(|version| version.parse::<u32>().ok())
    });
    let path = std::env::var_os("PATH").unwrap_or_default();
    found.pop().or_else(|| std::env::split_paths(&path).find(|dir| has(dir)))
}

/// A private server with its data, on a port of the loopback address. It ends, and they go, when this is dropped. `fsync` is on: what
/// is tested is what is used.
#[derive(Debug)]
pub struct Cluster {
    programs: PathBuf,
    dir: PathBuf,
    port: u16,
    running: Mutex<Option<Child>>,
}

impl Cluster {
    pub(crate) fn new(programs: &Path) -> Self {
        let cluster = Self::place(programs);
        let mut initdb = cluster.command("initdb");
        initdb.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync", "-D"]);
        finish(initdb.arg(cluster.data()));
        cluster.start();
        cluster
    }

    /// A standby that streams from this one, under the name `standby`.
    ///
    /// # Panics
    /// Where it can not be made or does not start.
    #[must_use]
    pub fn standby(&self) -> Self {
        let standby = Self::place(&self.programs);
        let mut copying = standby.command("pg_basebackup");
        copying.args(["-X", "stream", "-c", "fast", "-R", "--no-sync", "-D"]).arg(standby.data());
        let port = self.port;
        finish(
            copying
                .arg("-d")
                .arg(format!("host=127.0.0.1 port={port} user=postgres application_name=standby")),
        );
        standby.start();
        standby
    }

    /// Changes a setting for all sessions, also those that are open, and waits until it is in force.
    ///
    /// # Panics
    /// Where the server refuses it.
    pub fn set(&self, setting: &str, value: &str) {
        self.sql(&format!("ALTER SYSTEM SET {setting} = '{value}'"));
        self.sql("SELECT pg_reload_conf()");
        self.wait_for(&format!("SELECT current_setting('{setting}') = '{value}'"));
    }

    /// Waits until a question is answered with yes.
    ///
    /// # Panics
    /// Where it is not within a minute.
    pub fn wait_for(&self, question: &str) {
        for _ in 0..1_200 {
            if self.sql(question).trim() == "t" {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("`{question}` is not so: {}", self.log());
    }

    /// Takes encrypted connections from here on, with new certificates for `localhost`. None, and said to be skipped, where they can not be made.
    ///
    /// # Panics
    /// Where the server refuses them.
    #[must_use]
    pub fn encrypt(&self, test: &str) -> Option<Certificates> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if !Certificates::can_be_made() {
            skip(test, "there is no program openssl (package openssl)");
            return None;
        }
        let dir = self.dir.join(format!("certificates-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        std::fs::create_dir(&dir).expect("a directory for certificates");
        let made = Certificates::new(&dir);
        for (from, name) in [(&made.server, "server.crt"), (&made.key, "server.key")] {
            let to = self.data().join(name);
            std::fs::copy(from, &to).expect("a file of the server");
            // It refuses a key that others can read.
            finish(Command::new("chmod").arg("600").arg(&to));
            if is_root() {
                finish(Command::new("chown").arg("nobody").arg(&to));
            }
        }
        self.set("ssl", "on");
        Some(made)
    }

    /// Makes this standby a server that takes writes.
    ///
    /// # Panics
    /// Where it does not become one.
    pub fn promote(&self) {
        self.sql("SELECT pg_promote()");
        self.wait_for("SELECT NOT pg_is_in_recovery()");
    }

    /// A directory and a port.
    fn place(programs: &Path) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // Short: the path of a socket has at most 107 bytes.
        let dir = std::env::temp_dir().join(format!("cspg-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir(&dir).expect("a directory for temporary files");
        if is_root() {
            finish(Command::new("chown").arg("nobody").arg(&dir));
        }
        Self { programs: programs.to_owned(), dir, port: free_port(), running: Mutex::new(None) }
    }

    /// How to connect to it.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_at(self.port)
    }

    /// The same by way of another port of the loopback address.
    #[must_use]
    pub fn url_at(&self, port: u16) -> String {
        format!("postgres://postgres@127.0.0.1:{port}/postgres")
    }

    /// Where its programs are: `psql`, `pg_dump` and the like.
    #[must_use]
    pub fn programs(&self) -> &Path {
        &self.programs
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Runs SQL in its first database; what that says.
    ///
    /// # Panics
    /// Where the server refuses it.
    pub fn sql(&self, sql: &str) -> String {
        run_sql(self.command("psql"), &self.url(), sql)
    }

    /// Starts it, and waits until it answers.
    ///
    /// # Panics
    /// Where it does not within a minute.
    pub fn start(&self) {
        let log = std::fs::File::options().create(true).append(true).open(self.dir.join("log"));
        let log = log.expect("a file for what it says");
        let mut server = self.command("postgres");
        server.arg("-D").arg(self.data()).arg("-k").arg(&self.dir);
        server.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        // What is given here, no test can change while it runs: `fsync` is on by itself.
        for setting in ["shared_buffers=32MB", "max_connections=100", "wal_level=replica"] {
            server.args(["-c", setting]);
        }
        server.stdin(Stdio::null()).stdout(log.try_clone().expect("a second handle")).stderr(log);
        *self.running() = Some(server.spawn().expect("the server starts"));
        for _ in 0..1_200 {
            let mut asking = self.command("pg_isready");
            asking.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
            if asking.status().expect("pg_isready starts").success() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the server does not answer: {}", self.log());
    }

    /// Stops it at once, as a crash does: what is not on disk is gone for it.
    ///
    /// # Panics
    /// Where it can not be told to.
    pub fn stop_immediately(&self) {
        if let Some(mut server) = self.running().take() {
            finish(Command::new("kill").arg("-QUIT").arg(server.id().to_string()));
            server.wait().expect("a child");
        }
    }

    /// What it said.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    fn running(&self) -> MutexGuard<'_, Option<Child>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A server does not run as root.
    pub(crate) fn command(&self, program: &str) -> Command {
        let program = self.programs.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(&self.dir).env_remove("PGDATA");
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop_immediately();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// A port of the loopback address that nobody listens on.
///
/// # Panics
/// Where there is none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.expect("a free port").port()
}

/// Runs SQL with a server's own program; what it prints.
pub(crate) fn run_sql(mut psql: Command, url: &str, sql: &str) -> String {
    let output = psql.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-c", sql, url]).output();
    let output = output.expect("psql starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it prints UTF-8")
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().expect("id starts");
    output.stdout == b"0\n"
}

pub(crate) fn finish(command: &mut Command) {
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
