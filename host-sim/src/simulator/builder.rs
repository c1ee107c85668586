//! How a simulation is set up.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use super::Simulator;
use crate::clock::Timestamp;
use crate::error::HostError;
use crate::module::FilterModule;
use crate::observe::LogLevel;
use crate::plugin::Plugin;
use crate::shared::Shared;
use crate::worker::{Recipe, Worker};

/// Settings of a simulation; every one has a default.
pub struct Builder {
    source: Source,
    plugin: Plugin,
    workers: usize,
    server: SocketAddr,
    start: Timestamp,
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
        let shared = Arc::new(Shared::new(Box::new(|_| {})));
        let start_worker = |worker| {
            let recipe = Recipe {
                module: module.clone(),
                plugin: Arc::clone(&plugin),
                shared: Arc::clone(&shared),
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
            server: self.server,
            start: self.start,
            now: self.start,
            next_worker: 0,
            endpoints: BTreeMap::new(),
            logs: Vec::new(),
            traps: Vec::new(),
        };
        simulator.run();
        Ok(simulator)
    }
}
