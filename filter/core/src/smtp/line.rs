//! Lines: where one ends, in any segmentation.

/// How a line ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineEnd {
    /// `CRLF`, the only line end of RFC 5321 section 2.3.8.
    Crlf,
    /// A bare `LF`. Some servers take it for a line end, others do not.
    Lf,
    /// Not ended yet, and longer than the caller wants to wait for.
    Overlong,
}

/// The first line of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framed<'a> {
    /// A line: `content` without its end, `len` bytes with it.
    Line {
        /// The line without its end.
        content: &'a [u8],
        /// How many bytes the line takes, its end included.
        len: usize,
        /// How it ended.
        end: LineEnd,
    },
    /// No line end yet, and not more than `max` bytes: wait for more.
    Partial,
}

/// Frames the first line of `bytes`. A line without an end after `max` bytes is handed out as
/// [`LineEnd::Overlong`] with all the bytes there are.
#[must_use]
pub fn frame(bytes: &[u8], max: usize) -> Framed<'_> {
    match memchr::memchr(b'\n', bytes) {
        Some(at) => {
            let before = bytes.get(..at).unwrap_or_default();
            let (content, end) = match before.strip_suffix(b"\r") {
                Some(content) => (content, LineEnd::Crlf),
                None => (before, LineEnd::Lf),
            };
            Framed::Line {
                content,
                len: at + 1,
                end,
            }
        }
        None if bytes.len() > max => Framed::Line {
            content: bytes,
            len: bytes.len(),
            end: LineEnd::Overlong,
        },
        None => Framed::Partial,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn line(content: &[u8], len: usize, end: LineEnd) -> Framed<'_> {
        Framed::Line { content, len, end }
    }

    #[test]
    fn lines_end_at_the_first_lf() {
        for (bytes, expected) in [
            (&b""[..], Framed::Partial),
            (b"QUIT", Framed::Partial),
            (b"QUIT\r", Framed::Partial),
            (b"QUIT\r\n", line(b"QUIT", 6, LineEnd::Crlf)),
            (b"QUIT\n", line(b"QUIT", 5, LineEnd::Lf)),
            (b"\n", line(b"", 1, LineEnd::Lf)),
            (b"\r\n", line(b"", 2, LineEnd::Crlf)),
            (b"a\r\r\nb\r\n", line(b"a\r", 4, LineEnd::Crlf)),
            (b"a\0\xff\r\n", line(b"a\0\xff", 5, LineEnd::Crlf)),
        ] {
            assert_eq!(frame(bytes, 8), expected, "{bytes:?}");
        }
    }

    #[test]
    fn a_line_is_overlong_only_beyond_the_limit() {
        assert_eq!(frame(b"12345678", 8), Framed::Partial);
        assert_eq!(
            frame(b"123456789", 8),
            line(b"123456789", 9, LineEnd::Overlong)
        );
        assert_eq!(
            frame(b"1234567890\r\n", 8),
            line(b"1234567890", 12, LineEnd::Crlf),
            "a whole line in hand is a line, however long"
        );
    }
}
