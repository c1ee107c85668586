//! The demo server on TCP.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};

use super::mailboxes::Mailboxes;
use super::session::{Flow, Session};
use super::stats::Stats;
use crate::listen;

/// How the demo server runs.
#[derive(Debug)]
pub struct ServerOptions {
    /// Where it listens; port 0 picks a free one.
    pub listen: SocketAddr,
    /// The mailboxes it knows.
    pub mailboxes: Mailboxes,
    /// Where the counters go, when it ends and on SIGUSR1.
    pub stats_file: Option<PathBuf>,
}

/// Why the demo server could not run.
#[derive(Debug, Error)]
pub enum MtaError {
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {listen}: {source}; choose another --listen (port 0 picks a free one)"
    )]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The statistics file cannot be written.
    #[error("cannot write the statistics to {path}: {source}; choose a writable --stats", path = path.display())]
    Stats {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The runtime failed.
    #[error("the demo server failed: {0}")]
    Runtime(#[from] io::Error),
}

/// A demo server that listens already.
pub struct Server {
    listener: TcpListener,
    mailboxes: Arc<Mailboxes>,
    stats: Arc<Stats>,
    stats_file: Option<PathBuf>,
}

const BUFFER_BYTES: usize = 8 * 1024;
/// How long no connection is taken after taking one failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

impl Server {
    /// Binds the address. Must run within a runtime.
    ///
    /// # Errors
    /// [`MtaError::Listen`].
    pub fn bind(options: ServerOptions) -> Result<Self, MtaError> {
        let listen = options.listen;
        let failed = |source| MtaError::Listen { listen, source };
        let listener = listen::listen(listen).map_err(failed)?;
        let listener = TcpListener::from_std(listener).map_err(failed)?;
        Ok(Self {
            listener,
            mailboxes: Arc::new(options.mailboxes),
            stats: Arc::default(),
            stats_file: options.stats_file,
        })
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// When the system does not know it.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The counters, readable while the server runs.
    #[must_use]
    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.stats)
    }

    /// Serves until SIGTERM or SIGINT, writing the statistics then and on SIGUSR1.
    ///
    /// # Errors
    /// When signals cannot be heard or the statistics cannot be written.
    pub async fn run(self) -> Result<(), MtaError> {
        let mut asked = signal(SignalKind::user_defined1())?;
        let mut ending = Ending::listen()?;
        let (file, stats) = (self.stats_file.clone(), Arc::clone(&self.stats));
        let (stop, stopped) = watch::channel(());
        let local = LocalSet::new();
        local
            .run_until(async {
                let mut serving = std::pin::pin!(self.serve(stopped));
                let mut stop = Some(stop);
                loop {
                    tokio::select! {
                        () = &mut serving => break,
                        () = ending.wait(), if stop.is_some() => stop = None,
                        _ = asked.recv() => write_stats(&stats, file.as_deref())?,
                    }
                }
                write_stats(&stats, file.as_deref())
            })
            .await
    }

    /// Accepts sessions until `stopped`'s sender is dropped, then says 421 to each.
    /// Must run within a [`LocalSet`].
    pub async fn serve(self, mut stopped: watch::Receiver<()>) {
        let (mailboxes, stats) = (&self.mailboxes, &self.stats);
        let mut sessions = JoinSet::new();
        loop {
            tokio::select! {
                _ = stopped.changed() => break,
                Some(_) = sessions.join_next() => {}
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        let (mailboxes, stats) = (Arc::clone(mailboxes), Arc::clone(stats));
                        let stopped = stopped.clone();
                        sessions.spawn_local(async move {
                            // A client that vanishes is no failure of the server.
                            let _gone = serve_one(stream, mailboxes, stats, stopped).await;
                        });
                    }
                    // Out of descriptors: let a session end first.
                    Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                },
            }
        }
        while sessions.join_next().await.is_some() {}
    }
}

/// SIGTERM or SIGINT.
pub(crate) struct Ending {
    terminate: Signal,
    interrupt: Signal,
}

impl Ending {
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

async fn serve_one(
    mut stream: TcpStream,
    mailboxes: Arc<Mailboxes>,
    stats: Arc<Stats>,
    mut stopped: watch::Receiver<()>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut out = Vec::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut session = Session::start(mailboxes, stats, &mut out);
    loop {
        stream.write_all(&out).await?;
        out.clear();
        tokio::select! {
            read = stream.read(&mut buffer) => {
                let read = read?;
                let bytes = buffer.get(..read).unwrap_or_default();
                if bytes.is_empty() {
                    return stream.shutdown().await;
                }
                if session.receive(bytes, &mut out) == Flow::Close {
                    break;
                }
            }
            _ = stopped.changed() => {
                session.shut_down(&mut out);
                break;
            }
        }
    }
    stream.write_all(&out).await?;
    stream.shutdown().await
}

/// Writes the counters as one JSON object, whole or not at all.
fn write_stats(stats: &Stats, file: Option<&Path>) -> Result<(), MtaError> {
    let Some(path) = file else {
        return Ok(());
    };
    let failed = |source: io::Error| MtaError::Stats {
        path: path.to_owned(),
        source,
    };
    let text = serde_json::to_string(&stats.snapshot()).map_err(|error| failed(error.into()))?;
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    std::fs::write(&part, text + "\n").map_err(failed)?;
    std::fs::rename(&part, path).map_err(failed)
}

/// Lets the process open as many files as it may: thousands of sessions need it.
/// Failing is no error; there are then as many sessions as the limit allows.
pub fn raise_open_files() {
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _unchanged = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
}
