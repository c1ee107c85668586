//! All recorded sessions before one filter, in one simulator: what it remembers of
//! one, the next one meets.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::recording::{Deed, Recording};
use super::server::Servers;
use super::treatment::Treatment;
use super::units::Replies;
use crate::attack::{Guard, RecordFields};
use crate::clock::Timestamp;
use crate::error::HostError;
use crate::observe::{ConnId, LogLevel};
use crate::simulator::Simulator;

/// The order of what happens at once is left to one seed: both policies meet the same.
const SEED: u64 = 1;
/// How long the server takes for each reply.
const SERVER_DELAY: Duration = Duration::from_millis(1);
/// How long a client waits for a reply (RFC 5321 section 4.5.3.2).
const PATIENCE: Duration = Duration::from_secs(300);
/// Between sessions that do not say when they began.
const APART: Duration = Duration::from_secs(1);

/// Something to be done at its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Task {
    Open(usize),
    GoOn(ConnId),
    GiveUp(ConnId),
}

pub(super) struct Stage<'a> {
    recordings: &'a [Recording],
    sim: Simulator,
    servers: Servers,
    tasks: BinaryHeap<Reverse<(Duration, Task)>>,
    playing: HashMap<ConnId, Playing>,
    treatments: Vec<Treatment>,
    fields: &'a RecordFields,
    progress: &'a AtomicU64,
}

/// A session under way.
struct Playing {
    number: usize,
    began: Duration,
    replies: Replies,
    seen: usize,
    said: usize,
    active_at: Duration,
    read: Vec<u8>,
    led_to_server: bool,
    left: bool,
}

impl<'a> Stage<'a> {
    pub(super) fn set(
        recordings: &'a [Recording],
        guard: &Guard,
        fields: &'a RecordFields,
        progress: &'a AtomicU64,
    ) -> Result<Self, HostError> {
        let servers = Servers::default();
        let times = beginnings(recordings);
        let start = recordings
            .iter()
            .filter_map(|session| session.started)
            .min();
        let mut builder = Simulator::builder_for(&guard.module)
            .plugin_config(guard.policy.clone())
            .start_at(start.unwrap_or(Timestamp::SIMULATION_START))
            .seed(SEED)
            .log_level(LogLevel::Error)
            .responder(servers.clone())
            .server_delay(SERVER_DELAY..=SERVER_DELAY);
        for name in &guard.echo_clusters {
            builder = builder.echo_cluster(name);
        }
        let tasks = times.into_iter().enumerate();
        Ok(Self {
            recordings,
            sim: builder.build()?,
            servers,
            tasks: tasks
                .map(|(number, at)| Reverse((at, Task::Open(number))))
                .collect(),
            playing: HashMap::new(),
            treatments: vec![Treatment::default(); recordings.len()],
            fields,
            progress,
        })
    }

    /// Plays them all; how each was treated.
    pub(super) fn play(mut self) -> Vec<Treatment> {
        while let Some(Reverse((due, _))) = self.tasks.peek() {
            let wait = due.saturating_sub(self.sim.elapsed());
            if self.sim.advance_until_heard(wait) {
                for conn in self.sim.take_heard() {
                    self.hear(conn);
                }
            }
            while let Some(Reverse((due, task))) = self.tasks.peek().copied()
                && due <= self.sim.elapsed()
            {
                self.tasks.pop();
                match task {
                    Task::Open(number) => self.open(number),
                    Task::GoOn(conn) => self.go_on(conn),
                    Task::GiveUp(conn) => self.give_up(conn),
                }
            }
        }
        self.treatments
    }

    fn open(&mut self, number: usize) {
        let Some(recording) = self.recordings.get(number) else {
            return;
        };
        let conn = self.sim.open(recording.client, recording.local);
        self.servers.expect(conn, &recording.answers);
        let began = self.sim.elapsed();
        let playing = Playing {
            number,
            began,
            replies: Replies::default(),
            seen: 0,
            said: 0,
            active_at: began,
            read: Vec::new(),
            led_to_server: false,
            left: false,
        };
        self.playing.insert(conn, playing);
        self.tasks
            .push(Reverse((began + PATIENCE, Task::GiveUp(conn))));
        self.go_on(conn);
    }

    fn hear(&mut self, conn: ConnId) {
        let taken = self.sim.take_client(conn);
        let led_to_server = self.sim.is_led_to_server(conn);
        let Some(playing) = self.playing.get_mut(&conn) else {
            return;
        };
        playing.led_to_server |= led_to_server;
        playing.active_at = self.sim.elapsed();
        playing.read.extend_from_slice(&taken.bytes);
        playing.replies.read(&taken.bytes);
        while playing.replies.next().is_some() {
            playing.seen += 1;
        }
        if taken.ended && !playing.left {
            playing.left = true;
            self.sim.client_half_close(conn);
        }
        self.go_on(conn);
        self.end_if_over(conn);
    }

    /// Lets the client say all that it said once it had seen as many replies, at
    /// its times; it leaves when it has said all.
    fn go_on(&mut self, conn: ConnId) {
        let now = self.sim.elapsed();
        while let Some(playing) = self.playing.get_mut(&conn)
            && !playing.left
            && let Some(recording) = self.recordings.get(playing.number)
        {
            let Some(saying) = recording.sayings.get(playing.said) else {
                // What is still owed to it is waited for.
                if playing.seen >= recording.replies {
                    playing.left = true;
                    self.sim.client_half_close(conn);
                }
                return;
            };
            if playing.seen < saying.replies {
                return;
            }
            let at = playing.began + saying.at;
            if at > now {
                self.tasks.push(Reverse((at, Task::GoOn(conn))));
                return;
            }
            playing.said += 1;
            playing.active_at = now;
            playing.left = !matches!(saying.deed, Deed::Write(_));
            match &saying.deed {
                Deed::Write(bytes) => self.sim.client_write(conn, bytes),
                Deed::HalfClose => self.sim.client_half_close(conn),
                Deed::Reset => self.sim.client_abort(conn),
            }
        }
    }

    fn give_up(&mut self, conn: ConnId) {
        let Some(playing) = self.playing.get(&conn) else {
            return;
        };
        let until = playing.active_at + PATIENCE;
        if until > self.sim.elapsed() {
            self.tasks.push(Reverse((until, Task::GiveUp(conn))));
        } else {
            self.sim.client_abort(conn);
        }
    }

    fn end_if_over(&mut self, conn: ConnId) {
        let Some(summary) = self.sim.forget(conn) else {
            return;
        };
        let Some(playing) = self.playing.remove(&conn) else {
            return;
        };
        self.progress.fetch_add(1, Ordering::Relaxed);
        let treatment = Treatment {
            record: self.fields.label(&summary.properties),
            closed: summary.reason.name().to_owned(),
            reached_server: playing.led_to_server,
            accepted: self.servers.forget(conn),
            ended: self.sim.elapsed(),
            read: playing.read,
        };
        if let Some(place) = self.treatments.get_mut(playing.number) {
            *place = treatment;
        }
    }
}

/// When each session begins: as it says, or after all that say so, one by one.
fn beginnings(recordings: &[Recording]) -> Vec<Duration> {
    let times = || recordings.iter().filter_map(|session| session.started);
    let first = times().min().unwrap_or(Timestamp::SIMULATION_START);
    let mut next = times()
        .max()
        .map_or(Duration::ZERO, |last| last.since(first) + APART);
    let beginning = |session: &Recording| match session.started {
        Some(started) => started.since(first),
        None => {
            let at = next;
            next += APART;
            at
        }
    };
    recordings.iter().map(beginning).collect()
}
