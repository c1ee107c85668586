//! Text dialogues: who speaks when, and what the other side must read.
//!
//! ```text
//! # comment
//! client: 203.0.113.7:40001       headers, all optional, before the dialogue
//! local: 192.0.2.25:25
//! policy: relative/path.json      or the JSON itself, from its opening brace
//! started: 2026-01-31T23:59:59Z   of a record: also upstream, listener, policy-version, x-NOTES
//! server: mta known=alice,bob unknown="451 4.1.1 No such user"     default: script
//!
//! 0.000 S> 220 mx.example.test ESMTP      optional seconds since the start, a marker, a text
//! C> EHLO bot                     the client writes the text and CRLF, in one segment
//! C+ MAIL FROM:<a@b.test>         joined to the client's segment just before
//! C*100 RCPT TO:<u{n}@x.test>     a hundred lines, {n} from 1; joined as C+ where it can be
//! S> 250 ok                       the server writes; S+ and S*N likewise
//! S< EHLO bot                     the server's next line is this
//! C< 250 *                        the client's next line; a trailing * matches any rest
//! C<*100 250 *                    the client's next hundred lines
//! C|   S|                         the side ends its direction
//! C!   S!                         the side resets the connection
//! C<|  S<|                        the end of the stream, nothing unread before it
//! C<-  S<-                        nothing to read now, and the stream is open
//! W= KEY VALUE                    another worker puts this value into the shared data
//! W@ MESSAGE                      another worker puts this into the queues of this session's
//! ?log TEXT                       some log line contains this (checked at the end)
//! ?property NAME TEXT             so does what the filter set as this property
//! ?json NAME /POINTER VALUE       that property is JSON with this value in it
//! ?closed REASON                  the session ended so, such as filter or finished
//! ?unchanged                      each side has read exactly what the other wrote
//! ```
//!
//! Texts know `\r \n \t \\ \0 \xHH`, and `\{N body}` for N octets left out; one that ends
//! in a single `\` has no line end. The whole grammar is in `SCENARIOS.md`. [`format()`] gives
//! a text its usual look, and a [`Scenario`] is written out by its `Display`.

mod check;
mod error;
mod format;
mod header;
mod judge;
mod parse;
mod pattern;
mod play;
mod report;
mod segment;
mod shrink;
mod side;
mod syntax;
mod text;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use check::{Check, Subject};
pub use error::{ErrorKind, ScenarioError};
pub use format::format;
pub use header::Record;
pub use pattern::Pattern;
pub use play::{MetricNotes, PlayError, PlayOptions, play};
pub use report::{Difference, Entry, Failure, Report, Totals};
pub use segment::{Fill, FillError, FillKind, Segment};
pub use shrink::shrink;

/// A dialogue, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// The client's address.
    pub client: SocketAddr,
    /// The address it connects to.
    pub local: SocketAddr,
    /// The filter's configuration, if the scenario brings one.
    pub policy: Option<Policy>,
    /// Who plays the server.
    pub server: ServerRole,
    /// What a record says of its session.
    pub record: Record,
    /// The dialogue.
    pub steps: Vec<Step>,
    /// What must hold at the end.
    pub checks: Vec<Check>,
}

/// Where a scenario's policy is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Policy {
    /// In a file, relative to the scenario's own.
    File(PathBuf),
    /// In the scenario.
    Inline(String),
}

/// Who plays the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerRole {
    /// The scenario's own `S>` lines.
    Script,
    /// The demo mail server.
    Mta {
        /// Its domain.
        domain: String,
        /// Its mailboxes.
        known: Vec<String>,
        /// Its reply for all others; `None` for the server's default.
        unknown: Option<String>,
    },
}

/// The two ends of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// `C`.
    Client,
    /// `S`.
    Server,
}

/// One step of the dialogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The line in the file, from 1.
    pub line: usize,
    /// Not before this time since the start.
    pub at: Option<Duration>,
    /// What happens.
    pub action: Action,
}

impl Scenario {
    /// What other workers had put into the shared data before the session began: the first steps,
    /// as long as they do nothing else and no time has passed.
    pub(crate) fn known(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.steps.iter().map_while(|step| match &step.action {
            Action::Share { key, value } if step.at.unwrap_or_default().is_zero() => {
                Some((key.as_str(), value.as_slice()))
            }
            _ => None,
        })
    }
}

/// What happens in a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A side writes one segment.
    Write(Side, Segment),
    /// A side ends its direction.
    HalfClose(Side),
    /// A side resets the connection.
    Abort(Side),
    /// A side must read this next.
    Expect(Side, Expectation),
    /// Another worker puts a value into the shared data.
    Share {
        /// Its key.
        key: String,
        /// The value.
        value: Vec<u8>,
    },
    /// Another worker puts a message into the queues of the session's own.
    Message(Vec<u8>),
}

/// What a side must read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// This line, or these bytes.
    Text(Pattern),
    /// The end of the stream.
    End,
    /// Nothing for now.
    Quiet,
}
