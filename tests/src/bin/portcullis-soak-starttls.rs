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

/// The first rounds fill caches and pools.
const WARM_UP: usize = 10;
/// What its memory may grow by for a session, octets, beyond what it grows by under TLS from the
/// first byte on. A leak of a session's least state would be more.
const MOST_GROWTH: f64 = 100.0;

/// What Envoy's CPU time for a session may be, against one under TLS from the first byte on. Where
/// there is hardly a message, the EHLO and the STARTTLS that are more are a tenth of all by
/// themselves: there it is only not to become worse.
fn most_cpu(message: Message) -> f64 {
    match message {
        Message::Short => 1.15,
        Message::Usual => 1.1,
    }
}

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
    /// The kind of the certificate's key.
    #[arg(long, value_enum, default_value_t = Key::Ec)]
    key: Key,
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
            failures: 0,
            cpu: Vec::new(),
            memory: Vec::new(),
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
        self.failures += failed.len();
        self.cpu.push(after.cpu - before.cpu);
        self.memory.push(after.memory);
        Ok(())
    }

    /// CPU time of the rounds behind the first ones, seconds.
    fn warm_cpu(&self) -> &[f64] {
        self.cpu.get(WARM_UP..).unwrap_or_default()
    }

    /// How many times as much it costs as `other`: the median over the rounds, in each of which
    /// both had the same neighbours.
    fn cost_against(&self, other: &Self) -> f64 {
        let pairs = self.warm_cpu().iter().zip(other.warm_cpu());
        median(pairs.map(|(own, others)| own / others).collect())
    }

    fn growth_per_session(&self, count: usize) -> f64 {
        let warm = self.memory.get(WARM_UP..).unwrap_or_default();
        slope(warm) / sessions_of(count)
    }
}

fn sessions_of(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX).max(1))
}

/// Whether a session by STARTTLS costs too much, or fails.
fn compare(options: &Options, message: Message, mta: &HostSim) -> Result<Verdict> {
    let mut sides = [
        Side::start(Begin::StartTls, options.key, mta)?,
        Side::start(Begin::Connect, options.key, mta)?,
        Side::start(Begin::ConnectAndTwoMore, options.key, mta)?,
    ];
    let count = options.sessions / options.rounds;
    for _ in 0..options.rounds {
        for side in &mut sides {
            side.round(message, count, options.at_once)?;
        }
    }
    println!("{message:?} messages:");
    for side in &sides {
        println!(
            "  {:?}: {} sessions, {} failed, {:.3} ms CPU and {:+.0} octets each",
            side.begin,
            count * options.rounds,
            side.failures,
            1e3 * median(side.warm_cpu().to_vec()) / sessions_of(count),
            side.growth_per_session(count),
        );
        ensure!(side.envoy.traps()?.is_empty(), "{:#?}", side.envoy.traps()?);
    }
    let [asked, connected, as_long] = &sides;
    let (whole, switch) = (asked.cost_against(connected), asked.cost_against(as_long));
    println!("  by STARTTLS: {whole:.3} times the CPU time of TLS from the first byte on,");
    println!("  and {switch:.3} times that of one with as many commands");
    ensure!(asked.failures == 0, "{} sessions failed", asked.failures);
    let growth = asked.growth_per_session(count) - connected.growth_per_session(count);
    ensure!(
        growth < MOST_GROWTH,
        "memory grows by {growth:.0} octets a session more"
    );
    let dropped = "dynamicmodulescustom.portcullis_starttls_dropped_total";
    let dropped = asked.envoy.admin().stat(dropped)?;
    ensure!(
        dropped == 0,
        "something of {dropped} handshakes was dropped"
    );
    Ok(match whole <= most_cpu(message) {
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
        options.rounds > WARM_UP + 1,
        "--rounds: more than {}",
        WARM_UP + 1
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
