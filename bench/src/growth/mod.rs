//! How costs grow: with sessions, clients, listings, workers and sizes.

mod curve;
mod machine;
mod sessions;
mod simulated;
mod sizes;
mod start;
mod workers;

use anyhow::Result;

pub use curve::{Curve, CurveLine, shape};

use crate::{
    contestant::Surroundings,
    figures::{Figures, Measure, lower},
};

/// Memory of an Envoy with as many sessions as can be open.
pub const OPEN_MEMORY: Measure = lower("growth.open-memory", "most open sessions: memory", "MiB");
/// The filter's memory for an idle session.
pub const IDLE_SESSION: Measure = lower(
    "growth.idle-session",
    "an idle session in the filter",
    "octets",
);
/// The module's size.
pub const MODULE: Measure = lower("growth.module", "the module", "KiB");
/// What each worker's machine costs at the start.
pub const VM_START: Measure = lower(
    "growth.vm-start",
    "a worker's machine at the start: CPU",
    "ms",
);

/// How far the curves go.
#[derive(Debug, Clone)]
pub struct Size {
    /// Open sessions on real Envoy, as far as this machine's limits go.
    pub sessions: Vec<usize>,
    /// Clients, and listings, in the simulator.
    pub clients: Vec<usize>,
    /// Octets of messages.
    pub messages: Vec<usize>,
    /// Small messages, to compare numbers of workers.
    pub kept: usize,
    /// How often what is repeated is.
    pub rounds: usize,
}

/// Measures all of it.
///
/// # Errors
/// If anything fails that had started.
pub fn measure(
    around: &Surroundings,
    size: &Size,
    figures: &mut Figures,
    notes: &mut Vec<String>,
) -> Result<Vec<Curve>> {
    machine::module(figures)?;
    machine::idle_session(size, figures)?;
    start::vm_start(around, size, figures)?;
    let mut curves = vec![sessions::open_sessions(around, size, figures, notes)?];
    curves.extend(sizes::message_sizes(around, size)?);
    curves.extend(workers::workers(around, size)?);
    curves.extend(simulated::clients(size)?);
    Ok(curves)
}

fn float(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}
