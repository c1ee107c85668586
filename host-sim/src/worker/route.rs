//! Where a connection goes, as Envoy's TCP proxy decides when it may go on.
//!
//! An echo cluster stands for one with the `upstream_proxy_protocol` transport
//! socket whose endpoint is an internal listener with the echo filter: the PROXY
//! line the socket writes comes back as the first words of "the server", and so
//! does everything the client's direction passes on.

use std::net::SocketAddr;

use super::{Effect, Upstream, Worker};
use crate::connection::{Connection, Echo, Phase};
use crate::observe::CloseReason;

/// The filter state that names the cluster to go to in place of the server's.
const CLUSTER_KEY: &str = "envoy.tcp_proxy.cluster";

impl Worker {
    /// Lets a connection go on, to where its filter state says at this moment. A
    /// cluster that does not exist ends it without a word.
    pub(super) fn connect(&mut self, context: u32) {
        let Some(connection) = self.connection_mut(context) else {
            return;
        };
        if connection.phase != Phase::Held {
            return;
        }
        connection.phase = Phase::Connecting;
        match connection.envoy_filter_state.get(CLUSTER_KEY).cloned() {
            None => self.emit(context, Effect::Connect(Upstream::Server)),
            Some(name) if self.recipe.echo_clusters.contains(&name) => {
                if let Some(connection) = self.connection_mut(context) {
                    connection.echo = Some(Echo::default());
                }
                self.emit(context, Effect::Connect(Upstream::Echo(name)));
                self.echoing.push_back(context);
            }
            Some(_) => self.close(context, CloseReason::NoCluster),
        }
    }

    /// How many things echoes have to do.
    pub(crate) fn echoes(&self) -> usize {
        self.echoing.len()
    }

    /// Lets one echo do one thing: accept the connection, send a piece back, or
    /// end. A piece comes back as it was passed on, never joined to another. Which
    /// echo goes first is the caller's choice; each does its own things in order.
    pub(crate) fn run_echo(&mut self, place: usize) -> bool {
        let Some(context) = self.echoing.remove(place) else {
            return false;
        };
        match self.connection(context).map(|connection| connection.phase) {
            Some(Phase::Connecting) => self.accept_echo(context),
            Some(Phase::Open) => self.send_back(context),
            Some(Phase::Held | Phase::Closed(_)) | None => {}
        }
        self.settle();
        true
    }

    /// What the client wrote early is read as soon as the upstream stands, before
    /// the echo's first word, as with any slow server.
    fn accept_echo(&mut self, context: u32) {
        let Some(connection) = self.connection_mut(context) else {
            return;
        };
        connection.phase = Phase::Open;
        let line = proxy_line(connection);
        self.pass_upstreamwards(context, line, false);
        self.read_client(context);
    }

    fn send_back(&mut self, context: u32) {
        let Some(connection) = self.connection_mut(context) else {
            return;
        };
        let Some(echo) = &mut connection.echo else {
            return;
        };
        if let Some(chunk) = echo.chunks.pop_front() {
            connection.upstream.bytes.extend(chunk);
        } else if echo.ended && !connection.upstream.ended {
            connection.upstream.ended = true;
        } else {
            return;
        }
        self.deliver_upstream(context);
    }

    /// Hands what leaves the client's direction to whatever stands at its end.
    pub(super) fn pass_upstreamwards(&mut self, context: u32, bytes: Vec<u8>, ended: bool) {
        let Some(connection) = self.connection_mut(context) else {
            return;
        };
        let Some(echo) = &mut connection.echo else {
            if !bytes.is_empty() {
                self.emit(context, Effect::ToServer(bytes));
            }
            if ended {
                self.emit(context, Effect::EndServer);
            }
            return;
        };
        // One turn of the echo for each thing it has to do.
        if !bytes.is_empty() {
            echo.chunks.push_back(bytes);
            self.echoing.push_back(context);
        }
        if ended && let Some(echo) = self.echo_mut(context) {
            echo.ended = true;
            self.echoing.push_back(context);
        }
    }

    fn echo_mut(&mut self, context: u32) -> Option<&mut Echo> {
        self.connection_mut(context)?.echo.as_mut()
    }
}

/// Version 1 of the PROXY protocol's header, with the addresses of the client's
/// connection.
fn proxy_line(connection: &Connection) -> Vec<u8> {
    let (peer, local) = (connection.peer, connection.local);
    let family = match peer {
        SocketAddr::V4(_) => "TCP4",
        SocketAddr::V6(_) => "TCP6",
    };
    let (from, to) = (peer.ip(), local.ip());
    let (from_port, to_port) = (peer.port(), local.port());
    format!("PROXY {family} {from} {to} {from_port} {to_port}\r\n").into_bytes()
}
