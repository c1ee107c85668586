//! The attack on virtual time, with the filter as built: what it leaves to the server, whom it
//! harms, and that a seed stands for everything that happens.
#![allow(clippy::unwrap_used, reason = "tests say what they expect by failing")]

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::{Result, ensure};
use portcullis_host_sim::FilterModule;
use portcullis_host_sim::attack::{
    Attack, Guard, Outcome, Performance, Plan, RecordFields, Reset, Sending, Variant,
};
use portcullis_tests::paths;

/// A small botnet with as many honest messages as the kinds of senders need to be there.
fn small(variant: Variant) -> Plan {
    Plan {
        bots: 20,
        siblings: 5,
        sessions: 10,
        rest: Duration::from_secs(5)..=Duration::from_secs(20),
        honest: 68,
        ..Plan::of(variant)
    }
}

fn play(plan: Plan, policy: &str) -> Result<Outcome> {
    let attack = Attack {
        plan,
        guard: Guard {
            module: FilterModule::from_file(&paths::wasm()?)?,
            policy: policy.into(),
            echo_clusters: vec!["portcullis_refusals".into()],
            dns_clusters: vec!["dnsbl".into()],
        },
        fields: RecordFields::default(),
        progress: AtomicU64::new(0),
    };
    Ok(attack.play()?)
}

/// All honest mail was delivered, and nothing trapped.
fn harmless(performance: &Performance, honest: u32) -> Result<()> {
    let failures = &performance.failures;
    ensure!(performance.lost() == 0, "{failures:?}");
    ensure!(performance.delivered() == u64::from(honest));
    ensure!(performance.traps == 0, "{} traps", performance.traps);
    Ok(())
}

#[test]
fn a_botnet_gets_little_and_honest_mail_passes() -> Result<()> {
    for plan in [
        small(Variant::Story),
        small(Variant::Pipelined),
        Plan {
            reset: Reset::Mixed,
            ..small(Variant::Story)
        },
        Plan {
            reset: Reset::None,
            sending: Sending::Pipelined,
            unknown_reply: "550 5.1.1 No such user".into(),
            ..small(Variant::Story)
        },
    ] {
        let (guesses, honest, bots) = (plan.attack_sessions() * 25, plan.honest, plan.bots);
        let Outcome { without, with, .. } = play(plan, "{}")?;
        harmless(&without, honest)?;
        harmless(&with, honest)?;
        // Honest senders' unknown recipients come on top in both.
        ensure!(without.server.rcpt_unknown >= guesses);
        let most = u64::from(bots) * 5 * 2 + u64::from(honest);
        let left = with.server.rcpt_unknown;
        ensure!(
            left <= most,
            "{left} unknown names looked up, {most} allowed"
        );
        ensure!(with.turned_away == u64::from(bots), "{}", with.turned_away);
        ensure!(with.attack_sessions == without.attack_sessions);
    }
    Ok(())
}

#[test]
fn blacklists_are_asked_once_for_each_bot_and_site() -> Result<()> {
    let plan = Plan {
        blacklisted: 100,
        ..small(Variant::Story)
    };
    let (bots, sessions, honest) = (plan.bots, plan.attack_sessions(), plan.honest);
    let policy = r#"{ "dnsbl": { "sites": ["bl.example.test"] } }"#;
    let with = play(plan, policy)?.with;
    harmless(&with, honest)?;
    let refused = with.attack_records.get("refuse dnsbl").copied();
    ensure!(refused == Some(sessions), "{:?}", with.attack_records);
    // Once for each bot and each honest visit; the site's own tests come on top.
    let clients = u64::from(bots + honest);
    let asked = with.dns_questions;
    ensure!((u64::from(bots)..=clients + 10).contains(&asked), "{asked}");
    Ok(())
}

#[test]
fn the_same_seed_gives_the_same_trace_on_several_hosts() -> Result<()> {
    let plan = |seed| Plan {
        seed,
        hosts: 3,
        ..small(Variant::Story)
    };
    let (one, again, other) = (
        play(plan(7), "{}")?,
        play(plan(7), "{}")?,
        play(plan(8), "{}")?,
    );
    ensure!(one == again, "{} {}", one.with.trace, again.with.trace);
    ensure!(one.with.trace != other.with.trace && one.without.trace != other.without.trace);
    ensure!(one.with.trace.len() == 3 * 16, "one digest for each host");
    Ok(())
}

/// The bar of a million sessions in small: `make bar-attack` plays the whole.
#[test]
fn thousands_of_sessions_are_forgotten_when_they_are_over() -> Result<()> {
    let plan = Plan {
        bots: 250,
        siblings: 20,
        sessions: 20,
        names: 5,
        hosts: 2,
        honest: 170,
        ..Plan::default()
    };
    let (sessions, honest) = (plan.attack_sessions(), plan.honest);
    let outcome = play(plan, "{}")?;
    harmless(&outcome.with, honest)?;
    for performance in [&outcome.without, &outcome.with] {
        ensure!(performance.attack_sessions == sessions);
        ensure!(performance.attack_ends.values().sum::<u64>() == sessions);
    }
    // Two hosts with two workers each: the filter's memory does not grow with sessions.
    let memory = outcome.with.wasm_memory_bytes;
    ensure!(memory < 4 * 8 * 1024 * 1024, "{memory} bytes");
    Ok(())
}

#[test]
fn slow_bots_and_crowds_come_to_their_end() -> Result<()> {
    for variant in [Variant::Slow, Variant::Crowd, Variant::Dictionary] {
        let of = Plan::of(variant);
        let plan = Plan {
            bots: of.bots.min(100),
            sessions: of.sessions.min(4),
            honest: 34,
            ..of
        };
        let (sessions, honest) = (plan.attack_sessions(), plan.honest);
        let outcome = play(plan, "{}")?;
        harmless(&outcome.with, honest)?;
        ensure!(outcome.with.attack_sessions == sessions, "{variant:?}");
        ensure!(outcome.without.attack_sessions == sessions, "{variant:?}");
    }
    Ok(())
}
