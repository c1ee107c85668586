//! A policy is changed while mail flows: a good one counts for new connections, a bad one changes
//! nothing.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use portcullis_tests::{
    Error,
    deadline::{PATIENCE, Seen, wait_for},
    postfix::Service,
    smtp::Client,
    stand::{Stand, rcpt},
};
use serde_json::{Value, json};

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

/// The record of the session that tried this many recipients.
fn record(lines: &[Value], tried: u64) -> Result<&Value> {
    let mut records = lines.iter().filter_map(|line| line.get("portcullis"));
    let record = records.find(|record| record.get("tried") == Some(&json!(tried)));
    record.with_context(|| format!("no session with {tried} recipients: {lines:#?}"))
}

#[test]
fn a_long_mail_outlives_its_policy_and_the_drain_time_cuts_what_is_left() -> Result<()> {
    let drain = Duration::from_secs(6);
    let version = |version: &str| json!({ "version": version });
    let mut stand = Stand::with(Service::Unknown550, version("old"), |config| {
        config.drain(drain)
    })?;
    let (mut long, mut idle) = (
        stand.client_in_transaction()?,
        stand.client_in_transaction()?,
    );
    long.command(&rcpt("alice"))?;
    assert_eq!(long.command("DATA")?.code, 354);
    long.send("Subject: long\r\n\r\nfirst half\r\n")?;
    stand.envoy.reload(version("new"))?;
    let reloaded = Instant::now();
    // Envoy tells its workers one after the other: two names until one is judged by the new one.
    wait_for("a session of the new policy", PATIENCE, || {
        let mut client = stand.client_in_transaction()?;
        client.command(&rcpt("alice"))?;
        client.command(&rcpt("bob"))?;
        client.command("QUIT")?;
        let lines = stand.envoy.access_log()?;
        let new = |line: &Value| line["portcullis"]["policy"] == "new";
        Ok(match lines.iter().any(new) {
            true => Seen::Done(()),
            false => Seen::NotYet(format!("{lines:#?}")),
        })
    })?;
    long.send("second half\r\n.\r\n")?;
    assert_eq!(long.reply()?.code, 250, "after {:?}", reloaded.elapsed());
    assert_eq!(long.command("QUIT")?.code, 221);

    assert_eq!(idle.read_until_closed()?, "", "the drain time is over");
    let cut_after = reloaded.elapsed();
    ensure!(cut_after > drain / 2, "cut after {cut_after:?}");
    let open = |lines: &[Value]| record(lines, 0).is_err();
    let lines = wait_for("the record of the idle session", PATIENCE, || {
        let lines = stand.envoy.access_log()?;
        Ok(match open(&lines) {
            true => Seen::NotYet(format!("{lines:#?}")),
            false => Seen::Done(lines),
        })
    })?;
    let (long, idle) = (record(&lines, 1)?, record(&lines, 0)?);
    assert_eq!(
        (&long["policy"], &long["ended"]),
        (&json!("old"), &json!("quit"))
    );
    assert_eq!(long["messages"], 1);
    assert_eq!(
        (&idle["policy"], &idle["ended"]),
        (&json!("old"), &json!("proxy"))
    );
    assert_eq!(stand.envoy.traps()?, Vec::<String>::new());
    Ok(())
}

#[test]
fn a_bad_policy_at_the_start_is_refused_with_the_filters_words() -> Result<()> {
    let policy = json!({ "rcpt": { "max_total": -1 } });
    match Stand::with_policy(Service::Unknown550, policy) {
        Err(Error::Refused { reason }) => ensure!(reason.contains("rcpt.max_total"), "{reason}"),
        other => bail!("{other:?}"),
    }
    Ok(())
}
