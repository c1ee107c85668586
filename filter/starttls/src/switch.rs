//! The way of one connection to TLS, without any host.
//!
//! ```text
//!            the guard asks          the write buffer is empty        the worker's next turn
//!  Cleartext -------------> Draining ------------------------> Drained ---------------------> Switched
//!     |  ^                     ^                                  |  the listener cannot
//!     |  | a turn later:       | a turn later: the guard has      +---------------------> Failed
//!     |  | it has not          | asked for TLS, and for a 220
//!     +--+-> Watching ---------+
//!        what has come may be STARTTLS
//! ```
//!
//! The guard cannot speak to a client but in place of the server, so it has the module say the
//! `220` where the server owes no reply. Nobody tells the module of that, since it stands before
//! the guard: it looks whenever as many octets have come as STARTTLS has.
//!
//! The order is the only one that works in Envoy 1.40. What is written during a callback leaves the
//! process later, so TLS that starts in the same callback would encrypt the `220`, which the client
//! waits for in cleartext. Nothing tells that bytes have been sent, but with a write buffer limited
//! to one octet the low watermark is zero, and it is reached when the socket has taken all of them.
//! That is told from within the socket's own write, so the switch waits for the worker's next turn.
//! What is read meanwhile was sent before the client can have seen the `220`: it is plaintext, and
//! goes nowhere.
#![forbid(unsafe_code)]

/// What the switch needs of a connection.
pub(crate) trait Transport {
    /// Throws away what was read from the client, so many octets.
    fn drop_read(&self, octets: usize);
    /// Writes to the client, past all filters.
    fn say(&self, text: &[u8]);
    /// The limit of the connection's buffers, octets; 0 is none.
    fn buffer_limit(&self) -> u32;
    /// Changes it.
    fn set_buffer_limit(&self, octets: u32);
    /// Has [`Switch::turn`] called from the worker's queue.
    fn ask_for_a_turn(&self) -> Scheduled;
    /// Starts TLS as a server.
    fn start_tls(&self) -> Started;
    /// Closes the connection without a word.
    fn close(&self);
}

/// What becomes of bytes that were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    /// They go on to the filters behind.
    Passes,
    /// They are no more.
    Dropped,
}

/// Whether the worker's queue has taken a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheduled {
    Yes,
    No,
}

/// Whether a listener can start TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Started {
    Yes,
    /// Its transport socket is another one than `envoy.transport_sockets.starttls`.
    NotThere,
}

/// What somebody should hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// The client's next bytes are TLS.
    Switched,
    /// The listener cannot start TLS; the connection is closed.
    NotThere,
    /// The worker's queue is gone; the connection is closed.
    NoTurn,
    /// Plaintext came behind the `220`, and was thrown away.
    Dropped,
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Cleartext,
    /// What has come may be STARTTLS.
    Watching,
    /// The `220` is on its way; `limit` is what the buffers had before.
    Draining {
        limit: u32,
    },
    /// It has left.
    Drained {
        limit: u32,
    },
    Switched,
    Failed,
}

/// As many octets as STARTTLS has, with its line end.
const STARTTLS: usize = b"STARTTLS\r\n".len();

/// What `0`, which means no limit, is restored as: Envoy takes a 0 for "leave the watermarks".
const UNLIMITED: u32 = u32::MAX;

/// One connection's way to TLS.
#[derive(Debug, Default)]
pub(crate) struct Switch {
    stage: Stage,
}

impl Switch {
    /// Whether a request of the guard would be heard.
    pub(crate) fn is_cleartext(&self) -> bool {
        matches!(self.stage, Stage::Cleartext | Stage::Watching)
    }

    /// Whether the guard may have asked for an answer.
    pub(crate) fn is_watching(&self) -> bool {
        self.stage == Stage::Watching
    }

    /// So much has been read from the client, which the guard has not seen yet.
    pub(crate) fn arrived(
        &mut self,
        octets: usize,
        transport: &impl Transport,
    ) -> (Read, Option<Event>) {
        match self.stage {
            Stage::Cleartext if octets == STARTTLS => match transport.ask_for_a_turn() {
                Scheduled::Yes => {
                    self.stage = Stage::Watching;
                    (Read::Passes, None)
                }
                Scheduled::No => (Read::Dropped, Some(self.fail(transport, Event::NoTurn))),
            },
            Stage::Cleartext | Stage::Watching | Stage::Switched => (Read::Passes, None),
            Stage::Draining { .. } | Stage::Drained { .. } | Stage::Failed => {
                transport.drop_read(octets);
                (Read::Dropped, (octets > 0).then_some(Event::Dropped))
            }
        }
    }

    /// The guard has not asked for an answer.
    pub(crate) fn look_away(&mut self) {
        if self.stage == Stage::Watching {
            self.stage = Stage::Cleartext;
        }
    }

    /// The guard has asked for TLS and for this answer, since the server owes none.
    pub(crate) fn answer(&mut self, text: &[u8], transport: &impl Transport) {
        if self.stage == Stage::Watching {
            self.begin(transport);
            transport.say(text);
        }
    }

    /// The guard has asked for TLS. To be called before the `220` is in the write buffer.
    pub(crate) fn begin(&mut self, transport: &impl Transport) {
        if !self.is_cleartext() {
            return;
        }
        let limit = transport.buffer_limit();
        transport.set_buffer_limit(1);
        self.stage = Stage::Draining { limit };
    }

    /// The socket has taken all that was written.
    pub(crate) fn drained(&mut self, transport: &impl Transport) -> Option<Event> {
        let Stage::Draining { limit } = self.stage else {
            return None;
        };
        self.stage = Stage::Drained { limit };
        match transport.ask_for_a_turn() {
            Scheduled::Yes => None,
            Scheduled::No => Some(self.fail(transport, Event::NoTurn)),
        }
    }

    /// The worker's turn that was asked for.
    pub(crate) fn turn(&mut self, transport: &impl Transport) -> Option<Event> {
        let Stage::Drained { limit } = self.stage else {
            return None;
        };
        transport.set_buffer_limit(if limit == 0 { UNLIMITED } else { limit });
        match transport.start_tls() {
            Started::NotThere => Some(self.fail(transport, Event::NotThere)),
            Started::Yes => {
                self.stage = Stage::Switched;
                Some(Event::Switched)
            }
        }
    }

    /// The client waits for TLS that will not come: nothing may follow in cleartext.
    fn fail(&mut self, transport: &impl Transport, event: Event) -> Event {
        self.stage = Stage::Failed;
        transport.close();
        event
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    /// What a connection was told, in order.
    #[derive(Debug, Clone, PartialEq, Eq)]
    enum Told {
        Drop(usize),
        Say(Vec<u8>),
        Limit(u32),
        Turn,
        StartTls,
        Close,
    }

    struct Fake {
        limit: u32,
        started: Started,
        scheduled: Scheduled,
        told: RefCell<Vec<Told>>,
    }

    impl Fake {
        fn with(limit: u32, started: Started, scheduled: Scheduled) -> Self {
            let told = RefCell::default();
            Self {
                limit,
                started,
                scheduled,
                told,
            }
        }

        fn good() -> Self {
            Self::with(65536, Started::Yes, Scheduled::Yes)
        }

        fn note(&self, told: Told) {
            self.told.borrow_mut().push(told);
        }

        fn take(&self) -> Vec<Told> {
            self.told.take()
        }
    }

    impl Transport for Fake {
        fn drop_read(&self, octets: usize) {
            self.note(Told::Drop(octets));
        }
        fn say(&self, text: &[u8]) {
            self.note(Told::Say(text.to_vec()));
        }
        fn buffer_limit(&self) -> u32 {
            self.limit
        }
        fn set_buffer_limit(&self, octets: u32) {
            self.note(Told::Limit(octets));
        }
        fn ask_for_a_turn(&self) -> Scheduled {
            self.note(Told::Turn);
            self.scheduled
        }
        fn start_tls(&self) -> Started {
            self.note(Told::StartTls);
            self.started
        }
        fn close(&self) {
            self.note(Told::Close);
        }
    }

    #[test]
    fn tls_starts_only_when_the_220_has_left_and_in_a_turn_of_its_own() {
        let (wire, mut switch) = (Fake::good(), Switch::default());
        switch.begin(&wire);
        assert_eq!(wire.take(), [Told::Limit(1)]);
        assert_eq!(switch.drained(&wire), None);
        assert_eq!(wire.take(), [Told::Turn], "not inside the socket's write");
        assert_eq!(switch.turn(&wire), Some(Event::Switched));
        assert_eq!(wire.take(), [Told::Limit(65536), Told::StartTls]);
        assert_eq!(switch.arrived(10, &wire), (Read::Passes, None));
        assert_eq!(wire.take(), [], "what TLS brings is the guard's");
    }

    #[test]
    fn what_comes_between_the_220_and_tls_goes_nowhere() {
        let (wire, mut switch) = (Fake::good(), Switch::default());
        assert_eq!(switch.arrived(6, &wire), (Read::Passes, None));
        switch.begin(&wire);
        wire.take();
        let dropped = (Read::Dropped, Some(Event::Dropped));
        assert_eq!(switch.arrived(10, &wire), dropped);
        switch.drained(&wire);
        assert_eq!(switch.arrived(7, &wire), dropped);
        assert_eq!(switch.arrived(0, &wire), (Read::Dropped, None));
        let expected = [Told::Drop(10), Told::Turn, Told::Drop(7), Told::Drop(0)];
        assert_eq!(wire.take(), expected);
    }

    #[test]
    fn it_looks_when_starttls_may_have_come_and_answers_if_told_to() {
        let (wire, mut switch) = (Fake::good(), Switch::default());
        for octets in [1, 9, 11] {
            switch.arrived(octets, &wire);
            assert!(!switch.is_watching(), "{octets}");
        }
        switch.answer(b"220 go\r\n", &wire);
        assert_eq!(wire.take(), [], "nothing has come that it could answer");
        assert_eq!(switch.arrived(10, &wire), (Read::Passes, None));
        switch.look_away();
        assert!(!switch.is_watching() && switch.is_cleartext());
        switch.arrived(10, &wire);
        assert_eq!(wire.take(), [Told::Turn, Told::Turn]);
        switch.answer(b"220 go\r\n", &wire);
        let said = Told::Say(b"220 go\r\n".to_vec());
        assert_eq!(wire.take(), [Told::Limit(1), said]);
        switch.look_away();
        switch.drained(&wire);
        assert_eq!(switch.turn(&wire), Some(Event::Switched));
    }

    #[test]
    fn a_worker_that_takes_no_request_to_look_ends_the_connection() {
        let wire = Fake::with(65536, Started::Yes, Scheduled::No);
        let mut switch = Switch::default();
        let ended = (Read::Dropped, Some(Event::NoTurn));
        assert_eq!(switch.arrived(10, &wire), ended, "nobody would answer");
        assert_eq!(wire.take(), [Told::Turn, Told::Close]);
    }

    #[test]
    fn buffers_without_a_limit_are_not_left_with_one_octet() {
        let wire = Fake::with(0, Started::Yes, Scheduled::Yes);
        let mut switch = Switch::default();
        switch.begin(&wire);
        switch.drained(&wire);
        wire.take();
        switch.turn(&wire);
        assert_eq!(wire.take().first(), Some(&Told::Limit(UNLIMITED)));
    }

    #[test]
    fn a_listener_without_the_socket_ends_the_connection() {
        let wire = Fake::with(65536, Started::NotThere, Scheduled::Yes);
        let mut switch = Switch::default();
        switch.begin(&wire);
        switch.drained(&wire);
        assert_eq!(switch.turn(&wire), Some(Event::NotThere));
        assert_eq!(wire.take().last(), Some(&Told::Close));
        let (read, _) = switch.arrived(10, &wire);
        assert_eq!(
            read,
            Read::Dropped,
            "what the client believes to be secret goes nowhere"
        );
    }

    #[test]
    fn a_worker_that_takes_no_request_ends_the_connection() {
        let wire = Fake::with(65536, Started::Yes, Scheduled::No);
        let mut switch = Switch::default();
        switch.begin(&wire);
        assert_eq!(switch.drained(&wire), Some(Event::NoTurn));
        assert_eq!(wire.take().last(), Some(&Told::Close));
        assert_eq!(switch.turn(&wire), None);
    }

    /// Every sequence of up to six calls: TLS starts at most once, and only by the one way.
    #[test]
    fn no_order_of_calls_leads_astray() {
        for length in 0..=6_u32 {
            for number in 0..3_u32.pow(length) {
                let (wire, mut switch) = (Fake::good(), Switch::default());
                let (mut stage, mut code) = (0, number);
                for _ in 0..length {
                    match code % 3 {
                        0 => switch.begin(&wire),
                        1 => assert_eq!(switch.drained(&wire), None),
                        _ => assert_eq!(switch.turn(&wire).is_some(), stage == 2),
                    }
                    if code % 3 == stage {
                        stage += 1;
                    }
                    code /= 3;
                }
                let starts = wire.take().into_iter().filter(|t| *t == Told::StartTls);
                assert_eq!(
                    starts.count(),
                    usize::from(stage == 3),
                    "{number} of {length}"
                );
                assert_eq!(switch.is_cleartext(), stage == 0);
            }
        }
    }
}
