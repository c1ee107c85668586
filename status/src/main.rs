//! The program `portcullis-status`: maps what the library did to an exit code.

use std::process::ExitCode;

use clap::Parser as _;
use portcullis_status::Options;

fn main() -> ExitCode {
    match portcullis_status::run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("portcullis-status: {error:#}");
            ExitCode::FAILURE
        }
    }
}
