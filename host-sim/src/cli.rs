//! The command line.

mod attack;
mod convert;
mod explain;
mod fmt;
mod inputs;
mod inspect;
mod output;
mod progress;
mod record;
mod replay;
mod scenarios;
mod shell;
mod transcripts;
mod what_if;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};

use crate::module::FilterModule;
use crate::mta::{Mailboxes, Server, ServerOptions, raise_open_files};
use crate::observe::LogLevel;
use crate::serve::{Access, ProxyProtocol, ServeOptions, serve};
use output::Format;

/// The exit code of a command that found honest clients treated worse.
const HARM: u8 = 3;

const EXIT_CODES: &str = "\
EXIT CODES:
  0  done as asked
  1  it could not be done; a scenario failed; a module would not load
  2  the command line is wrong
  3  honest mail came to harm (--fail-on-harm)

Text is coloured on a terminal only, and not where NO_COLOR is set.";

/// Runs proxy-wasm network filters without Envoy, as Envoy would.
#[derive(Debug, Parser)]
#[command(name = "host-sim", version, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Replay(replay::Replay),
    Convert(convert::Convert),
    Fmt(fmt::Fmt),
    Attack(Box<attack::Attack>),
    WhatIf(what_if::WhatIf),
    Transcripts(Box<transcripts::Transcripts>),
    Explain(explain::Explain),
    Inspect(inspect::Inspect),
    /// Serve real clients through a filter.
    Serve(Serve),
    /// Run a small mail server for demonstrations.
    Mta(Mta),
    Completions(shell::Completions),
    Man(shell::Man),
}

/// A filter and its configuration.
#[derive(Debug, Args)]
struct FilterArgs {
    /// The filter.
    #[arg(long, env = "HOST_SIM_WASM", value_name = "FILE")]
    wasm: PathBuf,
    /// The filter's configuration.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

/// A filter whose log is shown.
#[derive(Debug, Args)]
struct Filter {
    #[command(flatten)]
    file: FilterArgs,
    /// Drop the filter's log lines below this level.
    #[arg(long, value_enum, default_value_t = LogLevel::Info)]
    log_level: LogLevel,
}

impl Filter {
    fn module(&self) -> anyhow::Result<FilterModule> {
        self.file.module()
    }

    fn policy(&self) -> anyhow::Result<Option<Vec<u8>>> {
        self.file.policy()
    }
}

impl FilterArgs {
    fn module(&self) -> anyhow::Result<FilterModule> {
        Ok(FilterModule::from_file(&self.wasm)?)
    }

    fn policy(&self) -> anyhow::Result<Option<Vec<u8>>> {
        let read = |path: &Path| {
            std::fs::read(path)
                .with_context(|| format!("cannot read the policy {}", path.display()))
        };
        self.policy.as_deref().map(read).transpose()
    }
}

#[derive(Debug, Args)]
struct Serve {
    #[command(flatten)]
    filter: Filter,
    /// Where to listen; port 0 picks a free one.
    #[arg(long, value_name = "ADDR")]
    listen: SocketAddr,
    /// The mail server.
    #[arg(long, value_name = "ADDR")]
    upstream: SocketAddr,
    /// A cluster that leads a connection routed to it back to itself, its PROXY
    /// line first; may be given more than once.
    #[arg(long, value_name = "NAME")]
    echo_cluster: Vec<String>,
    /// Worker threads, each with its own VM of the filter.
    #[arg(long, default_value_t = 2, value_name = "N")]
    workers: usize,
    /// Every client begins with a PROXY protocol header (v1 or v2).
    #[arg(long)]
    proxy_protocol: bool,
    /// Write no line per session to stderr.
    #[arg(long)]
    quiet: bool,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
struct Mta {
    /// Where to listen; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDR")]
    listen: SocketAddr,
    /// The domain whose mailboxes there are.
    #[arg(long, default_value = "example.test")]
    domain: String,
    /// The mailboxes, by local part; postmaster is always there.
    #[arg(long, default_value = "alice,bob", value_delimiter = ',')]
    known: Vec<String>,
    /// The reply to any other recipient; {address} in it becomes the address.
    #[arg(long, default_value = "451 No such user", value_name = "LINE")]
    unknown_reply: String,
    /// Where the counters go at the end, and on SIGUSR1, as one JSON object.
    #[arg(long, value_name = "FILE")]
    stats: Option<PathBuf>,
    /// CPU time one look-up burns, in microseconds.
    #[arg(long, default_value_t = 0, value_name = "N")]
    lookup_micros: u64,
    #[command(flatten)]
    format: Format,
}

impl Cli {
    /// Does what the command line says.
    ///
    /// # Errors
    /// When it cannot be done at all; a scenario that fails is an exit code.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Replay(replay) => replay.run(),
            Command::Convert(convert) => convert.run(),
            Command::Fmt(fmt) => fmt.run(),
            Command::Attack(attack) => attack.run(),
            Command::WhatIf(what_if) => what_if.run(),
            Command::Transcripts(transcripts) => transcripts.run(),
            Command::Explain(explain) => explain.run(),
            Command::Inspect(inspect) => inspect.run(),
            Command::Serve(serve) => serve.run(),
            Command::Mta(mta) => mta.run(),
            Command::Completions(completions) => completions.run(),
            Command::Man(man) => man.run(),
        }
    }
}

impl Serve {
    fn run(self) -> anyhow::Result<ExitCode> {
        raise_open_files();
        let options = ServeOptions {
            module: self.filter.module()?,
            policy: self.filter.policy()?.unwrap_or_else(|| b"{}".to_vec()),
            listen: self.listen,
            upstream: self.upstream,
            echo_clusters: self.echo_cluster,
            workers: self.workers,
            proxy_protocol: if self.proxy_protocol {
                ProxyProtocol::Expected
            } else {
                ProxyProtocol::Off
            },
            access: if self.quiet {
                Access::Quiet
            } else {
                Access::Printed
            },
            log_level: self.filter.log_level,
        };
        serve(&options, |address| announce(address, self.format))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Mta {
    fn run(self) -> anyhow::Result<ExitCode> {
        raise_open_files();
        let mailboxes = Mailboxes::new(&self.domain, &self.known)
            .unknown_reply(&self.unknown_reply)
            .lookup_cost(Duration::from_micros(self.lookup_micros));
        let options = ServerOptions {
            listen: self.listen,
            mailboxes,
            stats_file: self.stats,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let server = Server::bind(options)?;
            announce(server.local_addr()?, self.format);
            server.run().await?;
            anyhow::Ok(())
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The one line on stdout by which a caller knows where to connect.
fn announce(address: SocketAddr, format: Format) {
    let mut out = std::io::stdout().lock();
    let line = if format.json {
        serde_json::json!({ "listening": address.to_string() }).to_string()
    } else {
        format!("listening on {address}")
    };
    // Whoever closed our stdout does not want to know.
    let _closed = writeln!(out, "{line}").and_then(|()| out.flush());
}
