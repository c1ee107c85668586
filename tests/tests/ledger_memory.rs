//! What is remembered of clients between sessions: listings, traps, unknown recipients, attacks.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use portcullis_tests::{
    Error,
    deadline::{PATIENCE, Seen, wait_for},
    envoy::{Envoy, EnvoyConfig, FromClients, Guard},
    ledger::{LISTED, PatientServer, count, get_listed, knock, newcomer, session, wait_until_told},
    postfix::Service,
    proxy_header,
    smtp::Client,
    stand::{Stand, rcpt, rcpts},
};
use serde_json::{Value, json};

const GREETING: &str = "220 ";

/// The guard before a server that counts.
fn counted(policy: Value) -> Result<(Envoy, PatientServer)> {
    let server = PatientServer::start()?;
    let config = EnvoyConfig::before(server.address(), Guard::with_policy(policy)?);
    Ok((config.start()?, server))
}

#[test]
fn a_listed_client_gains_nothing_by_coming_again() -> Result<()> {
    let (envoy, server) = counted(json!({}))?;
    let from = newcomer();
    get_listed(from, envoy.address())?;
    let before = server.tally();
    for _ in 0..40 {
        let (mut client, told) = knock(from, envoy.address())?;
        ensure!(told.starts_with(LISTED), "{told:?}");
        ensure!(told.starts_with(&format!("421 4.7.1 Service unavailable; client [{from}] ")));
        assert_eq!(client.read_to_end()?, "");
    }
    assert_eq!(server.tally(), before);
    assert_eq!(count(&envoy, "refused;rule=ledger.listing")?, 40);
    ensure!(knock(newcomer(), envoy.address())?.1.starts_with(GREETING));
    Ok(())
}

/// When listings of a client end, as the log says: seconds since the Unix epoch.
fn ends(envoy: &mut Envoy, client: IpAddr) -> Result<Vec<u64>> {
    let log = envoy.process().log()?;
    let own = format!("client={client}/32 verdict=list ");
    let lines = log.lines().filter(|line| line.contains(&own));
    let ends = lines.map(|line| {
        let (_, rest) = line.split_once("until=").context("no end")?;
        Ok(rest.split(' ').next().unwrap_or_default().parse()?)
    });
    ends.collect()
}

fn now() -> Result<Duration> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?)
}

#[test]
fn a_listing_ends_and_comes_back_twice_as_long() -> Result<()> {
    let policy = json!({ "ledger": { "listing": { "first_s": 1, "max_s": 60 } } });
    let (mut envoy, _server) = counted(policy)?;
    let from = newcomer();
    for (time, length) in [1, 2, 4].into_iter().enumerate() {
        let listed = now()?;
        get_listed(from, envoy.address())?;
        let ends = ends(&mut envoy, from)?;
        let end = *ends.get(time).context("not listed again")?;
        // Whole seconds count, and the clock goes on meanwhile.
        let after = end - listed.as_secs();
        ensure!(
            (length..=length + 1).contains(&after),
            "{after} for {length}"
        );
        wait_until_told(from, envoy.address(), GREETING)?;
        ensure!(now()?.as_secs() >= end, "let in too early");
    }
    Ok(())
}

#[test]
fn a_trap_lists_at_once_and_the_server_is_not_asked() -> Result<()> {
    let policy = json!({ "traps": { "recipients": ["Trap@example.test", "*@unused.example"] } });
    let (envoy, server) = counted(policy)?;
    for name in ["tRAP@Example.TEST", "anybody@unused.example"] {
        let from = newcomer();
        let mut sibling = session(from, envoy.address())?;
        let mut client = session(from, envoy.address())?;
        let before = server.tally().lookups;
        let told = client.command(&format!("RCPT TO:<{name}>"))?;
        ensure!(told.starts_with("421 "), "{told:?}");
        assert_eq!(client.read_to_end()?, "");
        assert_eq!(sibling.read_until_closed()?, "");
        ensure!(knock(from, envoy.address())?.1.starts_with(LISTED));
        assert_eq!(server.tally().lookups, before);
    }
    assert_eq!(count(&envoy, "listed;reason=traps.recipients")?, 2);
    Ok(())
}

/// The session that meets a trap is one of its client's own: it ends once, not twice.
#[test]
fn a_session_that_meets_a_trap_is_counted_once() -> Result<()> {
    let policy = json!({ "traps": { "recipients": ["trap@example.test"] } });
    let (mut envoy, _server) = counted(policy)?;
    let from = newcomer();
    let mut client = session(from, envoy.address())?;
    ensure!(client.command(&rcpt("trap"))?.starts_with("421 "));
    client.read_to_end()?;
    ensure!(knock(from, envoy.address())?.1.starts_with(LISTED));
    assert_eq!(count(&envoy, "closed;rule=traps.recipients")?, 1);
    assert_eq!(count(&envoy, "siblings_cut")?, 0);
    let log = envoy.process().log()?;
    let closes = log.lines().filter(|line| line.contains("verdict=close "));
    assert_eq!(closes.count(), 1);
    Ok(())
}

/// How often Postfix was asked for a name that several clients try one after the other, each of
/// which reads `code`.
fn asked_for_one_name(service: Service, code: u16, policy: Value) -> Result<usize> {
    // A worker remembers for itself.
    let stand = Stand::with(service, policy, |config| config.workers(1))?;
    for _ in 0..4 {
        let mut client = session(newcomer(), stand.envoy.address())?;
        let told = client.command(&rcpt("Nobody"))?;
        ensure!(told.code == code, "{told:?}");
        ensure!(client.command(&rcpt("alice"))?.code == 250);
        ensure!(client.command("QUIT")?.code == 221);
    }
    let sessions = stand.postfix.log().wait_for_sessions(4)?;
    let unknown =
        |session: &portcullis_tests::postfix::SessionCounts| session.lookups - session.accepted;
    assert_eq!(
        sessions
            .iter()
            .map(|session| session.accepted)
            .sum::<usize>(),
        4
    );
    Ok(sessions.iter().map(unknown).sum())
}

#[test]
fn a_name_refused_for_good_is_asked_for_once() -> Result<()> {
    assert_eq!(asked_for_one_name(Service::Unknown550, 550, json!({}))?, 1);
    Ok(())
}

#[test]
fn a_name_refused_for_now_is_asked_for_each_time() -> Result<()> {
    assert_eq!(asked_for_one_name(Service::Unknown451, 451, json!({}))?, 4);
    Ok(())
}

#[test]
fn a_client_known_for_good_mail_has_its_own_answer() -> Result<()> {
    let (envoy, server) = counted(json!({}))?;
    let to = envoy.address();
    let known = newcomer();
    let mut client = session(known, to)?;
    client.send(rcpts("user", 30))?;
    assert_eq!(client.codes(30)?, [250; 30]);
    client.command("DATA")?;
    ensure!(client.command("Subject: news\r\n\r\nHello.\r\n.")?.code == 250);
    ensure!(client.command("QUIT")?.code == 221);
    drop(client);
    // Tried on both workers, or on one twice.
    for _ in 0..8 {
        session(newcomer(), to)?.command(&rcpt("guess"))?;
    }
    wait_for("standing on every worker", PATIENCE, || {
        let before = server.tally().lookups;
        session(known, to)?.command(&rcpt("guess"))?;
        Ok(match server.tally().lookups - before {
            1 => Seen::Done(()),
            _ => Seen::NotYet("answered by the guard".into()),
        })
    })?;
    Ok(())
}

/// A session that has delivered mail and stays open, and another one on whichever worker.
#[test]
fn mail_delivered_in_a_session_still_open_counts_on_all_workers() -> Result<()> {
    let (envoy, _server) = counted(json!({}))?;
    for _ in 0..8 {
        let known = newcomer();
        let mut first = session(known, envoy.address())?;
        first.send(rcpts("user", 30))?;
        assert_eq!(first.codes(30)?, [250; 30]);
        first.command("DATA")?;
        ensure!(first.command("Subject: news\r\n\r\nHello.\r\n.")?.code == 250);
        let mut second = session(known, envoy.address())?;
        second.send(rcpts(&format!("guess{known}."), 5))?;
        assert_eq!(second.codes(5)?, [550; 5]);
    }
    Ok(())
}

/// Unknown names tried by new clients, `each` by every one of them.
fn crowd_of_guessers(envoy: &Envoy, clients: usize, each: usize) -> Result<()> {
    for number in 0..clients {
        let mut client = session(newcomer(), envoy.address())?;
        client.send(rcpts(&format!("guess{number}."), each))?;
        client.codes(each)?;
    }
    Ok(())
}

/// How many names a new client may try.
fn limit(envoy: &Envoy) -> Result<usize, portcullis_tests::Error> {
    let mut client = session(newcomer(), envoy.address())?;
    for guess in 1..=20 {
        if client.command(&rcpt(&format!("guess.{guess}")))?.code == 421 {
            return Ok(guess);
        }
    }
    Ok(20)
}

#[test]
fn while_many_guess_each_may_guess_less() -> Result<()> {
    let policy = json!({
        "attack": { "min_rejected": 20, "hold_s": 2, "clients_per_name": null },
        "unknown": { "answer": "off" },
    });
    let server = PatientServer::start()?;
    let config = EnvoyConfig::before(server.address(), Guard::with_policy(policy)?);
    let mut envoy = config.workers(1).start()?;
    assert_eq!(limit(&envoy)?, 5);
    // Before the attack, so that however slow this machine is it lasted no longer than what is
    // measured; the filter counts whole seconds.
    let begun = Instant::now();
    crowd_of_guessers(&envoy, 20, 2)?;
    wait_for("tightened limits", PATIENCE, || {
        let limit = limit(&envoy)?;
        Ok(if limit == 3 {
            Seen::Done(())
        } else {
            Seen::NotYet(format!("{limit}"))
        })
    })?;
    let log = envoy.process().log()?;
    ensure!(log.contains("an attack is under way"), "{log}");
    // A share of the unknown between the two limits keeps it up, one below ends it.
    let mut known = session(newcomer(), envoy.address())?;
    let unknown = count(&envoy, "recipients_rejected")?;
    let enough = unknown as usize;
    known.send(rcpts("user", enough * 2))?;
    known.codes(enough * 2)?;
    assert_eq!(limit(&envoy)?, 3, "a third is too many");
    known.command("RSET")?;
    known.command("MAIL FROM:<sender@example.org>")?;
    known.send(rcpts("user", enough * 4))?;
    known.codes(enough * 4)?;
    wait_for("usual limits", PATIENCE, || {
        let over = count(&envoy, "attacks_over")?;
        Ok(if over == 1 {
            Seen::Done(())
        } else {
            Seen::NotYet(format!("{over}"))
        })
    })?;
    ensure!(begun.elapsed() >= Duration::from_millis(500), "no hold");
    assert_eq!(limit(&envoy)?, 5);
    ensure!(envoy.process().log()?.contains("the attack is over"));
    Ok(())
}

fn is_reset(error: &Error) -> bool {
    matches!(error, Error::Smtp { source, .. } if source.kind() == io::ErrorKind::ConnectionReset)
}

#[test]
fn listings_outlast_a_new_policy() -> Result<()> {
    let mut stand = Stand::with_defaults()?;
    let from = newcomer();
    get_listed(from, stand.envoy.address())?;
    stand
        .envoy
        .reload(json!({ "rcpt": { "max_consecutive": 2 } }))?;
    // Whichever worker still has the old policy, both know the client. Very rarely Envoy resets a
    // connection that comes in the moment of the change.
    let mut resets = 0;
    for _ in 0..20 {
        match knock(from, stand.envoy.address()) {
            Ok((_, told)) => ensure!(told.starts_with(LISTED), "{told:?}"),
            Err(error) if is_reset(&error) && resets == 0 => resets += 1,
            Err(error) => return Err(error.into()),
        }
    }
    assert_eq!(stand.envoy.traps()?, Vec::<String>::new());
    Ok(())
}

/// A client whom a front proxy names.
fn named(to: SocketAddr, client: &str) -> Result<Client> {
    let service = "[2001:db8::25]:25".parse()?;
    let mut connection = Client::connect(to)?;
    let header = proxy_header::version_2(SocketAddr::new(client.parse()?, 40_001), service)?;
    connection.send(header)?;
    Ok(connection)
}

#[test]
fn all_addresses_of_an_ipv6_network_are_one_client() -> Result<()> {
    let server = PatientServer::start()?;
    let config = EnvoyConfig::before(server.address(), Guard::with_policy(json!({}))?);
    let proxies = FromClients::BehindProxy(vec!["127.0.0.0/8".parse()?]);
    let envoy = config.from_clients(proxies).start()?;
    let to = envoy.address();
    let mut guesses = 0;
    for host in 1..20 {
        let mut client = named(to, &format!("2a00:1:2:3::{host}"))?;
        if client.reply()?.starts_with(LISTED) {
            break;
        }
        client.command("EHLO bot.example.org")?;
        client.command("MAIL FROM:<offer@example.org>")?;
        client.command(&rcpt(&format!("guess{host}")))?;
        guesses += 1;
    }
    assert_eq!(guesses, 5);
    for (client, start) in [
        ("2a00:1:2:3:ffff::1", LISTED),
        ("2a00:1:2:4::1", GREETING),
        ("2a00:1:2:2::1", GREETING),
    ] {
        let told = named(to, client)?.reply()?;
        ensure!(told.starts_with(start), "{client}: {told:?}");
    }
    Ok(())
}
