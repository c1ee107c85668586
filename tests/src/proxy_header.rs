//! PROXY protocol headers as a front proxy would send them (the HAProxy specification, versions 1
//! and 2).

use std::{io, net::SocketAddr};

use ppp::v2;

use crate::Error;

/// The text header, such as `PROXY TCP4 203.0.113.7 192.0.2.1 5555 25`.
#[must_use]
pub fn version_1(client: SocketAddr, server: SocketAddr) -> Vec<u8> {
    ppp::v1::Addresses::from((client, server))
        .to_string()
        .into_bytes()
}

/// The binary header with the same content.
///
/// # Errors
/// [`Error::Smtp`] if the header cannot be built.
pub fn version_2(client: SocketAddr, server: SocketAddr) -> Result<Vec<u8>, Error> {
    let command = v2::Version::Two | v2::Command::Proxy;
    v2::Builder::with_addresses(command, v2::Protocol::Stream, (client, server))
        .build()
        .map_err(|error| io::Error::other(error.to_string()))
        .map_err(Error::smtp("building a PROXY header"))
}
