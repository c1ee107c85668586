//! `host-sim replay`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::Filter;
use super::inputs::{Input, Taken};
use crate::capture::Conversation;
use crate::module::FilterModule;
use crate::scenario::{PlayOptions, Report, Scenario, play};

/// Play dialogues against a filter, from scenarios or out of captures.
///
/// A scenario says what each side must read. Of a capture (pcap or pcapng) every
/// SMTP session is played, and each side must read what the other sent: what a
/// filter changes is shown.
///
/// Ends with 0 when all went so, with 1 when something did not or could not be
/// played, with 2 for a wrong command line.
#[derive(Debug, Args)]
pub(super) struct Replay {
    /// Scenarios and captures, told apart by what is in them.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    taken: Taken,
    /// Cut every write into segments of N bytes; 0 leaves them whole.
    #[arg(long, default_value_t = 0, value_name = "N")]
    split: usize,
    /// Cut every write, and delay each segment, as this seed says.
    #[arg(long, value_name = "N", conflicts_with = "split")]
    seed: Option<u64>,
    /// Workers of the simulated host.
    #[arg(long, default_value_t = 1, value_name = "N")]
    workers: usize,
    /// A cluster that leads a connection routed to it back to itself, its PROXY
    /// line first; may be given more than once.
    #[arg(long, value_name = "NAME")]
    echo_cluster: Vec<String>,
    /// Show only what failed.
    #[arg(long)]
    quiet: bool,
    /// Print one JSON object a line for each session.
    #[arg(long)]
    json: bool,
}

/// Plays sessions and counts them.
struct Player<'a> {
    replay: &'a Replay,
    module: FilterModule,
    options: PlayOptions,
    played: usize,
    failed: usize,
}

/// How a session went.
enum Outcome {
    Played(Report),
    /// It could not be.
    Error(anyhow::Error),
}

impl Replay {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let mut player = Player {
            module: self.filter.module()?,
            options: PlayOptions {
                policy: self.filter.policy()?,
                split: self.split,
                seed: self.seed,
                workers: self.workers,
                echo_clusters: self.echo_cluster.clone(),
                log_level: self.filter.log_level,
                ..PlayOptions::default()
            },
            replay: &self,
            played: 0,
            failed: 0,
        };
        for path in &self.files {
            player.file(path);
        }
        if player.failed == 0 {
            return Ok(ExitCode::SUCCESS);
        }
        eprintln!("{} of {} sessions failed", player.failed, player.played);
        Ok(ExitCode::FAILURE)
    }
}

impl Player<'_> {
    fn file(&mut self, path: &Path) {
        let name = path.display().to_string();
        match Input::open(path) {
            Ok(Input::Scenario(scenario)) => {
                path.parent()
                    .unwrap_or(Path::new("."))
                    .clone_into(&mut self.options.directory);
                self.play(&name, &scenario, None);
            }
            Ok(Input::Capture(capture)) => {
                let taken = self.replay.taken.clone();
                let read = taken.read(path, capture, |conversation| {
                    let name = format!("{name}#{}", conversation.number);
                    self.play(&name, &conversation.scenario(), Some(&conversation));
                });
                match read {
                    Ok(summary) if !self.replay.quiet => eprintln!("{name}: {summary}"),
                    Ok(_) => {}
                    Err(error) => self.tell(&name, None, &Outcome::Error(error)),
                }
            }
            Err(error) => self.tell(&name, None, &Outcome::Error(error)),
        }
    }

    fn play(&mut self, name: &str, scenario: &Scenario, captured: Option<&Conversation>) {
        let outcome = match play(scenario, &self.module, &self.options) {
            Ok(report) => Outcome::Played(report),
            Err(error) => Outcome::Error(anyhow::Error::new(error).context(name.to_owned())),
        };
        self.tell(name, captured, &outcome);
    }

    /// Prints how a session went, and counts it.
    fn tell(&mut self, name: &str, captured: Option<&Conversation>, outcome: &Outcome) {
        self.played += 1;
        let well = matches!(outcome, Outcome::Played(report) if report.failure.is_none());
        self.failed += usize::from(!well);
        let quiet = self.replay.quiet && well;
        if self.replay.json {
            if !quiet {
                println!("{}", as_json(name, captured, outcome));
            }
            return;
        }
        match outcome {
            Outcome::Played(report) => {
                if !quiet {
                    println!("== {name}");
                    report.entries.iter().for_each(|entry| println!("{entry}"));
                }
                match &report.failure {
                    None => println!("ok {name}{}", passed(captured, report)),
                    Some(failure) => println!("FAILED: {failure}"),
                }
                // The first was told as the failure.
                let more = report.differences.iter().skip(1);
                if captured.is_some() {
                    more.for_each(|difference| println!("FAILED: {difference}"));
                }
            }
            Outcome::Error(error) => println!("FAILED: {error:#}"),
        }
    }
}

/// What went through of a captured session.
fn passed(captured: Option<&Conversation>, report: &Report) -> String {
    let Some(conversation) = captured else {
        return String::new();
    };
    let totals = &report.totals;
    let oddities = conversation.oddities();
    let oddities = oddities.map_or_else(String::new, |odd| format!(" ({odd})"));
    format!(
        ": {} octets to the server, {} to the client, unchanged{oddities}",
        totals.server_read, totals.client_read
    )
}

fn as_json(name: &str, captured: Option<&Conversation>, outcome: &Outcome) -> Value {
    let mut object = match outcome {
        Outcome::Error(error) => json!({
            "name": name,
            "outcome": "error",
            "error": format!("{error:#}"),
        }),
        Outcome::Played(report) => played(name, report),
    };
    if let (Some(conversation), Some(object)) = (captured, object.as_object_mut()) {
        let capture = json!({
            "client": conversation.client,
            "server": conversation.server,
            "lost": conversation.lost,
            "retransmitted": conversation.retransmitted,
            "conflicting": conversation.conflicting,
            "oddities": conversation.oddities(),
        });
        object.insert("capture".to_owned(), capture);
    }
    object
}

fn played(name: &str, report: &Report) -> Value {
    let entries = report.entries.iter();
    let differences = report.differences.iter();
    json!({
        "name": name,
        "outcome": if report.failure.is_none() { "ok" } else { "failed" },
        "failure": report.failure.as_ref().map(|failure| json!({
            "line": failure.line.filter(|line| *line > 0),
            "expected": failure.expected,
            "got": failure.got,
        })),
        "closed": report.closed.map(|reason| reason.name()),
        "octets": report.totals,
        "differences": differences.map(|difference| json!({
            "reader": difference.reader.name(),
            "after": difference.at,
            "written": difference.written,
            "read": difference.read,
        })).collect::<Vec<_>>(),
        "entries": entries.map(|entry| json!({
            "at": entry.at.as_secs_f64(),
            "text": entry.text,
        })).collect::<Vec<_>>(),
    })
}
