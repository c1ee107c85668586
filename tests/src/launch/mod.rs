//! The launcher behind `make run`: the guard before a mail server, in the foreground.

mod blocklists;
mod guard;
mod options;
mod server;
mod status;
mod store;

use std::time::Duration;

use anyhow::Result;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time,
};

pub(crate) use blocklists::Blocklists;
pub use options::{Beside, Options};

use guard::RunningGuard;
use server::Server;
use status::Page;
use store::SharedStore;

/// How often the launcher looks whether its processes still run.
const WATCH: Duration = Duration::from_millis(500);

/// Starts what the options ask for, says how to talk to it, and stays until it is told to end.
///
/// # Errors
/// Whatever keeps the guard from running, in words meant for whoever started it.
pub fn run(options: &Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // Asked for before anything starts, so that no signal ends this program uncleaned.
    let signals = runtime.block_on(async { Signals::catch() })?;
    options.check()?;
    Page::check(options)?;
    let server = Server::provide(options)?;
    let blocklists = Blocklists::provide(&options.dnsbl)?;
    let store = SharedStore::provide(&options.fleet)?;
    let beside = Services { blocklists, store };
    let guard = RunningGuard::start(options, &server, &beside)?;
    let page = Page::provide(options, &guard)?;
    print!("{}", guard.introduction(options, &server, &beside, &page));
    let mut running = Running {
        page,
        guard,
        beside,
        server,
    };
    runtime.block_on(stay(signals, options, &mut running))
}

/// What the launcher has started, in the order in which it is ended.
struct Running {
    page: Page,
    guard: RunningGuard,
    beside: Services,
    server: Server,
}

/// What stands beside the guard.
struct Services {
    blocklists: Blocklists,
    store: SharedStore,
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn catch() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }
}

async fn stay(mut signals: Signals, options: &Options, running: &mut Running) -> Result<()> {
    let mut watch = time::interval(WATCH);
    loop {
        tokio::select! {
            _ = signals.interrupt.recv() => break,
            _ = signals.terminate.recv() => break,
            _ = signals.hang_up.recv() => println!("{}", running.guard.reload(options)),
            _ = watch.tick() => {
                running.server.still_runs()?;
                running.beside.blocklists.still_run()?;
                running.beside.store.still_runs()?;
                running.guard.still_runs()?;
                running.page.watch();
            }
        }
    }
    println!("portcullis: ending");
    Ok(())
}
