//! A whole run.

use std::{env, process::ExitCode};

use anyhow::Result;

use crate::{
    attack, bars,
    contestant::Surroundings,
    growth::{self, Curve},
    held,
    machine::Machine,
    options::{Options, Part},
    print,
    report::Report,
    wire,
};

/// Measures all that is asked for, and reports it.
///
/// # Errors
/// If something fails that is no bar.
pub fn run(options: &Options) -> Result<ExitCode> {
    portcullis_tests::process::raise_open_files()?;
    let mut report = Report::here(env::args().skip(1).collect());
    if let Some(note) = busy(&report.machine) {
        report.notes.push(note);
    }
    measure(options, &mut report)?;
    conclude(options, report)
}

/// Holds what was measured against the bars, writes and prints the report. A failure, if a bar is
/// missed.
///
/// # Errors
/// If the report cannot be written.
pub fn conclude(options: &Options, mut report: Report) -> Result<ExitCode> {
    let judged = held::bars(options);
    report.verdicts = judged
        .iter()
        .map(|bar| bar.judge(&report.figures))
        .collect();
    report.write(&options.output)?;
    tell(options, &report);
    Ok(match bars::all_hold(&report.verdicts) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let around = Surroundings::start()?;
    let Report {
        figures,
        left_out,
        notes,
        ..
    } = report;
    if options.wants(Part::Wire) {
        let contestants = options.contestants();
        wire::measure(
            &contestants,
            &around,
            options.wire(),
            figures,
            notes,
            left_out,
        )?;
        notes.push(format!(
            "the guard asked {} questions about clients",
            around.lists.asked()
        ));
    }
    if options.wants(Part::Attack) {
        let size = options.attack();
        attack::measure(&options.rivals(), size, figures, left_out)?;
        if options.is_chosen("portcullis") {
            attack::rejects_per_core(size.bots * 10, figures)?;
        }
    }
    if options.wants(Part::Growth) {
        report.curves = growth::measure(&around, &options.growth(), figures, notes)?;
    }
    Ok(())
}

/// Measurements beside other work are noise.
fn busy(machine: &Machine) -> Option<String> {
    (machine.load > 0.5).then(|| {
        format!(
            "the machine was busy when the run began: {} processes wanted to run",
            machine.load
        )
    })
}

fn tell(options: &Options, report: &Report) {
    println!("{}", print::figures(&report.figures));
    report.curves.iter().for_each(tell_curve);
    for reason in &report.left_out {
        println!("left out: {reason}");
    }
    for note in &report.notes {
        println!("note: {note}");
    }
    println!("{}", print::verdicts(&report.verdicts));
    println!(
        "the report: {}",
        options.output.join("report.html").display()
    );
    println!("{}", bars::summary(&report.verdicts));
}

fn tell_curve(curve: &Curve) {
    println!("{} ({})", curve.title, curve.place);
    println!("{}", print::curve(curve));
    println!("{}\n", curve.said());
}
