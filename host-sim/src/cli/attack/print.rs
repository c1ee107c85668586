//! An attack's outcome, for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use comfy_table::Table;

use super::super::output::table;
use crate::attack::{Outcome, Performance, quantile};
use crate::report::{grouped, percent, seconds};

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();

/// Both performances side by side, then what became of the sessions.
pub(super) fn text(outcome: &Outcome) -> String {
    let Outcome { without, with, .. } = outcome;
    let bots = records("Sessions of bots", &with.attack_records);
    let honest = records("Sessions of honest senders", &with.honest_records);
    let comparison = comparison(without, with);
    format!("{comparison}\n{bots}\n{honest}\n{}\n", verdict(with))
}

fn comparison(without: &Performance, with: &Performance) -> Table {
    let mut rows = table(&["", "without", "with the filter", "left"], 1);
    let mut count = |name: &str, of: fn(&Performance) -> u64| {
        let (before, after) = (of(without), of(with));
        let left = percent(after, before);
        rows.add_row([name, &grouped(before), &grouped(after), &left]);
    };
    count("recipients looked up", |at| at.server.rcpt);
    count("  of them unknown", |at| at.server.rcpt_unknown);
    count("sessions of bots", |at| at.attack_sessions);
    count("sessions at the server", |at| at.server.connections);
    count("clients turned away", |at| at.turned_away);
    count("DNSBL questions", |at| at.dns_questions);
    count("honest messages delivered", Performance::delivered);
    count("  tried more than once", Performance::tried_again);
    count("  lost", Performance::lost);
    for (name, part) in [("honest delay, median", 50), ("honest delay, 99 %", 99)] {
        let [before, after] = [without, with].map(|at| seconds(quantile(&at.delays(), part)));
        rows.add_row([name, &before, &after, ""]);
    }
    let [before, after] = [without, with].map(|at| seconds(at.lasted));
    rows.add_row(["lasted", &before, &after, ""]);
    rows.add_row(["trace", &without.trace, &with.trace, ""]);
    rows
}

fn records(title: &str, counts: &BTreeMap<String, u64>) -> Table {
    let mut rows = table(&[title, "", ""], 1);
    let all = counts.values().sum();
    let mut counts: Vec<_> = counts.iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    for (name, count) in counts {
        rows.add_row([name, &grouped(*count), &percent(*count, all)]);
    }
    rows
}

/// Whether anybody honest came to harm.
fn verdict(with: &Performance) -> String {
    let mut text = String::new();
    // Writing into a string cannot fail.
    let _ = match with.lost() {
        0 => writeln!(text, "{GOOD}no honest message was lost{GOOD:#}"),
        lost => writeln!(
            text,
            "{BAD}{} honest messages were lost{BAD:#}",
            grouped(lost)
        ),
    };
    for failure in &with.failures {
        let _ = writeln!(text, "  {failure}");
    }
    if with.traps > 0 {
        let _ = writeln!(text, "{BAD}the filter trapped {} times{BAD:#}", with.traps);
    }
    text.truncate(text.trim_end().len());
    text
}
