//! The files that commands are given: scenarios and captures, told apart by content.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use clap::Args;

use crate::capture::{self, Conversation, Options, Summary};
use crate::scenario::{Scenario, ScenarioError};

/// A scenario's text is no longer.
const LONGEST_TEXT: u64 = 64 * 1024 * 1024;

/// Which connections of a capture are taken.
#[derive(Clone, Debug, Args)]
pub(super) struct Taken {
    /// Take a capture's connections to this server port, whatever is said on them;
    /// may be given more than once. SMTP is recognised on any port [default: 25,
    /// 465, 587]
    #[arg(long = "port", value_name = "N")]
    ports: Vec<u16>,
}

/// A file, opened.
pub(super) enum Input {
    Scenario(Box<Scenario>),
    Capture(File),
}

impl Input {
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let name = path.display();
        let cannot = || format!("cannot read {name}");
        let mut file = File::open(path).with_context(cannot)?;
        let mut beginning = Vec::new();
        (&mut file)
            .take(4)
            .read_to_end(&mut beginning)
            .with_context(cannot)?;
        if capture::is_capture(&beginning) {
            file.rewind().with_context(cannot)?;
            return Ok(Self::Capture(file));
        }
        let text = text(beginning, file).with_context(cannot)?;
        Ok(Self::Scenario(Box::new(scenario(path, &text)?)))
    }
}

/// Reads the rest of a text.
fn text(mut beginning: Vec<u8>, file: File) -> anyhow::Result<String> {
    file.take(LONGEST_TEXT + 1).read_to_end(&mut beginning)?;
    if beginning.len() as u64 > LONGEST_TEXT {
        bail!("it is longer than {LONGEST_TEXT} octets, the most a scenario may have");
    }
    String::from_utf8(beginning).context(
        "it is no capture (pcap or pcapng; decompress it first if it is compressed), \
         and no scenario either, for it is not UTF-8",
    )
}

/// Reads a scenario; its errors point at their place.
pub(super) fn scenario(path: &Path, text: &str) -> anyhow::Result<Scenario> {
    let parsed = text.parse();
    parsed.map_err(|error: ScenarioError| pointed(path, &error))
}

pub(super) fn pointed(path: &Path, error: &ScenarioError) -> anyhow::Error {
    let file = path.display().to_string();
    anyhow::Error::msg(error.in_file(&file).to_string())
}

impl Taken {
    /// Hands over the conversations of a capture.
    pub(super) fn read(
        &self,
        path: &Path,
        capture: File,
        conversation: impl FnMut(Conversation),
    ) -> anyhow::Result<Summary> {
        let mut options = Options::default();
        if !self.ports.is_empty() {
            options.ports.clone_from(&self.ports);
        }
        let summary = capture::read(capture, &options, conversation)
            .with_context(|| path.display().to_string())?;
        if summary.conversations == 0 {
            bail!(
                "{}: no SMTP connection in it ({summary}); --port N takes those to that port",
                path.display()
            );
        }
        Ok(summary)
    }
}
