//! A raw SMTP client for tests: what it sends is exactly what it is given, and what it reads it
//! reads with a deadline.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpStream},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use socket2::{Domain, Socket, Type};

use crate::{
    Error,
    tls::{TlsClient, Wire},
};

/// How long one read or write may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// One reply: a code and its lines (RFC 5321 section 4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The three digits.
    pub code: u16,
    /// Each line whole, without its end.
    pub lines: Vec<String>,
}

impl Reply {
    /// Whether the last line starts with `start`, such as `"421 4.7.0"`.
    #[must_use]
    pub fn starts_with(&self, start: &str) -> bool {
        self.lines
            .last()
            .is_some_and(|line| line.starts_with(start))
    }
}

/// A connection to a mail server, or to the guard before it.
#[derive(Debug)]
pub struct Client {
    stream: Wire,
    unread: Vec<u8>,
}

impl Client {
    /// Connects; says and reads nothing. On IPv4 each comes from a loopback address of its own, so
    /// that nothing is remembered of it.
    ///
    /// # Errors
    /// [`Error::Smtp`] if the connection is refused.
    pub fn connect(to: SocketAddr) -> Result<Self, Error> {
        static NEXT: AtomicU16 = AtomicU16::new(1);
        if to.is_ipv6() {
            return Self::wrap(TcpStream::connect_timeout(&to, PATIENCE), to);
        }
        let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        Self::connect_from(Ipv4Addr::new(127, 90, high, low).into(), to)
    }

    /// Connects from a chosen local address, such as 127.20.0.1.
    ///
    /// # Errors
    /// [`Error::Smtp`] if the address cannot be bound or the connection is refused.
    pub fn connect_from(from: IpAddr, to: SocketAddr) -> Result<Self, Error> {
        let connected = || {
            let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
            socket.bind(&SocketAddr::new(from, 0).into())?;
            socket.connect_timeout(&to.into(), PATIENCE)?;
            io::Result::Ok(socket.into())
        };
        Self::wrap(connected(), to)
    }

    /// Connects and reads the greeting.
    ///
    /// # Errors
    /// [`Error::Smtp`] if there is no connection or no greeting.
    pub fn greeted(to: SocketAddr) -> Result<Self, Error> {
        let mut client = Self::connect(to)?;
        client.reply()?;
        Ok(client)
    }

    fn wrap(stream: io::Result<TcpStream>, to: SocketAddr) -> Result<Self, Error> {
        let ready = stream.and_then(|stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            stream.set_nodelay(true)?;
            Ok(Self {
                stream: Wire::Clear(stream),
                unread: Vec::new(),
            })
        });
        ready.map_err(Error::smtp(format!("connecting to {to}")))
    }

    /// Asks for TLS, and goes on under it.
    ///
    /// # Errors
    /// [`Error::Smtp`] if the server does not agree, says more than that, or the handshake fails.
    pub fn starttls(mut self, tls: &TlsClient) -> Result<Self, Error> {
        let reply = self.command("STARTTLS")?;
        if reply.code != 220 || !self.unread.is_empty() {
            let unread = String::from_utf8_lossy(&self.unread);
            return Err(Error::smtp("asking for TLS")(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{reply:?}, then {unread:?}"),
            )));
        }
        self.handshake(tls)
    }

    /// Does the handshake at once, whatever was said before.
    ///
    /// # Errors
    /// [`Error::Smtp`] if it fails.
    pub fn handshake(self, tls: &TlsClient) -> Result<Self, Error> {
        let stream = match self.stream {
            Wire::Clear(socket) => tls.handshake(socket)?,
            stream @ Wire::Tls(_) => stream,
        };
        Ok(Self {
            stream,
            unread: Vec::new(),
        })
    }

    /// What carries it.
    #[must_use]
    pub fn wire(&self) -> &Wire {
        &self.stream
    }

    /// This side's own address.
    ///
    /// # Errors
    /// [`Error::Smtp`] if the connection is gone.
    pub fn local_address(&self) -> Result<SocketAddr, Error> {
        self.stream
            .socket()
            .local_addr()
            .map_err(Error::smtp("asking for the local address"))
    }

    /// Sends the bytes in one write.
    ///
    /// # Errors
    /// [`Error::Smtp`] if the peer has gone.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), Error> {
        self.stream
            .write_all(bytes.as_ref())
            .map_err(Error::smtp("sending"))
    }

    /// Sends one line and reads its reply.
    ///
    /// # Errors
    /// [`Error::Smtp`] if the peer has gone or does not answer in time.
    pub fn command(&mut self, line: &str) -> Result<Reply, Error> {
        self.send(format!("{line}\r\n"))?;
        self.reply()
    }

    /// Says these lines, one after the other, each of which must be answered by its code.
    ///
    /// # Errors
    /// As [`Client::reply`], and if a code is another.
    pub fn dialogue(&mut self, lines: &[(&str, u16)]) -> Result<(), Error> {
        for (line, code) in lines {
            let reply = self.command(line)?;
            if reply.code != *code {
                let source = io::Error::other(format!("{reply:?}"));
                return Err(Error::smtp(format!("expecting {code} for {line:?}"))(
                    source,
                ));
            }
        }
        Ok(())
    }

    /// Reads one reply, of however many lines.
    ///
    /// # Errors
    /// [`Error::Smtp`] at the end of the stream, at the deadline, or if it is no reply.
    pub fn reply(&mut self) -> Result<Reply, Error> {
        let mut lines = Vec::new();
        loop {
            let line = self.line()?;
            let code = line.get(..3).and_then(|code| code.parse().ok());
            let more = line.as_bytes().get(3) == Some(&b'-');
            lines.push(line);
            match code {
                Some(code) if !more => return Ok(Reply { code, lines }),
                Some(_) => {}
                None => {
                    let source = io::Error::new(io::ErrorKind::InvalidData, format!("{lines:?}"));
                    return Err(Error::Smtp {
                        doing: "reading a reply".into(),
                        source,
                    });
                }
            }
        }
    }

    /// Reads `count` replies and returns their codes.
    ///
    /// # Errors
    /// As [`Client::reply`].
    pub fn codes(&mut self, count: usize) -> Result<Vec<u16>, Error> {
        (0..count)
            .map(|_| self.reply().map(|reply| reply.code))
            .collect()
    }

    /// Reads until the peer ends the stream and returns what came, as text.
    ///
    /// # Errors
    /// [`Error::Smtp`] at the deadline or on a reset.
    pub fn read_to_end(&mut self) -> Result<String, Error> {
        let mut all = std::mem::take(&mut self.unread);
        self.stream
            .read_to_end(&mut all)
            .map_err(Error::smtp("reading to the end"))?;
        Ok(String::from_utf8_lossy(&all).into_owned())
    }

    /// The same for a client that may be cut without ceremony: a reset is an end too.
    ///
    /// # Errors
    /// [`Error::Smtp`] at the deadline.
    pub fn read_until_closed(&mut self) -> Result<String, Error> {
        let mut all = std::mem::take(&mut self.unread);
        match self.stream.read_to_end(&mut all) {
            Err(source) if source.kind() != io::ErrorKind::ConnectionReset => {
                Err(Error::smtp("reading until the connection is closed")(
                    source,
                ))
            }
            _ => Ok(String::from_utf8_lossy(&all).into_owned()),
        }
    }

    /// Says that nothing more will be sent, and goes on reading.
    ///
    /// # Errors
    /// [`Error::Smtp`] if the connection is gone.
    pub fn finish_sending(&mut self) -> Result<(), Error> {
        self.stream
            .socket()
            .shutdown(Shutdown::Write)
            .map_err(Error::smtp("ending its own side"))
    }

    fn line(&mut self) -> Result<String, Error> {
        let mut chunk = [0; 4096];
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line)
                    .trim_end_matches(['\r', '\n'])
                    .into());
            }
            let read = self
                .stream
                .read(&mut chunk)
                .map_err(Error::smtp("reading a line"))?;
            if read == 0 {
                let source = io::Error::from(io::ErrorKind::UnexpectedEof);
                return Err(Error::Smtp {
                    doing: "reading a line".into(),
                    source,
                });
            }
            self.unread.extend(chunk.iter().take(read));
        }
    }
}
