//! One client's session: two sockets and the filter between them.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::hub::{Hub, Mailbox};
use super::proxy_header::{self, Addresses, Header};
use super::{Access, ProxyProtocol, access};
use crate::connection::End;
use crate::observe::{CloseReason, Summary};
use crate::worker::{Effect, Upstream};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest wait RFC 5321 section 4.5.3.2 knows: the reply to a message's end.
const IDLE_TIMEOUT: Duration = Duration::from_mins(10);
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a closed client is read on, so that its bytes do not turn our last
/// words into a reset.
const LINGER: Duration = Duration::from_secs(1);
const READ_BYTES: usize = 16 * 1024;
/// A side is not read while more than this waits for the other.
const BACKLOG: usize = 256 * 1024;

/// What a session needs from its worker.
pub(super) struct Setting {
    pub(super) hub: Rc<Hub>,
    pub(super) upstream: SocketAddr,
    pub(super) proxy_protocol: ProxyProtocol,
    pub(super) access: Access,
    pub(super) stopped: watch::Receiver<()>,
}

/// Serves a client to the end.
pub(super) async fn serve(socket: std::net::TcpStream, setting: Setting) {
    // A client that is gone before anything was said leaves nothing to report.
    let Ok(mut stream) = TcpStream::from_std(socket) else {
        return;
    };
    let mut stopped = setting.stopped.clone();
    let arrived = tokio::select! {
        arrived = arrive(&mut stream, setting.proxy_protocol) => arrived,
        _ = stopped.changed() => return,
    };
    let Ok((addresses, early)) = arrived else {
        return;
    };
    let started = Instant::now();
    let Addresses { peer, local } = addresses;
    let hub = Rc::clone(&setting.hub);
    let context = hub.drive(|worker| worker.open(peer, local));
    let printed = setting.access == Access::Printed;
    let mut session = Session::new(setting, context, stream);
    if !early.is_empty() {
        hub.drive(|worker| worker.client_bytes(context, &early));
    }
    if let Some(summary) = session.run().await
        && printed
    {
        eprintln!("{}", access::line(&summary, started.elapsed()));
    }
    hub.forget(context);
    session.linger().await;
}

/// Finds out who the client is; gives what it wrote beyond the PROXY header.
async fn arrive(
    stream: &mut TcpStream,
    proxy_protocol: ProxyProtocol,
) -> io::Result<(Addresses, Vec<u8>)> {
    stream.set_nodelay(true)?;
    let direct = Addresses {
        peer: stream.peer_addr()?,
        local: stream.local_addr()?,
    };
    if proxy_protocol == ProxyProtocol::Off {
        return Ok((direct, Vec::new()));
    }
    let mut bytes = Vec::new();
    let read = async {
        loop {
            match proxy_header::parse(&bytes) {
                Header::Complete(length, told) => {
                    return Ok((told.unwrap_or(direct), bytes.split_off(length)));
                }
                Header::Invalid => return Err(io::ErrorKind::InvalidData.into()),
                Header::Incomplete if stream.read_buf(&mut bytes).await? == 0 => {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                Header::Incomplete => {}
            }
        }
    };
    timeout(HEADER_TIMEOUT, read).await?
}

/// One direction out: bytes to write, then maybe the end.
struct Outgoing {
    half: Option<OwnedWriteHalf>,
    bytes: Vec<u8>,
    end: bool,
}

impl Outgoing {
    fn new(half: Option<OwnedWriteHalf>) -> Self {
        Self {
            half,
            bytes: Vec::new(),
            end: false,
        }
    }

    fn has_work(&self) -> bool {
        self.half.is_some() && (self.end || !self.bytes.is_empty())
    }

    /// Writes a piece, or the end once nothing else is left. Cancelling is safe.
    async fn write(&mut self) -> io::Result<()> {
        let Some(half) = &mut self.half else {
            return std::future::pending().await;
        };
        if self.bytes.is_empty() {
            self.end = false;
            return half.shutdown().await;
        }
        let written = half.write(&self.bytes).await?;
        self.bytes.drain(..written);
        Ok(())
    }
}

struct Session {
    setting: Setting,
    context: u32,
    mailbox: Rc<Mailbox>,
    client: Option<OwnedReadHalf>,
    server: Option<OwnedReadHalf>,
    to_client: Outgoing,
    to_server: Outgoing,
    connecting: bool,
    /// What the client writes comes back to it, so one backlog bounds both ways.
    echoed: bool,
    closing: bool,
    summary: Option<Summary>,
}

impl Session {
    fn new(setting: Setting, context: u32, stream: TcpStream) -> Self {
        let mailbox = setting.hub.mailbox(context);
        let (client, to_client) = stream.into_split();
        Self {
            setting,
            context,
            mailbox,
            client: Some(client),
            server: None,
            to_client: Outgoing::new(Some(to_client)),
            to_server: Outgoing::new(None),
            connecting: false,
            echoed: false,
            closing: false,
            summary: None,
        }
    }

    /// Moves bytes until the filter is done with the connection and the client
    /// has got everything.
    async fn run(&mut self) -> Option<Summary> {
        let hub = Rc::clone(&self.setting.hub);
        let mailbox = Rc::clone(&self.mailbox);
        let mut stopped = self.setting.stopped.clone();
        let (mut from_client, mut from_server) = (vec![0; READ_BYTES], vec![0; READ_BYTES]);
        loop {
            self.take_effects();
            if self.connecting {
                self.connect(&mut stopped).await;
                continue;
            }
            if self.closing && self.to_client.bytes.is_empty() {
                return self.summary.take();
            }
            let read_client = !self.closing
                && self.to_server.bytes.len() < BACKLOG
                && !(self.echoed && self.to_client.bytes.len() >= BACKLOG)
                && hub.wants_client_bytes(self.context);
            let read_server = !self.closing && self.to_client.bytes.len() < BACKLOG;
            tokio::select! {
                () = mailbox.filled.notified() => {}
                read = read(&mut self.client, &mut from_client), if read_client => {
                    self.client_said(read, &from_client);
                }
                read = read(&mut self.server, &mut from_server), if read_server => {
                    self.server_said(read, &from_server);
                }
                written = self.to_client.write(), if self.to_client.has_work() => {
                    if written.is_err() {
                        self.lose_client();
                    }
                }
                written = self.to_server.write(), if self.to_server.has_work() => {
                    if written.is_err() {
                        self.lose_server();
                    }
                }
                () = sleep_until(Instant::now() + IDLE_TIMEOUT) => self.end(CloseReason::Idle),
                _ = stopped.changed(), if !self.closing => self.end(CloseReason::Shutdown),
            }
        }
    }

    fn take_effects(&mut self) {
        while let Some(effect) = self.mailbox.next() {
            match effect {
                Effect::Connect(Upstream::Server) => self.connecting = true,
                Effect::Connect(Upstream::Echo(_)) => self.echoed = true,
                Effect::ToServer(bytes) => self.to_server.bytes.extend(bytes),
                Effect::EndServer => self.to_server.end = true,
                Effect::ToClient(bytes) => self.to_client.bytes.extend(bytes),
                Effect::EndClient => self.to_client.end = true,
                Effect::Close => {
                    self.closing = true;
                    self.connecting = false;
                }
                Effect::Finished(summary) => self.summary = Some(summary),
            }
        }
    }

    async fn connect(&mut self, stopped: &mut watch::Receiver<()>) {
        self.connecting = false;
        let (hub, context) = (Rc::clone(&self.setting.hub), self.context);
        let mailbox = Rc::clone(&self.mailbox);
        let connect = timeout(CONNECT_TIMEOUT, TcpStream::connect(self.setting.upstream));
        let mut connect = std::pin::pin!(connect);
        let stream = loop {
            tokio::select! {
                stream = &mut connect => break stream,
                () = mailbox.filled.notified() => self.take_effects(),
                _ = stopped.changed() => return self.end(CloseReason::Shutdown),
            }
            if self.closing {
                return;
            }
        };
        let Ok(Ok(stream)) = stream else {
            return self.end(CloseReason::ConnectFailed);
        };
        // Only latency depends on it.
        let _delayed = stream.set_nodelay(true);
        let (from, to) = stream.into_split();
        self.server = Some(from);
        self.to_server.half = Some(to);
        hub.drive(|worker| worker.connected(context, self.setting.upstream));
    }

    fn client_said(&mut self, read: io::Result<usize>, buffer: &[u8]) {
        let (hub, context) = (Rc::clone(&self.setting.hub), self.context);
        match read {
            Ok(0) => {
                self.client = None;
                hub.drive(|worker| worker.client_end(context, End::HalfClose));
            }
            Ok(read) => {
                let bytes = buffer.get(..read).unwrap_or_default();
                hub.drive(|worker| worker.client_bytes(context, bytes));
            }
            Err(_) => self.lose_client(),
        }
    }

    fn server_said(&mut self, read: io::Result<usize>, buffer: &[u8]) {
        let (hub, context, from) = (
            Rc::clone(&self.setting.hub),
            self.context,
            self.setting.upstream,
        );
        match read {
            Ok(0) => {
                self.server = None;
                hub.drive(|worker| worker.server_end(context, End::HalfClose));
            }
            Ok(read) => {
                let bytes = buffer.get(..read).unwrap_or_default();
                hub.drive(|worker| worker.server_bytes(context, from, bytes));
            }
            Err(_) => self.lose_server(),
        }
    }

    fn lose_client(&mut self) {
        self.client = None;
        self.to_client.half = None;
        self.to_client.bytes.clear();
        let context = self.context;
        let hub = &self.setting.hub;
        hub.drive(|worker| worker.client_end(context, End::Reset));
    }

    fn lose_server(&mut self) {
        self.server = None;
        self.to_server.half = None;
        let context = self.context;
        let hub = &self.setting.hub;
        hub.drive(|worker| worker.server_end(context, End::Reset));
    }

    fn end(&mut self, reason: CloseReason) {
        if self.closing {
            // The client does not even take the last words.
            self.to_client.bytes.clear();
        }
        let context = self.context;
        let hub = &self.setting.hub;
        hub.drive(|worker| worker.end_session(context, reason));
    }

    /// Ends the direction to the client, then reads what it still sends for a moment.
    async fn linger(mut self) {
        self.server = None;
        self.to_server.half = None;
        if let Some(half) = &mut self.to_client.half
            && half.shutdown().await.is_err()
        {
            return;
        }
        let Some(client) = &mut self.client else {
            return;
        };
        let mut rest = vec![0; READ_BYTES];
        let drain = async { while let Ok(1..) = client.read(&mut rest).await {} };
        tokio::select! {
            _ = timeout(LINGER, drain) => {}
            _ = self.setting.stopped.changed() => {}
        }
    }
}

async fn read(half: &mut Option<OwnedReadHalf>, buffer: &mut [u8]) -> io::Result<usize> {
    match half {
        Some(half) => half.read(buffer).await,
        None => std::future::pending().await,
    }
}
