//! Names remembered as unknown: nobody may have the guard say it of a mailbox that exists.

use super::guesses;
use super::ledger::{account, talk};
use crate::ledger::Account;
use std::rc::Rc;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const BOSS: &str = "RCPT TO:<boss@example.test>\r\n";

/// Whether an honest client asks the server about the boss, rather than being told by the guard.
fn is_asked(account: &Rc<Account>) -> bool {
    talk("{}", account).client(BOSS) == BOSS
}

#[test]
fn a_refusal_that_need_not_be_about_the_name_is_not_remembered() {
    for reply in [
        // What Exim says, without enhanced codes, of clients and senders that it does not want.
        "550 198.51.100.7 is listed at bl.example.test\r\n",
        "550 relay not permitted\r\n",
        "550 Administrative prohibition\r\n",
        "550-Verification failed for <a@a.test>\r\n550 Sender verify failed\r\n",
        "550-Callout verification failed:\r\n550-550 5.1.1 No such user\r\n550 Sender verify failed\r\n",
        "553 sorry\r\n",
    ] {
        let account = account("{}");
        talk("{}", &account).exchange(BOSS, reply);
        assert!(is_asked(&account), "{reply}");
    }
    for reply in [
        "550 No such user\r\n",
        "550 5.1.1 <boss>\r\n",
        "553 5.1.3 no\r\n",
    ] {
        let account = account("{}");
        talk("{}", &account).exchange(BOSS, reply);
        assert!(!is_asked(&account), "{reply}");
    }
}

#[test]
fn a_line_that_servers_may_read_differently_teaches_nothing() {
    for rcpt in [
        "RCPT TO:<boss@example.test><x>\r\n",
        "RCPT TO:<boss@example.test>x@example.test\r\n",
        "RCPT TO:<boss@example.test>\rx\r\n",
        "RCPT TO:<boss@example.test>\0\r\n",
        "RCPT TO:<boss@example.test> \0x\r\n",
        "RCPT TO:<boss@example.test>\n",
        "RCPT TO:boss@example.test\r\n",
        "RCPT TO:boss@example.test x\r\n",
        "RCPT TO :<boss@example.test>\r\n",
    ] {
        let account = account("{}");
        let mut talk = talk("{}", &account);
        assert_eq!(talk.client(rcpt), rcpt);
        talk.server("501 5.1.3 Bad recipient address syntax\r\n");
        assert_eq!(talk.session.counts().rejected, 1, "{rcpt}");
        assert!(is_asked(&account), "{rcpt}");
    }
    // Parameters are no part of the name.
    let account = account("{}");
    talk("{}", &account).exchange(
        "RCPT TO:<boss@example.test> NOTIFY=NEVER\r\n",
        "550 5.1.1 no\r\n",
    );
    assert!(!is_asked(&account));
}

#[test]
fn a_quoted_name_is_the_servers_affair() {
    let account = account("{}");
    let quoted = "RCPT TO:<\"boss\"@example.test>\r\n";
    talk("{}", &account).exchange(quoted, "550 5.1.1 no\r\n");
    assert_eq!(talk("{}", &account).client(quoted), quoted);
}

#[test]
fn a_421_that_ends_nothing_shifts_no_name() {
    let account = account("{}");
    let mut talk = talk("{}", &account);
    talk.client(guesses(0..2) + BOSS);
    talk.server("421 4.7.0 slowly\r\n550 5.1.1 no\r\n250 ok\r\n");
    // The second guess was unknown, the boss is not.
    assert!(is_asked(&account));
    let mut other = self::talk("{}", &account);
    assert_eq!(other.client(guesses(1..2)), "NOOP\r\n");
    assert_eq!(other.client(guesses(0..1)), guesses(0..1));
}
