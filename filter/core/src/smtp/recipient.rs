//! Recipients: the path in `RCPT TO:<path>` (RFC 5321 section 4.1.1.3).

use super::command::is_space;

/// The mailbox a `RCPT` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipient<'a> {
    /// Whether a source route stands before the mailbox (RFC 5321 appendix C).
    pub routed: bool,
    /// The part before the last `@`, quotes kept.
    pub local_part: &'a [u8],
    /// The part behind it; empty for `<postmaster>`.
    pub domain: &'a [u8],
}

impl<'a> Recipient<'a> {
    /// Reads the argument of a `RCPT`, that is `TO:<path>` and parameters. Source routes are
    /// skipped (RFC 5321 appendix C). `None` where there is no path.
    #[must_use]
    pub fn parse(argument: &'a [u8]) -> Option<Self> {
        let (keyword, path) =
            argument.split_at_checked(argument.iter().position(|o| *o == b':')?)?;
        if !keyword.trim_ascii().eq_ignore_ascii_case(b"TO") {
            return None;
        }
        let path = path.get(1..)?.trim_ascii_start();
        let path = match path.strip_prefix(b"<") {
            Some(open) => open.get(..close_of(open)?)?,
            None => path.split(|octet| is_space(*octet)).next()?,
        };
        let routed = path.first() == Some(&b'@');
        let mailbox = match path.first() {
            Some(b'@') => path.get(path.iter().position(|o| *o == b':')? + 1..)?,
            _ => path,
        };
        if mailbox.is_empty() {
            return None;
        }
        Some(match mailbox.iter().rposition(|octet| *octet == b'@') {
            Some(at) => Self {
                routed,
                local_part: mailbox.get(..at)?,
                domain: mailbox.get(at + 1..)?,
            },
            None => Self {
                routed,
                local_part: mailbox,
                domain: b"",
            },
        })
    }

    /// Whether this is the postmaster, whom every server must accept (RFC 5321 section 4.5.1).
    /// Not behind a source route, which servers read differently.
    #[must_use]
    pub fn is_postmaster(&self) -> bool {
        !self.routed && self.local_part.eq_ignore_ascii_case(b"postmaster")
    }
}

impl Recipient<'_> {
    /// The mailbox, its domain in lower case, whole; `None` where servers may read it differently
    /// or it is longer than a path may be (RFC 5321 section 4.5.3.1.3).
    #[must_use]
    pub fn mailbox(&self) -> Option<Box<[u8]>> {
        let mut mailbox = Vec::new();
        self.fits().then(|| self.write_mailbox(&mut mailbox))?;
        Some(mailbox.into_boxed_slice())
    }

    /// Writes the mailbox behind what is there, its domain in lower case.
    pub fn write_mailbox(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(self.local_part);
        to.push(b'@');
        let domain = to.len();
        to.extend_from_slice(self.domain);
        if let Some(domain) = to.get_mut(domain..) {
            domain.make_ascii_lowercase();
        }
    }

    fn fits(&self) -> bool {
        const LONGEST: usize = 256;
        !self.routed && self.local_part.len() + 1 + self.domain.len() <= LONGEST
    }
}

/// What an octet of a RCPT's argument can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Part of a mailbox, or of a parameter.
    Plain,
    /// It means something, or a quoted mailbox may hold it.
    Special,
    /// No line holds it that every server reads the same.
    Odd,
}

const fn kind(octet: u8) -> Kind {
    match octet {
        b'"' | b'(' | b')' | b',' | b':' | b';' | b'<' | b'>' | b'[' | b'\\' | b']' | b' ' => {
            Kind::Special
        }
        b'!'..=b'~' => Kind::Plain,
        _ => Kind::Odd,
    }
}

/// The mailbox of a RCPT where every server reads the same one: without quotes or a source route,
/// no longer than a path may be, and nothing behind the path but a space and parameters.
#[must_use]
pub fn certain_mailbox(argument: &[u8]) -> Option<Recipient<'_>> {
    let (keyword, path) = argument.split_at_checked(3)?;
    let open = path.trim_ascii_start().strip_prefix(b"<")?;
    let close = open.iter().position(|octet| kind(*octet) != Kind::Plain)?;
    let (mailbox, behind) = open.split_at_checked(close)?;
    let behind = behind.strip_prefix(b">")?;
    let (padding, _) = path.split_at_checked(path.len() - open.len())?;
    let odd = |part: &[u8]| part.iter().any(|octet| kind(*octet) == Kind::Odd);
    if !keyword.eq_ignore_ascii_case(b"TO:")
        || odd(padding)
        || odd(behind)
        || !(behind.is_empty() || behind.starts_with(b" "))
    {
        return None;
    }
    let mut parts = mailbox.split(|octet| *octet == b'@');
    let recipient = Recipient {
        routed: false,
        local_part: parts.next()?,
        domain: parts.next()?,
    };
    let whole = !recipient.local_part.is_empty() && parts.next().is_none();
    (whole && recipient.fits()).then_some(recipient)
}

/// Where the `>` of a path stands: a quoted local part may hold others.
fn close_of(path: &[u8]) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, octet) in path.iter().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn paths() {
        for (argument, expected) in [
            (
                &b"TO:<info@example.test>"[..],
                Some((&b"info"[..], &b"example.test"[..])),
            ),
            (b"to: <a@b.test> NOTIFY=NEVER", Some((b"a", b"b.test"))),
            (b"TO:<Postmaster>", Some((b"Postmaster", b""))),
            (b"TO:<@x.test,@y.test:a@b.test>", Some((b"a", b"b.test"))),
            (
                b"TO:<\"odd > @ name\"@b.test>",
                Some((b"\"odd > @ name\"", b"b.test")),
            ),
            (b"TO:a@b.test", Some((b"a", b"b.test"))),
            (b"TO:<\xc3\xbc@b.test>", Some((b"\xc3\xbc", b"b.test"))),
            (b"TO:<>", None),
            (b"TO:<a@b.test", None),
            (b"FROM:<a@b.test>", None),
            (b"", None),
        ] {
            let got = Recipient::parse(argument).map(|r| (r.local_part, r.domain));
            assert_eq!(got, expected, "{:?}", String::from_utf8_lossy(argument));
        }
    }

    #[test]
    fn a_mailbox_is_certain_where_nothing_else_can_be_read() {
        for (argument, expected) in [
            ("TO:<info@Example.Test>", Some("info@example.test")),
            ("to: <In.Fo+x@b.test> NOTIFY=NEVER", Some("In.Fo+x@b.test")),
            ("TO:<info@b.test>x", None),
            ("TO:<info@b.test><x@b.test>", None),
            ("TO:<info@b.test>\tx", None),
            ("TO:<info@b.test> \x0bx", None),
            ("TO:info@b.test", None),
            ("TO :<info@b.test>", None),
            ("TO:<\"info\"@b.test>", None),
            ("TO:<info@b@b.test>", None),
            ("TO:<@x.test:info@b.test>", None),
            ("TO:<info@[192.0.2.1]>", None),
            ("TO:<in fo@b.test>", None),
            ("TO:<inf\u{f6}@b.test>", None),
            ("TO:<info>", None),
            ("TO:<@b.test>", None),
            ("TO:<a@>", Some("a@")),
            ("TO:\t<info@b.test>", None),
            ("TO:<info@b.test> ORCPT=rfc822;\"x\"@y", Some("info@b.test")),
            ("TO:<>", None),
            ("TO:", None),
            ("", None),
        ] {
            let got = certain_mailbox(argument.as_bytes()).and_then(|name| name.mailbox());
            assert_eq!(got.as_deref(), expected.map(str::as_bytes), "{argument}");
        }
    }

    #[test]
    fn postmaster_of_any_domain_in_any_case() {
        for (argument, expected) in [
            (&b"TO:<postmaster>"[..], true),
            (b"TO:<POSTMASTER@Example.Test>", true),
            (b"TO:<postmaster1@example.test>", false),
            (b"TO:<x@postmaster>", false),
            (b"TO:<@x.test:postmaster@y.test>", false),
        ] {
            let got = Recipient::parse(argument).is_some_and(|r| r.is_postmaster());
            assert_eq!(got, expected);
        }
    }
}
