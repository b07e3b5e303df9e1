//! Stands between a client and a MySQL server, and answers some statements itself.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Passes every byte on. Statements that begin as told are replaced by one that does nothing, of the same length.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    dropped: Arc<Mutex<Option<String>>>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn start(server: &str) -> Proxy {
        Proxy::between(&[server]).await
    }

    /// Each connection leads to the next of these servers.
    pub(crate) async fn between(servers: &[&str]) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let dropped = Arc::new(Mutex::new(None));
        let told = dropped.clone();
        let mut servers: VecDeque<String> = servers.iter().map(|server| (*server).to_owned()).collect();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(servers[0].clone()).await.unwrap();
                servers.rotate_left(1);
                tokio::spawn(pass(client, server, told.clone()));
            }
        });
        Proxy { port, dropped, accepting }
    }

    /// From now on the server does not hear of statements that begin so.
    pub(crate) fn drop_statements(&self, begin: &str) {
        *self.dropped.lock().unwrap() = Some(begin.to_owned());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pass(client: TcpStream, server: TcpStream, dropped: Arc<Mutex<Option<String>>>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let answers = tokio::spawn(async move {
        let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
        let _ = to_client.shutdown().await;
    });
    // A packet: its length in three bytes, a number, and then, of a statement, 3 and the text.
    let mut header = [0u8; 4];
    while from_client.read_exact(&mut header).await.is_ok() {
        let length = u32::from_le_bytes([header[0], header[1], header[2], 0]) as usize;
        let mut packet = vec![0; length];
        if from_client.read_exact(&mut packet).await.is_err() {
            break;
        }
        if let Some(begin) = dropped.lock().unwrap().as_deref()
            && packet.first() == Some(&3)
            && packet[1..].starts_with(begin.as_bytes())
        {
            packet[1..].fill(b' ');
            packet[1..5].copy_from_slice(b"DO 0");
        }
        if to_server.write_all(&header).await.is_err() || to_server.write_all(&packet).await.is_err() {
            break;
        }
    }
    let _ = to_server.shutdown().await;
    let _ = answers.await;
}
