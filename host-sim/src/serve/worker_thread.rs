//! One worker on a thread of its own: ticks, queue callbacks and new sessions.

use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinSet, LocalSet};

use super::hub::{Clock, Hub};
use super::session::{self, Setting};
use super::{Access, ProxyProtocol, ServeError};
use crate::worker::{Recipe, Worker};

/// What a worker thread needs.
pub(super) struct Task {
    pub(super) recipe: Recipe,
    /// One per worker, rung when one of its queues got an item.
    pub(super) bells: Arc<[Notify]>,
    pub(super) upstream: SocketAddr,
    pub(super) proxy_protocol: ProxyProtocol,
    pub(super) access: Access,
    pub(super) stopped: watch::Receiver<()>,
}

/// Starts the thread and waits until the filter is configured there.
pub(super) fn spawn(
    task: Task,
) -> Result<(UnboundedSender<TcpStream>, JoinHandle<()>), ServeError> {
    let (sockets, incoming) = unbounded_channel();
    let (started, outcome) = sync_channel(1);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let thread = std::thread::Builder::new().name(format!("worker {}", task.recipe.worker));
    let thread = thread.spawn(move || {
        let clock = Clock::start();
        let (result, worker) = match Worker::start(task.recipe.clone(), clock.now()) {
            Ok(worker) => (Ok(()), Some(worker)),
            Err(error) => (Err(error), None),
        };
        let listened = started.send(result).is_ok();
        if let Some(worker) = worker.filter(|_| listened) {
            let hub = Rc::new(Hub::new(worker, clock));
            LocalSet::new().block_on(&runtime, run(hub, task, incoming));
        }
    })?;
    match outcome.recv() {
        Ok(Ok(())) => Ok((sockets, thread)),
        Ok(Err(error)) => Err(error.into()),
        Err(gone) => Err(std::io::Error::other(gone).into()),
    }
}

async fn run(hub: Rc<Hub>, task: Task, mut incoming: UnboundedReceiver<TcpStream>) {
    let mut stopped = task.stopped.clone();
    let mut sessions = JoinSet::new();
    // Whatever the filter logged or asked for while it was configured.
    hub.drive(|_| ());
    loop {
        tokio::select! {
            _ = stopped.changed() => break,
            Some(socket) = incoming.recv() => {
                let setting = Setting {
                    hub: Rc::clone(&hub),
                    upstream: task.upstream,
                    proxy_protocol: task.proxy_protocol,
                    access: task.access,
                    stopped: task.stopped.clone(),
                };
                sessions.spawn_local(session::serve(socket, setting));
            }
            Some(_) = sessions.join_next() => {}
            () = rung(&task) => hub.drive(|_| ()),
            () = hub.tick_changed.notified() => {}
            () = until(hub.until_next_tick()) => hub.drive(Worker::run_tick),
        }
    }
    while sessions.join_next().await.is_some() {}
}

async fn rung(task: &Task) {
    match task.bells.get(task.recipe.worker) {
        Some(bell) => bell.notified().await,
        None => std::future::pending().await,
    }
}

async fn until(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}
