//! A policy is replaced while greetings are held: nobody is lost, harmed or let in for it.
#![allow(clippy::unwrap_used, reason = "tests say what they expect by failing")]

use std::{net::IpAddr, time::Duration};

use anyhow::{Result, ensure};
use portcullis_tests::{
    dnsbl::{FakeDoh, Gate, Question, Response, Told, asking, by_last_octet, take_leave},
    host_sim::Mta,
    smtp::Client,
};
use serde_json::json;

const LIST: &str = "bl.example.test";

/// A list that takes its time for clients, but not for its test points.
fn slow(question: &Question) -> Response {
    let answer = Response::from(by_last_octet(question));
    match question.is_test_point() {
        true => answer,
        false => answer.after(Duration::from_millis(1500)),
    }
}

/// A hundred clients that now wait for their greeting, every other one of them listed.
fn knock(gate: &Gate) -> Result<Vec<(bool, Client)>> {
    let clients = (0..100u8).map(|number| {
        let listed = number % 2 == 0;
        let host = if listed {
            2 + number / 4
        } else {
            130 + number / 4
        };
        let client: IpAddr = format!("198.51.{}.{host}", 20 + number % 4).parse()?;
        Ok((listed, gate.knock(client)?))
    });
    clients.collect()
}

/// Each is told what it deserves.
fn told(clients: Vec<(bool, Client)>) -> Result<()> {
    for (number, (listed, client)) in clients.into_iter().enumerate() {
        let told = take_leave(client)?;
        let refused = matches!(told, Told::Refusal(_));
        ensure!(refused == listed, "client {number}: {told:?}");
    }
    Ok(())
}

#[test]
fn clients_held_under_the_old_policy_and_the_new_are_all_told_rightly() -> Result<()> {
    let mta = Mta::answering("550 5.1.1 No such user").start()?;
    let resolver = FakeDoh::answering(slow)?;
    let patient = json!({ "budget_ms": 9000, "timeout_ms": 10000 });
    let policy = asking(&[LIST], &patient);
    let mut gate = Gate::asking_before(mta.address(), policy, resolver.address(), &[LIST])?;

    let before = knock(&gate)?;
    // Other sites, so that nothing the old workers know or claim is of use to the new.
    gate.envoy
        .reload(asking(&["other.example.test", LIST], &patient))?;
    let after = knock(&gate)?;
    told(before)?;
    told(after)?;
    // And the same sites: what is known is of use at once.
    gate.envoy.reload(asking(
        &["other.example.test", LIST],
        &json!({ "budget_ms": 8000 }),
    ))?;
    told(knock(&gate)?)?;
    ensure!(gate.envoy.traps()? == Vec::<String>::new());
    Ok(())
}
