//! What was measured: by measure, by contestant, by round.

use serde::Serialize;

use crate::stats::{Summary, paired};

/// Which of two values is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// The lower.
    Lower,
    /// The higher.
    Higher,
}

/// A thing that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Measure {
    /// Its name in the JSON.
    pub id: &'static str,
    /// What it is.
    pub title: &'static str,
    /// The unit of its values.
    pub unit: &'static str,
    /// Which value is the better one.
    pub better: Better,
}

pub(crate) const fn lower(id: &'static str, title: &'static str, unit: &'static str) -> Measure {
    Measure {
        id,
        title,
        unit,
        better: Better::Lower,
    }
}

pub(crate) const fn higher(id: &'static str, title: &'static str, unit: &'static str) -> Measure {
    Measure {
        id,
        title,
        unit,
        better: Better::Higher,
    }
}

/// CPU time of messages on kept connections.
pub const KEPT_CPU: Measure = lower("kept.cpu", "1,000 messages on kept connections: CPU", "ms");
/// How fast these go.
pub const KEPT_RATE: Measure = higher("kept.rate", "messages on kept connections", "/s");
/// CPU time of sessions of one message.
pub const SINGLE_CPU: Measure = lower("single.cpu", "1,000 sessions of one message: CPU", "ms");
/// How fast these go.
pub const SINGLE_RATE: Measure = higher("single.rate", "sessions of one message", "/s");
/// The same as [`KEPT_CPU`] by `smtp-source`.
pub const SOURCE_KEPT_CPU: Measure = lower(
    "source-kept.cpu",
    "1,000 messages by smtp-source, kept connections: CPU",
    "ms",
);
/// The same as [`SINGLE_CPU`] by `smtp-source`.
pub const SOURCE_SINGLE_CPU: Measure = lower(
    "source-single.cpu",
    "1,000 messages by smtp-source, a session each: CPU",
    "ms",
);
/// Half of the commands took no longer.
pub const LATENCY_P50: Measure = lower("latency.p50", "a command at half load: half within", "us");
/// 99 of 100 took no longer.
pub const LATENCY_P99: Measure = lower(
    "latency.p99",
    "a command at half load: 99 of 100 within",
    "us",
);
/// CPU time of a large message by DATA.
pub const DATA_CPU: Measure = lower("data.cpu", "10 MB by DATA: CPU", "ms");
/// How fast that goes.
pub const DATA_RATE: Measure = higher("data.rate", "10 MB by DATA", "MB/s");
/// CPU time of a large message by BDAT.
pub const BDAT_CPU: Measure = lower("bdat.cpu", "10 MB by BDAT: CPU", "ms");
/// How fast that goes.
pub const BDAT_RATE: Measure = higher("bdat.rate", "10 MB by BDAT", "MB/s");
/// CPU time of as much after STARTTLS.
pub const OPAQUE_CPU: Measure = lower("opaque.cpu", "10 MB after STARTTLS: CPU", "ms");
/// How fast that goes.
pub const OPAQUE_RATE: Measure = higher("opaque.rate", "10 MB after STARTTLS", "MB/s");
/// Memory of an open session.
pub const IDLE_MEMORY: Measure = lower("idle.memory", "1,000 idle sessions: memory", "MiB");
/// Memory of a session in a message.
pub const BUSY_MEMORY: Measure = lower("busy.memory", "1,000 sessions in DATA: memory", "MiB");

/// The rounds of one contestant.
#[derive(Debug, Clone, Serialize)]
pub struct Rounds {
    /// Who.
    pub contestant: String,
    /// What each round brought, in order.
    pub values: Vec<f64>,
}

/// One measure of all contestants.
#[derive(Debug, Clone, Serialize)]
pub struct Compared {
    /// What.
    #[serde(flatten)]
    pub measure: Measure,
    /// By contestant, in the order in which they came.
    pub contestants: Vec<Rounds>,
}

impl Compared {
    /// The rounds of one of them.
    #[must_use]
    pub fn rounds(&self, contestant: &str) -> Option<&[f64]> {
        let mut all = self.contestants.iter();
        let found = all.find(|rounds| rounds.contestant == contestant)?;
        Some(&found.values)
    }

    /// How many times as much one has as the other, round by round.
    #[must_use]
    pub fn ratio(&self, own: &str, other: &str) -> Option<Summary> {
        let ratio = |own: f64, other: f64| own / other;
        paired(self.rounds(own)?, self.rounds(other)?, ratio)
    }

    /// How much more one has than the other, round by round.
    #[must_use]
    pub fn difference(&self, own: &str, other: &str) -> Option<Summary> {
        let difference = |own: f64, other: f64| own - other;
        paired(self.rounds(own)?, self.rounds(other)?, difference)
    }
}

/// Everything that was measured round by round.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(transparent)]
pub struct Figures {
    /// By measure, in the order in which they came.
    pub all: Vec<Compared>,
}

impl Figures {
    /// Adds what a round brought.
    pub fn add(&mut self, measure: Measure, contestant: &str, value: f64) {
        let at = match self.all.iter().position(|one| one.measure == measure) {
            Some(at) => at,
            None => {
                self.all.push(Compared {
                    measure,
                    contestants: Vec::new(),
                });
                self.all.len() - 1
            }
        };
        let Some(compared) = self.all.get_mut(at) else {
            return;
        };
        let mut known = compared.contestants.iter_mut();
        match known.find(|rounds| rounds.contestant == contestant) {
            Some(rounds) => rounds.values.push(value),
            None => compared.contestants.push(Rounds {
                contestant: contestant.to_owned(),
                values: vec![value],
            }),
        }
    }

    /// One measure.
    #[must_use]
    pub fn get(&self, measure: Measure) -> Option<&Compared> {
        self.all.iter().find(|one| one.measure == measure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_kept_in_order_and_apart() {
        let mut figures = Figures::default();
        for (contestant, value) in [("bare", 1.0), ("noop", 2.0), ("bare", 3.0), ("noop", 9.0)] {
            figures.add(KEPT_CPU, contestant, value);
        }
        figures.add(SINGLE_CPU, "bare", 7.0);
        let kept = figures.get(KEPT_CPU).unwrap();
        assert_eq!(kept.rounds("bare"), Some([1.0, 3.0].as_slice()));
        assert_eq!(kept.ratio("noop", "bare").unwrap().median, 2.5);
        assert_eq!(kept.difference("noop", "bare").unwrap().highest, 6.0);
        assert_eq!(kept.ratio("haraka", "bare"), None);
    }
}
