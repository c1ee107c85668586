//! What can be chosen about an Envoy; the rest is what `envoy.yaml` says.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use ipnet::IpNet;
use serde_json::{Value, json};

use crate::tls::Certificate;

/// What stands between the listener and the server.
#[derive(Debug, Clone)]
pub enum Guard {
    /// Nothing: Envoy's TCP proxy alone, the peer that the guard is compared with.
    Absent,
    /// The filter.
    Present {
        /// The built filter.
        wasm: PathBuf,
        /// Its policy, one JSON object.
        policy: Value,
    },
}

/// How clients arrive at the listener.
#[derive(Debug, Clone, Default)]
pub enum FromClients {
    /// They connect themselves.
    #[default]
    Direct,
    /// A front proxy names them by the PROXY protocol; only peers in these networks may.
    BehindProxy(Vec<IpNet>),
}

/// Where TLS with clients ends.
#[derive(Debug, Clone, Default)]
pub enum ClientTls {
    /// Not here: the listener is cleartext for good.
    #[default]
    None,
    /// Here, when the client says STARTTLS.
    StartTls {
        /// The module that starts it.
        module: PathBuf,
        /// What clients see.
        certificate: Certificate,
    },
    /// Nowhere, though the module is there: the transport socket that it needs is not. A mistake, to
    /// see what comes of it.
    ModuleAlone {
        /// The module.
        module: PathBuf,
    },
    /// Here, from the first byte on.
    Implicit {
        /// What clients see.
        certificate: Certificate,
    },
}

impl ClientTls {
    /// What clients see, if there is TLS.
    pub(super) fn certificate(&self) -> Option<&Certificate> {
        match self {
            Self::None | Self::ModuleAlone { .. } => None,
            Self::StartTls { certificate, .. } | Self::Implicit { certificate } => {
                Some(certificate)
            }
        }
    }
}

/// What the server is told about the client.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ToServer {
    /// Nothing: the server sees Envoy's address.
    #[default]
    Plain,
    /// A PROXY protocol header, version 1 (text).
    ProxyV1,
    /// A PROXY protocol header, version 2 (binary).
    ProxyV2,
    /// The same, and that the client uses TLS. Only for [`ClientTls::Implicit`].
    ProxyV2OfTls,
    /// Nothing, but under TLS, if the server's certificate is signed by this one; a file.
    Tls(PathBuf),
}

/// Where a service is that the guard asks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ServiceAt {
    /// Nowhere: the cluster is left out.
    #[default]
    Absent,
    /// There, in cleartext.
    Address(HostPort),
}

impl From<SocketAddr> for ServiceAt {
    fn from(address: SocketAddr) -> Self {
        Self::Address(address.into())
    }
}

/// A host, by name or address, and a port, as in `mx.example.test:25` or `[2001:db8::1]:25`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// The host, an IPv6 address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl From<SocketAddr> for HostPort {
    fn from(address: SocketAddr) -> Self {
        Self {
            host: address.ip().to_string(),
            port: address.port(),
        }
    }
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(address.into());
        }
        let parts = text
            .rsplit_once(':')
            .filter(|(host, _)| !host.is_empty() && !host.contains(':'));
        match parts.map(|(host, port)| (host, port.parse())) {
            Some((host, Ok(port))) => Ok(Self {
                host: host.into(),
                port,
            }),
            _ => Err(format!(
                "{text:?} is not host:port, such as 192.0.2.25:25 or [2001:db8::1]:25"
            )),
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(out, "[{}]:{}", self.host, self.port),
            false => write!(out, "{}:{}", self.host, self.port),
        }
    }
}

/// An Envoy to be started with [`EnvoyConfig::start`].
#[derive(Debug, Clone)]
pub struct EnvoyConfig {
    pub(super) listen: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) upstream: HostPort,
    pub(super) guard: Guard,
    pub(super) from_clients: FromClients,
    pub(super) client_tls: ClientTls,
    pub(super) client_ca: Option<PathBuf>,
    pub(super) to_server: ToServer,
    pub(super) dnsbl: ServiceAt,
    pub(super) store: ServiceAt,
    pub(super) workers: usize,
    pub(super) access_log: Option<PathBuf>,
    pub(super) drain: Duration,
}

/// How long sessions go on under the policy they began with, once there is another: a long mail has
/// to finish, and RFC 5321 section 4.5.3.2 lets a server take ten minutes for the last reply alone.
const DRAIN: Duration = Duration::from_secs(3600);

impl EnvoyConfig {
    /// An Envoy before this server, on free loopback ports, with two workers.
    #[must_use]
    pub fn before(upstream: impl Into<HostPort>, guard: Guard) -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            listen: any,
            admin: any,
            upstream: upstream.into(),
            guard,
            from_clients: FromClients::default(),
            client_tls: ClientTls::default(),
            client_ca: None,
            to_server: ToServer::default(),
            dnsbl: ServiceAt::default(),
            store: ServiceAt::default(),
            workers: 2,
            access_log: None,
            drain: DRAIN,
        }
    }

    /// Listens here; port 0 picks a free one.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Puts the administration interface here; port 0 picks a free one.
    #[must_use]
    pub fn admin(mut self, address: SocketAddr) -> Self {
        self.admin = address;
        self
    }

    /// How clients arrive.
    #[must_use]
    pub fn from_clients(mut self, from_clients: FromClients) -> Self {
        self.from_clients = from_clients;
        self
    }

    /// Where TLS with clients ends.
    #[must_use]
    pub fn client_tls(mut self, tls: ClientTls) -> Self {
        self.client_tls = tls;
        self
    }

    /// Asks clients for certificates that this authority has signed; a file.
    #[must_use]
    pub fn client_ca(mut self, file: PathBuf) -> Self {
        self.client_ca = Some(file);
        self
    }

    /// What the server is told.
    #[must_use]
    pub fn to_server(mut self, to_server: ToServer) -> Self {
        self.to_server = to_server;
        self
    }

    /// Where the guard asks about clients.
    #[must_use]
    pub fn dnsbl(mut self, dnsbl: impl Into<ServiceAt>) -> Self {
        self.dnsbl = dnsbl.into();
        self
    }

    /// Where the store is that several guards share.
    #[must_use]
    pub fn store(mut self, store: impl Into<ServiceAt>) -> Self {
        self.store = store.into();
        self
    }

    /// How many worker threads.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// How long sessions go on once their policy has been replaced; then Envoy cuts them.
    #[must_use]
    pub fn drain(mut self, time: Duration) -> Self {
        self.drain = time;
        self
    }

    /// Writes the access log here instead of into its runtime directory.
    #[must_use]
    pub fn access_log(mut self, path: PathBuf) -> Self {
        self.access_log = Some(path);
        self
    }
}

impl Guard {
    /// The built filter with its default policy.
    ///
    /// # Errors
    /// [`crate::Error::Missing`] if the filter is not built.
    pub fn with_defaults() -> Result<Self, crate::Error> {
        Self::with_policy(json!({}))
    }

    /// The built filter with this policy.
    ///
    /// # Errors
    /// [`crate::Error::Missing`] if the filter is not built.
    pub fn with_policy(policy: Value) -> Result<Self, crate::Error> {
        Ok(Self::Present {
            wasm: crate::paths::wasm()?,
            policy,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<(String, u16), String> {
        text.parse().map(|HostPort { host, port }| (host, port))
    }

    #[test]
    fn a_host_is_a_name_or_an_address_of_either_family() {
        assert_eq!(
            parsed("mx.example.test:25"),
            Ok(("mx.example.test".into(), 25))
        );
        assert_eq!(parsed("192.0.2.25:2525"), Ok(("192.0.2.25".into(), 2525)));
        assert_eq!(parsed("[2001:db8::1]:25"), Ok(("2001:db8::1".into(), 25)));
    }

    #[test]
    fn what_is_printed_is_read_back() {
        for text in ["mx.example.test:25", "192.0.2.25:2525", "[2001:db8::1]:25"] {
            assert_eq!(text.parse::<HostPort>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_missing_or_wrong_port_is_an_error() {
        for text in [
            "mx.example.test",
            ":25",
            "mx.example.test:smtp",
            "2001:db8::1:25",
            "a:70000",
        ] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }
}
