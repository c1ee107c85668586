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

    /// Says once if it has ended. Mail goes on without it.
    pub(super) fn watch(&mut self) {
        let page = self.0.as_mut();
        if let Some(Err(error)) = page.map(|page| page.process().still_runs()) {
            println!("portcullis: mail goes on without the status page: {error}");
            self.0 = None;
        }
    }
}
