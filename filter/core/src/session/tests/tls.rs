//! STARTTLS: ended at the gate, hidden, or let pass.

use super::super::{Carrier, Exemption, Note, OpaqueCause, Transport, Voice};
use super::{Talk, UNKNOWN, guesses};
use crate::policy::Rule;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const EHLO: &str = "EHLO a.test\r\n";
const READY: &str = "220 2.0.0 Ready to start TLS\r\n";
const OK: &str = "250 2.0.0 ok\r\n";

/// A session that was greeted.
fn greeted(policy: &str, carrier: Carrier) -> Talk {
    let mut talk = Talk::with(policy);
    talk.session.carried_by(carrier);
    talk.server("220 mx.example.test\r\n");
    talk
}

/// A session whose host can start TLS, which has just been asked to.
fn switched(policy: &str) -> Talk {
    let mut talk = greeted(policy, Carrier::Switchable(Voice::Server));
    talk.client(EHLO);
    talk.server("250-mx\r\n250 CHUNKING\r\n");
    assert_eq!(talk.client("STARTTLS\r\n"), "NOOP\r\n");
    assert_eq!(talk.server(OK), READY);
    assert_eq!(talk.transport, Transport::StartTls);
    talk
}

/// The same after its new EHLO.
fn under_tls(policy: &str) -> Talk {
    let mut talk = switched(policy);
    talk.exchange(EHLO, "250-mx\r\n250 PIPELINING\r\n");
    talk
}

#[test]
fn it_is_offered_once_whatever_the_server_offers() {
    for offered in [
        "250-mx\r\n250 DSN\r\n",
        "250-mx\r\n250-STARTTLS\r\n250 DSN\r\n",
    ] {
        let mut talk = greeted("{}", Carrier::Switchable(Voice::Server));
        talk.client(EHLO);
        assert_eq!(
            talk.server(offered),
            "250-mx\r\n250-DSN\r\n250 STARTTLS\r\n"
        );
    }
    let mut talk = greeted("{}", Carrier::Switchable(Voice::Server));
    talk.exchange("HELO a.test\r\n", "250 mx\r\n");
    talk.exchange(EHLO, "550 5.7.1 no\r\n");
}

#[test]
fn it_is_never_offered_under_tls_and_refused_in_order() {
    let mut implicit = greeted("{}", Carrier::Tls);
    let mut after = switched("{}");
    for talk in [&mut implicit, &mut after] {
        assert_eq!(talk.client(EHLO), EHLO);
        assert_eq!(
            talk.server("250-mx\r\n250-DSN\r\n250 STARTTLS\r\n"),
            "250-mx\r\n250 DSN\r\n"
        );
        let pipelined = "MAIL FROM:<>\r\nSTARTTLS\r\nRSET\r\n";
        assert_eq!(talk.client(pipelined), "MAIL FROM:<>\r\nNOOP\r\nRSET\r\n");
        assert_eq!(
            talk.server("250 mail\r\n250 noop\r\n250 rset\r\n"),
            "250 mail\r\n503 5.5.1 Too late for STARTTLS\r\n250 rset\r\n"
        );
        assert_eq!(talk.opaque_by(), None);
    }
}

#[test]
fn what_stands_behind_it_is_dropped() {
    let behind = "MAIL FROM:<evil@a.test>\r\nRCPT TO:<b@example.test>\r\n";
    let mut talk = greeted("{}", Carrier::Switchable(Voice::Server));
    talk.client(EHLO);
    talk.server("250 mx\r\n");
    assert_eq!(
        talk.client(format!("NOOP\r\nSTARTTLS\r\n{behind}")),
        "NOOP\r\nNOOP\r\n"
    );
    assert_eq!(
        talk.client(behind),
        "",
        "nor does what comes later, before the 220"
    );
    assert_eq!(
        talk.server("250 a\r\n250 b\r\n"),
        format!("250 a\r\n{READY}")
    );
    assert_eq!(talk.session.held(), 0);
    assert_eq!(talk.server_reads(), "");
    let told = |note: &&Note| **note == Note::BehindStartTls;
    assert_eq!(talk.notes.iter().filter(told).count(), 2);
    talk.exchange(EHLO, "250 mx\r\n");
    talk.exchange("MAIL FROM:<>\r\n", "250 ok\r\n");
}

#[test]
fn commands_held_behind_it_are_dropped_too() {
    // Beyond what the guard takes of a burst, octets stay with the host: they must not come back.
    let mut talk = greeted(
        r#"{"limits":{"held":5000}}"#,
        Carrier::Switchable(Voice::Server),
    );
    talk.client(EHLO);
    let burst = format!("STARTTLS\r\n{}", guesses(0..400));
    assert_eq!(talk.client(burst), "", "the EHLO is not answered yet");
    assert!(talk.left_with_host() > 0);
    talk.server("250 mx\r\n");
    assert_eq!(talk.server_reads(), "NOOP\r\n");
    assert_eq!(talk.server(OK), READY);
    assert_eq!((talk.left_with_host(), talk.session.held()), (0, 0));
    assert_eq!(talk.client("NOOP\r\n"), "NOOP\r\n");
}

#[test]
fn the_client_starts_anew() {
    let mut talk = switched("{}");
    assert!(talk.session.awaits_handshake());
    let early = "MAIL FROM:<>\r\nRCPT TO:<b@example.test>\r\nAUTH PLAIN eA==\r\nDATA\r\nBDAT 5\r\n";
    assert_eq!(talk.client(early), "NOOP\r\n".repeat(5));
    assert!(!talk.session.awaits_handshake());
    let refused = "503 5.5.1 Send EHLO again, TLS makes a new start\r\n";
    assert_eq!(talk.server(OK.repeat(5)), refused.repeat(5));
    talk.exchange("NOOP\r\n", "250 ok\r\n");
    talk.exchange("RSET\r\n", "250 ok\r\n");
    talk.exchange(EHLO, "501 5.5.4 no\r\n");
    assert_eq!(
        talk.client("MAIL FROM:<>\r\n"),
        "NOOP\r\n",
        "still none taken"
    );
    talk.server(OK);
    talk.exchange("HELO a.test\r\n", "250 mx\r\n");
    talk.exchange("MAIL FROM:<>\r\n", "250 ok\r\n");
    assert_eq!(
        talk.client("BDAT 5\r\nRSET\r\n"),
        "BDAT 5\r\n",
        "nor does the server's old offer hold"
    );
}

#[test]
fn counters_go_on_under_tls() {
    let mut talk = greeted("{}", Carrier::Switchable(Voice::Server));
    talk.client(EHLO);
    talk.server("250 mx\r\n");
    talk.exchange("MAIL FROM:<>\r\n", "250 ok\r\n");
    talk.client(guesses(0..3));
    talk.server(UNKNOWN.repeat(3));
    talk.client("STARTTLS\r\n");
    talk.server(OK);
    talk.exchange(EHLO, "250 mx\r\n");
    talk.exchange("MAIL FROM:<>\r\n", "250 ok\r\n");
    assert_eq!(talk.client(guesses(3..50)), guesses(3..5));
    assert!(talk.server(UNKNOWN.repeat(2)).contains("421 4.7.0"));
    assert_eq!(talk.closed_by(), Some(Rule::RcptConsecutive));
    assert!(talk.session.record().tls);
}

#[test]
fn a_parameter_is_a_syntax_error() {
    let long = format!("STARTTLS {}", " x".repeat(3000));
    let mut talk = greeted("{}", Carrier::Switchable(Voice::Server));
    talk.client(EHLO);
    talk.server("250 mx\r\n");
    assert_eq!(talk.client("starttls now\r\n"), "NOOP\r\n");
    assert_eq!(talk.server(OK), "501 5.5.4 STARTTLS takes no parameter\r\n");
    // A line too long to wait for reaches the server, but not as what it says.
    assert_eq!(talk.client(&long), format!("NOOP {long}"));
    assert_eq!(talk.client("y\r\nRSET\r\n"), "y\r\n");
    assert_eq!(
        talk.server("500 5.5.2 long\r\n"),
        "501 5.5.4 STARTTLS takes no parameter\r\n"
    );
    assert_eq!(talk.server_reads(), "RSET\r\n");
    assert_eq!(talk.transport, Transport::Stays);
}

#[test]
fn it_is_too_late_once_the_client_has_authenticated() {
    let mut talk = greeted("{}", Carrier::Switchable(Voice::Server));
    talk.client(EHLO);
    talk.server("250-mx\r\n250 AUTH PLAIN\r\n");
    talk.exchange("AUTH PLAIN eA==\r\n", "235 2.7.0 ok\r\n");
    assert_eq!(talk.client("STARTTLS\r\n"), "NOOP\r\n");
    assert_eq!(talk.server(OK), "503 5.5.1 Too late for STARTTLS\r\n");
    talk.client(EHLO);
    assert_eq!(talk.server("250-mx\r\n250 STARTTLS\r\n"), "250 mx\r\n");
}

#[test]
fn a_server_that_goes_instead_has_the_last_word() {
    let mut talk = greeted("{}", Carrier::Switchable(Voice::Server));
    talk.client(EHLO);
    talk.server("250 mx\r\n");
    talk.client("STARTTLS\r\nRSET\r\n");
    assert_eq!(talk.server("421 4.3.2 bye\r\n"), "421 4.3.2 bye\r\n");
    assert_eq!(talk.transport, Transport::Stays);
    assert_eq!(
        talk.client("RSET\r\n"),
        "",
        "plaintext behind STARTTLS all the same"
    );
}

#[test]
fn the_end_of_a_client_that_asked_passes_without_what_it_said_behind() {
    let mut talk = greeted("{}", Carrier::Switchable(Voice::Server));
    talk.client(EHLO);
    talk.server("250 mx\r\n");
    assert_eq!(talk.client("STARTTLS\r\n"), "NOOP\r\n");
    talk.client("RSET\r\nMAIL FR");
    assert_eq!(talk.client_end(), "");
}

#[test]
fn hidden_it_is_neither_offered_nor_taken() {
    let hide = r#"{"starttls":"hide"}"#;
    let mut talk = greeted(hide, Carrier::Cleartext);
    talk.client(EHLO);
    assert_eq!(
        talk.server("250-mx\r\n250-STARTTLS\r\n250 DSN\r\n"),
        "250-mx\r\n250 DSN\r\n"
    );
    assert_eq!(
        talk.client("RSET\r\nStartTLS\r\nNOOP\r\n"),
        "RSET\r\nNOOP\r\nNOOP\r\n"
    );
    assert_eq!(
        talk.server("250 a\r\n250 b\r\n250 c\r\n"),
        "250 a\r\n502 5.5.1 STARTTLS not available\r\n250 c\r\n"
    );
    assert_eq!(talk.opaque_by(), None);
}

#[test]
fn it_is_hidden_only_where_rules_are_carried_out() {
    let exempt = r#"{"starttls":"hide","exempt":{"networks":["203.0.113.0/24"]}}"#;
    for policy in [exempt, r#"{"starttls":"hide","mode":"observe"}"#, "{}"] {
        let mut talk = greeted(policy, Carrier::Cleartext);
        talk.exchange(EHLO, "250-mx\r\n250 STARTTLS\r\n");
        talk.exchange("STARTTLS\r\n", "220 go\r\n");
        assert_eq!(talk.opaque_by(), Some(OpaqueCause::StartTls), "{policy}");
    }
}

#[test]
fn a_host_that_ends_tls_does_so_for_everybody() {
    let exempt = r#"{"exempt":{"networks":["203.0.113.0/24"]}}"#;
    for policy in [exempt, r#"{"mode":"observe"}"#, r#"{"starttls":"hide"}"#] {
        let mut talk = under_tls(policy);
        assert_eq!(talk.client("STARTTLS\r\n"), "NOOP\r\n", "{policy}");
    }
}

#[test]
fn a_verified_client_is_left_alone_if_the_policy_says_so() {
    let policy = r#"{"exempt":{"verified_clients":true}}"#;
    let mut talk = switched(policy);
    assert!(talk.session.asks_for_certificate());
    assert_eq!(
        talk.session.vouch(),
        Some(Note::Exempt(Exemption::Verified))
    );
    talk.exchange(EHLO, "250 mx\r\n");
    talk.exchange("MAIL FROM:<>\r\n", "250 ok\r\n");
    assert_eq!(talk.client(guesses(0..50)), guesses(0..50));
    assert_eq!(talk.server(UNKNOWN.repeat(50)), UNKNOWN.repeat(50));

    let mut later = switched(policy);
    later.exchange(EHLO, "250 mx\r\n");
    assert_eq!(
        later.session.vouch(),
        None,
        "asked once, before its first word"
    );
    assert!(!switched("{}").session.asks_for_certificate());
    let mut implicit = greeted(policy, Carrier::Tls);
    assert!(implicit.session.vouch().is_some());
}

#[test]
fn the_host_answers_where_the_server_owes_nothing() {
    let mut talk = greeted("{}", Carrier::Switchable(Voice::Host));
    talk.client(EHLO);
    talk.server("250-mx\r\n250 CHUNKING\r\n");
    for (bytes, why) in [
        ("STARTTLS\n", "a bare LF"),
        ("STARTTLS \r\n", "a space"),
        ("STARTTLS", "half a line"),
        ("STARTTLS\r\nNOOP\r\n", "more than that"),
        ("NOOP\r\n", "another command"),
    ] {
        let taken = talk.session.answered_by_host(bytes.as_bytes());
        assert!(taken.is_none(), "{why}");
    }
    let effects = talk.session.answered_by_host(b"startTLS\r\n").unwrap();
    assert_eq!(effects.to_client, READY.as_bytes());
    assert!(effects.to_server.is_empty());
    assert_eq!(effects.transport, Transport::StartTls);
    assert_eq!(effects.notes, [Note::StartTls]);
    assert!(talk.session.awaits_handshake());
    assert!(talk.session.answered_by_host(b"STARTTLS\r\n").is_none());
    assert_eq!(
        talk.client("BDAT 3\r\n"),
        "NOOP\r\n",
        "offers are forgotten"
    );
    assert_eq!(
        talk.server(OK),
        "503 5.5.1 Send EHLO again, TLS makes a new start\r\n",
        "and so is the EHLO"
    );
    talk.exchange(EHLO, "250 mx\r\n");
    assert_eq!(talk.client("STARTTLS\r\n"), "NOOP\r\n");
    assert_eq!(talk.server(OK), "503 5.5.1 Too late for STARTTLS\r\n");
}

#[test]
fn the_host_does_not_answer_before_the_server_has() {
    let host = Carrier::Switchable(Voice::Host);
    let mut early = Talk::with("{}");
    early.session.carried_by(host);
    let mut owed = greeted("{}", host);
    owed.client("NOOP\r\n");
    let mut in_message = greeted("{}", host);
    in_message.exchange("DATA\r\n", "354 go\r\n");
    let mut begun = greeted("{}", host);
    begun.client("NO");
    let mut server = greeted("{}", Carrier::Switchable(Voice::Server));
    let mut clear = greeted("{}", Carrier::Cleartext);
    for (talk, why) in [
        (&mut early, "it was not greeted"),
        (&mut owed, "a reply is owed"),
        (&mut in_message, "it is in a message"),
        (&mut begun, "a line was begun"),
        (&mut server, "the host cannot"),
        (&mut clear, "TLS cannot be started"),
    ] {
        let taken = talk.session.answered_by_host(b"STARTTLS\r\n");
        assert!(taken.is_none(), "{why}");
    }
    // Then it takes the other way.
    assert_eq!(owed.client("STARTTLS\r\n"), "NOOP\r\n");
    assert_eq!(
        owed.server("250 a\r\n250 b\r\n"),
        format!("250 a\r\n{READY}")
    );
}

#[test]
fn where_tls_should_be_and_is_not_the_client_may_try_later() {
    for policy in ["{}", r#"{"starttls":"hide"}"#, r#"{"mode":"observe"}"#] {
        let mut talk = greeted(policy, Carrier::Unavailable);
        talk.client(EHLO);
        assert_eq!(
            talk.server("250-mx\r\n250-STARTTLS\r\n250 DSN\r\n"),
            "250-mx\r\n250 DSN\r\n",
            "{policy}"
        );
        let pipelined = "MAIL FROM:<>\r\nSTARTTLS\r\nRSET\r\n";
        assert_eq!(talk.client(pipelined), "MAIL FROM:<>\r\nNOOP\r\nRSET\r\n");
        assert_eq!(
            talk.server("250 mail\r\n250 noop\r\n250 rset\r\n"),
            "250 mail\r\n454 4.7.0 TLS not available due to temporary reason\r\n250 rset\r\n"
        );
        assert!(talk.session.answered_by_host(b"STARTTLS\r\n").is_none());
    }
}
