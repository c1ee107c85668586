//! What a worker's machine costs when Envoy starts.

use anyhow::Result;

use super::{Size, VM_START, float};
use crate::{
    contestant::{Contestant, Sink, Surroundings, start},
    figures::Figures,
};

/// Numbers of workers whose starts are compared: the difference is what the others took.
const FEW: usize = 1;
const MANY: usize = 17;

/// CPU time until Envoy serves, with many workers and with few. What a bare Envoy takes for its
/// workers is taken off.
pub(super) fn vm_start(around: &Surroundings, size: &Size, figures: &mut Figures) -> Result<()> {
    eprintln!("bench: growth: starts");
    let sink = Sink::start()?;
    let cpu = |contestant, workers| -> Result<f64> {
        start(contestant, around, sink.address(), workers)?
            .measured
            .usage()
            .map(|usage| usage.cpu)
    };
    let mut each = Vec::new();
    for _ in 0..size.rounds {
        let more = |contestant| -> Result<f64> {
            Ok((cpu(contestant, MANY)? - cpu(contestant, FEW)?) / float(MANY - FEW))
        };
        each.push((more(Contestant::Default)? - more(Contestant::Bare)?) * 1e3);
    }
    for value in each {
        figures.add(VM_START, "portcullis", value);
    }
    Ok(())
}
