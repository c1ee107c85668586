use super::super::{Alert, Detector, Heard, Remember, Signs, Unknown};
use super::{NOW, SIGNS, nth};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const SHARE_ONLY: Signs = Signs {
    clients_per_name: None,
    ..SIGNS
};

fn hear(detector: &mut Detector, known: u32, unknown: u32, now: u32) {
    for n in 0..known {
        detector.hear(nth(n), None, Heard::Known, now);
    }
    for n in 0..unknown {
        detector.hear(nth(n), None, Heard::UnknownForNow, now);
    }
}

#[test]
fn an_attack_is_a_share_of_the_last_minute() {
    for (known, unknown, expected) in [
        (0, 9, Alert::Calm),
        (0, 10, Alert::Attack),
        (10, 10, Alert::Attack),
        (11, 10, Alert::Calm),
        (1000, 100, Alert::Calm),
    ] {
        let mut detector = Detector::new(SHARE_ONLY);
        hear(&mut detector, known, unknown, NOW);
        assert_eq!(detector.judge(NOW), expected, "{known} {unknown}");
    }
    let mut detector = Detector::new(SHARE_ONLY);
    for second in 0..600 {
        // Nine a minute, for ten minutes.
        if second % 7 == 0 {
            hear(&mut detector, 0, 1, NOW + second);
        }
        assert_eq!(detector.judge(NOW + second), Alert::Calm, "{second}");
    }
}

#[test]
fn it_ends_when_it_has_been_quiet_for_a_while() {
    let mut detector = Detector::new(SHARE_ONLY);
    hear(&mut detector, 0, 100, NOW);
    assert_eq!(detector.judge(NOW), Alert::Attack);
    // Between the two levels: no new attack, but no end either.
    for minute in 1..10 {
        hear(&mut detector, 70, 30, NOW + minute * 60);
        assert_eq!(detector.judge(NOW + minute * 60), Alert::Attack, "{minute}");
    }
    hear(&mut detector, 90, 10, NOW + 700);
    assert_eq!(detector.judge(NOW + 700), Alert::Calm);
    // It lasts for as long as was said.
    hear(&mut detector, 0, 100, NOW + 1000);
    assert_eq!(detector.judge(NOW + 1000), Alert::Attack);
    assert_eq!(detector.judge(NOW + 1299), Alert::Attack);
    assert_eq!(detector.judge(NOW + 1300), Alert::Calm);
}

#[test]
fn a_clock_set_back_does_not_keep_it_going() {
    let mut detector = Detector::new(SHARE_ONLY);
    hear(&mut detector, 0, 100, NOW);
    assert_eq!(detector.judge(NOW), Alert::Attack);
    assert_eq!(detector.judge(NOW - 100_000), Alert::Calm);
}

#[test]
fn three_names_that_many_clients_try() {
    let signs = Signs {
        min_rejected: 1000,
        ..SIGNS
    };
    let mut detector = Detector::new(signs);
    let tell = |detector: &mut Detector, name: &str, who: std::ops::Range<u32>, now| {
        for n in who {
            detector.hear(nth(n), Some(name.as_bytes()), Heard::Unknown, now);
        }
    };
    tell(&mut detector, "info@a.test", 0..50, NOW);
    tell(&mut detector, "INFO@a.test", 0..50, NOW);
    tell(&mut detector, "john@a.test", 0..3, NOW);
    // One client, again and again.
    for _ in 0..50 {
        tell(&mut detector, "mary@a.test", 0..1, NOW);
    }
    assert_eq!(detector.judge(NOW), Alert::Calm);
    tell(&mut detector, "mary@a.test", 1..3, NOW);
    assert_eq!(detector.judge(NOW), Alert::Attack);
    // Names cool down, too: after ten minutes, and then it lasts for as long as was said.
    for second in 0..899 {
        assert_eq!(detector.judge(NOW + second), Alert::Attack, "{second}");
    }
    assert_eq!(detector.judge(NOW + 899), Alert::Calm);
}

#[test]
fn names_beyond_the_cap_are_forgotten() {
    let mut detector = Detector::new(SIGNS);
    for n in 0..100_000 {
        let name = format!("guess{n}@a.test");
        detector.hear(nth(n), Some(name.as_bytes()), Heard::Unknown, NOW);
    }
    assert_eq!(detector.judge(NOW), Alert::Attack);
    assert!(format!("{detector:?}").len() < 4_000_000);
}

fn has(unknown: &mut Unknown, name: &[u8], now: u32) -> bool {
    unknown.get(name, now).is_some()
}

#[test]
fn unknown_recipients_are_remembered_for_their_time() {
    let mut unknown = Unknown::new(Remember::Permanent, 60, 2);
    unknown.hear(b"a@b.test", Heard::Unknown, NOW);
    unknown.hear(b"c@b.test", Heard::UnknownForNow, NOW);
    assert!(has(&mut unknown, b"a@b.test", NOW + 59));
    assert!(!has(&mut unknown, b"A@b.test", NOW));
    assert!(!has(&mut unknown, b"c@b.test", NOW));
    assert!(!has(&mut unknown, b"a@b.test", NOW + 60));
    assert!(!has(&mut unknown, b"a@b.test", NOW), "forgotten for good");
}

#[test]
fn a_recipient_that_is_taken_after_all_is_known_at_once() {
    let mut unknown = Unknown::new(Remember::All, 60, 2);
    unknown.hear(b"a@b.test", Heard::UnknownForNow, NOW);
    assert!(has(&mut unknown, b"a@b.test", NOW));
    // Being answered by the guard is no news.
    unknown.hear(b"a@b.test", Heard::Again, NOW + 50);
    assert!(!has(&mut unknown, b"a@b.test", NOW + 60));
    unknown.hear(b"a@b.test", Heard::Unknown, NOW);
    unknown.hear(b"a@b.test", Heard::Known, NOW);
    assert!(!has(&mut unknown, b"a@b.test", NOW));
}

#[test]
fn the_one_not_asked_for_longest_makes_room() {
    let mut unknown = Unknown::new(Remember::Permanent, 60, 2);
    unknown.hear(b"a@b.test", Heard::Unknown, NOW);
    unknown.hear(b"b@b.test", Heard::Unknown, NOW);
    assert!(has(&mut unknown, b"a@b.test", NOW));
    unknown.hear(b"c@b.test", Heard::Unknown, NOW);
    assert!(!has(&mut unknown, b"b@b.test", NOW));
    assert!(has(&mut unknown, b"a@b.test", NOW) && has(&mut unknown, b"c@b.test", NOW));
}

#[test]
fn those_that_made_room_are_counted_once_and_only_while_they_were_believed() {
    let mut unknown = Unknown::new(Remember::Permanent, 60, 2);
    unknown.hear(b"a@b.test", Heard::Unknown, NOW);
    unknown.hear(b"b@b.test", Heard::Unknown, NOW);
    unknown.hear(b"b@b.test", Heard::Unknown, NOW + 10);
    assert_eq!(unknown.take_evicted(), 0, "there was room");
    unknown.hear(b"c@b.test", Heard::Unknown, NOW + 59);
    assert_eq!(unknown.take_evicted(), 1);
    assert_eq!(unknown.take_evicted(), 0, "told already");
    unknown.hear(b"d@b.test", Heard::Unknown, NOW + 70);
    assert_eq!(unknown.take_evicted(), 0, "nobody believed it any more");
}
