//! The end of a message sent by `DATA`: a line holding one dot (RFC 5321 section 4.1.1.4).

use super::line::LineEnd;
use portcullis_scan::dotted_line;

/// What the scanned bytes held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// All of them belong to the body, and it goes on.
    More,
    /// The body and its end take this many bytes.
    Ended(usize),
}

/// Where in a possible end of data the scanner stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Inside a line.
    Text,
    /// Behind a CR inside a line.
    Cr,
    /// At the start of a line that followed a line end of this kind.
    Start(Eol),
    /// Behind a dot at the start of a line.
    Dot(Eol),
    /// Behind a dot and a CR.
    DotCr(Eol),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Eol {
    Crlf,
    Lf,
}

impl State {
    /// Behind text that held no dot at the start of a line, and did not begin behind a CR.
    fn behind(text: &[u8]) -> Self {
        match text {
            [.., b'\r', b'\n'] => Self::Start(Eol::Crlf),
            [.., b'\n'] => Self::Start(Eol::Lf),
            [.., b'\r'] => Self::Cr,
            _ => Self::Text,
        }
    }
}

/// Looks for the end of data in any segmentation, and closer than [`dotted_line`] only at lines that
/// begin with a dot and end behind it.
///
/// Only `CRLF.CRLF` ends a body. A client that ended its own `DATA` line by a bare LF, and whose
/// server took it, is given bare LFs here too. Where another mixture of line ends stands around a
/// lone dot, servers differ ("SMTP smuggling"): it does not end the body here, but is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndOfData {
    state: State,
    lenient: bool,
    doubtful: bool,
}

impl EndOfData {
    /// A scanner for the body behind a `DATA` line that ended so.
    #[must_use]
    pub fn new(data_line: LineEnd) -> Self {
        Self {
            state: State::Start(Eol::Crlf),
            lenient: data_line != LineEnd::Crlf,
            doubtful: false,
        }
    }

    /// Whether something passed that another reader may have taken for the end of data.
    #[must_use]
    pub fn saw_doubtful_end(&self) -> bool {
        self.doubtful
    }

    /// Scans the next bytes.
    pub fn scan(&mut self, bytes: &[u8]) -> Progress {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            if self.state == State::Text {
                // No other line can be the last one.
                let Some(lf) = dotted_line(rest) else {
                    self.state = State::behind(rest);
                    return Progress::More;
                };
                // A line that goes on behind its dot is not the last one either.
                let behind = rest.get(lf + 2);
                if behind.is_some_and(|octet| !matches!(octet, b'\r' | b'\n')) {
                    at += lf + 3;
                    continue;
                }
                let line_end = rest.get(..=lf).unwrap_or_default();
                self.state = State::behind(line_end);
                at += line_end.len();
                continue;
            }
            let Some(octet) = rest.first() else { break };
            at += 1;
            if self.step(*octet) {
                return Progress::Ended(at);
            }
        }
        Progress::More
    }

    /// Takes one octet outside plain text; true where the body ends with it.
    fn step(&mut self, octet: u8) -> bool {
        self.state = match (self.state, octet) {
            (State::Cr, b'\n') => State::Start(Eol::Crlf),
            (State::Start(before), b'.') => State::Dot(before),
            (State::Dot(before), b'\r') => State::DotCr(before),
            (State::DotCr(before), b'\n') => return self.lone_dot(before, Eol::Crlf),
            (State::Dot(before), b'\n') => return self.lone_dot(before, Eol::Lf),
            (State::DotCr(_), b'\r') => {
                // `.CR CR LF`: some readers forgive stray CRs.
                self.doubtful = true;
                State::Cr
            }
            (State::DotCr(_), _) => {
                self.doubtful = true;
                State::Text
            }
            (State::Start(_), b'\n') => State::Start(Eol::Lf),
            (_, b'\r') => State::Cr,
            _ => State::Text,
        };
        false
    }

    fn lone_dot(&mut self, before: Eol, behind: Eol) -> bool {
        let strict = before == Eol::Crlf && behind == Eol::Crlf;
        if strict || self.lenient {
            return true;
        }
        self.doubtful = true;
        self.state = State::Start(behind);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// Scans in pieces cut at `cuts`; the offset at which the body ended and whether in doubt.
    fn scan(line: LineEnd, body: &[u8], cuts: &[usize]) -> (Option<usize>, bool) {
        let mut scanner = EndOfData::new(line);
        let mut from = 0;
        for to in cuts.iter().copied().chain([body.len()]) {
            if let Progress::Ended(len) = scanner.scan(&body[from..to]) {
                return (Some(from + len), scanner.saw_doubtful_end());
            }
            from = to;
        }
        (None, scanner.saw_doubtful_end())
    }

    const TABLE: [(LineEnd, &[u8], Option<usize>, bool); 18] = [
        (LineEnd::Crlf, b".\r\nQUIT", Some(3), false),
        (LineEnd::Crlf, b"a\r\n.\r\nQUIT", Some(6), false),
        (LineEnd::Crlf, b"a\r\n..\r\n.\r\n", Some(10), false),
        (LineEnd::Crlf, b"a\r\n.b\r\n.\r\n", Some(10), false),
        (LineEnd::Crlf, b"a.\r\n", None, false),
        (LineEnd::Crlf, b"a\r\n.", None, false),
        (LineEnd::Crlf, b"a\n.\nQUIT\r\n", None, true),
        (LineEnd::Crlf, b"a\n.\r\nQUIT\r\n", None, true),
        (LineEnd::Crlf, b"a\r\n.\nQUIT\r\n", None, true),
        (LineEnd::Crlf, b"a\r\n.\rQUIT\r\n", None, true),
        (LineEnd::Crlf, b"a\r.\r\n", None, false),
        (LineEnd::Crlf, b"a\n.\n\r\n.\r\nX", Some(9), true),
        (LineEnd::Crlf, b"a\n.\n.\r\nX", None, true),
        (LineEnd::Crlf, b"\r\r\n.\r\nX", Some(6), false),
        (LineEnd::Crlf, b"\0\xff\r\n.\r\n", Some(7), false),
        (LineEnd::Lf, b"a\n.\nQUIT\n", Some(4), false),
        (LineEnd::Lf, b"a\r\n.\r\nQUIT\n", Some(6), false),
        (LineEnd::Crlf, b"a\r\n.\r\r\n.\r\nX", Some(10), true),
    ];

    #[test]
    fn the_end_is_found_at_every_split_point() {
        for (line, body, end, doubtful) in TABLE {
            assert_eq!(scan(line, body, &[]), (end, doubtful), "{body:?}");
            for cut in 0..=body.len() {
                assert_eq!(
                    scan(line, body, &[cut]),
                    (end, doubtful),
                    "{body:?} at {cut}"
                );
            }
            let every: Vec<usize> = (0..body.len()).collect();
            assert_eq!(
                scan(line, body, &every),
                (end, doubtful),
                "{body:?} by octets"
            );
        }
    }

    #[test]
    fn it_is_found_behind_any_length_of_text() {
        for (line, body, end, doubtful) in TABLE {
            for text in 0..130 {
                let long = [&b"x".repeat(text)[..], b"\r\n", body].concat();
                let end = end.map(|end| text + 2 + end);
                assert_eq!(scan(line, &long, &[]), (end, doubtful), "{long:?}");
            }
        }
    }

    #[test]
    fn segments_make_no_difference() {
        const OCTETS: [u8; 4] = *b"x.\r\n";
        for number in 0..OCTETS.len().pow(7) {
            let body: Vec<u8> = (0..7)
                .map(|at| OCTETS[number / OCTETS.len().pow(at) % OCTETS.len()])
                .collect();
            let every: Vec<usize> = (0..body.len()).collect();
            for line in [LineEnd::Crlf, LineEnd::Lf] {
                let whole = scan(line, &body, &[]);
                assert_eq!(scan(line, &body, &every), whole, "{body:?}");
            }
        }
    }
}
