//! Before and after, as a table, and the bars that the guard must pass.

use std::fmt;

use comfy_table::{CellAlignment, Table, presets::UTF8_BORDERS_ONLY};

use super::stage::Outcome;

/// The most that the server may look up with the guard, in percent of without.
const MOST_LOOKUPS: f64 = 5.0;

/// Unknown names that a bot may try on each worker, over all its sessions.
const GUESSES: u64 = 5;

/// How many failures of honest senders are shown.
const FAILURES_SHOWN: usize = 5;

/// Both performances.
#[derive(Debug, Clone)]
pub struct Report {
    /// The mail server alone.
    pub without: Outcome,
    /// With the guard before it.
    pub with: Outcome,
}

/// A bar that was missed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Bar {
    /// The server still looked up too many recipients.
    #[error(
        "the server looked up {0:.1} % of the recipients it looks up without the guard; at most 5 % are meant to be left"
    )]
    Lookups(f64),
    /// Honest mail was lost.
    #[error("{lost} honest messages were not delivered {when}:\n{reasons}")]
    Honest {
        /// How many.
        lost: u32,
        /// In which performance.
        when: &'static str,
        /// Why, the first few.
        reasons: String,
    },
    /// A bot got through.
    #[error("{0} bots were not cut")]
    Bots(usize),
    /// A session heard more after its last word.
    #[error("{0} sessions heard more after their 421")]
    LastWords(usize),
    /// The server looked up more for the bots than they may try.
    #[error("the server looked up {got} unknown names; {most} are what {bots} bots may try")]
    Budget {
        /// How many.
        got: u64,
        /// Five for each bot and worker.
        most: u64,
        /// How many bots.
        bots: usize,
    },
}

impl Report {
    /// The bars missed, if any. `honest` is how many honest messages there were, `workers` how many
    /// workers the guard has.
    #[must_use]
    pub fn missed(&self, honest: u32, workers: u16) -> Vec<Bar> {
        let mut missed = Vec::new();
        // Each honest sender mistypes one name at most.
        let most = GUESSES * u64::from(workers) * self.with.bots as u64 + u64::from(honest);
        if self.with.server.rcpt_unknown > most {
            missed.push(Bar::Budget {
                got: self.with.server.rcpt_unknown,
                most,
                bots: self.with.bots,
            });
        }
        if self.lookups_left() > MOST_LOOKUPS {
            missed.push(Bar::Lookups(self.lookups_left()));
        }
        for (outcome, when) in [
            (&self.without, "without the guard"),
            (&self.with, "with the guard"),
        ] {
            // Both sides must agree: what the senders were told, and what the server has.
            let delivered = outcome
                .honest
                .min(u32::try_from(outcome.server.messages).unwrap_or(0));
            if delivered < honest {
                let reasons = outcome.failures.iter().take(FAILURES_SHOWN).cloned();
                let reasons = reasons.collect::<Vec<_>>().join("\n");
                missed.push(Bar::Honest {
                    lost: honest - delivered,
                    when,
                    reasons,
                });
            }
        }
        if self.with.bots_cut < self.with.bots {
            missed.push(Bar::Bots(self.with.bots - self.with.bots_cut));
        }
        if self.with.sessions_cut_badly > 0 {
            missed.push(Bar::LastWords(self.with.sessions_cut_badly));
        }
        missed
    }

    /// The one line for programs.
    #[must_use]
    pub fn summary(&self, honest: u32) -> String {
        format!(
            "demo: lookups {} -> {} ({:.1} %), honest {}/{honest}, cut {}/{}",
            self.without.server.rcpt,
            self.with.server.rcpt,
            self.lookups_left(),
            self.with.honest,
            self.with.bots_cut,
            self.with.bots,
        )
    }

    /// Look-ups with the guard in percent of those without.
    fn lookups_left(&self) -> f64 {
        // Counts of a demonstration are far below what a float holds exactly.
        #[allow(clippy::cast_precision_loss)]
        let percent = 100.0 * self.with.server.rcpt as f64 / self.without.server.rcpt.max(1) as f64;
        percent
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table
            .load_style(UTF8_BORDERS_ONLY)
            .set_header(["", "without guard", "with guard"]);
        let mut row = |name: &str, value: &dyn Fn(&Outcome) -> String| {
            table.add_row([name.to_owned(), value(&self.without), value(&self.with)]);
        };
        row("recipients the server looked up", &|o| {
            o.server.rcpt.to_string()
        });
        row("  of these unknown", &|o| o.server.rcpt_unknown.to_string());
        row("sessions at the server", &|o| {
            o.server.connections.to_string()
        });
        row("bytes to the server", &|o| o.server.bytes_in.to_string());
        row("bytes from the server", &|o| o.server.bytes_out.to_string());
        row("honest messages delivered", &|o| o.honest.to_string());
        row("bots cut", &|o| format!("{} of {}", o.bots_cut, o.bots));
        row("bots' sessions cut with a last word", &|o| {
            format!("{} of {}", o.sessions_cut, o.sessions)
        });
        row("bots' sessions refused at the door", &|o| {
            o.sessions_refused.to_string()
        });
        row("bots' sessions ended without a word", &|o| {
            o.sessions_cut_silently.to_string()
        });
        row("unknown names looked up for each bot", &|o| {
            #[allow(clippy::cast_precision_loss)]
            let each = o.server.rcpt_unknown as f64 / o.bots.max(1) as f64;
            format!("{each:.1}")
        });
        row("guesses a session, median", &|o| {
            at(&o.guesses, o.guesses.len() / 2)
        });
        row("guesses a session, most", &|o| {
            at(&o.guesses, o.guesses.len().saturating_sub(1))
        });
        row("seconds", &|o| format!("{:.1}", o.took.as_secs_f64()));
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        write!(out, "{table}")
    }
}

fn at(sorted: &[u32], place: usize) -> String {
    sorted
        .get(place)
        .map_or_else(|| "-".into(), ToString::to_string)
}
