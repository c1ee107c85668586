//! Playing a scenario against a filter.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::report::{Entry, Failure, Report};
use super::side::{Reader, Verdict};
use super::text::escape;
use super::{Action, Difference, Expectation, Policy, Scenario, Side, Step, Totals};
use crate::error::HostError;
use crate::module::FilterModule;
use crate::mta::{Flow, Mailboxes, Session, Stats};
use crate::observe::{CloseReason, ConnId, LogLevel};
use crate::simulator::{Builder, Simulator};

/// How long the virtual clock may run on for an expectation to come true.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many octets a seed puts into one segment.
const SEEDED_SEGMENTS: RangeInclusive<usize> = 1..=1460;

/// How scenarios are played.
#[derive(Clone, Debug)]
pub struct PlayOptions {
    /// A policy that goes before the scenario's own.
    pub policy: Option<Vec<u8>>,
    /// Where a scenario's relative policy file is looked for.
    pub directory: PathBuf,
    /// Cut every write into segments of so many bytes; 0 leaves them whole.
    pub split: usize,
    /// How many workers the host has.
    pub workers: usize,
    /// Clusters that lead a connection routed to them to an echo.
    pub echo_clusters: Vec<String>,
    /// The level below which log lines are dropped.
    pub log_level: LogLevel,
    /// Lets this seed cut every write into segments and say how long each is on
    /// its way. What one side does still arrives before the next step.
    pub seed: Option<u64>,
    /// Whether the entries tell what the filter counts.
    pub metrics: MetricNotes,
}

/// Whether a report's entries tell what the filter counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetricNotes {
    /// They do not.
    #[default]
    None,
    /// `# metric NAME +N` for each metric that has changed, or `-N`.
    Changes,
}

impl Default for PlayOptions {
    fn default() -> Self {
        Self {
            policy: None,
            directory: PathBuf::from("."),
            split: 0,
            workers: 1,
            echo_clusters: Vec::new(),
            log_level: LogLevel::Info,
            seed: None,
            metrics: MetricNotes::None,
        }
    }
}

/// Why a scenario could not be played at all.
#[derive(Debug, Error)]
pub enum PlayError {
    /// The policy file cannot be read.
    #[error("cannot read the policy {path}: {source}", path = path.display())]
    Policy {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The filter does not start.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// Plays a scenario from its first line to the end of the session.
///
/// # Errors
/// When the policy cannot be read or the filter does not start with it. What
/// the filter then does wrong is the [`Report`]'s failure.
pub fn play(
    scenario: &Scenario,
    module: &FilterModule,
    options: &PlayOptions,
) -> Result<Report, PlayError> {
    let mut sim = builder(scenario, module, options)?.build()?;
    let known = scenario.known();
    let known = known.map(|(key, value)| sim.set_shared_data(key.as_bytes(), value));
    let known = known.count();
    let conn = sim.open(scenario.client, scenario.local);
    let mut player = Player {
        sim,
        conn,
        split: options.split,
        awaited: scenario.server.mailboxes(),
        mta: None,
        client: Reader::default(),
        server: Reader::default(),
        report: Report::default(),
        logs_seen: 0,
        metrics: options.metrics,
        counted: BTreeMap::new(),
        client_wrote: Vec::new(),
        server_wrote: Vec::new(),
    };
    player.observe();
    for step in scenario.steps.iter().skip(known) {
        if let Err(failure) = player.step(step) {
            player.report.failure = Some(failure);
            break;
        }
    }
    player.finish();
    player.compare();
    player.judge(&scenario.checks);
    Ok(player.report)
}

fn builder(
    scenario: &Scenario,
    module: &FilterModule,
    options: &PlayOptions,
) -> Result<Builder, PlayError> {
    let mut builder = Simulator::builder_for(module)
        .plugin_config(policy(scenario, options)?)
        .workers(options.workers)
        .log_level(options.log_level);
    if let Some(upstream) = scenario.record.upstream {
        builder = builder.server(upstream);
    }
    if let Some(started) = scenario.record.started {
        builder = builder.start_at(started);
    }
    if let Some(seed) = options.seed {
        builder = builder.seed(seed).segments(SEEDED_SEGMENTS);
    }
    let echo_clusters = options.echo_clusters.iter();
    Ok(echo_clusters.fold(builder, Builder::echo_cluster))
}

fn policy(scenario: &Scenario, options: &PlayOptions) -> Result<Vec<u8>, PlayError> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|source| PlayError::Policy {
            path: path.to_owned(),
            source,
        })
    };
    match (&options.policy, &scenario.policy) {
        (Some(policy), _) => Ok(policy.clone()),
        (None, Some(Policy::Inline(policy))) => Ok(policy.clone().into_bytes()),
        (None, Some(Policy::File(path))) => read(&options.directory.join(path)),
        (None, None) => Ok(b"{}".to_vec()),
    }
}

pub(super) struct Player {
    pub(super) sim: Simulator,
    pub(super) conn: ConnId,
    split: usize,
    /// The demo server before it was reached.
    awaited: Option<Mailboxes>,
    mta: Option<Session>,
    client: Reader,
    server: Reader,
    pub(super) report: Report,
    logs_seen: usize,
    metrics: MetricNotes,
    /// What the filter had counted when it was last looked at.
    counted: BTreeMap<String, u64>,
    client_wrote: Vec<u8>,
    server_wrote: Vec<u8>,
}

impl Player {
    /// The demo server greets once it has been reached: a filter may hold the
    /// connection first, or lead it elsewhere.
    fn start_server(&mut self) -> bool {
        if self.sim.server_connections() == 0 {
            return false;
        }
        let Some(mailboxes) = self.awaited.take() else {
            return false;
        };
        let mut greeting = Vec::new();
        let stats = Arc::new(Stats::default());
        self.mta = Some(Session::start(Arc::new(mailboxes), stats, &mut greeting));
        self.write(Side::Server, &greeting);
        true
    }

    /// Lets time pass while the filter holds the connection: a server that was
    /// not reached has nobody to write to.
    fn await_server(&mut self) {
        let deadline = self.sim.elapsed() + PATIENCE;
        while self.sim.server_connections() == 0
            && self.sim.upstream_cluster(self.conn).is_none()
            && let Some(wait) = self.sim.until_next_event()
            && self.sim.elapsed() + wait <= deadline
        {
            self.sim.advance(wait);
            self.observe();
        }
    }

    fn step(&mut self, step: &Step) -> Result<(), Failure> {
        if let Some(at) = step.at {
            let wait = at.saturating_sub(self.sim.elapsed());
            self.sim.advance(wait);
            self.observe();
        }
        match &step.action {
            Action::Write(side, segment) => {
                if *side == Side::Server {
                    self.await_server();
                }
                self.write(*side, segment.bytes());
            }
            Action::HalfClose(side) => {
                self.note(format!("{}|", side.letter()));
                match side {
                    Side::Client => self.sim.client_half_close(self.conn),
                    Side::Server => self.sim.server_half_close(self.conn),
                }
            }
            Action::Abort(side) => {
                self.note(format!("{}!", side.letter()));
                match side {
                    Side::Client => self.sim.client_abort(self.conn),
                    Side::Server => self.sim.server_abort(self.conn),
                }
            }
            Action::Share { key, value } => self.sim.set_shared_data(key.as_bytes(), value),
            Action::Message(message) => self.sim.tell_worker(self.conn, message),
            Action::Expect(side, expectation) => self.expect(step.line, *side, expectation)?,
        }
        self.observe();
        Ok(())
    }

    /// Writes a segment, or the pieces it is to be cut into.
    fn write(&mut self, side: Side, bytes: &[u8]) {
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.note(format!("{}> {}", side.letter(), escape(line)));
        }
        match side {
            Side::Client => self.client_wrote.extend_from_slice(bytes),
            Side::Server => self.server_wrote.extend_from_slice(bytes),
        }
        let size = if self.split == 0 {
            bytes.len()
        } else {
            self.split
        };
        for piece in bytes.chunks(size.max(1)) {
            match side {
                Side::Client => self.sim.client_write(self.conn, piece),
                Side::Server => self.sim.server_write(self.conn, piece),
            }
            if self.mta.is_none() || side == Side::Client {
                self.observe();
            }
        }
    }

    /// Waits for an expectation as long as something can still happen by itself.
    fn expect(
        &mut self,
        line: usize,
        side: Side,
        expectation: &Expectation,
    ) -> Result<(), Failure> {
        let deadline = self.sim.elapsed() + PATIENCE;
        loop {
            let reader = match side {
                Side::Client => &mut self.client,
                Side::Server => &mut self.server,
            };
            let next = self.sim.until_next_event();
            let next = next.filter(|wait| self.sim.elapsed() + *wait <= deadline);
            match (reader.meet(expectation), next) {
                (Verdict::Met, _) => return Ok(()),
                (Verdict::Wait, Some(wait)) => {
                    self.sim.advance(wait);
                    self.observe();
                }
                (Verdict::Wait, None) | (Verdict::Failed, _) => {
                    return Err(Failure {
                        line: Some(line),
                        expected: expectation.describe(side),
                        got: reader.describe(),
                    });
                }
            }
        }
    }

    /// Takes in what both sides have read, lets the demo server answer, until all is quiet.
    fn observe(&mut self) {
        loop {
            self.settle();
            self.note_logs();
            self.note_metrics();
            let taken = self.sim.take_server(self.conn);
            let bytes = taken.bytes.clone();
            let (lines, ended) = self.server.take_in(taken);
            for line in lines {
                self.note(format!("S< {line}"));
            }
            if ended {
                self.note("S<|".to_owned());
            }
            let taken = self.sim.take_client(self.conn);
            let (lines, client_ended) = self.client.take_in(taken);
            for line in lines {
                self.note(format!("C< {line}"));
            }
            if client_ended {
                self.note("C<|".to_owned());
            }
            let greeted = self.start_server();
            if !self.answer(&bytes, ended) && !greeted {
                return;
            }
        }
    }

    /// Lets arrive what a seed has on its way.
    fn settle(&mut self) {
        if self.sim.seed().is_some() {
            // What is still busy then is looked at as it is.
            let _quiet = self.sim.advance_until_quiet(PATIENCE);
        }
    }

    /// The demo server's turn. Says whether it did anything.
    fn answer(&mut self, bytes: &[u8], ended: bool) -> bool {
        let Some(session) = &mut self.mta else {
            return false;
        };
        if bytes.is_empty() && !ended {
            return false;
        }
        let mut out = Vec::new();
        let flow = session.receive(bytes, &mut out);
        self.write(Side::Server, &out);
        if flow == Flow::Close || ended {
            self.note("S|".to_owned());
            self.sim.server_half_close(self.conn);
            self.mta = None;
        }
        true
    }

    /// Ends what is still open, so that the filter sees the session's end.
    fn finish(&mut self) {
        self.note("# the scenario ends".to_owned());
        if self.sim.summary(self.conn).is_none() {
            self.sim.client_half_close(self.conn);
            self.observe();
            self.sim.server_half_close(self.conn);
            self.observe();
        }
        if self.sim.summary(self.conn).is_none() {
            self.sim.client_abort(self.conn);
            self.observe();
        }
        if let Some(summary) = self.sim.summary(self.conn).cloned() {
            self.report.closed = Some(summary.reason);
            if summary.reason == CloseReason::Filter {
                self.note("# closed by the filter".to_owned());
            }
            for (name, value) in &summary.properties {
                let value = String::from_utf8_lossy(value);
                self.note(format!("# property {name} {value}"));
            }
        }
    }

    /// Holds what each side has read against what the other wrote.
    fn compare(&mut self) {
        let server_read = self.sim.server_inbox(self.conn).bytes();
        let client_read = self.sim.client_inbox(self.conn).bytes();
        self.report.totals = Totals {
            client_wrote: self.client_wrote.len(),
            server_read: server_read.len(),
            server_wrote: self.server_wrote.len(),
            client_read: client_read.len(),
        };
        let differences = [
            Difference::find(Side::Server, &self.client_wrote, &server_read),
            Difference::find(Side::Client, &self.server_wrote, &client_read),
        ];
        self.report.differences = differences.into_iter().flatten().collect();
    }

    fn note_logs(&mut self) {
        let new = self.sim.logs().iter().skip(self.logs_seen);
        let new: Vec<Entry> = new
            .map(|line| Entry {
                at: self.sim.since_start(line.at),
                text: format!("# log {} {}", line.level, line.text),
            })
            .collect();
        self.logs_seen += new.len();
        self.report.entries.extend(new);
    }

    fn note_metrics(&mut self) {
        if self.metrics == MetricNotes::None {
            return;
        }
        let now = self.sim.metrics();
        for (name, value) in &now {
            let before = self.counted.get(name).copied().unwrap_or_default();
            let sign = if *value < before { '-' } else { '+' };
            if *value != before {
                self.note(format!("# metric {name} {sign}{}", value.abs_diff(before)));
            }
        }
        self.counted = now;
    }

    fn note(&mut self, text: String) {
        let at = self.sim.elapsed();
        self.report.entries.push(Entry { at, text });
    }
}
