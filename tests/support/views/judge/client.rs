//! A connection to PostgreSQL: texts of statements go there, texts of values come back.
//!
//! On top of the messages of `postgres-protocol`. `tokio-postgres` has the same, but with it other features of `futures` are chosen, on which
//! DataFusion stands: it would be built once for the program and once for the tests.

use std::fmt;
use std::io::{Read, Write};
use std::net::TcpStream;

use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::backend::{ErrorFields, Message};
use postgres_protocol::message::frontend;

/// The values of a row as texts, `None` for NULL.
pub(super) type Texts = Vec<Option<String>>;

#[derive(Debug, Clone)]
pub(super) struct Address {
    host: String,
    port: u16,
    user: String,
    password: String,
    pub(super) database: String,
}

impl Address {
    /// Of a URL `postgres://user:password@host:port/database`.
    pub(super) fn read(url: &str) -> Option<Address> {
        let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"))?;
        let (place, database) = rest.split_once('/').unwrap_or((rest, "postgres"));
        let (login, place) = place.rsplit_once('@').unwrap_or(("postgres", place));
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let (host, port) = place.split_once(':').unwrap_or((place, "5432"));
        let port = port.parse().ok()?;
        Some(Address { host: host.into(), port, user: user.into(), password: plain(password)?, database: database.into() })
    }
}

/// A text without its `%41`.
fn plain(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut out = parts.next()?.as_bytes().to_vec();
    for part in parts {
        out.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        out.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(out).ok()
}

#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

#[derive(Debug)]
pub(super) struct Client {
    stream: TcpStream,
    read: BytesMut,
}

impl Client {
    pub(super) fn connect(address: &Address) -> Result<Client, Refusal> {
        let at = (address.host.as_str(), address.port);
        let stream = TcpStream::connect(at).map_err(|error| Refusal { message: format!("{at:?}: {error}") })?;
        stream.set_nodelay(true).expect("a socket has this option");
        let mut client = Client { stream, read: BytesMut::new() };
        let parameters = [("user", address.user.as_str()), ("database", &address.database), ("client_encoding", "UTF8")];
        client.send(|buffer| frontend::startup_message(parameters, buffer));
        client.log_in(&address.password)?;
        client.until_ready()?;
        Ok(client)
    }

    fn log_in(&mut self, password: &str) -> Result<(), Refusal> {
        let mut scram = None;
        loop {
            match self.receive() {
                Message::AuthenticationOk => return Ok(()),
                Message::AuthenticationCleartextPassword => self.send(|buffer| frontend::password_message(password.as_bytes(), buffer)),
                Message::AuthenticationSasl(_) => {
                    let begun = scram.insert(ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported()));
                    let first = begun.message().to_vec();
                    self.send(|buffer| frontend::sasl_initial_response(SCRAM_SHA_256, &first, buffer));
                }
                Message::AuthenticationSaslContinue(body) => {
                    let begun: &mut ScramSha256 = scram.as_mut().expect("it has begun");
                    begun.update(body.data()).expect("the server knows SCRAM");
                    let proof = begun.message().to_vec();
                    self.send(|buffer| frontend::sasl_response(&proof, buffer));
                }
                Message::AuthenticationSaslFinal(body) => {
                    scram.as_mut().expect("it has begun").finish(body.data()).expect("the server knows the password too");
                }
                Message::ErrorResponse(body) => return Err(refusal(body.fields())),
                _ => return Err(Refusal { message: "a way to log in that is not known here".into() }),
            }
        }
    }

    /// Runs statements; the rows of each one that gives rows. They are one transaction where none is open.
    pub(super) fn query(&mut self, statements: &str) -> Result<Vec<Vec<Texts>>, Refusal> {
        self.send(|buffer| frontend::query(statements, buffer));
        self.until_ready()
    }

    fn until_ready(&mut self) -> Result<Vec<Vec<Texts>>, Refusal> {
        let (mut results, mut refused): (Vec<Vec<Texts>>, _) = (Vec::new(), None);
        loop {
            match self.receive() {
                Message::RowDescription(_) => results.push(Vec::new()),
                Message::DataRow(body) => {
                    let bytes = body.buffer();
                    let text = |range| Ok(range_of(bytes, range));
                    let row = body.ranges().map(text).collect().expect("a row is whole");
                    results.last_mut().expect("rows come behind their description").push(row);
                }
                Message::ErrorResponse(body) => refused = Some(refusal(body.fields())),
                Message::ReadyForQuery(_) => return refused.map_or(Ok(results), Err),
                _ => {}
            }
        }
    }

    fn send(&mut self, write: impl FnOnce(&mut BytesMut) -> std::io::Result<()>) {
        let mut buffer = BytesMut::new();
        write(&mut buffer).expect("a message is shorter than two gigabytes");
        self.stream.write_all(&buffer).expect("PostgreSQL takes what it is told");
    }

    fn receive(&mut self) -> Message {
        loop {
            if let Some(message) = Message::parse(&mut self.read).expect("PostgreSQL keeps to its protocol") {
                return message;
            }
            let mut part = [0; 1 << 16];
            let length = self.stream.read(&mut part).expect("PostgreSQL answers");
            assert!(length > 0, "PostgreSQL ended the connection");
            self.read.extend_from_slice(&part[..length]);
        }
    }
}

fn range_of(bytes: &[u8], range: Option<std::ops::Range<usize>>) -> Option<String> {
    range.map(|range| String::from_utf8(bytes[range].to_vec()).expect("the client's encoding is UTF-8"))
}

fn refusal(mut fields: ErrorFields<'_>) -> Refusal {
    let mut message = String::new();
    while let Some(field) = fields.next().expect("an error is whole") {
        match field.type_() {
            b'M' => message = String::from_utf8_lossy(field.value_bytes()).into_owned(),
            b'D' | b'H' => message += &format!(" ({})", String::from_utf8_lossy(field.value_bytes())),
            _ => {}
        }
    }
    Refusal { message }
}
