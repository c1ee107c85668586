//! `host-sim what-if`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicU64;

use anstyle::{AnsiColor, Style};
use anyhow::{Context as _, bail};
use clap::Args;

use super::output::{Format, print_json, show, table, write_report};
use super::progress::watched;
use super::record::Record;
use super::scenarios::{files, read_scenario};
use super::{FilterArgs, HARM};
use crate::attack::Guard;
use crate::report::{grouped, what_if_page};
use crate::whatif::{Comparison, Recording, WhatIf as Question};

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();

/// Play recorded sessions under two policies, and show who would be treated
/// differently, honest senders first.
#[derive(Debug, Args)]
pub(super) struct WhatIf {
    /// The sessions: scenarios and transcripts, or folders of them.
    #[arg(required = true, value_name = "FILE|FOLDER")]
    sessions: Vec<PathBuf>,
    #[command(flatten)]
    filter: FilterArgs,
    /// The other policy.
    #[arg(long, value_name = "FILE")]
    other: PathBuf,
    /// A cluster that leads a connection routed to it back to itself, its PROXY
    /// line first; may be given more than once.
    #[arg(long, value_name = "NAME")]
    echo_cluster: Vec<String>,
    #[command(flatten)]
    record: Record,
    #[command(flatten)]
    format: Format,
    /// Write a report with charts: one HTML file that needs nothing else.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Exit with 3 when an honest sender is worse off under the other policy.
    #[arg(long)]
    fail_on_harm: bool,
}

impl WhatIf {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let recordings = self.recordings()?;
        let other = &self.other;
        let after = std::fs::read(other)
            .with_context(|| format!("cannot read the policy {}", other.display()))?;
        let before = Guard {
            module: self.filter.module()?,
            policy: self.filter.policy()?.unwrap_or_else(|| b"{}".to_vec()),
            echo_clusters: self.echo_cluster.clone(),
            dns_clusters: Vec::new(),
        };
        let question = Question {
            recordings: &recordings,
            after: Guard {
                policy: after,
                ..before.clone()
            },
            before,
            fields: self.record.fields(),
            progress: AtomicU64::new(0),
        };
        let total = 2 * recordings.len() as u64;
        let comparison = watched("sessions", total, &question.progress, || question.compare())?;
        if let Some(path) = &self.html {
            write_report(path, &what_if_page(&comparison)?)?;
        }
        if self.format.json {
            print_json(&comparison)?;
        } else {
            show(&text(&comparison))?;
        }
        Ok(if self.fail_on_harm && comparison.harmed() > 0 {
            HARM.into()
        } else {
            ExitCode::SUCCESS
        })
    }

    fn recordings(&self) -> anyhow::Result<Vec<Recording>> {
        let files = files(&self.sessions)?;
        if files.is_empty() {
            bail!("there is no session in it; give scenarios or folders of them");
        }
        files
            .iter()
            .map(|path| {
                Ok(Recording::of(
                    path.display().to_string(),
                    &read_scenario(path)?,
                ))
            })
            .collect()
    }
}

fn text(comparison: &Comparison) -> String {
    let mut text = String::new();
    let mut differences = table(
        &["session", "client", "", "change", "before", "after", "mail"],
        6,
    );
    for at in &comparison.differences {
        let honest = if at.honest { "honest" } else { "" };
        let mail = format!("{} → {}", at.before.accepted, at.after.accepted);
        let client = at.client.ip().to_string();
        let (before, after) = (&at.before.record, &at.after.record);
        let row = [
            &at.session,
            &client,
            honest,
            at.change.name(),
            before,
            after,
            &mail,
        ];
        differences.add_row(row);
    }
    // Writing into a string cannot fail.
    if !comparison.differences.is_empty() {
        let _ = writeln!(text, "{differences}");
    }
    for at in &comparison.differences {
        let line =
            |line: &Option<String>| line.clone().unwrap_or_else(|| "nothing more".to_owned());
        let (before, after) = (line(&at.read_before), line(&at.read_after));
        let _ = writeln!(
            text,
            "{}\n  before: {before}\n  after:  {after}",
            at.session
        );
    }
    let _ = writeln!(
        text,
        "{} of {} sessions would be treated differently, {} of {} honest ones",
        grouped(comparison.differences.len() as u64),
        grouped(comparison.sessions as u64),
        grouped(comparison.differences.iter().filter(|at| at.honest).count() as u64),
        grouped(comparison.honest as u64),
    );
    let _ = match comparison.harmed() {
        0 => writeln!(text, "{GOOD}no honest sender would be worse off{GOOD:#}"),
        harmed => writeln!(
            text,
            "{BAD}{harmed} honest senders would be worse off{BAD:#}"
        ),
    };
    text
}
