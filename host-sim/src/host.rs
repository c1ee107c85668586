//! The state behind one VM's hostcalls.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use wasmtime::{Memory, TypedFunc};

use crate::callouts::{Callouts, GrpcStreams, GrpcTold, HttpRequest, HttpResponse, PendingCall};
use crate::clock::Timestamp;
use crate::connection::{Connection, Filter};
use crate::metrics::MetricIds;
use crate::observe::{LogLevel, LogLine};
use crate::plugin::Plugin;
use crate::shared::Shared;
use crate::status::Status;

/// Every VM's first context is the root's; 0 is the VM's own.
const ROOT_ID: u32 = 1;

/// What the hostcalls of one VM read and change.
pub(crate) struct HostState {
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) worker: usize,
    pub(crate) generation: u32,
    pub(crate) now: Timestamp,
    /// The root's id on its worker.
    pub(crate) root_context: u32,
    /// The worker's id behind each of the guest's, which every VM counts anew.
    pub(crate) contexts: BTreeMap<u32, u32>,
    /// The guest's id for the next context.
    pub(crate) next_id: u32,
    /// The context the running callback is for.
    pub(crate) current: u32,
    /// The context hostcalls act on; 0 stands for `current`.
    pub(crate) effective: u32,
    pub(crate) connections: BTreeMap<u32, Connection>,
    /// Properties that the root has declared, and whether they can be set once only.
    pub(crate) declared: BTreeMap<String, bool>,
    /// Whether the plugin's configuration can be read.
    pub(crate) configuring: bool,
    pub(crate) metric_ids: MetricIds,
    pub(crate) logs: Vec<LogLine>,
    pub(crate) tick: Option<Tick>,
    /// The clusters that calls can name.
    pub(crate) callouts: Arc<Callouts>,
    /// Its gRPC calls and streams.
    pub(crate) grpc: GrpcStreams,
    /// What hostcalls can read of a gRPC call, during its callback only.
    pub(crate) grpc_told: Option<GrpcTold>,
    /// Calls whose answers are still to come, in the order they were made.
    pub(crate) calls: Vec<PendingCall>,
    /// The token of the latest call.
    pub(crate) last_token: u32,
    /// The response hostcalls can read, during its callback only.
    pub(crate) response: Option<HttpResponse>,
    /// Code and text of the latest call that ended without a response.
    pub(crate) call_status: (u32, String),
    /// What Envoy does only after the guest's callback has returned.
    pub(crate) after_calls: VecDeque<(u32, AfterCall)>,
    pub(crate) memory: Option<Memory>,
    pub(crate) allocate: Option<TypedFunc<u32, u32>>,
}

/// A root context's timer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tick {
    pub(crate) period: Duration,
    pub(crate) due: Timestamp,
}

/// An effect a hostcall asks for and the host carries out after the callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterCall {
    /// Go on with a paused connection, or pass the client's buffer on.
    ContinueDownstream,
    /// Close, after what was written before.
    Close,
}

impl HostState {
    /// The context hostcalls act on now. One that is gone gives way to the
    /// callback's own, as in Envoy.
    fn effective_context(&self) -> u32 {
        if self.effective != 0 && self.has_context(self.effective) {
            self.effective
        } else {
            self.current
        }
    }

    /// Whether this VM knows a context with this id.
    pub(crate) fn has_context(&self, context: u32) -> bool {
        self.id(context).is_some()
    }

    /// What this VM calls a context, if it knows it.
    pub(crate) fn id(&self, context: u32) -> Option<u32> {
        if context == self.root_context {
            return Some(ROOT_ID);
        }
        match self.connections.get(&context)?.filter {
            Filter::Vm { generation, id } if generation == self.generation => Some(id),
            Filter::Vm { .. } | Filter::Nobody => None,
        }
    }

    /// The context that this VM calls so.
    pub(crate) fn context(&self, id: u32) -> Option<u32> {
        if id == ROOT_ID {
            return Some(self.root_context);
        }
        let context = self.contexts.get(&id).copied();
        context.filter(|context| self.has_context(*context))
    }

    /// Declares a property for the running callback's context; only a root's counts when
    /// one is set.
    ///
    /// # Errors
    /// `BadArgument` where this context has declared it before.
    pub(crate) fn declare(&mut self, name: String, readonly: bool) -> Result<(), Status> {
        let context = self.current;
        let declared = if context == self.root_context {
            Some(&mut self.declared)
        } else {
            let connection = self.connections.get_mut(&context);
            connection.map(|connection| &mut connection.declared)
        };
        let declared = declared.ok_or(Status::BadArgument)?;
        if declared.contains_key(&name) {
            return Err(Status::BadArgument);
        }
        declared.insert(name, readonly);
        Ok(())
    }

    /// Gives a context the next id of this VM's.
    pub(crate) fn introduce(&mut self, context: u32) -> Filter {
        let id = self.next_id;
        self.next_id += 1;
        self.contexts.insert(id, context);
        Filter::Vm {
            generation: self.generation,
            id,
        }
    }

    /// Forgets a connection, and gives what is left of it.
    pub(crate) fn take_leave(&mut self, context: u32) -> Option<Connection> {
        if let Some(id) = self.id(context) {
            self.contexts.remove(&id);
        }
        self.connections.remove(&context)
    }

    pub(crate) fn effective_connection(&self) -> Option<&Connection> {
        self.connections.get(&self.effective_context())
    }

    pub(crate) fn effective_connection_mut(&mut self) -> Option<&mut Connection> {
        let context = self.effective_context();
        self.connections.get_mut(&context)
    }

    /// Notes an effect on the effective connection; none for the root context.
    pub(crate) fn after_call(&mut self, what: AfterCall) {
        let context = self.effective_context();
        if self.connections.contains_key(&context) {
            self.after_calls.push_back((context, what));
        }
    }

    /// Makes an HTTP call and gives its token.
    ///
    /// # Errors
    /// As [`Callouts::dispatch`].
    pub(crate) fn call(&mut self, cluster: &str, request: HttpRequest) -> Result<u32, Status> {
        // The low two bits tell HTTP calls from gRPC calls.
        let token = self.last_token.wrapping_add(4);
        let call = self
            .callouts
            .dispatch(self.worker, token, cluster, request)?;
        self.last_token = token;
        self.calls.push(call);
        Ok(token)
    }

    pub(crate) fn log(&mut self, level: LogLevel, text: String) {
        if level < self.plugin.log_level {
            return;
        }
        self.logs.push(LogLine {
            at: self.now,
            worker: self.worker,
            context: self.effective_context(),
            level,
            text,
        });
    }

    /// Arms the tick anew, or disarms it for a period of zero.
    pub(crate) fn set_tick(&mut self, period: Duration) {
        self.tick = (!period.is_zero()).then(|| Tick {
            period,
            due: self.now.after(period),
        });
    }
}
