//! Who tells nginx where a mail goes: `auth_http` of its mail proxy asks by HTTP/1.0, once a session.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::Result;

use crate::listening::Listening;

/// How long nginx may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server that lets everybody in, and sends each to the server in the path of the URL.
#[derive(Debug)]
pub struct AuthResponder(Listening);

impl AuthResponder {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// If there is none.
    pub fn start() -> Result<Self> {
        Ok(Self(Listening::start(|connection| {
            // nginx itself reports what went wrong: the session fails.
            let _ = connection.and_then(answer);
        })?))
    }

    /// Where nginx asks for this mail server.
    pub(super) fn url_for(&self, server: SocketAddr) -> String {
        format!("{}/{}/{}", self.0.address(), server.ip(), server.port())
    }
}

fn answer(mut connection: TcpStream) -> std::io::Result<()> {
    connection.set_read_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(connection.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    let mut parts = path.split('/').skip(1);
    let (host, port) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    connection.write_all(
        format!(
            "HTTP/1.0 200 OK\r\nAuth-Status: OK\r\nAuth-Server: {host}\r\nAuth-Port: {port}\r\n\r\n"
        )
        .as_bytes(),
    )
}
