//! A worker and the tasks that serve its connections.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Notify;

use crate::clock::Timestamp;
use crate::worker::{Effect, Worker};

/// A worker's inside, shared by the tasks of its thread.
pub(super) struct Hub {
    worker: RefCell<Worker>,
    mailboxes: RefCell<HashMap<u32, Rc<Mailbox>>>,
    clock: Clock,
    /// Told when the time of the next tick has changed.
    pub(super) tick_changed: Notify,
}

/// What a connection's task has still to do.
#[derive(Default)]
pub(super) struct Mailbox {
    effects: RefCell<VecDeque<Effect>>,
    /// Told when there is something new.
    pub(super) filled: Notify,
}

impl Mailbox {
    pub(super) fn next(&self) -> Option<Effect> {
        self.effects.borrow_mut().pop_front()
    }
}

/// Wall time that never goes back.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    started: Instant,
    started_at: Duration,
}

impl Clock {
    pub(super) fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self {
            started: Instant::now(),
            started_at: since_epoch.unwrap_or_default(),
        }
    }

    pub(super) fn now(self) -> Timestamp {
        Timestamp::from_unix(self.started_at + self.started.elapsed())
    }
}

impl Hub {
    pub(super) fn new(worker: Worker, clock: Clock) -> Self {
        Self {
            worker: RefCell::new(worker),
            mailboxes: RefCell::default(),
            clock,
            tick_changed: Notify::new(),
        }
    }

    /// Gives the worker an input, then deals out what comes of it.
    pub(super) fn drive<T>(&self, input: impl FnOnce(&mut Worker) -> T) -> T {
        let mut worker = self.worker.borrow_mut();
        worker.set_now(self.clock.now());
        let tick = worker.next_tick();
        let result = input(&mut worker);
        loop {
            while let Some(output) = worker.poll_output() {
                let mailbox = self.mailbox(output.context);
                mailbox.effects.borrow_mut().push_back(output.effect);
                mailbox.filled.notify_one();
            }
            let queued = worker.run_queue();
            if !worker.run_echo(0) && !queued {
                break;
            }
        }
        for line in worker.take_logs() {
            eprintln!("[{}] {}", line.level, line.text);
        }
        for trap in worker.take_traps() {
            let (callback, message) = (trap.callback, trap.message);
            eprintln!("[critical] the filter trapped in {callback}: {message}");
        }
        if worker.next_tick() != tick {
            self.tick_changed.notify_one();
        }
        result
    }

    /// The mailbox of a connection, made when it is first asked for.
    pub(super) fn mailbox(&self, context: u32) -> Rc<Mailbox> {
        let mut mailboxes = self.mailboxes.borrow_mut();
        Rc::clone(mailboxes.entry(context).or_default())
    }

    pub(super) fn forget(&self, context: u32) {
        self.mailboxes.borrow_mut().remove(&context);
    }

    pub(super) fn wants_client_bytes(&self, context: u32) -> bool {
        self.worker.borrow().wants_client_bytes(context)
    }

    /// How long until the filter's next tick, if one is armed.
    pub(super) fn until_next_tick(&self) -> Option<Duration> {
        let due = self.worker.borrow().next_tick()?;
        Some(due.since(self.clock.now()))
    }
}
