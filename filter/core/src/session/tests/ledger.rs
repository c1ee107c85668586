//! What sessions of one client have in common, and how they end together.

use super::super::{Close, Cut, Note};
use super::{Talk, UNKNOWN, guesses};
use crate::client::{Client, Prefixes};
use crate::ledger::{Account, Entry, News, Reason, Watch};
use crate::policy::{Policy, Rule};
use std::rc::Rc;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

pub(super) const LISTED: &str = "421 4.7.1 Service unavailable; client [203.0.113.7] tried too many unknown \
                      recipients, try again later\r\n";
const NOW: u32 = 1_790_000_000;

pub(super) fn client() -> Client {
    let prefixes = Prefixes { ipv4: 32, ipv6: 64 };
    prefixes.client("203.0.113.7".parse().unwrap())
}

fn watch(policy: &str) -> Rc<Watch> {
    let watch = Policy::read(policy.as_bytes()).unwrap().watch();
    watch.tell_time(NOW);
    Rc::new(watch)
}

pub(super) fn account(policy: &str) -> Rc<Account> {
    Rc::new(Account::new(client(), Entry::default(), watch(policy)))
}

/// One that has had this many recipients delivered.
pub(super) fn known(policy: &str, delivered: u32) -> Rc<Account> {
    let account = account(policy);
    account.delivered(delivered);
    let _ = account.take_news();
    account
}

/// A session in a transaction.
pub(super) fn talk(policy: &str, account: &Rc<Account>) -> Talk {
    let mut talk = Talk::with(policy);
    talk.session.charge_to(Rc::clone(account));
    talk.server("220 mx.example.test\r\n");
    talk.exchange("EHLO a.test\r\n", "250-mx\r\n250 CHUNKING\r\n");
    talk.exchange("MAIL FROM:<a@a.test>\r\n", "250 ok\r\n");
    talk
}

pub(super) fn cut(talk: &mut Talk) -> Cut {
    let (cut, notes) = talk.session.cut();
    talk.notes.extend(notes);
    cut
}

pub(super) fn news(account: &Account) -> News {
    account.take_news().unwrap_or_default()
}

#[test]
fn twenty_sessions_ask_about_five_names_together() {
    let account = account("{}");
    let mut talks: Vec<Talk> = (0..20).map(|_| talk("{}", &account)).collect();
    let mut asked = String::new();
    for talk in &mut talks {
        asked += &talk.client(guesses(0..10));
    }
    assert_eq!(asked, guesses(0..5));
    for (number, talk) in talks.iter().enumerate() {
        assert_eq!(talk.session.waits_for_others(), number > 0, "{number}");
        assert!(!talk.session.can_go_on(), "{number}");
    }
    // The first one's five replies cross the line for all.
    talks[0].server(UNKNOWN.repeat(5));
    assert_eq!(talks[0].closed_by(), Some(Rule::RcptConsecutive));
    assert_eq!(news(&account).fault, Some(Reason::Streak));
    for talk in &mut talks[1..] {
        // Each has guesses in the guard that were never answered.
        assert_eq!(cut(talk), Cut::Ask(b"NOOP\r\n"));
        assert_eq!(talk.closed_by(), Some(Rule::Ledger));
        assert_eq!(talk.server("250 ok\r\n"), LISTED);
    }
}

#[test]
fn room_that_a_reply_makes_is_the_next_sessions() {
    let account = account("{}");
    let (mut one, mut other) = (talk("{}", &account), talk("{}", &account));
    one.client(guesses(0..5));
    assert_eq!(other.client("RCPT TO:<b@example.test>\r\nDATA\r\n"), "");
    one.server("250 ok\r\n");
    assert!(other.session.waits_for_others() && other.session.can_go_on());
    let effects = other.session.go_on();
    let sent = String::from_utf8_lossy(&effects.to_server).into_owned();
    assert_eq!(sent, "RCPT TO:<b@example.test>\r\nDATA\r\n");
    assert!(!other.session.waits_for_others());
}

#[test]
fn what_a_session_asked_about_is_asked_about_for_longer_than_it_lives() {
    let account = account("{}");
    let mut one = talk("{}", &account);
    one.client(guesses(0..5));
    one.server("250 ok\r\n");
    drop(one);
    assert_eq!((account.room(0), account.is_asking()), (1, true));
    assert_eq!(account.take_abandoned(), 4);
    account.asks(4, 0);
    assert_eq!((account.room(0), account.is_asking()), (5, false));
    assert_eq!(account.take_abandoned(), 0);
}

#[test]
fn a_session_out_of_step_keeps_nobody_waiting() {
    let account = account("{}");
    let mut one = talk("{}", &account);
    one.client(guesses(0..5));
    one.server("what\r\n");
    assert_eq!(account.room(0), 5);
}

#[test]
fn one_guess_in_each_of_five_sessions_is_five_in_a_row() {
    let account = account("{}");
    for number in 0..5 {
        let mut talk = talk("{}", &account);
        talk.client(guesses(number..number + 1));
        let read = talk.server("550 5.1.1 no\r\n");
        let closed = talk.closed_by();
        match number {
            4 => assert_eq!((read.as_str(), closed), (LISTED, Some(Rule::Streak))),
            _ => assert_eq!((read.as_str(), closed), ("550 5.1.1 no\r\n", None)),
        }
    }
}

#[test]
fn good_standing_lifts_the_limits_until_it_is_lost() {
    let account = known("{}", 40);
    let mut talk = talk("{}", &account);
    // All of a burst goes on at once, and twenty unknown ones of it harm nobody.
    assert_eq!(talk.client(guesses(0..21)), guesses(0..21));
    for _ in 0..20 {
        assert_eq!(talk.server(UNKNOWN), UNKNOWN);
    }
    assert!(account.has_standing());
    assert!(
        talk.server(UNKNOWN).starts_with("421 "),
        "half as many, and one"
    );
    assert_eq!(talk.closed_by(), Some(Rule::RcptTotal));
}

#[test]
fn deliveries_count_when_the_server_has_taken_the_message() {
    let account = account("{}");
    let mut talk = talk("{}", &account);
    talk.exchange("RCPT TO:<a@example.test>\r\n", "250 ok\r\n");
    talk.exchange("RCPT TO:<b@example.test>\r\n", "250 ok\r\n");
    assert_eq!(news(&account), News::default());
    talk.exchange("DATA\r\n", "354 go\r\n");
    talk.exchange("Subject: x\r\n\r\nx\r\n.\r\n", "250 taken\r\n");
    assert_eq!(news(&account).delivered, 2);
    // One that is refused does not.
    talk.exchange("MAIL FROM:<a@a.test>\r\n", "250 ok\r\n");
    talk.exchange("RCPT TO:<a@example.test>\r\n", "250 ok\r\n");
    talk.exchange("DATA\r\n", "354 go\r\n");
    talk.exchange("x\r\n.\r\n", "554 no\r\n");
    assert_eq!(news(&account), News::default());
}

#[test]
fn who_authenticates_leaves_the_account() {
    let account = account("{}");
    let mut talk = talk("{}", &account);
    talk.exchange("AUTH PLAIN AAA=\r\n", "235 ok\r\n");
    talk.client(guesses(0..9));
    talk.server(UNKNOWN.repeat(9));
    assert_eq!(news(&account), News::default());
    assert_eq!(account.room(0), 5);
    assert_eq!(cut(&mut talk), Cut::Spared);
}

#[test]
fn a_reply_that_is_owed_becomes_the_last_word() {
    for owed in [
        "NOOP\r\n",
        "RSET\r\n",
        "RCPT TO:<a@example.test>\r\n",
        "DATA\r\n",
    ] {
        let account = account("{}");
        let mut talk = talk("{}", &account);
        talk.client(owed);
        assert_eq!(cut(&mut talk), Cut::Owed);
        assert_eq!(cut(&mut talk), Cut::Spared, "a second time changes nothing");
        assert_eq!(talk.client("MAIL FROM:<b@b.test>\r\n"), "", "{owed}");
        assert_eq!(talk.server("250 ok\r\n250 more\r\n"), LISTED, "{owed}");
        assert_eq!(talk.server("250 more\r\n"), "");
        assert_eq!(talk.close, Close::Now);
        let closed = |note: &&Note| matches!(note, Note::Closed(_));
        assert_eq!(talk.notes.iter().filter(closed).count(), 1);
    }
}

#[test]
fn the_greeting_is_owed_too() {
    let account = account("{}");
    let mut talk = Talk::with("{}");
    talk.session.charge_to(Rc::clone(&account));
    assert_eq!(cut(&mut talk), Cut::Owed);
    assert_eq!(talk.server("220 mx\r\n"), LISTED);
}

#[test]
fn what_the_server_says_of_a_whole_message_reaches_the_client() {
    let account = account("{}");
    let mut talk = talk("{}", &account);
    talk.exchange("RCPT TO:<a@example.test>\r\n", "250 ok\r\n");
    talk.exchange("DATA\r\n", "354 go\r\n");
    talk.client("x\r\n.\r\n");
    assert_eq!(cut(&mut talk), Cut::Message);
    assert_eq!(
        talk.server("250 taken\r\n"),
        format!("250 taken\r\n{LISTED}")
    );
}

#[test]
fn where_nothing_is_owed_nothing_is_said() {
    // Between commands, in the middle of a message, behind STARTTLS, out of step.
    let cases: [&[(&str, &str)]; 4] = [
        &[],
        &[
            ("RCPT TO:<a@example.test>\r\n", "250 ok\r\n"),
            ("DATA\r\n", "354 go\r\n"),
        ],
        &[("STARTTLS\r\n", "220 go\r\n")],
        &[("NOOP\r\n", "250 ok\r\n250 what\r\n")],
    ];
    for case in cases {
        let account = account("{}");
        let mut talk = talk("{}", &account);
        for (command, reply) in case {
            talk.exchange(command, reply);
        }
        assert_eq!(cut(&mut talk), Cut::Now, "{case:?}");
        assert_eq!(cut(&mut talk), Cut::Spared, "it is over");
        assert_eq!(talk.client("x\r\n"), "");
        assert_eq!(talk.session.record().rule, Some(Rule::Ledger));
    }
}

#[test]
fn a_policy_that_only_observes_cuts_nobody() {
    let policy = r#"{"mode": "observe"}"#;
    let account = account(policy);
    let mut talk = talk(policy, &account);
    assert_eq!(talk.client(guesses(0..20)), guesses(0..20));
    assert_eq!(talk.server(UNKNOWN.repeat(20)), UNKNOWN.repeat(20));
    assert_eq!(cut(&mut talk), Cut::Spared);
    assert_eq!(news(&account).rejected, 20, "but it counts");
    let observed = |rule| {
        talk.notes
            .iter()
            .any(|note| matches!(note, Note::Observed(verdict) if verdict.rule == rule))
    };
    assert!(observed(Rule::RcptConsecutive) && observed(Rule::RcptTotal));
}

const TRAPS: &str = r#"{"traps": {"recipients": ["old-*@example.test"]}}"#;

#[test]
fn a_trap_is_not_asked_about_and_lists_at_once() {
    let account = account(TRAPS);
    let mut talk = talk(TRAPS, &account);
    let sent =
        talk.client("RCPT TO:<a@example.test>\r\nRCPT TO:<Old-Sales@Example.test>\r\nDATA\r\n");
    assert_eq!(sent, "RCPT TO:<a@example.test>\r\nNOOP\r\n");
    assert_eq!(news(&account).fault, Some(Reason::Trap));
    assert_eq!(talk.server("250 ok\r\n"), "250 ok\r\n");
    assert_eq!(talk.server("250 ok\r\n"), LISTED);
    assert_eq!(talk.closed_by(), Some(Rule::Trap));
}

#[test]
fn a_known_sender_may_step_into_a_trap() {
    let account = known(TRAPS, 20);
    let mut talk = talk(TRAPS, &account);
    let rcpt = "RCPT TO:<old-sales@example.test>\r\n";
    talk.exchange(rcpt, "550 5.1.1 no\r\n");
    assert_eq!(talk.closed_by(), None);
    assert_eq!(news(&account).fault, None);
}

#[test]
fn a_name_just_called_unknown_is_answered_in_its_turn() {
    let account = account("{}");
    let mut first = talk("{}", &account);
    first.exchange(
        "RCPT TO:<no@example.test>\r\n",
        "550 5.1.1 no such user\r\n",
    );
    let mut second = talk("{}", &account);
    let burst =
        "RCPT TO:<a@example.test>\r\nRCPT TO:<no@EXAMPLE.test>\r\nRCPT TO:<b@example.test>\r\n";
    let sent = second.client(burst);
    assert_eq!(
        sent,
        "RCPT TO:<a@example.test>\r\nNOOP\r\nRCPT TO:<b@example.test>\r\n"
    );
    let read = second.server("250 a\r\n250 noop\r\n250 b\r\n");
    assert_eq!(read, "250 a\r\n550 5.1.1 User unknown\r\n250 b\r\n");
    let counts = second.session.counts();
    assert_eq!((counts.tried, counts.accepted), (3, 2));
    assert_eq!((counts.rejected, counts.answered), (1, 1));
    // It counts like any other.
    assert_eq!(news(&account).rejected, 2);
}

#[test]
fn a_refusal_for_now_is_not_remembered_unless_asked_to() {
    let ask_again = |policy: &str| {
        let account = account(policy);
        let mut talk = talk(policy, &account);
        talk.exchange("RCPT TO:<no@example.test>\r\n", UNKNOWN);
        talk.client("RCPT TO:<no@example.test>\r\n")
    };
    assert_eq!(ask_again("{}"), "RCPT TO:<no@example.test>\r\n");
    let all = r#"{"unknown": {"answer": "all"}}"#;
    assert_eq!(ask_again(all), "NOOP\r\n");
    let account = account(all);
    let mut talk = talk(all, &account);
    let rcpt = "RCPT TO:<no@example.test>\r\n";
    talk.exchange(rcpt, UNKNOWN);
    talk.client(rcpt);
    assert_eq!(talk.server("250 ok\r\n"), "450 4.1.1 User unknown\r\n");
    assert_eq!(
        ask_again(r#"{"unknown": {"answer": "off"}}"#),
        "RCPT TO:<no@example.test>\r\n"
    );
}

#[test]
fn the_server_is_asked_for_known_senders_and_for_the_postmaster() {
    let watch = watch("{}");
    let stranger = Rc::new(Account::new(client(), Entry::default(), Rc::clone(&watch)));
    let known = Rc::new(Account::new(client(), Entry::default(), watch));
    known.delivered(20);
    let mut first = talk("{}", &stranger);
    first.exchange("RCPT TO:<no@example.test>\r\n", "550 5.1.1 no\r\n");
    first.exchange("RCPT TO:<postmaster@example.test>\r\n", "550 5.1.1 no\r\n");
    first.exchange("RCPT TO:<postmaster@example.test>\r\n", "550 5.1.1 no\r\n");
    let mut second = talk("{}", &known);
    second.exchange("RCPT TO:<no@example.test>\r\n", "250 made just now\r\n");
    // And what it says then holds for all.
    first.exchange("RCPT TO:<no@example.test>\r\n", "250 made just now\r\n");
}

#[test]
fn twelve_remembered_names_in_one_burst_end_the_session_at_the_fifth() {
    let policy = r#"{"ledger": {"max_score": 1000}, "rcpt": {"max_total": 1000}}"#;
    let account = account(policy);
    let mut first = talk(policy, &account);
    first.exchange("RCPT TO:<no@example.test>\r\n", "550 5.1.1 no\r\n");
    account.accepted();
    let mut second = talk(policy, &account);
    let sent = second.client("RCPT TO:<no@example.test>\r\n".repeat(12));
    assert_eq!(sent, "NOOP\r\n".repeat(5));
    let read = second.server("250 ok\r\n".repeat(5));
    let refused = "550 5.1.1 User unknown\r\n".repeat(4);
    assert!(
        read.starts_with(&refused) && read[refused.len()..].starts_with("421 "),
        "{read}"
    );
}
