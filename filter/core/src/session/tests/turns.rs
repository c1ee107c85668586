//! Sessions of one client take turns.

use super::ledger::{account, client, talk};
use super::{Talk, guesses};
use crate::worker::{Roster, Seat};
use std::collections::VecDeque;
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
    for (session, talk) in talks.iter_mut().enumerate().skip(1) {
        assert_eq!(talk.client(guesses(0..20)), "");
        assert!(talk.session.waits_for_others());
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

/// Sessions of one client, as a host with one worker treats them.
struct Siblings {
    roster: Roster<usize>,
    talks: Vec<Talk>,
    errands: VecDeque<usize>,
    /// Replies that the server has still to give, by session.
    owed: Vec<VecDeque<&'static str>>,
}

impl Siblings {
    fn new(policy: &str, count: usize) -> Self {
        let account = account(policy);
        let mut roster = Roster::default();
        for session in 0..count {
            let _ = roster.begin(client(), session, None, || Some(Rc::clone(&account)));
        }
        Self {
            roster,
            talks: (0..count).map(|_| talk(policy, &account)).collect(),
            errands: VecDeque::new(),
            owed: vec![VecDeque::new(); count],
        }
    }

    fn wake(&mut self) {
        self.errands.extend(self.roster.next_waiting(client()));
    }

    /// After an input: what has gone to the server will be answered.
    fn settle(&mut self, session: usize, sent: &str) {
        for line in sent.lines() {
            let reply = match line {
                "DATA" => "354 go\r\n",
                "STARTTLS" => "454 not now\r\n",
                _ if line.contains("<no") => "550 5.1.1 no\r\n",
                _ => "250 ok\r\n",
            };
            self.owed[session].push_back(reply);
        }
        if self.talks[session].session.waits_for_others() {
            self.roster.wait(client(), session);
        }
        self.wake();
    }

    fn client(&mut self, session: usize, bytes: &str) {
        let sent = self.talks[session].client(bytes);
        self.settle(session, &sent);
    }

    fn end(&mut self, session: usize) {
        let sent = self.talks[session].client_end();
        self.settle(session, &sent);
    }

    fn reply(&mut self, session: usize) {
        if let Some(reply) = self.owed[session].pop_front() {
            self.talks[session].server(reply);
            let sent = self.talks[session].server_reads();
            self.settle(session, &sent);
        }
    }

    fn run_errand(&mut self) {
        let Some(session) = self.errands.pop_front() else {
            return;
        };
        let talk = &mut self.talks[session].session;
        if talk.can_go_on() {
            let effects = talk.go_on();
            let sent = String::from_utf8_lossy(&effects.to_server).into_owned();
            self.settle(session, &sent);
        } else if talk.waits_for_others() {
            self.roster.wait(client(), session);
        } else {
            self.wake();
        }
    }
}

#[test]
fn nobody_waits_for_ever() {
    // What may be tried at once: five names, or one.
    const POLICIES: [&str; 2] = [
        r#"{"ledger": {"max_score": null}, "rcpt": {"max_total": null}}"#,
        r#"{"rcpt": {"max_consecutive": 1}}"#,
    ];
    const COMMANDS: [&str; 6] = [
        "RCPT TO:<a@example.test>\r\n",
        "RCPT TO:<a@example.test>\r\nRCPT TO:<b@example.test>\r\nRCPT TO:<c@example.test>\r\n",
        "RCPT TO:<no@example.test>\r\nRCPT TO:<a@example.test>\r\n",
        "RSET\r\nMAIL FROM:<a@a.test>\r\n",
        "STARTTLS\r\nNOOP\r\n",
        "RCPT TO:<half",
    ];
    let mut state = 1_u64;
    let mut draw = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize % below
    };
    for run in 0..1000 {
        let mut siblings = Siblings::new(POLICIES[run % 2], 6);
        let mut open = [true; 6];
        for _ in 0..120 {
            let session = draw(6);
            match draw(8) {
                0..3 if open[session] => siblings.client(session, COMMANDS[draw(6)]),
                3 if draw(5) == 0 && open[session] => {
                    open[session] = false;
                    siblings.end(session);
                }
                4 | 5 => siblings.run_errand(),
                _ => siblings.reply(session),
            }
        }
        // From here on only the server speaks, as long as it owes anything.
        while !siblings.errands.is_empty() || siblings.owed.iter().any(|owed| !owed.is_empty()) {
            siblings.run_errand();
            siblings.reply(draw(6));
        }
        for (session, talk) in siblings.talks.iter().enumerate() {
            let waits = talk.session.waits_for_others() || talk.session.can_go_on();
            assert!(!waits, "session {session} of run {run}");
        }
    }
}
