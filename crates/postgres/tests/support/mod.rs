//! A PostgreSQL server for the tests: a private one, made from the programs that are installed, or the one that
//! `COUNTERSIGN_TEST_POSTGRES` names. Where there is neither, a test is skipped loudly: printed, and added to the file that
//! `COUNTERSIGN_SKIPS` names.

#![allow(dead_code, reason = "each test has its own use of it")]

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use countersign_core::entry::{Entry, Head};
use countersign_postgres::{Options, PostgresStore, SchemaName};
use countersign_store::Store as _;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};

/// Servers that end with the last test that has them. `fsync` is on: what is tested is what is used.
pub(crate) fn server(test: &str) -> Option<Arc<Server>> {
    static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = shared.upgrade() {
        return Some(server);
    }
    let server = match std::env::var("COUNTERSIGN_TEST_POSTGRES") {
        Ok(url) => Server { url, cluster: None },
        Err(_) => {
            let cluster = cluster(test)?;
            Server { url: cluster.url(), cluster: Some(cluster) }
        }
    };
    let server = Arc::new(server);
    *shared = Arc::downgrade(&server);
    Some(server)
}

/// A server of this test's own, which it may stop; skipped where there are no programs to make it from.
pub(crate) fn cluster(test: &str) -> Option<Cluster> {
    let Some(programs) = programs() else {
        skip(
            test,
            "no PostgreSQL server is installed (package postgresql), and COUNTERSIGN_TEST_POSTGRES names none",
        );
        return None;
    };
    Some(Cluster::new(&programs))
}

pub(crate) struct Server {
    url: String,
    cluster: Option<Cluster>,
}

impl Server {
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A pool of its own.
    pub(crate) async fn pool(&self) -> PgPool {
        pool(&self.url).await
    }
}

pub(crate) async fn pool(url: &str) -> PgPool {
    let options = PgPoolOptions::new().max_connections(8).acquire_timeout(Duration::from_secs(120));
    options.connect(url).await.unwrap()
}

/// A schema that no other test has.
pub(crate) fn new_schema() -> SchemaName {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("countersign_{}_{number}", std::process::id()).parse().unwrap()
}

pub(crate) fn options(schema: &SchemaName) -> Options {
    Options::new().schema(schema.clone()).poll(Duration::from_millis(20))
}

pub(crate) async fn open(pool: &PgPool, schema: &SchemaName) -> PostgresStore {
    options(schema).open(pool, "kit").await.unwrap()
}

/// Runs SQL, with the schema's name in the place of `{schema}`.
pub(crate) async fn run(pool: &PgPool, schema: &SchemaName, sql: &str) {
    let sql = sql.replace("{schema}", schema.as_str());
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await.unwrap();
}

pub(crate) async fn count(pool: &PgPool, schema: &SchemaName, sql: &str) -> i64 {
    let sql = sql.replace("{schema}", schema.as_str());
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(pool).await.unwrap()
}

/// All entries, each behind the one before.
pub(crate) async fn everything(store: &PostgresStore) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let read = store.read(entries.len() as u64, 1_000).await.unwrap();
        if read.is_empty() {
            return entries;
        }
        for bytes in read {
            let entry = Entry::parse(bytes).unwrap();
            let before = entries.last().map_or(Head::EMPTY, Entry::head);
            assert_eq!(Head { size: entry.seq(), leaf: entry.prev() }, before);
            entries.push(entry);
        }
    }
}

pub(crate) fn skip(test: &str, why: &str) {
    eprintln!("SKIPPED {test}: {why}");
    if let Some(path) = std::env::var_os("COUNTERSIGN_SKIPS") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        let _ = file.and_then(|mut file| writeln!(file, "{test}: {why}"));
    }
}

/// The directory of the newest server's programs.
fn programs() -> Option<PathBuf> {
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

/// A private server with its data. It ends, and they go, when this is dropped.
pub(crate) struct Cluster {
    programs: PathBuf,
    dir: PathBuf,
    port: u16,
    running: Mutex<Option<Child>>,
}

impl Cluster {
    fn new(programs: &Path) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // Short: the path of a socket has at most 107 bytes.
        let dir = std::env::temp_dir().join(format!("cspg-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir(&dir).unwrap();
        if is_root() {
            let changed = Command::new("chown").arg("nobody").arg(&dir).status().unwrap();
            assert!(changed.success());
        }
        let cluster =
            Self { programs: programs.to_owned(), dir, port: free_port(), running: Mutex::new(None) };
        let mut initdb = cluster.command("initdb");
        initdb.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync", "-D"]);
        let output = initdb.arg(cluster.data()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        cluster.start();
        cluster
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Starts it, and waits until it answers.
    pub(crate) fn start(&self) {
        let log = std::fs::File::options().create(true).append(true).open(self.dir.join("log")).unwrap();
        let mut server = self.command("postgres");
        server.arg("-D").arg(self.data()).arg("-k").arg(&self.dir);
        server.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        for setting in ["shared_buffers=32MB", "max_connections=100", "wal_level=replica", "fsync=on"] {
            server.args(["-c", setting]);
        }
        server.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        *self.running() = Some(server.spawn().unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // On a thread of its own: whoever calls may be within a runtime.
        let url = self.url();
        let answers = std::thread::spawn(move || {
            runtime.block_on(async {
                for _ in 0..1_200 {
                    if let Ok(connection) = PgConnection::connect(&url).await {
                        return connection.close().await.is_ok();
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                false
            })
        });
        let log = || std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        assert!(answers.join().unwrap(), "the server does not answer: {}", log());
    }

    /// Stops it at once, as a crash does: what is not on disk is gone for it.
    pub(crate) fn stop_immediately(&self) {
        if let Some(mut server) = self.running().take() {
            let sent = Command::new("kill").arg("-QUIT").arg(server.id().to_string()).status();
            assert!(sent.unwrap().success());
            server.wait().unwrap();
        }
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A server does not run as root.
    fn command(&self, program: &str) -> Command {
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

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout == b"0\n"
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
