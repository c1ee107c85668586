//! `make run`: the guard before a mail server, in the foreground.

use std::process::ExitCode;

use clap::Parser;
use portcullis_tests::launch::{Options, run};

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("portcullis-run: {error:#}");
            ExitCode::FAILURE
        }
    }
}
