//! Listening sockets.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections the system accepts for us before we do. Beyond the backlog Linux
/// lets a client believe it is connected; one that waits for the greeting then
/// waits until a retransmission, so a burst of bots must fit.
const BACKLOG: i32 = 4096;

/// A listening socket, not blocking. Port 0 picks a free one.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
