//! What passes through one connection: bytes of both sides in, effects carried out.
//!
//! Envoy lets bytes be sent to the server outside the client's own callback only while it keeps
//! the pointer to the client's buffer, which it drops when that callback returns `Continue`. So
//! where anything waits, or was changed, the callback continues by hostcall, which takes effect
//! when it is over, and returns `Pause`.

use crate::door;
use crate::host::{self, Refused};
use crate::ledger;
use crate::notes;
use crate::transcripts;
use crate::worker::{Errand, Later, Worker};
use portcullis_core::client::Client;
use portcullis_core::metrics::Family;
use portcullis_core::policy::Counts;
use portcullis_core::session::{Ask, Close, Commands, Effects, Note, Session, Transport};
use proxy_wasm::types::BufferType;
use std::borrow::Cow;
use std::cell::{Cell, RefCell, RefMut};
use std::rc::Rc;

use BufferType::{DownstreamData, UpstreamData};

/// A connection under way.
#[derive(Debug)]
pub(crate) struct Connection {
    id: u32,
    worker: Rc<RefCell<Worker>>,
    session: Rc<RefCell<Session>>,
    /// The client among whose sessions it counts.
    seat: Option<Client>,
    counted: Cell<Counts>,
    timer: Cell<Timer>,
    /// Milliseconds for which its greeting was held.
    held_ms: Cell<u64>,
}

/// What the connection's timer is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Timer {
    #[default]
    None,
    /// The client's commands wait in the host's buffer before they are read.
    Delay,
    /// They have waited.
    Over,
    /// An answer of the guard's own dialogue waits to be given.
    Answer,
}

impl Connection {
    pub(crate) fn new(
        id: u32,
        worker: Rc<RefCell<Worker>>,
        session: Rc<RefCell<Session>>,
        seat: Option<Client>,
    ) -> Self {
        Self {
            id,
            worker,
            session,
            seat,
            counted: Cell::default(),
            timer: Cell::default(),
            held_ms: Cell::default(),
        }
    }

    pub(crate) fn session(&self) -> &Rc<RefCell<Session>> {
        &self.session
    }

    pub(crate) fn seat(&self) -> Option<Client> {
        self.seat
    }

    /// The session, which knows the time where it wants to.
    fn in_time(&self) -> RefMut<'_, Session> {
        let mut session = self.session.borrow_mut();
        transcripts::tell_time(&mut session);
        session
    }

    /// Its greeting has been held for so long.
    pub(crate) fn was_held(&self, milliseconds: u64) {
        self.held_ms.set(milliseconds);
    }

    pub(crate) fn held_ms(&self) -> u64 {
        self.held_ms.get()
    }

    /// Whether bytes pass unread.
    pub(crate) fn is_opaque(&self) -> bool {
        self.session.borrow().is_opaque()
    }

    /// Whether what the client has sent is to wait.
    fn delays(&self) -> bool {
        match self.timer.get() {
            Timer::Delay => return true,
            Timer::Over => {
                self.timer.set(Timer::None);
                return false;
            }
            Timer::None | Timer::Answer => {}
        }
        let wait = self.session.borrow().delay_ms();
        if wait > 0 {
            self.timer.set(Timer::Delay);
            let mut worker = self.worker.borrow_mut();
            worker.metrics.count(Family::Delayed, 1);
            worker.do_later(wait, Later::Read(self.id));
        }
        wait > 0
    }

    /// Reads what has waited. To be called as this connection.
    pub(crate) fn read_now(&self) -> Result<(), Refused> {
        self.timer.set(Timer::Over);
        match self.client_data(usize::MAX, false)? {
            Onward::Untouched => host::continue_to_server(),
            Onward::Done => Ok(()),
        }
    }

    /// Whether so many octets of the client pass without being read.
    pub(crate) fn client_passes(&self, octets: usize) -> bool {
        self.in_time().client_passes(octets)
    }

    /// Gives a detained client its next answer. To be called as this connection.
    pub(crate) fn answer(&self) -> Result<(), Refused> {
        self.timer.set(Timer::None);
        let mut session = self.in_time();
        let effects = session.answer();
        self.carry_out(&mut session, effects)
    }

    /// Ends the dialogue with a detained client. To be called as this connection.
    pub(crate) fn let_go(&self) -> Result<(), Refused> {
        let mut session = self.in_time();
        let effects = session.let_go();
        self.carry_out(&mut session, effects)
    }

    /// Does what a session wants outside the callbacks that bring its bytes.
    fn carry_out(&self, session: &mut Session, mut effects: Effects<'_>) -> Result<(), Refused> {
        let wishes = Wishes::of(&mut effects);
        let sent = self.release(session, effects.to_server.into_owned());
        self.settle(session, wishes);
        sent
    }

    /// Sends on what waited for other sessions of the client. To be called as this connection.
    pub(crate) fn go_on(&self) -> Result<(), Refused> {
        let mut session = self.in_time();
        if !session.can_go_on() {
            if session.waits_for_others() {
                // Another one was faster; its replies will make room.
                self.wait_for_others(&session);
            } else if let Some(client) = self.seat {
                // It has nothing to send any more.
                ledger::wake(&mut self.worker.borrow_mut(), client);
            }
            return Ok(());
        }
        let effects = session.go_on();
        self.carry_out(&mut session, effects)
    }

    /// Feeds the session with the client's bytes, of which there are at most `size`, and sends on
    /// what may go.
    pub(crate) fn client_data(&self, size: usize, end: bool) -> Result<Onward, Refused> {
        let has_waited = self.timer.get() == Timer::Over;
        if !end && self.delays() {
            return Ok(Onward::Done);
        }
        let overflow = self.take_overflow();
        let mut session = self.in_time();
        if session.asks_for_certificate() && host::is_verified() {
            let note = session.vouch();
            let worker = self.worker.borrow();
            notes::tell(&worker.metrics, &session, note.as_slice());
        }
        let arrived = host::buffer_of(DownstreamData, size);
        // The module looks only when just that has come.
        if !end
            && !has_waited
            && overflow.is_none()
            && let Some(mut effects) = session.answered_by_host(&arrived)
        {
            let asked = match effects.transport {
                Transport::StartTls => self.start_tls(&effects.to_client),
                Transport::Stays => self.have_module("portcullis.says", &effects.to_client),
            };
            self.settle(&session, Wishes::of(&mut effects));
            return asked.map(|()| Onward::Done);
        }
        let bytes = match overflow {
            // These came before, and are no longer in the buffer.
            Some(earlier) => Cow::Owned([earlier, arrived.clone()].concat()),
            None => Cow::Borrowed(&arrived[..]),
        };
        let mut effects = if end {
            session.client_end(&bytes)
        } else {
            session.client_bytes(&bytes)
        };
        let left = bytes.get(bytes.len() - effects.left..).unwrap_or_default();
        let sent = if end && session.is_refused() {
            // The echo would answer the end by one of its own, which overtakes the refusal.
            Ok(Onward::Done)
        } else if left.is_empty() && is_untouched(&effects.to_server, &arrived) {
            Ok(Onward::Untouched)
        } else if !end && effects.to_server.is_empty() && left.len() == arrived.len() {
            // Nothing fits: all of it stays where it is. Both are the end of the same bytes.
            Ok(Onward::Done)
        } else {
            let sent = self.send_on(&effects.to_server, left, end);
            sent.map(|()| Onward::Done)
        };
        self.settle(&session, Wishes::of(&mut effects));
        sent
    }

    /// Client bytes that neither went on nor fit into the guard, if they are not in the host's
    /// buffer again.
    fn take_overflow(&self) -> Option<Vec<u8>> {
        self.worker.borrow_mut().take_overflow(self.id)
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
            let mut worker = self.worker.borrow_mut();
            worker.keep_overflow(self.id, left.to_vec());
        }
        Ok(())
    }

    /// Feeds the session with the server's bytes, of which there are at most `size`; sends on what
    /// they release.
    pub(crate) fn server_data(&self, size: usize, end: bool) -> Result<(), Refused> {
        let mut session = self.in_time();
        let bytes = host::buffer_of(UpstreamData, size);
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
        let mut outcome = if is_untouched(&effects.to_client, &bytes) {
            Ok(())
        } else {
            host::replace_buffer(UpstreamData, &effects.to_client)
        };
        if effects.transport == Transport::StartTls {
            outcome = outcome.and(self.start_tls(b"start"));
        }
        let wishes = Wishes::of(&mut effects);
        if waited {
            let released = effects.to_server.into_owned();
            outcome = outcome.and(self.release(&mut session, released));
        }
        self.settle(&session, wishes);
        outcome
    }

    /// Has the module start TLS behind what this callback sends to the client, or else behind the
    /// answer that `word` is. Whatever the client has sent so far is plaintext: nothing of it may be
    /// read as if it came after.
    fn start_tls(&self, word: &[u8]) -> Result<(), Refused> {
        drop(self.take_overflow());
        self.worker.borrow_mut().await_handshake(self.id);
        self.have_module("portcullis.starttls", word)
    }

    /// Leaves a word for the module, in place of all that the client has sent so far.
    fn have_module(&self, property: &str, word: &[u8]) -> Result<(), Refused> {
        let asked = host::replace_buffer(DownstreamData, b"")
            .and_then(|()| host::set_property(property, word));
        asked.inspect_err(|refused| {
            log::error!("the module cannot be asked to answer: {refused}");
            self.worker.borrow_mut().send(Errand::Close(self.id));
        })
    }

    /// Sends released bytes on. Client bytes that did not fit into the guard lie behind them in
    /// the host's buffer, from where they would go on with them unread: they are read first.
    fn release(&self, session: &mut Session, mut released: Vec<u8>) -> Result<(), Refused> {
        let overflow = self.take_overflow();
        let waiting = overflow.unwrap_or_else(|| host::buffer(DownstreamData));
        if released.is_empty() && waiting.is_empty() {
            return Ok(());
        }
        let mut effects = session.client_bytes(&waiting);
        released.extend_from_slice(&effects.to_server);
        let left = waiting
            .get(waiting.len() - effects.left..)
            .unwrap_or_default();
        let sent = self.send_on(&released, left, false);
        self.settle(session, Wishes::of(&mut effects));
        sent.inspect_err(|refused| self.cannot_release(*refused))
    }

    /// What waits can never be sent on by this host: the connection is stuck, so it ends.
    fn cannot_release(&self, refused: Refused) {
        log::error!(
            "held commands cannot be sent on ({refused}); on this host set \
             rcpt.metering to \"reply-452\""
        );
        let mut worker = self.worker.borrow_mut();
        worker.metrics.count(Family::ReleaseFailed, 1);
        worker.send(Errand::Close(self.id));
    }

    /// Logs, counts, asks and closes as the session says.
    fn settle(&self, session: &Session, wishes: Wishes) {
        let mut worker = self.worker.borrow_mut();
        let counts = *session.counts();
        let counted = self.counted.replace(counts);
        if counts != counted {
            worker.metrics.count_progress(&counted, &counts);
        }
        worker.metrics.keep_commands(&wishes.commands);
        worker.count_untimed();
        notes::tell(&worker.metrics, session, &wishes.notes);
        match wishes.close {
            Close::Keep => {}
            Close::Linger => worker.close_later(self.id),
            Close::Now => worker.send(Errand::Close(self.id)),
        }
        if session.has_answer() && self.timer.get() == Timer::None {
            self.timer.set(Timer::Answer);
            let wait = worker.policy.config().tarpit.reply_ms;
            worker.do_later(wait, Later::Answer(self.id));
        }
        if wishes.ask == Ask::Dnsbl
            && let Some(client) = session.client()
        {
            door::look_up_later(&mut worker, self.id, &self.session, client);
        }
        drop(worker);
        self.wait_for_others(session);
        if let Some(client) = self.seat.filter(|_| !session.leaves_account_as_it_is()) {
            ledger::settle(&mut self.worker.borrow_mut(), client);
        }
    }

    fn wait_for_others(&self, session: &Session) {
        if let Some(client) = self.seat.filter(|_| session.waits_for_others()) {
            self.worker.borrow_mut().roster.wait(client, self.id);
        }
    }
}

/// What is still to be done about the client's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Onward {
    /// All of it goes on as it is, and nothing waits: nobody will write to the buffer before the
    /// client has sent more.
    Untouched,
    /// Nothing.
    Done,
}

/// Whether what goes on is what arrived, without looking at every octet of it once more.
fn is_untouched(passed: &[u8], arrived: &[u8]) -> bool {
    std::ptr::eq(passed, arrived) || passed.is_empty() && arrived.is_empty()
}

/// What a session wants besides passing bytes on.
struct Wishes {
    commands: Commands,
    notes: Vec<Note>,
    ask: Ask,
    close: Close,
}

impl Wishes {
    fn of(effects: &mut Effects<'_>) -> Self {
        Self {
            commands: effects.commands,
            notes: std::mem::take(&mut effects.notes),
            ask: effects.ask,
            close: effects.close,
        }
    }
}
