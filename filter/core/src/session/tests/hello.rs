//! The first EHLO under TLS: answered by what the server said to the one before, or not.

use super::super::{Carrier, Cut, Transport, Voice};
use super::Talk;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const EHLO: &str = "EHLO a.test\r\n";
const REPLY: &str = "250-mx\r\n250-STARTTLS\r\n250-SIZE 1\r\n250 CHUNKING\r\n";
const UNDER_TLS: &str = "250-mx\r\n250-SIZE 1\r\n250 CHUNKING\r\n";
const READY: &str = "220 2.0.0 Ready to start TLS\r\n";

fn greeted(policy: &str, voice: Voice) -> Talk {
    let mut talk = Talk::with(policy);
    talk.session.carried_by(Carrier::Switchable(voice));
    talk.server("220 mx.example.test\r\n");
    talk
}

/// A session whose EHLO the server has answered.
fn introduced(policy: &str) -> Talk {
    let mut talk = greeted(policy, Voice::HostAgain);
    talk.client(EHLO);
    talk.server(REPLY);
    talk
}

/// What the host has to say to these bytes, if it is its turn.
fn by_host(talk: &mut Talk, bytes: &str) -> Option<String> {
    let effects = talk.session.answered_by_host(bytes.as_bytes())?;
    assert!(effects.to_server.is_empty() && effects.left == 0);
    assert_eq!(
        effects.commands.by_verb().iter().sum::<u16>(),
        1,
        "it is counted"
    );
    Some(super::text(effects.to_client.into_owned()))
}

/// STARTTLS, with the server's help where it is needed.
fn switch(talk: &mut Talk) {
    if by_host(talk, "STARTTLS\r\n").is_none() {
        assert_eq!(talk.client("STARTTLS\r\n"), "NOOP\r\n");
        assert_eq!(talk.server("250 ok\r\n"), READY);
    }
    assert!(talk.session.awaits_handshake());
}

/// Whether the server has to be asked for what the client says first under TLS.
fn asks_the_server(talk: &mut Talk, first: &str) -> bool {
    let answered = by_host(talk, first).is_some();
    if !answered {
        assert_ne!(talk.client(first), "", "it goes on, as it is or as a NOOP");
    }
    assert!(talk.session.hello.is_none(), "what was said is forgotten");
    !answered
}

#[test]
fn the_server_is_not_asked_again_what_it_has_just_said() {
    let exempt = r#"{"exempt":{"networks":["203.0.113.0/24"]}}"#;
    for policy in ["{}", r#"{"mode":"observe"}"#, exempt] {
        let mut talk = introduced(policy);
        assert_eq!(by_host(&mut talk, "STARTTLS\r\n").as_deref(), Some(READY));
        assert_eq!(by_host(&mut talk, EHLO).as_deref(), Some(UNDER_TLS));
        assert!(by_host(&mut talk, EHLO).is_none(), "once");
        assert_eq!(talk.server_reads(), "", "{policy}");
        assert!(!talk.session.awaits_handshake());
        // All is as if the server had said it: its offers hold, and TLS has been started.
        talk.exchange("MAIL FROM:<>\r\n", "250 ok\r\n");
        assert_eq!(
            talk.client("BDAT 6 LAST\r\nRSET\r\n"),
            "BDAT 6 LAST\r\nRSET\r\n"
        );
        talk.server("250 taken\r\n");
        assert_eq!(talk.client("STARTTLS\r\n"), "NOOP\r\n");
        assert_eq!(
            talk.server("250 ok\r\n"),
            "503 5.5.1 Too late for STARTTLS\r\n"
        );
        talk.exchange(EHLO, UNDER_TLS);
        assert!(talk.session.record().tls);
    }
}

#[test]
fn a_reply_without_starttls_is_said_to_the_octet() {
    let mut talk = greeted("{}", Voice::HostAgain);
    talk.client(EHLO);
    let odd = "250-mx  at your service \r\n250-\r\n250-X-Y\tz\r\n250\r\n";
    talk.server(odd);
    switch(&mut talk);
    assert_eq!(by_host(&mut talk, EHLO).as_deref(), Some(odd));
}

#[test]
fn it_does_not_matter_by_whom_starttls_was_answered() {
    let mut talk = greeted("{}", Voice::HostAgain);
    assert_eq!(
        talk.client("NOOP\r\nEHLO a.test\r\nSTARTTLS\r\n"),
        "NOOP\r\nEHLO a.test\r\n"
    );
    talk.server("250 ok\r\n");
    talk.server(REPLY);
    assert_eq!(talk.server_reads(), "NOOP\r\n");
    assert_eq!(talk.server("250 ok\r\n"), READY);
    assert_eq!(talk.transport, Transport::StartTls);
    assert_eq!(by_host(&mut talk, EHLO).as_deref(), Some(UNDER_TLS));
}

#[test]
fn another_first_word_goes_to_the_server() {
    for first in [
        "EHLO b.test\r\n",
        "EHLO A.TEST\r\n",
        "ehlo a.test\r\n",
        "EHLO  a.test\r\n",
        "EHLO a.test \r\n",
        "EHLO a.test\n",
        "HELO a.test\r\n",
        "LHLO a.test\r\n",
        "NOOP\r\n",
        "MAIL FROM:<>\r\n",
        "EHLO a.test\r\nMAIL FROM:<>\r\n",
    ] {
        let mut talk = introduced("{}");
        switch(&mut talk);
        assert!(asks_the_server(&mut talk, first), "{first:?}");
        assert!(by_host(&mut talk, EHLO).is_none(), "{first:?}");
    }
    // In pieces it is not known again.
    let mut talk = introduced("{}");
    switch(&mut talk);
    assert_eq!(talk.client("EHLO a.te"), "");
    assert!(by_host(&mut talk, "st\r\n").is_none());
    assert_eq!(talk.client("st\r\n"), EHLO);
}

#[test]
fn a_server_that_may_stand_elsewhere_is_asked() {
    let long = format!("250-{}\r\n250 x\r\n", "x".repeat(1024));
    let stray = "EHLO a.test\r.b.test\r\n";
    for (said, reply, why) in [
        ("MAIL FROM:<>\r\n", "250 ok\r\n", "a transaction was begun"),
        ("MAIL FROM:<>\r\n", "503 no\r\n", "or tried"),
        ("RSET\r\n", "250 ok\r\n", "the session was reset"),
        ("RCPT TO:<a@b>\r\n", "503 no\r\n", "a recipient was named"),
        ("VRFY a\r\n", "252 maybe\r\n", "a name was looked up"),
        ("AUTH PLAIN eA==\r\n", "535 no\r\n", "AUTH failed"),
        (
            "XCLIENT NAME=x\r\n",
            "220 mx\r\n",
            "nobody knows what it does",
        ),
        (
            "HELO a.test\r\n",
            "250 mx\r\n",
            "the last greeting was HELO",
        ),
        ("LHLO a.test\r\n", "250 mx\r\n", "or LHLO"),
        ("EHLO b.test\r\n", REPLY, "another EHLO was the last"),
        ("EHLO b.test\r\n", "501 no\r\n", "or was refused"),
        (EHLO, "550 no\r\n", "the same was refused"),
        (EHLO, "251 mx\r\n", "another code took it"),
        (EHLO, long.as_str(), "the reply is long"),
        (stray, REPLY, "servers read it differently"),
    ] {
        let mut talk = introduced("{}");
        assert_ne!(talk.client(said), "");
        talk.server(reply);
        switch(&mut talk);
        let first = if said == stray { stray } else { EHLO };
        assert!(asks_the_server(&mut talk, first), "{why}");
    }
    // What it is asked in between, and does not change where it stands.
    let mut talk = introduced("{}");
    talk.exchange("NOOP\r\n", "250 ok\r\n");
    assert_eq!(talk.client("STARTTLS x\r\n"), "NOOP\r\n");
    talk.server("250 ok\r\n");
    switch(&mut talk);
    assert!(!asks_the_server(&mut talk, EHLO));
}

#[test]
fn the_longest_that_is_remembered_fits() {
    for (octets, asks) in [(1024, false), (1025, true)] {
        let mut talk = greeted("{}", Voice::HostAgain);
        talk.client(EHLO);
        talk.server(format!("250 {}\r\n", "x".repeat(octets - EHLO.len() - 6)));
        switch(&mut talk);
        assert_eq!(asks_the_server(&mut talk, EHLO), asks, "{octets}");
        let name = "a".repeat(octets - 7 - "250 x\r\n".len());
        let ehlo = format!("EHLO {name}\r\n");
        let mut talk = greeted("{}", Voice::HostAgain);
        talk.client(&ehlo);
        talk.server("250 x\r\n");
        switch(&mut talk);
        assert_eq!(asks_the_server(&mut talk, &ehlo), asks, "{octets}");
    }
}

#[test]
fn hosts_that_cannot_answer_under_tls_are_not_made_to() {
    for voice in [Voice::Server, Voice::Host] {
        let mut talk = greeted("{}", voice);
        talk.client(EHLO);
        talk.server(REPLY);
        assert!(talk.session.hello.is_none(), "nor is anything kept");
        switch(&mut talk);
        assert!(asks_the_server(&mut talk, EHLO), "{voice:?}");
    }
    // Nor is it where TLS has not come about here.
    for carrier in [Carrier::Cleartext, Carrier::Tls, Carrier::Unavailable] {
        let mut talk = Talk::with("{}");
        talk.session.carried_by(carrier);
        talk.server("220 mx.example.test\r\n");
        for _ in 0..2 {
            assert!(asks_the_server(&mut talk, EHLO), "{carrier:?}");
            talk.server("250 mx\r\n");
        }
    }
}

#[test]
fn a_server_that_goes_and_a_session_that_ends_are_left_to_it() {
    let mut going = introduced("{}");
    switch(&mut going);
    assert_eq!(going.server("421 4.3.2 bye\r\n"), "421 4.3.2 bye\r\n");
    assert!(asks_the_server(&mut going, EHLO));
    let mut gone = introduced("{}");
    switch(&mut gone);
    gone.session.server_end();
    assert!(asks_the_server(&mut gone, EHLO));
    let mut listed = introduced(r#"{"dnsbl":{"sites":["bl.test"]}}"#);
    switch(&mut listed);
    let listing = super::door::listing();
    assert_eq!(listed.session.found_listed(listing), []);
    assert!(by_host(&mut listed, EHLO).is_none());
    assert_eq!(listed.client(EHLO), "NOOP\r\n");
    assert!(listed.server("250 ok\r\n").starts_with("554 5.7.1 "));
    let mut cut = introduced("{}");
    cut.session.charge_to(super::ledger::account("{}"));
    switch(&mut cut);
    let (what, _) = cut.session.cut();
    assert_eq!(what, Cut::Now);
    assert!(by_host(&mut cut, EHLO).is_none());
    assert_eq!(cut.client(EHLO), "");
}

#[test]
fn nothing_is_kept_once_it_is_of_no_use() {
    let mut talk = introduced("{}");
    assert!(talk.session.hello.is_some());
    talk.exchange("MAIL FROM:<>\r\n", "250 ok\r\n");
    assert!(talk.session.hello.is_none());
}
