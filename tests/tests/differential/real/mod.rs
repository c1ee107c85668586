//! All cases on one real Envoy with one worker.
//!
//! After each step this waits until as much is there as in the simulator, so that what
//! both ends do stays in order without a clock. What comes beyond that shows in the end.

mod bootstrap;
mod grpc;
mod log;
mod sockets;
mod upstream;

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use portcullis_tests::deadline::{PATIENCE, Seen, wait_for};
use portcullis_tests::envoy::Admin;
use portcullis_tests::paths;
use portcullis_tests::process::Process;
use tempfile::TempDir;

use crate::case::{Act, Case, Step};
use crate::filter;
use crate::names::Names;
use crate::trace::Trace;
use log::Log;
use sockets::Sockets;
use upstream::Upstream;

/// How long one step may take, with other tests on the same cores.
const STEP: Duration = Duration::from_secs(20);
/// How long the steps may take of a case that has already gone another way.
const LOST: Duration = Duration::from_millis(500);
/// How long what nobody expects is given to show.
const SURPLUS: Duration = Duration::from_millis(400);
/// The pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// A running Envoy with a listener and a server for each case.
pub(crate) struct Real {
    process: Mutex<Process>,
    admin: Admin,
    log: Mutex<Log>,
    listeners: BTreeMap<String, SocketAddr>,
    servers: BTreeMap<&'static str, TcpListener>,
    _upstream: Upstream,
    _directory: TempDir,
}

impl Real {
    /// Starts Envoy with every case's filter.
    pub(crate) fn start(cases: &[Case]) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("portcullis-differential-")
            .tempdir()?;
        let upstream = Upstream::start()?;
        let mut servers = BTreeMap::new();
        for case in cases {
            servers.insert(case.name, TcpListener::bind("127.0.0.1:0")?);
            fs::write(
                directory.path().join(format!("{}.wasm", case.name)),
                filter::module(case)?,
            )?;
        }
        let config = bootstrap::render(cases, &servers, &upstream, directory.path())?;
        let (bootstrap, admin_address) = (
            directory.path().join("envoy.json"),
            directory.path().join("admin-address"),
        );
        fs::write(&bootstrap, format!("{config:#}"))?;
        let mut command = Command::new(paths::envoy()?);
        command
            .arg("--disable-hot-restart")
            .args(["--concurrency", "1"])
            .arg("--config-path")
            .arg(&bootstrap)
            .arg("--admin-address-path")
            .arg(&admin_address)
            .args([
                "--log-level",
                "warning",
                "--component-log-level",
                "wasm:info",
            ])
            .args(["--log-format", log::FORMAT]);
        let log_file = directory.path().join("envoy.log");
        let mut process = Process::start("envoy", command, &log_file)?;
        let admin = wait_for("Envoy's administration interface", PATIENCE, || {
            process.still_runs()?;
            let told = fs::read_to_string(&admin_address).unwrap_or_default();
            let admin = told.trim().parse().ok().map(Admin::at);
            Ok(admin
                .filter(|admin: &Admin| admin.get("/ready").is_ok())
                .map_or(Seen::NotYet(told), Seen::Done))
        })?;
        let listeners = listeners(&admin.get("/listeners")?);
        ensure!(listeners.len() == cases.len(), "{listeners:?}");
        let log = Mutex::new(Log::open(&log_file, process.id())?);
        Ok(Self {
            process: Mutex::new(process),
            admin,
            log,
            listeners,
            servers,
            _upstream: upstream,
            _directory: directory,
        })
    }

    /// Plays all cases at once; `expected` are their traces after each step.
    pub(crate) fn run(&self, cases: &[Case], expected: &[Vec<Trace>]) -> Result<Vec<Trace>> {
        let played: Result<Vec<Played<'_>>> = thread::scope(|scope| {
            let threads: Vec<_> = cases
                .iter()
                .zip(expected)
                .map(|(case, expected)| scope.spawn(move || self.play(case, expected)))
                .collect();
            let join = |thread: thread::ScopedJoinHandle<'_, _>| thread.join();
            let ended = threads.into_iter().map(join);
            ended
                .map(|ended| ended.unwrap_or_else(|_| bail!("a case panicked")))
                .collect::<Result<_>>()
        });
        thread::sleep(SURPLUS);
        // If it is not, that is why a case could not be played.
        unpoisoned(&self.process).still_runs()?;
        let mut played = played?;
        let metrics = metrics(&self.admin.get("/stats?filter=^wasmcustom")?);
        let traces = played.iter_mut().map(|case| {
            let mut trace = case.trace()?;
            let prefix = format!("{}.", case.case.name);
            let own = metrics.iter().filter(|(name, _)| name.starts_with(&prefix));
            trace.metrics = own.map(|(name, value)| (name.clone(), *value)).collect();
            Ok(trace)
        });
        traces.collect()
    }

    fn play<'a>(&'a self, case: &'a Case, expected: &[Trace]) -> Result<Played<'a>> {
        let listener = *self.listeners.get(case.name).context(case.name)?;
        let server = self.servers.get(case.name).context(case.name)?;
        let mut played = Played {
            case,
            real: self,
            listener,
            sockets: Sockets::new(server, case.connections())?,
            lost: false,
        };
        for (step, wanted) in case.steps.iter().zip(expected) {
            played.take(step, wanted).with_context(|| case.name)?;
        }
        Ok(played)
    }
}

/// A case in progress.
struct Played<'a> {
    case: &'a Case,
    real: &'a Real,
    listener: SocketAddr,
    sockets: Sockets<'a>,
    /// Whether it has gone another way than in the simulator.
    lost: bool,
}

impl Played<'_> {
    fn take(&mut self, step: &Step, wanted: &Trace) -> Result<()> {
        let until = Instant::now() + if self.lost { LOST } else { STEP };
        let place = step.connection;
        match &step.act {
            Act::Open => self.sockets.open(place, self.listener)?,
            Act::Client(bytes) => self.sockets.client_writes(place, bytes),
            Act::Server(bytes) => self.sockets.server_writes(place, bytes),
            Act::ClientEnds => self.sockets.client_ends(place),
            Act::ServerEnds => self.sockets.server_ends(place),
            Act::ClientResets => self.sockets.client_resets(place),
            Act::ServerResets => self.sockets.server_resets(place),
            Act::Pass(time) => thread::sleep(*time),
        }
        loop {
            self.sockets.look(wanted)?;
            if self.trace()?.covers(wanted) {
                return Ok(());
            }
            if Instant::now() >= until {
                self.lost = true;
                return Ok(());
            }
            thread::sleep(LOOK_AGAIN);
        }
    }

    fn trace(&mut self) -> Result<Trace> {
        self.sockets.read();
        let names = Names::new(self.listener, self.sockets.server(), self.sockets.clients());
        let mut log = unpoisoned(&self.real.log);
        let lines = log.of(self.case.name)?;
        Ok(Trace {
            filter: lines.iter().map(|line| names.replace(line)).collect(),
            connections: self.sockets.ends(),
            metrics: BTreeMap::new(),
        })
    }
}

/// One line a listener: `name::127.0.0.1:2525`.
fn listeners(page: &str) -> BTreeMap<String, SocketAddr> {
    let listener = |line: &str| {
        let (name, address) = line.split_once("::")?;
        Some((name.to_owned(), address.trim().parse().ok()?))
    };
    page.lines().filter_map(listener).collect()
}

/// One line a metric: `wasmcustom.name: 1`. Histograms have no number there.
fn metrics(page: &str) -> BTreeMap<String, u64> {
    let metric = |line: &str| {
        let (name, value) = line.strip_prefix("wasmcustom.")?.split_once(": ")?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    page.lines().filter_map(metric).collect()
}

fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
