//! What a played scenario showed.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::Side;
use super::text::escape;
use crate::observe::CloseReason;

/// The most octets of a line that a difference shows.
const LONGEST_EXCERPT: usize = 80;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When, since the scenario began.
    pub at: Duration,
    /// What, in the scenario's own notation or as a comment.
    pub text: String,
}

/// The first thing that was not as expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The line that expected it; `None` for what every scenario expects.
    pub line: Option<usize>,
    /// What it expected.
    pub expected: String,
    /// What there was.
    pub got: String,
}

/// A played scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Everything that happened, in order.
    pub entries: Vec<Entry>,
    /// What failed, if anything did.
    pub failure: Option<Failure>,
    /// How much was written and read.
    pub totals: Totals,
    /// Where what a side read first differs from what the other wrote, the
    /// server's side first; none when both read all of it and nothing else.
    pub differences: Vec<Difference>,
    /// How the session ended.
    pub closed: Option<CloseReason>,
}

/// Octets over a whole session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// What the client wrote.
    pub client_wrote: usize,
    /// What the server read.
    pub server_read: usize,
    /// What the server wrote.
    pub server_wrote: usize,
    /// What the client read.
    pub client_read: usize,
}

/// Where what a side read first differs from what the other wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Who read it.
    pub reader: Side,
    /// After how many octets.
    pub at: usize,
    /// What was written there, the line's rest.
    pub written: String,
    /// What was read there, likewise.
    pub read: String,
}

impl Difference {
    /// The first difference of what was read from what was written.
    pub(super) fn find(reader: Side, written: &[u8], read: &[u8]) -> Option<Self> {
        if written == read {
            return None;
        }
        let mut pairs = written.iter().zip(read);
        let same = pairs.position(|(written, read)| written != read);
        let at = same.unwrap_or_else(|| written.len().min(read.len()));
        Some(Self {
            reader,
            at,
            written: excerpt(written, at),
            read: excerpt(read, at),
        })
    }
}

/// The rest of a line from here, cut short where it is long.
fn excerpt(bytes: &[u8], at: usize) -> String {
    let rest = bytes.get(at..).unwrap_or_default();
    let line = rest.split_inclusive(|byte| *byte == b'\n').next();
    match line {
        None => "nothing".to_owned(),
        Some(line) => match line.split_at_checked(LONGEST_EXCERPT) {
            Some((head, [_, ..])) => format!("`{}`...", escape(head)),
            _ => format!("`{}`", escape(line)),
        },
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            reader,
            at,
            written,
            read,
        } = self;
        let writer = match reader {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        };
        let (reader, writer) = (reader.name(), writer.name());
        write!(
            f,
            "after {at} octets the {reader} read {read}, where the {writer} wrote {written}"
        )
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:9.3} {}", self.at.as_secs_f64(), self.text)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            line,
            expected,
            got,
        } = self;
        if let Some(line) = line {
            write!(f, "line {line}: ")?;
        }
        write!(f, "expected {expected}, got {got}")
    }
}
