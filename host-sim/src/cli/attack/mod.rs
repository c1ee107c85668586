//! `host-sim attack`.

mod print;

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use clap::Args;

use super::output::{Format, print_json, show, write_report};
use super::progress::watched;
use super::record::Record;
use super::{FilterArgs, HARM};
use crate::attack::{Attack as Game, Guard, MOST_BOTS, Plan, Reset, Sending, Variant};
use crate::report::attack_page;

/// Play a dictionary attack, without and with a filter before the server.
#[derive(Debug, Args)]
pub(super) struct Attack {
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    clusters: Clusters,
    #[command(flatten)]
    record: Record,
    #[command(flatten)]
    format: Format,
    /// Count as listings the filter's metrics whose names contain this.
    #[arg(long, value_name = "TEXT")]
    listings: Option<String>,
    /// Write a report with charts: one HTML file that needs nothing else.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Exit with 3 when honest mail was lost behind the filter, or the filter trapped.
    #[arg(long)]
    fail_on_harm: bool,
    // Last, since its heading holds for all that follow.
    #[command(flatten)]
    plan: PlanArgs,
}

/// The clusters that the filter finds.
#[derive(Debug, Args)]
struct Clusters {
    /// A cluster that leads a connection routed to it back to itself, its PROXY
    /// line first; may be given more than once.
    #[arg(long, value_name = "NAME")]
    echo_cluster: Vec<String>,
    /// A cluster that answers DNS-over-HTTPS for blacklists; may be given more than once.
    #[arg(long, value_name = "NAME", default_value = "dnsbl")]
    dns_cluster: Vec<String>,
}

/// Settings of the attack; what is not given is as in the variant.
#[derive(Debug, Args)]
#[command(next_help_heading = "Attack")]
struct PlanArgs {
    /// The attack to begin with.
    #[arg(long, value_enum, default_value_t)]
    variant: Variant,
    /// What chooses names, times and orders: the same seed gives the same trace.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Bots, each with an address of its own.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=i64::from(MOST_BOTS)))]
    bots: Option<u32>,
    /// Sessions of one bot at once.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    siblings: Option<u32>,
    /// Sessions of one bot in all: it comes again until they are used up.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    sessions: Option<u32>,
    /// Names a session tries before it leaves.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    names: Option<u32>,
    /// Names tried in one transaction.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    group: Option<u32>,
    /// Distinct names that all bots draw from.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    dictionary: Option<u32>,
    /// Of a hundred guesses, how many name a mailbox that exists.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    hits: Option<u8>,
    /// How commands are sent.
    #[arg(long, value_enum)]
    sending: Option<Sending>,
    /// How a bot begins the next transaction.
    #[arg(long, value_enum)]
    reset: Option<Reset>,
    /// How long a bot takes from a reply to its next words, such as 50ms..400ms.
    #[arg(long, value_name = "TIME..TIME", value_parser = times)]
    pace: Option<RangeInclusive<Duration>>,
    /// How long a bot waits between two sessions.
    #[arg(long, value_name = "TIME..TIME", value_parser = times)]
    rest: Option<RangeInclusive<Duration>>,
    /// Over how long the bots' first sessions are spread.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    ramp: Option<Duration>,
    /// Of a hundred bots, how many DNS blacklists know.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    blacklisted: Option<u8>,
    /// The domain of a list that knows them, by default every list; may be given
    /// more than once.
    #[arg(long, value_name = "DOMAIN")]
    blacklist: Vec<String>,
    /// Honest messages mixed in.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=10_000_000))]
    honest: Option<u32>,
    /// Of a hundred recipients of a smarthost, how many the server does not know.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    smarthost_unknown: Option<u8>,
    /// The server's reply to a name it does not know.
    #[arg(long, value_name = "LINE")]
    unknown_reply: Option<String>,
    /// How long the server takes for each reply.
    #[arg(long, value_name = "TIME..TIME", value_parser = times)]
    server_delay: Option<RangeInclusive<Duration>>,
    /// Hosts side by side, each with a filter and a memory of its own; a client
    /// always comes to the same one. Each runs in a thread.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    hosts: Option<u32>,
    /// Workers of each host.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    workers: Option<u32>,
}

/// `FROM..TO`, or one time.
fn times(text: &str) -> Result<RangeInclusive<Duration>, String> {
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    let time = |text: &str| {
        humantime::parse_duration(text.trim_start_matches('=').trim())
            .map_err(|error| format!("{error}; write it as 50ms..400ms"))
    };
    let (from, to) = (time(from)?, time(to)?);
    if from > to {
        return Err(format!("{text} ends before it begins"));
    }
    Ok(from..=to)
}

impl PlanArgs {
    fn plan(self) -> Plan {
        let base = Plan::of(self.variant);
        Plan {
            seed: self.seed,
            bots: self.bots.unwrap_or(base.bots),
            siblings: self.siblings.unwrap_or(base.siblings),
            sessions: self.sessions.unwrap_or(base.sessions),
            names: self.names.unwrap_or(base.names),
            group: self.group.unwrap_or(base.group),
            dictionary: self.dictionary.unwrap_or(base.dictionary),
            hits: self.hits.unwrap_or(base.hits),
            sending: self.sending.unwrap_or(base.sending),
            reset: self.reset.unwrap_or(base.reset),
            pace: self.pace.unwrap_or(base.pace),
            rest: self.rest.unwrap_or(base.rest),
            ramp: self.ramp.unwrap_or(base.ramp),
            blacklists: self.blacklist,
            blacklisted: self.blacklisted.unwrap_or(base.blacklisted),
            honest: self.honest.unwrap_or(base.honest),
            smarthost_unknown: self.smarthost_unknown.unwrap_or(base.smarthost_unknown),
            unknown_reply: self.unknown_reply.unwrap_or(base.unknown_reply),
            server_delay: self.server_delay.unwrap_or(base.server_delay),
            hosts: self.hosts.unwrap_or(base.hosts),
            workers: self.workers.unwrap_or(base.workers),
            honest_pace: base.honest_pace,
            mailboxes: base.mailboxes,
        }
    }
}

impl Attack {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let plan = self.plan.plan();
        let game = Game {
            guard: Guard {
                module: self.filter.module()?,
                policy: self.filter.policy()?.unwrap_or_else(|| b"{}".to_vec()),
                echo_clusters: self.clusters.echo_cluster,
                dns_clusters: self.clusters.dns_cluster,
            },
            fields: self.record.fields(),
            progress: AtomicU64::new(0),
            plan,
        };
        let sessions = game.plan.attack_sessions() * 2;
        let outcome = watched("attack sessions", sessions, &game.progress, || game.play())?;
        if let Some(path) = &self.html {
            write_report(path, &attack_page(&outcome, self.listings.as_deref())?)?;
        }
        if self.format.json {
            print_json(&outcome)?;
        } else {
            show(&print::text(&outcome))?;
        }
        let harm = outcome.with.lost() > 0 || outcome.with.traps > 0;
        Ok(if harm && self.fail_on_harm {
            HARM.into()
        } else {
            ExitCode::SUCCESS
        })
    }
}
