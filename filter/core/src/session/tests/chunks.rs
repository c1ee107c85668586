//! Messages in chunks (RFC 3030), which may be whole while replies to the commands before are owed.

use super::super::Cut;
use super::ledger::{LISTED, account, cut, talk};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn a_message_in_chunks_behind_its_commands_is_answered_too() {
    let account = account("{}");
    let mut talk = talk("{}", &account);
    talk.client("RCPT TO:<a@example.test>\r\nRCPT TO:<b@example.test>\r\nBDAT 3 LAST\r\nx\r\n");
    talk.client("RSET\r\n");
    assert_eq!(cut(&mut talk), Cut::Message);
    let replies = "250 ok\r\n550 5.1.1 no\r\n250 taken\r\n";
    assert_eq!(
        talk.server(format!("{replies}250 reset\r\n")),
        format!("{replies}{LISTED}")
    );
}

#[test]
fn a_remembered_name_before_the_last_word_stays_unknown() {
    let account = account("{}");
    talk("{}", &account).exchange("RCPT TO:<no@example.test>\r\n", "550 5.1.1 no\r\n");
    let mut talk = talk("{}", &account);
    talk.client("RCPT TO:<no@example.test>\r\nRCPT TO:<b@example.test>\r\nBDAT 3 LAST\r\nx\r\n");
    assert_eq!(cut(&mut talk), Cut::Message);
    assert_eq!(
        talk.server("250 noop\r\n250 ok\r\n250 taken\r\n"),
        format!("550 5.1.1 User unknown\r\n250 ok\r\n250 taken\r\n{LISTED}")
    );
}

#[test]
fn a_message_in_chunks_that_is_not_whole_keeps_no_session() {
    let account = account("{}");
    let mut talk = talk("{}", &account);
    talk.exchange("RCPT TO:<a@example.test>\r\n", "250 ok\r\n");
    talk.client("BDAT 1000000 LAST\r\nx\r\n");
    // The server has nothing to say before it is: the host closes soon.
    assert_eq!(cut(&mut talk), Cut::Owed);
}

#[test]
fn octets_of_a_chunk_pass_without_being_shown_up_to_its_last_one() {
    let mut talk = talk("{}", &account("{}"));
    assert!(!talk.session.client_passes(1), "a command");
    talk.exchange("RCPT TO:<a@example.test>\r\n", "250 ok\r\n");
    talk.client("BDAT 10 LAST\r\nab");
    assert!(talk.session.client_passes(3));
    assert!(!talk.session.client_passes(6), "a command is behind it");
    assert!(talk.session.client_passes(5));
    assert!(!talk.session.client_passes(1));
    assert_eq!(talk.client("QUIT\r\n"), "QUIT\r\n");
    assert_eq!(
        talk.server("250 taken\r\n221 bye\r\n"),
        "250 taken\r\n221 bye\r\n"
    );
}
