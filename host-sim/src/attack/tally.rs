//! What is counted of a performance.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

use super::honest::Kind;
use super::serial;
use super::series::{Sample, Series};
use crate::mta::StatsSnapshot;
use crate::observe::Summary;

/// Failures that are kept in words.
const FAILURES_KEPT: usize = 10;

/// One performance of an attack: what the server, the bots and the honest senders met.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Performance {
    /// How long it lasted, in simulated time.
    #[serde(serialize_with = "serial::seconds")]
    pub lasted: Duration,
    /// What the server counted.
    pub server: StatsSnapshot,
    /// Sessions of bots.
    pub attack_sessions: u64,
    /// Clients that were turned away before the server was asked, each once.
    pub turned_away: u64,
    /// Why sessions of bots ended, as the host saw it.
    pub attack_ends: BTreeMap<String, u64>,
    /// What the filter's record says of the bots' sessions, and of how many.
    pub attack_records: BTreeMap<String, u64>,
    /// The same of honest senders' sessions.
    pub honest_records: BTreeMap<String, u64>,
    /// DNS questions that the filter asked.
    pub dns_questions: u64,
    /// Honest senders' mail, by the kind of sender.
    pub honest: BTreeMap<Kind, Mail>,
    /// Why honest mail was lost, the first few.
    pub failures: Vec<String>,
    /// Traps of the filter.
    pub traps: u64,
    /// The filter's own metrics at the end.
    pub metrics: BTreeMap<String, u64>,
    /// Bytes of linear memory of the filter's VMs at the end.
    pub wasm_memory_bytes: u64,
    /// A digest of everything that happened, in order.
    pub trace: String,
    /// All of it over time.
    pub series: Series,
}

/// What became of one kind of honest mail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Mail {
    /// Messages delivered.
    pub delivered: u64,
    /// Messages that had to be tried more than once, those lost with them.
    pub tried_again: u64,
    /// Messages lost.
    pub lost: u64,
    /// How long each delivered one took from its first try, shortest first.
    #[serde(serialize_with = "serial::quantiles")]
    pub delays: Vec<Duration>,
}

impl Mail {
    fn and(&mut self, other: Self) {
        self.delivered += other.delivered;
        self.tried_again += other.tried_again;
        self.lost += other.lost;
        self.delays.extend(other.delays);
        self.delays.sort_unstable();
    }
}

impl Performance {
    /// The delays of all honest mail, shortest first.
    #[must_use]
    pub fn delays(&self) -> Vec<Duration> {
        let kinds = self.honest.values();
        let mut delays: Vec<_> = kinds.flat_map(|mail| &mail.delays).copied().collect();
        delays.sort_unstable();
        delays
    }

    /// Honest messages delivered.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.honest.values().map(|mail| mail.delivered).sum()
    }

    /// Honest messages lost.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.honest.values().map(|mail| mail.lost).sum()
    }

    /// Honest messages that had to be tried more than once.
    #[must_use]
    pub fn tried_again(&self) -> u64 {
        self.honest.values().map(|mail| mail.tried_again).sum()
    }

    /// Adds what happened at a host beside this one.
    #[must_use]
    pub(super) fn and(mut self, other: Self) -> Self {
        self.lasted = self.lasted.max(other.lasted);
        self.server = add_stats(&self.server, &other.server);
        self.attack_sessions += other.attack_sessions;
        self.turned_away += other.turned_away;
        self.dns_questions += other.dns_questions;
        self.traps += other.traps;
        self.wasm_memory_bytes += other.wasm_memory_bytes;
        add_counts(&mut self.attack_ends, other.attack_ends);
        add_counts(&mut self.attack_records, other.attack_records);
        add_counts(&mut self.honest_records, other.honest_records);
        add_counts(&mut self.metrics, other.metrics);
        for (kind, mail) in other.honest {
            self.honest.entry(kind).or_default().and(mail);
        }
        self.failures.extend(other.failures);
        self.failures.truncate(FAILURES_KEPT);
        self.trace = format!("{}{}", self.trace, other.trace);
        self.series = self.series.and(other.series);
        self
    }
}

fn add_counts(counts: &mut BTreeMap<String, u64>, more: BTreeMap<String, u64>) {
    for (name, count) in more {
        *counts.entry(name).or_default() += count;
    }
}

fn add_stats(one: &StatsSnapshot, other: &StatsSnapshot) -> StatsSnapshot {
    StatsSnapshot {
        connections: one.connections + other.connections,
        commands: one.commands + other.commands,
        rcpt: one.rcpt + other.rcpt,
        rcpt_unknown: one.rcpt_unknown + other.rcpt_unknown,
        messages: one.messages + other.messages,
        message_bytes: one.message_bytes + other.message_bytes,
        bytes_in: one.bytes_in + other.bytes_in,
        bytes_out: one.bytes_out + other.bytes_out,
    }
}

/// Which of the filter's properties is its record of a session, and which fields of
/// it, a JSON object, tell sessions apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordFields {
    /// The property; `None` for the first one that is a JSON object.
    pub property: Option<String>,
    /// The fields.
    pub fields: Vec<String>,
}

impl Default for RecordFields {
    fn default() -> Self {
        Self {
            property: None,
            fields: vec!["verdict".to_owned(), "rule".to_owned()],
        }
    }
}

impl RecordFields {
    /// The whole record of a session.
    #[must_use]
    pub fn record(
        &self,
        properties: &BTreeMap<String, Vec<u8>>,
    ) -> Option<serde_json::Map<String, serde_json::Value>> {
        match &self.property {
            Some(name) => serde_json::from_slice(properties.get(name)?).ok(),
            None => {
                let mut values = properties.values();
                values.find_map(|value| serde_json::from_slice(value).ok())
            }
        }
    }

    /// The record in a word: the fields that are set, or `no record`.
    #[must_use]
    pub fn label(&self, properties: &BTreeMap<String, Vec<u8>>) -> String {
        let Some(record) = self.record(properties) else {
            return "no record".to_owned();
        };
        let fields = self.fields.iter().filter_map(|name| record.get(name));
        let words = fields.filter_map(|value| match value {
            serde_json::Value::Null => None,
            serde_json::Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        });
        let words: Vec<_> = words.collect();
        match words.as_slice() {
            [] => "no record".to_owned(),
            words => words.join(" "),
        }
    }
}

/// A performance while it goes on.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) performance: Performance,
    turned_away: HashSet<IpAddr>,
    fields: RecordFields,
}

impl Tally {
    pub(super) fn new(fields: RecordFields) -> Self {
        let honest = Kind::ALL.map(|kind| (kind, Mail::default())).into();
        Self {
            performance: Performance {
                honest,
                ..Performance::default()
            },
            turned_away: HashSet::new(),
            fields,
        }
    }

    pub(super) fn attack_session(&mut self, summary: &Summary) {
        let performance = &mut self.performance;
        let reason = summary.reason.name().to_owned();
        *performance.attack_ends.entry(reason).or_default() += 1;
        let label = self.fields.label(&summary.properties);
        *performance.attack_records.entry(label).or_default() += 1;
    }

    pub(super) fn honest_session(&mut self, summary: &Summary) {
        let label = self.fields.label(&summary.properties);
        let records = &mut self.performance.honest_records;
        *records.entry(label).or_default() += 1;
    }

    pub(super) fn turned_away(&mut self, client: IpAddr) {
        self.turned_away.insert(client);
        self.performance.turned_away = self.turned_away.len() as u64;
    }

    pub(super) fn delivered(&mut self, kind: Kind, delay: Duration, again: bool) {
        let mail = self.performance.honest.entry(kind).or_default();
        mail.delivered += 1;
        mail.tried_again += u64::from(again);
        mail.delays.push(delay);
    }

    pub(super) fn lost(&mut self, kind: Kind, reason: &str, again: bool) {
        let mail = self.performance.honest.entry(kind).or_default();
        mail.lost += 1;
        mail.tried_again += u64::from(again);
        if self.performance.failures.len() < FAILURES_KEPT {
            let failure = format!("{}: {reason}", kind.name());
            self.performance.failures.push(failure);
        }
    }

    pub(super) fn sample(&mut self, sample: Sample) {
        self.performance.series.push(Sample {
            attack_sessions: self.performance.attack_sessions,
            turned_away: self.performance.turned_away,
            delivered: self.performance.delivered(),
            ..sample
        });
    }
}

/// So many of a hundred delays are no longer than this.
pub(crate) fn quantile(sorted: &[Duration], percent: u64) -> Duration {
    let last = sorted.len().saturating_sub(1);
    let place = (last * usize::try_from(percent).unwrap_or(0)).div_ceil(100);
    sorted.get(place).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_delays_that_were_met() {
        let delays: Vec<Duration> = (1..=10).map(Duration::from_secs).collect();
        let table = [(0, 1), (50, 6), (99, 10), (100, 10)];
        for (percent, seconds) in table {
            assert_eq!(quantile(&delays, percent), Duration::from_secs(seconds));
        }
        assert_eq!(quantile(&[], 50), Duration::ZERO);
    }
}
