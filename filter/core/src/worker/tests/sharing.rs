//! Workers that share what they find out.

use super::*;
use crate::worker::SlotId;
use hashbrown::HashMap;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const CLIENT: &str = "203.0.113.7";
const NAME: &str = "7.113.0.203.bl.test";

/// Workers over one map of slots; each one's queue is its place here.
pub(super) struct Workers {
    slots: HashMap<SlotId, Vec<u8>>,
    pub(super) benches: Vec<Bench>,
}

impl Workers {
    pub(super) fn new(count: usize, fields: &str) -> Self {
        let policy = policy(fields);
        Self {
            slots: HashMap::new(),
            benches: (0..count).map(|_| Bench::of(&policy)).collect(),
        }
    }

    fn slot(&self, at: usize, client: Client) -> (SlotId, Vec<u8>) {
        let slot = self.benches[at].lookups.slot_of(client).unwrap();
        (slot, self.slots.get(&slot).cloned().unwrap_or_default())
    }

    pub(super) fn come(&mut self, at: usize, from: &str, waiter: u32, wait: Wait) -> LookUp {
        let bench = &mut self.benches[at];
        let came = (bench.lookups).look_up(address(from), waiter, wait, bench.now);
        if came == LookUp::Begins {
            let (client, slot) = bench.lookups.next_queued().unwrap();
            let (_, octets) = self.slot(at, client);
            let bench = &mut self.benches[at];
            let (claim, octets) = bench.lookups.claim(client, &octets, at as u32, bench.now);
            self.slots.insert(slot.unwrap(), octets);
            let steps = bench.lookups.begin(client, Some(claim), bench.now);
            bench.take(steps);
            self.publish(at);
        }
        came
    }

    /// Carries out what a worker has to publish.
    pub(super) fn publish(&mut self, at: usize) {
        for client in std::mem::take(&mut self.benches[at].publish) {
            let (slot, octets) = self.slot(at, client);
            let bench = &mut self.benches[at];
            let (waiting, octets) = bench.lookups.publish(client, &octets, bench.now);
            self.slots.insert(slot, octets.clone());
            for queue in waiting {
                let queue = queue as usize;
                let bench = &mut self.benches[queue];
                let steps = bench.lookups.published(client, &octets, bench.now);
                bench.take(steps);
                self.publish(queue);
            }
        }
    }

    pub(super) fn says(&mut self, at: usize, name: &str, record: u16, say: &Say) {
        self.benches[at].answer(name, record, say);
        self.publish(at);
    }

    pub(super) fn pass(&mut self, time: Duration) {
        for at in 0..self.benches.len() {
            self.benches[at].pass(time);
            self.publish(at);
        }
    }
}

#[test]
fn one_worker_asks_for_all() {
    let mut workers = Workers::new(4, ONE_SITE);
    for at in 0..4 {
        let came = workers.come(at, CLIENT, at as u32, Wait::Greeting);
        assert_eq!(came, LookUp::Begins);
    }
    let asked: Vec<usize> = workers.benches.iter().map(|b| b.asked.len()).collect();
    assert_eq!(asked, [1, 0, 0, 0]);
    workers.says(0, NAME, A, &listed());
    for (at, bench) in workers.benches.iter_mut().enumerate() {
        assert_eq!(sites(&bench.ruling_of(at as u32)).0, [("bl.test", 1)]);
        assert_eq!(bench.names(), [""; 0]);
    }
    for at in 0..4 {
        let came = workers.come(at, CLIENT, 9, Wait::Greeting);
        at_once(came, Told::Remembered);
    }
}

#[test]
fn a_worker_that_comes_late_reads_what_others_know() {
    let mut workers = Workers::new(2, ONE_SITE);
    workers.come(0, CLIENT, 1, Wait::Greeting);
    workers.says(0, NAME, A, &unlisted());
    assert_eq!(workers.come(1, CLIENT, 2, Wait::Greeting), LookUp::Begins);
    assert_eq!(workers.benches[1].ruling_of(2), Ruling::Clear);
    assert!(workers.benches[1].asked.is_empty());
}

#[test]
fn a_worker_that_dies_is_given_up_on_in_time() {
    let mut workers = Workers::new(2, r#""sites": ["bl.test"], "timeout_ms": 1000"#);
    workers.come(0, CLIENT, 1, Wait::Greeting);
    workers.come(1, CLIENT, 2, Wait::Greeting);
    workers.come(1, CLIENT, 3, Wait::Session);
    workers.benches[0].asked.clear();
    let alive = &mut workers.benches[1];
    alive.pass(Duration::from_millis(300));
    assert_eq!(alive.ruling_of(2), Ruling::OverBudget);
    alive.pass(Duration::from_millis(2699));
    assert_eq!(alive.ruled(), []);
    alive.pass(Duration::from_millis(1));
    assert_eq!(alive.ruling_of(3), Ruling::OverBudget);
    // A second later the claim is over.
    alive.pass_seconds(2);
    assert_eq!(workers.come(1, CLIENT, 4, Wait::Greeting), LookUp::Begins);
    assert_eq!(workers.benches[1].names(), [NAME]);
    workers.says(1, NAME, A, &listed());
    assert_eq!(sites(&workers.benches[1].ruling_of(4)).0.len(), 1);
}

#[test]
fn nothing_is_claimed_that_is_not_asked() {
    let fields = r#""sites": ["a.test*2", "b.test*5"], "threshold": 2, "text": "txt""#;
    let mut workers = Workers::new(2, fields);
    workers.come(0, CLIENT, 1, Wait::Greeting);
    workers.says(0, "a.test", A, &listed());
    workers.says(0, "b.test", A, &listed());
    workers.says(0, "a.test", TXT, &Say::Text("of a"));
    // The slot has forgotten, but not the worker; it asks for another text alone.
    workers.slots.clear();
    assert_eq!(workers.come(0, CLIENT, 2, Wait::Greeting), LookUp::Begins);
    workers.says(0, "b.test", TXT, &Say::Text("of b"));
    assert_eq!(workers.come(1, CLIENT, 3, Wait::Greeting), LookUp::Begins);
    let names = ["7.113.0.203.a.test", "7.113.0.203.b.test"];
    assert_eq!(workers.benches[1].names(), names);
}

#[test]
fn what_is_missing_in_an_answer_of_others_is_asked_for() {
    let mut workers = Workers::new(2, r#""sites": ["a.test", "b.test"], "threshold": 2"#);
    // The first worker leaves b.test alone.
    for _ in 0..5 {
        let host = 10 + workers.benches[0].names().len();
        let bench = &mut workers.benches[0];
        bench.come(&format!("203.0.113.{host}"), 99);
        bench.says("b.test", &Say::ServFail);
    }
    workers.benches[0].asked.clear();
    workers.benches[0].ruled();
    workers.come(0, CLIENT, 1, Wait::Greeting);
    workers.come(1, CLIENT, 2, Wait::Greeting);
    assert!(workers.benches[1].asked.is_empty());
    workers.says(0, "7.113.0.203.a.test", A, &listed());
    assert_eq!(workers.benches[1].names(), ["7.113.0.203.b.test"]);
    workers.says(1, "b.test", A, &listed());
    assert_eq!(sites(&workers.benches[1].ruling_of(2)).0.len(), 2);
}

#[test]
fn each_worker_asks_for_itself_where_nothing_is_shared() {
    let fields = r#""sites": ["bl.test"], "cache": {"shared_slots": 0}"#;
    let mut bench = Bench::with(fields);
    let from = address(CLIENT);
    bench.lookups.look_up(from, 1, Wait::Greeting, bench.now);
    let (client, slot) = bench.lookups.next_queued().unwrap();
    assert_eq!((slot, bench.lookups.slot_of(client)), (None, None));
}

#[test]
fn others_sites_and_garbage_in_a_slot_are_nothing() {
    let mut workers = Workers::new(1, ONE_SITE);
    let mut others = Workers::new(1, r#""sites": ["other.test"]"#);
    others.come(0, CLIENT, 1, Wait::Greeting);
    others.says(0, "other.test", A, &listed());
    workers.slots = others.slots;
    workers.come(0, CLIENT, 1, Wait::Greeting);
    assert_eq!(workers.benches[0].names(), [NAME]);
    let mut workers = Workers::new(1, ONE_SITE);
    let client = workers.benches[0].policy.client(address(CLIENT));
    let (slot, _) = workers.slot(0, client);
    workers.slots.insert(slot, vec![1, 2, 3]);
    workers.come(0, CLIENT, 1, Wait::Greeting);
    workers.says(0, NAME, A, &listed());
    assert_eq!(sites(&workers.benches[0].ruling_of(1)).0.len(), 1);
}

#[test]
fn policies_with_other_sites_have_other_slots() {
    let slot = |sites: &str| {
        let bench = Bench::with(&format!(r#""sites": [{sites}]"#));
        let client = bench.policy.client(address(CLIENT));
        bench.lookups.slot_of(client).unwrap()
    };
    let one = slot(r#""bl.test""#);
    assert_eq!(
        slot(r#""bl.test=127.0.0.2*3""#),
        one,
        "weights do not matter"
    );
    assert_ne!(slot(r#""other.test""#), one);
    assert_ne!(slot(r#""bl.test", "other.test""#), one);
}
