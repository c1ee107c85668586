//! Real Postfix in a directory of its own, with real unknown users.

mod config;
mod log;

use std::{net::SocketAddr, process::Command};

use tempfile::TempDir;

pub use config::{Besides, Service};
pub use log::{Log, SessionCounts};

use crate::{
    Error,
    deadline::{PATIENCE, Seen, wait_for},
    paths,
    process::Process,
    smtp,
    tls::Certificate,
};

/// How often a start is tried: another process may take one of the ports picked.
const TRIES: usize = 3;

/// The mailboxes that exist in `example.test`: `alice`, `bob`, `postmaster` and `user0` to `user99`.
#[must_use]
pub fn mailboxes() -> Vec<String> {
    let named = ["alice", "bob", "postmaster"].map(str::to_owned);
    named
        .into_iter()
        .chain((0..100).map(|number| format!("user{number}")))
        .collect()
}

/// A running Postfix; dropping it ends it and removes its directory.
#[derive(Debug)]
pub struct Postfix {
    process: Process,
    services: Vec<(Service, SocketAddr)>,
    besides: Option<SocketAddr>,
    log: Log,
    certificate: Certificate,
    // Removed last, after the processes that write into it.
    _directory: TempDir,
}

impl Postfix {
    /// Starts it and waits until every service greets.
    ///
    /// # Errors
    /// [`Error::Missing`] if Postfix is not installed, [`Error::Ended`] or [`Error::Late`] with its
    /// log if it does not come up.
    pub fn start() -> Result<Self, Error> {
        Self::start_with(&Besides::default())
    }

    /// The same with more than all have.
    ///
    /// # Errors
    /// As [`Postfix::start`].
    pub fn start_with(besides: &Besides) -> Result<Self, Error> {
        let mut tried = Self::start_once(besides);
        for _ in 1..TRIES {
            if tried.is_ok() {
                break;
            }
            tried = Self::start_once(besides);
        }
        tried
    }

    fn start_once(besides: &Besides) -> Result<Self, Error> {
        let master = paths::on_path("master")?;
        let made = tempfile::Builder::new()
            .prefix("portcullis-postfix-")
            .tempdir();
        let directory = made.map_err(Error::file(std::env::temp_dir()))?;
        let written = config::write(directory.path(), besides)?;
        let mut command = Command::new(master);
        command
            .arg("-c")
            .arg(config::etc(directory.path()))
            .arg("-d");
        let output = directory.path().join("master.out");
        let process = Process::start("postfix", command, &output)?;
        let log = Log::at(config::maillog(directory.path()));
        let mut postfix = Self {
            process,
            services: written.services,
            besides: written.besides,
            log,
            certificate: config::certificate(directory.path()),
            _directory: directory,
        };
        postfix.wait_until_it_greets()?;
        Ok(postfix)
    }

    /// Where a service listens.
    #[must_use]
    pub fn address(&self, service: Service) -> SocketAddr {
        let found = self.services.iter().find(|(known, _)| *known == service);
        // `config::write` gives every service an address; port 0 refuses every connection.
        found.map_or_else(
            || SocketAddr::from(([127, 0, 0, 1], 0)),
            |(_, address)| *address,
        )
    }

    /// Where the service of [`Besides`] listens, if there is one.
    #[must_use]
    pub fn besides(&self) -> Option<SocketAddr> {
        self.besides
    }

    /// Its first process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Plain services must greet; those that wait for a PROXY header must accept a connection.
    /// What it shows clients under TLS.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    fn wait_until_it_greets(&mut self) -> Result<(), Error> {
        let greets = |(service, address): &(Service, SocketAddr)| match service {
            Service::Unknown550 | Service::Unknown451 | Service::OffersTls => {
                smtp::Client::greeted(*address).map(drop)
            }
            Service::BehindProxy | Service::UnderTls => Ok(()),
        };
        let (process, services, log) = (&mut self.process, &self.services, &self.log);
        wait_for("Postfix greeting", PATIENCE, || {
            process.still_runs()?;
            match services.iter().try_for_each(greets) {
                Ok(()) => Ok(Seen::Done(())),
                Err(error) => Ok(Seen::NotYet(format!(
                    "{error}; {}",
                    log.text().unwrap_or_default()
                ))),
            }
        })?;
        // The greetings above are sessions too; what is counted begins after them.
        let greeted = services
            .iter()
            .filter(|(service, _)| !matches!(service, Service::BehindProxy | Service::UnderTls))
            .count();
        self.log.forget_sessions(greeted)
    }
}
