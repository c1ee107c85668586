//! The store's protocol and who speaks it when.

use super::*;
use crate::client::Client;
use crate::ledger::{Listing, Reason};
use crate::policy::Policy;
use std::time::Duration;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const NOW: u32 = 1_790_000_000;

fn client(text: &str) -> Client {
    text.parse().unwrap()
}

fn policy() -> Policy {
    let json = r#"{"fleet": {"cluster": "store", "authorization": "Basic eA==", "prefix": "p.1"}}"#;
    Policy::read(json.as_bytes()).unwrap()
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn rejected(count: u32) -> News {
    News {
        rejected: count,
        ..News::default()
    }
}

#[test]
fn an_outbox_writes_each_client_once_with_all_its_news() {
    let policy = policy();
    let mut outbox = Outbox::new("here".to_owned(), 100);
    assert_eq!(outbox.due(&policy, millis(0), NOW), None);
    outbox.add(client("203.0.113.7"), rejected(3));
    outbox.add(client("2001:db8::/64"), rejected(1));
    let listed = Listing {
        until: NOW + 60,
        reason: Reason::Streak,
        times: 2,
    };
    let news = News {
        rejected: 2,
        delivered: 4,
        listed: Some(listed),
    };
    outbox.add(client("203.0.113.7"), news);
    let request = outbox.due(&policy, millis(0), NOW).unwrap();
    let body = String::from_utf8(request.body.unwrap()).unwrap();
    let until = NOW + 60;
    let expected = format!(
        "/0/p%2E1/here/1/{}/3600/{}/604800/203%2E0%2E113%2E7%2F32/5/4/{until}/2/ledger%2Estreak/2001%3Adb8%3A%3A%2F64/1/0/0/0/%2D",
        NOW / 3600,
        NOW / 604_800
    );
    assert!(
        body.starts_with("EVAL/local%20") && body.ends_with(&expected),
        "{body}"
    );
    assert!(
        request
            .headers
            .contains(&("authorization", "Basic eA==".to_owned()))
    );
    assert_eq!(outbox.due(&policy, millis(0), NOW), None, "one at a time");
    let totals = read_totals(
        "200",
        br#"{"EVAL":[5,2,4,0,1,0,0,0]}"#,
        outbox.on_its_way(),
        [0.5; 2],
    )
    .unwrap();
    let told = outbox.written(totals, millis(1));
    assert_eq!(told[0].0.0, client("203.0.113.7"));
    assert_eq!(told[0].0.1.rejected, 5);
    let (rejected, delivered) = (6.0, 4.0);
    assert_eq!(
        told[0].1,
        Totals {
            rejected,
            delivered
        }
    );
    assert!(outbox.is_empty());
}

#[test]
fn a_batch_that_failed_is_sent_again_as_it_was() {
    let policy = policy();
    let mut outbox = Outbox::new("here".to_owned(), 100);
    outbox.add(client("203.0.113.7"), rejected(3));
    let first = outbox.due(&policy, millis(0), NOW);
    outbox.add(client("203.0.113.7"), rejected(1));
    assert_eq!(outbox.failed(Fault::Timeout, millis(10)), 0);
    assert_eq!(outbox.due(&policy, millis(1009), NOW), None);
    assert_eq!(outbox.due(&policy, millis(1010), NOW), first);
    let _ = outbox.written(Vec::new(), millis(1020));
    let second = outbox.due(&policy, millis(1020), NOW).unwrap();
    let body = String::from_utf8(second.body.unwrap()).unwrap();
    assert!(
        body.contains("/here/2/") && body.contains("%2F32/1/0/0/0/"),
        "{body}"
    );
}

#[test]
fn a_batch_that_redis_refuses_makes_room_for_others() {
    let policy = policy();
    let mut outbox = Outbox::new("here".to_owned(), 100);
    outbox.add(client("203.0.113.7"), rejected(3));
    assert!(outbox.due(&policy, millis(0), NOW).is_some());
    assert_eq!(outbox.failed(Fault::Refused, millis(0)), 1);
    assert!(outbox.is_empty());
    assert_eq!(outbox.due(&policy, millis(5000), NOW), None);
    // Nor does one whose counts somebody has made nonsense of hold up all that comes behind it.
    outbox.add(client("203.0.113.7"), rejected(3));
    assert!(outbox.due(&policy, millis(5000), NOW).is_some());
    assert_eq!(outbox.failed(Fault::Garbled, millis(5000)), 1);
    assert!(outbox.is_empty());
}

#[test]
fn no_request_is_longer_than_the_store_can_read() {
    let policy = policy();
    let mut outbox = Outbox::new("f".repeat(24), 100_000);
    let listed = Some(Listing {
        until: u32::MAX,
        reason: Reason::Score,
        times: 255,
    });
    for n in 0..1000_u32 {
        let text = format!("2001:db8:aaaa:{n:x}::/64");
        let (rejected, delivered) = (100_000, 100_000);
        let news = News {
            rejected,
            delivered,
            listed,
        };
        outbox.add(client(&text), news);
    }
    let mut batches = 0;
    while let Some(request) = outbox.due(&policy, millis(0), NOW) {
        assert!(request.body.unwrap().len() < 4096 - 200);
        let _ = outbox.written(Vec::new(), millis(0));
        batches += 1;
    }
    assert_eq!(batches, 50);
}

#[test]
fn an_outbox_is_bounded() {
    let mut outbox = Outbox::new("here".to_owned(), 2);
    assert_eq!(outbox.add(client("203.0.113.1"), rejected(1)), 0);
    assert_eq!(outbox.add(client("203.0.113.2"), rejected(1)), 0);
    assert_eq!(outbox.add(client("203.0.113.2"), rejected(1)), 0);
    assert_eq!(outbox.add(client("203.0.113.3"), rejected(1)), 1);
    let body = outbox.due(&policy(), millis(0), NOW).unwrap().body.unwrap();
    let body = String::from_utf8(body).unwrap();
    assert!(
        body.contains("203%2E0%2E113%2E2%2F32/2") && !body.contains("113%2E1%2F32"),
        "{body}"
    );
}

#[test]
fn the_feed_is_read_on_from_where_it_was() {
    let body = br#"{"EVAL":["1795493376194-0",2,"1790000060 3 203.0.113.7/32 there ledger.streak","0 1 2001:db8::/64 - "]}"#;
    let feed = read_feed("200", body).unwrap();
    let listing = Listing {
        until: 1_790_000_060,
        reason: Reason::Streak,
        times: 3,
    };
    let listed = Entry::Listed(client("203.0.113.7"), listing);
    let pardoned = Entry::Pardoned(client("2001:db8::/64"));
    assert_eq!(feed.entries, [listed, pardoned]);
    assert!(!feed.full);
    let policy = policy();
    let mut follow = Follow::new(millis(200));
    let ask = |follow: &mut Follow, now| follow.due(&policy, now).map(|r| r.body.unwrap());
    let first = String::from_utf8(ask(&mut follow, millis(0)).unwrap()).unwrap();
    assert!(first.ends_with("/0/p%2E1/0/200"), "{first}");
    assert_eq!(ask(&mut follow, millis(900)), None, "one at a time");
    assert_eq!(follow.answered(&Ok(feed), millis(900)), None);
    assert_eq!(ask(&mut follow, millis(1099)), None);
    let second = String::from_utf8(ask(&mut follow, millis(1100)).unwrap()).unwrap();
    assert!(second.ends_with("/1795493376194%2D0/200"), "{second}");
    // A full page is followed by the next at once, unless it leads nowhere.
    let full = Feed {
        full: true,
        ..Feed::default()
    };
    assert_eq!(follow.answered(&Ok(full.clone()), millis(1100)), None);
    assert!(ask(&mut follow, millis(1100)).is_some());
    assert_eq!(follow.answered(&Ok(full), millis(1100)), None);
    assert_eq!(ask(&mut follow, millis(1299)), None);
    assert!(ask(&mut follow, millis(1300)).is_some());
}

#[test]
fn a_store_that_is_gone_is_asked_ever_less_and_told_of_once() {
    let policy = policy();
    let mut follow = Follow::new(millis(200));
    let (mut now, mut asked, mut turns) = (millis(0), 0, Vec::new());
    while now < Duration::from_secs(60) {
        if follow.due(&policy, now).is_some() {
            asked += 1;
            turns.extend(follow.answered(&Err(Fault::Unreachable), now));
        }
        now += millis(20);
    }
    assert_eq!(turns, [Turn::Gone(Fault::Unreachable)]);
    assert!((14..=17).contains(&asked), "{asked}");
    let back = loop {
        now += millis(20);
        if follow.due(&policy, now).is_some() {
            break follow.answered(&Ok(Feed::default()), now);
        }
    };
    assert_eq!(back, Some(Turn::Back));
    // And reads all of it again: it may have lost its data.
    let again = follow.due(&policy, now).unwrap().body.unwrap();
    assert!(again.ends_with(b"/0/200"));
}

#[test]
fn what_was_counted_in_the_last_half_life_fades_evenly() {
    let policy = policy();
    let turn = NOW / 3600 * 3600;
    assert!((weights(&policy, turn)[0] - 1.0).abs() < 0.001);
    assert!((weights(&policy, turn + 1800)[0] - 0.75).abs() < 0.001);
    assert!(weights(&policy, turn + 3599)[0] < 0.51);
}

#[test]
fn what_makes_no_sense_is_a_fault() {
    for (status, body, fault) in [
        ("200", &b""[..], Fault::Garbled),
        ("200", b"{", Fault::Garbled),
        ("200", b"{}", Fault::Garbled),
        ("200", br#"{"EVAL":null}"#, Fault::Garbled),
        ("200", br#"{"EVAL":[false,"ERR x"]}"#, Fault::Refused),
        (
            "200",
            br#"{"EVAL":[false,"NOAUTH Authentication required."]}"#,
            Fault::Refused,
        ),
        ("200", br#"{"EVAL":["x y",0]}"#, Fault::Garbled),
        ("200", br#"{"EVAL":["-",0]}"#, Fault::Garbled),
        ("200", br#"{"EVAL":["1-2-3",0]}"#, Fault::Garbled),
        ("200", br#"{"EVAL":["1-1"]}"#, Fault::Garbled),
        ("403", b"{}", Fault::Status(403)),
        ("503", b"", Fault::Unreachable),
        ("504", b"", Fault::Timeout),
        ("x", b"", Fault::Garbled),
    ] {
        assert_eq!(read_feed(status, body), Err(fault), "{status} {body:?}");
    }
    let huge = vec![b' '; MAX_ANSWER + 1];
    assert_eq!(read_feed("200", &huge), Err(Fault::Garbled));
    for body in [
        &br#"{"EVAL":[1,2,3]}"#[..],
        br#"{"EVAL":[1,2,3,-4]}"#,
        br#"{"EVAL":[]}"#,
    ] {
        assert_eq!(read_totals("200", body, 1, [0.5; 2]), Err(Fault::Garbled));
    }
    // Lines that cannot be read are left out.
    let lines = br#"{"EVAL":["1-1",4,"x","1 2","9 9 nobody",7,"1790000060 999 203.0.113.7 o"]}"#;
    let feed = read_feed("200", lines).unwrap();
    assert_eq!(feed.entries.len(), 1);
}
