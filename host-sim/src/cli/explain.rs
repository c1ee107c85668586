//! `host-sim explain`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use anyhow::Context as _;
use clap::Args;
use serde::Serialize;

use super::Filter;
use super::output::{Format, print_json, show};
use super::record::Record;
use super::scenarios::read_scenario;
use crate::attack::RecordFields;
use crate::explain::{Event, Kind, Story};
use crate::scenario::{MetricNotes, PlayOptions, play};

const BOLD: Style = Style::new().bold();

/// Tell why a session went as it did: what the filter let pass, kept back and said
/// itself, what it logged and counted, and its record.
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The session: a scenario or a transcript.
    #[arg(value_name = "SCENARIO")]
    scenario: PathBuf,
    #[command(flatten)]
    filter: Filter,
    /// A cluster that leads a connection routed to it back to itself, its PROXY
    /// line first; may be given more than once.
    #[arg(long, value_name = "NAME")]
    echo_cluster: Vec<String>,
    #[command(flatten)]
    record: Record,
    #[command(flatten)]
    format: Format,
}

/// A story and what the record says in a word.
#[derive(Serialize)]
struct Explained<'a> {
    verdict: &'a str,
    #[serde(flatten)]
    story: &'a Story,
}

impl Explain {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let scenario = read_scenario(&self.scenario)?;
        let options = PlayOptions {
            policy: self.filter.policy()?,
            directory: self.scenario.parent().unwrap_or(Path::new(".")).to_owned(),
            echo_clusters: self.echo_cluster.clone(),
            log_level: self.filter.log_level,
            metrics: MetricNotes::Changes,
            ..PlayOptions::default()
        };
        let report = play(&scenario, &self.filter.module()?, &options)
            .with_context(|| self.scenario.display().to_string())?;
        let story = Story::of(&report);
        let fields = self.record.fields();
        let properties = story.properties.iter();
        let properties = properties
            .map(|(name, value)| (name.clone(), value.clone().into_bytes()))
            .collect();
        let verdict = fields.label(&properties);
        if self.format.json {
            let story = &story;
            print_json(&Explained {
                verdict: &verdict,
                story,
            })?;
        } else {
            show(&told(&story, &verdict, &fields))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn told(story: &Story, verdict: &str, fields: &RecordFields) -> String {
    let mut text = String::new();
    // Writing into a string cannot fail.
    for event in &story.events {
        let _ = writeln!(text, "{}", line(event));
    }
    let _ = writeln!(text, "\n{BOLD}verdict{BOLD:#}  {verdict}");
    let properties = story.properties.iter();
    for (name, value) in properties {
        let properties = [(name.clone(), value.clone().into_bytes())].into();
        match fields.record(&properties) {
            Some(record) => {
                let _ = writeln!(text, "{BOLD}record{BOLD:#}   {name}");
                for (field, value) in record {
                    let _ = writeln!(text, "  {field:<14} {value}");
                }
            }
            None => {
                let _ = writeln!(text, "{BOLD}property{BOLD:#} {name} {value}");
            }
        }
    }
    if let Some(failure) = &story.failure {
        let _ = writeln!(text, "\nThis is not how the scenario went: {failure}");
    }
    text
}

fn line(event: &Event) -> String {
    let (who, colour, note) = match event.kind {
        Kind::ClientToServer => ("client → server", None, ""),
        Kind::ServerToClient => ("server → client", None, ""),
        Kind::ClientToNobody => (
            "client ⇥       ",
            Some(AnsiColor::Yellow),
            "the server never read it",
        ),
        Kind::ServerToNobody => (
            "       ⇤ server",
            Some(AnsiColor::Yellow),
            "the client never read it",
        ),
        Kind::FilterToClient => ("client ← filter", Some(AnsiColor::Red), ""),
        Kind::FilterToServer => ("filter → server", Some(AnsiColor::Red), ""),
        Kind::Log => ("  filter logs  ", Some(AnsiColor::Cyan), ""),
        Kind::Metric => ("  filter counts", Some(AnsiColor::Cyan), ""),
        Kind::End => ("               ", None, ""),
    };
    let style = colour.map_or(Style::new(), AnsiColor::on_default);
    let note = match (event.held, note) {
        (Some(held), _) => format!("  ({held:.3} s later)"),
        (None, "") => String::new(),
        (None, note) => format!("  ({note})"),
    };
    let Event { at, text, .. } = event;
    format!("{at:9.3}  {style}{who}  {text}{note}{style:#}")
}
