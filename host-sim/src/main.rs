//! The program `host-sim`: maps what the library did to an exit code.

use std::process::ExitCode;

use clap::Parser as _;
use portcullis_host_sim::Cli;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("host-sim: {error:#}");
            ExitCode::FAILURE
        }
    }
}
