//! Large messages.

use std::time::Instant;

use anyhow::{Context, Result};

use super::{
    Bench,
    turns::{take, turns},
};
use crate::{
    contestant::{Contestant, Running, Surroundings, Work, start},
    figures::{self, Measure},
    load::{BulkSink, Transfer, large_message, send_large, send_opaque},
};

const LARGE: usize = 10_000_000;
/// What is not read line by line takes a fifth of the time: so often more, to be measured as well.
const MORE: usize = 5;

/// The ways that are measured, and what each is told by.
const BY_DATA: (Measure, Measure) = (figures::DATA_CPU, figures::DATA_RATE);
const BY_BDAT: (Measure, Measure) = (figures::BDAT_CPU, figures::BDAT_RATE);
const OPAQUE: (Measure, Measure) = (figures::OPAQUE_CPU, figures::OPAQUE_RATE);

impl Bench<'_> {
    pub(super) fn by_data(&mut self, running: &[Running]) -> Result<()> {
        let message = large_message(LARGE);
        let send = |one: &Running| send_large(one.address, Transfer::Data, &message);
        let able = |one: &&Running| one.contestant.cannot(Work::Data).is_none();
        self.large(running.iter().filter(able), BY_DATA, self.size.large, send)
    }

    /// Before a server of ours, since smtp-sink knows neither BDAT nor STARTTLS.
    pub(super) fn large_otherwise(
        &mut self,
        contestants: &[Contestant],
        around: &Surroundings,
    ) -> Result<()> {
        eprintln!("bench: wire: BDAT, and sessions that switch to TLS");
        let message = large_message(LARGE);
        let sink = BulkSink::start(message.len())?;
        let can = |one: Contestant, work| one.cannot(work).is_none();
        let any = |one: &&Contestant| can(**one, Work::Bdat) || can(**one, Work::Opaque);
        let bdat = |one: &Running| send_large(one.address, Transfer::Bdat, &message);
        let opaque = |one: &Running| send_opaque(one.address, &message);
        for _ in 0..self.size.rounds {
            let all = contestants.iter().filter(any);
            let running = all.map(|one| start(*one, around, sink.address(), 1));
            let running: Vec<Running> = running.collect::<Result<_>>()?;
            let able = |work| {
                let all = running.iter();
                all.filter(move |one| can(one.contestant, work))
            };
            for one in able(Work::Bdat) {
                bdat(one).with_context(|| one.contestant.to_string())?;
            }
            for one in able(Work::Opaque) {
                opaque(one).with_context(|| one.contestant.to_string())?;
            }
            let count = self.size.large * MORE;
            self.large(able(Work::Bdat), BY_BDAT, count, bdat)?;
            self.large(able(Work::Opaque), OPAQUE, count, opaque)?;
        }
        Ok(())
    }

    /// A message a turn.
    fn large<'a>(
        &mut self,
        running: impl Iterator<Item = &'a Running>,
        (cpu, rate): (Measure, Measure),
        count: usize,
        send: impl Fn(&Running) -> Result<()>,
    ) -> Result<()> {
        let mut all = turns(running, |_| Ok(()))?;
        take(count, &mut all, |one, ()| {
            let start = Instant::now();
            send(one)?;
            Ok((1, start.elapsed().as_secs_f64()))
        })?;
        for turn in all {
            self.add(cpu, turn.one, turn.taken.cpu_each());
            let megabytes = super::float(LARGE) / 1e6;
            self.add(rate, turn.one, turn.taken.per_second() * megabytes);
        }
        Ok(())
    }
}
