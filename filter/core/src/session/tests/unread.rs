//! What goes on unread, since the client has closed its side, is counted and shared all the same.

use super::ledger::{account, news, talk};
use super::{UNKNOWN, guesses};
use crate::ledger::Reason;
use crate::policy::Rule;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn guesses_behind_an_unanswered_data_count_though_they_went_unread() {
    let policy = "{}";
    let account = account(policy);
    for count in [4, 4, 2] {
        let mut talk = talk(policy, &account);
        let hidden = format!("DATA\r\n{}", guesses(0..count));
        talk.client(&hidden);
        talk.client_end();
        talk.server("554 5.5.1 no valid recipients\r\n");
        talk.server(UNKNOWN.repeat(count));
        drop(talk);
        // The server has had its time.
        account.asks(account.take_abandoned(), 0);
    }
    let news = news(&account);
    assert_eq!((news.rejected, news.fault), (10, Some(Reason::Score)));
}

#[test]
fn a_bare_refusal_of_what_may_hide_counts() {
    let account = account("{}");
    let mut one = talk("{}", &account);
    one.client("DATA\r\n".to_owned() + &guesses(0..3));
    one.client_end();
    one.server("554 no\r\n550-no\r\n550 no\r\n250 ok\r\n553 no\r\n");
    assert_eq!(news(&account).rejected, 2);
    // What is said of a message need not be about a name.
    let mut other = talk("{}", &account);
    other.client("DATA\r\nSubject: x\r\n\r\nx\r\n.\r\n");
    other.client_end();
    other.server("354 go\r\n550 spam\r\n");
    assert_eq!(news(&account).rejected, 0);
}

#[test]
fn what_may_hide_is_shared_like_all_that_may_be_tried() {
    let account = account("{}");
    let (mut one, mut other) = (talk("{}", &account), talk("{}", &account));
    let hidden = format!("DATA\r\n{}", guesses(0..3));
    one.client(&hidden);
    assert_eq!(one.client_end(), guesses(0..3));
    other.client(&hidden);
    assert_eq!(other.client_end(), "");
    assert!(other.server("554 no\r\n").starts_with("421 "));
    assert_eq!(other.closed_by(), Some(Rule::HiddenRcpts));
    // Until the session is over.
    one.server("554 no\r\n");
    assert_eq!(account.room(0), 2);
    drop(one);
    assert_eq!(account.take_abandoned(), 3);
}
