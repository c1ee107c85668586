//! What came of a case, the same for both hosts.

use std::collections::BTreeMap;

/// Everything that can be seen of a case so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trace {
    /// The worker's log: callbacks, hostcalls with their statuses and results.
    pub(crate) filter: Vec<String>,
    /// What the two ends of each connection saw.
    pub(crate) connections: Vec<Ends>,
    /// Counters and gauges by name.
    pub(crate) metrics: BTreeMap<String, u64>,
}

/// The two ends of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) client: End,
    /// Whether the server was reached.
    pub(crate) reached: bool,
    pub(crate) server: End,
}

/// What one end read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) bytes: Vec<u8>,
    /// Whether nothing can follow: the end of the stream, or a reset.
    pub(crate) ended: bool,
}

impl Trace {
    /// Whether as much has happened here as there.
    pub(crate) fn covers(&self, wanted: &Self) -> bool {
        let pairs = self.connections.iter().zip(&wanted.connections);
        self.filter.len() >= wanted.filter.len()
            && self.connections.len() >= wanted.connections.len()
            && pairs.into_iter().all(|(seen, wanted)| seen.cover(wanted))
    }

    /// The trace, line by line.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = self.filter.clone();
        for (place, ends) in self.connections.iter().enumerate() {
            let reached = if ends.reached { "" } else { ", not reached" };
            lines.push(format!("client {place} read {}", ends.client.line()));
            lines.push(format!(
                "server {place} read {}{reached}",
                ends.server.line()
            ));
        }
        let metrics = self.metrics.iter();
        lines.extend(metrics.map(|(name, value)| format!("metric {name} {value}")));
        lines
    }
}

impl Ends {
    fn cover(&self, wanted: &Self) -> bool {
        let reached = self.reached || !wanted.reached;
        reached && self.client.covers(&wanted.client) && self.server.covers(&wanted.server)
    }
}

impl End {
    fn covers(&self, wanted: &Self) -> bool {
        self.bytes.len() >= wanted.bytes.len() && (self.ended || !wanted.ended)
    }

    fn line(&self) -> String {
        let end = if self.ended { ", then the end" } else { "" };
        let bytes = match self.bytes.len() {
            0..=200 => self.bytes.escape_ascii().to_string(),
            many => format!("{many} bytes"),
        };
        format!("{bytes:?}{end}")
    }
}

/// Two traces side by side.
pub(crate) struct Comparison(Vec<(String, String)>);

impl Comparison {
    pub(crate) fn new(simulated: &Trace, real: &Trace) -> Self {
        let (simulated, real) = (simulated.lines(), real.lines());
        let line = |lines: &[String], place| lines.get(place).cloned().unwrap_or("-".into());
        let rows = 0..simulated.len().max(real.len());
        Self(
            rows.map(|place| (line(&simulated, place), line(&real, place)))
                .collect(),
        )
    }

    /// The lines that differ, the simulator's and the real one's.
    pub(crate) fn differences(&self) -> Vec<(&str, &str)> {
        let rows = self
            .0
            .iter()
            .map(|(left, right)| (left.as_str(), right.as_str()));
        rows.filter(|(left, right)| left != right).collect()
    }

    /// Both, with a mark where they differ.
    pub(crate) fn text(&self) -> String {
        let rows = self.0.iter().map(|(left, right)| {
            let mark = if left == right { ' ' } else { '!' };
            format!("{mark} {left:<60} | {right}")
        });
        rows.collect::<Vec<_>>().join("\n")
    }
}
