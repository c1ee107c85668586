//! What workers share, as octets.

use super::*;
use crate::client::Prefixes;
use crate::worker::known::{Finding, Known, Says};
use crate::worker::slots::{Claimant, Claimed, MAX_ENTRIES, Slot};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const PRINT: u32 = 0x5eed;

fn client(host: u8) -> Client {
    let prefixes = Prefixes { ipv4: 32, ipv6: 64 };
    prefixes.client([203, 0, 113, host].into())
}

fn by(queue: u32, now: u32) -> Claimant {
    Claimant {
        queue,
        now,
        holds: 10,
    }
}

fn knows(until: u32) -> Known {
    let says = Says::Unlisted;
    Known(vec![Some(Finding { says, until })])
}

fn nothing() -> Known {
    Known(vec![None])
}

/// Claims while nothing is known.
fn claim(slot: &mut Slot, host: u8, by: Claimant) -> Claimed {
    slot.claim(client(host), nothing(), by, |known| *known != nothing())
}

#[test]
fn a_claim_is_one_workers_until_it_publishes() {
    let mut slot = Slot::default();
    assert_eq!(claim(&mut slot, 1, by(7, 100)), Claimed::Mine(nothing()));
    for queue in [8, 9, 8] {
        let theirs = claim(&mut slot, 1, by(queue, 101));
        assert_eq!(theirs, Claimed::Theirs(nothing()));
    }
    assert_eq!(slot.publish(client(1), &knows(200), 102), [8, 9]);
    assert_eq!(slot.known(client(1)), Some(&knows(200)));
    let known = claim(&mut slot, 1, by(8, 103));
    assert_eq!(known, Claimed::Mine(knows(200)));
    assert_eq!(slot.publish(client(1), &knows(200), 103), [0; 0]);
}

#[test]
fn a_claim_expires() {
    let mut slot = Slot::default();
    claim(&mut slot, 1, by(7, 100));
    for (now, theirs) in [(110, true), (111, false)] {
        let mut slot = slot.clone();
        let claimed = claim(&mut slot, 1, by(8, now));
        assert_eq!(claimed == Claimed::Theirs(nothing()), theirs, "{now}");
    }
    // A clock set back does not make it hold for longer.
    assert_eq!(claim(&mut slot, 1, by(8, 50)), Claimed::Mine(nothing()));
}

#[test]
fn workers_beyond_those_that_may_wait_take_nothing_from_them() {
    let mut slot = Slot::default();
    claim(&mut slot, 1, by(0, 100));
    for queue in 1..=16 {
        let theirs = claim(&mut slot, 1, by(queue, 100));
        assert_eq!(theirs, Claimed::Theirs(nothing()));
    }
    assert_eq!(claim(&mut slot, 1, by(17, 100)), Claimed::Mine(nothing()));
    // One that waits already may say so again.
    assert_eq!(claim(&mut slot, 1, by(16, 100)), Claimed::Theirs(nothing()));
    let waiting = slot.publish(client(1), &knows(200), 101);
    assert_eq!(waiting, (1..=16).collect::<Vec<_>>());
}

#[test]
fn a_worker_that_claims_again_keeps_those_that_wait() {
    let mut slot = Slot::default();
    claim(&mut slot, 1, by(7, 100));
    claim(&mut slot, 1, by(8, 100));
    assert_eq!(claim(&mut slot, 1, by(7, 105)), Claimed::Mine(nothing()));
    assert_eq!(slot.publish(client(1), &knows(200), 106), [8]);
}

#[test]
fn a_full_slot_gives_up_what_is_of_least_use() {
    let mut slot = Slot::default();
    for host in 0..MAX_ENTRIES as u8 {
        slot.publish(client(host), &knows(200 + u32::from(host)), 100);
    }
    slot.claim(client(50), nothing(), by(7, 100), |_| false);
    assert_eq!(slot.known(client(0)), None);
    assert_eq!(slot.known(client(1)), Some(&knows(201)));
    // The one just claimed stays, though nothing is known of it.
    slot.publish(client(51), &knows(500), 100);
    assert_eq!(slot.known(client(50)), Some(&nothing()));
    assert_eq!(slot.known(client(1)), None);
    // What claims to be known for ever is not.
    slot.publish(client(52), &knows(u32::MAX), 100);
    slot.publish(client(53), &knows(300), 100);
    assert_eq!(slot.known(client(52)), None);
}

#[test]
fn claims_that_hold_are_not_given_up() {
    let mut slot = Slot::default();
    for host in 0..MAX_ENTRIES as u8 {
        claim(&mut slot, host, by(7, 100));
        claim(&mut slot, host, by(8, 100));
    }
    assert_eq!(claim(&mut slot, 99, by(9, 100)), Claimed::Mine(nothing()));
    assert_eq!(slot.publish(client(99), &knows(200), 101), [0; 0]);
    for host in 0..MAX_ENTRIES as u8 {
        let waiting = slot.publish(client(host), &knows(200), 101);
        assert_eq!(waiting, [8], "{host}");
    }
}

#[test]
fn better_knowledge_is_kept() {
    let known = |says: Says, until| Known(vec![Some(Finding { says, until })]);
    let listed = Says::Listed(vec![[127, 0, 0, 2].into()]);
    for (old, new, kept_old) in [
        (known(listed.clone(), 200), known(Says::Unlisted, 199), true),
        (
            known(listed.clone(), 200),
            known(Says::Unlisted, 201),
            false,
        ),
        (known(listed.clone(), 99), known(Says::Unlisted, 120), false),
        (known(listed.clone(), 150), known(Says::Nothing, 160), true),
        (
            known(listed.clone(), 90_000_000),
            known(Says::Unlisted, 120),
            false,
        ),
        (known(listed.clone(), 200), nothing(), true),
    ] {
        let mut slot = Slot::default();
        slot.publish(client(1), &old, 100);
        slot.publish(client(1), &new, 100);
        let expected = if kept_old { &old } else { &new };
        assert_eq!(slot.known(client(1)), Some(expected));
    }
}

fn full() -> Slot {
    let mut slot = Slot::default();
    let codes = (2..10).map(|last| [127, 0, 0, last].into()).collect();
    let known = Known(vec![
        Some(Finding {
            says: Says::Listed(codes),
            until: 300,
        }),
        Some(Finding {
            says: Says::Nothing,
            until: 200,
        }),
        None,
        Some(Finding {
            says: Says::Unlisted,
            until: 301,
        }),
    ]);
    for host in 0..MAX_ENTRIES as u8 {
        slot.claim(client(host), known.clone(), by(7, 100), |_| false);
        slot.claim(client(host), known.clone(), by(8, 100), |_| false);
    }
    slot
}

#[test]
fn octets_are_read_back() {
    let slot = full();
    let octets = slot.encode(PRINT);
    assert_eq!(Slot::decode(&octets, PRINT, 4), slot);
    assert_eq!(Slot::decode(&[], PRINT, 4), Slot::default());
    assert!(octets.len() < 1024, "{}", octets.len());
}

#[test]
fn what_is_no_slot_of_ours_is_an_empty_one() {
    let octets = full().encode(PRINT);
    let empty = |octets: &[u8], print, zones| Slot::decode(octets, print, zones) == Slot::default();
    assert!(empty(&octets, PRINT + 1, 4));
    assert!(empty(&octets, PRINT, 3) && empty(&octets, PRINT, 5));
    for end in 0..octets.len() {
        assert!(empty(&octets[..end], PRINT, 4), "{end}");
    }
    assert!(empty(&[&octets[..], &[0]].concat(), PRINT, 4));
    for (at, octet) in [(0, 2), (5, 9), (5, 255), (6, 33)] {
        let mut other = octets.clone();
        other[at] = octet;
        assert!(empty(&other, PRINT, 4), "{at} {octet}");
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod properties {
    use super::*;
    use proptest::prelude::*;

    fn octets() -> impl Strategy<Value = Vec<u8>> {
        let wild = prop::collection::vec(any::<u8>(), 0..300);
        let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
        let edited = edits.prop_map(|edits| {
            let mut octets = full().encode(PRINT);
            for (at, octet) in edits {
                let at = at.index(octets.len());
                octets[at] = octet;
            }
            octets
        });
        prop_oneof![wild, edited]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Whatever stands in a slot, it is read in one way, and bounded.
        #[test]
        fn any_octets_are_survived(octets in octets(), zones in 0_usize..6, now in any::<u32>()) {
            let mut slot = Slot::decode(&octets, PRINT, zones);
            let written = slot.encode(PRINT);
            prop_assert_eq!(&Slot::decode(&written, PRINT, zones), &slot);
            prop_assert!(written.len() <= octets.len().max(6));
            let blank = Known(vec![None; zones]);
            slot.claim(client(1), blank.clone(), by(7, now), |_| false);
            let waiting = slot.publish(client(1), &blank, now);
            prop_assert!(waiting.len() <= 16);
        }
    }
}
