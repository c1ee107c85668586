//! Command lines of RFC 5321 section 4.1 and RFC 3030 section 2.

/// A command line, parsed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command<'a> {
    Ehlo,
    Helo,
    Mail,
    Rcpt(&'a str),
    Data,
    Bdat {
        size: usize,
        last: bool,
    },
    Rset,
    Noop,
    Vrfy,
    Quit,
    /// A known verb with arguments that do not parse; holds the right syntax.
    Malformed(&'static str),
    Unknown,
}

/// Parses a line without its line end.
pub(super) fn parse(line: &str) -> Command<'_> {
    let (verb, arguments) = line.split_once(' ').unwrap_or((line, ""));
    let arguments = arguments.trim();
    match verb.trim().to_ascii_uppercase().as_str() {
        "EHLO" if arguments.is_empty() => Command::Malformed("EHLO domain"),
        "HELO" if arguments.is_empty() => Command::Malformed("HELO domain"),
        "EHLO" => Command::Ehlo,
        "HELO" => Command::Helo,
        "MAIL" => match path(arguments, "FROM:") {
            Some(_) => Command::Mail,
            None => Command::Malformed("MAIL FROM:<address>"),
        },
        "RCPT" => match path(arguments, "TO:") {
            Some(address) if !address.is_empty() => Command::Rcpt(address),
            _ => Command::Malformed("RCPT TO:<address>"),
        },
        "DATA" => Command::Data,
        "BDAT" => bdat(arguments).unwrap_or(Command::Malformed("BDAT size [LAST]")),
        "RSET" => Command::Rset,
        "NOOP" => Command::Noop,
        "VRFY" => Command::Vrfy,
        "QUIT" => Command::Quit,
        _ => Command::Unknown,
    }
}

/// The address between `<` and `>`, without a source route (RFC 5321 appendix C).
fn path<'a>(arguments: &'a str, keyword: &str) -> Option<&'a str> {
    let (head, rest) = arguments.split_at_checked(keyword.len())?;
    if !head.eq_ignore_ascii_case(keyword) {
        return None;
    }
    let (address, _parameters) = rest.trim_start().strip_prefix('<')?.split_once('>')?;
    match address.strip_prefix('@') {
        Some(route) => route.split_once(':').map(|(_, address)| address),
        None => Some(address),
    }
}

fn bdat(arguments: &str) -> Option<Command<'_>> {
    let mut words = arguments.split_ascii_whitespace();
    let size = words.next()?.parse().ok()?;
    let last = match words.next() {
        None => false,
        Some(word) if word.eq_ignore_ascii_case("LAST") => true,
        Some(_) => return None,
    };
    words
        .next()
        .is_none()
        .then_some(Command::Bdat { size, last })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines() {
        let table = [
            ("EHLO bot.example.test", Command::Ehlo),
            ("ehlo [192.0.2.1]", Command::Ehlo),
            ("EHLO", Command::Malformed("EHLO domain")),
            ("MAIL FROM:<>", Command::Mail),
            (
                "MAIL FROM:<a@b.test> SIZE=1000 BODY=8BITMIME",
                Command::Mail,
            ),
            ("MAIL a@b.test", Command::Malformed("MAIL FROM:<address>")),
            ("RCPT TO:<a@b.test>", Command::Rcpt("a@b.test")),
            (
                "rcpt to: <a@b.test> NOTIFY=NEVER",
                Command::Rcpt("a@b.test"),
            ),
            (
                "RCPT TO:<@x.test,@y.test:a@b.test>",
                Command::Rcpt("a@b.test"),
            ),
            ("RCPT TO:<>", Command::Malformed("RCPT TO:<address>")),
            ("RCPT TO:a@b.test", Command::Malformed("RCPT TO:<address>")),
            (
                "BDAT 86 LAST",
                Command::Bdat {
                    size: 86,
                    last: true,
                },
            ),
            (
                "bdat 0",
                Command::Bdat {
                    size: 0,
                    last: false,
                },
            ),
            ("BDAT -1", Command::Malformed("BDAT size [LAST]")),
            ("BDAT 1 FIRST", Command::Malformed("BDAT size [LAST]")),
            ("QUIT ", Command::Quit),
            ("XYZZY", Command::Unknown),
            ("", Command::Unknown),
        ];
        for (line, expected) in table {
            assert_eq!(parse(line), expected, "{line}");
        }
    }
}
