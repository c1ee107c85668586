//! What of a line may be kept.

use crate::smtp::{Answer, Command, LineEnd, Verb};

/// Mechanisms by which clients authenticate. Any other word may be a secret in the wrong place.
const MECHANISMS: [&[u8]; 16] = [
    b"PLAIN",
    b"LOGIN",
    b"CRAM-MD5",
    b"XOAUTH2",
    b"OAUTHBEARER",
    b"DIGEST-MD5",
    b"SCRAM-SHA-1",
    b"SCRAM-SHA-1-PLUS",
    b"SCRAM-SHA-256",
    b"SCRAM-SHA-256-PLUS",
    b"NTLM",
    b"GSSAPI",
    b"GSS-SPNEGO",
    b"EXTERNAL",
    b"ANONYMOUS",
    b"KERBEROS_V4",
];

/// The prompts of AUTH LOGIN, `Username:` and `Password:`, which come after a first secret.
const PROMPTS: [&[u8]; 2] = [b"334 VXNlcm5hbWU6", b"334 UGFzc3dvcmQ6"];

/// How many octets of a command's line are shown, and how many behind them are not; its end is
/// shown again.
pub(super) fn command(command: &Command<'_>, end: LineEnd, line: &[u8]) -> (usize, usize) {
    let content = line.len() - line_end(line).len();
    match command.verb {
        Verb::Other => (0, content),
        Verb::Auth => {
            let shown = match mechanism(command.argument) {
                Some(mechanism) => behind(line, mechanism),
                None => word(line),
            };
            let shown = shown.min(content);
            (shown, content - shown)
        }
        // What servers make of it is not known.
        _ if end != LineEnd::Overlong
            && takes_argument(command.verb)
            && !command.has_stray_controls() =>
        {
            (content, 0)
        }
        _ => {
            let shown = word(line).min(content);
            (shown, content - shown)
        }
    }
}

fn takes_argument(verb: Verb) -> bool {
    matches!(
        verb,
        Verb::Ehlo
            | Verb::Helo
            | Verb::Lhlo
            | Verb::Mail
            | Verb::Rcpt
            | Verb::Bdat
            | Verb::Vrfy
            | Verb::Expn
    )
}

/// Whether what follows a command's line is a command in any case.
pub(super) fn leads_to_commands(verb: Verb) -> bool {
    !matches!(
        verb,
        Verb::Data | Verb::Bdat | Verb::Auth | Verb::StartTls | Verb::Other
    )
}

/// The mechanism of an AUTH command, if it is a known one.
fn mechanism(argument: &[u8]) -> Option<&[u8]> {
    let word = argument.split(u8::is_ascii_whitespace).next()?;
    let known = |known: &&[u8]| known.eq_ignore_ascii_case(word);
    MECHANISMS.iter().any(known).then_some(word)
}

/// Where `part` of `line` ends, and the blank behind it.
fn behind(line: &[u8], part: &[u8]) -> usize {
    let at = line.windows(part.len()).position(|window| window == part);
    let end = at.map_or(0, |at| at + part.len());
    end + usize::from(line.get(end) == Some(&b' '))
}

/// The same for its first word.
fn word(line: &[u8]) -> usize {
    let blank = |octet: &u8| octet.is_ascii_whitespace() || *octet == b':';
    let start = line.iter().position(|octet| !blank(octet)).unwrap_or(0);
    let rest = line.get(start..).unwrap_or_default();
    let end = start + rest.iter().position(blank).unwrap_or(rest.len());
    end + usize::from(
        line.get(end)
            .is_some_and(|octet| matches!(octet, b' ' | b':')),
    )
}

/// The end of a line, if it has one.
pub(super) fn line_end(line: &[u8]) -> &[u8] {
    let len = match line {
        [.., b'\r', b'\n'] => 2,
        [.., b'\n'] => 1,
        _ => 0,
    };
    line.get(line.len() - len..).unwrap_or_default()
}

/// Whether a reply is kept with its text: `delicate` once secrets may have been said, `told_secret`
/// once one was in this exchange.
pub(super) fn keeps_text(
    answer: Option<Answer>,
    reply: &[u8],
    delicate: bool,
    told_secret: bool,
) -> bool {
    match answer {
        Some(Answer::Auth) if reply.starts_with(b"334") => {
            !told_secret || PROMPTS.contains(&reply.trim_ascii_end())
        }
        Some(Answer::Auth) => false,
        Some(Answer::Other) | None => !delicate,
        Some(_) => true,
    }
}

/// How many octets of a reply's line are shown without its text, and how many behind them are not:
/// its code, and its status code if it has one (RFC 3463).
pub(super) fn reply_line(line: &[u8]) -> (usize, usize) {
    let content = line.len() - line_end(line).len();
    let text = line.get(4..content).unwrap_or_default();
    let status = text.iter().position(|octet| *octet == b' ');
    let status = status.filter(|at| is_status(text.get(..*at).unwrap_or_default()));
    let shown = match line.first_chunk::<3>() {
        Some(code) if code.iter().all(u8::is_ascii_digit) => 4 + status.map_or(0, |at| at + 1),
        _ => 0,
    };
    let shown = shown.min(content);
    (shown, content - shown)
}

fn is_status(word: &[u8]) -> bool {
    let mut parts = word.split(|octet| *octet == b'.');
    let mut number = |most: usize| {
        let part = parts.next();
        part.is_some_and(|part| {
            (1..=most).contains(&part.len()) && part.iter().all(u8::is_ascii_digit)
        })
    };
    number(1) && number(3) && number(3) && word.len() <= 9 && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn commands_are_shown_up_to_their_secret() {
        for (line, shown, hidden) in [
            ("RCPT TO:<a@b>\r\n", 13, 0),
            ("auth plain AGEAYg==\r\n", 11, 8),
            ("AUTH PLAIN\r\n", 10, 0),
            ("AUTH  LOGIN\tYQ==\r\n", 11, 5),
            ("AUTH AGEAYg==\r\n", 5, 8),
            ("AUTH:AGEAYg==\r\n", 5, 8),
            ("  AUTH PLAIN=AGEA\n", 7, 10),
            ("AGEAYg==\r\n", 0, 8),
            ("*\r\n", 0, 1),
            ("NOOP AGEAYg==\r\n", 5, 8),
            ("RCPT TO:<a>\rAGEAYg==\r\n", 5, 15),
            ("DATA\r\n", 4, 0),
            ("\r\n", 0, 0),
        ] {
            let parsed = Command::parse(line.trim_ascii_end().as_bytes());
            let got = command(&parsed, LineEnd::Crlf, line.as_bytes());
            assert_eq!(got, (shown, hidden), "{line:?}");
        }
        let long = b"RCPT TO:<aaaa";
        let parsed = Command::parse(long);
        assert_eq!(command(&parsed, LineEnd::Overlong, long), (5, 8));
    }

    #[test]
    fn replies_are_shown_up_to_their_text() {
        for (line, shown, hidden) in [
            ("535 5.7.8 authentication failed\r\n", 10, 21),
            ("500-what?\r\n", 4, 5),
            ("500\r\n", 3, 0),
            ("500 5.7.8\r\n", 4, 5),
            ("500 1.2.secret x\n", 4, 12),
            ("500 1.2.1234 x\n", 4, 10),
            ("nonsense\r\n", 0, 8),
            ("", 0, 0),
        ] {
            assert_eq!(reply_line(line.as_bytes()), (shown, hidden), "{line:?}");
        }
    }

    #[test]
    fn challenges_stay_until_a_secret_was_told() {
        let auth = Some(Answer::Auth);
        for (answer, reply, delicate, told, kept) in [
            (auth, "334 PDEyMy40QG14Pg==\r\n", true, false, true),
            (auth, "334 PDEyMy40QG14Pg==\r\n", true, true, false),
            (auth, "334 UGFzc3dvcmQ6\r\n", true, true, true),
            (auth, "235 2.7.0 a@b.test\r\n", true, true, false),
            (Some(Answer::Other), "250 ok\r\n", false, false, true),
            (
                Some(Answer::Other),
                "500 what? AGEA\r\n",
                true,
                false,
                false,
            ),
            (Some(Answer::Rcpt), "550 no\r\n", true, true, true),
        ] {
            let got = keeps_text(answer, reply.as_bytes(), delicate, told);
            assert_eq!(got, kept, "{reply}");
        }
    }
}
