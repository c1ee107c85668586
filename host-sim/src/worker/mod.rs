//! One worker: a VM and the connections it serves, without any input or output
//! of its own.
//!
//! An edge (the simulator, the TCP proxy) calls the input methods, then takes
//! [`Output`]s with [`Worker::poll_output`] until there are none. Time comes in by
//! [`Worker::set_now`] before any input. Order within a worker is the order of inputs.

mod answers;
mod deliver;
mod load;
mod route;
mod settle;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use crate::callouts::Callouts;
use crate::clock::Timestamp;
use crate::connection::{Connection, End, Filter, Given, Phase};
use crate::error::HostError;
use crate::module::FilterModule;
use crate::observe::{CloseReason, LogLine, Summary, TrapReport};
use crate::plugin::{FailurePolicy, Plugin};
use crate::shared::Shared;
use crate::vm::{Action, Vm};
use load::fresh_state;

/// Something the edge is to do for a connection.
#[derive(Debug)]
pub(crate) struct Output {
    /// The connection's context.
    pub(crate) context: u32,
    pub(crate) effect: Effect,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Connect to the server, then call `connected` or `connect_failed`; or only
    /// take note of a cluster that the worker plays itself.
    Connect(Upstream),
    /// Write to the server.
    ToServer(Vec<u8>),
    /// End the direction to the server.
    EndServer,
    /// Write to the client.
    ToClient(Vec<u8>),
    /// End the direction to the client.
    EndClient,
    /// Flush what was written to the client, then close both sides.
    Close,
    /// The filter is done with the connection.
    Finished(Summary),
}

impl Effect {
    /// Whether the client has something new to read by it, or learns that it is over.
    pub(crate) fn reaches_client(&self) -> bool {
        match self {
            Self::ToClient(_) | Self::EndClient | Self::Close | Self::Finished(_) => true,
            Self::Connect(_) | Self::ToServer(_) | Self::EndServer => false,
        }
    }
}

/// Where a connection goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Upstream {
    /// To the server.
    Server,
    /// To the echo cluster of this name.
    Echo(String),
}

/// What a worker is made of, kept to make a new VM after a trap.
#[derive(Clone)]
pub(crate) struct Recipe {
    pub(crate) module: FilterModule,
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) shared: Arc<Shared>,
    /// The clusters that calls can name.
    pub(crate) callouts: Arc<Callouts>,
    /// The names of clusters that lead to an echo.
    pub(crate) echo_clusters: Arc<BTreeSet<String>>,
    /// The worker's index.
    pub(crate) worker: usize,
}

/// A VM and its connections.
pub(crate) struct Worker {
    recipe: Recipe,
    vm: Vm,
    /// When the VM was loaded, or last tried to be.
    loaded: Timestamp,
    next_context: u32,
    /// What connections are given that come from now on.
    given: Arc<Given>,
    /// What those are given that are on their way, if anything.
    reserved: BTreeMap<u32, Arc<Given>>,
    outputs: VecDeque<Output>,
    traps: Vec<TrapReport>,
    /// Closed connections whose contexts are still to end.
    ending: VecDeque<u32>,
    /// Connections whose buffer may have room again.
    drained: VecDeque<u32>,
    /// Connections whose echo has something to do.
    echoing: VecDeque<u32>,
}

impl Worker {
    /// Starts the first VM.
    ///
    /// # Errors
    /// As [`Vm::start`].
    pub(crate) fn start(recipe: Recipe, now: Timestamp) -> Result<Self, HostError> {
        let root = 1;
        let vm = Vm::start(&recipe.module, fresh_state(&recipe, now, root, 0))?;
        Ok(Self {
            recipe,
            vm,
            loaded: now,
            next_context: root + 1,
            given: Arc::default(),
            reserved: BTreeMap::new(),
            outputs: VecDeque::new(),
            traps: Vec::new(),
            ending: VecDeque::new(),
            drained: VecDeque::new(),
            echoing: VecDeque::new(),
        })
    }

    /// Sets the time of what comes next.
    pub(crate) fn set_now(&mut self, now: Timestamp) {
        self.vm.state_mut().now = now;
    }

    /// A client has connected. Gives the context it is known by.
    pub(crate) fn open(&mut self, peer: SocketAddr, local: SocketAddr) -> u32 {
        let context = self.reserve();
        self.admit(context, peer, local);
        context
    }

    /// Gives a property to connections that come from now on.
    pub(crate) fn give(&mut self, path: &str, value: &[u8]) {
        Arc::make_mut(&mut self.given).insert(path.to_owned(), value.to_vec());
    }

    /// The context of a client that is still on its way.
    pub(crate) fn reserve(&mut self) -> u32 {
        let context = self.next_context;
        self.next_context += 1;
        if !self.given.is_empty() {
            self.reserved.insert(context, Arc::clone(&self.given));
        }
        context
    }

    /// A client has connected, whose context was reserved.
    pub(crate) fn accept(&mut self, context: u32, peer: SocketAddr, local: SocketAddr) {
        self.admit(context, peer, local);
    }

    fn admit(&mut self, context: u32, peer: SocketAddr, local: SocketAddr) {
        self.reload_if_due();
        let dead = self.vm.is_dead();
        let state = self.vm.state_mut();
        let filter = if dead {
            Filter::Nobody
        } else {
            state.introduce(context)
        };
        let given = self.reserved.remove(&context).unwrap_or_default();
        let connection = Connection::new(context, filter, (peer, local), given, state.now);
        state.connections.insert(context, connection);
        match (dead, self.recipe.plugin.failure_policy) {
            (false, _) => self.greet(context),
            (true, FailurePolicy::Open) => self.connect(context),
            (true, FailurePolicy::Closed | FailurePolicy::Reload { .. }) => self.fail(context),
        }
        self.settle();
    }

    fn greet(&mut self, context: u32) {
        let root = self.vm.state().root_context;
        self.call(context, |vm| vm.context_create(context, root));
        let action = self.call(context, |vm| vm.new_connection(context));
        if action == Some(Action::Continue) {
            self.connect(context);
        }
    }

    /// Whether the server is being connected to.
    pub(crate) fn is_connecting(&self, context: u32) -> bool {
        let connection = self.connection(context);
        connection.is_some_and(|connection| connection.phase == Phase::Connecting)
    }

    /// The server has been reached there: bytes may flow.
    pub(crate) fn connected(&mut self, context: u32, server: SocketAddr) {
        if let Some(connection) = self.connection_mut(context)
            && connection.phase == Phase::Connecting
        {
            connection.phase = Phase::Open;
            connection.server = Some(server);
            self.read_client(context);
        }
        self.settle();
    }

    /// The server could not be reached.
    pub(crate) fn connect_failed(&mut self, context: u32) {
        if self.is_connecting(context) {
            self.close(context, CloseReason::ConnectFailed);
        }
        self.settle();
    }

    /// The client wrote; nothing is lost when the host does not read now.
    pub(crate) fn client_bytes(&mut self, context: u32, bytes: &[u8]) {
        if let Some(connection) = self.connection_mut(context)
            && !connection.is_closed()
        {
            connection.unread.bytes.extend_from_slice(bytes);
            self.read_client(context);
        }
        self.settle();
    }

    /// The client ended its direction or is gone.
    pub(crate) fn client_end(&mut self, context: u32, end: End) {
        if let Some(connection) = self.connection_mut(context) {
            connection.unread.end.get_or_insert(end);
            self.read_client(context);
        }
        self.settle();
    }

    /// The server, reached at `from`, wrote.
    pub(crate) fn server_bytes(&mut self, context: u32, from: SocketAddr, bytes: &[u8]) {
        if let Some(connection) = self.connection_mut(context)
            && connection.phase == Phase::Open
            && connection.echo.is_none()
        {
            connection.server = Some(from);
            connection.upstream.bytes.extend_from_slice(bytes);
            self.deliver_upstream(context);
        }
        self.settle();
    }

    /// The server ended its direction or is gone.
    pub(crate) fn server_end(&mut self, context: u32, end: End) {
        let open = self
            .connection_mut(context)
            .filter(|connection| connection.phase == Phase::Open && connection.echo.is_none());
        match (open, end) {
            (Some(connection), End::Reset) if connection.upstream.ended => {
                connection.gone.server = true;
            }
            (Some(connection), End::HalfClose) if !connection.upstream.ended => {
                connection.upstream.ended = true;
                self.deliver_upstream(context);
            }
            (Some(_), End::Reset) => self.close(context, CloseReason::ServerReset),
            (Some(_), End::HalfClose) | (None, _) => {}
        }
        self.settle();
    }

    /// The host itself ends a connection.
    pub(crate) fn end_session(&mut self, context: u32, reason: CloseReason) {
        self.close(context, reason);
        self.settle();
    }

    /// When the filter wants its next tick.
    pub(crate) fn next_tick(&self) -> Option<Timestamp> {
        if self.vm.is_dead() {
            return None;
        }
        self.vm.state().tick.map(|tick| tick.due)
    }

    /// Calls `on_tick` if it is due.
    pub(crate) fn run_tick(&mut self) {
        let now = self.vm.state().now;
        if self.next_tick().is_none_or(|due| due > now) {
            return;
        }
        let root = self.vm.state().root_context;
        self.call(root, Vm::tick);
        if let Some(tick) = &mut self.vm.state_mut().tick {
            tick.due = now.after(tick.period);
        }
        self.settle();
    }

    /// When the next `on_queue_ready` that this worker is owed is due.
    pub(crate) fn next_queue(&self) -> Option<Timestamp> {
        self.recipe.shared.next_ready_at(self.recipe.worker)
    }

    /// Calls `on_queue_ready` once, if this worker is owed a call.
    pub(crate) fn run_queue(&mut self) -> bool {
        let shared = Arc::clone(&self.recipe.shared);
        let Some(ready) = shared.next_ready(self.recipe.worker) else {
            return false;
        };
        if ready.context == self.vm.state().root_context {
            self.call(ready.context, |vm| vm.queue_ready(ready.token));
            self.settle();
        }
        true
    }

    /// The next thing the edge has to do.
    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Log lines since the last call.
    pub(crate) fn take_logs(&mut self) -> Vec<LogLine> {
        std::mem::take(&mut self.vm.state_mut().logs)
    }

    /// Traps since the last call.
    pub(crate) fn take_traps(&mut self) -> Vec<TrapReport> {
        std::mem::take(&mut self.traps)
    }

    /// Whether bytes from this client would be read now.
    pub(crate) fn wants_client_bytes(&self, context: u32) -> bool {
        let limit = self.recipe.plugin.read_limit;
        let connection = self.connection(context);
        connection.is_some_and(|connection| connection.wants_client_bytes(limit))
    }

    pub(crate) fn connection(&self, context: u32) -> Option<&Connection> {
        self.vm.state().connections.get(&context)
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.vm.memory_bytes()
    }

    pub(crate) fn instructions(&self) -> Option<u64> {
        self.vm.instructions()
    }

    fn connection_mut(&mut self, context: u32) -> Option<&mut Connection> {
        self.vm.state_mut().connections.get_mut(&context)
    }

    fn emit(&mut self, context: u32, effect: Effect) {
        self.outputs.push_back(Output { context, effect });
    }
}
