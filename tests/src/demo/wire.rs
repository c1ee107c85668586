//! SMTP from the client's side, many sessions at once.

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpSocket,
    time::timeout,
};

use crate::tls::{TlsClient, server_name};

/// How long one reply may take; far above what the servers need, so that only a hang trips it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where sessions go, and how.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) address: SocketAddr,
    /// Whether they switch to TLS, and how.
    pub(super) tls: Option<TlsClient>,
}

/// A connection, in cleartext or under TLS.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send + fmt::Debug {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + fmt::Debug> Stream for T {}

/// A session with a mail server.
#[derive(Debug)]
pub(super) struct Wire {
    stream: BufReader<Box<dyn Stream>>,
    line: String,
}

impl Wire {
    /// Connects from a loopback address of one's own and is greeted.
    pub(super) async fn open(from: Ipv4Addr, to: SocketAddr) -> io::Result<Self> {
        match Self::knock(from, to).await? {
            (wire, Some(220)) => Ok(wire),
            (_, other) => Err(unexpected("the greeting", other)),
        }
    }

    /// Connects from a loopback address of one's own; what it is greeted with.
    pub(super) async fn knock(from: Ipv4Addr, to: SocketAddr) -> io::Result<(Self, Option<u16>)> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((from, 0)))?;
        let stream = in_time(socket.connect(to)).await?;
        stream.set_nodelay(true)?;
        let mut wire = Self {
            stream: BufReader::new(Box::new(stream)),
            line: String::new(),
        };
        let greeting = wire.reply().await?;
        Ok((wire, greeting))
    }

    /// Does the handshake, once the server has agreed to STARTTLS.
    pub(super) async fn handshake(self, tls: &TlsClient) -> io::Result<Self> {
        if !self.stream.buffer().is_empty() {
            return Err(io::Error::other("cleartext behind the reply to STARTTLS"));
        }
        let clear = self.stream.into_inner();
        let stream = in_time(tls.connector().connect(server_name()?, clear)).await?;
        Ok(Self {
            stream: BufReader::new(Box::new(stream)),
            line: self.line,
        })
    }

    /// Says EHLO, and switches to TLS first if that is wanted.
    pub(super) async fn greet(mut self, name: &str, tls: Option<&TlsClient>) -> io::Result<Self> {
        let ehlo = format!("EHLO {name}");
        self.expect(&ehlo, 250).await?;
        if let Some(tls) = tls {
            self.expect("STARTTLS", 220).await?;
            self = self.handshake(tls).await?;
            self.expect(&ehlo, 250).await?;
        }
        Ok(self)
    }

    /// Sends the bytes in one write.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let send = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        in_time(send).await
    }

    /// Reads one reply, of however many lines; `None` is the end of the stream.
    pub(super) async fn reply(&mut self) -> io::Result<Option<u16>> {
        loop {
            self.line.clear();
            if in_time(self.stream.read_line(&mut self.line)).await? == 0 {
                return Ok(None);
            }
            let code = self.line.get(..3).and_then(|code| code.parse().ok());
            match (code, self.line.as_bytes().get(3)) {
                (Some(_), Some(b'-')) => {}
                (Some(code), _) => return Ok(Some(code)),
                (None, _) => return Err(io::Error::other(format!("no reply: {:?}", self.line))),
            }
        }
    }

    /// Sends one command and expects this reply.
    pub(super) async fn expect(&mut self, command: &str, code: u16) -> io::Result<()> {
        self.send(format!("{command}\r\n").as_bytes()).await?;
        self.expect_reply(command, code).await
    }

    /// Expects this reply to what was sent before.
    pub(super) async fn expect_reply(&mut self, to: &str, code: u16) -> io::Result<()> {
        match self.reply().await? {
            Some(got) if got == code => Ok(()),
            other => Err(unexpected(to, other)),
        }
    }
}

async fn in_time<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    timeout(PATIENCE, work).await.map_err(late)?
}

fn unexpected(to: &str, got: Option<u16>) -> io::Error {
    let got = got.map_or_else(|| "the end of the stream".into(), |code| code.to_string());
    io::Error::other(format!("{to}: got {got}"))
}
