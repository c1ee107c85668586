//! The store that several guards share: none, one named, or one of our own.

use std::fmt;

use super::options::Beside;
use crate::{
    Error,
    envoy::{HostPort, ServiceAt},
    fleet::Store,
};

/// Where the guard shares what it knows.
#[derive(Debug)]
pub(super) enum SharedStore {
    /// Nowhere.
    None,
    /// Someone else's Webdis; nothing here starts or ends it.
    Named(HostPort),
    /// Ours, which ends with the launcher.
    Example(Box<Store>),
}

impl SharedStore {
    /// Starts what the option asks for.
    pub(super) fn provide(fleet: &Beside) -> Result<Self, Error> {
        Ok(match fleet {
            Beside::Off => Self::None,
            Beside::At(address) => Self::Named(address.clone()),
            Beside::Example => Self::Example(Box::new(Store::start()?)),
        })
    }

    pub(super) fn address(&self) -> ServiceAt {
        match self {
            Self::None => ServiceAt::Absent,
            Self::Named(address) => ServiceAt::Address(address.clone()),
            Self::Example(store) => store.address().into(),
        }
    }

    pub(super) fn still_runs(&mut self) -> Result<(), Error> {
        match self {
            Self::None | Self::Named(_) => Ok(()),
            Self::Example(store) => store.still_runs(),
        }
    }
}

impl fmt::Display for SharedStore {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => write!(out, "none"),
            Self::Named(address) => write!(out, "{address}"),
            Self::Example(store) => write!(
                out,
                "{} (Webdis; --fleet {} lets another guard share it; redis-cli -p {})",
                store.address(),
                store.address(),
                store.redis_address().port()
            ),
        }
    }
}
