use super::super::{Entry, Listing, Reason, Terms};
use super::{NOW, TERMS, entry};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn counts_halve_in_their_half_life_however_often_they_are_looked_at() {
    let whole = entry(16, 0, 16).at(NOW + 3600, &TERMS);
    assert_eq!((whole.score(), whole.delivered()), (8, 16));
    let mut often = entry(16, 0, 16);
    for second in 1..=7200 {
        often = often.at(NOW + second, &TERMS);
    }
    assert_eq!(often.score(), 4);
    // A clock set back fades nothing, and nothing twice.
    let back = often.at(NOW, &TERMS).at(NOW + 10, &TERMS);
    assert_eq!(back.score(), 4);
}

#[test]
fn what_lists_a_client() {
    for (rejected, streak, delivered, expected) in [
        (4, 4, 0, None),
        (5, 5, 0, Some(Reason::Streak)),
        (9, 4, 0, None),
        (10, 4, 0, Some(Reason::Score)),
        (10, 5, 0, Some(Reason::Streak)),
        // Half as many unknown as delivered recipients are spared, one more is not.
        (10, 1, 20, None),
        (11, 1, 20, Some(Reason::Score)),
        (5, 5, 10, None),
        (6, 6, 10, Some(Reason::Streak)),
        // A smarthost, and a bot.
        (20, 20, 200, None),
        (20, 4, 2, Some(Reason::Score)),
    ] {
        let fault = entry(rejected, streak, delivered).fault(&TERMS);
        assert_eq!(fault, expected, "{rejected} {streak} {delivered}");
    }
    let off = Terms {
        streak: None,
        score: None,
        ..TERMS
    };
    assert_eq!(entry(1000, 1000, 0).fault(&off), None);
    assert_eq!(entry(1000, 1000, 0).allowance(&off), u32::MAX);
}

#[test]
fn the_allowance_ends_with_the_one_that_lists() {
    for delivered in 0..25 {
        for streak in 0..5 {
            for earlier in 0..6 {
                let start = entry(earlier + streak, streak, delivered);
                if start.fault(&TERMS).is_some() {
                    continue;
                }
                let allowance = start.allowance(&TERMS);
                let mut then = start;
                let mut tried = 0;
                while then.fault(&TERMS).is_none() && tried < 1000 {
                    then.reject(1);
                    then.streak += 1.0;
                    tried += 1;
                }
                assert_eq!(allowance, tried, "{delivered} {streak} {earlier}");
            }
        }
    }
}

#[test]
fn standing_is_earned_by_mail_and_lost_by_guesses() {
    assert!(!entry(0, 0, 19).has_standing(&TERMS));
    assert!(entry(0, 0, 20).has_standing(&TERMS));
    assert!(entry(10, 10, 20).has_standing(&TERMS));
    assert!(!entry(11, 0, 20).has_standing(&TERMS));
    let nobody = Terms {
        min_delivered: None,
        ..TERMS
    };
    assert!(!entry(0, 0, 10_000).has_standing(&nobody));
}

#[test]
fn listings_double_up_to_the_longest_and_are_forgotten() {
    let mut entry = entry(10, 5, 0);
    let mut now = NOW;
    for (times, hours) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 24), (7, 24)] {
        let listing = entry.list(Reason::Score, now, &TERMS);
        assert_eq!(
            (listing.times, listing.until),
            (times, now + hours * 3600),
            "{times}"
        );
        assert_eq!(entry.listing(listing.until - 1), Some(listing));
        assert_eq!(entry.listing(listing.until), None);
        now = listing.until;
    }
    for _ in 0..300 {
        assert_eq!(entry.list(Reason::Score, now, &TERMS).until, now + 86_400);
    }
    let last = entry.list(Reason::Score, now, &TERMS);
    assert_eq!(last.times, u8::MAX);
    now = last.until + 86_400;
    assert_eq!(entry.list(Reason::Trap, now, &TERMS).times, 1);
}

#[test]
fn after_a_listing_at_least_one_more_name_can_be_tried() {
    let mut entry = entry(40, 40, 0);
    let listing = entry.list(Reason::Streak, NOW, &TERMS);
    let later = entry.at(listing.until, &TERMS);
    assert_eq!(later.allowance(&TERMS), 1);
}

#[test]
fn others_listings_are_taken_over_within_bounds() {
    let told = |until| Listing {
        until,
        reason: Reason::Told,
        times: 1,
    };
    let mut entry = Entry::default().at(NOW, &TERMS);
    assert!(!entry.told(told(NOW), NOW));
    assert!(entry.told(told(NOW + 60), NOW));
    assert!(!entry.told(told(NOW + 60), NOW));
    assert!(!entry.told(told(NOW + 59), NOW));
    assert!(entry.told(told(u32::MAX), NOW));
    assert_eq!(entry.listing(NOW).map(|l| l.until), Some(NOW + 2_592_000));
    assert!(entry.pardon(NOW) && !entry.pardon(NOW));
    assert_eq!(entry.listing(NOW), None);
}
