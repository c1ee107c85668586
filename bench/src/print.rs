//! The report on a terminal.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets::UTF8_BORDERS_ONLY};

use crate::{
    bars::{Outcome, Verdict},
    figures::{Compared, Figures},
    growth::{Curve, CurveLine},
    stats::Summary,
};

/// A number with the digits that matter.
#[must_use]
pub fn short(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        small if small >= 0.1 || small == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// All measures as tables, one after the other.
#[must_use]
pub fn figures(figures: &Figures) -> String {
    let mut text = String::new();
    for compared in &figures.all {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\n{} ({})\n{}\n",
            compared.measure.title,
            compared.measure.unit,
            table(compared)
        );
    }
    text
}

fn table(compared: &Compared) -> Table {
    let mut table = plain(&["", "median", "+-", "times bare", "times reader"]);
    for rounds in &compared.contestants {
        let Some(summary) = Summary::of(&rounds.values) else {
            continue;
        };
        let against = |other: &str| {
            let ratio = compared.ratio(&rounds.contestant, other);
            ratio.map_or(String::new(), |ratio| short(ratio.median))
        };
        table.add_row([
            rounds.contestant.clone(),
            short(summary.median),
            format!("{:.0} %", 100.0 * summary.spread()),
            against("bare"),
            against("reader"),
        ]);
    }
    table
}

/// A curve as a table.
#[must_use]
pub fn curve(curve: &Curve) -> Table {
    let names = curve.lines.iter().map(|line| line.name.as_str());
    let head: Vec<&str> = std::iter::once(curve.across).chain(names).collect();
    let mut table = plain(&head);
    let across = curve.lines.first().map_or(&[][..], |line| &line.points);
    for (row, (x, _)) in across.iter().enumerate() {
        let of = |line: &CurveLine| {
            let point = line.points.get(row);
            point.map_or("-".to_owned(), |(_, y)| {
                format!("{} {}", short(*y), curve.upwards)
            })
        };
        let cells = curve.lines.iter().map(of);
        table.add_row(std::iter::once(format!("{x:.0}")).chain(cells));
    }
    table
}

/// The bars as a table.
#[must_use]
pub fn verdicts(verdicts: &[Verdict]) -> Table {
    let mut table = plain(&["bar", "measured", "limit", ""]);
    for verdict in verdicts {
        table.add_row([
            verdict.bar.clone(),
            verdict.value.map_or("-".to_owned(), short),
            verdict.limit.clone(),
            outcome(verdict.outcome).to_owned(),
        ]);
    }
    table
}

/// An outcome in a word.
#[must_use]
pub fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Kept => "kept",
        Outcome::Missed => "MISSED",
        Outcome::Missing => "missing",
    }
}

fn plain(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    table.set_header(head.iter().copied());
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_the_digits_that_matter() {
        let table = [
            (0.0, "0.00"),
            (0.0043, "0.0043"),
            (1.0 / 3.0, "0.33"),
            (1.05, "1.05"),
            (20.0, "20.0"),
            (-351.2, "-351"),
            (46950.0, "46950"),
        ];
        for (value, text) in table {
            assert_eq!(short(value), text);
        }
    }
}
