//! DNSBL lookups of the built filter in virtual time: who asks, when, and how long a greeting
//! waits.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests say what they expect by failing"
)]

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use portcullis_host_sim::{ConnId, HttpAnswer, HttpRequest, Simulator};
use portcullis_tests::{
    dnsbl::{Question, Reply, Scripted, scripted, test_point},
    paths,
};
use serde_json::{Value, json};

const GREETING: &[u8] = b"220 mx.example.test ESMTP\r\n";
const LISTED: &str = "192.0.2.7:40001";
const UNLISTED: &str = "192.0.2.8:40001";

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// One list that has the first of the two clients.
fn one_list(question: &Question) -> Scripted {
    let reply =
        test_point(question).unwrap_or_else(|| match question.name.starts_with("7.2.0.192.") {
            true => Reply::listed(&[[127, 0, 0, 4]], 300),
            false => Reply::unlisted(300),
        });
    reply.into()
}

fn policy(more: Value) -> Value {
    let mut dnsbl = json!({
        "sites": ["bl.example.test"],
        "reserved": "ask",
        "budget_ms": 300,
        "breaker": { "failures": 3, "retry_s": 10, "max_retry_s": 40 },
    });
    let fields = dnsbl.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    json!({ "dnsbl": dnsbl, "sessions": { "max_per_client": null } })
}

/// Two workers that have just begun.
fn untested(
    policy: &Value,
    cluster: impl FnMut(&HttpRequest) -> HttpAnswer + Send + 'static,
) -> Result<Simulator> {
    let builder = Simulator::builder(paths::wasm()?)
        .plugin_config(policy.to_string())
        .workers(2)
        .cluster("dnsbl", cluster)
        .echo_cluster("portcullis_refusals");
    Ok(builder.build()?)
}

/// Two workers whose sites have been tested.
fn simulator(
    policy: &Value,
    cluster: impl FnMut(&HttpRequest) -> HttpAnswer + Send + 'static,
) -> Result<Simulator> {
    let mut sim = untested(policy, cluster)?;
    sim.advance(millis(100));
    Ok(sim)
}

fn open(sim: &mut Simulator, worker: usize, client: &str) -> ConnId {
    let server: SocketAddr = "198.51.100.25:25".parse().unwrap();
    let conn = sim.open_on(worker, client.parse().unwrap(), server);
    // A server greets whom it is connected to.
    sim.server_write(conn, GREETING);
    conn
}

fn reads(sim: &mut Simulator, conn: ConnId) -> String {
    String::from_utf8(sim.take_client(conn).bytes).unwrap()
}

fn is_refusal(text: &str) -> bool {
    text == "554 5.7.1 Service unavailable; client [192.0.2.7] blocked using bl.example.test\r\n"
}

#[test]
fn twenty_sessions_of_one_client_make_one_question() -> Result<()> {
    let (asked, cluster) = scripted(one_list);
    let mut sim = simulator(&policy(json!({})), cluster)?;
    let conns: Vec<ConnId> = (0..20)
        .map(|number| open(&mut sim, number % 2, LISTED))
        .collect();
    sim.advance(millis(100));
    for conn in conns {
        let text = reads(&mut sim, conn);
        assert!(is_refusal(&text), "{text:?}");
    }
    assert_eq!(asked.about_clients().len(), 1);
    assert_eq!(sim.server_connections(), 0);
    // What one worker knows, both know, for as long as the answer holds.
    for worker in [0, 1] {
        let conn = open(&mut sim, worker, LISTED);
        assert!(is_refusal(&reads(&mut sim, conn)));
    }
    assert_eq!(asked.about_clients().len(), 1);
    sim.advance(Duration::from_secs(301));
    open(&mut sim, 0, LISTED);
    sim.advance(millis(20));
    assert_eq!(asked.about_clients().len(), 2);
    assert!(sim.traps().is_empty());
    Ok(())
}

#[test]
fn a_greeting_waits_no_longer_than_its_budget() -> Result<()> {
    let (asked, mut answers) = scripted(one_list);
    let slow = move |request: &HttpRequest| answers(request).after(millis(700));
    let mut sim = simulator(&policy(json!({})), slow)?;
    sim.advance(millis(1000));
    let (listed, unlisted) = (open(&mut sim, 0, LISTED), open(&mut sim, 1, UNLISTED));
    sim.advance(millis(280));
    assert_eq!(reads(&mut sim, listed), "");
    assert_eq!(reads(&mut sim, unlisted), "");
    sim.advance(millis(40));
    for conn in [listed, unlisted] {
        sim.server_write(conn, GREETING);
        assert_eq!(reads(&mut sim, conn).as_bytes(), GREETING, "let in");
    }
    assert_eq!(sim.metrics()["portcullis_dnsbl_over_budget_total"], 2);
    // The answer comes all the same, and is there for the next session.
    sim.advance(millis(500));
    let again = open(&mut sim, 1, LISTED);
    assert!(is_refusal(&reads(&mut sim, again)));
    assert_eq!(asked.about_clients().len(), 2);
    Ok(())
}

#[test]
fn an_answer_in_time_lets_the_client_in_at_once() -> Result<()> {
    let (_, mut answers) = scripted(one_list);
    let delayed = move |request: &HttpRequest| answers(request).after(millis(33));
    let mut sim = simulator(&policy(json!({})), delayed)?;
    sim.advance(millis(1000));
    let conn = open(&mut sim, 0, UNLISTED);
    sim.client_write(conn, b"EHLO early.example.org\r\n");
    sim.advance(millis(32));
    assert_eq!(sim.server_connections(), 0);
    sim.advance(millis(1));
    assert_eq!(sim.server_connections(), 1);
    sim.server_write(conn, GREETING);
    assert_eq!(reads(&mut sim, conn).as_bytes(), GREETING);
    assert_eq!(
        sim.take_server(conn).bytes,
        b"EHLO early.example.org\r\n",
        "what the client said meanwhile is not lost"
    );
    Ok(())
}

#[test]
fn a_dead_resolver_costs_nothing_and_is_tried_again() -> Result<()> {
    let dead = Arc::new(AtomicBool::new(false));
    let is_dead = Arc::clone(&dead);
    let (asked, mut answers) = scripted(one_list);
    let cluster = move |request: &HttpRequest| {
        let answer = answers(request);
        match is_dead.load(Ordering::Relaxed) {
            true => HttpAnswer::Never,
            false => answer,
        }
    };
    let mut sim = simulator(&policy(json!({ "timeout_ms": 1000 })), cluster)?;
    dead.store(true, Ordering::Relaxed);
    for host in 20..26 {
        open(&mut sim, 0, &format!("192.0.2.{host}:40001"));
        sim.advance(millis(1000));
    }
    let (asked_before, tests_before) = (asked.about_clients().len(), asked.tests());
    assert_eq!(asked_before, 3, "three errors, and it is asked no more");
    for host in 30..40 {
        let conn = open(&mut sim, 0, &format!("192.0.2.{host}:40001"));
        assert_eq!(reads(&mut sim, conn).as_bytes(), GREETING, "without delay");
    }
    assert_eq!(asked.about_clients().len(), asked_before);
    // After 10 s, 20 s more, 40 s more, and then every 40 s.
    sim.advance(Duration::from_secs(10 + 21 + 41 + 41 + 41));
    let tests = (asked.tests() - tests_before) / 2;
    assert!((4..=5).contains(&tests), "tried {tests} times");
    dead.store(false, Ordering::Relaxed);
    sim.advance(Duration::from_secs(45));
    let conn = open(&mut sim, 0, LISTED);
    sim.advance(millis(20));
    assert!(is_refusal(&reads(&mut sim, conn)), "asked again");
    assert!(sim.traps().is_empty());
    Ok(())
}

#[test]
fn a_cluster_that_is_not_there_hurts_nobody() -> Result<()> {
    let policy = policy(json!({}));
    let builder = || -> Result<_> {
        Ok(Simulator::builder(paths::wasm()?).plugin_config(policy.to_string()))
    };
    for builder in [builder()?, builder()?.empty_cluster("dnsbl")] {
        let mut sim = builder.build()?;
        sim.advance(millis(100));
        let conn = open(&mut sim, 0, LISTED);
        assert_eq!(reads(&mut sim, conn).as_bytes(), GREETING);
        let log = sim.logs().iter();
        let told = log.filter(|line| line.text.contains("site=bl.example.test is not asked"));
        assert_eq!(told.count(), 1);
        assert!(sim.traps().is_empty());
    }
    Ok(())
}

#[test]
fn lists_that_are_none_are_switched_off_until_they_are_mended() -> Result<()> {
    type Script = fn(&Question) -> Scripted;
    let everything: Script = |_| Reply::listed(&[[127, 0, 0, 2]], 300).into();
    let nothing: Script = |_| Reply::unlisted(300).into();
    let hijacked: Script = |_| Reply::listed(&[[203, 0, 113, 1]], 300).into();
    let refusing: Script = |_| Reply::listed(&[[127, 255, 255, 254]], 300).into();
    for (script, why) in [
        (everything, "lists_everything"),
        (nothing, "lists_nothing"),
        (hijacked, "outside_loopback"),
        (refusing, "error_code"),
    ] {
        let mended = Arc::new(AtomicBool::new(false));
        let is_mended = Arc::clone(&mended);
        let (asked, cluster) = scripted(move |question| match is_mended.load(Ordering::Relaxed) {
            true => one_list(question),
            false => script(question),
        });
        let mut sim = simulator(&policy(json!({})), cluster)?;
        let conn = open(&mut sim, 0, LISTED);
        assert_eq!(reads(&mut sim, conn).as_bytes(), GREETING, "{why}");
        assert_eq!(asked.about_clients(), [], "{why}");
        let off = format!("dnsbl site=bl.example.test is not asked: {why}");
        assert!(sim.logs().iter().any(|line| line.text == off), "{why}");
        mended.store(true, Ordering::Relaxed);
        sim.advance(Duration::from_secs(15));
        let conn = open(&mut sim, 0, LISTED);
        sim.advance(millis(20));
        assert!(is_refusal(&reads(&mut sim, conn)), "{why}");
    }
    Ok(())
}

#[test]
fn who_comes_before_the_sites_are_tested_waits_for_it() -> Result<()> {
    let (_, mut answers) = scripted(one_list);
    let delayed = move |request: &HttpRequest| answers(request).after(millis(30));
    let mut sim = untested(&policy(json!({})), delayed)?;
    let conn = open(&mut sim, 0, LISTED);
    sim.advance(millis(200));
    assert!(is_refusal(&reads(&mut sim, conn)));
    Ok(())
}

#[test]
fn sites_are_tested_every_hour() -> Result<()> {
    let (asked, cluster) = scripted(one_list);
    let mut sim = simulator(&policy(json!({ "self_test_s": 3600 })), cluster)?;
    assert_eq!(asked.tests(), 4, "two test points, two workers");
    sim.advance(Duration::from_secs(3590));
    assert_eq!(asked.tests(), 4);
    sim.advance(Duration::from_secs(20));
    assert_eq!(asked.tests(), 8);
    Ok(())
}

#[test]
fn only_who_guesses_is_looked_up_at_the_first_rejection() -> Result<()> {
    let (asked, cluster) = scripted(one_list);
    let mut sim = simulator(&policy(json!({ "lookup": "first-rejection" })), cluster)?;
    let conn = open(&mut sim, 0, LISTED);
    assert_eq!(reads(&mut sim, conn).as_bytes(), GREETING);
    let say = |sim: &mut Simulator, command: &str, reply: &str| {
        sim.client_write(conn, command.as_bytes());
        sim.advance(millis(20));
        let sent = String::from_utf8(sim.take_server(conn).bytes).unwrap();
        sim.server_write(conn, reply.as_bytes());
        sim.advance(millis(20));
        (sent, reads(sim, conn))
    };
    say(
        &mut sim,
        "EHLO bot.example.org\r\n",
        "250 mx.example.test\r\n",
    );
    say(
        &mut sim,
        "MAIL FROM:<offer@example.org>\r\n",
        "250 2.1.0 Ok\r\n",
    );
    say(
        &mut sim,
        "RCPT TO:<alice@example.test>\r\n",
        "250 2.1.5 Ok\r\n",
    );
    assert_eq!(asked.about_clients(), []);
    let (_, read) = say(
        &mut sim,
        "RCPT TO:<info@example.test>\r\n",
        "451 No such user\r\n",
    );
    assert_eq!(read, "451 No such user\r\n");
    assert_eq!(asked.about_clients().len(), 1);
    let (sent, read) = say(
        &mut sim,
        "RCPT TO:<john@example.test>\r\n",
        "250 2.0.0 Ok\r\n",
    );
    assert_eq!(sent, "NOOP\r\n", "the server is asked nothing more");
    assert!(is_refusal(&read), "{read:?}");
    Ok(())
}

#[test]
fn who_leaves_while_waiting_is_forgotten() -> Result<()> {
    let (_, mut answers) = scripted(one_list);
    let slow = move |request: &HttpRequest| answers(request).after(millis(200));
    let mut sim = simulator(&policy(json!({})), slow)?;
    sim.advance(millis(1000));
    let (reset, half) = (open(&mut sim, 0, LISTED), open(&mut sim, 0, LISTED));
    sim.client_abort(reset);
    sim.client_write(half, b"QUIT\r\n");
    sim.client_half_close(half);
    sim.advance(millis(400));
    assert!(
        is_refusal(&reads(&mut sim, half)),
        "half-closed, it still reads"
    );
    assert_eq!(sim.server_connections(), 0);
    assert!(sim.traps().is_empty());
    Ok(())
}
