//! The way of one connection to TLS, without any host.
//!
//! ```text
//!            the guard asks          the write buffer is empty        the worker's next turn
//!  Cleartext -------------> Draining ------------------------> Drained ---------------------> Switched
//!     |  ^                     ^                                  |  the listener cannot    |
//!     |  | a turn later:       | a turn later: the guard has      +------------> Failed     |
//!     |  | it has not          | asked for TLS, and for a 220                               |
//!     +--+-> Watching ---------+                                     the client's first words
//!        what has come may be STARTTLS                                                      |
//!                                              Active <----------------------- Greeted <----+
//!                                                 a turn later, whether or not the guard
//!                                                 had something to be said
//! ```
//!
//! The guard cannot speak to a client but in place of the server, so it has the module say the
//! `220` where the server owes no reply. Nobody tells the module of that, since it stands before
//! the guard: it looks whenever as many octets have come as STARTTLS has, and once more when the
//! client has said its first words under TLS, which the guard may know the answer to.
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

/// What the guard may have asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    /// TLS behind an answer.
    Tls,
    /// An answer under TLS.
    Words,
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
    /// The client has said nothing under TLS yet.
    Switched,
    /// It has, and the guard may know the answer.
    Greeted,
    /// Nothing is left to be done.
    Active,
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

    /// What the guard may have asked for since the client was last heard.
    pub(crate) fn looks_for(&self) -> Option<Request> {
        match self.stage {
            Stage::Watching => Some(Request::Tls),
            Stage::Greeted => Some(Request::Words),
            _ => None,
        }
    }

    /// So much has been read from the client, which the guard has not seen yet.
    pub(crate) fn arrived(
        &mut self,
        octets: usize,
        transport: &impl Transport,
    ) -> (Read, Option<Event>) {
        match self.stage {
            Stage::Cleartext if octets == STARTTLS => self.look(Stage::Watching, transport),
            Stage::Switched if octets > 0 => self.look(Stage::Greeted, transport),
            Stage::Cleartext
            | Stage::Watching
            | Stage::Switched
            | Stage::Greeted
            | Stage::Active => (Read::Passes, None),
            Stage::Draining { .. } | Stage::Drained { .. } | Stage::Failed => {
                transport.drop_read(octets);
                (Read::Dropped, (octets > 0).then_some(Event::Dropped))
            }
        }
    }

    /// Bytes go on that the guard may have an answer to: it is looked for when the guard has seen
    /// them.
    fn look(&mut self, stage: Stage, transport: &impl Transport) -> (Read, Option<Event>) {
        match transport.ask_for_a_turn() {
            Scheduled::Yes => {
                self.stage = stage;
                (Read::Passes, None)
            }
            Scheduled::No => (Read::Dropped, Some(self.fail(transport, Event::NoTurn))),
        }
    }

    /// The guard has not asked for an answer.
    pub(crate) fn look_away(&mut self) {
        self.stage = match self.stage {
            Stage::Watching => Stage::Cleartext,
            Stage::Greeted => Stage::Active,
            other => other,
        }
    }

    /// The guard has asked for this answer, since the server owes none, and in cleartext for TLS
    /// behind it.
    pub(crate) fn answer(&mut self, text: &[u8], transport: &impl Transport) {
        match self.stage {
            Stage::Watching => self.begin(transport),
            Stage::Greeted => self.stage = Stage::Active,
            _ => return,
        }
        transport.say(text);
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
mod tests;
