//! What carried a session: in the clear, under TLS, or switched to TLS before the filter.
//!
//! The simulator carries bytes as they are. What a filter knows of TLS it reads as properties of
//! the connection, so that a session under TLS is replayed by giving it these.

use super::Transcript;

/// What the filter could read of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Carrier {
    /// Nobody before the server had to do with TLS.
    #[default]
    Cleartext,
    /// TLS from the first byte.
    Tls,
    /// A module beside the filter could start TLS, and answer STARTTLS.
    Switchable,
    /// The same, and what the client said first under TLS was answered by it.
    SwitchableAgain,
    /// Such a module was there, and could not.
    Unavailable,
}

/// Properties by their paths, with their values; empty ones stand for none.
type Properties = [(&'static [&'static str], &'static [u8]); 2];

impl Carrier {
    /// By the filter's own replies: STARTTLS that it has added to the server's capabilities, or
    /// refused for the time being (RFC 3207 section 4). And by its record: TLS, although nobody
    /// could start it.
    pub(super) fn of(transcript: &Transcript) -> Self {
        let mut asked = false;
        let lines = transcript.text.lines();
        let mut pairs = lines.clone().zip(lines.clone().skip(1));
        let again = pairs.any(|(line, next)| is_answered_here(line, next) == Some(Here::Hello));
        for line in lines {
            match line.strip_prefix("# ").and_then(|line| after(line, "C<")) {
                Some("250 STARTTLS" | "250-STARTTLS") if again => return Self::SwitchableAgain,
                Some("250 STARTTLS" | "250-STARTTLS") => return Self::Switchable,
                Some(reply) if asked && reply.starts_with("454 ") => return Self::Unavailable,
                _ => {}
            }
            let said = after(line, "C>").or_else(|| after(line, "C+"));
            asked |= said.is_some_and(|said| said.eq_ignore_ascii_case("STARTTLS"));
        }
        let record = transcript.record.as_ref();
        match record.is_some_and(|record| record.get("tls") == Some(&true.into())) {
            true => Self::Tls,
            false => Self::Cleartext,
        }
    }

    pub(super) fn properties(self) -> Properties {
        let (module, version): (&[u8], &[u8]) = match self {
            Self::Cleartext => (b"", b""),
            Self::Tls => (b"", b"TLSv1.3"),
            Self::Switchable => (b"answers", b""),
            Self::SwitchableAgain => (b"answers-again", b""),
            Self::Unavailable => (b"unavailable", b""),
        };
        [
            (&["filter_state", "portcullis.starttls"], module),
            (&["connection", "tls_version"], version),
        ]
    }
}

/// What a line says behind this marker and a time, if it has one.
fn after<'a>(line: &'a str, marker: &str) -> Option<&'a str> {
    let begins_with_time = line.starts_with(|first: char| first.is_ascii_digit());
    let rest = match begins_with_time {
        true => line.split_once(' ')?.1,
        false => line,
    };
    rest.strip_prefix(marker)?.strip_prefix(' ')
}

/// A command that the filter has answered itself, so that the server heard nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Here {
    /// STARTTLS.
    StartTls,
    /// The first EHLO under TLS.
    Hello,
}

/// Whether these lines of a transcript begin with one.
pub(super) fn is_answered_here(line: &str, next: &str) -> Option<Here> {
    let said = after(line, "C>")?;
    let reply = after(next.strip_prefix("# ")?, "C<")?;
    let verb = said.split(' ').next()?;
    match reply.get(..3)? {
        "220" if said.eq_ignore_ascii_case("STARTTLS") => Some(Here::StartTls),
        "250" if verb.eq_ignore_ascii_case("EHLO") => Some(Here::Hello),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carrier(tls: bool, told: &str) -> Carrier {
        let record = serde_json::json!({ "tls": tls });
        Carrier::of(&Transcript {
            line: 1,
            text: format!("client: 192.0.2.7:1\n\n{told}"),
            scenario: told.parse().unwrap(),
            record: record.as_object().cloned(),
        })
    }

    #[test]
    fn replies_and_the_record_tell_what_carried_a_session() {
        let offer = "0.1 C> EHLO a\n0.2 S> 250 mx\n# 0.2 C< 250-mx\n# 0.2 C< 250 STARTTLS\n";
        let known = "0.3 C> STARTTLS\n# 0.3 C< 220 go\n0.4 C> EHLO a\n# 0.4 C< 250 mx\n";
        let again = format!("{offer}{known}");
        let not_now = "0.1 C> NOOP\nC+ starttls\n0.2 S> 250 ok\n# 0.2 C< 454 4.7.0 not now\n";
        let of_the_server = "0.1 C> EHLO a\n0.2 S> 250 STARTTLS\n0.3 C> STARTTLS\n0.4 S> 220 go\n";
        let other = "0.1 C> AUTH PLAIN\n0.2 S> 235 ok\n# 0.2 C< 454 4.7.0 later\n";
        for (tls, told, expected) in [
            (false, "", Carrier::Cleartext),
            (true, "", Carrier::Tls),
            (false, offer, Carrier::Switchable),
            (true, offer, Carrier::Switchable),
            (true, &again, Carrier::SwitchableAgain),
            (false, not_now, Carrier::Unavailable),
            (false, of_the_server, Carrier::Cleartext),
            (false, other, Carrier::Cleartext),
        ] {
            assert_eq!(carrier(tls, told), expected, "{told}");
        }
    }
}
