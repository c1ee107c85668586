//! What can go wrong between a `220` and the first word under TLS: plaintext pushed in behind
//! STARTTLS, bytes that the guard holds in the buffer it shares with Envoy, clients that stop or
//! talk nonsense, and a listener that cannot do it.

use anyhow::{Context, Result, bail, ensure};
use portcullis_tests::{
    deadline::{PATIENCE, Seen, wait_for},
    envoy::{ClientTls, EnvoyConfig, Guard},
    host_sim::Mta,
    paths,
    postfix::{Service, SessionCounts},
    smtp::Client,
    stand::{Stand, deliver_pipelined, rcpt, starttls, under_tls},
    tls::TlsClient,
};
use serde_json::json;
use std::{thread, time::Duration};

const EHLO: &str = "EHLO client.example.org";
/// The head of a ClientHello whose rest is to come.
const CLIENT_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

fn stat(stand: &Stand, name: &str) -> Result<u64> {
    Ok(stand.envoy.admin().stat(name)?)
}

/// Waits until a counter has at least this value.
fn wait_for_stat(stand: &Stand, name: &str, least: u64) -> Result<()> {
    wait_for(name, PATIENCE, || {
        let value = stand.envoy.admin().stat(name)?;
        Ok(match value >= least {
            true => Seen::Done(()),
            false => Seen::NotYet(value.to_string()),
        })
    })?;
    Ok(())
}

fn no_traps(stand: &Stand) -> Result<()> {
    let traps = stand.envoy.traps()?;
    ensure!(traps.is_empty(), "{traps:#?}");
    Ok(())
}

/// What is pushed in: a transaction, and an EHLO so that it would be taken.
fn injected() -> String {
    let transaction = "EHLO evil.example.org\r\nMAIL FROM:<injected@example.org>\r\n";
    format!("{transaction}{}\r\n", rcpt("injected"))
}

#[test]
fn nothing_sent_before_the_handshake_is_interpreted_after_it() -> Result<()> {
    const TRIES: u64 = 60;
    let stand = Stand::with_starttls(Service::Unknown550, json!({}))?;
    let mut dropped = 0;
    for number in 0..TRIES {
        let mut client = stand.client()?;
        client.command(EHLO)?;
        // In the same segment, in the next one at once, or when the 220 is on its way.
        match number % 3 {
            0 => client.send(format!("STARTTLS\r\n{}", injected()))?,
            1 => {
                client.send("STARTTLS\r\n")?;
                client.send(injected())?;
            }
            _ => {
                client.send("STARTTLS\r\n")?;
                thread::sleep(Duration::from_micros(50 * number));
                client.send(injected())?;
            }
        }
        let reply = client.reply()?;
        assert_eq!(reply.code, 220, "{reply:?}");
        // What came too late for Envoy to read in cleartext is no TLS, and ends the connection.
        let Ok(mut client) = client.handshake(&TlsClient::new()) else {
            continue;
        };
        dropped += 1;
        let reply = client.command("MAIL FROM:<sender@example.org>")?;
        ensure!(
            reply.starts_with("503 5.5.1 "),
            "an EHLO was heard: {reply:?}"
        );
        client.command(EHLO)?;
        let reply = client.command(&rcpt("alice"))?;
        assert_eq!(reply.code, 503, "a MAIL was heard: {reply:?}");
        client.command("QUIT")?;
    }
    ensure!(dropped >= TRIES / 3, "those in one segment: {dropped}");
    ensure!(stat(&stand, "wasmcustom.portcullis_starttls_injected_total")? >= TRIES / 3);
    let sessions = stand.postfix.log().wait_for_sessions(TRIES as usize)?;
    // The one RCPT of each that got so far is its own.
    let heard = |session: &&SessionCounts| session.lookups > 1 || session.accepted > 0;
    assert_eq!(sessions.iter().find(heard), None);
    let log = stand.postfix.log().text()?;
    ensure!(!log.contains("injected") && !log.contains("evil"), "{log}");
    no_traps(&stand)
}

#[test]
fn held_bursts_and_commands_of_the_guard_are_read_once() -> Result<()> {
    // The guard holds next to nothing, so that the rest of a burst lies in the buffer of Envoy's
    // that all filters share; and it delays and answers commands itself.
    let policy = json!({
        "limits": { "held": 1024, "command_line": 512 },
        "rcpt": { "max_consecutive": 3, "max_total": 100 },
        "ledger": { "max_score": 500 },
        "traps": { "recipients": ["trap@example.test"] },
        "tarpit": { "delay_ms": 30 },
        "unknown": { "ttl_s": 3600 },
    });
    let stand = Stand::with_starttls(Service::Unknown550, policy)?;
    let burst = |client: &mut Client, known: usize| -> Result<()> {
        let rounds = (0..known).map(|number| {
            let unknown = rcpt(&format!("nobody{number}"));
            format!("{unknown}\r\n{}\r\n", rcpt(&format!("user{number}")))
        });
        let burst: String = rounds.collect();
        client.send(format!("MAIL FROM:<sender@example.org>\r\n{burst}RSET\r\n"))?;
        let codes = client.codes(2 * known + 2)?;
        let (first, rest) = codes.split_first().context("no reply")?;
        let (last, recipients) = rest.split_last().context("no reply")?;
        assert_eq!((first, last), (&250, &250));
        ensure!(
            recipients.chunks(2).all(|pair| pair == [550, 250]),
            "{codes:?}"
        );
        Ok(())
    };
    let mut client = stand.client()?;
    client.command(EHLO)?;
    burst(&mut client, 50)?;
    // The same once more, and STARTTLS behind it in one segment: the guard answers what it
    // remembers, and STARTTLS when its turn has come.
    let names: String = (0..40)
        .map(|n| rcpt(&format!("user{n}")) + "\r\n")
        .collect();
    client.send(format!(
        "MAIL FROM:<sender@example.org>\r\n{}\r\n{names}STARTTLS\r\n{}",
        rcpt("nobody0"),
        injected()
    ))?;
    let expected = [vec![250, 550], vec![250; 40], vec![220]].concat();
    assert_eq!(client.codes(43)?, expected);
    let mut client = client.handshake(&TlsClient::new())?;
    client.command(EHLO)?;
    burst(&mut client, 40)?;
    ensure!(client.command("QUIT")?.code == 221);
    let sessions = stand.postfix.log().wait_for_sessions(1)?;
    // Known ones: 50, 40 and 40. Unknown ones: 50, the rest is remembered.
    assert_eq!((sessions[0].accepted, sessions[0].lookups), (130, 180));
    ensure!(stat(&stand, "wasmcustom.portcullis_delayed_total")? > 0);
    ensure!(stat(&stand, "wasmcustom.portcullis_recipients_answered_total")? > 0);
    no_traps(&stand)
}

#[test]
fn a_burst_far_beyond_all_buffers_passes_whole_under_tls() -> Result<()> {
    const RECIPIENTS: usize = 5_000;
    let policy = json!({ "limits": { "held": 1024, "command_line": 512 } });
    let mut mta = Mta::answering("550 5.1.1 No such user").start()?;
    let config = EnvoyConfig::before(mta.address(), Guard::with_policy(policy)?);
    let envoy = config.client_tls(starttls()?).start()?;
    let mut client = under_tls(Client::greeted(envoy.address())?)?;
    let codes = deliver_pipelined(&mut client, RECIPIENTS)?;
    let expected = [vec![250; RECIPIENTS + 1], vec![354, 250, 221]].concat();
    ensure!(codes == expected, "not all were taken in order");
    let stats = mta.stats()?;
    ensure!(
        stats.rcpt == RECIPIENTS as u64 && stats.messages == 1,
        "{stats:?}"
    );
    Ok(())
}

#[test]
fn starttls_is_understood_however_it_comes() -> Result<()> {
    let stand = Stand::with_starttls(Service::Unknown550, json!({}))?;
    // One octet at a time; with its EHLO; before any EHLO; in lower case with a bare LF.
    for (octets, said, replies) in [
        (1, "STARTTLS\r\n", 1),
        (usize::MAX, "EHLO client.example.org\r\nSTARTTLS\r\n", 2),
        (3, "RSET\r\nNOOP\r\nstarttls\n", 3),
    ] {
        let mut client = Client::greeted(stand.envoy.address())?;
        for part in said.as_bytes().chunks(octets.min(said.len())) {
            client.send(part)?;
        }
        let codes = client.codes(replies)?;
        assert_eq!(codes.last(), Some(&220), "{said:?}: {codes:?}");
        let mut client = client.handshake(&TlsClient::new())?;
        ensure!(client.command(EHLO)?.code == 250, "{said:?}");
        ensure!(client.command("QUIT")?.code == 221, "{said:?}");
    }
    // A parameter is no agreement, and the session goes on in cleartext.
    let mut client = stand.client()?;
    assert_eq!(client.command("STARTTLS please")?.code, 501);
    assert_eq!(client.command("NOOP")?.code, 250);
    // Before the greeting, too, it is no way in.
    let mut early = Client::connect(stand.envoy.address())?;
    early.send("STARTTLS\r\n")?;
    assert_eq!(early.codes(2)?, [220, 220]);
    let mut early = early.handshake(&TlsClient::new())?;
    assert_eq!(early.command("MAIL FROM:<>")?.code, 503);
    no_traps(&stand)
}

#[test]
fn tls_is_a_new_start() -> Result<()> {
    let stand = Stand::with_starttls(Service::Unknown550, json!({}))?;
    let mut client = stand.client_in_transaction()?;
    client.command(&rcpt("alice"))?;
    let mut client = client.starttls(&TlsClient::new())?;
    for command in ["MAIL FROM:<>", &rcpt("bob"), "DATA", "VRFY alice", "HELP"] {
        let reply = client.command(command)?;
        ensure!(reply.starts_with("503 5.5.1 "), "{command}: {reply:?}");
    }
    ensure!(client.command("NOOP")?.code == 250);
    ensure!(client.command(EHLO)?.code == 250);
    let reply = client.command(&rcpt("bob"))?;
    assert_eq!(reply.code, 503, "the transaction is gone: {reply:?}");
    ensure!(client.command("QUIT")?.code == 221);
    let sessions = stand.postfix.log().wait_for_sessions(1)?;
    assert_eq!((sessions[0].accepted, sessions[0].lookups), (1, 2));
    Ok(())
}

#[test]
fn clients_that_stop_or_talk_nonsense_are_closed() -> Result<()> {
    let policy = json!({ "limits": { "handshake_ms": 3000 } });
    let stand = Stand::with_starttls(Service::Unknown550, policy)?;
    let agreed = || -> Result<Client> {
        let mut client = stand.client()?;
        client.command(EHLO)?;
        ensure!(client.command("STARTTLS")?.code == 220);
        Ok(client)
    };
    // Until the deadline: silence, half a ClientHello, one sent before the 220, a handshake with
    // nothing behind it, a dribble of octets.
    let silent = agreed()?;
    let mut half = agreed()?;
    half.send(CLIENT_HELLO)?;
    let mut hasty = stand.client()?;
    hasty.command(EHLO)?;
    hasty.send([b"STARTTLS\r\n", CLIENT_HELLO].concat())?;
    ensure!(hasty.reply()?.code == 220);
    let mute = agreed()?.handshake(&TlsClient::new())?;
    let mut dribble = agreed()?;
    for octet in CLIENT_HELLO.iter().chain([0; 490].iter()) {
        if dribble.send([*octet]).is_err() {
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    for mut client in [silent, half, hasty, mute, dribble] {
        assert_eq!(client.read_until_closed()?, "");
    }
    wait_for_stat(&stand, "wasmcustom.portcullis_starttls_silent_total", 5)?;
    // Nonsense in place of a ClientHello: at once. Or gone in the middle of it.
    let mut nonsense = agreed()?;
    nonsense.send(injected())?;
    nonsense.read_until_closed()?;
    let mut gone = agreed()?;
    gone.send(CLIENT_HELLO)?;
    drop(gone);
    let sessions = stand.envoy.wait_for_sessions(7)?;
    for session in &sessions {
        assert_eq!(session["portcullis"]["tls"], json!(false), "{session}");
        assert_eq!(session["portcullis"]["verdict"], "admit", "{session}");
    }
    // One that keeps its time is served.
    let mut client = stand.client_under_tls()?;
    ensure!(client.command("QUIT")?.code == 221);
    no_traps(&stand)
}

#[test]
fn a_listener_without_the_socket_says_so_and_offers_it_no_more() -> Result<()> {
    let tls = ClientTls::ModuleAlone {
        module: paths::starttls()?,
    };
    // The server's own STARTTLS is no way out: nothing of it would be seen.
    let stand = Stand::with(Service::OffersTls, json!({}), |config| {
        config.client_tls(tls)
    })?;
    let mut first = stand.client()?;
    first.command(EHLO)?;
    ensure!(first.command("STARTTLS")?.code == 220);
    assert_eq!(first.read_until_closed()?, "");
    wait_for_stat(&stand, NO_SOCKET, 1)?;
    let mut next = stand.client()?;
    let ehlo = next.command(EHLO)?;
    ensure!(
        !ehlo.lines.iter().any(|line| line.contains("STARTTLS")),
        "{ehlo:?}"
    );
    let reply = next.command("STARTTLS")?;
    ensure!(reply.starts_with("454 4.7.0 "), "{reply:?}");
    // Mail still comes.
    ensure!(next.command("MAIL FROM:<sender@example.org>")?.code == 250);
    let mut envoy = stand.envoy;
    let log = envoy.process().log()?;
    let told = |line: &&str| line.contains("envoy.transport_sockets.starttls");
    assert_eq!(log.lines().filter(told).count(), 1, "{log}");
    Ok(())
}

const NO_SOCKET: &str = "dynamicmodulescustom.portcullis_starttls_no_socket_total";

#[test]
fn envoy_knows_the_modules_abi() -> Result<()> {
    let mut stand = Stand::with_starttls(Service::Unknown550, json!({}))?;
    let log = stand.envoy.process().log()?;
    let spoken = |line: &&str| line.contains("ABI version");
    let Some(line) = log.lines().find(spoken) else {
        bail!("Envoy says nothing of it:\n{log}");
    };
    ensure!(line.contains("v0.2.0 matched"), "{line}");
    ensure!(!log.contains("deprecated"), "{log}");
    Ok(())
}
