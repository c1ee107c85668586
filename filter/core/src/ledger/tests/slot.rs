use super::super::{
    Entry, Evicted, Listing, MAX_ENTRIES, News, Reason, Slot, Streak, Terms, number_of,
};
use super::{NOW, TERMS, client, nth};
use std::collections::HashMap;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn rejections(count: u32) -> News {
    News {
        rejected: count,
        streak: Streak::Longer(count),
        ..News::default()
    }
}

fn deliveries(count: u32) -> News {
    News {
        delivered: count,
        ..News::default()
    }
}

#[test]
fn what_was_written_is_read_back() {
    let mut slot = Slot::default();
    for address in [
        "203.0.113.7",
        "0.0.0.0",
        "255.255.255.255",
        "2001:db8::1",
        "::",
    ] {
        slot.post(client(address), rejections(3), NOW, &TERMS);
    }
    slot.post(client("198.51.100.1"), rejections(5), NOW, &TERMS);
    slot.post(client("198.51.100.2"), deliveries(30), NOW, &TERMS);
    let bytes = slot.encode();
    assert_eq!(Slot::decode(&bytes), slot);
    assert_eq!(Slot::decode(b""), Slot::default());
}

#[test]
fn anything_else_is_an_empty_slot() {
    let mut slot = Slot::default();
    slot.post(client("203.0.113.7"), rejections(5), NOW, &TERMS);
    let good = slot.encode();
    for cut in 0..good.len() {
        let read = Slot::decode(&good[..cut]);
        assert_eq!(read, Slot::default(), "{cut} octets");
    }
    // Version, prefix length, host bits, a count that is none, a reason that is none.
    for (at, octet) in [(0, 2), (1, 193), (1, 100), (9, 0xff), (22, 9)] {
        let mut bad = good.clone();
        bad[at] = octet;
        let read = Slot::decode(&bad);
        let same = read.get(client("203.0.113.7")) == slot.get(client("203.0.113.7"));
        assert!(!same, "{at}: {octet}");
    }
    let many = [&[good[0]], good[1..].repeat(MAX_ENTRIES + 1).as_slice()].concat();
    assert_eq!(Slot::decode(&many), Slot::default());
}

#[test]
fn of_several_workers_one_makes_the_listing() {
    let mut slot = Slot::default();
    let one = client("203.0.113.7");
    let listed: Vec<Option<Listing>> = (0..4)
        .map(|_| slot.post(one, rejections(2), NOW, &TERMS).listed)
        .collect();
    let reasons = listed.iter().map(|listing| listing.map(|l| l.reason));
    assert_eq!(
        reasons.collect::<Vec<_>>(),
        [None, None, Some(Reason::Streak), None]
    );
}

#[test]
fn an_accepted_recipient_ends_the_streak_but_not_the_score() {
    let mut slot = Slot::default();
    let one = client("203.0.113.7");
    let mut listed = None;
    // Four guesses, one hit, again and again: every counter but the score is cleared.
    for round in 0..3 {
        assert_eq!(listed, None, "{round}");
        let news = News {
            rejected: 4,
            delivered: 1,
            streak: Streak::Anew(4),
            fault: None,
        };
        listed = slot.post(one, news, NOW + round, &TERMS).listed;
    }
    assert_eq!(listed.map(|l| l.reason), Some(Reason::Score));
}

#[test]
fn a_trap_lists_at_once() {
    let mut slot = Slot::default();
    let news = News {
        fault: Some(Reason::Trap),
        ..News::default()
    };
    let posted = slot.post(client("203.0.113.7"), news, NOW, &TERMS);
    assert_eq!(posted.listed.map(|l| l.reason), Some(Reason::Trap));
}

#[test]
fn what_a_worker_took_for_a_fault_is_looked_at_again() {
    // Another worker knows of deliveries.
    let mut slot = Slot::default();
    let one = client("203.0.113.7");
    slot.post(one, deliveries(100), NOW, &TERMS);
    let news = News {
        fault: Some(Reason::Streak),
        ..rejections(5)
    };
    assert_eq!(slot.post(one, news, NOW, &TERMS).listed, None);
}

#[test]
fn a_full_slot_gives_up_the_least() {
    let mut slot = Slot::default();
    let fill = |slot: &mut Slot, from: u32, to: u32, news: News, at: u32| {
        for n in from..to {
            slot.post(nth(n), news, at, &TERMS);
        }
    };
    let third = MAX_ENTRIES as u32 / 3;
    fill(&mut slot, 0, third, deliveries(30), NOW);
    fill(&mut slot, third, 2 * third, rejections(5), NOW + 1);
    fill(&mut slot, 2 * third, 3 * third, rejections(1), NOW + 2);
    // Scores go first, the oldest of them before the others.
    let posted = slot.post(nth(500), rejections(5), NOW + 3, &TERMS);
    assert_eq!(posted.evicted, Evicted::Score);
    assert!(slot.get(nth(2 * third)).is_none() && slot.get(nth(2 * third + 1)).is_some());
    fill(&mut slot, 501, 501 + third, rejections(5), NOW + 4);
    // Then listings; good standing goes last.
    let posted = slot.post(nth(600), rejections(5), NOW + 5, &TERMS);
    assert_eq!(posted.evicted, Evicted::Listing);
    for n in 0..third {
        assert!(slot.get(nth(n)).is_some(), "standing {n}");
    }
    assert_eq!(Slot::decode(&slot.encode()), slot);
}

#[test]
fn a_score_that_faded_is_nothing_to_keep() {
    let mut slot = Slot::default();
    for n in 0..MAX_ENTRIES as u32 {
        slot.post(nth(n), rejections(1), NOW, &TERMS);
    }
    let later = NOW + 10 * 3600;
    let posted = slot.post(nth(100), rejections(1), later, &TERMS);
    assert_eq!(posted.evicted, Evicted::Nothing);
}

#[test]
fn two_hundred_thousand_attackers_stay_listed_in_a_documented_amount_of_memory() {
    let mut slots: HashMap<u32, Slot> = HashMap::new();
    for n in 0..200_000 {
        let slot = slots.entry(number_of(nth(n), 32_768).unwrap()).or_default();
        let posted = slot.post(nth(n), rejections(5), NOW, &TERMS);
        assert_eq!(posted.evicted, Evicted::Nothing, "{n}");
    }
    for n in 0..200_000 {
        let number = number_of(nth(n), 32_768).unwrap();
        let entry: Entry = slots[&number].get(nth(n)).unwrap();
        assert!(entry.listing(NOW + 10).is_some(), "{n}");
    }
    let octets: usize = slots.values().map(|slot| slot.encode().len()).sum();
    assert!(octets < 6_500_000, "{octets}");
    assert_eq!(number_of(nth(1), 0), None);
}

/// The default terms with a score that outlives a first listing.
const SLOW: Terms = Terms {
    half_life: 86_400,
    ..TERMS
};

#[test]
fn good_mail_lists_nobody() {
    let mut slot = Slot::default();
    let one = client("203.0.113.7");
    let listing = slot.post(one, rejections(10), NOW, &SLOW).listed.unwrap();
    // The listing is over, but the score is still there: only a guess may renew it.
    let later = listing.until + 1;
    let accepted = News {
        streak: Streak::Anew(0),
        ..News::default()
    };
    for news in [deliveries(1), accepted] {
        let posted = slot.post(one, news, later, &SLOW);
        assert!(posted.entry.score() >= 10);
        assert_eq!(posted.listed, None, "{news:?}");
    }
    assert!(slot.post(one, rejections(1), later, &SLOW).listed.is_some());
}

#[test]
fn sums_of_all_guards_list_whoever_has_just_guessed() {
    let one = client("203.0.113.7");
    let sums = (10.0, 1.0);
    let mut slot = Slot::default();
    // An answer to good news: whoever wrote the last guess has listed the client, or was to.
    let posted = slot.totals(one, 0, sums, NOW, &TERMS);
    assert_eq!((posted.entry.score(), posted.listed), (10, None));
    let posted = slot.totals(one, 1, sums, NOW, &TERMS);
    assert_eq!(posted.listed.map(|l| l.reason), Some(Reason::Score));
}

#[test]
fn who_has_nothing_to_be_remembered_for_takes_no_place() {
    let mut slot = Slot::default();
    for n in 0..MAX_ENTRIES as u32 {
        slot.post(nth(n), deliveries(30), NOW, &TERMS);
    }
    let before = slot.clone();
    // An old line of the feed, read again.
    let over = Listing {
        until: NOW,
        reason: Reason::Streak,
        times: 1,
    };
    let posted = slot.told(nth(100), over, NOW, &TERMS);
    assert_eq!((posted.listed, posted.evicted), (None, Evicted::Nothing));
    assert_eq!(slot, before);
}
