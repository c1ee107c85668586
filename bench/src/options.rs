//! What a run is told on the command line.

use std::{path::PathBuf, time::Duration};

use clap::{Parser, ValueEnum};

use crate::{contestant::Contestant, wire};

/// Parts of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// What honest mail costs.
    Wire,
    /// What an attack costs.
    Attack,
    /// How costs grow.
    Growth,
}

/// Measures what the guard costs, beside what others cost on the same work in the same run.
#[derive(Debug, Clone, Parser)]
#[command(name = "portcullis-bench", version)]
pub struct Options {
    /// A small run of a few minutes: whether everything works, and a first idea.
    #[arg(long)]
    pub quick: bool,
    /// Only these parts.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub only: Vec<Part>,
    /// Only these contestants of the wire's part.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub contestants: Vec<Contestant>,
    /// Rounds in which they take turns; 5, or 2 in a quick run.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub rounds: Option<u16>,
    /// Where the report is written.
    #[arg(long, default_value = "target/bench")]
    pub output: PathBuf,
}

impl Options {
    /// Whether a part is asked for.
    #[must_use]
    pub fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    /// Whom to measure on the wire.
    #[must_use]
    pub fn contestants(&self) -> Vec<Contestant> {
        let all = Contestant::value_variants().iter().copied();
        all.filter(|one| self.contestants.is_empty() || self.contestants.contains(one))
            .collect()
    }

    /// How much is done on the wire.
    #[must_use]
    pub fn wire(&self) -> wire::Size {
        let rounds = self.rounds.map(usize::from);
        if self.quick {
            return wire::Size {
                rounds: rounds.unwrap_or(2),
                kept: 2000,
                single: 600,
                large: 2,
                timed: Duration::from_secs(1),
                witness: false,
            };
        }
        wire::Size {
            rounds: rounds.unwrap_or(5),
            kept: 10_000,
            single: 3000,
            large: 10,
            timed: Duration::from_secs(4),
            witness: true,
        }
    }
}
