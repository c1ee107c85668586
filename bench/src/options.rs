//! What a run is told on the command line.

use std::{path::PathBuf, time::Duration};

use clap::{Parser, ValueEnum, builder::PossibleValuesParser};

use crate::{
    attack::{self, Rival},
    contestant::Contestant,
    growth, wire,
};

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
    /// Only these contestants.
    #[arg(long, value_delimiter = ',', value_parser = names())]
    pub contestants: Vec<String>,
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
        all.filter(|one| self.is_chosen(one.name())).collect()
    }

    /// Whom to attack.
    #[must_use]
    pub fn rivals(&self) -> Vec<Rival> {
        let all = Rival::value_variants().iter().copied();
        all.filter(|one| self.is_chosen(one.name())).collect()
    }

    /// Whether somebody takes part.
    #[must_use]
    pub fn is_chosen(&self, name: &str) -> bool {
        self.contestants.is_empty() || self.named(name)
    }

    fn named(&self, name: &str) -> bool {
        self.contestants.iter().any(|one| one == name)
    }

    /// How large the attack is.
    #[must_use]
    pub fn attack(&self) -> attack::Size {
        let rounds = self.rounds.map(usize::from);
        if self.quick {
            return attack::Size {
                rounds: rounds.unwrap_or(1),
                bots: 60,
                connections: 20,
                at_once: 400,
                lasts: Duration::from_secs(8),
                honest: 10.0,
            };
        }
        attack::Size {
            rounds: rounds.unwrap_or(5),
            bots: 400,
            connections: 20,
            at_once: 1000,
            lasts: Duration::from_secs(30),
            honest: 20.0,
        }
    }

    /// How far the curves go.
    #[must_use]
    pub fn growth(&self) -> growth::Size {
        let rounds = self.rounds.map(usize::from);
        if self.quick {
            return growth::Size {
                sessions: vec![100, 2000, 20_000],
                clients: vec![1000, 3000],
                messages: vec![1000, 100_000, 10_000_000],
                kept: 2000,
                rounds: rounds.unwrap_or(2),
            };
        }
        growth::Size {
            sessions: vec![100, 500, 1000, 2000, 5000, 10_000, 20_000],
            clients: vec![1000, 10_000, 30_000, 100_000, 300_000, 1_000_000],
            messages: vec![1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000],
            kept: 10_000,
            rounds: rounds.unwrap_or(5),
        }
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
                sessions: 1000,
                witness: false,
            };
        }
        wire::Size {
            rounds: rounds.unwrap_or(5),
            kept: 10_000,
            single: 3000,
            large: 10,
            timed: Duration::from_secs(4),
            sessions: 1000,
            witness: true,
        }
    }
}

/// Everybody who takes part in anything.
fn names() -> PossibleValuesParser {
    let wire = Contestant::value_variants().iter().map(|one| one.name());
    let attack = Rival::value_variants().iter().map(|one| one.name());
    let mut names: Vec<&'static str> = wire.chain(attack).collect();
    let mut known = std::collections::HashSet::new();
    names.retain(|name| known.insert(*name));
    PossibleValuesParser::new(names)
}
