//! The status page beside the guard.

use anyhow::Result;

use super::{
    guard::{RunningGuard, free},
    options::{Options, Status},
};
use crate::{
    Error,
    status_page::{Shown, StatusPage},
};

/// The page, if there is one.
#[derive(Debug)]
pub(super) struct Page(Option<StatusPage>);

impl Page {
    /// Whether there will be room for it: said before anything starts.
    pub(super) fn check(options: &Options) -> Result<(), Error> {
        match options.status {
            Status::Off => Ok(()),
            Status::At(address) => free(address, "--status"),
        }
    }

    /// Starts it, where it is asked for and Envoy has something to show.
    pub(super) fn provide(options: &Options, guard: &RunningGuard) -> Result<Self, Error> {
        let (Status::At(listen), RunningGuard::Envoy(envoy)) = (&options.status, guard) else {
            return Ok(Self(None));
        };
        let shown = Shown {
            admin: envoy.admin().address(),
            access_log: envoy.access_log_path().to_owned(),
            listen: *listen,
        };
        Ok(Self(Some(shown.start()?)))
    }

    /// Where it is.
    pub(super) fn url(&self) -> Option<String> {
        let page = self.0.as_ref();
        page.map(|page| format!("http://{}", page.address()))
    }

    pub(super) fn still_runs(&mut self) -> Result<(), Error> {
        let page = self.0.as_mut();
        page.map_or(Ok(()), |page| page.process().still_runs())
    }
}
