//! The loop of a simulation: what happens next, and what comes of it.

use std::fmt;
use std::time::Duration;

use super::responder::Heard;
use super::wire::Input;
use super::{ServerState, Simulator};
use crate::chance::Order;
use crate::clock::Timestamp;
use crate::connection::End;
use crate::mta::Flow;
use crate::observe::ConnId;
use crate::worker::{Effect, Upstream, Worker};

/// Envoy's default `connect_timeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What can happen next by itself, and on which worker.
#[derive(Clone, Copy, Debug)]
enum Event {
    Arrival,
    Tick(usize),
    Answer(usize),
    Queue(usize),
    Echo(usize),
}

impl Simulator {
    pub(super) fn deliver(&mut self, conn: ConnId, input: Input) {
        self.note(conn, format_args!("{input}"));
        let (context, server) = (conn.context, self.server);
        let Some(worker) = self.workers.get_mut(conn.worker) else {
            return;
        };
        match input {
            Input::Opened { peer, local } => worker.accept(context, peer, local),
            Input::ClientWrote(bytes) => worker.client_bytes(context, &bytes),
            Input::ClientEnded(end) => worker.client_end(context, end),
            Input::ServerReached => {
                // A server sees a client that has left meanwhile, too.
                self.server_connections += 1;
                self.endpoints.entry(conn).or_default().reached = true;
                if worker.is_connecting(context) {
                    worker.connected(context, server);
                    self.hear(conn, Heard::Connected);
                }
            }
            Input::ServerFailed => worker.connect_failed(context),
            Input::ServerWrote(bytes) => worker.server_bytes(context, server, &bytes),
            Input::ServerEnded(end) => worker.server_end(context, end),
        }
        self.note_contention(conn.worker);
    }

    /// Moves the clock to `until`, letting everything happen on the way.
    pub(super) fn run_until(&mut self, until: Timestamp) {
        while let Some(due) = self.next_event().filter(|due| *due <= until) {
            self.happen_at(due);
        }
        self.set_now(until);
    }

    /// Moves the clock to what is due then, and lets it happen: in the fixed order
    /// all of it, under a seed one thing.
    pub(super) fn happen_at(&mut self, due: Timestamp) {
        self.set_now(due.max(self.now));
        match self.chance.order() {
            Order::Fixed => self.run_all_due(),
            Order::Seeded(_) => self.run_one_due(),
        }
    }

    fn run_all_due(&mut self) {
        for index in 0..self.workers.len() {
            self.happen(Event::Tick(index));
            self.run();
            while self.happen(Event::Answer(index)) {
                self.run();
            }
        }
    }

    /// Lets one thing happen of those whose time has come.
    fn run_one_due(&mut self) {
        let now = self.now;
        let due = || self.events().filter(|(due, _)| *due <= now);
        let place = self.chance.place(due().count());
        let Some((_, event)) = due().nth(place) else {
            return;
        };
        self.happen(event);
        self.collect();
    }

    /// Collects what all workers' callbacks brought about.
    pub(super) fn collect(&mut self) {
        for index in 0..self.workers.len() {
            self.run_outputs(index);
        }
    }

    /// Everything that will happen by itself, and when: of each kind and worker
    /// the first.
    fn events(&self) -> impl Iterator<Item = (Timestamp, Event)> {
        let arrival = self.wire.next_due().map(|due| (due, Event::Arrival));
        let workers = self.workers.iter().enumerate();
        arrival
            .into_iter()
            .chain(workers.flat_map(|(index, worker)| {
                let echo = (worker.echoes() > 0).then_some(self.now);
                let events = [
                    worker.next_tick().map(|due| (due, Event::Tick(index))),
                    worker.next_answer().map(|due| (due, Event::Answer(index))),
                    worker.next_queue().map(|due| (due, Event::Queue(index))),
                    echo.map(|due| (due, Event::Echo(index))),
                ];
                events.into_iter().flatten()
            }))
    }

    pub(super) fn next_event(&self) -> Option<Timestamp> {
        self.events().map(|(due, _)| due).min()
    }

    /// When something comes next that is no tick.
    pub(super) fn next_consequence(&self) -> Option<Timestamp> {
        let events = self.events();
        let consequences = events.filter(|(_, event)| !matches!(event, Event::Tick(_)));
        consequences.map(|(due, _)| due).min()
    }

    /// Lets something happen if its time has come. Says whether it did.
    fn happen(&mut self, event: Event) -> bool {
        let now = self.now;
        let due = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        match event {
            Event::Arrival => {
                let Some((conn, input)) = self.wire.arrive(now) else {
                    return false;
                };
                self.deliver(conn, input);
                true
            }
            Event::Tick(index) => self.on(
                index,
                "tick",
                |worker| due(worker.next_tick()),
                |worker| {
                    worker.run_tick();
                    true
                },
            ),
            Event::Answer(index) => self.on(
                index,
                "answer",
                |worker| due(worker.next_answer()),
                Worker::run_answer,
            ),
            Event::Queue(index) => self.on(
                index,
                "queue",
                |worker| due(worker.next_queue()),
                Worker::run_queue,
            ),
            Event::Echo(index) => {
                let echoes = self.workers.get(index).map_or(0, Worker::echoes);
                let place = match self.chance.order() {
                    Order::Fixed => 0,
                    Order::Seeded(_) => self.chance.place(echoes),
                };
                self.on(
                    index,
                    "echo",
                    |worker| worker.echoes() > 0,
                    |worker| worker.run_echo(place),
                )
            }
        }
    }

    fn on(
        &mut self,
        index: usize,
        name: &str,
        due: impl FnOnce(&Worker) -> bool,
        run: impl FnOnce(&mut Worker) -> bool,
    ) -> bool {
        if !self.workers.get(index).is_some_and(due) {
            return false;
        }
        let root = ConnId {
            worker: index,
            context: 0,
        };
        self.note(root, format_args!("{name}"));
        let ran = self.workers.get_mut(index).is_some_and(run);
        self.note_contention(index);
        ran
    }

    pub(super) fn note(&mut self, conn: ConnId, what: fmt::Arguments<'_>) {
        self.trace.note(self.elapsed(), conn, what);
    }

    /// Notes what chance has done to this worker's compare-and-swap.
    pub(super) fn note_contention(&mut self, worker: usize) {
        let contended = self.shared.contended();
        let more = contended.saturating_sub(self.contended);
        self.contended = contended;
        if more > 0 {
            let root = ConnId { worker, context: 0 };
            self.note(root, format_args!("contended {more}"));
        }
    }

    /// In the fixed order: carries out outputs, arrivals, queue callbacks and
    /// echoes until there are none left at this time.
    pub(super) fn run(&mut self) {
        let mut busy = true;
        while busy {
            busy = self.happen(Event::Arrival);
            for index in 0..self.workers.len() {
                busy |= self.run_outputs(index);
                busy |= self.happen(Event::Queue(index));
                busy |= self.happen(Event::Echo(index));
            }
        }
    }

    /// Collects what a worker's callbacks brought about.
    pub(super) fn run_outputs(&mut self, index: usize) -> bool {
        let mut busy = false;
        self.take_reports(index);
        while let Some(output) = self.workers.get_mut(index).and_then(Worker::poll_output) {
            busy = true;
            let conn = ConnId {
                worker: index,
                context: output.context,
            };
            self.carry_out(conn, output.effect);
        }
        self.take_reports(index);
        busy
    }

    fn take_reports(&mut self, index: usize) {
        let Some(worker) = self.workers.get_mut(index) else {
            return;
        };
        let (mut logs, mut traps) = (worker.take_logs(), worker.take_traps());
        let context = |context| ConnId {
            worker: index,
            context,
        };
        for line in &logs {
            self.note(context(line.context), format_args!("{line}"));
        }
        for trap in &traps {
            self.note(context(trap.context), format_args!("{trap}"));
        }
        self.logs.append(&mut logs);
        self.traps.append(&mut traps);
    }

    fn carry_out(&mut self, conn: ConnId, effect: Effect) {
        self.note(conn, format_args!("{effect}"));
        match &effect {
            Effect::Connect(upstream) => {
                let upstream = upstream.clone();
                self.apply(conn, effect);
                if upstream == Upstream::Server {
                    self.connect(conn);
                }
                return;
            }
            Effect::ToServer(bytes) => self.hear(conn, Heard::Bytes(bytes)),
            Effect::EndServer => self.hear(conn, Heard::Ended),
            Effect::Close => self.hear(conn, Heard::Gone),
            Effect::ToClient(_) | Effect::EndClient | Effect::Finished(_) => {}
        }
        self.apply(conn, effect);
    }

    fn apply(&mut self, conn: ConnId, effect: Effect) {
        let at = self.elapsed();
        let reaches_client = effect.reaches_client();
        self.endpoints.entry(conn).or_default().apply(effect, at);
        if reaches_client {
            self.tell_client(conn);
        }
    }

    /// The server accepts at once in the fixed order. Under a seed it is reached
    /// after a while, and what it was told to write before goes out then.
    fn connect(&mut self, conn: ConnId) {
        match (self.server_state, self.chance.order()) {
            (ServerState::Accepting, _) => {}
            (ServerState::Silent, _) => {
                return self.send(conn, CONNECT_TIMEOUT, Input::ServerFailed);
            }
            (ServerState::Refusing, Order::Fixed) => {
                return self.deliver(conn, Input::ServerFailed);
            }
            (ServerState::Refusing, Order::Seeded(_)) => {
                return self.send(conn, Duration::ZERO, Input::ServerFailed);
            }
        }
        match self.chance.order() {
            Order::Fixed => self.deliver(conn, Input::ServerReached),
            Order::Seeded(_) => {
                self.send(conn, Duration::ZERO, Input::ServerReached);
                let endpoint = self.endpoints.entry(conn).or_default();
                for input in std::mem::take(&mut endpoint.early) {
                    self.server_sends(conn, input);
                }
            }
        }
    }

    /// Lets the server, where it answers by itself, hear something.
    fn hear(&mut self, conn: ConnId, heard: Heard<'_>) {
        let endpoint = self.endpoints.get(&conn);
        let upstream = endpoint.and_then(|endpoint| endpoint.upstream.as_ref());
        let Some(responder) = self
            .responder
            .as_mut()
            .filter(|_| upstream == Some(&Upstream::Server))
        else {
            return;
        };
        let said = responder.hear(conn, heard);
        if heard == Heard::Gone {
            return;
        }
        if !said.bytes.is_empty() {
            for segment in self.cut(&said.bytes) {
                self.server_sends(conn, Input::ServerWrote(segment));
            }
        }
        if said.flow == Flow::Close {
            self.server_sends(conn, Input::ServerEnded(End::HalfClose));
        }
    }
}
