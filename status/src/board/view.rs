//! The board as the page reads it.

use std::collections::VecDeque;

use serde::Serialize;

use super::listings::Extract;
use super::{Board, Source};
use crate::clock::now_ms;
use crate::log::Record;
use crate::metrics::{History, Line, Reading, Trouble};

/// Rows on one page of listings.
const PER_PAGE: usize = 20;

/// What a reader wants to see of the listings.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Whom.
    pub(crate) filter: String,
    /// From which row on.
    pub(crate) from: usize,
}

#[derive(Serialize)]
struct View<'a> {
    now_ms: u64,
    envoy: SourceView<'a>,
    log: Option<LogView<'a>>,
    figures: Option<Figures>,
    lines: Lines,
    rules: Vec<RuleView<'a>>,
    troubles: Vec<Trouble>,
    listings: Extract,
    verdicts: &'a VecDeque<Record>,
    acted: &'a VecDeque<Record>,
}

#[derive(Serialize)]
struct SourceView<'a> {
    place: &'a str,
    read_ms: Option<u64>,
    fault: Option<&'a str>,
    fault_since_ms: Option<u64>,
}

#[derive(Serialize)]
struct LogView<'a> {
    #[serde(flatten)]
    source: SourceView<'a>,
    /// Lines that could not be read.
    faulty: u64,
}

/// Gauges, and how much counters grow in a minute.
#[derive(Serialize)]
struct Figures {
    uptime_s: u64,
    attack_workers: u64,
    open: u64,
    listings: u64,
    remembered: u64,
    sessions: Counter,
    messages: Counter,
    accepted: Counter,
    rejected: Counter,
    acted: Counter,
}

#[derive(Serialize)]
struct Counter {
    total: u64,
    per_minute: Option<f64>,
}

#[derive(Serialize)]
struct Lines {
    open: Line,
    sessions: Line,
    messages: Line,
    rejected: Line,
    acted: Line,
    listings: Line,
}

#[derive(Serialize)]
struct RuleView<'a> {
    rule: &'a str,
    acted: Counter,
    observed: u64,
}

impl Board {
    /// The board as JSON.
    pub(crate) fn view(&mut self, wanted: &Wanted) -> Result<Vec<u8>, serde_json::Error> {
        let now_ms = now_ms();
        self.listings.expire(now_ms / 1000);
        let (history, last) = (&self.history, self.history.last());
        serde_json::to_vec(&View {
            now_ms,
            envoy: self.envoy.view(&self.admin),
            log: self.log_path.as_ref().map(|place| LogView {
                source: self.log.view(place),
                faulty: self.faulty,
            }),
            figures: last.map(|last| figures(history, last)),
            lines: lines(history),
            rules: last.map_or_else(Vec::new, |last| rules(history, last)),
            troubles: history.troubles(),
            listings: self.listings.extract(&wanted.filter, wanted.from, PER_PAGE),
            verdicts: &self.verdicts,
            acted: &self.acted,
        })
    }
}

impl Source {
    fn view<'a>(&'a self, place: &'a str) -> SourceView<'a> {
        let fault = self.fault.as_ref();
        SourceView {
            place,
            read_ms: self.read_ms,
            fault: fault.map(|(why, _)| why.as_str()),
            fault_since_ms: fault.map(|(_, since)| *since),
        }
    }
}

fn counter(history: &History, last: &Reading, of: impl Fn(&Reading) -> u64) -> Counter {
    Counter {
        total: of(last),
        per_minute: history.per_minute(of),
    }
}

fn figures(history: &History, last: &Reading) -> Figures {
    Figures {
        uptime_s: last.uptime_s,
        attack_workers: last.attack,
        open: last.open,
        listings: last.listings,
        remembered: last.remembered,
        sessions: counter(history, last, |reading| reading.sessions),
        messages: counter(history, last, |reading| reading.messages),
        accepted: counter(history, last, |reading| reading.accepted),
        rejected: counter(history, last, |reading| reading.rejected),
        acted: counter(history, last, Reading::acted),
    }
}

fn lines(history: &History) -> Lines {
    Lines {
        open: history.levels(|reading| reading.open),
        sessions: history.rates(|reading| reading.sessions),
        messages: history.rates(|reading| reading.messages),
        rejected: history.rates(|reading| reading.rejected),
        acted: history.rates(Reading::acted),
        listings: history.levels(|reading| reading.listings),
    }
}

/// The rules that were met, the one that did most first.
fn rules<'a>(history: &History, last: &'a Reading) -> Vec<RuleView<'a>> {
    let met = last.rules.iter();
    let met = met.filter(|(_, deeds)| deeds.acted + deeds.observed > 0);
    let mut rules: Vec<RuleView> = met
        .map(|(rule, deeds)| RuleView {
            rule,
            acted: counter(history, last, |reading| {
                reading.rules.get(rule).map_or(0, |deeds| deeds.acted)
            }),
            observed: deeds.observed,
        })
        .collect();
    rules.sort_by_key(|rule| std::cmp::Reverse((rule.acted.total, rule.observed)));
    rules
}
