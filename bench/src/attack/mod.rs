//! What an attack costs: the same bots against the same mail server, with each of its defences
//! alone, while honest senders deliver mail.

mod bots;
mod fail2ban;
mod honest;
mod rejects;
mod rival;

use std::{net::Ipv4Addr, time::Duration};

use anyhow::{Context, Result};

pub use rejects::{REJECTS, rejects_per_core};
pub use rival::Rival;

use crate::{
    figures::{Figures, Measure, higher, lower},
    load::run_for,
    stats::{Summary, percentile},
    usage::Usage,
};
use rival::Stage;

/// Recipients of bots that the server looked up.
pub const LOOKUPS: Measure = lower("attack.lookups", "guesses that the server looked up", "");
/// What the attack costs the server.
pub const SERVER_CPU: Measure = lower("attack.server-cpu", "the server's CPU", "s");
/// What it costs whatever stands before or beside it.
pub const FRONT_CPU: Measure = lower("attack.front-cpu", "the defence's own CPU", "s");
/// Questions to the blacklist.
pub const QUESTIONS: Measure = lower("attack.questions", "questions to the blacklist", "");
/// Guesses that were answered.
pub const GUESSES: Measure = lower("attack.guesses", "guesses answered, each bot", "");
/// The same in an hour, of all bots.
pub const PER_HOUR: Measure = lower(
    "attack.per-hour",
    "guesses answered in an hour, all bots",
    "",
);
/// How long a bot goes on guessing.
pub const GUESSED_FOR: Measure = lower(
    "attack.guessed-for",
    "a bot's first guess to its last that was answered",
    "s",
);
/// Honest messages delivered.
pub const HONEST: Measure = higher("attack.honest", "honest messages delivered", "%");
/// How long half of them took.
pub const DELAY_P50: Measure = lower("attack.delay-p50", "honest mail: half within", "s");
/// How long 99 of 100 took.
pub const DELAY_P99: Measure = lower("attack.delay-p99", "honest mail: 99 of 100 within", "s");

/// The rival that the guard is held against besides: the best in each round, whoever that was.
pub const BEST: &str = "best rival";

/// How large the attack is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Rounds that count.
    pub rounds: usize,
    /// Bots, each with its own address.
    pub bots: usize,
    /// Connections of each at once.
    pub connections: usize,
    /// Connections of all at once, as far as the server and this machine go.
    pub at_once: usize,
    /// How long it goes on.
    pub lasts: Duration,
    /// Honest messages in a second.
    pub honest: f64,
}

impl Size {
    /// Of 100 bots, how many are on the blacklist.
    pub const LISTED_PERCENT: usize = 40;

    fn is_listed(bot: usize) -> bool {
        // Spread over all, and the same ones in each run.
        bot * 37 % 100 < Self::LISTED_PERCENT
    }
}

/// A bot's address: 127.20.0.1 and on.
fn bot_address(bot: usize) -> Ipv4Addr {
    let number = u16::try_from(bot % 60_000).unwrap_or_default() + 1;
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(127, 20, high, low)
}

/// Plays the attack against each in turns. Every time from the beginning: no defence remembers the
/// round before.
///
/// # Errors
/// If one fails that had started.
pub fn measure(
    rivals: &[Rival],
    size: Size,
    figures: &mut Figures,
    left_out: &mut Vec<String>,
) -> Result<()> {
    let mut left = Vec::new();
    for round in 1..=size.rounds {
        for rival in rivals {
            if left.contains(rival) {
                continue;
            }
            let stage = match Stage::set(*rival, size) {
                Ok(stage) => stage,
                // What is ours, and the server itself, must be there.
                Err(error) if [Rival::Bare, Rival::Portcullis].contains(rival) => {
                    return Err(error.context(rival.name()));
                }
                Err(error) => {
                    left_out.push(format!("{rival}: {error:#}"));
                    left.push(*rival);
                    continue;
                }
            };
            eprintln!("bench: attack: round {round} of {}: {rival}", size.rounds);
            play(*rival, &stage, size, figures).with_context(|| rival.to_string())?;
        }
        best_rival(figures);
    }
    Ok(())
}

fn play(rival: Rival, stage: &Stage, size: Size, figures: &mut Figures) -> Result<()> {
    let before = stage.usage()?;
    let (bots, honest) = run_for(
        size.lasts * 4 + Duration::from_secs(60),
        "the attack",
        async {
            let attack = bots::attack(size, stage.address, stage.banned.clone());
            let mail = honest::deliver(size, stage.address);
            tokio::try_join!(attack, mail)
        },
    )?;
    let after = stage.usage()?;

    let mut add = |measure, value| figures.add(measure, rival.name(), value);
    add(LOOKUPS, float(stage.lookups()?));
    let spent = |before: Usage, after: Usage| after.cpu - before.cpu;
    add(SERVER_CPU, spent(before.server, after.server));
    add(FRONT_CPU, spent(before.front, after.front));
    if let Some(questions) = stage.questions()? {
        add(QUESTIONS, float(questions));
    }
    let guesses = float(bots.iter().map(|bot| bot.guesses).sum());
    add(GUESSES, guesses / float(bots.len()));
    add(PER_HOUR, guesses * 3600.0 / size.lasts.as_secs_f64());
    let times: Vec<f64> = bots
        .iter()
        .map(|bot| bot.guessed_for().as_secs_f64())
        .collect();
    add(GUESSED_FOR, Summary::of(&times).context("no bots")?.median);

    let mut delays: Vec<f64> = honest.iter().flatten().map(Duration::as_secs_f64).collect();
    add(HONEST, 100.0 * float(delays.len()) / float(honest.len()));
    delays.sort_by(f64::total_cmp);
    add(DELAY_P50, percentile(&delays, 50).unwrap_or(f64::NAN));
    add(DELAY_P99, percentile(&delays, 99).unwrap_or(f64::NAN));
    Ok(())
}

/// Who spared the server most in the last round, the guard and the bare server left out.
fn best_rival(figures: &mut Figures) {
    let Some(lookups) = figures.get(LOOKUPS) else {
        return;
    };
    let rivals = lookups.contestants.iter().filter(|one| {
        ![Rival::Portcullis.name(), Rival::Bare.name(), BEST].contains(&one.contestant.as_str())
    });
    let last = rivals.filter_map(|one| one.values.last().copied());
    if let Some(best) = last.min_by(f64::total_cmp) {
        figures.add(LOOKUPS, BEST, best);
    }
}

fn float(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_of_the_bots_are_listed() {
        let listed = (0..1000).filter(|bot| Size::is_listed(*bot)).count();
        assert_eq!(listed, 400);
    }

    #[test]
    fn the_best_rival_is_neither_the_guard_nor_the_bare_server() {
        let mut figures = Figures::default();
        for (who, value) in [("postfix", 9000.0), ("haproxy", 300.0), ("fail2ban", 200.0)] {
            figures.add(LOOKUPS, who, value);
        }
        figures.add(LOOKUPS, "portcullis", 50.0);
        best_rival(&mut figures);
        assert_eq!(
            figures.get(LOOKUPS).unwrap().rounds(BEST),
            Some([200.0].as_slice())
        );
    }
}
