//! Scenarios as text: one look for files written by hand, and scenarios written out.

use std::fmt;

use super::error::ScenarioError;
use super::segment::Part;
use super::syntax::{self, Line, StepLine, Verb, written_seconds};
use super::text::{BadText, escape_parts, escape_segment, unescape, written};
use super::{Action, Expectation, Pattern, Scenario, Side, Step, Subject};

/// Gives a scenario's text its usual look, and changes nothing in what it says:
/// one space between words, times in a column of their own, one blank line at most,
/// and one way of writing each octet. Formatted text stays as it is.
///
/// ```
/// let text = "client:   203.0.113.7:40001\n0.5   C>  EHLO a \nC< 250 \\x6f*\n";
/// let formatted = "client: 203.0.113.7:40001\n\n0.500 C>  EHLO a\\x20\n      C< 250 o*\n";
/// assert_eq!(portcullis_host_sim::scenario::format(text).as_deref(), Ok(formatted));
/// ```
///
/// # Errors
/// [`ScenarioError`] for a text that is no scenario.
pub fn format(text: &str) -> Result<String, ScenarioError> {
    // A text that cannot be read is not touched.
    text.parse::<Scenario>()?;
    let mut formatter = Formatter::default();
    for (index, line) in text.lines().enumerate() {
        let read = syntax::read(line, formatter.begun);
        formatter.add(&read.map_err(|error| error.on(index + 1, line))?);
    }
    Ok(formatter.finish())
}

/// What of a scenario a line belongs to; a blank line stands between two of them.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Start,
    Headers,
    Dialogue,
    Checks,
}

#[derive(Default)]
struct Formatter {
    /// The time, if the line has room for one, and the rest.
    lines: Vec<(Option<String>, String)>,
    place: Place,
    /// A blank line is due.
    blank: bool,
    begun: bool,
    time_width: usize,
}

impl Formatter {
    fn add(&mut self, line: &Line<'_>) {
        match line {
            Line::Blank => self.blank = true,
            Line::Comment(comment) => self.push(None, (*comment).to_owned()),
            Line::Header { name, value } => {
                self.place = Place::Headers;
                self.push(None, format!("{}: {}", name.text, value.text));
            }
            Line::Check { marker, rest } => {
                self.turn_to(Place::Checks);
                // It was read before.
                let text = Subject::read(*marker, *rest).map(|subject| subject.text());
                self.push(None, text.unwrap_or_default());
            }
            Line::Step(step) => {
                self.turn_to(Place::Dialogue);
                self.begun = true;
                let time = step
                    .time
                    .map_or_else(String::new, |(_, at)| written_seconds(at));
                self.push(Some(time), step.formatted());
            }
        }
    }

    /// Headers are set off; a file without any begins as its author wants.
    fn turn_to(&mut self, place: Place) {
        self.blank |= self.place == Place::Headers;
        self.place = place;
    }

    fn push(&mut self, time: Option<String>, text: String) {
        if std::mem::take(&mut self.blank) && !self.lines.is_empty() {
            self.lines.push((None, String::new()));
        }
        let width = time.as_ref().map_or(0, String::len);
        self.time_width = self.time_width.max(width);
        self.lines.push((time, text));
    }

    fn finish(self) -> String {
        let width = self.time_width;
        let mut out = String::new();
        for (time, text) in self.lines {
            match time {
                Some(time) if width > 0 => out += &format!("{time:>width$} {text}"),
                Some(_) | None => out += &text,
            }
            out.push('\n');
        }
        out
    }
}

impl StepLine<'_> {
    fn formatted(&self) -> String {
        // They were read before.
        let text = match self.verb {
            Verb::Read => read_text(self.text.text),
            Verb::ReadRepeat(_) => repeated(self.text.text, read_text),
            Verb::Repeat(_) => repeated(self.text.text, written_text),
            Verb::Write | Verb::Join => written_text(self.text.text),
            Verb::Share => {
                let (key, value) = self.text.split();
                unescape(value.text).map(|(value, _)| shared_text(key.text, value.bytes()))
            }
            Verb::Message => unescape(self.text.text).map(|(text, _)| octets_text(text.bytes())),
            Verb::End | Verb::Reset | Verb::ReadEnd | Verb::ReadNothing => Ok(String::new()),
        };
        joined(self.verb, self.side, &text.unwrap_or_default())
    }
}

fn read_text(text: &str) -> Result<String, BadText> {
    Ok(Pattern::parse(text)?.text())
}

fn written_text(text: &str) -> Result<String, BadText> {
    Ok(escape_segment(&written(text)?))
}

/// Octets that no line end follows.
fn octets_text(octets: &[u8]) -> String {
    escape_parts(&[Part::Bytes(octets)]).replace(' ', "\\x20")
}

fn shared_text(key: &str, value: &[u8]) -> String {
    format!("{key} {}", octets_text(value))
}

/// A text with `{n}` in it: what is counted stays, and nothing else comes to look like it.
fn repeated(text: &str, last: impl Fn(&str) -> Result<String, BadText>) -> Result<String, BadText> {
    let mut formatted = String::new();
    let mut rest = text;
    while let Some((head, after)) = rest.split_once("{n}") {
        let (segment, _) = unescape(head)?;
        formatted += &escape_parts(&segment.parts()).replace("{n}", "\\x7bn}");
        formatted += "{n}";
        rest = after;
    }
    Ok(formatted + &last(rest)?.replace("{n}", "\\x7bn}"))
}

/// A line of the dialogue without its time.
fn joined(verb: Verb, side: Side, text: &str) -> String {
    let marker = verb.marker(side);
    match text {
        "" => marker,
        _ => format!("{marker} {text}"),
    }
}

impl fmt::Display for Scenario {
    /// The scenario as text, formatted; read again, it is the same but for its line numbers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut formatter = Formatter::default();
        for (name, value) in self.headers() {
            formatter.place = Place::Headers;
            // A value is one line; JSON does not mind.
            let value = value.replace(['\r', '\n'], " ");
            formatter.push(None, format!("{name}: {value}"));
        }
        for step in &self.steps {
            formatter.turn_to(Place::Dialogue);
            formatter.step(step);
        }
        for check in &self.checks {
            formatter.turn_to(Place::Checks);
            formatter.push(None, check.subject.text());
        }
        f.write_str(&formatter.finish())
    }
}

impl Formatter {
    fn step(&mut self, step: &Step) {
        let mut time = step.at.map_or_else(String::new, written_seconds);
        let mut push = |verb, side, text: &str| {
            let line = joined(verb, side, text);
            self.push(Some(std::mem::take(&mut time)), line);
        };
        match &step.action {
            Action::Write(side, segment) => {
                let mut verb = Verb::Write;
                for line in segment.lines() {
                    push(verb, *side, &escape_segment(&line));
                    verb = Verb::Join;
                }
            }
            Action::HalfClose(side) => push(Verb::End, *side, ""),
            Action::Abort(side) => push(Verb::Reset, *side, ""),
            Action::Share { key, value } => {
                push(Verb::Share, Side::Server, &shared_text(key, value));
            }
            Action::Message(message) => {
                push(Verb::Message, Side::Server, &octets_text(message));
            }
            Action::Expect(side, Expectation::Text(pattern)) => {
                push(Verb::Read, *side, &pattern.text());
            }
            Action::Expect(side, Expectation::End) => push(Verb::ReadEnd, *side, ""),
            Action::Expect(side, Expectation::Quiet) => push(Verb::ReadNothing, *side, ""),
        }
    }
}
