//! The calls that Envoy makes, in any order, against a connection that writes down what it is told.

use super::*;
use std::cell::RefCell;

/// What a connection was told, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    Drop(usize),
    Say(Vec<u8>),
    Limit(u32),
    Turn,
    StartTls,
    Close,
}

struct Fake {
    limit: u32,
    started: Started,
    scheduled: Scheduled,
    told: RefCell<Vec<Told>>,
}

impl Fake {
    fn with(limit: u32, started: Started, scheduled: Scheduled) -> Self {
        let told = RefCell::default();
        Self {
            limit,
            started,
            scheduled,
            told,
        }
    }

    fn good() -> Self {
        Self::with(65536, Started::Yes, Scheduled::Yes)
    }

    fn note(&self, told: Told) {
        self.told.borrow_mut().push(told);
    }

    fn take(&self) -> Vec<Told> {
        self.told.take()
    }
}

impl Transport for Fake {
    fn drop_read(&self, octets: usize) {
        self.note(Told::Drop(octets));
    }
    fn say(&self, text: &[u8]) {
        self.note(Told::Say(text.to_vec()));
    }
    fn buffer_limit(&self) -> u32 {
        self.limit
    }
    fn set_buffer_limit(&self, octets: u32) {
        self.note(Told::Limit(octets));
    }
    fn ask_for_a_turn(&self) -> Scheduled {
        self.note(Told::Turn);
        self.scheduled
    }
    fn start_tls(&self) -> Started {
        self.note(Told::StartTls);
        self.started
    }
    fn close(&self) {
        self.note(Told::Close);
    }
}

#[test]
fn tls_starts_only_when_the_220_has_left_and_in_a_turn_of_its_own() {
    let (wire, mut switch) = (Fake::good(), Switch::default());
    switch.begin(&wire);
    assert_eq!(wire.take(), [Told::Limit(1)]);
    assert_eq!(switch.drained(&wire), None);
    assert_eq!(wire.take(), [Told::Turn], "not inside the socket's write");
    assert_eq!(switch.turn(&wire), Some(Event::Switched));
    assert_eq!(wire.take(), [Told::Limit(65536), Told::StartTls]);
    assert_eq!(switch.arrived(10, &wire), (Read::Passes, None));
    assert_eq!(wire.take(), [Told::Turn], "what TLS brings is the guard's");
}

/// A connection under TLS, whose client has said nothing.
fn switched(wire: &Fake) -> Switch {
    let mut switch = Switch::default();
    switch.begin(wire);
    switch.drained(wire);
    assert_eq!(switch.turn(wire), Some(Event::Switched));
    wire.take();
    switch
}

#[test]
fn it_looks_once_under_tls_and_says_what_it_is_told_to() {
    let wire = Fake::good();
    let words = b"250 mx\r\n";
    for told in [true, false] {
        let mut switch = switched(&wire);
        switch.answer(words, &wire);
        assert_eq!(switch.looks_for(), None, "nothing has come yet");
        assert_eq!(switch.arrived(0, &wire), (Read::Passes, None));
        assert_eq!(wire.take(), [], "nor is this anything");
        assert_eq!(switch.arrived(13, &wire), (Read::Passes, None));
        assert_eq!(switch.looks_for(), Some(Request::Words));
        assert_eq!(wire.take(), [Told::Turn]);
        if told {
            switch.answer(words, &wire);
            assert_eq!(wire.take(), [Told::Say(words.to_vec())]);
        }
        switch.look_away();
        assert_eq!(switch.looks_for(), None);
        switch.answer(words, &wire);
        for octets in [10, 13] {
            assert_eq!(switch.arrived(octets, &wire), (Read::Passes, None));
        }
        assert_eq!(switch.turn(&wire), None);
        assert_eq!(wire.take(), [], "it never looks again");
        assert!(!switch.is_cleartext());
    }
}

#[test]
fn what_comes_between_the_220_and_tls_goes_nowhere() {
    let (wire, mut switch) = (Fake::good(), Switch::default());
    assert_eq!(switch.arrived(6, &wire), (Read::Passes, None));
    switch.begin(&wire);
    wire.take();
    let dropped = (Read::Dropped, Some(Event::Dropped));
    assert_eq!(switch.arrived(10, &wire), dropped);
    switch.drained(&wire);
    assert_eq!(switch.arrived(7, &wire), dropped);
    assert_eq!(switch.arrived(0, &wire), (Read::Dropped, None));
    let expected = [Told::Drop(10), Told::Turn, Told::Drop(7), Told::Drop(0)];
    assert_eq!(wire.take(), expected);
}

#[test]
fn it_looks_when_starttls_may_have_come_and_answers_if_told_to() {
    let (wire, mut switch) = (Fake::good(), Switch::default());
    for octets in [1, 9, 11] {
        switch.arrived(octets, &wire);
        assert!(switch.looks_for().is_none(), "{octets}");
    }
    switch.answer(b"220 go\r\n", &wire);
    assert_eq!(wire.take(), [], "nothing has come that it could answer");
    assert_eq!(switch.arrived(10, &wire), (Read::Passes, None));
    switch.look_away();
    assert!(switch.looks_for().is_none() && switch.is_cleartext());
    switch.arrived(10, &wire);
    assert_eq!(wire.take(), [Told::Turn, Told::Turn]);
    switch.answer(b"220 go\r\n", &wire);
    let said = Told::Say(b"220 go\r\n".to_vec());
    assert_eq!(wire.take(), [Told::Limit(1), said]);
    switch.look_away();
    switch.drained(&wire);
    assert_eq!(switch.turn(&wire), Some(Event::Switched));
}

#[test]
fn a_worker_that_takes_no_request_to_look_ends_the_connection() {
    let wire = Fake::with(65536, Started::Yes, Scheduled::No);
    let mut switch = Switch::default();
    let ended = (Read::Dropped, Some(Event::NoTurn));
    assert_eq!(switch.arrived(10, &wire), ended, "nobody would answer");
    assert_eq!(wire.take(), [Told::Turn, Told::Close]);
}

#[test]
fn buffers_without_a_limit_are_not_left_with_one_octet() {
    let wire = Fake::with(0, Started::Yes, Scheduled::Yes);
    let mut switch = Switch::default();
    switch.begin(&wire);
    switch.drained(&wire);
    wire.take();
    switch.turn(&wire);
    assert_eq!(wire.take().first(), Some(&Told::Limit(UNLIMITED)));
}

#[test]
fn a_listener_without_the_socket_ends_the_connection() {
    let wire = Fake::with(65536, Started::NotThere, Scheduled::Yes);
    let mut switch = Switch::default();
    switch.begin(&wire);
    switch.drained(&wire);
    assert_eq!(switch.turn(&wire), Some(Event::NotThere));
    assert_eq!(wire.take().last(), Some(&Told::Close));
    let (read, _) = switch.arrived(10, &wire);
    assert_eq!(
        read,
        Read::Dropped,
        "what the client believes to be secret goes nowhere"
    );
}

#[test]
fn a_worker_that_takes_no_request_ends_the_connection() {
    let wire = Fake::with(65536, Started::Yes, Scheduled::No);
    let mut switch = Switch::default();
    switch.begin(&wire);
    assert_eq!(switch.drained(&wire), Some(Event::NoTurn));
    assert_eq!(wire.take().last(), Some(&Told::Close));
    assert_eq!(switch.turn(&wire), None);
}

/// Every sequence of up to six calls: TLS starts at most once, and only by the one way.
#[test]
fn no_order_of_calls_leads_astray() {
    for length in 0..=6_u32 {
        for number in 0..3_u32.pow(length) {
            let (wire, mut switch) = (Fake::good(), Switch::default());
            let (mut stage, mut code) = (0, number);
            for _ in 0..length {
                match code % 3 {
                    0 => switch.begin(&wire),
                    1 => assert_eq!(switch.drained(&wire), None),
                    _ => assert_eq!(switch.turn(&wire).is_some(), stage == 2),
                }
                if code % 3 == stage {
                    stage += 1;
                }
                code /= 3;
            }
            let starts = wire.take().into_iter().filter(|t| *t == Told::StartTls);
            assert_eq!(
                starts.count(),
                usize::from(stage == 3),
                "{number} of {length}"
            );
            assert_eq!(switch.is_cleartext(), stage == 0);
        }
    }
}
