//! The reply line: one place for every reply the server owes, in the order it owes them.

use std::collections::VecDeque;

/// Which greeting command was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hello {
    /// `EHLO`.
    Ehlo,
    /// `HELO`.
    Helo,
    /// `LHLO`: one reply per recipient after the message (RFC 2033 section 4.2).
    Lhlo,
}

/// What the server owes a reply to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The connection itself: the greeting.
    Greeting,
    /// EHLO, HELO or LHLO.
    Hello(Hello),
    /// MAIL.
    Mail,
    /// RCPT of a recipient that counts.
    Rcpt,
    /// VRFY or EXPN, which ask about a name just as well.
    Lookup,
    /// RCPT of the postmaster, who never counts.
    Postmaster,
    /// A RCPT that the guard answers; the server was sent NOOP in its place.
    Refused,
    /// A RCPT of a recipient remembered as unknown, for which the server was sent NOOP just so.
    Remembered,
    /// The same of one that is unknown for now (4yz).
    RememberedForNow,
    /// The DATA command: 354 or a refusal.
    Data,
    /// The end of a message sent by DATA.
    Message,
    /// A BDAT chunk; `last` ends the message.
    Chunk {
        /// Whether it was the last one.
        last: bool,
    },
    /// RSET.
    Rset,
    /// QUIT.
    Quit,
    /// AUTH, or a line of its dialogue.
    Auth,
    /// STARTTLS.
    StartTls,
    /// A command about TLS, or one that comes too early after it; the guard answers, and the
    /// server was sent NOOP in its place.
    Tls(TlsReply),
    /// Any other command.
    Other,
}

/// What the guard says about TLS (RFC 3207 section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsReply {
    /// TLS starts behind this reply.
    Ready,
    /// STARTTLS takes no parameter.
    Parameter,
    /// There is no STARTTLS here.
    NotHere,
    /// There should be, but TLS cannot be started (RFC 3207 section 4).
    Unavailable,
    /// TLS is active already, or the client has authenticated without it.
    TooLate,
    /// What was said before TLS is forgotten, EHLO included.
    HelloFirst,
}

impl TlsReply {
    /// The reply line.
    #[must_use]
    pub fn line(self) -> &'static str {
        match self {
            Self::Ready => "220 2.0.0 Ready to start TLS\r\n",
            Self::Parameter => "501 5.5.4 STARTTLS takes no parameter\r\n",
            Self::NotHere => "502 5.5.1 STARTTLS not available\r\n",
            Self::Unavailable => "454 4.7.0 TLS not available due to temporary reason\r\n",
            Self::TooLate => "503 5.5.1 Too late for STARTTLS\r\n",
            Self::HelloFirst => "503 5.5.1 Send EHLO again, TLS makes a new start\r\n",
        }
    }
}

impl Answer {
    /// Whether the guard answers, and the server was sent NOOP.
    fn is_the_guards(self) -> bool {
        matches!(
            self,
            Self::Refused | Self::Remembered | Self::RememberedForNow | Self::Tls(_)
        )
    }

    /// Whether it is about a name that counts.
    fn asks_about_a_name(self) -> bool {
        matches!(
            self,
            Self::Rcpt | Self::Lookup | Self::Remembered | Self::RememberedForNow
        )
    }
}

/// One place in the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// What is to be answered.
    pub answer: Answer,
    /// Whether the client's next bytes can only be read once this is answered.
    pub barrier: bool,
}

/// The places of a session, first owed first.
#[derive(Debug, Clone, Default)]
pub struct ReplyQueue {
    places: VecDeque<Place>,
    lookups: u32,
}

impl ReplyQueue {
    /// Appends a place.
    pub fn push(&mut self, place: Place) {
        if place.answer.asks_about_a_name() {
            self.lookups += 1;
        }
        self.places.push_back(place);
    }

    /// The place the next reply belongs to.
    #[must_use]
    pub fn head(&self) -> Option<Place> {
        self.places.front().copied()
    }

    /// The place the reply owed last belongs to.
    #[must_use]
    pub fn tail(&self) -> Option<Place> {
        self.places.back().copied()
    }

    /// Takes the place that has just been answered.
    pub fn pop(&mut self) -> Option<Place> {
        let place = self.places.pop_front()?;
        if place.answer.asks_about_a_name() {
            self.lookups -= 1;
        }
        Some(place)
    }

    /// Whether the last place is a barrier: nothing behind it has been sent on.
    #[must_use]
    pub fn ends_in_barrier(&self) -> Option<Answer> {
        self.places
            .back()
            .filter(|place| place.barrier)
            .map(|place| place.answer)
    }

    /// Whether any barrier is still to be answered.
    #[must_use]
    pub fn holds_barrier(&self) -> bool {
        self.places.iter().any(|place| place.barrier)
    }

    /// Replies owed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether no reply is owed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether the server owes a reply to a NOOP that stands for a refused RCPT.
    #[must_use]
    pub fn holds_refusals(&self) -> bool {
        let mut places = self.places.iter();
        places.any(|place| place.answer.is_the_guards())
    }

    /// Whether the server owes a reply to a message among the first `count` places.
    #[must_use]
    pub fn holds_message(&self, count: usize) -> bool {
        let mut places = self.places.iter().take(count);
        places.any(|place| matches!(place.answer, Answer::Message | Answer::Chunk { last: true }))
    }

    /// Names that count and that the server has not answered for yet.
    #[must_use]
    pub fn lookups_in_flight(&self) -> u32 {
        self.lookups
    }
}
