//! One test under many seeds.

use std::env::{self, VarError};
use std::error::Error;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use thiserror::Error;

/// The variable that names the one seed to run.
pub(crate) const VARIABLE: &str = "HOST_SIM_SEED";

/// Why a test failed under some seed, or ran under none.
#[derive(Debug, Error)]
pub enum SeedError {
    /// It returned an error.
    #[error("seed {seed} failed: {source:#}; replay it with {VARIABLE}={seed}")]
    Failed {
        /// The seed.
        seed: u64,
        /// What the test returned.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The variable is set to something else than a seed.
    #[error("{VARIABLE} is {value:?}, which is no seed; give a whole number, or unset it")]
    NoSeed {
        /// What it is set to.
        value: String,
    },
}

/// What a test run under a seed can return.
pub trait Outcome {
    /// Its error, if it failed.
    ///
    /// # Errors
    /// The test's own.
    fn outcome(self) -> Result<(), Box<dyn Error + Send + Sync>>;
}

impl Outcome for () {
    fn outcome(self) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(())
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> Outcome for Result<(), E> {
    fn outcome(self) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.map_err(Into::into)
    }
}

/// Runs a test once under each seed, and says which one it failed under. The
/// environment variable `HOST_SIM_SEED=n` runs it under that seed only.
///
/// ```
/// # fn main() -> Result<(), portcullis_host_sim::SeedError> {
/// portcullis_host_sim::for_seeds(0..100, |seed| {
///     // Simulator::builder_for(&module).seed(seed) and so on.
///     assert!(seed < 100);
/// })
/// # }
/// ```
///
/// # Errors
/// [`SeedError::Failed`] with the first error; [`SeedError::NoSeed`] for a
/// variable that names no seed.
///
/// # Panics
/// Where the test does, after saying on stderr which seed it was.
pub fn for_seeds<O: Outcome>(
    seeds: Range<u64>,
    test: impl FnMut(u64) -> O,
) -> Result<(), SeedError> {
    each(seeds_to_run(seeds)?, test)
}

/// These seeds, or the one that the variable names.
pub(crate) fn seeds_to_run(seeds: Range<u64>) -> Result<Range<u64>, SeedError> {
    match env::var(VARIABLE) {
        Ok(value) => only(&value),
        Err(VarError::NotPresent) => Ok(seeds),
        Err(VarError::NotUnicode(value)) => only(&value.to_string_lossy()),
    }
}

fn each<O: Outcome>(seeds: Range<u64>, mut test: impl FnMut(u64) -> O) -> Result<(), SeedError> {
    for seed in seeds {
        match catch_unwind(AssertUnwindSafe(|| test(seed))) {
            Ok(outcome) => outcome
                .outcome()
                .map_err(|source| SeedError::Failed { seed, source })?,
            Err(panic) => {
                eprintln!("seed {seed} failed: replay it with {VARIABLE}={seed}");
                resume_unwind(panic);
            }
        }
    }
    Ok(())
}

fn only(value: &str) -> Result<Range<u64>, SeedError> {
    let no_seed = || SeedError::NoSeed {
        value: value.to_owned(),
    };
    let seed: u64 = value.trim().parse().map_err(|_| no_seed())?;
    Ok(seed..seed.checked_add(1).ok_or_else(no_seed)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_its_seed() {
        let fail_at_three = |seed| match seed {
            3 => Err("the third"),
            _ => Ok(()),
        };
        let error = each(0..10, fail_at_three).unwrap_err().to_string();
        assert_eq!(
            error,
            "seed 3 failed: the third; replay it with HOST_SIM_SEED=3"
        );
        assert!(each(4..10, fail_at_three).is_ok());
    }

    #[test]
    fn a_panic_goes_on_and_stops_the_rest() {
        let mut seen = Vec::new();
        let run = AssertUnwindSafe(|| {
            each(0..10, |seed| {
                seen.push(seed);
                assert_ne!(seed, 2);
            })
        });
        assert!(catch_unwind(run).is_err());
        assert_eq!(seen, [0, 1, 2]);
    }

    #[test]
    fn the_variable_is_one_seed_or_an_error() {
        assert_eq!(only(" 7 ").ok(), Some(7..8));
        for value in ["", "x", "-1", "18446744073709551615"] {
            let error = only(value).unwrap_err();
            assert!(matches!(error, SeedError::NoSeed { .. }), "{error}");
        }
    }
}
