//! A real TCP proxy around the filter, for machines without Envoy.
//!
//! One thread takes connections and deals them out in turn; each worker thread
//! has a VM and a single-threaded runtime. What the filter sees is decided by
//! the same code as in the simulator; here are only sockets and the clock.

mod access;
mod hub;
mod listener;
mod proxy_header;
mod session;
mod worker_thread;

use std::io;
use std::net::SocketAddr;

use thiserror::Error;

pub use listener::{Proxy, serve};

use crate::error::HostError;
use crate::module::FilterModule;
use crate::observe::LogLevel;

/// How the proxy runs.
#[derive(Clone)]
pub struct ServeOptions {
    /// The filter.
    pub module: FilterModule,
    /// Its configuration.
    pub policy: Vec<u8>,
    /// Where to listen; port 0 picks a free one.
    pub listen: SocketAddr,
    /// The mail server.
    pub upstream: SocketAddr,
    /// Names of clusters to which the filter can route a connection so that it
    /// meets an echo in place of the server, as [`Builder::echo_cluster`] says.
    ///
    /// [`Builder::echo_cluster`]: crate::Builder::echo_cluster
    pub echo_clusters: Vec<String>,
    /// Worker threads, each with a VM; at least 1.
    pub workers: usize,
    /// Whether clients begin with a PROXY protocol header.
    pub proxy_protocol: ProxyProtocol,
    /// Whether each finished session is written to stderr.
    pub access: Access,
    /// The level below which the filter's log lines are dropped.
    pub log_level: LogLevel,
}

/// Whether clients begin with a PROXY protocol header (version 1 or 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// They do, all of them.
    Expected,
    /// They do not.
    Off,
}

/// Whether each finished session is written to stderr, as one JSON line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It is.
    Printed,
    /// It is not.
    Quiet,
}

/// Why the proxy could not run.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {listen}: {source}; choose another --listen (port 0 picks a free one)"
    )]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The filter does not start.
    #[error(transparent)]
    Filter(#[from] HostError),
    /// A thread or its runtime could not be made, or died.
    #[error("the proxy failed: {0}")]
    Runtime(#[from] io::Error),
}
