//! Open sessions on real Envoy.

use anyhow::{Context, Result};

use super::{Curve, CurveLine, OPEN_MEMORY, Size, float};
use crate::{
    contestant::{Contestant, Sink, Surroundings, start},
    figures::Figures,
    load::{Crowd, State},
    usage::most_proxied,
};

const MIB: f64 = 1024.0 * 1024.0;
const WHO: [Contestant; 3] = [Contestant::Bare, Contestant::Noop, Contestant::Portcullis];

pub(super) fn open_sessions(
    around: &Surroundings,
    size: &Size,
    figures: &mut Figures,
    notes: &mut Vec<String>,
) -> Result<Curve> {
    let sink = Sink::start()?;
    let most = most_proxied()?;
    let mut counts: Vec<usize> = size
        .sessions
        .iter()
        .copied()
        .filter(|count| *count <= most)
        .collect();
    if counts.len() < size.sessions.len() {
        counts.push(most);
        notes.push(format!(
            "open sessions end at {most} instead of {}: a process may open no more files here \
             (`ulimit -Hn`), and each takes two",
            size.sessions.last().copied().unwrap_or_default()
        ));
    }
    let mut lines = Vec::new();
    for contestant in WHO {
        eprintln!("bench: growth: open sessions: {contestant}");
        let one = start(contestant, around, sink.address(), 2)?;
        let mut crowd = Crowd::new()?;
        let mut points = Vec::new();
        for count in &counts {
            crowd
                .grow(one.address, *count, State::Idle)
                .with_context(|| format!("{contestant}, {count} sessions"))?;
            points.push((float(*count), one.measured.usage()?.resident / MIB));
        }
        if let Some((_, last)) = points.last() {
            figures.add(OPEN_MEMORY, contestant.name(), *last);
        }
        lines.push(CurveLine {
            name: contestant.name().to_owned(),
            points,
        });
    }
    Ok(Curve {
        id: "sessions-memory",
        title: "Memory, by open sessions",
        across: "sessions",
        upwards: "MiB",
        place: "real Envoy, two workers",
        lines,
    })
}
