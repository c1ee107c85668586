//! Who is listed and who is not: smarthosts with stale addresses, and bots that know two names.

use std::{
    net::{IpAddr, SocketAddr},
    thread,
};

use anyhow::{Result, ensure};
use portcullis_tests::{
    Error,
    envoy::{EnvoyConfig, ToServer},
    ledger::{LISTED, count, knock, newcomer, session, unknown_lookups},
    postfix::Service,
    smtp::Client,
    stand::{Stand, rcpt},
};
use serde_json::{Value, json};

/// Messages of a smarthost, and recipients of each: one more is unknown.
const MESSAGES: usize = 20;
const GOOD_EACH: usize = 10;
/// Names that a bot tries.
const GUESSES: usize = 20;

/// Postfix that is told who the client is.
fn stand(policy: Value) -> Result<Stand> {
    let told = |config: EnvoyConfig| config.to_server(ToServer::ProxyV2);
    Ok(Stand::with(Service::BehindProxy, policy, told)?)
}

fn wrong(doing: &str, told: &impl std::fmt::Debug) -> anyhow::Error {
    anyhow::anyhow!("{doing}: {told:?}")
}

/// One message to ten good recipients and an unknown one, that one at the place `number` says.
fn send(client: &mut Client, from: IpAddr, number: usize) -> Result<()> {
    let mut text = String::from("MAIL FROM:<news@example.org>\r\n");
    let mut expected = vec![250];
    for recipient in 0..=GOOD_EACH {
        if recipient == number % (GOOD_EACH + 1) {
            text += &format!("{}\r\n", rcpt(&format!("gone{from}.{number}")));
            expected.push(550);
        }
        if recipient < GOOD_EACH {
            text += &format!("{}\r\n", rcpt(&format!("user{recipient}")));
            expected.push(250);
        }
    }
    client.send(text + "DATA\r\n")?;
    expected.push(354);
    let told = client.codes(expected.len())?;
    ensure!(told == expected, wrong("recipients", &told));
    let taken = client.command("Subject: news\r\n\r\nHello.\r\n.")?;
    ensure!(taken.code == 250, wrong("message", &taken));
    Ok(())
}

/// The messages of these numbers in one session.
fn send_all(from: IpAddr, to: SocketAddr, numbers: impl Iterator<Item = usize>) -> Result<()> {
    let (mut client, greeting) = knock(from, to)?;
    ensure!(greeting.code == 220, wrong("greeting", &greeting));
    client.command("EHLO smarthost.example.org")?;
    for number in numbers {
        send(&mut client, from, number)?;
    }
    ensure!(client.command("QUIT")?.code == 221);
    Ok(())
}

/// In how many sessions at once, and how many in a row, a smarthost sends.
fn smarthost(stand: &Stand, at_once: usize, in_a_row: usize) -> Result<()> {
    let (from, to) = (newcomer(), stand.envoy.address());
    let sessions = at_once * in_a_row;
    let sent = thread::scope(|scope| {
        let threads: Vec<_> = (0..at_once)
            .map(|thread| {
                scope.spawn(move || {
                    (0..in_a_row).try_for_each(|turn| {
                        let first = thread + turn * at_once;
                        send_all(from, to, (first..MESSAGES).step_by(sessions))
                    })
                })
            })
            .collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined.collect::<Vec<_>>()
    });
    for sent in sent {
        sent.map_err(|_| wrong("sending", &"a thread panicked"))??;
    }
    let (_, greeting) = knock(from, to)?;
    ensure!(greeting.code == 220, wrong("afterwards", &greeting));
    assert_eq!(unknown_lookups(&stand.postfix, from)?, MESSAGES);
    Ok(())
}

#[test]
fn a_smarthost_with_one_stale_address_in_eleven_is_never_listed() -> Result<()> {
    let stand = stand(json!({}))?;
    let ways = [(1, 1), (1, 4), (1, MESSAGES), (4, 1), (4, 5), (10, 2)];
    for (at_once, in_a_row) in ways {
        smarthost(&stand, at_once, in_a_row)
            .map_err(|error| error.context(format!("{at_once} at once, {in_a_row} in a row")))?;
    }
    let messages = MESSAGES * ways.len();
    assert_eq!(stand.postfix.log().wait_for_messages(messages)?, messages);
    for reason in ["ledger.streak", "ledger.max_score"] {
        assert_eq!(count(&stand.envoy, &format!("listed;reason={reason}"))?, 0);
    }
    Ok(())
}

/// What a bot does besides guessing, with the two names it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cover {
    /// It sends mail to both before its first guess.
    MailFirst,
    /// It names a good recipient after each fourth guess.
    Recipients,
    /// It sends mail to one after each fourth guess.
    Mail,
    /// It says RSET, EHLO and MAIL after each guess.
    Resets,
    /// It has a new session for every two guesses.
    Sessions,
}

/// A bot's turn between two guesses.
fn cover(cover: Cover, client: &mut Client, guess: usize) -> Result<(), Error> {
    let fourth = guess > 0 && guess.is_multiple_of(4);
    match cover {
        Cover::MailFirst if guess == 0 => mail(client, &["alice", "bob"]),
        Cover::Mail if fourth => mail(client, &["alice"]),
        Cover::Recipients if fourth => client.command(&rcpt("alice")).map(drop),
        Cover::Resets => ["RSET", "EHLO bot.example.org", "MAIL FROM:<b@example.org>"]
            .iter()
            .try_for_each(|line| client.command(line).map(drop)),
        _ => Ok(()),
    }
}

fn mail(client: &mut Client, to: &[&str]) -> Result<(), Error> {
    for name in to {
        client.command(&rcpt(name))?;
    }
    client.command("DATA")?;
    client.command("Subject: offer\r\n\r\nBuy.\r\n.")?;
    client.command("MAIL FROM:<offer@example.org>").map(drop)
}

/// Guesses all its names. A rule for a single session may end one: then it comes again, until it
/// is told at the door that it is listed.
fn guess(way: Cover, from: IpAddr, to: SocketAddr) -> Result<(), Error> {
    let mut client = session(from, to)?;
    for guess in 0..GUESSES {
        let goes_on = cover(way, &mut client, guess).and_then(|()| {
            let told = client.command(&rcpt(&format!("guess{from}.{guess}")))?;
            Ok(told.code != 421)
        });
        if !goes_on.unwrap_or(false) || way == Cover::Sessions && guess % 2 == 1 {
            client = session(from, to)?;
        }
    }
    Ok(())
}

#[test]
fn a_bot_that_knows_two_names_is_listed_after_ten_guesses_at_most() -> Result<()> {
    // Without the limits of a single session, so that only the ledger acts.
    let alone = json!({ "rcpt": {
        "max_consecutive": 5, "max_total": null
    } });
    let stand = stand(alone)?;
    let to = stand.envoy.address();
    let ways = [
        Cover::MailFirst,
        Cover::Recipients,
        Cover::Mail,
        Cover::Resets,
        Cover::Sessions,
    ];
    for way in ways {
        let from = newcomer();
        // A listed client has no session to go on with.
        let _ = guess(way, from, to);
        let (_, greeting) = knock(from, to)?;
        ensure!(greeting.starts_with(LISTED), "{way:?}: {greeting:?}");
        let lookups = unknown_lookups(&stand.postfix, from)?;
        println!("{way:?}: {lookups} names");
        ensure!((1..=10).contains(&lookups), "{way:?}: {lookups} names");
    }
    Ok(())
}

/// Ten unknown names make a listing, whatever lies between them.
#[test]
fn nothing_a_client_says_clears_its_score() -> Result<()> {
    let no_limits = json!({ "rcpt": { "max_consecutive": null, "max_total": null } });
    let stand = stand(no_limits)?;
    let (from, to) = (newcomer(), stand.envoy.address());
    let mut told = Vec::new();
    for guess in 0..10 {
        let mut client = session(from, to)?;
        if guess < 2 {
            mail(&mut client, &["alice"])?;
        }
        cover(Cover::Resets, &mut client, guess)?;
        client.command(&rcpt("alice"))?;
        told.push(client.command(&rcpt(&format!("guess{guess}")))?.code);
        drop(client.command("QUIT"));
    }
    assert_eq!(told, [vec![550; 9], vec![421]].concat());
    assert_eq!(count(&stand.envoy, "listed;reason=ledger.max_score")?, 1);
    ensure!(knock(from, to)?.1.starts_with(LISTED));
    Ok(())
}
