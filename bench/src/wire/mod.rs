//! What honest mail costs each contestant, in rounds in which they take turns.

mod large;
mod memory;
mod turns;

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use anyhow::{Context, Result};

use self::turns::{Turn, take, turns};
use crate::{
    contestant::{Contestant, Running, Sink, Surroundings, Work, start},
    figures::{self, Figures, Measure},
    load::{Deliveries, Kept, PerConnection, deliver, probe, smtp_source},
};

/// Connections that carry mail at once.
const AT_ONCE: usize = 20;
/// Of the rate that bare Envoy reached, when commands are timed.
const LOAD: f64 = 0.5;
/// Turns that small messages are parted into, in a round.
const TURNS: usize = 5;

/// How much is done.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Rounds that count.
    pub rounds: usize,
    /// Messages on kept connections, in a round.
    pub kept: usize,
    /// Sessions of one message, in a round.
    pub single: usize,
    /// Large messages by DATA, in a round; of those that are not read, some more.
    pub large: usize,
    /// How long commands are timed, in a round.
    pub timed: Duration,
    /// Sessions that are open when memory is measured.
    pub sessions: usize,
    /// Whether `smtp-source` does the same work once more.
    pub witness: bool,
}

/// What is measured with.
struct Bench<'a> {
    size: Size,
    figures: &'a mut Figures,
    notes: &'a mut Vec<String>,
    /// Messages a second on kept connections, in this round.
    rates: BTreeMap<Contestant, f64>,
}

/// Measures all of them.
///
/// # Errors
/// If one fails that had started.
pub fn measure(
    contestants: &[Contestant],
    around: &Surroundings,
    size: Size,
    figures: &mut Figures,
    notes: &mut Vec<String>,
    left_out: &mut Vec<String>,
) -> Result<()> {
    let sink = Sink::start()?;
    let mut bench = Bench {
        size,
        figures,
        notes,
        rates: BTreeMap::new(),
    };
    let mut contestants = contestants.to_vec();
    for round in 1..=size.rounds {
        eprintln!("bench: wire: round {round} of {}", size.rounds);
        let running = start_all(&contestants, around, sink.address(), left_out)?;
        contestants = running.iter().map(|one| one.contestant).collect();
        bench.round(&running)?;
    }
    bench.large_otherwise(&contestants, around)?;
    bench.memory(&contestants, around, sink.address())
}

/// Starts and warms up those that can be. A process keeps what it happened to be laid out like, which
/// may be a few percent of its costs: so each round has processes of its own.
fn start_all(
    contestants: &[Contestant],
    around: &Surroundings,
    server: SocketAddr,
    left_out: &mut Vec<String>,
) -> Result<Vec<Running>> {
    let mut running = Vec::new();
    for contestant in contestants {
        match start(*contestant, around, server, 1) {
            Ok(one) => running.push(one),
            // What is ours, and what it stands in, must be there.
            Err(error) if contestant.is_envoy() => return Err(error),
            Err(error) => left_out.push(format!("{error:#}")),
        }
    }
    for one in &running {
        warm_up(one).with_context(|| one.contestant.to_string())?;
    }
    Ok(running)
}

/// Everybody has met all clients, and has done each thing, before anything counts.
fn warm_up(one: &Running) -> Result<()> {
    for per_connection in [PerConnection::One, PerConnection::Many] {
        deliver(Deliveries {
            server: one.address,
            messages: 400,
            at_once: AT_ONCE * 5,
            per_connection,
            pace: Duration::ZERO,
        })?;
    }
    Ok(())
}

impl Bench<'_> {
    fn round(&mut self, running: &[Running]) -> Result<()> {
        self.kept(running)?;
        self.single(running)?;
        if self.size.witness {
            for (per_connection, measure) in [
                (PerConnection::Many, figures::SOURCE_KEPT_CPU),
                (PerConnection::One, figures::SOURCE_SINGLE_CPU),
            ] {
                self.by_smtp_source(running, per_connection, measure)?;
            }
        }
        for one in running {
            if one.contestant.cannot(Work::Latency).is_none() {
                self.latency(one)
                    .with_context(|| one.contestant.to_string())?;
            }
        }
        self.by_data(running)
    }

    fn add(&mut self, measure: Measure, one: &Running, value: f64) {
        self.figures.add(measure, one.contestant.name(), value);
    }

    fn add_messages<T>(&mut self, all: &[Turn<'_, T>], cpu: Measure, rate: Measure) {
        for turn in all {
            self.add(cpu, turn.one, turn.taken.cpu_each() * 1e3);
            self.add(rate, turn.one, turn.taken.per_second());
        }
    }

    /// The connections are open before, and closed behind.
    fn kept(&mut self, running: &[Running]) -> Result<()> {
        let mut all = turns(running.iter(), |one| Kept::open(one.address, AT_ONCE))?;
        let messages = self.size.kept / TURNS;
        take(TURNS, &mut all, |one, kept| {
            let done = kept.deliver(messages / one.contestant.share())?;
            Ok((done.messages, done.seconds))
        })?;
        self.add_messages(&all, figures::KEPT_CPU, figures::KEPT_RATE);
        let rates = all
            .iter()
            .map(|turn| (turn.one.contestant, turn.taken.per_second()));
        self.rates = rates.collect();
        all.into_iter().try_for_each(|turn| turn.with.close())
    }

    fn single(&mut self, running: &[Running]) -> Result<()> {
        let messages = self.size.single / TURNS;
        let mut all = turns(running.iter(), |_| Ok(()))?;
        take(TURNS, &mut all, |one, ()| {
            let done = deliver(deliveries(one, messages, PerConnection::One))?;
            Ok((done.messages, done.seconds))
        })?;
        self.add_messages(&all, figures::SINGLE_CPU, figures::SINGLE_RATE);
        Ok(())
    }

    fn by_smtp_source(
        &mut self,
        running: &[Running],
        per_connection: PerConnection,
        measure: Measure,
    ) -> Result<()> {
        let messages = match per_connection {
            PerConnection::Many => self.size.kept,
            PerConnection::One => self.size.single,
        } / TURNS;
        let mut all = turns(running.iter(), |_| Ok(()))?;
        take(TURNS, &mut all, |one, ()| {
            let done = smtp_source(deliveries(one, messages, per_connection))?;
            Ok((done.messages, done.seconds))
        })?;
        for turn in &all {
            self.add(measure, turn.one, turn.taken.cpu_each() * 1e3);
        }
        Ok(())
    }

    /// The load is half of what bare Envoy bore in this round, the same for all.
    fn latency(&mut self, one: &Running) -> Result<()> {
        let rate_of = |contestant| self.rates.get(&contestant).copied();
        let Some((bare, own)) = rate_of(Contestant::Bare).zip(rate_of(one.contestant)) else {
            return Ok(());
        };
        let rate = bare * LOAD;
        if own < rate {
            let note = format!(
                "{one}: its commands are not timed, it does not bear that load",
                one = one.contestant
            );
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
            return Ok(());
        }
        let times = probe(Deliveries {
            server: one.address,
            messages: whole(rate * self.size.timed.as_secs_f64()),
            at_once: AT_ONCE,
            per_connection: PerConnection::Many,
            pace: Duration::from_secs_f64(float(AT_ONCE) / rate),
        })?;
        self.add(figures::LATENCY_P50, one, times.p50);
        self.add(figures::LATENCY_P99, one, times.p99);
        Ok(())
    }
}

fn deliveries(one: &Running, messages: usize, per_connection: PerConnection) -> Deliveries {
    Deliveries {
        server: one.address,
        messages: (messages / one.contestant.share()).max(1),
        at_once: AT_ONCE,
        per_connection,
        pace: Duration::ZERO,
    }
}

fn float(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

/// A count from a rate; there is no conversion that is not by `as`.
fn whole(number: f64) -> usize {
    Duration::try_from_secs_f64(number.max(1.0))
        .map_or(1, |it| usize::try_from(it.as_secs()).unwrap_or(1))
}
