//! `make demo`: the attack, without and with the guard, and whether the guard held.

use std::process::ExitCode;

use clap::Parser;
use portcullis_tests::demo::{Options, run};

fn main() -> ExitCode {
    let options = Options::parse();
    let report = match run(&options) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("portcullis-demo: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    println!("{report}");
    let missed = report.missed(options.honest, options.workers);
    for bar in &missed {
        eprintln!("portcullis-demo: {bar}");
    }
    println!("{}", report.summary(options.honest));
    if missed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
