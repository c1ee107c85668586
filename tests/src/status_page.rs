//! The status page as a process.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{
    Error,
    deadline::{PATIENCE, Seen, wait_for},
    paths,
    process::Process,
};

/// What it prints, before the address, once it listens.
const READY: &str = "listening on http://";

/// The page to be started.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Envoy's administration interface.
    pub admin: SocketAddr,
    /// The access log with the records.
    pub access_log: PathBuf,
    /// Where the page is to be.
    pub listen: SocketAddr,
}

/// A running status page; dropping it ends it.
#[derive(Debug)]
pub struct StatusPage {
    process: Process,
    address: SocketAddr,
    _directory: TempDir,
}

impl Shown {
    /// Starts it.
    ///
    /// # Errors
    /// [`Error::Missing`] if it is not built, [`Error::Ended`] with its own words if it gives up.
    pub fn start(&self) -> Result<StatusPage, Error> {
        let made = tempfile::Builder::new()
            .prefix("portcullis-status-")
            .tempdir();
        let directory = made.map_err(Error::file(std::env::temp_dir()))?;
        let process = self.process(&directory.path().join("log"))?;
        let mut page = StatusPage {
            process,
            address: self.listen,
            _directory: directory,
        };
        page.address = page.announced()?;
        Ok(page)
    }

    fn process(&self, log: &Path) -> Result<Process, Error> {
        let mut command = Command::new(paths::status()?);
        command
            .args(["--admin", &format!("http://{}", self.admin)])
            .args(["--listen", &self.listen.to_string()])
            .arg("--access-log")
            .arg(&self.access_log);
        Process::start("portcullis-status", command, log)
    }
}

/// What the page at this address reads, as JSON; or why there is nothing.
#[must_use]
pub fn state(url: &str) -> String {
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .proxy(None);
    let agent: ureq::Agent = config.build().into();
    let answer = agent.get(format!("{url}/status.json")).call();
    let text = answer.and_then(|mut answer| answer.body_mut().read_to_string());
    text.unwrap_or_else(|error| error.to_string())
}

impl StatusPage {
    fn announced(&mut self) -> Result<SocketAddr, Error> {
        let process = &mut self.process;
        wait_for("the status page", PATIENCE, || {
            let said = process.log()?;
            let address = said
                .lines()
                .find_map(|line| line.strip_prefix(READY)?.trim().parse().ok());
            match address {
                Some(address) => Ok(Seen::Done(address)),
                None => process.still_runs().map(|()| Seen::NotYet(said)),
            }
        })
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process, for its log and its end.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}
