//! Clients whose answer is still on its way: held before the greeting, or let in meanwhile.

use std::{
    net::IpAddr,
    sync::mpsc,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use portcullis_tests::{
    dnsbl::{FakeDoh, Gate, Question, Response, Told, asking, by_last_octet, of_list, query_name},
    envoy::{EnvoyConfig, Guard},
    host_sim::{HostSim, Mta},
    postfix::{Postfix, Service},
    smtp::Client,
    stand::rcpt,
};
use serde_json::json;

const LIST: &str = "bl.example.test";
/// Clients of this machine, by themselves: what they do reaches the guard as it was done.
const LISTED: &str = "127.64.0.5";
const UNLISTED: &str = "127.64.0.200";

fn mta() -> Result<HostSim> {
    Ok(Mta::answering("550 5.1.1 No such user").start()?)
}

fn ip(text: &str) -> Result<IpAddr> {
    Ok(text.parse()?)
}

fn refusal(client: &str) -> String {
    format!("554 5.7.1 Service unavailable; client [{client}] blocked using {LIST}\r\n")
}

/// A list that answers about a client only when it is told to.
struct Holding {
    fake: FakeDoh,
    go: mpsc::Sender<()>,
}

fn holding() -> Result<Holding> {
    let (go, wait) = mpsc::channel();
    let fake = FakeDoh::answering(move |question: &Question| {
        if !question.is_test_point() {
            // A test that is over has dropped the other end.
            let _ = wait.recv();
        }
        by_last_octet(question)
    })?;
    Ok(Holding { fake, go })
}

impl Holding {
    /// Answers the one question about this client, which has been asked by now.
    fn answer(&self, client: &str) -> Result<()> {
        self.fake
            .wait_until_asked(&query_name(ip(client)?, LIST), 1)?;
        Ok(self.go.send(())?)
    }
}

/// Where refused clients go.
#[derive(Debug, Clone, Copy)]
enum Refused {
    /// To the guard's own echo.
    Echo,
    /// To the server, whose greeting is replaced.
    Server,
}

/// The guard with clients that connect themselves, before the demo server.
fn direct(mta: &HostSim, holding: &Holding, refused: Refused) -> Result<Gate> {
    let patient = json!({ "budget_ms": 10_000, "timeout_ms": 30_000 });
    let asking = asking(&[LIST], &patient);
    let refusal = match refused {
        Refused::Echo => json!({}),
        Refused::Server => json!({ "cluster": null }),
    };
    let policy = json!({ "dnsbl": asking.get("dnsbl"), "refusal": refusal });
    let config = EnvoyConfig::before(mta.address(), Guard::with_policy(policy)?);
    let envoy = config.dnsbl(holding.fake.address()).start()?;
    let gate = Gate { envoy };
    gate.wait_until_asking(&[LIST])?;
    Ok(gate)
}

/// What a client that is held does before it is told anything.
#[derive(Debug, Clone, Copy)]
enum Held {
    Waits,
    SpeaksEarly,
    HalfCloses,
    SpeaksAndHalfCloses,
    Floods,
}

const ALL: [Held; 5] = [
    Held::Waits,
    Held::SpeaksEarly,
    Held::HalfCloses,
    Held::SpeaksAndHalfCloses,
    Held::Floods,
];

/// Commands of a flood, the last of them QUIT.
const FLOOD: usize = 2_000;

impl Held {
    fn play(self, client: &mut Client) -> Result<()> {
        let early = "EHLO client.example.org\r\nQUIT\r\n";
        match self {
            Self::Waits => {}
            Self::SpeaksEarly => client.send(early)?,
            Self::HalfCloses => client.finish_sending()?,
            Self::SpeaksAndHalfCloses => {
                client.send(early)?;
                client.finish_sending()?;
            }
            Self::Floods => client.send("NOOP\r\n".repeat(FLOOD - 1) + "QUIT\r\n")?,
        }
        Ok(())
    }

    /// How many replies it gets behind the greeting if it is let in, with `QUIT` from who has not
    /// said it.
    fn replies(self) -> usize {
        match self {
            Self::Waits => 1,
            Self::SpeaksEarly | Self::SpeaksAndHalfCloses => 2,
            Self::HalfCloses => 0,
            Self::Floods => FLOOD,
        }
    }
}

fn a_listed_client_reads_its_refusal(refused: Refused, connections: u64) -> Result<()> {
    for held in ALL {
        let (mut mta, lists) = (mta()?, holding()?);
        let gate = direct(&mta, &lists, refused)?;
        let mut client = Client::connect_from(ip(LISTED)?, gate.envoy.address())?;
        held.play(&mut client)?;
        lists.answer(LISTED)?;
        assert_eq!(client.read_to_end()?, refusal(LISTED), "{held:?}");
        let server = mta.stats()?;
        assert_eq!(
            (server.connections, server.bytes_in),
            (connections, 0),
            "{held:?}"
        );
    }
    Ok(())
}

#[test]
fn whatever_a_listed_client_does_while_held_it_reads_its_refusal() -> Result<()> {
    a_listed_client_reads_its_refusal(Refused::Echo, 0)
}

#[test]
fn without_the_echo_nothing_of_what_it_says_reaches_the_server() -> Result<()> {
    a_listed_client_reads_its_refusal(Refused::Server, 1)
}

#[test]
fn whatever_an_honest_client_does_while_held_it_gets_its_replies() -> Result<()> {
    for held in ALL {
        let (mta, lists) = (mta()?, holding()?);
        let gate = direct(&mta, &lists, Refused::Echo)?;
        let mut client = Client::connect_from(ip(UNLISTED)?, gate.envoy.address())?;
        held.play(&mut client)?;
        lists.answer(UNLISTED)?;
        ensure!(client.reply()?.code == 220, "{held:?}");
        if let Held::Waits = held {
            client.send("QUIT\r\n")?;
        }
        let codes = client.codes(held.replies())?;
        if let Some((last, before)) = codes.split_last() {
            ensure!(
                *last == 221 && before.iter().all(|code| *code == 250),
                "{held:?} {codes:?}"
            );
        }
        assert_eq!(client.read_to_end()?, "", "{held:?}");
    }
    Ok(())
}

#[test]
fn a_client_that_leaves_while_held_leaves_nothing_behind() -> Result<()> {
    let (mta, lists) = (mta()?, holding()?);
    let gate = direct(&mta, &lists, Refused::Echo)?;
    for client in [LISTED, UNLISTED] {
        drop(Client::connect_from(ip(client)?, gate.envoy.address())?);
        lists.answer(client)?;
    }
    gate.envoy.wait_for_sessions(2)?;
    assert_eq!(gate.envoy.admin().stat("tcp.smtp.downstream_cx_active")?, 0);
    assert_eq!(gate.envoy.traps()?, Vec::<String>::new());
    let mut client = Client::connect_from(ip(UNLISTED)?, gate.envoy.address())?;
    ensure!(client.reply()?.code == 220);
    Ok(())
}

#[test]
fn a_slow_answer_holds_a_greeting_no_longer_than_its_budget_and_serves_the_next_session()
-> Result<()> {
    let (slow, budget) = (Duration::from_millis(1500), Duration::from_millis(300));
    let fake = FakeDoh::answering(move |question: &Question| match question.is_test_point() {
        true => Response::from(by_last_octet(question)),
        false => Response::from(by_last_octet(question)).after(slow),
    })?;
    let mta = mta()?;
    let policy = asking(&[LIST], &json!({ "budget_ms": 300 }));
    let gate = Gate::asking_before(mta.address(), policy, fake.address(), &[LIST])?;
    let begun = Instant::now();
    assert_eq!(gate.visit(ip("203.0.113.5")?)?, Told::Greeting);
    let waited = begun.elapsed();
    println!("held for {waited:?} with a budget of {budget:?}");
    ensure!(budget <= waited && waited < slow, "{waited:?}");
    assert_eq!(gate.count("dnsbl_over_budget")?, 1);

    gate.wait_for_count(&of_list("listed", LIST), 1)?;
    let line = refusal("203.0.113.5");
    for _ in 0..4 {
        assert_eq!(gate.visit(ip("203.0.113.5")?)?, Told::Refusal(line.clone()));
    }
    assert_eq!(fake.asked_about_clients(LIST), 1);
    Ok(())
}

#[test]
fn observe_mode_holds_nobody_and_records_who_is_listed() -> Result<()> {
    let (mta, lists) = (mta()?, holding()?);
    let mut policy = asking(
        &[LIST],
        &json!({ "budget_ms": 10_000, "timeout_ms": 30_000 }),
    );
    policy["mode"] = json!("observe");
    let address = lists.fake.address();
    let gate = Gate::asking_before(mta.address(), policy, address, &[LIST])?;
    let mut client = gate.knock(ip("203.0.113.5")?)?;
    // No answer yet: a client that was held would wait in vain.
    ensure!(client.reply()?.code == 220);
    lists.answer("203.0.113.5")?;
    gate.wait_for_count("observed;rule=dnsbl", 1)?;
    ensure!(client.command("NOOP")?.code == 250);
    ensure!(client.command("QUIT")?.code == 221);
    drop(client);
    assert_eq!(gate.visit(ip("203.0.113.5")?)?, Told::Greeting);
    for line in gate.envoy.wait_for_sessions(2)? {
        let told = &line["portcullis"];
        assert_eq!(told["verdict"], "observe", "{line}");
        assert_eq!(told["rule"], "dnsbl", "{line}");
        assert_eq!(told["dnsbl"]["sites"][0]["site"], LIST, "{line}");
    }
    assert_eq!(gate.count("refused;rule=dnsbl")?, 0);
    Ok(())
}

#[test]
fn a_listed_client_is_asked_about_once_it_errs_and_ends_behind_its_message() -> Result<()> {
    let lists = holding()?;
    let postfix = Postfix::start()?;
    let policy = asking(
        &[LIST],
        &json!({ "lookup": "first-rejection", "timeout_ms": 30_000 }),
    );
    let server = postfix.address(Service::Unknown550);
    let gate = Gate::asking_before(server, policy, lists.fake.address(), &[LIST])?;

    let mut honest = gate.knock(ip("203.0.113.6")?)?;
    ensure!(honest.codes(1)? == [220]);
    for (command, code) in [
        ("EHLO client.example.org", 250),
        ("MAIL FROM:<sender@example.org>", 250),
        (&rcpt("alice"), 250),
        ("DATA", 354),
        ("Subject: fine\r\n\r\nHello.\r\n.", 250),
        ("QUIT", 221),
    ] {
        assert_eq!(honest.command(command)?.code, code, "{command}");
    }
    assert_eq!(lists.fake.asked_about_clients(LIST), 0);
    // Envoy lets a session end when both sides have ended.
    drop(honest);
    gate.envoy.wait_for_sessions(1)?;

    let mut client = gate.knock(ip("203.0.113.5")?)?;
    ensure!(client.codes(1)? == [220]);
    for (command, code) in [
        ("EHLO client.example.org", 250),
        ("MAIL FROM:<sender@example.org>", 250),
        (&rcpt("nobody"), 550),
        (&rcpt("noone"), 550),
        (&rcpt("alice"), 250),
        ("DATA", 354),
    ] {
        assert_eq!(client.command(command)?.code, code, "{command}");
    }
    client.send("Subject: under way\r\n\r\n")?;
    lists.answer("203.0.113.5")?;
    gate.wait_for_count(&of_list("listed", LIST), 1)?;
    assert_eq!(client.command("Hello.\r\n.")?.code, 250);
    client.send("MAIL FROM:<sender@example.org>\r\n")?;
    assert_eq!(client.read_to_end()?, refusal("203.0.113.5"));
    assert_eq!(lists.fake.asked_about_clients(LIST), 1);
    assert_eq!(postfix.log().wait_for_messages(2)?, 2);

    let log = gate.envoy.wait_for_sessions(2)?;
    assert_eq!(log[1]["portcullis"]["verdict"], "close", "{log:#?}");
    assert_eq!(log[1]["portcullis"]["rule"], "dnsbl", "{log:#?}");
    Ok(())
}

#[test]
fn an_unlisted_client_that_errs_is_asked_about_once_and_goes_on() -> Result<()> {
    let fake = FakeDoh::answering(by_last_octet)?;
    let mta = mta()?;
    let policy = asking(&[LIST], &json!({ "lookup": "first-rejection" }));
    let gate = Gate::asking_before(mta.address(), policy, fake.address(), &[LIST])?;
    let mut client = gate.knock(ip("203.0.113.200")?)?;
    ensure!(client.codes(1)? == [220]);
    client.command("EHLO client.example.org")?;
    client.command("MAIL FROM:<sender@example.org>")?;
    for name in ["nobody", "noone", "nemo"] {
        ensure!(client.command(&rcpt(name))?.code == 550);
    }
    gate.wait_for_count(&of_list("unlisted", LIST), 1)?;
    ensure!(client.command(&rcpt("alice"))?.code == 250);
    ensure!(client.command("QUIT")?.code == 221);
    assert_eq!(fake.asked_about_clients(LIST), 1);
    Ok(())
}
