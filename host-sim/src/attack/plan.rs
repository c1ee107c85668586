//! How an attack goes: the botnet, the honest senders, the server.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Serialize;

use super::serial;

/// An attack to be played. [`Plan::default`] is a botnet as met in the field: each
/// bot guesses names in groups of five over twenty sessions at once, with RSET
/// between the groups, and comes again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// What chooses names, times and orders.
    pub seed: u64,
    /// Bots, each with an address of its own.
    pub bots: u32,
    /// Sessions of one bot at once.
    pub siblings: u32,
    /// Sessions of one bot in all: it comes again until they are used up.
    pub sessions: u32,
    /// Names a session tries before it leaves.
    pub names: u32,
    /// Names tried in one transaction.
    pub group: u32,
    /// Distinct names that all bots draw from.
    pub dictionary: u32,
    /// Of a hundred guesses, how many name a mailbox that exists.
    pub hits: u8,
    /// How commands are sent.
    pub sending: Sending,
    /// How a bot begins the next transaction.
    pub reset: Reset,
    /// How long a bot takes from a reply to its next words.
    #[serde(serialize_with = "serial::range")]
    pub pace: RangeInclusive<Duration>,
    /// How long a bot waits between two sessions.
    #[serde(serialize_with = "serial::range")]
    pub rest: RangeInclusive<Duration>,
    /// Over how long the bots' first sessions are spread.
    #[serde(serialize_with = "serial::seconds")]
    pub ramp: Duration,
    /// Of a hundred bots, how many DNS blacklists know.
    pub blacklisted: u8,
    /// The domains of those lists; with none named, every list knows them.
    pub blacklists: Vec<String>,
    /// Honest messages mixed in.
    pub honest: u32,
    /// Of a hundred recipients of a smarthost, how many the server does not know.
    pub smarthost_unknown: u8,
    /// How long an honest sender takes from a reply to its next words.
    #[serde(serialize_with = "serial::range")]
    pub honest_pace: RangeInclusive<Duration>,
    /// Mailboxes that exist.
    pub mailboxes: u32,
    /// The server's reply to a name it does not know.
    pub unknown_reply: String,
    /// How long the server takes for each reply.
    #[serde(serialize_with = "serial::range")]
    pub server_delay: RangeInclusive<Duration>,
    /// Hosts side by side, each with a filter and a memory of its own. A client
    /// always comes to the same one, as behind a load balancer by address.
    pub hosts: u32,
    /// Workers of each host.
    pub workers: u32,
}

/// How a bot sends its commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Sending {
    /// One after the other, each after the reply to the one before.
    Stepwise,
    /// A transaction at once (RFC 2920).
    Pipelined,
}

/// How a bot begins the next transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Reset {
    /// `RSET`, then `MAIL`.
    Rset,
    /// `EHLO`, then `MAIL`.
    Ehlo,
    /// `MAIL` and nothing before it.
    Mail,
    /// Any of the three, drawn each time.
    Mixed,
    /// Not at all: one transaction holds all names.
    None,
}

/// Attacks to begin with; every setting of one can be changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    /// The botnet of the field: groups of five, RSET, twenty sessions at once.
    #[default]
    Story,
    /// The same with whole transactions pipelined.
    Pipelined,
    /// One session at a time and a guess every half minute.
    Slow,
    /// Thousands of bots that guess twice each.
    Crowd,
    /// Many bots that all try the same few names.
    Dictionary,
}

const fn millis(from: u64, to: u64) -> RangeInclusive<Duration> {
    Duration::from_millis(from)..=Duration::from_millis(to)
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            seed: 1,
            bots: 200,
            siblings: 20,
            sessions: 100,
            names: 25,
            group: 5,
            dictionary: 10_000,
            hits: 0,
            sending: Sending::Stepwise,
            reset: Reset::Rset,
            pace: millis(50, 400),
            rest: millis(10_000, 60_000),
            ramp: Duration::from_secs(30),
            blacklisted: 30,
            blacklists: Vec::new(),
            honest: 400,
            smarthost_unknown: 10,
            honest_pace: millis(20, 120),
            mailboxes: 50,
            unknown_reply: "451 No such user".to_owned(),
            server_delay: millis(1, 5),
            hosts: 1,
            workers: 2,
        }
    }
}

impl Plan {
    /// The attack of this kind.
    #[must_use]
    pub fn of(variant: Variant) -> Self {
        let story = Self::default();
        match variant {
            Variant::Story => story,
            Variant::Pipelined => Self {
                sending: Sending::Pipelined,
                ..story
            },
            Variant::Slow => Self {
                siblings: 1,
                sessions: 20,
                names: 4,
                pace: millis(20_000, 40_000),
                rest: millis(600_000, 1_800_000),
                ramp: Duration::from_secs(1800),
                ..story
            },
            Variant::Crowd => Self {
                bots: 5000,
                siblings: 1,
                sessions: 2,
                names: 1,
                ramp: Duration::from_secs(600),
                ..story
            },
            Variant::Dictionary => Self {
                bots: 1000,
                siblings: 2,
                sessions: 10,
                names: 4,
                dictionary: 40,
                ..story
            },
        }
    }

    /// How many attack sessions there are.
    #[must_use]
    pub fn attack_sessions(&self) -> u64 {
        u64::from(self.bots) * u64::from(self.sessions)
    }

    /// The time that the attack lasts at least, even if every session is refused at
    /// once: honest mail comes within it.
    pub(super) fn shortest(&self) -> Duration {
        let comings = self.sessions.div_ceil(self.siblings.max(1));
        let rest = (*self.rest.start() + *self.rest.end()) / 2;
        self.ramp + rest * comings.saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attack_lasts_as_long_as_its_bots_rest() {
        let plan = Plan {
            siblings: 20,
            sessions: 41,
            rest: millis(2000, 4000),
            ramp: Duration::from_secs(10),
            ..Plan::default()
        };
        assert_eq!(plan.shortest(), Duration::from_secs(10 + 2 * 3));
        assert_eq!(plan.attack_sessions(), 200 * 41);
    }
}
