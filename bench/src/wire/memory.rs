//! Memory of open sessions.

use std::net::SocketAddr;

use anyhow::{Context, Result};

use super::{Bench, float};
use crate::{
    contestant::{Contestant, Running, Surroundings, Work, start},
    figures,
    load::{Crowd, State},
};

const MIB: f64 = 1024.0 * 1024.0;
/// What memory is told for.
const THOUSAND: f64 = 1000.0;
/// Sessions that are there before, so that what only the first ones make is there.
const FIRST: usize = 20;

impl Bench<'_> {
    /// Each in a process of its own: memory that is given back stays with a process, and would hide
    /// what the next sessions take.
    pub(super) fn memory(
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
                // Who does not start has been told of before.
                let Ok(one) = start(*contestant, around, sink, 1) else {
                    continue;
                };
                let sessions = self.size.sessions;
                let taken =
                    memory_of(&one, sessions, state).with_context(|| contestant.to_string())?;
                self.add(measure, &one, taken / MIB * THOUSAND / float(sessions));
            }
        }
        Ok(())
    }
}

fn memory_of(one: &Running, sessions: usize, state: State) -> Result<f64> {
    let mut crowd = Crowd::new()?;
    crowd.grow(one.address, FIRST, state)?;
    let before = one.measured.usage()?.resident;
    crowd.grow(one.address, FIRST + sessions, state)?;
    Ok(one.measured.usage()?.resident - before)
}
