//! A captured connection: who said what when.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::scenario::{Action, Check, Record, Scenario, Segment, Side, Step, Subject};

/// Whether a connection's beginning was captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// From its first packet on.
    Captured,
    /// It had begun before. Who is the client was told by the ports.
    Missed,
}

/// A connection out of a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// Which connection of the capture it is, from 1, in the order of their first packets.
    pub number: u64,
    /// Who connected.
    pub client: SocketAddr,
    /// Where to.
    pub server: SocketAddr,
    /// When its first packet was captured.
    pub started: Timestamp,
    /// Whether that was its first.
    pub beginning: Beginning,
    /// What happened, in order.
    pub events: Vec<Event>,
    /// Octets that were never captured; others stand for them.
    pub lost: u64,
    /// Octets that were sent more than once.
    pub retransmitted: u64,
    /// Octets sent more than once that differed; the first were taken.
    pub conflicting: u64,
    /// Whether what came later was left out, because of a limit or of too wide a gap.
    pub cut: bool,
}

/// Something that one side did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, since the first packet.
    pub at: Duration,
    /// Who.
    pub side: Side,
    /// What.
    pub happening: Happening,
}

/// What a side did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// It sent a segment.
    Sent(Segment),
    /// It ended its direction.
    Ended,
    /// It reset the connection.
    Reset,
}

impl Conversation {
    /// All that a side sent.
    #[must_use]
    pub fn sent(&self, by: Side) -> Vec<u8> {
        let segments = self
            .events
            .iter()
            .filter_map(|event| match &event.happening {
                Happening::Sent(segment) if event.side == by => Some(segment.bytes()),
                _ => None,
            });
        segments.collect::<Vec<_>>().concat()
    }

    /// Whether it is SMTP by its port, its greeting, or its first command.
    pub(super) fn is_smtp(&self, ports: &[u16]) -> bool {
        ports.contains(&self.server.port())
            || greets(&self.first_line(Side::Server))
            || is_hello(&self.first_line(Side::Client))
    }

    fn first_line(&self, by: Side) -> Vec<u8> {
        let mut line = Vec::new();
        for event in self.events.iter().filter(|event| event.side == by) {
            if let Happening::Sent(segment) = &event.happening {
                line.extend_from_slice(segment.bytes());
            }
            // RFC 5321 4.5.3.1.5: a reply line has 512 octets.
            if line.len() >= 512 || line.contains(&b'\n') {
                break;
            }
        }
        let end = line.iter().position(|byte| *byte == b'\n');
        line.truncate(end.unwrap_or(line.len()));
        line
    }

    /// The conversation to be replayed: it demands that each side reads exactly
    /// what the other sends.
    #[must_use]
    pub fn scenario(&self) -> Scenario {
        let mut record = Record {
            started: Some(self.started),
            ..Record::default()
        };
        if let Some(oddities) = self.oddities() {
            record.notes.push(("x-capture".to_owned(), oddities));
        }
        let step = |event: &Event| Step {
            line: 0,
            at: Some(event.at),
            action: match &event.happening {
                Happening::Sent(segment) => Action::Write(event.side, segment.clone()),
                Happening::Ended => Action::HalfClose(event.side),
                Happening::Reset => Action::Abort(event.side),
            },
        };
        Scenario {
            client: self.client,
            local: self.server,
            record,
            steps: self.events.iter().map(step).collect(),
            checks: vec![Check {
                line: 0,
                subject: Subject::Unchanged,
            }],
            ..Scenario::default()
        }
    }

    /// What is not as it was, or should be, in one line; `None` when all is well.
    #[must_use]
    pub fn oddities(&self) -> Option<String> {
        let mut text = String::new();
        let mut say = |count: u64, what: &str| {
            if count > 0 {
                let comma = if text.is_empty() { "" } else { ", " };
                // Writing to a String cannot fail.
                let _ = write!(text, "{comma}{count} {what}");
            }
        };
        say(self.lost, "octets never captured");
        say(self.retransmitted, "octets retransmitted");
        say(self.conflicting, "of them with other content");
        let mut also = Vec::new();
        if !text.is_empty() {
            also.push(text.as_str());
        }
        if self.beginning == Beginning::Missed {
            also.push("begun before the capture");
        }
        if self.cut {
            also.push("cut off here");
        }
        (!also.is_empty()).then(|| also.join(", "))
    }
}

/// RFC 5321 4.2: the greeting's code; that the word SMTP follows is custom only.
fn greets(line: &[u8]) -> bool {
    let code = line.starts_with(b"220 ") || line.starts_with(b"220-");
    code && line
        .windows(4)
        .any(|word| word.eq_ignore_ascii_case(b"SMTP"))
}

fn is_hello(line: &[u8]) -> bool {
    let word = line.split(|byte| matches!(byte, b' ' | b'\r')).next();
    let hello = [b"EHLO", b"HELO", b"LHLO"];
    word.is_some_and(|word| hello.iter().any(|known| word.eq_ignore_ascii_case(*known)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smtp_is_known_by_its_greeting_or_its_hello() {
        let table: &[(&[u8], bool, bool)] = &[
            (b"220 mx.example.test ESMTP\r", true, false),
            (b"220-mx smtp\r", true, false),
            (b"220 ftp.example.test FTP\r", false, false),
            (b"EHLO\r", false, true),
            (b"ehlo client", false, true),
            (b"EHLOW client", false, false),
            (b"GET / HTTP/1.1\r", false, false),
            (b"", false, false),
        ];
        for (line, greeting, hello) in table {
            assert_eq!(
                (greets(line), is_hello(line)),
                (*greeting, *hello),
                "{line:?}"
            );
        }
    }
}
