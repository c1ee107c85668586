//! Every dialogue in `scenarios/`, played in the simulator with the filter as built.
//!
//! Each is played whole and cut into small segments, on one worker and on two: none of that may
//! change what anybody reads. Nor may segments cut and delayed by a seed.

use anyhow::{Context, Result, ensure};
use portcullis_host_sim::FilterModule;
use portcullis_host_sim::scenario::{PlayOptions, Scenario, format, play};
use portcullis_tests::paths;
use std::path::{Path, PathBuf};

/// Octets in a segment; 0 leaves segments as they are written.
const SPLITS: [usize; 5] = [0, 1, 2, 7, 64];
const SEEDS: [u64; 3] = [1, 2, 3];

fn scenarios() -> Result<Vec<PathBuf>> {
    let directory = paths::repository().join("tests/scenarios");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&directory)
        .with_context(|| directory.display().to_string())?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    Ok(files)
}

/// The failures of one scenario under all splits and numbers of workers.
fn failures(file: &Path, filter: &FilterModule) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(file)?;
    let scenario: Scenario = text.parse()?;
    let mut failures = Vec::new();
    let whole = SPLITS.map(|split| (split, None));
    for (split, seed) in whole.into_iter().chain(SEEDS.map(|seed| (0, Some(seed)))) {
        for workers in [1, 2] {
            let options = PlayOptions {
                directory: file.parent().unwrap_or(Path::new(".")).to_owned(),
                split,
                seed,
                workers,
                ..PlayOptions::default()
            };
            let report = play(&scenario, filter, &options)?;
            if let Some(failure) = report.failure {
                let how = format!("split {split}, seed {seed:?}, {workers} workers");
                failures.push(format!("{how}: {failure}"));
            }
        }
    }
    Ok(failures)
}

#[test]
fn every_scenario_is_as_it_says() -> Result<()> {
    let filter = FilterModule::from_file(&paths::wasm()?)?;
    let files = scenarios()?;
    ensure!(files.len() >= 20, "only {} scenarios found", files.len());
    let mut failed = Vec::new();
    for file in &files {
        let found = failures(file, &filter).with_context(|| file.display().to_string())?;
        failed.extend(
            found
                .into_iter()
                .map(|why| format!("{}: {why}", file.display())),
        );
    }
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    let ways = 2 * (SPLITS.len() + SEEDS.len());
    println!("{} scenarios, {ways} ways each", files.len());
    Ok(())
}

#[test]
fn every_scenario_is_formatted() -> Result<()> {
    for file in scenarios()? {
        let text = std::fs::read_to_string(&file)?;
        let formatted = format(&text).with_context(|| file.display().to_string())?;
        ensure!(
            formatted == text,
            "{0} is not formatted; host-sim fmt {0}",
            file.display()
        );
    }
    Ok(())
}

#[test]
fn a_scenario_under_another_policy_fails_where_it_should() -> Result<()> {
    let filter = FilterModule::from_file(&paths::wasm()?)?;
    let file = paths::repository().join("tests/scenarios/story-451.txt");
    let scenario: Scenario = std::fs::read_to_string(file)?.parse()?;
    let options = PlayOptions {
        policy: Some(br#"{"mode": "observe"}"#.to_vec()),
        ..PlayOptions::default()
    };
    let failure = play(&scenario, &filter, &options)?.failure;
    let failure = failure.context("the attack was cut though only observed")?;
    ensure!(
        failure.expected.contains("421") && failure.got.contains("451"),
        "{failure}"
    );
    Ok(())
}
