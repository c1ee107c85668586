//! What a session knows of TLS: whether STARTTLS is offered, by whom, and what it makes the guard
//! forget (RFC 3207 section 4.2).
//!
//! ```text
//!  Cleartext: nobody here ends TLS; the policy says whether the server may
//!  Unavailable: somebody should, and cannot; nor may the server
//!
//!     +----STARTTLS, and the host says the 220-----+
//!     |                                            v
//!  Offered --STARTTLS--> Starting --220--> Handshake --first bytes--> Anew --EHLO, HELO--> Active
//!     |  AUTH: 235                                                      ^
//!     +--> TooLate                                        Implicit -----|--first bytes--> Active
//! ```
//!
//! In `Starting` everything the client sends is dropped: it is plaintext that came before TLS, and
//! nothing of it may count after.

use super::effects::{Carrier, Effects, Exemption, Note, Transport, Voice};
use super::{Phase, Session};
use crate::policy::StartTlsMode;
use crate::smtp::{Command, Hello, LineEnd, TlsReply, Unit, Verb};

/// The capability's keyword (RFC 3207 section 4).
const KEYWORD: &[u8] = b"STARTTLS";

/// How a session stands with TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Tls {
    /// In cleartext, and nobody before the server could change that.
    #[default]
    Cleartext,
    /// In cleartext; the host can start TLS.
    Offered(Voice),
    /// In cleartext; the host should be able to start TLS, and cannot.
    Unavailable,
    /// In cleartext; the client has authenticated, which the server would not forget.
    TooLate,
    /// STARTTLS was taken, its reply is still to come.
    Starting,
    /// TLS has started; the client has said nothing under it.
    Handshake,
    /// It has, but no EHLO or HELO was taken yet.
    Anew,
    /// The connection has been under TLS from its first byte; the client has said nothing yet.
    Implicit,
    /// Under TLS.
    Active,
}

impl Session {
    /// What carries the connection. To be told before its first byte.
    pub fn carried_by(&mut self, carrier: Carrier) {
        self.tls = match carrier {
            Carrier::Cleartext => Tls::Cleartext,
            Carrier::Switchable(voice) => Tls::Offered(voice),
            Carrier::Unavailable => Tls::Unavailable,
            Carrier::Tls => Tls::Implicit,
        };
    }

    /// Whether TLS has started at the client's request, and the client has said nothing under it.
    #[must_use]
    pub fn awaits_handshake(&self) -> bool {
        self.tls == Tls::Handshake
    }

    /// Whether it matters now who the client is by its certificate: to be asked before its first
    /// bytes under TLS are read. [`Session::vouch`] if it has shown a good one.
    #[must_use]
    pub fn asks_for_certificate(&self) -> bool {
        self.phase == Phase::Judged
            && matches!(self.tls, Tls::Implicit | Tls::Handshake)
            && self.policy.config().exempt.verified_clients
    }

    /// The client has shown a certificate that the host has verified.
    #[must_use]
    pub fn vouch(&mut self) -> Option<Note> {
        self.asks_for_certificate().then(|| {
            self.phase = Phase::Exempt(Exemption::Verified);
            self.leave_account();
            Note::Exempt(Exemption::Verified)
        })
    }

    /// Whether the session is, or has been, under TLS that ends before the guard.
    pub(super) fn is_under_tls(&self) -> bool {
        matches!(self.tls, Tls::Anew | Tls::Active)
    }

    /// Drops plaintext that came behind STARTTLS, where that is due.
    pub(super) fn drops(&self, bytes: &[u8], effects: &mut Effects<'_>) -> bool {
        let drops = self.tls == Tls::Starting;
        if drops && !bytes.is_empty() {
            effects.notes.push(Note::BehindStartTls);
        }
        drops
    }

    /// A command about TLS was answered; whether it makes TLS start. Then `behind`, which came
    /// with it, is dropped.
    pub(super) fn starts_tls(
        &mut self,
        reply: TlsReply,
        behind: &[u8],
        effects: &mut Effects<'_>,
    ) -> bool {
        if reply == TlsReply::Ready {
            self.tls = Tls::Starting;
        }
        self.drops(behind, effects)
    }

    /// The client says something, if it does.
    pub(super) fn hears(&mut self, bytes: &[u8]) {
        self.tls = match self.tls {
            Tls::Handshake if !bytes.is_empty() => {
                self.hello = None;
                Tls::Anew
            }
            Tls::Implicit if !bytes.is_empty() => Tls::Active,
            same => same,
        };
    }

    /// What the guard itself says to a command, so that the server has no say in TLS.
    pub(super) fn tls_reply(&self, command: &Command<'_>, end: LineEnd) -> Option<TlsReply> {
        match (command.verb, self.tls) {
            (Verb::StartTls, Tls::Cleartext) => self.hides_starttls().then_some(TlsReply::NotHere),
            (Verb::StartTls, Tls::Offered(_)) => Some(match (command.argument, end) {
                (b"", LineEnd::Crlf | LineEnd::Lf) => TlsReply::Ready,
                _ => TlsReply::Parameter,
            }),
            (Verb::StartTls, Tls::Unavailable) => Some(TlsReply::Unavailable),
            (Verb::StartTls, _) => Some(TlsReply::TooLate),
            // Nothing of these depends on what was said before TLS.
            (Verb::Ehlo | Verb::Helo | Verb::Lhlo, _) => None,
            (Verb::Noop | Verb::Rset | Verb::Quit, _) => None,
            (_, Tls::Anew) => Some(TlsReply::HelloFirst),
            _ => None,
        }
    }

    /// The server has answered the NOOP in place of a command about TLS; what the client reads.
    pub(super) fn tls_answered(
        &mut self,
        reply: TlsReply,
        effects: &mut Effects<'_>,
    ) -> &'static str {
        if reply == TlsReply::Ready {
            self.agree(effects);
        }
        reply.line()
    }

    /// The `220` is on its way.
    fn agree(&mut self, effects: &mut Effects<'_>) {
        self.tls = Tls::Handshake;
        self.tracker.forget_offers();
        effects.transport = Transport::StartTls;
        effects.notes.push(Note::StartTls);
    }

    /// Whether `bytes`, all that the client has sent by now and the guard has not taken, are one
    /// command that the host itself is to answer, so that the server hears nothing of it: STARTTLS
    /// as everybody writes it, or under TLS the EHLO from before. Then they are taken, and the
    /// answer is in the effects.
    #[must_use]
    pub fn answered_by_host(&mut self, bytes: &[u8]) -> Option<Effects<'static>> {
        let take = match self.tls {
            Tls::Offered(Voice::Host | Voice::HostAgain) if is_line(bytes) => Self::takes_starttls,
            Tls::Handshake => Self::takes_hello,
            _ => return None,
        };
        let is_idle = self.is_read() && self.held.is_empty() && self.tracker.owed().is_empty();
        (is_idle && self.condemned.is_none()).then(|| take(self, bytes))?
    }

    fn takes_starttls(&mut self, bytes: &[u8]) -> Option<Effects<'static>> {
        let Unit::Command { command, .. } = self.tracker.peek(bytes) else {
            return None;
        };
        let mut effects = Effects::default();
        effects.commands.count(command.verb);
        self.traffic.add(bytes.len(), 0);
        self.tell_command(bytes, &command, LineEnd::Crlf);
        self.tell_arrival(bytes.len());
        self.agree(&mut effects);
        let ready = TlsReply::Ready.line().as_bytes();
        self.transcribed(|transcript| transcript.guard(ready));
        effects.to_client = ready.into();
        Some(effects)
    }

    /// The client has authenticated. The server cannot be made to forget that, so TLS can no longer
    /// make the new start that it has to be.
    pub(super) fn authenticated_for_tls(&mut self) {
        if matches!(self.tls, Tls::Offered(_)) {
            self.tls = Tls::TooLate;
        }
    }

    /// The server has taken EHLO, HELO or LHLO: what the client reads instead of its reply, if
    /// STARTTLS has to be added or taken away.
    pub(super) fn greeted(&mut self, hello: Hello, reply: &[u8]) -> Option<Vec<u8>> {
        if self.tls == Tls::Anew {
            self.tls = Tls::Active;
        }
        if hello == Hello::Helo {
            return None;
        }
        match self.tls {
            Tls::Offered(_) => Some(with_capability(reply, Offer::Once)),
            Tls::Cleartext if !self.hides_starttls() => None,
            _ if offers(reply) => Some(with_capability(reply, Offer::Never)),
            _ => None,
        }
    }

    /// Whether the policy keeps clients from switching to TLS past the guard.
    fn hides_starttls(&self) -> bool {
        self.is_enforced() && self.policy.config().starttls == StartTlsMode::Hide
    }
}

/// Whether this is the command in the one form that has neither spaces nor a bare LF, by which the
/// host knows it by its length.
fn is_line(bytes: &[u8]) -> bool {
    let keyword = bytes.strip_suffix(b"\r\n");
    keyword.is_some_and(|keyword| keyword.eq_ignore_ascii_case(KEYWORD))
}

/// How often the capability is to stand in a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Offer {
    Once,
    Never,
}

fn lines(reply: &[u8]) -> impl Iterator<Item = &[u8]> {
    reply.split_inclusive(|octet| *octet == b'\n')
}

/// Whether a line of an EHLO reply other than the first offers STARTTLS.
fn is_offer(line: &[u8]) -> bool {
    let text = line.get(4..).unwrap_or_default();
    let keyword = text.split(u8::is_ascii_whitespace).next();
    keyword.is_some_and(|keyword| keyword.eq_ignore_ascii_case(KEYWORD))
}

fn offers(reply: &[u8]) -> bool {
    lines(reply).skip(1).any(is_offer)
}

/// An EHLO reply with the capability as often as told; everything else stays in its place.
fn with_capability(reply: &[u8], offer: Offer) -> Vec<u8> {
    let code = reply.get(..3).unwrap_or_default();
    let own = [code, b" ", KEYWORD, b"\r\n"].concat();
    let kept = lines(reply)
        .enumerate()
        .filter(|(index, line)| *index == 0 || !is_offer(line))
        .map(|(_, line)| line);
    let own = Some(own.as_slice()).filter(|_| offer == Offer::Once);
    let all: Vec<&[u8]> = kept.chain(own).collect();
    let mut changed = Vec::with_capacity(reply.len() + KEYWORD.len() + 6);
    for (index, line) in all.iter().enumerate() {
        let (code, rest) = line.split_at_checked(3).unwrap_or((line, b""));
        let rest = match rest {
            [b' ' | b'-', text @ ..] => text,
            bare => bare,
        };
        changed.extend_from_slice(code);
        changed.push(if index + 1 == all.len() { b' ' } else { b'-' });
        changed.extend_from_slice(rest);
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_capability_stands_once_or_never() {
        for (reply, once, never) in [
            ("250 mx\r\n", "250-mx\r\n250 STARTTLS\r\n", "250 mx\r\n"),
            (
                "250-mx\r\n250-SIZE 1\r\n250 DSN\r\n",
                "250-mx\r\n250-SIZE 1\r\n250-DSN\r\n250 STARTTLS\r\n",
                "250-mx\r\n250-SIZE 1\r\n250 DSN\r\n",
            ),
            (
                "250-mx\r\n250-starttls\r\n250-X\r\n250 STARTTLS \r\n",
                "250-mx\r\n250-X\r\n250 STARTTLS\r\n",
                "250-mx\r\n250 X\r\n",
            ),
            (
                "250-STARTTLS\r\n250 STARTTLSX\r\n",
                "250-STARTTLS\r\n250-STARTTLSX\r\n250 STARTTLS\r\n",
                "250-STARTTLS\r\n250 STARTTLSX\r\n",
            ),
            (
                "250-mx\n250\n",
                "250-mx\n250-\n250 STARTTLS\r\n",
                "250-mx\n250 \n",
            ),
        ] {
            let text = |offer| String::from_utf8(with_capability(reply.as_bytes(), offer)).unwrap();
            assert_eq!(text(Offer::Once), once, "{reply:?}");
            assert_eq!(text(Offer::Never), never, "{reply:?}");
            assert!(!offers(never.as_bytes()), "{never:?}");
        }
    }
}
