//! What all clients have in common: commands go out, replies come back.

use std::collections::VecDeque;

/// What a reply answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// The connection itself.
    Connect,
    Ehlo,
    Mail,
    Rcpt,
    Data,
    /// The message, to the dot at its end.
    Message,
    Rset,
    Quit,
}

/// What a client says next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// These bytes, in one segment.
    Say(Vec<u8>),
    /// Nothing more: it leaves without a word.
    Leave,
}

/// Commands that have been sent or are about to be, in the order of their replies.
#[derive(Debug)]
pub(super) struct Owed(VecDeque<Verb>);

impl Default for Owed {
    /// A client waits for the server's greeting first.
    fn default() -> Self {
        Self(VecDeque::from([Verb::Connect]))
    }
}

impl Owed {
    /// What the next reply answers; nothing where none is owed.
    pub(super) fn answered(&mut self) -> Option<Verb> {
        self.0.pop_front()
    }

    pub(super) fn push(&mut self, verb: Verb) {
        self.0.push_back(verb);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
