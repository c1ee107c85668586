//! What the launcher can be told.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use ipnet::IpNet;
use serde_json::{Value, json};

use crate::{
    envoy::{ClientTls, FromClients, HostPort, ToServer},
    paths,
    tls::Certificate,
};

/// The store's cluster in `envoy/envoy.yaml`.
const STORE: &str = "portcullis_store";

/// Runs the guard before a mail server.
#[derive(Debug, Clone, Parser)]
#[command(name = "portcullis-run", version)]
pub struct Options {
    /// Where mail clients connect.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:2525")]
    pub listen: SocketAddr,
    /// The mail server behind, host:port; without it a demo mail server is started.
    #[arg(long, value_name = "HOST:PORT")]
    pub upstream: Option<HostPort>,
    /// Envoy's administration interface.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9901")]
    pub admin: SocketAddr,
    /// The policy, a JSON file; SIGHUP applies a change of it. Default: envoy/policies/default.json,
    /// with --dnsbl on envoy/policies/dnsbl.json.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Worker threads.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub workers: u16,
    /// Whether the listener expects a PROXY protocol header (version 1 or 2).
    #[arg(long, value_name = "on|off", value_enum, default_value_t = Switch::Off)]
    pub proxy_protocol: Switch,
    /// With --proxy-protocol on: a network whose peers may name the client; may be repeated.
    #[arg(long, value_name = "CIDR", default_values = ["127.0.0.0/8", "::1/128"])]
    pub trusted: Vec<IpNet>,
    /// The PROXY protocol header the mail server expects.
    #[arg(long, value_name = "off|v1|v2", value_enum, default_value_t = Header::Off)]
    pub upstream_proxy_protocol: Header,
    /// The blocklists asked about clients (Envoy only): on starts a demo of some, HOST:PORT is a
    /// resolver that speaks DNS over cleartext HTTP/2.
    #[arg(long, value_name = "off|on|HOST:PORT", default_value = "off")]
    pub dnsbl: Beside,
    /// The store that several guards share (Envoy only): on starts Redis and Webdis, HOST:PORT is a
    /// Webdis.
    #[arg(long, value_name = "off|on|HOST:PORT", default_value = "off")]
    pub fleet: Beside,
    /// Where STARTTLS ends (Envoy only): on ends it here with a certificate made for the purpose, a
    /// directory has the files tls.crt and tls.key to use.
    #[arg(long, value_name = "off|on|DIR", default_value = "off")]
    pub starttls: StartTls,
    /// Where the status page is (Envoy only).
    #[arg(long, value_name = "off|ADDR", default_value = "off")]
    pub status: Status,
    /// What runs the filter.
    #[arg(long, value_name = "envoy|sim", value_enum, default_value_t = Host::Envoy)]
    pub host: Host,
    /// Where the access log goes (Envoy only).
    #[arg(long, value_name = "FILE", default_value = ".run/access.log")]
    pub access_log: PathBuf,
}

/// A feature that is on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// Off.
    Off,
    /// On.
    On,
}

/// A PROXY protocol header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Header {
    /// None.
    Off,
    /// Version 1, text.
    V1,
    /// Version 2, binary.
    V2,
}

/// A service beside the guard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Beside {
    /// None.
    Off,
    /// A demo of our own.
    Example,
    /// This one.
    At(HostPort),
}

/// Where the status page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// There is none.
    Off,
    /// Here.
    At(SocketAddr),
}

impl FromStr for Status {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self::Off),
            _ => match text.parse() {
                Ok(address) => Ok(Self::At(address)),
                Err(_) => Err("neither off nor an address with a port, as 127.0.0.1:8025".into()),
            },
        }
    }
}

/// Where STARTTLS ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartTls {
    /// Behind the guard, if anywhere.
    Off,
    /// Here, with a certificate made for the purpose.
    Example,
    /// Here, with the certificate in this directory.
    With(PathBuf),
}

impl FromStr for StartTls {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self::Off),
            "on" => Ok(Self::Example),
            _ if Path::new(text).join("tls.crt").is_file() => Ok(Self::With(text.into())),
            _ => Err("neither on nor off, nor a directory with tls.crt and tls.key".into()),
        }
    }
}

impl FromStr for Beside {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self::Off),
            "on" => Ok(Self::Example),
            _ => match text.parse() {
                Ok(address) => Ok(Self::At(address)),
                Err(error) => Err(format!("neither on nor off, and {error}")),
            },
        }
    }
}

/// What runs the filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Host {
    /// Envoy.
    Envoy,
    /// The simulator, for machines without Envoy.
    Sim,
}

impl Options {
    /// The policy's file.
    #[must_use]
    pub fn policy_file(&self) -> PathBuf {
        let name = match self.dnsbl {
            Beside::Example => "dnsbl.json",
            Beside::Off | Beside::At(_) => "default.json",
        };
        let usual = || paths::repository().join("envoy/policies").join(name);
        self.policy.clone().unwrap_or_else(usual)
    }

    /// Reads the policy; whether it is a good one is for the filter to say.
    ///
    /// # Errors
    /// If the file cannot be read or is no JSON object.
    pub fn read_policy(&self) -> Result<Value> {
        let path = self.policy_file();
        let read = || format!("the policy {}", path.display());
        let text = fs::read_to_string(&path).with_context(read)?;
        let mut policy: Value = serde_json::from_str(&text).with_context(read)?;
        anyhow::ensure!(policy.is_object(), "{}: it must be one JSON object", read());
        if let (Some(fields), false) = (policy.as_object_mut(), self.fleet == Beside::Off) {
            let fleet = fields.entry("fleet").or_insert_with(|| json!({}));
            if let Some(fleet) = fleet.as_object_mut() {
                fleet.entry("cluster").or_insert_with(|| STORE.into());
            }
        }
        Ok(policy)
    }

    /// Whether the options go together.
    ///
    /// # Errors
    /// If one asks for what another rules out.
    pub fn check(&self) -> Result<()> {
        let sim = self.host == Host::Sim;
        anyhow::ensure!(
            !sim || self.upstream_proxy_protocol == Header::Off,
            "--upstream-proxy-protocol: only Envoy sends it; use --host envoy"
        );
        anyhow::ensure!(
            !sim || self.dnsbl == Beside::Off,
            "--dnsbl: only Envoy asks blocklists; use --host envoy"
        );
        anyhow::ensure!(
            !sim || self.fleet == Beside::Off,
            "--fleet: only Envoy asks a store; use --host envoy"
        );
        anyhow::ensure!(
            !sim || self.starttls == StartTls::Off,
            "--starttls: only Envoy does TLS; use --host envoy"
        );
        anyhow::ensure!(
            !matches!(self.dnsbl, Beside::At(_)) || self.policy.is_some(),
            "--dnsbl HOST:PORT: say which lists to ask there, in dnsbl.sites of a --policy"
        );
        Ok(())
    }

    /// How clients arrive.
    #[must_use]
    pub fn from_clients(&self) -> FromClients {
        match self.proxy_protocol {
            Switch::Off => FromClients::Direct,
            Switch::On => FromClients::BehindProxy(self.trusted.clone()),
        }
    }

    /// Where TLS with clients ends.
    ///
    /// # Errors
    /// If the module is not built, or a certificate cannot be made.
    pub fn client_tls(&self) -> Result<ClientTls> {
        let certificate = match &self.starttls {
            StartTls::Off => return Ok(ClientTls::None),
            StartTls::Example => Certificate::temporary()?,
            StartTls::With(directory) => Certificate::in_directory(std::path::absolute(directory)?),
        };
        Ok(ClientTls::StartTls {
            module: paths::starttls()?,
            certificate,
        })
    }

    /// What the server is told of the client.
    #[must_use]
    pub fn to_server(&self) -> ToServer {
        match self.upstream_proxy_protocol {
            Header::Off => ToServer::Plain,
            Header::V1 => ToServer::ProxyV1,
            Header::V2 => ToServer::ProxyV2,
        }
    }
}
