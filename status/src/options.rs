//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Parser;
use thiserror::Error;

/// Shows what a running guard does, on a page of its own.
#[derive(Debug, Clone, Parser)]
#[command(name = "portcullis-status", version)]
pub struct Options {
    /// Envoy's administration interface, or a listener that hands on its /stats/prometheus.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9901")]
    pub admin: AdminAddress,
    /// The access log with the guard's records. Without it the page knows no client by name.
    #[arg(long, value_name = "FILE")]
    pub access_log: Option<PathBuf>,
    /// Where the page is; port 0 picks a free one. It asks for no password.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8025")]
    pub listen: SocketAddr,
}

/// Where Envoy's metrics are: `host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminAddress(String);

/// An address of the administration interface that cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{got:?} is not like http://127.0.0.1:9901; without a port it cannot be reached")]
pub struct AdminAddressError {
    got: String,
}

impl AdminAddress {
    /// `host:port`.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.0
    }
}

impl FromStr for AdminAddress {
    type Err = AdminAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let authority = text.strip_prefix("http://").unwrap_or(text);
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let (host, port) = authority.rsplit_once(':').unwrap_or_default();
        let named = host.bytes().all(|octet| {
            octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'-' | b':' | b'[' | b']')
        });
        if host.is_empty() || !named || port.parse::<u16>().is_err() {
            return Err(AdminAddressError {
                got: text.to_owned(),
            });
        }
        Ok(Self(authority.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_with_or_without_its_scheme() {
        for (text, authority) in [
            ("http://127.0.0.1:9901", "127.0.0.1:9901"),
            ("http://127.0.0.1:9901/", "127.0.0.1:9901"),
            ("envoy.mail.svc:9901", "envoy.mail.svc:9901"),
            ("http://[::1]:9901", "[::1]:9901"),
        ] {
            let read: AdminAddress = text.parse().unwrap();
            assert_eq!(read.authority(), authority);
        }
    }

    #[test]
    fn what_cannot_be_reached_is_refused_in_words() {
        for text in [
            "",
            "https://127.0.0.1:9901",
            "127.0.0.1",
            "http://a/b:1",
            ":1",
        ] {
            let error = text.parse::<AdminAddress>().unwrap_err();
            assert!(
                error.to_string().starts_with(&format!("{text:?}")),
                "{error}"
            );
        }
    }
}
