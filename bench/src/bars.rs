//! What the guard is held to, each by a comparison within one run.

use serde::Serialize;

use crate::figures::{Figures, Measure};

/// What is held against the limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Against {
    /// The value itself.
    Nobody,
    /// How many times as much it is as this contestant's.
    Times(&'static str),
    /// How much more it is than this contestant's.
    Over(&'static str),
}

/// On which side of the limit it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sense {
    /// No more.
    AtMost,
    /// No less.
    AtLeast,
    /// Less.
    Below,
}

/// One of them.
#[derive(Debug, Clone)]
pub struct Bar {
    /// Of what.
    pub measure: Measure,
    /// Of whom.
    pub own: &'static str,
    /// Against whom.
    pub against: Against,
    /// Where.
    pub limit: f64,
    /// How.
    pub sense: Sense,
}

/// How it turned out.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// The bar in words.
    pub bar: String,
    /// In fewer words.
    pub short: String,
    /// The limit with its sign.
    pub limit: String,
    /// What was measured; none if somebody is missing.
    pub value: Option<f64>,
    /// Kept, missed or missing.
    pub outcome: Outcome,
}

/// Kept or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Kept.
    Kept,
    /// Missed.
    Missed,
    /// Nobody knows: a contestant is missing.
    Missing,
}

impl Bar {
    /// Holds what was measured against it.
    #[must_use]
    pub fn judge(&self, figures: &Figures) -> Verdict {
        let value = self.value(figures);
        let outcome = match value {
            None => Outcome::Missing,
            Some(value) if self.holds(value) => Outcome::Kept,
            Some(_) => Outcome::Missed,
        };
        let against = match self.against {
            Against::Nobody => String::new(),
            Against::Times(other) => format!(" / {other}"),
            Against::Over(other) => format!(" over {other}"),
        };
        Verdict {
            bar: format!("{}, {}{against}", self.measure.title, self.own),
            short: format!("{}{against}", self.measure.id),
            limit: format!("{} {}", self.sign(), crate::print::short(self.limit)),
            value,
            outcome,
        }
    }

    fn value(&self, figures: &Figures) -> Option<f64> {
        let compared = figures.get(self.measure)?;
        let summary = match self.against {
            Against::Nobody => crate::stats::Summary::of(compared.rounds(self.own)?),
            Against::Times(other) => compared.ratio(self.own, other),
            Against::Over(other) => compared.difference(self.own, other),
        };
        summary.map(|summary| summary.median)
    }

    /// What is no number holds nothing.
    fn holds(&self, value: f64) -> bool {
        match self.sense {
            Sense::AtMost => value <= self.limit,
            Sense::AtLeast => value >= self.limit,
            Sense::Below => value < self.limit,
        }
    }

    fn sign(&self) -> &'static str {
        match self.sense {
            Sense::AtMost => "<=",
            Sense::AtLeast => ">=",
            Sense::Below => "<",
        }
    }

    /// Everybody whom it takes.
    #[must_use]
    pub fn needs(&self) -> Vec<&'static str> {
        match self.against {
            Against::Nobody => vec![self.own],
            Against::Times(other) | Against::Over(other) => vec![self.own, other],
        }
    }
}

/// Whether a run may be called good: no bar is missed. A missing contestant is told, and no fault
/// of the guard's.
#[must_use]
pub fn all_hold(verdicts: &[Verdict]) -> bool {
    verdicts
        .iter()
        .all(|verdict| verdict.outcome != Outcome::Missed)
}

/// The last line of a run.
#[must_use]
pub fn summary(verdicts: &[Verdict]) -> String {
    let count = |outcome| {
        let with = verdicts.iter().filter(|one| one.outcome == outcome);
        with.count()
    };
    let tell = |one: &Verdict| match one.value {
        Some(value) => {
            let value = crate::print::short(value);
            let missed = match one.outcome {
                Outcome::Missed => " MISSED",
                _ => "",
            };
            format!("{} {value} ({}){missed}", one.short, one.limit)
        }
        None => format!("{} missing", one.short),
    };
    let told: Vec<String> = verdicts.iter().map(tell).collect();
    format!(
        "bench: {} bars kept, {} missed, {} missing: {}",
        count(Outcome::Kept),
        count(Outcome::Missed),
        count(Outcome::Missing),
        told.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::{DATA_RATE, KEPT_CPU, LATENCY_P50};

    fn figures() -> Figures {
        let mut figures = Figures::default();
        for (measure, own, bare) in [
            (KEPT_CPU, 12.0, 10.0),
            (DATA_RATE, 90.0, 100.0),
            (LATENCY_P50, 40.0, 25.0),
        ] {
            figures.add(measure, "portcullis", own);
            figures.add(measure, "bare", bare);
        }
        figures
    }

    fn bar(measure: Measure, against: Against, sense: Sense, limit: f64) -> Verdict {
        let own = "portcullis";
        Bar {
            measure,
            own,
            against,
            limit,
            sense,
        }
        .judge(&figures())
    }

    #[test]
    fn a_bar_is_kept_missed_or_missing() {
        let times = Against::Times("bare");
        let table = [
            (
                bar(KEPT_CPU, times.clone(), Sense::AtMost, 1.2),
                Outcome::Kept,
            ),
            (
                bar(KEPT_CPU, times.clone(), Sense::Below, 1.2),
                Outcome::Missed,
            ),
            (
                bar(KEPT_CPU, times.clone(), Sense::AtMost, 1.19),
                Outcome::Missed,
            ),
            (bar(DATA_RATE, times, Sense::AtLeast, 0.95), Outcome::Missed),
            (
                bar(LATENCY_P50, Against::Over("bare"), Sense::Below, 20.0),
                Outcome::Kept,
            ),
            (
                bar(LATENCY_P50, Against::Nobody, Sense::Below, 20.0),
                Outcome::Missed,
            ),
            (
                bar(KEPT_CPU, Against::Times("haraka"), Sense::Below, 1.0),
                Outcome::Missing,
            ),
        ];
        for (verdict, outcome) in table {
            assert_eq!(verdict.outcome, outcome, "{verdict:?}");
        }
    }

    #[test]
    fn what_is_no_number_is_missed() {
        let mut figures = Figures::default();
        figures.add(KEPT_CPU, "portcullis", f64::NAN);
        let bar = Bar {
            measure: KEPT_CPU,
            own: "portcullis",
            against: Against::Nobody,
            limit: 1.0,
            sense: Sense::AtMost,
        };
        assert_eq!(bar.judge(&figures).outcome, Outcome::Missed);
    }

    #[test]
    fn the_summary_is_one_line_that_tells_what_was_missed() {
        let verdicts = [
            bar(KEPT_CPU, Against::Times("bare"), Sense::AtMost, 1.2),
            bar(KEPT_CPU, Against::Times("bare"), Sense::AtMost, 1.1),
            bar(KEPT_CPU, Against::Times("haraka"), Sense::Below, 1.0),
        ];
        assert_eq!(
            summary(&verdicts),
            "bench: 1 bars kept, 1 missed, 1 missing: kept.cpu / bare 1.20 (<= 1.20), \
             kept.cpu / bare 1.20 (<= 1.10) MISSED, kept.cpu / haraka missing"
        );
        assert!(!all_hold(&verdicts));
        assert!(all_hold(&verdicts[..1]) && all_hold(&verdicts[2..]));
    }
}
