//! Texts of a scenario: escapes, line ends and patterns.

use std::fmt::Write as _;

/// What a side is expected to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// The bytes it begins with.
    start: Vec<u8>,
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

/// Why a text cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadEscape(pub(super) String);

/// Resolves escapes. Says also whether the text is to be followed by a line end.
pub(super) fn unescape(text: &str) -> Result<(Vec<u8>, bool), BadEscape> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (plain, escape) = rest.split_at(at);
        bytes.extend_from_slice(plain.as_bytes());
        let mut letters = escape.chars().skip(1);
        let used = match letters.next() {
            None => return Ok((bytes, false)),
            Some('x') => {
                let digits: String = letters.take(2).collect();
                let byte = u8::from_str_radix(&digits, 16)
                    .ok()
                    .filter(|_| digits.len() == 2);
                bytes.push(byte.ok_or_else(|| BadEscape(format!("\\x{digits}")))?);
                4
            }
            Some(letter) => {
                bytes.push(match letter {
                    'r' => b'\r',
                    'n' => b'\n',
                    't' => b'\t',
                    '0' => 0,
                    '\\' => b'\\',
                    _ => return Err(BadEscape(format!("\\{letter}"))),
                });
                2
            }
        };
        rest = escape.get(used..).unwrap_or_default();
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok((bytes, true))
}

/// The bytes a side writes for this text.
pub(super) fn written(text: &str) -> Result<Vec<u8>, BadEscape> {
    let (mut bytes, line_end) = unescape(text)?;
    if line_end {
        bytes.extend_from_slice(b"\r\n");
    }
    Ok(bytes)
}

/// Bytes as a scenario writes them; without a CRLF at the end, with a final `\`.
pub(super) fn escape(bytes: &[u8]) -> String {
    let (bytes, end) = match bytes.strip_suffix(b"\r\n") {
        Some(line) => (line, ""),
        None => (bytes, "\\"),
    };
    let mut text = String::new();
    for byte in bytes {
        match byte {
            b'\\' => text.push_str("\\\\"),
            b'\r' => text.push_str("\\r"),
            b'\n' => text.push_str("\\n"),
            b'\t' => text.push_str("\\t"),
            0 => text.push_str("\\0"),
            0x20..=0x7e => text.push(char::from(*byte)),
            // Writing to a String cannot fail.
            _ => _ = write!(text, "\\x{byte:02x}"),
        }
    }
    text + end
}

impl Pattern {
    /// Reads a pattern as written after `C<` or `S<`.
    pub(super) fn parse(text: &str) -> Result<Self, BadEscape> {
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
        if self.rest == Rest::Partial {
            return match unread.get(..self.start.len()) {
                Some(head) if head == self.start => Match::Takes(self.start.len()),
                Some(_) => Match::Differs,
                None => Match::Wait,
            };
        }
        let Some(end) = unread.iter().position(|byte| *byte == b'\n') else {
            return Match::Wait;
        };
        let line = unread.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let fits = match self.rest {
            Rest::Anything => line.starts_with(&self.start),
            Rest::LineEnd | Rest::Partial => line == self.start,
        };
        if fits {
            Match::Takes(end + 1)
        } else {
            Match::Differs
        }
    }

    /// The pattern as a scenario writes it.
    pub(super) fn describe(&self) -> String {
        let mut bytes = self.start.clone();
        bytes.extend_from_slice(match self.rest {
            Rest::LineEnd => b"\r\n",
            Rest::Anything => b"*\r\n",
            Rest::Partial => b"",
        });
        escape(&bytes)
    }
}

/// Whether unread bytes fit a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    Takes(usize),
    Differs,
    Wait,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_both_ways() {
        let table: &[(&str, &[u8])] = &[
            ("EHLO bot", b"EHLO bot\r\n"),
            ("", b"\r\n"),
            ("no end\\", b"no end"),
            ("back\\\\", b"back\\\r\n"),
            ("back\\\\\\", b"back\\"),
            ("\\0\\t\\x80\\r\\n\\", b"\0\t\x80\r\n"),
        ];
        for (text, bytes) in table {
            assert_eq!(written(text).as_deref(), Ok(*bytes), "{text}");
            assert_eq!(written(&escape(bytes)).as_deref(), Ok(*bytes), "{text}");
        }
        for bad in ["\\q", "\\x8", "\\xzz", "a\\é"] {
            assert!(written(bad).is_err(), "{bad}");
        }
    }

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
        ];
        for (pattern, unread, expected) in table {
            let pattern = Pattern::parse(pattern).unwrap();
            assert_eq!(pattern.matches(unread), *expected, "{pattern:?}");
        }
    }
}
