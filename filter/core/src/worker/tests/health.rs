//! Which sites are asked at all.

use super::*;
use crate::dnsbl::Fault;
use crate::worker::{Standing, TestPoint, Unfit};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const GOOD: [Say; 2] = [Say::Address([127, 0, 0, 2]), Say::Unlisted(None)];

/// Answers 127.0.0.2 and 127.0.0.1 of one site.
fn test_says(bench: &mut Bench, [first, second]: &[Say; 2]) {
    bench.says("2.0.0.127.bl.test", first);
    bench.says("1.0.0.127.bl.test", second);
}

/// The standings noted since this was last asked.
fn standings(bench: &mut Bench) -> Vec<Standing> {
    let notes = std::mem::take(&mut bench.notes).into_iter();
    let standings = notes.filter_map(|note| match note {
        LookupNote::Standing(0, standing) => Some(standing),
        _ => None,
    });
    standings.collect()
}

/// Lets seconds pass until the site is tested; how many.
fn tested_after(bench: &mut Bench) -> u64 {
    for seconds in 1..100_000 {
        bench.pass_seconds(1);
        if bench.names() == ["2.0.0.127.bl.test", "1.0.0.127.bl.test"] {
            return seconds;
        }
    }
    panic!("never");
}

#[test]
fn a_site_is_in_use_while_it_passes_its_tests() {
    let mut bench = Bench::untested(&policy(ONE_SITE));
    let in_use = |bench: &Bench| bench.lookups.in_use().collect::<Vec<_>>();
    bench.tick();
    assert_eq!(in_use(&bench), [false], "not tested yet");
    bench.pass_tests();
    assert_eq!(in_use(&bench), [true]);
    for host in 1..=100 {
        bench.come(&format!("203.0.113.{host}"), host);
        if in_use(&bench) == [true] {
            bench.says("bl.test", &Say::ServFail);
        }
    }
    assert_eq!(in_use(&bench), [false], "it fails");
}

#[test]
fn clients_wait_until_both_test_points_are_good() {
    let mut bench = Bench::untested(&policy(ONE_SITE));
    assert_eq!(bench.come("203.0.113.7", 1), LookUp::Begins);
    assert_eq!(bench.names(), [""; 0]);
    bench.tick();
    assert_eq!(bench.names(), ["2.0.0.127.bl.test", "1.0.0.127.bl.test"]);
    let tested = LookupNote::Tested(0);
    assert_eq!(bench.notes, [tested, tested]);
    bench.says("2.0.0.127.bl.test", &GOOD[0]);
    assert_eq!(bench.lookups.next_queued(), None);
    bench.says("1.0.0.127.bl.test", &GOOD[1]);
    assert_eq!(standings(&mut bench), [Standing::Fit]);
    bench.begin();
    assert_eq!(bench.names(), ["7.113.0.203.bl.test"]);
    bench.tick();
    assert_eq!(bench.asked.len(), 1, "and not tested again at once");
}

#[test]
fn what_test_points_tell() {
    let no_list = Unfit::NoList(Fault::OutsideLoopback);
    for (says, unfit) in [
        (
            [Say::Unlisted(None), Say::Unlisted(None)],
            Unfit::ListsNothing,
        ),
        ([listed(), listed()], Unfit::ListsEverything),
        (
            [listed(), Say::Address([127, 0, 0, 1])],
            Unfit::ListsEverything,
        ),
        (
            [
                Say::Address([203, 0, 113, 1]),
                Say::Address([203, 0, 113, 1]),
            ],
            no_list,
        ),
        ([Say::ServFail, Say::Address([203, 0, 113, 1])], no_list),
        ([Say::Address([203, 0, 113, 1]), Say::ServFail], no_list),
        ([Say::ServFail, listed()], Unfit::ListsEverything),
        (
            [Say::ServFail, Say::ServFail],
            Unfit::Failing(Fault::ServFail),
        ),
        ([listed(), Say::ServFail], Unfit::Failing(Fault::ServFail)),
        (
            [Say::Address([127, 255, 255, 254]), Say::Unlisted(None)],
            Unfit::Failing(Fault::ErrorCode),
        ),
        (
            [Say::Address([127, 0, 0, 1]), Say::Unlisted(None)],
            Unfit::NoList(Fault::TestPoint),
        ),
    ] {
        let mut bench = Bench::untested(&policy(ONE_SITE));
        bench.tick();
        test_says(&mut bench, &says);
        assert_eq!(standings(&mut bench), [Standing::Unfit(unfit)], "{says:?}");
        at_once(bench.come("203.0.113.7", 1), Told::NoSite);
        assert!(bench.asked.is_empty());
    }
    let name = |unfit: Unfit| unfit.name();
    assert_eq!(name(Unfit::ListsNothing), "lists_nothing");
    assert_eq!(name(no_list), "outside_loopback");
    let points = [TestPoint::Listed, TestPoint::Unlisted].map(TestPoint::address);
    assert_eq!(
        points.map(|point| point.to_string()),
        ["127.0.0.2", "127.0.0.1"]
    );
}

#[test]
fn an_unfit_site_is_tried_again_with_patience() {
    let fields = r#""sites": ["bl.test"], "self_test_s": 1000,
        "breaker": {"retry_s": 5, "max_retry_s": 30}"#;
    let mut bench = Bench::untested(&policy(fields));
    bench.tick();
    test_says(&mut bench, &[Say::ServFail, Say::ServFail]);
    for seconds in [5, 10, 20, 30, 30] {
        assert_eq!(tested_after(&mut bench), seconds);
        test_says(&mut bench, &[Say::ServFail, Say::ServFail]);
    }
    assert_eq!(standings(&mut bench).len(), 1, "told once");
    assert_eq!(tested_after(&mut bench), 30);
    test_says(&mut bench, &GOOD);
    assert_eq!(standings(&mut bench), [Standing::Fit]);
    assert_eq!(tested_after(&mut bench), 1000);
    test_says(&mut bench, &[Say::Unlisted(None), Say::Unlisted(None)]);
    assert_eq!(tested_after(&mut bench), 5, "patience begins anew");
}

#[test]
fn failures_in_a_row_open_the_breaker() {
    let fields = r#""sites": ["bl.test"], "breaker": {"failures": 3, "retry_s": 7}"#;
    let mut bench = Bench::with(fields);
    let mut host = 0;
    let mut say = |bench: &mut Bench, say: &Say| {
        host += 1;
        bench.come(&format!("203.0.113.{host}"), host);
        bench.says("bl.test", say);
    };
    for _ in 0..3 {
        say(&mut bench, &Say::ServFail);
        say(&mut bench, &Say::ServFail);
        say(&mut bench, &unlisted());
    }
    assert_eq!(standings(&mut bench), []);
    for _ in 0..3 {
        say(&mut bench, &Say::ServFail);
    }
    let failing = Standing::Unfit(Unfit::Failing(Fault::ServFail));
    assert_eq!(standings(&mut bench), [failing]);
    at_once(bench.come("203.0.113.99", 99), Told::NoSite);
    assert_eq!(tested_after(&mut bench), 7);
    test_says(&mut bench, &[Say::ServFail, Say::ServFail]);
    assert_eq!(tested_after(&mut bench), 14, "doubled with each failure");
    test_says(&mut bench, &GOOD);
    assert_eq!(standings(&mut bench), [Standing::Fit]);
    assert_eq!(bench.come("203.0.113.99", 99), LookUp::Begins);
}

#[test]
fn what_a_failing_site_said_before_is_still_believed() {
    let fields = r#""sites": ["bl.test"], "breaker": {"failures": 1}"#;
    let mut bench = Bench::with(fields);
    bench.come("203.0.113.7", 1);
    bench.says("bl.test", &listed());
    bench.come("203.0.113.8", 2);
    bench.says("bl.test", &Say::Nothing(Fault::Timeout));
    bench.ruled();
    let ruling = at_once(bench.come("203.0.113.7", 3), Told::Remembered);
    assert_eq!(sites(&ruling).0, [("bl.test", 1)]);
    at_once(bench.come("203.0.113.9", 4), Told::NoSite);
}

#[test]
fn what_is_no_list_lists_nobody_not_even_those_it_listed_before() {
    let fields = r#""sites": ["bl.test", "bad.test"], "self_test_s": 10"#;
    let mut bench = Bench::with(fields);
    bench.come("203.0.113.7", 1);
    bench.says("7.113.0.203.bl.test", &unlisted());
    bench.says("7.113.0.203.bad.test", &listed());
    assert!(matches!(bench.ruling_of(1), Ruling::Listed(_)));
    bench.pass_seconds(10);
    bench.says("2.0.0.127.bad.test", &listed());
    bench.says("1.0.0.127.bad.test", &listed());
    bench.pass_tests();
    let ruling = at_once(bench.come("203.0.113.7", 2), Told::Remembered);
    assert_eq!(ruling, Ruling::Clear);
}

#[test]
fn a_lookup_under_way_waits_for_no_site_that_fails() {
    let fields = r#""sites": ["a.test*2", "b.test"], "threshold": 2, "breaker": {"failures": 1}"#;
    let mut bench = Bench::with(fields);
    bench.come("203.0.113.7", 1);
    bench.come("203.0.113.8", 2);
    bench.says("7.113.0.203.a.test", &Say::ServFail);
    assert_eq!(bench.ruling_of(1), Ruling::Clear);
    bench.says("8.113.0.203.b.test", &unlisted());
    assert_eq!(bench.ruling_of(2), Ruling::Clear);
    // It answers after all, for the next session.
    bench.says("8.113.0.203.a.test", &listed());
    let ruling = at_once(bench.come("203.0.113.8", 3), Told::Remembered);
    assert_eq!(sites(&ruling).0, [("a.test", 2)]);
}
