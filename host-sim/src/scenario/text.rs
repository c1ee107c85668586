//! Texts of a scenario: escapes, marks and line ends, both ways.

use std::fmt::Write as _;

use super::segment::{FillError, FillKind, Part, Segment};

/// Why a text cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadText {
    /// Where in the text, in octets.
    pub(super) at: usize,
    /// What is written there.
    pub(super) written: String,
    pub(super) why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Escape,
    Mark,
    Fill(FillError),
}

/// Resolves escapes and marks. Says also whether the text is to be followed by a line end.
pub(super) fn unescape(text: &str) -> Result<(Segment, bool), BadText> {
    let mut segment = Segment::default();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (plain, escape) = rest.split_at(at);
        segment.push(plain.as_bytes());
        let bad = |written: &str, why| BadText {
            at: text.len() - escape.len(),
            written: written.to_owned(),
            why,
        };
        let used = match escape.as_bytes().get(1) {
            None => return Ok((segment, false)),
            Some(b'{') => mark(escape, &mut segment).map_err(|(written, why)| bad(written, why))?,
            Some(b'x') => {
                let digits = escape.get(2..4).unwrap_or_default();
                let hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                let byte = u8::from_str_radix(digits, 16).ok().filter(|_| hex);
                let byte = byte.ok_or_else(|| bad(first(escape, 4), Why::Escape))?;
                segment.push(&[byte]);
                4
            }
            Some(letter) => {
                let byte = match letter {
                    b'r' => b'\r',
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'0' => 0,
                    b'\\' => b'\\',
                    _ => return Err(bad(first(escape, 2), Why::Escape)),
                };
                segment.push(&[byte]);
                2
            }
        };
        rest = escape.get(used..).unwrap_or_default();
    }
    segment.push(rest.as_bytes());
    Ok((segment, true))
}

/// Reads `\{N kind}` at the beginning of this text; says how long it is.
fn mark<'a>(text: &'a str, segment: &mut Segment) -> Result<usize, (&'a str, Why)> {
    let end = text.find('}').ok_or((first(text, 2), Why::Mark))? + 1;
    let written = text.get(..end).unwrap_or(text);
    let bad = (written, Why::Mark);
    let inner = written.get(2..end - 1).ok_or(bad)?;
    let (octets, kind) = inner.split_once(' ').ok_or(bad)?;
    let digits = octets.bytes().all(|digit| digit.is_ascii_digit());
    let octets = octets.parse().ok().filter(|_| digits).ok_or(bad)?;
    let kind = FillKind::from_name(kind).ok_or(bad)?;
    let pushed = segment.push_fill(kind, octets);
    pushed.map_err(|error| (written, Why::Fill(error)))?;
    Ok(end)
}

/// The first so many characters of a text.
fn first(text: &str, count: usize) -> &str {
    let end = text.char_indices().nth(count).map(|(at, _)| at);
    text.get(..end.unwrap_or(text.len())).unwrap_or(text)
}

/// What a side writes for this text.
pub(super) fn written(text: &str) -> Result<Segment, BadText> {
    let (mut segment, line_end) = unescape(text)?;
    if line_end {
        segment.push(b"\r\n");
    }
    Ok(segment)
}

/// Bytes as a scenario writes them; without a CRLF at the end, with a final `\`.
pub(super) fn escape(bytes: &[u8]) -> String {
    escape_segment(&Segment::from(bytes))
}

/// A segment as a scenario writes it, likewise.
pub(super) fn escape_segment(segment: &Segment) -> String {
    let mut parts = segment.parts();
    let line_end = match parts.last_mut() {
        Some(Part::Bytes(bytes)) => bytes.strip_suffix(b"\r\n").map(|line| *bytes = line),
        Some(Part::Fill(_)) | None => None,
    };
    let text = escape_parts(&parts);
    match line_end {
        None => text + "\\",
        // An editor may take away a space that nobody sees.
        Some(()) => match text.strip_suffix(' ') {
            Some(head) => format!("{head}\\x20"),
            None => text,
        },
    }
}

/// Octets and marks as a scenario writes them, whatever may follow.
pub(super) fn escape_parts(parts: &[Part<'_>]) -> String {
    let mut text = String::new();
    for part in parts {
        match part {
            Part::Bytes(bytes) => escape_bytes(&mut text, bytes),
            Part::Fill(fill) => {
                // Writing to a String cannot fail.
                let _ = write!(text, "\\{{{} {}}}", fill.octets, fill.kind.name());
            }
        }
    }
    text
}

fn escape_bytes(text: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '\\' => text.push_str("\\\\"),
                '\r' => text.push_str("\\r"),
                '\n' => text.push_str("\\n"),
                '\t' => text.push_str("\\t"),
                '\0' => text.push_str("\\0"),
                ' '..='~' => text.push(letter),
                _ if letter.is_alphanumeric() => text.push(letter),
                _ => escape_raw(text, letter.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        escape_raw(text, chunk.invalid());
    }
}

fn escape_raw(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "\\x{byte:02x}");
    }
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
            ("space\\x20", b"space \r\n"),
            ("Jos\u{e9}", "Jos\u{e9}\r\n".as_bytes()),
            ("\\xe2\\x80\\xae", "\u{202e}\r\n".as_bytes()),
        ];
        for (text, bytes) in table {
            let read = written(text).unwrap();
            assert_eq!(read.bytes(), *bytes, "{text}");
            assert_eq!(written(&escape(bytes)).unwrap(), read, "{text}");
        }
    }

    #[test]
    fn bad_texts_say_where_and_why() {
        let table = [
            ("a\\q", 1, "\\q", Why::Escape),
            ("\\x8", 0, "\\x8", Why::Escape),
            ("\\x+8", 0, "\\x+8", Why::Escape),
            ("\\x\u{e9}", 0, "\\x\u{e9}", Why::Escape),
            ("a\\\u{e9}", 1, "\\\u{e9}", Why::Escape),
            ("\\r\\{5 body", 2, "\\{", Why::Mark),
            ("\\{x body}", 0, "\\{x body}", Why::Mark),
            ("\\{5 bodies}", 0, "\\{5 bodies}", Why::Mark),
            ("\\{}", 0, "\\{}", Why::Mark),
            (
                "\\{1 body}",
                0,
                "\\{1 body}",
                Why::Fill(FillError::BodyOfOne),
            ),
        ];
        for (text, at, written_there, why) in table {
            let bad = BadText {
                at,
                written: written_there.to_owned(),
                why,
            };
            assert_eq!(written(text), Err(bad), "{text}");
        }
    }

    #[test]
    fn marks_stay_marks() {
        for text in [
            "\\{80 body}\\",
            "AUTH PLAIN \\{24 secret}",
            "\\{5 lost}\\{6 text}\\",
        ] {
            let segment = written(text).unwrap();
            assert_eq!(escape_segment(&segment), text);
        }
        let auth = written("AUTH PLAIN \\{4 secret}").unwrap();
        assert_eq!(auth.bytes(), b"AUTH PLAIN AAAA\r\n");
    }
}
