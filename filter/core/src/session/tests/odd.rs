//! What no honest client sends and no honest server says.

use super::super::{Close, OpaqueCause};
use super::{Talk, UNKNOWN, guesses};
use crate::policy::Rule;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn over_long_lines_pass_as_they_come_and_are_one_command() {
    let mut talk = Talk::in_transaction("{}");
    let long = "X".repeat(1 << 20);
    let mut server = String::new();
    for segment in long.as_bytes().chunks(1000) {
        server += &talk.client(segment);
        assert!(talk.session.held() <= 5096);
    }
    assert_eq!(server, long);
    assert_eq!(
        talk.client("\r\nNOOP\r\n"),
        "\r\n",
        "the next waits for its reply"
    );
    assert_eq!(
        talk.server("500 5.5.2 too long\r\n"),
        "500 5.5.2 too long\r\n"
    );
    assert_eq!(talk.server_reads(), "NOOP\r\n");
}

#[test]
fn an_over_long_recipient_is_still_a_recipient() {
    let mut talk = Talk::in_transaction(r#"{"rcpt": {"max_consecutive": 1}}"#);
    let long = format!("RCPT TO:<{}@example.test>\r\n", "x".repeat(5000));
    assert_eq!(talk.client(&long), long);
    assert!(talk.server("550 5.1.1 unknown\r\n").starts_with("421 "));
}

#[test]
fn lines_that_servers_read_differently_go_one_by_one() {
    for odd in [
        "NOOP\n",
        "NOOP\0\r\n",
        "NOOP\rRSET\r\n",
        "\r\n",
        "XYZZY\r\n",
        "BDAT x\r\n",
    ] {
        let mut talk = Talk::in_transaction("{}");
        assert_eq!(
            talk.client(odd.to_owned() + &guesses(0..100)),
            odd,
            "{odd:?}"
        );
        assert_eq!(talk.server("250 ok\r\n"), "250 ok\r\n");
        assert_eq!(talk.server_reads(), guesses(0..5));
    }
}

#[test]
fn a_client_of_bare_line_feeds_is_served() {
    let mut talk = Talk::with("{}");
    talk.server("220 mx\r\n");
    talk.exchange("EHLO a.test\n", "250 mx\r\n");
    talk.exchange("MAIL FROM:<a@a.test>\n", "250 ok\r\n");
    talk.exchange("RCPT TO:<b@example.test>\n", "250 ok\r\n");
    talk.exchange("DATA\n", "354 go\r\n");
    talk.exchange("hello\n.\n", "250 queued\r\n");
    talk.exchange("QUIT\n", "221 bye\r\n");
    assert_eq!(talk.session.counts().messages, 1);
    assert_eq!(talk.opaque_by(), None);
}

#[test]
fn replies_nobody_owes_end_the_reading_or_the_session() {
    for (reply, cause) in [
        ("250 why?\r\n", OpaqueCause::UnexpectedReply),
        ("garbage\r\n", OpaqueCause::InvalidReply),
        ("HTTP/1.1 400 Bad Request\r\n", OpaqueCause::InvalidReply),
    ] {
        let mut talk = Talk::in_transaction("{}");
        assert_eq!(talk.server(reply), reply);
        assert_eq!(talk.opaque_by(), Some(cause));
        let burst = guesses(0..50);
        assert_eq!(talk.client(&burst), burst);

        let mut strict = Talk::in_transaction(r#"{"desync": "close"}"#);
        assert_eq!(
            strict.server(reply),
            "421 4.7.0 Dialogue out of step, closing connection\r\n"
        );
        assert_eq!(strict.closed_by(), Some(Rule::Desync));
        assert_eq!(strict.close, Close::Linger);
    }
}

#[test]
fn guesses_are_counted_even_where_nothing_pairs() {
    let mut talk = Talk::in_transaction("{}");
    talk.server("250 why?\r\n");
    assert_eq!(talk.opaque_by(), Some(OpaqueCause::UnexpectedReply));
    let others = "550 spam\r\n550 5.7.1 policy\r\n550-5.1.1 not the last line\r\n550 5.7.1 x\r\n";
    for _ in 0..9 {
        assert_eq!(talk.client(guesses(0..1)), guesses(0..1));
        let replies = UNKNOWN.to_owned() + others;
        for octet in replies.as_bytes() {
            assert_eq!(talk.server([*octet]).as_bytes(), [*octet], "nothing waits");
        }
    }
    let read = talk.server("250 ok\r\n550 5.1.1 unknown\r\n250 more\r\n");
    assert_eq!(
        read,
        "250 ok\r\n550 5.1.1 unknown\r\n\
         421 4.7.0 Too many unknown recipients (10), closing connection\r\n"
    );
    assert_eq!(talk.closed_by(), Some(Rule::RcptTotal));
}

#[test]
fn a_refused_recipient_is_never_told_250() {
    let mut talk = Talk::in_transaction(r#"{"rcpt": {"metering": "reply-452"}}"#);
    talk.client(guesses(0..7));
    let read = talk.server("no reply\r\n".to_owned() + &"250 ok\r\n".repeat(7));
    assert_eq!(
        read,
        "421 4.7.0 Dialogue out of step, closing connection\r\n"
    );
}

#[test]
fn a_sentenced_session_ends_whatever_the_server_says() {
    let mut talk = Talk::in_transaction(r#"{"reset": {"mode": "strict"}}"#);
    talk.client("RSET\r\n");
    assert!(talk.server("no reply\r\n").starts_with("502 "));
}

#[test]
fn a_reply_without_end_is_not_kept() {
    let mut talk = Talk::in_transaction("{}");
    talk.client(guesses(0..1));
    let mut read = String::new();
    for _ in 0..100 {
        read += &talk.server(format!("550-{}\r\n", "x".repeat(500)));
        assert!(talk.session.partial_reply.len() <= 8192 + 506);
    }
    assert_eq!(talk.opaque_by(), Some(OpaqueCause::LongReply));
    assert_eq!(read.len(), 100 * 506, "and nothing of it is lost");
}

#[test]
fn a_server_line_without_end_is_not_kept() {
    let mut talk = Talk::in_transaction("{}");
    talk.client(guesses(0..1));
    let mut read = 0;
    for _ in 0..100 {
        read += talk.server("x".repeat(500)).len();
    }
    assert_eq!(talk.opaque_by(), Some(OpaqueCause::LongReply));
    assert_eq!(read, 100 * 500);
}

/// A session in the middle of a message.
fn in_message(policy: &str) -> Talk {
    let mut talk = Talk::in_transaction(policy);
    talk.exchange("RCPT TO:<b@example.test>\r\n", "250 ok\r\n");
    talk.exchange("DATA\r\n", "354 go\r\n");
    talk
}

#[test]
fn a_dot_that_servers_read_differently_does_not_reach_them() {
    for end in ["\n.\n", "\n.\r\n", "\r\n.\n"] {
        let smuggled = format!("x{end}MAIL FROM:<>\r\n{}.\r\n", guesses(0..50));
        let mut talk = in_message("{}");
        assert_eq!(talk.client(&smuggled), "", "{end:?}");
        assert_eq!(talk.closed_by(), Some(Rule::Smuggling));
        assert_eq!(talk.close, Close::Now);
        // In segments only what cannot be the end has passed.
        let mut talk = in_message("{}");
        let octets = smuggled.as_bytes().iter();
        let passed: String = octets.map(|octet| talk.client([*octet])).collect();
        assert!(!passed.contains(&format!("x{end}")), "{end:?}");
        assert_eq!(talk.closed_by(), Some(Rule::Smuggling));
    }
}

#[test]
fn smuggled_commands_end_the_session_where_such_messages_pass() {
    // A server that takes `LF.LF` for the end of data reads the guesses as commands; the second
    // message is there to keep it in step.
    let behind =
        "RCPT TO:<b@example.test>\r\nDATA\r\nx\r\n.\r\n".to_owned() + &"NOOP\r\n".repeat(9);
    for tail in [String::new(), behind] {
        let mut talk = in_message(r#"{"smuggling": "pass"}"#);
        let smuggled = format!("x\n.\nMAIL FROM:<>\r\n{}{tail}", guesses(0..50));
        assert!(smuggled.starts_with(&talk.client(&smuggled)));
        let read = talk.server("250 queued\r\n");
        assert!(read.starts_with("250 queued\r\n"));
        talk.server("250 ok\r\n".to_owned() + &UNKNOWN.repeat(50));
        assert!(talk.closed_by().is_some(), "{tail}");
        assert!(talk.session.counts().rejected <= 5);
    }
}

#[test]
fn a_message_ended_by_bare_line_feeds_is_over_when_the_server_says_so() {
    let mut talk = Talk::in_transaction("{}");
    talk.exchange("RCPT TO:<b@example.test>\r\n", "250 ok\r\n");
    talk.exchange("DATA\n", "354 go\r\n");
    let hidden = format!(
        "NOOP\r\nBDAT 5000\r\n\r\n.\r\nMAIL FROM:<>\r\n{}",
        guesses(0..50)
    );
    assert_eq!(talk.client("x\n.\n".to_owned() + &hidden), "x\n.\n");
    // A server that waits for CRLF.CRLF says nothing, and is sent nothing, not even at the end.
    assert_eq!(talk.client_end(), "");
}

#[test]
fn guesses_cannot_hide_in_a_chunk_that_is_none() {
    for opening in ["HELO x\r\nNOOP\r\n", "AUTH LOGIN\r\nNOOP\r\n"] {
        let mut talk = Talk::in_transaction("{}");
        let hidden = format!("MAIL FROM:<>\r\n{}", guesses(0..50));
        talk.client(format!("{opening}BDAT {}\r\n{hidden}", hidden.len()));
        let sent = talk.client_end();
        assert!(!sent.contains("guess"), "{sent}");
        talk.server("250 ok\r\n250 ok\r\n");
        assert_eq!(talk.closed_by(), Some(Rule::HiddenRcpts));
    }
    // Some servers would read 1 octet, others wait for 4 GiB.
    let mut talk = Talk::in_transaction("{}");
    let sent = talk.client("BDAT 4294967297\r\nx".to_owned() + &guesses(0..50));
    assert_eq!(sent, "BDAT 4294967297\r\n");
}

#[test]
fn white_space_is_what_servers_take_for_it() {
    for guess in [
        "\x0bRCPT TO:<g@example.test>\r\n",
        "RCPT\x0bTO:<g@example.test>\r\n",
    ] {
        let mut talk = Talk::in_transaction("{}");
        for _ in 0..4 {
            talk.exchange(guess, "550 5.1.1 unknown\r\n");
        }
        talk.client(guess);
        assert!(talk.server("550 5.1.1 unknown\r\n").starts_with("421 "));
    }
}

#[test]
fn a_server_may_refuse_a_message_before_its_end() {
    let mut talk = Talk::in_transaction("{}");
    talk.exchange("RCPT TO:<b@example.test>\r\n", "250 ok\r\n");
    talk.exchange("DATA\r\n", "354 go\r\n");
    talk.client("much\r\n");
    assert_eq!(
        talk.server("552 5.3.4 too much\r\n"),
        "552 5.3.4 too much\r\n"
    );
    assert_eq!(
        talk.client("more\r\n.\r\nRSET\r\n"),
        "more\r\n.\r\nRSET\r\n"
    );
    talk.server("250 ok\r\n");
    assert_eq!(talk.opaque_by(), None);
    assert!(talk.session.tracker.owed().is_empty());
}

#[test]
fn a_partial_reply_goes_out_with_the_servers_end() {
    let mut talk = Talk::in_transaction("{}");
    talk.client(guesses(0..1));
    assert_eq!(talk.server("550 5.1"), "");
    assert_eq!(talk.session.server_end().to_client.as_ref(), b"550 5.1");
}

#[test]
fn an_idle_session_is_small() {
    let mut talk = Talk::in_transaction("{}");
    talk.exchange("RCPT TO:<b@example.test>\r\n", "250 ok\r\n");
    assert!(size_of::<super::super::Session>() <= 512);
    let buffers = talk.session.held.capacity() + talk.session.partial_reply.capacity();
    assert_eq!(buffers, 0, "nothing waits, so nothing is kept");
}
