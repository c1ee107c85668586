//! SMTP from the client's side, without a thing that costs.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A connection.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Wire {
    /// Connects; says and reads nothing.
    ///
    /// # Errors
    /// If the connection is refused.
    pub async fn connect(from: Ipv4Addr, to: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            stream: super::connect(from, to).await?,
            unread: Vec::with_capacity(1024),
        })
    }

    /// Connects, and is greeted with 220.
    ///
    /// # Errors
    /// If not.
    pub async fn greeted(from: Ipv4Addr, to: SocketAddr) -> io::Result<Self> {
        let mut wire = Self::connect(from, to).await?;
        wire.expect_reply("the greeting", 220).await?;
        Ok(wire)
    }

    /// Sends bytes in one write.
    ///
    /// # Errors
    /// If the peer is gone.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Reads one reply, of however many lines; `None` is the end of the stream, however rude.
    ///
    /// # Errors
    /// If it is no reply.
    pub async fn reply(&mut self) -> io::Result<Option<u16>> {
        loop {
            if let Some((code, end)) = last_line(&self.unread)? {
                self.unread.drain(..end);
                return Ok(Some(code));
            }
            match self.stream.read_buf(&mut self.unread).await {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends a command, its line end included, and expects this reply.
    ///
    /// # Errors
    /// If another one comes.
    pub async fn expect(&mut self, command: &str, code: u16) -> io::Result<()> {
        self.send(command.as_bytes()).await?;
        self.expect_reply(command, code).await
    }

    /// Expects this reply to what was sent.
    ///
    /// # Errors
    /// If another one comes.
    pub async fn expect_reply(&mut self, to: &str, code: u16) -> io::Result<()> {
        match self.reply().await? {
            Some(got) if got == code => Ok(()),
            other => Err(io::Error::other(format!(
                "{code} was expected for {:?}, got {other:?}",
                to.trim_end()
            ))),
        }
    }

    /// The connection itself.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }
}

/// The code of the first whole reply in the bytes, and where it ends.
pub(super) fn last_line(bytes: &[u8]) -> io::Result<Option<(u16, usize)>> {
    let mut start = 0;
    loop {
        let rest = bytes.get(start..).unwrap_or_default();
        let Some(length) = rest.iter().position(|byte| *byte == b'\n') else {
            return Ok(None);
        };
        let line = rest.get(..length).unwrap_or_default();
        start += length + 1;
        if line.get(3) == Some(&b'-') {
            continue;
        }
        let code = line
            .get(..3)
            .and_then(|code| std::str::from_utf8(code).ok());
        let code = code.and_then(|code| code.parse().ok());
        return match code {
            Some(code) => Ok(Some((code, start))),
            None => Err(io::Error::other(format!(
                "no reply: {:?}",
                String::from_utf8_lossy(line)
            ))),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_ends_with_its_last_line() {
        let bytes = b"250-mx\r\n250 PIPELINING\r\n354 go\r\n";
        assert_eq!(last_line(bytes).unwrap(), Some((250, 24)));
        assert_eq!(last_line(&bytes[24..]).unwrap(), Some((354, 8)));
    }

    #[test]
    fn half_a_reply_is_none_yet() {
        assert_eq!(last_line(b"250-mx\r\n250 PIPE").unwrap(), None);
        assert_eq!(last_line(b"").unwrap(), None);
    }

    #[test]
    fn what_has_no_code_is_an_error() {
        assert!(last_line(b"hello\r\n").is_err());
    }
}
