//! All sessions of a log in one simulator, in the order in which everything happened.
//!
//! Sessions of one client on several workers raced then, and would race here otherwise. Where a
//! transcript says what the session knew of the others (what workers shared when it came, and the
//! message by which another worker ended it), it knows the same here: a value is there for as long
//! as the callback that it was read in, and then what this simulation has made of it is back.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use super::Transcript;
use super::blacklists::Blacklists;
use super::carrier::Carrier;
use super::recorded::{Deed, Recorded, Reply};
use crate::attack::{Guard, RecordFields};
use crate::clock::Timestamp;
use crate::error::HostError;
use crate::observe::{ConnId, LogLevel};
use crate::resolver::resolver;
use crate::simulator::{Heard, Responder, Said, Simulator};

/// What workers know, or tell, of a client comes behind what made them know it.
const BEHIND: Duration = Duration::from_micros(1);

/// How long the filter has before the first session, to ask blacklists whether all is well.
const SETTLING: Duration = Duration::from_millis(500);
/// How long what is still open has for its end.
const AFTERWARDS: Duration = Duration::from_secs(10);

/// What is replayed.
pub struct Replay<'a> {
    /// The sessions.
    pub transcripts: &'a [Transcript],
    /// The filter and its policy.
    pub guard: &'a Guard,
    /// What of the record must be the same.
    pub fields: &'a RecordFields,
}

/// What became of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Replayed {
    /// The line of the log.
    pub line: usize,
    /// The client's address.
    pub client: String,
    /// What its record says; `no record` without one.
    pub recorded: String,
    /// What the replay's says.
    pub replayed: String,
}

impl Replayed {
    /// Whether both say the same.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.recorded == self.replayed
    }

    /// Whether both say the same in their first field, the verdict.
    #[must_use]
    pub fn is_same_verdict(&self) -> bool {
        let first = |label: &str| label.split(' ').next().map(str::to_owned);
        first(&self.recorded) == first(&self.replayed)
    }
}

impl Replay<'_> {
    /// Plays them all; what became of each, in their order.
    ///
    /// # Errors
    /// When the filter does not start.
    pub fn play(&self) -> Result<Vec<Replayed>, HostError> {
        Ok(Stage::set(self)?.play())
    }
}

/// What happens next.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Task {
    Open(usize),
    Deed(usize, usize),
    Say(usize, Vec<u8>),
}

/// What servers hear, to be answered when it is their time.
#[derive(Clone, Default)]
struct Ears(Rc<RefCell<Vec<Sound>>>);

/// What was heard on a connection; `None` when it has reached the server.
type Sound = (ConnId, Option<Vec<u8>>);

impl Responder for Ears {
    fn hear(&mut self, conn: ConnId, heard: Heard<'_>) -> Said {
        let mut said = Said::nothing();
        match heard {
            Heard::Connected => self.0.borrow_mut().push((conn, None)),
            Heard::Bytes(bytes) => self.0.borrow_mut().push((conn, Some(bytes.to_vec()))),
            Heard::Ended => said = said.and_close(),
            Heard::Gone => {}
        }
        said
    }
}

struct Stage<'a> {
    replay: &'a Replay<'a>,
    sim: Simulator,
    ears: Ears,
    sessions: Vec<Recorded>,
    begins: Vec<Duration>,
    /// The worker of each, from 0.
    workers: Vec<usize>,
    conns: Vec<Option<ConnId>>,
    numbers: HashMap<ConnId, usize>,
    /// Tasks by their time; those of one time in the order in which they were found.
    tasks: BinaryHeap<Reverse<(Duration, usize, Task)>>,
    found: usize,
    /// Values that hold for the next message to a session.
    values: HashMap<usize, Vec<(String, Vec<u8>)>>,
}

impl<'a> Stage<'a> {
    fn set(replay: &'a Replay<'a>) -> Result<Self, HostError> {
        let transcripts = replay.transcripts;
        let started = |transcript: &Transcript| transcript.scenario.record.started;
        let first = transcripts.iter().filter_map(started).min();
        let first = first.unwrap_or(Timestamp::SIMULATION_START);
        let workers = workers(transcripts);
        let ears = Ears::default();
        let mut builder = Simulator::builder_for(&replay.guard.module)
            .plugin_config(replay.guard.policy.clone())
            .start_at(before(first))
            .workers(workers.iter().max().map_or(1, |last| last + 1))
            .log_level(LogLevel::Error)
            .responder(ears.clone());
        for name in &replay.guard.echo_clusters {
            builder = builder.echo_cluster(name);
        }
        for name in &replay.guard.dns_clusters {
            builder = builder.cluster(name, resolver(Blacklists::of(transcripts)));
        }
        let began = |transcript| {
            SETTLING + started(transcript).map_or(Duration::ZERO, |at| at.since(first))
        };
        let mut stage = Self {
            replay,
            sim: builder.build()?,
            ears,
            sessions: transcripts.iter().map(Recorded::of).collect(),
            begins: transcripts.iter().map(began).collect(),
            workers,
            conns: vec![None; transcripts.len()],
            numbers: HashMap::new(),
            tasks: BinaryHeap::new(),
            found: 0,
            values: HashMap::new(),
        };
        for (number, begins) in stage.begins.clone().into_iter().enumerate() {
            let known_at = stage.sessions.get(number).map(|session| session.known_at);
            let held = known_at.filter(|known_at| !known_at.is_zero());
            let held = held.map_or(Duration::ZERO, |known_at| known_at + BEHIND);
            stage.add(begins + held, Task::Open(number));
        }
        Ok(stage)
    }

    fn add(&mut self, at: Duration, task: Task) {
        self.found += 1;
        self.tasks.push(Reverse((at, self.found, task)));
    }

    fn play(mut self) -> Vec<Replayed> {
        while let Some(Reverse((at, _, task))) = self.tasks.pop() {
            let wait = at.saturating_sub(self.sim.elapsed());
            self.sim.advance(wait);
            // What its timers have brought about comes before.
            self.listen();
            self.happen(task);
            self.listen();
        }
        self.sim.advance(AFTERWARDS);
        for conn in self.conns.clone().into_iter().flatten() {
            if self.sim.summary(conn).is_none() {
                self.sim.client_abort(conn);
            }
        }
        let numbers = 0..self.conns.len();
        numbers.filter_map(|number| self.replayed(number)).collect()
    }

    fn happen(&mut self, task: Task) {
        match task {
            Task::Open(number) => self.open(number),
            Task::Deed(number, deed) => self.deed(number, deed),
            Task::Say(number, bytes) => {
                let conn = self.conns.get(number).copied().flatten();
                let Some(conn) = conn else { return };
                self.sim.server_write(conn, &bytes);
                if bytes.starts_with(b"221") || bytes.starts_with(b"421") {
                    self.sim.server_half_close(conn);
                }
            }
        }
    }

    fn open(&mut self, number: usize) {
        let Some(transcript) = self.replay.transcripts.get(number) else {
            return;
        };
        let Some(session) = self.sessions.get(number) else {
            return;
        };
        let times = session.deeds.iter().map(|(at, deed)| match deed {
            Deed::Share(..) | Deed::Message(_) => *at + BEHIND,
            _ => *at,
        });
        let times: Vec<Duration> = times.collect();
        let known = session.known.clone();
        let (client, local) = (transcript.scenario.client, transcript.scenario.local);
        let worker = self.workers.get(number).copied().unwrap_or_default();
        for (path, value) in Carrier::of(transcript).properties() {
            self.sim.give_property(path, value);
        }
        let conn = self.with_values(&known, |sim| sim.open_on(worker, client, local));
        if let Some(place) = self.conns.get_mut(number) {
            *place = Some(conn);
        }
        self.numbers.insert(conn, number);
        let begins = self.begins.get(number).copied().unwrap_or_default();
        for (deed, at) in times.into_iter().enumerate() {
            self.add(begins + at, Task::Deed(number, deed));
        }
    }

    fn deed(&mut self, number: usize, deed: usize) {
        let session = self.sessions.get(number);
        let found = session.and_then(|session| session.deeds.get(deed).cloned());
        let conn = self.conns.get(number).copied().flatten();
        let (Some((_, deed)), Some(conn)) = (found, conn) else {
            return;
        };
        match deed {
            Deed::Write(bytes) => self.sim.client_write(conn, &bytes),
            Deed::ClientEnd => self.sim.client_half_close(conn),
            Deed::ClientReset => self.sim.client_abort(conn),
            Deed::ServerEnd => self.sim.server_half_close(conn),
            Deed::Share(key, value) => {
                self.values.entry(number).or_default().push((key, value));
            }
            Deed::Message(message) => {
                let values = self.values.remove(&number).unwrap_or_default();
                self.with_values(&values, |sim| sim.tell_worker(conn, &message));
            }
        }
    }

    /// Does something while workers share these values, each as long as nobody changes it.
    fn with_values<T>(
        &mut self,
        values: &[(String, Vec<u8>)],
        act: impl FnOnce(&mut Simulator) -> T,
    ) -> T {
        let mut before = BTreeMap::new();
        for (key, value) in values {
            let old = || self.sim.shared_data(key.as_bytes()).unwrap_or_default();
            let (_, last) = before.entry(key).or_insert_with(|| (old(), value));
            *last = value;
            self.sim.set_shared_data(key.as_bytes(), value);
        }
        let done = act(&mut self.sim);
        for (key, (old, value)) in before {
            if self.sim.shared_data(key.as_bytes()).as_ref() == Some(value) {
                self.sim.set_shared_data(key.as_bytes(), &old);
            }
        }
        done
    }

    /// Lets servers answer what they have heard, not before their time.
    fn listen(&mut self) {
        let heard = std::mem::take(&mut *self.ears.0.borrow_mut());
        for (conn, bytes) in heard {
            let Some(number) = self.number_of(conn) else {
                continue;
            };
            let Some(session) = self.sessions.get_mut(number) else {
                continue;
            };
            let replies: Vec<Reply> = match bytes {
                None => session.server.greet().into_iter().collect(),
                Some(bytes) => session.server.hear(&bytes),
            };
            let begins = self.begins.get(number).copied().unwrap_or_default();
            for Reply { at, bytes } in replies {
                let at = (begins + at).max(self.sim.elapsed());
                self.add(at, Task::Say(number, bytes));
            }
        }
    }

    /// A connection that is being opened is not known yet.
    fn number_of(&self, conn: ConnId) -> Option<usize> {
        self.numbers.get(&conn).copied()
    }

    fn replayed(&self, number: usize) -> Option<Replayed> {
        let transcript = self.replay.transcripts.get(number)?;
        let conn = self.conns.get(number).copied().flatten()?;
        let properties = self.sim.summary(conn).map(|summary| &summary.properties);
        Some(Replayed {
            line: transcript.line,
            client: transcript.scenario.client.to_string(),
            recorded: label(self.replay.fields, transcript.record.as_ref()),
            replayed: properties.map_or_else(
                || "no record".to_owned(),
                |properties| self.replay.fields.label(properties),
            ),
        })
    }
}

fn before(first: Timestamp) -> Timestamp {
    let since_epoch = Duration::from_nanos(first.as_unix_nanos());
    Timestamp::from_unix(since_epoch.saturating_sub(SETTLING))
}

/// Which of the simulator's workers stands for the one that had each session.
fn workers(transcripts: &[Transcript]) -> Vec<usize> {
    let mut names = Vec::new();
    let mut number = |transcript: &Transcript| {
        let name = transcript.note("x-worker").unwrap_or_default().to_owned();
        let known = names.iter().position(|known| *known == name);
        known.unwrap_or_else(|| {
            names.push(name);
            names.len() - 1
        })
    };
    transcripts.iter().map(&mut number).collect()
}

fn label(fields: &RecordFields, record: Option<&Map<String, Value>>) -> String {
    let name = fields.property.clone().unwrap_or_default();
    let bytes = record.and_then(|record| serde_json::to_vec(record).ok());
    let properties = bytes.into_iter().map(|bytes| (name.clone(), bytes));
    fields.label(&properties.collect())
}
