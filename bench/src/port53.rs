//! A name server's own port. Programs that ask by the system's resolver know no other, and
//! rbldnsd, which is no longer root when it binds, cannot have it: this passes its datagrams on.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result};

/// How long a server may take to answer, and how often it is looked whether this is over.
const PATIENCE: Duration = Duration::from_millis(200);

/// Port 53 of a loopback address, and who is behind it; dropping it closes it.
#[derive(Debug)]
pub struct Port53 {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Port53 {
    /// Passes on what comes to it.
    ///
    /// # Errors
    /// If this program may not have the port: only root may.
    pub fn before(server: SocketAddr) -> Result<Self> {
        let socket = bind()?;
        let address = socket.local_addr()?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                // Who asked asks again, as is usual with datagrams.
                let _ = pass_on(&socket, server);
            }
        });
        Ok(Self {
            address,
            stop,
            thread: Some(thread),
        })
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Port53 {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// On an address that no other run has: each is another process.
fn bind() -> Result<UdpSocket> {
    let [.., high, low] = process::id().to_be_bytes();
    let tried = (53..60).map(|second| UdpSocket::bind((Ipv4Addr::new(127, second, high, low), 53)));
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for one in tried {
        match one {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last).context("port 53 of a loopback address, which only root may have")
}

fn pass_on(socket: &UdpSocket, server: SocketAddr) -> io::Result<()> {
    let mut datagram = [0; 1500];
    let (count, from) = socket.recv_from(&mut datagram)?;
    let behind = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    behind.set_read_timeout(Some(PATIENCE))?;
    behind.connect(server)?;
    behind.send(datagram.get(..count).unwrap_or_default())?;
    let count = behind.recv(&mut datagram)?;
    socket.send_to(datagram.get(..count).unwrap_or_default(), from)?;
    Ok(())
}
