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
        const LONGEST: usize = 256;
        let len = self.local_part.len() + 1 + self.domain.len();
        if self.routed || len > LONGEST {
            return None;
        }
        let domain = self.domain.to_ascii_lowercase();
        Some([self.local_part, b"@", &domain].concat().into_boxed_slice())
    }
}

/// The mailbox of a RCPT, its domain in lower case, where every server reads the same one: without
/// quotes or a source route, and nothing behind the path but a space and parameters.
#[must_use]
pub fn certain_mailbox(argument: &[u8]) -> Option<Box<[u8]>> {
    let (keyword, path) = argument.split_at_checked(3)?;
    let (mailbox, behind) = path
        .trim_ascii_start()
        .strip_prefix(b"<")
        .and_then(|open| {
            let (mailbox, behind) = open.split_at_checked(close_of(open)?)?;
            Some((mailbox, behind.get(1..)?))
        })?;
    let printable = |octet: &u8| octet.is_ascii_graphic() || *octet == b' ';
    let special = |octet: &u8| b"\"(),:;<>[\\] ".contains(octet);
    let certain = keyword.eq_ignore_ascii_case(b"TO:")
        && argument.iter().all(printable)
        && !mailbox.iter().any(special)
        && mailbox.iter().filter(|octet| **octet == b'@').count() == 1
        && (behind.is_empty() || behind.starts_with(b" "));
    Recipient::parse(argument).filter(|_| certain)?.mailbox()
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
            ("TO:<>", None),
            ("TO:", None),
            ("", None),
        ] {
            let got = certain_mailbox(argument.as_bytes());
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
