//! One connection as the host sees it: callbacks in.

use crate::connection::{Connection, Onward};
use crate::door::{self, Arrival, Way};
use crate::host;
use crate::ledger;
use crate::transcripts;
use crate::worker::{Errand, Worker};
use portcullis_core::session::{Ended, Ending};
use proxy_wasm::traits::{Context, StreamContext};
use proxy_wasm::types::{Action, PeerType};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// A connection: nothing is known of it until it is announced.
pub(crate) struct Stream {
    context_id: u32,
    worker: Option<Rc<RefCell<Worker>>>,
    connection: Option<Rc<Connection>>,
    /// The time at which it came.
    began: Duration,
    ended: Ended,
}

impl Stream {
    pub(crate) fn new(context_id: u32, worker: Option<Rc<RefCell<Worker>>>) -> Self {
        Self {
            context_id,
            worker,
            connection: None,
            began: Duration::ZERO,
            ended: Ended::Proxy,
        }
    }

    /// Octets have passed unread.
    fn passed(&self, from_client: usize, from_server: usize) {
        if let Some(connection) = &self.connection {
            let mut session = connection.session().borrow_mut();
            transcripts::tell_time(&mut session);
            session.passed(from_client, from_server);
        }
    }

    /// A side may have ended.
    fn tell_end(&self, end: bool, by_client: bool) {
        if let Some(connection) = self.connection.as_ref().filter(|_| end) {
            let mut session = connection.session().borrow_mut();
            transcripts::tell_time(&mut session);
            session.side_ended(by_client);
        }
    }

    /// The connection, if its bytes are read.
    fn readable(&self) -> Option<&Connection> {
        let connection = self.connection.as_deref();
        connection.filter(|connection| !connection.is_opaque())
    }
}

impl Context for Stream {}

impl StreamContext for Stream {
    fn on_new_connection(&mut self) -> Action {
        let Some(shared) = self.worker.clone() else {
            return Action::Continue;
        };
        let mut worker = shared.borrow_mut();
        let Arrival { session, seat, way } =
            door::receive(&mut worker, self.context_id, host::source_address());
        let connection = Connection::new(self.context_id, Rc::clone(&shared), session, seat);
        let connection = Rc::new(connection);
        self.began = host::wall_clock();
        worker
            .connections
            .insert(self.context_id, Rc::clone(&connection));
        self.connection = Some(connection);
        match way {
            Way::On => Action::Continue,
            Way::Wait => Action::Pause,
        }
    }

    fn on_downstream_data(&mut self, size: usize, end: bool) -> Action {
        if end && self.ended == Ended::Proxy {
            self.ended = Ended::Client;
        }
        let connection = self.connection.as_deref();
        if !end && connection.is_some_and(|connection| connection.client_passes(size)) {
            return Action::Continue;
        }
        let Some(connection) = self.readable() else {
            self.passed(size, 0);
            self.tell_end(end, true);
            return Action::Continue;
        };
        let done = connection.client_data(size, end);
        self.tell_end(end, true);
        match done {
            Ok(Onward::Untouched) => Action::Continue,
            Ok(Onward::Done) => Action::Pause,
            Err(refused) => {
                // Part of them may be held: to let the buffer pass would mix up their order.
                log::error!("client bytes cannot be sent on: {refused}");
                if let Some(worker) = &self.worker {
                    worker.borrow_mut().send(Errand::Close(self.context_id));
                }
                Action::Pause
            }
        }
    }

    fn on_upstream_data(&mut self, size: usize, end: bool) -> Action {
        if end && self.ended == Ended::Proxy {
            self.ended = Ended::Server;
        }
        match self.readable() {
            Some(connection) => {
                if let Err(refused) = connection.server_data(size, end) {
                    log::error!("server bytes: {refused}");
                }
            }
            None => self.passed(0, size),
        }
        self.tell_end(end, false);
        Action::Continue
    }

    fn on_downstream_close(&mut self, peer: PeerType) {
        let by_client = matches!(peer, PeerType::Remote);
        self.tell_end(by_client && self.ended == Ended::Proxy, true);
        if self.ended == Ended::Proxy && by_client {
            self.ended = Ended::Client;
        }
        if let Some(worker) = &self.worker {
            let mut worker = worker.borrow_mut();
            drop(worker.take_overflow(self.context_id));
            worker.waiting.remove(&self.context_id);
        }
    }

    fn on_log(&mut self) {
        let Some(connection) = &self.connection else {
            return;
        };
        let now = host::wall_clock();
        let duration = now.saturating_sub(self.began);
        // No two sessions of a worker have the same.
        let lot = u64::from(now.subsec_nanos()) << 32 | u64::from(self.context_id);
        if let Some(worker) = &self.worker {
            transcripts::end(&worker.borrow(), &mut connection.session().borrow_mut());
        }
        let session = connection.session().borrow();
        if !session.is_recorded(lot) {
            return;
        }
        let record = session.record().ending(Ending {
            ended: self.ended,
            duration_ms: duration.as_millis().try_into().unwrap_or(u64::MAX),
            held_ms: connection.held_ms(),
        });
        if let Err(refused) = host::set_property("portcullis", record.to_json().as_bytes()) {
            log::warn!("no verdict for the access log: {refused}");
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let Some(worker) = &self.worker else { return };
        let mut worker = worker.borrow_mut();
        if self.connection.is_some() {
            worker.metrics.session_ended();
        }
        worker.waiting.remove(&self.context_id);
        worker.connections.remove(&self.context_id);
        match worker.connections.is_empty() {
            true => worker.metrics.count_kept(),
            false => worker.count_untimed(),
        }
        let detained = |connection: &Rc<Connection>| connection.session().borrow().is_detained();
        if self.connection.as_ref().is_some_and(detained) {
            worker.detained = worker.detained.saturating_sub(1);
        }
        let seat = self
            .connection
            .take()
            .and_then(|connection| connection.seat());
        if let Some(client) = seat {
            ledger::leave(&mut worker, client, self.context_id);
        }
    }
}
