//! Each session leaves one record, which says what was done and by which numbers.

use std::{collections::BTreeMap, net::Ipv4Addr};

use anyhow::{Context, Result, ensure};
use portcullis_tests::{
    postfix::Service,
    smtp::Client,
    stand::{Stand, rcpt, rcpts},
};
use serde_json::{Value, json};

/// The records by what was tried, and that there are no more than sessions.
fn records(stand: &Stand, sessions: usize) -> Result<Vec<Value>> {
    let lines = stand.envoy.wait_for_sessions(sessions)?;
    let mut of_connection = BTreeMap::new();
    for line in &lines {
        let connection = line.get("connection").and_then(Value::as_u64);
        let connection = connection.context("no connection")?;
        *of_connection.entry(connection).or_insert(0) += 1;
    }
    ensure!(
        of_connection.values().all(|count| *count == 1),
        "{lines:#?}"
    );
    assert_eq!(lines.len(), sessions);
    Ok(lines
        .into_iter()
        .map(|line| line.get("portcullis").cloned().unwrap_or_default())
        .collect())
}

const BOT: Ipv4Addr = Ipv4Addr::new(127, 66, 0, 7);

/// A client of that address in a transaction.
fn from_bot(stand: &Stand) -> Result<Client> {
    let mut bot = Client::connect_from(BOT.into(), stand.envoy.address())?;
    bot.reply()?;
    bot.command("EHLO client.example.org")?;
    bot.command("MAIL FROM:<sender@example.org>")?;
    Ok(bot)
}

fn one(records: &[Value], is: impl Fn(&Value) -> bool) -> Result<&Value> {
    let found: Vec<&Value> = records.iter().filter(|record| is(record)).collect();
    ensure!(found.len() == 1, "{} of {records:#?}", found.len());
    found.first().copied().context("none")
}

#[test]
fn every_session_has_one_with_its_numbers() -> Result<()> {
    let stand = Stand::with_policy(Service::Unknown550, json!({ "version": "r1" }))?;
    let mut honest = stand.client_in_transaction()?;
    honest.command(&rcpt("alice"))?;
    honest.command("QUIT")?;
    drop(honest);
    let mut silent = stand.client()?;
    silent.finish_sending()?;
    silent.read_until_closed()?;
    let mut bot = from_bot(&stand)?;
    let burst = rcpts("guess", 10);
    bot.send(&burst)?;
    ensure!(bot.read_until_closed()?.contains("421 4.7.0 "));
    let mut refused = Client::connect_from(BOT.into(), stand.envoy.address())?;
    ensure!(refused.read_until_closed()?.starts_with("421 4.7.1 "));

    let records = records(&stand, 4)?;
    let honest = one(&records, |record| record["ended"] == "quit")?;
    assert_eq!(
        (&honest["verdict"], &honest["accepted"]),
        (&json!("admit"), &json!(1))
    );
    assert_eq!(
        (&honest["evidence"], &honest["observed"]),
        (&Value::Null, &json!([]))
    );
    one(&records, |record| record["ended"] == "client")?;
    let closed = one(&records, |record| record["verdict"] == "close")?;
    assert_eq!(closed["rule"], "rcpt.max_consecutive");
    assert_eq!(closed["evidence"]["consecutive"], 5);
    assert_eq!(
        (&closed["ended"], &closed["policy"]),
        (&json!("guard"), &json!("r1"))
    );
    assert_eq!(closed["prefix"], format!("{BOT}/32"));
    assert_eq!(closed["listed"]["reason"], "ledger.streak", "{closed:#}");
    let said = "EHLO client.example.org\r\nMAIL FROM:<sender@example.org>\r\n";
    assert_eq!(closed["octets_from_client"], said.len() + burst.len());
    ensure!(
        closed["octets_from_server"].as_u64() > Some(200),
        "{closed:#}"
    );
    ensure!(closed["duration_ms"].as_u64() > Some(0), "{closed:#}");
    let refused = one(&records, |record| record["verdict"] == "refuse")?;
    assert_eq!(refused["rule"], "ledger.listing");
    assert_eq!(refused["listed"], closed["listed"], "the same listing");
    Ok(())
}

#[test]
fn sessions_that_met_no_rule_may_go_without_and_a_rule_may_only_be_observed() -> Result<()> {
    let policy = json!({
        "record": { "sessions": "acted-on" },
        "observe": { "rules": ["rcpt.max_consecutive", "ledger"] },
        "rcpt": { "max_total": 7 },
    });
    let stand = Stand::with_policy(Service::Unknown550, policy)?;
    let mut honest = stand.client_in_transaction()?;
    honest.command("QUIT")?;
    drop(honest);
    for _ in 0..2 {
        let mut bot = from_bot(&stand)?;
        for guess in 1..7 {
            assert_eq!(bot.command(&rcpt(&format!("guess{guess}")))?.code, 550);
        }
        assert_eq!(bot.command(&rcpt("guess7"))?.code, 421);
        bot.read_until_closed()?;
    }
    let records = records(&stand, 3)?;
    one(&records, Value::is_null)?;
    for record in records.iter().filter(|record| !record.is_null()) {
        assert_eq!(record["rule"], "rcpt.max_total", "{record:#}");
    }
    // It was listed by its fifth guess; the next session would not have been let in.
    for order in [
        json!(["rcpt.max_consecutive", "ledger.listing"]),
        json!(["ledger.listing", "ledger.streak", "rcpt.max_consecutive"]),
    ] {
        one(&records, |record| record["observed"] == order)?;
    }
    let count = |name: &str| stand.envoy.admin().count(name);
    assert_eq!(count("observed;rule=ledger.listing")?, 2);
    assert_eq!(count("refused;rule=ledger.listing")?, 0);
    assert_eq!(count("closed;rule=rcpt.max_total")?, 2);
    assert_eq!(stand.envoy.traps()?, Vec::<String>::new());
    Ok(())
}
