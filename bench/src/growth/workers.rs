//! One worker and two.

use std::time::Duration;

use anyhow::Result;

use super::{Curve, CurveLine, Size, float};
use crate::{
    contestant::{Contestant, Sink, Surroundings, start},
    load::{Deliveries, PerConnection, deliver},
    stats::Summary,
};

const WHO: [Contestant; 2] = [Contestant::Bare, Contestant::Portcullis];
const WORKERS: [usize; 2] = [1, 2];

pub(super) fn workers(around: &Surroundings, size: &Size) -> Result<Vec<Curve>> {
    eprintln!("bench: growth: workers");
    let sink = Sink::start()?;
    let mut running = Vec::new();
    for workers in WORKERS {
        for contestant in WHO {
            running.push((workers, start(contestant, around, sink.address(), workers)?));
        }
    }
    let mut cpu = vec![Vec::new(); running.len()];
    let mut rate = cpu.clone();
    // The first round is the warm-up.
    for round in 0..=size.rounds {
        for ((_, one), (cpu, rate)) in running.iter().zip(cpu.iter_mut().zip(&mut rate)) {
            let before = one.measured.usage()?.cpu;
            let done = deliver(Deliveries {
                server: one.address,
                messages: size.kept,
                at_once: 20,
                per_connection: PerConnection::Many,
                pace: Duration::ZERO,
            })?;
            if round > 0 {
                let messages = float(done.messages);
                cpu.push((one.measured.usage()?.cpu - before) * 1e6 / messages);
                rate.push(messages / done.seconds);
            }
        }
    }
    let lines = |rounds: &[Vec<f64>]| {
        let of = |contestant: Contestant| {
            let mine = running.iter().zip(rounds);
            let mine = mine.filter(|((_, one), _)| one.contestant == contestant);
            let point = |((workers, _), rounds): (&(usize, _), &Vec<f64>)| {
                Some((float(*workers), Summary::of(rounds)?.median))
            };
            CurveLine {
                name: contestant.name().to_owned(),
                points: mine.filter_map(point).collect(),
            }
        };
        WHO.map(of).to_vec()
    };
    const PLACE: &str = "real Envoy; the load and the sink share its cores";
    Ok(vec![
        Curve {
            id: "workers-cpu",
            title: "CPU of 1,000 messages on kept connections, by workers",
            across: "workers",
            upwards: "ms",
            place: PLACE,
            lines: lines(&cpu),
        },
        Curve {
            id: "workers-rate",
            title: "Messages on kept connections, by workers",
            across: "workers",
            upwards: "per second",
            place: PLACE,
            lines: lines(&rate),
        },
    ])
}
