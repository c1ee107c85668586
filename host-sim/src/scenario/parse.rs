//! Reading a scenario.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

use super::text::{BadEscape, Pattern, written};
use super::{Action, Check, Expectation, Policy, Scenario, ServerRole, Side, Step, Subject};

/// A scenario that cannot be read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("line {line}: {kind}")]
pub struct ScenarioError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub kind: ErrorKind,
}

/// What can be wrong with a line.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ErrorKind {
    /// A header nobody knows.
    #[error("unknown header `{0}`; known are client, local, policy, server")]
    UnknownHeader(String),
    /// An address that is none.
    #[error("`{0}` is no address; write it as 203.0.113.7:25 or [2001:db8::7]:25")]
    BadAddress(String),
    /// A server that is neither script nor mta.
    #[error(
        "bad server `{0}`; write `script` or `mta known=NAME,... unknown=\"REPLY\" domain=NAME`"
    )]
    BadServer(String),
    /// A line that starts with no known marker.
    #[error(
        "unknown marker `{0}`; known are C> C+ C*N S> S+ S*N C< C<*N S< S<*N C| S| C! C<| S<| C<- S<- ?log ?property"
    )]
    UnknownMarker(String),
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
    #[error("unknown escape `{0}`; known are \\r \\n \\t \\\\ \\0 \\xHH")]
    BadEscape(String),
    /// A server line although the demo server plays the server.
    #[error("the server is `mta`: it speaks by itself, the scenario cannot write for it")]
    ServerSpeaksItself,
    /// A time that goes back.
    #[error("the time {0} is before the one above it")]
    TimeGoesBack(String),
    /// A check without something to look for.
    #[error("`{0}` needs a text to look for")]
    EmptyCheck(String),
}

impl From<BadEscape> for ErrorKind {
    fn from(BadEscape(escape): BadEscape) -> Self {
        Self::BadEscape(escape)
    }
}

impl FromStr for Scenario {
    type Err = ScenarioError;

    /// Reads a scenario from its text.
    fn from_str(text: &str) -> Result<Self, ScenarioError> {
        let mut scenario = Self {
            client: SocketAddr::from(([203, 0, 113, 7], 40001)),
            local: SocketAddr::from(([192, 0, 2, 25], 25)),
            policy: None,
            server: ServerRole::Script,
            steps: Vec::new(),
            checks: Vec::new(),
        };
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            scenario
                .line(number, line)
                .map_err(|kind| ScenarioError { line: number, kind })?;
        }
        Ok(scenario)
    }
}

impl Scenario {
    fn line(&mut self, number: usize, line: &str) -> Result<(), ErrorKind> {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let (word, rest) = split_word(line);
        if word.starts_with('?') {
            return self.check(number, word, rest);
        }
        if self.steps.is_empty()
            && let Some(name) = word.strip_suffix(':')
        {
            return self.header(name, rest.trim());
        }
        match seconds(word) {
            Some(at) => {
                let (marker, rest) = split_word(rest.trim_start());
                self.not_before(at, word)?;
                self.dialogue(number, Some(at), marker, rest)
            }
            None => self.dialogue(number, None, word, rest),
        }
    }

    fn header(&mut self, name: &str, value: &str) -> Result<(), ErrorKind> {
        let address = |value: &str| {
            value
                .parse()
                .map_err(|_| ErrorKind::BadAddress(value.to_owned()))
        };
        match name {
            "client" => self.client = address(value)?,
            "local" => self.local = address(value)?,
            "server" => self.server = server_role(value)?,
            "policy" if value.starts_with('{') => {
                self.policy = Some(Policy::Inline(value.to_owned()));
            }
            "policy" => self.policy = Some(Policy::File(value.into())),
            _ => return Err(ErrorKind::UnknownHeader(name.to_owned())),
        }
        Ok(())
    }

    fn check(&mut self, line: usize, word: &str, rest: &str) -> Result<(), ErrorKind> {
        let (subject, text) = match word {
            "?log" => (Subject::Log, rest),
            "?property" => {
                let (name, text) = split_word(rest.trim_start());
                (Subject::Property(name.to_owned()), text)
            }
            _ => return Err(ErrorKind::UnknownMarker(word.to_owned())),
        };
        let text = text.trim().to_owned();
        if text.is_empty() {
            return Err(ErrorKind::EmptyCheck(word.to_owned()));
        }
        self.checks.push(Check {
            line,
            subject,
            text,
        });
        Ok(())
    }

    fn not_before(&self, at: Duration, written: &str) -> Result<(), ErrorKind> {
        let latest = self.steps.iter().filter_map(|step| step.at).max();
        match latest {
            Some(latest) if at < latest => Err(ErrorKind::TimeGoesBack(written.to_owned())),
            _ => Ok(()),
        }
    }

    fn dialogue(
        &mut self,
        line: usize,
        at: Option<Duration>,
        marker: &str,
        text: &str,
    ) -> Result<(), ErrorKind> {
        let (side, what) = side_of(marker)?;
        let mut push = |action| self.steps.push(Step { line, at, action });
        match what {
            ">" | "+" => return self.write(line, at, marker, text),
            "|" => push(Action::HalfClose(side)),
            "!" if side == Side::Client => push(Action::Abort),
            "<|" => push(Action::Expect(side, Expectation::End)),
            "<-" => push(Action::Expect(side, Expectation::Quiet)),
            "<" => push(Action::Expect(
                side,
                Expectation::Text(Pattern::parse(text)?),
            )),
            _ if what.starts_with("<*") => {
                for n in 1..=count(marker, what)? {
                    let pattern = Pattern::parse(&text.replace("{n}", &n.to_string()))?;
                    push(Action::Expect(side, Expectation::Text(pattern)));
                }
            }
            _ if what.starts_with('*') => return self.write(line, at, marker, text),
            _ => return Err(ErrorKind::UnknownMarker(marker.to_owned())),
        }
        Ok(())
    }

    /// `>`, `+` and `*N`: a segment of its own, or more of the one before.
    fn write(
        &mut self,
        line: usize,
        at: Option<Duration>,
        marker: &str,
        text: &str,
    ) -> Result<(), ErrorKind> {
        let (side, what) = side_of(marker)?;
        if side == Side::Server && self.server != ServerRole::Script {
            return Err(ErrorKind::ServerSpeaksItself);
        }
        let mut bytes = Vec::new();
        if what.starts_with('*') {
            for n in 1..=count(marker, what)? {
                bytes.extend(written(&text.replace("{n}", &n.to_string()))?);
            }
        } else {
            bytes = written(text)?;
        }
        let segment = match self.steps.last_mut().map(|step| &mut step.action) {
            Some(Action::Write(by, segment)) if *by == side && what != ">" => Some(segment),
            _ => None,
        };
        match (segment, what, at) {
            (Some(_), "+", Some(_)) => return Err(ErrorKind::TimeOnJoined),
            (None, "+", _) => return Err(ErrorKind::NothingToJoin(marker.to_owned())),
            (Some(segment), _, None) => segment.append(&mut bytes),
            (None, ..) | (Some(_), _, Some(_)) => {
                let action = Action::Write(side, bytes);
                self.steps.push(Step { line, at, action });
            }
        }
        Ok(())
    }
}

/// The first word, and the text after the one space that ends it.
fn split_word(line: &str) -> (&str, &str) {
    line.split_once(' ').unwrap_or((line, ""))
}

fn seconds(word: &str) -> Option<Duration> {
    let starts_as_number = word.starts_with(|letter: char| letter.is_ascii_digit());
    let seconds: f64 = word.parse().ok().filter(|_| starts_as_number)?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// Whose marker it is, and what follows the letter.
fn side_of(marker: &str) -> Result<(Side, &str), ErrorKind> {
    match marker.split_at_checked(1) {
        Some(("C", what)) => Ok((Side::Client, what)),
        Some(("S", what)) => Ok((Side::Server, what)),
        _ => Err(ErrorKind::UnknownMarker(marker.to_owned())),
    }
}

fn count(marker: &str, what: &str) -> Result<u32, ErrorKind> {
    let digits = what.trim_start_matches('<').trim_start_matches('*');
    let count = digits.parse().ok();
    count
        .filter(|count| (1..=100_000).contains(count))
        .ok_or_else(|| ErrorKind::BadCount(marker.to_owned()))
}

fn server_role(value: &str) -> Result<ServerRole, ErrorKind> {
    let bad = || ErrorKind::BadServer(value.to_owned());
    let mut rest = match value.split_once(' ').unwrap_or((value, "")) {
        ("script", "") => return Ok(ServerRole::Script),
        ("mta", settings) => settings.trim(),
        _ => return Err(bad()),
    };
    let mut domain = "example.test".to_owned();
    let (mut known, mut unknown) = (Vec::new(), None);
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=').ok_or_else(bad)?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or_else(bad)?,
            None => split_word(after),
        };
        match name {
            "domain" => value.clone_into(&mut domain),
            "known" => known = value.split(',').map(str::to_owned).collect(),
            "unknown" => unknown = Some(value.to_owned()),
            _ => return Err(bad()),
        }
        rest = after.trim_start();
    }
    Ok(ServerRole::Mta {
        domain,
        known,
        unknown,
    })
}
