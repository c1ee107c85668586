//! What does not need Envoy: the module's size, and its memory for an idle session.

use anyhow::{Result, ensure};
use portcullis_tests::paths;

use super::{IDLE_SESSION, MODULE, Size, float, simulated::Guarded};
use crate::figures::Figures;

pub(super) fn module(figures: &mut Figures) -> Result<()> {
    let size = std::fs::metadata(paths::wasm()?)?.len();
    figures.add(MODULE, "portcullis", float(usize::try_from(size)?) / 1024.0);
    Ok(())
}

/// Sessions that were greeted and said EHLO. Memory grows by doublings, so it is looked at after
/// each thousand, and the worst share counts.
pub(super) fn idle_session(size: &Size, figures: &mut Figures) -> Result<()> {
    const STEP: usize = 1000;
    let most = size
        .sessions
        .iter()
        .copied()
        .max()
        .unwrap_or(STEP)
        .max(STEP);
    let mut guarded = Guarded::start()?;
    let before = guarded.sim.wasm_memory_bytes();
    let mut worst: f64 = 0.0;
    for session in 1..=most {
        let conn = guarded.greeted(session);
        ensure!(guarded.is_open(conn), "session {session} was not let in");
        if session % STEP == 0 && session >= most / 2 {
            let taken = guarded.sim.wasm_memory_bytes().saturating_sub(before);
            worst = worst.max(float(taken) / float(session));
        }
    }
    figures.add(IDLE_SESSION, "portcullis", worst);
    Ok(())
}
