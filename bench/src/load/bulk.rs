//! Large messages.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use socket2::{Domain, Socket, Type};

use super::client;

const PATIENCE: Duration = Duration::from_secs(60);
/// The message's lines: as long as quoted-printable and base64 make them.
const LINE: &[u8] =
    b"VGhlIG1pbnV0ZXMgb2YgVHVlc2RheSdzIG1lZXRpbmcsIGFuZCB3aGF0IGNhbWUgb2YgdGhlbS4u\r\n";

/// How a large message is handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transfer {
    /// By DATA.
    Data,
    /// By one BDAT.
    Bdat,
}

/// A message of about this many octets, without an end.
#[must_use]
pub fn large_message(octets: usize) -> Vec<u8> {
    let mut message = b"Subject: large\r\n\r\n".to_vec();
    while message.len() < octets {
        message.extend_from_slice(LINE);
    }
    message
}

/// Sends a message over a connection of its own, as fast as it goes.
///
/// # Errors
/// If it is not taken.
pub fn send_large(server: SocketAddr, transfer: Transfer, message: &[u8]) -> Result<()> {
    let mut wire = Blocking::connect(0, server)?;
    wire.expect(b"", 220)?;
    wire.expect(b"EHLO mail.example.com\r\n", 250)?;
    wire.expect(b"MAIL FROM:<carol@example.com>\r\n", 250)?;
    wire.expect(b"RCPT TO:<alice@example.test>\r\n", 250)?;
    match transfer {
        Transfer::Data => {
            wire.expect(b"DATA\r\n", 354)?;
            wire.stream.write_all(message)?;
            wire.expect(b".\r\n", 250)?;
        }
        Transfer::Bdat => {
            let command = format!("BDAT {} LAST\r\n", message.len());
            wire.stream.write_all(command.as_bytes())?;
            wire.expect(message, 250)?;
        }
    }
    wire.expect(b"QUIT\r\n", 221)
}

/// A connection of a thread.
#[derive(Debug)]
pub(super) struct Blocking {
    pub(super) stream: TcpStream,
    unread: Vec<u8>,
}

impl Blocking {
    pub(super) fn connect(number: usize, server: SocketAddr) -> Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((client(number), 0)).into())?;
        socket.connect_timeout(&server.into(), PATIENCE)?;
        let stream: TcpStream = socket.into();
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            unread: Vec::new(),
        })
    }

    /// Sends bytes, if any, and expects a reply.
    pub(super) fn expect(&mut self, bytes: &[u8], code: u16) -> Result<()> {
        self.stream.write_all(bytes)?;
        let got = self.reply()?;
        let shown = bytes.get(..bytes.len().min(40)).unwrap_or_default();
        ensure!(
            got == code,
            "{code} was expected for {:?}, got {got}",
            String::from_utf8_lossy(shown)
        );
        Ok(())
    }

    pub(super) fn reply(&mut self) -> Result<u16> {
        let mut chunk = [0; 2048];
        loop {
            if let Some((code, end)) = super::wire::last_line(&self.unread)? {
                self.unread.drain(..end);
                return Ok(code);
            }
            let count = self.stream.read(&mut chunk).context("reading a reply")?;
            if count == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            self.unread.extend(chunk.iter().take(count));
        }
    }
}
