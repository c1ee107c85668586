//! Clients, a server and a filter between them, on a virtual clock.

mod builder;
mod endpoint;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use builder::Builder;
pub use endpoint::{Inbox, Piece, Taken};

use crate::callouts::{Callout, Callouts};
use crate::clock::Timestamp;
use crate::connection::End;
use crate::observe::{ConnId, LogLine, Summary, TrapReport};
use crate::shared::Shared;
use crate::worker::{Effect, Upstream, Worker};
use endpoint::Endpoint;

/// A host, the filter in it, and both ends of every connection.
///
/// Build one with [`Simulator::builder`], [`open`](Self::open) connections, write
/// on either side, look at what the other side read. Every method runs the
/// filter until nothing more can happen at the present time; only
/// [`advance`](Self::advance) moves the clock. There is no thread and no wall
/// clock: the same calls give the same results.
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
    endpoints: BTreeMap<ConnId, Endpoint>,
    logs: Vec<LogLine>,
    traps: Vec<TrapReport>,
    server_connections: usize,
}

impl Simulator {
    /// Opens a connection on the next worker in turn. The server accepts it at
    /// once, unless the filter holds it.
    pub fn open(&mut self, peer: SocketAddr, local: SocketAddr) -> ConnId {
        let worker = self.next_worker;
        self.next_worker = (worker + 1) % self.workers.len().max(1);
        self.open_on(worker, peer, local)
    }

    /// Opens a connection on this worker (from 0; one too high means the last).
    pub fn open_on(&mut self, worker: usize, peer: SocketAddr, local: SocketAddr) -> ConnId {
        let worker = worker.min(self.workers.len().saturating_sub(1));
        let context = self
            .workers
            .get_mut(worker)
            .map_or(0, |worker| worker.open(peer, local));
        let conn = ConnId { worker, context };
        self.endpoints.insert(conn, Endpoint::default());
        self.run();
        conn
    }

    /// The client writes, in one segment.
    pub fn client_write(&mut self, conn: ConnId, bytes: &[u8]) {
        self.input(conn, |worker| worker.client_bytes(conn.context, bytes));
    }

    /// The server writes, in one segment.
    pub fn server_write(&mut self, conn: ConnId, bytes: &[u8]) {
        let from = self.server;
        self.input(conn, |worker| {
            worker.server_bytes(conn.context, from, bytes);
        });
    }

    /// The client ends its direction and goes on reading.
    pub fn client_half_close(&mut self, conn: ConnId) {
        self.input(conn, |worker| {
            worker.client_end(conn.context, End::HalfClose);
        });
    }

    /// The server ends its direction and goes on reading.
    pub fn server_half_close(&mut self, conn: ConnId) {
        self.input(conn, |worker| {
            worker.server_end(conn.context, End::HalfClose);
        });
    }

    /// The client resets the connection.
    pub fn client_abort(&mut self, conn: ConnId) {
        self.input(conn, |worker| worker.client_end(conn.context, End::Reset));
    }

    /// The server resets the connection.
    pub fn server_abort(&mut self, conn: ConnId) {
        self.input(conn, |worker| worker.server_end(conn.context, End::Reset));
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
    /// each takes a nanosecond at least.
    pub fn advance(&mut self, by: Duration) {
        let until = self.now.after(by);
        while let Some(due) = self.next_event().filter(|due| *due <= until) {
            self.set_now(due.max(self.now));
            for index in 0..self.workers.len() {
                if let Some(worker) = self.workers.get_mut(index) {
                    worker.run_tick();
                }
                self.run();
                while self.workers.get_mut(index).is_some_and(Worker::run_answer) {
                    self.run();
                }
            }
        }
        self.set_now(until);
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

    /// How long until something happens by itself: a tick, or an answer to a call.
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
        self.shared.metrics()
    }

    /// Every HTTP call the filter has made or tried to make, in order.
    #[must_use]
    pub fn callouts(&self) -> Vec<Callout> {
        self.callouts.made()
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

    fn next_event(&self) -> Option<Timestamp> {
        let answers = self.workers.iter().filter_map(Worker::next_answer);
        answers.chain(self.next_tick()).min()
    }

    fn set_now(&mut self, now: Timestamp) {
        self.now = now;
        for worker in &mut self.workers {
            worker.set_now(now);
        }
    }

    fn input(&mut self, conn: ConnId, input: impl FnOnce(&mut Worker)) {
        if let Some(worker) = self.workers.get_mut(conn.worker) {
            input(worker);
        }
        self.run();
    }

    /// Carries out outputs, queue callbacks and echoes until there are none left.
    fn run(&mut self) {
        let mut busy = true;
        while busy {
            busy = false;
            for index in 0..self.workers.len() {
                busy |= self.run_outputs(index);
                if let Some(worker) = self.workers.get_mut(index) {
                    busy |= worker.run_queue();
                    busy |= worker.run_echo();
                }
            }
        }
    }

    fn run_outputs(&mut self, index: usize) -> bool {
        let mut busy = false;
        let at = self.elapsed();
        let Some(worker) = self.workers.get_mut(index) else {
            return false;
        };
        while let Some(output) = worker.poll_output() {
            busy = true;
            let conn = ConnId {
                worker: index,
                context: output.context,
            };
            if matches!(output.effect, Effect::Connect(Upstream::Server)) {
                self.server_connections += 1;
                worker.connected(output.context);
            }
            let endpoint = self.endpoints.entry(conn).or_default();
            endpoint.apply(output.effect, at);
        }
        self.logs.append(&mut worker.take_logs());
        self.traps.append(&mut worker.take_traps());
        busy
    }
}
