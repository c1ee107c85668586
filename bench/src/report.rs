//! The report: a page with charts, and everything as JSON.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use maud::{Markup, html};
use portcullis_host_sim::report::{self, Chart, Line, Scale, Tone};
use serde::Serialize;

use crate::{
    bars::{Outcome, Verdict, summary},
    figures::{Better, Compared, Figures},
    growth::Curve,
    machine::Machine,
    print::{self, short},
    stats::Summary,
};

/// Everything that a run brought.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Where and when.
    pub machine: Machine,
    /// The command line.
    pub arguments: Vec<String>,
    /// Round by round.
    pub figures: Figures,
    /// How costs grow.
    pub curves: Vec<Curve>,
    /// The bars.
    pub verdicts: Vec<Verdict>,
    /// Who took no part, and why.
    pub left_out: Vec<String>,
    /// What else there is to know.
    pub notes: Vec<String>,
}

impl Report {
    /// Of a run that begins here and now.
    #[must_use]
    pub fn here(arguments: Vec<String>) -> Self {
        Self {
            machine: Machine::this(),
            arguments,
            figures: Figures::default(),
            curves: Vec::new(),
            verdicts: Vec::new(),
            left_out: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Writes `report.json` and `report.html` into a directory.
    ///
    /// # Errors
    /// If they cannot be written, or a chart cannot be drawn.
    pub fn write(&self, directory: &Path) -> Result<()> {
        fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
        let json = serde_json::to_string_pretty(self)? + "\n";
        for (name, text) in [("report.json", json), ("report.html", self.page()?)] {
            let path = directory.join(name);
            fs::write(&path, text).with_context(|| path.display().to_string())?;
        }
        Ok(())
    }

    /// The page.
    ///
    /// # Errors
    /// If a chart cannot be drawn.
    pub fn page(&self) -> Result<String> {
        let machine = &self.machine;
        let lead = html! {
            p.soft {
                (machine.date) ", " (machine.processor) ", " (machine.cores) " cores, Linux "
                (machine.kernel) ". Whatever is compared was measured in this run, in turns; the "
                "figures of another run, or of another machine, say nothing about these."
            }
        };
        let charts: Vec<Markup> = self.curves.iter().map(curve).collect::<Result<_>>()?;
        let count = |outcome| {
            let verdicts = self.verdicts.iter();
            verdicts
                .filter(|one| one.outcome == outcome)
                .count()
                .to_string()
        };
        let content = html! {
            dl.figures {
                (report::key_figure("Bars kept", &count(Outcome::Kept), "of those that are told below"))
                (report::key_figure("Missed", &count(Outcome::Missed), ""))
                (report::key_figure("Missing", &count(Outcome::Missing), "a contestant is not here"))
            }
            div.card { h2 { "Bars" } (verdicts(&self.verdicts)) }
            div.charts {
                @for compared in &self.figures.all { (bars(compared)) }
                @for chart in &charts { (chart) }
            }
            @if !self.left_out.is_empty() || !self.notes.is_empty() {
                div.card {
                    h2 { "To be known" }
                    ul {
                        @for reason in &self.left_out { li.wrap { "Left out: " (reason) } }
                        @for note in &self.notes { li.wrap { (note) } }
                    }
                }
            }
            p.soft { (summary(&self.verdicts)) }
        };
        Ok(report::page(
            "What the guard costs, beside others",
            &lead,
            &content,
        ))
    }
}

fn verdicts(verdicts: &[Verdict]) -> Markup {
    let class = |outcome| match outcome {
        Outcome::Kept => "good",
        Outcome::Missed => "bad",
        Outcome::Missing => "soft",
    };
    html! {
        div.scroll {
            table {
                tr { th { "bar" } th.number { "measured" } th.number { "limit" } th {} }
                @for one in verdicts {
                    tr {
                        td { (one.bar) }
                        td.number { (one.value.map_or("—".to_owned(), short)) }
                        td.number { (one.limit) }
                        td class=(class(one.outcome)) { (print::outcome(one.outcome)) }
                    }
                }
            }
        }
    }
}

/// One measure of all, as bars.
fn bars(compared: &Compared) -> Markup {
    let rows: Vec<(&str, Summary)> = compared
        .contestants
        .iter()
        .filter_map(|one| Some((one.contestant.as_str(), Summary::of(&one.values)?)))
        .collect();
    let longest = rows.iter().map(|(_, one)| one.median).fold(0.0, f64::max);
    let width = |median: f64| match longest > 0.0 && median > 0.0 {
        true => format!("{:.1}%", 100.0 * median / longest),
        false => "0".to_owned(),
    };
    let better = match compared.measure.better {
        Better::Lower => "Shorter is better.",
        Better::Higher => "Longer is better.",
    };
    html! {
        figure id=(compared.measure.id.replace('.', "-")) {
            h2 { (compared.measure.title) @if !compared.measure.unit.is_empty() { " (" (compared.measure.unit) ")" } }
            figcaption { "Median of the rounds, and half their range. " (better) }
            table.bars {
                @for (name, one) in &rows {
                    tr {
                        td { (name) }
                        td.bar { i style={ "width:" (width(one.median)) ";background:" (colour(name)) } {} }
                        td.number { (short(one.median)) }
                        td.number.soft { "± " (format!("{:.0} %", 100.0 * one.spread())) }
                    }
                }
            }
        }
    }
}

fn colour(name: &str) -> &'static str {
    match name {
        "portcullis" | "default" | "observe" => "var(--after)",
        "bare" | "postfix" => "var(--before)",
        _ => "var(--other)",
    }
}

fn curve(curve: &Curve) -> Result<Markup> {
    // Where the last is far from the first, the others would lie on the axis.
    let ends = curve
        .lines
        .first()
        .and_then(|line| line.points.first().zip(line.points.last()));
    let wide = ends.is_some_and(|((first, _), (last, _))| *last > first * 20.0);
    let tones = [Tone::Before, Tone::Other, Tone::After];
    // The guard is the last one, and the lighter tones are for those before.
    let skipped = if curve.lines.len() == 2 {
        [0, 2].as_slice()
    } else {
        &[0, 1, 2]
    };
    let tones = skipped.iter().filter_map(|at| tones.get(*at));
    let lines = curve.lines.iter().zip(tones).map(|(line, tone)| Line {
        name: line.name.clone(),
        tone: *tone,
        points: line.points.clone(),
    });
    let chart = Chart {
        id: curve.id,
        title: curve.title,
        across: curve.across.to_owned(),
        upwards: curve.upwards,
        scale: if wide { Scale::Powers } else { Scale::Even },
        lines: lines.collect(),
    };
    let caption = format!("Measured on {}. {}", curve.place, curve.said());
    Ok(report::figure(&chart, &caption)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        figures::{KEPT_CPU, KEPT_RATE},
        growth::CurveLine,
    };

    fn report() -> Report {
        let mut figures = Figures::default();
        for (who, value) in [("bare", 10.0), ("portcullis", 12.0), ("portcullis", 14.0)] {
            figures.add(KEPT_CPU, who, value);
            figures.add(KEPT_RATE, who, 1e6 / value);
        }
        let line = |name: &str, points: &[(f64, f64)]| CurveLine {
            name: name.to_owned(),
            points: points.to_vec(),
        };
        Report {
            machine: Machine::this(),
            arguments: vec!["--quick".into()],
            figures,
            curves: vec![Curve {
                id: "sessions",
                title: "Memory",
                across: "sessions",
                upwards: "MiB",
                place: "paper",
                lines: vec![
                    line("bare", &[(100.0, 1.0), (10_000.0, 100.0)]),
                    line("portcullis", &[(100.0, 2.0), (10_000.0, 200.0)]),
                ],
            }],
            verdicts: Vec::new(),
            left_out: vec!["haraka: <not> installed".into()],
            notes: vec!["a note".into()],
        }
    }

    #[test]
    fn the_page_shows_all_and_escapes_it() {
        let page = report().page().unwrap();
        for part in [
            "1,000 messages on kept connections",
            "width:76.9%",
            "Longer is better.",
            "<svg",
            "portcullis: over 100 times, grows in proportion: 100 times.",
            "&lt;not&gt; installed",
            "a note",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(
            !page.contains("<script") && !page.contains("http://"),
            "{page}"
        );
    }

    #[test]
    fn both_files_are_written_and_the_json_has_every_round() {
        let directory = tempfile::tempdir().unwrap();
        report().write(directory.path()).unwrap();
        let json = fs::read_to_string(directory.path().join("report.json")).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["figures"][0]["id"], "kept.cpu");
        assert_eq!(json["figures"][0]["contestants"][1]["values"][1], 14.0);
        assert_eq!(json["curves"][0]["lines"][0]["points"][1][1], 100.0);
        let page = fs::read_to_string(directory.path().join("report.html")).unwrap();
        assert!(page.starts_with("<!DOCTYPE html>"));
    }
}
