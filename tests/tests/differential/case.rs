//! One case: what the filter does in which callback, and what client and server do.

use std::time::Duration;

use crate::hostcalls::Do;

/// A small script for a filter and the two ends of its connections.
pub(crate) struct Case {
    /// Also the name of its listener, its `root_id` and its `vm_id`: letters, digits, `_`.
    pub(crate) name: &'static str,
    /// The ABI that the filter says it speaks.
    pub(crate) abi: Abi,
    /// What becomes of connections after a trap.
    pub(crate) on_trap: OnTrap,
    /// How much of a paused client is kept, bytes.
    pub(crate) read_limit: u32,
    /// Whether the server listens.
    pub(crate) server: Server,
    /// The plugin's configuration.
    pub(crate) configuration: &'static str,
    /// What the filter does besides telling its callbacks.
    pub(crate) rules: Vec<Rule>,
    /// What client and server do.
    pub(crate) steps: Vec<Step>,
}

/// The version of the ABI, told by the name of an export.
#[derive(Clone, Copy)]
pub(crate) enum Abi {
    V0_2_0,
    V0_2_1,
}

/// Envoy's `failure_policy`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OnTrap {
    Closed,
    Open,
    /// With this `base_interval`.
    Reload(Duration),
}

/// Whether anybody listens where the server should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    Listens,
    Absent,
}

/// What the filter does in a callback: each time, or one time only, counted from 1.
pub(crate) struct Rule {
    pub(crate) on: On,
    pub(crate) time: Option<u32>,
    pub(crate) does: Vec<Do>,
}

/// A callback of the ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum On {
    ContextCreate,
    VmStart,
    Configure,
    NewConnection,
    DownstreamData,
    UpstreamData,
    DownstreamClose,
    UpstreamClose,
    Done,
    Log,
    Delete,
    Tick,
    QueueReady,
    HttpCallResponse,
    GrpcInitialMetadata,
    GrpcReceive,
    GrpcTrailingMetadata,
    GrpcClose,
}

/// Something that happens on one of the case's connections.
#[derive(Clone)]
pub(crate) struct Step {
    /// Which connection, in the order of opening.
    pub(crate) connection: usize,
    pub(crate) act: Act,
}

#[derive(Clone)]
pub(crate) enum Act {
    /// The client connects.
    Open,
    Client(Vec<u8>),
    Server(Vec<u8>),
    ClientEnds,
    ServerEnds,
    ClientResets,
    ServerResets,
    /// So much time goes by on either clock, and what it brings comes.
    Pass(Duration),
}

impl Case {
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            name,
            abi: Abi::V0_2_1,
            on_trap: OnTrap::Closed,
            read_limit: 1024 * 1024,
            server: Server::Listens,
            configuration: "",
            rules: Vec::new(),
            steps: Vec::new(),
        }
    }

    /// The filter does this in each such callback.
    pub(crate) fn on(self, on: On, does: impl Into<Vec<Do>>) -> Self {
        self.rule(on, None, does.into())
    }

    /// The filter does this in the n-th such callback of its VM, from 1.
    pub(crate) fn on_nth(self, on: On, time: u32, does: impl Into<Vec<Do>>) -> Self {
        self.rule(on, Some(time), does.into())
    }

    fn rule(mut self, on: On, time: Option<u32>, does: Vec<Do>) -> Self {
        self.rules.push(Rule { on, time, does });
        self
    }

    pub(crate) fn steps(mut self, steps: impl Into<Vec<Step>>) -> Self {
        self.steps = steps.into();
        self
    }

    pub(crate) fn abi(mut self, abi: Abi) -> Self {
        self.abi = abi;
        self
    }

    pub(crate) fn on_trap(mut self, on_trap: OnTrap) -> Self {
        self.on_trap = on_trap;
        self
    }

    pub(crate) fn read_limit(mut self, bytes: u32) -> Self {
        self.read_limit = bytes;
        self
    }

    /// Nobody listens where the server should.
    pub(crate) fn without_server(mut self) -> Self {
        self.server = Server::Absent;
        self
    }

    pub(crate) fn configuration(mut self, text: &'static str) -> Self {
        self.configuration = text;
        self
    }

    /// The name of the cluster that is the case's server.
    pub(crate) fn server_cluster(&self) -> String {
        format!("server-of-{}", self.name)
    }

    /// How many connections the case opens.
    pub(crate) fn connections(&self) -> usize {
        let opened = self.steps.iter().map(|step| step.connection + 1);
        opened.max().unwrap_or(0)
    }
}

impl Step {
    /// The same on another connection than the first.
    pub(crate) fn of(mut self, connection: usize) -> Self {
        self.connection = connection;
        self
    }
}

fn step(act: Act) -> Step {
    Step { connection: 0, act }
}

pub(crate) fn open() -> Step {
    step(Act::Open)
}

pub(crate) fn client(bytes: impl Into<Vec<u8>>) -> Step {
    step(Act::Client(bytes.into()))
}

pub(crate) fn server(bytes: impl Into<Vec<u8>>) -> Step {
    step(Act::Server(bytes.into()))
}

pub(crate) fn client_ends() -> Step {
    step(Act::ClientEnds)
}

pub(crate) fn server_ends() -> Step {
    step(Act::ServerEnds)
}

pub(crate) fn client_resets() -> Step {
    step(Act::ClientResets)
}

pub(crate) fn server_resets() -> Step {
    step(Act::ServerResets)
}

pub(crate) fn pass(milliseconds: u64) -> Step {
    step(Act::Pass(Duration::from_millis(milliseconds)))
}
