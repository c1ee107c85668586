//! The numbers that the lookups must reach, measured on real Envoy before real servers.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Barrier,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use portcullis_tests::{
    Error,
    dnsbl::{
        DohServer, FakeDoh, Gate, Question, Rbldnsd, Reply, Resolver, Response, Told, Zone, asking,
        crowd, of_list, query_name, take_leave, test_point,
    },
    envoy::{EnvoyConfig, Guard},
    host_sim::{HostSim, Mta},
    process::raise_open_files,
    smtp::Client,
};
use serde_json::{Value, json};

const LISTS: [&str; 2] = ["bl.example.test", "pbl.example.test"];

const CLIENTS: usize = 2_000;
const SESSIONS_EACH: usize = 5;

/// Of the clients, those listed: the first 512 of their network.
const LISTED: usize = 512;

/// How many connections are open at once.
const AT_ONCE: usize = 64;

fn client(number: usize) -> IpAddr {
    let [.., high, low] = number.to_be_bytes();
    Ipv4Addr::new(100, 64, high, low).into()
}

fn zones() -> Result<Vec<Zone>> {
    let listed: ipnet::IpNet = "100.64.0.0/23".parse()?;
    let zone = |list| Zone::new(list).lists(listed, [127, 0, 0, 2].into(), "Listed: $");
    Ok(LISTS.map(zone).into())
}

fn mta() -> Result<HostSim> {
    Ok(Mta::answering("550 5.1.1 No such user").start()?)
}

fn refusal(client: IpAddr) -> Told {
    Told::Refusal(format!(
        "554 5.7.1 Service unavailable; client [{client}] blocked using {}\r\n",
        LISTS[0]
    ))
}

/// Whose session comes when: half of the clients come with all theirs at once, the others once in
/// each fifth of the time.
fn mixed() -> Vec<usize> {
    let (hasty, patient) = (0..CLIENTS).partition::<Vec<_>, _>(|number| number % 2 == 0);
    let hasty: Vec<_> = hasty.chunks(CLIENTS / 2 / SESSIONS_EACH).collect();
    let rounds = hasty.into_iter().flat_map(|hasty| {
        let at_once = hasty.iter().flat_map(|number| [*number; SESSIONS_EACH]);
        at_once.chain(patient.iter().copied()).collect::<Vec<_>>()
    });
    rounds.collect()
}

#[test]
fn a_client_costs_one_question_a_list_however_often_it_comes() -> Result<()> {
    raise_open_files()?;
    let lists = Rbldnsd::serving(&zones()?)?;
    let resolver = Resolver::Dnsdist.before(lists.address(), LISTS[0])?;
    let mta = mta()?;
    let policy = asking(&LISTS, &json!({}));
    let gate = Gate::asking_before(mta.address(), policy, resolver.address(), &LISTS)?;
    let order = mixed();
    assert_eq!(order.len(), CLIENTS * SESSIONS_EACH);
    let begun = Instant::now();
    let wrong = crowd(order.len(), AT_ONCE, |place| {
        let number = order[place];
        let wanted = if number < LISTED {
            refusal(client(number))
        } else {
            Told::Greeting
        };
        match gate.visit(client(number)) {
            Ok(told) if told == wanted => None,
            other => Some(format!("{number}: {other:?}")),
        }
    });
    let wrong: Vec<_> = wrong.into_iter().flatten().collect();
    println!("{} sessions in {:?}", order.len(), begun.elapsed());
    for list in LISTS {
        let (asked, reached) = (
            gate.count(&of_list("questions", list))?,
            lists.asked_about_clients(list)?,
        );
        println!("{list}: {asked} questions asked, {reached} reached its server");
    }
    for name in ["told;how=remembered", "told;how=joined", "over_budget"] {
        println!("{name}: {}", gate.count(&format!("dnsbl_{name}"))?);
    }
    for list in LISTS {
        assert_eq!(lists.asked_about_clients(list)?, CLIENTS);
        assert_eq!(gate.count(&of_list("questions", list))?, CLIENTS as u64);
    }
    ensure!(
        wrong.is_empty(),
        "{} wrong: {:#?}",
        wrong.len(),
        wrong.first()
    );
    assert_eq!(gate.envoy.traps()?, Vec::<String>::new());
    Ok(())
}

/// Ways to be refused; each must read all of it.
type Behaviour = fn(&mut Client) -> Result<()>;

const BEHAVIOURS: [Behaviour; 5] = [listens, speaks_early, floods, half_closes, reads_late];

fn listens(_: &mut Client) -> Result<()> {
    Ok(())
}

fn speaks_early(client: &mut Client) -> Result<()> {
    Ok(client.send("EHLO bot.example.org\r\n")?)
}

/// Goes on writing while it is refused. The write may fail once the connection is gone.
fn floods(client: &mut Client) -> Result<()> {
    for _ in 0..20 {
        if client.send("RCPT TO:<guess@example.test>\r\n").is_err() {
            break;
        }
    }
    Ok(())
}

fn half_closes(client: &mut Client) -> Result<()> {
    Ok(client.finish_sending()?)
}

fn reads_late(client: &mut Client) -> Result<()> {
    speaks_early(client)?;
    half_closes(client)
}

/// A client with an address of its own on this machine: no front proxy stands between, so that
/// what it does reaches the guard as it was done.
fn neighbour(number: usize) -> IpAddr {
    let [.., high, low] = number.to_be_bytes();
    Ipv4Addr::new(127, 64, high, low).into()
}

#[test]
fn of_1000_refused_each_reads_the_whole_line_and_a_clean_end() -> Result<()> {
    raise_open_files()?;
    let listed: ipnet::IpNet = "127.64.0.0/16".parse()?;
    let zone = Zone::new(LISTS[0]).lists(listed, [127, 0, 0, 2].into(), "Listed: $");
    let lists = Rbldnsd::serving(&[zone])?;
    let resolver = Resolver::Dnsdist.before(lists.address(), LISTS[0])?;
    let mut mta = mta()?;
    let policy = asking(&LISTS[..1], &json!({}));
    let config = EnvoyConfig::before(mta.address(), Guard::with_policy(policy)?);
    let envoy = config.dnsbl(resolver.address()).start()?;
    let gate = Gate { envoy };
    gate.wait_until_asking(&LISTS[..1])?;
    let before = mta.stats()?.connections;
    let wrong = crowd(1000, 8, |number| -> Option<String> {
        let client = neighbour(number / 2);
        let refused = || -> Result<Told> {
            let mut connection = Client::connect_from(client, gate.envoy.address())?;
            BEHAVIOURS[number % BEHAVIOURS.len()](&mut connection)?;
            Ok(take_leave(connection)?)
        };
        match refused() {
            Ok(told) if told == refusal(client) => None,
            other => Some(format!("{}: {other:?}", number % BEHAVIOURS.len())),
        }
    });
    let wrong: Vec<_> = wrong.into_iter().flatten().collect();
    println!("{} of 1000 refused as they should be", 1000 - wrong.len());
    ensure!(
        wrong.is_empty(),
        "{} wrong: {:#?}",
        wrong.len(),
        wrong.first()
    );
    assert_eq!(mta.stats()?.connections, before);
    assert_eq!(gate.count("refused;rule=dnsbl")?, 1000);
    Ok(())
}

#[test]
fn twenty_sessions_of_one_client_at_once_make_one_question() -> Result<()> {
    let delay = Duration::from_millis(200);
    let fake = FakeDoh::answering(move |question: &Question| match test_point(question) {
        Some(reply) => Response::from(reply),
        None => Response::from(Reply::listed(&[[127, 0, 0, 2]], 300)).after(delay),
    })?;
    let mta = mta()?;
    let policy = asking(&LISTS[..1], &json!({ "budget_ms": 10_000 }));
    let gate = Gate::asking_before(mta.address(), policy, fake.address(), &LISTS[..1])?;
    for number in 0..5 {
        let client = client(number);
        let together = Barrier::new(20);
        let told = crowd(20, 20, |_| {
            together.wait();
            gate.visit(client)
        });
        for told in told {
            assert_eq!(told?, refusal(client));
        }
        assert_eq!(fake.asked(&query_name(client, LISTS[0])), 1);
    }
    println!(
        "100 sessions of 5 clients: {} questions",
        fake.asked_about_clients(LISTS[0])
    );
    Ok(())
}

#[test]
fn clients_on_our_own_list_cost_no_question() -> Result<()> {
    raise_open_files()?;
    let lists = Rbldnsd::serving(&zones()?)?;
    let resolver = Resolver::Dnsdist.before(lists.address(), LISTS[0])?;
    let mut mta = mta()?;
    let mut policy = asking(&LISTS, &json!({}));
    policy["listed"] = json!({ "networks": ["100.64.0.0/10"] });
    let gate = Gate::asking_before(mta.address(), policy, resolver.address(), &LISTS)?;
    let before = mta.stats()?.connections;
    let wrong = crowd(CLIENTS, AT_ONCE, |number| {
        let client = client(number);
        let line = "554 5.7.1 Service unavailable; client";
        let line = format!("{line} [{client}] blocked using our own list\r\n");
        match gate.visit(client) {
            Ok(Told::Refusal(told)) if told == line => None,
            other => Some(format!("{client}: {other:?}")),
        }
    });
    let wrong: Vec<_> = wrong.into_iter().flatten().collect();
    ensure!(
        wrong.is_empty(),
        "{} wrong: {:#?}",
        wrong.len(),
        wrong.first()
    );
    for list in LISTS {
        let (asked, reached) = (
            gate.count(&of_list("questions", list))?,
            lists.asked_about_clients(list)?,
        );
        println!("{CLIENTS} sessions: {asked} questions asked, {reached} reached {list}");
        assert_eq!((asked, reached), (0, 0));
    }
    assert_eq!(gate.count("refused;rule=listed.networks")?, CLIENTS as u64);
    assert_eq!(mta.stats()?.connections, before);
    Ok(())
}

/// How long a client waits for its greeting, from the moment it has connected.
fn greeting_delay(gate: &Gate, client: IpAddr) -> Result<Duration> {
    let mut connection = gate.knock(client)?;
    let begun = Instant::now();
    ensure!(connection.reply()?.code == 220, "{client} was refused");
    let delay = begun.elapsed();
    connection.command("QUIT")?;
    connection.read_to_end()?;
    Ok(delay)
}

/// The delay that 99 of 100 do not exceed.
fn p99(mut delays: Vec<Duration>) -> Duration {
    delays.sort();
    let place = delays.len() * 99 / 100;
    delays.get(place).copied().unwrap_or(Duration::MAX)
}

/// Clients that are on no list and never came before, while a resolver is out of order.
fn nobody_suffers(break_it: impl FnOnce(&mut DohServer) -> Result<(), Error>) -> Result<()> {
    let lists = Rbldnsd::serving(&zones()?)?;
    let mut resolver = Resolver::Dnsdist.before(lists.address(), LISTS[0])?;
    let mta = mta()?;
    let gate = |more: Value| Gate::before(mta.address(), asking(&LISTS, &more), resolver.address());
    let asks = gate(json!({}))?;
    let off = gate(json!({ "lookup": "off" }))?;
    asks.wait_until_asking(&LISTS)?;
    assert_eq!(asks.visit(client(0))?, refusal(client(0)));
    break_it(&mut resolver)?;

    let honest = |number| client(LISTED + number);
    let mut first = Vec::new();
    while first.len() < 300 || asks.count(&of_list("site_off", LISTS[0]))? < 2 {
        ensure!(first.len() < 10_000, "a breaker never opened");
        first.push(greeting_delay(&asks, honest(first.len()))?);
    }
    let (mut asking, mut free) = (Vec::new(), Vec::new());
    for number in 0..600 {
        let client = honest(first.len() + number);
        asking.push(greeting_delay(&asks, client)?);
        free.push(greeting_delay(&off, client)?);
    }
    let slowest = first.iter().max().copied().unwrap_or_default();
    let count = first.len();
    println!("{count} sessions until every breaker was open: slowest greeting {slowest:?}");
    let (asking, free) = (p99(asking), p99(free));
    println!("then greeting at p99 {asking:?}, with lookups off {free:?}");
    // A budget of 300 ms, and as much again for a busy machine.
    ensure!(slowest < Duration::from_millis(600));
    ensure!(asking < free + Duration::from_millis(5));
    assert_eq!(asks.count("refused;rule=dnsbl")?, 1);
    Ok(())
}

#[test]
fn a_dead_resolver_refuses_nobody_and_soon_costs_no_time() -> Result<()> {
    nobody_suffers(DohServer::kill)
}

#[test]
fn a_hung_resolver_refuses_nobody_and_soon_costs_no_time() -> Result<()> {
    nobody_suffers(|resolver| resolver.process().signal(Signal::SIGSTOP))
}
