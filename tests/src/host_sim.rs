//! The simulator's two servers as processes: the demo mail server, and the guard without Envoy.

use std::{
    ffi::OsString,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use nix::sys::signal::Signal;
use serde::Deserialize;
use tempfile::TempDir;

use crate::{
    Error,
    deadline::{PATIENCE, Seen, wait_for},
    paths,
    process::Process,
};

/// What `host-sim` prints, before the address, once it is ready.
const READY: &str = "listening on ";

/// A running `host-sim`; dropping it ends it.
#[derive(Debug)]
pub struct HostSim {
    process: Process,
    address: SocketAddr,
    directory: TempDir,
}

/// The demo mail server to be started.
#[derive(Debug, Clone)]
pub struct Mta {
    /// The domain it serves.
    pub domain: String,
    /// The mailboxes that exist there.
    pub known: Vec<String>,
    /// What it answers for any other, such as `451 No such user`.
    pub unknown_reply: String,
}

/// The guard in the simulator to be started.
#[derive(Debug, Clone)]
pub struct Guarded {
    /// The built filter.
    pub wasm: PathBuf,
    /// Where it listens.
    pub listen: SocketAddr,
    /// The server behind, `host:port`.
    pub upstream: String,
    /// The policy's file; none is the default policy.
    pub policy: Option<PathBuf>,
    /// How many workers, each with its own machine.
    pub workers: usize,
    /// Whether clients are named by a PROXY header.
    pub from_clients: SimClients,
}

/// How clients arrive at the simulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SimClients {
    /// They connect themselves.
    Direct,
    /// A front proxy names them.
    BehindProxy,
}

/// What the demo mail server counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct MtaStats {
    /// Connections accepted.
    pub connections: u64,
    /// Command lines read.
    pub commands: u64,
    /// Recipients looked up.
    pub rcpt: u64,
    /// Recipients looked up and not found.
    pub rcpt_unknown: u64,
    /// Messages accepted.
    pub messages: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
}

impl Mta {
    /// A server of `example.test` that answers `unknown_reply` for whom it does not know.
    #[must_use]
    pub fn answering(unknown_reply: &str) -> Self {
        Self {
            domain: "example.test".into(),
            known: crate::postfix::mailboxes(),
            unknown_reply: unknown_reply.into(),
        }
    }

    /// Starts it on a free loopback port.
    ///
    /// # Errors
    /// [`Error::Missing`] if `host-sim` is not built, [`Error::Ended`] with its own words if it
    /// gives up.
    pub fn start(&self) -> Result<HostSim, Error> {
        HostSim::start("host-sim mta", |directory| {
            vec![
                "mta".into(),
                "--listen".into(),
                "127.0.0.1:0".into(),
                "--domain".into(),
                self.domain.clone().into(),
                "--known".into(),
                self.known.join(",").into(),
                "--unknown-reply".into(),
                self.unknown_reply.clone().into(),
                "--stats".into(),
                stats_file(directory).into(),
            ]
        })
    }
}

impl Guarded {
    /// Starts it.
    ///
    /// # Errors
    /// As [`Mta::start`].
    pub fn start(&self) -> Result<HostSim, Error> {
        HostSim::start("host-sim serve", |_| {
            let mut arguments: Vec<OsString> = vec![
                "serve".into(),
                "--wasm".into(),
                self.wasm.clone().into(),
                "--listen".into(),
                self.listen.to_string().into(),
                "--upstream".into(),
                self.upstream.clone().into(),
                "--workers".into(),
                self.workers.to_string().into(),
            ];
            if let Some(policy) = &self.policy {
                arguments.extend(["--policy".into(), policy.clone().into()]);
            }
            if self.from_clients == SimClients::BehindProxy {
                arguments.push("--proxy-protocol".into());
            }
            arguments
        })
    }
}

impl HostSim {
    fn start(name: &str, arguments: impl FnOnce(&Path) -> Vec<OsString>) -> Result<Self, Error> {
        let made = tempfile::Builder::new().prefix("portcullis-sim-").tempdir();
        let directory = made.map_err(Error::file(std::env::temp_dir()))?;
        let mut command = Command::new(paths::host_sim()?);
        command.args(arguments(directory.path()));
        let mut process = Process::start(name, command, &directory.path().join("log"))?;
        let address = wait_for(&format!("{name} listening"), PATIENCE, || {
            let said = process.log()?;
            let address = said
                .lines()
                .find_map(|line| line.strip_prefix(READY)?.trim().parse().ok());
            match address {
                Some(address) => Ok(Seen::Done(address)),
                None => process.still_runs().map(|()| Seen::NotYet(said)),
            }
        })?;
        Ok(Self {
            process,
            address,
            directory,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process, for its log and its end.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Has the demo mail server write down what it counted, and reads it.
    ///
    /// # Errors
    /// [`Error::Late`] if it does not, [`Error::Content`] if it cannot be read.
    pub fn stats(&mut self) -> Result<MtaStats, Error> {
        let path = stats_file(self.directory.path());
        match fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::File { path, source });
            }
            _ => self.process.signal(Signal::SIGUSR1)?,
        }
        let process = &mut self.process;
        wait_for("the mail server's counts", PATIENCE, || {
            process.still_runs()?;
            let text = fs::read_to_string(&path).unwrap_or_default();
            Ok(match serde_json::from_str(&text) {
                Ok(stats) => Seen::Done(stats),
                // It may be caught half written.
                Err(error) => Seen::NotYet(format!("{error} in {text:?}")),
            })
        })
    }
}

fn stats_file(directory: &Path) -> PathBuf {
    directory.join("stats.json")
}
