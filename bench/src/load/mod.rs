//! Mail by the thousand. Clients are many: each connection comes from one of a few hundred loopback
//! addresses, which `smtp-source` cannot do; it is used where it can do the work.

mod bulk;
mod bulk_sink;
mod crowd;
mod deliver;
mod probe;
mod smtp_source;
mod wire;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, Result};

pub use bulk::{Transfer, large_message, send_large};
pub use bulk_sink::{BulkSink, send_opaque};
pub use crowd::{Crowd, State};
pub use deliver::{Delivered, Deliveries, Kept, PerConnection, deliver};
pub use probe::{Latencies, probe};
pub use smtp_source::smtp_source;
pub use wire::Wire;

pub(crate) use deliver::message;

/// How many addresses have those who deliver mail.
pub const CLIENTS: usize = 200;

/// How long any one work may take before it is given up.
pub const DEADLINE: Duration = Duration::from_secs(180);

/// A client's address by its number: 127.30.0.1 and on, some sixty thousand.
#[must_use]
pub fn client(number: usize) -> Ipv4Addr {
    let number = u16::try_from(number % 60_000).unwrap_or_default() + 1;
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(127, 30, high, low)
}

/// Runs some work on a runtime of its own, with a deadline.
///
/// # Errors
/// What the work says, or that it was late.
pub fn run<T>(doing: &str, work: impl Future<Output = io::Result<T>>) -> Result<T> {
    run_for(DEADLINE, doing, work)
}

/// The same with another deadline.
///
/// # Errors
/// As [`run`].
pub fn run_for<T>(
    within: Duration,
    doing: &str,
    work: impl Future<Output = io::Result<T>>,
) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime
        .block_on(async { tokio::time::timeout(within, work).await })
        .with_context(|| format!("{doing}: not done within {within:?}"))?
        .with_context(|| doing.to_owned())
}

async fn connect(from: Ipv4Addr, to: SocketAddr) -> io::Result<tokio::net::TcpStream> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((from, 0)))?;
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
