//! One connection: callbacks in, effects carried out.
//!
//! Envoy lets bytes be sent to the server outside the client's own callback only while it keeps
//! the pointer to the client's buffer, which it drops when that callback returns `Continue`. So
//! the callback continues by hostcall, which takes effect when it is over, and returns `Pause`.

use crate::door::{self, Way};
use crate::host::{self, Refused};
use crate::notes;
use crate::worker::{Errand, Worker};
use portcullis_core::client::Client;
use portcullis_core::policy::Counts;
use portcullis_core::session::{Ask, Close, Effects, Note, Session};
use proxy_wasm::traits::{Context, StreamContext};
use proxy_wasm::types::{Action, BufferType, PeerType};
use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

use BufferType::{DownstreamData, UpstreamData};

/// A connection: without a session until it is announced.
pub(crate) struct Stream {
    context_id: u32,
    worker: Option<Rc<RefCell<Worker>>>,
    session: Option<Rc<RefCell<Session>>>,
    /// The client that has a seat taken by this connection.
    seat: Option<Client>,
    counted: Counts,
}

impl Stream {
    pub(crate) fn new(context_id: u32, worker: Option<Rc<RefCell<Worker>>>) -> Self {
        Self {
            context_id,
            worker,
            session: None,
            seat: None,
            counted: Counts::default(),
        }
    }

    /// Feeds the session with the client's bytes and sends on what may go.
    fn client_data(&mut self, end: bool) -> Result<(), Refused> {
        let overflow = self.take_overflow();
        let Some(session) = self.session.clone() else {
            return host::continue_to_server();
        };
        let mut session = session.borrow_mut();
        let arrived = host::buffer(DownstreamData);
        let bytes = match overflow {
            // These came before, and are no longer in the buffer.
            Some(earlier) => Cow::Owned([earlier, arrived.clone()].concat()),
            None => Cow::Borrowed(&arrived[..]),
        };
        let effects = if end {
            session.client_end(&bytes)
        } else {
            session.client_bytes(&bytes)
        };
        let left = bytes.get(bytes.len() - effects.left..).unwrap_or_default();
        let sent = if end && session.is_refused() {
            // The echo would answer the end by one of its own, which overtakes the refusal.
            Ok(())
        } else if left.is_empty() && effects.to_server == arrived {
            host::continue_to_server()
        } else if !end && effects.to_server.is_empty() && left == arrived {
            // Nothing fits: all of it stays where it is.
            Ok(())
        } else {
            self.send_on(&effects.to_server, left, end)
        };
        let wishes = Wishes::of(&effects);
        self.settle(&session, wishes);
        sent
    }

    /// Client bytes that neither went on nor fit into the guard, if they are not in the host's
    /// buffer again.
    fn take_overflow(&self) -> Option<Vec<u8>> {
        let worker = self.worker.as_ref()?;
        worker.borrow_mut().take_overflow(self.context_id)
    }

    /// Sends `bytes` to the server; `left` stays in the client's buffer.
    fn send_on(&self, bytes: &[u8], left: &[u8], end: bool) -> Result<(), Refused> {
        if bytes.is_empty() && !end {
            return host::replace_buffer(DownstreamData, left);
        }
        host::replace_buffer(DownstreamData, bytes)?;
        host::continue_to_server()?;
        if !left.is_empty() {
            // Continuing empties the buffer when this callback is over, so it has to wait.
            if let Some(worker) = &self.worker {
                let mut worker = worker.borrow_mut();
                worker.keep_overflow(self.context_id, left.to_vec());
            }
        }
        Ok(())
    }

    /// Feeds the session with the server's bytes; sends on what they release.
    fn server_data(&mut self, end: bool) -> Result<(), Refused> {
        let Some(shared) = self.session.clone() else {
            return Ok(());
        };
        let mut session = shared.borrow_mut();
        let bytes = host::buffer(UpstreamData);
        let waited = session.held() > 0;
        let mut effects = session.server_bytes(&bytes);
        if end {
            let tail = session.server_end();
            effects.close = effects.close.max(tail.close);
            effects
                .to_client
                .to_mut()
                .extend_from_slice(&tail.to_client);
        }
        let mut outcome = if effects.to_client == bytes {
            Ok(())
        } else {
            host::replace_buffer(UpstreamData, &effects.to_client)
        };
        let wishes = Wishes::of(&effects);
        let released = effects.to_server.into_owned();
        if waited {
            outcome = outcome.and(self.release(&mut session, released));
        }
        self.settle(&session, wishes);
        outcome
    }

    /// Sends released bytes on. Client bytes that did not fit into the guard lie behind them in
    /// the host's buffer, from where they would go on with them unread: they are read first.
    fn release(&mut self, session: &mut Session, mut released: Vec<u8>) -> Result<(), Refused> {
        let overflow = self.take_overflow();
        let waiting = overflow.unwrap_or_else(|| host::buffer(DownstreamData));
        if released.is_empty() && waiting.is_empty() {
            return Ok(());
        }
        let effects = session.client_bytes(&waiting);
        released.extend_from_slice(&effects.to_server);
        let left = waiting
            .get(waiting.len() - effects.left..)
            .unwrap_or_default();
        let sent = self.send_on(&released, left, false);
        let wishes = Wishes::of(&effects);
        self.settle(session, wishes);
        sent.inspect_err(|refused| self.cannot_release(*refused))
    }

    /// What waits can never be sent on by this host: the connection is stuck, so it ends.
    fn cannot_release(&self, refused: Refused) {
        log::error!(
            "held commands cannot be sent on ({refused}); on this host set \
             rcpt.metering to \"reply-452\""
        );
        if let Some(worker) = &self.worker {
            let mut worker = worker.borrow_mut();
            worker.metrics.count("portcullis_release_failed_total", 1);
            worker.send(Errand::Close(self.context_id));
        }
    }

    /// Logs, counts, asks and closes as the session says.
    fn settle(&mut self, session: &Session, wishes: Wishes) {
        let Some(worker) = &self.worker else {
            return;
        };
        let mut worker = worker.borrow_mut();
        let counts = *session.counts();
        if counts != self.counted {
            worker.metrics.count_progress(&self.counted, &counts);
            self.counted = counts;
        }
        notes::tell(&mut worker.metrics, session, &wishes.notes);
        match wishes.close {
            Close::Keep => {}
            Close::Linger => worker.close_later(self.context_id),
            Close::Now => worker.send(Errand::Close(self.context_id)),
        }
        drop(worker);
        if wishes.ask == Ask::Dnsbl {
            self.look_up(session);
        }
    }

    /// Has the client looked up; the session goes on meanwhile.
    fn look_up(&self, session: &Session) {
        if let (Some(worker), Some(shared), Some(client)) =
            (&self.worker, &self.session, session.client())
        {
            let mut worker = worker.borrow_mut();
            door::look_up_later(&mut worker, self.context_id, shared, client);
        }
    }

    fn is_opaque(&self) -> bool {
        let session = self.session.as_ref();
        session.is_none_or(|session| session.borrow().is_opaque())
    }
}

impl Context for Stream {}

impl StreamContext for Stream {
    fn on_new_connection(&mut self) -> Action {
        let Some(worker) = self.worker.clone() else {
            return Action::Continue;
        };
        let mut worker = worker.borrow_mut();
        let arrival = door::receive(&mut worker, self.context_id, host::source_address());
        self.session = Some(arrival.session);
        self.seat = arrival.seat;
        match arrival.way {
            Way::On => Action::Continue,
            Way::Wait => Action::Pause,
        }
    }

    fn on_downstream_data(&mut self, _size: usize, end: bool) -> Action {
        if self.is_opaque() {
            return Action::Continue;
        }
        if let Err(refused) = self.client_data(end) {
            // Part of them may be held: to let the buffer pass would mix up their order.
            log::error!("client bytes cannot be sent on: {refused}");
            if let Some(worker) = &self.worker {
                worker.borrow_mut().send(Errand::Close(self.context_id));
            }
        }
        Action::Pause
    }

    fn on_upstream_data(&mut self, _size: usize, end: bool) -> Action {
        if !self.is_opaque()
            && let Err(refused) = self.server_data(end)
        {
            log::error!("server bytes: {refused}");
        }
        Action::Continue
    }

    fn on_downstream_close(&mut self, _peer: PeerType) {
        drop(self.take_overflow());
        if let Some(worker) = &self.worker {
            worker.borrow_mut().waiting.remove(&self.context_id);
        }
    }

    fn on_log(&mut self) {
        let Some(session) = &self.session else { return };
        let Ok(record) = serde_json::to_vec(&session.borrow().record()) else {
            return;
        };
        if let Err(refused) = host::set_property("portcullis", &record) {
            log::warn!("no verdict for the access log: {refused}");
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(worker) = &self.worker {
            let mut worker = worker.borrow_mut();
            worker.waiting.remove(&self.context_id);
            if let Some(client) = self.seat {
                worker.sessions.end(client);
            }
        }
    }
}

/// What a session wants besides passing bytes on.
struct Wishes {
    notes: Vec<Note>,
    ask: Ask,
    close: Close,
}

impl Wishes {
    fn of(effects: &Effects<'_>) -> Self {
        Self {
            notes: effects.notes.clone(),
            ask: effects.ask,
            close: effects.close,
        }
    }
}
