//! Clients, a server and a filter between them, on a virtual clock.

mod builder;
mod drive;
mod endpoint;
mod inputs;
mod many;
mod queries;
mod responder;
mod trace;
mod wire;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

pub use builder::Builder;
pub use endpoint::{Inbox, Piece, Taken};
pub use responder::{Heard, Responder, Said};

use crate::callouts::{Callout, Callouts, GrpcCallout};
use crate::chance::{Chance, Order, Way};
use crate::clock::Timestamp;
use crate::connection::End;
use crate::metrics::MetricValue;
use crate::observe::{ConnId, LogLine, Summary, TrapReport};
use crate::shared::Shared;
use crate::worker::{Upstream, Worker};
use endpoint::Endpoint;
use trace::Trace;
use wire::{Input, Wire};

/// How the server meets a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerState {
    /// It accepts.
    #[default]
    Accepting,
    /// Nobody listens there: the client's connection is closed.
    Refusing,
    /// It does not answer: the client's connection is closed after the cluster's
    /// `connect_timeout`, 5 seconds.
    Silent,
}

/// A host, the filter in it, and both ends of every connection.
///
/// Build one with [`Simulator::builder`], [`open`](Self::open) connections, write
/// on either side, look at what the other side read. Every method runs the
/// filter until nothing more can happen at the present time; only
/// [`advance`](Self::advance) moves the clock. There is no thread and no wall
/// clock: the same calls give the same results.
///
/// Where several things could happen, they happen in one fixed order: connections
/// go to the workers in turn, and at one time come outputs, queues and echoes, of
/// the first worker first; then ticks before answers to calls, again by worker.
/// With [`Builder::seed`] they happen in the order that the seed gives, and only
/// while the clock moves: see there.
///
/// ```
/// use portcullis_host_sim::{FilterModule, Simulator};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // A filter without callbacks lets everything pass.
/// let module = FilterModule::from_bytes(&wat::parse_str(
///     r#"(module (memory (export "memory") 1)
///          (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 0))"#,
/// )?)?;
/// let mut sim = Simulator::builder_for(&module)
///     .plugin_config(b"{}")
///     .workers(2)
///     .build()?;
/// let conn = sim.open("203.0.113.7:40001".parse()?, "192.0.2.25:25".parse()?);
/// sim.server_write(conn, b"220 mx.example.test ESMTP\r\n");
/// assert_eq!(sim.take_client(conn).bytes, b"220 mx.example.test ESMTP\r\n");
/// # Ok(())
/// # }
/// ```
pub struct Simulator {
    workers: Vec<Worker>,
    shared: Arc<Shared>,
    callouts: Arc<Callouts>,
    server: SocketAddr,
    start: Timestamp,
    now: Timestamp,
    next_worker: usize,
    endpoints: HashMap<ConnId, Endpoint>,
    /// Whose client has something new to read.
    heard: Vec<ConnId>,
    logs: Vec<LogLine>,
    traps: Vec<TrapReport>,
    server_connections: usize,
    chance: Arc<Chance>,
    wire: Wire,
    /// The way to each worker's listening socket.
    doors: BTreeMap<usize, Way>,
    segments: Option<RangeInclusive<usize>>,
    server_state: ServerState,
    server_delay: RangeInclusive<Duration>,
    responder: Option<Box<dyn Responder>>,
    trace: Trace,
    contended: u64,
}

impl Simulator {
    /// Opens a connection on the next worker in turn; with a seed, on any, as the
    /// kernel chooses between listening workers. The server accepts it at once,
    /// unless the filter holds it or there is a seed.
    pub fn open(&mut self, peer: SocketAddr, local: SocketAddr) -> ConnId {
        let worker = match self.chance.order() {
            Order::Fixed => self.next_worker,
            Order::Seeded(_) => self.chance.place(self.workers.len()),
        };
        self.next_worker = (worker + 1) % self.workers.len().max(1);
        self.open_on(worker, peer, local)
    }

    /// Opens a connection on this worker (from 0; one too high means the last).
    pub fn open_on(&mut self, worker: usize, peer: SocketAddr, local: SocketAddr) -> ConnId {
        let index = worker.min(self.workers.len().saturating_sub(1));
        match self.chance.order() {
            Order::Fixed => self.open_now(index, peer, local),
            Order::Seeded(_) => self.open_later(index, peer, local),
        }
    }

    /// Gives connections opened from now on a property in place of the one that they would have,
    /// or besides: by its path, such as `["connection", "requested_server_name"]`, as the bytes
    /// that a filter reads (texts as they are, numbers little-endian in 8, a truth value in 1).
    /// Addresses are chosen by [`Simulator::open`] itself.
    pub fn give_property(&mut self, path: &[&str], value: &[u8]) {
        let path = path.join("\0");
        for worker in &mut self.workers {
            worker.give(&path, value);
        }
    }

    /// The client writes, in one segment unless [`Builder::segments`] says otherwise.
    pub fn client_write(&mut self, conn: ConnId, bytes: &[u8]) {
        for segment in self.cut(bytes) {
            self.client_does(conn, Input::ClientWrote(segment));
        }
    }

    /// The server writes, likewise. With a seed, what it is told to write before
    /// it is reached waits until then; otherwise that is lost.
    pub fn server_write(&mut self, conn: ConnId, bytes: &[u8]) {
        for segment in self.cut(bytes) {
            self.server_does(conn, Input::ServerWrote(segment));
        }
    }

    /// The client ends its direction and goes on reading.
    pub fn client_half_close(&mut self, conn: ConnId) {
        self.client_does(conn, Input::ClientEnded(End::HalfClose));
    }

    /// The server ends its direction and goes on reading.
    pub fn server_half_close(&mut self, conn: ConnId) {
        self.server_does(conn, Input::ServerEnded(End::HalfClose));
    }

    /// The client resets the connection.
    pub fn client_abort(&mut self, conn: ConnId) {
        self.client_does(conn, Input::ClientEnded(End::Reset));
    }

    /// The server resets the connection.
    pub fn server_abort(&mut self, conn: ConnId) {
        self.server_does(conn, Input::ServerEnded(End::Reset));
    }

    /// Everything the client has read so far, piece by piece.
    #[must_use]
    pub fn client_inbox(&self, conn: ConnId) -> Inbox {
        self.endpoint(conn, |endpoint| endpoint.client.clone())
    }

    /// Everything the server has read so far, piece by piece.
    #[must_use]
    pub fn server_inbox(&self, conn: ConnId) -> Inbox {
        self.endpoint(conn, |endpoint| endpoint.server.clone())
    }

    /// What the client has read since the last call.
    pub fn take_client(&mut self, conn: ConnId) -> Taken {
        let endpoint = self.endpoints.get_mut(&conn);
        endpoint.map_or_else(Taken::default, |endpoint| endpoint.client.take())
    }

    /// What the server has read since the last call.
    pub fn take_server(&mut self, conn: ConnId) -> Taken {
        let endpoint = self.endpoints.get_mut(&conn);
        endpoint.map_or_else(Taken::default, |endpoint| endpoint.server.take())
    }

    /// Whether the host has stopped reading this client because the filter
    /// holds too much of what it wrote.
    #[must_use]
    pub fn client_is_blocked(&self, conn: ConnId) -> bool {
        let worker = self.workers.get(conn.worker);
        worker.is_some_and(|worker| {
            worker.connection(conn.context).is_some() && !worker.wants_client_bytes(conn.context)
        })
    }

    /// Moves the clock, firing the filter's ticks and delivering answers to its
    /// HTTP calls in order on the way: ticks before answers at the same time, and
    /// answers in the order of the calls. Nothing else delivers an answer, and
    /// each takes a nanosecond at least. With a seed, everything happens here.
    pub fn advance(&mut self, by: Duration) {
        self.run_until(self.now.after(by));
    }

    /// Sets the clock on the wall, which is what the filter reads as the time, forward or
    /// back. Ticks, time limits and everything else here go by the time that passes, and
    /// do not notice.
    pub fn set_wall_clock(&mut self, to: Timestamp) {
        self.shared.set_wall(self.now, to);
    }

    /// How the server meets connections from now on; it accepts them at first.
    pub fn set_server(&mut self, server: ServerState) {
        self.server_state = server;
    }

    /// Moves the clock until nothing is on its way any more: no bytes, no queue's
    /// item, no answer to a call. Ticks fire meanwhile, and are not waited for.
    /// Gives up after `limit`; says whether it became quiet.
    #[must_use]
    pub fn advance_until_quiet(&mut self, limit: Duration) -> bool {
        let until = self.now.after(limit);
        while let Some(due) = self.next_consequence() {
            if due > until {
                self.run_until(until);
                return false;
            }
            self.run_until(due.max(self.now));
        }
        true
    }

    /// A number of this range, drawn from the seed: what a test chooses by it is
    /// chosen again when the seed is replayed.
    pub fn draw(&mut self, range: RangeInclusive<u64>) -> u64 {
        self.chance.draw(range)
    }

    /// The seed of this run, if it has one.
    #[must_use]
    pub fn seed(&self) -> Option<u64> {
        match self.chance.order() {
            Order::Fixed => None,
            Order::Seeded(seed) => Some(seed),
        }
    }

    /// What happened, one line each: time, worker, context (0 where it is the
    /// root's), what. Bytes are shown by their beginning and a digest, and so are
    /// the lines beyond the first 4 MiB. Two runs with the same seed, calls and
    /// compiler have the same text.
    #[must_use]
    pub fn trace(&self) -> String {
        self.trace.text()
    }

    /// How often a compare-and-swap has failed by [`Builder::contention`].
    #[must_use]
    pub fn contentions(&self) -> u64 {
        self.shared.contended()
    }

    /// Time since the simulation began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.now.since(self.start)
    }

    /// How long until the filter's next tick, if one is armed.
    #[must_use]
    pub fn until_next_tick(&self) -> Option<Duration> {
        self.next_tick().map(|due| due.since(self.now))
    }

    /// How long until something happens by itself: a tick, an answer to a call, or
    /// the arrival of what is on its way.
    #[must_use]
    pub fn until_next_event(&self) -> Option<Duration> {
        self.next_event().map(|due| due.since(self.now))
    }

    /// The moment `at` as time since the simulation began.
    #[must_use]
    pub fn since_start(&self, at: Timestamp) -> Duration {
        at.since(self.start)
    }

    /// Everything the filter has logged.
    #[must_use]
    pub fn logs(&self) -> &[LogLine] {
        &self.logs
    }

    /// Every trap so far.
    #[must_use]
    pub fn traps(&self) -> &[TrapReport] {
        &self.traps
    }

    /// Every metric by name: a counter's or gauge's value, a histogram's number of samples.
    #[must_use]
    pub fn metrics(&self) -> BTreeMap<String, u64> {
        let metrics = self.shared.metrics();
        let numbers = metrics
            .all()
            .map(|(name, value)| (name.to_owned(), value.number()));
        numbers.collect()
    }

    /// Every metric, by name and then by kind: a counter and a gauge may share a name.
    #[must_use]
    pub fn metric_values(&self) -> Vec<(String, MetricValue)> {
        let metrics = self.shared.metrics();
        let values = metrics.all().map(|(name, value)| (name.to_owned(), value));
        values.collect()
    }

    /// Every HTTP call the filter has made or tried to make, in order.
    #[must_use]
    pub fn callouts(&self) -> Vec<Callout> {
        self.callouts.made()
    }

    /// Every gRPC call and stream the filter has made, in order.
    #[must_use]
    pub fn grpc_callouts(&self) -> Vec<GrpcCallout> {
        self.callouts.grpc_made()
    }

    /// The echo cluster this connection was routed to; `None` for one that went
    /// to the server, or nowhere yet.
    #[must_use]
    pub fn upstream_cluster(&self, conn: ConnId) -> Option<&str> {
        match self.endpoints.get(&conn)?.upstream.as_ref()? {
            Upstream::Server => None,
            Upstream::Echo(name) => Some(name),
        }
    }

    /// Whether this connection has gone on to the server; one that the filter routed
    /// elsewhere, or still holds, has not.
    #[must_use]
    pub fn reached_server(&self, conn: ConnId) -> bool {
        self.endpoints
            .get(&conn)
            .is_some_and(|endpoint| endpoint.reached)
    }

    /// How many connections have reached the server.
    #[must_use]
    pub fn server_connections(&self) -> usize {
        self.server_connections
    }

    /// What the filter has set with `proxy_set_property` on this connection.
    #[must_use]
    pub fn properties(&self, conn: ConnId) -> BTreeMap<String, Vec<u8>> {
        if let Some(summary) = self.summary(conn) {
            return summary.properties.clone();
        }
        let worker = self.workers.get(conn.worker);
        worker
            .and_then(|worker| worker.connection(conn.context))
            .map_or_else(BTreeMap::new, |connection| connection.filter_state.clone())
    }

    /// What the filter has set with the foreign function `set_envoy_filter_state`
    /// on this connection, while it lives.
    #[must_use]
    pub fn envoy_filter_state(&self, conn: ConnId) -> BTreeMap<String, String> {
        let worker = self.workers.get(conn.worker);
        worker
            .and_then(|worker| worker.connection(conn.context))
            .map_or_else(BTreeMap::new, |connection| {
                connection.envoy_filter_state.clone()
            })
    }

    /// How the session went, once it is over.
    #[must_use]
    pub fn summary(&self, conn: ConnId) -> Option<&Summary> {
        self.endpoints.get(&conn)?.summary.as_ref()
    }

    /// Bytes of linear memory over all workers' VMs.
    #[must_use]
    pub fn wasm_memory_bytes(&self) -> usize {
        self.workers.iter().map(Worker::memory_bytes).sum()
    }

    fn endpoint<T: Default>(&self, conn: ConnId, read: impl FnOnce(&Endpoint) -> T) -> T {
        self.endpoints.get(&conn).map_or_else(T::default, read)
    }

    fn next_tick(&self) -> Option<Timestamp> {
        self.workers.iter().filter_map(Worker::next_tick).min()
    }

    fn set_now(&mut self, now: Timestamp) {
        self.now = now;
        for worker in &mut self.workers {
            worker.set_now(now);
        }
    }
}
