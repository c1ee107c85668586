//! Reading a scenario.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use super::error::{ErrorKind, Located, ScenarioError};
use super::segment::Segment;
use super::syntax::{self, Line, StepLine, Verb, Word};
use super::text::{BadText, unescape, written};
use super::{
    Action, Check, Expectation, Pattern, Record, Scenario, ServerRole, Side, Step, Subject,
};

/// The most octets a scenario's sides write, all in all.
const MOST_OCTETS: usize = 64 * 1024 * 1024;
/// The most steps of a scenario, repetitions counted one by one.
const MOST_STEPS: usize = 1_000_000;

impl Default for Scenario {
    /// Nothing said, between addresses of documentation (RFC 5737).
    fn default() -> Self {
        Self {
            client: SocketAddr::from(([203, 0, 113, 7], 40001)),
            local: SocketAddr::from(([192, 0, 2, 25], 25)),
            policy: None,
            server: ServerRole::Script,
            record: Record::default(),
            steps: Vec::new(),
            checks: Vec::new(),
        }
    }
}

impl FromStr for Scenario {
    type Err = ScenarioError;

    /// Reads a scenario from its text.
    fn from_str(text: &str) -> Result<Self, ScenarioError> {
        let mut reader = Reader::default();
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            let read = reader.line(number, line);
            read.map_err(|error| error.on(number, line))?;
        }
        Ok(reader.scenario)
    }
}

#[derive(Default)]
struct Reader {
    scenario: Scenario,
    headers: Vec<String>,
    latest: Duration,
    octets: usize,
}

impl Reader {
    fn line(&mut self, number: usize, line: &str) -> Result<(), Located> {
        match syntax::read(line, !self.scenario.steps.is_empty())? {
            Line::Blank | Line::Comment(_) => Ok(()),
            Line::Header { name, value } => {
                if self.headers.iter().any(|known| known == name.text) {
                    return Err(name.wrong(ErrorKind::HeaderTwice(name.text.to_owned())));
                }
                self.headers.push(name.text.to_owned());
                self.scenario.header(name, value)
            }
            Line::Check { marker, rest } => {
                let subject = Subject::read(marker, rest)?;
                let line = number;
                self.scenario.checks.push(Check { line, subject });
                Ok(())
            }
            Line::Step(step) => {
                self.not_before(&step)?;
                self.step(number, &step)
            }
        }
    }

    fn not_before(&mut self, step: &StepLine<'_>) -> Result<(), Located> {
        let Some((word, at)) = step.time else {
            return Ok(());
        };
        if at < self.latest {
            return Err(word.wrong(ErrorKind::TimeGoesBack(word.text.to_owned())));
        }
        self.latest = at;
        Ok(())
    }

    fn step(&mut self, line: usize, step: &StepLine<'_>) -> Result<(), Located> {
        let StepLine { side, text, .. } = *step;
        match step.verb {
            Verb::Write | Verb::Join | Verb::Repeat(_) => self.write(line, step),
            Verb::End => self.push(line, step, Action::HalfClose(side)),
            Verb::Reset => self.push(line, step, Action::Abort(side)),
            Verb::ReadEnd => self.push(line, step, Action::Expect(side, Expectation::End)),
            Verb::ReadNothing => self.push(line, step, Action::Expect(side, Expectation::Quiet)),
            Verb::Share => {
                let (key, value) = text.split();
                let key = key.text.to_owned();
                let value = octets(value)?;
                self.push(line, step, Action::Share { key, value })
            }
            Verb::Message => {
                let message = octets(text)?;
                self.push(line, step, Action::Message(message))
            }
            Verb::Read => {
                let pattern = pattern(text, text.text)?;
                self.push(line, step, Action::Expect(side, pattern))
            }
            Verb::ReadRepeat(count) => {
                pattern(text, text.text)?;
                for repetition in repetitions(text.text, count) {
                    let pattern = pattern(text, &repetition)?;
                    self.push(line, step, Action::Expect(side, pattern))?;
                }
                Ok(())
            }
        }
    }

    fn push(&mut self, line: usize, step: &StepLine<'_>, action: Action) -> Result<(), Located> {
        let steps = &mut self.scenario.steps;
        if steps.len() == MOST_STEPS {
            let (limit, what) = (MOST_STEPS, "steps");
            return Err(step.marker.wrong(ErrorKind::TooLong { limit, what }));
        }
        let at = step.time.map(|(_, at)| at);
        steps.push(Step { line, at, action });
        Ok(())
    }

    /// Counts what is written against what a scenario may hold.
    fn count(&mut self, marker: Word<'_>, segment: &Segment) -> Result<(), Located> {
        self.octets += segment.bytes().len();
        if self.octets > MOST_OCTETS {
            let (limit, what) = (MOST_OCTETS, "octets to write");
            return Err(marker.wrong(ErrorKind::TooLong { limit, what }));
        }
        Ok(())
    }

    /// A segment of its own, or more of the one before.
    fn write(&mut self, line: usize, step: &StepLine<'_>) -> Result<(), Located> {
        let StepLine {
            side, verb, marker, ..
        } = *step;
        if side == Side::Server && self.scenario.server != ServerRole::Script {
            return Err(marker.wrong(ErrorKind::ServerSpeaksItself));
        }
        let mut segment = written(step.text.text).map_err(|bad| at_text(step.text, bad))?;
        if let Verb::Repeat(count) = verb {
            segment = Segment::default();
            for text in repetitions(step.text.text, count) {
                let repetition = written(&text).map_err(|bad| at_text(step.text, bad))?;
                self.count(marker, &repetition)?;
                segment.append(&repetition);
            }
        } else {
            self.count(marker, &segment)?;
        }
        let before = match self.scenario.steps.last_mut().map(|step| &mut step.action) {
            Some(Action::Write(by, segment)) if *by == side && verb != Verb::Write => Some(segment),
            _ => None,
        };
        match (before, verb, step.time) {
            (Some(_), Verb::Join, Some((word, _))) => Err(word.wrong(ErrorKind::TimeOnJoined)),
            (None, Verb::Join, _) => {
                Err(marker.wrong(ErrorKind::NothingToJoin(marker.text.to_owned())))
            }
            (Some(before), _, None) => {
                before.append(&segment);
                Ok(())
            }
            (None, ..) | (Some(_), _, Some(_)) => {
                self.push(line, step, Action::Write(side, segment))
            }
        }
    }
}

/// A text that no line end follows.
fn octets(text: Word<'_>) -> Result<Vec<u8>, Located> {
    let (segment, _) = unescape(text.text).map_err(|bad| at_text(text, bad))?;
    Ok(segment.bytes().to_vec())
}

fn pattern(place: Word<'_>, text: &str) -> Result<Expectation, Located> {
    let pattern = Pattern::parse(text).map_err(|bad| at_text(place, bad))?;
    Ok(Expectation::Text(pattern))
}

/// A repeated text: `{n}` in it counts from 1.
fn repetitions(text: &str, count: u32) -> impl Iterator<Item = String> {
    (1..=count).map(move |n| text.replace("{n}", &n.to_string()))
}

fn at_text(text: Word<'_>, bad: BadText) -> Located {
    Located {
        at: text.at + bad.at,
        octets: bad.written.len(),
        kind: bad.into(),
    }
}
