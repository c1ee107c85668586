//! One side of a played dialogue: what it has read and not yet accounted for.

use super::pattern::Match;
use super::text::escape;
use super::{Expectation, Side};
use crate::simulator::Taken;

/// The bytes a side has read that no expectation has taken yet.
#[derive(Default)]
pub(super) struct Reader {
    unread: Vec<u8>,
    ended: bool,
}

/// Whether an expectation holds.
pub(super) enum Verdict {
    Met,
    /// It may still come true.
    Wait,
    Failed,
}

impl Reader {
    /// Takes in what was read; gives it line by line, and whether the stream has just ended.
    pub(super) fn take_in(&mut self, taken: Taken) -> (Vec<String>, bool) {
        let lines = taken.bytes.split_inclusive(|byte| *byte == b'\n');
        let lines = lines.map(escape).collect();
        self.unread.extend_from_slice(&taken.bytes);
        let just_ended = taken.ended && !self.ended;
        self.ended |= taken.ended;
        (lines, just_ended)
    }

    /// Looks for what is expected and takes it off.
    pub(super) fn meet(&mut self, expectation: &Expectation) -> Verdict {
        match expectation {
            Expectation::Text(pattern) => match pattern.matches(&self.unread) {
                Match::Takes(bytes) => {
                    self.unread.drain(..bytes);
                    Verdict::Met
                }
                Match::Wait if !self.ended => Verdict::Wait,
                Match::Wait | Match::Differs => Verdict::Failed,
            },
            Expectation::End if !self.unread.is_empty() => Verdict::Failed,
            Expectation::End if self.ended => Verdict::Met,
            Expectation::End => Verdict::Wait,
            Expectation::Quiet if self.unread.is_empty() && !self.ended => Verdict::Met,
            Expectation::Quiet => Verdict::Failed,
        }
    }

    /// What there is to read, for a failure's text.
    pub(super) fn describe(&self) -> String {
        let line = self.unread.split_inclusive(|byte| *byte == b'\n').next();
        match line {
            Some(line) => format!("`{}`", escape(line)),
            None if self.ended => "the end of the stream".to_owned(),
            None => "nothing".to_owned(),
        }
    }
}

impl Side {
    /// The letter a scenario names the side by.
    pub(super) fn letter(self) -> char {
        match self {
            Self::Client => 'C',
            Self::Server => 'S',
        }
    }

    /// The side in words.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

impl Expectation {
    /// The expectation in a failure's words.
    pub(super) fn describe(&self, side: Side) -> String {
        let who = side.name();
        match self {
            Self::Text(pattern) => format!("the {who} to read `{}`", pattern.text()),
            Self::End => format!("the end of the {who}'s stream"),
            Self::Quiet => format!("nothing to read for the {who} and the stream open"),
        }
    }
}
