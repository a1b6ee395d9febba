//! A way to the server on which requests and replies go missing.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::exchange;

/// What goes over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `PUT`, `GET`, ...
    pub method: String,
    /// The path, with what follows a `?`.
    pub path: String,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It gets there, and so does its reply.
    Answered,
    /// It never gets there: the connection breaks off.
    Lost,
    /// It gets there, and the connection breaks off before the reply does.
    ReplyLost,
}

/// A port of the loopback address that leads to a server, one request after another: what the server does with one is done before the
/// next one comes. It listens until the process ends.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
}

impl Proxy {
    /// A way to the server on the port `server`, on which `fate` decides what becomes of each request.
    ///
    /// # Panics
    /// Where no port is free.
    pub fn new(server: u16, fate: impl FnMut(&Request) -> Fate + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let fate = Arc::new(Mutex::new(fate));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let fate = fate.clone();
                // Whatever breaks off here, the client is told by its end of the connection.
                thread::spawn(move || serve(&client, server, &fate));
            }
        });
        Self { port }
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// Answers one request, after which the connection ends.
fn serve(
    mut client: &TcpStream,
    server: u16,
    fate: &Mutex<impl FnMut(&Request) -> Fate>,
) -> std::io::Result<()> {
    let (request, bytes) = read(&mut BufReader::new(client))?;
    // Held until the server has answered.
    let mut fate = fate.lock().unwrap_or_else(PoisonError::into_inner);
    let fate = fate(&request);
    if fate == Fate::Lost {
        return Ok(());
    }
    let answer =
        exchange(server, &bytes).inspect_err(|error| eprintln!("{request:?} got no answer: {error}"))?;
    if fate == Fate::Answered { client.write_all(&answer) } else { Ok(()) }
}

/// A request: what it is, and its bytes, which ask for the connection to be closed.
fn read(reader: &mut BufReader<&TcpStream>) -> std::io::Result<(Request, Vec<u8>)> {
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut words = first.split(' ').map(str::to_owned);
    let request =
        Request { method: words.next().unwrap_or_default(), path: words.next().unwrap_or_default() };
    let (mut bytes, mut length) = (first.into_bytes(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(std::io::Error::other)?;
        }
        if line.is_empty() {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line == "\r\n" {
            break;
        }
        if !lower.starts_with("connection:") {
            bytes.extend_from_slice(line.as_bytes());
        }
    }
    bytes.extend_from_slice(b"Connection: close\r\n\r\n");
    let head = bytes.len();
    bytes.resize(head + length, 0);
    reader.read_exact(&mut bytes[head..])?;
    Ok((request, bytes))
}
