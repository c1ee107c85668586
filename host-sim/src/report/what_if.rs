//! The report of a comparison of two policies.

use std::collections::BTreeMap;
use std::time::Duration;

use maud::{Markup, html};

use super::attack::Unit;
use super::chart::{Chart, Line, Scale, Tone};
use super::{ChartError, figure, grouped, key_figure, page};
use crate::attack::float;
use crate::whatif::{Change, Comparison, Difference, Treatment};

const BEFORE: &str = "the policy";
const AFTER: &str = "the other policy";
/// Differences that are shown.
const MOST_ROWS: usize = 500;

/// The report of a comparison, as an HTML page.
///
/// # Errors
/// When a chart cannot be drawn.
pub fn what_if_page(comparison: &Comparison) -> Result<String, ChartError> {
    let lead = html! {
        p.soft {
            (grouped(comparison.sessions as u64))
            " recorded sessions, played under the policy and under the other one."
        }
    };
    let unit = Unit::of(comparison.lasted());
    let content = html! {
        dl.figures { (figures(comparison)) }
        div.charts {
            (figure(&accepted(comparison, unit), "Messages that the server accepted, over time.")?)
            (figure(&cut(comparison, unit), "Sessions that the filter ended or kept from the server.")?)
        }
        div.card {
            h2 { "Sessions, by the filter's record" }
            (records(comparison))
        }
        div.card {
            h2 { "Who would be treated differently" }
            (differences(comparison))
        }
    };
    Ok(page(
        "Recorded sessions under two policies",
        &lead,
        &content,
    ))
}

fn figures(comparison: &Comparison) -> Markup {
    let differences = &comparison.differences;
    let count = |of: &dyn Fn(&Difference) -> bool| {
        let found = differences.iter().filter(|at| of(at)).count();
        grouped(found as u64)
    };
    let accepted =
        |of: fn(&(Treatment, Treatment)) -> u64| grouped(comparison.all.iter().map(of).sum());
    html! {
        (key_figure(
            "Treated differently",
            &format!("{} of {}", differences.len(), grouped(comparison.sessions as u64)),
            "sessions",
        ))
        (key_figure(
            "Honest senders worse off",
            &grouped(comparison.harmed() as u64),
            &format!("of {} honest sessions", grouped(comparison.honest as u64)),
        ))
        (key_figure(
            "Messages accepted",
            &format!("{} → {}", accepted(|(before, _)| before.accepted), accepted(|(_, after)| after.accepted)),
            "by the server",
        ))
        (key_figure(
            "Cut now",
            &count(&|at| at.change == Change::CutNow),
            &format!("{} spared now", count(&|at| at.change == Change::SparedNow)),
        ))
    }
}

/// What has been counted over time of all sessions' ends, under both policies.
fn lines(comparison: &Comparison, unit: Unit, of: fn(&Treatment) -> u64) -> Vec<Line> {
    let end = comparison.lasted();
    let line = |name: &str, tone, treatments: Vec<&Treatment>| Line {
        name: name.to_owned(),
        tone,
        points: unit.scale(counted(treatments, end, of)),
    };
    let (before, after): (Vec<_>, Vec<_>) = comparison.all.iter().map(|(a, b)| (a, b)).unzip();
    vec![
        line(BEFORE, Tone::Before, before),
        line(AFTER, Tone::After, after),
    ]
}

fn counted(
    mut treatments: Vec<&Treatment>,
    end: Duration,
    of: fn(&Treatment) -> u64,
) -> Vec<(f64, f64)> {
    treatments.sort_by_key(|at| at.ended);
    let (mut points, mut sum) = (vec![(0.0, 0.0)], 0);
    for treatment in treatments {
        let at = treatment.ended.as_secs_f64();
        points.push((at, float(sum)));
        sum += of(treatment);
        points.push((at, float(sum)));
    }
    points.push((end.as_secs_f64(), float(sum)));
    points
}

fn accepted(comparison: &Comparison, unit: Unit) -> Chart {
    Chart {
        id: "accepted",
        title: "Messages accepted",
        across: unit.name.to_owned(),
        upwards: "messages",
        scale: Scale::Even,
        lines: lines(comparison, unit, |at| at.accepted),
    }
}

fn cut(comparison: &Comparison, unit: Unit) -> Chart {
    Chart {
        id: "cut",
        title: "Sessions cut",
        across: unit.name.to_owned(),
        upwards: "sessions",
        scale: Scale::Even,
        lines: lines(comparison, unit, |at| u64::from(at.is_cut())),
    }
}

fn records(comparison: &Comparison) -> Markup {
    let mut counts: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for (before, after) in &comparison.all {
        counts.entry(&before.record).or_default().0 += 1;
        counts.entry(&after.record).or_default().1 += 1;
    }
    html! {
        table {
            tr { th { "record" } th.number { (BEFORE) } th.number { (AFTER) } }
            @for (record, (before, after)) in &counts {
                tr {
                    td.wrap { (record) }
                    td.number { (grouped(*before)) }
                    td.number { (grouped(*after)) }
                }
            }
        }
    }
}

fn differences(comparison: &Comparison) -> Markup {
    let all = &comparison.differences;
    html! {
        @if all.is_empty() { p { "Nobody." } }
        div.scroll {
            table {
                @if !all.is_empty() {
                    tr {
                        th { "session" } th { "change" } th { (BEFORE) } th { (AFTER) }
                    }
                }
                @for at in all.iter().take(MOST_ROWS) { (row(at)) }
            }
        }
        @if all.len() > MOST_ROWS {
            p.soft { (grouped((all.len() - MOST_ROWS) as u64)) " more are in the JSON." }
        }
    }
}

fn row(at: &Difference) -> Markup {
    let class = match (at.honest, at.change) {
        (true, Change::MailLost | Change::CutNow) => "bad",
        (true, Change::MailGained | Change::SparedNow) => "good",
        _ => "",
    };
    let read = |line: &Option<String>| line.clone().unwrap_or_else(|| "nothing more".to_owned());
    let side = |treatment: &Treatment, line: &Option<String>| {
        html! { (treatment.record) div.soft { (read(line)) } }
    };
    html! {
        tr {
            td { (at.session) div.soft { (at.client.ip()) @if at.honest { ", honest" } } }
            td class=(class) { (at.change.name()) div.soft { (at.before.accepted) " → " (at.after.accepted) " messages" } }
            td { (side(&at.before, &at.read_before)) }
            td { (side(&at.after, &at.read_after)) }
        }
    }
}
