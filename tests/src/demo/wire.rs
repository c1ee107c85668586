//! SMTP from the client's side, many sessions at once.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

/// How long one reply may take; far above what the servers need, so that only a hang trips it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A session with a mail server.
#[derive(Debug)]
pub(super) struct Wire {
    stream: BufReader<TcpStream>,
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
            stream: BufReader::new(stream),
            line: String::new(),
        };
        let greeting = wire.reply().await?;
        Ok((wire, greeting))
    }

    /// Sends the bytes in one write.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        in_time(self.stream.get_mut().write_all(bytes)).await
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
