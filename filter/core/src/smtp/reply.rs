//! Replies (RFC 5321 section 4.2) and their enhanced status codes (RFC 3463).

use thiserror::Error;

/// A three-digit reply code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReplyCode(pub u16);

impl ReplyCode {
    /// 2yz: done.
    #[must_use]
    pub fn is_success(self) -> bool {
        self.0 / 100 == 2
    }

    /// 3yz: send more.
    #[must_use]
    pub fn is_intermediate(self) -> bool {
        self.0 / 100 == 3
    }

    /// 5yz: do not try again.
    #[must_use]
    pub fn is_permanent(self) -> bool {
        (500..600).contains(&self.0)
    }

    /// 4yz or 5yz.
    #[must_use]
    pub fn is_failure(self) -> bool {
        matches!(self.0 / 100, 4 | 5)
    }
}

/// One line of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyLine<'a> {
    /// Its code.
    pub code: ReplyCode,
    /// Whether the reply ends with it (no `-` behind the code).
    pub last: bool,
    /// The text behind the code.
    pub text: &'a [u8],
}

/// A server line that is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "server line is no SMTP reply: expected three digits from 200 to 599 and a space, '-' or the line's end"
)]
pub struct InvalidReply;

impl<'a> ReplyLine<'a> {
    /// Reads a line without its end.
    ///
    /// # Errors
    /// [`InvalidReply`] where the line does not begin as RFC 5321 section 4.2 has it.
    pub fn parse(line: &'a [u8]) -> Result<Self, InvalidReply> {
        let [
            first @ b'2'..=b'5',
            second @ b'0'..=b'9',
            third @ b'0'..=b'9',
            rest @ ..,
        ] = line
        else {
            return Err(InvalidReply);
        };
        let digits = [first, second, third].map(|digit| u16::from(digit - b'0'));
        let code = digits.iter().fold(0, |code, digit| code * 10 + digit);
        let (last, text) = match rest.split_first() {
            None => (true, rest),
            Some((b' ', text)) => (true, text),
            Some((b'-', text)) => (false, text),
            Some(_) => return Err(InvalidReply),
        };
        Ok(Self {
            code: ReplyCode(code),
            last,
            text,
        })
    }

    /// The enhanced status code at the head of the text, if there is one of this reply's class.
    #[must_use]
    pub fn enhanced(&self) -> Option<EnhancedCode> {
        EnhancedCode::parse(self.text).filter(|code| u16::from(code.class) == self.code.0 / 100)
    }
}

/// `class.subject.detail` (RFC 3463 section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnhancedCode {
    /// 2, 4 or 5.
    pub class: u8,
    /// What it is about: 1 addressing, 2 mailbox, 7 policy, ...
    pub subject: u16,
    /// The detail.
    pub detail: u16,
}

impl EnhancedCode {
    fn parse(text: &[u8]) -> Option<Self> {
        let word = text.split(u8::is_ascii_whitespace).next()?;
        let mut parts = word.split(|octet| *octet == b'.').map(number);
        let class = parts.next()??;
        let code = Self {
            class: u8::try_from(class).ok()?,
            subject: parts.next()??,
            detail: parts.next()??,
        };
        (parts.next().is_none() && matches!(class, 2 | 4 | 5)).then_some(code)
    }
}

/// One to three digits.
fn number(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() || digits.len() > 3 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(
        digits
            .iter()
            .fold(0, |value, digit| value * 10 + u16::from(digit - b'0')),
    )
}

/// Whether `text` contains `lowercase` in any ASCII case.
#[must_use]
pub fn contains_ignoring_case(text: &[u8], lowercase: &[u8]) -> bool {
    !lowercase.is_empty()
        && text
            .windows(lowercase.len())
            .any(|window| window.eq_ignore_ascii_case(lowercase))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn reply_lines() {
        for (line, expected) in [
            (&b"250 ok"[..], Ok((250, true, &b"ok"[..]))),
            (b"250-SIZE 1", Ok((250, false, b"SIZE 1"))),
            (b"250", Ok((250, true, b""))),
            (b"250 ", Ok((250, true, b""))),
            (b"451 No such user", Ok((451, true, b"No such user"))),
            (b"25", Err(InvalidReply)),
            (b"", Err(InvalidReply)),
            (b"2500", Err(InvalidReply)),
            (b"199 x", Err(InvalidReply)),
            (b"600 x", Err(InvalidReply)),
            (b"HTTP/1.1 400", Err(InvalidReply)),
            (b" 250 ok", Err(InvalidReply)),
        ] {
            let got = ReplyLine::parse(line).map(|l| (l.code.0, l.last, l.text));
            assert_eq!(got, expected, "{line:?}");
        }
    }

    #[test]
    fn enhanced_codes_of_the_same_class() {
        for (line, expected) in [
            (&b"550 5.1.1 unknown"[..], Some((5, 1, 1))),
            (b"550-5.1.10 unknown", Some((5, 1, 10))),
            (b"451 4.7.1", Some((4, 7, 1))),
            (b"250 2.1.5 ok", Some((2, 1, 5))),
            (b"550 4.1.1 another class", None),
            (b"550 5.1 short", None),
            (b"550 5.1.1.1 long", None),
            (b"550 5.1.1: odd", None),
            (b"550 No such user", None),
            (b"550 5.1.1234 long", None),
        ] {
            let got = ReplyLine::parse(line).unwrap().enhanced();
            assert_eq!(got.map(|e| (e.class, e.subject, e.detail)), expected);
        }
    }

    #[test]
    fn text_search_ignores_case() {
        assert!(contains_ignoring_case(
            b"Sorry, NO such User here",
            b"no such user"
        ));
        assert!(!contains_ignoring_case(b"no such use", b"no such user"));
        assert!(!contains_ignoring_case(b"", b"x"));
        assert!(!contains_ignoring_case(b"x", b""));
    }
}
