//! The simulator held against real Envoy: the same filters, the same clients and servers,
//! traces compared event by event.
//!
//! A case is a filter's script and what both ends do ([`case::Case`]); [`simulated`] and
//! [`real`] play it and give the same kind of [`trace::Trace`]. Envoy has one worker, so that
//! its log has one order, and a listener and a VM for each case, so that cases do not meet.

mod case;
mod cases;
mod filter;
mod hostcalls;
mod known;
mod names;
mod real;
mod services;
mod simulated;
mod trace;

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};

use case::Case;
use known::KNOWN;
use trace::{Comparison, Trace};

/// Plays this case only, and shows its trace.
const ONLY: &str = "DIFFERENTIAL_CASE";

#[test]
fn the_simulator_and_envoy_do_the_same() -> Result<()> {
    let only = std::env::var(ONLY).ok();
    let mut cases = cases::all();
    cases.retain(|case| {
        only.as_deref()
            .is_none_or(|only| case.name.starts_with(only))
    });
    ensure!(!cases.is_empty(), "{ONLY} names no case");
    let expected: Vec<Vec<Trace>> = cases.iter().map(simulated::run).collect::<Result<_>>()?;
    let real = real::Real::start(&cases)?.run(&cases, &expected)?;
    let pairs = cases.iter().zip(expected.iter().zip(&real));
    let differences: Vec<String> = pairs
        .filter_map(|(case, (simulated, real))| unexpected(case, simulated.last()?, real))
        .collect();
    if only.is_some() {
        expected
            .iter()
            .filter_map(|traces| traces.last())
            .for_each(show);
    }
    ensure!(
        differences.is_empty(),
        "{} of {} cases differ, simulated | real:\n\n{}",
        differences.len(),
        cases.len(),
        differences.join("\n\n")
    );
    println!("{} cases, {} known differences", cases.len(), KNOWN.len());
    Ok(())
}

/// What differs otherwise than it is known to.
fn unexpected(case: &Case, simulated: &Trace, real: &Trace) -> Option<String> {
    let compared = Comparison::new(simulated, real);
    let known = known::of(case.name);
    if compared.differences() == known.map_or(&[][..], |known| known.lines) {
        return None;
    }
    let known = known.map_or(String::new(), |known| {
        format!(
            "\nother lines than these were to differ, since {}: {:#?}",
            known.why, known.lines
        )
    });
    Some(format!("{}:\n{}{known}", case.name, compared.text()))
}

fn show(trace: &Trace) {
    println!("{}\n", trace.lines().join("\n"));
}

#[test]
fn cases_have_names_of_their_own_and_do_something() -> Result<()> {
    let cases = cases::all();
    let names: BTreeSet<&str> = cases.iter().map(|case| case.name).collect();
    ensure!(names.len() == cases.len(), "a name is there twice");
    let stale = KNOWN.iter().find(|known| !names.contains(known.case));
    ensure!(
        stale.is_none(),
        "{:?} is known of no case",
        stale.map(|known| known.case)
    );
    for case in &cases {
        let traces = simulated::run(case)?;
        let last = traces.last().context(case.name)?;
        ensure!(!last.filter.is_empty(), "{} tells nothing", case.name);
    }
    Ok(())
}

/// The behaviour told in `ABI.md` is held by cases that are there.
#[test]
fn the_document_names_cases_that_exist() -> Result<()> {
    let path = portcullis_tests::paths::repository().join("host-sim/ABI.md");
    let text = std::fs::read_to_string(&path)?;
    let cases = cases::all();
    let exists = |name: &str| cases.iter().any(|case| case.name.starts_with(name));
    // The last column of the tables that have one for cases.
    let rows = text.lines().filter(|line| line.matches('|').count() == 4);
    let columns = rows.filter_map(|row| row.trim_end_matches('|').rsplit_once('|'));
    let names: BTreeSet<&str> = columns
        .flat_map(|(_, last)| last.split('`').skip(1).step_by(2))
        .filter(|name| {
            name.contains('_')
                && name
                    .chars()
                    .all(|one| one.is_ascii_alphanumeric() || one == '_')
        })
        .collect();
    let missing: Vec<_> = names.iter().filter(|name| !exists(name)).collect();
    ensure!(
        names.len() > 40 && missing.is_empty(),
        "{names:?}, of which {missing:?} are none"
    );
    Ok(())
}
