//! Reply filters: which addresses of an answer count (postconf(5), `postscreen_dnsbl_sites`).

use super::error::SiteError;
use std::fmt;
use std::net::Ipv4Addr;

const FIELD: &str = "a number from 0 to 255 or [";
const NUMBER: &str = "a number from 0 to 255";

/// Four fields, one for each octet of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Filter([Field; 4]);

/// The octets that match: one number, or those of a list in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Field(Vec<Span>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    first: u8,
    last: u8,
}

impl Filter {
    /// Reads a filter that begins `at` octets into a site. The grammar is that of Postfix's
    /// ip_match(3): leading zeros are allowed, and so are brackets around the whole.
    pub(super) fn parse(text: &str, at: usize) -> Result<Self, SiteError> {
        let mut scanner = match within_brackets(text) {
            Some(inner) => Scanner::new(inner, at + 1),
            None => Scanner::new(text, at),
        };
        let first = scanner.field()?;
        let mut next = || {
            scanner.require(b'.', "a dot")?;
            scanner.field()
        };
        let fields = [first, next()?, next()?, next()?];
        match scanner.rest.is_empty() {
            true => Ok(Self(fields)),
            false => Err(scanner.error("* or the end")),
        }
    }

    pub(super) fn matches(&self, code: Ipv4Addr) -> bool {
        let octets = code.octets();
        let mut pairs = self.0.iter().zip(octets);
        pairs.all(|(Field(spans), octet)| spans.iter().any(|span| span.contains(octet)))
    }
}

/// What stands in brackets that surround all of `text`.
fn within_brackets(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    let mut depth = 1_usize;
    for octet in inner.bytes() {
        match octet {
            b'[' => depth += 1,
            b']' => depth -= 1,
            _ => {}
        }
        // The first bracket closes before the end: it belongs to the first field.
        if depth == 0 {
            return None;
        }
    }
    Some(inner)
}

impl Span {
    fn contains(self, octet: u8) -> bool {
        (self.first..=self.last).contains(&octet)
    }
}

/// What is left of a text, and where in the site that begins.
struct Scanner<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str, at: usize) -> Self {
        let rest = text.as_bytes();
        Self { rest, at }
    }

    fn error(&self, expected: &'static str) -> SiteError {
        SiteError {
            position: self.at,
            expected,
        }
    }

    fn take(&mut self, wanted: u8) -> bool {
        let Some(rest) = self.rest.strip_prefix(&[wanted]) else {
            return false;
        };
        self.rest = rest;
        self.at += 1;
        true
    }

    fn require(&mut self, wanted: u8, expected: &'static str) -> Result<(), SiteError> {
        match self.take(wanted) {
            true => Ok(()),
            false => Err(self.error(expected)),
        }
    }

    fn field(&mut self) -> Result<Field, SiteError> {
        if !self.take(b'[') {
            let first = self.number(FIELD)?;
            return Ok(Field(vec![Span { first, last: first }]));
        }
        let mut spans = vec![self.span()?];
        while self.take(b';') {
            spans.push(self.span()?);
        }
        self.require(b']', "; or ]")?;
        Ok(Field(spans))
    }

    fn span(&mut self) -> Result<Span, SiteError> {
        let first = self.number(NUMBER)?;
        if !self.take(b'.') {
            return Ok(Span { first, last: first });
        }
        self.require(b'.', "another dot")?;
        let at = self.at;
        let last = self.number(NUMBER)?;
        if last < first {
            return Err(SiteError {
                position: at,
                expected: "a number not lower than the one before the dots",
            });
        }
        Ok(Span { first, last })
    }

    fn number(&mut self, expected: &'static str) -> Result<u8, SiteError> {
        let end = self.rest.iter().position(|octet| !octet.is_ascii_digit());
        let (digits, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        let text = std::str::from_utf8(digits).unwrap_or_default();
        let number = text.parse().map_err(|_| self.error(expected))?;
        self.rest = rest;
        self.at += digits.len();
        Ok(number)
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, field) in self.0.iter().enumerate() {
            let dot = if index == 0 { "" } else { "." };
            write!(f, "{dot}{field}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [span] = self.0.as_slice()
            && span.first == span.last
        {
            return write!(f, "{}", span.first);
        }
        for (index, Span { first, last }) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { "[" } else { ";" })?;
            write!(f, "{first}")?;
            if first != last {
                write!(f, "..{last}")?;
            }
        }
        f.write_str("]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn addresses_match_field_by_field() {
        // The first three are the examples of postconf(5) and ip_match(3).
        for (filter, matching, others) in [
            ("127.0.0.4", &[4][..], &[0, 3, 5][..]),
            ("127.0.0.[1..255]", &[1, 100, 255], &[0]),
            ("127.0.0.[2;4;6..8]", &[2, 4, 6, 7, 8], &[1, 3, 5, 9]),
            ("[127].[0..3].[0;1].[5..5]", &[5], &[4, 6]),
            ("[127.0.0.[2;3]]", &[2, 3], &[1, 4]),
            ("[127.0.0.2]", &[2], &[3]),
            ("127.000.0.0002", &[2], &[3]),
            ("127.0.0.[9;1..10;9]", &[1, 9, 10], &[0, 11]),
        ] {
            let filter = Filter::parse(filter, 0).unwrap();
            let matches = |octet: &u8| filter.matches(Ipv4Addr::new(127, 0, 0, *octet));
            assert!(matching.iter().all(matches), "{filter}");
            assert!(!others.iter().any(matches), "{filter}");
            assert!(!filter.matches(Ipv4Addr::new(128, 0, 0, 4)), "{filter}");
            assert!(!filter.matches(Ipv4Addr::new(127, 9, 0, 4)), "{filter}");
            assert!(!filter.matches(Ipv4Addr::new(127, 0, 9, 4)), "{filter}");
        }
    }

    #[test]
    fn a_bad_filter_says_where_and_what_would_do() {
        let last = "a number not lower than the one before the dots";
        for (filter, position, expected) in [
            // The first two are the examples of ip_match(3).
            ("1.2.[3.4]", 7, "another dot"),
            ("1.2.3.3[6..9]", 7, "* or the end"),
            ("", 0, FIELD),
            ("127", 3, "a dot"),
            ("127.0.0", 7, "a dot"),
            ("127.0.0.", 8, FIELD),
            ("127.0.0.2.1", 9, "* or the end"),
            ("127..0.2", 4, FIELD),
            ("127.0.0.256", 8, FIELD),
            ("127.0.0.99999999999999999999", 8, FIELD),
            ("127.0.0.-1", 8, FIELD),
            ("127.0.0.+1", 8, FIELD),
            ("127.0.0.x", 8, FIELD),
            (" 127.0.0.1", 0, FIELD),
            ("127.0.0.1 ", 9, "* or the end"),
            ("127.0.0.\u{661}", 8, FIELD),
            ("127.0.0.[]", 9, NUMBER),
            ("127.0.0.[2", 10, "; or ]"),
            ("127.0.0.[2,3]", 10, "; or ]"),
            ("127.0.0.[2;]", 11, NUMBER),
            ("127.0.0.[2; 3]", 11, NUMBER),
            ("127.0.0.[2;256]", 11, NUMBER),
            ("127.0.0.[2...5]", 12, NUMBER),
            ("127.0.0.[2..]", 12, NUMBER),
            ("127.0.0.[..2]", 9, NUMBER),
            ("127.0.0.[5..4]", 12, last),
            ("127.0.0.[[2]]", 9, NUMBER),
            ("127.0.0.2]", 9, "* or the end"),
            ("[127.0.0.2", 5, "another dot"),
            ("[127.0.0.2]]", 5, "another dot"),
            ("[127.0.0.256]", 9, FIELD),
            ("[127]", 4, "a dot"),
            ("[]", 1, FIELD),
            ("[[127.0.0.2]]", 6, "another dot"),
        ] {
            let error = Filter::parse(filter, 100).unwrap_err();
            let expected = SiteError {
                position: position + 100,
                expected,
            };
            assert_eq!(error, expected, "{filter:?}");
        }
    }
}
