//! Ten thousand sessions by STARTTLS, in turns with as many under TLS from the first byte on:
//! failures, CPU time and memory. `make soak-starttls` runs it.

use std::{num::NonZero, process::ExitCode};

use anyhow::{Result, ensure};
use clap::Parser;
use portcullis_tests::{
    envoy::{ClientTls, Envoy, EnvoyConfig, Guard},
    host_sim::Mta,
    soak::{Begin, Usage, sessions, slope},
    stand::starttls,
    tls::Certificate,
};

/// The first rounds fill caches and pools.
const WARM_UP: usize = 4;
/// What Envoy's CPU time for a session may be, against TLS from the first byte on.
const MOST_CPU: f64 = 1.1;
/// What its memory may grow by for a session, octets. A leak of a session's least state would be
/// more.
const MOST_GROWTH: f64 = 100.0;

/// Measures STARTTLS against TLS from the first byte on.
#[derive(Debug, Parser)]
struct Options {
    /// Sessions of each kind.
    #[arg(long, default_value_t = 10_000)]
    sessions: usize,
    /// Rounds in which the kinds take turns.
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// Sessions at once.
    #[arg(long, default_value = "20")]
    at_once: NonZero<usize>,
}

/// One of the two that are compared.
struct Side {
    begin: Begin,
    envoy: Envoy,
    failures: usize,
    /// CPU time of each round, seconds.
    cpu: Vec<f64>,
    /// Memory after each round, octets.
    memory: Vec<f64>,
}

impl Side {
    fn start(begin: Begin, mta: &portcullis_tests::host_sim::HostSim) -> Result<Self> {
        let tls = match begin {
            Begin::StartTls => starttls()?,
            Begin::Connect => ClientTls::Implicit {
                certificate: Certificate::temporary()?,
            },
        };
        let config = EnvoyConfig::before(mta.address(), Guard::with_defaults()?);
        Ok(Self {
            begin,
            envoy: config.client_tls(tls).start()?,
            failures: 0,
            cpu: Vec::new(),
            memory: Vec::new(),
        })
    }

    fn round(&mut self, count: usize, at_once: NonZero<usize>) -> Result<()> {
        let before = Usage::of(&mut self.envoy)?;
        let failed = sessions(self.envoy.address(), self.begin, count, at_once);
        let after = Usage::of(&mut self.envoy)?;
        if let Some(first) = failed.first() {
            println!(
                "{:?}: {} failed, the first: {first:?}",
                self.begin,
                failed.len()
            );
        }
        self.failures += failed.len();
        self.cpu.push(after.cpu - before.cpu);
        self.memory.push(after.memory);
        Ok(())
    }

    /// CPU time of a round, milliseconds, without the first ones.
    fn cpu_per_session(&self, count: usize) -> f64 {
        let warm = self.cpu.get(WARM_UP..).unwrap_or_default();
        let rounds = u32::try_from(warm.len() * count).unwrap_or(u32::MAX).max(1);
        1e3 * warm.iter().sum::<f64>() / f64::from(rounds)
    }

    fn growth_per_session(&self, count: usize) -> f64 {
        let warm = self.memory.get(WARM_UP..).unwrap_or_default();
        slope(warm) / f64::from(u32::try_from(count).unwrap_or(u32::MAX).max(1))
    }
}

fn run(options: &Options) -> Result<()> {
    portcullis_tests::process::raise_open_files()?;
    ensure!(
        options.rounds > WARM_UP + 1,
        "--rounds: more than {}",
        WARM_UP + 1
    );
    let mta = Mta::answering("550 5.1.1 No such user").start()?;
    let mut sides = [
        Side::start(Begin::StartTls, &mta)?,
        Side::start(Begin::Connect, &mta)?,
    ];
    let count = options.sessions / options.rounds;
    for _ in 0..options.rounds {
        for side in &mut sides {
            side.round(count, options.at_once)?;
        }
    }
    for side in &sides {
        println!(
            "{:?}: {} sessions, {} failed, {:.3} ms CPU and {:+.0} octets each",
            side.begin,
            count * options.rounds,
            side.failures,
            side.cpu_per_session(count),
            side.growth_per_session(count),
        );
        ensure!(side.envoy.traps()?.is_empty(), "{:#?}", side.envoy.traps()?);
    }
    let [asked, at_once] = &sides;
    let ratio = asked.cpu_per_session(count) / at_once.cpu_per_session(count);
    println!("CPU of a session by STARTTLS against TLS from the first byte on: {ratio:.2}");
    ensure!(asked.failures == 0, "{} sessions failed", asked.failures);
    let growth = asked.growth_per_session(count);
    ensure!(
        growth < MOST_GROWTH,
        "memory grows by {growth:.0} octets a session"
    );
    ensure!(
        ratio <= MOST_CPU,
        "a session costs {ratio:.2} times as much"
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
