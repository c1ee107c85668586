//! Messages from small to very large.

use anyhow::{Context, Result};

use super::{Curve, CurveLine, Size, float};
use crate::{
    contestant::{Contestant, Sink, Surroundings, start},
    load::{Transfer, large_message, send_large},
    stats::Summary,
};

const WHO: [Contestant; 3] = [Contestant::Bare, Contestant::Reader, Contestant::Portcullis];
/// Octets that are sent at each size at least, in a round, so that there is something to measure.
const AT_LEAST: usize = 2_000_000;

pub(super) fn message_sizes(around: &Surroundings, size: &Size) -> Result<Vec<Curve>> {
    eprintln!("bench: growth: sizes of messages");
    let sink = Sink::start()?;
    let running = WHO
        .iter()
        .map(|one| start(*one, around, sink.address(), 1))
        .collect::<Result<Vec<_>>>()?;
    let mut lines: Vec<CurveLine> = running
        .iter()
        .map(|one| CurveLine {
            name: one.contestant.name().to_owned(),
            points: Vec::new(),
        })
        .collect();
    for octets in &size.messages {
        let message = large_message(*octets);
        let count = (AT_LEAST / message.len()).clamp(1, 200);
        let mut rounds = vec![Vec::new(); running.len()];
        // The first round is the warm-up.
        for round in 0..=size.rounds {
            for (one, taken) in running.iter().zip(&mut rounds) {
                let before = one.measured.usage()?.cpu;
                for _ in 0..count {
                    send_large(one.address, Transfer::Data, &message)
                        .with_context(|| format!("{}, {octets} octets", one.contestant))?;
                }
                if round > 0 {
                    taken.push((one.measured.usage()?.cpu - before) * 1e3 / float(count));
                }
            }
        }
        for (line, taken) in lines.iter_mut().zip(&rounds) {
            if let Some(summary) = Summary::of(taken) {
                line.points.push((float(*octets), summary.median));
            }
        }
    }
    Ok(vec![Curve {
        id: "message-cpu",
        title: "CPU of a session, by its message's size",
        across: "octets",
        upwards: "ms",
        place: "real Envoy, one worker, by DATA",
        lines,
    }])
}
