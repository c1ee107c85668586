//! What records and transcripts of all sessions cost Envoy, against none, in turns.
//! `make bar-records` runs it.

use std::{num::NonZero, process::ExitCode};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use portcullis_tests::{
    deadline::{PATIENCE, Seen, wait_for},
    envoy::{Envoy, EnvoyConfig, Guard},
    host_sim::{HostSim, Mta},
    soak::{Begin, Message, Plan, Usage, median, sessions},
};
use serde_json::{Value, json};

/// The first rounds fill caches and pools.
const WARM_UP: usize = 2;
/// What Envoy's CPU time may be with all of them, against none.
const MOST_CPU: f64 = 1.10;

/// Measures records and transcripts.
#[derive(Debug, Parser)]
struct Options {
    /// Sessions of each round.
    #[arg(long, default_value_t = 2000)]
    sessions: usize,
    /// Rounds in which both take turns, the first two of which do not count.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// How often both Envoys are started anew: two that do the same differ by a few percent.
    #[arg(long, default_value = "4")]
    sets: NonZero<usize>,
    /// The policy that is compared with none of them.
    #[arg(long, default_value = r#"{"transcripts": {"sessions": "all"}}"#)]
    policy: String,
    /// Sessions at once.
    #[arg(long, default_value = "20")]
    at_once: NonZero<usize>,
}

/// One of the two that are compared.
struct Side {
    name: &'static str,
    envoy: Envoy,
    /// CPU time of each round, seconds.
    cpu: Vec<f64>,
}

impl Side {
    fn start(name: &'static str, policy: Value, mta: &HostSim) -> Result<Self> {
        let config = EnvoyConfig::before(mta.address(), Guard::with_policy(policy)?);
        Ok(Self {
            name,
            envoy: config.start()?,
            cpu: Vec::new(),
        })
    }

    fn round(&mut self, options: &Options) -> Result<()> {
        let before = Usage::of(&mut self.envoy)?;
        let plan = Plan {
            to: self.envoy.address(),
            begin: Begin::Never,
            message: Message::Short,
        };
        let failed = sessions(plan, options.sessions, options.at_once);
        let after = Usage::of(&mut self.envoy)?;
        ensure!(failed.is_empty(), "{}: {:?}", self.name, failed.first());
        self.cpu.push(after.cpu - before.cpu);
        Ok(())
    }

    /// CPU time of the rounds behind the first ones, seconds.
    fn warm(&self) -> &[f64] {
        self.cpu.get(WARM_UP..).unwrap_or_default()
    }
}

fn run(options: &Options) -> Result<()> {
    portcullis_tests::process::raise_open_files()?;
    ensure!(
        options.rounds >= WARM_UP + 5,
        "--rounds: {} at least",
        WARM_UP + 5
    );
    let mta = Mta::answering("550 5.1.1 No such user").start()?;
    let mut ratios = Vec::new();
    for _ in 0..options.sets.get() {
        ratios.extend(set(options, &mta)?);
    }
    let ratio = median(ratios);
    println!("all of them cost {ratio:.3} times none; {MOST_CPU:.2} at most");
    ensure!(ratio <= MOST_CPU, "they cost {ratio:.3} times as much");
    Ok(())
}

/// What both cost in turns, one by the other in each round.
fn set(options: &Options, mta: &HostSim) -> Result<Vec<f64>> {
    let none = json!({ "record": { "sessions": "off" } });
    let all: Value = serde_json::from_str(&options.policy).context("--policy")?;
    let writes = all.pointer("/transcripts/sessions") == Some(&json!("all"));
    let mut off = Side::start("off", none, mta)?;
    let mut on = Side::start("on", all, mta)?;
    for round in 0..options.rounds {
        // Whoever is first has the emptier caches.
        let mut turns = [&mut off, &mut on];
        if round % 2 == 1 {
            turns.reverse();
        }
        for side in turns {
            side.round(options)?;
        }
    }
    let played = u64::try_from(options.sessions * options.rounds)?;
    let expected = if writes { played } else { 0 };
    // The last session is over for its client before Envoy has logged it.
    wait_for("a transcript of each session", PATIENCE, || {
        let written = on.envoy.admin().count("transcripts;how=whole")?;
        Ok(if written == expected {
            Seen::Done(())
        } else {
            Seen::NotYet(format!("{written} of {expected}"))
        })
    })?;
    for side in [&off, &on] {
        let each = f64::from(u32::try_from(options.sessions)?);
        let cpu = 1e3 * median(side.warm().to_vec()) / each;
        println!(
            "records and transcripts {}: {cpu:.3} ms CPU a session",
            side.name
        );
        ensure!(side.envoy.traps()?.is_empty(), "{:#?}", side.envoy.traps()?);
    }
    let pairs = on.warm().iter().zip(off.warm());
    Ok(pairs.map(|(on, off)| on / off).collect())
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("portcullis-bar-records: {error:#}");
            ExitCode::FAILURE
        }
    }
}
