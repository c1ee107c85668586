//! Simulations of very many connections: who has something new to read, and how
//! what is over is let go.

use std::time::Duration;

use super::Simulator;
use crate::observe::{ConnId, LogLine, Summary};
use crate::worker::Upstream;

impl Simulator {
    /// Moves the clock until some client has something new to read, the end of its
    /// stream or of its session included, or by `limit`. Says whether one has; which,
    /// [`take_heard`](Self::take_heard) says.
    pub fn advance_until_heard(&mut self, limit: Duration) -> bool {
        let until = self.now.after(limit);
        while self.heard.is_empty() {
            let Some(due) = self.next_event().filter(|due| *due <= until) else {
                self.set_now(until);
                return false;
            };
            self.happen_at(due);
        }
        true
    }

    /// The clients that have got something to read since the last call, each once,
    /// in the order of their first piece.
    pub fn take_heard(&mut self) -> Vec<ConnId> {
        let heard = std::mem::take(&mut self.heard);
        for conn in &heard {
            if let Some(endpoint) = self.endpoints.get_mut(conn) {
                endpoint.is_heard = false;
            }
        }
        heard
    }

    /// Whether this connection was led to the server; `false` for one that the filter
    /// holds, has led elsewhere or has turned away.
    #[must_use]
    pub fn is_led_to_server(&self, conn: ConnId) -> bool {
        let endpoint = self.endpoints.get(&conn);
        endpoint.is_some_and(|endpoint| endpoint.upstream == Some(Upstream::Server))
    }

    /// Lets go of everything known of a connection that is over, and says how it
    /// went. One that is not over stays, as `None` says.
    pub fn forget(&mut self, conn: ConnId) -> Option<Summary> {
        self.summary(conn)?;
        self.endpoints.remove(&conn)?.summary
    }

    /// The log lines since the last call. [`logs`](Self::logs) no longer has them.
    pub fn take_logs(&mut self) -> Vec<LogLine> {
        std::mem::take(&mut self.logs)
    }

    /// A digest of the whole of [`trace`](Self::trace), what it no longer shows included.
    #[must_use]
    pub fn trace_digest(&self) -> u64 {
        self.trace.digest()
    }

    /// Takes note that a client has something new to read.
    pub(super) fn tell_client(&mut self, conn: ConnId) {
        if let Some(endpoint) = self.endpoints.get_mut(&conn)
            && !endpoint.is_heard
        {
            endpoint.is_heard = true;
            self.heard.push(conn);
        }
    }
}
