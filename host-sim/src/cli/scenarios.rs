//! Recorded sessions that commands are given.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::inputs::Input;
use crate::scenario::Scenario;

/// Reads a scenario; an error shows the file, the line and what was expected.
pub(super) fn read_scenario(path: &Path) -> anyhow::Result<Scenario> {
    match Input::open(path)? {
        Input::Scenario(scenario) => Ok(*scenario),
        Input::Capture(_) => bail!(
            "{} is a capture; `host-sim convert` makes scenarios of it",
            path.display()
        ),
    }
}

/// The files of these folders, and these files, in the order of their names. A
/// folder's own folders are looked into as well.
pub(super) fn files(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut left: Vec<PathBuf> = paths.to_vec();
    while let Some(path) = left.pop() {
        if !path.is_dir() {
            found.push(path);
            continue;
        }
        let folder = std::fs::read_dir(&path);
        let folder =
            folder.with_context(|| format!("cannot read the folder {}", path.display()))?;
        for entry in folder {
            left.push(entry?.path());
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}
