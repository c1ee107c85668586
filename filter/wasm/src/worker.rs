//! What the root and the connections of one worker share.

use crate::host;
use crate::metrics::Metrics;
use hashbrown::HashMap;
use portcullis_core::client::Client;
use portcullis_core::policy::{LookupMode, Policy};
use portcullis_core::session::Session;
use portcullis_core::worker::{Closing, Lookups, Now, Ruling, Sessions, Wait};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// How often connections that linger or are held are looked at while there are any.
const FAST: Duration = Duration::from_millis(20);
/// How often DNSBL sites are looked at that may be due for a test.
const SLOW: Duration = Duration::from_secs(1);

/// What a connection asks of its worker, to be done outside the connection's own callback: a
/// close inside it would overtake the last word, and bytes put back inside it would be sent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Errand {
    /// Close the connection.
    Close(u32),
    /// Put the bytes that did not fit back into the host's buffer.
    Restore(u32),
    /// Begin the lookups that wait for it: the root has to be the one who asks.
    LookUp,
    /// Another worker has found out about a client.
    Published(Client),
}

impl Errand {
    pub(crate) fn encode(self) -> Vec<u8> {
        let message = |kind, rest: &[u8]| [&[kind], rest].concat();
        match self {
            Self::Close(id) => message(b'c', &id.to_le_bytes()),
            Self::Restore(id) => message(b'r', &id.to_le_bytes()),
            Self::LookUp => message(b'l', b""),
            Self::Published(client) => message(b'p', &client.encode()),
        }
    }

    /// `None` for what no connection or worker of ours has written.
    pub(crate) fn decode(message: &[u8]) -> Option<Self> {
        let (kind, rest) = message.split_first()?;
        let id = || rest.try_into().ok().map(u32::from_le_bytes);
        match kind {
            b'c' => id().map(Self::Close),
            b'r' => id().map(Self::Restore),
            b'l' => rest.is_empty().then_some(Self::LookUp),
            b'p' => Client::decode(rest.try_into().ok()?).map(Self::Published),
            _ => None,
        }
    }
}

/// A connection whose client is being looked up.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    pub(crate) session: Rc<RefCell<Session>>,
    pub(crate) wait: Wait,
}

/// One worker.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) policy: Rc<Policy>,
    pub(crate) metrics: Metrics,
    pub(crate) queue: u32,
    pub(crate) lookups: Lookups<u32>,
    pub(crate) sessions: Sessions,
    /// Connections whose client is being looked up.
    pub(crate) waiting: HashMap<u32, Waiting>,
    /// Sessions under way whose client turned out to be known.
    pub(crate) found: Vec<(u32, Ruling)>,
    /// The questions asked, by the host's token.
    pub(crate) calls: HashMap<u32, u32>,
    closing: Closing<u32>,
    /// Time as counted by ticks, so that no clock change can keep a connection open.
    ticked: Duration,
    pace: Duration,
    /// Client bytes, by connection, on their way back into the host's buffer.
    overflow: HashMap<u32, Vec<u8>>,
}

impl Worker {
    pub(crate) fn new(policy: Policy, queue: u32) -> Self {
        let linger = Duration::from_millis(policy.config().close.linger_ms.into());
        let policy = Rc::new(policy);
        Self {
            lookups: Lookups::new(Rc::clone(&policy)),
            sessions: Sessions::default(),
            waiting: HashMap::new(),
            found: Vec::new(),
            calls: HashMap::new(),
            policy,
            metrics: Metrics::default(),
            queue,
            closing: Closing::new(linger),
            ticked: Duration::ZERO,
            pace: Duration::ZERO,
            overflow: HashMap::new(),
        }
    }

    /// Has an errand done as soon as the running callback is over.
    pub(crate) fn send(&mut self, errand: Errand) {
        if let Err(refused) = host::enqueue(self.queue, &errand.encode()) {
            log::error!("cannot queue {errand:?}: {refused}");
            self.metrics.count("portcullis_errands_lost_total", 1);
        }
    }

    /// Closes a connection whose last word is out when its linger time is over.
    pub(crate) fn close_later(&mut self, context_id: u32) {
        if self.policy.config().close.linger_ms == 0 {
            self.send(Errand::Close(context_id));
            return;
        }
        self.closing.add(context_id, self.ticked);
        self.set_pace();
    }

    /// Takes note of a tick; the connections whose time has come.
    pub(crate) fn ticked(&mut self) -> Vec<u32> {
        self.ticked += self.pace;
        std::iter::from_fn(|| self.closing.pop_due(self.ticked)).collect()
    }

    /// Has ticks come as often as they are needed.
    pub(crate) fn set_pace(&mut self) {
        let first = self.pace.is_zero() && self.ticked.is_zero();
        let looks_up = self.policy.lookup() != LookupMode::Off;
        let pace = match () {
            () if !self.closing.is_empty() || self.lookups.hold_greetings() => FAST,
            // Sites are tested before the first client comes.
            () if looks_up && first => FAST,
            () if looks_up => SLOW,
            () => Duration::ZERO,
        };
        if pace != self.pace {
            self.pace = pace;
            host::tick_every(pace);
        }
    }

    /// The time.
    pub(crate) fn now(&self) -> Now {
        Now {
            wall: host::wall_clock(),
            steady: self.ticked,
        }
    }

    /// Keeps bytes that neither went on nor fit into the guard.
    pub(crate) fn keep_overflow(&mut self, context_id: u32, bytes: Vec<u8>) {
        self.overflow.insert(context_id, bytes);
        self.send(Errand::Restore(context_id));
    }

    /// Takes these bytes back, if they are still here.
    pub(crate) fn take_overflow(&mut self, context_id: u32) -> Option<Vec<u8>> {
        self.overflow.remove(&context_id)
    }
}
