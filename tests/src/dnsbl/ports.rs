//! Free ports for servers that cannot be asked which one they got.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
};

use crate::Error;

/// An address free for UDP and TCP alike: resolvers take both.
///
/// # Errors
/// [`Error::Address`] if there is none.
pub fn free() -> Result<SocketAddr, Error> {
    let bound = || -> io::Result<SocketAddr> {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = tcp.local_addr()?;
        UdpSocket::bind(address)?;
        Ok(address)
    };
    // The same port may be taken for UDP; the next one is hardly taken too.
    bound()
        .or_else(|_| bound())
        .map_err(|source| Error::Address {
            address: "127.0.0.1:0".into(),
            source,
            flag: "nothing; free some ports",
        })
}
