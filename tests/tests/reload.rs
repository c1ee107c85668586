//! A policy is changed while mail flows: a good one counts for new connections, a bad one changes
//! nothing.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use portcullis_tests::{
    Error,
    deadline::{Seen, wait_for},
    smtp::Client,
    stand::{Stand, rcpt},
};
use serde_json::json;

/// How many guesses a client gets answered before the 421 of its session.
fn guesses(client: &mut Client) -> Result<usize, Error> {
    for guess in 1..=20 {
        if client.command(&rcpt(&format!("guess{guess}")))?.code == 421 {
            return Ok(guess);
        }
    }
    Ok(20)
}

#[test]
fn a_bad_policy_is_refused_with_the_filters_words_and_the_old_one_serves_on() -> Result<()> {
    let mut stand = Stand::with_defaults()?;
    let bad = [
        (
            json!({ "rcpt": { "max_consecutive": "five" } }),
            "rcpt.max_consecutive",
        ),
        (json!({ "reset": { "mode": "never" } }), "reset.mode"),
        (json!({ "rcpts": {} }), "rcpts"),
        (
            json!({ "exempt": { "networks": ["203.0.113.0/99"] } }),
            "exempt.networks[0]",
        ),
    ];
    for (policy, named) in bad {
        match stand.envoy.reload(policy) {
            Err(Error::Refused { reason }) => ensure!(reason.contains(named), "{reason}"),
            other => bail!("{named}: {other:?}"),
        }
        assert_eq!(guesses(&mut stand.client_in_transaction()?)?, 5);
    }
    Ok(())
}

#[test]
fn a_good_policy_counts_for_new_connections_and_live_ones_keep_theirs() -> Result<()> {
    let mut stand = Stand::with_defaults()?;
    let mut live = stand.client_in_transaction()?;
    stand
        .envoy
        .reload(json!({ "rcpt": { "max_consecutive": 2 } }))?;
    // Envoy has taken it over, but tells its workers one after the other.
    wait_for("the new policy", Duration::from_secs(10), || {
        let guesses = guesses(&mut stand.client_in_transaction()?)?;
        Ok(if guesses == 2 {
            Seen::Done(())
        } else {
            Seen::NotYet(format!("{guesses} guesses"))
        })
    })?;
    assert_eq!(guesses(&mut live)?, 5);
    assert_eq!(stand.envoy.traps()?, Vec::<String>::new());
    Ok(())
}

#[test]
fn a_bad_policy_at_the_start_is_refused_with_the_filters_words() -> Result<()> {
    use portcullis_tests::{postfix::Service, stand::Stand};
    let policy = json!({ "rcpt": { "max_total": -1 } });
    match Stand::with_policy(Service::Unknown550, policy) {
        Err(Error::Refused { reason }) => ensure!(reason.contains("rcpt.max_total"), "{reason}"),
        other => bail!("{other:?}"),
    }
    Ok(())
}
