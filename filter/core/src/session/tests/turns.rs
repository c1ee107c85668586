//! Sessions of one client take turns.

use super::ledger::{account, client, talk};
use super::{Talk, guesses};
use crate::worker::{Roster, Seat};
use std::rc::Rc;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn who_has_had_a_turn_lets_others_have_theirs() {
    let account = account("{}");
    let mut roster = Roster::default();
    for session in 0..3 {
        let seat = roster.begin(client(), session, None, || Some(Rc::clone(&account)));
        assert!(matches!(seat, Seat::Taken(_)));
    }
    let mut talks: Vec<Talk> = (0..3).map(|_| talk("{}", &account)).collect();
    assert_eq!(talks[0].client(guesses(0..20)), guesses(0..5));
    for session in 1..3 {
        assert_eq!(talks[session].client(guesses(0..20)), "");
        assert!(talks[session].session.waits_for_others());
        roster.wait(client(), session);
    }
    // The room that its own replies make is not the first one's for now.
    talks[0].server("250 ok\r\n".repeat(5));
    assert_eq!(talks[0].server_reads(), "");
    assert!(talks[0].session.waits_for_others());
    roster.wait(client(), 0);
    let mut turns = Vec::new();
    while let Some(next) = roster.next_waiting(client()) {
        assert!(talks[next].session.can_go_on());
        let effects = talks[next].session.go_on();
        turns.push((
            next,
            effects.to_server.iter().filter(|o| **o == b'\n').count(),
        ));
    }
    // Two others wait, then one, then none: a third of five, a half, and the rest.
    assert_eq!(turns, [(1, 1), (2, 2), (0, 2)]);
}
