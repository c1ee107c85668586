//! Dialogues that pass untouched, for those who count what that costs.

use portcullis_core::ledger::{Account, Entry, Heard};
use portcullis_core::policy::Policy;
use portcullis_core::session::Session;
use std::rc::Rc;

/// What each side says, in turn.
pub(crate) type Dialogue<'a> = &'a [(&'a [u8], &'a [u8])];

pub(crate) const OPENING: Dialogue<'_> = &[
    (b"", b"220 mx.example.test ESMTP\r\n"),
    (
        b"EHLO client.example.test\r\n",
        b"250-mx.example.test\r\n250-PIPELINING\r\n250 CHUNKING\r\n",
    ),
];

const OK: &[u8] = b"250 2.0.0 Ok\r\n";
const MAIL: &[u8] = b"MAIL FROM:<sender@client.example.test> SIZE=4096\r\n";
const RCPT: &[u8] = b"RCPT TO:<Alice@Example.Test>\r\n";

/// Each can be had again and again after [`OPENING`].
pub(crate) const SHAPES: [(&str, Dialogue<'_>); 6] = [
    (
        "a message",
        &[
            (MAIL, OK),
            (RCPT, OK),
            (b"DATA\r\n", b"354 go\r\n"),
            (b"Subject: x\r\n\r\n..dots\r\nx\r\n.\r\n", OK),
        ],
    ),
    (
        "pipelined commands",
        &[
            (
                b"MAIL FROM:<a@client.test>\r\nRCPT TO:<a@example.test>\r\n\
                  RCPT TO:<b@example.test>\r\nRCPT TO:<c@example.test>\r\nDATA\r\n",
                b"250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n",
            ),
            (b"x\r\n.\r\n", OK),
        ],
    ),
    (
        "chunks",
        &[
            (MAIL, OK),
            (RCPT, OK),
            (b"BDAT 5\r\nab\r\nc", OK),
            (b"BDAT 2 LAST\r\n\r\n", OK),
        ],
    ),
    (
        "commands without a message",
        &[
            (b"NOOP\r\n", OK),
            (b"VRFY alice\r\n", b"252 2.0.0 alice\r\n"),
            (b"RSET\r\n", OK),
            (b"EHLO again.test\r\n", b"250-mx\r\n250 CHUNKING\r\n"),
            (b"HELP\r\n", b"214-help\r\n214 is here\r\n"),
        ],
    ),
    (
        "recipients that are refused",
        &[
            (MAIL, OK),
            (
                b"RCPT TO:<sales@example.test>\r\n",
                b"450 4.2.0 Greylisted\r\n",
            ),
            (b"RSET\r\n", OK),
        ],
    ),
    (
        "a message in pieces",
        &[
            (MAIL, OK),
            (RCPT, OK),
            (b"DATA\r\n", b"354 go\r\n"),
            (b"a line\r\n.", b""),
            (b".\r", b""),
            (b"\n.\r\n", OK),
        ],
    ),
];

/// A session of a client that is remembered, on a worker that remembers unknown names.
pub(crate) fn session(policy: &[u8]) -> Session {
    let policy = Rc::new(Policy::read(policy).unwrap());
    let client = "203.0.113.7".parse().unwrap();
    let watch = Rc::new(policy.watch());
    watch.tell_time(1_000_000);
    watch.heard(
        policy.client(client),
        Some(b"nobody@example.test"),
        Heard::Unknown,
    );
    let account = Account::new(policy.client(client), Entry::default(), watch);
    let (mut session, _) = Session::new(policy, Some(client));
    session.charge_to(Rc::new(account));
    session
}

/// Plays a dialogue, all of which has to pass; how many commands were read.
pub(crate) fn play(session: &mut Session, dialogue: Dialogue<'_>) -> u64 {
    let mut commands = 0;
    for (client, server) in dialogue {
        let said = session.client_bytes(client);
        assert!(is_untouched(&said.to_server, client));
        commands += said
            .commands
            .by_verb()
            .iter()
            .copied()
            .map(u64::from)
            .sum::<u64>();
        let said = session.server_bytes(server);
        assert!(is_untouched(&said.to_client, server));
    }
    commands
}

/// Whether it is the very same octets, not a copy of them: nobody has to compare them then.
pub(crate) fn is_untouched(passed: &[u8], given: &[u8]) -> bool {
    std::ptr::eq(passed, given) || passed.is_empty() && given.is_empty()
}
