//! Listed clients kept busy without the server, and the commands of those that guess made to wait.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use portcullis_tests::{
    deadline::{PATIENCE, Seen, wait_for},
    envoy::{Envoy, EnvoyConfig, Guard},
    ledger::{LISTED, PatientServer, count, get_listed, knock, newcomer, session},
    smtp::Client,
    stand::{rcpt, rcpts},
};
use serde_json::{Value, json};

/// What each point of a score costs.
const DELAY: Duration = Duration::from_millis(100);
/// The busy greeting of the guard.
const BUSY: &str = "220 ESMTP";

/// One worker, since what is counted here each counts for itself.
fn guard(tarpit: Value) -> Result<(Envoy, PatientServer)> {
    let server = PatientServer::start()?;
    let policy = Guard::with_policy(json!({ "tarpit": tarpit, "attack": { "detect": "off" } }))?;
    let config = EnvoyConfig::before(server.address(), policy);
    Ok((config.workers(1).start()?, server))
}

/// Waits until a listed client that knocks is kept busy.
fn kept_busy(from: IpAddr, to: SocketAddr) -> Result<Client> {
    Ok(wait_for("room in the tarpit", PATIENCE, || {
        let (client, told) = knock(from, to)?;
        Ok(if told.starts_with(BUSY) {
            Seen::Done(client)
        } else {
            Seen::NotYet(format!("{told:?}"))
        })
    })?)
}

#[test]
fn listed_clients_have_a_slow_dialogue_that_accepts_nothing() -> Result<()> {
    let (envoy, server) = guard(json!({ "sessions": 2, "reply_ms": 60 }))?;
    let (from, to) = (newcomer(), envoy.address());
    get_listed(from, to)?;
    let before = server.tally();
    let mut client = kept_busy(from, to)?;
    let dialogue = [
        ("EHLO bot.example.org", 250),
        ("MAIL FROM:<offer@example.org>", 250),
        ("RCPT TO:<alice@example.test>", 450),
        ("RCPT TO:<nobody@example.test>", 450),
        ("VRFY alice", 252),
        ("STARTTLS", 502),
        ("AUTH PLAIN AHVzZXIAc2VjcmV0", 502),
        ("DATA", 503),
        ("NONSENSE", 500),
        ("RSET", 250),
        ("QUIT", 221),
    ];
    let begun = Instant::now();
    for (command, code) in dialogue {
        let told = client.command(command)?;
        ensure!(told.code == code, "{command}: {told:?}");
    }
    // Ticks come every 20 ms: an answer is early by no more than one.
    let least = Duration::from_millis(40) * dialogue.len() as u32;
    ensure!(begun.elapsed() > least, "{:?}", begun.elapsed());
    assert_eq!(client.read_to_end()?, "");
    assert_eq!(server.tally(), before, "the server was asked");
    assert_eq!(envoy.traps()?, Vec::<String>::new());
    Ok(())
}

#[test]
fn those_beyond_the_number_are_refused_and_places_come_free() -> Result<()> {
    let (envoy, server) = guard(json!({ "sessions": 3, "reply_ms": 20 }))?;
    let (from, to) = (newcomer(), envoy.address());
    get_listed(from, to)?;
    let before = server.tally();
    let mut busy = Vec::new();
    for _ in 0..3 {
        busy.push(kept_busy(from, to)?);
    }
    for _ in 0..5 {
        let (mut client, told) = knock(from, to)?;
        ensure!(told.starts_with(LISTED), "{told:?}");
        assert_eq!(client.read_to_end()?, "");
    }
    // One leaves without a word, one by QUIT, one in the middle of a command.
    for (client, said) in busy.iter_mut().zip(["", "QUIT\r\n", "EHLO half"]) {
        client.send(said)?;
    }
    drop(busy);
    let again = [
        kept_busy(from, to)?,
        kept_busy(from, to)?,
        kept_busy(from, to)?,
    ];
    ensure!(knock(from, to)?.1.starts_with(LISTED));
    drop(again);
    assert_eq!(server.tally(), before, "the server was asked");
    assert_eq!(envoy.traps()?, Vec::<String>::new());
    Ok(())
}

#[test]
fn nobody_is_kept_for_longer_than_said() -> Result<()> {
    let (envoy, _server) = guard(json!({ "sessions": 2, "reply_ms": 20, "max_s": 1 }))?;
    let (from, to) = (newcomer(), envoy.address());
    get_listed(from, to)?;
    let begun = Instant::now();
    let (mut silent, mut talking) = (kept_busy(from, to)?, kept_busy(from, to)?);
    ensure!(talking.command("EHLO bot.example.org")?.code == 250);
    let last = talking.reply()?;
    ensure!(last.starts_with(LISTED), "{last:?}");
    assert_eq!(talking.read_to_end()?, "");
    assert_eq!(silent.read_until_closed()?, "");
    let lasted = begun.elapsed();
    ensure!(lasted > Duration::from_millis(900), "{lasted:?}");
    ensure!(lasted < Duration::from_secs(10), "{lasted:?}");
    Ok(())
}

/// Whoever sends more than can wait is not read from: the guard keeps nothing of it.
#[test]
fn a_flood_of_commands_is_answered_one_by_one() -> Result<()> {
    let (envoy, server) = guard(json!({ "sessions": 2, "reply_ms": 20, "max_s": 3 }))?;
    let (from, to) = (newcomer(), envoy.address());
    get_listed(from, to)?;
    let before = server.tally();
    let mut client = kept_busy(from, to)?;
    client.send(rcpts("guess", 60))?;
    assert_eq!(client.codes(60)?, [450; 60]);
    client.send(rcpts("guess", 1000))?;
    let read = client.read_until_closed()?;
    let lines: Vec<&str> = read.lines().collect();
    ensure!(lines.len() < 400, "{} answers", lines.len());
    ensure!(
        lines.last().is_some_and(|last| last.starts_with(LISTED)),
        "{lines:?}"
    );
    assert_eq!(server.tally(), before, "the server was asked");
    assert_eq!(envoy.traps()?, Vec::<String>::new());
    Ok(())
}

fn delayed() -> Result<(Envoy, PatientServer)> {
    guard(json!({ "delay_ms": DELAY.as_millis() as u64, "max_delay_ms": 400 }))
}

/// A client with this score, in a session of its own.
fn with_score(envoy: &Envoy, score: usize) -> Result<(IpAddr, Client)> {
    let from = newcomer();
    let mut client = session(from, envoy.address())?;
    client.send(rcpts(&format!("guess{from}."), score))?;
    client.codes(score)?;
    Ok((from, client))
}

fn timed<T>(what: impl FnOnce() -> Result<T>) -> Result<(T, Duration)> {
    let begun = Instant::now();
    Ok((what()?, begun.elapsed()))
}

#[test]
fn commands_wait_for_each_point_of_the_score_but_messages_do_not() -> Result<()> {
    let (envoy, _server) = delayed()?;
    let (_, mut client) = with_score(&envoy, 2)?;
    let (_, took) = timed(|| Ok(client.command(&rcpt("alice"))?))?;
    ensure!(took >= DELAY + DELAY / 2 && took < DELAY * 10, "{took:?}");
    ensure!(client.command("DATA")?.code == 354);
    let (taken, took) = timed(|| {
        for line in 0..20 {
            client.send(format!("Line {line}\r\n"))?;
        }
        Ok(client.command(".")?)
    })?;
    ensure!(taken.code == 250, "{taken:?}");
    ensure!(took < DELAY, "a message waited {took:?}");
    Ok(())
}

#[test]
fn an_honest_client_does_not_wait_and_loses_no_octet() -> Result<()> {
    let (envoy, _server) = delayed()?;
    let honest = |client: &mut Client| -> Result<String> {
        let said = format!(
            "EHLO client.example.org\r\nMAIL FROM:<a@example.org>\r\n{}DATA\r\n",
            rcpts("user", 3)
        );
        client.send(said)?;
        client.send("Subject: hello\r\n\r\nHello.\r\n.\r\nQUIT\r\n")?;
        Ok(client.read_to_end()?)
    };
    let mut direct = Client::greeted(_server.address())?;
    let expected = honest(&mut direct)?;
    let (read, took) = timed(|| honest(&mut knock(newcomer(), envoy.address())?.0))?;
    assert_eq!(read, expected);
    ensure!(took < DELAY, "{took:?}");
    assert_eq!(count(&envoy, "delayed")?, 0);
    Ok(())
}

#[test]
fn what_is_sent_ahead_while_it_waits_is_answered_in_order() -> Result<()> {
    let (envoy, server) = delayed()?;
    let (_, mut client) = with_score(&envoy, 1)?;
    client.send("RSET\r\nMAIL FROM:<a@exa")?;
    client.send("mple.org\r\n")?;
    client.send(format!("{}NOOP\r\n", rcpts("user", 40)))?;
    client.send("DATA\r\nSubject: hello\r\n\r\nHello.\r\n.\r\nQUIT\r\n")?;
    let expected = [vec![250; 43], vec![354, 250, 221]].concat();
    assert_eq!(client.codes(46)?, expected);
    assert_eq!(client.read_to_end()?, "");
    assert_eq!(server.tally().lookups, 41);
    Ok(())
}

#[test]
fn a_client_that_ends_its_side_while_it_waits_is_answered() -> Result<()> {
    let (envoy, _server) = delayed()?;
    let (_, mut client) = with_score(&envoy, 1)?;
    client.send(format!("{}QUIT\r\n", rcpt("alice") + "\r\n"))?;
    client.finish_sending()?;
    assert_eq!(client.codes(2)?, [250, 221]);
    assert_eq!(client.read_to_end()?, "");
    Ok(())
}

#[test]
fn clients_that_go_away_while_they_wait_do_no_harm() -> Result<()> {
    let (envoy, server) = delayed()?;
    let (from, first) = with_score(&envoy, 2)?;
    let mut clients = vec![first];
    for _ in 0..10 {
        clients.push(Client::connect_from(from, envoy.address())?);
    }
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(rcpts("alice", 1 + number))?;
    }
    drop(clients);
    let gone = || -> Result<(), portcullis_tests::Error> {
        wait_for("the end of all sessions", PATIENCE, || {
            let stat = "cluster.mta.upstream_cx_active";
            let open = envoy.admin().stat(stat)?;
            Ok(if open == 0 {
                Seen::Done(())
            } else {
                Seen::NotYet(format!("{open} open"))
            })
        })
    };
    gone()?;
    ensure!(server.tally().lookups >= 2);
    // Its timers have all run out by the time that this answer has waited as long.
    let (_, mut other) = with_score(&envoy, 3)?;
    ensure!(other.command(&rcpt("alice"))?.code == 250);
    assert_eq!(envoy.traps()?, Vec::<String>::new());
    Ok(())
}
