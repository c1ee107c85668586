//! Why a scenario cannot be read, and where.

use std::fmt;

use thiserror::Error;

use super::text::{BadText, Why};

/// A scenario that cannot be read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("line {line}, column {column}: {kind}")]
pub struct ScenarioError {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// How many characters are wrong.
    pub width: usize,
    /// The line as it is written.
    pub source_line: String,
    /// What is wrong with it.
    pub kind: ErrorKind,
}

impl ScenarioError {
    /// The error with its place in this file, the line, and a caret below what is wrong.
    ///
    /// ```
    /// use portcullis_host_sim::scenario::Scenario;
    ///
    /// let error = "S> 220 mx\nC> a\\q".parse::<Scenario>().unwrap_err();
    /// assert_eq!(
    ///     error.in_file("mx.txt").to_string(),
    ///     "mx.txt:2:5: unknown escape `\\q`; known are \\r \\n \\t \\\\ \\0 \\xHH \\{N KIND}\n  \
    ///      |\n\
    ///      2 | C> a\\q\n  \
    ///      |     ^^"
    /// );
    /// ```
    #[must_use]
    pub fn in_file<'a>(&'a self, file: &'a str) -> impl fmt::Display + use<'a> {
        Pointed { file, error: self }
    }
}

struct Pointed<'a> {
    file: &'a str,
    error: &'a ScenarioError,
}

impl fmt::Display for Pointed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ScenarioError {
            line,
            column,
            width,
            source_line,
            kind,
        } = self.error;
        writeln!(f, "{}:{line}:{column}: {kind}", self.file)?;
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        writeln!(f, "{margin} |")?;
        // A tab is as wide as the terminal wants, so the caret's line repeats it.
        let before = source_line.chars().take(column.saturating_sub(1));
        let before = before.map(|letter| if letter == '\t' { '\t' } else { ' ' });
        let before: String = before.collect();
        writeln!(f, "{number} | {source_line}")?;
        write!(f, "{margin} | {before}{}", "^".repeat((*width).max(1)))
    }
}

/// What can be wrong with a line.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ErrorKind {
    /// A header nobody knows.
    #[error(
        "unknown header `{0}`; known are client, local, policy, server, upstream, listener, \
         started, policy-version, and x-ANYTHING for notes"
    )]
    UnknownHeader(String),
    /// A header that was there already.
    #[error("the header `{0}` is there twice; leave one")]
    HeaderTwice(String),
    /// A header without a value.
    #[error("the header `{0}` has no value; write one after the colon, or leave the line out")]
    EmptyHeader(String),
    /// An address that is none.
    #[error("`{0}` is no address; write it as 203.0.113.7:25 or [2001:db8::7]:25")]
    BadAddress(String),
    /// A moment that is none.
    #[error("`{0}` is no moment; write it in UTC as 2026-01-31T23:59:59.999Z")]
    BadMoment(String),
    /// A server that is neither script nor mta.
    #[error(
        "bad server `{0}`; write `script` or `mta known=NAME,... unknown=\"REPLY\" domain=NAME`"
    )]
    BadServer(String),
    /// A line that starts with no known marker.
    #[error(
        "unknown marker `{0}`; known are C> C+ C*N S> S+ S*N C< C<*N S< S<*N C| S| C! S! C<| S<| \
         C<- S<- ?log ?property ?json ?closed ?unchanged"
    )]
    UnknownMarker(String),
    /// A line that ends after its time.
    #[error("a marker such as C> or S< must follow the time")]
    NoMarker,
    /// A time that is none.
    #[error("`{0}` is no time; write seconds such as 0.250, with nine decimals at most")]
    BadTime(String),
    /// A text where none belongs.
    #[error("`{0}` takes no text; remove what follows it")]
    UnwantedText(String),
    /// A number of repetitions that is none.
    #[error("bad count in `{0}`; write a number from 1 to 100000 after the *")]
    BadCount(String),
    /// A joined line with nothing to join.
    #[error("`{0}` joins the segment before it, but the line before is no such segment")]
    NothingToJoin(String),
    /// A joined line with a time.
    #[error("a joined line goes out with its segment; it has no time of its own")]
    TimeOnJoined,
    /// An escape nobody knows.
    #[error("unknown escape `{0}`; known are \\r \\n \\t \\\\ \\0 \\xHH \\{{N KIND}}")]
    BadEscape(String),
    /// A mark for octets left out that nobody knows.
    #[error(
        "bad mark `{0}`; write \\{{N body}}, \\{{N text}}, \\{{N secret}} or \\{{N lost}} for N octets left out"
    )]
    BadMark(String),
    /// A mark that cannot be replayed.
    #[error("bad mark `{mark}`: {source}")]
    BadFill {
        /// The mark.
        mark: String,
        /// Why.
        source: super::FillError,
    },
    /// A server line although the demo server plays the server.
    #[error("the server is `mta`: it speaks by itself, the scenario cannot write for it")]
    ServerSpeaksItself,
    /// A time that goes back.
    #[error("the time {0} is before the one above it")]
    TimeGoesBack(String),
    /// A check without something to look for.
    #[error("`{0}` needs a text to look for")]
    EmptyCheck(String),
    /// A check of JSON that names no place or no value.
    #[error("write `?json PROPERTY /POINTER VALUE`, the value as JSON: \"admit\", 5, true")]
    BadJsonCheck,
    /// A reason nobody closes for.
    #[error("unknown reason `{0}`; known are {known}", known = super::check::reasons())]
    BadReason(String),
    /// More than a scenario may hold.
    #[error("the scenario is too long; a scenario has {limit} {what} at most")]
    TooLong {
        /// How many there may be.
        limit: usize,
        /// Of what.
        what: &'static str,
    },
}

impl From<BadText> for ErrorKind {
    fn from(bad: BadText) -> Self {
        match bad.why {
            Why::Escape => Self::BadEscape(bad.written),
            Why::Mark => Self::BadMark(bad.written),
            Why::Fill(source) => Self::BadFill {
                mark: bad.written,
                source,
            },
        }
    }
}

/// An error at an octet of its line.
#[derive(Debug)]
pub(super) struct Located {
    pub(super) at: usize,
    pub(super) octets: usize,
    pub(super) kind: ErrorKind,
}

impl Located {
    /// The error with its columns, counted in characters.
    pub(super) fn on(self, number: usize, line: &str) -> ScenarioError {
        let chars =
            |from: usize, to: usize| line.get(from..to).map_or(0, |part| part.chars().count());
        ScenarioError {
            line: number,
            column: chars(0, self.at) + 1,
            width: chars(self.at, self.at + self.octets),
            source_line: line.to_owned(),
            kind: self.kind,
        }
    }
}
