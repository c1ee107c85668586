//! Commands: the verb and, where the guard needs it, the argument (RFC 5321 section 4.1).

/// The verbs the guard tells apart. Everything else is [`Verb::Other`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// `EHLO` (RFC 5321 section 4.1.1.1).
    Ehlo,
    /// `HELO`.
    Helo,
    /// `LHLO` (RFC 2033).
    Lhlo,
    /// `MAIL`.
    Mail,
    /// `RCPT`.
    Rcpt,
    /// `DATA`.
    Data,
    /// `BDAT` (RFC 3030).
    Bdat,
    /// `RSET`.
    Rset,
    /// `NOOP`.
    Noop,
    /// `VRFY`.
    Vrfy,
    /// `EXPN`.
    Expn,
    /// `QUIT`.
    Quit,
    /// `AUTH` (RFC 4954).
    Auth,
    /// `STARTTLS` (RFC 3207).
    StartTls,
    /// Anything else, garbage included.
    Other,
}

impl Verb {
    /// Their names, in the order of the verbs.
    pub const NAMES: [&'static str; 15] = [
        "EHLO", "HELO", "LHLO", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP", "VRFY", "EXPN",
        "QUIT", "AUTH", "STARTTLS", "other",
    ];

    /// The verb of this name, in any case. All but one have four letters, which compare at once.
    fn named(name: &[u8]) -> Self {
        let Ok(name) = <&[u8; 4]>::try_from(name) else {
            return match name.eq_ignore_ascii_case(b"STARTTLS") {
                true => Self::StartTls,
                false => Self::Other,
            };
        };
        let name = name.map(|octet| octet.to_ascii_uppercase());
        let known = VERBS.iter().find(|(known, _)| **known == name);
        known.map_or(Self::Other, |(_, verb)| *verb)
    }
}

const VERBS: [(&[u8; 4], Verb); 13] = [
    (b"RCPT", Verb::Rcpt),
    (b"MAIL", Verb::Mail),
    (b"RSET", Verb::Rset),
    (b"EHLO", Verb::Ehlo),
    (b"HELO", Verb::Helo),
    (b"LHLO", Verb::Lhlo),
    (b"DATA", Verb::Data),
    (b"BDAT", Verb::Bdat),
    (b"NOOP", Verb::Noop),
    (b"VRFY", Verb::Vrfy),
    (b"EXPN", Verb::Expn),
    (b"QUIT", Verb::Quit),
    (b"AUTH", Verb::Auth),
];

/// One command line, not yet judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Command<'a> {
    /// What is asked.
    pub verb: Verb,
    /// The rest of the line behind the verb, without white space around it.
    pub argument: &'a [u8],
    line: &'a [u8],
}

/// The argument of `BDAT` (RFC 3030 section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Octets that follow the command line. Servers that count in 32 bits would take a larger
    /// number for a smaller one, so that is no chunk.
    pub size: u32,
    /// Whether the message ends with this chunk.
    pub last: bool,
}

impl<'a> Command<'a> {
    /// Reads a line without its end. Verbs are matched in any case; leading white space is
    /// skipped, as common servers do.
    #[must_use]
    pub fn parse(line: &'a [u8]) -> Self {
        let words = trim(line);
        let verb_len = words
            .iter()
            .position(|octet| is_space(*octet) || *octet == b':')
            .unwrap_or(words.len());
        let (verb, argument) = words.split_at_checked(verb_len).unwrap_or((words, b""));
        Self {
            verb: Verb::named(verb),
            argument: trim(argument),
            line,
        }
    }

    /// Whether the line holds a NUL or a CR: servers may see another command, or more than one.
    #[must_use]
    pub fn has_stray_controls(&self) -> bool {
        memchr::memchr2(0, b'\r', self.line).is_some()
    }

    /// The chunk that a `BDAT` announces; `None` where the argument is not one.
    #[must_use]
    pub fn chunk(&self) -> Option<Chunk> {
        let mut words = self
            .argument
            .split(|octet| is_space(*octet))
            .filter(|word| !word.is_empty());
        let digits = words.next()?;
        if digits.len() > 10 || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let size = digits
            .iter()
            .fold(0, |size: u64, digit| size * 10 + u64::from(digit - b'0'));
        let size = u32::try_from(size).ok()?;
        let last = match words.next() {
            None => false,
            Some(word) if word.eq_ignore_ascii_case(b"LAST") => true,
            Some(_) => return None,
        };
        words.next().is_none().then_some(Chunk { size, last })
    }
}

/// White space as C's `isspace` has it, by which servers part words: unlike ASCII's in Rust it
/// includes the vertical tab.
pub(super) fn is_space(octet: u8) -> bool {
    matches!(octet, b' ' | 0x09..=0x0d)
}

fn trim(line: &[u8]) -> &[u8] {
    let start = line.iter().position(|octet| !is_space(*octet));
    let end = line.iter().rposition(|octet| !is_space(*octet));
    match (start, end) {
        (Some(start), Some(end)) => line.get(start..=end).unwrap_or_default(),
        _ => b"",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn verbs_in_any_case_and_shape() {
        for (line, verb, argument) in [
            (
                &b"RCPT TO:<a@b.test>"[..],
                Verb::Rcpt,
                &b"TO:<a@b.test>"[..],
            ),
            (b"rcpt to:<a@b.test>", Verb::Rcpt, b"to:<a@b.test>"),
            (b"  MAIL\tFROM:<>  ", Verb::Mail, b"FROM:<>"),
            (b"RSET", Verb::Rset, b""),
            (b"RSETX", Verb::Other, b""),
            (b"\x0bRCPT\x0bTO:<a>", Verb::Rcpt, b"TO:<a>"),
            (b"EXPN staff", Verb::Expn, b"staff"),
            (b"StartTLS", Verb::StartTls, b""),
            (b"DATA\x00", Verb::Other, b""),
            (b"", Verb::Other, b""),
            (b"GET / HTTP/1.1", Verb::Other, b"/ HTTP/1.1"),
            (b"\x16\x03\x01\xff", Verb::Other, b""),
        ] {
            let command = Command::parse(line);
            assert_eq!(
                (command.verb, command.argument),
                (verb, argument),
                "{line:?}"
            );
        }
    }

    #[test]
    fn bdat_announces_octets() {
        for (line, chunk) in [
            (&b"BDAT 86 LAST"[..], Some((86, true))),
            (b"bdat 0 last", Some((0, true))),
            (b"BDAT  1000", Some((1000, false))),
            (b"BDAT 4294967295", Some((4_294_967_295, false))),
            (b"BDAT 4294967296", None),
            (b"BDAT 99999999999999999999", None),
            (b"BDAT\x0b5\x0cLAST", Some((5, true))),
            (b"BDAT -1", None),
            (b"BDAT", None),
            (b"BDAT 5 FIRST", None),
            (b"BDAT 5 LAST LAST", None),
        ] {
            let expected = chunk.map(|(size, last)| Chunk { size, last });
            assert_eq!(Command::parse(line).chunk(), expected, "{line:?}");
        }
    }
}
