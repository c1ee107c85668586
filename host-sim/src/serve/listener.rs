//! Taking connections and dealing them out to the workers.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Notify, watch};

use super::worker_thread::{self, Task};
use super::{ServeError, ServeOptions};
use crate::callouts::Callouts;
use crate::listen;
use crate::mta::Ending;
use crate::plugin::Plugin;
use crate::shared::Shared;
use crate::worker::Recipe;

/// How long no connection is taken after taking one failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A proxy that serves. Dropping it ends every session and waits for the threads.
pub struct Proxy {
    address: SocketAddr,
    stop: Option<watch::Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Proxy {
    /// Starts the filter on every worker, then listens.
    ///
    /// # Errors
    /// When the filter does not start, or the address cannot be listened on.
    pub fn start(options: &ServeOptions) -> Result<Self, ServeError> {
        let listen = options.listen;
        let failed = |source: io::Error| ServeError::Listen { listen, source };
        let listener = listen::listen(listen).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (stop, stopped) = watch::channel(());
        let mut proxy = Self {
            address,
            stop: Some(stop),
            threads: Vec::new(),
        };
        let mut workers = Vec::new();
        for task in tasks(options, &stopped) {
            let (sockets, thread) = worker_thread::spawn(task)?;
            workers.push(sockets);
            proxy.threads.push(thread);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let accepting = std::thread::Builder::new().name("accept".to_owned());
        proxy.threads.push(accepting.spawn(move || {
            if let Err(error) = runtime.block_on(accept(listener, &workers, stopped)) {
                eprintln!("[critical] no more connections are taken: {error}");
            }
        })?);
        Ok(proxy)
    }

    /// The address it listens on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop = None;
        for thread in self.threads.drain(..) {
            // A worker that panicked has said so on stderr.
            let _panicked = thread.join();
        }
    }
}

/// Serves until SIGTERM or SIGINT, after calling `ready` with the address.
///
/// # Errors
/// As [`Proxy::start`], and when signals cannot be heard.
pub fn serve(options: &ServeOptions, ready: impl FnOnce(SocketAddr)) -> Result<(), ServeError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut ending = Ending::listen()?;
        let proxy = Proxy::start(options)?;
        ready(proxy.local_addr());
        ending.wait().await;
        drop(proxy);
        Ok(())
    })
}

fn tasks(options: &ServeOptions, stopped: &watch::Receiver<()>) -> Vec<Task> {
    let workers = options.workers.max(1);
    let bells: Arc<[Notify]> = (0..workers).map(|_| Notify::new()).collect();
    let ring = Arc::clone(&bells);
    let wake = Box::new(move |worker| {
        if let Some(bell) = ring.get::<usize>(worker) {
            bell.notify_one();
        }
    });
    let shared = Arc::new(Shared::new(wake, Arc::default()));
    let plugin = Arc::new(Plugin {
        configuration: options.policy.clone(),
        log_level: options.log_level,
        ..Plugin::default()
    });
    let callouts = Arc::new(Callouts::new(BTreeMap::new(), Arc::default()));
    let echo_clusters = Arc::new(options.echo_clusters.iter().cloned().collect());
    (0..workers)
        .map(|worker| Task {
            recipe: Recipe {
                module: options.module.clone(),
                plugin: Arc::clone(&plugin),
                shared: Arc::clone(&shared),
                callouts: Arc::clone(&callouts),
                echo_clusters: Arc::clone(&echo_clusters),
                worker,
            },
            bells: Arc::clone(&bells),
            upstream: options.upstream,
            proxy_protocol: options.proxy_protocol,
            access: options.access,
            stopped: stopped.clone(),
        })
        .collect()
}

async fn accept(
    listener: TcpListener,
    workers: &[UnboundedSender<TcpStream>],
    mut stopped: watch::Receiver<()>,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut turn = workers.iter().cycle();
    loop {
        tokio::select! {
            _ = stopped.changed() => return Ok(()),
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    if let (Some(worker), Ok(stream)) = (turn.next(), stream.into_std()) {
                        // A worker that is gone closes the client with the socket.
                        let _gone = worker.send(stream);
                    }
                }
                // Out of descriptors: let a session end first.
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
        }
    }
}
