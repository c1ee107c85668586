//! One client with twenty sessions at once: what they cost the server together.

use std::{net::IpAddr, thread};

use anyhow::{Result, ensure};
use portcullis_tests::{
    envoy::ToServer,
    ledger::{Habit, LISTED, knock, newcomer, unknown_lookups},
    postfix::Service,
    stand::Stand,
};
use serde_json::json;

const SESSIONS: usize = 20;
/// Names that a client may try on each worker before it is listed.
const ALLOWED: usize = 5;

/// Postfix that is told who the client is. Attacks are not looked for: they lower the limits that
/// are measured here.
fn stand(workers: usize) -> Result<Stand> {
    let policy = json!({ "attack": { "detect": "off" } });
    let told = |config: portcullis_tests::envoy::EnvoyConfig| {
        config.to_server(ToServer::ProxyV2).workers(workers)
    };
    Ok(Stand::with(Service::BehindProxy, policy, told)?)
}

/// All sessions of the client at once; what Postfix had to look up.
fn burst(stand: &Stand, client: IpAddr, habit: impl Fn(usize) -> Habit) -> Result<usize> {
    let to = stand.envoy.address();
    thread::scope(|scope| {
        for session in 0..SESSIONS {
            let habit = habit(session);
            let name = format!("guess{client}.{session}");
            scope.spawn(move || habit.guess(client, to, &name));
        }
    });
    let (_, reply) = knock(client, to)?;
    ensure!(reply.starts_with(LISTED), "{client} is let in: {reply:?}");
    Ok(unknown_lookups(&stand.postfix, client)?)
}

fn bursts(workers: usize, runs: usize) -> Result<()> {
    let stand = stand(workers)?;
    let [first, ..] = Habit::ALL;
    let mut seen = Vec::new();
    for run in 0..runs {
        // Sessions of one kind, and in every fifth run some of each.
        let habit = |session: usize| {
            let one = Habit::ALL.get(run % 5).copied();
            let some = Habit::ALL.get(session % Habit::ALL.len()).copied();
            one.or(some).unwrap_or(first)
        };
        seen.push(burst(&stand, newcomer(), habit)?);
    }
    println!("{workers} workers, look-ups in each run: {seen:?}");
    let most = ALLOWED * workers;
    ensure!(
        seen.iter().all(|lookups| (1..=most).contains(lookups)),
        "more than {most} (or none) in {seen:?}"
    );
    assert_eq!(stand.envoy.traps()?, Vec::<String>::new());
    Ok(())
}

#[test]
fn twenty_sessions_at_once_cost_five_names_a_worker() -> Result<()> {
    bursts(2, 50)
}

#[test]
fn on_one_worker_they_cost_five() -> Result<()> {
    bursts(1, 10)
}
