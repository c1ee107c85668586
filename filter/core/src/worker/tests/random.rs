//! Two workers, a resolver that answers in any order or not at all, and clients that come as they
//! like.

use super::sharing::Workers;
use super::*;
use crate::dnsbl::Fault;
use hashbrown::HashMap;
use proptest::prelude::*;

const CAP: usize = 6;
const MEMORY: usize = 16;
const FIELDS: &str = r#""sites": ["a.test*2", "b.test=127.0.0.[2..4]", "good.test*-1"],
    "threshold": 2, "in_flight": 6, "timeout_ms": 500, "ttl": {"min_s": 1, "max_s": 20,
    "error_s": 2}, "breaker": {"failures": 3, "retry_s": 1, "max_retry_s": 4}, "self_test_s": 10,
    "cache": {"clients": 16, "shared_slots": 2}"#;

#[derive(Debug, Clone)]
enum Step {
    Come {
        at: usize,
        host: u8,
        wait: Wait,
    },
    /// The question at this place is answered, truly or by a fault.
    Answer {
        at: usize,
        which: prop::sample::Index,
        fault: bool,
    },
    Pass {
        millis: u64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let wait = prop_oneof![Just(Wait::Greeting), Just(Wait::Session)];
    let step = prop_oneof![
        3 => (0_usize..2, 0_u8..40, wait).prop_map(|(at, host, wait)| Step::Come { at, host, wait }),
        6 => (0_usize..2, any::<prop::sample::Index>(), prop::bool::weighted(0.15))
            .prop_map(|(at, which, fault)| Step::Answer { at, which, fault }),
        1 => prop_oneof![1_u64..400, 400_u64..30_000].prop_map(|millis| Step::Pass { millis }),
    ];
    prop::collection::vec(step, 1..250)
}

/// What the lists say of a host, for ever.
fn truth(zone: &str, host: u8) -> Say {
    match (zone, host % 5) {
        ("a.test", 0 | 1) | ("b.test", 0 | 2) | ("good.test", 1) => Say::Listed(vec![3], 5),
        ("b.test", 3) => Say::Listed(vec![9], 300),
        _ => unlisted(),
    }
}

/// Whether the scripted lists put a host at the threshold at all, with the allow-list or without.
fn may_be_listed(host: u8) -> bool {
    matches!(host % 5, 0)
}

/// The right answer to a question.
fn answer_to(asked: &Asked) -> Say {
    let (host, rest) = asked.name.split_once('.').unwrap();
    let zone = rest.split_once(".203.").map(|(_, zone)| zone);
    match (zone, asked.record, host) {
        (Some(zone), A, host) => truth(zone, host.parse().unwrap()),
        (Some(_), ..) => Say::Text("why"),
        (None, _, "2") => listed(),
        (None, ..) => unlisted(),
    }
}

/// Two workers, and who waits at which.
struct World {
    workers: Workers,
    waiting: [HashMap<u32, u8>; 2],
    next: u32,
    text: bool,
}

impl World {
    fn new(text: bool) -> Self {
        let mode = if text { "txt" } else { "off" };
        Self {
            workers: Workers::new(2, &format!(r#"{FIELDS}, "text": "{mode}""#)),
            waiting: [HashMap::new(), HashMap::new()],
            next: 0,
            text,
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Come { at, host, wait } => {
                let from = format!("203.0.113.{host}");
                self.next += 1;
                let before = self.next;
                self.waiting[*at].insert(before, *host);
                if let LookUp::Ruled(ruling, _) = self.workers.come(*at, &from, before, *wait) {
                    self.workers.benches[*at].rulings.push((before, ruling));
                }
            }
            Step::Answer { at, which, fault } => {
                let asked = &self.workers.benches[*at].asked;
                if !asked.is_empty() {
                    let asked = asked[which.index(asked.len())].clone();
                    let say = match fault {
                        true => Say::Nothing(Fault::Unreachable),
                        false => answer_to(&asked),
                    };
                    self.workers.says(*at, &asked.name, asked.record, &say);
                }
            }
            Step::Pass { millis } => self.workers.pass(Duration::from_millis(*millis)),
        }
        for at in 0..2 {
            self.check(at);
        }
    }

    fn check(&mut self, at: usize) {
        let bench = &mut self.workers.benches[at];
        for (waiter, ruling) in bench.ruled() {
            let host = self.waiting[at].remove(&waiter);
            let host = host.unwrap_or_else(|| panic!("{waiter} is told twice: {ruling:?}"));
            if let Ruling::Listed(listing) = ruling {
                assert!(may_be_listed(host), "{host}: {listing:?}");
                assert!(listing.sites.iter().map(|site| site.weight).sum::<i32>() >= 2);
            }
        }
        // Each of three sites may be tested meanwhile, by two questions.
        let (questions, remembered) = bench.lookups.load();
        assert!(questions < CAP + 3 + 6, "{questions}");
        assert!(remembered <= MEMORY);
        assert!(self.text || bench.asked.iter().all(|asked| asked.record == A));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn everybody_is_told_once_and_nobody_is_listed_wrongly(
        steps in steps(),
        text in any::<bool>(),
    ) {
        let mut world = World::new(text);
        for step in &steps {
            world.step(step);
        }
        for _ in 0..4 {
            world.step(&Step::Pass { millis: 1500 });
        }
        prop_assert_eq!(&world.waiting, &[HashMap::new(), HashMap::new()]);
    }
}
