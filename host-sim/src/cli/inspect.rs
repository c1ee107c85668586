//! `host-sim inspect`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use anyhow::Context as _;
use clap::Args;

use super::output::{Format, print_json, show};
use crate::inspect::{Import, Inspection, Memory, Provision};
use crate::report::grouped;

const HEADING: Style = Style::new().bold();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();

/// Show what a module asks of its host and offers it, and whether it would load.
#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// The module.
    #[arg(env = "HOST_SIM_WASM", value_name = "WASM")]
    wasm: PathBuf,
    #[command(flatten)]
    format: Format,
}

impl Inspect {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let name = self.wasm.display();
        let bytes = std::fs::read(&self.wasm).with_context(|| format!("cannot read {name}"))?;
        let found = Inspection::of(&bytes).with_context(|| name.to_string())?;
        if self.format.json {
            print_json(&found)?;
        } else {
            show(&text(&found))?;
        }
        let loads = found.envoy_objections.is_empty() && found.host_sim_objection.is_none();
        Ok(if loads {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

fn text(found: &Inspection) -> String {
    let mut text = String::new();
    // Writing into a string cannot fail.
    let mut heading = |name: &str, value: &str| {
        let _ = writeln!(text, "{HEADING}{name}{HEADING:#}  {value}");
    };
    heading("size", &format!("{} bytes", grouped(found.size as u64)));
    heading("ABI", &list(&found.abi));
    heading("memory", &memory(found.memory));
    heading("callbacks", &list(&found.callbacks));
    heading("other exports", &list(&found.exports));
    heading("imports", "");
    for import in &found.imports {
        let style = match import.envoy {
            Provision::Hostcall => Style::new(),
            Provision::HttpOnly | Provision::Wasi => AnsiColor::Yellow.on_default(),
            Provision::Missing => BAD,
        };
        let Import { name, envoy } = import;
        let _ = writeln!(text, "  {name:<44} {style}{envoy}{style:#}");
    }
    let _ = writeln!(text, "{HEADING}sections{HEADING:#}");
    for section in &found.sections {
        let size = grouped(section.size as u64);
        let _ = writeln!(text, "  {:<20} {size:>11}", section.name);
    }
    text + &loads("Envoy", &found.envoy_objections)
        + &loads("host-sim", found.host_sim_objection.as_slice())
}

fn loads(host: &str, objections: &[String]) -> String {
    let mut text = if objections.is_empty() {
        format!("{GOOD}{host} would load it{GOOD:#}\n")
    } else {
        format!("{BAD}{host} would not load it{BAD:#}\n")
    };
    for objection in objections {
        let _ = writeln!(text, "  {objection}");
    }
    text
}

fn list(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    }
}

fn memory(memory: Option<Memory>) -> String {
    let Some(memory) = memory else {
        return "none".to_owned();
    };
    let initial = grouped(memory.initial);
    match memory.maximum {
        Some(maximum) => format!("{initial} bytes at first, {} at most", grouped(maximum)),
        None => format!("{initial} bytes at first, no limit of its own"),
    }
}
