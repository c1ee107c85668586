//! What honest mail costs each contestant, in rounds in which they take turns.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::{
    contestant::{Contestant, Running, Sink, Surroundings, Work, start},
    figures::{self, Figures, Measure},
    load::{
        BulkSink, Crowd, Deliveries, PerConnection, State, Transfer, deliver, large_message, probe,
        send_large, send_opaque, smtp_source,
    },
    usage::Usage,
};

/// Connections that carry mail at once.
const AT_ONCE: usize = 20;
const MIB: f64 = 1024.0 * 1024.0;
const LARGE: usize = 10_000_000;
/// What memory is told for.
const THOUSAND: f64 = 1000.0;
/// Of the rate that bare Envoy reached, when commands are timed.
const LOAD: f64 = 0.5;

/// How much is done.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Rounds that count.
    pub rounds: usize,
    /// Messages on kept connections, in a round.
    pub kept: usize,
    /// Sessions of one message, in a round.
    pub single: usize,
    /// Large messages of each kind, in a round.
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
    /// Messages a second of bare Envoy on kept connections, when it was measured.
    bare_rate: Option<f64>,
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
    left_out: &mut Vec<String>,
) -> Result<()> {
    let sink = Sink::start()?;
    let mut running = Vec::new();
    for contestant in contestants {
        match start(*contestant, around, sink.address(), 1) {
            Ok(one) => running.push(one),
            Err(error) => left_out.push(format!("{error:#}")),
        }
    }
    let mut bench = Bench {
        size,
        figures,
        bare_rate: None,
    };
    eprintln!("bench: wire: warm-up");
    for one in &running {
        warm_up(one).with_context(|| one.contestant.to_string())?;
    }
    for round in 1..=size.rounds {
        eprintln!("bench: wire: round {round} of {}", size.rounds);
        bench.round(&running)?;
    }
    drop(running);
    bench.large_otherwise(contestants, around)?;
    bench.memory(contestants, around, sink.address())
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
        let message = large_message(LARGE);
        type Step = fn(&mut Bench<'_>, &Running, &[u8]) -> Result<()>;
        let steps: [(Work, Step); 5] = [
            (Work::Messages, |bench, one, _| bench.kept(one)),
            (Work::Messages, |bench, one, _| bench.single(one)),
            (Work::Messages, |bench, one, _| bench.by_smtp_source(one)),
            (Work::Latency, |bench, one, _| bench.latency(one)),
            (Work::Data, |bench, one, message| {
                let measures = (figures::DATA_CPU, figures::DATA_RATE);
                bench.large(one, Transfer::Data, message, measures)
            }),
        ];
        for (work, step) in steps {
            for one in running
                .iter()
                .filter(|one| one.contestant.cannot(work).is_none())
            {
                step(self, one, &message).with_context(|| one.contestant.to_string())?;
            }
        }
        Ok(())
    }

    fn add(&mut self, measure: Measure, one: &Running, value: f64) {
        self.figures.add(measure, one.contestant.name(), value);
    }

    fn deliveries(&self, one: &Running, per_connection: PerConnection) -> Deliveries {
        Deliveries {
            server: one.address,
            messages: match per_connection {
                PerConnection::Many => self.size.kept,
                PerConnection::One => self.size.single,
            } / one.contestant.share(),
            at_once: AT_ONCE,
            per_connection,
            pace: Duration::ZERO,
        }
    }

    fn kept(&mut self, one: &Running) -> Result<()> {
        let plan = self.deliveries(one, PerConnection::Many);
        let (cost, done) = cost(one, || deliver(plan))?;
        let rate = float(done.messages) / done.seconds;
        if one.contestant == Contestant::Bare {
            self.bare_rate = Some(rate);
        }
        self.add(
            figures::KEPT_CPU,
            one,
            cost.cpu * 1e6 / float(done.messages),
        );
        self.add(figures::KEPT_RATE, one, rate);
        Ok(())
    }

    fn single(&mut self, one: &Running) -> Result<()> {
        let plan = self.deliveries(one, PerConnection::One);
        let (cost, done) = cost(one, || deliver(plan))?;
        self.add(
            figures::SINGLE_CPU,
            one,
            cost.cpu * 1e6 / float(done.messages),
        );
        self.add(
            figures::SINGLE_RATE,
            one,
            float(done.messages) / done.seconds,
        );
        Ok(())
    }

    fn by_smtp_source(&mut self, one: &Running) -> Result<()> {
        if !self.size.witness {
            return Ok(());
        }
        for (per_connection, measure) in [
            (PerConnection::Many, figures::SOURCE_KEPT_CPU),
            (PerConnection::One, figures::SOURCE_SINGLE_CPU),
        ] {
            let plan = self.deliveries(one, per_connection);
            let (cost, done) = cost(one, || smtp_source(plan))?;
            self.add(measure, one, cost.cpu * 1e6 / float(done.messages));
        }
        Ok(())
    }

    /// The load is half of what bare Envoy reached in this round, the same for all.
    fn latency(&mut self, one: &Running) -> Result<()> {
        let Some(bare) = self.bare_rate else {
            return Ok(());
        };
        let rate = bare * LOAD;
        let plan = Deliveries {
            server: one.address,
            messages: whole(rate * self.size.timed.as_secs_f64()),
            at_once: AT_ONCE,
            per_connection: PerConnection::Many,
            pace: Duration::from_secs_f64(float(AT_ONCE) / rate),
        };
        let times = probe(plan)?;
        self.add(figures::LATENCY_P50, one, times.p50);
        self.add(figures::LATENCY_P99, one, times.p99);
        Ok(())
    }

    fn large(
        &mut self,
        one: &Running,
        transfer: Transfer,
        message: &[u8],
        (cpu, rate): (Measure, Measure),
    ) -> Result<()> {
        let count = self.size.large;
        let (cost, seconds) = cost(one, || {
            timed(count, || send_large(one.address, transfer, message))
        })?;
        self.add_bulk(one, cost, seconds, (cpu, rate));
        Ok(())
    }

    fn add_bulk(
        &mut self,
        one: &Running,
        cost: Usage,
        seconds: f64,
        (cpu, rate): (Measure, Measure),
    ) {
        let count = float(self.size.large);
        self.add(cpu, one, cost.cpu * 1e3 / count);
        self.add(rate, one, count * float(LARGE) / 1e6 / seconds);
    }

    /// Before a server of ours, since smtp-sink knows neither BDAT nor STARTTLS.
    fn large_otherwise(&mut self, contestants: &[Contestant], around: &Surroundings) -> Result<()> {
        eprintln!("bench: wire: BDAT, and sessions that switch to TLS");
        let message = large_message(LARGE);
        let sink = BulkSink::start(message.len())?;
        let any = |one: &&Contestant| {
            one.cannot(Work::Bdat).is_none() || one.cannot(Work::Opaque).is_none()
        };
        // Who does not start has been told of before.
        let running: Vec<Running> = contestants
            .iter()
            .filter(any)
            .filter_map(|one| start(*one, around, sink.address(), 1).ok())
            .collect();
        // The first round is the warm-up.
        for round in 0..=self.size.rounds {
            for (work, cpu, rate) in [
                (Work::Bdat, figures::BDAT_CPU, figures::BDAT_RATE),
                (Work::Opaque, figures::OPAQUE_CPU, figures::OPAQUE_RATE),
            ] {
                for one in running
                    .iter()
                    .filter(|one| one.contestant.cannot(work).is_none())
                {
                    let send = || match work {
                        Work::Bdat => send_large(one.address, Transfer::Bdat, &message),
                        _ => send_opaque(one.address, &message),
                    };
                    let (cost, seconds) = cost(one, || timed(self.size.large, send))
                        .with_context(|| one.contestant.to_string())?;
                    if round > 0 {
                        self.add_bulk(one, cost, seconds, (cpu, rate));
                    }
                }
            }
        }
        Ok(())
    }

    /// Each in a process of its own that has served before, but never as many at once: memory that
    /// is given back stays with the process, and would hide what the next sessions take.
    fn memory(
        &mut self,
        contestants: &[Contestant],
        around: &Surroundings,
        sink: SocketAddr,
    ) -> Result<()> {
        eprintln!("bench: wire: memory of open sessions");
        let able = contestants
            .iter()
            .filter(|one| one.cannot(Work::Sessions).is_none());
        for contestant in able {
            for (state, measure) in [
                (State::Idle, figures::IDLE_MEMORY),
                (State::Busy, figures::BUSY_MEMORY),
            ] {
                let Ok(one) = start(*contestant, around, sink, 1) else {
                    continue;
                };
                let taken = memory_of(&one, self.size.sessions, state)
                    .with_context(|| contestant.to_string())?;
                let sessions = float(self.size.sessions);
                self.add(measure, &one, taken / MIB * THOUSAND / sessions);
            }
        }
        Ok(())
    }
}

fn memory_of(one: &Running, sessions: usize, state: State) -> Result<f64> {
    let mut first = Crowd::new()?;
    first.grow(one.address, 20, state)?;
    let before = one.measured.usage()?.resident;
    let mut crowd = Crowd::new()?;
    crowd.grow(one.address, sessions, state)?;
    Ok(one.measured.usage()?.resident - before)
}

/// What some work costs a contestant; and what came of it.
fn cost<T>(one: &Running, work: impl FnOnce() -> Result<T>) -> Result<(Usage, T)> {
    let before = one.measured.usage()?;
    let done = work()?;
    let after = one.measured.usage()?;
    let cost = Usage {
        cpu: after.cpu - before.cpu,
        resident: after.resident - before.resident,
    };
    Ok((cost, done))
}

/// Seconds for doing it so many times.
fn timed(count: usize, work: impl Fn() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    (0..count).try_for_each(|_| work())?;
    Ok(start.elapsed().as_secs_f64())
}

fn float(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

/// A count from a rate; there is no conversion that is not by `as`.
fn whole(number: f64) -> usize {
    Duration::try_from_secs_f64(number.max(1.0))
        .map_or(1, |it| usize::try_from(it.as_secs()).unwrap_or(1))
}
