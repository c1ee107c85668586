//! Honest dialogues pass untouched, and are read right.

use super::super::OpaqueCause;
use super::{Talk, UNKNOWN, guesses};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// Dots, commands and bare line ends that are no commands here.
const BODY: &str = "Subject: x\r\n\r\n..\r\nRCPT TO:<x@y>\r\nRSET\r\nQUIT\r\na\nb\n.c\r\n";

#[test]
fn messages_are_not_read_as_commands() {
    let mut talk = Talk::in_transaction("{}");
    talk.exchange("RCPT TO:<b@example.test>\r\n", "250 ok\r\n");
    talk.exchange("DATA\r\n", "354 go\r\n");
    let message = BODY.to_owned() + ".\r\nMAIL FROM:<c@a.test>\r\n";
    assert_eq!(talk.client(&message), message);
    talk.server("250 queued\r\n250 ok\r\n");
    assert_eq!(talk.session.counts().messages, 1);
    assert_eq!(talk.opaque_by(), None);
    talk.client(guesses(0..5));
    assert!(
        talk.server(UNKNOWN.repeat(5)).contains("421 "),
        "commands are read again"
    );
}

#[test]
fn a_refused_data_is_followed_by_commands() {
    let mut talk = Talk::in_transaction("{}");
    assert_eq!(
        talk.client("DATA\r\nRSET\r\n"),
        "DATA\r\n",
        "what follows waits for the reply"
    );
    assert_eq!(
        talk.server("554 5.5.1 no valid recipients\r\n"),
        "554 5.5.1 no valid recipients\r\n"
    );
    assert_eq!(talk.server_reads(), "RSET\r\n");
    talk.server("250 ok\r\n");
    assert_eq!(talk.opaque_by(), None);
}

#[test]
fn chunks_pass_by_length() {
    let mut talk = Talk::in_transaction("{}");
    talk.exchange("RCPT TO:<b@example.test>\r\n", "250 ok\r\n");
    let first = format!("BDAT {}\r\n{BODY}", BODY.len());
    let last = format!("BDAT {} LAST\r\n{BODY}BDAT 0\r\nRSET\r\n", BODY.len());
    assert_eq!(talk.client(&first), first);
    assert_eq!(talk.client(&last), last, "chunks may be pipelined");
    let replies = "250 ok\r\n250 queued\r\n503 no\r\n250 ok\r\n";
    assert_eq!(talk.server(replies), replies);
    assert_eq!(talk.session.counts().messages, 1);
    assert!(talk.session.tracker.owed().is_empty());
}

#[test]
fn chunks_are_commands_to_a_server_without_chunking() {
    let mut talk = Talk::with("{}");
    talk.server("220 mx\r\n");
    talk.exchange("EHLO a.test\r\n", "250-mx\r\n250 PIPELINING\r\n");
    talk.exchange("MAIL FROM:<>\r\n", "250 ok\r\n");
    let hidden = format!("BDAT 5000\r\n{}", guesses(0..100));
    assert_eq!(talk.client(hidden), "BDAT 5000\r\n");
    talk.server("500 5.5.2 what?\r\n");
    assert_eq!(talk.server_reads(), guesses(0..5), "and are metered");
}

#[test]
fn auth_dialogues_pass() {
    let mut talk = Talk::with("{}");
    talk.server("220 mx\r\n");
    talk.exchange("EHLO a.test\r\n", "250-mx\r\n250 AUTH LOGIN\r\n");
    talk.exchange("AUTH LOGIN\r\n", "334 VXNlcm5hbWU6\r\n");
    talk.exchange("UlNFVA==\r\n", "334 UGFzc3dvcmQ6\r\n");
    // A secret that reads like a command, in two segments.
    assert_eq!(talk.client("RS"), "RS");
    talk.exchange("ET\r\n", "535 5.7.8 no\r\n");
    talk.exchange("AUTH LOGIN\r\n", "334 VXNlcm5hbWU6\r\n");
    talk.exchange("*\r\n", "501 5.7.0 cancelled\r\n");
    talk.exchange("MAIL FROM:<a@a.test>\r\n", "250 ok\r\n");
    assert!(talk.session.tracker.owed().is_empty());
}

#[test]
fn after_starttls_nothing_is_read() {
    let mut talk = Talk::in_transaction("{}");
    talk.exchange("STARTTLS\r\n", "454 4.7.0 not now\r\n");
    assert_eq!(talk.opaque_by(), None);
    assert_eq!(talk.client("STARTTLS\r\nrest"), "STARTTLS\r\n");
    assert_eq!(talk.server("220 go\r\n"), "220 go\r\n");
    assert_eq!(talk.server_reads(), "rest");
    assert_eq!(talk.opaque_by(), Some(OpaqueCause::StartTls));
    talk.exchange("\x16\x03\x01 any\r\nRSET\n", "\x16\x03\x03 bytes\r\n99\n");
    assert!(talk.session.is_opaque());
}

#[test]
fn lmtp_answers_once_for_each_recipient() {
    let mut talk = Talk::with("{}");
    talk.server("220 mx\r\n");
    talk.exchange("LHLO a.test\r\n", "250-mx\r\n250 CHUNKING\r\n");
    for message in ["DATA", "BDAT 2 LAST"] {
        talk.exchange("MAIL FROM:<a@a.test>\r\n", "250 ok\r\n");
        talk.exchange("RCPT TO:<b@example.test>\r\n", "250 ok\r\n");
        talk.exchange(&guesses(0..1), "550 5.1.1 unknown\r\n");
        talk.exchange("RCPT TO:<c@example.test>\r\n", "250 ok\r\n");
        if message == "DATA" {
            talk.exchange("DATA\r\n", "354 go\r\n");
            talk.client("x\r\n.\r\n");
        } else {
            talk.client("BDAT 2 LAST\r\nxx");
        }
        assert_eq!(
            talk.server("250 b\r\n452 4.2.2 c\r\n"),
            "250 b\r\n452 4.2.2 c\r\n"
        );
        assert!(talk.session.tracker.owed().is_empty());
        assert_eq!(talk.opaque_by(), None);
    }
}

#[test]
fn a_greeting_in_parts_is_not_held_back() {
    let mut talk = Talk::with("{}");
    assert_eq!(
        talk.server("220-mx.example.test\r\n22"),
        "220-mx.example.test\r\n"
    );
    assert_eq!(
        talk.server("0 mx.example.test\r\n"),
        "220 mx.example.test\r\n"
    );
    talk.exchange("HELP\r\n", "214-long\r\n214-text\r\n214 end\r\n");
    assert_eq!(talk.opaque_by(), None);
}

#[test]
fn early_talkers_pass_untouched() {
    let mut talk = Talk::with("{}");
    assert_eq!(talk.client("EHLO bot\r\nMAIL FROM:<>\r\n"), "EHLO bot\r\n");
    assert_eq!(talk.server("220 mx\r\n250 mx\r\n"), "220 mx\r\n250 mx\r\n");
    assert_eq!(talk.server_reads(), "MAIL FROM:<>\r\n");
}

#[test]
fn replies_to_recipients_may_have_many_lines() {
    let mut talk = Talk::in_transaction("{}");
    for n in 0..4 {
        talk.client(guesses(n..n + 1));
        assert_eq!(
            talk.server("550-5.1.1 no\r\n"),
            "",
            "held until it is whole"
        );
        assert_eq!(
            talk.server("550 5.1.1 really\r\n"),
            "550-5.1.1 no\r\n550 5.1.1 really\r\n"
        );
    }
    talk.client(guesses(4..5));
    talk.server("550-5.1.1 no\r\n");
    assert!(talk.server("550 5.1.1 really\r\n").starts_with("421 "));
}

#[test]
fn lmtp_chunks_out_of_order_are_refused_once() {
    let mut talk = Talk::with("{}");
    talk.server("220 mx\r\n");
    talk.exchange("LHLO a.test\r\n", "250-mx\r\n250 CHUNKING\r\n");
    talk.exchange("MAIL FROM:<a@a.test>\r\n", "250 ok\r\n");
    for _ in 0..2 {
        talk.exchange("RCPT TO:<b@example.test>\r\n", "250 ok\r\n");
    }
    talk.exchange("MAIL FROM:<a@a.test>\r\n", "503 nested\r\n");
    talk.exchange("BDAT 2\r\nxx", "552 too much\r\n");
    talk.exchange("BDAT 2 LAST\r\nxx", "503 no transaction\r\n");
    talk.exchange("RSET\r\n", "250 ok\r\n");
    talk.exchange("BDAT 0 LAST\r\n", "503 no transaction\r\n");
    talk.exchange("LHLO a.test\r\n", "250 mx\r\n");
    assert!(talk.session.tracker.owed().is_empty());
    assert_eq!(talk.opaque_by(), None);
}
