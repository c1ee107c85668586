//! Clients that are refused before anything was said, and those found listed later on.

use super::super::{Ask, Close, Door, Note, Session};
use super::{Talk, UNKNOWN, guesses};
use crate::policy::{Listed, Listing, Policy, Rule};
use std::rc::Rc;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const REFUSAL: &str =
    "554 5.7.1 Service unavailable; client [203.0.113.7] blocked using bl.test; why\r\n";

pub(super) fn listing() -> Rc<Listing> {
    Rc::new(Listing {
        total: 3,
        sites: vec![Listed {
            site: "bl.test".to_owned(),
            codes: vec![[127, 0, 0, 2].into()],
            weight: 3,
        }],
        text: Some("why".to_owned()),
    })
}

fn refused(policy: &str) -> Talk {
    let mut talk = Talk::with(policy);
    let (door, notes) = talk.session.refuse(Rule::Dnsbl, Some(listing()));
    assert_eq!(door, Door::Refused);
    assert!(matches!(&notes[..], [Note::Refused(verdict)] if verdict.rule == Rule::Dnsbl));
    talk
}

fn condemned(talk: &mut Talk) {
    let notes = talk.session.found_listed(listing());
    assert_eq!(notes, [], "nothing has happened yet");
}

#[test]
fn the_first_bytes_become_the_refusal_once() {
    for first in ["220 mx.example.test\r\n", "P", "PROXY TCP4 1 2 3 4\r\n"] {
        let mut talk = refused("{}");
        assert_eq!(talk.client("EHLO a.test\r\n"), "");
        assert_eq!(talk.server(""), "");
        assert_eq!(talk.close, Close::Keep);
        assert_eq!(talk.server(first), REFUSAL);
        assert_eq!(talk.close, Close::Linger);
        assert_eq!(talk.server("220 more\r\n"), "");
        assert_eq!(talk.client("MAIL FROM:<>\r\nRCPT TO:<a@b>\r\n"), "");
        assert_eq!(talk.left_with_host(), 0);
        assert_eq!(talk.close, Close::Linger);
        assert_eq!(talk.client("QUIT\r\n"), "");
        assert_eq!(talk.close, Close::Now);
    }
}

#[test]
fn a_client_that_leaves_before_its_refusal_still_reads_it() {
    let mut quits = refused("{}");
    assert_eq!(quits.client("QUIT\r\n"), "");
    assert_eq!(quits.close, Close::Keep, "the refusal is still owed");
    assert_eq!(quits.server("220 mx\r\n"), REFUSAL);
    let mut ends = refused("{}");
    assert_eq!(ends.client("EHLO a.test\r\n"), "");
    assert_eq!(ends.client_end(), "");
    assert_eq!(ends.close, Close::Keep);
    assert_eq!(ends.server("220 mx\r\n"), REFUSAL);
    assert_eq!(ends.close, Close::Now);
    let mut later = refused("{}");
    later.server("220 mx\r\n");
    assert_eq!(later.client_end(), "");
    assert_eq!(later.close, Close::Now);
}

#[test]
fn the_refusal_goes_out_even_where_the_other_side_ends_at_once() {
    let mut talk = refused("{}");
    let end = talk.session.server_end();
    assert_eq!(end.to_client.as_ref(), REFUSAL.as_bytes());
    assert_eq!(end.close, Close::Linger);
    let again = talk.session.server_end();
    assert!(again.to_client.is_empty(), "once is enough");
    assert_eq!(talk.session.record().verdict, "refuse");
}

#[test]
fn the_record_tells_of_the_refusal() {
    let talk = refused("{}");
    let record = talk.session.record();
    assert_eq!((record.verdict, record.rule), ("refuse", Some(Rule::Dnsbl)));
    let json = serde_json::to_value(&record).unwrap();
    assert_eq!(json["rule"], "dnsbl");
    assert_eq!(json["dnsbl"]["sites"][0]["site"], "bl.test");
    assert_eq!(json["dnsbl"]["sites"][0]["codes"][0], "127.0.0.2");
    assert_eq!(json["dnsbl"]["text"], "why");
}

#[test]
fn each_rule_of_the_door_has_its_own_words() {
    for (rule, words) in [
        (
            Rule::OwnList,
            "554 5.7.1 Service unavailable; client [203.0.113.7] blocked using our own list\r\n",
        ),
        (
            Rule::Sessions,
            "421 4.7.0 Too many sessions from [203.0.113.7], try again later\r\n",
        ),
    ] {
        let mut talk = Talk::with("{}");
        assert_eq!(talk.session.refuse(rule, None).0, Door::Refused);
        assert_eq!(talk.server("220 mx\r\n"), words);
        assert_eq!(talk.session.record().rule, Some(rule));
    }
    let own = r#"{"dnsbl": {"sites": ["BL.test"], "replies": {"Bl.Test": "550 {site}: {codes}"}}}"#;
    assert_eq!(
        refused(own).server("220 mx\r\n"),
        "550 bl.test: 127.0.0.2\r\n"
    );
}

#[test]
fn observing_lets_everybody_in() {
    let mut talk = Talk::with(r#"{"mode": "observe"}"#);
    for rule in [Rule::OwnList, Rule::Dnsbl] {
        let (door, notes) = talk.session.refuse(rule, Some(listing()));
        assert_eq!(door, Door::Admitted);
        assert!(matches!(&notes[..], [Note::Observed(verdict)] if verdict.rule == rule));
    }
    assert_eq!(talk.server("220 mx\r\n"), "220 mx\r\n");
    talk.exchange("EHLO a.test\r\n", "250 mx\r\n");
    let record = talk.session.record();
    assert_eq!(
        (record.verdict, record.rule),
        ("observe", Some(Rule::OwnList))
    );
    assert!(record.dnsbl.is_some());
}

#[test]
fn only_a_session_that_is_judged_can_be_refused() {
    let exempt = r#"{"exempt": {"networks": ["203.0.113.0/24"]}}"#;
    let mut talk = Talk::with(exempt);
    assert_eq!(
        talk.session.refuse(Rule::OwnList, None),
        (Door::Admitted, vec![])
    );
    assert_eq!(talk.server("220 mx\r\n"), "220 mx\r\n");
    // Whoever is refused stays so, and is told for the first reason.
    let mut talk = refused("{}");
    assert_eq!(
        talk.session.refuse(Rule::OwnList, None),
        (Door::Refused, vec![])
    );
    assert_eq!(talk.server("220 mx\r\n"), REFUSAL);
    assert_eq!(
        talk.session.refuse(Rule::OwnList, None),
        (Door::Refused, vec![])
    );
}

#[test]
fn the_next_command_of_a_client_found_listed_is_its_last() {
    for command in [
        "RCPT TO:<b@example.test>\r\n",
        "NOOP\r\n",
        "DATA\r\n",
        "EHLO a\r\n",
        "x\n",
    ] {
        let mut talk = Talk::in_transaction("{}");
        condemned(&mut talk);
        assert_eq!(talk.client(format!("{command}RSET\r\n")), "NOOP\r\n");
        assert_eq!(talk.close, Close::Keep);
        assert_eq!(talk.server("250 ok\r\n"), REFUSAL);
        assert_eq!(talk.close, Close::Linger);
        assert_eq!(talk.closed_by(), Some(Rule::Dnsbl));
        let record = talk.session.record();
        assert_eq!((record.verdict, record.rule), ("close", Some(Rule::Dnsbl)));
        assert_eq!(talk.client("MAIL FROM:<>\r\n"), "");
    }
}

#[test]
fn quit_is_still_answered() {
    let mut talk = Talk::in_transaction("{}");
    condemned(&mut talk);
    talk.exchange("QUIT\r\n", "221 bye\r\n");
    assert_eq!(talk.closed_by(), None);
}

#[test]
fn replies_owed_come_before_the_last_word() {
    let mut talk = Talk::in_transaction("{}");
    let known = "RCPT TO:<b@example.test>\r\n";
    assert_eq!(talk.client(known.repeat(2)), known.repeat(2));
    condemned(&mut talk);
    assert_eq!(talk.client("DATA\r\n"), "NOOP\r\n");
    assert_eq!(talk.server("250 one\r\n"), "250 one\r\n");
    let last = format!("250 two\r\n{REFUSAL}");
    assert_eq!(talk.server("250 two\r\n250 noop\r\n"), last);
}

#[test]
fn the_servers_own_421_goes_before_ours() {
    let mut talk = Talk::in_transaction("{}");
    condemned(&mut talk);
    talk.client("RSET\r\n");
    assert_eq!(talk.server("421 going\r\n"), "421 going\r\n");
}

#[test]
fn a_message_under_way_is_finished() {
    let mut talk = Talk::in_transaction("{}");
    talk.exchange("RCPT TO:<b@example.test>\r\n", "250 ok\r\n");
    talk.exchange("DATA\r\n", "354 go\r\n");
    assert_eq!(talk.client("half\r\n"), "half\r\n");
    condemned(&mut talk);
    assert_eq!(
        talk.client("of it\r\n.\r\nMAIL FROM:<>\r\n"),
        "of it\r\n.\r\nNOOP\r\n"
    );
    let last = format!("250 queued\r\n{REFUSAL}");
    assert_eq!(talk.server("250 queued\r\n250 noop\r\n"), last);
    assert_eq!(talk.session.counts().messages, 1);
}

#[test]
fn a_message_in_chunks_is_finished() {
    let mut talk = Talk::in_transaction("{}");
    talk.exchange("RCPT TO:<b@example.test>\r\n", "250 ok\r\n");
    talk.exchange("BDAT 4\r\nabcd", "250 ok\r\n");
    condemned(&mut talk);
    talk.exchange("BDAT 4\r\nefgh", "250 ok\r\n");
    talk.exchange("BDAT 2 LAST\r\nij", "250 queued\r\n");
    assert_eq!(
        talk.client("BDAT 4\r\nabcd"),
        "NOOP\r\n",
        "but no further one"
    );
    assert_eq!(talk.server("250 noop\r\n"), REFUSAL);
    // The same with a chunk that has no reply yet.
    let mut talk = Talk::in_transaction("{}");
    talk.exchange("RCPT TO:<b@example.test>\r\n", "250 ok\r\n");
    talk.client("BDAT 4\r\nab");
    condemned(&mut talk);
    let rest = "cdBDAT 1 LAST\r\ne";
    assert_eq!(
        talk.client(format!("{rest}BDAT 1\r\nf")),
        format!("{rest}NOOP\r\n")
    );
    // A chunk that was refused, or a transaction that was reset, leaves nothing under way.
    for (command, reply) in [("BDAT 1\r\na", "554 no\r\n"), ("RSET\r\n", "250 ok\r\n")] {
        let mut talk = Talk::in_transaction("{}");
        talk.exchange("RCPT TO:<b@example.test>\r\n", "250 ok\r\n");
        talk.exchange("BDAT 4\r\nabcd", "250 ok\r\n");
        talk.exchange(command, reply);
        condemned(&mut talk);
        assert_eq!(talk.client("BDAT 2 LAST\r\nij"), "NOOP\r\n", "{command}");
    }
}

#[test]
fn recipients_that_wait_for_the_budget_end_as_well() {
    let mut talk = Talk::in_transaction("{}");
    assert_eq!(talk.client(guesses(0..8)), guesses(0..5));
    condemned(&mut talk);
    assert_eq!(talk.server("250 known\r\n"), "250 known\r\n");
    assert_eq!(talk.server_reads(), "NOOP\r\n");
    let read = talk.server(UNKNOWN.repeat(4) + "250 noop\r\n");
    assert_eq!(read, UNKNOWN.repeat(4) + REFUSAL);
    assert_eq!(talk.server_reads(), "");
    assert_eq!(talk.closed_by(), Some(Rule::Dnsbl));
}

#[test]
fn another_rule_may_end_the_session_first() {
    let mut talk = Talk::in_transaction("{}");
    talk.client(guesses(0..5));
    condemned(&mut talk);
    let read = talk.server(UNKNOWN.repeat(5));
    assert!(
        read.ends_with("in a row (5), closing connection\r\n"),
        "{read}"
    );
    assert_eq!(talk.closed_by(), Some(Rule::RcptConsecutive));
    assert_eq!(talk.session.found_listed(listing()), []);
    assert_eq!(talk.session.record().rule, Some(Rule::RcptConsecutive));
}

#[test]
fn a_client_that_has_closed_its_side_is_told_as_well() {
    let mut talk = Talk::in_transaction("{}");
    condemned(&mut talk);
    talk.client("RCPT TO:<b@exam");
    assert_eq!(talk.client("ple.test>\r\nDATA\r\n"), "NOOP\r\n");
    assert_eq!(talk.client_end(), "");
    assert_eq!(talk.server("250 noop\r\n"), REFUSAL);
    assert_eq!(talk.close, Close::Now);
}

#[test]
fn out_of_step_the_next_unknown_recipient_is_the_last() {
    let mut talk = Talk::in_transaction("{}");
    talk.server("250 nobody asked\r\n");
    condemned(&mut talk);
    assert_eq!(talk.client("RSET\r\n"), "RSET\r\n");
    assert_eq!(talk.server("250 Ok\r\n"), "250 Ok\r\n");
    let read = talk.server(UNKNOWN);
    assert_eq!(read, format!("{UNKNOWN}{REFUSAL}"));
    assert_eq!(talk.closed_by(), Some(Rule::Dnsbl));
}

#[test]
fn being_found_listed_means_nothing_where_no_rule_acts() {
    let mut observed = Talk::in_transaction(r#"{"mode": "observe"}"#);
    let notes = observed.session.found_listed(listing());
    assert!(matches!(&notes[..], [Note::Observed(verdict)] if verdict.rule == Rule::Dnsbl));
    assert_eq!(observed.session.found_listed(listing()), [], "told once");
    observed.exchange("RCPT TO:<b@example.test>\r\n", "250 ok\r\n");
    assert_eq!(observed.session.record().rule, Some(Rule::Dnsbl));

    let mut authenticated = Talk::with("{}");
    authenticated.server("220 mx\r\n");
    authenticated.exchange("EHLO a.test\r\n", "250-mx\r\n250 AUTH PLAIN\r\n");
    authenticated.exchange("AUTH PLAIN\r\n", "334 \r\n");
    condemned(&mut authenticated);
    // No NOOP may stand for a line of a dialogue; and who authenticates is left alone.
    authenticated.exchange("AGEAYg==\r\n", "235 2.7.0 ok\r\n");
    authenticated.exchange("MAIL FROM:<a@a.test>\r\n", "250 ok\r\n");
    assert_eq!(authenticated.session.found_listed(listing()), []);
    authenticated.exchange("RCPT TO:<b@example.test>\r\n", "250 ok\r\n");
    assert_eq!(authenticated.session.record().verdict, "exempt");
}

#[test]
fn the_first_unknown_recipient_asks_once() {
    let asks = |policy: &str, replies: &[&str]| {
        let policy = Rc::new(Policy::read(policy.as_bytes()).unwrap());
        let (mut session, _) = Session::new(policy, "203.0.113.7".parse().ok());
        session.server_bytes(b"220 mx\r\n");
        let mut asks = Vec::new();
        for reply in replies {
            assert_eq!(
                session.client_bytes(b"RCPT TO:<a@b.test>\r\n").ask,
                Ask::Nothing
            );
            asks.push(session.server_bytes(reply.as_bytes()).ask);
        }
        asks
    };
    let mode = |lookup: &str, more: &str| {
        format!(r#"{{"dnsbl": {{"sites": ["bl.test"], "lookup": "{lookup}"}}{more}}}"#)
    };
    let replies = ["250 ok\r\n", "450 4.7.1 Greylisted\r\n", UNKNOWN, UNKNOWN];
    let once = [Ask::Nothing, Ask::Nothing, Ask::Dnsbl, Ask::Nothing];
    assert_eq!(asks(&mode("first-rejection", ""), &replies), once);
    let observe = mode("first-rejection", r#", "mode": "observe""#);
    assert_eq!(asks(&observe, &replies), once);
    for never in [
        mode("connect", ""),
        mode("off", ""),
        mode(
            "first-rejection",
            r#", "exempt": {"networks": ["203.0.113.7"]}"#,
        ),
        r#"{"dnsbl": {"lookup": "first-rejection"}}"#.to_owned(),
    ] {
        assert_eq!(asks(&never, &replies), [Ask::Nothing; 4], "{never}");
    }
}
