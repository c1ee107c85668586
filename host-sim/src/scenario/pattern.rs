//! What a side is expected to read.

use super::segment::Segment;
use super::text::{BadText, escape_parts, unescape};

/// What a side is expected to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// The octets it begins with.
    start: Segment,
    rest: Rest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// The line ends here.
    LineEnd,
    /// Anything up to the line's end.
    Anything,
    /// Nothing more is asked, not even a line end.
    Partial,
}

/// Whether unread bytes fit a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    Takes(usize),
    Differs,
    Wait,
}

impl Pattern {
    /// Reads a pattern as written after `C<` or `S<`.
    pub(super) fn parse(text: &str) -> Result<Self, BadText> {
        let (head, open) = match text.strip_suffix('*') {
            Some(head) => (head, true),
            None => (text, false),
        };
        let (start, line_end) = unescape(head)?;
        let rest = match (open, line_end) {
            (true, _) => Rest::Anything,
            (false, true) => Rest::LineEnd,
            (false, false) => Rest::Partial,
        };
        Ok(Self { start, rest })
    }

    /// How many of the unread bytes this takes, if it matches; `Wait` when more
    /// bytes could still make it match.
    pub(super) fn matches(&self, unread: &[u8]) -> Match {
        let start = self.start.bytes();
        if self.rest == Rest::Partial {
            return match unread.get(..start.len()) {
                Some(head) if head == start => Match::Takes(start.len()),
                Some(_) => Match::Differs,
                None => Match::Wait,
            };
        }
        // What was left out may be lines, too.
        let lines = match self.start.fills() {
            [] => 0,
            [.., last] => last.at + last.octets,
        };
        let after = unread.get(lines..).unwrap_or_default();
        let Some(end) = after.iter().position(|byte| *byte == b'\n') else {
            return Match::Wait;
        };
        let end = lines + end;
        let line = unread.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let fits = match self.rest {
            Rest::Anything => line.starts_with(start),
            Rest::LineEnd | Rest::Partial => line == start,
        };
        if fits {
            Match::Takes(end + 1)
        } else {
            Match::Differs
        }
    }

    /// The pattern as a scenario writes it.
    pub(super) fn text(&self) -> String {
        let text = escape_parts(&self.start.parts());
        let last = text.strip_suffix(['*', ' ']);
        match (self.rest, last) {
            (Rest::Anything, _) => text + "*",
            (Rest::Partial, _) => text + "\\",
            (Rest::LineEnd, None) => text,
            (Rest::LineEnd, Some(head)) if text.ends_with('*') => format!("{head}\\x2a"),
            (Rest::LineEnd, Some(head)) => format!("{head}\\x20"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_lines_rests_and_parts() {
        let table: &[(&str, &[u8], Match)] = &[
            ("250 ok", b"250 ok\r\nmore", Match::Takes(8)),
            ("250 ok", b"250 ok\nmore", Match::Takes(7)),
            ("250 ok", b"250 okay\r\n", Match::Differs),
            ("250 ok", b"250 ok", Match::Wait),
            ("250 *", b"250 anything\r\n", Match::Takes(14)),
            ("250 *", b"251 x\r\n", Match::Differs),
            ("*", b"\r\n", Match::Takes(2)),
            ("ab\\", b"abc", Match::Takes(2)),
            ("ab\\", b"a", Match::Wait),
            ("ab\\", b"ax", Match::Differs),
            ("\\{5 body}\\", b"xxx\r\n.", Match::Takes(5)),
            ("\\{5 body}.", b"xxx\r\n", Match::Wait),
            ("\\{5 body}.", b"xxx\r\n.\r\n", Match::Takes(8)),
        ];
        for (pattern, unread, expected) in table {
            let pattern = Pattern::parse(pattern).unwrap();
            assert_eq!(pattern.matches(unread), *expected, "{pattern:?}");
        }
    }

    #[test]
    fn patterns_are_written_as_they_are_read() {
        let table = [
            "250 ok",
            "*",
            "250 *",
            "ab\\",
            "",
            "a\\x2a",
            "a\\x20",
            "\\{9 text}*",
        ];
        for text in table {
            let pattern = Pattern::parse(text).unwrap();
            assert_eq!(pattern.text(), text);
        }
    }
}
