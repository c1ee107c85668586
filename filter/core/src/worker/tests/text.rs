//! The text of a listing.

use super::*;
use crate::dnsbl::Fault;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const CLIENT: &str = "203.0.113.7";
const TWO: &str = r#""sites": ["a.test*2", "b.test*5"], "threshold": 2, "text": "txt""#;

#[test]
fn the_text_is_asked_for_once_and_remembered() {
    let mut bench = Bench::with(r#""sites": ["bl.test"], "text": "txt""#);
    bench.come(CLIENT, 1);
    assert_eq!(bench.asked.len(), 1);
    bench.says("bl.test", &listed());
    assert_eq!(bench.ruled(), []);
    assert_eq!(bench.come(CLIENT, 2), LookUp::Waits);
    bench.answer("7.113.0.203.bl.test", TXT, &Say::Text("see {here}"));
    let ruled = bench.ruled();
    assert_eq!(ruled.len(), 2);
    assert_eq!(sites(&ruled[0].1).1, Some("see (here)"));
    let ruling = at_once(bench.come(CLIENT, 3), Told::Remembered);
    assert_eq!(sites(&ruling).1, Some("see (here)"));
    assert!(bench.asked.is_empty());
}

#[test]
fn a_client_that_is_welcome_costs_no_text() {
    let mut bench = Bench::with(r#""sites": ["bl.test"], "text": "txt""#);
    bench.come(CLIENT, 1);
    bench.says("bl.test", &unlisted());
    assert_eq!(bench.ruling_of(1), Ruling::Clear);
    assert!(bench.asked.is_empty());
}

#[test]
fn a_text_that_fails_is_none_and_is_not_asked_for_again() {
    for say in [
        Say::Nothing(Fault::Timeout),
        Say::ServFail,
        Say::Unlisted(None),
    ] {
        let mut bench = Bench::with(r#""sites": ["bl.test"], "text": "txt""#);
        bench.come(CLIENT, 1);
        bench.says("bl.test", &listed());
        bench.answer("bl.test", TXT, &say);
        assert_eq!(sites(&bench.ruling_of(1)), (vec![("bl.test", 1)], None));
        let ruling = at_once(bench.come(CLIENT, 2), Told::Remembered);
        assert_eq!(sites(&ruling), (vec![("bl.test", 1)], None));
    }
}

#[test]
fn over_the_budget_a_listing_goes_without_its_text() {
    let mut bench = Bench::with(r#""sites": ["bl.test"], "text": "txt", "budget_ms": 300"#);
    bench.come(CLIENT, 1);
    bench.says("bl.test", &listed());
    bench.pass(Duration::from_millis(300));
    assert_eq!(sites(&bench.ruling_of(1)), (vec![("bl.test", 1)], None));
    bench.answer("bl.test", TXT, &Say::Text("late"));
    let ruling = at_once(bench.come(CLIENT, 2), Told::Remembered);
    assert_eq!(sites(&ruling).1, Some("late"));
}

#[test]
fn the_text_outlives_the_answer_it_explains_within_a_lookup() {
    let fields = r#""sites": ["bl.test"], "text": "txt", "ttl": {"min_s": 1}"#;
    let mut bench = Bench::with(fields);
    bench.come_to(CLIENT, 1, Wait::Session);
    bench.says("bl.test", &Say::Listed(vec![2], 1));
    bench.now.wall += Duration::from_secs(3);
    bench.answer("bl.test", TXT, &Say::Text("why"));
    assert_eq!(sites(&bench.ruling_of(1)).1, Some("why"));
}

#[test]
fn no_site_is_given_another_ones_text() {
    let mut bench = Bench::with(TWO);
    bench.come(CLIENT, 1);
    bench.says("a.test", &listed());
    assert_eq!(bench.asked[1].name, "7.113.0.203.a.test");
    bench.says("b.test", &listed());
    bench.answer("a.test", TXT, &Say::Text("of a"));
    let ruling = bench.ruling_of(1);
    let (named, text) = sites(&ruling);
    assert!(
        named[0].0 == "a.test" || text.is_none(),
        "{named:?} {text:?}"
    );
    // Next time the one that weighs most by now is asked.
    assert_eq!(bench.come(CLIENT, 2), LookUp::Begins);
    bench.answer("b.test", TXT, &Say::Text("of b"));
    let ruling = bench.ruling_of(2);
    assert_eq!(
        sites(&ruling),
        (vec![("b.test", 5), ("a.test", 2)], Some("of b"))
    );
    let ruling = at_once(bench.come(CLIENT, 3), Told::Remembered);
    assert_eq!(sites(&ruling).1, Some("of b"));
}

#[test]
fn a_text_goes_with_the_answer_of_its_site() {
    let mut bench = Bench::with(TWO);
    bench.come(CLIENT, 1);
    bench.says("b.test", &Say::Listed(vec![2], 60));
    bench.says("a.test", &Say::Listed(vec![2], 3600));
    bench.answer("b.test", TXT, &Say::Text("of b"));
    assert_eq!(sites(&bench.ruling_of(1)).1, Some("of b"));
    bench.pass_seconds(61);
    // Only a.test is known to list it now, which is enough.
    let came = bench.come(CLIENT, 2);
    assert_eq!(came, LookUp::Begins);
    bench.says("b.test", &unlisted());
    bench.answer("a.test", TXT, &Say::Text("of a"));
    let ruling = bench.ruling_of(2);
    assert_eq!(sites(&ruling), (vec![("a.test", 2)], Some("of a")));
}

#[test]
fn without_room_for_its_text_a_known_listing_still_counts() {
    let mut bench = Bench::with(&format!(r#"{TWO}, "in_flight": 2"#));
    bench.come(CLIENT, 1);
    bench.says("a.test", &listed());
    bench.says("b.test", &listed());
    bench.answer("a.test", TXT, &Say::Text("of a"));
    bench.ruled();
    bench.come("203.0.113.8", 2);
    let ruling = at_once(bench.come(CLIENT, 3), Told::Remembered);
    assert_eq!(sites(&ruling), (vec![("b.test", 5), ("a.test", 2)], None));
}
