//! What the root and the connections of one worker share.

use crate::host;
use crate::metrics::Metrics;
use hashbrown::HashMap;
use portcullis_core::policy::Policy;
use portcullis_core::worker::Closing;
use std::rc::Rc;
use std::time::Duration;

/// How often connections that linger are looked at while there are any.
const TICK: Duration = Duration::from_millis(20);

/// What a connection asks of its worker, to be done outside the connection's own callback: a
/// close inside it would overtake the last word, and bytes put back inside it would be sent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Errand {
    /// Close the connection.
    Close(u32),
    /// Put the bytes that did not fit back into the host's buffer.
    Restore(u32),
}

impl Errand {
    fn encode(self) -> [u8; 5] {
        let (kind, context_id) = match self {
            Self::Close(id) => (b'c', id),
            Self::Restore(id) => (b'r', id),
        };
        let [a, b, c, d] = context_id.to_le_bytes();
        [kind, a, b, c, d]
    }

    /// `None` for what no connection of ours has written.
    pub(crate) fn decode(message: &[u8]) -> Option<Self> {
        let (kind, id) = message.split_first()?;
        let id = u32::from_le_bytes(id.try_into().ok()?);
        match kind {
            b'c' => Some(Self::Close(id)),
            b'r' => Some(Self::Restore(id)),
            _ => None,
        }
    }
}

/// One worker.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) policy: Rc<Policy>,
    pub(crate) metrics: Metrics,
    queue: u32,
    closing: Closing<u32>,
    /// Time as counted by ticks, so that no clock change can keep a connection open.
    ticked: Duration,
    /// Client bytes, by connection, on their way back into the host's buffer.
    overflow: HashMap<u32, Vec<u8>>,
}

impl Worker {
    pub(crate) fn new(policy: Policy, queue: u32) -> Self {
        let linger = Duration::from_millis(policy.config().close.linger_ms.into());
        Self {
            policy: Rc::new(policy),
            metrics: Metrics::default(),
            queue,
            closing: Closing::new(linger),
            ticked: Duration::ZERO,
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
        if self.closing.is_empty() {
            host::tick_every(TICK);
        }
        self.closing.add(context_id, self.ticked);
    }

    /// Takes note of a tick; the connections whose time has come.
    pub(crate) fn ticked(&mut self) -> Vec<u32> {
        self.ticked += TICK;
        let due: Vec<u32> = std::iter::from_fn(|| self.closing.pop_due(self.ticked)).collect();
        if self.closing.is_empty() {
            host::tick_every(Duration::ZERO);
        }
        due
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
