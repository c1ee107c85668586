//! One worker and a resolver, step by step.

mod dns;
mod health;
mod lookups;
#[cfg(not(target_arch = "wasm32"))]
mod random;
mod sharing;
mod slots;
mod tally;
mod text;
mod time;

use super::{LookUp, LookupNote, Lookups, Now, Ruling, Steps, Told, Wait};
use crate::client::Client;
use crate::policy::Policy;
use dns::{A, Asked, Say, TXT};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

/// A policy whose `dnsbl` has these fields. Documentation addresses may be asked about.
fn policy(fields: &str) -> Rc<Policy> {
    let json = format!(r#"{{"dnsbl": {{"reserved": "ask", {fields}}}}}"#);
    Rc::new(Policy::read(json.as_bytes()).unwrap())
}

const ONE_SITE: &str = r#""sites": ["bl.test"]"#;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The lookups of one worker, and all that came of them.
struct Bench {
    lookups: Lookups<u32>,
    policy: Rc<Policy>,
    now: Now,
    /// Questions without an answer, in the order in which they were asked.
    asked: Vec<Asked>,
    rulings: Vec<(u32, Ruling)>,
    notes: Vec<LookupNote>,
    publish: Vec<Client>,
}

impl Bench {
    /// Before any site was tested.
    fn untested(policy: &Rc<Policy>) -> Self {
        Self {
            lookups: Lookups::new(Rc::clone(policy)),
            policy: Rc::clone(policy),
            now: Now {
                wall: Duration::from_secs(1_700_000_000),
                steady: Duration::ZERO,
            },
            asked: Vec::new(),
            rulings: Vec::new(),
            notes: Vec::new(),
            publish: Vec::new(),
        }
    }

    /// With all sites tested and found good.
    fn with(fields: &str) -> Self {
        Self::of(&policy(fields))
    }

    fn of(policy: &Rc<Policy>) -> Self {
        let mut bench = Self::untested(policy);
        bench.tick();
        bench.pass_tests();
        bench.notes.clear();
        bench
    }

    /// Answers all test points as a good list does.
    fn pass_tests(&mut self) {
        let domains: Vec<_> = self.policy.zones().domains().map(str::to_owned).collect();
        for domain in domains {
            let names = ["2.0.0.127", "1.0.0.127"].map(|point| format!("{point}.{domain}"));
            for (name, say) in names
                .iter()
                .zip([Say::Listed(vec![2], 300), Say::Unlisted(None)])
            {
                if self.asked.iter().any(|asked| asked.name == *name) {
                    self.answer(name, A, &say);
                }
            }
        }
    }

    fn take(&mut self, steps: Steps<u32>) {
        let questions = steps.questions.iter();
        let asked = questions.map(|question| Asked::read(question.ticket, &question.request));
        self.asked.extend(asked);
        self.rulings.extend(steps.rulings);
        self.notes.extend(steps.notes);
        self.publish.extend(steps.publish);
    }

    /// A connection comes; its lookup begins if there is to be one.
    fn come(&mut self, from: &str, waiter: u32) -> LookUp {
        self.come_to(from, waiter, Wait::Greeting)
    }

    fn come_to(&mut self, from: &str, waiter: u32, wait: Wait) -> LookUp {
        let came = (self.lookups).look_up(address(from), waiter, wait, self.now);
        self.begin();
        came
    }

    /// Begins what waits for it.
    fn begin(&mut self) {
        while let Some((client, _)) = self.lookups.next_queued() {
            let steps = self.lookups.begin(client, None, self.now);
            self.take(steps);
        }
    }

    /// Answers the first question for `record` whose name ends in `name`.
    fn answer(&mut self, name: &str, record: u16, say: &Say) {
        let mut asked = self.asked.iter();
        let found = asked.position(|asked| asked.record == record && asked.name.ends_with(name));
        let at = found.unwrap_or_else(|| panic!("{name} was not asked: {:?}", self.names()));
        let asked = self.asked.remove(at);
        let body = asked.answer(say);
        let body = body.as_deref().map_err(|fault| *fault);
        let steps = self.lookups.answered(asked.ticket, body, self.now);
        self.take(steps);
    }

    fn says(&mut self, name: &str, say: &Say) {
        self.answer(name, A, say);
    }

    fn tick(&mut self) {
        let steps = self.lookups.tick(self.now);
        self.take(steps);
    }

    /// Lets time pass by both clocks, and ticks.
    fn pass(&mut self, time: Duration) {
        self.now.wall += time;
        self.now.steady += time;
        self.tick();
    }

    fn pass_seconds(&mut self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
    }

    /// The names asked for and not answered.
    fn names(&self) -> Vec<&str> {
        self.asked.iter().map(|asked| asked.name.as_str()).collect()
    }

    /// The rulings since this was last asked.
    fn ruled(&mut self) -> Vec<(u32, Ruling)> {
        std::mem::take(&mut self.rulings)
    }

    /// The only ruling since this was last asked, which must be for `waiter`.
    fn ruling_of(&mut self, waiter: u32) -> Ruling {
        let mut ruled = self.ruled();
        assert_eq!(ruled.len(), 1, "{ruled:?}");
        let (told, ruling) = ruled.remove(0);
        assert_eq!(told, waiter);
        ruling
    }
}

fn listed() -> Say {
    Say::Listed(vec![2], 300)
}

fn unlisted() -> Say {
    Say::Unlisted(Some((300, 300)))
}

/// The sites of a listing, with their weights, and its text.
fn sites(ruling: &Ruling) -> (Vec<(&str, i32)>, Option<&str>) {
    let Ruling::Listed(listing) = ruling else {
        panic!("{ruling:?}");
    };
    let sites = listing.sites.iter();
    let sites = sites.map(|site| (site.site.as_str(), site.weight));
    (sites.collect(), listing.text.as_deref())
}

/// The ruling that was at hand at once.
fn at_once(came: LookUp, how: Told) -> Ruling {
    match came {
        LookUp::Ruled(ruling, told) if told == how => ruling,
        other => panic!("{other:?}"),
    }
}
