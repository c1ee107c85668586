//! What the demo server counts.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// Counters shared by all sessions of a server.
#[derive(Debug, Default)]
pub struct Stats {
    pub(super) connections: AtomicU64,
    pub(super) commands: AtomicU64,
    pub(super) rcpt: AtomicU64,
    pub(super) rcpt_unknown: AtomicU64,
    pub(super) messages: AtomicU64,
    pub(super) message_bytes: AtomicU64,
    pub(super) bytes_in: AtomicU64,
    pub(super) bytes_out: AtomicU64,
}

/// The counters at one moment, as written to the statistics file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatsSnapshot {
    /// Connections accepted.
    pub connections: u64,
    /// Command lines read.
    pub commands: u64,
    /// Recipients looked up.
    pub rcpt: u64,
    /// Recipients looked up and not found.
    pub rcpt_unknown: u64,
    /// Messages accepted.
    pub messages: u64,
    /// Bytes of accepted messages, without dot-stuffing.
    pub message_bytes: u64,
    /// Bytes read from clients.
    pub bytes_in: u64,
    /// Bytes written to clients.
    pub bytes_out: u64,
}

/// Adds to a counter that nothing else is ordered by.
pub(super) fn add(counter: &AtomicU64, amount: usize) {
    counter.fetch_add(amount as u64, Ordering::Relaxed);
}

impl Stats {
    /// The counters now.
    #[must_use]
    pub fn snapshot(&self) -> StatsSnapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StatsSnapshot {
            connections: read(&self.connections),
            commands: read(&self.commands),
            rcpt: read(&self.rcpt),
            rcpt_unknown: read(&self.rcpt_unknown),
            messages: read(&self.messages),
            message_bytes: read(&self.message_bytes),
            bytes_in: read(&self.bytes_in),
            bytes_out: read(&self.bytes_out),
        }
    }
}
