//! `make bench`.

use std::process::ExitCode;

use clap::Parser;
use portcullis_bench::{options::Options, run};

fn main() -> ExitCode {
    match run::run(&Options::parse()) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("portcullis-bench: {error:#}");
            ExitCode::from(2)
        }
    }
}
