//! The report of an attack.

use std::collections::BTreeMap;
use std::time::Duration;

use maud::{Markup, html};

use super::chart::{Chart, Line, Scale, Tone};
use super::{ChartError, figure, grouped, key_figure, page};
use crate::attack::{Outcome, Performance, Plan, Sample, float, quantile};

const BEFORE: &str = "without the filter";
const AFTER: &str = "with the filter";

/// From here on, delays of seconds and of minutes share a chart.
const LONG_DELAY: f64 = 10.0;

/// The report of an attack, as an HTML page. `listings` is what the names of the
/// metrics contain that count listings, where the filter has such.
///
/// # Errors
/// When a chart cannot be drawn.
pub fn attack_page(outcome: &Outcome, listings: Option<&str>) -> Result<String, ChartError> {
    let Outcome {
        plan,
        without,
        with,
    } = outcome;
    let title = "An attack, without and with the filter";
    let lead = html! {
        p.soft {
            (grouped(u64::from(plan.bots))) " bots, " (plan.siblings) " sessions of each at once, "
            (grouped(plan.attack_sessions())) " in all; "
            (grouped(u64::from(plan.honest))) " honest messages in between; seed " (plan.seed) "."
        }
    };
    let unit = Unit::of(without.lasted.max(with.lasted));
    let content = html! {
        dl.figures { (figures(outcome)) }
        div.charts {
            (figure(&lookups(outcome, unit), "Recipients that the server had to look up, over time.")?)
            (figure(&turned_away(outcome, unit, listings), TURNED_AWAY)?)
            (figure(&questions(with, unit), "What DNS blacklists were asked, beside the sessions that came.")?)
            (figure(&delays(outcome), "Honest messages delivered within this time from their first try.")?)
        }
        div.card {
            h2 { "Sessions of bots, by the filter's record" }
            (records(&with.attack_records))
        }
        div.card {
            h2 { "Sessions of honest senders, by the filter's record" }
            (records(&with.honest_records))
        }
        div.card {
            h2 { "Honest mail" }
            (honest(outcome))
            (failures(with))
        }
        div.card {
            h2 { "The attack" }
            (settings(plan, outcome))
        }
    };
    Ok(page(title, &lead, &content))
}

const TURNED_AWAY: &str =
    "Clients that were sent away before the server was asked, each counted once.";

fn figures(outcome: &Outcome) -> Markup {
    let Outcome { without, with, .. } = outcome;
    let messages = with.delivered() + with.lost();
    let harm = match (with.lost(), with.tried_again()) {
        (0, 0) => "none lost, none had to be tried again".to_owned(),
        (lost, again) => format!("{} lost, {} tried again", grouped(lost), grouped(again)),
    };
    html! {
        (key_figure(
            "Look-ups at the server",
            &format!("{} → {}", grouped(without.server.rcpt), grouped(with.server.rcpt)),
            &format!("{} of those without", percent(with.server.rcpt, without.server.rcpt)),
        ))
        (key_figure(
            "Honest mail delivered",
            &format!("{} of {}", grouped(with.delivered()), grouped(messages)),
            &harm,
        ))
        (key_figure(
            "Honest mail, median delay",
            &format!("{} → {}", seconds(quantile(&without.delays(), 50)), seconds(quantile(&with.delays(), 50))),
            &format!("99 of 100 within {} → {}", seconds(quantile(&without.delays(), 99)), seconds(quantile(&with.delays(), 99))),
        ))
        (key_figure(
            "Sessions that reached the server",
            &format!("{} → {}", grouped(without.server.connections), grouped(with.server.connections)),
            &format!("{} clients turned away", grouped(with.turned_away)),
        ))
    }
}

/// What time is counted in.
#[derive(Clone, Copy)]
pub(super) struct Unit {
    pub(super) name: &'static str,
    seconds: f64,
}

impl Unit {
    pub(super) fn of(longest: Duration) -> Self {
        let (name, seconds) = match longest.as_secs() {
            0..180 => ("seconds", 1.0),
            180..10_800 => ("minutes", 60.0),
            _ => ("hours", 3600.0),
        };
        Self { name, seconds }
    }

    pub(super) fn scale(self, points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
        let points = points.into_iter();
        points.map(|(x, y)| (x / self.seconds, y)).collect()
    }
}

/// The same of both performances, as lines.
fn both(outcome: &Outcome, points: impl Fn(&Performance) -> Vec<(f64, f64)>) -> Vec<Line> {
    let Outcome { without, with, .. } = outcome;
    [(BEFORE, Tone::Before, without), (AFTER, Tone::After, with)]
        .map(|(name, tone, performance)| Line {
            name: name.to_owned(),
            tone,
            points: points(performance),
        })
        .into()
}

/// What a line does when its performance is over and the other one is not.
#[derive(Clone, Copy)]
enum Tail {
    /// It stays where it is: what was counted.
    Stays,
    /// It falls to zero: nothing happens any more.
    Falls,
}

/// Draws all lines to the end of the longest.
fn to_the_end(mut lines: Vec<Line>, tail: Tail) -> Vec<Line> {
    let ends = lines.iter().filter_map(|line| line.points.last());
    let end = ends.map(|(x, _)| *x).fold(0.0, f64::max);
    for line in &mut lines {
        if let Some((x, y)) = line.points.last().copied().filter(|(x, _)| *x < end) {
            match tail {
                Tail::Stays => line.points.push((end, y)),
                Tail::Falls => line.points.extend([(x, 0.0), (end, 0.0)]),
            }
        }
    }
    lines
}

fn lookups(outcome: &Outcome, unit: Unit) -> Chart {
    let lines = both(outcome, |performance| {
        unit.scale(performance.series.rate(|sample| sample.lookups))
    });
    Chart {
        id: "lookups",
        title: "Look-ups at the server",
        across: unit.name.to_owned(),
        upwards: "per second",
        scale: Scale::Even,
        lines: to_the_end(lines, Tail::Falls),
    }
}

fn turned_away(outcome: &Outcome, unit: Unit, listings: Option<&str>) -> Chart {
    let mut lines = both(outcome, |performance| {
        unit.scale(performance.series.count(|sample| sample.turned_away))
    });
    if let Some(part) = listings {
        let series = &outcome.with.series;
        lines.push(Line {
            name: format!("listings, by the filter's metrics *{part}*"),
            tone: Tone::Other,
            points: unit.scale(series.count(|sample| listed(sample, part))),
        });
    }
    Chart {
        id: "listings",
        title: "Clients turned away",
        across: unit.name.to_owned(),
        upwards: "clients",
        scale: Scale::Even,
        lines: to_the_end(lines, Tail::Stays),
    }
}

fn listed(sample: &Sample, part: &str) -> u64 {
    let metrics = sample.metrics.iter();
    let counted = metrics.filter(|(name, _)| name.contains(part));
    counted.map(|(_, value)| value).sum()
}

fn questions(with: &Performance, unit: Unit) -> Chart {
    let line = |name: &str, tone, of: fn(&Sample) -> u64| Line {
        name: name.to_owned(),
        tone,
        points: unit.scale(with.series.count(of)),
    };
    Chart {
        id: "questions",
        title: "DNSBL questions",
        across: unit.name.to_owned(),
        upwards: "in all",
        scale: Scale::Even,
        lines: vec![
            line("sessions of bots", Tone::Other, |sample| {
                sample.attack_sessions
            }),
            line("questions of the filter", Tone::After, |sample| {
                sample.dns_questions
            }),
        ],
    }
}

fn delays(outcome: &Outcome) -> Chart {
    let lines = both(outcome, |performance| {
        let delays = performance.delays();
        (0..=100)
            .map(|part| (quantile(&delays, part).as_secs_f64(), float(part)))
            .filter(|(at, _)| *at > 0.0)
            .collect()
    });
    let points = lines.iter().flat_map(|line| &line.points);
    let longest = points.map(|(at, _)| *at).fold(0.0, f64::max);
    Chart {
        id: "delays",
        title: "Delay of honest mail",
        across: "seconds".to_owned(),
        upwards: "% delivered",
        scale: if longest > LONG_DELAY {
            Scale::Powers
        } else {
            Scale::Even
        },
        lines: to_the_end(lines, Tail::Stays),
    }
}

fn records(counts: &BTreeMap<String, u64>) -> Markup {
    let mut counts: Vec<_> = counts.iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let all: u64 = counts.iter().map(|(_, count)| **count).sum();
    html! {
        table {
            tr { th { "record" } th.number { "sessions" } th.number { "share" } }
            @for (name, count) in counts {
                tr {
                    td.wrap { (name) }
                    td.number { (grouped(*count)) }
                    td.number { (percent(*count, all)) }
                }
            }
        }
    }
}

fn honest(outcome: &Outcome) -> Markup {
    html! {
        div.scroll {
            table {
                tr {
                    th { "sender" } th.number { "delivered" } th.number { "lost" }
                    th.number { "tried again" } th.number { "median delay" } th.number { "longest" }
                }
                @for (kind, mail) in &outcome.with.honest {
                    tr {
                        td { (kind.name()) }
                        td.number { (grouped(mail.delivered)) }
                        td.number { (grouped(mail.lost)) }
                        td.number { (grouped(mail.tried_again)) }
                        td.number { (seconds(quantile(&mail.delays, 50))) }
                        td.number { (seconds(quantile(&mail.delays, 100))) }
                    }
                }
            }
        }
    }
}

fn failures(with: &Performance) -> Markup {
    html! {
        @if !with.failures.is_empty() {
            p.bad { "Lost, the first few:" }
            ul { @for failure in &with.failures { li.wrap { (failure) } } }
        }
    }
}

fn settings(plan: &Plan, outcome: &Outcome) -> Markup {
    let lasted = |performance: &Performance| {
        let whole = Duration::from_secs(performance.lasted.as_secs());
        humantime::format_duration(whole).to_string()
    };
    let rows = [
        ("bots", grouped(u64::from(plan.bots))),
        ("sessions of one at once", plan.siblings.to_string()),
        ("sessions of one in all", plan.sessions.to_string()),
        ("names of a session", plan.names.to_string()),
        ("names of a transaction", plan.group.to_string()),
        ("names in all", grouped(u64::from(plan.dictionary))),
        (
            "server's reply to unknown names",
            plan.unknown_reply.clone(),
        ),
        ("bots on DNS blacklists", format!("{} %", plan.blacklisted)),
        (
            "hosts, workers of each",
            format!("{}, {}", plan.hosts, plan.workers),
        ),
        ("lasted without the filter", lasted(&outcome.without)),
        ("lasted with the filter", lasted(&outcome.with)),
        ("trace without the filter", outcome.without.trace.clone()),
        ("trace with the filter", outcome.with.trace.clone()),
    ];
    html! {
        table {
            @for (name, value) in &rows {
                tr { th { (name) } td.wrap { (value) } }
            }
        }
    }
}

/// A delay as people read it.
pub(crate) fn seconds(delay: Duration) -> String {
    let seconds = delay.as_secs_f64();
    if seconds < 10.0 {
        format!("{seconds:.2} s")
    } else {
        format!("{seconds:.0} s")
    }
}

/// A share of a whole.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "—".to_owned();
    }
    format!("{:.1} %", 100.0 * float(part) / float(whole))
}
