//! The lines of a scenario and the words in them, each with its place.

use std::time::Duration;

use super::Side;
use super::error::{ErrorKind, Located};

/// The most lines of one `*N`.
const MOST_REPETITIONS: u32 = 100_000;

/// A piece of a line, and the octet it begins at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word<'a> {
    pub(super) at: usize,
    pub(super) text: &'a str,
}

/// What a line is.
#[derive(Debug)]
pub(super) enum Line<'a> {
    Blank,
    Comment(&'a str),
    Header { name: Word<'a>, value: Word<'a> },
    Check { marker: Word<'a>, rest: Word<'a> },
    Step(StepLine<'a>),
}

/// A line of the dialogue.
#[derive(Debug)]
pub(super) struct StepLine<'a> {
    pub(super) time: Option<(Word<'a>, Duration)>,
    pub(super) marker: Word<'a>,
    pub(super) side: Side,
    pub(super) verb: Verb,
    pub(super) text: Word<'a>,
}

/// What the marker of a dialogue's line says, without the side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Write,
    Join,
    Repeat(u32),
    End,
    Reset,
    Read,
    ReadRepeat(u32),
    ReadEnd,
    ReadNothing,
    /// What other workers do has no side.
    Share,
    Message,
}

impl<'a> Word<'a> {
    /// An error about the whole word.
    pub(super) fn wrong(self, kind: ErrorKind) -> Located {
        Located {
            at: self.at,
            octets: self.text.len(),
            kind,
        }
    }

    /// The first word, and what follows the one space or tab that ends it.
    pub(super) fn split(self) -> (Self, Self) {
        let end = self.text.find([' ', '\t']).unwrap_or(self.text.len());
        let (word, rest) = self.text.split_at(end);
        let rest_at = (end + 1).min(self.text.len());
        let rest = Word {
            at: self.at + rest_at,
            text: rest.get(1..).unwrap_or_default(),
        };
        (Word { text: word, ..self }, rest)
    }

    pub(super) fn trim_start(self) -> Self {
        let text = self.text.trim_start();
        Word {
            at: self.at + self.text.len() - text.len(),
            text,
        }
    }

    pub(super) fn trim(self) -> Self {
        let word = self.trim_start();
        Word {
            text: word.text.trim_end(),
            ..word
        }
    }
}

/// Reads a line; headers come only before the dialogue has `begun`.
pub(super) fn read(line: &str, begun: bool) -> Result<Line<'_>, Located> {
    let line = Word { at: 0, text: line }.trim_start();
    if line.text.is_empty() {
        return Ok(Line::Blank);
    }
    if line.text.starts_with('#') {
        return Ok(Line::Comment(line.text.trim_end()));
    }
    let (word, rest) = line.split();
    if word.text.starts_with('?') {
        let rest = rest.trim();
        return Ok(Line::Check { marker: word, rest });
    }
    if !begun && let Some(name) = word.text.strip_suffix(':') {
        let name = Word { text: name, ..word };
        let value = rest.trim();
        return Ok(Line::Header { name, value });
    }
    if !word
        .text
        .starts_with(|letter: char| letter.is_ascii_digit())
    {
        return step(None, word, rest);
    }
    let Some(at) = seconds(word.text) else {
        return Err(word.wrong(ErrorKind::BadTime(word.text.to_owned())));
    };
    let (marker, rest) = rest.trim_start().split();
    if marker.text.is_empty() {
        return Err(word.wrong(ErrorKind::NoMarker));
    }
    step(Some((word, at)), marker, rest)
}

fn step<'a>(
    time: Option<(Word<'a>, Duration)>,
    marker: Word<'a>,
    text: Word<'a>,
) -> Result<Line<'a>, Located> {
    let unknown = || marker.wrong(ErrorKind::UnknownMarker(marker.text.to_owned()));
    let (side, what) = match marker.text.split_at_checked(1) {
        Some(("C", what)) => (Side::Client, what),
        Some(("S", what)) => (Side::Server, what),
        Some(("W", "=" | "@")) => (Side::Server, marker.text),
        _ => return Err(unknown()),
    };
    let verb = match what {
        ">" => Verb::Write,
        "+" => Verb::Join,
        "|" => Verb::End,
        "!" => Verb::Reset,
        "<" => Verb::Read,
        "<|" => Verb::ReadEnd,
        "<-" => Verb::ReadNothing,
        "W=" => Verb::Share,
        "W@" => Verb::Message,
        _ => match (what.strip_prefix('*'), what.strip_prefix("<*")) {
            (Some(digits), _) => Verb::Repeat(count(marker, digits)?),
            (_, Some(digits)) => Verb::ReadRepeat(count(marker, digits)?),
            _ => return Err(unknown()),
        },
    };
    let bare = matches!(
        verb,
        Verb::End | Verb::Reset | Verb::ReadEnd | Verb::ReadNothing
    );
    if bare && !text.text.trim().is_empty() {
        let kind = ErrorKind::UnwantedText(marker.text.to_owned());
        return Err(text.trim().wrong(kind));
    }
    Ok(Line::Step(StepLine {
        time,
        marker,
        side,
        verb,
        text,
    }))
}

fn count(marker: Word<'_>, digits: &str) -> Result<u32, Located> {
    let count = digits.parse().ok();
    count
        .filter(|count| (1..=MOST_REPETITIONS).contains(count))
        .ok_or_else(|| marker.wrong(ErrorKind::BadCount(marker.text.to_owned())))
}

/// Seconds with up to nine decimals, exactly.
fn seconds(word: &str) -> Option<Duration> {
    let digits = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit());
    let (whole, decimals) = word.split_once('.').unwrap_or((word, "0"));
    let fits = digits(whole) && digits(decimals) && (1..=9).contains(&decimals.len());
    let nanos = format!("{decimals:0<9}").parse().ok().filter(|_| fits)?;
    Some(Duration::new(whole.parse().ok()?, nanos))
}

/// A time as a scenario writes it: milliseconds, and more where there is more.
pub(super) fn written_seconds(at: Duration) -> String {
    let nanos = format!("{:09}", at.subsec_nanos());
    let (millis, more) = nanos.split_at(3);
    format!("{}.{millis}{}", at.as_secs(), more.trim_end_matches('0'))
}

impl Verb {
    /// The marker for a side.
    pub(super) fn marker(self, side: Side) -> String {
        let letter = side.letter();
        match self {
            Self::Write => format!("{letter}>"),
            Self::Join => format!("{letter}+"),
            Self::Repeat(count) => format!("{letter}*{count}"),
            Self::End => format!("{letter}|"),
            Self::Reset => format!("{letter}!"),
            Self::Read => format!("{letter}<"),
            Self::ReadRepeat(count) => format!("{letter}<*{count}"),
            Self::ReadEnd => format!("{letter}<|"),
            Self::ReadNothing => format!("{letter}<-"),
            Self::Share => "W=".to_owned(),
            Self::Message => "W@".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written_exactly() {
        let table = [
            ("0", "0.000"),
            ("1.5", "1.500"),
            ("12.000001", "12.000001"),
            ("7.123456789", "7.123456789"),
        ];
        for (text, canonical) in table {
            let at = seconds(text).unwrap();
            assert_eq!(written_seconds(at), canonical);
            assert_eq!(seconds(canonical), Some(at));
        }
        for bad in ["1.", "1.2.3", "1e3", "1.1234567890", "99999999999999999999"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }
}
