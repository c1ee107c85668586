//! What is to be done after an input, as plain data.

use crate::policy::Verdict;
use crate::smtp::Verb;
use std::borrow::Cow;

/// What the host is to do. Bytes come borrowed where they are the input itself, untouched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effects<'a> {
    /// Bytes for the server, to be sent in this order behind everything sent before.
    pub to_server: Cow<'a, [u8]>,
    /// Bytes for the client.
    pub to_client: Cow<'a, [u8]>,
    /// How many bytes at the end of the offered client input were not taken: they stay with the
    /// host, which offers them again, ahead of newer ones, at its next call.
    pub left: usize,
    /// The commands that were read, by their verb.
    pub commands: Commands,
    /// What happened that somebody may want to know. Empty for nearly every input.
    pub notes: Vec<Note>,
    /// Whether somebody is to be asked about the client.
    pub ask: Ask,
    /// Whether the connection's transport is to change.
    pub transport: Transport,
    /// Whether the connection is to be closed.
    pub close: Close,
}

/// What carries a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// Cleartext, for good.
    Cleartext,
    /// Cleartext, and the host can start TLS ([`Transport::StartTls`]).
    Switchable(Voice),
    /// Cleartext; the host should be able to start TLS, and cannot.
    Unavailable,
    /// TLS that ends before the guard.
    Tls,
}

/// By what the client can be told that STARTTLS was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// A reply of the server, which is made to owe one.
    Server,
    /// The host as well, where the server owes no reply ([`super::Session::answered_by_host`]).
    Host,
    /// The same, and the host can also answer what the client says first under TLS.
    HostAgain,
}

/// Whether a connection's transport is to change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Transport {
    /// It stays.
    #[default]
    Stays,
    /// TLS starts on the client's side once the bytes for the client have left. Whatever the
    /// client has sent up to now, wherever it waits, is to be thrown away.
    StartTls,
}

/// How many commands of each verb were read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Commands {
    by_verb: [u16; Verb::NAMES.len()],
    /// All of them, and the last one: most inputs hold none or one, which is then known at once.
    read: u16,
    last: Option<Verb>,
}

impl Commands {
    pub(super) fn count(&mut self, verb: Verb) {
        self.read = self.read.saturating_add(1);
        self.last = Some(verb);
        if let Some(count) = self.by_verb.get_mut(verb as usize) {
            *count = count.saturating_add(1);
        }
    }

    /// How many of each, in the order of [`Verb::NAMES`].
    #[must_use]
    pub fn by_verb(&self) -> &[u16; Verb::NAMES.len()] {
        &self.by_verb
    }

    /// Adds them to sums in the order of [`Verb::NAMES`].
    pub fn add_to(&self, sums: &mut [u32; Verb::NAMES.len()]) {
        match (self.read, self.last) {
            (0, _) => {}
            (1, Some(verb)) => {
                if let Some(sum) = sums.get_mut(verb as usize) {
                    *sum = sum.saturating_add(1);
                }
            }
            _ => {
                for (sum, more) in sums.iter_mut().zip(&self.by_verb) {
                    *sum = sum.saturating_add((*more).into());
                }
            }
        }
    }
}

/// Whether somebody is to be asked about the client. The session goes on meanwhile.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ask {
    /// Nobody.
    #[default]
    Nothing,
    /// The DNSBL sites; [`super::Session::found_listed`] if they have it.
    Dnsbl,
}

/// Whether and when a connection is to be closed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Close {
    /// It stays open.
    #[default]
    Keep,
    /// The last word is among the bytes for the client: close once the linger time is over.
    Linger,
    /// The client is done: close now.
    Now,
}

/// Something worth a log line and a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// A rule was met; the session ends with it.
    Closed(Verdict),
    /// A rule of the door was met; the session never reached the server.
    Refused(Verdict),
    /// A rule of the door was met; the client is kept busy without the server.
    Detained(Verdict),
    /// A rule was met, but is only observed. Told once per rule.
    Observed(Verdict),
    /// The session is left alone from here on.
    Exempt(Exemption),
    /// The dialogue is not followed any more: bytes pass untouched.
    Opaque(OpaqueCause),
    /// TLS starts, and the session goes on under it.
    StartTls,
    /// The client sent plaintext behind STARTTLS, which was dropped (RFC 3207 section 4.2).
    BehindStartTls,
}

/// Why a session is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exemption {
    /// Its client is in an exempt network.
    Network,
    /// It authenticated.
    Authenticated,
    /// Its certificate was verified.
    Verified,
}

/// Why a session can no longer be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OpaqueCause {
    /// The server agreed to STARTTLS.
    StartTls,
    /// A reply came that nobody owed.
    UnexpectedReply,
    /// The server sent something that is no reply.
    InvalidReply,
    /// A reply was longer than is waited for.
    LongReply,
    /// The server answered an unknown command by asking for more (3yz).
    UnknownDialogue,
    /// The client closed its side with a message behind an unanswered DATA.
    ClosedAhead,
}

impl OpaqueCause {
    /// The name for logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::StartTls => "starttls",
            Self::UnexpectedReply => "unexpected_reply",
            Self::InvalidReply => "invalid_reply",
            Self::LongReply => "long_reply",
            Self::UnknownDialogue => "unknown_dialogue",
            Self::ClosedAhead => "closed_ahead",
        }
    }

    /// Whether replies and commands no longer pair, which no honest dialogue leads to.
    #[must_use]
    pub fn is_desync(self) -> bool {
        !matches!(self, Self::StartTls | Self::ClosedAhead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn as_many_commands_are_counted_as_a_worker_reads_in_a_second() {
        let mut one = Commands::default();
        one.count(Verb::Noop);
        let mut two = one;
        two.count(Verb::Rset);
        let mut sums = [0; Verb::NAMES.len()];
        for _ in 0..100_000 {
            one.add_to(&mut sums);
            two.add_to(&mut sums);
        }
        let mut expected = [0; Verb::NAMES.len()];
        expected[Verb::Noop as usize] = 200_000;
        expected[Verb::Rset as usize] = 100_000;
        assert_eq!(sums, expected);
    }
}
