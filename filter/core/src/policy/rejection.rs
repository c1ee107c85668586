//! What the server's reply to a RCPT says of the recipient.
//!
//! Servers say *no such user* in many ways, `451 No such user` among them, and say other things
//! with the very same codes (greylisting, full mailboxes, relaying denied). The enhanced status
//! code (RFC 3463) decides where it is clear; else the code or the text.

use crate::smtp::{EnhancedCode, ReplyLine, contains_ignoring_case};

/// What a reply to a RCPT means for the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RcptReply {
    /// The recipient is taken.
    Accepted,
    /// The mailbox is unknown: a guess that failed.
    Rejected,
    /// Refused for a reason that says nothing of the name: greylisting, policy, quota, order.
    Refused,
}

/// Texts by which common servers say with an unknown-mailbox code what is not about the name
/// asked for: Postfix while it verifies a new recipient, and Postfix and Exim of senders they refuse
/// at RCPT.
const NOT_ABOUT_THE_NAME: [&[u8]; 3] = [
    b"verification in progress",
    b"sender address rejected",
    b"sender verify failed",
];

/// Texts, in lower case, by which a 4yz or 5yz reply says that the mailbox is unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectionPatterns(Vec<Vec<u8>>);

impl RejectionPatterns {
    /// Patterns are compared as substrings, in any ASCII case.
    #[must_use]
    pub fn new(texts: &[String]) -> Self {
        Self(
            texts
                .iter()
                .map(|text| text.to_ascii_lowercase().into_bytes())
                .collect(),
        )
    }

    /// Reads a whole reply, all its lines. The last line decides the code.
    #[must_use]
    pub fn classify(&self, reply: &[u8]) -> RcptReply {
        let lines = lines_of(reply);
        let Some(last) = lines.clone().next_back() else {
            return RcptReply::Refused;
        };
        if !last.code.is_failure() {
            return if last.code.is_success() {
                RcptReply::Accepted
            } else {
                RcptReply::Refused
            };
        }
        let about_else = |text| {
            let said = |part| {
                let mut exceptions = NOT_ABOUT_THE_NAME.iter();
                exceptions.any(|exception| contains_ignoring_case(part, exception))
            };
            let (before, behind) = around_names(text);
            said(before) || said(behind)
        };
        if lines.clone().any(|line| about_else(line.text)) {
            return RcptReply::Refused;
        }
        let unknown = match lines.clone().find_map(|line| line.enhanced()) {
            Some(code) if says_unknown(code) => true,
            Some(code) if matches!(code.subject, 2 | 7) => false,
            Some(_) => self.text_says_unknown(lines),
            None => matches!(last.code.0, 550 | 551 | 553) || self.text_says_unknown(lines),
        };
        if unknown {
            RcptReply::Rejected
        } else {
            RcptReply::Refused
        }
    }

    /// Whether a line, the last of a reply to whatever command, can only mean that a mailbox is
    /// unknown: a bare 550 may be said of a message too.
    #[must_use]
    pub fn line_says_unknown(&self, line: &[u8]) -> bool {
        let parsed = ReplyLine::parse(line.trim_ascii_end()).ok();
        parsed
            .filter(|line| line.last && line.code.0 != 421)
            .is_some_and(|_| self.says_so(line))
    }

    /// Whether a reply to a RCPT says so of the name, whoever asks. Without a telling code or text
    /// a 550 may be about the client: servers say it of blacklists and relaying, too.
    #[must_use]
    pub fn says_so(&self, reply: &[u8]) -> bool {
        let lines = lines_of(reply);
        let told = |line: ReplyLine<'_>| line.enhanced().is_some_and(says_unknown);
        let tells = lines.clone().any(told) || self.text_says_unknown(lines);
        tells && self.classify(reply) == RcptReply::Rejected
    }

    fn text_says_unknown<'a>(&self, mut lines: impl Iterator<Item = ReplyLine<'a>>) -> bool {
        lines.any(|line| {
            let mut patterns = self.0.iter();
            patterns.any(|pattern| contains_ignoring_case(line.text, pattern))
        })
    }
}

/// What stands before and behind the names that a server repeats, which are the client's words.
fn around_names(text: &[u8]) -> (&[u8], &[u8]) {
    let (open, close) = (memchr::memchr(b'<', text), memchr::memrchr(b'>', text));
    let before = text.get(..open.unwrap_or(text.len()));
    let behind = close.and_then(|close| text.get(close..));
    (before.unwrap_or_default(), behind.unwrap_or_default())
}

fn lines_of(reply: &[u8]) -> impl DoubleEndedIterator<Item = ReplyLine<'_>> + Clone {
    reply
        .split_inclusive(|octet| *octet == b'\n')
        .filter_map(|line| ReplyLine::parse(line.trim_ascii_end()).ok())
}

/// x.1.1 bad mailbox, x.1.2 bad system, x.1.3 bad syntax (RFC 3463 section 3.2), x.1.10 null MX
/// (RFC 7505).
fn says_unknown(code: EnhancedCode) -> bool {
    code.subject == 1 && matches!(code.detail, 1 | 2 | 3 | 10)
}

#[cfg(test)]
mod tests {
    use super::super::config::RcptConfig;
    use super::*;
    use RcptReply::{Accepted, Refused, Rejected};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn what_counts_as_a_rejected_recipient() {
        let patterns = RejectionPatterns::new(&RcptConfig::default().rejected_text);
        for (reply, expected) in [
            ("250 2.1.5 Ok", Accepted),
            ("251 User not local; will forward", Accepted),
            ("252 cannot VRFY", Accepted),
            ("451 No such user", Rejected),
            (
                "451 4.1.1 <info@example.test>: Recipient address rejected",
                Rejected,
            ),
            (
                "450 4.1.1 <x>: Recipient address rejected: User unknown",
                Rejected,
            ),
            (
                "550 5.1.1 <x>: Recipient address rejected: User unknown",
                Rejected,
            ),
            (
                "450 4.1.1 <x>: Recipient address rejected: unverified address: Address \
                 verification in progress",
                Refused,
            ),
            (
                "550 5.1.0 <a@b>: Sender address rejected: User unknown in virtual mailbox table",
                Refused,
            ),
            (
                "550-550 5.1.1 No such user\r\n550 Sender verify failed",
                Refused,
            ),
            // Names are the client's words, and what is behind a `+` finds the same mailbox.
            (
                "550 5.1.1 <\"info+sender address rejected\"@example.test>: Recipient address \
                 rejected: User unknown",
                Rejected,
            ),
            (
                "550 5.1.1 <\"info+> verification in progress\"@example.test>: User unknown",
                Rejected,
            ),
            (
                "550 <\"info+sender verify failed\"@example.test> no",
                Rejected,
            ),
            ("550 5.1.10 RecipientNotFound", Rejected),
            ("550 5.1.2 bad host", Rejected),
            ("553 5.1.3 bad syntax", Rejected),
            ("550 Invalid recipient", Rejected),
            ("550", Rejected),
            ("551 User not local", Rejected),
            ("553 sorry", Rejected),
            ("554 Unknown user", Rejected),
            ("452 mailbox not found", Rejected),
            (
                "550-5.1.1 The account does not exist.\r\n550 5.1.1 see https://example.test/",
                Rejected,
            ),
            ("550-Sorry\r\n550 5.7.1 policy", Refused),
            ("550 5.0.0 user unknown", Rejected),
            ("550 5.0.0 something else", Refused),
            ("450 4.7.1 Greylisted, no such user yet", Refused),
            ("451 4.7.1 Greylisting in action", Refused),
            ("450 4.2.0 Greylisted", Refused),
            ("451 Greylisted, please try again", Refused),
            ("554 5.7.1 Relay access denied", Refused),
            ("550 5.7.1 user unknown or relaying denied", Refused),
            ("552 5.2.2 mailbox full", Refused),
            ("452 4.2.2 mailbox full", Refused),
            ("503 5.5.1 need MAIL command", Refused),
            ("452 4.5.3 Too many recipients", Refused),
            ("421 4.3.2 shutting down", Refused),
            ("354 odd", Refused),
            ("", Refused),
        ] {
            assert_eq!(patterns.classify(reply.as_bytes()), expected, "{reply}");
        }
    }

    #[test]
    fn patterns_can_be_the_operators_own() {
        let patterns = RejectionPatterns::new(&["Utilisateur INCONNU".to_owned()]);
        let reply = b"451 4.0.0 utilisateur inconnu\r\n";
        assert_eq!(patterns.classify(reply), Rejected);
        assert_eq!(patterns.classify(b"451 No such user\r\n"), Refused);
    }
}
