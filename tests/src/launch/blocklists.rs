//! The blocklists the guard asks: none, those behind a resolver named, or examples of our own.

use std::fmt;

use super::options::Beside;
use crate::{
    Error,
    dnsbl::{DohServer, Rbldnsd, Resolver},
    envoy::{HostPort, ServiceAt},
};

/// One of the lists of `envoy/dnsbl/zones`, which must answer before the guard starts.
const FIRST_LIST: &str = "bl.example.test";

/// Whom the guard asks.
#[derive(Debug)]
pub(crate) enum Blocklists {
    /// Nobody.
    None,
    /// Someone else's resolver; nothing here starts or ends it.
    Named(HostPort),
    /// Ours, which end with the launcher: the resolver and the lists' server behind it.
    Example {
        resolver: DohServer,
        lists: Box<Rbldnsd>,
    },
}

impl Blocklists {
    /// Starts what the option asks for.
    pub(crate) fn provide(dnsbl: &Beside) -> Result<Self, Error> {
        match dnsbl {
            Beside::Off => Ok(Self::None),
            Beside::At(address) => Ok(Self::Named(address.clone())),
            Beside::Example => {
                let lists = Rbldnsd::example()?;
                let resolver = Resolver::Dnsdist.before(lists.address(), FIRST_LIST)?;
                let lists = Box::new(lists);
                Ok(Self::Example { resolver, lists })
            }
        }
    }

    pub(crate) fn address(&self) -> ServiceAt {
        match self {
            Self::None => ServiceAt::Absent,
            Self::Named(address) => ServiceAt::Address(address.clone()),
            Self::Example { resolver, .. } => resolver.address().into(),
        }
    }

    pub(crate) fn still_run(&mut self) -> Result<(), Error> {
        match self {
            Self::None | Self::Named(_) => Ok(()),
            Self::Example { resolver, lists } => {
                resolver.process().still_runs()?;
                lists.process().still_runs()
            }
        }
    }
}

impl fmt::Display for Blocklists {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => write!(out, "none"),
            Self::Named(address) => write!(out, "asked at {address}"),
            Self::Example { resolver, lists } => write!(
                out,
                "asked at {} (demo: those in {})",
                resolver.address(),
                lists.zone_files().display()
            ),
        }
    }
}
