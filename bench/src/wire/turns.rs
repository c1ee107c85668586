//! Work in small turns, one contestant after the other and again: what else goes on at a time
//! disturbs all of them.

use anyhow::{Context, Result};

use crate::contestant::Running;

/// What a contestant's turns took together.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Taken {
    /// CPU time, seconds.
    pub(super) cpu: f64,
    /// Time, seconds.
    pub(super) seconds: f64,
    /// How much was done.
    pub(super) done: usize,
}

impl Taken {
    pub(super) fn per_second(&self) -> f64 {
        super::float(self.done) / self.seconds
    }

    /// CPU time for one, in milliseconds.
    pub(super) fn cpu_each(&self) -> f64 {
        self.cpu * 1e3 / super::float(self.done)
    }
}

/// Who does the work, and whatever it needs for that between its turns.
pub(super) struct Turn<'a, T> {
    pub(super) one: &'a Running,
    pub(super) with: T,
    pub(super) taken: Taken,
}

/// Those who can, each with what it needs.
pub(super) fn turns<'a, T>(
    running: impl Iterator<Item = &'a Running>,
    mut prepare: impl FnMut(&Running) -> Result<T>,
) -> Result<Vec<Turn<'a, T>>> {
    let turn = |one: &'a Running| {
        Ok(Turn {
            one,
            with: prepare(one).with_context(|| one.contestant.to_string())?,
            taken: Taken::default(),
        })
    };
    running.map(turn).collect()
}

/// Has them take so many turns. `work` says how much it did, in how many seconds.
pub(super) fn take<T>(
    count: usize,
    all: &mut [Turn<'_, T>],
    mut work: impl FnMut(&Running, &mut T) -> Result<(usize, f64)>,
) -> Result<()> {
    for _ in 0..count {
        for turn in all.iter_mut() {
            let before = turn.one.measured.usage()?.cpu;
            let (done, seconds) =
                work(turn.one, &mut turn.with).with_context(|| turn.one.contestant.to_string())?;
            turn.taken.cpu += turn.one.measured.usage()?.cpu - before;
            turn.taken.seconds += seconds;
            turn.taken.done += done;
        }
    }
    Ok(())
}
