//! How a simulation is set up.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::trace::Trace;
use super::wire::Wire;
use super::{Responder, ServerState, Simulator};
use crate::callouts::{Answerer, Callouts, Cluster, GrpcAnswerer};
use crate::chance::{Chance, Order};
use crate::clock::Timestamp;
use crate::error::HostError;
use crate::module::FilterModule;
use crate::observe::LogLevel;
use crate::plugin::{FailurePolicy, Plugin};
use crate::shared::Shared;
use crate::worker::{Recipe, Worker};

/// Settings of a simulation; every one has a default.
pub struct Builder {
    source: Source,
    plugin: Plugin,
    workers: usize,
    server: SocketAddr,
    start: Timestamp,
    clusters: BTreeMap<String, Cluster>,
    echo_clusters: BTreeSet<String>,
    order: Order,
    contention: u8,
    segments: Option<RangeInclusive<usize>>,
    server_delay: RangeInclusive<Duration>,
    responder: Option<Box<dyn Responder>>,
}

enum Source {
    File(PathBuf),
    Module(FilterModule),
}

impl Simulator {
    /// Begins a simulation of the filter in this file.
    #[must_use]
    pub fn builder(wasm: impl Into<PathBuf>) -> Builder {
        Builder::new(Source::File(wasm.into()))
    }

    /// Begins a simulation of a filter already compiled: the way to run many.
    #[must_use]
    pub fn builder_for(module: &FilterModule) -> Builder {
        Builder::new(Source::Module(module.clone()))
    }
}

impl Builder {
    fn new(source: Source) -> Self {
        Self {
            source,
            plugin: Plugin::default(),
            workers: 1,
            server: SocketAddr::from((Ipv4Addr::new(198, 51, 100, 25), 25)),
            start: Timestamp::SIMULATION_START,
            clusters: BTreeMap::new(),
            echo_clusters: BTreeSet::new(),
            order: Order::Fixed,
            contention: 0,
            segments: None,
            server_delay: Duration::ZERO..=Duration::ZERO,
            responder: None,
        }
    }

    /// The bytes the filter reads as its plugin configuration; none by default.
    #[must_use]
    pub fn plugin_config(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.plugin.configuration = bytes.into();
        self
    }

    /// The bytes the filter reads as its VM configuration; none by default.
    #[must_use]
    pub fn vm_config(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.plugin.vm_configuration = bytes.into();
        self
    }

    /// The plugin's `name`, which the filter may read as `plugin_name`.
    #[must_use]
    pub fn plugin_name(mut self, name: impl Into<String>) -> Self {
        self.plugin.name = name.into();
        self
    }

    /// The plugin's `root_id`, which the filter may read as `plugin_root_id`; empty by
    /// default.
    #[must_use]
    pub fn root_id(mut self, root_id: impl Into<String>) -> Self {
        self.plugin.root_id = root_id.into();
        self
    }

    /// The VM's `vm_id`, which the filter may read as `plugin_vm_id`, and by which its
    /// queues are resolved.
    #[must_use]
    pub fn vm_id(mut self, vm_id: impl Into<String>) -> Self {
        self.plugin.vm_id = vm_id.into();
        self
    }

    /// Envoy's `node`, which the filter may read as `xds.node.id` and `xds.node.cluster`;
    /// empty by default.
    #[must_use]
    pub fn node(mut self, id: impl Into<String>, cluster: impl Into<String>) -> Self {
        self.plugin.node_id = id.into();
        self.plugin.node_cluster = cluster.into();
        self
    }

    /// The name of the server's cluster, which the filter may read as
    /// `xds.cluster_name` once the server is reached.
    #[must_use]
    pub fn server_cluster(mut self, name: impl Into<String>) -> Self {
        self.plugin.cluster = name.into();
        self
    }

    /// What becomes of new connections after a trap. By default each trap is followed
    /// by a new VM, without back-off.
    #[must_use]
    pub fn failure_policy(mut self, policy: FailurePolicy) -> Self {
        self.plugin.failure_policy = policy;
        self
    }

    /// How many workers, each with a VM; 1 by default, never none.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers.max(1);
        self
    }

    /// The level below which log lines are dropped; info by default.
    #[must_use]
    pub fn log_level(mut self, level: LogLevel) -> Self {
        self.plugin.log_level = level;
        self
    }

    /// How many bytes of a paused client are kept before the host stops reading
    /// it; 1 MiB by default, as Envoy's `per_connection_buffer_limit_bytes`.
    #[must_use]
    pub fn read_limit(mut self, bytes: usize) -> Self {
        self.plugin.read_limit = bytes.max(1);
        self
    }

    /// The server's address, which the filter may read as `upstream.address`.
    #[must_use]
    pub fn server(mut self, address: SocketAddr) -> Self {
        self.server = address;
        self
    }

    /// The time at which the simulation begins; [`Timestamp::SIMULATION_START`] by default.
    #[must_use]
    pub fn start_at(mut self, start: Timestamp) -> Self {
        self.start = start;
        self
    }

    /// A cluster that the filter's HTTP calls can name, and what it answers. The
    /// answers come while [`Simulator::advance`] moves the clock.
    ///
    /// ```
    /// use std::time::Duration;
    /// use portcullis_host_sim::{HttpAnswer, HttpRequest, Simulator};
    ///
    /// let builder = Simulator::builder("filter.wasm")
    ///     .cluster("names", |request: &HttpRequest| match request.header(":path") {
    ///         Some("/slow") => HttpAnswer::respond(200, &[], "at last")
    ///             .after(Duration::from_millis(300)),
    ///         Some("/dead") => HttpAnswer::Refused,
    ///         _ => HttpAnswer::respond(404, &[], ""),
    ///     })
    ///     .empty_cluster("names-elsewhere");
    /// # drop(builder);
    /// ```
    #[must_use]
    pub fn cluster(mut self, name: impl Into<String>, answerer: impl Answerer) -> Self {
        let cluster = self.clusters.entry(name.into()).or_default();
        cluster.http = Some(Box::new(answerer));
        self
    }

    /// A cluster that the filter's gRPC calls and streams can name, and what it says; it
    /// may answer HTTP calls, too. What it says comes while [`Simulator::advance`] moves
    /// the clock.
    ///
    /// ```
    /// use portcullis_host_sim::{GrpcHeard, GrpcRequest, GrpcSaid, Simulator};
    ///
    /// let builder = Simulator::builder("filter.wasm").grpc_cluster(
    ///     "limits",
    ///     |request: &GrpcRequest, heard: GrpcHeard<'_>| match (request.method.as_str(), heard) {
    ///         ("Check", GrpcHeard::Message(_)) => GrpcSaid::message("ok").and_close(0, ""),
    ///         (_, GrpcHeard::Opened) => GrpcSaid::close(12, "no such method"),
    ///         _ => GrpcSaid::nothing(),
    ///     },
    /// );
    /// # drop(builder);
    /// ```
    #[must_use]
    pub fn grpc_cluster(mut self, name: impl Into<String>, answerer: impl GrpcAnswerer) -> Self {
        let cluster = self.clusters.entry(name.into()).or_default();
        cluster.grpc = Some(Box::new(answerer));
        self
    }

    /// A cluster without hosts: calls to it fail at once.
    #[must_use]
    pub fn empty_cluster(mut self, name: impl Into<String>) -> Self {
        self.clusters.entry(name.into()).or_default().empty = true;
        self
    }

    /// A cluster that leads a connection to an echo in place of the server, its
    /// first words being the connection's own `PROXY` line. In Envoy it has the
    /// `upstream_proxy_protocol` transport socket (version 1), and its endpoint is
    /// an internal listener with the echo filter.
    #[must_use]
    pub fn echo_cluster(mut self, name: impl Into<String>) -> Self {
        self.echo_clusters.insert(name.into());
        self
    }

    /// Lets this seed choose wherever real Envoy leaves the order to threads, the
    /// kernel and other machines; without one there is one fixed order.
    ///
    /// Everything then takes its time to the host, up to 200 microseconds: clients,
    /// what either side writes, the connection to the server, a queue's items,
    /// answers to calls. What meets at one time, as ticks do, comes in any order.
    /// So nothing happens in a call that writes or opens, but while
    /// [`Simulator::advance`] or [`Simulator::advance_until_quiet`] moves the clock.
    ///
    /// Kept is what Envoy keeps: one callback at a time on a worker, a connection
    /// on one worker, the order of a worker's new connections, of each side's bytes
    /// and of each queue's items.
    ///
    /// ```
    /// use std::time::Duration;
    /// use portcullis_host_sim::{FilterModule, Simulator};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let module = FilterModule::from_bytes(&wat::parse_str(
    /// #   r#"(module (memory (export "memory") 1)
    /// #        (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 0))"#,
    /// # )?)?;
    /// let run = |seed| -> Result<String, Box<dyn std::error::Error>> {
    ///     let mut sim = Simulator::builder_for(&module).workers(2).seed(seed).build()?;
    ///     for port in 40_001..40_005 {
    ///         let conn = sim.open(([203, 0, 113, 7], port).into(), "192.0.2.25:25".parse()?);
    ///         sim.client_write(conn, b"EHLO a\r\n");
    ///     }
    ///     assert!(sim.advance_until_quiet(Duration::from_secs(1)));
    ///     Ok(sim.trace())
    /// };
    /// assert_eq!(run(1)?, run(1)?);
    /// assert_ne!(run(1)?, run(2)?);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.order = Order::Seeded(seed);
        self
    }

    /// Of a hundred changes of shared data with a matching compare-and-swap number,
    /// so many fail as if another worker had just written the same bytes; none by
    /// default. At most three in a row fail for one value, so that a loop that
    /// reads and tries again comes to its end.
    ///
    /// Callbacks run one after the other here: this is how two workers meet between
    /// the reading and the writing. A new key is never compared, as in Envoy, and so
    /// never fails.
    #[must_use]
    pub fn contention(mut self, percent: u8) -> Self {
        self.contention = percent;
        self
    }

    /// Cuts everything that either side writes into segments of so many octets,
    /// drawn anew for each; by default a write is one segment. With a seed each
    /// is on its way by itself, so that the filter sees them at different times;
    /// without one, they are cut the same way in every run.
    ///
    /// ```
    /// # use portcullis_host_sim::{FilterModule, Simulator};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let module = FilterModule::from_bytes(&wat::parse_str(
    /// #   r#"(module (memory (export "memory") 1)
    /// #        (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 0))"#,
    /// # )?)?;
    /// let mut sim = Simulator::builder_for(&module).segments(1..=3).build()?;
    /// let conn = sim.open("203.0.113.7:40001".parse()?, "192.0.2.25:25".parse()?);
    /// sim.client_write(conn, b"EHLO a\r\n");
    /// let inbox = sim.server_inbox(conn);
    /// assert!(inbox.pieces.iter().all(|piece| piece.bytes.len() <= 3));
    /// assert_eq!(inbox.bytes(), b"EHLO a\r\n");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn segments(mut self, octets: RangeInclusive<usize>) -> Self {
        self.segments = Some(octets);
        self
    }

    /// How long everything the server does takes, chosen anew each time; no time by
    /// default. Its words stay in order.
    #[must_use]
    pub fn server_delay(mut self, range: RangeInclusive<Duration>) -> Self {
        self.server_delay = range;
        self
    }

    /// Lets a server answer by itself, besides what
    /// [`Simulator::server_write`] says.
    ///
    /// ```
    /// use std::time::Duration;
    /// use portcullis_host_sim::mta::{Mailboxes, SimulatedMta};
    /// use portcullis_host_sim::{ConnId, Heard, Said, Simulator};
    ///
    /// let mta = SimulatedMta::new(Mailboxes::new("example.test", ["alice"]));
    /// let builder = Simulator::builder("filter.wasm")
    ///     .responder(mta)
    ///     .server_delay(Duration::ZERO..=Duration::from_millis(30));
    /// # drop(builder);
    /// let builder = Simulator::builder("filter.wasm").responder(
    ///     |_: ConnId, heard: Heard<'_>| match heard {
    ///         Heard::Connected => Said::bytes("220 ready\r\n"),
    ///         Heard::Bytes(_) => Said::bytes("421 4.3.2 not now\r\n").and_close(),
    ///         Heard::Ended => Said::nothing().and_close(),
    ///         Heard::Gone => Said::nothing(),
    ///     },
    /// );
    /// # drop(builder);
    /// ```
    #[must_use]
    pub fn responder(mut self, responder: impl Responder) -> Self {
        self.responder = Some(Box::new(responder));
        self
    }

    /// Loads the filter and starts every worker's VM.
    ///
    /// # Errors
    /// When the module cannot be loaded, or the filter traps or refuses its
    /// configuration while starting.
    pub fn build(self) -> Result<Simulator, HostError> {
        let module = match self.source {
            Source::File(path) => FilterModule::from_file(&path)?,
            Source::Module(module) => module,
        };
        let plugin = Arc::new(self.plugin);
        let chance = Arc::new(Chance::new(self.order, self.contention));
        let shared = Arc::new(Shared::new(Box::new(|_| {}), Arc::clone(&chance)));
        let callouts = Arc::new(Callouts::new(self.clusters, Arc::clone(&chance)));
        let echo_clusters = Arc::new(self.echo_clusters);
        let start_worker = |worker| {
            let recipe = Recipe {
                module: module.clone(),
                plugin: Arc::clone(&plugin),
                shared: Arc::clone(&shared),
                callouts: Arc::clone(&callouts),
                echo_clusters: Arc::clone(&echo_clusters),
                worker,
            };
            Worker::start(recipe, self.start)
        };
        let workers = (0..self.workers)
            .map(start_worker)
            .collect::<Result<_, _>>()?;
        let mut simulator = Simulator {
            workers,
            shared,
            callouts,
            server: self.server,
            start: self.start,
            now: self.start,
            next_worker: 0,
            endpoints: HashMap::new(),
            heard: Vec::new(),
            logs: Vec::new(),
            traps: Vec::new(),
            server_connections: 0,
            chance,
            wire: Wire::default(),
            doors: BTreeMap::new(),
            segments: self.segments,
            server_state: ServerState::default(),
            server_delay: self.server_delay,
            responder: self.responder,
            trace: Trace::default(),
            contended: 0,
        };
        match self.order {
            Order::Fixed => simulator.run(),
            Order::Seeded(_) => simulator.collect(),
        }
        Ok(simulator)
    }
}
