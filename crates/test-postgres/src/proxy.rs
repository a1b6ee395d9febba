//! A network between a store and its server that loses things.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// A way to a server on the loopback address, which a test cuts where it wants. It goes, with all connections, when this is dropped.
///
/// What is said of requests is about what comes from a client at once, on connections that write: those on which the words were seen that
/// [`Proxy::to`] is given.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    server: u16,
    words: &'static [u8],
    rules: Mutex<Rules>,
    released: Condvar,
    open: Mutex<Vec<Arc<Pair>>>,
    is_over: AtomicBool,
    /// How many replies were lost.
    lost: AtomicUsize,
    /// The length of the last request on a connection that writes.
    last_request: AtomicUsize,
}

#[derive(Debug, Default)]
struct Rules {
    lose_replies: usize,
    cut_after: Option<usize>,
    is_held: bool,
}

/// Both ends of a connection.
#[derive(Debug)]
struct Pair {
    client: TcpStream,
    server: TcpStream,
    writes: AtomicBool,
    /// Whether what the server says next is lost.
    is_mute: AtomicBool,
}

impl Pair {
    /// What is on its way already may still arrive.
    fn cut(&self) {
        for end in [&self.client, &self.server] {
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

impl Proxy {
    /// A way to the server at a port. Connections on which `words` are sent are those that write.
    ///
    /// # Panics
    /// Where there is no port for it.
    #[must_use]
    pub fn to(server: u16, words: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of the loopback address");
        let port = listener.local_addr().expect("a bound port").port();
        let shared = Arc::new(Shared {
            server,
            words: words.as_bytes(),
            rules: Mutex::default(),
            released: Condvar::new(),
            open: Mutex::default(),
            is_over: AtomicBool::new(false),
            lost: AtomicUsize::new(0),
            last_request: AtomicUsize::new(0),
        });
        let accepting = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if accepting.is_over.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(client) = client {
                    // Whoever comes while the server is away is sent away.
                    let _ = connect(&accepting, client);
                }
            }
        });
        Self { port, shared }
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Lets the next so many requests through and loses what the server says to each, with the connection.
    pub fn lose_replies(&self, requests: usize) {
        self.shared.rules().lose_replies = requests;
    }

    /// Lets only so many bytes of the next request through, and cuts the connection.
    pub fn cut_request_after(&self, bytes: usize) {
        self.shared.rules().cut_after = Some(bytes);
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        for pair in self.shared.open().drain(..) {
            pair.cut();
        }
    }

    /// Lets nothing through, and says so to nobody, until it is released.
    pub fn hold(&self) {
        self.shared.rules().is_held = true;
    }

    /// Lets through what was held, late, though its sender may have given up.
    pub fn release(&self) {
        self.shared.rules().is_held = false;
        self.shared.released.notify_all();
    }

    /// How many replies were lost.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.shared.lost.load(Ordering::SeqCst)
    }

    /// How many bytes the last request had on a connection that writes.
    #[must_use]
    pub fn last_request(&self) -> usize {
        self.shared.last_request.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.release();
        self.cut();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], self.port)));
    }
}

impl Shared {
    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> MutexGuard<'_, Vec<Arc<Pair>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while_held(&self) -> MutexGuard<'_, Rules> {
        let held = self.released.wait_while(self.rules(), |rules| rules.is_held);
        held.unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, pair: &Arc<Pair>) {
        pair.cut();
        self.open().retain(|open| !Arc::ptr_eq(open, pair));
    }

    /// From the client to the server.
    fn pass_on(&self, pair: &Pair) -> std::io::Result<()> {
        let (mut client, mut server) = (&pair.client, &pair.server);
        let mut buffer = vec![0; 1 << 20];
        loop {
            let length = client.read(&mut buffer)?;
            let request = &buffer[..length];
            if length == 0 {
                return Ok(());
            }
            let mut let_through = length;
            {
                let mut rules = self.wait_while_held();
                if pair.writes.load(Ordering::SeqCst) {
                    self.last_request.store(length, Ordering::SeqCst);
                    if let Some(bytes) = rules.cut_after.take() {
                        let_through = bytes.min(length);
                    } else if rules.lose_replies > 0 {
                        rules.lose_replies -= 1;
                        pair.is_mute.store(true, Ordering::SeqCst);
                    }
                }
            }
            if request.windows(self.words.len()).any(|part| part == self.words) {
                pair.writes.store(true, Ordering::SeqCst);
            }
            server.write_all(&request[..let_through])?;
            if let_through < length {
                return Ok(());
            }
        }
    }

    /// From the server to the client.
    fn pass_back(&self, pair: &Pair) -> std::io::Result<()> {
        let (mut client, mut server) = (&pair.client, &pair.server);
        let mut buffer = vec![0; 1 << 16];
        loop {
            let length = server.read(&mut buffer)?;
            if length == 0 {
                return Ok(());
            }
            drop(self.wait_while_held());
            if pair.is_mute.load(Ordering::SeqCst) {
                self.lost.fetch_add(1, Ordering::SeqCst);
                return Ok(());
            }
            client.write_all(&buffer[..length])?;
        }
    }
}

fn connect(shared: &Arc<Shared>, client: TcpStream) -> std::io::Result<()> {
    let server = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], shared.server)))?;
    // What is small must not wait for more.
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (writes, is_mute) = (AtomicBool::new(false), AtomicBool::new(false));
    let pair = Arc::new(Pair { client, server, writes, is_mute });
    shared.open().push(pair.clone());
    let (there, back) = ((shared.clone(), pair.clone()), (shared.clone(), pair));
    std::thread::spawn(move || {
        let _ = there.0.pass_on(&there.1);
        there.0.end(&there.1);
    });
    std::thread::spawn(move || {
        let _ = back.0.pass_back(&back.1);
        back.0.end(&back.1);
    });
    Ok(())
}
