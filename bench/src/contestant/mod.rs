//! Who is compared, and how each is set up.

mod auth;
mod envoy;
pub(crate) mod haproxy;
mod haraka;
mod nginx;
pub(crate) mod postscreen;
mod sink;

use std::{any::Any, fmt, net::SocketAddr};

use anyhow::{Context, Result};
use clap::ValueEnum;
use portcullis_tests::{
    deadline::{PATIENCE, Seen, wait_for},
    process::Process,
};
use serde::Serialize;

pub use auth::AuthResponder;
pub use envoy::{Filters, Lists, everything_on};
pub use sink::Sink;

use crate::usage::Measured;

/// Who is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contestant {
    /// Envoy with its TCP proxy alone.
    Bare,
    /// Envoy with a filter that does nothing.
    Noop,
    /// Envoy with a filter that copies every byte and looks at none.
    Reader,
    /// The guard, only observing.
    Observe,
    /// The guard with its default policy.
    Default,
    /// The guard with everything on: enforcing, ledger, records, DNSBL (answers remembered).
    Portcullis,
    /// HAProxy with a stick table that counts connections.
    Haproxy,
    /// nginx passing TCP on.
    NginxStream,
    /// nginx as a mail proxy, without authentication.
    NginxMail,
    /// Postfix's postscreen, which hands connections on.
    Postscreen,
    /// Haraka passing mail on while it comes in.
    Haraka,
}

impl Contestant {
    /// Its name in the tables, as on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Noop => "noop",
            Self::Reader => "reader",
            Self::Observe => "observe",
            Self::Default => "default",
            Self::Portcullis => "portcullis",
            Self::Haproxy => "haproxy",
            Self::NginxStream => "nginx-stream",
            Self::NginxMail => "nginx-mail",
            Self::Postscreen => "postscreen",
            Self::Haraka => "haraka",
        }
    }

    /// Whether it runs in Envoy.
    #[must_use]
    pub fn is_envoy(self) -> bool {
        matches!(
            self,
            Self::Bare
                | Self::Noop
                | Self::Reader
                | Self::Observe
                | Self::Default
                | Self::Portcullis
        )
    }

    /// By how much its part of small messages is smaller, where it would take many times as long as
    /// all others: CPU time is told by message.
    #[must_use]
    pub fn share(self) -> usize {
        match self {
            Self::Haraka => 10,
            Self::Postscreen => 5,
            _ => 1,
        }
    }

    /// Why it has no part in a kind of work, if so.
    #[must_use]
    pub fn cannot(self, work: Work) -> Option<&'static str> {
        match (self, work) {
            (Self::Postscreen, Work::Opaque | Work::Data | Work::Bdat | Work::Latency) => {
                Some("it hands the connection on before the mail and has no part in it")
            }
            (Self::Postscreen, Work::Sessions) => {
                Some("the sessions that it lets pass are smtpd's, a process each")
            }
            (Self::Haraka, Work::Bdat) => Some("it does not offer CHUNKING"),
            (Self::Haraka | Self::NginxMail, Work::Opaque) => {
                Some("it ends STARTTLS itself or not at all")
            }
            _ => None,
        }
    }
}

impl fmt::Display for Contestant {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.name())
    }
}

/// Kinds of work, as far as not everybody does each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Messages, of whatever number on a connection.
    Messages,
    /// One command at a time, timed.
    Latency,
    /// A large message by DATA.
    Data,
    /// The same by BDAT.
    Bdat,
    /// A session under TLS that the contestant does not end.
    Opaque,
    /// Sessions that are open and silent.
    Sessions,
}

/// A contestant that runs.
#[derive(Debug)]
pub struct Running {
    /// Who it is.
    pub contestant: Contestant,
    /// Where clients connect.
    pub address: SocketAddr,
    /// Whose time counts.
    pub measured: Measured,
    /// What ends with it.
    _parts: Box<dyn Any>,
}

impl Running {
    fn new(contestant: Contestant, address: SocketAddr, root: u32, parts: impl Any) -> Self {
        Self {
            contestant,
            address,
            measured: Measured::all_of(root),
            _parts: Box::new(parts),
        }
    }
}

/// What all contestants share.
#[derive(Debug)]
pub struct Surroundings {
    /// The lists that the guard asks.
    pub lists: Lists,
    /// The two filters that the guard's cost is measured between.
    pub filters: Filters,
    /// Who tells nginx where a mail goes.
    pub auth: AuthResponder,
}

impl Surroundings {
    /// Starts what serves them.
    ///
    /// # Errors
    /// If one of them does not start.
    pub fn start() -> Result<Self> {
        Ok(Self {
            lists: Lists::start()?,
            filters: Filters::write()?,
            auth: AuthResponder::start()?,
        })
    }
}

/// Starts a contestant before a server, with this many worker threads or processes.
///
/// # Errors
/// With the reason, if it is not installed or does not start.
pub fn start(
    contestant: Contestant,
    around: &Surroundings,
    server: SocketAddr,
    workers: usize,
) -> Result<Running> {
    let started = match contestant {
        Contestant::Haproxy => haproxy::start(server, workers),
        Contestant::NginxStream => nginx::start_stream(server, workers),
        Contestant::NginxMail => nginx::start_mail(server, &around.auth, workers),
        Contestant::Postscreen => postscreen::start(),
        Contestant::Haraka => haraka::start(server),
        envoy => envoy::start(envoy, around, server, workers),
    };
    started.with_context(|| format!("{contestant}"))
}

/// Waits until somebody listens.
pub(crate) fn wait_until_open(process: &mut Process, address: SocketAddr) -> Result<()> {
    wait_for(&format!("{address} to be open"), PATIENCE, || {
        process.still_runs()?;
        Ok(match std::net::TcpStream::connect(address) {
            Ok(_) => Seen::Done(()),
            Err(error) => Seen::NotYet(error.to_string()),
        })
    })?;
    Ok(())
}

/// Calls a start again if somebody else took the port that it had picked.
pub(crate) fn on_a_free_port<T>(start: impl Fn(SocketAddr) -> Result<T>) -> Result<T> {
    const TRIES: usize = 3;
    let mut tried = start(portcullis_tests::dnsbl::free_port()?);
    for _ in 1..TRIES {
        if tried.is_ok() {
            break;
        }
        tried = start(portcullis_tests::dnsbl::free_port()?);
    }
    tried
}
