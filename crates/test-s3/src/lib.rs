//! S3 servers for the tests: `moto_server` (the Python package `moto[server]`), where it is installed. Where it is not, a test is skipped
//! loudly: printed, and added to the file that `COUNTERSIGN_SKIPS` names.
//!
//! It speaks the protocol of S3 and keeps objects in memory. It looks whether a name is taken and then puts, in a thread for each
//! connection, so it shows what goes over the wire and not that a create is atomic; and it checks no signature.
//!
//! Whatever goes wrong here fails the test, by a panic.

mod proxy;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use countersign_notices::skip;
pub use proxy::{Fate, Proxy, Request};

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
    let path = std::env::var_os("PATH").unwrap_or_default();
    if !std::env::split_paths(&path).any(|dir| dir.join(PROGRAM).exists()) {
        skip(test, "no S3 server is installed (moto_server, of the Python package moto[server])");
        return None;
    }
    let server = Arc::new(Server::start());
    *shared = Arc::downgrade(&server);
    Some(server)
}

const PROGRAM: &str = "moto_server";
/// Any credential will do, but there has to be one.
const SIGNED: &str =
    "AWS4-HMAC-SHA256 Credential=kit/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=00";

/// A running server.
#[derive(Debug)]
pub struct Server {
    port: u16,
    running: Child,
    log: PathBuf,
}

impl Server {
    fn start() -> Self {
        let port = free_port();
        let log = std::env::temp_dir().join(format!("countersign-moto-{}-{port}", std::process::id()));
        let says = File::create(&log).expect("a file for what it says");
        let running = Command::new(PROGRAM)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(says)
            .spawn()
            .expect("the server starts");
        let server = Self { port, running, log };
        for _ in 0..1_200 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return server;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the server does not answer: {}", server.log());
    }

    /// What it said last.
    #[must_use]
    pub fn log(&self) -> String {
        let said = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&said[said.len().saturating_sub(2_000)..]).into_owned()
    }

    /// Where it listens, on the loopback address.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A new bucket.
    ///
    /// # Panics
    /// Where it can not be made.
    #[must_use]
    pub fn bucket(&self) -> Bucket {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("kit-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let bucket = Bucket { port: self.port, name };
        bucket.ask("PUT", "", b"");
        bucket
    }

    /// What a client of S3 reads from its environment to find a server on this port.
    #[must_use]
    pub fn environment(port: u16) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ACCESS_KEY_ID", "kit".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "kit".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}")),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
        ]
    }
}

/// A bucket, looked at and changed without any client.
#[derive(Debug, Clone)]
pub struct Bucket {
    port: u16,
    name: String,
}

impl Bucket {
    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The bytes of an object.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn get(&self, object: &str) -> Vec<u8> {
        self.ask("GET", object, b"")
    }

    /// Puts an object in the place of whatever is there.
    ///
    /// # Panics
    /// Where it can not be put.
    pub fn put(&self, object: &str, bytes: &[u8]) {
        self.ask("PUT", object, bytes);
    }

    /// Removes an object.
    ///
    /// # Panics
    /// Where it can not be removed.
    pub fn delete(&self, object: &str) {
        self.ask("DELETE", object, b"");
    }

    fn ask(&self, method: &str, object: &str, body: &[u8]) -> Vec<u8> {
        let Self { port, name } = self;
        let head = format!(
            "{method} /{name}/{object} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: {SIGNED}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let answer = exchange(*port, &[head.as_bytes(), body].concat()).expect("the server answers");
        let end = answer.windows(4).position(|part| part == b"\r\n\r\n").expect("a head ends");
        assert!(answer.starts_with(b"HTTP/1.1 2"), "{method} {object}: {}", String::from_utf8_lossy(&answer));
        answer[end + 4..].to_vec()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.running.kill();
        let _ = self.running.wait();
        let _ = std::fs::remove_file(&self.log);
    }
}

/// Runs a test in a process of its own, whose environment names a way to a server on which one request is done before the next one
/// comes: a process can not change its environment safely. Skipped where there is no server.
///
/// # Panics
/// Where the test fails.
pub fn with_bucket(test: &str, body: impl FnOnce(Bucket)) {
    if let (Ok(name), Ok(port)) = (std::env::var(BUCKET), std::env::var(PORT)) {
        return body(Bucket { port: port.parse().expect("a port"), name });
    }
    let Some(server) = server(test) else { return };
    let proxy = Proxy::new(server.port(), |_| Fate::Answered);
    let bucket = server.bucket();
    let this = std::env::current_exe().expect("a program has a path");
    let output = Command::new(this)
        .args(["--exact", test, "--nocapture", "--test-threads", "1"])
        .envs(Server::environment(proxy.port()))
        .env(BUCKET, bucket.name())
        .env(PORT, server.port().to_string())
        .stdin(Stdio::null())
        .output()
        .expect("this program starts");
    let said = String::from_utf8_lossy(&output.stdout);
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{failed}the server said last: {}", server.log());
    assert!(said.contains("1 passed"), "{test} is not the name of one test: {said}");
}

const BUCKET: &str = "COUNTERSIGN_TEST_S3_BUCKET";
const PORT: &str = "COUNTERSIGN_TEST_S3_PORT";

/// A port of the loopback address that nobody listens on.
///
/// # Panics
/// Where there is none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.expect("a free port").port()
}

/// Sends a request of one connection, and gives all that comes back.
fn exchange(port: u16, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}
