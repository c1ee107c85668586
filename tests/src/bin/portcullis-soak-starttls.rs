//! Ten thousand sessions by STARTTLS, in turns with as many under TLS from the first byte on:
//! failures, CPU time and memory. `make soak-starttls` runs it.

use std::{num::NonZero, process::ExitCode};

use anyhow::{Result, ensure};
use clap::Parser;
use portcullis_tests::{
    envoy::{ClientTls, Envoy, EnvoyConfig, Guard},
    host_sim::{HostSim, Mta},
    paths,
    soak::{Begin, Message, Plan, Usage, median, sessions, slope},
    tls::{Certificate, Key},
};

/// The first rounds of a set of Envoys fill caches and pools.
const WARM_UP: usize = 10;
const DROPPED: &str = "dynamicmodulescustom.portcullis_starttls_dropped_total";
/// What its memory may grow by for a session, octets, beyond what it grows by under TLS from the
/// first byte on. A leak of a session's least state would be more.
const MOST_GROWTH: f64 = 100.0;

/// What Envoy's CPU time for a session may be, against one under TLS from the first byte on. The two
/// commands that are more are a tenth of all by themselves: it is only not to become worse.
const MOST_CPU: f64 = 1.13;

/// Measures STARTTLS against TLS from the first byte on.
#[derive(Debug, Parser)]
struct Options {
    /// Sessions of each kind, for each message.
    #[arg(long, default_value_t = 10_000)]
    sessions: usize,
    /// Rounds in which the kinds take turns. The shorter a round, the more alike its neighbours on
    /// the machine.
    #[arg(long, default_value_t = 200)]
    rounds: usize,
    /// How often Envoys are started for that: two that do the same differ by a few percent for as
    /// long as they live. The first ones have half of the rounds, and tell whether memory grows.
    #[arg(long, default_value_t = 4)]
    sets: usize,
    /// The kind of the certificate's key.
    #[arg(long, value_enum, default_value_t = Key::Ec)]
    key: Key,
    /// Sessions at once.
    #[arg(long, default_value = "20")]
    at_once: NonZero<usize>,
}

impl Options {
    fn rounds_of(&self, set: usize) -> usize {
        let others = self.sets.saturating_sub(1);
        match (set, (self.rounds / 2).checked_div(others)) {
            (_, None) => self.rounds,
            (0, Some(_)) => self.rounds / 2,
            (_, Some(rounds)) => rounds,
        }
    }

    fn sessions_of_a_round(&self) -> usize {
        self.sessions.checked_div(self.rounds).unwrap_or_default()
    }
}

/// One of the kinds that are compared.
struct Side {
    begin: Begin,
    envoy: Envoy,
    used: Used,
}

/// What an Envoy has used.
#[derive(Debug, Default)]
struct Used {
    failures: usize,
    /// CPU time of each round, seconds.
    cpu: Vec<f64>,
    /// Memory after each round, octets.
    memory: Vec<f64>,
}

impl Side {
    fn start(begin: Begin, key: Key, mta: &HostSim) -> Result<Self> {
        let certificate = Certificate::temporary_of(key)?;
        let tls = match begin {
            Begin::Never => ClientTls::None,
            Begin::StartTls => ClientTls::StartTls {
                module: paths::starttls()?,
                certificate,
            },
            Begin::Connect | Begin::ConnectAndTwoMore => ClientTls::Implicit { certificate },
        };
        let config = EnvoyConfig::before(mta.address(), Guard::with_defaults()?);
        Ok(Self {
            begin,
            envoy: config.client_tls(tls).start()?,
            used: Used::default(),
        })
    }

    fn round(&mut self, message: Message, count: usize, at_once: NonZero<usize>) -> Result<()> {
        let before = Usage::of(&mut self.envoy)?;
        let plan = Plan {
            to: self.envoy.address(),
            begin: self.begin,
            message,
        };
        let failed = sessions(plan, count, at_once);
        let after = Usage::of(&mut self.envoy)?;
        if let Some(first) = failed.first() {
            println!(
                "{:?}: {} failed, the first: {first:?}",
                self.begin,
                failed.len()
            );
        }
        self.used.failures += failed.len();
        self.used.cpu.push(after.cpu - before.cpu);
        self.used.memory.push(after.memory);
        Ok(())
    }

    /// What it has used, if all went well.
    fn end(self) -> Result<Used> {
        let traps = self.envoy.traps()?;
        ensure!(traps.is_empty(), "{traps:#?}");
        let failures = self.used.failures;
        ensure!(
            failures == 0,
            "{:?}: {failures} sessions failed",
            self.begin
        );
        if self.begin == Begin::StartTls {
            let dropped = self.envoy.admin().stat(DROPPED)?;
            ensure!(
                dropped == 0,
                "something of {dropped} handshakes was dropped"
            );
        }
        Ok(self.used)
    }
}

impl Used {
    /// CPU time of the rounds behind the first ones, seconds.
    fn warm_cpu(&self) -> &[f64] {
        self.cpu.get(WARM_UP..).unwrap_or_default()
    }

    /// How many times as much each round costs as that of `other`, which had the same neighbours.
    fn cost_against(&self, other: &Self) -> impl Iterator<Item = f64> {
        let pairs = self.warm_cpu().iter().zip(other.warm_cpu());
        pairs.map(|(own, others)| own / others)
    }

    fn growth_per_session(&self, count: usize) -> f64 {
        let warm = self.memory.get(WARM_UP..).unwrap_or_default();
        slope(warm) / sessions_of(count)
    }
}

fn sessions_of(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX).max(1))
}

/// One Envoy of each kind, under the load of their rounds.
fn run_set(options: &Options, rounds: usize, message: Message, mta: &HostSim) -> Result<[Used; 3]> {
    let mut sides = [
        Side::start(Begin::StartTls, options.key, mta)?,
        Side::start(Begin::Connect, options.key, mta)?,
        Side::start(Begin::ConnectAndTwoMore, options.key, mta)?,
    ];
    for _ in 0..rounds {
        for side in &mut sides {
            side.round(message, options.sessions_of_a_round(), options.at_once)?;
        }
    }
    let [asked, connected, as_long] = sides;
    Ok([asked.end()?, connected.end()?, as_long.end()?])
}

/// The median over all sets.
fn over_all<I>(sets: &[[Used; 3]], of: impl Fn(&[Used; 3]) -> I) -> f64
where
    I: IntoIterator<Item = f64>,
{
    median(sets.iter().flat_map(of).collect())
}

/// Whether a session by STARTTLS costs too much, or fails.
fn compare(options: &Options, message: Message, mta: &HostSim) -> Result<Verdict> {
    let sets = (0..options.sets).map(|set| run_set(options, options.rounds_of(set), message, mta));
    let sets = sets.collect::<Result<Vec<_>>>()?;
    let count = options.sessions_of_a_round();
    println!("{message:?} messages:");
    let kinds = [Begin::StartTls, Begin::Connect, Begin::ConnectAndTwoMore];
    for (place, begin) in kinds.into_iter().enumerate() {
        let all = || sets.iter().filter_map(|set| set.get(place));
        let cpu = all().flat_map(|used| used.warm_cpu().to_vec()).collect();
        println!(
            "  {begin:?}: {} sessions, {} failed, {:.3} ms CPU and {:+.0} octets each",
            count * all().map(|used| used.cpu.len()).sum::<usize>(),
            all().map(|used| used.failures).sum::<usize>(),
            1e3 * median(cpu) / sessions_of(count),
            all()
                .next()
                .map_or(0.0, |used| used.growth_per_session(count)),
        );
    }
    let whole = over_all(&sets, |[asked, connected, _]| {
        asked.cost_against(connected).collect::<Vec<_>>()
    });
    let switch = over_all(&sets, |[asked, _, as_long]| {
        asked.cost_against(as_long).collect::<Vec<_>>()
    });
    println!("  by STARTTLS: {whole:.3} times the CPU time of TLS from the first byte on,");
    println!("  and {switch:.3} times that of one with as many commands");
    let growth = sets.first().map_or(0.0, |[asked, connected, _]| {
        asked.growth_per_session(count) - connected.growth_per_session(count)
    });
    ensure!(
        growth < MOST_GROWTH,
        "memory grows by {growth:.0} octets a session more"
    );
    Ok(match whole <= MOST_CPU {
        true => Verdict::Within,
        false => Verdict::TooMuch,
    })
}

/// What comes of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Within,
    TooMuch,
}

fn run(options: &Options) -> Result<()> {
    portcullis_tests::process::raise_open_files()?;
    ensure!(
        options.sets > 0 && (0..options.sets).all(|set| options.rounds_of(set) > WARM_UP + 1),
        "--rounds: too few for {} warm-up rounds of each of the --sets",
        WARM_UP
    );
    let mta = Mta::answering("550 5.1.1 No such user").start()?;
    let mut over = Vec::new();
    for message in Message::ALL {
        if compare(options, message, &mta)? == Verdict::TooMuch {
            over.push(message);
        }
    }
    ensure!(
        over.is_empty(),
        "more CPU time than it may take with these messages: {over:?}"
    );
    Ok(())
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("portcullis-soak-starttls: {error:#}");
            ExitCode::FAILURE
        }
    }
}
