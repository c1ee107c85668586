//! Clients known for good mail, and those that cease to be.

use super::ledger::{account, known, talk};
use super::{UNKNOWN, guesses};
use crate::policy::Rule;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const NOW: u32 = 1_790_000_000;

#[test]
fn twenty_deliveries_buy_no_burst_of_a_hundred_guesses() {
    let account = known("{}", 20);
    let (mut one, mut other) = (talk("{}", &account), talk("{}", &account));
    assert_eq!(one.client(guesses(0..100)), guesses(0..11));
    assert_eq!(other.client(guesses(0..100)), "");
    let read = one.server(UNKNOWN.repeat(11));
    assert!(read[UNKNOWN.len() * 10..].starts_with("421 "), "{read}");
    assert_eq!(one.closed_by(), Some(Rule::RcptTotal));
}

#[test]
fn a_session_beyond_its_limits_does_not_hang_when_standing_fades() {
    let account = known("{}", 20);
    let mut talk = talk("{}", &account);
    assert_eq!(talk.client(guesses(0..6)), guesses(0..6));
    assert_eq!(talk.server(UNKNOWN.repeat(6)), UNKNOWN.repeat(6));
    account.watch().tell_time(NOW + 2 * 86_400);
    assert!(!account.has_standing());
    // A known one passes; an unknown one is one too many.
    talk.exchange("RCPT TO:<a@example.test>\r\n", "250 ok\r\n");
    assert_eq!(talk.client(guesses(0..6)), guesses(0..4));
    let read = talk.server(UNKNOWN.repeat(4));
    assert!(talk.closed_by().is_some(), "{read}");
}

/// A message for these recipients, all of which the server takes.
fn deliver(talk: &mut super::Talk, recipients: &[&str]) {
    for recipient in recipients {
        talk.exchange(&format!("RCPT TO:<{recipient}>\r\n"), "250 ok\r\n");
    }
    talk.exchange("DATA\r\n", "354 go\r\n");
    talk.exchange("x\r\n.\r\n", "250 taken\r\n");
    talk.exchange("MAIL FROM:<a@a.test>\r\n", "250 ok\r\n");
}

#[test]
fn a_recipient_named_twenty_times_is_one_delivered() {
    let account = account("{}");
    let mut talk = talk("{}", &account);
    deliver(&mut talk, &["known@example.test"; 20]);
    let same = [
        "Known@EXAMPLE.test",
        "known+a@example.test",
        "\"known\"@example.test",
    ];
    deliver(&mut talk, &same);
    assert_eq!(account.entry().delivered(), 2);
    let names: Vec<String> = (0..20).map(|n| format!("list{n}@example.test")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    deliver(&mut talk, &names);
    assert_eq!(account.entry().delivered(), 22);
    assert!(account.has_standing());
}

#[test]
fn a_refused_transaction_leaves_no_recipients_behind() {
    let account = account("{}");
    let mut talk = talk("{}", &account);
    talk.exchange("RCPT TO:<a@example.test>\r\n", "250 ok\r\n");
    talk.exchange("RSET\r\n", "250 ok\r\n");
    talk.exchange("MAIL FROM:<a@a.test>\r\n", "250 ok\r\n");
    deliver(&mut talk, &["a@example.test", "b@example.test"]);
    assert_eq!(account.entry().delivered(), 2);
}
