//! `host-sim convert`.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;

use super::inputs::{Input, Taken};
use crate::capture::Conversation;

/// Write the SMTP sessions of captures as scenarios.
///
/// Each becomes a file of its own, named for the capture and the connection's
/// number in it, which `replay` plays like any other. What is known of the people
/// in them stays in: see SCENARIOS.md for the marks that leave octets out.
#[derive(Debug, Args)]
pub(super) struct Convert {
    /// The captures, pcap or pcapng.
    #[arg(required = true, value_name = "CAPTURE")]
    captures: Vec<PathBuf>,
    /// Where the scenarios go; made if it is not there. Nothing in it is replaced.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    taken: Taken,
    /// Print one JSON object a line for each session.
    #[arg(long)]
    json: bool,
}

impl Convert {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        fs::create_dir_all(&self.out)
            .with_context(|| format!("cannot make {}", self.out.display()))?;
        for path in &self.captures {
            let Input::Capture(capture) = Input::open(path)? else {
                bail!("{} is a scenario already", path.display());
            };
            let mut written = Ok(());
            let summary = self.taken.read(path, capture, |conversation| {
                if written.is_ok() {
                    written = self.write(path, &conversation);
                }
            })?;
            written?;
            eprintln!("{}: {summary}", path.display());
        }
        Ok(ExitCode::SUCCESS)
    }

    fn write(&self, capture: &Path, conversation: &Conversation) -> anyhow::Result<()> {
        let stem = capture.file_stem().unwrap_or_default().to_string_lossy();
        let name = format!("{stem}-{:04}.txt", conversation.number);
        let path = self.out.join(name);
        let cannot = || format!("cannot write {}; give another --out", path.display());
        let mut file = File::create_new(&path).with_context(cannot)?;
        let text = conversation.scenario().to_string();
        file.write_all(text.as_bytes()).with_context(cannot)?;
        if self.json {
            println!(
                "{}",
                json!({
                    "file": path,
                    "client": conversation.client,
                    "server": conversation.server,
                    "lost": conversation.lost,
                    "oddities": conversation.oddities(),
                })
            );
        } else {
            let oddities = conversation.oddities();
            let oddities = oddities.map_or_else(String::new, |odd| format!(" ({odd})"));
            println!("{}{oddities}", path.display());
        }
        Ok(())
    }
}
