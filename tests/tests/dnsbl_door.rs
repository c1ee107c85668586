//! Who is let in and who is refused by what blocklists say, on real Envoy before real servers.

use std::{fs, net::IpAddr};

use anyhow::{Context, Result, ensure};
use portcullis_tests::{
    deadline::{PATIENCE, Seen, wait_for},
    dnsbl::{
        FakeDoh, Gate, Question, Rbldnsd, Reply, Resolver, Told, asking, by_last_octet, of_list,
        query_name,
    },
    envoy::{EnvoyConfig, Guard},
    host_sim::{HostSim, Mta},
    paths,
    postfix::{Postfix, Service},
    smtp::Client,
};
use serde_json::{Value, json};

const LIST: &str = "bl.example.test";
const EXAMPLES: [&str; 3] = [LIST, "pbl.example.test", "wl.example.test"];

fn mta() -> Result<HostSim> {
    Ok(Mta::answering("550 5.1.1 No such user").start()?)
}

fn ip(text: &str) -> Result<IpAddr> {
    Ok(text.parse()?)
}

/// The start of a refusal by a blocklist.
fn blocked(client: &str, list: &str) -> String {
    format!("554 5.7.1 Service unavailable; client [{client}] blocked using {list}")
}

/// What the example policy's clients must be told, by the zones of `envoy/dnsbl/zones`; the text
/// of a refusal without its start.
fn examples() -> Vec<(&'static str, Option<&'static str>)> {
    let spam = "; Listed for sending spam, see https://bl.example.test/lookup?ip=";
    vec![
        ("203.0.113.7", Some(spam)),
        ("203.0.113.25", None),
        ("192.0.2.66", Some(spam)),
        // A dynamic address weighs too little alone.
        ("198.51.100.9", None),
        ("203.0.113.130", Some(spam)),
        // Known to be good, and listed all the same.
        ("203.0.113.10", None),
        ("192.0.2.25", None),
        ("2001:db8:bad::1", Some(spam)),
        ("2001:db8:bad:1::7", Some(spam)),
        ("2001:db8:bad:600d::1", None),
        ("2001:db8:900d::1", None),
    ]
}

fn connections(postfix: &Postfix) -> Result<usize> {
    Ok(postfix.log().text()?.matches(": connect from ").count())
}

fn the_examples_hold(resolver: Resolver, method: &str) -> Result<()> {
    let lists = Rbldnsd::example()?;
    let resolver = resolver.before(lists.address(), LIST)?;
    let postfix = Postfix::start()?;
    let path = paths::dnsbl().with_file_name("policies").join("dnsbl.json");
    let mut policy: Value = serde_json::from_str(&fs::read_to_string(path)?)?;
    let dnsbl = policy.pointer_mut("/dnsbl").and_then(Value::as_object_mut);
    dnsbl
        .context("no dnsbl")?
        .insert("method".into(), json!(method));
    let server = postfix.address(Service::Unknown550);
    let gate = Gate::asking_before(server, policy, resolver.address(), &EXAMPLES)?;
    let before = connections(&postfix)?;
    let mut admitted = 0;
    for (client, text) in examples() {
        let told = gate.visit(ip(client)?)?;
        match text {
            Some(text) => {
                let line = format!("{}{text}{client}\r\n", blocked(client, LIST));
                assert_eq!(told, Told::Refusal(line));
            }
            None => {
                admitted += 1;
                assert_eq!(told, Told::Greeting, "{client}");
            }
        }
    }
    // Its log comes late but in order, and the last of the clients was let in.
    assert_eq!(postfix.log().wait_for_sessions(admitted)?.len(), admitted);
    assert_eq!(connections(&postfix)?, before + admitted);
    assert_eq!(gate.envoy.traps()?, Vec::<String>::new());
    Ok(())
}

#[test]
fn the_example_policy_refuses_and_admits_behind_dnsdist() -> Result<()> {
    the_examples_hold(Resolver::Dnsdist, "get")?;
    the_examples_hold(Resolver::Dnsdist, "post")
}

#[test]
fn the_example_policy_refuses_and_admits_behind_unbound() -> Result<()> {
    the_examples_hold(Resolver::Unbound, "get")?;
    the_examples_hold(Resolver::Unbound, "post")
}

#[test]
fn the_access_log_says_who_was_refused_and_why() -> Result<()> {
    let fake = FakeDoh::answering(by_last_octet)?;
    let mta = mta()?;
    let sites = ["pbl.example.test*2", "bl.example.test*3"];
    let policy = asking(&sites, &json!({ "threshold": 5 }));
    let lists = [LIST, "pbl.example.test"];
    let gate = Gate::asking_before(mta.address(), policy, fake.address(), &lists)?;
    gate.visit(ip("203.0.113.4")?)?;
    let log = gate.envoy.wait_for_sessions(1)?;
    let line = log.first().context("nothing logged")?;
    let listed = |site, weight| json!({ "site": site, "codes": ["127.0.0.4"], "weight": weight });
    let expected = [
        ("/client", json!("203.0.113.4:40001")),
        ("/upstream", json!("envoy://portcullis_echo/")),
        ("/portcullis/client", json!("203.0.113.4")),
        ("/portcullis/verdict", json!("refuse")),
        ("/portcullis/rule", json!("dnsbl")),
        ("/portcullis/dnsbl/total", json!(5)),
        (
            "/portcullis/dnsbl/sites",
            json!([listed(LIST, 3), listed("pbl.example.test", 2)]),
        ),
    ];
    for (pointer, value) in expected {
        assert_eq!(line.pointer(pointer), Some(&value), "{pointer} in {line}");
    }
    assert_eq!(gate.count("refused;rule=dnsbl")?, 1);
    Ok(())
}

#[test]
fn weights_thresholds_and_filters_decide() -> Result<()> {
    let fake = FakeDoh::answering(by_last_octet)?;
    let mta = mta()?;
    let sites = [
        "bl.example.test=127.0.0.[2..11]*2",
        "bl.example.test=127.0.0.[10;20]*3",
        "wl.example.test=127.0.0.11*-1",
    ];
    let policy = asking(&sites, &json!({ "threshold": 2 }));
    let lists = [LIST, "wl.example.test"];
    let gate = Gate::asking_before(mta.address(), policy, fake.address(), &lists)?;
    for (octet, refused) in [
        (2, true),
        // The allow-list takes one point off.
        (11, false),
        (10, true),
        (20, true),
        (12, false),
        (99, false),
        (100, false),
    ] {
        let client = format!("203.0.113.{octet}");
        let told = gate.visit(ip(&client)?)?;
        let wanted = match refused {
            true => Told::Refusal(blocked(&client, LIST) + "\r\n"),
            false => Told::Greeting,
        };
        assert_eq!(told, wanted);
        // Two sites of one list are one question.
        assert_eq!(fake.asked(&query_name(ip(&client)?, LIST)), 1);
    }
    Ok(())
}

#[test]
fn a_network_of_ipv6_is_one_client() -> Result<()> {
    let fake = FakeDoh::answering(by_last_octet)?;
    let mta = mta()?;
    let policy = asking(&[LIST], &json!({}));
    let gate = Gate::asking_before(mta.address(), policy, fake.address(), &[LIST])?;
    for host in ["2001:db8:1::5", "2001:db8:1::6", "2001:db8:1:0:ffff::1"] {
        let told = gate.visit(ip(host)?)?;
        assert_eq!(told, Told::Refusal(blocked(host, LIST) + "\r\n"));
    }
    assert_eq!(fake.asked_about_clients(LIST), 1);
    assert_eq!(gate.visit(ip("2001:db8:1:1::1")?)?, Told::Greeting);
    assert_eq!(fake.asked_about_clients(LIST), 2);
    Ok(())
}

#[test]
fn exempt_and_private_clients_are_not_asked_about() -> Result<()> {
    let fake = FakeDoh::answering(by_last_octet)?;
    let mta = mta()?;
    let mut policy = asking(&[LIST], &json!({ "reserved": "skip" }));
    policy["exempt"] = json!({ "networks": ["198.18.0.0/15", "9.9.9.0/24"] });
    let gate = Gate::asking_before(mta.address(), policy, fake.address(), &[LIST])?;
    for client in ["9.9.9.5", "10.0.0.5", "203.0.113.5", "fd00::5", "127.0.0.5"] {
        assert_eq!(gate.visit(ip(client)?)?, Told::Greeting, "{client}");
    }
    assert_eq!(fake.asked_about_clients(LIST), 0);
    assert_eq!(gate.count("dnsbl_told;how=reserved")?, 4);
    let told = gate.visit(ip("9.9.8.5")?)?;
    assert_eq!(told, Told::Refusal(blocked("9.9.8.5", LIST) + "\r\n"));
    Ok(())
}

#[test]
fn a_client_with_too_many_sessions_is_told_421() -> Result<()> {
    let mut mta = mta()?;
    let policy = json!({ "sessions": { "max_per_client": 2 } });
    let config = EnvoyConfig::before(mta.address(), Guard::with_policy(policy)?);
    let envoy = config.workers(1).start()?;
    let from =
        |client: &str| Ok::<_, anyhow::Error>(Client::connect_from(ip(client)?, envoy.address())?);
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut client = from("127.50.0.7")?;
        ensure!(client.reply()?.code == 220);
        held.push(client);
    }
    let told = from("127.50.0.7")?.read_to_end()?;
    let line = "421 4.7.0 Too many sessions from [127.50.0.7], try again later\r\n";
    assert_eq!(told, line);
    assert_eq!(mta.stats()?.connections, 2);
    ensure!(from("127.50.0.8")?.reply()?.code == 220);
    held.pop();
    wait_for("room for another session", PATIENCE, || {
        let mut client = Client::connect_from([127, 50, 0, 7].into(), envoy.address())?;
        Ok(match client.reply()?.code {
            220 => Seen::Done(()),
            code => Seen::NotYet(code.to_string()),
        })
    })?;
    Ok(())
}

/// What a refused client reads, by this policy, where the list says `text` about it.
fn refusal_with(text: &str, more: &Value) -> Result<String> {
    let text = text.to_owned();
    let fake = FakeDoh::answering(move |question: &Question| match question.record.as_str() {
        "TXT" => Reply::text(&text, 300),
        _ => by_last_octet(question),
    })?;
    let mta = mta()?;
    let gate = Gate::asking_before(
        mta.address(),
        asking(&[LIST], more),
        fake.address(),
        &[LIST],
    )?;
    let line = gate.knock(ip("203.0.113.5")?)?.read_to_end()?;
    let asked = gate.count(&of_list("questions", LIST))?;
    assert_eq!(fake.asked_about_clients(LIST) as u64, asked);
    Ok(line)
}

#[test]
fn a_site_may_have_its_own_reply() -> Result<()> {
    let reply = "550 5.7.1 {client} is {codes} at {site}{reason}, {tried} tried";
    let policy = json!({ "text": "txt", "replies": { LIST: reply } });
    let line = refusal_with("see https://bl.example.test/", &policy)?;
    let told = "203.0.113.5 is 127.0.0.5 at bl.example.test; see https://bl.example.test/";
    assert_eq!(line, format!("550 5.7.1 {told}, 0 tried\r\n"));
    Ok(())
}

#[test]
fn no_text_is_asked_for_where_none_is_wanted() -> Result<()> {
    let line = refusal_with("unwanted", &json!({}))?;
    assert_eq!(line, blocked("203.0.113.5", LIST) + "\r\n");
    Ok(())
}

#[test]
fn a_hostile_text_stays_one_harmless_line() -> Result<()> {
    let policy = json!({ "text": "txt" });
    let line = refusal_with("x\r\n250 2.0.0 fine\r\n\u{1b}[2J\0{client}\u{fc}", &policy)?;
    let told = "; x??250 2.0.0 fine???[2J?(client)??";
    assert_eq!(line, format!("{}{told}\r\n", blocked("203.0.113.5", LIST)));

    let line = refusal_with(&"long ".repeat(800), &policy)?;
    ensure!(line.len() <= 512 && line.ends_with("\r\n"), "{line:?}");
    ensure!(line.starts_with(&blocked("203.0.113.5", LIST)), "{line:?}");
    ensure!(line.matches('\n').count() == 1, "{line:?}");
    Ok(())
}

#[test]
fn without_the_echo_the_servers_greeting_becomes_the_refusal() -> Result<()> {
    let fake = FakeDoh::answering(by_last_octet)?;
    let mut mta = mta()?;
    let mut policy = asking(&[LIST], &json!({}));
    policy["refusal"] = json!({ "cluster": null });
    let gate = Gate::asking_before(mta.address(), policy, fake.address(), &[LIST])?;
    let before = mta.stats()?.connections;
    for client in ["203.0.113.5", "203.0.113.5", "2001:db8::5"] {
        let told = gate.visit(ip(client)?)?;
        assert_eq!(told, Told::Refusal(blocked(client, LIST) + "\r\n"));
    }
    assert_eq!(mta.stats()?.connections, before + 3);
    assert_eq!(gate.visit(ip("203.0.113.200")?)?, Told::Greeting);
    assert_eq!(gate.count("refused;rule=dnsbl")?, 3);
    Ok(())
}
