//! What Envoy's callbacks mean to a connection.
#![forbid(unsafe_code)]

use crate::switch::{Event, Read, Request, Switch, Transport};
use std::sync::atomic::{AtomicBool, Ordering};

/// Filter state by which the module tells the guard that this connection can be switched.
pub(crate) const READY: &str = "portcullis.starttls";
/// Its value: the module can answer STARTTLS, too, if nothing but that has come, and what comes
/// first under TLS.
const ANSWERS: &str = "answers-again";
/// Another one: it should be able to switch, and is not.
const UNAVAILABLE: &str = "unavailable";
/// Filter state by which the guard asks for the switch. Envoy puts `wasm.` before the names of
/// properties that a proxy-wasm filter sets.
pub(crate) const ASKED: &str = "wasm.portcullis.starttls";
/// The same for what it has the module say under TLS.
pub(crate) const SAYS: &str = "wasm.portcullis.says";

/// What a connection can do beside changing its transport.
pub(crate) trait Connection: Transport {
    /// Whether it is under TLS already.
    fn is_tls(&self) -> bool;
    /// Leaves a word for the filters behind.
    fn set_state(&self, key: &str, value: &str);
    /// The word that a filter has left under this key.
    fn state(&self, key: &str) -> Option<Vec<u8>>;
    /// Adds one to a counter.
    fn count(&self, counter: Counter);
    /// Writes a line to Envoy's log.
    fn log(&self, level: Level, line: &str);
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counter {
    /// Connections that were switched to TLS.
    Switched,
    /// Connections closed, or not offered TLS, since their listener cannot start it.
    NotThere,
    /// Connections closed since something else went wrong.
    Failed,
    /// Reads of plaintext behind the `220`, thrown away.
    Dropped,
}

impl Counter {
    /// All of them, in the order of their numbers.
    pub(crate) const ALL: [Self; 4] = [Self::Switched, Self::NotThere, Self::Failed, Self::Dropped];

    /// Its name in Envoy's statistics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Switched => "portcullis_starttls_switched_total",
            Self::NotThere => "portcullis_starttls_no_socket_total",
            Self::Failed => "portcullis_starttls_failed_total",
            Self::Dropped => "portcullis_starttls_dropped_total",
        }
    }
}

/// How serious a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Warn,
    Error,
}

/// What the connections of one listener share.
#[derive(Debug, Default)]
pub(crate) struct Listener {
    /// Whether it has turned out that its transport socket is another one. Nothing tells so before
    /// the first connection that is to be switched.
    lacks_socket: AtomicBool,
}

impl Listener {
    /// A connection has come: tells the guard whether it may offer STARTTLS.
    pub(crate) fn opened(&self, connection: &impl Connection) {
        if connection.is_tls() {
            // An ordinary TLS socket, which needs no module; the guard sees for itself.
            return;
        }
        if self.lacks_socket.load(Ordering::Relaxed) {
            connection.count(Counter::NotThere);
            connection.set_state(READY, UNAVAILABLE);
            return;
        }
        connection.set_state(READY, ANSWERS);
    }

    /// So much was read from the client; the filters behind have not seen it yet.
    pub(crate) fn reading(
        &self,
        octets: usize,
        switch: &mut Switch,
        connection: &impl Connection,
    ) -> (Read, Option<Event>) {
        // More has come before the turn did: it is behind what the turn is for.
        answer_if_asked(switch, connection);
        switch.arrived(octets, connection)
    }

    /// Bytes are on their way to the client, past all other filters.
    pub(crate) fn writing(&self, switch: &mut Switch, connection: &impl Connection) {
        if switch.is_cleartext() && matches!(Asked::by_guard(connection), Some(Asked::Start)) {
            switch.begin(connection);
        }
    }

    /// The worker's turn that was asked for.
    pub(crate) fn turn(&self, switch: &mut Switch, connection: &impl Connection) -> Option<Event> {
        if switch.looks_for().is_none() {
            return switch.turn(connection);
        }
        answer_if_asked(switch, connection);
        switch.look_away();
        None
    }

    /// Tells what came of the switch, if anything did.
    pub(crate) fn tell(&self, event: Option<Event>, connection: &impl Connection) {
        match event {
            None => {}
            Some(Event::Switched) => connection.count(Counter::Switched),
            Some(Event::NotThere) => {
                connection.count(Counter::NotThere);
                if !self.lacks_socket.swap(true, Ordering::Relaxed) {
                    connection.log(
                        Level::Error,
                        "this listener cannot start TLS, so STARTTLS is no longer offered on it: \
                         its filter chain needs the transport socket \
                         envoy.transport_sockets.starttls",
                    );
                }
            }
            Some(Event::NoTurn) => {
                connection.count(Counter::Failed);
                connection.log(Level::Warn, "a connection could not be switched to TLS");
            }
            Some(Event::Dropped) => connection.count(Counter::Dropped),
        }
    }
}

/// What the guard asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Asked {
    /// TLS behind the bytes that it lets pass now.
    Start,
    /// These bytes, and TLS behind them.
    Answer(Vec<u8>),
}

impl Asked {
    fn by_guard(connection: &impl Connection) -> Option<Self> {
        let word = connection.state(ASKED)?;
        Some(match word.as_slice() {
            b"start" => Self::Start,
            _ => Self::Answer(word),
        })
    }
}

/// Says what the guard has left to be said, if it may have left anything.
fn answer_if_asked(switch: &mut Switch, connection: &impl Connection) {
    let text = match switch.looks_for() {
        Some(Request::Tls) => match Asked::by_guard(connection) {
            Some(Asked::Answer(text)) => Some(text),
            Some(Asked::Start) | None => None,
        },
        Some(Request::Words) => connection.state(SAYS),
        None => None,
    };
    if let Some(text) = text {
        switch.answer(&text, connection);
    }
}
