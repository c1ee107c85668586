//! One look at the metrics.

use std::collections::BTreeMap;

use serde::Serialize;
use thiserror::Error;

use super::exposition::samples;

/// The rules of which a count is kept; the guard has fewer, and whoever else answers may not fill
/// our memory.
const MOST_RULES: usize = 64;

/// So long after its start a guard that shares a store has called it.
const SETTLED_S: u64 = 5;

/// Counters that tell of something to look into.
const TROUBLES: [(&str, Telling, &str); 9] = [
    (
        "portcullis_release_failed_total",
        Telling::Ever,
        "Envoy did not send held commands on, so mail may hang",
    ),
    (
        "portcullis_errands_lost_total",
        Telling::Ever,
        "Errands were lost, so sessions may not have ended when they should",
    ),
    (
        "portcullis_refusals_unrouted_total",
        Telling::Ever,
        "Refusals went to the mail server, since the cluster portcullis_refusals is missing",
    ),
    (
        "portcullis_ledger_lost_total",
        Telling::Ever,
        "News of clients could not be written down",
    ),
    (
        "portcullis_ledger_evicted_listings_total",
        Telling::OfLate,
        "Listings had to make room for others; raise ledger.slots",
    ),
    (
        "portcullis_fleet_errors_total",
        Telling::OfLate,
        "Calls to the shared store fail",
    ),
    (
        "portcullis_fleet_lost_total",
        Telling::OfLate,
        "News do not reach the shared store",
    ),
    (
        "portcullis_dnsbl_site_off_total",
        Telling::OfLate,
        "Blacklists were given up for a while",
    ),
    (
        "portcullis_dnsbl_over_budget_total",
        Telling::OfLate,
        "Greetings wait in vain for blacklists",
    ),
];

/// When a counter tells of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Telling {
    /// When it is not 0.
    Ever,
    /// When it grows.
    OfLate,
}

/// Something to look into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Trouble {
    metric: &'static str,
    means: &'static str,
    /// How often, since Envoy started or of late.
    count: u64,
    /// Whether that is of late.
    of_late: bool,
}

/// What the metrics said at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Reading {
    /// When, in milliseconds on a clock that never goes back.
    pub(crate) at_ms: u64,
    /// Sessions open.
    pub(crate) open: u64,
    /// Clients listed.
    pub(crate) listings: u64,
    /// Clients remembered.
    pub(crate) remembered: u64,
    /// Workers that hold an attack to be under way.
    pub(crate) attack: u64,
    /// Since when Envoy runs, in seconds.
    pub(crate) uptime_s: u64,
    /// Sessions begun.
    pub(crate) sessions: u64,
    /// Messages taken.
    pub(crate) messages: u64,
    /// Recipients taken.
    pub(crate) accepted: u64,
    /// Recipients unknown.
    pub(crate) rejected: u64,
    /// Calls to a store shared with other guards.
    pub(super) fleet_calls: u64,
    /// What rules did.
    pub(crate) rules: BTreeMap<String, Deeds>,
    /// The counters of trouble that are not 0.
    pub(super) troubles: BTreeMap<&'static str, u64>,
}

/// What one rule did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Deeds {
    /// Sessions it closed, refused or detained.
    pub(crate) acted: u64,
    /// Times it was only observed.
    pub(crate) observed: u64,
}

/// Whoever answered has no metrics of the guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("it has no metric portcullis_sessions_total: is the guard in this Envoy?")]
pub(crate) struct NoGuard;

impl Reading {
    /// Reads an answer.
    pub(crate) fn parse(text: &str, at_ms: u64) -> Result<Self, NoGuard> {
        let mut reading = Self {
            at_ms,
            ..Self::default()
        };
        let mut guarded = false;
        for sample in samples(text) {
            let value = whole(sample.value);
            match sample.name {
                "portcullis_sessions_total" => {
                    guarded = true;
                    reading.sessions = value;
                }
                "portcullis_sessions_open" => reading.open = value,
                "portcullis_listings" => reading.listings = value,
                "portcullis_ledger_clients" => reading.remembered = value,
                "portcullis_attack_workers" => reading.attack = value,
                "portcullis_messages_total" => reading.messages = value,
                "portcullis_recipients_accepted_total" => reading.accepted = value,
                "portcullis_recipients_rejected_total" => reading.rejected = value,
                "envoy_server_uptime" => reading.uptime_s = value,
                "portcullis_fleet_reads_total" | "portcullis_fleet_errors_total" => {
                    reading.fleet_calls += value;
                    reading.trouble(sample.name, value);
                }
                "portcullis_closed_total"
                | "portcullis_refused_total"
                | "portcullis_detained_total" => {
                    reading.count(sample.label("rule"), |deeds| deeds.acted += value);
                }
                "portcullis_observed_total" => {
                    reading.count(sample.label("rule"), |deeds| deeds.observed += value);
                }
                name => reading.trouble(name, value),
            }
        }
        if guarded { Ok(reading) } else { Err(NoGuard) }
    }

    /// Whether all that the guard remembers is from after Envoy's start, as far as can be said: one
    /// that shares a store has asked it some seconds after that.
    pub(crate) fn remembers_only_its_own(&self) -> bool {
        self.uptime_s >= SETTLED_S && self.fleet_calls == 0
    }

    fn count(&mut self, rule: Option<&str>, add: impl FnOnce(&mut Deeds)) {
        let rule = rule.unwrap_or("all");
        if let Some(deeds) = self.rules.get_mut(rule) {
            add(deeds);
        } else if self.rules.len() < MOST_RULES {
            add(self.rules.entry(rule.to_owned()).or_default());
        }
    }

    fn trouble(&mut self, name: &str, value: u64) {
        let known = TROUBLES.iter().find(|(metric, ..)| *metric == name);
        if let Some((metric, ..)) = known {
            *self.troubles.entry(metric).or_default() += value;
        }
    }

    /// What to look into, the worst first, where `before` is an earlier reading.
    pub(crate) fn troubles(&self, before: &Self) -> Vec<Trouble> {
        let of = |reading: &Self, metric| reading.troubles.get(metric).copied().unwrap_or_default();
        let told = TROUBLES.iter().map(|(metric, telling, means)| Trouble {
            metric,
            means,
            count: match telling {
                Telling::Ever => of(self, metric),
                Telling::OfLate => of(self, metric).saturating_sub(of(before, metric)),
            },
            of_late: *telling == Telling::OfLate,
        });
        told.filter(|trouble| trouble.count > 0).collect()
    }

    /// Sessions that rules closed, refused or detained.
    pub(crate) fn acted(&self) -> u64 {
        self.rules.values().map(|deeds| deeds.acted).sum()
    }
}

/// Metrics are written as numbers of any kind; these count things.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and a number that is none counts 0"
)]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// As Envoy writes it, shortened.
    pub(crate) const ANSWER: &str = r#"# TYPE envoy_server_uptime gauge
envoy_server_uptime{} 61
# TYPE portcullis_closed_total counter
portcullis_closed_total{rule="desync"} 0
portcullis_closed_total{rule="ledger.listing"} 19
portcullis_closed_total{rule="rcpt.max_consecutive"} 4
portcullis_refused_total{rule="ledger.listing"} 200
portcullis_detained_total{rule="ledger.listing"} 1
portcullis_observed_total{rule="reset.max_wasted"} 3
portcullis_sessions_total{} 250
portcullis_sessions_open{} 12
portcullis_messages_total{} 25
portcullis_recipients_accepted_total{} 30
portcullis_recipients_rejected_total{} 45
portcullis_listings{} 9
portcullis_ledger_clients{} 40
portcullis_attack_workers{} 2
portcullis_errands_lost_total{} 0
portcullis_dnsbl_site_off_total{site="a.test"} 1
portcullis_dnsbl_site_off_total{site="b.test"} 2
"#;

    #[test]
    fn an_answer_of_envoy_is_read() {
        let reading = Reading::parse(ANSWER, 5).unwrap();
        assert_eq!((reading.at_ms, reading.uptime_s), (5, 61));
        assert_eq!((reading.open, reading.sessions), (12, 250));
        assert_eq!((reading.messages, reading.accepted), (25, 30));
        assert_eq!((reading.rejected, reading.listings), (45, 9));
        assert_eq!((reading.remembered, reading.attack), (40, 2));
        assert_eq!(reading.rules["ledger.listing"].acted, 220);
        assert_eq!(reading.rules["reset.max_wasted"].observed, 3);
        assert_eq!(reading.acted(), 224);
        assert_eq!(reading.troubles["portcullis_dnsbl_site_off_total"], 3);
    }

    #[test]
    fn some_troubles_are_told_for_ever_and_others_while_they_last() {
        let at = |errands: u64, off: u64| {
            let text = format!(
                "portcullis_sessions_total{{}} 1\nportcullis_errands_lost_total{{}} {errands}\n\
                 portcullis_dnsbl_site_off_total{{site=\"a.test\"}} {off}\n"
            );
            Reading::parse(&text, 0).unwrap()
        };
        let told = |before: &Reading, after: &Reading| -> Vec<(&str, u64)> {
            let troubles = after.troubles(before).into_iter();
            troubles
                .map(|trouble| (trouble.metric, trouble.count))
                .collect()
        };
        assert_eq!(told(&at(0, 0), &at(0, 0)), []);
        assert_eq!(
            told(&at(2, 3), &at(2, 3)),
            [("portcullis_errands_lost_total", 2)]
        );
        assert_eq!(
            told(&at(0, 3), &at(0, 5)),
            [("portcullis_dnsbl_site_off_total", 2)]
        );
    }

    #[test]
    fn a_guard_that_shares_a_store_remembers_more_than_its_own() {
        let only_its_own = |uptime: u64, fleet: &str| {
            let text = format!(
                "portcullis_sessions_total{{}} 1\nenvoy_server_uptime{{}} {uptime}\n{fleet}"
            );
            Reading::parse(&text, 0).unwrap().remembers_only_its_own()
        };
        assert!(only_its_own(5, "portcullis_fleet_reads_total{} 0\n"));
        assert!(!only_its_own(4, ""));
        assert!(!only_its_own(60, "portcullis_fleet_reads_total{} 1\n"));
        assert!(!only_its_own(60, "portcullis_fleet_errors_total{} 1\n"));
    }

    #[test]
    fn an_envoy_without_the_guard_is_told_apart() {
        assert_eq!(Reading::parse("envoy_server_uptime{} 61", 0), Err(NoGuard));
        assert_eq!(Reading::parse("<html>", 0), Err(NoGuard));
    }

    #[test]
    fn no_more_rules_are_kept_than_there_can_be() {
        let mut text = "portcullis_sessions_total{} 1\n".to_owned();
        for number in 0..1000 {
            text += &format!("portcullis_closed_total{{rule=\"r{number}\"}} 1\n");
        }
        assert_eq!(Reading::parse(&text, 0).unwrap().rules.len(), MOST_RULES);
    }

    #[test]
    fn numbers_that_are_none_count_nothing() {
        assert_eq!(whole(f64::NAN), 0);
        assert_eq!(whole(-1.0), 0);
        assert_eq!(whole(f64::INFINITY), u64::MAX);
        assert_eq!(whole(16.0), 16);
    }
}
