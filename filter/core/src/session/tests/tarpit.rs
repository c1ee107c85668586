//! Listed clients that the guard keeps busy.

use super::super::{Close, Door, Note};
use super::Talk;
use crate::policy::Rule;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn detained() -> Talk {
    let mut talk = Talk::with(r#"{"tarpit": {"sessions": 1}}"#);
    let (door, notes) = talk.session.detain(Rule::Ledger);
    assert_eq!(door, Door::Refused);
    assert!(matches!(&notes[..], [Note::Detained(verdict)] if verdict.rule == Rule::Ledger));
    assert_eq!(talk.server("PROXY TCP4 1 2 3 4\r\n"), "220 ESMTP\r\n");
    talk
}

/// What the client reads next, by way of the echo.
fn answer(talk: &mut Talk) -> String {
    let effects = talk.session.answer();
    talk.close = talk.close.max(effects.close);
    let sent = effects.to_server.into_owned();
    talk.server(sent)
}

#[test]
fn each_command_has_its_answer_and_nothing_is_accepted() {
    let mut talk = detained();
    for (command, expected) in [
        ("EHLO bot\r\n", "250 "),
        ("MAIL FROM:<a@b.test>\r\n", "250 "),
        ("RCPT TO:<info@example.test>\r\n", "450 "),
        ("DATA\r\n", "503 "),
        ("BDAT 5 LAST\r\n", "503 "),
        ("VRFY info\r\n", "252 "),
        ("AUTH PLAIN AAA=\r\n", "502 "),
        ("STARTTLS\r\n", "502 "),
        ("RSET\n", "250 "),
        ("what\r\n", "500 "),
    ] {
        assert!(!talk.session.has_answer());
        assert_eq!(talk.client(command), "", "nothing goes on by itself");
        assert!(talk.session.has_answer());
        let read = answer(&mut talk);
        assert!(
            read.starts_with(expected) && read.ends_with("\r\n"),
            "{command}: {read}"
        );
        assert_eq!(talk.close, Close::Keep);
    }
    talk.client("QUIT\r\nNOOP\r\n");
    assert!(answer(&mut talk).starts_with("221 "));
    assert_eq!(talk.close, Close::Linger);
    assert!(!talk.session.has_answer(), "nothing behind QUIT");
    talk.client("NOOP\r\n");
    assert!(!talk.session.has_answer());
}

#[test]
fn commands_in_any_pieces_are_answered_in_their_order() {
    let all = b"EHLO bot\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nQUIT\r\n";
    for cut in 0..all.len() {
        let mut talk = detained();
        talk.client(&all[..cut]);
        talk.client(&all[cut..]);
        let codes: String = (0..4).map(|_| answer(&mut talk)[..4].to_owned()).collect();
        assert_eq!(codes, "250 250 450 221 ", "{cut}");
    }
}

#[test]
fn what_a_client_sends_ahead_is_bounded() {
    let mut talk = detained();
    talk.client("NOOP\r\n".repeat(100));
    assert_eq!(talk.left_with_host(), (100 - 32) * 6);
    assert_eq!(answer(&mut talk), "250 Ok\r\n");
    talk.client("");
    assert_eq!(talk.left_with_host(), (100 - 33) * 6);
    let mut long = detained();
    long.client("x".repeat(1_000_000));
    assert_eq!(long.left_with_host(), 0);
    long.client("\r\n");
    assert!(answer(&mut long).starts_with("500 "));
}

#[test]
fn after_its_time_the_client_is_let_go() {
    let mut talk = detained();
    talk.client("NOOP\r\nNOOP\r\n");
    let effects = talk.session.let_go();
    assert_eq!(effects.close, Close::Linger);
    let sent = effects.to_server.into_owned();
    assert!(talk.server(sent).starts_with("421 4.7.1 "));
    assert!(!talk.session.has_answer());
    assert!(talk.session.let_go().to_server.is_empty(), "once");
}

#[test]
fn one_that_said_nothing_is_let_go_without_a_word() {
    let mut talk = detained();
    let effects = talk.session.let_go();
    assert_eq!(effects.close, Close::Now);
    assert!(effects.to_server.is_empty());
}

#[test]
fn a_client_that_leaves_is_not_kept() {
    let mut talk = detained();
    talk.client_end();
    assert_eq!(talk.close, Close::Now);
    let record = serde_json::to_value(talk.session.record()).unwrap();
    assert_eq!(record["verdict"], "detain");
}

#[test]
fn who_is_exempt_or_only_observed_is_not_detained() {
    for policy in [
        r#"{"exempt": {"networks": ["203.0.113.0/24"]}}"#,
        r#"{"mode": "observe"}"#,
    ] {
        let mut talk = Talk::with(policy);
        assert_eq!(talk.session.detain(Rule::Ledger).0, Door::Admitted);
        assert_eq!(talk.server("220 mx\r\n"), "220 mx\r\n");
    }
}
