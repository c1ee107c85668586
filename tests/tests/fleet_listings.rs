//! The list of a fleet as text: brought along, taken away, served to others.

use std::{
    fs,
    io::Write as _,
    net::IpAddr,
    process::{Command, Output, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use portcullis_tests::{
    deadline::{PATIENCE, Seen, wait_for},
    dnsbl::{Rbldnsd, Resolver, ask, query_name},
    envoy::{Envoy, EnvoyConfig, Guard},
    fleet::Store,
    host_sim::Mta,
    ledger::count,
    paths,
    smtp::Client,
};
use serde_json::json;

const ZONE: &str = "ours.example.test";

/// `envoy/fleet/listings` at this store, with the rights that `redis.conf` grants.
fn listings(store: &Store, arguments: &[&str], input: &str) -> Result<Output> {
    let client = format!(
        "redis-cli -h 127.0.0.1 -p {} --user postmaster --pass change-me-three --no-auth-warning",
        store.redis_address().port()
    );
    let mut run = Command::new(paths::repository().join("envoy/fleet/listings"))
        .args(arguments)
        .env("REDIS_CLI", client)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = run.stdin.take().context("no stdin")?;
    stdin.write_all(input.as_bytes())?;
    drop(stdin);
    Ok(run.wait_with_output()?)
}

fn printed(output: &Output) -> Result<String> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{output:?}");
    Ok(text)
}

fn later(seconds: u64) -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + seconds)
}

fn guard(store: &Store, server: std::net::SocketAddr) -> Result<Envoy> {
    let policy = json!({ "fleet": {
        "cluster": "portcullis_store",
        "authorization": "Basic Z3VhcmQ6Y2hhbmdlLW1lLXRvbw==",
    } });
    let config = EnvoyConfig::before(server, Guard::with_policy(policy)?).store(store.address());
    let envoy = config.start()?;
    // Only machines with connections deal with the store: on both workers.
    for _ in 0..8 {
        Client::greeted(envoy.address())?.command("QUIT")?;
    }
    Ok(envoy)
}

/// Waits until a client is greeted with this code.
fn greeted(guard: &Envoy, client: &str, code: u16) -> Result<()> {
    let client: IpAddr = client.parse()?;
    wait_for(&format!("{client} to read {code}"), PATIENCE, || {
        let read = Client::connect_from(client, guard.address())?.reply()?.code;
        Ok(match read {
            read if read == code => Seen::Done(()),
            other => Seen::NotYet(other.to_string()),
        })
    })?;
    Ok(())
}

#[test]
fn a_list_is_brought_along_and_taken_away() -> Result<()> {
    let store = Store::with_least_rights()?;
    let mta = Mta::answering("550 5.1.1 No such user").start()?;
    let guard = guard(&store, mta.address())?;
    let end = later(5000)?;
    // As many as one list of the field had.
    let mut list = String::from("# seen in the attack\n\n");
    for number in 0..5100 {
        list += &format!("127.66.{}.{} {end} harvest\n", number / 250, number % 250);
    }
    list += &format!("2001:db8:bad::7 {end} harvest of names\n");
    list += "127.67.0.1 1000000000 long-over\n";
    let imported = listings(&store, &["import"], &list)?;
    printed(&imported)?;
    let told = String::from_utf8_lossy(&imported.stderr).into_owned();
    ensure!(
        told.contains("5101 listed, 1 over already, 0 not read"),
        "{told}"
    );
    for client in ["127.66.0.0", "127.66.20.99"] {
        greeted(&guard, client, 421)?;
    }
    greeted(&guard, "127.67.0.1", 220)?;

    let exported = printed(&listings(&store, &["export"], "")?)?;
    assert_eq!(exported.lines().count(), 5101);
    let line = format!("127.66.20.99/32 {end} harvest");
    ensure!(exported.lines().any(|read| read == line), "{line}");

    let released = listings(&store, &["release", "127.66.0.0"], "")?;
    printed(&released)?;
    greeted(&guard, "127.66.0.0", 220)?;
    greeted(&guard, "127.66.20.99", 421)?;
    assert_eq!(guard.traps()?, Vec::<String>::new());

    // A guard that reads the feed from its beginning does not list it for the time being.
    let late = self::guard(&store, mta.address())?;
    greeted(&late, "127.66.20.99", 421)?;
    let listed = wait_for("the whole list", PATIENCE, || {
        Ok(match count(&late, "listed;reason=told")? {
            listed @ 5100.. => Seen::Done(listed),
            fewer => Seen::NotYet(fewer.to_string()),
        })
    })?;
    assert_eq!(listed, 5100);
    greeted(&late, "127.66.0.0", 220)?;
    Ok(())
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_is_listed() -> Result<()> {
    let store = Store::with_least_rights()?;
    let file = tempfile::NamedTempFile::new()?;
    let text = "nobody 4000000000 x\n300.1.1.1 4000000000\n203.0.113.7/33\n\
                203.0.113.7 tomorrow\n203.0.113.9\r\n";
    fs::write(file.path(), text)?;
    let path = file.path().to_string_lossy();
    let output = listings(&store, &["import", &path], "")?;
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    for line in 1..=4 {
        ensure!(told.contains(&format!("line {line}: expected ")), "{told}");
    }
    let exported = printed(&listings(&store, &["export"], "")?)?;
    ensure!(
        exported.starts_with("203.0.113.9/32 ") && exported.ends_with(" imported\n"),
        "{exported}"
    );
    Ok(())
}

#[test]
fn rbldnsd_serves_the_list_to_others() -> Result<()> {
    let store = Store::with_least_rights()?;
    let end = later(600)?;
    let list = format!("203.0.113.7 {end} ledger.streak\n2001:db8:bad::/64 {end} told\n");
    printed(&listings(&store, &["import"], &list)?)?;
    let exported = printed(&listings(&store, &["export"], "")?)?;
    let zone = printed(&listings(&store, &["zone"], &exported)?)?;
    let lists = Rbldnsd::serving_text(ZONE, "combined", &zone)?;
    let resolver = Resolver::Dnsdist.before(lists.address(), ZONE)?;
    for (client, listed) in [
        ("203.0.113.7", true),
        ("203.0.113.8", false),
        ("2001:db8:bad::99", true),
        ("2001:db8:bad:1::1", false),
    ] {
        let name = query_name(client.parse()?, ZONE);
        let answer = ask(resolver.address(), &name, "A")?;
        assert_eq!(answer.is_listed(), listed, "{client}: {answer:?}");
    }
    Ok(())
}
