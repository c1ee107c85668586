//! The attack behind `make demo`: a botnet guesses names at a mail server, first alone, then with
//! the guard before it, while honest senders deliver their mail.

mod bots;
mod honest;
mod options;
mod report;
mod stage;
mod wire;

use anyhow::Result;

pub use options::{Options, UnknownReply};
pub use report::{Bar, Report};
pub use stage::Outcome;

use crate::{launch::Blocklists, process};

/// Plays the attack twice and returns what came of it.
///
/// # Errors
/// Whatever keeps the servers or the guard from running; a missed bar is part of the report.
pub fn run(options: &Options) -> Result<Report> {
    // Every session costs Envoy two files, more in all than many systems allow by default.
    process::raise_open_files()?;
    // Before there is a runtime: it waits for the lists in one of its own.
    let blocklists = Blocklists::provide(&options.dnsbl)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let without = runtime.block_on(stage::without_guard(options))?;
    let with = runtime.block_on(stage::with_guard(options, &blocklists))?;
    Ok(Report { without, with })
}
