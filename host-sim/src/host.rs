//! The state behind one VM's hostcalls.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use wasmtime::{Memory, TypedFunc};

use crate::callouts::{Callouts, HttpRequest, HttpResponse, PendingCall};
use crate::clock::Timestamp;
use crate::connection::Connection;
use crate::observe::{LogLevel, LogLine};
use crate::plugin::Plugin;
use crate::shared::Shared;
use crate::status::Status;

/// What the hostcalls of one VM read and change.
pub(crate) struct HostState {
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) worker: usize,
    pub(crate) generation: u32,
    pub(crate) now: Timestamp,
    pub(crate) root_context: u32,
    /// The context the running callback is for.
    pub(crate) current: u32,
    /// The context hostcalls act on; 0 stands for `current`.
    pub(crate) effective: u32,
    pub(crate) connections: BTreeMap<u32, Connection>,
    pub(crate) logs: Vec<LogLine>,
    pub(crate) tick: Option<Tick>,
    /// The clusters HTTP calls can name; `None` where there are none.
    pub(crate) callouts: Option<Arc<Callouts>>,
    /// Calls whose answers are still to come, in the order they were made.
    pub(crate) calls: Vec<PendingCall>,
    /// The token of the latest call.
    pub(crate) last_token: u32,
    /// The response hostcalls can read, during its callback only.
    pub(crate) response: Option<HttpResponse>,
    /// Code and text of the latest call that ended without a response.
    pub(crate) call_status: (u32, &'static str),
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
        context == self.root_context
            || self
                .connections
                .get(&context)
                .is_some_and(|connection| connection.generation == self.generation)
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
        let callouts = self.callouts.as_ref().ok_or(Status::BadArgument)?;
        // The low two bits tell HTTP calls from gRPC calls.
        let token = self.last_token.wrapping_add(4);
        let call = callouts.dispatch(self.worker, token, cluster, request)?;
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
