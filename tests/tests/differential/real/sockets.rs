//! Both ends of a case's connections, as sockets that never block.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use socket2::SockRef;

use crate::trace::{End, Ends, Trace};

/// How long a write may wait for room.
const ROOM: Duration = Duration::from_secs(20);

/// One end, and what it has read.
#[derive(Default)]
struct Socket {
    stream: Option<TcpStream>,
    seen: End,
}

#[derive(Default)]
struct Connection {
    client: Socket,
    address: Option<SocketAddr>,
    server: Socket,
}

/// All connections of a case.
pub(super) struct Sockets<'a> {
    listener: &'a TcpListener,
    server: SocketAddr,
    connections: Vec<Connection>,
    /// Accepted, and not yet known whose.
    accepted: VecDeque<TcpStream>,
}

impl<'a> Sockets<'a> {
    pub(super) fn new(listener: &'a TcpListener, connections: usize) -> Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            server: listener.local_addr()?,
            connections: (0..connections).map(|_| Connection::default()).collect(),
            accepted: VecDeque::new(),
        })
    }

    pub(super) fn server(&self) -> SocketAddr {
        self.server
    }

    pub(super) fn clients(&self) -> Vec<SocketAddr> {
        self.connections
            .iter()
            .filter_map(|connection| connection.address)
            .collect()
    }

    pub(super) fn open(&mut self, place: usize, to: SocketAddr) -> Result<()> {
        let stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        if let Some(connection) = self.connections.get_mut(place) {
            connection.address = Some(stream.local_addr()?);
            connection.client.stream = Some(stream);
        }
        Ok(())
    }

    pub(super) fn client_writes(&mut self, place: usize, bytes: &[u8]) {
        self.on(place, |connection| connection.client.write(bytes));
    }

    pub(super) fn server_writes(&mut self, place: usize, bytes: &[u8]) {
        self.on(place, |connection| connection.server.write(bytes));
    }

    pub(super) fn client_ends(&mut self, place: usize) {
        self.on(place, |connection| connection.client.end());
    }

    pub(super) fn server_ends(&mut self, place: usize) {
        self.on(place, |connection| connection.server.end());
    }

    pub(super) fn client_resets(&mut self, place: usize) {
        self.on(place, |connection| connection.client.reset());
    }

    pub(super) fn server_resets(&mut self, place: usize) {
        self.on(place, |connection| connection.server.reset());
    }

    fn on(&mut self, place: usize, act: impl FnOnce(&mut Connection)) {
        if let Some(connection) = self.connections.get_mut(place) {
            act(connection);
        }
    }

    /// Accepts what has come. Steps come one by one, so whose it is can be told by who is
    /// to reach the server now.
    pub(super) fn look(&mut self, wanted: &Trace) -> Result<()> {
        while let Ok((stream, _)) = self.listener.accept() {
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            self.accepted.push_back(stream);
        }
        for (connection, wanted) in self.connections.iter_mut().zip(&wanted.connections) {
            if wanted.reached && !connection.reached() {
                connection.server.stream = self.accepted.pop_front();
            }
        }
        Ok(())
    }

    pub(super) fn read(&mut self) {
        for connection in &mut self.connections {
            connection.client.read();
            connection.server.read();
        }
    }

    pub(super) fn ends(&self) -> Vec<Ends> {
        let mut ends: Vec<Ends> = self.connections.iter().map(Connection::ends).collect();
        // One that nobody expected.
        if let (Some(ends), false) = (ends.last_mut(), self.accepted.is_empty()) {
            ends.reached = true;
        }
        ends
    }
}

impl Connection {
    fn reached(&self) -> bool {
        self.server.stream.is_some() || self.server.seen.ended
    }

    fn ends(&self) -> Ends {
        Ends {
            client: self.client.seen.clone(),
            reached: self.reached(),
            server: self.server.seen.clone(),
        }
    }
}

impl Socket {
    /// What the other side no longer takes is lost, as everywhere.
    fn write(&mut self, mut bytes: &[u8]) {
        let until = Instant::now() + ROOM;
        while let (Some(stream), false) = (&mut self.stream, bytes.is_empty()) {
            match stream.write(bytes) {
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < until => {
                    self.read();
                    thread::sleep(Duration::from_millis(1));
                }
                Err(_) => return,
            }
        }
    }

    fn end(&self) {
        if let Some(stream) = &self.stream {
            // Nothing is left to end if the other side was faster.
            let _ = stream.shutdown(Shutdown::Write);
        }
    }

    fn reset(&mut self) {
        if let Some(stream) = self.stream.take() {
            // Without it the other side would see an ordinary end, and the case would fail.
            let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            self.seen.ended = true;
        }
    }

    fn read(&mut self) {
        let mut buffer = [0; 65536];
        while let (Some(stream), false) = (&mut self.stream, self.seen.ended) {
            match stream.read(&mut buffer) {
                Ok(0) => self.seen.ended = true,
                Ok(size) => self.seen.bytes.extend(buffer.iter().take(size)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.seen.ended = true,
            }
        }
    }
}
