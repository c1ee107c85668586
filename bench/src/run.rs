//! A whole run.

use anyhow::Result;

use crate::{
    attack,
    bars::{self, Bar, Verdict},
    contestant::Surroundings,
    figures::Figures,
    growth,
    options::{Options, Part},
    print, wire,
};

/// Measures all that is asked for, and reports it. Whether no bar was missed.
///
/// # Errors
/// If something fails that is no bar.
pub fn run(options: &Options) -> Result<bool> {
    portcullis_tests::process::raise_open_files()?;
    let around = Surroundings::start()?;
    let mut figures = Figures::default();
    let mut left_out = Vec::new();
    if options.wants(Part::Wire) {
        let contestants = options.contestants();
        wire::measure(
            &contestants,
            &around,
            options.wire(),
            &mut figures,
            &mut left_out,
        )?;
    }
    if options.wants(Part::Attack) {
        let size = options.attack();
        attack::measure(&options.rivals(), size, &mut figures, &mut left_out)?;
        attack::rejects_per_core(size.bots * 10, &mut figures)?;
    }
    let mut notes = Vec::new();
    let mut curves = Vec::new();
    if options.wants(Part::Growth) {
        curves = growth::measure(&around, &options.growth(), &mut figures, &mut notes)?;
    }
    println!("{}", print::figures(&figures));
    for curve in &curves {
        println!("{} {}\n {:?}", curve.title, curve.said(), curve.lines);
    }
    for note in &notes {
        println!("note: {note}");
    }
    for reason in &left_out {
        println!("left out: {reason}");
    }
    let verdicts: Vec<Verdict> = bars_of(options)
        .iter()
        .map(|bar| bar.judge(&figures))
        .collect();
    println!("{}", print::verdicts(&verdicts));
    println!("{}", bars::summary(&verdicts));
    Ok(bars::all_hold(&verdicts))
}

fn bars_of(_options: &Options) -> Vec<Bar> {
    Vec::new()
}
