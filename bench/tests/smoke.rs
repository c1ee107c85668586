//! The harness itself, small: everybody who is always here is measured on real Envoy, and a missed
//! bar is a failure.

use std::{path::Path, process::ExitCode, time::Duration};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use portcullis_bench::{
    attack::{self, GUESSES, HONEST, LOOKUPS, Rival},
    contestant::{Contestant, Surroundings},
    figures::{self, Figures, KEPT_CPU, Measure},
    options::Options,
    report::Report,
    run,
    stats::Summary,
    wire,
};

fn median(figures: &Figures, measure: Measure, who: &str) -> Result<f64> {
    let rounds = figures.get(measure).and_then(|one| one.rounds(who));
    let summary = rounds.and_then(Summary::of);
    Ok(summary
        .with_context(|| format!("{} of {who}", measure.id))?
        .median)
}

#[test]
fn honest_mail_is_measured_on_real_envoy() -> Result<()> {
    let who = [
        Contestant::Bare,
        Contestant::Noop,
        Contestant::Reader,
        Contestant::Portcullis,
    ];
    let size = wire::Size {
        rounds: 1,
        kept: 200,
        single: 100,
        large: 1,
        timed: Duration::from_millis(300),
        sessions: 100,
        witness: true,
    };
    let around = Surroundings::start()?;
    let mut figures = Figures::default();
    let (mut notes, mut left_out) = (Vec::new(), Vec::new());
    wire::measure(&who, &around, size, &mut figures, &mut notes, &mut left_out)?;
    ensure!(left_out.is_empty(), "{left_out:?}");
    for one in who {
        for measure in [
            figures::KEPT_CPU,
            figures::KEPT_RATE,
            figures::SINGLE_CPU,
            figures::SOURCE_KEPT_CPU,
            figures::LATENCY_P50,
            figures::DATA_RATE,
            figures::BDAT_CPU,
            figures::OPAQUE_CPU,
            figures::IDLE_MEMORY,
        ] {
            let value = median(&figures, measure, one.name())?;
            ensure!(value > 0.0, "{} of {one}: {value}", measure.id);
        }
    }
    // Each client was asked about once, and all of them are those of the load.
    let asked = around.lists.asked();
    ensure!((1..1000).contains(&asked), "{asked} questions");
    Ok(())
}

#[test]
fn the_attack_is_measured_on_real_postfix() -> Result<()> {
    let size = attack::Size {
        rounds: 1,
        bots: 5,
        connections: 2,
        at_once: 10,
        lasts: Duration::from_secs(2),
        honest: 3.0,
    };
    let (mut figures, mut left_out) = (Figures::default(), Vec::new());
    let who = [Rival::Bare, Rival::Portcullis];
    attack::measure(&who, size, &mut figures, &mut left_out)?;
    ensure!(left_out.is_empty(), "{left_out:?}");
    let bare = median(&figures, LOOKUPS, "postfix")?;
    let guarded = median(&figures, LOOKUPS, "portcullis")?;
    ensure!(bare > 0.0 && guarded < bare, "{guarded} of {bare}");
    ensure!(median(&figures, GUESSES, "portcullis")? < 20.0);
    ensure!(median(&figures, HONEST, "portcullis")? > 99.0);
    Ok(())
}

fn concluded(output: &Path, guarded: f64) -> Result<ExitCode> {
    let arguments = [
        "portcullis-bench",
        "--only",
        "wire",
        "--contestants",
        "portcullis,reader",
    ];
    let output = output.display().to_string();
    let arguments = arguments.into_iter().chain(["--output", &output]);
    let options = Options::try_parse_from(arguments)?;
    let mut report = Report::here(Vec::new());
    report.figures.add(KEPT_CPU, "reader", 100.0);
    report.figures.add(KEPT_CPU, "portcullis", guarded);
    run::conclude(&options, report)
}

#[test]
fn a_missed_bar_is_a_failure_and_a_missing_one_is_not() -> Result<()> {
    let directory = tempfile::tempdir()?;
    // Everything else of these two is missing.
    assert_eq!(concluded(directory.path(), 104.0)?, ExitCode::SUCCESS);
    assert_eq!(concluded(directory.path(), 106.0)?, ExitCode::FAILURE);
    ensure!(directory.path().join("report.html").is_file());
    Ok(())
}
