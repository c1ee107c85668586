//! Dialogues that are generated from a seed, and shrunk when a test fails under
//! one. With the feature `proptest`.
//!
//! ```
//! use portcullis_host_sim::explore::{Dialogues, for_dialogues};
//! use portcullis_host_sim::scenario::{PlayOptions, Scenario, play};
//! use portcullis_host_sim::FilterModule;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Forgets a segment that ends with CR.
//! let module = FilterModule::from_bytes(&wat::parse_str(
//!     r#"(module
//!          (import "env" "proxy_get_buffer_bytes"
//!            (func $get (param i32 i32 i32 i32 i32) (result i32)))
//!          (import "env" "proxy_set_buffer_bytes"
//!            (func $set (param i32 i32 i32 i32 i32) (result i32)))
//!          (memory (export "memory") 1)
//!          (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 1024)
//!          (func (export "proxy_on_downstream_data") (param $c i32) (param $size i32) (param $end i32)
//!            (result i32)
//!            (if (local.get $size) (then
//!              (drop (call $get (i32.const 2) (i32.sub (local.get $size) (i32.const 1))
//!                (i32.const 1) (i32.const 0) (i32.const 4)))
//!              (if (i32.eq (i32.load8_u (i32.load (i32.const 0))) (i32.const 13)) (then
//!                (drop (call $set (i32.const 2) (i32.const 0) (local.get $size)
//!                  (i32.const 0) (i32.const 0)))))))
//!            (i32.const 0)))"#,
//! )?)?;
//! let dialogues = Dialogues::new(["NOOP\r\n", "EHLO a\r\n"], ["250 ok\r\n"])
//!     .like("?unchanged".parse()?);
//! let found = for_dialogues(0..100, &dialogues, |scenario: &Scenario, _seed| {
//!     match play(scenario, &module, &PlayOptions::default()) {
//!         Ok(report) => report.failure.map_or(Ok(()), |failure| Err(failure.to_string())),
//!         Err(error) => Err(error.to_string()),
//!     }
//! })
//! .unwrap_err();
//! // A scenario to be kept: `host-sim replay` fails with it.
//! let text = found.to_string();
//! assert!(text.ends_with("\n\nC> \\r\\\n?unchanged\n"), "{text}");
//! # Ok(())
//! # }
//! ```

use std::error::Error;
use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::scenario::{Action, Scenario, Side, Step, shrink};
use crate::seeds::{Outcome, SeedError, VARIABLE, seeds_to_run};

/// How many simpler dialogues are tried before the smallest is looked for.
const MOST_SIMPLIFICATIONS: usize = 2_000;

/// What dialogues are made of. What is said first of each side is the simplest,
/// to which failures are shrunk.
#[derive(Clone, Debug)]
pub struct Dialogues {
    client: Vec<Vec<u8>>,
    server: Vec<Vec<u8>>,
    steps: usize,
    pause: Duration,
    resets: Resets,
    like: Scenario,
}

/// Whether sides may reset the connection, which loses what is under way.
#[derive(Clone, Copy, Debug)]
enum Resets {
    Some,
    None,
}

/// Something that happens in a dialogue.
#[derive(Clone, Debug)]
enum Happening {
    /// One of the texts, cut in two somewhere or not.
    Said(Side, Vec<u8>, Option<Index>),
    Ended(Side),
    Reset(Side),
}

impl Dialogues {
    /// Dialogues of what the two sides may say; each text is one segment, or two
    /// when it is cut. Whatever order they come in, both sides may end or reset.
    pub fn new<T: Into<Vec<u8>>, U: Into<Vec<u8>>>(
        client: impl IntoIterator<Item = T>,
        server: impl IntoIterator<Item = U>,
    ) -> Self {
        Self {
            client: client.into_iter().map(Into::into).collect(),
            server: server.into_iter().map(Into::into).collect(),
            steps: 20,
            pause: Duration::ZERO,
            resets: Resets::Some,
            like: Scenario::default(),
        }
    }

    /// How many things happen at most; 20 by default.
    #[must_use]
    pub fn steps(mut self, most: usize) -> Self {
        self.steps = most;
        self
    }

    /// How long both sides may be silent at most, to the millisecond; not at all
    /// by default.
    #[must_use]
    pub fn pauses(mut self, longest: Duration) -> Self {
        self.pause = longest;
        self
    }

    /// Nobody resets the connection: what was written must arrive even where a
    /// filter may hold it for a while.
    #[must_use]
    pub fn without_resets(mut self) -> Self {
        self.resets = Resets::None;
        self
    }

    /// The addresses, policy, first steps and checks of every dialogue.
    #[must_use]
    pub fn like(mut self, scenario: Scenario) -> Self {
        self.like = scenario;
        self
    }

    /// The dialogues as a strategy of proptest, for tests that want it themselves.
    pub fn strategy(&self) -> BoxedStrategy<Scenario> {
        let said = |side, texts: &[Vec<u8>]| {
            let texts = match texts {
                [] => vec![Vec::new()],
                texts => texts.to_vec(),
            };
            (select(texts), option::weighted(0.3, any::<Index>()))
                .prop_map(move |(text, cut)| Happening::Said(side, text, cut))
        };
        let side = || select(vec![Side::Client, Side::Server]);
        let last_words = match self.resets {
            Resets::Some => side().prop_map(Happening::Reset).boxed(),
            Resets::None => side().prop_map(Happening::Ended).boxed(),
        };
        let happening = prop_oneof![
            20 => said(Side::Client, &self.client),
            20 => said(Side::Server, &self.server),
            2 => side().prop_map(Happening::Ended),
            1 => last_words,
        ];
        let longest = u64::try_from(self.pause.as_millis()).unwrap_or(u64::MAX);
        let like = self.like.clone();
        vec((0..=longest, happening), 0..=self.steps)
            .prop_map(move |happenings| scenario(&like, happenings))
            .boxed()
    }
}

/// Nobody speaks who has ended, and nothing follows a reset.
fn scenario(like: &Scenario, happenings: Vec<(u64, Happening)>) -> Scenario {
    let mut scenario = like.clone();
    let times = scenario.steps.iter().filter_map(|step| step.at);
    let mut now = times.max().unwrap_or_default();
    let mut ended = Vec::new();
    for (pause, happening) in happenings {
        now += Duration::from_millis(pause);
        let mut at = (pause > 0).then_some(now);
        let mut add = |action| {
            let at = at.take();
            scenario.steps.push(Step {
                line: 0,
                at,
                action,
            });
        };
        match happening {
            Happening::Said(side, _, _) | Happening::Ended(side) if ended.contains(&side) => {}
            Happening::Said(side, text, cut) => {
                let cut = cut.map_or(0, |cut| cut.index(text.len().max(1)));
                let (first, second) = text.split_at_checked(cut).unwrap_or((&text, &[]));
                let parts = [first, second].into_iter().filter(|part| !part.is_empty());
                parts.for_each(|part| add(Action::Write(side, part.into())));
            }
            Happening::Ended(side) => {
                add(Action::HalfClose(side));
                ended.push(side);
            }
            Happening::Reset(side) => {
                add(Action::Abort(side));
                break;
            }
        }
    }
    scenario
}

/// Why a test over dialogues failed.
#[derive(Debug)]
pub enum Found {
    /// The smallest dialogue under which it does.
    Dialogue {
        /// The seed it was generated from.
        seed: u64,
        /// The dialogue.
        scenario: Box<Scenario>,
        /// What the test said of it.
        why: String,
    },
    /// The environment variable names no seed.
    Seed(SeedError),
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dialogue {
                seed,
                scenario,
                why,
            } => write!(
                f,
                "seed {seed} failed: {why}; {VARIABLE}={seed} finds it again, and so does:\n\n\
                 {scenario}"
            ),
            Self::Seed(error) => error.fmt(f),
        }
    }
}

impl Error for Found {}

/// Runs a test under one dialogue from each seed. When one fails, by an error or
/// a panic, the dialogue is shrunk to the smallest that still does. The
/// environment variable `HOST_SIM_SEED=n` takes that seed only.
///
/// The test is given the seed, too, for [`PlayOptions::seed`](crate::scenario::PlayOptions)
/// or [`Builder::seed`](crate::Builder::seed). It must depend on nothing else, or
/// it cannot be shrunk.
///
/// # Errors
/// [`Found`] with the dialogue; [`Found::Seed`] for a variable that names no seed.
pub fn for_dialogues<O: Outcome>(
    seeds: Range<u64>,
    dialogues: &Dialogues,
    test: impl Fn(&Scenario, u64) -> O,
) -> Result<(), Found> {
    let strategy = dialogues.strategy();
    for seed in seeds_to_run(seeds).map_err(Found::Seed)? {
        let run = |scenario: &Scenario| outcome(|| test(scenario, seed));
        let mut runner = TestRunner::new_with_rng(Config::default(), generator(seed));
        let Ok(mut tree) = strategy.new_tree(&mut runner) else {
            continue;
        };
        if run(&tree.current()).is_ok() {
            continue;
        }
        let simple = simplest(&mut tree, |scenario| run(scenario).is_err());
        let scenario = shrink(&simple, |scenario| run(scenario).is_err());
        let why = run(&scenario).err().unwrap_or_default();
        return Err(Found::Dialogue {
            seed,
            scenario: Box::new(scenario),
            why,
        });
    }
    Ok(())
}

fn generator(seed: u64) -> TestRng {
    let mut bytes = [0; 32];
    for (byte, part) in bytes.iter_mut().zip(seed.to_le_bytes()) {
        *byte = part;
    }
    TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)
}

/// Walks a failing value's tree to a simpler one that fails, too.
fn simplest(
    tree: &mut impl ValueTree<Value = Scenario>,
    fails: impl Fn(&Scenario) -> bool,
) -> Scenario {
    let mut simplest = tree.current();
    let mut failed = true;
    for _ in 0..MOST_SIMPLIFICATIONS {
        let moved = if failed {
            tree.simplify()
        } else {
            tree.complicate()
        };
        if !moved {
            break;
        }
        let current = tree.current();
        failed = fails(&current);
        if failed {
            simplest = current;
        }
    }
    simplest
}

/// What a test said, a panic's message included.
fn outcome<O: Outcome>(test: impl FnOnce() -> O) -> Result<(), String> {
    match catch_unwind(AssertUnwindSafe(test)) {
        Ok(outcome) => outcome.outcome().map_err(|error| error.to_string()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(text.unwrap_or("a panic").to_owned())
        }
    }
}
