//! The guard itself, in Envoy or in the simulator.

use std::{
    fmt::Write as _,
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{
    Options, Services,
    options::{Beside, Host, StartTls, Switch},
    server::Server,
    status::Page,
};
use crate::{
    Error,
    envoy::{Envoy, EnvoyConfig, Guard},
    host_sim::{Guarded, HostSim, SimClients},
    paths,
};

/// The running guard.
#[derive(Debug)]
pub(super) enum RunningGuard {
    /// In Envoy.
    Envoy(Box<Envoy>),
    /// In the simulator.
    Sim(HostSim),
}

impl RunningGuard {
    pub(super) fn start(options: &Options, server: &Server, beside: &Services) -> Result<Self> {
        let policy = options.read_policy()?;
        free(options.listen, "--listen")?;
        match options.host {
            Host::Envoy => {
                free(options.admin, "--admin")?;
                let guard = Guard::with_policy(policy)?;
                let envoy = EnvoyConfig::before(server.address(), guard)
                    .listen(options.listen)
                    .admin(options.admin)
                    .from_clients(options.from_clients())
                    .client_tls(options.client_tls()?)
                    .to_server(options.to_server())
                    .dnsbl(beside.blocklists.address())
                    .store(beside.store.address())
                    .workers(options.workers.into())
                    .access_log(access_log(&options.access_log)?)
                    .start()?;
                Ok(Self::Envoy(Box::new(envoy)))
            }
            Host::Sim => Ok(Self::Sim(simulated(options, server)?)),
        }
    }

    pub(super) fn still_runs(&mut self) -> Result<(), Error> {
        match self {
            Self::Envoy(envoy) => envoy.process().still_runs(),
            Self::Sim(sim) => sim.process().still_runs(),
        }
    }

    /// Applies the policy's file as it is now, and says what came of it.
    pub(super) fn reload(&mut self, options: &Options) -> String {
        let applied = match self {
            Self::Sim(_) => Err(anyhow::anyhow!("the simulator reads it at its start only")),
            Self::Envoy(envoy) => options
                .read_policy()
                .and_then(|policy| Ok(envoy.reload(policy)?)),
        };
        let file = options.policy_file();
        match applied {
            Ok(()) => format!(
                "portcullis: {} is in force for new connections",
                file.display()
            ),
            Err(error) => format!("portcullis: the old policy stays in force: {error:#}"),
        }
    }

    /// How to talk to it.
    pub(super) fn introduction(
        &self,
        options: &Options,
        server: &Server,
        beside: &Services,
        page: &Page,
    ) -> String {
        let listen = self.address();
        let mut text = format!("portcullis: listening on {listen}\n");
        let mut line = |name: &str, value: &str| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {name:<11} {value}");
        };
        if let Some(url) = page.url() {
            line("status page", &url);
        }
        line("mail server", &server.to_string());
        if let Self::Envoy(envoy) = self {
            line("admin", &format!("http://{}", envoy.admin().address()));
            line("access log", &envoy.access_log_path().display().to_string());
        }
        let policy = options.policy_file();
        let change = format!("(kill -HUP {} applies a change)", std::process::id());
        line("policy", &format!("{} {change}", policy.display()));
        if options.dnsbl != Beside::Off {
            line("blocklists", &beside.blocklists.to_string());
        }
        if options.fleet != Beside::Off {
            line("store", &beside.store.to_string());
        }
        let tries = suggestions(options, listen);
        let names = std::iter::once("try").chain(std::iter::repeat(""));
        for (name, value) in names.zip(&tries) {
            line(name, value);
        }
        line("end", "Ctrl-C");
        text
    }

    fn address(&self) -> SocketAddr {
        match self {
            Self::Envoy(envoy) => envoy.address(),
            Self::Sim(sim) => sim.address(),
        }
    }
}

/// What to type to see the guard at work.
fn suggestions(options: &Options, listen: SocketAddr) -> Vec<String> {
    let (host, port) = (listen.ip(), listen.port());
    let swaks = |more: &str| {
        let to = "--from sender@example.org --to alice@example.test";
        format!("swaks --server {host}:{port} {to}{more}")
    };
    let claim = |client: &str| swaks(&format!(" --proxy 'TCP4 {client} 127.0.0.1 5555 25'"));
    match (options.proxy_protocol, &options.dnsbl) {
        (Switch::Off, _) if options.starttls != StartTls::Off => vec![swaks(" --tls")],
        (Switch::Off, Beside::Off | Beside::At(_)) => {
            vec![swaks(""), format!("nc -C {host} {port}")]
        }
        // Every list names 127.0.0.2 (RFC 5782 section 5), and this machine has that address.
        (Switch::Off, Beside::Example) => {
            vec![swaks(""), swaks(" --local-interface 127.0.0.2")]
        }
        (Switch::On, Beside::Off | Beside::At(_)) => Vec::new(),
        // On no list; on the blocklist; there, too, but known to be good.
        (Switch::On, Beside::Example) => {
            vec![
                claim("192.0.2.1"),
                claim("203.0.113.7"),
                claim("203.0.113.10"),
            ]
        }
    }
}

fn simulated(options: &Options, server: &Server) -> Result<HostSim> {
    let guarded = Guarded {
        wasm: paths::wasm()?,
        listen: options.listen,
        upstream: server.address().to_string(),
        policy: Some(options.policy_file()),
        workers: options.workers.into(),
        from_clients: match options.proxy_protocol {
            Switch::Off => SimClients::Direct,
            Switch::On => SimClients::BehindProxy,
        },
    };
    Ok(guarded.start()?)
}

/// Says at once that an address is taken. Envoy would not: it shares its port with any other Envoy
/// of the same user (`SO_REUSEPORT`), and mail would go to either.
pub(super) fn free(address: SocketAddr, flag: &'static str) -> Result<(), Error> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(source) => Err(Error::Address {
            address: address.to_string(),
            source,
            flag,
        }),
    }
}

fn access_log(path: &Path) -> Result<PathBuf> {
    let path = std::path::absolute(path)?;
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    }
    Ok(path)
}
