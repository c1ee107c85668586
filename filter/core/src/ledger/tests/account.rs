use super::super::{Account, Entry, News, Reason, Row, Streak};
use super::{NOW, TERMS, client, entry, watch};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn account(entry: Entry) -> Account {
    Account::new(client("203.0.113.7"), entry, watch())
}

#[test]
fn sessions_share_what_may_be_tried() {
    let account = account(Entry::default());
    assert_eq!(account.room(0), 5);
    account.asks(0, 3);
    assert_eq!(account.room(3), 5);
    assert_eq!(account.room(0), 2);
    account.asks(0, 2);
    assert_eq!((account.room(0), account.room(2)), (0, 2));
    account.rejected(Row::Next);
    account.asks(3, 2);
    assert_eq!((account.room(0), account.room(2)), (0, 2));
    account.asks(2, 0);
    account.asks(2, 0);
    assert_eq!(account.room(0), 4);
}

#[test]
fn who_is_listed_has_no_room_however_little_it_counts_for_by_now() {
    let account = account(Entry::default());
    let mut listed = entry(5, 5, 0);
    listed.list(Reason::Streak, NOW, &TERMS);
    account.learn(listed);
    assert_eq!((account.room(0), account.room(3)), (0, 0));
}

#[test]
fn news_are_told_once_and_what_is_urgent_is_known() {
    let account = account(entry(0, 0, 30));
    assert_eq!(account.take_news(), None);
    account.delivered(2);
    assert!(!account.has_urgent_news());
    account.rejected(Row::Next);
    assert!(account.has_urgent_news());
    let news = account.take_news().unwrap();
    assert_eq!(
        news,
        News {
            rejected: 1,
            delivered: 2,
            streak: Streak::Longer(1),
            fault: None
        }
    );
    assert_eq!(account.take_news(), None);
}

#[test]
fn others_are_told_at_once_when_a_client_becomes_known() {
    let account = account(entry(0, 0, 10));
    account.delivered(15);
    assert!(account.has_standing() && account.has_urgent_news());
    let _ = account.take_news();
    account.delivered(15);
    assert!(!account.has_urgent_news());
}

#[test]
fn a_streak_ends_with_an_accepted_recipient() {
    let account = account(Entry::default());
    for _ in 0..4 {
        assert_eq!(account.rejected(Row::Next), None);
    }
    account.accepted();
    for _ in 0..4 {
        assert_eq!(account.rejected(Row::Next), None);
    }
    assert_eq!(account.take_news().unwrap().streak, Streak::Anew(4));
    assert_eq!(account.rejected(Row::Next), Some(Reason::Streak));
}

#[test]
fn what_is_not_known_to_be_in_a_row_counts_for_the_score_only() {
    let account = account(Entry::default());
    for _ in 0..9 {
        assert_eq!(account.rejected(Row::Lost), None);
    }
    assert_eq!(account.rejected(Row::Lost), Some(Reason::Score));
}

#[test]
fn what_others_know_is_learnt() {
    let account = account(Entry::default());
    account.learn(entry(4, 4, 0));
    assert_eq!(account.room(0), 1);
    assert_eq!(account.rejected(Row::Next), Some(Reason::Streak));
    assert!(account.entry().at(NOW, &TERMS).score() == 5);
}

#[test]
fn what_was_counted_fades_while_sessions_last() {
    let account = account(entry(9, 4, 0));
    assert_eq!(account.room(0), 1);
    account.watch().tell_time(NOW + 2 * 3600);
    assert_eq!((account.room(0), account.entry().score()), (4, 2));
    assert_eq!(account.rejected(Row::Next), None);
}

#[test]
fn what_others_know_does_not_take_away_what_they_have_not_been_told() {
    let account = account(entry(0, 0, 30));
    account.delivered(10);
    account.learn(entry(2, 1, 30));
    assert_eq!(account.entry().delivered(), 40);
    assert_eq!(account.entry().score(), 2);
}

#[test]
fn who_has_standing_can_ask_about_what_may_go_wrong() {
    // As many as the ratio spares, and the one that ends it.
    let account = account(entry(4, 4, 40));
    assert_eq!((account.has_standing(), account.room(0)), (true, 17));
    account.asks(0, 17);
    assert_eq!(account.room(0), 0);
}
