//! `host-sim fmt`.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::inputs::pointed;
use crate::scenario::format;

/// Give scenarios their usual look, which changes nothing they say.
///
/// Ends with 1 when a file is no scenario, or with --check when one looks otherwise.
#[derive(Debug, Args)]
pub(super) struct Fmt {
    /// The scenarios; - formats standard input to standard output.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Write nothing; name the files that look otherwise.
    #[arg(long)]
    check: bool,
    /// Print one JSON object a line for each file.
    #[arg(long)]
    json: bool,
}

/// What became of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    AsItWas,
    Formatted,
    ToBeFormatted,
}

impl Look {
    fn name(self) -> &'static str {
        match self {
            Self::AsItWas => "unchanged",
            Self::Formatted => "formatted",
            Self::ToBeFormatted => "not formatted",
        }
    }
}

impl Fmt {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let mut bad = false;
        for path in &self.files {
            let look = self.file(path);
            bad |= !matches!(look, Ok(Look::AsItWas | Look::Formatted));
            self.tell(path, look);
        }
        Ok(if bad {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    }

    fn file(&self, path: &Path) -> anyhow::Result<Look> {
        let stream = path == Path::new("-");
        let cannot_read = || format!("cannot read {}", path.display());
        let text = if stream {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map(|_| text)
        } else {
            std::fs::read_to_string(path)
        };
        let text = text.with_context(cannot_read)?;
        let formatted = format(&text).map_err(|error| pointed(path, &error))?;
        let same = formatted == text;
        match (self.check, stream) {
            (true, _) if same => Ok(Look::AsItWas),
            (true, _) => Ok(Look::ToBeFormatted),
            (false, true) => {
                std::io::stdout().write_all(formatted.as_bytes())?;
                Ok(Look::AsItWas)
            }
            (false, false) if same => Ok(Look::AsItWas),
            (false, false) => {
                std::fs::write(path, formatted)
                    .with_context(|| format!("cannot write {}", path.display()))?;
                Ok(Look::Formatted)
            }
        }
    }

    fn tell(&self, path: &Path, look: anyhow::Result<Look>) {
        let stream = path == Path::new("-") && !self.check;
        match look {
            Ok(look) if self.json && !stream => {
                println!("{}", json!({ "file": path, "look": look.name() }));
            }
            Ok(Look::AsItWas) => {}
            Ok(look) => println!("{} {}", look.name(), path.display()),
            Err(error) => eprintln!("{error:#}"),
        }
    }
}
