//! What can be observed of a filter at work: log lines, traps, finished sessions.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use crate::clock::Timestamp;

/// Names one connection: the worker it lives on and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    /// The index of the worker, from 0.
    pub worker: usize,
    /// Its number on the worker. It is the context id that the filter knows it by, as long
    /// as the worker has its first VM: every VM counts its contexts anew, as in Envoy.
    pub context: u32,
}

/// Severity of a log line, as in the proxy-wasm ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
#[repr(u32)]
pub enum LogLevel {
    /// Finest.
    Trace = 0,
    /// For developers.
    Debug = 1,
    /// Ordinary events.
    Info = 2,
    /// Something odd.
    Warn = 3,
    /// Something failed.
    Error = 4,
    /// The filter cannot go on.
    Critical = 5,
}

impl LogLevel {
    /// The level with this number, if there is one.
    #[must_use]
    pub fn from_abi(number: u32) -> Option<Self> {
        [
            Self::Trace,
            Self::Debug,
            Self::Info,
            Self::Warn,
            Self::Error,
            Self::Critical,
        ]
        .into_iter()
        .find(|level| *level as u32 == number)
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Critical => "critical",
        })
    }
}

/// One line the filter logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When.
    pub at: Timestamp,
    /// On which worker.
    pub worker: usize,
    /// The context the callback was for; the root's when it was for none.
    pub context: u32,
    /// How serious.
    pub level: LogLevel,
    /// The text.
    pub text: String,
}

/// A trap: the filter's VM died in this callback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrapReport {
    /// When.
    pub at: Timestamp,
    /// On which worker.
    pub worker: usize,
    /// The context the callback was for.
    pub context: u32,
    /// The exported function that trapped.
    pub callback: &'static str,
    /// The runtime's message.
    pub message: String,
}

/// Who ended a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// Both directions came to their end.
    Finished,
    /// The filter called `proxy_close_stream`.
    Filter,
    /// The client reset the connection.
    ClientReset,
    /// The server reset the connection.
    ServerReset,
    /// The server could not be reached.
    ConnectFailed,
    /// The filter routed it to a cluster that does not exist.
    NoCluster,
    /// Nothing was said for too long.
    Idle,
    /// The host is ending.
    Shutdown,
    /// The filter trapped.
    Trap,
}

impl CloseReason {
    /// The name used in access lines and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Filter => "filter",
            Self::ClientReset => "client_reset",
            Self::ServerReset => "server_reset",
            Self::ConnectFailed => "connect_failed",
            Self::NoCluster => "no_cluster",
            Self::Idle => "idle",
            Self::Shutdown => "shutdown",
            Self::Trap => "trap",
        }
    }
}

/// A session that is over.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The client's address, as the filter saw it.
    pub peer: SocketAddr,
    /// The address the client connected to.
    pub local: SocketAddr,
    /// Bytes the client sent that the host took.
    pub bytes_received: u64,
    /// Bytes sent to the client.
    pub bytes_sent: u64,
    /// Why it ended.
    pub reason: CloseReason,
    /// What the filter set with `proxy_set_property`.
    pub properties: BTreeMap<String, Vec<u8>>,
}
