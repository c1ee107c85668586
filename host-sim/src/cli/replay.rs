//! `host-sim replay`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use super::Filter;
use crate::module::FilterModule;
use crate::scenario::{Failure, PlayOptions, Scenario, ScenarioError, play};

/// Play text dialogues against a filter.
#[derive(Debug, Args)]
pub(super) struct Replay {
    /// The dialogues.
    #[arg(required = true, value_name = "SCENARIO")]
    scenarios: Vec<PathBuf>,
    #[command(flatten)]
    filter: Filter,
    /// Cut every write into segments of N bytes; 0 leaves them whole.
    #[arg(long, default_value_t = 0, value_name = "N")]
    split: usize,
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
}

impl Replay {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let module = self.filter.module()?;
        let options = PlayOptions {
            policy: self.filter.policy()?,
            split: self.split,
            workers: self.workers,
            echo_clusters: self.echo_cluster.clone(),
            log_level: self.filter.log_level,
            ..PlayOptions::default()
        };
        let mut failed = 0;
        for path in &self.scenarios {
            match self.play(path, &module, &options) {
                Ok(None) => println!("ok {}", path.display()),
                Ok(Some(failure)) => {
                    println!("FAILED: {failure}");
                    failed += 1;
                }
                Err(error) => {
                    println!("FAILED: {error:#}");
                    failed += 1;
                }
            }
        }
        if failed == 0 {
            return Ok(ExitCode::SUCCESS);
        }
        eprintln!("{failed} of {} scenarios failed", self.scenarios.len());
        Ok(ExitCode::FAILURE)
    }

    /// Plays one scenario and prints what happened in it.
    fn play(
        &self,
        path: &Path,
        module: &FilterModule,
        options: &PlayOptions,
    ) -> anyhow::Result<Option<Failure>> {
        let name = path.display();
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the scenario {name}"))?;
        let scenario: Scenario = text.parse().map_err(|error: ScenarioError| {
            let file = path.display().to_string();
            anyhow::anyhow!("{}", error.in_file(&file))
        })?;
        let options = PlayOptions {
            directory: path.parent().unwrap_or(Path::new(".")).to_owned(),
            ..options.clone()
        };
        let report = play(&scenario, module, &options).with_context(|| format!("{name}"))?;
        if !self.quiet || report.failure.is_some() {
            println!("== {name}");
            for entry in &report.entries {
                println!("{entry}");
            }
        }
        Ok(report.failure)
    }
}
