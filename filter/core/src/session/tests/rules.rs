//! Which sessions are closed, when, and with what last word.

use super::super::{Close, Exemption, Note};
use super::{Talk, UNKNOWN, guesses};
use crate::policy::Rule;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn the_fifth_unknown_recipient_in_a_row_is_the_last() {
    for reply in [
        UNKNOWN,
        "550 5.1.1 User unknown\r\n",
        "450 4.1.1 unknown\r\n",
    ] {
        let mut talk = Talk::in_transaction("{}");
        for n in 0..4 {
            talk.exchange(&guesses(n..n + 1), reply);
        }
        talk.client(guesses(4..5));
        assert_eq!(
            talk.server(reply),
            "421 4.7.0 Too many unknown recipients in a row (5), closing connection\r\n"
        );
        assert_eq!(talk.closed_by(), Some(Rule::RcptConsecutive));
        assert_eq!(talk.close, Close::Linger);
        assert_eq!(talk.session.counts().tried, 5);
    }
}

#[test]
fn nothing_passes_after_the_last_word() {
    let mut talk = Talk::in_transaction("{}");
    talk.client(guesses(0..5) + "RSET\r\n");
    let replies = UNKNOWN.repeat(5) + "250 reset\r\n";
    let read = talk.server(replies);
    assert!(
        read.ends_with(
            "421 4.7.0 Too many unknown recipients in a row (5), closing connection\r\n"
        )
    );
    assert_eq!(read.matches("\r\n").count(), 5, "{read}");
    assert_eq!(talk.server("250 more\r\n"), "");
    assert_eq!(talk.client("MAIL FROM:<>\r\n"), "");
    assert_eq!(talk.close, Close::Linger);
    talk.client("QUIT\r\n");
    assert_eq!(talk.close, Close::Now);
}

#[test]
fn a_known_recipient_ends_the_row_but_not_the_total() {
    let mut talk = Talk::in_transaction("{}");
    for n in 0..9 {
        talk.exchange(&guesses(n..n + 1), UNKNOWN);
        if n % 4 == 3 {
            talk.exchange("RCPT TO:<known@example.test>\r\n", "250 2.1.5 Ok\r\n");
        }
    }
    talk.client(guesses(9..10));
    assert!(
        talk.server(UNKNOWN)
            .starts_with("421 4.7.0 Too many unknown recipients (10)")
    );
    assert_eq!(talk.closed_by(), Some(Rule::RcptTotal));
}

#[test]
fn neither_reset_nor_greeting_nor_delivery_clears_the_counters() {
    for reset in [
        "RSET\r\n",
        "EHLO a.test\r\n",
        "HELO a.test\r\n",
        "MAIL FROM:<b@a.test>\r\n",
    ] {
        let mut talk = Talk::in_transaction(r#"{"reset": {"mode": "off"}}"#);
        for n in 0..4 {
            talk.exchange(&guesses(n..n + 1), UNKNOWN);
            talk.exchange(reset, "250 ok\r\n");
            talk.exchange("MAIL FROM:<a@a.test>\r\n", "250 ok\r\n");
        }
        talk.client(guesses(4..5));
        assert!(talk.server(UNKNOWN).starts_with("421 "), "{reset}");
    }
    let mut talk = Talk::in_transaction(r#"{"rcpt": {"max_total": 3}}"#);
    for n in 0..2 {
        talk.exchange(&guesses(n..n + 1), UNKNOWN);
        talk.exchange("RCPT TO:<known@example.test>\r\n", "250 ok\r\n");
        talk.exchange("DATA\r\n", "354 go\r\n");
        talk.exchange("hello\r\n.\r\n", "250 queued\r\n");
        talk.exchange("MAIL FROM:<a@a.test>\r\n", "250 ok\r\n");
    }
    talk.client(guesses(2..3));
    assert!(talk.server(UNKNOWN).starts_with("421 "));
    assert_eq!(talk.session.counts().messages, 2);
}

#[test]
fn greylisting_policy_and_quota_never_count() {
    let mut talk = Talk::in_transaction("{}");
    for reply in [
        "450 4.7.1 Greylisted\r\n",
        "451 4.7.1 Please try again later\r\n",
        "554 5.7.1 Relay access denied\r\n",
        "452 4.2.2 Mailbox full\r\n",
        "503 5.5.1 Need MAIL\r\n",
    ] {
        for n in 0..4 {
            talk.exchange(&guesses(n..n + 1), reply);
        }
    }
    assert_eq!(talk.session.counts().rejected, 0);
    assert_eq!(talk.session.counts().tried, 20);
}

#[test]
fn the_postmaster_is_never_counted_nor_refused() {
    let mut talk = Talk::in_transaction(r#"{"rcpt": {"max_consecutive": 1}}"#);
    for _ in 0..20 {
        talk.exchange("RCPT TO:<Postmaster@example.test>\r\n", UNKNOWN);
    }
    assert_eq!(talk.session.counts().tried, 0);
    talk.client(guesses(0..1));
    assert!(talk.server(UNKNOWN).starts_with("421 "));
}

#[test]
fn the_second_wasted_transaction_ended_by_a_reset_closes() {
    for reset in [
        "RSET\r\n",
        "EHLO a.test\r\n",
        "HELO a.test\r\n",
        "MAIL FROM:<b@a.test>\r\n",
    ] {
        let mut talk = Talk::in_transaction("{}");
        talk.exchange(&guesses(0..1), UNKNOWN);
        talk.exchange("RSET\r\n", "250 ok\r\n");
        talk.exchange("MAIL FROM:<a@a.test>\r\n", "250 ok\r\n");
        talk.exchange(&guesses(1..2), UNKNOWN);
        assert_eq!(talk.client(reset), reset);
        assert_eq!(
            talk.server("250 ok\r\n"),
            "421 4.7.0 Too many transactions without a known recipient (2), closing connection\r\n"
        );
        assert_eq!(talk.closed_by(), Some(Rule::Wasted));
    }
}

#[test]
fn transactions_that_waste_nothing_are_not_counted() {
    let mut talk = Talk::in_transaction("{}");
    // RSET without a transaction, with none rejected, with one accepted beside the rejected.
    talk.exchange("RSET\r\n", "250 ok\r\n");
    talk.exchange("RSET\r\n", "250 ok\r\n");
    for reply in ["450 4.2.0 Greylisted\r\n", "250 ok\r\n"] {
        talk.exchange("MAIL FROM:<a@a.test>\r\n", "250 ok\r\n");
        talk.exchange("RCPT TO:<b@example.test>\r\n", reply);
        talk.exchange("RSET\r\n", "250 ok\r\n");
    }
    talk.exchange("MAIL FROM:<a@a.test>\r\n", "250 ok\r\n");
    talk.exchange(&guesses(0..1), UNKNOWN);
    talk.exchange("RCPT TO:<b@example.test>\r\n", "250 ok\r\n");
    talk.exchange("RSET\r\n", "250 ok\r\n");
    assert_eq!(talk.session.counts().wasted, 0);
    // RFC 5321 appendix D.2, twice over: QUIT is no reset.
    talk.exchange("MAIL FROM:<a@a.test>\r\n", "250 ok\r\n");
    talk.exchange(&guesses(1..2), UNKNOWN);
    talk.exchange("RSET\r\n", "250 ok\r\n");
    talk.exchange("MAIL FROM:<a@a.test>\r\n", "250 ok\r\n");
    talk.exchange(&guesses(2..3), UNKNOWN);
    talk.exchange("QUIT\r\n", "221 bye\r\n");
    assert_eq!(talk.session.counts().wasted, 2);
    assert_eq!(talk.closed_by(), None);
}

#[test]
fn the_strict_mode_cuts_at_any_rset() {
    let mut talk = Talk::in_transaction(r#"{"reset": {"mode": "strict"}}"#);
    talk.exchange("RCPT TO:<b@example.test>\r\n", "250 ok\r\n");
    assert_eq!(
        talk.client("NOOP\r\nRSET\r\nMAIL FROM:<c@a.test>\r\n"),
        "NOOP\r\nRSET\r\n"
    );
    assert_eq!(talk.server("250 noop\r\n"), "250 noop\r\n");
    assert_eq!(
        talk.server("250 reset\r\n"),
        "502 5.5.1 RSET not accepted, closing connection\r\n"
    );
    assert_eq!(talk.closed_by(), Some(Rule::StrictReset));
    assert_eq!(talk.client("MAIL FROM:<c@a.test>\r\n"), "");
}

#[test]
fn observing_touches_nothing_and_tells_once_per_rule() {
    let mut talk = Talk::in_transaction(r#"{"mode": "observe", "reset": {"mode": "strict"}}"#);
    let burst = guesses(0..20);
    assert_eq!(talk.client(&burst), burst);
    assert_eq!(talk.server(UNKNOWN.repeat(20)), UNKNOWN.repeat(20));
    talk.exchange("RSET\r\n", "250 ok\r\n");
    talk.exchange("MAIL FROM:<>\r\n", "250 ok\r\n");
    assert_eq!(talk.client(&burst), burst);
    assert_eq!(talk.server(UNKNOWN.repeat(20)), UNKNOWN.repeat(20));
    talk.exchange("RSET\r\n", "250 ok\r\n");
    let rules: Vec<Rule> = talk
        .notes
        .iter()
        .map(|note| match note {
            Note::Observed(verdict) => verdict.rule,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        rules,
        [
            Rule::RcptConsecutive,
            Rule::RcptTotal,
            Rule::StrictReset,
            Rule::Wasted
        ]
    );
    let record = talk.session.record();
    assert_eq!(
        (record.verdict, record.rule),
        ("observe", Some(Rule::RcptConsecutive))
    );
}

#[test]
fn exempt_networks_and_authenticated_sessions_are_left_alone() {
    let mut network = Talk::in_transaction(r#"{"exempt": {"networks": ["203.0.113.0/24"]}}"#);
    assert_eq!(network.notes, [Note::Exempt(Exemption::Network)]);
    let burst = guesses(0..20);
    assert_eq!(network.client(&burst), burst);
    assert_eq!(network.server(UNKNOWN.repeat(20)), UNKNOWN.repeat(20));
    assert_eq!(network.session.record().verdict, "exempt");

    for (policy, closes) in [
        ("{}", false),
        (r#"{"exempt": {"authenticated": false}}"#, true),
    ] {
        let mut talk = Talk::with(policy);
        talk.server("220 mx\r\n");
        talk.exchange("EHLO a.test\r\n", "250-mx\r\n250 AUTH PLAIN\r\n");
        talk.exchange("AUTH PLAIN AGEAYg==\r\n", "235 2.7.0 ok\r\n");
        talk.exchange("MAIL FROM:<a@a.test>\r\n", "250 ok\r\n");
        talk.client(guesses(0..5));
        let read = talk.server(UNKNOWN.repeat(5));
        assert_eq!(read.contains("421 "), closes, "{policy}: {read}");
    }
}

#[test]
fn the_servers_own_421_is_its_last_word() {
    let mut talk = Talk::in_transaction(r#"{"rcpt": {"max_consecutive": 1}}"#);
    talk.client(guesses(0..1));
    let word = "421 4.7.0 mx: Error: too many errors, no such user\r\n";
    assert_eq!(talk.server(word), word);
    assert_eq!(talk.closed_by(), None);
    assert_eq!(
        talk.server("421 4.4.2 timeout\r\n"),
        "421 4.4.2 timeout\r\n"
    );
    assert_eq!(talk.opaque_by(), None, "a 421 is never out of turn");
}

#[test]
fn the_record_is_one_object() {
    let mut talk = Talk::in_transaction(r#"{"version": "7b"}"#);
    talk.client(guesses(0..5));
    talk.server(UNKNOWN.repeat(5));
    let record = serde_json::to_string(&talk.session.record()).unwrap();
    assert_eq!(
        record,
        concat!(
            r#"{"client":"203.0.113.7","prefix":"203.0.113.7/32","verdict":"close","#,
            r#""rule":"rcpt.max_consecutive","mode":"enforce","policy":"7b","#,
            r#""opaque":null,"tls":false,"dnsbl":null,"listed":null,"tried":5,"accepted":0,"rejected":5,"#,
            r#""consecutive":5,"wasted":0,"answered":0,"messages":0,"evidence":{"tried":5,"#,
            r#""accepted":0,"rejected":5,"consecutive":5,"wasted":0,"answered":0,"messages":0},"#,
            r#""observed":[],"octets_from_client":190,"octets_from_server":157,"ended":"guard","#,
            r#""duration_ms":0,"held_ms":0}"#
        )
    );
}

#[test]
fn verification_counts_like_recipients() {
    let mut talk = Talk::in_transaction("{}");
    let burst = "VRFY guess@example.test\r\n".repeat(50);
    assert_eq!(talk.client(&burst), "VRFY guess@example.test\r\n".repeat(5));
    let read = talk.server("550 5.1.1 User unknown\r\n".repeat(5));
    assert!(read.contains("421 4.7.0"), "{read}");
    // 252 says nothing of the name (RFC 5321 section 3.5.3).
    let mut honest = Talk::in_transaction("{}");
    for _ in 0..20 {
        honest.exchange("VRFY someone\r\n", "252 2.0.0 someone\r\n");
    }
}

#[test]
fn a_refused_command_ends_no_transaction() {
    let mut talk = Talk::in_transaction("{}");
    talk.exchange("RCPT TO:<b@example.test>\r\n", "250 ok\r\n");
    for n in 0..3 {
        talk.exchange("MAIL FROM:<c@a.test>\r\n", "503 5.5.1 nested MAIL\r\n");
        talk.exchange(&guesses(n..n + 1), UNKNOWN);
    }
    assert_eq!(talk.session.counts().wasted, 0);
}

#[test]
fn a_server_that_says_421_and_stays_is_no_dead_end() {
    let mut talk = Talk::in_transaction("{}");
    for n in 0..20 {
        talk.exchange(&guesses(n..n + 1), "421 4.1.1 no such user\r\n");
    }
}
