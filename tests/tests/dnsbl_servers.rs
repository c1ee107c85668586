//! The blocklist servers that the other tests ask: they answer, forget, die and come back as real
//! ones do.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use portcullis_tests::{
    deadline::{PATIENCE, Seen, wait_for},
    dnsbl::{FakeDoh, Question, Rbldnsd, Record, Reply, Resolver, Then, Zone, ask, query_name},
};

const LIST: &str = "bl.example.test";

fn name(client: &str, list: &str) -> Result<String> {
    Ok(query_name(client.parse::<IpAddr>()?, list))
}

/// The addresses in a reply, as text.
fn codes(reply: &Reply) -> Vec<String> {
    let code = |(_, record): &(u32, Record)| match record {
        Record::A(code) => Some(code.to_string()),
        Record::Txt(_) => None,
    };
    reply.answers.iter().filter_map(code).collect()
}

#[test]
fn the_example_lists_answer_through_both_resolvers() -> Result<()> {
    let lists = Rbldnsd::example()?;
    for resolver in [Resolver::Dnsdist, Resolver::Unbound] {
        let server = resolver.before(lists.address(), LIST)?;
        for (client, list, wanted) in [
            ("203.0.113.7", LIST, &["127.0.0.2"][..]),
            ("203.0.113.25", LIST, &[]),
            ("2001:db8:bad::1", LIST, &["127.0.0.2"]),
            ("2001:db8:900d::1", LIST, &[]),
            ("198.51.100.9", "pbl.example.test", &["127.0.0.10"]),
            ("198.51.100.130", "pbl.example.test", &["127.0.0.11"]),
            ("203.0.113.10", "wl.example.test", &["127.0.0.2"]),
            ("127.0.0.2", "wl.example.test", &["127.0.0.2"]),
            ("::ffff:127.0.0.2", "wl.example.test", &["127.0.0.2"]),
            ("127.0.0.1", LIST, &[]),
        ] {
            let answer = server.ask(&name(client, list)?, "A")?;
            let reply = answer.reply.context("no message")?;
            assert_eq!(codes(&reply), wanted, "{resolver:?} {client} {list}");
            assert_eq!(reply.rcode, if wanted.is_empty() { 3 } else { 0 });
            ensure!(!wanted.is_empty() || reply.soa.is_some_and(|(_, minimum)| minimum == 300));
        }
        let text = server.ask(&name("203.0.113.7", LIST)?, "TXT")?.reply;
        let told = format!("{text:?}");
        ensure!(told.contains("lookup?ip=203.0.113.7"), "{told}");
    }
    Ok(())
}

#[test]
fn a_large_list_is_served_cached_and_read_anew() -> Result<()> {
    let zone = || Zone::new(LIST).crowded(20_000).ttl(1);
    let mut lists = Rbldnsd::serving(&[zone()])?;
    let server = Resolver::Dnsdist.before(lists.address(), LIST)?;
    let client = name("203.0.113.7", LIST)?;
    ensure!(server.ask(&name("100.64.78.31", LIST)?, "A")?.is_listed());
    ensure!(
        server
            .ask(&name("2001:db8:64:4e1f::1", LIST)?, "A")?
            .is_listed()
    );
    assert_eq!(lists.asked_about_clients(LIST)?, 2);
    ensure!(!server.ask(&client, "A")?.is_listed());
    let network: ipnet::IpNet = "203.0.113.0/24".parse()?;
    lists.reload(&[zone().lists(network, [127, 0, 0, 4].into(), "Late $")])?;
    wait_for("the end of what the resolver keeps", PATIENCE, || {
        let answer = server.ask(&client, "A")?;
        Ok(if answer.is_listed() {
            Seen::Done(())
        } else {
            Seen::NotYet(format!("{answer:?}"))
        })
    })?;
    Ok(())
}

#[test]
fn a_kept_answer_costs_the_list_no_second_question() -> Result<()> {
    let lists = Rbldnsd::serving(&[Zone::new(LIST)])?;
    for (resolver, wanted) in [(Resolver::Dnsdist, 1), (Resolver::Unbound, 2)] {
        let server = resolver.before(lists.address(), LIST)?;
        for _ in 0..5 {
            server.ask(&name("203.0.113.7", LIST)?, "A")?;
        }
        assert_eq!(lists.asked_about_clients(LIST)?, wanted);
    }
    Ok(())
}

#[test]
fn both_servers_die_and_come_back_where_they_were() -> Result<()> {
    let mut lists = Rbldnsd::example()?;
    let mut server = Resolver::Dnsdist.before(lists.address(), LIST)?;
    let client = name("203.0.113.7", LIST)?;
    server.kill()?;
    ensure!(server.ask(&client, "A").is_err());
    server.restart()?;
    ensure!(server.ask(&client, "A")?.is_listed());

    lists.kill()?;
    let other = name("203.0.113.8", LIST)?;
    wait_for("word that the list is gone", PATIENCE, || {
        match server.ask(&other, "A") {
            Ok(answer) if answer.status == 403 => Ok(Seen::Done(())),
            other => Ok(Seen::NotYet(format!("{other:?}"))),
        }
    })?;
    lists.restart()?;
    wait_for("the list again", PATIENCE, || {
        match server.ask(&other, "A") {
            Ok(answer) if answer.is_listed() => Ok(Seen::Done(())),
            other => Ok(Seen::NotYet(format!("{other:?}"))),
        }
    })?;
    Ok(())
}

#[test]
fn the_scripted_resolver_does_what_it_is_told() -> Result<()> {
    let listed = || Reply::listed(&[[127, 0, 0, 3]], 60);
    let fake = FakeDoh::answering(move |question: &Question| match question.record.as_str() {
        "A" => listed(),
        _ => Reply::text("why", 60),
    })?;
    let client = name("203.0.113.7", LIST)?;
    let at = fake.address();
    assert_eq!(ask(at, &client, "A")?.reply, Some(listed()));
    assert_eq!(ask(at, &client, "TXT")?.reply, Some(Reply::text("why", 60)));
    assert_eq!(fake.asked(&client), 2);
    assert_eq!(fake.asked_about_clients(LIST), 2);

    fake.answer(|_| Then::Status(503));
    assert_eq!(ask(at, &client, "A")?.status, 503);
    fake.answer(|_| Then::Reset);
    ensure!(ask(at, &client, "A").is_err());
    fake.answer(|_| Then::Hang);
    ensure!(ask(at, &client, "A").is_err());
    fake.answer(|_| Then::Octets(vec![0; 60_000]));
    let long = ask(at, &client, "A")?;
    assert_eq!(long.reply.context("no message")?.answers, vec![]);
    fake.answer(|_| {
        portcullis_tests::dnsbl::Response::from(Reply::code(2)).after(Duration::from_millis(50))
    });
    let begun = Instant::now();
    assert_eq!(ask(at, &client, "A")?.reply, Some(Reply::code(2)));
    ensure!(begun.elapsed() >= Duration::from_millis(50));
    Ok(())
}

#[test]
fn the_scripted_resolver_dies_and_comes_back_where_it_was() -> Result<()> {
    let fake = FakeDoh::answering(|_| Reply::unlisted(5))?;
    let at = fake.address();
    let client = name("203.0.113.7", LIST)?;
    assert_eq!(ask(at, &client, "A")?.reply, Some(Reply::unlisted(5)));
    drop(fake);
    ensure!(ask(at, &client, "A").is_err());
    let again = FakeDoh::answering_at(at, |_| Reply::listed(&[[127, 0, 0, 2]], 5))?;
    ensure!(ask(at, &client, "A")?.is_listed());
    assert_eq!(again.connections(), 1);
    Ok(())
}
