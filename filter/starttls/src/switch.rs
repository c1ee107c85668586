//! The way of one connection to TLS, without any host.
//!
//! ```text
//!            the guard asks          the write buffer is empty        the worker's next turn
//!  Cleartext -------------> Draining ------------------------> Drained ---------------------> Switched
//!                                                                 |  the listener cannot
//!                                                                 +---------------------> Failed
//! ```
//!
//! The order is the only one that works in Envoy 1.40. What is written during a callback leaves the
//! process later, so TLS that starts in the same callback would encrypt the `220`, which the client
//! waits for in cleartext. Nothing tells that bytes have been sent, but with a write buffer limited
//! to one octet the low watermark is zero, and it is reached when the socket has taken all of them.
//! That is told from within the socket's own write, so the switch waits for the worker's next turn.
//! Reading is off meanwhile: what the client sends behind STARTTLS stays in the kernel, and TLS is
//! the first to see it.
#![forbid(unsafe_code)]

/// What the switch needs of a connection.
pub(crate) trait Transport {
    /// Stops or resumes reading from the client.
    fn set_reading(&self, reading: Reading);
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

/// Whether a connection's client is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    On,
    Off,
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
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Cleartext,
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
        self.stage == Stage::Cleartext
    }

    /// The guard has asked for TLS. To be called before the `220` is in the write buffer.
    pub(crate) fn begin(&mut self, transport: &impl Transport) {
        if self.stage != Stage::Cleartext {
            return;
        }
        transport.set_reading(Reading::Off);
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
                transport.set_reading(Reading::On);
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
        Reading(Reading),
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
        fn set_reading(&self, reading: Reading) {
            self.note(Told::Reading(reading));
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
        assert_eq!(
            wire.take(),
            [Told::Reading(Reading::Off), Told::Limit(1)],
            "the client is not read from before anything else"
        );
        assert_eq!(switch.drained(&wire), None);
        assert_eq!(wire.take(), [Told::Turn], "not inside the socket's write");
        assert_eq!(switch.turn(&wire), Some(Event::Switched));
        assert_eq!(
            wire.take(),
            [
                Told::Limit(65536),
                Told::StartTls,
                Told::Reading(Reading::On)
            ],
            "reading resumes last, so that TLS is the first to see what comes"
        );
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
        let told = wire.take();
        assert_eq!(told.last(), Some(&Told::Close));
        assert!(
            !told.contains(&Told::Reading(Reading::On)),
            "what the client believes to be secret is never read"
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
