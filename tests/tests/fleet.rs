//! Guards of one fleet, on real Envoy, Redis and Webdis.
#![allow(
    clippy::indexing_slicing,
    reason = "tests say what they expect by failing"
)]

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use portcullis_tests::{
    Error,
    deadline::{Seen, wait_for},
    envoy::{Envoy, EnvoyConfig, Guard},
    fleet::Store,
    postfix::{Postfix, Service},
    smtp::Client,
    stand::{MAIL, rcpt},
};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);

/// Two guards with one store, before one server.
struct Fleet {
    guards: [Envoy; 2],
    store: Store,
    postfix: Postfix,
}

fn guard(postfix: &Postfix, store: &Store, mut policy: Value) -> Result<Envoy> {
    policy["fleet"]["cluster"] = json!("portcullis_store");
    policy["fleet"]["poll_ms"] = json!(100);
    let server = postfix.address(Service::Unknown550);
    let config = EnvoyConfig::before(server, Guard::with_policy(policy)?).store(store.address());
    let envoy = config.start()?;
    // Only machines with connections deal with the store: on both workers.
    for _ in 0..8 {
        Client::greeted(envoy.address())?.command("QUIT")?;
    }
    Ok(envoy)
}

fn fleet(policy: Value) -> Result<Fleet> {
    fleet_with(Store::start()?, policy)
}

fn fleet_with(store: Store, policy: Value) -> Result<Fleet> {
    let postfix = Postfix::start()?;
    let guards = [
        guard(&postfix, &store, policy.clone())?,
        guard(&postfix, &store, policy)?,
    ];
    Ok(Fleet {
        guards,
        store,
        postfix,
    })
}

fn address(text: &str) -> Result<IpAddr> {
    Ok(text.parse()?)
}

/// A session of this client, in a transaction.
fn session(guard: &Envoy, client: IpAddr) -> Result<Client, Error> {
    let mut session = Client::connect_from(client, guard.address())?;
    session.reply()?;
    session.command("EHLO client.example.org")?;
    session.command("MAIL FROM:<sender@example.org>")?;
    Ok(session)
}

/// Guesses names until it is cut; how many were answered.
fn guess(session: &mut Client, most: usize) -> Result<usize> {
    for name in 1..=most {
        if session.command(&rcpt(&format!("guess{name}")))?.code == 421 {
            return Ok(name);
        }
    }
    Ok(most)
}

/// Waits until this client is greeted by 421; how long that took.
fn refused(guard: &Envoy, client: IpAddr) -> Result<Duration> {
    let start = Instant::now();
    wait_for("a refusal", PATIENCE, || {
        let code = Client::connect_from(client, guard.address())?.reply()?.code;
        Ok(match code {
            421 => Seen::Done(()),
            other => Seen::NotYet(other.to_string()),
        })
    })?;
    Ok(start.elapsed())
}

fn deliver(guard: &Envoy) -> Result<()> {
    Ok(Client::greeted(guard.address())?.dialogue(&MAIL)?)
}

#[test]
fn a_client_listed_by_one_guard_is_refused_by_the_other_within_a_second() -> Result<()> {
    let fleet = fleet(json!({}))?;
    let [here, there] = &fleet.guards;
    for number in 1..=10 {
        let bot = address(&format!("127.60.0.{number}"))?;
        let mut sibling = session(there, bot)?;
        assert_eq!(guess(&mut session(here, bot)?, 20)?, 5);
        let took = refused(there, bot)?;
        ensure!(took < Duration::from_secs(1), "{took:?}");
        // Its session there has ended as well.
        assert_eq!(sibling.read_until_closed()?, "");
        let ttl = fleet
            .store
            .ask(&["TTL", &format!("portcullis:listed:{bot}/32")]);
        let ttl = ttl.as_i64().unwrap_or_default();
        ensure!((3500..=3600).contains(&ttl), "{ttl}");
    }
    for guard in &fleet.guards {
        assert_eq!(guard.traps()?, Vec::<String>::new());
    }
    Ok(())
}

#[test]
fn guesses_spread_over_guards_add_up() -> Result<()> {
    // In a row they are never more than four, on either.
    let fleet = fleet(json!({ "rcpt": { "max_consecutive": null, "max_total": null } }))?;
    let bot = address("127.60.1.1")?;
    for guard in &fleet.guards {
        assert_eq!(guess(&mut session(guard, bot)?, 4)?, 4);
    }
    wait_for("both counts in the store", PATIENCE, || {
        let keys = fleet
            .store
            .ask(&["KEYS", "portcullis:rejected:*:127.60.1.1/32"]);
        let counts = keys
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        let sum: u64 = counts
            .filter_map(|key| fleet.store.ask(&["GET", key]).as_str()?.parse::<u64>().ok())
            .sum();
        Ok(match sum {
            8 => Seen::Done(()),
            other => Seen::NotYet(other.to_string()),
        })
    })?;
    let [here, there] = &fleet.guards;
    // The ninth tells this guard of the others; the tenth is the last.
    assert_eq!(guess(&mut session(here, bot)?, 1)?, 1);
    let mut last = session(here, bot)?;
    let told = wait_for("the tenth to be the last", PATIENCE, || {
        Ok(match last.command(&rcpt("guess")) {
            Ok(reply) if reply.code != 421 => Seen::NotYet(reply.code.to_string()),
            // The sums may come between two guesses: an idle session ends without a word.
            Ok(_) | Err(_) => Seen::Done(()),
        })
    });
    told?;
    refused(there, bot)?;
    Ok(())
}

#[test]
fn without_the_store_each_guard_goes_on_alone_and_then_catches_up() -> Result<()> {
    let mut fleet = fleet(json!({}))?;
    fleet.store.kill_redis()?;
    let [here, there] = &fleet.guards;
    let bot = address("127.60.2.1")?;
    for guard in [here, there] {
        assert_eq!(guess(&mut session(guard, bot)?, 20)?, 5);
        refused(guard, bot)?;
        for _ in 0..10 {
            deliver(guard)?;
        }
    }
    let late = address("127.60.2.2")?;
    assert_eq!(guess(&mut session(here, late)?, 20)?, 5);
    assert_eq!(
        Client::connect_from(late, there.address())?.reply()?.code,
        220
    );
    fleet.store.start_redis()?;
    let [_, there] = &fleet.guards;
    refused(there, late)?;
    assert_eq!(fleet.postfix.log().wait_for_messages(20)?, 20);
    for guard in &fleet.guards {
        assert_eq!(guard.traps()?, Vec::<String>::new());
    }
    Ok(())
}

#[test]
fn a_store_that_hangs_holds_nobody_up() -> Result<()> {
    let fleet = fleet(json!({}))?;
    fleet.store.signal_webdis(Signal::SIGSTOP)?;
    let [here, _] = &fleet.guards;
    let start = Instant::now();
    for _ in 0..20 {
        deliver(here)?;
    }
    ensure!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    let bot = address("127.60.3.1")?;
    assert_eq!(guess(&mut session(here, bot)?, 20)?, 5);
    refused(here, bot)?;
    fleet.store.signal_webdis(Signal::SIGCONT)?;
    refused(&fleet.guards[1], bot)?;
    Ok(())
}

#[test]
fn listings_survive_the_guard_and_an_operator_takes_one_off() -> Result<()> {
    let fleet = fleet(json!({}))?;
    let bot = address("127.60.4.1")?;
    assert_eq!(guess(&mut session(&fleet.guards[0], bot)?, 20)?, 5);
    refused(&fleet.guards[1], bot)?;
    let newcomer = guard(&fleet.postfix, &fleet.store, json!({}))?;
    refused(&newcomer, bot)?;
    let client = format!("{bot}/32");
    fleet
        .store
        .ask(&["XADD", "portcullis:feed", "*", "c", &client, "u", "0"]);
    wait_for("a greeting", PATIENCE, || {
        let code = Client::connect_from(bot, newcomer.address())?.reply()?.code;
        Ok(match code {
            220 => Seen::Done(()),
            other => Seen::NotYet(other.to_string()),
        })
    })?;
    Ok(())
}

#[test]
fn the_rights_that_are_granted_are_enough_and_no_more() -> Result<()> {
    let store = Store::with_least_rights()?;
    let nothing = json!(null);
    assert_eq!(store.ask(&["GET", "portcullis:feed"]), nothing);
    assert_eq!(store.ask(&["EVAL", "return 1", "0"]), nothing);
    // guard:change-me-too, as in webdis.json.
    let authorization = "Basic Z3VhcmQ6Y2hhbmdlLW1lLXRvbw==";
    let policy = json!({ "fleet": { "authorization": authorization } });
    let fleet = fleet_with(store, policy)?;
    let [here, there] = &fleet.guards;
    let bot = address("127.60.6.1")?;
    assert_eq!(guess(&mut session(here, bot)?, 20)?, 5);
    refused(there, bot)?;
    Ok(())
}

#[test]
fn garbage_in_the_store_lists_nobody() -> Result<()> {
    let fleet = fleet(json!({}))?;
    let store = &fleet.store;
    store.ask(&[
        "XADD",
        "portcullis:feed",
        "*",
        "c",
        "nobody",
        "u",
        "x",
        "r",
        "y z",
    ]);
    store.ask(&[
        "XADD",
        "portcullis:feed",
        "*",
        "c",
        "0.0.0.0/0",
        "u",
        "4000000000",
    ]);
    let marker = address("127.60.5.9")?;
    store.ask(&[
        "XADD",
        "portcullis:feed",
        "*",
        "c",
        "127.60.5.9/32",
        "u",
        "4000000000",
    ]);
    refused(&fleet.guards[0], marker)?;
    deliver(&fleet.guards[0])?;
    store.ask(&["DEL", "portcullis:feed"]);
    store.ask(&["SET", "portcullis:feed", "no stream"]);
    deliver(&fleet.guards[0])?;
    let bot = address("127.60.5.1")?;
    assert_eq!(guess(&mut session(&fleet.guards[0], bot)?, 20)?, 5);
    refused(&fleet.guards[0], bot)?;
    Ok(())
}
