//! The mail server behind the guard: the one named, or a demo server of our own.

use std::fmt;

use super::Options;
use crate::{
    Error,
    envoy::HostPort,
    host_sim::{HostSim, Mta},
};

/// What the demo server says of a mailbox it does not have.
const UNKNOWN: &str = "451 No such user";

/// The server that mail goes to.
#[derive(Debug)]
pub(super) enum Server {
    /// Someone else's; nothing here starts or ends it.
    Named(HostPort),
    /// Ours, which ends with the launcher.
    Demo(HostSim),
}

impl Server {
    /// Takes the server named, or starts the demo server.
    pub(super) fn provide(options: &Options) -> Result<Self, Error> {
        match &options.upstream {
            Some(upstream) => Ok(Self::Named(upstream.clone())),
            None => Mta::answering(UNKNOWN).start().map(Self::Demo),
        }
    }

    pub(super) fn address(&self) -> HostPort {
        match self {
            Self::Named(upstream) => upstream.clone(),
            Self::Demo(mta) => mta.address().into(),
        }
    }

    pub(super) fn still_runs(&mut self) -> Result<(), Error> {
        match self {
            Self::Named(_) => Ok(()),
            Self::Demo(mta) => mta.process().still_runs(),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(upstream) => write!(out, "{upstream}"),
            Self::Demo(mta) => write!(
                out,
                "{} (demo: alice, bob and user0 to user99 at example.test; else {UNKNOWN:?})",
                mta.address()
            ),
        }
    }
}
