//! What is counted of what is remembered.

use super::sharing::Workers;
use super::*;
use crate::worker::Tally;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const CLIENT: &str = "203.0.113.7";
const TWO_SITES: &str = r#""sites": ["a.test", "b.test"], "threshold": 2"#;

fn tally(recalled: &[u32], evicted: u32) -> Tally {
    let recalled = recalled.to_vec();
    Tally { recalled, evicted }
}

#[test]
fn answers_at_hand_are_counted_for_each_site_that_gave_them() {
    let mut bench = Bench::with(TWO_SITES);
    bench.come(CLIENT, 1);
    bench.says("a.test", &Say::Unlisted(Some((300, 300))));
    bench.says("b.test", &Say::Unlisted(Some((100, 100))));
    assert_eq!(bench.lookups.take_tally(), tally(&[0, 0], 0), "all asked");
    bench.come(CLIENT, 2);
    bench.come(CLIENT, 3);
    assert_eq!(bench.lookups.take_tally(), tally(&[2, 2], 0));
    assert_eq!(
        bench.lookups.take_tally(),
        tally(&[0, 0], 0),
        "told already"
    );
}

#[test]
fn a_lookup_that_asks_some_sites_recalls_the_others() {
    let mut bench = Bench::with(r#""sites": ["a.test", "b.test"]"#);
    bench.come(CLIENT, 1);
    bench.says("a.test", &Say::Unlisted(Some((300, 300))));
    bench.says("b.test", &Say::Unlisted(Some((100, 100))));
    bench.now.wall += Duration::from_secs(200);
    assert_eq!(bench.come(CLIENT, 2), LookUp::Begins);
    assert_eq!(bench.names(), ["7.113.0.203.b.test"]);
    assert_eq!(bench.come(CLIENT, 3), LookUp::Waits, "another one's lookup");
    assert_eq!(bench.lookups.take_tally(), tally(&[1, 0], 0));
}

#[test]
fn an_answer_of_another_worker_is_one_at_hand() {
    let mut workers = Workers::new(2, ONE_SITE);
    workers.come(0, CLIENT, 1, Wait::Greeting);
    workers.come(1, CLIENT, 1, Wait::Greeting);
    workers.says(0, "bl.test", A, &unlisted());
    let tallies = workers.benches.iter_mut().map(|b| b.lookups.take_tally());
    assert_eq!(
        tallies.collect::<Vec<_>>(),
        [tally(&[0], 0), tally(&[1], 0)]
    );
}

#[test]
fn clients_that_make_room_are_counted_while_their_answers_are_believed() {
    let mut bench = Bench::with(r#""sites": ["bl.test"], "cache": {"clients": 16}"#);
    let mut come = |host: u8, ttl: u32, later: u64| {
        bench.now.wall += Duration::from_secs(later);
        bench.come(&format!("203.0.113.{host}"), host.into());
        bench.says("bl.test", &Say::Unlisted(Some((ttl, ttl))));
        bench.lookups.take_tally().evicted
    };
    assert_eq!([come(1, 300, 0), come(2, 100, 0)], [0, 0], "there is room");
    let others: u32 = (3..=16).map(|host| come(host, 300, 0)).sum();
    assert_eq!(others, 0, "for sixteen of them");
    assert_eq!(come(17, 300, 0), 1, "the first one is believed");
    assert_eq!(come(18, 300, 200), 0, "the second one is not any more");
    assert_eq!(bench.lookups.remembered(), 16);
}
