//! Real resolvers that speak DNS over HTTPS, with the configurations of `envoy/dnsbl`.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use super::{DohAnswer, ask, ports, query_name};
use crate::{
    Error,
    deadline::{PATIENCE, Seen, wait_for},
    paths,
    process::Process,
};

/// How often a start is tried: another process may take the port picked.
const TRIES: usize = 3;

/// The address that every list answers for (RFC 5782 section 5).
const TEST_POINT: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// What answers the guard's questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolver {
    /// dnsdist, which keeps answers and passes questions on.
    Dnsdist,
    /// unbound, which resolves by itself; it knows the three lists of `envoy/dnsbl` only.
    Unbound,
}

/// A resolver to be started, and started again.
#[derive(Debug, Clone)]
struct Plan {
    resolver: Resolver,
    server: SocketAddr,
    listen: SocketAddr,
    /// The name it must have an answer for before it counts as started.
    probe: String,
}

/// A running resolver; dropping it ends it.
#[derive(Debug)]
pub struct DohServer {
    process: Process,
    plan: Plan,
    directory: TempDir,
}

impl Resolver {
    /// Starts it on a free port before the blocklist server at `server`, which serves `domain`
    /// among others, and waits until it has an answer from there.
    ///
    /// # Errors
    /// [`Error::Missing`] if it is not installed, [`Error::Ended`] or [`Error::Late`] with its log
    /// if it does not come up.
    pub fn before(self, server: SocketAddr, domain: &str) -> Result<DohServer, Error> {
        let mut tried = self.start_once(server, domain);
        for _ in 1..TRIES {
            if !matches!(tried, Err(Error::Ended { .. })) {
                break;
            }
            tried = self.start_once(server, domain);
        }
        tried
    }

    fn start_once(self, server: SocketAddr, domain: &str) -> Result<DohServer, Error> {
        let plan = Plan {
            resolver: self,
            server,
            listen: ports::free()?,
            probe: query_name(TEST_POINT, domain),
        };
        let made = tempfile::Builder::new()
            .prefix("portcullis-resolver-")
            .tempdir();
        let directory = made.map_err(Error::file(std::env::temp_dir()))?;
        Ok(DohServer {
            process: plan.start(directory.path())?,
            plan,
            directory,
        })
    }
}

impl DohServer {
    /// Where it listens: cleartext HTTP/2, path `/dns-query`.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.plan.listen
    }

    /// Its process, for its log and its end.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Asks it.
    ///
    /// # Errors
    /// [`Error::Dns`] if there is no answer.
    pub fn ask(&self, name: &str, record: &str) -> Result<DohAnswer, Error> {
        ask(self.address(), name, record)
    }

    /// Kills it; connections are refused until [`DohServer::restart`].
    ///
    /// # Errors
    /// [`Error::Late`] if it does not die.
    pub fn kill(&mut self) -> Result<(), Error> {
        self.process.signal(nix::sys::signal::Signal::SIGKILL)?;
        self.process.wait(PATIENCE).map(drop)
    }

    /// Starts it again where it was, with nothing in its cache.
    ///
    /// # Errors
    /// As [`Resolver::before`].
    pub fn restart(&mut self) -> Result<(), Error> {
        self.process.end()?;
        self.process = self.plan.start(self.directory.path())?;
        Ok(())
    }
}

impl Plan {
    fn start(&self, directory: &Path) -> Result<Process, Error> {
        let (name, command) = match self.resolver {
            Resolver::Dnsdist => ("dnsdist", self.dnsdist()?),
            Resolver::Unbound => ("unbound", self.unbound(directory)?),
        };
        let mut process = Process::start(name, command, &directory.join(format!("{name}.log")))?;
        wait_for(&format!("an answer from {name}"), PATIENCE, || {
            process.still_runs()?;
            match ask(self.listen, &self.probe, "A") {
                Ok(answer) if answer.is_listed() => Ok(Seen::Done(())),
                other => Ok(Seen::NotYet(format!("{other:?}"))),
            }
        })?;
        Ok(process)
    }

    fn dnsdist(&self) -> Result<Command, Error> {
        let mut command = Command::new(paths::on_path("dnsdist")?);
        command
            .args(["--supervised", "--disable-syslog", "-C"])
            .arg(paths::dnsbl().join("dnsdist.lua"))
            .env("PORTCULLIS_DOH_LISTEN", self.listen.to_string())
            .env("PORTCULLIS_DOH_CLIENTS", "127.0.0.0/8")
            .env("PORTCULLIS_DNSBL_SERVER", self.server.to_string())
            .env("PORTCULLIS_DNSBL_PROBE", format!("{}.", self.probe));
        Ok(command)
    }

    fn unbound(&self, directory: &Path) -> Result<Command, Error> {
        let mut command = Command::new(paths::on_path("unbound")?);
        command
            .args(["-d", "-c"])
            .arg(self.write_unbound_conf(directory)?);
        Ok(command)
    }

    fn write_unbound_conf(&self, directory: &Path) -> Result<PathBuf, Error> {
        let template = paths::dnsbl().join("unbound.conf");
        let mut text = fs::read_to_string(&template).map_err(Error::file(&template))?;
        let (listen, server) = (self.listen, self.server);
        let fill = [
            (
                "127.0.0.1@8053",
                format!("{}@{}", listen.ip(), listen.port()),
            ),
            ("https-port: 8053", format!("https-port: {}", listen.port())),
            (
                "127.0.0.1@5300",
                format!("{}@{}", server.ip(), server.port()),
            ),
        ];
        for (placeholder, value) in fill {
            if !text.contains(placeholder) {
                return Err(Error::Content {
                    path: template,
                    reason: format!("{placeholder:?} is not there to be replaced"),
                });
            }
            text = text.replace(placeholder, &value);
        }
        let path = directory.join("unbound.conf");
        fs::write(&path, text).map_err(Error::file(&path))?;
        Ok(path)
    }
}
