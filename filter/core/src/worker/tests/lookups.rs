//! Who asks what, and what the answers add up to.

use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const CLIENT: &str = "203.0.113.7";

#[test]
fn sessions_of_one_client_make_one_question_for_each_zone() {
    let mut bench = Bench::with(r#""sites": ["a.test", "b.test=127.0.0.9*3", "b.test"]"#);
    assert_eq!(bench.come(CLIENT, 1), LookUp::Begins);
    for waiter in 2..50 {
        assert_eq!(bench.come(CLIENT, waiter), LookUp::Waits);
    }
    assert_eq!(bench.names(), ["7.113.0.203.a.test", "7.113.0.203.b.test"]);
    bench.says("a.test", &unlisted());
    assert_eq!(bench.ruled(), []);
    bench.says("b.test", &Say::Listed(vec![9, 4], 300));
    let ruled = bench.ruled();
    let mut told: Vec<u32> = ruled.iter().map(|(waiter, _)| *waiter).collect();
    told.sort_unstable();
    assert_eq!(told, (1..50).collect::<Vec<_>>());
    assert!(ruled.iter().all(|(_, r)| sites(r).0 == [("b.test", 4)]));
    let ruling = at_once(bench.come(CLIENT, 99), Told::Remembered);
    assert_eq!(sites(&ruling).0, [("b.test", 4)]);
    assert!(bench.asked.is_empty());
}

#[test]
fn addresses_of_one_prefix_are_asked_about_once() {
    let mut bench = Bench::with(ONE_SITE);
    assert_eq!(bench.come("2001:db8:1:2::1", 1), LookUp::Begins);
    assert_eq!(bench.come("2001:db8:1:2:ffff::9", 2), LookUp::Waits);
    assert_eq!(bench.come("2001:db8:1:3::1", 3), LookUp::Begins);
    assert_eq!(bench.come("203.0.113.7", 4), LookUp::Begins);
    assert_eq!(bench.come("::ffff:203.0.113.7", 5), LookUp::Waits);
    let first = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.bl.test";
    assert_eq!(bench.names()[0], first);
    assert_eq!(bench.asked.len(), 3);
    bench.says(first, &listed());
    let ruled = bench.ruled();
    assert_eq!(ruled.len(), 2);
    assert!(matches!(ruled[1].1, Ruling::Listed(_)));
}

#[test]
fn weights_add_up_to_the_threshold() {
    let fields = r#""sites": ["a.test*2", "b.test*1", "good.test*-2"], "threshold": 3"#;
    for (says, expected) in [
        ([true, true, false], true),
        ([true, false, false], false),
        ([false, true, false], false),
        ([true, true, true], false),
        ([false, false, true], false),
    ] {
        let mut bench = Bench::with(fields);
        bench.come(CLIENT, 1);
        for (zone, is_listed) in ["a.test", "b.test", "good.test"].iter().zip(says) {
            bench.says(zone, &if is_listed { listed() } else { unlisted() });
        }
        match bench.ruling_of(1) {
            Ruling::Clear => assert!(!expected, "{says:?}"),
            ruling => {
                assert!(expected, "{says:?}");
                assert_eq!(sites(&ruling).0, [("a.test", 2), ("b.test", 1)]);
            }
        }
    }
}

#[test]
fn a_ruling_comes_as_soon_as_nothing_can_change_it() {
    let fields = r#""sites": ["a.test*3", "b.test*3", "good.test*-2"], "threshold": 3"#;
    let mut bench = Bench::with(fields);
    bench.come(CLIENT, 1);
    bench.says("a.test", &listed());
    assert_eq!(bench.ruled(), [], "good.test may still speak for it");
    bench.says("b.test", &listed());
    assert_eq!(sites(&bench.ruling_of(1)).0.len(), 2);
    assert_eq!(bench.names(), ["7.113.0.203.good.test"]);
    // Whoever comes meanwhile is told the same.
    let ruling = at_once(bench.come(CLIENT, 2), Told::Joined);
    assert_eq!(sites(&ruling).0.len(), 2);
    bench.says("good.test", &listed());
    assert_eq!(bench.ruled(), []);
    let ruling = at_once(bench.come(CLIENT, 3), Told::Remembered);
    let all = [("a.test", 3), ("b.test", 3), ("good.test", -2)];
    assert_eq!(sites(&ruling).0, all, "the last answer counts next time");
}

#[test]
fn the_sum_is_out_of_reach_early_as_well() {
    let fields = r#""sites": ["a.test*2", "b.test*1", "c.test*1"], "threshold": 3"#;
    let mut bench = Bench::with(fields);
    bench.come(CLIENT, 1);
    bench.says("a.test", &unlisted());
    assert_eq!(bench.ruling_of(1), Ruling::Clear);
    assert_eq!(bench.asked.len(), 2);
    bench.says("b.test", &listed());
    bench.says("c.test", &listed());
    assert_eq!(
        at_once(bench.come(CLIENT, 2), Told::Remembered),
        Ruling::Clear
    );
}

#[test]
fn an_allow_list_that_fails_speaks_for_the_client() {
    let fields = r#""sites": ["a.test*3", "good.test*-2"], "threshold": 3"#;
    for (say, expected) in [
        (Say::ServFail, Ruling::Clear),
        (Say::Address([127, 255, 255, 254]), Ruling::Clear),
    ] {
        let mut bench = Bench::with(fields);
        bench.come(CLIENT, 1);
        bench.says("a.test", &listed());
        bench.says("good.test", &say);
        assert_eq!(bench.ruling_of(1), expected);
    }
    let mut bench = Bench::with(fields);
    bench.come(CLIENT, 1);
    bench.says("good.test", &unlisted());
    bench.says("a.test", &listed());
    assert_eq!(sites(&bench.ruling_of(1)).0, [("a.test", 3)]);
}

#[test]
fn no_answer_but_a_listing_lists_anybody() {
    for say in [
        Say::Address([127, 255, 255, 254]),
        Say::Address([127, 0, 0, 1]),
        Say::Address([203, 0, 113, 1]),
        Say::ServFail,
        Say::Unlisted(None),
        Say::Text("Listed"),
        Say::Nothing(crate::dnsbl::Fault::Timeout),
        Say::Nothing(crate::dnsbl::Fault::HttpStatus(500)),
    ] {
        let mut bench = Bench::with(ONE_SITE);
        bench.come(CLIENT, 1);
        bench.says("bl.test", &say);
        assert_eq!(bench.ruling_of(1), Ruling::Clear, "{say:?}");
    }
    // An answer that is none of this question's.
    let mut bench = Bench::with(ONE_SITE);
    bench.come(CLIENT, 1);
    bench.come("203.0.113.8", 2);
    let (mine, other) = (bench.asked[0].ticket, bench.asked[1].clone());
    let body = other.answer(&listed()).unwrap();
    let steps = bench.lookups.answered(mine, Ok(&body), bench.now);
    assert_eq!(steps.rulings, [(1, Ruling::Clear)]);
}

#[test]
fn reserved_addresses_are_never_asked_about() {
    let json = br#"{"dnsbl": {"sites": ["bl.test"]}}"#;
    let mut bench = Bench::of(&Rc::new(Policy::read(json).unwrap()));
    for from in ["203.0.113.7", "10.0.0.1", "::1", "::ffff:192.168.0.1"] {
        let ruling = at_once(bench.come(from, 1), Told::Reserved);
        assert_eq!(ruling, Ruling::Clear, "{from}");
    }
    assert!(bench.asked.is_empty());
    assert_eq!(bench.come("8.8.8.8", 2), LookUp::Begins);
}

#[test]
fn beyond_the_questions_in_flight_clients_are_let_in() {
    let mut bench = Bench::with(r#""sites": ["a.test", "b.test"], "in_flight": 3"#);
    assert_eq!(bench.come("203.0.113.1", 1), LookUp::Begins);
    assert_eq!(bench.come("203.0.113.2", 2), LookUp::Begins);
    assert_eq!(bench.asked.len(), 4);
    let full = at_once(bench.come("203.0.113.3", 3), Told::Full);
    assert_eq!(full, Ruling::Skipped);
    assert_eq!(bench.come("203.0.113.1", 4), LookUp::Waits);
    for _ in 0..2 {
        bench.says("a.test", &unlisted());
    }
    assert_eq!(bench.come("203.0.113.3", 3), LookUp::Begins);
    // Those that have not begun count as well.
    let mut bench = Bench::with(r#""sites": ["a.test", "b.test"], "in_flight": 3"#);
    for (host, begins) in [(1, true), (2, true), (3, false)] {
        let from = address(&format!("203.0.113.{host}"));
        let came = bench.lookups.look_up(from, host, Wait::Greeting, bench.now);
        assert_eq!(came == LookUp::Begins, begins, "{host}");
    }
}

#[test]
fn post_keeps_the_client_out_of_the_path() {
    let mut bench = Bench::with(r#""sites": ["bl.test"], "method": "post", "authority": "r.test""#);
    let from = address(CLIENT);
    bench.lookups.look_up(from, 1, Wait::Greeting, bench.now);
    let (client, slot) = bench.lookups.next_queued().unwrap();
    assert!(slot.is_some());
    let steps = bench.lookups.begin(client, None, bench.now);
    let request = &steps.questions[0].request;
    assert!(
        request
            .headers
            .contains(&(":path", "/dns-query".to_owned()))
    );
    assert!(
        request
            .headers
            .contains(&(":authority", "r.test".to_owned()))
    );
    assert!(request.body.is_some());
}

#[test]
fn nobody_is_asked_without_sites() {
    let mut bench = Bench::with(r#""sites": []"#);
    assert_eq!(at_once(bench.come(CLIENT, 1), Told::NoSite), Ruling::Clear);
    let mut off = Bench::untested(&policy(r#""sites": ["bl.test"], "lookup": "off""#));
    off.tick();
    assert_eq!(off.names(), [""; 0], "nor are sites tested for nothing");
}
