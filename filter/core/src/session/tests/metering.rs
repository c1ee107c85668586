//! Pipelined bursts: the server is asked no more than the session may still get wrong.

use super::super::OpaqueCause;
use super::{Talk, UNKNOWN, guesses};
use crate::policy::Rule;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const KNOWN: &str = "250 2.1.5 Ok\r\n";

#[test]
fn a_burst_of_unknown_names_costs_the_server_its_budget() {
    let mut talk = Talk::in_transaction("{}");
    assert_eq!(talk.client(guesses(0..100)), guesses(0..5));
    for _ in 0..4 {
        assert_eq!(talk.server(UNKNOWN), UNKNOWN);
        assert_eq!(
            talk.server_reads(),
            "",
            "a rejection gives no leave for another guess"
        );
    }
    assert!(talk.server(UNKNOWN).starts_with("421 "));
    assert_eq!(talk.server_reads(), "");
    assert_eq!(talk.session.held(), 0);
}

#[test]
fn a_burst_of_known_names_passes_whole_and_in_order() {
    let mut talk = Talk::in_transaction("{}");
    let burst = guesses(0..100) + "DATA\r\n";
    let mut server = talk.client(&burst);
    let mut client = String::new();
    for n in 0..100 {
        client += &talk.server(format!("250 2.1.5 number {n}\r\n"));
        server += &talk.server_reads();
    }
    assert_eq!(server, burst);
    client += &talk.server("354 go\r\n");
    let expected: String = (0..100)
        .map(|n| format!("250 2.1.5 number {n}\r\n"))
        .collect();
    assert_eq!(client, expected + "354 go\r\n");
    talk.exchange("hello\r\n.\r\n", "250 queued\r\n");
}

#[test]
fn the_smaller_of_both_budgets_counts() {
    let mut talk = Talk::in_transaction(r#"{"rcpt": {"max_consecutive": 5, "max_total": 7}}"#);
    talk.client(guesses(0..5));
    talk.server(UNKNOWN.repeat(4) + KNOWN);
    // Four of seven are used up: three may be in flight.
    assert_eq!(talk.client(guesses(5..20)), guesses(5..8));
    talk.server(KNOWN);
    assert_eq!(talk.server_reads(), guesses(8..9));
}

#[test]
fn without_limits_nothing_waits() {
    let policy = r#"{"rcpt": {"max_consecutive": null, "max_total": null}}"#;
    let mut talk = Talk::in_transaction(policy);
    assert_eq!(talk.client(guesses(0..200)), guesses(0..200));
    assert_eq!(talk.server(UNKNOWN.repeat(200)), UNKNOWN.repeat(200));
}

#[test]
fn what_follows_a_waiting_recipient_waits_behind_it() {
    let mut talk = Talk::in_transaction("{}");
    let burst = guesses(0..6) + "RCPT TO:<postmaster>\r\nRSET\r\nNOOP\r\n";
    assert_eq!(talk.client(&burst), guesses(0..5));
    assert_eq!(talk.server(KNOWN.repeat(5)), KNOWN.repeat(5));
    assert_eq!(
        talk.server_reads(),
        guesses(5..6) + "RCPT TO:<postmaster>\r\nRSET\r\nNOOP\r\n"
    );
}

#[test]
fn the_fallback_answers_what_is_beyond_the_budget() {
    let mut talk = Talk::in_transaction(r#"{"rcpt": {"metering": "reply-452"}}"#);
    let sent = talk.client(guesses(0..8) + "RCPT TO:<postmaster>\r\n");
    assert_eq!(
        sent,
        guesses(0..5) + &"NOOP\r\n".repeat(3) + "RCPT TO:<postmaster>\r\n"
    );
    let replies = KNOWN.repeat(5) + &"250 2.0.0 noop\r\n".repeat(3) + KNOWN;
    let refusal = "452 4.5.3 Too many recipients for now, try this one again\r\n";
    assert_eq!(
        talk.server(replies),
        KNOWN.repeat(5) + &refusal.repeat(3) + KNOWN
    );
    assert_eq!(talk.session.counts().answered, 3);
    assert_eq!(talk.session.counts().tried, 5);
}

#[test]
fn a_client_that_has_closed_its_side_cannot_wait() {
    let mut talk = Talk::in_transaction("{}");
    assert_eq!(talk.client(guesses(0..8) + "QUIT\r\n"), guesses(0..5));
    assert_eq!(talk.client_end(), "NOOP\r\n".repeat(3) + "QUIT\r\n");
    let read = talk.server(KNOWN.repeat(5) + &"250 noop\r\n".repeat(3) + "221 bye\r\n");
    assert_eq!(read.matches("452 4.5.3").count(), 3);
    assert!(read.ends_with("221 bye\r\n"));
}

#[test]
fn a_message_ahead_of_its_354_passes_when_the_client_is_done() {
    let mut talk = Talk::in_transaction("{}");
    let rest = "RCPT TO:<b@example.test>\r\nDATA\r\nhello\r\n.\r\nQUIT\r\n";
    assert_eq!(talk.client(rest), "RCPT TO:<b@example.test>\r\nDATA\r\n");
    assert_eq!(talk.client_end(), "hello\r\n.\r\nQUIT\r\n");
    let replies = "250 ok\r\n354 go\r\n250 queued\r\n221 bye\r\n";
    assert_eq!(talk.server(replies), replies);
}

#[test]
fn refusals_stay_refusals_ahead_of_an_unread_message() {
    let mut talk = Talk::in_transaction("{}");
    talk.client(guesses(0..8) + "DATA\r\nhello\r\n.\r\nQUIT\r\n");
    let sent = talk.client_end();
    assert_eq!(
        sent,
        "NOOP\r\n".repeat(3) + "DATA\r\nhello\r\n.\r\nQUIT\r\n"
    );
    let read = talk.server(KNOWN.repeat(5) + &"250 2.0.0 noop\r\n".repeat(3) + "354 go\r\n");
    assert_eq!(read.matches("452 4.5.3").count(), 3, "{read}");
    assert!(read.ends_with("354 go\r\n"));
    assert_eq!(
        talk.server("250 queued\r\n221 bye\r\n"),
        "250 queued\r\n221 bye\r\n"
    );
    assert_eq!(talk.opaque_by(), Some(OpaqueCause::ClosedAhead));
}

#[test]
fn guesses_cannot_hide_behind_an_unanswered_data() {
    for reply in ["503 5.5.1 no recipients\r\n", "354 go\r\n"] {
        let mut talk = Talk::in_transaction("{}");
        let sent = talk.client("DATA\r\n".to_owned() + &guesses(0..100));
        assert_eq!(sent, "DATA\r\n");
        assert_eq!(talk.client_end(), "");
        assert!(talk.server(reply).starts_with("421 "));
        assert_eq!(talk.closed_by(), Some(Rule::HiddenRcpts));
    }
}

#[test]
fn beyond_the_cap_bytes_stay_with_the_host() {
    let mut talk = Talk::in_transaction(r#"{"limits": {"held": 1024, "command_line": 512}}"#);
    let burst = guesses(0..1000);
    let mut server = talk.client(&burst);
    assert_eq!(server, guesses(0..5));
    assert_eq!(talk.session.held(), 1024);
    assert_eq!(talk.left_with_host(), burst.len() - server.len() - 1024);
    for _ in 0..1000 {
        talk.server(KNOWN);
        server += &talk.server_reads();
        assert!(talk.session.held() <= 1024);
    }
    assert_eq!(server, burst);
    assert_eq!((talk.session.held(), talk.left_with_host()), (0, 0));
}

#[test]
fn replies_owed_are_bounded() {
    let mut talk = Talk::in_transaction(r#"{"limits": {"owed_replies": 16}}"#);
    let burst = "NOOP\r\n".repeat(10_000);
    let mut server = talk.client(&burst);
    assert_eq!(server.len(), 16 * 6);
    for _ in 0..10_000 {
        assert_eq!(talk.server("250 ok\r\n"), "250 ok\r\n");
        server += &talk.server_reads();
    }
    assert_eq!(server, burst);
}

#[test]
fn the_rest_of_a_refused_over_long_recipient_is_no_command() {
    let mut talk = Talk::in_transaction(r#"{"rcpt": {"metering": "reply-452"}}"#);
    talk.client(guesses(0..5));
    let long = "x".repeat(5000);
    assert_eq!(talk.client(format!("RCPT TO:<{long}")), "");
    assert_eq!(talk.client("tail@example.test>\r\n"), "NOOP\r\n");
}
