//! A server for what smtp-sink does not know: BDAT and STARTTLS.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use anyhow::Result;

use super::bulk::Blocking;
use crate::listening::Listening;

const PATIENCE: Duration = Duration::from_secs(60);

/// A server that takes messages by BDAT; and that agrees to STARTTLS, swallows what follows as if it
/// were TLS, and says so when it has it all.
#[derive(Debug)]
pub struct BulkSink(Listening);

impl BulkSink {
    /// Starts it on a free port; sessions have this many octets after STARTTLS.
    ///
    /// # Errors
    /// If there is none.
    pub fn start(opaque: usize) -> Result<Self> {
        Ok(Self(Listening::start(move |connection| {
            // The client sees what went wrong: its session fails.
            thread::spawn(move || connection.and_then(|it| serve(it, opaque)));
        })?))
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }
}

fn serve(mut connection: TcpStream, opaque: usize) -> std::io::Result<()> {
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_nodelay(true)?;
    let mut lines = BufReader::with_capacity(65536, connection.try_clone()?);
    connection.write_all(b"220 mx.example.test ESMTP\r\n")?;
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut words = line.split_ascii_whitespace();
        let verb = words.next().unwrap_or_default().to_ascii_uppercase();
        let reply: &[u8] = match verb.as_str() {
            "EHLO" => b"250-mx.example.test\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 STARTTLS\r\n",
            "BDAT" => {
                let size = words.next().and_then(|size| size.parse().ok());
                swallow(&mut lines, size.unwrap_or_default())?;
                b"250 2.0.0 taken\r\n"
            }
            "STARTTLS" => {
                connection.write_all(b"220 2.0.0 go ahead\r\n")?;
                swallow(&mut lines, opaque)?;
                return connection.write_all(b"250 all of it\r\n");
            }
            "QUIT" => return connection.write_all(b"221 2.0.0 bye\r\n"),
            "HELO" | "MAIL" | "RCPT" | "RSET" | "NOOP" => b"250 2.0.0 well\r\n",
            _ => b"502 5.5.2 unknown\r\n",
        };
        connection.write_all(reply)?;
    }
}

fn swallow(from: &mut impl BufRead, octets: usize) -> std::io::Result<()> {
    let octets = u64::try_from(octets).unwrap_or(u64::MAX);
    std::io::copy(&mut from.take(octets), &mut std::io::sink()).map(drop)
}

/// Switches, and sends the octets.
///
/// # Errors
/// If they do not arrive.
pub fn send_opaque(server: SocketAddr, octets: &[u8]) -> Result<()> {
    let mut wire = Blocking::connect(0, server)?;
    wire.expect(b"", 220)?;
    wire.expect(b"EHLO mail.example.com\r\n", 250)?;
    wire.expect(b"STARTTLS\r\n", 220)?;
    // The sink says 250 in the clear: no TLS library costs anything here.
    wire.expect(octets, 250)
}
