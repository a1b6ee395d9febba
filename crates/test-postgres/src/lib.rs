//! PostgreSQL servers for the tests: private ones, made from the programs that are installed, or the one that
//! `COUNTERSIGN_TEST_POSTGRES` names. Where there is neither, a test is skipped loudly: printed, and added to the file that
//! `COUNTERSIGN_SKIPS` names.
//!
//! Whatever goes wrong here fails the test, by a panic.

mod certificates;
mod cluster;
mod proxy;

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

pub use certificates::Certificates;
pub use cluster::{Cluster, free_port};
use countersign_notices::skip;
pub use proxy::Proxy;

/// The server that the tests of this process share, which ends with the last that has it.
///
/// # Panics
/// Where it does not start.
#[must_use]
pub fn server(test: &str) -> Option<Arc<Server>> {
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
///
/// # Panics
/// Where it does not start.
#[must_use]
pub fn cluster(test: &str) -> Option<Cluster> {
    let Some(programs) = cluster::programs() else {
        skip(
            test,
            "no PostgreSQL server is installed (package postgresql), and COUNTERSIGN_TEST_POSTGRES names none",
        );
        return None;
    };
    Some(Cluster::new(&programs))
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    url: String,
    cluster: Option<Cluster>,
}

impl Server {
    /// How to connect to its first database.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A new database on it, removed when it is dropped.
    ///
    /// # Panics
    /// Where it can not be made.
    #[must_use]
    pub fn database(self: &Arc<Self>) -> Database {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("countersign_{}_{number}", std::process::id());
        self.sql(&self.url, &format!("CREATE DATABASE {name}"));
        let (place, parameters) = match self.url.split_once('?') {
            Some((place, parameters)) => (place, format!("?{parameters}")),
            None => (&self.url[..], String::new()),
        };
        let (host, _) = place.rsplit_once('/').expect("the URL of a server names a database");
        Database { url: format!("{host}/{name}{parameters}"), name, server: self.clone() }
    }

    fn sql(&self, url: &str, sql: &str) -> String {
        let psql =
            self.cluster.as_ref().map_or_else(|| Command::new("psql"), |cluster| cluster.command("psql"));
        cluster::run_sql(psql, url, sql)
    }
}

/// A database of one test.
#[derive(Debug)]
pub struct Database {
    url: String,
    name: String,
    server: Arc<Server>,
}

impl Database {
    /// How to connect to it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Runs SQL in it; what it says.
    ///
    /// # Panics
    /// Where the server refuses it.
    pub fn sql(&self, sql: &str) -> String {
        self.server.sql(&self.url, sql)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.server.sql(&self.server.url, &format!("DROP DATABASE {} WITH (FORCE)", self.name));
        }
    }
}
