//! STARTTLS ended at the guard, on real Envoy before real Postfix: what a client sees of it, and
//! that the guard goes on under it as in cleartext.

use anyhow::{Context, Result, ensure};
use portcullis_tests::{
    envoy::ClientTls,
    postfix::Service,
    smtp::Client,
    stand::{Stand, rcpt, rcpts, starttls, under_tls},
    tls::{Certificate, TlsClient},
};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::{
    io::{BufRead, BufReader, Write},
    thread,
};

fn offers(lines: &[String]) -> usize {
    let offer = |line: &&String| line.get(4..) == Some("STARTTLS");
    lines.iter().filter(offer).count()
}

/// What the access log tells of the only session.
fn told(stand: &Stand) -> Result<Value> {
    let log = stand.envoy.wait_for_sessions(1)?;
    let told = log.first().and_then(|line| line.get("portcullis"));
    told.cloned().context("nothing logged")
}

fn no_traps(stand: &Stand) -> Result<()> {
    let traps = stand.envoy.traps()?;
    ensure!(traps.is_empty(), "{traps:#?}");
    Ok(())
}

#[test]
fn mail_comes_under_tls_whatever_the_server_offers_itself() -> Result<()> {
    for service in [Service::Unknown550, Service::OffersTls] {
        let stand = Stand::with_starttls(service, json!({}))?;
        let mut client = stand.client()?;
        let clear = client.command("EHLO client.example.org")?;
        assert_eq!(offers(&clear.lines), 1, "{clear:?}");
        let mut client = client.starttls(&TlsClient::new())?;
        let under = client.command("EHLO client.example.org")?;
        assert_eq!(offers(&under.lines), 0, "{under:?}");
        let again = client.command("STARTTLS")?;
        ensure!(again.starts_with("503 5.5.1"), "{again:?}");
        ensure!(client.command("MAIL FROM:<sender@example.org>")?.code == 250);
        ensure!(client.command(&rcpt("alice"))?.code == 250);
        ensure!(client.command("DATA")?.code == 354);
        ensure!(
            client
                .command("Subject: x\r\n\r\nSTARTTLS\r\nhello\r\n.")?
                .code
                == 250
        );
        ensure!(client.command("QUIT")?.code == 221);
        assert_eq!(client.read_to_end()?, "");
        drop(client);
        assert_eq!(stand.postfix.log().wait_for_messages(1)?, 1);
        let told = told(&stand)?;
        assert_eq!(
            (&told["tls"], &told["opaque"]),
            (&json!(true), &Value::Null)
        );
        assert_eq!(
            stand
                .envoy
                .admin()
                .stat("wasmcustom.portcullis_starttls_total")?,
            1
        );
        no_traps(&stand)?;
    }
    Ok(())
}

#[test]
fn a_client_without_tls_is_served_as_ever() -> Result<()> {
    let stand = Stand::with_starttls(Service::Unknown550, json!({}))?;
    let mut client = stand.client_in_transaction()?;
    ensure!(client.command(&rcpt("alice"))?.code == 250);
    ensure!(client.command("DATA")?.code == 354);
    ensure!(client.command("Subject: x\r\n\r\nSTARTTLS\r\n.")?.code == 250);
    ensure!(client.command("QUIT")?.code == 221);
    assert_eq!(client.read_to_end()?, "");
    drop(client);
    assert_eq!(told(&stand)?["tls"], json!(false));
    Ok(())
}

/// The bot of the story: five guesses, RSET, five more.
fn guess_until_cut(client: &mut Client) -> Result<Vec<u16>> {
    let mut codes = Vec::new();
    for group in 0..40 {
        client.command("MAIL FROM:<offer@example.org>")?;
        for name in 0..5 {
            let reply = client.command(&rcpt(&format!("guess{group}.{name}")))?;
            codes.push(reply.code);
            if reply.code == 421 {
                return Ok(codes);
            }
        }
        client.command("RSET")?;
    }
    Ok(codes)
}

#[test]
fn the_attack_costs_the_server_as_many_lookups_as_in_cleartext() -> Result<()> {
    let mut costs = Vec::new();
    for encrypted in [false, true] {
        let stand = Stand::with_starttls(Service::Unknown451, json!({}))?;
        let mut client = stand.client()?;
        client = match encrypted {
            true => under_tls(client)?,
            false => {
                client.command("EHLO client.example.org")?;
                client
            }
        };
        let codes = guess_until_cut(&mut client)?;
        assert_eq!(
            client.read_to_end()?,
            "",
            "nothing may follow the last word"
        );
        let sessions = stand.postfix.log().wait_for_sessions(1)?;
        costs.push((codes, sessions[0].lookups));
        assert_eq!(told(&stand)?["rule"], "rcpt.max_consecutive");
    }
    assert_eq!(costs[0], costs[1]);
    assert_eq!(costs[1], (vec![451, 451, 451, 451, 421], 5));
    Ok(())
}

#[test]
fn guesses_before_and_after_the_handshake_add_up() -> Result<()> {
    let stand = Stand::with_starttls(Service::Unknown550, json!({}))?;
    let mut client = stand.client_in_transaction()?;
    client.send(rcpts("early", 3))?;
    assert_eq!(client.codes(3)?, [550; 3]);
    let mut client = client.starttls(&TlsClient::new())?;
    client.command("EHLO client.example.org")?;
    client.command("MAIL FROM:<offer@example.org>")?;
    client.send(rcpts("late", 50))?;
    assert_eq!(client.codes(2)?, [550, 421]);
    assert_eq!(client.read_to_end()?, "");
    assert_eq!(stand.postfix.log().wait_for_sessions(1)?[0].lookups, 5);
    no_traps(&stand)
}

#[test]
fn pipelining_under_tls_is_metered_and_answered_in_order() -> Result<()> {
    let stand = Stand::with_starttls(Service::Unknown550, json!({}))?;
    let mut client = stand.client_under_tls()?;
    let burst = rcpts("user", 100);
    client.send(format!("MAIL FROM:<sender@example.org>\r\n{burst}DATA\r\n"))?;
    assert_eq!(client.codes(102)?, [vec![250; 101], vec![354]].concat());
    client.send("Subject: to all\r\n\r\nHello.\r\n.\r\nRSET\r\nQUIT\r\n")?;
    assert_eq!(client.codes(3)?, [250, 250, 221]);
    assert_eq!(client.read_to_end()?, "");
    assert_eq!(stand.postfix.log().wait_for_sessions(1)?[0].accepted, 100);
    no_traps(&stand)
}

#[test]
fn large_messages_arrive_whole_under_tls() -> Result<()> {
    let stand = Stand::with_starttls(Service::Unknown550, json!({}))?;
    let mut client = stand.client_under_tls()?;
    client.command("MAIL FROM:<sender@example.org>")?;
    client.command(&rcpt("alice"))?;
    ensure!(client.command("DATA")?.code == 354);
    let line = format!("{}\r\n", "x".repeat(76));
    client.send(format!(
        "Subject: large\r\n\r\n{}.\r\n",
        line.repeat(100_000)
    ))?;
    ensure!(client.reply()?.code == 250);
    ensure!(client.command("QUIT")?.code == 221);
    drop(client);
    assert_eq!(stand.postfix.log().wait_for_messages(1)?, 1);
    let received = stand.envoy.wait_for_sessions(1)?[0]["bytes_received"].as_u64();
    ensure!(received > Some(7_800_000), "{received:?}");
    Ok(())
}

#[test]
fn under_tls_from_the_first_byte_the_guard_sees_all() -> Result<()> {
    let tls = ClientTls::Implicit {
        certificate: Certificate::temporary()?,
    };
    let stand = Stand::with(Service::OffersTls, json!({}), |config| {
        config.client_tls(tls)
    })?;
    let mut client = Client::connect(stand.envoy.address())?.handshake(&TlsClient::new())?;
    ensure!(client.reply()?.code == 220);
    let ehlo = client.command("EHLO client.example.org")?;
    assert_eq!(offers(&ehlo.lines), 0, "{ehlo:?}");
    ensure!(client.command("STARTTLS")?.starts_with("503 5.5.1"));
    client.command("MAIL FROM:<offer@example.org>")?;
    client.send(rcpts("guess", 50))?;
    assert_eq!(client.codes(5)?, [550, 550, 550, 550, 421]);
    assert_eq!(client.read_to_end()?, "");
    assert_eq!(told(&stand)?["tls"], json!(true));
    no_traps(&stand)
}

#[test]
fn hidden_it_cannot_be_had_from_the_server_either() -> Result<()> {
    let stand = Stand::with_policy(Service::OffersTls, json!({ "starttls": "hide" }))?;
    let mut client = stand.client()?;
    let ehlo = client.command("EHLO client.example.org")?;
    assert_eq!(offers(&ehlo.lines), 0, "{ehlo:?}");
    client.send("NOOP\r\nSTARTTLS\r\nMAIL FROM:<offer@example.org>\r\n")?;
    assert_eq!(client.codes(3)?, [250, 502, 250]);
    client.send(rcpts("guess", 50))?;
    assert_eq!(client.codes(5)?, [550, 550, 550, 550, 421]);
    assert_eq!(stand.postfix.log().wait_for_sessions(1)?[0].lookups, 5);
    Ok(())
}

#[test]
fn let_pass_it_is_the_servers_and_counted() -> Result<()> {
    let stand = Stand::with_policy(Service::OffersTls, json!({}))?;
    let mut client = under_tls(stand.client()?)?;
    client.command("MAIL FROM:<sender@example.org>")?;
    ensure!(client.command(&rcpt("alice"))?.code == 250);
    ensure!(client.command("QUIT")?.code == 221);
    drop(client);
    assert_eq!(told(&stand)?["opaque"], "starttls");
    let passed = "wasmcustom.portcullis_opaque_total;cause=starttls";
    assert_eq!(stand.envoy.admin().stat(passed)?, 1);
    Ok(())
}

#[test]
fn authentication_works_under_tls_and_rules_tls_out_before_it() -> Result<()> {
    let server = AuthServer::start()?;
    let envoy = |policy| -> Result<_> {
        let guard = portcullis_tests::envoy::Guard::with_policy(policy)?;
        let config = portcullis_tests::envoy::EnvoyConfig::before(server.address, guard);
        Ok(config.client_tls(starttls()?).start()?)
    };
    let envoy = envoy(json!({}))?;
    let mut client = under_tls(Client::greeted(envoy.address())?)?;
    assert_eq!(client.command("AUTH PLAIN AGEAYg==")?.code, 235);
    client.send("AUTH LOGIN\r\n")?;
    assert_eq!(client.reply()?.code, 334);
    assert_eq!(client.command("YQ==")?.code, 235);
    assert_eq!(client.command("QUIT")?.code, 221);

    let mut client = Client::greeted(envoy.address())?;
    client.command("EHLO client.example.org")?;
    assert_eq!(client.command("AUTH PLAIN AGEAYg==")?.code, 235);
    assert_eq!(client.command("STARTTLS")?.code, 503);
    let ehlo = client.command("EHLO client.example.org")?;
    assert_eq!(offers(&ehlo.lines), 0, "{ehlo:?}");
    Ok(())
}

/// Takes every name and password.
struct AuthServer {
    address: SocketAddr,
}

impl AuthServer {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // Ends with the connection, which ends with Envoy.
                thread::spawn(move || Self::serve(stream));
            }
        });
        Ok(Self { address })
    }

    fn serve(mut stream: std::net::TcpStream) -> std::io::Result<()> {
        stream.write_all(b"220 mx.example.test ESMTP\r\n")?;
        for line in BufReader::new(stream.try_clone()?).lines() {
            let reply = match line?.to_ascii_uppercase().as_str() {
                line if line.starts_with("EHLO") => "250-mx\r\n250 AUTH PLAIN LOGIN\r\n",
                "AUTH LOGIN" => "334 VXNlcm5hbWU6\r\n",
                line if line.starts_with("AUTH PLAIN") || line == "YQ==" => "235 2.7.0 ok\r\n",
                "QUIT" => "221 2.0.0 bye\r\n",
                _ => "250 2.0.0 ok\r\n",
            };
            stream.write_all(reply.as_bytes())?;
        }
        Ok(())
    }
}
