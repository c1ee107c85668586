//! Two hundred thousand listed clients: what they cost in memory, and that none is forgotten.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use portcullis_host_sim::Simulator;
use portcullis_tests::{
    dnsbl::crowd,
    envoy::{Envoy, EnvoyConfig, FromClients, Guard},
    host_sim::Mta,
    ledger::{LISTED, count},
    paths,
    process::raise_open_files,
    proxy_header,
    smtp::Client,
};
use serde_json::{Value, json};

/// Clients in the simulator, half of them of each family; and on real Envoy, where so many would
/// take minutes.
const SIMULATED: u32 = 200_000;
const REAL: u32 = 40_000;
/// How many connections are open at once.
const AT_ONCE: usize = 32;
/// What the listings of all clients may cost an Envoy.
const CAP: u64 = 64 << 20;
/// How many of them are seen to be remembered, besides the first hundred.
const ASKED: u32 = 1000;

fn policy() -> Value {
    json!({
        "traps": { "recipients": ["trap@example.test"] },
        "attack": { "detect": "off" },
        "close": { "linger_ms": 0 },
    })
}

/// IPv4 addresses and IPv6 networks in turn, each another client.
fn client(number: u32) -> IpAddr {
    let [.., a, b, c] = (number / 2).to_be_bytes();
    match number.is_multiple_of(2) {
        true => Ipv4Addr::new(11, a, b, c).into(),
        false => {
            let network = u128::from(0x2a00_0000_0000_0000_u64 + u64::from(number / 2) * 0x1_0007);
            // Wherever in its network the client is this time.
            Ipv6Addr::from(network << 64 | u128::from(number).pow(2)).into()
        }
    }
}

fn service(client: IpAddr) -> SocketAddr {
    let address: IpAddr = match client {
        IpAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 25).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x25).into(),
    };
    SocketAddr::new(address, 25)
}

/// The first hundred, and a thousand spread over the rest.
fn samples(clients: u32) -> impl Iterator<Item = u32> {
    // Knuth's multiplicative hash: the same ones each time, in no order of theirs.
    let any = (0..ASKED).map(move |turn| turn.wrapping_mul(2_654_435_761) % clients);
    (0..100).chain(any)
}

/// A client has connected, through a front proxy that names it in one version or the other.
fn knock(envoy: &Envoy, number: u32, said: &str) -> Result<String> {
    let client = SocketAddr::new(client(number), 40_001);
    let mut bytes = match number % 4 < 2 {
        true => proxy_header::version_1(client, service(client.ip())),
        false => proxy_header::version_2(client, service(client.ip()))?,
    };
    bytes.extend_from_slice(said.as_bytes());
    let mut connection = Client::connect(envoy.address())?;
    connection.send(bytes)?;
    Ok(connection.reply()?.lines.join("\n"))
}

/// Resident memory in bytes.
fn memory(process: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(kib.context("no VmRSS")?.trim().parse::<u64>()? << 10)
}

#[test]
fn forty_thousand_clients_are_listed_and_remembered_by_envoy() -> Result<()> {
    raise_open_files()?;
    let mta = Mta::answering("550 5.1.1 No such user").start()?;
    let config = EnvoyConfig::before(mta.address(), Guard::with_policy(policy())?);
    let proxies = FromClients::BehindProxy(vec!["127.0.0.0/8".parse()?]);
    let mut envoy = config.from_clients(proxies).start()?;
    // What Envoy and its machines take for work in flight is none of the listings.
    crowd(2000, AT_ONCE, |_| knock(&envoy, REAL, "QUIT\r\n"));
    let process = envoy.process().id();
    let before = memory(process)?;
    let begun = Instant::now();
    let told = crowd(REAL as usize, AT_ONCE, |number| {
        knock(&envoy, number as u32, "RCPT TO:<trap@example.test>\r\n")
    });
    let growth = memory(process)?.saturating_sub(before);
    let without = told.iter().filter(|told| told.is_err()).count();
    println!(
        "{REAL} clients in {:?}, {without} without a last word; Envoy had {} KiB and took \
         {} KiB more",
        begun.elapsed(),
        before >> 10,
        growth >> 10
    );
    // A server that has not greeted yet when its client is listed is not waited for; how often that
    // happens is a matter of how busy the machine is.
    ensure!(without < told.len() / 10, "{without} without a last word");
    let listed = count(&envoy, "listed;reason=traps.recipients")?;
    assert_eq!(listed, u64::from(REAL));
    assert_eq!(count(&envoy, "ledger_evicted_listings")?, 0);
    for number in samples(REAL) {
        let told = knock(&envoy, number, "")?;
        ensure!(told.starts_with(LISTED), "{}: {told}", client(number));
    }
    ensure!(growth < CAP, "{growth} octets");
    assert_eq!(envoy.traps()?, Vec::<String>::new());
    Ok(())
}

#[test]
fn two_hundred_thousand_clients_are_listed_and_remembered() -> Result<()> {
    let mut sim = Simulator::builder(paths::wasm()?)
        .plugin_config(policy().to_string())
        .workers(2)
        .echo_cluster("portcullis_refusals")
        .build()?;
    let open = |sim: &mut Simulator, number: u32| {
        let client = SocketAddr::new(client(number), 40_001);
        sim.open(client, service(client.ip()))
    };
    let memory = sim.wasm_memory_bytes();
    for number in 0..SIMULATED {
        let conn = open(&mut sim, number);
        sim.server_write(conn, b"220 mx.example.test ESMTP\r\n");
        sim.client_write(conn, b"RCPT TO:<trap@example.test>\r\n");
        sim.server_write(conn, b"250 ok\r\n");
        let said = sim.take_client(conn).bytes;
        ensure!(said.ends_with(b"try again later\r\n"), "{number}: {said:?}");
        sim.client_abort(conn);
        if number % 1000 == 0 {
            sim.advance(Duration::from_millis(100));
        }
    }
    let metrics = sim.metrics();
    let listed = metrics.get("portcullis_listed_total;reason=traps.recipients");
    assert_eq!(listed, Some(&u64::from(SIMULATED)));
    assert_eq!(
        metrics.get("portcullis_ledger_evicted_listings_total"),
        Some(&0)
    );
    for number in samples(SIMULATED) {
        let conn = open(&mut sim, number);
        let told = sim.take_client(conn).bytes;
        ensure!(
            told.starts_with(b"421 4.7.1 "),
            "{}: {told:?}",
            client(number)
        );
    }
    // What is remembered lies outside the machines.
    let growth = sim.wasm_memory_bytes() - memory;
    ensure!(growth < 4 << 20, "{growth} octets");
    assert_eq!(sim.traps().len(), 0);
    Ok(())
}
