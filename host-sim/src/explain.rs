//! A played scenario, told so that the filter's part in it shows: what it let pass,
//! kept back and said itself, what it logged and counted, and its record at the end.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::Serialize;

use crate::scenario::{Entry, Report};

/// One line of the story.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// When, in seconds since the session began.
    pub at: f64,
    /// What happened.
    pub kind: Kind,
    /// The text, in the scenario's notation.
    pub text: String,
    /// Of words that were held: for how many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<f64>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The client said this, and the server read it.
    ClientToServer,
    /// The client said this, and the server never read it.
    ClientToNobody,
    /// The server said this, and the client read it.
    ServerToClient,
    /// The server said this, and the client never read it.
    ServerToNobody,
    /// The filter said this to the client.
    FilterToClient,
    /// The filter said this to the server.
    FilterToServer,
    /// The filter logged this.
    Log,
    /// The filter counted this.
    Metric,
    /// An end of a stream or of the session.
    End,
}

/// The story of a session.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Story {
    /// What happened, in order.
    pub events: Vec<Event>,
    /// What the filter set as properties, at the end.
    pub properties: BTreeMap<String, String>,
    /// Where it first went otherwise than the scenario expects.
    pub failure: Option<String>,
}

impl Story {
    /// Tells a report of [`play`](crate::scenario::play). The filter's counts are
    /// in it if the report has them.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        let mut teller = Teller::default();
        for entry in &report.entries {
            teller.tell(entry);
        }
        Self {
            events: teller.events,
            properties: teller.properties,
            failure: report.failure.as_ref().map(ToString::to_string),
        }
    }
}

#[derive(Default)]
struct Teller {
    events: Vec<Event>,
    /// Places in `events` of what each side said and the other has not read yet.
    to_server: VecDeque<usize>,
    to_client: VecDeque<usize>,
    properties: BTreeMap<String, String>,
}

impl Teller {
    fn tell(&mut self, entry: &Entry) {
        let (mark, text) = entry.text.split_once(' ').unwrap_or((&entry.text, ""));
        match mark {
            "C>" => self.said(entry.at, Kind::ClientToNobody, text),
            "S>" => self.said(entry.at, Kind::ServerToNobody, text),
            "S<" => self.read(entry.at, Kind::ClientToServer, text),
            "C<" => self.read(entry.at, Kind::ServerToClient, text),
            "#" => self.note(entry.at, text),
            end => {
                self.push(entry.at, Kind::End, end_of(end));
            }
        }
    }

    fn push(&mut self, at: Duration, kind: Kind, text: &str) -> usize {
        self.events.push(Event {
            at: at.as_secs_f64(),
            kind,
            text: text.to_owned(),
            held: None,
        });
        self.events.len() - 1
    }

    fn said(&mut self, at: Duration, kind: Kind, text: &str) {
        let place = self.push(at, kind, text);
        match kind {
            Kind::ClientToNobody => self.to_server.push_back(place),
            _ => self.to_client.push_back(place),
        }
    }

    /// Finds who said it: the other side, earlier, or the filter.
    fn read(&mut self, at: Duration, kind: Kind, text: &str) {
        let (waiting, otherwise) = match kind {
            Kind::ClientToServer => (&mut self.to_server, Kind::FilterToServer),
            _ => (&mut self.to_client, Kind::FilterToClient),
        };
        let events = &mut self.events;
        let same = |place: &usize| events.get(*place).is_some_and(|event| event.text == text);
        let Some(found) = waiting.iter().position(same) else {
            self.push(at, otherwise, text);
            return;
        };
        // What was said before it was kept back.
        let place = waiting.drain(..=found).next_back();
        if let Some(event) = place.and_then(|place| events.get_mut(place)) {
            event.kind = kind;
            let held = at.as_secs_f64() - event.at;
            event.held = (held > 0.0).then_some(held);
        }
    }

    fn note(&mut self, at: Duration, text: &str) {
        match text.split_once(' ') {
            Some(("log", line)) => {
                self.push(at, Kind::Log, line);
            }
            Some(("metric", change)) => {
                self.push(at, Kind::Metric, change);
            }
            Some(("property", set)) => {
                let (name, value) = set.split_once(' ').unwrap_or((set, ""));
                self.properties.insert(name.to_owned(), value.to_owned());
            }
            _ => {
                self.push(at, Kind::End, text);
            }
        }
    }
}

fn end_of(mark: &str) -> &str {
    match mark {
        "C|" => "the client ends its stream",
        "S|" => "the server ends its stream",
        "C!" => "the client resets the connection",
        "S!" => "the server resets the connection",
        "C<|" => "the client reads the end of the stream",
        "S<|" => "the server reads the end of the stream",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_part_shows() {
        let entries = [
            (0, "C> EHLO a"),
            (0, "S< EHLO a"),
            (0, "S> 250 ok"),
            (0, "# metric replies +1"),
            (2, "C< 250 ok"),
            (2, "C> RCPT TO:<x>"),
            (2, "# log info enough"),
            (2, "C< 421 bye"),
            (3, "S< QUIT"),
            (3, "C<|"),
            (3, "# property record {\"a\":1}"),
        ];
        let entries = entries.map(|(at, text)| Entry {
            at: Duration::from_secs(at),
            text: text.to_owned(),
        });
        let report = Report {
            entries: entries.into(),
            ..Report::default()
        };
        let story = Story::of(&report);
        let told: Vec<_> = story
            .events
            .iter()
            .map(|event| (event.kind, event.text.as_str(), event.held))
            .collect();
        let expected = [
            (Kind::ClientToServer, "EHLO a", None),
            (Kind::ServerToClient, "250 ok", Some(2.0)),
            (Kind::Metric, "replies +1", None),
            (Kind::ClientToNobody, "RCPT TO:<x>", None),
            (Kind::Log, "info enough", None),
            (Kind::FilterToClient, "421 bye", None),
            (Kind::FilterToServer, "QUIT", None),
            (Kind::End, "the client reads the end of the stream", None),
        ];
        assert_eq!(told, expected);
        assert_eq!(story.properties["record"], "{\"a\":1}");
    }
}
