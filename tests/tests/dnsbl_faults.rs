//! Blocklists and resolvers in their bad hours: no answer but a listing refuses anybody, mail
//! flows on, and what is well again is asked again.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use anyhow::{Result, anyhow, ensure};
use nix::sys::signal::Signal;
use portcullis_tests::{
    Error,
    deadline::{PATIENCE, Seen, wait_for},
    dnsbl::{
        DohServer, FakeDoh, Gate, Question, Rbldnsd, Reply, Resolver, Response, TESTERS, Then,
        Told, Zone, asking, by_last_octet, crowd, of_list,
    },
    envoy::ServiceAt,
    host_sim::{HostSim, Mta},
};
use serde_json::json;

const LIST: &str = "bl.example.test";
const OTHER: &str = "pbl.example.test";

fn mta() -> Result<HostSim> {
    Ok(Mta::answering("550 5.1.1 No such user").start()?)
}

/// The clients of a network, none of whom comes twice.
fn client(network: u8, number: usize) -> IpAddr {
    let [.., high, low] = number.to_be_bytes();
    Ipv4Addr::new(100, network, high, low).into()
}

fn listed() -> Reply {
    Reply::listed(&[[127, 0, 0, 2]], 300)
}

/// Answers that are no listing, though most look like one, by the fault they count as.
fn bad_answers() -> Vec<(&'static str, Then)> {
    let codes = |code| Then::Answer(Reply::listed(&[code], 300));
    let truncated = Reply {
        truncated: true,
        ..listed()
    };
    vec![
        ("error_code", codes([127, 255, 255, 254])),
        ("outside_loopback", codes([203, 0, 113, 1])),
        ("test_point", codes([127, 0, 0, 1])),
        (
            "servfail",
            Then::Answer(Reply {
                rcode: 2,
                ..listed()
            }),
        ),
        (
            "refused_by_server",
            Then::Answer(Reply {
                rcode: 5,
                ..listed()
            }),
        ),
        ("response_code", Then::Answer(Reply::code(4))),
        ("truncated", Then::Answer(truncated)),
        (
            "malformed",
            Then::Octets(b"<html>Log in to the network</html>".into()),
        ),
        ("malformed", Then::Octets(Vec::new())),
        (
            "other_question",
            Then::AnswerTo("9.113.0.203.bl.example.test", listed()),
        ),
        ("content_type", Then::ContentType("text/html", listed())),
        ("http_status", Then::Status(500)),
        ("http_status", Then::Status(403)),
        ("too_long", Then::Octets(vec![0; 5_000])),
        // Beyond http.async_response_buffer_limit Envoy itself breaks off.
        ("unreachable", Then::Octets(vec![0; 200_000])),
        ("unreachable", Then::Reset),
        ("timeout", Then::Hang),
    ]
}

#[test]
fn a_bad_answer_lists_nobody() -> Result<()> {
    let fake = FakeDoh::answering(by_last_octet)?;
    let mta = mta()?;
    let policy = asking(
        &[LIST],
        &json!({ "timeout_ms": 500, "budget_ms": 5000, "breaker": { "failures": 1000 } }),
    );
    let gate = Gate::asking_before(mta.address(), policy, fake.address(), &[LIST])?;
    for (number, (fault, then)) in bad_answers().into_iter().enumerate() {
        let before = gate.count(&format!("dnsbl_faults;fault={fault}"))?;
        let told = format!("{fault} by {then:?}");
        fake.answer(move |_| Response::from(then.clone()));
        assert_eq!(
            gate.visit(client(64, number))?,
            Told::Greeting,
            "{told:.200}"
        );
        let after = gate.wait_for_count(&format!("dnsbl_faults;fault={fault}"), before + 1);
        ensure!(after.is_ok(), "not counted: {told:.200}");
    }
    assert_eq!(
        gate.count(&of_list("errors", LIST))?,
        bad_answers().len() as u64
    );
    fake.answer(by_last_octet);
    let told = gate.visit(client(64, 5))?;
    assert_eq!(told, Told::Greeting, "an error is remembered too");
    let told = gate.visit(client(65, 5))?;
    ensure!(matches!(told, Told::Refusal(_)), "{told:?}");
    assert_eq!(gate.envoy.traps()?, Vec::<String>::new());
    Ok(())
}

/// The list has been found unfit for this reason by each machine, which the log says, and is not
/// asked.
fn found_unfit(gate: &mut Gate, list: &str, reason: &str) -> Result<()> {
    gate.wait_for_count(&of_list("site_off", list), TESTERS)?;
    let log = gate.envoy.process().log()?;
    let line = format!("dnsbl site={list} is not asked: {reason}");
    ensure!(log.contains(&line), "no {line:?} in {log}");
    assert_eq!(gate.count(&of_list("questions", list))?, 0);
    Ok(())
}

type Script = fn(&Question) -> Reply;

#[test]
fn a_resolver_that_answers_everything_alike_is_not_believed() -> Result<()> {
    let resolvers: [(&str, Script); 6] = [
        ("outside_loopback", |_| {
            Reply::listed(&[[203, 0, 113, 1]], 300)
        }),
        ("lists_everything", |_| listed()),
        ("lists_everything", |_| {
            Reply::listed(&[[127, 0, 0, 1]], 300)
        }),
        ("error_code", |_| {
            Reply::listed(&[[127, 255, 255, 254]], 300)
        }),
        ("lists_nothing", |_| Reply::unlisted(300)),
        ("servfail", |_| Reply::code(2)),
    ];
    let mta = mta()?;
    for (reason, script) in resolvers {
        let fake = FakeDoh::answering(script)?;
        let mut gate = Gate::before(mta.address(), asking(&[LIST], &json!({})), fake.address())?;
        found_unfit(&mut gate, LIST, reason)?;
        assert_eq!(gate.visit(client(64, 5))?, Told::Greeting, "{reason}");
        assert_eq!(fake.asked_about_clients(LIST), 0, "{reason}");
    }
    Ok(())
}

#[test]
fn without_the_cluster_everybody_is_let_in() -> Result<()> {
    let mta = mta()?;
    let policy = asking(&[LIST], &json!({}));
    let mut gate = Gate::before(mta.address(), policy, ServiceAt::Absent)?;
    found_unfit(&mut gate, LIST, "no_cluster")?;
    assert_eq!(gate.visit(client(64, 5))?, Told::Greeting);
    assert_eq!(gate.envoy.traps()?, Vec::<String>::new());
    Ok(())
}

#[test]
fn a_list_of_the_whole_world_or_of_nobody_is_switched_off_and_the_others_are_asked() -> Result<()> {
    let halves = ["0.0.0.0/1", "128.0.0.0/1"];
    let code = Ipv4Addr::new(127, 0, 0, 2);
    let mut everybody = Zone::new(OTHER);
    for half in halves {
        everybody = everybody.lists(half.parse::<ipnet::IpNet>()?, code, "Everybody");
    }
    let empty = Zone::new(OTHER).without_test_points();
    for (zone, reason) in [(everybody, "lists_everything"), (empty, "lists_nothing")] {
        let some: ipnet::IpNet = "100.64.0.0/16".parse()?;
        let lists = Rbldnsd::serving(&[Zone::new(LIST).lists(some, code, "Some"), zone])?;
        let resolver = Resolver::Dnsdist.before(lists.address(), LIST)?;
        let mta = mta()?;
        let policy = asking(&[OTHER, LIST], &json!({}));
        let mut gate = Gate::asking_before(mta.address(), policy, resolver.address(), &[LIST])?;
        found_unfit(&mut gate, OTHER, reason)?;
        assert_eq!(gate.visit(client(65, 5))?, Told::Greeting);
        let told = gate.visit(client(64, 5))?;
        ensure!(matches!(told, Told::Refusal(_)), "{told:?}");
    }
    Ok(())
}

/// Both servers, of which one is about to fail.
struct Servers {
    lists: Rbldnsd,
    resolver: DohServer,
}

/// How they fail, and come back.
#[derive(Debug, Clone, Copy)]
enum Outage {
    ResolverDies,
    ResolverHangs,
    ListsDie,
}

impl Outage {
    fn begin(self, servers: &mut Servers) -> Result<(), Error> {
        match self {
            Self::ResolverDies => servers.resolver.kill(),
            Self::ResolverHangs => servers.resolver.process().signal(Signal::SIGSTOP),
            Self::ListsDie => servers.lists.kill(),
        }
    }

    fn end(self, servers: &mut Servers) -> Result<(), Error> {
        match self {
            Self::ResolverDies => servers.resolver.restart(),
            Self::ResolverHangs => servers.resolver.process().signal(Signal::SIGCONT),
            Self::ListsDie => servers.lists.restart(),
        }
    }
}

/// Honest clients, none twice, until `over`; how many there were, and those not greeted.
fn flood(gate: &Gate, over: &AtomicBool) -> (usize, Vec<String>) {
    let sessions = crowd(50_000, 8, |number| {
        if over.load(Ordering::Relaxed) {
            return None;
        }
        Some(match gate.visit(client(65, number)) {
            Ok(Told::Greeting) => Ok(()),
            other => Err(format!("{number}: {other:?}")),
        })
    });
    let sessions: Vec<_> = sessions.into_iter().flatten().collect();
    let count = sessions.len();
    (
        count,
        sessions.into_iter().filter_map(Result::err).collect(),
    )
}

/// An outage and its end, as the guard sees them.
fn go_through(outage: Outage, gate: &Gate, servers: &mut Servers) -> Result<()> {
    outage.begin(servers)?;
    // Each worker finds out for itself; the main thread asks nothing.
    gate.wait_for_count(&of_list("site_off", LIST), 2)?;
    outage.end(servers)?;
    wait_for("every machine asking again", PATIENCE, || {
        let (on, off) = (
            gate.count(&of_list("site_on", LIST))?,
            gate.count(&of_list("site_off", LIST))?,
        );
        Ok(if on == TESTERS + off {
            Seen::Done(())
        } else {
            Seen::NotYet(format!("on {on} times, off {off} times"))
        })
    })?;
    Ok(())
}

fn an_outage_harms_nobody(outage: Outage) -> Result<()> {
    let some: ipnet::IpNet = "100.64.0.0/16".parse()?;
    let zone = Zone::new(LIST).lists(some, [127, 0, 0, 2].into(), "Some");
    let lists = Rbldnsd::serving(&[zone])?;
    let resolver = Resolver::Dnsdist.before(lists.address(), LIST)?;
    let mut servers = Servers { lists, resolver };
    let mta = mta()?;
    let policy = asking(
        &[LIST],
        &json!({
            "budget_ms": 200,
            "timeout_ms": 1000,
            "breaker": { "failures": 3, "retry_s": 1, "max_retry_s": 1 },
        }),
    );
    let address = servers.resolver.address();
    let gate = Gate::asking_before(mta.address(), policy, address, &[LIST])?;
    let over = AtomicBool::new(false);
    let (sessions, harmed) = thread::scope(|scope| {
        let flood = scope.spawn(|| flood(&gate, &over));
        let gone = go_through(outage, &gate, &mut servers);
        over.store(true, Ordering::Relaxed);
        let flooded = flood.join().map_err(|_| anyhow!("a client panicked"))?;
        gone.map(|()| flooded)
    })?;
    println!(
        "{outage:?}: {sessions} honest sessions, {} harmed",
        harmed.len()
    );
    ensure!(sessions >= 100, "{sessions} sessions tell little");
    ensure!(
        harmed.is_empty(),
        "{} harmed: {:?}",
        harmed.len(),
        harmed.first()
    );
    for number in 0..20 {
        let told = gate.visit(client(64, number))?;
        ensure!(matches!(told, Told::Refusal(_)), "{number}: {told:?}");
    }
    assert_eq!(gate.count("refused;rule=dnsbl")?, 20);
    assert_eq!(gate.envoy.traps()?, Vec::<String>::new());
    Ok(())
}

#[test]
fn a_resolver_that_dies_in_a_flood_harms_nobody_and_is_asked_again() -> Result<()> {
    an_outage_harms_nobody(Outage::ResolverDies)
}

#[test]
fn a_resolver_that_hangs_in_a_flood_harms_nobody_and_is_asked_again() -> Result<()> {
    an_outage_harms_nobody(Outage::ResolverHangs)
}

#[test]
fn lists_that_die_in_a_flood_harm_nobody_and_are_asked_again() -> Result<()> {
    an_outage_harms_nobody(Outage::ListsDie)
}
