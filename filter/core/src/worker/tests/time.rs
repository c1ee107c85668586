//! What time does to a lookup, and to what is known.

use super::*;
use crate::dnsbl::Fault;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const CLIENT: &str = "203.0.113.7";

/// For how long an answer is believed.
fn believed(fields: &str, say: &Say) -> u64 {
    let mut bench = Bench::with(&format!(r#""sites": ["bl.test"], {fields}"#));
    bench.come(CLIENT, 1);
    bench.says("bl.test", say);
    for seconds in 1..100_000 {
        bench.now.wall += Duration::from_secs(1);
        if bench.come(CLIENT, 2) == LookUp::Begins {
            return seconds;
        }
    }
    panic!("for ever");
}

#[test]
fn answers_are_believed_for_as_long_as_they_say() {
    let bounds = r#""ttl": {"min_s": 20, "max_s": 400, "error_s": 7}"#;
    for (say, seconds) in [
        (Say::Listed(vec![2], 100), 100),
        (Say::Listed(vec![2], 19), 20),
        (Say::Listed(vec![2], 0), 20),
        (Say::Listed(vec![2], 401), 400),
        (Say::Listed(vec![2], u32::MAX), 20),
        (Say::Unlisted(Some((300, 50))), 50),
        (Say::Unlisted(Some((30, 500))), 30),
        (Say::Unlisted(Some((9000, 9000))), 400),
        (Say::Unlisted(None), 20),
        (Say::ServFail, 7),
        (Say::Address([127, 255, 255, 254]), 7),
        (Say::Nothing(Fault::Timeout), 7),
    ] {
        assert_eq!(believed(bounds, &say), seconds, "{say:?}");
    }
    assert_eq!(believed(r#""ttl": {"max_s": 60}"#, &listed()), 60);
}

#[test]
fn a_clock_set_back_keeps_nothing_for_longer() {
    let mut bench = Bench::with(ONE_SITE);
    bench.come(CLIENT, 1);
    bench.says("bl.test", &listed());
    bench.now.wall -= Duration::from_secs(86_400);
    assert_eq!(bench.come(CLIENT, 2), LookUp::Begins);
    bench.says("bl.test", &unlisted());
    assert_eq!(
        at_once(bench.come(CLIENT, 3), Told::Remembered),
        Ruling::Clear
    );
}

#[test]
fn a_greeting_waits_for_the_budget_and_the_answer_is_for_the_next() {
    let mut bench = Bench::with(r#""sites": ["bl.test"], "budget_ms": 300"#);
    assert!(!bench.lookups.hold_greetings());
    bench.come(CLIENT, 1);
    bench.pass(Duration::from_millis(200));
    bench.come(CLIENT, 2);
    assert!(bench.lookups.hold_greetings());
    bench.pass(Duration::from_millis(99));
    assert_eq!(bench.ruled(), []);
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.ruling_of(1), Ruling::OverBudget);
    bench.says("bl.test", &listed());
    assert_eq!(sites(&bench.ruling_of(2)).0, [("bl.test", 1)]);
    bench.pass(Duration::from_millis(300));
    assert_eq!(bench.ruled(), []);
    assert!(!bench.lookups.hold_greetings());
    let ruling = at_once(bench.come(CLIENT, 3), Told::Remembered);
    assert_eq!(sites(&ruling).0, [("bl.test", 1)]);
}

#[test]
fn a_session_that_goes_on_meanwhile_waits_for_the_end() {
    let mut bench = Bench::with(r#""sites": ["bl.test"], "budget_ms": 300"#);
    bench.come_to(CLIENT, 1, Wait::Session);
    bench.come(CLIENT, 2);
    bench.pass(Duration::from_millis(400));
    assert_eq!(bench.ruling_of(2), Ruling::OverBudget);
    bench.says("bl.test", &listed());
    assert_eq!(sites(&bench.ruling_of(1)).0, [("bl.test", 1)]);
}

#[test]
fn a_question_that_never_comes_back_is_given_up() {
    let mut bench = Bench::with(r#""sites": ["a.test", "b.test"], "timeout_ms": 2000"#);
    bench.come_to(CLIENT, 1, Wait::Session);
    let lost = bench.asked[1].clone();
    bench.pass(Duration::from_millis(1500));
    bench.come_to("203.0.113.8", 2, Wait::Session);
    bench.says("7.113.0.203.a.test", &unlisted());
    bench.pass(Duration::from_millis(1499));
    assert_eq!(bench.ruled(), []);
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.ruling_of(1), Ruling::Clear);
    assert!(bench.notes.contains(&LookupNote::Failed(1, Fault::Timeout)));
    // What comes after all is nobody's.
    let body = lost.answer(&listed()).unwrap();
    let steps = bench.lookups.answered(lost.ticket, Ok(&body), bench.now);
    assert_eq!(steps, Steps::default());
    bench.says("8.113.0.203.a.test", &unlisted());
    bench.says("8.113.0.203.b.test", &listed());
    assert_eq!(sites(&bench.ruling_of(2)).0, [("b.test", 1)]);
}

#[test]
fn what_was_known_when_a_lookup_began_counts_to_its_end() {
    let fields = r#""sites": ["a.test", "b.test"], "threshold": 2, "ttl": {"min_s": 1}"#;
    let mut bench = Bench::with(fields);
    bench.come_to(CLIENT, 1, Wait::Session);
    bench.says("a.test", &Say::Listed(vec![2], 10));
    bench.says("b.test", &Say::Listed(vec![2], 5));
    bench.ruled();
    bench.now.wall += Duration::from_secs(9);
    assert_eq!(bench.come_to(CLIENT, 2, Wait::Session), LookUp::Begins);
    assert_eq!(bench.names(), ["7.113.0.203.b.test"]);
    bench.now.wall += Duration::from_secs(2);
    bench.says("b.test", &listed());
    assert_eq!(sites(&bench.ruling_of(2)).0.len(), 2);
    // The same of an answer that holds for less than another one takes.
    let mut bench = Bench::with(fields);
    bench.come_to(CLIENT, 1, Wait::Session);
    bench.says("a.test", &Say::Listed(vec![2], 1));
    bench.now.wall += Duration::from_secs(3);
    bench.says("b.test", &listed());
    assert_eq!(sites(&bench.ruling_of(1)).0.len(), 2);
}

#[test]
fn tickets_wrap_around() {
    let mut bench = Bench::with(ONE_SITE);
    bench.lookups.wind_tickets_on();
    for host in 1..5 {
        let from = format!("203.0.113.{host}");
        bench.come(&from, host);
    }
    let mut tickets: Vec<u32> = bench.asked.iter().map(|asked| asked.ticket).collect();
    assert!(tickets.contains(&u32::MAX) && tickets.contains(&0));
    tickets.sort_unstable();
    tickets.dedup();
    assert_eq!(tickets.len(), 4);
    for host in 1..5 {
        bench.says(&format!("{host}.113.0.203.bl.test"), &listed());
        assert_eq!(sites(&bench.ruling_of(host)).0.len(), 1);
    }
}
